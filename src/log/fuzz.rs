//! Entries for a fuzzer over the files of a partition; replayed by `cargo test` on a kept corpus.

use std::path::Path;
use std::sync::Arc;

use super::place::{extension, file_name};
use super::{
    AppendContext, AppendOrigin, CloseMode, LeaderBatch, Log, LogConfig, LogOptions, ReadLimits, Shutdown, epoch_cache,
};
use crate::record::{BatchBuilder, BatchOptions, NewRecord, RecordBatch, batches};
use crate::types::{LeaderEpoch, Offset, ProducerId};

pub use super::epoch_cache::fuzz_epoch_checkpoint;
pub use super::producer_snapshot::fuzz_producer_snapshot;
pub use super::txn_index::fuzz_txn_index;

/// Records of the log that the files are put into.
const RECORDS: i64 = 60;
const NOW_MS: i64 = 1_700_000_000_000;

/// Takes `data` for a file of a closed partition, in the place of a good one: the first byte says which file and which
/// segment's. Then the log is opened as after a clean stop and as after a kill, read, appended to, and opened again.
///
/// Panics if a record is wrong, if one is lost that is not in the file that was replaced, or if the log does not work
/// on afterwards.
pub fn fuzz_partition_files(data: &[u8]) {
    let Some((choice, content)) = data.split_first() else { return };
    for shutdown in [Shutdown::Clean, Shutdown::Unclean] {
        // A disk that refuses is none of our business here.
        let Ok(dir) = tempfile::tempdir() else { return };
        if let Some((log, lost)) = put_into_log(dir.path(), *choice, content, shutdown) {
            use_log(&log, lost, dir.path());
        }
    }
}

fn config() -> Arc<LogConfig> {
    Arc::new(LogConfig { segment_bytes: 2000, index_interval_bytes: 200, segment_ms: i64::MAX, ..LogConfig::default() })
}

fn options(dir: &Path, shutdown: Shutdown) -> LogOptions {
    LogOptions { dir: dir.join("topic-0"), config: config(), now_ms: NOW_MS, shutdown, ..LogOptions::default() }
}

fn append(log: &Log, sequence: i32) -> bool {
    let batch_options = BatchOptions {
        producer_id: ProducerId(1),
        producer_epoch: 0,
        base_sequence: sequence,
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(batch_options);
    for at in 0..2 {
        let offset = log.log_end_offset().0 + at;
        let value = offset.to_be_bytes();
        let record = NewRecord { timestamp: NOW_MS + offset, value: Some(&value), ..NewRecord::default() };
        if builder.append(&record).is_err() {
            return false;
        }
    }
    let Ok(bytes) = builder.build() else { return false };
    let Ok((batch, _)) = RecordBatch::new(&bytes) else { return false };
    let epoch = LeaderEpoch(i32::try_from(log.log_end_offset().0 / 20).unwrap_or(i32::MAX));
    let context = AppendContext::new(epoch, AppendOrigin::Coordinator, NOW_MS);
    log.append_as_leader(&[LeaderBatch::from(batch)], &context).is_ok()
}

/// Makes a log, replaces one of its files, opens it. Also gives the offsets that may be lost.
fn put_into_log(dir: &Path, choice: u8, content: &[u8], shutdown: Shutdown) -> Option<(Log, std::ops::Range<i64>)> {
    let (log, _) = Log::open(options(dir, Shutdown::Unclean)).ok()?;
    let mut bases = vec![0];
    for sequence in 0..RECORDS / 2 {
        if !append(&log, i32::try_from(sequence * 2).ok()?) {
            return None;
        }
        if log.segment_count() > bases.len() {
            bases.push(log.log_end_offset().0 - 2);
        }
    }
    log.close(CloseMode::CallerSyncs).ok()?;
    drop(log);
    let which = usize::from(choice / 8) % bases.len();
    let base = *bases.get(which)?;
    let end = bases.get(which + 1).copied().unwrap_or(RECORDS);
    let (name, lost) = match choice % 8 {
        0 | 1 => (file_name(base, extension::LOG), base..end),
        2 => (file_name(base, extension::OFFSET_INDEX), 0..0),
        3 => (file_name(base, extension::TIME_INDEX), 0..0),
        4 => (file_name(base, extension::TXN_INDEX), 0..0),
        5 => (file_name(RECORDS, extension::SNAPSHOT), 0..0),
        6 => (file_name(base, extension::SNAPSHOT), 0..0),
        _ => (epoch_cache::FILE_NAME.to_owned(), 0..0),
    };
    std::fs::write(dir.join("topic-0").join(name), content).ok()?;
    let opened = Log::open(options(dir, shutdown));
    assert!(opened.is_ok(), "could not be opened: {:?}", opened.err());
    opened.ok().map(|(log, _)| (log, lost))
}

fn use_log(log: &Log, lost: std::ops::Range<i64>, dir: &Path) {
    check(log, &lost);
    let end = log.log_end_offset();
    assert!(append(log, 1_000_000), "could not be appended to");
    let limits = ReadLimits { end: log.log_end_offset(), max_bytes: 1 << 20, at_least_one_batch: true };
    let read = log.read(end, limits);
    assert!(read.as_ref().is_ok_and(|read| read.next_offset == end.plus(2)), "what was appended is not read: {read:?}");
    assert!(log.close(CloseMode::CallerSyncs).is_ok(), "could not be closed");
    let Ok((again, _)) = Log::open(options(dir, Shutdown::Clean)) else { return };
    assert_eq!(again.log_end_offset(), end.plus(2), "it has another end when it is opened again");
    check(&again, &lost);
}

/// Every record that can be read is right, and only those in the replaced file are missing.
fn check(log: &Log, lost: &std::ops::Range<i64>) {
    let offsets = log.offsets();
    assert!(offsets.log_start_offset <= offsets.last_stable_offset);
    assert!(offsets.last_stable_offset <= offsets.high_watermark);
    assert!(offsets.high_watermark <= offsets.log_end_offset);
    let limits = ReadLimits { end: offsets.log_end_offset, max_bytes: 1, at_least_one_batch: true };
    for offset in (0..RECORDS).filter(|offset| !lost.contains(offset)) {
        let read = log.read(Offset(offset), limits);
        let bytes = read.as_ref().map(|read| read.bytes.as_ref()).unwrap_or_default();
        let right = batches(bytes).flatten().any(|batch| {
            let mut unused = Vec::new();
            let Ok(records) = batch.records(&mut unused, 0) else { return false };
            records.flatten().any(|record| record.offset.0 == offset && record.value == Some(&offset.to_be_bytes()))
        });
        assert!(right, "offset {offset}: {read:?}");
        if lost.is_empty() {
            let found = log.offset_for_timestamp(NOW_MS + offset);
            assert!(matches!(found, Ok(Some(found)) if found.offset.0 == offset), "time of offset {offset}: {found:?}");
        }
    }
    let mut next = offsets.log_start_offset;
    // Whatever is in the replaced file: reading goes on or says what is wrong.
    while let Ok(read) = log.read(next, limits) {
        if read.bytes.is_empty() {
            break;
        }
        assert!(read.next_offset > next, "reading stands still at {next}");
        next = read.next_offset;
    }
    let _ = log.max_timestamp();
    let _ = log.offset_for_timestamp(0);
    let _ = log.aborted_transactions(offsets.log_start_offset..offsets.log_end_offset);
}
