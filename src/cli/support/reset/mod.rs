//! Resetting offsets: what consumer-groups, share-groups, streams-groups and streams-application-reset share.
//!
//! Start reading at [`GroupReset`], then `scenario.rs`.

pub(crate) mod partitions;
pub(crate) mod plan_file;
mod scenario;
pub(crate) mod times;

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use super::{Column, JavaError, Output, Style, in_columns, java, or_dash, with_header};
use crate::client::admin::GroupOffset;
use crate::client::{Admin, ApiError};
use crate::types::{Offset, TopicPartition};
use partitions::check_exist;
use plan_file::Planned;
use scenario::within_log;
pub(crate) use scenario::{Scenario, ScenarioArgs};

/// What a group's offsets are to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupReset {
    pub(crate) group: String,
    /// The new offsets, in Kafka's order.
    pub(crate) offsets: Vec<(TopicPartition, i64)>,
    /// Where the group is now, as far as that was looked up.
    pub(crate) committed: BTreeMap<TopicPartition, i64>,
}

impl GroupReset {
    /// The same with the new offsets of these partitions, or, where a file has them, of those that it names. `single`:
    /// whether no other group is named. `None`: the file has none of this group, which is told.
    pub(crate) async fn work_out(
        mut self,
        scenario: &ScenarioArgs,
        single: bool,
        partitions: &[TopicPartition],
        admin: &Admin,
        out: &mut Output,
    ) -> anyhow::Result<Option<Self>> {
        self.offsets = match scenario.chosen() {
            None => return Err(ScenarioArgs::missing()),
            Some(Scenario::FromFile(file)) => {
                let planned = plan_file::read(&file, single)?.into_iter();
                let is_meant = |planned: &Planned| planned.group.as_deref().is_none_or(|named| named == self.group);
                let wanted = planned.filter(is_meant).map(|planned| (planned.partition, planned.offset));
                let wanted: Vec<_> = wanted.collect();
                if wanted.is_empty() {
                    tell(&format!("No reset plan for group {} found", self.group), out)?;
                    return Ok(None);
                }
                let partitions: Vec<_> = wanted.iter().map(|(partition, _)| partition.clone()).collect();
                check_exist(&partitions, admin).await?;
                within_log(wanted, admin, out).await?
            }
            Some(scenario) => scenario.offsets(partitions, &self.committed, admin, out).await?,
        };
        Ok(Some(self))
    }
}

/// Tells an error that concerns one group; the others go on.
pub(crate) fn tell(error: &str, out: &mut Output) -> io::Result<()> {
    if out.style() == Style::Kafka { out.line(format_args!("\nError: {error}")) } else { out.error(error) }
}

/// Tells that a group has members, or whatever else its state forbids.
pub(crate) fn tell_active(group: &str, state: &str, out: &mut Output) -> io::Result<()> {
    let inactive = format!("Assignments can only be reset if the group '{group}' is inactive");
    tell(&format!("{inactive}, but the current state is {state}."), out)
}

/// What came of each partition.
type Results = BTreeMap<TopicPartition, Result<(), ApiError>>;

/// Sets the offsets of a group.
pub(crate) async fn commit(
    group: &str,
    offsets: &[(TopicPartition, i64)],
    admin: &Admin,
) -> Result<Results, JavaError> {
    let offset = |(partition, offset): &(TopicPartition, i64)| (partition.clone(), GroupOffset::new(Offset(*offset)));
    let offsets: Vec<_> = offsets.iter().map(offset).collect();
    admin.commit_group_offsets(group, &offsets).await.map_err(|error| JavaError::call("findCoordinator", &error))
}

/// The first error, if there is one; `what` failed is what people are told.
pub(crate) fn all_set(results: Results, what: impl Fn(&TopicPartition) -> String) -> Result<(), JavaError> {
    match results.into_iter().find_map(|(partition, result)| Some((partition, result.err()?))) {
        Some((partition, error)) => {
            let error = JavaError::api(&error);
            let plain = format!("{}: {}", what(&partition), error.plain());
            Err(error.with_plain(plain))
        }
        None => Ok(()),
    }
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
        Style::Kafka => print_columns(resets, &COLUMNS, out)?,
        Style::Table => print_table(resets, out)?,
        Style::Json => out.json(&json!({
            "version": 1,
            "executed": executed,
            "groups": resets.iter().map(group_json).collect::<Vec<_>>(),
        }))?,
    }
    Ok(())
}

const COLUMNS: [Column; 4] = [Column::AtLeast(15), Column::AtLeast(15), Column::Fixed(10), Column::Open];

/// Prints the new offsets as Kafka's tools do, whose columns are not alike.
pub(crate) fn print_columns(resets: &[GroupReset], columns: &[Column; 4], out: &mut Output) -> io::Result<()> {
    out.line("")?;
    if resets.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::new();
    for reset in resets {
        for (TopicPartition { topic, partition }, offset) in &reset.offsets {
            rows.push(vec![reset.group.clone(), topic.clone(), partition.to_string(), offset.to_string()]);
        }
    }
    let rows = with_header(&["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"], rows);
    in_columns(columns, &rows).into_iter().try_for_each(|line| out.line(line))
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
                or_dash(current),
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
