//! Builds a batch record by record, with the bytes that Kafka's own builder gives.

use bytes::Bytes;

use super::header::{HEADER_LEN, LOG_OVERHEAD, MAGIC_V2, NO_PRODUCER_EPOCH, NO_SEQUENCE, NO_TIMESTAMP};
use super::varint::{varint_len, varlong_len, write_varint, write_varlong};
use super::{Attributes, BatchHeader, Codec, Compression, Header, RecordError, TimestampType};
use crate::types::{LeaderEpoch, Offset, ProducerId};

/// The largest batch that the format's 32-bit length can tell.
const MAX_BATCH_LEN: usize = i32::MAX as usize;

/// What a batch says of itself besides its records. The default is a plain producer's: no codec, no producer id,
/// offsets from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// How the records are compressed.
    pub compression: Compression,
    /// Offset of the first record: 0 from producers, whose batches get theirs from the leader.
    pub base_offset: Offset,
    /// Epoch of the leader; -1 from producers.
    pub partition_leader_epoch: LeaderEpoch,
    /// Append time for all records instead of theirs, with the timestamp type that says so.
    pub log_append_time: Option<i64>,
    /// Producer id; -1: none.
    pub producer_id: ProducerId,
    /// Producer epoch; -1: none.
    pub producer_epoch: i16,
    /// Sequence number of the first record; -1: none.
    pub base_sequence: i32,
    /// Whether the batch is part of a transaction.
    pub transactional: bool,
    /// Whether the records are control records, whose keys and values the caller encodes.
    pub control: bool,
    /// Time after which compaction may drop tombstones and markers (KIP-534); it takes the base timestamp's place.
    pub delete_horizon_ms: Option<i64>,
    /// Last offset less base offset if it is not the last record's: after compaction removed that one.
    pub last_offset_delta: Option<i32>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            compression: Compression::NONE,
            base_offset: Offset::ZERO,
            partition_leader_epoch: LeaderEpoch::NONE,
            log_append_time: None,
            producer_id: ProducerId::NONE,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            transactional: false,
            control: false,
            delete_horizon_ms: None,
            last_offset_delta: None,
        }
    }
}

/// A record to be appended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// Milliseconds since 1970; -1: none.
    pub timestamp: i64,
    /// `None`: null.
    pub key: Option<&'a [u8]>,
    /// `None`: null.
    pub value: Option<&'a [u8]>,
    /// Its headers in their order.
    pub headers: &'a [Header<'a>],
}

impl NewRecord<'_> {
    /// Bytes that the record takes in a batch, uncompressed, with these deltas.
    fn size(&self, timestamp_delta: i64, offset_delta: i32) -> usize {
        let body = self.body_size(timestamp_delta, offset_delta);
        varint_len(i32::try_from(body).unwrap_or(i32::MAX)).saturating_add(body)
    }

    fn body_size(&self, timestamp_delta: i64, offset_delta: i32) -> usize {
        let headers = self.headers.iter().fold(varint_len(clamp(self.headers.len())), |sum, header| {
            sum.saturating_add(nullable_size(Some(header.key))).saturating_add(nullable_size(header.value))
        });
        (1 + varlong_len(timestamp_delta) + varint_len(offset_delta))
            .saturating_add(nullable_size(self.key))
            .saturating_add(nullable_size(self.value))
            .saturating_add(headers)
    }

    /// The most bytes that a batch of this record alone can take when it is not compressed: what producers compare
    /// with `max.request.size`. It is the figure of Kafka's producer, so that both refuse the same records.
    #[must_use]
    pub fn upper_bound_in_batch(&self) -> usize {
        // Kafka takes the longest form of the record's own length too, however short the record is.
        const LONGEST_LENGTH: usize = 5;
        HEADER_LEN.saturating_add(LONGEST_LENGTH).saturating_add(self.body_size(i64::MIN, i32::MAX))
    }
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_len(clamp(bytes.len())) + bytes.len())
}

/// A length as the format has it. Larger ones are refused by the size of the whole record.
fn clamp(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// A batch being built. Its records stand in memory as they are; they are compressed in [`BatchBuilder::build`].
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// Place for the header, then the records.
    bytes: Vec<u8>,
    record_count: i32,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// Starts a batch.
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        Self::with_capacity(options, 0)
    }

    /// Starts a batch with room for `capacity` bytes, header included.
    #[must_use]
    pub fn with_capacity(options: BatchOptions, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity.max(HEADER_LEN));
        bytes.resize(HEADER_LEN, 0);
        Self {
            options,
            bytes,
            record_count: 0,
            last_offset_delta: -1,
            base_timestamp: options.delete_horizon_ms.unwrap_or(NO_TIMESTAMP),
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// The options, to change what is only known when the batch is sent (producer id, epoch and sequence).
    pub const fn options_mut(&mut self) -> &mut BatchOptions {
        &mut self.options
    }

    /// Appends a record at the offset after the last one; gives its offset delta.
    ///
    /// # Errors
    /// [`RecordError::BatchFull`] when size or offset leave 31 bits; the batch is as before then.
    pub fn append(&mut self, record: &NewRecord<'_>) -> Result<i32, RecordError> {
        let offset_delta = self.last_offset_delta.checked_add(1).ok_or(RecordError::BatchFull)?;
        self.append_at(offset_delta, record)?;
        Ok(offset_delta)
    }

    /// Appends a record at `offset_delta`, which the caller keeps rising: compaction leaves gaps.
    ///
    /// # Errors
    /// As [`BatchBuilder::append`].
    pub fn append_at(&mut self, offset_delta: i32, record: &NewRecord<'_>) -> Result<(), RecordError> {
        let base_timestamp = self.base_timestamp_with(record);
        // Wraps as Kafka's and the reader's do: the sum gives the timestamp back.
        let timestamp_delta = record.timestamp.wrapping_sub(base_timestamp);
        let body = record.body_size(timestamp_delta, offset_delta);
        let size = varint_len(clamp(body)).saturating_add(body);
        if size > MAX_BATCH_LEN - self.bytes.len() || self.record_count == i32::MAX {
            return Err(RecordError::BatchFull);
        }
        let out = &mut self.bytes;
        out.reserve(size);
        write_varint(out, clamp(body));
        out.push(0);
        write_varlong(out, timestamp_delta);
        write_varint(out, offset_delta);
        write_nullable(out, record.key);
        write_nullable(out, record.value);
        write_varint(out, clamp(record.headers.len()));
        for header in record.headers {
            write_nullable(out, Some(header.key));
            write_nullable(out, header.value);
        }
        self.base_timestamp = base_timestamp;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.last_offset_delta = offset_delta;
        self.record_count += 1;
        Ok(())
    }

    /// Deltas count from the first record's timestamp, or from the delete horizon.
    fn base_timestamp_with(&self, record: &NewRecord<'_>) -> i64 {
        match self.options.delete_horizon_ms {
            None if self.record_count == 0 => record.timestamp,
            _ => self.base_timestamp,
        }
    }

    /// Bytes of the batch as it is now, without compression: header and records.
    #[must_use]
    pub const fn uncompressed_size(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that appending `record` next would add, without compression.
    #[must_use]
    pub fn size_of_next(&self, record: &NewRecord<'_>) -> usize {
        let delta = record.timestamp.wrapping_sub(self.base_timestamp_with(record));
        record.size(delta, self.last_offset_delta.saturating_add(1))
    }

    /// Number of records.
    #[must_use]
    pub const fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Whether there is no record yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Largest timestamp so far; -1: none.
    #[must_use]
    pub const fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// Compresses the records and completes the header.
    ///
    /// # Errors
    /// [`RecordError::Compress`]; [`RecordError::BatchFull`] if the records do not fit 31 bits.
    pub fn build(mut self) -> Result<Bytes, RecordError> {
        let compression = self.options.compression;
        if self.record_count == 0 {
            self.options.compression = Compression::NONE; // There is nothing to compress, as in Kafka's empty batches.
        } else if compression.codec != Codec::None {
            let records = self.bytes.split_off(HEADER_LEN);
            super::compress_into(compression, &records, &mut self.bytes)?;
        }
        if self.bytes.len() > MAX_BATCH_LEN {
            return Err(RecordError::BatchFull);
        }
        let header = self.header();
        let mut bytes = self.bytes;
        if let Some((place, body)) = bytes.split_first_chunk_mut::<HEADER_LEN>() {
            *place = header.sealed(body).encode();
        }
        Ok(Bytes::from(bytes))
    }

    fn header(&self) -> BatchHeader {
        let options = &self.options;
        let timestamp_type = match options.log_append_time {
            None => TimestampType::CreateTime,
            Some(_) => TimestampType::LogAppendTime,
        };
        BatchHeader {
            base_offset: options.base_offset,
            batch_length: clamp(self.bytes.len() - LOG_OVERHEAD),
            partition_leader_epoch: options.partition_leader_epoch,
            magic: MAGIC_V2,
            crc: 0,
            attributes: Attributes::default()
                .with_codec(options.compression.codec)
                .with_timestamp_type(timestamp_type)
                .with_transactional(options.transactional)
                .with_control(options.control)
                .with_delete_horizon(options.delete_horizon_ms.is_some()),
            last_offset_delta: options.last_offset_delta.unwrap_or(self.last_offset_delta),
            base_timestamp: options.delete_horizon_ms.unwrap_or(self.base_timestamp),
            max_timestamp: options.log_append_time.unwrap_or(self.max_timestamp),
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            record_count: self.record_count,
        }
    }
}

fn write_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => write_varint(out, -1),
        Some(bytes) => {
            write_varint(out, clamp(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
}
