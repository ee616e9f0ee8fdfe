//! The state of a consumer group.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::lookup::RegexLookup;
use super::member::{ConsumerMember, MemberState, Owned};
use super::records::Change;
use super::{ClusterView, Now, Refusal};
use crate::broker::groups::assignors::Assignor;
use crate::broker::groups::modern::{ModernGroup, ResolvedRegex, Timers};
use crate::types::Uuid;

/// What falls due for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::broker::groups) enum Due {
    /// It was not heard of for its session timeout.
    Session,
    /// It did not give up its partitions within its rebalance timeout.
    Rebalance,
    /// Told to join again by the classic protocol, it did not.
    ClassicJoin,
    /// It joined by the classic protocol and did not fetch its assignment.
    ClassicSync,
}

/// The state of a consumer group: what its records add up to, and its timers.
#[derive(Debug)]
pub(in crate::broker::groups) struct ConsumerGroup {
    pub(in crate::broker::groups) id: String,
    pub(super) modern: ModernGroup,
    pub(super) members: BTreeMap<String, ConsumerMember>,
    /// Member id of each static member, by instance id.
    static_members: HashMap<String, String>,
    /// How many members ask for each assignor.
    assignors: BTreeMap<String, usize>,
    /// In which member epoch each partition that a member has, or has yet to give up, is owned: a partition in it is not free.
    owned: HashMap<Uuid, HashMap<i32, i32>>,
    /// How many members speak the classic protocol.
    classic_members: usize,
    /// How many of them offer each of its protocols.
    classic_protocols: HashMap<String, usize>,
    /// There is a record of Kafka 4.0 to be taken back.
    pub(super) has_partition_metadata: bool,
    pub(super) timers: Timers<(String, Due)>,
    /// The look-up of regular expressions that is under way, if one is: no more than one is at once.
    pub(super) lookup: Weak<RegexLookup>,
}

impl ConsumerGroup {
    pub(in crate::broker::groups) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            modern: ModernGroup::default(),
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            assignors: BTreeMap::new(),
            owned: HashMap::new(),
            classic_members: 0,
            classic_protocols: HashMap::new(),
            has_partition_metadata: false,
            timers: Timers::default(),
            lookup: Weak::new(),
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
        if self.members.is_empty() {
            "Empty"
        } else if self.modern.epoch > self.modern.assignment_epoch {
            "Assigning"
        } else if self.members.values().all(|member| member.is_reconciled_to(self.modern.assignment_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub(super) fn member(&self, id: &str) -> Result<&ConsumerMember, Refusal> {
        self.members.get(id).ok_or_else(|| Refusal::unknown_member(&self.id, id))
    }

    /// The static member of this instance id.
    pub(super) fn static_member(&self, instance: &str) -> Option<&ConsumerMember> {
        self.members.get(self.static_members.get(instance)?)
    }

    /// The assignor that most members ask for; among equals the one that is configured first.
    pub(super) fn assignor(&self, view: &ClusterView) -> Assignor {
        let config = &view.consumer;
        let votes = |assignor: &Assignor| self.assignors.get(assignor.name()).copied().unwrap_or_default();
        let most = config.assignors.iter().map(votes).max().unwrap_or_default();
        let first = config.assignors.iter().find(|assignor| votes(assignor) == most);
        first.copied().unwrap_or_else(|| config.default_assignor())
    }

    /// Whether a partition is nobody's.
    pub(super) fn is_free(&self, topic: Uuid, partition: i32) -> bool {
        self.owned.get(&topic).is_none_or(|partitions| !partitions.contains_key(&partition))
    }

    pub(super) fn classic_members(&self) -> usize {
        self.classic_members
    }

    /// Whether all members that speak the classic protocol offer one of these.
    pub(super) fn shares_classic_protocol<'p>(&self, mut protocols: impl Iterator<Item = &'p str>) -> bool {
        protocols.any(|name| self.classic_protocols.get(name).copied().unwrap_or_default() == self.classic_members)
    }

    /// All of the log was replayed: members count as just heard of.
    pub(in crate::broker::groups) fn loaded(&mut self, view: &ClusterView, now: Now) {
        let session = view.consumer.timing.session_timeout(view.settings_of(&self.id));
        for member in self.members.values() {
            let session = member.classic_session_timeout().unwrap_or(session);
            self.timers.set((member.id.clone(), Due::Session), now.after(session));
            if member.state == MemberState::UnrevokedPartitions {
                self.timers.set((member.id.clone(), Due::Rebalance), now.after(member.rebalance_timeout()));
            }
        }
    }

    pub(super) fn cancel_timers(&mut self, member: &str) {
        for due in [Due::Session, Due::Rebalance, Due::ClassicJoin, Due::ClassicSync] {
            self.timers.cancel(&(member.to_owned(), due));
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
            Change::PartitionMetadata { is_there } => self.has_partition_metadata = is_there,
            Change::Member { id, value: Some(value) } => {
                let mut member = self.members.get(&id).cloned().unwrap_or_else(|| ConsumerMember::new(&id));
                member.take_metadata(*value);
                self.update(member);
            }
            Change::Member { id, value: None } => {
                if let Some(member) = self.members.remove(&id) {
                    self.forget(&member);
                    if let Some(instance) = &member.instance_id
                        && self.static_members.get(instance) == Some(&id)
                    {
                        self.static_members.remove(instance);
                    }
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
                let mut member = self.members.get(&id).cloned().unwrap_or_else(|| ConsumerMember::new(&id));
                member.take_current(&value);
                self.update(member);
            }
            Change::Current { id, value: None } => {
                if let Some(mut member) = self.members.get(&id).cloned() {
                    member.epoch = -1;
                    member.previous_epoch = -1;
                    member.assigned = Arc::default();
                    member.revoking = Arc::default();
                    self.update(member);
                }
            }
            Change::Regex { regex, value: Some(value) } => {
                let resolved = ResolvedRegex {
                    topics: value.topics.into_iter().collect(),
                    version: value.version,
                    timestamp_ms: value.timestamp,
                };
                self.modern.subscriptions.resolve(&regex, resolved);
            }
            Change::Regex { regex, value: None } => self.modern.subscriptions.forget_regex(&regex),
        }
    }

    /// Puts a member in the place of what it was, and all that is counted follows.
    fn update(&mut self, member: ConsumerMember) {
        if let Some(old) = self.members.remove(&member.id) {
            self.forget(&old);
        }
        self.modern.subscriptions.add(member.topics.iter(), member.regex());
        if let Some(assignor) = &member.assignor {
            *self.assignors.entry(assignor.clone()).or_default() += 1;
        }
        for owned in [&member.assigned, &member.revoking] {
            own(&mut self.owned, owned, member.epoch);
        }
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        if let Some(classic) = &member.classic {
            self.classic_members += 1;
            for protocol in &classic.supported_protocols {
                *self.classic_protocols.entry(protocol.name.clone()).or_default() += 1;
            }
        }
        self.members.insert(member.id.clone(), member);
    }

    /// Takes back what [`ConsumerGroup::update`] counted.
    fn forget(&mut self, member: &ConsumerMember) {
        self.modern.subscriptions.remove(member.topics.iter(), member.regex());
        if let Some(assignor) = &member.assignor
            && let Some(votes) = self.assignors.get_mut(assignor)
        {
            *votes = votes.saturating_sub(1);
            if *votes == 0 {
                self.assignors.remove(assignor);
            }
        }
        for owned in [&member.assigned, &member.revoking] {
            disown(&mut self.owned, owned, member.epoch);
        }
        if let Some(classic) = &member.classic {
            self.classic_members = self.classic_members.saturating_sub(1);
            for protocol in &classic.supported_protocols {
                if let Entry::Occupied(mut offers) = self.classic_protocols.entry(protocol.name.clone()) {
                    *offers.get_mut() = offers.get().saturating_sub(1);
                    if *offers.get() == 0 {
                        offers.remove();
                    }
                }
            }
        }
    }
}

/// Notes that a member owns partitions in its epoch.
fn own(all: &mut HashMap<Uuid, HashMap<i32, i32>>, owned: &Owned, epoch: i32) {
    for (topic, partitions) in owned {
        let all = all.entry(*topic).or_default();
        all.extend(partitions.keys().map(|partition| (*partition, epoch)));
    }
}

/// Takes that back, but for what another member owns meanwhile, in a later epoch.
fn disown(all: &mut HashMap<Uuid, HashMap<i32, i32>>, owned: &Owned, epoch: i32) {
    for (topic, partitions) in owned {
        if let Entry::Occupied(mut all) = all.entry(*topic) {
            for partition in partitions.keys() {
                if all.get().get(partition) == Some(&epoch) {
                    all.get_mut().remove(partition);
                }
            }
            if all.get().is_empty() {
                all.remove();
            }
        }
    }
}
