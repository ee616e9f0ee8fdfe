//! Logs and batches for tests.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    AppendContext, AppendError, AppendInfo, AppendOrigin, CloseMode, Fs, LeaderBatch, Log, LogConfig, LogOptions,
    LogRead, OpenReport, ReadError, ReadLimits, Shutdown,
};
use crate::record::{BatchBuilder, BatchOptions, EndMarker, NewRecord, RecordBatch, batches};
use crate::types::{LeaderEpoch, Offset, ProducerId};

/// The time at which all tests begin.
pub(super) const NOW: i64 = 1_700_000_000_000;

/// A batch of `values`, a millisecond apart from `timestamp` on.
pub(super) fn batch(timestamp: i64, values: &[&[u8]]) -> Bytes {
    batch_with(BatchOptions::default(), timestamp, values)
}

pub(super) fn batch_with(options: BatchOptions, timestamp: i64, values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (value, at) in values.iter().zip(0..) {
        let record = NewRecord { timestamp: timestamp + at, value: Some(value), ..NewRecord::default() };
        builder.append(&record).unwrap();
    }
    builder.build().unwrap()
}

/// A batch of one record whose size is exactly `size`.
pub(super) fn sized(timestamp: i64, size: usize) -> Bytes {
    // What is not value: the header, and at least seven bytes that grow with the value's length.
    let found = (0..8).map(|more| batch(timestamp, &[&vec![b'x'; size - 61 - 7 - more]])).find(|b| b.len() == size);
    found.unwrap()
}

/// A batch of one record for each of `count` sequence numbers.
pub(super) fn sequenced(producer: i64, epoch: i16, first: i32, count: usize) -> Bytes {
    let options = BatchOptions {
        producer_id: ProducerId(producer),
        producer_epoch: epoch,
        base_sequence: first,
        ..BatchOptions::default()
    };
    batch_with(options, NOW, &vec![b"v".as_slice(); count])
}

pub(super) fn transactional(producer: i64, epoch: i16, first: i32) -> Bytes {
    let options = BatchOptions {
        producer_id: ProducerId(producer),
        producer_epoch: epoch,
        base_sequence: first,
        transactional: true,
        ..BatchOptions::default()
    };
    batch_with(options, NOW, &[b"in a transaction"])
}

/// A marker that ends a transaction.
pub(super) fn marker(producer: i64, epoch: i16, commit: bool, coordinator_epoch: i32) -> Bytes {
    EndMarker { commit, coordinator_epoch }.to_batch(ProducerId(producer), epoch, NOW).unwrap()
}

pub(super) fn context(epoch: i32, now_ms: i64) -> AppendContext {
    AppendContext::new(LeaderEpoch(epoch), AppendOrigin::Client, now_ms)
}

/// Appends in epoch 0.
pub(super) fn append(log: &Log, bytes: &[u8]) -> Result<AppendInfo, AppendError> {
    append_in(log, bytes, &context(0, NOW))
}

pub(super) fn append_in(log: &Log, bytes: &[u8], context: &AppendContext) -> Result<AppendInfo, AppendError> {
    let (batch, _) = RecordBatch::new(bytes).unwrap();
    log.append_as_leader(&[LeaderBatch::from(batch)], context)
}

pub(super) fn options(dir: &Path, config: &LogConfig) -> LogOptions {
    LogOptions {
        dir: dir.join("topic-0"),
        config: Arc::new(config.clone()),
        fs: Fs::default(),
        now_ms: NOW,
        ..LogOptions::default()
    }
}

pub(super) fn open(dir: &Path, config: &LogConfig) -> (Log, OpenReport) {
    Log::open(options(dir, config)).unwrap()
}

/// Closes a log and opens it again, both as a broker does.
pub(super) fn reopen_clean(log: &Log, dir: &Path) -> (Log, OpenReport) {
    log.close(CloseMode::Sync).unwrap();
    let options = LogOptions {
        shutdown: Shutdown::Clean,
        recovery_point: Some(log.recovery_point()),
        log_start_offset: log.log_start_offset_to_checkpoint(),
        high_watermark: Some(log.high_watermark()),
        ..options(dir, &log.config())
    };
    Log::open(options).unwrap()
}

/// Opens a log as if its broker had been killed now.
pub(super) fn reopen_killed(log: &Log, dir: &Path) -> (Log, OpenReport) {
    let options = LogOptions {
        recovery_point: Some(log.recovery_point()),
        log_start_offset: log.log_start_offset_to_checkpoint(),
        high_watermark: Some(log.high_watermark()),
        ..options(dir, &log.config())
    };
    Log::open(options).unwrap()
}

/// Reads one piece up to the log end.
pub(super) fn read(log: &Log, from: i64, max_bytes: usize) -> Result<LogRead, ReadError> {
    let limits = ReadLimits { end: log.log_end_offset(), max_bytes, at_least_one_batch: true };
    log.read(Offset(from), limits)
}

/// Offsets and values of the records in a piece of log.
pub(super) fn records(bytes: &Bytes) -> Vec<(i64, Vec<u8>)> {
    let mut found = Vec::new();
    for batch in batches(bytes) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        for record in batch.records(&mut Vec::new(), 1 << 20).unwrap() {
            let record = record.unwrap();
            found.push((record.offset.0, record.value.unwrap_or_default().to_vec()));
        }
    }
    found
}

/// Offsets and values of all records that can be read from `from` on, read `max_bytes` at a time.
pub(super) fn read_all(log: &Log, from: i64, max_bytes: usize) -> Vec<(i64, Vec<u8>)> {
    let (mut found, mut next) = (Vec::new(), from);
    while next < log.log_end_offset().0 {
        let piece = read(log, next, max_bytes).unwrap();
        if piece.bytes.is_empty() {
            break;
        }
        found.extend(records(&piece.bytes).into_iter().filter(|(offset, _)| *offset >= next));
        next = piece.next_offset.0;
    }
    found
}
