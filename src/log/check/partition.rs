//! One partition: its segments batch by batch, and whether everything else in the directory agrees with them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::epoch_cache::{self, EpochCache};
use super::super::error::LogError;
use super::super::fs::Fs;
use super::super::partition_metadata;
use super::super::place::{extension, file_name, parse_file_name};
use super::fault::{Fault, FaultKind, Severity};
use super::producers::Producers;
use super::segment::{SegmentCheck, SegmentEnd};
use crate::types::{Offset, Uuid};

/// What is known of a partition before it is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct PartitionExpectation {
    /// Compaction leaves gaps between offsets.
    pub is_compacted: bool,
    /// It is the metadata log, which has files of its own.
    pub is_metadata: bool,
    /// The broker that had it closed it.
    pub was_closed: bool,
    /// A broker has it open: its end moves.
    pub is_open: bool,
    /// First offset that may not be on disk yet.
    pub recovery_point: Option<Offset>,
    /// The high watermark.
    pub high_watermark: Option<Offset>,
    /// The log start offset, where it is inside of a segment.
    pub log_start_offset: Option<Offset>,
    /// First offset that the cleaner has not seen.
    pub cleaner_offset: Option<Offset>,
}

/// What a look at a partition gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionSummary {
    /// Segments.
    pub segments: usize,
    /// Bytes of their log files.
    pub bytes: u64,
    /// Its first offset.
    pub start: i64,
    /// The offset after its last.
    pub end: i64,
    /// Its topic id, if it has one that can be read.
    pub topic_id: Option<Uuid>,
}

/// Looks at the partition in `dir`; `found` gets every fault, `read` the bytes that were read of its logs since it was last called.
///
/// # Errors
/// A file of the log can't be read.
pub fn check_partition(
    dir: &Path,
    expected: &PartitionExpectation,
    found: &mut dyn FnMut(Fault),
    read: &mut dyn FnMut(u64),
) -> Result<PartitionSummary, LogError> {
    let mut check = PartitionCheck {
        dir,
        expected,
        names: Names::list(dir)?,
        found,
        summary: PartitionSummary::default(),
        producers: Producers::default(),
        epochs: None,
        has_epochs: false,
    };
    check.run(read)?;
    Ok(check.summary)
}

/// The files in the directory.
#[derive(Debug, Default)]
struct Names {
    logs: BTreeSet<i64>,
    /// Of segments, by base offset and extension.
    indexes: BTreeSet<(i64, &'static str)>,
    snapshots: BTreeSet<i64>,
    leftovers: Vec<String>,
    kept: Vec<String>,
}

const INDEXES: [&str; 3] = [extension::OFFSET_INDEX, extension::TIME_INDEX, extension::TXN_INDEX];

impl Names {
    fn list(dir: &Path) -> Result<Self, LogError> {
        let mut names = Self::default();
        for name in Fs::default().list(dir)? {
            match name.rsplit_once('.').map(|(_, suffix)| suffix) {
                Some(extension::DELETED | extension::CLEANED | extension::SWAP | "tmp" | "part") => {
                    names.leftovers.push(name);
                    continue;
                }
                Some("kept") => {
                    names.kept.push(name);
                    continue;
                }
                _ => {}
            }
            let Some((base, kind)) = parse_file_name(&name) else { continue };
            match kind {
                extension::LOG => drop(names.logs.insert(base)),
                extension::SNAPSHOT => drop(names.snapshots.insert(base)),
                kind => {
                    if let Some(index) = INDEXES.iter().find(|index| **index == kind) {
                        names.indexes.insert((base, *index));
                    }
                }
            }
        }
        names.leftovers.sort();
        names.kept.sort();
        Ok(names)
    }
}

struct PartitionCheck<'a> {
    dir: &'a Path,
    expected: &'a PartitionExpectation,
    names: Names,
    found: &'a mut dyn FnMut(Fault),
    summary: PartitionSummary,
    producers: Producers,
    /// What the epochs' file says, if it could be read.
    epochs: Option<EpochCache>,
    /// Whether batches have epochs.
    has_epochs: bool,
}

impl PartitionCheck<'_> {
    fn run(&mut self, read: &mut dyn FnMut(u64)) -> Result<(), LogError> {
        self.check_names();
        self.check_partition_metadata();
        self.read_epochs();
        let end = self.check_segments(read)?;
        self.check_end(end);
        self.check_snapshots(self.summary.end, true);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn find(&mut self, fault: Fault) {
        (self.found)(fault);
    }

    fn check_names(&mut self) {
        for name in std::mem::take(&mut self.names.leftovers) {
            let path = self.path(&name);
            self.find(Fault::new(
                FaultKind::Leftover,
                &path,
                "left by something that was not finished; a broker settles it",
            ));
        }
        for name in std::mem::take(&mut self.names.kept) {
            let path = self.path(&name);
            self.find(Fault::new(
                FaultKind::KeptAside,
                &path,
                "a segment that was put aside and is not part of the log",
            ));
        }
        for (base, kind) in self.names.indexes.clone() {
            if !self.names.logs.contains(&base) {
                let path = self.path(&file_name(base, kind));
                self.find(Fault::new(FaultKind::OrphanIndex, &path, "an index without its log"));
            }
        }
    }

    fn check_partition_metadata(&mut self) {
        if self.expected.is_metadata {
            return;
        }
        let path = self.path(partition_metadata::FILE_NAME);
        match partition_metadata::read(&Fs::default(), self.dir) {
            Ok(Some(id)) => self.summary.topic_id = Some(id),
            Ok(None) => self.find(Fault::new(
                FaultKind::PartitionMetadata,
                &path,
                "missing, so a broker can't tell whose partition this is and puts it aside as stray",
            )),
            Err(error) => self.find(Fault::new(FaultKind::PartitionMetadata, &path, error)),
        }
    }

    fn read_epochs(&mut self) {
        let path = self.path(epoch_cache::FILE_NAME);
        match super::small_file(&path, epoch_cache::MAX_FILE_BYTES) {
            Ok(None) => {}
            Ok(Some(bytes)) => match EpochCache::parse(&bytes) {
                Ok(cache) => self.epochs = Some(cache),
                Err(line) => self.find(Fault::new(
                    FaultKind::BadEpochs,
                    &path,
                    format_args!("line {line} is not what should be there; the epochs are in the batches as well"),
                )),
            },
            Err(error) => self.find(Fault::new(FaultKind::BadEpochs, &path, error)),
        }
    }

    fn check_segments(&mut self, read: &mut dyn FnMut(u64)) -> Result<SegmentEnd, LogError> {
        let bases: Vec<i64> = self.names.logs.iter().copied().collect();
        self.summary.segments = bases.len();
        self.summary.start = bases.first().copied().unwrap_or(0);
        self.summary.end = self.summary.start;
        let mut last_end = SegmentEnd::default();
        let mut contradicted = false;
        // What DeleteRecords has cut off has no epochs any more, but is still in the first segment.
        let log_start = self.expected.log_start_offset.map_or(0, |start| start.0);
        let is_current = self.expected.was_closed;
        for (at, base) in bases.iter().copied().enumerate() {
            let next_base = bases.get(at + 1).copied();
            if at == 0 {
                self.load_snapshot(base);
            } else {
                self.check_gap(base);
                self.check_snapshots(base, false);
            }
            let indexes = INDEXES.map(|kind| self.names.indexes.contains(&(base, kind)));
            let mut segment = SegmentCheck::open(self.dir, base, next_base, indexes, self.expected)?;
            let (epochs, has_epochs) = (self.epochs.as_ref(), &mut self.has_epochs);
            let epochs_path = self.dir.join(epoch_cache::FILE_NAME);
            // The metadata log begins where its oldest snapshot ends, in the midst of a segment; its epochs do, too.
            let may_begin_later = self.expected.is_metadata;
            let mut faults = Vec::new();
            let mut find = |fault| faults.push(fault);
            last_end = segment.run(&mut self.producers, &mut find, read, &mut |batch, faults| {
                let epoch = batch.leader_epoch();
                *has_epochs |= epoch.0 >= 0;
                let known = epochs.and_then(|cache| cache.epoch_at(Offset(batch.base_offset)));
                // Of a log that was not closed the newest epochs may not be in the file yet.
                let is_told = is_current || epochs.and_then(EpochCache::latest).is_some_and(|last| epoch <= last.epoch);
                let is_there = batch.base_offset >= log_start && (known.is_some() || !may_begin_later);
                let counts = epoch.0 >= 0 && is_there && is_told;
                if counts && epochs.is_some() && known != Some(epoch) && !contradicted {
                    contradicted = true;
                    let says = known.map_or_else(|| "none".to_owned(), |known| known.to_string());
                    faults(Fault::new(
                        FaultKind::EpochMismatch,
                        &epochs_path,
                        format_args!("offset {} is of epoch {epoch} in the log, but of {says} here", batch.base_offset),
                    ));
                }
            })?;
            faults.into_iter().for_each(|fault| (self.found)(fault));
            self.summary.end = last_end.next_offset.max(base);
            self.summary.bytes += last_end.size;
        }
        if is_current && self.epochs.is_none() && self.has_epochs && !self.path(epoch_cache::FILE_NAME).exists() {
            let path = self.path(epoch_cache::FILE_NAME);
            self.find(Fault::new(FaultKind::EpochMismatch, &path, "missing, although the batches have epochs"));
        }
        Ok(last_end)
    }

    /// Offsets between the segment before and the one at `base`.
    fn check_gap(&mut self, base: i64) {
        let end = self.summary.end;
        if base > end && !self.expected.is_compacted {
            let path = self.path(&file_name(base, extension::LOG));
            self.find(Fault::new(FaultKind::Hole, &path, "offsets before this segment are missing").losing(end, base));
        }
    }

    fn check_end(&mut self, last: SegmentEnd) {
        let end = self.summary.end;
        if last.torn > 0 {
            let path = self.path(&file_name(last.base, extension::LOG));
            let must_be_whole =
                self.expected.was_closed || self.expected.recovery_point.is_some_and(|point| point.0 > end);
            let fault = if self.expected.is_open {
                Fault::new(FaultKind::TornEnd, &path, format_args!("{} bytes are being written", last.torn))
                    .as_severe_as(Severity::Info)
            } else if must_be_whole {
                let text = format_args!("{}, {} bytes at the end of a log that was closed", last.reason, last.torn);
                Fault::new(FaultKind::TornAfterClose, &path, text).losing(end, i64::MAX)
            } else if last.is_unwritten {
                let text = format_args!("{} bytes without a record that a broker cuts off", last.torn);
                Fault::new(FaultKind::TornEnd, &path, text).as_severe_as(Severity::Info)
            } else {
                let text = format_args!("{}, {} bytes of a torn write that a broker cuts off", last.reason, last.torn);
                Fault::new(FaultKind::TornEnd, &path, text)
            };
            self.find(fault.at(last.position));
        }
        if self.expected.is_open {
            return;
        }
        for (name, offset) in
            [("recovery point", self.expected.recovery_point), ("high watermark", self.expected.high_watermark)]
        {
            if let Some(offset) = offset.filter(|offset| offset.0 > end) {
                let text = format_args!("the log ends at offset {end}, but its {name} is {offset}");
                let fault = Fault::new(FaultKind::ShorterThanKnown, self.dir, text).losing(end, offset.0);
                self.find(fault);
            }
        }
        if let Some(start) = self.expected.log_start_offset.filter(|start| start.0 > end) {
            let text = format_args!(
                "the log ends at offset {end}, but its log start offset is {start}: Apache Kafka would delete all of it"
            );
            self.find(Fault::new(FaultKind::StartBehindEnd, self.dir, text));
        }
        if let Some(offset) = self.expected.cleaner_offset.filter(|offset| offset.0 > end) {
            let text = format_args!("the log ends at offset {end}, but the cleaner was at {offset}");
            self.find(Fault::new(FaultKind::CleanerBehindEnd, self.dir, text));
        }
    }

    /// Producers begin with what the snapshot at the beginning of the log says.
    fn load_snapshot(&mut self, base: i64) {
        if let Some(entries) = self.snapshot(base) {
            self.producers.load(&entries);
        } else {
            self.producers.begin_unknown(base);
        }
    }

    /// The producers in the snapshot at `offset`; a bad one is told of.
    fn snapshot(&mut self, offset: i64) -> Option<Vec<super::ProducerInSnapshot>> {
        if !self.names.snapshots.contains(&offset) {
            return None;
        }
        let path = self.path(&file_name(offset, extension::SNAPSHOT));
        let read = match super::small_file(&path, 1 << 30) {
            Ok(bytes) => super::producers(&bytes.unwrap_or_default()).map_err(|defect| defect.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(entries) => Some(entries),
            Err(reason) => {
                self.find(Fault::new(FaultKind::BadSnapshot, &path, reason));
                None
            }
        }
    }

    /// Compares the snapshot at `offset`, which the replay has reached, with the replay.
    fn check_snapshots(&mut self, offset: i64, is_end: bool) {
        if is_end && (self.expected.is_open || self.names.logs.is_empty() || self.names.logs.contains(&offset)) {
            return;
        }
        if !self.names.snapshots.contains(&offset) {
            if is_end && self.expected.was_closed && !self.producers.is_empty() {
                let path = self.path(&file_name(offset, extension::SNAPSHOT));
                self.find(Fault::new(
                    FaultKind::SnapshotMissing,
                    &path,
                    "missing after a clean stop: Apache Kafka would accept a batch that was sent twice",
                ));
            }
            return;
        }
        if let Some(entries) = self.snapshot(offset)
            && let Some(what) = self.producers.contradiction(&entries, self.expected.is_compacted)
        {
            let path = self.path(&file_name(offset, extension::SNAPSHOT));
            self.find(Fault::new(FaultKind::SnapshotMismatch, &path, what));
        }
    }
}
