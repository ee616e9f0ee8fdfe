//! Reads records: of partitions that the caller names, or of those that its group gives it.
//!
//! A task of the consumer's own keeps records coming; [`Consumer::poll`] hands them out. Start reading at `state.rs` for
//! what is known of each partition, then `engine.rs` for what is done about it.

mod chunk;
mod commit;
mod coordinated;
mod engine;
mod error;
mod group;
mod lookup;
mod options;
mod session;
mod state;
mod subscribe;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::admin::{GroupOffset, ListedOffset, OffsetSpec};
use super::cluster::Cluster;
use super::membership::Membership;
use super::retry::Deadline;
use super::{ClientError, lock};
use crate::config::OffsetReset;
use crate::types::{LeaderEpoch, Offset, TopicPartition};
pub(super) use chunk::Chunk;
use state::{Need, Partitions};
use subscribe::{LOOK_AT_GROUP, Subscription};

pub use chunk::ConsumerRecord;
pub use error::ConsumeError;
pub use options::{ConsumerOptions, GroupOptions};
pub use state::Position;
pub use subscribe::{ConsumerGroupMetadata, RebalanceListener};

/// Where to begin with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the group's committed offset; without a group, or without an offset, where the reset policy says.
    Committed,
    /// At this offset.
    Offset(Offset),
    /// Where this says.
    Reset(OffsetReset),
}

/// The topics whose metadata the consumer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Interest {
    Topics(BTreeSet<String>),
    All,
}

/// What the consumer and its task share.
#[derive(Debug)]
struct Shared {
    options: Arc<ConsumerOptions>,
    cluster: Cluster,
    partitions: Mutex<Partitions>,
    interest: Mutex<Interest>,
    refresh_requested: AtomicBool,
    /// The membership in a group whose coordinator assigns, while there is one.
    coordinated: Mutex<Option<Arc<Membership>>>,
    /// Tells the task that something has changed.
    work: Notify,
    /// Tells the consumer that there are records, errors or other news.
    news: Arc<Notify>,
}

impl Shared {
    fn take_refresh_request(&self) -> bool {
        self.refresh_requested.swap(false, Ordering::Relaxed)
    }
}

/// The chunk that is being handed out.
#[derive(Debug)]
struct Current {
    chunk: Chunk,
    key: Arc<TopicPartition>,
    generation: u64,
}

/// Reads records of a cluster.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    current: Option<Current>,
    subscription: Option<Subscription>,
    next_auto_commit: Option<tokio::time::Instant>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        lock(&self.shared.partitions).closed = true;
        self.shared.work.notify_one();
    }
}

impl Consumer {
    /// A consumer of the cluster that the options reach. Nothing is connected yet. Must be called within a runtime.
    #[must_use]
    pub fn new(options: ConsumerOptions) -> Self {
        let cluster = Cluster::new(options.client.clone());
        let partitions = Partitions::new(cluster.retry_backoff());
        let shared = Arc::new(Shared {
            options: Arc::new(options),
            cluster,
            partitions: Mutex::new(partitions),
            interest: Mutex::new(Interest::Topics(BTreeSet::new())),
            refresh_requested: AtomicBool::new(false),
            coordinated: Mutex::default(),
            work: Notify::new(),
            news: Arc::new(Notify::new()),
        });
        // Owned by the consumer: it ends when `closed` is set.
        tokio::spawn(engine::run(Arc::clone(&shared)));
        Self { shared, current: None, subscription: None, next_auto_commit: None }
    }

    /// The cluster, for other calls over the same connections.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.shared.cluster
    }

    /// Reads exactly these partitions from now on. Those that were read before go on where they are; new ones begin at
    /// the group's committed offset, or where the reset policy says.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        self.assign_from(partitions.into_iter().map(|partition| (partition, Start::Committed)));
    }

    /// As [`Consumer::assign`], and says where to begin with each partition that was not read before.
    pub fn assign_from(&mut self, partitions: impl IntoIterator<Item = (TopicPartition, Start)>) {
        // Who names partitions is no member of the group any more; its session ends by itself.
        self.subscription = None;
        *lock(&self.shared.coordinated) = None;
        let partitions: Vec<_> = partitions.into_iter().collect();
        let topics = partitions.iter().map(|(partition, _)| partition.topic.clone()).collect();
        lock(&self.shared.partitions).assign(partitions);
        *lock(&self.shared.interest) = Interest::Topics(topics);
        self.shared.work.notify_one();
    }

    /// The partitions that are read.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        lock(&self.shared.partitions).keys()
    }

    /// Hands out the next records, at most `max.poll.records`; none if there are none for `timeout`.
    ///
    /// A call that is cancelled has taken nothing.
    ///
    /// # Errors
    /// What keeps a partition from being read; the others go on with the next call.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let deadline = Deadline::after(timeout);
        loop {
            let look_again = self.take_part().await?;
            let records = self.take()?;
            if !records.is_empty() {
                return Ok(records);
            }
            if lock(&self.shared.partitions).has_news() {
                continue;
            }
            let mut until = deadline.at();
            if self.subscription.is_some() {
                until = until.min(tokio::time::Instant::now() + LOOK_AT_GROUP);
            }
            until = look_again.map_or(until, |at| until.min(at));
            let nothing = tokio::time::timeout_at(until, self.shared.news.notified()).await.is_err();
            if nothing && deadline.is_over() {
                return Ok(Vec::new());
            }
        }
    }

    /// Takes what is there.
    fn take(&mut self) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let most = self.shared.options.max_poll_records;
        let mut records = Vec::new();
        while records.len() < most {
            if self.current.is_none() {
                let mut partitions = lock(&self.shared.partitions);
                if partitions.closed {
                    return Err(ConsumeError::Closed);
                }
                self.current =
                    partitions.take_chunk().map(|(chunk, key, generation)| Current { chunk, key, generation });
                if self.current.is_some() {
                    // There is room for more.
                    self.shared.work.notify_one();
                }
            }
            if self.current.is_none() {
                break;
            }
            let taken = if self.is_current() { self.take_current(most, &mut records) } else { Ok(false) };
            match taken {
                Ok(true) => {}
                Ok(false) => self.current = None,
                Err(error) => {
                    self.current = None;
                    if records.is_empty() {
                        return Err(error);
                    }
                    lock(&self.shared.partitions).tell(error);
                    break;
                }
            }
        }
        if records.is_empty()
            && let Some(error) = lock(&self.shared.partitions).take_error()
        {
            return Err(error);
        }
        Ok(records)
    }

    /// Whether the open chunk is still wanted.
    fn is_current(&self) -> bool {
        let Some(current) = &self.current else { return false };
        let partitions = lock(&self.shared.partitions);
        partitions.get(&current.key).is_some_and(|state| state.generation == current.generation)
    }

    fn take_current(&mut self, most: usize, records: &mut Vec<ConsumerRecord>) -> Result<bool, ConsumeError> {
        let Some(current) = &mut self.current else { return Ok(false) };
        let taken = current.chunk.take(most - records.len(), records);
        let mut partitions = lock(&self.shared.partitions);
        let position = Position { offset: current.chunk.position(), leader_epoch: current.chunk.leader_epoch() };
        match &taken {
            Ok(_) => {
                if let Some(state) = partitions.get_mut(&current.key) {
                    state.position = Some(position);
                }
            }
            Err(_) => {
                // Fetched again from where it can't be read: a seek gets past it.
                if let Some(state) = partitions.restart(&current.key) {
                    state.set_position(position);
                    state.failed(tokio::time::Instant::now());
                }
            }
        }
        taken
    }

    /// Reads a partition on from an offset.
    ///
    /// # Errors
    /// It is not assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), ConsumeError> {
        self.seek_to(partition, Position { offset, leader_epoch: LeaderEpoch::NONE })
    }

    /// Reads a partition on from an offset, whose record before was written by the leader of this epoch.
    ///
    /// # Errors
    /// It is not assigned.
    pub fn seek_to(&mut self, partition: &TopicPartition, position: Position) -> Result<(), ConsumeError> {
        let mut partitions = lock(&self.shared.partitions);
        let state = partitions.restart(partition).ok_or_else(|| ConsumeError::NotAssigned(partition.clone()))?;
        state.set_position(position);
        drop(partitions);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Reads partitions on from their beginning, their end, or a time. Takes effect with the next poll.
    ///
    /// # Errors
    /// One is not assigned.
    pub fn seek_by(&mut self, partitions: &[TopicPartition], how: OffsetReset) -> Result<(), ConsumeError> {
        let mut shared = lock(&self.shared.partitions);
        for partition in partitions {
            let state = shared.restart(partition).ok_or_else(|| ConsumeError::NotAssigned(partition.clone()))?;
            state.position = None;
            state.need = Need::Reset(how);
        }
        drop(shared);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Stops handing out records of these partitions.
    ///
    /// # Errors
    /// One is not assigned.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), ConsumeError> {
        self.set_paused(partitions, true)
    }

    /// Hands out records of these partitions again.
    ///
    /// # Errors
    /// One is not assigned.
    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), ConsumeError> {
        self.set_paused(partitions, false)
    }

    fn set_paused(&mut self, wanted: &[TopicPartition], paused: bool) -> Result<(), ConsumeError> {
        let mut partitions = lock(&self.shared.partitions);
        for partition in wanted {
            let state = partitions.get_mut(partition).ok_or_else(|| ConsumeError::NotAssigned(partition.clone()))?;
            state.paused = paused;
            // What is open of it is fetched again when it goes on.
            let open = self.current.as_ref().is_some_and(|current| *current.key == *partition);
            if paused && open {
                self.current = None;
                let position = state.position;
                if let (Some(state), Some(position)) = (partitions.restart(partition), position) {
                    state.set_position(position);
                }
            }
        }
        drop(partitions);
        self.shared.work.notify_one();
        self.shared.news.notify_one();
        Ok(())
    }

    /// The partitions that are paused.
    #[must_use]
    pub fn paused(&self) -> Vec<TopicPartition> {
        let partitions = lock(&self.shared.partitions);
        partitions.iter().filter(|state| state.paused).map(|state| TopicPartition::clone(&state.key)).collect()
    }

    /// Where a partition is read on, as far as that is known now.
    #[must_use]
    pub fn known_position(&self, partition: &TopicPartition) -> Option<Position> {
        lock(&self.shared.partitions).get(partition)?.position
    }

    /// Where a partition is read on; looked up if it is not known yet.
    ///
    /// # Errors
    /// It is not assigned, or was not found out within `default.api.timeout.ms`.
    pub async fn position(&mut self, partition: &TopicPartition) -> Result<Position, ConsumeError> {
        let deadline = self.shared.cluster.api_deadline();
        loop {
            {
                let mut partitions = lock(&self.shared.partitions);
                let state = partitions.get(partition).ok_or_else(|| ConsumeError::NotAssigned(partition.clone()))?;
                if let Some(position) = state.position {
                    return Ok(position);
                }
                if let Some(error) = partitions.take_error() {
                    return Err(error);
                }
            }
            if deadline.limit(self.shared.news.notified()).await.is_none() {
                return Err(ClientError::DeadlineExceeded { after: deadline.elapsed(), source: None }.into());
            }
        }
    }

    /// How many records of a partition are not handed out yet, as far as the last fetch told.
    #[must_use]
    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        let partitions = lock(&self.shared.partitions);
        let state = partitions.get(partition)?;
        let end = match self.shared.options.isolation {
            crate::config::IsolationLevel::ReadCommitted => state.last_stable_offset.or(state.high_watermark),
            crate::config::IsolationLevel::ReadUncommitted => state.high_watermark,
        };
        Some((end?.get() - state.position?.offset.get()).max(0))
    }

    /// Looks offsets of any partitions up, with the consumer's isolation level.
    ///
    /// # Errors
    /// One could not be found out within `default.api.timeout.ms`.
    pub async fn offsets(
        &self,
        wanted: Vec<(TopicPartition, OffsetSpec)>,
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>, ConsumeError> {
        let shared = &self.shared;
        let deadline = shared.cluster.api_deadline();
        let listed =
            super::admin::offsets::list_offsets(&shared.cluster, wanted, shared.options.isolation, deadline).await;
        listed.into_iter().map(|(key, result)| Ok((key, result?))).collect()
    }

    /// What the group has committed for these partitions; those without an offset are left out.
    ///
    /// # Errors
    /// No group, or its coordinator can't be asked.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, ConsumeError> {
        let group = self.shared.options.group.as_ref().ok_or(ConsumeError::NoGroup)?;
        let admin = super::Admin::of(self.shared.cluster.clone());
        let offsets = admin.group_offsets(&group.group_id, Some(partitions)).await?;
        offsets.into_iter().map(|(key, result)| Ok((key, result?))).collect()
    }

    /// Commits if that is automatic, leaves the group, and disconnects.
    ///
    /// # Errors
    /// The offsets of what was read could not be committed.
    pub async fn close(mut self) -> Result<(), ConsumeError> {
        let committed = self.give_up_all("the consumer is being closed").await;
        lock(&self.shared.partitions).closed = true;
        self.shared.work.notify_one();
        self.shared.cluster.close();
        committed
    }
}
