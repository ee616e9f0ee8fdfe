//! What a single replica holds, leader or not: for tools that compare replicas.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::{Admin, call, millis};
use crate::client::cluster::Lane;
use crate::client::{ApiError, ClientError};
use crate::protocol::messages::FetchRequest;
use crate::protocol::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use crate::types::{NodeId, TopicPartition, Uuid};

/// Who fetches: nobody's replica, but allowed to ask any replica.
const DEBUGGING_CONSUMER: i32 = -2;
/// From this version on the replica's id stands in a tagged field, with its epoch.
const REPLICA_STATE_VERSION: i16 = 15;

/// What is wanted of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaFetch {
    /// The partition.
    pub partition: TopicPartition,
    /// The id of its topic.
    pub topic_id: Uuid,
    /// From where on.
    pub offset: i64,
}

/// What a replica holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedReplica {
    /// The end of what is committed, as far as this replica knows.
    pub high_watermark: i64,
    /// Record batches; the first may begin before the offset that was asked for, the last may be cut off.
    pub records: Bytes,
}

impl Admin {
    /// What a broker's replicas hold, at most `max_bytes` of each partition.
    ///
    /// # Errors
    /// The broker is not known, or does not answer.
    pub async fn fetch_replicas(
        &self,
        broker: NodeId,
        wanted: &[ReplicaFetch],
        max_bytes: i32,
        max_wait: Duration,
    ) -> Result<BTreeMap<TopicPartition, Result<FetchedReplica, ApiError>>, ClientError> {
        let mut topics: BTreeMap<(&str, Uuid), Vec<FetchPartition>> = BTreeMap::new();
        for fetch in wanted {
            topics.entry((&fetch.partition.topic, fetch.topic_id)).or_default().push(FetchPartition {
                partition: fetch.partition.partition.get(),
                fetch_offset: fetch.offset,
                partition_max_bytes: max_bytes,
                ..Default::default()
            });
        }
        let topics: Vec<FetchTopic> = topics
            .into_iter()
            .map(|((topic, topic_id), partitions)| FetchTopic {
                topic: topic.to_owned(),
                topic_id,
                partitions,
                ..Default::default()
            })
            .collect();
        let build = |version: i16| {
            let mut request = FetchRequest {
                max_wait_ms: millis(max_wait),
                min_bytes: 1,
                topics: topics.clone(),
                ..Default::default()
            };
            if version >= REPLICA_STATE_VERSION {
                request.replica_state = ReplicaState { replica_id: DEBUGGING_CONSUMER, ..Default::default() };
            } else {
                request.replica_id = DEBUGGING_CONSUMER;
            }
            request
        };
        let connection = self.cluster.node(broker, Lane::Data, self.cluster.api_deadline()).await?;
        let response = call(&connection, build).await?;
        ApiError::check(response.error_code, None)?;
        let mut fetched = BTreeMap::new();
        for topic in response.responses {
            let named = wanted.iter().find(|fetch| {
                if topic.topic.is_empty() {
                    fetch.topic_id == topic.topic_id
                } else {
                    fetch.partition.topic == topic.topic
                }
            });
            let Some(name) = named.map(|fetch| fetch.partition.topic.as_str()) else { continue };
            for partition in topic.partitions {
                let key = TopicPartition::new(name, partition.partition_index);
                let result = ApiError::check(partition.error_code, None).map(|()| FetchedReplica {
                    high_watermark: partition.high_watermark,
                    records: partition.records.unwrap_or_default(),
                });
                fetched.insert(key, result);
            }
        }
        Ok(fetched)
    }
}
