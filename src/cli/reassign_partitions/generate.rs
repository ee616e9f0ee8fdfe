//! `reassign-partitions --generate`: where the partitions of topics could be.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::ReassignPartitions;
use super::cluster::{Replicas, current_dirs, describe, existing_replicas};
use super::plan::{FAILED, OPERATION, assignment_json, assignment_text, broker_list, duplicates, ids, topics_to_move};
use crate::cli::support::{JavaError, Output, Style, java_json};
use crate::client::Admin;
use crate::client::admin::ClusterNode;
use crate::protocol::ErrorCode;
use crate::types::{NodeId, PartitionId, TopicPartition};

pub(super) async fn run(args: &ReassignPartitions, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
    let file = args.topics_to_move_json_file.as_deref().unwrap_or(Path::new(""));
    let text = super::read(file)?;
    let brokers = broker_list(args.broker_list.as_deref().unwrap_or_default())?;
    let twice: Vec<NodeId> = duplicates(brokers.iter()).into_iter().copied().collect();
    if !twice.is_empty() {
        let message = format!("Broker list contains duplicate entries: [{}]", ids(&twice, ", "));
        return Err(JavaError::new(FAILED, message).into());
    }
    let place = file.display().to_string();
    let topics = topics_to_move(&text, &place).map_err(|error| java_json::at(&place, error))?;
    let twice: Vec<&str> = duplicates(topics.iter()).into_iter().map(String::as_str).collect();
    if !twice.is_empty() {
        let message = format!("List of topics to reassign contains duplicate entries: [{}]", twice.join(", "));
        return Err(JavaError::new(FAILED, message).into());
    }
    let current = existing_replicas(admin, &topics).await?;
    let cluster = describe(admin).await?;
    let dirs = current_dirs(admin, &current, &cluster).await?;
    let racks = racks(&cluster.nodes, &brokers, !args.disable_rack_aware)?;
    let proposed = proposed(&current, &racks, &mut |below| fastrand::usize(..below.max(1)))?;
    let nowhere = BTreeMap::new();
    if out.style() == Style::Json {
        return Ok(out.json(&json!({
            "version": 1,
            "current": assignment_json(&current, &dirs),
            "proposed": assignment_json(&proposed, &nowhere),
        }))?);
    }
    out.line("Current partition replica assignment")?;
    out.line(assignment_text(&current, &dirs))?;
    out.line("")?;
    out.line("Proposed partition reassignment configuration")?;
    out.line(assignment_text(&proposed, &nowhere))?;
    Ok(())
}

/// The brokers by rack; without racks all are in one.
fn racks(nodes: &[ClusterNode], wanted: &[NodeId], by_rack: bool) -> Result<Vec<Vec<NodeId>>, JavaError> {
    let usable: Vec<_> = nodes.iter().filter(|node| wanted.contains(&node.id)).collect();
    let without = usable.iter().filter(|node| node.rack.is_none()).count();
    if by_rack && without != 0 && without != usable.len() {
        return Err(JavaError::new(
            OPERATION,
            "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica assignment \
             without rack information.",
        ));
    }
    let mut racks: BTreeMap<Option<&str>, Vec<NodeId>> = BTreeMap::new();
    for node in usable {
        let rack = node.rack.as_deref().filter(|_| by_rack);
        racks.entry(rack).or_default().push(node.id);
    }
    Ok(racks.into_values().collect())
}

fn proposed(
    current: &Replicas,
    racks: &[Vec<NodeId>],
    random: &mut dyn FnMut(usize) -> usize,
) -> Result<Replicas, JavaError> {
    let mut by_topic: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (partition, replicas) in current {
        let (partitions, _) = by_topic.entry(&partition.topic).or_insert((0, replicas.len()));
        *partitions += 1;
    }
    let mut proposed = Replicas::new();
    for (topic, (partitions, factor)) in by_topic {
        let placed = place(racks, partitions, factor, random)?;
        for (index, replicas) in (0..).zip(placed) {
            proposed.insert(TopicPartition { topic: topic.to_owned(), partition: PartitionId(index) }, replicas);
        }
    }
    Ok(proposed)
}

/// Replicas striped over racks, and over the brokers of each: leaders rotate over racks first, so that each broker leads as
/// many partitions as the racks allow, and a partition's replicas share a rack only where there are more of them than racks.
fn place(
    racks: &[Vec<NodeId>],
    partitions: usize,
    factor: usize,
    random: &mut dyn FnMut(usize) -> usize,
) -> Result<Vec<Vec<NodeId>>, JavaError> {
    let refused = |message: String| Err(JavaError::code(ErrorCode::InvalidReplicationFactor, message));
    let brokers: usize = racks.iter().map(Vec::len).sum();
    if brokers == 0 {
        return refused("All brokers are currently fenced, or have all their log directories cordoned.".to_owned());
    }
    if factor > brokers {
        return refused(format!(
            "The target replication factor of {factor} cannot be reached because only {brokers} broker(s) are registered or \
             some brokers have all their log directories cordoned."
        ));
    }
    let racks: Vec<Vec<NodeId>> = racks
        .iter()
        .map(|rack| {
            let mut rack = rack.clone();
            for at in (1..rack.len()).rev() {
                rack.swap(at, random(at + 1));
            }
            rack
        })
        .collect();
    let first = random(racks.len());
    let placed = (0..partitions).map(|partition| {
        let turn = partition / racks.len();
        let mut replicas = Vec::with_capacity(factor);
        // Each round takes one more broker of each rack.
        for round in 0.. {
            for step in 0..racks.len() {
                let Some(rack) = racks.get((first + partition + step) % racks.len()) else { continue };
                if replicas.len() < factor && round < rack.len() {
                    replicas.extend(rack.get((turn + round) % rack.len()).copied());
                }
            }
            if replicas.len() >= factor || round >= brokers {
                break;
            }
        }
        replicas
    });
    Ok(placed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[i32]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn placed(racks: &[&[i32]], partitions: usize, factor: usize) -> Result<Vec<Vec<NodeId>>, String> {
        let racks: Vec<_> = racks.iter().map(|rack| nodes(rack)).collect();
        place(&racks, partitions, factor, &mut |below| fastrand::usize(..below)).map_err(|error| error.to_string())
    }

    fn count(placed: &[Vec<NodeId>], id: i32, only_leaders: bool) -> usize {
        let take = if only_leaders { 1 } else { usize::MAX };
        placed.iter().flat_map(|replicas| replicas.iter().take(take)).filter(|node| node.get() == id).count()
    }

    #[test]
    fn replicas_and_leaders_are_spread_evenly() {
        for _ in 0..20 {
            let found = placed(&[&[1, 2, 3]], 6, 2).unwrap();
            for id in 1..=3 {
                assert_eq!((count(&found, id, true), count(&found, id, false)), (2, 4), "{found:?}");
            }
            let found = placed(&[&[1, 2], &[3, 4]], 8, 2).unwrap();
            for id in 1..=4 {
                assert_eq!((count(&found, id, true), count(&found, id, false)), (2, 4), "{found:?}");
            }
        }
    }

    #[test]
    fn no_partition_has_a_broker_twice_and_racks_are_shared_last() {
        for _ in 0..20 {
            for replicas in placed(&[&[1, 2, 3], &[4]], 7, 3).unwrap() {
                assert_eq!(duplicates(replicas.iter()).len(), 0, "{replicas:?}");
                assert_eq!(replicas.len(), 3);
                assert!(replicas.contains(&NodeId(4)), "{replicas:?}");
            }
        }
    }

    #[test]
    fn what_can_not_be_is_told_in_kafkas_words() {
        assert_eq!(
            placed(&[], 1, 1).unwrap_err(),
            "All brokers are currently fenced, or have all their log directories cordoned."
        );
        assert!(placed(&[&[1]], 1, 2).unwrap_err().starts_with("The target replication factor of 2 cannot be reached"));
        let node = |id, rack: Option<&str>| ClusterNode {
            id: NodeId(id),
            address: crate::client::Address::new("h", 1),
            rack: rack.map(str::to_owned),
            is_fenced: false,
        };
        let mixed = [node(1, Some("a")), node(2, None)];
        let both = nodes(&[1, 2]);
        assert!(
            racks(&mixed, &both, true).unwrap_err().to_string().starts_with("Not all brokers have rack information.")
        );
        assert_eq!(racks(&mixed, &both, false).unwrap(), [nodes(&[1, 2])]);
        assert_eq!(racks(&mixed, &nodes(&[1]), true).unwrap(), [nodes(&[1])]);
    }
}
