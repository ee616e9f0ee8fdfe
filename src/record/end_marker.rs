//! The marker that ends a transaction in a partition: a control batch of one record (KIP-98).
//!
//! Key: version i16 (0), type i16 (0 abort, 1 commit). Value: version i16 (0), coordinator epoch i32. Big-endian.

use bytes::Bytes;

use super::{BatchBuilder, BatchOptions, NewRecord, RecordBatch, RecordError};
use crate::types::ProducerId;

/// The end of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndMarker {
    /// Whether its records count; otherwise they are as if they had never been.
    pub commit: bool,
    /// Epoch of the coordinator that decided so.
    pub coordinator_epoch: i32,
}

impl EndMarker {
    /// Reads the marker in a control batch; `None` if it is a control batch of another kind, or none.
    #[must_use]
    pub fn of(batch: &RecordBatch<'_>) -> Option<Self> {
        if !batch.header().attributes.is_control() {
            return None;
        }
        // Control batches are never compressed, so that there is nothing to decompress.
        let mut unused = Vec::new();
        let record = batch.records(&mut unused, 0).ok()?.next()?.ok()?;
        let kind = record.key?.get(2..4)?;
        let epoch = record.value?.get(2..6)?.first_chunk::<4>()?;
        let commit = match kind {
            [0, 0] => false,
            [0, 1] => true,
            _ => return None,
        };
        Some(Self { commit, coordinator_epoch: i32::from_be_bytes(*epoch) })
    }

    /// The batch that ends the transaction of a producer in this epoch.
    ///
    /// # Errors
    /// As [`BatchBuilder::append`]: for impossible timestamps.
    pub fn to_batch(self, producer_id: ProducerId, epoch: i16, timestamp: i64) -> Result<Bytes, RecordError> {
        let options = BatchOptions {
            producer_id,
            producer_epoch: epoch,
            transactional: true,
            control: true,
            ..BatchOptions::default()
        };
        let key = [0, 0, 0, u8::from(self.commit)];
        let mut value = [0; 6];
        if let Some(epoch) = value.last_chunk_mut() {
            *epoch = self.coordinator_epoch.to_be_bytes();
        }
        let mut builder = BatchBuilder::new(options);
        builder.append(&NewRecord { timestamp, key: Some(&key), value: Some(&value), headers: &[] })?;
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        for commit in [false, true] {
            let marker = EndMarker { commit, coordinator_epoch: 0x0102_0304 };
            let bytes = marker.to_batch(ProducerId(7), 3, 1_700_000_000_000).unwrap();
            let (batch, rest) = RecordBatch::new(&bytes).unwrap();
            assert!(rest.is_empty());
            assert_eq!(EndMarker::of(&batch), Some(marker));
            let header = batch.header();
            assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (ProducerId(7), 3, -1));
            assert!(header.attributes.is_transactional() && header.attributes.is_control());
        }
        let mut plain = BatchBuilder::new(BatchOptions::default());
        plain.append(&NewRecord { key: Some(&[0, 0, 0, 1]), value: Some(&[0; 6]), ..NewRecord::default() }).unwrap();
        let bytes = plain.build().unwrap();
        assert_eq!(EndMarker::of(&RecordBatch::new(&bytes).unwrap().0), None, "a record that looks like one is none");
    }
}
