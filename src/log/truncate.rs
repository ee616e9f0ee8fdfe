//! Cutting the log at its new end: what a follower does with records that its leader does not have.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::config::LogConfig;
use super::error::LogError;
use super::flush::ALL_FLUSHED;
use super::log::{CloseMode, Log, Writer};
use super::place::{extension, file_name};
use super::replay;
use super::retention::DeletedFiles;
use super::segment::Segment;
use crate::types::Offset;

impl Log {
    /// Drops the batch with `offset` and all after it, durably; the high watermark and the recovery point fall with it. Returns
    /// whether anything was dropped, and the files of whole segments that are to be removed.
    ///
    /// A recovery point that was noted elsewhere has to be noted anew before the next append.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] below the log start offset ([`Log::truncate_fully_and_start_at`] does that); what
    /// the disk says: the log has failed then, and the next start finds it cut here or behind.
    pub fn truncate_to(&self, offset: Offset, now_ms: i64) -> Result<(bool, Option<DeletedFiles>), LogError> {
        // No flush runs meanwhile: it would promise what is being cut off.
        let _turn = self.flushing()?;
        let mut writer = self.writer()?;
        let offsets = self.offsets();
        if offset >= offsets.log_end_offset {
            return Ok((false, None));
        }
        if offset < offsets.log_start_offset {
            let (start, end) = (offsets.log_start_offset, offsets.log_end_offset);
            return Err(LogError::OffsetOutOfRange { dir: self.dir(), offset, start, end });
        }
        let files = self.cut(&mut writer, offset, now_ms).map_err(|error| self.fail(error))?;
        Ok((true, files))
    }

    fn cut(&self, writer: &mut Writer, offset: Offset, now_ms: i64) -> Result<Option<DeletedFiles>, LogError> {
        let config = self.config();
        let (dropped, last) = {
            let mut view = self.view_mut();
            let keep = view.floor(offset).map_or(0, |at| at + 1);
            let dropped = view.segments.split_off(keep);
            (dropped, view.active().cloned())
        };
        let Some(last) = last else { return Err(LogError::Closed { dir: self.dir() }) };
        self.positions.clear();
        self.open_segments.clear();
        // Order: from the end backwards, so that a crash leaves a log without holes, which may still be too long.
        let files = self.drop_segments(writer, dropped, offset, now_ms)?;
        last.truncate_to(offset.0, &config, now_ms)?;
        last.truncate_aborted(offset)?;
        // Order: before anything is appended. What was cut off would else come back in its midst, with checksums that are right.
        last.sync_records()?;
        {
            // Order: the offsets fall once no byte above them is left; a reader in between finds nothing there.
            let mut view = self.view_mut();
            // A batch is dropped whole, so the log may end before the offset that was asked for; as in Kafka it goes on
            // at that offset, with a gap.
            view.log_end_offset = offset;
            view.flushed_at_most(offset);
            view.high_watermark = view.high_watermark.min(offset);
        }
        last.set_end_offset(offset.0);
        {
            let mut epochs = self.epochs();
            epochs.unsaved |= epochs.cache.truncate_from_end(offset);
        }
        // Order: after the batches, of which it would else know too little.
        self.save_epochs(CloseMode::Sync)?;
        self.reload_producers(writer, offset, now_ms)?;
        Ok(files)
    }

    /// Takes away the files of segments from the log's end, and the snapshots of later than `end`, durably.
    fn drop_segments(
        &self,
        writer: &mut Writer,
        mut dropped: Vec<Arc<Segment>>,
        end: Offset,
        now_ms: i64,
    ) -> Result<Option<DeletedFiles>, LogError> {
        dropped.reverse();
        let due_ms = now_ms.saturating_add(self.config().file_delete_delay_ms);
        let files = self.mark_deleted(writer, &dropped, due_ms)?;
        self.remove_snapshots(writer, |snapshot| snapshot > end.0)?;
        self.place().fs.sync_dir(&self.place().dir())?;
        Ok(files)
    }

    /// Finds the producers' state at the new log end again.
    fn reload_producers(&self, writer: &mut Writer, end: Offset, now_ms: i64) -> Result<(), LogError> {
        let config = self.config();
        let start = self.log_start_offset();
        let segments = self.view().segments.clone();
        let replayed =
            replay::load_producers(&self.place(), &config, &segments, &mut writer.snapshots, end.0, end, now_ms)?;
        writer.producers = replayed.producers;
        let mut view = self.view_mut();
        view.transactions = replayed.transactions;
        let high_watermark = view.high_watermark.max(start);
        view.transactions.high_watermark_moved(high_watermark);
        Ok(())
    }

    /// Drops everything and begins anew at `offset`, durably: the leader's log begins behind this one's end. Returns the files
    /// that are to be removed.
    ///
    /// # Errors
    /// What the disk says: the log has failed then. The next start finds what is left of its beginning, or the new one.
    pub fn truncate_fully_and_start_at(&self, offset: Offset, now_ms: i64) -> Result<Option<DeletedFiles>, LogError> {
        let _turn = self.flushing()?;
        let mut writer = self.writer()?;
        self.start_anew(&mut writer, offset, now_ms).map_err(|error| self.fail(error))
    }

    fn start_anew(&self, writer: &mut Writer, offset: Offset, now_ms: i64) -> Result<Option<DeletedFiles>, LogError> {
        // Preallocating is the one thing that may fail for want of room and would take the new file away.
        let config = LogConfig { preallocate: false, ..LogConfig::clone(&self.config()) };
        let place = self.place();
        let mut dropped = self.view().segments.clone();
        let Some(first) = (!dropped.is_empty()).then(|| dropped.remove(0)) else {
            return Err(LogError::Closed { dir: self.dir() });
        };
        // Order: at each moment there is one beginning of the log. First the old one loses all that follows, then its records,
        // and last an empty file changes its name: without any file, a start would begin at 0.
        let files = self.drop_segments(writer, dropped, Offset(-1), now_ms)?;
        first.leave_empty(&config)?;
        place.fs.sync_dir(&place.dir())?;
        {
            let mut epochs = self.epochs();
            epochs.cache.clear();
            epochs.unsaved = true;
        }
        self.save_epochs(CloseMode::Sync)?;
        let name = |offset| file_name(offset, extension::LOG);
        place.rename(&name(first.base_offset()), &name(offset.0))?;
        let segment = Arc::new(Segment::create(Arc::clone(&place), offset.0, &config, now_ms)?);
        place.fs.sync_dir(&place.dir())?;
        self.positions.clear();
        self.open_segments.clear();
        {
            let mut view = self.view_mut();
            view.segments = vec![segment];
            view.log_start_offset = offset;
            view.log_end_offset = offset;
            view.flushed_end = offset;
            view.recovery_point = offset;
            view.due_flush = None;
            view.high_watermark = offset;
            view.transactions = Default::default();
        }
        writer.producers = Default::default();
        writer.unflushed_records = 0;
        self.unflushed_since_ms.store(ALL_FLUSHED, Ordering::Relaxed);
        Ok(files)
    }
}
