//! What there is to say of replicas and voters where one node has them all: ElectLeaders (key 43, versions 0-2),
//! AlterPartitionReassignments (45, 0-1), ListPartitionReassignments (46, 0), DescribeQuorum (55, 0-2).
//!
//! Behaviour: the leader is always the preferred one, replicas can move nowhere, nothing is being moved, the one voter leads.
//! Requests are checked as a cluster would: unknown partitions and brokers are refused one by one.
//! Not here yet: moving replicas, unclean elections, other voters.

use std::collections::BTreeSet;

use crate::broker::context::{RequestContext, now};
use crate::broker::controller::ApiError;
use crate::log::directory_name::CLUSTER_METADATA_TOPIC;
use crate::metadata::{MetadataImage, PartitionImage};
use crate::protocol::ErrorCode;
use crate::protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use crate::protocol::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use crate::protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use crate::protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use crate::protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, DescribeQuorumRequest,
    DescribeQuorumResponse, ElectLeadersRequest, ElectLeadersResponse, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
};
use crate::types::{NodeId, PartitionId};

pub(in crate::broker) async fn elect_leaders(
    ctx: &RequestContext,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let image = ctx.broker.metadata.read();
    let replica_election_results = match request.topic_partitions {
        // Where all are meant, only what was done is told: nothing.
        None => image
            .topics()
            .keys()
            .map(|topic| ReplicaElectionResult { topic: topic.clone(), ..Default::default() })
            .collect(),
        Some(wanted) => wanted
            .into_iter()
            .map(|topic| ReplicaElectionResult {
                partition_result: topic.partitions.iter().map(|id| elected(&image, &topic.topic, *id)).collect(),
                topic: topic.topic,
                ..Default::default()
            })
            .collect(),
    };
    ElectLeadersResponse { replica_election_results, ..Default::default() }
}

fn elected(image: &MetadataImage, topic: &str, partition_id: i32) -> PartitionResult {
    let (code, message) = match image.topic(topic) {
        None => (ErrorCode::UnknownTopicOrPartition, format!("No such topic as {topic}")),
        Some(found) => match found.partitions.get(&PartitionId(partition_id)) {
            None => (ErrorCode::UnknownTopicOrPartition, format!("No such partition as {topic}-{partition_id}")),
            Some(partition) if partition.leader.get() >= 0 => {
                (ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition.".to_owned())
            }
            Some(_) => (
                ErrorCode::EligibleLeadersNotAvailable,
                "Eligible topic partition leaders are not available.".to_owned(),
            ),
        },
    };
    PartitionResult { partition_id, error_code: code.code(), error_message: Some(message), ..Default::default() }
}

pub(in crate::broker) async fn alter_reassignments(
    ctx: &RequestContext,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let image = ctx.broker.metadata.read();
    let mut responses = Vec::new();
    for topic in request.topics {
        let mut partitions = Vec::new();
        for wanted in topic.partitions {
            let mut response = ReassignablePartitionResponse {
                partition_index: wanted.partition_index,
                error_message: None,
                ..Default::default()
            };
            let index = PartitionId(wanted.partition_index);
            if let Err(ApiError { code, message }) = reassigned(&image, &topic.name, index, wanted.replicas) {
                response.error_code = code.code();
                response.error_message = message;
            }
            partitions.push(response);
        }
        responses.push(ReassignableTopicResponse { name: topic.name, partitions, ..Default::default() });
    }
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_message: None,
        responses,
        ..Default::default()
    }
}

/// Whether a partition is where it is wanted already, which is all that one node can do.
fn reassigned(
    image: &MetadataImage,
    topic: &str,
    index: PartitionId,
    replicas: Option<Vec<i32>>,
) -> Result<(), ApiError> {
    let unknown = |message: String| ApiError::new(ErrorCode::UnknownTopicOrPartition, message);
    let found = image.topic(topic).ok_or_else(|| unknown(format!("Unable to find a topic named {topic}.")))?;
    let partition: &PartitionImage =
        found.partitions.get(&index).ok_or_else(|| unknown(format!("Unable to find partition {topic}:{index}.")))?;
    // Null ends a reassignment; there is none.
    let replicas = replicas.ok_or(ErrorCode::NoReassignmentInProgress)?;
    let refused = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    if replicas.is_empty() {
        return refused("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut seen = BTreeSet::new();
    let mut sorted = replicas.clone();
    sorted.sort_unstable();
    for id in sorted {
        if !seen.insert(id) {
            return refused(format!("The manual partition assignment includes the broker {id} more than once."));
        }
        if !image.brokers().contains_key(&NodeId(id)) {
            return refused(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        }
    }
    if partition.replicas.iter().map(|id| id.get()).eq(replicas) {
        return Ok(());
    }
    refused("Replicas can't be moved yet: the cluster is one node.".to_owned())
}

pub(in crate::broker) async fn list_reassignments(
    ctx: &RequestContext,
    request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let image = ctx.broker.metadata.read();
    let wanted = |topic: &str, index: PartitionId| {
        let named = |wanted: &Vec<_>| {
            wanted.iter().any(
                |t: &crate::protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics| {
                    t.name == topic && t.partition_indexes.contains(&index.get())
                },
            )
        };
        request.topics.as_ref().is_none_or(named)
    };
    let numbers = |ids: &[NodeId]| ids.iter().map(|id| id.get()).collect();
    let mut topics = Vec::new();
    for topic in image.topics().values() {
        let moving = topic.partitions.iter().filter(|(index, partition)| {
            (!partition.adding_replicas.is_empty() || !partition.removing_replicas.is_empty())
                && wanted(&topic.name, **index)
        });
        let partitions: Vec<_> = moving
            .map(|(index, partition)| OngoingPartitionReassignment {
                partition_index: index.get(),
                replicas: numbers(&partition.replicas),
                adding_replicas: numbers(&partition.adding_replicas),
                removing_replicas: numbers(&partition.removing_replicas),
                ..Default::default()
            })
            .collect();
        if !partitions.is_empty() {
            topics.push(OngoingTopicReassignment { name: topic.name.clone(), partitions, ..Default::default() });
        }
    }
    ListPartitionReassignmentsResponse { topics, error_message: None, ..Default::default() }
}

pub(in crate::broker) async fn describe_quorum(
    ctx: &RequestContext,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let mut described_any = false;
    let mut topics = Vec::new();
    for topic in request.topics {
        let is_metadata = topic.topic_name == CLUSTER_METADATA_TOPIC;
        let partitions = topic.partitions.iter().map(|partition| match partition.partition_index {
            0 if is_metadata => {
                described_any = true;
                described_quorum(ctx)
            }
            partition_index => PartitionData {
                partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
                error_message: Some("This server does not host this topic-partition.".to_owned()),
                ..Default::default()
            },
        });
        let partitions = partitions.collect();
        topics.push(TopicData { topic_name: topic.topic_name, partitions, ..Default::default() });
    }
    let nodes = if described_any { voters(ctx) } else { Vec::new() };
    DescribeQuorumResponse { error_message: Some(String::new()), topics, nodes, ..Default::default() }
}

fn described_quorum(ctx: &RequestContext) -> PartitionData {
    let quorum = ctx.broker.controller.quorum();
    let now_ms = now().wall_ms;
    let own = ReplicaState {
        replica_id: quorum.leader.get(),
        replica_directory_id: quorum.directory_id,
        log_end_offset: quorum.end_offset.get(),
        last_fetch_timestamp: now_ms,
        last_caught_up_timestamp: now_ms,
        ..Default::default()
    };
    PartitionData {
        error_message: Some(String::new()),
        leader_id: quorum.leader.get(),
        leader_epoch: quorum.epoch.get(),
        high_watermark: quorum.end_offset.get(),
        current_voters: vec![own],
        ..Default::default()
    }
}

fn voters(ctx: &RequestContext) -> Vec<Node> {
    let image = ctx.broker.metadata.read();
    let listener = |end_point: &crate::protocol::messages::register_controller_record::ControllerEndpoint| Listener {
        name: end_point.name.clone(),
        host: end_point.host.clone(),
        port: end_point.port,
        ..Default::default()
    };
    let node = |(id, controller): (&NodeId, &crate::protocol::messages::RegisterControllerRecord)| Node {
        node_id: id.get(),
        listeners: controller.end_points.iter().map(listener).collect(),
        ..Default::default()
    };
    image.controllers().iter().map(node).collect()
}
