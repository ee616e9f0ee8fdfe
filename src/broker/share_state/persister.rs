//! The way to the states: asks the coordinator that keeps a share-partition.

use std::sync::Arc;
use std::time::Duration;

use super::shard::{Effects, Initialize, Read, Refused, ShareStateShard, Summary, Write};
use super::{ShareCoordinator, SharePartitionKey};
use crate::broker::coordinator::Now;
use crate::broker::metadata_cache::MetadataCache;
use crate::protocol::ErrorCode;
use crate::types::PartitionId;

/// Milliseconds between one attempt and the next where the coordinator is not here or still loads.
const PAUSES_MS: [u64; 6] = [10, 20, 40, 80, 160, 320];

/// Reads and writes states of share-partitions, wherever they are kept: on this broker, so far.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Persister {
    coordinator: Arc<ShareCoordinator>,
    metadata: Arc<MetadataCache>,
}

impl Persister {
    pub(in crate::broker) fn new(coordinator: Arc<ShareCoordinator>, metadata: Arc<MetadataCache>) -> Self {
        Self { coordinator, metadata }
    }

    /// Begins a state.
    ///
    /// # Errors
    /// As [`ShareStateShard::initialize`]; or the coordinator is not here or can't write.
    pub(in crate::broker) async fn initialize(
        &self,
        key: &SharePartitionKey,
        wanted: Initialize,
        now: Now,
    ) -> Result<(), Refused> {
        self.run(key, now, |shard| shard.initialize(key, wanted, now).map(|effects| ((), effects))).await
    }

    /// Gives a state to the leader of its partition.
    ///
    /// # Errors
    /// As [`ShareStateShard::read`]; or the coordinator is not here or can't write.
    pub(in crate::broker) async fn read(
        &self,
        key: &SharePartitionKey,
        leader_epoch: i32,
        now: Now,
    ) -> Result<Read, Refused> {
        self.run(key, now, |shard| shard.read(key, leader_epoch, now)).await
    }

    /// Changes a state; returns when that is committed.
    ///
    /// # Errors
    /// As [`ShareStateShard::write`]; or the coordinator is not here or can't write.
    pub(in crate::broker) async fn write(
        &self,
        key: &SharePartitionKey,
        write: Write,
        now: Now,
    ) -> Result<(), Refused> {
        self.run(key, now, |shard| shard.write(key, write.clone(), now).map(|effects| ((), effects))).await
    }

    /// Ends a state.
    ///
    /// # Errors
    /// The coordinator is not here or can't write.
    pub(in crate::broker) async fn delete(&self, key: &SharePartitionKey, now: Now) -> Result<(), Refused> {
        self.run(key, now, |shard| shard.delete(key).map(|effects| ((), effects))).await
    }

    /// Says how far a share-partition is.
    ///
    /// # Errors
    /// The coordinator is not here.
    pub(in crate::broker) async fn summary(&self, key: &SharePartitionKey, now: Now) -> Result<Summary, Refused> {
        self.run(key, now, |shard| shard.summary(key).map(|summary| (summary, Effects::default()))).await
    }

    /// Has the coordinator do something. One that is about to begin here is waited for a moment, as Kafka's persister does: the topic that
    /// it keeps its states in is made by whoever needs it first.
    async fn run<R>(
        &self,
        key: &SharePartitionKey,
        now: Now,
        mut command: impl FnMut(&mut ShareStateShard) -> Result<(R, Effects), Refused>,
    ) -> Result<R, Refused> {
        if key.partition >= 0 && !self.is_known(key) {
            return Err(ErrorCode::UnknownTopicOrPartition.into());
        }
        let partition = self.coordinator.partition_of(&key.to_string());
        let mut pauses = PAUSES_MS.iter();
        loop {
            let done = self.coordinator.run_at(partition, now, |shard| match command(shard) {
                Ok((result, effects)) => (Ok(result), effects),
                Err(refused) => (Err(refused), Effects::default()),
            });
            match (done.await, pauses.next()) {
                (Err(ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress), Some(pause)) => {
                    tokio::time::sleep(Duration::from_millis(*pause)).await;
                }
                (done, _) => return done?,
            }
        }
    }

    /// Whether the partition is one that the cluster has.
    fn is_known(&self, key: &SharePartitionKey) -> bool {
        let image = self.metadata.read();
        let partition = PartitionId::new(key.partition);
        image.topic_by_id(key.topic_id).is_some_and(|topic| topic.partitions.contains_key(&partition))
    }
}
