//! `.index` and `.timeindex` files: their entries, and whether the log of the segment agrees.

use std::path::Path;

use anyhow::bail;

use super::log_file::{Batch, Next};
use super::report::{Disagreement, Report};
use super::{IndexMode, base_offset, sibling};
use crate::log::check::{FileReader, read_index_entry, read_time_index_entry};

const OFFSET_ENTRY: u64 = 8;
const TIME_ENTRY: u64 = 12;

/// An offset index.
struct OffsetIndex {
    reader: FileReader,
    base: i64,
    entries: u64,
}

impl OffsetIndex {
    fn open(file: &Path) -> anyhow::Result<Self> {
        let reader = FileReader::open(file)?;
        let entries = reader.size() / OFFSET_ENTRY;
        Ok(Self { reader, base: base_offset(file)?, entries })
    }

    /// Offset and position of entry number `at`.
    fn entry(&mut self, at: u64) -> anyhow::Result<Option<(i64, i64)>> {
        let bytes = self.reader.array(at * OFFSET_ENTRY)?;
        Ok(bytes
            .map(read_index_entry)
            .map(|(offset, position)| (self.base.wrapping_add(i64::from(offset)), i64::from(position))))
    }

    /// The position to look for `offset` from: that of the last entry not behind it.
    fn lookup(&mut self, offset: i64) -> anyhow::Result<u64> {
        let (mut low, mut high) = (0, self.entries);
        let mut found = 0;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(middle)? {
                Some((entry, position)) if entry <= offset => {
                    found = position;
                    low = middle + 1;
                }
                _ => high = middle,
            }
        }
        Ok(u64::try_from(found).unwrap_or(0))
    }
}

/// Prints an offset index, and compares it with its log.
///
/// # Errors
/// A file can't be read, the index fails its sanity check, or points to where no batch is.
pub(super) fn dump_offsets(
    file: &Path,
    mode: IndexMode,
    max_message_size: u64,
    report: &mut Report<'_>,
) -> anyhow::Result<()> {
    let base = base_offset(file)?;
    let mut log = FileReader::open(&sibling(file, "log"))?;
    let mut index = OffsetIndex::open(file)?;
    if index.entries == 0 {
        report.line(format_args!("{} is empty.", file.display()))?;
        return Ok(());
    }
    if mode == IndexMode::SanityCheck {
        let last = index.entry(index.entries - 1)?.map_or(base, |(offset, _)| offset);
        if last < base {
            let what = format!("the last offset is {last} which is less than the base offset {base}");
            return insane(index.entries.saturating_sub(1) * OFFSET_ENTRY, &what, file, report);
        }
        whole(index.reader.size(), OFFSET_ENTRY, file, report)?;
        return passed(file, report);
    }
    for at in 0..index.entries {
        let Some((offset, position)) = index.entry(at)? else { break };
        // The file is preallocated: a crash leaves zeros behind the entries.
        if offset == base && at > 0 {
            break;
        }
        let end = u64::try_from(position).unwrap_or(u64::MAX).saturating_add(max_message_size).min(log.size());
        let batch = match u64::try_from(position).ok().filter(|position| *position <= log.size()) {
            Some(position) => Batch::read(&mut log, position, end)?,
            None => Next::End("behind the end of the log"),
        };
        let Next::Batch(batch) = batch else {
            report.damage(
                at * OFFSET_ENTRY,
                format_args!("the entry of offset {offset} points to byte {position} of the log, where no batch is"),
            )?;
            bail!("{} does not fit its log", file.display());
        };
        if batch.last_offset() != offset {
            report.disagree(Disagreement::Index, offset, batch.last_offset())?;
        }
        if mode == IndexMode::Print {
            report.line(format_args!("offset: {offset} position: {position}"))?;
            report.entry("offsetIndexEntry", |object| {
                object.field("offset", &offset, 0);
                object.field("position", &position, 0);
            })?;
        }
        report.advance(1, OFFSET_ENTRY)?;
    }
    Ok(())
}

/// Prints a time index, and compares it with its log.
///
/// # Errors
/// A file can't be read, or the index fails its sanity check.
pub(super) fn dump_times(file: &Path, mode: IndexMode, report: &mut Report<'_>) -> anyhow::Result<()> {
    let base = base_offset(file)?;
    let mut log = FileReader::open(&sibling(file, "log"))?;
    let mut index = OffsetIndex::open(&sibling(file, "index"))?;
    let mut times = FileReader::open(file)?;
    let entries = times.size() / TIME_ENTRY;
    let mut entry = |at: u64| -> anyhow::Result<Option<(i64, i64)>> {
        let bytes = times.array(at * TIME_ENTRY)?.map(read_time_index_entry);
        Ok(bytes.map(|(timestamp, offset)| (timestamp, base.wrapping_add(i64::from(offset)))))
    };
    if mode == IndexMode::SanityCheck {
        if let (Some((first, _)), Some((last, last_offset))) = (entry(0)?, entry(entries.saturating_sub(1))?) {
            let at = entries.saturating_sub(1) * TIME_ENTRY;
            if last < first {
                let what = format!("the last timestamp is {last} which is less than the first timestamp {first}");
                return insane(at, &what, file, report);
            }
            if last_offset < base {
                let what = format!("the last offset is {last_offset} which is less than the first offset {base}");
                return insane(at, &what, file, report);
            }
        }
        whole(times.size(), TIME_ENTRY, file, report)?;
        return passed(file, report);
    }
    let mut previous = -1;
    let mut finder = Finder::default();
    for at in 0..entries {
        let Some((timestamp, offset)) = entry(at)? else { break };
        if offset == base && at > 0 {
            break;
        }
        let from = index.lookup(offset)?;
        match finder.find(&mut log, from, offset)? {
            None => report.disagree(Disagreement::OffsetNotFound, offset, -1)?,
            Some(batch) if batch.last_offset() != offset => {
                report.disagree(Disagreement::OffsetNotFound, offset, batch.last_offset())?;
            }
            Some(batch) => {
                let mut largest = -1;
                batch.records(&mut log, |record, _| {
                    largest = largest.max(record.timestamp);
                    Ok(())
                })?;
                if largest != timestamp {
                    report.disagree(Disagreement::Timestamp, timestamp, largest)?;
                }
                if previous >= timestamp {
                    report.disagree(Disagreement::TimestampOrder, timestamp, previous)?;
                }
            }
        }
        if mode == IndexMode::Print {
            report.line(format_args!("timestamp: {timestamp} offset: {offset}"))?;
            report.entry("timeIndexEntry", |object| {
                object.field("timestamp", &timestamp, 0);
                object.field("offset", &offset, 0);
            })?;
        }
        report.advance(1, TIME_ENTRY)?;
        previous = timestamp;
    }
    Ok(())
}

/// Looks for the batch with an offset. Entries rise, so it goes on where it was if that is known to be early enough.
#[derive(Default)]
struct Finder {
    /// From here on batches were looked at,
    from: u64,
    /// up to here,
    position: u64,
    /// and all of these end before this offset.
    offset: i64,
}

impl Finder {
    fn find(&mut self, log: &mut FileReader, from: u64, offset: i64) -> anyhow::Result<Option<Batch>> {
        let end = log.size();
        if !(self.from..=self.position).contains(&from) || offset < self.offset {
            self.position = from;
        }
        self.from = from;
        self.offset = offset;
        loop {
            let Next::Batch(batch) = Batch::read(log, self.position, end)? else { return Ok(None) };
            if batch.last_offset() >= offset {
                return Ok(Some(batch));
            }
            self.position = batch.end();
        }
    }
}

fn passed(file: &Path, report: &mut Report<'_>) -> anyhow::Result<()> {
    report.line(format_args!("{} passed sanity check.", file.display()))?;
    report.entry("sane", |_| {})?;
    Ok(())
}

fn whole(size: u64, entry: u64, file: &Path, report: &mut Report<'_>) -> anyhow::Result<()> {
    if size.is_multiple_of(entry) {
        return Ok(());
    }
    insane(size / entry * entry, &format!("its size is {size}, which is not a multiple of {entry}"), file, report)
}

fn insane(position: u64, what: &str, file: &Path, report: &mut Report<'_>) -> anyhow::Result<()> {
    report.damage(position, what)?;
    bail!("corrupt index {}: {what}", file.display())
}
