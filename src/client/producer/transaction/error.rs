//! What can go wrong with a transaction, split by what the caller can do about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::client::ClientError;
use crate::client::producer::ProduceError;

/// Where a transactional producer is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransactionState {
    /// `init_transactions` was not called yet, or may be called again.
    Uninitialized,
    /// `init_transactions` is under way, or an aborted transaction's epoch is being raised.
    Initializing,
    /// No transaction is open.
    Ready,
    /// Records and offsets go into the open transaction.
    InTransaction,
    /// `commit_transaction` is under way; if it was given up it can be called again.
    Committing,
    /// `abort_transaction` is under way; if it was given up it can be called again.
    Aborting,
    /// The transaction can only be aborted.
    AbortableError,
    /// The producer can only be closed.
    FatalError,
}

impl fmt::Display for TransactionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uninitialized => "init_transactions has not succeeded yet",
            Self::Initializing => "it is being initialized",
            Self::Ready => "no transaction is open",
            Self::InTransaction => "a transaction is open",
            Self::Committing => "a transaction is being committed",
            Self::Aborting => "a transaction is being aborted",
            Self::AbortableError => "the transaction has failed",
            Self::FatalError => "the producer has failed",
        })
    }
}

/// Why a call of a transactional producer failed.
#[derive(Debug, Clone, Error)]
pub enum TransactionError {
    /// A transaction was asked of a producer without `transactional.id`.
    #[error("the producer has no transactional.id")]
    NotTransactional,
    /// The call does not fit what the producer is doing. Nothing has changed.
    #[error("can't {call}: {state}")]
    WrongState {
        /// What was called.
        call: &'static str,
        /// What the producer is doing.
        state: TransactionState,
    },
    /// Offsets can only be sent on behalf of a group.
    #[error("the consumer has no group.id, so its offsets can't be part of a transaction")]
    NoGroup,
    /// The transaction has failed: abort it, then begin another one.
    #[error("the transaction has failed and must be aborted")]
    Abortable {
        /// What failed first.
        #[source]
        source: Arc<ProduceError>,
    },
    /// Another producer with the same `transactional.id` has taken over: close this one.
    #[error("another producer with transactional.id {transactional_id} has taken over")]
    Fenced {
        /// The id.
        transactional_id: String,
    },
    /// The producer can't go on: close it.
    #[error("the transactional producer has failed")]
    Fatal {
        /// Why.
        #[source]
        source: Arc<ProduceError>,
    },
    /// Not allowed, or not allowed yet: the same call may succeed later.
    #[error("can't initialize transactions")]
    Refused {
        /// What the broker said.
        #[source]
        source: Arc<ProduceError>,
    },
    /// `max.block.ms` is over. What was asked may have happened or not: the same call can be made again.
    #[error("{call} was not done within {} ms", .after.as_millis())]
    TimedOut {
        /// What was called.
        call: &'static str,
        /// How long was tried.
        after: Duration,
        /// What the last attempt said.
        #[source]
        source: Option<Arc<ClientError>>,
    },
    /// The producer was closed.
    #[error("the producer is closed")]
    Closed,
}
