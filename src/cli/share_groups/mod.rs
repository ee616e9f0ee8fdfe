//! `share-groups`: list, describe and delete share groups, and set where they go on. Kafka's `kafka-share-groups.sh`.
//!
//! Start reading at [`ShareGroups`], the options, and `checks.rs`, which go together.

mod checks;
mod delete;
mod describe;
mod reset;

use std::io;

use super::support::groups::{Deletion, each_once, groups_of, kafkas_failure, print_groups, states};
use super::support::reset::times;
use super::support::{
    ConnectArgs, Exit, IgnoredWords, JavaError, Mistake, Output, OutputArgs, UsageError, WatchArgs, block_on,
    did_you_mean, pick_group,
};
use super::{Example, Run};
use crate::client::Admin;
use crate::client::admin::{GroupListing, GroupType};

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
                Action::Delete => delete::groups(&self, &admin, out).await,
                Action::ResetOffsets => reset::run(&self, &admin, out).await,
                Action::DeleteOffsets => delete::offsets(&self, &admin, out).await,
            }
        })
    }

    /// Values that Kafka's tool reads only when it is at work.
    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        match mistake.kind {
            Mistake::BadValue | Mistake::Repeated => report(&JavaError::runtime(mistake.to_string()), out),
            _ => mistake.report(called_as, out),
        }
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        if let Some(refused) = error.downcast_ref::<Refused>().filter(|_| !out.is_for_people()) {
            out.note(refused)?;
            return Ok(Exit::Failure);
        }
        match error.downcast_ref::<JavaError>() {
            Some(error) => report(error, out),
            None => super::support::report_failure(error, out),
        }
    }
}

/// Kafka's tool tells a failure on stdout, and ends with 0.
fn report(error: &JavaError, out: &mut Output) -> io::Result<Exit> {
    error.report(out, |error, out| {
        out.line(format_args!("\nError: Executing share group command failed due to {error}"))?;
        out.note(error.to_java())
    })?;
    Ok(kafkas_failure(out))
}

impl ShareGroups {
    /// The groups that are meant, without repetitions.
    async fn groups(&self, admin: &Admin) -> anyhow::Result<Vec<String>> {
        if self.all_groups {
            return Ok(list(admin, &[]).await?.into_iter().map(|group| group.group_id).collect());
        }
        Ok(each_once(&self.group))
    }

    /// The one group of actions that take one.
    fn one_group(&self) -> Result<&str, JavaError> {
        match self.group.as_slice() {
            [group] => Ok(group),
            _ => Err(JavaError::new(
                "joptsimple.MultipleArgumentsForOptionException",
                "Found multiple arguments for option group, but you asked for only one",
            )),
        }
    }

    async fn print_list(&self, admin: &Admin, out: &mut Output) -> anyhow::Result<Exit> {
        let groups = list(admin, &states(self.state.as_deref().unwrap_or_default(), &STATES)?).await?;
        print_groups(groups, self.state.is_some(), out)?;
        Ok(Exit::Success)
    }
}

/// The share groups in these states (none: in any), in the order of their names.
async fn list(admin: &Admin, states: &[String]) -> Result<Vec<GroupListing>, JavaError> {
    groups_of(GroupType::Share, states, admin).await
}

/// A hint at a group of nearly this name.
async fn near(group: &str, admin: &Admin) -> Option<String> {
    let groups = list(admin, &[]).await.ok()?;
    did_you_mean(group, groups.iter().map(|group| group.group_id.as_str()))
}
