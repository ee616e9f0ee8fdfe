//! The walk over the batches of a segment file.
//!
//! Trusts nothing: sizes are checked against the file before they are followed, offsets must rise. Reads in blocks, and
//! leaps over the records where only headers are wanted.

use super::error::LogError;
use super::fs::LogFile;
use crate::record::{BatchHeader, CRC_START, EntryPrefix, HEADER_LEN, LogEntry, MAGIC_V2, NO_TIMESTAMP, RecordError};
use crate::types::LeaderEpoch;

/// Enough for the way from an index entry to the next at the default interval, and a header after it.
pub(super) const LOOKUP_BLOCK: usize = 8 * 1024;
/// Block size when every byte is wanted.
pub(super) const WHOLE_BLOCK: usize = 512 * 1024;
/// A larger batch is not held in memory to check it: a damaged size may be that of the whole segment.
const LARGEST_HELD: u64 = 4 * 1024 * 1024;

/// A batch in a segment file, or a message of a format before Kafka 0.11.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchInfo {
    /// Where it starts in the file.
    pub(super) position: u64,
    /// Its bytes.
    pub(super) size: u64,
    /// Offset of its first record. Of an old compressed set only the last is known, which stands for both.
    pub(super) base_offset: i64,
    /// Offset of its last record.
    pub(super) last_offset: i64,
    /// Its largest timestamp; -1: none.
    pub(super) max_timestamp: i64,
    /// The header, of magic 2 only.
    pub(super) header: Option<BatchHeader>,
}

impl BatchInfo {
    /// Reads the start of a batch at `position`; the error says what is wrong with it.
    pub(super) fn parse(bytes: &[u8], position: u64) -> Result<Self, &'static str> {
        let prefix = match EntryPrefix::peek(bytes) {
            Ok(Some(prefix)) => prefix,
            Ok(None) => return Err("cut batch"),
            Err(RecordError::UnsupportedMagic { .. }) => return Err("unknown batch format"),
            Err(_) => return Err("impossible batch size"),
        };
        let size = prefix.size_in_bytes as u64;
        let info = if prefix.magic == MAGIC_V2 {
            let header = BatchHeader::parse(bytes).map_err(|_| "cut batch")?;
            Self {
                position,
                size,
                base_offset: header.base_offset.0,
                last_offset: header.last_offset().0,
                max_timestamp: header.max_timestamp,
                header: Some(header),
            }
        } else {
            // Magic 1 has a timestamp after the attributes.
            let timestamp = bytes.get(18..26).and_then(|bytes| bytes.first_chunk::<8>().copied());
            let timestamp = timestamp.filter(|_| prefix.magic == 1).map_or(NO_TIMESTAMP, i64::from_be_bytes);
            let offset = prefix.offset.0;
            Self { position, size, base_offset: offset, last_offset: offset, max_timestamp: timestamp, header: None }
        };
        // The largest offset stays free, so that the one after a batch is always an offset.
        if info.base_offset < 0 || info.last_offset < info.base_offset || info.last_offset == i64::MAX {
            return Err("impossible offsets");
        }
        Ok(info)
    }

    /// The offset after it.
    pub(super) fn next_offset(&self) -> i64 {
        self.last_offset + 1
    }

    /// The position after it.
    pub(super) fn end(&self) -> u64 {
        self.position + self.size
    }

    /// The leader epoch that it was appended in; none in old formats.
    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        self.header.map_or(LeaderEpoch::NONE, |header| header.partition_leader_epoch)
    }
}

/// Why a walk can't go on.
#[derive(Debug, Clone)]
pub(super) enum ScanError {
    /// The disk refused.
    Io(LogError),
    /// The bytes at this position are no whole batch that continues the log.
    Damaged { position: u64, reason: &'static str },
}

impl From<LogError> for ScanError {
    fn from(error: LogError) -> Self {
        Self::Io(error)
    }
}

/// A walk over the batches between two positions of a file.
pub(super) struct Scanner<'f> {
    file: &'f LogFile,
    position: u64,
    end: u64,
    /// Where the batch before starts.
    last_position: Option<u64>,
    /// Offsets below this would go back.
    next_offset: i64,
    /// Whether nothing was left out before that.
    is_exact: bool,
    block: Vec<u8>,
    block_start: u64,
    block_size: usize,
}

impl<'f> Scanner<'f> {
    /// A walk from `position`, where a batch must start, to `end`; no batch may hold offsets below `min_offset`.
    pub(super) fn new(file: &'f LogFile, position: u64, end: u64, min_offset: i64, block_size: usize) -> Self {
        let is_exact = position == 0;
        Self {
            file,
            position,
            end,
            last_position: None,
            next_offset: min_offset,
            is_exact,
            block: Vec::new(),
            block_start: 0,
            block_size,
        }
    }

    /// Where the walk is.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Where the last batch seen starts.
    pub(super) fn last_position(&self) -> Option<u64> {
        self.last_position
    }

    /// Offset after the last batch seen.
    pub(super) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The offset that the next batch has where none is missing, if the walk has seen the one before it.
    pub(super) fn expected_offset(&self) -> Option<i64> {
        self.is_exact.then_some(self.next_offset)
    }

    /// Goes on elsewhere, where no offset may be below `min_offset`.
    pub(super) fn seek(&mut self, position: u64, min_offset: i64) {
        self.position = position;
        self.next_offset = min_offset;
        self.is_exact = true;
    }

    /// The next batch; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<BatchInfo>, ScanError> {
        let position = self.position;
        let left = self.end.saturating_sub(position);
        if left == 0 {
            return Ok(None);
        }
        let header_len = left.min(HEADER_LEN as u64) as usize;
        let damaged = |reason| ScanError::Damaged { position, reason };
        let info = BatchInfo::parse(self.bytes(position, header_len)?, position).map_err(damaged)?;
        if info.size > left {
            return Err(damaged("cut batch"));
        }
        if info.base_offset < self.next_offset {
            return Err(damaged("offsets go back"));
        }
        self.last_position = Some(info.position);
        self.position = info.end();
        self.next_offset = info.next_offset();
        self.is_exact = true;
        Ok(Some(info))
    }

    /// All bytes of a batch that [`Self::next`] gave.
    pub(super) fn batch_bytes(&mut self, info: &BatchInfo) -> Result<&[u8], LogError> {
        self.bytes(info.position, info.size as usize)
    }

    /// Whether the checksum of a batch that [`Self::next`] gave fits its bytes.
    pub(super) fn verify(&mut self, info: &BatchInfo) -> Result<bool, LogError> {
        match &info.header {
            Some(header) if info.size > LARGEST_HELD => verify_in_pieces(self.file, info, header.crc),
            _ => Ok(verify(self.batch_bytes(info)?)),
        }
    }

    /// Some bytes of the file, from the block or from disk; fewer where the file ends before its time.
    fn bytes(&mut self, position: u64, length: usize) -> Result<&[u8], LogError> {
        let there = position.checked_sub(self.block_start).filter(|at| at + length as u64 <= self.block.len() as u64);
        let at = match there {
            Some(at) => at as usize,
            None => {
                // Invariant: `length` is that of a header or of a batch found within `end`, so memory is bounded by
                // what is there.
                let wanted = (self.block_size.max(length) as u64).min(self.end.saturating_sub(position)) as usize;
                self.block.resize(wanted, 0);
                let read = self.file.read_at(&mut self.block, position)?;
                self.block.truncate(read);
                self.block_start = position;
                0
            }
        };
        let found = self.block.get(at..).unwrap_or_default();
        Ok(found.get(..length).unwrap_or(found))
    }
}

/// Whether `bytes` are one whole batch with the right checksum.
pub(super) fn verify(bytes: &[u8]) -> bool {
    LogEntry::new(bytes).is_ok_and(|(entry, rest)| rest.is_empty() && entry.verify_crc().is_ok())
}

/// Whether the checksum of a batch in the file fits, read a block at a time.
fn verify_in_pieces(file: &LogFile, info: &BatchInfo, stored: u32) -> Result<bool, LogError> {
    let (mut position, mut crc, mut block) = (info.position + CRC_START as u64, 0, Vec::new());
    while position < info.end() {
        block.resize((info.end() - position).min(WHOLE_BLOCK as u64) as usize, 0);
        let read = file.read_at(&mut block, position)?;
        if read < block.len() {
            return Ok(false);
        }
        crc = crc32c::crc32c_append(crc, &block);
        position += read as u64;
    }
    Ok(crc == stored)
}

/// Whether there are only zeros from `position` to `end`: what was set aside for records and not written, or has not come to the disk.
pub(super) fn is_unwritten(file: &LogFile, position: u64, end: u64) -> Result<bool, LogError> {
    let mut block = vec![0; LOOKUP_BLOCK];
    let mut start = position;
    while start < end {
        let wanted = (end - start).min(block.len() as u64) as usize;
        block.truncate(wanted);
        let read = file.read_at(&mut block, start)?;
        if block.iter().take(read).any(|byte| *byte != 0) {
            return Ok(false);
        }
        if read < wanted {
            break;
        }
        start += read as u64;
        // Most ends are told by their first block; a long one is read in larger ones.
        block.resize(WHOLE_BLOCK, 0);
    }
    Ok(true)
}

/// Looks for the first whole, sound batch after `position` with offsets from `min_offset` on: where the log goes on
/// behind damage.
pub(super) fn find_batch_after(
    file: &LogFile,
    position: u64,
    end: u64,
    min_offset: i64,
) -> Result<Option<BatchInfo>, LogError> {
    // Offsets within a segment differ by no more, so most of the eight bytes of a true base offset are known.
    let max_offset = min_offset.saturating_add(i64::from(i32::MAX));
    let mut block = Vec::new();
    let mut start = position + 1;
    while start < end {
        let wanted = (end - start).min(WHOLE_BLOCK as u64) as usize;
        block.resize(wanted, 0);
        let read = file.read_at(&mut block, start)?;
        block.truncate(read);
        for (at, window) in block.windows(HEADER_LEN).enumerate() {
            let Some(first) = window.first_chunk::<8>() else { continue };
            if !(min_offset..=max_offset).contains(&i64::from_be_bytes(*first)) {
                continue;
            }
            let here = start + at as u64;
            let Ok(info) = BatchInfo::parse(window, here) else { continue };
            // Old formats have too little to know them by: a checksum of few bytes is met by chance.
            let Some(header) = info.header.filter(|_| info.end() <= end && info.last_offset <= max_offset) else {
                continue;
            };
            if verify_in_pieces(file, &info, header.crc)? {
                return Ok(Some(info));
            }
        }
        if read < wanted || (read as u64) < HEADER_LEN as u64 || start + read as u64 >= end {
            return Ok(None);
        }
        // The last header's worth of bytes was not looked at as a start.
        start += (read - (HEADER_LEN - 1)) as u64;
    }
    Ok(None)
}
