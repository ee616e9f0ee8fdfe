//! What `streams-groups --describe` prints.

use std::io;

use serde_json::{Value, json};

use crate::cli::support::groups::{DescribedGroup, Part, Table, coordinator_json, state_tint};
use crate::cli::support::{Column, Output, in_columns, or_dash, with_header};
use crate::client::admin::{StreamsGroupDescription, StreamsMember, StreamsTasks};
use crate::types::TopicPartition;

/// A group with what is to be shown of it.
pub(super) struct Described {
    pub(super) description: StreamsGroupDescription,
    pub(super) rows: Vec<Row>,
}

/// A partition that a group processes.
pub(super) struct Row {
    pub(super) partition: TopicPartition,
    pub(super) offset: Option<i64>,
    pub(super) leader_epoch: Option<i32>,
    pub(super) end: i64,
    pub(super) lag: i64,
}

impl DescribedGroup for Described {
    const NONE: &'static str = "no streams groups";

    fn print_columns(&self, part: Part, verbose: bool, out: &mut Output) -> io::Result<()> {
        let description = &self.description;
        if part != Part::State && (description.state == "Dead" || description.members.is_empty()) {
            return Ok(());
        }
        let id = &description.group_id;
        match description.state.as_str() {
            "Dead" => out.line(format_args!("\nError: Streams group '{id}' does not exist."))?,
            "Empty" => out.line(format_args!("\nError: Streams group '{id}' has no active members."))?,
            _ => {}
        }
        let lines = match part {
            Part::Offsets => offset_lines(self, verbose),
            Part::Members => member_lines(description, verbose),
            Part::State => state_lines(description, verbose),
        };
        lines.into_iter().try_for_each(|line| out.line(line))
    }

    fn title(&self, part: Part, out: &Output) -> String {
        let description = &self.description;
        let state = out.tinted(&description.state, state_tint(&description.state));
        let mut line = format!("{}  {state}, members: {}", out.bold(&description.group_id), description.members.len());
        match (part, &description.coordinator) {
            (Part::Offsets, _) => line.push_str(&format!(", lag {}", self.rows.iter().map(|row| row.lag).sum::<i64>())),
            (Part::State, Some(node)) => {
                let epoch = description.group_epoch;
                line.push_str(&format!(", epoch {epoch}, coordinator {} at {}", node.id, node.address));
            }
            _ => {}
        }
        line
    }

    fn table(&self, part: Part, _: bool) -> Table {
        match part {
            Part::Offsets => {
                let row = |row: &Row| {
                    let TopicPartition { topic, partition } = &row.partition;
                    let (offset, end) = (or_dash(row.offset), row.end.to_string());
                    vec![topic.clone(), partition.to_string(), offset, end, row.lag.to_string()]
                };
                let mut sorted: Vec<&Row> = self.rows.iter().collect();
                sorted.sort_by(|a, b| a.partition.cmp(&b.partition));
                (&["Topic", "Partition", "Offset", "End", "Lag"], sorted.into_iter().map(row).collect())
            }
            Part::Members => {
                let row = |member: &StreamsMember| {
                    let host = member.client_host.trim_start_matches('/').to_owned();
                    let assigned = tasks(&member.tasks, "").trim_end_matches("; ").to_owned();
                    vec![member.client_id.clone(), member.process_id.clone(), host, assigned]
                };
                (&["Client", "Process", "Host", "Tasks"], self.description.members.iter().map(row).collect())
            }
            Part::State => (&[], Vec::new()),
        }
    }

    fn json(&self) -> Value {
        let description = &self.description;
        json!({
            "group": description.group_id,
            "state": description.state,
            "coordinator": coordinator_json(description.coordinator.as_ref()),
            "groupEpoch": description.group_epoch,
            "assignmentEpoch": description.assignment_epoch,
            "topologyEpoch": description.topology_epoch,
            "memberCount": description.members.len(),
        })
    }

    fn offsets_json(&self) -> Vec<Value> {
        let row = |row: &Row| {
            json!({
                "topic": row.partition.topic,
                "partition": row.partition.partition.get(),
                "currentOffset": row.offset,
                "leaderEpoch": row.leader_epoch,
                "logEndOffset": row.end,
                "lag": row.lag,
            })
        };
        self.rows.iter().map(row).collect()
    }

    fn members_json(&self) -> Vec<Value> {
        let member = |member: &StreamsMember| {
            json!({
                "memberId": member.member_id,
                "processId": member.process_id,
                "clientId": member.client_id,
                "host": member.client_host,
                "memberEpoch": member.member_epoch,
                "protocol": if member.is_classic { "classic" } else { "streams" },
                "tasks": tasks_json(&member.tasks),
                "targetTasks": tasks_json(&member.target),
            })
        };
        self.description.members.iter().map(member).collect()
    }
}

fn offset_lines(group: &Described, verbose: bool) -> Vec<String> {
    use Column::{AtLeast, Fixed, Open};
    let id = &group.description.group_id;
    let row = |row: &Row| {
        let mut cells = vec![id.clone(), row.partition.topic.clone(), row.partition.partition.to_string()];
        if verbose {
            cells.extend([or_dash(row.offset), or_dash(row.leader_epoch), row.end.to_string()]);
        }
        cells.push(row.lag.to_string());
        cells
    };
    let rows = group.rows.iter().map(row);
    if verbose {
        let header = ["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LEADER-EPOCH", "LOG-END-OFFSET", "OFFSET-LAG"];
        let columns = [AtLeast(15), AtLeast(15), Fixed(10), Fixed(15), Fixed(15), Fixed(15), Fixed(15)];
        return in_columns(&columns, &with_header(&header, rows));
    }
    let header = ["GROUP", "TOPIC", "PARTITION", "OFFSET-LAG"];
    in_columns(&[AtLeast(15), AtLeast(15), Fixed(10), Open], &with_header(&header, rows))
}

fn member_lines(group: &StreamsGroupDescription, verbose: bool) -> Vec<String> {
    use Column::{AtLeast, Fixed, Open};
    let id = &group.group_id;
    if !verbose {
        let row = |member: &StreamsMember| {
            let StreamsMember { member_id, process_id, client_id, .. } = member;
            vec![id.clone(), member_id.clone(), process_id.clone(), client_id.clone(), tasks(&member.tasks, "")]
        };
        let header = ["GROUP", "MEMBER", "PROCESS", "CLIENT-ID", "ASSIGNMENTS"];
        let columns = [AtLeast(15), AtLeast(15), AtLeast(15), AtLeast(15), Open];
        return in_columns(&columns, &with_header(&header, group.members.iter().map(row)));
    }
    // Kafka has no space between the epoch of the topology and the member.
    let member_width = group.members.iter().map(|m| m.member_id.encode_utf16().count()).fold(15, usize::max);
    let joined = |epoch: &str, member: &str| format!("{epoch:<15}{member:<member_width$}");
    let row = |member: &StreamsMember| {
        vec![
            id.clone(),
            group.assignment_epoch.to_string(),
            joined(&group.topology_epoch.to_string(), &member.member_id),
            if member.is_classic { "classic" } else { "streams" }.to_owned(),
            member.member_epoch.to_string(),
            member.process_id.clone(),
            member.client_id.clone(),
            tasks(&member.tasks, "") + &tasks(&member.target, "TARGET-"),
        ]
    };
    let both = joined("TOPOLOGY-EPOCH", "MEMBER");
    let header = [
        "GROUP",
        "TARGET-ASSIGNMENT-EPOCH",
        both.as_str(),
        "MEMBER-PROTOCOL",
        "MEMBER-EPOCH",
        "PROCESS",
        "CLIENT-ID",
        "ASSIGNMENTS",
    ];
    let columns = [AtLeast(15), Fixed(25), AtLeast(0), Fixed(15), Fixed(15), AtLeast(15), AtLeast(15), Open];
    in_columns(&columns, &with_header(&header, group.members.iter().map(row)))
}

fn state_lines(group: &StreamsGroupDescription, verbose: bool) -> Vec<String> {
    use Column::{AtLeast, Fixed, Open};
    let coordinator =
        group.coordinator.as_ref().map_or_else(String::new, |node| format!("{} ({})", node.address, node.id));
    let mut columns = vec![AtLeast(15), AtLeast(25), Fixed(25), Open];
    let mut header = vec!["GROUP", "COORDINATOR (ID)", "STATE", "#MEMBERS"];
    let mut row = vec![group.group_id.clone(), coordinator, group.state.clone()];
    if verbose {
        columns.splice(3..3, [Fixed(15), Fixed(25)]);
        header.splice(3..3, ["GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH"]);
        row.extend([group.group_epoch.to_string(), group.assignment_epoch.to_string()]);
    }
    row.push(group.members.len().to_string());
    in_columns(&columns, &with_header(&header, [row]))
}

/// `ACTIVE: 0:[0,1]; STANDBY: 1:[2]; `, as Kafka writes it.
fn tasks(tasks: &StreamsTasks, prefix: &str) -> String {
    let mut text = String::new();
    for (kind, list) in [("ACTIVE", &tasks.active), ("STANDBY", &tasks.standby), ("WARMUP", &tasks.warmup)] {
        if !list.is_empty() {
            text.push_str(&format!("{prefix}{kind}: "));
        }
        for (id, partitions) in list {
            let partitions: Vec<_> = partitions.iter().map(ToString::to_string).collect();
            text.push_str(&format!("{id}:[{}]; ", partitions.join(",")));
        }
    }
    text
}

fn tasks_json(tasks: &StreamsTasks) -> Value {
    let list = |list: &[(String, Vec<i32>)]| {
        let task = |(id, partitions): &(String, Vec<i32>)| json!({"subtopology": id, "partitions": partitions});
        list.iter().map(task).collect::<Vec<_>>()
    };
    json!({"active": list(&tasks.active), "standby": list(&tasks.standby), "warmup": list(&tasks.warmup)})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::support::Style;
    use crate::cli::support::groups::print_described;

    fn group(members: usize) -> Described {
        let member = StreamsMember {
            member_id: "m".to_owned(),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            process_id: "p".to_owned(),
            member_epoch: 2,
            is_classic: false,
            tasks: StreamsTasks { active: vec![("0".to_owned(), vec![0, 1])], ..StreamsTasks::default() },
            target: StreamsTasks { standby: vec![("1".to_owned(), vec![2])], ..StreamsTasks::default() },
        };
        let partition = TopicPartition::new("in", 0);
        Described {
            description: StreamsGroupDescription {
                group_id: "app".to_owned(),
                state: if members == 0 { "Empty" } else { "Stable" }.to_owned(),
                coordinator: None,
                group_epoch: 3,
                assignment_epoch: 3,
                topology_epoch: 0,
                subtopologies: Vec::new(),
                members: vec![member; members],
            },
            rows: vec![Row { partition, offset: None, leader_epoch: None, end: 5, lag: 5 }],
        }
    }

    fn printed(members: usize, part: Part, verbose: bool, style: Style) -> String {
        let (mut out, captured) = Output::captured();
        out.set_style(style);
        print_described(&[group(members)], part, verbose, &mut out).unwrap();
        out.flush().unwrap();
        captured.stdout()
    }

    #[test]
    fn kafkas_columns() {
        assert_eq!(
            printed(1, Part::Offsets, false, Style::Kafka),
            "GROUP           TOPIC           PARTITION  OFFSET-LAG\napp             in              0          5\n"
        );
        let verbose = printed(1, Part::Offsets, true, Style::Kafka);
        assert!(
            verbose.ends_with("0          -               -               5               5              \n"),
            "{verbose}"
        );
        let members = printed(1, Part::Members, true, Style::Kafka);
        assert!(members.contains("TOPOLOGY-EPOCH MEMBER          MEMBER-PROTOCOL"), "{members}");
        assert!(members.ends_with("ACTIVE: 0:[0,1]; TARGET-STANDBY: 1:[2]; \n"), "{members}");
        assert_eq!(printed(0, Part::Members, false, Style::Kafka), "");
        let state = printed(0, Part::State, false, Style::Kafka);
        assert!(state.starts_with("\nError: Streams group 'app' has no active members.\nGROUP "), "{state}");
    }

    #[test]
    fn people_and_programs_see_tasks_and_lag() {
        assert!(printed(1, Part::Offsets, false, Style::Table).starts_with("app  Stable, members: 1, lag 5\n"));
        let json: Value = serde_json::from_str(&printed(1, Part::Members, false, Style::Json)).unwrap();
        let expected = json!([{"subtopology": "0", "partitions": [0, 1]}]);
        assert_eq!(json["groups"][0]["members"][0]["tasks"]["active"], expected);
    }
}
