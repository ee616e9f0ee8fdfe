//! TxnOffsetCommit (key 28), versions 0-5.
//!
//! Behaviour: offsets that count when the producer's transaction is committed. The rules are in `groups/transactions.rs`.
//! Versions: v2 brings leader epochs, v3 says which member of the group commits (KIP-447), v4 knows `TRANSACTION_ABORTABLE`, v5 has the
//! group's partition of `__consumer_offsets` join the transaction by itself (KIP-890).

use crate::broker::context::RequestContext;
use crate::broker::coordinator::Producer;
use crate::broker::errors::append_error;
use crate::broker::groups::{Commit, Committed, Committer, OFFSETS_TOPIC};
use crate::broker::transactions::{ClientSupport, ProducerIdentity};
use crate::log::{AppendError, Verification, VerificationWanted};
use crate::protocol::ErrorCode;
use crate::protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use crate::protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use crate::record::NO_SEQUENCE;
use crate::types::{ProducerId, TopicPartition, Uuid};

/// First version whose clients know that a coordinator may be loading.
const FIRST_VERSION_WITH_LOADING: i16 = 2;
/// First version whose clients know `TRANSACTION_ABORTABLE`.
const FIRST_VERSION_WITH_ABORTABLE: i16 = 4;
/// First version whose groups join a transaction by committing offsets in it.
const FIRST_VERSION_WITH_JOINING: i16 = 5;
/// How often is asked again at most.
const MOST_ATTEMPTS: u32 = 3;

pub(in crate::broker) async fn commit(
    ctx: &RequestContext,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let mut commits = Vec::new();
    let mut topics: Vec<_> = request.topics.iter().map(|topic| read_topic(ctx, topic, &mut commits)).collect();
    let answers = if commits.is_empty() { Ok(Vec::new()) } else { commit_all(ctx, &request, commits).await };
    let accepted = topics.iter_mut().flat_map(|topic| &mut topic.partitions).filter(|p| p.error_code == 0);
    match answers {
        Ok(answers) => accepted.zip(answers).for_each(|(partition, error)| partition.error_code = error.code()),
        Err(error) => {
            let error = match error {
                ErrorCode::CoordinatorLoadInProgress if ctx.version < FIRST_VERSION_WITH_LOADING => {
                    ErrorCode::CoordinatorNotAvailable
                }
                error => error,
            };
            accepted.for_each(|partition| partition.error_code = error.code());
        }
    }
    TxnOffsetCommitResponse { topics, ..Default::default() }
}

/// Takes the commits of a topic; its answer says which of them can't be.
fn read_topic(
    ctx: &RequestContext,
    topic: &TxnOffsetCommitRequestTopic,
    commits: &mut Vec<Commit>,
) -> TxnOffsetCommitResponseTopic {
    let found = ctx.broker.topics.by_name(&topic.name);
    let topic_id = found.as_ref().map_or(Uuid::ZERO, |found| found.id);
    let now_ms = ctx.broker.now().wall_ms;
    let partitions = topic.partitions.iter().map(|partition| {
        let index = partition.partition_index;
        let answer = TxnOffsetCommitResponsePartition { partition_index: index, ..Default::default() };
        if found.as_ref().and_then(|topic| topic.partition(index)).is_none() {
            return TxnOffsetCommitResponsePartition {
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
                ..answer
            };
        }
        let committed = Committed {
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.clone().unwrap_or_default(),
            committed_ms: now_ms,
            expires_ms: None,
            topic_id,
        };
        commits.push(Commit { topic: topic.name.clone(), partition: index, committed });
        answer
    });
    TxnOffsetCommitResponseTopic { partitions: partitions.collect(), name: topic.name.clone(), ..Default::default() }
}

async fn commit_all(
    ctx: &RequestContext,
    request: &TxnOffsetCommitRequest,
    commits: Vec<Commit>,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let id = request.group_id.as_str();
    if id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let committer = Committer {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
        version: ctx.version,
    };
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let verification = verify(ctx, request).await?;
    let now = ctx.broker.now();
    let answers = ctx.broker.groups.run_in_transaction(id, (producer, verification), now, |shard| {
        match shard.commit_in_transaction(id, committer, producer.id, commits, now) {
            Ok((answers, effects)) => (Ok(answers), effects),
            Err(error) => (Err(error), Default::default()),
        }
    });
    answers.await?
}

/// Has the group's partition of `__consumer_offsets` join the transaction, or makes sure that it has.
async fn verify(ctx: &RequestContext, request: &TxnOffsetCommitRequest) -> Result<Verification, ErrorCode> {
    let support = match ctx.version {
        FIRST_VERSION_WITH_JOINING.. => ClientSupport::Joining,
        FIRST_VERSION_WITH_ABORTABLE.. => ClientSupport::Abortable,
        _ => ClientSupport::Basic,
    };
    let is_enabled = ctx.broker.replicas.config().transaction_partition_verification_enable;
    if !is_enabled && support != ClientSupport::Joining {
        return Ok(Verification::NotNeeded);
    }
    let name = TopicPartition::new(OFFSETS_TOPIC, ctx.broker.groups.partition_of(&request.group_id));
    let partition = ctx.broker.topics.partition(&name.topic, name.partition.get());
    let partition = partition.ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let producer = ProducerIdentity { id: ProducerId::new(request.producer_id), epoch: request.producer_epoch };
    let wanted = VerificationWanted {
        producer_id: producer.id,
        epoch: producer.epoch,
        // A coordinator's records are not numbered.
        sequence: NO_SEQUENCE,
        version: support.transaction_version(),
        now_ms: ctx.broker.now().wall_ms,
    };
    let mut attempts = 0..MOST_ATTEMPTS;
    loop {
        let Some(guard) = partition.begin_verification(&wanted).map_err(|error| append_error(&error))? else {
            return Ok(Verification::Needed(None));
        };
        let partitions = std::slice::from_ref(&name);
        let answers = ctx.broker.transactions.admit(&request.transactional_id, producer, partitions, support).await;
        answers.into_iter().collect::<Result<(), ErrorCode>>()?;
        if !is_enabled {
            return Ok(Verification::NotNeeded);
        }
        // The marker of the transaction before may have come while its end was waited for.
        let verification = Verification::Needed(Some(guard));
        let check = partition.log().check_producer(producer.id, producer.epoch, verification);
        if !matches!(check, Err(AppendError::NotInTransaction { .. })) {
            return Ok(verification);
        }
        attempts.next().ok_or(ErrorCode::ConcurrentTransactions)?;
    }
}
