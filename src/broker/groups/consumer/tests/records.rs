//! What is written, and in which order: Kafka's tools and brokers read it.

use super::super::super::records::{self, Event};
use super::*;

/// The records since the log had this length, in short.
fn written(world: &World, from: usize) -> Vec<String> {
    let short = |record: &Record| match records::read(record).unwrap() {
        Event::Consumer { group, change } => {
            assert_eq!(group, GROUP);
            let gone = if change.is_tombstone() { "-" } else { "" };
            match change {
                Change::Epoch(value) => format!("{gone}epoch {}", value.map(|v| v.epoch).unwrap_or_default()),
                Change::PartitionMetadata { .. } => format!("{gone}partitions"),
                Change::Member { id, .. } => format!("{gone}member {id}"),
                Change::TargetEpoch(value) => {
                    format!("{gone}target epoch {}", value.map(|v| v.assignment_epoch).unwrap_or_default())
                }
                Change::Target { id, .. } => format!("{gone}target {id}"),
                Change::Current { id, .. } => format!("{gone}current {id}"),
                Change::Regex { regex, .. } => format!("{gone}regex {regex}"),
            }
        }
        Event::Group { metadata, .. } => if metadata.is_some() { "classic" } else { "-classic" }.to_owned(),
        other => format!("{other:?}"),
    };
    world.log.get(from..).unwrap_or_default().iter().map(short).collect()
}

#[test]
fn a_join_is_written_in_kafkas_order() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    assert_eq!(written(&world, 0), ["member m1", "epoch 2", "target m1", "target epoch 2", "current m1"]);
    let Some(Ok(Event::Consumer { change: Change::Current { value: Some(current), .. }, .. })) =
        world.log.last().map(records::read)
    else {
        panic!("the last record is what the member has");
    };
    assert_eq!((current.member_epoch, current.previous_member_epoch, current.state), (2, 0, 0));
    assert_eq!(current.assigned_partitions[0].assignment_epochs.as_deref(), Some(&[2, 2, 2][..]));
    let at = world.log.len();
    world.send(&joining_by_regex("m2", "b"));
    assert_eq!(written(&world, at), ["member m2", "current m2"]);
    let at = world.log.len();
    world.look_up();
    assert_eq!(written(&world, at), ["regex b", "epoch 3"]);
    let at = world.log.len();
    world.beat("m2", 2, "");
    // The first member's target has not changed: it is not written again.
    assert_eq!(written(&world, at), ["target m2", "target epoch 3", "current m2"]);
    let at = world.log.len();
    world.leave("m2");
    assert_eq!(written(&world, at), ["-current m2", "-target m2", "-member m2", "-regex b", "epoch 4"]);
    let at = world.log.len();
    world.beat("m1", 2, "a0 a1 a2");
    assert_eq!(written(&world, at), ["target epoch 4", "current m1"]);
}

#[test]
fn a_static_member_is_replaced_in_kafkas_order() {
    let mut world = World::new();
    world.send(&static_joining("m1", "i1", &["a"]));
    let at = world.log.len();
    world.send(&ConsumerGroupHeartbeatRequest { instance_id: Some("i1".into()), member_epoch: -2, ..from("m1") });
    assert_eq!(written(&world, at), ["current m1"]);
    let at = world.log.len();
    world.send(&static_joining("m2", "i1", &["a"]));
    let expected = ["-current m1", "-target m1", "-member m1", "member m2", "target m2", "current m2", "current m2"];
    assert_eq!(written(&world, at), expected);
}

#[test]
fn a_group_ends_in_kafkas_order() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.leave("m1");
    let at = world.log.len();
    let now = world.now();
    let effects = world.shard.delete(GROUP, now).1;
    world.take(effects);
    assert_eq!(written(&world, at), ["-target epoch 0", "-partitions", "-epoch 0"]);
}

/// A record that Kafka 4.0 wrote of the topics is taken back with the next epoch.
#[test]
fn what_is_no_longer_written_is_taken_back() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let mut record = super::super::consumer_record(GROUP, &Change::PartitionMetadata { is_there: true });
    record.value = Some(bytes::Bytes::from_static(&[0, 0, 1, 0]));
    world.shard.replay(&record, None, world.now()).unwrap();
    world.log.push(record);
    let at = world.log.len();
    world.set_topic("a", 4);
    world.beat("m1", 2, "a0 a1 a2");
    assert!(written(&world, at).contains(&"-partitions".to_owned()));
    let at = world.log.len();
    world.set_topic("a", 5);
    world.beat("m1", 3, "a0 a1 a2 a3");
    assert!(!written(&world, at).contains(&"-partitions".to_owned()), "once");
}

#[test]
fn the_metadata_hash_is_written_with_the_epoch() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let hash = world.log.iter().find_map(|record| match records::read(record).unwrap() {
        Event::Consumer { change: Change::Epoch(Some(value)), .. } => Some(value.metadata_hash),
        _ => None,
    });
    let topic = world.view().topic("a").unwrap().hash();
    let of_topic = xxhash_rust::xxh3::xxh3_64(&topic.to_le_bytes()).cast_signed();
    assert_eq!(hash, Some(of_topic));
}
