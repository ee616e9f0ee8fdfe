//! Each rule of compaction by itself.

use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::*;
use crate::log::test_support::append;
use crate::record::{Codec, Compression, RecordBatch, batches};
use crate::types::ProducerId;

const DAY: i64 = 24 * 60 * 60 * 1000;

#[test]
fn the_newest_record_of_each_key_stays_at_its_offset() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &compacted());
    for round in 0..5 {
        put(&log, &[("a", Some(&format!("a{round}"))), ("b", Some(&format!("b{round}")))]);
    }
    put(&log, &[("c", Some("c"))]);
    roll(&log);
    let before = log.offsets();
    let (end, stats) = clean(&log, 0, NOW);
    assert_eq!(end, 11, "all but the active segment");
    let expected = [
        record(8, "a", Some("a4")),
        record(9, "b", Some("b4")),
        record(10, "c", Some("c")),
        record(11, "filler", Some("f")),
    ];
    assert_eq!(kept(&log), expected);
    assert_eq!((log.offsets(), log.segment_count()), (before, 4));
    assert_eq!((stats.records, stats.keys, stats.segments), ((11, 3), 3, (3, 3)));
    assert_eq!(read_all(&log, 0, 1).len(), 4, "from an offset that is gone");
    assert_eq!(names(&log.dir(), ".deleted").len() + names(&log.dir(), ".cleaned").len(), 0);

    // A second cleaning finds newer values only in what is dirty, and cleans all before again.
    put(&log, &[("a", Some("a5"))]);
    roll(&log);
    assert_eq!(clean(&log, end, NOW).0, 13);
    let expected = [
        record(9, "b", Some("b4")),
        record(10, "c", Some("c")),
        record(11, "filler", Some("f")),
        record(12, "a", Some("a5")),
        record(13, "filler", Some("f")),
    ];
    assert_eq!(kept(&log), expected, "the filler at 11 is replaced by one that is not cleaned yet");
    for again in [reopen_clean(&log, dir.path()).0, reopen_killed(&log, dir.path()).0] {
        assert_eq!(kept(&again), expected);
    }
}

#[test]
fn tombstones_stay_until_the_horizon_that_their_first_cleaning_sets() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { delete_retention_ms: DAY, ..compacted() });
    put(&log, &[("a", Some("1")), ("a", None), ("b", Some("2"))]);
    roll(&log);
    let end = clean(&log, 0, NOW + 5).0;
    let horizon = |log: &Log| {
        let all = all_bytes(log);
        let found =
            all.iter().flat_map(|bytes| batches(bytes)).map(|batch| batch.unwrap().header().delete_horizon_ms());
        found.collect::<Vec<_>>()
    };
    assert_eq!(horizon(&log), [Some(NOW + 5 + DAY), None, None]);
    let with_tombstone = [record(1, "a", None), record(2, "b", Some("2")), record(3, "filler", Some("f"))];
    assert_eq!(kept(&log), with_tombstone);
    let batch = all_bytes(&log)[0].clone();
    let mut unused = Vec::new();
    let first = RecordBatch::new(&batch).unwrap().0.records(&mut unused, 0).unwrap().next().unwrap().unwrap();
    assert_eq!(first.timestamp, NOW, "counted from the horizon now");
    let end = clean(&log, end, NOW + DAY).0;
    assert_eq!(kept(&log), with_tombstone, "not yet");
    assert_eq!(horizon(&log)[0], Some(NOW + 5 + DAY), "a later cleaning does not move it");
    put(&log, &[("d", Some("4"))]);
    roll(&log);
    clean(&log, end, NOW + 5 + DAY);
    assert_eq!(kept(&log)[0], record(2, "b", Some("2")));
}

#[test]
fn records_without_a_key_go() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &compacted());
    put_batch(&log, &keyed(BatchOptions::default(), NOW, &[(None, Some("x")), (Some("a"), Some("1"))]));
    roll(&log);
    let (_, stats) = clean(&log, 0, NOW);
    assert_eq!((kept(&log)[0].clone(), stats.keyless), (record(1, "a", Some("1")), 1));
    assert_eq!(shape(&log)[0], (0, 1, 1), "the batch keeps its offsets");
}

fn in_transaction(producer: i64, epoch: i16, sequence: i32) -> BatchOptions {
    BatchOptions { transactional: true, ..idempotent(producer, epoch, sequence) }
}

fn idempotent(producer: i64, epoch: i16, sequence: i32) -> BatchOptions {
    BatchOptions {
        producer_id: ProducerId(producer),
        producer_epoch: epoch,
        base_sequence: sequence,
        ..BatchOptions::default()
    }
}

fn aborted(log: &Log) -> Vec<(i64, i64)> {
    let found = log.aborted_transactions(Offset(0)..log.log_end_offset()).unwrap();
    found.iter().map(|one| (one.first_offset.0, one.last_offset.0)).collect()
}

/// Goal: what was rolled back goes and hides nothing; its marker and index entry stay as long as a batch of it does.
#[test]
fn aborted_records_go_and_are_no_newer_values() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { delete_retention_ms: DAY, ..compacted() });
    put(&log, &[("a", Some("committed"))]);
    put_batch(&log, &keyed(in_transaction(7, 0, 0), NOW, &[(Some("a"), Some("rolled back"))]));
    end_transaction(&log, 7, 0, false);
    put_batch(&log, &keyed(in_transaction(8, 0, 0), NOW, &[(Some("b"), Some("1"))]));
    end_transaction(&log, 8, 0, true);
    put_batch(&log, &keyed(in_transaction(8, 0, 1), NOW, &[(Some("b"), Some("2"))]));
    end_transaction(&log, 8, 0, true);
    roll(&log);
    let end = clean(&log, 0, NOW).0;
    let expected = [record(0, "a", Some("committed")), record(5, "b", Some("2")), record(7, "filler", Some("f"))];
    assert_eq!(kept(&log), expected);
    // The batch at 1 is the last of its producer: it stays without records, and with it the marker and its entry.
    assert_eq!(shape(&log), [(0, 0, 1), (1, 1, 0), (2, 2, 1), (4, 4, 1), (5, 5, 1), (6, 6, 1), (7, 7, 1)]);
    assert_eq!(aborted(&log), [(1, 2)]);

    // Producers that are forgotten need no batch; the markers wait for their time.
    assert_eq!(log.expire_producers(NOW + 10 * DAY).unwrap(), 2);
    let end = clean(&log, end, NOW).0;
    assert_eq!(shape(&log), [(0, 0, 1), (2, 2, 1), (4, 4, 1), (5, 5, 1), (6, 6, 1), (7, 7, 1)]);
    assert_eq!(aborted(&log), [(1, 2)], "found with its batch");
    roll(&log);
    let end = clean(&log, end, NOW + DAY - 1).0;
    assert_eq!(shape(&log)[1], (2, 2, 1));
    assert_eq!(aborted(&log), []);
    roll(&log);
    clean(&log, end, NOW + DAY + DAY);
    assert_eq!(kept(&log)[..2], expected[..2]);
    let left: Vec<i64> = shape(&log).iter().map(|(base, ..)| *base).collect();
    assert_eq!(left[..3], [0, 5, 6], "the second marker of 8 has a record still");
    for again in [reopen_clean(&log, dir.path()).0, reopen_killed(&log, dir.path()).0] {
        assert_eq!((kept(&again), aborted(&again)), (kept(&log), vec![]));
    }
}

#[test]
fn producers_go_on_with_their_sequence_when_the_log_is_all_that_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &compacted());
    put_batch(&log, &keyed(idempotent(7, 3, 0), NOW, &[(Some("a"), Some("1")), (Some("b"), Some("1"))]));
    put_batch(&log, &keyed(idempotent(7, 3, 2), NOW, &[(Some("a"), Some("2")), (Some("a"), Some("3"))]));
    put(&log, &[("a", Some("4")), ("b", Some("4"))]);
    roll(&log);
    clean(&log, 0, NOW);
    assert_eq!(shape(&log)[0], (2, 3, 0), "the last batch of the producer, without records");
    log.close(crate::log::CloseMode::Sync).unwrap();
    for name in names(&log.dir(), ".snapshot") {
        std::fs::remove_file(log.dir().join(name)).unwrap();
    }
    let (log, _) = Log::open(crate::log::test_support::options(dir.path(), &log.config())).unwrap();
    let again = keyed(idempotent(7, 3, 2), NOW, &[(Some("a"), Some("2")), (Some("a"), Some("3"))]);
    assert_eq!(append(&log, &again).unwrap().first_offset, Offset(2), "known as a repetition");
    assert!(append(&log, &keyed(idempotent(7, 3, 5), NOW, &[(Some("a"), Some("6"))])).is_err(), "a gap");
    append(&log, &keyed(idempotent(7, 3, 4), NOW, &[(Some("a"), Some("5"))])).unwrap();
}

#[test]
fn batches_keep_codec_timestamp_type_and_offsets() {
    for codec in Codec::ALL {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = open(dir.path(), &compacted());
        let records = [(Some("a"), Some("1")), (Some("b"), Some("1")), (Some("c"), Some("1"))];
        let compression = Compression::new(codec);
        let append_time = BatchOptions { compression, log_append_time: Some(NOW + 9), ..BatchOptions::default() };
        put_batch(&log, &keyed(append_time, NOW, &records));
        put_batch(&log, &keyed(BatchOptions { compression, ..BatchOptions::default() }, NOW, &records));
        put(&log, &[("a", Some("2"))]);
        roll(&log);
        let before = RecordBatch::new(&all_bytes(&log)[0]).unwrap().0.header().attributes;
        clean(&log, 0, NOW);
        let all = all_bytes(&log);
        let header = *RecordBatch::new(&all[0]).unwrap().0.header();
        assert_eq!((header.attributes.codec().unwrap(), header.record_count), (codec, 2), "{codec}");
        assert_eq!((header.base_offset, header.last_offset()), (Offset(3), Offset(5)));
        assert_eq!(header.attributes, before.with_timestamp_type(header.attributes.timestamp_type()));
    }
}

#[test]
fn append_time_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &compacted());
    let options = BatchOptions { log_append_time: Some(NOW + 9), ..BatchOptions::default() };
    let bytes = keyed(options, NOW, &[(Some("a"), Some("1")), (Some("b"), None), (Some("a"), Some("2"))]);
    put_batch(&log, &bytes);
    roll(&log);
    let time = |log: &Log| {
        let bytes = all_bytes(log)[0].clone();
        let header = *RecordBatch::new(&bytes).unwrap().0.header();
        (header.attributes.timestamp_type(), header.max_timestamp)
    };
    let before = time(&log);
    clean(&log, 0, NOW);
    assert_eq!(shape(&log)[0], (0, 2, 2));
    assert_eq!(time(&log), before);
}

#[test]
fn what_is_open_young_or_not_committed_is_not_cleaned() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { segment_bytes: 80, ..compacted() });
    put(&log, &[("a", Some("0")), ("a", Some("1")), ("a", Some("2")), ("a", Some("3"))]);
    assert_eq!(log.segment_count(), 4);
    let end = |log: &Log, now_ms| log.cleanable(None, now_ms).unwrap().first_uncleanable.0;
    assert_eq!(end(&log, NOW), 3, "the active segment");
    log.set_high_watermark(Offset(2));
    assert_eq!(end(&log, NOW), 2);
    commit(&log);
    append(&log, &keyed(in_transaction(7, 0, 0), NOW, &[(Some("b"), Some("x"))])).unwrap();
    commit(&log);
    put(&log, &[("a", Some("5")), ("a", Some("6"))]);
    assert_eq!(end(&log, NOW), 4, "the open transaction");
    end_transaction(&log, 7, 0, true);
    assert_eq!(end(&log, NOW), 7);

    log.set_config(LogConfig { min_compaction_lag_ms: 100, ..(*log.config()).clone() }.into());
    let young = log.cleanable(None, NOW + 99).unwrap();
    assert_eq!((young.first_uncleanable.0, young.cleanable_bytes), (0, 0));
    assert_eq!(end(&log, NOW + 100), 7);
}

#[test]
fn a_log_is_due_by_its_dirty_ratio_or_its_age() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { segment_bytes: 80, ..compacted() });
    put(&log, &[("a", Some("0")), ("b", Some("1")), ("c", Some("2")), ("d", Some("3")), ("e", Some("4"))]);
    let due = |log: &Log, from: i64, now_ms: i64| {
        let cleanable = log.cleanable(Some(Offset(from)), now_ms).unwrap();
        (cleanable.dirty_ratio(), cleanable.is_due(&log.config()))
    };
    assert_eq!(due(&log, 0, NOW), (1.0, true));
    assert_eq!(due(&log, 2, NOW), (0.5, false), "more than the half is asked for");
    assert_eq!(due(&log, 1, NOW), (0.75, true));
    assert_eq!(due(&log, 4, NOW), (0.0, false));
    log.set_config(LogConfig { max_compaction_lag_ms: 1000, ..(*log.config()).clone() }.into());
    assert!(!due(&log, 3, NOW + 1000).1);
    assert!(due(&log, 3, NOW + 1001).1, "too old to wait");
    assert!(!due(&log, 4, NOW + 1001).1, "nothing to do, however old");
}

#[test]
fn a_checkpoint_outside_of_the_log_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { segment_bytes: 80, ..compacted() });
    put(&log, &[("a", Some("0")), ("b", Some("1")), ("c", Some("2")), ("d", Some("3"))]);
    log.raise_log_start_offset(Offset(2)).unwrap();
    for (checkpoint, first_dirty, was_reset) in
        [(None, 2, false), (Some(2), 2, false), (Some(1), 2, true), (Some(4), 4, false), (Some(5), 2, true)]
    {
        let cleanable = log.cleanable(checkpoint.map(Offset), NOW).unwrap();
        assert_eq!((cleanable.first_dirty.0, cleanable.was_reset), (first_dirty, was_reset), "{checkpoint:?}");
    }
}

#[test]
fn segments_become_one_as_far_as_they_fit() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { segment_bytes: 80, ..compacted() });
    for at in 0..9 {
        put(&log, &[(&format!("{at}"), Some("x"))]);
    }
    let size = log.size_bytes() / 9;
    let resized = |bytes: u64| LogConfig { segment_bytes: bytes as u32, ..compacted() };
    log.set_config(resized(3 * size).into());
    clean(&log, 0, NOW);
    assert_eq!(log.segment_count(), 4, "three of three, and the active one of one");
    assert_eq!(kept(&log).len(), 9);
    log.set_config(resized(3 * size + 1).into());
    clean(&log, 0, NOW);
    assert_eq!(log.segment_count(), 4);
    log.set_config(LogConfig { segment_index_bytes: 8, ..resized(1 << 20) }.into());
    clean(&log, 0, NOW);
    assert_eq!(log.segment_count(), 4, "each has an entry in its time index, of 12 bytes");
    log.set_config(resized(1 << 20).into());
    clean(&log, 0, NOW);
    assert_eq!((log.segment_count(), kept(&log).len()), (2, 9));
}

/// Goal: a segment's offsets fit its indexes. Method: two segments whose offsets are further apart than that.
#[test]
fn a_segment_spans_no_more_offsets_than_its_indexes_can_tell() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &compacted());
    let far = i64::from(i32::MAX) + 10;
    let at = |offset: i64| {
        let options = BatchOptions { base_offset: Offset(offset), ..BatchOptions::default() };
        keyed(options, NOW, &[(Some(&format!("{offset}")), Some("x"))])
    };
    for offset in [0, 5, far, far + 1] {
        log.append_as_follower(&at(offset), NOW).unwrap();
    }
    commit(&log);
    roll(&log);
    clean(&log, 0, NOW);
    assert_eq!(kept(&log).len(), 5);
    assert_eq!(names(&log.dir(), ".log").len(), 3, "{:?}", names(&log.dir(), ".log"));
}

#[test]
fn a_small_map_takes_several_cleanings() {
    let run = |bytes: usize| {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = open(dir.path(), &compacted());
        for round in 0..4 {
            for key in 0..20 {
                put(&log, &[(&format!("{key}"), Some(&format!("{round}")))]);
            }
        }
        roll(&log);
        let (mut from, mut rounds) = (0, 0);
        while from < log.log_end_offset().0 - 1 {
            let cleaned = try_clean(&log, from, &CleanOptions { dedupe_buffer_bytes: bytes, ..options(NOW) });
            let end = cleaned.result.unwrap().0;
            assert!(end > from, "each cleaning gets on");
            (from, rounds) = (end, rounds + 1);
        }
        (kept(&log), rounds)
    };
    let (expected, rounds) = run(1 << 20);
    assert_eq!((expected.len(), rounds), (21, 1));
    for keys in [1, 3, 7, 30] {
        let (found, rounds) = run(keys * 24);
        assert_eq!(found, expected, "{keys} keys at once");
        assert!(keys == 30 || rounds > 1);
    }
}

#[test]
fn a_map_that_is_full_within_a_batch_goes_on_there() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &compacted());
    let records: Vec<(Option<&str>, Option<&str>)> =
        ["a", "b", "c", "a", "d", "b"].iter().map(|key| (Some(*key), Some("x"))).collect();
    put_batch(&log, &keyed(BatchOptions::default(), NOW, &records));
    roll(&log);
    let mut from = 0;
    while from < 6 {
        let cleaned = try_clean(&log, from, &CleanOptions { dedupe_buffer_bytes: 3 * 24, ..options(NOW) });
        let end = cleaned.result.unwrap().0;
        assert!(end > from);
        from = end;
    }
    let offsets: Vec<i64> = kept(&log).iter().map(|(offset, ..)| *offset).collect();
    assert_eq!(offsets, [2, 3, 4, 5, 6]);
}

/// A message of magic 1, or of magic 0 without a timestamp.
fn old_message(magic: u8, offset: i64, key: Option<&str>, value: Option<&str>) -> Vec<u8> {
    let mut body = vec![magic, 0];
    if magic == 1 {
        body.extend(NOW.to_be_bytes());
    }
    for part in [key, value] {
        body.extend(part.map_or(-1, |part| part.len() as i32).to_be_bytes());
        body.extend(part.unwrap_or_default().as_bytes());
    }
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    let size = body.len() as i32 + 4;
    [&offset.to_be_bytes()[..], &size.to_be_bytes(), &crc.sum().to_be_bytes(), &body].concat()
}

#[test]
fn messages_of_old_formats_become_batches() {
    for magic in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        let segment = dir.path().join("topic-0");
        std::fs::create_dir_all(&segment).unwrap();
        let messages = [("a", Some("1")), ("a", Some("2")), ("b", Some("1")), ("b", None)];
        let bytes: Vec<u8> = (0..)
            .zip(messages)
            .flat_map(|(offset, (key, value))| old_message(magic, offset, Some(key), value))
            .chain(old_message(magic, 4, None, Some("no key")))
            .collect();
        std::fs::write(segment.join("00000000000000000000.log"), bytes).unwrap();
        let (log, _) = open(dir.path(), &LogConfig { delete_retention_ms: DAY, ..compacted() });
        commit(&log);
        roll(&log);
        let (end, stats) = clean(&log, 0, NOW);
        assert_eq!(stats.keyless, 1);
        assert_eq!(kept(&log)[..2], [record(1, "a", Some("2")), record(3, "b", None)]);
        let all = all_bytes(&log);
        let headers: Vec<_> =
            all.iter().flat_map(|bytes| batches(bytes)).map(|batch| *batch.unwrap().header()).collect();
        assert_eq!((headers[0].base_offset, headers[0].last_offset_delta), (Offset(1), 0));
        assert_eq!(headers[1].delete_horizon_ms(), Some(NOW + DAY), "from here on as all tombstones");
        roll(&log);
        clean(&log, end, NOW + DAY);
        assert_eq!(kept(&log)[1].0, 5, "the tombstone's time has come");
    }
}

#[test]
fn a_damaged_batch_is_never_cleaned_into_a_sound_one() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &compacted());
    put(&log, &[("a", Some("first")), ("a", Some("second"))]);
    roll(&log);
    let file = log.dir().join("00000000000000000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let cleaned = try_clean(&log, 0, &options(NOW));
    assert!(matches!(cleaned.result, Err(CleanError::Record { .. })), "{:?}", cleaned.result);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    assert_eq!(names(&log.dir(), ".cleaned").len(), 0);
}

#[test]
fn an_interrupted_cleaning_leaves_the_log_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &compacted());
    for _ in 0..6 {
        put(&log, &[("a", Some("x")), ("b", Some("y"))]);
    }
    roll(&log);
    let (before, files) = (kept(&log), names(&log.dir(), ""));
    let cleanable = log.cleanable(None, NOW).unwrap();
    let mut steps = 0;
    loop {
        let mut left = steps;
        let cleaned = log.clean(&cleanable, &options(NOW), &mut |_| {
            left -= 1;
            if left < 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        remove_all(&cleaned.deleted);
        match cleaned.result {
            Ok(_) => break,
            Err(error) => assert!(is_interrupted(&error)),
        }
        if cleaned.stats.segments == (0, 0) {
            assert_eq!((kept(&log), names(&log.dir(), "")), (before.clone(), files.clone()), "step {steps}");
        }
        steps += 1;
    }
    assert!(steps > 20);
    assert_eq!(kept(&log), [record(10, "a", Some("x")), record(11, "b", Some("y")), record(12, "filler", Some("f"))]);
}

/// Goal: who was reading a segment goes on in it. Method: hold segments and a position over two cleanings.
#[test]
fn readers_of_old_segments_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &compacted());
    put(&log, &[("a", Some("1")), ("a", Some("2")), ("a", Some("3"))]);
    roll(&log);
    let held = log.view().segments[0].clone();
    let config = log.config();
    let bytes = std::fs::read(log.dir().join("00000000000000000000.log")).unwrap();
    let end = clean(&log, 0, NOW).0;
    put(&log, &[("b", Some("1"))]);
    roll(&log);
    clean(&log, end, NOW);
    held.close_files().unwrap();
    let batch = held.find(1, &config).unwrap().unwrap();
    assert_eq!(batch.base_offset, 1);
    let mut found = Vec::new();
    held.file().unwrap().read_append(&mut found, bytes.len(), 0).unwrap();
    assert_eq!(found, bytes);
    assert!(held.examine_now(&config).is_err(), "its indexes' names are another's");
    assert_eq!(kept(&log)[0], record(2, "a", Some("3")));
}

#[test]
fn a_log_that_was_cut_meanwhile_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &LogConfig { segment_bytes: 80, ..compacted() });
    put(&log, &[("a", Some("1")), ("a", Some("2")), ("a", Some("3")), ("a", Some("4"))]);
    let cleanable = log.cleanable(None, NOW).unwrap();
    log.raise_log_start_offset(Offset(2)).unwrap();
    let mut retained = None;
    let cleaned = log.clean(&cleanable, &options(NOW), &mut |_| {
        retained.get_or_insert_with(|| log.apply_retention(NOW).unwrap());
        ControlFlow::Continue(())
    });
    assert!(matches!(cleaned.result, Err(CleanError::Changed | CleanError::Storage(_))), "{:?}", cleaned.result);
    assert_eq!(kept(&log).len(), 2);
    assert_eq!(names(&log.dir(), ".cleaned").len() + names(&log.dir(), ".swap").len(), 0);
}

/// Goal: who looks for something to clean and who changes the log never wait for each other without end. Method: both at once, over and
/// over; threads of their own, so that a deadlock fails the test.
#[test]
fn looking_for_dirt_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(open(dir.path(), &compacted()).0);
    let (looked, done) = mpsc::channel();
    let (changer, looker) = (Arc::downgrade(&log), Arc::clone(&log));
    thread::spawn(move || {
        while let Some(log) = changer.upgrade() {
            drop(log.view_mut());
        }
    });
    thread::spawn(move || {
        for _ in 0..100_000 {
            looker.cleanable(None, NOW).unwrap();
        }
        looked.send(()).unwrap();
    });
    drop(log);
    done.recv_timeout(Duration::from_secs(60)).unwrap();
}
