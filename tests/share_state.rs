//! The states of share groups over the wire: told as written, also by a broker that was started again, and pruned.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "the support modules serve several tests")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_rs::protocol::messages::{
    DeleteShareGroupStateRequest, FindCoordinatorRequest, InitializeShareGroupStateRequest, ListOffsetsRequest,
    MetadataRequest, ReadShareGroupStateRequest, ReadShareGroupStateSummaryRequest, WriteShareGroupStateRequest,
    delete_share_group_state_request, initialize_share_group_state_request, metadata_request,
    read_share_group_state_request, read_share_group_state_response, read_share_group_state_summary_request,
    write_share_group_state_request,
};
use kafka_rs::types::Uuid;
use support::{Broker, wait_for};
use wire::Wire;

const GROUP: &str = "g";

fn topic_id(wire: &mut Wire, name: &str) -> Uuid {
    let topic = metadata_request::MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
    wire.call(&request, 12).unwrap().topics[0].topic_id
}

fn find(wire: &mut Wire, key: &str, version: i16) -> ErrorCode {
    let request = FindCoordinatorRequest { key_type: 2, coordinator_keys: vec![key.into()], ..Default::default() };
    ErrorCode::from_code(wire.call(&request, version).unwrap().coordinators[0].error_code)
}

fn initialize(wire: &mut Wire, topic_id: Uuid, partition: i32) -> ErrorCode {
    use initialize_share_group_state_request::{InitializeStateData, PartitionData};
    let partitions = vec![PartitionData { partition, state_epoch: 1, start_offset: 0, ..Default::default() }];
    let topics = vec![InitializeStateData { topic_id, partitions, ..Default::default() }];
    let request = InitializeShareGroupStateRequest { group_id: GROUP.into(), topics, ..Default::default() };
    ErrorCode::from_code(wire.call(&request, 0).unwrap().results[0].partitions[0].error_code)
}

fn write(wire: &mut Wire, topic_id: Uuid, leader_epoch: i32, count: i16) -> ErrorCode {
    use write_share_group_state_request::{PartitionData, StateBatch, WriteStateData};
    let batch =
        StateBatch { first_offset: 5, last_offset: 9, delivery_state: 0, delivery_count: count, ..Default::default() };
    let partition = PartitionData {
        state_epoch: 1,
        leader_epoch,
        start_offset: 5,
        delivery_complete_count: 2,
        state_batches: vec![batch],
        ..Default::default()
    };
    let topics = vec![WriteStateData { topic_id, partitions: vec![partition], ..Default::default() }];
    let request = WriteShareGroupStateRequest { group_id: GROUP.into(), topics, ..Default::default() };
    ErrorCode::from_code(wire.call(&request, 1).unwrap().results[0].partitions[0].error_code)
}

fn read(wire: &mut Wire, topic_id: Uuid, leader_epoch: i32) -> read_share_group_state_response::PartitionResult {
    use read_share_group_state_request::{PartitionData, ReadStateData};
    let partitions = vec![PartitionData { leader_epoch, ..Default::default() }];
    let topics = vec![ReadStateData { topic_id, partitions, ..Default::default() }];
    let request = ReadShareGroupStateRequest { group_id: GROUP.into(), topics, ..Default::default() };
    wire.call(&request, 0).unwrap().results.remove(0).partitions.remove(0)
}

fn summary(wire: &mut Wire, topic_id: Uuid) -> (i32, i64, i32) {
    use read_share_group_state_summary_request::{PartitionData, ReadStateSummaryData};
    let topics =
        vec![ReadStateSummaryData { topic_id, partitions: vec![PartitionData::default()], ..Default::default() }];
    let request = ReadShareGroupStateSummaryRequest { group_id: GROUP.into(), topics, ..Default::default() };
    let answer = &wire.call(&request, 1).unwrap().results[0].partitions[0];
    (answer.leader_epoch, answer.start_offset, answer.delivery_complete_count)
}

/// The log start offsets of all partitions of the states' topic, added up.
fn pruned(wire: &mut Wire, partitions: i32) -> i64 {
    let partition = |partition_index| ListOffsetsPartition { partition_index, timestamp: -2, ..Default::default() };
    let partitions = (0..partitions).map(partition).collect();
    let topic = ListOffsetsTopic { name: "__share_group_state".into(), partitions, ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    wire.call(&request, 7).unwrap().topics[0].partitions.iter().map(|partition| partition.offset).sum()
}

#[test]
fn states_outlive_the_broker() {
    let data = tempfile::tempdir().unwrap();
    let settings = [
        "share.coordinator.state.topic.num.partitions=2",
        "share.coordinator.snapshot.update.records.per.snapshot=1",
        "share.coordinator.state.topic.prune.interval.ms=1",
    ];
    let broker = Broker::start_in(data.path(), &settings);
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 1, &[]);
    let id = topic_id(&mut wire, "t");
    assert_eq!(initialize(&mut wire, id, 0), ErrorCode::NotCoordinator, "the topic comes with its first use");
    let key = format!("{GROUP}:{id}:0");
    assert_eq!(find(&mut wire, "no key", 6), ErrorCode::InvalidRequest);
    assert_eq!(find(&mut wire, &key, 5), ErrorCode::InvalidRequest);
    assert_eq!(find(&mut wire, &key, 6), ErrorCode::None);

    assert_eq!(read(&mut wire, id, 0).error_code, ErrorCode::InvalidRequest.code(), "nothing is there to be read");
    assert_eq!(initialize(&mut wire, id, -1), ErrorCode::InvalidRequest);
    assert_eq!(initialize(&mut wire, id, 7), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(initialize(&mut wire, id, 0), ErrorCode::None);
    assert_eq!(read(&mut wire, id, 3).start_offset, 0);
    for count in 1..6 {
        assert_eq!(write(&mut wire, id, 3, count), ErrorCode::None);
    }
    assert_eq!(write(&mut wire, id, 2, 9), ErrorCode::FencedLeaderEpoch);
    let told = read(&mut wire, id, 3);
    assert_eq!((told.state_epoch, told.start_offset, told.state_batches[0].delivery_count), (1, 5, 5));
    wait_for("the log's beginning to go", Duration::from_secs(30), || (pruned(&mut wire, 2) >= 3).then_some(()));
    drop(wire);
    assert_eq!(broker.stop().code(), Some(143));

    let broker = Broker::start_in(data.path(), &settings);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(read(&mut wire, id, 3), told);
    assert_eq!(summary(&mut wire, id), (3, 5, 2));
    let topics = vec![delete_share_group_state_request::DeleteStateData {
        topic_id: id,
        partitions: vec![delete_share_group_state_request::PartitionData::default()],
        ..Default::default()
    }];
    let request = DeleteShareGroupStateRequest { group_id: GROUP.into(), topics, ..Default::default() };
    assert_eq!(wire.call(&request, 0).unwrap().results[0].partitions[0].error_code, 0);
    assert_eq!(summary(&mut wire, id), (0, -1, -1));
}
