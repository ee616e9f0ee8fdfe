//! What a state machine asks of the runtime around it.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// The time, as the runtime tells it: the machine's own clock for what is written down, a steady one for deadlines.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Now {
    /// Milliseconds since 1970.
    pub(in crate::broker) wall_ms: i64,
    /// Never goes back.
    pub(in crate::broker) steady: Instant,
}

impl Now {
    /// The moment after a delay.
    pub(in crate::broker) fn after(self, delay: Duration) -> Instant {
        // Beyond what the clock can say is as good as never.
        self.steady.checked_add(delay).unwrap_or_else(|| self.steady + Duration::from_secs(u64::from(u32::MAX)))
    }
}

/// Names a request whose answer may come later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::broker) struct Token(pub(in crate::broker) u64);

/// A record for the coordinator's topic; without a value a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Record {
    pub(in crate::broker) key: Bytes,
    pub(in crate::broker) value: Option<Bytes>,
}

impl Record {
    /// The bytes of key and value.
    pub(in crate::broker) fn size(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, |value| value.len())
    }
}

/// Whose transaction records belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::broker) struct Producer {
    pub(in crate::broker) id: i64,
    pub(in crate::broker) epoch: i16,
}

/// What a step of a state machine leads to: answers of kind `R`, actions of kind `A`. Neither happens before the records are committed.
#[derive(Debug)]
pub(in crate::broker) struct Effects<R, A = Infallible> {
    pub(in crate::broker) records: Vec<Record>,
    /// The records are part of this producer's transaction; they count when its marker says so.
    pub(in crate::broker) producer: Option<Producer>,
    /// Answers to requests that waited.
    pub(in crate::broker) replies: Vec<(Token, R)>,
    /// What is to be done outside of the machine.
    pub(in crate::broker) actions: Vec<A>,
}

impl<R, A> Default for Effects<R, A> {
    fn default() -> Self {
        Self { records: Vec::new(), producer: None, replies: Vec::new(), actions: Vec::new() }
    }
}

impl<R, A> Effects<R, A> {
    /// Answers a request.
    pub(in crate::broker) fn reply(&mut self, token: Token, reply: R) {
        self.replies.push((token, reply));
    }
}
