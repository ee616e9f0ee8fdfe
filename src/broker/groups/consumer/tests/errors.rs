//! A test for each error: in Kafka's order and words, and nothing is written.

use super::*;

#[track_caller]
fn refused(world: &mut World, request: &ConsumerGroupHeartbeatRequest, code: ErrorCode, message: &str) {
    refused_version(world, request, 1, code, message);
}

#[track_caller]
fn refused_version(
    world: &mut World,
    request: &ConsumerGroupHeartbeatRequest,
    version: i16,
    code: ErrorCode,
    message: &str,
) {
    let written = world.log.len();
    let answer = world.send_version(request, version);
    assert_eq!((ErrorCode::from_code(answer.error_code), answer.error_message.as_deref()), (code, Some(message)));
    assert_eq!(world.log.len(), written, "a refusal writes nothing");
}

#[test]
fn requests_that_make_no_sense() {
    let mut world = World::new();
    let valid = || joining("m1", &["a"]);
    let blank = || Some(" ".to_owned());
    for (request, version, message) in [
        (joining("", &["a"]), 1, "MemberId can't be empty."),
        (ConsumerGroupHeartbeatRequest { member_epoch: 1, ..joining("", &["a"]) }, 0, "MemberId can't be empty."),
        (ConsumerGroupHeartbeatRequest { group_id: "".into(), ..valid() }, 1, "GroupId can't be empty."),
        (ConsumerGroupHeartbeatRequest { instance_id: blank(), ..valid() }, 1, "InstanceId can't be empty."),
        (ConsumerGroupHeartbeatRequest { rack_id: blank(), ..valid() }, 1, "RackId can't be empty."),
        (
            ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: -1, ..valid() },
            1,
            "RebalanceTimeoutMs must be provided in first request.",
        ),
        (
            ConsumerGroupHeartbeatRequest { topic_partitions: None, ..valid() },
            1,
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            ConsumerGroupHeartbeatRequest { topic_partitions: beating("", 0, "a0").topic_partitions, ..valid() },
            1,
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            ConsumerGroupHeartbeatRequest { subscribed_topic_names: None, ..valid() },
            1,
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
        (ConsumerGroupHeartbeatRequest { member_epoch: -2, ..valid() }, 1, "InstanceId can't be null."),
        (ConsumerGroupHeartbeatRequest { member_epoch: -3, ..valid() }, 1, "MemberEpoch is invalid."),
    ] {
        refused_version(&mut world, &request, version, ErrorCode::InvalidRequest, message);
    }
    assert_eq!(world.shard.list().count(), 0);
}

#[test]
fn unsupported_assignor() {
    let request = ConsumerGroupHeartbeatRequest { server_assignor: Some("fair".into()), ..joining("m1", &["a"]) };
    let message = "ServerAssignor fair is not supported. Supported assignors: uniform, range.";
    refused(&mut World::new(), &request, ErrorCode::UnsupportedAssignor, message);
}

#[test]
fn unknown_group_and_member() {
    let mut world = World::new();
    let code = ErrorCode::GroupIdNotFound;
    refused(&mut world, &beating("m1", 1, ""), code, "Consumer group g not found.");
    let leaving = ConsumerGroupHeartbeatRequest { member_epoch: -1, ..from("m1") };
    refused(&mut world, &leaving, code, "Group g not found.");
    world.join("m1", &["a"]);
    let code = ErrorCode::UnknownMemberId;
    refused(&mut world, &beating("m2", 1, ""), code, "Member m2 is not a member of group g.");
    let stranger = |epoch| ConsumerGroupHeartbeatRequest { instance_id: Some("i9".into()), ..beating("m1", epoch, "") };
    refused(&mut world, &stranger(2), code, "Instance id i9 is unknown.");
    refused(&mut world, &stranger(-1), code, "Instance id i9 is unknown.");
}

#[test]
fn fenced_epochs() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let greater = "The consumer group member has a greater member epoch (9) than the one known by the group coordinator \
                   (2). The member must abandon all its partitions and rejoin.";
    refused(&mut world, &beating("m1", 9, ""), ErrorCode::FencedMemberEpoch, greater);
    let smaller = "The consumer group member has a smaller member epoch (1) than the one known by the group coordinator \
                   (2). The member must abandon all its partitions and rejoin.";
    refused(&mut world, &beating("m1", 1, ""), ErrorCode::FencedMemberEpoch, smaller);
}

#[test]
fn instances_in_use_and_fenced() {
    let mut world = World::new();
    world.send(&static_joining("m1", "i1", &["a"]));
    let message =
        "Static member m2 with instance id i1 cannot join the group because the instance id is owned by m1 member.";
    refused(&mut world, &static_joining("m2", "i1", &["a"]), ErrorCode::UnreleasedInstanceId, message);
    let message = "Static member m2 with instance id i1 was fenced by member m1.";
    let beat = ConsumerGroupHeartbeatRequest { instance_id: Some("i1".into()), ..beating("m2", 2, "") };
    refused(&mut world, &beat, ErrorCode::FencedInstanceId, message);
    let leave = ConsumerGroupHeartbeatRequest { member_epoch: -2, ..beat };
    refused(&mut world, &leave, ErrorCode::FencedInstanceId, message);
}

#[test]
fn a_full_group() {
    let mut world = World::with(|mut view| {
        view.consumer.max_size = 2;
        view
    });
    world.join("m1", &["a"]);
    world.send(&static_joining("m2", "i2", &["a"]));
    let message = "The consumer group has reached its maximum capacity of 2 members.";
    refused(&mut world, &joining("m3", &["a"]), ErrorCode::GroupMaxSizeReached, message);
    assert_eq!(world.code(&joining("m1", &["a"])), ErrorCode::None, "who is in may stay");
    world.send(&ConsumerGroupHeartbeatRequest { instance_id: Some("i2".into()), member_epoch: -2, ..from("m2") });
    assert_eq!(world.code(&static_joining("m4", "i2", &["a"])), ErrorCode::None, "and who has a place may come back");
}

#[test]
fn invalid_regular_expressions() {
    let mut world = World::new();
    let message = "SubscribedTopicRegex `[` is not a valid regular expression: unclosed character class.";
    refused(&mut world, &joining_by_regex("m1", "["), ErrorCode::InvalidRegularExpression, message);
    assert_eq!(world.shard.list().count(), 0);
}

#[test]
fn a_state_of_a_newer_coordinator() {
    use super::super::super::records;
    use super::super::records::{Change, consumer_record};
    let mut world = World::new();
    world.join("m1", &["a"]);
    let current = world.log.iter().find_map(|record| match records::read(record).unwrap() {
        records::Event::Consumer { change: Change::Current { value: Some(value), .. }, .. } => Some(value),
        _ => None,
    });
    let mut value = current.unwrap();
    value.state = 77;
    let record = consumer_record(GROUP, &Change::Current { id: "m1".into(), value: Some(value) });
    world.shard.replay(&record, None, world.now()).unwrap();
    world.log.push(record);
    let message =
        "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.";
    refused(&mut world, &beating("m1", 2, "a0"), ErrorCode::FencedMemberEpoch, message);
    assert_eq!(world.join("m1", &["a"]), (2, held("a0 a1 a2")));
}

#[test]
fn a_subscription_that_could_not_be_written() {
    let long = "x".repeat(2 << 20);
    let message = "The request included a message larger than the max message size the server will accept.";
    refused(&mut World::new(), &joining("m1", &[&long]), ErrorCode::UnknownServerError, message);
}

#[test]
fn groups_of_another_kind() {
    let mut world = World::new();
    assert_eq!(world.commit("", -1, "a", 0, 5), ErrorCode::None);
    let message = "Group g is not a consumer group.";
    refused(&mut world, &beating("m1", 1, ""), ErrorCode::GroupIdNotFound, message);
    assert_eq!(world.describe().error_message.as_deref(), Some(message));
    // A place for offsets becomes a consumer group, and keeps them.
    world.join("m1", &["a"]);
    assert_eq!(world.shard.offset(GROUP, "a", 0).map(|committed| committed.offset), Some(5));
    assert_eq!(world.shard.describe(GROUP), None);
    assert_eq!(world.shard.not_classic(GROUP), "Group g is not a classic group.");
    world.check();
}
