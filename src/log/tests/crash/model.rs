//! What the log should be: a list of batches, and what was promised of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::compaction::{Cleaning, records_of};
use crate::log::test_support::*;
use crate::log::{Finding, FindingKind, Log, OpenReport, ReadError, ReadLimits};
use crate::record::{EndMarker, RecordBatch, batches};
use crate::types::Offset;

/// The bytes of a batch as the log stores them.
pub(super) fn stored(bytes: &[u8], base_offset: i64, epoch: i32) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
    bytes.into()
}

pub(super) fn view(bytes: &Bytes) -> RecordBatch<'_> {
    RecordBatch::new(bytes).unwrap().0
}

pub(super) fn end_of(bytes: &Bytes) -> i64 {
    view(bytes).header().next_offset().0
}

/// How a log was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Closed.
    Clean,
    /// Its process is gone; what it wrote is there.
    Killed,
    /// So is the power, and what was not flushed may be.
    PowerCut,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    /// The batches in the log, by base offset; below the log start too.
    pub(super) batches: BTreeMap<i64, Bytes>,
    /// All that was ever given to the log.
    pub(super) written: BTreeSet<(i64, Bytes)>,
    /// Batches of an append that came to no good end: they may be there, up to any one of them.
    pub(super) doubtful: Vec<Bytes>,
    pub(super) start: i64,
    pub(super) end: i64,
    /// What is below survives a power cut.
    pub(super) safe: i64,
    /// Somebody was told that what is below is flushed.
    pub(super) told: i64,
    pub(super) high_watermark: i64,
    /// The log is begun anew at its end, or still begins at one of these offsets.
    pub(super) begun_before: Option<RangeInclusive<i64>>,
    pub(super) epoch: i32,
    /// The log start offset in the checkpoint.
    pub(super) checkpointed_start: i64,
    /// The offset behind the last batch may be forgotten.
    pub(super) gap_at_end: bool,
    /// The log start fell back to what was noted of it.
    pub(super) fell_back: bool,
    /// A power cut has left damage in the log, which stays.
    pub(super) is_damaged: bool,
    /// Holes are the ordinary thing in the log.
    pub(super) is_compacted: bool,
    /// A cleaning that came to no end.
    pub(super) cleaning: Option<Cleaning>,
}

/// What is read of a log.
pub(super) struct Served {
    pub(super) batches: BTreeMap<i64, Bytes>,
    /// Offsets were refused as damaged.
    pub(super) refused: bool,
}

pub(super) fn served(log: &Log) -> Served {
    let mut served = Served { batches: BTreeMap::new(), refused: false };
    let (mut next, end) = (log.log_start_offset(), log.log_end_offset());
    while next < end {
        let limits = ReadLimits { end, max_bytes: 700, at_least_one_batch: true };
        let piece = match log.read(next, limits) {
            Ok(piece) => piece,
            Err(ReadError::Corrupt { .. }) => {
                served.refused = true;
                next = next.plus(1);
                continue;
            }
            Err(error) => panic!("reading at {next}: {error}"),
        };
        if piece.bytes.is_empty() {
            break;
        }
        for batch in batches(&piece.bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().expect("a batch with a wrong checksum is served");
            let base = batch.header().base_offset.0;
            let before = served.batches.insert(base, Bytes::copy_from_slice(batch.bytes()));
            assert!(before.is_none() || served.refused, "offset {base} twice");
        }
        assert!(piece.next_offset > next, "reading stands still at {next}");
        next = piece.next_offset;
    }
    served
}

impl Model {
    /// Takes a batch as acknowledged.
    pub(super) fn append(&mut self, bytes: Bytes) {
        let base = view(&bytes).header().base_offset.0;
        self.end = end_of(&bytes);
        self.gap_at_end = false;
        self.batches.insert(base, bytes);
    }

    /// The log is cut, or may be.
    pub(super) fn truncate(&mut self, to: i64) {
        self.batches.retain(|_, bytes| end_of(bytes) <= to);
        self.end = to;
        self.gap_at_end = true;
        self.high_watermark = self.high_watermark.min(to);
        self.safe = self.safe.min(to).min(self.last_end());
        self.told = self.told.min(self.safe);
    }

    /// All below `end` has been flushed, and the directory.
    pub(super) fn flushed(&mut self, end: i64) {
        self.safe = self.safe.max(end);
    }

    pub(super) fn last_end(&self) -> i64 {
        self.batches.values().next_back().map_or(self.start, end_of)
    }

    /// The log says what the model says, while it is open.
    pub(super) fn check_open(&mut self, log: &Log) {
        let offsets = log.offsets();
        assert_eq!(offsets.log_end_offset.0, self.end, "log end");
        assert_eq!(offsets.log_start_offset.0, self.start, "log start");
        assert_eq!(offsets.high_watermark.0, self.high_watermark, "high watermark");
        let served = served(log);
        assert!(!served.refused || self.is_damaged, "damage in an open log");
        assert_eq!(shown(&served.batches), shown(&self.above_start()));
        assert_eq!(served.batches, self.above_start(), "not the bytes that were written");
        check_state(log, &served, !self.is_damaged, self);
    }

    fn above_start(&self) -> BTreeMap<i64, Bytes> {
        let above = self.batches.iter().filter(|(_, bytes)| end_of(bytes) > self.start);
        above.map(|(base, bytes)| (*base, bytes.clone())).collect()
    }

    /// The log holds what it must after it was opened again and nothing that was not written; then the model is what the log is.
    pub(super) fn check_opened(&mut self, log: &Log, left: Left, report: &OpenReport) {
        let offsets = log.offsets();
        let (start, end) = (offsets.log_start_offset.0, offsets.log_end_offset.0);
        assert!(start <= offsets.last_stable_offset.0);
        assert!(offsets.last_stable_offset <= offsets.high_watermark);
        assert!(offsets.high_watermark <= offsets.log_end_offset);
        assert!(offsets.recovery_point <= offsets.log_end_offset);
        assert!(start >= self.checkpointed_start, "log start {start} back from {}", self.checkpointed_start);
        // The names of the first segments may be lost.
        let raised = start > self.start && left != Left::PowerCut;
        assert!(!raised, "log start {start}, never raised above {}", self.start);
        if let Some(before) = &self.begun_before {
            let is_old = before.contains(&start) || left == Left::PowerCut && end >= *before.start();
            assert!(
                start == self.start || is_old,
                "the log begins at {start}, neither anew nor where it did: {before:?}"
            );
        }
        let served = served(log);
        let context = format!("{left:?}, {start}..{end}, safe {}, start {}", self.safe, self.start);

        let promised = if left == Left::PowerCut { self.safe } else { i64::MAX };
        let cleaned_to = self.cleaning.map_or(0, |cleaning| cleaning.end);
        if let Some(cleaning) = self.cleaning {
            let from = start.max(self.start);
            let (before, after) = (records_of(self.batches.values(), from), records_of(served.batches.values(), from));
            let doubtful = records_of(self.doubtful.iter(), from);
            let after = after.into_iter().filter(|(offset, _)| !doubtful.contains_key(offset)).collect();
            // What is damaged was cleaned as little as what is behind it.
            let safe = if served.refused || self.is_damaged { 0 } else { promised };
            cleaning.check_broken(&before, &after, safe);
        }
        for (base, bytes) in self.above_start().iter().filter(|(_, bytes)| end_of(bytes) <= promised) {
            if *base < cleaned_to {
                continue;
            }
            let found = served.batches.get(base);
            assert_eq!(found, Some(bytes), "offset {base} is gone; {context}; {:?} {report:?}", shown(&served.batches));
        }
        // Below the log start it is not known what was cleaned.
        let unknown = if self.is_compacted { cleaned_to.max(self.start) } else { 0 };
        for (base, bytes) in served.batches.iter().filter(|(base, _)| **base >= unknown) {
            assert!(self.written.contains(&(*base, bytes.clone())), "never written: {base}; {context}");
            let is_current = self.batches.get(base) == Some(bytes) || self.doubtful.contains(bytes);
            assert!(is_current, "cut off, and there again: {base}; {context}");
        }
        let last_end = served.batches.values().next_back().map_or(start, end_of);
        assert!(end >= last_end);
        if left != Left::PowerCut {
            let most = self.doubtful.last().map_or(self.end, end_of).max(self.end);
            assert!(end <= most, "the log ends at {end}; {context}");
            let whole = self.doubtful.is_empty() && !self.gap_at_end;
            assert!(!whole || end == self.end, "the log ends at {end}, not {}; {context}", self.end);
        }
        assert!(end >= self.told.min(self.start), "offsets are given twice: the log ends at {end}; {context}");
        let missing = |(base, bytes): (&i64, &Bytes)| {
            *base >= self.start.max(start)
                && end_of(bytes) <= end
                && *base < last_end
                && served.batches.get(base) != Some(bytes)
        };
        let whole = !self.batches.iter().any(missing);
        let told = !report.findings.is_empty();
        let may_be_silent = self.is_compacted || served.refused || self.is_damaged;
        assert!(whole || told || may_be_silent, "a hole is not told; {context}");
        assert!(!served.refused || self.is_damaged || left == Left::PowerCut, "damage; {context}");
        // Also where nothing is lost: zeros at the end of a segment.
        let is_damage = |finding: &Finding| matches!(finding.kind, FindingKind::Damaged { .. });
        self.is_damaged |= served.refused || report.findings.iter().any(is_damage);
        self.fell_back |= start < self.start;
        check_state(log, &served, whole && !self.is_damaged, self);
        self.take_over(log, served);
    }

    /// A cleaning has ended, or came to no end and left the log usable.
    pub(super) fn check_cleaned(&mut self, log: &Log, cleaning: Cleaning, is_done: bool) {
        let served = served(log);
        let (before, after) =
            (records_of(self.batches.values(), self.start), records_of(served.batches.values(), self.start));
        match is_done {
            true => cleaning.check_done(&before, &after),
            false if served.refused || self.is_damaged => cleaning.check_broken(&before, &after, 0),
            false => cleaning.check_broken(&before, &after, i64::MAX),
        }
        self.take_batches(served);
    }

    fn take_batches(&mut self, served: Served) {
        self.batches.retain(|_, bytes| end_of(bytes) <= self.start);
        self.written.extend(served.batches.iter().map(|(base, bytes)| (*base, bytes.clone())));
        self.batches.extend(served.batches);
    }

    fn take_over(&mut self, log: &Log, served: Served) {
        let offsets = log.offsets();
        (self.start, self.end) = (offsets.log_start_offset.0, offsets.log_end_offset.0);
        self.high_watermark = offsets.high_watermark.0;
        self.take_batches(served);
        self.cleaning = None;
        self.doubtful.clear();
        self.begun_before = None;
        self.gap_at_end = self.last_end() < self.end;
        // What was found was flushed, if it was not on the disk already.
        self.safe = self.end;
        self.told = self.end;
    }
}

fn shown(batches: &BTreeMap<i64, Bytes>) -> Vec<(i64, i64)> {
    batches.iter().map(|(base, bytes)| (*base, end_of(bytes))).collect()
}

/// What the batches say of one producer.
#[derive(Debug, Default)]
pub(super) struct Producer {
    pub(super) epoch: i16,
    /// Last sequence number and last offset of the last batch with records.
    pub(super) last: Option<(i32, i64)>,
    pub(super) open_since: Option<i64>,
}

/// Producer, first offset and marker of a transaction.
type Aborted = (i64, i64, i64);

/// Replays batches: producers, and aborted transactions.
pub(super) fn replay<'a>(batches: impl Iterator<Item = &'a Bytes>) -> (HashMap<i64, Producer>, Vec<Aborted>) {
    let (mut producers, mut aborted) = (HashMap::<i64, Producer>::new(), Vec::new());
    for bytes in batches {
        let batch = view(bytes);
        let header = batch.header();
        if !header.has_producer_id() {
            continue;
        }
        let producer = producers.entry(header.producer_id.0).or_default();
        if producer.epoch != header.producer_epoch {
            *producer = Producer { epoch: header.producer_epoch, last: None, open_since: producer.open_since };
        }
        if let Some(marker) = EndMarker::of(&batch) {
            if let Some(first) = producer.open_since.take().filter(|_| !marker.commit) {
                aborted.push((header.producer_id.0, first, header.base_offset.0));
            }
            continue;
        }
        if header.attributes.is_transactional() {
            producer.open_since.get_or_insert(header.base_offset.0);
        }
        producer.last = Some((header.last_sequence(), header.last_offset().0));
    }
    (producers, aborted)
}

/// Epochs, producers and transactions are what the batches say that can be read.
fn check_state(log: &Log, served: &Served, whole: bool, model: &Model) {
    let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
    for (base, bytes) in served.batches.iter().filter(|(base, _)| **base >= start) {
        let found = read(log, *base, 1).unwrap();
        assert_eq!(found.bytes, *bytes, "by the index, offset {base}");
        // Epochs from before the log start were forgotten, and it was not noted where that was.
        let forgotten = model.fell_back && log.epochs_known().first().is_none_or(|first| first.start_offset.0 > *base);
        if !forgotten {
            let epoch = view(bytes).header().partition_leader_epoch;
            assert_eq!(log.epoch_at(Offset(*base)), Some(epoch), "epoch of {base}: {:?}", log.epochs_known());
        }
    }
    assert!(log.epochs_known().iter().all(|entry| entry.start_offset.0 <= end), "{:?}", log.epochs_known());

    let (producers, aborted) = replay(served.batches.values());
    let known = log.active_producers().unwrap();
    for (id, producer) in &producers {
        let entry = known.iter().find(|entry| entry.producer_id.0 == *id);
        let entry = entry.unwrap_or_else(|| panic!("producer {id} is not known"));
        assert_eq!(entry.epoch, producer.epoch, "of producer {id}");
        let last = entry.batches().next_back().map(|last| (last.last_sequence, last.last_offset.0));
        if producer.last.is_some() {
            assert_eq!(last, producer.last, "of producer {id}");
        }
        if whole && producer.open_since.is_some() {
            let since = entry.txn_first_offset.map(|offset| offset.0);
            let before_start = since.is_some_and(|since| since < start);
            assert!(since == producer.open_since || before_start, "{since:?} of producer {id}: {producer:?}");
            assert!(log.last_stable_offset().0 <= since.unwrap().max(start));
        }
    }
    for entry in &known {
        let last = entry.batches().next_back().map_or(-1, |last| last.last_offset.0);
        assert!(last < end, "producer {} at {last} of a log that ends at {end}", entry.producer_id);
        let is_served = served.batches.values().any(|bytes| view(bytes).header().last_offset().0 == last);
        // One that was deleted with its segment is remembered, also when the log start falls back.
        assert!(
            last < start || is_served || model.fell_back,
            "producer {} at {last}, where nothing is",
            entry.producer_id
        );
    }

    let told = log.aborted_transactions(Offset(start)..Offset(end)).unwrap();
    let told: BTreeSet<_> = told.iter().map(|t| (t.producer_id.0, t.last_offset.0, t.first_offset.0)).collect();
    for (id, first, marker) in aborted.iter().filter(|(_, first, marker)| *first >= start && *marker >= start) {
        let begins = |from: &i64| from == first || *from < start || !whole;
        let is_told = told.iter().any(|(other, last, from)| (other, last) == (id, marker) && begins(from));
        assert!(is_told, "transaction {id} {first}..={marker} was aborted: {told:?}");
    }
    for (id, marker, first) in &told {
        let is_marker = |bytes: &Bytes| {
            let batch = view(bytes);
            batch.header().producer_id.0 == *id && EndMarker::of(&batch).is_some_and(|marker| !marker.commit)
        };
        let exists = *marker < start || served.batches.get(marker).is_some_and(is_marker);
        assert!(exists, "transaction {id} {first}..={marker} was not aborted");
    }
}
