//! What the cluster says at one moment.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::client::admin::OffsetSpec;
use crate::client::{Admin, ClientError};
use crate::config::IsolationLevel;
use crate::types::{Offset, TopicPartition};

/// One look at the cluster.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) at: Instant,
    /// Kafka's own topics, by name.
    pub(super) internal: Vec<String>,
    /// Where each partition ends, and its bytes on its leader's disk.
    pub(super) partitions: BTreeMap<TopicPartition, PartitionSample>,
    pub(super) groups: BTreeMap<String, GroupSample>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PartitionSample {
    pub(super) end: Offset,
    pub(super) bytes: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GroupSample {
    pub(super) state: String,
    pub(super) committed: BTreeMap<TopicPartition, Offset>,
}

impl Sample {
    /// Asks for everything. What the caller may not see is left out.
    ///
    /// # Errors
    /// The topics can't be listed.
    pub(super) async fn take(admin: &Admin) -> Result<Self, ClientError> {
        let topics = admin.list_topics().await?;
        let internal = topics.iter().filter(|topic| topic.is_internal).map(|topic| topic.name.clone()).collect();
        let mut leaders = BTreeMap::new();
        for topic in &topics {
            for partition in &topic.partitions {
                if let Some(leader) = partition.leader {
                    leaders.insert(TopicPartition::new(topic.name.as_str(), partition.id.get()), leader);
                }
            }
        }
        let groups = groups(admin).await;
        let wanted = leaders.keys().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
        let ends = admin.list_offsets(wanted, IsolationLevel::ReadUncommitted).await;
        let at = Instant::now();
        let mut partitions: BTreeMap<TopicPartition, PartitionSample> = ends
            .into_iter()
            .filter_map(|(partition, end)| Some((partition, PartitionSample { end: end.ok()?.offset?, bytes: 0 })))
            .collect();
        for (broker, directories) in admin.describe_log_dirs(None, None).await.unwrap_or_default() {
            let replicas = directories.into_iter().flatten().flat_map(|directory| directory.replicas);
            for replica in replicas.filter(|replica| leaders.get(&replica.partition) == Some(&broker)) {
                if let Some(partition) = partitions.get_mut(&replica.partition)
                    && !replica.is_future
                {
                    partition.bytes = replica.size;
                }
            }
        }
        Ok(Self { at, internal, partitions, groups })
    }
}

async fn groups(admin: &Admin) -> BTreeMap<String, GroupSample> {
    let mut samples = BTreeMap::new();
    for group in admin.list_groups(&[], &[]).await.unwrap_or_default() {
        if !matches!(group.protocol_type.as_str(), "consumer" | "") {
            continue;
        }
        let Ok(offsets) = admin.group_offsets(&group.group_id, None).await else { continue };
        let committed: BTreeMap<_, _> =
            offsets.into_iter().filter_map(|(partition, offset)| Some((partition, offset.ok()?.offset))).collect();
        if !committed.is_empty() {
            samples.insert(group.group_id, GroupSample { state: group.state.to_string(), committed });
        }
    }
    samples
}
