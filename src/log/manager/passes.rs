//! What is done with all logs now and then, and at the end.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Copy, Directory, Hosted, LogManager, ManagerError, lock};
use crate::log::directory::{CleanShutdown, LockedDirectory};
use crate::log::{CloseMode, Fs, Log, LogError, disk};
use crate::types::TopicPartition;

impl LogManager {
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

    /// The logs that are compacted, and not on the move meanwhile.
    #[must_use]
    pub fn compacted(&self) -> Vec<(TopicPartition, Arc<Log>)> {
        let logs = self.all().into_iter();
        let compacted = logs.filter(|(_, hosted)| hosted.copy.is_none() && hosted.log.config().cleanup_compact);
        compacted.map(|(partition, hosted)| (partition, hosted.log)).collect()
    }

    /// How many directories there are.
    #[must_use]
    pub fn directory_count(&self) -> usize {
        self.directories.len()
    }

    /// Flushes the logs of a directory whose records have waited for `flush.ms`. One call per directory, so that no disk waits for a
    /// slower one.
    pub fn flush_pass(&self, directory: usize, now_ms: i64) -> Vec<(TopicPartition, LogError)> {
        // A log without unflushed records costs a look at one number.
        let is_due = |hosted: &Hosted| hosted.directory == directory && hosted.log.flush_is_due(now_ms);
        if self.directories.get(directory).is_none_or(|directory| !directory.works()) {
            return Vec::new();
        }
        let due: Vec<_> = self.logs().iter().filter(|(_, hosted)| is_due(hosted)).map(named).collect();
        let failed = in_parallel(&due, self.flush_threads, |log| log.flush().map(drop));
        failed.into_iter().map(|((partition, _), error)| (partition.clone(), error)).collect()
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

    /// Closes all logs such that the next start needs no recovery. Gives the logs that could not be closed: their directories get no
    /// marker, so that the next start checks them.
    ///
    /// # Errors
    /// The checkpoints or markers can't be written.
    pub fn close(&self, broker_epoch: i64) -> Result<Vec<(TopicPartition, LogError)>, ManagerError> {
        let mut all = self.all();
        // Also those of logs whose own directories have failed.
        all.extend(self.logs().iter().filter_map(|(partition, hosted)| {
            let Copy { log, directory } = hosted.copy.clone()?;
            let works = self.directories.get(directory).is_some_and(Directory::works);
            works.then(|| (partition.clone(), Hosted { log, directory, topic_id: None, copy: None }))
        }));
        let mut failed = Vec::new();
        thread::scope(|scope| {
            let closing: Vec<_> = self
                .directories
                .iter()
                .enumerate()
                .map(|(index, directory)| {
                    let logs = all.iter().filter(|(_, hosted)| hosted.directory == index).cloned().collect();
                    scope.spawn(move || self.close_directory(directory, logs))
                })
                .collect();
            for (directory, closed) in self.directories.iter().zip(closing) {
                let errors = closed.join().unwrap_or_else(|_| {
                    directory.fs.consider(disk::FLUSH, &directory.path, &io::Error::other("the logs were not closed"));
                    Vec::new()
                });
                failed.extend(errors);
            }
        });
        // Order: logs, then what is noted about them, then the marker that says that all of it is there.
        self.checkpoint_recovery_points()?;
        self.checkpoint_log_start_offsets()?;
        self.checkpoint_high_watermarks()?;
        for (index, directory) in self.directories.iter().enumerate() {
            let is_whole = failed.iter().all(|((_, of), _)| of.directory != index) && directory.works();
            if is_whole {
                CleanShutdown { broker_epoch }.write(&directory.fs, &directory.path)?;
            }
        }
        Ok(failed.into_iter().map(|((partition, _), error)| (partition, error)).collect())
    }

    /// Closes the logs of a directory. Many of them are made durable with one call for the whole file system: with six files each that
    /// is faster by far than file by file; a few are not, since the call also writes what others have left in the system's memory.
    fn close_directory(&self, directory: &Directory, logs: Vec<Named>) -> Vec<(Named, LogError)> {
        let changed = logs.iter().filter(|(_, hosted)| hosted.log.is_changed()).count();
        let mode = if changed > MOST_FLUSHED_ONE_BY_ONE && Fs::can_sync_file_systems() {
            CloseMode::CallerSyncs
        } else {
            CloseMode::Sync
        };
        let errors = in_parallel(&logs, self.flush_threads, |log| log.close(mode));
        let mut failed: Vec<_> = errors.into_iter().map(|(log, error)| (log.clone(), error)).collect();
        if mode == CloseMode::CallerSyncs {
            let path = &directory.path;
            tracing::info!(path = %path.display(), logs = changed, "flushing");
            let file = directory.locked.as_ref().map(LockedDirectory::file);
            // Order: a failure ends the directory before the checkpoints, which must not tell what the closed logs believe now.
            if let Some(Err(error)) = file.map(|file| directory.fs.sync_file_system(file, path)) {
                failed.extend(logs.first().map(|log| (log.clone(), error)));
            }
        }
        failed
    }
}

/// Flushes at once in one directory; a file system writes many with one commit (docs/performance.md).
pub(super) const FLUSH_THREADS: usize = 16;

/// Up to so many changed logs are flushed file by file, at a stop and after a kill.
pub(super) const MOST_FLUSHED_ONE_BY_ONE: usize = 32;

/// How often it is told how far a long pass is.
const TELL_EVERY: Duration = Duration::from_secs(5);

type Named = (TopicPartition, Hosted);

fn named((partition, hosted): (&TopicPartition, &Hosted)) -> Named {
    (partition.clone(), hosted.clone())
}

/// Does `run` with all of the logs, on a number of threads; gives those that it failed with.
fn in_parallel(
    logs: &[Named],
    threads: usize,
    run: impl Fn(&Log) -> Result<(), LogError> + Sync,
) -> Vec<(&Named, LogError)> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let (working, done) = mpsc::sync_channel::<()>(0);
    thread::scope(|scope| {
        for _ in 0..threads.min(logs.len()) {
            let (working, next, failed, run) = (working.clone(), &next, &failed, &run);
            scope.spawn(move || {
                let _working = working;
                while let Some(named) = logs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = run(&named.1.log) {
                        lock(failed).push((named, error));
                    }
                }
            });
        }
        drop(working);
        // It ends when the last thread has.
        while done.recv_timeout(TELL_EVERY) == Err(RecvTimeoutError::Timeout) {
            tracing::info!(done = next.load(Ordering::Relaxed).min(logs.len()), of = logs.len(), "flushing logs");
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}
