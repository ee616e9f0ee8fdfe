//! How large the directories and the logs in them are.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::{Copy, LogManager};
use crate::log::disk;
use crate::types::TopicPartition;

/// The size of one log, for DescribeLogDirs.
#[derive(Debug, Clone)]
pub struct LogSize {
    /// The partition.
    pub partition: TopicPartition,
    /// Bytes of its segments.
    pub bytes: u64,
    /// Records that it lacks.
    pub offset_lag: i64,
    /// It is a copy that is to take the place of the log in another directory.
    pub is_future: bool,
}

/// One log directory, for DescribeLogDirs.
#[derive(Debug, Clone)]
pub struct DirectorySize {
    /// Where it is.
    pub path: PathBuf,
    /// Whether its disk has failed.
    pub failed: bool,
    /// Whether it takes no more logs.
    pub cordoned: bool,
    /// Bytes of the file system.
    pub total_bytes: Option<u64>,
    /// Bytes left for us.
    pub usable_bytes: Option<u64>,
    /// The logs in it.
    pub logs: Vec<LogSize>,
}

impl LogManager {
    /// Sizes of the directories and of the logs in them.
    #[must_use]
    pub fn sizes(&self) -> Vec<DirectorySize> {
        let mut sizes: Vec<DirectorySize> = self
            .directories
            .iter()
            .map(|directory| {
                let room = disk::room(&directory.path).filter(|_| directory.works());
                DirectorySize {
                    path: directory.path.clone(),
                    failed: !directory.works(),
                    cordoned: directory.works() && directory.cordoned.load(Ordering::Acquire),
                    total_bytes: room.map(|(_, all)| all),
                    usable_bytes: room.map(|(left, _)| left),
                    logs: Vec::new(),
                }
            })
            .collect();
        for (partition, hosted) in self.all() {
            let end = hosted.log.log_end_offset();
            if let Some(Copy { log, directory }) = hosted.copy
                && let Some(directory) = sizes.get_mut(directory)
            {
                directory.logs.push(LogSize {
                    partition: partition.clone(),
                    bytes: log.size_bytes(),
                    offset_lag: end.get().saturating_sub(log.log_end_offset().get()),
                    is_future: true,
                });
            }
            if let Some(directory) = sizes.get_mut(hosted.directory) {
                let offset_lag = hosted.log.high_watermark().get().saturating_sub(end.get()).max(0);
                let bytes = hosted.log.size_bytes();
                directory.logs.push(LogSize { partition, bytes, offset_lag, is_future: false });
            }
        }
        sizes
    }
}
