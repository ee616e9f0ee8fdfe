//! Membership of share groups, and how far they are, over the wire.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "the support modules serve several tests")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::path::Path;

use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::{
    AlterShareGroupOffsetsRequest, DeleteGroupsRequest, DeleteShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequest, FindCoordinatorRequest, IncrementalAlterConfigsRequest, JoinGroupRequest,
    ListGroupsRequest, OffsetCommitRequest, ShareAcknowledgeRequest, ShareFetchRequest, ShareGroupDescribeRequest,
    ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse, alter_share_group_offsets_request,
    delete_share_group_offsets_request, describe_share_group_offsets_request, incremental_alter_configs_request,
    join_group_request, offset_commit_request, share_acknowledge_request, share_fetch_request,
};
use kafka_rs::types::Uuid;
use support::Broker;
use wire::{Wire, batch_of};

const GROUP: &str = "g";

fn start(data: &Path) -> (Broker, Wire) {
    let settings = ["offsets.topic.num.partitions=2", "share.coordinator.state.topic.num.partitions=2"];
    let broker = Broker::start_in(data, &settings);
    let mut wire = Wire::connect(broker.address());
    let request = FindCoordinatorRequest { coordinator_keys: vec![GROUP.into()], ..Default::default() };
    assert_eq!(wire.call(&request, 4).unwrap().coordinators[0].error_code, 0);
    (broker, wire)
}

fn beat(wire: &mut Wire, member: &str, epoch: i32, topics: Option<&[&str]>) -> ShareGroupHeartbeatResponse {
    let request = ShareGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        member_epoch: epoch,
        subscribed_topic_names: topics.map(|topics| topics.iter().map(|name| (*name).to_owned()).collect()),
        ..Default::default()
    };
    wire.call(&request, 1).unwrap()
}

/// Topic, partitions.
fn given(answer: &ShareGroupHeartbeatResponse) -> Vec<(Uuid, Vec<i32>)> {
    assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
    let topics = answer.assignment.iter().flat_map(|assignment| &assignment.topic_partitions);
    topics.map(|topic| (topic.topic_id, topic.partitions.clone())).collect()
}

/// Start offset and lag of each partition of the topic, by number.
fn offsets(wire: &mut Wire, topic: Option<(&str, &[i32])>) -> Result<Vec<(i64, i64)>, ErrorCode> {
    use describe_share_group_offsets_request::{
        DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
    };
    let topics = topic.map(|(name, partitions)| {
        vec![DescribeShareGroupOffsetsRequestTopic {
            topic_name: name.into(),
            partitions: partitions.to_vec(),
            ..Default::default()
        }]
    });
    let group = DescribeShareGroupOffsetsRequestGroup { group_id: GROUP.into(), topics, ..Default::default() };
    let answer = wire.call(&DescribeShareGroupOffsetsRequest { groups: vec![group], ..Default::default() }, 1).unwrap();
    let group = &answer.groups[0];
    if group.error_code != 0 {
        return Err(ErrorCode::from_code(group.error_code));
    }
    let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
    let found = partitions.map(|p| match p.error_code {
        0 => Ok((p.start_offset, p.lag)),
        error => Err(ErrorCode::from_code(error)),
    });
    found.collect()
}

/// Reads everything of partition 0 and accepts it.
fn read_all(wire: &mut Wire, member: &str, topic_id: Uuid) -> i64 {
    use share_fetch_request::{FetchPartition, FetchTopic};
    let partitions = vec![FetchPartition::default()];
    let request = ShareFetchRequest {
        group_id: Some(GROUP.into()),
        member_id: Some(member.into()),
        max_wait_ms: 5_000,
        min_bytes: 1,
        max_records: 1000,
        batch_size: 1000,
        topics: vec![FetchTopic { topic_id, partitions, ..Default::default() }],
        ..Default::default()
    };
    let answer = wire.call(&request, 2).unwrap();
    assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::None);
    let range = answer.responses[0].partitions[0].acquired_records[0].clone();
    use share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch};
    let batch = AcknowledgementBatch {
        first_offset: range.first_offset,
        last_offset: range.last_offset,
        acknowledge_types: vec![1],
        ..Default::default()
    };
    let partition = AcknowledgePartition { acknowledgement_batches: vec![batch], ..Default::default() };
    let topic = AcknowledgeTopic { topic_id, partitions: vec![partition], ..Default::default() };
    let request = ShareAcknowledgeRequest {
        group_id: Some(GROUP.into()),
        member_id: Some(member.into()),
        share_session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    let answer = wire.call(&request, 2).unwrap();
    assert_eq!((answer.error_code, answer.responses[0].partitions[0].error_code), (0, 0));
    range.last_offset - range.first_offset + 1
}

fn alter(wire: &mut Wire, topic: &str, partition_index: i32, start_offset: i64) -> (ErrorCode, Option<ErrorCode>) {
    alter_of(wire, GROUP, topic, partition_index, start_offset)
}

fn alter_of(
    wire: &mut Wire,
    group: &str,
    topic: &str,
    partition_index: i32,
    start_offset: i64,
) -> (ErrorCode, Option<ErrorCode>) {
    use alter_share_group_offsets_request::{
        AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
    };
    let partition = AlterShareGroupOffsetsRequestPartition { partition_index, start_offset, ..Default::default() };
    let topic = AlterShareGroupOffsetsRequestTopic {
        topic_name: topic.into(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = AlterShareGroupOffsetsRequest { group_id: group.into(), topics: vec![topic], ..Default::default() };
    let answer = wire.call(&request, 0).unwrap();
    let partition = answer.responses.first().map(|topic| ErrorCode::from_code(topic.partitions[0].error_code));
    (ErrorCode::from_code(answer.error_code), partition)
}

fn delete_offsets(wire: &mut Wire, topic: &str) -> (ErrorCode, Option<ErrorCode>) {
    let topic = delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic {
        topic_name: topic.into(),
        ..Default::default()
    };
    let request = DeleteShareGroupOffsetsRequest { group_id: GROUP.into(), topics: vec![topic], ..Default::default() };
    let answer = wire.call(&request, 0).unwrap();
    let topic = answer.responses.first().map(|topic| ErrorCode::from_code(topic.error_code));
    (ErrorCode::from_code(answer.error_code), topic)
}

fn delete_group(wire: &mut Wire) -> ErrorCode {
    let request = DeleteGroupsRequest { groups_names: vec![GROUP.into()], ..Default::default() };
    ErrorCode::from_code(wire.call(&request, 2).unwrap().results[0].error_code)
}

fn set(wire: &mut Wire, name: &str, value: &str) {
    use incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let config = AlterableConfig { name: name.into(), value: Some(value.into()), ..Default::default() };
    let resource = AlterConfigsResource {
        resource_type: 32,
        resource_name: GROUP.into(),
        configs: vec![config],
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    assert_eq!(wire.call(&request, 1).unwrap().responses[0].error_code, 0);
}

#[test]
fn a_group_comes_reads_and_goes() {
    let data = tempfile::tempdir().unwrap();
    let (broker, mut wire) = start(data.path());
    wire.create_topic("t", 2, &[]);
    set(&mut wire, "share.auto.offset.reset", "earliest");
    // Who comes shortly after somebody else gets its partitions at once, too.
    set(&mut wire, "share.assignment.interval.ms", "0");
    for _ in 0..3 {
        assert_eq!(wire.produce("t", 0, Some(batch_of(&["x"; 10]))).unwrap().error_code, 0);
    }
    assert_eq!(beat(&mut wire, "", 0, Some(&["t"])).error_code, ErrorCode::InvalidRequest.code());
    assert_eq!(beat(&mut wire, "a", 1, None).error_code, ErrorCode::GroupIdNotFound.code());
    let answer = beat(&mut wire, "a", 0, Some(&["t"]));
    let all = given(&answer);
    assert_eq!(all.len(), 1, "the first answer has the partitions already");
    assert_eq!(all[0].1, [0, 1]);
    let topic_id = all[0].0;
    assert_eq!(beat(&mut wire, "a", answer.member_epoch + 7, None).error_code, ErrorCode::FencedMemberEpoch.code());
    assert_eq!(offsets(&mut wire, None), Ok(vec![(-1, -1), (-1, -1)]), "nobody has read yet");
    assert_eq!(read_all(&mut wire, "a", topic_id), 30);
    assert_eq!(offsets(&mut wire, Some(("t", &[0, 7]))), Err(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(offsets(&mut wire, Some(("t", &[0, 1]))), Ok(vec![(30, 0), (-1, -1)]));

    // It is a group of its own kind.
    let request = ListGroupsRequest { types_filter: vec!["share".into()], ..Default::default() };
    let listed = &wire.call(&request, 5).unwrap().groups[0];
    assert_eq!(
        (listed.group_id.as_str(), listed.group_state.as_str(), listed.protocol_type.as_str()),
        (GROUP, "Stable", "share")
    );
    let request = ShareGroupDescribeRequest { group_ids: vec![GROUP.into(), "no".into()], ..Default::default() };
    let described = wire.call(&request, 1).unwrap().groups;
    assert_eq!((described[0].members.len(), described[0].assignor_name.as_str()), (1, "simple"));
    assert_eq!(described[1].error_code, ErrorCode::GroupIdNotFound.code());
    let protocol = join_group_request::JoinGroupRequestProtocol { name: "range".into(), ..Default::default() };
    let request = JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    };
    assert_eq!(wire.call(&request, 9).unwrap().error_code, ErrorCode::InconsistentGroupProtocol.code());
    let partition = offset_commit_request::OffsetCommitRequestPartition::default();
    let topic = offset_commit_request::OffsetCommitRequestTopic {
        name: "t".into(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: GROUP.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    let answer = wire.call(&request, 9).unwrap();
    assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::GroupIdNotFound.code());

    // While somebody is in it, it is left alone.
    assert_eq!(alter(&mut wire, "t", 0, 5).0, ErrorCode::NonEmptyGroup);
    assert_eq!(delete_offsets(&mut wire, "t").0, ErrorCode::NonEmptyGroup);
    assert_eq!(delete_group(&mut wire), ErrorCode::NonEmptyGroup);
    drop(wire);
    assert_eq!(broker.stop().code(), Some(143));

    let (_broker, mut wire) = start(data.path());
    assert_eq!(offsets(&mut wire, None), Ok(vec![(30, 0), (-1, -1)]));
    assert_eq!(beat(&mut wire, "a", -1, None).member_epoch, -1);
    assert_eq!(alter(&mut wire, "t", 0, 25), (ErrorCode::None, Some(ErrorCode::None)));
    assert_eq!(alter(&mut wire, "t", 9, 25).1, Some(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(alter(&mut wire, "no", 0, 25).1, Some(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(offsets(&mut wire, Some(("t", &[0]))), Ok(vec![(25, 5)]));
    let answer = beat(&mut wire, "b", 0, Some(&["t"]));
    assert_eq!(given(&answer)[0].1, [0, 1]);
    assert_eq!(read_all(&mut wire, "b", topic_id), 5, "from where it was set to");
    beat(&mut wire, "b", -1, None);
    assert_eq!(delete_offsets(&mut wire, "no").1, Some(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(delete_offsets(&mut wire, "t"), (ErrorCode::None, Some(ErrorCode::None)));
    assert_eq!(delete_offsets(&mut wire, "t").1, Some(ErrorCode::UnknownTopicOrPartition), "nothing is left");
    assert_eq!(offsets(&mut wire, None), Ok(vec![]));
    assert_eq!(delete_group(&mut wire), ErrorCode::None);
    assert_eq!(delete_group(&mut wire), ErrorCode::GroupIdNotFound);
    assert_eq!(offsets(&mut wire, None), Err(ErrorCode::GroupIdNotFound));
}

#[test]
fn a_group_can_be_set_before_anybody_comes() {
    let data = tempfile::tempdir().unwrap();
    let (_broker, mut wire) = start(data.path());
    wire.create_topic("t", 1, &[]);
    assert_eq!(wire.produce("t", 0, Some(batch_of(&["x"; 10]))).unwrap().error_code, 0);
    assert_eq!(delete_offsets(&mut wire, "t").0, ErrorCode::GroupIdNotFound);
    assert_eq!(alter(&mut wire, "t", 0, 7), (ErrorCode::None, Some(ErrorCode::None)));
    assert_eq!(offsets(&mut wire, None), Ok(vec![(7, 3)]));
    let topic_id = given(&beat(&mut wire, "a", 0, Some(&["t"])))[0].0;
    assert_eq!(read_all(&mut wire, "a", topic_id), 3);
}

/// Goal: of many who need the coordinator of the states at once, one has its topic made, and nobody is sent away meanwhile.
#[test]
fn the_first_groups_wait_for_the_coordinator_of_their_states() {
    let data = tempfile::tempdir().unwrap();
    let (broker, mut wire) = start(data.path());
    wire.create_topic("t", 1, &[]);
    let together = std::sync::Barrier::new(16);
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (broker, together) = (&broker, &together);
            scope.spawn(move || {
                let mut wire = Wire::connect(broker.address());
                together.wait();
                let altered = alter_of(&mut wire, &format!("g{n}"), "t", 0, 0);
                assert_eq!(altered, (ErrorCode::None, Some(ErrorCode::None)), "g{n}");
            });
        }
    });
}
