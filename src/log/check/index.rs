//! Offset and time index of a segment, held against its batches as they come by: an entry at a time.

use std::path::{Path, PathBuf};

use super::super::error::LogError;
use super::super::scan::BatchInfo;
use super::fault::{Fault, FaultKind};
use super::reader::FileReader;
use super::segment::Find;
use super::{read_index_entry, read_time_index_entry};

/// An offset index on its way through a segment.
pub(super) struct OffsetIndexWalk {
    entries: Entries,
    /// The batch of the entry has come.
    reached: bool,
}

/// A time index on its way through a segment.
pub(super) struct TimeIndexWalk {
    entries: Entries,
    /// Largest timestamp so far.
    largest: i64,
    /// The last entry that agreed.
    last: i64,
}

/// The entries of either.
struct Entries {
    kind: FaultKind,
    path: PathBuf,
    reader: FileReader,
    base: i64,
    size: u64,
    at: u64,
    ended: bool,
    /// One fault in an index is enough: it is made anew as a whole.
    is_faulty: bool,
}

impl Entries {
    fn open(path: &Path, base: i64, kind: FaultKind, size: u64) -> Result<Self, LogError> {
        let reader = FileReader::open(path)?;
        Ok(Self { kind, path: path.to_owned(), reader, base, size, at: 0, ended: false, is_faulty: false })
    }

    fn wrong(&mut self, what: std::fmt::Arguments<'_>, found: &mut Find<'_>) {
        self.is_faulty = true;
        found(Fault::new(self.kind, &self.path, what).at(self.at * self.size));
    }

    /// The entry of `N` bytes that the walk is at; none behind the last.
    fn current<const N: usize>(&mut self) -> Result<Option<[u8; N]>, LogError> {
        if self.ended || self.is_faulty {
            return Ok(None);
        }
        let entry = self.reader.array(self.at * self.size)?;
        // While it is written the file has zeros behind its entries; only the first could be all zeros.
        self.ended = entry.is_none_or(|entry: [u8; N]| entry.iter().all(|byte| *byte == 0));
        Ok(entry.filter(|_| !self.ended))
    }

    /// What is left behind the batches.
    fn finish<const N: usize>(&mut self, finished: bool, found: &mut Find<'_>) -> Result<(), LogError> {
        if self.is_faulty {
            return Ok(());
        }
        if self.current::<N>()?.is_some() {
            self.wrong(format_args!("entries go on behind the end of the log"), found);
        } else if finished && self.at * self.size < self.reader.size() {
            let zeros = self.reader.size() - self.at * self.size;
            self.wrong(format_args!("{zeros} bytes at the end are no entries, as after a crash"), found);
        }
        Ok(())
    }
}

impl OffsetIndexWalk {
    pub(super) fn open(path: &Path, base: i64) -> Result<Self, LogError> {
        Ok(Self { entries: Entries::open(path, base, FaultKind::OffsetIndex, 8)?, reached: false })
    }

    pub(super) fn take(&mut self, batch: &BatchInfo, found: &mut Find<'_>) -> Result<(), LogError> {
        while let Some(entry) = self.entries.current::<8>()? {
            let (offset, position) = read_index_entry(entry);
            let offset = self.entries.base.wrapping_add(i64::from(offset));
            let position = u64::try_from(position).unwrap_or(u64::MAX);
            if !self.reached && position > batch.position {
                return Ok(());
            }
            if !self.reached && position != batch.position {
                self.entries
                    .wrong(format_args!("offset {offset} points to byte {position}, where no batch begins"), found);
                return Ok(());
            }
            if !self.reached && offset < batch.base_offset {
                let base = batch.base_offset;
                self.entries
                    .wrong(format_args!("offset {offset} points to byte {position}, where offset {base} is"), found);
                return Ok(());
            }
            self.reached = true;
            if batch.last_offset < offset {
                // Kafka up to 3.9 has one entry for all batches of an append, with the last offset of the last.
                return Ok(());
            }
            if batch.last_offset > offset {
                self.entries.wrong(format_args!("offset {offset} is not the last one of a batch"), found);
                return Ok(());
            }
            self.reached = false;
            self.entries.at += 1;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, finished: bool, found: &mut Find<'_>) -> Result<(), LogError> {
        self.entries.finish::<8>(finished, found)
    }
}

impl TimeIndexWalk {
    pub(super) fn open(path: &Path, base: i64) -> Result<Self, LogError> {
        Ok(Self { entries: Entries::open(path, base, FaultKind::TimeIndex, 12)?, largest: -1, last: -1 })
    }

    pub(super) fn take(&mut self, batch: &BatchInfo, found: &mut Find<'_>) -> Result<(), LogError> {
        self.largest = self.largest.max(batch.max_timestamp);
        while let Some(entry) = self.entries.current::<12>()? {
            let (timestamp, offset) = read_time_index_entry(entry);
            let offset = self.entries.base.wrapping_add(i64::from(offset));
            if offset > batch.last_offset {
                return Ok(());
            }
            let largest = self.largest;
            if timestamp <= self.last && self.entries.at > 0 {
                let last = self.last;
                self.entries
                    .wrong(format_args!("timestamp {timestamp} does not rise, the one before is {last}"), found);
                return Ok(());
            }
            if offset < batch.base_offset || timestamp != largest {
                self.entries.wrong(
                    format_args!("timestamp {timestamp} at offset {offset}, where the log has {largest}"),
                    found,
                );
                return Ok(());
            }
            self.last = timestamp;
            self.entries.at += 1;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, finished: bool, found: &mut Find<'_>) -> Result<(), LogError> {
        self.entries.finish::<12>(finished, found)?;
        if finished && !self.entries.is_faulty && self.largest > self.last {
            let (largest, last) = (self.largest, self.last);
            self.entries
                .wrong(format_args!("ends with timestamp {last}, but the segment's largest is {largest}"), found);
        }
        Ok(())
    }
}
