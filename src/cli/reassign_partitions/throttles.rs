//! Throttles: how much of a broker's network and disks a move may take. They are settings of brokers and topics.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{Replicas, called};
use super::plan::{Plan, ids};
use crate::cli::support::{JavaError, Output, Style, java};
use crate::client::Admin;
use crate::client::admin::{AlterConfig, ConfigChange, ConfigResource, Reassignment};
use crate::types::{NodeId, TopicPartition};

/// Settings of brokers: bytes per second.
const BROKER_RATES: [&str; 2] = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];
const LOG_DIRS_RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";
/// Settings of topics: which replicas are slowed down.
const LEADERS: &str = "leader.replication.throttled.replicas";
const FOLLOWERS: &str = "follower.replication.throttled.replicas";

/// From where to where a partition goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Move {
    sources: BTreeSet<NodeId>,
    destinations: BTreeSet<NodeId>,
}

type Moves = BTreeMap<TopicPartition, Move>;

/// Everything that will be moving: what is already, and what the plan adds.
fn moves(ongoing: &BTreeMap<TopicPartition, Reassignment>, plan: &Plan, current: &Replicas) -> Moves {
    let mut moves = Moves::new();
    for (partition, reassignment) in ongoing {
        let destinations: BTreeSet<_> = reassignment.adding.iter().copied().collect();
        let sources = reassignment.replicas.iter().copied().filter(|id| !destinations.contains(id)).collect();
        moves.insert(partition.clone(), Move { sources, destinations });
    }
    for (partition, replicas) in &plan.partitions {
        let sources = match moves.remove(partition) {
            Some(ongoing) => ongoing.sources,
            None => current.get(partition).into_iter().flatten().copied().collect(),
        };
        let destinations = replicas.iter().copied().filter(|id| !sources.contains(id)).collect();
        moves.insert(partition.clone(), Move { sources, destinations });
    }
    moves
}

/// `partition:broker,...` by topic, in the order of text, as Kafka's tool has it.
fn throttled(moves: &Moves, side: impl Fn(&Move) -> &BTreeSet<NodeId>) -> BTreeMap<String, String> {
    let mut parts: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (partition, moving) in moves {
        let of_topic = parts.entry(&partition.topic).or_default();
        of_topic.extend(side(moving).iter().map(|broker| format!("{}:{broker}", partition.partition)));
    }
    let joined = |parts: BTreeSet<String>| parts.into_iter().collect::<Vec<_>>().join(",");
    parts.into_iter().map(|(topic, parts)| (topic.to_owned(), joined(parts))).collect()
}

type Changes = Vec<(ConfigResource, Vec<AlterConfig>)>;

fn set(name: &str, value: impl Into<String>) -> AlterConfig {
    AlterConfig { name: name.to_owned(), change: ConfigChange::Set(value.into()) }
}

fn delete(name: &str) -> AlterConfig {
    AlterConfig { name: name.to_owned(), change: ConfigChange::Delete }
}

async fn apply(admin: &Admin, changes: &Changes) -> Result<(), JavaError> {
    if changes.is_empty() {
        return Ok(());
    }
    let results = admin.alter_configs(changes, false).await.map_err(called("incrementalAlterConfigs"))?;
    for (_, result) in results {
        result.map_err(|error| JavaError::api(&error).wrapped_in("java.util.concurrent.ExecutionException"))?;
    }
    Ok(())
}

/// Limits what moves between brokers.
pub(super) async fn limit_moves(
    rate: i64,
    ongoing: &BTreeMap<TopicPartition, Reassignment>,
    plan: &Plan,
    current: &Replicas,
    admin: &Admin,
) -> Result<(), JavaError> {
    let moves = moves(ongoing, plan, current);
    let followers = throttled(&moves, |moving| &moving.destinations);
    let mut changes = Changes::new();
    for (topic, leaders) in throttled(&moves, |moving| &moving.sources) {
        let followers = followers.get(&topic).cloned().unwrap_or_default();
        changes.push((ConfigResource::topic(topic), vec![set(LEADERS, leaders), set(FOLLOWERS, followers)]));
    }
    apply(admin, &changes).await?;
    let brokers: BTreeSet<NodeId> =
        moves.values().flat_map(|moving| moving.sources.union(&moving.destinations)).copied().collect();
    let rates = |broker: NodeId| {
        (ConfigResource::broker(broker), BROKER_RATES.iter().map(|key| set(key, rate.to_string())).collect())
    };
    apply(admin, &brokers.into_iter().map(rates).collect()).await
}

/// Limits what moves between directories.
pub(super) async fn limit_log_dirs(rate: i64, plan: &Plan, admin: &Admin) -> Result<(), JavaError> {
    let brokers: BTreeSet<NodeId> = plan.log_dirs.keys().map(|(_, broker)| *broker).collect();
    let limit = |broker: NodeId| (ConfigResource::broker(broker), vec![set(LOG_DIRS_RATE, rate.to_string())]);
    apply(admin, &brokers.into_iter().map(limit).collect()).await
}

/// Takes all of these limits away: from all brokers, since nobody knows any more where some were set.
pub(super) async fn clear(plan: &Plan, admin: &Admin, out: &mut Output) -> Result<(), anyhow::Error> {
    let cluster = super::cluster::describe(admin).await?;
    let mut brokers: Vec<NodeId> = cluster.nodes.iter().map(|node| node.id).collect();
    brokers.extend(plan.partitions.iter().flat_map(|(_, replicas)| replicas));
    brokers.sort_unstable();
    brokers.dedup();
    java::in_number_hash_map_order(&mut brokers, |id| id.get());
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let tells = out.style() == Style::Kafka;
    if tells {
        out.line(format_args!(
            "Clearing broker-level throttles on broker{} {}",
            plural(brokers.len()),
            ids(&brokers, ",")
        ))?;
    }
    let all = |broker: &NodeId| {
        let keys = BROKER_RATES.iter().copied().chain([LOG_DIRS_RATE]);
        (ConfigResource::broker(*broker), keys.map(delete).collect())
    };
    apply(admin, &brokers.iter().map(all).collect()).await?;
    let mut topics = plan.topics();
    java::in_hash_map_order(&mut topics, |topic| topic);
    if tells {
        out.line(format_args!("Clearing topic-level throttles on topic{} {}", plural(topics.len()), topics.join(",")))?;
    }
    let all = |topic: &String| (ConfigResource::topic(topic.as_str()), vec![delete(LEADERS), delete(FOLLOWERS)]);
    apply(admin, &topics.iter().map(all).collect()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_slowed_down() {
        let partition = |index| TopicPartition::new("t", index);
        let node = |ids: &[i32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let plan = Plan {
            partitions: vec![(partition(0), node(&[2, 3])), (partition(10), node(&[1]))],
            log_dirs: BTreeMap::new(),
        };
        let current = Replicas::from([(partition(0), node(&[1, 2])), (partition(10), node(&[2]))]);
        // This one is on its way from 4 to 5, and its plan of now is another: it comes from 4 all the same.
        let ongoing = BTreeMap::from([(
            partition(2),
            Reassignment { replicas: node(&[4, 5]), adding: node(&[5]), removing: node(&[4]) },
        )]);
        let moves = moves(&ongoing, &plan, &current);
        let leaders = throttled(&moves, |moving| &moving.sources);
        let followers = throttled(&moves, |moving| &moving.destinations);
        assert_eq!(leaders, [("t".to_owned(), "0:1,0:2,10:2,2:4".to_owned())].into());
        assert_eq!(followers, [("t".to_owned(), "0:3,10:1,2:5".to_owned())].into());
    }
}
