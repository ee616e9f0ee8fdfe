//! What can go wrong with a partition on disk, split by what the caller does about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::types::{Offset, ProducerId};

/// The disk or the files on it fail the log: it is offline until it has been opened again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The system refused an operation on a file.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The disk is full; nothing was appended, and the log works on when there is space again.
    #[error("no space left to append {needed} bytes to {}", path.display())]
    Full {
        /// The segment file.
        path: PathBuf,
        /// Size of what was to be appended.
        needed: u64,
    },
    /// An earlier write or flush failed: what is on disk is uncertain, so nothing is promised any more.
    #[error("the log {} failed before", dir.display())]
    Failed {
        /// Directory of the partition.
        dir: PathBuf,
        /// What failed then.
        #[source]
        source: Arc<LogError>,
    },
    /// The log's directory is not there, or its disk has failed.
    #[error("the log directory of {} is not there or has failed", dir.display())]
    Unreachable {
        /// The partition.
        dir: PathBuf,
    },
    /// A bug: a change of the log was broken off in the middle.
    #[error("a change of the log {} was broken off", dir.display())]
    Panicked {
        /// Directory of the partition.
        dir: PathBuf,
    },
    /// The log was closed.
    #[error("the log {} is closed", dir.display())]
    Closed {
        /// Directory of the partition.
        dir: PathBuf,
    },
    /// An offset that the operation can't take.
    #[error("offset {offset} is outside of {start}..={end} of the log {}", dir.display())]
    OffsetOutOfRange {
        /// Directory of the partition.
        dir: PathBuf,
        /// The offset asked for.
        offset: Offset,
        /// Smallest offset allowed.
        start: Offset,
        /// Largest offset allowed.
        end: Offset,
    },
    /// Bytes on disk that are no record batch, in a place where that can't be repaired.
    #[error("{}: {reason} at byte {position}, offset {offset}", path.display())]
    Corrupt {
        /// The segment file.
        path: PathBuf,
        /// Where in the file.
        position: u64,
        /// The record looked for, or the first one that is lost.
        offset: Offset,
        /// What is wrong there.
        reason: &'static str,
    },
}

impl LogError {
    /// Wraps what the system said about `path`.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether the file it is about is not there.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Why nothing was appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The disk failed (`KAFKA_STORAGE_ERROR`); the producer retries, elsewhere or later.
    #[error(transparent)]
    Storage(#[from] LogError),
    /// A batch is larger than `max.message.bytes` (`MESSAGE_TOO_LARGE`).
    #[error("batch of {size} bytes is larger than max.message.bytes {limit}")]
    BatchTooLarge {
        /// Size of the batch.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// What is to be appended at once does not fit into one segment (`RECORD_LIST_TOO_LARGE`).
    #[error("{size} bytes are more than segment.bytes {limit}")]
    LargerThanSegment {
        /// Size of all batches together.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A batch would begin a transaction that its coordinator does not know of (`INVALID_TXN_STATE`).
    #[error("producer {producer_id} has no open transaction that this partition is in")]
    NotInTransaction {
        /// The producer.
        producer_id: ProducerId,
    },
    /// A gap or step back in a producer's sequence (`OUT_OF_ORDER_SEQUENCE_NUMBER`).
    #[error("producer {producer_id} sends sequence {found} where {expected} is next")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// The sequence that would continue what is in the log.
        expected: i32,
        /// The batch's first sequence.
        found: i32,
    },
    /// A producer that was replaced by a newer one (`INVALID_PRODUCER_EPOCH`).
    #[error("producer {producer_id} has epoch {found}, but {current} is current")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The newest epoch seen.
        current: i16,
        /// The batch's epoch.
        found: i16,
    },
    /// A non-transactional batch inside of a transaction of the same producer (`INVALID_TXN_STATE`).
    #[error("producer {producer_id} writes outside of the transaction it has open since offset {first_offset}")]
    TransactionOpen {
        /// The producer.
        producer_id: ProducerId,
        /// First offset of the open transaction.
        first_offset: Offset,
    },
    /// A marker from a transaction coordinator that was replaced (`TRANSACTION_COORDINATOR_FENCED`).
    #[error("transaction coordinator epoch {found} is older than {current}")]
    CoordinatorFenced {
        /// The newest epoch seen.
        current: i32,
        /// The marker's epoch.
        found: i32,
    },
    /// Replicated batches that don't continue the log, or nothing to append at all.
    #[error("batch at offset {found} does not continue a log that ends at {expected}")]
    NotNext {
        /// The log end offset.
        expected: Offset,
        /// The first offset that was brought.
        found: Offset,
    },
    /// Bytes that are no sound sequence of batches (`CORRUPT_MESSAGE`).
    #[error("malformed batch: {0}")]
    Malformed(&'static str),
}

/// Why nothing could be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The offset is not in the log (`OFFSET_OUT_OF_RANGE`).
    #[error("offset {offset} is outside of the log, which holds {start}..{end}")]
    OutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The log start offset.
        start: Offset,
        /// The log end offset.
        end: Offset,
    },
    /// The batch that holds the offset is damaged (`CORRUPT_MESSAGE`); reading goes on behind it.
    #[error("{}: damaged batch at byte {position} ({reason}); offset {offset} can't be read", path.display())]
    Corrupt {
        /// The segment file.
        path: PathBuf,
        /// Where in the file.
        position: u64,
        /// The offset asked for.
        offset: Offset,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The disk failed (`KAFKA_STORAGE_ERROR`).
    #[error(transparent)]
    Storage(LogError),
}

impl From<LogError> for ReadError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Corrupt { path, position, offset, reason } => Self::Corrupt { path, position, offset, reason },
            other => Self::Storage(other),
        }
    }
}
