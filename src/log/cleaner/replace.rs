//! A compacted segment takes the place of those that it was made of.
//!
//! | step | a crash after it leaves |
//! |---|---|
//! | `.cleaned` is written and on disk | the old segments; `.cleaned` is removed |
//! | `.cleaned` → `.swap` | in the middle of it the old segments; then the new one, which the next start puts in place |
//! | old segments → `.deleted` | the new one |
//! | `.swap` → no suffix | the new one |
//!
//! `swap.rs` settles what is left. Readers that hold an old segment go on in its open files.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::CleanError;
use crate::log::config::LogConfig;
use crate::log::error::LogError;
use crate::log::log::{Log, Writer};
use crate::log::place::{extension, file_name};
use crate::log::retention::DeletedFiles;
use crate::log::segment::Segment;
use crate::log::txn_index;

/// Kinds of files of a segment.
const KINDS: [&str; 4] = [extension::LOG, extension::OFFSET_INDEX, extension::TIME_INDEX, extension::TXN_INDEX];

impl Log {
    /// Puts the segment of `size` bytes whose files have `.cleaned` names in the place of `old`, from whose first it has its
    /// base offset. Returns the files that are to be removed.
    ///
    /// # Errors
    /// [`CleanError::Changed`] if `old` are not in the log any more; what the disk says, after which the log has failed if it is
    /// not clear which segments are in place.
    pub(super) fn replace_segments(
        &self,
        old: &[Arc<Segment>],
        size: u64,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<DeletedFiles, CleanError> {
        // No flush runs meanwhile, and nothing is cut or deleted: it would come back with the swap.
        let _turn = self.flushing()?;
        let mut writer = self.writer()?;
        let Some(base) = old.first().map(|first| first.base_offset()) else { return Err(CleanError::Changed) };
        let (at, end_offset) = self.place_of(old).ok_or(CleanError::Changed)?;
        self.prepare_swap(base)?;
        let mut paths = Vec::new();
        let _swapping = self.swapping.write().unwrap_or_else(PoisonError::into_inner);
        self.finish_swap(&mut writer, base, old, config, &mut paths).map_err(|error| self.fail(error))?;

        let new = Arc::new(Segment::existing(self.place(), base, size, end_offset, now_ms));
        let aborted = txn_index::read(new.place(), base)?.unwrap_or_default();
        new.aborted_are_known(!aborted.is_empty());
        {
            let mut view = self.view_mut();
            view.segments.splice(at..at + old.len(), [new]);
            // Order: before any reader sees the new segment, whose batches are elsewhere.
            self.positions.clear();
        }
        self.open_segments.clear();
        writer.directory_changed = true;
        Ok(DeletedFiles { paths, due_ms: now_ms.saturating_add(config.file_delete_delay_ms) })
    }

    /// Where the segments are in the log, and the base offset of the one behind them.
    fn place_of(&self, old: &[Arc<Segment>]) -> Option<(usize, i64)> {
        let view = self.view();
        let first = old.first()?;
        let at = view.segments.iter().position(|segment| Arc::ptr_eq(segment, first))?;
        let there = view.segments.get(at..at + old.len())?;
        let same = there.iter().zip(old).all(|(one, other)| Arc::ptr_eq(one, other));
        // The active segment is never among them.
        let next = view.segments.get(at + old.len())?;
        same.then(|| (at, next.base_offset()))
    }

    /// From here on the next start puts the new segment in place.
    fn prepare_swap(&self, base: i64) -> Result<(), LogError> {
        let swap = || {
            for kind in KINDS {
                let name = file_name(base, kind);
                let (cleaned, swap) = (extension::CLEANED, extension::SWAP);
                self.place().rename(&format!("{name}.{cleaned}"), &format!("{name}.{swap}"))?;
            }
            // Order: durable before an old segment loses its name.
            self.place().fs.sync_dir(&self.place().dir())
        };
        swap().inspect_err(|error| {
            let removed = KINDS.iter().try_for_each(|kind| {
                let name = file_name(base, kind);
                self.place().remove(&format!("{name}.{}", extension::CLEANED))?;
                self.place().remove(&format!("{name}.{}", extension::SWAP))
            });
            if removed.is_err() {
                // A swap that comes true at some later start would bring back what is deleted until then.
                self.fail(error.clone());
            }
        })
    }

    fn finish_swap(
        &self,
        writer: &mut Writer,
        base: i64,
        old: &[Arc<Segment>],
        config: &LogConfig,
        paths: &mut Vec<PathBuf>,
    ) -> Result<(), LogError> {
        for segment in old {
            paths.extend(segment.mark_replaced(config)?);
            // The producers' state at an offset where no segment begins any more is of no use.
            let offset = segment.base_offset();
            if offset != base && writer.snapshots.remove(&offset) {
                let name = file_name(offset, extension::SNAPSHOT);
                paths.extend(self.place().rename(&name, &format!("{name}.{}", extension::DELETED))?);
            }
        }
        // Order: no start may find the new segment in place beside an old one.
        self.place().fs.sync_dir(&self.place().dir())?;
        for kind in KINDS {
            let name = file_name(base, kind);
            self.place().rename(&format!("{name}.{}", extension::SWAP), &name)?;
        }
        Ok(())
    }
}

/// Removes what a cleaning has written for the segment at `base`.
pub(super) fn remove_cleaned(log: &Log, base: i64) -> Result<(), LogError> {
    KINDS.iter().try_for_each(|kind| log.place().remove(&format!("{}.{}", file_name(base, kind), extension::CLEANED)))
}
