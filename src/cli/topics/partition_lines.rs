//! What `topics --describe` says of a topic and its partitions, in all forms.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cli::support::java;
use crate::client::admin::{ConfigEntry, DescribedPartition, Reassignment, TopicDescription};
use crate::types::NodeId;

/// A topic with all that is to be told of it.
#[derive(Debug)]
pub(super) struct DescribedTopic {
    pub(super) description: TopicDescription,
    /// Every setting, those at their default included.
    pub(super) configs: Vec<ConfigEntry>,
    /// Moves that are under way, by partition.
    pub(super) reassignments: Vec<(i32, Reassignment)>,
}

/// Which partitions are shown; none of the flags: all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filters {
    pub(super) under_replicated: bool,
    pub(super) unavailable: bool,
    pub(super) under_min_isr: bool,
    pub(super) at_min_isr: bool,
}

impl Filters {
    pub(super) fn any(self) -> bool {
        self.under_replicated || self.unavailable || self.under_min_isr || self.at_min_isr
    }
}

impl DescribedTopic {
    /// `key=value` of the settings that somebody has set, in the order of Kafka's tool.
    pub(super) fn overrides(&self) -> Vec<(&str, &str)> {
        let mut entries: Vec<&ConfigEntry> = self.configs.iter().collect();
        java::in_hash_map_order(&mut entries, |entry| &entry.name);
        entries
            .into_iter()
            .filter(|entry| !entry.is_default())
            .map(|entry| (entry.name.as_str(), entry.value.as_deref().unwrap_or("null")))
            .collect()
    }

    fn reassignment(&self, partition: &DescribedPartition) -> Option<&Reassignment> {
        self.reassignments.iter().find(|(id, _)| *id == partition.id.get()).map(|(_, moving)| moving)
    }

    /// The replicas of a partition that count: without those that a move is adding.
    fn replication_factor_of(&self, partition: &DescribedPartition) -> usize {
        let replicas = &partition.replicas;
        match self.reassignment(partition) {
            Some(moving) if replicas.iter().any(|r| moving.adding.contains(r) || moving.removing.contains(r)) => {
                replicas.len().saturating_sub(moving.adding.len())
            }
            _ => replicas.len(),
        }
    }

    pub(super) fn replication_factor(&self) -> usize {
        self.description.partitions.first().map_or(0, |partition| self.replication_factor_of(partition))
    }

    fn min_insync_replicas(&self) -> usize {
        let entry = self.configs.iter().find(|entry| entry.name == "min.insync.replicas");
        entry.and_then(|entry| entry.value.as_deref()?.parse().ok()).unwrap_or(1)
    }

    /// The partitions that the filters let through.
    pub(super) fn partitions<'a>(
        &'a self,
        filters: Filters,
        live: &'a BTreeSet<NodeId>,
    ) -> impl Iterator<Item = &'a DescribedPartition> {
        let min_isr = self.min_insync_replicas();
        self.description.partitions.iter().filter(move |partition| {
            !filters.any()
                || filters.under_replicated && partition.isr.len() < self.replication_factor_of(partition)
                || filters.unavailable && partition.leader.is_none_or(|leader| !live.contains(&leader))
                || filters.under_min_isr && (partition.leader.is_none() || partition.isr.len() < min_isr)
                || filters.at_min_isr && partition.isr.len() == min_isr
        })
    }

    /// Kafka's line for the topic.
    pub(super) fn topic_line(&self) -> String {
        let topic = &self.description;
        let id = if topic.id.is_zero() { String::new() } else { format!("\tTopicId: {}", topic.id) };
        let configs: Vec<_> = self.overrides().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!(
            "Topic: {}{id}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}",
            topic.name,
            topic.partitions.len(),
            self.replication_factor(),
            configs.join(","),
        )
    }

    /// Kafka's line for a partition, which begins with a tab.
    pub(super) fn partition_line(&self, partition: &DescribedPartition) -> String {
        let moving = self.reassignment(partition).map_or_else(String::new, |moving| {
            format!("\tAdding Replicas: {}\tRemoving Replicas: {}", ids(&moving.adding), ids(&moving.removing))
        });
        let optional = |nodes: &Option<Vec<NodeId>>| nodes.as_deref().map_or_else(|| "N/A".to_owned(), ids);
        format!(
            "\tTopic: {}\tPartition: {}\tLeader: {}\tReplicas: {}\tIsr: {}{moving}\tElr: {}\tLastKnownElr: {}",
            self.description.name,
            partition.id,
            partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
            ids(&partition.replicas),
            ids(&partition.isr),
            optional(&partition.eligible_leader_replicas),
            optional(&partition.last_known_elr),
        )
    }

    /// The cells of a table's row for a partition.
    pub(super) fn partition_row(&self, partition: &DescribedPartition) -> Vec<String> {
        vec![
            partition.id.to_string(),
            partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
            ids(&partition.replicas),
            ids(&partition.isr),
        ]
    }

    /// The topic as JSON, with the partitions that are to be shown.
    pub(super) fn json<'a>(&self, shown: impl Iterator<Item = &'a DescribedPartition>) -> Value {
        let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.get()).collect::<Vec<_>>();
        let partition = |partition: &DescribedPartition| {
            let moving = self.reassignment(partition);
            json!({
                "partition": partition.id.get(),
                "leader": partition.leader.map(NodeId::get),
                "replicas": numbers(&partition.replicas),
                "isr": numbers(&partition.isr),
                "elr": partition.eligible_leader_replicas.as_deref().map(numbers),
                "lastKnownElr": partition.last_known_elr.as_deref().map(numbers),
                "addingReplicas": numbers(moving.map_or(&[], |moving| &moving.adding)),
                "removingReplicas": numbers(moving.map_or(&[], |moving| &moving.removing)),
            })
        };
        let topic = &self.description;
        let configs: serde_json::Map<_, _> =
            self.overrides().into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
        json!({
            "name": topic.name,
            "id": topic.id.to_string(),
            "internal": topic.is_internal,
            "partitionCount": topic.partitions.len(),
            "replicationFactor": self.replication_factor(),
            "configs": configs,
            "partitions": shown.map(partition).collect::<Vec<_>>(),
        })
    }
}

fn ids(nodes: &[NodeId]) -> String {
    let ids: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    ids.join(",")
}
