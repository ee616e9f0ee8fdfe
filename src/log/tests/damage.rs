//! Damage in the middle of a log: what is sound stays and is served, what is not is never served.

use std::path::{Path, PathBuf};

use crate::log::test_support::*;
use crate::log::{FindingKind, Log, LogConfig, LogOptions, ReadError, Shutdown};
use crate::types::Offset;

fn config() -> LogConfig {
    LogConfig { segment_bytes: 700, index_interval_bytes: 150, segment_ms: i64::MAX, ..LogConfig::default() }
}

/// Three segments of batches of one to three records, closed; all records.
fn closed_log(dir: &Path) -> (Log, Vec<(i64, Vec<u8>)>) {
    let (log, _) = open(dir, &config());
    for at in 0..18_u8 {
        let values: [&[u8]; 3] = [&[at, 1, 9, 9, 9, 9], &[at, 2], &[at, 3]];
        let bytes = batch(NOW + i64::from(at) * 10, &values[..usize::from(at % 3 + 1)]);
        append_in(&log, &bytes, &context(i32::from(at) / 5, NOW)).unwrap();
    }
    assert_eq!(log.segment_count(), 3);
    let all = read_all(&log, 0, 1 << 20);
    log.close(crate::log::CloseMode::Sync).unwrap();
    (log, all)
}

fn files(log: &Log, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(log.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}

fn options_after(log: &Log, dir: &Path, shutdown: Shutdown) -> LogOptions {
    let recovery_point = match shutdown {
        Shutdown::Clean => Some(log.log_end_offset()),
        Shutdown::Unclean => None,
    };
    LogOptions { shutdown, recovery_point, ..options(dir, &config()) }
}

/// Reads every offset on its own: what is there is right, the rest is said to be damaged. Returns the offsets lost.
fn lost(log: &Log, all: &[(i64, Vec<u8>)], what: &str) -> Vec<i64> {
    let mut lost = Vec::new();
    for (offset, value) in all {
        match read(log, *offset, 1) {
            Ok(piece) => {
                let found = records(&piece.bytes);
                let record = found.iter().find(|(at, _)| at == offset);
                assert_eq!(record.map(|(_, value)| value), Some(value), "{what}: offset {offset}");
            }
            Err(ReadError::Corrupt { offset: at, .. }) => {
                assert_eq!(at.0, *offset);
                lost.push(*offset);
            }
            Err(error) => panic!("{what}: offset {offset}: {error}"),
        }
    }
    lost
}

/// Goal: one flipped bit costs one batch, wherever it is, and never shows as a wrong record.
/// Method: flip each byte of the middle segment in turn, open as after a kill and as after a clean stop.
#[test]
fn a_flipped_bit_costs_its_batch_only() {
    let dir = tempfile::tempdir().unwrap();
    let (log, all) = closed_log(dir.path());
    let path = files(&log, "log")[1].clone();
    let good = std::fs::read(&path).unwrap();
    let indexes: Vec<_> = ["index", "timeindex", "snapshot", "leader-epoch-checkpoint"]
        .iter()
        .flat_map(|e| files(&log, e))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    let mut random = fastrand::Rng::with_seed(11);
    // Every byte of the first two batches, then one in nine: the rest of the file is more of the same.
    for at in (0..180).chain((180..good.len()).step_by(9)) {
        for shutdown in [Shutdown::Clean, Shutdown::Unclean] {
            let mut bad = good.clone();
            bad[at] ^= 1 << random.u8(..8);
            std::fs::write(&path, &bad).unwrap();
            indexes.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
            let (log, report) = Log::open(options_after(&log, dir.path(), shutdown)).unwrap();
            assert_eq!(log.log_end_offset().0, all.len() as i64, "byte {at}");
            let lost = lost(&log, &all, &format!("byte {at}"));
            assert!(lost.len() <= 3, "byte {at}: {lost:?}");
            assert!(lost.windows(2).all(|pair| pair[1] == pair[0] + 1), "byte {at}: {lost:?}");
            if shutdown == Shutdown::Unclean {
                let told = report.findings.iter().any(|f| matches!(f.kind, FindingKind::Damaged { .. }));
                assert_eq!(told, !lost.is_empty(), "byte {at}: {report:?}");
                assert_eq!(report.truncated_bytes, 0);
            }
            assert_eq!(std::fs::read(&path).unwrap(), bad, "byte {at}: what is there stays");
        }
    }
}

#[test]
fn damage_is_named_with_file_and_offsets() {
    let dir = tempfile::tempdir().unwrap();
    let (log, all) = closed_log(dir.path());
    let path = files(&log, "log")[1].clone();
    let mut bytes = std::fs::read(&path).unwrap();
    // The value of a record of the second batch.
    let first_size = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let second_base = i64::from_be_bytes(bytes[first_size..first_size + 8].try_into().unwrap());
    let second_count = i64::from(i32::from_be_bytes(bytes[first_size + 57..first_size + 61].try_into().unwrap()));
    bytes[first_size + 70] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (log, report) = Log::open(options_after(&log, dir.path(), Shutdown::Unclean)).unwrap();
    assert_eq!(report.recovered_segments, 3);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].path, path);
    let FindingKind::Damaged { position, from, to, reason, .. } = &report.findings[0].kind else {
        panic!("{report:?}")
    };
    assert_eq!((*position, *reason), (first_size as u64, "wrong checksum"));
    assert_eq!((from.0, to.0), (second_base, second_base + second_count));
    assert_eq!(lost(&log, &all, ""), (second_base..second_base + second_count).collect::<Vec<_>>());
    // A reader gets what is before it, and goes on behind it.
    let before = read(&log, second_base - 1, 1 << 20).unwrap();
    assert_eq!(before.next_offset.0, second_base);
    assert_eq!(read_all(&log, second_base + second_count, 1 << 20).last(), all.last());
}

#[test]
fn a_cut_segment_in_the_middle_keeps_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let (log, all) = closed_log(dir.path());
    let path = files(&log, "log")[1].clone();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
    for shutdown in [Shutdown::Clean, Shutdown::Unclean] {
        let (log, _) = Log::open(options_after(&log, dir.path(), shutdown)).unwrap();
        assert_eq!(log.segment_count(), 3);
        let lost = lost(&log, &all, "");
        assert!((1..=3).contains(&lost.len()), "{lost:?}");
    }
}

#[test]
fn an_emptied_or_missing_segment_is_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let (log, all) = closed_log(dir.path());
    let logs = files(&log, "log");
    let base = |path: &Path| path.file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap();
    let (from, to) = (base(&logs[1]), base(&logs[2]));
    std::fs::write(&logs[1], b"").unwrap();
    let left = |all: &[(i64, Vec<u8>)]| -> Vec<_> {
        all.iter().filter(|(offset, _)| !(from..to).contains(offset)).cloned().collect()
    };
    for missing in [false, true] {
        if missing {
            std::fs::remove_file(&logs[1]).unwrap();
        }
        for shutdown in [Shutdown::Clean, Shutdown::Unclean] {
            let (log, report) = Log::open(options_after(&log, dir.path(), shutdown)).unwrap();
            let hole = FindingKind::Hole { from: Offset(from), to: Offset(to) };
            let told = report.findings.iter().any(|finding| finding.kind == hole);
            // After a clean stop the segments before the last are not looked into.
            assert!(told || missing && shutdown == Shutdown::Clean, "{report:?}");
            assert_eq!(read_all(&log, 0, 1 << 20), left(&all));
            assert_eq!(read_all(&log, from + 1, 1), left(&all).split_off(from as usize));
        }
    }
}

/// Goal: no index file, whatever it holds, makes a read wrong. Method: each kind of damage on each index, clean open.
#[test]
fn indexes_are_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (log, all) = closed_log(dir.path());
    let mut random = fastrand::Rng::with_seed(7);
    for extension in ["index", "timeindex"] {
        for (which, path) in files(&log, extension).into_iter().enumerate() {
            let good = std::fs::read(&path).unwrap();
            assert!(which == 2 || good.len() >= 24, "{} bytes in {extension} {which}", good.len());
            let mut variants: Vec<(&str, Vec<u8>)> = vec![
                ("empty", vec![]),
                ("zeros", vec![0; good.len()]),
                ("zero tail", [good.clone(), vec![0; 240]].concat()),
                ("cut", good[..good.len() / 24 * 12].to_vec()),
                ("uneven", good[..good.len().saturating_sub(1)].to_vec()),
                ("shifted", [good.get(4..).unwrap_or_default(), &[0; 4]].concat()),
                ("all ones", vec![0xff; good.len()]),
            ];
            for _ in 0..if good.is_empty() { 0 } else { 40 } {
                let mut noise = good.clone();
                noise.iter_mut().for_each(|byte| *byte = random.u8(..));
                variants.push(("noise", noise));
                let mut flipped = good.clone();
                let at = random.usize(..flipped.len());
                flipped[at] ^= 1 << random.u8(..8);
                variants.push(("one bit", flipped));
            }
            for (what, bytes) in variants {
                std::fs::write(&path, &bytes).unwrap();
                let (log, _) = Log::open(options_after(&log, dir.path(), Shutdown::Clean)).unwrap();
                assert_eq!(log.log_end_offset().0, all.len() as i64, "{extension} {which} {what}");
                assert_eq!(lost(&log, &all, &format!("{extension} {which} {what}")), [0; 0]);
                for at in 0..18 {
                    let found = log.offset_for_timestamp(NOW + at * 10).unwrap().unwrap();
                    let value = &all[found.offset.0 as usize].1;
                    let right = found.timestamp == NOW + at * 10 && value[..2] == [at as u8, 1];
                    assert!(right, "{extension} {which} {what}: {found:?} for {at}");
                }
                drop(log);
            }
            std::fs::write(&path, &good).unwrap();
        }
    }
}
