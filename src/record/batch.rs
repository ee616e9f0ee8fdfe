//! Whole batches: a view over one, and the walk over a piece of log.

use bytes::Bytes;

use super::header::{CRC_START, HEADER_LEN};
use super::records::share;
use super::{
    BatchHeader, Codec, EntryPrefix, OldEntry, OwnedRecord, OwnedRecords, RecordError, Records, TimestampType,
};
use crate::types::{LeaderEpoch, Offset};

/// One batch of magic 2 in its bytes. Size and magic are checked; checksum and records only when asked for.
#[derive(Debug, Clone, Copy)]
pub struct RecordBatch<'a> {
    /// Invariant: exactly `header.size_in_bytes()` long, hence at least a header.
    bytes: &'a [u8],
    header: BatchHeader,
}

impl<'a> RecordBatch<'a> {
    /// Takes the batch at the start of `bytes`; also gives what follows it.
    ///
    /// # Errors
    /// [`RecordError::Truncated`] if its end is not there, [`RecordError::InvalidSize`],
    /// [`RecordError::UnsupportedMagic`].
    pub fn new(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RecordError> {
        let header = BatchHeader::parse(bytes)?;
        let needed = header.size_in_bytes();
        match bytes.split_at_checked(needed) {
            Some((bytes, rest)) => Ok((Self { bytes, header }, rest)),
            None => Err(RecordError::Truncated { needed, available: bytes.len() }),
        }
    }

    /// The fixed part.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All bytes of the batch.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes after the fixed part: the records, as they are compressed.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Checks the checksum.
    ///
    /// # Errors
    /// [`RecordError::CrcMismatch`].
    pub fn verify_crc(&self) -> Result<(), RecordError> {
        let computed = crc32c::crc32c(self.bytes.get(CRC_START..).unwrap_or_default());
        let stored = self.header.crc;
        if computed == stored { Ok(()) } else { Err(RecordError::CrcMismatch { stored, computed }) }
    }

    /// The records as views. Uncompressed ones borrow from the batch; compressed ones are decompressed into `scratch`,
    /// at most `limit` bytes, and borrow from there.
    ///
    /// # Errors
    /// As [`super::decompress`], and [`RecordError::UnknownCodec`]; errors in the records come from the iterator.
    pub fn records<'b>(&self, scratch: &'b mut Vec<u8>, limit: usize) -> Result<Records<'b>, RecordError>
    where
        'a: 'b,
    {
        match self.header.attributes.codec()? {
            // As Kafka: where no record is announced, nothing is decompressed to see whether there is one.
            _ if self.header.record_count == 0 => Ok(Records::new(&self.header, &[])),
            Codec::None => Ok(Records::new(&self.header, self.body())),
            codec => {
                super::decompress_into(codec, self.body(), limit, scratch)?;
                Ok(Records::new(&self.header, scratch))
            }
        }
    }

    /// The records as owned slices of `owner`, the buffer that holds the batch, without a copy; compressed ones are
    /// slices of one new buffer of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`RecordBatch::records`].
    pub fn owned_records(&self, owner: &Bytes, limit: usize) -> Result<OwnedRecords, RecordError> {
        let records = match self.header.attributes.codec()? {
            _ if self.header.record_count == 0 => Bytes::new(),
            Codec::None => share(self.body(), owner),
            codec => Bytes::from(super::decompress(codec, self.body(), limit)?),
        };
        Ok(OwnedRecords::new(&self.header, records))
    }
}

/// What a leader writes into a batch when it appends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Offset of the batch's first record.
    pub base_offset: Offset,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// Timestamp type and max timestamp where they differ from what the producer wrote: the append time in a topic of
    /// `LogAppendTime`, or the true maximum that validation found.
    pub timestamps: Option<(TimestampType, i64)>,
}

/// The first 61 bytes of `batch` as they go to disk, to be followed by [`RecordBatch::body`].
///
/// Base offset and leader epoch lie outside of the checksum; it is computed anew only if the timestamps change.
#[must_use]
pub fn patched_header(batch: &RecordBatch<'_>, stamp: &Stamp) -> [u8; HEADER_LEN] {
    let Stamp { base_offset, leader_epoch: partition_leader_epoch, timestamps } = *stamp;
    let mut header = BatchHeader { base_offset, partition_leader_epoch, ..*batch.header() };
    if let Some((timestamp_type, max_timestamp)) = timestamps {
        let attributes = header.attributes.with_timestamp_type(timestamp_type);
        if (attributes, max_timestamp) != (header.attributes, header.max_timestamp) {
            header = BatchHeader { attributes, max_timestamp, ..header }.sealed(batch.body());
        }
    }
    header.encode()
}

/// The batches of a piece of log, one after another. Ends quietly where a batch is cut short, as answers to Fetch are;
/// ends after the first error.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

/// Goes over the batches of `log`, all of which must be of magic 2 ([`entries`] takes the old formats too).
#[must_use]
pub const fn batches(log: &[u8]) -> Batches<'_> {
    Batches { rest: log }
}

impl<'a> Batches<'a> {
    /// The bytes that were not read: after the end, those of a batch that was cut short.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<RecordBatch<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        match RecordBatch::new(self.rest) {
            Ok((batch, rest)) => {
                self.rest = rest;
                Some(Ok(batch))
            }
            Err(RecordError::Truncated { .. }) => None,
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// An entry of a log: a batch, or a message of the formats before Kafka 0.11, which old data directories still hold.
#[derive(Debug, Clone, Copy)]
pub enum LogEntry<'a> {
    /// Magic 2.
    Batch(RecordBatch<'a>),
    /// Magic 0 and 1: a message, or a compressed set of messages.
    Old(OldEntry<'a>),
}

impl<'a> LogEntry<'a> {
    /// Takes the entry at the start of `bytes`; also gives what follows it.
    ///
    /// # Errors
    /// [`RecordError::Truncated`] if its end is not there, [`RecordError::InvalidSize`],
    /// [`RecordError::UnsupportedMagic`] for what is of no format, [`RecordError::InvalidOldMessage`].
    pub fn new(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RecordError> {
        match EntryPrefix::peek(bytes)? {
            None => Err(RecordError::Truncated { needed: HEADER_LEN, available: bytes.len() }),
            Some(prefix) if prefix.magic == super::MAGIC_V2 => {
                RecordBatch::new(bytes).map(|(batch, rest)| (Self::Batch(batch), rest))
            }
            Some(_) => OldEntry::new(bytes).map(|(entry, rest)| (Self::Old(entry), rest)),
        }
    }

    /// All bytes of the entry.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Batch(batch) => batch.bytes(),
            Self::Old(entry) => entry.bytes(),
        }
    }

    /// The format: 0, 1 or 2.
    #[must_use]
    pub const fn magic(&self) -> i8 {
        match self {
            Self::Batch(batch) => batch.header.magic,
            Self::Old(entry) => entry.magic(),
        }
    }

    /// Offset of the entry's last record.
    #[must_use]
    pub const fn last_offset(&self) -> Offset {
        match self {
            Self::Batch(batch) => batch.header.last_offset(),
            Self::Old(entry) => entry.offset(),
        }
    }

    /// Largest timestamp of the records; -1: none.
    #[must_use]
    pub const fn max_timestamp(&self) -> i64 {
        match self {
            Self::Batch(batch) => batch.header.max_timestamp,
            Self::Old(entry) => entry.timestamp(),
        }
    }

    /// Checks the checksum.
    ///
    /// # Errors
    /// [`RecordError::CrcMismatch`].
    pub fn verify_crc(&self) -> Result<(), RecordError> {
        match self {
            Self::Batch(batch) => batch.verify_crc(),
            Self::Old(entry) => entry.verify_crc(),
        }
    }

    /// The records, whatever the format, as [`RecordBatch::owned_records`] gives them.
    ///
    /// # Errors
    /// As [`RecordBatch::owned_records`] and [`OldEntry::owned_records`].
    pub fn owned_records(&self, owner: &Bytes, limit: usize) -> Result<EntryRecords, RecordError> {
        Ok(match self {
            Self::Batch(batch) => EntryRecords::Batch(batch.owned_records(owner, limit)?),
            Self::Old(entry) => EntryRecords::Old(entry.owned_records(owner, limit)?.into_iter()),
        })
    }
}

/// The records of a [`LogEntry`]; ends after the first error.
#[derive(Debug, Clone)]
pub enum EntryRecords {
    /// Of a batch.
    Batch(OwnedRecords),
    /// Of a message of the old formats.
    Old(std::vec::IntoIter<OwnedRecord>),
}

impl Iterator for EntryRecords {
    type Item = Result<OwnedRecord, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Batch(records) => records.next(),
            Self::Old(records) => records.next().map(Ok),
        }
    }
}

/// The entries of a piece of log in any mixture of formats; ends as [`Batches`] does.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    rest: &'a [u8],
}

/// Goes over the entries of `log`, whatever their format.
#[must_use]
pub const fn entries(log: &[u8]) -> Entries<'_> {
    Entries { rest: log }
}

impl<'a> Entries<'a> {
    /// The bytes that were not read: after the end, those of an entry that was cut short.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<LogEntry<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        match LogEntry::new(self.rest) {
            Ok((entry, rest)) => {
                self.rest = rest;
                Some(Ok(entry))
            }
            Err(RecordError::Truncated { .. }) => None,
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}
