//! Sends records: collected into batches per partition, retried without duplicates and without changing their order.
//!
//! [`Producer::send`] appends to a batch and returns; a task of the producer's own does the rest. Start reading at
//! `accumulator.rs` for what waits, then `sender.rs` for what leaves.

mod accumulator;
mod batch;
mod delivery;
mod options;
mod partitioner;
mod queue;
mod request;
mod sender;
mod stalls;
#[cfg(test)]
mod tests;
mod transaction;
mod verdict;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::cluster::{AutoCreate, Cluster};
use super::retry::Deadline;
use super::{ClientError, lock};
use crate::record::{Header, NewRecord};
use crate::types::PartitionId;
use accumulator::{Accumulator, Appended};
use transaction::{Transactional, Transactions};

pub use delivery::{BatchReport, Delivery, DeliveryObserver, ProduceError, RecordMetadata};
pub use options::{Partitioning, ProducerOptions};
pub use partitioner::{PartitionChoice, Partitioner};
pub use transaction::{TransactionError, TransactionState};

/// A record to send. What is absent is null; without a partition the partitioner chooses, without a timestamp it is now.
#[derive(Debug, Default, Clone, Copy)]
pub struct ProducerRecord<'a> {
    /// Where to.
    pub topic: &'a str,
    /// Which partition.
    pub partition: Option<PartitionId>,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers in their order.
    pub headers: &'a [Header<'a>],
}

/// What the producer's handles and its task share.
#[derive(Debug)]
struct Shared {
    options: Arc<ProducerOptions>,
    cluster: Cluster,
    queues: Mutex<Accumulator>,
    /// For producers with a `transactional.id`.
    transactional: Option<Transactional>,
    /// Tells the sender that there is something to look at.
    work: Notify,
    /// Tells those who wait for memory that there is some.
    space: Notify,
    /// Tells those who flush that a batch is done with.
    done: Notify,
}

/// Records that were not delivered, as a flush tells of them.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{records} records were not delivered")]
pub struct FlushError {
    /// How many, since the flush before.
    pub records: u64,
    /// Why the first of them was not.
    #[source]
    pub first: ProduceError,
}

/// Sends records to a cluster. To be shared by reference or in an `Arc`.
///
/// [`Producer::close`] waits for what is on its way; a producer that is just dropped gives it up.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    /// Joined by `close`.
    sender: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Drop for Producer {
    fn drop(&mut self) {
        lock(&self.shared.queues).aborted = true;
        self.shared.work.notify_one();
    }
}

impl Producer {
    /// A producer for the cluster that the options reach. Nothing is connected yet. Must be called within a runtime.
    #[must_use]
    pub fn new(options: ProducerOptions) -> Self {
        let cluster = Cluster::new(options.client.clone());
        let mut queues = Accumulator::new();
        queues.transactions = options.transactional_id.as_deref().map(Transactions::new);
        let id = options.transactional_id.as_deref();
        let transactional = id.map(|id| Transactional::new(id, options.transaction_timeout));
        let shared = Arc::new(Shared {
            options: Arc::new(options),
            cluster,
            queues: Mutex::new(queues),
            transactional,
            work: Notify::new(),
            space: Notify::new(),
            done: Notify::new(),
        });
        let sender = tokio::spawn(sender::run(Arc::clone(&shared)));
        Self { shared, sender: Mutex::new(Some(sender)) }
    }

    /// The cluster, for other calls over the same connections.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.shared.cluster
    }

    /// Takes a record over. Returns when it is in a batch; [`Delivery::outcome`] tells what becomes of it.
    ///
    /// Waits, at most for `max.block.ms`, while the topic is not known or `buffer.memory` is full. A call that is
    /// cancelled has taken nothing over.
    ///
    /// # Errors
    /// The record was not taken over: too large, no such topic or partition, no room in time, producer closed; or the
    /// producer has a `transactional.id` and no transaction is open.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery, ProduceError> {
        let options = &*self.shared.options;
        let timestamp = record.timestamp.unwrap_or_else(now_ms);
        let new = NewRecord { timestamp, key: record.key, value: record.value, headers: record.headers };
        let size = check_size(&new, options)?;
        let mut deadline = None;
        loop {
            let missing = match self.try_append(&record, &new, size)? {
                Attempt::Done { delivery, batch_full } => {
                    if batch_full {
                        // On a single thread the sender gets its turn only if we leave it one.
                        tokio::task::yield_now().await;
                    }
                    return Ok(delivery);
                }
                Attempt::Missing(missing) => missing,
            };
            let deadline = *deadline.get_or_insert_with(|| Deadline::after(options.max_block));
            match missing {
                Missing::Topic => self.learn_topic(record.topic, deadline).await?,
                Missing::Partition(partition, count) => {
                    self.learn_partition(record.topic, partition, count, deadline).await?;
                }
                Missing::Space => self.wait_for_space(size, deadline).await?,
            }
        }
    }

    /// Waits until every record that was taken over before is delivered or given up.
    ///
    /// # Errors
    /// Some were given up since the last flush.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let below = lock(&self.shared.queues).begin_flush();
        self.shared.work.notify_one();
        loop {
            let done = self.shared.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            {
                let mut queues = lock(&self.shared.queues);
                if queues.is_flushed(below) {
                    let failures = std::mem::take(&mut queues.failures);
                    return match failures.first {
                        Some(first) => Err(FlushError { records: failures.records, first }),
                        None => Ok(()),
                    };
                }
            }
            done.await;
        }
    }

    /// Takes no more records, waits for those that it has at most for `timeout`, gives up the rest, and disconnects. An
    /// open transaction is aborted.
    ///
    /// # Errors
    /// Some were given up since the last flush.
    pub async fn close(self, timeout: Duration) -> Result<(), FlushError> {
        let deadline = Deadline::after(timeout);
        self.end_transaction_to_close(timeout).await;
        lock(&self.shared.queues).closing = true;
        self.shared.work.notify_one();
        self.shared.space.notify_waiters();
        let sender = lock(&self.sender).take();
        if let Some(mut sender) = sender
            && tokio::time::timeout_at(deadline.at(), &mut sender).await.is_err()
        {
            lock(&self.shared.queues).aborted = true;
            self.shared.work.notify_one();
            // It sees that at once and ends.
            let _ = sender.await;
        }
        let failures = std::mem::take(&mut lock(&self.shared.queues).failures);
        match failures.first {
            Some(first) => Err(FlushError { records: failures.records, first }),
            None => Ok(()),
        }
    }

    /// `size`: the most bytes that the record can take in a batch.
    fn try_append(
        &self,
        record: &ProducerRecord<'_>,
        new: &NewRecord<'_>,
        size: usize,
    ) -> Result<Attempt, ProduceError> {
        let options = &*self.shared.options;
        let mut queues = lock(&self.shared.queues);
        if queues.closing || queues.aborted {
            return Err(ProduceError::Closed);
        }
        let Some(topic) = queues.topic_index(record.topic) else {
            return Ok(Attempt::Missing(Missing::Topic));
        };
        let chosen = match queues.choose(topic, record.partition, new, size, options) {
            Ok(chosen) => chosen,
            // Partitions may have been added that we do not know of yet; only a choice of the partitioner's is final.
            Err(ProduceError::UnknownPartition { partition, count, .. }) if record.partition.is_some() => {
                return Ok(Attempt::Missing(Missing::Partition(partition, count)));
            }
            Err(error) => return Err(error),
        };
        if let Some(transactions) = &mut queues.transactions {
            transactions.add_partition(chosen.queue)?;
        }
        match queues.append(chosen, new, options, Instant::now)? {
            Appended::Done { delivery, tell_sender, batch_full } => {
                drop(queues);
                if tell_sender {
                    self.shared.work.notify_one();
                }
                Ok(Attempt::Done { delivery, batch_full })
            }
            Appended::NoSpace => Ok(Attempt::Missing(Missing::Space)),
        }
    }

    async fn learn_topic(&self, name: &str, deadline: Deadline) -> Result<(), ProduceError> {
        let known = self.shared.cluster.topic(name, AutoCreate::Allowed, deadline).await;
        known.map_err(|error| unknown_topic(name, deadline, error))?;
        let metadata = self.shared.cluster.metadata();
        lock(&self.shared.queues).add_topic(name, &metadata);
        Ok(())
    }

    async fn learn_partition(
        &self,
        name: &str,
        partition: PartitionId,
        count: usize,
        deadline: Deadline,
    ) -> Result<(), ProduceError> {
        let cluster = &self.shared.cluster;
        let unknown = || ProduceError::UnknownPartition { topic: name.to_owned(), partition, count };
        if partition.get() < 0 {
            return Err(unknown());
        }
        let mut backoff = cluster.retry_backoff();
        loop {
            let scope = super::cluster::TopicScope::Names(vec![name.to_owned()]);
            let metadata = cluster.refresh(&scope, AutoCreate::Allowed, deadline).await;
            let metadata = metadata.map_err(|error| unknown_topic(name, deadline, error))?;
            if metadata.topic(name).is_some_and(|topic| topic.partition(partition).is_some()) {
                lock(&self.shared.queues).add_topic(name, &metadata);
                return Ok(());
            }
            let wait = backoff.next_wait();
            if wait >= deadline.left() {
                return Err(unknown());
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn wait_for_space(&self, size: usize, deadline: Deadline) -> Result<(), ProduceError> {
        let shared = &*self.shared;
        let _waiting = Waiting::new(shared);
        loop {
            let space = shared.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            {
                let queues = lock(&shared.queues);
                if queues.closing || queues.aborted {
                    return Err(ProduceError::Closed);
                }
                if queues.has_space(size, &shared.options) {
                    return Ok(());
                }
            }
            if deadline.limit(space).await.is_none() {
                return Err(ProduceError::BufferFull(deadline.elapsed()));
            }
        }
    }
}

enum Attempt {
    Done { delivery: Delivery, batch_full: bool },
    Missing(Missing),
}

enum Missing {
    Topic,
    Partition(PartitionId, usize),
    Space,
}

/// Counts a sender that waits for memory, also when its call is cancelled.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        lock(&shared.queues).waiting_for_space += 1;
        // Batches that linger leave now.
        shared.work.notify_one();
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.0.queues).waiting_for_space -= 1;
    }
}

/// The most bytes that the record can take in a batch.
fn check_size(new: &NewRecord<'_>, options: &ProducerOptions) -> Result<usize, ProduceError> {
    let size = new.upper_bound_in_batch();
    let limits = [("max.request.size", options.max_request_size), ("buffer.memory", options.buffer_memory)];
    match limits.into_iter().find(|(_, limit)| size > *limit) {
        Some((limit_key, limit)) => Err(ProduceError::TooLarge { size, limit, limit_key }),
        None => Ok(size),
    }
}

fn unknown_topic(name: &str, deadline: Deadline, error: ClientError) -> ProduceError {
    let source = match error {
        // Not the topic's fault.
        error @ (ClientError::Connect { .. } | ClientError::NoBroker { .. } | ClientError::CutOff { .. }) => {
            return error.into();
        }
        ClientError::Api(error) => return error.into(),
        ClientError::DeadlineExceeded { source, .. } => source,
        error if !error.is_retriable() => return error.into(),
        error => Some(Arc::new(error)),
    };
    ProduceError::UnknownTopic { topic: name.to_owned(), after: deadline.elapsed(), source }
}

/// Now, in milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
