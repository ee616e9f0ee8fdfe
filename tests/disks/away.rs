//! Directories that are not there at a start.

use crate::directories::{STORAGE_ERROR, Two, end_offset, log_dirs, partitions_of, stop, write};
use crate::support::Broker;
use crate::wire::Wire;

/// Goal: a directory that is away at a start costs its own partitions only, and these are as they were when it is back.
#[test]
fn a_directory_that_is_away_keeps_what_is_in_it() {
    let two = Two::new();
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 6, &[]);
    let places = two.placed("t", 6);
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
    let places = two.placed("t", 4);
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
