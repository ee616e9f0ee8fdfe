//! The offsets of open transactions: written, but of no effect until their marker says what becomes of them (KIP-98, KIP-447).

use std::collections::{BTreeMap, HashMap, HashSet};

use super::offsets::Committed;

/// Group, topic and partition.
type Key = (String, String, i32);

#[derive(Debug)]
struct Pending {
    committed: Committed,
    /// Where its record stands among all of this shard.
    order: u64,
    /// A later record has decided: it no longer counts, but the partition stays undecided until the marker.
    superseded: bool,
}

/// The pending offsets of a shard.
#[derive(Debug, Default)]
pub(super) struct PendingOffsets {
    by_producer: HashMap<i64, BTreeMap<Key, Pending>>,
    /// Whose transactions are about a group.
    by_group: HashMap<String, HashSet<i64>>,
    next_order: u64,
}

impl PendingOffsets {
    /// Notes what a transaction would commit.
    pub(super) fn put(&mut self, producer_id: i64, group: &str, topic: &str, partition: i32, committed: Committed) {
        let order = self.next_order;
        self.next_order += 1;
        let key = (group.to_owned(), topic.to_owned(), partition);
        let pending = Pending { committed, order, superseded: false };
        self.by_producer.entry(producer_id).or_default().insert(key, pending);
        self.by_group.entry(group.to_owned()).or_default().insert(producer_id);
    }

    /// Whether transactions about a group are open.
    pub(super) fn concerns(&self, group: &str) -> bool {
        self.by_group.contains_key(group)
    }

    /// Whether an open transaction may change the offset of a partition.
    pub(super) fn is_pending(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.of_partition(group, topic, partition).next().is_some()
    }

    fn of_partition(&self, group: &str, topic: &str, partition: i32) -> impl Iterator<Item = i64> {
        let key: Key = (group.to_owned(), topic.to_owned(), partition);
        let producers = self.by_group.get(group).into_iter().flatten();
        producers
            .filter(move |producer| self.by_producer.get(producer).is_some_and(|all| all.contains_key(&key)))
            .copied()
    }

    /// The partitions of a group that open transactions would commit for, in order.
    pub(super) fn partitions_of(&self, group: &str) -> Vec<(String, i32)> {
        let producers = self.by_group.get(group).into_iter().flatten();
        let keys = producers.filter_map(|producer| self.by_producer.get(producer)).flat_map(BTreeMap::keys);
        let mut found: Vec<(String, i32)> =
            keys.filter(|key| key.0 == group).map(|(_, topic, partition)| (topic.clone(), *partition)).collect();
        found.sort();
        found.dedup();
        found
    }

    /// Another commit has come after those of open transactions: of all commits of a partition the newest record counts, whichever
    /// ends first. `order`: of the record that has decided; none: it is newer than all.
    pub(super) fn supersede(&mut self, group: &str, topic: &str, partition: i32, order: Option<u64>) {
        if !self.concerns(group) {
            return;
        }
        let producers: Vec<i64> = self.of_partition(group, topic, partition).collect();
        let key = (group.to_owned(), topic.to_owned(), partition);
        for producer in producers {
            if let Some(pending) = self.by_producer.get_mut(&producer).and_then(|all| all.get_mut(&key)) {
                pending.superseded |= order.is_none_or(|order| pending.order < order);
            }
        }
    }

    /// Forgets a partition: its offset was deleted. Says whether there was anything.
    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) -> bool {
        if !self.concerns(group) {
            return false;
        }
        let producers: Vec<i64> = self.of_partition(group, topic, partition).collect();
        let key = (group.to_owned(), topic.to_owned(), partition);
        for producer in &producers {
            let Some(all) = self.by_producer.get_mut(producer) else { continue };
            all.remove(&key);
            if !all.keys().any(|key| key.0 == group)
                && let Some(of_group) = self.by_group.get_mut(group)
            {
                of_group.remove(producer);
            }
        }
        self.by_group.retain(|_, producers| !producers.is_empty());
        !producers.is_empty()
    }

    /// Takes out what a transaction would commit, without what was decided meanwhile. It is over, whatever its producer's
    /// epoch was: the marker's may be newer than that of the records (KIP-890).
    pub(super) fn end(&mut self, producer_id: i64) -> Vec<(String, String, i32, u64, Committed)> {
        let ended = self.by_producer.remove(&producer_id).unwrap_or_default();
        self.by_group.retain(|_, producers| {
            producers.remove(&producer_id);
            !producers.is_empty()
        });
        ended
            .into_iter()
            .filter(|(_, pending)| !pending.superseded)
            .map(|((group, topic, partition), pending)| (group, topic, partition, pending.order, pending.committed))
            .collect()
    }
}
