//! Which partitions are meant, whether they are there, and where their logs begin and end.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::support::groups::unexpected;
use crate::cli::support::{JavaError, UsageError, did_you_mean, java};
use crate::client::admin::{OffsetSpec, TopicDescription};
use crate::client::{Admin, ApiError};
use crate::config::IsolationLevel;
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

/// How many partitions are asked for at a time.
const PAGE: i32 = 2000;

/// What each topic is, or why that is not known.
pub(crate) async fn describe_topics(
    names: &[String],
    admin: &Admin,
) -> Result<Vec<(String, Result<TopicDescription, JavaError>)>, JavaError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let described = admin.describe_topics(names, PAGE).await.map_err(|e| JavaError::call("describeTopics", &e))?;
    let mut topics = Vec::with_capacity(described.len());
    for (name, topic) in described {
        let topic = match topic {
            Err(error) if error.code == ErrorCode::UnknownTopicOrPartition => Err(unknown(&name, admin).await),
            topic => topic.map_err(|error| JavaError::api(&error)),
        };
        topics.push((name, topic));
    }
    Ok(topics)
}

/// The topic is not there; perhaps one of nearly that name is.
async fn unknown(name: &str, admin: &Admin) -> JavaError {
    let topics = admin.list_topics().await.unwrap_or_default();
    JavaError::api(&ApiError::from(ErrorCode::UnknownTopicOrPartition))
        .with_plain(format!("there is no topic {name}"))
        .with_hint(did_you_mean(name, topics.iter().map(|topic| topic.name.as_str())))
}

/// The partitions that `--topic` means: `topic:0,1`, or all of a topic.
pub(crate) async fn meant(args: &[String], admin: &Admin) -> anyhow::Result<Vec<TopicPartition>> {
    let (with_partitions, whole): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| arg.contains(':'));
    let mut partitions = Vec::new();
    for arg in with_partitions {
        partitions.extend(listed_in(arg)?);
    }
    let whole: BTreeSet<String> = whole.into_iter().cloned().collect();
    let whole: Vec<String> = whole.into_iter().collect();
    let mut topics = describe_topics(&whole, admin).await?;
    java::in_sized_hash_map_order(&mut topics, |(name, _)| name);
    for (name, topic) in topics {
        partitions.extend(topic?.partitions.iter().map(|p| TopicPartition::new(name.as_str(), p.id)));
    }
    Ok(distinct(partitions))
}

fn distinct(partitions: Vec<TopicPartition>) -> Vec<TopicPartition> {
    let mut seen = BTreeSet::new();
    partitions.into_iter().filter(|partition| seen.insert(partition.clone())).collect()
}

/// The partitions of `topic:0,1`.
pub(crate) fn listed_in(arg: &str) -> anyhow::Result<Vec<TopicPartition>> {
    let mut pieces = arg.trim_end_matches(':').split(':');
    let (Some(topic), Some(ids), None) = (pieces.next(), pieces.next(), pieces.next()) else {
        return Err(UsageError::because(format!("Invalid topic arg '{arg}', expected topic name and partitions")));
    };
    let partition = |id: &str| match id.parse::<i32>() {
        Ok(id) => Ok(TopicPartition::new(topic, id)),
        // Two quotes at the end, as Kafka has them.
        Err(_) => Err(UsageError::because(format!("Invalid partition '{id}' specified in topic arg '{arg}''"))),
    };
    ids.split(',').map(partition).collect()
}

/// Checks that all partitions are there and have a leader.
pub(crate) async fn check_exist(partitions: &[TopicPartition], admin: &Admin) -> Result<(), JavaError> {
    let topics: BTreeSet<String> = partitions.iter().map(|partition| partition.topic.clone()).collect();
    let topics: Vec<String> = topics.into_iter().collect();
    let mut leaders = BTreeMap::new();
    for (name, topic) in describe_topics(&topics, admin).await? {
        for partition in topic.map_err(unexpected)?.partitions {
            leaders.insert(TopicPartition::new(name.as_str(), partition.id), partition.leader);
        }
    }
    let names = |wanted: &dyn Fn(&TopicPartition) -> bool| {
        let names: Vec<_> = partitions.iter().filter(|p| wanted(p)).map(ToString::to_string).collect();
        (!names.is_empty()).then(|| names.join(","))
    };
    if let Some(names) = names(&|partition| !leaders.contains_key(partition)) {
        let class = java::exception_class(ErrorCode::UnknownTopicOrPartition);
        return Err(JavaError::new(class, format!("The partitions \"{names}\" do not exist")));
    }
    if let Some(names) = names(&|partition| leaders.get(partition).is_some_and(Option::is_none)) {
        let class = java::exception_class(ErrorCode::LeaderNotAvailable);
        return Err(JavaError::new(class, format!("The partitions \"{names}\" have no leader")));
    }
    Ok(())
}

/// An offset of each partition, in the same order; none where no record is as asked.
pub(super) async fn listed(
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    admin: &Admin,
) -> Result<Vec<(TopicPartition, Option<i64>)>, JavaError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let mut found = admin.list_offsets(wanted, IsolationLevel::ReadUncommitted).await;
    let mut offsets = Vec::with_capacity(partitions.len());
    for partition in partitions {
        if let Some(listed) = found.remove(partition) {
            let listed = listed.map_err(|error| JavaError::call("listOffsets", &error))?;
            offsets.push((partition.clone(), listed.offset.map(crate::types::Offset::get)));
        }
    }
    Ok(offsets)
}

/// The same without the partitions that have no such record.
pub(crate) async fn offsets(
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    admin: &Admin,
) -> Result<Vec<(TopicPartition, i64)>, JavaError> {
    let listed = listed(partitions, spec, admin).await?;
    Ok(listed.into_iter().filter_map(|(partition, offset)| Some((partition, offset?))).collect())
}

/// Where the partitions begin or end.
pub(crate) async fn log_offsets(
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    admin: &Admin,
) -> Result<Vec<(TopicPartition, i64)>, JavaError> {
    offsets(partitions, spec, admin).await.map_err(unexpected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic() {
        let names = |arg: &str| {
            let listed = listed_in(arg).map_err(|error| error.to_string())?;
            Ok::<_, String>(listed.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(names("g3:0,2").unwrap(), "g3-0 g3-2");
        assert_eq!(names("g1:x").unwrap_err(), "Invalid partition 'x' specified in topic arg 'g1:x''");
        assert_eq!(names("a:1:2").unwrap_err(), "Invalid topic arg 'a:1:2', expected topic name and partitions");
        assert_eq!(names("a:").unwrap_err(), "Invalid topic arg 'a:', expected topic name and partitions");
    }
}
