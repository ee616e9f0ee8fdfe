//! Transactions: list and describe them, the producers behind them, end those that hang (KIP-664).

use std::collections::BTreeMap;

use super::{Admin, CoordinatorKey, call, call_up_to, find_coordinator_of};
use crate::client::cluster::{AutoCreate, Lane, TopicScope};
use crate::client::leaders::{Part, ask_leaders, by_topic};
use crate::client::{ApiError, ClientError};
use crate::protocol::ErrorCode;
use crate::protocol::messages::describe_producers_request::TopicRequest;
use crate::protocol::messages::describe_producers_response::PartitionResponse;
use crate::protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use crate::protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest, InitProducerIdRequest,
    ListTransactionsRequest, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use crate::types::{NodeId, TopicPartition};

/// Which transactions are wanted; the default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Those of these producers; none: of all.
    pub producer_ids: Vec<i64>,
    /// Those that have run longer, in milliseconds; negative: all.
    pub duration_ms: Option<i64>,
    /// Those whose id matches this regular expression.
    pub id_pattern: Option<String>,
}

/// A transactional id in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionListing {
    /// The id.
    pub transactional_id: String,
    /// Its producer.
    pub producer_id: i64,
    /// Its state, in Kafka's words.
    pub state: String,
}

/// A transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionDescription {
    /// Who knows about it.
    pub coordinator: NodeId,
    /// Its state, in Kafka's words.
    pub state: String,
    /// Its producer.
    pub producer_id: i64,
    /// Counts the lives of that producer.
    pub producer_epoch: i16,
    /// After this many milliseconds a transaction is aborted.
    pub timeout_ms: i32,
    /// When the current transaction began, milliseconds since 1970.
    pub start_time_ms: Option<i64>,
    /// What is in it.
    pub partitions: Vec<TopicPartition>,
}

/// A producer, as a partition knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerState {
    /// The producer.
    pub producer_id: i64,
    /// Counts its lives.
    pub producer_epoch: i32,
    /// Number of its last record; -1 if not known.
    pub last_sequence: i32,
    /// When that was, milliseconds since 1970.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that last ended a transaction here; -1 if none has.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins.
    pub transaction_start_offset: Option<i64>,
}

/// What a transaction is known by to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionMarker {
    /// The producer.
    pub producer_id: i64,
    /// Counts its lives.
    pub producer_epoch: i16,
    /// Not below that of the coordinator that last ended a transaction there.
    pub coordinator_epoch: i32,
}

type Producers = Result<Vec<ProducerState>, ApiError>;

impl Admin {
    /// The transactional ids that each broker coordinates.
    ///
    /// # Errors
    /// A broker does not answer, or refuses.
    pub async fn list_transactions(
        &self,
        filter: &TransactionFilter,
    ) -> Result<BTreeMap<NodeId, Vec<TransactionListing>>, (Option<NodeId>, ClientError)> {
        let deadline = self.cluster.api_deadline();
        let metadata = self
            .cluster
            .refresh(&TopicScope::Brokers, AutoCreate::Never, deadline)
            .await
            .map_err(|error| (None, error))?;
        let mut listed = BTreeMap::new();
        for broker in metadata.nodes.keys() {
            let listings = self.list_transactions_of(*broker, filter).await.map_err(|error| (Some(*broker), error))?;
            listed.insert(*broker, listings);
        }
        Ok(listed)
    }

    async fn list_transactions_of(
        &self,
        broker: NodeId,
        filter: &TransactionFilter,
    ) -> Result<Vec<TransactionListing>, ClientError> {
        let deadline = self.cluster.api_deadline();
        let mut backoff = self.cluster.retry_backoff();
        let request = ListTransactionsRequest {
            producer_id_filters: filter.producer_ids.clone(),
            duration_filter: filter.duration_ms.unwrap_or(-1),
            transactional_id_pattern: filter.id_pattern.clone(),
            ..Default::default()
        };
        loop {
            let attempt = async {
                let connection = self.cluster.node(broker, Lane::General, deadline).await?;
                let response = call(&connection, |_| request.clone()).await?;
                ApiError::check(response.error_code, None)?;
                Ok(response.transaction_states)
            };
            match attempt.await {
                Ok(states) => {
                    let listing = |state: crate::protocol::messages::list_transactions_response::TransactionState| {
                        TransactionListing {
                            transactional_id: state.transactional_id,
                            producer_id: state.producer_id,
                            state: state.transaction_state,
                        }
                    };
                    return Ok(states.into_iter().map(listing).collect());
                }
                Err(error) => self.cluster.pause(error, &mut backoff, deadline).await?,
            }
        }
    }

    /// What the coordinator of a transactional id knows of it.
    ///
    /// # Errors
    /// The coordinator does not answer, or does not know it.
    pub async fn describe_transaction(&self, transactional_id: &str) -> Result<TransactionDescription, ClientError> {
        let deadline = self.cluster.api_deadline();
        let mut backoff = self.cluster.retry_backoff();
        loop {
            let attempt = async {
                let key = CoordinatorKey::Transaction(transactional_id);
                let connection = find_coordinator_of(&self.cluster, key, Lane::General, deadline).await?;
                let request = DescribeTransactionsRequest {
                    transactional_ids: vec![transactional_id.to_owned()],
                    ..Default::default()
                };
                let response = call(&connection, |_| request.clone()).await?;
                let state = response.transaction_states.into_iter().next();
                let state = state.ok_or_else(|| ApiError::from(ErrorCode::TransactionalIdNotFound))?;
                ApiError::check(state.error_code, None)?;
                // Brokers are known by id once they have been listed.
                if self.cluster.metadata().nodes.is_empty() {
                    self.cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await?;
                }
                let coordinator = self.node_at(connection.address());
                let partitions = state.topics.into_iter().flat_map(|topic| {
                    let name = topic.topic;
                    topic.partitions.into_iter().map(move |index| TopicPartition::new(name.as_str(), index))
                });
                Ok(TransactionDescription {
                    coordinator,
                    state: state.transaction_state,
                    producer_id: state.producer_id,
                    producer_epoch: state.producer_epoch,
                    timeout_ms: state.transaction_timeout_ms,
                    start_time_ms: Some(state.transaction_start_time_ms).filter(|time| *time >= 0),
                    partitions: partitions.collect(),
                })
            };
            match attempt.await {
                Ok(description) => return Ok(description),
                Err(error) if self.gives_up_at_once(&error) => return Err(error),
                Err(error) => self.cluster.pause(error, &mut backoff, deadline).await?,
            }
        }
    }

    fn node_at(&self, address: &crate::client::Address) -> NodeId {
        let metadata = self.cluster.metadata();
        metadata.nodes.values().find(|node| node.address == *address).map_or(NodeId(-1), |node| node.id)
    }

    /// The producers that the leaders of partitions know, or that one broker knows.
    ///
    /// # Errors
    /// That broker does not answer; what is wrong with a single partition is told in its place.
    pub async fn describe_producers(
        &self,
        partitions: &[TopicPartition],
        broker: Option<NodeId>,
    ) -> Result<BTreeMap<TopicPartition, Result<Vec<ProducerState>, ClientError>>, ClientError> {
        let deadline = self.cluster.api_deadline();
        let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), ())).collect();
        let Some(broker) = broker else {
            return Ok(ask_leaders(
                &self.cluster,
                Lane::General,
                wanted,
                |parts, _| producers_request(parts),
                producers_response,
                deadline,
            )
            .await);
        };
        self.cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await?;
        let connection = self.cluster.node(broker, Lane::General, deadline).await?;
        let parts: Vec<_> = wanted
            .into_iter()
            .map(|(partition, wanted)| Part { partition, leader_epoch: crate::types::LeaderEpoch(-1), wanted })
            .collect();
        let response = call(&connection, |_| producers_request(&parts)).await?;
        let told = producers_response(response).into_iter();
        Ok(told.map(|(partition, result)| (partition, result.map_err(ClientError::from))).collect())
    }

    /// Ends a transaction at a partition by a marker, whatever its coordinator thinks of it.
    ///
    /// # Errors
    /// The partition's leader does not answer, or refuses.
    pub async fn abort_transaction(
        &self,
        partition: &TopicPartition,
        marker: TransactionMarker,
    ) -> Result<(), ClientError> {
        let build = |parts: &[Part<TransactionMarker>], _: i16| {
            let marker_of = |part: &Part<TransactionMarker>| WritableTxnMarker {
                producer_id: part.wanted.producer_id,
                producer_epoch: part.wanted.producer_epoch,
                transaction_result: false,
                topics: vec![WritableTxnMarkerTopic {
                    name: part.partition.topic.clone(),
                    partition_indexes: vec![part.partition.partition.get()],
                    ..Default::default()
                }],
                coordinator_epoch: part.wanted.coordinator_epoch,
                ..Default::default()
            };
            WriteTxnMarkersRequest { markers: parts.iter().map(marker_of).collect(), ..Default::default() }
        };
        let wanted = vec![(partition.clone(), marker)];
        let deadline = self.cluster.api_deadline();
        let mut outcome = ask_leaders(&self.cluster, Lane::General, wanted, build, markers_response, deadline).await;
        outcome.remove(partition).unwrap_or_else(|| Err(ApiError::from(ErrorCode::UnknownServerError).into()))
    }

    /// Aborts whatever a transactional id has open, and shuts out its producer.
    ///
    /// # Errors
    /// Its coordinator does not answer, or refuses.
    pub async fn fence_producer(&self, transactional_id: &str) -> Result<(), ClientError> {
        let deadline = self.cluster.api_deadline();
        let mut backoff = self.cluster.retry_backoff();
        loop {
            let attempt = async {
                let key = CoordinatorKey::Transaction(transactional_id);
                let connection = find_coordinator_of(&self.cluster, key, Lane::General, deadline).await?;
                let request = InitProducerIdRequest {
                    transactional_id: Some(transactional_id.to_owned()),
                    // No transaction of this producer is meant to begin: it may time out at once.
                    transaction_timeout_ms: 1,
                    producer_id: -1,
                    producer_epoch: -1,
                    ..Default::default()
                };
                let response = call_up_to(i16::MAX, &connection, |_| request.clone()).await?;
                Ok(ApiError::check(response.error_code, None)?)
            };
            match attempt.await {
                Ok(()) => return Ok(()),
                Err(error) if self.gives_up_at_once(&error) => return Err(error),
                Err(error) => self.cluster.pause(error, &mut backoff, deadline).await?,
            }
        }
    }
}

fn producers_request(parts: &[Part<()>]) -> DescribeProducersRequest {
    let topics = by_topic(parts).into_iter().map(|(name, parts)| TopicRequest {
        name: name.to_owned(),
        partition_indexes: parts.iter().map(|part| part.partition.partition.get()).collect(),
        ..Default::default()
    });
    DescribeProducersRequest { topics: topics.collect(), ..Default::default() }
}

fn producers_response(response: DescribeProducersResponse) -> Vec<(TopicPartition, Producers)> {
    let mut found = Vec::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            found.push((key, producers(partition)));
        }
    }
    found
}

fn producers(partition: PartitionResponse) -> Producers {
    ApiError::check(partition.error_code, partition.error_message)?;
    let state = |producer: crate::protocol::messages::describe_producers_response::ProducerState| ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: producer.producer_epoch,
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp,
        coordinator_epoch: producer.coordinator_epoch,
        transaction_start_offset: Some(producer.current_txn_start_offset).filter(|offset| *offset >= 0),
    };
    Ok(partition.active_producers.into_iter().map(state).collect())
}

fn markers_response(response: WriteTxnMarkersResponse) -> Vec<(TopicPartition, Result<(), ApiError>)> {
    let mut told = Vec::new();
    for topic in response.markers.into_iter().flat_map(|marker| marker.topics) {
        for partition in topic.partitions {
            let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            told.push((key, ApiError::check(partition.error_code, None)));
        }
    }
    told
}
