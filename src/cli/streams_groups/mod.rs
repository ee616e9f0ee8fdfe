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

use super::support::groups::{DescribeOptions, GroupTool, admin_within};
use super::support::reset::ScenarioArgs;
use super::support::{ConnectArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, UsageError, WatchArgs, block_on};
use super::{Example, Run};
use crate::client::Admin;

const TOOL: GroupTool = GroupTool::Streams;

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
    #[arg(long, value_name = "MS", default_value = "30000", hide_short_help = true)]
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
        let admin = admin_within(&self.timeout, &self.connect, out)?;
        block_on(async {
            if action != Action::List && self.group.is_empty() && !self.all_groups {
                self.group.push(TOOL.pick(&admin, out).await?);
            }
            match action {
                Action::List => {
                    let state = self.state.as_deref();
                    self.watch.run(out, async |out| TOOL.print_list(state, &STATES, &admin, out).await).await
                }
                Action::Describe => self.watch.run(out, async |out| describe::run(&self, &admin, out).await).await,
                Action::Delete => delete::run(&self, &admin, out).await,
                Action::ResetOffsets => reset::run(&self, &admin, out).await,
                Action::DeleteOffsets => delete::offsets(&self, &admin, out).await,
            }
        })
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        TOOL.misused(mistake, called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        TOOL.failed(error, out)
    }
}

impl StreamsGroups {
    fn describe_options(&self) -> DescribeOptions<'_> {
        DescribeOptions { members: self.members, offsets: self.offsets, state: self.state.as_deref() }
    }

    /// The groups that are meant.
    async fn groups(&self, admin: &Admin) -> Result<Vec<String>, JavaError> {
        TOOL.meant(&self.group, self.all_groups, admin).await
    }
}
