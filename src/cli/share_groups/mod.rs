//! `share-groups`: list, describe and delete share groups, and set where they go on. Kafka's `kafka-share-groups.sh`.
//!
//! Start reading at [`ShareGroups`], the options, and `checks.rs`, which go together.

mod checks;
mod delete;
mod describe;
mod print;
mod reset;

use std::io;

use super::support::groups::{DescribeOptions, GroupTool, admin_within};
use super::support::{ConnectArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, UsageError, WatchArgs, block_on};
use super::{Example, Run};
use crate::client::Admin;

const TOOL: GroupTool = GroupTool::Share;

/// The states of share groups, in the order in which Kafka's tool tells them.
const STATES: [&str; 3] = ["Dead", "Stable", "Empty"];

/// List, describe and delete share groups, and set where they go on
#[derive(Debug, Clone, clap::Parser)]
#[command(after_help = "Where a group goes on can be set only while it has no members.")]
pub(super) struct ShareGroups {
    /// List the groups
    #[arg(long, help_heading = "Actions")]
    list: bool,
    /// Show where groups are, their members or their state
    #[arg(long, help_heading = "Actions")]
    describe: bool,
    /// Delete groups with all that is known of them
    #[arg(long, help_heading = "Actions")]
    delete: bool,
    /// Set where a group goes on
    #[arg(long, help_heading = "Actions")]
    reset_offsets: bool,
    /// Have a group forget where it is in topics
    #[arg(long, help_heading = "Actions", hide_short_help = true)]
    delete_offsets: bool,

    /// The group; may be given several times
    #[arg(long, value_name = "ID")]
    group: Vec<String>,
    /// All share groups
    #[arg(long)]
    all_groups: bool,
    /// The topic, or some of its partitions as in orders:0,1; may be given several times
    #[arg(long, value_name = "TOPIC[:IDS]")]
    topic: Vec<String>,
    /// All topics that the group reads
    #[arg(long, hide_short_help = true)]
    all_topics: bool,
    /// Describe where groups are, which is the default
    #[arg(long, hide_short_help = true)]
    offsets: bool,
    /// Describe the members
    #[arg(long)]
    members: bool,
    /// Describe the state; with --list, list it, or only groups in these states
    #[arg(long, value_name = "STATE,...", num_args = 0..=1, default_missing_value = "")]
    state: Option<String>,
    /// Describe more: epochs
    #[arg(long, hide_short_help = true)]
    verbose: bool,
    /// Reset to the first record
    #[arg(long)]
    to_earliest: bool,
    /// Reset to the end
    #[arg(long)]
    to_latest: bool,
    /// Reset to the first record from this time on: YYYY-MM-DDTHH:MM:SS.mmm, in UTC if no zone follows
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    to_datetime: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Set it
    #[arg(long)]
    execute: bool,
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

/// Kafka's tool prints this alone, and ends with 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl Run for ShareGroups {
    const EXAMPLES: &'static [Example] = &[
        ("See where a group is, again and again", "kafka-rs share-groups --describe --group payouts --watch"),
        ("Delete a group", "kafka-rs share-groups --delete --group payouts"),
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
                Action::Delete => delete::groups(&self, &admin, out).await,
                Action::ResetOffsets => reset::run(&self, &admin, out).await,
                Action::DeleteOffsets => delete::offsets(&self, &admin, out).await,
            }
        })
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        TOOL.misused(mistake, called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        if let Some(refused) = error.downcast_ref::<Refused>().filter(|_| !out.is_for_people()) {
            out.note(refused)?;
            return Ok(Exit::Failure);
        }
        TOOL.failed(error, out)
    }
}

impl ShareGroups {
    fn describe_options(&self) -> DescribeOptions<'_> {
        DescribeOptions { members: self.members, offsets: self.offsets, state: self.state.as_deref() }
    }

    /// The groups that are meant.
    async fn groups(&self, admin: &Admin) -> Result<Vec<String>, JavaError> {
        TOOL.meant(&self.group, self.all_groups, admin).await
    }
}
