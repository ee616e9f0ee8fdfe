//! The groups that a tool is for: which there are, which are meant, and how a failure is told.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use serde_json::json;

use super::{kafkas_failure, unexpected};
use crate::cli::support::{
    Column, ConnectArgs, Exit, JavaError, Mistake, Output, Style, UsageError, did_you_mean, in_columns, java,
    pick_group, report_failure, with_header,
};
use crate::client::admin::{GroupListing, GroupType};
use crate::client::{Admin, ClientError};
use crate::protocol::ErrorCode;

/// Which of the tools it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupTool {
    Consumer,
    Share,
    Streams,
}

impl GroupTool {
    /// What Kafka's tool calls its groups.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
        }
    }

    /// The type of its groups; groups of consumers may be classic ones, too.
    pub(super) fn group_type(self) -> GroupType {
        match self {
            Self::Consumer => GroupType::Consumer,
            Self::Share => GroupType::Share,
            Self::Streams => GroupType::Streams,
        }
    }

    fn has(self, group: &GroupListing) -> bool {
        let group_type = GroupType::parse(&group.group_type);
        match self {
            // Brokers before 3.8 don't tell types, those before 2.6 no states.
            Self::Consumer => {
                let is_consumers = matches!(group.protocol_type.as_str(), "consumer" | "");
                is_consumers && group_type.is_none_or(|t| matches!(t, GroupType::Classic | GroupType::Consumer))
            }
            Self::Share | Self::Streams => group_type == Some(self.group_type()),
        }
    }

    /// Its groups in these states (none: in any), in the order of their names.
    async fn list(self, states: &[String], admin: &Admin) -> Result<Vec<GroupListing>, JavaError> {
        let types = match self {
            Self::Consumer => Vec::new(),
            Self::Share | Self::Streams => vec![self.group_type().name().to_owned()],
        };
        self.list_of_types(&types, states, admin).await
    }

    /// The same of these types alone (none: of all).
    pub(crate) async fn list_of_types(
        self,
        types: &[String],
        states: &[String],
        admin: &Admin,
    ) -> Result<Vec<GroupListing>, JavaError> {
        let failed = |error: ClientError| unexpected(JavaError::no_brokers("ListGroups", &error));
        let mut groups = admin.list_groups(states, types).await.map_err(failed)?;
        groups.retain(|group| self.has(group));
        Ok(groups)
    }

    /// All its groups, in the order of their names.
    pub(crate) async fn all(self, admin: &Admin) -> Result<Vec<GroupListing>, JavaError> {
        self.list(&[], admin).await
    }

    async fn ids(self, admin: &Admin) -> Result<Vec<String>, JavaError> {
        Ok(self.all(admin).await?.into_iter().map(|group| group.group_id).collect())
    }

    /// The groups that `--group` names, each once, or `--all-groups` means.
    pub(crate) async fn meant(self, named: &[String], all: bool, admin: &Admin) -> Result<Vec<String>, JavaError> {
        if all {
            return self.ids(admin).await;
        }
        let mut seen = BTreeSet::new();
        Ok(named.iter().filter(|id| seen.insert(id.as_str())).cloned().collect())
    }

    /// Lets the person pick one of its groups.
    pub(crate) async fn pick(self, admin: &Admin, out: &mut Output) -> anyhow::Result<String> {
        pick_group(self.ids(admin).await?, out)
    }

    /// A hint at a group of nearly this name.
    pub(crate) async fn near(self, group: &str, admin: &Admin) -> Option<String> {
        let groups = self.ids(admin).await.ok()?;
        did_you_mean(group, groups.iter().map(String::as_str))
    }

    /// Why a group could not be described.
    pub(crate) async fn not_described(self, group: &str, error: &ClientError, admin: &Admin) -> JavaError {
        let is_unknown = error.code() == Some(ErrorCode::GroupIdNotFound);
        let near = if is_unknown { self.near(group, admin).await } else { None };
        JavaError::call("findCoordinator", error).with_hint(near)
    }

    /// `--list` with the value of `--state`, if that is given: one that is not empty limits the states to these.
    pub(crate) async fn print_list(
        self,
        state: Option<&str>,
        valid: &[&str],
        admin: &Admin,
        out: &mut Output,
    ) -> anyhow::Result<Exit> {
        let groups = self.list(&states(state.unwrap_or_default(), valid)?, admin).await?;
        print_groups(groups, state.is_some(), out)?;
        Ok(Exit::Success)
    }

    /// Values that Kafka's tools read only when they are at work are failures there.
    pub(crate) fn misused(self, mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        let class = match (mistake.kind, self) {
            (Mistake::BadValue, Self::Consumer) => "joptsimple.OptionArgumentConversionException",
            (Mistake::Repeated, Self::Consumer) => "joptsimple.MultipleArgumentsForOptionException",
            (Mistake::BadValue | Mistake::Repeated, _) => "java.lang.RuntimeException",
            _ => return mistake.report(called_as, out),
        };
        self.report(&JavaError::new(class, mistake.to_string()), out)
    }

    /// Tells why the tool failed.
    pub(crate) fn failed(self, error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        match error.downcast_ref::<JavaError>() {
            Some(error) => self.report(error, out),
            None => report_failure(error, out),
        }
    }

    /// Kafka's tools tell a failure on stdout, and end with 0; that for streams groups with 1.
    fn report(self, error: &JavaError, out: &mut Output) -> io::Result<Exit> {
        error.report(out, |error, out| {
            out.line(format_args!("\nError: Executing {} group command failed due to {error}", self.name()))?;
            out.note(error.to_java())
        })?;
        Ok(if self == Self::Streams { Exit::Failure } else { kafkas_failure(out) })
    }
}

/// Calls that are given up after `--timeout`.
pub(crate) fn admin_within(timeout: &str, connect: &ConnectArgs, out: &mut Output) -> anyhow::Result<Admin> {
    let mut options = connect.admin_options(out)?;
    options.api_timeout = milliseconds(timeout)?;
    options.request_timeout = options.request_timeout.min(options.api_timeout);
    Ok(Admin::new(options))
}

fn milliseconds(text: &str) -> Result<Duration, JavaError> {
    text.parse::<i64>().ok().map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default())).ok_or_else(|| {
        JavaError::new(
            "joptsimple.OptionArgumentConversionException",
            format!("Cannot parse argument '{text}' of option timeout"),
        )
    })
}

/// The group of actions that take one alone.
pub(crate) fn one_group(named: &[String]) -> Result<&str, JavaError> {
    match named {
        [group] => Ok(group),
        _ => Err(JavaError::new(
            "joptsimple.MultipleArgumentsForOptionException",
            "Found multiple arguments for option group, but you asked for only one",
        )),
    }
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

/// Prints a list of groups; where a script reads it, with states only if these were asked for.
fn print_groups(mut groups: Vec<GroupListing>, with_states: bool, out: &mut Output) -> io::Result<()> {
    match out.style() {
        Style::Kafka => {
            java::in_hash_map_order(&mut groups, |group| &group.group_id);
            let row = |group: &GroupListing| vec![group.group_id.clone(), group.state.clone()];
            let lines = if with_states {
                let rows = with_header(&["GROUP", "STATE"], groups.iter().map(row));
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

#[cfg(test)]
mod tests {
    use super::super::execution;
    use super::*;

    #[test]
    fn failures_are_told_as_by_kafkas_tool() {
        let error = || execution(JavaError::new("x.GroupIdNotFoundException", "Group g not found."));
        let (mut out, captured) = Output::captured();
        assert_eq!(GroupTool::Consumer.report(&error(), &mut out).unwrap(), Exit::Success);
        assert_eq!(GroupTool::Streams.report(&error(), &mut Output::captured().0).unwrap(), Exit::Failure);
        out.flush().unwrap();
        let message = "x.GroupIdNotFoundException: Group g not found.";
        assert_eq!(captured.stdout(), format!("\nError: Executing consumer group command failed due to {message}\n"));
        assert_eq!(captured.stderr(), format!("java.util.concurrent.ExecutionException: {message}\n"));
        let (mut out, captured) = Output::captured();
        out.set_style(Style::Table);
        assert_eq!(GroupTool::Consumer.report(&error(), &mut out).unwrap(), Exit::Failure);
        assert_eq!(captured.stderr(), "error: Group g not found.\n");
    }

    #[test]
    fn timeouts() {
        assert_eq!(milliseconds("5000").unwrap(), Duration::from_secs(5));
        assert_eq!(milliseconds("abc").unwrap_err().to_string(), "Cannot parse argument 'abc' of option timeout");
    }
}
