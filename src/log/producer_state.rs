//! What a partition remembers of its idempotent and transactional producers (KIP-98): enough to know a batch that was
//! sent twice, to notice a gap, and to fence a producer that was replaced.
//!
//! A plain state machine: batches go in, verdicts come out; reads and writes nothing. Replaying the log gives the same
//! state. Per producer it keeps the last five batches, since a client has at most five requests in flight.

use std::collections::HashMap;

use super::error::AppendError;
use super::producer_snapshot::SnapshotEntry;
use super::transactions::{CompletedTransaction, TransactionChanges};
use super::verification::{Verification, VerificationGuard, VerificationWanted, Verifications};
use crate::record::{BatchHeader, EndMarker, NO_PRODUCER_EPOCH, NO_SEQUENCE};
use crate::types::{Offset, ProducerId, TransactionVersion};

/// Batches remembered per producer: Kafka's limit of `max.in.flight.requests.per.connection` with idempotence.
const REMEMBERED_BATCHES: usize = 5;

/// Producers remembered per partition, some 25 MB of them. Clients can ask for as many ids as they like; above this the
/// longest idle ones are forgotten before their time.
pub(super) const MAX_PRODUCERS: usize = 100_000;

/// Who brings the batches.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer, which may repeat itself or leave something out.
    #[default]
    Client,
    /// A coordinator or controller of this broker, which numbers nothing.
    Coordinator,
    /// The leader, which has checked, or the log itself when it is replayed.
    Replication,
}

/// A batch of a producer that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Sequence number of its last record.
    pub last_sequence: i32,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Last offset less first offset; as many sequence numbers lie between first and last.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: i64,
}

impl ProducerBatch {
    /// Sequence number of its first record.
    #[must_use]
    pub const fn first_sequence(&self) -> i32 {
        // Sequence numbers wrap from 2^31-1 to 0, so they count modulo 2^31.
        self.last_sequence.wrapping_sub(self.offset_delta) & i32::MAX
    }

    /// Offset of its first record.
    #[must_use]
    pub const fn first_offset(&self) -> Offset {
        Offset(self.last_offset.0 - self.offset_delta as i64)
    }
}

/// What is known of one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerEntry {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its newest epoch.
    pub epoch: i16,
    /// Epoch of the coordinator that wrote its last marker; -1 before the first.
    pub coordinator_epoch: i32,
    /// Largest timestamp of the last batch.
    pub last_timestamp: i64,
    /// When the last batch was appended, by the broker's clock, as far as that is known.
    pub last_append_ms: i64,
    /// Where its open transaction began.
    pub txn_first_offset: Option<Offset>,
    /// Invariant: those from `batch_count` on mean nothing. Oldest first.
    batches: [Option<ProducerBatch>; REMEMBERED_BATCHES],
}

impl ProducerEntry {
    fn new(producer_id: ProducerId) -> Self {
        Self {
            producer_id,
            epoch: NO_PRODUCER_EPOCH,
            coordinator_epoch: -1,
            last_timestamp: -1,
            last_append_ms: -1,
            txn_first_offset: None,
            batches: [None; REMEMBERED_BATCHES],
        }
    }

    /// The batches remembered, oldest first.
    pub fn batches(&self) -> impl DoubleEndedIterator<Item = &ProducerBatch> {
        self.batches.iter().flatten()
    }

    /// Sequence number of its last record; -1 if none is remembered.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        self.batches().next_back().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    /// Whether it has a transaction open in this epoch.
    fn is_within_transaction(&self, epoch: i16) -> bool {
        self.txn_first_offset.is_some() && self.epoch == epoch
    }

    fn duplicate_of(&self, header: &BatchHeader) -> Option<ProducerBatch> {
        if header.producer_epoch != self.epoch {
            return None;
        }
        let (first, last) = (header.base_sequence, header.last_sequence());
        self.batches().find(|batch| batch.first_sequence() == first && batch.last_sequence == last).copied()
    }

    fn set_epoch(&mut self, epoch: i16) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.batches = [None; REMEMBERED_BATCHES];
        }
    }

    fn push(&mut self, batch: ProducerBatch) {
        if self.batches.iter().all(Option::is_some) {
            self.batches.rotate_left(1);
            self.batches[REMEMBERED_BATCHES - 1] = None;
        }
        if let Some(free) = self.batches.iter_mut().find(|place| place.is_none()) {
            *free = Some(batch);
        }
    }

    /// As it stands in a snapshot.
    ///
    /// The timestamp is when the batch was appended, not that of its records: Kafka, and this log, forget producers by
    /// it, and records may be as old as their producer likes.
    pub(super) fn to_snapshot(&self) -> SnapshotEntry {
        let last = self.batches().next_back();
        SnapshotEntry {
            producer_id: self.producer_id.0,
            epoch: self.epoch,
            last_sequence: last.map_or(NO_SEQUENCE, |batch| batch.last_sequence),
            last_offset: last.map_or(-1, |batch| batch.last_offset.0),
            offset_delta: last.map_or(0, |batch| batch.offset_delta),
            timestamp: self.last_append_ms,
            coordinator_epoch: self.coordinator_epoch,
            txn_first_offset: self.txn_first_offset.map_or(-1, Offset::get),
        }
    }

    fn from_snapshot(entry: &SnapshotEntry) -> Self {
        let mut producer = Self::new(ProducerId(entry.producer_id));
        producer.epoch = entry.epoch;
        producer.coordinator_epoch = entry.coordinator_epoch;
        producer.last_timestamp = entry.timestamp;
        producer.last_append_ms = entry.timestamp;
        producer.txn_first_offset = (entry.txn_first_offset >= 0).then_some(Offset(entry.txn_first_offset));
        if entry.last_offset >= 0 && entry.last_sequence >= 0 && entry.offset_delta >= 0 {
            producer.push(ProducerBatch {
                last_sequence: entry.last_sequence,
                last_offset: Offset(entry.last_offset),
                offset_delta: entry.offset_delta,
                timestamp: entry.timestamp,
            });
        }
        producer
    }
}

/// How a batch is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    pub(super) origin: AppendOrigin,
    /// When it is appended.
    pub(super) append_ms: i64,
    /// What a batch that begins a transaction here must show.
    pub(super) verification: Verification,
    /// How the transaction works that a marker ends.
    pub(super) marker_version: TransactionVersion,
}

impl Circumstances {
    /// Those of a batch that was checked before.
    pub(super) fn replicated(append_ms: i64) -> Self {
        Self {
            origin: AppendOrigin::Replication,
            append_ms,
            verification: Verification::NotNeeded,
            marker_version: TransactionVersion::V0,
        }
    }
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(super) struct ProducerState {
    producers: HashMap<ProducerId, ProducerEntry>,
    verifications: Verifications,
}

/// The changes that some batches make to the state; nothing happens until [`ProducerState::commit`], so a batch that is
/// refused or can't be written leaves no trace.
#[derive(Debug, Default)]
pub(super) struct Staged {
    entries: Vec<ProducerEntry>,
    /// Producers whose transactions have begun or ended here: whatever was being verified is decided.
    verified: Vec<ProducerId>,
    /// What becomes of transactions.
    pub(super) transactions: TransactionChanges,
}

impl ProducerState {
    /// The producers known.
    pub(super) fn entries(&self) -> impl ExactSizeIterator<Item = &ProducerEntry> {
        self.producers.values()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Forgets everything, then takes over a snapshot.
    pub(super) fn load(&mut self, entries: &[SnapshotEntry]) {
        let producers = entries.iter().map(ProducerEntry::from_snapshot);
        self.producers = producers.map(|producer| (producer.producer_id, producer)).collect();
    }

    /// The batch in the log that this one repeats.
    pub(super) fn duplicate_of(&self, header: &BatchHeader) -> Option<ProducerBatch> {
        self.producers.get(&header.producer_id)?.duplicate_of(header)
    }

    /// Begins to verify that a partition is in a producer's transaction (KIP-890): what [`Verification::Needed`] takes.
    /// `None` if its transaction is under way here already.
    pub(super) fn begin_verification(
        &mut self,
        wanted: &VerificationWanted,
    ) -> Result<Option<VerificationGuard>, AppendError> {
        let VerificationWanted { producer_id, epoch, .. } = *wanted;
        if let Some(entry) = self.producers.get(&producer_id) {
            check_epoch(entry, producer_id, epoch)?;
            if entry.is_within_transaction(epoch) {
                return Ok(None);
            }
        }
        Ok(Some(self.verifications.begin(wanted)))
    }

    /// Whether a producer may write in a transaction, as far as its epoch and its verification go.
    pub(super) fn check_transactional(
        &self,
        producer_id: ProducerId,
        epoch: i16,
        verification: Verification,
    ) -> Result<(), AppendError> {
        let known = self.producers.get(&producer_id);
        if let Some(entry) = known {
            check_epoch(entry, producer_id, epoch)?;
        }
        let begins = !known.is_some_and(|entry| entry.is_within_transaction(epoch));
        if begins && !self.verifications.allow(producer_id, verification) {
            return Err(AppendError::NotInTransaction { producer_id });
        }
        Ok(())
    }

    /// Checks a batch with its offsets, and stages what it changes.
    pub(super) fn stage(
        &self,
        staged: &mut Staged,
        header: &BatchHeader,
        marker: Option<EndMarker>,
        how: &Circumstances,
    ) -> Result<(), AppendError> {
        let origin = how.origin;
        if !header.has_producer_id() {
            return Ok(());
        }
        let at = staged.entries.iter().position(|entry| entry.producer_id == header.producer_id);
        let known = at.and_then(|at| staged.entries.get(at)).or_else(|| self.producers.get(&header.producer_id));
        let mut entry = known.cloned().unwrap_or_else(|| ProducerEntry::new(header.producer_id));
        if origin != AppendOrigin::Replication {
            check_epoch(&entry, header.producer_id, header.producer_epoch)?;
        }
        match marker {
            Some(marker) => {
                if origin != AppendOrigin::Replication {
                    check_marker_epoch(&entry, header, how.marker_version)?;
                }
                staged.end_transaction(&mut entry, header, marker, origin)?;
            }
            // Control batches of other kinds have no producer; one without a marker in it changes nothing.
            None if header.attributes.is_control() => return Ok(()),
            None => {
                let begins =
                    header.attributes.is_transactional() && !entry.is_within_transaction(header.producer_epoch);
                if begins && !self.verifications.allow(header.producer_id, how.verification) {
                    return Err(AppendError::NotInTransaction { producer_id: header.producer_id });
                }
                if origin == AppendOrigin::Client {
                    self.verifications.check_sequence(&entry, header)?;
                    check_sequence(&entry, header)?;
                }
                staged.add_data(&mut entry, header, origin)?;
            }
        }
        if header.attributes.is_transactional() {
            staged.verified.push(header.producer_id);
        }
        entry.last_timestamp = header.max_timestamp;
        entry.last_append_ms = how.append_ms;
        match at.and_then(|at| staged.entries.get_mut(at)) {
            Some(place) => *place = entry,
            None => staged.entries.push(entry),
        }
        Ok(())
    }

    /// Makes staged changes real: the batches are in the log.
    pub(super) fn commit(&mut self, staged: Staged) {
        for producer_id in &staged.verified {
            self.verifications.end(*producer_id);
        }
        for entry in staged.entries {
            self.producers.insert(entry.producer_id, entry);
        }
        if self.producers.len() > MAX_PRODUCERS {
            self.forget_the_longest_idle();
        }
    }

    fn forget_the_longest_idle(&mut self) {
        // An eighth at a time, so that the search is paid for by many appends.
        let mut ages: Vec<i64> = self.producers.values().map(|entry| entry.last_append_ms).collect();
        let (_, limit, _) = ages.select_nth_unstable(MAX_PRODUCERS / 8);
        let limit = *limit;
        self.producers.retain(|_, entry| entry.txn_first_offset.is_some() || entry.last_append_ms > limit);
    }

    /// Forgets producers that have appended nothing since `expiration_ms`, save those within a transaction; says how
    /// many.
    pub(super) fn expire(&mut self, now_ms: i64, expiration_ms: i64) -> usize {
        let before = self.producers.len();
        self.verifications.expire(now_ms, expiration_ms);
        self.producers.retain(|_, entry| {
            entry.txn_first_offset.is_some() || now_ms.saturating_sub(entry.last_append_ms) < expiration_ms
        });
        before - self.producers.len()
    }
}

impl Staged {
    fn add_data(
        &mut self,
        entry: &mut ProducerEntry,
        header: &BatchHeader,
        origin: AppendOrigin,
    ) -> Result<(), AppendError> {
        let transactional = header.attributes.is_transactional();
        match entry.txn_first_offset {
            Some(first_offset) if !transactional && origin != AppendOrigin::Replication => {
                return Err(AppendError::TransactionOpen { producer_id: header.producer_id, first_offset });
            }
            None if transactional => {
                entry.txn_first_offset = Some(header.base_offset);
                self.transactions.begun.push((header.base_offset, header.producer_id));
            }
            _ => {}
        }
        entry.set_epoch(header.producer_epoch);
        if header.base_sequence >= 0 {
            entry.push(ProducerBatch {
                last_sequence: header.last_sequence(),
                last_offset: header.last_offset(),
                offset_delta: header.last_offset_delta,
                timestamp: header.max_timestamp,
            });
        }
        Ok(())
    }

    fn end_transaction(
        &mut self,
        entry: &mut ProducerEntry,
        header: &BatchHeader,
        marker: EndMarker,
        origin: AppendOrigin,
    ) -> Result<(), AppendError> {
        if origin != AppendOrigin::Replication && marker.coordinator_epoch < entry.coordinator_epoch {
            return Err(AppendError::CoordinatorFenced {
                current: entry.coordinator_epoch,
                found: marker.coordinator_epoch,
            });
        }
        // A marker without data ends nothing that a reader could see.
        if let Some(first_offset) = entry.txn_first_offset.take() {
            self.transactions.completed.push(CompletedTransaction {
                producer_id: header.producer_id,
                first_offset,
                last_offset: header.base_offset,
                aborted: !marker.commit,
            });
        }
        entry.set_epoch(header.producer_epoch);
        entry.coordinator_epoch = marker.coordinator_epoch;
        Ok(())
    }
}

fn check_epoch(entry: &ProducerEntry, producer_id: ProducerId, epoch: i16) -> Result<(), AppendError> {
    if epoch < entry.epoch {
        return Err(AppendError::InvalidProducerEpoch { producer_id, current: entry.epoch, found: epoch });
    }
    Ok(())
}

/// With epochs that grow by each transaction (KIP-890), a marker must be newer than the data before it: one that was
/// delayed must not end the next transaction. A repeated marker finds nothing open, and does no harm.
fn check_marker_epoch(
    entry: &ProducerEntry,
    header: &BatchHeader,
    version: TransactionVersion,
) -> Result<(), AppendError> {
    let (current, found) = (entry.epoch, header.producer_epoch);
    let is_repeated = entry.txn_first_offset.is_none() || found == i16::MAX;
    if version.bumps_epochs() && found == current && !is_repeated {
        return Err(AppendError::InvalidProducerEpoch { producer_id: header.producer_id, current, found });
    }
    Ok(())
}

fn check_sequence(entry: &ProducerEntry, header: &BatchHeader) -> Result<(), AppendError> {
    let expected = if entry.epoch == NO_PRODUCER_EPOCH {
        // Unknown here, or forgotten: whatever it starts with is right.
        return Ok(());
    } else if header.producer_epoch == entry.epoch {
        // After -1 comes 0, and after 2^31-1 too.
        entry.last_sequence().wrapping_add(1) & i32::MAX
    } else {
        0
    };
    if header.base_sequence == expected {
        return Ok(());
    }
    Err(AppendError::OutOfOrderSequence { producer_id: header.producer_id, expected, found: header.base_sequence })
}
