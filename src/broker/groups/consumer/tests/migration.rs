//! Groups that go from one protocol to the other while members are in them.

use bytes::Bytes;

use super::*;
use crate::broker::groups::modern::MigrationPolicy;
use crate::protocol::messages::consumer_protocol_subscription::TopicPartition;
use crate::protocol::messages::join_group_request::JoinGroupRequestProtocol;
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use crate::protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest,
};
use crate::protocol::{Message, Reader, Wire, Writer};

/// What a classic consumer sends about itself, in version 3.
pub(super) fn subscription(topics: &[&str], owned: &str) -> Bytes {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in owned.split_whitespace() {
        let (topic, number) = partition.split_at(1);
        by_topic.entry(topic).or_default().push(number.parse().unwrap());
    }
    let owned = by_topic.into_iter().map(|(topic, partitions)| TopicPartition { topic: topic.to_owned(), partitions });
    let message = ConsumerProtocolSubscription {
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        owned_partitions: owned.collect(),
        ..Default::default()
    };
    encoded(&message)
}

fn encoded<M: Message>(message: &M) -> Bytes {
    let mut w = Writer::new();
    w.raw(&3i16.to_be_bytes());
    message.encode(&mut w, 3).unwrap();
    w.into_bytes()
}

fn assigned(bytes: &Bytes) -> Held {
    let mut r = Reader::new(bytes);
    let version = i16::read(&mut r, 0).unwrap();
    let assignment = ConsumerProtocolAssignment::decode(&mut r, version).unwrap();
    let each = |topic: &crate::protocol::messages::consumer_protocol_assignment::TopicPartition| {
        topic.partitions.iter().map(|partition| format!("{}{partition}", topic.topic)).collect::<Vec<_>>()
    };
    assignment.assigned_partitions.iter().flat_map(each).collect()
}

pub(super) fn classic_joining(member: &str, metadata: Bytes) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol { name: "range".into(), metadata, ..Default::default() };
    JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 20_000,
        rebalance_timeout_ms: REBALANCE,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    }
}

impl World {
    fn classic_join(&mut self, request: &JoinGroupRequest, version: i16) -> Token {
        let token = Token(self.replies.len() as u64 + self.log.len() as u64 * 1000 + self.elapsed.as_millis() as u64);
        let client = Client { id: "c".into(), host: "/127.0.0.1".into() };
        let effects = self.shard.join(request, version, &client, token, self.now());
        self.take(effects);
        token
    }

    fn joined(&mut self, token: Token) -> Option<JoinGroupResponse> {
        match self.replies.remove(&token)? {
            Reply::Join(answer) => Some(answer),
            Reply::Sync(_) => panic!("a sync's answer"),
        }
    }

    /// Joins a consumer group by the classic protocol: the member's id and generation.
    fn classic_member(&mut self, topics: &[&str]) -> (String, i32) {
        let token = self.classic_join(&classic_joining("", subscription(topics, "")), 9);
        let answer = self.joined(token).unwrap();
        assert_eq!(answer.error_code, ErrorCode::MemberIdRequired.code());
        let token = self.classic_join(&classic_joining(&answer.member_id, subscription(topics, "")), 9);
        let answer = self.joined(token).unwrap();
        assert_eq!((answer.error_code, answer.leader.as_str()), (0, ""), "it leads nothing");
        (answer.member_id, answer.generation_id)
    }

    /// Joins again with what the member has; its generation.
    fn rejoin(&mut self, member: &str, topics: &[&str], owned: &str) -> i32 {
        let token = self.classic_join(&classic_joining(member, subscription(topics, owned)), 9);
        let answer = self.joined(token).unwrap();
        assert_eq!(answer.error_code, 0);
        answer.generation_id
    }

    /// The same of a static member that has nothing.
    fn rejoin_as(&mut self, member: &str, instance: &str) -> i32 {
        let request = JoinGroupRequest {
            group_instance_id: Some(instance.into()),
            ..classic_joining(member, subscription(&["a"], ""))
        };
        let token = self.classic_join(&request, 9);
        let answer = self.joined(token).unwrap();
        assert_eq!(answer.error_code, 0);
        answer.generation_id
    }

    pub(super) fn classic_sync(&mut self, member: &str, generation: i32) -> Result<Held, ErrorCode> {
        self.sync_with(member, generation, &[])
    }

    fn sync_with(&mut self, member: &str, generation: i32, all: &[(&str, Bytes)]) -> Result<Held, ErrorCode> {
        let assignments = all.iter().map(|(member, assignment)| SyncGroupRequestAssignment {
            member_id: (*member).to_owned(),
            assignment: assignment.clone(),
            ..Default::default()
        });
        let request = SyncGroupRequest {
            group_id: GROUP.into(),
            member_id: member.into(),
            generation_id: generation,
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: assignments.collect(),
            ..Default::default()
        };
        let token = Token(u64::MAX - self.log.len() as u64);
        let effects = self.shard.sync(&request, token, self.now());
        self.take(effects);
        match self.replies.remove(&token) {
            Some(Reply::Sync(answer)) if answer.error_code == 0 => Ok(assigned(&answer.assignment)),
            Some(Reply::Sync(answer)) => Err(ErrorCode::from_code(answer.error_code)),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn classic_beat(&mut self, member: &str, generation: i32) -> ErrorCode {
        self.shard.heartbeat(GROUP, member, None, generation, self.now())
    }

    pub(super) fn kind(&self) -> &'static str {
        self.shard.list().next().map_or("none", |group| group.kind)
    }

    /// A stable classic group of one member that has all of topic a.
    fn classic_group(&mut self) -> String {
        let token = self.classic_join(&classic_joining("", subscription(&["a"], "")), 3);
        self.pass(Duration::from_secs(7));
        let answer = self.joined(token).unwrap();
        let assignment = ConsumerProtocolAssignment {
            assigned_partitions: vec![crate::protocol::messages::consumer_protocol_assignment::TopicPartition {
                topic: "a".into(),
                partitions: vec![0, 1, 2],
            }],
            ..Default::default()
        };
        let member = answer.member_id;
        let all = [(member.as_str(), encoded(&assignment))];
        assert_eq!(self.sync_with(&member, 1, &all), Ok(held("a0 a1 a2")));
        member
    }
}

#[test]
fn a_classic_member_is_served_from_the_groups_assignment() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let (classic, generation) = world.classic_member(&["a"]);
    assert_eq!((generation, world.kind()), (3, "consumer"));
    assert_eq!(world.classic_sync(&classic, 3), Ok(held("")), "it is the other's still");
    assert_eq!(world.classic_beat(&classic, 3), ErrorCode::None);
    assert_eq!(world.beat("m1", 2, "a0 a1 a2").1, Some(held("a0 a1")));
    world.beat("m1", 2, "a0 a1");
    assert_eq!(world.classic_beat(&classic, 3), ErrorCode::RebalanceInProgress, "there is something for it");
    assert_eq!(world.rejoin(&classic, &["a"], ""), 3);
    assert_eq!(world.classic_sync(&classic, 3), Ok(held("a2")));
    let types: BTreeMap<_, _> = world.describe().members.into_iter().map(|m| (m.member_id, m.member_type)).collect();
    assert_eq!((types[&classic], types["m1"]), (0, 1));
    assert_eq!(world.commit_version(&classic, 3, ("a", 2), 5, 8), ErrorCode::None, "in its own version");
    assert_eq!(world.commit_version(&classic, 4, ("a", 2), 5, 8), ErrorCode::IllegalGeneration);
    world.check();
    // A new member takes something of it: it is told to join again, gives up, and goes on.
    world.set_topic("a", 4);
    world.join("m0", &["a"]);
    assert_eq!(world.classic_beat(&classic, 3), ErrorCode::RebalanceInProgress);
    assert_eq!(world.classic_sync(&classic, 3), Err(ErrorCode::RebalanceInProgress));
    world.check();
}

#[test]
fn a_classic_member_that_does_not_come_back_is_shut_out() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let (classic, generation) = world.classic_member(&["a"]);
    world.set_topic("a", 6);
    let (epoch, kept) = world.beat("m1", 2, "a0 a1 a2");
    let kept: Vec<String> = kept.into_iter().flatten().collect();
    world.beat("m1", epoch, &kept.join(" "));
    for _ in 0..3 {
        assert_eq!(world.classic_beat(&classic, generation), ErrorCode::RebalanceInProgress);
        world.pass(Duration::from_secs(11));
    }
    assert_eq!(world.classic_beat(&classic, generation), ErrorCode::UnknownMemberId);
    world.check();
}

#[test]
fn a_classic_member_that_never_syncs_is_shut_out() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let (classic, generation) = world.classic_member(&["a"]);
    for _ in 0..3 {
        world.pass(Duration::from_secs(9));
        assert_eq!(world.classic_beat(&classic, generation), ErrorCode::None);
    }
    world.pass(Duration::from_secs(4));
    assert_eq!(world.classic_beat(&classic, generation), ErrorCode::UnknownMemberId);
}

#[test]
fn what_a_classic_member_is_refused_for() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let refused = |world: &mut World, request: &JoinGroupRequest| {
        let token = world.classic_join(request, 9);
        ErrorCode::from_code(world.joined(token).unwrap().error_code)
    };
    let connect =
        JoinGroupRequest { protocol_type: "connect".into(), ..classic_joining("x", subscription(&["a"], "")) };
    assert_eq!(refused(&mut world, &connect), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(refused(&mut world, &classic_joining("x", Bytes::new())), ErrorCode::InconsistentGroupProtocol);
    let (classic, generation) = world.classic_member(&["a"]);
    assert_eq!(world.classic_sync("m1", 3), Err(ErrorCode::UnknownMemberId), "not by the classic protocol");
    assert_eq!(world.classic_sync("nobody", 3), Err(ErrorCode::UnknownMemberId));
    assert_eq!(world.classic_sync(&classic, generation + 1), Err(ErrorCode::IllegalGeneration));
    assert_eq!(world.classic_beat(&classic, generation + 1), ErrorCode::IllegalGeneration);
    assert_eq!(world.classic_beat("m1", 2), ErrorCode::UnknownMemberId);
    let members = [MemberIdentity { member_id: "nobody".into(), ..Default::default() }];
    let now = world.now();
    assert_eq!(world.shard.leave(GROUP, &members, now).0, [ErrorCode::UnknownMemberId]);
    let mut world = World::with(|mut view| {
        view.consumer.migration = MigrationPolicy::Disabled;
        view
    });
    world.join("m1", &["a"]);
    let request = classic_joining("x", subscription(&["a"], ""));
    assert_eq!(refused(&mut world, &request), ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn a_classic_group_becomes_a_consumer_group_with_its_assignment() {
    let mut world = World::new();
    let classic = world.classic_group();
    assert_eq!(world.commit_version(&classic, 1, ("a", 0), 5, 8), ErrorCode::None);
    assert_eq!(world.kind(), "classic");
    assert_eq!(world.join("m1", &["a"]), (2, held("")));
    assert_eq!(world.kind(), "consumer");
    world.check();
    assert_eq!(world.commit_version(&classic, 1, ("a", 0), 6, 8), ErrorCode::None);
    assert_eq!(world.classic_beat(&classic, 1), ErrorCode::RebalanceInProgress);
    assert_eq!(world.rejoin(&classic, &["a"], "a0 a1 a2"), 1, "it has something to give up first");
    let kept = world.classic_sync(&classic, 1).unwrap();
    assert_eq!(kept.len(), 2);
    let kept: Vec<String> = kept.into_iter().collect();
    assert_eq!(world.rejoin(&classic, &["a"], &kept.join(" ")), 2);
    assert_eq!(world.classic_sync(&classic, 2).unwrap().len(), 2);
    assert_eq!(world.beat("m1", 2, "").1.map(|held| held.len()), Some(1));
    world.check();
}

#[test]
fn who_upgrades_a_group_may_bring_a_regular_expression() {
    let mut world = World::new();
    world.classic_group();
    let (epoch, owned) = given(&world.send(&joining_by_regex("m1", "b")));
    assert_eq!((owned, world.kind(), world.lookups.len()), (held(""), "consumer", 1));
    world.check();
    world.look_up();
    world.check();
    assert_eq!(world.beat("m1", epoch, "").1, Some(held("b0 b1")));
}

/// Goal: what is found for a group that has become a classic one meanwhile changes nothing.
#[test]
fn a_group_that_goes_back_does_not_wait_for_its_look_up() {
    let mut world = World::new();
    world.classic_group();
    world.send(&joining_by_regex("m1", "b"));
    assert_eq!(world.leave("m1"), ErrorCode::None);
    assert_eq!((world.kind(), world.lookups.len()), ("classic", 1));
    let written = world.log.len();
    world.look_up();
    assert_eq!((world.kind(), world.log.len()), ("classic", written));
}

#[test]
fn classic_groups_that_do_not_become_consumer_groups() {
    let mut world = World::with(|mut view| {
        view.consumer.migration = MigrationPolicy::Downgrade;
        view
    });
    world.classic_group();
    let message = |world: &mut World| world.send(&joining("m1", &["a"])).error_message.unwrap();
    let disabled = "Cannot upgrade classic group g to consumer group because online upgrade is disabled.";
    assert_eq!(message(&mut world), disabled);
    assert_eq!(world.kind(), "classic");
    let mut world = World::new();
    let connect = JoinGroupRequest { protocol_type: "connect".into(), ..classic_joining("", subscription(&["a"], "")) };
    world.classic_join(&connect, 3);
    assert!(message(&mut world).ends_with("does not use the consumer embedded protocol."));
    let mut world = World::new();
    world.classic_join(&classic_joining("", Bytes::from_static(b"?")), 3);
    assert!(message(&mut world).ends_with("the embedded consumer protocol is malformed."));
    assert_eq!(world.kind(), "classic");
}

#[test]
fn a_rebalance_under_way_does_not_hold_up_an_upgrade() {
    let mut world = World::new();
    let token = world.classic_join(&classic_joining("", subscription(&["a"], "")), 3);
    assert_eq!(world.join("m1", &["a"]).1, held("a1 a2"), "the rest waits for the other");
    let answer = world.joined(token).unwrap();
    assert_eq!(answer.error_code, ErrorCode::RebalanceInProgress.code());
    world.check();
}

#[test]
fn the_group_is_classic_again_when_the_last_new_member_leaves() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let (classic, generation) = world.classic_member(&["a"]);
    world.classic_sync(&classic, generation).unwrap();
    assert_eq!(world.leave("m1"), ErrorCode::None);
    assert_eq!(world.kind(), "classic");
    assert_eq!(world.classic_beat(&classic, 3), ErrorCode::RebalanceInProgress);
    let token = world.classic_join(&classic_joining(&classic, subscription(&["a"], "")), 9);
    let answer = world.joined(token).unwrap();
    assert_eq!((answer.generation_id, answer.leader.as_str()), (4, classic.as_str()));
    let replayed = world.replayed();
    assert_eq!(replayed.list().next().map(|group| group.kind), Some("classic"));
    assert_eq!(replayed.describe(GROUP).unwrap().members.len(), 1);
}

/// Goal: a group that is too large for the one record of a classic group stays what it is, and works.
#[test]
fn a_group_that_no_record_can_hold_does_not_become_classic() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let (one, _) = world.classic_member(&["a"]);
    let (other, _) = world.classic_member(&["a"]);
    world.shard.config.max_record_bytes = 150;
    assert_eq!(world.leave("m1"), ErrorCode::None);
    assert_eq!((world.kind(), world.member("m1").is_none()), ("consumer", true));
    world.check();
    assert!(!world.log.iter().any(|record| record.key.starts_with(&[0, 2])));
    // The others share what it had.
    for member in [&one, &other, &one, &other] {
        let generation = world.rejoin(member, &["a"], "");
        assert!(generation > 0);
    }
    assert_eq!(
        world.describe().members.iter().map(|it| it.assignment.topic_partitions[0].partitions.len()).sum::<usize>(),
        3
    );
    world.check();
    // One alone fits.
    world.shard.config.max_record_bytes = 1000;
    let members = [MemberIdentity { member_id: other.clone(), ..Default::default() }];
    let effects = world.shard.leave(GROUP, &members, world.now()).1;
    world.take(effects);
    assert_eq!(world.kind(), "classic");
}

#[test]
fn the_group_is_classic_again_when_the_last_new_member_falls_silent() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let (classic, generation) = world.classic_member(&["a"]);
    world.classic_sync(&classic, generation).unwrap();
    for _ in 0..5 {
        world.pass(Duration::from_secs(10));
        world.classic_beat(&classic, generation);
    }
    assert_eq!(world.kind(), "classic");
}

#[test]
fn a_static_member_that_goes_back_to_the_classic_protocol_takes_the_group_with_it() {
    let mut world = World::new();
    given(&world.send(&static_joining("m1", "i1", &["a"])));
    let (classic, generation) = world.classic_member(&["a"]);
    world.classic_sync(&classic, generation).unwrap();
    let back =
        JoinGroupRequest { group_instance_id: Some("i1".into()), ..classic_joining("", subscription(&["a"], "")) };
    let token = world.classic_join(&back, 9);
    let answer = world.joined(token).unwrap();
    assert_eq!((answer.error_code, world.kind()), (0, "classic"));
    assert_eq!(answer.generation_id, 3, "the assignment is that of the last epoch: nobody has to join again");
    assert_eq!(world.sync_with(&answer.member_id, 3, &[]).map(|held| held.len()), Ok(2));
    assert_eq!(world.classic_beat(&classic, 3), ErrorCode::None);
    let replayed = world.replayed();
    assert_eq!(replayed.describe(GROUP), world.shard.describe(GROUP));
}

#[test]
fn a_static_member_takes_its_place_along_to_the_new_protocol() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let fixed =
        JoinGroupRequest { group_instance_id: Some("i1".into()), ..classic_joining("", subscription(&["a"], "")) };
    let token = world.classic_join(&fixed, 9);
    let old = world.joined(token).unwrap();
    assert_eq!(old.error_code, 0, "a static member is not sent back for its id");
    world.beat("m1", 2, "a0 a1 a2");
    world.beat("m1", 2, "a0 a1");
    assert_eq!(world.rejoin_as(&old.member_id, "i1"), 3);
    let epoch = world.describe().group_epoch;
    assert_eq!(given(&world.send(&static_joining("m2", "i1", &["a"]))), (3, held("a2")));
    assert_eq!(world.describe().group_epoch, epoch, "nobody else is disturbed");
    assert_eq!(world.classic_beat(&old.member_id, 3), ErrorCode::UnknownMemberId);
    world.check();
}

#[test]
fn classic_members_leave_together() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    let (one, _) = world.classic_member(&["a"]);
    let (other, _) = world.classic_member(&["a"]);
    let leaving = |id: &str| MemberIdentity { member_id: id.into(), ..Default::default() };
    let now = world.now();
    let epoch = world.describe().group_epoch;
    let (answers, effects) = world.shard.leave(GROUP, &[leaving(&one), leaving("x"), leaving(&other)], now);
    world.take(effects);
    assert_eq!(answers, [ErrorCode::None, ErrorCode::UnknownMemberId, ErrorCode::None]);
    assert_eq!(world.describe().group_epoch, epoch + 1);
    world.check();
}

#[test]
fn an_empty_group_is_of_the_kind_that_comes_next() {
    let mut world = World::new();
    world.join("m1", &["a"]);
    world.commit("m1", 2, "a", 0, 9);
    world.leave("m1");
    let stranger = world.classic_join(&classic_joining("x", subscription(&["a"], "")), 9);
    assert_eq!(world.joined(stranger).unwrap().error_code, ErrorCode::UnknownMemberId.code());
    assert_eq!(world.kind(), "consumer");
    let member = world.classic_group();
    assert_eq!(world.kind(), "classic");
    assert_eq!(world.shard.offset(GROUP, "a", 0).unwrap().offset, 9, "its offsets stay");
    let leaving = [MemberIdentity { member_id: member, ..Default::default() }];
    let now = world.now();
    let effects = world.shard.leave(GROUP, &leaving, now).1;
    world.take(effects);
    world.join("m1", &["a"]);
    assert_eq!(world.kind(), "consumer");
    world.check();
}
