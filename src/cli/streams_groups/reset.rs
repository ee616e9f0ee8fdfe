//! `streams-groups --reset-offsets`.
//!
//! All new offsets are worked out before the first is set, and internal topics go last.

use std::collections::BTreeMap;

use super::StreamsGroups;
use super::delete::{delete_topics, internal_topics};
use super::describe::{committed, describe, input_topics};
use crate::cli::support::groups::{execution, unexpected};
use crate::cli::support::reset::partitions::{check_exist, meant};
use crate::cli::support::reset::plan_file::{self, Planned};
use crate::cli::support::reset::{self, GroupReset, Scenario, ScenarioArgs, within_log};
use crate::cli::support::{Column, Exit, JavaError, Output, Style, UsageError, confirm_unless, in_columns, java};
use crate::client::Admin;
use crate::client::admin::GroupOffset;
use crate::protocol::ErrorCode;
use crate::types::{Offset, TopicPartition};

pub(super) async fn run(args: &StreamsGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let mut groups = args.groups(admin).await?;
    java::in_hash_map_order(&mut groups, |group| group);
    let mut resets = Vec::with_capacity(groups.len());
    let mut topics = Vec::new();
    let mut all_fit = true;
    for group in groups {
        let mut reset = GroupReset { group: group.clone(), ..GroupReset::default() };
        match state(&group, admin).await? {
            state if matches!(state.as_str(), "Empty" | "Dead" | "") => {
                match work_out(args, &group, admin, out).await? {
                    Some(worked_out) => reset = worked_out,
                    None => all_fit = false,
                }
                topics.extend(args.internal_topics(&group, admin, out).await?);
            }
            state => {
                all_fit = false;
                tell(
                    &format!(
                        "Assignments can only be reset if the group '{group}' is inactive, but the current state is \
                         {state}."
                    ),
                    out,
                )?;
            }
        }
        resets.push(reset);
    }
    reset::in_kafkas_order(&mut resets);
    if args.execute {
        if out.can_ask() && !args.yes {
            reset::print_table(&resets, out)?;
            let question = if topics.is_empty() {
                "Set these offsets?".to_owned()
            } else {
                format!("Set these offsets, and delete the topics {}?", topics.join(", "))
            };
            confirm_unless(args.yes, &question, out)?;
        }
        for reset in resets.iter().filter(|reset| !reset.offsets.is_empty()) {
            commit(reset, admin).await?;
        }
        for (topic, error) in delete_topics(&topics, admin).await? {
            all_fit = false;
            tell(&format!("Deleting the internal topic '{topic}' failed due to {error}"), out)?;
        }
    }
    print(args, &resets, out)?;
    let ends_well = all_fit || out.style() == Style::Kafka;
    Ok(if ends_well { Exit::Success } else { Exit::Failure })
}

/// The group's state; empty if there is no such group, which its offsets then make.
async fn state(group: &str, admin: &Admin) -> Result<String, JavaError> {
    match admin.describe_streams_group(group).await {
        Ok(description) => Ok(description.state),
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => Ok(String::new()),
        Err(error) => Err(unexpected(JavaError::call("findCoordinator", &error))),
    }
}

fn tell(error: &str, out: &mut Output) -> anyhow::Result<()> {
    if out.style() == Style::Kafka {
        out.line(format_args!("\nError: {error}"))?;
    } else {
        out.error(error)?;
    }
    Ok(())
}

impl StreamsGroups {
    /// The internal topics that are to go with a group.
    async fn internal_topics(&self, group: &str, admin: &Admin, out: &mut Output) -> anyhow::Result<Vec<String>> {
        if !self.execute {
            Ok(Vec::new())
        } else if self.delete_all_internal_topics {
            internal_topics(group, admin, out).await
        } else {
            Ok(self.delete_internal_topic.clone())
        }
    }
}

async fn work_out(
    args: &StreamsGroups,
    group: &str,
    admin: &Admin,
    out: &mut Output,
) -> anyhow::Result<Option<GroupReset>> {
    let scenario = args.scenario.chosen();
    let mut offsets_now: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let partitions = if args.all_input_topics {
        let description = describe(group, admin).await.map_err(unexpected)?;
        let committed = committed(group, &input_topics(&description), admin).await?;
        offsets_now.extend(committed.into_iter().map(|(partition, offset)| (partition, offset.offset.get())));
        offsets_now.keys().cloned().collect()
    } else if !args.input_topic.is_empty() {
        let partitions = meant(&args.input_topic, admin).await?;
        check_exist(&partitions, admin).await?;
        let all = admin.group_offsets(group, None).await;
        let all = all.map_err(|error| unexpected(JavaError::call("listStreamsGroupOffsets", &error)))?;
        offsets_now
            .extend(all.into_iter().filter_map(|(partition, offset)| Some((partition, offset.ok()?.offset.get()))));
        if partitions.iter().any(|partition| !offsets_now.contains_key(partition)) {
            tell(&format!("One or more topics are not part of the group '{group}'."), out)?;
            return Ok(None);
        }
        partitions
    } else if matches!(scenario, Some(Scenario::FromFile(_))) {
        Vec::new()
    } else {
        return Err(UsageError::because("One of the reset scopes should be defined: --all-topics, --topic."));
    };
    let offsets = match &scenario {
        None => return Err(ScenarioArgs::missing()),
        Some(Scenario::FromFile(file)) => {
            let planned = plan_file::read(file, args.group.len() == 1)?.into_iter();
            let of_group = |planned: &Planned| planned.group.as_deref().is_none_or(|named| named == group);
            let wanted: Vec<_> = planned.filter(of_group).map(|planned| (planned.partition, planned.offset)).collect();
            if wanted.is_empty() {
                tell(&format!("No reset plan for group {group} found"), out)?;
                return Ok(None);
            }
            let partitions: Vec<_> = wanted.iter().map(|(partition, _)| partition.clone()).collect();
            check_exist(&partitions, admin).await?;
            within_log(wanted, admin, out).await?
        }
        Some(scenario) => scenario.offsets(&partitions, &offsets_now, admin, out).await?,
    };
    Ok(Some(GroupReset { group: group.to_owned(), offsets, committed: offsets_now }))
}

async fn commit(reset: &GroupReset, admin: &Admin) -> Result<(), JavaError> {
    let offset = |(partition, offset): &(TopicPartition, i64)| (partition.clone(), GroupOffset::new(Offset(*offset)));
    let offsets: Vec<_> = reset.offsets.iter().map(offset).collect();
    let results = admin.commit_group_offsets(&reset.group, &offsets).await;
    let results = results.map_err(|error| execution(JavaError::call("findCoordinator", &error)))?;
    match results.into_iter().find_map(|(partition, result)| Some((partition, result.err()?))) {
        Some((partition, error)) => {
            let error = JavaError::api(&error);
            let plain = format!("could not set the offset of {partition} for {}: {}", reset.group, error.plain());
            Err(error.with_plain(plain))
        }
        None => Ok(()),
    }
}

fn print(args: &StreamsGroups, resets: &[GroupReset], out: &mut Output) -> anyhow::Result<()> {
    if args.export && out.style() != Style::Json {
        let single = args.group.len() == 1;
        for reset in resets {
            for (partition, offset) in &reset.offsets {
                let group = (!single).then(|| reset.group.clone());
                out.line(plan_file::line(&Planned { group, partition: partition.clone(), offset: *offset }))?;
            }
        }
        return Ok(out.line("")?);
    }
    if out.style() != Style::Kafka {
        return reset::print(resets, args.execute, out);
    }
    // Wider columns than the other tools have.
    let columns = [Column::Fixed(30), Column::Fixed(30), Column::Fixed(10), Column::Fixed(15)];
    let mut rows = Vec::new();
    if !resets.is_empty() {
        rows.push(["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"].map(str::to_owned).to_vec());
    }
    for reset in resets {
        for (TopicPartition { topic, partition }, offset) in &reset.offsets {
            rows.push(vec![reset.group.clone(), topic.clone(), partition.to_string(), offset.to_string()]);
        }
    }
    out.line("")?;
    Ok(in_columns(&columns, &rows).into_iter().try_for_each(|line| out.line(line))?)
}
