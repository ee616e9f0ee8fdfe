//! Which transactions are open in a partition: up to where its records are stable (KIP-98).
//!
//! A plain state machine, as [`super::producer_state`], whose batches tell it what begins and ends.

use std::collections::BTreeMap;

use crate::types::{Offset, ProducerId};

/// A transaction whose marker is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CompletedTransaction {
    pub(super) producer_id: ProducerId,
    pub(super) first_offset: Offset,
    /// Offset of the marker.
    pub(super) last_offset: Offset,
    pub(super) aborted: bool,
}

/// What some batches do to transactions.
#[derive(Debug, Default)]
pub(super) struct TransactionChanges {
    pub(super) begun: Vec<(Offset, ProducerId)>,
    pub(super) completed: Vec<CompletedTransaction>,
}

/// The transactions that keep readers of committed data back.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Open ones by their first offset.
    open: BTreeMap<Offset, ProducerId>,
    /// Finished ones whose markers are not committed yet: first offset to marker. Readers of committed data must not
    /// pass them, since the marker may still be lost.
    undecided: BTreeMap<Offset, Offset>,
}

impl Transactions {
    /// Notes a transaction that was open when a snapshot was taken.
    pub(super) fn begin(&mut self, first_offset: Offset, producer_id: ProducerId) {
        self.open.insert(first_offset, producer_id);
    }

    /// Takes over what batches that are in the log now have changed.
    pub(super) fn apply(&mut self, changes: &TransactionChanges) {
        for (first, producer_id) in &changes.begun {
            self.open.insert(*first, *producer_id);
        }
        for transaction in &changes.completed {
            self.open.remove(&transaction.first_offset);
            self.undecided.insert(transaction.first_offset, transaction.last_offset);
        }
    }

    /// The first offset that readers of committed data may not read yet.
    pub(super) fn first_unstable_offset(&self) -> Option<Offset> {
        let open = self.open.keys().next();
        let undecided = self.undecided.keys().next();
        open.into_iter().chain(undecided).min().copied()
    }

    /// Where the log is stable up to once `transaction` is over, as the index of aborted transactions has it.
    pub(super) fn stable_offset_after(&self, transaction: &CompletedTransaction) -> Offset {
        let other = self.open.iter().find(|(_, producer_id)| **producer_id != transaction.producer_id);
        other.map_or(transaction.last_offset.plus(1), |(first, _)| *first)
    }

    /// Lets go of finished transactions whose markers lie below the high watermark.
    pub(super) fn high_watermark_moved(&mut self, high_watermark: Offset) {
        if !self.undecided.is_empty() {
            self.undecided.retain(|_, marker| *marker >= high_watermark);
        }
    }
}
