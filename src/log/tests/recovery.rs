//! Opening a log after a kill, or after a stop that was less clean than it said.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::test_support::*;
use crate::log::{
    CloseMode, Fault, Faults, FindingKind, Fs, Log, LogConfig, LogOptions, OpenReport, Operation, Shutdown,
};
use crate::types::{LeaderEpoch, Offset};

fn segment(log: &Log, name: &str) -> PathBuf {
    log.dir().join(name)
}

const FIRST: &str = "00000000000000000000";

fn reopen(log: &Log, dir: &Path, shutdown: Shutdown, recovery_point: i64) -> (Log, OpenReport) {
    let recovery_point = Some(Offset(recovery_point));
    Log::open(LogOptions { shutdown, recovery_point, ..options(dir, &log.config()) }).unwrap()
}

/// Goal: recovery keeps every whole batch and drops only a torn one, also where a clean stop was claimed.
/// Method: write three batches, cut the file at each byte of the third, open.
#[test]
fn recovery_drops_only_the_torn_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    append(&log, &batch(NOW, &[b"a"])).unwrap();
    append(&log, &sequenced(7, 0, 0, 1)).unwrap();
    let third_starts = log.size_bytes();
    append(&log, &sequenced(7, 0, 1, 2)).unwrap();
    let whole = log.size_bytes();
    log.close(CloseMode::Sync).unwrap();
    let path = segment(&log, &format!("{FIRST}.log"));
    let bytes = std::fs::read(&path).unwrap();
    for cut in third_starts..=whole {
        for (shutdown, known) in [(Shutdown::Unclean, 0), (Shutdown::Unclean, 4), (Shutdown::Clean, 4)] {
            std::fs::write(&path, &bytes[..cut as usize]).unwrap();
            let (log, report) = reopen(&log, dir.path(), shutdown, known);
            let end = if cut == whole { 4 } else { 2 };
            assert_eq!(log.log_end_offset(), Offset(end), "cut at byte {cut}");
            assert_eq!(log.size_bytes(), if cut == whole { whole } else { third_starts }, "cut at byte {cut}");
            assert_eq!(path.metadata().unwrap().len(), log.size_bytes(), "cut at byte {cut}");
            let torn = cut - third_starts;
            assert_eq!(report.truncated_bytes, if cut == whole { 0 } else { torn }, "cut at byte {cut}");
            let told = report.findings.iter().any(|f| matches!(f.kind, FindingKind::TornEnd { .. }));
            assert_eq!(told, 0 < torn && cut < whole, "cut at byte {cut}: {report:?}");
            // The producer goes on where the log ends.
            let next = append(&log, &sequenced(7, 0, 1, 2)).unwrap();
            assert_eq!((next.first_offset, next.was_duplicate), (Offset(2), cut == whole), "cut at byte {cut}");
        }
    }
}

#[test]
fn whole_batches_of_another_length_than_known_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    for at in 0..5 {
        append(&log, &batch(NOW + at, &[b"a"])).unwrap();
    }
    log.close(CloseMode::Sync).unwrap();
    let path = segment(&log, &format!("{FIRST}.log"));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 5 * 3]).unwrap();
    let (log, report) = reopen(&log, dir.path(), Shutdown::Clean, 5);
    assert_eq!(log.log_end_offset(), Offset(3));
    let shorter = FindingKind::ShorterThanKnown { known: Offset(5), end: Offset(3) };
    assert!(report.findings.iter().any(|finding| finding.kind == shorter), "{report:?}");
    // More than was known is as good: the checkpoint is older than the log.
    std::fs::write(&path, &bytes).unwrap();
    let (log, report) = reopen(&log, dir.path(), Shutdown::Clean, 3);
    assert_eq!(log.log_end_offset(), Offset(5));
    assert!(report.findings.iter().all(|f| f.kind == FindingKind::ProducersRebuilt), "{report:?}");
}

#[test]
fn only_what_may_not_be_on_disk_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 160, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    for at in 0..10 {
        append(&log, &batch(NOW + at, &[b"a"])).unwrap();
    }
    assert_eq!(log.segment_count(), 5);
    log.flush_up_to(Offset(6)).unwrap();
    assert_eq!(log.flushed_end(), Offset(10), "a flush makes all durable that is there");
    assert_eq!(log.recovery_point(), Offset(9), "the indexes of the last segment are not");
    for (known, checked) in [(0, 5), (2, 4), (3, 4), (7, 2), (8, 1), (10, 1)] {
        let (log, report) = reopen(&log, dir.path(), Shutdown::Unclean, known);
        assert_eq!((report.recovered_segments, report.findings.len()), (checked, 0), "from {known}");
        assert_eq!(log.recovery_point(), Offset(known.min(9)));
        assert_eq!(read_all(&log, 0, 1).len(), 10);
    }
}

#[test]
fn indexes_are_made_anew_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 2000, index_interval_bytes: 200, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    for at in [5_i64, 3, 9, 9, 2, 1, 12, 30, 29, 31].repeat(6) {
        append(&log, &batch(NOW + at, &[&[7; 20], b"b"])).unwrap();
    }
    log.close(CloseMode::Sync).unwrap();
    let indexes = || -> Vec<(PathBuf, Vec<u8>)> {
        let mut found: Vec<_> = std::fs::read_dir(log.dir())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "index" || e == "timeindex"))
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        found.sort();
        found
    };
    let before = indexes();
    assert!(before.len() >= 6 && before.iter().all(|(_, bytes)| !bytes.is_empty()), "{before:?}");
    before.iter().for_each(|(path, _)| std::fs::remove_file(path).unwrap());
    let (reopened, report) = reopen(&log, dir.path(), Shutdown::Unclean, 0);
    assert_eq!(report.findings, []);
    drop(reopened);
    assert_eq!(indexes(), before);
}

#[test]
fn epochs_come_from_the_batches_if_their_file_is_no_good() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 300, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    for at in 0..12 {
        append_in(&log, &batch(NOW, &[b"a"]), &context(at / 3 * 2, NOW)).unwrap();
    }
    let epochs = log.epochs_known();
    assert_eq!(epochs.len(), 4);
    log.close(CloseMode::Sync).unwrap();
    let path = segment(&log, "leader-epoch-checkpoint");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n4\n0 0\n2 3\n4 6\n6 9\n");
    for content in [Some("0\n1\nnonsense\n"), Some("9"), None] {
        for (shutdown, known) in [(Shutdown::Clean, 12), (Shutdown::Unclean, 0), (Shutdown::Unclean, 8)] {
            match content {
                Some(content) => std::fs::write(&path, content).unwrap(),
                None => std::fs::remove_file(&path).unwrap_or_default(),
            }
            let (log, report) = reopen(&log, dir.path(), shutdown, known);
            assert_eq!(log.epochs_known(), epochs, "{content:?} {shutdown:?} {known}");
            assert_eq!(report.findings.len(), usize::from(content.is_some()), "{report:?}");
            log.flush_up_to(Offset(12)).unwrap();
            log.close(CloseMode::Sync).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n4\n0 0\n2 3\n4 6\n6 9\n");
        }
    }
    // Epochs of records that are gone go with them.
    std::fs::write(&path, "0\n5\n0 0\n2 3\n4 6\n6 9\n9 12\n").unwrap();
    let (log, report) = reopen(&log, dir.path(), Shutdown::Clean, 12);
    assert_eq!((log.latest_epoch().unwrap().epoch, report.findings.len()), (LeaderEpoch(6), 0));
    // A file that does not know the newest records is of another log, or an old one.
    std::fs::write(&path, "0\n2\n0 0\n2 3\n").unwrap();
    let (log, report) = reopen(&log, dir.path(), Shutdown::Clean, 12);
    assert_eq!((log.epochs_known(), report.findings.len()), (epochs, 1));
}

#[test]
fn a_bad_snapshot_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 300, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    for at in 0..9 {
        append(&log, &sequenced(7, 0, at, 1)).unwrap();
    }
    log.close(CloseMode::Sync).unwrap();
    let path = segment(&log, "00000000000000000009.snapshot");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (log, report) = reopen(&log, dir.path(), Shutdown::Clean, 9);
    assert!(report.findings.iter().any(|f| f.kind == FindingKind::BadSnapshot && f.path == path), "{report:?}");
    assert!(append(&log, &sequenced(7, 0, 8, 1)).unwrap().was_duplicate);
    append(&log, &sequenced(7, 0, 9, 1)).unwrap();
}

#[test]
fn snapshots_stand_where_segments_begin_and_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 220, ..LogConfig::default() };
    let (mut log, _) = open(dir.path(), &config);
    let snapshots = |log: &Log| -> Vec<String> {
        let names = std::fs::read_dir(log.dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter_map(|n| n.strip_suffix(".snapshot").map(str::to_owned)).collect();
        names.sort();
        names.iter().map(|n| n.trim_start_matches('0').to_owned()).collect()
    };
    for at in 0..4 {
        append(&log, &sequenced(7, 0, at, 1)).unwrap();
    }
    assert_eq!(snapshots(&log), ["3"]);
    (log, _) = reopen_clean(&log, dir.path());
    assert_eq!(snapshots(&log), ["3", "4"]);
    for at in 4..10 {
        append(&log, &sequenced(7, 0, at, 1)).unwrap();
    }
    (log, _) = reopen_clean(&log, dir.path());
    assert_eq!(snapshots(&log), ["3", "6", "9", "10"], "the one of the last stop is of no use any more");
}

#[test]
fn a_log_start_behind_the_end_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    for _ in 0..3 {
        append(&log, &batch(NOW, &[b"a"])).unwrap();
    }
    log.close(CloseMode::Sync).unwrap();
    let bytes = std::fs::read(segment(&log, &format!("{FIRST}.log"))).unwrap();
    for shutdown in [Shutdown::Clean, Shutdown::Unclean] {
        let options = LogOptions { shutdown, log_start_offset: Some(Offset(50)), ..options(dir.path(), &log.config()) };
        let (log, report) = Log::open(options).unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(50), Offset(50)));
        let kept = segment(&log, &format!("{FIRST}.log.kept"));
        assert_eq!(std::fs::read(&kept).unwrap(), bytes);
        let kind = FindingKind::StartBehindEnd { start: Offset(50), end: Offset(3), segments: 1 };
        assert_eq!(report.findings[0].kind, kind);
        assert_eq!(append(&log, &batch(NOW, &[b"b"])).unwrap().first_offset, Offset(50));
        drop(log);
        std::fs::rename(kept, dir.path().join("topic-0").join(format!("{FIRST}.log"))).unwrap();
        std::fs::remove_file(dir.path().join("topic-0/00000000000000000050.log")).unwrap();
    }
}

#[test]
fn zeros_of_preallocation_are_no_batches() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { preallocate: true, segment_bytes: 1 << 20, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    append(&log, &batch(NOW, &[b"a"])).unwrap();
    let path = segment(&log, &format!("{FIRST}.log"));
    assert_eq!(path.metadata().unwrap().len(), 1 << 20);
    let size = log.size_bytes();
    let (log, _) = reopen_killed(&log, dir.path());
    assert_eq!((log.log_end_offset(), path.metadata().unwrap().len()), (Offset(1), size));
    append(&log, &batch(NOW, &[b"b"])).unwrap();
    let (log, report) = reopen_clean(&log, dir.path());
    assert_eq!((report.findings.len(), read_all(&log, 0, 1).len()), (0, 2));
}

/// Goal: what a power cut leaves of a preallocated file is no damage: zeros at the end of the last segment, or of one that was cut
/// when it was complete and is as long as before. Where the zeros stand in the place of records that is told.
#[test]
fn zeros_that_were_set_aside_are_no_damage() {
    let config = LogConfig { preallocate: true, segment_bytes: 200, ..LogConfig::default() };
    let prepare = || {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = open(dir.path(), &config);
        for value in [b"a", b"b", b"c", b"d", b"e"] {
            append(&log, &batch(NOW, &[value])).unwrap();
        }
        assert_eq!(log.segment_count(), 3);
        let first = segment(&log, &format!("{FIRST}.log"));
        let size = first.metadata().unwrap().len();
        (dir, log, first, size)
    };
    let (dir, log, first, size) = prepare();
    let file = std::fs::File::options().write(true).open(&first).unwrap();
    file.set_len(100_000).unwrap();
    let (log, report) = reopen_killed(&log, dir.path());
    assert_eq!((report.findings.as_slice(), report.truncated_bytes), (&[][..], 0));
    assert_eq!((read_all(&log, 0, 1).len(), first.metadata().unwrap().len()), (5, size));
    let (_, report) = reopen_clean(&log, dir.path());
    assert_eq!(report.findings, []);

    // The second batch of the segment has not come to the disk.
    let (dir, log, first, size) = prepare();
    let file = std::fs::File::options().write(true).open(&first).unwrap();
    file.set_len(size / 2).unwrap();
    file.set_len(size).unwrap();
    let (log, report) = reopen_killed(&log, dir.path());
    let (from, to) = (Offset(1), Offset(2));
    assert!(
        matches!(report.findings[0].kind, FindingKind::Damaged { from: f, to: t, .. } if (f, t) == (from, to)),
        "{report:?}"
    );
    assert_eq!(first.metadata().unwrap().len(), size, "what is damaged stays");
    drop(log);
}

/// What compaction leaves when it is killed, in the three states that it goes through.
#[test]
fn unfinished_compaction_is_undone_or_finished() {
    let config = LogConfig { segment_bytes: 160, cleanup_compact: true, ..LogConfig::default() };
    let prepare = || {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = open(dir.path(), &config);
        for at in 0..6_u8 {
            append(&log, &batch(NOW, &[&[at]])).unwrap();
        }
        assert_eq!(log.segment_count(), 3);
        log.close(CloseMode::Sync).unwrap();
        (dir, log)
    };
    let values = |log: &Log| -> Vec<u8> { read_all(log, 0, 1).iter().map(|(_, value)| value[0]).collect() };
    let cleaned = |log: &Log, suffix: &str| {
        // The first two segments in one, with the first record left out.
        let first = std::fs::read(segment(log, "00000000000000000000.log")).unwrap();
        let second = std::fs::read(segment(log, "00000000000000000002.log")).unwrap();
        let bytes = [&first[first.len() / 2..], &second].concat();
        std::fs::write(segment(log, &format!("{FIRST}.log{suffix}")), bytes).unwrap();
        std::fs::write(segment(log, &format!("{FIRST}.index{suffix}")), b"").unwrap();
        std::fs::write(segment(log, &format!("{FIRST}.timeindex{suffix}")), b"").unwrap();
    };
    for suffixes in [&[".cleaned"][..], &[".cleaned", ".swap"], &[".deleted"]] {
        let (dir, log) = prepare();
        suffixes.iter().for_each(|suffix| cleaned(&log, suffix));
        let (log, _) = reopen(&log, dir.path(), Shutdown::Unclean, 0);
        assert_eq!(values(&log), [0, 1, 2, 3, 4, 5], "{suffixes:?}");
        let names = std::fs::read_dir(log.dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| suffixes.iter().any(|s| name.ends_with(s))).count(), 0);
    }
    let (dir, log) = prepare();
    cleaned(&log, ".swap");
    let (log, report) = reopen(&log, dir.path(), Shutdown::Unclean, 0);
    assert_eq!((values(&log).as_slice(), log.segment_count()), ([1, 2, 3, 4, 5].as_slice(), 2));
    assert_eq!(report.findings, []);
}

#[test]
fn a_partition_that_was_never_used_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig::default());
    log.begin_leader_epoch(LeaderEpoch(4));
    let (log, report) = reopen_clean(&log, dir.path());
    assert_eq!(report, OpenReport::default());
    log.begin_leader_epoch(LeaderEpoch(5));
    let modified = || std::fs::metadata(log.dir()).unwrap().modified().unwrap();
    let before = modified();
    log.close(CloseMode::Sync).unwrap();
    assert_eq!(modified(), before);
    let mut names: Vec<_> =
        std::fs::read_dir(log.dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, [format!("{FIRST}.index"), format!("{FIRST}.log"), format!("{FIRST}.timeindex")]);
}

/// Counts what is read, and notes the largest piece.
#[derive(Default)]
struct Reads {
    bytes: AtomicU64,
    largest: AtomicU64,
}

impl Faults for Reads {
    fn before(&self, operation: Operation, _: &Path) -> Fault {
        if let Operation::Read(bytes) = operation {
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            self.largest.fetch_max(bytes as u64, Ordering::Relaxed);
        }
        Fault::None
    }
}

fn reopen_counted(log: &Log, dir: &Path, recovery_point: Offset) -> (OpenReport, u64, u64) {
    let reads = Arc::new(Reads::default());
    let fs = Fs::with_faults(reads.clone());
    let options = LogOptions { recovery_point: Some(recovery_point), fs, ..options(dir, &log.config()) };
    let (_, report) = Log::open(options).unwrap();
    (report, reads.bytes.load(Ordering::Relaxed), reads.largest.load(Ordering::Relaxed))
}

#[test]
fn a_kill_costs_the_segments_beyond_the_recovery_point_only() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 100_000, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    for at in 0..400 {
        append(&log, &sized(NOW + at, 10_000)).unwrap();
    }
    let (segments, size) = (log.segment_count() as u64, log.size_bytes());
    assert_eq!(segments, 40);
    log.flush_up_to(Offset(395)).unwrap();
    let (report, bytes, _) = reopen_counted(&log, dir.path(), log.recovery_point());
    assert_eq!((report.recovered_segments, report.findings.len()), (1, 0));
    assert!(bytes < 3 * size / segments, "{bytes} bytes of {size} were read");
    let (report, bytes, _) = reopen_counted(&log, dir.path(), Offset(0));
    assert_eq!(report.recovered_segments, 40);
    assert!((size..2 * size).contains(&bytes), "{bytes} bytes of {size} were read");
}

/// Goal: recovery takes no more memory than a few blocks, whatever is in the file.
/// Method: a batch of 20 MB, sound and with a damaged byte, and one whose size reaches to the end of such a segment.
#[test]
fn a_huge_batch_is_checked_piece_by_piece() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { max_message_bytes: 1 << 30, ..LogConfig::default() };
    let (log, _) = open(dir.path(), &config);
    append(&log, &batch(NOW, &[b"first"])).unwrap();
    append(&log, &sized(NOW, 20_000_000)).unwrap();
    append(&log, &batch(NOW, &[b"last"])).unwrap();
    log.close(CloseMode::Sync).unwrap();
    let path = segment(&log, &format!("{FIRST}.log"));
    let good = std::fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[10_000_000] ^= 1;
    let mut long = good.clone();
    long[8..12].copy_from_slice(&(good.len() as i32 - 12).to_be_bytes());
    for (what, bytes, findings) in [("sound", &good, 0), ("flipped", &flipped, 1), ("long", &long, 1)] {
        std::fs::write(&path, bytes).unwrap();
        let (report, _, largest) = reopen_counted(&log, dir.path(), Offset(0));
        assert_eq!(report.findings.len(), findings, "{what}: {report:?}");
        assert!(largest <= 4 << 20, "{what}: {largest} bytes were read at once");
    }
}
