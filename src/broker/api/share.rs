//! Members of share groups read and acknowledge (KIP-932): ShareFetch (key 78, versions 1-2), ShareAcknowledge (79, 1-2).
//!
//! Behaviour: the rules are in `share/`. A session tells which partitions a member reads; epoch 0 begins one, -1 ends it and gives
//! back what the member had. Acknowledgements come first, then ShareFetch waits for records; their errors stand apart. A
//! session ends with its connection, too. Where all sessions are taken, ShareFetch says so only after its waiting time.
//! Versions: v2 limits records exactly (KIP-1206) and renews locks (KIP-1222): a request that renews fetches nothing.
//! Not here yet: the leader's address for members that ask the wrong broker.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::share_groups::is_enabled;
use crate::broker::context::RequestContext;
use crate::broker::share::{
    Acknowledgement, AcquireMode, FINAL_EPOCH, INITIAL_EPOCH, SessionKey, ShareFetch, Taken, TopicIdPartition,
    acknowledge_type,
};
use crate::protocol::ErrorCode;
use crate::protocol::messages::share_acknowledge_response::{
    self as acknowledge_response, ShareAcknowledgeTopicResponse,
};
use crate::protocol::messages::share_fetch_response::{
    AcquiredRecords, LeaderIdAndEpoch, PartitionData, ShareFetchableTopicResponse,
};
use crate::protocol::messages::{
    ShareAcknowledgeRequest, ShareAcknowledgeResponse, ShareFetchRequest, ShareFetchResponse,
};

/// Longest member id (a UUID as text, in any of its forms).
const MAX_MEMBER_ID_CHARS: usize = 36;

/// What a request says of records, by partition.
type Said = BTreeMap<TopicIdPartition, Vec<Acknowledgement>>;

/// How it went, by partition.
type Outcomes = BTreeMap<TopicIdPartition, ErrorCode>;

/// Why a whole request is refused.
type Refusal = (ErrorCode, Option<&'static str>);

fn check_enabled(ctx: &RequestContext) -> Result<(), Refusal> {
    if is_enabled(ctx) { Ok(()) } else { Err((ErrorCode::UnsupportedVersion, None)) }
}

fn session_key(group: Option<String>, member: Option<String>) -> Result<SessionKey, Refusal> {
    let group = group.ok_or((ErrorCode::InvalidRequest, Some("Invalid group id in the request.")))?;
    let is_valid = |member: &String| !member.is_empty() && member.chars().count() <= MAX_MEMBER_ID_CHARS;
    let member =
        member.filter(is_valid).ok_or((ErrorCode::InvalidRequest, Some("Invalid member id in the request.")))?;
    Ok(SessionKey { group, member: member.into() })
}

pub(in crate::broker) async fn fetch(ctx: &RequestContext, request: ShareFetchRequest) -> ShareFetchResponse {
    match try_fetch(ctx, request).await {
        Ok(response) => response,
        Err((error, message)) => ShareFetchResponse {
            error_code: error.code(),
            error_message: Some(message.unwrap_or(error.name()).to_owned()),
            ..Default::default()
        },
    }
}

async fn try_fetch(ctx: &RequestContext, request: ShareFetchRequest) -> Result<ShareFetchResponse, Refusal> {
    check_enabled(ctx)?;
    let share = &ctx.broker.share;
    let key = session_key(request.group_id.clone(), request.member_id.clone())?;
    let renews = ctx.version >= 2 && request.is_renew_ack;
    if renews && (request.max_bytes, request.min_bytes, request.max_records, request.max_wait_ms) != (0, 0, 0, 0) {
        let message = "A request that renews acquisition locks must not ask for records.";
        return Err((ErrorCode::InvalidRequest, Some(message)));
    }
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or_default());
    let (added, said) = said_in_fetch(&request);
    let forgotten: Vec<TopicIdPartition> = request
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, *partition)))
        .collect();
    let epoch = request.share_session_epoch;
    let session = begin(ctx, &key, epoch, &added, &forgotten, !said.is_empty());
    if let Err((ErrorCode::ShareSessionLimitReached, _)) = session {
        // It would only come again at once.
        tokio::time::sleep(max_wait).await;
    }
    session?;

    let outcomes = acknowledge_all(ctx, &key, said, renews).await;
    let mut fetched = Vec::new();
    if epoch == FINAL_EPOCH {
        end(ctx, &key).await?;
    } else if !renews {
        let mode = if request.share_acquire_mode == 1 { AcquireMode::RecordLimit } else { AcquireMode::BatchOptimized };
        let bytes = |value: i32| usize::try_from(value).unwrap_or_default();
        let wanted = ShareFetch {
            partitions: share.sessions().partitions(&key),
            key: key.clone(),
            max_wait,
            min_bytes: bytes(request.min_bytes),
            max_bytes: bytes(request.max_bytes).min(ctx.broker.config.fetch_max_bytes),
            max_records: request.max_records.into(),
            batch_size: request.batch_size.into(),
            mode,
        };
        if !wanted.partitions.is_empty() {
            fetched = share.fetch(ctx, &wanted).await;
        }
    }
    Ok(fetch_response(ctx, &key, outcomes, fetched))
}

/// The partitions that a fetch adds to its session, and what it says of records.
fn said_in_fetch(request: &ShareFetchRequest) -> (Vec<TopicIdPartition>, Said) {
    let (mut added, mut said) = (Vec::new(), Said::new());
    for topic in &request.topics {
        for partition in &topic.partitions {
            let id = (topic.topic_id, partition.partition_index);
            added.push(id);
            let batches = partition.acknowledgement_batches.iter().map(|batch| Acknowledgement {
                first: batch.first_offset,
                last: batch.last_offset,
                types: batch.acknowledge_types.clone(),
            });
            let batches: Vec<_> = batches.collect();
            if !batches.is_empty() {
                said.entry(id).or_default().extend(batches);
            }
        }
    }
    (added, said)
}

/// Begins a session or goes on with it.
fn begin(
    ctx: &RequestContext,
    key: &SessionKey,
    epoch: i32,
    added: &[TopicIdPartition],
    forgotten: &[TopicIdPartition],
    says_something: bool,
) -> Result<(), Refusal> {
    let mut sessions = ctx.broker.share.sessions();
    let done = match epoch {
        INITIAL_EPOCH if says_something => Err(ErrorCode::InvalidRequest),
        INITIAL_EPOCH => sessions.open(key, ctx.peer.id, added),
        FINAL_EPOCH if sessions.has(key) => Ok(()),
        FINAL_EPOCH => Err(ErrorCode::ShareSessionNotFound),
        epoch => sessions.go_on(key, epoch, added, forgotten),
    };
    done.map_err(|error| (error, None))
}

/// Ends a session, and gives back what its member had.
async fn end(ctx: &RequestContext, key: &SessionKey) -> Result<(), Refusal> {
    let ended = ctx.broker.share.sessions().close(key);
    let ended = ended.ok_or((ErrorCode::ShareSessionNotFound, None))?;
    let broker = Arc::clone(&ctx.broker);
    // As a task of its own: what is given back is given back also if the member does not wait for the answer.
    let released = tokio::spawn(async move { broker.share.release(ended).await });
    // As Kafka: the answer is about what was acknowledged. What could not be given back is free when its locks run out; that was
    // logged.
    let _ = released.await;
    Ok(())
}

/// Takes over what a member says, partition by partition.
async fn acknowledge_all(ctx: &RequestContext, key: &SessionKey, said: Said, renews: bool) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for (partition, batches) in said {
        let is_renewal = |kind: &i8| *kind == acknowledge_type::RENEW;
        let has_renewal = batches.iter().any(|batch| batch.types.iter().any(is_renewal));
        let result = if ctx.broker.topics.by_id(partition.0).is_none() {
            Err(ErrorCode::UnknownTopicId)
        } else if has_renewal && !renews {
            Err(ErrorCode::InvalidRequest)
        } else {
            ctx.broker.share.acknowledge(key, partition, batches).await
        };
        outcomes.insert(partition, result.err().unwrap_or(ErrorCode::None));
    }
    outcomes
}

fn lock_timeout_ms(ctx: &RequestContext, key: &SessionKey) -> i32 {
    let duration = ctx.broker.share.settings(&key.group).rules.record_lock_duration;
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn words(error: ErrorCode) -> Option<String> {
    (error != ErrorCode::None).then(|| error.name().to_owned())
}

fn fetch_response(
    ctx: &RequestContext,
    key: &SessionKey,
    outcomes: Outcomes,
    fetched: Vec<(TopicIdPartition, Result<Taken, ErrorCode>)>,
) -> ShareFetchResponse {
    let mut fetched: HashMap<TopicIdPartition, Result<Taken, ErrorCode>> = fetched.into_iter().collect();
    let mut answers: Vec<(TopicIdPartition, PartitionData)> = Vec::new();
    let mut ids: Vec<TopicIdPartition> = outcomes.keys().chain(fetched.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let said = outcomes.get(&id).copied().unwrap_or(ErrorCode::None);
        let (taken, error) = match fetched.remove(&id) {
            None => (Taken::default(), ErrorCode::None),
            Some(Ok(taken)) => (taken, ErrorCode::None),
            Some(Err(error)) => (Taken::default(), error),
        };
        let is_elsewhere = [said, error].contains(&ErrorCode::NotLeaderOrFollower);
        let acquired = taken.acquired.iter().map(|range| AcquiredRecords {
            first_offset: range.first,
            last_offset: range.last,
            delivery_count: range.count,
            ..Default::default()
        });
        let data = PartitionData {
            partition_index: id.1,
            error_code: error.code(),
            error_message: words(error),
            acknowledge_error_code: said.code(),
            acknowledge_error_message: words(said),
            current_leader: if is_elsewhere { leader(ctx, id) } else { LeaderIdAndEpoch::default() },
            records: Some(taken.records),
            acquired_records: acquired.collect(),
            ..Default::default()
        };
        answers.push((id, data));
    }
    let mut responses: Vec<ShareFetchableTopicResponse> = Vec::new();
    for ((topic_id, _), data) in answers {
        match responses.last_mut() {
            Some(topic) if topic.topic_id == topic_id => topic.partitions.push(data),
            _ => responses.push(ShareFetchableTopicResponse { topic_id, partitions: vec![data], ..Default::default() }),
        }
    }
    let acquisition_lock_timeout_ms = lock_timeout_ms(ctx, key);
    ShareFetchResponse { acquisition_lock_timeout_ms, responses, ..Default::default() }
}

/// Who leads a partition now.
fn leader(ctx: &RequestContext, (topic_id, partition): TopicIdPartition) -> LeaderIdAndEpoch {
    let image = ctx.broker.metadata.read();
    let found = image.topic_by_id(topic_id).and_then(|topic| topic.partitions.get(&partition.into()));
    found.map_or_else(LeaderIdAndEpoch::default, |found| LeaderIdAndEpoch {
        leader_id: found.leader.get(),
        leader_epoch: found.leader_epoch.get(),
        ..Default::default()
    })
}

pub(in crate::broker) async fn acknowledge(
    ctx: &RequestContext,
    request: ShareAcknowledgeRequest,
) -> ShareAcknowledgeResponse {
    match try_acknowledge(ctx, request).await {
        Ok(response) => response,
        Err((error, message)) => ShareAcknowledgeResponse {
            error_code: error.code(),
            error_message: Some(message.unwrap_or(error.name()).to_owned()),
            ..Default::default()
        },
    }
}

async fn try_acknowledge(
    ctx: &RequestContext,
    request: ShareAcknowledgeRequest,
) -> Result<ShareAcknowledgeResponse, Refusal> {
    check_enabled(ctx)?;
    let key = session_key(request.group_id, request.member_id)?;
    let epoch = request.share_session_epoch;
    if epoch == INITIAL_EPOCH {
        return Err((ErrorCode::InvalidShareSessionEpoch, None));
    }
    begin(ctx, &key, epoch, &[], &[], true)?;
    let mut said = Said::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let batches = partition.acknowledgement_batches.iter().map(|batch| Acknowledgement {
                first: batch.first_offset,
                last: batch.last_offset,
                types: batch.acknowledge_types.clone(),
            });
            said.entry((topic.topic_id, partition.partition_index)).or_default().extend(batches);
        }
    }
    let renews = ctx.version >= 2 && request.is_renew_ack;
    let outcomes = acknowledge_all(ctx, &key, said, renews).await;
    if epoch == FINAL_EPOCH {
        end(ctx, &key).await?;
    }
    let mut responses: Vec<ShareAcknowledgeTopicResponse> = Vec::new();
    for ((topic_id, partition_index), error) in outcomes {
        let current_leader = if error == ErrorCode::NotLeaderOrFollower {
            let leader = leader(ctx, (topic_id, partition_index));
            acknowledge_response::LeaderIdAndEpoch {
                leader_id: leader.leader_id,
                leader_epoch: leader.leader_epoch,
                ..Default::default()
            }
        } else {
            acknowledge_response::LeaderIdAndEpoch::default()
        };
        let data = acknowledge_response::PartitionData {
            partition_index,
            error_code: error.code(),
            error_message: words(error),
            current_leader,
            ..Default::default()
        };
        match responses.last_mut() {
            Some(topic) if topic.topic_id == topic_id => topic.partitions.push(data),
            _ => {
                let topic = ShareAcknowledgeTopicResponse { topic_id, partitions: vec![data], ..Default::default() };
                responses.push(topic);
            }
        }
    }
    let acquisition_lock_timeout_ms = lock_timeout_ms(ctx, &key);
    Ok(ShareAcknowledgeResponse { acquisition_lock_timeout_ms, responses, ..Default::default() })
}
