//! Which directory each replica is in (KIP-858), and what a failed directory means for its partitions: pure functions of the image.

use std::collections::BTreeSet;

use super::registration::elect;
use crate::metadata::{MetadataImage, MetadataRecord, PartitionImage};
use crate::protocol::ErrorCode;
use crate::protocol::messages::assign_replicas_to_dirs_response::{DirectoryData, PartitionData, TopicData};
use crate::protocol::messages::{
    AssignReplicasToDirsRequest, AssignReplicasToDirsResponse, BrokerRegistrationChangeRecord, PartitionChangeRecord,
};
use crate::types::{NodeId, PartitionId, Uuid};

/// A directory id that says: the replica's directory is gone. Zero is "migrating", one "unassigned".
const LOST: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);

/// The leader of a partition that has none.
const NOBODY: NodeId = NodeId(-1);

/// Where a replica of this broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct Assignment {
    pub(in crate::broker) topic_id: Uuid,
    pub(in crate::broker) partition: PartitionId,
    pub(in crate::broker) directory: Uuid,
}

/// The directories of this node's broker.
#[derive(Debug)]
pub(in crate::broker) struct OwnDirectories {
    /// Those that work.
    pub(in crate::broker) ids: Vec<Uuid>,
    /// Those that take no more replicas.
    pub(in crate::broker) cordoned: Vec<Uuid>,
    /// Replicas that are elsewhere than the metadata says.
    pub(in crate::broker) assignments: Vec<Assignment>,
}

/// The directory of a broker's replica; `None` if it has none.
pub(in crate::broker) fn directory_of(partition: &PartitionImage, id: NodeId) -> Option<Uuid> {
    let place = partition.replicas.iter().position(|replica| *replica == id)?;
    partition.directories.get(place).copied()
}

/// Whether a directory id names a directory, and not a state that replicas can be in.
pub(in crate::broker) fn is_real(directory: Uuid) -> bool {
    ![Uuid::ZERO, Uuid::METADATA_TOPIC, LOST].contains(&directory)
}

/// Whether a broker with these directories has the replica, as far as can be told.
pub(in crate::broker) fn is_online(directory: Uuid, online: &[Uuid]) -> bool {
    directory != LOST && (!is_real(directory) || online.is_empty() || online.contains(&directory))
}

/// The change that puts a broker's replica into a directory; `None` if it is there.
fn assign(partition: &PartitionImage, id: NodeId, to: &Assignment) -> Option<PartitionChangeRecord> {
    let place = partition.replicas.iter().position(|replica| *replica == id)?;
    let mut directories = partition.directories.clone();
    let slot = directories.get_mut(place).filter(|slot| **slot != to.directory)?;
    *slot = to.directory;
    Some(PartitionChangeRecord {
        partition_id: to.partition.get(),
        topic_id: to.topic_id,
        directories: Some(directories),
        ..Default::default()
    })
}

/// The change that puts a broker's replica into a directory, and what follows for who leads: without its directory it can't, and once
/// it has one again it may.
fn move_to(
    image: &MetadataImage,
    partition: &PartitionImage,
    id: NodeId,
    to: &Assignment,
    is_there: bool,
) -> Option<PartitionChangeRecord> {
    let change = assign(partition, id, to);
    let directories = change.as_ref().and_then(|change| change.directories.clone());
    let elected = if partition.leader == id && !is_there {
        Some(leaderless(image, to.topic_id, to.partition, partition))
    } else if partition.leader == NOBODY && is_there && image.live_brokers().any(|(broker, _)| broker == id) {
        let directories = directories.clone().unwrap_or_else(|| partition.directories.clone());
        let placed = PartitionImage { directories, ..partition.clone() };
        elect(image, to.topic_id, to.partition, &placed, id)
    } else {
        None
    };
    match elected {
        Some(elected) => Some(PartitionChangeRecord { directories, ..elected }),
        None => change,
    }
}

/// The changes that make the metadata say where a broker's replicas are.
pub(super) fn assign_all(image: &MetadataImage, id: NodeId, assignments: &[Assignment]) -> Vec<MetadataRecord> {
    let record = |to: &Assignment| assign(image.topic_by_id(to.topic_id)?.partitions.get(&to.partition)?, id, to);
    assignments.iter().filter_map(record).map(MetadataRecord::from).collect()
}

/// What takes the leadership of a partition from a broker that can't reach its replica any more. It stays in sync: what it
/// has is all there is.
pub(super) fn leaderless(
    image: &MetadataImage,
    topic_id: Uuid,
    partition_id: PartitionId,
    partition: &PartitionImage,
) -> PartitionChangeRecord {
    let remember = image.has_eligible_leader_replicas() && partition.last_known_elr.is_empty();
    PartitionChangeRecord {
        partition_id: partition_id.get(),
        topic_id,
        leader: -1,
        last_known_elr: remember.then(|| vec![partition.leader.get()]),
        ..Default::default()
    }
}

/// What a broker's directories that have failed change: the partitions in them that it leads have no leader, and the registration no
/// longer names them.
pub(super) fn fail(image: &MetadataImage, id: NodeId, broker_epoch: i64, failed: &[Uuid]) -> Vec<MetadataRecord> {
    let Some(broker) = image.brokers().get(&id) else { return Vec::new() };
    let (lost, left): (Vec<Uuid>, Vec<Uuid>) = broker.log_dirs.iter().partition(|known| failed.contains(known));
    if lost.is_empty() {
        return Vec::new();
    }
    let mut records: Vec<MetadataRecord> = Vec::new();
    for topic in image.topics().values() {
        for (index, partition) in topic.partitions.iter().filter(|(_, partition)| partition.leader == id) {
            if directory_of(partition, id).is_some_and(|directory| lost.contains(&directory)) {
                records.push(leaderless(image, topic.id, *index, partition).into());
            }
        }
    }
    let change =
        BrokerRegistrationChangeRecord { broker_id: id.get(), broker_epoch, log_dirs: left, ..Default::default() };
    // No directory at all can't be said: then the broker stops.
    if !change.log_dirs.is_empty() {
        records.push(change.into());
    }
    records
}

/// The change of a broker's registration that says which of its directories take no more replicas; `None` if it says so already.
pub(super) fn cordon(
    image: &MetadataImage,
    id: NodeId,
    broker_epoch: i64,
    cordoned: &[Uuid],
) -> Option<MetadataRecord> {
    let known = image.brokers().get(&id)?.cordoned_log_dirs.as_deref().unwrap_or_default();
    let is_news = image.metadata_version().unwrap_or_default().has_cordoned_directories() && known != cordoned;
    is_news.then(|| {
        let cordoned_log_dirs = Some(cordoned.to_vec());
        BrokerRegistrationChangeRecord { broker_id: id.get(), broker_epoch, cordoned_log_dirs, ..Default::default() }
            .into()
    })
}

/// AssignReplicasToDirs of a registered broker: what it changes, and the answer.
pub(super) fn assign_replicas(
    image: &MetadataImage,
    request: &AssignReplicasToDirsRequest,
) -> (Vec<MetadataRecord>, AssignReplicasToDirsResponse) {
    let refused = |code: ErrorCode| AssignReplicasToDirsResponse { error_code: code.code(), ..Default::default() };
    if !image.metadata_version().unwrap_or_default().has_directories() {
        return (Vec::new(), refused(ErrorCode::UnsupportedVersion));
    }
    let id = NodeId(request.broker_id);
    let registered = image.brokers().get(&id).filter(|broker| broker.broker_epoch == request.broker_epoch);
    let Some(broker) = registered else {
        return (Vec::new(), refused(ErrorCode::StaleBrokerEpoch));
    };
    let mut records: Vec<MetadataRecord> = Vec::new();
    let mut changed = BTreeSet::new();
    let mut directories = Vec::with_capacity(request.directories.len());
    for wanted in &request.directories {
        let mut topics = Vec::with_capacity(wanted.topics.len());
        for topic in &wanted.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let to = Assignment {
                    topic_id: topic.topic_id,
                    partition: PartitionId(partition.partition_index),
                    directory: wanted.id,
                };
                // Named twice, the first counts: the second would be worked out from what is no longer so.
                let error = match find(image, id, &to) {
                    Ok(found) if changed.insert((to.topic_id, to.partition)) => {
                        let is_there = is_online(to.directory, &broker.log_dirs);
                        records.extend(move_to(image, found, id, &to, is_there).map(MetadataRecord::from));
                        ErrorCode::None
                    }
                    Ok(_) => ErrorCode::None,
                    Err(error) => error,
                };
                partitions.push(PartitionData {
                    partition_index: partition.partition_index,
                    error_code: error.code(),
                    ..Default::default()
                });
            }
            topics.push(TopicData { topic_id: topic.topic_id, partitions, ..Default::default() });
        }
        directories.push(DirectoryData { id: wanted.id, topics, ..Default::default() });
    }
    (records, AssignReplicasToDirsResponse { directories, ..Default::default() })
}

fn find<'a>(image: &'a MetadataImage, id: NodeId, to: &Assignment) -> Result<&'a PartitionImage, ErrorCode> {
    let topic = image.topic_by_id(to.topic_id).ok_or(ErrorCode::UnknownTopicId)?;
    let partition = topic.partitions.get(&to.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if partition.replicas.contains(&id) { Ok(partition) } else { Err(ErrorCode::NotLeaderOrFollower) }
}
