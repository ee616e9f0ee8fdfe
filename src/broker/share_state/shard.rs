//! The states of one partition of `__share_group_state`, and every command on them: pure.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::time::Instant;

use super::SharePartitionKey;
use super::batch::{StateBatch, combine};
use super::records::{self, Event, Update};
use crate::broker::coordinator::{self, Machine, MalformedRecord, Now, Producer, Record, Token};
use crate::protocol::ErrorCode;
use crate::types::{Offset, Uuid};

/// What a step leads to: records alone, since nobody waits here.
pub(super) type Effects = coordinator::Effects<Infallible>;

/// The leader epoch of a state that no leader has read yet.
const NO_LEADER_YET: i32 = 0;

/// Stands for "as before", or "not to be checked".
const UNCHANGED: i32 = -1;

/// A batch of states within a record.
const BATCH_RECORD_BYTES: usize = 20;

/// More than what is in a record besides its group's id and batches.
const AROUND_BATCHES_BYTES: usize = 128;

/// The broker's settings for these states.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct ShareStateConfig {
    /// `share.coordinator.snapshot.update.records.per.snapshot`
    pub(in crate::broker) updates_per_snapshot: u32,
    /// `share.coordinator.cold.partition.snapshot.interval.ms`
    pub(in crate::broker) cold_interval_ms: i64,
    /// Largest record that the log takes: what would not fit is refused before anything changes.
    pub(in crate::broker) max_record_bytes: usize,
}

/// What is known of a share-partition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) snapshot_epoch: i32,
    /// Which incarnation of the share-partition's state this is: the group coordinator counts them.
    pub(super) state_epoch: i32,
    /// The newest leader that has read it.
    pub(super) leader_epoch: i32,
    /// The first offset that is not done with; -1 as long as nobody has said.
    pub(super) start_offset: i64,
    /// Records from the start offset on that are done with; -1 if that is not known.
    pub(super) delivery_complete_count: i32,
    /// When the state was last written because somebody changed it.
    pub(super) created_ms: i64,
    /// When the snapshot was written.
    pub(super) written_ms: i64,
    pub(super) batches: Vec<StateBatch>,
    /// Updates since the snapshot.
    pub(super) updates: u32,
}

impl Held {
    fn apply(&mut self, update: &Update) {
        if update.start_offset != -1 {
            self.start_offset = update.start_offset;
        }
        if update.leader_epoch != UNCHANGED {
            self.leader_epoch = update.leader_epoch;
        }
        self.delivery_complete_count = update.delivery_complete_count;
        self.batches = combine(&self.batches, &update.batches, self.start_offset);
        self.updates = self.updates.saturating_add(1);
    }

    /// Written again although nothing had changed, so that the log's beginning can go.
    fn is_cold(&self) -> bool {
        self.created_ms != self.written_ms && self.updates == 0
    }
}

/// Why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct Refused {
    pub(in crate::broker) error: ErrorCode,
    /// In Kafka's words; without them, the error's own.
    pub(in crate::broker) message: Option<&'static str>,
}

impl From<ErrorCode> for Refused {
    fn from(error: ErrorCode) -> Self {
        Self { error, message: None }
    }
}

/// InitializeShareGroupState, of one share-partition.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Initialize {
    pub(in crate::broker) state_epoch: i32,
    pub(in crate::broker) start_offset: i64,
}

/// WriteShareGroupState, of one share-partition.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Write {
    pub(in crate::broker) state_epoch: i32,
    pub(in crate::broker) leader_epoch: i32,
    pub(in crate::broker) start_offset: i64,
    pub(in crate::broker) delivery_complete_count: i32,
    pub(in crate::broker) batches: Vec<StateBatch>,
}

/// What ReadShareGroupState tells.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::broker) struct Read {
    pub(in crate::broker) state_epoch: i32,
    pub(in crate::broker) start_offset: i64,
    pub(in crate::broker) batches: Vec<StateBatch>,
}

/// What ReadShareGroupStateSummary tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct Summary {
    pub(in crate::broker) state_epoch: i32,
    pub(in crate::broker) leader_epoch: i32,
    pub(in crate::broker) start_offset: i64,
    pub(in crate::broker) delivery_complete_count: i32,
}

impl Summary {
    /// Of a share-partition that nothing is known of.
    const NOTHING: Self = Self { state_epoch: 0, leader_epoch: 0, start_offset: -1, delivery_complete_count: -1 };
}

/// The states of one partition of `__share_group_state`.
#[derive(Debug)]
pub(in crate::broker) struct ShareStateShard {
    partition: i32,
    config: ShareStateConfig,
    states: BTreeMap<SharePartitionKey, Held>,
    /// Where the newest snapshot of each stands: all before the first of them says nothing new.
    snapshots: BTreeMap<SharePartitionKey, Offset>,
    /// The offset after the last record.
    end: Offset,
}

impl ShareStateShard {
    pub(in crate::broker) fn new(partition: i32, config: ShareStateConfig) -> Self {
        let (states, snapshots) = (BTreeMap::new(), BTreeMap::new());
        Self { partition, config, states, snapshots, end: Offset::ZERO }
    }

    /// The number of the partition.
    pub(in crate::broker) fn partition(&self) -> i32 {
        self.partition
    }

    /// Begins the state of a share-partition, or begins it anew with a higher state epoch.
    ///
    /// # Errors
    /// `FENCED_STATE_EPOCH`: a newer one has begun.
    pub(in crate::broker) fn initialize(
        &mut self,
        key: &SharePartitionKey,
        wanted: Initialize,
        now: Now,
    ) -> Result<Effects, Refused> {
        check_partition(key)?;
        let before = self.states.get(key);
        if wanted.state_epoch != UNCHANGED && before.is_some_and(|held| held.state_epoch > wanted.state_epoch) {
            return Err(ErrorCode::FencedStateEpoch.into());
        }
        let held = Held {
            snapshot_epoch: before.map_or(0, |held| held.snapshot_epoch.wrapping_add(1)),
            state_epoch: wanted.state_epoch,
            leader_epoch: NO_LEADER_YET,
            start_offset: wanted.start_offset,
            delivery_complete_count: if wanted.start_offset == -1 { -1 } else { 0 },
            created_ms: now.wall_ms,
            written_ms: now.wall_ms,
            batches: Vec::new(),
            updates: 0,
        };
        if records::snapshot(key, Some(&held)).size() > self.config.max_record_bytes {
            return Err(ErrorCode::UnknownServerError.into());
        }
        Ok(self.take_snapshot(key, held))
    }

    /// Gives a state to the leader of its partition, and remembers that leader: an older one may no longer write.
    ///
    /// # Errors
    /// The state was not initialized, or a newer leader has read it.
    pub(in crate::broker) fn read(
        &mut self,
        key: &SharePartitionKey,
        leader_epoch: i32,
        now: Now,
    ) -> Result<(Read, Effects), Refused> {
        check_partition(key)?;
        let Some(held) = self.states.get(key) else {
            let message = Some("Read operation on uninitialized share partition not allowed.");
            return Err(Refused { error: ErrorCode::InvalidRequest, message });
        };
        if leader_epoch != UNCHANGED && held.leader_epoch > leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch.into());
        }
        let read =
            Read { state_epoch: held.state_epoch, start_offset: held.start_offset, batches: held.batches.clone() };
        if leader_epoch == UNCHANGED || held.leader_epoch == leader_epoch {
            return Ok((read, Effects::default()));
        }
        let update = Update {
            snapshot_epoch: held.snapshot_epoch,
            leader_epoch,
            start_offset: held.start_offset,
            delivery_complete_count: held.delivery_complete_count,
            batches: Vec::new(),
        };
        let effects = self.change(key, update, now);
        Ok((read, effects))
    }

    /// Takes over what a leader tells of its share-partition.
    ///
    /// # Errors
    /// The state was not initialized, or the writer is not the newest leader, or writes of an older incarnation.
    pub(in crate::broker) fn write(
        &mut self,
        key: &SharePartitionKey,
        write: Write,
        now: Now,
    ) -> Result<Effects, Refused> {
        check_partition(key)?;
        let Some(held) = self.states.get(key) else {
            let message = Some("Write operation on uninitialized share partition not allowed.");
            return Err(Refused { error: ErrorCode::InvalidRequest, message });
        };
        if write.leader_epoch != UNCHANGED && held.leader_epoch > write.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch.into());
        }
        if write.state_epoch != UNCHANGED && held.state_epoch > write.state_epoch {
            return Err(ErrorCode::FencedStateEpoch.into());
        }
        let update = Update {
            snapshot_epoch: held.snapshot_epoch,
            // A leader makes itself known by reading, not by writing.
            leader_epoch: held.leader_epoch,
            start_offset: write.start_offset,
            delivery_complete_count: write.delivery_complete_count,
            batches: combine(&[], &write.batches, write.start_offset),
        };
        self.check_size(key, held, &update)?;
        Ok(self.change(key, update, now))
    }

    /// Whether the log takes a state with an update in it: both are one record.
    ///
    /// # Errors
    /// It does not.
    fn check_size(&self, key: &SharePartitionKey, held: &Held, update: &Update) -> Result<(), Refused> {
        // Where batches overlap each may become three.
        let most = held.batches.len().saturating_add(update.batches.len().saturating_mul(3));
        let estimate = most.saturating_mul(BATCH_RECORD_BYTES).saturating_add(key.group.len());
        if estimate.saturating_add(AROUND_BATCHES_BYTES) <= self.config.max_record_bytes {
            return Ok(());
        }
        let mut next = held.clone();
        next.apply(update);
        let size = records::snapshot(key, Some(&next)).size().max(records::update(key, update).size());
        if size > self.config.max_record_bytes { Err(ErrorCode::UnknownServerError.into()) } else { Ok(()) }
    }

    /// Ends a share-partition's state; that there was none is fine.
    ///
    /// # Errors
    /// The key makes no sense.
    pub(in crate::broker) fn delete(&mut self, key: &SharePartitionKey) -> Result<Effects, Refused> {
        check_partition(key)?;
        Ok(self.forget([key.clone()]))
    }

    /// How far a share-partition is.
    ///
    /// # Errors
    /// The key makes no sense.
    pub(in crate::broker) fn summary(&self, key: &SharePartitionKey) -> Result<Summary, Refused> {
        check_partition(key)?;
        Ok(self.states.get(key).map_or(Summary::NOTHING, |held| Summary {
            state_epoch: held.state_epoch,
            leader_epoch: held.leader_epoch,
            start_offset: held.start_offset,
            delivery_complete_count: held.delivery_complete_count,
        }))
    }

    /// Forgets the states of topics that were deleted.
    pub(in crate::broker) fn forget_topics(&mut self, topics: &HashSet<Uuid>) -> Effects {
        let keys: Vec<_> = self.states.keys().filter(|key| topics.contains(&key.topic_id)).cloned().collect();
        self.forget(keys)
    }

    /// Writes snapshots of what has not been written for long, so that the log's beginning can be deleted. As long as nothing at all
    /// changes there is nothing to be gained.
    pub(in crate::broker) fn snapshot_cold(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        if self.states.values().all(Held::is_cold) {
            return effects;
        }
        let due = |held: &Held| now.wall_ms.saturating_sub(held.written_ms) >= self.config.cold_interval_ms;
        let keys: Vec<_> = self.states.iter().filter(|(_, held)| due(held)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(held) = self.states.get_mut(&key) {
                held.snapshot_epoch = held.snapshot_epoch.wrapping_add(1);
                held.written_ms = now.wall_ms;
                held.updates = 0;
                effects.records.push(records::snapshot(&key, Some(held)));
            }
        }
        effects
    }

    /// All before this offset of the log is told again after it; `None` if that is nothing.
    pub(in crate::broker) fn redundant_before(&self) -> Option<Offset> {
        let first = self.snapshots.values().min().copied().unwrap_or(self.end);
        Some(first).filter(|offset| *offset > Offset::ZERO)
    }

    /// All that it knows, for tests.
    #[cfg(test)]
    pub(super) fn known(&self) -> (&BTreeMap<SharePartitionKey, Held>, &BTreeMap<SharePartitionKey, Offset>) {
        (&self.states, &self.snapshots)
    }

    fn forget(&mut self, keys: impl IntoIterator<Item = SharePartitionKey>) -> Effects {
        let mut effects = Effects::default();
        for key in keys {
            if self.states.remove(&key).is_some() {
                effects.records.push(records::snapshot(&key, None));
            }
        }
        effects
    }

    /// Takes an update over; as a snapshot when there were enough updates since the last one.
    fn change(&mut self, key: &SharePartitionKey, update: Update, now: Now) -> Effects {
        let mut effects = Effects::default();
        let limit = self.config.updates_per_snapshot;
        if let Some(held) = self.states.get_mut(key) {
            let is_due = held.updates >= limit;
            held.apply(&update);
            if !is_due {
                effects.records.push(records::update(key, &update));
                return effects;
            }
            let held = Held {
                snapshot_epoch: held.snapshot_epoch.wrapping_add(1),
                created_ms: now.wall_ms,
                written_ms: now.wall_ms,
                updates: 0,
                ..held.clone()
            };
            return self.take_snapshot(key, held);
        }
        effects
    }

    fn take_snapshot(&mut self, key: &SharePartitionKey, held: Held) -> Effects {
        let records = vec![records::snapshot(key, Some(&held))];
        self.states.insert(key.clone(), held);
        Effects { records, ..Effects::default() }
    }
}

fn check_partition(key: &SharePartitionKey) -> Result<(), Refused> {
    if key.partition < 0 {
        let message = Some("The partition id cannot be a negative number.");
        return Err(Refused { error: ErrorCode::InvalidRequest, message });
    }
    Ok(())
}

impl Machine for ShareStateShard {
    type Reply = Infallible;
    type Action = Infallible;

    fn replay(&mut self, record: &Record, _producer: Option<Producer>, _now: Now) -> Result<(), MalformedRecord> {
        match records::read(record)? {
            Event::Snapshot(key, Some(held)) => {
                self.states.insert(key, held);
            }
            Event::Snapshot(key, None) => {
                self.states.remove(&key);
            }
            Event::Update(key, update) => match self.states.get_mut(&key) {
                Some(held) => held.apply(&update),
                // Its snapshot is lost; what is left of it is better than nothing.
                None => {
                    let mut held = Held {
                        snapshot_epoch: update.snapshot_epoch,
                        state_epoch: 0,
                        leader_epoch: NO_LEADER_YET,
                        start_offset: -1,
                        delivery_complete_count: -1,
                        created_ms: 0,
                        written_ms: 0,
                        batches: Vec::new(),
                        updates: 0,
                    };
                    held.apply(&update);
                    self.states.insert(key, held);
                }
            },
            Event::Other => {}
        }
        Ok(())
    }

    fn placed(&mut self, record: &Record, offset: Offset) {
        self.end = self.end.max(offset.plus(1));
        match records::read(record) {
            Ok(Event::Snapshot(key, Some(_))) => {
                self.snapshots.insert(key, offset);
            }
            Ok(Event::Snapshot(key, None)) => {
                self.snapshots.remove(&key);
            }
            Ok(Event::Update(key, _)) => {
                self.snapshots.entry(key).or_insert(offset);
            }
            Ok(Event::Other) | Err(_) => {}
        }
    }

    fn end_transaction(&mut self, _producer: Producer, _committed: bool, _now: Now) {}

    fn loaded(&mut self, _now: Now) -> Effects {
        Effects::default()
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn advance(&mut self, _now: Now) -> Effects {
        Effects::default()
    }

    fn resign(&mut self, _error: ErrorCode) -> Vec<(Token, Infallible)> {
        Vec::new()
    }
}
