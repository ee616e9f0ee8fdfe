//! A member of a classic group.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::broker::coordinator::Token;

/// Where a member's request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::broker) struct Client {
    /// What the client calls itself.
    pub(in crate::broker) id: String,
    /// Its address, in Kafka's form `/127.0.0.1`.
    pub(in crate::broker) host: String,
}

/// A protocol that a member offers, with what it says about itself under it (subscription, owned partitions).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfferedProtocol {
    pub(super) name: String,
    pub(super) metadata: Bytes,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client: Client,
    pub(super) rebalance_timeout: Duration,
    pub(super) session_timeout: Duration,
    /// In the member's order of preference.
    pub(super) protocols: Vec<OfferedProtocol>,
    pub(super) assignment: Bytes,
    /// The JoinGroup request that waits for the rebalance to end.
    pub(super) joining: Option<Token>,
    /// The SyncGroup request that waits for the leader's assignment.
    pub(super) syncing: Option<Token>,
    /// When the member counts as gone if nothing is heard of it. Not looked at while a request of it waits.
    pub(super) expires: Instant,
    /// Joined for the first time and not told of a generation yet.
    pub(super) is_new: bool,
}

impl Member {
    /// The metadata under a protocol; empty if the member does not offer it.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|p| p.name == protocol).map(|p| p.metadata.clone()).unwrap_or_default()
    }

    /// The first of `candidates` in the member's own order.
    pub(super) fn vote<'a>(&'a self, candidates: &[&str]) -> Option<&'a str> {
        self.protocols.iter().map(|p| p.name.as_str()).find(|name| candidates.contains(name))
    }

    /// Whether a request of it waits, so that it is known to be alive.
    pub(super) fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }
}
