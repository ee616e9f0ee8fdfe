//! `configs`: settings that count at run time, of topics, brokers, loggers, groups, subscriptions to metrics; quotas of users,
//! clients and addresses; SCRAM credentials. Kafka's `kafka-configs.sh`.
//!
//! Start reading at [`Options`] and `entity.rs`, which says what they are about; then `alter.rs` and `describe.rs`.

mod alter;
mod changes;
mod describe;
mod entity;
mod quotas;

use std::io;
use std::path::PathBuf;

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use super::Run;
use super::support::{
    BrokerOrControllerArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, UsageError, block_on, report_failure,
};
use crate::client::{Admin, ClientError};

/// Show or change settings of topics, brokers, groups, users and clients
#[derive(Debug, Clone, Default, clap::Parser)]
#[command(after_help = "\
kafka-rs configs --describe --topic orders --all   show all settings of a topic
kafka-rs configs --alter --topic orders --add-config retention.ms=3600000   change settings of a topic
kafka-rs configs --alter --user ann --add-config producer_byte_rate=1000000   limit what a user produces

A value with commas stands in brackets. Users and clients have quotas (producer_byte_rate, consumer_byte_rate, \
request_percentage, controller_mutation_rate), addresses connection_creation_rate; a user's password is set with \
'SCRAM-SHA-512=[password=...]'.")]
pub(super) struct Options {
    /// Show settings
    #[arg(long, help_heading = "Actions")]
    describe: bool,
    /// Change settings
    #[arg(long, help_heading = "Actions")]
    alter: bool,

    /// A topic
    #[arg(long, value_name = "NAME", help_heading = "What")]
    topic: Option<String>,
    /// A broker
    #[arg(long, value_name = "ID", help_heading = "What")]
    broker: Option<String>,
    /// The loggers of a broker
    #[arg(long, value_name = "ID", help_heading = "What", hide_short_help = true)]
    broker_logger: Option<String>,
    /// A group
    #[arg(long, value_name = "ID", help_heading = "What")]
    group: Option<String>,
    /// A subscription to metrics of clients
    #[arg(long, value_name = "NAME", help_heading = "What")]
    client_metrics: Option<String>,
    /// A user
    #[arg(long, value_name = "NAME", help_heading = "What")]
    user: Option<String>,
    /// A client, by its client.id
    #[arg(long, value_name = "ID", help_heading = "What")]
    client: Option<String>,
    /// An address that clients connect from
    #[arg(long, value_name = "ADDRESS", help_heading = "What")]
    ip: Option<String>,
    /// All brokers that have no setting of their own
    #[arg(long, help_heading = "What", hide_short_help = true)]
    broker_defaults: bool,
    /// All users that have no quota of their own
    #[arg(long, help_heading = "What", hide_short_help = true)]
    user_defaults: bool,
    /// All clients that have no quota of their own
    #[arg(long, help_heading = "What", hide_short_help = true)]
    client_defaults: bool,
    /// All addresses that have no quota of their own
    #[arg(long, help_heading = "What", hide_short_help = true)]
    ip_defaults: bool,
    /// The longer way to say it: topics, brokers, broker-loggers, groups, client-metrics, users, clients, ips
    #[arg(long, value_name = "TYPE", help_heading = "What", hide_short_help = true)]
    entity_type: Vec<String>,
    /// Name of that entity; without it, --describe shows all of the type
    #[arg(long, value_name = "NAME", help_heading = "What", hide_short_help = true)]
    entity_name: Vec<String>,
    /// What counts for all of the type that have nothing of their own
    #[arg(long, action = clap::ArgAction::Count, help_heading = "What", hide_short_help = true)]
    entity_default: u8,

    /// Settings to make
    #[arg(long, value_name = "KEY=VALUE,...")]
    add_config: Option<String>,
    /// File with settings to make
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, hide_short_help = true)]
    add_config_file: Option<PathBuf>,
    /// Settings to take back
    #[arg(long, value_name = "KEY,...")]
    delete_config: Vec<String>,
    /// Describe what nobody has set too
    #[arg(long)]
    all: bool,
    /// Had no effect even when Kafka had it
    #[arg(long, hide = true)]
    force: bool,
    /// How to connect to ZooKeeper, when settings were in it
    #[arg(long, value_name = "FILE", hide = true)]
    zk_tls_config_file: Option<PathBuf>,
    /// Have changes checked and say what they are, without making them
    #[arg(long)]
    dry_run: bool,
    /// Delete credentials without asking
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: BrokerOrControllerArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// The options, with the names in the order in which they were typed: each belongs to a type.
#[derive(Debug, Clone, Default)]
pub(super) struct Configs {
    options: Options,
    /// What `--entity-name` and `--entity-default` (`None`) say, in order.
    names: Vec<Option<String>>,
}

impl CommandFactory for Configs {
    fn command() -> Command {
        Options::command()
    }

    fn command_for_update() -> Command {
        Options::command_for_update()
    }
}

impl FromArgMatches for Configs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let options = Options::from_arg_matches(matches)?;
        let places = |id| matches.indices_of(id).into_iter().flatten();
        let mut named: Vec<(usize, Option<String>)> =
            places("entity_name").zip(options.entity_name.iter().cloned().map(Some)).collect();
        if options.entity_default > 0 {
            let place = places("entity_default").next_back().unwrap_or_default();
            named.extend((0..options.entity_default).map(|_| (place, None)));
        }
        named.sort_by_key(|(place, _)| *place);
        Ok(Self { options, names: named.into_iter().map(|(_, name)| name).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Run for Configs {
    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.options.output.apply(out);
        if self.options.force {
            out.note("--force is old and has no effect: leave it away")?;
        }
        if self.options.zk_tls_config_file.is_some() {
            out.note("--zk-tls-config-file is old: the brokers are asked, see --bootstrap-server")?;
        }
        let mut target = self.check(out)?;
        if self.options.alter {
            // Before anything is asked of a broker, as Kafka's tool reads them.
            let changes = changes::Changes::read(&self.options)?;
            let client = self.options.connect.admin_options(out)?;
            block_on(async {
                target.pick_topic_if_missing(&client, out).await?;
                alter::run(&self.options, &target, &changes, &Admin::new(client), out).await
            })?;
        } else {
            let admin = Admin::new(self.options.connect.admin_options(out)?);
            block_on(describe::run(&self.options, &target, &admin, out))?;
        }
        Ok(Exit::Success)
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        mistake.report(called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        let Some(error) = error.downcast_ref::<JavaError>() else { return report_failure(error, out) };
        error.report(out, |error, out| {
            if error.class() == UNSUPPORTED {
                return out.note(error);
            }
            out.note(format_args!("Error while executing config command with args '{}'", words_after_the_tool()))?;
            out.note(error.to_java())
        })?;
        Ok(Exit::Failure)
    }
}

/// What the broker can't do at all is told in one line.
const UNSUPPORTED: &str = "org.apache.kafka.common.errors.UnsupportedVersionException";

/// The command line as it was typed, without the program and the name of the tool.
fn words_after_the_tool() -> String {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let from = usize::from(words.first().is_some_and(|word| !word.starts_with('-')));
    words.get(from..).unwrap_or_default().join(" ")
}

/// A call that failed, as the future that Kafka's tool waits on tells it.
fn failed_call(call: &str, error: &ClientError) -> anyhow::Error {
    JavaError::call(call, error).wrapped_in(EXECUTION).into()
}

/// What Java's futures wrap failures in.
const EXECUTION: &str = "java.util.concurrent.ExecutionException";
