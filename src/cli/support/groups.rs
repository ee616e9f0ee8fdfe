//! What the tools for groups of all types share: states, assignments, deleting.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde_json::json;

use super::{Column, Exit, JavaError, Output, Style, Tint, UsageError, in_columns, java};
use crate::client::admin::{GroupListing, GroupType};
use crate::client::{Admin, ClientError, Node};
use crate::types::TopicPartition;

/// How a failure ends: with 0 where Kafka's output is expected, since Kafka's tools do so.
pub(crate) fn kafkas_failure(out: &Output) -> Exit {
    if out.style() == Style::Kafka { Exit::Success } else { Exit::Failure }
}

/// The states that a list such as `stable,empty` means, as Kafka spells them.
pub(crate) fn states(text: &str, valid: &[&str]) -> anyhow::Result<Vec<String>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let state = |word: &str| valid.iter().find(|state| state.eq_ignore_ascii_case(word.trim()));
    let states: Option<Vec<String>> = text.split(',').map(|word| state(word).map(|s| (*s).to_owned())).collect();
    states.ok_or_else(|| {
        UsageError::because(format!("Invalid state list '{text}'. Valid states are: {}", valid.join(", ")))
    })
}

/// An error as the exception in which Kafka's tools get it.
pub(crate) fn execution(error: JavaError) -> JavaError {
    error.wrapped_in("java.util.concurrent.ExecutionException")
}

/// The same where Kafka's tools do not expect it.
pub(crate) fn unexpected(error: JavaError) -> JavaError {
    execution(error).wrapped_in("java.lang.RuntimeException")
}

/// The ids of groups, each once, in their order.
pub(crate) fn each_once(ids: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    ids.iter().filter(|id| seen.insert(id.as_str())).cloned().collect()
}

/// The groups of a newer type in these states (none: in any), in the order of their names.
pub(crate) async fn groups_of(
    group_type: GroupType,
    states: &[String],
    admin: &Admin,
) -> Result<Vec<GroupListing>, JavaError> {
    let failed = |error: ClientError| unexpected(JavaError::no_brokers("ListGroups", &error));
    let mut groups = admin.list_groups(states, &[group_type.name().to_owned()]).await.map_err(failed)?;
    groups.retain(|group| GroupType::parse(&group.group_type) == Some(group_type));
    Ok(groups)
}

/// Prints a list of groups; where a script reads it, with states only if these were asked for.
pub(crate) fn print_groups(mut groups: Vec<GroupListing>, with_states: bool, out: &mut Output) -> io::Result<()> {
    match out.style() {
        Style::Kafka => {
            java::in_hash_map_order(&mut groups, |group| &group.group_id);
            let header = std::iter::once(vec!["GROUP".to_owned(), "STATE".to_owned()]);
            let row = |group: &GroupListing| vec![group.group_id.clone(), group.state.clone()];
            let lines = if with_states {
                let rows: Vec<_> = header.chain(groups.iter().map(row)).collect();
                in_columns(&[Column::AtLeast(15), Column::Open], &rows)
            } else {
                groups.into_iter().map(|group| group.group_id).collect()
            };
            lines.into_iter().try_for_each(|line| out.line(line))
        }
        Style::Table => {
            let row =
                |group: &GroupListing| vec![group.group_id.clone(), group.state.clone(), group.coordinator.to_string()];
            if groups.is_empty() {
                out.note("no such groups")?;
            }
            out.table(&["Group", "State", "Coordinator"], groups.iter().map(row).collect())
        }
        Style::Json => {
            let object = |group: &GroupListing| json!({"group": group.group_id, "state": group.state, "coordinator": group.coordinator.get()});
            let groups: Vec<_> = groups.iter().map(object).collect();
            out.json(&json!({"version": 1, "groups": groups}))
        }
    }
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

/// What is asked before groups go.
pub(crate) fn deletion_question(groups: &[String]) -> String {
    match groups {
        [group] => format!("Delete the group {group} with all its offsets?"),
        _ => format!("Delete {} groups with all their offsets: {}?", groups.len(), groups.join(", ")),
    }
}

/// Which groups went, and which did not.
pub(crate) struct Deletion {
    /// `consumer`, `share`, `streams`.
    kind: &'static str,
    dry_run: bool,
    deleted: Vec<String>,
    failed: Vec<(String, JavaError)>,
}

impl Deletion {
    pub(crate) fn new(kind: &'static str, dry_run: bool) -> Self {
        Self { kind, dry_run, deleted: Vec::new(), failed: Vec::new() }
    }

    /// The groups that went.
    pub(crate) fn deleted(&self) -> &[String] {
        &self.deleted
    }

    /// Deletes the groups, or, in a dry run, only says which. One by one, so that what went is told even if a
    /// coordinator does not answer.
    pub(crate) async fn carry_out(&mut self, groups: Vec<String>, admin: &Admin) {
        for group in groups {
            let result = if self.dry_run { Ok(()) } else { delete(&group, admin).await };
            self.add(group, result);
        }
    }

    pub(crate) fn add(&mut self, group: String, result: Result<(), JavaError>) {
        match result {
            Ok(()) => self.deleted.push(group),
            Err(error) => self.failed.push((group, error)),
        }
    }

    pub(crate) fn print(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        java::in_hash_map_order(&mut self.deleted, |group| group);
        java::in_hash_map_order(&mut self.failed, |(group, _)| group);
        let kind = self.kind;
        let quoted: Vec<_> = self.deleted.iter().map(|group| format!("'{group}'")).collect();
        let quoted = quoted.join(", ");
        // Kafka's tool for streams groups has a full stop more than the others, and quotes even nothing.
        let is_streams = kind == "streams";
        let stop = if is_streams { "." } else { "" };
        let quoted = if is_streams && quoted.is_empty() { "''".to_owned() } else { quoted };
        match out.style() {
            Style::Kafka if self.dry_run => {
                out.line(format_args!("Dry run: these {kind} groups would be deleted: ({quoted})"))?;
            }
            Style::Kafka if self.failed.is_empty() => {
                out.line(format_args!("Deletion of requested {kind} groups ({quoted}) was successful."))?;
            }
            Style::Kafka => {
                out.line(format_args!("\nError: Deletion of some {kind} groups failed:"))?;
                for (group, error) in &self.failed {
                    let error = error.to_java();
                    out.line(format_args!("* Group '{group}' could not be deleted due to: {error}"))?;
                }
                if !self.deleted.is_empty() {
                    out.line(format_args!("\nThese {kind} groups were deleted successfully: {quoted}{stop}"))?;
                }
            }
            Style::Table => {
                let done = if self.dry_run { "Would delete" } else { "Deleted" };
                if !self.deleted.is_empty() {
                    out.line(format_args!("{done} {}.", self.deleted.join(", ")))?;
                } else if self.failed.is_empty() {
                    out.note("no groups to delete")?;
                }
                for (group, error) in &self.failed {
                    out.error(&format!("{group} was not deleted: {}", error.plain()))?;
                }
            }
            Style::Json => {
                let failed = |(group, error): &(String, JavaError)| json!({"group": group, "error": error.plain()});
                out.json(&json!({
                    "version": 1,
                    "dryRun": self.dry_run,
                    "deleted": self.deleted,
                    "failed": self.failed.iter().map(failed).collect::<Vec<_>>(),
                }))?;
            }
        }
        Ok(if self.failed.is_empty() { Exit::Success } else { kafkas_failure(out) })
    }
}

async fn delete(group: &String, admin: &Admin) -> Result<(), JavaError> {
    match admin.delete_groups(std::slice::from_ref(group)).await {
        Ok(results) => match results.into_iter().next() {
            Some((_, Err(error))) => Err(JavaError::api(&error)),
            _ => Ok(()),
        },
        Err(error) => Err(JavaError::call("findCoordinator", &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(deleted: &[&str], failed: &[&str], style: Style) -> (Exit, String, String) {
        let (mut out, captured) = Output::captured();
        out.set_style(style);
        let deletion = Deletion {
            kind: "consumer",
            dry_run: false,
            deleted: deleted.iter().map(|group| (*group).to_owned()).collect(),
            failed: failed.iter().map(|group| ((*group).to_owned(), JavaError::runtime("it is used"))).collect(),
        };
        let exit = deletion.print(&mut out).unwrap();
        out.flush().unwrap();
        (exit, captured.stdout(), captured.stderr())
    }

    #[test]
    fn which_half_was_done_is_told() {
        let (exit, stdout, _) = printed(&["idle"], &["used"], Style::Kafka);
        assert_eq!(
            stdout,
            "\nError: Deletion of some consumer groups failed:\n* Group 'used' could not be deleted due to: \
             java.lang.RuntimeException: it is used\n\nThese consumer groups were deleted successfully: 'idle'\n"
        );
        assert_eq!(exit, Exit::Success);
        let (exit, stdout, stderr) = printed(&["idle"], &["used"], Style::Table);
        assert_eq!(
            (stdout.as_str(), stderr.as_str()),
            ("Deleted idle.\n", "error: used was not deleted: it is used\n")
        );
        assert_eq!(exit, Exit::Failure);
        let (_, stdout, _) = printed(&["idle"], &["used"], Style::Json);
        let expected = json!({"version": 1, "dryRun": false, "deleted": ["idle"],
                              "failed": [{"group": "used", "error": "it is used"}]});
        assert_eq!(serde_json::from_str::<serde_json::Value>(&stdout).unwrap(), expected);
    }

    #[test]
    fn questions_name_what_will_go() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(deletion_question(&names(&["a"])), "Delete the group a with all its offsets?");
        assert_eq!(deletion_question(&names(&["a", "b"])), "Delete 2 groups with all their offsets: a, b?");
    }
}
