//! The records within a batch: views that borrow, and owned ones that share the memory of the answer they came in.
//!
//! | Field of a record | Type |
//! |---|---|
//! | length | varint, bytes after it |
//! | attributes | i8, unused |
//! | timestamp delta | varlong, to the batch's base timestamp |
//! | offset delta | varint, to the batch's base offset |
//! | key | varint length (-1: null), bytes |
//! | value | varint length (-1: null, a tombstone), bytes |
//! | headers | varint count, then of each: varint key length, key, varint value length (-1: null), value |

use std::borrow::Cow;

use bytes::Bytes;

use super::varint::{read_varint, read_varlong};
use super::{BatchHeader, RecordDefect, RecordError, TimestampType};
use crate::types::Offset;

/// A header of a record. Order and repetition of keys count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// UTF-8 by convention; not checked.
    pub key: &'a [u8],
    /// Any bytes, or null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// The key as text; bytes that are not UTF-8 become replacement characters, as Java's clients show them.
    #[must_use]
    pub fn key_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// The headers of a record, whose structure was checked when the record was read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    count: usize,
    raw: &'a [u8],
}

impl<'a> Headers<'a> {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers in their order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let Self { count, mut raw } = *self;
        // Invariant: `read_headers` went over the same bytes without an error.
        (0..count).map_while(move |_| read_header(&mut raw).ok())
    }
}

/// A record of a batch, borrowed from the batch or from its decompressed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Position in the partition.
    pub offset: Offset,
    /// Milliseconds since 1970; -1: none. The batch's time for append time.
    pub timestamp: i64,
    /// Number of the record in its producer's sequence; -1: none.
    pub sequence: i32,
    /// `None`: null.
    pub key: Option<&'a [u8]>,
    /// `None`: null, a tombstone in compacted topics.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

/// A record as it stands: with deltas, which the batch's header gives a meaning.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawRecord<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Headers<'a>,
}

impl<'a> RawRecord<'a> {
    /// Gives the deltas their meaning.
    pub(super) fn in_batch(self, header: &BatchHeader) -> Record<'a> {
        Record {
            offset: Offset(header.base_offset.0.wrapping_add(i64::from(self.offset_delta))),
            timestamp: self.timestamp(header),
            sequence: header.sequence_at(self.offset_delta),
            key: self.key,
            value: self.value,
            headers: self.headers,
        }
    }

    pub(super) fn timestamp(&self, header: &BatchHeader) -> i64 {
        match header.attributes.timestamp_type() {
            // The sum wraps like Kafka's: extreme timestamps survive in pairs of base and delta.
            TimestampType::CreateTime => header.base_timestamp.wrapping_add(self.timestamp_delta),
            TimestampType::LogAppendTime => header.max_timestamp,
        }
    }
}

/// Reads one record and advances past it. `Truncated` means that `bytes` end before the record does; what lies inside
/// a whole record and breaks the format gives another defect.
#[inline(always)] // A broker does this for every record it takes; as a call it hands eighty bytes back through memory.
pub(super) fn read_record<'a>(bytes: &mut &'a [u8]) -> Result<RawRecord<'a>, RecordDefect> {
    let mut rest = *bytes;
    let length = usize::try_from(read_varint(&mut rest)?).map_err(|_| RecordDefect::Length)?;
    let (mut record, rest) = rest.split_at_checked(length).ok_or(RecordDefect::Truncated)?;
    *bytes = rest;
    read_fields(&mut record).map_err(|defect| match defect {
        RecordDefect::Truncated => RecordDefect::LengthMismatch,
        defect => defect,
    })
}

#[inline(always)]
fn read_fields<'a>(record: &mut &'a [u8]) -> Result<RawRecord<'a>, RecordDefect> {
    // The attributes of a record have no meaning yet; Kafka's readers take any.
    let (_attributes, rest) = record.split_first().ok_or(RecordDefect::Truncated)?;
    *record = rest;
    let timestamp_delta = read_varlong(record)?;
    let offset_delta = read_varint(record)?;
    let key = read_nullable(record, RecordDefect::KeyLength)?;
    let value = read_nullable(record, RecordDefect::ValueLength)?;
    let headers = read_headers(record)?;
    if !record.is_empty() {
        return Err(RecordDefect::LengthMismatch);
    }
    Ok(RawRecord { timestamp_delta, offset_delta, key, value, headers })
}

#[inline(always)]
fn read_nullable<'a>(bytes: &mut &'a [u8], wrong: RecordDefect) -> Result<Option<&'a [u8]>, RecordDefect> {
    match read_varint(bytes)? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| wrong)?;
            let (taken, rest) = bytes.split_at_checked(length).ok_or(RecordDefect::Truncated)?;
            *bytes = rest;
            Ok(Some(taken))
        }
    }
}

#[inline(always)]
fn read_headers<'a>(bytes: &mut &'a [u8]) -> Result<Headers<'a>, RecordDefect> {
    // Most records have none, and end with their number.
    if **bytes == [0] {
        *bytes = &[];
        return Ok(Headers::default());
    }
    read_some_headers(bytes)
}

#[inline(never)]
fn read_some_headers<'a>(bytes: &mut &'a [u8]) -> Result<Headers<'a>, RecordDefect> {
    let count = usize::try_from(read_varint(bytes)?).map_err(|_| RecordDefect::HeaderCount)?;
    // A header takes two bytes at least, so this loop is bounded by what is there.
    if count > bytes.len() / 2 {
        return Err(RecordDefect::HeaderCount);
    }
    let all = *bytes;
    for _ in 0..count {
        read_header(bytes)?;
    }
    Ok(Headers { count, raw: all })
}

fn read_header<'a>(bytes: &mut &'a [u8]) -> Result<Header<'a>, RecordDefect> {
    let key = read_nullable(bytes, RecordDefect::HeaderLength)?.ok_or(RecordDefect::HeaderLength)?;
    let value = read_nullable(bytes, RecordDefect::HeaderLength)?;
    Ok(Header { key, value })
}

/// The position within the records that both kinds of iterators advance.
#[derive(Debug, Clone)]
struct Walk {
    header: BatchHeader,
    index: usize,
    /// An error or the end was reported; nothing more comes.
    ended: bool,
}

impl Walk {
    fn new(header: &BatchHeader) -> Self {
        Self { header: *header, index: 0, ended: false }
    }

    fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Option<Result<Record<'a>, RecordError>> {
        if self.ended {
            return None;
        }
        let count = usize::try_from(self.header.record_count).unwrap_or(0);
        if self.index >= count {
            self.ended = true;
            return match rest.len() {
                0 if self.header.record_count >= 0 => None,
                0 => Some(Err(RecordError::TooFewRecords { expected: self.header.record_count, found: 0 })),
                left => Some(Err(RecordError::TrailingBytes { left })),
            };
        }
        if rest.is_empty() {
            self.ended = true;
            return Some(Err(RecordError::TooFewRecords { expected: self.header.record_count, found: self.index }));
        }
        let index = self.index;
        self.index += 1;
        match read_record(rest) {
            Ok(record) => Some(Ok(record.in_batch(&self.header))),
            Err(defect) => {
                self.ended = true;
                Some(Err(RecordError::InvalidRecord { index, defect }))
            }
        }
    }
}

/// The records of a batch, one after another; ends after the first error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    walk: Walk,
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// Goes over uncompressed records.
    pub(super) fn new(header: &BatchHeader, records: &'a [u8]) -> Self {
        Self { walk: Walk::new(header), rest: records }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.walk.next(&mut self.rest)
    }
}

/// A header of an [`OwnedRecord`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedHeader {
    /// UTF-8 by convention; not checked.
    pub key: Bytes,
    /// Any bytes, or null.
    pub value: Option<Bytes>,
}

impl OwnedHeader {
    /// The header as a view.
    #[must_use]
    pub fn as_header(&self) -> Header<'_> {
        Header { key: &self.key, value: self.value.as_deref() }
    }
}

/// A record that keeps its bytes alive by itself: slices of the fetched answer, or of the decompressed batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Position in the partition.
    pub offset: Offset,
    /// Milliseconds since 1970; -1: none.
    pub timestamp: i64,
    /// Number of the record in its producer's sequence; -1: none.
    pub sequence: i32,
    /// `None`: null.
    pub key: Option<Bytes>,
    /// `None`: null, a tombstone in compacted topics.
    pub value: Option<Bytes>,
    /// Its headers in their order.
    pub headers: Vec<OwnedHeader>,
}

impl OwnedRecord {
    /// Takes over `record`, which lies in `owner`, without copying. (A record from elsewhere would be copied.)
    #[must_use]
    pub fn share(record: &Record<'_>, owner: &Bytes) -> Self {
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            sequence: record.sequence,
            key: record.key.map(|key| share(key, owner)),
            value: record.value.map(|value| share(value, owner)),
            headers: record
                .headers
                .iter()
                .map(|header| OwnedHeader {
                    key: share(header.key, owner),
                    value: header.value.map(|value| share(value, owner)),
                })
                .collect(),
        }
    }
}

/// `part` as a slice of `owner`; a copy if it is none.
pub(super) fn share(part: &[u8], owner: &Bytes) -> Bytes {
    let start = (part.as_ptr() as usize).checked_sub(owner.as_ptr() as usize);
    match start.map(|start| (start, start.saturating_add(part.len()))) {
        Some((start, end)) if end <= owner.len() => owner.slice(start..end),
        _ => Bytes::copy_from_slice(part),
    }
}

/// The records of a batch as [`OwnedRecord`]s; ends after the first error.
#[derive(Debug, Clone)]
pub struct OwnedRecords {
    walk: Walk,
    records: Bytes,
    at: usize,
}

impl OwnedRecords {
    /// Goes over uncompressed records.
    pub(super) fn new(header: &BatchHeader, records: Bytes) -> Self {
        Self { walk: Walk::new(header), records, at: 0 }
    }
}

impl Iterator for OwnedRecords {
    type Item = Result<OwnedRecord, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.records.get(self.at..).unwrap_or_default();
        let record = self.walk.next(&mut rest);
        self.at = self.records.len() - rest.len();
        Some(record?.map(|record| OwnedRecord::share(&record, &self.records)))
    }
}
