//! Appending, reading, rolling.

use crate::log::test_support::*;
use crate::log::{LogConfig, ReadError};
use crate::types::Offset;

#[test]
fn what_is_appended_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (log, report) = open(dir.path(), &LogConfig::default());
    assert_eq!(report, Default::default());
    let first = append(&log, &batch(NOW, &[b"a", b"b"])).unwrap();
    assert_eq!((first.first_offset, first.last_offset), (Offset(0), Offset(1)));
    let second = append(&log, &batch(NOW, &[b"c"])).unwrap();
    assert_eq!((second.first_offset, second.last_offset), (Offset(2), Offset(2)));
    assert_eq!(read_all(&log, 0, 1), [(0, b"a".to_vec()), (1, b"b".to_vec()), (2, b"c".to_vec())]);
    let piece = read(&log, 1, 1 << 20).unwrap();
    assert_eq!(records(&piece.bytes).len(), 3, "the batch that holds the offset comes whole");
    assert_eq!(piece.next_offset, Offset(3));
    assert!(read(&log, 3, 10).unwrap().bytes.is_empty());
    assert!(matches!(read(&log, 4, 10), Err(ReadError::OutOfRange { end: Offset(3), .. })));
    assert!(matches!(read(&log, -1, 10), Err(ReadError::OutOfRange { .. })));
}

#[test]
fn a_log_that_was_closed_opens_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 500, index_interval_bytes: 100, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    for at in 0..40_u8 {
        append(&log, &batch(NOW + i64::from(at), &[&[at], &[at, at]])).unwrap();
    }
    assert!(log.segment_count() > 5);
    let all = read_all(&log, 0, 300);
    assert_eq!(all.len(), 80);
    let (log, report) = reopen_clean(&log, dir.path());
    assert_eq!(report, Default::default());
    assert_eq!(log.log_end_offset(), Offset(80));
    assert_eq!(read_all(&log, 0, 300), all);
    let (log, report) = reopen_killed(&log, dir.path());
    assert_eq!(report.findings, []);
    assert_eq!(read_all(&log, 0, 1), all);
}
