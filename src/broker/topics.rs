//! The partitions that this broker has, by topic name and by topic id.
//!
//! What there is follows from the metadata image; this is only the quick way to it for requests.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::partition::Partition;
use crate::types::Uuid;

/// A topic's partitions on this broker.
#[derive(Debug)]
pub(super) struct Topic {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Its id.
    pub(super) id: Uuid,
    /// By number; a hole is a partition that is elsewhere.
    partitions: RwLock<Vec<Option<Arc<Partition>>>>,
}

impl Topic {
    /// A partition by its number.
    pub(super) fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        let index = usize::try_from(index).ok()?;
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(index)?.clone()
    }

    /// All of its partitions here.
    pub(super) fn all(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).iter().flatten().cloned().collect()
    }
}

/// The topics of this broker.
#[derive(Debug, Default)]
pub(super) struct Topics {
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
}

impl Topics {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A topic by its name.
    pub(super) fn by_name(&self, name: &str) -> Option<Arc<Topic>> {
        self.read().by_name.get(name).cloned()
    }

    /// A topic by its id.
    pub(super) fn by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.read().by_id.get(&id).cloned()
    }

    /// The id of the topic with this name.
    pub(super) fn id_of(&self, name: &str) -> Option<Uuid> {
        self.read().by_name.get(name).map(|topic| topic.id)
    }

    /// The name of the topic with this id.
    pub(super) fn name_of(&self, id: Uuid) -> Option<Arc<str>> {
        self.read().by_id.get(&id).map(|topic| Arc::clone(&topic.name))
    }

    /// A partition by its topic's name.
    pub(super) fn partition(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        self.by_name(topic)?.partition(index)
    }

    /// Whether the topic has a partition of this number.
    pub(super) fn has_partition(&self, topic: &str, index: i32) -> bool {
        self.partition(topic, index).is_some()
    }

    /// All topics, in no particular order.
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        self.read().by_name.values().cloned().collect()
    }

    /// Adds a partition, and its topic if it is the first one.
    pub(super) fn insert(&self, name: &str, id: Uuid, index: i32, partition: Arc<Partition>) {
        let Ok(index) = usize::try_from(index) else { return };
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let topic = match tables.by_name.get(name) {
            Some(topic) if topic.id == id => Arc::clone(topic),
            _ => {
                let topic = Arc::new(Topic { name: name.into(), id, partitions: RwLock::default() });
                tables.by_name.insert(Arc::clone(&topic.name), Arc::clone(&topic));
                tables.by_id.insert(id, Arc::clone(&topic));
                topic
            }
        };
        let mut partitions = topic.partitions.write().unwrap_or_else(PoisonError::into_inner);
        if partitions.len() <= index {
            partitions.resize(index + 1, None);
        }
        if let Some(slot) = partitions.get_mut(index) {
            *slot = Some(partition);
        }
    }

    /// Takes a topic out; its partitions are the caller's to end.
    pub(super) fn remove(&self, id: Uuid) -> Option<Arc<Topic>> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let topic = tables.by_id.remove(&id)?;
        // A new topic of the same name may have taken its place.
        if tables.by_name.get(&topic.name).is_some_and(|found| found.id == id) {
            tables.by_name.remove(&topic.name);
        }
        Some(topic)
    }
}
