//! Transactions: AddPartitionsToTxn (key 24, versions 0-5), AddOffsetsToTxn (25, 0-4), EndTxn (26, 0-5), DescribeTransactions (65, 0),
//! ListTransactions (66, 0-2).
//!
//! Behaviour: the rules are in `transactions/`; here requests become commands and their results become answers.
//! Versions: AddPartitionsToTxn v4 is from brokers, with several transactions and the question whether partitions are in them
//! (KIP-890), v5 from those whose clients have an epoch for each transaction; v2 of the first three knows `PRODUCER_FENCED`; EndTxn v5 gives
//! the id and epoch for the next transaction; ListTransactions v1 filters by duration (KIP-994), v2 by a pattern of the id (KIP-1152).

use regex::Regex;

use crate::broker::context::RequestContext;
use crate::broker::groups::OFFSETS_TOPIC;
use crate::broker::transactions::{Filter, ProducerIdentity, State, Transaction};
use crate::protocol::ErrorCode;
use crate::protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use crate::protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use crate::protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use crate::protocol::messages::list_transactions_response::TransactionState as ListedTransaction;
use crate::protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    DescribeTransactionsRequest, DescribeTransactionsResponse, EndTxnRequest, EndTxnResponse, ListTransactionsRequest,
    ListTransactionsResponse,
};
use crate::types::{ProducerId, TopicPartition, TransactionVersion};

/// First version of AddPartitionsToTxn, AddOffsetsToTxn and EndTxn whose clients know `PRODUCER_FENCED`.
const FIRST_VERSION_WITH_FENCED: i16 = 2;
/// First version of AddPartitionsToTxn with several transactions.
const FIRST_VERSION_WITH_BATCHES: i16 = 4;
/// First version of AddPartitionsToTxn and EndTxn for an epoch for each transaction.
const FIRST_VERSION_WITH_EPOCHS: i16 = 5;

fn producer(id: i64, epoch: i16) -> ProducerIdentity {
    ProducerIdentity { id: ProducerId::new(id), epoch }
}

/// How the client of a request has its transactions.
fn transaction_version(version: i16) -> TransactionVersion {
    if version >= FIRST_VERSION_WITH_EPOCHS { TransactionVersion::V2 } else { TransactionVersion::V0 }
}

fn in_words_of(version: i16, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced if version < FIRST_VERSION_WITH_FENCED => ErrorCode::InvalidProducerEpoch,
        error => error,
    }
}

pub(in crate::broker) async fn add_partitions(
    ctx: &RequestContext,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    if ctx.version < FIRST_VERSION_WITH_BATCHES {
        let wanted = Joining {
            id: &request.v3_and_below_transactional_id,
            producer: producer(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch),
            topics: &request.v3_and_below_topics,
            verify_only: false,
        };
        let results_by_topic_v3_and_below = join(ctx, &wanted).await;
        return AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() };
    }
    let mut results_by_transaction = Vec::with_capacity(request.transactions.len());
    for transaction in &request.transactions {
        let wanted = Joining {
            id: &transaction.transactional_id,
            producer: producer(transaction.producer_id, transaction.producer_epoch),
            topics: &transaction.topics,
            verify_only: transaction.verify_only,
        };
        results_by_transaction.push(AddPartitionsToTxnResult {
            topic_results: join(ctx, &wanted).await,
            transactional_id: transaction.transactional_id.clone(),
            ..Default::default()
        });
    }
    AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() }
}

/// Partitions that are to join a transaction, or of which is asked whether they have.
struct Joining<'a> {
    id: &'a str,
    producer: ProducerIdentity,
    topics: &'a [AddPartitionsToTxnTopic],
    verify_only: bool,
}

async fn join(ctx: &RequestContext, wanted: &Joining<'_>) -> Vec<AddPartitionsToTxnTopicResult> {
    let partitions: Vec<TopicPartition> = wanted
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|index| TopicPartition::new(&topic.name, *index)))
        .collect();
    let answers = join_all(ctx, wanted, &partitions).await;
    let mut answers = answers.into_iter().map(|error| in_words_of(ctx.version, error).code());
    let topics = wanted.topics.iter().map(|topic| {
        let results = topic.partitions.iter().zip(answers.by_ref());
        let results = results.map(|(index, code)| AddPartitionsToTxnPartitionResult {
            partition_index: *index,
            partition_error_code: code,
            ..Default::default()
        });
        AddPartitionsToTxnTopicResult {
            results_by_partition: results.collect(),
            name: topic.name.clone(),
            ..Default::default()
        }
    });
    topics.collect()
}

/// An answer for each of the partitions.
async fn join_all(ctx: &RequestContext, wanted: &Joining<'_>, partitions: &[TopicPartition]) -> Vec<ErrorCode> {
    let exists = |partition: &TopicPartition| {
        let image = ctx.broker.metadata.read();
        image.partition(&partition.topic, partition.partition).is_some()
    };
    let missing: Vec<bool> = partitions.iter().map(|partition| !exists(partition)).collect();
    if missing.contains(&true) {
        // All or none: a transaction that lacks a partition is of no use.
        let answer = |missing| {
            if missing { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::OperationNotAttempted }
        };
        return missing.into_iter().map(answer).collect();
    }
    let transactions = &ctx.broker.transactions;
    let all = |error| vec![error; partitions.len()];
    if wanted.verify_only {
        return transactions.verify_partitions(wanted.id, wanted.producer, partitions).await.unwrap_or_else(all);
    }
    let version = transaction_version(ctx.version);
    let joined = transactions.add_partitions(wanted.id, wanted.producer, partitions, version).await;
    all(joined.err().unwrap_or(ErrorCode::None))
}

pub(in crate::broker) async fn add_offsets(
    ctx: &RequestContext,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let partition = TopicPartition::new(OFFSETS_TOPIC, ctx.broker.groups.partition_of(&request.group_id));
    let producer = producer(request.producer_id, request.producer_epoch);
    let transactions = &ctx.broker.transactions;
    let version = TransactionVersion::V0;
    let answer = transactions.add_partitions(&request.transactional_id, producer, &[partition], version).await;
    let error = in_words_of(ctx.version, answer.err().unwrap_or(ErrorCode::None));
    AddOffsetsToTxnResponse { error_code: error.code(), ..Default::default() }
}

pub(in crate::broker) async fn end(ctx: &RequestContext, request: EndTxnRequest) -> EndTxnResponse {
    let producer = producer(request.producer_id, request.producer_epoch);
    let version = transaction_version(ctx.version);
    match ctx.broker.transactions.end(&request.transactional_id, producer, request.committed, version).await {
        Ok(next) => EndTxnResponse { producer_id: next.id.get(), producer_epoch: next.epoch, ..Default::default() },
        Err(error) => EndTxnResponse { error_code: in_words_of(ctx.version, error).code(), ..Default::default() },
    }
}

pub(in crate::broker) async fn describe(
    ctx: &RequestContext,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let mut transaction_states = Vec::with_capacity(request.transactional_ids.len());
    for id in request.transactional_ids {
        let found =
            if id.is_empty() { Err(ErrorCode::InvalidRequest) } else { ctx.broker.transactions.describe(&id).await };
        transaction_states.push(match found {
            Ok(found) => described(id, &found),
            Err(error) => TransactionState { error_code: error.code(), transactional_id: id, ..Default::default() },
        });
    }
    DescribeTransactionsResponse { transaction_states, ..Default::default() }
}

fn described(transactional_id: String, transaction: &Transaction) -> TransactionState {
    let mut topics: Vec<TopicData> = Vec::new();
    for partition in &transaction.partitions {
        let index = partition.partition.get();
        match topics.last_mut() {
            Some(topic) if topic.topic == partition.topic => topic.partitions.push(index),
            _ => {
                topics.push(TopicData { topic: partition.topic.clone(), partitions: vec![index], ..Default::default() })
            }
        }
    }
    TransactionState {
        transactional_id,
        transaction_state: transaction.state.name().to_owned(),
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_start_time_ms: transaction.start_ms,
        producer_id: transaction.producer_id.get(),
        producer_epoch: transaction.producer_epoch,
        topics,
        ..Default::default()
    }
}

pub(in crate::broker) async fn list(
    ctx: &RequestContext,
    request: ListTransactionsRequest,
) -> ListTransactionsResponse {
    let failed = |error: ErrorCode| ListTransactionsResponse { error_code: error.code(), ..Default::default() };
    let pattern = request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
    // The whole id must match, as in Kafka.
    let pattern = pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})$"))).transpose();
    let is_pattern = pattern.is_ok();
    let unknown_state_filters = request.state_filters.iter().filter(|name| !State::is_name(name)).cloned().collect();
    let filter = Filter {
        // Unknown ones stay: then nothing is found, as in Kafka.
        states: request.state_filters.into_iter().collect(),
        producer_ids: request.producer_id_filters.into_iter().collect(),
        longer_than_ms: request.duration_filter,
        pattern: pattern.unwrap_or_default(),
    };
    let mut transaction_states = Vec::new();
    let listed = ctx.broker.transactions.list(&filter, |id, transaction| {
        transaction_states.push(ListedTransaction {
            transactional_id: id.to_owned(),
            producer_id: transaction.producer_id.get(),
            transaction_state: transaction.state.name().to_owned(),
            ..Default::default()
        });
    });
    match listed {
        Ok(()) if !is_pattern => failed(ErrorCode::InvalidRegularExpression),
        Ok(()) => ListTransactionsResponse { unknown_state_filters, transaction_states, ..Default::default() },
        Err(error) => failed(error),
    }
}
