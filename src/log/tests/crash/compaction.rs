//! What compaction may leave of the records of a log, and what it must.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::model::view;

/// A record, with what its batch says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    timestamp: i64,
    epoch: i32,
    horizon: Option<i64>,
}

impl Kept {
    /// It is a tombstone whose time is over.
    fn is_over(&self, now_ms: i64) -> bool {
        self.value.is_none() && self.horizon.is_some_and(|horizon| horizon <= now_ms)
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.key, &self.value, self.timestamp, self.epoch) == (&other.key, &other.value, other.timestamp, other.epoch)
    }
}

pub(super) type Records = BTreeMap<i64, Kept>;

/// The records of batches at `start` or later.
pub(super) fn records_of<'a>(batches: impl Iterator<Item = &'a Bytes>, start: i64) -> Records {
    let mut records = Records::new();
    for bytes in batches {
        let batch = view(bytes);
        let (epoch, horizon) = (batch.header().partition_leader_epoch.0, batch.header().delete_horizon_ms());
        for record in batch.records(&mut Vec::new(), 1 << 20).unwrap() {
            let record = record.unwrap();
            let (key, value) = (record.key.unwrap().to_vec(), record.value.map(<[u8]>::to_vec));
            let kept = Kept { key, value, timestamp: record.timestamp, epoch, horizon };
            if record.offset.0 >= start {
                let before = records.insert(record.offset.0, kept);
                assert_eq!(before, None, "offset {} twice", record.offset);
            }
        }
    }
    records
}

/// A cleaning of all below an offset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cleaning {
    pub(super) end: i64,
    pub(super) now_ms: i64,
}

/// The newest offset of each key below `end`.
fn newest(records: &Records, end: i64) -> HashMap<&[u8], i64> {
    records.range(..end).map(|(offset, record)| (record.key.as_slice(), *offset)).collect()
}

impl Cleaning {
    /// It came to its end: the newest value of each key is left, and all above.
    pub(super) fn check_done(&self, before: &Records, after: &Records) {
        let newest = newest(before, self.end);
        let stays = |offset: i64, record: &Kept| {
            offset >= self.end || newest[record.key.as_slice()] == offset && !record.is_over(self.now_ms)
        };
        let expected: Vec<i64> = before.iter().filter(|(at, record)| stays(**at, record)).map(|(at, _)| *at).collect();
        assert_eq!(after.keys().copied().collect::<Vec<_>>(), expected, "left after {self:?} of {before:?}");
        self.check_same(before, after);
    }

    /// It came to no end, and what was not below `safe` may be lost: no key has lost its value.
    pub(super) fn check_broken(&self, before: &Records, after: &Records, safe: i64) {
        self.check_same(before, after);
        let newest = newest(before, self.end);
        for (offset, record) in before.range(..safe) {
            let newest = if *offset < self.end { newest[record.key.as_slice()] } else { *offset };
            let is_there = after.contains_key(offset) || after.contains_key(&newest);
            assert!(is_there || before[&newest].is_over(self.now_ms), "{offset} is gone in {self:?} of {before:?}");
        }
    }

    fn check_same(&self, before: &Records, after: &Records) {
        for (offset, record) in after {
            let is_same = before.get(offset).is_some_and(|known| known.is_same(record));
            assert!(is_same, "{record:?} at {offset}, which was {:?}", before.get(offset));
            let had = before.get(offset).and_then(|known| known.horizon);
            assert!(had.is_none() || had == record.horizon, "another horizon at {offset}");
        }
    }
}
