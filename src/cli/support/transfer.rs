//! Sends records that were read elsewhere: to the partitions that they had, or to those of their keys.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Hinted, Progress, chain_text, explained};
use crate::client::{Admin, ClientOptions, Producer, ProducerOptions, ProducerRecord};
use crate::config::IsolationLevel;
use crate::protocol::ErrorCode;
use crate::record::Header;
use crate::types::{PartitionId, TopicPartition};

/// How many records are on their way before their delivery is made sure of.
const FLUSH_EVERY: u64 = 20_000;
/// Larger than any topic's `max.message.bytes`: the broker judges, not this.
const LARGEST_REQUEST: usize = 100 << 20;
const BATCH_SIZE: usize = 256 << 10;

/// `--partitions`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct PartitionsArg {
    /// Which partitions records go to: keep theirs, or remap them by their keys
    #[arg(long, value_name = "HOW", default_value = "keep")]
    partitions: Partitions,
}

/// Where records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Partitions {
    /// To the partition that they were in
    Keep,
    /// To the partition of their key, as a producer would choose
    Remap,
}

impl PartitionsArg {
    /// Whether the topic is there and has the partitions that will be needed.
    pub(crate) async fn check(self, admin: &Admin, topic: &str, needed: i32) -> anyhow::Result<()> {
        let has = partitions_of(admin, topic).await.map_err(|error| match error.downcast::<NoTopic>() {
            Ok(missing) => Hinted::error(
                missing.to_string(),
                format!("make it first: `kafka-rs topics --create --topic {topic} --partitions {needed}`"),
            ),
            Err(error) => error,
        })?;
        let enough = usize::try_from(needed).is_ok_and(|needed| has.len() >= needed);
        if self.partitions == Partitions::Keep && !enough {
            return Err(Hinted::error(
                format!("{topic} has {} partitions, and {needed} are needed to keep them", has.len()),
                "send records to the partitions of their keys with --partitions remap, or give the topic more",
            ));
        }
        Ok(())
    }
}

/// A topic that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no topic {0}")]
pub(crate) struct NoTopic(String);

/// The partitions of a topic.
pub(crate) async fn partitions_of(admin: &Admin, topic: &str) -> anyhow::Result<Vec<TopicPartition>> {
    use crate::client::{AutoCreate, TopicScope};
    let cluster = admin.cluster();
    let scope = TopicScope::Names(vec![topic.to_owned()]);
    let metadata = cluster.refresh(&scope, AutoCreate::Never, cluster.api_deadline()).await.map_err(explained)?;
    let Some(found) = metadata.topics.get(topic) else { return Err(NoTopic(topic.to_owned()).into()) };
    match found.error {
        ErrorCode::None => {
            Ok(found.partitions.iter().map(|partition| TopicPartition::new(topic, partition.id.get())).collect())
        }
        ErrorCode::UnknownTopicOrPartition => Err(NoTopic(topic.to_owned()).into()),
        code => {
            Err(anyhow::Error::new(crate::client::ApiError::from(code)).context(format!("could not look up {topic}")))
        }
    }
}

/// `--isolation-level`, for tools that take records elsewhere.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct IsolationArg {
    /// Which records of transactions count
    #[arg(long, value_name = "LEVEL", default_value = "read_committed", hide_short_help = true)]
    isolation_level: Isolation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Isolation {
    /// Those that were committed
    #[value(name = "read_committed")]
    Committed,
    /// All
    #[value(name = "read_uncommitted")]
    Uncommitted,
}

impl IsolationArg {
    pub(crate) fn level(&self) -> IsolationLevel {
        match self.isolation_level {
            Isolation::Committed => IsolationLevel::ReadCommitted,
            Isolation::Uncommitted => IsolationLevel::ReadUncommitted,
        }
    }
}

/// A record on its way, and the partition that it had.
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [Header<'a>],
}

/// What has arrived.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct TransferOutcome {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// By topic, and by the partition that they came from.
    pub(crate) partitions: BTreeMap<(String, i32), u64>,
}

impl TransferOutcome {
    pub(crate) fn partitions_json(&self, topic: &str) -> Vec<Value> {
        let of_topic = self.partitions.iter().filter(|((of, _), _)| of == topic);
        of_topic.map(|((_, partition), records)| json!({"partition": partition, "records": records})).collect()
    }
}

/// Sends records, and counts those that arrived.
pub(crate) struct Transfer {
    producer: Producer,
    how: Partitions,
    progress: Progress,
    sent: TransferOutcome,
    since_flush: u64,
}

impl Transfer {
    /// Must be called within a runtime.
    pub(crate) fn new(client: ClientOptions, how: PartitionsArg, progress: Progress) -> Self {
        let producer = Producer::new(ProducerOptions {
            client,
            batch_size: BATCH_SIZE,
            max_request_size: LARGEST_REQUEST,
            buffer_memory: 2 * LARGEST_REQUEST,
            ..ProducerOptions::default()
        });
        Self { producer, how: how.partitions, progress, sent: TransferOutcome::default(), since_flush: 0 }
    }

    /// Takes a record over.
    pub(crate) async fn send(&mut self, record: &Outgoing<'_>) -> anyhow::Result<()> {
        let partition = (self.how == Partitions::Keep).then_some(PartitionId(record.partition));
        let sending = self.producer.send(ProducerRecord {
            topic: record.topic,
            partition,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        });
        sending.await.with_context(|| self.after("could not send a record"))?;
        let bytes = (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
        self.sent.records += 1;
        self.sent.bytes += bytes;
        match self.sent.partitions.get_mut(&(record.topic.to_owned(), record.partition)) {
            Some(count) => *count += 1,
            None => {
                self.sent.partitions.insert((record.topic.to_owned(), record.partition), 1);
            }
        }
        self.progress.add(1, bytes);
        self.since_flush += 1;
        if self.since_flush >= FLUSH_EVERY { self.flush().await } else { Ok(()) }
    }

    /// Counts a record that was read and is not wanted.
    pub(crate) fn passed_over(&mut self) {
        self.progress.add(1, 0);
    }

    /// Waits until what was taken over has arrived.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        self.since_flush = 0;
        match self.producer.flush().await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.progress.clear();
                let arrived = self.sent.records.saturating_sub(error.records);
                let why = chain_text(&anyhow::Error::new(error));
                Err(anyhow::anyhow!("{why}; about {arrived} records had arrived before"))
            }
        }
    }

    /// Waits until everything has arrived; tells what.
    pub(crate) async fn end(mut self) -> anyhow::Result<TransferOutcome> {
        self.flush().await?;
        self.progress.clear();
        Ok(self.sent)
    }

    fn after(&self, what: &str) -> String {
        format!("{what} (after {} records)", self.sent.records)
    }
}
