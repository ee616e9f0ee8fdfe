//! One cleaning of a log: the map of the keys in its dirty part, then all segments up to there, group by group, rewritten
//! and swapped in.

use std::collections::HashMap;
use std::io::IoSlice;
use std::sync::Arc;

use super::choice::Cleanable;
use super::filter::{self, Kept, LastOfProducer, MAX_DECOMPRESSED_BYTES, Rules, Scratch};
use super::offset_map::OffsetMap;
use super::transactions::CleanedTransactions;
use super::{CleanError, CleanOptions, Pace, go_on, replace};
use crate::log::config::LogConfig;
use crate::log::error::{LogError, ReadError};
use crate::log::fs::Create;
use crate::log::log::Log;
use crate::log::place::{Place, extension, file_name};
use crate::log::retention::DeletedFiles;
use crate::log::scan::{BatchInfo, ScanError, Scanner};
use crate::log::segment::{AppendFailure, Appended, Segment};
use crate::log::txn_index;
use crate::record::{EndMarker, LogEntry, NO_TIMESTAMP, RecordBatch, RecordError};
use crate::types::{Offset, ProducerId};

/// Below this a buffer would cost a system call for every few batches.
const MIN_BUFFER_BYTES: usize = 4096;
/// Positions in a segment have 31 bits in Kafka's indexes.
const MAX_SEGMENT_BYTES: u64 = i32::MAX as u64;

/// What a cleaning has done so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CleanStats {
    /// Segments read, and those that took their place.
    pub segments: (usize, usize),
    /// Bytes read to find the keys.
    pub map_bytes: u64,
    /// Bytes of the map.
    pub map_memory: usize,
    /// Keys in it.
    pub keys: usize,
    /// Bytes read of the segments that were swapped, and written.
    pub bytes: (u64, u64),
    /// Records in them, and those that stayed.
    pub records: (u64, u64),
    /// Records without a key, which a compacted log can't keep.
    pub keyless: u64,
}

/// How a cleaning ended.
#[derive(Debug)]
pub struct Cleaned {
    /// The first offset that is dirty now; or why it came to no end. Groups that were swapped in before stay.
    pub result: Result<Offset, CleanError>,
    /// What was done.
    pub stats: CleanStats,
    /// Files of the old segments.
    pub deleted: Vec<DeletedFiles>,
}

impl Log {
    /// Makes the part that [`Log::cleanable`] has found durable, and cleans it: the newer value of a key must be on the disk before the
    /// older one goes, which may have been there for long.
    pub fn flush_and_clean(&self, cleanable: &Cleanable, options: &CleanOptions, pace: &mut Pace<'_>) -> Cleaned {
        if self.flushed_end() < cleanable.first_uncleanable
            && let Err(error) = self.flush_completed_segments()
        {
            return Cleaned { result: Err(error.into()), stats: CleanStats::default(), deleted: Vec::new() };
        }
        self.clean(cleanable, options, pace)
    }

    /// Cleans the part that [`Log::cleanable`] has found. One cleaning at a time.
    pub fn clean(&self, cleanable: &Cleanable, options: &CleanOptions, pace: &mut Pace<'_>) -> Cleaned {
        let (stats, deleted) = (CleanStats::default(), Vec::new());
        let mut cleaner = Cleaner { log: self, config: self.config(), cleanable, options, stats, deleted };
        let result = cleaner.clean(pace);
        Cleaned { result, stats: cleaner.stats, deleted: cleaner.deleted }
    }

    /// The last batch that is remembered of each producer.
    fn last_of_producers(&self) -> Result<HashMap<ProducerId, LastOfProducer>, LogError> {
        let writer = self.writer()?;
        let last = writer.producers.entries().map(|entry| {
            let data = entry.batches().next_back().map(|batch| batch.last_offset);
            (entry.producer_id, LastOfProducer { data, epoch: entry.epoch })
        });
        Ok(last.collect())
    }
}

struct Cleaner<'a> {
    log: &'a Log,
    config: Arc<LogConfig>,
    cleanable: &'a Cleanable,
    options: &'a CleanOptions,
    stats: CleanStats,
    deleted: Vec<DeletedFiles>,
}

/// What all groups of a cleaning share.
struct Round<'a> {
    map: &'a OffsetMap,
    mapped_to: i64,
    transactions: CleanedTransactions,
    /// Tombstones in formats before 2 stay in segments written after this.
    old_horizon_ms: i64,
}

impl Cleaner<'_> {
    fn clean(&mut self, pace: &mut Pace<'_>) -> Result<Offset, CleanError> {
        let mut segments = self.log.view().segments.clone();
        segments.retain(|segment| segment.base_offset() < self.cleanable.first_uncleanable.0);
        let clean = segments.partition_point(|segment| segment.base_offset() < self.cleanable.first_dirty.0);
        let old_horizon_ms = match clean.checked_sub(1).and_then(|last| segments.get(last)) {
            Some(last) => modified_ms(self.log, last)?.saturating_sub(self.config.delete_retention_ms),
            None => 0,
        };
        let (map, mapped_to) = self.build_map(&segments, pace)?;
        (self.stats.keys, self.stats.map_memory) = (map.len(), map.bytes());
        segments.retain(|segment| segment.base_offset() <= mapped_to);
        let transactions = CleanedTransactions::default();
        let mut round = Round { map: &map, mapped_to, transactions, old_horizon_ms };
        for group in self.groups(&segments)? {
            let base = group.first().map_or(0, |first| first.base_offset());
            let cleaned = self.clean_group(&group, &mut round, pace);
            if cleaned.is_err()
                && let Err(error) = replace::remove_cleaned(self.log, base)
            {
                tracing::warn!(log = %self.log.name, %error, "what a cleaning left behind is removed at the next start");
            }
            cleaned?;
        }
        Ok(Offset(mapped_to + 1))
    }

    fn buffer_bytes(&self) -> usize {
        self.options.io_buffer_bytes.max(MIN_BUFFER_BYTES)
    }

    /// Notes the newest offset of each key in the dirty part, as far as the map has room; also says up to which offset.
    fn build_map(&mut self, segments: &[Arc<Segment>], pace: &mut Pace<'_>) -> Result<(OffsetMap, i64), CleanError> {
        let (start, end) = (self.cleanable.first_dirty.0, self.cleanable.first_uncleanable.0);
        let most = u64::try_from(end.saturating_sub(start)).unwrap_or_default();
        let options = self.options;
        let mut map = OffsetMap::new(options.dedupe_buffer_bytes, options.load_factor, most, options.seed);
        let mut mapped_to = start - 1;
        let mut transactions = CleanedTransactions::default();
        transactions.add_aborted(self.aborted(start, end)?);
        let first = segments.partition_point(|segment| segment.base_offset() <= start).saturating_sub(1);
        let dirty = segments.get(first..).filter(|_| start < end).unwrap_or_default();
        let mut decompressed = Vec::new();
        for (at, segment) in dirty.iter().enumerate() {
            let mut is_full = false;
            self.walk(segment, start, |cleaner, info, entry| {
                go_on(pace, info.size)?;
                cleaner.stats.map_bytes += info.size;
                let seen = note_keys(&mut map, &mut transactions, &mut decompressed, &entry, start);
                match seen.map_err(|source| record_error(segment, info, source))? {
                    None => mapped_to = mapped_to.max(info.last_offset),
                    Some(offset) => {
                        mapped_to = mapped_to.max(offset - 1);
                        is_full = true;
                    }
                }
                Ok(!is_full)
            })?;
            if is_full {
                break;
            }
            // Offsets that are missing behind the last batch are no work for later.
            mapped_to = mapped_to.max(dirty.get(at + 1).map_or(end, |next| next.base_offset()) - 1);
        }
        Ok((map, mapped_to))
    }

    fn aborted(&self, start: i64, end: i64) -> Result<Vec<txn_index::AbortedTransaction>, CleanError> {
        self.log.aborted_transactions(Offset(start)..Offset(end)).map_err(|error| match error {
            ReadError::Storage(error) => CleanError::Storage(error),
            // Only what is read from the log can be out of its range or damaged.
            _ => CleanError::Changed,
        })
    }

    /// Shows `each` the entries of a segment that end at `from` or later, with a right checksum, until it says no.
    fn walk(
        &mut self,
        segment: &Arc<Segment>,
        from: i64,
        mut each: impl FnMut(&mut Self, &BatchInfo, LogEntry<'_>) -> Result<bool, CleanError>,
    ) -> Result<(), CleanError> {
        let position = match segment.find(from, &self.config)? {
            Some(batch) => batch.position,
            None => return Ok(()),
        };
        let file = segment.file()?;
        let block = self.buffer_bytes();
        let mut scanner = Scanner::new(&file, position, segment.size(), segment.base_offset(), block);
        loop {
            let info = match scanner.next() {
                Ok(Some(info)) => info,
                Ok(None) => break,
                Err(ScanError::Io(error)) => return Err(error.into()),
                Err(ScanError::Damaged { position, reason }) => {
                    let offset = Offset(scanner.next_offset());
                    return Err(LogError::Corrupt { path: segment.path(), position, offset, reason }.into());
                }
            };
            let bytes = scanner.batch_bytes(&info)?;
            let entry = LogEntry::new(bytes).and_then(|(entry, _)| entry.verify_crc().map(|()| entry));
            if !each(self, &info, entry.map_err(|source| record_error(segment, &info, source))?)? {
                break;
            }
        }
        segment.close_files()?;
        Ok(())
    }

    /// Segments that become one: as many as fit into one by size, by the size of its indexes and by its range of offsets.
    fn groups(&self, segments: &[Arc<Segment>]) -> Result<Vec<Vec<Arc<Segment>>>, CleanError> {
        let (max_size, max_index) = (u64::from(self.config.segment_bytes), u64::from(self.config.segment_index_bytes));
        let mut groups: Vec<Vec<Arc<Segment>>> = Vec::new();
        let (mut size, mut index, mut times) = (0, 0, 0);
        for (at, segment) in segments.iter().enumerate() {
            let (own_index, own_times) = segment.index_sizes(&self.config)?;
            segment.close_files()?;
            let next_base = segments.get(at + 1).map_or(self.cleanable.first_uncleanable.0, |next| next.base_offset());
            let in_range = |first: &Arc<Segment>| {
                segment.size() == 0 || next_base - 1 - first.base_offset() <= i64::from(i32::MAX)
            };
            let fits =
                size + segment.size() <= max_size && index + own_index <= max_index && times + own_times <= max_index;
            match groups.last_mut() {
                Some(group) if fits && group.first().is_some_and(in_range) => group.push(segment.clone()),
                _ => {
                    groups.push(vec![segment.clone()]);
                    (size, index, times) = (0, 0, 0);
                }
            }
            size += segment.size();
            index += own_index;
            times += own_times;
        }
        Ok(groups)
    }

    fn clean_group(
        &mut self,
        group: &[Arc<Segment>],
        round: &mut Round<'_>,
        pace: &mut Pace<'_>,
    ) -> Result<(), CleanError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        let mut target = Target::new(self.log, first.base_offset(), &self.config, self.options)?;
        let producers = self.log.last_of_producers()?;
        let (mut read, mut records, mut scratch) = (0, (0, 0), Scratch::default());
        for segment in group {
            let end = self.log.next_base_after(segment.base_offset()).unwrap_or(i64::MAX);
            round.transactions.add_aborted(self.aborted(segment.base_offset(), end)?);
            let old_tombstones_stay = modified_ms(self.log, segment)? > round.old_horizon_ms;
            let rules = Rules {
                map: round.map,
                mapped_to: round.mapped_to,
                producers: &producers,
                round_end: self.cleanable.first_uncleanable,
                now_ms: self.options.now_ms,
                delete_retention_ms: self.config.delete_retention_ms,
            };
            let transactions = &mut round.transactions;
            self.walk(segment, segment.base_offset(), |cleaner, info, entry| {
                go_on(pace, info.size)?;
                read += info.size;
                let filtered = filter::filter(&rules, transactions, &mut scratch, &entry, old_tombstones_stay)
                    .map_err(|source| record_error(segment, info, source))?;
                cleaner.stats.keyless += filtered.keyless;
                records = (records.0 + filtered.records_read, records.1 + filtered.records);
                if let Some(aborted) = filtered.aborted {
                    target.aborted.push(aborted);
                }
                let written = match &filtered.kept {
                    Kept::Nothing => 0,
                    Kept::Whole => target.append(entry.bytes(), info)?,
                    Kept::Rewritten(bytes) => target.append(bytes, info)?,
                };
                go_on(pace, written)?;
                Ok(true)
            })?;
        }
        let written = target.finish(modified_ms(self.log, last)?)?;
        let deleted = self.log.replace_segments(group, written, &self.config, self.options.now_ms)?;
        self.deleted.push(deleted);
        let stats = &mut self.stats;
        stats.segments = (stats.segments.0 + group.len(), stats.segments.1 + 1);
        stats.bytes = (stats.bytes.0 + read, stats.bytes.1 + written);
        stats.records = (stats.records.0 + records.0, stats.records.1 + records.1);
        Ok(())
    }
}

/// Notes the keys of an entry at `start` or later; gives the offset of the first record for which there is no room.
fn note_keys(
    map: &mut OffsetMap,
    transactions: &mut CleanedTransactions,
    decompressed: &mut Vec<u8>,
    entry: &LogEntry<'_>,
    start: i64,
) -> Result<Option<i64>, RecordError> {
    let mut note =
        |key: Option<&[u8]>, offset: Offset| offset.0 < start || key.is_none_or(|key| map.put(key, offset.0));
    match entry {
        LogEntry::Batch(batch) if batch.header().attributes.is_control() => {
            transactions.on_control(batch.header(), EndMarker::of(batch));
        }
        LogEntry::Batch(batch) => {
            // What was rolled back is no newer value of anything.
            if transactions.on_data(batch.header()) {
                return Ok(None);
            }
            for record in batch.records(decompressed, MAX_DECOMPRESSED_BYTES)? {
                let record = record?;
                if !note(record.key, record.offset) {
                    return Ok(Some(record.offset.0));
                }
            }
        }
        LogEntry::Old(old) => {
            let owner = bytes::Bytes::copy_from_slice(old.bytes());
            for record in old.owned_records(&owner, MAX_DECOMPRESSED_BYTES)? {
                if !note(record.key.as_deref(), record.offset) {
                    return Ok(Some(record.offset.0));
                }
            }
        }
    }
    Ok(None)
}

/// The segment that is being written, under `.cleaned` names.
struct Target {
    place: Arc<Place>,
    segment: Segment,
    config: LogConfig,
    buffer: Vec<u8>,
    batches: Vec<Appended>,
    aborted: Vec<txn_index::AbortedTransaction>,
    buffer_bytes: usize,
}

impl Target {
    fn new(log: &Log, base: i64, config: &LogConfig, options: &CleanOptions) -> Result<Self, LogError> {
        let place = Arc::new(log.place().with_suffix(".cleaned"));
        let config = LogConfig { preallocate: false, ..config.clone() };
        let segment = Segment::create(place.clone(), base, &config, options.now_ms)?;
        let (buffer, batches, aborted) = (Vec::new(), Vec::new(), Vec::new());
        let buffer_bytes = options.io_buffer_bytes.max(MIN_BUFFER_BYTES);
        Ok(Self { place, segment, config, buffer, batches, aborted, buffer_bytes })
    }

    /// Adds a batch that stands for the one at `info`; returns its size.
    fn append(&mut self, bytes: &[u8], info: &BatchInfo) -> Result<u64, CleanError> {
        let size = bytes.len() as u64;
        let max_timestamp = RecordBatch::new(bytes).map_or(NO_TIMESTAMP, |(batch, _)| batch.header().max_timestamp);
        let last_offset = LogEntry::new(bytes).map_or(info.last_offset, |(entry, _)| entry.last_offset().0);
        if self.segment.size() + self.buffer.len() as u64 + size > MAX_SEGMENT_BYTES {
            let (path, position) = (self.segment.path(), info.position);
            return Err(CleanError::Record { path, position, source: RecordError::BatchFull });
        }
        if !self.buffer.is_empty() && self.buffer.len() + bytes.len() > self.buffer_bytes {
            self.write()?;
        }
        self.buffer.extend_from_slice(bytes);
        self.batches.push(Appended { last_offset, max_timestamp, size });
        Ok(size)
    }

    fn write(&mut self) -> Result<(), LogError> {
        let appended = self.segment.append(&mut [IoSlice::new(&self.buffer)], self.batches.drain(..), &self.config);
        let size = appended.map_err(|failure| match failure {
            AppendFailure::Nothing(error) | AppendFailure::Doubt(error) => error,
        })?;
        self.segment.publish(size);
        self.buffer.clear();
        Ok(())
    }

    /// Makes all of it durable; returns its size.
    fn finish(mut self, modified_ms: i64) -> Result<u64, LogError> {
        if !self.buffer.is_empty() {
            self.write()?;
        }
        self.segment.finish(&self.config)?;
        self.segment.sync()?;
        let base = self.segment.base_offset();
        for aborted in &self.aborted {
            txn_index::append(&self.place, base, aborted)?;
        }
        if !self.aborted.is_empty() {
            self.place.open(&file_name(base, extension::TXN_INDEX), Create::No)?.sync()?;
        }
        // Retention and the expiry of producers go by it where records have no time.
        self.segment.file()?.set_modified(modified_ms)?;
        self.segment.close_files()?;
        Ok(self.segment.size())
    }
}

fn modified_ms(log: &Log, segment: &Segment) -> Result<i64, LogError> {
    Ok(log.place().fs.metadata(&segment.path())?.modified_ms)
}

fn record_error(segment: &Segment, info: &BatchInfo, source: RecordError) -> CleanError {
    CleanError::Record { path: segment.path(), position: info.position, source }
}
