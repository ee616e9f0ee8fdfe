//! Administrative requests over the wire, with the answers that Kafka 4.3.1 gave to the same ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "the support module serves several tests")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use kafka_rs::protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_rs::protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_rs::protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_rs::protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_rs::protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_rs::protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_rs::protocol::messages::{
    AlterPartitionReassignmentsRequest, ApiVersionsRequest, ConsumerGroupHeartbeatRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeQuorumRequest, DescribeTopicPartitionsRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest, ListConfigResourcesRequest, ListPartitionReassignmentsRequest, MetadataRequest,
    UnregisterBrokerRequest, UpdateFeaturesRequest, describe_quorum_request, elect_leaders_request,
};
use kafka_rs::types::Uuid;
use support::Broker;
use wire::Wire;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() }
}

fn metadata(wire: &mut Wire, topics: Vec<MetadataRequestTopic>, create: bool) -> Vec<(i16, Option<String>, usize)> {
    let request = MetadataRequest { topics: Some(topics), allow_auto_topic_creation: create, ..Default::default() };
    let response = wire.call(&request, 12).unwrap();
    response.topics.into_iter().map(|topic| (topic.error_code, topic.name, topic.partitions.len())).collect()
}

#[test]
fn metadata_answers_each_topic_once_by_name_or_by_id() {
    let broker = Broker::start();
    let wire = &mut Wire::connect(broker.address());
    wire.create_topic("a", 3, &[]);
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(metadata(wire, vec![named("a"), named("a")], false), [(0, name("a"), 3)]);
    assert_eq!(metadata(wire, vec![named("nope"), named("b b")], false), [(3, name("nope"), 0), (17, name("b b"), 0)]);
    // An id wins over names.
    let unknown = MetadataRequestTopic { topic_id: Uuid([9; 16]), ..named("a") };
    assert_eq!(metadata(wire, vec![unknown, named("a")], false), [(100, None, 0)]);
    let neither = MetadataRequestTopic { name: None, ..Default::default() };
    assert_eq!(metadata(wire, vec![neither], false), [(42, name(""), 0)]);
    // The answer may still say that it is not there; the next one may not.
    metadata(wire, vec![named("made")], true);
    assert_eq!(metadata(wire, vec![named("made")], false), [(0, name("made"), 1)]);
}

#[test]
fn partitions_are_told_page_by_page() {
    let broker = Broker::start();
    let wire = &mut Wire::connect(broker.address());
    wire.create_topic("a", 3, &[]);
    wire.create_topic("b", 1, &[]);
    let mut page = |cursor: Option<(&str, i32)>, limit| {
        let topic = |name: &str| TopicRequest { name: name.to_owned(), ..Default::default() };
        let request = DescribeTopicPartitionsRequest {
            topics: vec![topic("b"), topic("a")],
            response_partition_limit: limit,
            cursor: cursor.map(|(topic, partition_index)| Cursor {
                topic_name: topic.to_owned(),
                partition_index,
                ..Default::default()
            }),
            ..Default::default()
        };
        let response = wire.call(&request, 0).unwrap();
        let topics: Vec<_> =
            response.topics.into_iter().map(|t| (t.error_code, t.name.unwrap(), t.partitions.len())).collect();
        (topics, response.next_cursor.map(|next| (next.topic_name, next.partition_index)))
    };
    let topic = |code, name: &str, partitions| (code, name.to_owned(), partitions);
    assert_eq!(page(None, 100), (vec![topic(0, "a", 3), topic(0, "b", 1)], None));
    assert_eq!(page(None, 2), (vec![topic(0, "a", 2)], Some(("a".to_owned(), 2))));
    assert_eq!(page(Some(("a", 2)), 1), (vec![topic(0, "a", 1)], Some(("b".to_owned(), 0))));
    for misplaced in [("a", -1), ("aa", 0)] {
        let (topics, next) = page(Some(misplaced), 2);
        assert!(topics.iter().all(|(code, _, _)| *code == 42) && next.is_none(), "{topics:?}");
    }
}

/// Value, source and synonyms of a setting.
type Told = (Option<String>, i8, Vec<String>);

fn describe(wire: &mut Wire, kind: i8, name: &str, key: &str) -> (i16, Vec<Told>) {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned(),
        configuration_keys: Some(vec![key.to_owned()]),
        ..Default::default()
    };
    let request = DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, ..Default::default() };
    let result = wire.call(&request, 4).unwrap().results.remove(0);
    let entry = |entry: kafka_rs::protocol::messages::describe_configs_response::DescribeConfigsResourceResult| {
        let synonyms = entry.synonyms.into_iter().map(|s| format!("{}={}", s.name, s.value.unwrap_or_default()));
        (entry.value, entry.config_source, synonyms.collect())
    };
    (result.error_code, result.configs.into_iter().map(entry).collect())
}

fn set(wire: &mut Wire, kind: i8, name: &str, key: &str, value: Option<&str>) -> i16 {
    let config = AlterableConfig {
        name: key.to_owned(),
        config_operation: i8::from(value.is_none()),
        value: value.map(str::to_owned),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned(),
        configs: vec![config],
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    wire.call(&request, 1).unwrap().responses[0].error_code
}

#[test]
fn settings_are_in_effect_when_they_are_acknowledged_and_survive_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start_in(data.path(), &[]);
    let wire = &mut Wire::connect(broker.address());
    wire.create_topic("a", 1, &[("retention.ms", "1000")]);
    let told = |value: &str, source, synonyms: &[&str]| {
        let synonyms = synonyms.iter().map(|s| (*s).to_owned()).collect();
        (0, vec![(Some(value.to_owned()), source, synonyms)])
    };
    assert_eq!(describe(wire, TOPIC, "a", "retention.ms"), told("1000", 1, &["retention.ms=1000"]));
    assert_eq!(set(wire, BROKER, "", "log.retention.ms", Some("100000")), 0);
    let all = ["retention.ms=1000", "log.retention.ms=100000", "log.retention.hours=168"];
    assert_eq!(describe(wire, TOPIC, "a", "retention.ms"), told("1000", 1, &all));
    assert_eq!(set(wire, TOPIC, "a", "retention.ms", None), 0);
    assert_eq!(describe(wire, TOPIC, "a", "retention.ms"), told("100000", 3, &all[1..]));
    broker.kill();

    let broker = Broker::start_in(data.path(), &[]);
    let wire = &mut Wire::connect(broker.address());
    assert_eq!(describe(wire, TOPIC, "a", "retention.ms"), told("100000", 3, &all[1..]));
    assert_eq!(describe(wire, TOPIC, "nope", "retention.ms").0, 3);
    assert_eq!(describe(wire, BROKER, "7", "retention.ms").0, 42);
    assert_eq!(set(wire, BROKER, "1", "log.dirs", Some("/x")), 42);
    assert_eq!(set(wire, TOPIC, "a", "retention.ms", Some("x")), 40);
}

#[test]
fn elections_reassignments_and_the_quorum_are_those_of_one_node() {
    let broker = Broker::start();
    let wire = &mut Wire::connect(broker.address());
    wire.create_topic("a", 2, &[]);

    let partitions =
        elect_leaders_request::TopicPartitions { topic: "a".to_owned(), partitions: vec![0, 9], ..Default::default() };
    let request = ElectLeadersRequest { topic_partitions: Some(vec![partitions]), ..Default::default() };
    let elected = wire.call(&request, 2).unwrap().replica_election_results.remove(0).partition_result;
    assert_eq!(elected.iter().map(|result| result.error_code).collect::<Vec<_>>(), [84, 3]);

    let wanted = [(0, Some(vec![1])), (1, None), (9, Some(vec![1])), (1, Some(vec![7])), (1, Some(vec![1, 1]))];
    let partition = |(partition_index, replicas): (i32, Option<Vec<i32>>)| ReassignablePartition {
        partition_index,
        replicas,
        ..Default::default()
    };
    let partitions = wanted.into_iter().map(partition).collect();
    let topic = ReassignableTopic { name: "a".to_owned(), partitions, ..Default::default() };
    let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
    let moved = wire.call(&request, 1).unwrap().responses.remove(0).partitions;
    assert_eq!(moved.iter().map(|result| result.error_code).collect::<Vec<_>>(), [0, 85, 3, 39, 39]);
    assert!(wire.call(&ListPartitionReassignmentsRequest::default(), 0).unwrap().topics.is_empty());

    let partition = describe_quorum_request::PartitionData::default();
    let topic = describe_quorum_request::TopicData {
        topic_name: "__cluster_metadata".to_owned(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = DescribeQuorumRequest { topics: vec![topic], ..Default::default() };
    let quorum = wire.call(&request, 2).unwrap().topics.remove(0).partitions.remove(0);
    assert_eq!((quorum.error_code, quorum.leader_id, quorum.leader_epoch), (0, 1, 1));
    assert_eq!(quorum.current_voters[0].log_end_offset, quorum.high_watermark);

    let cluster = wire.call(&DescribeClusterRequest::default(), 2).unwrap();
    assert_eq!((cluster.error_code, cluster.controller_id, cluster.brokers.len()), (0, 1, 1));
    let wrong = DescribeClusterRequest { endpoint_type: 2, ..Default::default() };
    assert_eq!(wire.call(&wrong, 2).unwrap().error_code, 114);
}

fn finalized(wire: &mut Wire, feature: &str) -> Option<i16> {
    let request = ApiVersionsRequest {
        client_software_name: "wire".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let answer = wire.call(&request, 4).unwrap();
    answer.finalized_features.iter().find(|found| found.name == feature).map(|found| found.max_version_level)
}

fn update(wire: &mut Wire, feature: &str, level: i16, upgrade_type: i8, version: i16) -> (i16, usize) {
    let feature = feature.to_owned();
    let update = FeatureUpdateKey { feature, max_version_level: level, upgrade_type, ..Default::default() };
    let request = UpdateFeaturesRequest { feature_updates: vec![update], ..Default::default() };
    let answer = wire.call(&request, version).unwrap();
    (answer.error_code, answer.results.len())
}

/// Goal: a level that is set counts at once, and after a restart; up to version 1 there is an answer for each feature.
#[test]
fn a_feature_that_is_switched_off_is_not_served() {
    let temp = tempfile::tempdir().unwrap();
    let broker = Broker::start_in(temp.path(), &[]);
    let wire = &mut Wire::connect(broker.address());
    wire.create_topic("t", 1, &[]);
    let heartbeat = ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: Uuid([7; 16]).to_string(),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["t".into()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    const UNSUPPORTED_VERSION: i16 = 35;
    assert_ne!(wire.call(&heartbeat, 1).unwrap().error_code, UNSUPPORTED_VERSION);
    assert_eq!(update(wire, "group.version", 0, 2, 1), (0, 1));
    assert_eq!(finalized(wire, "group.version"), None);
    assert_eq!(wire.call(&heartbeat, 1).unwrap().error_code, UNSUPPORTED_VERSION);
    broker.stop();
    let broker = Broker::start_in(temp.path(), &[]);
    let wire = &mut Wire::connect(broker.address());
    assert_eq!(wire.call(&heartbeat, 1).unwrap().error_code, UNSUPPORTED_VERSION);
    assert_eq!(update(wire, "group.version", 1, 1, 2), (0, 0));
    assert_eq!(finalized(wire, "group.version"), Some(1));
    assert_ne!(wire.call(&heartbeat, 1).unwrap().error_code, UNSUPPORTED_VERSION);
}

#[test]
fn a_running_broker_that_is_unregistered_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let broker = Broker::start_in(temp.path(), &[]);
    let wire = &mut Wire::connect(broker.address());
    wire.create_topic("t", 1, &[]);
    let unregister = |wire: &mut Wire, broker_id| {
        let answer = wire.call(&UnregisterBrokerRequest { broker_id, ..Default::default() }, 0).unwrap();
        (answer.error_code, answer.error_message)
    };
    assert_eq!(unregister(wire, 9), (102, Some("Broker ID 9 is not currently registered".to_owned())));
    assert_eq!(unregister(wire, 1), (0, None));
    assert_eq!(wire.produce("t", 0, Some(wire::batch_of(&["a"]))).unwrap().error_code, 0);
    assert_eq!(broker.stop().code(), Some(143));
    let broker = Broker::start_in(temp.path(), &[]);
    assert_eq!(Wire::connect(broker.address()).read_all("t", 0), ["a"]);
}

#[test]
fn what_has_settings_is_listed() {
    const CLIENT_METRICS: i8 = 16;
    const GROUP: i8 = 32;
    let broker = Broker::start();
    let wire = &mut Wire::connect(broker.address());
    wire.create_topic("t", 1, &[]);
    for (resource_type, name, key, value) in
        [(CLIENT_METRICS, "cm", "interval.ms", "1000"), (GROUP, "g", "consumer.session.timeout.ms", "50000")]
    {
        let config = AlterableConfig { name: key.into(), value: Some(value.into()), ..Default::default() };
        let (resource_name, configs) = (name.to_owned(), vec![config]);
        let resource = AlterConfigsResource { resource_type, resource_name, configs, ..Default::default() };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        assert_eq!(wire.call(&request, 1).unwrap().responses[0].error_code, 0);
    }
    let mut list = |resource_types: &[i8], version| {
        let request = ListConfigResourcesRequest { resource_types: resource_types.to_vec(), ..Default::default() };
        let answer = wire.call(&request, version).unwrap();
        let shown = |found: kafka_rs::protocol::messages::list_config_resources_response::ConfigResource| {
            (found.resource_type, found.resource_name)
        };
        (answer.error_code, answer.config_resources.into_iter().map(shown).collect::<Vec<_>>())
    };
    let named = |kind: i8, name: &str| (kind, name.to_owned());
    let all =
        vec![named(GROUP, "g"), named(CLIENT_METRICS, "cm"), named(8, "1"), named(BROKER, "1"), named(TOPIC, "t")];
    assert_eq!(list(&[], 1), (0, all));
    assert_eq!(list(&[TOPIC], 1), (0, vec![named(TOPIC, "t")]));
    assert_eq!(list(&[], 0), (0, vec![named(CLIENT_METRICS, "cm")]));
    assert_eq!(list(&[99], 1), (35, Vec::new()));
}
