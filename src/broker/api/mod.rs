//! The API handlers, a file per API family. Each head lists behaviour, versions and what is missing.
//!
//! A handler takes a request and gives a response; Kafka's errors are values in it. Never writes to a socket.

pub(super) mod api_versions;
pub(super) mod cluster;
pub(super) mod configs;
pub(super) mod consumer_groups;
pub(super) mod features;
pub(super) mod fetch;
pub(super) mod groups;
pub(super) mod log_dirs;
pub(super) mod log_offsets;
pub(super) mod markers;
pub(super) mod metadata;
pub(super) mod offsets;
pub(super) mod produce;
mod produce_transactions;
pub(super) mod producer_ids;
pub(super) mod producers;
pub(super) mod share;
pub(super) mod share_groups;
pub(super) mod share_offsets;
pub(super) mod share_state;
pub(super) mod streams_groups;
pub(super) mod topics;
pub(super) mod transactions;
pub(super) mod txn_offsets;

#[cfg(test)]
mod tests;
