//! Every byte of every file of a small log, flipped and cut: what can be read is right, the rest is named, nothing panics.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::log::test_support::*;
use crate::log::{
    AppendContext, AppendOrigin, EpochEntry, Log, LogConfig, LogOptions, OpenReport, ReadError, ReadLimits, Shutdown,
};
use crate::record::{EndMarker, batches};
use crate::types::{LeaderEpoch, Offset};

fn config() -> LogConfig {
    LogConfig { segment_bytes: 420, index_interval_bytes: 100, segment_ms: i64::MAX, ..LogConfig::default() }
}

/// What a log says when it is asked for everything.
#[derive(Debug, Clone, PartialEq)]
struct Content {
    end: i64,
    records: BTreeMap<i64, Vec<u8>>,
    /// What a reader of committed data gets.
    committed: BTreeMap<i64, Vec<u8>>,
    epochs: Vec<EpochEntry>,
    /// Id, epoch, last sequence, open transaction.
    producers: BTreeSet<(i64, i16, i32, Option<i64>)>,
    /// The offset found for each record's time.
    times: BTreeMap<i64, i64>,
}

/// Three segments, with transactions that were committed and aborted, within a segment and across two, and one that is open.
fn small_log(dir: &Path) -> (Log, Vec<(PathBuf, Vec<u8>)>, Content) {
    let (log, _) = open(dir, &config());
    let coordinator = AppendContext::new(LeaderEpoch(2), AppendOrigin::Coordinator, NOW);
    append_in(&log, &batch(NOW - 50, &[b"plain", b"more"]), &context(0, NOW)).unwrap();
    append_in(&log, &sequenced(7, 0, 0, 2), &context(0, NOW)).unwrap();
    for (producer, commit) in [(8, false), (9, true), (8, false)] {
        let first = log
            .active_producers()
            .unwrap()
            .iter()
            .find(|p| p.producer_id.0 == producer)
            .map_or(0, |p| p.last_sequence() + 1);
        append_in(&log, &transactional(producer, 0, first), &context(2, NOW)).unwrap();
        append_in(&log, &marker(producer, 0, commit, 0), &coordinator).unwrap();
    }
    append_in(&log, &transactional(9, 0, 1), &context(2, NOW)).unwrap();
    append_in(&log, &sequenced(7, 0, 2, 1), &context(5, NOW)).unwrap();
    append_in(&log, &batch(NOW + 70, &[b"last"]), &context(5, NOW)).unwrap();
    assert_eq!(log.segment_count(), 3);
    log.set_high_watermark(log.log_end_offset());
    log.close(crate::log::CloseMode::Sync).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(log.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    let (log, report) = try_open(&log, dir, Shutdown::Clean);
    assert_eq!(report, OpenReport::default());
    let content = content(&log, "");
    assert_eq!(content.records.len(), 13);
    assert_eq!(content.committed.values().filter(|value| *value == b"in a transaction").count(), 1);
    for extension in ["log", "index", "timeindex", "txnindex", "snapshot"] {
        let has =
            |(path, bytes): &(PathBuf, Vec<u8>)| path.extension().is_some_and(|e| e == extension) && bytes.len() > 8;
        assert!(files.iter().any(has), "nothing in {extension}");
    }
    (log, files, content)
}

fn try_open(log: &Log, dir: &Path, shutdown: Shutdown) -> (Log, OpenReport) {
    let recovery_point = Some(log.log_end_offset()).filter(|_| shutdown == Shutdown::Clean);
    Log::open(LogOptions { shutdown, recovery_point, ..options(dir, &config()) }).unwrap()
}

/// Reads all there is; an offset that can't be read is passed over, if the error says that it is damaged.
fn content(log: &Log, what: &str) -> Content {
    let end = log.log_end_offset();
    assert!(end.0 < 100, "{what}: ends at {end}");
    log.set_high_watermark(end);
    let (mut records, mut committed) = (BTreeMap::new(), BTreeMap::new());
    let limits = ReadLimits { end, max_bytes: 1 << 20, at_least_one_batch: true };
    let mut next = log.log_start_offset();
    let mut aborting = BTreeSet::new();
    while next < end {
        let read = match log.read(next, limits) {
            Ok(read) if read.bytes.is_empty() => break,
            Ok(read) => read,
            Err(ReadError::Corrupt { .. }) => {
                next = next.plus(1);
                continue;
            }
            Err(error) => panic!("{what}: offset {next}: {error}"),
        };
        assert!(read.next_offset > next, "{what}: reading stands still at {next}");
        let aborted = log.aborted_transactions(next..read.next_offset);
        let mut aborted = aborted.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        aborted.sort_by_key(|transaction| transaction.first_offset);
        for batch in batches(&read.bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            let header = *batch.header();
            let begun = aborted.iter().filter(|transaction| {
                transaction.first_offset <= header.last_offset() && transaction.last_offset >= header.base_offset
            });
            aborting.extend(begun.map(|transaction| transaction.producer_id));
            let is_control = header.attributes.is_control();
            if is_control && EndMarker::of(&batch).is_some_and(|marker| !marker.commit) {
                aborting.remove(&header.producer_id);
            }
            let counts =
                !(is_control || header.attributes.is_transactional() && aborting.contains(&header.producer_id));
            for record in batch.records(&mut Vec::new(), 1 << 20).unwrap() {
                let record = record.unwrap();
                let value = record.value.unwrap_or_default().to_vec();
                if record.offset < log.last_stable_offset() && counts {
                    committed.insert(record.offset.0, value.clone());
                }
                records.insert(record.offset.0, value);
            }
        }
        next = read.next_offset;
    }
    let producers = log.active_producers().unwrap();
    let producers = producers
        .iter()
        .map(|p| (p.producer_id.0, p.epoch, p.last_sequence(), p.txn_first_offset.map(Offset::get)))
        .collect();
    let mut times = BTreeMap::new();
    for timestamp in [NOW - 50, NOW - 49, NOW, NOW + 70, NOW + 71] {
        match log.offset_for_timestamp(timestamp) {
            Ok(found) => times.extend(found.map(|found| (timestamp, found.offset.0))),
            Err(ReadError::Corrupt { .. }) => {}
            Err(error) => panic!("{what}: time {timestamp}: {error}"),
        }
    }
    log.max_timestamp().unwrap();
    Content { end: end.0, records, committed, epochs: log.epochs_known(), producers, times }
}

fn base_offset(path: &Path) -> i64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// What of `found` may differ from `right` when this file was damaged.
fn check(found: &Content, right: &Content, path: &Path, bases: &[i64], report: &OpenReport, what: &str) {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if extension != "log" {
        let mut expected = right.clone();
        if extension.is_empty() {
            // No checksum is in the epochs' file. Where it is well-formed, the newest epoch is held against the log.
            expected.epochs.clone_from(&found.epochs);
            let newest = |content: &Content| content.epochs.last().map(|entry| entry.epoch);
            assert_eq!(newest(found), newest(right), "{what}");
        }
        assert_eq!(*found, expected, "{what}: {report:?}");
        return;
    }
    let base = base_offset(path);
    let touched = base..bases.iter().copied().find(|next| *next > base).unwrap_or(i64::MAX);
    for (offset, value) in &found.records {
        assert_eq!(right.records.get(offset), Some(value), "{what}: offset {offset}");
    }
    for offset in right.records.keys().filter(|offset| !touched.contains(offset)) {
        assert!(found.records.contains_key(offset), "{what}: offset {offset} is lost");
    }
    for (offset, value) in &found.committed {
        // Where the records of the open transaction are lost, it holds nobody back any more.
        let stable = right.records.get(offset).filter(|value| *value != b"in a transaction");
        let expected = right.committed.get(offset).or(stable);
        assert_eq!(expected, Some(value), "{what}: offset {offset} for readers of committed data");
    }
    for (time, offset) in &found.times {
        let first = right.times.get(time);
        assert!(first.is_some_and(|first| offset >= first), "{what}: time {time}: {offset}, not {first:?}");
    }
    assert!(
        found.end == right.end || touched.end == i64::MAX && found.end < right.end,
        "{what}: ends at {}",
        found.end
    );
}

/// Goal: recovered, or refused with the place named; never a wrong record, a panic or a hang.
/// Method: each byte of each file with a bit flipped in turn, and the file cut at one in five; opened as closed and as killed.
fn damage_all(wanted: fn(&str) -> bool) {
    let dir = tempfile::tempdir().unwrap();
    let (log, files, right) = small_log(dir.path());
    let is_log = |path: &&PathBuf| path.extension().is_some_and(|e| e == "log");
    let bases: Vec<i64> = files.iter().map(|(path, _)| path).filter(is_log).map(|path| base_offset(path)).collect();
    let last_log = files.iter().map(|(path, _)| path).rfind(is_log);
    let last_offset = files.iter().find(|(path, _)| Some(path) == last_log).map_or(0..0, |(_, bytes)| {
        let last = batches(bytes).last().unwrap().unwrap().bytes().len();
        bytes.len() - last..bytes.len() - last + 8
    });
    let restore = || {
        for entry in std::fs::read_dir(log.dir()).unwrap() {
            let path = entry.unwrap().path();
            if !files.iter().any(|(known, _)| *known == path) {
                std::fs::remove_file(path).unwrap();
            }
        }
        files.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    };
    for (path, bytes) in files.iter().filter(|(path, _)| wanted(path.extension().map_or("", |e| e.to_str().unwrap()))) {
        for position in 0..bytes.len() {
            // A file cut at one byte is much like one cut at the next.
            let cut = (position % 5 == 0).then_some(None);
            for damage in [Some(1_u8 << (position % 8))].into_iter().chain(cut) {
                for shutdown in [Shutdown::Clean, Shutdown::Unclean] {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    let what = format!("{name}, byte {position}, {damage:x?}, {shutdown:?}");
                    let mut bad = bytes.clone();
                    match damage {
                        Some(bits) => bad[position] ^= bits,
                        None => bad.truncate(position),
                    }
                    restore();
                    std::fs::write(path, &bad).unwrap();
                    let (opened, report) = try_open(&log, dir.path(), shutdown);
                    // Nothing tells where a log ended that was killed, nor what offset its last batch had.
                    if shutdown == Shutdown::Unclean && Some(path) == last_log && last_offset.contains(&position) {
                        continue;
                    }
                    check(&content(&opened, &what), &right, path, &bases, &report, &what);
                    if position % 16 == 0 {
                        let end = opened.log_end_offset();
                        append_in(&opened, &batch(NOW + 90, &[b"next"]), &context(6, NOW)).unwrap();
                        let (again, _) = reopen_clean(&opened, dir.path());
                        assert_eq!(again.log_end_offset(), end.plus(1), "{what}");
                        let read = read(&again, end.0, 1).unwrap();
                        assert_eq!(records(&read.bytes), [(end.0, b"next".to_vec())], "{what}");
                        let mut before = content(&again, &what);
                        before.records.remove(&end.0);
                        before.committed.remove(&end.0);
                        for (offset, value) in &before.records {
                            assert_eq!(right.records.get(offset), Some(value), "{what}, opened again: offset {offset}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_byte_of_a_segment() {
    damage_all(|extension| extension == "log");
}

#[test]
fn every_byte_of_both_indexes() {
    damage_all(|extension| matches!(extension, "index" | "timeindex"));
}

#[test]
fn every_byte_of_an_index_of_aborted_transactions() {
    damage_all(|extension| extension == "txnindex");
}

#[test]
fn every_byte_of_a_snapshot_of_producers() {
    damage_all(|extension| extension == "snapshot");
}

#[test]
fn every_byte_of_the_leader_epochs() {
    damage_all(str::is_empty);
}
