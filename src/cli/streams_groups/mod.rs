//! `streams-groups`: list, describe and delete groups of Kafka Streams applications, and set their offsets. Kafka's
//! `kafka-streams-groups.sh`.
//!
//! Start reading at [`StreamsGroups`], the options, and `checks.rs`, which go together.

mod checks;
mod delete;
mod describe;
mod print;
mod reset;

use std::io;

use super::support::groups::{each_once, groups_of, print_groups, states};
use super::support::reset::{ScenarioArgs, times};
use super::support::{
    ConnectArgs, Exit, IgnoredWords, JavaError, Mistake, Output, OutputArgs, UsageError, WatchArgs, block_on,
    did_you_mean, pick_group,
};
use super::{Example, Run};
use crate::client::Admin;
use crate::client::admin::{GroupListing, GroupType};

/// The states of streams groups, in the order in which Kafka's tool tells them.
const STATES: [&str; 6] = ["Reconciling", "Dead", "NotReady", "Empty", "Assigning", "Stable"];

/// List, describe and delete groups of Kafka Streams applications, and set their offsets
#[derive(Debug, Clone, clap::Parser)]
#[command(after_help = "Offsets can be set only while no instance of the application runs.")]
pub(super) struct StreamsGroups {
    /// List the groups
    #[arg(long, help_heading = "Actions")]
    list: bool,
    /// Show offsets and lag, members or state of groups
    #[arg(long, help_heading = "Actions")]
    describe: bool,
    /// Delete groups with all their offsets
    #[arg(long, help_heading = "Actions")]
    delete: bool,
    /// Set offsets of input topics
    #[arg(long, help_heading = "Actions")]
    reset_offsets: bool,
    /// Delete offsets of input topics
    #[arg(long, help_heading = "Actions", hide_short_help = true)]
    delete_offsets: bool,

    /// The group, which is the application.id; may be given several times
    #[arg(long, value_name = "ID")]
    group: Vec<String>,
    /// All streams groups
    #[arg(long)]
    all_groups: bool,
    /// The input topic, or some of its partitions as in orders:0,1; may be given several times
    #[arg(long, value_name = "TOPIC[:IDS]")]
    input_topic: Vec<String>,
    /// All input topics for which the group has an offset
    #[arg(long)]
    all_input_topics: bool,
    /// An internal topic to delete with --reset-offsets --execute; may be given several times
    #[arg(long, value_name = "TOPIC", hide_short_help = true)]
    delete_internal_topic: Vec<String>,
    /// Delete all internal topics of the groups, too
    #[arg(long, hide_short_help = true)]
    delete_all_internal_topics: bool,
    /// Describe offsets and lag, which is the default
    #[arg(long, hide_short_help = true)]
    offsets: bool,
    /// Describe the members and their tasks
    #[arg(long, hide_short_help = true)]
    members: bool,
    /// Describe the state; with --list, list it, or only groups in these states
    #[arg(long, value_name = "STATE,...", num_args = 0..=1, default_missing_value = "")]
    state: Option<String>,
    /// Describe more: epochs and where tasks go
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    List,
    Describe,
    Delete,
    ResetOffsets,
    DeleteOffsets,
}

impl Run for StreamsGroups {
    const EXAMPLES: &'static [Example] = &[
        (
            "See how far behind an application is, again and again",
            "kafka-rs streams-groups --describe --group app --watch",
        ),
        (
            "Delete what a stopped application has left",
            "kafka-rs streams-groups --delete --group app --delete-all-internal-topics",
        ),
    ];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let action = self.check(out)?;
        let mut options = self.connect.admin_options(out)?;
        options.api_timeout = times::timeout(&self.timeout)?;
        options.request_timeout = options.request_timeout.min(options.api_timeout);
        let admin = Admin::new(options);
        block_on(async {
            if action != Action::List && self.group.is_empty() && !self.all_groups {
                let groups = list(&admin, &[]).await?.into_iter().map(|group| group.group_id).collect();
                self.group.push(pick_group(groups, out)?);
            }
            match action {
                Action::List => self.watch.run(out, async |out| self.print_list(&admin, out).await).await,
                Action::Describe => self.watch.run(out, async |out| describe::run(&self, &admin, out).await).await,
                Action::Delete => delete::run(&self, &admin, out).await,
                Action::ResetOffsets => reset::run(&self, &admin, out).await,
                Action::DeleteOffsets => delete::offsets(&self, &admin, out).await,
            }
        })
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        match mistake.kind {
            Mistake::BadValue | Mistake::Repeated => report(&JavaError::runtime(mistake.to_string()), out),
            _ => mistake.report(called_as, out),
        }
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        match error.downcast_ref::<JavaError>() {
            Some(error) => report(error, out),
            None => super::support::report_failure(error, out),
        }
    }
}

/// Kafka's tool tells a failure on stdout. This one ends with 1.
fn report(error: &JavaError, out: &mut Output) -> io::Result<Exit> {
    error.report(out, |error, out| {
        out.line(format_args!("\nError: Executing streams group command failed due to {error}"))?;
        out.note(error.to_java())
    })?;
    Ok(Exit::Failure)
}

impl StreamsGroups {
    /// The groups that are meant, without repetitions.
    async fn groups(&self, admin: &Admin) -> anyhow::Result<Vec<String>> {
        if self.all_groups {
            return Ok(list(admin, &[]).await?.into_iter().map(|group| group.group_id).collect());
        }
        Ok(each_once(&self.group))
    }

    async fn print_list(&self, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
        let groups = list(admin, &states(self.state.as_deref().unwrap_or_default(), &STATES)?).await?;
        print_groups(groups, self.state.is_some(), out)?;
        Ok(Exit::Success)
    }
}

/// The streams groups in these states (none: in any), in the order of their names.
async fn list(admin: &Admin, states: &[String]) -> Result<Vec<GroupListing>, JavaError> {
    groups_of(GroupType::Streams, states, admin).await
}

/// A hint at a group of nearly this name.
async fn near(group: &str, admin: &Admin) -> Option<String> {
    let groups = list(admin, &[]).await.ok()?;
    did_you_mean(group, groups.iter().map(|group| group.group_id.as_str()))
}
