//! What `share-groups --describe` prints.

use std::io;

use serde_json::{Value, json};

use crate::cli::support::groups::{
    DescribedGroup, Part, Table, assignment, coordinator, coordinator_json, partitions_json, state_tint,
};
use crate::cli::support::{Column, Output, in_columns, or_dash, with_header};
use crate::client::admin::{ShareGroupDescription, ShareMember, ShareOffset};
use crate::types::{Offset, TopicPartition};

/// A group with what is to be shown of it.
pub(super) struct Described {
    pub(super) description: ShareGroupDescription,
    pub(super) offsets: Vec<(TopicPartition, ShareOffset)>,
}

/// What is told of a place where the group has been; nothing of one where it has not.
fn shown<T: ToString>(offset: &ShareOffset, value: impl FnOnce(&ShareOffset) -> Option<T>) -> String {
    or_dash(offset.start.and_then(|_| value(offset)))
}

fn leader_epoch(offset: &ShareOffset) -> Option<i32> {
    Some(offset.leader_epoch.get()).filter(|epoch| *epoch >= 0)
}

impl DescribedGroup for Described {
    const NONE: &'static str = "no share groups";

    fn print_columns(&self, part: Part, verbose: bool, out: &mut Output) -> io::Result<()> {
        use Column::{AtLeast, Fixed, Open};
        let Described { description, offsets } = self;
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
                let mut row =
                    vec![id.clone(), coordinator(description.coordinator.as_ref()), description.state.clone()];
                if verbose {
                    columns.splice(3..3, [Fixed(12), Fixed(17)]);
                    header.splice(3..3, ["GROUP-EPOCH", "ASSIGNMENT-EPOCH"]);
                    row.extend([description.group_epoch.to_string(), description.assignment_epoch.to_string()]);
                }
                row.push(description.members.len().to_string());
                (columns, with_header(&header, [row]))
            }
        };
        out.line("")?;
        in_columns(&columns, &rows).into_iter().try_for_each(|line| out.line(line))
    }

    fn title(&self, part: Part, out: &Output) -> String {
        let description = &self.description;
        let state = out.tinted(&description.state, state_tint(&description.state));
        let mut line = format!("{}  {state}, members: {}", out.bold(&description.group_id), description.members.len());
        if let (Part::State, Some(node)) = (part, &description.coordinator) {
            line.push_str(&format!(", epoch {}, coordinator {} at {}", description.group_epoch, node.id, node.address));
        }
        line
    }

    fn table(&self, part: Part, _: bool) -> Table {
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
                (&["Topic", "Partition", "Goes on at", "Lag"], self.offsets.iter().map(row).collect())
            }
            Part::Members => {
                let row = |member: &ShareMember| {
                    let ShareMember { client_id, member_id, client_host, .. } = member;
                    let host = client_host.trim_start_matches('/').to_owned();
                    vec![client_id.clone(), member_id.clone(), host, assignment(&member.assignment)]
                };
                (&["Client", "Member", "Host", "Partitions"], self.description.members.iter().map(row).collect())
            }
            Part::State => (&[], Vec::new()),
        }
    }

    fn json(&self) -> Value {
        let description = &self.description;
        json!({
            "group": description.group_id,
            "state": description.state,
            "assignor": description.assignor,
            "coordinator": coordinator_json(description.coordinator.as_ref()),
            "groupEpoch": description.group_epoch,
            "assignmentEpoch": description.assignment_epoch,
            "memberCount": description.members.len(),
        })
    }

    fn offsets_json(&self) -> Vec<Value> {
        let offset = |(partition, offset): &(TopicPartition, ShareOffset)| {
            json!({
                "topic": partition.topic,
                "partition": partition.partition.get(),
                "startOffset": offset.start.map(Offset::get),
                "leaderEpoch": leader_epoch(offset),
                "lag": offset.lag,
            })
        };
        self.offsets.iter().map(offset).collect()
    }

    fn members_json(&self) -> Vec<Value> {
        let member = |member: &ShareMember| {
            json!({
                "memberId": member.member_id,
                "clientId": member.client_id,
                "host": member.client_host,
                "memberEpoch": member.member_epoch,
                "assignment": partitions_json(&member.assignment),
            })
        };
        self.description.members.iter().map(member).collect()
    }
}
