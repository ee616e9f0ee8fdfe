//! The group coordinator: membership, assignments and committed offsets of consumer groups.
//!
//! The state machines are pure: from (state, command, now) to (records to append, answers to give). They do no I/O, read no
//! clock and spawn nothing; the runtime around them (`../coordinator`) appends the records to `__consumer_offsets` and
//! gives the answers when the records are committed. What a coordinator knows is what replaying that log gives.
//!
//! Start reading at `shard.rs` (one partition of `__consumer_offsets`), then `classic.rs` (one group).

#[allow(dead_code, reason = "consumer groups come next")]
mod assignors;
mod classic;
mod effects;
mod member;
#[allow(dead_code, unused_imports, reason = "consumer groups come next")]
mod modern;
mod offsets;
mod pending;
mod records;
mod shard;
mod transactions;

pub(super) use effects::Reply;
pub(super) use member::Client;
pub(super) use offsets::Committed;
pub(super) use shard::{Commit, Committer, Described, GroupConfig, Shard};

use super::coordinator::Coordinator;

/// The topic of the groups.
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The group coordinator of this broker.
pub(super) type GroupCoordinator = Coordinator<Shard>;

#[cfg(test)]
mod tests;
