//! Damaged and contradicting files under a broker: nothing is lost, deleted or served wrong in silence. What is wrong is named.
//!
//! A full disk is the subject of the tests of failing disks, directories that Kafka left that of `recorded_directories.rs`,
//! offsets committed in transactions and kills that of `crash_transactions.rs`, every byte of every file that of `src/log/tests/bytes.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_rs::protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_rs::protocol::messages::{DeleteRecordsRequest, FetchRequest};
use kafka_rs::record::{BatchBuilder, BatchOptions, NewRecord, batches};
use kafka_rs::types::ProducerId;
use support::{Broker, wait_for};
use tempfile::TempDir;
use wire::{Wire, batch_of};

const SEGMENT: &[(&str, &str)] = &[("segment.bytes", "1048576"), ("index.interval.bytes", "4096")];
/// A broker that keeps what is there, however old it is.
const SETTINGS: &[&str] = &["log.retention.ms=-1"];
/// Records of 50 kB, a batch each: some twenty to a segment.
const RECORDS: usize = 60;

fn value(number: usize) -> Vec<u8> {
    let mut value = format!("{number} ").into_bytes();
    value.resize(50_000, b'a' + (number % 26) as u8);
    value
}

/// How the broker before the damage ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Stopped,
    Killed,
}

fn end(broker: Broker, how: End) {
    match how {
        End::Stopped => drop(broker.stop()),
        End::Killed => broker.kill(),
    }
}

/// A directory with a topic `t` of several segments, left by a broker.
fn filled(how: End) -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start_in(data.path(), SETTINGS);
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 1, SEGMENT);
    for number in 0..RECORDS {
        assert_eq!(wire.produce("t", 0, Some(batch_of(&[value(number)]))).unwrap().error_code, 0);
    }
    end(broker, how);
    assert!(files(data.path(), "log").len() >= 3);
    data
}

fn partition(data: &Path) -> PathBuf {
    data.join("t-0")
}

/// The files of the partition with this extension, in the order of their offsets.
fn files(data: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(partition(data)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    paths
}

fn base_offset(segment: &Path) -> usize {
    segment.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

fn flip(path: &Path, position: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[position] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// One fetch: the error, and the offsets and values of the records from `offset` on.
fn fetch(wire: &mut Wire, offset: usize) -> (ErrorCode, Vec<(usize, Bytes)>) {
    let id = wire.topic_id("t");
    let wanted = FetchPartition { fetch_offset: offset as i64, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic_id: id, partitions: vec![wanted], ..Default::default() };
    let answer = wire.call(&FetchRequest { max_wait_ms: 0, topics: vec![topic], ..Default::default() }, 17).unwrap();
    let answer = &answer.responses[0].partitions[0];
    let records = answer.records.clone().unwrap_or_default();
    let mut found = Vec::new();
    for batch in batches(&records).map_while(Result::ok) {
        batch.verify_crc().unwrap();
        for record in batch.owned_records(&records, 1 << 28).unwrap() {
            let record = record.unwrap();
            found.push((record.offset.get() as usize, record.value.unwrap()));
        }
    }
    (ErrorCode::from_code(answer.error_code), found)
}

/// Reads all that there is from `from` on, as a consumer that steps over what is refused; gives the offsets that are refused or missing.
fn lost(wire: &mut Wire, from: usize, to: usize) -> (Vec<usize>, Vec<usize>) {
    let (mut refused, mut missing, mut next) = (Vec::new(), Vec::new(), from);
    while next < to {
        let (error, found) = fetch(wire, next);
        if error == ErrorCode::CorruptMessage {
            refused.push(next);
            next += 1;
            continue;
        }
        assert_eq!(error, ErrorCode::None, "at offset {next}");
        assert!(!found.is_empty(), "reading stands still at offset {next}");
        for (offset, found) in found {
            missing.extend(next..offset);
            assert_eq!(found, value(offset), "offset {offset}");
            next = offset + 1;
        }
    }
    (refused, missing)
}

/// Starts a broker that must refuse; gives what it says.
fn refused(data: &Path, settings: &[&str]) -> String {
    let output = data.with_extension("output");
    let file = fs::File::create(&output).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-rs"));
    command.arg("server-start").args(["--override", "listeners=PLAINTEXT://127.0.0.1:0"]);
    let log_dirs = format!("log.dirs={}", data.display());
    for setting in settings.iter().copied().chain([log_dirs.as_str()]) {
        command.args(["--override", setting]);
    }
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let mut child = command.spawn().unwrap();
    let ended = wait_for("the broker to refuse", Duration::from_secs(20), || {
        let ended = child.try_wait().unwrap();
        if ended.is_none() && fs::read_to_string(&output).unwrap().contains("listening") {
            child.kill().unwrap();
        }
        ended
    });
    let said = fs::read_to_string(&output).unwrap();
    fs::remove_file(output).unwrap();
    assert_eq!(ended.code(), Some(1), "{said}");
    said
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn crc_flip_in_an_old_segment() {
    for how in [End::Killed, End::Stopped] {
        let data = filled(how);
        let segment = files(data.path(), "log")[1].clone();
        flip(&segment, 120_000);
        let size = fs::metadata(&segment).unwrap().len();
        let broker = Broker::start_in(data.path(), SETTINGS);
        let mut wire = Wire::connect(broker.address());
        let (refused, missing) = lost(&mut wire, 0, RECORDS);
        assert_eq!(refused, [base_offset(&segment) + 2], "{how:?}: the third batch of the segment");
        assert_eq!(missing, [0; 0]);
        let said = broker.output();
        let line = said.lines().find(|line| line.contains(&name(&segment)) && line.contains("wrong checksum"));
        assert!(line.is_some_and(|line| line.contains(&refused[0].to_string())), "{how:?}: {said}");
        assert_eq!(fs::metadata(&segment).unwrap().len(), size, "what is there stays");
    }
}

#[test]
fn torn_tail_behind_a_clean_stop_marker() {
    let data = filled(End::Stopped);
    let segment = files(data.path(), "log").pop().unwrap();
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 1]).unwrap();
    let broker = Broker::start_in(data.path(), SETTINGS);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(lost(&mut wire, 0, RECORDS - 1), (vec![], vec![]));
    assert_eq!(fetch(&mut wire, RECORDS - 1), (ErrorCode::None, vec![]));
    let said = broker.output();
    assert!(said.contains("torn write") && said.contains(&name(&segment)), "{said}");
    assert_eq!(wire.produce("t", 0, Some(batch_of(&["next"]))).unwrap().base_offset, RECORDS as i64 - 1);
}

#[test]
fn emptied_or_missing_middle_segment() {
    for how in [End::Killed, End::Stopped] {
        for missing in [false, true] {
            let data = filled(how);
            let segments = files(data.path(), "log");
            if missing {
                fs::remove_file(&segments[1]).unwrap();
            } else {
                fs::write(&segments[1], b"").unwrap();
            }
            let hole = base_offset(&segments[1])..base_offset(&segments[2]);
            let broker = Broker::start_in(data.path(), SETTINGS);
            let mut wire = Wire::connect(broker.address());
            assert_eq!(lost(&mut wire, 0, RECORDS), (vec![], hole.clone().collect()), "{how:?}");
            let line = format!("offsets {} up to {} are missing", hole.start, hole.end);
            assert!(broker.output().contains(&line), "{how:?}, missing {missing}: {}", broker.output());
        }
    }
}

#[test]
fn segment_that_is_gone_with_all_its_files() {
    let data = filled(End::Stopped);
    let segments = files(data.path(), "log");
    let stem = segments[1].file_stem().unwrap().to_owned();
    for entry in fs::read_dir(partition(data.path())).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem() == Some(&stem) {
            fs::remove_file(path).unwrap();
        }
    }
    let broker = Broker::start_in(data.path(), SETTINGS);
    let mut wire = Wire::connect(broker.address());
    let hole = base_offset(&segments[1])..base_offset(&segments[2]);
    assert_eq!(lost(&mut wire, 0, RECORDS), (vec![], hole.collect()));
    let said = broker.output();
    assert!(said.contains("offsets are missing behind a segment") && said.contains(&name(&segments[0])), "{said}");
}

#[test]
fn crc_flip_in_the_metadata_log() {
    let data = filled(End::Stopped);
    let log = data.path().join("__cluster_metadata-0/00000000000000000000.log");
    let good = fs::read(&log).unwrap();
    flip(&log, good.len() / 2);
    let said = refused(data.path(), SETTINGS);
    assert!(said.contains("__cluster_metadata-0") && said.contains("offset"), "{said}");
    fs::write(&log, good).unwrap();
    let broker = Broker::start_in(data.path(), SETTINGS);
    assert_eq!(lost(&mut Wire::connect(broker.address()), 0, RECORDS), (vec![], vec![]));
}

#[test]
fn closed_segments_indexes_random_zeroed_shifted_missing() {
    let data = filled(End::Stopped);
    let mut random = fastrand::Rng::with_seed(3);
    for kind in ["random", "zeroed", "shifted", "missing"] {
        for extension in ["index", "timeindex"] {
            for path in files(data.path(), extension) {
                let mut bytes = fs::read(&path).unwrap();
                match kind {
                    "random" => bytes.iter_mut().for_each(|byte| *byte = random.u8(..)),
                    "zeroed" => bytes.fill(0),
                    "shifted" if bytes.len() > 4 => bytes.rotate_left(4),
                    "shifted" => {}
                    _ => {
                        fs::remove_file(path).unwrap();
                        continue;
                    }
                }
                fs::write(path, bytes).unwrap();
            }
        }
        let broker = Broker::start_in(data.path(), SETTINGS);
        let mut wire = Wire::connect(broker.address());
        for offset in (0..RECORDS).rev() {
            let (error, found) = fetch(&mut wire, offset);
            assert_eq!((error, found[0].0), (ErrorCode::None, offset), "{kind}");
        }
        assert_eq!(lost(&mut wire, 0, RECORDS), (vec![], vec![]), "{kind}");
        end(broker, End::Stopped);
    }
}

/// A batch of an idempotent producer.
fn numbered(sequence: i32, timestamp: i64) -> Bytes {
    let options = BatchOptions {
        producer_id: ProducerId(77),
        producer_epoch: 0,
        base_sequence: sequence,
        ..BatchOptions::default()
    };
    let mut batch = BatchBuilder::new(options);
    batch.append(&NewRecord { timestamp, value: Some(b"once"), ..Default::default() }).unwrap();
    batch.build().unwrap()
}

#[test]
fn producer_snapshots_deleted_and_producers_with_old_timestamps() {
    for how in [End::Stopped, End::Killed] {
        let data = tempfile::tempdir().unwrap();
        let broker = Broker::start_in(data.path(), SETTINGS);
        let mut wire = Wire::connect(broker.address());
        wire.create_topic("t", 1, &[("message.timestamp.before.max.ms", "9223372036854775807")]);
        for sequence in 0..4 {
            // Records of 1970, appended now.
            assert_eq!(wire.produce("t", 0, Some(numbered(sequence, 1000))).unwrap().base_offset, i64::from(sequence));
        }
        end(broker, how);
        for deleted in [false, true] {
            if deleted {
                files(data.path(), "snapshot").iter().for_each(|path| fs::remove_file(path).unwrap());
            }
            let broker = Broker::start_in(data.path(), SETTINGS);
            let mut wire = Wire::connect(broker.address());
            let again = wire.produce("t", 0, Some(numbered(3, 1000))).unwrap();
            assert_eq!(
                (again.error_code, again.base_offset),
                (0, 3),
                "{how:?}, deleted {deleted}: a duplicate is known"
            );
            let gap = wire.produce("t", 0, Some(numbered(9, 1000))).unwrap();
            assert_eq!(ErrorCode::from_code(gap.error_code), ErrorCode::OutOfOrderSequenceNumber, "{how:?}");
            let told = broker.output().contains("no snapshot of producers");
            assert_eq!(told, deleted && how == End::Stopped, "{how:?}, deleted {deleted}: {}", broker.output());
            end(broker, how);
        }
    }
}

#[test]
fn partition_metadata_missing_or_of_another_topic_id() {
    for content in [None, Some("version: 0\ntopic_id: bjGwNgWETO-_bR8751RN5A")] {
        let data = filled(End::Stopped);
        let file = partition(data.path()).join("partition.metadata");
        match content {
            None => fs::remove_file(&file).unwrap(),
            Some(content) => fs::write(&file, content).unwrap(),
        }
        let broker = Broker::start_in(data.path(), SETTINGS);
        let mut wire = Wire::connect(broker.address());
        assert_eq!(wire.produce("t", 0, Some(batch_of(&["first"]))).unwrap().base_offset, 0, "an empty log begins");
        let names =
            || fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let stray = names().find(|name| name.starts_with("t-0.") && name.ends_with("-stray")).unwrap();
        let kept = fs::read_dir(data.path().join(&stray)).unwrap().filter(|entry| {
            let entry = entry.as_ref().unwrap();
            entry.path().extension().is_some_and(|e| e == "log") && entry.metadata().unwrap().len() > 100_000
        });
        assert!(kept.count() >= 3, "the data is kept");
        let said = broker.output();
        assert!(said.lines().any(|line| line.contains("t-0") && line.contains(&stray)), "{said}");
    }
}

#[test]
fn garbage_in_what_can_be_found_again() {
    let data = filled(End::Stopped);
    for file in [
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "t-0/leader-epoch-checkpoint",
        "__cluster_metadata-0/quorum-state",
    ] {
        let path = data.path().join(file);
        fs::write(&path, "0\n1\ngarbage\n").unwrap();
        let broker = Broker::start_in(data.path(), SETTINGS);
        assert_eq!(lost(&mut Wire::connect(broker.address()), 0, RECORDS), (vec![], vec![]), "{file}");
        let said = broker.output();
        let line = if file.ends_with("quorum-state") { "line " } else { "3" };
        let told = said.lines().find(|line| line.contains(&name(&path)));
        assert!(told.is_some_and(|told| told.contains(line)), "{file}: {said}");
        end(broker, End::Stopped);
        assert!(!fs::read_to_string(&path).unwrap().contains("garbage"), "{file} is made anew");
    }
}

#[test]
fn garbage_in_what_can_not_be_found_again() {
    let data = filled(End::Stopped);
    for (file, line) in [("log-start-offset-checkpoint", ":3"), ("meta.properties", ":")] {
        let path = data.path().join(file);
        let good = fs::read(&path).unwrap();
        fs::write(&path, "0\n1\ngarbage\n").unwrap();
        let said = refused(data.path(), SETTINGS);
        assert!(said.contains(&format!("{file}{line}")), "{file}: {said}");
        fs::write(&path, good).unwrap();
    }
    let said = refused(data.path(), &["node.id=77", "controller.quorum.voters="]);
    assert!(said.contains("belongs to node 1") && said.contains(data.path().to_str().unwrap()), "{said}");
    fs::create_dir(data.path().join("lost+found")).unwrap();
    let broker = Broker::start_in(data.path(), SETTINGS);
    assert_eq!(lost(&mut Wire::connect(broker.address()), 0, RECORDS), (vec![], vec![]));
}

#[test]
fn log_start_beyond_the_log_end() {
    let data = filled(End::Stopped);
    let segments = files(data.path(), "log");
    let bytes: u64 = segments.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    fs::write(data.path().join("log-start-offset-checkpoint"), "0\n1\nt 0 1000\n").unwrap();
    let broker = Broker::start_in(data.path(), SETTINGS);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(wire.produce("t", 0, Some(batch_of(&["next"]))).unwrap().base_offset, 1000);
    let kept: u64 = files(data.path(), "kept").iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(kept, bytes, "nothing is deleted on such evidence");
    assert!(broker.output().contains("is behind the log end"), "{}", broker.output());
}

#[test]
fn log_start_checkpoint_missing() {
    for how in [End::Stopped, End::Killed] {
        let data = filled(End::Stopped);
        let broker = Broker::start_in(data.path(), SETTINGS);
        let mut wire = Wire::connect(broker.address());
        let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: 5, ..Default::default() }];
        let topics = vec![DeleteRecordsTopic { name: "t".into(), partitions, ..Default::default() }];
        let request = DeleteRecordsRequest { topics, timeout_ms: 10_000, ..Default::default() };
        assert_eq!(wire.call(&request, 2).unwrap().topics[0].partitions[0].low_watermark, 5);
        end(broker, End::Stopped);
        fs::remove_file(data.path().join("log-start-offset-checkpoint")).unwrap();
        if how == End::Killed {
            fs::remove_file(data.path().join(".kafka_cleanshutdown")).unwrap();
        }
        let broker = Broker::start_in(data.path(), SETTINGS);
        let mut wire = Wire::connect(broker.address());
        assert_eq!(fetch(&mut wire, 0).0, ErrorCode::OffsetOutOfRange, "{how:?}: deleted records stay deleted");
        assert_eq!(lost(&mut wire, 5, RECORDS), (vec![], vec![]));
        assert!(broker.output().contains("begins at 5"), "{how:?}: {}", broker.output());
    }
}

#[test]
fn second_broker_on_the_same_directory() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start_in(data.path(), SETTINGS);
    let said = refused(data.path(), SETTINGS);
    assert!(said.contains("in use by another broker") && said.contains(&broker.pid().to_string()), "{said}");
    assert!(Wire::connect(broker.address()).is_served());
}
