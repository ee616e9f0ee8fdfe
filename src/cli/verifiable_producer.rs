//! `verifiable-producer`: sends numbers and tells of each, as JSON, whether it was acknowledged. Kafka's
//! `kafka-verifiable-producer.sh`, which system tests drive.

use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Run;
use super::help::Example;
use super::support::events::Event;
use super::support::figures::{now_ms, number, per_second};
use super::support::{
    AlwaysJsonArgs, Argparse, Exit, OldServerOptions, Output, Signal, Signals, Throttle, Uncaught, UsageError,
    argparse, block_on_two_threads, explained_config, produce_exception, warn,
};
use crate::client::producer::{Delivery, ProduceError};
use crate::client::{Producer, ProducerOptions, ProducerRecord};
use crate::config::{Client, ProducerConfig};

/// Write increasing numbers to a topic, and print what became of each as JSON
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Events: startup_complete, producer_send_success, producer_send_error, shutdown_complete, tool_data.")]
pub(super) struct VerifiableProducer {
    /// Topic to write to
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// How many records to send; -1: until a signal ends it [default: -1]
    #[arg(long, value_name = "COUNT")]
    max_messages: Option<i32>,
    /// Records per second at most; -1: as fast as it goes [default: -1]
    #[arg(long, value_name = "RATE")]
    throughput: Option<i32>,
    /// Copies to wait for: 0, 1 or -1 for all [default: -1]
    #[arg(long, value_name = "ACKS")]
    acks: Option<i32>,
    /// Time of the first record, in milliseconds since 1970 [default: now]
    #[arg(long, value_name = "MS")]
    message_create_time: Option<i64>,
    /// Put this number and a dot before each value
    #[arg(long, value_name = "NUMBER")]
    value_prefix: Option<i32>,
    /// Keys from 0 up to this number, over and over [default: no keys]
    #[arg(long, value_name = "COUNT")]
    repeating_keys: Option<i32>,
    #[command(flatten)]
    _output: AlwaysJsonArgs,

    /// Brokers to connect to [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...", help_heading = "Connection")]
    bootstrap_server: Option<String>,
    /// File with settings of the producer, which count over the options
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Connection")]
    command_config: Option<PathBuf>,
    /// Old spelling of --command-config
    #[arg(long = "producer.config", value_name = "FILE", hide = true)]
    producer_config: Option<PathBuf>,
    #[command(flatten)]
    old: OldServerOptions,
}

const WORDS: Argparse = Argparse {
    program: "verifiable-producer",
    numbers: &[
        ("max-messages", "Integer"),
        ("throughput", "Integer"),
        ("acks", "Integer"),
        ("message-create-time", "Long"),
        ("value-prefix", "Integer"),
        ("repeating-keys", "Integer"),
    ],
};

impl Run for VerifiableProducer {
    const EXAMPLES: &'static [Example] =
        &[("Send a thousand numbers", "kafka-rs verifiable-producer --topic numbers --max-messages 1000")];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        let options = self.options(out)?;
        block_on_two_threads(self.send_all(options, out))
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        WORDS.report(mistake, called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        Uncaught::report(error, out)
    }
}

/// A record on its way. As many as these may wait to be told of.
struct OnItsWay {
    key: Option<String>,
    value: String,
    delivery: Result<Delivery, ProduceError>,
}

const WAITING: usize = 10_000;

impl VerifiableProducer {
    fn options(&mut self, out: &mut Output) -> anyhow::Result<ProducerOptions> {
        if let Some(acks) = self.acks.filter(|acks| ![0, 1, -1].contains(acks)) {
            return Err(UsageError::because(format!(
                "argument --acks: invalid choice: '{acks}' (choose from {{0,1,-1}})"
            )));
        }
        if self.topic.is_none() {
            return Err(argparse::required("topic"));
        }
        let file =
            argparse::config_file(("producer.config", self.producer_config.take()), self.command_config.take(), out)?;
        let target = self.old.target(self.bootstrap_server.as_deref(), out)?;
        let mut properties = target.properties(Client::Producer)?;
        properties.set("bootstrap.servers", &target.servers);
        properties.set("acks", &self.acks.unwrap_or(-1).to_string());
        // What failed is told of, not tried again.
        properties.set("retries", "0");
        if let Some(file) = file {
            argparse::read(&mut properties, &file)?;
        }
        warn(&properties.warnings(), out)?;
        let config = ProducerConfig::new(&properties).map_err(explained_config)?;
        Ok(ProducerOptions::from(&config))
    }

    async fn send_all(self, options: ProducerOptions, out: &mut Output) -> anyhow::Result<Exit> {
        let mut signals = Signals::listen()?;
        let topic = self.topic.clone().unwrap_or_default();
        let producer = Producer::new(options);
        let started_ms = now_ms();
        print(Event::new("startup_complete"), out)?;
        let (to_tell, mut told) = mpsc::channel(WAITING);
        let sent = Cell::new(0);
        let mut ended: Option<Signal> = None;
        let acked = {
            let mut work: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
                self.send(&producer, &topic, started_ms, &sent, to_tell).await;
                drop(producer.flush().await);
            });
            let mut telling = pin!(tell_all(&topic, &mut told, out));
            let mut working = true;
            loop {
                tokio::select! {
                    acked = &mut telling => break acked?,
                    () = &mut work, if working => working = false,
                    signal = signals.next() => {
                        if ended.replace(signal).is_some() {
                            // Asked once more: what is on its way is given up.
                            return Ok(signal.exit());
                        }
                        // Nothing more is sent; what was sent is still told of.
                        work = Box::pin(async { drop(producer.flush().await) });
                        working = true;
                    }
                }
            }
        };
        drop(producer.close(Duration::MAX).await);
        print(Event::new("shutdown_complete"), out)?;
        let summary = Event::new("tool_data")
            .field("sent", sent.get())
            .field("acked", acked)
            .field("target_throughput", self.throughput.unwrap_or(-1))
            .field("avg_throughput", java_double(per_second(number(acked), now_ms() - started_ms)));
        print(summary, out)?;
        Ok(ended.map_or(Exit::Success, Signal::exit))
    }

    async fn send(
        &self,
        producer: &Producer,
        topic: &str,
        started_ms: i64,
        sent: &Cell<u64>,
        to_tell: mpsc::Sender<OnItsWay>,
    ) {
        let most = self.max_messages.and_then(|most| u64::try_from(most).ok()).unwrap_or(u64::MAX);
        let mut throttle = Throttle::new(f64::from(self.throughput.unwrap_or(-1)), started_ms);
        let mut keys = self.repeating_keys.map(|count| (0..count.max(1)).cycle());
        let mut create_time = self.message_create_time.filter(|time| *time != -1);
        for index in 0..most {
            let now = now_ms();
            let key = keys.as_mut().and_then(Iterator::next).map(|key| key.to_string());
            let value = match self.value_prefix {
                Some(prefix) => format!("{prefix}.{index}"),
                None => index.to_string(),
            };
            let record = ProducerRecord {
                topic,
                timestamp: create_time,
                key: key.as_deref().map(str::as_bytes),
                value: Some(value.as_bytes()),
                ..ProducerRecord::default()
            };
            if let Some(time) = &mut create_time {
                // As in Kafka's tool: by the time since the start, each time.
                *time += now - started_ms;
            }
            sent.set(sent.get() + 1);
            let delivery = producer.send(record).await;
            if to_tell.send(OnItsWay { key, value, delivery }).await.is_err() {
                return;
            }
            if let Some(pause) = throttle.pause(index, now) {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Tells what became of each record, in the order in which they were sent; returns how many were acknowledged.
async fn tell_all(topic: &str, told: &mut mpsc::Receiver<OnItsWay>, out: &mut Output) -> anyhow::Result<u64> {
    let mut acked = 0;
    while let Some(record) = told.recv().await {
        acked += u64::from(tell(topic, record, out).await?);
        if told.is_empty() {
            out.flush()?;
        }
    }
    Ok(acked)
}

/// Tells what became of a record; returns whether it was acknowledged.
async fn tell(topic: &str, record: OnItsWay, out: &mut Output) -> anyhow::Result<bool> {
    let OnItsWay { key, value, delivery } = record;
    let outcome = match delivery {
        Ok(delivery) => delivery.outcome().await,
        Err(error) => Err(error),
    };
    let acknowledged = outcome.is_ok();
    let event = match outcome {
        Ok(metadata) => Event::new("producer_send_success")
            .text("key", key.as_deref())
            .text("value", Some(&value))
            .field("offset", metadata.offset.map_or(-1, |offset| offset.get()))
            .text("topic", Some(topic))
            .field("partition", metadata.partition.get()),
        Err(error) => {
            let (class, message) = produce_exception(topic, &error);
            Event::new("producer_send_error")
                .text("key", key.as_deref())
                .text("value", Some(&value))
                .text("topic", Some(topic))
                .text("exception", Some(&format!("class {class}")))
                .text("message", Some(&message))
        }
    };
    out.line(event.end())?;
    Ok(acknowledged)
}

fn print(event: Event, out: &mut Output) -> io::Result<()> {
    out.line(event.end())?;
    out.flush()
}

/// A number as Java writes it in JSON: what is no number is a text.
fn java_double(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { "\"NaN\"".to_owned() }
}
