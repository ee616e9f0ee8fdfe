//! A topic and its partitions, as the image holds them.

use std::collections::BTreeMap;

use crate::protocol::messages::{PartitionChangeRecord, PartitionRecord};
use crate::types::{LeaderEpoch, NodeId, PartitionId, Uuid};

/// `PartitionChangeRecord.Leader` when the leader stays.
pub(super) const NO_LEADER_CHANGE: i32 = -2;

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    /// Its name.
    pub name: String,
    /// Its id: another topic of the same name, created later, has another one (KIP-516).
    pub id: Uuid,
    /// Its partitions.
    pub partitions: BTreeMap<PartitionId, PartitionImage>,
}

/// A partition: who holds it and who leads it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionImage {
    /// The brokers that hold it; the first is the preferred leader.
    pub replicas: Vec<NodeId>,
    /// The directory of each replica, in their order (KIP-858).
    pub directories: Vec<Uuid>,
    /// The replicas that are in sync.
    pub isr: Vec<NodeId>,
    /// Replicas that a reassignment takes away.
    pub removing_replicas: Vec<NodeId>,
    /// Replicas that a reassignment brings.
    pub adding_replicas: Vec<NodeId>,
    /// Replicas out of the ISR that may lead without loss (KIP-966).
    pub eligible_leader_replicas: Vec<NodeId>,
    /// Who led last, when nobody is eligible.
    pub last_known_elr: Vec<NodeId>,
    /// The leader; -1 without one.
    pub leader: NodeId,
    /// 1 while an unclean leader recovers.
    pub leader_recovery_state: i8,
    /// Counts the leaderships.
    pub leader_epoch: LeaderEpoch,
    /// Counts the changes of this registration.
    pub partition_epoch: i32,
}

impl PartitionImage {
    pub(super) fn from_record(record: &PartitionRecord) -> Self {
        Self {
            replicas: nodes(&record.replicas),
            directories: directories(&record.directories, record.replicas.len()),
            isr: nodes(&record.isr),
            removing_replicas: nodes(&record.removing_replicas),
            adding_replicas: nodes(&record.adding_replicas),
            eligible_leader_replicas: nodes(record.eligible_leader_replicas.as_deref().unwrap_or_default()),
            last_known_elr: nodes(record.last_known_elr.as_deref().unwrap_or_default()),
            leader: NodeId(record.leader),
            leader_recovery_state: record.leader_recovery_state,
            leader_epoch: LeaderEpoch(record.leader_epoch),
            partition_epoch: record.partition_epoch,
        }
    }

    /// Takes over what the record names. Any change raises the partition epoch; naming a leader, even the same one,
    /// raises the leader epoch.
    pub(super) fn change(&mut self, record: &PartitionChangeRecord) {
        let set = |target: &mut Vec<NodeId>, value: &Option<Vec<i32>>| {
            if let Some(value) = value {
                *target = nodes(value);
            }
        };
        set(&mut self.isr, &record.isr);
        set(&mut self.replicas, &record.replicas);
        set(&mut self.removing_replicas, &record.removing_replicas);
        set(&mut self.adding_replicas, &record.adding_replicas);
        set(&mut self.eligible_leader_replicas, &record.eligible_leader_replicas);
        set(&mut self.last_known_elr, &record.last_known_elr);
        if let Some(value) = &record.directories {
            self.directories.clone_from(value);
        }
        self.directories = directories(&self.directories, self.replicas.len());
        if record.leader != NO_LEADER_CHANGE {
            self.leader = NodeId(record.leader);
            self.leader_epoch = LeaderEpoch(self.leader_epoch.get().saturating_add(1));
        }
        if record.leader_recovery_state >= 0 {
            self.leader_recovery_state = record.leader_recovery_state;
        }
        self.partition_epoch = self.partition_epoch.saturating_add(1);
    }
}

/// One directory per replica; "migrating" (zero) for all where a level without directories wrote the record.
fn directories(given: &[Uuid], replicas: usize) -> Vec<Uuid> {
    if given.len() == replicas { given.to_vec() } else { vec![Uuid::ZERO; replicas] }
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// The bare numbers, as records and responses carry them.
pub(super) fn numbers(ids: &[NodeId]) -> Vec<i32> {
    ids.iter().map(|id| id.get()).collect()
}
