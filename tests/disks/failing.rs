//! Disks that break under a running broker: reads, writes and flushes that fail.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kafka_rs::protocol::messages::FetchRequest;
use kafka_rs::protocol::messages::fetch_request::{FetchPartition, FetchTopic};

use crate::directories::{STORAGE_ERROR, Two, WITHIN, end_offset, log_dirs, partitions_of, stop, try_to_create, write};
use crate::failing_disk::{EIO, ENOSPC, EROFS, FailingDisk, Fails};
use crate::support::{Broker, wait_for};
use crate::wire::{Wire, batch_of};

const PARTITIONS: i32 = 4;

/// What became of the records of one writer.
#[derive(Debug, Default)]
struct Written {
    sent: usize,
    acknowledged: usize,
    /// Acknowledged although sent when the disk had failed already.
    acknowledged_late: usize,
    refused_with: Option<i16>,
}

/// Writes numbered records to a partition, one after the other, until it is told to end or refused.
fn keep_writing(address: &str, partition: i32, has_failed: impl Fn() -> bool, done: &AtomicBool) -> Written {
    let mut wire = Wire::connect(address);
    let mut written = Written::default();
    while !done.load(Ordering::Relaxed) {
        let is_late = has_failed();
        written.sent += 1;
        // A broker that has stopped answers nothing.
        let Ok(answer) = wire.produce("t", partition, Some(batch_of(&[written.sent.to_string()]))) else { break };
        if answer.error_code != 0 {
            written.refused_with = Some(answer.error_code);
            break;
        }
        written.acknowledged = written.sent;
        written.acknowledged_late += usize::from(is_late);
    }
    written
}

/// Holds what is in a partition against what was acknowledged: all of that, in order, and at most the one more that was sent.
fn assert_kept(wire: &mut Wire, partition: i32, written: &Written) {
    let found = wire.read_all("t", partition);
    for (number, value) in found.iter().enumerate() {
        assert_eq!(value, (number + 1).to_string().as_bytes(), "partition {partition}");
    }
    let count = found.len();
    assert!((written.acknowledged..=written.sent).contains(&count), "partition {partition}: {count} of {written:?}");
}

/// Starts a writer per partition, has the directory `b` fail in the midst, and waits until its writers are refused while the others
/// go on.
fn break_under_load(
    disk: &FailingDisk,
    broker: &Broker,
    places: &[&str],
    fails: Fails,
    errno: i32,
    b: &Path,
) -> Vec<Written> {
    let done = AtomicBool::new(false);
    let has_failed = || !disk.hits().is_empty();
    std::thread::scope(|scope| {
        let start = |partition: i32| {
            let (address, done) = (broker.address(), &done);
            scope.spawn(move || keep_writing(address, partition, has_failed, done))
        };
        let writers: Vec<_> = (0..places.len() as i32).map(start).collect();
        let mut wire = Wire::connect(broker.address());
        wait_for("every writer to be at work", WITHIN, || {
            (0..places.len() as i32).all(|partition| end_offset(&mut wire, "t", partition).1 > 5).then_some(())
        });
        disk.fail(fails, errno, b);
        wait_for("the writers to be refused", WITHIN, || {
            writers.iter().zip(places).all(|(writer, place)| *place == "a" || writer.is_finished()).then_some(())
        });
        let ends = |wire: &mut Wire| -> Vec<i64> {
            let on_a = (0..places.len()).filter(|n| places[*n] == "a");
            on_a.map(|partition| end_offset(wire, "t", partition as i32).1).collect()
        };
        let before = ends(&mut wire);
        wait_for("the other writers to go on", WITHIN, || {
            ends(&mut wire).iter().zip(&before).all(|(end, before)| *end > before + 5).then_some(())
        });
        done.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    })
}

/// Goal: when one of two disks breaks in the midst of work, its partitions answer `KAFKA_STORAGE_ERROR` and acknowledge nothing more, the
/// others serve on, a line says what to do, and once the disk is well again a restart has all that was acknowledged.
fn a_broken_disk_costs_its_own_partitions_and_no_record(
    fails: Fails,
    errno: i32,
    topic: &[(&str, &str)],
    advice: &str,
) {
    let Some(disk) = FailingDisk::new() else { return };
    let two = Two::new();
    let (setting, b) = (two.setting(), two.path("b"));
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", PARTITIONS, topic);
    let places = two.placed("t", PARTITIONS);
    assert!(places.contains(&"a") && places.contains(&"b"), "{places:?}");
    let written = break_under_load(&disk, &broker, &places, fails, errno, &b);
    for (written, place) in written.iter().zip(&places) {
        let expected = (*place == "b").then_some(STORAGE_ERROR);
        assert_eq!(written.refused_with, expected, "{written:?} in {place}");
        assert!(*place == "a" || written.acknowledged_late == 0, "{written:?}: {:?}", disk.hits());
    }
    wait_for("the metadata to say so", WITHIN, || {
        let found = partitions_of(&mut wire, "t");
        found.iter().zip(&places).all(|(found, place)| (found.leader_id == -1) == (*place == "b")).then_some(())
    });
    for (partition, place) in places.iter().enumerate() {
        let expected = if *place == "b" { STORAGE_ERROR } else { 0 };
        assert_eq!(end_offset(&mut wire, "t", partition as i32).0, expected);
        assert_eq!(fetch_error(&mut wire, partition as i32), expected);
    }
    let errors: Vec<i16> = log_dirs(&mut wire).results.iter().map(|dir| dir.error_code).collect();
    assert_eq!(errors, [0, STORAGE_ERROR]);
    let said = broker.says("has failed");
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("has failed")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains(b.to_str().unwrap()) && lines[0].contains(advice), "{}", lines[0]);
    // What is well again is not trusted before the next start.
    disk.repair();
    let of_b = places.iter().position(|place| *place == "b").unwrap() as i32;
    assert_eq!(write(&mut wire, "t", of_b, "not now"), STORAGE_ERROR);
    stop(broker);
    let marker = |dir: &str| two.path(dir).join(".kafka_cleanshutdown").exists();
    assert_eq!((marker("a"), marker("b")), (true, false), "only what was closed counts as closed");

    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    for (partition, written) in written.iter().enumerate() {
        assert_kept(&mut wire, partition as i32, written);
        assert_eq!(write(&mut wire, "t", partition as i32, "late"), 0);
    }
    stop(broker);
}

/// The error of a partition that is fetched from its beginning.
fn fetch_error(wire: &mut Wire, partition: i32) -> i16 {
    let wanted = FetchPartition { partition, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic_id: wire.topic_id("t"), partitions: vec![wanted], ..Default::default() };
    let request = FetchRequest { max_wait_ms: 0, topics: vec![topic], ..Default::default() };
    wire.call(&request, 17).unwrap().responses[0].partitions[0].error_code
}

const FLUSHED: &[(&str, &str)] = &[("flush.messages", "1")];

#[test]
fn a_failed_flush() {
    a_broken_disk_costs_its_own_partitions_and_no_record(Fails::Flushes, EIO, FLUSHED, "check the disk and its mount");
}

#[test]
fn a_flush_without_room() {
    a_broken_disk_costs_its_own_partitions_and_no_record(Fails::Flushes, ENOSPC, FLUSHED, "make room and start");
}

#[test]
fn a_failed_write() {
    a_broken_disk_costs_its_own_partitions_and_no_record(Fails::Writes, EIO, &[], "check the disk and its mount");
}

#[test]
fn a_write_without_room() {
    a_broken_disk_costs_its_own_partitions_and_no_record(Fails::Writes, ENOSPC, &[], "make room and start");
}

#[test]
fn a_write_to_what_has_become_read_only() {
    a_broken_disk_costs_its_own_partitions_and_no_record(Fails::Writes, EROFS, &[], "mount it for writing");
}

/// Goal: a disk that can't be read is not written to either.
#[test]
fn a_failed_read_ends_the_directory() {
    let Some(disk) = FailingDisk::new() else { return };
    let two = Two::new();
    let setting = two.setting();
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 2, &[]);
    (0..2).for_each(|partition| assert_eq!(write(&mut wire, "t", partition, "early"), 0));
    let places = two.placed("t", 2);
    let on_b = i32::from(places[0] == "a");
    disk.fail(Fails::Reads, EIO, &two.path("b"));
    assert_eq!(fetch_error(&mut wire, on_b), STORAGE_ERROR);
    assert_eq!(fetch_error(&mut wire, 1 - on_b), 0);
    assert_eq!(write(&mut wire, "t", on_b, "late"), STORAGE_ERROR);
    assert_eq!(write(&mut wire, "t", 1 - on_b, "late"), 0);
    broker.says("could not read");
    stop(broker);

    // Nor is one that can't be read at a start.
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(write(&mut wire, "t", on_b, "late"), STORAGE_ERROR);
    assert_eq!(write(&mut wire, "t", 1 - on_b, "later"), 0);
    broker.says("check the disk and its mount");
    broker.kill();

    disk.repair();
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(wire.read_all("t", on_b), ["early"]);
    assert_eq!(wire.read_all("t", 1 - on_b), ["early", "late", "later"]);
    stop(broker);
}

/// Goal: a broker whose only disk breaks acknowledges nothing more, stops by itself and says what to do; with a disk that is well it
/// has all that was acknowledged.
#[test]
fn the_only_disk_fails() {
    let Some(disk) = FailingDisk::new() else { return };
    for (fails, topic) in [(Fails::Flushes, FLUSHED), (Fails::Writes, &[])] {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("d");
        let setting = format!("log.dirs={}", dir.display());
        let broker = disk.start(&[&setting]);
        let mut wire = Wire::connect(broker.address());
        wire.create_topic("t", 2, topic);
        let has_failed = || !disk.hits().is_empty();
        let done = AtomicBool::new(false);
        let written: Vec<Written> = std::thread::scope(|scope| {
            let start = |partition| {
                let (address, done) = (broker.address(), &done);
                scope.spawn(move || keep_writing(address, partition, has_failed, done))
            };
            let writers: Vec<_> = (0..2).map(start).collect();
            wait_for("every writer to be at work", WITHIN, || {
                (0..2).all(|partition| end_offset(&mut wire, "t", partition).1 > 5).then_some(())
            });
            disk.fail(fails, EIO, &dir);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        for written in &written {
            assert_eq!(written.acknowledged_late, 0, "{written:?}: {:?}", disk.hits());
            // Its answer may have been overtaken by the end of the broker.
            assert!(written.refused_with.is_none_or(|code| code == STORAGE_ERROR), "{written:?}");
        }
        let (status, said) = broker.ended();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("check the disk and its mount, and start the broker again"), "{said}");
        assert!(said.contains("Shutdown broker because"), "{said}");
        assert!(!dir.join(".kafka_cleanshutdown").exists());

        // Started on the same disk it says so again, and does no harm.
        let start = ["server-start", "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", &setting];
        let again = disk.command().args(start).output().unwrap();
        let said = String::from_utf8_lossy(&again.stderr);
        assert_eq!(again.status.code(), Some(1), "{said}");
        assert!(said.contains("Input/output error") && said.contains("check the disk"), "{said}");

        disk.repair();
        let broker = disk.start(&[&setting]);
        let mut wire = Wire::connect(broker.address());
        for (partition, written) in written.iter().enumerate() {
            assert_kept(&mut wire, partition as i32, written);
        }
        stop(broker);
    }
}

/// Goal: what can't be written down of the metadata is not answered, and the broker stops.
#[test]
fn the_disk_of_the_metadata_fails() {
    let Some(disk) = FailingDisk::new() else { return };
    let two = Two::new();
    let setting = two.setting();
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", PARTITIONS, &[]);
    (0..PARTITIONS).for_each(|partition| assert_eq!(write(&mut wire, "t", partition, "early"), 0));
    disk.fail(Fails::Flushes, EIO, &two.path("a").join("__cluster_metadata-0"));
    let created = try_to_create(&mut wire, "u", 1);
    assert!(created.as_ref().map_or(true, |code| *code != 0), "{created:?}");
    let (status, said) = broker.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("Shutdown broker because the metadata log dir"), "{said}");
    assert!(said.contains("could not flush") && said.contains("check the disk"), "{said}");
    disk.repair();
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    (0..PARTITIONS).for_each(|partition| assert_eq!(wire.read_all("t", partition), ["early"]));
    stop(broker);
}

/// Goal: a directory whose logs can't be flushed when the broker stops does not count as closed: the next start recovers it.
#[test]
fn a_flush_that_fails_while_stopping() {
    let Some(disk) = FailingDisk::new() else { return };
    let two = Two::new();
    let setting = two.setting();
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", PARTITIONS, &[]);
    (0..PARTITIONS).for_each(|partition| assert_eq!(write(&mut wire, "t", partition, "early"), 0));
    disk.fail(Fails::Flushes, EIO, &two.path("b"));
    let status = broker.stop();
    assert!(!disk.hits().is_empty());
    assert_eq!(status.code(), Some(143));
    let marker = |dir: &str| two.path(dir).join(".kafka_cleanshutdown").exists();
    assert_eq!((marker("a"), marker("b")), (true, false));
    disk.repair();
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    (0..PARTITIONS).for_each(|partition| assert_eq!(wire.read_all("t", partition), ["early"]));
    stop(broker);
}

/// Goal: checkpoints are part of what a directory is trusted for, as in Kafka.
#[test]
fn a_checkpoint_that_cant_be_written_ends_the_directory() {
    let Some(disk) = FailingDisk::new() else { return };
    for (checkpoint, interval) in [
        ("recovery-point-offset-checkpoint", "log.flush.offset.checkpoint.interval.ms=200"),
        ("log-start-offset-checkpoint", "log.flush.start.offset.checkpoint.interval.ms=200"),
        ("replication-offset-checkpoint", "replica.high.watermark.checkpoint.interval.ms=200"),
    ] {
        let two = Two::new();
        let (setting, b) = (two.setting(), two.path("b"));
        let broker = disk.start(&[&setting, interval]);
        let mut wire = Wire::connect(broker.address());
        wire.create_topic("t", 2, &[("segment.bytes", "1048576")]);
        let on_b = i32::from(two.placed("t", 2)[0] == "a");
        disk.fail(Fails::Flushes, EIO, &b.join(checkpoint));
        // Two segments and a record deleted, so that each checkpoint has something to say.
        let large = "x".repeat(700_000);
        let mut early = Vec::new();
        wait_for(checkpoint, Duration::from_secs(60), || {
            if write(&mut wire, "t", on_b, &large) == 0 {
                early.push(large.clone());
            }
            delete_first(&mut wire, "t", on_b);
            (write(&mut wire, "t", on_b, &large) == STORAGE_ERROR).then_some(())
        });
        assert!(disk.hits().iter().all(|hit| hit.contains(checkpoint)), "{:?}", disk.hits());
        assert_eq!(write(&mut wire, "t", 1 - on_b, "late"), 0);
        let said = broker.says(checkpoint);
        assert!(said.contains("check the disk"), "{said}");
        stop(broker);
        disk.repair();
    }
}

/// Deletes the first record of a partition, if the broker lets us.
fn delete_first(wire: &mut Wire, topic: &str, partition: i32) {
    use kafka_rs::protocol::messages::DeleteRecordsRequest;
    use kafka_rs::protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let partitions = vec![DeleteRecordsPartition { partition_index: partition, offset: 1, ..Default::default() }];
    let topics = vec![DeleteRecordsTopic { name: topic.into(), partitions, ..Default::default() }];
    let request = DeleteRecordsRequest { topics, timeout_ms: 5_000, ..Default::default() };
    let _answered = wire.call(&request, 2).unwrap();
}

/// Goal: a snapshot of the metadata that can't be flushed says as much of the disk as a log does.
#[test]
fn a_metadata_snapshot_that_cant_be_flushed_ends_the_broker() {
    let Some(disk) = FailingDisk::new() else { return };
    let two = Two::new();
    let setting = two.setting();
    let broker = disk.start(&[&setting, "metadata.log.max.record.bytes.between.snapshots=2000"]);
    let mut wire = Wire::connect(broker.address());
    disk.fail(Fails::Flushes, EIO, &two.path("a").join("__cluster_metadata-0/*.checkpoint.part"));
    // The change itself is in the log; it is the next ones that nobody takes any more.
    let refused = (0..100).find(|n| try_to_create(&mut wire, &format!("t{n}"), 1).ok() != Some(0));
    assert!(refused.is_some(), "{:?}", disk.hits());
    let (status, said) = broker.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("Shutdown broker because the metadata log dir"), "{said}");
    assert!(said.contains(".checkpoint") && said.contains("check the disk"), "{said}");
    disk.repair();
    let broker = disk.start(&[&setting]);
    let mut wire = Wire::connect(broker.address());
    let created: Vec<String> = (0..refused.unwrap()).map(|n| format!("t{n}")).collect();
    assert!(created.iter().all(|topic| partitions_of(&mut wire, topic).len() == 1), "{created:?}");
    stop(broker);
}
