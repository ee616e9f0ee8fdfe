//! A share-partition on its leader: its state, the log that it is about, and the way of its decisions to the coordinator.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use bytes::Bytes;
use tracing::{debug, warn};

use super::acquire::{Acquire, Acquired, BatchRange};
use super::config::{OffsetReset, ShareGroupSettings};
use super::state::{AcknowledgeError, Change, SharePartitionState};
use crate::broker::coordinator::Now;
use crate::broker::errors::read_error;
use crate::broker::partition::{Isolation, Partition};
use crate::broker::share_state::{Persister, Refused, SharePartitionKey, Write};
use crate::broker::wait::{Awaited, WaitList};
use crate::log::AbortedTransaction;
use crate::protocol::ErrorCode;
use crate::record::{LogEntry, entries};
use crate::types::Offset;

/// What a member gets of a partition.
#[derive(Debug, Clone, Default)]
pub(in crate::broker) struct Taken {
    /// Whole record batches, with at least the acquired records in them.
    pub(in crate::broker) records: Bytes,
    pub(in crate::broker) acquired: Vec<Acquired>,
    /// Whether there may be more to be had at once: what was read was not for anybody.
    pub(in crate::broker) look_again: bool,
}

/// A share-partition that this broker leads.
#[derive(Debug)]
pub(in crate::broker) struct SharePartition {
    key: SharePartitionKey,
    partition: Arc<Partition>,
    leader_epoch: i32,
    state_epoch: i32,
    state: Mutex<SharePartitionState>,
    /// Another leader, or another incarnation of the state, has taken over: this one is not to be used any more.
    is_fenced: AtomicBool,
    /// Held from a decision until it is persisted: what is persisted is in the order of the decisions, and each of them knows
    /// what the one before has led to. (No request waits for another one's network here: it is one append.)
    writer: tokio::sync::Mutex<()>,
    waiting: WaitList,
}

impl Awaited for SharePartition {
    fn wait_list(&self) -> &WaitList {
        &self.waiting
    }
}

impl SharePartition {
    /// Reads the state from its coordinator; where nobody has said yet where the group begins, its settings do.
    ///
    /// # Errors
    /// The state can't be read, or another leader has.
    pub(super) async fn load(
        key: SharePartitionKey,
        partition: Arc<Partition>,
        persister: &Persister,
        settings: &ShareGroupSettings,
        now: Now,
    ) -> Result<Self, ErrorCode> {
        let leader_epoch = partition.leader_epoch().get();
        let read = persister.read(&key, leader_epoch, now).await.map_err(|refused| {
            debug!(%key, error = %refused.error, "a share-partition's state can't be read");
            told(&refused)
        })?;
        let start = match read.start_offset {
            -1 => first_offset(&partition, settings.offset_reset, now)?,
            start => start,
        };
        let mut state = SharePartitionState::restore(start, &read.batches);
        state.log_start_moved(partition.log().log_start_offset().get());
        Ok(Self {
            key,
            partition,
            leader_epoch,
            state_epoch: read.state_epoch,
            state: Mutex::new(state),
            is_fenced: AtomicBool::new(false),
            writer: tokio::sync::Mutex::default(),
            waiting: WaitList::default(),
        })
    }

    pub(super) fn key(&self) -> &SharePartitionKey {
        &self.key
    }

    /// The partition that it is about.
    pub(super) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    fn state(&self) -> MutexGuard<'_, SharePartitionState> {
        self.state.lock().unwrap_or_else(|poisoned| {
            // A panic in the middle of a change left it in an unknown state: it is read again.
            self.fence();
            poisoned.into_inner()
        })
    }

    /// Whether it may be used, for a partition that is this one and is led as it was then.
    pub(super) fn is_current(&self, partition: &Arc<Partition>) -> bool {
        Arc::ptr_eq(&self.partition, partition) && self.is_valid()
    }

    /// Whether it may be used still.
    pub(super) fn is_valid(&self) -> bool {
        !self.is_fenced.load(Ordering::Acquire) && self.partition.leader_epoch().get() == self.leader_epoch
    }

    /// Takes it out of use; whoever waits for it looks for another one.
    pub(super) fn fence(&self) {
        self.is_fenced.store(true, Ordering::Release);
        self.waiting.wake_all();
    }

    /// When a lock may run out.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.state().next_deadline()
    }

    // ---- Decisions

    /// Decides something and returns when that is persisted, whether or not somebody still waits for it.
    ///
    /// # Errors
    /// What `decide` says; or it could not be persisted, and does not count.
    pub(super) async fn change(
        self: &Arc<Self>,
        persister: &Persister,
        settings: ShareGroupSettings,
        now: fn() -> Now,
        decide: impl FnOnce(&mut SharePartitionState, Instant) -> Result<Option<Change>, AcknowledgeError> + Send + 'static,
    ) -> Result<(), ErrorCode> {
        let (this, persister) = (Arc::clone(self), persister.clone());
        // A request that is given up half-way must not leave records undecided: it is a task of its own.
        let done = tokio::spawn(async move {
            let _one_after_another = this.writer.lock().await;
            let time = now();
            let change = decide(&mut this.state(), time.steady).map_err(|(error, words)| {
                debug!(key = %this.key, %error, words, "an acknowledgement is refused");
                error
            })?;
            let Some(change) = change else { return Ok(()) };
            let write = Write {
                state_epoch: this.state_epoch,
                leader_epoch: this.leader_epoch,
                start_offset: change.start_offset,
                delivery_complete_count: change.delivery_complete_count,
                batches: change.batches,
            };
            let persisted = persister.write(&this.key, write, time).await;
            this.state().settle(persisted.is_ok(), &settings.rules, now().steady);
            if let Err(refused) = &persisted {
                warn!(key = %this.key, error = %refused.error, "a share-partition's state can't be written");
                if is_fencing(refused.error) {
                    this.fence();
                }
            }
            // What was released, or room that was made, may be what others wait for.
            this.waiting.wake_all();
            persisted.map_err(|refused| told(&refused))
        });
        done.await.unwrap_or(Err(ErrorCode::UnknownServerError))
    }

    // ---- Reading

    /// How many bytes there are to be had; 0 if nothing may be acquired.
    ///
    /// # Errors
    /// The log can't be read.
    pub(super) fn readable_bytes(&self, settings: &ShareGroupSettings) -> Result<usize, ErrorCode> {
        let mut state = self.state();
        self.follow_log_start(&mut state);
        if !state.can_acquire(&settings.rules) {
            return Ok(0);
        }
        self.partition.readable_bytes(Offset::new(state.next_fetch_offset()), settings.isolation)
    }

    /// Reads at most `max_bytes` (but one batch at least) and gives the member what of it may be had.
    ///
    /// # Errors
    /// The log can't be read.
    pub(super) fn take(
        &self,
        wanted: &Acquire,
        settings: &ShareGroupSettings,
        max_bytes: usize,
    ) -> Result<Taken, ErrorCode> {
        let mut state = self.state();
        self.follow_log_start(&mut state);
        if !state.can_acquire(&settings.rules) {
            return Ok(Taken::default());
        }
        let offset = state.next_fetch_offset();
        let read = self.partition.read(Offset::new(offset), max_bytes, settings.isolation, true)?;
        let found = ranges(&read.records, offset, settings.isolation, &read.aborted)?;
        let batches: Vec<BatchRange> = found.iter().map(|(batch, _)| *batch).collect();
        let acquired = state.acquire(wanted, offset, &batches, &settings.rules);
        let look_again = acquired.is_empty() && state.next_fetch_offset() != offset;
        Ok(Taken { records: slice(&read.records, &found, &acquired), acquired, look_again })
    }

    fn follow_log_start(&self, state: &mut SharePartitionState) {
        let log_start = self.partition.log().log_start_offset().get();
        if log_start > state.start_offset() {
            state.log_start_moved(log_start);
        }
    }
}

/// Where a group begins that nobody has told.
fn first_offset(partition: &Partition, reset: OffsetReset, now: Now) -> Result<i64, ErrorCode> {
    let log = partition.log();
    let latest = || log.high_watermark().get();
    match reset {
        OffsetReset::Latest => Ok(latest()),
        OffsetReset::Earliest => Ok(log.log_start_offset().get()),
        OffsetReset::ByDuration(duration) => {
            let since = now.wall_ms.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)).max(0);
            let found = log.offset_for_timestamp(since).map_err(|error| read_error(&error))?;
            Ok(found.map_or_else(latest, |found| found.offset.get().min(latest())))
        }
    }
}

/// The entries of what was read, with where their bytes are.
fn ranges(
    records: &[u8],
    offset: i64,
    isolation: Isolation,
    aborted: &[AbortedTransaction],
) -> Result<Vec<(BatchRange, std::ops::Range<usize>)>, ErrorCode> {
    let (mut found, mut at, mut next) = (Vec::new(), 0, offset);
    for entry in entries(records) {
        let entry = entry.map_err(|_| ErrorCode::CorruptMessage)?;
        let last = entry.last_offset().get();
        let (first, is_aborted) = match &entry {
            LogEntry::Batch(batch) => {
                let header = batch.header();
                let is_data = header.attributes.is_transactional() && !header.attributes.is_control();
                let first = header.base_offset;
                let of = |transaction: &AbortedTransaction| {
                    transaction.producer_id == header.producer_id
                        && (transaction.first_offset..=transaction.last_offset).contains(&first)
                };
                (first.get(), is_data && isolation == Isolation::ReadCommitted && aborted.iter().any(of))
            }
            // The old formats do not say where a set of messages begins: behind the one before it.
            LogEntry::Old(_) => (next.min(last), false),
        };
        let end = at + entry.bytes().len();
        found.push((BatchRange { first, last, is_aborted }, at..end));
        (at, next) = (end, last + 1);
    }
    Ok(found)
}

/// The batches that have acquired records in them, from the first to the last.
fn slice(records: &Bytes, found: &[(BatchRange, std::ops::Range<usize>)], acquired: &[Acquired]) -> Bytes {
    let (Some(first), Some(last)) = (acquired.first(), acquired.last()) else { return Bytes::new() };
    let begin = found.iter().find(|(batch, _)| batch.last >= first.first).map(|(_, bytes)| bytes.start);
    let end = found.iter().rev().find(|(batch, _)| batch.first <= last.last).map(|(_, bytes)| bytes.end);
    match (begin, end) {
        (Some(begin), Some(end)) if begin < end && end <= records.len() => records.slice(begin..end),
        _ => Bytes::new(),
    }
}

/// Whether an error means that this state is not to be used any more.
fn is_fencing(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::FencedStateEpoch
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::GroupIdNotFound
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::InvalidRequest
    )
}

/// A coordinator's refusal in words that members know (Kafka's own mapping).
fn told(refused: &Refused) -> ErrorCode {
    match refused.error {
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::FencedLeaderEpoch => ErrorCode::NotLeaderOrFollower,
        error @ (ErrorCode::GroupIdNotFound
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::FencedStateEpoch
        | ErrorCode::InvalidRequest) => error,
        _ => ErrorCode::UnknownServerError,
    }
}
