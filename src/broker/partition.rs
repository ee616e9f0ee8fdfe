//! One partition as this broker leads it: its log, its leadership, who waits for it.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use tracing::error;

use super::errors::{chain, read_error};
use super::flusher::{FlushKind, FlushTurns, Flusher};
use super::wait::{Awaited, WaitList, Waiter};
use crate::config::TopicConfig;
use crate::log::{
    AbortedTransaction, AppendContext, AppendError, AppendOrigin, LeaderBatch, Log, LogError, LogOffsets, ReadLimits,
    Verification, VerificationGuard, VerificationWanted,
};
use crate::protocol::ErrorCode;
use crate::record::{EndMarker, RecordBatch, ValidateOptions, ValidatedBatch};
use crate::types::{LeaderEpoch, Offset, ProducerId, TopicPartition, TransactionVersion};

/// How far a reader may read (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    /// To the high watermark.
    ReadUncommitted,
    /// To the last stable offset.
    ReadCommitted,
}

impl Isolation {
    /// From a request's number; what is not 1 reads everything, as in Kafka.
    pub(super) fn from_wire(level: i8) -> Self {
        if level == 1 { Self::ReadCommitted } else { Self::ReadUncommitted }
    }

    /// Where such a reader's log ends.
    pub(super) fn end(self, offsets: &LogOffsets) -> Offset {
        match self {
            Self::ReadUncommitted => offsets.high_watermark,
            Self::ReadCommitted => offsets.last_stable_offset,
        }
    }
}

/// What a read gives.
#[derive(Debug)]
pub(super) struct PartitionRead {
    /// Whole batches, but for the last one, which may be cut.
    pub(super) records: Bytes,
    /// The offsets at that moment.
    pub(super) offsets: LogOffsets,
    /// Whose records among them a reader of committed data must leave out.
    pub(super) aborted: Vec<AbortedTransaction>,
}

/// The end of a producer's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProducerMarker {
    pub(super) producer_id: ProducerId,
    pub(super) producer_epoch: i16,
    pub(super) marker: EndMarker,
    /// How the producer's transactions work.
    pub(super) version: TransactionVersion,
}

/// Where appended records are.
#[derive(Debug)]
pub(super) struct Appended {
    partition: Arc<Partition>,
    pub(super) first_offset: Offset,
    last_offset: Offset,
    /// -1 if the records keep their own times.
    pub(super) log_append_time_ms: i64,
    pub(super) log_start_offset: Offset,
    flush_is_due: bool,
    /// What the partition was led in.
    epoch: LeaderEpoch,
}

impl Appended {
    /// The offset after the last record.
    pub(super) fn end_offset(&self) -> Offset {
        self.last_offset.plus(1)
    }

    /// The epoch of the leadership that they were appended in.
    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Returns when the records are on the disk, if `flush.messages` asks for that. The flush is on its way since the append.
    ///
    /// # Errors
    /// The disk failed; nothing of this log is acknowledged any more.
    pub(super) async fn flushed(&self) -> Result<(), ErrorCode> {
        if self.flush_is_due { self.partition.flushed(self.end_offset()).await } else { Ok(()) }
    }

    /// Returns when all in-sync replicas have the records.
    ///
    /// # Errors
    /// As [`Partition::committed`].
    pub(super) async fn committed(&self, deadline: Instant) -> Result<(), ErrorCode> {
        let (end, epoch) = (self.end_offset(), self.epoch);
        if self.partition.is_committed(end, epoch) {
            return Ok(());
        }
        self.partition.committed(end, epoch, deadline).await
    }
}

/// A partition of this broker.
#[derive(Debug)]
pub(super) struct Partition {
    name: TopicPartition,
    log: Arc<Log>,
    leader_epoch: AtomicI32,
    /// How many replicas are in sync: this one so far.
    in_sync: AtomicUsize,
    replicas: AtomicUsize,
    config: RwLock<Arc<TopicConfig>>,
    waiting: WaitList,
    flusher: Arc<Flusher>,
    flush_turns: FlushTurns,
    /// Its log directory has failed: it serves nothing until the next start.
    offline: AtomicBool,
}

impl Awaited for Partition {
    fn wait_list(&self) -> &WaitList {
        &self.waiting
    }
}

impl Partition {
    pub(super) fn new(name: TopicPartition, log: Arc<Log>, config: Arc<TopicConfig>, flusher: Arc<Flusher>) -> Self {
        Self {
            name,
            log,
            leader_epoch: AtomicI32::new(LeaderEpoch::NONE.get()),
            in_sync: AtomicUsize::new(1),
            replicas: AtomicUsize::new(1),
            config: RwLock::new(config),
            waiting: WaitList::default(),
            flusher,
            flush_turns: FlushTurns::default(),
            offline: AtomicBool::new(false),
        }
    }

    /// Takes it out of service: its log directory has failed. Says whether it was in service.
    pub(super) fn set_offline(&self) -> bool {
        let was_online = !self.offline.swap(true, Ordering::AcqRel);
        self.waiting.wake_all();
        was_online
    }

    /// Whether it can be served.
    ///
    /// # Errors
    /// `KAFKA_STORAGE_ERROR`
    pub(super) fn check_online(&self) -> Result<(), ErrorCode> {
        if self.offline.load(Ordering::Acquire) { Err(ErrorCode::KafkaStorageError) } else { Ok(()) }
    }

    pub(super) fn name(&self) -> &TopicPartition {
        &self.name
    }

    pub(super) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Whether clients may not write to it.
    pub(super) fn is_internal(&self) -> bool {
        is_internal(&self.name.topic)
    }

    /// The topic's settings.
    pub(super) fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the topic's settings; they hold from the next request on.
    pub(super) fn set_config(&self, config: Arc<TopicConfig>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Begins to lead in this epoch, with these replicas.
    pub(super) fn lead(self: &Arc<Self>, epoch: LeaderEpoch, in_sync: usize, replicas: usize) {
        self.in_sync.store(in_sync, Ordering::Release);
        self.replicas.store(replicas, Ordering::Release);
        if self.leader_epoch.swap(epoch.get(), Ordering::AcqRel) != epoch.get() {
            self.log.begin_leader_epoch(epoch);
        }
        // What a crash left in the system's memory.
        if self.log.commit_waits_for_flush() {
            self.flusher.submit(self, FlushKind::DueRecords);
        }
        self.advance_high_watermark();
    }

    /// The epoch that this broker leads in.
    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch::new(self.leader_epoch.load(Ordering::Acquire))
    }

    /// Compares the epoch that a client knows with the one that holds (KIP-320).
    ///
    /// # Errors
    /// The partition is offline; the client's is older, or newer than what this broker knows.
    pub(super) fn check_leader_epoch(&self, known: LeaderEpoch) -> Result<(), ErrorCode> {
        self.check_online()?;
        let current = self.leader_epoch();
        if known == LeaderEpoch::NONE || known == current {
            Ok(())
        } else if known < current {
            Err(ErrorCode::FencedLeaderEpoch)
        } else {
            Err(ErrorCode::UnknownLeaderEpoch)
        }
    }

    /// Whether enough replicas are in sync for `acks=all`. More than there are replicas can't be asked for: as in Kafka, the setting is
    /// lowered to their number.
    ///
    /// # Errors
    /// `NOT_ENOUGH_REPLICAS`
    pub(super) fn check_min_isr(&self, min_insync_replicas: i32) -> Result<(), ErrorCode> {
        let replicas = self.replicas.load(Ordering::Acquire);
        let wanted = usize::try_from(min_insync_replicas).unwrap_or_default().min(replicas);
        if self.in_sync.load(Ordering::Acquire) < wanted { Err(ErrorCode::NotEnoughReplicas) } else { Ok(()) }
    }

    /// Appends a client's batch.
    ///
    /// # Errors
    /// Nothing is in the log then.
    pub(super) fn append(
        self: &Arc<Self>,
        validated: &ValidatedBatch<'_>,
        options: &ValidateOptions,
        verification: Verification,
    ) -> Result<Appended, AppendError> {
        let stamp = validated.stamp(Offset::ZERO, LeaderEpoch::NONE, options);
        let batch = LeaderBatch { batch: validated.batch, timestamps: stamp.timestamps };
        let context = self.append_context(AppendOrigin::Client, options.now_ms);
        self.append_batches(&[batch], &AppendContext { verification, ..context })
    }

    /// Begins to verify that this partition is in a producer's transaction; `None` if there is nothing to verify.
    ///
    /// # Errors
    /// The producer was replaced, or the log can't be used.
    pub(super) fn begin_verification(
        &self,
        wanted: &VerificationWanted,
    ) -> Result<Option<VerificationGuard>, AppendError> {
        self.log.begin_verification(wanted)
    }

    /// Appends the marker that ends a producer's transaction here.
    ///
    /// # Errors
    /// Nothing is in the log then: a newer coordinator or producer epoch was seen, or the log can't be used.
    pub(super) fn append_marker(
        self: &Arc<Self>,
        marker: &ProducerMarker,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        let bytes = marker
            .marker
            .to_batch(marker.producer_id, marker.producer_epoch, now_ms)
            .map_err(|_| AppendError::Malformed("a marker that can't be written"))?;
        let (batch, _) = RecordBatch::new(&bytes).map_err(|_| AppendError::Malformed("a marker that can't be read"))?;
        let context = self.append_context(AppendOrigin::Coordinator, now_ms);
        self.append_batches(&[batch.into()], &AppendContext { marker_version: marker.version, ..context })
    }

    /// Appends batches that the broker itself has made.
    ///
    /// # Errors
    /// Nothing is in the log then.
    pub(super) fn append_own(self: &Arc<Self>, batch: RecordBatch<'_>, now_ms: i64) -> Result<Appended, AppendError> {
        self.append_batches(&[batch.into()], &self.append_context(AppendOrigin::Coordinator, now_ms))
    }

    /// Returns when all before `end` is on the disk; the flusher has been asked for that.
    ///
    /// # Errors
    /// The disk failed; nothing of this log is acknowledged any more.
    async fn flushed(self: &Arc<Self>, end: Offset) -> Result<(), ErrorCode> {
        let waiter = Waiter::register([Arc::clone(self)]);
        loop {
            if self.log.has_failed() {
                return Err(ErrorCode::KafkaStorageError);
            }
            if self.log.flushed_end() >= end {
                return Ok(());
            }
            waiter.woken().await;
        }
    }

    /// Does what the flusher's turn is for, and tells who waits for it. Blocks.
    pub(super) fn flush(&self, kind: FlushKind) {
        let flushed = match kind {
            FlushKind::DueRecords => self.log.flush(),
            FlushKind::CompletedSegments => self.log.flush_completed_segments(),
        };
        if let Err(error) = flushed {
            // A log that has failed says so itself; one that was closed meanwhile is flushed.
            if !self.log.has_failed() && !matches!(error, LogError::Closed { .. }) {
                error!(partition = %self.name, error = chain(&error), "flush failed");
            }
            self.waiting.wake_all();
            return;
        }
        if !self.advance_high_watermark() {
            // With `acks=1` some wait for the flush alone.
            self.waiting.wake_all();
        }
    }

    /// Where this partition stands with the flusher.
    pub(super) fn flush_turns(&self) -> &FlushTurns {
        &self.flush_turns
    }

    /// Whether all in-sync replicas have what is before `end`, as far as this broker still leads in `epoch`.
    pub(super) fn is_committed(&self, end: Offset, epoch: LeaderEpoch) -> bool {
        self.leader_epoch() == epoch && self.log.high_watermark() >= end
    }

    /// Returns when they do.
    ///
    /// # Errors
    /// `KAFKA_STORAGE_ERROR` if the disk failed; `NOT_LEADER_OR_FOLLOWER` if this broker no longer leads in `epoch`; `REQUEST_TIMED_OUT` if they don't in time, while the records stay
    /// in the log.
    pub(super) async fn committed(
        self: &Arc<Self>,
        end: Offset,
        epoch: LeaderEpoch,
        deadline: Instant,
    ) -> Result<(), ErrorCode> {
        let waiter = Waiter::register([Arc::clone(self)]);
        loop {
            self.check_online()?;
            if self.is_committed(end, epoch) {
                return Ok(());
            }
            if self.leader_epoch() != epoch {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            if self.log.has_failed() {
                return Err(ErrorCode::KafkaStorageError);
            }
            if tokio::time::timeout_at(deadline.into(), waiter.woken()).await.is_err() {
                return Err(ErrorCode::RequestTimedOut);
            }
        }
    }

    fn append_context(&self, origin: AppendOrigin, now_ms: i64) -> AppendContext {
        AppendContext::new(self.leader_epoch(), origin, now_ms)
    }

    fn append_batches(
        self: &Arc<Self>,
        batches: &[LeaderBatch<'_>],
        context: &AppendContext,
    ) -> Result<Appended, AppendError> {
        if self.check_online().is_err() {
            return Err(LogError::Unreachable { dir: self.log.dir() }.into());
        }
        let info = self.log.append_as_leader(batches, context).inspect_err(|_| {
            if self.log.has_failed() {
                self.waiting.wake_all();
            }
        })?;
        // Order: the flush is asked for before anybody waits for it. As far as it is due the high watermark moves after it.
        if info.flush_is_due {
            self.flusher.submit(self, FlushKind::DueRecords);
        }
        if info.rolled_at.is_some() {
            self.flusher.submit(self, FlushKind::CompletedSegments);
        }
        self.advance_high_watermark();
        Ok(Appended {
            partition: Arc::clone(self),
            first_offset: info.first_offset,
            last_offset: info.last_offset,
            log_append_time_ms: info.log_append_time_ms,
            log_start_offset: info.log_start_offset,
            flush_is_due: info.flush_is_due,
            epoch: context.leader_epoch,
        })
    }

    /// Wakes requests that wait for this partition: it is gone.
    pub(super) fn wake_waiting(&self) {
        self.waiting.wake_all();
    }

    /// Raises the high watermark to what all in-sync replicas have, and wakes who waits for that; says whether it moved. With this broker
    /// alone in sync that is the log's end, or where its records wait for a flush.
    fn advance_high_watermark(&self) -> bool {
        let moved = self.in_sync.load(Ordering::Acquire) == 1
            && self.log.advance_high_watermark(self.log.log_end_offset()).is_some();
        if moved {
            self.waiting.wake_all();
        }
        moved
    }

    /// Reads from `from` on, at most `max_bytes`, but one whole batch at least if that is asked for.
    ///
    /// # Errors
    /// The offset is outside of the log, or its batch can't be read.
    pub(super) fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
        at_least_one_batch: bool,
    ) -> Result<PartitionRead, ErrorCode> {
        self.check_online()?;
        let offsets = self.log.offsets();
        let end = isolation.end(&offsets);
        check_range(from, &offsets)?;
        if from >= end || max_bytes == 0 && !at_least_one_batch {
            return Ok(PartitionRead { records: Bytes::new(), offsets, aborted: Vec::new() });
        }
        let limits = ReadLimits { end, max_bytes, at_least_one_batch };
        let read = match isolation {
            Isolation::ReadCommitted => self.log.read_committed(from, limits),
            _ => self.log.read(from, limits).map(|read| (read, Vec::new())),
        };
        let read = read.map(|(read, aborted)| PartitionRead { records: read.bytes, offsets, aborted });
        match read {
            Ok(read) => Ok(read),
            Err(error) => {
                let code = read_error(&error);
                if code != ErrorCode::OffsetOutOfRange {
                    error!(partition = %self.name, %from, error = chain(&error), "records can't be read");
                }
                Err(code)
            }
        }
    }

    /// How many bytes a read from `from` could give, without reading them.
    ///
    /// # Errors
    /// The offset is outside of the log, or the log can't be read.
    pub(super) fn readable_bytes(&self, from: Offset, isolation: Isolation) -> Result<usize, ErrorCode> {
        self.check_online()?;
        let offsets = self.log.offsets();
        let end = isolation.end(&offsets);
        check_range(from, &offsets)?;
        if from >= end {
            return Ok(0);
        }
        let bytes = self.log.readable_bytes(from, end);
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX).max(1))
    }

    /// Where the log of a reader that last read a record of `epoch` and is now at `offset` is no longer the same as this one
    /// (KIP-595); `None` if it is.
    pub(super) fn divergence(&self, epoch: LeaderEpoch, offset: Offset) -> Option<(LeaderEpoch, Offset)> {
        if epoch == LeaderEpoch::NONE {
            return None;
        }
        match self.log.end_offset_for_epoch(epoch) {
            Some(end) if end.epoch < epoch || end.end_offset < offset => Some((end.epoch, end.end_offset)),
            _ => None,
        }
    }
}

/// An offset below the log or beyond its end is an error; between a reader's end and the log's there is nothing yet.
fn check_range(from: Offset, offsets: &LogOffsets) -> Result<(), ErrorCode> {
    if from < offsets.log_start_offset || from > offsets.log_end_offset {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    Ok(())
}

/// The topics that the broker writes for itself.
pub(super) fn is_internal(topic: &str) -> bool {
    matches!(topic, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}
