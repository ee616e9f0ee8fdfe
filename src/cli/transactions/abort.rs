//! `transactions abort` and `forceTerminateTransaction`.

use serde_json::json;

use super::describe::{must_exist, producers_of};
use super::{Abort, How, TransactionsError, is_unknown, optional};
use crate::cli::support::{Output, Style, confirm_unless, java, number, print_plan};
use crate::client::admin::TransactionMarker;
use crate::client::{Admin, ClientError};
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

/// Which transaction to abort.
enum Which {
    StartingAt(i64),
    Of(TransactionMarker),
}

/// What to abort, all options read.
pub(super) struct AbortJob {
    partition: TopicPartition,
    which: Which,
    how: How,
}

impl Abort {
    pub(super) fn checked(&self) -> anyhow::Result<AbortJob> {
        let partition = self.place.partition()?;
        let start_offset = optional(self.start_offset.as_deref(), "--start-offset", "Long")?;
        let producer_id = optional(self.producer_id.as_deref(), "--producer-id", "Long")?;
        let which = match (start_offset, producer_id) {
            (Some(offset), _) => Which::StartingAt(offset),
            (None, Some(producer_id)) => {
                let missing = |option: &str| TransactionsError::new(format!("Missing required argument {option}"));
                let epoch = self.producer_epoch.as_deref().ok_or_else(|| missing("--producer-epoch"))?;
                let coordinator = self.coordinator_epoch.as_deref().ok_or_else(|| missing("--coordinator-epoch"))?;
                Which::Of(TransactionMarker {
                    producer_id,
                    producer_epoch: number(epoch, "--producer-epoch", "Short")?,
                    // -1: no transaction of this producer has ended here yet. Then any epoch will do.
                    coordinator_epoch: number::<i32>(coordinator, "--coordinator-epoch", "Integer")?.max(0),
                })
            }
            (None, None) => {
                return Err(TransactionsError::new(
                    "The transaction to abort must be identified either with --start-offset (for brokers on 3.0 or \
                     above) or with --producer-id, --producer-epoch, and --coordinator-epoch (for older brokers)",
                )
                .into());
            }
        };
        Ok(AbortJob { partition, which, how: self.how })
    }
}

impl AbortJob {
    pub(super) async fn run(self, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
        let partition = &self.partition;
        let marker = match self.which {
            Which::Of(marker) => marker,
            Which::StartingAt(offset) => starting_at(partition, offset, admin).await?,
        };
        let TransactionMarker { producer_id, producer_epoch, coordinator_epoch } = marker;
        if self.how.dry_run {
            let step = json!({
                "abort": { "topic": partition.topic, "partition": partition.partition.get() },
                "producerId": producer_id,
                "producerEpoch": producer_epoch,
                "coordinatorEpoch": coordinator_epoch,
            });
            let text = format!(
                "abort the transaction of producer {producer_id} (epoch {producer_epoch}) on partition {partition}"
            );
            return Ok(print_plan(&[(text, step)], out)?);
        }
        let question = format!("Abort the transaction of producer {producer_id} on {partition}? Its records are lost.");
        confirm_unless(self.how.yes, &question, out)?;
        let failed = |error: ClientError| refused(partition, marker, &error);
        must_exist(partition, admin).await.map_err(failed)?;
        admin.abort_transaction(partition, marker).await.map_err(failed)?;
        match out.style() {
            Style::Kafka => {}
            Style::Table => {
                out.line(format_args!("Aborted the transaction of producer {producer_id} on {partition}."))?
            }
            Style::Json => out.json(&json!({
                "version": 1,
                "aborted": { "topic": partition.topic, "partition": partition.partition.get() },
                "producerId": producer_id,
            }))?,
        }
        Ok(())
    }
}

fn refused(partition: &TopicPartition, marker: TransactionMarker, error: &ClientError) -> TransactionsError {
    let TransactionMarker { producer_id, producer_epoch, coordinator_epoch } = marker;
    let spec = format!(
        "AbortTransactionSpec(topicPartition={partition}, producerId={producer_id}, producerEpoch={producer_epoch}, \
         coordinatorEpoch={coordinator_epoch})"
    );
    let what = format!("Failed to abort transaction {spec}");
    let ClientError::Api(told) = error else {
        return TransactionsError::call(&what, "abortTransaction(api=METADATA)", error);
    };
    let why = match told.code {
        _ if is_unknown(error) => return TransactionsError::call(&what, "abortTransaction(api=METADATA)", error),
        ErrorCode::ClusterAuthorizationFailed => "failed due to cluster authorization error".to_owned(),
        ErrorCode::InvalidProducerEpoch => "failed due an invalid producer epoch".to_owned(),
        ErrorCode::TransactionCoordinatorFenced => format!(
            "failed since the provided coordinator epoch {coordinator_epoch} has been fenced by the active coordinator"
        ),
        _ => format!("failed due to unexpected error: {}", java::message(told)),
    };
    let plain = format!("could not abort the transaction of producer {producer_id} on {partition}: {error}");
    let failed = TransactionsError::because(&what, &format!("WriteTxnMarkers request with {spec} {why}"));
    TransactionsError { plain: Some(plain), ..failed }
}

async fn starting_at(partition: &TopicPartition, offset: i64, admin: &Admin) -> anyhow::Result<TransactionMarker> {
    let states = producers_of(partition, None, admin).await.map_err(|error| {
        let what = format!("Failed to validate producer state for partition {partition}");
        TransactionsError::call(&what, "describeProducers(api=METADATA)", &error)
    })?;
    let Some(state) = states.into_iter().find(|state| state.transaction_start_offset == Some(offset)) else {
        let message =
            format!("Could not find any open transactions starting at offset {offset} on partition {partition}");
        return Err(TransactionsError::new(message).into());
    };
    Ok(TransactionMarker {
        producer_id: state.producer_id,
        producer_epoch: i16::try_from(state.producer_epoch).unwrap_or(i16::MAX),
        coordinator_epoch: state.coordinator_epoch.max(0),
    })
}

pub(super) async fn force_terminate(id: &str, how: How, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    if how.dry_run {
        let step = json!({ "terminate": id });
        let text = format!("abort what `{id}` has open, and shut out its producer");
        return Ok(print_plan(&[(text, step)], out)?);
    }
    confirm_unless(how.yes, &format!("Abort what `{id}` has open, and shut out its producer?"), out)?;
    admin.fence_producer(id).await.map_err(|error| {
        let what = format!("Failed to force terminate transactionalId `{id}`");
        TransactionsError::call(&what, "fenceProducer(api=FIND_COORDINATOR)", &error)
    })?;
    match out.style() {
        Style::Kafka => {}
        Style::Table => out.line(format_args!("The producer of `{id}` is shut out."))?,
        Style::Json => out.json(&json!({ "version": 1, "terminated": id }))?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;

    fn checked(abort: Abort) -> String {
        let place = Place { topic: Some("t".to_owned()), partition: Some("0".to_owned()) };
        Abort { place, ..abort }.checked().map(|_| String::new()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_is_told_in_kafkas_words() {
        let text = |text: &str| Some(text.to_owned());
        assert!(checked(Abort::default()).starts_with("The transaction to abort must be identified either with"));
        assert_eq!(
            checked(Abort { producer_id: text("1"), ..Abort::default() }),
            "Missing required argument --producer-epoch"
        );
        assert_eq!(
            checked(Abort { producer_id: text("1"), producer_epoch: text("0"), ..Abort::default() }),
            "Missing required argument --coordinator-epoch"
        );
        assert_eq!(checked(Abort { start_offset: text("5"), ..Abort::default() }), "");
        assert_eq!(
            checked(Abort { start_offset: text("x"), ..Abort::default() }),
            "argument --start-offset: could not convert 'x' to Long (For input string: \"x\")"
        );
    }
}
