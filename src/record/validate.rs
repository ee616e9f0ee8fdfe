//! What a broker checks of the records that a client produces to a partition.
//!
//! Two steps, as Kafka takes them: [`produced_batch`] looks at the shape of the payload before the partition is asked,
//! [`validate`] at all the rest before the append. Uncompressed batches are walked once where they lie; compressed ones
//! are decompressed piece by piece and never held as a whole.
//!
//! Where it is stricter than Kafka it refuses what no client sends: bytes after the batch, offset deltas other than
//! 0, 1, 2, ..., lengths below -1, attribute bits without a meaning or for the log alone, impossible producer ids,
//! records that grow past a limit, append time claimed by the producer even where its value would do.

use bytes::Bytes;

use super::compression::{Decoder, Lz4Header};
use super::records::{RawRecord, read_record};
use super::{
    BatchHeader, Codec, Compression, HEADER_LEN, NO_TIMESTAMP, RecordBatch, RecordDefect, RecordError, RecordFailure,
    RecordFailureReason, RecordFailures, Stamp, TimestampType,
};
use crate::types::{LeaderEpoch, Offset};

/// The partition's settings that validation goes by, and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidateOptions {
    /// Whether `cleanup.policy` includes `compact`: every record needs a key then.
    pub compacted: bool,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub after_max_ms: i64,
    /// `max.message.bytes`: the largest batch, as it comes.
    pub max_message_bytes: usize,
    /// The most bytes that the records of a batch may take decompressed.
    pub max_decompressed_bytes: usize,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

impl Default for ValidateOptions {
    /// Kafka's defaults of a topic; the clock stands at 0.
    fn default() -> Self {
        Self {
            compacted: false,
            timestamp_type: TimestampType::CreateTime,
            before_max_ms: i64::MAX,
            after_max_ms: 3_600_000,
            max_message_bytes: 1_048_588,
            max_decompressed_bytes: 100 * 1_048_588,
            now_ms: 0,
        }
    }
}

/// Why a produced payload is refused. Each variant has its own Kafka error code.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// `CORRUPT_MESSAGE`: damaged on the way; the client sends it again.
    #[error("damaged records")]
    Corrupt(#[source] RecordError),
    /// `MESSAGE_TOO_LARGE`.
    #[error("the record batch has {size} bytes, more than the {limit} that the topic allows")]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// `max.message.bytes`.
        limit: usize,
    },
    /// `UNSUPPORTED_COMPRESSION_TYPE`: zstd in a request of a version before it (KIP-110).
    #[error("this version of the produce request does not allow zstd")]
    ZstdNotAllowed,
    /// `INVALID_RECORD`, because of the batch as a whole.
    #[error("invalid record batch")]
    InvalidBatch(#[source] BatchDefect),
    /// `INVALID_TIMESTAMP` or `INVALID_RECORD`, because of single records.
    #[error("{} records of the batch are refused", .0.total())]
    InvalidRecords(RecordFailures),
}

/// What is wrong with a batch as a whole.
#[derive(Debug, thiserror::Error)]
pub enum BatchDefect {
    /// There is none, or not all of it.
    #[error("there is no whole record batch")]
    NoBatch,
    /// There is more than one, or something else follows it.
    #[error("something follows the record batch")]
    NotOneBatch,
    /// Magic 0 or 1.
    #[error("the record batch has magic {0}, where 2 is needed")]
    OldMagic(i8),
    /// Offsets are given by the broker; clients count from 0.
    #[error("the base offset is {0}, where 0 is needed")]
    BaseOffset(Offset),
    /// No records, or a negative number of them.
    #[error("the record count is {0}")]
    Count(i32),
    /// The offsets are not one for each record.
    #[error("the last offset delta is {last_offset_delta} with {record_count} records")]
    OffsetRange {
        /// As the header has it.
        last_offset_delta: i32,
        /// As the header has it.
        record_count: i32,
    },
    /// Control records are the broker's own.
    #[error("clients are not allowed to write control records")]
    Control,
    /// Attribute bits that mean nothing, or the delete horizon, which is the log cleaner's own.
    #[error("the attributes {0:#06x} have bits that clients do not set")]
    Attributes(i16),
    /// An id below -1, an id without an epoch or a transaction without an id.
    #[error("the producer id {producer_id} with epoch {producer_epoch} is impossible")]
    Producer {
        /// As the header has it.
        producer_id: i64,
        /// As the header has it.
        producer_epoch: i16,
    },
    /// A producer id needs sequence numbers.
    #[error("the base sequence {0} is negative in a batch with a producer id")]
    Sequence(i32),
    /// An offset delta other than the record's position.
    #[error("record {index} has offset delta {offset_delta}")]
    OffsetDelta {
        /// Position of the record.
        index: i32,
        /// As the record has it.
        offset_delta: i32,
    },
    /// Codec or structure of the records.
    #[error("the records can't be read")]
    Unreadable(#[source] RecordError),
}

impl From<BatchDefect> for ValidateError {
    fn from(defect: BatchDefect) -> Self {
        Self::InvalidBatch(defect)
    }
}

/// Takes the one batch that a payload must be. `zstd_allowed` tells whether the request is of version 7 or later.
///
/// # Errors
/// [`ValidateError::InvalidBatch`], [`ValidateError::Corrupt`], [`ValidateError::ZstdNotAllowed`].
pub fn produced_batch(payload: &[u8], zstd_allowed: bool) -> Result<RecordBatch<'_>, ValidateError> {
    let (batch, rest) = RecordBatch::new(payload).map_err(|error| match error {
        RecordError::Truncated { .. } => BatchDefect::NoBatch.into(),
        RecordError::UnsupportedMagic { magic: magic @ 0..=1 } => BatchDefect::OldMagic(magic).into(),
        error => ValidateError::Corrupt(error),
    })?;
    if !zstd_allowed && matches!(batch.header().attributes.codec(), Ok(Codec::Zstd)) {
        return Err(ValidateError::ZstdNotAllowed);
    }
    if !rest.is_empty() {
        return Err(BatchDefect::NotOneBatch.into());
    }
    Ok(batch)
}

/// A batch that may be appended.
#[derive(Debug, Clone, Copy)]
pub struct ValidatedBatch<'a> {
    /// The batch as the client sent it.
    pub batch: RecordBatch<'a>,
    /// Largest timestamp of the records, which the header may have told wrongly; -1: none.
    pub max_timestamp: i64,
    /// Offset delta of the first record with that timestamp.
    pub offset_delta_of_max_timestamp: i32,
}

impl ValidatedBatch<'_> {
    /// What the leader writes into the header when it appends the batch at `base_offset`, for [`super::patched_header`].
    #[must_use]
    pub fn stamp(&self, base_offset: Offset, leader_epoch: LeaderEpoch, options: &ValidateOptions) -> Stamp {
        let max_timestamp = match options.timestamp_type {
            TimestampType::CreateTime => self.max_timestamp,
            TimestampType::LogAppendTime => options.now_ms,
        };
        Stamp { base_offset, leader_epoch, timestamps: Some((options.timestamp_type, max_timestamp)) }
    }
}

/// Checks a produced batch against the partition's settings.
///
/// # Errors
/// Any [`ValidateError`] but [`ValidateError::ZstdNotAllowed`].
pub fn validate<'a>(batch: RecordBatch<'a>, options: &ValidateOptions) -> Result<ValidatedBatch<'a>, ValidateError> {
    let header = batch.header();
    // Order: as Kafka's, since a batch may be wrong in several ways and clients see the first.
    if header.base_offset != Offset::ZERO {
        return Err(BatchDefect::BaseOffset(header.base_offset).into());
    }
    if header.size_in_bytes() > options.max_message_bytes {
        return Err(ValidateError::TooLarge { size: header.size_in_bytes(), limit: options.max_message_bytes });
    }
    batch.verify_crc().map_err(ValidateError::Corrupt)?;
    check_header(header)?;
    let mut checks = Checks::new(header, options);
    match header.attributes.codec().map_err(BatchDefect::Unreadable)? {
        Codec::None => walk_plain(batch.body(), &mut checks)?,
        codec => walk_compressed(codec, batch.body(), options.max_decompressed_bytes, &mut checks)?,
    }
    if checks.failures.total() > 0 {
        return Err(ValidateError::InvalidRecords(checks.failures));
    }
    let Checks { max_timestamp, offset_delta_of_max_timestamp, .. } = checks;
    Ok(ValidatedBatch { batch, max_timestamp, offset_delta_of_max_timestamp })
}

fn check_header(header: &BatchHeader) -> Result<(), BatchDefect> {
    let BatchHeader { last_offset_delta, record_count, attributes, .. } = *header;
    if record_count <= 0 {
        return Err(BatchDefect::Count(record_count));
    }
    if last_offset_delta != record_count - 1 {
        return Err(BatchDefect::OffsetRange { last_offset_delta, record_count });
    }
    if attributes.is_control() {
        return Err(BatchDefect::Control);
    }
    if attributes.has_unknown_bits() || attributes.has_delete_horizon() {
        return Err(BatchDefect::Attributes(attributes.0));
    }
    let BatchHeader { producer_id, producer_epoch, base_sequence, .. } = *header;
    if header.has_producer_id() && base_sequence < 0 {
        return Err(BatchDefect::Sequence(base_sequence));
    }
    let possible = match producer_id.0 {
        -1 => !attributes.is_transactional(),
        id => id >= 0 && producer_epoch >= 0,
    };
    if possible { Ok(()) } else { Err(BatchDefect::Producer { producer_id: producer_id.0, producer_epoch }) }
}

/// What is known after some of the records.
struct Checks<'o> {
    header: &'o BatchHeader,
    options: &'o ValidateOptions,
    failures: RecordFailures,
    next_index: i32,
    max_timestamp: i64,
    offset_delta_of_max_timestamp: i32,
}

impl<'o> Checks<'o> {
    fn new(header: &'o BatchHeader, options: &'o ValidateOptions) -> Self {
        Self {
            header,
            options,
            failures: RecordFailures::default(),
            next_index: 0,
            max_timestamp: NO_TIMESTAMP,
            offset_delta_of_max_timestamp: 0,
        }
    }

    fn all_came(&self) -> bool {
        self.next_index >= self.header.record_count
    }

    #[inline]
    fn record(&mut self, record: &RawRecord<'_>) -> Result<(), BatchDefect> {
        let index = self.next_index;
        self.next_index += 1;
        if record.offset_delta != index {
            return Err(BatchDefect::OffsetDelta { index, offset_delta: record.offset_delta });
        }
        let timestamp = record.timestamp(self.header);
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
            self.offset_delta_of_max_timestamp = index;
        }
        if let Some(reason) = self.failure(record, timestamp) {
            self.failures.push(RecordFailure { batch_index: index, reason });
        }
        Ok(())
    }

    #[inline]
    fn failure(&self, record: &RawRecord<'_>, timestamp: i64) -> Option<RecordFailureReason> {
        let options = self.options;
        if options.compacted && record.key.is_none() {
            return Some(RecordFailureReason::MissingKey);
        }
        if options.timestamp_type == TimestampType::CreateTime && timestamp != NO_TIMESTAMP {
            // Wraps as Kafka's: a timestamp at the edge of the range is out of it whichever way.
            let age = options.now_ms.wrapping_sub(timestamp);
            if age > options.before_max_ms || age.wrapping_neg() > options.after_max_ms {
                return Some(RecordFailureReason::TimestampOutOfRange {
                    timestamp,
                    earliest: options.now_ms.wrapping_sub(options.before_max_ms),
                    latest: options.now_ms.wrapping_add(options.after_max_ms),
                });
            }
        }
        if self.header.attributes.timestamp_type() == TimestampType::LogAppendTime {
            return Some(RecordFailureReason::AppendTimeFromProducer {
                timestamp,
                key_len: record.key.map_or(0, <[u8]>::len),
                value_len: record.value.map_or(0, <[u8]>::len),
            });
        }
        None
    }

    fn unreadable(&self, defect: RecordDefect) -> BatchDefect {
        let index = usize::try_from(self.next_index).unwrap_or(0);
        BatchDefect::Unreadable(RecordError::InvalidRecord { index, defect })
    }

    fn too_few(&self) -> BatchDefect {
        let found = usize::try_from(self.next_index).unwrap_or(0);
        BatchDefect::Unreadable(RecordError::TooFewRecords { expected: self.header.record_count, found })
    }
}

fn walk_plain(mut rest: &[u8], checks: &mut Checks<'_>) -> Result<(), BatchDefect> {
    while !checks.all_came() {
        if rest.is_empty() {
            return Err(checks.too_few());
        }
        let record = read_record(&mut rest).map_err(|defect| checks.unreadable(defect))?;
        checks.record(&record)?;
    }
    match rest.len() {
        0 => Ok(()),
        left => Err(BatchDefect::Unreadable(RecordError::TrailingBytes { left })),
    }
}

/// Goes over the records while they are decompressed, through a window that holds a piece and the longest record.
fn walk_compressed(codec: Codec, body: &[u8], limit: usize, checks: &mut Checks<'_>) -> Result<(), BatchDefect> {
    let mut decoder = Decoder::new(codec, body, limit, Lz4Header::Checked).map_err(BatchDefect::Unreadable)?;
    let mut window = Vec::new();
    let mut at = 0;
    let mut more = true;
    loop {
        let mut rest = window.get(at..).unwrap_or_default();
        if checks.all_came() && (!rest.is_empty() || !more) {
            break;
        }
        match read_record(&mut rest) {
            Ok(record) => {
                checks.record(&record)?;
                at = window.len() - rest.len();
            }
            Err(RecordDefect::Truncated) if more => {
                window.drain(..at);
                at = 0;
                more = decoder.append_chunk(&mut window).map_err(BatchDefect::Unreadable)?;
            }
            Err(RecordDefect::Truncated) if rest.is_empty() => return Err(checks.too_few()),
            Err(defect) => return Err(checks.unreadable(defect)),
        }
    }
    match window.len() - at {
        0 => Ok(()),
        left => Err(BatchDefect::Unreadable(RecordError::TrailingBytes { left })),
    }
}

/// The batch with its records compressed another way, for topics whose `compression.type` is not the producer's.
///
/// It may be larger than `max.message.bytes` afterwards: the broker looks again.
///
/// # Errors
/// As [`super::decompress`] and [`super::compress`]; [`RecordError::UnknownCodec`].
pub fn recompress(
    batch: &RecordBatch<'_>,
    compression: Compression,
    max_decompressed_bytes: usize,
) -> Result<Bytes, RecordError> {
    let header = batch.header();
    let decompressed;
    let records = match header.attributes.codec()? {
        Codec::None => batch.body(),
        codec => {
            decompressed = super::decompress(codec, batch.body(), max_decompressed_bytes)?;
            &decompressed
        }
    };
    let mut bytes = vec![0; HEADER_LEN];
    super::compress_into(compression, records, &mut bytes)?;
    let batch_length = i32::try_from(bytes.len() - super::LOG_OVERHEAD).map_err(|_| RecordError::BatchFull)?;
    let attributes = header.attributes.with_codec(compression.codec);
    if let Some((place, body)) = bytes.split_first_chunk_mut::<HEADER_LEN>() {
        *place = BatchHeader { batch_length, attributes, ..*header }.sealed(body).encode();
    }
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests;
