//! Whether a partition may take records of a transaction: its coordinator must know that it is in it (KIP-890).

use super::coordinator::TransactionCoordinator;
use super::init::ProducerIdentity;
use crate::protocol::ErrorCode;
use crate::types::{TopicPartition, TransactionVersion};

/// What a client makes of transactions, by the version of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) enum ClientSupport {
    /// It knows the errors of KIP-98.
    Basic,
    /// It knows `TRANSACTION_ABORTABLE`.
    Abortable,
    /// Its partitions join a transaction by being written to.
    Joining,
}

impl ClientSupport {
    /// How such a client has its transactions.
    pub(in crate::broker) fn transaction_version(self) -> TransactionVersion {
        if self == Self::Joining { TransactionVersion::V2 } else { TransactionVersion::V0 }
    }
}

impl TransactionCoordinator {
    /// Asks whether partitions may take records of a producer's transaction; those of clients that can't say so before join it. An
    /// answer for each.
    pub(in crate::broker) async fn admit(
        &self,
        id: &str,
        producer: ProducerIdentity,
        partitions: &[TopicPartition],
        support: ClientSupport,
    ) -> Vec<Result<(), ErrorCode>> {
        let answers = if support == ClientSupport::Joining {
            let joined = self.add_partitions(id, producer, partitions, support.transaction_version()).await;
            joined.map(|()| vec![ErrorCode::None; partitions.len()])
        } else {
            self.verify_partitions(id, producer, partitions).await
        };
        let answers = answers.unwrap_or_else(|error| vec![error; partitions.len()]);
        answers
            .into_iter()
            .map(|answer| match answer {
                ErrorCode::None => Ok(()),
                // Producers know this one from partitions: they abort, and don't give up.
                ErrorCode::ProducerFenced => Err(ErrorCode::InvalidProducerEpoch),
                ErrorCode::TransactionAbortable if support == ClientSupport::Basic => Err(ErrorCode::InvalidTxnState),
                error => Err(error),
            })
            .collect()
    }
}
