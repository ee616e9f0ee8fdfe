//! A disk that breaks: nothing is acknowledged that may be lost, nothing torn stays.

use std::sync::Arc;

use crate::log::fs::test_faults::Switch;
use crate::log::test_support::*;
use crate::log::{AppendError, Fault, Fs, Log, LogConfig, LogError, LogOptions, Operation};
use crate::types::Offset;

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

fn faulty(dir: &std::path::Path, config: &LogConfig) -> (Log, Arc<Switch>) {
    let switch = Arc::new(Switch::default());
    let options = LogOptions { fs: Fs::with_faults(switch.clone()), ..options(dir, config) };
    (Log::open(options).unwrap().0, switch)
}

/// Goal: a full disk costs the append only. Method: each batch is first written in part, then let through.
#[test]
fn a_full_disk_leaves_the_log_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = faulty(dir.path(), &LogConfig::default());
    let segment = log.dir().join("00000000000000000000.log");
    for at in 0..5 {
        let before = std::fs::read(&segment).unwrap();
        let mut written = at as usize * 15;
        disk.set(move |operation, _| match operation {
            Operation::Write(_) if written > 0 => Fault::Short(std::mem::take(&mut written)),
            Operation::Write(_) => Fault::Fail(ENOSPC),
            _ => Fault::None,
        });
        let error = append(&log, &sequenced(7, 0, at, 1)).unwrap_err();
        assert!(matches!(error, AppendError::Storage(LogError::Full { .. })), "{error}");
        assert_eq!(std::fs::read(&segment).unwrap(), before, "no torn bytes stay");
        disk.clear();
        assert_eq!(append(&log, &sequenced(7, 0, at, 1)).unwrap().first_offset, Offset(i64::from(at)));
    }
    assert_eq!(read_all(&log, 0, 1000).len(), 5);
}

#[test]
fn a_write_error_ends_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = faulty(dir.path(), &LogConfig::default());
    append(&log, &batch(NOW, &[b"safe"])).unwrap();
    let segment = log.dir().join("00000000000000000000.log");
    let before = std::fs::read(&segment).unwrap();
    let mut first = true;
    disk.set(move |operation, _| match operation {
        Operation::Write(_) if std::mem::take(&mut first) => Fault::Short(30),
        Operation::Write(_) => Fault::Fail(EIO),
        _ => Fault::None,
    });
    assert!(matches!(append(&log, &batch(NOW, &[b"lost"])), Err(AppendError::Storage(LogError::Io { .. }))));
    disk.clear();
    assert_eq!(std::fs::read(&segment).unwrap(), before);
    assert!(matches!(append(&log, &batch(NOW, &[b"late"])), Err(AppendError::Storage(LogError::Failed { .. }))));
    assert!(read(&log, 0, 100).is_err());
    assert!(log.flush().is_err());
    let (log, report) = open(dir.path(), &LogConfig::default());
    assert_eq!(report.findings, []);
    assert_eq!(read_all(&log, 0, 100), [(0, b"safe".to_vec())]);
}

#[test]
fn a_failed_flush_ends_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = faulty(dir.path(), &LogConfig::default());
    append(&log, &batch(NOW, &[b"a"])).unwrap();
    disk.set(|operation, _| if operation == Operation::Sync { Fault::Fail(EIO) } else { Fault::None });
    assert!(matches!(log.flush(), Err(LogError::Io { .. })));
    disk.clear();
    assert_eq!(log.recovery_point(), Offset(0));
    assert!(matches!(log.flush(), Err(LogError::Failed { .. })), "a second flush proves nothing");
    assert!(log.close(crate::log::CloseMode::Sync).is_err(), "no clean marker for this one");
}

#[test]
fn a_segment_that_can_not_be_made_costs_the_append_only() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 200, ..LogConfig::default() };
    let (log, disk) = faulty(dir.path(), &config);
    append(&log, &batch(NOW, &[&[1; 100]])).unwrap();
    for suffix in ["index", "log", "snapshot"] {
        disk.set(move |operation, path| {
            let new = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("00000000000000000001"));
            let hit = operation == Operation::Open && new && path.extension().is_some_and(|e| e == suffix);
            if hit { Fault::Fail(ENOSPC) } else { Fault::None }
        });
        let error = append(&log, &batch(NOW, &[&[2; 100]])).unwrap_err();
        assert!(matches!(error, AppendError::Storage(LogError::Full { .. })), "{error}");
        assert_eq!(log.segment_count(), 1);
    }
    disk.clear();
    append(&log, &batch(NOW, &[&[2; 100]])).unwrap();
    assert_eq!((log.segment_count(), read_all(&log, 0, 1).len()), (2, 2));
}
