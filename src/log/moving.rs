//! Moving a log to another log directory (AlterReplicaLogDirs): a copy grows there while this log is written to, and takes its place
//! between two appends.
//!
//! The log stays what it is for everybody who uses it: high watermark, producers, transactions and epochs are kept; what
//! changes are its segments and where they are.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::error::{AppendError, LogError, ReadError};
use super::flush::ALL_FLUSHED;
use super::log::Log;
use super::place::Place;
use super::read::ReadLimits;
use crate::types::Offset;

/// Why a log can't be moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The log can't be read.
    #[error("could not read the log to be moved")]
    Read(#[from] ReadError),
    /// The copy can't be written.
    #[error("could not write the copy of the log")]
    Append(#[from] AppendError),
    /// The disk of either of them, or the log was closed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Read and appended at once.
const CHUNK_BYTES: usize = 1 << 20;

impl Log {
    /// Copies the next batches that `copy` lacks; returns their bytes, 0 when there are none.
    ///
    /// # Errors
    /// [`MoveError`]; the copy is then as long as it was.
    pub fn copy_to(&self, copy: &Self, now_ms: i64) -> Result<usize, MoveError> {
        let start = self.log_start_offset();
        let from = copy.log_end_offset();
        if from < start {
            // What it has is gone here.
            copy.truncate_fully_and_start_at(start, now_ms)?;
            return self.copy_to(copy, now_ms);
        }
        if from > self.log_end_offset() {
            copy.truncate_to(self.log_end_offset(), now_ms)?;
            return Ok(0);
        }
        let limits = ReadLimits { end: self.log_end_offset(), max_bytes: CHUNK_BYTES, at_least_one_batch: true };
        let read = match self.read(from, limits) {
            // Its beginning was deleted in this very moment.
            Err(ReadError::OutOfRange { .. }) => return Ok(CHUNK_BYTES),
            other => other?,
        };
        if read.bytes.is_empty() {
            return Ok(0);
        }
        copy.append_as_follower(&read.bytes, now_ms)?;
        copy.advance_high_watermark(self.high_watermark());
        Ok(read.bytes.len())
    }

    /// Puts `copy` in the place of this log's files: copies what it still lacks while nothing is appended, makes that durable, and renames.
    /// The directory of this log gets the name `aside` first, then that of the copy the name `to`, so that at no moment two directories
    /// are the partition's. What is in `aside` is of no use afterwards; `copy` is closed.
    ///
    /// # Errors
    /// [`MoveError`]; this log goes on where it is then.
    pub fn take_over(&self, copy: &Self, aside: &Path, to: &Path, now_ms: i64) -> Result<(), MoveError> {
        // No flush runs meanwhile: it would count on files that are put aside.
        let _turn = self.flushing()?;
        let mut writer = self.writer()?;
        while self.copy_to(copy, now_ms)? > 0 {}
        copy.end_at(self.log_end_offset(), now_ms)?;
        copy.flush()?;
        let (old, new) = (self.place(), copy.place());
        let before = old.dir();
        let sync = |place: &Place, dir: &Path| place.fs.sync_dir(dir.parent().unwrap_or(dir));
        // Order: the copy is to be found before the log is put aside, and the log is aside before the copy has its name: a power cut
        // leaves one of them.
        sync(&new, to)?;
        old.rename_dir(aside)?;
        if let Err(error) = sync(&old, aside).and_then(|()| new.rename_dir(to)) {
            // If this fails as well, both directories have: the log is where nobody looks for it until the next start.
            old.rename_dir(&before).and_then(|()| sync(&old, &before)).map_err(|error| self.fail(error))?;
            return Err(error.into());
        }
        // Order: before an append counts on it.
        sync(&new, to).map_err(|error| self.fail(error))?;
        let mut other = copy.writer()?;
        let start = {
            let mut view = self.view_mut();
            let copied = copy.view();
            view.segments.clone_from(&copied.segments);
            view.flushed_end = copied.flushed_end;
            view.recovery_point = copied.recovery_point;
            // A copy of before a kill may remember a log start that the log itself has forgotten: what is below is in neither now.
            let first = view.segments.first().map_or(view.log_start_offset, |first| Offset(first.base_offset()));
            view.log_start_offset = view.log_start_offset.max(first);
            view.high_watermark = view.high_watermark.max(first);
            view.log_start_offset
        };
        self.set_place(new);
        self.positions.clear();
        self.open_segments.clear();
        writer.snapshots = std::mem::take(&mut other.snapshots);
        writer.unsynced_snapshots = std::mem::take(&mut other.unsynced_snapshots);
        writer.unflushed_records = 0;
        self.unflushed_since_ms.store(ALL_FLUSHED, Ordering::Relaxed);
        let mut epochs = self.epochs();
        epochs.cache.truncate_from_start(start);
        epochs.unsaved = true;
        drop(epochs);
        other.closed = true;
        Ok(())
    }

    /// Ends a log that was copied where its origin ends: the last offsets may have been compacted away.
    fn end_at(&self, end: Offset, now_ms: i64) -> Result<(), LogError> {
        if self.log_end_offset() >= end {
            return Ok(());
        }
        let config = self.config();
        let mut writer = self.writer()?;
        let Some(active) = self.view().active().cloned() else {
            return Err(LogError::Closed { dir: self.dir() });
        };
        self.roll(&mut writer, &config, &active, end, now_ms)?;
        self.view_mut().log_end_offset = end;
        Ok(())
    }

    /// Whether it takes no more records because it was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Closes a copy that is given up; its files are the caller's to remove.
    pub fn give_up(&self) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.closed = true;
        drop(writer);
        let segments: Vec<Arc<_>> = self.view().segments.clone();
        for segment in segments {
            // What is not written of its indexes is of no use to anybody.
            let _ = segment.close_files();
        }
    }
}
