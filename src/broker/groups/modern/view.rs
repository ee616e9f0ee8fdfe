//! The cluster as groups see it: topics with their partitions and racks, and what is configured.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::config::{ConsumerConfig, ShareConfig};
use super::hash::{group_hash, topic_hash};
use super::streams_config::StreamsConfig;
use crate::broker::coordinator::largest_record;
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
    /// What it was made from.
    source: Option<Arc<TopicImage>>,
}

impl TopicView {
    pub(in crate::broker) fn new(name: &str, id: Uuid, mut racks: Vec<Vec<String>>) -> Self {
        racks.iter_mut().for_each(|racks| racks.sort());
        Self { name: name.into(), id, racks, hash: OnceLock::new(), source: None }
    }

    fn of(topic: &Arc<TopicImage>, brokers: &BTreeMap<NodeId, String>) -> Self {
        let racks_of = |replicas: &[NodeId]| replicas.iter().filter_map(|id| brokers.get(id)).cloned().collect();
        let racks = topic.partitions.values().map(|partition| racks_of(&partition.replicas)).collect();
        Self { source: Some(Arc::clone(topic)), ..Self::new(&topic.name, topic.id, racks) }
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

/// The size of the largest record that a log takes, in bytes.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct RecordLimit(pub(in crate::broker) usize);

impl Default for RecordLimit {
    /// Nearly Kafka's default of `message.max.bytes`.
    fn default() -> Self {
        Self(1 << 20)
    }
}

/// The cluster at one moment. It is given to commands as a whole and never changes.
#[derive(Debug, Default)]
pub(in crate::broker) struct ClusterView {
    /// Where in the metadata log it stands.
    pub(in crate::broker) version: i64,
    /// Largest record that the groups' log takes.
    pub(in crate::broker) max_record_bytes: RecordLimit,
    /// The broker's settings for consumer groups.
    pub(in crate::broker) consumer: ConsumerConfig,
    /// The broker's settings for share groups.
    pub(in crate::broker) share: ShareConfig,
    /// The broker's settings for streams groups.
    pub(in crate::broker) streams: StreamsConfig,
    topics: BTreeMap<Arc<str>, Arc<TopicView>>,
    by_id: HashMap<Uuid, Arc<TopicView>>,
    /// The racks of the brokers that have one.
    racks: BTreeMap<NodeId, String>,
    /// What was set for single groups.
    groups: HashMap<String, Settings>,
}

impl ClusterView {
    /// The view of an image; topics that are as they were `before` are shared with it.
    pub(in crate::broker) fn of(image: &MetadataImage, config: &ServerConfig, before: Option<&Self>) -> Self {
        let racks: BTreeMap<NodeId, String> =
            image.brokers().iter().filter_map(|(id, broker)| Some((*id, broker.rack.clone()?))).collect();
        // Where nothing was touched nothing is made: a commit mostly concerns one topic of many.
        let has_same_racks = before.is_some_and(|before| before.racks == racks);
        let topic = |topic: &Arc<TopicImage>| {
            let known = before.and_then(|before| before.topic(&topic.name));
            let is_untouched =
                |known: &&Arc<TopicView>| known.source.as_ref().is_some_and(|one| Arc::ptr_eq(one, topic));
            if let Some(known) = known.filter(is_untouched).filter(|_| has_same_racks) {
                return Arc::clone(known);
            }
            Arc::new(TopicView::of(topic, &racks))
        };
        let groups = image.all_configs().iter().filter(|(resource, _)| resource.kind == ConfigResourceType::GROUP);
        let view = Self::new(image.position().offset.get(), image.topics().values().map(topic));
        Self {
            groups: groups.map(|(resource, settings)| (resource.name.clone(), settings.clone())).collect(),
            max_record_bytes: RecordLimit(largest_record(config)),
            consumer: ConsumerConfig::of(config),
            share: ShareConfig::of(config),
            streams: StreamsConfig::of(config),
            racks,
            ..view
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

    /// One number for topics as they are, of those of the names that there are. The names come in order.
    pub(in crate::broker) fn hash_of<'a>(&self, names: impl Iterator<Item = &'a str>) -> i64 {
        group_hash(names.filter_map(|name| self.topic(name)).map(|topic| topic.hash()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MetadataDelta;
    use crate::protocol::messages::{ConfigRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord};

    /// Goal: a view says what the image says, and shares with the one before what has not changed.
    #[test]
    fn a_view_follows_the_image() {
        let config = ServerConfig::from_pairs(&[]).unwrap();
        let mut image = MetadataImage::default();
        let apply = |image: &mut MetadataImage, record: crate::metadata::MetadataRecord| {
            image.apply_noting(&record, &mut MetadataDelta::default()).unwrap();
        };
        let broker = |id: i32, rack: &str| RegisterBrokerRecord {
            broker_id: id,
            rack: Some(rack.to_owned()),
            ..Default::default()
        };
        apply(&mut image, broker(1, "r1").into());
        let add = |image: &mut MetadataImage, name: &str, n: u8, partitions: std::ops::Range<i32>| {
            let topic_id = Uuid([n; 16]);
            if partitions.start == 0 {
                apply(image, TopicRecord { name: name.to_owned(), topic_id, ..Default::default() }.into());
            }
            for partition_id in partitions {
                let replicas = vec![1];
                apply(image, PartitionRecord { topic_id, partition_id, replicas, ..Default::default() }.into());
            }
        };
        add(&mut image, "a", 1, 0..2);
        add(&mut image, "b", 2, 0..1);
        let first = ClusterView::of(&image, &config, None);
        assert_eq!(first.topic("a").map(|topic| topic.partitions()), Some(2));
        assert_eq!(first.topic_by_id(Uuid([2; 16])).map(|topic| &*topic.name), Some("b"));
        add(&mut image, "a", 1, 2..3);
        let second = ClusterView::of(&image, &config, Some(&first));
        assert!(Arc::ptr_eq(first.topic("b").unwrap(), second.topic("b").unwrap()));
        let (changed, has_new) = second.changes_since(&first);
        assert_eq!((changed.into_iter().collect::<Vec<_>>(), has_new), (vec!["a".into()], false));
        assert_ne!(first.topic("a").unwrap().hash(), second.topic("a").unwrap().hash());
        apply(&mut image, broker(1, "r2").into());
        let third = ClusterView::of(&image, &config, Some(&second));
        assert_eq!(third.changes_since(&second).0.len(), 2, "in another rack");
        let setting = ConfigRecord {
            resource_type: ConfigResourceType::GROUP.0,
            resource_name: "g".to_owned(),
            name: "consumer.session.timeout.ms".to_owned(),
            value: Some("50000".to_owned()),
            ..Default::default()
        };
        apply(&mut image, setting.into());
        add(&mut image, "c", 3, 0..1);
        let fourth = ClusterView::of(&image, &config, Some(&third));
        assert!(fourth.changes_since(&third).1, "a topic came");
        assert_eq!(fourth.settings_of("g").map(|settings| settings.len()), Some(1));
        assert!(fourth.settings_of("other").is_none());
    }
}
