//! Checking a whole segment, batch by batch, and making its indexes anew.
//!
//! After a crash the end of the last segment may be torn, and is cut. Anything else that is no sound batch is damage:
//! it stays, is named, and is never served; what follows it is found again by looking for the next sound batch. An end of zeros
//! behind the last offset that the segment has room for was set aside by `preallocate`, and is no damage.

use std::io;

use crate::log::config::LogConfig;
use crate::log::error::LogError;
use crate::log::fs::LogFile;
use crate::log::offset_index::OffsetIndex;
use crate::log::scan::{self, BatchInfo, ScanError, Scanner, WHOLE_BLOCK};
use crate::log::time_index::TimeIndex;

use super::{Appended, Damage, Segment, State, finish_indexes};

/// A file full of garbage must not fill the memory with descriptions of it.
const MAX_DAMAGES: usize = 1024;

/// What the check does with an end that is no whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum Tail {
    /// The last segment after a crash: it is the torn end of the last write.
    Cut,
    /// The same, and the log was known to end at this offset: a last batch beyond it, before which offsets are missing, is no
    /// better.
    CutLeapBeyond(i64),
    /// It was whole once, so it is damage.
    Keep,
}

/// What recovery found in a segment.
#[derive(Debug)]
pub(in crate::log) struct Recovered {
    /// Where it ends now.
    pub(in crate::log) end: u64,
    /// The offset after the last batch; of a segment whose end is damaged, where the next one begins.
    pub(in crate::log) next_offset: i64,
    /// Bytes cut off the file.
    pub(in crate::log) cut: u64,
    /// They were all zeros.
    pub(in crate::log) is_unwritten: bool,
    /// What can't be read.
    pub(in crate::log) damage: Vec<Damage>,
}

impl Segment {
    /// Checks the segment when its log is opened after a crash; `each` sees every sound batch in order.
    ///
    /// # Errors
    /// What the disk says.
    pub(in crate::log) fn recover(
        &self,
        tail: Tail,
        config: &LogConfig,
        each: impl FnMut(&BatchInfo),
    ) -> Result<Recovered, LogError> {
        let mut state = self.state();
        state.end = self.open_file(&mut state)?.size()?;
        let recovered = self.check(&mut state, tail, config, each)?;
        self.publish(state.end);
        state.end_offset = state.end_offset.min(recovered.next_offset);
        // Nothing is appended for now; if it is the last segment, entries go on where these end.
        finish_indexes(&mut state)?;
        Ok(recovered)
    }

    /// Checks the segment because something in it or its indexes is not as it should be.
    pub(super) fn examine(&self, state: &mut State, config: &LogConfig) -> Result<(), LogError> {
        if state.replaced || state.deleted {
            // Its indexes can't be made anew: they would take the place of the new segment's.
            return Err(LogError::io("check", &self.path(), io::ErrorKind::NotFound.into()));
        }
        tracing::info!(segment = %self.path().display(), "checking all batches and building both indexes anew");
        let damage = self.check(state, Tail::Keep, config, |_| {})?.damage;
        finish_indexes(state)?;
        for damage in &damage {
            tracing::error!(
                segment = %self.path().display(), position = damage.start, bytes = damage.end - damage.start,
                offset = damage.from_offset, "{}: the records there can't be read", damage.reason,
            );
        }
        Ok(())
    }

    /// Checks the segment because a reader met a batch with a wrong checksum.
    pub(in crate::log) fn examine_now(&self, config: &LogConfig) -> Result<(), LogError> {
        let mut state = self.state();
        if state.examined { Ok(()) } else { self.examine(&mut state, config) }
    }

    fn check(
        &self,
        state: &mut State,
        tail: Tail,
        config: &LogConfig,
        mut each: impl FnMut(&BatchInfo),
    ) -> Result<Recovered, LogError> {
        let file = self.open_file(state)?;
        let (size, end_offset) = (state.end, state.end_offset);
        let bounds = Bounds { size, end_offset, tail };
        self.reset(state)?;
        let mut scanner = Scanner::new(&file, 0, size, self.base_offset, WHOLE_BLOCK);
        let (next_offset, damage) = (self.base_offset, Vec::new());
        let mut recovered = Recovered { end: 0, next_offset, cut: 0, is_unwritten: false, damage };
        loop {
            let (position, from_offset) = (scanner.position(), scanner.next_offset());
            let reason = match self.check_next(&mut scanner, &file, bounds)? {
                Checked::End => break,
                Checked::Sound(batch) => {
                    // Invariant: `note` takes the batch to stand at `end`.
                    state.end = batch.position;
                    self.note(state, &Appended::from(&batch), config)?;
                    each(&batch);
                    recovered.end = batch.end();
                    recovered.next_offset = batch.next_offset();
                    continue;
                }
                Checked::Bad(reason) => reason,
            };
            recovered.is_unwritten = scan::is_unwritten(&file, position, size)?;
            let is_unwritten = recovered.is_unwritten;
            let behind = if is_unwritten { None } else { scan::find_batch_after(&file, position, size, from_offset)? };
            let behind = behind.filter(|behind| behind.last_offset < end_offset);
            let is_spare = is_unwritten && from_offset == end_offset;
            if behind.is_none() && (tail != Tail::Keep || is_spare) {
                recovered.cut = size - position;
                break;
            }
            let damage = Damage {
                start: position,
                end: behind.map_or(size, |batch| batch.position),
                from_offset,
                to_offset: behind.map_or(end_offset, |batch| batch.base_offset),
                reason,
            };
            scanner.seek(damage.end, damage.to_offset);
            recovered.end = damage.end;
            recovered.next_offset = damage.to_offset;
            if recovered.damage.len() < MAX_DAMAGES {
                recovered.damage.push(damage);
            }
        }
        if recovered.cut > 0 {
            self.cut_file(state, recovered.end)?;
        }
        state.end = recovered.end;
        state.end_offset = end_offset;
        state.examined = true;
        state.damage.clone_from(&recovered.damage);
        state.unverified = match (recovered.damage.first(), recovered.damage.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        };
        Ok(recovered)
    }

    /// The indexes are emptied, what was known of the batches is forgotten.
    fn reset(&self, state: &mut State) -> Result<(), LogError> {
        let mut offsets = OffsetIndex::empty(self.place.clone(), self.base_offset);
        let mut times = TimeIndex::empty(self.place.clone(), self.base_offset);
        offsets.reset()?;
        times.reset()?;
        state.offset_index = Some(offsets);
        state.time_index = Some(times);
        state.max_timestamp = Some(None);
        state.first_timestamp = None;
        state.bytes_since_entry = 0;
        Ok(())
    }

    fn check_next(&self, scanner: &mut Scanner<'_>, file: &LogFile, bounds: Bounds) -> Result<Checked, LogError> {
        let expected = scanner.next_offset();
        let batch = match scanner.next() {
            Ok(None) => return Ok(Checked::End),
            Ok(Some(batch)) => batch,
            Err(ScanError::Io(error)) => return Err(error),
            Err(ScanError::Damaged { reason, .. }) => return Ok(Checked::Bad(reason)),
        };
        if batch.last_offset >= bounds.end_offset {
            return Ok(Checked::Bad("offsets of the next segment"));
        }
        if batch.last_offset - self.base_offset > i64::from(i32::MAX) {
            return Ok(Checked::Bad("offsets too far from the base offset"));
        }
        if !scanner.verify(&batch)? {
            return Ok(Checked::Bad("wrong checksum"));
        }
        // The checksum leaves out the base offset. One that leaps ahead is wrong if the next batch goes on before it;
        // after compaction, and where a log was cut within a batch, there are honest leaps.
        if batch.base_offset > expected && batch.header.is_some() {
            let is_wrong = match Scanner::new(file, batch.end(), bounds.size, expected, 0).next() {
                Ok(Some(next)) => next.base_offset <= batch.last_offset,
                Ok(None) => matches!(bounds.tail, Tail::CutLeapBeyond(end) if batch.last_offset >= end),
                Err(_) => false,
            };
            if is_wrong {
                return Ok(Checked::Bad("wrong base offset"));
            }
        }
        Ok(Checked::Sound(batch))
    }
}

/// What the batches of a segment must keep to.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    size: u64,
    end_offset: i64,
    tail: Tail,
}

enum Checked {
    End,
    Sound(BatchInfo),
    Bad(&'static str),
}
