//! `e2e-latency`: how long a record takes from the producer through a topic to a consumer. Kafka's
//! `kafka-e2e-latency.sh`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::Run;
use super::help::Example;
use super::support::figures::{Latencies, decimal};
use super::support::{
    Exit, Hinted, OldServerOptions, Output, OutputArgs, Progress, Signals, Style, Target, Uncaught, UsageError,
    block_on_two_threads, chain_text, explained, explained_config, report_failure, warn,
};
use crate::client::admin::{NewTopic, NewTopicLayout};
use crate::client::{Admin, Consumer, ConsumerOptions, ConsumerRecord, Producer, ProducerOptions, ProducerRecord};
use crate::config::{Client, ClientProperties, ConsumerConfig, OffsetReset, ProducerConfig};
use crate::record::Header;
use crate::types::TopicPartition;

/// Measure how long a record takes from a producer through a topic to a consumer
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
One record is sent after the other has arrived. The topic is made, with one partition, if it is not there.")]
pub(super) struct EndToEndLatency {
    /// Topic to write to and read from
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// How many records to send
    #[arg(long, value_name = "COUNT")]
    num_records: Option<String>,
    /// Copies to wait for: 1 or all
    #[arg(long, value_name = "ACKS")]
    producer_acks: Option<String>,
    /// Bytes of each value
    #[arg(long, value_name = "BYTES")]
    record_size: Option<String>,
    /// Bytes of each key [default: 0, no key]
    #[arg(long, value_name = "BYTES", num_args = 0..=1, default_missing_value = "0", allow_negative_numbers = true)]
    record_key_size: Option<String>,
    /// How many headers each record has [default: 0]
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "0", allow_negative_numbers = true)]
    num_headers: Option<String>,
    /// Bytes of the name of each header [default: 0]
    #[arg(long, value_name = "BYTES", num_args = 0..=1, default_missing_value = "0", allow_negative_numbers = true)]
    record_header_key_size: Option<String>,
    /// Bytes of the value of each header; -1: null [default: 0]
    #[arg(long, value_name = "BYTES", num_args = 0..=1, default_missing_value = "0", allow_negative_numbers = true)]
    record_header_size: Option<String>,
    #[command(flatten)]
    output: OutputArgs,

    /// Brokers to connect to [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...", help_heading = "Connection")]
    bootstrap_server: Option<String>,
    /// File with settings of producer, consumer and administrator
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Connection")]
    command_config: Option<PathBuf>,
    #[command(flatten)]
    old: OldServerOptions,
    /// The old way: server, topic, count, acks, size, file
    #[arg(hide = true, value_name = "WORD")]
    words: Vec<String>,
}

/// How long a record may be on its way.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);
/// A latency is told of every so many records.
const TOLD: usize = 1000;

/// What is measured.
#[derive(Debug)]
struct Plan {
    topic: String,
    records: usize,
    acks: String,
    size: usize,
    key_size: usize,
    headers: usize,
    header_key_size: usize,
    /// `None`: null.
    header_size: Option<usize>,
}

impl Run for EndToEndLatency {
    const EXAMPLES: &'static [Example] = &[(
        "Send and receive ten thousand records, one after the other",
        "kafka-rs e2e-latency localhost:9092 latency 10000 all 100",
    )];

    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        self.take_words(out)?;
        let plan = self.plan()?;
        let target = self.old.target(self.bootstrap_server.as_deref(), out)?;
        let producer = self.producer(&target, &plan.acks, out)?;
        let consumer = self.consumer(&target)?;
        block_on_two_threads(measure(plan, producer, consumer, out))
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        if out.is_for_people() {
            return report_failure(error, out);
        }
        out.note(chain_text(error))?;
        if let Some(hinted) = error.chain().find_map(|cause| cause.downcast_ref::<Hinted>()) {
            out.hint(hinted.hint())?;
        }
        Ok(Exit::Failure)
    }
}

impl EndToEndLatency {
    /// Takes words without options as Kafka's tool did before it had options.
    fn take_words(&mut self, out: &mut Output) -> anyhow::Result<()> {
        let named = [&self.bootstrap_server, &self.topic, &self.num_records, &self.producer_acks, &self.record_size];
        if named.iter().any(|option| option.is_some()) || (self.words.is_empty() && out.is_for_people()) {
            return Ok(());
        }
        let count = self.words.len();
        if !(5..=6).contains(&count) {
            return Err(UsageError::because(format!(
                "Invalid number of arguments. Expected 5 or 6 positional arguments, but got {count}. Usage: \
                 bootstrap-server topic num-records producer-acks record-size [optional] command-config"
            )));
        }
        out.note(
            "WARNING: Positional argument usage is deprecated and will be removed in Apache Kafka 5.0. Please use named \
             arguments instead: --bootstrap-server, --topic, --num-records, --producer-acks, --record-size, \
             --command-config",
        )?;
        let mut words = std::mem::take(&mut self.words).into_iter();
        self.bootstrap_server = words.next();
        self.topic = words.next();
        self.num_records = words.next();
        self.producer_acks = words.next();
        self.record_size = words.next();
        self.command_config = words.next().map(PathBuf::from);
        Ok(())
    }

    /// Checks the options, in the order and words of Kafka's tool.
    fn plan(&self) -> anyhow::Result<Plan> {
        let topic = self.topic.clone().ok_or_else(|| UsageError::missing("topic"))?;
        for (option, given) in [
            ("num-records", &self.num_records),
            ("producer-acks", &self.producer_acks),
            ("record-size", &self.record_size),
        ] {
            if given.is_none() {
                return Err(UsageError::missing(option));
            }
        }
        let acks = self.producer_acks.clone().unwrap_or_default();
        if !["1", "all"].contains(&acks.as_str()) {
            return Err(UsageError::because(
                "Invalid value for --producer-acks. Latency testing requires synchronous acknowledgement. Please use '1' \
                 or 'all'.",
            ));
        }
        let records = number("num-records", &self.num_records)?;
        if records <= 0 {
            return Err(UsageError::because("Value for --num-records must be a positive integer."));
        }
        let size = |option: &str, text: &Option<String>| match number(option, text)? {
            size @ 0.. => Ok(usize::try_from(size).unwrap_or(0)),
            _ => Err(UsageError::because(format!("Value for --{option} must be a non-negative integer."))),
        };
        Ok(Plan {
            topic,
            acks,
            records: usize::try_from(records).unwrap_or(0),
            size: size("record-size", &self.record_size)?,
            key_size: size("record-key-size", &self.record_key_size)?,
            header_key_size: size("record-header-key-size", &self.record_header_key_size)?,
            header_size: match number("record-header-size", &self.record_header_size)? {
                size @ 0.. => Some(usize::try_from(size).unwrap_or(0)),
                -1 => None,
                _ => {
                    return Err(UsageError::because(
                        "Value for --record-header-size must be a non-negative integer or -1 for null header value.",
                    ));
                }
            },
            headers: size("num-headers", &self.num_headers)?,
        })
    }

    fn properties(&self, client: Client, target: &Target) -> anyhow::Result<ClientProperties> {
        let mut found = target.properties(client)?;
        if let Some(file) = &self.command_config {
            found.read(file)?;
        }
        found.set("bootstrap.servers", &target.servers);
        Ok(found)
    }

    fn producer(&self, target: &Target, acks: &str, out: &mut Output) -> anyhow::Result<ProducerOptions> {
        let mut found = self.properties(Client::Producer, target)?;
        warn(&found.warnings(), out)?;
        // Nothing waits for more to be sent with it.
        found.set("linger.ms", "0");
        found.set("acks", acks);
        Ok(ProducerOptions::from(&ProducerConfig::new(&found).map_err(explained_config)?))
    }

    fn consumer(&self, target: &Target) -> anyhow::Result<ConsumerOptions> {
        let mut found = self.properties(Client::Consumer, target)?;
        found.set("group.id", &format!("test-group-{}", super::support::figures::now_ms()));
        found.set("enable.auto.commit", "false");
        found.set("auto.offset.reset", "latest");
        Ok(ConsumerOptions::from(&ConsumerConfig::new(&found).map_err(explained_config)?))
    }
}

/// The number of an option, 0 without it.
fn number(option: &str, text: &Option<String>) -> anyhow::Result<i32> {
    let Some(text) = text else { return Ok(0) };
    text.parse().map_err(|_| Uncaught::illegal_argument(format!("Cannot parse argument '{text}' of option {option}")))
}

/// What is sent: each a run of one random letter, as Kafka's tool makes them.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Sent {
    fn random(plan: &Plan, random: &mut fastrand::Rng) -> Self {
        let mut letters = |length: usize| vec![random.u8(b'A'..=b'Z'); length];
        Self {
            // Kafka's tool sends an empty key where none is asked for.
            key: Some(letters(plan.key_size)),
            value: letters(plan.size),
            headers: (0..plan.headers)
                .map(|_| (letters(plan.header_key_size), plan.header_size.map(&mut letters)))
                .collect(),
        }
    }

    /// Checks that exactly this has arrived.
    fn check(&self, records: &[ConsumerRecord]) -> Result<(), String> {
        let Some(record) = records.first() else {
            return Err(format!("poll() timed out before finding a result (timeout:[{}ms])", POLL_TIMEOUT.as_millis()));
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let value = record.value.as_deref().unwrap_or_default();
        if value != self.value {
            let (read, sent) = (text(value), text(&self.value));
            return Err(format!("The message value read [{read}] did not match the message value sent [{sent}]"));
        }
        match (&self.key, record.key.as_deref()) {
            (Some(_), None) => return Err("Expected message key but received null".to_owned()),
            (Some(sent), Some(read)) if sent != read => {
                let (read, sent) = (text(read), text(sent));
                return Err(format!("The message key read [{read}] did not match the message key sent [{sent}]"));
            }
            _ => {}
        }
        let found = record.headers.iter().map(|header| (&header.key[..], header.value.as_deref()));
        let sent = self.headers.iter().map(|(key, value)| (&key[..], value.as_deref()));
        if !found.eq(sent) {
            return Err("The message headers read did not match the message headers sent".to_owned());
        }
        match records.len() {
            1 => Ok(()),
            count => Err(format!("Only one result was expected during this test. We found [{count}]")),
        }
    }
}

async fn measure(
    plan: Plan,
    producer: ProducerOptions,
    consumer: ConsumerOptions,
    out: &mut Output,
) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let mut run = Running {
        latencies: Latencies::default(),
        all: Duration::ZERO,
        done: 0,
        progress: Progress::new(out.style() == Style::Table, out).of(plan.records as u64),
    };
    let signal = tokio::select! {
        ended = run.run(&plan, producer, consumer, out) => {
            run.progress.clear();
            ended?;
            None
        }
        signal = signals.next() => Some(signal),
    };
    run.progress.clear();
    if signal.is_none() || (out.style() == Style::Table && run.done > 0) {
        run.report(out)?;
    }
    Ok(signal.map_or(Exit::Success, super::support::Signal::exit))
}

struct Running {
    latencies: Latencies,
    all: Duration,
    done: usize,
    progress: Progress,
}

impl Running {
    async fn run(
        &mut self,
        plan: &Plan,
        producer: ProducerOptions,
        consumer: ConsumerOptions,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        let mut consumer = Consumer::new(consumer);
        let admin = Admin::of(consumer.cluster().clone());
        let partitions = partitions(&admin, &plan.topic, out).await?;
        consumer.assign(partitions.clone());
        consumer.seek_by(&partitions, OffsetReset::Latest)?;
        for partition in &partitions {
            consumer.position(partition).await?;
        }
        let producer = Producer::new(producer);
        // The same each time, so that runs compare.
        let mut random = fastrand::Rng::with_seed(0);
        for index in 0..plan.records {
            let sent = Sent::random(plan, &mut random);
            let headers: Vec<_> =
                sent.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
            let record = ProducerRecord {
                topic: &plan.topic,
                key: sent.key.as_deref(),
                value: Some(&sent.value),
                headers: &headers,
                ..ProducerRecord::default()
            };
            let begin = Instant::now();
            producer.send(record).await?.outcome().await?;
            let records = consumer.poll(POLL_TIMEOUT).await?;
            let elapsed = begin.elapsed();
            sent.check(&records).map_err(|text| Uncaught::error("java.lang.RuntimeException", text))?;
            if index % TOLD == 0 && out.style() == Style::Kafka {
                out.line(format_args!("{index}\t{:?}", milliseconds(elapsed)))?;
                out.flush()?;
            }
            self.done += 1;
            self.all += elapsed;
            self.latencies.add(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), 1);
            self.progress.add(1, plan.size as u64);
        }
        drop(producer.close(Duration::ZERO).await);
        drop(consumer.close().await);
        Ok(())
    }

    fn report(&self, out: &mut Output) -> io::Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "an average")]
        let average = milliseconds(self.all) / self.done as f64;
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| self.latencies.percentile(part));
        match out.style() {
            Style::Kafka => {
                out.line(format_args!("Avg latency: {} ms", decimal(average, 4)))?;
                out.line(format_args!("Percentiles: 50th = {p50}, 99th = {p99}, 99.9th = {p999}"))
            }
            Style::Table => {
                let row = [self.done.to_string(), decimal(average, 4)].into_iter();
                let row = row.chain([p50, p99, p999].map(|latency| latency.to_string())).collect();
                out.table(&["Records", "Avg ms", "50% ms", "99% ms", "99.9% ms"], vec![row])
            }
            Style::Json => out.json(&json!({
                "version": 1,
                "records": self.done,
                "averageLatencyMs": average,
                "latencyPercentilesMs": {"50": p50, "99": p99, "99.9": p999},
            })),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The partitions of the topic, which is made if it is not there.
async fn partitions(admin: &Admin, topic: &str, out: &mut Output) -> anyhow::Result<Vec<TopicPartition>> {
    let find = async || -> anyhow::Result<Option<Vec<TopicPartition>>> {
        let topics = admin.list_topics().await.map_err(explained)?;
        let found = topics.into_iter().find(|found| found.name == topic);
        let named = |id: crate::types::PartitionId| TopicPartition::new(topic, id.get());
        Ok(found.map(|found| found.partitions.iter().map(|partition| named(partition.id)).collect()))
    };
    if let Some(found) = find().await? {
        return Ok(found);
    }
    let text =
        format!("Topic \"{topic}\" does not exist. Will create topic with 1 partition(s) and replication factor = 1");
    if out.style() == Style::Kafka {
        out.line(text)?;
    } else {
        out.note(text)?;
    }
    let layout = NewTopicLayout::Counts { partitions: Some(1), replication_factor: Some(1) };
    let new = NewTopic { name: topic.to_owned(), layout, configs: Vec::new() };
    for (_, result) in admin.create_topics(&[new], false).await.map_err(explained)? {
        result.map_err(|error| anyhow::Error::new(error).context(format!("Creation of topic {topic} failed")))?;
    }
    // The broker that is asked may hear of it a little later than the one that made it.
    let begin = Instant::now();
    loop {
        match find().await? {
            Some(found) => return Ok(found),
            None if begin.elapsed() > POLL_TIMEOUT => anyhow::bail!("topic {topic} was made and is not to be found"),
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn plan(words: &[&str]) -> Result<Plan, String> {
        let (mut out, _) = Output::captured();
        let mut tool = EndToEndLatency::try_parse_from(["e2e-latency"].iter().chain(words)).unwrap();
        tool.take_words(&mut out).and_then(|()| tool.plan()).map_err(|error| error.to_string())
    }

    #[test]
    fn words_are_taken_in_the_old_order() {
        let plan = plan(&["h:1", "t", "3", "all", "10"]).unwrap();
        assert_eq!((plan.topic.as_str(), plan.records, plan.acks.as_str(), plan.size), ("t", 3, "all", 10));
    }

    #[test]
    fn mistakes_are_told_in_kafkas_order() {
        let named = ["--topic", "t", "--num-records", "3", "--producer-acks", "1", "--record-size", "1"];
        let with = |more: &[&str]| plan(&[&named, more].concat()).unwrap_err();
        assert_eq!(with(&["--record-key-size=-1"]), "Value for --record-key-size must be a non-negative integer.");
        assert!(with(&["--record-header-size=-2"]).starts_with("Value for --record-header-size must be"));
        assert_eq!(plan(&["--topic", "t"]).unwrap_err(), "Missing required argument \"[num-records]\"");
        assert!(plan(&["a", "b"]).unwrap_err().ends_with(
            "but got 2. Usage: bootstrap-server topic num-records \
            producer-acks record-size [optional] command-config"
        ));
        assert!(plan(&["h", "t", "x", "0", "1"]).unwrap_err().starts_with("Invalid value for --producer-acks."));
        assert_eq!(plan(&["h", "t", "x", "1", "1"]).unwrap_err(), "Cannot parse argument 'x' of option num-records");
    }

    #[test]
    fn what_arrives_is_compared_with_what_was_sent() {
        let plan = plan(&[
            "--topic",
            "t",
            "--num-records",
            "1",
            "--producer-acks",
            "1",
            "--record-size",
            "3",
            "--num-headers",
            "2",
            "--record-header-key-size",
            "1",
            "--record-header-size=-1",
        ])
        .unwrap();
        let sent = Sent::random(&plan, &mut fastrand::Rng::with_seed(0));
        let record = |value: &[u8]| ConsumerRecord {
            partition: std::sync::Arc::new(TopicPartition::new("t", 0)),
            offset: crate::types::Offset(0),
            timestamp: 0,
            timestamp_type: None,
            leader_epoch: crate::types::LeaderEpoch::NONE,
            key: Some(bytes::Bytes::new()),
            value: Some(bytes::Bytes::copy_from_slice(value)),
            headers: sent
                .headers
                .iter()
                .map(|(key, _)| crate::record::OwnedHeader { key: bytes::Bytes::copy_from_slice(key), value: None })
                .collect(),
        };
        let good = record(&sent.value);
        assert_eq!(sent.check(std::slice::from_ref(&good)), Ok(()));
        assert!(sent.check(&[]).unwrap_err().starts_with("poll() timed out"));
        assert!(sent.check(&[good.clone(), good.clone()]).unwrap_err().ends_with("We found [2]"));
        assert!(sent.check(&[record(b"x")]).unwrap_err().starts_with("The message value read [x]"));
        let bare = ConsumerRecord { headers: Vec::new(), ..good.clone() };
        assert!(sent.check(&[bare]).unwrap_err().starts_with("The message headers"));
        let no_key = ConsumerRecord { key: None, ..good };
        assert_eq!(sent.check(&[no_key]).unwrap_err(), "Expected message key but received null");
    }
}
