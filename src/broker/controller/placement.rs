//! Which brokers hold the replicas of new partitions, and in which of their directories.

use std::collections::BTreeMap;

use super::error::ApiError;
use crate::metadata::{MetadataImage, PartitionImage};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{PartitionRecord, RegisterBrokerRecord};
use crate::types::{NodeId, Uuid};

/// The brokers that can take new replicas, and how full their directories are.
#[derive(Debug)]
pub(super) struct Placement {
    /// In the order of their ids.
    usable: Vec<NodeId>,
    registered: Vec<NodeId>,
    /// Those of which no directory takes replicas.
    cordoned: Vec<NodeId>,
    /// Replicas in each directory of a broker; `None` below the level of `metadata.version` that has them.
    directories: Option<BTreeMap<NodeId, Vec<(Uuid, usize)>>>,
    /// Where the next topic begins, so that the first brokers do not lead more than others.
    next: usize,
}

impl Placement {
    pub(super) fn new(image: &MetadataImage) -> Self {
        let live = image.live_brokers().filter(|(_, broker)| !broker.in_controlled_shutdown);
        let usable = live.filter(|(_, broker)| !is_cordoned(broker)).map(|(id, _)| id);
        let usable: Vec<NodeId> = usable.collect();
        let next = if usable.len() > 1 { fastrand::usize(..usable.len()) } else { 0 };
        let has_directories = image.metadata_version().unwrap_or_default().has_directories();
        Self {
            usable,
            registered: image.brokers().keys().copied().collect(),
            cordoned: image.brokers().iter().filter(|(_, broker)| is_cordoned(broker)).map(|(id, _)| *id).collect(),
            directories: has_directories.then(|| count_replicas(image)),
            next,
        }
    }

    /// Chooses replicas for new partitions: brokers in turn, each partition beginning one further than the last.
    pub(super) fn choose(&mut self, partitions: usize, factor: usize) -> Result<Vec<Vec<NodeId>>, ApiError> {
        let count = self.usable.len();
        if factor > count {
            let message = format!(
                "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be \
                 reached because only {count} broker(s) are registered or some brokers have all their log directories \
                 cordoned."
            );
            return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message));
        }
        let first = self.next;
        self.next = first.wrapping_add(partitions);
        let replicas = |partition: usize| {
            let start = first.wrapping_add(partition);
            // Later rounds shift the followers, so that not all partitions of one leader follow to the same broker.
            let shift = (partition / count.max(1)) % count.max(1);
            let nth = |n: usize| if n == 0 { start } else { start + 1 + (n - 1 + shift) % (count - 1).max(1) };
            (0..factor).filter_map(|n| self.usable.get(nth(n) % count)).copied().collect()
        };
        Ok((0..partitions).map(replicas).collect())
    }

    /// Checks replicas that a request names. All partitions of a topic have `factor` replicas, if it is known.
    pub(super) fn check_manual(&self, replicas: &[i32], factor: Option<usize>) -> Result<(), ApiError> {
        let refused = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        if replicas.is_empty() {
            return refused("The manual partition assignment includes an empty replica list.".to_owned());
        }
        let mut sorted = replicas.to_vec();
        sorted.sort_unstable();
        let mut last = None;
        for id in sorted {
            if last == Some(id) {
                return refused(format!("The manual partition assignment includes the broker {id} more than once."));
            }
            if !self.registered.contains(&NodeId(id)) {
                return refused(format!(
                    "The manual partition assignment includes broker {id}, but no such broker is registered."
                ));
            }
            if self.cordoned.contains(&NodeId(id)) {
                return refused(format!(
                    "The manual partition assignment includes broker {id}, but all its log directories are cordoned."
                ));
            }
            last = Some(id);
        }
        match factor.filter(|factor| *factor != replicas.len()) {
            Some(factor) => refused(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
                 with previous partitions, which have {factor} replica(s).",
                replicas.len()
            )),
            None => Ok(()),
        }
    }

    /// The record of a new partition on these brokers; those that are away are not in sync.
    pub(super) fn record(
        &mut self,
        topic_id: Uuid,
        partition_id: i32,
        replicas: &[NodeId],
    ) -> Result<PartitionRecord, ApiError> {
        let isr: Vec<i32> = replicas.iter().filter(|id| self.usable.contains(id)).map(|id| id.get()).collect();
        let Some(leader) = isr.first().copied() else {
            let message = format!(
                "All brokers specified in the manual partition assignment for partition {partition_id} are fenced or in \
                 controlled shutdown."
            );
            return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        };
        let mut directories = Vec::new();
        if let Some(all) = &mut self.directories {
            directories.extend(replicas.iter().map(|id| emptiest(all.get_mut(id))));
        }
        Ok(PartitionRecord {
            partition_id,
            topic_id,
            replicas: replicas.iter().map(|id| id.get()).collect(),
            isr,
            leader,
            leader_epoch: 0,
            partition_epoch: 0,
            directories,
            ..Default::default()
        })
    }
}

/// The directory with the fewest replicas, which gets one more; "unassigned" for a broker that has told none.
fn emptiest(directories: Option<&mut Vec<(Uuid, usize)>>) -> Uuid {
    let emptiest = directories.and_then(|directories| directories.iter_mut().min_by_key(|(_, replicas)| *replicas));
    match emptiest {
        Some((id, replicas)) => {
            *replicas += 1;
            *id
        }
        None => Uuid::METADATA_TOPIC,
    }
}

/// Whether no directory of a broker takes replicas (KIP-1066).
fn is_cordoned(broker: &RegisterBrokerRecord) -> bool {
    let cordoned = broker.cordoned_log_dirs.as_deref().unwrap_or_default();
    !cordoned.is_empty() && broker.log_dirs.iter().all(|directory| cordoned.contains(directory))
}

fn count_replicas(image: &MetadataImage) -> BTreeMap<NodeId, Vec<(Uuid, usize)>> {
    let mut counts: BTreeMap<NodeId, Vec<(Uuid, usize)>> = BTreeMap::new();
    for (id, broker) in image.brokers() {
        let cordoned = broker.cordoned_log_dirs.as_deref().unwrap_or_default();
        let open = broker.log_dirs.iter().filter(|directory| !cordoned.contains(directory));
        counts.insert(*id, open.map(|directory| (*directory, 0)).collect());
    }
    if counts.values().all(|directories| directories.len() < 2) {
        return counts;
    }
    for partition in image.topics().values().flat_map(|topic| topic.partitions.values()) {
        count_partition(&mut counts, partition);
    }
    counts
}

fn count_partition(counts: &mut BTreeMap<NodeId, Vec<(Uuid, usize)>>, partition: &PartitionImage) {
    for (id, directory) in partition.replicas.iter().zip(&partition.directories) {
        let counted = counts.get_mut(id).and_then(|all| all.iter_mut().find(|(known, _)| known == directory));
        if let Some((_, replicas)) = counted {
            *replicas += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(brokers: i32) -> Placement {
        let mut image = MetadataImage::default();
        for broker_id in 1..=brokers {
            let broker = RegisterBrokerRecord { broker_id, fenced: false, ..Default::default() };
            image.apply(&broker.into()).unwrap();
        }
        Placement::new(&image)
    }

    #[test]
    fn leaders_take_turns_and_no_broker_holds_a_partition_twice() {
        for brokers in 1..6 {
            for factor in 1..=brokers {
                let chosen = placement(brokers).choose(60, factor as usize).unwrap();
                let mut led = BTreeMap::new();
                for replicas in &chosen {
                    let mut distinct = replicas.clone();
                    distinct.sort();
                    distinct.dedup();
                    assert_eq!(distinct.len(), factor as usize, "{replicas:?}");
                    *led.entry(replicas[0]).or_insert(0) += 1;
                }
                assert!(led.values().all(|count| *count == 60 / brokers), "{led:?}");
            }
        }
    }

    #[test]
    fn more_replicas_than_brokers_are_refused() {
        let error = placement(1).choose(1, 2).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidReplicationFactor);
        assert!(error.message.unwrap().contains("only 1 broker(s) are registered"));
    }

    #[test]
    fn the_emptiest_directory_is_taken() {
        let mut placement = placement(1);
        let (one, two) = (Uuid([1; 16]), Uuid([2; 16]));
        placement.directories = Some([(NodeId(1), vec![(one, 5), (two, 4)])].into());
        let mut next = || placement.record(Uuid::ZERO, 0, &[NodeId(1)]).unwrap().directories[0];
        assert_eq!([next(), next(), next()], [two, one, two]);
    }
}
