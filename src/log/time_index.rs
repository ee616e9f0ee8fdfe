//! `.timeindex`: from a timestamp to the offset before which nothing is as new.
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 8 | largest timestamp in the segment up to here |
//! | 8 | 4 | last offset of the batch that has it, less the base offset |
//!
//! Big-endian, timestamps strictly rising. An entry is added together with one of the offset index, and a last one when
//! the segment is rolled or closed: so the last entry of a closed segment tells its largest timestamp.

use std::sync::Arc;

use super::error::LogError;
use super::index_file::IndexFile;
use super::place::{Place, extension};
use crate::record::NO_TIMESTAMP;

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 12;

/// A timestamp and the last offset of the batch that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimestampOffset {
    pub(super) timestamp: i64,
    pub(super) offset: i64,
}

/// The time index of one segment.
#[derive(Debug)]
pub(super) struct TimeIndex {
    file: IndexFile<ENTRY_BYTES>,
    base_offset: i64,
    last: Option<TimestampOffset>,
}

fn decode(base_offset: i64, entry: &[u8; ENTRY_BYTES]) -> TimestampOffset {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *entry;
    let relative = i32::from_be_bytes([i, j, k, l]);
    TimestampOffset {
        timestamp: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        offset: base_offset.saturating_add(i64::from(relative)),
    }
}

fn encode(base_offset: i64, entry: TimestampOffset) -> [u8; ENTRY_BYTES] {
    let [a, b, c, d, e, f, g, h] = entry.timestamp.to_be_bytes();
    let [i, j, k, l] = ((entry.offset - base_offset) as u32).to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

impl TimeIndex {
    /// An index without entries.
    pub(super) fn empty(place: Arc<Place>, base_offset: i64) -> Self {
        Self { file: IndexFile::empty(place, base_offset, extension::TIME_INDEX), base_offset, last: None }
    }

    /// The index in a segment's file; `None` if it can't be that of a segment that ends at `end_offset`.
    pub(super) fn load(place: Arc<Place>, base_offset: i64, end_offset: i64) -> Result<Option<Self>, LogError> {
        let Some(mut file) = IndexFile::load(place, base_offset, extension::TIME_INDEX)? else { return Ok(None) };
        let mut last = None;
        if let Some(at) = file.len().checked_sub(1) {
            let (Some(first), Some(entry)) = (file.get(0)?, file.get(at)?) else { return Ok(None) };
            let (first, entry) = (decode(base_offset, &first), decode(base_offset, &entry));
            let offsets = base_offset..end_offset;
            let sane = offsets.contains(&first.offset)
                && offsets.contains(&entry.offset)
                && first.timestamp >= 0
                && (at == 0 || first.timestamp < entry.timestamp);
            if !sane {
                return Ok(None);
            }
            last = Some(entry);
        }
        Ok(Some(Self { file, base_offset, last }))
    }

    /// The entry with the largest timestamp below `target`: what is as new as that comes after its offset.
    pub(super) fn lookup_below(&mut self, target: i64) -> Result<Option<TimestampOffset>, LogError> {
        let base = self.base_offset;
        let after = self.file.partition_point(|entry| decode(base, entry).timestamp < target)?;
        let Some(at) = after.checked_sub(1) else { return Ok(None) };
        Ok(self.file.get(at)?.map(|entry| decode(base, &entry)))
    }

    /// The last entry.
    pub(super) fn last(&self) -> Option<TimestampOffset> {
        self.last
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.file.len()
    }

    /// Adds an entry, unless its timestamp is not above the last one's.
    pub(super) fn append(&mut self, entry: TimestampOffset, preallocate: u64) -> Result<(), LogError> {
        let last = self.last.map_or(NO_TIMESTAMP, |last| last.timestamp);
        if entry.timestamp <= last {
            return Ok(());
        }
        self.last = Some(entry);
        self.file.push(encode(self.base_offset, entry), preallocate)
    }

    /// Drops the entries of offsets from `offset` on.
    pub(super) fn truncate_to(&mut self, offset: i64) -> Result<(), LogError> {
        let base = self.base_offset;
        let keep = self.file.partition_point(|entry| decode(base, entry).offset < offset)?;
        self.file.truncate(keep)?;
        self.last = match keep.checked_sub(1) {
            Some(at) => self.file.get(at)?.map(|entry| decode(base, &entry)),
            None => None,
        };
        Ok(())
    }

    /// Drops everything.
    pub(super) fn reset(&mut self) -> Result<(), LogError> {
        self.last = None;
        self.file.reset()
    }

    /// The file of entries, for what both indexes do alike.
    pub(super) fn file(&mut self) -> &mut IndexFile<ENTRY_BYTES> {
        &mut self.file
    }
}

#[cfg(test)]
mod tests {
    use super::super::fs::Fs;
    use super::*;

    fn at(timestamp: i64, offset: i64) -> TimestampOffset {
        TimestampOffset { timestamp, offset }
    }

    #[test]
    fn bytes_are_kafkas() {
        let bytes = [0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0, 0, 0, 0, 57];
        assert_eq!(encode(1000, at(1_700_000_000_000, 1057)), bytes);
        assert_eq!(decode(1000, &bytes), at(1_700_000_000_000, 1057));
    }

    #[test]
    fn timestamps_rise_strictly() {
        let dir = tempfile::tempdir().unwrap();
        let place = Arc::new(Place::new(Fs::default(), dir.path().to_owned()));
        let mut index = TimeIndex::empty(place.clone(), 10);
        for (timestamp, offset) in [(-1, 10), (50, 11), (50, 15), (40, 16), (60, 17), (90, 20)] {
            index.append(at(timestamp, offset), 0).unwrap();
        }
        index.file().finish().unwrap();
        let mut index = TimeIndex::load(place.clone(), 10, 21).unwrap().unwrap();
        assert_eq!((index.len(), index.last()), (3, Some(at(90, 20))));
        for (target, below) in
            [(0, None), (50, None), (51, Some(at(50, 11))), (90, Some(at(60, 17))), (91, Some(at(90, 20)))]
        {
            assert_eq!(index.lookup_below(target).unwrap(), below, "{target}");
        }
        assert!(TimeIndex::load(place, 10, 20).unwrap().is_none(), "an entry behind the end");
        index.truncate_to(18).unwrap();
        assert_eq!(index.last(), Some(at(60, 17)));
    }
}
