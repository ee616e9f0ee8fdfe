//! `consumer-groups --reset-offsets`.
//!
//! All new offsets are worked out before the first is set, so that a mistake in one group leaves all as they are.

use std::collections::BTreeMap;

use super::ConsumerGroups;
use super::describe::{committed, describe};
use crate::cli::support::groups::{kafkas_failure, unexpected};
use crate::cli::support::reset::partitions::{check_exist, meant};
use crate::cli::support::reset::{self, GroupReset, Scenario, plan_file};
use crate::cli::support::{Exit, JavaError, Output, Style, UsageError, confirm_unless, java};
use crate::client::Admin;
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

pub(super) async fn run(args: &ConsumerGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let mut groups = args.groups(admin).await?;
    java::in_hash_map_order(&mut groups, |group| group);
    let mut resets = Vec::with_capacity(groups.len());
    let mut all_fit = true;
    for group in groups {
        let reset = match active(&group, admin).await? {
            None => work_out(args, &group, admin, out).await?,
            Some(state) => {
                reset::tell_active(&group, &state, out)?;
                None
            }
        };
        all_fit &= reset.is_some();
        resets.push(reset.unwrap_or_else(|| GroupReset { group, ..GroupReset::default() }));
    }
    reset::in_kafkas_order(&mut resets);
    if args.execute {
        if out.can_ask() && !args.yes && resets.iter().any(|reset| !reset.offsets.is_empty()) {
            out.for_question(|out| reset::print_table(&resets, out))?;
            confirm_unless(args.yes, "Set these offsets?", out)?;
        }
        execute(&resets, admin).await?;
    }
    if args.export && out.style() != Style::Json {
        plan_file::print(&resets, args.group.len() == 1, out)?;
    } else {
        reset::print(&resets, args.execute, out)?;
    }
    Ok(if all_fit { Exit::Success } else { kafkas_failure(out) })
}

/// The state that forbids to set offsets, if one does. An unknown group comes into being by its offsets.
async fn active(group: &str, admin: &Admin) -> Result<Option<String>, JavaError> {
    match admin.describe_group(group).await {
        Ok(_) => {}
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => return Ok(None),
        Err(_) => {}
    }
    let description = describe(group, admin).await.map_err(unexpected)?;
    Ok(Some(description.state).filter(|state| state != "Empty" && state != "Dead"))
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
    let reset = GroupReset { group: group.to_owned(), committed, ..GroupReset::default() };
    reset.work_out(&args.scenario, args.group.len() == 1, &partitions, admin, out).await
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
    let results = reset::commit(&reset.group, &reset.offsets, admin).await?;
    reset::all_set(results, |partition| format!("could not set the offset of {partition}"))
}
