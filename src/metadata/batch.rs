//! Records of the metadata log as the batches that hold them.

use bytes::Bytes;
use thiserror::Error;

use super::control::ControlRecord;
use super::features::MetadataVersion;
use super::record::{MetadataRecord, RecordError};
use crate::protocol::EncodeError;
use crate::record::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use crate::types::{LeaderEpoch, Offset};

/// Batches of metadata hold at most this much (Kafka's limit), also when they are compressed.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// Where and when a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlace {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Epoch of the leader that writes it.
    pub epoch: LeaderEpoch,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// Why records can't be written as a batch.
#[derive(Debug, Error)]
pub enum WriteError {
    /// A record can't be said at the level of `metadata.version`.
    #[error("{kind} can't be written")]
    Record {
        /// The record.
        kind: &'static str,
        /// Why.
        #[source]
        source: EncodeError,
    },
    /// The batch would be too large.
    #[error("{0} bytes are more than a batch of metadata may hold")]
    TooLarge(usize),
    /// The batch can't be built.
    #[error("the batch can't be built")]
    Batch(#[source] crate::record::RecordError),
}

/// Why a batch of the metadata log can't be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The batch is damaged.
    #[error("damaged batch at offset {offset}")]
    Batch {
        /// Its base offset.
        offset: Offset,
        /// What is wrong with it.
        #[source]
        source: crate::record::RecordError,
    },
    /// A record is none that this release knows.
    #[error("record at offset {offset}")]
    Record {
        /// Its offset.
        offset: Offset,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
}

/// What a batch holds.
#[derive(Debug, Clone, PartialEq)]
pub enum BatchContent {
    /// Metadata.
    Metadata(Vec<MetadataRecord>),
    /// The log's own records.
    Control(Vec<ControlRecord>),
}

/// One batch of metadata records: readers take all of it or nothing.
///
/// # Errors
/// A record can't be said at `level`, or they are too large together.
pub fn write_metadata(
    records: &[MetadataRecord],
    level: MetadataVersion,
    place: BatchPlace,
) -> Result<Bytes, WriteError> {
    let mut builder = builder(place, false);
    for record in records {
        let value = record.write(level).map_err(|source| WriteError::Record { kind: record.kind(), source })?;
        append(&mut builder, place, None, &value)?;
    }
    builder.build().map_err(WriteError::Batch)
}

/// Metadata records as batches of moderate size, for a snapshot; gives the offset after the last one too.
///
/// # Errors
/// As [`write_metadata`].
pub(super) fn write_in_batches(
    records: &[MetadataRecord],
    level: MetadataVersion,
    mut place: BatchPlace,
    out: &mut Vec<u8>,
) -> Result<Offset, WriteError> {
    /// Enough to make the header's bytes count for nothing, few enough to read one at a time.
    const RECORDS_PER_BATCH: usize = 1024;
    for some in records.chunks(RECORDS_PER_BATCH) {
        out.extend_from_slice(&write_metadata(some, level, place)?);
        place.base_offset = place.base_offset.plus(i64::try_from(some.len()).unwrap_or_default());
    }
    Ok(place.base_offset)
}

/// One batch of control records.
///
/// # Errors
/// A record can't be written.
pub fn write_control(records: &[ControlRecord], place: BatchPlace) -> Result<Bytes, WriteError> {
    let mut builder = builder(place, true);
    for record in records {
        let value = record.value().map_err(|source| WriteError::Record { kind: "control record", source })?;
        append(&mut builder, place, Some(&record.key()), &value)?;
    }
    builder.build().map_err(WriteError::Batch)
}

fn builder(place: BatchPlace, control: bool) -> BatchBuilder {
    BatchBuilder::new(BatchOptions {
        base_offset: place.base_offset,
        partition_leader_epoch: place.epoch,
        control,
        ..BatchOptions::default()
    })
}

fn append(builder: &mut BatchBuilder, place: BatchPlace, key: Option<&[u8]>, value: &[u8]) -> Result<(), WriteError> {
    let record = NewRecord { timestamp: place.timestamp_ms, key, value: Some(value), headers: &[] };
    builder.append(&record).map_err(WriteError::Batch)?;
    match builder.uncompressed_size() {
        size if size > MAX_BATCH_BYTES => Err(WriteError::TooLarge(size)),
        _ => Ok(()),
    }
}

/// Reads a batch, whose checksum is checked; `owner` holds its bytes.
///
/// # Errors
/// It is damaged, or holds what this release does not know.
pub fn read(batch: &RecordBatch<'_>, owner: &Bytes) -> Result<BatchContent, ReadError> {
    let header = batch.header();
    let damaged = |source| ReadError::Batch { offset: header.base_offset, source };
    batch.verify_crc().map_err(damaged)?;
    let records = batch.owned_records(owner, MAX_BATCH_BYTES).map_err(damaged)?;
    if header.attributes.is_control() {
        let mut control = Vec::new();
        for record in records {
            let record = record.map_err(damaged)?;
            let read = ControlRecord::read(record.key.as_deref(), record.value);
            control.push(read.map_err(|source| ReadError::Record { offset: record.offset, source })?);
        }
        return Ok(BatchContent::Control(control));
    }
    let mut metadata = Vec::new();
    for record in records {
        let record = record.map_err(damaged)?;
        let read = MetadataRecord::read(&record.value.unwrap_or_default());
        metadata.push(read.map_err(|source| ReadError::Record { offset: record.offset, source })?);
    }
    Ok(BatchContent::Metadata(metadata))
}
