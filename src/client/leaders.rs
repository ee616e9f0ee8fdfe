//! Requests about partitions, each partition's part sent to its leader, and again what may succeed later.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{AutoCreate, Cluster, Lane, TopicScope};
use super::connection::{CallOptions, Pending};
use super::retry::Deadline;
use super::{ApiError, ClientError};
use crate::protocol::{ErrorCode, Request};
use crate::types::{LeaderEpoch, NodeId, TopicPartition};

/// A partition's part of a request.
#[derive(Debug, Clone)]
pub(super) struct Part<T> {
    pub(super) partition: TopicPartition,
    /// The epoch of the leader that it is sent to, -1 if not known.
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) wanted: T,
}

/// What came of each partition.
pub(super) type Outcome<O> = BTreeMap<TopicPartition, Result<O, ClientError>>;

/// Sends `wanted` to the leaders. `build` makes the request for one leader in a version; `read` says what its response
/// holds for each partition.
///
/// Every partition has an outcome. What is retriable is tried again until the deadline.
pub(super) async fn ask_leaders<R, T, O>(
    cluster: &Cluster,
    lane: Lane,
    wanted: Vec<(TopicPartition, T)>,
    build: impl Fn(&[Part<T>], i16) -> R,
    read: impl Fn(R::Response) -> Vec<(TopicPartition, Result<O, ApiError>)>,
    deadline: Deadline,
) -> Outcome<O>
where
    R: Request,
    T: Clone,
{
    let mut outcome = BTreeMap::new();
    let mut open = wanted;
    let mut backoff = cluster.retry_backoff();
    let mut refresh = false;
    loop {
        let mut failed: BTreeMap<TopicPartition, ClientError> = BTreeMap::new();
        if let Err(error) = know_topics(cluster, &open, refresh, deadline).await {
            failed.extend(open.iter().map(|(partition, _)| (partition.clone(), error.clone())));
        } else {
            for (partition, result) in ask_leaders_once(cluster, lane, &open, &build, &read, deadline).await {
                match result {
                    Err(error) if error.is_retriable() => {
                        failed.insert(partition, error);
                    }
                    result => {
                        outcome.insert(partition, result);
                    }
                }
            }
        }
        open.retain(|(partition, _)| !outcome.contains_key(partition));
        if open.is_empty() {
            return outcome;
        }
        refresh = failed.values().any(ClientError::needs_metadata_refresh);
        let wait = backoff.next_wait();
        let stop = wait >= deadline.left();
        for (partition, error) in failed {
            if stop || !error.is_retriable() || cluster.is_hopeless(&error, deadline) {
                outcome.insert(partition, Err(error));
            }
        }
        open.retain(|(partition, _)| !outcome.contains_key(partition));
        if open.is_empty() {
            return outcome;
        }
        tokio::time::sleep(wait).await;
    }
}

async fn know_topics<T>(
    cluster: &Cluster,
    open: &[(TopicPartition, T)],
    refresh: bool,
    deadline: Deadline,
) -> Result<(), ClientError> {
    let metadata = cluster.metadata();
    let unknown = |name: &&String| refresh || metadata.topic(name).is_none();
    let names: BTreeSet<_> = open.iter().map(|(partition, _)| &partition.topic).filter(unknown).cloned().collect();
    if !names.is_empty() {
        let scope = TopicScope::Names(names.into_iter().collect());
        cluster.refresh(&scope, AutoCreate::Never, deadline).await?;
    }
    Ok(())
}

/// As [`ask_leaders`], with one attempt, and with the leaders that are known.
pub(super) async fn ask_leaders_once<R, T, O>(
    cluster: &Cluster,
    lane: Lane,
    open: &[(TopicPartition, T)],
    build: &impl Fn(&[Part<T>], i16) -> R,
    read: &impl Fn(R::Response) -> Vec<(TopicPartition, Result<O, ApiError>)>,
    deadline: Deadline,
) -> Vec<(TopicPartition, Result<O, ClientError>)>
where
    R: Request,
    T: Clone,
{
    let metadata = cluster.metadata();
    let mut results = Vec::new();
    let mut by_leader: BTreeMap<NodeId, Vec<Part<T>>> = BTreeMap::new();
    for (partition, wanted) in open {
        match metadata.leader(&partition.topic, partition.partition) {
            Some((leader, leader_epoch)) => {
                let part = Part { partition: partition.clone(), leader_epoch, wanted: wanted.clone() };
                by_leader.entry(leader).or_default().push(part);
            }
            None => {
                let topic = metadata.topics.get(&partition.topic);
                let code = match topic.map(|topic| (topic.error, topic.partition(partition.partition))) {
                    Some((ErrorCode::None, Some(_))) => ErrorCode::LeaderNotAvailable,
                    Some((ErrorCode::None, None)) | None => ErrorCode::UnknownTopicOrPartition,
                    Some((error, _)) => error,
                };
                results.push((partition.clone(), Err(ApiError::from(code).into())));
            }
        }
    }
    // All are on their way before the first answer is awaited: the brokers work side by side.
    let mut started = Vec::new();
    for (leader, parts) in by_leader {
        let request = start(cluster, leader, lane, &parts, build, deadline).await;
        started.push((parts, request));
    }
    for (parts, request) in started {
        let response = match request {
            Ok(pending) => pending.response().await,
            Err(error) => Err(error),
        };
        match response {
            Ok(response) => {
                let mut told: BTreeMap<_, _> = read(response).into_iter().collect();
                for part in parts {
                    let result = told.remove(&part.partition).unwrap_or_else(|| {
                        // A broker that leaves a partition out of its answer does not know it.
                        Err(ErrorCode::UnknownTopicOrPartition.into())
                    });
                    results.push((part.partition, result.map_err(ClientError::from)));
                }
            }
            Err(error) => results.extend(parts.into_iter().map(|part| (part.partition, Err(error.clone())))),
        }
    }
    results
}

async fn start<R: Request, T>(
    cluster: &Cluster,
    leader: NodeId,
    lane: Lane,
    parts: &[Part<T>],
    build: &impl Fn(&[Part<T>], i16) -> R,
    deadline: Deadline,
) -> Result<Pending<R>, ClientError> {
    let connection = cluster.node(leader, lane, deadline).await?;
    let version = connection.version_of::<R>(i16::MAX)?;
    connection.start(&build(parts, version), CallOptions::default()).await
}

/// The parts by topic, as most requests have them.
pub(super) fn by_topic<T>(parts: &[Part<T>]) -> BTreeMap<&str, Vec<&Part<T>>> {
    let mut topics: BTreeMap<&str, Vec<&Part<T>>> = BTreeMap::new();
    for part in parts {
        topics.entry(&part.partition.topic).or_default().push(part);
    }
    topics
}
