//! Deleting: a log has another name at once, its files go later.

use std::path::{Path, PathBuf};

use super::{LogManager, ManagerError, lock};
use crate::log::directory_name::deleted_name;
use crate::log::{DeletedFiles, Fs};
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
        let copy = logs.remove(partition).and_then(|hosted| hosted.copy);
        drop(logs);
        lock(&self.removals).push(Removal { path: to, due_ms });
        if let Some(copy) = copy {
            self.remove_copy(partition, &copy, now_ms);
        }
        Ok(())
    }

    /// Takes over files that [`LogManager::delete_due`] is to remove.
    pub fn remove_later(&self, files: Vec<DeletedFiles>) {
        lock(&self.files).extend(files);
    }

    /// Knows nothing more of a partition whose files can't be reached.
    pub fn forget(&self, partition: &TopicPartition) {
        self.logs_mut().remove(partition);
    }

    /// Removes what has waited long enough. What can't be removed is tried again the next time, unless its directory has failed: the
    /// next start finds it. The errors are given.
    pub fn delete_due(&self, now_ms: i64) -> Vec<ManagerError> {
        let mut errors = Vec::new();
        let due: Vec<Removal> = lock(&self.removals).extract_if(.., |removal| removal.due_ms <= now_ms).collect();
        for removal in due {
            let fs = self.fs_at(&removal.path);
            match fs.remove_dir_all(&removal.path) {
                Err(error) if fs.failure().is_none() => {
                    errors.push(error.into());
                    lock(&self.removals).push(removal);
                }
                _ => {}
            }
        }
        let files: Vec<DeletedFiles> = lock(&self.files).extract_if(.., |files| files.due_ms <= now_ms).collect();
        for files in files {
            let fs = files.paths.first().map(|path| self.fs_at(path)).unwrap_or_default();
            match files.remove(&fs) {
                Err(error) if fs.failure().is_none() => {
                    errors.push(error.into());
                    lock(&self.files).push(files);
                }
                _ => {}
            }
        }
        errors
    }

    /// The way to the files of the directory that `path` is in.
    fn fs_at(&self, path: &Path) -> Fs {
        let directory = self.directories.iter().find(|directory| path.starts_with(&directory.path));
        directory.map(|directory| directory.fs.clone()).unwrap_or_default()
    }
}
