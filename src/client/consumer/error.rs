//! What can go wrong while consuming.

use std::sync::Arc;

use thiserror::Error;

use crate::client::{ApiError, ClientError};
use crate::record::RecordError;
use crate::types::{Offset, TopicPartition};

/// Why a poll, a commit or a look-up failed.
#[derive(Debug, Clone, Error)]
pub enum ConsumeError {
    /// No committed offset, and `auto.offset.reset` is `none`.
    #[error("no offset is committed for {0}, and auto.offset.reset is none")]
    NoOffset(TopicPartition),
    /// The position is not in the log, and `auto.offset.reset` is `none`.
    #[error("offset {offset} of {partition} is out of range, and auto.offset.reset is none")]
    OutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: Offset,
    },
    /// Records that were read are not in the log any more, and `auto.offset.reset` is `none` (KIP-320).
    #[error("the log of {partition} was cut at {end}, before the position {offset}")]
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: Offset,
        /// Where both logs are still the same.
        end: Offset,
    },
    /// The broker refuses to serve a partition.
    #[error("can't read {partition}")]
    Partition {
        /// The partition.
        partition: TopicPartition,
        /// What the broker said.
        #[source]
        source: ApiError,
    },
    /// Bytes that are no records. Polling again meets them again; a seek gets past them.
    #[error("the records of {partition} at offset {offset} can't be read")]
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// Where.
        offset: Offset,
        /// What is wrong with them.
        #[source]
        source: Arc<RecordError>,
    },
    /// A partition that is not assigned to this consumer.
    #[error("{0} is not assigned to this consumer")]
    NotAssigned(TopicPartition),
    /// A call that needs a group, of a consumer without one.
    #[error("the consumer has no group.id")]
    NoGroup,
    /// Neither topics nor partitions were asked for.
    #[error("the consumer has neither a subscription nor partitions assigned")]
    NoSubscription,
    /// The group went on without this member, so its offsets can't be committed.
    #[error("the group has given the partitions to other members; poll was not called in time")]
    CommitFailed,
    /// A rebalance is under way; the commit can be tried again after the next polls.
    #[error("the group is rebalancing")]
    Rebalancing,
    /// Another consumer with the same `group.instance.id` has taken this one's place.
    #[error("another consumer with the same group.instance.id has joined")]
    Fenced,
    /// A pattern that the coordinator is to evaluate, in a group whose members assign.
    #[error("a pattern for the coordinator needs group.protocol=consumer")]
    NeedsCoordinator,
    /// The pattern of a subscription is no regular expression.
    #[error("`{pattern}` is no regular expression: {reason}")]
    InvalidPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The broker refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The cluster can't be talked to.
    #[error(transparent)]
    Client(ClientError),
    /// The consumer was closed.
    #[error("the consumer is closed")]
    Closed,
}

impl From<ClientError> for ConsumeError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Api(error) => Self::Api(error),
            error => Self::Client(error),
        }
    }
}
