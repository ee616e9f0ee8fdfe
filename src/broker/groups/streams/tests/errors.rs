//! What is refused, and with which code and words.

use super::*;
use crate::broker::coordinator::Token;
use crate::protocol::messages::streams_group_heartbeat_request::TaskOffset;
use crate::protocol::messages::{ConsumerGroupHeartbeatRequest, JoinGroupRequest};

#[track_caller]
fn refused(world: &mut World, request: &StreamsGroupHeartbeatRequest, code: ErrorCode, words: &str) {
    let answer = world.send(request);
    assert_eq!((ErrorCode::from_code(answer.error_code), answer.error_message.as_deref()), (code, Some(words)));
    world.check();
}

#[test]
fn requests_are_checked_whatever_their_group_is() {
    use ErrorCode::InvalidRequest;
    let mut world = World::new();
    let mut invalid =
        |request: StreamsGroupHeartbeatRequest, words: &str| refused(&mut world, &request, InvalidRequest, words);
    let join = || joining("m1");
    let beat = || beating("m1", 3, "");
    type Request = StreamsGroupHeartbeatRequest;
    invalid(Request { instance_id: Some("i".into()), ..join() }, "Static membership is not yet supported.");
    let offsets = || Some(vec![TaskOffset::default()]);
    invalid(Request { task_offsets: offsets(), ..beat() }, "TaskOffsets are not supported yet.");
    invalid(Request { task_end_offsets: offsets(), ..beat() }, "TaskEndOffsets are not supported yet.");
    let tasks = || Some(vec![TaskIds { subtopology_id: "0".into(), partitions: vec![0], ..Default::default() }]);
    invalid(Request { warmup_tasks: tasks(), ..beat() }, "WarmupTasks are not supported yet.");
    let mut by_regex = topology();
    by_regex.subtopologies[0].source_topic_regex = names(&["i.*"]);
    let words = "Regular expressions for source topics are not supported yet.";
    invalid(Request { topology: Some(by_regex), ..join() }, words);
    invalid(Request { member_id: String::new(), ..join() }, "MemberId can't be empty.");
    invalid(Request { group_id: " ".into(), ..join() }, "GroupId can't be empty.");
    invalid(Request { rack_id: Some(String::new()), ..join() }, "RackId can't be empty.");
    invalid(Request { rebalance_timeout_ms: -1, ..join() }, "RebalanceTimeoutMs must be provided in first request.");
    invalid(Request { active_tasks: tasks(), ..join() }, "ActiveTasks must be empty when (re-)joining.");
    invalid(Request { standby_tasks: None, ..join() }, "StandbyTasks must be empty when (re-)joining.");
    invalid(Request { topology: None, ..join() }, "Topology must be non-null when (re-)joining.");
    invalid(Request { member_epoch: -2, ..beat() }, "InstanceId can't be null.");
    invalid(Request { member_epoch: -3, ..beat() }, "MemberEpoch is -3, but must be greater than or equal to -2.");
    invalid(Request { active_tasks: None, ..beat() }, "If one task-type is non-null, all must be non-null.");
    invalid(Request { topology: Some(topology()), ..beat() }, "Topology can only be provided when (re-)joining.");
}

#[test]
fn topologies_are_checked_whatever_topics_there_are() {
    let mut world = World::new();
    let mut invalid = |change: fn(&mut Topology), words: &str| {
        let mut topology = topology();
        change(&mut topology);
        let request = StreamsGroupHeartbeatRequest { topology: Some(topology), ..joining("m1") };
        refused(&mut world, &request, ErrorCode::StreamsInvalidTopology, words);
    };
    let words = "Changelog topic g-changelog must have an undefined partition count, but it is set to 3.";
    invalid(|it| it.subtopologies[1].state_changelog_topics[0].partitions = 3, words);
    let words = "Use of Kafka internal topics __consumer_offsets in a Kafka Streams topology is prohibited.";
    invalid(|it| it.subtopologies[0].source_topics = names(&["__consumer_offsets", "in", "__consumer_offsets"]), words);
    let words = "Topic names a b,? are not valid topic names.";
    invalid(|it| it.subtopologies[0].repartition_sink_topics = names(&["a b", "?"]), words);
    invalid(|it| it.epoch = -1, "Topology epoch -1 must not be negative.");
    let twice = "Subtopology 0 is there more than once.";
    invalid(|it| it.subtopologies[1].subtopology_id = "0".into(), twice);
    invalid(
        |it| it.subtopologies[0].source_topics.clear(),
        "Failed to compute number of partitions for all repartition \
         topics. There may be loops in the topology that cannot be resolved.",
    );
    assert!(world.shard.list().next().is_none(), "no group came of it");
}

#[test]
fn a_topology_that_no_record_can_hold_is_refused() {
    let mut world = World::new();
    let mut large = topology();
    large.subtopologies[0].source_topics = (0..80_000).map(|n| format!("a-topic-{n}")).collect();
    let request = StreamsGroupHeartbeatRequest { topology: Some(large), ..joining("m1") };
    refused(&mut world, &request, ErrorCode::InvalidRequest, "The topology is too large.");
}

/// Goal: what a member says of itself, and what it is given, is written only where the log takes it.
#[test]
fn members_and_assignments_that_could_not_be_written() {
    let words = "The request included a message larger than the max message size the server will accept.";
    let mut world = World::settled();
    world.max_record_bytes = 1000;
    world.look();
    let request = StreamsGroupHeartbeatRequest { process_id: Some("p".repeat(2000)), ..joining("m2") };
    let written = world.log.len();
    refused(&mut world, &request, ErrorCode::UnknownServerError, words);
    assert_eq!((world.log.len(), world.member("m2").is_none()), (written, true));
    let mut world = World::new();
    world.max_record_bytes = 1000;
    world.set_topic("in", 1000);
    let (epoch, has) = world.join("m1");
    assert_eq!(has, held(""), "its internal topics are made now");
    refused(&mut world, &beating("m1", epoch, ""), ErrorCode::UnknownServerError, words);
    assert!(world.log.iter().all(|record| record.size() <= 1000));
    world.pass(Duration::from_secs(3600));
    assert_eq!(world.state(), "Empty");
}

#[test]
fn members_of_other_epochs_are_fenced() {
    let mut world = World::settled();
    let fenced = |how: &str, said: i32| {
        format!(
            "The streams group member has a {how} member epoch ({said}) than the one known by the group coordinator (3). \
             The member must abandon all its partitions and rejoin."
        )
    };
    refused(&mut world, &beating("m1", 4, ""), ErrorCode::FencedMemberEpoch, &fenced("greater", 4));
    refused(&mut world, &beating("m1", 1, ""), ErrorCode::FencedMemberEpoch, &fenced("smaller", 1));
    // The epoch before: as long as it has no more than it was given.
    world.set_topic("g-more", 1);
    let nothing_said = StreamsGroupHeartbeatRequest { member_epoch: 2, ..from("m1") };
    refused(&mut world, &nothing_said, ErrorCode::FencedMemberEpoch, &fenced("smaller", 2));
    refused(&mut world, &beating("m1", 2, "s1_0"), ErrorCode::FencedMemberEpoch, &fenced("smaller", 2));
    assert_eq!(world.beat("m1", 2, "0_0 1_1").0, 3);
}

#[test]
fn strangers_are_refused() {
    let mut world = World::new();
    refused(&mut world, &beating("m1", 1, ""), ErrorCode::GroupIdNotFound, "Streams group g not found.");
    let leaving = StreamsGroupHeartbeatRequest { member_epoch: -1, ..from("m1") };
    refused(&mut world, &leaving, ErrorCode::GroupIdNotFound, "Group g not found.");
    let mut world = World::settled();
    let words = "Member m2 is not a member of group g.";
    refused(&mut world, &beating("m2", 1, ""), ErrorCode::UnknownMemberId, words);
    let leaving = StreamsGroupHeartbeatRequest { member_epoch: -1, ..from("m2") };
    refused(&mut world, &leaving, ErrorCode::UnknownMemberId, words);
}

#[test]
fn tasks_that_are_not_there_are_refused() {
    use ErrorCode::InvalidRequest;
    let mut world = World::settled();
    let words = "Subtopology 7 does not exist in the topology.";
    refused(&mut world, &beating("m1", 3, "7_0"), InvalidRequest, words);
    let words = "Task 3 for subtopology 1 is invalid. Number of tasks for this subtopology: 3";
    refused(&mut world, &beating("m1", 3, "1_3"), InvalidRequest, words);
    let words = "Task -1 for subtopology 1 is invalid. Number of tasks for this subtopology: 3";
    refused(&mut world, &beating("m1", 3, "s1_-1"), InvalidRequest, words);
}

#[test]
fn a_full_group_takes_nobody() {
    let mut world = World::settled();
    let mut view = view_of(99, world.topics.iter().map(|(name, partitions)| (name.as_str(), *partitions)));
    view.streams.max_size = 1;
    world.shard.observe(&Arc::new(view));
    let words = "The streams group has reached its maximum capacity of 1 members.";
    let answer = world.send(&joining("m2"));
    let found = (ErrorCode::from_code(answer.error_code), answer.error_message.as_deref());
    assert_eq!(found, (ErrorCode::GroupMaxSizeReached, Some(words)));
}

#[test]
fn a_group_keeps_its_first_topology() {
    let mut world = World::settled();
    let with = |epoch: i32, change: fn(&mut Topology)| {
        let mut topology = Topology { epoch, ..topology() };
        change(&mut topology);
        StreamsGroupHeartbeatRequest { topology: Some(topology), ..joining("m2") }
    };
    let words = "Topology updates are not supported yet.";
    let other = with(0, |it| it.subtopologies[0].source_topics = names(&["in", "in2"]));
    refused(&mut world, &other, ErrorCode::InvalidRequest, words);
    refused(&mut world, &with(1, |_| {}), ErrorCode::InvalidRequest, words);
    let answer = world.send(&with(0, |it| it.subtopologies.reverse()));
    assert_eq!((answer.error_code, statuses(&answer)), (0, vec![]), "the order does not matter");
}

#[test]
fn a_member_with_an_older_topology_is_told_so() {
    let mut world = World::new();
    let with = |member: &str, epoch: i32| StreamsGroupHeartbeatRequest {
        topology: Some(Topology { epoch, ..topology() }),
        ..joining(member)
    };
    world.send(&with("m1", 2));
    let answer = world.send(&with("m2", 1));
    let words = "The member's topology epoch 1 is behind the group's topology epoch 2.";
    assert_eq!(statuses(&answer), [(0, words)]);
    let answer = world.send(&beating("m2", answer.member_epoch, ""));
    assert_eq!(statuses(&answer), [(0, words)], "each time");
    world.check();
}

#[test]
fn the_protocols_do_not_mix() {
    let mut world = World::settled();
    let client = Client { id: "c".into(), host: "/127.0.0.1".into() };
    let request = ConsumerGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: "m9".into(),
        rebalance_timeout_ms: 1000,
        subscribed_topic_names: Some(names(&["in"])),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let (answer, _) = world.shard.consumer_heartbeat(&request, 1, &client, world.now());
    let found = (ErrorCode::from_code(answer.error_code), answer.error_message.as_deref());
    assert_eq!(found, (ErrorCode::GroupIdNotFound, Some("Group g is not a consumer group.")));

    let join = JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        ..Default::default()
    };
    let effects = world.shard.join(&join, 9, &client, Token(1), world.now());
    world.take(effects);
    let Some(Reply::Join(answer)) = world.replies.last() else { panic!("no answer") };
    assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(world.shard.heartbeat(GROUP, "m1", None, 3, world.now()), ErrorCode::UnknownMemberId);
    assert_eq!(world.shard.describe(GROUP), None);
    world.check();
}

#[test]
fn empty_groups_change_their_protocol() {
    use crate::protocol::messages::join_group_request::JoinGroupRequestProtocol as Protocol;
    let mut world = World::settled();
    assert_eq!(world.leave("m1"), ErrorCode::None);
    let client = Client { id: "c".into(), host: "/127.0.0.1".into() };
    let join = JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![Protocol { name: "range".into(), ..Default::default() }],
        ..Default::default()
    };
    let kind = |world: &World| world.shard.list().next().unwrap().kind;
    let effects = world.shard.join(&join, 3, &client, Token(1), world.now());
    world.take(effects);
    assert_eq!(kind(&world), "classic");
    assert_eq!(world.code(&joining("m1")), ErrorCode::GroupIdNotFound, "somebody is in the classic group");
    // It goes silent.
    world.pass(Duration::from_secs(60));
    assert_eq!(world.code(&joining("m1")), ErrorCode::None);
    assert_eq!(kind(&world), "streams");
    world.check();
}

#[test]
fn a_member_of_an_unknown_state_starts_anew() {
    let mut world = World::settled();
    let Some(Kind::Streams(group)) = world.shard.groups.get_mut(GROUP).map(|group| &mut group.kind) else { panic!() };
    let mut current = group.members["m1"].current();
    current.state = 9;
    group.apply(Change::Current { id: "m1".into(), value: Some(Box::new(current)) });
    let answer = world.send(&beating("m1", 3, "0_0"));
    assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::FencedMemberEpoch);
    assert_eq!(world.join("m1").1.len(), 6);
    world.check();
}
