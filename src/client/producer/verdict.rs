//! What to do about a batch after its request came back.

use std::time::Duration;

use super::batch::Batch;
use crate::client::{ApiError, ClientError};
use crate::protocol::ErrorCode;
use crate::types::Offset;

/// What a broker, or the connection to it, said of one batch.
#[derive(Debug)]
pub(super) enum Answer {
    Stored {
        base_offset: Option<Offset>,
        append_time: Option<i64>,
    },
    Refused {
        error: ApiError,
        /// Reasons of single records, by their index.
        records: Vec<(u32, ApiError)>,
    },
    /// No answer: the batch may be in the log or not.
    Lost(ClientError),
}

/// What follows from it.
#[derive(Debug)]
pub(super) enum Verdict {
    Delivered {
        base_offset: Option<Offset>,
        append_time: Option<i64>,
    },
    Retry {
        error: ClientError,
        /// The sequence numbers of the partition start anew.
        new_epoch: bool,
    },
    Split,
    Failed {
        error: ApiOrClient,
        records: Vec<(u32, ApiError)>,
    },
}

/// An error of either kind.
#[derive(Debug)]
pub(super) enum ApiOrClient {
    Api(ApiError),
    Client(ClientError),
}

/// What the verdict depends on besides the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    pub(super) idempotent: bool,
    /// The batch is part of a transaction.
    pub(super) transactional: bool,
    /// A batch of the partition before this one is not done with.
    pub(super) has_earlier: bool,
    pub(super) retries: u32,
    pub(super) delivery_timeout: Duration,
}

/// Judges an answer.
pub(super) fn judge(answer: Answer, batch: &Batch, circumstances: Circumstances) -> Verdict {
    let Circumstances { idempotent, transactional, has_earlier, retries, delivery_timeout } = circumstances;
    let may_retry = batch.attempts <= retries && batch.created.elapsed() < delivery_timeout;
    let (error, records) = match answer {
        Answer::Stored { base_offset, append_time } => return Verdict::Delivered { base_offset, append_time },
        Answer::Lost(error) if may_retry && error.is_retriable() => return Verdict::Retry { error, new_epoch: false },
        Answer::Lost(error) => return Verdict::Failed { error: ApiOrClient::Client(error), records: Vec::new() },
        Answer::Refused { error, records } => (error, records),
    };
    match error.code {
        // The first copy arrived, and so much has followed it that the broker forgot where.
        ErrorCode::DuplicateSequenceNumber => Verdict::Delivered { base_offset: None, append_time: None },
        ErrorCode::MessageTooLarge if batch.records > 1 => Verdict::Split,
        // A batch before this one is missing. If it is on its way again, this one follows it; if not, it never comes,
        // and the numbers start anew (KIP-360).
        // Within a transaction they can't: it has to be aborted.
        ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId
            if idempotent && may_retry && (has_earlier || !transactional) =>
        {
            Verdict::Retry { error: error.into(), new_epoch: !has_earlier }
        }
        code if code.is_retriable() && may_retry => Verdict::Retry { error: error.into(), new_epoch: false },
        _ => Verdict::Failed { error: ApiOrClient::Api(error), records },
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::client::producer::delivery::BatchDelivery;
    use crate::record::{BatchOptions, NewRecord};
    use crate::types::PartitionId;

    fn batch(records: usize, attempts: u32) -> Batch {
        let delivery = BatchDelivery::new(PartitionId(0));
        let mut batch = Batch::new(0, 0, Instant::now(), BatchOptions::default(), 0, delivery);
        for _ in 0..records {
            batch.append(&NewRecord::default()).unwrap();
        }
        batch.attempts = attempts;
        batch
    }

    fn verdict(code: ErrorCode, records: usize, attempts: u32, has_earlier: bool) -> &'static str {
        verdict_in(code, records, attempts, has_earlier, false)
    }

    fn verdict_in(
        code: ErrorCode,
        records: usize,
        attempts: u32,
        has_earlier: bool,
        transactional: bool,
    ) -> &'static str {
        let answer = Answer::Refused { error: code.into(), records: Vec::new() };
        let circumstances = Circumstances {
            idempotent: true,
            transactional,
            has_earlier,
            retries: 2,
            delivery_timeout: Duration::from_secs(10),
        };
        match judge(answer, &batch(records, attempts), circumstances) {
            Verdict::Delivered { .. } => "delivered",
            Verdict::Retry { new_epoch: true, .. } => "retry in a new epoch",
            Verdict::Retry { .. } => "retry",
            Verdict::Split => "split",
            Verdict::Failed { .. } => "failed",
        }
    }

    #[test]
    fn errors_have_their_consequences() {
        use ErrorCode::{
            DuplicateSequenceNumber, InvalidRecord, MessageTooLarge, NotLeaderOrFollower, OutOfOrderSequenceNumber,
        };
        assert_eq!(verdict(DuplicateSequenceNumber, 1, 1, false), "delivered");
        assert_eq!(verdict(MessageTooLarge, 2, 1, false), "split");
        assert_eq!(verdict(MessageTooLarge, 1, 1, false), "failed");
        assert_eq!(verdict(NotLeaderOrFollower, 1, 2, false), "retry");
        assert_eq!(verdict(NotLeaderOrFollower, 1, 3, false), "failed");
        assert_eq!(verdict(OutOfOrderSequenceNumber, 1, 1, true), "retry");
        assert_eq!(verdict(OutOfOrderSequenceNumber, 1, 1, false), "retry in a new epoch");
        assert_eq!(verdict(InvalidRecord, 1, 1, false), "failed");
        assert_eq!(verdict_in(OutOfOrderSequenceNumber, 1, 1, false, true), "failed");
        assert_eq!(verdict_in(OutOfOrderSequenceNumber, 1, 1, true, true), "retry");
    }
}
