//! The groups of one partition of `__consumer_offsets`, and every command on them: pure, like the groups themselves.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::classic::{ClassicGroup, State, join_error, sync_error};
use super::consumer::{Change, ConsumerGroup, Fenced, Rebalance, RegexLookup, Step};
use super::effects::{Effects, Reply};
use super::group::{Group, Kind};
use super::member::Client;
use super::modern::ClusterView;
use super::offsets::Offsets;
use super::pending::PendingOffsets;
use super::records::{self, Event};
use super::share::{self, ShareGroup};
use super::streams;
use crate::broker::coordinator::{Machine, MalformedRecord, Now, Producer, Record, Token};
use crate::protocol::ErrorCode;

/// The broker's settings for groups.
#[derive(Debug, Clone)]
pub(in crate::broker) struct GroupConfig {
    /// `group.min.session.timeout.ms`
    pub(in crate::broker) min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`
    pub(in crate::broker) max_session_timeout: Duration,
    /// `group.initial.rebalance.delay.ms`
    pub(in crate::broker) initial_rebalance_delay: Duration,
    /// `group.max.size`
    pub(in crate::broker) max_size: usize,
    /// `offset.metadata.max.bytes`
    pub(in crate::broker) offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`
    pub(in crate::broker) offsets_retention: Duration,
    /// Largest record that the log takes: what would not fit is refused before anything changes.
    pub(in crate::broker) max_record_bytes: usize,
}

/// A group as ListGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Listed {
    pub(in crate::broker) id: String,
    pub(in crate::broker) protocol_type: String,
    pub(in crate::broker) state: &'static str,
    /// Its kind, by Kafka's name.
    pub(in crate::broker) kind: &'static str,
}

/// A group as DescribeGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Described {
    pub(in crate::broker) state: &'static str,
    pub(in crate::broker) protocol_type: String,
    pub(in crate::broker) protocol: String,
    pub(in crate::broker) members: Vec<DescribedMember>,
}

/// A member as DescribeGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct DescribedMember {
    pub(in crate::broker) id: String,
    pub(in crate::broker) instance_id: Option<String>,
    pub(in crate::broker) client: Client,
    pub(in crate::broker) metadata: bytes::Bytes,
    pub(in crate::broker) assignment: bytes::Bytes,
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub(in crate::broker) struct Shard {
    pub(super) config: GroupConfig,
    pub(super) groups: HashMap<String, Group>,
    /// Offsets of open transactions.
    pub(super) pending: PendingOffsets,
    timers: BTreeSet<(Instant, String)>,
    /// The cluster as it was seen last.
    pub(super) view: Arc<ClusterView>,
    /// Where the metadata stood when a topic last came; -1 before the first look.
    pub(super) new_topics_at: i64,
}

impl Shard {
    pub(in crate::broker) fn new(config: GroupConfig) -> Self {
        Self {
            config,
            groups: HashMap::new(),
            pending: PendingOffsets::default(),
            timers: BTreeSet::new(),
            view: Arc::default(),
            new_topics_at: -1,
        }
    }

    pub(super) fn group_or_new(&mut self, id: &str, now: Now) -> &mut Group {
        let (delay, size) = (self.config.initial_rebalance_delay, self.config.max_size);
        self.groups.entry(id.to_owned()).or_insert_with(|| Group {
            kind: Kind::classic(ClassicGroup::new(id, now, delay, size)),
            offsets: Offsets::default(),
            deadline: None,
        })
    }

    pub(super) fn forget(&mut self, id: &str) {
        if let Some(group) = self.groups.remove(id)
            && let Some(at) = group.deadline
        {
            self.timers.remove(&(at, id.to_owned()));
        }
    }

    /// The group is gone; its place stays as long as there are offsets in it. Their tombstones stand before the group's; offsets that were
    /// committed since would come after.
    pub(super) fn forget_kind(&mut self, id: &str, now: Now) {
        let is_needed = self.pending.concerns(id);
        if self.groups.get(id).is_some_and(|group| group.offsets.is_empty() && !is_needed) {
            self.forget(id);
        } else if let Some(found) = self.groups.get_mut(id) {
            let (delay, size) = (self.config.initial_rebalance_delay, self.config.max_size);
            found.kind = Kind::classic(ClassicGroup::new(id, now, delay, size));
            self.set_timer(id);
        }
    }

    // ---- Time

    pub(super) fn set_timer(&mut self, id: &str) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let next = group.kind.next_deadline();
        if next == group.deadline {
            return;
        }
        if let Some(at) = group.deadline {
            self.timers.remove(&(at, id.to_owned()));
        }
        if let Some(at) = next {
            self.timers.insert((at, id.to_owned()));
        }
        group.deadline = next;
    }

    /// Takes a group back from the log, and leaves an empty place for offsets.
    pub(super) fn end_group(&mut self, id: &str, now: Now, effects: &mut Effects) {
        let (delay, size, view) = (self.config.initial_rebalance_delay, self.config.max_size, Arc::clone(&self.view));
        let Some(group) = self.groups.get_mut(id) else { return };
        match &mut group.kind {
            Kind::Classic(_) => effects.records.push(records::group_metadata(id, None)),
            Kind::Consumer(group) => {
                let mut step = Step::new(group, &view, now);
                step.end();
                step.finish(effects);
            }
            Kind::Share(group) => {
                let mut step = share::Step::new(group, &view, now);
                step.end();
                effects.records.append(&mut step.records);
            }
            Kind::Streams(group) => {
                let mut step = streams::Step::new(group, &view, now);
                step.end();
                effects.records.append(&mut step.records);
            }
        }
        group.kind = Kind::classic(ClassicGroup::new(id, now, delay, size));
        self.set_timer(id);
    }

    // ---- Administration

    /// All groups, for ListGroups.
    pub(in crate::broker) fn list(&self) -> impl Iterator<Item = Listed> {
        self.groups.iter().map(|(id, group)| Listed {
            id: id.clone(),
            protocol_type: group.kind.protocol_type().to_owned(),
            state: group.kind.state(),
            kind: group.kind.name(),
        })
    }

    /// One group, for DescribeGroups: only classic ones are there for it.
    pub(in crate::broker) fn describe(&self, id: &str) -> Option<Described> {
        let Kind::Classic(group) = &self.groups.get(id)?.kind else { return None };
        // Before the group is stable, what members say and get is still in the making.
        let stable = group.state() == State::Stable;
        let protocol = group.protocol().filter(|_| stable).unwrap_or_default();
        Some(Described {
            state: group.state().name(),
            protocol_type: group.protocol_type.clone(),
            protocol: protocol.to_owned(),
            members: group
                .members()
                .map(|member| DescribedMember {
                    id: member.id.clone(),
                    instance_id: member.instance_id.clone(),
                    client: member.client.clone(),
                    metadata: if stable { member.metadata(protocol) } else { bytes::Bytes::new() },
                    assignment: if stable { member.assignment.clone() } else { bytes::Bytes::new() },
                })
                .collect(),
        })
    }

    /// Why DescribeGroups finds no group.
    pub(in crate::broker) fn not_classic(&self, id: &str) -> String {
        let what = if self.groups.contains_key(id) { "is not a classic group" } else { "not found" };
        format!("Group {id} {what}.")
    }
}

impl Machine for Shard {
    type Reply = Reply;
    /// Regular expressions to look up; [`Shard::take_resolved`] takes the outcome.
    type Action = Arc<RegexLookup>;

    fn replay(&mut self, record: &Record, producer: Option<Producer>, now: Now) -> Result<(), MalformedRecord> {
        match records::read(record)? {
            Event::Offset { group, topic, partition, committed: Some(committed) } => {
                let group_state = self.group_or_new(&group, now);
                match producer {
                    Some(producer) => self.pending.put(producer.id, &group, &topic, partition, committed),
                    None => {
                        group_state.offsets.put(&topic, partition, committed);
                        self.pending.supersede(&group, &topic, partition, None);
                    }
                }
            }
            Event::Offset { group, topic, partition, committed: None } => {
                self.pending.remove(&group, &topic, partition);
                if let Some(group) = self.groups.get_mut(&group) {
                    group.offsets.remove(&topic, partition);
                }
            }
            Event::Group { group, metadata: Some(value) } => {
                let (delay, size) = (self.config.initial_rebalance_delay, self.config.max_size);
                let classic = ClassicGroup::from_record(&group, &value, now, delay, size);
                self.group_or_new(&group, now).kind = Kind::classic(classic);
                self.set_timer(&group);
            }
            Event::Group { group, metadata: None } => self.forget_kind(&group, now),
            Event::Consumer { group, change: Change::Epoch(None) } => {
                if matches!(self.groups.get(&group).map(|group| &group.kind), Some(Kind::Consumer(_))) {
                    self.forget_kind(&group, now);
                }
            }
            Event::Consumer { group, change } => {
                if !change.is_tombstone() {
                    let found = self.group_or_new(&group, now);
                    if !matches!(found.kind, Kind::Consumer(_)) {
                        found.kind = Kind::consumer(ConsumerGroup::new(&group));
                    }
                }
                if let Some(group) = self.consumer_group_mut(&group) {
                    group.apply(change);
                }
            }
            Event::Share { group, change: share::Change::Epoch(None) } => {
                if matches!(self.groups.get(&group).map(|group| &group.kind), Some(Kind::Share(_))) {
                    self.forget_kind(&group, now);
                }
            }
            Event::Share { group, change } => {
                if !change.is_tombstone() {
                    let found = self.group_or_new(&group, now);
                    if !matches!(found.kind, Kind::Share(_)) {
                        found.kind = Kind::share(ShareGroup::new(&group));
                    }
                }
                if let Some(group) = self.share_group_mut(&group) {
                    group.apply(change);
                }
            }
            Event::Streams { group, change } => self.replay_streams(&group, change, now),
            Event::Other { .. } => {}
        }
        Ok(())
    }

    fn end_transaction(&mut self, producer: Producer, committed: bool, now: Now) {
        self.end_offsets_of(producer.id, committed, now);
    }

    fn loaded(&mut self, now: Now) -> Effects {
        let view = Arc::clone(&self.view);
        let mut effects = Effects::default();
        let mut changed = Vec::new();
        for (id, group) in &mut self.groups {
            match &mut group.kind {
                Kind::Consumer(group) => group.loaded(&view, now),
                Kind::Share(group) => group.loaded(&view, now),
                Kind::Streams(group) => group.loaded(&view, now),
                // The limit was higher when they came: all may commit before some are refused.
                Kind::Classic(group) if group.members().count() > self.config.max_size => {
                    group.start_rebalance(now, &mut effects);
                }
                Kind::Classic(_) => continue,
            }
            changed.push(id.clone());
        }
        for id in changed {
            self.set_timer(&id);
        }
        effects
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Members that went silent, rebalances whose time is up.
    fn advance(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        let (view, classic_max_size) = (Arc::clone(&self.view), self.config.max_size);
        let due: Vec<String> =
            self.timers.iter().take_while(|(at, _)| *at <= now.steady).map(|(_, id)| id.clone()).collect();
        for id in due {
            match self.groups.get_mut(&id).map(|group| &mut group.kind) {
                Some(Kind::Classic(group)) => group.advance(now, &mut effects),
                Some(Kind::Consumer(group)) => {
                    let mut step = Step::new(group, &view, now);
                    let fenced = step.advance(classic_max_size);
                    step.finish(&mut effects);
                    if fenced == Fenced::BecomesClassic {
                        self.become_classic(&id, Rebalance::Needed, now, &mut effects);
                    }
                }
                Some(Kind::Share(group)) => {
                    let mut step = share::Step::new(group, &view, now);
                    step.advance();
                    effects.records.append(&mut step.records);
                }
                Some(Kind::Streams(group)) => {
                    let mut step = streams::Step::new(group, &view, now);
                    step.advance();
                    effects.records.append(&mut step.records);
                }
                None => {}
            }
            self.set_timer(&id);
        }
        effects
    }

    fn resign(&mut self, error: ErrorCode) -> Vec<(Token, Reply)> {
        let mut replies = Vec::new();
        let classic = |group: &Group| match &group.kind {
            Kind::Classic(group) => Some(
                group.members().map(|member| (member.id.clone(), member.joining, member.syncing)).collect::<Vec<_>>(),
            ),
            Kind::Consumer(_) | Kind::Share(_) | Kind::Streams(_) => None,
        };
        for (id, joining, syncing) in self.groups.values().filter_map(classic).flatten() {
            if let Some(token) = joining {
                replies.push((token, Reply::Join(join_error(error, &id))));
            }
            if let Some(token) = syncing {
                replies.push((token, Reply::Sync(sync_error(error))));
            }
        }
        replies
    }
}
