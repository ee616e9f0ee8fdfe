//! Writes the markers that end transactions to the partitions of this broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::error;

use crate::broker::coordinator::Now;
use crate::broker::errors::{append_error, chain};
use crate::broker::groups::{GroupCoordinator, OFFSETS_TOPIC};
use crate::broker::partition::{Appended, ProducerMarker};
use crate::broker::topics::Topics;
use crate::protocol::ErrorCode;
use crate::types::TopicPartition;

/// The way to the partitions that markers go to.
#[derive(Debug, Clone)]
pub(in crate::broker) struct MarkerWriter {
    topics: Arc<Topics>,
    groups: Arc<GroupCoordinator>,
    /// How long replicas are waited for (`request.timeout.ms`).
    timeout: Duration,
}

impl MarkerWriter {
    pub(in crate::broker) fn new(topics: Arc<Topics>, groups: Arc<GroupCoordinator>, timeout: Duration) -> Self {
        Self { topics, groups, timeout }
    }

    /// Writes a marker to each of the partitions, and returns when all are committed: an answer for each, in order.
    pub(in crate::broker) async fn write(
        &self,
        marker: &ProducerMarker,
        partitions: &[TopicPartition],
        now: Now,
    ) -> Vec<Result<(), ErrorCode>> {
        let deadline = Instant::now() + self.timeout;
        // All are appended before any is waited for.
        let appended: Vec<_> = partitions.iter().map(|partition| self.append(marker, partition, now)).collect();
        let mut answers = Vec::with_capacity(appended.len());
        for (appended, partition) in appended.into_iter().zip(partitions) {
            answers.push(match appended {
                // The group coordinator writes to its own topic, and acts on the marker.
                Ok(None) => {
                    let ended = self.groups.end_transaction(partition.partition.get(), marker, now).await;
                    ended.map_err(as_a_partitions)
                }
                Ok(Some(appended)) => match appended.flushed().await {
                    Ok(()) => appended.committed(deadline).await,
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            });
        }
        answers
    }

    fn append(&self, marker: &ProducerMarker, name: &TopicPartition, now: Now) -> Result<Option<Appended>, ErrorCode> {
        let index = name.partition.get();
        let partition = self.topics.partition(&name.topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        partition.check_online()?;
        partition.check_min_isr(partition.config().min_insync_replicas)?;
        if name.topic == OFFSETS_TOPIC {
            return Ok(None);
        }
        partition.append_marker(marker, now.wall_ms).map(Some).map_err(|error| {
            let code = append_error(&error);
            if code == ErrorCode::KafkaStorageError {
                error!(partition = %name, error = chain(&error), "a marker can't be written");
            }
            code
        })
    }
}

/// Whoever writes markers knows the errors of partitions, not those of coordinators: `NOT_COORDINATOR` would be about itself.
fn as_a_partitions(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator => {
            ErrorCode::NotLeaderOrFollower
        }
        error => error,
    }
}
