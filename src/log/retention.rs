//! Deleting whole segments at the old end of the log: by log start offset, size and age.
//!
//! A segment's files get their `.deleted` names at once and are removed later by the caller, since a reader may be about
//! to use them.

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use super::config::LogConfig;
use super::error::LogError;
use super::fs::Fs;
use super::log::{Log, Writer};
use super::place::{extension, file_name};
use super::segment::Segment;
use crate::types::Offset;

/// Files to be removed once the time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedFiles {
    /// The files, under their `.deleted` names.
    pub paths: Vec<PathBuf>,
    /// When, in milliseconds since 1970.
    pub due_ms: i64,
}

impl DeletedFiles {
    /// Removes the files; those that are gone are fine.
    ///
    /// # Errors
    /// What the disk says; the rest is found and removed when the log is opened again.
    pub fn remove(&self, fs: &Fs) -> Result<(), LogError> {
        self.paths.iter().try_for_each(|path| fs.remove(path))
    }
}

/// What a pass of retention did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionOutcome {
    /// Segments deleted.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The log start offset now.
    pub log_start_offset: Offset,
    /// What is left to be removed.
    pub deleted: Option<DeletedFiles>,
}

impl Log {
    /// Raises the log start offset: what is below can't be read any more (DeleteRecords). Segments that lie wholly below
    /// are deleted by the next [`Log::apply_retention`]. Returns the log start offset, which never falls.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] above the high watermark; [`LogError::Failed`], [`LogError::Closed`].
    pub fn raise_log_start_offset(&self, offset: Offset) -> Result<Offset, LogError> {
        let _writer = self.writer()?;
        let mut view = self.view_mut();
        if offset > view.high_watermark {
            let (start, end) = (view.log_start_offset, view.high_watermark);
            return Err(LogError::OffsetOutOfRange { dir: self.dir(), offset, start, end });
        }
        if offset > view.log_start_offset {
            view.log_start_offset = offset;
            let mut epochs = self.epochs();
            epochs.unsaved |= epochs.cache.truncate_from_start(offset);
        }
        Ok(view.log_start_offset)
    }

    /// Deletes the segments that the settings say may go: those below the log start offset; with `delete` in
    /// `cleanup.policy`, those above `retention.bytes` and older than `retention.ms`. Only whole segments below the high
    /// watermark go, from the oldest on. If all are too old, a new one is begun.
    ///
    /// # Errors
    /// What the disk says: the log has failed then if files were renamed in part.
    pub fn apply_retention(&self, now_ms: i64) -> Result<RetentionOutcome, LogError> {
        let config = self.config();
        let mut writer = self.writer()?;
        let mut deleted = Vec::new();
        let outcome = self.take_out_expired(&mut writer, &config, now_ms, &mut deleted);
        // Also when a later rule met an error: these segments are out of the log.
        let bytes = deleted.iter().map(|segment| segment.size()).sum();
        let due_ms = now_ms.saturating_add(config.file_delete_delay_ms);
        let files = self.mark_deleted(&mut writer, &deleted, due_ms).map_err(|error| self.fail(error))?;
        outcome?;
        let log_start_offset = self.log_start_offset();
        Ok(RetentionOutcome { segments: deleted.len(), bytes, log_start_offset, deleted: files })
    }

    fn take_out_expired(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        now_ms: i64,
        deleted: &mut Vec<Arc<Segment>>,
    ) -> Result<(), LogError> {
        deleted.extend(self.take_out_while(writer, config, now_ms, |segment| {
            Ok(segment.next_base.is_some_and(|base| base <= segment.log_start_offset))
        })?);
        if !config.cleanup_delete {
            return Ok(());
        }
        let total = self.size_bytes();
        if let Some(mut above) = u64::try_from(config.retention_bytes).ok().and_then(|max| total.checked_sub(max)) {
            deleted.extend(self.take_out_while(writer, config, now_ms, |segment| {
                let left = above.checked_sub(segment.segment.size());
                above = left.unwrap_or(above);
                Ok(left.is_some())
            })?);
        }
        if config.retention_ms >= 0 {
            deleted.extend(self.take_out_while(writer, config, now_ms, |segment| {
                let age = now_ms.saturating_sub(self.newest_ms(segment.segment, config)?);
                Ok(age > config.retention_ms)
            })?);
        }
        Ok(())
    }

    /// The newest timestamp in a segment; without any, when its file was last written.
    fn newest_ms(&self, segment: &Arc<Segment>, config: &LogConfig) -> Result<i64, LogError> {
        match self.newest_in(segment, config)? {
            Some(largest) => Ok(largest.timestamp),
            None => Ok(self.place().fs.metadata(&segment.path())?.modified_ms),
        }
    }

    /// Takes segments out of the log, from the oldest on, while `may_go` says so.
    fn take_out_while(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        now_ms: i64,
        mut may_go: impl FnMut(&Candidate<'_>) -> Result<bool, LogError>,
    ) -> Result<Vec<Arc<Segment>>, LogError> {
        let (segments, offsets) = {
            let view = self.view();
            (view.segments.clone(), (view.log_start_offset, view.high_watermark, view.log_end_offset))
        };
        let (log_start_offset, high_watermark, log_end_offset) = offsets;
        let mut count = 0;
        for (at, segment) in segments.iter().enumerate() {
            let next_base = segments.get(at + 1).map(|next| Offset(next.base_offset()));
            let empty_active = next_base.is_none() && segment.size() == 0;
            // What is not committed stays, so that the log start never passes the high watermark.
            if empty_active || high_watermark < next_base.unwrap_or(log_end_offset) {
                break;
            }
            if !may_go(&Candidate { segment, next_base, log_start_offset })? {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        if count == segments.len()
            && let Some(active) = segments.last()
        {
            self.roll(writer, config, active, log_end_offset, now_ms)?;
        }
        let mut view = self.view_mut();
        let gone: Vec<_> = view.segments.drain(..count).collect();
        self.open_segments.clear();
        let first = view.segments.first().map_or(log_end_offset, |segment| Offset(segment.base_offset()));
        view.log_start_offset = view.log_start_offset.max(first);
        let mut epochs = self.epochs();
        epochs.unsaved |= epochs.cache.truncate_from_start(view.log_start_offset);
        Ok(gone)
    }

    /// Gives the files of segments that are out of the log their `.deleted` names, and the producers' snapshots at their
    /// base offsets too.
    pub(super) fn mark_deleted(
        &self,
        writer: &mut Writer,
        segments: &[Arc<Segment>],
        due_ms: i64,
    ) -> Result<Option<DeletedFiles>, LogError> {
        if segments.is_empty() {
            return Ok(None);
        }
        // Order: first the names of the segments that stay. Else a power cut could leave none, and
        // forget where the log ends.
        if mem::take(&mut writer.directory_changed) {
            self.place().fs.sync_dir(&self.place().dir())?;
        }
        let mut paths = Vec::new();
        for segment in segments {
            paths.extend(segment.mark_deleted()?);
            segment.close_files()?;
            let offset = segment.base_offset();
            if writer.snapshots.remove(&offset) {
                let name = file_name(offset, extension::SNAPSHOT);
                paths.extend(self.place().rename(&name, &format!("{name}.{}", extension::DELETED))?);
            }
        }
        writer.directory_changed = true;
        tracing::info!(log = %self.name, segments = segments.len(), "deleted segments");
        Ok(Some(DeletedFiles { paths, due_ms }))
    }
}

/// A segment that may be deleted.
struct Candidate<'a> {
    segment: &'a Arc<Segment>,
    next_base: Option<Offset>,
    log_start_offset: Offset,
}
