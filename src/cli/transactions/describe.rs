//! `transactions list`, `describe`, `describe-producers`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{TransactionsError, print_rows};
use crate::cli::support::{Exit, Output, Style, java, moment_text};
use crate::client::admin::{ProducerState, TransactionDescription, TransactionFilter};
use crate::client::{Admin, ApiError, AutoCreate, ClientError, TopicScope};
use crate::protocol::ErrorCode;
use crate::types::{NodeId, TopicPartition};

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(super) async fn list(filter: &TransactionFilter, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let listed = admin.list_transactions(filter).await.map_err(|(broker, error)| {
        let what = "Failed to list transactions";
        match (broker, &error) {
            (Some(broker), ClientError::Api(_)) => TransactionsError::because(
                what,
                &format!("ListTransactions request sent to broker {broker} failed with an unexpected exception"),
            )
            .explained_by(&error),
            _ => TransactionsError::call(what, "listTransactions(api=METADATA)", &error),
        }
    })?;
    let rows = listed.iter().flat_map(|(broker, listings)| {
        listings.iter().map(|listing| {
            let (id, state) = (listing.transactional_id.clone(), listing.state.clone());
            vec![id, broker.to_string(), listing.producer_id.to_string(), state]
        })
    });
    let json = || {
        let listings = listed.iter().flat_map(|(broker, listings)| {
            listings.iter().map(|listing| {
                json!({
                    "transactionalId": listing.transactional_id,
                    "coordinator": broker.get(),
                    "producerId": listing.producer_id,
                    "state": listing.state,
                })
            })
        });
        json!({ "version": 1, "transactions": listings.collect::<Vec<_>>() })
    };
    print_rows(
        &["TransactionalId", "Coordinator", "ProducerId", "TransactionState"],
        &["Transactional id", "Coordinator", "Producer", "State"],
        rows.collect(),
        "no transactions",
        json,
        out,
    )?;
    Ok(Exit::Success)
}

pub(super) async fn transaction(id: &str, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let mut described = admin.describe_transaction(id).await.map_err(|error| {
        let what = format!("Failed to describe transaction state of transactional-id `{id}`");
        let told = |why: &str| {
            TransactionsError::because(
                &what,
                &format!("DescribeTransactions request for transactionalId `{id}` failed {why}"),
            )
        };
        match error.code() {
            Some(ErrorCode::TransactionalIdNotFound) => told("because the ID could not be found"),
            Some(ErrorCode::TransactionalIdAuthorizationFailed) => told("due to authorization failure"),
            Some(_) => told("due to unexpected error").explained_by(&error),
            None => TransactionsError::call(&what, "describeTransactions(api=FIND_COORDINATOR)", &error),
        }
    })?;
    // The order of a set of Java's.
    java::in_partition_hash_map_order(&mut described.partitions, |partition| partition);
    let none = || "None".to_owned();
    let duration = described.start_time_ms.map(|start| now_ms().saturating_sub(start));
    let partitions: Vec<_> = described.partitions.iter().map(ToString::to_string).collect();
    let row = vec![
        described.coordinator.to_string(),
        id.to_owned(),
        described.producer_id.to_string(),
        described.producer_epoch.to_string(),
        described.state.clone(),
        described.timeout_ms.to_string(),
        described.start_time_ms.map_or_else(none, |start| start.to_string()),
        duration.map_or_else(none, |duration| duration.to_string()),
        partitions.join(","),
    ];
    let json = || {
        json!({
            "version": 1,
            "transactionalId": id,
            "coordinator": described.coordinator.get(),
            "producerId": described.producer_id,
            "producerEpoch": described.producer_epoch,
            "state": described.state,
            "timeoutMs": described.timeout_ms,
            "startTimeMs": described.start_time_ms,
            "durationMs": duration,
            "partitions": partitions_json(&described.partitions),
        })
    };
    let kafkas = [
        "CoordinatorId",
        "TransactionalId",
        "ProducerId",
        "ProducerEpoch",
        "TransactionState",
        "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs",
        "TransactionDurationMs",
        "TopicPartitions",
    ];
    if out.style() == Style::Table {
        return Ok(out.table(&["Transactional id", id], plain(&described))?);
    }
    Ok(print_rows(&kafkas, &[], vec![row], "", json, out)?)
}

/// A line for each thing that is known: side by side they are too wide for a terminal.
fn plain(described: &TransactionDescription) -> Vec<Vec<String>> {
    let start = described.start_time_ms;
    let lines = [
        ("State", Some(described.state.clone())),
        ("Producer", Some(described.producer_id.to_string())),
        ("Producer epoch", Some(described.producer_epoch.to_string())),
        ("Coordinator", Some(described.coordinator.to_string())),
        ("Timeout", Some(format!("{} ms", described.timeout_ms))),
        ("Began", start.map(moment_text)),
        ("Began before", start.map(|start| format!("{} ms", now_ms().saturating_sub(start)))),
        ("Partitions", Some(described.partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
    ];
    let line =
        |(name, value): (&str, Option<String>)| Some(vec![name.to_owned(), value.filter(|text| !text.is_empty())?]);
    lines.into_iter().filter_map(line).collect()
}

pub(super) fn partitions_json(partitions: &[TopicPartition]) -> serde_json::Value {
    let partition =
        |partition: &TopicPartition| json!({ "topic": partition.topic, "partition": partition.partition.get() });
    partitions.iter().map(partition).collect()
}

pub(super) async fn producers(
    partition: &TopicPartition,
    broker: Option<NodeId>,
    admin: &Admin,
    out: &mut Output,
) -> anyhow::Result<()> {
    let whom = broker.map_or_else(|| "leader".to_owned(), |broker| format!("broker {broker}"));
    let what = format!("Failed to describe producers for partition {partition} on {whom}");
    let states = producers_of(partition, broker, admin)
        .await
        .map_err(|error| TransactionsError::call(&what, producers_call(broker), &error))?;
    let row = |state: &ProducerState| {
        vec![
            state.producer_id.to_string(),
            state.producer_epoch.to_string(),
            state.coordinator_epoch.to_string(),
            state.last_sequence.to_string(),
            state.last_timestamp.to_string(),
            state.transaction_start_offset.map_or_else(|| "None".to_owned(), |offset| offset.to_string()),
        ]
    };
    let json = || {
        let state = |state: &ProducerState| {
            json!({
                "producerId": state.producer_id,
                "producerEpoch": state.producer_epoch,
                "coordinatorEpoch": state.coordinator_epoch,
                "lastSequence": state.last_sequence,
                "lastTimestamp": state.last_timestamp,
                "transactionStartOffset": state.transaction_start_offset,
            })
        };
        let producers: Vec<_> = states.iter().map(state).collect();
        json!({
            "version": 1,
            "topic": partition.topic,
            "partition": partition.partition.get(),
            "producers": producers,
        })
    };
    let kafkas = [
        "ProducerId",
        "ProducerEpoch",
        "LatestCoordinatorEpoch",
        "LastSequence",
        "LastTimestamp",
        "CurrentTransactionStartOffset",
    ];
    let plain = ["Producer", "Epoch", "Coordinator epoch", "Last sequence", "Last record", "Transaction begins at"];
    Ok(print_rows(&kafkas, &plain, states.iter().map(row).collect(), "no producers", json, out)?)
}

/// Kafka's name of the call: without a broker it begins with a look for the leader.
pub(super) const fn producers_call(broker: Option<NodeId>) -> &'static str {
    match broker {
        None => "describeProducers(api=METADATA)",
        Some(_) => "describeProducers(api=DESCRIBE_PRODUCERS)",
    }
}

/// Looks whether a partition is there. One that does not exist is told at once, not waited for.
pub(super) async fn must_exist(partition: &TopicPartition, admin: &Admin) -> Result<(), ClientError> {
    let cluster = admin.cluster();
    let scope = TopicScope::Names(vec![partition.topic.clone()]);
    let metadata = cluster.refresh(&scope, AutoCreate::Never, cluster.api_deadline()).await?;
    let exists = metadata.topic(&partition.topic).is_some_and(|topic| topic.partition(partition.partition).is_some());
    if exists { Ok(()) } else { Err(unknown()) }
}

fn unknown() -> ClientError {
    ApiError::from(ErrorCode::UnknownTopicOrPartition).into()
}

/// The producers of a partition, which must exist.
pub(super) async fn producers_of(
    partition: &TopicPartition,
    broker: Option<NodeId>,
    admin: &Admin,
) -> Result<Vec<ProducerState>, ClientError> {
    must_exist(partition, admin).await?;
    let mut described = admin.describe_producers(std::slice::from_ref(partition), broker).await?;
    described.remove(partition).unwrap_or_else(|| Err(unknown()))
}

impl TransactionsError {
    /// For people: what the broker said.
    fn explained_by(mut self, error: &ClientError) -> Self {
        self.plain = self.plain.map(|plain| format!("{plain}: {error}"));
        self
    }
}
