//! `--describe`: what it prints of groups, whatever their type.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use crate::cli::support::{Output, Style, Tint};
use crate::client::Node;
use crate::types::TopicPartition;

/// What is told of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Offsets,
    Members,
    State,
}

/// A header, and the rows below it.
pub(crate) type Table = (&'static [&'static str], Vec<Vec<String>>);

/// A group with what is to be shown of it.
pub(crate) trait DescribedGroup {
    /// What people are told where there is none.
    const NONE: &'static str;

    /// Prints what Kafka's tool does.
    fn print_columns(&self, part: Part, verbose: bool, out: &mut Output) -> io::Result<()>;

    /// A line for people that says how the group is.
    fn title(&self, part: Part, out: &Output) -> String;

    /// What people see below it; nothing if there are no rows.
    fn table(&self, part: Part, verbose: bool) -> Table;

    /// The group as an object, without offsets and members.
    fn json(&self) -> Value;

    /// Its offsets for programs.
    fn offsets_json(&self) -> Vec<Value>;

    /// Its members for programs.
    fn members_json(&self) -> Vec<Value>;
}

/// Prints groups in the style of the output.
pub(crate) fn print_described<G: DescribedGroup>(
    groups: &[G],
    part: Part,
    verbose: bool,
    out: &mut Output,
) -> io::Result<()> {
    match out.style() {
        Style::Kafka => groups.iter().try_for_each(|group| group.print_columns(part, verbose, out)),
        Style::Table => {
            if groups.is_empty() {
                out.note(G::NONE)?;
            }
            for (index, group) in groups.iter().enumerate() {
                if index > 0 {
                    out.line("")?;
                }
                out.line(group.title(part, out))?;
                let (header, rows) = group.table(part, verbose);
                out.table(header, rows)?;
            }
            Ok(())
        }
        Style::Json => {
            let groups: Vec<_> = groups.iter().map(|group| with_part(group, part)).collect();
            out.json(&json!({"version": 1, "groups": groups}))
        }
    }
}

fn with_part(group: &impl DescribedGroup, part: Part) -> Value {
    let mut object = group.json();
    let (key, list) = match part {
        Part::Offsets => ("offsets", group.offsets_json()),
        Part::Members => ("members", group.members_json()),
        Part::State => return object,
    };
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), list.into());
    }
    object
}

/// Where the coordinator is, for programs.
pub(crate) fn coordinator_json(node: Option<&Node>) -> Option<Value> {
    node.map(|node| json!({"id": node.id.get(), "host": node.address.host(), "port": node.address.port()}))
}

/// Partitions for programs.
pub(crate) fn partitions_json(partitions: &[TopicPartition]) -> Vec<Value> {
    let partition = |p: &TopicPartition| json!({"topic": p.topic, "partition": p.partition.get()});
    partitions.iter().map(partition).collect()
}

/// `host:port  (id)`.
pub(crate) fn coordinator(node: Option<&Node>) -> String {
    node.map_or_else(String::new, |node| format!("{}  ({})", node.address, node.id))
}

/// `topic:0,1;other:2`.
pub(crate) fn assignment(partitions: &[TopicPartition]) -> String {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition.get());
    }
    if topics.is_empty() {
        return "-".to_owned();
    }
    let topic = |(topic, mut ids): (&str, Vec<i32>)| {
        ids.sort_unstable();
        format!("{topic}:{}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    let mut topics: Vec<String> = topics.into_iter().map(topic).collect();
    topics.sort();
    topics.join(";")
}

/// The colour of a group's state.
pub(crate) fn state_tint(state: &str) -> Tint {
    match state {
        "Stable" => Tint::Good,
        "Dead" => Tint::Bad,
        _ => Tint::Odd,
    }
}
