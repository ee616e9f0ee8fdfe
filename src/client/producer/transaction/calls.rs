//! Requests to the coordinators of a transaction, tried again until they are done, refused, or out of time.

use std::sync::{Arc, Mutex};

use super::state::{Coordinator, Version};
use crate::client::admin::{CoordinatorKey, call_up_to, find_coordinator_of};
use crate::client::cluster::{Cluster, Lane};
use crate::client::connection::Connection;
use crate::client::producer::batch::Identity;
use crate::client::retry::Deadline;
use crate::client::{ApiError, ClientError, lock};
use crate::protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use crate::protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, InitProducerIdRequest};
use crate::protocol::{ApiKey, ErrorCode, Request};

/// From this version of InitProducerId on a producer may ask for its epoch to be raised (KIP-360).
const FIRST_INIT_VERSION_THAT_RAISES: i16 = 3;

/// Clients name partitions in this version at most; the next ones are for brokers (KIP-890).
const LAST_ADD_PARTITIONS_VERSION_OF_CLIENTS: i16 = 3;

/// The feature that says which protocol transactions follow.
const FEATURE: &str = "transaction.version";

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum CallError {
    /// The coordinator said no for good.
    Refused(ApiError),
    /// Trying again would not help.
    Broken(ClientError),
    /// No time is left.
    TimedOut(Option<Arc<ClientError>>),
    /// May be tried again. `answered`: a broker said so, and has done nothing.
    Passing { error: ClientError, answered: bool },
}

impl CallError {
    fn of(error: ClientError) -> Self {
        match error {
            ClientError::Api(error) if !error.code.is_retriable() => Self::Refused(error),
            ClientError::DeadlineExceeded { source, .. } => Self::TimedOut(source),
            error if error.is_retriable() => {
                let answered = error.code().is_some() || error.was_not_sent();
                Self::Passing { error, answered }
            }
            error => Self::Broken(error),
        }
    }
}

/// Connections to the coordinators, kept while they serve.
#[derive(Debug, Default)]
pub(super) struct Coordinators {
    transaction: Mutex<Option<Connection>>,
    group: Mutex<Option<(String, Connection)>>,
}

impl Coordinators {
    async fn connection(
        &self,
        cluster: &Cluster,
        key: CoordinatorKey<'_>,
        deadline: Deadline,
    ) -> Result<Connection, ClientError> {
        if let Some(known) = self.known(key).filter(|connection| !connection.is_closed()) {
            return Ok(known);
        }
        let found = find_coordinator_of(cluster, key, Lane::General, deadline).await?;
        match key {
            CoordinatorKey::Transaction(_) => *lock(&self.transaction) = Some(found.clone()),
            CoordinatorKey::Group(group) => *lock(&self.group) = Some((group.to_owned(), found.clone())),
        }
        Ok(found)
    }

    fn known(&self, key: CoordinatorKey<'_>) -> Option<Connection> {
        match key {
            CoordinatorKey::Transaction(_) => lock(&self.transaction).clone(),
            CoordinatorKey::Group(group) => {
                lock(&self.group).as_ref().filter(|(of, _)| of == group).map(|(_, connection)| connection.clone())
            }
        }
    }

    fn forget(&self, key: CoordinatorKey<'_>) {
        match key {
            CoordinatorKey::Transaction(_) => *lock(&self.transaction) = None,
            CoordinatorKey::Group(_) => *lock(&self.group) = None,
        }
    }

    /// One attempt at a request.
    pub(super) async fn attempt<R: Request + Clone>(
        &self,
        cluster: &Cluster,
        key: CoordinatorKey<'_>,
        max_version: i16,
        request: &R,
        code: impl Fn(&R::Response) -> ErrorCode,
        deadline: Deadline,
    ) -> Result<(R::Response, Coordinator), CallError> {
        let asked = async {
            let connection = self.connection(cluster, key, deadline).await?;
            let response = call_up_to(max_version, &connection, |_| request.clone()).await?;
            match code(&response) {
                ErrorCode::None => Ok((response, about(&connection))),
                code => Err(ClientError::from(ApiError::from(code))),
            }
        };
        asked.await.map_err(|error| {
            let moved = matches!(
                error.code(),
                Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable | ErrorCode::RequestTimedOut)
            );
            if moved || error.code().is_none() {
                self.forget(key);
            }
            CallError::of(error)
        })
    }

    /// A request, tried until the deadline.
    pub(super) async fn call<R: Request + Clone>(
        &self,
        cluster: &Cluster,
        key: CoordinatorKey<'_>,
        max_version: i16,
        request: &R,
        code: impl Fn(&R::Response) -> ErrorCode,
        deadline: Deadline,
    ) -> Result<(R::Response, Coordinator), CallError> {
        let mut backoff = cluster.retry_backoff();
        loop {
            // The deadline also ends an attempt under way: what it asks for can be asked again.
            let attempt = self.attempt(cluster, key, max_version, request, &code, deadline);
            let error = match deadline.limit(attempt).await {
                Some(Err(CallError::Passing { error, .. })) => error,
                Some(outcome) => return outcome,
                None => return Err(CallError::TimedOut(None)),
            };
            tracing::debug!(%error, api = %R::API, "a transactional request is sent again");
            cluster.pause(error, &mut backoff, deadline).await.map_err(CallError::of)?;
        }
    }
}

/// What the connection to a coordinator tells of it.
fn about(connection: &Connection) -> Coordinator {
    let versions = connection.api_versions();
    let level = versions.finalized_features.iter().find(|feature| feature.name == FEATURE);
    let version = if level.is_some_and(|level| level.max_version_level >= 2) { Version::V2 } else { Version::V1 };
    let init = versions.get(ApiKey::InitProducerId);
    Coordinator { version, bumps_epochs: init.is_some_and(|range| range.max >= FIRST_INIT_VERSION_THAT_RAISES) }
}

/// The request that names partitions, in the form of clients.
pub(super) fn add_partitions_request(
    transactional_id: &str,
    identity: Identity,
    topics: Vec<(String, Vec<i32>)>,
) -> (AddPartitionsToTxnRequest, i16) {
    let topics =
        topics.into_iter().map(|(name, partitions)| AddPartitionsToTxnTopic { name, partitions, ..Default::default() });
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: transactional_id.to_owned(),
        v3_and_below_producer_id: identity.id.get(),
        v3_and_below_producer_epoch: identity.epoch,
        v3_and_below_topics: topics.collect(),
        ..Default::default()
    };
    (request, LAST_ADD_PARTITIONS_VERSION_OF_CLIENTS)
}

/// The error that decides among those of the partitions: one that does not pass, else one that does. That others were not
/// attempted says nothing of its own.
pub(super) fn added_code(response: &AddPartitionsToTxnResponse) -> ErrorCode {
    let partitions = response.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
    worst(partitions.map(|partition| ErrorCode::from_code(partition.partition_error_code)))
}

/// The first error that does not pass, else the first one.
pub(super) fn worst(codes: impl Iterator<Item = ErrorCode>) -> ErrorCode {
    let mut found = ErrorCode::None;
    for code in codes.filter(|code| code.is_error()) {
        let says_more = match found {
            ErrorCode::None | ErrorCode::OperationNotAttempted => true,
            found => found.is_retriable() && !code.is_retriable() && code != ErrorCode::OperationNotAttempted,
        };
        if says_more {
            found = code;
        }
    }
    found
}

/// The request for a producer id, or for a higher epoch of `raise`.
pub(super) fn init_request(transactional_id: &str, timeout_ms: i32, raise: Option<Identity>) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: Some(transactional_id.to_owned()),
        transaction_timeout_ms: timeout_ms,
        producer_id: raise.map_or(-1, |identity| identity.id.get()),
        producer_epoch: raise.map_or(-1, |identity| identity.epoch),
        ..Default::default()
    }
}
