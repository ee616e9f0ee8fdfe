//! Resetting offsets: what consumer-groups, share-groups, streams-groups and streams-application-reset share.
//!
//! Start reading at `scenario.rs`.

pub(crate) mod partitions;
pub(crate) mod plan_file;
mod scenario;
pub(crate) mod times;

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use super::{Column, Output, Style, in_columns, java};
use crate::types::TopicPartition;
pub(crate) use scenario::{Scenario, ScenarioArgs, within_log};

/// What a group's offsets are to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupReset {
    pub(crate) group: String,
    /// The new offsets, in Kafka's order.
    pub(crate) offsets: Vec<(TopicPartition, i64)>,
    /// Where the group is now, as far as that was looked up.
    pub(crate) committed: BTreeMap<TopicPartition, i64>,
}

/// Puts groups and partitions into the order in which Kafka's tool goes over them.
pub(crate) fn in_kafkas_order(resets: &mut [GroupReset]) {
    java::in_hash_map_order(resets, |reset| &reset.group);
    for reset in resets {
        java::in_partition_hash_map_order(&mut reset.offsets, |(partition, _)| partition);
    }
}

/// Prints the new offsets in the style of the output.
pub(crate) fn print(resets: &[GroupReset], executed: bool, out: &mut Output) -> anyhow::Result<()> {
    match out.style() {
        Style::Kafka => print_columns(resets, out)?,
        Style::Table => print_table(resets, out)?,
        Style::Json => out.json(&json!({
            "version": 1,
            "executed": executed,
            "groups": resets.iter().map(group_json).collect::<Vec<_>>(),
        }))?,
    }
    Ok(())
}

fn print_columns(resets: &[GroupReset], out: &mut Output) -> io::Result<()> {
    const COLUMNS: [Column; 4] = [Column::AtLeast(15), Column::AtLeast(15), Column::Fixed(10), Column::Open];
    let mut rows = Vec::new();
    if !resets.is_empty() {
        rows.push(["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"].map(str::to_owned).to_vec());
    }
    for reset in resets {
        for (TopicPartition { topic, partition }, offset) in &reset.offsets {
            rows.push(vec![reset.group.clone(), topic.clone(), partition.to_string(), offset.to_string()]);
        }
    }
    // Each line begins with its line end, and the last has one more.
    for line in in_columns(&COLUMNS, &rows) {
        out.line("").and_then(|()| write_text(&line, out))?;
    }
    out.line("")
}

fn write_text(text: &str, out: &mut Output) -> io::Result<()> {
    use io::Write as _;
    out.stdout().write_all(text.as_bytes())
}

/// For people: where the group is, and where it is to be.
pub(crate) fn print_table(resets: &[GroupReset], out: &mut Output) -> io::Result<()> {
    let mut rows = Vec::new();
    for reset in resets {
        let mut offsets: Vec<_> = reset.offsets.iter().collect();
        offsets.sort();
        for (partition, offset) in offsets {
            let current = reset.committed.get(partition);
            rows.push(vec![
                reset.group.clone(),
                partition.topic.clone(),
                partition.partition.to_string(),
                current.map_or_else(|| "-".to_owned(), ToString::to_string),
                offset.to_string(),
                current.map_or_else(String::new, |current| format!("{:+}", offset.saturating_sub(*current))),
            ]);
        }
    }
    if rows.is_empty() {
        out.note("no offsets to set")?;
    }
    out.table(&["Group", "Topic", "Partition", "Offset", "New offset", "Moves by"], rows)
}

fn group_json(reset: &GroupReset) -> Value {
    let offset = |(partition, offset): &(TopicPartition, i64)| {
        json!({
            "topic": partition.topic,
            "partition": partition.partition.get(),
            "currentOffset": reset.committed.get(partition),
            "newOffset": offset,
        })
    };
    json!({"group": reset.group, "offsets": reset.offsets.iter().map(offset).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resets() -> Vec<GroupReset> {
        let offset = |topic: &str, partition, offset| (TopicPartition::new(topic, partition), offset);
        let offsets = vec![offset("g3", 0, 1), offset("g3", 2, 0), offset("g1", 0, 5), offset("g3", 1, 3)];
        let committed = [(TopicPartition::new("g1", 0), 7)].into();
        let mut resets = vec![GroupReset { group: "idle".to_owned(), offsets, committed }];
        in_kafkas_order(&mut resets);
        resets
    }

    fn printed(style: Style, resets: &[GroupReset]) -> String {
        let (mut out, captured) = Output::captured();
        out.set_style(style);
        print(resets, true, &mut out).unwrap();
        out.flush().unwrap();
        captured.stdout()
    }

    #[test]
    fn kafkas_columns() {
        assert_eq!(
            printed(Style::Kafka, &resets()),
            "
GROUP           TOPIC           PARTITION  NEW-OFFSET
idle            g3              2          0
idle            g1              0          5
idle            g3              1          3
idle            g3              0          1
"
        );
        assert_eq!(printed(Style::Kafka, &[]), "\n");
    }

    #[test]
    fn people_and_programs_see_where_the_group_was() {
        let table = printed(Style::Table, &resets());
        assert!(table.contains("Moves by") && table.contains("-2"), "{table}");
        let json: Value = serde_json::from_str(&printed(Style::Json, &resets())).unwrap();
        assert_eq!(json["executed"], true);
        assert_eq!(
            json["groups"][0]["offsets"][1],
            json!({"topic": "g1", "partition": 0, "currentOffset": 7, "newOffset": 5})
        );
    }
}
