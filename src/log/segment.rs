//! One segment: a file of batches with its two indexes, from a base offset on.
//!
//! Knows nothing of the segments beside it. Its files are opened on first use and can be closed at any time. Writers
//! are serialised by the log; readers take a file handle and a size and then need no lock, so a file may be cut,
//! renamed or deleted under them: they find the bytes they knew of, or nothing.
//!
//! `lookup.rs` finds batches in it, `check.rs` checks and mends it, `cleaning.rs` is what compaction asks of it.

mod check;
mod cleaning;
mod lookup;

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub(super) use check::Tail;
pub(super) use lookup::BatchBytes;

use super::aborted::Aborted;
use super::config::LogConfig;
use super::error::LogError;
use super::fs::{Create, LogFile};
use super::offset_index::{self, OffsetIndex, OffsetPosition};
use super::place::{Place, extension, file_name};
use super::scan::{BatchInfo, LOOKUP_BLOCK, ScanError, Scanner};
use super::time_index::{self, TimeIndex, TimestampOffset};
use super::txn_index;

/// A stretch of a segment file that holds no sound batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    /// Where it begins in the file.
    pub(super) start: u64,
    /// Where the log goes on: a sound batch, or the end.
    pub(super) end: u64,
    /// First offset that can't be read.
    pub(super) from_offset: i64,
    /// First offset that can be read again.
    pub(super) to_offset: i64,
    /// What is wrong at `start`.
    pub(super) reason: &'static str,
}

/// What an append adds to the indexes, batch by batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Appended {
    pub(super) last_offset: i64,
    pub(super) max_timestamp: i64,
    pub(super) size: u64,
}

/// What is about to be appended, as far as rolling is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct RollCheck {
    pub(super) bytes: u64,
    pub(super) last_offset: i64,
    pub(super) max_timestamp: i64,
    pub(super) jitter_ms: i64,
    pub(super) now_ms: i64,
}

/// What an append that failed has left behind.
#[derive(Debug)]
pub(super) enum AppendFailure {
    /// Nothing: it can be tried again.
    Nothing(LogError),
    /// Nobody knows.
    Doubt(LogError),
}

/// A segment of a log.
#[derive(Debug)]
pub(super) struct Segment {
    place: Arc<Place>,
    base_offset: i64,
    /// Bytes that readers may see. The file is longer while it is preallocated or being appended to.
    size: AtomicU64,
    /// Whether the files were used since somebody asked.
    used: AtomicBool,
    /// Somebody has read over the offsets that are missing at its end, and said so.
    hole_told: AtomicBool,
    /// What is known of the aborted transactions in it.
    pub(super) aborted: Mutex<Aborted>,
    /// First offset of the oldest transaction that was open when the segment was begun, once known.
    pub(super) earliest_open: OnceLock<i64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<Arc<LogFile>>,
    /// The files have their `.deleted` names.
    deleted: bool,
    /// A compacted segment has its names now: what is open stays open for the readers it has left, and no file is opened or
    /// made by its name any more.
    replaced: bool,
    /// Bytes of whole batches, those about to be published among them.
    end: u64,
    /// Above all offsets in the segment: base offset of the next one, or the log end offset.
    end_offset: i64,
    /// Both are loaded when needed.
    offset_index: Option<OffsetIndex>,
    time_index: Option<TimeIndex>,
    /// Largest timestamp, once known; with `None` inside if no record has one.
    max_timestamp: Option<Option<TimestampOffset>>,
    /// Largest timestamp of the first batch, once known: the segment's age counts from it.
    first_timestamp: Option<i64>,
    created_ms: i64,
    /// Bytes appended since the last index entry; counts from the opening, as Kafka's does.
    bytes_since_entry: u64,
    preallocated: bool,
    /// The part that was not checked since the log was opened. Known damage lies within.
    unverified: Range<u64>,
    /// Whether the whole segment was checked since then.
    examined: bool,
    /// What the check found, in the order of positions.
    damage: Vec<Damage>,
}

impl State {
    fn new(end: u64, end_offset: i64, now_ms: i64) -> Self {
        Self {
            file: None,
            deleted: false,
            replaced: false,
            end,
            end_offset,
            offset_index: None,
            time_index: None,
            max_timestamp: None,
            first_timestamp: None,
            created_ms: now_ms,
            bytes_since_entry: 0,
            preallocated: false,
            unverified: 0..end,
            examined: false,
            damage: Vec::new(),
        }
    }
}

impl Segment {
    /// Makes the files of a new segment; what was there under their names is gone.
    pub(super) fn create(
        place: Arc<Place>,
        base_offset: i64,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<Self, LogError> {
        for extension in [extension::OFFSET_INDEX, extension::TIME_INDEX] {
            place.open(&file_name(base_offset, extension), Create::Empty)?;
        }
        place.remove(&file_name(base_offset, extension::TXN_INDEX))?;
        // Order: the log comes last, since indexes without a log are swept away, but a log without them is mended.
        let file = place.open(&file_name(base_offset, extension::LOG), Create::Empty)?;
        let segment = Self::existing(place.clone(), base_offset, 0, base_offset, now_ms);
        segment.aborted_are_known(false);
        {
            let mut state = segment.state();
            if config.preallocate {
                if let Err(error) = file.set_len(u64::from(config.segment_bytes)) {
                    // The log goes on without it: behind a file of this name no start would look for the records.
                    place.remove(&file_name(base_offset, extension::LOG))?;
                    return Err(error);
                }
                state.preallocated = true;
            }
            state.offset_index = Some(OffsetIndex::empty(place.clone(), base_offset));
            state.time_index = Some(TimeIndex::empty(place, base_offset));
            state.max_timestamp = Some(None);
        }
        Ok(segment)
    }

    /// A segment found on disk, of `size` bytes and with offsets below `end_offset`; nothing is opened.
    pub(super) fn existing(place: Arc<Place>, base_offset: i64, size: u64, end_offset: i64, now_ms: i64) -> Self {
        Self {
            place,
            base_offset,
            size: AtomicU64::new(size),
            used: AtomicBool::new(false),
            hole_told: AtomicBool::new(false),
            aborted: Mutex::default(),
            earliest_open: OnceLock::new(),
            state: Mutex::new(State::new(size, end_offset, now_ms)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under this lock leaves at worst an index entry out; batches are checked when they are read.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offset of its first record, or the offset at which it was begun.
    pub(super) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// Bytes of whole batches that readers may see.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Lets readers see what was appended up to `size`.
    pub(super) fn publish(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// Name of the log file, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.place.path(&file_name(self.base_offset, extension::LOG))
    }

    /// Sets the offset that all of its offsets are below, when the log learns it.
    pub(super) fn set_end_offset(&self, end_offset: i64) {
        self.state().end_offset = end_offset;
    }

    /// The log file, opened if it is not.
    pub(super) fn file(&self) -> Result<Arc<LogFile>, LogError> {
        self.open_file(&mut self.state())
    }

    fn open_file(&self, state: &mut State) -> Result<Arc<LogFile>, LogError> {
        self.used.store(true, Ordering::Relaxed);
        if let Some(file) = &state.file {
            return Ok(file.clone());
        }
        let mut name = file_name(self.base_offset, extension::LOG);
        if state.deleted {
            name = format!("{name}.{}", extension::DELETED);
        }
        let file = Arc::new(self.place.open(&name, Create::No)?);
        Ok(state.file.insert(file).clone())
    }

    /// Writes batches behind the last one; they are to be published, at the size returned, once the log's offsets have
    /// moved on.
    ///
    /// # Errors
    /// Says whether the segment is as it was.
    pub(super) fn append(
        &self,
        slices: &mut [IoSlice<'_>],
        batches: impl Iterator<Item = Appended>,
        config: &LogConfig,
    ) -> Result<u64, AppendFailure> {
        let start = self.size();
        let file = self.file().map_err(AppendFailure::Nothing)?;
        let needed = slices.iter().map(|slice| slice.len() as u64).sum();
        if let Err(error) = file.write_vectored_at(slices, start) {
            // No torn bytes stay. The preallocated part goes with them; that costs speed only.
            file.set_len(start).map_err(AppendFailure::Doubt)?;
            return Err(match &error {
                LogError::Io { path, source, .. } if is_full(source) => {
                    AppendFailure::Nothing(LogError::Full { path: path.clone(), needed })
                }
                _ => AppendFailure::Doubt(error),
            });
        }
        let mut state = self.state();
        for batch in batches {
            self.note(&mut state, &batch, config).map_err(AppendFailure::Doubt)?;
        }
        Ok(state.end)
    }

    /// Keeps indexes and timestamps for a batch that stands at the end.
    fn note(&self, state: &mut State, batch: &Appended, config: &LogConfig) -> Result<(), LogError> {
        let position = state.end;
        let so_far = self.load_max_timestamp(state, config)?;
        if batch.max_timestamp > so_far.map_or(-1, |largest| largest.timestamp) {
            let largest = TimestampOffset { timestamp: batch.max_timestamp, offset: batch.last_offset };
            state.max_timestamp = Some(Some(largest));
        }
        if state.bytes_since_entry > u64::from(config.index_interval_bytes) {
            self.load_indexes(state, config)?;
            add_entry(state, batch.last_offset, position, config)?;
            state.bytes_since_entry = 0;
        }
        if position == 0 {
            state.first_timestamp = Some(batch.max_timestamp);
        }
        state.bytes_since_entry += batch.size;
        state.end = position + batch.size;
        state.end_offset = batch.last_offset.saturating_add(1);
        Ok(())
    }

    /// Ends appending: the last time index entry, nothing preallocated any more.
    pub(super) fn finish(&self, config: &LogConfig) -> Result<(), LogError> {
        let mut state = self.state();
        if state.preallocated {
            let end = state.end;
            self.cut_file(&mut state, end)?;
        }
        if state.end == 0 && state.offset_index.is_none() {
            return Ok(());
        }
        self.load_indexes(&mut state, config)?;
        self.load_max_timestamp(&mut state, config)?;
        finish_indexes(&mut state)
    }

    fn cut_file(&self, state: &mut State, end: u64) -> Result<(), LogError> {
        self.open_file(state)?.set_len(end)?;
        state.preallocated = false;
        Ok(())
    }

    /// Where its files are.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Makes the batches durable: what recovery can't make anew.
    pub(super) fn sync_records(&self) -> Result<(), LogError> {
        // The slow part needs no lock: appends and reads go on meanwhile.
        self.file()?.sync()
    }

    /// Makes batches and indexes durable.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.sync_records()?;
        txn_index::sync(&self.place, self.base_offset)?;
        let mut state = self.state();
        if let Some(index) = &mut state.offset_index {
            index.file().sync()?;
        }
        if let Some(index) = &mut state.time_index {
            index.file().sync()?;
        }
        Ok(())
    }

    /// Says that offsets between its last batch and `next_base` are missing, once.
    pub(super) fn tell_hole(&self, from: i64, next_base: i64) {
        if from < next_base && !self.hole_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(segment = %self.path().display(), from, to = next_base, "offsets are missing behind a segment");
        }
    }

    /// Whether its files were used since the last call.
    pub(super) fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    /// Whether entries may have been added to its indexes.
    pub(super) fn has_loaded_indexes(&self) -> bool {
        let state = self.state();
        state.end > 0 && (state.offset_index.is_some() || state.time_index.is_some())
    }

    /// Closes its files; they are opened again when needed. Says whether any was open.
    pub(super) fn close_files(&self) -> Result<bool, LogError> {
        let mut state = self.state();
        if state.replaced {
            return Ok(false);
        }
        let mut open = state.file.take().is_some();
        if state.deleted {
            // Written now, what is not yet in the indexes would make new files under the old names.
            (state.offset_index, state.time_index) = (None, None);
            return Ok(open);
        }
        if let Some(index) = &mut state.offset_index {
            open |= index.file().close()?;
        }
        if let Some(index) = &mut state.time_index {
            open |= index.file().close()?;
        }
        Ok(open)
    }

    /// Renames the files to their `.deleted` names; returns these.
    pub(super) fn mark_deleted(&self) -> Result<Vec<PathBuf>, LogError> {
        self.rename_deleted(&mut self.state())
    }

    fn rename_deleted(&self, state: &mut State) -> Result<Vec<PathBuf>, LogError> {
        let mut paths = Vec::new();
        for extension in [extension::LOG, extension::OFFSET_INDEX, extension::TIME_INDEX, extension::TXN_INDEX] {
            let name = file_name(self.base_offset, extension);
            let to = format!("{name}.{}", extension::DELETED);
            paths.extend(self.place.rename(&name, &to)?);
        }
        state.deleted = true;
        Ok(paths)
    }

    /// Whether the batches to come belong into a new segment.
    pub(super) fn should_roll(&self, roll: &RollCheck, config: &LogConfig) -> Result<bool, LogError> {
        let mut state = self.state();
        if state.end.saturating_add(roll.bytes) > u64::from(config.segment_bytes)
            || roll.last_offset.saturating_sub(self.base_offset) > i64::from(i32::MAX)
        {
            return Ok(true);
        }
        if state.end == 0 {
            return Ok(false);
        }
        let places = |entry_bytes: usize| config.segment_index_bytes as usize / entry_bytes;
        let offsets_full =
            state.offset_index.as_ref().is_some_and(|index| index.len() >= places(offset_index::ENTRY_BYTES).max(1));
        // One place stays free for the last entry.
        let times_full =
            state.time_index.as_ref().is_some_and(|index| index.len() + 1 >= places(time_index::ENTRY_BYTES).max(2));
        if offsets_full || times_full {
            return Ok(true);
        }
        // Age by records' time; where they have none, by the clock.
        let first = self.first_timestamp(&mut state)?;
        let age = if first >= 0 {
            roll.max_timestamp.saturating_sub(first)
        } else {
            roll.now_ms.saturating_sub(state.created_ms)
        };
        Ok(age > config.roll_ms().saturating_sub(roll.jitter_ms))
    }

    fn first_timestamp(&self, state: &mut State) -> Result<i64, LogError> {
        if let Some(first) = state.first_timestamp {
            return Ok(first);
        }
        let file = self.open_file(state)?;
        let first = match Scanner::new(&file, 0, state.end, 0, LOOKUP_BLOCK).next() {
            Ok(batch) => batch.map_or(-1, |batch| batch.max_timestamp),
            Err(ScanError::Io(error)) => return Err(error),
            Err(ScanError::Damaged { .. }) => -1,
        };
        Ok(*state.first_timestamp.insert(first))
    }

    /// Cuts off the batch with `offset`, which is within the segment, and all after it.
    ///
    /// # Errors
    /// What the disk says: the files are then in doubt.
    pub(super) fn truncate_to(&self, offset: i64, config: &LogConfig, now_ms: i64) -> Result<(), LogError> {
        let mut state = self.state();
        let found = self.find_in(&mut state, offset, config);
        let position = match found {
            Ok(batch) => batch.map_or(state.end, |batch| batch.position),
            Err(LogError::Corrupt { position, .. }) => position,
            Err(error) => return Err(error),
        };
        self.load_indexes(&mut state, config)?;
        // Order: the indexes first, so that they never point behind the log.
        if let Some(index) = &mut state.offset_index {
            index.truncate_to(offset)?;
        }
        if let Some(index) = &mut state.time_index {
            index.truncate_to(offset)?;
        }
        self.cut_file(&mut state, position)?;
        self.publish(position);
        state.end = position;
        state.bytes_since_entry = 0;
        state.max_timestamp = (position == 0).then_some(None);
        if position == 0 {
            state.first_timestamp = None;
            state.created_ms = now_ms;
        }
        state.damage.retain(|damage| damage.start < position);
        state.unverified = state.unverified.start.min(position)..state.unverified.end.min(position);
        Ok(())
    }
}

fn add_entry(state: &mut State, offset: i64, position: u64, config: &LogConfig) -> Result<(), LogError> {
    let preallocate = u64::from(config.segment_index_bytes);
    // Invariant: positions fit, since `segment_bytes` is 32 bits wide.
    if let (Some(index), Ok(position)) = (&mut state.offset_index, u32::try_from(position)) {
        index.append(OffsetPosition { offset, position }, preallocate)?;
    }
    if let (Some(index), Some(Some(largest))) = (&mut state.time_index, state.max_timestamp) {
        index.append(largest, preallocate)?;
    }
    Ok(())
}

/// The time index gets its last entry, both files their final size.
fn finish_indexes(state: &mut State) -> Result<(), LogError> {
    if let Some(index) = &mut state.time_index {
        if let Some(Some(largest)) = state.max_timestamp {
            index.append(largest, 0)?;
        }
        index.file().finish()?;
    }
    match &mut state.offset_index {
        Some(index) => index.file().finish(),
        None => Ok(()),
    }
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<&BatchInfo> for Appended {
    fn from(batch: &BatchInfo) -> Self {
        Self { last_offset: batch.last_offset, max_timestamp: batch.max_timestamp, size: batch.size }
    }
}
