//! Which partitions a consumer without a group reads: all of the topics that are meant, also those that come later.
//!
//! Kafka's tool joins a group with a random name for this, which takes seconds and leaves the name behind.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::settings::Source;
use crate::client::consumer::{ConsumeError, Consumer};
use crate::client::{AutoCreate, Metadata, TopicScope};
use crate::config::OffsetReset;
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

/// Pause before a topic that does not exist yet is looked for again.
const RETRY: Duration = Duration::from_millis(250);

/// What is read, and when to look again.
#[derive(Debug)]
pub(super) struct Discovery {
    known: BTreeSet<TopicPartition>,
    /// `metadata.max.age.ms`
    interval: Duration,
    next: Instant,
    began: bool,
}

/// A topic that can't be read, whatever is waited for.
#[derive(Debug, thiserror::Error)]
#[error("the topic {topic} can't be read: {}", match .code {
    ErrorCode::InvalidTopicException => "this can't be a topic's name",
    code => code.name(),
})]
pub(super) struct Unreadable {
    pub(super) topic: String,
    pub(super) code: ErrorCode,
}

impl Discovery {
    pub(super) fn new(interval: Duration) -> Self {
        Self { known: BTreeSet::new(), interval, next: Instant::now(), began: false }
    }

    /// When to look again.
    pub(super) fn due(&self) -> Instant {
        self.next
    }

    /// Looks for partitions, and has the consumer read those that are new.
    pub(super) async fn look(
        &mut self,
        source: &Source,
        create: AutoCreate,
        consumer: &mut Consumer,
    ) -> anyhow::Result<()> {
        let scope = match source {
            Source::Topic(topic) => TopicScope::Names(vec![topic.clone()]),
            _ => TopicScope::All,
        };
        let cluster = consumer.cluster().clone();
        let deadline = cluster.api_deadline();
        let metadata = match cluster.refresh(&scope, create, deadline).await {
            Ok(metadata) => metadata,
            // What is read goes on; only the first look must find somebody.
            Err(error) if self.began && error.is_retriable() => {
                self.next = Instant::now() + RETRY;
                return Ok(());
            }
            Err(error) => return Err(ConsumeError::from(error).into()),
        };
        let found = partitions(source, &metadata)?;
        let fresh: Vec<_> = found.difference(&self.known).cloned().collect();
        if !fresh.is_empty() {
            self.known.extend(found);
            consumer.assign(self.known.iter().cloned());
            if self.began {
                // They came while this was running, so their first records are news.
                consumer.seek_by(&fresh, OffsetReset::Earliest)?;
            }
        }
        self.began |= !self.known.is_empty();
        self.next = Instant::now() + if self.known.is_empty() { RETRY } else { self.interval };
        Ok(())
    }
}

fn partitions(source: &Source, metadata: &Metadata) -> anyhow::Result<BTreeSet<TopicPartition>> {
    let mut found = BTreeSet::new();
    for (name, topic) in &metadata.topics {
        let meant = match source {
            Source::Topic(wanted) => wanted == name,
            // Patterns don't mean Kafka's own topics.
            Source::Pattern(pattern) => !topic.is_internal && pattern.is_match(name),
            Source::Partition { .. } | Source::Ask => false,
        };
        if !meant {
            continue;
        }
        if topic.error != ErrorCode::None && !topic.error.is_retriable() {
            return Err(Unreadable { topic: name.clone(), code: topic.error }.into());
        }
        found.extend(topic.partitions.iter().map(|partition| TopicPartition::new(name.as_str(), partition.id)));
    }
    Ok(found)
}
