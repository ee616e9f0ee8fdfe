//! All logs of a broker, over all of its directories.
//!
//! Opens them in parallel, hands them out by partition, deletes in the background, and keeps the checkpoints: what a start needs to
//! know about each log without reading it. The time is an argument; nothing here runs by itself.
//!
//! `open.rs` opens them, `passes.rs` is what is done with all of them now and then, `checkpoints.rs` and `removal.rs` their files.

mod checkpoints;
mod open;
mod passes;
mod removal;
mod sizes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use open::{ManagerOptions, ManagerReport};
use removal::Removal;
pub use sizes::{DirectorySize, LogSize};

use super::checkpoint::{self, Offsets, TextFileError};
use super::directory::{DirectoryError, LockedDirectory};
use super::directory_name::stray_name;
use super::meta_properties::MetaProperties;
use super::{CloseMode, DeletedFiles, Fs, Log, LogConfig, LogError, LogOptions, Shutdown, partition_metadata};
use crate::types::{TopicPartition, Uuid};

/// Why the logs can't be opened, or one can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// A log directory is not as it should be.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A file beside the logs is damaged or can't be read.
    #[error(transparent)]
    TextFile(#[from] TextFileError),
    /// A log can't be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The disk refused.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No directory is left to make a log in.
    #[error("all log directories have failed")]
    NoDirectory,
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ManagerError {
    move |source| ManagerError::Io { action, path: path.to_owned(), source }
}

/// One log directory in use.
#[derive(Debug)]
struct Directory {
    locked: LockedDirectory,
    properties: MetaProperties,
    /// Nothing is made or kept here any more: the disk has failed.
    failed: AtomicBool,
    /// What the checkpoint files say, so that they are only written when that changes.
    written: Mutex<BTreeMap<&'static str, Offsets>>,
}

#[derive(Debug, Clone)]
struct Hosted {
    log: Arc<Log>,
    directory: usize,
    /// From `partition.metadata`; `None` until it was looked at.
    topic_id: Option<Uuid>,
}

/// The logs of a broker.
#[derive(Debug)]
pub struct LogManager {
    directories: Vec<Directory>,
    logs: RwLock<HashMap<TopicPartition, Hosted>>,
    removals: Mutex<Vec<Removal>>,
    files: Mutex<Vec<DeletedFiles>>,
    /// New names that are not durable yet.
    names_changed: AtomicBool,
    fs: Fs,
}

impl LogManager {
    fn logs(&self) -> RwLockReadGuard<'_, HashMap<TopicPartition, Hosted>> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn logs_mut(&self) -> RwLockWriteGuard<'_, HashMap<TopicPartition, Hosted>> {
        self.logs.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ids of the directories, in the order of the configuration.
    #[must_use]
    pub fn directory_ids(&self) -> Vec<Uuid> {
        self.directories.iter().filter_map(|directory| directory.properties.directory_id).collect()
    }

    /// A partition's log.
    #[must_use]
    pub fn get(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.logs().get(partition).map(|hosted| Arc::clone(&hosted.log))
    }

    /// The id of the directory that a partition's log is in.
    #[must_use]
    pub fn directory_of(&self, partition: &TopicPartition) -> Option<Uuid> {
        let directory = self.logs().get(partition)?.directory;
        self.directories.get(directory)?.properties.directory_id
    }

    /// All partitions that there are logs of, in no particular order.
    #[must_use]
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.logs().keys().cloned().collect()
    }

    /// A partition's log; made if there is none, in the directory `wanted` if that is one of these and works, else where there
    /// is the least. A log of another topic that had the same name is put aside as a stray. Different partitions may be asked
    /// for at once, the same one not; [`LogManager::sync_directories`] ends the making.
    ///
    /// # Errors
    /// What the disk says; no directory is left.
    pub fn get_or_create(
        &self,
        partition: &TopicPartition,
        topic_id: Uuid,
        wanted: Option<Uuid>,
        config: Arc<LogConfig>,
        now_ms: i64,
    ) -> Result<Arc<Log>, ManagerError> {
        let found = self.logs().get(partition).cloned();
        if let Some(mut hosted) = found {
            if hosted.topic_id.is_none() {
                hosted.topic_id = partition_metadata::read(&hosted.log.dir())?;
            }
            let log = Arc::clone(&hosted.log);
            if hosted.topic_id == Some(topic_id) {
                log.set_config(config);
                self.logs_mut().insert(partition.clone(), hosted);
                return Ok(log);
            }
            self.put_aside(partition, &hosted)?;
            self.logs_mut().remove(partition);
        }
        let named = wanted.and_then(|id| self.working().find(|(_, d)| d.properties.directory_id == Some(id)));
        let (index, directory) = named.or_else(|| self.emptiest(&self.logs())).ok_or(ManagerError::NoDirectory)?;
        let path = directory.locked.path().join(partition.to_string());
        fs::create_dir_all(&path).map_err(io_error("create", &path))?;
        // Order: first whose log it is, then the log: one without is taken for a stray.
        partition_metadata::write(&path, topic_id)
            .map_err(io_error("write", &path.join(partition_metadata::FILE_NAME)))?;
        let (log, _) = Log::open(LogOptions {
            dir: path,
            config,
            fs: self.fs.clone(),
            now_ms,
            shutdown: Shutdown::Unclean,
            recovery_point: None,
            log_start_offset: None,
            high_watermark: None,
        })?;
        self.names_changed.store(true, Ordering::Release);
        let log = Arc::new(log);
        let hosted = Hosted { log: Arc::clone(&log), directory: index, topic_id: Some(topic_id) };
        self.logs_mut().insert(partition.clone(), hosted);
        Ok(log)
    }

    /// Makes the names of new logs durable. To be called once after a number of them was made, before anybody is told.
    ///
    /// # Errors
    /// What the disk says.
    pub fn sync_directories(&self) -> Result<(), ManagerError> {
        if !self.names_changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        for directory in self.directories.iter().filter(|directory| !directory.failed.load(Ordering::Acquire)) {
            let path = directory.locked.path();
            checkpoint::sync_directory(path).map_err(io_error("sync", path))?;
        }
        Ok(())
    }

    fn working(&self) -> impl Iterator<Item = (usize, &Directory)> {
        self.directories.iter().enumerate().filter(|(_, directory)| !directory.failed.load(Ordering::Acquire))
    }

    /// The working directory with the fewest logs.
    fn emptiest(&self, logs: &HashMap<TopicPartition, Hosted>) -> Option<(usize, &Directory)> {
        if self.working().nth(1).is_none() {
            return self.working().next();
        }
        let mut counts = vec![0usize; self.directories.len()];
        for hosted in logs.values() {
            if let Some(count) = counts.get_mut(hosted.directory) {
                *count += 1;
            }
        }
        self.working().min_by_key(|(index, _)| counts.get(*index).copied().unwrap_or(usize::MAX))
    }

    fn put_aside(&self, partition: &TopicPartition, hosted: &Hosted) -> Result<PathBuf, ManagerError> {
        let from = hosted.log.dir();
        let to = from.with_file_name(stray_name(partition));
        hosted.log.rename_dir(&to)?;
        hosted.log.close(CloseMode::Sync)?;
        Ok(to)
    }

    /// Puts aside the logs that `is_known` does not know (a topic that was deleted while this broker was away); gives their new
    /// directories. Their data is kept.
    ///
    /// # Errors
    /// What the disk says.
    pub fn put_strays_aside(
        &self,
        is_known: impl Fn(&TopicPartition) -> bool,
    ) -> Result<Vec<(TopicPartition, PathBuf)>, ManagerError> {
        let mut logs = self.logs_mut();
        let unknown: Vec<TopicPartition> = logs.keys().filter(|partition| !is_known(partition)).cloned().collect();
        let mut aside = Vec::with_capacity(unknown.len());
        for partition in unknown {
            if let Some(hosted) = logs.remove(&partition) {
                let path = self.put_aside(&partition, &hosted)?;
                aside.push((partition, path));
            }
        }
        Ok(aside)
    }

    fn all(&self) -> Vec<(TopicPartition, Hosted)> {
        self.logs().iter().map(|(partition, hosted)| (partition.clone(), hosted.clone())).collect()
    }

    /// Marks a directory as failed: no log is made there any more, and nothing is noted there.
    pub fn fail_directory(&self, path: &Path) {
        for directory in self.directories.iter().filter(|directory| directory.locked.path() == path) {
            directory.failed.store(true, Ordering::Release);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
