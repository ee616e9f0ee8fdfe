//! Produce requests: put together from batches, and their responses taken apart.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::transaction::Version;
use super::verdict::Answer;
use crate::client::cluster::Cluster;
use crate::client::{ApiError, Node};
use crate::protocol::ErrorCode;
use crate::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use crate::protocol::messages::produce_response::PartitionProduceResponse;
use crate::protocol::messages::{ProduceRequest, ProduceResponse};
use crate::types::{LeaderEpoch, NodeId, Offset, PartitionId, Uuid};

/// The last version that names topics; the next ones speak of ids (KIP-516).
const LAST_VERSION_WITH_NAMES: i16 = 12;

/// The next version asks leaders to make their partitions part of the transaction (KIP-890).
const LAST_VERSION_OF_V1_TRANSACTIONS: i16 = 11;

/// What a request says besides its batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) acks: i16,
    pub(super) timeout_ms: i32,
    /// The `transactional.id`, and the protocol of the transaction.
    pub(super) transaction: Option<(&'a str, Version)>,
}

/// The bytes of one batch and where they go.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) topic: Arc<str>,
    pub(super) topic_id: Uuid,
    pub(super) partition: PartitionId,
    pub(super) bytes: Bytes,
}

/// The request, and the highest version that can say it.
pub(super) fn build(parts: &[Part], terms: Terms<'_>) -> (ProduceRequest, i16) {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for part in parts {
        let place = *places.entry(&part.topic).or_insert_with(|| {
            // Both are set: versions take what they know.
            let (name, topic_id) = (part.topic.to_string(), part.topic_id);
            topics.push(TopicProduceData { name, topic_id, ..Default::default() });
            topics.len() - 1
        });
        if let Some(topic) = topics.get_mut(place) {
            let records = Some(part.bytes.clone());
            let index = part.partition.get();
            topic.partition_data.push(PartitionProduceData { index, records, ..Default::default() });
        }
    }
    let all_have_ids = parts.iter().all(|part| !part.topic_id.is_zero());
    let mut max_version = if all_have_ids { i16::MAX } else { LAST_VERSION_WITH_NAMES };
    if terms.transaction.is_some_and(|(_, version)| version == Version::V1) {
        max_version = max_version.min(LAST_VERSION_OF_V1_TRANSACTIONS);
    }
    let request = ProduceRequest {
        transactional_id: terms.transaction.map(|(id, _)| id.to_owned()),
        acks: terms.acks,
        timeout_ms: terms.timeout_ms,
        topic_data: topics,
        ..Default::default()
    };
    (request, max_version)
}

/// What a response says of each part, in their order; and leaders that it tells of.
///
/// Returns whether all that moved is known to be elsewhere now, for each part: such a one need not wait.
pub(super) fn answers(response: ProduceResponse, parts: &[Part], cluster: &Cluster) -> Vec<(Answer, bool)> {
    let endpoints: Vec<_> = response
        .node_endpoints
        .into_iter()
        .map(|node| Node::new(node.node_id, &node.host, node.port, node.rack))
        .collect();
    let mut by_name: HashMap<(String, i32), PartitionProduceResponse> = HashMap::new();
    let mut by_id: HashMap<(Uuid, i32), PartitionProduceResponse> = HashMap::new();
    for topic in response.responses {
        for partition in topic.partition_responses {
            if topic.name.is_empty() {
                by_id.insert((topic.topic_id, partition.index), partition);
            } else {
                by_name.insert((topic.name.clone(), partition.index), partition);
            }
        }
    }
    parts
        .iter()
        .map(|part| {
            let index = part.partition.get();
            let told = by_id.remove(&(part.topic_id, index));
            let told = told.or_else(|| by_name.remove(&(part.topic.to_string(), index)));
            let Some(told) = told else {
                // Left out of the answer: nothing is known of it.
                let error = ApiError::from(ErrorCode::UnknownServerError);
                return (Answer::Refused { error, records: Vec::new() }, false);
            };
            let leader = &told.current_leader;
            let moved = leader.leader_id >= 0
                && cluster.hint_leader(
                    &part.topic,
                    part.partition,
                    NodeId(leader.leader_id),
                    LeaderEpoch(leader.leader_epoch),
                    &endpoints,
                );
            (answer(told), moved)
        })
        .collect()
}

fn answer(told: PartitionProduceResponse) -> Answer {
    match ApiError::check(told.error_code, told.error_message) {
        Ok(()) => Answer::Stored {
            base_offset: (told.base_offset >= 0).then_some(Offset(told.base_offset)),
            append_time: (told.log_append_time_ms >= 0).then_some(told.log_append_time_ms),
        },
        Err(error) => {
            let of_record = |record: crate::protocol::messages::produce_response::BatchIndexAndErrorMessage| {
                let message = record.batch_index_error_message.or_else(|| error.message.clone());
                (record.batch_index.unsigned_abs(), ApiError { code: error.code, message })
            };
            let records = told.record_errors.into_iter().map(of_record).collect();
            Answer::Refused { error, records }
        }
    }
}
