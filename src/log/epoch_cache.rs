//! `leader-epoch-checkpoint`: which leader epoch begins at which offset (KIP-101).
//!
//! Lines ended by `\n`: `0` (the version), the number of entries, then `epoch start_offset` each. A missing or empty
//! file holds no entries.
//!
//! Epochs and offsets both rise. The batches in the log say the same, so what is lost is found there again.

use std::fmt::Write as _;

use crate::types::{LeaderEpoch, Offset};

/// File name within the partition's directory.
pub(super) const FILE_NAME: &str = "leader-epoch-checkpoint";
/// Far more than leaderships a partition has had; a larger file is something else.
pub(super) const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// An epoch and the offset of its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    /// The leader epoch.
    pub epoch: LeaderEpoch,
    /// Where it begins.
    pub start_offset: Offset,
}

/// The epochs of one partition.
///
/// Invariant: epochs and start offsets rise strictly from entry to entry, and none is negative.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// The newest entry.
    pub(super) fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// All of them, oldest first.
    pub(super) fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// Notes that `epoch` begins at `start_offset`, or earlier if that is known; says whether that is news.
    ///
    /// Entries that the new one contradicts (as new or newer, or beginning there or later) are dropped: the log was cut
    /// there, or nothing was ever written in them.
    pub(super) fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if epoch < LeaderEpoch(0) || start_offset < Offset::ZERO {
            return false;
        }
        if self.latest().is_some_and(|last| last.epoch == epoch && last.start_offset <= start_offset) {
            return false;
        }
        while self.latest().is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// Drops what begins at `end` or later; says whether there was any.
    pub(super) fn truncate_from_end(&mut self, end: Offset) -> bool {
        let keep = self.entries.partition_point(|entry| entry.start_offset < end);
        let changed = keep < self.entries.len();
        self.entries.truncate(keep);
        changed
    }

    /// Lets the epoch that covers `start` begin there and drops those before it; says whether that changed anything.
    pub(super) fn truncate_from_start(&mut self, start: Offset) -> bool {
        let after = self.entries.partition_point(|entry| entry.start_offset <= start);
        let Some(covering) = after.checked_sub(1) else { return false };
        let changed = self.entries.get(covering).is_some_and(|entry| entry.start_offset < start);
        self.entries.drain(..covering);
        if let Some(first) = self.entries.first_mut() {
            first.start_offset = start;
        }
        changed
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// The answer to OffsetForLeaderEpoch: the largest epoch known that is not above `epoch`, and where it ends;
    /// `None` if the log knows too little.
    pub(super) fn end_offset_for(&self, epoch: LeaderEpoch, log_end_offset: Offset) -> Option<EpochEnd> {
        let latest = self.latest().filter(|_| epoch >= LeaderEpoch(0))?;
        if latest.epoch == epoch {
            return Some(EpochEnd { epoch, end_offset: log_end_offset });
        }
        let higher = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end_offset = self.entries.get(higher)?.start_offset;
        // Older than all that is known: nothing of it is left, it ended where the first one known begins.
        let floor = higher.checked_sub(1).and_then(|at| self.entries.get(at)).map_or(epoch, |entry| entry.epoch);
        Some(EpochEnd { epoch: floor, end_offset })
    }

    /// The epoch of the record at `offset`; `None` if it is from before the first epoch known.
    pub(super) fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).and_then(|at| self.entries.get(at)).map(|entry| entry.epoch)
    }

    /// Content of the file.
    pub(super) fn render(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
        }
        text
    }

    /// Reads the content of the file; `Err` holds the first line (from 1) that is wrong.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, usize> {
        let Ok(text) = std::str::from_utf8(bytes) else { return Err(1) };
        let mut lines = text.lines().zip(1..);
        let Some((version, _)) = lines.next() else { return Ok(Self::default()) };
        if version.trim() != "0" {
            return Err(1);
        }
        let Some(count) = lines.next().and_then(|(line, _)| line.trim().parse::<usize>().ok()) else { return Err(2) };
        let mut entries: Vec<EpochEntry> = Vec::new();
        let mut last_line = 2;
        for (line, number) in lines {
            let entry = parse_entry(line).ok_or(number)?;
            let rises = |last: &EpochEntry| last.epoch < entry.epoch && last.start_offset < entry.start_offset;
            if !entries.last().is_none_or(rises) {
                return Err(number);
            }
            entries.push(entry);
            last_line = number;
        }
        if entries.len() == count { Ok(Self { entries }) } else { Err(last_line) }
    }
}

/// Where an epoch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end_offset: Offset,
}

fn parse_entry(line: &str) -> Option<EpochEntry> {
    let (epoch, start_offset) = line.trim().split_once(' ')?;
    let epoch: i32 = epoch.parse().ok().filter(|epoch| *epoch >= 0)?;
    let start_offset: i64 = start_offset.trim().parse().ok().filter(|offset| *offset >= 0)?;
    Some(EpochEntry { epoch: LeaderEpoch(epoch), start_offset: Offset(start_offset) })
}

/// Fuzz entry: what was read is written such that it reads the same again.
pub fn fuzz_epoch_checkpoint(data: &[u8]) {
    if let Ok(cache) = EpochCache::parse(data) {
        assert_eq!(EpochCache::parse(cache.render().as_bytes()), Ok(cache), "epochs don't read back");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for (epoch, start) in entries {
            assert!(cache.assign(LeaderEpoch(*epoch), Offset(*start)));
        }
        cache
    }

    fn pairs(cache: &EpochCache) -> Vec<(i32, i64)> {
        cache.entries.iter().map(|e| (e.epoch.0, e.start_offset.0)).collect()
    }

    #[test]
    fn the_file_is_kafkas() {
        let text = "0\n2\n0 0\n3 1042\n";
        assert_eq!(EpochCache::parse(text.as_bytes()).unwrap(), cache(&[(0, 0), (3, 1042)]));
        assert_eq!(cache(&[(0, 0), (3, 1042)]).render(), text);
        assert_eq!(EpochCache::parse(b"").unwrap(), EpochCache::default());
        for (text, line) in
            [("1\n0\n", 1), ("0\n", 2), ("0\n1\n", 2), ("0\n2\n0 0\n", 3), ("0\n2\n3 5\n3 9\n", 4), ("0\n1\n-1 0\n", 3)]
        {
            assert_eq!(EpochCache::parse(text.as_bytes()), Err(line), "{text:?}");
        }
    }

    #[test]
    fn a_new_epoch_displaces_what_it_contradicts() {
        let mut epochs = cache(&[(1, 0), (2, 10), (4, 20)]);
        assert!(!epochs.assign(LeaderEpoch(4), Offset(25)), "known");
        assert!(!epochs.assign(LeaderEpoch(-1), Offset(30)), "no epoch");
        assert!(epochs.assign(LeaderEpoch(5), Offset(20)), "nothing was written in epoch 4");
        assert_eq!(pairs(&epochs), [(1, 0), (2, 10), (5, 20)]);
        assert!(epochs.assign(LeaderEpoch(3), Offset(15)));
        assert_eq!(pairs(&epochs), [(1, 0), (2, 10), (3, 15)]);
        assert!(epochs.assign(LeaderEpoch(3), Offset(12)), "it begins earlier than was known");
        assert_eq!(pairs(&epochs), [(1, 0), (2, 10), (3, 12)]);
    }

    #[test]
    fn both_ends_can_be_cut() {
        let mut epochs = cache(&[(1, 0), (2, 10), (4, 20)]);
        assert!(epochs.truncate_from_start(Offset(12)));
        assert_eq!(pairs(&epochs), [(2, 12), (4, 20)]);
        assert!(!epochs.truncate_from_start(Offset(12)));
        assert!(!epochs.truncate_from_start(Offset(3)), "all begin later");
        assert!(epochs.truncate_from_end(Offset(20)));
        assert_eq!(pairs(&epochs), [(2, 12)]);
        assert!(!epochs.truncate_from_end(Offset(13)));
        assert!(epochs.truncate_from_start(Offset(99)));
        assert_eq!(pairs(&epochs), [(2, 99)]);
    }

    /// The rules of `OffsetForLeaderEpoch`.
    #[test]
    fn end_offsets_are_kafkas() {
        let epochs = cache(&[(2, 5), (4, 20), (6, 30)]);
        let end = |epoch| epochs.end_offset_for(LeaderEpoch(epoch), Offset(40)).map(|e| (e.epoch.0, e.end_offset.0));
        assert_eq!(end(6), Some((6, 40)), "the latest ends at the log end");
        assert_eq!(end(5), Some((4, 30)), "unknown within: the one below it");
        assert_eq!(end(4), Some((4, 30)));
        assert_eq!(end(2), Some((2, 20)));
        assert_eq!(end(1), Some((1, 5)), "older than all");
        assert_eq!(end(7), None, "newer than all");
        assert_eq!(end(-1), None);
        assert_eq!(EpochCache::default().end_offset_for(LeaderEpoch(0), Offset(3)), None);
        assert_eq!(epochs.epoch_at(Offset(4)), None);
        assert_eq!(epochs.epoch_at(Offset(29)), Some(LeaderEpoch(4)));
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            fuzz_epoch_checkpoint(&data);
        }

        #[test]
        fn entries_always_rise(steps in proptest::collection::vec((0..3, -1..6_i32, -1..30_i64), 0..40)) {
            let mut cache = EpochCache::default();
            for (what, epoch, offset) in steps {
                match what {
                    0 => cache.assign(LeaderEpoch(epoch), Offset(offset)),
                    1 => cache.truncate_from_start(Offset(offset)),
                    _ => cache.truncate_from_end(Offset(offset)),
                };
                prop_assert!(cache.entries.is_sorted_by(|a, b| a.epoch < b.epoch && a.start_offset < b.start_offset));
                prop_assert_eq!(EpochCache::parse(cache.render().as_bytes()), Ok(cache.clone()));
            }
        }
    }
}
