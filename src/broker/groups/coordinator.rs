//! The runtime around the shards: loads them from the log, appends what they decide, answers when that is committed, and wakes them
//! when time has come.
//!
//! One owner per partition of `__consumer_offsets`: its slot. A command runs under the slot's lock, the append with it, so that the order
//! of the log is the order of the decisions. Where an append fails the shard is given up and loaded again: what was not
//! written was not decided.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};
use tracing::{error, info};

use super::effects::{Effects, Now, Record, Reply, Token};
use super::shard::{GroupConfig, Shard};
use crate::protocol::ErrorCode;
use crate::record::key_hash::coordinator_partition;

/// Where the records of the groups are kept: `__consumer_offsets`.
pub(in crate::broker) trait GroupLog: Send + Sync + 'static {
    /// Appends the records to a partition, all or none; returns when they are committed.
    ///
    /// # Errors
    /// The code for whoever waits for it.
    fn append(&self, partition: i32, records: &[Record], now_ms: i64) -> Result<(), ErrorCode>;

    /// Gives all records of a partition, in order.
    ///
    /// # Errors
    /// The log can't be read.
    fn replay(&self, partition: i32, each: &mut dyn FnMut(Record)) -> Result<(), ErrorCode>;

    /// Whether this broker leads the partition.
    fn is_leader(&self, partition: i32) -> bool;

    /// How many partitions there are; 0 while the topic does not exist.
    fn partitions(&self) -> i32;
}

/// What a partition's groups are doing.
#[derive(Debug)]
enum Slot {
    /// Not here, or not loaded yet.
    Idle,
    /// Being read from the log.
    Loading,
    Active(Box<Active>),
}

#[derive(Debug)]
struct Active {
    shard: Shard,
    /// Who waits for an answer that comes later.
    waiting: HashMap<Token, oneshot::Sender<Reply>>,
    next_token: u64,
}

/// The group coordinator of this broker.
pub(in crate::broker) struct GroupCoordinator {
    log: Arc<dyn GroupLog>,
    config: GroupConfig,
    slots: Vec<Mutex<Slot>>,
    /// Rung when the earliest deadline may have changed.
    timers: Notify,
}

impl std::fmt::Debug for GroupCoordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCoordinator").field("partitions", &self.slots.len()).finish_non_exhaustive()
    }
}

impl GroupCoordinator {
    /// A coordinator over `partitions` partitions (`offsets.topic.num.partitions`), with nothing loaded.
    pub(in crate::broker) fn new(log: Arc<dyn GroupLog>, config: GroupConfig, partitions: i32) -> Self {
        let count = usize::try_from(partitions).unwrap_or_default().max(1);
        let slots = (0..count).map(|_| Mutex::new(Slot::Idle)).collect();
        Self { log, config, slots, timers: Notify::new() }
    }

    /// The partition that keeps a group.
    pub(in crate::broker) fn partition_of(&self, group: &str) -> i32 {
        coordinator_partition(group, i32::try_from(self.slots.len()).unwrap_or(i32::MAX))
    }

    fn slot(&self, partition: i32) -> Option<MutexGuard<'_, Slot>> {
        let slot = self.slots.get(usize::try_from(partition).ok()?)?;
        // A panic inside of a command left the shard in an unknown state: it is loaded again.
        Some(slot.lock().unwrap_or_else(|poisoned| {
            slot.clear_poison();
            let mut slot = poisoned.into_inner();
            *slot = Slot::Idle;
            slot
        }))
    }

    /// Loads the partitions that this broker leads, one after another. Meanwhile their groups answer
    /// `COORDINATOR_LOAD_IN_PROGRESS`. Blocks: for a thread that may.
    pub(in crate::broker) fn load_all(&self, now: impl Fn() -> Now) {
        for partition in 0..i32::try_from(self.slots.len()).unwrap_or(i32::MAX) {
            if self.log.is_leader(partition) {
                self.load(partition, now());
            }
        }
    }

    /// Loads one partition, if it is not loaded already.
    pub(in crate::broker) fn load(&self, partition: i32, now: Now) {
        match self.slot(partition) {
            Some(mut slot) if matches!(*slot, Slot::Idle) => *slot = Slot::Loading,
            _ => return,
        }
        let started = Instant::now();
        let mut shard = Shard::new(self.config.clone());
        let mut count = 0u64;
        let read = self.log.replay(partition, &mut |record| {
            count += 1;
            if let Err(error) = shard.replay(&record, now) {
                error!(partition, %error, "a record of __consumer_offsets is skipped");
            }
        });
        let Some(mut slot) = self.slot(partition) else { return };
        match read {
            Ok(()) => {
                if count > 0 {
                    info!(partition, records = count, took = ?started.elapsed(), "groups loaded");
                }
                *slot = Slot::Active(Box::new(Active { shard, waiting: HashMap::new(), next_token: 0 }));
            }
            Err(error) => {
                error!(partition, %error, "groups can't be loaded");
                *slot = Slot::Idle;
            }
        }
        drop(slot);
        self.timers.notify_one();
    }

    /// Runs a command on a group's shard, appends what comes of it and gives out the answers.
    ///
    /// # Errors
    /// This is not the group's coordinator, it is still loading, or the append failed.
    pub(in crate::broker) fn run<R>(
        &self,
        group: &str,
        now: Now,
        command: impl FnOnce(&mut Shard) -> (R, Effects),
    ) -> Result<R, ErrorCode> {
        self.run_at(self.partition_of(group), now, |active| command(&mut active.shard))
    }

    /// Runs a command whose answer may come later.
    ///
    /// # Errors
    /// As [`GroupCoordinator::run`].
    pub(in crate::broker) fn run_waiting(
        &self,
        group: &str,
        now: Now,
        command: impl FnOnce(&mut Shard, Token) -> Effects,
    ) -> Result<oneshot::Receiver<Reply>, ErrorCode> {
        let (sender, receiver) = oneshot::channel();
        self.run_at(self.partition_of(group), now, |active| {
            // Requests whose clients have gone away leave nothing behind for long.
            active.waiting.retain(|_, sender| !sender.is_closed());
            let token = Token(active.next_token);
            active.next_token += 1;
            active.waiting.insert(token, sender);
            ((), command(&mut active.shard, token))
        })?;
        Ok(receiver)
    }

    fn run_at<R>(
        &self,
        partition: i32,
        now: Now,
        command: impl FnOnce(&mut Active) -> (R, Effects),
    ) -> Result<R, ErrorCode> {
        if !self.log.is_leader(partition) {
            return Err(if self.log.partitions() == 0 {
                ErrorCode::CoordinatorNotAvailable
            } else {
                ErrorCode::NotCoordinator
            });
        }
        let mut slot = self.slot(partition).ok_or(ErrorCode::NotCoordinator)?;
        if matches!(*slot, Slot::Idle) {
            drop(slot);
            self.load(partition, now);
            slot = self.slot(partition).ok_or(ErrorCode::NotCoordinator)?;
        }
        let active = match &mut *slot {
            Slot::Active(active) => active,
            Slot::Loading => return Err(ErrorCode::CoordinatorLoadInProgress),
            Slot::Idle => return Err(ErrorCode::CoordinatorNotAvailable),
        };
        let before = active.shard.next_deadline();
        let (result, effects) = command(active);
        if !effects.records.is_empty()
            && let Err(error) = self.log.append(partition, &effects.records, now.wall_ms)
        {
            error!(partition, %error, "group records can't be written; the groups are loaded again");
            give_up(&mut slot, ErrorCode::NotCoordinator);
            return Err(error);
        }
        answer(active, effects.replies);
        // A later deadline need not ring: the timer finds out when it wakes.
        let next = active.shard.next_deadline();
        if next.is_some_and(|next| before.is_none_or(|before| next < before)) {
            self.timers.notify_one();
        }
        Ok(result)
    }

    /// Shows all loaded groups to `each`.
    ///
    /// # Errors
    /// A partition is still loading: what could be shown is not all.
    pub(in crate::broker) fn view_all(&self, mut each: impl FnMut(&Shard)) -> Result<(), ErrorCode> {
        for partition in 0..i32::try_from(self.slots.len()).unwrap_or(i32::MAX) {
            match self.slot(partition).as_deref() {
                Some(Slot::Active(active)) => each(&active.shard),
                Some(Slot::Loading) => return Err(ErrorCode::CoordinatorLoadInProgress),
                Some(Slot::Idle) | None => {}
            }
        }
        Ok(())
    }

    /// Runs a command on every loaded shard: expiry, deleted topics.
    pub(in crate::broker) fn run_on_all(&self, now: Now, mut command: impl FnMut(&mut Shard) -> Effects) {
        for partition in 0..i32::try_from(self.slots.len()).unwrap_or(i32::MAX) {
            if matches!(self.slot(partition).as_deref(), Some(Slot::Active(_))) {
                // An error was logged where it happened, and nobody waits for this.
                let _ = self.run_at(partition, now, |active| ((), command(&mut active.shard)));
            }
        }
    }

    /// Wakes shards when something falls due. Runs until dropped; sleeps while no group has a deadline.
    pub(in crate::broker) async fn run_timers(&self, now: impl Fn() -> Now) {
        loop {
            let mut next: Option<Instant> = None;
            for partition in 0..i32::try_from(self.slots.len()).unwrap_or(i32::MAX) {
                let deadline = match self.slot(partition).as_deref() {
                    Some(Slot::Active(active)) => active.shard.next_deadline(),
                    _ => None,
                };
                let time = now();
                if deadline.is_some_and(|at| at <= time.steady) {
                    let _ = self.run_at(partition, time, |active| ((), active.shard.advance(time)));
                }
                let deadline = match self.slot(partition).as_deref() {
                    Some(Slot::Active(active)) => active.shard.next_deadline(),
                    _ => None,
                };
                next = next.into_iter().chain(deadline).min();
            }
            let rung = self.timers.notified();
            match next {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at.into(), rung).await;
                }
                None => rung.await,
            }
        }
    }
}

fn answer(active: &mut Active, replies: Vec<(Token, Reply)>) {
    for (token, reply) in replies {
        if let Some(sender) = active.waiting.remove(&token) {
            // The client may have gone away meanwhile; its session timeout takes care of the rest.
            let _ = sender.send(reply);
        }
    }
}

fn give_up(slot: &mut Slot, error: ErrorCode) {
    if let Slot::Active(mut active) = std::mem::replace(slot, Slot::Idle) {
        let effects = active.shard.resign(error);
        answer(&mut active, effects.replies);
    }
}
