//! The records that say all that an image says: what a snapshot file holds, in Kafka's order.

use super::bootstrap;
use super::features::MetadataVersion;
use super::image::MetadataImage;
use super::record::MetadataRecord;
use super::topic::{PartitionImage, TopicImage, numbers};
use crate::protocol::messages::client_quota_record::EntityData;
use crate::protocol::messages::{
    ClientQuotaRecord, ConfigRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord, TopicRecord,
    ZkMigrationStateRecord,
};
use crate::types::PartitionId;

impl MetadataImage {
    /// The records of a snapshot: applied to an empty image they give this one again. They can be written at the image's
    /// level of `metadata.version`: what the level does not have is left out, as Kafka does.
    #[must_use]
    pub fn records(&self) -> Vec<MetadataRecord> {
        let level = self.metadata_version().unwrap_or(MetadataVersion::LATEST);
        let mut out = Vec::with_capacity(64 + self.topics.len() + self.partition_count());
        self.feature_records(&mut out);
        out.extend(self.brokers.values().map(|broker| broker_record(broker, level).into()));
        if level.has_controller_registration() {
            out.extend(self.controllers.values().cloned().map(MetadataRecord::RegisterController));
        }
        for topic in self.topics.values() {
            out.push(TopicRecord { name: topic.name.clone(), topic_id: topic.id, ..Default::default() }.into());
            out.extend(topic.partitions.iter().map(|(id, p)| partition_record(topic, *id, p, level).into()));
        }
        self.config_records(&mut out);
        self.quota_records(&mut out);
        if let Some(next) = self.next_producer_id {
            let (broker_id, broker_epoch, next_producer_id) = (-1, -1, next.get());
            out.push(ProducerIdsRecord { broker_id, broker_epoch, next_producer_id, ..Default::default() }.into());
        }
        out.extend(self.acls.values().cloned().map(MetadataRecord::AccessControlEntry));
        out.extend(self.scram_credentials.values().cloned().map(MetadataRecord::UserScramCredential));
        out.extend(self.delegation_tokens.values().cloned().map(MetadataRecord::DelegationToken));
        out
    }

    fn feature_records(&self, out: &mut Vec<MetadataRecord>) {
        out.extend(bootstrap::feature_records(&self.features));
        if let Some(zk_migration_state) = self.zk_migration_state {
            out.push(ZkMigrationStateRecord { zk_migration_state, ..Default::default() }.into());
        }
    }

    fn config_records(&self, out: &mut Vec<MetadataRecord>) {
        for (resource, configs) in &self.configs {
            for (name, value) in configs {
                let record = ConfigRecord {
                    resource_type: resource.kind.0,
                    resource_name: resource.name.clone(),
                    name: name.clone(),
                    value: Some(value.clone()),
                    ..Default::default()
                };
                out.push(record.into());
            }
        }
    }

    fn quota_records(&self, out: &mut Vec<MetadataRecord>) {
        for (entity, quotas) in &self.client_quotas {
            let entity: Vec<_> = entity
                .iter()
                .map(|(kind, name)| EntityData {
                    entity_type: kind.clone(),
                    entity_name: name.clone(),
                    ..Default::default()
                })
                .collect();
            for (key, value) in quotas {
                let (entity, key) = (entity.clone(), key.clone());
                out.push(ClientQuotaRecord { entity, key, value: *value, ..Default::default() }.into());
            }
        }
    }
}

fn broker_record(broker: &RegisterBrokerRecord, level: MetadataVersion) -> RegisterBrokerRecord {
    let mut record = broker.clone();
    if !level.has_directories() {
        record.log_dirs.clear();
    }
    if !level.has_cordoned_directories() {
        record.cordoned_log_dirs = None;
    }
    record
}

fn partition_record(
    topic: &TopicImage,
    id: PartitionId,
    partition: &PartitionImage,
    level: MetadataVersion,
) -> PartitionRecord {
    let elr = |nodes: &[_]| (level.has_eligible_leader_replicas() && !nodes.is_empty()).then(|| numbers(nodes));
    PartitionRecord {
        partition_id: id.get(),
        topic_id: topic.id,
        replicas: numbers(&partition.replicas),
        isr: numbers(&partition.isr),
        removing_replicas: numbers(&partition.removing_replicas),
        adding_replicas: numbers(&partition.adding_replicas),
        leader: partition.leader.get(),
        leader_recovery_state: partition.leader_recovery_state,
        leader_epoch: partition.leader_epoch.get(),
        partition_epoch: partition.partition_epoch,
        directories: if level.has_directories() { partition.directories.clone() } else { Vec::new() },
        eligible_leader_replicas: elr(&partition.eligible_leader_replicas),
        last_known_elr: elr(&partition.last_known_elr),
        ..Default::default()
    }
}
