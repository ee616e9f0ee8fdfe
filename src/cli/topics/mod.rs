//! `topics`: create, list, describe, alter, delete. Kafka's `kafka-topics.sh`.
//!
//! Start reading at [`Topics`], the options, and `checks.rs`, which go together; then a file per action.

mod alter;
mod checks;
mod create;
mod delete;
mod describe;
mod list;
mod partition_lines;

use std::io;

use super::Run;
use super::help::Example;
use super::support::{
    ConnectArgs, Exit, IgnoredWords, JavaError, Mistake, Output, OutputArgs, UsageError, WatchArgs, block_on,
};
use crate::client::Admin;

/// Create, list, describe, change or delete topics
#[derive(Debug, Clone, clap::Parser)]
#[command(after_help = "\
--topic is a pattern for all actions but --create: a regular expression that the whole name must match, or several \
names with commas between them. For --alter and --delete, a topic whose name is exactly that text is meant alone.")]
pub(super) struct Topics {
    /// Create a topic
    #[arg(long, help_heading = "Actions")]
    create: bool,
    /// List the topics
    #[arg(long, help_heading = "Actions")]
    list: bool,
    /// Show partitions, replicas and settings
    #[arg(long, help_heading = "Actions")]
    describe: bool,
    /// Give topics more partitions
    #[arg(long, help_heading = "Actions")]
    alter: bool,
    /// Delete topics
    #[arg(long, help_heading = "Actions")]
    delete: bool,

    /// Name of the topic; a pattern for all actions but --create
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Id of the topic to describe; counts before --topic
    #[arg(long, value_name = "ID", hide_short_help = true)]
    topic_id: Option<String>,
    /// Number of partitions to create, or to have after --alter [default: the cluster's]
    #[arg(long, value_name = "COUNT")]
    partitions: Option<i32>,
    /// Replicas of each partition [default: the cluster's]
    #[arg(long, value_name = "COUNT")]
    replication_factor: Option<i32>,
    /// Brokers of each partition, instead of counts: those of partition 0, then of 1, ...
    #[arg(long, value_name = "ID:ID,ID:ID,...", hide_short_help = true)]
    replica_assignment: Option<String>,
    /// Setting of the topic to create
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// Has no effect any more
    #[arg(long, value_name = "KEY", hide = true)]
    delete_config: Vec<String>,

    /// Don't fail if the topic does not exist
    #[arg(long, hide_short_help = true)]
    if_exists: bool,
    /// Don't fail if the topic exists
    #[arg(long, hide_short_help = true)]
    if_not_exists: bool,
    /// Leave out Kafka's own topics
    #[arg(long)]
    exclude_internal: bool,

    /// Describe only partitions with fewer in-sync replicas than replicas
    #[arg(long, hide_short_help = true)]
    under_replicated_partitions: bool,
    /// Describe only partitions without a leader
    #[arg(long, hide_short_help = true)]
    unavailable_partitions: bool,
    /// Describe only partitions with fewer in-sync replicas than min.insync.replicas
    #[arg(long, hide_short_help = true)]
    under_min_isr_partitions: bool,
    /// Describe only partitions with exactly min.insync.replicas in-sync replicas
    #[arg(long, hide_short_help = true)]
    at_min_isr_partitions: bool,
    /// Describe only topics with settings of their own
    #[arg(long, hide_short_help = true)]
    topics_with_overrides: bool,
    /// Partitions to ask for at a time
    #[arg(long, value_name = "COUNT", default_value_t = 2000, hide_short_help = true)]
    partition_size_limit_per_response: i32,

    /// Have changes checked and say what they are, without making them
    #[arg(long)]
    dry_run: bool,
    /// Delete without asking
    #[arg(long, short)]
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
    Create,
    List,
    Describe,
    Alter,
    Delete,
}

impl Run for Topics {
    const EXAMPLES: &'static [Example] = &[
        ("Create a topic", "kafka-rs topics --create --topic orders --partitions 3"),
        ("See what there is", "kafka-rs topics --list"),
        ("See partitions, leaders and settings", "kafka-rs topics --describe --topic orders"),
        ("Delete all topics that begin so, after a question", "kafka-rs topics --delete --topic 'test-.*'"),
    ];

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let action = self.check(out)?;
        if self.watch.is_given() && !matches!(action, Action::List | Action::Describe) {
            return Err(UsageError::because("Option watch is only allowed if list or describe is used"));
        }
        let admin = Admin::new(self.connect.admin_options(out)?);
        block_on(async {
            match action {
                Action::Create => create::run(&self, &admin, out).await?,
                Action::List | Action::Describe => {
                    return self
                        .watch
                        .run(out, async |out| {
                            match action {
                                Action::List => list::run(&self, &admin, out).await?,
                                _ => describe::run(&self, &admin, out).await?,
                            }
                            Ok(Exit::Success)
                        })
                        .await;
                }
                Action::Alter => alter::run(&self, &admin, out).await?,
                Action::Delete => delete::run(&self, &admin, out).await?,
            }
            Ok(Exit::Success)
        })
    }

    /// Kafka's tool finds some mistakes only when it is at work, and tells them so.
    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        let class = match mistake.kind {
            Mistake::BadValue => "joptsimple.OptionArgumentConversionException",
            Mistake::Repeated => "joptsimple.MultipleArgumentsForOptionException",
            _ => return mistake.report(called_as, out),
        };
        if !out.tells_errors_as_kafka() {
            return mistake.report(called_as, out);
        }
        report(&JavaError::new(class, mistake.to_string()), out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        match error.downcast_ref::<JavaError>() {
            Some(error) => report(error, out),
            None => super::support::report_failure(error, out),
        }
    }
}

/// Kafka's tool tells a failure on stdout, and logs it with its class.
fn report(error: &JavaError, out: &mut Output) -> io::Result<Exit> {
    error.report(out, |error, out| {
        out.line(format_args!("Error while executing topic command : {error}"))?;
        out.kafka_log_error(format_args!("{}\n", error.to_java()), "org.apache.kafka.tools.TopicCommand")
    })?;
    Ok(Exit::Failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ApiError;
    use crate::protocol::ErrorCode;

    #[test]
    fn failures_are_told_as_by_kafkas_tool() {
        let (mut out, captured) = Output::captured();
        let error = ApiError {
            code: ErrorCode::TopicAlreadyExists,
            message: Some("Topic 'orders' already exists.".to_owned()),
        };
        assert_eq!(report(&JavaError::api(&error), &mut out).unwrap(), Exit::Failure);
        out.flush().unwrap();
        assert_eq!(captured.stdout(), "Error while executing topic command : Topic 'orders' already exists.\n");
        let stderr = captured.stderr();
        assert!(
            stderr.ends_with(
                "] ERROR org.apache.kafka.common.errors.TopicExistsException: Topic 'orders' already exists.\n \
                 (org.apache.kafka.tools.TopicCommand)\n"
            ),
            "{stderr}"
        );
    }
}
