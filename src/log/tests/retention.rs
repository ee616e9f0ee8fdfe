//! Deleting at the old end, cutting at the new one.

use std::sync::Arc;

use crate::log::test_support::*;
use crate::log::{CloseMode, Fs, Log, LogConfig, LogError};
use crate::types::Offset;

/// Four segments of two batches of 100 bytes, a second apart from `NOW` on, all committed.
fn four_segments(dir: &std::path::Path, config: &LogConfig) -> Log {
    let (log, _) = open(dir, &LogConfig { segment_bytes: 200, segment_ms: i64::MAX, ..config.clone() });
    for at in 0..8 {
        append_in(&log, &sized(NOW + at * 1000, 100), &context(at as i32, NOW)).unwrap();
    }
    assert_eq!((log.segment_count(), log.size_bytes()), (4, 800));
    log.set_high_watermark(Offset(8));
    log
}

fn set(log: &Log, change: impl FnOnce(&mut LogConfig)) {
    let mut config = (*log.config()).clone();
    change(&mut config);
    log.set_config(Arc::new(config));
}

fn no_limits() -> LogConfig {
    LogConfig { retention_ms: -1, ..LogConfig::default() }
}

#[test]
fn by_size_the_oldest_go_while_enough_is_left() {
    for (limit, left) in [(-1, 4), (801, 4), (800, 4), (601, 4), (600, 3), (400, 2), (201, 2), (200, 1), (1, 1), (0, 1)]
    {
        let dir = tempfile::tempdir().unwrap();
        let log = four_segments(dir.path(), &no_limits());
        set(&log, |config| config.retention_bytes = limit);
        let outcome = log.apply_retention(NOW).unwrap();
        let (size, kept) = (log.size_bytes() as i64, log.segment_count());
        if limit == 0 {
            assert_eq!((kept, size), (1, 0), "all of it, and a new one was begun");
            assert_eq!(log.log_start_offset(), Offset(8));
        } else {
            assert_eq!(kept, left, "limit {limit}");
            assert_eq!(outcome.segments, 4 - left);
            assert_eq!(log.log_start_offset().0, (4 - left as i64) * 2);
        }
    }
}

#[test]
fn by_time_whole_segments_go_when_their_newest_record_is_too_old() {
    for (age, left) in [(0, 4), (2000, 4), (2001, 3), (4001, 2), (6001, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let log = four_segments(dir.path(), &no_limits());
        // The newest record of the first segment is of NOW + 1000.
        set(&log, |config| config.retention_ms = 1000);
        let outcome = log.apply_retention(NOW + age).unwrap();
        assert_eq!((log.segment_count(), outcome.segments), (left, 4 - left), "age {age}");
    }
    let dir = tempfile::tempdir().unwrap();
    let log = four_segments(dir.path(), &no_limits());
    set(&log, |config| config.retention_ms = 1000);
    assert_eq!(log.apply_retention(NOW + 8001).unwrap().segments, 4);
    assert_eq!((log.segment_count(), log.log_start_offset(), log.log_end_offset()), (1, Offset(8), Offset(8)));
    assert_eq!(log.apply_retention(NOW + 9001).unwrap().segments, 0, "the new one is empty");
    assert_eq!(append(&log, &batch(NOW, &[b"a"])).unwrap().first_offset, Offset(8));
    let (log, report) = reopen_clean(&log, dir.path());
    assert_eq!((log.log_start_offset(), log.log_end_offset(), report.findings.len()), (Offset(8), Offset(9), 0));
}

#[test]
fn a_time_from_before_the_restart_is_as_good() {
    let dir = tempfile::tempdir().unwrap();
    let log = four_segments(dir.path(), &no_limits());
    let (log, _) = reopen_clean(&log, dir.path());
    set(&log, |config| config.retention_ms = 1000);
    assert_eq!(log.apply_retention(NOW + 4001).unwrap().segments, 2);
}

#[test]
fn what_is_not_committed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let log = four_segments(dir.path(), &LogConfig { retention_bytes: 0, ..no_limits() });
    log.set_high_watermark(Offset(5));
    assert_eq!(log.apply_retention(NOW).unwrap().segments, 2);
    assert_eq!(log.log_start_offset(), Offset(4));
}

#[test]
fn below_the_log_start_segments_go_whatever_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { cleanup_delete: false, cleanup_compact: true, retention_bytes: 0, ..LogConfig::default() };
    let log = four_segments(dir.path(), &config);
    assert_eq!(log.apply_retention(NOW + (1 << 50)).unwrap().segments, 0, "compacted: not by size nor time");
    log.raise_log_start_offset(Offset(5)).unwrap();
    assert_eq!(log.apply_retention(NOW).unwrap().segments, 2);
    assert_eq!(log.log_start_offset(), Offset(5));
    assert_eq!(log.log_start_offset_to_checkpoint(), Some(Offset(5)));
    log.raise_log_start_offset(Offset(8)).unwrap();
    assert_eq!(log.apply_retention(NOW).unwrap().segments, 1, "the last one stays");
    assert_eq!(log.epochs_known().len(), 1);
}

/// Goal: a reader that has found its place before the deletion still reads; the files go when the caller says.
#[test]
fn deleted_files_wait_for_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = four_segments(dir.path(), &LogConfig { file_delete_delay_ms: 500, ..no_limits() });
    set(&log, |config| config.retention_bytes = 400);
    let files = log.apply_retention(NOW).unwrap().deleted.unwrap();
    assert_eq!(files.due_ms, NOW + 500);
    let names = |suffix: &str| {
        let names = std::fs::read_dir(log.dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(suffix)).count()
    };
    assert_eq!((names(".log"), names(".log.deleted"), names(".index.deleted")), (2, 2, 2));
    assert!(files.paths.iter().all(|path| path.extension().is_some_and(|e| e == "deleted") && path.exists()));
    files.remove(&Fs::default()).unwrap();
    assert_eq!(names(".deleted"), 0);
    files.remove(&Fs::default()).unwrap();
    // A kill in between leaves them to the next start.
    set(&log, |config| config.retention_bytes = 200);
    log.apply_retention(NOW).unwrap();
    assert_eq!(names(".log.deleted"), 1);
    let (log, _) = reopen_killed(&log, dir.path());
    assert_eq!(names(".deleted"), 0);
    assert_eq!(log.log_start_offset(), Offset(6));
}

#[test]
fn readers_and_deletion_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 1000, retention_bytes: 5000, index_interval_bytes: 100, ..no_limits() };
    let (log, _) = open(dir.path(), &config);
    let total = 4000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in 0..total {
                append(&log, &batch(NOW + at, &[&at.to_be_bytes()])).unwrap();
                log.advance_high_watermark(Offset(at + 1));
                if at % 50 == 0 {
                    let outcome = log.apply_retention(NOW).unwrap();
                    outcome.deleted.iter().for_each(|files| files.remove(&Fs::default()).unwrap());
                }
                if at % 300 == 0 {
                    log.close_idle_files().unwrap();
                }
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut next = 0;
                while next < total {
                    let end = log.high_watermark();
                    let limits = crate::log::ReadLimits { end, max_bytes: 700, at_least_one_batch: true };
                    match log.read(Offset(next), limits) {
                        Ok(read) => {
                            for (offset, value) in records(&read.bytes) {
                                assert_eq!(value, offset.to_be_bytes());
                            }
                            assert!(read.next_offset.0 >= next);
                            next = read.next_offset.0;
                        }
                        Err(crate::log::ReadError::OutOfRange { start, .. }) => next = start.0,
                        Err(error) => panic!("at {next}: {error}"),
                    }
                }
            });
        }
    });
}

#[test]
fn a_log_is_cut_at_an_offset() {
    let dir = tempfile::tempdir().unwrap();
    let log = four_segments(dir.path(), &no_limits());
    let (cut, files) = log.truncate_to(Offset(3), NOW).unwrap();
    assert!(cut);
    assert_eq!(files.unwrap().paths.iter().filter(|p| p.to_string_lossy().ends_with(".log.deleted")).count(), 2);
    assert_eq!((log.log_end_offset(), log.high_watermark(), log.segment_count()), (Offset(3), Offset(3), 2));
    assert_eq!(log.latest_epoch().unwrap().epoch.0, 2);
    assert_eq!(read_all(&log, 0, 1000).len(), 3);
    assert!(!log.truncate_to(Offset(3), NOW).unwrap().0);
    append_in(&log, &batch(NOW, &[b"other"]), &context(9, NOW)).unwrap();
    assert_eq!(read_all(&log, 3, 1000), [(3, b"other".to_vec())]);
    let (log, report) = reopen_clean(&log, dir.path());
    assert_eq!((log.log_end_offset(), report.findings.len()), (Offset(4), 0));
    log.set_high_watermark(Offset(4));
    log.raise_log_start_offset(Offset(2)).unwrap();
    assert!(matches!(log.truncate_to(Offset(1), NOW), Err(LogError::OffsetOutOfRange { .. })));
}

/// Batches below the log start are still in the file then, of an epoch that nothing tells of any more.
#[test]
fn a_log_cut_at_its_start_is_not_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &no_limits());
    for _ in 0..3 {
        append(&log, &batch(NOW, &[b"a"])).unwrap();
    }
    log.set_high_watermark(Offset(3));
    log.raise_log_start_offset(Offset(2)).unwrap();
    assert!(log.truncate_to(Offset(2), NOW).unwrap().0);
    assert_eq!(log.latest_epoch(), None);
    let (log, report) = reopen_clean(&log, dir.path());
    assert_eq!((log.log_end_offset(), report.findings.len(), log.latest_epoch()), (Offset(2), 0, None));
}

#[test]
fn cutting_takes_producers_back() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { segment_bytes: 220, ..no_limits() });
    for at in 0..10 {
        append(&log, &sequenced(7, 0, at, 1)).unwrap();
    }
    log.truncate_to(Offset(4), NOW).unwrap();
    assert!(append(&log, &sequenced(7, 0, 3, 1)).unwrap().was_duplicate);
    assert!(append(&log, &sequenced(7, 0, 8, 1)).is_err());
    assert_eq!(append(&log, &sequenced(7, 0, 4, 1)).unwrap().first_offset, Offset(4));
}

#[test]
fn a_log_can_begin_anew_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let log = four_segments(dir.path(), &no_limits());
    let files = log.truncate_fully_and_start_at(Offset(100), NOW).unwrap().unwrap();
    let offsets = log.offsets();
    assert_eq!((offsets.log_start_offset, offsets.log_end_offset), (Offset(100), Offset(100)));
    assert_eq!((log.latest_epoch(), log.size_bytes()), (None, 0));
    append(&log, &batch(NOW, &[b"a"])).unwrap();
    // Also over itself.
    log.truncate_fully_and_start_at(Offset(100), NOW).unwrap();
    append(&log, &batch(NOW, &[b"b"])).unwrap();
    files.remove(&Fs::default()).unwrap();
    assert_eq!(read_all(&log, 100, 100), [(100, b"b".to_vec())]);
    let (log, report) = reopen_clean(&log, dir.path());
    assert_eq!((log.log_start_offset(), log.log_end_offset(), report.findings.len()), (Offset(100), Offset(101), 0));
}

#[test]
fn a_renamed_directory_is_still_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = four_segments(dir.path(), &no_limits());
    log.close_idle_files().unwrap();
    log.close_idle_files().unwrap();
    log.rename_dir(&dir.path().join("topic-0.0123-delete")).unwrap();
    assert_eq!(read_all(&log, 0, 1).len(), 8);
    append(&log, &batch(NOW, &[b"a"])).unwrap();
    log.close(CloseMode::CallerSyncs).unwrap();
    assert!(!dir.path().join("topic-0").exists());
}
