//! `streams-groups --describe`: what is known of groups. How it is shown is in `print.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::print::{Described, Row};
use super::{StreamsGroups, TOOL};
use crate::cli::support::groups::{Part, execution, print_described, unexpected};
use crate::cli::support::reset::partitions::offsets;
use crate::cli::support::{Exit, JavaError, Output, Style, java};
use crate::client::Admin;
use crate::client::admin::{GroupOffset, OffsetSpec, StreamsGroupDescription};
use crate::types::TopicPartition;

pub(super) async fn run(args: &StreamsGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let part = args.describe_options().part();
    let mut groups = args.groups(admin).await?;
    if args.all_groups && out.style() == Style::Kafka {
        java::in_hash_map_order(&mut groups, |group| group);
    }
    let mut described = Vec::with_capacity(groups.len());
    for group in &groups {
        let description = describe(group, admin).await.map_err(execution)?;
        let rows = match part {
            Part::Offsets => rows(&description, admin).await?,
            Part::Members | Part::State => Vec::new(),
        };
        described.push(Described { description, rows });
    }
    print_described(&described, part, args.verbose, out)?;
    Ok(Exit::Success)
}

/// Describes a streams group.
pub(super) async fn describe(group: &str, admin: &Admin) -> Result<StreamsGroupDescription, JavaError> {
    match admin.describe_streams_group(group).await {
        Ok(description) => Ok(description),
        Err(error) => Err(TOOL.not_described(group, &error, admin).await),
    }
}

/// The offsets that a group has committed in these topics.
pub(super) async fn committed(
    group: &str,
    topics: &BTreeSet<&str>,
    admin: &Admin,
) -> Result<BTreeMap<TopicPartition, GroupOffset>, JavaError> {
    let offsets = admin.group_offsets(group, None).await;
    let offsets = offsets.map_err(|error| unexpected(JavaError::call("listStreamsGroupOffsets", &error)))?;
    offsets
        .into_iter()
        .filter(|(partition, _)| topics.contains(partition.topic.as_str()))
        .map(|(partition, offset)| Ok((partition, offset.map_err(|error| unexpected(JavaError::api(&error)))?)))
        .collect()
}

/// The topics that others write and the group reads.
pub(super) fn input_topics(description: &StreamsGroupDescription) -> BTreeSet<&str> {
    description.subtopologies.iter().flat_map(|part| &part.source_topics).map(String::as_str).collect()
}

/// Where the group is in the partitions that its members process.
async fn rows(description: &StreamsGroupDescription, admin: &Admin) -> anyhow::Result<Vec<Row>> {
    let read = |id: &str| {
        let part = description.subtopologies.iter().find(|part| part.id == id);
        part.map(|part| part.source_topics.iter().chain(&part.repartition_source_topics))
            .ok_or_else(|| JavaError::illegal_argument(format!("Subtopology {id} not found in group description!")))
    };
    let mut partitions: BTreeSet<TopicPartition> = BTreeSet::new();
    for (id, tasks) in description.members.iter().flat_map(|member| &member.tasks.active) {
        for topic in read(id)? {
            partitions.extend(tasks.iter().map(|task| TopicPartition::new(topic.as_str(), *task)));
        }
    }
    let mut partitions: Vec<TopicPartition> = partitions.into_iter().collect();
    java::in_partition_hash_map_order(&mut partitions, |partition| partition);
    let starts = offsets(&partitions, OffsetSpec::Earliest, admin).await.map_err(execution)?;
    let starts: BTreeMap<_, _> = starts.into_iter().collect();
    let ends = offsets(&partitions, OffsetSpec::Latest, admin).await.map_err(execution)?;
    let ends: BTreeMap<_, _> = ends.into_iter().collect();
    let parts = &description.subtopologies;
    let topics = parts.iter().flat_map(|part| part.source_topics.iter().chain(&part.repartition_source_topics));
    let committed = committed(&description.group_id, &topics.map(String::as_str).collect(), admin).await?;
    let row = |partition: TopicPartition| {
        let end = ends.get(&partition).copied().unwrap_or_default();
        let offset = committed.get(&partition);
        let from = offset.map(|offset| offset.offset.get()).or_else(|| starts.get(&partition).copied());
        Row {
            offset: offset.map(|offset| offset.offset.get()),
            leader_epoch: offset.map(|offset| offset.leader_epoch.get()).filter(|epoch| *epoch >= 0),
            end,
            lag: end - from.unwrap_or_default(),
            partition,
        }
    };
    Ok(partitions.into_iter().map(row).collect())
}
