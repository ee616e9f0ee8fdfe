//! The share-partitions of this broker, and the sessions of the members that read them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinSet;

use super::config::ShareGroupSettings;
use super::partition::SharePartition;
use super::sessions::{Ended, SessionKey, ShareSessions, TopicIdPartition};
use super::state::Acknowledgement;
use crate::broker::context::now;
use crate::broker::metadata_cache::MetadataCache;
use crate::broker::replicas::Replicas;
use crate::broker::share_state::{Persister, SharePartitionKey};
use crate::broker::topics::Topics;
use crate::protocol::ErrorCode;
use crate::types::Uuid;

/// A share-partition, as soon as it is loaded.
type Slot = Arc<OnceCell<Arc<SharePartition>>>;

/// What this broker does for share groups.
#[derive(Debug)]
pub(in crate::broker) struct ShareGroups {
    persister: Persister,
    metadata: Arc<MetadataCache>,
    replicas: Arc<Replicas>,
    topics: Arc<Topics>,
    partitions: Mutex<HashMap<SharePartitionKey, Slot>>,
    sessions: Mutex<ShareSessions>,
    /// Rung when a lock may run out earlier than was known.
    timers: Notify,
    /// When the timers wake by themselves; `None` while they look, and while there is no lock.
    wakes_at: Mutex<Option<Instant>>,
}

impl ShareGroups {
    pub(in crate::broker) fn new(
        persister: Persister,
        metadata: Arc<MetadataCache>,
        replicas: Arc<Replicas>,
        topics: Arc<Topics>,
    ) -> Self {
        let slots = replicas.config().group_share_max_share_sessions;
        Self {
            persister,
            metadata,
            replicas,
            topics,
            partitions: Mutex::default(),
            sessions: Mutex::new(ShareSessions::new(slots)),
            timers: Notify::new(),
            wakes_at: Mutex::default(),
        }
    }

    /// The sessions of the members.
    pub(in crate::broker) fn sessions(&self) -> MutexGuard<'_, ShareSessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds for a group.
    pub(in crate::broker) fn settings(&self, group: &str) -> ShareGroupSettings {
        ShareGroupSettings::of(&self.metadata.read(), &self.replicas.config(), group)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SharePartitionKey, Slot>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The share-partition, loaded if need be.
    ///
    /// # Errors
    /// This broker does not have the partition, or the state can't be read.
    pub(super) async fn partition(
        &self,
        group: &str,
        (topic_id, partition): TopicIdPartition,
    ) -> Result<Arc<SharePartition>, ErrorCode> {
        let topic = self.topics.by_id(topic_id).ok_or(ErrorCode::UnknownTopicId)?;
        let led = topic.partition(partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        led.check_online()?;
        let key = SharePartitionKey { group: group.to_owned(), topic_id, partition };
        let slot = {
            let mut slots = self.slots();
            let slot = slots.entry(key.clone()).or_default();
            if slot.get().is_some_and(|loaded| !loaded.is_current(&led)) {
                *slot = Slot::default();
            }
            Arc::clone(slot)
        };
        let settings = self.settings(group);
        let load = || async {
            let loaded = SharePartition::load(key.clone(), led, &self.persister, &settings, now()).await?;
            Ok(Arc::new(loaded))
        };
        let loaded = slot.get_or_try_init(load).await.cloned();
        if loaded.is_err() {
            let mut slots = self.slots();
            if slots.get(&key).is_some_and(|known| Arc::ptr_eq(known, &slot)) {
                slots.remove(&key);
            }
        }
        loaded
    }

    /// The share-partition, if it is loaded.
    fn loaded(&self, group: &str, (topic_id, partition): TopicIdPartition) -> Option<Arc<SharePartition>> {
        let key = SharePartitionKey { group: group.to_owned(), topic_id, partition };
        self.slots().get(&key).and_then(|slot| slot.get().cloned()).filter(|loaded| loaded.is_valid())
    }

    /// Locks were given that run out at this time. They all last equally long in a group, so that this is hardly ever news.
    pub(super) fn locked_until(&self, at: Instant) {
        if self.wakes_at().is_none_or(|wakes_at| at < wakes_at) {
            self.timers.notify_one();
        }
    }

    fn wakes_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.wakes_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- What members say

    /// Takes over what a member says of records of a partition; returns when that is persisted.
    ///
    /// # Errors
    /// The member does not have them, or it could not be persisted.
    pub(in crate::broker) async fn acknowledge(
        &self,
        key: &SessionKey,
        partition: TopicIdPartition,
        said: Vec<Acknowledgement>,
    ) -> Result<(), ErrorCode> {
        let loaded = self.loaded(&key.group, partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let settings = self.settings(&key.group);
        let member = Arc::clone(&key.member);
        let rules = settings.rules;
        loaded
            .change(&self.persister, settings, now, move |state, now| state.acknowledge(&member, &said, &rules, now))
            .await
    }

    /// Gives back what the member of an ended session has. What can't be persisted is free when its locks run out.
    pub(in crate::broker) async fn release(&self, ended: Ended) {
        let group = &ended.key.group;
        let settings = self.settings(group);
        for partition in &ended.partitions {
            let Some(loaded) = self.loaded(group, *partition) else { continue };
            let (member, rules) = (Arc::clone(&ended.key.member), settings.rules);
            let release = loaded
                .change(&self.persister, settings, now, move |state, _| Ok(state.release_member(&member, &rules)));
            // An error was logged where it happened.
            let _ = release.await;
        }
        if ended.was_last {
            // Nobody holds a lock: the state is read again when somebody comes back.
            self.forget(|key| key.group == *group);
        }
    }

    /// Ends the sessions of a connection that is gone.
    pub(in crate::broker) async fn connection_closed(&self, connection: u64) {
        let ended = self.sessions().connection_closed(connection);
        for ended in ended {
            self.release(ended).await;
        }
    }

    /// Forgets the share-partitions of topics that were deleted.
    pub(in crate::broker) fn forget_topics(&self, topics: &HashSet<Uuid>) {
        self.forget(|key| topics.contains(&key.topic_id));
    }

    fn forget(&self, which: impl Fn(&SharePartitionKey) -> bool) {
        self.slots().retain(|key, slot| {
            let goes = which(key);
            if goes && let Some(loaded) = slot.get() {
                loaded.fence();
            }
            !goes
        });
    }

    // ---- Time

    /// Releases what members had for too long. Runs until dropped; sleeps while there is no lock.
    pub(in crate::broker) async fn run_timers(self: &Arc<Self>) {
        let mut expiring: JoinSet<SharePartitionKey> = JoinSet::new();
        let mut busy: HashSet<SharePartitionKey> = HashSet::new();
        loop {
            // Order: whoever gives a lock while this looks rings.
            *self.wakes_at() = None;
            let time = now().steady;
            let loaded: Vec<_> = self.slots().values().filter_map(|slot| slot.get().cloned()).collect();
            let mut next = None;
            for partition in loaded {
                let Some(deadline) = partition.next_deadline().filter(|_| !busy.contains(partition.key())) else {
                    continue;
                };
                if deadline > time {
                    next = next.into_iter().chain([deadline]).min();
                } else {
                    busy.insert(partition.key().clone());
                    let this = Arc::clone(self);
                    expiring.spawn(async move { this.expire(&partition).await });
                }
            }
            *self.wakes_at() = next;
            tokio::select! {
                () = self.timers.notified() => {}
                Some(done) = expiring.join_next() => match done {
                    Ok(key) => {
                        busy.remove(&key);
                    }
                    // A panic in one of them: which one is not known, so all may be looked at again.
                    Err(_) => busy.clear(),
                },
                () = sleep_until(next) => {}
            }
        }
    }

    async fn expire(&self, partition: &Arc<SharePartition>) -> SharePartitionKey {
        let key = partition.key().clone();
        let settings = self.settings(&key.group);
        let rules = settings.rules;
        let expire =
            partition.change(&self.persister, settings, now, move |state, now| Ok(state.expire_locks(&rules, now)));
        // Where it can't be persisted the locks have run out all the same; that was logged.
        let _ = expire.await;
        key
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
