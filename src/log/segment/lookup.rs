//! Finding batches in a segment: by offset, by timestamp, one after another.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::Ordering;

use super::{Damage, Segment, State};
use crate::log::config::LogConfig;
use crate::log::error::LogError;
use crate::log::fs::LogFile;
use crate::log::offset_index::{OffsetIndex, OffsetPosition};
use crate::log::scan::{BatchInfo, LOOKUP_BLOCK, ScanError, Scanner};
use crate::log::time_index::{TimeIndex, TimestampOffset};
use crate::record::HEADER_LEN;
use crate::types::{LeaderEpoch, Offset};

/// The bytes of the batch that a walk stands at, read when they are wanted.
pub(in crate::log) struct BatchBytes<'s, 'f> {
    scanner: &'s mut Scanner<'f>,
    batch: BatchInfo,
}

impl BatchBytes<'_, '_> {
    /// The whole batch.
    pub(in crate::log) fn read(&mut self) -> Result<&[u8], LogError> {
        self.scanner.batch_bytes(&self.batch)
    }

    /// Whether its checksum fits.
    pub(in crate::log) fn verify(&mut self) -> Result<bool, LogError> {
        self.scanner.verify(&self.batch)
    }
}

/// Where a segment ends, by its last batch.
#[derive(Debug, Clone, Copy)]
pub(in crate::log) struct FoundEnd {
    /// The offset after that batch.
    pub(in crate::log) offset: i64,
    /// Its leader epoch.
    pub(in crate::log) epoch: LeaderEpoch,
    /// Whether offsets are missing before it. Its base offset, which the checksum leaves out, may be wrong then.
    pub(in crate::log) is_after_leap: bool,
}

/// What contradicts a clean stop, where the file is missing or can't be an index.
const BAD_INDEX: &str = "the offset index is no good";

impl Segment {
    /// The first batch that ends at `target` or later; `None` if there is none.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if `target` is in a damaged part.
    pub(in crate::log) fn find(&self, target: i64, config: &LogConfig) -> Result<Option<BatchInfo>, LogError> {
        self.find_in(&mut self.state(), target, config)
    }

    pub(super) fn find_in(
        &self,
        state: &mut State,
        target: i64,
        config: &LogConfig,
    ) -> Result<Option<BatchInfo>, LogError> {
        let examined = state.examined;
        match self.try_find(state, target, config) {
            // Damage that was not known: the check made the indexes anew, which may lead around it.
            Err(LogError::Corrupt { .. }) if !examined && state.examined => self.try_find(state, target, config),
            found => found,
        }
    }

    fn try_find(&self, state: &mut State, target: i64, config: &LogConfig) -> Result<Option<BatchInfo>, LogError> {
        if state.end == 0 {
            return Ok(None);
        }
        let file = self.open_file(state)?;
        let mut entry = self.entry_before(state, &file, target, config)?;
        let lost = state.damage.iter().find(|damage| (damage.from_offset..damage.to_offset).contains(&target));
        if let Some(damage) = lost {
            return Err(self.corrupt(damage, target));
        }
        let start = entry.map_or(0, |entry| u64::from(entry.position));
        let mut scanner = Scanner::new(&file, start, state.end, self.base_offset, LOOKUP_BLOCK);
        loop {
            let found = self.next_sound(state, &mut scanner, config)?;
            let Some(batch) = found else { return Ok(None) };
            // The batch of the entry, or one soon after it (older Kafkas had one entry for several batches appended
            // together), ends at the entry's offset. If none does, one of the two is wrong.
            if let Some(expected) = entry.filter(|expected| batch.last_offset >= expected.offset) {
                if batch.last_offset > expected.offset && !state.examined {
                    tracing::warn!(segment = %self.path().display(), "an offset index entry fits no batch");
                    self.examine(state, config)?;
                    return self.try_find(state, target, config);
                }
                entry = None;
            }
            if batch.last_offset >= target {
                return Ok(found);
            }
        }
    }

    /// The index entry at which a walk to `target` starts; without one it starts at the beginning.
    fn entry_before(
        &self,
        state: &mut State,
        file: &LogFile,
        target: i64,
        config: &LogConfig,
    ) -> Result<Option<OffsetPosition>, LogError> {
        if target <= self.base_offset {
            return Ok(None);
        }
        self.load_indexes(state, config)?;
        let entry = lookup(state, target)?;
        if let Some(entry) = &entry
            && !points_to_batch(file, entry, state.end)?
        {
            tracing::warn!(segment = %self.path().display(), "an offset index entry points to no batch");
            self.examine(state, config)?;
            return lookup(state, target);
        }
        Ok(entry)
    }

    /// The next batch of a walk, which leaps over damage.
    fn next_sound(
        &self,
        state: &mut State,
        scanner: &mut Scanner<'_>,
        config: &LogConfig,
    ) -> Result<Option<BatchInfo>, LogError> {
        loop {
            // A batch with a damaged size leads into the middle of it.
            let position = scanner.position();
            if let Some(damage) = state.damage.iter().find(|damage| (damage.start..damage.end).contains(&position)) {
                scanner.seek(damage.end, damage.to_offset);
            }
            let (min_offset, expected) = (scanner.next_offset(), scanner.expected_offset());
            match scanner.next() {
                // No checksum covers the base offset. One that leaps ahead where nothing was compacted is looked into.
                Ok(Some(batch))
                    if expected.is_some_and(|expected| batch.base_offset > expected)
                        && !config.cleanup_compact
                        && !state.examined
                        && state.unverified.contains(&batch.position) =>
                {
                    self.examine(state, config)?;
                    scanner.seek(batch.position, min_offset);
                }
                Ok(batch) => return Ok(batch),
                Err(ScanError::Io(error)) => return Err(error),
                Err(ScanError::Damaged { .. }) if !state.examined => {
                    self.examine(state, config)?;
                    // The size of the batch before may be what is damaged, and have led past where the log goes on.
                    let damaged = |at: u64| state.damage.iter().find(|damage| (damage.start..damage.end).contains(&at));
                    if let Some(damage) = scanner.last_position().and_then(damaged) {
                        scanner.seek(damage.end, damage.to_offset);
                    }
                }
                Err(ScanError::Damaged { position, reason }) => {
                    let offset = Offset(scanner.next_offset());
                    return Err(LogError::Corrupt { path: self.path(), position, offset, reason });
                }
            }
        }
    }

    fn corrupt(&self, damage: &Damage, offset: i64) -> LogError {
        LogError::Corrupt { path: self.path(), position: damage.start, offset: Offset(offset), reason: damage.reason }
    }

    /// Shows `each` the sound batches that end at `from` or later, one after another, until it says to stop.
    pub(in crate::log) fn walk(
        &self,
        from: i64,
        config: &LogConfig,
        mut each: impl FnMut(&BatchInfo, BatchBytes<'_, '_>) -> Result<ControlFlow<()>, LogError>,
    ) -> Result<(), LogError> {
        let start = match self.find(from, config) {
            Ok(Some(batch)) => batch.position,
            Ok(None) => return Ok(()),
            // It begins in damage: known now, so that the walk leaps over it.
            Err(LogError::Corrupt { position, .. }) => position,
            Err(error) => return Err(error),
        };
        let file = self.file()?;
        let mut scanner = Scanner::new(&file, start, self.state().end, self.base_offset, LOOKUP_BLOCK);
        loop {
            let next = self.next_sound(&mut self.state(), &mut scanner, config)?;
            let Some(batch) = next else { return Ok(()) };
            if each(&batch, BatchBytes { scanner: &mut scanner, batch })?.is_break() {
                return Ok(());
            }
        }
    }

    /// Where a last segment ends that was closed well; opens its files. The inner error says what contradicts that. The last batch is
    /// checked whole, the others behind the last index entry by their headers.
    pub(in crate::log) fn find_end(&self, has_index: bool) -> Result<Result<FoundEnd, &'static str>, LogError> {
        let mut state = self.state();
        if state.end == 0 {
            return Ok(Ok(FoundEnd { offset: self.base_offset, epoch: LeaderEpoch::NONE, is_after_leap: false }));
        }
        if !has_index {
            return Ok(Err(BAD_INDEX));
        }
        let mut last_entry = None;
        // What one read shows from its beginning needs no index; that is looked at when it is used.
        if state.end > LOOKUP_BLOCK as u64 {
            let offsets = OffsetIndex::load(self.place.clone(), self.base_offset, state.end_offset, state.end)?;
            let Some(offsets) = offsets else { return Ok(Err(BAD_INDEX)) };
            last_entry = offsets.last();
        }
        let file = self.open_file(&mut state)?;
        let mut start = 0;
        if let Some(entry) = last_entry {
            if !points_to_batch(&file, &entry, state.end)? {
                return Ok(Err("the last index entry points to no batch"));
            }
            start = u64::from(entry.position);
        }
        let mut scanner = Scanner::new(&file, start, state.end, self.base_offset, LOOKUP_BLOCK);
        let mut last = None;
        let mut is_after_leap = false;
        loop {
            let expected = scanner.expected_offset();
            match scanner.next() {
                Ok(Some(batch)) => {
                    is_after_leap = expected.is_some_and(|expected| batch.base_offset > expected);
                    last = Some(batch);
                }
                Ok(None) => break,
                Err(ScanError::Io(error)) => return Err(error),
                Err(ScanError::Damaged { reason, .. }) => return Ok(Err(reason)),
            }
        }
        let Some(last) = last else { return Ok(Err("no batch")) };
        if !scanner.verify(&last)? {
            return Ok(Err("wrong checksum"));
        }
        // The index is not kept: most logs that are opened are not used soon.
        Ok(Ok(FoundEnd { offset: last.next_offset(), epoch: last.leader_epoch(), is_after_leap }))
    }

    /// Base offset and leader epoch of the first batch; none if there is none or it is not sound.
    pub(in crate::log) fn first_batch(&self) -> Result<Option<(Offset, LeaderEpoch)>, LogError> {
        let mut state = self.state();
        let file = self.open_file(&mut state)?;
        let mut scanner = Scanner::new(&file, 0, state.end, self.base_offset, LOOKUP_BLOCK);
        match scanner.next() {
            Ok(Some(batch)) if scanner.verify(&batch)? => Ok(Some((Offset(batch.base_offset), batch.leader_epoch()))),
            Err(ScanError::Io(error)) => Err(error),
            _ => Ok(None),
        }
    }

    /// Loads the indexes if they are not; those that are missing or can't be right are built anew.
    pub(super) fn load_indexes(&self, state: &mut State, config: &LogConfig) -> Result<(), LogError> {
        if state.offset_index.is_some() && state.time_index.is_some() {
            return Ok(());
        }
        self.used.store(true, Ordering::Relaxed);
        let offsets = OffsetIndex::load(self.place.clone(), self.base_offset, state.end_offset, state.end)?;
        let times = TimeIndex::load(self.place.clone(), self.base_offset, state.end_offset)?;
        if let (Some(offsets), Some(times)) = (offsets, times) {
            state.offset_index = Some(offsets);
            state.time_index = Some(times);
            return Ok(());
        }
        tracing::warn!(segment = %self.path().display(), "an index is missing, or was left unfinished");
        self.examine(state, config)
    }

    /// The largest timestamp and the last offset of the batch that has it; `None` if no record has one.
    pub(in crate::log) fn max_timestamp(&self, config: &LogConfig) -> Result<Option<TimestampOffset>, LogError> {
        self.load_max_timestamp(&mut self.state(), config)
    }

    pub(super) fn load_max_timestamp(
        &self,
        state: &mut State,
        config: &LogConfig,
    ) -> Result<Option<TimestampOffset>, LogError> {
        if let Some(known) = state.max_timestamp {
            return Ok(known);
        }
        self.load_indexes(state, config)?;
        let mut largest = state.time_index.as_ref().and_then(TimeIndex::last);
        let mut start = 0;
        if let Some(entry) = largest.filter(|_| state.max_timestamp.is_none()) {
            match self.batch_of(state, &entry, config)? {
                Some(position) => start = position,
                None => {
                    tracing::warn!(segment = %self.path().display(), "the time index does not fit the log");
                    self.examine(state, config)?;
                }
            }
        }
        if let Some(known) = state.max_timestamp {
            return Ok(known); // The indexes were built anew.
        }
        // The last entry tells the largest timestamp of a segment that was closed well. What comes after is looked at all
        // the same: that is little where time goes forward, and an index that lost its end must not make a segment old.
        let file = self.open_file(state)?;
        let mut scanner = Scanner::new(&file, start, state.end, self.base_offset, LOOKUP_BLOCK);
        while let Some(batch) = self.next_sound(state, &mut scanner, config)? {
            if batch.max_timestamp > largest.map_or(-1, |entry| entry.timestamp) {
                largest = Some(TimestampOffset { timestamp: batch.max_timestamp, offset: batch.last_offset });
            }
        }
        // A check on the way has found it as well, and is right.
        Ok(*state.max_timestamp.get_or_insert(largest))
    }

    /// Where the batch of a time index entry starts, if there is one with the timestamp that it should have. The index
    /// has no checksum of its own, and retention deletes by it.
    fn batch_of(
        &self,
        state: &mut State,
        entry: &TimestampOffset,
        config: &LogConfig,
    ) -> Result<Option<u64>, LogError> {
        match self.find_in(state, entry.offset, config) {
            Ok(batch) => Ok(batch
                .filter(|batch| batch.base_offset <= entry.offset && batch.max_timestamp == entry.timestamp)
                .map(|batch| batch.position)),
            // The entry may be all that is left of the batch.
            Err(LogError::Corrupt { position, .. }) => Ok(Some(position)),
            Err(error) => Err(error),
        }
    }

    /// An offset before which no record is as new as `timestamp`.
    pub(in crate::log) fn offset_before_timestamp(&self, timestamp: i64, config: &LogConfig) -> Result<i64, LogError> {
        let mut state = self.state();
        self.load_indexes(&mut state, config)?;
        for _ in 0..2 {
            let entry = match &mut state.time_index {
                Some(index) => index.lookup_below(timestamp)?,
                None => None,
            };
            let Some(entry) = entry else { break };
            if self.batch_of(&mut state, &entry, config)?.is_some() {
                return Ok(entry.offset);
            }
            tracing::warn!(segment = %self.path().display(), "a time index entry fits no batch");
            self.examine(&mut state, config)?;
        }
        Ok(self.base_offset)
    }

    /// Whether some of these bytes must be checked before they are shown to anybody.
    pub(in crate::log) fn needs_check(&self, read: &Range<u64>) -> bool {
        let unverified = &self.state().unverified;
        unverified.start < read.end && read.start < unverified.end
    }

    /// Notes that the checksums of these bytes were right.
    pub(in crate::log) fn checked(&self, read: &Range<u64>) {
        let mut state = self.state();
        if !state.damage.is_empty() {
            return; // Known damage stays within, whatever is read around it.
        }
        let unverified = &mut state.unverified;
        if read.start <= unverified.start {
            unverified.start = unverified.start.max(read.end).min(unverified.end);
        } else if read.end >= unverified.end {
            unverified.end = unverified.end.min(read.start);
        }
    }
}

fn lookup(state: &mut State, target: i64) -> Result<Option<OffsetPosition>, LogError> {
    match &mut state.offset_index {
        Some(index) => index.lookup(target),
        None => Ok(None),
    }
}

/// Whether a batch that may have the entry's offset starts at its position. The index has no checksum of its own.
fn points_to_batch(file: &LogFile, entry: &OffsetPosition, end: u64) -> Result<bool, LogError> {
    let position = u64::from(entry.position);
    let mut header = [0; HEADER_LEN];
    let read = file.read_at(&mut header, position)?;
    let found = BatchInfo::parse(header.get(..read).unwrap_or_default(), position);
    Ok(found.is_ok_and(|batch| batch.end() <= end && batch.base_offset <= entry.offset))
}
