//! What such runs have found, step by step.

use std::sync::{Arc, Mutex};

use crate::log::fs::test_faults::Switch;
use crate::log::test_support::*;
use crate::log::{
    AppendContext, AppendError, AppendOrigin, Fault, Fs, Log, LogConfig, LogError, LogOptions, Operation,
};
use crate::types::Offset;

use super::disk::{Disk, EIO};
use super::model::served;
use super::run::directory;

/// A new segment was made and its name not flushed when the process was killed; the next one flushed records in it, but not the name.
#[test]
fn names_that_a_killed_process_left_are_flushed_with_the_next_records() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    append(&log, &batch(NOW, &[b"before"])).unwrap();
    let (path, switch) = (log.dir(), Arc::new(Switch::default()));
    drop(log);
    let fs = Fs::with_faults(switch.clone());
    let (log, _) = Log::open(LogOptions { fs, ..options(dir.path(), &LogConfig::default()) }).unwrap();
    let flushed = Arc::new(Mutex::new(0));
    let count = flushed.clone();
    switch.set(move |operation, at| {
        *count.lock().unwrap() += usize::from(operation == Operation::Sync && at == path);
        Fault::None
    });
    append(&log, &batch(NOW, &[b"after"])).unwrap();
    log.flush().unwrap();
    assert_eq!(*flushed.lock().unwrap(), 1);
}

/// A full disk let a new segment be made, but not be preallocated. Smaller appends went on in the old one, and the next start took the
/// records behind the empty file's base offset for damage.
#[test]
fn a_segment_that_can_not_be_preallocated_is_not_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 600, preallocate: true, ..LogConfig::default() };
    let switch = Arc::new(Switch::default());
    let fs = Fs::with_faults(switch.clone());
    let (log, _) = Log::open(LogOptions { fs, ..options(dir.path(), &config) }).unwrap();
    append(&log, &batch(NOW, &[&[1; 200]])).unwrap();
    switch.set(|operation, _| if operation == Operation::SetLen(600) { Fault::Fail(28) } else { Fault::None });
    let error = append(&log, &batch(NOW, &[&[2; 400]])).unwrap_err();
    assert!(matches!(error, AppendError::Storage(LogError::Full { .. })), "{error}");
    append(&log, &batch(NOW, &[&[3; 100]])).unwrap();
    let (log, _) = reopen_killed(&log, dir.path());
    assert_eq!(read_all(&log, 0, 1000), [(0, vec![1; 200]), (1, vec![3; 100])]);
}

/// The log was cut after its recovery point was noted, and what was appended then was taken for checked because the point lay behind it.
#[test]
fn a_recovery_point_behind_the_end_says_nothing_of_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    append(&log, &batch(NOW, &[b"in the system's memory"])).unwrap();
    drop(log);
    let recovery_point = Some(Offset(7));
    let (log, _) = Log::open(LogOptions { recovery_point, ..options(dir.path(), &LogConfig::default()) }).unwrap();
    assert_eq!((log.recovery_point(), log.log_end_offset()), (Offset(0), Offset(1)));
}

/// The marker of an aborted transaction was cut off the log, but not out of the index: readers would have left out its records although
/// it was committed afterwards.
#[test]
fn an_abort_that_is_cut_off_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    let ends = AppendContext { origin: AppendOrigin::Coordinator, ..context(0, NOW) };
    append(&log, &transactional(3, 0, 0)).unwrap();
    append_in(&log, &marker(3, 0, false, 0), &ends).unwrap();
    let (cut, _) = log.truncate_to(Offset(1), NOW).unwrap();
    assert!(cut);
    append_in(&log, &marker(3, 0, true, 0), &ends).unwrap();
    assert_eq!(log.aborted_transactions(Offset(0)..Offset(2)).unwrap(), []);
}

/// What a power cut had taken was still told by a snapshot of later, which was used once the recovery point had passed it: the producer's
/// next attempt would have been taken for a duplicate.
#[test]
fn producers_of_what_was_lost_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 200, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    for sequence in 0..3 {
        append(&log, &sequenced(7, 0, sequence * 10, 10)).unwrap();
    }
    let lost = log.dir().join("00000000000000000010.log");
    drop(log);
    std::fs::write(lost, [0; 100]).unwrap();
    std::fs::write(dir.path().join("topic-0/00000000000000000020.log"), []).unwrap();
    open(dir.path(), &config);
    let recovery_point = Some(Offset(20));
    let (log, _) = Log::open(LogOptions { recovery_point, ..options(dir.path(), &config) }).unwrap();
    assert_eq!(log.active_producers().unwrap()[0].last_sequence(), 9);
}

/// A log that was cut was not flushed: after a power cut batches stood there again that had been cut off, among those that came later.
#[test]
fn what_was_cut_off_does_not_come_back() {
    for seed in 0..40 {
        let root = directory();
        let dir = root.path().join("topic-0");
        std::fs::create_dir(&dir).unwrap();
        let disk = Arc::new(Disk::new(&dir, seed));
        let config = LogConfig { segment_bytes: 1000, ..LogConfig::default() };
        let fs = Fs::with_faults(disk.clone());
        let (log, _) = Log::open(LogOptions { fs, ..options(root.path(), &config) }).unwrap();
        let value = |text: &'static [u8]| batch(NOW, &[text.repeat(40).as_slice()]);
        for _ in 0..10 {
            append(&log, &value(b"old old")).unwrap();
        }
        log.flush().unwrap();
        let (cut, _) = log.truncate_to(Offset(1), NOW).unwrap();
        assert!(cut);
        for _ in 0..5 {
            append(&log, &value(b"new")).unwrap();
        }
        drop(log);
        disk.cut_power();
        let (log, _) = open(root.path(), &config);
        let is_old = |bytes: &bytes::Bytes| bytes.windows(7).any(|bytes| bytes == b"old old");
        let back = served(&log).batches.into_iter().find(|(offset, bytes)| *offset > 0 && is_old(bytes));
        assert_eq!(back, None, "seed {seed}");
    }
}

/// A process that was killed while it began a log anew left no segment at all: the next one began at 0.
#[test]
fn a_log_that_is_begun_anew_begins_somewhere() {
    for broken in 0.. {
        let root = directory();
        let config = LogConfig { segment_bytes: 200, preallocate: true, ..LogConfig::default() };
        let switch = Arc::new(Switch::default());
        let fs = Fs::with_faults(switch.clone());
        let (log, _) = Log::open(LogOptions { fs, ..options(root.path(), &config) }).unwrap();
        log.truncate_fully_and_start_at(Offset(100), NOW).unwrap();
        for _ in 0..5 {
            append(&log, &batch(NOW, &[&[1; 60]])).unwrap();
        }
        let mut operations = 0;
        switch.set(move |_, _| {
            operations += 1;
            if operations > broken { Fault::Fail(EIO) } else { Fault::None }
        });
        let begun = log.truncate_fully_and_start_at(Offset(200), NOW);
        drop(log);
        let (log, _) = open(root.path(), &config);
        let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
        match begun {
            Ok(_) => {
                assert_eq!((start, end), (200, 200));
                break;
            }
            Err(_) => assert!(start == 100 && end <= 105 || (start, end) == (200, 200), "{broken}: {start}..{end}"),
        }
    }
}

/// A power cut kept that segments were deleted, but not the name of the one which the log had gone on with: it ended before offsets that
/// were promised.
#[test]
fn what_stays_has_its_name_before_what_goes_loses_it() {
    let dir = tempfile::tempdir().unwrap();
    let switch = Arc::new(Switch::default());
    let fs = Fs::with_faults(switch.clone());
    let config = LogConfig { segment_bytes: 100, ..LogConfig::default() };
    let (log, _) = Log::open(LogOptions { fs, ..options(dir.path(), &config) }).unwrap();
    append(&log, &batch(NOW, &[b"gone"])).unwrap();
    log.flush().unwrap();
    append(&log, &batch(NOW, &[b"in the next segment"])).unwrap();
    log.advance_high_watermark(Offset(2));
    log.raise_log_start_offset(Offset(1)).unwrap();
    let (path, course) = (log.dir(), Arc::new(Mutex::new(Vec::new())));
    let noted = course.clone();
    switch.set(move |operation, at| {
        match operation {
            Operation::Sync if at == path => noted.lock().unwrap().push("flushed"),
            Operation::Rename => noted.lock().unwrap().push("renamed"),
            _ => {}
        }
        Fault::None
    });
    assert_eq!(log.apply_retention(NOW).unwrap().segments, 1);
    assert_eq!(course.lock().unwrap()[..2], ["flushed", "renamed"]);
}
