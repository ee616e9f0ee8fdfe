//! Share groups at the leaders of their partitions (KIP-932): records are handed out one by one, each to one member at a time, until
//! somebody accepts them.
//!
//! `state.rs`, `acquire.rs` and `runs.rs` are the pure state of one share-partition, `sessions.rs` what members read.
//! `partition.rs` and `manager.rs` are around them: what is decided is persisted through `../share_state` before it counts.
//! Members and their assignments are not here but in `../groups`.
//!
//! Start reading at `state.rs`.

mod acquire;
mod config;
mod fetch;
mod manager;
mod partition;
mod runs;
mod sessions;
mod state;

pub(super) use acquire::AcquireMode;
pub(super) use fetch::ShareFetch;
pub(super) use manager::ShareGroups;
pub(super) use partition::Taken;
pub(super) use sessions::{FINAL_EPOCH, INITIAL_EPOCH, SessionKey, TopicIdPartition};
pub(super) use state::{Acknowledgement, acknowledge_type};

#[cfg(test)]
mod tests;
