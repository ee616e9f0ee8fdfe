//! The records with which the one node of the cluster comes and goes: pure functions of the image.

use super::directories::{directory_of, is_online, leaderless};
use crate::config::Listener;
use crate::metadata::features::FEATURES;
use crate::metadata::{MetadataImage, MetadataRecord, PartitionImage};
use crate::protocol::messages::register_broker_record::{BrokerEndpoint, BrokerFeature};
use crate::protocol::messages::register_controller_record::{ControllerEndpoint, ControllerFeature};
use crate::protocol::messages::{
    BrokerRegistrationChangeRecord, PartitionChangeRecord, RegisterBrokerRecord, RegisterControllerRecord,
};
use crate::types::{NodeId, PartitionId, Uuid};

/// `Fenced` in a registration change: the broker may lead.
const UNFENCE: i8 = -1;
/// `Fenced` in a registration change: the broker may not lead.
const FENCE: i8 = 1;

/// How the node presents itself.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) id: NodeId,
    /// Another one at each start.
    pub(super) incarnation_id: Uuid,
    /// The broker's addresses, as clients are told.
    pub(super) listeners: &'a [Listener],
    pub(super) rack: Option<&'a str>,
    /// The ids of its log directories.
    pub(super) log_dirs: &'a [Uuid],
}

/// The controller's registration.
pub(super) fn register_controller(id: NodeId, incarnation_id: Uuid, listeners: &[Listener]) -> MetadataRecord {
    let end_points = listeners.iter().map(|listener| ControllerEndpoint {
        name: listener.name.clone(),
        host: host_of(listener),
        port: listener.port,
        security_protocol: listener.security_protocol.code(),
        ..Default::default()
    });
    let features = FEATURES.iter().map(|feature| ControllerFeature {
        name: feature.name.to_owned(),
        min_supported_version: feature.min,
        max_supported_version: feature.max,
        ..Default::default()
    });
    let record = RegisterControllerRecord {
        controller_id: id.get(),
        incarnation_id,
        end_points: end_points.collect(),
        features: features.collect(),
        ..Default::default()
    };
    record.into()
}

/// The broker's registration. Its epoch is the offset of this very record.
pub(super) fn register_broker(image: &MetadataImage, node: &Node<'_>, epoch: i64) -> MetadataRecord {
    let end_points = node.listeners.iter().map(|listener| BrokerEndpoint {
        name: listener.name.clone(),
        host: host_of(listener),
        port: listener.port,
        security_protocol: listener.security_protocol.code(),
        ..Default::default()
    });
    let features = FEATURES.iter().map(|feature| BrokerFeature {
        name: feature.name.to_owned(),
        min_supported_version: feature.min,
        max_supported_version: feature.max,
        ..Default::default()
    });
    let has_directories = image.metadata_version().unwrap_or_default().has_directories();
    let record = RegisterBrokerRecord {
        broker_id: node.id.get(),
        incarnation_id: node.incarnation_id,
        broker_epoch: epoch,
        end_points: end_points.collect(),
        features: features.collect(),
        rack: node.rack.map(str::to_owned),
        log_dirs: if has_directories { node.log_dirs.to_vec() } else { Vec::new() },
        ..Default::default()
    };
    record.into()
}

/// What lets the registered broker lead, and makes it the leader of what it can lead.
///
/// Its partitions get a new leader epoch at each start, also those of which the log still calls it the leader: it was
/// killed then, and what it does now is another leadership.
pub(super) fn unfence(image: &MetadataImage, id: NodeId, broker_epoch: i64, cordoned: &[Uuid]) -> Vec<MetadataRecord> {
    let mut records = Vec::new();
    if image.metadata_version().unwrap_or_default().has_cordoned_directories() {
        records.push(change(id, broker_epoch, |change| change.cordoned_log_dirs = Some(cordoned.to_vec())));
    }
    records.push(change(id, broker_epoch, |change| change.fenced = UNFENCE));
    for topic in image.topics().values() {
        for (partition_id, partition) in &topic.partitions {
            records.extend(elect(image, topic.id, *partition_id, partition, id).map(MetadataRecord::from));
        }
    }
    records
}

/// What makes a broker the leader of a partition, if it may be, or takes that from it.
pub(super) fn elect(
    image: &MetadataImage,
    topic_id: Uuid,
    partition_id: PartitionId,
    partition: &PartitionImage,
    id: NodeId,
) -> Option<PartitionChangeRecord> {
    let led_by_other = image.live_brokers().any(|(broker, _)| broker == partition.leader && broker != id);
    if !partition.replicas.contains(&id) || led_by_other {
        return None;
    }
    let online = image.brokers().get(&id).map(|broker| broker.log_dirs.as_slice()).unwrap_or_default();
    if directory_of(partition, id).is_some_and(|directory| !is_online(directory, online)) {
        // Its directory is away: whoever led last, nobody does now.
        return (partition.leader == id).then(|| leaderless(image, topic_id, partition_id, partition));
    }
    let mut change =
        PartitionChangeRecord { partition_id: partition_id.get(), topic_id, leader: id.get(), ..Default::default() };
    let clear = |replicas: &[NodeId]| (!replicas.is_empty()).then(Vec::new);
    change.last_known_elr = clear(&partition.last_known_elr);
    if !partition.isr.contains(&id) {
        let eligible = partition.eligible_leader_replicas.contains(&id) || partition.last_known_elr.contains(&id);
        // Others may hold what this broker does not.
        if !eligible && partition.replicas.len() > 1 {
            return None;
        }
        change.isr = Some(vec![id.get()]);
        change.eligible_leader_replicas = clear(&partition.eligible_leader_replicas);
    }
    if partition.leader_recovery_state != 0 {
        change.leader_recovery_state = 0;
    }
    Some(change)
}

/// The records of a clean stop: the broker leads nothing any more, and is fenced.
pub(super) fn shut_down(image: &MetadataImage, id: NodeId, broker_epoch: i64) -> Vec<MetadataRecord> {
    let mut records = vec![change(id, broker_epoch, |change| change.in_controlled_shutdown = 1)];
    let has_elr = image.has_eligible_leader_replicas();
    for topic in image.topics().values() {
        for (partition_id, _) in topic.partitions.iter().filter(|(_, partition)| partition.leader == id) {
            let mut change = PartitionChangeRecord {
                partition_id: partition_id.get(),
                topic_id: topic.id,
                leader: -1,
                ..Default::default()
            };
            if has_elr {
                // The last one in sync stays eligible (KIP-966); before, it stayed in the ISR.
                change.isr = Some(Vec::new());
                change.eligible_leader_replicas = Some(vec![id.get()]);
                change.last_known_elr = Some(vec![id.get()]);
            }
            records.push(change.into());
        }
    }
    records.push(change(id, broker_epoch, |change| change.fenced = FENCE));
    records
}

/// The registration of a broker that goes on as it is: with a new epoch, and what the level of `metadata.version` has room for by now.
pub(super) fn register_again(
    image: &MetadataImage,
    id: NodeId,
    directories: &[Uuid],
    epoch: i64,
) -> Option<MetadataRecord> {
    let known = image.brokers().get(&id)?;
    let has_directories = image.metadata_version().unwrap_or_default().has_directories();
    let log_dirs = if has_directories && known.log_dirs.is_empty() { directories } else { &known.log_dirs };
    Some(RegisterBrokerRecord { broker_epoch: epoch, log_dirs: log_dirs.to_vec(), ..known.clone() }.into())
}

/// What a broker leaves behind that is no more: it is in sync with nothing, and others lead, if there are any.
pub(super) fn leave(image: &MetadataImage, id: NodeId) -> Vec<MetadataRecord> {
    let mut records = Vec::new();
    for topic in image.topics().values() {
        for (partition_id, partition) in topic.partitions.iter().filter(|(_, partition)| partition.isr.contains(&id)) {
            let mut change =
                PartitionChangeRecord { partition_id: partition_id.get(), topic_id: topic.id, ..Default::default() };
            let isr: Vec<NodeId> = partition.isr.iter().copied().filter(|replica| *replica != id).collect();
            let is_live = |id: &NodeId| image.live_brokers().any(|(live, _)| live == *id);
            if partition.leader == id {
                let next = partition.replicas.iter().find(|replica| isr.contains(replica) && is_live(replica));
                change.leader = next.map_or(-1, |next| next.get());
            }
            if !isr.is_empty() {
                change.isr = Some(isr.iter().map(|replica| replica.get()).collect());
            } else if image.has_eligible_leader_replicas() {
                // As when it stops: the last one in sync is who could lead again.
                change.isr = Some(Vec::new());
                change.eligible_leader_replicas = Some(vec![id.get()]);
                change.last_known_elr = Some(vec![id.get()]);
            } else if partition.leader != id {
                continue;
            }
            records.push(change.into());
        }
    }
    records
}

fn change(id: NodeId, broker_epoch: i64, set: impl FnOnce(&mut BrokerRegistrationChangeRecord)) -> MetadataRecord {
    let mut change = BrokerRegistrationChangeRecord { broker_id: id.get(), broker_epoch, ..Default::default() };
    set(&mut change);
    change.into()
}

/// The address of a listener for others; one that is open on all addresses and advertised as none is this machine's.
fn host_of(listener: &Listener) -> String {
    listener.host.clone().unwrap_or_else(|| "localhost".to_owned())
}
