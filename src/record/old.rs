//! The formats before Kafka 0.11: magic 0 and 1, which old data directories still hold. Read, never written.
//!
//! | Offset | Size | Field | |
//! |---|---|---|---|
//! | 0 | 8 | offset | of the message; of the last one within, if it is compressed |
//! | 8 | 4 | size | bytes after this field |
//! | 12 | 4 | crc | CRC-32 (IEEE) of byte 16 to the end |
//! | 16 | 1 | magic | 0 or 1 |
//! | 17 | 1 | attributes | bits 0-2 codec, bit 3 (magic 1) append time |
//! | 18 | 8 | timestamp | magic 1 only |
//! | | 4 + n | key | i32 length, -1: null |
//! | | 4 + n | value | the same; of a compressed message: a set of messages |

use bytes::Bytes;

use super::compression::{Decoder, Lz4Header};
use super::records::share;
use super::{
    Codec, EntryPrefix, MAGIC_V2, NO_SEQUENCE, NO_TIMESTAMP, OldMessageDefect, OwnedRecord, RecordError, TimestampType,
};
use crate::types::Offset;

const CRC_FROM: usize = 16;

/// A message of magic 0 or 1, or a compressed set of them, in its bytes. The checksum is checked only when asked for.
#[derive(Debug, Clone, Copy)]
pub struct OldEntry<'a> {
    bytes: &'a [u8],
    offset: Offset,
    crc: u32,
    magic: i8,
    attributes: u8,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl<'a> OldEntry<'a> {
    /// Takes the message at the start of `bytes`; also gives what follows it.
    ///
    /// # Errors
    /// [`RecordError::Truncated`] if its end is not there, [`RecordError::InvalidSize`],
    /// [`RecordError::UnsupportedMagic`] for another format, [`RecordError::InvalidOldMessage`].
    pub fn new(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RecordError> {
        let available = bytes.len();
        let Some(EntryPrefix { offset, size_in_bytes, magic }) = EntryPrefix::peek(bytes)? else {
            return Err(RecordError::Truncated { needed: super::PREFIX_LEN, available });
        };
        if magic == MAGIC_V2 {
            return Err(RecordError::UnsupportedMagic { magic });
        }
        let Some((bytes, left)) = bytes.split_at_checked(size_in_bytes) else {
            return Err(RecordError::Truncated { needed: size_in_bytes, available });
        };
        let wrong = |defect| RecordError::InvalidOldMessage { magic, defect };
        let mut rest = bytes.get(12..).unwrap_or_default();
        let crc = u32::from_be_bytes(take(&mut rest).map_err(wrong)?);
        let [_magic, attributes] = take(&mut rest).map_err(wrong)?;
        let timestamp = if magic == 0 { NO_TIMESTAMP } else { i64::from_be_bytes(take(&mut rest).map_err(wrong)?) };
        let key = take_nullable(&mut rest).map_err(wrong)?;
        let value = take_nullable(&mut rest).map_err(wrong)?;
        if !rest.is_empty() {
            return Err(wrong(OldMessageDefect::SizeMismatch));
        }
        Ok((Self { bytes, offset, crc, magic, attributes, timestamp, key, value }, left))
    }

    /// All bytes of the message.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its offset; of the last one within, if it is compressed.
    #[must_use]
    pub const fn offset(&self) -> Offset {
        self.offset
    }

    /// The format: 0 or 1.
    #[must_use]
    pub const fn magic(&self) -> i8 {
        self.magic
    }

    /// The checksum as stored.
    #[must_use]
    pub const fn crc(&self) -> u32 {
        self.crc
    }

    /// The attributes byte.
    #[must_use]
    pub const fn attributes(&self) -> u8 {
        self.attributes
    }

    /// Its timestamp; -1 in magic 0. Of a compressed set: the largest.
    #[must_use]
    pub const fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// What the timestamp tells; `None` in magic 0, which has none.
    #[must_use]
    pub const fn timestamp_type(&self) -> Option<TimestampType> {
        match (self.magic, self.attributes & 0x08) {
            (0, _) => None,
            (_, 0) => Some(TimestampType::CreateTime),
            _ => Some(TimestampType::LogAppendTime),
        }
    }

    /// The codec of the set within.
    ///
    /// # Errors
    /// [`RecordError::UnknownCodec`]; [`RecordError::InvalidOldMessage`] for zstd, which came later.
    pub fn codec(&self) -> Result<Codec, RecordError> {
        let id = self.attributes & 0x07;
        match Codec::from_id(id) {
            None => Err(RecordError::UnknownCodec { id }),
            Some(Codec::Zstd) => {
                Err(RecordError::InvalidOldMessage { magic: self.magic, defect: OldMessageDefect::Codec })
            }
            Some(codec) => Ok(codec),
        }
    }

    /// The records of the message: itself, or the set within, which may take `limit` bytes decompressed. They share the
    /// memory of `owner`, the buffer that holds the message, or of the decompressed set.
    ///
    /// # Errors
    /// As [`super::decompress`], and [`RecordError::InvalidOldMessage`], [`RecordError::UnknownCodec`].
    pub fn owned_records(&self, owner: &Bytes, limit: usize) -> Result<Vec<OwnedRecord>, RecordError> {
        match self.codec()? {
            Codec::None => Ok(vec![self.record(self.offset, owner)]),
            _ => self.records_within(limit),
        }
    }

    fn record(&self, offset: Offset, owner: &Bytes) -> OwnedRecord {
        OwnedRecord {
            offset,
            timestamp: self.timestamp,
            sequence: NO_SEQUENCE,
            key: self.key.map(|key| share(key, owner)),
            value: self.value.map(|value| share(value, owner)),
            headers: Vec::new(),
        }
    }

    /// The set within a compressed message, which may take `limit` bytes.
    ///
    /// # Errors
    /// As [`super::decompress`], and [`RecordError::InvalidOldMessage`], [`RecordError::UnknownCodec`].
    pub fn decompressed_set(&self, limit: usize) -> Result<Vec<u8>, RecordError> {
        let wrong = |defect| RecordError::InvalidOldMessage { magic: self.magic, defect };
        let set = self.value.ok_or_else(|| wrong(OldMessageDefect::EmptyWrapper))?;
        // Kafka wrote the lz4 frames of magic 0 with a checksum that nobody else gets.
        let lz4 = if self.magic == 0 { Lz4Header::Unchecked } else { Lz4Header::Checked };
        let mut inner = Vec::new();
        let mut decoder = Decoder::new(self.codec()?, set, limit, lz4)?;
        while decoder.append_chunk(&mut inner)? {}
        Ok(inner)
    }

    fn records_within(&self, limit: usize) -> Result<Vec<OwnedRecord>, RecordError> {
        let wrong = |defect| RecordError::InvalidOldMessage { magic: self.magic, defect };
        let inner = Bytes::from(self.decompressed_set(limit)?);
        let mut records = Vec::new();
        let mut rest = &inner[..];
        while !rest.is_empty() {
            let (message, left) = OldEntry::new(rest).map_err(|error| match error {
                RecordError::Truncated { .. } => wrong(OldMessageDefect::TruncatedWrapper),
                error => error,
            })?;
            if message.magic != self.magic {
                return Err(wrong(OldMessageDefect::MixedMagic));
            }
            if message.codec()? != Codec::None {
                return Err(wrong(OldMessageDefect::NestedWrapper));
            }
            records.push(message.record(message.offset, &inner));
            rest = left;
        }
        let last = records.last().ok_or_else(|| wrong(OldMessageDefect::EmptyWrapper))?.offset;
        if self.magic == 1 {
            // Offsets within are relative (KIP-31); the wrapper has the last one's. Some clients left the wrapper's at 0.
            let base = if self.offset == Offset::ZERO { 0 } else { self.offset.0.wrapping_sub(last.0) };
            for record in &mut records {
                record.offset = Offset(record.offset.0.wrapping_add(base));
            }
        }
        if self.timestamp_type() == Some(TimestampType::LogAppendTime) {
            for record in &mut records {
                record.timestamp = self.timestamp;
            }
        }
        Ok(records)
    }

    /// Checks the checksum.
    ///
    /// # Errors
    /// [`RecordError::CrcMismatch`].
    pub fn verify_crc(&self) -> Result<(), RecordError> {
        let mut crc = flate2::Crc::new();
        crc.update(self.bytes.get(CRC_FROM..).unwrap_or_default());
        let (stored, computed) = (self.crc, crc.sum());
        if stored == computed { Ok(()) } else { Err(RecordError::CrcMismatch { stored, computed }) }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], OldMessageDefect> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or(OldMessageDefect::SizeMismatch)?;
    *rest = left;
    Ok(*taken)
}

fn take_nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, OldMessageDefect> {
    match i32::from_be_bytes(take(rest)?) {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| OldMessageDefect::Length)?;
            let (taken, left) = rest.split_at_checked(length).ok_or(OldMessageDefect::SizeMismatch)?;
            *rest = left;
            Ok(Some(taken))
        }
    }
}
