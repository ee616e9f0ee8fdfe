//! Which transactions are open in a partition: up to where its records are stable (KIP-98).
//!
//! A plain state machine, as [`super::producer_state`], whose batches tell it what begins and ends.

use std::collections::BTreeMap;

use crate::record::RecordBatch;
use crate::types::{Offset, ProducerId};

/// The end of a transaction, from the record of its marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndMarker {
    /// Whether its records count.
    pub commit: bool,
    /// Epoch of the transaction coordinator that wrote it.
    pub coordinator_epoch: i32,
}

impl EndMarker {
    /// Reads the marker in a control batch; `None` if it is a control batch of another kind.
    ///
    /// Key: version i16, type i16 (0 abort, 1 commit). Value: version i16, coordinator epoch i32.
    #[must_use]
    pub fn of(batch: &RecordBatch<'_>) -> Option<Self> {
        if !batch.header().attributes.is_control() {
            return None;
        }
        // Control batches are never compressed, so that there is nothing to decompress.
        let mut unused = Vec::new();
        let record = batch.records(&mut unused, 0).ok()?.next()?.ok()?;
        let kind = record.key?.get(2..4)?;
        let epoch = record.value?.get(2..6)?.first_chunk::<4>()?;
        let commit = match kind {
            [0, 0] => false,
            [0, 1] => true,
            _ => return None,
        };
        Some(Self { commit, coordinator_epoch: i32::from_be_bytes(*epoch) })
    }
}

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
