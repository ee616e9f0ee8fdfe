//! A group of any kind, with the offsets that it has committed.

use std::collections::HashSet;
use std::time::Instant;

use super::classic::{ClassicGroup, State};
use super::consumer::ConsumerGroup;
use super::offsets::{Committed, Offsets};
use super::records;
use super::share::ShareGroup;
use super::streams::StreamsGroup;

/// What kind of group it is. Groups of the newer protocols build on `modern/`.
#[derive(Debug)]
pub(super) enum Kind {
    /// JoinGroup and SyncGroup; or nothing but offsets.
    Classic(Box<ClassicGroup>),
    /// ConsumerGroupHeartbeat (KIP-848).
    Consumer(Box<ConsumerGroup>),
    /// ShareGroupHeartbeat (KIP-932).
    Share(Box<ShareGroup>),
    /// StreamsGroupHeartbeat (KIP-1071).
    Streams(Box<StreamsGroup>),
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: Kind,
    pub(super) offsets: Offsets,
    /// Where it stands in the shard's timers.
    pub(super) deadline: Option<Instant>,
}

impl Kind {
    pub(super) fn classic(group: ClassicGroup) -> Self {
        Self::Classic(Box::new(group))
    }

    pub(super) fn consumer(group: ConsumerGroup) -> Self {
        Self::Consumer(Box::new(group))
    }

    pub(super) fn share(group: ShareGroup) -> Self {
        Self::Share(Box::new(group))
    }

    pub(super) fn streams(group: StreamsGroup) -> Self {
        Self::Streams(Box::new(group))
    }

    /// Kafka's name of the kind, as ListGroups has it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
            Self::Consumer(_) => "consumer",
            Self::Share(_) => "share",
            Self::Streams(_) => "streams",
        }
    }

    /// Kafka's name of what the group is doing.
    pub(super) fn state(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state().name(),
            Self::Consumer(group) => group.state(),
            Self::Share(group) => group.state(),
            Self::Streams(group) => group.state(),
        }
    }

    pub(super) fn protocol_type(&self) -> &str {
        match self {
            Self::Classic(group) => &group.protocol_type,
            Self::Consumer(_) => "consumer",
            Self::Share(_) => "share",
            Self::Streams(_) => "streams",
        }
    }

    /// When something falls due if nothing is heard before.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Classic(group) => group.next_deadline(),
            Self::Consumer(group) => group.next_deadline(),
            Self::Share(group) => group.next_deadline(),
            Self::Streams(group) => group.next_deadline(),
        }
    }

    /// Whether nobody is in the group, though some may be about to be.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_empty(),
            Self::Consumer(group) => group.is_empty(),
            Self::Share(group) => group.is_empty(),
            Self::Streams(group) => group.is_empty(),
        }
    }

    /// Whether nobody is in the group or about to be.
    pub(super) fn is_unused(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_unused(),
            _ => self.is_empty(),
        }
    }

    /// Whether nothing was ever written of it: it is only a place for offsets.
    pub(super) fn is_only_a_place(&self) -> bool {
        matches!(self, Self::Classic(group) if group.is_unused() && group.generation == 0)
    }

    /// Whether members read a topic, so that its offsets stay; `None` where that can't be known.
    pub(super) fn reads(&self) -> Reads<'_> {
        match self {
            Self::Classic(group) => match group.state() {
                State::Empty => Reads::Topics(HashSet::new()),
                _ if group.protocol_type == "consumer" => subscription(group).map_or(Reads::Unknown, Reads::Topics),
                _ => Reads::Unknown,
            },
            Self::Consumer(group) => Reads::Consumers(group),
            Self::Streams(group) => Reads::Application(group),
            // It has no offsets here.
            Self::Share(_) => Reads::Unknown,
        }
    }

    /// Since when an offset may expire; `None` while it may not. Kafka's rules (KIP-211): offsets of a group that is in use do not
    /// expire, but for topics that it no longer reads.
    fn unused_since(&self, committed: &Committed) -> Option<i64> {
        match self {
            Self::Consumer(_) | Self::Streams(_) => Some(committed.committed_ms),
            Self::Share(_) => None,
            Self::Classic(group) => match group.state() {
                State::Empty if group.protocol_type.is_empty() => Some(committed.committed_ms),
                State::Empty => Some(group.state_since_ms),
                State::Stable if group.protocol_type == "consumer" => Some(committed.committed_ms),
                _ => None,
            },
        }
    }

    /// Whether the group goes by itself when nobody is in it and it has no offsets. A share group stays until it is deleted: how far
    /// it is, is kept elsewhere.
    pub(super) fn ends_by_itself(&self) -> bool {
        self.is_unused() && !matches!(self, Self::Share(_))
    }

    pub(super) fn has_expired(&self, committed: &Committed, now_ms: i64, retention_ms: i64) -> bool {
        let Some(since) = self.unused_since(committed) else { return false };
        match committed.expires_ms {
            Some(at) => now_ms >= at,
            None => now_ms.saturating_sub(since) >= retention_ms,
        }
    }
}

/// What the members of a group read.
pub(super) enum Reads<'a> {
    Topics(HashSet<String>),
    Consumers(&'a ConsumerGroup),
    Application(&'a StreamsGroup),
    /// Perhaps anything.
    Unknown,
}

impl Reads<'_> {
    pub(super) fn contains(&self, topic: &str) -> bool {
        match self {
            Self::Topics(topics) => topics.contains(topic),
            Self::Consumers(group) => group.is_subscribed_to(topic),
            Self::Application(group) => group.is_subscribed_to(topic),
            Self::Unknown => true,
        }
    }
}

/// The topics that the members of a `consumer` group subscribe to; `None` if that can't be read.
fn subscription(group: &ClassicGroup) -> Option<HashSet<String>> {
    let protocol = group.protocol().unwrap_or_default();
    let mut topics = HashSet::new();
    for member in group.members() {
        topics.extend(records::subscribed_topics(&member.metadata(protocol))?);
    }
    Some(topics)
}
