//! What each record does to the image.

use std::sync::Arc;

use thiserror::Error;

use super::delta::MetadataDelta;
use super::features::{METADATA_VERSION, MetadataVersion};
use super::image::{ConfigResource, ConfigResourceType, MetadataImage, QuotaEntity};
use super::record::MetadataRecord;
use super::topic::{PartitionImage, TopicImage};
use crate::protocol::messages::{
    BrokerRegistrationChangeRecord, ClearElrRecord, ClientQuotaRecord, ConfigRecord, FeatureLevelRecord,
    PartitionChangeRecord, PartitionRecord, TopicRecord,
};
use crate::types::{NodeId, PartitionId, ProducerId, Uuid};

/// Why a record can't be applied: the log contradicts itself, or is of a release that this one can't follow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// A change of a topic that no record created.
    #[error("{kind} for topic {topic}, which does not exist")]
    UnknownTopic {
        /// The record.
        kind: &'static str,
        /// Id or name of the topic.
        topic: String,
    },
    /// A second topic of a name or an id.
    #[error("topic {0} is created twice")]
    DuplicateTopic(String),
    /// A change of a partition that no record created.
    #[error("change of partition {topic}-{partition}, which does not exist")]
    UnknownPartition {
        /// Name of the topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
    },
    /// A change of a broker that is not registered.
    #[error("{kind} for broker {id}, which is not registered")]
    UnknownBroker {
        /// The record.
        kind: &'static str,
        /// The broker.
        id: NodeId,
    },
    /// A change of a broker's earlier registration.
    #[error("{kind} for broker {id} with epoch {epoch}, its epoch is {current}")]
    StaleBrokerEpoch {
        /// The record.
        kind: &'static str,
        /// The broker.
        id: NodeId,
        /// The epoch that the record names.
        epoch: i64,
        /// The epoch of the registration.
        current: i64,
    },
    /// The entry that a record removes is not there.
    #[error("{kind} for {name}, which does not exist")]
    NothingToRemove {
        /// The record.
        kind: &'static str,
        /// What it names.
        name: String,
    },
    /// A level of `metadata.version` that this release does not know.
    #[error("metadata.version {0} is not one of {min} to {max}", min = MetadataVersion::MINIMUM, max = MetadataVersion::LATEST)]
    UnsupportedMetadataVersion(i16),
    /// A value that no release writes.
    #[error("{kind} with {field} {value}")]
    InvalidValue {
        /// The record.
        kind: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
}

impl MetadataImage {
    /// Applies one record.
    ///
    /// Records that frame a transaction do nothing here: whoever reads a log holds back what stands between them
    /// ([`super::Replay`]).
    ///
    /// # Errors
    /// The record contradicts the image, which is unchanged then.
    pub fn apply(&mut self, record: &MetadataRecord) -> Result<(), ApplyError> {
        self.apply_noting(record, &mut MetadataDelta::default())
    }

    /// Applies one record and notes in `delta` what it changed.
    ///
    /// # Errors
    /// As [`MetadataImage::apply`]; `delta` is unchanged too.
    pub fn apply_noting(&mut self, record: &MetadataRecord, delta: &mut MetadataDelta) -> Result<(), ApplyError> {
        let kind = record.kind();
        match record {
            MetadataRecord::RegisterBroker(registration) => {
                let id = NodeId(registration.broker_id);
                self.brokers.insert(id, registration.clone());
                delta.changed_brokers.insert(id);
            }
            MetadataRecord::UnregisterBroker(r) => {
                let id = NodeId(r.broker_id);
                self.registered(kind, id, r.broker_epoch)?;
                self.brokers.remove(&id);
                delta.changed_brokers.insert(id);
            }
            MetadataRecord::FenceBroker(r) => {
                self.registered(kind, NodeId(r.id), r.epoch)?.fenced = true;
                delta.changed_brokers.insert(NodeId(r.id));
            }
            MetadataRecord::UnfenceBroker(r) => {
                self.registered(kind, NodeId(r.id), r.epoch)?.fenced = false;
                delta.changed_brokers.insert(NodeId(r.id));
            }
            MetadataRecord::BrokerRegistrationChange(r) => {
                self.change_registration(r)?;
                delta.changed_brokers.insert(NodeId(r.broker_id));
            }
            MetadataRecord::RegisterController(registration) => {
                self.controllers.insert(NodeId(registration.controller_id), registration.clone());
            }
            MetadataRecord::Topic(r) => self.create_topic(r, delta)?,
            MetadataRecord::RemoveTopic(r) => self.remove_topic(r.topic_id, delta)?,
            MetadataRecord::Partition(r) => self.set_partition(r, delta)?,
            MetadataRecord::PartitionChange(r) => self.change_partition(r, delta)?,
            MetadataRecord::ClearElr(r) => self.clear_elr(r, delta)?,
            MetadataRecord::Config(r) => self.set_config(r, delta),
            MetadataRecord::FeatureLevel(r) => {
                self.set_feature(r)?;
                delta.features_changed = true;
            }
            MetadataRecord::ZkMigrationState(r) => self.zk_migration_state = Some(r.zk_migration_state),
            MetadataRecord::ProducerIds(r) => self.next_producer_id = Some(ProducerId(r.next_producer_id)),
            MetadataRecord::ClientQuota(r) => {
                self.set_quota(r);
                delta.client_quotas_changed = true;
            }
            MetadataRecord::AccessControlEntry(entry) => {
                self.acls.insert(entry.id, entry.clone());
                delta.acls_changed = true;
            }
            MetadataRecord::RemoveAccessControlEntry(r) => {
                present(self.acls.remove(&r.id), kind, || r.id.to_string())?;
                delta.acls_changed = true;
            }
            MetadataRecord::UserScramCredential(credential) => {
                self.scram_credentials.insert((credential.mechanism, credential.name.clone()), credential.clone());
                delta.credentials_changed = true;
            }
            MetadataRecord::RemoveUserScramCredential(r) => {
                present(self.scram_credentials.remove(&(r.mechanism, r.name.clone())), kind, || r.name.clone())?;
                delta.credentials_changed = true;
            }
            MetadataRecord::DelegationToken(token) => {
                self.delegation_tokens.insert(token.token_id.clone(), token.clone());
                delta.credentials_changed = true;
            }
            MetadataRecord::RemoveDelegationToken(r) => {
                present(self.delegation_tokens.remove(&r.token_id), kind, || r.token_id.clone())?;
                delta.credentials_changed = true;
            }
            MetadataRecord::NoOp(_)
            | MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_) => {}
        }
        Ok(())
    }

    fn registered(
        &mut self,
        kind: &'static str,
        id: NodeId,
        epoch: i64,
    ) -> Result<&mut crate::protocol::messages::RegisterBrokerRecord, ApplyError> {
        let broker = self.brokers.get_mut(&id).ok_or(ApplyError::UnknownBroker { kind, id })?;
        if broker.broker_epoch != epoch {
            return Err(ApplyError::StaleBrokerEpoch { kind, id, epoch, current: broker.broker_epoch });
        }
        Ok(broker)
    }

    fn change_registration(&mut self, r: &BrokerRegistrationChangeRecord) -> Result<(), ApplyError> {
        const KIND: &str = "BrokerRegistrationChangeRecord";
        let invalid = |field, value: i8| ApplyError::InvalidValue { kind: KIND, field, value: i64::from(value) };
        // 0 leaves it, 1 sets it, -1 takes it back (fencing) or does not exist (controlled shutdown, which a new
        // registration ends).
        let fenced = match r.fenced {
            0 => None,
            1 => Some(true),
            -1 => Some(false),
            value => return Err(invalid("Fenced", value)),
        };
        let in_controlled_shutdown = match r.in_controlled_shutdown {
            0 => false,
            1 => true,
            value => return Err(invalid("InControlledShutdown", value)),
        };
        let broker = self.registered(KIND, NodeId(r.broker_id), r.broker_epoch)?;
        broker.fenced = fenced.unwrap_or(broker.fenced);
        broker.in_controlled_shutdown |= in_controlled_shutdown;
        if !r.log_dirs.is_empty() {
            broker.log_dirs.clone_from(&r.log_dirs);
        }
        if r.cordoned_log_dirs.is_some() {
            broker.cordoned_log_dirs.clone_from(&r.cordoned_log_dirs);
        }
        Ok(())
    }

    fn create_topic(&mut self, r: &TopicRecord, delta: &mut MetadataDelta) -> Result<(), ApplyError> {
        if self.topics.contains_key(&r.name) || self.topic_names.contains_key(&r.topic_id) {
            return Err(ApplyError::DuplicateTopic(r.name.clone()));
        }
        let topic = TopicImage { name: r.name.clone(), id: r.topic_id, partitions: Default::default() };
        self.topic_names.insert(r.topic_id, r.name.clone());
        self.topics.insert(r.name.clone(), Arc::new(topic));
        delta.created_topics.insert(r.topic_id);
        Ok(())
    }

    fn remove_topic(&mut self, id: Uuid, delta: &mut MetadataDelta) -> Result<(), ApplyError> {
        let unknown = || ApplyError::UnknownTopic { kind: "RemoveTopicRecord", topic: id.to_string() };
        let name = self.topic_names.remove(&id).ok_or_else(unknown)?;
        let topic = self.topics.remove(&name).ok_or_else(unknown)?;
        // Its configs go with it, without records of their own.
        self.configs.remove(&ConfigResource::topic(name));
        delta.topic_removed(topic);
        Ok(())
    }

    /// The topic with this id, to be changed. Who holds the old one keeps it: it is cloned then.
    fn topic_mut(&mut self, kind: &'static str, id: Uuid) -> Result<&mut TopicImage, ApplyError> {
        let topic = self.topic_names.get(&id).and_then(|name| self.topics.get_mut(name));
        topic.map(Arc::make_mut).ok_or_else(|| ApplyError::UnknownTopic { kind, topic: id.to_string() })
    }

    fn set_partition(&mut self, r: &PartitionRecord, delta: &mut MetadataDelta) -> Result<(), ApplyError> {
        let id = PartitionId(r.partition_id);
        let topic = self.topic_mut("PartitionRecord", r.topic_id)?;
        topic.partitions.insert(id, PartitionImage::from_record(r));
        delta.changed_partitions.insert((r.topic_id, id));
        Ok(())
    }

    fn change_partition(&mut self, r: &PartitionChangeRecord, delta: &mut MetadataDelta) -> Result<(), ApplyError> {
        let id = PartitionId(r.partition_id);
        let topic = self.topic_mut("PartitionChangeRecord", r.topic_id)?;
        let Some(partition) = topic.partitions.get_mut(&id) else {
            return Err(ApplyError::UnknownPartition { topic: topic.name.clone(), partition: id });
        };
        partition.change(r);
        delta.changed_partitions.insert((r.topic_id, id));
        Ok(())
    }

    fn clear_elr(&mut self, r: &ClearElrRecord, delta: &mut MetadataDelta) -> Result<(), ApplyError> {
        let one = Some(&r.topic_name).filter(|name| !name.is_empty());
        if let Some(name) = one.filter(|name| !self.topics.contains_key(*name)) {
            return Err(ApplyError::UnknownTopic { kind: "ClearElrRecord", topic: name.clone() });
        }
        let change = PartitionChangeRecord {
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            ..Default::default()
        };
        for topic in self.topics.values_mut().filter(|topic| one.is_none_or(|name| topic.name == *name)) {
            let has_elr = |p: &PartitionImage| !p.eligible_leader_replicas.is_empty() || !p.last_known_elr.is_empty();
            if !topic.partitions.values().any(has_elr) {
                continue;
            }
            let topic = Arc::make_mut(topic);
            for (id, partition) in topic.partitions.iter_mut().filter(|(_, p)| has_elr(p)) {
                partition.change(&change);
                delta.changed_partitions.insert((topic.id, *id));
            }
        }
        Ok(())
    }

    fn set_config(&mut self, r: &ConfigRecord, delta: &mut MetadataDelta) {
        let resource = ConfigResource { kind: ConfigResourceType(r.resource_type), name: r.resource_name.clone() };
        match &r.value {
            Some(value) => {
                self.configs.entry(resource.clone()).or_default().insert(r.name.clone(), value.clone());
            }
            None => {
                if let Some(configs) = self.configs.get_mut(&resource) {
                    configs.remove(&r.name);
                    if configs.is_empty() {
                        self.configs.remove(&resource);
                    }
                }
            }
        }
        delta.changed_configs.insert(resource);
    }

    fn set_feature(&mut self, r: &FeatureLevelRecord) -> Result<(), ApplyError> {
        if r.name == METADATA_VERSION && MetadataVersion::from_level(r.feature_level).is_none() {
            return Err(ApplyError::UnsupportedMetadataVersion(r.feature_level));
        }
        match r.feature_level {
            0 => self.features.remove(&r.name),
            level => self.features.insert(r.name.clone(), level),
        };
        Ok(())
    }

    fn set_quota(&mut self, r: &ClientQuotaRecord) {
        let entity: QuotaEntity = r.entity.iter().map(|e| (e.entity_type.clone(), e.entity_name.clone())).collect();
        if !r.remove {
            self.client_quotas.entry(entity).or_default().insert(r.key.clone(), r.value);
        } else if let Some(quotas) = self.client_quotas.get_mut(&entity) {
            quotas.remove(&r.key);
            if quotas.is_empty() {
                self.client_quotas.remove(&entity);
            }
        }
    }
}

fn present<T>(removed: Option<T>, kind: &'static str, name: impl FnOnce() -> String) -> Result<T, ApplyError> {
    removed.ok_or_else(|| ApplyError::NothingToRemove { kind, name: name() })
}
