//! What became of records: ranges of offsets with a verdict, in the form of requests.

use std::collections::BTreeMap;

use crate::protocol::messages::{share_acknowledge_request, share_fetch_request};
use crate::types::{Offset, Uuid};

/// What is to become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AcknowledgeType {
    /// It was processed.
    Accept,
    /// Somebody is to try it again.
    Release,
    /// It can't be processed: nobody is to try it again.
    Reject,
    /// It is still being processed: the lock on it begins anew (KIP-1222).
    Renew,
}

impl AcknowledgeType {
    const fn code(self) -> i8 {
        match self {
            Self::Accept => 1,
            Self::Release => 2,
            Self::Reject => 3,
            Self::Renew => 4,
        }
    }
}

/// Offsets that were acquired and are no records: compaction took them, or they are markers.
const GAP: i8 = 0;

/// A partition as share requests speak of it.
pub(super) type Key = (Uuid, i32);

/// Consecutive offsets with the same verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: i64,
    pub(super) last: i64,
    code: i8,
}

impl Range {
    pub(super) fn is_gap(self) -> bool {
        self.code == GAP
    }

    pub(super) fn is_renewal(self) -> bool {
        self.code == AcknowledgeType::Renew.code()
    }

    pub(super) fn offsets(self) -> std::ops::RangeInclusive<Offset> {
        Offset(self.first)..=Offset(self.last)
    }
}

/// Verdicts that wait to be told, by partition, in the order of offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Acknowledgements {
    by_partition: BTreeMap<Key, BTreeMap<i64, Range>>,
}

impl Acknowledgements {
    pub(super) fn is_empty(&self) -> bool {
        self.by_partition.is_empty()
    }

    /// Notes the verdict on one record.
    pub(super) fn add(&mut self, key: Key, offset: i64, verdict: AcknowledgeType) {
        self.push(key, Range { first: offset, last: offset, code: verdict.code() });
    }

    /// Notes that there are no records from `first` to `last`.
    pub(super) fn add_gap(&mut self, key: Key, first: i64, last: i64) {
        if first <= last {
            self.push(key, Range { first, last, code: GAP });
        }
    }

    /// Notes one verdict on all offsets from `first` to `last`.
    pub(super) fn add_range(&mut self, key: Key, first: i64, last: i64, verdict: AcknowledgeType) {
        if first <= last {
            self.push(key, Range { first, last, code: verdict.code() });
        }
    }

    fn push(&mut self, key: Key, mut range: Range) {
        let ranges = self.by_partition.entry(key).or_default();
        // A range never overlaps another: offsets are acquired once and judged once.
        if let Some((_, before)) = ranges.range(..range.first).next_back()
            && before.code == range.code
            && before.last.checked_add(1) == Some(range.first)
        {
            range.first = before.first;
        }
        let after = range.last.checked_add(1).and_then(|next| ranges.get(&next).copied());
        if let Some(after) = after.filter(|after| after.code == range.code) {
            ranges.remove(&after.first);
            range.last = after.last;
        }
        ranges.insert(range.first, range);
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (key, ranges) in other.by_partition {
            for (_, range) in ranges {
                self.push(key, range);
            }
        }
    }

    pub(super) fn has_renewals(&self) -> bool {
        self.by_partition.values().flat_map(BTreeMap::values).any(|range| range.is_renewal())
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = (&Key, impl Iterator<Item = Range> + '_)> {
        self.by_partition.iter().map(|(key, ranges)| (key, ranges.values().copied()))
    }

    pub(super) fn for_fetch(&self, key: &Key) -> Vec<share_fetch_request::AcknowledgementBatch> {
        let ranges = self.by_partition.get(key).into_iter().flat_map(BTreeMap::values);
        let batch = |range: &Range| share_fetch_request::AcknowledgementBatch {
            first_offset: range.first,
            last_offset: range.last,
            acknowledge_types: vec![range.code],
            ..Default::default()
        };
        ranges.map(batch).collect()
    }

    pub(super) fn for_acknowledge(&self) -> Vec<share_acknowledge_request::AcknowledgeTopic> {
        use share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch};
        let mut topics: Vec<AcknowledgeTopic> = Vec::new();
        for ((topic_id, partition_index), ranges) in &self.by_partition {
            let batch = |range: &Range| AcknowledgementBatch {
                first_offset: range.first,
                last_offset: range.last,
                acknowledge_types: vec![range.code],
                ..Default::default()
            };
            let partition = AcknowledgePartition {
                partition_index: *partition_index,
                acknowledgement_batches: ranges.values().map(batch).collect(),
                ..Default::default()
            };
            match topics.last_mut().filter(|topic| topic.topic_id == *topic_id) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(AcknowledgeTopic {
                    topic_id: *topic_id,
                    partitions: vec![partition],
                    ..Default::default()
                }),
            }
        }
        topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Key = (Uuid([1; 16]), 0);

    fn ranges(acknowledgements: &Acknowledgements) -> Vec<(i64, i64, i8)> {
        let all = acknowledgements.partitions().flat_map(|(_, ranges)| ranges);
        all.map(|range| (range.first, range.last, range.code)).collect()
    }

    #[test]
    fn neighbours_with_the_same_verdict_are_one_range_in_whatever_order_they_come() {
        let mut some = Acknowledgements::default();
        for offset in [5, 7, 3, 4, 6] {
            some.add(T, offset, AcknowledgeType::Accept);
        }
        some.add(T, 8, AcknowledgeType::Reject);
        some.add_gap(T, 9, 1 << 60);
        some.add_gap(T, 2, 1);
        assert_eq!(ranges(&some), [(3, 7, 1), (8, 8, 3), (9, 1 << 60, 0)]);
        let mut other = Acknowledgements::default();
        other.add(T, 2, AcknowledgeType::Accept);
        some.merge(other);
        assert_eq!(ranges(&some), [(2, 7, 1), (8, 8, 3), (9, 1 << 60, 0)]);
    }

    #[test]
    fn requests_have_them_by_partition() {
        let mut some = Acknowledgements::default();
        some.add(T, 1, AcknowledgeType::Accept);
        some.add(T, 2, AcknowledgeType::Renew);
        some.add((T.0, 1), 9, AcknowledgeType::Renew);
        assert!(some.has_renewals());
        assert_eq!((some.for_acknowledge().len(), some.for_acknowledge()[0].partitions.len()), (1, 2));
        assert_eq!(ranges(&some), [(1, 1, 1), (2, 2, 4), (9, 9, 4)]);
        assert_eq!(
            (some.for_fetch(&T).len(), some.for_fetch(&(T.0, 1)).len(), some.for_fetch(&(T.0, 2)).len()),
            (2, 1, 0)
        );
    }
}
