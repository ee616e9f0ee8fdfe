//! One segment, batch by batch, with its three indexes beside it: one walk, whatever the size.

use std::path::{Path, PathBuf};

use super::super::error::LogError;
use super::super::fs::{Fs, LogFile};
use super::super::place::{extension, file_name};
use super::super::scan::{self, BatchInfo, ScanError, Scanner, WHOLE_BLOCK};
use super::super::txn_index;
use super::fault::{Fault, FaultKind};
use super::index::{OffsetIndexWalk, TimeIndexWalk};
use super::partition::PartitionExpectation;
use super::producers::Producers;

/// A file full of garbage must not fill the memory with descriptions of it.
const MAX_DAMAGES: usize = 1000;
/// What was read is told of in pieces of so many bytes: often enough to see it go on.
const TOLD_AT_ONCE: u64 = 4 << 20;
/// A segment of fewer bytes may have no index entry at the default interval.
const INDEXED_FROM: u64 = 4096;

/// How a segment ends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SegmentEnd {
    pub(super) base: i64,
    pub(super) next_offset: i64,
    pub(super) size: u64,
    /// Where the sound part ends.
    pub(super) position: u64,
    /// Bytes at the end of the last segment that are no whole batch, and why.
    pub(super) torn: u64,
    pub(super) reason: &'static str,
    /// All of what is behind the sound part is zeros.
    pub(super) is_unwritten: bool,
}

/// A segment that is being looked at.
pub(super) struct SegmentCheck<'a> {
    path: PathBuf,
    base: i64,
    next_base: Option<i64>,
    expected: &'a PartitionExpectation,
    log: LogFile,
    offsets: Option<OffsetIndexWalk>,
    times: Option<TimeIndexWalk>,
    txn_path: PathBuf,
    has_txn: bool,
    aborted: Vec<(i64, i64, i64)>,
    damages: usize,
}

/// A fault is handed on.
pub(super) type Find<'f> = dyn FnMut(Fault) + 'f;

impl<'a> SegmentCheck<'a> {
    /// Opens the files of the segment at `base`; `indexes` says which of its three there are.
    pub(super) fn open(
        dir: &Path,
        base: i64,
        next_base: Option<i64>,
        indexes: [bool; 3],
        expected: &'a PartitionExpectation,
    ) -> Result<Self, LogError> {
        let [has_offsets, has_times, has_txn] = indexes;
        let path = dir.join(file_name(base, extension::LOG));
        // Order: the indexes are opened first, so that while a broker writes they are not newer than the log.
        let offsets = match has_offsets {
            true => Some(OffsetIndexWalk::open(&dir.join(file_name(base, extension::OFFSET_INDEX)), base)?),
            false => None,
        };
        let times = match has_times {
            true => Some(TimeIndexWalk::open(&dir.join(file_name(base, extension::TIME_INDEX)), base)?),
            false => None,
        };
        let log = Fs::default().open_to_read(&path)?;
        let txn_path = dir.join(file_name(base, extension::TXN_INDEX));
        Ok(Self {
            path,
            base,
            next_base,
            expected,
            log,
            offsets,
            times,
            txn_path,
            has_txn,
            aborted: Vec::new(),
            damages: 0,
        })
    }

    /// Whether nothing is appended to it any more, so that everything in it has to be whole.
    fn is_finished(&self) -> bool {
        self.next_base.is_some() || self.expected.was_closed
    }

    /// Goes over all batches; `each` sees the sound ones.
    pub(super) fn run(
        &mut self,
        producers: &mut Producers,
        found: &mut Find<'_>,
        read: &mut dyn FnMut(u64),
        each: &mut dyn FnMut(&BatchInfo, &mut Find<'_>),
    ) -> Result<SegmentEnd, LogError> {
        let end_offset = self.next_base.unwrap_or(i64::MAX);
        let file = self.log.try_clone()?;
        let size = file.size()?;
        let mut scanner = Scanner::new(&file, 0, size, self.base, WHOLE_BLOCK);
        let mut end = SegmentEnd { base: self.base, next_offset: self.base, size, ..SegmentEnd::default() };
        let mut unknown = false;
        let mut told = 0;
        loop {
            if scanner.position() >= told + TOLD_AT_ONCE {
                read(scanner.position() - told);
                told = scanner.position();
            }
            let (position, expected) = (scanner.position(), scanner.next_offset());
            let reason = match check_next(&mut scanner, self.base, end_offset)? {
                None => break,
                Some(Ok(batch)) => {
                    if batch.base_offset > expected && !self.expected.is_compacted && !unknown && batch.header.is_some()
                    {
                        let text = "offsets before this batch are missing";
                        found(
                            Fault::new(FaultKind::Hole, &self.path, text)
                                .at(position)
                                .losing(expected, batch.base_offset),
                        );
                    }
                    unknown = batch.header.is_none();
                    self.take(&batch, &mut scanner, producers, found)?;
                    each(&batch, found);
                    end.position = batch.end();
                    end.next_offset = batch.next_offset();
                    continue;
                }
                Some(Err(reason)) => reason,
            };
            end.is_unwritten = scan::is_unwritten(&file, position, size)?;
            if end.is_unwritten && expected == end_offset {
                // Set aside, and not needed.
                break;
            }
            let behind = if end.is_unwritten { None } else { scan::find_batch_after(&file, position, size, expected)? };
            let behind = behind.filter(|behind| behind.last_offset < end_offset);
            if behind.is_none() && self.next_base.is_none() {
                (end.torn, end.reason) = (size - position, reason);
                break;
            }
            let to = behind.map_or(size, |batch| batch.position);
            let to_offset = behind.map_or(end_offset, |batch| batch.base_offset);
            if self.damages < MAX_DAMAGES {
                let text = format_args!("{reason}, {} bytes can't be read", to - position);
                found(Fault::new(FaultKind::Damaged, &self.path, text).at(position).losing(expected, to_offset));
            }
            self.damages += 1;
            // What tells of these batches is right, and would only repeat that they are gone.
            (self.offsets, self.times) = (None, None);
            producers.lose();
            scanner.seek(to, to_offset);
            (end.position, end.next_offset) = (to, to_offset);
        }
        read(size.saturating_sub(told));
        self.finish(&end, producers, found)?;
        Ok(end)
    }

    fn take(
        &mut self,
        batch: &BatchInfo,
        scanner: &mut Scanner<'_>,
        producers: &mut Producers,
        found: &mut Find<'_>,
    ) -> Result<(), LogError> {
        let is_control = batch.header.is_some_and(|header| header.attributes.is_control());
        let bytes = if is_control { scanner.batch_bytes(batch)? } else { &[] };
        for transaction in producers.take(batch, bytes) {
            let (first, last) = (transaction.first_offset.get(), transaction.last_offset.get());
            if !producers.may_have_begun_before(first) {
                self.aborted.push((transaction.producer_id.get(), first, last));
            }
        }
        if let Some(index) = &mut self.offsets {
            index.take(batch, found)?;
        }
        if let Some(index) = &mut self.times {
            index.take(batch, found)?;
        }
        Ok(())
    }

    fn finish(&mut self, end: &SegmentEnd, producers: &Producers, found: &mut Find<'_>) -> Result<(), LogError> {
        let finished = self.is_finished() && !self.expected.is_open;
        // What is damaged has indexes of before: one fault is enough.
        let whole = self.damages == 0 && end.torn == 0;
        for (index, kind) in
            [(self.offsets.is_some(), extension::OFFSET_INDEX), (self.times.is_some(), extension::TIME_INDEX)]
        {
            if !index && finished && whole && end.size > 2 * INDEXED_FROM {
                let path = self.path.with_extension(kind);
                found(Fault::new(FaultKind::IndexMissing, &path, "missing; a broker makes it anew from the log"));
            }
        }
        if let Some(index) = &mut self.offsets
            && whole
        {
            index.finish(finished, found)?;
        }
        if let Some(index) = &mut self.times
            && whole
        {
            index.finish(finished, found)?;
        }
        if whole {
            self.check_aborted(producers, found)?;
        }
        Ok(())
    }

    /// Compares the transaction index with the markers in the segment.
    fn check_aborted(&mut self, producers: &Producers, found: &mut Find<'_>) -> Result<(), LogError> {
        if !self.has_txn {
            if let Some((producer, first, last)) = self.aborted.first() {
                let text = format_args!(
                    "missing, so that the aborted transaction of producer {producer} from offset {first} to {last} \
                     would be read as committed"
                );
                found(Fault::new(FaultKind::TxnIndex, &self.txn_path, text));
            }
            return Ok(());
        }
        const MAX_FILE_BYTES: u64 = 1 << 30;
        let bytes = super::small_file(&self.txn_path, MAX_FILE_BYTES)?.unwrap_or_default();
        let Some(entries) = txn_index::parse(&bytes, self.base) else {
            found(Fault::new(FaultKind::TxnIndex, &self.txn_path, "not a whole transaction index"));
            return Ok(());
        };
        if self.expected.is_compacted {
            // What aborted transactions wrote is gone with the first compaction.
            return Ok(());
        }
        let entries: Vec<(i64, i64, i64)> = entries
            .iter()
            .map(|entry| (entry.producer_id.get(), entry.first_offset.get(), entry.last_offset.get()))
            .filter(|(_, first, _)| !producers.may_have_begun_before(*first))
            .collect();
        let differs = |fault: &str, (producer, first, last): (i64, i64, i64)| {
            let text = format!("{fault} the aborted transaction of producer {producer} from offset {first} to {last}");
            Fault::new(FaultKind::TxnIndex, &self.txn_path, text)
        };
        if let Some(missing) = self.aborted.iter().find(|aborted| !entries.contains(aborted)) {
            found(differs("lacks", *missing));
        }
        if let Some(extra) = entries.iter().find(|entry| !self.aborted.contains(entry)) {
            found(differs("has what the log has not,", *extra));
        }
        Ok(())
    }
}

/// The next batch of a walk: none at the end, or what is wrong with it.
fn check_next(
    scanner: &mut Scanner<'_>,
    base: i64,
    end_offset: i64,
) -> Result<Option<Result<BatchInfo, &'static str>>, LogError> {
    let batch = match scanner.next() {
        Ok(None) => return Ok(None),
        Ok(Some(batch)) => batch,
        Err(ScanError::Io(error)) => return Err(error),
        Err(ScanError::Damaged { reason, .. }) => return Ok(Some(Err(reason))),
    };
    if batch.last_offset >= end_offset {
        return Ok(Some(Err("offsets of the next segment")));
    }
    if batch.last_offset - base > i64::from(i32::MAX) {
        return Ok(Some(Err("offsets too far from the base offset")));
    }
    Ok(Some(if scanner.verify(&batch)? { Ok(batch) } else { Err("wrong checksum") }))
}
