//! The transaction coordinator: producers with a transactional id, the partitions of their transactions, and the markers
//! that end them (KIP-98, KIP-360, KIP-447, KIP-664, KIP-890).
//!
//! Never touches a partition's log but to write markers; what it decides is in `__transaction_state` before anybody hears of it.

//!
//! Start reading at `transaction.rs` (one transactional id), then `shard.rs` (one partition of `__transaction_state`, and its commands).
//! Both are pure; `coordinator.rs` is around them.

mod admission;
mod coordinator;
mod end;
mod init;
mod join;
mod listing;
mod markers;
mod records;
mod shard;
mod transaction;
mod work;

pub(super) use admission::ClientSupport;
pub(super) use coordinator::{CoordinatorOptions, TransactionCoordinator, level};
pub(super) use init::ProducerIdentity;
pub(super) use listing::Filter;
pub(super) use markers::MarkerWriter;
pub(super) use shard::TransactionConfig;
pub(super) use transaction::{State, Transaction};

/// The topic of the transactions.
pub(super) const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";

#[cfg(test)]
mod tests;
