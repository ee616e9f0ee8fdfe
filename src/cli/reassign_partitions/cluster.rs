//! What `reassign-partitions` asks of a cluster: where replicas are, and in which directories.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::Replica;
use crate::cli::support::JavaError;
use crate::client::admin::{ClusterDescription, Reassignment};
use crate::client::{Admin, ClientError};
use crate::protocol::ErrorCode;
use crate::types::{NodeId, TopicPartition};

pub(super) type Replicas = BTreeMap<TopicPartition, Vec<NodeId>>;

const EXECUTION: &str = "java.util.concurrent.ExecutionException";

/// A call that failed, as the future that Kafka's tool waits on tells it.
pub(super) fn called(call: &'static str) -> impl Fn(ClientError) -> JavaError {
    move |error| JavaError::call(call, &error).wrapped_in(EXECUTION)
}

fn unknown(message: String) -> JavaError {
    JavaError::code(ErrorCode::UnknownTopicOrPartition, message).wrapped_in(EXECUTION)
}

pub(super) async fn describe(admin: &Admin) -> Result<ClusterDescription, JavaError> {
    admin.describe_cluster(false).await.map_err(called("listNodes"))
}

/// The replicas of the partitions of topics; `None` for topics that don't exist.
pub(super) async fn replicas_of_topics(
    admin: &Admin,
    topics: &[String],
) -> Result<BTreeMap<String, Option<Replicas>>, JavaError> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let described = admin.describe_topics(topics, 2000).await.map_err(called("describeTopics"))?;
    let mut found = BTreeMap::new();
    for (name, description) in described {
        let replicas = match description {
            Ok(description) => Some(
                description
                    .partitions
                    .into_iter()
                    .map(|partition| {
                        (TopicPartition { topic: name.clone(), partition: partition.id }, partition.replicas)
                    })
                    .collect(),
            ),
            Err(error) if error.code == ErrorCode::UnknownTopicOrPartition => None,
            Err(error) => return Err(JavaError::api(&error).wrapped_in(EXECUTION)),
        };
        found.insert(name, replicas);
    }
    Ok(found)
}

/// As [`replicas_of_topics`], where all have to exist.
pub(super) async fn existing_replicas(admin: &Admin, topics: &[String]) -> Result<Replicas, JavaError> {
    let mut all = Replicas::new();
    for (name, replicas) in replicas_of_topics(admin, topics).await? {
        all.extend(replicas.ok_or_else(|| unknown(format!("Topic {name} not found.")))?);
    }
    Ok(all)
}

/// The replicas of partitions, which all have to exist.
pub(super) async fn replicas_of(
    admin: &Admin,
    topics: &[String],
    partitions: &[TopicPartition],
) -> Result<Replicas, JavaError> {
    let mut all = existing_replicas(admin, topics).await?;
    all.retain(|partition, _| partitions.contains(partition));
    let missing: Vec<_> =
        partitions.iter().filter(|partition| !all.contains_key(partition)).map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(all);
    }
    Err(unknown(format!("Unable to find partition: {}", missing.join(", "))))
}

pub(super) async fn reassignments(
    admin: &Admin,
    partitions: Option<&[TopicPartition]>,
) -> Result<BTreeMap<TopicPartition, Reassignment>, JavaError> {
    admin.list_reassignments(partitions).await.map_err(called("listPartitionReassignments"))
}

/// Where a replica is, and where it is being moved to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) current: Option<String>,
    pub(super) future: Option<String>,
}

/// The directories of replicas. A replica of a broker that does not answer is left out.
pub(super) async fn places(admin: &Admin, replicas: &BTreeSet<Replica>) -> Result<BTreeMap<Replica, Place>, JavaError> {
    let brokers: BTreeSet<NodeId> = replicas.iter().map(|(_, broker)| *broker).collect();
    let mut partitions: Vec<_> = replicas.iter().map(|(partition, _)| partition.clone()).collect();
    partitions.sort();
    partitions.dedup();
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let brokers: Vec<_> = brokers.into_iter().collect();
    let described =
        admin.describe_log_dirs(Some(&brokers), Some(&partitions)).await.map_err(called("describeReplicaLogDirs"))?;
    let mut found = BTreeMap::new();
    for (broker, dirs) in described {
        let dirs = dirs.map_err(called("describeReplicaLogDirs"))?;
        for replica in replicas.iter().filter(|(_, of)| *of == broker) {
            found.entry(replica.clone()).or_insert_with(Place::default);
        }
        for dir in dirs {
            for replica in dir.replicas {
                let Some(place) = found.get_mut(&(replica.partition, broker)) else { continue };
                let slot = if replica.is_future { &mut place.future } else { &mut place.current };
                *slot = Some(dir.path.clone());
            }
        }
    }
    Ok(found)
}

/// The directories that replicas are in, of the brokers that are there.
pub(super) async fn current_dirs(
    admin: &Admin,
    replicas: &Replicas,
    cluster: &ClusterDescription,
) -> Result<BTreeMap<Replica, String>, JavaError> {
    let live: BTreeSet<NodeId> = cluster.nodes.iter().map(|node| node.id).collect();
    let wanted = replicas
        .iter()
        .flat_map(|(partition, ids)| ids.iter().map(move |id| (partition.clone(), *id)))
        .filter(|(_, id)| live.contains(id))
        .collect();
    let places = places(admin, &wanted).await?;
    Ok(places.into_iter().filter_map(|(replica, place)| Some((replica, place.current?))).collect())
}
