//! What became of a record: one shared note per batch, so that asking costs nothing for those who do not.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Notify;

use super::transaction::TransactionError;
use crate::client::{ApiError, ClientError};
use crate::record::RecordError;
use crate::types::{Offset, PartitionId, TopicPartition};

/// Why a record was not taken or not delivered.
#[derive(Debug, Clone, Error)]
pub enum ProduceError {
    /// A record above `max.request.size` or `buffer.memory`.
    #[error("the record is {size} bytes when serialized, and {limit_key} is {limit}")]
    TooLarge {
        /// Its size in a batch of its own.
        size: usize,
        /// The limit.
        limit: usize,
        /// The setting that says so.
        limit_key: &'static str,
    },
    /// No metadata of the topic in time.
    #[error("topic {topic} is not in the cluster's metadata after {} ms", .after.as_millis())]
    UnknownTopic {
        /// The topic.
        topic: String,
        /// `max.block.ms`, or less if looking further is in vain.
        after: Duration,
        /// What the cluster said.
        #[source]
        source: Option<Arc<ClientError>>,
    },
    /// A partition that the topic does not have.
    #[error("topic {topic} has {count} partitions and no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// How many it has.
        count: usize,
    },
    /// `buffer.memory` stayed full for `max.block.ms`.
    #[error("no room in the buffer within {} ms", .0.as_millis())]
    BufferFull(Duration),
    /// `delivery.timeout.ms` is over.
    #[error("{records} records of {partition} were not delivered within {} ms", .after.as_millis())]
    Expired {
        /// Where they should have gone.
        partition: TopicPartition,
        /// Records in the batch.
        records: i32,
        /// How long was tried.
        after: Duration,
        /// What the last attempt said, if there was one.
        #[source]
        source: Option<Arc<ClientError>>,
    },
    /// The broker refused the record.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The cluster can't be talked to, and trying again would not help.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The batch can't be built.
    #[error("could not build a batch")]
    Batch(#[source] Arc<RecordError>),
    /// The record can't be part of a transaction, or was part of one that failed before it was sent.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The transaction was aborted before the record was sent.
    #[error("the transaction was aborted")]
    TransactionAborted,
    /// The producer was closed.
    #[error("the producer is closed")]
    Closed,
}

impl From<RecordError> for ProduceError {
    fn from(error: RecordError) -> Self {
        Self::Batch(Arc::new(error))
    }
}

/// A delivered record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The partition that it is in.
    pub partition: PartitionId,
    /// Its offset; `None` if brokers do not tell (`acks=0`, or a duplicate whose first copy they forgot).
    pub offset: Option<Offset>,
    /// Its timestamp in milliseconds since 1970: the broker's where the topic asks for that, else the producer's.
    pub timestamp: i64,
}

/// A batch that is done with.
#[derive(Debug, Clone, Copy)]
pub struct BatchReport<'a> {
    /// The partition.
    pub partition: &'a TopicPartition,
    /// Records in it.
    pub records: i32,
    /// Offset of the first one, or why there is none.
    pub result: Result<Option<Offset>, &'a ProduceError>,
}

/// Is told of batches as they are done with. Called from the producer's own task: it must not block.
pub trait DeliveryObserver: Send + Sync + fmt::Debug {
    /// A batch was delivered, or given up.
    fn batch_done(&self, report: &BatchReport<'_>);
}

/// How a batch ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Delivered {
        base_offset: Option<Offset>,
        append_time: Option<i64>,
    },
    /// The whole batch failed; some records may have a reason of their own.
    Failed {
        error: ProduceError,
        records: Vec<(u32, ApiError)>,
    },
    /// It was too large and went on in pieces: index of each piece's first record.
    Split(Vec<(u32, Arc<BatchDelivery>)>),
}

/// The shared note of a batch.
#[derive(Debug)]
pub(super) struct BatchDelivery {
    pub(super) partition: PartitionId,
    outcome: OnceLock<Outcome>,
    done: Notify,
}

impl BatchDelivery {
    pub(super) fn new(partition: PartitionId) -> Arc<Self> {
        Arc::new(Self { partition, outcome: OnceLock::new(), done: Notify::new() })
    }

    /// Notes how it ended; only the first time counts.
    pub(super) fn finish(&self, outcome: Outcome) {
        // Kept even so: `set` gives back what it did not take.
        let _ = self.outcome.set(outcome);
        self.done.notify_waiters();
    }

    async fn outcome(&self) -> &Outcome {
        loop {
            let done = self.done.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            done.await;
        }
    }
}

/// What will become of one record. Dropping it changes nothing: the record is delivered all the same.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub(super) batch: Arc<BatchDelivery>,
    pub(super) index: u32,
    pub(super) timestamp: i64,
}

impl Delivery {
    /// The partition that the record goes to.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.batch.partition
    }

    /// Waits until the record is delivered or given up.
    ///
    /// # Errors
    /// Why it was given up.
    pub async fn outcome(self) -> Result<RecordMetadata, ProduceError> {
        let Self { mut batch, mut index, timestamp } = self;
        loop {
            let next = match batch.outcome().await {
                Outcome::Delivered { base_offset, append_time } => {
                    return Ok(RecordMetadata {
                        partition: batch.partition,
                        offset: base_offset.map(|base| base.plus(i64::from(index))),
                        timestamp: append_time.unwrap_or(timestamp),
                    });
                }
                Outcome::Failed { error, records } => {
                    let own = records.iter().find(|(at, _)| *at == index);
                    return Err(own.map_or_else(|| error.clone(), |(_, error)| error.clone().into()));
                }
                Outcome::Split(pieces) => pieces.iter().rev().find(|(first, _)| *first <= index).cloned(),
            };
            let Some((first, piece)) = next else {
                return Err(ProduceError::Closed);
            };
            index -= first;
            batch = piece;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(base: i64) -> Outcome {
        Outcome::Delivered { base_offset: Some(Offset(base)), append_time: None }
    }

    #[tokio::test]
    async fn a_record_finds_its_piece_of_a_split_batch() {
        let whole = BatchDelivery::new(PartitionId(3));
        let pieces = [0, 4].map(|first| (first, BatchDelivery::new(PartitionId(3))));
        let deliveries: Vec<_> =
            [0, 3, 4, 6].map(|index| Delivery { batch: Arc::clone(&whole), index, timestamp: 7 }).into();
        let waiting = deliveries.into_iter().map(|delivery| tokio::spawn(delivery.outcome())).collect::<Vec<_>>();
        tokio::task::yield_now().await;
        whole.finish(Outcome::Split(pieces.to_vec()));
        tokio::task::yield_now().await;
        pieces[0].1.finish(delivered(100));
        pieces[1].1.finish(delivered(50));
        let mut offsets = Vec::new();
        for waiting in waiting {
            offsets.push(waiting.await.unwrap().unwrap().offset.unwrap().get());
        }
        assert_eq!(offsets, [100, 103, 50, 52]);
    }

    #[tokio::test]
    async fn the_first_outcome_counts() {
        let batch = BatchDelivery::new(PartitionId(0));
        batch.finish(Outcome::Failed { error: ProduceError::Closed, records: Vec::new() });
        batch.finish(delivered(1));
        let error = Delivery { batch, index: 0, timestamp: 0 }.outcome().await.unwrap_err();
        assert!(matches!(error, ProduceError::Closed));
    }
}
