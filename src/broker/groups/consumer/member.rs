//! A member of a consumer group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::broker::groups::member::Client;
use crate::protocol::messages::consumer_group_current_member_assignment_value::TopicPartitions;
use crate::protocol::messages::consumer_group_member_metadata_value::ClassicMemberMetadata;
use crate::protocol::messages::{ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue};
use crate::types::Uuid;

/// Partitions by topic, each with the epoch in which the member was given it.
pub(super) type Owned = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// How far a member is on its way to what it is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker::groups) enum MemberState {
    /// It has what it can have in its epoch.
    Stable,
    /// It has yet to give up partitions.
    UnrevokedPartitions,
    /// It waits for partitions that others have yet to give up.
    UnreleasedPartitions,
    /// A state that a newer coordinator wrote.
    Unknown,
}

impl MemberState {
    pub(super) fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }

    fn from_code(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }
}

/// A member: what it says of itself, and what it has.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::broker::groups) struct ConsumerMember {
    pub(super) id: String,
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) state: MemberState,
    pub(super) instance_id: Option<String>,
    pub(super) rack_id: Option<String>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) client: Client,
    pub(super) topics: Arc<BTreeSet<String>>,
    /// Empty where it has none, as Kafka keeps it.
    pub(super) topic_regex: Option<String>,
    pub(super) assignor: Option<String>,
    pub(super) assigned: Arc<Owned>,
    /// What it has yet to give up.
    pub(super) revoking: Arc<Owned>,
    /// What it offered, if it speaks the classic protocol.
    pub(super) classic: Option<Arc<ClassicMemberMetadata>>,
}

impl ConsumerMember {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            client: Client::default(),
            topics: Arc::default(),
            topic_regex: Some(String::new()),
            assignor: None,
            assigned: Arc::default(),
            revoking: Arc::default(),
            classic: None,
        }
    }

    /// Its regular expression, if it has one.
    pub(super) fn regex(&self) -> Option<&str> {
        self.topic_regex.as_deref().filter(|regex| !regex.is_empty())
    }

    pub(super) fn rebalance_timeout(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.rebalance_timeout_ms).unwrap_or_default())
    }

    /// The session timeout that a member of the classic protocol asked for.
    pub(super) fn classic_session_timeout(&self) -> Option<Duration> {
        let session = self.classic.as_ref()?.session_timeout_ms;
        Some(Duration::from_millis(u64::try_from(session).unwrap_or_default()))
    }

    /// The protocol of the classic kind that it prefers, with what it said under it.
    pub(super) fn classic_protocol(&self) -> Option<(&str, &Bytes)> {
        let first = self.classic.as_ref()?.supported_protocols.first()?;
        Some((&first.name, &first.metadata))
    }

    /// Whether it has all that it is to have in an epoch.
    pub(super) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == epoch
    }

    /// Goes on to an epoch.
    pub(super) fn move_to(&mut self, epoch: i32) {
        self.previous_epoch = self.epoch;
        self.epoch = epoch;
    }

    /// The epoch in which it was given a partition that it has not given up yet.
    pub(super) fn epoch_of(&self, topic: Uuid, partition: i32) -> Option<i32> {
        let of = |owned: &Owned| owned.get(&topic)?.get(&partition).copied();
        of(&self.assigned).or_else(|| of(&self.revoking))
    }

    pub(super) fn metadata(&self) -> ConsumerGroupMemberMetadataValue {
        ConsumerGroupMemberMetadataValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client.id.clone(),
            client_host: self.client.host.clone(),
            subscribed_topic_names: self.topics.iter().cloned().collect(),
            subscribed_topic_regex: self.topic_regex.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.assignor.clone(),
            classic_member_metadata: self.classic.as_deref().cloned(),
            ..Default::default()
        }
    }

    pub(super) fn take_metadata(&mut self, value: ConsumerGroupMemberMetadataValue) {
        self.instance_id = value.instance_id;
        self.rack_id = value.rack_id;
        self.client = Client { id: value.client_id, host: value.client_host };
        self.topics = Arc::new(value.subscribed_topic_names.into_iter().collect());
        self.topic_regex = value.subscribed_topic_regex;
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.assignor = value.server_assignor;
        self.classic = value.classic_member_metadata.map(Arc::new);
    }

    pub(super) fn take_current(&mut self, value: &ConsumerGroupCurrentMemberAssignmentValue) {
        self.epoch = value.member_epoch;
        self.previous_epoch = value.previous_member_epoch;
        self.state = MemberState::from_code(value.state);
        self.assigned = Arc::new(owned(&value.assigned_partitions, value.member_epoch));
        self.revoking = Arc::new(owned(&value.partitions_pending_revocation, value.member_epoch));
    }
}

/// Before version 4.2 there were no epochs of single partitions: the member's stands for them.
fn owned(topics: &[TopicPartitions], member_epoch: i32) -> Owned {
    let of = |topic: &TopicPartitions| {
        let epochs = topic.assignment_epochs.as_ref().filter(|epochs| epochs.len() == topic.partitions.len());
        let epoch = |index: usize| epochs.and_then(|epochs| epochs.get(index).copied()).unwrap_or(member_epoch.max(0));
        topic.partitions.iter().enumerate().map(|(index, partition)| (*partition, epoch(index))).collect()
    };
    topics.iter().map(|topic| (topic.topic_id, of(topic))).collect()
}
