//! The offsets that a group has committed.

use std::collections::{BTreeMap, HashMap};

use crate::types::Uuid;

/// An offset that a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Committed {
    /// The next offset to read.
    pub(in crate::broker) offset: i64,
    /// Leader epoch of the record before it, -1 if not known.
    pub(in crate::broker) leader_epoch: i32,
    /// What the client wanted to remember with it.
    pub(in crate::broker) metadata: String,
    /// When it was committed, in milliseconds since 1970.
    pub(in crate::broker) committed_ms: i64,
    /// When it expires, if the request said so (OffsetCommit up to version 4).
    pub(in crate::broker) expires_ms: Option<i64>,
    /// The topic's id at that time; zero if not known.
    pub(in crate::broker) topic_id: Uuid,
}

#[derive(Debug, Default)]
pub(super) struct Offsets {
    by_topic: HashMap<String, BTreeMap<i32, Committed>>,
}

impl Offsets {
    pub(super) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.by_topic.get(topic)?.get(&partition)
    }

    pub(super) fn put(&mut self, topic: &str, partition: i32, committed: Committed) {
        if let Some(partitions) = self.by_topic.get_mut(topic) {
            partitions.insert(partition, committed);
            return;
        }
        self.by_topic.entry(topic.to_owned()).or_default().insert(partition, committed);
    }

    pub(super) fn remove(&mut self, topic: &str, partition: i32) -> bool {
        let Some(partitions) = self.by_topic.get_mut(topic) else { return false };
        let removed = partitions.remove(&partition).is_some();
        if partitions.is_empty() {
            self.by_topic.remove(topic);
        }
        removed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, i32, &Committed)> {
        self.by_topic
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |(p, c)| (topic.as_str(), *p, c)))
    }

    pub(super) fn partitions_of(&self, topic: &str) -> Vec<i32> {
        self.by_topic.get(topic).map(|partitions| partitions.keys().copied().collect()).unwrap_or_default()
    }
}
