//! How long brokers have taken no batch although some are ready (`partitioner.availability.timeout.ms`, KIP-794).

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::types::NodeId;

/// The brokers that keep batches waiting; those of the cluster at most.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    nodes: HashMap<NodeId, Stall>,
}

#[derive(Debug)]
struct Stall {
    since: Instant,
    /// When a batch was last seen waiting for it. The length of a stall is measured up to here, as Kafka's client does it:
    /// a broker that nobody wants anything of is not slow.
    seen: Instant,
}

impl Stalls {
    /// The broker keeps a batch waiting, or failed to answer for one.
    pub(super) fn begin(&mut self, node: NodeId, now: Instant) {
        self.nodes.entry(node).or_insert(Stall { since: now, seen: now }).seen = now;
    }

    /// A batch is ready for the broker, and sent: whether that ends its stall is seen when it answers.
    pub(super) fn retry(&mut self, node: NodeId, now: Instant) {
        if let Some(stall) = self.nodes.get_mut(&node) {
            stall.seen = now;
        }
    }

    /// The broker has answered.
    pub(super) fn end(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Whether the broker has taken nothing for longer than this.
    pub(super) fn is_longer(&self, node: NodeId, than: Duration) -> bool {
        self.nodes.get(&node).is_some_and(|stall| stall.seen.saturating_duration_since(stall.since) > than)
    }

    /// Forgets the brokers that the cluster has no more.
    pub(super) fn retain(&mut self, is_known: impl Fn(NodeId) -> bool) {
        self.nodes.retain(|node, _| is_known(*node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_lasts_from_the_first_batch_that_waits_until_an_answer() {
        const NODE: NodeId = NodeId(1);
        const SECOND: Duration = Duration::from_secs(1);
        let start = Instant::now();
        let mut stalls = Stalls::default();
        stalls.retry(NODE, start);
        stalls.begin(NODE, start + SECOND);
        assert!(!stalls.is_longer(NODE, Duration::ZERO), "nothing has waited yet");
        stalls.begin(NODE, start + SECOND * 2);
        assert!(stalls.is_longer(NODE, SECOND / 2) && !stalls.is_longer(NODE, SECOND));
        // What is sent to a broker that is down comes back.
        stalls.retry(NODE, start + SECOND * 3);
        assert!(stalls.is_longer(NODE, SECOND));
        assert!(!stalls.is_longer(NodeId(2), Duration::ZERO));
        stalls.end(NODE);
        assert!(!stalls.is_longer(NODE, Duration::ZERO));
        stalls.begin(NODE, start);
        stalls.retain(|_| false);
        stalls.begin(NODE, start + SECOND);
        assert!(!stalls.is_longer(NODE, Duration::ZERO));
    }
}
