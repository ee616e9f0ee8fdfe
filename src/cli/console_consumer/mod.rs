//! `console-consumer`: a topic to standard output. Kafka's `kafka-console-consumer.sh`.
//!
//! `settings.rs` checks the options and puts the consumer's settings together as Kafka does, `formatter.rs` prints
//! records; the loop between them is in `reading.rs`.

mod chosen;
mod columns;
mod deserializer;
mod discovery;
mod ending;
mod format_args;
mod formatter;
mod going_on;
mod internal_topics;
mod list;
mod reading;
mod settings;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::Run;
use super::help::Example;
use super::support::{
    Exit, IgnoredWords, OldServerOptions, Output, UsageError, block_on_two_threads, pick_topic, remark_if_unknown,
    telling_of_silence,
};
use crate::client::ClientOptions;
use reading::{Limits, Reading};

pub(super) use ending::{End, LastWords, Logger, sleep_until, write_records};
pub(super) use format_args::FormatArgs;
pub(super) use formatter::{FormatError, Formatter};
pub(super) use reading::print_record;
use settings::Source;
pub(super) use settings::properties_and_group;

/// Print the records of topics
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Properties of the formatter, for --formatter-property: print.timestamp, print.partition, print.offset, print.headers, \
print.key and print.value (true or false), key.separator (default tab, between all columns), line.separator, \
headers.separator (default comma), null.literal, key.deserializer, value.deserializer, headers.deserializer.

Deserializers are Kafka's classes or a word: string, short, integer, long, float, double, boolean, uuid, bytes, void, \
hex, base64, json. So --value-deserializer long is LongDeserializer. What begins with value.deserializer. is a property of \
that class: value.deserializer.deserializer.encoding=UTF-16 for text; for ListDeserializer \
value.deserializer.default.list.value.serde.type (java.util.ArrayList) and value.deserializer.default.list.value.serde.inner \
(a serde, such as IntegerSerde). The same goes for key.deserializer. and headers.deserializer.

Formatters: DefaultMessageFormatter, \
LoggingMessageFormatter, NoOpMessageFormatter, ChecksumMessageFormatter and, for Kafka's own topics, \
OffsetsMessageFormatter, GroupMetadataMessageFormatter, TransactionLogMessageFormatter, \
ShareGroupStateMessageFormatter, RemoteLogMetadataFormatter.

Without --group nothing is committed. A group goes on where it stopped; --from-beginning counts only for partitions \
that it has not read yet.")]
pub(super) struct ConsoleConsumer {
    /// Topic to read
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Topics to read: a regular expression that the whole name must match
    #[arg(long, value_name = "PATTERN")]
    include: Option<String>,
    /// Read from the first record on, where nothing else says where to begin
    #[arg(long)]
    from_beginning: bool,
    /// Read this partition alone
    #[arg(long, value_name = "NUMBER")]
    partition: Option<i32>,
    /// Where to begin in the partition: earliest, latest or an offset [default: latest]
    #[arg(long, value_name = "OFFSET")]
    offset: Option<String>,
    /// Group to read as, whose offsets are committed
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// End after this many records
    #[arg(long, value_name = "COUNT")]
    max_messages: Option<i32>,
    /// End when no record has come for this long
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<i64>,
    /// Which records of transactions to print: read_uncommitted (all) or read_committed
    #[arg(long, value_name = "LEVEL", hide_short_help = true)]
    isolation_level: Option<String>,

    #[command(flatten)]
    format: FormatArgs,
    /// Go on after a record that can't be printed
    #[arg(long, help_heading = "Format", hide_short_help = true)]
    skip_message_on_error: bool,
    /// Print a line at the end, for Kafka's own tests
    #[arg(long, hide = true)]
    enable_systest_events: bool,
    /// Old spelling of --include
    #[arg(long, value_name = "PATTERN", hide = true)]
    whitelist: Option<String>,

    /// Brokers to connect to [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...", help_heading = "Connection")]
    bootstrap_server: Option<String>,
    /// Setting of the consumer
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Connection")]
    command_property: Vec<String>,
    /// File with settings of the consumer
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Connection")]
    command_config: Option<PathBuf>,
    /// Old spelling of --command-property
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    consumer_property: Vec<String>,
    /// Old spelling of --command-config
    #[arg(long = "consumer.config", value_name = "FILE", alias = "consumer-config", hide = true)]
    consumer_config: Option<PathBuf>,
    #[command(flatten)]
    old: OldServerOptions,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

impl Run for ConsoleConsumer {
    const EXAMPLES: &'static [Example] = &[
        (
            "Print everything, and what still comes, until Ctrl-C",
            "kafka-rs console-consumer --topic orders --from-beginning",
        ),
        ("Print one record", "kafka-rs console-consumer --topic orders --from-beginning --max-messages 1"),
        ("Print keys too", "kafka-rs console-consumer --topic orders --formatter-property print.key=true"),
        ("Go on where the group has stopped", "kafka-rs console-consumer --topic orders --group billing"),
    ];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.check(out)?;
        let target = self.old.target(self.bootstrap_server.as_deref(), out)?;
        let mut plan = self.plan(&target, out)?;
        let limits = Limits {
            messages: self.max_messages.and_then(|most| u64::try_from(most).ok()),
            idle: self.timeout_ms.and_then(|idle| u64::try_from(idle).ok()).map(Duration::from_millis),
            skip_errors: self.skip_message_on_error,
            systest_events: self.enable_systest_events,
        };
        block_on_two_threads(async {
            let client = telling_of_silence(ClientOptions::from(&plan.config.common), out);
            match &plan.source {
                Source::Ask => plan.source = Source::Topic(pick_topic(client, out).await?),
                Source::Topic(topic) => remark_if_unknown(topic, client, out).await?,
                Source::Partition { .. } | Source::Pattern(_) => {}
            }
            Reading::new(plan, limits, out).run(out).await
        })
    }

    /// Kafka's tool finds a wrong number when it has its consumer, or not at all.
    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        mistake.report(called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        reading::LOGGER.failed(error, out)
    }
}
