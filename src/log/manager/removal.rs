//! Deleting: a log has another name at once, its files go later.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{LogManager, ManagerError, io_error, lock};
use crate::log::DeletedFiles;
use crate::log::directory_name::deleted_name;
use crate::types::TopicPartition;

/// A directory that waits for its removal.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) path: PathBuf,
    pub(super) due_ms: i64,
}

impl LogManager {
    /// Deletes a partition's log: it has another name at once, and is removed after `file.delete.delay.ms` by [`LogManager::delete_due`].
    ///
    /// # Errors
    /// What the disk says; the log is still there then.
    pub fn delete_async(&self, partition: &TopicPartition, now_ms: i64) -> Result<(), ManagerError> {
        let mut logs = self.logs_mut();
        let Some(hosted) = logs.get(partition) else { return Ok(()) };
        let from = hosted.log.dir();
        let to = from.with_file_name(deleted_name(partition));
        hosted.log.rename_dir(&to)?;
        let due_ms = now_ms.saturating_add(hosted.log.config().file_delete_delay_ms);
        logs.remove(partition);
        drop(logs);
        lock(&self.removals).push(Removal { path: to, due_ms });
        Ok(())
    }

    /// Takes over files that [`LogManager::delete_due`] is to remove.
    pub fn remove_later(&self, files: Vec<DeletedFiles>) {
        lock(&self.files).extend(files);
    }

    /// Removes what has waited long enough. What can't be removed is tried again the next time; the errors are given.
    pub fn delete_due(&self, now_ms: i64) -> Vec<ManagerError> {
        let mut errors = Vec::new();
        let due: Vec<Removal> = lock(&self.removals).extract_if(.., |removal| removal.due_ms <= now_ms).collect();
        for removal in due {
            match fs::remove_dir_all(&removal.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    errors.push(io_error("remove", &removal.path)(error));
                    lock(&self.removals).push(removal);
                }
                _ => {}
            }
        }
        let files: Vec<DeletedFiles> = lock(&self.files).extract_if(.., |files| files.due_ms <= now_ms).collect();
        for files in files {
            if let Err(error) = files.remove(&self.fs) {
                errors.push(error.into());
                lock(&self.files).push(files);
            }
        }
        errors
    }
}
