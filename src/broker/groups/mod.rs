//! The group coordinator: membership, assignments and committed offsets of consumer groups.
//!
//! The state machines are pure: from (state, command, now) to (records to append, answers to give). They do no I/O, read no
//! clock and spawn nothing; `coordinator.rs`, the runtime around them, appends the records to `__consumer_offsets` and
//! gives the answers when the records are committed. What a coordinator knows is what replaying that log gives.
//!
//! Start reading at `shard.rs` (one partition of `__consumer_offsets`), then `classic.rs` (one group).

mod classic;
mod coordinator;
mod effects;
mod member;
mod offsets;
mod records;
mod shard;

pub(super) use coordinator::{GroupCoordinator, GroupLog};
pub(super) use effects::{Now, Record, Reply};
pub(super) use member::Client;
pub(super) use offsets::Committed;
pub(super) use shard::{Commit, Committer, GroupConfig};

#[cfg(test)]
mod tests;
