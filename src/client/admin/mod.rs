//! Administrative calls: topics, settings, groups, offsets, brokers.
//!
//! A call fails as a whole when no broker answers; otherwise each topic, group or partition in it has a result of its own,
//! in the order in which they were asked for.

mod acls;
mod cluster;
mod configs;
mod delegation_tokens;
mod elections;
mod features;
pub(in crate::client) mod groups;
mod log_dirs;
pub(in crate::client) mod offsets;
mod quorum;
mod quotas;
mod reassignments;
mod replicas;
mod share_groups;
mod streams_groups;
mod topics;
mod transactions;

use std::time::Duration;

use super::cluster::{AutoCreate, Cluster, Lane, TopicScope};
use super::retry::Deadline;
use super::{ApiError, CallOptions, ClientError, ClientOptions, Connection};
use crate::protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::protocol::{ErrorCode, Request};

pub use acls::{
    AclBinding, AclEntry, AclFilter, AclOperation, AclPermission, AclResourceType, PatternType, ResourcePattern,
};
pub use cluster::{ClusterDescription, ClusterNode, EndpointType};
pub use configs::{AlterConfig, ConfigChange, ConfigEntry, ConfigResource, ConfigSynonym, ResourceType};
pub use delegation_tokens::{DelegationToken, Principal};
pub use elections::ElectionType;
pub use features::{FeatureDescription, FeatureLevels, UpgradeType};
pub use groups::{DescribedMember, GroupDescription, GroupListing, GroupOffset, GroupType, RemovedMember};
pub use log_dirs::{LogDir, LogDirReplica};
pub use offsets::{ListedOffset, OffsetSpec};
pub use quorum::{QuorumInfo, QuorumReplica, RaftEndpoint};
pub use quotas::{NewScramCredential, QuotaEntity, QuotaEntry, QuotaMatch, ScramCredentialInfo};
pub use reassignments::{Reassignment, ReplicationFactor};
pub use replicas::{FetchedReplica, ReplicaFetch};
pub use share_groups::{ShareGroupDescription, ShareMember, ShareOffset};
pub use streams_groups::{StreamsGroupDescription, StreamsMember, StreamsTasks, Subtopology};
pub use topics::{
    CreatedTopic, DescribedPartition, MorePartitions, NewTopic, NewTopicLayout, TopicDescription, TopicName,
};
pub use transactions::{
    ProducerState, TransactionDescription, TransactionFilter, TransactionListing, TransactionMarker,
};

/// Calls to a cluster on behalf of an operator. Clones share connections.
#[derive(Debug, Clone)]
pub struct Admin {
    cluster: Cluster,
}

impl Admin {
    /// Administers the cluster that `options` reach. Nothing is connected yet.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        Self::of(Cluster::new(options))
    }

    /// Administers a cluster that is in use already, over the same connections.
    #[must_use]
    pub const fn of(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// The cluster.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn request_timeout_ms(&self) -> i32 {
        millis(self.cluster.options().request_timeout)
    }

    /// Sends a request that only the controller carries out.
    ///
    /// Brokers of a KRaft cluster pass it on, so whichever is connected will do; one that says that it is not the
    /// controller is of a ZooKeeper cluster, whose metadata names the controller.
    async fn call_controller<R: Request>(
        &self,
        build: impl Fn(i16) -> R,
        refused: impl Fn(&R::Response) -> Option<ErrorCode>,
    ) -> Result<R::Response, ClientError> {
        let deadline = self.cluster.api_deadline();
        let mut backoff = self.cluster.retry_backoff();
        let mut ask_named = false;
        loop {
            let attempt = async {
                let connection = match (ask_named, self.cluster.metadata().controller) {
                    (true, Some(controller)) => self.cluster.node(controller, Lane::General, deadline).await?,
                    _ => self.cluster.any(deadline).await?,
                };
                let response = call(&connection, &build).await?;
                match refused(&response).filter(|code| code.is_retriable()) {
                    Some(code) => Err(ClientError::from(ApiError::from(code))),
                    None => Ok(response),
                }
            };
            let error = match attempt.await {
                Ok(response) => return Ok(response),
                Err(error) if self.gives_up_at_once(&error) => return Err(error),
                Err(error) => error,
            };
            ask_named = true;
            self.cluster.pause(error, &mut backoff, deadline).await?;
            self.cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await?;
        }
    }

    /// Sends a request to any broker, in a form that depends on the version.
    async fn call_any<R: Request>(
        &self,
        build: impl Fn(i16) -> R,
        refused: impl Fn(&R::Response) -> Option<ErrorCode>,
    ) -> Result<R::Response, ClientError> {
        let deadline = self.cluster.api_deadline();
        let mut backoff = self.cluster.retry_backoff();
        loop {
            let attempt = async {
                let response = call(&self.cluster.any(deadline).await?, &build).await?;
                match refused(&response).filter(|code| code.is_retriable()) {
                    Some(code) => Err(ClientError::from(ApiError::from(code))),
                    None => Ok(response),
                }
            };
            match attempt.await {
                Ok(response) => return Ok(response),
                Err(error) if self.gives_up_at_once(&error) => return Err(error),
                Err(error) => self.cluster.pause(error, &mut backoff, deadline).await?,
            }
        }
    }

    /// The search for a first broker has had its time; starting over would only multiply it.
    fn gives_up_at_once(&self, error: &ClientError) -> bool {
        error.was_not_sent() && self.cluster.metadata().fetched_at.is_none()
    }

    /// Sends a request to the coordinator of `group`, and again where the coordinator has moved or loads.
    async fn call_coordinator<R: Request>(
        &self,
        group: &str,
        build: impl Fn(i16) -> R,
        refused: impl Fn(&R::Response) -> Option<ErrorCode>,
    ) -> Result<R::Response, ClientError> {
        self.call_coordinator_up_to(i16::MAX, group, build, refused).await
    }

    async fn call_coordinator_up_to<R: Request>(
        &self,
        max_version: i16,
        group: &str,
        build: impl Fn(i16) -> R,
        refused: impl Fn(&R::Response) -> Option<ErrorCode>,
    ) -> Result<R::Response, ClientError> {
        let deadline = self.cluster.api_deadline();
        let mut backoff = self.cluster.retry_backoff();
        loop {
            let attempt = async {
                let connection = find_coordinator(&self.cluster, group, Lane::General, deadline).await?;
                let response = call_up_to(max_version, &connection, &build).await?;
                match refused(&response).filter(|code| code.is_retriable()) {
                    Some(code) => Err(ClientError::from(ApiError::from(code))),
                    None => Ok(response),
                }
            };
            match attempt.await {
                Ok(response) => return Ok(response),
                Err(error) if self.gives_up_at_once(&error) => return Err(error),
                Err(error) => self.cluster.pause(error, &mut backoff, deadline).await?,
            }
        }
    }
}

/// Sends the request that `build` makes for the version that is in use with the broker.
pub(in crate::client) async fn call<R: Request>(
    connection: &Connection,
    build: impl Fn(i16) -> R,
) -> Result<R::Response, ClientError> {
    call_up_to(i16::MAX, connection, build).await
}

/// As [`call`], in no version above `max_version`.
pub(in crate::client) async fn call_up_to<R: Request>(
    max_version: i16,
    connection: &Connection,
    build: impl Fn(i16) -> R,
) -> Result<R::Response, ClientError> {
    let version = connection.version_of::<R>(max_version)?;
    connection.call_with(&build(version), CallOptions { max_version, timeout: None }).await
}

/// What a coordinator is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum CoordinatorKey<'a> {
    /// A group, by its id.
    Group(&'a str),
    /// A transactional producer, by its id.
    Transaction(&'a str),
}

/// A connection to the coordinator of a group. Asked once: who calls tries again.
pub(in crate::client) async fn find_coordinator(
    cluster: &Cluster,
    group: &str,
    lane: Lane,
    deadline: Deadline,
) -> Result<Connection, ClientError> {
    find_coordinator_of(cluster, CoordinatorKey::Group(group), lane, deadline).await
}

/// As [`find_coordinator`], of either kind.
pub(in crate::client) async fn find_coordinator_of(
    cluster: &Cluster,
    key: CoordinatorKey<'_>,
    lane: Lane,
    deadline: Deadline,
) -> Result<Connection, ClientError> {
    let (key_type, key) = match key {
        CoordinatorKey::Group(group) => (0, group),
        CoordinatorKey::Transaction(id) => (1, id),
    };
    let asked = cluster.any(deadline).await?;
    let response: FindCoordinatorResponse = call(&asked, |version| {
        // v4+ asks for several at once (KIP-699).
        if version >= 4 {
            FindCoordinatorRequest { key_type, coordinator_keys: vec![key.to_owned()], ..Default::default() }
        } else {
            FindCoordinatorRequest { key_type, key: key.to_owned(), ..Default::default() }
        }
    })
    .await?;
    let (code, message, host, port) = match response.coordinators.into_iter().next() {
        Some(found) => (found.error_code, found.error_message, found.host, found.port),
        None => (response.error_code, response.error_message, response.host, response.port),
    };
    ApiError::check(code, message)?;
    let address = super::Address::new(host, u16::try_from(port).unwrap_or_default());
    cluster.connection_to(&address, lane, deadline).await
}

/// Milliseconds as requests have them.
pub(in crate::client) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// The result that a code and a message in a response say.
fn checked<T>(code: i16, message: Option<String>, value: impl FnOnce() -> T) -> Result<T, ApiError> {
    ApiError::check(code, message).map(|()| value())
}
