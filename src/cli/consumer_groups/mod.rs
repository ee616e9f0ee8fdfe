//! `consumer-groups`: list, describe and delete groups of consumers, and set their offsets. Kafka's
//! `kafka-consumer-groups.sh`.
//!
//! Start reading at [`ConsumerGroups`], the options, and `checks.rs`, which go together; then a file per action.

mod checks;
mod delete;
mod delete_offsets;
mod describe;
mod list;
mod print;
mod reset;
mod validate_regex;

use std::io;

use super::support::groups::{each_once, kafkas_failure, unexpected};
use super::support::reset::{ScenarioArgs, times};
use super::support::{
    ConnectArgs, Exit, IgnoredWords, JavaError, Mistake, Output, OutputArgs, UsageError, WatchArgs, block_on,
    did_you_mean, pick_group,
};
use super::{Example, Run};
use crate::client::admin::{GroupListing, GroupType};
use crate::client::{Admin, ClientError};

/// List, describe and delete groups of consumers, and set their offsets
#[derive(Debug, Clone, clap::Parser)]
#[command(after_help = "Offsets can be set only while the group has no members, and only with --execute.")]
pub(super) struct ConsumerGroups {
    /// List the groups
    #[arg(long, help_heading = "Actions")]
    list: bool,
    /// Show offsets and lag, members or state of groups
    #[arg(long, help_heading = "Actions")]
    describe: bool,
    /// Delete groups with all their offsets
    #[arg(long, help_heading = "Actions")]
    delete: bool,
    /// Set offsets
    #[arg(long, help_heading = "Actions")]
    reset_offsets: bool,
    /// Delete the offsets of topics
    #[arg(long, help_heading = "Actions", hide_short_help = true)]
    delete_offsets: bool,
    /// Say whether a regular expression can be used to subscribe to topics
    #[arg(long, value_name = "REGEX", help_heading = "Actions", hide_short_help = true)]
    validate_regex: Option<String>,

    /// The group; may be given several times
    #[arg(long, value_name = "ID")]
    group: Vec<String>,
    /// All groups of consumers
    #[arg(long)]
    all_groups: bool,
    /// The topic, or some of its partitions as in orders:0,1; may be given several times
    #[arg(long, value_name = "TOPIC[:IDS]")]
    topic: Vec<String>,
    /// All topics for which the group has an offset
    #[arg(long, hide_short_help = true)]
    all_topics: bool,
    /// Describe offsets and lag, which is the default
    #[arg(long, hide_short_help = true)]
    offsets: bool,
    /// Describe the members
    #[arg(long, hide_short_help = true)]
    members: bool,
    /// Describe the state; with --list, list it, or only groups in these states
    #[arg(long, value_name = "STATE,...", num_args = 0..=1, default_missing_value = "")]
    state: Option<String>,
    /// List the types, or only groups of these types: classic, consumer
    #[arg(long = "type", value_name = "TYPE,...", num_args = 0..=1, default_missing_value = "", hide_short_help = true)]
    group_type: Option<String>,
    /// Describe more: assignments and epochs
    #[arg(long, hide_short_help = true)]
    verbose: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Set the offsets
    #[arg(long)]
    execute: bool,
    /// Print the new offsets as lines of text that --from-file reads
    #[arg(long, hide_short_help = true)]
    export: bool,
    /// How long to wait for answers, in milliseconds
    #[arg(long, value_name = "MS", default_value = "5000", hide_short_help = true)]
    timeout: String,
    /// Delete or set without asking
    #[arg(long, short, hide_short_help = true)]
    yes: bool,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    scenario: ScenarioArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    List,
    Describe,
    Delete,
    ResetOffsets,
    DeleteOffsets,
    ValidateRegex(String),
}

impl Run for ConsumerGroups {
    const EXAMPLES: &'static [Example] = &[
        (
            "See how far behind a group is, again and again",
            "kafka-rs consumer-groups --describe --group billing --watch",
        ),
        ("See what a reset would do", "kafka-rs consumer-groups --reset-offsets --group g --all-topics --to-latest"),
        ("Set where a group goes on", "kafka-rs consumer-groups --reset-offsets --group g --from-file f --execute"),
    ];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let action = self.check(out)?;
        if let Action::ValidateRegex(pattern) = &action {
            return validate_regex::run(pattern, out);
        }
        let mut options = self.connect.admin_options(out)?;
        options.api_timeout = times::timeout(&self.timeout)?;
        options.request_timeout = options.request_timeout.min(options.api_timeout);
        let admin = Admin::new(options);
        block_on(async {
            self.pick(&action, &admin, out).await?;
            match action {
                Action::List => self.watch.run(out, async |out| list::run(&self, &admin, out).await).await,
                Action::Describe => self.watch.run(out, async |out| describe::run(&self, &admin, out).await).await,
                Action::Delete => delete::run(&self, &admin, out).await,
                Action::ResetOffsets => reset::run(&self, &admin, out).await,
                Action::DeleteOffsets => delete_offsets::run(&self, &admin, out).await,
                Action::ValidateRegex(_) => Ok(Exit::Success),
            }
        })
    }

    /// Values that Kafka's tool reads only when it is at work.
    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        let class = match mistake.kind {
            Mistake::BadValue => "joptsimple.OptionArgumentConversionException",
            Mistake::Repeated => "joptsimple.MultipleArgumentsForOptionException",
            _ => return mistake.report(called_as, out),
        };
        report(&JavaError::new(class, mistake.to_string()), out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        match error.downcast_ref::<JavaError>() {
            Some(error) => report(error, out),
            None => super::support::report_failure(error, out),
        }
    }
}

/// Kafka's tool tells a failure on stdout, and ends with 0.
fn report(error: &JavaError, out: &mut Output) -> io::Result<Exit> {
    error.report(out, |error, out| {
        out.line(format_args!("\nError: Executing consumer group command failed due to {error}"))?;
        out.note(error.to_java())
    })?;
    Ok(kafkas_failure(out))
}

impl ConsumerGroups {
    /// Where a group is needed and none is named, and somebody is there to ask, has them pick one.
    async fn pick(&mut self, action: &Action, admin: &Admin, out: &mut Output) -> anyhow::Result<()> {
        if *action != Action::List && self.group.is_empty() && !self.all_groups {
            let groups = list(admin, &[], &[]).await?.into_iter().map(|group| group.group_id).collect();
            self.group.push(pick_group(groups, out)?);
        }
        Ok(())
    }

    /// The groups that are meant, without repetitions.
    async fn groups(&self, admin: &Admin) -> anyhow::Result<Vec<String>> {
        if self.all_groups {
            return Ok(list(admin, &[], &[]).await?.into_iter().map(|group| group.group_id).collect());
        }
        Ok(each_once(&self.group))
    }
}

/// The groups of consumers, in the order of their names. `states` and `types` limit them.
async fn list(admin: &Admin, states: &[String], types: &[String]) -> Result<Vec<GroupListing>, JavaError> {
    let failed = |error: ClientError| unexpected(JavaError::no_brokers("ListGroups", &error));
    let mut groups = admin.list_groups(states, types).await.map_err(failed)?;
    groups.retain(|group| {
        // Brokers before 3.8 don't tell types, those before 2.6 no states.
        let is_consumers = matches!(group.protocol_type.as_str(), "consumer" | "");
        let group_type = GroupType::parse(&group.group_type);
        is_consumers && group_type.is_none_or(|t| matches!(t, GroupType::Classic | GroupType::Consumer))
    });
    Ok(groups)
}

/// A hint at a group of nearly this name.
async fn near(group: &str, admin: &Admin) -> Option<String> {
    let groups = list(admin, &[], &[]).await.ok()?;
    did_you_mean(group, groups.iter().map(|group| group.group_id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::support::Style;
    use crate::cli::support::groups::execution;

    #[test]
    fn failures_are_told_as_by_kafkas_tool() {
        let error = || execution(JavaError::new("x.GroupIdNotFoundException", "Group g not found."));
        let (mut out, captured) = Output::captured();
        assert_eq!(report(&error(), &mut out).unwrap(), Exit::Success);
        out.flush().unwrap();
        let message = "x.GroupIdNotFoundException: Group g not found.";
        assert_eq!(captured.stdout(), format!("\nError: Executing consumer group command failed due to {message}\n"));
        assert_eq!(captured.stderr(), format!("java.util.concurrent.ExecutionException: {message}\n"));
        let (mut out, captured) = Output::captured();
        out.set_style(Style::Table);
        assert_eq!(report(&error(), &mut out).unwrap(), Exit::Failure);
        assert_eq!(captured.stderr(), "error: Group g not found.\n");
    }
}
