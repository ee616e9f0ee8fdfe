//! Moving partitions between brokers.

use std::collections::BTreeMap;

use super::{Admin, ApiError, checked};
use crate::client::ClientError;
use crate::protocol::ErrorCode;
use crate::protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use crate::protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use crate::protocol::messages::{AlterPartitionReassignmentsRequest, ListPartitionReassignmentsRequest};
use crate::types::{NodeId, TopicPartition};

/// A partition that is on the move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    /// The brokers that hold it now.
    pub replicas: Vec<NodeId>,
    /// Those that are to get it.
    pub adding: Vec<NodeId>,
    /// Those that are to lose it.
    pub removing: Vec<NodeId>,
}

/// Whether a move may change how many replicas a partition has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicationFactor {
    /// It may.
    MayChange,
    /// It is refused then. Brokers before 4.1 don't check it.
    IsKept,
}

fn nodes(ids: Vec<i32>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

impl Admin {
    /// The partitions that are on the move, of these or of all.
    ///
    /// # Errors
    /// No broker answers, or access is denied.
    pub async fn list_reassignments(
        &self,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, Reassignment>, ClientError> {
        let topics = partitions.map(|partitions| {
            grouped(partitions.iter().map(|partition| (partition, ())))
                .into_iter()
                .map(|(name, indexes)| ListPartitionReassignmentsTopics {
                    name,
                    partition_indexes: indexes.into_iter().map(|(index, ())| index).collect(),
                    ..Default::default()
                })
                .collect()
        });
        let request =
            ListPartitionReassignmentsRequest { timeout_ms: self.request_timeout_ms(), topics, ..Default::default() };
        let response = self
            .call_controller(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code)))
            .await?;
        ApiError::check(response.error_code, response.error_message)?;
        let mut ongoing = BTreeMap::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let reassignment = Reassignment {
                    replicas: nodes(partition.replicas),
                    adding: nodes(partition.adding_replicas),
                    removing: nodes(partition.removing_replicas),
                };
                ongoing.insert(key, reassignment);
            }
        }
        Ok(ongoing)
    }

    /// Moves partitions to brokers, or (`None`) calls a move off.
    ///
    /// # Errors
    /// No broker answers, or the request as a whole is refused.
    pub async fn alter_reassignments(
        &self,
        targets: &[(TopicPartition, Option<Vec<NodeId>>)],
        factor: ReplicationFactor,
    ) -> Result<BTreeMap<TopicPartition, Result<(), ApiError>>, ClientError> {
        let topics = grouped(targets.iter().map(|(partition, replicas)| (partition, replicas)))
            .into_iter()
            .map(|(name, partitions)| ReassignableTopic {
                name,
                partitions: partitions
                    .into_iter()
                    .map(|(partition_index, replicas)| ReassignablePartition {
                        partition_index,
                        replicas: replicas.as_ref().map(|replicas| replicas.iter().map(|node| node.get()).collect()),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            })
            .collect();
        let request =
            AlterPartitionReassignmentsRequest { timeout_ms: self.request_timeout_ms(), topics, ..Default::default() };
        let build = |version: i16| AlterPartitionReassignmentsRequest {
            allow_replication_factor_change: version < 1 || factor == ReplicationFactor::MayChange,
            ..request.clone()
        };
        let response = self.call_controller(build, |response| Some(ErrorCode::from_code(response.error_code))).await?;
        ApiError::check(response.error_code, response.error_message)?;
        let mut results = BTreeMap::new();
        for topic in response.responses {
            for partition in topic.partitions {
                let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                results.insert(key, checked(partition.error_code, partition.error_message, || ()));
            }
        }
        Ok(results)
    }
}

/// What belongs to partitions, by topic.
pub(super) fn grouped<'a, T>(
    partitions: impl Iterator<Item = (&'a TopicPartition, T)>,
) -> BTreeMap<String, Vec<(i32, T)>> {
    let mut topics: BTreeMap<String, Vec<(i32, T)>> = BTreeMap::new();
    for (partition, value) in partitions {
        topics.entry(partition.topic.clone()).or_default().push((partition.partition.get(), value));
    }
    topics
}
