//! What one commit did to the image: enough for the broker to follow without comparing images.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::image::ConfigResource;
use super::topic::TopicImage;
use crate::types::{NodeId, PartitionId, Uuid};

/// The changes of one commit. What it names is to be looked up in the image after the commit; only what is gone is here.
#[derive(Debug, Default)]
pub struct MetadataDelta {
    /// Topics that came; a topic that came and went within the commit is in neither list.
    pub created_topics: BTreeSet<Uuid>,
    /// Topics that went, as they were.
    pub deleted_topics: Vec<Arc<TopicImage>>,
    /// Partitions that came or changed, of topics that are still there.
    pub changed_partitions: BTreeSet<(Uuid, PartitionId)>,
    /// Resources of which a config was set or taken back (the configs of a deleted topic are not listed).
    pub changed_configs: BTreeSet<ConfigResource>,
    /// Brokers whose registration came, changed or went.
    pub changed_brokers: BTreeSet<NodeId>,
    /// Feature levels changed.
    pub features_changed: bool,
    /// Quotas of clients changed.
    pub client_quotas_changed: bool,
    /// Access control entries changed.
    pub acls_changed: bool,
    /// SCRAM credentials or delegation tokens changed.
    pub credentials_changed: bool,
}

impl MetadataDelta {
    pub(super) fn topic_removed(&mut self, topic: Arc<TopicImage>) {
        let id = topic.id;
        self.changed_partitions.retain(|(topic, _)| *topic != id);
        self.changed_configs.remove(&ConfigResource::topic(&topic.name));
        if !self.created_topics.remove(&id) {
            self.deleted_topics.push(topic);
        }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { created_topics, deleted_topics, changed_partitions, changed_configs, changed_brokers, .. } = self;
        created_topics.is_empty()
            && deleted_topics.is_empty()
            && changed_partitions.is_empty()
            && changed_configs.is_empty()
            && changed_brokers.is_empty()
            && !self.features_changed
            && !self.client_quotas_changed
            && !self.acls_changed
            && !self.credentials_changed
    }
}
