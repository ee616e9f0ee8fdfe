//! What single entries of a log's small files say, each as it stands: order and sense are the caller's business.

use super::super::producer_snapshot;
use super::super::txn_index::{self, AbortedTransaction};

/// Offset, relative to the base offset, and position of an entry of an offset index.
#[must_use]
pub fn read_index_entry(bytes: [u8; 8]) -> (i32, i32) {
    let value = i64::from_be_bytes(bytes);
    ((value >> 32) as i32, value as i32)
}

/// Timestamp and offset, relative to the base offset, of an entry of a time index.
#[must_use]
pub fn read_time_index_entry(bytes: [u8; 12]) -> (i64, i32) {
    let (timestamp, offset) = bytes.split_at(8);
    let timestamp = timestamp.first_chunk().copied().map_or(0, i64::from_be_bytes);
    (timestamp, offset.first_chunk().copied().map_or(0, i32::from_be_bytes))
}

/// An entry of a transaction index; `Err` has its version, if that is not known.
///
/// # Errors
/// The version that the entry has.
pub fn read_aborted_transaction(bytes: &[u8; txn_index::ENTRY_BYTES]) -> Result<AbortedTransaction, i16> {
    txn_index::decode(bytes).ok_or_else(|| bytes.first_chunk().copied().map_or(0, i16::from_be_bytes))
}

/// A producer in a snapshot, as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerInSnapshot {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence of the last record of its last batch.
    pub last_sequence: i32,
    /// Offset of that record; -1: it has none any more.
    pub last_offset: i64,
    /// How many offsets that batch has, less one.
    pub offset_delta: i32,
    /// When it was written.
    pub timestamp: i64,
    /// Epoch of the coordinator that ended its last transaction; -1: none did.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins; -1: none is open.
    pub txn_first_offset: i64,
}

/// Why a file is no snapshot of producers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotDefect {
    /// Of a version to come, or no such file at all.
    #[error("Snapshot contained an unknown file version {0}")]
    Version(i16),
    /// Damaged.
    #[error("Snapshot is corrupt (CRC is no longer valid). Stored crc: {stored}. Computed crc: {computed}")]
    Crc {
        /// In the file.
        stored: u32,
        /// What it should be.
        computed: u32,
    },
    /// Cut, or longer than it says.
    #[error("Snapshot failed schema validation: {0} bytes do not hold what they announce")]
    Length(usize),
}

/// Reads the content of a snapshot of producers.
///
/// # Errors
/// What is wrong with it.
pub fn producers(bytes: &[u8]) -> Result<Vec<ProducerInSnapshot>, SnapshotDefect> {
    if let Some(entries) = producer_snapshot::parse(bytes) {
        let shown = |entry: producer_snapshot::SnapshotEntry| ProducerInSnapshot {
            producer_id: entry.producer_id,
            epoch: entry.epoch,
            last_sequence: entry.last_sequence,
            last_offset: entry.last_offset,
            offset_delta: entry.offset_delta,
            timestamp: entry.timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            txn_first_offset: entry.txn_first_offset,
        };
        return Ok(entries.into_iter().map(shown).collect());
    }
    let version = bytes.first_chunk().copied().map(i16::from_be_bytes);
    if let Some(version) = version.filter(|version| *version != 1) {
        return Err(SnapshotDefect::Version(version));
    }
    let stored = bytes.get(2..).and_then(|rest| rest.first_chunk().copied()).map(u32::from_be_bytes);
    let computed = bytes.get(6..).map(crc32c::crc32c);
    match (stored, computed) {
        (Some(stored), Some(computed)) if stored != computed => Err(SnapshotDefect::Crc { stored, computed }),
        _ => Err(SnapshotDefect::Length(bytes.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_taken_apart() {
        assert_eq!(read_index_entry([0, 0, 0, 2, 0, 0, 4, 0x74]), (2, 1140));
        assert_eq!(read_index_entry([0xff; 8]), (-1, -1));
        assert_eq!(read_time_index_entry([0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 9]), (5, 9));
        let mut entry = [0; 34];
        assert!(read_aborted_transaction(&entry).is_ok());
        entry[1] = 3;
        assert_eq!(read_aborted_transaction(&entry), Err(3));
    }

    #[test]
    fn it_is_said_what_is_wrong_with_a_snapshot() {
        assert_eq!(producers(b"\0\x02").unwrap_err(), SnapshotDefect::Version(2));
        assert_eq!(producers(b"\0\x01").unwrap_err(), SnapshotDefect::Length(2));
        assert!(matches!(producers(b"\0\x01\0\0\0\0\0\0\0\0").unwrap_err(), SnapshotDefect::Crc { stored: 0, .. }));
        let mut bytes = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
        bytes.splice(2..6, crc32c::crc32c(&bytes[6..]).to_be_bytes());
        assert_eq!(producers(&bytes).unwrap_err(), SnapshotDefect::Length(10));
    }
}
