//! What of a log is dirty and may be cleaned, and whether that is worth it.

use std::sync::Arc;

use crate::log::config::LogConfig;
use crate::log::error::LogError;
use crate::log::log::Log;
use crate::log::segment::Segment;
use crate::types::Offset;

/// The part of a log that a cleaning would take on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cleanable {
    /// The first offset that no cleaning has seen.
    pub first_dirty: Offset,
    /// The base offset of the first segment that must stay as it is.
    pub first_uncleanable: Offset,
    /// Bytes of the segments before the first dirty offset.
    pub clean_bytes: u64,
    /// Bytes of the segments between the two.
    pub cleanable_bytes: u64,
    /// Some of it is older than `max.compaction.lag.ms`.
    pub is_overdue: bool,
    /// The checkpoint was outside of the log, and is to be replaced.
    pub was_reset: bool,
}

impl Cleanable {
    /// The part of what could be clean that is not.
    #[must_use]
    pub fn dirty_ratio(&self) -> f64 {
        let total = self.clean_bytes + self.cleanable_bytes;
        if total == 0 { 0.0 } else { self.cleanable_bytes as f64 / total as f64 }
    }

    /// Whether it is worth a cleaning.
    #[must_use]
    pub fn is_due(&self, config: &LogConfig) -> bool {
        let overdue = self.is_overdue && self.cleanable_bytes > 0;
        overdue || self.dirty_ratio() > config.min_cleanable_dirty_ratio
    }
}

impl Log {
    /// What a cleaning would take on now, given the offset up to which the last one came.
    ///
    /// Neither the active segment, nor what is not stable, nor what is younger than `min.compaction.lag.ms` is cleaned.
    ///
    /// # Errors
    /// What the disk says.
    pub fn cleanable(&self, checkpoint: Option<Offset>, now_ms: i64) -> Result<Cleanable, LogError> {
        let config = self.config();
        // Both of one moment, by one lock: who asks for a second one waits for whoever waits for the first to end.
        let (segments, offsets) = {
            let view = self.view();
            (view.segments.clone(), view.offsets())
        };
        let start = offsets.log_start_offset;
        let valid = checkpoint.filter(|offset| (start..=offsets.log_end_offset).contains(offset));
        if let Some(invalid) = checkpoint.filter(|_| valid.is_none()) {
            // With `delete` the log start overtakes the checkpoint in the ordinary course of things.
            if !config.cleanup_delete || invalid > start {
                tracing::warn!(log = %self.name, checkpoint = %invalid, log_start_offset = %start,
                    log_end_offset = %offsets.log_end_offset, "the cleaner's checkpoint is outside of the log, which is cleaned from its start");
            }
        }
        let first_dirty = valid.unwrap_or(start);
        let was_reset = checkpoint.is_some() && valid.is_none();
        let (active, closed) = segments.split_last().map_or((0, &[][..]), |(last, rest)| (last.base_offset(), rest));
        let dirty = closed.get(floor(closed, first_dirty.0)..).filter(|_| first_dirty.0 < active).unwrap_or_default();

        let mut limit = offsets.last_stable_offset.0.min(active);
        if config.min_compaction_lag_ms > 0
            && let Some(young) =
                self.first_younger(dirty, now_ms.saturating_sub(config.min_compaction_lag_ms), &config)?
        {
            limit = limit.min(young);
        }
        let limit = limit.max(first_dirty.0);
        // Whole segments only: up to the one that holds the limit.
        let end = if limit >= active { closed.len() } else { floor(closed, limit) };
        let first_uncleanable = closed.get(end).map_or(active, |segment| segment.base_offset());
        let from = floor(closed, first_dirty.0.min(first_uncleanable)).min(end);
        let bytes = |segments: &[Arc<Segment>]| segments.iter().map(|segment| segment.size()).sum::<u64>();
        let clean_end = closed.partition_point(|segment| segment.base_offset() < first_dirty.0);
        let is_behind = first_dirty.0 >= first_uncleanable;
        Ok(Cleanable {
            first_dirty,
            first_uncleanable: Offset(first_uncleanable),
            clean_bytes: bytes(closed.get(..clean_end).unwrap_or_default()),
            cleanable_bytes: if is_behind { 0 } else { bytes(closed.get(from..end).unwrap_or_default()) },
            is_overdue: self.is_overdue(dirty, now_ms.saturating_sub(config.max_compaction_lag_ms.max(0)))?,
            was_reset,
        })
    }

    /// The base offset of the first segment with a record newer than `limit_ms`.
    fn first_younger(
        &self,
        segments: &[Arc<Segment>],
        limit_ms: i64,
        config: &LogConfig,
    ) -> Result<Option<i64>, LogError> {
        for segment in segments {
            // However many there are, few of them stay open.
            self.open_segments.touch(segment)?;
            if segment.max_timestamp(config)?.map_or(-1, |largest| largest.timestamp) > limit_ms {
                return Ok(Some(segment.base_offset()));
            }
        }
        Ok(None)
    }

    /// Whether a segment begins before `limit_ms`.
    fn is_overdue(&self, segments: &[Arc<Segment>], limit_ms: i64) -> Result<bool, LogError> {
        if limit_ms <= 0 {
            return Ok(false); // No lag is that long; no file needs to be looked at.
        }
        for segment in segments {
            self.open_segments.touch(segment)?;
            let first = segment.first_batch_timestamp()?;
            if first > 0 && first < limit_ms {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Number of the segment that covers `offset`; 0 if it lies before all.
fn floor(segments: &[Arc<Segment>], offset: i64) -> usize {
    segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1)
}
