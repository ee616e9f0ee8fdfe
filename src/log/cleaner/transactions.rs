//! What a cleaner knows of transactions while it goes through a log: whose records were rolled back, and which markers
//! still have records that need them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::log::txn_index::AbortedTransaction;
use crate::record::{BatchHeader, EndMarker};
use crate::types::{Offset, ProducerId};

/// What becomes of a marker's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// Nothing of the transaction is left, so the marker may go once its time has come.
    Unneeded,
    /// It has records, or it is of another kind.
    Needed,
    /// It ends a transaction that was rolled back and still has batches: the index entry goes on.
    NeededByAborted(AbortedTransaction),
}

#[derive(Debug)]
struct Ongoing {
    transaction: AbortedTransaction,
    has_batches: bool,
}

/// The transactions met so far, and those that are to come.
#[derive(Debug, Default)]
pub(super) struct CleanedTransactions {
    /// Aborted ones by their first offset, the lowest first.
    to_come: BinaryHeap<Reverse<(Offset, Offset, ProducerId, Offset)>>,
    aborted: HashMap<ProducerId, Ongoing>,
    /// Producers whose open transaction has batches and was not rolled back.
    committed: HashSet<ProducerId>,
}

impl CleanedTransactions {
    /// Takes over what the index tells of the part that comes next; one that is known already does no harm.
    pub(super) fn add_aborted(&mut self, transactions: impl IntoIterator<Item = AbortedTransaction>) {
        self.to_come.extend(transactions.into_iter().map(|transaction| {
            let AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset } = transaction;
            Reverse((first_offset, last_offset, producer_id, last_stable_offset))
        }));
    }

    /// Sees a batch of data; says whether its records were rolled back.
    pub(super) fn on_data(&mut self, header: &BatchHeader) -> bool {
        self.begin_up_to(header.last_offset());
        if !header.attributes.is_transactional() {
            return false;
        }
        if let Some(ongoing) = self.aborted.get_mut(&header.producer_id) {
            ongoing.has_batches = true;
            return true;
        }
        self.committed.insert(header.producer_id);
        false
    }

    /// Sees a control batch, with the marker in it if there is one.
    pub(super) fn on_control(&mut self, header: &BatchHeader, marker: Option<EndMarker>) -> Marker {
        self.begin_up_to(header.last_offset());
        match marker {
            // Emptied by an earlier cleaning, which found it unneeded.
            None if header.record_count == 0 => Marker::Unneeded,
            None => Marker::Needed,
            Some(EndMarker { commit: true, .. }) if self.committed.remove(&header.producer_id) => Marker::Needed,
            Some(EndMarker { commit: true, .. }) => Marker::Unneeded,
            Some(EndMarker { commit: false, .. }) => match self.aborted.remove(&header.producer_id) {
                Some(Ongoing { transaction, has_batches: true }) => Marker::NeededByAborted(transaction),
                _ => Marker::Unneeded,
            },
        }
    }

    fn begin_up_to(&mut self, offset: Offset) {
        while self.to_come.peek().is_some_and(|Reverse((first, ..))| *first <= offset) {
            let Some(Reverse((first_offset, last_offset, producer_id, last_stable_offset))) = self.to_come.pop() else {
                return;
            };
            let transaction = AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset };
            self.aborted.entry(producer_id).or_insert(Ongoing { transaction, has_batches: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::test_support::{marker, transactional};
    use crate::record::RecordBatch;

    fn header(bytes: &[u8], offset: i64) -> BatchHeader {
        BatchHeader { base_offset: Offset(offset), ..*RecordBatch::new(bytes).unwrap().0.header() }
    }

    fn data(producer: i64, offset: i64) -> BatchHeader {
        header(&transactional(producer, 0, 0), offset)
    }

    fn end(seen: &mut CleanedTransactions, producer: i64, offset: i64, commit: bool) -> Marker {
        let bytes = marker(producer, 0, commit, 0);
        seen.on_control(&header(&bytes, offset), EndMarker::of(&RecordBatch::new(&bytes).unwrap().0))
    }

    fn aborted(producer: i64, first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(producer),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(last + 1),
        }
    }

    #[test]
    fn records_of_aborted_transactions_go_and_their_markers_stay_until_they_are_gone() {
        let mut seen = CleanedTransactions::default();
        seen.add_aborted([aborted(7, 0, 2), aborted(8, 5, 6)]);
        assert!(seen.on_data(&data(7, 0)));
        assert!(!seen.on_data(&data(8, 1)), "before its aborted transaction");
        assert_eq!(end(&mut seen, 7, 2, false), Marker::NeededByAborted(aborted(7, 0, 2)));
        assert!(!seen.on_data(&data(7, 3)), "its next transaction");
        assert_eq!(end(&mut seen, 7, 4, true), Marker::Needed);
        // The second one's batches are gone.
        assert_eq!(end(&mut seen, 8, 6, false), Marker::Unneeded);
    }

    #[test]
    fn commit_markers_go_with_the_last_batch() {
        let mut seen = CleanedTransactions::default();
        assert!(!seen.on_data(&data(7, 0)));
        assert_eq!(end(&mut seen, 7, 1, true), Marker::Needed);
        assert_eq!(end(&mut seen, 7, 2, true), Marker::Unneeded);
    }

    #[test]
    fn an_index_entry_that_is_told_twice_counts_once() {
        let mut seen = CleanedTransactions::default();
        seen.add_aborted([aborted(7, 0, 3)]);
        assert!(seen.on_data(&data(7, 0)));
        seen.add_aborted([aborted(7, 0, 3)]);
        assert_eq!(end(&mut seen, 7, 3, false), Marker::NeededByAborted(aborted(7, 0, 3)));
        assert!(!seen.on_data(&data(7, 4)));
    }

    #[test]
    fn an_emptied_marker_is_not_needed_and_other_control_batches_are() {
        let mut seen = CleanedTransactions::default();
        let emptied = header(&marker(7, 0, true, 0), 1).emptied();
        assert_eq!(seen.on_control(&emptied, None), Marker::Unneeded);
        assert_eq!(seen.on_control(&header(&marker(7, 0, true, 0), 2), None), Marker::Needed);
    }
}
