//! `transactions`: what transactional producers are doing, and how to end transactions that hang. Kafka's
//! `kafka-transactions.sh`.

mod abort;
mod describe;
mod hanging;

use std::fmt;
use std::io;

use super::Run;
use super::support::{
    CommandWords, ConnectArgs, Exit, Hinted, Output, OutputArgs, Style, UsageError, WatchArgs, block_on, hint_for,
    java, number, pick, report_failure, required, tab_table,
};
use crate::client::{Admin, ClientError};
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

/// Show transactions and their producers, find and end those that hang
#[derive(Debug, Clone, clap::Parser)]
#[command(
    infer_long_args = true,
    mut_args(|arg| if arg.get_id() == "_version" { arg } else { arg.global(true) }),
    after_help = "\
kafka-rs transactions list --duration-filter 600000   transactions that are open for 10 minutes
kafka-rs transactions describe --transactional-id payments-1   what an id is doing
kafka-rs transactions find-hanging --topic orders   transactions that nobody will end
kafka-rs transactions abort --topic orders --partition 0 --start-offset 1234   end one of them"
)]
pub(super) struct Transactions {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[arg(short = 'v', action = clap::ArgAction::Version, hide = true)]
    _version: Option<bool>,
}

/// What to do. Numbers are texts at first: what is none is told in Kafka's words.
#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// List transactional ids
    List {
        /// Only those whose transaction has run longer
        #[arg(long, value_name = "MS")]
        duration_filter: Option<String>,
        /// Only those that match this regular expression
        #[arg(long, value_name = "REGEX")]
        transactional_id_pattern: Option<String>,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Show a transactional id
    Describe {
        /// The id
        #[arg(long, value_name = "ID")]
        transactional_id: Option<String>,
    },
    /// Show the producers that a partition knows
    DescribeProducers {
        #[command(flatten)]
        place: Place,
        /// The broker to ask [default: the leader]
        #[arg(long, value_name = "ID")]
        broker_id: Option<String>,
    },
    /// End a transaction of one partition
    Abort(Abort),
    /// Find transactions that nobody will end
    FindHanging(FindHanging),
    /// Abort what a transactional id has open, and shut out its producer
    #[command(name = "forceTerminateTransaction", alias = "force-terminate")]
    ForceTerminate {
        /// The id
        #[arg(long = "transactionalId", alias = "transactional-id", value_name = "ID")]
        transactional_id: Option<String>,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Clone, Default, clap::Args)]
struct Place {
    /// The topic
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// The partition
    #[arg(long, value_name = "NUMBER")]
    partition: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, clap::Args)]
struct How {
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Clone, Default, clap::Args)]
struct Abort {
    #[command(flatten)]
    place: Place,
    /// Where the transaction begins
    #[arg(long, value_name = "OFFSET")]
    start_offset: Option<String>,
    /// For brokers before 3.0: its producer
    #[arg(long, value_name = "ID")]
    producer_id: Option<String>,
    /// For brokers before 3.0: its producer's epoch
    #[arg(long, value_name = "NUMBER")]
    producer_epoch: Option<String>,
    /// For brokers before 3.0: its coordinator's epoch
    #[arg(long, value_name = "NUMBER")]
    coordinator_epoch: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Clone, Default, clap::Args)]
struct FindHanging {
    #[command(flatten)]
    place: Place,
    /// Only what this broker has
    #[arg(long, value_name = "ID")]
    broker_id: Option<String>,
    /// Transactions that are younger don't hang
    #[arg(long, value_name = "MINUTES", default_value = "15")]
    max_transaction_timeout: String,
}

const WORDS: CommandWords = CommandWords {
    program: "kafka-transactions.sh",
    commands: &["list", "describe", "describe-producers", "abort", "find-hanging", "forceTerminateTransaction"],
};

/// What went wrong, in the form of Kafka's tool.
#[derive(Debug)]
struct TransactionsError {
    message: String,
    /// For people, if that tells more.
    plain: Option<String>,
    hint: Option<String>,
}

impl TransactionsError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), plain: None, hint: None }
    }

    /// What was being done, and Kafka's text of why it failed.
    fn because(what: &str, why: &str) -> Self {
        Self {
            plain: Some(format!("{what}: {}", why.trim_end_matches('.'))),
            ..Self::new(format!("{what}: {why}. Enable debug logging for additional detail."))
        }
    }

    /// A call that failed; `call` is Kafka's name of it.
    fn call(what: &str, call: &str, error: &ClientError) -> Self {
        match error {
            ClientError::Api(refusal) => Self { hint: hint_for(error), ..Self::because(what, &java::message(refusal)) },
            ClientError::UnsupportedVersion { api, wanted, offered, .. } => Self {
                plain: Some(format!("{what}: {error}")),
                hint: hint_for(error),
                ..Self::because(what, &java::unsupported(*api, *wanted, *offered))
            },
            _ => Self {
                plain: Some(format!("{what}: {error}")),
                hint: hint_for(error),
                ..Self::because(what, &format!("Timed out waiting for a node assignment. Call: {call}"))
            },
        }
    }
}

impl fmt::Display for TransactionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TransactionsError {}

impl Run for Transactions {
    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let mut command = self.command.ok_or_else(CommandWords::none)?;
        let picks = command.missing_id().is_some() && out.can_ask();
        if !picks {
            command.clone().checked()?;
        }
        let admin = Admin::new(self.connect.admin_options(out)?);
        block_on(async {
            if let Some(id) = command.missing_id().filter(|_| picks) {
                *id = Some(pick_id(&admin, out).await?);
            }
            match command.checked()? {
                Job::List { filter, watch } => {
                    return watch.run(out, async |out| describe::list(&filter, &admin, out).await).await;
                }
                Job::Describe(id) => describe::transaction(&id, &admin, out).await?,
                Job::DescribeProducers(partition, broker) => {
                    describe::producers(&partition, broker, &admin, out).await?;
                }
                Job::Abort(abort) => abort.run(&admin, out).await?,
                Job::FindHanging(search) => search.run(&admin, out).await?,
                Job::ForceTerminate(id, how) => abort::force_terminate(&id, how, &admin, out).await?,
            }
            Ok(Exit::Success)
        })
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        WORDS.report(mistake, called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<TransactionsError>() else { return report_failure(error, out) };
        if out.is_for_people() {
            out.error(error.plain.as_deref().unwrap_or(&error.message))?;
        } else {
            out.note(&error.message)?;
        }
        if let Some(hint) = &error.hint {
            out.hint(hint)?;
        }
        Ok(Exit::Failure)
    }
}

/// What is to be done, all of its options read.
enum Job {
    List { filter: crate::client::admin::TransactionFilter, watch: WatchArgs },
    Describe(String),
    DescribeProducers(TopicPartition, Option<crate::types::NodeId>),
    Abort(abort::AbortJob),
    FindHanging(hanging::Search),
    ForceTerminate(String, How),
}

/// Lets the person pick one of the transactional ids that coordinators know.
async fn pick_id(admin: &Admin, out: &mut Output) -> anyhow::Result<String> {
    let filter = crate::client::admin::TransactionFilter::default();
    let listed = admin
        .list_transactions(&filter)
        .await
        .map_err(|(_, error)| TransactionsError::call("Failed to list transactions", "listTransactions", &error))?;
    let mut ids: Vec<_> = listed.into_values().flatten().map(|listing| listing.transactional_id).collect();
    if ids.is_empty() {
        return Err(Hinted::error("there are no transactional ids", "producers with transactions make them"));
    }
    ids.sort();
    pick("Transactional id", ids, out)
}

impl Command {
    /// Where the transactional id goes that is needed and was not given.
    fn missing_id(&mut self) -> Option<&mut Option<String>> {
        match self {
            Self::Describe { transactional_id } | Self::ForceTerminate { transactional_id, .. } => {
                transactional_id.is_none().then_some(transactional_id)
            }
            _ => None,
        }
    }

    fn checked(self) -> anyhow::Result<Job> {
        Ok(match self {
            Self::List { duration_filter, transactional_id_pattern, watch } => Job::List {
                filter: crate::client::admin::TransactionFilter {
                    producer_ids: Vec::new(),
                    duration_ms: optional(duration_filter.as_deref(), "--duration-filter", "Long")?,
                    id_pattern: transactional_id_pattern,
                },
                watch,
            },
            Self::Describe { transactional_id } => Job::Describe(required(transactional_id, "--transactional-id")?),
            Self::DescribeProducers { place, broker_id } => {
                Job::DescribeProducers(place.partition()?, broker(broker_id.as_deref())?)
            }
            Self::Abort(args) => Job::Abort(args.checked()?),
            Self::FindHanging(args) => Job::FindHanging(args.checked()?),
            Self::ForceTerminate { transactional_id, how } => {
                Job::ForceTerminate(required(transactional_id, "--transactionalId")?, how)
            }
        })
    }
}

fn optional<T: std::str::FromStr>(text: Option<&str>, option: &str, java_type: &str) -> anyhow::Result<Option<T>> {
    text.map(|text| number(text, option, java_type)).transpose()
}

fn broker(text: Option<&str>) -> anyhow::Result<Option<crate::types::NodeId>> {
    Ok(optional(text, "--broker-id", "Integer")?.map(crate::types::NodeId))
}

impl Place {
    /// Both are needed; Kafka's parser asks for the partition first.
    fn partition(&self) -> anyhow::Result<TopicPartition> {
        let partition = required(self.partition.as_deref(), "--partition")?;
        let topic = required(self.topic.as_deref(), "--topic")?;
        Ok(TopicPartition::new(topic, number::<i32>(partition, "--partition", "Integer")?))
    }
}

/// Prints rows under a header: as Kafka's tool, as a table with people's words (`empty` if there are no rows), or as JSON.
fn print_rows(
    kafkas: &[&str],
    plain: &[&str],
    rows: Vec<Vec<String>>,
    empty: &str,
    json: impl FnOnce() -> serde_json::Value,
    out: &mut Output,
) -> io::Result<()> {
    match out.style() {
        Style::Kafka => tab_table(kafkas, &rows).into_iter().try_for_each(|line| out.line(line)),
        Style::Table if rows.is_empty() => out.note(empty),
        Style::Table => out.table(plain, rows),
        Style::Json => out.json(&json()),
    }
}

/// Whether a topic is not there.
fn is_unknown(error: &ClientError) -> bool {
    matches!(error.code(), Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId))
}
