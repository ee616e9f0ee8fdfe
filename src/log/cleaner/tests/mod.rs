//! Logs that are cleaned, and what must be left of them.

mod crash;
mod rules;
mod work;

use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;

use super::{CleanError, CleanOptions, CleanStats, Cleaned};
use crate::log::test_support::*;
use crate::log::{AppendContext, AppendOrigin, DeletedFiles, Fs, Log, LogConfig};
use crate::record::{BatchBuilder, BatchOptions, LogEntry, NewRecord, entries};
use crate::types::{LeaderEpoch, Offset};

/// A record: offset, key, value.
pub(super) type Kept = (i64, Option<String>, Option<String>);

pub(super) fn compacted() -> LogConfig {
    LogConfig { cleanup_compact: true, cleanup_delete: false, segment_bytes: 400, ..LogConfig::default() }
}

/// A batch of records with keys; no value: a tombstone.
pub(super) fn keyed(options: BatchOptions, timestamp: i64, records: &[(Option<&str>, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (key, value) in records {
        let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
        builder.append(&NewRecord { timestamp, key, value, headers: &[] }).unwrap();
    }
    builder.build().unwrap()
}

/// Appends records with keys, a batch for each, as the only replica does.
pub(super) fn put(log: &Log, records: &[(&str, Option<&str>)]) {
    for (key, value) in records {
        put_batch(log, &keyed(BatchOptions::default(), NOW, &[(Some(key), *value)]));
    }
}

pub(super) fn put_batch(log: &Log, bytes: &[u8]) {
    append(log, bytes).unwrap();
    commit(log);
}

pub(super) fn end_transaction(log: &Log, producer: i64, epoch: i16, commits: bool) {
    let context = AppendContext::new(LeaderEpoch(0), AppendOrigin::Coordinator, NOW);
    append_in(log, &marker(producer, epoch, commits, 0), &context).unwrap();
    commit(log);
}

pub(super) fn commit(log: &Log) {
    log.set_high_watermark(log.log_end_offset());
}

/// Begins a new segment, so that all before can be cleaned; its record's key is `filler`.
pub(super) fn roll(log: &Log) {
    let config = log.config();
    log.set_config(LogConfig { segment_ms: i64::MIN, ..(*config).clone() }.into());
    put(log, &[("filler", Some("f"))]);
    log.set_config(config);
}

pub(super) fn options(now_ms: i64) -> CleanOptions {
    CleanOptions { dedupe_buffer_bytes: 1 << 20, load_factor: 0.9, io_buffer_bytes: 1 << 16, seed: 7, now_ms }
}

pub(super) fn try_clean(log: &Log, from: i64, options: &CleanOptions) -> Cleaned {
    let cleanable = log.cleanable(Some(Offset(from)), options.now_ms).unwrap();
    let cleaned = log.clean(&cleanable, options, &mut |_| ControlFlow::Continue(()));
    cleaned.deleted.iter().for_each(|files| files.remove(&Fs::default()).unwrap());
    cleaned
}

/// Cleans from `from` on; gives where the next cleaning begins.
pub(super) fn clean(log: &Log, from: i64, now_ms: i64) -> (i64, CleanStats) {
    let Cleaned { result, stats, .. } = try_clean(log, from, &options(now_ms));
    (result.unwrap().0, stats)
}

/// All entries of the log, as they are.
pub(super) fn all_bytes(log: &Log) -> Vec<Bytes> {
    let (mut found, mut next) = (Vec::new(), log.log_start_offset().0);
    while next < log.log_end_offset().0 {
        let piece = read(log, next, 1 << 20).unwrap();
        if piece.bytes.is_empty() {
            break;
        }
        next = piece.next_offset.0;
        found.push(piece.bytes);
    }
    found
}

/// Each batch as a line: offsets, number of records, attributes that matter, records.
pub(super) fn shape(log: &Log) -> Vec<(i64, i64, usize)> {
    let mut found = Vec::new();
    for bytes in all_bytes(log) {
        for entry in entries(&bytes) {
            let entry = entry.unwrap();
            let base = match &entry {
                LogEntry::Batch(batch) => batch.header().base_offset,
                LogEntry::Old(old) => old.offset(),
            };
            found.push((base.0, entry.last_offset().0, entry.owned_records(&bytes, 1 << 20).unwrap().count()));
        }
    }
    found
}

/// The records with keys that can be read, control records left out.
pub(super) fn kept(log: &Log) -> Vec<Kept> {
    let mut found = Vec::new();
    for bytes in all_bytes(log) {
        for entry in entries(&bytes) {
            let entry = entry.unwrap();
            entry.verify_crc().unwrap();
            if matches!(&entry, LogEntry::Batch(batch) if batch.header().attributes.is_control()) {
                continue;
            }
            for record in entry.owned_records(&bytes, 1 << 20).unwrap() {
                let record = record.unwrap();
                let text = |bytes: Option<Bytes>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
                found.push((record.offset.0, text(record.key), text(record.value)));
            }
        }
    }
    found
}

pub(super) fn record(offset: i64, key: &str, value: Option<&str>) -> Kept {
    (offset, Some(key.to_owned()), value.map(str::to_owned))
}

/// Names in a log's directory that end so.
pub(super) fn names(dir: &Path, ending: &str) -> Vec<String> {
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = all.filter(|name| name.ends_with(ending)).collect();
    found.sort();
    found
}

pub(super) fn is_interrupted(error: &CleanError) -> bool {
    matches!(error, CleanError::Interrupted)
}

pub(super) fn remove_all(files: &[DeletedFiles]) {
    files.iter().for_each(|files| files.remove(&Fs::default()).unwrap());
}
