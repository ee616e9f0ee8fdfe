//! What a fetch acquired, and what became of it.

use std::sync::Arc;

use bytes::Bytes;

use super::acknowledgements::{AcknowledgeType, Acknowledgements, Key};
use super::{AcknowledgementMode, ShareConsumer, ShareRecord};
use crate::client::consumer::{Chunk, ConsumeError};
use crate::protocol::messages::share_fetch_response::AcquiredRecords;
use crate::types::{NodeId, Offset, TopicPartition};

/// A record that is locked for this consumer.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) key: Key,
    /// Where it was acquired: only there it can be acknowledged.
    pub(super) node: NodeId,
    pub(super) record: ShareRecord,
    pub(super) verdict: Option<AcknowledgeType>,
    /// The verdict is on its way; only renewals are kept so long.
    pub(super) told: bool,
}

/// The records among those that were acquired; what is none is noted in `gaps`.
pub(super) fn read(
    key: Key,
    partition: &Arc<TopicPartition>,
    bytes: Bytes,
    acquired: &[AcquiredRecords],
    check_crcs: bool,
    gaps: &mut Acknowledgements,
) -> (Vec<ShareRecord>, Option<ConsumeError>) {
    let Some(first) = acquired.iter().map(|range| range.first_offset).min() else { return (Vec::new(), None) };
    let mut chunk = Chunk::new(Arc::clone(partition), bytes, Offset(first), check_crcs, None);
    let mut all = Vec::new();
    let error = loop {
        match chunk.take(usize::MAX / 2, &mut all) {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(error),
        }
    };
    // From here on nothing is known: others may fare better, and the delivery count is the limit.
    let unreadable = error.as_ref().map(|_| chunk.position().get());
    let mut records = all.into_iter().peekable();
    let mut found = Vec::new();
    for range in acquired {
        let mut next = range.first_offset;
        while records.next_if(|record| record.offset.get() < range.first_offset).is_some() {}
        while let Some(record) = records.next_if(|record| record.offset.get() <= range.last_offset) {
            let offset = record.offset.get();
            gaps.add_gap(key, next, offset - 1);
            next = offset.saturating_add(1);
            found.push(ShareRecord { record, delivery_count: range.delivery_count });
        }
        match unreadable {
            Some(from) if from <= range.last_offset => {
                gaps.add_gap(key, next, from - 1);
                gaps.add_range(key, from.max(next), range.last_offset, AcknowledgeType::Release);
            }
            _ => gaps.add_gap(key, next, range.last_offset),
        }
    }
    (found, error)
}

impl ShareConsumer {
    /// Hands out what was acquired, and remembers that it waits for its acknowledgement.
    pub(super) fn hand_out(&mut self) -> Vec<ShareRecord> {
        let most = usize::try_from(self.options.max_poll_records).unwrap_or(1).max(1);
        let count = self.acquired.len().min(most);
        let mut records = Vec::with_capacity(count);
        for delivered in self.acquired.drain(..count) {
            records.push(delivered.record.clone());
            let partition = TopicPartition::clone(&delivered.record.record.partition);
            self.delivered.insert((partition, delivered.record.record.offset), delivered);
        }
        records
    }

    /// Puts verdicts in line for their brokers.
    pub(super) fn note_verdicts(&mut self) {
        let implicit = self.options.acknowledgement == AcknowledgementMode::Implicit;
        let nodes = &mut self.nodes;
        self.delivered.retain(|(_, offset), delivered| {
            let verdict = delivered.verdict.or(implicit.then_some(AcknowledgeType::Accept));
            let Some(verdict) = verdict.filter(|_| !delivered.told) else { return true };
            delivered.told = true;
            let node = nodes.entry(delivered.node).or_default();
            node.pending.add(delivered.key, offset.get(), verdict);
            // What is renewed is handed out again.
            verdict == AcknowledgeType::Renew
        });
    }

    /// A renewal was answered: the record is handed out again, or its lock is over.
    pub(super) fn renewed(&mut self, partition: &TopicPartition, offset: Offset, granted: bool) {
        let Some(mut delivered) = self.delivered.remove(&(partition.clone(), offset)) else { return };
        if granted {
            delivered.verdict = None;
            delivered.told = false;
            self.acquired.push_back(delivered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, BatchOptions, NewRecord};
    use crate::types::Uuid;

    const T: Key = (Uuid([1; 16]), 0);

    fn batch(base: i64, count: i64) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions { base_offset: Offset(base), ..Default::default() });
        for _ in 0..count {
            builder.append(&NewRecord { value: Some(b"v"), ..Default::default() }).unwrap();
        }
        builder.build().unwrap().to_vec()
    }

    fn acquired(ranges: &[(i64, i64)]) -> Vec<AcquiredRecords> {
        let range = |(first_offset, last_offset): &(i64, i64)| AcquiredRecords {
            first_offset: *first_offset,
            last_offset: *last_offset,
            delivery_count: 2,
            ..Default::default()
        };
        ranges.iter().map(range).collect()
    }

    /// Offsets of the records, and what is noted of the others: first, last, whether it is a gap.
    fn read_log(log: &[Vec<u8>], ranges: &[(i64, i64)]) -> (Vec<i64>, Vec<(i64, i64, bool)>, bool) {
        let mut gaps = Acknowledgements::default();
        let partition = Arc::new(TopicPartition::new("t", 0));
        let (found, error) = read(T, &partition, Bytes::from(log.concat()), &acquired(ranges), true, &mut gaps);
        assert!(found.iter().all(|record| record.delivery_count == 2));
        let noted = gaps.partitions().flat_map(|(_, ranges)| ranges);
        let noted = noted.map(|range| (range.first, range.last, range.is_gap())).collect();
        (found.iter().map(|record| record.record.offset.get()).collect(), noted, error.is_some())
    }

    #[test]
    fn only_what_was_acquired_is_handed_out_and_what_is_no_record_is_told() {
        let log = [batch(0, 5), batch(8, 3)];
        assert_eq!(read_log(&log, &[(1, 2), (4, 9)]), (vec![1, 2, 4, 8, 9], vec![(5, 7, true)], false));
        assert_eq!(read_log(&log, &[(9, 1 << 60)]), (vec![9, 10], vec![(11, 1 << 60, true)], false));
        assert_eq!(read_log(&[], &[(3, 4)]), (vec![], vec![(3, 4, true)], false));
    }

    #[test]
    fn what_can_not_be_read_is_given_back() {
        let mut damaged = batch(5, 3);
        *damaged.last_mut().unwrap() ^= 1;
        let (found, noted, failed) = read_log(&[batch(0, 2), damaged], &[(0, 7), (8, 9)]);
        assert!(failed);
        assert_eq!(found, [0, 1]);
        assert_eq!(noted.last(), Some(&(2, 9, false)), "{noted:?}");
    }
}
