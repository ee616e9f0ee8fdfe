//! `streams-groups --reset-offsets`.
//!
//! All new offsets are worked out before the first is set, and internal topics go last.

use std::collections::BTreeMap;

use super::StreamsGroups;
use super::delete::{delete_topics, internal_topics};
use super::describe::{committed, describe, input_topics};
use crate::cli::support::groups::{execution, unexpected};
use crate::cli::support::reset::partitions::{check_exist, meant};
use crate::cli::support::reset::{self, GroupReset, Scenario, plan_file};
use crate::cli::support::{Column, Exit, JavaError, Output, Style, UsageError, confirm_unless, java};
use crate::client::Admin;
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

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
                reset::tell_active(&group, &state, out)?;
            }
        }
        resets.push(reset);
    }
    reset::in_kafkas_order(&mut resets);
    if args.execute {
        if out.can_ask() && !args.yes {
            out.for_question(|out| reset::print_table(&resets, out))?;
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
            reset::tell(&format!("Deleting the internal topic '{topic}' failed due to {error}"), out)?;
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
            reset::tell(&format!("One or more topics are not part of the group '{group}'."), out)?;
            return Ok(None);
        }
        partitions
    } else if matches!(args.scenario.chosen(), Some(Scenario::FromFile(_))) {
        Vec::new()
    } else {
        return Err(UsageError::because("One of the reset scopes should be defined: --all-topics, --topic."));
    };
    let reset = GroupReset { group: group.to_owned(), committed: offsets_now, ..GroupReset::default() };
    reset.work_out(&args.scenario, args.group.len() == 1, &partitions, admin, out).await
}

async fn commit(reset: &GroupReset, admin: &Admin) -> Result<(), JavaError> {
    let results = reset::commit(&reset.group, &reset.offsets, admin).await.map_err(execution)?;
    reset::all_set(results, |partition| format!("could not set the offset of {partition} for {}", reset.group))
}

fn print(args: &StreamsGroups, resets: &[GroupReset], out: &mut Output) -> anyhow::Result<()> {
    if args.export && out.style() != Style::Json {
        plan_file::print(resets, args.group.len() == 1, out)?;
    } else if out.style() == Style::Kafka {
        // Wider columns than the other tools have.
        let columns = [Column::Fixed(30), Column::Fixed(30), Column::Fixed(10), Column::Fixed(15)];
        reset::print_columns(resets, &columns, out)?;
    } else {
        reset::print(resets, args.execute, out)?;
    }
    Ok(())
}
