//! What `consumer-groups --describe` prints.

use std::io;

use serde_json::{Value, json};

use crate::cli::support::groups::{
    DescribedGroup, Part, Table, assignment, coordinator, coordinator_json, partitions_json, state_tint,
};
use crate::cli::support::{Column, Output, in_columns, or_dash, with_header};
use crate::client::admin::{DescribedMember, GroupDescription};
use crate::types::TopicPartition;

/// A group with what is to be shown of it.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) description: GroupDescription,
    pub(super) rows: Vec<Row>,
}

/// A partition of a group.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) partition: TopicPartition,
    pub(super) offset: Option<i64>,
    pub(super) leader_epoch: Option<i32>,
    /// Where the log ends.
    pub(super) end: Option<i64>,
    pub(super) member: Option<DescribedMember>,
}

impl Row {
    fn lag(&self) -> Option<i64> {
        let offset = self.offset.filter(|offset| *offset != -1)?;
        Some(self.end?.saturating_sub(offset))
    }
}

impl DescribedGroup for Described {
    const NONE: &'static str = "no groups";

    fn print_columns(&self, part: Part, verbose: bool, out: &mut Output) -> io::Result<()> {
        let id = &self.description.group_id;
        let has_rows = match part {
            Part::Offsets => !self.rows.is_empty(),
            Part::Members => !self.description.members.is_empty(),
            Part::State => true,
        };
        let mut is_there = true;
        match self.description.state.as_str() {
            "Dead" => {
                is_there = false;
                out.line(format_args!("\nError: Consumer group '{id}' does not exist."))?;
            }
            "Empty" => out.note(format_args!("\nConsumer group '{id}' has no active members."))?,
            "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
                out.note(format_args!("\nWarning: Consumer group '{id}' is rebalancing."))?
            }
            _ => {}
        }
        // The header of members is there in any case.
        if part != Part::Members && !(is_there && has_rows) {
            return Ok(());
        }
        let (columns, rows) = match part {
            Part::Offsets => offset_columns(self, verbose),
            Part::Members => member_columns(&self.description, verbose),
            Part::State => state_columns(&self.description, verbose),
        };
        out.line("")?;
        let padded_end = part == Part::Members && !verbose;
        for line in in_columns(&columns, &rows) {
            out.line(if padded_end { line + " " } else { line })?;
        }
        Ok(())
    }

    fn title(&self, part: Part, out: &Output) -> String {
        let description = &self.description;
        let mut facts = vec![description.group_type.clone()];
        if !description.assignor.is_empty() {
            facts.push(description.assignor.clone());
        }
        facts.push(match description.members.len() {
            1 => "1 member".to_owned(),
            count => format!("{count} members"),
        });
        if let (Part::State, Some(epoch)) = (part, description.group_epoch) {
            facts.push(format!("epoch {epoch}"));
        }
        if let Some(node) = description.coordinator.as_ref().filter(|_| part == Part::State) {
            facts.push(format!("coordinator {} at {}", node.id, node.address));
        }
        if part == Part::Offsets {
            let lag: i64 = self.rows.iter().filter_map(Row::lag).sum();
            facts.push(format!("lag {lag}"));
        }
        let state = out.tinted(&description.state, state_tint(&description.state));
        format!("{}  {state}, {}", out.bold(&description.group_id), facts.join(", "))
    }

    fn table(&self, part: Part, verbose: bool) -> Table {
        match part {
            Part::Offsets => {
                let row = |row: &Row| {
                    let TopicPartition { topic, partition } = &row.partition;
                    let member = row.member.as_ref();
                    vec![
                        topic.clone(),
                        partition.to_string(),
                        or_dash(row.offset),
                        or_dash(row.end),
                        or_dash(row.lag()),
                        or_dash(member.map(|member| if verbose { &member.member_id } else { &member.client_id })),
                        or_dash(member.map(|member| member.client_host.trim_start_matches('/'))),
                    ]
                };
                let header = &["Topic", "Partition", "Offset", "End", "Lag", "Consumer", "Host"];
                (header, self.rows.iter().map(row).collect())
            }
            Part::Members => {
                let row = |member: &DescribedMember| {
                    vec![
                        member.client_id.clone(),
                        member.group_instance_id.clone().unwrap_or_else(|| member.member_id.clone()),
                        member.client_host.trim_start_matches('/').to_owned(),
                        assignment(&member.assignment),
                        or_dash(member.member_epoch),
                    ]
                };
                let header = &["Client", "Member", "Host", "Partitions", "Epoch"];
                (header, self.description.members.iter().map(row).collect())
            }
            Part::State => (&[], Vec::new()),
        }
    }

    fn json(&self) -> Value {
        let description = &self.description;
        json!({
            "group": description.group_id,
            "type": description.group_type,
            "state": description.state,
            "assignor": Some(&description.assignor).filter(|assignor| !assignor.is_empty()),
            "coordinator": coordinator_json(description.coordinator.as_ref()),
            "groupEpoch": description.group_epoch,
            "assignmentEpoch": description.assignment_epoch,
            "memberCount": description.members.len(),
        })
    }

    fn offsets_json(&self) -> Vec<Value> {
        self.rows.iter().map(row_json).collect()
    }

    fn members_json(&self) -> Vec<Value> {
        self.description.members.iter().map(member_json).collect()
    }
}

type Cells = (Vec<Column>, Vec<Vec<String>>);

fn offset_columns(group: &Described, verbose: bool) -> Cells {
    use Column::{AtLeast, Fixed, Open};
    let mut columns = vec![AtLeast(15), AtLeast(15), Fixed(10)];
    let mut header = vec!["GROUP", "TOPIC", "PARTITION"];
    if verbose {
        columns.push(Fixed(15));
        header.push("LEADER-EPOCH");
    }
    columns.extend([Fixed(15), Fixed(15), Fixed(15), AtLeast(15), AtLeast(15), Open]);
    header.extend(["CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID"]);
    let row = |row: &Row| {
        let TopicPartition { topic, partition } = &row.partition;
        let mut cells = vec![group.description.group_id.clone(), topic.clone(), partition.to_string()];
        cells.extend(verbose.then(|| or_dash(row.leader_epoch)));
        cells.extend([or_dash(row.offset), or_dash(row.end), or_dash(row.lag())]);
        let member = row.member.as_ref();
        cells.extend([
            or_dash(member.map(|member| &member.member_id)),
            or_dash(member.map(|member| &member.client_host)),
            or_dash(member.map(|member| &member.client_id)),
        ]);
        cells
    };
    (columns, with_header(&header, group.rows.iter().map(row)))
}

fn member_columns(group: &GroupDescription, verbose: bool) -> Cells {
    use Column::{AtLeast, Fixed, Open};
    let with_instance = group.members.iter().any(|member| member.group_instance_id.is_some());
    // Members of both protocols: the group is on its way from one to the other.
    let mixed = [false, true].iter().all(|new| group.members.iter().any(|member| member.upgraded == Some(*new)));
    let mut columns = vec![AtLeast(15), AtLeast(15)];
    let mut header = vec!["GROUP", "CONSUMER-ID"];
    if with_instance {
        columns.push(AtLeast(17));
        header.push("GROUP-INSTANCE-ID");
    }
    columns.extend([AtLeast(15), AtLeast(15), Fixed(15)]);
    header.extend(["HOST", "CLIENT-ID", "#PARTITIONS"]);
    if verbose {
        columns.extend([Fixed(15), AtLeast(20), Fixed(15), AtLeast(20)]);
        header.extend(["CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT"]);
        if mixed {
            columns.push(Open);
            header.push("UPGRADED");
        }
    }
    let row = |member: &DescribedMember| {
        let mut cells = vec![group.group_id.clone(), member.member_id.clone()];
        cells.extend(with_instance.then(|| member.group_instance_id.clone().unwrap_or_default()));
        cells.extend([member.client_host.clone(), member.client_id.clone(), member.assignment.len().to_string()]);
        if verbose {
            cells.extend([
                or_dash(member.member_epoch),
                assignment(&member.assignment),
                or_dash(group.assignment_epoch),
                assignment(member.target_assignment.as_deref().unwrap_or_default()),
            ]);
            cells.extend(mixed.then(|| or_dash(member.upgraded)));
        }
        cells
    };
    (columns, with_header(&header, group.members.iter().map(row)))
}

fn state_columns(group: &GroupDescription, verbose: bool) -> Cells {
    use Column::{AtLeast, Fixed, Open};
    let mut columns = vec![AtLeast(15), AtLeast(25), Fixed(20), Fixed(20)];
    let mut header = vec!["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE"];
    let assignor = Some(&group.assignor).filter(|assignor| !assignor.is_empty());
    let mut cells =
        vec![group.group_id.clone(), coordinator(group.coordinator.as_ref()), or_dash(assignor), group.state.clone()];
    if verbose {
        columns.extend([Fixed(15), Fixed(25)]);
        header.extend(["GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH"]);
        cells.extend([or_dash(group.group_epoch), or_dash(group.assignment_epoch)]);
    }
    columns.push(Open);
    header.push("#MEMBERS");
    cells.push(group.members.len().to_string());
    (columns, with_header(&header, [cells]))
}

fn row_json(row: &Row) -> Value {
    let member = row.member.as_ref();
    json!({
        "topic": row.partition.topic,
        "partition": row.partition.partition.get(),
        "leaderEpoch": row.leader_epoch,
        "currentOffset": row.offset,
        "logEndOffset": row.end,
        "lag": row.lag(),
        "memberId": member.map(|member| &member.member_id),
        "clientId": member.map(|member| &member.client_id),
        "host": member.map(|member| &member.client_host),
    })
}

fn member_json(member: &DescribedMember) -> Value {
    json!({
        "memberId": member.member_id,
        "groupInstanceId": member.group_instance_id,
        "clientId": member.client_id,
        "host": member.client_host,
        "memberEpoch": member.member_epoch,
        "upgraded": member.upgraded,
        "assignment": partitions_json(&member.assignment),
        "targetAssignment": member.target_assignment.as_deref().map(partitions_json),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::support::Style;
    use crate::cli::support::groups::print_described;

    fn member(id: &str, instance: Option<&str>, upgraded: Option<bool>) -> DescribedMember {
        DescribedMember {
            member_id: id.to_owned(),
            group_instance_id: instance.map(str::to_owned),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            assignment: vec![TopicPartition::new("t", 10), TopicPartition::new("t", 2), TopicPartition::new("a", 0)],
            target_assignment: Some(Vec::new()),
            member_epoch: Some(7),
            upgraded,
        }
    }

    fn group(state: &str, members: Vec<DescribedMember>) -> Described {
        let row = |partition, offset, member: Option<&DescribedMember>| Row {
            partition: TopicPartition::new("t", partition),
            offset,
            leader_epoch: None,
            end: Some(5),
            member: member.cloned(),
        };
        Described {
            rows: vec![row(0, Some(3), members.first()), row(1, None, None)],
            description: GroupDescription {
                group_id: "g".to_owned(),
                group_type: "consumer".to_owned(),
                state: state.to_owned(),
                protocol_type: "consumer".to_owned(),
                assignor: "uniform".to_owned(),
                coordinator: None,
                members,
                group_epoch: Some(8),
                assignment_epoch: Some(8),
                authorized_operations: 0,
            },
        }
    }

    fn printed(group: &Described, part: Part, verbose: bool, style: Style) -> (String, String) {
        let (mut out, captured) = Output::captured();
        out.set_style(style);
        print_described(std::slice::from_ref(group), part, verbose, &mut out).unwrap();
        out.flush().unwrap();
        (captured.stdout(), captured.stderr())
    }

    #[test]
    fn offsets_in_columns() {
        let (stdout, stderr) =
            printed(&group("Stable", vec![member("m", None, None)]), Part::Offsets, false, Style::Kafka);
        let title = "GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             \
                     CONSUMER-ID     HOST            CLIENT-ID";
        assert_eq!(
            stdout,
            format!(
                "\n{title}\n\
                 g               t               0          3               5               2               \
                 m               /127.0.0.1      c\n\
                 g               t               1          -               5               -               \
                 -               -               -\n"
            )
        );
        assert_eq!(stderr, "");
    }

    #[test]
    fn instances_and_the_way_between_protocols_have_columns_of_their_own() {
        let members = vec![member("m1", Some("static"), Some(false)), member("m2", None, Some(true))];
        let (stdout, stderr) = printed(&group("Reconciling", members), Part::Members, true, Style::Kafka);
        assert!(
            stdout.contains("GROUP-INSTANCE-ID HOST") && stdout.contains("TARGET-ASSIGNMENT    UPGRADED\n"),
            "{stdout}"
        );
        assert!(stdout.contains("static") && stdout.contains("a:0;t:2,10"), "{stdout}");
        assert!(stdout.contains("8               -                    false\n"), "{stdout}");
        assert_eq!(stderr, "\nWarning: Consumer group 'g' is rebalancing.\n");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let (stdout, stderr) = printed(&group("Dead", Vec::new()), Part::Offsets, false, Style::Kafka);
        assert_eq!((stdout.as_str(), stderr.as_str()), ("\nError: Consumer group 'g' does not exist.\n", ""));
        let mut empty = group("Empty", Vec::new());
        empty.rows.clear();
        let (stdout, stderr) = printed(&empty, Part::Offsets, false, Style::Kafka);
        assert_eq!((stdout.as_str(), stderr.as_str()), ("", "\nConsumer group 'g' has no active members.\n"));
    }

    #[test]
    fn people_see_the_lag_at_once() {
        let (stdout, _) = printed(&group("Stable", vec![member("m", None, None)]), Part::Offsets, false, Style::Table);
        assert!(stdout.starts_with("g  Stable, consumer, uniform, 1 member, lag 2\n"), "{stdout}");
        assert!(stdout.contains(" 127.0.0.1 "), "{stdout}");
    }

    #[test]
    fn json() {
        let group = group("Stable", vec![member("m", None, None)]);
        let parse = |part| -> Value { serde_json::from_str(&printed(&group, part, false, Style::Json).0).unwrap() };
        let offsets = parse(Part::Offsets);
        assert_eq!(offsets["version"], 1);
        assert_eq!(offsets["groups"][0]["offsets"][0]["lag"], 2);
        assert_eq!(offsets["groups"][0]["offsets"][1]["lag"], Value::Null);
        let members = parse(Part::Members);
        assert_eq!(members["groups"][0]["members"][0]["assignment"][0], json!({"topic": "t", "partition": 10}));
        assert_eq!(parse(Part::State)["groups"][0].get("members"), None);
    }
}
