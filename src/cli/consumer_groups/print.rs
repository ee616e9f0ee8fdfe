//! What `consumer-groups --describe` prints.

use std::io;

use serde_json::{Value, json};

use super::describe::Part;
use crate::cli::support::groups::{assignment, coordinator, state_tint};
use crate::cli::support::{Column, Output, Style, in_columns};
use crate::client::admin::{DescribedMember, GroupDescription};
use crate::types::TopicPartition;

/// Stands for what is not known.
const MISSING: &str = "-";

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

pub(super) fn print(groups: &[Described], part: Part, verbose: bool, out: &mut Output) -> anyhow::Result<()> {
    match out.style() {
        Style::Kafka => {
            for group in groups {
                print_columns(group, part, verbose, out)?;
            }
        }
        Style::Table => print_tables(groups, part, verbose, out)?,
        Style::Json => {
            let groups: Vec<_> = groups.iter().map(|group| group_json(group, part)).collect();
            out.json(&json!({"version": 1, "groups": groups}))?;
        }
    }
    Ok(())
}

fn print_columns(group: &Described, part: Part, verbose: bool, out: &mut Output) -> io::Result<()> {
    let id = &group.description.group_id;
    let has_rows = match part {
        Part::Offsets => !group.rows.is_empty(),
        Part::Members => !group.description.members.is_empty(),
        Part::State => true,
    };
    let mut is_there = true;
    match group.description.state.as_str() {
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
        Part::Offsets => offset_columns(group, verbose),
        Part::Members => member_columns(&group.description, verbose),
        Part::State => state_columns(&group.description, verbose),
    };
    out.line("")?;
    let padded_end = part == Part::Members && !verbose;
    for line in in_columns(&columns, &rows) {
        out.line(if padded_end { line + " " } else { line })?;
    }
    Ok(())
}

type Cells = (Vec<Column>, Vec<Vec<String>>);

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| MISSING.to_owned(), |value| value.to_string())
}

fn words(header: &[&str]) -> Vec<String> {
    header.iter().map(|title| (*title).to_owned()).collect()
}

fn offset_columns(group: &Described, verbose: bool) -> Cells {
    use Column::{AtLeast, Fixed, Open};
    let mut columns = vec![AtLeast(15), AtLeast(15), Fixed(10)];
    let mut header = words(&["GROUP", "TOPIC", "PARTITION"]);
    if verbose {
        columns.push(Fixed(15));
        header.push("LEADER-EPOCH".to_owned());
    }
    columns.extend([Fixed(15), Fixed(15), Fixed(15), AtLeast(15), AtLeast(15), Open]);
    header.extend(words(&["CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID"]));
    let row = |row: &Row| {
        let TopicPartition { topic, partition } = &row.partition;
        let mut cells = vec![group.description.group_id.clone(), topic.clone(), partition.to_string()];
        cells.extend(verbose.then(|| shown(row.leader_epoch)));
        cells.extend([shown(row.offset), shown(row.end), shown(row.lag())]);
        let member = row.member.as_ref();
        cells.extend([
            shown(member.map(|member| &member.member_id)),
            shown(member.map(|member| &member.client_host)),
            shown(member.map(|member| &member.client_id)),
        ]);
        cells
    };
    (columns, std::iter::once(header).chain(group.rows.iter().map(row)).collect())
}

fn member_columns(group: &GroupDescription, verbose: bool) -> Cells {
    use Column::{AtLeast, Fixed, Open};
    let with_instance = group.members.iter().any(|member| member.group_instance_id.is_some());
    // Members of both protocols: the group is on its way from one to the other.
    let mixed = [false, true].iter().all(|new| group.members.iter().any(|member| member.upgraded == Some(*new)));
    let mut columns = vec![AtLeast(15), AtLeast(15)];
    let mut header = words(&["GROUP", "CONSUMER-ID"]);
    if with_instance {
        columns.push(AtLeast(17));
        header.push("GROUP-INSTANCE-ID".to_owned());
    }
    columns.extend([AtLeast(15), AtLeast(15), Fixed(15)]);
    header.extend(words(&["HOST", "CLIENT-ID", "#PARTITIONS"]));
    if verbose {
        columns.extend([Fixed(15), AtLeast(20), Fixed(15), AtLeast(20)]);
        header.extend(words(&["CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT"]));
        if mixed {
            columns.push(Open);
            header.push("UPGRADED".to_owned());
        }
    }
    let row = |member: &DescribedMember| {
        let mut cells = vec![group.group_id.clone(), member.member_id.clone()];
        cells.extend(with_instance.then(|| member.group_instance_id.clone().unwrap_or_default()));
        cells.extend([member.client_host.clone(), member.client_id.clone(), member.assignment.len().to_string()]);
        if verbose {
            cells.extend([
                shown(member.member_epoch),
                assignment(&member.assignment),
                shown(group.assignment_epoch),
                assignment(member.target_assignment.as_deref().unwrap_or_default()),
            ]);
            cells.extend(mixed.then(|| shown(member.upgraded)));
        }
        cells
    };
    (columns, std::iter::once(header).chain(group.members.iter().map(row)).collect())
}

fn state_columns(group: &GroupDescription, verbose: bool) -> Cells {
    use Column::{AtLeast, Fixed, Open};
    let mut columns = vec![AtLeast(15), AtLeast(25), Fixed(20), Fixed(20)];
    let mut header = words(&["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE"]);
    let assignor = Some(&group.assignor).filter(|assignor| !assignor.is_empty());
    let mut cells =
        vec![group.group_id.clone(), coordinator(group.coordinator.as_ref()), shown(assignor), group.state.clone()];
    if verbose {
        columns.extend([Fixed(15), Fixed(25)]);
        header.extend(words(&["GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH"]));
        cells.extend([shown(group.group_epoch), shown(group.assignment_epoch)]);
    }
    columns.push(Open);
    header.push("#MEMBERS".to_owned());
    cells.push(group.members.len().to_string());
    (columns, vec![header, cells])
}

fn print_tables(groups: &[Described], part: Part, verbose: bool, out: &mut Output) -> io::Result<()> {
    if groups.is_empty() {
        out.note("no groups")?;
    }
    for (index, group) in groups.iter().enumerate() {
        if index > 0 {
            out.line("")?;
        }
        out.line(title(group, part, out))?;
        match part {
            Part::Offsets => {
                let row = |row: &Row| {
                    let TopicPartition { topic, partition } = &row.partition;
                    let member = row.member.as_ref();
                    vec![
                        topic.clone(),
                        partition.to_string(),
                        shown(row.offset),
                        shown(row.end),
                        shown(row.lag()),
                        shown(member.map(|member| if verbose { &member.member_id } else { &member.client_id })),
                        shown(member.map(|member| member.client_host.trim_start_matches('/'))),
                    ]
                };
                let header = ["Topic", "Partition", "Offset", "End", "Lag", "Consumer", "Host"];
                out.table(&header, group.rows.iter().map(row).collect())?;
            }
            Part::Members => {
                let row = |member: &DescribedMember| {
                    vec![
                        member.client_id.clone(),
                        member.group_instance_id.clone().unwrap_or_else(|| member.member_id.clone()),
                        member.client_host.trim_start_matches('/').to_owned(),
                        assignment(&member.assignment),
                        shown(member.member_epoch),
                    ]
                };
                let header = ["Client", "Member", "Host", "Partitions", "Epoch"];
                out.table(&header, group.description.members.iter().map(row).collect())?;
            }
            Part::State => {}
        }
    }
    Ok(())
}

/// A line that says how a group is.
fn title(group: &Described, part: Part, out: &Output) -> String {
    let description = &group.description;
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
        let lag: i64 = group.rows.iter().filter_map(Row::lag).sum();
        facts.push(format!("lag {lag}"));
    }
    let state = out.tinted(&description.state, state_tint(&description.state));
    format!("{}  {state}, {}", out.bold(&description.group_id), facts.join(", "))
}

fn group_json(group: &Described, part: Part) -> Value {
    let description = &group.description;
    let coordinator = description
        .coordinator
        .as_ref()
        .map(|node| json!({"id": node.id.get(), "host": node.address.host(), "port": node.address.port()}));
    let mut object = json!({
        "group": description.group_id,
        "type": description.group_type,
        "state": description.state,
        "assignor": Some(&description.assignor).filter(|assignor| !assignor.is_empty()),
        "coordinator": coordinator,
        "groupEpoch": description.group_epoch,
        "assignmentEpoch": description.assignment_epoch,
        "memberCount": description.members.len(),
    });
    let (key, list) = match part {
        Part::Offsets => ("offsets", group.rows.iter().map(row_json).collect::<Vec<_>>()),
        Part::Members => ("members", description.members.iter().map(member_json).collect()),
        Part::State => return object,
    };
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), list.into());
    }
    object
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
    let partitions = |partitions: &[TopicPartition]| {
        let partition = |p: &TopicPartition| json!({"topic": p.topic, "partition": p.partition.get()});
        partitions.iter().map(partition).collect::<Vec<_>>()
    };
    json!({
        "memberId": member.member_id,
        "groupInstanceId": member.group_instance_id,
        "clientId": member.client_id,
        "host": member.client_host,
        "memberEpoch": member.member_epoch,
        "upgraded": member.upgraded,
        "assignment": partitions(&member.assignment),
        "targetAssignment": member.target_assignment.as_deref().map(partitions),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        print(std::slice::from_ref(group), part, verbose, &mut out).unwrap();
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
