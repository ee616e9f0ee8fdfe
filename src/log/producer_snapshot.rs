//! `.snapshot`: the state of all producers up to the offset in the name, as replaying the log to there would give it.
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 2 | version, 1 |
//! | 2 | 4 | CRC-32C of what follows |
//! | 6 | 4 | number of entries |
//! | 10 | 46 each | entries |
//!
//! An entry: producer id i64, epoch i16, last sequence i32, last offset i64, offset delta i32, timestamp i64,
//! coordinator epoch i32, first offset of the open transaction i64 (-1: none). Big-endian.

use super::error::LogError;
use super::place::{Place, extension, file_name};

const VERSION: [u8; 2] = [0, 1];
const HEADER_BYTES: usize = 10;
/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 46;
/// Twenty million producers; a larger file is something else.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A producer in a snapshot: its fields as they stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnapshotEntry {
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
    pub(super) last_sequence: i32,
    pub(super) last_offset: i64,
    pub(super) offset_delta: i32,
    pub(super) timestamp: i64,
    pub(super) coordinator_epoch: i32,
    pub(super) txn_first_offset: i64,
}

impl SnapshotEntry {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.producer_id.to_be_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.last_sequence.to_be_bytes());
        bytes.extend_from_slice(&self.last_offset.to_be_bytes());
        bytes.extend_from_slice(&self.offset_delta.to_be_bytes());
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(&self.txn_first_offset.to_be_bytes());
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let entry = Self {
            producer_id: i64::from_be_bytes(take(&mut bytes)?),
            epoch: i16::from_be_bytes(take(&mut bytes)?),
            last_sequence: i32::from_be_bytes(take(&mut bytes)?),
            last_offset: i64::from_be_bytes(take(&mut bytes)?),
            offset_delta: i32::from_be_bytes(take(&mut bytes)?),
            timestamp: i64::from_be_bytes(take(&mut bytes)?),
            coordinator_epoch: i32::from_be_bytes(take(&mut bytes)?),
            txn_first_offset: i64::from_be_bytes(take(&mut bytes)?),
        };
        bytes.is_empty().then_some(entry)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

/// Content of a snapshot file.
pub(super) fn encode(entries: impl ExactSizeIterator<Item = SnapshotEntry>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + entries.len() * ENTRY_BYTES);
    bytes.extend_from_slice(&VERSION);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    for entry in entries {
        entry.encode(&mut bytes);
    }
    let crc = crc32c::crc32c(bytes.get(6..).unwrap_or_default());
    if let Some(place) = bytes.get_mut(2..6) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

/// Reads the content of a snapshot file; `None` if it is torn, damaged or of another version.
pub(super) fn parse(bytes: &[u8]) -> Option<Vec<SnapshotEntry>> {
    let mut rest = bytes;
    if take::<2>(&mut rest)? != VERSION {
        return None;
    }
    let crc = u32::from_be_bytes(take(&mut rest)?);
    if crc != crc32c::crc32c(rest) {
        return None;
    }
    parse_entries(rest)
}

fn parse_entries(mut bytes: &[u8]) -> Option<Vec<SnapshotEntry>> {
    let count = u32::from_be_bytes(take(&mut bytes)?);
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() || entries.len() as u64 != u64::from(count) {
        return None;
    }
    entries.iter().map(|entry| SnapshotEntry::decode(entry)).collect()
}

/// Reads the snapshot at `offset`; `Ok(None)` if it is missing or no good.
pub(super) fn read(place: &Place, offset: i64) -> Result<Option<Vec<SnapshotEntry>>, LogError> {
    let path = place.path(&file_name(offset, extension::SNAPSHOT));
    Ok(place.fs.read_small(&path, MAX_FILE_BYTES)?.and_then(|bytes| parse(&bytes)))
}

/// Writes the snapshot at `offset`, not durably: a torn one is noticed by its CRC.
pub(super) fn write(
    place: &Place,
    offset: i64,
    entries: impl ExactSizeIterator<Item = SnapshotEntry>,
) -> Result<(), LogError> {
    place.fs.write_small(&place.path(&file_name(offset, extension::SNAPSHOT)), &encode(entries)).map(drop)
}

/// Fuzz entry: what was read encodes to the same bytes.
pub fn fuzz_producer_snapshot(data: &[u8]) {
    if let Some(entries) = parse(data) {
        assert_eq!(encode(entries.into_iter()), data, "producers don't read back");
    }
    // The checksum keeps a fuzzer out; so what is behind it is tried on its own.
    if let Some(entries) = parse_entries(data) {
        let encoded = encode(entries.into_iter());
        assert_eq!(encoded.get(6..), Some(data), "entries don't read back");
        assert!(parse(&encoded).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::super::fs::Fs;
    use super::*;

    /// Bodies that Kafka 4.3.1's own class wrote, after the version: all defaults, two entries of distinct values,
    /// extremes, zeros.
    const KAFKAS: [&str; 4] = [
        "0000000000000000",
        "b2d05e010000000201020304050607020403010203040102030405060705010203060102030405060707010203080102030405060709\
         010203040506070a0c0b0102030c010203040506070d0102030e010203040506070f010203100102030405060711",
        "ffffffff0000000180000000000000007fff800000007fffffffffffffff800000007fffffffffffffff800000007fffffffffffffff",
        "000000000000000100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
    ];

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn kafkas_snapshots_read_and_write_back() {
        for hex in KAFKAS {
            let body = unhex(hex);
            let entries = parse_entries(&body[4..]).unwrap();
            assert_eq!(&encode(entries.into_iter())[6..], &body[4..]);
            for end in 0..body.len() - 4 {
                assert_eq!(parse_entries(&body[4..4 + end]), None, "a prefix of {end} bytes");
            }
        }
        let two = parse_entries(&unhex(KAFKAS[1])[4..]).unwrap();
        assert_eq!(two.len(), 2);
        assert_eq!(two[0].producer_id, 72_623_859_790_382_850);
        assert_eq!((two[0].epoch, two[0].last_sequence, two[0].offset_delta), (1027, 16_909_060, 16_909_062));
        assert_eq!(two[0].last_offset, 72_623_859_790_382_853);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let entries = parse_entries(&unhex(KAFKAS[1])[4..]).unwrap();
        let bytes = encode(entries.into_iter());
        assert!(parse(&bytes).is_some());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn files_are_named_by_offset() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(Fs::default(), dir.path().to_owned());
        write(&place, 17, std::iter::empty()).unwrap();
        assert_eq!(std::fs::read(dir.path().join("00000000000000000017.snapshot")).unwrap().len(), 10);
        assert_eq!(read(&place, 17).unwrap(), Some(vec![]));
        assert_eq!(read(&place, 18).unwrap(), None);
    }
}
