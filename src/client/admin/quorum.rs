//! The quorum of controllers: who is in it, how far each is (KIP-595, KIP-853).

use super::Admin;
use crate::client::{Address, ApiError, ClientError};
use crate::protocol::ErrorCode;
use crate::protocol::messages::add_raft_voter_request::Listener;
use crate::protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use crate::protocol::messages::describe_quorum_response::ReplicaState;
use crate::protocol::messages::{AddRaftVoterRequest, DescribeQuorumRequest, RemoveRaftVoterRequest};
use crate::types::{NodeId, Uuid};

/// Where the metadata of a cluster is.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// A node of the quorum, or one that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumReplica {
    /// The node.
    pub id: NodeId,
    /// Its directory with the metadata; zero if the quorum is a static one.
    pub directory_id: Uuid,
    /// Where its log ends.
    pub log_end_offset: i64,
    /// When it last fetched, -1 if not known.
    pub last_fetch_timestamp: i64,
    /// When it last had all, -1 if not known.
    pub last_caught_up_timestamp: i64,
}

/// An address of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftEndpoint {
    /// Name of the listener.
    pub listener: String,
    /// Where it is.
    pub address: Address,
}

/// The quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumInfo {
    /// The active controller.
    pub leader: NodeId,
    /// Counts the leaders.
    pub leader_epoch: i64,
    /// Up to where the metadata is committed.
    pub high_watermark: i64,
    /// Who votes.
    pub voters: Vec<QuorumReplica>,
    /// Who follows.
    pub observers: Vec<QuorumReplica>,
    /// The addresses of nodes, where they are told.
    pub endpoints: Vec<(NodeId, Vec<RaftEndpoint>)>,
}

impl From<ReplicaState> for QuorumReplica {
    fn from(state: ReplicaState) -> Self {
        Self {
            id: NodeId(state.replica_id),
            directory_id: state.replica_directory_id,
            log_end_offset: state.log_end_offset,
            last_fetch_timestamp: state.last_fetch_timestamp,
            last_caught_up_timestamp: state.last_caught_up_timestamp,
        }
    }
}

impl Admin {
    /// The quorum of the cluster's metadata.
    ///
    /// # Errors
    /// No broker answers, or there is no quorum (ZooKeeper).
    pub async fn describe_metadata_quorum(&self) -> Result<QuorumInfo, ClientError> {
        let partition = PartitionData { partition_index: 0, ..Default::default() };
        let topic =
            TopicData { topic_name: METADATA_TOPIC.to_owned(), partitions: vec![partition], ..Default::default() };
        let request = DescribeQuorumRequest { topics: vec![topic], ..Default::default() };
        let response = self
            .call_controller(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code)))
            .await?;
        ApiError::check(response.error_code, response.error_message)?;
        let topics = response.topics.into_iter().filter(|topic| topic.topic_name == METADATA_TOPIC);
        let Some(partition) = topics.flat_map(|topic| topic.partitions).next() else {
            return Err(ApiError::from(ErrorCode::UnknownServerError).into());
        };
        ApiError::check(partition.error_code, partition.error_message)?;
        let endpoints = response.nodes.into_iter().map(|node| {
            let listeners = node.listeners.into_iter().map(|listener| RaftEndpoint {
                listener: listener.name,
                address: Address::new(listener.host, listener.port),
            });
            (NodeId(node.node_id), listeners.collect())
        });
        Ok(QuorumInfo {
            leader: NodeId(partition.leader_id),
            leader_epoch: i64::from(partition.leader_epoch),
            high_watermark: partition.high_watermark,
            voters: partition.current_voters.into_iter().map(QuorumReplica::from).collect(),
            observers: partition.observers.into_iter().map(QuorumReplica::from).collect(),
            endpoints: endpoints.collect(),
        })
    }

    /// Makes a controller that follows a voter.
    ///
    /// # Errors
    /// No broker answers, or the quorum refuses.
    pub async fn add_raft_voter(
        &self,
        voter: NodeId,
        directory_id: Uuid,
        endpoints: &[RaftEndpoint],
    ) -> Result<(), ClientError> {
        let listener = |endpoint: &RaftEndpoint| Listener {
            name: endpoint.listener.clone(),
            host: endpoint.address.host().to_owned(),
            port: endpoint.address.port(),
            ..Default::default()
        };
        let request = AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: self.request_timeout_ms(),
            voter_id: voter.get(),
            voter_directory_id: directory_id,
            listeners: endpoints.iter().map(listener).collect(),
            ..Default::default()
        };
        let response = self.call_controller(|_| request.clone(), |response| not_now(response.error_code)).await?;
        Ok(ApiError::check(response.error_code, response.error_message)?)
    }

    /// Takes a voter out of the quorum.
    ///
    /// # Errors
    /// No broker answers, or the quorum refuses.
    pub async fn remove_raft_voter(&self, voter: NodeId, directory_id: Uuid) -> Result<(), ClientError> {
        let request = RemoveRaftVoterRequest {
            cluster_id: None,
            voter_id: voter.get(),
            voter_directory_id: directory_id,
            ..Default::default()
        };
        let response = self.call_controller(|_| request.clone(), |response| not_now(response.error_code)).await?;
        Ok(ApiError::check(response.error_code, response.error_message)?)
    }
}

/// A change of voters is not sent again after a timeout: it may have been carried out, and then it is refused.
fn not_now(code: i16) -> Option<ErrorCode> {
    Some(ErrorCode::from_code(code)).filter(|code| *code == ErrorCode::NotLeaderOrFollower)
}
