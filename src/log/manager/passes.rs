//! What is done with all logs now and then, and at the end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::{Hosted, LogManager, ManagerError, lock};
use crate::log::directory::CleanShutdown;
use crate::log::{CloseMode, Log, LogError};
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
