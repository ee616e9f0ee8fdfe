//! `.index`: from an offset to a position in the segment file.
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 4 | last offset of a batch, less the base offset |
//! | 4 | 4 | position of that batch |
//!
//! Big-endian, sorted by offset, one entry for some 4 KiB of log. A search goes on from there through the batches, so
//! an entry only has to be that of a batch at or before the one looked for. The file has no checksum: whoever uses an
//! entry looks at the batch it points to.

use std::sync::Arc;

use super::error::LogError;
use super::index_file::IndexFile;
use super::place::{Place, extension};

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 8;

/// A batch whose last offset is `offset` starts at `position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetPosition {
    pub(super) offset: i64,
    pub(super) position: u32,
}

/// The offset index of one segment.
#[derive(Debug)]
pub(super) struct OffsetIndex {
    file: IndexFile<ENTRY_BYTES>,
    base_offset: i64,
    last: Option<OffsetPosition>,
}

fn decode(base_offset: i64, entry: &[u8; ENTRY_BYTES]) -> OffsetPosition {
    let both = u64::from_be_bytes(*entry);
    // The halves, as Kafka's i32 fields; a negative relative offset stays one and fails the checks.
    let relative = (both >> 32) as i32;
    OffsetPosition { offset: base_offset.saturating_add(i64::from(relative)), position: both as u32 }
}

fn encode(base_offset: i64, entry: OffsetPosition) -> [u8; ENTRY_BYTES] {
    let relative = (entry.offset - base_offset) as u32;
    ((u64::from(relative) << 32) | u64::from(entry.position)).to_be_bytes()
}

impl OffsetIndex {
    /// An index without entries.
    pub(super) fn empty(place: Arc<Place>, base_offset: i64) -> Self {
        Self { file: IndexFile::empty(place, base_offset, extension::OFFSET_INDEX), base_offset, last: None }
    }

    /// The index in a segment's file; `None` if it can't be that of a segment that ends at `end_offset` and has
    /// `log_bytes`: it must be built anew.
    pub(super) fn load(
        place: Arc<Place>,
        base_offset: i64,
        end_offset: i64,
        log_bytes: u64,
    ) -> Result<Option<Self>, LogError> {
        let Some(mut file) = IndexFile::load(place, base_offset, extension::OFFSET_INDEX)? else { return Ok(None) };
        let mut last = None;
        if let Some(at) = file.len().checked_sub(1) {
            let Some(entry) = file.get(at)? else { return Ok(None) };
            let entry = decode(base_offset, &entry);
            // The first batch has no entry, so that no position is 0: this also finds a zero tail left by a crash.
            let sane = (base_offset..end_offset).contains(&entry.offset)
                && entry.position > 0
                && u64::from(entry.position) < log_bytes;
            if !sane {
                return Ok(None);
            }
            last = Some(entry);
        }
        Ok(Some(Self { file, base_offset, last }))
    }

    /// The entry with the largest offset that is not above `target`.
    pub(super) fn lookup(&mut self, target: i64) -> Result<Option<OffsetPosition>, LogError> {
        if let Some(last) = self.last.filter(|last| last.offset <= target) {
            return Ok(Some(last));
        }
        let base = self.base_offset;
        let after = self.file.partition_point(|entry| decode(base, entry).offset <= target)?;
        let Some(at) = after.checked_sub(1) else { return Ok(None) };
        Ok(self.file.get(at)?.map(|entry| decode(base, &entry)))
    }

    /// The last entry.
    pub(super) fn last(&self) -> Option<OffsetPosition> {
        self.last
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.file.len()
    }

    /// Adds an entry; one that does not come after the last is left out.
    pub(super) fn append(&mut self, entry: OffsetPosition, preallocate: u64) -> Result<(), LogError> {
        if self.last.is_some_and(|last| last.offset >= entry.offset) {
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

    fn at(offset: i64, position: u32) -> OffsetPosition {
        OffsetPosition { offset, position }
    }

    #[test]
    fn bytes_are_kafkas() {
        assert_eq!(encode(1000, at(1057, 4212)), [0, 0, 0, 57, 0, 0, 0x10, 0x74]);
        assert_eq!(decode(1000, &[0, 0, 0, 57, 0, 0, 0x10, 0x74]), at(1057, 4212));
        assert_eq!(decode(0, &encode(0, at(i64::from(i32::MAX), u32::MAX))), at(i64::from(i32::MAX), u32::MAX));
    }

    #[test]
    fn finds_the_entry_at_or_below() {
        let dir = tempfile::tempdir().unwrap();
        let place = Arc::new(Place::new(Fs::default(), dir.path().to_owned()));
        let mut index = OffsetIndex::empty(place.clone(), 100);
        assert_eq!(index.lookup(105).unwrap(), None);
        for (offset, position) in [(110, 5000), (120, 10_000), (120, 11_000), (130, 15_000)] {
            index.append(at(offset, position), 0).unwrap();
        }
        let check = |index: &mut OffsetIndex| {
            assert_eq!(index.len(), 3, "an equal offset is left out");
            for (target, found) in [(100, None), (109, None), (110, Some(110)), (129, Some(120)), (999, Some(130))] {
                assert_eq!(index.lookup(target).unwrap().map(|e| e.offset), found, "{target}");
            }
        };
        check(&mut index);
        index.file().finish().unwrap();
        let mut loaded = OffsetIndex::load(place.clone(), 100, 200, 20_000).unwrap().unwrap();
        check(&mut loaded);
        loaded.truncate_to(120).unwrap();
        assert_eq!(loaded.last(), Some(at(110, 5000)));
        loaded.truncate_to(110).unwrap();
        assert_eq!(loaded.last(), None);
        for (end, bytes) in [(130, 20_000), (200, 15_000)] {
            index.file().sync().unwrap();
            let path = dir.path().join("00000000000000000100.index");
            std::fs::write(&path, encode(100, at(130, 15_000))).unwrap();
            assert!(OffsetIndex::load(place.clone(), 100, end, bytes).unwrap().is_none(), "ends at {end}, {bytes}");
        }
    }

    #[test]
    fn a_zero_tail_is_a_sign_of_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let place = Arc::new(Place::new(Fs::default(), dir.path().to_owned()));
        std::fs::write(dir.path().join("00000000000000000000.index"), [0; 80]).unwrap();
        assert!(OffsetIndex::load(place, 0, 100, 10_000).unwrap().is_none());
    }
}
