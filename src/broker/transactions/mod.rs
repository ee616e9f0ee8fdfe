//! The transaction coordinator: producers with a transactional id, the partitions of their transactions, and the markers
//! that end them (KIP-98, KIP-360, KIP-447, KIP-664, KIP-890).
//!
//! Never touches a partition's log but to write markers; what it decides is in `__transaction_state` before anybody hears of it.

mod markers;

pub(super) use markers::MarkerWriter;
