//! `replica-verification`: whether all replicas of topics hold the same. Kafka's `kafka-replica-verification.sh`.

mod compare;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Run;
use super::support::{
    ConnectArgs, Exit, IgnoredWords, JavaError, Output, OutputArgs, Signals, Style, TopicFilter, UsageError, block_on,
    report_failure,
};
use crate::client::admin::{OffsetSpec, ReplicaFetch};
use crate::client::{Admin, ClientError};
use crate::config::IsolationLevel;
use crate::types::{NodeId, TopicPartition, Uuid};
use compare::{Replica, compare};

/// Compare the replicas of topics, again and again until it is stopped
#[derive(Debug, Clone, Default, clap::Parser)]
#[command(
    mut_arg("broker_list", |arg| {
        arg.hide(false).help("Brokers to connect to, as --bootstrap-server").help_heading("Connection")
    }),
    after_help = "\
kafka-rs replica-verification --topics-include 'orders|payments'   compare the replicas of some topics
kafka-rs replica-verification --topics-include orders --time -2   compare a topic from its beginning on"
)]
pub(super) struct ReplicaVerification {
    /// Which topics: a regular expression [default: all]
    #[arg(long, value_name = "REGEX")]
    topics_include: Option<String>,
    /// Old spelling of --topics-include
    #[arg(long, value_name = "REGEX", hide = true)]
    topic_white_list: Option<String>,
    /// Where to begin: a time in milliseconds since 1970, -1 for the end, -2 for the beginning
    #[arg(long, value_name = "TIME", default_value_t = -1)]
    time: i64,
    /// How often to tell how far it is
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    report_interval_ms: u64,
    /// How much to ask of a partition at a time
    #[arg(long, value_name = "BYTES", default_value_t = 1_048_576)]
    fetch_size: i32,
    /// How long a broker may wait for records
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    max_wait_ms: u64,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// There is nothing to compare.
#[derive(Debug)]
struct NoTopics;

impl fmt::Display for NoTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "No topics found. [topics-include] if specified, is either filtering out all topics or there is no topic.",
        )
    }
}

impl std::error::Error for NoTopics {}

const LOGGER: &str = "org.apache.kafka.tools.ReplicaVerificationTool";

impl Run for ReplicaVerification {
    fn run(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let old = self.connect.take_broker_list();
        self.connect.bootstrap_server = self.connect.bootstrap_server.take().or(old);
        let pattern = match (self.topics_include.take(), self.topic_white_list.take()) {
            (Some(pattern), _) => pattern,
            (None, Some(pattern)) => {
                out.note(format_args!("--topic-white-list is old: write --topics-include '{pattern}'"))?;
                pattern
            }
            (None, None) => ".*".to_owned(),
        };
        let include =
            TopicFilter::new(&pattern).map_err(|_| JavaError::runtime(format!("{pattern} is an invalid regex")))?;
        let admin = Admin::new(self.connect.admin_options(out)?);
        block_on(async {
            let mut signals = Signals::listen()?;
            let mut verification = Verification::new(&self, &include, &admin).await?;
            verification.tell("verification process is started", out)?;
            let mut reported = Instant::now();
            loop {
                let round = tokio::select! {
                    round = verification.fetch() => round,
                    signal = signals.next() => return Ok(signal.exit()),
                };
                if verification.compare(&round, out)? {
                    return Ok(Exit::Failure);
                }
                if reported.elapsed() > Duration::from_millis(self.report_interval_ms) {
                    verification.report(out)?;
                    reported = Instant::now();
                }
            }
        })
    }

    fn misused(mistake: &UsageError, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        mistake.report(called_as, out)
    }

    fn failed(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        if error.is::<NoTopics>() && !out.is_for_people() {
            out.kafka_log_error(error, LOGGER)?;
            return Ok(Exit::Failure);
        }
        let Some(error) = error.downcast_ref::<JavaError>() else { return report_failure(error, out) };
        error.report(out, |error, out| out.note(error))?;
        Ok(Exit::Failure)
    }
}

/// What the brokers answered, by partition and replica.
type Round = BTreeMap<TopicPartition, BTreeMap<NodeId, Replica>>;

/// How far a comparison is.
struct Verification {
    admin: Admin,
    /// Who holds what.
    replicas: BTreeMap<NodeId, BTreeSet<TopicPartition>>,
    topic_ids: BTreeMap<String, Uuid>,
    /// Up to where replicas were compared.
    offsets: BTreeMap<TopicPartition, i64>,
    /// The partition that is furthest behind, by how many records, and where it is.
    max_lag: Option<(i64, TopicPartition, i64)>,
    fetch_size: i32,
    max_wait: Duration,
}

fn failed(call: &'static str) -> impl Fn(ClientError) -> JavaError {
    move |error| JavaError::call(call, &error)
}

impl Verification {
    async fn new(args: &ReplicaVerification, include: &TopicFilter, admin: &Admin) -> anyhow::Result<Self> {
        let topics = admin.list_topics().await.map_err(failed("listTopics"))?;
        let topics: Vec<_> = topics.into_iter().filter(|topic| include.matches(&topic.name)).collect();
        if topics.is_empty() {
            return Err(NoTopics.into());
        }
        let names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
        let mut replicas: BTreeMap<NodeId, BTreeSet<TopicPartition>> = BTreeMap::new();
        let mut topic_ids = BTreeMap::new();
        let mut wanted = Vec::new();
        for (name, described) in admin.describe_topics(&names, 2000).await.map_err(failed("describeTopics"))? {
            let described = described.map_err(|error| JavaError::api(&error))?;
            topic_ids.insert(name.clone(), described.id);
            for partition in described.partitions {
                let key = TopicPartition { topic: name.clone(), partition: partition.id };
                for replica in partition.replicas {
                    replicas.entry(replica).or_default().insert(key.clone());
                }
                let start = match args.time {
                    -1 => OffsetSpec::Latest,
                    -2 => OffsetSpec::Earliest,
                    time => OffsetSpec::Timestamp(time),
                };
                wanted.push((key, start));
            }
        }
        let mut offsets = BTreeMap::new();
        for (partition, listed) in admin.list_offsets(wanted, IsolationLevel::ReadUncommitted).await {
            let listed = listed.map_err(failed("listOffsets"))?;
            offsets.insert(partition, listed.offset.map_or(0, |offset| offset.get()));
        }
        Ok(Self {
            admin: admin.clone(),
            replicas,
            topic_ids,
            offsets,
            max_lag: None,
            fetch_size: args.fetch_size,
            max_wait: Duration::from_millis(args.max_wait_ms),
        })
    }

    /// Asks all brokers at once. One that does not answer holds up what it has, until it is back.
    async fn fetch(&self) -> Round {
        let mut asked = JoinSet::new();
        for (broker, partitions) in &self.replicas {
            let wanted: Vec<ReplicaFetch> = partitions
                .iter()
                .map(|partition| ReplicaFetch {
                    partition: partition.clone(),
                    topic_id: self.topic_ids.get(&partition.topic).copied().unwrap_or(Uuid::ZERO),
                    offset: self.offsets.get(partition).copied().unwrap_or_default(),
                })
                .collect();
            let (admin, broker, fetch_size, max_wait) = (self.admin.clone(), *broker, self.fetch_size, self.max_wait);
            asked.spawn(async move {
                let fetched = admin.fetch_replicas(broker, &wanted, fetch_size, max_wait).await;
                if fetched.is_err() {
                    // Whoever is away is not asked without a pause.
                    tokio::time::sleep(max_wait).await;
                }
                (broker, fetched.unwrap_or_default())
            });
        }
        let mut round: Round = self.offsets.keys().map(|partition| (partition.clone(), BTreeMap::new())).collect();
        for (broker, partitions) in &self.replicas {
            for partition in partitions {
                round.entry(partition.clone()).or_default().insert(*broker, Replica::default());
            }
        }
        while let Some(Ok((broker, fetched))) = asked.join_next().await {
            for (partition, result) in fetched {
                if let (Ok(found), Some(replicas)) = (result, round.get_mut(&partition)) {
                    replicas.insert(broker, Replica::new(found.high_watermark, &found.records));
                }
            }
        }
        round
    }

    /// Compares a round; whether replicas have parted so far that it makes no sense to go on.
    fn compare(&mut self, round: &Round, out: &mut Output) -> anyhow::Result<bool> {
        self.max_lag = None;
        for (partition, replicas) in round {
            let offset = self.offsets.get(partition).copied().unwrap_or_default();
            let compared = compare(partition, offset, replicas);
            for difference in &compared.differences {
                self.tell(difference, out)?;
            }
            if compared.parted {
                return Ok(true);
            }
            self.offsets.insert(partition.clone(), compared.next_offset);
            let high_watermark = replicas.values().map(|replica| replica.high_watermark).max().unwrap_or(-1);
            let lag = high_watermark - compared.next_offset;
            if self.max_lag.as_ref().is_none_or(|(most, _, _)| lag > *most) {
                self.max_lag = Some((lag, partition.clone(), compared.next_offset));
            }
        }
        Ok(false)
    }

    fn report(&self, out: &mut Output) -> anyhow::Result<()> {
        let Some((lag, partition, offset)) = &self.max_lag else { return Ok(()) };
        if out.style() == Style::Json {
            let line = json!({
                "version": 1,
                "maxLag": lag,
                "topic": partition.topic,
                "partition": partition.partition.get(),
                "offset": offset,
                "partitions": self.offsets.len(),
            });
            out.line(line)?;
            return Ok(out.flush()?);
        }
        let count = self.offsets.len();
        self.tell(
            &format!("max lag is {lag} for partition {partition} at offset {offset} among {count} partitions"),
            out,
        )
    }

    /// A line with the time. Somebody may be waiting for it at the other end of a pipe.
    fn tell(&self, text: &str, out: &mut Output) -> anyhow::Result<()> {
        let time = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string();
        if out.style() == Style::Json {
            out.line(json!({ "version": 1, "time": time, "message": text }))?;
        } else {
            out.line(format_args!("{time}: {text}"))?;
        }
        Ok(out.flush()?)
    }
}
