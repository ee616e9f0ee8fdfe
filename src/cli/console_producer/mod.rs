//! `console-producer`: lines of standard input to a topic. Kafka's `kafka-console-producer.sh`.
//!
//! `input.rs` reads and cuts lines on a thread of its own, `reader.rs` makes messages of them, `settings.rs` puts the
//! options together as Kafka does, `failures.rs` tells of records that were not delivered; here they meet.

mod failures;
mod input;
mod reader;
mod serializer;
mod settings;

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Run;
use super::help::Example;
use super::support::{
    Exit, Hinted, IgnoredWords, Mistake, OldServerOptions, Output, OutputArgs, Progress, Signal, Signals, Style,
    UsageError, block_on, chain_text, hint_for, hint_for_code, java, pick_topic, produce_exception, remark_if_unknown,
    report_failure, telling_of_silence,
};
use crate::client::producer::{Delivery, ProduceError};
use crate::client::{Producer, ProducerRecord};
use crate::config::ConfigError;
use crate::record::Header;
use failures::Failures;
use input::{Input, Reading};
use reader::{Message, ReaderError};

/// Write lines of standard input to a topic
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Properties of the reader, for --reader-property: parse.key=true, key.separator (default tab), parse.headers=true, \
headers.delimiter (default tab), headers.separator (default comma), headers.key.separator (default colon), \
null.marker, ignore.error=true, headers.serializer. A line is then [headers<delimiter>][key<separator>]value, with \
headers as key:value,key:value.

Serializers are Kafka's classes or a word: string, short, integer, long, float, double, boolean, uuid, bytes, void, \
hex, base64, json. So with --value-serializer long a line is a number, sent in 8 bytes. Text is sent in another encoding \
with value.serializer.serializer.encoding, such as UTF-16.

Ctrl-C sends what was read before it ends. The exit code is 1 if a record could not be delivered.")]
pub(super) struct ConsoleProducer {
    /// Topic to write to
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Property of the line reader, such as parse.key=true
    #[arg(long, value_name = "KEY=VALUE")]
    reader_property: Vec<String>,
    /// File with properties of the line reader
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, hide_short_help = true)]
    reader_config: Option<PathBuf>,
    /// Class that keys are written with, such as LongSerializer or hex [default: as they are typed]
    #[arg(long, value_name = "CLASS", hide_short_help = true)]
    key_serializer: Option<String>,
    /// Class that values are written with
    #[arg(long, value_name = "CLASS", hide_short_help = true)]
    value_serializer: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    /// Class of the line reader; there is only Kafka's own
    #[arg(long, value_name = "CLASS", hide = true)]
    line_reader: Option<String>,
    /// Old spelling of --reader-property
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    property: Vec<String>,

    /// Wait for each record's acknowledgement before the next is sent
    #[arg(long, help_heading = "Delivery")]
    sync: bool,
    /// Compress: none, gzip, snappy, lz4 or zstd [default: none; without a codec gzip]
    #[arg(long, value_name = "CODEC", num_args = 0..=1, default_missing_value = "gzip", help_heading = "Delivery")]
    compression_codec: Option<String>,
    /// Copies to wait for: 0, 1 or all [default: all]
    #[arg(long, value_name = "ACKS", help_heading = "Delivery")]
    request_required_acks: Option<String>,
    /// Bytes to collect for a partition before they are sent [default: 16384]
    #[arg(long, value_name = "BYTES", help_heading = "Delivery", hide_short_help = true)]
    batch_size: Option<i32>,
    /// The same as --batch-size, and counts before it
    #[arg(long, value_name = "BYTES", hide = true)]
    max_partition_memory_bytes: Option<i32>,
    /// How long a record may wait for others in its batch [default: 1000; at a terminal 0]
    #[arg(long, value_name = "MS", help_heading = "Delivery", hide_short_help = true)]
    timeout: Option<i64>,
    /// Attempts to send a batch again [default: 3]
    #[arg(long, value_name = "COUNT", help_heading = "Delivery", hide_short_help = true)]
    message_send_max_retries: Option<i32>,
    /// Pause before an attempt is repeated [default: 100]
    #[arg(long, value_name = "MS", help_heading = "Delivery", hide_short_help = true)]
    retry_backoff_ms: Option<i64>,
    /// How long to wait for a broker's answer [default: 1500]
    #[arg(long, value_name = "MS", help_heading = "Delivery", hide_short_help = true)]
    request_timeout_ms: Option<i32>,
    /// Age at which leaders are looked up anew [default: 300000]
    #[arg(long, value_name = "MS", help_heading = "Delivery", hide_short_help = true)]
    metadata_expiry_ms: Option<i64>,
    /// How long to wait for the topic to be known, or for memory [default: 60000]
    #[arg(long, value_name = "MS", help_heading = "Delivery", hide_short_help = true)]
    max_block_ms: Option<i64>,
    /// Memory for records that are not delivered yet [default: 33554432]
    #[arg(long, value_name = "BYTES", help_heading = "Delivery", hide_short_help = true)]
    max_memory_bytes: Option<i64>,
    /// Size of the socket's send buffer [default: what the system chooses]
    #[arg(long, value_name = "BYTES", help_heading = "Delivery", hide_short_help = true)]
    socket_buffer_size: Option<i32>,

    /// Brokers to connect to [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...", help_heading = "Connection")]
    bootstrap_server: Option<String>,
    /// Setting of the producer
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Connection")]
    command_property: Vec<String>,
    /// File with settings of the producer
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Connection")]
    command_config: Option<PathBuf>,
    /// Old spelling of --command-property
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    producer_property: Vec<String>,
    /// Old spelling of --command-config
    #[arg(long = "producer.config", value_name = "FILE", alias = "producer-config", hide = true)]
    producer_config: Option<PathBuf>,
    #[command(flatten)]
    old: OldServerOptions,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// After this long without input, batches that wait for more are sent: nobody should wait for the default of a second.
const IDLE: Duration = Duration::from_millis(50);
/// How long Ctrl-C waits for lines that the reading thread may be about to hand over.
const HAND_OVER: Duration = Duration::from_millis(100);

impl Run for ConsoleProducer {
    const EXAMPLES: &'static [Example] = &[
        ("Type messages, a line each, until Ctrl-D", "kafka-rs console-producer --topic orders"),
        ("Send a file's lines", "kafka-rs console-producer --topic orders < orders.txt"),
        (
            "Lines begin with a key and a tab",
            "kafka-rs console-producer --topic orders --reader-property parse.key=true",
        ),
    ];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        self.check(out)?;
        let target = self.old.target(self.bootstrap_server.as_deref(), out)?;
        settings::check_servers(&target.servers)?;
        let reader = self.reader()?;
        let failures = Arc::new(Failures::new(out.is_for_people()));
        let mut options = self.options(&target, Arc::clone(&failures), out)?;
        options.client = telling_of_silence(options.client, out);
        let flush_when_idle = self.timeout.is_none();
        block_on(async {
            let topic = match self.topic {
                Some(topic) => {
                    remark_if_unknown(&topic, options.client.clone(), out).await?;
                    topic
                }
                None => pick_topic(options.client.clone(), out).await?,
            };
            let progress = Progress::new(!out.stdin_is_terminal(), out);
            let input = input::start(io::stdin(), reader)?;
            let producer = Producer::new(options);
            let run = Sending { topic, sync: self.sync, flush_when_idle, producer, failures, progress, records: 0 };
            run.send_all(input, out).await
        })
    }

    /// A value that is no number is told without the list of options, as in Kafka's tool.
    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        if mistake.kind == Mistake::BadValue && !out.is_for_people() {
            out.note(mistake)?;
            return Ok(Exit::Failure);
        }
        mistake.report(called_as, out)
    }

    /// Kafka's tool shows the exception.
    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        if out.is_for_people() {
            return report_failure(error, out);
        }
        if let Some(error) = error.downcast_ref::<ConfigError>()
            && error.key().is_some()
        {
            out.note(format_args!("{}: {error}", java::config_exception_class(error)))?;
        } else if let Some(Undelivered { class, message }) = error.downcast_ref() {
            out.note(format_args!("java.util.concurrent.ExecutionException: {class}: {message}"))?;
        } else if error.is::<NoTransaction>() {
            out.note(format_args!("java.lang.IllegalStateException: {NoTransaction}"))?;
        } else if let Some(error) = error.downcast_ref::<ReaderError>() {
            out.note(format_args!("org.apache.kafka.common.KafkaException: {error}"))?;
        } else {
            return report_failure(error, out);
        }
        Ok(Exit::Failure)
    }
}

/// A run from the first line to the last acknowledgement.
struct Sending {
    topic: String,
    sync: bool,
    flush_when_idle: bool,
    producer: Producer,
    failures: Arc<Failures>,
    progress: Progress,
    /// Records read so far.
    records: u64,
}

impl Sending {
    async fn send_all(mut self, mut input: Reading, out: &mut Output) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        let ended = self.until_the_end(&mut input, &mut signals, out).await;
        self.progress.clear();
        let mut exit = match &ended {
            Ok(Some(signal)) => signal.exit(),
            Ok(None) => Exit::Success,
            Err(_) => Exit::Failure,
        };
        // Also after an error: what was read before it is delivered. The first signal of all gives up nothing.
        let gave_up = {
            let mut flushing = pin!(self.producer.flush());
            loop {
                tokio::select! {
                    _ = &mut flushing => break false,
                    signal = signals.next() => {
                        if exit != Exit::Success {
                            break true;
                        }
                        exit = signal.exit();
                    }
                }
            }
        };
        self.failures.report(&self.topic, out)?;
        if gave_up {
            out.note("given up; some records may not be delivered")?;
        }
        // Nothing is left to wait for; what was given up is dropped.
        drop(self.producer.close(Duration::ZERO).await);
        ended?;
        let lost = self.failures.lost();
        if out.style() == Style::Json {
            out.json(&json!({"version": 1, "topic": self.topic, "records": self.records, "notDelivered": lost}))?;
        }
        if lost > 0 {
            out.error(&format!("{lost} of {} records were not delivered", self.records))?;
        }
        Ok(if exit == Exit::Success && lost > 0 { Exit::Failure } else { exit })
    }

    /// Sends until the input ends (`None`) or a signal comes.
    async fn until_the_end(
        &mut self,
        input: &mut Reading,
        signals: &mut Signals,
        out: &mut Output,
    ) -> anyhow::Result<Option<Signal>> {
        let mut flushed = true;
        loop {
            if out.is_prompt() && out.style() != Style::Json {
                out.stdout().write_all(b">")?;
                out.flush()?;
            }
            let next = tokio::select! {
                next = input.batches.recv() => next,
                signal = signals.next() => {
                    self.take_the_rest(input, signals, out).await?;
                    return Ok(Some(signal));
                }
                () = tokio::time::sleep(IDLE), if self.flush_when_idle && !flushed => {
                    flushed = true;
                    // Marks the batches as to be sent now; that they arrive is waited for at the end.
                    let _ = tokio::time::timeout(Duration::ZERO, self.producer.flush()).await;
                    continue;
                }
            };
            flushed = false;
            match next {
                None => return Ok(None),
                Some(Input::Failed(error)) => {
                    return Err(anyhow::Error::new(error).context("could not read standard input"));
                }
                Some(Input::Bad(error)) => return Err(error.into()),
                Some(Input::Messages { messages, bytes }) => {
                    let interrupted = {
                        let mut sending = pin!(self.send_batch(&messages, bytes, out));
                        tokio::select! {
                            sent = &mut sending => {
                                sent?;
                                None
                            }
                            // What was read is sent all the same; once more gives that up, since the broker may be away.
                            signal = signals.next() => {
                                input.stop();
                                let sent = tokio::select! {
                                    sent = &mut sending => Some(sent?),
                                    _ = signals.next() => None,
                                };
                                Some((signal, sent.is_some()))
                            }
                        }
                    };
                    match interrupted {
                        None => {}
                        Some((signal, true)) => {
                            self.take_the_rest(input, signals, out).await?;
                            return Ok(Some(signal));
                        }
                        Some((signal, false)) => {
                            out.note("given up; records that were read are not sent")?;
                            return Ok(Some(signal));
                        }
                    }
                }
            }
        }
    }

    /// After a signal: reads no more, and sends what the reading thread has read already.
    async fn take_the_rest(
        &mut self,
        input: &mut Reading,
        signals: &mut Signals,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        input.stop();
        loop {
            let next = tokio::select! {
                next = tokio::time::timeout(HAND_OVER, input.batches.recv()) => next,
                _ = signals.next() => return Ok(()),
            };
            match next {
                Ok(Some(Input::Messages { messages, bytes })) => self.send_batch(&messages, bytes, out).await?,
                _ => return Ok(()),
            }
        }
    }

    async fn send_batch(&mut self, messages: &[Message], bytes: usize, out: &mut Output) -> anyhow::Result<()> {
        let mut headers = Vec::new();
        for message in messages {
            self.records += 1;
            headers.clear();
            headers.extend(
                message.headers.iter().map(|(key, value)| Header { key: key.as_bytes(), value: value.as_deref() }),
            );
            let record = ProducerRecord {
                topic: &self.topic,
                key: message.key.as_deref(),
                value: message.value.as_deref(),
                headers: &headers,
                ..ProducerRecord::default()
            };
            match self.producer.send(record).await {
                Ok(delivery) if self.sync => self.wait_for(delivery).await?,
                Ok(delivery) => self.failures.on_its_way(delivery.partition(), message),
                Err(error @ ProduceError::Transaction(_)) => return Err(self.explained(error).context(NoTransaction)),
                Err(error) if self.sync || is_final(&error) => return Err(self.explained(error)),
                Err(error) => self.failures.refused(message, error),
            }
        }
        self.failures.report(&self.topic, out)?;
        self.progress.add(messages.len() as u64, bytes as u64);
        Ok(())
    }

    async fn wait_for(&self, delivery: Delivery) -> anyhow::Result<()> {
        let Err(error) = delivery.outcome().await else { return Ok(()) };
        let (class, message) = produce_exception(&self.topic, &error);
        Err(self.explained(error).context(Undelivered { class, message }))
    }

    fn explained(&self, error: ProduceError) -> anyhow::Error {
        let hint = match &error {
            ProduceError::Client(error) => hint_for(error),
            ProduceError::Refused(error) => hint_for_code(error.code),
            ProduceError::UnknownTopic { source: Some(source), .. } => hint_for(source),
            ProduceError::TooLarge { limit_key, .. } => {
                Some(format!("raise it with --command-property {limit_key}=..."))
            }
            ProduceError::Transaction(_) => {
                Some("this tool opens no transactions, as Kafka's does not: leave transactional.id out".to_owned())
            }
            _ => None,
        };
        let text = chain_text(&anyhow::Error::new(error));
        let text = format!("could not write to {}: {text}", self.topic);
        match hint {
            Some(hint) => Hinted::error(text, hint),
            None => anyhow::Error::msg(text),
        }
    }
}

/// A record that `--sync` waited for in vain, as Kafka's tool tells it.
#[derive(Debug)]
struct Undelivered {
    class: String,
    message: String,
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A record of a producer with a `transactional.id`, which Kafka's tool takes and then can't use.
#[derive(Debug)]
struct NoTransaction;

impl fmt::Display for NoTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cannot add partition to transaction before completing a call to initTransactions")
    }
}

/// Whether the records that follow would fare no better.
fn is_final(error: &ProduceError) -> bool {
    matches!(error, ProduceError::Client(_) | ProduceError::UnknownTopic { .. } | ProduceError::Closed)
}
