//! The aborted transactions that readers of committed data must know of, by segment.
//!
//! A `.txnindex` has no checksum, and where nothing was aborted there is none: what is missing or wrong in it can't be told by
//! looking at it. So the index of a segment that was found on disk is held against the segment's markers before it is first
//! used; that reads the headers of its batches, once. Logs without transactions are never looked at.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, MutexGuard, PoisonError};

use super::config::LogConfig;
use super::error::{LogError, ReadError};
use super::log::Log;
use super::place::{extension, parse_file_name};
use super::producer_snapshot;
use super::replay;
use super::segment::Segment;
use super::txn_index::{self, AbortedTransaction};
use crate::types::Offset;

/// What is known of the aborted transactions whose markers are in a segment.
#[derive(Debug, Default)]
pub(super) enum Aborted {
    /// The file was not held against the log yet.
    #[default]
    Unchecked,
    /// There are none.
    None,
    /// The file has them.
    InFile,
    /// The file is wrong; it is made anew when the log is closed.
    Found(Vec<AbortedTransaction>),
}

impl Segment {
    fn aborted(&self) -> MutexGuard<'_, Aborted> {
        self.aborted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the file is right, as it was just written or is known not to be there.
    pub(super) fn aborted_are_known(&self, any: bool) {
        *self.aborted() = if any { Aborted::InFile } else { Aborted::None };
    }

    /// Adds a transaction whose marker was appended.
    pub(super) fn add_aborted(&self, entry: AbortedTransaction) -> Result<(), LogError> {
        let mut aborted = self.aborted();
        if let Aborted::Found(entries) = &mut *aborted {
            entries.push(entry);
            return Ok(());
        }
        if matches!(*aborted, Aborted::None) {
            *aborted = Aborted::InFile;
        }
        txn_index::append(self.place(), self.base_offset(), &entry)
    }

    /// Drops the transactions whose markers are cut off at `offset`.
    pub(super) fn truncate_aborted(&self, offset: Offset) -> Result<(), LogError> {
        let mut aborted = self.aborted();
        if let Aborted::Found(entries) = &mut *aborted {
            entries.retain(|entry| entry.last_offset < offset);
            return Ok(());
        }
        txn_index::truncate_to(self.place(), self.base_offset(), offset.0)
    }

    /// Makes a file anew that was found to be wrong.
    pub(super) fn save_aborted(&self) -> Result<(), LogError> {
        let mut aborted = self.aborted();
        if let Aborted::Found(entries) = &*aborted {
            txn_index::rewrite(self.place(), self.base_offset(), entries)?;
            *aborted = if entries.is_empty() { Aborted::None } else { Aborted::InFile };
        }
        Ok(())
    }

    /// The transactions, if they were checked; the inner `None` stands for a file that has become wrong since then.
    fn checked_aborted(&self) -> Result<Option<Option<Vec<AbortedTransaction>>>, LogError> {
        match &*self.aborted() {
            Aborted::Unchecked => Ok(None),
            Aborted::None => Ok(Some(Some(Vec::new()))),
            Aborted::InFile => Ok(Some(txn_index::read(self.place(), self.base_offset())?)),
            Aborted::Found(entries) => Ok(Some(Some(entries.clone()))),
        }
    }

    fn was_checked(&self) -> bool {
        !matches!(*self.aborted(), Aborted::Unchecked)
    }
}

impl Log {
    /// The aborted transactions that a reader of committed data must know of for the records in `range`.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub fn aborted_transactions(&self, range: Range<Offset>) -> Result<Vec<AbortedTransaction>, ReadError> {
        let _no_swap = self.swapping.read().unwrap_or_else(PoisonError::into_inner);
        self.aborted_in(range)
    }

    /// As [`Log::aborted_transactions`], while no segments are being replaced.
    pub(super) fn aborted_in(&self, range: Range<Offset>) -> Result<Vec<AbortedTransaction>, ReadError> {
        self.check_usable()?;
        let (segments, first) = {
            let view = self.view();
            (view.segments.clone(), view.floor(range.start).unwrap_or(0))
        };
        let mut found = Vec::new();
        for (at, segment) in segments.iter().enumerate().skip(first) {
            // Checking a segment costs a walk: not where no transaction of the range can end there.
            let is_behind = at > first && segment.base_offset() >= range.end.0;
            if is_behind && !segment.was_checked() && self.begins_settled(segment, range.end)? {
                break;
            }
            for entry in self.aborted_of(segments.get(..=at).unwrap_or_default(), segment)? {
                if entry.last_offset >= range.start && entry.first_offset < range.end {
                    found.push(entry);
                }
                if entry.last_stable_offset >= range.end {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// Whether no transaction that began before `offset` was open when the segment was begun, as far as a snapshot tells.
    fn begins_settled(&self, segment: &Segment, offset: Offset) -> Result<bool, LogError> {
        let earliest = match segment.earliest_open.get() {
            Some(earliest) => *earliest,
            None => {
                let Some(entries) = producer_snapshot::read(segment.place(), segment.base_offset())? else {
                    return Ok(false);
                };
                let open = entries.iter().map(|entry| entry.txn_first_offset).filter(|first| *first >= 0);
                *segment.earliest_open.get_or_init(|| open.min().unwrap_or(i64::MAX))
            }
        };
        Ok(earliest >= offset.0)
    }

    /// The aborted transactions whose markers are in `segment`, the last one of `up_to`.
    fn aborted_of(&self, up_to: &[Arc<Segment>], segment: &Arc<Segment>) -> Result<Vec<AbortedTransaction>, LogError> {
        if let Some(Some(known)) = segment.checked_aborted()? {
            return Ok(known);
        }
        let names = segment.place().fs.list(&segment.place().dir())?;
        let snapshots = names.iter().filter_map(|name| parse_file_name(name));
        let snapshots = snapshots.filter(|(_, kind)| *kind == extension::SNAPSHOT).map(|(offset, _)| offset).collect();
        let config = self.config();
        let (mut entries, checked_to) = replay::aborted_of_last(segment.place(), &config, up_to, snapshots)?;
        if self.view().active().is_none_or(|active| !Arc::ptr_eq(active, segment)) {
            self.open_segments.touch(segment)?;
        }
        let derived: BTreeSet<Offset> = entries.iter().map(|entry| entry.last_offset).collect();
        let mut aborted = segment.aborted();
        let in_file = txn_index::read(segment.place(), segment.base_offset())?;
        for entry in in_file.iter().flatten().filter(|entry| !derived.contains(&entry.last_offset)) {
            // What was appended meanwhile stands in the file only, and so does what a damaged marker said.
            if entry.last_offset.0 >= checked_to || is_damaged(segment, entry.last_offset, &config)? {
                entries.push(*entry);
            }
        }
        entries.sort_by_key(|entry| entry.last_offset);
        *aborted = if in_file.as_ref() == Some(&entries) {
            if entries.is_empty() { Aborted::None } else { Aborted::InFile }
        } else {
            // Compaction leaves entries of markers that have lost their records: these may go as well.
            if !config.cleanup_compact {
                tracing::warn!(
                    segment = %segment.path().display(),
                    in_index = in_file.as_ref().map(Vec::len), in_log = entries.len(),
                    "the index of aborted transactions does not fit the log, and is made anew from it",
                );
            }
            Aborted::Found(entries.clone())
        };
        Ok(entries)
    }
}

/// Whether there is a batch at `offset` that can't be read.
fn is_damaged(segment: &Segment, offset: Offset, config: &LogConfig) -> Result<bool, LogError> {
    let mut is_sound = true;
    segment.walk(offset.0, config, |batch, mut bytes| {
        is_sound = batch.base_offset > offset.0 || bytes.verify()?;
        Ok(ControlFlow::Break(()))
    })?;
    if !is_sound {
        segment.examine_now(config)?;
    }
    Ok(matches!(segment.find(offset.0, config), Err(LogError::Corrupt { .. })))
}
