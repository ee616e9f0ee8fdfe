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
//!
//! Here is what a group is, and its record; `join.rs`, `sync.rs` and `commit.rs` have what requests do to it, `rebalance.rs` how a generation
//! comes about.

mod commit;
mod join;
mod rebalance;
mod sync;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;

pub(in crate::broker) use self::join::Join;
use super::effects::{Effects, Reply};
use super::member::{Client, Member, OfferedProtocol};
use super::records;
use crate::broker::coordinator::{Now, Record};
use crate::protocol::ErrorCode;
use crate::protocol::messages::group_metadata_value::{GroupMetadataValue, MemberMetadata};
use crate::protocol::messages::{JoinGroupResponse, SyncGroupResponse};

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

    /// The same, in the log's form.
    fn record(&self) -> Record {
        records::group_metadata(&self.id, Some(&self.to_record()))
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

    fn set_state(&mut self, state: State, now: Now) {
        self.state = state;
        self.state_since_ms = now.wall_ms;
    }
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
