//! Transactions: records and offsets of several partitions that become visible together, or not at all.
//!
//! Start reading at `state.rs` for what is allowed when, then here for what each call asks of the coordinators. Partitions
//! are named to the coordinator by the producer's task (`sender.rs`), everything else happens in the caller's own.

mod calls;
mod error;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::MutexGuard;

use super::batch::Identity;
use super::queue::QueueId;
use super::{ProduceError, Producer, Shared};
use crate::client::admin::{CoordinatorKey, GroupOffset, millis};
use crate::client::consumer::ConsumerGroupMetadata;
use crate::client::retry::Deadline;
use crate::client::{ApiError, lock};
use crate::protocol::ErrorCode;
use crate::protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::protocol::messages::{
    AddOffsetsToTxnRequest, EndTxnRequest, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use crate::types::{ProducerId, TopicPartition};
use calls::{CallError, Coordinators};
use state::{Ending, Step};

pub use error::{TransactionError, TransactionState};
pub(super) use state::{Transactions, Version};

/// EndTxn up to here leaves the epoch as it is; the next version raises it (KIP-890).
const LAST_END_VERSION_OF_V1: i16 = 4;

/// TxnOffsetCommit up to here needs AddOffsetsToTxn before it (KIP-890).
const LAST_OFFSETS_VERSION_OF_V1: i16 = 4;

/// What a transactional producer has besides its state, which lies beside the queues.
#[derive(Debug)]
pub(super) struct Transactional {
    id: String,
    timeout_ms: i32,
    coordinators: Coordinators,
    /// Held by the call that is under way: one after the other.
    turn: tokio::sync::Mutex<()>,
}

impl Transactional {
    pub(super) fn new(id: &str, timeout: std::time::Duration) -> Self {
        Self {
            id: id.to_owned(),
            timeout_ms: millis(timeout),
            coordinators: Coordinators::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn key(&self) -> CoordinatorKey<'_> {
        CoordinatorKey::Transaction(&self.id)
    }
}

impl Producer {
    /// Makes the producer the one with its `transactional.id`: ends what an earlier one left open, and puts that one out.
    /// To be called once, before the first transaction; again only after it failed or was given up.
    ///
    /// # Errors
    /// [`TransactionError::Refused`] and [`TransactionError::TimedOut`] may pass; others do not.
    pub async fn init_transactions(&self) -> Result<(), TransactionError> {
        const CALL: &str = "init_transactions";
        let call = Call::new(&self.shared, CALL)?;
        let _turn = call.turn().await?;
        call.change(|state| state.begin_init(CALL))?;
        call.ask_identity(None).await
    }

    /// Opens a transaction: records that are sent from now on belong to it.
    ///
    /// # Errors
    /// One is open already, the producer is not initialized, or has failed.
    pub fn begin_transaction(&self) -> Result<(), TransactionError> {
        const CALL: &str = "begin_transaction";
        Call::new(&self.shared, CALL)?.change(|state| state.begin(CALL))
    }

    /// Makes offsets of a group part of the transaction: of each partition the next record to read. They are committed with
    /// it, or not at all. `group` is what the consumer that read the records says of itself
    /// ([`Consumer::group_metadata`](crate::client::Consumer::group_metadata), KIP-447).
    ///
    /// # Errors
    /// No transaction is open, or it has failed: the group may have given the partitions to others.
    pub async fn send_offsets_to_transaction(
        &self,
        offsets: &[(TopicPartition, GroupOffset)],
        group: &ConsumerGroupMetadata,
    ) -> Result<(), TransactionError> {
        const CALL: &str = "send_offsets_to_transaction";
        let call = Call::new(&self.shared, CALL)?;
        let _turn = call.turn().await?;
        call.change(|state| state.check_open(CALL))?;
        if group.group_id.is_empty() {
            return Err(TransactionError::NoGroup);
        }
        if offsets.is_empty() {
            return Ok(());
        }
        call.send_offsets(offsets, group).await
    }

    /// Sends what is queued, and makes all records and offsets of the transaction visible.
    ///
    /// # Errors
    /// [`TransactionError::Abortable`]: nothing of it will be visible, call [`Producer::abort_transaction`].
    /// [`TransactionError::TimedOut`]: call again. Others: close the producer.
    pub async fn commit_transaction(&self) -> Result<(), TransactionError> {
        const CALL: &str = "commit_transaction";
        let call = Call::new(&self.shared, CALL)?;
        let _turn = call.turn().await?;
        call.change(|state| state.begin_commit(CALL))?;
        call.end(true).await
    }

    /// Gives the transaction up: records that are queued are not sent, and those that were sent will not be visible.
    ///
    /// # Errors
    /// [`TransactionError::TimedOut`]: call again. Others: no transaction is open, or the producer is to be closed.
    pub async fn abort_transaction(&self) -> Result<(), TransactionError> {
        const CALL: &str = "abort_transaction";
        let call = Call::new(&self.shared, CALL)?;
        let _turn = call.turn().await?;
        call.change(|state| state.begin_abort(CALL))?;
        call.end(false).await
    }

    /// What the producer is doing; `None` if it has no `transactional.id`.
    #[must_use]
    pub fn transaction_state(&self) -> Option<TransactionState> {
        lock(&self.shared.queues).transactions.as_ref().map(Transactions::state)
    }

    /// Ends an open transaction before the producer is closed, as far as that can be done in time.
    pub(super) async fn end_transaction_to_close(&self, timeout: std::time::Duration) {
        let ending = async {
            match self.transaction_state() {
                Some(
                    TransactionState::InTransaction | TransactionState::AbortableError | TransactionState::Aborting,
                ) => self.abort_transaction().await,
                Some(TransactionState::Committing) => self.commit_transaction().await,
                _ => Ok(()),
            }
        };
        // What is not ended now is aborted when its time is over.
        match tokio::time::timeout(timeout, ending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not end the open transaction"),
            Err(_) => tracing::warn!("no time to end the open transaction"),
        }
    }
}

/// One call of the application's.
struct Call<'a> {
    shared: &'a Shared,
    transactional: &'a Transactional,
    name: &'static str,
    deadline: Deadline,
}

impl<'a> Call<'a> {
    fn new(shared: &'a Shared, name: &'static str) -> Result<Self, TransactionError> {
        let transactional = shared.transactional.as_ref().ok_or(TransactionError::NotTransactional)?;
        Ok(Self { shared, transactional, name, deadline: Deadline::after(shared.options.max_block) })
    }

    async fn turn(&self) -> Result<MutexGuard<'a, ()>, TransactionError> {
        let turn = self.deadline.limit(self.transactional.turn.lock()).await;
        turn.ok_or_else(|| self.timed_out(None))
    }

    fn timed_out(&self, source: Option<Arc<crate::client::ClientError>>) -> TransactionError {
        TransactionError::TimedOut { call: self.name, after: self.deadline.elapsed(), source }
    }

    /// Takes a step of the state machine, and lets the producer's task look at what follows from it.
    fn change<T>(
        &self,
        step: impl FnOnce(&mut Transactions) -> Result<T, TransactionError>,
    ) -> Result<T, TransactionError> {
        let mut queues = lock(&self.shared.queues);
        if queues.aborted {
            return Err(TransactionError::Closed);
        }
        let state = queues.transactions.as_mut().ok_or(TransactionError::NotTransactional)?;
        let result = step(state);
        drop(queues);
        self.shared.work.notify_one();
        result
    }

    /// Notes why a step failed; gives what the caller is told.
    fn failed(&self, step: Step, error: CallError) -> TransactionError {
        let told: Result<(), _> = self.change(|state| {
            let source = match error {
                CallError::TimedOut(source) => return Err(self.timed_out(source)),
                CallError::Passing { error, .. } => return Err(self.timed_out(Some(Arc::new(error)))),
                CallError::Refused(error) => {
                    let (code, error) = (error.code, ProduceError::Refused(error));
                    state.refused(step, code, error.clone());
                    Arc::new(error)
                }
                CallError::Broken(error) => {
                    let error = ProduceError::Client(error);
                    state.broke(error.clone());
                    Arc::new(error)
                }
            };
            state.refuse_errors()?;
            Err(match state.state() {
                TransactionState::Uninitialized => TransactionError::Refused { source },
                _ => TransactionError::Abortable { source },
            })
        });
        told.err().unwrap_or(TransactionError::Closed)
    }

    async fn ask_identity(&self, raise: Option<Identity>) -> Result<(), TransactionError> {
        let request = calls::init_request(&self.transactional.id, self.transactional.timeout_ms, raise);
        let code =
            |response: &crate::protocol::messages::InitProducerIdResponse| ErrorCode::from_code(response.error_code);
        let key = self.transactional.key();
        let (cluster, coordinators) = (&self.shared.cluster, &self.transactional.coordinators);
        match coordinators.call(cluster, key, i16::MAX, &request, code, self.deadline).await {
            Ok((response, coordinator)) => {
                let identity = Identity { id: ProducerId(response.producer_id), epoch: response.producer_epoch };
                self.change(|state| {
                    state.initialized(identity, coordinator);
                    Ok(())
                })
            }
            Err(error) => Err(self.failed(Step::Init, error)),
        }
    }

    async fn send_offsets(
        &self,
        offsets: &[(TopicPartition, GroupOffset)],
        group: &ConsumerGroupMetadata,
    ) -> Result<(), TransactionError> {
        let (identity, version) = self.change(|state| {
            let identity = state.identity().ok_or(TransactionError::Closed)?;
            if state.version() == Version::V2 {
                // The coordinator learns of it from the group's (KIP-890).
                state.offsets_added();
            }
            Ok((identity, state.version()))
        })?;
        let (cluster, coordinators) = (&self.shared.cluster, &self.transactional.coordinators);
        if version == Version::V1 {
            let request = AddOffsetsToTxnRequest {
                transactional_id: self.transactional.id.clone(),
                producer_id: identity.id.get(),
                producer_epoch: identity.epoch,
                group_id: group.group_id.clone(),
                ..Default::default()
            };
            let code = |response: &crate::protocol::messages::AddOffsetsToTxnResponse| {
                ErrorCode::from_code(response.error_code)
            };
            let key = self.transactional.key();
            let added = coordinators.call(cluster, key, i16::MAX, &request, code, self.deadline).await;
            added.map_err(|error| self.failed(Step::AddOffsets, error))?;
            self.change(|state| {
                state.offsets_added();
                Ok(())
            })?;
        }
        let request = self.offsets_request(identity, offsets, group);
        let max_version = if version == Version::V1 { LAST_OFFSETS_VERSION_OF_V1 } else { i16::MAX };
        let code = |response: &TxnOffsetCommitResponse| {
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            calls::worst(partitions.map(|partition| ErrorCode::from_code(partition.error_code)))
        };
        let key = CoordinatorKey::Group(&group.group_id);
        match coordinators.call(cluster, key, max_version, &request, code, self.deadline).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(Step::CommitOffsets, error)),
        }
    }

    fn offsets_request(
        &self,
        identity: Identity,
        offsets: &[(TopicPartition, GroupOffset)],
        group: &ConsumerGroupMetadata,
    ) -> TxnOffsetCommitRequest {
        let mut topics: BTreeMap<&str, Vec<TxnOffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, offset) in offsets {
            topics.entry(&partition.topic).or_default().push(TxnOffsetCommitRequestPartition {
                partition_index: partition.partition.get(),
                committed_offset: offset.offset.get(),
                committed_leader_epoch: offset.leader_epoch.get(),
                committed_metadata: Some(offset.metadata.clone()),
                ..Default::default()
            });
        }
        let topics = topics.into_iter().map(|(name, partitions)| TxnOffsetCommitRequestTopic {
            name: name.to_owned(),
            partitions,
            ..Default::default()
        });
        TxnOffsetCommitRequest {
            transactional_id: self.transactional.id.clone(),
            group_id: group.group_id.clone(),
            producer_id: identity.id.get(),
            producer_epoch: identity.epoch,
            generation_id: group.generation_id,
            member_id: group.member_id.clone(),
            group_instance_id: group.group_instance_id.clone(),
            topics: topics.collect(),
            ..Default::default()
        }
    }

    async fn end(&self, commit: bool) -> Result<(), TransactionError> {
        if !self.change(|state| Ok(state.is_ended()))? {
            self.settle().await?;
            match self.change(|state| state.ending(self.name))? {
                Ending::Nothing => self.change(|state| {
                    state.ended(None, None);
                    Ok(())
                })?,
                Ending::Tell { identity, version } => self.tell_end(commit, identity, version).await?,
            }
            if !commit {
                // Whoever aborts knows that its records are not delivered.
                lock(&self.shared.queues).failures = super::accumulator::Failures::default();
            }
        }
        match self.change(|state| Ok(state.epoch_to_raise()))? {
            Some(identity) => self.ask_identity(Some(identity)).await,
            None => Ok(()),
        }
    }

    /// Waits until all records are done with, and no partition is being added.
    async fn settle(&self) -> Result<(), TransactionError> {
        let below = lock(&self.shared.queues).begin_flush();
        self.shared.work.notify_one();
        loop {
            let done = self.shared.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            {
                let queues = lock(&self.shared.queues);
                let state = queues.transactions.as_ref().ok_or(TransactionError::NotTransactional)?;
                if queues.aborted || queues.is_flushed(below) && !state.is_adding() {
                    return Ok(());
                }
            }
            if self.deadline.limit(done).await.is_none() {
                return Err(self.timed_out(None));
            }
        }
    }

    async fn tell_end(&self, commit: bool, identity: Identity, version: Version) -> Result<(), TransactionError> {
        let request = EndTxnRequest {
            transactional_id: self.transactional.id.clone(),
            producer_id: identity.id.get(),
            producer_epoch: identity.epoch,
            committed: commit,
            ..Default::default()
        };
        let code = |response: &crate::protocol::messages::EndTxnResponse| ErrorCode::from_code(response.error_code);
        let max_version = if version == Version::V1 { LAST_END_VERSION_OF_V1 } else { i16::MAX };
        let (cluster, coordinators) = (&self.shared.cluster, &self.transactional.coordinators);
        let key = self.transactional.key();
        match coordinators.call(cluster, key, max_version, &request, code, self.deadline).await {
            Ok((response, coordinator)) => {
                let next = (response.producer_id >= 0)
                    .then_some(Identity { id: ProducerId(response.producer_id), epoch: response.producer_epoch });
                self.change(|state| {
                    state.ended(next, Some(coordinator));
                    Ok(())
                })
            }
            Err(error) => Err(self.failed(Step::End, error)),
        }
    }
}

/// One attempt to name partitions to the coordinator. Run by the producer's task.
pub(super) async fn add_partitions(shared: &Shared, partitions: Vec<(QueueId, TopicPartition)>) -> Outcome {
    let Some(transactional) = &shared.transactional else { return Outcome::default() };
    let identity = lock(&shared.queues).transactions.as_ref().and_then(Transactions::identity);
    let Some(identity) = identity else { return Outcome::default() };
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (_, partition) in partitions {
        topics.entry(partition.topic).or_default().push(partition.partition.get());
    }
    let (request, max_version) =
        calls::add_partitions_request(&transactional.id, identity, topics.into_iter().collect());
    let deadline = Deadline::after(shared.options.client.request_timeout);
    let coordinators = &transactional.coordinators;
    let key = transactional.key();
    let asked = coordinators.attempt(&shared.cluster, key, max_version, &request, calls::added_code, deadline).await;
    Outcome(Some(asked.map(|_| ())))
}

/// What came of naming partitions.
#[derive(Debug, Default)]
pub(super) struct Outcome(Option<Result<(), CallError>>);

impl Outcome {
    /// Notes it. Returns whether it has to be tried again, with the code if there was one.
    pub(super) fn note(self, state: &mut Transactions) -> Option<Option<ErrorCode>> {
        match self.0 {
            Some(Ok(())) => {
                state.partitions_added();
                None
            }
            Some(Err(CallError::Passing { error, answered })) => {
                tracing::debug!(%error, "partitions are named to the transaction's coordinator again");
                state.partitions_not_added(answered);
                Some(error.code())
            }
            Some(Err(CallError::TimedOut(_))) | None => {
                state.partitions_not_added(false);
                Some(None)
            }
            Some(Err(CallError::Refused(ApiError { code, message }))) => {
                state.partitions_refused(code, ProduceError::Refused(ApiError { code, message }));
                None
            }
            Some(Err(CallError::Broken(error))) => {
                state.broke(ProduceError::Client(error));
                None
            }
        }
    }
}
