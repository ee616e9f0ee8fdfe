//! DescribeLogDirs (key 35), versions 1-5.
//!
//! Behaviour: each log directory with the sizes of the logs asked for (null: all), and the file system's total and usable bytes from v4.
//! Not here yet: logs on the move to another directory (`is_future_key`).

use std::collections::{BTreeMap, HashSet};

use crate::broker::context::RequestContext;
use crate::protocol::ErrorCode;
use crate::protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use crate::protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

pub(in crate::broker) async fn describe(
    ctx: &RequestContext,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let wanted: Option<HashSet<(String, i32)>> = request.topics.map(|topics| {
        topics.into_iter().flat_map(|t| t.partitions.into_iter().map(move |p| (t.topic.clone(), p))).collect()
    });
    let results = ctx.broker.replicas.logs().sizes().into_iter().map(|directory| {
        let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
        for log in directory.logs {
            let (topic, index) = (log.partition.topic, log.partition.partition.get());
            if wanted.as_ref().is_none_or(|wanted| wanted.contains(&(topic.clone(), index))) {
                topics.entry(topic).or_default().push(DescribeLogDirsPartition {
                    partition_index: index,
                    partition_size: i64::try_from(log.bytes).unwrap_or(i64::MAX),
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
            total_bytes: bytes(directory.total_bytes),
            usable_bytes: bytes(directory.usable_bytes),
            ..Default::default()
        }
    });
    DescribeLogDirsResponse { results: results.collect(), ..Default::default() }
}
