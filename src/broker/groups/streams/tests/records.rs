//! What is written, and in which order: Kafka's tools and brokers read it.

use super::super::super::records::{self, Event};
use super::*;
use crate::protocol::messages::StreamsGroupCurrentMemberAssignmentValue;
use crate::protocol::messages::streams_group_current_member_assignment_value::TaskIds as Current;

/// The records since the log had this length, in short.
fn written(world: &World, from: usize) -> Vec<String> {
    let short = |record: &Record| match records::read(record).unwrap() {
        Event::Streams { group, change } => {
            assert_eq!(group, GROUP);
            let gone = if change.is_tombstone() { "-" } else { "" };
            match change {
                Change::Group(value) => match value {
                    Some(value) => format!("epoch {} of topology {}", value.epoch, value.validated_topology_epoch),
                    None => "-group".to_owned(),
                },
                Change::Topology(_) => format!("{gone}topology"),
                Change::Member { id, .. } => format!("{gone}member {id}"),
                Change::TargetEpoch(value) => match value {
                    Some(value) => format!("target epoch {}", value.assignment_epoch),
                    None => "-target epoch".to_owned(),
                },
                Change::Target { id, .. } => format!("{gone}target {id}"),
                Change::Current { id, .. } => format!("{gone}current {id}"),
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
    world.join("m1");
    let expected = ["member m1", "topology", "epoch 2 of topology -1", "target m1", "target epoch 2", "current m1"];
    assert_eq!(written(&world, 0), expected);
    let at = world.log.len();
    world.beat("m1", 2, "");
    assert_eq!(written(&world, at), ["epoch 3 of topology 0", "target m1", "target epoch 3", "current m1"]);
    let at = world.log.len();
    world.join("m2");
    let expected = ["member m2", "epoch 4 of topology 0", "target m1", "target m2", "target epoch 4", "current m2"];
    assert_eq!(written(&world, at), expected);
    let at = world.log.len();
    world.leave("m2");
    assert_eq!(written(&world, at), ["-current m2", "-target m2", "-member m2", "epoch 5 of topology 0"]);
    let at = world.log.len();
    world.beat("m1", 3, "0_0 0_1 0_2 1_0 1_1 1_2");
    assert_eq!(written(&world, at), ["target m1", "target epoch 5", "current m1"]);
    let at = world.log.len();
    world.beat("m1", 5, "0_0 0_1 0_2 1_0 1_1 1_2");
    assert_eq!(written(&world, at).len(), 0, "nothing new");
}

#[test]
fn a_group_that_is_deleted_is_taken_back_as_a_whole() {
    let mut world = World::settled();
    world.leave("m1");
    let at = world.log.len();
    let (_, effects) = world.shard.delete(GROUP, world.now());
    world.take(effects);
    assert_eq!(written(&world, at), ["-target epoch", "-group", "-topology"]);
    world.check();
}

#[test]
fn an_empty_classic_group_makes_way() {
    let mut world = World::new();
    assert_eq!(world.commit("", -1, "in", 0, 9), ErrorCode::None);
    let at = world.log.len();
    world.join("m1");
    assert_eq!(written(&world, at)[..2], ["-classic", "member m1"]);
    assert_eq!(world.shard.offset(GROUP, "in", 0).map(|committed| committed.offset), Some(5), "its offsets stay");
    world.check();
}

/// Kafka 4.1 did not write in which epoch a member was given each task.
#[test]
fn tasks_without_epochs_are_of_the_members() {
    let mut world = World::settled();
    let ids = |epochs| {
        vec![Current {
            subtopology_id: "0".into(),
            partitions: vec![0, 2],
            assignment_epochs: epochs,
            ..Default::default()
        }]
    };
    for (written, expected) in [(None, 3), (Some(vec![1]), 3), (Some(vec![1, 1]), 1)] {
        let value = StreamsGroupCurrentMemberAssignmentValue {
            member_epoch: 3,
            state: 1,
            active_tasks: ids(written),
            ..Default::default()
        };
        let change = Change::Current { id: "m1".into(), value: Some(Box::new(value)) };
        world.shard.replay(&streams_record(GROUP, &change), None, world.now()).unwrap();
        let Some(Kind::Streams(group)) = world.shard.groups.get(GROUP).map(|group| &group.kind) else { panic!() };
        assert_eq!(group.members["m1"].epoch_of("0", 2), Some(expected));
    }
}

#[test]
fn tombstones_of_what_is_not_there_mean_nothing() {
    let mut world = World::new();
    for change in [
        Change::Group(None),
        Change::Topology(None),
        Change::TargetEpoch(None),
        Change::Member { id: "m".into(), value: None },
        Change::Target { id: "m".into(), value: None },
        Change::Current { id: "m".into(), value: None },
    ] {
        world.shard.replay(&streams_record(GROUP, &change), None, world.now()).unwrap();
    }
    assert!(world.shard.list().next().is_none());
}
