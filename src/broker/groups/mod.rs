//! The group coordinator: membership, assignments and committed offsets of groups of all kinds.
//!
//! The state machines are pure: from (state, command, now) to (records to append, answers to give). They do no I/O, read no
//! clock and spawn nothing; the runtime around them (`../coordinator`) appends the records to `__consumer_offsets` and
//! gives the answers when the records are committed. What a coordinator knows is what replaying that log gives.
//!
//! Start reading at `shard.rs` (one partition of `__consumer_offsets`) and `group.rs` (a group of any kind), then `classic/` (groups of
//! the classic protocol), `consumer/` (of KIP-848), `share/` (of KIP-932) or `streams/` (of KIP-1071). Commands are in a file per kind of
//! request: `membership.rs`, `consumers.rs`, `shares.rs`, `applications.rs` (of streams groups), `commits.rs`, `transactions.rs`.

mod applications;
mod assignors;
mod classic;
mod commits;
mod consumer;
mod consumers;
mod effects;
mod group;
mod member;
mod membership;
mod modern;
mod offsets;
mod pending;
mod records;
mod shard;
mod share;
mod shares;
mod streams;
mod transactions;

pub(super) use commits::{Commit, Committer};
pub(super) use consumer::RegexLookup;
pub(super) use effects::Reply;
pub(super) use member::Client;
pub(super) use modern::{Assignment, ClusterView, Refusal};
pub(super) use offsets::Committed;
pub(super) use shard::{Described, GroupConfig, Shard};
pub(super) use share::Starting;
pub(super) use streams::{InternalTopic, check_request as check_streams_request};

use super::coordinator::Coordinator;

/// The topic of the groups.
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The group coordinator of this broker.
pub(super) type GroupCoordinator = Coordinator<Shard>;

#[cfg(test)]
mod tests;
