//! How large the directories and the logs in them are.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::LogManager;
use crate::types::TopicPartition;

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

impl LogManager {
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
}
