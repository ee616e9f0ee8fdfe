//! Consumer groups of KIP-848 over the wire, with the answers that Kafka 4.3.1 gave to the same requests.
//! `KAFKA_RS_TEST_BOOTSTRAP=HOST:PORT` asks a cluster that runs already.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "the support module serves several tests")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::consumer_group_heartbeat_response::TopicPartitions;
use kafka_rs::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_rs::protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_rs::protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_rs::protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DeleteGroupsRequest,
    DescribeGroupsRequest, FindCoordinatorRequest, ListGroupsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, metadata_request,
};
use kafka_rs::types::Uuid;
use support::{Broker, wait_for};
use wire::Wire;

/// A connection to a group's coordinator, once there is one, and a topic of three partitions.
struct Coordinator {
    wire: Wire,
    group: String,
    topic: String,
    topic_id: Uuid,
    _broker: Option<Broker>,
}

impl Coordinator {
    fn start(settings: &[&str]) -> Self {
        let outside = std::env::var("KAFKA_RS_TEST_BOOTSTRAP").ok();
        let broker = outside.is_none().then(|| Broker::start_with(settings));
        let address = outside.unwrap_or_else(|| broker.as_ref().unwrap().address().to_owned());
        let mut wire = Wire::connect(&address);
        let unique = format!("{:x}", fastrand::u64(..));
        let (group, topic) = (format!("g-{unique}"), format!("t-{unique}"));
        wire.create_topic(&topic, 3, &[]);
        let find = FindCoordinatorRequest { coordinator_keys: vec![group.clone()], ..Default::default() };
        wait_for("a coordinator", Duration::from_secs(30), || {
            let found = wire.call(&find, 4).unwrap();
            (found.coordinators[0].error_code == 0).then_some(())
        });
        let named = metadata_request::MetadataRequestTopic { name: Some(topic.clone()), ..Default::default() };
        let request = MetadataRequest { topics: Some(vec![named]), ..Default::default() };
        let topic_id = wait_for("the topic's id", Duration::from_secs(30), || {
            let found = wire.call(&request, 12).unwrap().topics[0].topic_id;
            (found != Uuid::ZERO).then_some(found)
        });
        Self { wire, group, topic, topic_id, _broker: broker }
    }

    fn from(&self, member: &str) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest { group_id: self.group.clone(), member_id: member.into(), ..Default::default() }
    }

    fn joining(&self, member: &str) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: 30_000,
            subscribed_topic_names: Some(vec![self.topic.clone()]),
            topic_partitions: Some(Vec::new()),
            ..self.from(member)
        }
    }

    fn heartbeat(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let answer = || self.wire.call(request, 1).unwrap();
        let mut answer = answer;
        wait_for("the groups to be loaded", Duration::from_secs(30), || {
            let answer = answer();
            let loading = [ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator].map(ErrorCode::code);
            (!loading.contains(&answer.error_code)).then_some(answer)
        })
    }

    fn refused(&mut self, request: &ConsumerGroupHeartbeatRequest, code: i16, words: &str) {
        let answer = self.heartbeat(request);
        assert_eq!(answer.error_code, code, "{:?}", answer.error_message);
        let message = answer.error_message.unwrap_or_default();
        assert!(message.contains(words), "{message}");
    }

    /// Commits offset 7 of the first partition: its error code.
    fn commit(&mut self, member: &str, epoch: i32, version: i16) -> i16 {
        let partition = OffsetCommitRequestPartition { committed_offset: 7, ..Default::default() };
        let by_id = version >= 10;
        let topic = OffsetCommitRequestTopic {
            name: if by_id { String::new() } else { self.topic.clone() },
            topic_id: if by_id { self.topic_id } else { Uuid::ZERO },
            partitions: vec![partition],
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: epoch,
            member_id: member.into(),
            topics: vec![topic],
            ..Default::default()
        };
        self.wire.call(&request, version).unwrap().topics[0].partitions[0].error_code
    }

    /// The group's error code, and the offset of the first partition.
    fn fetch(&mut self, member: Option<&str>, epoch: i32, version: i16) -> (i16, Option<i64>) {
        let by_id = version >= 10;
        let topic = OffsetFetchRequestTopics {
            name: if by_id { String::new() } else { self.topic.clone() },
            topic_id: if by_id { self.topic_id } else { Uuid::ZERO },
            partition_indexes: vec![0],
            ..Default::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: self.group.clone(),
            member_id: member.map(str::to_owned),
            member_epoch: epoch,
            topics: Some(vec![topic]),
            ..Default::default()
        };
        let answer =
            self.wire.call(&OffsetFetchRequest { groups: vec![group], ..Default::default() }, version).unwrap();
        let group = &answer.groups[0];
        let first = group.topics.first().and_then(|topic| topic.partitions.first());
        (group.error_code, first.map(|partition| partition.committed_offset))
    }

    /// The group's state as ListGroups shows it under these filters.
    fn listed(&mut self, types: &[&str], states: &[&str]) -> Option<(String, String, String)> {
        let all = |filter: &[&str]| filter.iter().map(|one| (*one).to_owned()).collect();
        let request = ListGroupsRequest { types_filter: all(types), states_filter: all(states), ..Default::default() };
        let groups = self.wire.call(&request, 5).unwrap().groups;
        let found = groups.into_iter().find(|group| group.group_id == self.group)?;
        Some((found.group_type, found.protocol_type, found.group_state))
    }
}

#[test]
fn a_group_from_its_first_member_to_its_end() {
    let on = &mut Coordinator::start(&[]);
    let joined = on.heartbeat(&on.joining("m1"));
    assert_eq!((joined.error_code, joined.member_epoch, joined.heartbeat_interval_ms), (0, 2, 5000));
    let all = TopicPartitions { topic_id: on.topic_id, partitions: vec![0, 1, 2], ..Default::default() };
    assert_eq!(joined.assignment.unwrap().topic_partitions, [all]);
    let quiet = on.heartbeat(&ConsumerGroupHeartbeatRequest { member_epoch: 2, ..on.from("m1") });
    assert_eq!((quiet.error_code, quiet.member_epoch, quiet.assignment), (0, 2, None));

    // Offsets
    assert_eq!(on.commit("m1", 2, 9), 0);
    assert_eq!(on.commit("m1", 2, 10), 0);
    assert_eq!(on.commit("m1", 3, 9), 113);
    assert_eq!(on.commit("m1", 1, 9), 113);
    assert_eq!(on.commit("m2", 2, 9), 25);
    assert_eq!(on.commit("", -1, 9), 25);
    assert_eq!(on.commit("m1", 2, 8), 35);
    assert_eq!(on.fetch(None, -1, 9), (0, Some(7)));
    assert_eq!(on.fetch(Some("m1"), 2, 9), (0, Some(7)));
    assert_eq!(on.fetch(Some("m1"), 2, 10), (0, Some(7)));
    assert_eq!(on.fetch(Some("m1"), 1, 9).0, 113);
    assert_eq!(on.fetch(Some("m2"), 2, 9).0, 25);
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
    let topics = vec![OffsetDeleteRequestTopic { name: on.topic.clone(), partitions }];
    let deleted = on.wire.call(&OffsetDeleteRequest { group_id: on.group.clone(), topics }, 0).unwrap();
    assert_eq!((deleted.error_code, deleted.topics[0].partitions[0].error_code), (0, 86));

    // Administration
    let describe = ConsumerGroupDescribeRequest {
        group_ids: vec![on.group.clone(), "nope".into(), String::new()],
        include_authorized_operations: true,
        ..Default::default()
    };
    let described = on.wire.call(&describe, 1).unwrap().groups;
    let find = |id: &str| described.iter().find(|group| group.group_id == id).unwrap();
    let group = find(&on.group);
    assert_eq!((group.error_code, group.group_state.as_str(), group.assignor_name.as_str()), (0, "Stable", "uniform"));
    assert_eq!((group.group_epoch, group.assignment_epoch, group.authorized_operations), (2, 2, 3400));
    let member = &group.members[0];
    assert_eq!((member.member_id.as_str(), member.member_epoch, member.member_type), ("m1", 2, 1));
    assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("wire-test", "/127.0.0.1"));
    assert_eq!(member.subscribed_topic_regex.as_deref(), Some(""));
    assert_eq!(member.assignment, member.target_assignment);
    assert_eq!(member.assignment.topic_partitions[0].topic_name, on.topic);
    assert_eq!((find("nope").error_code, find("nope").error_message.as_deref()), (69, Some("Group nope not found.")));
    assert_eq!(find("").error_code, 24);
    let kind = |state: &str| Some(("consumer".to_owned(), "consumer".to_owned(), state.to_owned()));
    assert_eq!(on.listed(&[], &[]), kind("Stable"));
    assert_eq!(on.listed(&["Consumer"], &["stable"]), kind("Stable"));
    assert_eq!(on.listed(&["classic"], &[]), None);
    assert_eq!(on.listed(&[], &["Empty"]), None);
    let request = DescribeGroupsRequest { groups: vec![on.group.clone()], ..Default::default() };
    let answer = on.wire.call(&request, 6).unwrap();
    let message = format!("Group {} is not a classic group.", on.group);
    assert_eq!((answer.groups[0].error_code, answer.groups[0].error_message.as_deref()), (69, Some(message.as_str())));
    let delete = DeleteGroupsRequest { groups_names: vec![on.group.clone()], ..Default::default() };
    assert_eq!(on.wire.call(&delete, 2).unwrap().results[0].error_code, 68);

    // The end
    let left = on.heartbeat(&ConsumerGroupHeartbeatRequest { member_epoch: -1, ..on.from("m1") });
    assert_eq!((left.error_code, left.member_epoch, left.member_id.as_deref()), (0, -1, Some("m1")));
    assert_eq!(on.listed(&[], &[]), kind("Empty"));
    assert_eq!(on.commit("", -1, 9), 0, "a tool, while nobody is there");
    assert_eq!(on.wire.call(&delete, 2).unwrap().results[0].error_code, 0);
    assert_eq!(on.listed(&[], &[]), None);
    assert_eq!(on.wire.call(&delete, 2).unwrap().results[0].error_code, 69);
}

#[test]
fn members_are_refused_in_kafkas_words() {
    let on = &mut Coordinator::start(&[]);
    let message = format!("Consumer group {} not found.", on.group);
    on.refused(&ConsumerGroupHeartbeatRequest { member_epoch: 1, ..on.from("m1") }, 69, &message);
    let fair = ConsumerGroupHeartbeatRequest { server_assignor: Some("fair".into()), ..on.joining("m1") };
    on.refused(&fair, 112, "ServerAssignor fair is not supported. Supported assignors: uniform, range.");
    on.refused(&on.joining(""), 42, "MemberId can't be empty.");
    let regex = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("[".into()),
        ..on.joining("m1")
    };
    on.refused(&regex, 128, "SubscribedTopicRegex `[` is not a valid regular expression: ");
    let fixed = ConsumerGroupHeartbeatRequest { instance_id: Some("i1".into()), ..on.joining("m1") };
    assert_eq!(on.heartbeat(&fixed).error_code, 0);
    let other = ConsumerGroupHeartbeatRequest { member_id: "m2".into(), ..fixed.clone() };
    on.refused(&other, 111, "because the instance id is owned by m1 member.");
    let beat = ConsumerGroupHeartbeatRequest { member_epoch: 2, ..other };
    on.refused(&beat, 82, "Static member m2 with instance id i1 was fenced by member m1.");
    on.refused(
        &ConsumerGroupHeartbeatRequest { member_epoch: 9, ..on.from("m1") },
        110,
        "has a greater member epoch (9)",
    );
    on.refused(
        &ConsumerGroupHeartbeatRequest { member_epoch: 1, ..on.from("m1") },
        110,
        "has a smaller member epoch (1)",
    );
    let message = format!("Member m3 is not a member of group {}.", on.group);
    on.refused(&ConsumerGroupHeartbeatRequest { member_epoch: 2, ..on.from("m3") }, 25, &message);
    // Gone for a while, and back under another id.
    let away = ConsumerGroupHeartbeatRequest { member_epoch: -2, instance_id: Some("i1".into()), ..on.from("m1") };
    assert_eq!(on.heartbeat(&away).member_epoch, -2);
    let back = on.heartbeat(&ConsumerGroupHeartbeatRequest { member_id: "m2".into(), ..fixed });
    assert_eq!((back.error_code, back.member_epoch, back.assignment.unwrap().topic_partitions.len()), (0, 2, 1));
}

#[test]
fn patterns_stand_for_topics() {
    let on = &mut Coordinator::start(&[]);
    let regex = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(on.topic.clone()),
        ..on.joining("m1")
    };
    let joined = on.heartbeat(&regex);
    assert_eq!(joined.error_code, 0);
    // Kafka looks a pattern up after its answer, and assigns at the next heartbeat.
    let epoch = joined.member_epoch;
    let mut has = joined.assignment.unwrap().topic_partitions;
    wait_for("the topic to be found", Duration::from_secs(20), || {
        let answer = on.heartbeat(&ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..on.from("m1") });
        has.extend(answer.assignment.into_iter().flat_map(|assignment| assignment.topic_partitions));
        (!has.is_empty()).then_some(())
    });
    assert_eq!((has[0].topic_id, has[0].partitions.len()), (on.topic_id, 3));
}

#[test]
fn a_broker_without_the_protocol_says_so() {
    if std::env::var("KAFKA_RS_TEST_BOOTSTRAP").is_ok() {
        return; // It has what it has.
    }
    let on = &mut Coordinator::start(&["group.coordinator.rebalance.protocols=classic"]);
    assert_eq!(on.heartbeat(&on.joining("m1")).error_code, 35);
    let describe = ConsumerGroupDescribeRequest { group_ids: vec![on.group.clone()], ..Default::default() };
    assert_eq!(on.wire.call(&describe, 1).unwrap().groups[0].error_code, 35);
}
