//! `consumer-groups --reset-offsets`.
//!
//! All new offsets are worked out before the first is set, so that a mistake in one group leaves all as they are.

use std::collections::BTreeMap;

use super::describe::{committed, describe};
use super::{ConsumerGroups, kafkas_failure};
use crate::cli::support::groups::execution;
use crate::cli::support::reset::partitions::{check_exist, meant};
use crate::cli::support::reset::plan_file::{self, Planned};
use crate::cli::support::reset::{self, GroupReset, Scenario, ScenarioArgs, within_log};
use crate::cli::support::{Exit, JavaError, Output, Style, UsageError, confirm_unless, java};
use crate::client::Admin;
use crate::client::admin::GroupOffset;
use crate::protocol::ErrorCode;
use crate::types::{Offset, TopicPartition};

pub(super) async fn run(args: &ConsumerGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let mut groups = args.groups(admin).await?;
    java::in_hash_map_order(&mut groups, |group| group);
    let mut resets = Vec::with_capacity(groups.len());
    let mut all_fit = true;
    for group in groups {
        let reset = match inactive(&group, admin).await? {
            None => work_out(args, &group, admin, out).await?,
            Some(state) => {
                let error = format!(
                    "Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
                );
                all_fit &= tell(&error, out)?;
                None
            }
        };
        all_fit &= reset.is_some();
        resets.push(reset.unwrap_or_else(|| GroupReset { group, ..GroupReset::default() }));
    }
    reset::in_kafkas_order(&mut resets);
    if args.execute {
        if out.can_ask() && !args.yes && resets.iter().any(|reset| !reset.offsets.is_empty()) {
            reset::print_table(&resets, out)?;
            confirm_unless(args.yes, "Set these offsets?", out)?;
        }
        execute(&resets, admin).await?;
    }
    if args.export && out.style() != Style::Json {
        export(&resets, args.group.len() == 1, out)?;
    } else {
        reset::print(&resets, args.execute, out)?;
    }
    Ok(if all_fit { Exit::Success } else { kafkas_failure(out) })
}

/// The state that forbids to set offsets, if one does. An unknown group comes into being by its offsets.
async fn inactive(group: &str, admin: &Admin) -> Result<Option<String>, JavaError> {
    match admin.describe_group(group).await {
        Ok(_) => {}
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => return Ok(None),
        Err(_) => {}
    }
    let wrapped = |error| execution(error).wrapped_in("java.lang.RuntimeException");
    let description = describe(group, admin).await.map_err(wrapped)?;
    Ok(Some(description.state).filter(|state| state != "Empty" && state != "Dead"))
}

/// Tells an error that concerns one group; the others go on.
fn tell(error: &str, out: &mut Output) -> anyhow::Result<bool> {
    if out.style() == Style::Kafka {
        out.line(format_args!("\nError: {error}"))?;
    } else {
        out.error(error)?;
    }
    Ok(false)
}

async fn work_out(
    args: &ConsumerGroups,
    group: &str,
    admin: &Admin,
    out: &mut Output,
) -> anyhow::Result<Option<GroupReset>> {
    let scenario = args.scenario.chosen();
    let from_file = matches!(scenario, Some(Scenario::FromFile(_)));
    let for_people = out.style() != Style::Kafka;
    let needs_committed = args.all_topics || for_people || scenario.as_ref().is_some_and(Scenario::needs_committed);
    let committed: BTreeMap<TopicPartition, i64> = if needs_committed {
        committed(group, admin).await?.into_iter().map(|(p, offset)| (p, offset.offset.get())).collect()
    } else {
        BTreeMap::new()
    };
    let partitions = if args.all_topics {
        committed.keys().cloned().collect()
    } else if args.topic.is_empty() && !from_file {
        return Err(UsageError::because("One of the reset scopes should be defined: --all-topics, --topic."));
    } else {
        meant(&args.topic, admin).await?
    };
    check_exist(&partitions, admin).await?;
    let offsets = match &scenario {
        None => return Err(ScenarioArgs::missing()),
        Some(Scenario::FromFile(file)) => {
            let single = args.group.len() == 1;
            let planned = plan_file::read(file, single)?.into_iter();
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
        Some(scenario) => scenario.offsets(&partitions, &committed, admin, out).await?,
    };
    Ok(Some(GroupReset { group: group.to_owned(), offsets, committed }))
}

/// Sets the offsets, group by group; an error says which groups have theirs already.
async fn execute(resets: &[GroupReset], admin: &Admin) -> Result<(), JavaError> {
    let mut done: Vec<&str> = Vec::new();
    for reset in resets.iter().filter(|reset| !reset.offsets.is_empty()) {
        if let Err(error) = commit(reset, admin).await {
            let hint = match done.as_slice() {
                [] => format!("no offset of {} and of the groups after it was set", reset.group),
                done => format!("the offsets of {} are set, those of {} are not", done.join(", "), reset.group),
            };
            return Err(error.with_hint(Some(hint)));
        }
        done.push(&reset.group);
    }
    Ok(())
}

async fn commit(reset: &GroupReset, admin: &Admin) -> Result<(), JavaError> {
    let offset = |(partition, offset): &(TopicPartition, i64)| (partition.clone(), GroupOffset::new(Offset(*offset)));
    let offsets: Vec<_> = reset.offsets.iter().map(offset).collect();
    let results = admin.commit_group_offsets(&reset.group, &offsets).await;
    let results = results.map_err(|error| JavaError::call("findCoordinator", &error))?;
    match results.into_iter().find_map(|(partition, result)| Some((partition, result.err()?))) {
        Some((partition, error)) => {
            let error = JavaError::api(&error);
            let plain = format!("could not set the offset of {partition}: {}", error.plain());
            Err(error.with_plain(plain))
        }
        None => Ok(()),
    }
}

fn export(resets: &[GroupReset], single: bool, out: &mut Output) -> anyhow::Result<()> {
    for reset in resets {
        for (partition, offset) in &reset.offsets {
            let group = (!single).then(|| reset.group.clone());
            out.line(plan_file::line(&Planned { group, partition: partition.clone(), offset: *offset }))?;
        }
    }
    // As Kafka's tool, which ends the text once more.
    Ok(out.line("")?)
}
