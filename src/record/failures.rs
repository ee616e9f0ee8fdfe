//! The records of a produced batch that are refused one by one, in the words that Kafka's clients show.

use crate::types::TopicPartition;

/// How many refused records are listed; more are only counted. A batch of a megabyte can hold a hundred thousand, and
/// the answer names each in a sentence.
const MAX_LISTED: usize = 1000;
/// How many the error message of the whole batch repeats.
const IN_MESSAGE: usize = 3;

/// One record that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordFailure {
    /// Position of the record in its batch.
    pub batch_index: i32,
    /// Why.
    pub reason: RecordFailureReason,
}

/// Why a record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFailureReason {
    /// No key in a compacted topic.
    MissingKey,
    /// Too far from the broker's clock.
    TimestampOutOfRange {
        /// The record's.
        timestamp: i64,
        /// The first that would do.
        earliest: i64,
        /// The last that would do.
        latest: i64,
    },
    /// The producer set the timestamp type that is the broker's to set.
    AppendTimeFromProducer {
        /// The record's.
        timestamp: i64,
        /// Bytes of the key.
        key_len: usize,
        /// Bytes of the value.
        value_len: usize,
    },
}

impl RecordFailure {
    /// The message for this record, as Kafka words it.
    #[must_use]
    pub fn message(&self, partition: &TopicPartition) -> String {
        let offset = self.batch_index;
        match self.reason {
            RecordFailureReason::MissingKey => {
                format!("Compacted topic cannot accept message without key in topic partition {partition}")
            }
            RecordFailureReason::TimestampOutOfRange { timestamp, earliest, latest } => format!(
                "Timestamp {timestamp} of message with offset {offset} is out of range. The timestamp should be within \
                 [{earliest}, {latest}]"
            ),
            RecordFailureReason::AppendTimeFromProducer { timestamp, key_len, value_len } => format!(
                "Invalid timestamp type in message DefaultRecord(offset={offset}, timestamp={timestamp}, key={key_len} \
                 bytes, value={value_len} bytes). Producer should not set timestamp type to LogAppendTime."
            ),
        }
    }
}

/// The records of one batch that are refused; never empty in an error.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RecordFailures {
    /// Invariant: at most [`MAX_LISTED`].
    listed: Vec<RecordFailure>,
    total: usize,
    invalid_timestamp: bool,
}

impl RecordFailures {
    pub(super) fn push(&mut self, failure: RecordFailure) {
        self.total += 1;
        self.invalid_timestamp |= failure.reason != RecordFailureReason::MissingKey;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(failure);
        }
    }

    /// How many records are refused.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// The refused records; only the first thousand.
    #[must_use]
    pub fn listed(&self) -> &[RecordFailure] {
        &self.listed
    }

    /// Whether the code is `INVALID_TIMESTAMP` (one such record is enough) rather than `INVALID_RECORD`.
    #[must_use]
    pub const fn is_invalid_timestamp(&self) -> bool {
        self.invalid_timestamp
    }

    /// The message for the whole batch, as Kafka words it.
    #[must_use]
    pub fn message(&self, partition: &TopicPartition) -> String {
        if self.invalid_timestamp {
            return "One or more records have been rejected due to invalid timestamp".to_owned();
        }
        let first: Vec<String> = self
            .listed
            .iter()
            .take(IN_MESSAGE)
            .map(|failure| {
                let message = failure.message(partition);
                format!("RecordError(batchIndex={}, message='{message}')", failure.batch_index)
            })
            .collect();
        format!(
            "One or more records have been rejected due to {} record errors in total, and only showing the first three \
             errors at most: [{}]",
            self.total,
            first.join(", ")
        )
    }
}
