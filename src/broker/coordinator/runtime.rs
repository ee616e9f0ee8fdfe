//! The runtime around the machines: loads them from the log, appends what they decide, answers when that is committed, and wakes them
//! when time has come.
//!
//! One owner per partition of the topic: its slot. A command runs under the slot's lock, the append with it, so that the order
//! of the log is the order of the decisions. Where an append fails the machine is given up and loaded again: what was not
//! written was not decided. An answer, also one that wrote nothing, waits until all that its machine had written by then is
//! committed: it may tell of it. Whoever waits for an answer waits for that too, so nothing else has to keep track of it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};
use tracing::{error, info};

use super::effects::{Effects, Now, Producer, Record, Token};
use super::records::MalformedRecord;
use crate::broker::partition::ProducerMarker;
use crate::log::Verification;
use crate::protocol::ErrorCode;
use crate::record::key_hash::coordinator_partition;
use crate::types::{LeaderEpoch, Offset};

/// The state of one partition of a coordinator's topic: a pure state machine over its log.
pub(in crate::broker) trait Machine: Send + 'static {
    /// Answers that come later than their requests.
    type Reply: Send + 'static;
    /// What it asks to be done elsewhere.
    type Action: Send + 'static;

    /// Takes over what a record of the log says. `producer`: whose transaction it is part of; it counts when that is committed.
    ///
    /// # Errors
    /// The record is damaged; nothing was taken over from it.
    fn replay(&mut self, record: &Record, producer: Option<Producer>, now: Now) -> Result<(), MalformedRecord>;

    /// Tells where a record stands in the log that was just taken over, or decided on.
    fn placed(&mut self, _record: &Record, _offset: Offset) {}

    /// A producer's transaction ended: its records since the last marker count, or never will. Called when the marker is replayed, and when
    /// it is written to the log of a live machine.
    fn end_transaction(&mut self, producer: Producer, committed: bool, now: Now);

    /// All of the log was replayed: what was under way goes on.
    fn loaded(&mut self, now: Now) -> Effects<Self::Reply, Self::Action>;

    /// When [`Machine::advance`] has something to do if no command comes before.
    fn next_deadline(&self) -> Option<Instant>;

    /// Does what has fallen due.
    fn advance(&mut self, now: Now) -> Effects<Self::Reply, Self::Action>;

    /// Answers all requests that wait: this broker gives the partition up. The machine is dropped after it.
    fn resign(&mut self, error: ErrorCode) -> Vec<(Token, Self::Reply)>;
}

/// What is appended in one step, all or nothing.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) enum Entry<'a> {
    /// Records, perhaps of a transaction.
    Records { records: &'a [Record], producer: Option<Producer> },
    /// The end of a transaction that wrote to this partition.
    Marker(&'a ProducerMarker),
}

/// What a log holds, for a machine that is loaded.
#[derive(Debug)]
pub(in crate::broker) enum Replayed {
    /// A record.
    Record { record: Record, producer: Option<Producer>, offset: Offset },
    /// The end of a transaction.
    Marker { producer: Producer, committed: bool },
}

/// A place in a partition's log that answers rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct Position {
    /// All before this offset must be committed.
    pub(in crate::broker) end: Offset,
    /// As long as this broker leads in this epoch.
    pub(in crate::broker) epoch: LeaderEpoch,
}

/// A future of a log.
pub(in crate::broker) type Committed<'a> = Pin<Box<dyn Future<Output = Result<(), ErrorCode>> + Send + 'a>>;

/// Where the state of the machines is kept: a topic.
pub(in crate::broker) trait CoordinatorLog: Send + Sync + 'static {
    /// The topic's name, for messages.
    fn topic(&self) -> &str;

    /// Appends to a partition.
    ///
    /// # Errors
    /// Nothing, or not all of it, was written.
    fn append(&self, partition: i32, entry: Entry<'_>, now_ms: i64) -> Result<Position, ErrorCode>;

    /// Whether a partition takes records of a producer's transaction. Nobody but its owner appends to it, so what is checked before a
    /// command still holds after it.
    ///
    /// # Errors
    /// The producer was replaced, or its transaction was not verified.
    fn check_producer(&self, partition: i32, producer: Producer, verification: Verification) -> Result<(), ErrorCode>;

    /// Whether all up to a position is committed.
    fn is_committed(&self, partition: i32, position: Position) -> bool;

    /// Returns when it is.
    ///
    /// # Errors
    /// It may never be: this broker no longer leads, or it takes too long.
    fn committed(&self, partition: i32, position: Position) -> Committed<'_>;

    /// Gives all that a partition holds, in order, and its end.
    ///
    /// # Errors
    /// The log can't be read.
    fn replay(&self, partition: i32, each: &mut dyn FnMut(Replayed)) -> Result<Position, ErrorCode>;

    /// How many bytes a replay would read.
    fn bytes(&self, partition: i32) -> u64;

    /// Whether this broker leads the partition.
    fn is_leader(&self, partition: i32) -> bool;
}

/// A log of up to this size is loaded while whoever asks for it waits.
const LOADED_AT_ONCE_BYTES: u64 = 1 << 20;

/// What a partition's machine is doing.
enum Slot<M: Machine> {
    /// Not here, or not loaded yet.
    Idle,
    /// Being read from the log, by the attempt of this number: another begins where this broker led again before the first had ended.
    Loading(u64),
    Active(Box<Active<M>>),
}

struct Active<M: Machine> {
    machine: M,
    /// Who waits for an answer that comes later.
    waiting: HashMap<Token, oneshot::Sender<(M::Reply, Position)>>,
    next_token: u64,
    /// The end of what the machine has written.
    written: Position,
}

/// Does what the machine of a partition asks for, once that is committed up to the position. It must not block.
pub(in crate::broker) type Act<A> = dyn Fn(i32, Vec<A>, Position) + Send + Sync;

/// The coordinator of one kind on this broker: the machines of all partitions of its topic.
pub(in crate::broker) struct Coordinator<M: Machine> {
    log: Arc<dyn CoordinatorLog>,
    new_machine: Box<dyn Fn(i32) -> M + Send + Sync>,
    act: Box<Act<M::Action>>,
    slots: Vec<Mutex<Slot<M>>>,
    /// How many large logs were begun to be read.
    attempts: AtomicU64,
    /// Rung when the earliest deadline may have changed.
    timers: Notify,
}

impl<M: Machine> std::fmt::Debug for Coordinator<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.log.topic();
        f.debug_struct("Coordinator")
            .field("topic", &name)
            .field("partitions", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl<M: Machine> Coordinator<M> {
    /// A coordinator over a topic of `partitions` partitions, with nothing loaded.
    pub(in crate::broker) fn new(
        log: Arc<dyn CoordinatorLog>,
        partitions: i32,
        new_machine: impl Fn(i32) -> M + Send + Sync + 'static,
        act: impl Fn(i32, Vec<M::Action>, Position) + Send + Sync + 'static,
    ) -> Self {
        let count = usize::try_from(partitions).unwrap_or_default().max(1);
        let slots = (0..count).map(|_| Mutex::new(Slot::Idle)).collect();
        Self {
            log,
            new_machine: Box::new(new_machine),
            act: Box::new(act),
            slots,
            attempts: AtomicU64::new(0),
            timers: Notify::new(),
        }
    }

    /// The partition that keeps what is known under a key: a group's or a transactional id.
    pub(in crate::broker) fn partition_of(&self, key: &str) -> i32 {
        coordinator_partition(key, i32::try_from(self.slots.len()).unwrap_or(i32::MAX))
    }

    fn partitions(&self) -> std::ops::Range<i32> {
        0..i32::try_from(self.slots.len()).unwrap_or(i32::MAX)
    }

    fn slot(&self, partition: i32) -> Option<MutexGuard<'_, Slot<M>>> {
        let slot = self.slots.get(usize::try_from(partition).ok()?)?;
        // A panic inside of a command left the machine in an unknown state: it is loaded again.
        Some(slot.lock().unwrap_or_else(|poisoned| {
            slot.clear_poison();
            let mut slot = poisoned.into_inner();
            *slot = Slot::Idle;
            slot
        }))
    }

    // ---- Loading and giving up

    /// Loads the partitions that this broker leads, one after another. Those with a large log answer `COORDINATOR_LOAD_IN_PROGRESS` meanwhile.
    /// Blocks: for a thread that may.
    pub(in crate::broker) fn load_all(&self, now: impl Fn() -> Now) {
        for partition in self.partitions() {
            if self.log.is_leader(partition) {
                self.load(partition, now());
            }
        }
    }

    /// Loads one partition, if it is not loaded already.
    fn load(&self, partition: i32, now: Now) {
        let Some(mut slot) = self.slot(partition) else { return };
        if !matches!(*slot, Slot::Idle) {
            return;
        }
        if self.is_loaded_at_once(partition) {
            self.load_at_once(&mut slot, partition, now);
            return;
        }
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        *slot = Slot::Loading(attempt);
        drop(slot);
        let read = self.read(partition, now);
        let Some(mut slot) = self.slot(partition) else { return };
        // Else it was given up meanwhile, and is perhaps read anew: with what another leader wrote in between.
        if matches!(*slot, Slot::Loading(of) if of == attempt) {
            self.go_on_with(&mut slot, read, partition, now);
        }
    }

    /// Whether a log is so small that whoever comes meanwhile waits: shorter than telling the client to come back.
    fn is_loaded_at_once(&self, partition: i32) -> bool {
        self.log.bytes(partition) <= LOADED_AT_ONCE_BYTES
    }

    /// Loads one partition with its slot held, so that all who come meanwhile find it loaded.
    fn load_at_once(&self, slot: &mut Slot<M>, partition: i32, now: Now) {
        let read = self.read(partition, now);
        self.go_on_with(slot, read, partition, now);
    }

    /// Replays the log of a partition. `None`: it can't be read; why was logged.
    fn read(&self, partition: i32, now: Now) -> Option<Box<Active<M>>> {
        let started = Instant::now();
        let topic = self.log.topic();
        let mut machine = (self.new_machine)(partition);
        let mut count = 0u64;
        let read = self.log.replay(partition, &mut |entry| {
            count += 1;
            match entry {
                Replayed::Record { record, producer, offset } => {
                    if let Err(error) = machine.replay(&record, producer, now) {
                        error!(topic, partition, %error, "a record of the coordinator is skipped");
                    }
                    machine.placed(&record, offset);
                }
                Replayed::Marker { producer, committed } => machine.end_transaction(producer, committed, now),
            }
        });
        match read {
            Ok(written) => {
                if count > 0 {
                    info!(topic, partition, records = count, took = ?started.elapsed(), "coordinator loaded");
                }
                Some(Box::new(Active { machine, waiting: HashMap::new(), next_token: 0, written }))
            }
            Err(error) => {
                error!(topic, partition, %error, "the coordinator can't be loaded");
                None
            }
        }
    }

    /// What was under way when the log was written goes on.
    fn go_on_with(&self, slot: &mut Slot<M>, read: Option<Box<Active<M>>>, partition: i32, now: Now) {
        *slot = Slot::Idle;
        let Some(mut active) = read else { return };
        let effects = active.machine.loaded(now);
        if self.take_effect(partition, &mut active, effects, now).is_ok() {
            *slot = Slot::Active(active);
        }
        self.timers.notify_one();
    }

    /// Gives a partition up: it is no longer this broker's, or no longer there. Requests that wait are told so.
    pub(in crate::broker) fn resign(&self, partition: i32) {
        if let Some(mut slot) = self.slot(partition) {
            give_up(&mut slot, ErrorCode::NotCoordinator);
        }
    }

    /// Stays in the midst of loading, for ever.
    #[cfg(test)]
    pub(in crate::broker) fn stay_loading(&self) {
        for partition in self.partitions() {
            if let Some(mut slot) = self.slot(partition) {
                *slot = Slot::Loading(u64::MAX);
            }
        }
    }

    // ---- Commands

    /// Runs a command on the machine that keeps `key`, appends what comes of it, and returns when that is committed.
    ///
    /// # Errors
    /// This is not the coordinator, it is still loading, or the append failed.
    pub(in crate::broker) async fn run<R>(
        self: &Arc<Self>,
        key: &str,
        now: Now,
        command: impl FnOnce(&mut M) -> (R, Effects<M::Reply, M::Action>),
    ) -> Result<R, ErrorCode> {
        self.run_at(self.partition_of(key), now, command).await
    }

    /// The same, on the machine of a partition.
    ///
    /// # Errors
    /// As [`Coordinator::run`].
    pub(in crate::broker) async fn run_at<R>(
        self: &Arc<Self>,
        partition: i32,
        now: Now,
        command: impl FnOnce(&mut M) -> (R, Effects<M::Reply, M::Action>),
    ) -> Result<R, ErrorCode> {
        let (result, position) = self.step(partition, now, |active| command(&mut active.machine))?;
        self.committed(partition, position).await?;
        Ok(result)
    }

    /// Asks the machine that keeps `key` something.
    ///
    /// # Errors
    /// As [`Coordinator::run`].
    pub(in crate::broker) async fn view<R>(
        self: &Arc<Self>,
        key: &str,
        now: Now,
        question: impl FnOnce(&M) -> R,
    ) -> Result<R, ErrorCode> {
        self.run(key, now, |machine| (question(machine), Effects::default())).await
    }

    /// Runs a command whose answer may come later, and returns with that.
    ///
    /// # Errors
    /// As [`Coordinator::run`]; or the coordinator moved away meanwhile.
    pub(in crate::broker) async fn run_waiting(
        self: &Arc<Self>,
        key: &str,
        now: Now,
        command: impl FnOnce(&mut M, Token) -> Effects<M::Reply, M::Action>,
    ) -> Result<M::Reply, ErrorCode> {
        let partition = self.partition_of(key);
        let (sender, receiver) = oneshot::channel();
        self.step(partition, now, |active| {
            // Requests whose clients have gone away leave nothing behind for long.
            active.waiting.retain(|_, sender| !sender.is_closed());
            let token = Token(active.next_token);
            active.next_token += 1;
            active.waiting.insert(token, sender);
            ((), command(&mut active.machine, token))
        })?;
        let (reply, position) = receiver.await.map_err(|_| ErrorCode::NotCoordinator)?;
        self.committed(partition, position).await?;
        Ok(reply)
    }

    /// Runs a command whose records are part of a producer's transaction. Where the log would not take them the command does not run: a
    /// producer that was replaced must not cost anybody else the machine.
    ///
    /// # Errors
    /// As [`Coordinator::run`]; or the log takes no records of this producer.
    pub(in crate::broker) async fn run_in_transaction<R>(
        self: &Arc<Self>,
        key: &str,
        (producer, verification): (Producer, Verification),
        now: Now,
        command: impl FnOnce(&mut M) -> (R, Effects<M::Reply, M::Action>),
    ) -> Result<R, ErrorCode> {
        let partition = self.partition_of(key);
        let (result, position) =
            self.step(partition, now, |active| match self.log.check_producer(partition, producer, verification) {
                Ok(()) => {
                    let (result, effects) = command(&mut active.machine);
                    (Ok(result), Effects { producer: Some(producer), ..effects })
                }
                Err(error) => (Err(error), Effects::default()),
            })?;
        self.committed(partition, position).await?;
        result
    }

    /// Ends a transaction in a partition: writes its marker and has the machine act on it.
    ///
    /// # Errors
    /// As [`Coordinator::run`].
    pub(in crate::broker) async fn end_transaction(
        self: &Arc<Self>,
        partition: i32,
        marker: &ProducerMarker,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let position = {
            let mut slot = self.ready(partition, now)?;
            let Slot::Active(active) = &mut *slot else { return Err(ErrorCode::CoordinatorNotAvailable) };
            // A marker that was not written ended nothing: the machine has not changed.
            active.written = self.log.append(partition, Entry::Marker(marker), now.wall_ms)?;
            let producer = Producer { id: marker.producer_id.get(), epoch: marker.producer_epoch };
            active.machine.end_transaction(producer, marker.marker.commit, now);
            active.written
        };
        self.committed(partition, position).await
    }

    /// Shows the machines of all partitions that this broker leads to `each`.
    ///
    /// # Errors
    /// A partition is still loading: what could be shown is not all.
    pub(in crate::broker) fn view_all(&self, mut each: impl FnMut(&M)) -> Result<(), ErrorCode> {
        for partition in self.partitions() {
            match self.slot(partition).as_deref() {
                Some(Slot::Active(active)) => each(&active.machine),
                Some(Slot::Loading(_)) => return Err(ErrorCode::CoordinatorLoadInProgress),
                Some(Slot::Idle) | None => {}
            }
        }
        Ok(())
    }

    /// Runs a command on every loaded machine: expiry, deleted topics. Nobody waits for what comes of it.
    pub(in crate::broker) fn run_on_all(
        self: &Arc<Self>,
        now: Now,
        mut command: impl FnMut(&mut M) -> Effects<M::Reply, M::Action>,
    ) {
        for partition in self.partitions() {
            if matches!(self.slot(partition).as_deref(), Some(Slot::Active(_))) {
                // An error was logged where it happened.
                let _ = self.step(partition, now, |active| ((), command(&mut active.machine)));
            }
        }
    }

    /// Returns when all up to a position is committed.
    ///
    /// # Errors
    /// It may never be.
    pub(in crate::broker) async fn committed(&self, partition: i32, position: Position) -> Result<(), ErrorCode> {
        if self.log.is_committed(partition, position) {
            return Ok(());
        }
        self.log.committed(partition, position).await
    }

    /// The slot of a partition that is loaded, as soon as it is.
    fn ready(self: &Arc<Self>, partition: i32, now: Now) -> Result<MutexGuard<'_, Slot<M>>, ErrorCode> {
        if !self.log.is_leader(partition) {
            return Err(ErrorCode::NotCoordinator);
        }
        let mut slot = self.slot(partition).ok_or(ErrorCode::NotCoordinator)?;
        if matches!(*slot, Slot::Idle) {
            if !self.is_loaded_at_once(partition) {
                let this = Arc::clone(self);
                tokio::task::spawn_blocking(move || this.load(partition, now));
                return Err(ErrorCode::CoordinatorLoadInProgress);
            }
            self.load_at_once(&mut slot, partition, now);
        }
        match &*slot {
            Slot::Active(_) => Ok(slot),
            Slot::Loading(_) => Err(ErrorCode::CoordinatorLoadInProgress),
            Slot::Idle => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    /// Runs a command and appends what comes of it; also gives what its answer rests on.
    fn step<R>(
        self: &Arc<Self>,
        partition: i32,
        now: Now,
        command: impl FnOnce(&mut Active<M>) -> (R, Effects<M::Reply, M::Action>),
    ) -> Result<(R, Position), ErrorCode> {
        let mut slot = self.ready(partition, now)?;
        let Slot::Active(active) = &mut *slot else { return Err(ErrorCode::CoordinatorNotAvailable) };
        let before = active.machine.next_deadline();
        let (result, effects) = command(active);
        if let Err(error) = self.take_effect(partition, active, effects, now) {
            give_up(&mut slot, ErrorCode::NotCoordinator);
            return Err(error);
        }
        // A later deadline need not ring: the timer finds out when it wakes.
        let next = active.machine.next_deadline();
        if next.is_some_and(|next| before.is_none_or(|before| next < before)) {
            self.timers.notify_one();
        }
        Ok((result, active.written))
    }

    fn take_effect(
        &self,
        partition: i32,
        active: &mut Active<M>,
        effects: Effects<M::Reply, M::Action>,
        now: Now,
    ) -> Result<(), ErrorCode> {
        if !effects.records.is_empty() {
            let entry = Entry::Records { records: &effects.records, producer: effects.producer };
            active.written = self.log.append(partition, entry, now.wall_ms).inspect_err(|error| {
                let topic = self.log.topic();
                error!(topic, partition, %error, "records can't be written; the coordinator is loaded again");
            })?;
            // Nobody else writes between them: they stand in a row.
            let count = i64::try_from(effects.records.len()).unwrap_or(i64::MAX);
            for (record, offset) in effects.records.iter().zip(active.written.end.get().saturating_sub(count)..) {
                active.machine.placed(record, Offset::new(offset));
            }
        }
        for (token, reply) in effects.replies {
            answer(active, token, reply);
        }
        if !effects.actions.is_empty() {
            (self.act)(partition, effects.actions, active.written);
        }
        Ok(())
    }

    // ---- Time

    /// Wakes machines when something falls due. Runs until dropped; sleeps while there is no deadline.
    pub(in crate::broker) async fn run_timers(self: &Arc<Self>, now: impl Fn() -> Now) {
        loop {
            let mut next: Option<Instant> = None;
            for partition in self.partitions() {
                let mut deadline = self.deadline_of(partition);
                let time = now();
                if deadline.is_some_and(|at| at <= time.steady) {
                    // An error was logged where it happened, and nobody waits for this.
                    let _ = self.step(partition, time, |active| ((), active.machine.advance(time)));
                    deadline = self.deadline_of(partition);
                }
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

    fn deadline_of(&self, partition: i32) -> Option<Instant> {
        match self.slot(partition).as_deref() {
            Some(Slot::Active(active)) => active.machine.next_deadline(),
            _ => None,
        }
    }
}

fn answer<M: Machine>(active: &mut Active<M>, token: Token, reply: M::Reply) {
    if let Some(sender) = active.waiting.remove(&token) {
        // The client may have gone away meanwhile; its session timeout takes care of the rest.
        let _ = sender.send((reply, active.written));
    }
}

fn give_up<M: Machine>(slot: &mut Slot<M>, error: ErrorCode) {
    if let Slot::Active(mut active) = std::mem::replace(slot, Slot::Idle) {
        for (token, reply) in active.machine.resign(error) {
            answer(&mut active, token, reply);
        }
    }
}
