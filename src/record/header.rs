//! The fixed part of a batch: 61 bytes, big-endian.
//!
//! | Offset | Size | Field | |
//! |---|---|---|---|
//! | 0 | 8 | base offset | of the first record; stays when compaction removes that record |
//! | 8 | 4 | batch length | bytes after this field |
//! | 12 | 4 | partition leader epoch | set by the leader; -1 from clients |
//! | 16 | 1 | magic | 2; the same place in all formats |
//! | 17 | 4 | crc | CRC-32C of byte 21 to the end |
//! | 21 | 2 | attributes | see [`Attributes`] |
//! | 23 | 4 | last offset delta | last offset less base offset; stays when compaction removes records |
//! | 27 | 8 | base timestamp | what the records' deltas count from; with the delete horizon bit: the horizon |
//! | 35 | 8 | max timestamp | largest of the records, or the append time |
//! | 43 | 8 | producer id | -1: none |
//! | 51 | 2 | producer epoch | -1: none |
//! | 53 | 4 | base sequence | -1: none |
//! | 57 | 4 | record count | |

use super::{Codec, RecordError};
use crate::types::{LeaderEpoch, Offset, ProducerId};

/// Bytes of the fixed part of a batch.
pub const HEADER_LEN: usize = 61;
/// Bytes of base offset and size, before which nothing can be said about an entry's size.
pub const LOG_OVERHEAD: usize = 12;
/// Bytes up to and including the magic byte, in every format.
pub const PREFIX_LEN: usize = 17;
/// The magic byte of the current format.
pub const MAGIC_V2: i8 = 2;
/// "No timestamp" in a record or a batch.
pub const NO_TIMESTAMP: i64 = -1;
/// "No sequence" in a batch.
pub const NO_SEQUENCE: i32 = -1;
/// "No producer epoch" in a batch.
pub const NO_PRODUCER_EPOCH: i16 = -1;

/// Where the checksum's range starts.
pub(crate) const CRC_START: usize = 21;
/// The smallest value of the size field of an entry of magic 0: crc, magic, attributes, two lengths.
const MIN_SIZE_FIELD: i32 = 14;

/// What a record's timestamp tells.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's time, record by record.
    #[default]
    CreateTime,
    /// The broker's time when it appended the batch, for all records of it.
    LogAppendTime,
}

impl std::fmt::Display for TimestampType {
    /// Kafka's name, as `message.timestamp.type` and the tools have it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        })
    }
}

/// The attribute bits of a batch: 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// The codec of the records.
    ///
    /// # Errors
    /// [`RecordError::UnknownCodec`] for the three numbers without a codec.
    pub const fn codec(self) -> Result<Codec, RecordError> {
        let id = (self.0 & Self::CODEC) as u8;
        match Codec::from_id(id) {
            Some(codec) => Ok(codec),
            None => Err(RecordError::UnknownCodec { id }),
        }
    }

    /// What the records' timestamps tell.
    #[must_use]
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    /// Whether the batch is part of a transaction (markers are, too).
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the records are the log's own (markers, leader changes, ...) and never shown to applications.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time after which compaction may drop tombstones and markers (KIP-534).
    #[must_use]
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// Whether bits are set that mean nothing yet.
    #[must_use]
    pub const fn has_unknown_bits(self) -> bool {
        self.0 & !0x7f != 0
    }

    /// The same with this codec.
    #[must_use]
    pub const fn with_codec(self, codec: Codec) -> Self {
        Self(self.0 & !Self::CODEC | codec.id() as i16)
    }

    /// The same with this timestamp type.
    #[must_use]
    pub const fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        self.with_bit(Self::LOG_APPEND_TIME, matches!(timestamp_type, TimestampType::LogAppendTime))
    }

    /// The same, transactional or not.
    #[must_use]
    pub const fn with_transactional(self, on: bool) -> Self {
        self.with_bit(Self::TRANSACTIONAL, on)
    }

    /// The same, a control batch or not.
    #[must_use]
    pub const fn with_control(self, on: bool) -> Self {
        self.with_bit(Self::CONTROL, on)
    }

    /// The same, with a delete horizon in the base timestamp or not.
    #[must_use]
    pub const fn with_delete_horizon(self, on: bool) -> Self {
        self.with_bit(Self::DELETE_HORIZON, on)
    }

    const fn with_bit(self, bit: i16, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }
}

/// What the first 17 bytes of an entry of any format tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryPrefix {
    /// Base offset (magic 2), or offset of the message: of the last one within, if it is compressed (magic 0 and 1).
    pub offset: Offset,
    /// Bytes of the whole entry.
    pub size_in_bytes: usize,
    /// The format: 0, 1 or 2.
    pub magic: i8,
}

impl EntryPrefix {
    /// Reads the start of an entry; `None` if there are not enough bytes for it.
    ///
    /// # Errors
    /// [`RecordError::InvalidSize`] and [`RecordError::UnsupportedMagic`] for what is no entry of any format.
    pub fn peek(bytes: &[u8]) -> Result<Option<Self>, RecordError> {
        let Some((start, _)) = bytes.split_first_chunk::<PREFIX_LEN>() else { return Ok(None) };
        let size = i32::from_be_bytes(field(start, 8));
        let magic = i8::from_be_bytes(field(start, 16));
        let smallest = if magic == MAGIC_V2 { (HEADER_LEN - LOG_OVERHEAD) as i32 } else { MIN_SIZE_FIELD };
        if size < smallest {
            return Err(RecordError::InvalidSize { size });
        }
        if !(0..=MAGIC_V2).contains(&magic) {
            return Err(RecordError::UnsupportedMagic { magic });
        }
        let offset = Offset(i64::from_be_bytes(field(start, 0)));
        Ok(Some(Self { offset, size_in_bytes: LOG_OVERHEAD + size as usize, magic }))
    }
}

/// The fixed part of a batch of magic 2, decoded. Its fields are as they stand: only size and magic are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record, also after compaction removed that one.
    pub base_offset: Offset,
    /// Bytes after this field: the batch's size less 12.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch; -1 before that.
    pub partition_leader_epoch: LeaderEpoch,
    /// The format: 2.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec and kind.
    pub attributes: Attributes,
    /// Last offset less base offset.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from: the first record's timestamp, or the delete horizon.
    pub base_timestamp: i64,
    /// Largest timestamp of the records, or the append time; -1: none.
    pub max_timestamp: i64,
    /// Idempotent or transactional producer.
    pub producer_id: ProducerId,
    /// That producer's epoch; -1: none.
    pub producer_epoch: i16,
    /// Sequence number of the first record; -1: none.
    pub base_sequence: i32,
    /// Number of records; fewer than the offsets after compaction.
    pub record_count: i32,
}

impl BatchHeader {
    /// Decodes the start of a batch, the records of which need not be there.
    ///
    /// # Errors
    /// [`RecordError::Truncated`], [`RecordError::InvalidSize`], [`RecordError::UnsupportedMagic`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let available = bytes.len();
        let Some(prefix) = EntryPrefix::peek(bytes)? else {
            return Err(RecordError::Truncated { needed: HEADER_LEN, available });
        };
        if prefix.magic != MAGIC_V2 {
            return Err(RecordError::UnsupportedMagic { magic: prefix.magic });
        }
        let Some((h, _)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(RecordError::Truncated { needed: HEADER_LEN, available });
        };
        Ok(Self {
            base_offset: prefix.offset,
            batch_length: i32::from_be_bytes(field(h, 8)),
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(field(h, 12))),
            magic: prefix.magic,
            crc: u32::from_be_bytes(field(h, 17)),
            attributes: Attributes(i16::from_be_bytes(field(h, 21))),
            last_offset_delta: i32::from_be_bytes(field(h, 23)),
            base_timestamp: i64::from_be_bytes(field(h, 27)),
            max_timestamp: i64::from_be_bytes(field(h, 35)),
            producer_id: ProducerId(i64::from_be_bytes(field(h, 43))),
            producer_epoch: i16::from_be_bytes(field(h, 51)),
            base_sequence: i32::from_be_bytes(field(h, 53)),
            record_count: i32::from_be_bytes(field(h, 57)),
        })
    }

    /// The bytes of the fields as they are; the checksum is not computed anew (see [`BatchHeader::sealed`]).
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut h = [0; HEADER_LEN];
        put(&mut h, 0, self.base_offset.0.to_be_bytes());
        put(&mut h, 8, self.batch_length.to_be_bytes());
        put(&mut h, 12, self.partition_leader_epoch.0.to_be_bytes());
        put(&mut h, 16, self.magic.to_be_bytes());
        put(&mut h, 17, self.crc.to_be_bytes());
        put(&mut h, 21, self.attributes.0.to_be_bytes());
        put(&mut h, 23, self.last_offset_delta.to_be_bytes());
        put(&mut h, 27, self.base_timestamp.to_be_bytes());
        put(&mut h, 35, self.max_timestamp.to_be_bytes());
        put(&mut h, 43, self.producer_id.0.to_be_bytes());
        put(&mut h, 51, self.producer_epoch.to_be_bytes());
        put(&mut h, 53, self.base_sequence.to_be_bytes());
        put(&mut h, 57, self.record_count.to_be_bytes());
        h
    }

    /// The same header with the checksum that fits it and `body`, the bytes of the batch after the header.
    #[must_use]
    pub fn sealed(mut self, body: &[u8]) -> Self {
        let encoded = self.encode();
        self.crc = checksum(encoded.get(CRC_START..).unwrap_or_default(), body);
        self
    }

    /// The whole batch that compaction leaves when it removed all records but must keep offsets and producer state.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self {
            batch_length: (HEADER_LEN - LOG_OVERHEAD) as i32,
            attributes: self.attributes.with_codec(Codec::None).with_delete_horizon(false),
            base_timestamp: NO_TIMESTAMP,
            record_count: 0,
            ..*self
        }
        .sealed(&[])
    }

    /// The offset of the batch's last record, also after compaction removed that one.
    #[must_use]
    pub const fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.wrapping_add(self.last_offset_delta as i64))
    }

    /// The offset after the batch.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.wrapping_add(1))
    }

    /// Bytes of the whole batch.
    #[must_use]
    pub const fn size_in_bytes(&self) -> usize {
        // Invariant: `parse` refused a smaller length than that of the header, so it is not negative.
        LOG_OVERHEAD + self.batch_length.unsigned_abs() as usize
    }

    /// Sequence number of the last record, or -1.
    #[must_use]
    pub const fn last_sequence(&self) -> i32 {
        self.sequence_at(self.last_offset_delta)
    }

    /// Sequence number of the record at `offset_delta`, or -1: after 2147483647 comes 0.
    #[must_use]
    pub const fn sequence_at(&self, offset_delta: i32) -> i32 {
        if self.base_sequence < 0 { NO_SEQUENCE } else { self.base_sequence.wrapping_add(offset_delta) & i32::MAX }
    }

    /// Whether an idempotent or transactional producer wrote the batch.
    #[must_use]
    pub const fn has_producer_id(&self) -> bool {
        self.producer_id.0 > ProducerId::NONE.0
    }

    /// The time after which compaction may drop the batch's tombstones and markers, if it is set.
    #[must_use]
    pub const fn delete_horizon_ms(&self) -> Option<i64> {
        if self.attributes.has_delete_horizon() { Some(self.base_timestamp) } else { None }
    }
}

/// CRC-32C over two pieces.
pub(super) fn checksum(first: &[u8], second: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(first), second)
}

/// `N` bytes at a constant place within the array: both are known when compiling, so nothing is checked at run time.
fn field<const L: usize, const N: usize>(bytes: &[u8; L], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes.get(at + index).copied().unwrap_or_default())
}

fn put<const N: usize>(bytes: &mut [u8; HEADER_LEN], at: usize, value: [u8; N]) {
    if let Some(place) = bytes.get_mut(at..at + N) {
        place.copy_from_slice(&value);
    }
}
