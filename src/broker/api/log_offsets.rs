//! Offsets of the logs: ListOffsets (key 2, versions 1-11), OffsetForLeaderEpoch (23, 2-4), DeleteRecords (21, 0-2).
//!
//! Behaviour of ListOffsets: timestamp -2 is the log start offset, -1 the end this reader may see, -3 the newest timestamp
//! (KIP-734), -4 the first offset on local disk, -5 the last one in tiered storage (none here: -1), -6 the first one not yet
//! tiered (KIP-1005, KIP-1023); any other value the first record at or after it. The end is the high watermark, the last
//! stable offset for `read_committed` (KIP-98), and the log end offset for a replica.
//! Versions: v2 has isolation levels, v4 leader epochs (KIP-320), v6 is flexible; v7, v8, v9 and v11 each bring one more special
//! timestamp.
//! Not here yet: followers.

use std::collections::HashSet;
use std::sync::Arc;

use crate::broker::context::RequestContext;
use crate::broker::errors::{log_error, read_error};
use crate::broker::partition::{Isolation, Partition};
use crate::protocol::ErrorCode;
use crate::protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use crate::protocol::messages::list_offsets_request::ListOffsetsPartition;
use crate::protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use crate::protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use crate::protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};
use crate::types::{LeaderEpoch, Offset};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Replica id of a consumer.
const CONSUMER: i32 = -1;

/// An offset that was found; -1 in all fields if there is none.
struct Found {
    offset: i64,
    timestamp: i64,
    epoch: i32,
}

impl Found {
    const NOTHING: Self = Self { offset: -1, timestamp: -1, epoch: -1 };
}

pub(in crate::broker) async fn list(ctx: &RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let isolation = Isolation::from_wire(request.isolation_level);
    let mut seen = HashSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let index = wanted.partition_index;
            let found = if seen.insert((topic.name.clone(), index)) {
                ctx.broker
                    .topics
                    .partition(&topic.name, index)
                    .ok_or(ErrorCode::UnknownTopicOrPartition)
                    .and_then(|partition| find(&partition, wanted, isolation, request.replica_id, ctx.version))
            } else {
                Err(ErrorCode::InvalidRequest)
            };
            // One bad partition must not cost the client the others: its error stays in its own slot.
            let answer = ListOffsetsPartitionResponse { partition_index: index, ..Default::default() };
            partitions.push(match found {
                Ok(found) => ListOffsetsPartitionResponse {
                    offset: found.offset,
                    timestamp: found.timestamp,
                    // Earlier versions have no word for it.
                    leader_epoch: if ctx.version >= 4 { found.epoch } else { -1 },
                    ..answer
                },
                Err(error) => ListOffsetsPartitionResponse { error_code: error.code(), ..answer },
            });
        }
        topics.push(ListOffsetsTopicResponse { name: topic.name, partitions, ..Default::default() });
    }
    ListOffsetsResponse { topics, ..Default::default() }
}

/// The first version that has a special timestamp.
fn first_version(timestamp: i64) -> Option<i16> {
    match timestamp {
        LATEST | EARLIEST => Some(1),
        MAX_TIMESTAMP => Some(7),
        EARLIEST_LOCAL => Some(8),
        LATEST_TIERED => Some(9),
        EARLIEST_PENDING_UPLOAD => Some(11),
        0.. => Some(1),
        _ => None,
    }
}

fn find(
    partition: &Arc<Partition>,
    wanted: &ListOffsetsPartition,
    isolation: Isolation,
    replica_id: i32,
    version: i16,
) -> Result<Found, ErrorCode> {
    if first_version(wanted.timestamp).is_none_or(|first| version < first) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    partition.check_leader_epoch(LeaderEpoch::new(wanted.current_leader_epoch))?;
    let log = partition.log();
    let offsets = log.offsets();
    let end = if replica_id == CONSUMER { isolation.end(&offsets) } else { offsets.log_end_offset };
    let epoch_at = |offset: Offset| log.epoch_at(offset).unwrap_or(LeaderEpoch::NONE).get();
    let dated = match wanted.timestamp {
        LATEST => {
            return Ok(Found { offset: end.get(), timestamp: -1, epoch: partition.leader_epoch().get() });
        }
        EARLIEST | EARLIEST_LOCAL => {
            let start = offsets.log_start_offset;
            return Ok(Found { offset: start.get(), timestamp: -1, epoch: epoch_at(start) });
        }
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Ok(Found::NOTHING),
        MAX_TIMESTAMP => log.max_timestamp(),
        timestamp => log.offset_for_timestamp(timestamp),
    };
    let found = dated.map_err(|error| read_error(&error))?;
    // What the reader may not see yet counts as not there.
    Ok(found.filter(|found| found.offset < end).map_or(Found::NOTHING, |found| Found {
        offset: found.offset.get(),
        timestamp: found.timestamp,
        epoch: found.leader_epoch.get(),
    }))
}

pub(in crate::broker) async fn for_leader_epoch(
    ctx: &RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let answer = EpochEndOffset { partition: wanted.partition, ..Default::default() };
            let partition = ctx
                .broker
                .topics
                .partition(&topic.topic, wanted.partition)
                .ok_or(ErrorCode::UnknownTopicOrPartition)
                .and_then(|partition| {
                    partition.check_leader_epoch(LeaderEpoch::new(wanted.current_leader_epoch))?;
                    Ok(partition)
                });
            match partition {
                Err(error) => EpochEndOffset { error_code: error.code(), ..answer },
                Ok(partition) => match partition.log().end_offset_for_epoch(LeaderEpoch::new(wanted.leader_epoch)) {
                    Some(end) => {
                        EpochEndOffset { leader_epoch: end.epoch.get(), end_offset: end.end_offset.get(), ..answer }
                    }
                    None => answer,
                },
            }
        });
        OffsetForLeaderTopicResult {
            partitions: partitions.collect(),
            topic: topic.topic.clone(),
            ..Default::default()
        }
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
}

/// DeleteRecords: stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

pub(in crate::broker) async fn delete_records(
    ctx: &RequestContext,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let deleted = ctx
                .broker
                .topics
                .partition(&topic.name, wanted.partition_index)
                .ok_or(ErrorCode::UnknownTopicOrPartition)
                .and_then(|partition| delete_before(&partition, wanted.offset));
            let answer = DeleteRecordsPartitionResult { partition_index: wanted.partition_index, ..Default::default() };
            match deleted {
                Ok(low_watermark) => DeleteRecordsPartitionResult { low_watermark: low_watermark.get(), ..answer },
                Err(error) => DeleteRecordsPartitionResult { low_watermark: -1, error_code: error.code(), ..answer },
            }
        });
        DeleteRecordsTopicResult { partitions: partitions.collect(), name: topic.name.clone(), ..Default::default() }
    });
    DeleteRecordsResponse { topics: topics.collect(), ..Default::default() }
}

fn delete_before(partition: &Partition, offset: i64) -> Result<Offset, ErrorCode> {
    partition.check_online()?;
    if partition.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    if !partition.config().cleanup_policy.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let offsets = partition.log().offsets();
    let wanted = if offset == HIGH_WATERMARK { offsets.high_watermark } else { Offset::new(offset) };
    if wanted < Offset::ZERO || wanted > offsets.high_watermark {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    partition.log().raise_log_start_offset(wanted).map_err(|error| log_error(&error))?;
    Ok(partition.log().log_start_offset())
}
