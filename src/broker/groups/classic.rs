//! One group under the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup): a pure state machine.
//!
//! ```text
//! Empty ── join ──> PreparingRebalance ── all joined, or time is up ──> CompletingRebalance ── leader syncs ──> Stable
//!   ^                  │        ^                                              │                                  │
//!   └── nobody left ───┘        └────────── a member comes, goes or changes ───┴──────────────────────────────────┘
//! ```
//!
//! Rules and error codes are Kafka's. Static members (KIP-345) keep their place for a whole session timeout when they
//! go away; dynamic members get their id before they join (KIP-394).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::commits::Committer;
use super::effects::{Effects, Reply};
use super::member::{Client, Member, OfferedProtocol};
use super::records;
use crate::broker::coordinator::{Now, Token};
use crate::protocol::ErrorCode;
use crate::protocol::messages::group_metadata_value::{GroupMetadataValue, MemberMetadata};
use crate::protocol::messages::join_group_response::JoinGroupResponseMember;
use crate::protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};
use crate::types::Uuid;

/// How long a new member's JoinGroup keeps it alive: its client may have gone away before it learned its id.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Where a group is in its cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    /// Kafka's name of it, as in DescribeGroups.
    pub(in crate::broker) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// What the rebalance under way waits for.
#[derive(Debug, Clone, Copy)]
enum Joining {
    /// The first members of an empty group: more are likely to come at once (`group.initial.rebalance.delay.ms`).
    Initial { until: Instant, more_until: Instant, someone_came: bool },
    /// All members that are known, until the slowest one's rebalance timeout.
    Members { until: Instant },
}

/// A JoinGroup request in the light of its version.
#[derive(Debug)]
pub(in crate::broker) struct Join<'a> {
    pub(in crate::broker) request: &'a JoinGroupRequest,
    pub(in crate::broker) client: &'a Client,
    /// From version 4 on a dynamic member must come back with the id that it is given (KIP-394).
    pub(in crate::broker) needs_member_id: bool,
    /// From version 9 on a static member that leads again may be told to keep the assignment.
    pub(in crate::broker) can_skip_assignment: bool,
    pub(in crate::broker) token: Token,
}

#[derive(Debug)]
pub(in crate::broker) struct ClassicGroup {
    pub(super) id: String,
    state: State,
    pub(super) generation: i32,
    /// `consumer`, `connect`, ...; empty in a group that only keeps offsets.
    pub(super) protocol_type: String,
    protocol: Option<String>,
    leader: Option<String>,
    /// By member id; the order is only for the sake of repeatable tests.
    members: BTreeMap<String, Member>,
    /// Member id of each static member, by instance id.
    static_members: HashMap<String, String>,
    /// Ids that were given out to members that have yet to join with them, and until when they may.
    pending: BTreeMap<String, Instant>,
    joining: Option<Joining>,
    /// Members that were told of the generation and have yet to sync, and until when they may.
    unsynced: HashSet<String>,
    sync_deadline: Option<Instant>,
    /// When the state was last changed, in milliseconds since 1970; offsets of an empty group expire from then.
    pub(super) state_since_ms: i64,
    initial_delay: Duration,
    max_size: usize,
}

impl ClassicGroup {
    pub(super) fn new(id: &str, now: Now, initial_delay: Duration, max_size: usize) -> Self {
        Self {
            id: id.to_owned(),
            state: State::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending: BTreeMap::new(),
            joining: None,
            unsynced: HashSet::new(),
            sync_deadline: None,
            state_since_ms: now.wall_ms,
            initial_delay,
            max_size,
        }
    }

    /// What a replayed GroupMetadata record says. Members count as just heard of: the time of their last sign of life is not in the log.
    pub(super) fn from_record(
        id: &str,
        value: &GroupMetadataValue,
        now: Now,
        initial_delay: Duration,
        max_size: usize,
    ) -> Self {
        let mut group = Self::new(id, now, initial_delay, max_size);
        group.generation = value.generation;
        group.protocol_type.clone_from(&value.protocol_type);
        group.protocol.clone_from(&value.protocol);
        group.leader = value.leader.clone().filter(|leader| !leader.is_empty());
        group.state = if value.members.is_empty() { State::Empty } else { State::Stable };
        group.state_since_ms =
            if value.current_state_timestamp >= 0 { value.current_state_timestamp } else { now.wall_ms };
        for member in &value.members {
            let session_timeout = millis(member.session_timeout);
            let rebalance_timeout =
                if member.rebalance_timeout < 0 { session_timeout } else { millis(member.rebalance_timeout) };
            if let Some(instance) = &member.group_instance_id {
                group.static_members.insert(instance.clone(), member.member_id.clone());
            }
            group.members.insert(
                member.member_id.clone(),
                Member {
                    id: member.member_id.clone(),
                    instance_id: member.group_instance_id.clone(),
                    client: Client { id: member.client_id.clone(), host: member.client_host.clone() },
                    rebalance_timeout,
                    session_timeout,
                    protocols: vec![OfferedProtocol {
                        name: value.protocol.clone().unwrap_or_default(),
                        metadata: member.subscription.clone(),
                    }],
                    assignment: member.assignment.clone(),
                    joining: None,
                    syncing: None,
                    expires: now.after(session_timeout),
                    is_new: false,
                },
            );
        }
        group
    }

    /// A stable group of these members, which are yet to be assigned: what a consumer group goes on as.
    pub(super) fn stable(
        id: &str,
        generation: i32,
        members: Vec<Member>,
        now: Now,
        initial_delay: Duration,
        max_size: usize,
    ) -> Self {
        let mut group = Self::new(id, now, initial_delay, max_size);
        group.generation = generation;
        group.protocol_type = "consumer".to_owned();
        group.leader = members.first().map(|member| member.id.clone());
        group.state = State::Stable;
        for member in members {
            if let Some(instance) = &member.instance_id {
                group.static_members.insert(instance.clone(), member.id.clone());
            }
            group.members.insert(member.id.clone(), member);
        }
        group.protocol = group.select_protocol();
        group
    }

    /// Assigns each member, by its id and its metadata.
    pub(super) fn assign(&mut self, mut assignment: impl FnMut(&str, &Bytes) -> Bytes) {
        let protocol = self.protocol.clone().unwrap_or_default();
        for member in self.members.values_mut() {
            member.assignment = assignment(&member.id, &member.metadata(&protocol));
        }
    }

    /// Answers all requests that wait: the group is given up.
    pub(super) fn abandon(&mut self, error: ErrorCode, effects: &mut Effects) {
        for member in self.members.values_mut() {
            if let Some(token) = member.joining.take() {
                effects.reply(token, Reply::Join(join_error(error, &member.id)));
            }
            if let Some(token) = member.syncing.take() {
                effects.reply(token, Reply::Sync(sync_error(error)));
            }
        }
    }

    /// Has all members join again.
    pub(super) fn start_rebalance(&mut self, now: Now, effects: &mut Effects) {
        self.prepare_rebalance(now, effects);
        self.complete_join_if_all_are_there(now, effects);
    }

    /// Whether it has no members, though some may be about to join.
    pub(super) fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// The record that says what the group is now.
    pub(super) fn to_record(&self) -> GroupMetadataValue {
        let protocol = self.protocol.as_deref();
        GroupMetadataValue {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_since_ms,
            members: self
                .members
                .values()
                .map(|member| MemberMetadata {
                    member_id: member.id.clone(),
                    group_instance_id: member.instance_id.clone(),
                    client_id: member.client.id.clone(),
                    client_host: member.client.host.clone(),
                    rebalance_timeout: to_millis(member.rebalance_timeout),
                    session_timeout: to_millis(member.session_timeout),
                    subscription: protocol.map(|p| member.metadata(p)).unwrap_or_default(),
                    assignment: member.assignment.clone(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }

    pub(in crate::broker) fn state(&self) -> State {
        self.state
    }

    pub(in crate::broker) fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Whether nobody is in the group or about to be.
    pub(super) fn is_unused(&self) -> bool {
        self.state == State::Empty && self.members.is_empty() && self.pending.is_empty()
    }

    /// When something falls due if nothing is heard before.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let sessions = self.members.values().filter(|m| !m.is_waiting() || m.is_new).map(|m| m.expires);
        let joining = self.joining.map(|joining| match joining {
            Joining::Initial { until, .. } | Joining::Members { until } => until,
        });
        sessions.chain(self.pending.values().copied()).chain(joining).chain(self.sync_deadline).min()
    }

    // ---- JoinGroup

    /// A member joins, joins again, or changes what it offers. The answer may come at once, as an error, or when the rebalance ends.
    pub(super) fn join(&mut self, join: &Join<'_>, now: Now, effects: &mut Effects) {
        if let Err((error, member_id)) = self.try_join(join, now, effects) {
            effects.reply(join.token, Reply::Join(join_error(error, &member_id)));
        }
    }

    fn try_join(&mut self, join: &Join<'_>, now: Now, effects: &mut Effects) -> Result<(), (ErrorCode, String)> {
        let request = join.request;
        let member_id = request.member_id.as_str();
        let refuse = |error: ErrorCode| Err((error, member_id.to_owned()));
        if !self.accepts(member_id) {
            // Who is over the limit is out, also if it was in before the limit was lowered.
            self.pending.remove(member_id);
            self.forget_member(member_id);
            self.complete_join_if_all_are_there(now, effects);
            return refuse(ErrorCode::GroupMaxSizeReached);
        }
        if !self.supports(request) {
            return refuse(ErrorCode::InconsistentGroupProtocol);
        }
        if member_id.is_empty() {
            return self.join_unknown(join, now, effects);
        }
        if self.pending.contains_key(member_id) {
            if request.group_instance_id.is_some() {
                // A static member never gets an id that it must come back with.
                return refuse(ErrorCode::UnknownMemberId);
            }
            self.pending.remove(member_id);
            self.add_member(member_id.to_owned(), join, now, effects);
            return Ok(());
        }
        if let Some(error) = self.identity_error(member_id, request.group_instance_id.as_deref()) {
            return refuse(error);
        }
        let Some(member) = self.members.get(member_id) else { return refuse(ErrorCode::UnknownMemberId) };
        let unchanged = offers(request).eq(member.protocols.iter().cloned());
        let is_leader = self.leader.as_deref() == Some(member_id);
        match self.state {
            State::Empty => return refuse(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => self.update_member(member_id, join, now),
            // The answer to its join was lost: it is told again.
            State::CompletingRebalance if unchanged => {
                let answer = self.join_answer(member_id);
                self.touch(member_id, now);
                effects.reply(join.token, Reply::Join(answer));
                return Ok(());
            }
            // A follower that joins again with nothing new keeps what it has. A leader does so to say that the
            // subscribed topics changed.
            State::Stable if unchanged && !is_leader => {
                let answer = self.join_answer(member_id);
                self.touch(member_id, now);
                effects.reply(join.token, Reply::Join(answer));
                return Ok(());
            }
            State::CompletingRebalance | State::Stable => {
                self.update_member(member_id, join, now);
                self.prepare_rebalance(now, effects);
            }
        }
        self.complete_join_if_all_are_there(now, effects);
        Ok(())
    }

    /// A member without an id: a new one, or a static one that was restarted.
    fn join_unknown(&mut self, join: &Join<'_>, now: Now, effects: &mut Effects) -> Result<(), (ErrorCode, String)> {
        let request = join.request;
        let uuid = uuid_text();
        if let Some(instance) = &request.group_instance_id {
            let new_id = format!("{instance}-{uuid}");
            if let Some(old_id) = self.static_members.get(instance).cloned() {
                self.replace_static_member(&old_id, new_id, join, now, effects);
            } else {
                self.add_member(new_id, join, now, effects);
            }
            return Ok(());
        }
        let new_id = format!("{}-{uuid}", join.client.id);
        if join.needs_member_id {
            self.pending.insert(new_id.clone(), now.after(millis(request.session_timeout_ms)));
            return Err((ErrorCode::MemberIdRequired, new_id));
        }
        self.add_member(new_id, join, now, effects);
        Ok(())
    }

    fn add_member(&mut self, id: String, join: &Join<'_>, now: Now, effects: &mut Effects) {
        let request = join.request;
        if self.members.is_empty() {
            self.protocol_type.clone_from(&request.protocol_type);
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        if let Some(instance) = &request.group_instance_id {
            self.static_members.insert(instance.clone(), id.clone());
        }
        self.members.insert(
            id.clone(),
            Member {
                id: id.clone(),
                instance_id: request.group_instance_id.clone(),
                client: join.client.clone(),
                rebalance_timeout: rebalance_timeout(request),
                session_timeout: millis(request.session_timeout_ms),
                protocols: offers(request).collect(),
                assignment: Bytes::new(),
                joining: Some(join.token),
                syncing: None,
                expires: now.after(NEW_MEMBER_JOIN_TIMEOUT),
                is_new: true,
            },
        );
        if let Some(Joining::Initial { someone_came, .. }) = &mut self.joining {
            *someone_came = true;
        }
        if self.state != State::PreparingRebalance {
            self.prepare_rebalance(now, effects);
        }
        self.complete_join_if_all_are_there(now, effects);
    }

    fn update_member(&mut self, id: &str, join: &Join<'_>, now: Now) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.rebalance_timeout = rebalance_timeout(join.request);
        member.session_timeout = millis(join.request.session_timeout_ms);
        member.protocols = offers(join.request).collect();
        // An earlier join of the same member is answered by nobody: its client has given it up.
        member.joining = Some(join.token);
        member.expires = now.after(member.session_timeout);
    }

    /// A static member came back without its id: it takes its old place under a new id, and the old id is fenced.
    fn replace_static_member(
        &mut self,
        old_id: &str,
        new_id: String,
        join: &Join<'_>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        if let Some(token) = member.joining.take() {
            effects.reply(token, Reply::Join(join_error(ErrorCode::FencedInstanceId, old_id)));
        }
        if let Some(token) = member.syncing.take() {
            effects.reply(token, Reply::Sync(sync_error(ErrorCode::FencedInstanceId)));
        }
        let old_leader = self.leader.clone();
        let is_leader = old_leader.as_deref() == Some(old_id);
        if is_leader {
            self.leader = Some(new_id.clone());
        }
        if self.unsynced.remove(old_id) {
            self.unsynced.insert(new_id.clone());
        }
        let request = join.request;
        if let Some(instance) = &request.group_instance_id {
            self.static_members.insert(instance.clone(), new_id.clone());
        }
        member.id.clone_from(&new_id);
        member.client = join.client.clone();
        member.rebalance_timeout = rebalance_timeout(request);
        member.session_timeout = millis(request.session_timeout_ms);
        member.protocols = offers(request).collect();
        member.joining = Some(join.token);
        member.expires = now.after(member.session_timeout);
        self.members.insert(new_id.clone(), member);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                // What the group does stays the same, so nobody needs to stop for it. The new id must be remembered.
                effects.records.push(records::group_metadata(&self.id, Some(&self.to_record())));
                let mut answer = self.join_answer(&new_id);
                if is_leader && join.can_skip_assignment {
                    answer.skip_assignment = true;
                } else if is_leader {
                    // An older client would compute an assignment if it were told that it leads.
                    answer.leader = old_id.to_owned();
                    answer.members.clear();
                }
                if let Some(member) = self.members.get_mut(&new_id) {
                    member.joining = None;
                }
                effects.reply(join.token, Reply::Join(answer));
            }
            State::PreparingRebalance => self.complete_join_if_all_are_there(now, effects),
            State::Stable | State::CompletingRebalance | State::Empty => {
                self.prepare_rebalance(now, effects);
                self.complete_join_if_all_are_there(now, effects);
            }
        }
    }

    /// Whether a member may join as far as the group's size goes. Who is in already may stay.
    fn accepts(&self, member_id: &str) -> bool {
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                let waiting = self.members.values().filter(|m| m.joining.is_some()).count();
                self.members.get(member_id).is_some_and(|m| m.joining.is_some()) || waiting < self.max_size
            }
            State::CompletingRebalance | State::Stable => {
                self.members.contains_key(member_id) || self.members.len() < self.max_size
            }
        }
    }

    /// Whether a member with these protocols could live with those that are there.
    fn supports(&self, request: &JoinGroupRequest) -> bool {
        if self.members.is_empty() {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        let mut others = self.members.values().filter(|m| m.id != request.member_id).peekable();
        let common = self.common_protocols(&mut others);
        self.protocol_type == request.protocol_type
            && (common.is_none_or(|common| request.protocols.iter().any(|p| common.contains(&p.name.as_str()))))
            && !request.protocols.is_empty()
    }

    /// The protocols that all of the members offer; `None` if there is no member to ask.
    fn common_protocols<'a>(&self, members: &mut dyn Iterator<Item = &'a Member>) -> Option<Vec<&'a str>> {
        let first = members.next()?;
        let mut common: Vec<&str> = first.protocols.iter().map(|p| p.name.as_str()).collect();
        for member in members {
            common.retain(|name| member.protocols.iter().any(|p| p.name == *name));
        }
        Some(common)
    }

    /// The protocol that most members prefer of those that all offer.
    fn select_protocol(&self) -> Option<String> {
        let candidates = self.common_protocols(&mut self.members.values())?;
        let mut votes: HashMap<&str, usize> = HashMap::new();
        for member in self.members.values() {
            if let Some(vote) = member.vote(&candidates) {
                *votes.entry(vote).or_default() += 1;
            }
        }
        // Among equals the first candidate, so that a replay decides alike.
        let most = votes.values().max()?;
        candidates.iter().find(|name| votes.get(*name) == Some(most)).map(|name| (*name).to_owned())
    }

    fn prepare_rebalance(&mut self, now: Now, effects: &mut Effects) {
        if self.state == State::CompletingRebalance {
            self.drop_assignments(ErrorCode::RebalanceInProgress, effects);
        }
        self.unsynced.clear();
        self.sync_deadline = None;
        let timeout = self.rebalance_timeout();
        self.joining = Some(if self.state == State::Empty {
            let delay = self.initial_delay.min(timeout.max(self.initial_delay));
            let more = timeout.saturating_sub(delay);
            Joining::Initial { until: now.after(delay), more_until: now.after(delay + more), someone_came: false }
        } else {
            Joining::Members { until: now.after(timeout) }
        });
        self.set_state(State::PreparingRebalance, now);
    }

    /// The longest time that a member asks others to wait for it.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|m| m.rebalance_timeout).max().unwrap_or_default()
    }

    fn complete_join_if_all_are_there(&mut self, now: Now, effects: &mut Effects) {
        let all = self.pending.is_empty() && self.members.values().all(|m| m.joining.is_some());
        if all && matches!(self.joining, Some(Joining::Members { .. })) && self.state == State::PreparingRebalance {
            self.complete_join(now, effects);
        }
    }

    /// Ends the phase of joining: who did not come back is out, the others learn of the new generation.
    fn complete_join(&mut self, now: Now, effects: &mut Effects) {
        let gone: Vec<String> = self
            .members
            .values()
            .filter(|m| m.joining.is_none() && m.instance_id.is_none())
            .map(|m| m.id.clone())
            .collect();
        for id in gone {
            self.forget_member(&id);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Static members only, none of which came back yet: their session timeouts decide.
            self.joining = Some(Joining::Members { until: now.after(self.rebalance_timeout()) });
            return;
        }
        self.joining = None;
        self.generation = self.generation.wrapping_add(1).max(0);
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.set_state(State::Empty, now);
            effects.records.push(records::group_metadata(&self.id, Some(&self.to_record())));
            return;
        }
        self.protocol = self.select_protocol();
        self.set_state(State::CompletingRebalance, now);
        self.unsynced = self.members.keys().cloned().collect();
        self.sync_deadline = Some(now.after(self.rebalance_timeout()));
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.join_answer(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.is_new = false;
            member.expires = now.after(member.session_timeout);
            if let Some(token) = member.joining.take() {
                effects.reply(token, Reply::Join(answer));
            }
        }
    }

    /// Makes sure that the leader is one that joined; whether there is one.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |member: &Member| member.joining.is_some();
        if self.leader.as_ref().and_then(|id| self.members.get(id)).is_some_and(joined) {
            return true;
        }
        match self.members.values().find(|m| joined(m)).map(|m| m.id.clone()) {
            Some(id) => {
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    /// What a member is told of the present generation.
    fn join_answer(&self, member_id: &str) -> JoinGroupResponse {
        let protocol = self.protocol.clone().unwrap_or_default();
        let is_leader = self.leader.as_deref() == Some(member_id);
        let members = if is_leader { self.members.values().collect() } else { Vec::new() };
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: Some(self.protocol_type.clone()),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.to_owned(),
            members: members
                .into_iter()
                .map(|member| JoinGroupResponseMember {
                    member_id: member.id.clone(),
                    group_instance_id: member.instance_id.clone(),
                    metadata: member.metadata(&protocol),
                    ..Default::default()
                })
                .collect(),
            protocol_name: Some(protocol),
            ..Default::default()
        }
    }

    // ---- SyncGroup

    /// A member asks for its assignment; the leader brings everybody's.
    pub(super) fn sync(&mut self, request: &SyncGroupRequest, token: Token, now: Now, effects: &mut Effects) {
        let member_id = request.member_id.as_str();
        let error = self
            .identity_error(member_id, request.group_instance_id.as_deref())
            .or_else(|| (request.generation_id != self.generation).then_some(ErrorCode::IllegalGeneration))
            .or_else(|| {
                let other = |said: &Option<String>, ours: Option<&str>| said.is_some() && said.as_deref() != ours;
                (other(&request.protocol_type, Some(&self.protocol_type))
                    || other(&request.protocol_name, self.protocol.as_deref()))
                .then_some(ErrorCode::InconsistentGroupProtocol)
            })
            .or(match self.state {
                State::Empty => Some(ErrorCode::UnknownMemberId),
                State::PreparingRebalance => Some(ErrorCode::RebalanceInProgress),
                State::CompletingRebalance | State::Stable => None,
            });
        if let Some(error) = error {
            effects.reply(token, Reply::Sync(sync_error(error)));
            return;
        }
        self.touch(member_id, now);
        self.unsynced.remove(member_id);
        if self.state == State::Stable {
            let answer = self.sync_answer(member_id);
            effects.reply(token, Reply::Sync(answer));
            return;
        }
        if let Some(member) = self.members.get_mut(member_id) {
            member.syncing = Some(token);
        }
        if self.leader.as_deref() == Some(member_id) {
            for member in self.members.values_mut() {
                let given = request.assignments.iter().find(|a| a.member_id == member.id);
                member.assignment = given.map(|a| a.assignment.clone()).unwrap_or_default();
            }
            self.set_state(State::Stable, now);
            effects.records.push(records::group_metadata(&self.id, Some(&self.to_record())));
            let ids: Vec<String> = self.members.keys().cloned().collect();
            for id in ids {
                let answer = self.sync_answer(&id);
                let Some(member) = self.members.get_mut(&id) else { continue };
                if let Some(token) = member.syncing.take() {
                    member.expires = now.after(member.session_timeout);
                    effects.reply(token, Reply::Sync(answer));
                }
            }
        }
    }

    fn sync_answer(&self, member_id: &str) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: Some(self.protocol_type.clone()),
            protocol_name: self.protocol.clone(),
            assignment: self.members.get(member_id).map(|m| m.assignment.clone()).unwrap_or_default(),
            ..Default::default()
        }
    }

    fn drop_assignments(&mut self, error: ErrorCode, effects: &mut Effects) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(token) = member.syncing.take() {
                effects.reply(token, Reply::Sync(sync_error(error)));
            }
        }
    }

    // ---- Heartbeat, LeaveGroup, time

    /// A member says that it is there; it learns from the answer whether it must join again.
    pub(super) fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Now,
    ) -> ErrorCode {
        if let Some(error) = self.identity_error(member_id, instance_id) {
            return error;
        }
        if generation != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        match self.state {
            State::Empty => ErrorCode::UnknownMemberId,
            State::PreparingRebalance => {
                self.touch(member_id, now);
                ErrorCode::RebalanceInProgress
            }
            State::CompletingRebalance | State::Stable => {
                self.touch(member_id, now);
                ErrorCode::None
            }
        }
    }

    /// A member leaves: by its id, or for a static one by its instance id alone.
    pub(super) fn leave(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> ErrorCode {
        if self.pending.remove(member_id).is_some() {
            self.complete_join_if_all_are_there(now, effects);
            return ErrorCode::None;
        }
        let id = match instance_id {
            Some(instance) => match self.static_members.get(instance) {
                None => return ErrorCode::UnknownMemberId,
                Some(id) if !member_id.is_empty() && id != member_id => return ErrorCode::FencedInstanceId,
                Some(id) => id.clone(),
            },
            None => member_id.to_owned(),
        };
        if !self.members.contains_key(&id) {
            return ErrorCode::UnknownMemberId;
        }
        self.remove_member(&id, now, effects);
        ErrorCode::None
    }

    /// Does what has fallen due.
    pub(super) fn advance(&mut self, now: Now, effects: &mut Effects) {
        let due = |at: Instant| at <= now.steady;
        let given_up = self.pending.len();
        self.pending.retain(|_, until| !due(*until));
        if self.pending.len() != given_up {
            self.complete_join_if_all_are_there(now, effects);
        }
        // A new member is dropped even while its join waits: its client may not know that it is a member.
        let silent: Vec<String> = self
            .members
            .values()
            .filter(|m| due(m.expires) && (!m.is_waiting() || m.is_new))
            .map(|m| m.id.clone())
            .collect();
        for id in silent {
            self.remove_member(&id, now, effects);
        }
        if self.sync_deadline.is_some_and(due) {
            self.sync_deadline = None;
            let late: Vec<String> = self.unsynced.drain().collect();
            if matches!(self.state, State::CompletingRebalance | State::Stable) && !late.is_empty() {
                for id in &late {
                    self.forget_member(id);
                }
                self.prepare_rebalance(now, effects);
                self.complete_join_if_all_are_there(now, effects);
            }
        }
        match self.joining {
            Some(Joining::Initial { until, more_until, someone_came }) if due(until) => {
                if someone_came && until < more_until {
                    let next = now.after(self.initial_delay).min(more_until);
                    self.joining = Some(Joining::Initial { until: next, more_until, someone_came: false });
                } else {
                    self.complete_join(now, effects);
                }
            }
            Some(Joining::Members { until }) if due(until) => self.complete_join(now, effects),
            _ => {}
        }
    }

    /// Checks what an OffsetCommit says of its sender.
    pub(super) fn check_commit(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Now,
    ) -> Result<(), ErrorCode> {
        // A consumer that assigns itself has no membership to check; it must not disturb a group that has members.
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        if let Some(error) = self.identity_error(member_id, instance_id) {
            return Err(error);
        }
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.touch(member_id, now);
        Ok(())
    }

    /// Whether offsets may be committed in a transaction by this sender (KIP-447). Older clients don't say who they are; the
    /// group's state does not matter, since the transaction may be ended in the middle of a rebalance.
    pub(super) fn check_commit_in_transaction(&mut self, who: Committer<'_>, now: Now) -> Result<(), ErrorCode> {
        let Committer { member_id, instance_id, generation, .. } = who;
        let is_anonymous = generation < 0 && member_id.is_empty() && instance_id.is_none();
        if generation < 0 && self.state == State::Empty || is_anonymous {
            return Ok(());
        }
        if let Some(error) = self.identity_error(member_id, instance_id) {
            return Err(error);
        }
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.touch(member_id, now);
        Ok(())
    }

    /// What is wrong with who a request says it comes from.
    fn identity_error(&self, member_id: &str, instance_id: Option<&str>) -> Option<ErrorCode> {
        if let Some(instance) = instance_id {
            return match self.static_members.get(instance) {
                None => Some(ErrorCode::UnknownMemberId),
                Some(id) if id != member_id => Some(ErrorCode::FencedInstanceId),
                Some(_) => None,
            };
        }
        (!self.members.contains_key(member_id)).then_some(ErrorCode::UnknownMemberId)
    }

    fn touch(&mut self, member_id: &str, now: Now) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.expires = now.after(member.session_timeout);
        }
    }

    fn remove_member(&mut self, id: &str, now: Now, effects: &mut Effects) {
        if let Some(member) = self.members.get(id) {
            // Its requests will not be answered any other way.
            if let Some(token) = member.joining {
                effects.reply(token, Reply::Join(join_error(ErrorCode::UnknownMemberId, id)));
            }
            if let Some(token) = member.syncing {
                effects.reply(token, Reply::Sync(sync_error(ErrorCode::UnknownMemberId)));
            }
        }
        self.forget_member(id);
        match self.state {
            State::Stable | State::CompletingRebalance => {
                self.prepare_rebalance(now, effects);
                self.complete_join_if_all_are_there(now, effects);
            }
            State::PreparingRebalance => self.complete_join_if_all_are_there(now, effects),
            State::Empty => {}
        }
    }

    fn forget_member(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = &member.instance_id {
            self.static_members.remove(instance);
        }
        self.unsynced.remove(id);
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    fn set_state(&mut self, state: State, now: Now) {
        self.state = state;
        self.state_since_ms = now.wall_ms;
    }
}

fn offers(request: &JoinGroupRequest) -> impl Iterator<Item = OfferedProtocol> {
    request.protocols.iter().map(|p| OfferedProtocol { name: p.name.clone(), metadata: p.metadata.clone() })
}

/// Version 0 has no rebalance timeout: the session timeout stands for it.
fn rebalance_timeout(request: &JoinGroupRequest) -> Duration {
    let given =
        if request.rebalance_timeout_ms < 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms };
    millis(given)
}

fn millis(value: i32) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or_default())
}

fn to_millis(value: Duration) -> i32 {
    i32::try_from(value.as_millis()).unwrap_or(i32::MAX)
}

pub(super) fn join_error(error: ErrorCode, member_id: &str) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: error.code(),
        member_id: member_id.to_owned(),
        protocol_name: Some(String::new()),
        ..Default::default()
    }
}

pub(super) fn sync_error(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: error.code(), ..Default::default() }
}

/// A random id in the usual text form, as Kafka puts behind a client's id.
fn uuid_text() -> String {
    let hex: String = Uuid::random().0.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
