//! What waits for one partition: batches, the last one open, and the sequence numbers that they will get.

use std::collections::VecDeque;

use super::batch::{Batch, Identity, Sequence};
use super::options::ProducerOptions;
use crate::record::NewRecord;
use crate::types::PartitionId;

/// Room that the first batch of a partition gets before its records are there; it grows up to `batch.size`.
const FIRST_CAPACITY: usize = 1 << 10;

/// Place of a partition's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct QueueId {
    pub(super) topic: usize,
    pub(super) partition: usize,
}

impl QueueId {
    /// The partition's number.
    pub(super) fn partition_id(self) -> PartitionId {
        PartitionId(i32::try_from(self.partition).unwrap_or(i32::MAX))
    }
}

/// The producer id that batches are sent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdentityState {
    /// Batches carry none.
    Off,
    /// A broker has to give one.
    Wanted,
    /// This one.
    Known(Identity),
}

#[derive(Debug)]
pub(super) struct PartitionQueue {
    pub(super) id: PartitionId,
    pub(super) batches: VecDeque<Batch>,
    /// `order` of the batches that are in flight.
    pub(super) in_flight: Vec<u64>,
    /// Records so far.
    pub(super) appended: u64,
    /// Size of the newest batch: the next one will be about as large.
    pub(super) newest_size: usize,
    /// Whether it is in `active`.
    pub(super) listed: bool,
    identity: Option<Identity>,
    next_sequence: i32,
    /// A batch with a sequence number may be lost: those after it would not fit, so the numbers start anew.
    pub(super) needs_new_epoch: bool,
}

impl PartitionQueue {
    pub(super) fn new(id: PartitionId) -> Self {
        Self {
            id,
            batches: VecDeque::new(),
            in_flight: Vec::new(),
            appended: 0,
            newest_size: FIRST_CAPACITY,
            listed: false,
            identity: None,
            next_sequence: 0,
            needs_new_epoch: false,
        }
    }

    /// Whether nothing waits here or is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.in_flight.is_empty()
    }

    /// Whether a batch before `order` is not done with yet.
    pub(super) fn has_earlier_than(&self, order: u64) -> bool {
        self.in_flight.iter().any(|other| *other < order) || self.batches.front().is_some_and(|b| b.order < order)
    }

    pub(super) fn landed(&mut self, order: u64) {
        self.in_flight.retain(|other| *other != order);
    }

    pub(super) fn start_new_epoch(&mut self) {
        self.needs_new_epoch = true;
    }

    /// Gives the front batch its sequence number. `false`: not now.
    pub(super) fn number_front(&mut self, state: &mut IdentityState, transactional: bool) -> bool {
        let IdentityState::Known(current) = state else { return *state == IdentityState::Off };
        if self.needs_new_epoch {
            if !self.in_flight.is_empty() {
                return false;
            }
            if self.identity == Some(*current) && transactional {
                return false; // The end of the transaction brings another one.
            }
            if self.identity == Some(*current) {
                // The epoch of a producer without transactions is its own to raise (KIP-360).
                let Some(epoch) = current.epoch.checked_add(1) else {
                    *state = IdentityState::Wanted;
                    return false;
                };
                current.epoch = epoch;
            }
            self.needs_new_epoch = false;
            self.restart(*current);
        } else if self.identity != Some(*current)
            && self.in_flight.is_empty()
            && self.batches.iter().all(|batch| batch.sequence.is_none())
        {
            self.restart(*current);
        }
        let (Some(identity), Some(front)) = (self.identity, self.batches.front_mut()) else { return false };
        if front.sequence.is_none() {
            front.sequence = Some(Sequence { identity, first: self.next_sequence });
            self.next_sequence = Sequence::number_after(self.next_sequence, front.records);
        }
        true
    }

    /// Bytes that a record would add to the open batch; `None` if it has to begin another one. `limit`: of a batch.
    pub(super) fn room_for(&self, record: &NewRecord<'_>, limit: usize) -> Option<usize> {
        let open = self.batches.back()?;
        let added = open.size_of_next(record)?;
        (open.size + added <= limit).then_some(added)
    }

    /// Lets the open batch leave as it is; says whether there was one.
    pub(super) fn complete_open(&mut self) -> bool {
        self.batches.back_mut().is_some_and(|open| !std::mem::replace(&mut open.full, true))
    }

    fn restart(&mut self, identity: Identity) {
        self.identity = Some(identity);
        self.next_sequence = 0;
        for batch in &mut self.batches {
            batch.sequence = None;
        }
    }

    pub(super) fn insert_in_order(&mut self, batch: Batch) {
        let at = self.batches.partition_point(|other| other.order < batch.order);
        self.batches.insert(at, batch);
    }

    /// Brokers remember five batches of a producer and partition; more in flight could not be told from duplicates.
    pub(super) fn may_fly(&self, options: &ProducerOptions) -> bool {
        const REMEMBERED: usize = 5;
        !options.idempotence || self.in_flight.len() < REMEMBERED
    }
}
