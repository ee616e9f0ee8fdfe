//! What a state machine asks of the runtime around it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::protocol::messages::{JoinGroupResponse, SyncGroupResponse};

/// The time, as the runtime tells it: the machine's own clock for what is written down, a steady one for deadlines.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Now {
    /// Milliseconds since 1970.
    pub(in crate::broker) wall_ms: i64,
    /// Never goes back.
    pub(in crate::broker) steady: Instant,
}

impl Now {
    pub(super) fn after(self, delay: Duration) -> Instant {
        // Beyond what the clock can say is as good as never.
        self.steady.checked_add(delay).unwrap_or_else(|| self.steady + Duration::from_secs(u64::from(u32::MAX)))
    }
}

/// Names a request whose answer may come later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::broker) struct Token(pub(in crate::broker) u64);

/// An answer to a request that waited.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::broker) enum Reply {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
}

/// A record for `__consumer_offsets`; without a value a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Record {
    pub(in crate::broker) key: Bytes,
    pub(in crate::broker) value: Option<Bytes>,
}

/// What a step of a state machine leads to. The answers must not leave before the records are committed.
#[derive(Debug, Default)]
pub(in crate::broker) struct Effects {
    pub(in crate::broker) records: Vec<Record>,
    pub(in crate::broker) replies: Vec<(Token, Reply)>,
}

impl Effects {
    pub(super) fn reply(&mut self, token: Token, reply: Reply) {
        self.replies.push((token, reply));
    }
}
