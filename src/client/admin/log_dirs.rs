//! The log directories of brokers: how full they are, and with what.

use std::collections::BTreeMap;

use super::reassignments::grouped;
use super::{Admin, call};
use crate::client::cluster::{AutoCreate, Lane, TopicScope};
use crate::client::{ApiError, ClientError};
use crate::protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use crate::protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use crate::protocol::messages::{AlterReplicaLogDirsRequest, DescribeLogDirsRequest};
use crate::types::{NodeId, TopicPartition};

/// A replica in a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDirReplica {
    /// The partition.
    pub partition: TopicPartition,
    /// Its size in bytes.
    pub size: i64,
    /// How many records it lacks.
    pub offset_lag: i64,
    /// Whether it is being moved into this directory.
    pub is_future: bool,
}

/// A log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// Its path on the broker.
    pub path: String,
    /// What is wrong with it, if anything.
    pub error: Option<ApiError>,
    /// What lies in it.
    pub replicas: Vec<LogDirReplica>,
    /// Size of its volume in bytes; -1 if not told.
    pub total_bytes: i64,
    /// What of that is free; -1 if not told.
    pub usable_bytes: i64,
}

impl Admin {
    /// The log directories of brokers (`None`: of all), with all replicas or with those of some partitions.
    ///
    /// # Errors
    /// The brokers can't be listed; one that does not answer is told in its place.
    pub async fn describe_log_dirs(
        &self,
        brokers: Option<&[NodeId]>,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Vec<(NodeId, Result<Vec<LogDir>, ClientError>)>, ClientError> {
        let deadline = self.cluster.api_deadline();
        let metadata = self.cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await?;
        let brokers = brokers.map_or_else(|| metadata.nodes.keys().copied().collect(), <[NodeId]>::to_vec);
        let topics = partitions.map(|partitions| {
            grouped(partitions.iter().map(|partition| (partition, ())))
                .into_iter()
                .map(|(topic, partitions)| DescribableLogDirTopic {
                    topic,
                    partitions: partitions.into_iter().map(|(partition, ())| partition).collect(),
                    ..Default::default()
                })
                .collect()
        });
        let request = DescribeLogDirsRequest { topics, ..Default::default() };
        let mut described = Vec::new();
        for broker in brokers {
            let dirs = async {
                let connection = self.cluster.node(broker, Lane::General, deadline).await?;
                let response = call(&connection, |_| request.clone()).await?;
                ApiError::check(response.error_code, None)?;
                Ok(response.results.into_iter().map(log_dir).collect())
            };
            described.push((broker, dirs.await));
        }
        Ok(described)
    }
}

impl Admin {
    /// Moves replicas to directories of their broker; one that it has not yet is made there.
    ///
    /// # Errors
    /// The broker is not known, or does not answer.
    pub async fn alter_replica_log_dirs(
        &self,
        broker: NodeId,
        moves: &[(TopicPartition, String)],
    ) -> Result<BTreeMap<TopicPartition, Result<(), ApiError>>, ClientError> {
        let deadline = self.cluster.api_deadline();
        self.cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await?;
        let mut by_path: BTreeMap<&str, Vec<&TopicPartition>> = BTreeMap::new();
        for (partition, path) in moves {
            by_path.entry(path).or_default().push(partition);
        }
        let dirs = by_path.into_iter().map(|(path, partitions)| {
            let topics = grouped(partitions.into_iter().map(|partition| (partition, ()))).into_iter();
            AlterReplicaLogDir {
                path: path.to_owned(),
                topics: topics
                    .map(|(name, partitions)| AlterReplicaLogDirTopic {
                        name,
                        partitions: partitions.into_iter().map(|(partition, ())| partition).collect(),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }
        });
        let request = AlterReplicaLogDirsRequest { dirs: dirs.collect(), ..Default::default() };
        let connection = self.cluster.node(broker, Lane::General, deadline).await?;
        let response = call(&connection, |_| request.clone()).await?;
        let mut results = BTreeMap::new();
        for topic in response.results {
            for partition in topic.partitions {
                let key = TopicPartition::new(topic.topic_name.as_str(), partition.partition_index);
                results.insert(key, ApiError::check(partition.error_code, None));
            }
        }
        Ok(results)
    }
}

fn log_dir(result: crate::protocol::messages::describe_log_dirs_response::DescribeLogDirsResult) -> LogDir {
    let mut replicas = Vec::new();
    for topic in result.topics {
        for partition in topic.partitions {
            replicas.push(LogDirReplica {
                partition: TopicPartition::new(topic.name.as_str(), partition.partition_index),
                size: partition.partition_size,
                offset_lag: partition.offset_lag,
                is_future: partition.is_future_key,
            });
        }
    }
    LogDir {
        path: result.log_dir,
        error: ApiError::check(result.error_code, None).err(),
        replicas,
        total_bytes: result.total_bytes,
        usable_bytes: result.usable_bytes,
    }
}
