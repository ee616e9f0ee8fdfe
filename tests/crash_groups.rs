//! A broker that is killed loses nothing that its groups were told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_rs::protocol::messages::leave_group_request::MemberIdentity;
use kafka_rs::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_rs::protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_rs::protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_rs::protocol::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
use support::Broker;
use wire::Wire;

const ROUNDS: usize = 20;
const GROUPS: usize = 3;
const TOPIC: &str = "crash";
const SESSION_MS: i32 = 1_000;
/// A busy machine may add to a session's timeout.
const PATIENCE: Duration = Duration::from_secs(10);
const SETTINGS: &[&str] = &[
    "group.initial.rebalance.delay.ms=0",
    "group.min.session.timeout.ms=500",
    "offsets.topic.num.partitions=2",
    "offsets.topic.segment.bytes=1048576",
];

/// A member that stays in its group, and what it was told.
#[derive(Debug, Clone, Default)]
struct Member {
    group: String,
    id: String,
    generation: i32,
    /// The broker was gone before it had told the generation that the member asked to join.
    is_joining: bool,
    /// The last offset that it sent to be committed, and the last that was acknowledged.
    sent: i64,
    acknowledged: i64,
}

/// Goal: after kill -9 in the middle of commits and rebalances every acknowledged commit is there, no commit is there that nobody sent, members
/// that were told of their generation are still in it, and no rebalance takes longer than a session.
/// Method: a member per group heartbeats and commits increasing offsets, a second one comes and goes, so that there is always a
/// rebalance; the broker is killed at a random moment and started again on the same directory. Twenty times.
#[test]
fn groups_survive_a_killed_broker() {
    let data = tempfile::tempdir().unwrap();
    let seed = std::env::var("CRASH_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut members: Vec<Member> =
        (0..GROUPS).map(|n| Member { group: format!("group-{n}"), ..Member::default() }).collect();
    for round in 0..ROUNDS {
        let context = format!("CRASH_SEED={seed}, round {round}");
        let broker = Broker::start_in(data.path(), SETTINGS);
        let address = broker.address().to_owned();
        let mut control = Wire::connect(&address);
        if round == 0 {
            control.create_topic(TOPIC, 1, &[]);
        }
        for member in &mut members {
            find_coordinator(&mut control, &member.group);
            let found = committed(&mut control, &member.group);
            let (acknowledged, sent) = (member.acknowledged, member.sent);
            assert!((acknowledged..=sent).contains(&found), "{context}: {found} is not in {acknowledged}..={sent}");
            member.acknowledged = found;
            if !member.id.is_empty() {
                let answer = heartbeat(&mut control, member).unwrap();
                let is_known = matches!(answer, ErrorCode::None | ErrorCode::RebalanceInProgress)
                    || member.is_joining && answer == ErrorCode::IllegalGeneration;
                assert!(is_known, "{context}: {answer:?} for {member:?}");
            }
        }
        let (killed, committing) = (AtomicBool::new(false), AtomicUsize::new(0));
        let delay = Duration::from_millis(random.u64(50..300));
        members = std::thread::scope(|scope| {
            let staying: Vec<_> = members
                .drain(..)
                .map(|member| {
                    let (context, killed, committing) = (&context, &killed, &committing);
                    let group = member.group.clone();
                    // Before the broker can be gone.
                    let [coming, staying] = [(); 2].map(|()| Wire::connect(&address));
                    scope.spawn(move || come_and_go(coming, &group, killed));
                    scope.spawn(move || stay(staying, member, context, killed, committing))
                })
                .collect();
            std::thread::sleep(delay);
            // A busy machine may not have come so far.
            let deadline = Instant::now() + PATIENCE;
            while committing.load(Ordering::Relaxed) < GROUPS && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            broker.kill();
            killed.store(true, Ordering::Relaxed);
            // Order: the threads end first, whatever is found.
            assert_eq!(committing.load(Ordering::Relaxed), GROUPS, "{context}: not every member could commit");
            staying.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
    }
}

/// Heartbeats and commits until the broker is gone; joins again whenever the group rebalances.
/// `committing` counts those who got as far as a commit.
fn stay(mut wire: Wire, mut member: Member, context: &str, killed: &AtomicBool, committing: &AtomicUsize) -> Member {
    let before = member.acknowledged;
    while !killed.load(Ordering::Relaxed) {
        let Some(answer) = heartbeat(&mut wire, &member) else { break };
        if member.id.is_empty() || answer != ErrorCode::None {
            let began = Instant::now();
            member.is_joining = true;
            match join(&mut wire, &member.group, &member.id) {
                Some((id, generation)) => (member.id, member.generation, member.is_joining) = (id, generation, false),
                None => break,
            }
            assert!(began.elapsed() < PATIENCE, "{context}: {member:?} waited {:?}", began.elapsed());
            continue;
        }
        member.sent += 1;
        let Some(answer) = commit(&mut wire, &member) else { break };
        match answer {
            ErrorCode::None => {
                if member.acknowledged == before {
                    committing.fetch_add(1, Ordering::Relaxed);
                }
                member.acknowledged = member.sent;
            }
            // Not this one; the next is as large.
            ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration => {}
            other => panic!("{context}: {other:?}"),
        }
    }
    member
}

/// Joins and leaves.
fn come_and_go(mut wire: Wire, group: &str, killed: &AtomicBool) {
    while !killed.load(Ordering::Relaxed) {
        let Some((id, _)) = join(&mut wire, group, "") else { return };
        let member = MemberIdentity { member_id: id, ..Default::default() };
        let request = LeaveGroupRequest { group_id: group.into(), members: vec![member], ..Default::default() };
        if wire.call(&request, 5).is_err() {
            return;
        }
    }
}

/// Joins until it is in a generation that it could sync with; `None` when the broker is gone.
fn join(wire: &mut Wire, group: &str, id: &str) -> Option<(String, i32)> {
    let mut id = id.to_owned();
    loop {
        let request = JoinGroupRequest {
            group_id: group.into(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: SESSION_MS,
            member_id: id.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".into(), ..Default::default() }],
            ..Default::default()
        };
        let joined = wire.call(&request, 9).ok()?;
        match ErrorCode::from_code(joined.error_code) {
            ErrorCode::None => {}
            ErrorCode::UnknownMemberId => {
                id.clear();
                continue;
            }
            ErrorCode::MemberIdRequired => {
                id = joined.member_id;
                continue;
            }
            other => panic!("{group}: {other:?}"),
        }
        let assignments = joined.members.iter().map(|member| SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: bytes::Bytes::from_static(b"a"),
            ..Default::default()
        });
        let request = SyncGroupRequest {
            group_id: group.into(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            protocol_type: joined.protocol_type.clone(),
            protocol_name: joined.protocol_name.clone(),
            assignments: assignments.collect(),
            ..Default::default()
        };
        id = joined.member_id;
        match ErrorCode::from_code(wire.call(&request, 5).ok()?.error_code) {
            ErrorCode::None => return Some((id, joined.generation_id)),
            ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId => {}
            other => panic!("{group}: {other:?}"),
        }
    }
}

fn heartbeat(wire: &mut Wire, member: &Member) -> Option<ErrorCode> {
    let request = HeartbeatRequest {
        group_id: member.group.clone(),
        generation_id: member.generation,
        member_id: member.id.clone(),
        ..Default::default()
    };
    Some(ErrorCode::from_code(wire.call(&request, 4).ok()?.error_code))
}

fn commit(wire: &mut Wire, member: &Member) -> Option<ErrorCode> {
    let partition = OffsetCommitRequestPartition { committed_offset: member.sent, ..Default::default() };
    let topic = OffsetCommitRequestTopic { name: TOPIC.into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: member.group.clone(),
        generation_id_or_member_epoch: member.generation,
        member_id: member.id.clone(),
        topics: vec![topic],
        ..Default::default()
    };
    let answer = wire.call(&request, 8).ok()?;
    Some(ErrorCode::from_code(answer.topics[0].partitions[0].error_code))
}

/// The group's committed offset, 0 before the first; waits until the groups are loaded.
fn committed(wire: &mut Wire, group: &str) -> i64 {
    support::wait_for("the groups to be loaded", PATIENCE, || {
        let group = OffsetFetchRequestGroup { group_id: group.into(), topics: None, ..Default::default() };
        let answer = wire.call(&OffsetFetchRequest { groups: vec![group], ..Default::default() }, 8).unwrap();
        let group = &answer.groups[0];
        match ErrorCode::from_code(group.error_code) {
            ErrorCode::None => Some(group.topics.first().map_or(0, |topic| topic.partitions[0].committed_offset)),
            ErrorCode::CoordinatorLoadInProgress => None,
            other => panic!("{other:?}"),
        }
    })
}

fn find_coordinator(wire: &mut Wire, group: &str) {
    support::wait_for("the coordinator", PATIENCE, || {
        let request = FindCoordinatorRequest { coordinator_keys: vec![group.into()], ..Default::default() };
        (wire.call(&request, 4).unwrap().coordinators[0].error_code == 0).then_some(())
    });
}
