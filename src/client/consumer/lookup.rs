//! Where to read a partition: committed offsets, the reset policy, and whether a position is still in the log.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::Shared;
use super::error::ConsumeError;
use super::state::Position;
use crate::client::admin::groups::{LAST_OFFSETS_VERSION_WITH_NAMES, fetch_error, fetch_request, fetch_results};
use crate::client::admin::offsets::list_offsets_once;
use crate::client::admin::{OffsetSpec, call_up_to, find_coordinator};
use crate::client::cluster::{Cluster, Lane};
use crate::client::leaders::{Part, ask_leaders_once, by_topic};
use crate::client::retry::Deadline;
use crate::client::{ApiError, ClientError, lock};
use crate::config::{IsolationLevel, OffsetReset};
use crate::protocol::ErrorCode;
use crate::protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use crate::protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// What was found out about a partition.
#[derive(Debug)]
pub(super) enum Found {
    /// Read here.
    Position(Position),
    /// The group has committed nothing.
    NothingCommitted,
    /// The position is in the log of the leader of this epoch.
    Valid,
    /// The leader's log is the same as what was read only up to here; `None`: not even that is known.
    Diverged(Option<Position>),
    /// Not known yet.
    Failed(ClientError),
    /// Will not be known.
    Refused(ConsumeError),
}

pub(super) type Findings = Vec<(TopicPartition, Found)>;

/// The offsets that the group has committed.
pub(super) async fn committed(shared: &Shared, group: &str, keys: Vec<TopicPartition>) -> Findings {
    let deadline = Deadline::after(shared.options.client.request_timeout);
    let stable = shared.options.isolation == IsolationLevel::ReadCommitted;
    let ask = async {
        let connection = find_coordinator(&shared.cluster, group, Lane::Group, deadline).await?;
        let member = lock(&shared.coordinated).as_ref().and_then(|membership| {
            let state = lock(&membership.state);
            Some((state.member_id().to_owned(), state.epoch()?))
        });
        let build = |version| fetch_request(group, Some(&keys), stable, member.clone(), version);
        let response = call_up_to(LAST_OFFSETS_VERSION_WITH_NAMES, &connection, build).await?;
        ApiError::check(fetch_error(&response).code(), None)?;
        Ok(fetch_results(response))
    };
    let mut told: BTreeMap<_, _> = match ask.await {
        Ok(told) => told,
        Err(error) => return all_failed(keys, &error),
    };
    keys.into_iter()
        .map(|key| {
            let found = match told.remove(&key) {
                None => Found::NothingCommitted,
                Some(Ok(committed)) => {
                    Found::Position(Position { offset: committed.offset, leader_epoch: committed.leader_epoch })
                }
                Some(Err(error)) => failed(&key, error.into()),
            };
            (key, found)
        })
        .collect()
}

/// The offsets at which the reset policy begins.
pub(super) async fn reset(shared: &Shared, wanted: Vec<(TopicPartition, OffsetReset)>) -> Findings {
    let deadline = Deadline::after(shared.options.client.request_timeout);
    let isolation = shared.options.isolation;
    let specs: Vec<_> = wanted.iter().map(|(key, how)| (key.clone(), spec(*how))).collect();
    let listed = list_offsets_once(&shared.cluster, &specs, isolation, deadline).await;
    let mut findings = Vec::new();
    let mut at_the_end = Vec::new();
    for (key, result) in listed {
        match result.map(|listed| listed.offset) {
            Ok(Some(offset)) => findings.push((key, Found::Position(unread(offset)))),
            // No record is that young.
            Ok(None) => at_the_end.push((key, OffsetSpec::Latest)),
            Err(error) => {
                let found = failed(&key, error);
                findings.push((key, found));
            }
        }
    }
    if !at_the_end.is_empty() {
        for (key, result) in list_offsets_once(&shared.cluster, &at_the_end, isolation, deadline).await {
            let found = match result {
                Ok(listed) => Found::Position(unread(listed.offset.unwrap_or(Offset::ZERO))),
                Err(error) => failed(&key, error),
            };
            findings.push((key, found));
        }
    }
    findings
}

/// A position that no record led to: as in Kafka it has no epoch, and none is committed with it.
fn unread(offset: Offset) -> Position {
    Position { offset, leader_epoch: LeaderEpoch::NONE }
}

fn spec(how: OffsetReset) -> OffsetSpec {
    match how {
        OffsetReset::Earliest => OffsetSpec::Earliest,
        OffsetReset::Latest | OffsetReset::None => OffsetSpec::Latest,
        OffsetReset::ByDuration(age) => OffsetSpec::Timestamp(ago_ms(age)),
    }
}

/// The moment that lies `age` back, in milliseconds since 1970.
fn ago_ms(age: Duration) -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.saturating_sub(age).as_millis()).unwrap_or(0)
}

/// Whether positions are in the logs of the present leaders (KIP-320).
pub(super) async fn validate(cluster: &Cluster, wanted: Vec<(TopicPartition, Position)>) -> Findings {
    let deadline = Deadline::after(cluster.options().request_timeout);
    let positions: BTreeMap<_, _> = wanted.iter().cloned().collect();
    let read = |response: OffsetForLeaderEpochResponse| {
        let mut told = Vec::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let key = TopicPartition::new(topic.topic.as_str(), partition.partition);
                let end = (partition.end_offset, partition.leader_epoch);
                told.push((key, ApiError::check(partition.error_code, None).map(|()| end)));
            }
        }
        told
    };
    let results = ask_leaders_once(cluster, Lane::General, &wanted, &epoch_request, &read, deadline).await;
    results
        .into_iter()
        .map(|(key, result)| {
            let position = positions.get(&key);
            let found = match result {
                Ok((end, epoch)) if end < 0 || epoch < 0 => Found::Diverged(None),
                Ok((end, epoch)) if position.is_some_and(|position| end < position.offset.get()) => {
                    let end = Position { offset: Offset(end), leader_epoch: LeaderEpoch(epoch) };
                    Found::Diverged(Some(end))
                }
                Ok(_) => Found::Valid,
                // Before 2.3 brokers do not tell consumers.
                Err(ClientError::UnsupportedVersion { .. }) => Found::Valid,
                Err(error) => failed(&key, error),
            };
            (key, found)
        })
        .collect()
}

fn epoch_request(parts: &[Part<Position>], _version: i16) -> OffsetForLeaderEpochRequest {
    let partition = |part: &Part<Position>| OffsetForLeaderPartition {
        partition: part.partition.partition.get(),
        current_leader_epoch: part.leader_epoch.get(),
        leader_epoch: part.wanted.leader_epoch.get(),
        ..Default::default()
    };
    let topic = |(topic, parts): (&str, Vec<&Part<Position>>)| OffsetForLeaderTopic {
        topic: topic.to_owned(),
        partitions: parts.into_iter().map(partition).collect(),
        ..Default::default()
    };
    OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: by_topic(parts).into_iter().map(topic).collect(),
        ..Default::default()
    }
}

fn all_failed(keys: Vec<TopicPartition>, error: &ClientError) -> Findings {
    keys.into_iter()
        .map(|key| {
            let found = failed(&key, error.clone());
            (key, found)
        })
        .collect()
}

fn failed(key: &TopicPartition, error: ClientError) -> Found {
    match error {
        error if error.is_retriable() => Found::Failed(error),
        // The member has just reached another epoch, or is on its way back into the group.
        error if matches!(error.code(), Some(ErrorCode::StaleMemberEpoch | ErrorCode::UnknownMemberId)) => {
            Found::Failed(error)
        }
        ClientError::Api(source) => Found::Refused(ConsumeError::Partition { partition: key.clone(), source }),
        error => Found::Refused(ConsumeError::Client(error)),
    }
}
