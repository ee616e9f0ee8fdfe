//! All logs of a broker, over all of its directories.
//!
//! Opens them in parallel, hands them out by partition, deletes in the background, and keeps the checkpoints: what a start needs to
//! know about each log without reading it. The time is an argument; nothing here runs by itself.
//!
//! `open.rs` opens them, `moves.rs` takes them to other directories, `passes.rs` is what is done with all of them now and then, `checkpoints.rs` and `removal.rs` their files.

mod checkpoints;
mod moves;
mod open;
mod passes;
mod removal;
mod settle;
mod sizes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use moves::{Move, MoveRefusal};
pub use open::{ManagerOptions, ManagerReport, Owner};
use removal::Removal;
pub use sizes::{DirectorySize, LogSize};

use super::checkpoint::{Offsets, TextFileError};
use super::directory::{DirectoryError, LockedDirectory, TakenDirectory};
use super::directory_name::stray_name;
use super::disk::{Disk, DiskFailure};
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
    /// A partition's log is in a directory that is not there, or whose disk has failed.
    #[error("the log of {partition} is in the log directory with the id {directory}, which is not there or has failed")]
    Offline {
        /// The partition.
        partition: TopicPartition,
        /// The id of the directory.
        directory: Uuid,
    },
    /// No directory is left to make a log in.
    #[error("all log directories have failed: {reasons}")]
    NoDirectory {
        /// What has happened to them.
        reasons: String,
    },
}

/// One log directory.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// Its id; none if it could not be read.
    id: Option<Uuid>,
    disk: Arc<Disk>,
    /// The way to its files.
    fs: Fs,
    /// Locked as long as the logs are in use.
    locked: Option<LockedDirectory>,
    /// It takes no more logs (KIP-1066).
    cordoned: AtomicBool,
    /// What the checkpoint files say, so that they are only written when that changes.
    written: Mutex<BTreeMap<&'static str, Offsets>>,
}

impl Directory {
    fn new(taken: TakenDirectory) -> Self {
        let (path, id) = (taken.path().to_owned(), taken.id());
        let (disk, fs, locked) = match taken {
            TakenDirectory::Usable(locked, _) => (Arc::clone(locked.disk()), locked.fs().clone(), Some(locked)),
            TakenDirectory::Failed(failure) => {
                let disk = Arc::new(Disk::broken(failure));
                (Arc::clone(&disk), Fs::default().on(disk), None)
            }
        };
        Self { path, id, disk, fs, locked, cordoned: AtomicBool::new(false), written: Mutex::default() }
    }

    /// Whether its disk is good, as far as is known.
    fn works(&self) -> bool {
        self.disk.failure().is_none()
    }
}

#[derive(Debug, Clone)]
struct Hosted {
    log: Arc<Log>,
    directory: usize,
    /// From `partition.metadata`; `None` until it was looked at.
    topic_id: Option<Uuid>,
    /// The copy that is to take its place.
    copy: Option<Copy>,
}

/// A copy of a log that grows in another directory.
#[derive(Debug, Clone)]
struct Copy {
    log: Arc<Log>,
    directory: usize,
}

/// The logs of a broker.
#[derive(Debug)]
pub struct LogManager {
    directories: Vec<Directory>,
    logs: RwLock<HashMap<TopicPartition, Hosted>>,
    removals: Mutex<Vec<Removal>>,
    files: Mutex<Vec<DeletedFiles>>,
    /// Where partitions that are not there yet are to be made, as somebody has asked.
    preferred: Mutex<HashMap<TopicPartition, PathBuf>>,
    /// New names that are not durable yet.
    names_changed: AtomicBool,
    /// Flushes at once in one directory.
    flush_threads: usize,
}

impl LogManager {
    fn logs(&self) -> RwLockReadGuard<'_, HashMap<TopicPartition, Hosted>> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn logs_mut(&self) -> RwLockWriteGuard<'_, HashMap<TopicPartition, Hosted>> {
        self.logs.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ids of the directories that work, in the order of the configuration.
    #[must_use]
    pub fn directory_ids(&self) -> Vec<Uuid> {
        self.working().filter_map(|(_, directory)| directory.id).collect()
    }

    /// Has these directories take no more logs, and all others take some.
    pub fn set_cordoned(&self, is_cordoned: impl Fn(&Path) -> bool) {
        for directory in &self.directories {
            directory.cordoned.store(is_cordoned(&directory.path), Ordering::Release);
        }
    }

    /// The ids of the working directories that take no more logs.
    #[must_use]
    pub fn cordoned_ids(&self) -> Vec<Uuid> {
        let cordoned = self.working().filter(|(_, directory)| directory.cordoned.load(Ordering::Acquire));
        cordoned.filter_map(|(_, directory)| directory.id).collect()
    }

    /// What has made directories unusable, by their ids.
    #[must_use]
    pub fn failures(&self) -> Vec<(Option<Uuid>, DiskFailure)> {
        let failed = |directory: &Directory| Some((directory.id, directory.disk.failure()?.clone()));
        self.directories.iter().filter_map(failed).collect()
    }

    /// Has `watcher` called whenever a directory fails; it must not block.
    pub fn watch_disks(&self, watcher: impl Fn() + Clone + Send + Sync + 'static) {
        for directory in &self.directories {
            directory.disk.watch(watcher.clone());
        }
    }

    /// Whether a partition's log is in a directory that has failed.
    #[must_use]
    pub fn is_offline(&self, partition: &TopicPartition) -> bool {
        let logs = self.logs();
        let directory = logs.get(partition).and_then(|hosted| self.directories.get(hosted.directory));
        directory.is_some_and(|directory| !directory.works())
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
        self.directories.get(directory)?.id
    }

    /// All partitions that there are logs of, in no particular order.
    #[must_use]
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.logs().keys().cloned().collect()
    }

    /// A partition's log; made if there is none, in the directory `wanted` if one is named, else where there is the least. A log of another topic that had the same name is put aside as a stray. Different partitions may be asked
    /// for at once, the same one not; [`LogManager::sync_directories`] ends the making.
    ///
    /// # Errors
    /// What the disk says; no directory is left, or that one is none of the working ones: the partition's records may be there.
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
                hosted.topic_id = partition_metadata::read(&hosted.log.place().fs, &hosted.log.dir())?;
            }
            let log = Arc::clone(&hosted.log);
            if hosted.topic_id == Some(topic_id) {
                log.set_config(config);
                self.logs_mut().insert(partition.clone(), hosted);
                return Ok(log);
            }
            let path = self.put_aside(partition, &hosted)?;
            let found = hosted.topic_id.map_or_else(|| "none".to_owned(), |id| id.to_string());
            tracing::warn!(
                %partition, expected = %topic_id, found, kept = %path.display(),
                "the log is of another topic, by its topic id; it is kept aside and an empty one begins"
            );
            self.logs_mut().remove(partition);
        }
        let preferred = lock(&self.preferred).remove(partition);
        let preferred = preferred.and_then(|path| self.working().find(|(_, directory)| directory.path == path));
        let wanted = wanted.filter(|_| preferred.is_none());
        let (index, directory) = match wanted {
            None if preferred.is_some() => preferred.ok_or_else(|| no_directory(&self.directories))?,
            Some(id) => {
                let named = self.working().find(|(_, directory)| directory.id == Some(id));
                named.ok_or_else(|| ManagerError::Offline { partition: partition.clone(), directory: id })?
            }
            None => self.emptiest(&self.logs()).ok_or_else(|| no_directory(&self.directories))?,
        };
        let path = directory.path.join(partition.to_string());
        self.forget_noted(directory, partition)?;
        directory.fs.create_dir(&path)?;
        // Order: first whose log it is, then the log: one without is taken for a stray.
        partition_metadata::write(&directory.fs, &path, topic_id)?;
        let (log, _) = Log::open(LogOptions {
            dir: path,
            config,
            fs: directory.fs.clone(),
            now_ms,
            shutdown: Shutdown::Unclean,
            is_flushed: false,
            recovery_point: None,
            log_start_offset: None,
            high_watermark: None,
        })?;
        self.names_changed.store(true, Ordering::Release);
        let log = Arc::new(log);
        let hosted = Hosted { log: Arc::clone(&log), directory: index, topic_id: Some(topic_id), copy: None };
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
        // One that fails does not keep the others from being durable.
        let synced: Vec<_> = self.working().map(|(_, directory)| directory.fs.sync_dir(&directory.path)).collect();
        Ok(synced.into_iter().collect::<Result<(), LogError>>()?)
    }

    fn working(&self) -> impl Iterator<Item = (usize, &Directory)> {
        self.directories.iter().enumerate().filter(|(_, directory)| directory.works())
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
        // Where all are cordoned, whoever has chosen this broker has not known it.
        self.working().min_by_key(|(index, directory)| {
            (directory.cordoned.load(Ordering::Acquire), counts.get(*index).copied().unwrap_or(usize::MAX))
        })
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

    /// The logs in working directories.
    fn all(&self) -> Vec<(TopicPartition, Hosted)> {
        let works: Vec<bool> = self.directories.iter().map(Directory::works).collect();
        let logs = self.logs();
        let usable = logs.iter().filter(|(_, hosted)| works.get(hosted.directory) == Some(&true));
        usable.map(|(partition, hosted)| (partition.clone(), hosted.clone())).collect()
    }
}

fn no_directory(directories: &[Directory]) -> ManagerError {
    let failures = directories.iter().filter_map(|directory| directory.disk.failure());
    let reasons: Vec<String> = failures.map(ToString::to_string).collect();
    ManagerError::NoDirectory { reasons: reasons.join("; ") }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
