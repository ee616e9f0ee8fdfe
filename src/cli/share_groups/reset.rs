//! `share-groups --reset-offsets`.

use std::collections::BTreeMap;

use super::describe::{describe, offsets};
use super::{Refused, ShareGroups};
use crate::cli::support::groups::one_group;
use crate::cli::support::reset::partitions::{check_exist, meant};
use crate::cli::support::reset::{self, GroupReset, Scenario};
use crate::cli::support::{Exit, JavaError, Output, Style, confirm_unless};
use crate::client::Admin;
use crate::protocol::ErrorCode;
use crate::types::{Offset, TopicPartition};

pub(super) async fn run(args: &ShareGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let group = one_group(&args.group)?;
    check_inactive(group, admin).await?;
    let for_people = out.style() != Style::Kafka;
    let known = if args.all_topics || for_people { known(group, args.all_topics, admin).await? } else { Vec::new() };
    let partitions = if args.topic.is_empty() {
        known.iter().map(|(partition, _)| partition.clone()).collect()
    } else {
        meant(&args.topic, admin).await?
    };
    check_exist(&partitions, admin).await?;
    let scenario = match (&args.to_datetime, args.to_earliest) {
        (_, true) => Scenario::ToEarliest,
        (Some(time), false) => Scenario::ToDatetime(time.clone()),
        (None, false) => Scenario::ToLatest,
    };
    let offsets = scenario.offsets(&partitions, &BTreeMap::new(), admin, out).await?;
    let committed = known.into_iter().filter_map(|(partition, start)| Some((partition, start?))).collect();
    let mut resets = vec![GroupReset { group: group.to_owned(), offsets, committed }];
    reset::in_kafkas_order(&mut resets);
    if args.execute {
        if out.can_ask() && !args.yes {
            out.for_question(|out| reset::print_table(&resets, out))?;
            confirm_unless(args.yes, "Have the group go on there?", out)?;
        }
        execute(&resets, admin).await?;
    }
    reset::print(&resets, args.execute, out)?;
    Ok(Exit::Success)
}

/// A group that is not there comes into being by its offsets.
async fn check_inactive(group: &str, admin: &Admin) -> anyhow::Result<()> {
    match admin.describe_share_group(group).await {
        Ok(description) if matches!(description.state.as_str(), "Empty" | "Dead") => Ok(()),
        Ok(_) => Err(Refused(format!("Share group '{group}' is not empty.")).into()),
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => Ok(()),
        Err(_) => match describe(group, admin).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Refused(error.to_string()).into()),
        },
    }
}

/// Where the group is now. `needed`: whether it matters that this is not known.
async fn known(group: &str, needed: bool, admin: &Admin) -> Result<Vec<(TopicPartition, Option<i64>)>, JavaError> {
    match offsets(group, admin).await {
        Ok(offsets) => {
            Ok(offsets.into_iter().map(|(partition, offset)| (partition, offset.start.map(Offset::get))).collect())
        }
        Err(error) if needed => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}

async fn execute(resets: &[GroupReset], admin: &Admin) -> Result<(), JavaError> {
    for reset in resets {
        let offsets: Vec<_> = reset.offsets.iter().map(|(p, offset)| (p.clone(), Offset(*offset))).collect();
        let results = admin.alter_share_group_offsets(&reset.group, &offsets).await;
        let results = results.map_err(|error| JavaError::call("findCoordinator", &error))?;
        reset::all_set(results, |partition| format!("could not set where the group goes on in {partition}"))?;
    }
    Ok(())
}
