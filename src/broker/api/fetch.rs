//! Fetch (key 1), versions 4-18.
//!
//! Behaviour: reads up to the high watermark (`read_committed`: the last stable offset), waits up to `max_wait_ms` for
//! `min_bytes`, woken by appends and ends of transactions; answers at once when a partition has an error. The first partition that has
//! anything gives at least one whole batch, however small the limits are; all others are cut at them. Incremental sessions
//! (KIP-227) are in `fetch_session.rs`. Readers of committed data are told the aborted transactions among what they get (KIP-98).
//! Versions: v7 has sessions, v9 leader epochs (KIP-320), v12 tells where logs diverge (KIP-595), v13 names topics by id (KIP-516), v15 has the
//! replica's state in a tag.
//! Not here yet: followers, preferred read replicas (always -1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::broker::context::RequestContext;
use crate::broker::fetch_session::{FetchPlan, PartitionRef, SessionRequest, Told, TopicRef, Wanted};
use crate::broker::partition::{Isolation, Partition};
use crate::broker::wait::Waiter;
use crate::protocol::ErrorCode;
use crate::protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, PartitionData,
};
use crate::protocol::messages::{FetchRequest, FetchResponse};
use crate::types::{LeaderEpoch, Offset, Uuid};

/// First version that names topics by their ids.
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 13;

pub(in crate::broker) async fn handle(ctx: &RequestContext, request: FetchRequest) -> FetchResponse {
    let started = Instant::now();
    let uses_ids = ctx.version >= FIRST_VERSION_WITH_TOPIC_IDS;
    let isolation = Isolation::from_wire(request.isolation_level);
    let session = SessionRequest { id: request.session_id, epoch: request.session_epoch, uses_ids };
    let (wanted, forgotten) = partitions_of(&request, uses_ids);
    let plan = match ctx.broker.fetch_sessions.plan(session, wanted, &forgotten, started) {
        Ok(plan) => plan,
        Err(error) => return FetchResponse { error_code: error.code(), ..Default::default() },
    };

    let max_bytes = bytes_limit(request.max_bytes).min(ctx.broker.config.fetch_max_bytes);
    let min_bytes = bytes_limit(request.min_bytes).min(max_bytes);
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or_default());
    let targets: Vec<Target<'_>> =
        plan.wanted.iter().map(|(partition, wanted)| Target::find(ctx, partition, wanted)).collect();
    let mut ready = readiness(&targets, isolation, max_bytes);
    if !ready.must_answer(min_bytes) && !targets.is_empty() && !max_wait.is_zero() {
        let waiter = Waiter::register(targets.iter().filter_map(|target| target.partition.as_ref().ok().cloned()));
        let deadline = tokio::time::Instant::from_std(started + max_wait);
        loop {
            // Order: looked at after registering, so that no append in between is missed.
            ready = readiness(&targets, isolation, max_bytes);
            if ready.must_answer(min_bytes) || tokio::time::timeout_at(deadline, waiter.woken()).await.is_err() {
                break;
            }
        }
    }
    // What came since it was looked at waits for the next request.
    let max_bytes = ctx.reserve_response_memory(ready.bytes).await.min(max_bytes);
    let answers = read_all(&targets, isolation, max_bytes);
    respond(ctx, &plan, answers, started)
}

fn bytes_limit(value: i32) -> usize {
    usize::try_from(value).unwrap_or_default()
}

fn partitions_of(request: &FetchRequest, uses_ids: bool) -> (Vec<(PartitionRef, Wanted)>, Vec<PartitionRef>) {
    let topic_ref = |name: &str, id: Uuid| if uses_ids { TopicRef::Id(id) } else { TopicRef::Name(name.into()) };
    let mut wanted = Vec::new();
    for topic in &request.topics {
        let topic_ref = topic_ref(&topic.topic, topic.topic_id);
        wanted.extend(topic.partitions.iter().map(|p| {
            let partition = PartitionRef { topic: topic_ref.clone(), partition: p.partition };
            let wanted = Wanted {
                fetch_offset: p.fetch_offset,
                max_bytes: p.partition_max_bytes,
                current_leader_epoch: p.current_leader_epoch,
                last_fetched_epoch: p.last_fetched_epoch,
                log_start_offset: p.log_start_offset,
            };
            (partition, wanted)
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let topic_ref = topic_ref(&topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.iter().map(|p| PartitionRef { topic: topic_ref.clone(), partition: *p }));
    }
    (wanted, forgotten)
}

/// A partition that is asked for, or why it can't be read.
struct Target<'a> {
    partition: Result<Arc<Partition>, ErrorCode>,
    wanted: &'a Wanted,
    /// The log has other records before the fetch offset than the reader: here they diverge.
    diverging: Option<(LeaderEpoch, Offset)>,
}

impl<'a> Target<'a> {
    fn find(ctx: &RequestContext, partition: &PartitionRef, wanted: &'a Wanted) -> Self {
        let topics = &ctx.broker.topics;
        let (topic, unknown) = match &partition.topic {
            TopicRef::Name(name) => (topics.by_name(name), ErrorCode::UnknownTopicOrPartition),
            TopicRef::Id(id) => (topics.by_id(*id), ErrorCode::UnknownTopicId),
        };
        let found = topic
            .ok_or(unknown)
            .and_then(|topic| topic.partition(partition.partition).ok_or(ErrorCode::UnknownTopicOrPartition))
            .and_then(|found| {
                found.check_leader_epoch(LeaderEpoch::new(wanted.current_leader_epoch))?;
                Ok(found)
            });
        let diverging = found.as_ref().ok().and_then(|found| {
            found.divergence(LeaderEpoch::new(wanted.last_fetched_epoch), Offset::new(wanted.fetch_offset))
        });
        Self { partition: found, wanted, diverging }
    }

    fn max_bytes(&self) -> usize {
        bytes_limit(self.wanted.max_bytes)
    }
}

/// Whether there is enough to answer.
struct Readiness {
    bytes: usize,
    has_news: bool,
}

impl Readiness {
    fn must_answer(&self, min_bytes: usize) -> bool {
        self.has_news || self.bytes >= min_bytes
    }
}

/// What could be read now, without reading it.
fn readiness(targets: &[Target<'_>], isolation: Isolation, max_bytes: usize) -> Readiness {
    let mut ready = Readiness { bytes: 0, has_news: false };
    for target in targets {
        let Ok(partition) = &target.partition else {
            ready.has_news = true;
            continue;
        };
        if target.diverging.is_some() {
            ready.has_news = true;
            continue;
        }
        match partition.readable_bytes(Offset::new(target.wanted.fetch_offset), isolation) {
            Ok(bytes) => ready.bytes = ready.bytes.saturating_add(bytes.min(target.max_bytes().max(1))),
            Err(_) => ready.has_news = true,
        }
    }
    ready.bytes = ready.bytes.min(max_bytes);
    ready
}

fn read_all(targets: &[Target<'_>], isolation: Isolation, max_bytes: usize) -> Vec<PartitionData> {
    let mut left = max_bytes;
    let mut has_any = false;
    targets
        .iter()
        .map(|target| {
            let answer = read_one(target, isolation, left, !has_any);
            let bytes = answer.records.as_ref().map_or(0, Bytes::len);
            has_any |= bytes > 0;
            left = left.saturating_sub(bytes);
            answer
        })
        .collect()
}

fn read_one(target: &Target<'_>, isolation: Isolation, left: usize, at_least_one: bool) -> PartitionData {
    let failed = |error: ErrorCode| PartitionData {
        error_code: error.code(),
        high_watermark: -1,
        records: Some(Bytes::new()),
        ..Default::default()
    };
    let partition = match &target.partition {
        Ok(partition) => partition,
        Err(error) => return failed(*error),
    };
    let mut answer = PartitionData { preferred_read_replica: -1, ..Default::default() };
    // Others get null: they have no use for it.
    answer.aborted_transactions = (isolation == Isolation::ReadCommitted).then(Vec::new);
    if let Some((epoch, end)) = target.diverging {
        let offsets = partition.log().offsets();
        answer.diverging_epoch = EpochEndOffset { epoch: epoch.get(), end_offset: end.get(), ..Default::default() };
        answer.high_watermark = offsets.high_watermark.get();
        answer.last_stable_offset = offsets.last_stable_offset.get();
        answer.log_start_offset = offsets.log_start_offset.get();
        answer.records = Some(Bytes::new());
        return answer;
    }
    let limit = target.max_bytes().min(left);
    match partition.read(Offset::new(target.wanted.fetch_offset), limit, isolation, at_least_one) {
        Ok(read) => {
            answer.high_watermark = read.offsets.high_watermark.get();
            answer.last_stable_offset = read.offsets.last_stable_offset.get();
            answer.log_start_offset = read.offsets.log_start_offset.get();
            answer.records = Some(read.records);
            if let Some(aborted) = &mut answer.aborted_transactions {
                aborted.extend(read.aborted.iter().map(|transaction| AbortedTransaction {
                    producer_id: transaction.producer_id.get(),
                    first_offset: transaction.first_offset.get(),
                    ..Default::default()
                }));
            }
            answer
        }
        Err(error) => failed(error),
    }
}

fn respond(ctx: &RequestContext, plan: &FetchPlan, answers: Vec<PartitionData>, now: Instant) -> FetchResponse {
    let told: Vec<Told> = answers
        .iter()
        .map(|answer| Told {
            high_watermark: answer.high_watermark,
            log_start_offset: answer.log_start_offset,
            has_news: answer.records.as_ref().is_some_and(|r| !r.is_empty()) || answer.diverging_epoch.epoch >= 0,
            has_error: answer.error_code != 0,
        })
        .collect();
    let (session_id, say) = ctx.broker.fetch_sessions.finish(plan, &told, now);
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let mut last: Option<&TopicRef> = None;
    for (((partition, _), mut answer), say) in plan.wanted.iter().zip(answers).zip(say) {
        if !say {
            continue;
        }
        answer.partition_index = partition.partition;
        if last != Some(&partition.topic) {
            let (topic, topic_id) = match &partition.topic {
                TopicRef::Name(name) => (name.to_string(), Uuid::ZERO),
                TopicRef::Id(id) => (String::new(), *id),
            };
            responses.push(FetchableTopicResponse { topic, topic_id, ..Default::default() });
            last = Some(&partition.topic);
        }
        if let Some(topic) = responses.last_mut() {
            topic.partitions.push(answer);
        }
    }
    FetchResponse { session_id, responses, ..Default::default() }
}
