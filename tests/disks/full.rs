//! File systems that are full or read-only.

use std::process::Command;

use crate::directories::{STORAGE_ERROR, Two, WITHIN, end_offset, log_dirs, partitions_of, stop, write};
use crate::small_disk::SmallDisk;
use crate::support::wait_for;
use crate::wire::Wire;

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
    let said = broker.says("has failed");
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
    let setting = format!("log.dirs={}", disk.dir().display());
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
