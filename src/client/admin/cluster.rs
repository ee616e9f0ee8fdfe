//! The cluster itself: its brokers, and what each of them speaks.

use super::{Admin, ApiError};
use crate::client::cluster::{AutoCreate, Lane, TopicScope};
use crate::client::{Address, ApiVersions, ClientError, Node};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{DescribeClusterRequest, UnregisterBrokerRequest};
use crate::types::NodeId;

/// Which nodes a cluster was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointType {
    /// Brokers.
    Broker,
    /// Controllers.
    Controller,
}

/// A broker, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its id.
    pub id: NodeId,
    /// Where it listens.
    pub address: Address,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether the controller keeps it from serving.
    pub is_fenced: bool,
}

/// Kafka's codes of [`EndpointType`].
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// A cluster, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id, if the broker tells.
    pub cluster_id: Option<String>,
    /// Where administrative requests are best sent.
    pub controller: Option<NodeId>,
    /// Of which kind its nodes are.
    pub endpoint_type: EndpointType,
    /// Its brokers by id, or its controllers where those were asked.
    pub nodes: Vec<ClusterNode>,
    /// Bits of what the caller may do with it, if told.
    pub authorized_operations: i32,
}

impl From<&Node> for ClusterNode {
    fn from(node: &Node) -> Self {
        Self { id: node.id, address: node.address.clone(), rack: node.rack.clone(), is_fenced: false }
    }
}

impl Admin {
    /// Describes the cluster; `with_fenced` also its brokers that may not serve, if the cluster can tell (4.0).
    ///
    /// # Errors
    /// No broker answers.
    pub async fn describe_cluster(&self, with_fenced: bool) -> Result<ClusterDescription, ClientError> {
        let controllers = self.cluster.options().are_controllers;
        let build = |version: i16| DescribeClusterRequest {
            include_fenced_brokers: with_fenced && version >= 2,
            endpoint_type: if controllers { CONTROLLERS } else { BROKERS },
            ..Default::default()
        };
        let answer = self.call_any(build, |response| Some(ErrorCode::from_code(response.error_code))).await;
        let response = match answer {
            Ok(response) => response,
            Err(ClientError::UnsupportedVersion { .. }) => return self.describe_old_cluster().await,
            Err(error) => return Err(error),
        };
        ApiError::check(response.error_code, response.error_message)?;
        let mut nodes: Vec<_> = response
            .brokers
            .into_iter()
            .map(|broker| {
                let node = Node::new(broker.broker_id, &broker.host, broker.port, broker.rack);
                ClusterNode { is_fenced: broker.is_fenced, ..ClusterNode::from(&node) }
            })
            .collect();
        nodes.sort_by_key(|node| node.id);
        Ok(ClusterDescription {
            cluster_id: Some(response.cluster_id),
            controller: (response.controller_id >= 0).then_some(NodeId(response.controller_id)),
            endpoint_type: if controllers { EndpointType::Controller } else { EndpointType::Broker },
            nodes,
            authorized_operations: response.cluster_authorized_operations,
        })
    }

    /// Brokers before 2.8 say in Metadata what they know.
    async fn describe_old_cluster(&self) -> Result<ClusterDescription, ClientError> {
        let deadline = self.cluster.api_deadline();
        let metadata = self.cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await?;
        Ok(ClusterDescription {
            cluster_id: metadata.cluster_id.clone(),
            controller: metadata.controller,
            endpoint_type: EndpointType::Broker,
            nodes: metadata.nodes.values().map(ClusterNode::from).collect(),
            authorized_operations: i32::MIN,
        })
    }

    /// Makes the cluster forget a broker, so that nothing waits for it any more (KIP-631).
    ///
    /// # Errors
    /// No broker answers, or the request is refused.
    pub async fn unregister_broker(&self, broker: NodeId) -> Result<(), ClientError> {
        let request = UnregisterBrokerRequest { broker_id: broker.get(), ..Default::default() };
        let response = self
            .call_controller(|_| request.clone(), |response| Some(ErrorCode::from_code(response.error_code)))
            .await?;
        Ok(ApiError::check(response.error_code, response.error_message)?)
    }

    /// What each broker speaks.
    ///
    /// # Errors
    /// No broker answers; a single one that does not is told in its place.
    pub async fn api_versions(&self) -> Result<Vec<(Node, Result<ApiVersions, ClientError>)>, ClientError> {
        let deadline = self.cluster.api_deadline();
        let metadata = self.cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await?;
        let mut versions = Vec::new();
        for node in metadata.nodes.values() {
            let connection = self.cluster.node(node.id, Lane::General, deadline).await;
            versions.push((node.clone(), connection.map(|connection| connection.api_versions().clone())));
        }
        Ok(versions)
    }
}
