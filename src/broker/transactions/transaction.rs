//! What is known of one transactional id: its producer, and the transaction that is under way or over.

use std::collections::BTreeSet;

use crate::record::NO_PRODUCER_EPOCH;
use crate::types::{ProducerId, TopicPartition, TransactionVersion};

/// Where a transaction stands.
///
/// | To | From |
/// |---|---|
/// | Empty | Empty, CompleteCommit, CompleteAbort: InitProducerId |
/// | Ongoing | Ongoing, Empty, CompleteCommit, CompleteAbort: a partition joins |
/// | PrepareCommit | Ongoing |
/// | PrepareAbort | Ongoing; with KIP-890 also Empty, CompleteCommit, CompleteAbort |
/// | CompleteCommit, CompleteAbort | the same Prepare, when all markers are written |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::broker) enum State {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Its number in the log.
    pub(super) fn id(self) -> i8 {
        match self {
            Self::Empty => 0,
            Self::Ongoing => 1,
            Self::PrepareCommit => 2,
            Self::PrepareAbort => 3,
            Self::CompleteCommit => 4,
            Self::CompleteAbort => 5,
        }
    }

    pub(super) fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }

    /// Its name in answers.
    pub(in crate::broker) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether Kafka knows a state of this name, also one that no transaction stays in.
    pub(in crate::broker) fn is_name(name: &str) -> bool {
        matches!(name, "Dead" | "PrepareEpochFence") || Self::ALL.into_iter().any(|state| state.name() == name)
    }

    /// The end is decided, and markers are being written.
    pub(super) fn is_ending(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// The largest epoch that a producer gets; the one above it is for fencing it.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// Whether a producer with this epoch needs a new id before the epoch can grow.
pub(super) fn is_exhausted(epoch: i16) -> bool {
    epoch >= LAST_EPOCH
}

/// All that is known of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Transaction {
    /// The producer that has it.
    pub(in crate::broker) producer_id: ProducerId,
    /// The producer's id before the last change.
    pub(super) previous_producer_id: ProducerId,
    /// The id that the producer gets when the markers are written, since its epochs are used up.
    pub(super) next_producer_id: ProducerId,
    pub(in crate::broker) producer_epoch: i16,
    /// The epoch before it grew last: that of a request which is sent again. -1 if that can't be.
    pub(super) last_producer_epoch: i16,
    pub(in crate::broker) timeout_ms: i32,
    pub(in crate::broker) state: State,
    /// Invariant: empty but in Ongoing and Prepare.
    pub(in crate::broker) partitions: BTreeSet<TopicPartition>,
    /// When the transaction began; -1 before the first.
    pub(in crate::broker) start_ms: i64,
    pub(super) last_update_ms: i64,
    /// How the client that changed it last has its transactions.
    pub(super) client_version: TransactionVersion,
}

impl Transaction {
    /// A transactional id that was never seen before.
    pub(super) fn new(producer_id: ProducerId, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_id,
            previous_producer_id: ProducerId::NONE,
            next_producer_id: ProducerId::NONE,
            producer_epoch: NO_PRODUCER_EPOCH,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            start_ms: -1,
            last_update_ms: now_ms,
            client_version: TransactionVersion::V0,
        }
    }

    /// The same in another state. Each change notes the id that the producer has had until then.
    fn changed(&self, state: State, now_ms: i64) -> Self {
        Self { state, previous_producer_id: self.producer_id, last_update_ms: now_ms, ..self.clone() }
    }

    /// A producer is ready to begin with this id and epoch.
    pub(super) fn initialized(
        &self,
        producer_id: ProducerId,
        (epoch, last_epoch): (i16, i16),
        timeout_ms: i32,
        now_ms: i64,
    ) -> Self {
        Self {
            producer_id,
            producer_epoch: epoch,
            last_producer_epoch: last_epoch,
            timeout_ms,
            partitions: BTreeSet::new(),
            start_ms: -1,
            ..self.changed(State::Empty, now_ms)
        }
    }

    /// More partitions are in the transaction, the first of which begin it.
    pub(super) fn joined(&self, more: &[TopicPartition], version: TransactionVersion, now_ms: i64) -> Self {
        let mut next = self.changed(State::Ongoing, now_ms);
        if self.state != State::Ongoing {
            next.start_ms = now_ms;
        }
        next.partitions.extend(more.iter().cloned());
        next.client_version = version;
        next
    }

    /// The end is decided. `next_id`: for a producer whose epochs are used up.
    pub(super) fn ending(&self, commit: bool, version: TransactionVersion, next_id: ProducerId, now_ms: i64) -> Self {
        let mut next = self.changed(if commit { State::PrepareCommit } else { State::PrepareAbort }, now_ms);
        if version.bumps_epochs() {
            // Markers carry the new epoch, so that whatever is late of this transaction is fenced by them.
            next.producer_epoch = self.producer_epoch.saturating_add(1);
            next.last_producer_epoch = self.producer_epoch;
        }
        if self.state != State::Ongoing {
            // Nothing was ever written in it; it needs a beginning all the same.
            next.start_ms = now_ms;
        }
        next.next_producer_id = next_id;
        next.client_version = version;
        next
    }

    /// All markers are written.
    pub(super) fn completed(&self, now_ms: i64) -> Self {
        let commit = self.state == State::PrepareCommit;
        let mut next = self.changed(if commit { State::CompleteCommit } else { State::CompleteAbort }, now_ms);
        if self.client_version.bumps_epochs() && self.next_producer_id != ProducerId::NONE {
            next.producer_id = self.next_producer_id;
            next.producer_epoch = 0;
        }
        next.next_producer_id = ProducerId::NONE;
        next.partitions = BTreeSet::new();
        next
    }

    /// When it is aborted, if it is under way: never, if it has the timeout that stands for two-phase commit (KIP-939).
    pub(super) fn times_out_ms(&self) -> Option<i64> {
        let is_timed = self.state == State::Ongoing && self.timeout_ms != i32::MAX;
        is_timed.then(|| self.start_ms.saturating_add(i64::from(self.timeout_ms)))
    }
}
