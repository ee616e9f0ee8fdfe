//! Transactions begin in a partition only where their coordinator knows of it (KIP-890).

use crate::log::test_support::*;
use crate::log::{
    AppendContext, AppendError, AppendOrigin, Log, LogConfig, Verification, VerificationGuard, VerificationWanted,
};
use crate::types::{LeaderEpoch, Offset, ProducerId, TransactionVersion};

fn new_log() -> (tempfile::TempDir, Log) {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    (dir, log)
}

fn wanted(epoch: i16, sequence: i32, version: TransactionVersion) -> VerificationWanted {
    VerificationWanted { producer_id: ProducerId(7), epoch, sequence, version, now_ms: NOW }
}

fn begin(log: &Log, epoch: i16, sequence: i32) -> Option<VerificationGuard> {
    log.begin_verification(&wanted(epoch, sequence, TransactionVersion::V0)).unwrap()
}

fn needed(guard: Option<VerificationGuard>) -> AppendContext {
    AppendContext { verification: Verification::Needed(guard), ..context(0, NOW) }
}

fn marker_context(version: TransactionVersion) -> AppendContext {
    let context = AppendContext::new(LeaderEpoch(0), AppendOrigin::Coordinator, NOW);
    AppendContext { marker_version: version, ..context }
}

#[test]
fn a_transaction_begins_with_the_guard_of_its_verification() {
    let (_dir, log) = new_log();
    let error = append_in(&log, &transactional(7, 0, 0), &needed(None)).unwrap_err();
    assert!(matches!(error, AppendError::NotInTransaction { producer_id: ProducerId(7) }));
    let guard = begin(&log, 0, 0).unwrap();
    assert_eq!(begin(&log, 0, 1), Some(guard), "one verification for all batches that wait");
    append_in(&log, &transactional(7, 0, 0), &needed(Some(guard))).unwrap();
    assert_eq!(begin(&log, 0, 1), None, "the transaction is under way");
    append_in(&log, &transactional(7, 0, 1), &needed(None)).unwrap();
    assert_eq!(log.last_stable_offset(), Offset(0));
}

#[test]
fn a_marker_in_between_makes_the_guard_worthless() {
    let (_dir, log) = new_log();
    let guard = begin(&log, 0, 0).unwrap();
    append_in(&log, &marker(7, 0, false, 0), &marker_context(TransactionVersion::V0)).unwrap();
    let error = append_in(&log, &transactional(7, 0, 0), &needed(Some(guard))).unwrap_err();
    assert!(matches!(error, AppendError::NotInTransaction { .. }), "nobody would ever end it");
    let second = begin(&log, 0, 0).unwrap();
    assert_ne!(second, guard);
    append_in(&log, &transactional(7, 0, 0), &needed(Some(second))).unwrap();
}

#[test]
fn a_duplicate_and_a_fenced_producer_are_answered_as_ever() {
    let (_dir, log) = new_log();
    let guard = begin(&log, 3, 0);
    append_in(&log, &transactional(7, 3, 0), &needed(guard)).unwrap();
    append_in(&log, &marker(7, 3, true, 0), &marker_context(TransactionVersion::V0)).unwrap();
    assert!(append_in(&log, &transactional(7, 3, 0), &needed(None)).unwrap().was_duplicate);
    let error = log.begin_verification(&wanted(2, 0, TransactionVersion::V0)).unwrap_err();
    assert!(matches!(error, AppendError::InvalidProducerEpoch { current: 3, found: 2, .. }));
    let error = append_in(&log, &transactional(7, 2, 0), &needed(None)).unwrap_err();
    assert!(matches!(error, AppendError::InvalidProducerEpoch { current: 3, found: 2, .. }));
}

#[test]
fn a_batch_does_not_overtake_one_that_was_verified_before_it() {
    let (_dir, log) = new_log();
    let guard = begin(&log, 0, 4);
    assert_eq!(begin(&log, 0, 5), guard);
    let error = append_in(&log, &transactional(7, 0, 5), &needed(guard)).unwrap_err();
    assert!(matches!(error, AppendError::OutOfOrderSequence { expected: 4, found: 5, .. }));
    append_in(&log, &transactional(7, 0, 4), &needed(guard)).unwrap();
    // With an epoch for each transaction the first batch of all is known.
    let (_dir, log) = new_log();
    let guard = log.begin_verification(&wanted(0, 4, TransactionVersion::V2)).unwrap();
    let error = append_in(&log, &transactional(7, 0, 4), &needed(guard)).unwrap_err();
    assert!(matches!(error, AppendError::OutOfOrderSequence { expected: 0, found: 4, .. }));
}

#[test]
fn a_late_marker_does_not_end_the_next_transaction() {
    let (_dir, log) = new_log();
    append(&log, &transactional(7, 0, 0)).unwrap();
    let v2 = marker_context(TransactionVersion::V2);
    append_in(&log, &marker(7, 1, true, 0), &v2).unwrap();
    append_in(&log, &marker(7, 1, true, 0), &v2).unwrap();
    append(&log, &transactional(7, 1, 0)).unwrap();
    let error = append_in(&log, &marker(7, 1, true, 0), &v2).unwrap_err();
    assert!(matches!(error, AppendError::InvalidProducerEpoch { current: 1, found: 1, .. }));
    log.set_high_watermark(log.log_end_offset());
    assert_eq!(log.last_stable_offset(), Offset(3), "still open");
    append_in(&log, &marker(7, 2, true, 0), &v2).unwrap();
    log.set_high_watermark(log.log_end_offset());
    assert_eq!(log.last_stable_offset(), log.log_end_offset());
}

#[test]
fn verifications_that_nothing_came_of_are_forgotten() {
    let (_dir, log) = new_log();
    let guard = begin(&log, 0, 0);
    log.expire_producers(NOW + LogConfig::default().producer_id_expiration_ms).unwrap();
    assert!(append_in(&log, &transactional(7, 0, 0), &needed(guard)).is_err());
}
