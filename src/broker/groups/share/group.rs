//! The state of a share group, and of its members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::records::Change;
use super::states::StateTopics;
use super::{ClusterView, Now, Refusal};
use crate::broker::groups::member::Client;
use crate::broker::groups::modern::{Assignment, ModernGroup, Timers};
use crate::protocol::messages::{ShareGroupCurrentMemberAssignmentValue, ShareGroupMemberMetadataValue};
use crate::types::Uuid;

/// A member of a share group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ShareMember {
    pub(super) id: String,
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) rack_id: Option<String>,
    pub(super) client: Client,
    pub(super) topics: Arc<BTreeSet<String>>,
    pub(super) assigned: Arc<Assignment>,
}

impl ShareMember {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            epoch: 0,
            previous_epoch: -1,
            rack_id: None,
            client: Client::default(),
            topics: Arc::default(),
            assigned: Arc::default(),
        }
    }

    fn take_metadata(&mut self, value: ShareGroupMemberMetadataValue) {
        self.rack_id = value.rack_id;
        self.client = Client { id: value.client_id, host: value.client_host };
        self.topics = Arc::new(value.subscribed_topic_names.into_iter().collect());
    }

    fn take_current(&mut self, value: ShareGroupCurrentMemberAssignmentValue) {
        self.epoch = value.member_epoch;
        self.previous_epoch = value.previous_member_epoch;
        let topics = value.assigned_partitions.into_iter();
        let assigned = topics.map(|topic| (topic.topic_id, topic.partitions.into_iter().collect())).collect();
        self.assigned = Arc::new(assigned);
    }
}

/// The state of a share group: what its records add up to, and its timers.
#[derive(Debug)]
pub(in crate::broker::groups) struct ShareGroup {
    pub(in crate::broker::groups) id: String,
    pub(super) modern: ModernGroup,
    pub(super) members: BTreeMap<String, ShareMember>,
    pub(super) states: StateTopics,
    /// When states were last asked to begin, by topic: not again for a while.
    pub(super) asked: BTreeMap<Uuid, Instant>,
    /// When each member's session ends.
    pub(super) timers: Timers<String>,
}

impl ShareGroup {
    pub(in crate::broker::groups) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            modern: ModernGroup::default(),
            members: BTreeMap::new(),
            states: StateTopics::default(),
            asked: BTreeMap::new(),
            timers: Timers::default(),
        }
    }

    pub(in crate::broker::groups) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(in crate::broker::groups) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.modern.subscriptions.contains(topic)
    }

    /// The topics may have changed: the next heartbeat looks.
    pub(in crate::broker::groups) fn request_refresh(&mut self) {
        self.modern.needs_refresh = true;
    }

    pub(in crate::broker::groups) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Kafka's name of what it is doing.
    pub(in crate::broker::groups) fn state(&self) -> &'static str {
        if self.members.is_empty() { "Empty" } else { "Stable" }
    }

    /// The partitions whose states have begun and those that are under way to it or to their end.
    pub(in crate::broker::groups) fn states(&self) -> &StateTopics {
        &self.states
    }

    pub(super) fn member(&self, id: &str) -> Result<&ShareMember, Refusal> {
        self.members.get(id).ok_or_else(|| Refusal::unknown_member(&self.id, id))
    }

    /// The partitions that may be assigned: of subscribed topics, and their states have begun.
    pub(super) fn assignable(&self, view: &ClusterView) -> Assignment {
        let subscribed =
            |name: &str, id: Uuid| self.is_subscribed_to(name) && view.topic(name).is_some_and(|topic| topic.id == id);
        let topics = self.states.initialized.iter().filter(|(id, topic)| subscribed(&topic.name, **id));
        topics.map(|(id, topic)| (*id, topic.partitions.clone())).collect()
    }

    /// All of the log was replayed: members count as just heard of.
    pub(in crate::broker::groups) fn loaded(&mut self, view: &ClusterView, now: Now) {
        let session = view.share.timing.session_timeout(view.settings_of(&self.id));
        for id in self.members.keys() {
            self.timers.set(id.clone(), now.after(session));
        }
    }

    /// Takes a change over.
    pub(in crate::broker::groups) fn apply(&mut self, change: Change) {
        match change {
            Change::Epoch(Some(value)) => {
                self.modern.epoch = value.epoch;
                self.modern.metadata_hash = value.metadata_hash;
            }
            // The group is gone; whoever holds it drops it.
            Change::Epoch(None) => {}
            Change::Member { id, value: Some(value) } => {
                let mut member = self.members.get(&id).cloned().unwrap_or_else(|| ShareMember::new(&id));
                member.take_metadata(value);
                self.update(member);
            }
            Change::Member { id, value: None } => {
                if let Some(member) = self.members.remove(&id) {
                    self.modern.subscriptions.remove(member.topics.iter(), None);
                }
            }
            Change::TargetEpoch(Some(value)) => {
                self.modern.assignment_epoch = value.assignment_epoch;
                self.modern.assigned_ms = value.assignment_timestamp;
            }
            Change::TargetEpoch(None) => {
                self.modern.assignment_epoch = -1;
                self.modern.assigned_ms = 0;
            }
            Change::Target { id, value: Some(value) } => {
                let topics = value.topic_partitions.into_iter();
                let target = topics.map(|topic| (topic.topic_id, topic.partitions.into_iter().collect())).collect();
                self.modern.targets.insert(id, Arc::new(target));
            }
            Change::Target { id, value: None } => {
                self.modern.targets.remove(&id);
            }
            Change::Current { id, value: Some(value) } => {
                let mut member = self.members.get(&id).cloned().unwrap_or_else(|| ShareMember::new(&id));
                member.take_current(value);
                self.update(member);
            }
            Change::Current { id, value: None } => {
                if let Some(member) = self.members.get_mut(&id) {
                    (member.epoch, member.previous_epoch) = (-1, -1);
                    member.assigned = Arc::default();
                }
            }
            Change::States(value) => {
                self.states = value.map(StateTopics::from).unwrap_or_default();
                self.modern.needs_refresh = true;
            }
        }
    }

    fn update(&mut self, member: ShareMember) {
        if let Some(old) = self.members.remove(&member.id) {
            self.modern.subscriptions.remove(old.topics.iter(), None);
        }
        self.modern.subscriptions.add(member.topics.iter(), None);
        self.members.insert(member.id.clone(), member);
    }
}
