//! A batch on its way from the first record to its delivery.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::delivery::BatchDelivery;
use crate::record::{
    BatchBuilder, BatchHeader, BatchOptions, HEADER_LEN, NO_PRODUCER_EPOCH, NO_SEQUENCE, NewRecord, RecordBatch,
    RecordError,
};
use crate::types::ProducerId;

/// Who a batch is from, as the broker that removes duplicates sees it (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: ProducerId,
    pub(super) epoch: i16,
}

/// A batch's place in the order of one producer and partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) identity: Identity,
    pub(super) first: i32,
}

impl Sequence {
    /// The sequence number `count` records after `first`: after the largest one comes 0.
    pub(super) fn number_after(first: i32, count: i32) -> i32 {
        first.checked_add(count).unwrap_or_else(|| count.saturating_sub(i32::MAX.saturating_sub(first)) - 1)
    }
}

/// Most bytes that a batch of our own may unpack to when it is split: it was that large when it was built.
const UNPACK_LIMIT: usize = i32::MAX as usize;

#[derive(Debug)]
enum Body {
    Open(BatchBuilder),
    Sealed(Bytes),
}

/// The batch.
#[derive(Debug)]
pub(super) struct Batch {
    /// Rises with every batch of the producer; pieces of a split batch share it. What a flush waits for.
    pub(super) id: u64,
    /// Number of the first record among those of the partition: the order in which batches must be sent.
    pub(super) order: u64,
    pub(super) created: Instant,
    pub(super) records: i32,
    /// Bytes without compression: what it takes of `buffer.memory`.
    pub(super) size: usize,
    /// Whether it takes no more records.
    pub(super) full: bool,
    /// How often it was sent.
    pub(super) attempts: u32,
    /// When it may be sent again.
    pub(super) retry_at: Option<Instant>,
    pub(super) sequence: Option<Sequence>,
    pub(super) delivery: Arc<BatchDelivery>,
    body: Body,
}

impl Batch {
    pub(super) fn new(
        id: u64,
        order: u64,
        created: Instant,
        options: BatchOptions,
        capacity: usize,
        delivery: Arc<BatchDelivery>,
    ) -> Self {
        let builder = BatchBuilder::with_capacity(options, capacity);
        Self {
            id,
            order,
            created,
            records: 0,
            size: builder.uncompressed_size(),
            full: false,
            attempts: 0,
            retry_at: None,
            sequence: None,
            delivery,
            body: Body::Open(builder),
        }
    }

    /// Bytes that a record would add; `None` if the batch takes no more.
    pub(super) fn size_of_next(&self, record: &NewRecord<'_>) -> Option<usize> {
        match &self.body {
            Body::Open(builder) if !self.full => Some(builder.size_of_next(record)),
            _ => None,
        }
    }

    /// Appends a record; gives its index in the batch.
    pub(super) fn append(&mut self, record: &NewRecord<'_>) -> Result<u32, RecordError> {
        let Body::Open(builder) = &mut self.body else { return Err(RecordError::BatchFull) };
        let index = builder.append(record)?;
        self.records = builder.record_count();
        self.size = builder.uncompressed_size();
        Ok(index.unsigned_abs())
    }

    /// The bytes to send, with the sequence that the batch has now.
    pub(super) fn seal(&mut self) -> Result<Bytes, RecordError> {
        let (id, epoch, first) = match self.sequence {
            Some(Sequence { identity, first }) => (identity.id, identity.epoch, first),
            None => (ProducerId::NONE, NO_PRODUCER_EPOCH, NO_SEQUENCE),
        };
        let bytes = match std::mem::replace(&mut self.body, Body::Sealed(Bytes::new())) {
            Body::Open(mut builder) => {
                let options = builder.options_mut();
                options.producer_id = id;
                options.producer_epoch = epoch;
                options.base_sequence = first;
                builder.build()?
            }
            Body::Sealed(bytes) => {
                let header = BatchHeader::parse(&bytes)?;
                let wanted = BatchHeader { producer_id: id, producer_epoch: epoch, base_sequence: first, ..header };
                if wanted == header {
                    bytes
                } else {
                    let body = bytes.get(HEADER_LEN..).unwrap_or_default();
                    let mut changed = Vec::with_capacity(bytes.len());
                    changed.extend_from_slice(&wanted.sealed(body).encode());
                    changed.extend_from_slice(body);
                    Bytes::from(changed)
                }
            }
        };
        self.body = Body::Sealed(bytes.clone());
        self.full = true;
        Ok(bytes)
    }

    /// The records in several batches of at most `limit` bytes each, where one record alone may be larger. Sequence numbers
    /// go on as they were: the brokers see the same records in the same order.
    pub(super) fn split(mut self, limit: usize, options: BatchOptions) -> Result<Vec<Self>, RecordError> {
        let bytes = self.seal()?;
        let (batch, _) = RecordBatch::new(&bytes)?;
        let mut scratch = Vec::new();
        let mut pieces: Vec<Self> = Vec::new();
        for (index, record) in (0_i32..).zip(batch.records(&mut scratch, UNPACK_LIMIT)?) {
            let record = record?;
            let headers: Vec<_> = record.headers.iter().collect();
            let new =
                NewRecord { timestamp: record.timestamp, key: record.key, value: record.value, headers: &headers };
            let room = pieces.last().and_then(|piece| Some(piece.size + piece.size_of_next(&new)?));
            if room.is_none_or(|size| size > limit) {
                let mut piece = Self::new(
                    self.id,
                    self.order + u64::from(index.unsigned_abs()),
                    self.created,
                    options,
                    limit.min(self.size),
                    BatchDelivery::new(self.delivery.partition),
                );
                piece.attempts = self.attempts;
                piece.sequence = self
                    .sequence
                    .map(|sequence| Sequence { first: Sequence::number_after(sequence.first, index), ..sequence });
                pieces.push(piece);
            }
            if let Some(piece) = pieces.last_mut() {
                piece.append(&new)?;
            }
        }
        for piece in &mut pieces {
            piece.full = true;
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PartitionId;

    fn batch_of(values: &[&str]) -> Batch {
        let delivery = BatchDelivery::new(PartitionId(0));
        let mut batch = Batch::new(1, 100, Instant::now(), BatchOptions::default(), 1000, delivery);
        for value in values {
            let record = NewRecord { timestamp: 5, value: Some(value.as_bytes()), ..Default::default() };
            batch.append(&record).unwrap();
        }
        batch
    }

    fn sequence(epoch: i16, first: i32) -> Option<Sequence> {
        Some(Sequence { identity: Identity { id: ProducerId(7), epoch }, first })
    }

    #[test]
    fn a_sealed_batch_can_get_another_sequence() {
        let mut batch = batch_of(&["a", "b"]);
        batch.sequence = sequence(0, 40);
        let first = batch.seal().unwrap();
        assert_eq!(batch.seal().unwrap(), first);
        batch.sequence = sequence(1, 0);
        let second = batch.seal().unwrap();
        let (view, _) = RecordBatch::new(&second).unwrap();
        view.verify_crc().unwrap();
        assert_eq!((view.header().producer_epoch, view.header().base_sequence), (1, 0));
        assert_eq!(view.header().producer_id, ProducerId(7));
        assert_eq!(view.body(), &first[HEADER_LEN..]);
    }

    #[test]
    fn pieces_carry_on_the_order_of_the_whole() {
        let mut batch = batch_of(&["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "dddddddddd", "eeeeeeeeee"]);
        batch.sequence = sequence(0, i32::MAX - 1);
        let limit = HEADER_LEN + 40;
        let mut pieces = batch.split(limit, BatchOptions::default()).unwrap();
        assert_eq!(pieces.iter().map(|piece| piece.records).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(pieces.iter().map(|piece| piece.order).collect::<Vec<_>>(), [100, 102, 104]);
        let first: Vec<_> = pieces.iter().map(|piece| piece.sequence.unwrap().first).collect();
        assert_eq!(first, [i32::MAX - 1, 0, 2]);
        for piece in &mut pieces {
            assert!(piece.seal().unwrap().len() <= limit);
        }
    }

    #[test]
    fn sequence_numbers_go_round() {
        assert_eq!(Sequence::number_after(5, 3), 8);
        assert_eq!(Sequence::number_after(i32::MAX, 1), 0);
        assert_eq!(Sequence::number_after(i32::MAX - 1, 5), 3);
    }
}
