//! Opening a log: what its files say, checked as far as they deserve it.
//!
//! | left | done |
//! |---|---|
//! | clean | the directory is listed; the end is found from the last index entry and a short walk |
//! | clean, but the end contradicts that | as unclean, the last segment only |
//! | unclean | every segment that reaches beyond the recovery point, and the last one, is checked batch by batch |
//!
//! Nothing sound is ever dropped: a torn end is cut, damage elsewhere stays and is reported. Epochs and producers come
//! from their files as far as these are good, and from the batches after that.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use super::config::LogConfig;
use super::epoch_cache::{self, EpochCache};
use super::error::LogError;
use super::finding::{Finding, FindingKind, OpenReport};
use super::log::{Epochs, Log, LogOptions, Shutdown, View};
use super::place::{Place, extension, file_name, parse_file_name};
use super::producer_snapshot;
use super::producer_state::{ProducerEntry, ProducerState};
use super::progress::OpenProgress;
use super::replay::load_producers;
use super::segment::{Segment, Tail};
use super::swap;
use super::transactions::Transactions;
use super::txn_index;
use crate::types::{LeaderEpoch, Offset};

/// A check is counted in pieces of so many bytes: often enough to see it go on.
const COUNTED_AT_ONCE: u64 = 4 << 20;

/// Extension of segments that are kept out of the log; Kafka leaves such files alone.
pub(super) const KEPT: &str = "kept";

impl Log {
    /// Lets the log begin where its leader epochs do, if nothing else says any more where it begins: the first record there
    /// is belongs to an epoch that was dropped as deleted, or to one that begins later by now.
    pub(super) fn begin_with_epochs(&self) -> Result<Option<Finding>, LogError> {
        let (first, start, end) = {
            let view = self.view();
            (view.segments.first().cloned(), view.log_start_offset, view.log_end_offset)
        };
        let known = self.epochs_known().first().copied().filter(|known| known.start_offset > start);
        let (Some(first), Some(known)) = (first, known.filter(|known| known.start_offset <= end)) else {
            return Ok(None);
        };
        let batch = first.first_batch()?;
        first.close_files()?;
        // Records from before there were epochs have none: they are not from before the start. And where compaction took
        // the first records, epochs that were made anew from the batches begin with the first that is left: nothing to hide.
        let is_deleted = batch.is_some_and(|(offset, epoch)| {
            offset < known.start_offset && epoch >= LeaderEpoch(0) && epoch <= known.epoch
        });
        if !is_deleted {
            return Ok(None);
        }
        let high_watermark = self.high_watermark().max(known.start_offset);
        self.set_high_watermark(high_watermark);
        let start = self.raise_log_start_offset(known.start_offset)?;
        let finding = Finding { path: self.dir(), kind: FindingKind::StartFromEpochs { start } };
        Ok(Some(finding))
    }
}

/// A log as it was found.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) view: View,
    pub(super) epochs: Epochs,
    pub(super) producers: ProducerState,
    pub(super) snapshots: BTreeSet<i64>,
    pub(super) directory_changed: bool,
    pub(super) report: OpenReport,
}

/// Loads the log in a directory.
///
/// # Errors
/// What the disk says.
pub(super) fn load(
    place: &Arc<Place>,
    options: &LogOptions,
    progress: Option<&OpenProgress>,
) -> Result<Loaded, LogError> {
    Loader { place, options, config: &options.config, progress, report: OpenReport::default() }.load()
}

struct Loader<'a> {
    place: &'a Arc<Place>,
    options: &'a LogOptions,
    config: &'a LogConfig,
    progress: Option<&'a OpenProgress>,
    report: OpenReport,
}

/// The names in the directory that mean something.
#[derive(Debug, Default)]
struct Names {
    logs: BTreeSet<i64>,
    indexes: Vec<(i64, String)>,
    snapshots: BTreeSet<i64>,
    /// Segments that there are indexes of, but no log.
    lost: BTreeSet<i64>,
    has_epochs: bool,
}

/// The segments, and what checking some of them has told.
struct Segments {
    all: Vec<Arc<Segment>>,
    /// Base offset of the first one that was checked.
    recovered_from: Option<i64>,
    end: i64,
}

impl Loader<'_> {
    fn load(mut self) -> Result<Loaded, LogError> {
        let mut names = self.names()?;
        let mut epochs = self.load_epochs(&names)?;
        let mut segments = self.load_segments(&names, &mut epochs)?;
        let mut directory_changed = names.logs.is_empty();
        let start = self.find_start(&mut segments, &mut names, &mut directory_changed)?;
        let end = Offset(segments.end);
        let start = Offset(start);
        // An epoch that begins at the end had no records; the file may go on naming it, since the next one is written with its own.
        let is_ahead = epochs.cache.latest().is_some_and(|latest| latest.start_offset > end);
        let truncated = epochs.cache.truncate_from_end(end);
        epochs.unsaved |= truncated && (is_ahead || self.options.shutdown == Shutdown::Unclean);
        epochs.unsaved |= epochs.cache.truncate_from_start(start);

        let recovered = self.options.shutdown == Shutdown::Unclean || segments.recovered_from.is_some();
        let recovery_point = match self.options.shutdown {
            Shutdown::Clean if !recovered => end,
            // One behind the end is from before the log was cut, or lost its end: who knows what is on the disk.
            _ => self.options.recovery_point.filter(|known| *known <= end).unwrap_or(Offset::ZERO),
        };
        let high_watermark = self.options.high_watermark.unwrap_or(start).clamp(start, end);
        let (producers, mut transactions) = self.load_producers(&segments, &mut names, start, end)?;
        transactions.high_watermark_moved(high_watermark);
        // What was opened to look at it may rest for a long time.
        for segment in &segments.all {
            segment.close_files()?;
        }
        let mut view = View {
            segments: segments.all,
            log_start_offset: start,
            high_watermark,
            log_end_offset: end,
            // What was checked was flushed then.
            flushed_end: end,
            recovery_point,
            due_flush: None,
            transactions,
        };
        if recovered {
            // The files of the last segment were made anew, and are not durable.
            view.flushed_at_most(end);
        }
        // A process that was killed may have left snapshots that only the system's memory has.
        let directory_changed = directory_changed || recovered;
        Ok(Loaded { view, epochs, producers, snapshots: names.snapshots, directory_changed, report: self.report })
    }

    fn find(&mut self, path: PathBuf, kind: FindingKind) {
        self.report.findings.push(Finding { path, kind });
    }

    /// Lists the directory, after finishing or undoing what was going on when the log was left.
    fn names(&mut self) -> Result<Names, LogError> {
        let dir = self.place.dir();
        let listed = match self.place.fs.list(&dir) {
            Err(error) if error.is_not_found() => {
                self.place.fs.create_dir(&dir)?;
                Vec::new()
            }
            other => other?,
        };
        let listed = swap::settle(self.place, listed)?;
        let mut names = Names::default();
        for name in listed {
            if name == epoch_cache::FILE_NAME {
                names.has_epochs = true;
            }
            let Some((offset, kind)) = parse_file_name(&name) else { continue };
            match kind {
                extension::LOG => {
                    names.logs.insert(offset);
                }
                extension::SNAPSHOT => {
                    names.snapshots.insert(offset);
                }
                extension::OFFSET_INDEX | extension::TIME_INDEX | extension::TXN_INDEX => {
                    names.indexes.push((offset, name));
                }
                _ => {}
            }
        }
        // An index without its log is of no use, and in the way of a new segment.
        for (_, name) in names.indexes.iter().filter(|(offset, _)| !names.logs.contains(offset)) {
            self.place.remove(name)?;
        }
        names.lost = names.indexes.iter().map(|(offset, _)| *offset).filter(|at| !names.logs.contains(at)).collect();
        Ok(names)
    }

    fn load_epochs(&mut self, names: &Names) -> Result<Epochs, LogError> {
        let mut epochs = Epochs { cache: EpochCache::default(), unused: false, unsaved: false };
        if !names.has_epochs {
            epochs.unsaved = !names.logs.is_empty();
            return Ok(epochs);
        }
        let path = self.place.path(epoch_cache::FILE_NAME);
        let bytes = self.place.fs.read_small(&path, epoch_cache::MAX_FILE_BYTES);
        match bytes.map(|bytes| bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| EpochCache::parse(&bytes))) {
            Ok(Some(Ok(cache))) => epochs.cache = cache,
            // Kafka makes the file before it has anything to say; of a log with records it says something.
            Ok(None) => epochs.unsaved = !names.logs.is_empty(),
            // What the file should say is in the batches; a disk that can't be read will be noticed there as well.
            wrong => {
                let line = match wrong {
                    Ok(Some(Err(line))) => Some(line),
                    _ => None,
                };
                self.find(path, FindingKind::EpochsRebuilt { line });
                epochs.unsaved = true;
            }
        }
        Ok(epochs)
    }

    fn load_segments(&mut self, names: &Names, epochs: &mut Epochs) -> Result<Segments, LogError> {
        let bases: Vec<i64> = names.logs.iter().copied().collect();
        let mut all = Vec::with_capacity(bases.len().max(1));
        for (at, base) in bases.iter().enumerate() {
            let path = self.place.path(&file_name(*base, extension::LOG));
            let size = self.place.fs.metadata(&path)?.size;
            let next_base = bases.get(at + 1).copied();
            if let Some(next) = next_base.filter(|_| size == 0 && !self.config.cleanup_compact) {
                self.find(path, FindingKind::Hole { from: Offset(*base), to: Offset(next) });
            }
            let end_offset = next_base.unwrap_or(i64::MAX);
            let now_ms = self.options.now_ms;
            all.push(Arc::new(Segment::existing(self.place.clone(), *base, size, end_offset, now_ms)));
        }
        let mut segments = Segments { all, recovered_from: None, end: 0 };
        let Some(last) = segments.all.last().cloned() else {
            let base = self.options.log_start_offset.unwrap_or(Offset::ZERO).0;
            let now_ms = self.options.now_ms;
            segments.all.push(Arc::new(Segment::create(self.place.clone(), base, self.config, now_ms)?));
            segments.end = base;
            epochs.unsaved = false;
            return Ok(segments);
        };
        let first = bases.first().copied().unwrap_or(0);
        let known = self.options.recovery_point;
        if self.options.shutdown == Shutdown::Clean {
            let base = last.base_offset();
            let has_index = names.indexes.contains(&(base, file_name(base, extension::OFFSET_INDEX)));
            let wrong = match last.find_end(has_index)? {
                Err(reason) => Some(reason),
                Ok(end) if known.is_some_and(|known| end.offset < known.0) => Some("fewer records than there were"),
                Ok(end) if end.is_after_leap && known.is_some_and(|known| end.offset > known.0) => {
                    Some("offsets behind the log end")
                }
                Ok(end) => {
                    segments.end = end.offset;
                    self.compare_epochs(end.offset, end.epoch, epochs);
                    None
                }
            };
            if let Some(reason) = wrong {
                self.find(self.place.dir(), FindingKind::NotClean { reason });
                let tail = known.map_or(Tail::Cut, |known| Tail::CutLeapBeyond(known.0));
                self.recover(&mut segments, last.base_offset(), epochs, tail)?;
            }
        } else {
            let from = known.unwrap_or(Offset::ZERO).0;
            let at = segments.all.partition_point(|segment| segment.base_offset() <= from).saturating_sub(1);
            let base = segments.all.get(at).map_or(0, |segment| segment.base_offset());
            self.recover(&mut segments, base, epochs, Tail::Cut)?;
        }
        last.set_end_offset(segments.end);
        self.report_lost_segments(names, &segments);
        if epochs.unsaved {
            self.rebuild_epochs(&segments, epochs)?;
            // A log without records has nothing to tell.
            epochs.unsaved &= segments.end > first || !epochs.cache.entries().is_empty();
        }
        if let Some(known) = known.filter(|known| known.0 > segments.end) {
            let end = Offset(segments.end);
            self.find(self.place.dir(), FindingKind::ShorterThanKnown { known, end });
        }
        Ok(segments)
    }

    /// Holds the epochs' file, which has no checksum, against the last batch, unless that was deleted. The newest epoch may have
    /// no records yet.
    fn compare_epochs(&mut self, end: i64, last: LeaderEpoch, epochs: &mut Epochs) {
        let at = Offset(end).plus(-1);
        // After a cut at the log start, the cache is empty, and the batches below are still there.
        let is_deleted = epochs.cache.entries().first().is_some_and(|first| first.start_offset > at)
            || self.options.log_start_offset.is_some_and(|start| start > at);
        if last >= LeaderEpoch(0) && !epochs.unsaved && !is_deleted && epochs.cache.epoch_at(at) != Some(last) {
            let path = self.place.path(epoch_cache::FILE_NAME);
            self.find(path, FindingKind::EpochsRebuilt { line: None });
            epochs.cache.clear();
            epochs.unsaved = true;
        }
    }

    /// Tells of segments whose logs are gone while something else of them is there. Where nothing is left, whoever reads
    /// over the hole says so; segments that were checked one after another have told theirs.
    fn report_lost_segments(&mut self, names: &Names, segments: &Segments) {
        let checked_from = segments.recovered_from.unwrap_or(i64::MAX);
        let first = names.logs.first().copied().unwrap_or(i64::MAX);
        for from in names.lost.range(first.min(checked_from)..checked_from) {
            let next = names.logs.range(from..).next();
            if let Some(to) = next.filter(|_| !self.config.cleanup_compact) {
                let path = self.place.path(&file_name(*from, extension::LOG));
                self.find(path, FindingKind::Hole { from: Offset(*from), to: Offset(*to) });
            }
        }
    }

    /// Checks the segments from the one at `from` on; `tail` says what becomes of a bad end of the last one.
    fn recover(&mut self, segments: &mut Segments, from: i64, epochs: &mut Epochs, tail: Tail) -> Result<(), LogError> {
        epochs.unsaved |= epochs.cache.truncate_from_end(Offset(from));
        let mut expected = from;
        let count = segments.all.len();
        for (at, segment) in segments.all.iter().enumerate() {
            if segment.base_offset() < from {
                continue;
            }
            let base = segment.base_offset();
            if base > expected && !self.config.cleanup_compact && segment.size() > 0 {
                self.find(segment.path(), FindingKind::Hole { from: Offset(expected), to: Offset(base) });
            }
            let tail = if at + 1 == count { tail } else { Tail::Keep };
            let mut assigned = false;
            let (mut counted, progress) = (0, self.progress);
            let recovered = segment.recover(tail, self.config, |batch| {
                assigned |= epochs.cache.assign(batch.leader_epoch(), Offset(batch.base_offset));
                if batch.end() >= counted + COUNTED_AT_ONCE {
                    progress.inspect(|progress| progress.bytes_checked(batch.end() - counted));
                    counted = batch.end();
                }
            })?;
            // Order: before anything is appended. A killed process may have been cutting the log: what it cut off could come back
            // beside what is appended now. And what only the system's memory has is promised by nobody.
            if !self.options.is_flushed || recovered.cut > 0 {
                segment.sync_records()?;
            }
            // One after another: a log may have more segments than a process may have files. The last one is read again soon.
            if at + 1 < count {
                segment.close_files()?;
            }
            epochs.unsaved |= assigned;
            for damage in &recovered.damage {
                let kind = FindingKind::Damaged {
                    position: damage.start,
                    bytes: damage.end - damage.start,
                    from: Offset(damage.from_offset),
                    to: Offset(damage.to_offset),
                    reason: damage.reason,
                };
                self.find(segment.path(), kind);
            }
            expected = recovered.next_offset.max(base);
            // What was set aside and never written is no torn write.
            let is_spare = recovered.is_unwritten && (self.config.preallocate || at + 1 < count);
            if recovered.cut > 0 && !is_spare {
                let (position, bytes, offset) = (recovered.end, recovered.cut, Offset(expected));
                self.find(segment.path(), FindingKind::TornEnd { position, bytes, offset });
                self.report.truncated_bytes += bytes;
            }
            self.report.recovered_segments += 1;
            if let Some(progress) = self.progress {
                progress.bytes_checked((recovered.end + recovered.cut).saturating_sub(counted));
                progress.segment_checked();
            }
        }
        // Order: the same for names that were taken away.
        if !self.options.is_flushed {
            self.place.fs.sync_dir(&self.place.dir())?;
        }
        segments.end = expected;
        segments.recovered_from = Some(from);
        Ok(())
    }

    /// Reads the epochs from the batches of the segments that were not checked; the others have told theirs.
    fn rebuild_epochs(&mut self, segments: &Segments, epochs: &mut Epochs) -> Result<(), LogError> {
        let checked_from = segments.recovered_from.unwrap_or(i64::MAX);
        let file_is_good = epochs.cache.entries().first().is_some_and(|first| first.start_offset.0 < checked_from);
        if file_is_good {
            return Ok(());
        }
        let later = std::mem::take(&mut epochs.cache);
        for segment in segments.all.iter().filter(|segment| segment.base_offset() < checked_from) {
            segment.walk(segment.base_offset(), self.config, |batch, _| {
                epochs.cache.assign(batch.leader_epoch(), Offset(batch.base_offset));
                Ok(ControlFlow::Continue(()))
            })?;
            segment.close_files()?;
        }
        for entry in later.entries() {
            epochs.cache.assign(entry.epoch, entry.start_offset);
        }
        Ok(())
    }

    /// The log start offset. A checkpoint that places it behind the log end is no reason to delete anything.
    fn find_start(
        &mut self,
        segments: &mut Segments,
        names: &mut Names,
        directory_changed: &mut bool,
    ) -> Result<i64, LogError> {
        let first = segments.all.first().map_or(0, |segment| segment.base_offset());
        let start = self.options.log_start_offset.map_or(first, |start| start.0.max(first));
        if start <= segments.end {
            return Ok(start);
        }
        let (end, count) = (Offset(segments.end), segments.all.len());
        for base in segments.all.drain(..).map(|segment| segment.base_offset()) {
            let name = file_name(base, extension::LOG);
            self.place.rename(&name, &format!("{name}.{KEPT}"))?;
            for kind in [extension::OFFSET_INDEX, extension::TIME_INDEX, extension::TXN_INDEX] {
                self.place.remove(&file_name(base, kind))?;
            }
        }
        for offset in std::mem::take(&mut names.snapshots) {
            self.place.remove(&file_name(offset, extension::SNAPSHOT))?;
        }
        let now_ms = self.options.now_ms;
        segments.all.push(Arc::new(Segment::create(self.place.clone(), start, self.config, now_ms)?));
        segments.end = start;
        segments.recovered_from = None;
        *directory_changed = true;
        let kind = FindingKind::StartBehindEnd { start: Offset(start), end, segments: count };
        self.find(self.place.dir(), kind);
        Ok(start)
    }

    fn load_producers(
        &mut self,
        segments: &Segments,
        names: &mut Names,
        start: Offset,
        end: Offset,
    ) -> Result<(ProducerState, Transactions), LogError> {
        // Snapshots of later than where the check began may tell of records that are gone.
        let newest = segments.recovered_from.unwrap_or(end.0);
        let lost = |finding: &Finding| matches!(finding.kind, FindingKind::Damaged { .. } | FindingKind::Hole { .. });
        if self.report.findings.iter().any(lost) {
            // They would be used when a later check begins behind the damage.
            for offset in names.snapshots.split_off(&newest.saturating_add(1)) {
                self.place.remove(&file_name(offset, extension::SNAPSHOT))?;
            }
        }
        let on_disk = names.snapshots.clone();
        let now_ms = self.options.now_ms;
        let replayed =
            load_producers(self.place, self.config, &segments.all, &mut names.snapshots, newest, end, now_ms)?;
        for offset in on_disk.difference(&names.snapshots) {
            let path = self.place.path(&file_name(*offset, extension::SNAPSHOT));
            self.find(path, FindingKind::BadSnapshot);
        }
        if let Some(from) = segments.recovered_from {
            for segment in segments.all.iter().filter(|segment| segment.base_offset() >= from) {
                let base = segment.base_offset();
                let aborted = replayed.aborted.get(&base).map(Vec::as_slice).unwrap_or_default();
                if !aborted.is_empty() || names.indexes.contains(&(base, file_name(base, extension::TXN_INDEX))) {
                    txn_index::rewrite(self.place, base, aborted)?;
                }
                segment.aborted_are_known(!aborted.is_empty());
            }
        } else if replayed.from.0 < end.0 {
            self.find(self.place.dir(), FindingKind::ProducersRebuilt);
        }
        self.keep_snapshots(segments, names, &replayed.producers, start, end)?;
        Ok((replayed.producers, replayed.transactions))
    }

    /// Leaves the snapshots that recovery may need: those at the beginnings of segments, and one at the end.
    fn keep_snapshots(
        &self,
        segments: &Segments,
        names: &mut Names,
        producers: &ProducerState,
        start: Offset,
        end: Offset,
    ) -> Result<(), LogError> {
        if !names.snapshots.contains(&end.0) && (end > start || !producers.is_empty()) {
            let entries = producers.entries().map(ProducerEntry::to_snapshot);
            producer_snapshot::write(self.place, end.0, entries)?;
            names.snapshots.insert(end.0);
        }
        let bases: BTreeSet<i64> = segments.all.iter().map(|segment| segment.base_offset()).collect();
        let stray: Vec<i64> =
            names.snapshots.iter().copied().filter(|offset| *offset != end.0 && !bases.contains(offset)).collect();
        for offset in stray {
            self.place.remove(&file_name(offset, extension::SNAPSHOT))?;
            names.snapshots.remove(&offset);
        }
        Ok(())
    }
}
