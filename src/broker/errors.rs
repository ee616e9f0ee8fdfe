//! From the errors inside to the codes that clients see: here, and nowhere else.

use std::error::Error;

use crate::log::{AppendError, LogError, ReadError};
use crate::protocol::ErrorCode;
use crate::protocol::messages::produce_response::BatchIndexAndErrorMessage;
use crate::record::ValidateError;
use crate::types::TopicPartition;

/// Why a produced batch is refused, as the answer tells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: Option<String>,
    /// The records at fault, if it is about single ones.
    pub(super) records: Vec<BatchIndexAndErrorMessage>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new() }
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What validation found.
pub(super) fn validate_refusal(error: ValidateError, partition: &TopicPartition) -> Refusal {
    let code = match &error {
        ValidateError::Corrupt(_) => ErrorCode::CorruptMessage,
        ValidateError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        ValidateError::ZstdNotAllowed => ErrorCode::UnsupportedCompressionType,
        ValidateError::InvalidBatch(_) => ErrorCode::InvalidRecord,
        ValidateError::InvalidRecords(failures) => {
            let code =
                if failures.is_invalid_timestamp() { ErrorCode::InvalidTimestamp } else { ErrorCode::InvalidRecord };
            let records = failures.listed().iter().map(|failure| BatchIndexAndErrorMessage {
                batch_index: failure.batch_index,
                batch_index_error_message: Some(failure.message(partition)),
                ..Default::default()
            });
            return Refusal { code, message: Some(failures.message(partition)), records: records.collect() };
        }
    };
    Refusal { message: Some(chain(&error)), ..code.into() }
}

/// Why an append was refused. What it says of the disk was told where it happened.
pub(super) fn append_refusal(error: &AppendError) -> Refusal {
    Refusal { message: Some(chain(error)), ..append_error(error).into() }
}

/// The code of a refused append.
pub(super) fn append_error(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::Storage(error) => log_error(error),
        AppendError::BatchTooLarge { .. } => ErrorCode::MessageTooLarge,
        AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::TransactionOpen { .. } | AppendError::NotInTransaction { .. } => ErrorCode::InvalidTxnState,
        AppendError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        AppendError::NotNext { .. } => ErrorCode::UnknownServerError,
        AppendError::Malformed(_) => ErrorCode::CorruptMessage,
    }
}

/// The code of a failed read.
pub(super) fn read_error(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt { .. } => ErrorCode::CorruptMessage,
        ReadError::Storage(error) => log_error(error),
    }
}

/// The code of a log that can't be used.
pub(super) fn log_error(error: &LogError) -> ErrorCode {
    match error {
        LogError::Corrupt { .. } => ErrorCode::CorruptMessage,
        // The topic was deleted while the request was under way.
        LogError::Closed { .. } => ErrorCode::UnknownTopicOrPartition,
        _ => ErrorCode::KafkaStorageError,
    }
}
