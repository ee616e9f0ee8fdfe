//! Directories that take no more replicas (KIP-1066).

use std::path::Path;

use kafka_rs::protocol::messages::CreatePartitionsRequest;
use kafka_rs::protocol::messages::create_partitions_request::CreatePartitionsTopic;

use crate::directories::{Two, log_dirs, move_to, set_on_broker, stop, try_to_create, wait_until_in, write};
use crate::support::Broker;
use crate::wire::Wire;

const KEY: &str = "cordoned.log.dirs";
const INVALID_REPLICATION_FACTOR: i16 = 38;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_REQUEST: i16 = 42;

/// Which directories a broker says are cordoned, in their order.
fn cordoned(wire: &mut Wire) -> Vec<bool> {
    use kafka_rs::protocol::messages::DescribeLogDirsRequest;
    let answer = wire.call(&DescribeLogDirsRequest { topics: None, ..Default::default() }, 5).unwrap();
    answer.results.iter().map(|dir| dir.is_cordoned).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Goal: a cordoned directory gets no new partition, neither of a new topic nor of one that grows, and none that is moved; what is in it
/// stays, serves on, and may be moved away. All as long as it is cordoned, restarts included.
#[test]
fn a_cordoned_directory_takes_no_more_partitions() {
    let two = Two::new();
    let (a, b) = (two.path("a"), two.path("b"));
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 4, &[]);
    let places = two.placed("t", 4);
    let of_b = places.iter().position(|place| *place == "b").unwrap() as i32;
    let of_a = places.iter().position(|place| *place == "a").unwrap() as i32;
    assert_eq!(set_on_broker(&mut wire, KEY, Some("/nowhere")), INVALID_REQUEST);
    assert_eq!(set_on_broker(&mut wire, KEY, Some(text(&b))), 0);
    assert_eq!(cordoned(&mut wire), [false, true]);
    wire.create_topic("u", 6, &[]);
    assert_eq!(two.placed("u", 6), ["a"; 6]);
    grow(&mut wire, "t", 8);
    let grown = two.placed("t", 8);
    assert_eq!((&grown[..4], &grown[4..]), (&places[..], &["a"; 4][..]));
    assert_eq!(move_to(&mut wire, "t", of_a, &b), INVALID_REPLICA_ASSIGNMENT);
    (0..8).for_each(|partition| assert_eq!(write(&mut wire, "t", partition, "kept"), 0));
    stop(broker);

    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    assert_eq!(cordoned(&mut wire), [false, true]);
    wire.create_topic("v", 6, &[]);
    assert_eq!(two.placed("v", 6), ["a"; 6]);
    (0..8).for_each(|partition| assert_eq!(wire.read_all("t", partition), ["kept"]));
    assert_eq!(move_to(&mut wire, "t", of_b, &a), 0);
    wait_until_in(&mut wire, "t", of_b, &a);

    // With all of them cordoned there is no place for a topic.
    assert_eq!(set_on_broker(&mut wire, KEY, Some(&format!("{},{}", text(&a), text(&b)))), 0);
    assert_eq!(try_to_create(&mut wire, "w", 1).unwrap(), INVALID_REPLICATION_FACTOR);
    assert_eq!(set_on_broker(&mut wire, KEY, None), 0);
    assert_eq!(cordoned(&mut wire), [false, false]);
    wire.create_topic("w", 4, &[]);
    assert_eq!(two.placed("w", 4), ["b"; 4], "the emptier one");
    assert_eq!(log_dirs(&mut wire).results.len(), 2);
    stop(broker);
}

/// Goal: the file says it too, and is told at once when a path in it is none of `log.dirs`.
#[test]
fn a_directory_that_is_cordoned_in_the_file() {
    let two = Two::new();
    let setting = two.setting();
    let broker = Broker::start_through(&[], &[&setting, &format!("{KEY}={}", text(&two.path("a")))]);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(cordoned(&mut wire), [true, false]);
    wire.create_topic("t", 4, &[]);
    assert_eq!(two.placed("t", 4), ["b"; 4]);
    stop(broker);
}

fn grow(wire: &mut Wire, topic: &str, count: i32) {
    let topics = vec![CreatePartitionsTopic { name: topic.into(), count, assignments: None, ..Default::default() }];
    let request = CreatePartitionsRequest { topics, timeout_ms: 10_000, ..Default::default() };
    assert_eq!(wire.call(&request, 3).unwrap().results[0].error_code, 0);
}
