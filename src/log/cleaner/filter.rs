//! Which records of a batch stay, and the batch that holds them: Kafka's rules, so that both leave the same.
//!
//! - A record with a key stays if it is the newest of its key, or too new for the map. One without a key goes.
//! - A tombstone stays until the delete horizon of its batch, which its first cleaning sets (KIP-534). Formats before 2
//!   have no place for it: there the age of the segment decides, until the batch is written anew in format 2.
//! - Records of aborted transactions go. A marker stays while its transaction has batches, and then until its horizon.
//! - The last batch of each producer that the log remembers, and the last of what is cleaned, stay without records: the
//!   producer's sequence and the offsets go on from them.

use std::collections::HashMap;

use bytes::Bytes;

use super::offset_map::OffsetMap;
use super::transactions::{CleanedTransactions, Marker};
use crate::log::txn_index::AbortedTransaction;
use crate::record::{
    BatchBuilder, BatchHeader, BatchOptions, Compression, EndMarker, Header, LogEntry, NO_SEQUENCE, NewRecord,
    OldEntry, OwnedHeader, OwnedRecord, Record, RecordBatch, RecordError, TimestampType,
};
use crate::types::{LeaderEpoch, Offset, ProducerId};

/// Largest batch that is decompressed: a bomb must not take the broker's memory.
pub(super) const MAX_DECOMPRESSED_BYTES: usize = 1 << 28;

/// The last batch that the log remembers of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastOfProducer {
    /// Last offset of its last data; `None`: its last batch was a marker.
    pub(super) data: Option<Offset>,
    pub(super) epoch: i16,
}

/// What holds for a whole cleaning.
pub(super) struct Rules<'a> {
    pub(super) map: &'a OffsetMap,
    /// The map knows all records up to here.
    pub(super) mapped_to: i64,
    pub(super) producers: &'a HashMap<ProducerId, LastOfProducer>,
    /// The offset after the part that can be cleaned at all.
    pub(super) round_end: Offset,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
}

/// What stays of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    Nothing,
    /// The batch as it is.
    Whole,
    /// Another batch in its place.
    Rewritten(Bytes),
}

/// What stays of a batch, with its figures.
#[derive(Debug)]
pub(super) struct Filtered {
    pub(super) kept: Kept,
    pub(super) records: u64,
    pub(super) records_read: u64,
    /// Records of a compacted log that have no key.
    pub(super) keyless: u64,
    /// The entry of the index of aborted transactions that is still needed.
    pub(super) aborted: Option<AbortedTransaction>,
}

/// Buffers that are used again for each batch.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    decompressed: Vec<u8>,
    stays: Vec<bool>,
}

/// Decides on an entry of the log. `old_tombstones_stay` is for formats before 2.
pub(super) fn filter(
    rules: &Rules<'_>,
    transactions: &mut CleanedTransactions,
    scratch: &mut Scratch,
    entry: &LogEntry<'_>,
    old_tombstones_stay: bool,
) -> Result<Filtered, RecordError> {
    match entry {
        LogEntry::Batch(batch) => filter_batch(rules, transactions, scratch, batch),
        LogEntry::Old(entry) => filter_old(rules, entry, old_tombstones_stay),
    }
}

fn filter_batch(
    rules: &Rules<'_>,
    transactions: &mut CleanedTransactions,
    scratch: &mut Scratch,
    batch: &RecordBatch<'_>,
) -> Result<Filtered, RecordError> {
    let header = batch.header();
    let is_control = header.attributes.is_control();
    let mut aborted = None;
    let unneeded = if is_control {
        match transactions.on_control(header, EndMarker::of(batch)) {
            Marker::Unneeded => true,
            Marker::Needed => false,
            Marker::NeededByAborted(transaction) => {
                aborted = Some(transaction);
                false
            }
        }
    } else {
        transactions.on_data(header)
    };
    let horizon_passed = header.delete_horizon_ms().is_some_and(|horizon| horizon <= rules.now_ms);
    let drop_records = unneeded && (!is_control || horizon_passed);
    let keep_empty = rules.is_last_of_producer(header) || header.next_offset() == rules.round_end;
    let mut filtered = Filtered { kept: Kept::Nothing, records: 0, records_read: 0, keyless: 0, aborted };
    if drop_records {
        filtered.records_read = u64::try_from(header.record_count).unwrap_or_default();
    } else {
        keep_records(rules, scratch, batch, unneeded && is_control, &mut filtered)?;
    }
    if filtered.kept == Kept::Nothing && keep_empty {
        filtered.kept = Kept::Rewritten(Bytes::copy_from_slice(&header.emptied().encode()));
    }
    Ok(filtered)
}

fn keep_records(
    rules: &Rules<'_>,
    scratch: &mut Scratch,
    batch: &RecordBatch<'_>,
    is_unneeded_marker: bool,
    filtered: &mut Filtered,
) -> Result<(), RecordError> {
    let header = batch.header();
    let tombstones_stay = header.delete_horizon_ms().is_none_or(|horizon| rules.now_ms < horizon);
    let Scratch { decompressed, stays } = scratch;
    stays.clear();
    let records = batch.records(decompressed, MAX_DECOMPRESSED_BYTES)?;
    let mut has_tombstones = false;
    for record in records.clone() {
        let record = record?;
        let stay = header.attributes.is_control()
            || rules.stays(record.offset, record.key, record.value.is_none(), tombstones_stay, &mut filtered.keyless);
        has_tombstones |= stay && record.value.is_none();
        filtered.records += u64::from(stay);
        stays.push(stay);
    }
    filtered.records_read = stays.len() as u64;
    let sets_horizon = (has_tombstones || is_unneeded_marker) && header.delete_horizon_ms().is_none();
    if filtered.records == 0 {
        return Ok(());
    }
    if filtered.records == filtered.records_read && !sets_horizon {
        filtered.kept = Kept::Whole;
        return Ok(());
    }
    let horizon = match header.delete_horizon_ms() {
        None if sets_horizon => Some(rules.now_ms.saturating_add(rules.delete_retention_ms)),
        known => known,
    };
    let kept = records.zip(&*stays).filter(|(_, stays)| **stays).map(|(record, _)| record);
    filtered.kept = Kept::Rewritten(rewrite(header, horizon, kept, batch.bytes().len())?);
    Ok(())
}

/// The batch again with some of its records: offsets, sequence numbers and last offset are as they were.
fn rewrite<'r>(
    header: &BatchHeader,
    delete_horizon_ms: Option<i64>,
    records: impl Iterator<Item = Result<Record<'r>, RecordError>>,
    capacity: usize,
) -> Result<Bytes, RecordError> {
    let options = BatchOptions {
        compression: Compression::new(header.attributes.codec()?),
        base_offset: header.base_offset,
        partition_leader_epoch: header.partition_leader_epoch,
        log_append_time: match header.attributes.timestamp_type() {
            TimestampType::LogAppendTime => Some(header.max_timestamp),
            TimestampType::CreateTime => None,
        },
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.attributes.is_transactional(),
        control: header.attributes.is_control(),
        delete_horizon_ms,
        last_offset_delta: Some(header.last_offset_delta),
    };
    let mut builder = BatchBuilder::with_capacity(options, capacity);
    let mut headers = Vec::new();
    for record in records {
        let record = record?;
        headers.clear();
        headers.extend(record.headers.iter());
        append(&mut builder, header.base_offset, record.offset, &new_record(&record, &headers))?;
    }
    builder.build()
}

fn new_record<'a>(record: &Record<'a>, headers: &'a [Header<'a>]) -> NewRecord<'a> {
    NewRecord { timestamp: record.timestamp, key: record.key, value: record.value, headers }
}

fn append(builder: &mut BatchBuilder, base: Offset, offset: Offset, record: &NewRecord<'_>) -> Result<(), RecordError> {
    let delta = i32::try_from(offset.0.wrapping_sub(base.0)).map_err(|_| RecordError::BatchFull)?;
    builder.append_at(delta, record)
}

/// A message or compressed set of the formats before 2; what stays of it becomes a batch of format 2.
fn filter_old(rules: &Rules<'_>, entry: &OldEntry<'_>, tombstones_stay: bool) -> Result<Filtered, RecordError> {
    let owner = Bytes::copy_from_slice(entry.bytes());
    let records = entry.owned_records(&owner, MAX_DECOMPRESSED_BYTES)?;
    let mut filtered =
        Filtered { kept: Kept::Nothing, records: 0, records_read: records.len() as u64, keyless: 0, aborted: None };
    let mut kept: Vec<OwnedRecord> = Vec::new();
    for record in records {
        let is_tombstone = record.value.is_none();
        if rules.stays(record.offset, record.key.as_deref(), is_tombstone, tombstones_stay, &mut filtered.keyless) {
            kept.push(record);
        }
    }
    filtered.records = kept.len() as u64;
    let Some(base) = kept.first().map(|record| record.offset) else { return Ok(filtered) };
    let has_tombstones = kept.iter().any(|record| record.value.is_none());
    let options = BatchOptions {
        compression: Compression::new(entry.codec()?),
        base_offset: base,
        partition_leader_epoch: LeaderEpoch::NONE,
        log_append_time: (entry.timestamp_type() == Some(TimestampType::LogAppendTime)).then_some(entry.timestamp()),
        producer_id: ProducerId::NONE,
        base_sequence: NO_SEQUENCE,
        delete_horizon_ms: has_tombstones.then(|| rules.now_ms.saturating_add(rules.delete_retention_ms)),
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::with_capacity(options, entry.bytes().len());
    for record in &kept {
        let headers: Vec<Header<'_>> = record.headers.iter().map(OwnedHeader::as_header).collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let new = NewRecord { timestamp: record.timestamp, key, value, headers: &headers };
        append(&mut builder, base, record.offset, &new)?;
    }
    filtered.kept = Kept::Rewritten(builder.build()?);
    Ok(filtered)
}

impl Rules<'_> {
    fn stays(
        &self,
        offset: Offset,
        key: Option<&[u8]>,
        is_tombstone: bool,
        tombstones_stay: bool,
        keyless: &mut u64,
    ) -> bool {
        if offset.0 > self.mapped_to {
            return true;
        }
        let Some(key) = key else {
            *keyless += 1;
            return false;
        };
        self.map.get(key).is_none_or(|newest| offset.0 >= newest) && (!is_tombstone || tombstones_stay)
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let last = self.producers.get(&header.producer_id).filter(|_| header.has_producer_id());
        last.is_some_and(|last| match last.data {
            Some(offset) => header.last_offset() == offset,
            None => header.attributes.is_control() && header.producer_epoch == last.epoch,
        })
    }
}
