//! All logs of a broker, over all of its directories.
//!
//! Opens them in parallel, hands them out by partition, deletes in the background, and keeps the checkpoints: what a start needs to
//! know about each log without reading it. The time is an argument; nothing here runs by itself.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;

use super::checkpoint::{self, Offsets, TextFileError};
use super::directory::{self, CleanShutdown, DirectoryError, LockedDirectory};
use super::directory_name::{DirectoryKind, deleted_name, stray_name};
use super::meta_properties::MetaProperties;
use super::{
    CloseMode, DeletedFiles, Finding, Fs, Log, LogConfig, LogError, LogOptions, OpenReport, Shutdown,
    partition_metadata,
};
use crate::types::{Offset, TopicPartition, Uuid};

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

/// What was found when the logs were opened.
#[derive(Debug, Default)]
pub struct ManagerReport {
    /// Logs opened.
    pub logs: usize,
    /// Directories that had not been left cleanly.
    pub unclean: Vec<PathBuf>,
    /// Checkpoints that were no good and are made anew.
    pub bad_checkpoints: Vec<TextFileError>,
    /// What was not as it should be in the logs.
    pub findings: Vec<Finding>,
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

/// A directory that waits for its removal.
#[derive(Debug)]
struct Removal {
    path: PathBuf,
    due_ms: i64,
}

/// The size of one log, for DescribeLogDirs.
#[derive(Debug, Clone)]
pub struct LogSize {
    /// The partition.
    pub partition: TopicPartition,
    /// Bytes of its segments.
    pub bytes: u64,
}

/// One log directory, for DescribeLogDirs.
#[derive(Debug, Clone)]
pub struct DirectorySize {
    /// Where it is.
    pub path: PathBuf,
    /// Whether its disk has failed.
    pub failed: bool,
    /// Bytes of the file system.
    pub total_bytes: Option<u64>,
    /// Bytes left for us.
    pub usable_bytes: Option<u64>,
    /// The logs in it.
    pub logs: Vec<LogSize>,
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

/// What a start needs to know besides the directories.
pub struct ManagerOptions<'a> {
    /// The settings of a partition's log.
    pub config: &'a (dyn Fn(&TopicPartition) -> Arc<LogConfig> + Sync),
    /// Threads per directory.
    pub threads: usize,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
}

impl std::fmt::Debug for ManagerOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagerOptions").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// A log to be opened.
struct Job {
    partition: TopicPartition,
    path: PathBuf,
    directory: usize,
    shutdown: Shutdown,
    recovery_point: Option<Offset>,
    log_start_offset: Option<Offset>,
    high_watermark: Option<Offset>,
}

impl LogManager {
    /// Opens all logs of the directories, which [`directory::take`] has taken.
    ///
    /// # Errors
    /// A foreign directory, a partition that is there twice, a damaged checkpoint of log start offsets (they can't be found again), or
    /// what the disk says.
    pub fn open(
        taken: Vec<(LockedDirectory, MetaProperties)>,
        options: &ManagerOptions<'_>,
    ) -> Result<(Self, ManagerReport), ManagerError> {
        let mut report = ManagerReport::default();
        let mut jobs = Vec::new();
        let mut removals = Vec::new();
        let mut directories = Vec::new();
        for (locked, properties) in taken {
            let path = locked.path().to_owned();
            let clean = CleanShutdown::read(&path)?.is_some();
            if clean {
                // Order: the marker goes before any log is touched. A crash from here on means recovery.
                CleanShutdown::remove(&path)?;
            } else if directory::list(&path)?.iter().any(|entry| matches!(entry.kind, DirectoryKind::Partition(_))) {
                report.unclean.push(path.clone());
            }
            let mut rebuilt = |name: &str| {
                checkpoint::read(&path.join(name)).map(Some).or_else(|error| match error {
                    // These can be found again from the logs.
                    TextFileError::Malformed { .. } => {
                        report.bad_checkpoints.push(error);
                        Ok(None)
                    }
                    error => Err(error),
                })
            };
            let recovery_points = rebuilt(checkpoint::RECOVERY_POINTS)?;
            let high_watermarks = rebuilt(checkpoint::HIGH_WATERMARKS)?.unwrap_or_default();
            let starts = checkpoint::read(&path.join(checkpoint::LOG_START_OFFSETS))?;
            // Without recovery points nothing is known to be on disk, whatever the marker says.
            let shutdown = if clean && recovery_points.is_some() { Shutdown::Clean } else { Shutdown::Unclean };
            let recovery_points = recovery_points.unwrap_or_default();
            for entry in directory::list(&path)? {
                match entry.kind {
                    DirectoryKind::Partition(partition) => jobs.push(Job {
                        recovery_point: recovery_points.get(&partition).copied(),
                        log_start_offset: starts.get(&partition).copied(),
                        high_watermark: high_watermarks.get(&partition).copied(),
                        path: entry.path,
                        directory: directories.len(),
                        shutdown,
                        partition,
                    }),
                    // Their topics are gone, or the copy was never finished: removed when there is time.
                    DirectoryKind::Deleted(_) | DirectoryKind::Future(_) => {
                        removals.push(Removal { path: entry.path, due_ms: options.now_ms });
                    }
                    DirectoryKind::Stray(_) | DirectoryKind::ClusterMetadata | DirectoryKind::Ignored => {}
                }
            }
            directories.push(Directory {
                locked,
                properties,
                failed: AtomicBool::new(false),
                written: Mutex::default(),
            });
        }
        refuse_duplicates(&jobs)?;
        let fs = Fs::default();
        let mut logs = HashMap::with_capacity(jobs.len());
        let threads = options.threads.max(1).saturating_mul(directories.len());
        for (job, opened) in open_in_parallel(&jobs, &fs, options, threads) {
            let (log, opened) = opened?;
            report.findings.extend(opened.findings);
            let hosted = Hosted { log: Arc::new(log), directory: job.directory, topic_id: None };
            logs.insert(job.partition.clone(), hosted);
        }
        report.logs = logs.len();
        let manager = Self {
            directories,
            logs: RwLock::new(logs),
            removals: Mutex::new(removals),
            files: Mutex::default(),
            names_changed: AtomicBool::new(false),
            fs,
        };
        Ok((manager, report))
    }

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

    fn all(&self) -> Vec<(TopicPartition, Hosted)> {
        self.logs().iter().map(|(partition, hosted)| (partition.clone(), hosted.clone())).collect()
    }

    /// Deletes what is too old or too much, log by log.
    pub fn retention_pass(&self, now_ms: i64) -> Vec<(TopicPartition, LogError)> {
        let mut errors = Vec::new();
        for (partition, hosted) in self.all() {
            match hosted.log.apply_retention(now_ms) {
                Ok(outcome) => lock(&self.files).extend(outcome.deleted),
                Err(error) => errors.push((partition, error)),
            }
        }
        errors
    }

    /// Flushes the logs for which that is due (`flush.messages`, `flush.ms`).
    pub fn flush_pass(&self, now_ms: i64) -> Vec<(TopicPartition, LogError)> {
        self.each(|log| if log.flush_is_due(now_ms) { log.flush().map(drop) } else { Ok(()) })
    }

    /// Closes files that were not used since the last pass.
    pub fn close_idle_files(&self) -> Vec<(TopicPartition, LogError)> {
        self.each(|log| log.close_idle_files().map(drop))
    }

    /// Forgets producers that have been idle for too long.
    pub fn expire_producers(&self, now_ms: i64) -> Vec<(TopicPartition, LogError)> {
        self.each(|log| log.expire_producers(now_ms).map(drop))
    }

    fn each(&self, mut pass: impl FnMut(&Log) -> Result<(), LogError>) -> Vec<(TopicPartition, LogError)> {
        let failed = |(partition, hosted): (TopicPartition, Hosted)| Some((partition, pass(&hosted.log).err()?));
        self.all().into_iter().filter_map(failed).collect()
    }

    /// Notes how far each log is known to be on disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn checkpoint_recovery_points(&self) -> Result<(), ManagerError> {
        self.checkpoint(checkpoint::RECOVERY_POINTS, |log| Some(log.recovery_point()))
    }

    /// Notes the high watermarks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn checkpoint_high_watermarks(&self) -> Result<(), ManagerError> {
        self.checkpoint(checkpoint::HIGH_WATERMARKS, |log| Some(log.high_watermark()))
    }

    /// Notes where logs begin, of those that have lost their beginning.
    ///
    /// # Errors
    /// What the disk says.
    pub fn checkpoint_log_start_offsets(&self) -> Result<(), ManagerError> {
        self.checkpoint(checkpoint::LOG_START_OFFSETS, |log| {
            Some(log.log_start_offset()).filter(|start| *start > Offset::ZERO)
        })
    }

    fn checkpoint(&self, name: &'static str, offset: impl Fn(&Log) -> Option<Offset>) -> Result<(), ManagerError> {
        let mut offsets = vec![Offsets::new(); self.directories.len()];
        for (partition, hosted) in self.logs().iter() {
            if let (Some(offsets), Some(offset)) = (offsets.get_mut(hosted.directory), offset(&hosted.log)) {
                offsets.insert(partition.clone(), offset);
            }
        }
        for (directory, offsets) in self.directories.iter().zip(offsets) {
            let mut written = lock(&directory.written);
            if directory.failed.load(Ordering::Acquire) || written.get(name) == Some(&offsets) {
                continue;
            }
            let path = directory.locked.path().join(name);
            checkpoint::write(&path, &offsets).map_err(io_error("write", &path))?;
            written.insert(name, offsets);
        }
        Ok(())
    }

    /// Sizes of the directories and of the logs in them.
    #[must_use]
    pub fn sizes(&self) -> Vec<DirectorySize> {
        let mut sizes: Vec<DirectorySize> = self
            .directories
            .iter()
            .map(|directory| {
                let path = directory.locked.path();
                let system = rustix::fs::statvfs(path).ok();
                DirectorySize {
                    path: path.to_owned(),
                    failed: directory.failed.load(Ordering::Acquire),
                    total_bytes: system.as_ref().map(|s| s.f_blocks.saturating_mul(s.f_frsize)),
                    usable_bytes: system.as_ref().map(|s| s.f_bavail.saturating_mul(s.f_frsize)),
                    logs: Vec::new(),
                }
            })
            .collect();
        for (partition, hosted) in self.all() {
            if let Some(directory) = sizes.get_mut(hosted.directory) {
                directory.logs.push(LogSize { partition, bytes: hosted.log.size_bytes() });
            }
        }
        sizes
    }

    /// Marks a directory as failed: no log is made there any more, and nothing is noted there.
    pub fn fail_directory(&self, path: &Path) {
        for directory in self.directories.iter().filter(|directory| directory.locked.path() == path) {
            directory.failed.store(true, Ordering::Release);
        }
    }

    /// Closes all logs such that the next start needs no recovery. Gives the logs that could not be closed: their directories get no
    /// marker, so that the next start checks them.
    ///
    /// # Errors
    /// The checkpoints or markers can't be written.
    pub fn close(&self, broker_epoch: i64) -> Result<Vec<(TopicPartition, LogError)>, ManagerError> {
        let all = self.all();
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(Vec::new());
        let workers = thread::available_parallelism().map_or(1, usize::from).min(all.len().max(1));
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some((partition, hosted)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(error) = hosted.log.close(CloseMode::Sync) {
                            lock(&failed).push((partition.clone(), hosted.directory, error));
                        }
                    }
                });
            }
        });
        // Order: logs, then what is noted about them, then the marker that says that all of it is there.
        self.checkpoint_recovery_points()?;
        self.checkpoint_log_start_offsets()?;
        self.checkpoint_high_watermarks()?;
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (index, directory) in self.directories.iter().enumerate() {
            let is_whole = failed.iter().all(|(_, of, _)| *of != index) && !directory.failed.load(Ordering::Acquire);
            if is_whole {
                CleanShutdown { broker_epoch }.write(directory.locked.path())?;
            }
        }
        Ok(failed.into_iter().map(|(partition, _, error)| (partition, error)).collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse_duplicates(jobs: &[Job]) -> Result<(), ManagerError> {
    let mut seen: HashMap<&TopicPartition, &Path> = HashMap::new();
    for job in jobs {
        if let Some(first) = seen.insert(&job.partition, &job.path) {
            return Err(DirectoryError::Duplicate {
                partition: job.partition.clone(),
                first: first.to_owned(),
                second: job.path.clone(),
            }
            .into());
        }
    }
    Ok(())
}

type Opened = Result<(Log, OpenReport), LogError>;

fn open_in_parallel<'j>(
    jobs: &'j [Job],
    fs: &Fs,
    options: &ManagerOptions<'_>,
    threads: usize,
) -> Vec<(&'j Job, Opened)> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let opened = Log::open(LogOptions {
                dir: job.path.clone(),
                config: (options.config)(&job.partition),
                fs: fs.clone(),
                now_ms: options.now_ms,
                shutdown: job.shutdown,
                recovery_point: job.recovery_point,
                log_start_offset: job.log_start_offset,
                high_watermark: job.high_watermark,
            });
            lock(&done).push((job, opened));
        }
    };
    // A few logs are opened faster than a thread is started.
    let workers = threads.min(jobs.len() / 16);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
        work();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{AppendContext, AppendOrigin, ReadLimits};
    use crate::record::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
    use crate::types::{LeaderEpoch, NodeId};

    fn open(path: &Path) -> (LogManager, ManagerReport) {
        if matches!(
            directory::inspect(path).unwrap(),
            directory::DirectoryContent::Missing | directory::DirectoryContent::Empty
        ) {
            directory::format(path, &MetaProperties::new("c", NodeId::new(1)), 0).unwrap();
        }
        let taken = directory::take(&[path.to_owned()], NodeId::new(1), None, 0).unwrap();
        let config = |_: &TopicPartition| Arc::new(LogConfig::default());
        LogManager::open(taken, &ManagerOptions { config: &config, threads: 2, now_ms: 1 }).unwrap()
    }

    fn append(log: &Log, value: &[u8]) {
        let mut batch = BatchBuilder::new(BatchOptions::default());
        batch.append(&NewRecord { timestamp: 5, value: Some(value), ..Default::default() }).unwrap();
        let bytes = batch.build().unwrap();
        let (batch, _) = RecordBatch::new(&bytes).unwrap();
        let context = AppendContext::new(LeaderEpoch::new(0), AppendOrigin::Client, 5);
        log.append_as_leader(&[batch.into()], &context).unwrap();
    }

    const ID: Uuid = Uuid([7; 16]);

    fn create(manager: &LogManager, topic: &str, id: Uuid) -> Arc<Log> {
        let config = Arc::new(LogConfig { file_delete_delay_ms: 100, ..Default::default() });
        manager.get_or_create(&TopicPartition::new(topic, 0), id, None, config, 1).unwrap()
    }

    #[test]
    fn logs_are_found_again_after_a_clean_stop_and_after_a_kill() {
        let temp = tempfile::tempdir().unwrap();
        for (round, clean) in [true, false, true].into_iter().enumerate() {
            let (manager, report) = open(temp.path());
            assert_eq!(report.logs, usize::from(round > 0));
            assert_eq!(report.unclean.len(), usize::from(round == 2), "the second broker was killed");
            let log = create(&manager, "t", ID);
            assert_eq!(log.log_end_offset().get(), round as i64);
            append(&log, b"value");
            log.advance_high_watermark(log.log_end_offset());
            if clean {
                assert!(manager.close(5).unwrap().is_empty());
            }
        }
        let (manager, report) = open(temp.path());
        assert_eq!((report.logs, report.unclean.len()), (1, 0));
        let log = manager.get(&TopicPartition::new("t", 0)).unwrap();
        assert_eq!(log.high_watermark(), Offset::new(3));
        let limits = ReadLimits { end: Offset::new(3), max_bytes: 1 << 20, at_least_one_batch: true };
        assert!(!log.read(Offset::ZERO, limits).unwrap().bytes.is_empty());
    }

    #[test]
    fn a_log_is_made_in_the_directory_that_is_wanted() {
        let temp = tempfile::tempdir().unwrap();
        let paths = [temp.path().join("a"), temp.path().join("b")];
        let ids = paths.each_ref().map(|path| {
            let properties = MetaProperties::new("c", NodeId::new(1));
            directory::format(path, &properties, 0).unwrap();
            properties.directory_id.unwrap()
        });
        let taken = directory::take(&paths, NodeId::new(1), None, 0).unwrap();
        let config = |_: &TopicPartition| Arc::new(LogConfig::default());
        let (manager, _) = LogManager::open(taken, &ManagerOptions { config: &config, threads: 2, now_ms: 1 }).unwrap();
        let made = |partition: i32, wanted: Option<Uuid>| {
            let name = TopicPartition::new("t", partition);
            let log = manager.get_or_create(&name, ID, wanted, Arc::new(LogConfig::default()), 1).unwrap();
            log.dir().parent().unwrap().to_owned()
        };
        assert_eq!(made(0, Some(ids[1])), paths[1]);
        assert_eq!(made(1, Some(ids[1])), paths[1]);
        assert_eq!(made(2, Some(Uuid::METADATA_TOPIC)), paths[0], "unassigned: where there is the least");
        assert_eq!(made(1, Some(ids[0])), paths[1], "a log stays where it is");
    }

    #[test]
    fn a_log_of_another_topic_is_put_aside() {
        let temp = tempfile::tempdir().unwrap();
        let (manager, _) = open(temp.path());
        append(&create(&manager, "t", ID), b"old");
        let other = create(&manager, "t", Uuid([8; 16]));
        assert_eq!(other.log_end_offset(), Offset::ZERO);
        let stray =
            fs::read_dir(temp.path()).unwrap().any(|e| e.unwrap().file_name().to_string_lossy().ends_with("-stray"));
        assert!(stray, "the old records are kept");
        let aside = manager.put_strays_aside(|_| false).unwrap();
        assert_eq!((aside.len(), manager.partitions().len()), (1, 0));
    }

    #[test]
    fn deleted_logs_vanish_later() {
        let temp = tempfile::tempdir().unwrap();
        let (manager, _) = open(temp.path());
        let log = create(&manager, "t", ID);
        append(&log, b"x");
        let partition = TopicPartition::new("t", 0);
        manager.delete_async(&partition, 1000).unwrap();
        assert!(manager.get(&partition).is_none());
        let waiting = || fs::read_dir(temp.path()).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count();
        assert!(manager.delete_due(1099).is_empty());
        assert_eq!(waiting(), 1);
        assert!(manager.delete_due(1100).is_empty());
        assert_eq!(waiting(), 0);
    }

    #[test]
    fn a_bad_checkpoint_is_made_anew_unless_it_can_not_be() {
        let temp = tempfile::tempdir().unwrap();
        let (manager, _) = open(temp.path());
        append(&create(&manager, "t", ID), b"x");
        manager.close(1).unwrap();
        drop(manager);
        fs::write(temp.path().join(checkpoint::RECOVERY_POINTS), "garbage").unwrap();
        let (manager, report) = open(temp.path());
        assert_eq!(report.bad_checkpoints.len(), 1);
        assert_eq!(manager.get(&TopicPartition::new("t", 0)).unwrap().log_end_offset(), Offset::new(1));
        manager.close(1).unwrap();
        drop(manager);
        fs::write(temp.path().join(checkpoint::LOG_START_OFFSETS), "garbage").unwrap();
        let taken = directory::take(&[temp.path().to_owned()], NodeId::new(1), None, 0).unwrap();
        let config = |_: &TopicPartition| Arc::new(LogConfig::default());
        let error = LogManager::open(taken, &ManagerOptions { config: &config, threads: 1, now_ms: 1 }).unwrap_err();
        assert!(error.to_string().contains("log-start-offset-checkpoint:1"), "{error}");
    }

    #[test]
    fn sizes_are_told() {
        let temp = tempfile::tempdir().unwrap();
        let (manager, _) = open(temp.path());
        append(&create(&manager, "t", ID), b"x");
        let sizes = manager.sizes();
        assert!(sizes[0].total_bytes.unwrap() > 0 && sizes[0].logs[0].bytes > 60);
    }
}
