//! `console-share-consumer`: a topic to standard output, as the member of a share group. Kafka's
//! `kafka-console-share-consumer.sh`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::Run;
use super::console_consumer::{
    End, FormatArgs, FormatError, Formatter, LastWords, Logger, print_record, properties_and_group, sleep_until,
    write_records,
};
use super::help::Example;
use super::support::{
    Exit, IgnoredWords, OldServerOptions, Output, Progress, RenamedOptions, SILENCE, Signals, UsageError,
    block_on_two_threads, chain_text, explained_config, hint_for, hint_for_code, java, pick_topic, remark_if_unknown,
    remark_if_unreachable, stdout_closed, warn,
};
use crate::client::share::{AcknowledgeType, AcknowledgementMode, ShareError};
use crate::client::{ShareConsumer, ShareConsumerOptions, ShareRecord};
use crate::config::ShareConsumerConfig;

/// Print the records of a topic, sharing them with the other members of a share group
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Where a new group begins is its setting share.auto.offset.reset, latest unless changed. Properties of the formatter are \
those of console-consumer; print.delivery=true shows how often a record was delivered.")]
pub(super) struct ConsoleShareConsumer {
    /// Topic to read
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Share group to be a member of [default: console-share-consumer]
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// End after this many records
    #[arg(long, value_name = "COUNT")]
    max_messages: Option<i32>,
    /// End when no record has come for this long
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<i64>,
    /// Say of each record that it can't be processed: nobody gets it again
    #[arg(long)]
    reject: bool,
    /// Give each record back: somebody gets it again
    #[arg(long)]
    release: bool,
    /// Reject a record that can't be printed, and go on
    #[arg(long)]
    reject_message_on_error: bool,
    #[command(flatten)]
    format: FormatArgs,
    /// Print a line at the end, for Kafka's own tests
    #[arg(long, hide = true)]
    enable_systest_events: bool,

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
    #[arg(long, value_name = "FILE", alias = "consumer.config", hide = true)]
    consumer_config: Option<PathBuf>,
    #[command(flatten)]
    old: OldServerOptions,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

const LOGGER: Logger = Logger("org.apache.kafka.tools.consumer.ConsoleShareConsumer");
const DEFAULT_GROUP: &str = "console-share-consumer";
/// How long one poll waits. Other events end the wait earlier.
const POLL: Duration = Duration::from_secs(60);

impl Run for ConsoleShareConsumer {
    const EXAMPLES: &'static [Example] = &[
        ("Print records as a member of a share group", "kafka-rs console-share-consumer --topic jobs --group workers"),
        (
            "Look at ten records and give them back",
            "kafka-rs console-share-consumer --topic jobs --max-messages 10 --release",
        ),
    ];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.check(out)?;
        let config = self.config(out)?;
        self.take_old_property(out)?;
        let formatter = self.format.formatter(out)?;
        let mut options = ShareConsumerOptions::from(&config);
        options.acknowledgement = AcknowledgementMode::Explicit;
        block_on_two_threads(async {
            let topic = match self.topic.take() {
                Some(topic) => {
                    remark_if_unknown(&topic, options.client.clone(), out).await?;
                    topic
                }
                None => pick_topic(options.client.clone(), out).await?,
            };
            let reading = Reading {
                left: self.max_messages.and_then(|most| u64::try_from(most).ok()),
                idle: self.timeout_ms.and_then(|idle| u64::try_from(idle).ok()).map(Duration::from_millis),
                verdict: self.verdict(),
                reject_on_error: self.reject_message_on_error,
                formatter,
                progress: Progress::new(!out.stdout_is_terminal(), out),
                processed: 0,
                text: Vec::new(),
            };
            reading.run(ShareConsumer::new(options), topic, self.enable_systest_events, out).await
        })
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        LOGGER.failed(error, out)
    }
}

impl ConsoleShareConsumer {
    fn check(&mut self, out: &mut Output) -> anyhow::Result<()> {
        if self.topic.is_none() && !out.can_ask() {
            return Err(UsageError::because("--topic is a required argument"));
        }
        if self.reject && self.release {
            return Err(UsageError::because("At most one of --reject and --release may be specified."));
        }
        let renamed = RenamedOptions::CONSUMER;
        renamed.take_old(
            ("consumer-property", &mut self.consumer_property),
            ("command-property", &mut self.command_property),
            out,
        )?;
        renamed.take_old(
            ("consumer-config", &mut self.consumer_config),
            ("command-config", &mut self.command_config),
            out,
        )
    }

    fn take_old_property(&mut self, out: &mut Output) -> anyhow::Result<()> {
        RenamedOptions::CONSUMER.take_old(
            ("property", &mut self.format.property),
            ("formatter-property", &mut self.format.formatter_property),
            out,
        )
    }

    fn config(&self, out: &mut Output) -> anyhow::Result<ShareConsumerConfig> {
        let target = self.old.target(self.bootstrap_server.as_deref(), out)?;
        let (mut found, group) = properties_and_group(
            &target,
            self.group.as_deref(),
            (self.command_config.as_deref(), "--consumer-config"),
            &self.command_property,
        )?;
        found.set("group.id", group.as_deref().unwrap_or(DEFAULT_GROUP));
        found.set_default("client.id", "console-share-consumer");
        found.set("bootstrap.servers", &target.servers);
        warn(&found.warnings(), out)?;
        ShareConsumerConfig::new(&found).map_err(explained_config)
    }

    fn verdict(&self) -> AcknowledgeType {
        match (self.reject, self.release) {
            (true, _) => AcknowledgeType::Reject,
            (_, true) => AcknowledgeType::Release,
            _ => AcknowledgeType::Accept,
        }
    }
}

struct Reading {
    /// How many records are still to be printed, if there is a limit.
    left: Option<u64>,
    idle: Option<Duration>,
    verdict: AcknowledgeType,
    reject_on_error: bool,
    formatter: Formatter,
    progress: Progress,
    processed: u64,
    /// The text of the records of a poll.
    text: Vec<u8>,
}

impl Reading {
    async fn run(
        mut self,
        mut consumer: ShareConsumer,
        topic: String,
        systest_events: bool,
        out: &mut Output,
    ) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        consumer.subscribe([topic]);
        let end = self.until_the_end(&mut consumer, &mut signals, out).await;
        self.progress.clear();
        let mut failure = None;
        let exit = match end {
            End::Count | End::Closed => Exit::Success,
            End::Signal(exit) => exit,
            End::Idle => {
                LOGGER.idle(self.idle, out)?;
                Exit::Success
            }
            End::Unprintable(error) => {
                failure = Some(anyhow::Error::new(error));
                Exit::Failure
            }
            End::Failed(error) => {
                let hint = hint_of(&error);
                failure = LOGGER.stopped(error, hint, java_error, out)?;
                Exit::Failure
            }
        };
        let last = LastWords { logger: LOGGER, systest_events, processed: self.processed, exit, failure, java_error };
        // Order: what was not printed is given back before the summary, so that who waits for it may go on at once.
        let closed = consumer.close().await;
        last.say(closed.map_err(anyhow::Error::new), out)
    }

    async fn until_the_end(&mut self, consumer: &mut ShareConsumer, signals: &mut Signals, out: &mut Output) -> End {
        let closed = stdout_closed();
        tokio::pin!(closed);
        let mut last_record = Instant::now();
        let mut silent_at = Some(last_record + SILENCE);
        while self.left != Some(0) {
            let idle_at = self.idle.map(|idle| last_record + idle);
            let polled = tokio::select! {
                // Order: a signal is seen before more records are taken.
                biased;
                signal = signals.next() => return End::Signal(signal.exit()),
                () = &mut closed => return End::Closed,
                () = sleep_until(idle_at) => return End::Idle,
                () = sleep_until(silent_at) => {
                    silent_at = None;
                    // Only a remark: if it can't be printed, what follows can't either.
                    let _ = remark_if_unreachable(consumer.cluster(), out).await;
                    continue;
                }
                polled = consumer.poll(POLL) => polled,
            };
            match polled {
                Ok(records) if records.is_empty() => {}
                Ok(records) => {
                    last_record = Instant::now();
                    silent_at = None;
                    if let Some(end) = self.print(consumer, &records, out) {
                        return end;
                    }
                }
                Err(error) => return End::Failed(error.into()),
            }
        }
        End::Count
    }

    /// Prints the records of a poll, as many as may still be printed, and says what became of each; the rest is given
    /// back.
    fn print(&mut self, consumer: &mut ShareConsumer, records: &[ShareRecord], out: &mut Output) -> Option<End> {
        let most = self.left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        self.text.clear();
        let mut printed = Vec::new();
        let mut end = None;
        for delivered in records.iter().take(most) {
            self.processed += 1;
            if let Some(left) = &mut self.left {
                *left -= 1;
            }
            let verdict = match print_record(
                &self.formatter,
                &delivered.record,
                Some(delivered.delivery_count),
                &mut self.text,
            ) {
                Ok(()) => self.verdict,
                Err(error) if self.reject_on_error => {
                    // Errors of the printing itself show up below.
                    let _ = LOGGER.unprintable(&error, ("rejecting", "rejected"), out);
                    AcknowledgeType::Reject
                }
                Err(error) => {
                    end = Some(End::Unprintable(error));
                    break;
                }
            };
            printed.push((delivered, verdict));
        }
        if let Err(end) = write_records(&self.text, out) {
            return Some(end);
        }
        self.progress.add(printed.len() as u64, self.text.len() as u64);
        // Order: only what was written counts as processed.
        for (delivered, verdict) in printed {
            if let Err(error) = consumer.acknowledge(delivered, verdict) {
                return Some(End::Failed(error.into()));
            }
        }
        // What is beyond the limit is for others, now and not when the lock on it is over.
        for delivered in records.iter().skip(most) {
            if let Err(error) = consumer.acknowledge(delivered, AcknowledgeType::Release) {
                return Some(End::Failed(error.into()));
            }
        }
        end
    }
}

/// What to do about an error, if there is something.
fn hint_of(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref::<ShareError>()? {
        ShareError::Client(error) => hint_for(error),
        ShareError::Api(error) => hint_for_code(error.code),
        _ => None,
    }
}

/// The exception that Kafka's consumer gives for the error.
fn java_error(error: &anyhow::Error) -> String {
    if let Some(error) = error.downcast_ref::<FormatError>() {
        return format!("{}: {error}", error.java_class());
    }
    match error.downcast_ref::<ShareError>() {
        Some(ShareError::Api(source)) => format!("{}: {}", java::exception_class(source.code), java::message(source)),
        Some(ShareError::Client(error)) => java::client_exception(error),
        _ => format!("org.apache.kafka.common.KafkaException: {}", chain_text(error)),
    }
}
