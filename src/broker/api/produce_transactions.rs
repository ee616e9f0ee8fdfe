//! Produce, as far as transactions go (KIP-98, KIP-890): before a partition takes the first records of a transaction, the coordinator is asked
//! whether it is in it; with newer clients it joins by that.

use std::collections::HashMap;

use crate::broker::context::RequestContext;
use crate::broker::errors::{Refusal, append_refusal};
use crate::broker::transactions::{ClientSupport, ProducerIdentity};
use crate::log::{AppendError, Verification, VerificationWanted};
use crate::protocol::ErrorCode;
use crate::record::BatchHeader;
use crate::types::TopicPartition;

use super::produce::Target;

/// First version whose clients know `TRANSACTION_ABORTABLE`.
const FIRST_VERSION_WITH_ABORTABLE: i16 = 11;
/// First version whose partitions join a transaction by being written to.
const FIRST_VERSION_WITH_JOINING: i16 = 12;

/// How often is asked again at most.
const MOST_ATTEMPTS: u32 = 3;

/// Finds out for all partitions of a request whether they may take its records.
///
/// # Errors
/// The code for all of them: nothing is appended.
pub(super) async fn verify_all(
    ctx: &RequestContext,
    transactional_id: Option<&str>,
    targets: &mut [Target],
) -> Result<(), ErrorCode> {
    let mut producer = None;
    for target in targets.iter() {
        let Some(header) = transactional_header(target) else { continue };
        let found = ProducerIdentity { id: header.producer_id, epoch: header.producer_epoch };
        if *producer.get_or_insert(found) != found {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
    }
    let Some(producer) = producer else { return Ok(()) };
    // Kafka asks for the right to use the id here; without an id nobody has it.
    let id = transactional_id.ok_or(ErrorCode::TransactionalIdAuthorizationFailed)?;
    let support = match ctx.version {
        FIRST_VERSION_WITH_JOINING.. => ClientSupport::Joining,
        FIRST_VERSION_WITH_ABORTABLE.. => ClientSupport::Abortable,
        _ => ClientSupport::Basic,
    };
    let is_enabled = ctx.broker.replicas.config().transaction_partition_verification_enable;
    if !is_enabled && support != ClientSupport::Joining {
        return Ok(());
    }
    let mut attempts = 0..MOST_ATTEMPTS;
    let (unknown, answers) = loop {
        let unknown = begin_all(ctx, support, is_enabled, targets);
        if unknown.is_empty() {
            return Ok(());
        }
        let answers = ctx.broker.transactions.admit(id, producer, &unknown, support).await;
        // The marker of the transaction before may have come while its end was waited for: asking again costs less than a refusal.
        let is_stale = support == ClientSupport::Joining && answers.iter().all(Result::is_ok) && has_stale(targets);
        if !is_stale {
            break (unknown, answers);
        }
        if attempts.next().is_none() {
            let later = vec![Err(ErrorCode::ConcurrentTransactions); unknown.len()];
            break (unknown, later);
        }
    };
    let refused: HashMap<TopicPartition, ErrorCode> =
        unknown.into_iter().zip(answers).filter_map(|(name, answer)| Some((name, answer.err()?))).collect();
    for target in targets {
        if let Ok(partition) = &target.partition
            && let Some(error) = refused.get(partition.name())
        {
            target.partition = Err(refusal(*error, support));
        }
    }
    Ok(())
}

/// Whether a marker has come since a verification began.
fn has_stale(targets: &[Target]) -> bool {
    targets.iter().any(|target| {
        let (Some(header), Ok(partition)) = (transactional_header(target), &target.partition) else { return false };
        let check = partition.log().check_producer(header.producer_id, header.producer_epoch, target.verification);
        matches!(check, Err(AppendError::NotInTransaction { .. }))
    })
}

fn transactional_header(target: &Target) -> Option<BatchHeader> {
    if target.partition.is_err() {
        return None;
    }
    let header = BatchHeader::parse(target.records.as_deref()?).ok()?;
    (header.has_producer_id() && header.attributes.is_transactional()).then_some(header)
}

/// Begins to verify; gives the partitions that the coordinator must be asked about.
fn begin_all(
    ctx: &RequestContext,
    support: ClientSupport,
    is_enabled: bool,
    targets: &mut [Target],
) -> Vec<TopicPartition> {
    let now_ms = ctx.broker.now().wall_ms;
    let mut unknown = Vec::new();
    for target in targets {
        let Some(header) = transactional_header(target) else { continue };
        let Ok(partition) = &target.partition else { continue };
        let wanted = VerificationWanted {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            sequence: header.base_sequence,
            version: support.transaction_version(),
            now_ms,
        };
        match partition.begin_verification(&wanted) {
            Ok(guard) => {
                if guard.is_some() {
                    unknown.push(partition.name().clone());
                }
                if is_enabled {
                    target.verification = Verification::Needed(guard);
                }
            }
            Err(error) => {
                let refused = append_refusal(&error);
                target.partition = Err(refused);
            }
        }
    }
    unknown
}

/// The coordinator's errors in words that producers know.
fn refusal(error: ErrorCode, support: ClientSupport) -> Refusal {
    let say = |code: ErrorCode, message: String| Refusal { message: Some(message), ..code.into() };
    match error {
        ErrorCode::InvalidTxnState => say(error, "Partition was not added to the transaction".to_owned()),
        // They know how to come back after it with the same records, and ask nobody for new metadata.
        ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => say(ErrorCode::NotEnoughReplicas, unverified(error)),
        ErrorCode::ConcurrentTransactions if support != ClientSupport::Joining => {
            say(ErrorCode::NotEnoughReplicas, unverified(error))
        }
        error => error.into(),
    }
}

fn unverified(error: ErrorCode) -> String {
    format!("Unable to verify the partition has been added to the transaction. Underlying error: {error}")
}
