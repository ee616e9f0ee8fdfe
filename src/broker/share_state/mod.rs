//! The share coordinator (KIP-932): how far each share group has come with each partition that it reads.
//!
//! A machine per partition of `__share_group_state`, over the runtime of all coordinators (`../coordinator`). What it holds per
//! share-partition is a snapshot and the updates since; replaying the log gives the same. Never decides what is delivered to
//! whom: that is the share-partition's leader (`../share`), whose states it keeps and whose epochs it fences.
//!
//! Start reading at `shard.rs`, then `batch.rs` (how overlapping states are combined).

mod batch;
mod persister;
mod records;
mod shard;

pub(super) use batch::{DeliveryState, StateBatch, combine};
pub(super) use persister::Persister;
pub(super) use shard::{Initialize, Refused, ShareStateConfig, ShareStateShard, Write};

use std::fmt;

use super::coordinator::Coordinator;
use crate::types::Uuid;

/// The topic of the states.
pub(super) const SHARE_STATE_TOPIC: &str = "__share_group_state";

/// The share coordinator of this broker.
pub(super) type ShareCoordinator = Coordinator<ShareStateShard>;

/// A partition as one share group reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SharePartitionKey {
    pub(super) group: String,
    pub(super) topic_id: Uuid,
    pub(super) partition: i32,
}

impl fmt::Display for SharePartitionKey {
    /// As FindCoordinator names it, and as its coordinator's partition is chosen by.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.group, self.topic_id, self.partition)
    }
}

impl SharePartitionKey {
    /// Whether a text is such a key: a group id, a topic id and a number, between colons. A group id may have colons too.
    pub(super) fn is_valid(text: &str) -> bool {
        let mut parts = text.rsplitn(3, ':');
        let partition = parts.next().and_then(|text| text.trim().parse::<i32>().ok());
        let topic = parts.next().and_then(|text| Uuid::parse(text.trim()));
        let group = parts.next().map(str::trim).unwrap_or_default();
        partition.is_some_and(|partition| partition >= 0) && topic.is_some() && !group.is_empty()
    }
}

#[cfg(test)]
mod tests;
