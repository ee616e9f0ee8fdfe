//! The records of one fetch of one partition, taken out one by one.
//!
//! Skips what is not for the application: records before the position, control batches and, for `read_committed`,
//! records of aborted transactions.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::error::ConsumeError;
use crate::protocol::messages::fetch_response::AbortedTransaction;
use crate::record::{EntryRecords, LogEntry, OwnedHeader, RecordBatch, RecordError, TimestampType, entries};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// Most bytes that one batch may unpack to.
const UNPACK_LIMIT: usize = 512 << 20;

/// A record that was read. Its bytes are shared with the answer that it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Where it is from.
    pub partition: Arc<TopicPartition>,
    /// Its position there.
    pub offset: Offset,
    /// Milliseconds since 1970; -1: none.
    pub timestamp: i64,
    /// Whose clock that was; `None` for records of Kafka before 0.10, which have no timestamp.
    pub timestamp_type: Option<TimestampType>,
    /// Epoch of the leader that stored it; -1 if not known.
    pub leader_epoch: LeaderEpoch,
    /// Its key; `None`: null.
    pub key: Option<Bytes>,
    /// Its value; `None`: null.
    pub value: Option<Bytes>,
    /// Its headers in their order.
    pub headers: Vec<OwnedHeader>,
}

/// How far a look over the batch headers got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The offset after the last whole batch.
    pub(super) next: Offset,
    /// The epoch of its leader.
    pub(super) leader_epoch: LeaderEpoch,
}

/// Where the records of `bytes` end; `None` if there is no whole batch.
pub(super) fn extent(bytes: &Bytes) -> Result<Option<Extent>, RecordError> {
    let mut last = None;
    for entry in entries(bytes) {
        let entry = entry?;
        let leader_epoch = match &entry {
            LogEntry::Batch(batch) => batch.header().partition_leader_epoch,
            LogEntry::Old(_) => LeaderEpoch::NONE,
        };
        last = Some(Extent { next: entry.last_offset().plus(1), leader_epoch });
    }
    Ok(last)
}

/// What is fetched of a partition and not handed out yet.
#[derive(Debug)]
pub(in crate::client) struct Chunk {
    partition: Arc<TopicPartition>,
    /// The rest of the answer, from the next batch on.
    rest: Bytes,
    open: Option<OpenBatch>,
    /// Where the next record to hand out is, or may be.
    position: Offset,
    /// The epoch of the leader that stored the record before it.
    leader_epoch: LeaderEpoch,
    check_crcs: bool,
    aborted: Option<Aborted>,
}

#[derive(Debug)]
struct OpenBatch {
    records: EntryRecords,
    next: Offset,
    timestamp_type: Option<TimestampType>,
    leader_epoch: LeaderEpoch,
}

/// The transactions that ended in an abort, as the broker lists them for a fetch (KIP-98).
#[derive(Debug)]
struct Aborted {
    /// By first offset, the largest first.
    upcoming: Vec<AbortedTransaction>,
    /// Producers whose records are aborted from here to their marker.
    open: HashSet<i64>,
}

impl Aborted {
    fn new(mut upcoming: Vec<AbortedTransaction>) -> Self {
        upcoming.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        Self { upcoming, open: HashSet::new() }
    }

    /// Whether the records of a batch are to be left out. Must see all batches in order.
    fn hides(&mut self, batch: &RecordBatch<'_>) -> bool {
        let header = batch.header();
        while let Some(next) = self.upcoming.pop_if(|next| next.first_offset <= header.last_offset().get()) {
            self.open.insert(next.producer_id);
        }
        let id = header.producer_id.get();
        if header.attributes.is_control() {
            if is_abort_marker(batch) {
                self.open.remove(&id);
            }
            return true;
        }
        header.attributes.is_transactional() && self.open.contains(&id)
    }
}

/// Whether a control batch is an abort marker: its key is a version and type 0.
fn is_abort_marker(batch: &RecordBatch<'_>) -> bool {
    let mut scratch = Vec::new();
    let Ok(mut records) = batch.records(&mut scratch, UNPACK_LIMIT) else { return false };
    let Some(Ok(record)) = records.next() else { return false };
    record.key.and_then(|key| key.get(2..4)).is_some_and(|kind| kind == [0, 0])
}

impl Chunk {
    /// The records of `bytes` from `position` on. `aborted`: what the broker listed, for `read_committed`.
    pub(in crate::client) fn new(
        partition: Arc<TopicPartition>,
        bytes: Bytes,
        position: Offset,
        check_crcs: bool,
        aborted: Option<Vec<AbortedTransaction>>,
    ) -> Self {
        Self {
            partition,
            rest: bytes,
            open: None,
            position,
            leader_epoch: LeaderEpoch::NONE,
            check_crcs,
            aborted: aborted.map(Aborted::new),
        }
    }

    /// Where the next record is, or may be.
    pub(in crate::client) fn position(&self) -> Offset {
        self.position
    }

    /// The epoch of the leader of what was handed out last.
    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// Hands out at most `most` records; says whether there may be more.
    ///
    /// # Errors
    /// The next records can't be read; those before them were handed out.
    pub(in crate::client) fn take(
        &mut self,
        most: usize,
        into: &mut Vec<ConsumerRecord>,
    ) -> Result<bool, ConsumeError> {
        let end = into.len() + most;
        while into.len() < end {
            if self.open.is_none() && !self.open_next().map_err(|error| self.corrupt(error))? {
                return Ok(false);
            }
            let Some(open) = &mut self.open else { continue };
            match open.records.next() {
                Some(Ok(record)) if record.offset < self.position => {}
                Some(Ok(record)) => {
                    self.position = record.offset.plus(1);
                    self.leader_epoch = open.leader_epoch;
                    into.push(ConsumerRecord {
                        partition: Arc::clone(&self.partition),
                        offset: record.offset,
                        timestamp: record.timestamp,
                        timestamp_type: open.timestamp_type,
                        leader_epoch: open.leader_epoch,
                        key: record.key,
                        value: record.value,
                        headers: record.headers,
                    });
                }
                Some(Err(error)) => return Err(self.corrupt(error)),
                None => {
                    // Compaction may have taken the last records of a batch: its end is past them all the same.
                    self.position = self.position.max(open.next);
                    self.leader_epoch = open.leader_epoch;
                    self.open = None;
                }
            }
        }
        Ok(true)
    }

    fn corrupt(&self, error: RecordError) -> ConsumeError {
        ConsumeError::Corrupt {
            partition: TopicPartition::clone(&self.partition),
            offset: self.position,
            source: Arc::new(error),
        }
    }

    /// Opens the next batch that holds something for the application; `false` if there is none.
    fn open_next(&mut self) -> Result<bool, RecordError> {
        loop {
            let bytes = self.rest.clone();
            let (entry, rest) = match LogEntry::new(&bytes) {
                Ok(found) => found,
                // The answer may end within a batch, which the next fetch then brings whole.
                Err(RecordError::Truncated { .. }) => return Ok(false),
                Err(error) => return Err(error),
            };
            if entry.last_offset() < self.position {
                // Only seen, so that transactions are known, not opened.
                if let (Some(aborted), LogEntry::Batch(batch)) = (&mut self.aborted, &entry) {
                    aborted.hides(batch);
                }
                self.rest = bytes.slice_ref(rest);
                continue;
            }
            if self.check_crcs {
                entry.verify_crc()?;
            }
            let (hidden, timestamp_type, leader_epoch) = match &entry {
                LogEntry::Batch(batch) => {
                    let header = batch.header();
                    let hidden = self.aborted.as_mut().is_some_and(|aborted| aborted.hides(batch));
                    let attributes = header.attributes;
                    let hidden = hidden || attributes.is_control();
                    (hidden, Some(attributes.timestamp_type()), header.partition_leader_epoch)
                }
                LogEntry::Old(old) => (false, old.timestamp_type(), LeaderEpoch::NONE),
            };
            let next = entry.last_offset().plus(1);
            if hidden {
                self.position = next;
                self.leader_epoch = leader_epoch;
            } else {
                let records = entry.owned_records(&bytes, UNPACK_LIMIT)?;
                self.open = Some(OpenBatch { records, next, timestamp_type, leader_epoch });
            }
            self.rest = bytes.slice_ref(rest);
            if !hidden {
                return Ok(true);
            }
        }
    }
}
