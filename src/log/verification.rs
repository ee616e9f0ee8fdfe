//! Which producers are just being verified: before a batch begins a transaction in a partition, its coordinator must say
//! that the partition is in that transaction (KIP-890). Otherwise a batch that was delayed until after its
//! transaction's marker would begin one that nobody ever ends, and readers of committed data would stand still.
//!
//! The coordinator is asked outside of the log. A guard from before the question shows that no marker came in between.

use std::collections::HashMap;

use super::error::AppendError;
use super::producer_state::{MAX_PRODUCERS, ProducerEntry};
use crate::record::BatchHeader;
use crate::types::{ProducerId, TransactionVersion};

/// Names one verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationGuard(u64);

/// What a batch that begins a transaction must show.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Nothing: `transaction.partition.verification.enable` is off, or the batch is no client's doing.
    #[default]
    NotNeeded,
    /// The guard of a verification that has succeeded since; without one it may not begin any.
    Needed(Option<VerificationGuard>),
}

/// Whose transaction is to be verified.
#[derive(Debug, Clone, Copy)]
pub struct VerificationWanted {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub epoch: i16,
    /// First sequence number of the batch.
    pub sequence: i32,
    /// How its transactions work.
    pub version: TransactionVersion,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
}

#[derive(Debug)]
struct Pending {
    guard: VerificationGuard,
    since_ms: i64,
    epoch: i16,
    /// The smallest sequence of all batches that wait: those behind it must not overtake it.
    lowest_sequence: i32,
    version: TransactionVersion,
}

/// The verifications of one partition.
#[derive(Debug, Default)]
pub(super) struct Verifications {
    pending: HashMap<ProducerId, Pending>,
    next: u64,
}

impl Verifications {
    /// Begins one, or joins the one that is under way.
    pub(super) fn begin(&mut self, wanted: &VerificationWanted) -> VerificationGuard {
        if self.pending.len() >= MAX_PRODUCERS && !self.pending.contains_key(&wanted.producer_id) {
            // Those who lose their guard send their batch again.
            self.pending.clear();
        }
        let next = &mut self.next;
        let pending = self.pending.entry(wanted.producer_id).or_insert_with(|| {
            *next += 1;
            Pending {
                guard: VerificationGuard(*next),
                since_ms: wanted.now_ms,
                epoch: wanted.epoch,
                lowest_sequence: wanted.sequence,
                version: wanted.version,
            }
        });
        if wanted.epoch > pending.epoch {
            (pending.epoch, pending.lowest_sequence) = (wanted.epoch, wanted.sequence);
        } else if wanted.epoch == pending.epoch {
            pending.lowest_sequence = pending.lowest_sequence.min(wanted.sequence);
        }
        pending.guard
    }

    /// Whether a batch may begin a transaction.
    pub(super) fn allow(&self, producer_id: ProducerId, verification: Verification) -> bool {
        match verification {
            Verification::NotNeeded => true,
            Verification::Needed(None) => false,
            Verification::Needed(Some(guard)) => {
                self.pending.get(&producer_id).is_some_and(|pending| pending.guard == guard)
            }
        }
    }

    /// The first batch of a transaction is the one with the smallest sequence of those that wait; the very first of a
    /// producer whose epochs grow has number 0.
    pub(super) fn check_sequence(&self, entry: &ProducerEntry, header: &BatchHeader) -> Result<(), AppendError> {
        let Some(pending) = self.pending.get(&header.producer_id) else { return Ok(()) };
        let is_first = entry.batches().next().is_none();
        let first = if pending.version.bumps_epochs() && is_first { 0 } else { pending.lowest_sequence };
        if header.base_sequence > first {
            let (producer_id, found) = (header.producer_id, header.base_sequence);
            return Err(AppendError::OutOfOrderSequence { producer_id, expected: first, found });
        }
        Ok(())
    }

    /// Forgets one: the transaction has begun here, or is over.
    pub(super) fn end(&mut self, producer_id: ProducerId) {
        self.pending.remove(&producer_id);
    }

    /// Forgets those that nothing came of.
    pub(super) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.pending.retain(|_, pending| now_ms.saturating_sub(pending.since_ms) < expiration_ms);
    }
}
