//! The groups of one partition of `__consumer_offsets`, and every command on them: pure, like the groups themselves.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::classic::{ClassicGroup, Join, State, join_error, sync_error};
use super::effects::{Effects, Reply};
use super::member::Client;
use super::offsets::{Committed, Offsets};
use super::pending::PendingOffsets;
use super::records::{self, Event};
use crate::broker::coordinator::{Machine, MalformedRecord, Now, Producer, Record, Token};
use crate::protocol::ErrorCode;
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::{JoinGroupRequest, SyncGroupRequest};

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

#[derive(Debug)]
pub(super) struct Group {
    pub(super) classic: ClassicGroup,
    pub(super) offsets: Offsets,
    /// Where it stands in the shard's timers.
    deadline: Option<Instant>,
}

/// What an OffsetCommit wants to remember of one partition.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Commit {
    pub(in crate::broker) topic: String,
    pub(in crate::broker) partition: i32,
    pub(in crate::broker) committed: Committed,
}

/// Who commits, and in which generation.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Committer<'a> {
    pub(in crate::broker) member_id: &'a str,
    pub(in crate::broker) instance_id: Option<&'a str>,
    pub(in crate::broker) generation: i32,
}

/// A group as ListGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Listed {
    pub(in crate::broker) id: String,
    pub(in crate::broker) protocol_type: String,
    pub(in crate::broker) state: &'static str,
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
}

impl Shard {
    pub(in crate::broker) fn new(config: GroupConfig) -> Self {
        Self { config, groups: HashMap::new(), pending: PendingOffsets::default(), timers: BTreeSet::new() }
    }

    pub(super) fn group_or_new(&mut self, id: &str, now: Now) -> &mut Group {
        let (delay, size) = (self.config.initial_rebalance_delay, self.config.max_size);
        self.groups.entry(id.to_owned()).or_insert_with(|| Group {
            classic: ClassicGroup::new(id, now, delay, size),
            offsets: Offsets::default(),
            deadline: None,
        })
    }

    fn forget(&mut self, id: &str) {
        if let Some(group) = self.groups.remove(id)
            && let Some(at) = group.deadline
        {
            self.timers.remove(&(at, id.to_owned()));
        }
    }

    // ---- Time

    pub(super) fn set_timer(&mut self, id: &str) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let next = group.classic.next_deadline();
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

    // ---- Membership

    /// JoinGroup. The answer may come much later, when the rebalance ends.
    pub(in crate::broker) fn join(
        &mut self,
        request: &JoinGroupRequest,
        version: i16,
        client: &Client,
        token: Token,
        now: Now,
    ) -> Effects {
        let mut effects = Effects::default();
        let session = Duration::from_millis(u64::try_from(request.session_timeout_ms).unwrap_or_default());
        let id = request.group_id.as_str();
        let size: usize = request.protocols.iter().map(|p| p.metadata.len() + p.name.len()).sum();
        let error = if id.is_empty() {
            Some(ErrorCode::InvalidGroupId)
        } else if session < self.config.min_session_timeout || session > self.config.max_session_timeout {
            Some(ErrorCode::InvalidSessionTimeout)
        } else if !self.groups.contains_key(id) && !request.member_id.is_empty() {
            Some(ErrorCode::UnknownMemberId)
        } else if size > self.config.max_record_bytes {
            // The group's record could never be written.
            Some(ErrorCode::InvalidRequest)
        } else {
            None
        };
        if let Some(error) = error {
            effects.reply(token, Reply::Join(join_error(error, &request.member_id)));
            return effects;
        }
        let is_new = !self.groups.contains_key(id);
        let join = Join { request, client, needs_member_id: version >= 4, can_skip_assignment: version >= 9, token };
        let group = self.group_or_new(id, now);
        if is_new {
            // As Kafka: a group is remembered from its first join on.
            effects.records.push(records::group_metadata(id, Some(&group.classic.to_record())));
        }
        group.classic.join(&join, now, &mut effects);
        if is_new && group.classic.is_unused() {
            // Refused: a group that nobody is in should not stay.
            self.forget(id);
            effects.records.clear();
        }
        self.set_timer(id);
        effects
    }

    /// SyncGroup. The answer may come later, when the leader brings the assignments.
    pub(in crate::broker) fn sync(&mut self, request: &SyncGroupRequest, token: Token, now: Now) -> Effects {
        let mut effects = Effects::default();
        let id = request.group_id.as_str();
        let refuse = |error| (token, Reply::Sync(sync_error(error)));
        let size: usize = request.assignments.iter().map(|a| a.assignment.len() + a.member_id.len()).sum();
        match self.groups.get_mut(id) {
            _ if id.is_empty() => effects.replies.push(refuse(ErrorCode::InvalidGroupId)),
            None => effects.replies.push(refuse(ErrorCode::UnknownMemberId)),
            // Kafka fails when it writes such a record; its clients join again either way.
            Some(_) if size > self.config.max_record_bytes => {
                effects.replies.push(refuse(ErrorCode::UnknownServerError))
            }
            Some(group) => group.classic.sync(request, token, now, &mut effects),
        }
        self.set_timer(id);
        effects
    }

    /// Heartbeat.
    pub(in crate::broker) fn heartbeat(
        &mut self,
        id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Now,
    ) -> ErrorCode {
        if id.is_empty() {
            return ErrorCode::InvalidGroupId;
        }
        let Some(group) = self.groups.get_mut(id) else { return ErrorCode::UnknownMemberId };
        let answer = group.classic.heartbeat(member_id, instance_id, generation, now);
        self.set_timer(id);
        answer
    }

    /// LeaveGroup: an answer for each of the members.
    pub(in crate::broker) fn leave(
        &mut self,
        id: &str,
        members: &[MemberIdentity],
        now: Now,
    ) -> (Vec<ErrorCode>, Effects) {
        let mut effects = Effects::default();
        let answers = match self.groups.get_mut(id) {
            None => vec![ErrorCode::UnknownMemberId; members.len()],
            Some(group) => members
                .iter()
                .map(|m| group.classic.leave(&m.member_id, m.group_instance_id.as_deref(), now, &mut effects))
                .collect(),
        };
        self.set_timer(id);
        (answers, effects)
    }

    // ---- Offsets

    /// OffsetCommit: an answer for each of the commits, in order.
    ///
    /// # Errors
    /// The code for the whole request: the sender is not who it should be.
    pub(in crate::broker) fn commit(
        &mut self,
        id: &str,
        committer: Committer<'_>,
        commits: Vec<Commit>,
        now: Now,
    ) -> Result<(Vec<ErrorCode>, Effects), ErrorCode> {
        let mut effects = Effects::default();
        match self.groups.get_mut(id) {
            // A consumer that assigns itself its partitions: the group is only a place for offsets.
            None if committer.generation < 0 => {
                self.group_or_new(id, now);
            }
            None => return Err(ErrorCode::GroupIdNotFound),
            Some(group) => {
                let Committer { member_id, instance_id, generation } = committer;
                group.classic.check_commit(member_id, instance_id, generation, now)?;
            }
        }
        let limit = self.config.offset_metadata_max_bytes;
        self.group_or_new(id, now);
        let Some(group) = self.groups.get_mut(id) else { return Err(ErrorCode::GroupIdNotFound) };
        let mut answers = Vec::with_capacity(commits.len());
        for Commit { topic, partition, committed } in commits {
            if committed.metadata.len() > limit {
                answers.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            effects.records.push(records::offset(id, &topic, partition, Some(&committed)));
            self.pending.supersede(id, &topic, partition, None);
            group.offsets.put(&topic, partition, committed);
            answers.push(ErrorCode::None);
        }
        let is_needed = !group.offsets.is_empty() || self.pending.concerns(id);
        if !is_needed && group.classic.is_unused() && group.classic.generation == 0 {
            self.forget(id);
        }
        self.set_timer(id);
        Ok((answers, effects))
    }

    /// The offset that a group has committed for a partition.
    pub(in crate::broker) fn offset(&self, id: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.groups.get(id)?.offsets.get(topic, partition)
    }

    /// All offsets that a group has committed.
    pub(in crate::broker) fn offsets(&self, id: &str) -> Vec<(String, i32, Committed)> {
        let Some(group) = self.groups.get(id) else { return Vec::new() };
        let mut all: Vec<_> = group.offsets.all().map(|(t, p, c)| (t.to_owned(), p, c.clone())).collect();
        all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        all
    }

    /// OffsetDelete: an answer for each partition.
    ///
    /// # Errors
    /// The code for the whole request.
    pub(in crate::broker) fn delete_offsets(
        &mut self,
        id: &str,
        partitions: &[(String, i32)],
    ) -> Result<(Vec<ErrorCode>, Effects), ErrorCode> {
        let mut effects = Effects::default();
        let group = self.groups.get_mut(id).ok_or(ErrorCode::GroupIdNotFound)?;
        let subscribed = match group.classic.state() {
            State::Empty => HashSet::new(),
            _ if group.classic.protocol_type == "consumer" => {
                subscription(&group.classic).ok_or(ErrorCode::NonEmptyGroup)?
            }
            _ => return Err(ErrorCode::NonEmptyGroup),
        };
        let answers = partitions
            .iter()
            .map(|(topic, partition)| {
                if subscribed.contains(topic) {
                    return ErrorCode::GroupSubscribedToTopic;
                }
                // Order: both, whatever the first finds.
                let pending = self.pending.remove(id, topic, *partition);
                if group.offsets.remove(topic, *partition) || pending {
                    effects.records.push(records::offset(id, topic, *partition, None));
                }
                ErrorCode::None
            })
            .collect();
        Ok((answers, effects))
    }

    /// Forgets the offsets of topics that were deleted.
    pub(in crate::broker) fn forget_topics(&mut self, topics: &[String]) -> Effects {
        let mut effects = Effects::default();
        for (id, group) in &mut self.groups {
            for topic in topics {
                let mut partitions = group.offsets.partitions_of(topic);
                let pending = self.pending.partitions_of(id).into_iter().filter(|(pending, _)| pending == topic);
                partitions.extend(pending.map(|(_, partition)| partition));
                partitions.sort_unstable();
                partitions.dedup();
                for partition in partitions {
                    group.offsets.remove(topic, partition);
                    self.pending.remove(id, topic, partition);
                    effects.records.push(records::offset(id, topic, partition, None));
                }
            }
        }
        effects
    }

    /// Forgets offsets that have expired, and groups that nothing is left of.
    pub(in crate::broker) fn expire(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        let retention = i64::try_from(self.config.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let mut unused = Vec::new();
        for (id, group) in &mut self.groups {
            let expired: Vec<(String, i32)> = group
                .offsets
                .all()
                .filter(|(topic, _, committed)| has_expired(&group.classic, topic, committed, now.wall_ms, retention))
                .filter(|(topic, partition, _)| !self.pending.is_pending(id, topic, *partition))
                .map(|(topic, partition, _)| (topic.to_owned(), partition))
                .collect();
            for (topic, partition) in expired {
                group.offsets.remove(&topic, partition);
                effects.records.push(records::offset(id, &topic, partition, None));
            }
            if group.offsets.is_empty() && group.classic.is_unused() && !self.pending.concerns(id) {
                effects.records.push(records::group_metadata(id, None));
                unused.push(id.clone());
            }
        }
        for id in unused {
            self.forget(&id);
        }
        effects
    }

    // ---- Administration

    /// DeleteGroups.
    pub(in crate::broker) fn delete(&mut self, id: &str) -> (ErrorCode, Effects) {
        let mut effects = Effects::default();
        let Some(group) = self.groups.get(id) else { return (ErrorCode::GroupIdNotFound, effects) };
        if !group.classic.is_unused() {
            return (ErrorCode::NonEmptyGroup, effects);
        }
        for (topic, partition, _) in group.offsets.all() {
            effects.records.push(records::offset(id, topic, partition, None));
        }
        for (topic, partition) in self.pending.partitions_of(id) {
            if group.offsets.get(&topic, partition).is_none() {
                effects.records.push(records::offset(id, &topic, partition, None));
            }
            self.pending.remove(id, &topic, partition);
        }
        effects.records.push(records::group_metadata(id, None));
        self.forget(id);
        (ErrorCode::None, effects)
    }

    /// All groups, for ListGroups.
    pub(in crate::broker) fn list(&self) -> impl Iterator<Item = Listed> {
        self.groups.values().map(|group| Listed {
            id: group.classic.id.clone(),
            protocol_type: group.classic.protocol_type.clone(),
            state: group.classic.state().name(),
        })
    }

    /// One group, for DescribeGroups.
    pub(in crate::broker) fn describe(&self, id: &str) -> Option<Described> {
        let group = &self.groups.get(id)?.classic;
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
}

impl Machine for Shard {
    type Reply = Reply;
    type Action = Infallible;

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
                self.group_or_new(&group, now).classic = ClassicGroup::from_record(&group, &value, now, delay, size);
                self.set_timer(&group);
            }
            Event::Group { group, metadata: None } => {
                // The tombstones of its offsets stand before this one. Offsets that were committed since would come after.
                let is_needed = self.pending.concerns(&group);
                if self.groups.get(&group).is_some_and(|g| g.offsets.is_empty() && !is_needed) {
                    self.forget(&group);
                } else if let Some(found) = self.groups.get_mut(&group) {
                    let (delay, size) = (self.config.initial_rebalance_delay, self.config.max_size);
                    found.classic = ClassicGroup::new(&group, now, delay, size);
                    self.set_timer(&group);
                }
            }
            Event::Other { .. } => {}
        }
        Ok(())
    }

    fn end_transaction(&mut self, producer: Producer, committed: bool, now: Now) {
        self.end_offsets_of(producer.id, committed, now);
    }

    fn loaded(&mut self, _now: Now) -> Effects {
        Effects::default()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Members that went silent, rebalances whose time is up.
    fn advance(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        let due: Vec<String> =
            self.timers.iter().take_while(|(at, _)| *at <= now.steady).map(|(_, id)| id.clone()).collect();
        for id in due {
            if let Some(group) = self.groups.get_mut(&id) {
                group.classic.advance(now, &mut effects);
            }
            self.set_timer(&id);
        }
        effects
    }

    fn resign(&mut self, error: ErrorCode) -> Vec<(Token, Reply)> {
        let mut replies = Vec::new();
        for member in self.groups.values().flat_map(|group| group.classic.members()) {
            if let Some(token) = member.joining {
                replies.push((token, Reply::Join(join_error(error, &member.id))));
            }
            if let Some(token) = member.syncing {
                replies.push((token, Reply::Sync(sync_error(error))));
            }
        }
        replies
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

/// Kafka's rules (KIP-211): offsets of a group that is in use do not expire, but for topics that it no longer reads.
fn has_expired(group: &ClassicGroup, topic: &str, committed: &Committed, now_ms: i64, retention_ms: i64) -> bool {
    if let Some(at) = committed.expires_ms {
        return group.state() == State::Empty && now_ms >= at;
    }
    let since = match group.state() {
        State::Empty if group.protocol_type.is_empty() => committed.committed_ms,
        State::Empty => group.state_since_ms,
        State::Stable if group.protocol_type == "consumer" => {
            if subscription(group).is_none_or(|topics| topics.contains(topic)) {
                return false;
            }
            committed.committed_ms
        }
        _ => return false,
    };
    now_ms.saturating_sub(since) >= retention_ms
}
