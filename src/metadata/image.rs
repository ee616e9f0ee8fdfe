//! The state of the cluster: what the records of the metadata log add up to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::features::{ELR_VERSION, METADATA_VERSION, MetadataVersion};
use super::topic::{PartitionImage, TopicImage};
use crate::protocol::messages::{
    AccessControlEntryRecord, DelegationTokenRecord, RegisterBrokerRecord, RegisterControllerRecord,
    UserScramCredentialRecord,
};
use crate::types::{LeaderEpoch, NodeId, Offset, PartitionId, ProducerId, Uuid};

/// What a config belongs to, by its number in requests and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResourceType(pub i8);

impl ConfigResourceType {
    /// A topic.
    pub const TOPIC: Self = Self(2);
    /// A broker; with an empty name, the default of all brokers.
    pub const BROKER: Self = Self(4);
    /// The log levels of a broker, which are kept nowhere.
    pub const BROKER_LOGGER: Self = Self(8);
    /// A client metrics subscription (KIP-714).
    pub const CLIENT_METRICS: Self = Self(16);
    /// A group (KIP-848).
    pub const GROUP: Self = Self(32);
}

/// A resource that has configs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// What it is.
    pub kind: ConfigResourceType,
    /// Its name.
    pub name: String,
}

impl ConfigResource {
    /// The configs of a topic.
    pub fn topic(name: impl Into<String>) -> Self {
        Self { kind: ConfigResourceType::TOPIC, name: name.into() }
    }

    /// The configs of one broker.
    #[must_use]
    pub fn broker(id: NodeId) -> Self {
        Self { kind: ConfigResourceType::BROKER, name: id.to_string() }
    }

    /// The configs that hold for all brokers that have none of their own.
    #[must_use]
    pub fn all_brokers() -> Self {
        Self { kind: ConfigResourceType::BROKER, name: String::new() }
    }
}

/// What a client quota is for: the name of each kind of entity (`user`, `client-id`, `ip`), `None` for its default.
pub type QuotaEntity = BTreeMap<String, Option<String>>;

/// Where in the metadata log an image stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Offset of the last record applied; -1 before the first.
    pub offset: Offset,
    /// Leader epoch of its batch.
    pub epoch: LeaderEpoch,
    /// Timestamp of its batch, in ms since 1970.
    pub timestamp_ms: i64,
}

impl Default for LogPosition {
    fn default() -> Self {
        Self { offset: Offset(-1), epoch: LeaderEpoch(0), timestamp_ms: 0 }
    }
}

/// The state of the cluster.
///
/// Invariant: `topics` and `topic_names` hold the same topics. What the broker does not act on yet is kept as the record
/// that set it, so that a snapshot loses nothing of a directory that Kafka wrote.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetadataImage {
    pub(super) position: LogPosition,
    pub(super) features: BTreeMap<String, i16>,
    pub(super) zk_migration_state: Option<i8>,
    pub(super) brokers: BTreeMap<NodeId, RegisterBrokerRecord>,
    pub(super) controllers: BTreeMap<NodeId, RegisterControllerRecord>,
    pub(super) topics: BTreeMap<String, Arc<TopicImage>>,
    pub(super) topic_names: HashMap<Uuid, String>,
    pub(super) configs: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    pub(super) client_quotas: BTreeMap<QuotaEntity, BTreeMap<String, f64>>,
    pub(super) next_producer_id: Option<ProducerId>,
    pub(super) acls: BTreeMap<Uuid, AccessControlEntryRecord>,
    pub(super) scram_credentials: BTreeMap<(i8, String), UserScramCredentialRecord>,
    pub(super) delegation_tokens: BTreeMap<String, DelegationTokenRecord>,
}

impl MetadataImage {
    /// Where in the log it stands.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// Notes the last record that it holds.
    pub fn set_position(&mut self, position: LogPosition) {
        self.position = position;
    }

    /// The finalized feature levels, by name.
    #[must_use]
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// The level of `metadata.version`, once a record has set one that this release knows.
    #[must_use]
    pub fn metadata_version(&self) -> Option<MetadataVersion> {
        self.features.get(METADATA_VERSION).copied().and_then(MetadataVersion::from_level)
    }

    /// Whether partitions keep eligible leader replicas (KIP-966).
    #[must_use]
    pub fn has_eligible_leader_replicas(&self) -> bool {
        self.features.get(ELR_VERSION).is_some_and(|level| *level > 0)
            && self.metadata_version().is_some_and(MetadataVersion::has_eligible_leader_replicas)
    }

    /// The registered brokers, fenced ones too.
    #[must_use]
    pub fn brokers(&self) -> &BTreeMap<NodeId, RegisterBrokerRecord> {
        &self.brokers
    }

    /// The registered brokers that may lead partitions.
    pub fn live_brokers(&self) -> impl Iterator<Item = (NodeId, &RegisterBrokerRecord)> {
        self.brokers.iter().filter(|(_, broker)| !broker.fenced).map(|(id, broker)| (*id, broker))
    }

    /// The registered controllers.
    #[must_use]
    pub fn controllers(&self) -> &BTreeMap<NodeId, RegisterControllerRecord> {
        &self.controllers
    }

    /// All topics, by name.
    #[must_use]
    pub fn topics(&self) -> &BTreeMap<String, Arc<TopicImage>> {
        &self.topics
    }

    /// The topic of this name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(name)
    }

    /// The topic with this id.
    #[must_use]
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_names.get(&id)?)
    }

    /// A partition of a topic.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: PartitionId) -> Option<&PartitionImage> {
        self.topics.get(topic)?.partitions.get(&partition)
    }

    /// How many partitions all topics have together.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.topics.values().map(|topic| topic.partitions.len()).sum()
    }

    /// The configs set for a resource.
    #[must_use]
    pub fn configs(&self, resource: &ConfigResource) -> Option<&BTreeMap<String, String>> {
        self.configs.get(resource)
    }

    /// All configs, by resource.
    #[must_use]
    pub fn all_configs(&self) -> &BTreeMap<ConfigResource, BTreeMap<String, String>> {
        &self.configs
    }

    /// The topics with segments in remote storage (KIP-405).
    pub fn tiered_topics(&self) -> impl Iterator<Item = &str> {
        let tiered = |configs: &BTreeMap<String, String>| {
            configs.get("remote.storage.enable").is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
        };
        let topics = self.configs.iter().filter(|(resource, _)| resource.kind == ConfigResourceType::TOPIC);
        topics.filter(move |(_, configs)| tiered(configs)).map(|(resource, _)| resource.name.as_str())
    }

    /// Whether ZooKeeper still had a say in the cluster (KIP-866).
    #[must_use]
    pub fn is_in_zookeeper_migration(&self) -> bool {
        // The states that are neither "never" (0) nor "completed" (3).
        matches!(self.zk_migration_state, Some(1 | 2))
    }

    /// The quotas of clients.
    #[must_use]
    pub fn client_quotas(&self) -> &BTreeMap<QuotaEntity, BTreeMap<String, f64>> {
        &self.client_quotas
    }

    /// The first producer id that no block has taken.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id.unwrap_or(ProducerId(0))
    }

    /// The access control entries, by id.
    #[must_use]
    pub fn acls(&self) -> &BTreeMap<Uuid, AccessControlEntryRecord> {
        &self.acls
    }

    /// The SCRAM credentials, by mechanism and user.
    #[must_use]
    pub fn scram_credentials(&self) -> &BTreeMap<(i8, String), UserScramCredentialRecord> {
        &self.scram_credentials
    }

    /// The delegation tokens, by id.
    #[must_use]
    pub fn delegation_tokens(&self) -> &BTreeMap<String, DelegationTokenRecord> {
        &self.delegation_tokens
    }
}
