//! What can go wrong with a share consumer.

use thiserror::Error;

use crate::client::consumer::ConsumeError;
use crate::client::{ApiError, ClientError};
use crate::types::{Offset, TopicPartition};

/// Why a call failed.
#[derive(Debug, Clone, Error)]
pub enum ShareError {
    /// With explicit acknowledgement every record must be judged before there are more.
    #[error("{0} records are not acknowledged yet, and share.acknowledgement.mode is explicit")]
    Unacknowledged(usize),
    /// The record was not delivered to this consumer, or was acknowledged already.
    #[error("offset {offset} of {partition} is not waiting to be acknowledged")]
    NotDelivered {
        /// The partition.
        partition: TopicPartition,
        /// The offset.
        offset: Offset,
    },
    /// With implicit acknowledgement the next poll accepts what the one before delivered.
    #[error("records can only be acknowledged one by one with share.acknowledgement.mode=explicit")]
    Implicit,
    /// The session with the broker that the records came from is over, and with it the locks on them.
    #[error("the share session that the records were acquired in is over")]
    SessionOver,
    /// Records that can't be read; they were rejected.
    #[error(transparent)]
    Records(ConsumeError),
    /// The broker refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The cluster can't be talked to.
    #[error(transparent)]
    Client(ClientError),
}

impl From<ClientError> for ShareError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Api(error) => Self::Api(error),
            error => Self::Client(error),
        }
    }
}
