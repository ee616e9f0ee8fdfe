//! Whether the replicas of a partition hold the same: batch by batch, up to where all of them are committed.

use std::collections::BTreeMap;

use crate::record;
use crate::types::{NodeId, TopicPartition};

/// A batch, as far as it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) last_offset: i64,
    pub(super) crc: u32,
}

/// What a replica answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Replica {
    pub(super) high_watermark: i64,
    pub(super) batches: Vec<Batch>,
}

impl Replica {
    /// Reads the heads of whole batches; what is cut off comes again with the next fetch.
    pub(super) fn new(high_watermark: i64, records: &[u8]) -> Self {
        let batches = record::batches(records)
            .map_while(Result::ok)
            .map(|batch| Batch { last_offset: batch.header().last_offset().get(), crc: batch.header().crc });
        Self { high_watermark, batches: batches.collect() }
    }
}

/// What came of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Compared {
    /// Up to where replicas were compared.
    pub(super) next_offset: i64,
    /// What differs, in Kafka's words.
    pub(super) differences: Vec<String>,
    /// Whether the offsets themselves part ways: then there is nothing left to compare.
    pub(super) parted: bool,
}

/// Compares replicas from `offset` on.
pub(super) fn compare(partition: &TopicPartition, offset: i64, replicas: &BTreeMap<NodeId, Replica>) -> Compared {
    let mut compared = Compared { next_offset: offset, ..Compared::default() };
    for index in 0.. {
        let mut first: Option<(NodeId, Batch)> = None;
        let mut in_all = !replicas.is_empty();
        for (id, replica) in replicas {
            match replica.batches.get(index) {
                Some(batch) if batch.last_offset < replica.high_watermark => match first {
                    None => first = Some((*id, *batch)),
                    Some((first_id, reference)) if reference.last_offset != batch.last_offset => {
                        compared.differences.push(format!(
                            "partition {partition}: replica {first_id}'s offset {} doesn't match replica {id}'s offset {}",
                            reference.last_offset, batch.last_offset
                        ));
                        compared.parted = true;
                        return compared;
                    }
                    Some((first_id, reference)) if reference.crc != batch.crc => {
                        compared.differences.push(format!(
                            "partition {partition} has unmatched checksum at offset {}; replica {first_id}'s checksum {}; \
                             replica {id}'s checksum {}",
                            batch.last_offset, reference.crc, batch.crc
                        ));
                    }
                    Some(_) => {}
                },
                // Not committed there yet, or not fetched.
                _ => in_all = false,
            }
        }
        match first {
            Some((_, batch)) if in_all => compared.next_offset = batch.last_offset + 1,
            _ => return compared,
        }
    }
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(high_watermark: i64, batches: &[(i64, u32)]) -> Replica {
        let batches = batches.iter().map(|(last_offset, crc)| Batch { last_offset: *last_offset, crc: *crc });
        Replica { high_watermark, batches: batches.collect() }
    }

    fn compared(replicas: &[Replica]) -> Compared {
        let replicas = (1..).map(NodeId).zip(replicas.iter().cloned()).collect();
        compare(&TopicPartition::new("t", 0), 3, &replicas)
    }

    #[test]
    fn equal_replicas_are_compared_up_to_what_all_have() {
        let found = compared(&[replica(10, &[(4, 1), (9, 2)]), replica(10, &[(4, 1)])]);
        assert_eq!(found, Compared { next_offset: 5, ..Compared::default() });
        // The second batch is not committed on one of them.
        let found = compared(&[replica(10, &[(4, 1), (9, 2)]), replica(5, &[(4, 1), (9, 3)])]);
        assert_eq!(found, Compared { next_offset: 5, ..Compared::default() });
        assert_eq!(compared(&[replica(3, &[]), replica(3, &[])]).next_offset, 3);
        assert_eq!(compared(&[]).next_offset, 3);
    }

    #[test]
    fn what_differs_is_told_in_kafkas_words() {
        let found = compared(&[replica(10, &[(4, 1), (9, 2)]), replica(10, &[(4, 7), (9, 2)])]);
        assert_eq!(
            found.differences,
            ["partition t-0 has unmatched checksum at offset 4; replica 1's checksum 1; replica 2's checksum 7"]
        );
        assert_eq!((found.next_offset, found.parted), (10, false));
        let found = compared(&[replica(10, &[(4, 1)]), replica(10, &[(5, 1)])]);
        assert_eq!(found.differences, ["partition t-0: replica 1's offset 4 doesn't match replica 2's offset 5"]);
        assert_eq!((found.next_offset, found.parted), (3, true));
    }

    #[test]
    fn bytes_that_are_no_batch_end_what_is_compared() {
        assert_eq!(Replica::new(5, &[1, 2, 3]), replica(5, &[]));
    }
}
