//! A file of sorted entries of fixed size, to which a segment's writer appends: what both indexes are.
//!
//! Never interprets entries. New entries stay in memory until there is a block of them: one write for hundreds of
//! appends. What a crash loses that way is rebuilt, since recovery makes the indexes of unflushed segments anew anyway.

use std::sync::Arc;

use super::error::LogError;
use super::fs::{Create, LogFile};
use super::place::{Place, file_name};

/// Entries are written and searched in blocks of about this size: one page.
const BLOCK_BYTES: usize = 4096;

/// One index file, open or not, with the entries that are not yet in it.
#[derive(Debug)]
pub(super) struct IndexFile<const N: usize> {
    place: Arc<Place>,
    base_offset: i64,
    extension: &'static str,
    file: Option<LogFile>,
    /// Entries in the file, which may be longer: the active segment's is preallocated.
    stored: u32,
    /// Entries after those. Invariant: fewer than a block.
    tail: Vec<[u8; N]>,
    /// Whether the file may go on after its entries: with zeros, or with older ones while the index is made anew.
    preallocated: bool,
    /// Whether the file was written to since it was last made durable.
    unsynced: bool,
}

impl<const N: usize> IndexFile<N> {
    const BLOCK_ENTRIES: usize = BLOCK_BYTES / N;

    /// An index without entries. Nothing is created on disk yet.
    pub(super) fn empty(place: Arc<Place>, base_offset: i64, extension: &'static str) -> Self {
        Self {
            place,
            base_offset,
            extension,
            file: None,
            stored: 0,
            tail: Vec::new(),
            preallocated: false,
            unsynced: false,
        }
    }

    /// The index in an existing file; `None` if there is no file, or its size is not that of whole entries.
    pub(super) fn load(place: Arc<Place>, base_offset: i64, extension: &'static str) -> Result<Option<Self>, LogError> {
        let mut index = Self::empty(place, base_offset, extension);
        let size = match index.file(Create::No).and_then(LogFile::size) {
            Ok(size) => size,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e),
        };
        let Some(stored) = u32::try_from(size / N as u64).ok().filter(|_| size % N as u64 == 0) else {
            return Ok(None);
        };
        index.stored = stored;
        Ok(Some(index))
    }

    fn file(&mut self, create: Create) -> Result<&LogFile, LogError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.place.open(&file_name(self.base_offset, self.extension), create)?,
        };
        Ok(self.file.insert(file))
    }

    /// Opens the file if it is not open.
    pub(super) fn open(&mut self) -> Result<(), LogError> {
        self.file(Create::IfMissing).map(drop)
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.stored as usize + self.tail.len()
    }

    /// Entry number `at`; `None` if there is no such entry.
    pub(super) fn get(&mut self, at: usize) -> Result<Option<[u8; N]>, LogError> {
        let stored = self.stored as usize;
        if at >= stored {
            return Ok(self.tail.get(at - stored).copied());
        }
        let mut entry = [0; N];
        let read = self.file(Create::No)?.read_at(&mut entry, (at * N) as u64)?;
        Ok((read == N).then_some(entry))
    }

    /// Number of entries at the front for which `is_before` holds; it must hold for none after those.
    ///
    /// A file that is not sorted gives some number; whoever uses the entry there checks it.
    pub(super) fn partition_point(&mut self, is_before: impl Fn(&[u8; N]) -> bool) -> Result<usize, LogError> {
        let stored = self.stored as usize;
        if self.tail.first().is_some_and(&is_before) || stored == 0 {
            return Ok(stored + self.tail.partition_point(is_before));
        }
        // Halve until what is left is one block, which is read at once.
        let (mut low, mut high) = (0, stored);
        while high - low > Self::BLOCK_ENTRIES {
            let middle = low + (high - low) / 2;
            match self.get(middle)? {
                Some(entry) if is_before(&entry) => low = middle + 1,
                _ => high = middle,
            }
        }
        let mut block = [0; BLOCK_BYTES];
        let block = block.get_mut(..(high - low) * N).unwrap_or_default();
        let read = self.file(Create::No)?.read_at(block, (low * N) as u64)?;
        let (entries, _) = block.get(..read).unwrap_or_default().as_chunks::<N>();
        Ok(low + entries.partition_point(is_before))
    }

    /// Appends an entry; a full block of them goes to the file, which gets `preallocate` bytes then.
    pub(super) fn push(&mut self, entry: [u8; N], preallocate: u64) -> Result<(), LogError> {
        self.tail.push(entry);
        if self.tail.len() < Self::BLOCK_ENTRIES {
            return Ok(());
        }
        if !self.preallocated {
            let size = (preallocate / N as u64 * N as u64).max((self.len() * N) as u64);
            self.file(Create::IfMissing)?.set_len(size)?;
            self.preallocated = true;
        }
        self.write_tail()
    }

    fn write_tail(&mut self) -> Result<(), LogError> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let position = u64::from(self.stored) * N as u64;
        let mut tail = std::mem::take(&mut self.tail);
        self.file(Create::IfMissing)?.write_all_at(tail.as_flattened(), position)?;
        self.stored += tail.len() as u32;
        tail.clear();
        self.tail = tail;
        self.unsynced = true;
        Ok(())
    }

    /// Drops all entries from number `length` on.
    pub(super) fn truncate(&mut self, length: usize) -> Result<(), LogError> {
        let stored = self.stored as usize;
        self.tail.truncate(length.saturating_sub(stored));
        if length < stored {
            // What was in the file is cut off it, not only forgotten: a zero tail is a sign of a crash, old entries
            // after the end would look like entries.
            self.stored = length as u32;
            self.file(Create::IfMissing)?.set_len((length * N) as u64)?;
            self.preallocated = false;
            self.unsynced = true;
        }
        Ok(())
    }

    /// Drops all entries: the index is made anew. What the file holds is written over and cut behind the last new entry, not
    /// emptied first: a file system that guards emptied files writes them out when they are closed, which takes most of the
    /// time where many small logs are checked.
    pub(super) fn reset(&mut self) -> Result<(), LogError> {
        self.tail.clear();
        self.stored = 0;
        self.preallocated = self.file(Create::IfMissing)?.size()? > 0;
        self.unsynced = true;
        Ok(())
    }

    /// Writes all entries to the file and cuts it behind them: nothing will be appended for now.
    pub(super) fn finish(&mut self) -> Result<(), LogError> {
        self.write_tail()?;
        if self.preallocated {
            let size = u64::from(self.stored) * N as u64;
            let file = self.file(Create::IfMissing)?;
            if file.size()? != size {
                file.set_len(size)?;
                self.unsynced = true;
            }
            self.preallocated = false;
        }
        Ok(())
    }

    /// Makes durable what is in the file.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        if self.unsynced {
            self.file(Create::IfMissing)?.sync()?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Writes all entries to the file and closes it; it is opened again when needed. Says whether it was open.
    pub(super) fn close(&mut self) -> Result<bool, LogError> {
        self.write_tail()?;
        self.tail = Vec::new();
        Ok(self.file.take().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fs::Fs;
    use super::*;

    fn index(dir: &std::path::Path) -> IndexFile<8> {
        IndexFile::empty(Arc::new(Place::new(Fs::default(), dir.to_owned())), 0, "index")
    }

    #[test]
    fn entries_are_found_in_file_and_tail() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = index(dir.path());
        for length in 0..3000_u64 {
            assert_eq!(index.len(), length as usize);
            if length % 97 == 0 || (510..516).contains(&length) {
                for target in [0, 1, length / 2, length.saturating_sub(1), length, length + 5] {
                    let found = index.partition_point(|e| u64::from_be_bytes(*e) < target * 10).unwrap();
                    assert_eq!(found as u64, target.min(length), "target {target} of {length}");
                }
            }
            index.push((length * 10).to_be_bytes(), 1 << 20).unwrap();
        }
        assert_eq!(index.get(2999).unwrap(), Some(29_990_u64.to_be_bytes()));
        assert_eq!(index.get(3000).unwrap(), None);
    }

    #[test]
    fn the_file_is_preallocated_then_cut() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = index(dir.path());
        let path = dir.path().join("00000000000000000000.index");
        index.push([1; 8], 4100).unwrap();
        assert!(!path.exists(), "a few entries stay in memory");
        (0..600).for_each(|_| index.push([2; 8], 10_003).unwrap());
        assert_eq!(path.metadata().unwrap().len(), 10_000, "rounded down to whole entries");
        index.finish().unwrap();
        assert_eq!(path.metadata().unwrap().len(), 601 * 8);
        let mut loaded = IndexFile::<8>::load(index.place.clone(), 0, "index").unwrap().unwrap();
        assert_eq!(loaded.len(), 601);
        assert_eq!(loaded.get(0).unwrap(), Some([1; 8]));
        loaded.truncate(1).unwrap();
        loaded.push([9; 8], 0).unwrap();
        loaded.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [[1; 8], [9; 8]].concat());
    }

    #[test]
    fn an_index_made_anew_leaves_nothing_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = index(dir.path());
        let path = dir.path().join("00000000000000000000.index");
        for (old, new) in [(1300, 700), (700, 1300), (3, 2), (2, 0)] {
            index.reset().unwrap();
            (0..old).for_each(|_| index.push([1; 8], 10_000).unwrap());
            index.finish().unwrap();
            index.reset().unwrap();
            assert_eq!(index.len(), 0);
            assert_eq!(index.get(0).unwrap(), None);
            (0..new).for_each(|_| index.push([2; 8], 10_000).unwrap());
            index.finish().unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), [2; 8].repeat(new), "{old} entries, then {new}");
        }
    }

    #[test]
    fn a_file_of_broken_size_is_no_index() {
        let dir = tempfile::tempdir().unwrap();
        let place = index(dir.path()).place;
        assert!(IndexFile::<8>::load(place.clone(), 0, "index").unwrap().is_none(), "missing");
        std::fs::write(dir.path().join("00000000000000000000.index"), [0; 12]).unwrap();
        assert!(IndexFile::<8>::load(place.clone(), 0, "index").unwrap().is_none());
        assert_eq!(IndexFile::<12>::load(place, 0, "index").unwrap().unwrap().len(), 1);
    }
}
