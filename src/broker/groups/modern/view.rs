//! The cluster as groups see it: topics with their partitions and racks, and what is configured.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::config::ConsumerConfig;
use super::hash::topic_hash;
use crate::config::{ServerConfig, Settings};
use crate::metadata::{ConfigResourceType, MetadataImage, TopicImage};
use crate::types::{NodeId, Uuid};

/// A topic as groups see it.
#[derive(Debug)]
pub(in crate::broker) struct TopicView {
    pub(in crate::broker) name: Arc<str>,
    pub(in crate::broker) id: Uuid,
    /// The racks of each partition's replicas, sorted.
    racks: Vec<Vec<String>>,
    hash: OnceLock<i64>,
}

impl TopicView {
    pub(in crate::broker) fn new(name: &str, id: Uuid, mut racks: Vec<Vec<String>>) -> Self {
        racks.iter_mut().for_each(|racks| racks.sort());
        Self { name: name.into(), id, racks, hash: OnceLock::new() }
    }

    /// How many partitions it has.
    pub(in crate::broker) fn partitions(&self) -> i32 {
        i32::try_from(self.racks.len()).unwrap_or(i32::MAX)
    }

    /// A number that is another one when the topic is another one.
    pub(in crate::broker) fn hash(&self) -> i64 {
        *self.hash.get_or_init(|| topic_hash(self.id, &self.name, &self.racks))
    }

    fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.racks == other.racks
    }
}

/// The cluster at one moment. It is given to commands as a whole and never changes.
#[derive(Debug, Default)]
pub(in crate::broker) struct ClusterView {
    /// Where in the metadata log it stands.
    pub(in crate::broker) version: i64,
    /// The broker's settings for consumer groups.
    pub(in crate::broker) consumer: ConsumerConfig,
    topics: BTreeMap<Arc<str>, Arc<TopicView>>,
    by_id: HashMap<Uuid, Arc<TopicView>>,
    /// What was set for single groups.
    groups: HashMap<String, Settings>,
}

impl ClusterView {
    /// The view of an image; topics that are as they were `before` are shared with it.
    pub(in crate::broker) fn of(image: &MetadataImage, config: &ServerConfig, before: Option<&Self>) -> Self {
        let racks: HashMap<NodeId, &str> =
            image.brokers().iter().filter_map(|(id, broker)| Some((*id, broker.rack.as_deref()?))).collect();
        let topic = |topic: &Arc<TopicImage>| {
            let racks_of = |replicas: &[NodeId]| {
                replicas.iter().filter_map(|id| racks.get(id)).map(|rack| (*rack).to_owned()).collect()
            };
            let racks = topic.partitions.values().map(|partition| racks_of(&partition.replicas)).collect();
            let view = TopicView::new(&topic.name, topic.id, racks);
            let known = before.and_then(|before| before.topic(&topic.name)).filter(|known| known.is_same(&view));
            known.cloned().unwrap_or_else(|| Arc::new(view))
        };
        let groups = image.all_configs().iter().filter(|(resource, _)| resource.kind == ConfigResourceType::GROUP);
        Self {
            groups: groups.map(|(resource, settings)| (resource.name.clone(), settings.clone())).collect(),
            consumer: ConsumerConfig::of(config),
            ..Self::new(image.position().offset.get(), image.topics().values().map(topic))
        }
    }

    /// A view of these topics, with Kafka's default settings.
    pub(in crate::broker) fn new(version: i64, topics: impl Iterator<Item = Arc<TopicView>>) -> Self {
        let topics: BTreeMap<_, _> = topics.map(|topic| (Arc::clone(&topic.name), topic)).collect();
        let by_id = topics.values().map(|topic| (topic.id, Arc::clone(topic))).collect();
        Self { version, topics, by_id, ..Self::default() }
    }

    /// The same view with other settings for a group.
    #[cfg(test)]
    pub(in crate::broker) fn with_group(mut self, group: &str, settings: Settings) -> Self {
        self.groups.insert(group.to_owned(), settings);
        self
    }

    pub(in crate::broker) fn topic(&self, name: &str) -> Option<&Arc<TopicView>> {
        self.topics.get(name)
    }

    pub(in crate::broker) fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicView>> {
        self.by_id.get(&id)
    }

    /// All topics, by name.
    pub(in crate::broker) fn topics(&self) -> impl Iterator<Item = &Arc<TopicView>> {
        self.topics.values()
    }

    /// What was set for a group at run time.
    pub(in crate::broker) fn settings_of(&self, group: &str) -> Option<&Settings> {
        self.groups.get(group)
    }

    /// The names of the topics that came, went or changed since `before`, and whether one of them came.
    pub(in crate::broker) fn changes_since(&self, before: &Self) -> (HashSet<Arc<str>>, bool) {
        let mut changed = HashSet::new();
        let mut has_new = false;
        for (name, topic) in &self.topics {
            match before.topics.get(name) {
                Some(old) if Arc::ptr_eq(old, topic) || old.is_same(topic) => {}
                Some(old) => {
                    has_new |= old.id != topic.id;
                    changed.insert(Arc::clone(name));
                }
                None => {
                    has_new = true;
                    changed.insert(Arc::clone(name));
                }
            }
        }
        changed.extend(before.topics.keys().filter(|name| !self.topics.contains_key(*name)).cloned());
        (changed, has_new)
    }
}
