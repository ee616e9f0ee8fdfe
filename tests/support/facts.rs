//! What a client can see of a cluster, over the wire, a line for each fact: in the words of
//! `tests/interop/java/BothWays.java`, which tells them of Apache Kafka.
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use kafka_rs::protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_rs::protocol::messages::describe_producers_request::TopicRequest;
use kafka_rs::protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use kafka_rs::protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_rs::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_rs::protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_rs::protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_rs::protocol::messages::{
    ApiVersionsRequest, DescribeConfigsRequest, DescribeProducersRequest, DescribeShareGroupOffsetsRequest,
    DescribeTransactionsRequest, FetchRequest, ListGroupsRequest, ListOffsetsRequest, ListTransactionsRequest,
    MetadataRequest, OffsetFetchRequest,
};
use kafka_rs::record::{EndMarker, TimestampType, batches};

use crate::support::wait_for;
use crate::wire::Wire;

/// Loading what coordinators know takes a moment.
const LOADED_WITHIN: Duration = Duration::from_secs(20);

const UNCOMMITTED: i8 = 0;
const COMMITTED: i8 = 1;

/// All facts that brokers of ours can tell.
pub fn facts(address: &str) -> BTreeSet<String> {
    let mut wire = Wire::connect(address);
    let mut out = Vec::new();
    let request = MetadataRequest { topics: None, ..Default::default() };
    let metadata = wire.call(&request, 12).unwrap();
    out.push(format!("cluster {}", metadata.cluster_id.unwrap()));
    for topic in &metadata.topics {
        let name = topic.name.as_ref().unwrap();
        let replicas = topic.partitions[0].replica_nodes.len();
        out.push(format!(
            "topic {name} id {} partitions {} replicas {replicas}",
            topic.topic_id,
            topic.partitions.len()
        ));
        configs(&mut wire, 2, "TOPIC", name, &mut out);
        if !topic.is_internal {
            records(&mut wire, topic, &mut out);
        }
    }
    configs(&mut wire, 4, "BROKER", "", &mut out);
    configs(&mut wire, 4, "BROKER", "1", &mut out);
    let features = features(&mut wire);
    out.extend(features.iter().map(|(name, level)| format!("feature {name} {level}")));
    if features.contains_key("group.version") {
        configs(&mut wire, 32, "GROUP", "consumer-group", &mut out);
        configs(&mut wire, 32, "GROUP", "share-group", &mut out);
    }
    groups(&mut wire, &mut out);
    transactions(&mut wire, &mut out);
    for topic in metadata.topics.iter().filter(|t| matches!(t.name.as_deref(), Some("idempotent" | "transactions"))) {
        producers(&mut wire, topic, &mut out);
    }
    out.into_iter().collect()
}

fn features(wire: &mut Wire) -> BTreeMap<String, i16> {
    let (client_software_name, client_software_version) = ("facts".to_owned(), "1".to_owned());
    let request = ApiVersionsRequest { client_software_name, client_software_version, ..Default::default() };
    let answer = wire.call(&request, 4).unwrap();
    answer.finalized_features.into_iter().map(|feature| (feature.name, feature.max_version_level)).collect()
}

fn configs(wire: &mut Wire, resource_type: i8, kind: &str, name: &str, out: &mut Vec<String>) {
    let resource = DescribeConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configuration_keys: None,
        ..Default::default()
    };
    let answer = wire.call(&DescribeConfigsRequest { resources: vec![resource], ..Default::default() }, 4).unwrap();
    let result = &answer.results[0];
    assert_eq!(result.error_code, 0, "{kind} {name}: {:?}", result.error_message);
    let name = if name.is_empty() { "default" } else { name };
    for config in &result.configs {
        let source = match config.config_source {
            1 => "DYNAMIC_TOPIC_CONFIG",
            2 => "DYNAMIC_BROKER_CONFIG",
            3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            8 => "DYNAMIC_GROUP_CONFIG",
            _ => continue,
        };
        out.push(format!(
            "config {kind} {name} {}={} {source}",
            config.name,
            config.value.as_deref().unwrap_or("null")
        ));
    }
}

fn offset_at(wire: &mut Wire, topic: &str, partition_index: i32, isolation_level: i8, timestamp: i64) -> i64 {
    let partition = ListOffsetsPartition { partition_index, timestamp, ..Default::default() };
    let topic = ListOffsetsTopic { name: topic.to_owned(), partitions: vec![partition], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, isolation_level, topics: vec![topic], ..Default::default() };
    let answer = wire.call(&request, 7).unwrap();
    let answer = &answer.topics[0].partitions[0];
    assert_eq!(answer.error_code, 0);
    answer.offset
}

/// Offsets of all partitions of a topic and the records in them; those that readers of committed records see only of topics
/// with transactions.
fn records(wire: &mut Wire, topic: &MetadataResponseTopic, out: &mut Vec<String>) {
    let name = topic.name.as_deref().unwrap();
    for partition in &topic.partitions {
        let index = partition.partition_index;
        for (isolation, told) in [(UNCOMMITTED, "read_uncommitted"), (COMMITTED, "read_committed")] {
            let (start, end) =
                (offset_at(wire, name, index, isolation, -2), offset_at(wire, name, index, isolation, -1));
            out.push(format!("offsets {name}-{index} {told} {start} {end}"));
            if isolation == UNCOMMITTED || name == "transactions" {
                let request = Reading { topic, index, isolation, start, end };
                let records = request.all(wire);
                if name == "cleaned" {
                    latest(&records, out);
                }
                out.extend(
                    request.all(wire).into_iter().map(|record| format!("record {told} {name}-{index} {record}")),
                );
            }
        }
    }
}

/// The newest value of each key, if it has one. A record tells offset, kind of timestamp, timestamp, key, value.
fn latest(records: &[String], out: &mut Vec<String>) {
    let mut latest = BTreeMap::new();
    for record in records {
        let words: Vec<&str> = record.split(' ').collect();
        latest.insert(words[3], words[4]);
    }
    latest.retain(|_, value| *value != "null");
    out.extend(latest.into_iter().map(|(key, value)| format!("latest cleaned-0 {key} {value}")));
}

struct Reading<'a> {
    topic: &'a MetadataResponseTopic,
    index: i32,
    isolation: i8,
    start: i64,
    end: i64,
}

impl Reading<'_> {
    fn all(&self, wire: &mut Wire) -> Vec<String> {
        let mut found = Vec::new();
        let mut offset = self.start;
        while offset < self.end {
            let partition = FetchPartition {
                partition: self.index,
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            };
            let topic = FetchTopic { topic_id: self.topic.topic_id, partitions: vec![partition], ..Default::default() };
            let request = FetchRequest {
                max_wait_ms: 0,
                isolation_level: self.isolation,
                topics: vec![topic],
                ..Default::default()
            };
            let answer = wire.call(&request, 17).unwrap();
            let answer = &answer.responses[0].partitions[0];
            assert_eq!(answer.error_code, 0);
            let mut aborted: Vec<(i64, i64)> = answer
                .aborted_transactions
                .iter()
                .flatten()
                .map(|transaction| (transaction.first_offset, transaction.producer_id))
                .collect();
            aborted.sort_unstable();
            let bytes = answer.records.clone().unwrap_or_default();
            let before = offset;
            let mut skipped = HashSet::new();
            for batch in batches(&bytes) {
                let batch = batch.unwrap();
                batch.verify_crc().unwrap();
                let header = *batch.header();
                aborted.retain(|(first, producer)| {
                    let begun = *first <= header.last_offset().get();
                    if begun {
                        skipped.insert(*producer);
                    }
                    !begun
                });
                offset = header.next_offset().get();
                if header.attributes.is_control() {
                    if EndMarker::of(&batch).is_some_and(|marker| !marker.commit) {
                        skipped.remove(&header.producer_id.0);
                    }
                    continue;
                }
                if header.attributes.is_transactional() && skipped.contains(&header.producer_id.0) {
                    continue;
                }
                let kind = match header.attributes.timestamp_type() {
                    TimestampType::CreateTime => "CreateTime",
                    TimestampType::LogAppendTime => "LogAppendTime",
                };
                for record in batch.owned_records(&bytes, 1 << 24).unwrap() {
                    let record = record.unwrap();
                    if !(before..self.end).contains(&record.offset.get()) {
                        continue;
                    }
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    let key = record.key.as_deref().map_or_else(|| "null".to_owned(), text);
                    let value = record.value.as_deref().map_or_else(|| "null".to_owned(), |v| summary(&text(v)));
                    let headers: String = record
                        .headers
                        .iter()
                        .map(|header| {
                            let header = header.as_header();
                            format!(" {}={}", header.key_text(), text(header.value.unwrap()))
                        })
                        .collect();
                    found.push(format!("{} {kind} {} {key} {value}{headers}", record.offset, record.timestamp));
                }
            }
            assert!(offset > before, "nothing at offset {before} of {:?}-{}", self.topic.name, self.index);
        }
        found
    }
}

/// Length and hash, as Java reckons them.
fn summary(value: &str) -> String {
    let hash = value.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    format!("{}#{hash}", value.encode_utf16().count())
}

fn groups(wire: &mut Wire, out: &mut Vec<String>) {
    let listed = wait_for("the groups to be loaded", LOADED_WITHIN, || {
        let answer = wire.call(&ListGroupsRequest::default(), 5).unwrap();
        (answer.error_code == 0).then_some(answer.groups)
    });
    for group in listed {
        let id = &group.group_id;
        // Where groups have no types on the wire, Java calls them classic.
        let mut kind = group.group_type.clone();
        kind[..1].make_ascii_uppercase();
        out.push(format!("group {id} {kind} {}", group.group_state));
        if kind == "Share" {
            share_offsets(wire, id, out);
            continue;
        }
        let wanted = OffsetFetchRequestGroup { group_id: id.clone(), topics: None, ..Default::default() };
        let answer = wire.call(&OffsetFetchRequest { groups: vec![wanted], ..Default::default() }, 9).unwrap();
        assert_eq!(answer.groups[0].error_code, 0);
        for topic in &answer.groups[0].topics {
            for partition in &topic.partitions {
                let epoch = match partition.committed_leader_epoch {
                    -1 => "null".to_owned(),
                    epoch => epoch.to_string(),
                };
                out.push(format!(
                    "group offset {id} {}-{} OffsetAndMetadata{{offset={}, leaderEpoch={epoch}, metadata='{}'}}",
                    topic.name,
                    partition.partition_index,
                    partition.committed_offset,
                    partition.metadata.as_deref().unwrap_or_default()
                ));
            }
        }
    }
}

fn share_offsets(wire: &mut Wire, id: &str, out: &mut Vec<String>) {
    let wanted = DescribeShareGroupOffsetsRequestGroup { group_id: id.to_owned(), topics: None, ..Default::default() };
    let request = DescribeShareGroupOffsetsRequest { groups: vec![wanted], ..Default::default() };
    let groups = wait_for("the share group's state", LOADED_WITHIN, || {
        let groups = wire.call(&request, 1).unwrap().groups;
        let topics = groups.iter().flat_map(|group| &group.topics);
        let loading = topics.flat_map(|topic| &topic.partitions).any(|partition| partition.error_code != 0);
        (!loading && groups[0].error_code == 0).then_some(groups)
    });
    for topic in &groups[0].topics {
        for p in &topic.partitions {
            out.push(format!(
                "share offset {id} {}-{} SharePartitionOffsetInfo{{startOffset={}, leaderEpoch={}, lag={}}}",
                topic.topic_name, p.partition_index, p.start_offset, p.leader_epoch, p.lag
            ));
        }
    }
}

fn transactions(wire: &mut Wire, out: &mut Vec<String>) {
    let listed = wait_for("the transactions to be loaded", LOADED_WITHIN, || {
        let request = ListTransactionsRequest { duration_filter: -1, ..Default::default() };
        let answer = wire.call(&request, 1).unwrap();
        (answer.error_code == 0).then_some(answer.transaction_states)
    });
    let transactional_ids = listed.into_iter().map(|transaction| transaction.transactional_id).collect();
    let answer = wire.call(&DescribeTransactionsRequest { transactional_ids, ..Default::default() }, 0).unwrap();
    for t in answer.transaction_states {
        let partitions = t.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| format!("{}-{partition}", topic.topic)).collect::<Vec<_>>()
        });
        let partitions: BTreeSet<String> = partitions.collect();
        out.push(format!(
            "transaction {} {} producer {} epoch {} timeout {} started {} {}",
            t.transactional_id,
            t.transaction_state,
            t.producer_id,
            t.producer_epoch,
            t.transaction_timeout_ms,
            t.transaction_start_time_ms,
            partitions.into_iter().collect::<Vec<_>>().join(",")
        ));
    }
}

fn producers(wire: &mut Wire, topic: &MetadataResponseTopic, out: &mut Vec<String>) {
    let name = topic.name.clone().unwrap();
    let partition_indexes = topic.partitions.iter().map(|partition| partition.partition_index).collect();
    let wanted = TopicRequest { name: name.clone(), partition_indexes, ..Default::default() };
    let answer = wire.call(&DescribeProducersRequest { topics: vec![wanted], ..Default::default() }, 0).unwrap();
    for partition in &answer.topics[0].partitions {
        assert_eq!(partition.error_code, 0);
        for p in &partition.active_producers {
            out.push(format!(
                "producer {name}-{} {} epoch {} sequence {} transaction from {}",
                partition.partition_index, p.producer_id, p.producer_epoch, p.last_sequence, p.current_txn_start_offset
            ));
        }
    }
}
