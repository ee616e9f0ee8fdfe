//! Record batches in Kafka's format v2: the bytes that disk, wire and client share.
//!
//! A checked view over bytes ([`RecordBatch`], [`batches`]), a builder ([`BatchBuilder`]), the compression codecs and key
//! hashing; the formats before it ([`OldEntry`]) are read only. Never does I/O and never knows topics or requests.
//! Start reading in `header.rs`, where the layout is.

mod batch;
mod builder;
mod compression;
mod end_marker;
mod error;
mod failures;
pub mod fuzz;
mod header;
pub mod key_hash;
mod old;
mod records;
mod validate;
pub mod varint;

pub use batch::{Batches, Entries, EntryRecords, LogEntry, RecordBatch, Stamp, batches, entries, patched_header};
pub use builder::{BatchBuilder, BatchOptions, NewRecord};
pub use compression::{Codec, Compression, UnknownCodecName, compress, compress_into, decompress, decompress_into};
pub use end_marker::EndMarker;
pub use error::{OldMessageDefect, RecordDefect, RecordError};
pub use failures::{RecordFailure, RecordFailureReason, RecordFailures};
pub(crate) use header::CRC_START;
pub use header::{
    Attributes, BatchHeader, EntryPrefix, HEADER_LEN, LOG_OVERHEAD, MAGIC_V2, NO_PRODUCER_EPOCH, NO_SEQUENCE,
    NO_TIMESTAMP, PREFIX_LEN, TimestampType,
};
pub use old::OldEntry;
pub use records::{Header, Headers, OwnedHeader, OwnedRecord, OwnedRecords, Record, Records};
pub use validate::{BatchDefect, ValidateError, ValidateOptions, ValidatedBatch, produced_batch, recompress, validate};

#[cfg(test)]
mod tests;
