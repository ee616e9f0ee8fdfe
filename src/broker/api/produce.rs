//! Produce (key 0), versions 3-13.
//!
//! Behaviour: each partition's payload is checked (shape, CRC, records, timestamps; `record::validate`), recompressed if the topic asks
//! for another codec, appended, and with `acks=-1` answered when it is committed. With `acks=0` there is no answer; an
//! error closes the connection, so that the client notices.
//! Versions: v7 allows zstd (KIP-110), v8 tells which records were refused (KIP-467), v10 tells who leads instead, v13 names topics by
//! id (KIP-516).
//! Transactional batches are in `produce_transactions.rs`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::SemaphorePermit;
use tokio::task::block_in_place;
use tracing::debug;

use super::produce_transactions::verify_all;
use crate::broker::context::RequestContext;
use crate::broker::errors::{Refusal, append_refusal, validate_refusal};
use crate::broker::partition::{Appended, Partition};
use crate::broker::router::{Answer, Outcome};
use crate::config::CompressionType;
use crate::log::Verification;
use crate::protocol::ErrorCode;
use crate::protocol::messages::produce_request::TopicProduceData;
use crate::protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use crate::protocol::messages::{ProduceRequest, ProduceResponse};
use crate::record::{Codec, Compression, TimestampType, ValidateOptions, produced_batch, recompress, validate};

/// First version that names topics by their ids.
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 13;
/// First version that may carry zstd (KIP-110).
const FIRST_VERSION_WITH_ZSTD: i16 = 7;
/// The only client that may write to internal topics, as in Kafka: it is used for tests and repairs.
const ADMIN_CLIENT: &str = "__admin_client";
/// How many times `max.message.bytes` the records of a compressed batch may take: what grows more is no data but a bomb.
const MAX_EXPANSION: usize = 100;

/// Requests with so many bytes of records wait for a turn, and for the disk on a thread of their own.
const LARGE_BYTES: usize = 256 << 10;

/// How many replicas must have a batch before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acks {
    None,
    Leader,
    All,
}

/// The answer; with `acks=0` there is none.
#[derive(Debug)]
pub(in crate::broker) enum ProduceAnswer {
    Response(ProduceResponse),
    /// Nobody wants to hear that it went well.
    Silent,
    /// Something went wrong, which the client can only notice by losing its connection.
    Close,
}

impl Answer<ProduceResponse> for ProduceAnswer {
    fn into_response(self) -> Result<ProduceResponse, Outcome> {
        match self {
            Self::Response(response) => Ok(response),
            Self::Silent => Err(Outcome::Silent),
            Self::Close => Err(Outcome::Close),
        }
    }
}

pub(in crate::broker) async fn handle(ctx: &RequestContext, request: ProduceRequest) -> ProduceAnswer {
    let started = Instant::now();
    let acks = match request.acks {
        0 => Ok(Acks::None),
        1 => Ok(Acks::Leader),
        -1 => Ok(Acks::All),
        _ => Err(ErrorCode::InvalidRequiredAcks),
    };
    let (mut responses, mut targets) = find_targets(ctx, request.topic_data, acks.err());
    if let Err(error) = verify_all(ctx, request.transactional_id.as_deref(), &mut targets).await {
        targets.iter_mut().for_each(|target| target.partition = Err(error.into()));
    }
    let mut waiting: Vec<(usize, usize, Appended)> = Vec::new();
    let turn = turn_of(ctx, &targets).await;
    for target in targets {
        let (t, p, index) = (target.topic, target.place, target.index);
        let append = || append(ctx, target, acks.unwrap_or(Acks::Leader));
        let answer = match if turn.is_some() { beside_others(append) } else { append() } {
            Ok(appended) => {
                let response = PartitionProduceResponse {
                    index,
                    base_offset: appended.first_offset.get(),
                    log_append_time_ms: appended.log_append_time_ms,
                    log_start_offset: appended.log_start_offset.get(),
                    ..Default::default()
                };
                waiting.push((t, p, appended));
                response
            }
            Err(refusal) => refused(index, refusal),
        };
        if let Some(topic) = responses.get_mut(t) {
            topic.partition_responses.push(answer);
        }
    }
    drop(turn);
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or_default());
    for (t, p, appended) in waiting {
        let result = match acks {
            Ok(Acks::All) => match appended.flushed().await {
                Ok(()) => appended.committed(started + timeout).await,
                Err(error) => Err(error),
            },
            _ => appended.flushed().await,
        };
        if let Err(error) = result
            && let Some(response) = responses.get_mut(t).and_then(|t| t.partition_responses.get_mut(p))
        {
            *response = refused(response.index, error.into());
        }
    }
    let response = ProduceResponse { responses, ..Default::default() };
    if acks == Ok(Acks::None) {
        let failed = response.responses.iter().flat_map(|t| &t.partition_responses).any(|p| p.error_code != 0);
        return if failed { ProduceAnswer::Close } else { ProduceAnswer::Silent };
    }
    ProduceAnswer::Response(response)
}

/// Waits for its turn to append, if there is much to append. Whoever has little goes by.
async fn turn_of<'c>(ctx: &'c RequestContext, targets: &[Target]) -> Option<SemaphorePermit<'c>> {
    let bytes: usize = targets.iter().filter_map(|target| target.records.as_ref()).map(Bytes::len).sum();
    if bytes < LARGE_BYTES {
        return None;
    }
    // Invariant: the turns are never closed.
    ctx.broker.large_appends.acquire().await.ok()
}

/// Does what may wait for a disk while the runtime's other tasks go on.
fn beside_others<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) { block_in_place(work) } else { work() }
}

/// What goes to one partition.
#[derive(Debug)]
pub(super) struct Target {
    /// Place of the topic in the answer, and of the partition in that.
    topic: usize,
    place: usize,
    index: i32,
    pub(super) partition: Result<Arc<Partition>, Refusal>,
    pub(super) records: Option<Bytes>,
    pub(super) verification: Verification,
}

/// Finds the partitions; also the topics of the answer, with nothing in them yet.
fn find_targets(
    ctx: &RequestContext,
    topics: Vec<TopicProduceData>,
    refused: Option<ErrorCode>,
) -> (Vec<TopicProduceResponse>, Vec<Target>) {
    let mut responses = Vec::with_capacity(topics.len());
    let mut targets = Vec::new();
    for (t, topic) in topics.into_iter().enumerate() {
        let found = if ctx.version >= FIRST_VERSION_WITH_TOPIC_IDS {
            ctx.broker.topics.by_id(topic.topic_id).ok_or(ErrorCode::UnknownTopicId)
        } else {
            ctx.broker.topics.by_name(&topic.name).ok_or(ErrorCode::UnknownTopicOrPartition)
        };
        for (place, data) in topic.partition_data.into_iter().enumerate() {
            let partition = match (refused, &found) {
                (Some(error), _) => Err(error),
                (None, Err(error)) => Err(*error),
                (None, Ok(topic)) => topic
                    .partition(data.index)
                    .ok_or(ErrorCode::UnknownTopicOrPartition)
                    .and_then(|found| found.check_online().map(|()| found)),
            };
            targets.push(Target {
                topic: t,
                place,
                index: data.index,
                partition: partition.map_err(Refusal::from),
                records: data.records,
                verification: Verification::NotNeeded,
            });
        }
        responses.push(TopicProduceResponse { name: topic.name, topic_id: topic.topic_id, ..Default::default() });
    }
    (responses, targets)
}

fn refused(index: i32, refusal: Refusal) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: refusal.code.code(),
        base_offset: -1,
        error_message: refusal.message,
        record_errors: refusal.records,
        ..Default::default()
    }
}

fn append(ctx: &RequestContext, target: Target, acks: Acks) -> Result<Appended, Refusal> {
    let Target { partition, records, verification, .. } = target;
    let partition = partition?;
    if partition.is_internal() && ctx.client_id != ADMIN_CLIENT {
        return Err(ErrorCode::InvalidTopicException.into());
    }
    // Kafka never answers such a request; a client deserves to hear what is wrong.
    let payload = records.ok_or(ErrorCode::InvalidRecord)?;
    let config = partition.config();
    if acks == Acks::All {
        partition.check_min_isr(config.min_insync_replicas)?;
    }
    let batch = produced_batch(&payload, ctx.version >= FIRST_VERSION_WITH_ZSTD)
        .map_err(|error| validate_refusal(error, partition.name()))?;
    let now_ms = ctx.broker.now().wall_ms;
    let max_message_bytes = usize::try_from(config.max_message_bytes).unwrap_or_default();
    let options = ValidateOptions {
        compacted: config.cleanup_policy.compact,
        timestamp_type: timestamp_type(config.message_timestamp_type),
        before_max_ms: config.message_timestamp_before_max_ms,
        after_max_ms: config.message_timestamp_after_max_ms,
        max_message_bytes,
        max_decompressed_bytes: max_message_bytes.saturating_mul(MAX_EXPANSION),
        now_ms,
    };
    let validated = validate(batch, &options).map_err(|error| validate_refusal(error, partition.name()))?;
    let wanted = wanted_compression(&config);
    if let Some(compression) = wanted
        && batch.header().attributes.codec().ok() != Some(compression.codec)
    {
        let again: Bytes = recompress(&batch, compression, options.max_decompressed_bytes).map_err(|error| {
            debug!(%error, "a batch can't be compressed again");
            Refusal::from(ErrorCode::InvalidRecord)
        })?;
        let batch = produced_batch(&again, true).map_err(|error| validate_refusal(error, partition.name()))?;
        let mut validated = validated;
        validated.batch = batch;
        return partition.append(&validated, &options, verification).map_err(|error| append_refusal(&error));
    }
    partition.append(&validated, &options, verification).map_err(|error| append_refusal(&error))
}

fn timestamp_type(configured: crate::config::TimestampType) -> TimestampType {
    match configured {
        crate::config::TimestampType::CreateTime => TimestampType::CreateTime,
        crate::config::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
    }
}

/// What `compression.type` asks for; `None`: whatever the producer chose.
fn wanted_compression(config: &crate::config::TopicConfig) -> Option<Compression> {
    let (codec, level) = match config.compression_type {
        CompressionType::Producer => return None,
        CompressionType::Uncompressed => return Some(Compression::NONE),
        CompressionType::Gzip => (Codec::Gzip, config.compression_gzip_level),
        CompressionType::Snappy => return Some(Compression { codec: Codec::Snappy, ..Compression::NONE }),
        CompressionType::Lz4 => (Codec::Lz4, config.compression_lz4_level),
        CompressionType::Zstd => (Codec::Zstd, config.compression_zstd_level),
    };
    Some(Compression { codec, level: Some(level) })
}
