//! One partition on disk: its segments, offsets, epochs and producers.
//!
//! All methods take `&self` and may be called from any thread. Appends and other changes are serialised by one mutex;
//! readers take a lock only to find a segment and a position, and read without any. The log has no clock: who calls it
//! brings the time. It starts no thread: what is to be done later (flushing, deleting files) is told to the caller.
//!
//! `append.rs`, `read.rs`, `flush.rs`, `retention.rs` and `truncate.rs` are the rest of it, `recovery.rs` opens it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::config::LogConfig;
use super::epoch_cache::{EpochCache, EpochEnd, EpochEntry};
use super::error::LogError;
use super::finding::OpenReport;
use super::flush::{ALL_FLUSHED, DueFlush};
use super::fs::Fs;
use super::open_segments::OpenSegments;
use super::place::{Place, extension, file_name};
use super::position_cache::PositionCache;
use super::producer_snapshot;
use super::producer_state::{ProducerEntry, ProducerState};
use super::progress::OpenProgress;
use super::recovery;
use super::segment::Segment;
use super::transactions::Transactions;
use crate::types::{LeaderEpoch, Offset};

/// How the log was left, by the marker in its log directory.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Closed: believed as far as the files do not say otherwise.
    Clean,
    /// Killed, or not known: what may not have been on disk is checked.
    #[default]
    Unclean,
}

/// What a log is opened with.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// The partition's directory, `topic-number`; made if it is not there.
    pub dir: PathBuf,
    /// Settings.
    pub config: Arc<LogConfig>,
    /// The way to the disk.
    pub fs: Fs,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
    /// How it was left.
    pub shutdown: Shutdown,
    /// Whether all that is in the file system was made durable since it was left: what is checked need not be flushed.
    pub is_flushed: bool,
    /// From the directory's checkpoint of recovery points; none: nothing is known to be on disk. Where the log's own is below it
    /// after opening, that one has to be noted before the first append.
    pub recovery_point: Option<Offset>,
    /// From the directory's checkpoint of log start offsets; none: the log begins with its first segment.
    pub log_start_offset: Option<Offset>,
    /// From the directory's checkpoint of high watermarks; none: the log start offset.
    pub high_watermark: Option<Offset>,
}

/// The offsets of a log at one moment.
///
/// Invariant: `log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOffsets {
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// The end for readers of committed transactions.
    pub last_stable_offset: Offset,
    /// The end for consumers.
    pub high_watermark: Offset,
    /// The offset that the next record gets.
    pub log_end_offset: Offset,
    /// What is below is known to be on disk and need not be checked.
    pub recovery_point: Offset,
}

/// Whether [`Log::close`] makes everything durable itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseMode {
    /// It does, file by file.
    Sync,
    /// The caller does afterwards, for the whole file system at once, before it writes the marker of a clean stop.
    CallerSyncs,
}

/// A partition on disk.
#[derive(Debug)]
pub struct Log {
    /// Another one once the log has moved to another log directory.
    place: RwLock<Arc<Place>>,
    /// `topic-number`, also when the directory is renamed.
    pub(super) name: String,
    config: RwLock<Arc<LogConfig>>,
    /// Held while the log changes. Order: `flushing`, `writer`, `swapping`, `view` and the smaller ones.
    pub(super) writer: Mutex<Writer>,
    pub(super) flushing: Mutex<()>,
    /// When the first record was appended that no flush has begun for; [`ALL_FLUSHED`] if there is none. Changed by who holds `writer`.
    pub(super) unflushed_since_ms: AtomicI64,
    /// Held for writing while compaction changes which files have the segments' names.
    pub(super) swapping: RwLock<()>,
    view: RwLock<View>,
    epochs: Mutex<Epochs>,
    pub(super) positions: PositionCache,
    pub(super) open_segments: OpenSegments,
    /// What made the log unusable.
    failed: OnceLock<LogError>,
}

/// What only appends and other changes touch.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) producers: ProducerState,
    /// Offsets of the snapshots on disk.
    pub(super) snapshots: BTreeSet<i64>,
    /// Those of them that are not durable yet.
    pub(super) unsynced_snapshots: Vec<i64>,
    /// Records appended since the last flush began.
    pub(super) unflushed_records: i64,
    /// A name in the directory is not durable yet.
    pub(super) directory_changed: bool,
    pub(super) closed: bool,
}

/// What readers see. Held for moments only.
#[derive(Debug)]
pub(super) struct View {
    /// Invariant: in the order of base offsets; the last one is appended to. Not empty, but in a log that can't be reached.
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) log_start_offset: Offset,
    pub(super) high_watermark: Offset,
    pub(super) log_end_offset: Offset,
    /// Records below are on the disk.
    pub(super) flushed_end: Offset,
    /// Invariant: not above `flushed_end`; `flush.rs` tells what else it promises.
    pub(super) recovery_point: Offset,
    /// What has to be flushed before it may be committed.
    pub(super) due_flush: Option<DueFlush>,
    pub(super) transactions: Transactions,
}

#[derive(Debug)]
pub(super) struct Epochs {
    pub(super) cache: EpochCache,
    /// The newest entry has no records yet and is not in the file; it is not worth a write.
    pub(super) unused: bool,
    /// The file does not say what the cache says.
    pub(super) unsaved: bool,
}

impl View {
    /// The last segment, which is appended to.
    pub(super) fn active(&self) -> Option<&Arc<Segment>> {
        self.segments.last()
    }

    /// Number of the segment that covers `offset`.
    pub(super) fn floor(&self, offset: Offset) -> Option<usize> {
        self.segments.partition_point(|segment| segment.base_offset() <= offset.0).checked_sub(1)
    }

    pub(super) fn last_stable_offset(&self) -> Offset {
        let unstable = self.transactions.first_unstable_offset();
        unstable.map_or(self.high_watermark, |offset| offset.min(self.high_watermark)).max(self.log_start_offset)
    }

    pub(super) fn offsets(&self) -> LogOffsets {
        LogOffsets {
            log_start_offset: self.log_start_offset,
            last_stable_offset: self.last_stable_offset(),
            high_watermark: self.high_watermark,
            log_end_offset: self.log_end_offset,
            recovery_point: self.recovery_point,
        }
    }
}

impl Log {
    /// Opens the log in a directory, or makes a new one.
    ///
    /// After a clean stop that costs a look at the directory and at the end of the last segment; afterwards no file is
    /// open. Otherwise, and where the files contradict the marker, what lies past the recovery point is checked: a torn
    /// end is cut at the last whole batch, indexes, epochs and producers are made anew. Damage elsewhere stays, and is
    /// told in the report; the batches there are not served.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(options: LogOptions) -> Result<(Self, OpenReport), LogError> {
        Self::open_counted(options, None)
    }

    /// As [`Log::open`], telling `progress` of each segment that is checked.
    pub(super) fn open_counted(
        options: LogOptions,
        progress: Option<&OpenProgress>,
    ) -> Result<(Self, OpenReport), LogError> {
        let name = options.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let place = Arc::new(Place::new(options.fs.clone(), options.dir.clone()));
        let loaded = recovery::load(&place, &options, progress)?;
        let unsynced_snapshots =
            if loaded.directory_changed { loaded.snapshots.iter().copied().collect() } else { Vec::new() };
        let log = Self {
            place: RwLock::new(place),
            name,
            config: RwLock::new(options.config),
            writer: Mutex::new(Writer {
                producers: loaded.producers,
                snapshots: loaded.snapshots,
                unsynced_snapshots,
                unflushed_records: 0,
                directory_changed: loaded.directory_changed,
                closed: false,
            }),
            flushing: Mutex::new(()),
            unflushed_since_ms: AtomicI64::new(ALL_FLUSHED),
            swapping: RwLock::new(()),
            view: RwLock::new(loaded.view),
            epochs: Mutex::new(loaded.epochs),
            positions: PositionCache::default(),
            open_segments: OpenSegments::default(),
            failed: OnceLock::new(),
        };
        Ok((log, loaded.report))
    }

    /// The log in a directory that can't be reached, for a reason that every call which needs the disk gives.
    #[must_use]
    pub fn unreachable(dir: PathBuf, config: Arc<LogConfig>, reason: LogError) -> Self {
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self {
            place: RwLock::new(Arc::new(Place::new(Fs::default(), dir))),
            name,
            config: RwLock::new(config),
            writer: Mutex::new(Writer {
                producers: ProducerState::default(),
                snapshots: BTreeSet::new(),
                unsynced_snapshots: Vec::new(),
                unflushed_records: 0,
                directory_changed: false,
                closed: false,
            }),
            flushing: Mutex::new(()),
            swapping: RwLock::new(()),
            unflushed_since_ms: AtomicI64::new(ALL_FLUSHED),
            view: RwLock::new(View {
                segments: Vec::new(),
                flushed_end: Offset::ZERO,
                due_flush: None,
                log_start_offset: Offset::ZERO,
                high_watermark: Offset::ZERO,
                log_end_offset: Offset::ZERO,
                recovery_point: Offset::ZERO,
                transactions: Transactions::default(),
            }),
            epochs: Mutex::new(Epochs { cache: EpochCache::default(), unused: false, unsaved: false }),
            positions: PositionCache::default(),
            open_segments: OpenSegments::default(),
            failed: reason.into(),
        }
    }

    /// Where the files are.
    pub(super) fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the files elsewhere from now on. Segments know their own place.
    pub(super) fn set_place(&self, place: Arc<Place>) {
        *self.place.write().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// The partition's directory.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.place().dir()
    }

    /// `topic-number`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the directory another name: what deleting a topic begins with. Reads go on.
    ///
    /// # Errors
    /// What the disk says; then the name is as it was.
    pub fn rename_dir(&self, to: &Path) -> Result<(), LogError> {
        self.place().rename_dir(to)
    }

    /// The settings in effect.
    #[must_use]
    pub fn config(&self) -> Arc<LogConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the settings; they hold from the next call on.
    pub fn set_config(&self, config: Arc<LogConfig>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(super) fn view(&self) -> RwLockReadGuard<'_, View> {
        // Nothing under this lock can panic halfway: fields are set one by one from values computed before.
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn epochs(&self) -> MutexGuard<'_, Epochs> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to change the log.
    pub(super) fn writer(&self) -> Result<MutexGuard<'_, Writer>, LogError> {
        let Ok(writer) = self.writer.lock() else {
            // A panic in the middle of a change: what is in memory and on disk may differ.
            return Err(self.fail(LogError::Panicked { dir: self.dir() }));
        };
        self.check_usable()?;
        if writer.closed {
            return Err(LogError::Closed { dir: self.dir() });
        }
        Ok(writer)
    }

    pub(super) fn check_usable(&self) -> Result<(), LogError> {
        match self.failed.get() {
            None => Ok(()),
            Some(source) => Err(LogError::Failed { dir: self.dir(), source: Arc::new(source.clone()) }),
        }
    }

    /// Makes the log unusable: what is on disk is uncertain. Gives the error back.
    pub(super) fn fail(&self, error: LogError) -> LogError {
        if self.failed.set(error.clone()).is_ok() {
            // That of a whole directory is told once, by whoever watches its disk.
            match self.place().fs.failure() {
                None => tracing::error!(log = %self.name, %error, "the log has failed and takes no more calls"),
                Some(_) => tracing::debug!(log = %self.name, %error, "the log has failed with its directory"),
            }
        }
        error
    }

    /// Whether a write or flush has failed; everything is refused then.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.get().is_some()
    }

    /// All offsets at one moment.
    #[must_use]
    pub fn offsets(&self) -> LogOffsets {
        self.view().offsets()
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.view().log_start_offset
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        self.view().log_end_offset
    }

    /// The end for consumers.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.view().high_watermark
    }

    /// The end for readers of committed transactions.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        self.view().last_stable_offset()
    }

    /// What is below is known to be on disk and need not be checked; for the checkpoint.
    #[must_use]
    pub fn recovery_point(&self) -> Offset {
        self.view().recovery_point
    }

    /// The log start offset for the checkpoint: only if the first segment's name does not tell it.
    #[must_use]
    pub fn log_start_offset_to_checkpoint(&self) -> Option<Offset> {
        let view = self.view();
        let first = view.segments.first().map_or(0, |segment| segment.base_offset());
        (view.log_start_offset.0 > first).then_some(view.log_start_offset)
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.view().segments.iter().map(|segment| segment.size()).sum()
    }

    /// Number of segments.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.view().segments.len()
    }

    /// Sets the high watermark, within log start and what may be committed; returns what it is now.
    pub fn set_high_watermark(&self, offset: Offset) -> Offset {
        let mut view = self.view_mut();
        let offset = offset.min(view.committable_end()).max(view.log_start_offset);
        view.high_watermark = offset;
        view.transactions.high_watermark_moved(offset);
        offset
    }

    /// Raises the high watermark, at most to the log end or to where records wait for a flush; returns it if it moved.
    pub fn advance_high_watermark(&self, offset: Offset) -> Option<Offset> {
        let mut view = self.view_mut();
        let offset = offset.min(view.committable_end());
        if offset <= view.high_watermark {
            return None;
        }
        view.high_watermark = offset;
        view.transactions.high_watermark_moved(offset);
        Some(offset)
    }

    /// The newest leader epoch known, and where it begins.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<EpochEntry> {
        self.epochs().cache.latest()
    }

    /// All leader epochs known, oldest first.
    #[must_use]
    pub fn epochs_known(&self) -> Vec<EpochEntry> {
        self.epochs().cache.entries().to_vec()
    }

    /// Notes that this broker leads in `epoch` from the log end on.
    pub fn begin_leader_epoch(&self, epoch: LeaderEpoch) {
        // The file is written when records of the epoch are: an epoch without any needs no memory beyond this process.
        let end = self.log_end_offset();
        let mut epochs = self.epochs();
        epochs.unused |= epochs.cache.assign(epoch, end);
    }

    /// The answer to OffsetForLeaderEpoch: the largest epoch known that is not above `epoch`, and where it ends; `None`
    /// if the log knows too little.
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let end = self.log_end_offset();
        self.epochs().cache.end_offset_for(epoch, end)
    }

    /// The leader epoch of the record at `offset`.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs().cache.epoch_at(offset)
    }

    /// The producers remembered (DescribeProducers), in no order.
    ///
    /// # Errors
    /// [`LogError::Failed`] and [`LogError::Closed`].
    pub fn active_producers(&self) -> Result<Vec<ProducerEntry>, LogError> {
        Ok(self.writer()?.producers.entries().cloned().collect())
    }

    /// Forgets producers that have been idle for `producer.id.expiration.ms`; says how many.
    ///
    /// # Errors
    /// [`LogError::Failed`] and [`LogError::Closed`].
    pub fn expire_producers(&self, now_ms: i64) -> Result<usize, LogError> {
        let expiration_ms = self.config().producer_id_expiration_ms;
        Ok(self.writer()?.producers.expire(now_ms, expiration_ms))
    }

    pub(super) fn has_segment(&self, segment: &Arc<Segment>) -> bool {
        self.view().segments.iter().any(|other| Arc::ptr_eq(other, segment))
    }

    /// Closes files that were not used since the last call; they are opened again when needed. Returns how many segments
    /// had any open.
    ///
    /// # Errors
    /// What the disk says when index entries are written: the log has failed then.
    pub fn close_idle_files(&self) -> Result<usize, LogError> {
        self.check_usable()?;
        let segments = self.view().segments.clone();
        let mut closed = 0;
        for segment in segments.iter().filter(|segment| !segment.take_used()) {
            closed += usize::from(segment.close_files().map_err(|error| self.fail(error))?);
        }
        Ok(closed)
    }

    /// Closes the log such that opening it needs no recovery; every later call that changes it is refused. A log that was
    /// not changed since it was opened costs nothing.
    ///
    /// # Errors
    /// What the disk says: no marker of a clean stop may be written then.
    pub fn close(&self, mode: CloseMode) -> Result<(), LogError> {
        let _turn = self.flushing()?;
        if self.prepare_close()? {
            match mode {
                CloseMode::Sync => {
                    self.flush_everything()?;
                }
                CloseMode::CallerSyncs => {
                    self.save_epochs(mode).map_err(|error| self.fail(error))?;
                    let mut view = self.view_mut();
                    view.flushed_end = view.log_end_offset;
                    view.recovery_point = view.log_end_offset;
                }
            }
        }
        self.writer()?.closed = true;
        let segments = self.view().segments.clone();
        for segment in segments {
            segment.save_aborted()?;
            segment.close_files()?;
        }
        Ok(())
    }

    /// Whether closing it has anything to flush.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.writer().is_ok_and(|writer| self.has_changed(&writer))
    }

    fn has_changed(&self, writer: &Writer) -> bool {
        let (offsets, active) = {
            let view = self.view();
            (view.offsets(), view.active().cloned())
        };
        offsets.log_end_offset != offsets.recovery_point
            || writer.directory_changed
            || !writer.unsynced_snapshots.is_empty()
            || self.epochs().unsaved
            || active.is_some_and(|active| active.has_loaded_indexes())
    }

    /// Writes what is only in memory; says whether there is anything to flush.
    fn prepare_close(&self) -> Result<bool, LogError> {
        let config = self.config();
        let mut writer = self.writer()?;
        if !self.has_changed(&writer) {
            return Ok(false);
        }
        let (end, active) = {
            let view = self.view();
            (view.log_end_offset, view.active().cloned())
        };
        if let Some(active) = active {
            active.finish(&config).map_err(|error| self.fail(error))?;
        }
        self.take_snapshot(&mut writer, end).map_err(|error| self.fail(error))?;
        Ok(true)
    }

    /// Writes the producers as they are at `offset`, the log end, unless there is such a snapshot.
    pub(super) fn take_snapshot(&self, writer: &mut Writer, offset: Offset) -> Result<(), LogError> {
        let first = self.view().segments.first().map_or(0, |segment| segment.base_offset());
        // Nothing was ever appended: there is no state that could be lost.
        if writer.snapshots.contains(&offset.0) || (offset.0 == first && writer.producers.is_empty()) {
            return Ok(());
        }
        let entries = writer.producers.entries().map(ProducerEntry::to_snapshot);
        producer_snapshot::write(&self.place(), offset.0, entries)?;
        writer.unsynced_snapshots.push(offset.0);
        writer.snapshots.insert(offset.0);
        writer.directory_changed = true;
        Ok(())
    }

    /// Deletes the snapshots that `unwanted` names; they are found again by replaying the log.
    pub(super) fn remove_snapshots(&self, writer: &mut Writer, unwanted: impl Fn(i64) -> bool) -> Result<(), LogError> {
        let offsets: Vec<i64> = writer.snapshots.iter().copied().filter(|offset| unwanted(*offset)).collect();
        for offset in offsets {
            self.place().remove(&file_name(offset, extension::SNAPSHOT))?;
            writer.snapshots.remove(&offset);
        }
        Ok(())
    }
}
