//! `--delete`.

use serde_json::json;

use super::{GroupTool, kafkas_failure};
use crate::cli::support::{Exit, JavaError, Output, Style, java};
use crate::client::Admin;
use crate::protocol::ErrorCode;

/// What is asked before groups go.
pub(crate) fn deletion_question(groups: &[String]) -> String {
    match groups {
        [group] => format!("Delete the group {group} with all its offsets?"),
        _ => format!("Delete {} groups with all their offsets: {}?", groups.len(), groups.join(", ")),
    }
}

impl GroupTool {
    /// Why a group that is in this state can't go, if so.
    pub(crate) fn refuses_to_delete(self, group: &str, state: &str) -> Option<JavaError> {
        let title = self.group_type().name();
        match state {
            "Empty" => None,
            "Dead" => {
                let class = "java.lang.IllegalStateException";
                Some(JavaError::new(class, format!("{title} group '{group}' group state is DEAD.")))
            }
            _ => {
                let class = java::exception_class(ErrorCode::NonEmptyGroup);
                Some(JavaError::new(class, format!("{title} group '{group}' is not EMPTY.")))
            }
        }
    }
}

/// Which groups went, and which did not.
pub(crate) struct Deletion {
    tool: GroupTool,
    dry_run: bool,
    deleted: Vec<String>,
    failed: Vec<(String, JavaError)>,
}

impl Deletion {
    pub(crate) fn new(tool: GroupTool, dry_run: bool) -> Self {
        Self { tool, dry_run, deleted: Vec::new(), failed: Vec::new() }
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
        let kind = self.tool.name();
        let quoted: Vec<_> = self.deleted.iter().map(|group| format!("'{group}'")).collect();
        let quoted = quoted.join(", ");
        // Kafka's tool for streams groups has a full stop more than the others, and quotes even nothing.
        let is_streams = self.tool == GroupTool::Streams;
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
            tool: GroupTool::Consumer,
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
