//! The group state machines without a log, a network or a clock: time is moved by the tests.

mod errors;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::classic::State;
use super::commits::{Commit, Committer};
use super::effects::{Effects, Reply};
use super::group::Kind;
use super::member::Client;
use super::offsets::Committed;
use super::shard::{GroupConfig, Shard};
use crate::broker::coordinator::{Machine as _, Now, Record, Token};
use crate::protocol::ErrorCode;
use crate::protocol::messages::group_metadata_value::GroupMetadataValue;
use crate::protocol::messages::join_group_request::JoinGroupRequestProtocol;
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use crate::protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};
use crate::types::Uuid;

const GROUP: &str = "g";
const SESSION: i32 = 10_000;
const REBALANCE: i32 = 60_000;

fn config() -> GroupConfig {
    GroupConfig {
        min_session_timeout: Duration::from_secs(6),
        max_session_timeout: Duration::from_secs(1800),
        initial_rebalance_delay: Duration::from_secs(3),
        max_size: 4,
        offset_metadata_max_bytes: 4096,
        offsets_retention: Duration::from_secs(7 * 24 * 3600),
        max_record_bytes: 1 << 20,
    }
}

/// A shard with a clock of its own and the log of what it wrote.
struct World {
    shard: Shard,
    start: Instant,
    elapsed: Duration,
    log: Vec<Record>,
    replies: HashMap<Token, Reply>,
    next_token: u64,
}

impl World {
    fn new() -> Self {
        Self {
            shard: Shard::new(config()),
            start: Instant::now(),
            elapsed: Duration::ZERO,
            log: Vec::new(),
            replies: HashMap::new(),
            next_token: 0,
        }
    }

    fn now(&self) -> Now {
        Now { wall_ms: 1_700_000_000_000 + self.elapsed.as_millis() as i64, steady: self.start + self.elapsed }
    }

    fn take(&mut self, effects: Effects) {
        self.log.extend(effects.records);
        for (token, reply) in effects.replies {
            assert!(self.replies.insert(token, reply).is_none(), "{token:?} was answered twice");
        }
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// Lets time pass, with everything that falls due on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.elapsed + time;
        while let Some(at) = self.shard.next_deadline().map(|at| at.saturating_duration_since(self.start)) {
            if at > end {
                break;
            }
            self.elapsed = self.elapsed.max(at);
            let effects = self.shard.advance(self.now());
            self.take(effects);
        }
        self.elapsed = end;
    }

    fn join_with(&mut self, request: JoinGroupRequest, version: i16) -> Token {
        let token = self.token();
        let client = Client { id: "c".into(), host: "/127.0.0.1".into() };
        let effects = self.shard.join(&request, version, &client, token, self.now());
        self.take(effects);
        token
    }

    fn join(&mut self, member: &str) -> Token {
        self.join_with(joining(member), 9)
    }

    fn joined(&mut self, token: Token) -> Option<JoinGroupResponse> {
        match self.replies.remove(&token)? {
            Reply::Join(answer) => Some(answer),
            Reply::Sync(_) => panic!("a sync's answer"),
        }
    }

    /// A new dynamic member gets its id first and joins with it.
    fn join_new(&mut self) -> (String, Token) {
        let token = self.join("");
        let answer = self.joined(token).unwrap();
        assert_eq!(answer.error_code, ErrorCode::MemberIdRequired.code());
        let token = self.join(&answer.member_id);
        (answer.member_id, token)
    }

    fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &str)]) -> Token {
        let token = self.token();
        let request = SyncGroupRequest {
            group_id: GROUP.into(),
            member_id: member.into(),
            generation_id: generation,
            assignments: assignments
                .iter()
                .map(|(member, assignment)| SyncGroupRequestAssignment {
                    member_id: (*member).to_owned(),
                    assignment: Bytes::copy_from_slice(assignment.as_bytes()),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let effects = self.shard.sync(&request, token, self.now());
        self.take(effects);
        token
    }

    fn synced(&mut self, token: Token) -> Option<SyncGroupResponse> {
        match self.replies.remove(&token)? {
            Reply::Sync(answer) => Some(answer),
            Reply::Join(_) => panic!("a join's answer"),
        }
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        self.shard.heartbeat(GROUP, member, None, generation, self.now())
    }

    fn leave(&mut self, member: &str) -> ErrorCode {
        let members = [MemberIdentity { member_id: member.into(), ..Default::default() }];
        let (answers, effects) = self.shard.leave(GROUP, &members, self.now());
        self.take(effects);
        answers[0]
    }

    fn commit(&mut self, member: &str, generation: i32, offset: i64) -> Result<ErrorCode, ErrorCode> {
        let committed = Committed {
            offset,
            leader_epoch: 0,
            metadata: String::new(),
            committed_ms: self.now().wall_ms,
            expires_ms: None,
            topic_id: Uuid::ZERO,
        };
        let commits = vec![Commit { topic: "t".into(), partition: 0, committed }];
        let committer = Committer { member_id: member, instance_id: None, generation, version: 8 };
        let (answers, effects) = self.shard.commit(GROUP, committer, commits, self.now())?;
        self.take(effects);
        Ok(answers[0])
    }

    fn state(&self) -> &'static str {
        self.shard.describe(GROUP).map_or("none", |group| group.state)
    }

    /// What a new coordinator would know.
    fn replayed(&self) -> Shard {
        let mut shard = Shard::new(config());
        for record in &self.log {
            shard.replay(record, None, self.now()).unwrap();
        }
        shard
    }

    /// What is known is what a replay gives, record for record: a group between rebalances, since one that is under way is not
    /// remembered, and all offsets.
    #[track_caller]
    fn check_replay(&self, context: &str) {
        let replayed = self.replayed();
        assert_eq!(replayed.offsets(GROUP), self.shard.offsets(GROUP), "{context}");
        if ["Stable", "Empty"].contains(&self.state()) {
            assert_eq!(record_of(&replayed), record_of(&self.shard), "{context}");
        }
    }

    /// A stable group of two members; the first one leads.
    fn stable_pair(&mut self) -> (String, String) {
        let (a, ta) = self.join_new();
        let (b, tb) = self.join_new();
        self.pass(Duration::from_secs(7));
        let (ja, jb) = (self.joined(ta).unwrap(), self.joined(tb).unwrap());
        assert_eq!((ja.leader.as_str(), jb.leader.as_str()), (a.as_str(), a.as_str()));
        assert_eq!((ja.members.len(), jb.members.len()), (2, 0));
        let tb = self.sync(&b, ja.generation_id, &[]);
        assert!(self.synced(tb).is_none(), "the follower waits for the leader");
        let ta = self.sync(&a, ja.generation_id, &[(&a, "x"), (&b, "y")]);
        assert_eq!(self.synced(ta).unwrap().assignment, "x");
        assert_eq!(self.synced(tb).unwrap().assignment, "y");
        assert_eq!(self.state(), State::Stable.name());
        (a, b)
    }
}

/// The record that says what a shard knows of the group.
fn record_of(shard: &Shard) -> Option<GroupMetadataValue> {
    match &shard.groups.get(GROUP)?.kind {
        Kind::Classic(group) => {
            let mut record = group.to_record();
            if record.protocol_type.is_empty() {
                // Only a place for offsets, which expire by their own time.
                record.current_state_timestamp = 0;
            }
            Some(record)
        }
        _ => None,
    }
}

fn joining(member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: SESSION,
        rebalance_timeout_ms: REBALANCE,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range", ""), protocol("roundrobin", "")],
        ..Default::default()
    }
}

fn protocol(name: &str, metadata: &str) -> JoinGroupRequestProtocol {
    JoinGroupRequestProtocol {
        name: name.into(),
        metadata: Bytes::copy_from_slice(metadata.as_bytes()),
        ..Default::default()
    }
}

fn static_joining(instance: &str, member: &str) -> JoinGroupRequest {
    JoinGroupRequest { group_instance_id: Some(instance.into()), ..joining(member) }
}

#[test]
fn the_first_members_are_waited_for() {
    let mut world = World::new();
    let (_, first) = world.join_new();
    world.pass(Duration::from_millis(2999));
    assert!(world.joined(first).is_none(), "group.initial.rebalance.delay.ms is not over");
    let (_, second) = world.join_new();
    world.pass(Duration::from_millis(2000));
    assert!(world.joined(first).is_none(), "someone came, so it is waited once more");
    world.pass(Duration::from_millis(1001));
    assert_eq!(world.joined(first).unwrap().generation_id, 1);
    assert_eq!(world.joined(second).unwrap().generation_id, 1);
}

#[test]
fn a_pair_becomes_stable_and_a_third_member_rebalances_it() {
    let mut world = World::new();
    let (a, b) = world.stable_pair();
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::None);
    let (c, tc) = world.join_new();
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::RebalanceInProgress);
    let ta = world.join(&a);
    assert!(world.joined(tc).is_none(), "b is not back yet");
    let tb = world.join(&b);
    let answers: Vec<_> = [ta, tb, tc].into_iter().map(|t| world.joined(t).unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.generation_id == 2 && answer.leader == a));
    assert_eq!(world.heartbeat(&c, 1), ErrorCode::IllegalGeneration);
    assert_eq!(world.heartbeat(&c, 2), ErrorCode::None);
    assert_eq!(world.heartbeat("stranger", 2), ErrorCode::UnknownMemberId);
}

#[test]
fn who_does_not_come_back_in_time_is_out() {
    let mut world = World::new();
    let (a, b) = world.stable_pair();
    let (_, tc) = world.join_new();
    let ta = world.join(&a);
    for _ in 0..7 {
        world.pass(Duration::from_secs(9));
        world.heartbeat(&b, 1);
    }
    assert_eq!(world.joined(ta).unwrap().members.len(), 2, "the rebalance timeout is over");
    assert_eq!(world.joined(tc).unwrap().generation_id, 2);
    assert_eq!(world.heartbeat(&b, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn a_silent_member_loses_its_place() {
    let mut world = World::new();
    let (a, b) = world.stable_pair();
    world.pass(Duration::from_secs(9));
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::None);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.heartbeat(&b, 1), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::RebalanceInProgress);
    let ta = world.join(&a);
    assert_eq!(world.joined(ta).unwrap().members.len(), 1);
}

#[test]
fn a_member_that_never_syncs_is_out() {
    let mut world = World::new();
    let (a, ta) = world.join_new();
    let (b, tb) = world.join_new();
    world.pass(Duration::from_secs(7));
    world.joined(ta);
    world.joined(tb);
    let ta = world.sync(&a, 1, &[(&a, "x")]);
    assert!(world.synced(ta).is_some());
    for _ in 0..8 {
        world.pass(Duration::from_secs(8));
        world.heartbeat(&a, 1);
        world.heartbeat(&b, 1);
    }
    assert_eq!(world.heartbeat(&b, 1), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn the_last_one_out_empties_the_group() {
    let mut world = World::new();
    let (a, b) = world.stable_pair();
    assert_eq!(world.leave(&a), ErrorCode::None);
    assert_eq!(world.leave(&a), ErrorCode::UnknownMemberId);
    assert_eq!(world.leave(&b), ErrorCode::None);
    assert_eq!(world.state(), State::Empty.name());
    assert_eq!(world.commit("", -1, 7), Ok(ErrorCode::None), "nobody is disturbed");
    assert_eq!(world.replayed().describe(GROUP).unwrap().state, State::Empty.name());
    let now = world.now();
    let (error, effects) = world.shard.delete(GROUP, now);
    world.take(effects);
    assert_eq!((error, world.state()), (ErrorCode::None, "none"));
    assert_eq!(world.replayed().list().count(), 0);
}

#[test]
fn requests_that_make_no_sense_are_refused_without_a_trace() {
    let mut world = World::new();
    let refused = |world: &mut World, request: JoinGroupRequest| {
        let token = world.join_with(request, 9);
        ErrorCode::from_code(world.joined(token).unwrap().error_code)
    };
    let bad = [
        (JoinGroupRequest { group_id: String::new(), ..joining("") }, ErrorCode::InvalidGroupId),
        (JoinGroupRequest { session_timeout_ms: 5999, ..joining("") }, ErrorCode::InvalidSessionTimeout),
        (JoinGroupRequest { session_timeout_ms: -1, ..joining("") }, ErrorCode::InvalidSessionTimeout),
        (joining("stranger"), ErrorCode::UnknownMemberId),
        (JoinGroupRequest { protocols: vec![], ..joining("") }, ErrorCode::InconsistentGroupProtocol),
        (JoinGroupRequest { protocol_type: String::new(), ..joining("") }, ErrorCode::InconsistentGroupProtocol),
        (
            JoinGroupRequest { protocols: vec![protocol("p", &"x".repeat(2 << 20))], ..joining("") },
            ErrorCode::InvalidRequest,
        ),
    ];
    for (request, error) in bad {
        assert_eq!(refused(&mut world, request), error);
    }
    assert_eq!((world.shard.list().count(), world.log.len()), (0, 0));
    world.stable_pair();
    let other = JoinGroupRequest { protocols: vec![protocol("sticky", "")], ..joining("") };
    assert_eq!(refused(&mut world, other), ErrorCode::InconsistentGroupProtocol);
    let other = JoinGroupRequest { protocol_type: "connect".into(), ..joining("") };
    assert_eq!(refused(&mut world, other), ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut world = World::new();
    let tokens: Vec<_> = (0..4).map(|_| world.join_new().1).collect();
    let token = world.join("");
    assert_eq!(world.joined(token).unwrap().error_code, ErrorCode::GroupMaxSizeReached.code());
    world.pass(Duration::from_secs(7));
    assert!(tokens.into_iter().all(|t| world.joined(t).is_some()));
}

#[test]
fn a_group_that_has_become_too_large_is_brought_down() {
    let mut world = World::new();
    let (a, b) = world.stable_pair();
    world.shard = Shard::new(GroupConfig { max_size: 1, ..config() });
    for record in &world.log {
        world.shard.replay(record, None, Now { wall_ms: 0, steady: world.start + world.elapsed }).unwrap();
    }
    let effects = world.shard.loaded(world.now());
    world.take(effects);
    assert_eq!(world.commit(&b, 1, 5), Ok(ErrorCode::None), "all may commit before");
    let ta = world.join(&a);
    let tb = world.join(&b);
    assert_eq!(world.joined(tb).unwrap().error_code, ErrorCode::GroupMaxSizeReached.code());
    assert_eq!(world.joined(ta).unwrap().members.len(), 1);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let mut world = World::new();
    let token = world.join_with(static_joining("i1", ""), 9);
    world.pass(Duration::from_secs(7));
    let old = world.joined(token).unwrap().member_id;
    let sync = world.sync(&old, 1, &[(&old, "mine")]);
    assert_eq!(world.synced(sync).unwrap().assignment, "mine");
    let token = world.join_with(static_joining("i1", ""), 9);
    let back = world.joined(token).unwrap();
    assert_eq!((back.error_code, back.generation_id, back.skip_assignment), (0, 1, true));
    assert_ne!(back.member_id, old);
    let sync = world.sync(&back.member_id, 1, &[]);
    assert_eq!(world.synced(sync).unwrap().assignment, "mine");
    // The one that it replaced is told so.
    let now = world.now();
    assert_eq!(world.shard.heartbeat(GROUP, &old, Some("i1"), 1, now), ErrorCode::FencedInstanceId);
    assert_eq!(world.shard.heartbeat(GROUP, &back.member_id, Some("i1"), 1, now), ErrorCode::None);
    assert_eq!(world.shard.heartbeat(GROUP, &back.member_id, Some("i2"), 1, now), ErrorCode::UnknownMemberId);
    // And all of that is in the log.
    let members = world.replayed().describe(GROUP).unwrap().members;
    assert_eq!((members[0].id.as_str(), &members[0].assignment[..]), (back.member_id.as_str(), &b"mine"[..]));
}

#[test]
fn old_clients_join_without_coming_back() {
    let mut world = World::new();
    let token = world.join_with(joining(""), 3);
    world.pass(Duration::from_secs(7));
    assert_eq!(world.joined(token).unwrap().error_code, 0);
}

#[test]
fn an_id_that_is_not_used_is_taken_back() {
    let mut world = World::new();
    world.stable_pair();
    let token = world.join("");
    let id = world.joined(token).unwrap().member_id;
    for _ in 0..2 {
        world.pass(Duration::from_secs(6));
    }
    let token = world.join(&id);
    assert_eq!(world.joined(token).unwrap().error_code, ErrorCode::UnknownMemberId.code());
}

#[test]
fn commits_are_checked_against_the_membership() {
    let mut world = World::new();
    assert_eq!(world.commit("", 3, 1), Err(ErrorCode::GroupIdNotFound));
    assert_eq!(world.commit("", -1, 1), Ok(ErrorCode::None), "a consumer that assigns itself");
    let (a, _) = world.stable_pair();
    assert_eq!(world.commit("", -1, 2), Err(ErrorCode::UnknownMemberId));
    assert_eq!(world.commit(&a, 0, 2), Err(ErrorCode::IllegalGeneration));
    assert_eq!(world.commit("stranger", 1, 2), Err(ErrorCode::UnknownMemberId));
    assert_eq!(world.commit(&a, 1, 2), Ok(ErrorCode::None));
    world.join_new();
    assert_eq!(world.commit(&a, 1, 3), Ok(ErrorCode::None), "who is about to join again may still commit");
    assert_eq!(world.replayed().offset(GROUP, "t", 0).unwrap().offset, 3);
    let long = Committed { metadata: "m".repeat(4097), ..world.shard.offset(GROUP, "t", 0).unwrap().clone() };
    let commits = vec![Commit { topic: "t".into(), partition: 0, committed: long }];
    let committer = Committer { member_id: &a, instance_id: None, generation: 1, version: 8 };
    let now = world.now();
    let answers = world.shard.commit(GROUP, committer, commits, now).unwrap().0;
    assert_eq!(answers, [ErrorCode::OffsetMetadataTooLarge]);
}

#[test]
fn offsets_expire_when_the_group_is_empty_for_long() {
    let mut world = World::new();
    let (a, b) = world.stable_pair();
    world.commit(&a, 1, 5).unwrap();
    let week = Duration::from_secs(7 * 24 * 3600);
    for _ in 0..(7 * 24 * 3600 / 9) + 10 {
        world.pass(Duration::from_secs(9));
        world.heartbeat(&a, 1);
        world.heartbeat(&b, 1);
    }
    let now = world.now();
    let effects = world.shard.expire(now);
    assert!(effects.records.is_empty(), "a group in use keeps its offsets");
    world.leave(&a);
    world.leave(&b);
    world.pass(week - Duration::from_secs(1));
    let now = world.now();
    assert!(world.shard.expire(now).records.is_empty());
    world.pass(Duration::from_secs(2));
    let now = world.now();
    let effects = world.shard.expire(now);
    assert_eq!(effects.records.len(), 2, "the offset and the group");
    world.take(effects);
    assert_eq!((world.state(), world.replayed().list().count()), ("none", 0));
}

/// Members that come, go, crash, commit and heartbeat in any order, with time passing in between. After each step: no request is
/// answered twice, all members of a generation know the same leader, what was acknowledged is what a replay gives, and committed
/// offsets never go back.
#[test]
fn any_interleaving_keeps_the_promises() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new();
        let mut members: Vec<String> = Vec::new();
        let mut joins: BTreeMap<Token, ()> = BTreeMap::new();
        let mut syncs: BTreeMap<Token, ()> = BTreeMap::new();
        let mut generations: HashMap<String, i32> = HashMap::new();
        let mut leaders: HashMap<i32, String> = HashMap::new();
        let mut committed = -1;
        for step in 0..400 {
            let context = format!("seed {seed}, step {step}");
            let member = members.get(random.usize(0..members.len().max(1))).cloned().unwrap_or_default();
            let generation = generations.get(&member).copied().unwrap_or(-1);
            match random.u8(0..12) {
                0 | 1 if members.len() < 8 => {
                    let request =
                        if random.bool() { static_joining(&format!("i{}", random.u8(0..3)), "") } else { joining("") };
                    let token = world.join_with(request, random.i16(0..10));
                    joins.insert(token, ());
                }
                2..=4 if !member.is_empty() => {
                    let token = world.join(&member);
                    joins.insert(token, ());
                }
                5 | 6 if !member.is_empty() => {
                    let all: Vec<_> = members.iter().map(|m| (m.as_str(), m.as_str())).collect();
                    let leads = leaders.get(&generation) == Some(&member);
                    let token = world.sync(&member, generation, if leads { &all } else { &[] });
                    syncs.insert(token, ());
                }
                7 => {
                    world.heartbeat(&member, generation);
                }
                8 if random.u8(0..4) == 0 => {
                    world.leave(&member);
                }
                9 => {
                    if world.commit(&member, generation, committed + 1) == Ok(ErrorCode::None) {
                        committed += 1;
                    }
                }
                10 => world.pass(Duration::from_millis(random.u64(0..20_000))),
                _ => {
                    // The coordinator is lost, and another one takes over what is in the log.
                    if random.u8(0..10) == 0 {
                        let replies = world.shard.resign(ErrorCode::NotCoordinator);
                        world.take(Effects { replies, ..Effects::default() });
                        world.shard = world.replayed();
                    }
                }
            }
            for token in joins.keys().copied().collect::<Vec<_>>() {
                let Some(answer) = world.joined(token) else { continue };
                joins.remove(&token);
                let has_id = [0, ErrorCode::MemberIdRequired.code()].contains(&answer.error_code);
                if has_id && !members.contains(&answer.member_id) {
                    members.push(answer.member_id.clone());
                }
                if answer.error_code == 0 {
                    generations.insert(answer.member_id.clone(), answer.generation_id);
                    if !answer.members.is_empty() {
                        let ids: HashSet<_> = answer.members.iter().map(|m| &m.member_id).collect();
                        assert_eq!(ids.len(), answer.members.len(), "{context}");
                        assert!(ids.contains(&answer.member_id), "{context}: a leader that is no member");
                        leaders.insert(answer.generation_id, answer.member_id.clone());
                    }
                }
            }
            for token in syncs.keys().copied().collect::<Vec<_>>() {
                let Some(answer) = world.synced(token) else { continue };
                syncs.remove(&token);
                if answer.error_code == 0 && !answer.assignment.is_empty() {
                    let owner = String::from_utf8(answer.assignment.to_vec()).unwrap();
                    let replayed = world.replayed().describe(GROUP).unwrap();
                    let found = replayed.members.iter().any(|m| m.assignment == owner.as_bytes());
                    assert!(found, "{context}: an assignment was given out that is not in the log");
                }
            }
            if committed >= 0 {
                let live = world.shard.offset(GROUP, "t", 0).map(|c| c.offset);
                assert_eq!(live, Some(committed), "{context}");
            }
            world.check_replay(&context);
            // While a rebalance is prepared, those that have yet to come back count besides those that have.
            let size = world.shard.describe(GROUP).map_or(0, |group| group.members.len());
            assert!(size <= 8, "{context}: group.max.size");
        }
        // However it went, the group comes to rest when its members fall silent.
        world.pass(Duration::from_secs(3600));
        assert!(["Empty", "none"].contains(&world.state()), "seed {seed}: {}", world.state());
        assert!(joins.keys().all(|t| world.replies.contains_key(t) || world.joined(*t).is_none()), "seed {seed}");
    }
}
