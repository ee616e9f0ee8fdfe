//! The producers of a partition as a replay of its batches gives them.

use std::collections::HashMap;

use super::super::producer_snapshot::SnapshotEntry;
use super::super::producer_state::{Circumstances, ProducerState, Staged};
use super::super::scan::BatchInfo;
use super::super::transactions::CompletedTransaction;
use super::ProducerInSnapshot;
use crate::record::{EndMarker, RecordBatch};

/// The state so far.
#[derive(Debug, Default)]
pub(super) struct Producers {
    state: ProducerState,
    /// Transactions that were open here may have begun before what is known.
    unknown_before: Option<i64>,
    /// Batches could not be read: what is known is not all.
    is_partial: bool,
    /// Producers of which a batch was seen.
    seen: HashMap<i64, i64>,
}

impl Producers {
    /// Begins with a snapshot.
    pub(super) fn load(&mut self, entries: &[ProducerInSnapshot]) {
        let entries: Vec<SnapshotEntry> = entries
            .iter()
            .map(|entry| SnapshotEntry {
                producer_id: entry.producer_id,
                epoch: entry.epoch,
                last_sequence: entry.last_sequence,
                last_offset: entry.last_offset,
                offset_delta: entry.offset_delta,
                timestamp: entry.timestamp,
                coordinator_epoch: entry.coordinator_epoch,
                txn_first_offset: entry.txn_first_offset,
            })
            .collect();
        self.state.load(&entries);
    }

    /// Begins at an offset without knowing what was before.
    pub(super) fn begin_unknown(&mut self, offset: i64) {
        self.unknown_before = (offset > 0).then_some(offset);
    }

    /// Notes that batches could not be read.
    pub(super) fn lose(&mut self) {
        self.is_partial = true;
    }

    /// Whether no producer is known.
    pub(super) fn is_empty(&self) -> bool {
        self.state.is_empty()
    }

    /// Takes a sound batch; gives the transactions that it aborts. `bytes` are wanted of control batches only.
    pub(super) fn take(&mut self, batch: &BatchInfo, bytes: &[u8]) -> Vec<CompletedTransaction> {
        let Some(header) = batch.header.filter(|header| header.has_producer_id()) else { return Vec::new() };
        let marker = if header.attributes.is_control() {
            RecordBatch::new(bytes).ok().and_then(|(batch, _)| EndMarker::of(&batch))
        } else {
            None
        };
        let mut staged = Staged::default();
        if self.state.stage(&mut staged, &header, marker, &Circumstances::replicated(header.max_timestamp)).is_err() {
            return Vec::new();
        }
        let mut aborted = std::mem::take(&mut staged.transactions.completed);
        aborted.retain(|transaction| transaction.aborted);
        self.seen.insert(header.producer_id.get(), batch.last_offset);
        self.state.commit(staged);
        aborted
    }

    /// Whether a transaction may have begun before what is known.
    pub(super) fn may_have_begun_before(&self, offset: i64) -> bool {
        self.unknown_before.is_some_and(|before| offset <= before)
    }

    /// What a snapshot of now says otherwise, if anything.
    ///
    /// Producers are forgotten after a while, and those of deleted segments stay: only what both know is compared.
    pub(super) fn contradiction(&self, entries: &[ProducerInSnapshot], is_compacted: bool) -> Option<String> {
        if self.is_partial {
            return None;
        }
        let by_id: HashMap<i64, &ProducerInSnapshot> = entries.iter().map(|entry| (entry.producer_id, entry)).collect();
        for mine in self.state.entries() {
            let id = mine.producer_id.get();
            let open = mine.txn_first_offset.map_or(-1, |offset| offset.get());
            let Some(entry) = by_id.get(&id) else {
                // An open transaction keeps its producer from being forgotten.
                if open >= 0 && self.seen.contains_key(&id) {
                    return Some(format!("producer {id} is missing, with a transaction open since offset {open}"));
                }
                continue;
            };
            if !self.seen.contains_key(&id) {
                continue;
            }
            if entry.epoch != mine.epoch {
                return Some(format!("producer {id} has epoch {}, in the log {}", entry.epoch, mine.epoch));
            }
            if entry.txn_first_offset != open && !is_compacted && self.unknown_before.is_none() {
                let shown =
                    |offset: i64| if offset < 0 { "none".to_owned() } else { format!("one since offset {offset}") };
                return Some(format!(
                    "producer {id} has {} open, in the log {}",
                    shown(entry.txn_first_offset),
                    shown(open)
                ));
            }
            if let Some(last) = mine.batches().next_back()
                && (entry.last_offset, entry.last_sequence) != (last.last_offset.get(), last.last_sequence)
                && entry.last_offset >= 0
            {
                return Some(format!(
                    "producer {id} ends at offset {} with sequence {}, in the log at {} with {}",
                    entry.last_offset, entry.last_sequence, last.last_offset, last.last_sequence
                ));
            }
        }
        None
    }
}
