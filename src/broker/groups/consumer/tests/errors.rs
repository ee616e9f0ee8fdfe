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
    let many: Vec<String> = (0..80_000).map(|n| format!("a-topic-{n:08}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let message = "The request included a message larger than the max message size the server will accept.";
    refused(&mut World::new(), &joining("m1", &many), ErrorCode::UnknownServerError, message);
}

#[test]
fn a_member_that_could_not_be_written_stays_as_it_was() {
    let mut world = small_records();
    world.send(&static_joining("m1", "i1", &["a"]));
    let message = "The request included a message larger than the max message size the server will accept.";
    let long = Some("x".repeat(300));
    let beat = ConsumerGroupHeartbeatRequest { instance_id: Some("i1".into()), ..beating("m1", 2, "a0 a1 a2") };
    let larger = ConsumerGroupHeartbeatRequest { rack_id: long.clone(), ..beat.clone() };
    refused(&mut world, &larger, ErrorCode::UnknownServerError, message);
    assert_eq!(world.code(&beat), ErrorCode::None);
    // Nor does it come back under another id with that.
    world.send(&ConsumerGroupHeartbeatRequest { member_epoch: -2, ..beat });
    let back = ConsumerGroupHeartbeatRequest { rack_id: long, ..static_joining("m2", "i1", &["a"]) };
    refused(&mut world, &back, ErrorCode::UnknownServerError, message);
    assert!(world.member("m1").is_some());
    assert_eq!(world.code(&static_joining("m2", "i1", &["a"])), ErrorCode::None);
    world.check();
}

/// A cluster whose log takes small records only.
fn small_records() -> World {
    World::with(|mut view| {
        view.consumer.timing.assignment_interval.default = Duration::ZERO;
        view.max_record_bytes = RecordLimit(200);
        view
    })
}

/// Goal: an assignment that no record can say stops its own group, until who asked for it is gone; nothing is written that the log refuses.
#[test]
fn an_assignment_that_could_not_be_written() {
    let mut world = small_records();
    world.set_topic("c", 100);
    let message = "The request included a message larger than the max message size the server will accept.";
    refused(&mut world, &joining("m1", &["c"]), ErrorCode::UnknownServerError, message);
    assert_eq!(world.shard.list().count(), 0, "a new group does not come into being");
    assert_eq!(world.join("m1", &["a"]), (2, held("a0 a1 a2")));
    assert_eq!(world.code(&joining("m2", &["c"])), ErrorCode::UnknownServerError);
    assert_eq!(world.code(&beating("m1", 2, "a0 a1 a2")), ErrorCode::UnknownServerError);
    world.check();
    // It was heard of once, and is shut out like anybody.
    world.pass(Duration::from_secs(30));
    assert_eq!(world.code(&beating("m1", 2, "a0 a1 a2")), ErrorCode::UnknownServerError);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (4, None));
    assert!(world.log.iter().all(|record| record.size() <= 200));
    world.check();
}

#[test]
fn a_regular_expression_that_matches_more_than_a_record_can_name() {
    let mut world = small_records();
    for n in 0..50 {
        world.topics.insert(format!("c{n:04}"), 1);
    }
    world.look();
    let both = ConsumerGroupHeartbeatRequest { subscribed_topic_regex: Some("c.*".into()), ..joining("m1", &["a"]) };
    world.send(&both);
    world.look_up();
    assert_eq!(world.beat("m1", 2, "a0 a1 a2"), (2, None), "the group goes on with what it has");
    assert!(world.log.iter().all(|record| record.size() <= 200));
    world.check();
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
