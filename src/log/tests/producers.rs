//! Idempotent and transactional producers: Kafka's rules, row by row, and what survives a restart.

use crate::log::test_support::*;
use crate::log::{AppendContext, AppendError, AppendInfo, AppendOrigin, FindingKind, Log, LogConfig};
use crate::record::{BatchOptions, RecordBatch, TimestampType};
use crate::types::{LeaderEpoch, Offset, ProducerId};

fn new_log() -> (tempfile::TempDir, Log) {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    (dir, log)
}

fn offsets(info: &AppendInfo) -> (i64, i64, bool) {
    (info.first_offset.0, info.last_offset.0, info.was_duplicate)
}

#[test]
fn a_batch_sent_twice_is_answered_with_its_offsets() {
    let (_dir, log) = new_log();
    append(&log, &batch(NOW, &[b"other"])).unwrap();
    for first in [0, 3, 6, 9, 12] {
        append(&log, &sequenced(7, 0, first, 3)).unwrap();
    }
    for (first, offset) in [(0, 1), (3, 4), (12, 13)] {
        assert_eq!(offsets(&append(&log, &sequenced(7, 0, first, 3)).unwrap()), (offset, offset + 2, true));
    }
    assert_eq!(log.log_end_offset(), Offset(16), "nothing was written");
    append(&log, &sequenced(7, 0, 15, 3)).unwrap();
    let error = append(&log, &sequenced(7, 0, 0, 3)).unwrap_err();
    assert!(matches!(error, AppendError::OutOfOrderSequence { expected: 18, found: 0, .. }), "five are remembered");
    let error = append(&log, &sequenced(7, 0, 15, 2)).unwrap_err();
    assert!(matches!(error, AppendError::OutOfOrderSequence { .. }), "the last sequence must be the same too");
}

#[test]
fn the_next_sequence_is_accepted_also_after_the_largest() {
    let (_dir, log) = new_log();
    append(&log, &sequenced(7, 0, i32::MAX - 1, 2)).unwrap();
    append(&log, &sequenced(7, 0, 0, 1)).unwrap();
    let (_dir, log) = new_log();
    append(&log, &sequenced(7, 0, i32::MAX - 1, 4)).unwrap();
    assert!(append(&log, &sequenced(7, 0, i32::MAX - 1, 4)).unwrap().was_duplicate, "a batch across the wrap");
    append(&log, &sequenced(7, 0, 2, 1)).unwrap();
}

#[test]
fn gaps_and_steps_back_are_refused() {
    let (_dir, log) = new_log();
    append(&log, &sequenced(7, 0, 10, 2)).unwrap();
    for first in [0, 9, 11, 13, i32::MAX] {
        let error = append(&log, &sequenced(7, 0, first, 1)).unwrap_err();
        assert!(matches!(error, AppendError::OutOfOrderSequence { expected: 12, found, .. } if found == first));
    }
    append(&log, &sequenced(7, 0, 12, 1)).unwrap();
}

#[test]
fn an_unknown_producer_may_begin_anywhere() {
    let (_dir, log) = new_log();
    append(&log, &sequenced(7, 3, 55, 1)).unwrap();
    append(&log, &sequenced(8, 0, 0, 1)).unwrap();
}

#[test]
fn a_new_epoch_begins_at_zero() {
    let (_dir, log) = new_log();
    append(&log, &sequenced(7, 0, 0, 2)).unwrap();
    let error = append(&log, &sequenced(7, 1, 2, 1)).unwrap_err();
    assert!(matches!(error, AppendError::OutOfOrderSequence { expected: 0, found: 2, .. }));
    let first = append(&log, &sequenced(7, 1, 0, 2)).unwrap();
    assert_eq!(offsets(&first), (2, 3, false), "not a duplicate of the older epoch's batch");
    assert!(append(&log, &sequenced(7, 1, 0, 2)).unwrap().was_duplicate);
}

#[test]
fn an_old_epoch_is_fenced() {
    let (_dir, log) = new_log();
    append(&log, &sequenced(7, 5, 0, 1)).unwrap();
    let error = append(&log, &sequenced(7, 4, 1, 1)).unwrap_err();
    assert!(matches!(error, AppendError::InvalidProducerEpoch { current: 5, found: 4, .. }));
}

#[test]
fn nothing_goes_beside_an_open_transaction() {
    let (_dir, log) = new_log();
    append(&log, &transactional(7, 0, 0)).unwrap();
    let error = append(&log, &sequenced(7, 0, 1, 1)).unwrap_err();
    assert!(matches!(error, AppendError::TransactionOpen { first_offset: Offset(0), .. }));
    append(&log, &sequenced(8, 0, 0, 1)).unwrap();
}

#[test]
fn what_was_refused_leaves_no_trace() {
    let (_dir, log) = new_log();
    append(&log, &sequenced(7, 0, 0, 1)).unwrap();
    let small = LogConfig { max_message_bytes: 80, ..LogConfig::default() };
    log.set_config(small.into());
    assert!(matches!(append(&log, &sequenced(7, 0, 1, 20)), Err(AppendError::BatchTooLarge { .. })));
    log.set_config(LogConfig { segment_bytes: 80, ..LogConfig::default() }.into());
    assert!(matches!(append(&log, &sequenced(7, 0, 1, 20)), Err(AppendError::LargerThanSegment { .. })));
    log.set_config(LogConfig::default().into());
    append(&log, &sequenced(7, 0, 1, 20)).unwrap();
}

fn coordinator(now_ms: i64) -> AppendContext {
    AppendContext::new(LeaderEpoch(0), AppendOrigin::Coordinator, now_ms)
}

#[test]
fn transactions_hold_the_last_stable_offset() {
    let (_dir, log) = new_log();
    append(&log, &batch(NOW, &[b"stable"])).unwrap();
    append(&log, &transactional(7, 0, 0)).unwrap();
    append(&log, &transactional(8, 0, 0)).unwrap();
    append(&log, &batch(NOW, &[b"after"])).unwrap();
    log.set_high_watermark(Offset(4));
    assert_eq!(log.last_stable_offset(), Offset(1));
    append_in(&log, &marker(7, 0, false, 3), &coordinator(NOW)).unwrap();
    assert_eq!(log.last_stable_offset(), Offset(1), "the marker is not committed yet");
    log.advance_high_watermark(Offset(5)).unwrap();
    assert_eq!(log.last_stable_offset(), Offset(2), "the other transaction is open");
    append_in(&log, &marker(8, 0, true, 3), &coordinator(NOW)).unwrap();
    log.advance_high_watermark(Offset(6)).unwrap();
    assert_eq!(log.last_stable_offset(), Offset(6));

    let aborted = log.aborted_transactions(Offset(0)..Offset(6)).unwrap();
    assert_eq!(aborted.len(), 1);
    let only = aborted[0];
    assert_eq!((only.producer_id, only.first_offset, only.last_offset), (ProducerId(7), Offset(1), Offset(4)));
    assert_eq!(only.last_stable_offset, Offset(2));
    assert_eq!(log.aborted_transactions(Offset(5)..Offset(6)).unwrap(), []);

    let error = append_in(&log, &marker(7, 0, false, 2), &coordinator(NOW)).unwrap_err();
    assert!(matches!(error, AppendError::CoordinatorFenced { current: 3, found: 2 }));
    append(&log, &sequenced(7, 0, 1, 1)).unwrap();
}

#[test]
fn aborted_transactions_are_told_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    let aborted = |log: &Log| {
        let found = log.aborted_transactions(Offset(0)..log.log_end_offset()).unwrap();
        found.iter().map(|one| (one.producer_id.0, one.first_offset.0, one.last_offset.0)).collect::<Vec<_>>()
    };
    append(&log, &transactional(7, 0, 0)).unwrap();
    assert_eq!(aborted(&log), []);
    append_in(&log, &marker(7, 0, false, 0), &coordinator(NOW)).unwrap();
    assert_eq!(aborted(&log), [(7, 0, 1)]);
    let (log, _) = reopen_clean(&log, dir.path());
    assert_eq!(aborted(&log), [(7, 0, 1)]);
    // Made anew from the log, where it is gone.
    std::fs::remove_file(log.dir().join("00000000000000000000.txnindex")).unwrap();
    append(&log, &batch(NOW, &[b"more"])).unwrap();
    let options = crate::log::LogOptions { recovery_point: Some(Offset(0)), ..options(dir.path(), &log.config()) };
    let (log, _) = Log::open(options).unwrap();
    assert_eq!(aborted(&log), [(7, 0, 1)]);
}

#[test]
fn producers_survive_a_clean_restart_and_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 400, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    for first in 0..12 {
        append(&log, &sequenced(7, 0, first, 1)).unwrap();
    }
    append(&log, &transactional(9, 2, 0)).unwrap();
    let check = |log: &Log| {
        assert_eq!(offsets(&append(log, &sequenced(7, 0, 11, 1)).unwrap()), (11, 11, true));
        assert!(matches!(append(log, &sequenced(7, 0, 13, 1)), Err(AppendError::OutOfOrderSequence { .. })));
        log.set_high_watermark(log.log_end_offset());
        assert_eq!(log.last_stable_offset(), Offset(12));
    };
    check(&log);
    let (log, report) = reopen_clean(&log, dir.path());
    assert_eq!(report.findings, []);
    check(&log);
    let (log, _) = reopen_killed(&log, dir.path());
    check(&log);
    // All snapshots gone: the log tells all the same.
    let (log, _) = reopen_clean(&log, dir.path());
    for entry in std::fs::read_dir(log.dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "snapshot") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let (log, report) = reopen_clean_options(&log, dir.path());
    assert_eq!(report.findings[0].kind, FindingKind::ProducersRebuilt);
    check(&log);
    assert!(append(&log, &sequenced(7, 0, 8, 1)).unwrap().was_duplicate, "replaying finds all five again");
}

/// Opens again a log that was closed before.
fn reopen_clean_options(log: &Log, dir: &std::path::Path) -> (Log, crate::log::OpenReport) {
    let options = crate::log::LogOptions {
        shutdown: crate::log::Shutdown::Clean,
        recovery_point: Some(log.recovery_point()),
        ..options(dir, &log.config())
    };
    Log::open(options).unwrap()
}

#[test]
fn idle_producers_are_forgotten_by_append_time() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    let day = 24 * 60 * 60 * 1000;
    // Records of long ago, appended now.
    let options =
        BatchOptions { producer_id: ProducerId(7), producer_epoch: 0, base_sequence: 0, ..BatchOptions::default() };
    append_in(&log, &batch_with(options, 1000, &[b"old"]), &context(0, NOW)).unwrap();
    append_in(&log, &transactional(8, 0, 0), &context(0, NOW - 2 * day)).unwrap();
    let (log, _) = reopen_clean(&log, dir.path());
    assert_eq!(log.active_producers().unwrap().len(), 2);
    assert_eq!(log.expire_producers(NOW + day - 1).unwrap(), 0);
    assert_eq!(log.expire_producers(NOW + day).unwrap(), 1);
    assert_eq!(log.active_producers().unwrap()[0].producer_id, ProducerId(8), "its transaction is open");
}

#[test]
fn a_duplicate_tells_the_append_time_where_that_counts() {
    let (_dir, log) = new_log();
    let bytes = sequenced(7, 0, 0, 1);
    let (record_batch, _) = RecordBatch::new(&bytes).unwrap();
    let stamped =
        |time| crate::log::LeaderBatch { batch: record_batch, timestamps: Some((TimestampType::LogAppendTime, time)) };
    let first = log.append_as_leader(&[stamped(NOW + 5)], &context(0, NOW + 5)).unwrap();
    assert_eq!(first.log_append_time_ms, NOW + 5);
    let again = log.append_as_leader(&[stamped(NOW + 9)], &context(0, NOW + 9)).unwrap();
    assert_eq!((again.was_duplicate, again.log_append_time_ms), (true, NOW + 5));
}
