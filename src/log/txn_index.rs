//! `.txnindex`: the aborted transactions whose markers are in a segment.
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 2 | version, 0 |
//! | 2 | 8 | producer id |
//! | 10 | 8 | first offset of the transaction |
//! | 18 | 8 | offset of its marker |
//! | 26 | 8 | last stable offset when the marker was written |
//!
//! Big-endian, sorted by the marker's offset. The file is made when a segment gets its first entry.

use super::error::LogError;
use super::fs::Create;
use super::place::{Place, extension, file_name};
use crate::types::{Offset, ProducerId};

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 34;
/// One entry for each smallest batch of the largest segment would be less.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A transaction that was rolled back: readers of committed data leave its records out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose transaction it was.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// The last stable offset once the marker was there.
    pub last_stable_offset: Offset,
}

impl AbortedTransaction {
    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let fields = [self.producer_id.0, self.first_offset.0, self.last_offset.0, self.last_stable_offset.0];
        let (_version, rest) = bytes.split_at_mut(2);
        for (place, field) in rest.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// `None` for a version that is not known.
    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<2>()?;
        let (fields, _) = rest.as_chunks::<8>();
        let [producer_id, first, last, stable] = fields else { return None };
        (*version == [0, 0]).then(|| Self {
            producer_id: ProducerId(i64::from_be_bytes(*producer_id)),
            first_offset: Offset(i64::from_be_bytes(*first)),
            last_offset: Offset(i64::from_be_bytes(*last)),
            last_stable_offset: Offset(i64::from_be_bytes(*stable)),
        })
    }
}

/// Reads an entry; `None` for a version that is not known.
pub(super) fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<AbortedTransaction> {
    AbortedTransaction::decode(bytes)
}

/// Reads the entries in the content of a file; `None` if it is damaged and must be made anew from the log.
pub(super) fn parse(bytes: &[u8], base_offset: i64) -> Option<Vec<AbortedTransaction>> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    let entries: Option<Vec<_>> = entries.iter().map(AbortedTransaction::decode).collect();
    entries.filter(|entries| {
        rest.is_empty()
            && entries.first().is_none_or(|first| first.last_offset.0 >= base_offset)
            && entries.is_sorted_by(|a, b| a.last_offset < b.last_offset)
            && entries.iter().all(|entry| entry.first_offset <= entry.last_offset)
    })
}

/// The entries of the segment at `base_offset`; `None` if its file is damaged.
pub(super) fn read(place: &Place, base_offset: i64) -> Result<Option<Vec<AbortedTransaction>>, LogError> {
    let path = place.path(&file_name(base_offset, extension::TXN_INDEX));
    let bytes = place.fs.read_small(&path, MAX_FILE_BYTES)?.unwrap_or_default();
    Ok(parse(&bytes, base_offset))
}

/// Adds an entry to the segment at `base_offset`.
pub(super) fn append(place: &Place, base_offset: i64, entry: &AbortedTransaction) -> Result<(), LogError> {
    let file = place.open(&file_name(base_offset, extension::TXN_INDEX), Create::IfMissing)?;
    let end = file.size()?;
    // A torn entry from before a crash would shift all that follow.
    file.write_all_at(&entry.encode(), end - end % ENTRY_BYTES as u64)
}

/// Makes the entries of the segment at `base_offset` durable, if it has any.
pub(super) fn sync(place: &Place, base_offset: i64) -> Result<(), LogError> {
    match place.open(&file_name(base_offset, extension::TXN_INDEX), Create::No) {
        Err(error) if error.is_not_found() => Ok(()),
        file => file?.sync(),
    }
}

/// Makes the entries of the segment at `base_offset` these; no entries, no file.
pub(super) fn rewrite(place: &Place, base_offset: i64, entries: &[AbortedTransaction]) -> Result<(), LogError> {
    let name = file_name(base_offset, extension::TXN_INDEX);
    if entries.is_empty() {
        return place.remove(&name);
    }
    let bytes: Vec<u8> = entries.iter().flat_map(AbortedTransaction::encode).collect();
    place.fs.replace(&place.path(&name), &bytes)
}

/// Drops the entries of the segment at `base_offset` whose markers are at `offset` or above.
pub(super) fn truncate_to(place: &Place, base_offset: i64, offset: i64) -> Result<(), LogError> {
    let Some(mut entries) = read(place, base_offset)?.filter(|entries| !entries.is_empty()) else { return Ok(()) };
    let before = entries.len();
    entries.retain(|entry| entry.last_offset.0 < offset);
    if entries.len() < before { rewrite(place, base_offset, &entries) } else { Ok(()) }
}

/// Fuzz entry: what was read encodes to the same bytes.
pub fn fuzz_txn_index(data: &[u8]) {
    if let Some(entries) = parse(data, 0) {
        let bytes: Vec<u8> = entries.iter().flat_map(AbortedTransaction::encode).collect();
        assert_eq!(bytes, data, "aborted transactions don't read back");
    }
}

#[cfg(test)]
mod tests {
    use super::super::fs::Fs;
    use super::*;

    fn aborted(first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(7),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(last + 1),
        }
    }

    #[test]
    fn bytes_are_kafkas() {
        let mut expected = vec![0, 0];
        [7_i64, 12, 15, 16].iter().for_each(|field| expected.extend(field.to_be_bytes()));
        assert_eq!(aborted(12, 15).encode().as_slice(), expected);
        assert_eq!(parse(&expected, 0), Some(vec![aborted(12, 15)]));
    }

    #[test]
    fn damage_is_noticed() {
        let bytes = [aborted(12, 15).encode(), aborted(13, 20).encode()].concat();
        assert!(parse(&bytes, 0).is_some());
        assert!(parse(&bytes, 16).is_none(), "from before the segment");
        assert!(parse(&bytes[..60], 0).is_none(), "torn");
        assert!(parse(&[aborted(13, 20).encode(), aborted(12, 15).encode()].concat(), 0).is_none(), "not sorted");
        let mut version = bytes.clone();
        version[1] = 1;
        assert!(parse(&version, 0).is_none());
    }

    #[test]
    fn entries_are_appended_and_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(Fs::default(), dir.path().to_owned());
        assert_eq!(read(&place, 10).unwrap(), Some(vec![]));
        append(&place, 10, &aborted(12, 15)).unwrap();
        append(&place, 10, &aborted(13, 20)).unwrap();
        assert_eq!(read(&place, 10).unwrap(), Some(vec![aborted(12, 15), aborted(13, 20)]));
        rewrite(&place, 10, &[aborted(13, 20)]).unwrap();
        assert_eq!(read(&place, 10).unwrap(), Some(vec![aborted(13, 20)]));
        rewrite(&place, 10, &[]).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
