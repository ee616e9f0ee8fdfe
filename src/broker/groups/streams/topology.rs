//! The topology of an application, as its members bring it and as it is kept in the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::protocol::messages::StreamsGroupTopologyValue;
use crate::protocol::messages::streams_group_heartbeat_request as request;
use crate::protocol::messages::streams_group_topology_value::{CopartitionGroup, Subtopology, TopicConfig, TopicInfo};

/// A topology. Two are the same where epoch and subtopologies are.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::broker::groups) struct Topology {
    pub(super) epoch: i32,
    pub(super) subtopologies: BTreeMap<String, Subtopology>,
    /// Which subtopology reads each topic.
    readers: HashMap<String, String>,
}

impl Topology {
    /// Takes over what the log says.
    pub(super) fn of(value: StreamsGroupTopologyValue) -> Self {
        let mut readers = HashMap::new();
        for subtopology in &value.subtopologies {
            for topic in sources(subtopology) {
                readers.insert(topic.to_owned(), subtopology.subtopology_id.clone());
            }
        }
        let named = |subtopology: Subtopology| (subtopology.subtopology_id.clone(), subtopology);
        Self { epoch: value.epoch, subtopologies: value.subtopologies.into_iter().map(named).collect(), readers }
    }

    /// The subtopology that reads a topic.
    pub(super) fn reader_of(&self, topic: &str) -> Option<&str> {
        self.readers.get(topic).map(String::as_str)
    }

    /// All topics that it needs, in the order of their names.
    pub(super) fn required_topics(&self) -> BTreeSet<&str> {
        let of = |subtopology| sources(subtopology).chain(names(&subtopology.state_changelog_topics));
        self.subtopologies.values().flat_map(of).collect()
    }
}

/// The topics that a subtopology reads: external ones, and those that other subtopologies repartition for it.
pub(super) fn sources(subtopology: &Subtopology) -> impl Iterator<Item = &str> {
    subtopology.source_topics.iter().map(String::as_str).chain(names(&subtopology.repartition_source_topics))
}

pub(super) fn names(topics: &[TopicInfo]) -> impl Iterator<Item = &str> {
    topics.iter().map(|topic| topic.name.as_str())
}

/// What a member brings, in the form in which it is kept.
pub(super) fn topology_value(topology: &request::Topology) -> StreamsGroupTopologyValue {
    let infos = |topics: &[request::TopicInfo]| topics.iter().map(topic_info).collect();
    let subtopology = |from: &request::Subtopology| Subtopology {
        subtopology_id: from.subtopology_id.clone(),
        source_topics: from.source_topics.clone(),
        source_topic_regex: from.source_topic_regex.clone(),
        state_changelog_topics: infos(&from.state_changelog_topics),
        repartition_sink_topics: from.repartition_sink_topics.clone(),
        repartition_source_topics: infos(&from.repartition_source_topics),
        copartition_groups: from.copartition_groups.iter().map(copartition_group).collect(),
        ..Default::default()
    };
    StreamsGroupTopologyValue {
        epoch: topology.epoch,
        subtopologies: topology.subtopologies.iter().map(subtopology).collect(),
        ..Default::default()
    }
}

fn topic_info(from: &request::TopicInfo) -> TopicInfo {
    let config = |config: &request::KeyValue| TopicConfig {
        key: config.key.clone(),
        value: config.value.clone(),
        ..Default::default()
    };
    TopicInfo {
        name: from.name.clone(),
        partitions: from.partitions,
        replication_factor: from.replication_factor,
        topic_configs: from.topic_configs.iter().map(config).collect(),
        ..Default::default()
    }
}

fn copartition_group(from: &request::CopartitionGroup) -> CopartitionGroup {
    CopartitionGroup {
        source_topics: from.source_topics.clone(),
        source_topic_regex: from.source_topic_regex.clone(),
        repartition_source_topics: from.repartition_source_topics.clone(),
        ..Default::default()
    }
}
