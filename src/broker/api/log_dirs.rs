//! AlterReplicaLogDirs (key 34, versions 1-2), DescribeLogDirs (35, 1-5); AssignReplicasToDirs (73, 0), which the controller gets.
//!
//! Behaviour: each log directory with the sizes of the logs asked for (null: all), and the file system's total and usable bytes from v4.
//! v5 tells which directories are cordoned (KIP-1066). One that has failed is told by its error alone. AlterReplicaLogDirs begins to move
//! logs, and chooses the directory of those that are not there yet.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use crate::broker::context::{Broker, RequestContext, now};
use crate::broker::errors::chain;
use crate::log::MoveRefusal;
use crate::protocol::ErrorCode;
use crate::protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use crate::protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use crate::protocol::messages::{
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, AssignReplicasToDirsRequest, AssignReplicasToDirsResponse,
    DescribeLogDirsRequest, DescribeLogDirsResponse,
};
use crate::types::TopicPartition;

/// The longest file name of common file systems, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// The digits that make a directory's name one of its kind.
const UNIQUE_NAME_LEN: usize = 32;

pub(in crate::broker) async fn assign(
    ctx: &RequestContext,
    request: AssignReplicasToDirsRequest,
) -> AssignReplicasToDirsResponse {
    ctx.broker.change(move |broker| broker.controller.assign_replicas_to_dirs(&request, now().wall_ms)).await
}

impl Broker {
    /// As [`Broker::change`], for what may cordon directories: the metadata says which take no more logs before the answer goes out, so
    /// that no partition that is created afterwards is placed there. (Kafka's brokers tell it with their next heartbeat.)
    pub(super) async fn change_and_cordon<R: Default + Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&Self) -> R + Send + 'static,
    ) -> R {
        self.change(move |broker| {
            let response = change(broker);
            if let Err(error) = broker.controller.cordon(&broker.replicas.logs().cordoned_ids(), now().wall_ms) {
                warn!(error = chain(&error), "the metadata can't say which log directories are cordoned");
            }
            response
        })
        .await
    }
}

pub(in crate::broker) async fn alter(
    ctx: &RequestContext,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    // As in Kafka the last directory counts where a partition is named twice.
    let mut wanted: BTreeMap<String, BTreeMap<i32, PathBuf>> = BTreeMap::new();
    for dir in request.dirs {
        for topic in dir.topics {
            let partitions = wanted.entry(topic.name).or_default();
            partitions.extend(topic.partitions.into_iter().map(|index| (index, PathBuf::from(&dir.path))));
        }
    }
    ctx.broker
        .change(move |broker| {
            let results = wanted.into_iter().map(|(name, partitions)| AlterReplicaLogDirTopicResult {
                partitions: partitions
                    .into_iter()
                    .map(|(partition_index, to)| AlterReplicaLogDirPartitionResult {
                        partition_index,
                        error_code: move_to(broker, &name, partition_index, &to).code(),
                        ..Default::default()
                    })
                    .collect(),
                topic_name: name.clone(),
                ..Default::default()
            });
            AlterReplicaLogDirsResponse { results: results.collect(), ..Default::default() }
        })
        .await
}

/// Begins to move a partition; the checks are in Kafka's order.
fn move_to(broker: &Broker, topic: &str, index: i32, to: &Path) -> ErrorCode {
    if topic.len() + format!("-{index}.-future").len() + UNIQUE_NAME_LEN > MAX_NAME_BYTES {
        return ErrorCode::InvalidTopicException;
    }
    let partition = TopicPartition::new(topic, index);
    let begun = broker.replicas.logs().begin_move(&partition, to, now().wall_ms);
    let found = broker.topics.partition(topic, index);
    let is_offline = found.is_some_and(|found| found.check_online().is_err());
    let code = match begun {
        Err(MoveRefusal::NoSuchDirectory { .. }) => ErrorCode::LogDirNotFound,
        Err(MoveRefusal::Cordoned { .. }) => ErrorCode::InvalidReplicaAssignment,
        Err(MoveRefusal::Offline { .. }) => ErrorCode::KafkaStorageError,
        Err(MoveRefusal::NoLog { .. }) if is_offline => ErrorCode::KafkaStorageError,
        Err(MoveRefusal::NoLog { .. }) => {
            let is_known = broker.metadata.read().partition(topic, partition.partition).is_some();
            // What clients of this API know for a replica that is not here.
            if is_known { ErrorCode::ReplicaNotAvailable } else { ErrorCode::UnknownTopicOrPartition }
        }
        Err(MoveRefusal::Manager(_)) => ErrorCode::KafkaStorageError,
        Ok(_) => ErrorCode::None,
    };
    match &begun {
        Ok(true) => broker.replicas.moves().wake(),
        Ok(false) => {}
        Err(error) => warn!(%partition, error = chain(error), "the log is not moved"),
    }
    code
}

pub(in crate::broker) async fn describe(
    ctx: &RequestContext,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let wanted: Option<HashSet<(String, i32)>> = request.topics.map(|topics| {
        topics.into_iter().flat_map(|t| t.partitions.into_iter().map(move |p| (t.topic.clone(), p))).collect()
    });
    let results = ctx.broker.replicas.logs().sizes().into_iter().map(|directory| {
        let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
        for log in directory.logs.into_iter().filter(|_| !directory.failed) {
            let (topic, index) = (log.partition.topic, log.partition.partition.get());
            if wanted.as_ref().is_none_or(|wanted| wanted.contains(&(topic.clone(), index))) {
                topics.entry(topic).or_default().push(DescribeLogDirsPartition {
                    partition_index: index,
                    partition_size: i64::try_from(log.bytes).unwrap_or(i64::MAX),
                    offset_lag: log.offset_lag,
                    is_future_key: log.is_future,
                    ..Default::default()
                });
            }
        }
        let bytes = |value: Option<u64>| value.map_or(-1, |value| i64::try_from(value).unwrap_or(i64::MAX));
        DescribeLogDirsResult {
            error_code: if directory.failed { ErrorCode::KafkaStorageError } else { ErrorCode::None }.code(),
            log_dir: directory.path.to_string_lossy().into_owned(),
            topics: topics
                .into_iter()
                .map(|(name, mut partitions)| {
                    partitions.sort_by_key(|partition| partition.partition_index);
                    DescribeLogDirsTopic { name, partitions, ..Default::default() }
                })
                .collect(),
            is_cordoned: directory.cordoned,
            total_bytes: bytes(directory.total_bytes),
            usable_bytes: bytes(directory.usable_bytes),
            ..Default::default()
        }
    });
    DescribeLogDirsResponse { results: results.collect(), ..Default::default() }
}
