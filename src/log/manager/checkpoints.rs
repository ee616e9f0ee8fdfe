//! The checkpoint files of the directories: what a start needs to know about each log without reading it.

use super::{Directory, LogManager, ManagerError, lock};
use crate::log::Log;
use crate::log::checkpoint::{self, Offsets};
use crate::types::{Offset, TopicPartition};

impl LogManager {
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

    /// Takes a partition out of what is noted in a directory, where a new log of it is about to begin: an earlier one of the same name
    /// began and ended elsewhere.
    pub(super) fn forget_noted(&self, directory: &Directory, partition: &TopicPartition) -> Result<(), ManagerError> {
        if lock(&directory.written).values().any(|offsets| offsets.contains_key(partition)) {
            self.checkpoint_recovery_points()?;
            self.checkpoint_high_watermarks()?;
            self.checkpoint_log_start_offsets()?;
        }
        Ok(())
    }

    fn checkpoint(&self, name: &'static str, offset: impl Fn(&Log) -> Option<Offset>) -> Result<(), ManagerError> {
        let mut offsets = vec![Offsets::new(); self.directories.len()];
        for (partition, hosted) in self.logs().iter() {
            if let (Some(offsets), Some(offset)) = (offsets.get_mut(hosted.directory), offset(&hosted.log)) {
                offsets.insert(partition.clone(), offset);
            }
            // A log on the move is noted in both directories, so that its copy can take its place at any moment.
            let Some(copy) = &hosted.copy else { continue };
            let log = if name == checkpoint::RECOVERY_POINTS { &copy.log } else { &hosted.log };
            if let (Some(offsets), Some(offset)) = (offsets.get_mut(copy.directory), offset(log)) {
                offsets.insert(partition.clone(), offset);
            }
        }
        for (directory, offsets) in self.directories.iter().zip(offsets) {
            let mut written = lock(&directory.written);
            if !directory.works() || written.get(name) == Some(&offsets) {
                continue;
            }
            let path = directory.path.join(name);
            match checkpoint::write(&directory.fs, &path, &offsets) {
                Ok(()) => {
                    written.insert(name, offsets);
                }
                // The failure of a disk is told by whoever watches it; the other directories have theirs written.
                Err(error) if directory.works() => return Err(error.into()),
                Err(_) => {}
            }
        }
        Ok(())
    }
}
