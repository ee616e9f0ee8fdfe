//! What stands in the indexes, when segments are rolled, and the offsets of a log.

use std::path::Path;

use crate::log::test_support::*;
use crate::log::{CloseMode, Log, LogConfig, LogError, LogOptions, ReadLimits, Shutdown, TimestampedOffset};
use crate::record::RecordBatch;
use crate::types::{LeaderEpoch, Offset};

fn index(log: &Log, name: &str) -> Vec<u8> {
    std::fs::read(log.dir().join(name)).unwrap()
}

fn offset_entries(bytes: &[u8]) -> Vec<(u32, u32)> {
    let (words, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty() && words.len().is_multiple_of(2));
    words.chunks(2).map(|e| (u32::from_be_bytes(e[0]), u32::from_be_bytes(e[1]))).collect()
}

fn time_entries(bytes: &[u8]) -> Vec<(i64, u32)> {
    let (entries, rest) = bytes.as_chunks::<12>();
    assert!(rest.is_empty());
    let split = |e: &[u8; 12]| (e[..8].try_into().unwrap(), e[8..].try_into().unwrap());
    entries.iter().map(split).map(|(time, offset)| (i64::from_be_bytes(time), u32::from_be_bytes(offset))).collect()
}

/// Goal: entries are where Kafka has them: when more than the interval was appended since the last, never for the first
/// batch, last offset and position of the batch; the time index has the largest timestamp so far, where it is larger.
#[test]
fn index_entries_are_kafkas() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { index_interval_bytes: 4096, ..LogConfig::default() });
    //            bytes since the last entry before:   0     2000      4000      6000 ->entry  2000 ...
    for (timestamp, size) in
        [(100, 2000), (300, 2000), (200, 2000), (250, 2000), (290, 2000), (310, 4096), (305, 97), (305, 100), (305, 99)]
    {
        append(&log, &sized(timestamp, size)).unwrap();
    }
    log.close(CloseMode::Sync).unwrap();
    // Positions: 0 2000 4000 6000 8000 10000 14096 14193 14293. After the entry at 6000 come 2000+2000 bytes up to 10000:
    // 4000 are not more than 4096; with the next 4096, 8096 are.
    let offsets = offset_entries(&index(&log, "00000000000000000000.index"));
    assert_eq!(offsets, [(3, 6000), (6, 14096)]);
    let times = time_entries(&index(&log, "00000000000000000000.timeindex"));
    assert_eq!(times, [(300, 1), (310, 5)]);
}

#[test]
fn a_segment_of_the_interval_exactly_needs_one_byte_more() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { index_interval_bytes: 1000, ..LogConfig::default() });
    for size in [1000, 100, 900, 101, 100] {
        append(&log, &sized(5, size)).unwrap();
    }
    log.close(CloseMode::Sync).unwrap();
    assert_eq!(offset_entries(&index(&log, "00000000000000000000.index")), [(2, 1100), (4, 2101)]);
    // All have the same time: one entry, of the batch that had it first.
    assert_eq!(time_entries(&index(&log, "00000000000000000000.timeindex")), [(5, 0)]);
}

#[test]
fn a_completed_segment_tells_its_largest_timestamp() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { segment_bytes: 300, ..LogConfig::default() });
    for (at, timestamp) in [(0, 50), (1, 80), (2, 60), (3, 10)] {
        assert_eq!(append(&log, &sized(timestamp, 100)).unwrap().first_offset.0, at);
    }
    assert_eq!(log.segment_count(), 2);
    assert_eq!(time_entries(&index(&log, "00000000000000000000.timeindex")), [(80, 1)]);
    assert_eq!(index(&log, "00000000000000000000.index"), b"");
    assert_eq!(index(&log, "00000000000000000003.timeindex"), b"");
    log.close(CloseMode::Sync).unwrap();
    assert_eq!(time_entries(&index(&log, "00000000000000000003.timeindex")), [(10, 0)]);
}

#[test]
fn the_active_segments_indexes_are_preallocated() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { index_interval_bytes: 1, segment_index_bytes: 100_001, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    for at in 0..600 {
        append(&log, &batch(NOW + at, &[b"a"])).unwrap();
    }
    assert_eq!(index(&log, "00000000000000000000.index").len(), 100_000);
    assert_eq!(index(&log, "00000000000000000000.timeindex").len(), 99_996);
    log.close(CloseMode::Sync).unwrap();
    assert_eq!(index(&log, "00000000000000000000.index").len(), 599 * 8);
    assert_eq!(index(&log, "00000000000000000000.timeindex").len(), 599 * 12);
}

fn rolls(config: &LogConfig, batches: &[(i64, i64)]) -> Vec<i64> {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), config);
    for (timestamp, now) in batches {
        append_in(&log, &sized(*timestamp, 100), &context(0, *now)).unwrap();
    }
    bases(dir.path())
}

fn bases(dir: &Path) -> Vec<i64> {
    let names = std::fs::read_dir(dir.join("topic-0")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut bases: Vec<i64> = names.filter_map(|n| n.strip_suffix(".log").map(|n| n.parse().unwrap())).collect();
    bases.sort_unstable();
    bases
}

#[test]
fn segments_are_rolled_by_size() {
    let config = |segment_bytes| LogConfig { segment_bytes, ..LogConfig::default() };
    assert_eq!(rolls(&config(300), &[(0, 0); 7]), [0, 3, 6], "full to the byte");
    assert_eq!(rolls(&config(299), &[(0, 0); 5]), [0, 2, 4]);
    assert_eq!(rolls(&config(100), &[(0, 0); 3]), [0, 1, 2]);
}

#[test]
fn segments_are_rolled_by_the_time_of_their_records() {
    let config = LogConfig { segment_ms: 1000, ..LogConfig::default() };
    let times = [(5000, 0), (6000, 0), (6001, 0), (7001, 0), (2000, 0), (7002, 0), (7003, 0)];
    assert_eq!(rolls(&config, &times), [0, 2, 5], "from the first record's on; an old one rolls nothing");
    // Records without a time: by the clock.
    let times = [(-1, NOW), (-1, NOW + 1000), (-1, NOW + 1001), (-1, NOW + 1500)];
    assert_eq!(rolls(&config, &times), [0, 2]);
    let compacted = LogConfig { cleanup_compact: true, max_compaction_lag_ms: 10, ..LogConfig::default() };
    assert_eq!(rolls(&compacted, &[(5000, 0), (5010, 0), (5011, 0)]), [0, 2]);
}

#[test]
fn segments_are_rolled_earlier_by_their_jitter() {
    let config = LogConfig { segment_ms: 1000, segment_jitter_ms: 1000, ..LogConfig::default() };
    let jitter = config.roll_jitter_ms("topic-0", 0);
    assert!(jitter > 0);
    assert_eq!(rolls(&config, &[(5000, 0), (6000 - jitter, 0), (6001 - jitter, 0)]), [0, 2]);
}

#[test]
fn segments_are_rolled_when_an_index_is_full() {
    let config = LogConfig { index_interval_bytes: 1, segment_index_bytes: 32, ..LogConfig::default() };
    // Four entries of the offset index; two of the time index and place for the last one, hence one.
    let rising: Vec<_> = (0..10).map(|at| (at, 0)).collect();
    assert_eq!(rolls(&config, &rising), [0, 2, 4, 6, 8]);
    assert_eq!(rolls(&config, &[(-1, 0); 11]), [0, 5, 10]);
}

#[test]
fn segments_are_rolled_when_offsets_are_too_far_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    let far = i64::from(i32::MAX);
    for base in [0, far, far + 1] {
        let bytes = batch(NOW, &[b"a"]);
        let (record_batch, _) = RecordBatch::new(&bytes).unwrap();
        let mut header = *record_batch.header();
        header.base_offset = Offset(base);
        let bytes = [header.encode().as_slice(), record_batch.body()].concat();
        log.append_as_follower(&bytes, NOW).unwrap();
    }
    assert_eq!(bases(dir.path()), [0, far + 1]);
    assert_eq!(read(&log, 1, 100).unwrap().next_offset.0, far + 1, "the gap is skipped");
    assert_eq!(read(&log, far + 1, 100).unwrap().next_offset.0, far + 2);
}

#[test]
fn a_follower_takes_what_continues_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let (leader, _) = open(dir.path(), &LogConfig::default());
    for at in 0..6 {
        append_in(&leader, &sequenced(7, 0, at, 1), &context(at / 2, NOW)).unwrap();
    }
    let fetched = read(&leader, 0, 1 << 20).unwrap().bytes;
    let other = tempfile::tempdir().unwrap();
    let (follower, _) = open(other.path(), &LogConfig::default());
    let cut = fetched.len() - 7;
    let info = follower.append_as_follower(&fetched[..cut], NOW).unwrap();
    assert_eq!((info.first_offset, info.last_offset), (Offset(0), Offset(4)), "the cut batch waits for the next fetch");
    assert!(matches!(
        follower.append_as_follower(&fetched, NOW),
        Err(crate::log::AppendError::NotNext { expected: Offset(5), found: Offset(0) })
    ));
    follower.append_as_follower(&read(&leader, 5, 100).unwrap().bytes, NOW).unwrap();
    assert_eq!(read(&follower, 0, 1 << 20).unwrap().bytes, fetched);
    assert_eq!(follower.epochs_known(), leader.epochs_known());
    assert_eq!(follower.active_producers().unwrap()[0].last_sequence(), 5);
    let mut bad = fetched.to_vec();
    bad[80] ^= 1;
    assert!(matches!(follower.append_as_follower(&bad, NOW), Err(crate::log::AppendError::Malformed(_))));
}

#[test]
fn several_batches_go_in_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { index_interval_bytes: 100, ..LogConfig::default() });
    let bytes: Vec<_> = (0..2000).map(|at| batch(NOW + at, &[b"a"])).collect();
    let batches: Vec<_> = bytes.iter().map(|bytes| RecordBatch::new(bytes).unwrap().0.into()).collect();
    let info = log.append_as_leader(&batches, &context(3, NOW)).unwrap();
    assert_eq!((info.first_offset, info.last_offset), (Offset(0), Offset(1999)), "more slices than one call takes");
    assert_eq!(read_all(&log, 0, 1 << 20).len(), 2000);
    assert_eq!(log.offset_for_timestamp(NOW + 777).unwrap().unwrap().offset, Offset(777));
    assert!(log.append_as_leader(&[], &context(3, NOW)).is_err());
}

#[test]
fn high_watermark_and_start_stay_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    for _ in 0..5 {
        append(&log, &batch(NOW, &[b"a"])).unwrap();
    }
    assert_eq!(log.advance_high_watermark(Offset(3)), Some(Offset(3)));
    assert_eq!(log.advance_high_watermark(Offset(2)), None, "it never falls on its own");
    assert_eq!(log.advance_high_watermark(Offset(9)), Some(Offset(5)));
    assert_eq!(log.set_high_watermark(Offset(4)), Offset(4));
    assert!(matches!(log.raise_log_start_offset(Offset(5)), Err(LogError::OffsetOutOfRange { .. })));
    assert_eq!(log.raise_log_start_offset(Offset(2)).unwrap(), Offset(2));
    assert_eq!(log.raise_log_start_offset(Offset(1)).unwrap(), Offset(2));
    assert_eq!(log.log_start_offset_to_checkpoint(), Some(Offset(2)));
    assert_eq!(log.set_high_watermark(Offset(0)), Offset(2));
    assert!(read(&log, 1, 10).is_err());
    assert_eq!(read(&log, 2, 10).unwrap().next_offset, Offset(3));
    let (log, _) = reopen_killed(&log, dir.path());
    assert_eq!((log.log_start_offset(), log.high_watermark()), (Offset(2), Offset(2)));
}

#[test]
fn reads_end_where_they_must() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { segment_bytes: 450, ..LogConfig::default() });
    for _ in 0..10 {
        append(&log, &sized(NOW, 100)).unwrap();
    }
    let read = |from, end, max_bytes, at_least_one_batch| {
        let limits = ReadLimits { end: Offset(end), max_bytes, at_least_one_batch };
        let read = log.read(Offset(from), limits).unwrap();
        (read.bytes.len(), read.next_offset.0)
    };
    assert_eq!(read(0, 10, 1000, false), (400, 4), "to the end of the segment");
    assert_eq!(read(0, 3, 1000, false), (300, 3), "to the end asked for");
    assert_eq!(read(1, 10, 250, false), (200, 3), "whole batches only");
    assert_eq!(read(1, 10, 99, false), (0, 1));
    assert_eq!(read(1, 10, 99, true), (100, 2));
    assert_eq!(read(1, 10, 0, true), (100, 2));
    assert_eq!(read(1, 1, 1000, true), (0, 1));
    assert_eq!(read(4, 10, 1000, false), (400, 8));
    assert_eq!(read(10, 10, 1000, true), (0, 10));
    for (from, end, bytes) in [(0, 10, 1000), (3, 5, 200), (2, 3, 100), (9, 10, 100), (5, 5, 0), (7, 2, 0)] {
        assert_eq!(log.readable_bytes(Offset(from), Offset(end)), bytes, "{from}..{end}");
    }
}

#[test]
fn times_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { segment_bytes: 250, ..LogConfig::default() });
    let found = |log: &Log, time| log.offset_for_timestamp(time).unwrap().map(|f| (f.offset.0, f.timestamp));
    assert_eq!((found(&log, 0), log.max_timestamp().unwrap()), (None, None));
    for (epoch, timestamp) in [(0, 100), (0, 300), (1, 200), (1, 250), (2, 300)] {
        let bytes = batch(timestamp, &[b"a", b"b", b"c"]);
        append_in(&log, &bytes, &context(epoch, NOW)).unwrap();
    }
    let check = |log: &Log| {
        for (time, offset) in [(0, (0, 100)), (101, (1, 101)), (103, (3, 300)), (302, (5, 302))] {
            assert_eq!(found(log, time), Some(offset), "{time}");
        }
        assert_eq!(found(log, 303), None);
        let newest = TimestampedOffset { timestamp: 302, offset: Offset(5), leader_epoch: LeaderEpoch(0) };
        assert_eq!(log.max_timestamp().unwrap(), Some(newest), "the first of them");
    };
    check(&log);
    let (log, _) = reopen_clean(&log, dir.path());
    check(&log);
    let (log, _) = reopen_killed(&log, dir.path());
    check(&log);
    log.set_high_watermark(Offset(15));
    log.raise_log_start_offset(Offset(4)).unwrap();
    assert_eq!(found(&log, 0), Some((4, 301)), "not below the log start");
}

#[test]
fn idle_logs_hold_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 200, index_interval_bytes: 1, ..LogConfig::default() };
    let open_files = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|e| std::fs::read_link(e.ok()?.path()).ok());
        links.filter(|target| target.starts_with(dir.path())).count()
    };
    let (log, _) = open(dir.path(), &config);
    assert_eq!(open_files(), 0);
    for at in 0..9 {
        append(&log, &sized(NOW + at, 100)).unwrap();
    }
    read_all(&log, 0, 1);
    assert!(open_files() > 0);
    log.flush().unwrap();
    assert_eq!(log.close_idle_files().unwrap(), 0, "in use a moment ago");
    assert!(log.close_idle_files().unwrap() > 0);
    assert_eq!(open_files(), 0);
    append(&log, &sized(NOW + 9, 100)).unwrap();
    assert_eq!(read_all(&log, 0, 1).len(), 10);
    log.close(CloseMode::Sync).unwrap();
    assert_eq!(open_files(), 0);
    for shutdown in [Shutdown::Clean, Shutdown::Unclean] {
        let (log, _) = Log::open(LogOptions { shutdown, ..options(dir.path(), &config) }).unwrap();
        assert_eq!((log.log_end_offset(), open_files()), (Offset(10), 0));
    }
    assert!(matches!(append(&log, &sized(NOW, 100)), Err(crate::log::AppendError::Storage(LogError::Closed { .. }))));
}

#[test]
fn many_segments_need_few_files() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 300, index_interval_bytes: 1, ..LogConfig::default() };
    let open_files = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|e| std::fs::read_link(e.ok()?.path()).ok());
        links.filter(|target| target.starts_with(dir.path())).count()
    };
    let (mut log, _) = open(dir.path(), &config);
    for at in 0..120 {
        append(&log, &sized(NOW + at, 100)).unwrap();
    }
    assert_eq!(log.segment_count(), 40);
    // Eight completed ones and the active one, three files each.
    assert!(open_files() <= 27, "{} after appending", open_files());
    for reopen in [reopen_killed, reopen_clean] {
        log = reopen(&log, dir.path()).0;
        assert_eq!(open_files(), 0);
        assert_eq!(log.offset_for_timestamp(NOW + 119).unwrap().unwrap().offset, Offset(119));
        assert!(open_files() <= 27, "{} after looking for a time", open_files());
        assert_eq!(read_all(&log, 0, 1).len(), 120);
        (0..120).rev().for_each(|at| assert!(!read(&log, at, 1).unwrap().bytes.is_empty()));
        assert!(open_files() <= 27, "{} after reading", open_files());
    }
}

#[test]
fn flushes_are_due_as_configured() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { flush_messages: 3, flush_ms: 1000, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    let due = |values: &[&[u8]], now| append_in(&log, &batch(NOW, values), &context(0, now)).unwrap().flush_is_due;
    assert!(!due(&[b"a", b"b"], NOW));
    assert!(due(&[b"c"], NOW));
    log.flush().unwrap();
    assert!(!due(&[b"d"], NOW + 5000), "`flush.ms` holds up no append");
    assert!(!log.flush_is_due(NOW + 5999), "counted from the first record that is not flushed");
    assert!(log.flush_is_due(NOW + 6000));
    log.flush().unwrap();
    assert!(!log.flush_is_due(NOW + 99_000));
}
