//! Which partition a record goes to.

use std::fmt;

use super::options::Partitioning;
use crate::record::key_hash;
use crate::types::PartitionId;

/// The partitions that a record may go to.
#[derive(Debug, Clone, Copy)]
pub struct PartitionChoice<'a> {
    /// The topic.
    pub topic: &'a str,
    /// How many partitions it has.
    pub count: usize,
    /// Those that have a leader now, in order.
    pub available: &'a [PartitionId],
}

/// A way of the caller's own to choose partitions.
pub trait Partitioner: Send + Sync + fmt::Debug {
    /// The partition of a record. One that the topic does not have fails the record.
    fn partition(&self, key: Option<&[u8]>, value: Option<&[u8]>, choice: &PartitionChoice<'_>) -> PartitionId;
}

/// What choosing remembers from record to record of a topic.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The partition that records without a key go to now, and the bytes that went there.
    sticky: Option<(PartitionId, usize)>,
    /// Records so far, for taking turns.
    turn: usize,
}

impl Memory {
    /// The partition of a record. `queued`: batches that wait for each partition; none where its broker has taken no batch
    /// for too long.
    pub(super) fn choose(
        &mut self,
        how: &Partitioning,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        choice: &PartitionChoice<'_>,
        queued: impl Fn(PartitionId) -> Option<usize>,
    ) -> PartitionId {
        match (how, key) {
            (Partitioning::Custom(partitioner), _) => partitioner.partition(key, value, choice),
            (Partitioning::RoundRobin, _) => {
                let turn = self.turn;
                self.turn = turn.wrapping_add(1);
                nth(choice, turn)
            }
            (Partitioning::Default { ignore_keys: false, .. }, Some(key)) => {
                // Of all partitions, with or without a leader: a key must not move when a broker does.
                PartitionId(key_hash::partition_for_key(key, clamp(choice.count)))
            }
            (Partitioning::Default { adaptive, .. }, _) => match self.sticky {
                Some((partition, _)) => partition,
                None => {
                    let partition = if *adaptive { weighted(choice, queued) } else { nth(choice, fastrand::usize(..)) };
                    self.sticky = Some((partition, 0));
                    partition
                }
            },
        }
    }

    /// The partition that records without a key go to now.
    pub(super) fn sticky(&self) -> Option<PartitionId> {
        self.sticky.map(|(partition, _)| partition)
    }

    /// Before a record without a key: lets it choose anew if its partition has, or with it would have, a batch's worth. Says
    /// whether it may.
    ///
    /// Only a record that would begin a batch may leave: an open batch that is left behind gets no more records and waits
    /// for all of `linger.ms`. After two batches' worth any record may, since those with a key can keep a batch open (KIP-794).
    pub(super) fn end_turn(&mut self, bytes: usize, batch_size: usize, begins_batch: impl FnOnce() -> bool) -> bool {
        let Some((_, produced)) = self.sticky else { return false };
        let ends =
            produced >= batch_size.saturating_mul(2) || produced.saturating_add(bytes) >= batch_size && begins_batch();
        if ends {
            self.sticky = None;
        }
        ends
    }

    /// Counts the bytes of a record without a key.
    pub(super) fn count(&mut self, bytes: usize) {
        if let Some((_, produced)) = &mut self.sticky {
            *produced = produced.saturating_add(bytes);
        }
    }
}

fn clamp(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Partition number `n`, counted around, of those that have a leader; of all if none has.
fn nth(choice: &PartitionChoice<'_>, n: usize) -> PartitionId {
    match choice.available.get(n.checked_rem(choice.available.len()).unwrap_or(0)) {
        Some(partition) => *partition,
        None => PartitionId(clamp(n.checked_rem(choice.count).unwrap_or(0))),
    }
}

/// A random partition, the more likely the fewer batches wait for it.
fn weighted(choice: &PartitionChoice<'_>, queued: impl Fn(PartitionId) -> Option<usize>) -> PartitionId {
    let longest = choice.available.iter().filter_map(|partition| queued(*partition)).max().unwrap_or(0);
    let weight = |partition: PartitionId| queued(partition).map_or(0, |queued| longest + 1 - queued.min(longest));
    let total = choice.available.iter().map(|partition| weight(*partition)).sum::<usize>();
    if total == 0 {
        return nth(choice, fastrand::usize(..));
    }
    let mut drawn = fastrand::usize(..total);
    for partition in choice.available {
        match drawn.checked_sub(weight(*partition)) {
            Some(rest) => drawn = rest,
            None => return *partition,
        }
    }
    nth(choice, 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DEFAULT: Partitioning =
        Partitioning::Default { ignore_keys: false, adaptive: true, availability_timeout: Duration::ZERO };

    fn ids(ids: &[i32]) -> Vec<PartitionId> {
        ids.iter().copied().map(PartitionId).collect()
    }

    #[test]
    fn a_key_stays_where_it_is_whoever_leads() {
        let mut memory = Memory::default();
        let all = ids(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        for key in 0..100u8 {
            let mut choose = |available: &[PartitionId]| {
                let choice = PartitionChoice { topic: "t", count: 10, available };
                memory.choose(&DEFAULT, Some(&[key]), None, &choice, |_| Some(0))
            };
            assert_eq!(choose(&all), choose(&all[..1]));
        }
    }

    #[test]
    fn without_a_key_a_partition_gets_a_batch_then_another_one_does() {
        let mut memory = Memory::default();
        let available = ids(&[0, 1, 2]);
        let choice = PartitionChoice { topic: "t", count: 3, available: &available };
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            seen.insert(memory.choose(&DEFAULT, None, None, &choice, |_| Some(0)));
            memory.count(30);
            assert!(!memory.end_turn(60, 100, || true), "less than a batch");
            memory.count(60);
            assert!(!memory.end_turn(60, 100, || false), "not at a batch's end");
            assert!(memory.sticky().is_some());
            assert!(memory.end_turn(60, 100, || true));
            assert_eq!(memory.sticky(), None);
        }
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn after_two_batches_a_turn_ends_anywhere() {
        let available = ids(&[0]);
        let choice = PartitionChoice { topic: "t", count: 1, available: &available };
        let mut memory = Memory::default();
        memory.choose(&DEFAULT, None, None, &choice, |_| Some(0));
        memory.count(199);
        assert!(!memory.end_turn(1, 100, || false));
        memory.count(1);
        assert!(memory.end_turn(1, 100, || false));
    }

    #[test]
    fn long_queues_are_avoided_and_leaderless_partitions_too() {
        let available = ids(&[0, 2]);
        let choice = PartitionChoice { topic: "t", count: 3, available: &available };
        let mut counts = [0; 3];
        for _ in 0..1000 {
            let queued = |partition: PartitionId| Some(if partition.get() == 0 { 9 } else { 0 });
            counts[Memory::default().choose(&DEFAULT, None, None, &choice, queued).get() as usize] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!(counts[0] < 200 && counts[0] > 20, "one in eleven: {counts:?}");
        let none = PartitionChoice { available: &[], ..choice };
        assert!(Memory::default().choose(&DEFAULT, None, None, &none, |_| Some(0)).get() < 3);
    }

    #[test]
    fn brokers_that_take_nothing_are_avoided_as_long_as_there_are_others() {
        let available = ids(&[0, 1, 2]);
        let choice = PartitionChoice { topic: "t", count: 3, available: &available };
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let queued = |partition: PartitionId| (partition.get() != 1).then_some(5);
            seen.insert(Memory::default().choose(&DEFAULT, None, None, &choice, queued).get());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 2]);
        assert!(Memory::default().choose(&DEFAULT, None, None, &choice, |_| None).get() < 3);
    }

    #[test]
    fn round_robin_takes_turns() {
        let mut memory = Memory::default();
        let available = ids(&[0, 1, 2]);
        let choice = PartitionChoice { topic: "t", count: 3, available: &available };
        let mut next = || memory.choose(&Partitioning::RoundRobin, Some(b"k"), None, &choice, |_| Some(0)).get();
        assert_eq!([next(), next(), next(), next()], [0, 1, 2, 0]);
    }
}
