//! What a client knows of its cluster: brokers, topics, who leads which partition.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::Address;
use crate::protocol::ErrorCode;
use crate::protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use crate::protocol::messages::{DescribeClusterResponse, MetadataResponse};
use crate::types::{LeaderEpoch, NodeId, PartitionId, Uuid};

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Where it listens for clients.
    pub address: Address,
    /// `broker.rack`
    pub rack: Option<String>,
}

impl Node {
    pub(super) fn new(id: i32, host: &str, port: i32, rack: Option<String>) -> Self {
        // A port that is none can't be connected to; the attempt tells.
        let address = Address::new(host, u16::try_from(port).unwrap_or_default());
        Self { id: NodeId(id), address, rack }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (id: {})", self.address, self.id)
    }
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Its number.
    pub id: PartitionId,
    /// What is wrong with it, `None` if nothing.
    pub error: ErrorCode,
    /// Its leader, if it has one.
    pub leader: Option<NodeId>,
    /// Counts its leaderships; -1 if the broker does not tell.
    pub leader_epoch: LeaderEpoch,
    /// Brokers that hold it, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// Those of them that have all of it.
    pub isr: Vec<NodeId>,
    /// Those of them that are down.
    pub offline_replicas: Vec<NodeId>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its name; empty where it was asked for by an id that does not exist.
    pub name: String,
    /// Its id; zero if the broker does not tell.
    pub id: Uuid,
    /// What is wrong with it, `None` if nothing.
    pub error: ErrorCode,
    /// One of Kafka's own topics.
    pub is_internal: bool,
    /// Its partitions by number. Without gaps, unless the broker is confused.
    pub partitions: Vec<PartitionMetadata>,
    /// Bits of what the client may do with it, if that was asked.
    pub authorized_operations: i32,
}

impl TopicMetadata {
    /// A partition by its number.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<&PartitionMetadata> {
        // They stand in order, so the number is nearly always the place.
        match usize::try_from(id.get()).ok().and_then(|at| self.partitions.get(at)) {
            Some(partition) if partition.id == id => Some(partition),
            _ => self.partitions.iter().find(|partition| partition.id == id),
        }
    }
}

impl From<MetadataResponsePartition> for PartitionMetadata {
    fn from(partition: MetadataResponsePartition) -> Self {
        let nodes = |ids: Vec<i32>| ids.into_iter().map(NodeId).collect();
        Self {
            id: PartitionId(partition.partition_index),
            error: ErrorCode::from_code(partition.error_code),
            leader: (partition.leader_id >= 0).then_some(NodeId(partition.leader_id)),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
            replicas: nodes(partition.replica_nodes),
            isr: nodes(partition.isr_nodes),
            offline_replicas: nodes(partition.offline_replicas),
        }
    }
}

impl From<MetadataResponseTopic> for TopicMetadata {
    fn from(topic: MetadataResponseTopic) -> Self {
        let mut partitions: Vec<_> = topic.partitions.into_iter().map(PartitionMetadata::from).collect();
        partitions.sort_by_key(|partition| partition.id);
        Self {
            name: topic.name.unwrap_or_default(),
            id: topic.topic_id,
            error: ErrorCode::from_code(topic.error_code),
            is_internal: topic.is_internal,
            partitions,
            authorized_operations: topic.topic_authorized_operations,
        }
    }
}

/// A snapshot of the cluster as far as it was asked for.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The cluster's id, once a broker has told it.
    pub cluster_id: Option<String>,
    /// Where administrative requests are best sent.
    pub controller: Option<NodeId>,
    /// The brokers by id.
    pub nodes: BTreeMap<NodeId, Node>,
    /// The topics by name. Topics that do not exist are there with their error, if they were asked for.
    pub topics: HashMap<String, Arc<TopicMetadata>>,
    /// When a broker last answered; never for the snapshot at the start.
    pub fetched_at: Option<Instant>,
}

impl Metadata {
    pub(super) fn empty() -> Self {
        Self { cluster_id: None, controller: None, nodes: BTreeMap::new(), topics: HashMap::new(), fetched_at: None }
    }

    /// What a controller says of its quorum; nothing of topics.
    pub(super) fn of_controllers(response: DescribeClusterResponse) -> Self {
        let nodes =
            response.brokers.into_iter().map(|node| Node::new(node.broker_id, &node.host, node.port, node.rack));
        Self {
            cluster_id: Some(response.cluster_id),
            controller: (response.controller_id >= 0).then_some(NodeId(response.controller_id)),
            nodes: nodes.map(|node| (node.id, node)).collect(),
            topics: HashMap::new(),
            fetched_at: Some(Instant::now()),
        }
    }

    /// A topic that exists.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicMetadata>> {
        self.topics.get(name).filter(|topic| topic.error == ErrorCode::None)
    }

    /// The leader of a partition with its epoch, if there is one.
    #[must_use]
    pub fn leader(&self, topic: &str, partition: PartitionId) -> Option<(NodeId, LeaderEpoch)> {
        let partition = self.topics.get(topic)?.partition(partition)?;
        Some((partition.leader?, partition.leader_epoch))
    }

    /// This snapshot with what a broker answered laid over it. `all`: the answer holds every topic that there is.
    pub(super) fn updated(&self, response: MetadataResponse, all: bool) -> Self {
        let mut topics = if all { HashMap::with_capacity(response.topics.len()) } else { self.topics.clone() };
        for topic in response.topics {
            let mut topic = TopicMetadata::from(topic);
            if let Some(known) = self.topics.get(&topic.name) {
                keep_newer_leaders(&mut topic, known);
            }
            topics.insert(topic.name.clone(), Arc::new(topic));
        }
        let nodes = response
            .brokers
            .into_iter()
            .map(|broker| Node::new(broker.node_id, &broker.host, broker.port, broker.rack))
            .map(|node| (node.id, node))
            .collect();
        Self {
            cluster_id: response.cluster_id.or_else(|| self.cluster_id.clone()),
            controller: (response.controller_id >= 0).then_some(NodeId(response.controller_id)),
            nodes,
            topics,
            fetched_at: Some(Instant::now()),
        }
    }

    /// This snapshot with a newer leader that an error response told of (KIP-951); `None` if it is not news.
    pub(super) fn with_leader(
        &self,
        topic: &str,
        partition: PartitionId,
        leader: NodeId,
        epoch: LeaderEpoch,
        endpoints: &[Node],
    ) -> Option<Self> {
        let known = self.topics.get(topic)?;
        let at = known.partitions.iter().position(|known| known.id == partition)?;
        if known.partitions.get(at)?.leader_epoch >= epoch || leader.get() < 0 {
            return None;
        }
        let mut changed = self.clone();
        for node in endpoints {
            changed.nodes.insert(node.id, node.clone());
        }
        if !changed.nodes.contains_key(&leader) {
            return None;
        }
        let mut topic_metadata = TopicMetadata::clone(known);
        let slot = topic_metadata.partitions.get_mut(at)?;
        slot.leader = Some(leader);
        slot.leader_epoch = epoch;
        slot.error = ErrorCode::None;
        changed.topics.insert(topic.to_owned(), Arc::new(topic_metadata));
        Some(changed)
    }

    /// This snapshot without a topic.
    pub(super) fn without_topics(&self, keep: impl Fn(&str) -> bool) -> Self {
        let mut changed = self.clone();
        changed.topics.retain(|name, _| keep(name));
        changed
    }
}

/// A broker that lags behind must not bring back an older leader of the same topic (KIP-320).
fn keep_newer_leaders(topic: &mut TopicMetadata, known: &TopicMetadata) {
    if topic.id != known.id {
        return;
    }
    for partition in &mut topic.partitions {
        if let Some(newer) = known.partition(partition.id).filter(|known| known.leader_epoch > partition.leader_epoch) {
            *partition = newer.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::metadata_response::MetadataResponseBroker;

    fn response(leader: i32, epoch: i32, topic_id: Uuid) -> MetadataResponse {
        let broker = |node_id| MetadataResponseBroker { node_id, host: "h".to_owned(), port: 9, ..Default::default() };
        let partition = |partition_index| MetadataResponsePartition {
            partition_index,
            leader_id: leader,
            leader_epoch: epoch,
            ..Default::default()
        };
        MetadataResponse {
            brokers: vec![broker(1), broker(2)],
            controller_id: 1,
            topics: vec![MetadataResponseTopic {
                name: Some("t".to_owned()),
                topic_id,
                partitions: vec![partition(1), partition(0)],
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn an_older_epoch_does_not_bring_back_a_leader() {
        let id = Uuid::random();
        let now = Metadata::empty().updated(response(2, 5, id), false).updated(response(1, 4, id), false);
        assert_eq!(now.leader("t", PartitionId(0)), Some((NodeId(2), LeaderEpoch(5))));
        let recreated = now.updated(response(1, 0, Uuid::random()), false);
        assert_eq!(recreated.leader("t", PartitionId(1)), Some((NodeId(1), LeaderEpoch(0))));
    }

    #[test]
    fn a_leader_hint_counts_only_if_it_is_newer_and_reachable() {
        let now = Metadata::empty().updated(response(1, 5, Uuid::random()), false);
        let hint = |leader, epoch, endpoints: &[Node]| {
            now.with_leader("t", PartitionId(1), NodeId(leader), LeaderEpoch(epoch), endpoints)
        };
        assert!(hint(2, 5, &[]).is_none());
        assert!(hint(3, 6, &[]).is_none());
        assert_eq!(hint(2, 6, &[]).unwrap().leader("t", PartitionId(1)), Some((NodeId(2), LeaderEpoch(6))));
        let changed = hint(3, 6, &[Node::new(3, "new", 1, None)]).unwrap();
        assert_eq!(changed.leader("t", PartitionId(1)), Some((NodeId(3), LeaderEpoch(6))));
        assert_eq!(changed.leader("t", PartitionId(0)), Some((NodeId(1), LeaderEpoch(5))));
    }

    #[test]
    fn an_answer_with_all_topics_forgets_the_others() {
        let now = Metadata::empty().updated(response(1, 5, Uuid::random()), false);
        assert!(now.updated(MetadataResponse::default(), false).topic("t").is_some());
        assert!(now.updated(MetadataResponse::default(), true).topic("t").is_none());
    }
}
