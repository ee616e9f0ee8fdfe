//! The transaction coordinator of this broker: runs the commands of requests, has producer ids ready, and carries out what was decided.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::TRANSACTION_STATE_TOPIC;
use super::init::ProducerIdentity;
use super::listing::Filter;
use super::markers::MarkerWriter;
use super::shard::{Action, Ending, Outcome, Refusal, Shard, TransactionConfig};
use super::transaction::Transaction;
use super::work::{Job, Work};
use crate::broker::context::now;
use crate::broker::coordinator::{Coordinator, Effects, Now, TopicLog};
use crate::broker::metadata_cache::MetadataCache;
use crate::broker::partition::ProducerMarker;
use crate::broker::producer_ids::ProducerIds;
use crate::broker::topics::Topics;
use crate::protocol::ErrorCode;
use crate::record::EndMarker;
use crate::record::key_hash::java_string_hash;
use crate::types::{ProducerId, TopicPartition, TransactionVersion};

/// Ends of transactions that are carried out at once; others wait.
const MOST_JOBS: usize = 256;

/// How long a job waits before it tries again, at first and at most.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// The transaction coordinator of this broker.
#[derive(Debug)]
pub(in crate::broker) struct TransactionCoordinator {
    shards: Arc<Coordinator<Shard>>,
    work: Arc<Work>,
    markers: MarkerWriter,
    producer_ids: Arc<ProducerIds>,
    metadata: Arc<MetadataCache>,
    retry_backoff: Duration,
    patience: Duration,
    /// Rung when a transaction is over: by a hash of its id.
    completed: [Notify; 64],
}

/// What a coordinator is made with.
#[derive(Debug)]
pub(in crate::broker) struct CoordinatorOptions {
    pub(in crate::broker) config: TransactionConfig,
    /// The partitions that the topic has, or will be made with.
    pub(in crate::broker) partitions: i32,
    /// How long an answer waits for the replicas (`request.timeout.ms`).
    pub(in crate::broker) commit_timeout: Duration,
    /// `add.partitions.to.txn.retry.backoff.ms`
    pub(in crate::broker) retry_backoff: Duration,
    /// `add.partitions.to.txn.retry.backoff.max.ms`
    pub(in crate::broker) patience: Duration,
}

/// The level of `transaction.version` in a cluster.
pub(in crate::broker) fn level(metadata: &MetadataCache) -> TransactionVersion {
    let level = metadata.read().features().get("transaction.version").copied();
    TransactionVersion::new(level.unwrap_or_default())
}

impl TransactionCoordinator {
    pub(in crate::broker) fn new(
        options: CoordinatorOptions,
        topics: &Arc<Topics>,
        markers: MarkerWriter,
        producer_ids: Arc<ProducerIds>,
        metadata: Arc<MetadataCache>,
    ) -> Self {
        let CoordinatorOptions { config, partitions, commit_timeout, retry_backoff, patience } = options;
        let log = TopicLog::new(TRANSACTION_STATE_TOPIC, Arc::clone(topics), commit_timeout);
        let work = Arc::new(Work::default());
        let queue = Arc::clone(&work);
        let shards = Coordinator::new(
            Arc::new(log),
            partitions,
            move |_| Shard::new(config.clone()),
            move |partition, actions, position| {
                actions.into_iter().for_each(|action| queue.push(Job { partition, action, position }));
            },
        );
        let completed = std::array::from_fn(|_| Notify::new());
        Self { shards: Arc::new(shards), work, markers, producer_ids, metadata, retry_backoff, patience, completed }
    }

    /// The partition of `__transaction_state` that keeps a transactional id.
    pub(in crate::broker) fn partition_of(&self, id: &str) -> i32 {
        self.shards.partition_of(id)
    }

    /// The level of `transaction.version`.
    pub(in crate::broker) fn level(&self) -> TransactionVersion {
        level(&self.metadata)
    }

    fn completed(&self, id: &str) -> &Notify {
        let [first, ..] = &self.completed;
        let index = usize::try_from(java_string_hash(id).unsigned_abs()).unwrap_or_default() % self.completed.len();
        self.completed.get(index).unwrap_or(first)
    }

    // ---- Requests

    /// InitProducerId with a transactional id.
    ///
    /// # Errors
    /// The client is told so.
    pub(in crate::broker) async fn init_producer_id(
        &self,
        id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdentity>,
    ) -> Result<ProducerIdentity, ErrorCode> {
        self.run(id, |shard, new_id, now| shard.init_producer_id(id, timeout_ms, expected, new_id, now)).await
    }

    /// Has partitions join a transaction.
    ///
    /// # Errors
    /// The client is told so.
    pub(in crate::broker) async fn add_partitions(
        &self,
        id: &str,
        producer: ProducerIdentity,
        partitions: &[TopicPartition],
        version: TransactionVersion,
    ) -> Result<(), ErrorCode> {
        self.run(id, |shard, _, now| shard.add_partitions(id, producer, partitions, version, now)).await
    }

    /// Whether partitions are in a transaction: an answer for each.
    ///
    /// # Errors
    /// The code for all of them.
    pub(in crate::broker) async fn verify_partitions(
        &self,
        id: &str,
        producer: ProducerIdentity,
        partitions: &[TopicPartition],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.shards.view(id, now(), |shard| shard.verify_partitions(id, producer, partitions)).await?
    }

    /// EndTxn.
    ///
    /// # Errors
    /// The client is told so.
    pub(in crate::broker) async fn end(
        &self,
        id: &str,
        producer: ProducerIdentity,
        commit: bool,
        version: TransactionVersion,
    ) -> Result<ProducerIdentity, ErrorCode> {
        self.run(id, |shard, new_id, now| shard.end(id, producer, commit, version, new_id, now)).await
    }

    /// What is known of a transactional id.
    ///
    /// # Errors
    /// The client is told so.
    pub(in crate::broker) async fn describe(&self, id: &str) -> Result<Transaction, ErrorCode> {
        let found = self.shards.view(id, now(), |shard| shard.describe(id)).await?;
        found.ok_or(ErrorCode::TransactionalIdNotFound)
    }

    /// Shows the transactional ids that are wanted to `each`.
    ///
    /// # Errors
    /// Some are still being loaded.
    pub(in crate::broker) fn list(
        &self,
        filter: &Filter,
        mut each: impl FnMut(&str, &Transaction),
    ) -> Result<(), ErrorCode> {
        let now = now();
        self.shards.view_all(|shard| shard.list(filter, now).for_each(|(id, transaction)| each(id, transaction)))
    }

    /// Runs a command, with a new producer id if it takes one. Where the transaction before it is about to be over, that moment is waited
    /// for: it is near, and cheaper than having the client come again.
    async fn run<T>(
        &self,
        id: &str,
        command: impl Fn(&mut Shard, Option<ProducerId>, Now) -> Outcome<T>,
    ) -> Result<T, ErrorCode> {
        let level = self.level();
        let deadline = Instant::now() + self.patience;
        let mut new_id = None;
        loop {
            // Order: before the command, so that no end in between is missed.
            let mut completed = pin!(self.completed(id).notified());
            completed.as_mut().enable();
            let now = now();
            let answer = self.shards.run(id, now, |shard| {
                shard.set_level(level);
                command(shard, new_id, now)
            });
            match answer.await? {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Code(ErrorCode::ConcurrentTransactions)) if Instant::now() < deadline => {
                    let until = (Instant::now() + self.retry_backoff).min(deadline);
                    // Woken or not, the next attempt tells.
                    let _ = tokio::time::timeout_at(until.into(), completed).await;
                }
                Err(Refusal::Code(code)) => return Err(code),
                Err(Refusal::NeedsProducerId) if new_id.is_none() => {
                    new_id = Some(self.producer_ids.allocate().await?);
                }
                Err(Refusal::NeedsProducerId) => return Err(ErrorCode::UnknownServerError),
            }
        }
    }

    // ---- In the background

    /// Loads the partitions that this broker leads. Blocks: for a thread that may.
    pub(in crate::broker) fn load_all(&self) {
        self.shards.load_all(now);
    }

    /// Stays in the midst of loading, for ever.
    #[cfg(test)]
    pub(in crate::broker) fn stay_loading(&self) {
        self.shards.stay_loading();
    }

    /// Gives a partition up.
    pub(in crate::broker) fn resign(&self, partition: i32) {
        self.shards.resign(partition);
    }

    /// Forgets transactional ids that nobody uses.
    pub(in crate::broker) fn expire_ids(&self, now: Now) {
        self.shards.run_on_all(now, |shard| shard.expire(now));
    }

    /// Aborts what times out and carries out what is decided, until the broker stops. What is not done by then is done after the next
    /// start: it is in the log.
    pub(in crate::broker) async fn run_background(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        tokio::select! {
            () = self.shards.run_timers(now) => {}
            () = Arc::clone(&self).run_jobs() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    async fn run_jobs(self: Arc<Self>) {
        // Dropped with this future: a job that is cut off in the middle has written whole markers or none.
        let mut jobs = JoinSet::new();
        loop {
            while jobs.len() < MOST_JOBS
                && let Some(job) = self.work.begin()
            {
                let this = Arc::clone(&self);
                jobs.spawn(async move {
                    this.carry_out(&job).await;
                    this.work.done(job.transactional_id());
                });
            }
            tokio::select! {
                () = self.work.rung() => {}
                Some(ended) = jobs.join_next() => {
                    if let Err(error) = ended {
                        error!(%error, "the end of a transaction failed");
                    }
                }
            }
        }
    }

    async fn carry_out(&self, job: &Job) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            match self.try_to_carry_out(job).await {
                // Whoever leads now does it, after having read it in the log.
                Ok(()) | Err(ErrorCode::NotCoordinator) => return,
                Err(error) => {
                    warn!(transactional_id = job.transactional_id(), %error, "a transaction can't be ended yet");
                }
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    async fn try_to_carry_out(&self, job: &Job) -> Result<(), ErrorCode> {
        match &job.action {
            Action::Abort(id) => {
                let new_id = self.producer_ids.allocate().await?;
                self.run(id, |shard, _, now| shard.abort_timed_out(id, Some(new_id), now)).await
            }
            Action::WriteMarkers(ending) => {
                self.shards.committed(job.partition, job.position).await?;
                let now_ = now();
                let is_due = |shard: &mut Shard| (shard.is_to_be_completed(ending), Effects::default());
                if !self.shards.run_at(job.partition, now_, is_due).await? {
                    return Ok(());
                }
                self.write_markers(ending, job).await?;
                let now = now();
                self.shards.run_at(job.partition, now, |shard| ((), shard.complete(ending, now))).await?;
                self.completed(&ending.transactional_id).notify_waiters();
                Ok(())
            }
        }
    }

    async fn write_markers(&self, ending: &Ending, job: &Job) -> Result<(), ErrorCode> {
        let marker = ProducerMarker {
            producer_id: ending.producer_id,
            producer_epoch: ending.producer_epoch,
            marker: EndMarker { commit: ending.commit, coordinator_epoch: job.position.epoch.get() },
            version: ending.version,
        };
        let answers = self.markers.write(&marker, &ending.partitions, now()).await;
        let mut result = Ok(());
        for (answer, partition) in answers.into_iter().zip(&ending.partitions) {
            match answer {
                Ok(()) => {}
                // The topic was deleted, and with it what was written to it.
                Err(ErrorCode::UnknownTopicOrPartition) => {}
                Err(error @ ErrorCode::TransactionCoordinatorFenced) => {
                    error!(%partition, %error, "a newer coordinator ends transactions");
                    return Err(ErrorCode::NotCoordinator);
                }
                Err(ErrorCode::InvalidProducerEpoch) => {
                    error!(%partition, ?marker, "a newer epoch of the producer has written; its transaction is left to it");
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }
}
