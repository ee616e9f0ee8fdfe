//! What the controller refuses, and what stops it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::metadata_log::MetadataLogError;
use super::quorum_state::QuorumStateError;
use super::snapshots::SnapshotError;
use crate::log::{AppendError, LogError};
use crate::metadata::ApplyError;
use crate::metadata::batch::WriteError;
use crate::protocol::ErrorCode;
use crate::types::{NodeId, Uuid};

/// A refusal as answers carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct ApiError {
    /// The code.
    pub(in crate::broker) code: ErrorCode,
    /// In words; Kafka's where it has some.
    pub(in crate::broker) message: Option<String>,
}

impl ApiError {
    /// A refusal in words.
    pub(in crate::broker) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None }
    }
}

/// What keeps the controller from starting or from writing.
#[derive(Debug, Error)]
pub(in crate::broker) enum ControllerError {
    /// The metadata log.
    #[error(transparent)]
    Log(#[from] MetadataLogError),
    /// The file of the quorum's state.
    #[error(transparent)]
    QuorumState(#[from] QuorumStateError),
    /// The records that the directory was formatted with.
    #[error(transparent)]
    Bootstrap(#[from] SnapshotError),
    /// The directory belongs to a quorum of other or of more voters.
    #[error("{} belongs to the quorum of voters {voters:?}, not of node {node} alone", dir.display())]
    OtherVoters {
        /// The directory of the metadata log.
        dir: PathBuf,
        /// The ids of its voters.
        voters: Vec<i32>,
        /// This node.
        node: NodeId,
    },
    /// The log names this node with another directory: it is a copy, or its `meta.properties` was made anew.
    #[error("{} is of the voter directory {expected}, but its meta.properties says {found}", dir.display())]
    OtherDirectory {
        /// The directory of the metadata log.
        dir: PathBuf,
        /// The id in the log.
        expected: Uuid,
        /// The id in `meta.properties`.
        found: Uuid,
    },
    /// Topics whose older records are not here but in remote storage.
    #[error(
        "{}: remote.storage.enable=true is not supported yet, and is set for {topics:?}; set it to false with \
         remote.log.delete.on.disable=true, or delete them, with Apache Kafka first",
        dir.display()
    )]
    TieredTopics {
        /// The directory of the metadata log.
        dir: PathBuf,
        /// Their names.
        topics: Vec<String>,
    },
    /// The cluster was on its way from ZooKeeper, which may know more than the log.
    #[error("{} is of a cluster in migration from ZooKeeper; complete it with Apache Kafka 3.9 first", dir.display())]
    ZooKeeperMigration {
        /// The directory of the metadata log.
        dir: PathBuf,
    },
    /// Records that the controller made can't be written.
    #[error("metadata records can't be written")]
    Write(#[from] WriteError),
    /// Records that the controller wrote contradict the image.
    #[error("metadata records contradict what is there")]
    Inconsistent(#[from] ApplyError),
    /// It was closed, or failed before.
    #[error("the controller is stopped")]
    Stopped,
}

impl ControllerError {
    /// What the system said of a file beside the metadata log: what was tried, on which file, and its error.
    pub(in crate::broker) fn io(&self) -> Option<(&'static str, &Path, &io::Error)> {
        match self {
            Self::Log(MetadataLogError::Snapshot(error)) | Self::Bootstrap(error) => error.io(),
            Self::QuorumState(QuorumStateError::Io { action, path, source }) => Some((action, path, source)),
            _ => None,
        }
    }
}

impl ControllerError {
    /// What a client is told.
    pub(super) fn to_api_error(&self) -> ApiError {
        let code = match self {
            Self::Log(MetadataLogError::Append(AppendError::Storage(error)) | MetadataLogError::Log(error)) => {
                match error {
                    LogError::Closed { .. } => ErrorCode::NotController,
                    _ => ErrorCode::KafkaStorageError,
                }
            }
            Self::Stopped => ErrorCode::NotController,
            Self::Write(WriteError::TooLarge(_)) => ErrorCode::PolicyViolation,
            _ => ErrorCode::UnknownServerError,
        };
        ApiError::new(code, chain(self))
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
