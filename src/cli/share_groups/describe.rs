//! `share-groups --describe`.

use std::io;

use serde_json::{Value, json};

use super::ShareGroups;
use crate::cli::support::groups::{assignment, coordinator, state_tint};
use crate::cli::support::{Column, Exit, JavaError, Output, Style, in_columns};
use crate::client::Admin;
use crate::client::admin::{ShareGroupDescription, ShareMember, ShareOffset};
use crate::protocol::ErrorCode;
use crate::types::{Offset, TopicPartition};

/// What is told of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Offsets,
    Members,
    State,
}

/// A group with what is to be shown of it.
struct Described {
    description: ShareGroupDescription,
    offsets: Vec<(TopicPartition, ShareOffset)>,
}

pub(super) async fn run(args: &ShareGroups, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
    let part = match (args.members, args.state.is_some()) {
        (true, _) => Part::Members,
        (false, true) => Part::State,
        (false, false) => Part::Offsets,
    };
    let mut groups = args.groups(admin).await?;
    groups.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    let execution = |error: JavaError| error.wrapped_in("java.util.concurrent.ExecutionException");
    let mut described = Vec::with_capacity(groups.len());
    for group in &groups {
        let mut description = describe(group, admin).await.map_err(execution)?;
        description.members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
        let offsets = match part {
            Part::Offsets => offsets(group, admin).await?,
            Part::Members | Part::State => Vec::new(),
        };
        described.push(Described { description, offsets });
    }
    match out.style() {
        Style::Kafka => {
            for group in &described {
                print_columns(group, part, args.verbose, out)?;
            }
        }
        Style::Table => print_tables(&described, part, out)?,
        Style::Json => {
            let groups: Vec<_> = described.iter().map(|group| group_json(group, part)).collect();
            out.json(&json!({"version": 1, "groups": groups}))?;
        }
    }
    Ok(Exit::Success)
}

/// Describes a share group.
pub(super) async fn describe(group: &str, admin: &Admin) -> Result<ShareGroupDescription, JavaError> {
    match admin.describe_share_group(group).await {
        Ok(description) => Ok(description),
        Err(error) => {
            let is_unknown = error.code() == Some(ErrorCode::GroupIdNotFound);
            let near = if is_unknown { super::near(group, admin).await } else { None };
            Err(JavaError::call("findCoordinator", &error).with_hint(near))
        }
    }
}

/// Where the group is.
pub(super) async fn offsets(group: &str, admin: &Admin) -> Result<Vec<(TopicPartition, ShareOffset)>, JavaError> {
    let wrapped = |error: JavaError| {
        error.wrapped_in("java.util.concurrent.ExecutionException").wrapped_in("java.lang.RuntimeException")
    };
    let offsets = admin.share_group_offsets(group).await;
    let offsets = offsets.map_err(|error| wrapped(JavaError::call("listShareGroupOffsets", &error)))?;
    offsets
        .into_iter()
        .map(|(partition, offset)| Ok((partition, offset.map_err(|error| wrapped(JavaError::api(&error)))?)))
        .collect()
}

/// What is told of a place where the group has been; nothing of one where it has not.
fn shown<T: ToString>(offset: &ShareOffset, value: impl FnOnce(&ShareOffset) -> Option<T>) -> String {
    let value = if offset.start.is_some() { value(offset) } else { None };
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn leader_epoch(offset: &ShareOffset) -> Option<i32> {
    Some(offset.leader_epoch.get()).filter(|epoch| *epoch >= 0)
}

fn print_columns(group: &Described, part: Part, verbose: bool, out: &mut Output) -> io::Result<()> {
    use Column::{AtLeast, Fixed, Open};
    let Described { description, offsets } = group;
    let id = &description.group_id;
    if part != Part::Offsets {
        match description.state.as_str() {
            "Dead" => out.line(format_args!("\nError: Share group '{id}' does not exist."))?,
            "Empty" => out.note(format_args!("\nShare group '{id}' has no active members."))?,
            _ => {}
        }
    }
    let (columns, rows): (Vec<Column>, Vec<Vec<String>>) = match part {
        Part::Offsets if offsets.is_empty() => {
            return out.line(format_args!("\nShare group '{id}' has no offset information."));
        }
        Part::Members if description.members.is_empty() || description.state == "Dead" => return Ok(()),
        Part::Offsets => {
            let mut columns = vec![AtLeast(15), AtLeast(15), Fixed(10), Fixed(13), Open];
            let mut header = vec!["GROUP", "TOPIC", "PARTITION", "START-OFFSET", "LAG"];
            if verbose {
                columns.insert(3, Fixed(13));
                header.insert(3, "LEADER-EPOCH");
            }
            let row = |(partition, offset): &(TopicPartition, ShareOffset)| {
                let mut row = vec![id.clone(), partition.topic.clone(), partition.partition.to_string()];
                row.extend(verbose.then(|| shown(offset, leader_epoch)));
                row.extend([shown(offset, |offset| offset.start), shown(offset, |offset| offset.lag)]);
                row
            };
            (columns, with_header(&header, offsets.iter().map(row)))
        }
        Part::Members => {
            let mut columns = vec![AtLeast(15), AtLeast(15), AtLeast(15), AtLeast(15), Fixed(12), Open];
            let mut header = vec!["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "ASSIGNMENT"];
            if verbose {
                columns.insert(5, Fixed(13));
                header.insert(5, "MEMBER-EPOCH");
            }
            let row = |member: &ShareMember| {
                let ShareMember { member_id, client_host, client_id, .. } = member;
                let mut row = vec![id.clone(), member_id.clone(), client_host.clone(), client_id.clone()];
                row.push(member.assignment.len().to_string());
                row.extend(verbose.then(|| member.member_epoch.to_string()));
                row.push(if member.assignment.is_empty() { String::new() } else { assignment(&member.assignment) });
                row
            };
            (columns, with_header(&header, description.members.iter().map(row)))
        }
        Part::State => {
            let mut columns = vec![AtLeast(15), AtLeast(25), Fixed(15), Open];
            let mut header = vec!["GROUP", "COORDINATOR (ID)", "STATE", "#MEMBERS"];
            let mut row = vec![id.clone(), coordinator(description.coordinator.as_ref()), description.state.clone()];
            if verbose {
                columns.splice(3..3, [Fixed(12), Fixed(17)]);
                header.splice(3..3, ["GROUP-EPOCH", "ASSIGNMENT-EPOCH"]);
                row.extend([description.group_epoch.to_string(), description.assignment_epoch.to_string()]);
            }
            row.push(description.members.len().to_string());
            (columns, with_header(&header, std::iter::once(row)))
        }
    };
    out.line("")?;
    in_columns(&columns, &rows).into_iter().try_for_each(|line| out.line(line))
}

fn with_header(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    std::iter::once(header.iter().map(|title| (*title).to_owned()).collect()).chain(rows).collect()
}

fn print_tables(groups: &[Described], part: Part, out: &mut Output) -> io::Result<()> {
    if groups.is_empty() {
        out.note("no share groups")?;
    }
    for (index, Described { description, offsets }) in groups.iter().enumerate() {
        if index > 0 {
            out.line("")?;
        }
        let state = out.tinted(&description.state, state_tint(&description.state));
        let mut line = format!("{}  {state}, members: {}", out.bold(&description.group_id), description.members.len());
        if let (Part::State, Some(node)) = (part, &description.coordinator) {
            line.push_str(&format!(", epoch {}, coordinator {} at {}", description.group_epoch, node.id, node.address));
        }
        out.line(line)?;
        match part {
            Part::Offsets => {
                let row = |(partition, offset): &(TopicPartition, ShareOffset)| {
                    vec![
                        partition.topic.clone(),
                        partition.partition.to_string(),
                        shown(offset, |offset| offset.start),
                        shown(offset, |offset| offset.lag),
                    ]
                };
                out.table(&["Topic", "Partition", "Goes on at", "Lag"], offsets.iter().map(row).collect())?;
            }
            Part::Members => {
                let row = |member: &ShareMember| {
                    let ShareMember { client_id, member_id, client_host, .. } = member;
                    let host = client_host.trim_start_matches('/').to_owned();
                    vec![client_id.clone(), member_id.clone(), host, assignment(&member.assignment)]
                };
                let header = ["Client", "Member", "Host", "Partitions"];
                out.table(&header, description.members.iter().map(row).collect())?;
            }
            Part::State => {}
        }
    }
    Ok(())
}

fn group_json(group: &Described, part: Part) -> Value {
    let Described { description, offsets } = group;
    let coordinator = description
        .coordinator
        .as_ref()
        .map(|node| json!({"id": node.id.get(), "host": node.address.host(), "port": node.address.port()}));
    let mut object = json!({
        "group": description.group_id,
        "state": description.state,
        "assignor": description.assignor,
        "coordinator": coordinator,
        "groupEpoch": description.group_epoch,
        "assignmentEpoch": description.assignment_epoch,
        "memberCount": description.members.len(),
    });
    let offset = |(partition, offset): &(TopicPartition, ShareOffset)| {
        json!({
            "topic": partition.topic,
            "partition": partition.partition.get(),
            "startOffset": offset.start.map(Offset::get),
            "leaderEpoch": leader_epoch(offset),
            "lag": offset.lag,
        })
    };
    let member = |member: &ShareMember| {
        let partition = |p: &TopicPartition| json!({"topic": p.topic, "partition": p.partition.get()});
        json!({
            "memberId": member.member_id,
            "clientId": member.client_id,
            "host": member.client_host,
            "memberEpoch": member.member_epoch,
            "assignment": member.assignment.iter().map(partition).collect::<Vec<_>>(),
        })
    };
    let (key, list) = match part {
        Part::Offsets => ("offsets", offsets.iter().map(offset).collect::<Vec<_>>()),
        Part::Members => ("members", description.members.iter().map(member).collect()),
        Part::State => return object,
    };
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), list.into());
    }
    object
}
