//! Appending: as the leader, who gives offsets, and as a follower, who takes them over.
//!
//! A batch goes to the disk as it came: the leader replaces its 61 header bytes and writes header and records with one
//! system call.

use std::io::IoSlice;
use std::sync::{Arc, MutexGuard};

use super::config::LogConfig;
use super::error::{AppendError, LogError};
use super::log::{Log, Writer};
use super::producer_snapshot;
use super::producer_state::{AppendOrigin, Circumstances, ProducerBatch, ProducerEntry, Staged};
use super::segment::{AppendFailure, Appended, RollCheck, Segment, is_full};
use super::txn_index::AbortedTransaction;
use super::verification::{Verification, VerificationGuard, VerificationWanted};
use crate::record::{
    BatchHeader, EndMarker, HEADER_LEN, NO_TIMESTAMP, RecordBatch, Stamp, TimestampType, ValidateOptions,
    ValidatedBatch, batches, patched_header,
};
use crate::types::{LeaderEpoch, Offset, ProducerId, TransactionVersion};

/// A batch to be appended by the leader, after [`crate::record`] has checked it.
#[derive(Debug, Clone, Copy)]
pub struct LeaderBatch<'a> {
    /// The batch as it came; its base offset and leader epoch are replaced.
    pub batch: RecordBatch<'a>,
    /// Timestamp type and largest timestamp, if they are to be other than in the batch.
    pub timestamps: Option<(TimestampType, i64)>,
}

impl<'a> LeaderBatch<'a> {
    /// A client's batch, after validation with `options`.
    #[must_use]
    pub fn validated(batch: &ValidatedBatch<'a>, options: &ValidateOptions) -> Self {
        // Offset and epoch of this stamp are not used: the log gives them.
        let stamp = batch.stamp(Offset::ZERO, LeaderEpoch::NONE, options);
        Self { batch: batch.batch, timestamps: stamp.timestamps }
    }
}

impl<'a> From<RecordBatch<'a>> for LeaderBatch<'a> {
    fn from(batch: RecordBatch<'a>) -> Self {
        Self { batch, timestamps: None }
    }
}

/// The circumstances of an append.
#[derive(Debug, Clone, Copy)]
pub struct AppendContext {
    /// The epoch that this broker leads in.
    pub leader_epoch: LeaderEpoch,
    /// Who brings the batches.
    pub origin: AppendOrigin,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
    /// What a batch must show that begins a transaction.
    pub verification: Verification,
    /// How the transactions work that markers among the batches end.
    pub marker_version: TransactionVersion,
}

impl AppendContext {
    /// An append that asks nothing of transactions.
    #[must_use]
    pub fn new(leader_epoch: LeaderEpoch, origin: AppendOrigin, now_ms: i64) -> Self {
        Self {
            leader_epoch,
            origin,
            now_ms,
            verification: Verification::NotNeeded,
            marker_version: TransactionVersion::V0,
        }
    }
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record.
    pub first_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The time all records got, in a topic of append times; -1: they keep theirs.
    pub log_append_time_ms: i64,
    /// The log start offset.
    pub log_start_offset: Offset,
    /// The batch was in the log already, at these offsets; nothing was written.
    pub was_duplicate: bool,
    /// A segment was completed: to be made durable with [`Log::flush_completed_segments`], in the background.
    pub rolled_at: Option<Offset>,
    /// `flush.messages` asks for [`Log::flush_up_to`] the end before the append is acknowledged; the high watermark waits for it.
    pub flush_is_due: bool,
}

/// A batch as it goes to the disk.
struct Prepared<'a> {
    header: BatchHeader,
    head: [u8; HEADER_LEN],
    body: &'a [u8],
    marker: Option<EndMarker>,
}

impl Prepared<'_> {
    fn appended(&self) -> Appended {
        Appended {
            last_offset: self.header.last_offset().0,
            max_timestamp: self.header.max_timestamp,
            size: (HEADER_LEN + self.body.len()) as u64,
        }
    }
}

impl Log {
    /// Appends batches behind the last record, in one write, and gives them their offsets.
    ///
    /// A batch that its producer has sent before is not appended again; the answer tells where it is.
    ///
    /// # Errors
    /// [`AppendError`]; nothing is in the log then, and the producers' state is as it was.
    pub fn append_as_leader(
        &self,
        batches: &[LeaderBatch<'_>],
        context: &AppendContext,
    ) -> Result<AppendInfo, AppendError> {
        let config = self.config();
        let total = check_sizes(batches.iter().map(|batch| batch.batch.bytes().len()), &config, context.origin)?;
        let mut writer = self.writer()?;
        let offsets = self.offsets();
        if context.origin == AppendOrigin::Client {
            let known = batches
                .iter()
                .find_map(|batch| writer.producers.duplicate_of(batch.batch.header()).map(|known| (batch, known)));
            if let Some((batch, known)) = known {
                // The flush that the first one waits for may still be on its way.
                let flush_is_due = self.view().committable_end() <= known.last_offset;
                let known = duplicate(batch, &known, offsets.log_start_offset);
                return Ok(AppendInfo { flush_is_due, ..known });
            }
        }
        let mut next = offsets.log_end_offset;
        let mut prepared = Vec::with_capacity(batches.len());
        for batch in batches {
            let batch = prepare(batch, next, context.leader_epoch)?;
            next = batch.header.next_offset();
            prepared.push(batch);
        }
        let mut info = self.append(&mut writer, &config, &prepared, total, context)?;
        let stamped = batches.first().and_then(|batch| batch.timestamps);
        if let Some((TimestampType::LogAppendTime, time)) = stamped {
            info.log_append_time_ms = time;
        }
        Ok(info)
    }

    /// Begins to verify that this partition is in a producer's transaction; `None` if there is nothing to verify, since
    /// the transaction is under way here. The guard goes into [`AppendContext::verification`] once the coordinator has
    /// said yes.
    ///
    /// # Errors
    /// [`AppendError::InvalidProducerEpoch`] if the producer was replaced; [`AppendError::Storage`].
    pub fn begin_verification(&self, wanted: &VerificationWanted) -> Result<Option<VerificationGuard>, AppendError> {
        self.writer()?.producers.begin_verification(wanted)
    }

    /// Whether a batch of a producer's transaction would be taken, as far as its epoch and its verification go.
    ///
    /// # Errors
    /// [`AppendError::InvalidProducerEpoch`], [`AppendError::NotInTransaction`]; [`AppendError::Storage`].
    pub fn check_producer(
        &self,
        producer_id: ProducerId,
        epoch: i16,
        verification: Verification,
    ) -> Result<(), AppendError> {
        self.writer()?.producers.check_transactional(producer_id, epoch, verification)
    }

    /// Appends batches that have offsets, fetched from the leader: they must continue this log.
    ///
    /// # Errors
    /// [`AppendError::NotNext`] if they don't; [`AppendError::Malformed`] for bytes that are no whole batches with right
    /// checksums; nothing is in the log then.
    pub fn append_as_follower(&self, bytes: &[u8], now_ms: i64) -> Result<AppendInfo, AppendError> {
        let config = self.config();
        let context = AppendContext::new(LeaderEpoch::NONE, AppendOrigin::Replication, now_ms);
        let mut prepared = Vec::new();
        let mut walk = batches(bytes);
        for batch in walk.by_ref() {
            let batch = batch.map_err(|_| AppendError::Malformed("not a batch of magic 2"))?;
            batch.verify_crc().map_err(|_| AppendError::Malformed("wrong checksum"))?;
            prepared.push(as_it_is(&batch)?);
        }
        // A fetched answer may end within a batch, which the next fetch brings whole.
        let total = bytes.len() - walk.rest().len();
        check_sizes([total].into_iter(), &config, context.origin)?;
        let mut writer = self.writer()?;
        let mut next = self.log_end_offset();
        for batch in &prepared {
            // Gaps are fine: the leader's log may be compacted.
            if batch.header.base_offset < next {
                return Err(AppendError::NotNext { expected: next, found: batch.header.base_offset });
            }
            next = batch.header.next_offset();
        }
        self.append(&mut writer, &config, &prepared, total, &context)
    }

    fn append(
        &self,
        writer: &mut MutexGuard<'_, Writer>,
        config: &LogConfig,
        prepared: &[Prepared<'_>],
        total: usize,
        context: &AppendContext,
    ) -> Result<AppendInfo, AppendError> {
        let (Some(first), Some(last)) = (prepared.first(), prepared.last()) else {
            return Err(AppendError::Malformed("no batch at all"));
        };
        let (first_offset, last_offset) = (first.header.base_offset, last.header.last_offset());
        let mut staged = Staged::default();
        let how = Circumstances {
            origin: context.origin,
            append_ms: context.now_ms,
            verification: context.verification,
            marker_version: context.marker_version,
        };
        for batch in prepared {
            writer.producers.stage(&mut staged, &batch.header, batch.marker, &how)?;
        }
        let max_timestamp = prepared.iter().map(|batch| batch.header.max_timestamp).max().unwrap_or(NO_TIMESTAMP);
        let check = RollCheck {
            bytes: total as u64,
            last_offset: last_offset.0,
            max_timestamp,
            jitter_ms: 0,
            now_ms: context.now_ms,
        };
        let (segment, rolled_at) = self.segment_for(writer, config, check, first_offset)?;

        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(prepared.len() * 2);
        for batch in prepared {
            slices.push(IoSlice::new(&batch.head));
            slices.push(IoSlice::new(batch.body));
        }
        let size = match segment.append(&mut slices, prepared.iter().map(Prepared::appended), config) {
            Ok(size) => size,
            Err(AppendFailure::Nothing(error)) => return Err(error.into()),
            Err(AppendFailure::Doubt(error)) => return Err(self.fail(error).into()),
        };
        self.index_aborted(&segment, &staged).map_err(|error| self.fail(error))?;
        self.note_epochs(prepared);

        let records = last_offset.0.saturating_sub(first_offset.0).saturating_add(1);
        let flush_is_due = self.note_unflushed(writer, records, config.flush_messages, context.now_ms);
        let log_start_offset = {
            let mut view = self.view_mut();
            // Order: with the end, so that nobody commits up to it in between.
            if flush_is_due {
                view.due(first_offset, last_offset.plus(1));
            }
            view.transactions.apply(&staged.transactions);
            view.log_end_offset = last_offset.plus(1);
            segment.publish(size);
            view.log_start_offset
        };
        writer.producers.commit(staged);
        Ok(AppendInfo {
            first_offset,
            last_offset,
            log_append_time_ms: NO_TIMESTAMP,
            log_start_offset,
            was_duplicate: false,
            rolled_at,
            flush_is_due,
        })
    }

    /// The segment that takes the batches: the active one, or a new one; in that case also its base offset.
    fn segment_for(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        check: RollCheck,
        first_offset: Offset,
    ) -> Result<(Arc<Segment>, Option<Offset>), LogError> {
        let Some(active) = self.view().active().cloned() else {
            return Err(LogError::Closed { dir: self.dir() });
        };
        let jitter_ms = config.roll_jitter_ms(&self.name, active.base_offset());
        if !active.should_roll(&RollCheck { jitter_ms, ..check }, config)? {
            return Ok((active, None));
        }
        match self.roll(writer, config, &active, first_offset, check.now_ms) {
            Ok(segment) => Ok((segment, Some(first_offset))),
            Err(LogError::Full { path, .. }) => Err(LogError::Full { path, needed: check.bytes }),
            Err(error) => Err(error),
        }
    }

    /// Completes the active segment and begins a new one at `base_offset`, the log end or, after a gap, above it.
    pub(super) fn roll(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        active: &Arc<Segment>,
        base_offset: Offset,
        now_ms: i64,
    ) -> Result<Arc<Segment>, LogError> {
        if active.base_offset() == base_offset.0 {
            return Ok(active.clone()); // It is empty, so it is as good as new.
        }
        let rolled = self.try_roll(writer, config, active, base_offset, now_ms);
        // Also when nothing came of it: a file that was made and removed must not come back.
        writer.directory_changed = true;
        rolled.map_err(|error| match error {
            // Nothing has changed but that the old segment's indexes have their final form, which hurts nobody.
            LogError::Io { path, source, .. } if is_full(&source) => LogError::Full { path, needed: 0 },
            LogError::Io { action: "open", .. } => error,
            error => self.fail(error),
        })
    }

    fn try_roll(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        active: &Arc<Segment>,
        base_offset: Offset,
        now_ms: i64,
    ) -> Result<Arc<Segment>, LogError> {
        active.finish(config)?;
        // The state at the end of the old segment, so that the new one can be recovered without it.
        let entries = writer.producers.entries().map(ProducerEntry::to_snapshot);
        producer_snapshot::write(&self.place(), base_offset.0, entries)?;
        let segment = Arc::new(Segment::create(self.place(), base_offset.0, config, now_ms)?);
        writer.snapshots.insert(base_offset.0);
        writer.unsynced_snapshots.push(base_offset.0);
        active.set_end_offset(base_offset.0);
        self.view_mut().segments.push(segment.clone());
        self.open_segments.touch(active)?;
        tracing::debug!(log = %self.name, base_offset = base_offset.0, "rolled a new segment");
        Ok(segment)
    }

    fn index_aborted(&self, segment: &Segment, staged: &Staged) -> Result<(), LogError> {
        for transaction in staged.transactions.completed.iter().filter(|transaction| transaction.aborted) {
            let entry = AbortedTransaction {
                producer_id: transaction.producer_id,
                first_offset: transaction.first_offset,
                last_offset: transaction.last_offset,
                last_stable_offset: self.view().transactions.stable_offset_after(transaction),
            };
            segment.add_aborted(entry)?;
        }
        Ok(())
    }

    fn note_epochs(&self, prepared: &[Prepared<'_>]) {
        let mut epochs = self.epochs();
        for batch in prepared {
            let news = epochs.cache.assign(batch.header.partition_leader_epoch, batch.header.base_offset);
            epochs.unsaved |= news || std::mem::take(&mut epochs.unused);
        }
    }
}

fn check_sizes(
    sizes: impl Iterator<Item = usize>,
    config: &LogConfig,
    origin: AppendOrigin,
) -> Result<usize, AppendError> {
    let (mut total, limit) = (0, config.max_message_bytes as usize);
    for size in sizes {
        // What the leader took is fine for a follower, whatever the limit is now.
        if size > limit && origin != AppendOrigin::Replication {
            return Err(AppendError::BatchTooLarge { size, limit });
        }
        total += size;
    }
    let limit = config.segment_bytes as usize;
    if total > limit { Err(AppendError::LargerThanSegment { size: total, limit }) } else { Ok(total) }
}

fn prepare<'a>(
    batch: &LeaderBatch<'a>,
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
) -> Result<Prepared<'a>, AppendError> {
    let LeaderBatch { batch, timestamps } = batch;
    let mut header = *batch.header();
    header.base_offset = base_offset;
    header.partition_leader_epoch = leader_epoch;
    if header.last_offset_delta < 0 || base_offset.0.checked_add(i64::from(header.last_offset_delta) + 1).is_none() {
        return Err(AppendError::Malformed("impossible offsets"));
    }
    if let Some((_, max_timestamp)) = timestamps {
        header.max_timestamp = *max_timestamp;
    }
    let head = patched_header(batch, &Stamp { base_offset, leader_epoch, timestamps: *timestamps });
    Ok(Prepared { header, head, body: batch.body(), marker: EndMarker::of(batch) })
}

fn as_it_is<'a>(batch: &RecordBatch<'a>) -> Result<Prepared<'a>, AppendError> {
    let header = *batch.header();
    if header.base_offset < Offset::ZERO
        || header.last_offset_delta < 0
        || header.base_offset.0.checked_add(i64::from(header.last_offset_delta) + 1).is_none()
    {
        return Err(AppendError::Malformed("impossible offsets"));
    }
    Ok(Prepared { header, head: header.encode(), body: batch.body(), marker: EndMarker::of(batch) })
}

fn duplicate(batch: &LeaderBatch<'_>, known: &ProducerBatch, log_start_offset: Offset) -> AppendInfo {
    let append_time = matches!(batch.timestamps, Some((TimestampType::LogAppendTime, _)));
    AppendInfo {
        first_offset: known.first_offset(),
        last_offset: known.last_offset,
        log_append_time_ms: if append_time { known.timestamp } else { NO_TIMESTAMP },
        log_start_offset,
        was_duplicate: true,
        rolled_at: None,
        flush_is_due: false,
    }
}
