//! Several log directories, and disks that fail.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kafka_rs::protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_rs::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_rs::protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_rs::protocol::messages::{
    AlterReplicaLogDirsRequest, DescribeLogDirsRequest, DescribeLogDirsResponse, ListOffsetsRequest, MetadataRequest,
};
use support::{Broker, wait_for};
use wire::{Wire, batch_of};

const STORAGE_ERROR: i16 = 56;
const WITHIN: Duration = Duration::from_secs(20);

/// Two log directories in a temporary one.
struct Two {
    temp: tempfile::TempDir,
}

impl Two {
    fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn setting(&self) -> String {
        format!("log.dirs={},{}", self.path("a").display(), self.path("b").display())
    }

    fn start(&self) -> Broker {
        Broker::start_through(&[], &[&self.setting()])
    }
}

/// The partitions of a topic, by the name of the directory that each is in.
fn placed(data: &Path, topic: &str, partitions: i32) -> Vec<&'static str> {
    let is_in = |name: &str, partition: i32| data.join(name).join(format!("{topic}-{partition}")).is_dir();
    (0..partitions)
        .map(|partition| match (is_in("a", partition), is_in("b", partition)) {
            (true, false) => "a",
            (false, true) => "b",
            other => panic!("{topic}-{partition} is in both or none: {other:?}"),
        })
        .collect()
}

fn partitions_of(wire: &mut Wire, topic: &str) -> Vec<MetadataResponsePartition> {
    let topics = vec![kafka_rs::protocol::messages::metadata_request::MetadataRequestTopic {
        name: Some(topic.into()),
        ..Default::default()
    }];
    let request = MetadataRequest { topics: Some(topics), ..Default::default() };
    let mut partitions = wire.call(&request, 12).unwrap().topics.remove(0).partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    partitions
}

fn log_dirs(wire: &mut Wire) -> DescribeLogDirsResponse {
    wire.call(&DescribeLogDirsRequest { topics: None, ..Default::default() }, 4).unwrap()
}

fn end_offset(wire: &mut Wire, topic: &str, partition: i32) -> (i16, i64) {
    let wanted = ListOffsetsPartition {
        partition_index: partition,
        timestamp: -1,
        current_leader_epoch: -1,
        ..Default::default()
    };
    let topic = ListOffsetsTopic { name: topic.into(), partitions: vec![wanted], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let answer = wire.call(&request, 7).unwrap().topics.remove(0).partitions.remove(0);
    (answer.error_code, answer.offset)
}

/// Stops a broker cleanly.
fn stop(broker: Broker) {
    const BY_SIGNAL: i32 = 143;
    assert_eq!(broker.stop().code(), Some(BY_SIGNAL));
}

fn write(wire: &mut Wire, topic: &str, partition: i32, value: &str) -> i16 {
    wire.produce(topic, partition, Some(batch_of(&[value]))).unwrap().error_code
}

/// Goal: a directory that is away at a start costs its own partitions only, and these are as they were when it is back.
#[test]
fn a_directory_that_is_away_keeps_what_is_in_it() {
    let two = Two::new();
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 6, &[]);
    let places = placed(two.temp.path(), "t", 6);
    assert!(places.contains(&"a") && places.contains(&"b"), "{places:?}");
    for partition in 0..6 {
        assert_eq!(write(&mut wire, "t", partition, "kept"), 0);
    }
    stop(broker);

    // No directory, but a file: as a mount that has gone wrong.
    std::fs::rename(two.path("b"), two.path("away")).unwrap();
    std::fs::write(two.path("b"), "").unwrap();
    let broker = two.start();
    let said = broker.output();
    assert_eq!(said.matches("log directory").count(), 1, "one line, and not one per partition: {said}");
    assert!(said.contains(&format!("log directory {} has failed", two.path("b").display())), "{said}");
    let mut wire = Wire::connect(broker.address());
    for (partition, found) in partitions_of(&mut wire, "t").iter().enumerate() {
        let is_away = places[partition] == "b";
        assert_eq!(found.leader_id, if is_away { -1 } else { 1 }, "partition {partition}");
        assert_eq!(found.offline_replicas, if is_away { vec![1] } else { vec![] }, "partition {partition}");
        let expected = if is_away { STORAGE_ERROR } else { 0 };
        assert_eq!(write(&mut wire, "t", partition as i32, "more"), expected, "partition {partition}");
        assert_eq!(end_offset(&mut wire, "t", partition as i32).0, expected, "partition {partition}");
    }
    let errors: Vec<i16> = log_dirs(&mut wire).results.iter().map(|dir| dir.error_code).collect();
    assert_eq!(errors, [0, STORAGE_ERROR]);
    wire.create_topic("u", 4, &[]);
    assert!((0..4).all(|partition| two.path("a").join(format!("u-{partition}")).is_dir()), "where there is a disk");
    stop(broker);

    std::fs::remove_file(two.path("b")).unwrap();
    std::fs::rename(two.path("away"), two.path("b")).unwrap();
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    for partition in 0..6 {
        let expected: &[&str] = if places[partition as usize] == "b" { &["kept"] } else { &["kept", "more"] };
        assert_eq!(wire.read_all("t", partition), expected, "partition {partition}");
        assert_eq!(write(&mut wire, "t", partition, "again"), 0);
    }
    let epochs: Vec<i32> = partitions_of(&mut wire, "t").iter().map(|partition| partition.leader_epoch).collect();
    assert!(epochs.iter().all(|epoch| *epoch > 0), "{epochs:?}");
    stop(broker);
}

/// Goal: a directory that `log.dirs` no longer names hides nothing: no empty logs take the place of those in it.
#[test]
fn a_directory_that_is_taken_out_of_the_settings_is_not_replaced_by_empty_logs() {
    let two = Two::new();
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 4, &[]);
    let places = placed(two.temp.path(), "t", 4);
    (0..4).for_each(|partition| assert_eq!(write(&mut wire, "t", partition, "kept"), 0));
    broker.kill();

    let only = format!("log.dirs={}", two.path("a").display());
    let broker = Broker::start_through(&[], &[&only]);
    let mut wire = Wire::connect(broker.address());
    for partition in 0..4 {
        let expected = if places[partition as usize] == "b" { STORAGE_ERROR } else { 0 };
        assert_eq!(write(&mut wire, "t", partition, "more"), expected, "partition {partition}");
    }
    assert!(broker.output().contains("none of log.dirs"), "{}", broker.output());
    stop(broker);

    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    (0..4).for_each(|partition| assert_eq!(wire.read_all("t", partition)[0], "kept"));
    stop(broker);
}

/// Has a partition moved; gives the error code.
fn move_to(wire: &mut Wire, topic: &str, partition: i32, dir: &Path) -> i16 {
    let topic = AlterReplicaLogDirTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    let path = dir.to_str().unwrap().to_owned();
    let request = AlterReplicaLogDirsRequest {
        dirs: vec![AlterReplicaLogDir { path, topics: vec![topic], ..Default::default() }],
        ..Default::default()
    };
    wire.call(&request, 2).unwrap().results.remove(0).partitions.remove(0).error_code
}

/// The directories that hold a partition, and whether each is a copy.
fn holders(wire: &mut Wire, topic: &str, partition: i32) -> Vec<(PathBuf, bool)> {
    let mut found = Vec::new();
    for dir in log_dirs(wire).results {
        for held in dir.topics.iter().filter(|held| held.name == topic).flat_map(|held| &held.partitions) {
            if held.partition_index == partition {
                found.push((PathBuf::from(&dir.log_dir), held.is_future_key));
            }
        }
    }
    found
}

fn wait_until_in(wire: &mut Wire, topic: &str, partition: i32, dir: &Path) {
    wait_for("the log to have moved", WITHIN, || {
        (holders(wire, topic, partition) == [(dir.to_owned(), false)]).then_some(())
    });
}

/// Goal: moving a partition costs no writer or reader anything, and the errors are Kafka's.
/// Method: a writer and a reader go on while the partition goes there and back.
#[test]
fn a_partition_moves_while_it_is_written_to() {
    let two = Two::new();
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 1, &[("segment.bytes", "1048576")]);
    let (a, b) = (two.path("a"), two.path("b"));
    let first = holders(&mut wire, "t", 0).remove(0).0;
    let other = if first == a { &b } else { &a };
    let done = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut wire = Wire::connect(broker.address());
            let filler = "x".repeat(2000);
            let mut written = 0;
            while !done.load(Ordering::Relaxed) {
                let values: Vec<_> = (written..written + 10).map(|n| format!("{n} {filler}")).collect();
                let answer = wire.produce("t", 0, Some(batch_of(&values))).unwrap();
                assert_eq!((answer.error_code, answer.base_offset), (0, written), "{:?}", answer.error_message);
                written += 10;
                // A reader of the test's own takes longer for all of it than the broker.
                std::thread::sleep(Duration::from_millis(1));
            }
            written
        });
        wait_for("something to move", WITHIN, || (end_offset(&mut wire, "t", 0).1 > 1000).then_some(()));
        for to in [other, &first, other] {
            assert_eq!(move_to(&mut wire, "t", 0, to), 0);
            wait_until_in(&mut wire, "t", 0, to);
        }
        // A move that is under way is given up for one back to where the log is.
        assert_eq!(move_to(&mut wire, "t", 0, &first), 0);
        assert_eq!(move_to(&mut wire, "t", 0, other), 0);
        wait_for("one log", WITHIN, || (holders(&mut wire, "t", 0).len() == 1).then_some(()));
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let found = wire.read_all("t", 0);
    assert_eq!(found.len() as i64, written);
    for (number, value) in found.iter().enumerate() {
        assert!(value.starts_with(format!("{number} ").as_bytes()), "record {number}");
    }
    const LOG_DIR_NOT_FOUND: i16 = 57;
    const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    assert_eq!(move_to(&mut wire, "t", 0, Path::new("/nowhere")), LOG_DIR_NOT_FOUND);
    assert_eq!(move_to(&mut wire, "t", 1, &a), UNKNOWN_TOPIC_OR_PARTITION);
    // What is not there yet is made where it was asked for.
    for (topic, dir) in [("u", &b), ("v", &a), ("w", &b)] {
        assert_eq!(move_to(&mut wire, topic, 0, dir), UNKNOWN_TOPIC_OR_PARTITION);
        wire.create_topic(topic, 1, &[]);
        assert_eq!(holders(&mut wire, topic, 0), [(dir.clone(), false)]);
    }
    let place = holders(&mut wire, "t", 0);
    stop(broker);
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    assert_eq!(holders(&mut wire, "t", 0), place);
    assert_eq!(end_offset(&mut wire, "t", 0), (0, written));
    assert!((0..1).all(|n| partitions_of(&mut wire, "t")[n].leader_id == 1));
    stop(broker);
}

/// Goal: a broker that is killed in the middle of a move loses nothing that it has acknowledged, has it once, and goes on with the move.
/// Method: a writer goes on while the partition is moved to and fro; the broker is killed at a random moment and started again.
#[test]
fn a_killed_broker_goes_on_with_a_move() {
    let two = Two::new();
    let seed = std::env::var("CRASH_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut acknowledged, mut sent) = (0usize, 0usize);
    let dirs = [two.path("a"), two.path("b")];
    let mut target = None;
    for round in 0..16 {
        let context = format!("CRASH_SEED={seed}, round {round}");
        let broker = two.start();
        let mut wire = Wire::connect(broker.address());
        if round == 0 {
            wire.create_topic("t", 1, &[("segment.bytes", "1048576")]);
        }
        let found = wire.read_all("t", 0);
        for (number, value) in found.iter().enumerate() {
            assert!(value.starts_with(format!("{number} ").as_bytes()), "{context}: record {number} is {value:?}");
        }
        assert!(
            (acknowledged..=sent).contains(&found.len()),
            "{context}: {} records, {acknowledged} acknowledged, {sent} sent",
            found.len()
        );
        acknowledged = found.len();
        if let Some(target) = target.take() {
            // What had begun comes to its end; a move that was not durable yet is none.
            wait_for("the move to end", WITHIN, || (holders(&mut wire, "t", 0).len() == 1).then_some(()));
            assert!(dirs.contains(target), "{context}");
        }
        let here = holders(&mut wire, "t", 0).remove(0).0;
        let there = if here == dirs[0] { &dirs[1] } else { &dirs[0] };
        let killed = AtomicBool::new(false);
        let address = broker.address().to_owned();
        let delay = Duration::from_millis(random.u64(0..120));
        (sent, acknowledged) = std::thread::scope(|scope| {
            let (killed, address) = (&killed, &address);
            let writer = scope.spawn(move || {
                let mut wire = Wire::connect(address);
                let (mut sent, mut acknowledged) = (acknowledged, acknowledged);
                let filler = "x".repeat(2000);
                while !killed.load(Ordering::Relaxed) {
                    let values: Vec<_> = (sent..sent + 10).map(|n| format!("{n} {filler}")).collect();
                    sent += 10;
                    match wire.produce("t", 0, Some(batch_of(&values))) {
                        Ok(answer) => {
                            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
                            acknowledged = sent;
                        }
                        Err(_) => break,
                    }
                }
                (sent, acknowledged)
            });
            std::thread::sleep(Duration::from_millis(random.u64(0..100)));
            assert_eq!(move_to(&mut wire, "t", 0, there), 0, "{context}");
            std::thread::sleep(delay);
            broker.kill();
            killed.store(true, Ordering::Relaxed);
            writer.join().unwrap()
        });
        target = Some(there);
    }
    assert!(acknowledged > 500, "the test wrote next to nothing");
}

/// A small file system of its own, which lives as long as this value does: in a mount namespace that only the commands run through it
/// see.
struct SmallDisk {
    keeper: Child,
    dir: PathBuf,
    pid: String,
}

impl SmallDisk {
    /// `None`, with a word, where mounting is not allowed.
    fn mount(dir: &Path, bytes: usize) -> Option<Self> {
        std::fs::create_dir_all(dir).unwrap();
        let script = format!("mount -t tmpfs -o size={bytes} tmpfs '{}' && echo ready && exec cat", dir.display());
        let mut keeper = Command::new("unshare");
        keeper.args(["-m", "--propagation", "private", "sh", "-c", &script]);
        let spawned = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut said = String::new();
        if let Ok(mut keeper) = spawned {
            let out = keeper.stdout.as_mut().unwrap();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut said).unwrap();
            if said == "ready\n" {
                let pid = keeper.id().to_string();
                return Some(Self { keeper, dir: dir.to_owned(), pid });
            }
            let _ended = keeper.wait();
        }
        eprintln!("skipped: a file system can't be mounted here");
        None
    }

    fn words(&self) -> [&str; 5] {
        ["nsenter", "-t", &self.pid, "-m", "--"]
    }

    fn run(&self, script: &str) -> bool {
        let [program, rest @ ..] = self.words();
        Command::new(program).args(rest).args(["sh", "-c", script]).status().unwrap().success()
    }

    /// Fills the file system to the last byte.
    fn fill(&self) {
        self.run(&format!("cat /dev/zero > '{}/filler' 2>/dev/null", self.dir.display()));
    }

    fn make_room(&self) {
        assert!(self.run(&format!("rm '{}/filler'", self.dir.display())));
    }

    fn start(&self, overrides: &[&str]) -> Broker {
        Broker::start_through(&self.words(), overrides)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = self.keeper.kill();
        let _reaped = self.keeper.wait();
    }
}

/// Goal: when the disk of one of two directories is full, its partitions answer `KAFKA_STORAGE_ERROR`, the others serve on, and
/// after a restart all that was acknowledged is there.
#[test]
fn a_full_disk_costs_its_own_partitions_and_no_record() {
    let two = Two::new();
    let b = two.path("b");
    let Some(disk) = SmallDisk::mount(&b, 2 << 20) else { return };
    let setting = two.setting();
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 4, &[]);
    let is_on_b: Vec<bool> = (0..4).map(|partition| !two.path("a").join(format!("t-{partition}")).is_dir()).collect();
    assert!(is_on_b.contains(&true) && is_on_b.contains(&false), "{is_on_b:?}");
    let mut acknowledged = [0usize; 4];
    for (partition, count) in acknowledged.iter_mut().enumerate() {
        assert_eq!(write(&mut wire, "t", partition as i32, "early"), 0);
        *count += 1;
    }
    disk.fill();
    // Large enough to need new pages of a file that is there already.
    let large = "x".repeat(100_000);
    for partition in 0..4 {
        let expected = if is_on_b[partition] { STORAGE_ERROR } else { 0 };
        for _ in 0..2 {
            let code = write(&mut wire, "t", partition as i32, &large);
            assert_eq!(code, expected, "partition {partition}: {}", broker.output());
            acknowledged[partition] += usize::from(code == 0);
        }
    }
    wait_for("the metadata to say so", WITHIN, || {
        let found = partitions_of(&mut wire, "t");
        found.iter().zip(&is_on_b).all(|(found, is_on_b)| (found.leader_id == -1) == *is_on_b).then_some(())
    });
    for (partition, is_on_b) in is_on_b.iter().enumerate() {
        let expected = if *is_on_b { STORAGE_ERROR } else { 0 };
        assert_eq!(end_offset(&mut wire, "t", partition as i32).0, expected);
    }
    let errors: Vec<i16> = log_dirs(&mut wire).results.iter().map(|dir| dir.error_code).collect();
    assert_eq!(errors, [0, STORAGE_ERROR]);
    wire.create_topic("u", 3, &[]);
    assert!((0..3).all(|partition| two.path("a").join(format!("u-{partition}")).is_dir()));
    let said = broker.output();
    let line = said.lines().find(|line| line.contains("has failed")).unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains(b.to_str().unwrap()) && line.contains("2 partitions in it"), "{line}");
    assert!(line.contains("more bytes were needed") && line.contains("make room"), "{line}");
    // It serves on, and stops when it is told to.
    stop(broker);

    disk.make_room();
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    for (partition, acknowledged) in acknowledged.iter().enumerate() {
        assert_eq!(wire.read_all("t", partition as i32).len(), *acknowledged, "partition {partition}");
        assert_eq!(write(&mut wire, "t", partition as i32, "late"), 0, "partition {partition}");
    }
    stop(broker);
}

/// Goal: a file system that is read-only at a start costs the partitions on it.
#[test]
fn a_read_only_disk_is_left_out() {
    let two = Two::new();
    let b = two.path("b");
    let Some(disk) = SmallDisk::mount(&b, 2 << 20) else { return };
    let setting = two.setting();
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 2, &[]);
    (0..2).for_each(|partition| assert_eq!(write(&mut wire, "t", partition, "early"), 0));
    let on_b = i32::from(two.path("a").join("t-0").is_dir());
    stop(broker);
    assert!(disk.run(&format!("mount -o remount,ro '{}'", b.display())));
    let broker = disk.start(&[&setting]);
    let said = broker.output();
    assert!(said.contains("Read-only file system") && said.contains("mount it for writing"), "{said}");
    let mut wire = Wire::connect(broker.address());
    assert_eq!(write(&mut wire, "t", on_b, "late"), STORAGE_ERROR);
    assert_eq!(write(&mut wire, "t", 1 - on_b, "late"), 0);
    stop(broker);
    assert!(disk.run(&format!("mount -o remount,rw '{}'", b.display())));
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(wire.read_all("t", on_b), ["early"]);
    assert_eq!(wire.read_all("t", 1 - on_b), ["early", "late"]);
    stop(broker);
}

/// Goal: without its only directory a broker stops by itself, says why in a line, and starts again once there is room.
#[test]
fn a_broker_without_a_disk_stops_and_says_why() {
    let temp = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&temp.path().join("d"), 3 << 20) else { return };
    let setting = format!("log.dirs={}", disk.dir.display());
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 1, &[]);
    assert_eq!(write(&mut wire, "t", 0, "early"), 0);
    disk.fill();
    assert_eq!(write(&mut wire, "t", 0, &"x".repeat(100_000)), STORAGE_ERROR);
    let (status, said) = broker.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("more bytes were needed") && said.contains("make room"), "{said}");
    assert!(said.contains("Shutdown broker because"), "{said}");

    // There is no room for the start of another epoch either.
    let [program, rest @ ..] = disk.words();
    let start = [env!("CARGO_BIN_EXE_kafka-rs"), "server-start", "--override", "listeners=PLAINTEXT://127.0.0.1:0"];
    let start = Command::new(program).args(rest).args(start).args(["--override", &setting]).output().unwrap();
    let said = String::from_utf8_lossy(&start.stderr);
    assert_eq!(start.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left") && said.contains("make room"), "{said}");

    disk.make_room();
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(wire.read_all("t", 0), ["early"]);
    assert_eq!(write(&mut wire, "t", 0, "late"), 0);
    stop(broker);
}
