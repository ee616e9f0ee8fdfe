//! Flushing: what is made durable when, and what may be told of records before they are.
//!
//! | promise | what is durable for it |
//! |---|---|
//! | records below the flushed end survive a power cut | their `.log` files, and the names of those |
//! | nothing below the recovery point has to be checked | all files of the segments that end below it, the snapshots of producers, the leader epochs |
//!
//! Recovery reads the segment that the recovery point is in from its beginning, and makes its indexes and its share of
//! the leader epochs anew. So while that is the active segment, a flush is one `fdatasync` of one file, which brings the
//! file's size along. The other files follow when their segment is complete, and only then the recovery point leaves it.
//!
//! Order, on every path: files, then the directory with their names, then the recovery point in memory, then (by the
//! manager) the checkpoint that tells it, and at a stop the marker after that.

use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use super::epoch_cache;
use super::error::LogError;
use super::fs::Create;
use super::log::{CloseMode, Log, View, Writer};
use super::place::{extension, file_name};
use super::segment::Segment;
use crate::types::Offset;

/// No record waits for a flush: in the place of the time since when one does.
pub(super) const ALL_FLUSHED: i64 = i64::MAX;

/// Records that must not be committed before they are flushed (`flush.messages`).
#[derive(Debug, Clone, Copy)]
pub(super) struct DueFlush {
    /// First offset of the oldest append of which this was so.
    pub(super) from: Offset,
    /// End of the newest one.
    pub(super) to: Offset,
}

/// How much a flush takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Segments that are complete, with all their files.
    CompletedSegments,
    /// Those, and all records of the active segment.
    Records,
    /// All files there are; nothing may be written before the log is closed.
    Everything,
}

/// What a flush has to do.
struct Work {
    completed: Vec<Arc<Segment>>,
    active: Option<Arc<Segment>>,
    snapshots: Vec<i64>,
    directory: bool,
    /// What is flushed then.
    end: Offset,
    recovery_point: Offset,
}

impl View {
    /// Where the records end that may be committed as far as this log goes.
    ///
    /// Invariant: the high watermark never moves beyond it, so that nobody reads a record, or is told of one, that a
    /// power cut could take back against `flush.messages`.
    pub(super) fn committable_end(&self) -> Offset {
        match self.due_flush {
            Some(due) if due.to > self.flushed_end => due.from.max(self.flushed_end),
            _ => self.log_end_offset,
        }
    }

    /// Notes an append that is to be flushed before it is committed.
    pub(super) fn due(&mut self, from: Offset, to: Offset) {
        let from = self.due_flush.filter(|due| due.to > self.flushed_end).map_or(from, |due| due.from);
        self.due_flush = Some(DueFlush { from, to });
    }

    /// The last record of the active segment: no recovery point may lie behind it before the segment's other files are
    /// durable, or a segment begun at the log end would leave this one unchecked.
    pub(super) fn last_recovery_point(&self) -> Offset {
        let base = self.active().map_or(0, |active| active.base_offset());
        Offset(self.log_end_offset.0.saturating_sub(1).max(base))
    }

    /// The log was cut: nothing is promised behind its new end.
    pub(super) fn flushed_at_most(&mut self, end: Offset) {
        self.flushed_end = self.flushed_end.min(end);
        self.recovery_point = self.recovery_point.min(self.last_recovery_point());
        self.due_flush = self.due_flush.map(|due| DueFlush { from: due.from.min(end), to: due.to.min(end) });
    }
}

impl Log {
    /// Makes all records of the log durable; returns where they end.
    ///
    /// # Errors
    /// As [`Log::flush_up_to`].
    pub fn flush(&self) -> Result<Offset, LogError> {
        self.flush_up_to(self.log_end_offset())
    }

    /// Makes the records below `offset` durable, and whatever else is there; returns where the durable ones end. Callers
    /// that come while a flush runs are served together by the next one.
    ///
    /// # Errors
    /// What the disk says: the log has failed then, since what was not flushed may never be (the system forgets dirty
    /// pages after an error).
    pub fn flush_up_to(&self, offset: Offset) -> Result<Offset, LogError> {
        let _turn = self.flushing()?;
        let done = self.flushed_end();
        if done < offset {
            return self.run_flush(Reach::Records);
        }
        self.check_usable()?;
        Ok(done)
    }

    /// Makes the segments durable that nothing is appended to any more, so that recovery need not check them.
    ///
    /// # Errors
    /// As [`Log::flush_up_to`].
    pub fn flush_completed_segments(&self) -> Result<Offset, LogError> {
        let _turn = self.flushing()?;
        self.run_flush(Reach::CompletedSegments)
    }

    /// Makes everything durable, for a log that is being closed; the caller has the turn.
    pub(super) fn flush_everything(&self) -> Result<Offset, LogError> {
        self.run_flush(Reach::Everything)
    }

    /// The turn to flush, or to change what a flush counts on.
    pub(super) fn flushing(&self) -> Result<MutexGuard<'_, ()>, LogError> {
        // A panic in the middle of a flush: nobody knows what is on disk.
        self.flushing.lock().map_err(|_| self.fail(LogError::Panicked { dir: self.dir() }))
    }

    fn run_flush(&self, reach: Reach) -> Result<Offset, LogError> {
        let work = self.begin_flush(reach)?;
        self.sync(&work).map_err(|error| self.fail(error))?;
        // Truncating waits for its turn as well, so the ends are still there.
        let mut view = self.view_mut();
        view.flushed_end = view.flushed_end.max(work.end);
        view.recovery_point = view.recovery_point.max(work.recovery_point);
        Ok(view.flushed_end)
    }

    fn begin_flush(&self, reach: Reach) -> Result<Work, LogError> {
        let mut writer = self.writer()?;
        let view = self.view();
        let from = view.floor(view.recovery_point).unwrap_or(0);
        let mut completed = view.segments.get(from..).unwrap_or_default().to_vec();
        let mut active = None;
        if reach != Reach::Everything {
            active = completed.pop();
        }
        if reach == Reach::CompletedSegments {
            let end = active.map_or(view.flushed_end, |active| Offset(active.base_offset()));
            let active = None;
            // New names are left to the flush that follows when there is nothing to do here.
            let directory = !completed.is_empty() && mem::take(&mut writer.directory_changed);
            let snapshots = if directory { mem::take(&mut writer.unsynced_snapshots) } else { Vec::new() };
            return Ok(Work { completed, active, snapshots, directory, end, recovery_point: end });
        }
        // All that is there, not only what was asked for: whoever waits for this turn is done with it.
        let end = view.log_end_offset;
        let recovery_point = if reach == Reach::Everything { end } else { view.last_recovery_point() };
        let directory = mem::take(&mut writer.directory_changed);
        let snapshots = if completed.is_empty() { Vec::new() } else { mem::take(&mut writer.unsynced_snapshots) };
        writer.unflushed_records = 0;
        self.unflushed_since_ms.store(ALL_FLUSHED, Ordering::Relaxed);
        Ok(Work { completed, active, snapshots, directory, end, recovery_point })
    }

    fn sync(&self, work: &Work) -> Result<(), LogError> {
        // Order: see the head of this file.
        for segment in &work.completed {
            self.unless_deleted(segment, segment.sync())?;
        }
        for snapshot in &work.snapshots {
            match self.place().open(&file_name(*snapshot, extension::SNAPSHOT), Create::No) {
                Err(error) if error.is_not_found() => {} // Deleted in the meantime.
                file => file?.sync()?,
            }
        }
        if !work.completed.is_empty() {
            self.save_epochs(CloseMode::Sync)?;
        }
        if let Some(active) = &work.active {
            self.unless_deleted(active, active.sync_records())?;
        }
        if work.directory { self.place().fs.sync_dir(&self.place().dir()) } else { Ok(()) }
    }

    /// A segment that was deleted in the meantime, with its files, needs no flush.
    fn unless_deleted(&self, segment: &Arc<Segment>, synced: Result<(), LogError>) -> Result<(), LogError> {
        match synced {
            Err(error) if error.is_not_found() && !self.has_segment(segment) => Ok(()),
            other => other,
        }
    }

    /// Writes the epochs if the file does not say them.
    pub(super) fn save_epochs(&self, mode: CloseMode) -> Result<(), LogError> {
        let text = {
            let mut epochs = self.epochs();
            if !mem::take(&mut epochs.unsaved) {
                return Ok(());
            }
            epochs.cache.render()
        };
        let path = self.place().path(epoch_cache::FILE_NAME);
        match mode {
            CloseMode::Sync => self.place().fs.replace(&path, text.as_bytes()),
            CloseMode::CallerSyncs => self.place().fs.replace_unsynced(&path, text.as_bytes()),
        }
    }

    /// Counts records that were appended; says whether `flush.messages` asks for a flush before they are committed.
    pub(super) fn note_unflushed(&self, writer: &mut Writer, records: i64, flush_messages: i64, now_ms: i64) -> bool {
        writer.unflushed_records = writer.unflushed_records.saturating_add(records);
        if self.unflushed_since_ms.load(Ordering::Relaxed) == ALL_FLUSHED {
            self.unflushed_since_ms.store(now_ms, Ordering::Relaxed);
        }
        writer.unflushed_records >= flush_messages
    }

    /// Records below this offset are on the disk.
    #[must_use]
    pub fn flushed_end(&self) -> Offset {
        self.view().flushed_end
    }

    /// Whether records wait for a flush before they can be committed (`flush.messages`).
    #[must_use]
    pub fn commit_waits_for_flush(&self) -> bool {
        let view = self.view();
        view.committable_end() < view.log_end_offset
    }

    /// Whether there are records that have not been flushed for `flush.ms`. Takes no lock for a log without any.
    #[must_use]
    pub fn flush_is_due(&self, now_ms: i64) -> bool {
        let since = self.unflushed_since_ms.load(Ordering::Relaxed);
        since != ALL_FLUSHED && now_ms.saturating_sub(since) >= self.config().flush_ms
    }
}
