//! Reading: slices of segment files as they are, and look-ups by time.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::config::LogConfig;
use super::error::{LogError, ReadError};
use super::fs::LogFile;
use super::log::Log;
use super::position_cache::Position;
use super::scan::{self, BatchInfo};
use super::segment::{BatchBytes, Segment};
use super::time_index::TimestampOffset;
use super::txn_index::AbortedTransaction;
use crate::record::{HEADER_LEN, LogEntry};
use crate::types::{LeaderEpoch, Offset};

/// How much a read may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// No batch from here on: the high watermark, the last stable offset, or the log end offset.
    pub end: Offset,
    /// Bytes at most.
    pub max_bytes: usize,
    /// The first batch is returned whole even if it is larger than that.
    pub at_least_one_batch: bool,
}

/// A piece of log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRead {
    /// Whole batches; the first holds the offset asked for, and perhaps some before it.
    pub bytes: Bytes,
    /// Where the next read goes on; the offset asked for if there is nothing.
    pub next_offset: Offset,
    /// Whether there are records of transactions among them, which may have been aborted.
    pub has_transactional: bool,
}

/// A record found by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Its timestamp.
    pub timestamp: i64,
    /// Its offset.
    pub offset: Offset,
    /// The leader epoch that it was appended in; -1: unknown.
    pub leader_epoch: LeaderEpoch,
}

/// Largest batch that is decompressed to find a record in it.
const MAX_DECOMPRESSED_BYTES: usize = 1 << 28;

/// Swaps of compacted segments come seconds apart; a read that meets as many in a row is left to the next request.
const READS_BETWEEN_SWAPS: usize = 8;

/// A place in a segment.
struct Place {
    segment: Arc<Segment>,
    position: u64,
    /// The batch there has no offsets below this.
    min_offset: Offset,
    /// Bytes of the segment at the time of the look-up.
    size: u64,
}

impl Log {
    /// Reads batches from the one that holds `from` on, of one segment.
    ///
    /// Whole batches only; what would not fit `limits.max_bytes` is left for the next read. Where offsets are missing
    /// (compaction, a lost segment) the next batch there is comes first.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] for an offset below the log start or above the log end; [`ReadError::Corrupt`] if the
    /// batch that holds `from` is damaged; [`ReadError::Storage`].
    pub fn read(&self, from: Offset, limits: ReadLimits) -> Result<LogRead, ReadError> {
        self.check_usable()?;
        let config = self.config();
        // Twice: damage found by the first attempt is known to the second, and so is a deletion under its hands.
        match self.try_read(from, limits, &config) {
            Err(Retry::Again(_)) => self.try_read(from, limits, &config).map_err(Retry::into_error),
            other => other.map_err(Retry::into_error),
        }
    }

    fn try_read(&self, from: Offset, limits: ReadLimits, config: &LogConfig) -> Result<LogRead, Retry> {
        let nothing = LogRead { bytes: Bytes::new(), next_offset: from, has_transactional: false };
        let end = limits.end.min(self.check_range(from)?);
        if from >= end {
            return Ok(nothing);
        }
        let generation = self.positions.generation();
        let mut next = from;
        while let Some(place) = self.locate(next, config)? {
            let file = place.segment.file().map_err(|error| self.retry(&place.segment, error))?;
            let mut bytes = read_bytes(&file, &place, &limits).map_err(ReadError::from)?;
            match self.whole_batches(&place, &bytes, next..end, config) {
                Piece::Nothing => return Ok(nothing),
                Piece::Batches { length, next_offset, has_transactional } => {
                    bytes.truncate(length);
                    let (base_offset, position) = (place.segment.base_offset(), place.position + length as u64);
                    self.positions.put(Position { offset: next_offset, base_offset, position }, generation);
                    return Ok(LogRead { bytes: Bytes::from(bytes), next_offset, has_transactional });
                }
                Piece::Damage { position, reason } => {
                    place.segment.examine_now(config).map_err(|error| self.retry(&place.segment, error))?;
                    // The next attempt is told by the look-up what is wrong, or led behind it.
                    self.positions.clear();
                    let path = place.segment.path();
                    return Err(Retry::Again(ReadError::Corrupt { path, position, offset: from, reason }));
                }
                // A position remembered from the last read; the record is in the next segment.
                Piece::EndOfSegment => match self.next_base(&place.segment) {
                    Some(base) if base < end => {
                        if !config.cleanup_compact {
                            place.segment.tell_hole(next.0, base.0);
                        }
                        next = base.max(next);
                    }
                    _ => return Ok(nothing),
                },
            }
        }
        Ok(nothing)
    }

    /// Checks that `from` may be asked for; returns the log end.
    fn check_range(&self, from: Offset) -> Result<Offset, ReadError> {
        let offsets = self.offsets();
        if from < offsets.log_start_offset || from > offsets.log_end_offset {
            let (start, end) = (offsets.log_start_offset, offsets.log_end_offset);
            return Err(ReadError::OutOfRange { offset: from, start, end });
        }
        Ok(offsets.log_end_offset)
    }

    /// Where the first batch that ends at `offset` or later starts.
    fn locate(&self, offset: Offset, config: &LogConfig) -> Result<Option<Place>, Retry> {
        let generation = self.positions.generation();
        let mut offset = offset;
        loop {
            let (segment, size, is_active, log_end) = {
                let view = self.view();
                let Some(at) = view.floor(offset) else { return Ok(None) };
                let Some(segment) = view.segments.get(at) else { return Ok(None) };
                (segment.clone(), segment.size(), at + 1 == view.segments.len(), view.log_end_offset)
            };
            if !is_active {
                self.open_segments.touch(&segment).map_err(ReadError::from)?;
            }
            let known = if offset.0 == segment.base_offset() && size > 0 {
                Some(0)
            } else if is_active && offset == log_end {
                Some(size)
            } else {
                self.positions.get(offset, segment.base_offset())
            };
            if let Some(position) = known {
                return Ok(Some(Place { segment, position, min_offset: offset, size }));
            }
            match segment.find(offset.0, config).map_err(|error| self.retry(&segment, error))? {
                Some(batch) if batch.position < size => {
                    let (base_offset, position) = (segment.base_offset(), batch.position);
                    if batch.base_offset >= offset.0 {
                        self.positions.put(Position { offset, base_offset, position }, generation);
                    }
                    let min_offset = Offset(base_offset);
                    return Ok(Some(Place { segment, position, min_offset, size }));
                }
                _ if is_active => return Ok(None),
                _ => {}
            }
            // Behind the last batch of the segment: a gap, which is skipped.
            let Some(base) = self.next_base(&segment) else { return Ok(None) };
            if !config.cleanup_compact {
                segment.tell_hole(offset.0, base.0);
            }
            offset = base.max(offset);
        }
    }

    fn next_base(&self, segment: &Segment) -> Option<Offset> {
        self.next_base_after(segment.base_offset()).map(Offset)
    }

    /// The base offset of the first segment that begins behind `offset`.
    pub(super) fn next_base_after(&self, offset: i64) -> Option<i64> {
        let view = self.view();
        let after = view.segments.partition_point(|other| other.base_offset() <= offset);
        view.segments.get(after).map(|next| next.base_offset())
    }

    /// What of the bytes read at a place may be returned: whole batches with offsets in `range`, up to the first that is
    /// damaged.
    fn whole_batches(&self, place: &Place, bytes: &[u8], range: Range<Offset>, config: &LogConfig) -> Piece {
        let check = place.segment.needs_check(&(place.position..place.position + bytes.len() as u64));
        let (mut length, mut next_offset, mut has_transactional) = (0, place.min_offset, false);
        let stop = loop {
            let rest = bytes.get(length..).unwrap_or_default();
            let position = place.position + length as u64;
            if position >= place.size {
                break Piece::EndOfSegment;
            }
            let batch = match BatchInfo::parse(rest, position) {
                // The checksum leaves out the base offset; one that leaps where nothing was compacted is looked into.
                Ok(batch) if check && (batch.base_offset < next_offset.0 || batch.last_offset < range.start.0) => {
                    break Piece::Damage { position, reason: "offsets go back" };
                }
                Ok(batch) if check && batch.base_offset > next_offset.max(range.start).0 && !config.cleanup_compact => {
                    break Piece::Damage { position, reason: "wrong base offset" };
                }
                Ok(batch) if batch.base_offset >= range.end.0 => break Piece::Nothing,
                Ok(batch) if batch.end() <= place.size => batch,
                // The limit has cut the header.
                Err(_) if rest.len() < HEADER_LEN && position + (rest.len() as u64) < place.size => {
                    break Piece::Nothing;
                }
                Ok(_) => break Piece::Damage { position, reason: "impossible batch size" },
                Err(reason) => break Piece::Damage { position, reason },
            };
            // The limit has cut the batch; if it is the first, it does not fit.
            let Some(whole) = rest.get(..batch.size as usize) else { break Piece::Nothing };
            if check && !scan::verify(whole) {
                break Piece::Damage { position, reason: "wrong checksum" };
            }
            length += whole.len();
            has_transactional |= batch.header.is_some_and(|header| header.attributes.is_transactional());
            next_offset = Offset(batch.next_offset());
        };
        if length == 0 {
            return stop;
        }
        if check {
            place.segment.checked(&(place.position..place.position + length as u64));
        }
        Piece::Batches { length, next_offset, has_transactional }
    }

    /// An error with a segment that may be gone in the meantime.
    fn retry(&self, segment: &Arc<Segment>, error: LogError) -> Retry {
        if self.has_segment(segment) { Retry::No(error.into()) } else { Retry::Again(error.into()) }
    }

    /// Bytes between two offsets, as far as can be told cheaply: what a waiting Fetch counts.
    ///
    /// What can't be told counts as much: a read then says what is wrong.
    #[must_use]
    pub fn readable_bytes(&self, from: Offset, end: Offset) -> u64 {
        let config = self.config();
        let end = end.min(self.log_end_offset());
        if from >= end {
            return 0;
        }
        let (Ok(Some(start)), Ok(stop)) = (self.locate(from, &config), self.locate(end, &config)) else {
            return u64::MAX;
        };
        let Some(stop) = stop else { return start.size.saturating_sub(start.position) };
        if Arc::ptr_eq(&start.segment, &stop.segment) {
            return stop.position.saturating_sub(start.position);
        }
        let between = start.segment.base_offset() + 1..stop.segment.base_offset();
        let view = self.view();
        let whole = view.segments.iter().filter(|segment| between.contains(&segment.base_offset()));
        start.size.saturating_sub(start.position) + whole.map(|segment| segment.size()).sum::<u64>() + stop.position
    }

    /// The first record, at the log start or later, that is as new as `timestamp`; `None` if there is none. Records at
    /// or above the high watermark are found too.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] if the search ends at a damaged batch; [`ReadError::Storage`].
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampedOffset>, ReadError> {
        self.check_usable()?;
        let config = self.config();
        let (segments, start) = {
            let view = self.view();
            (view.segments.clone(), view.log_start_offset)
        };
        for segment in segments {
            let largest = self.newest_in(&segment, &config)?;
            if largest.is_none_or(|largest| largest.timestamp < timestamp) {
                continue;
            }
            let from = segment.offset_before_timestamp(timestamp, &config)?.max(start.0);
            let mut found = None;
            segment.walk(from, &config, |batch, mut bytes| {
                if batch.max_timestamp >= timestamp {
                    self.check_found(&segment, batch, &mut bytes)?;
                    found = first_record(bytes.read()?, |record, at| at >= start && record >= timestamp);
                }
                Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Refuses a batch that was found by its header, which may be what is damaged.
    fn check_found(
        &self,
        segment: &Segment,
        batch: &BatchInfo,
        bytes: &mut BatchBytes<'_, '_>,
    ) -> Result<(), LogError> {
        if !segment.needs_check(&(batch.position..batch.end())) || bytes.verify()? {
            return Ok(());
        }
        let (path, position, offset) = (segment.path(), batch.position, Offset(batch.base_offset));
        Err(LogError::Corrupt { path, position, offset, reason: "wrong checksum" })
    }

    /// The first record with the largest timestamp; `None` if no record has a timestamp.
    ///
    /// # Errors
    /// As [`Log::offset_for_timestamp`].
    pub fn max_timestamp(&self) -> Result<Option<TimestampedOffset>, ReadError> {
        self.check_usable()?;
        let config = self.config();
        let segments = self.view().segments.clone();
        let mut newest: Option<(Arc<Segment>, i64, i64)> = None;
        for segment in segments {
            if let Some(largest) = self.newest_in(&segment, &config)?
                && newest.as_ref().is_none_or(|(_, timestamp, _)| largest.timestamp > *timestamp)
            {
                newest = Some((segment, largest.timestamp, largest.offset));
            }
        }
        let Some((segment, timestamp, offset)) = newest else { return Ok(None) };
        let Some(batch) = segment.find(offset, &config)? else { return Ok(None) };
        let file = segment.file()?;
        let mut bytes = Vec::new();
        file.read_append(&mut bytes, batch.size as usize, batch.position)?;
        if segment.needs_check(&(batch.position..batch.end())) && !scan::verify(&bytes) {
            // Its timestamp may be what is damaged. Once the segment was checked it is not found any more.
            segment.examine_now(&config)?;
            return self.max_timestamp();
        }
        Ok(first_record(&bytes, |record, _| record >= timestamp))
    }

    /// The largest timestamp in a segment.
    pub(super) fn newest_in(
        &self,
        segment: &Arc<Segment>,
        config: &LogConfig,
    ) -> Result<Option<TimestampOffset>, LogError> {
        if self.next_base(segment).is_some() {
            self.open_segments.touch(segment)?;
        }
        segment.max_timestamp(config)
    }

    /// As [`Log::read`], with the aborted transactions that a reader of committed data must know of.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub fn read_committed(
        &self,
        from: Offset,
        limits: ReadLimits,
    ) -> Result<(LogRead, Vec<AbortedTransaction>), ReadError> {
        for _ in 0..READS_BETWEEN_SWAPS {
            let generation = self.positions.generation();
            let read = self.read(from, limits)?;
            if !read.has_transactional {
                return Ok((read, Vec::new()));
            }
            let (aborted, same) = {
                let _no_swap = self.swapping.read().unwrap_or_else(PoisonError::into_inner);
                (self.aborted_in(from..read.next_offset)?, self.positions.generation() == generation)
            };
            // What compaction drops is dropped from the index too, and the records may be from before that.
            if same {
                return Ok((read, aborted));
            }
        }
        Ok((LogRead { bytes: Bytes::new(), next_offset: from, has_transactional: false }, Vec::new()))
    }
}

/// What was found at a place.
enum Piece {
    /// Batches that may be returned.
    Batches { length: usize, next_offset: Offset, has_transactional: bool },
    /// The next batch is too large, or not to be read yet.
    Nothing,
    /// No batch follows in the segment.
    EndOfSegment,
    /// The first batch is not sound.
    Damage { position: u64, reason: &'static str },
}

/// Why an attempt to read failed, and whether another one may find things changed.
enum Retry {
    Again(ReadError),
    No(ReadError),
}

impl Retry {
    fn into_error(self) -> ReadError {
        match self {
            Self::Again(error) | Self::No(error) => error,
        }
    }
}

impl From<ReadError> for Retry {
    fn from(error: ReadError) -> Self {
        Self::No(error)
    }
}

/// Reads what may be returned, or a little more; the first batch whole if it must be.
fn read_bytes(file: &LogFile, place: &Place, limits: &ReadLimits) -> Result<Vec<u8>, LogError> {
    let there = place.size.saturating_sub(place.position);
    let least = if limits.at_least_one_batch { HEADER_LEN } else { 0 };
    // Invariant: memory is bounded by what is in the file.
    let wanted = (limits.max_bytes.max(least) as u64).min(there) as usize;
    let mut bytes = Vec::new();
    file.read_append(&mut bytes, wanted, place.position)?;
    if limits.at_least_one_batch
        && let Ok(first) = BatchInfo::parse(&bytes, place.position)
        && first.size > bytes.len() as u64
        && first.end() <= place.size
    {
        let read = bytes.len() as u64;
        file.read_append(&mut bytes, (first.size - read) as usize, place.position + read)?;
    }
    Ok(bytes)
}

/// The first record of a batch for which `wanted` holds, given its timestamp and offset.
fn first_record(bytes: &[u8], wanted: impl Fn(i64, Offset) -> bool) -> Option<TimestampedOffset> {
    let owner = Bytes::copy_from_slice(bytes);
    let (entry, _) = LogEntry::new(&owner).ok()?;
    let leader_epoch = match &entry {
        LogEntry::Batch(batch) => batch.header().partition_leader_epoch,
        LogEntry::Old(_) => LeaderEpoch::NONE,
    };
    for record in entry.owned_records(&owner, MAX_DECOMPRESSED_BYTES).ok()? {
        let record = record.ok()?;
        if wanted(record.timestamp, record.offset) {
            return Some(TimestampedOffset { timestamp: record.timestamp, offset: record.offset, leader_epoch });
        }
    }
    None
}
