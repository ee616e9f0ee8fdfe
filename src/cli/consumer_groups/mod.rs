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

use super::support::groups::{DescribeOptions, GroupTool, admin_within};
use super::support::reset::ScenarioArgs;
use super::support::{ConnectArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, UsageError, WatchArgs, block_on};
use super::{Example, Run};
use crate::client::Admin;

const TOOL: GroupTool = GroupTool::Consumer;

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
        let admin = admin_within(&self.timeout, &self.connect, out)?;
        block_on(async {
            if action != Action::List && self.group.is_empty() && !self.all_groups {
                self.group.push(TOOL.pick(&admin, out).await?);
            }
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

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        TOOL.misused(mistake, called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        TOOL.failed(error, out)
    }
}

impl ConsumerGroups {
    fn describe_options(&self) -> DescribeOptions<'_> {
        DescribeOptions { members: self.members, offsets: self.offsets, state: self.state.as_deref() }
    }

    /// The groups that are meant.
    async fn groups(&self, admin: &Admin) -> Result<Vec<String>, JavaError> {
        TOOL.meant(&self.group, self.all_groups, admin).await
    }
}
