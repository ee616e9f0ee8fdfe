//! `consumer-groups --describe`: what is known of groups. How it is shown is in `print.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::print::{Described, Row};
use super::{ConsumerGroups, TOOL};
use crate::cli::support::groups::{Part, execution, print_described, unexpected};
use crate::cli::support::reset::partitions::{describe_topics, log_offsets};
use crate::cli::support::{Exit, JavaError, Output};
use crate::client::Admin;
use crate::client::admin::{DescribedMember, GroupDescription, GroupOffset, OffsetSpec};
use crate::types::TopicPartition;

pub(super) async fn run(args: &ConsumerGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let part = args.describe_options().part();
    let mut groups = args.groups(admin).await?;
    groups.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
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

/// Describes a group of consumers.
pub(super) async fn describe(group: &str, admin: &Admin) -> Result<GroupDescription, JavaError> {
    match admin.describe_group(group).await {
        Ok(description) if matches!(description.protocol_type.as_str(), "consumer" | "") => Ok(description),
        Ok(description) => Err(JavaError::illegal_argument(format!(
            "GroupId {group} is not a consumer group ({}).",
            description.protocol_type
        ))),
        Err(error) => Err(TOOL.not_described(group, &error, admin).await),
    }
}

/// The offsets that a group has committed.
pub(super) async fn committed(group: &str, admin: &Admin) -> Result<BTreeMap<TopicPartition, GroupOffset>, JavaError> {
    let offsets = admin.group_offsets(group, None).await;
    let offsets = offsets.map_err(|error| unexpected(JavaError::call("listConsumerGroupOffsets", &error)))?;
    offsets
        .into_iter()
        .map(|(partition, offset)| Ok((partition, offset.map_err(|error| unexpected(JavaError::api(&error)))?)))
        .collect()
}

/// A row for each partition that a member has, and for each other one that has an offset.
async fn rows(description: &GroupDescription, admin: &Admin) -> anyhow::Result<Vec<Row>> {
    let committed = committed(&description.group_id, admin).await?;
    let mut members: Vec<&DescribedMember> =
        description.members.iter().filter(|member| !member.assignment.is_empty()).collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.assignment.len()));
    let assigned: BTreeSet<&TopicPartition> = members.iter().flat_map(|member| &member.assignment).collect();
    let unassigned: Vec<TopicPartition> = committed.keys().filter(|p| !assigned.contains(p)).cloned().collect();

    let all: BTreeSet<TopicPartition> = assigned.iter().copied().chain(&unassigned).cloned().collect();
    let ends = ends(all, admin).await?;
    let row = |partition: &TopicPartition, member: Option<&DescribedMember>| {
        let offset = committed.get(partition);
        let end = ends.get(partition).copied();
        Row {
            partition: partition.clone(),
            offset: offset.map(|offset| offset.offset.get()),
            leader_epoch: offset.map(|offset| offset.leader_epoch.get()).filter(|epoch| *epoch >= 0),
            end,
            member: member.cloned(),
        }
    };
    let mut rows = Vec::new();
    for member in members {
        let mut partitions: Vec<_> = member.assignment.iter().collect();
        partitions.sort();
        rows.extend(partitions.into_iter().map(|partition| row(partition, Some(member))));
    }
    rows.extend(unassigned.iter().map(|partition| row(partition, None)));
    Ok(rows)
}

/// Where the partitions end; those that have no leader, or are gone, are left out.
async fn ends(partitions: BTreeSet<TopicPartition>, admin: &Admin) -> anyhow::Result<BTreeMap<TopicPartition, i64>> {
    let topics: BTreeSet<String> = partitions.iter().map(|partition| partition.topic.clone()).collect();
    let topics: Vec<String> = topics.into_iter().collect();
    let mut led = BTreeSet::new();
    for (name, topic) in describe_topics(&topics, admin).await? {
        let partitions = topic.map(|topic| topic.partitions).unwrap_or_default();
        let with_leader = partitions.into_iter().filter(|partition| partition.leader.is_some());
        led.extend(with_leader.map(|partition| TopicPartition::new(name.as_str(), partition.id)));
    }
    let asked: Vec<TopicPartition> = partitions.into_iter().filter(|partition| led.contains(partition)).collect();
    Ok(log_offsets(&asked, OffsetSpec::Latest, admin).await?.into_iter().collect())
}
