//! What groups cost: how fast many are loaded and what they take, what heartbeats take, how long a commit takes. Prints figures, asserts nothing.
//!
//! `cargo bench --bench groups` (builds with optimisations). `KAFKA_RS_BENCH_BOOTSTRAP=host:port` measures another broker, as far as
//! that can be seen from outside; `KAFKA_RS_BENCH_PID` its process.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark prints, and stops at the first surprise"
)]

mod support;

use std::time::{Duration, Instant};

use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_rs::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_rs::protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_rs::protocol::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, OffsetCommitRequest, OffsetFetchRequest,
    SyncGroupRequest,
};
use support::wire::Wire;
use support::{cpu_seconds_of, report, resident_kb, start, stop};

const GROUPS: usize = 10_000;
const PARTITIONS: i32 = 10;
const MEMBERS: usize = 1_000;
const MEMBERS_OF_A_GROUP: usize = 10;
/// The default of Kafka's clients.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
const TOPIC: &str = "bench";

fn main() {
    if let Ok(address) = std::env::var("KAFKA_RS_BENCH_BOOTSTRAP") {
        let pid = std::env::var("KAFKA_RS_BENCH_PID").ok().map(|pid| pid.parse().unwrap());
        prepare(&address);
        commits(&address);
        heartbeats(&address, pid);
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let dir = data.path().join("groups");
    let (broker, _) = start(&dir);
    prepare(&broker.address);
    commits(&broker.address);
    heartbeats(&broker.address, Some(broker.pid()));
    stop(broker);

    let dir = data.path().join("many");
    let (broker, _) = start(&dir);
    prepare(&broker.address);
    std::thread::sleep(Duration::from_millis(500));
    let empty = resident_kb(&broker);
    let mut wire = Wire::connect(&broker.address);
    let begin = Instant::now();
    for group in 0..GROUPS {
        commit(&mut wire, &format!("many-{group}"), PARTITIONS);
    }
    let took = begin.elapsed().as_secs_f64();
    println!("{GROUPS} groups, {PARTITIONS} offsets each: committed in {took:.1} s, {:.1} MiB", mib(&broker, empty));
    stop(broker);
    let (broker, ready) = start(&dir);
    let begin = Instant::now();
    let mut wire = Wire::connect(&broker.address);
    for group in 0..GROUPS {
        while !is_loaded(&mut wire, &format!("many-{group}")) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let took = begin.elapsed() + ready;
    println!(
        "loaded: the offsets of all {GROUPS} groups are fetched {:.0} ms after the start, {:.1} MiB",
        took.as_secs_f64() * 1000.0,
        mib(&broker, empty)
    );
    stop(broker);
}

/// More memory than before.
fn mib(broker: &support::Running, before_kb: u64) -> f64 {
    resident_kb(broker).saturating_sub(before_kb) as f64 / 1024.0
}

/// Makes the topic, and has the broker make that of the offsets.
fn prepare(address: &str) {
    let mut wire = Wire::connect(address);
    wire.create_topic(TOPIC, PARTITIONS, &[]);
    loop {
        let request = FindCoordinatorRequest { coordinator_keys: vec!["any".into()], ..Default::default() };
        let answer = wire.call(&request, 4).unwrap();
        if answer.coordinators[0].error_code == 0 && commit(&mut wire, "any", 1) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn commit(wire: &mut Wire, group: &str, partitions: i32) -> i16 {
    let partitions = (0..partitions).map(|partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 5,
        committed_metadata: Some(String::new()),
        ..Default::default()
    });
    let topic = OffsetCommitRequestTopic { name: TOPIC.into(), partitions: partitions.collect(), ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    let answer = wire.call(&request, 8).unwrap();
    answer.topics[0].partitions[0].error_code
}

fn is_loaded(wire: &mut Wire, group: &str) -> bool {
    let group = OffsetFetchRequestGroup { group_id: group.into(), topics: None, ..Default::default() };
    let answer = wire.call(&OffsetFetchRequest { groups: vec![group], ..Default::default() }, 8).unwrap();
    let group = &answer.groups[0];
    if group.error_code == ErrorCode::CoordinatorLoadInProgress.code() {
        return false;
    }
    assert_eq!(group.error_code, 0);
    assert_eq!(group.topics[0].partitions.len(), PARTITIONS as usize);
    true
}

/// One client, a commit of one partition at a time.
fn commits(address: &str) {
    let mut wire = Wire::connect(address);
    let times = (0..2_000).map(|_| {
        let begin = Instant::now();
        assert_eq!(commit(&mut wire, "committer", 1), 0);
        begin.elapsed()
    });
    report("commit of one partition", times.collect());
}

struct Member {
    wire: Wire,
    group: String,
    id: String,
    generation: i32,
}

/// Members that heartbeat as Kafka's clients do, each on its own connection.
fn heartbeats(address: &str, pid: Option<u32>) {
    let mut members = stable_members(address);
    let rounds = 3;
    let cpu = pid.map(cpu_seconds_of);
    let begin = Instant::now();
    for round in 0..rounds {
        for (n, member) in members.iter_mut().enumerate() {
            let due = HEARTBEAT_INTERVAL * round + HEARTBEAT_INTERVAL * n as u32 / MEMBERS as u32;
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
            let request = HeartbeatRequest {
                group_id: member.group.clone(),
                generation_id: member.generation,
                member_id: member.id.clone(),
                ..Default::default()
            };
            assert_eq!(member.wire.call(&request, 4).unwrap().error_code, 0);
        }
    }
    let took = begin.elapsed().as_secs_f64();
    let cpu = cpu.zip(pid).map_or_else(String::new, |(before, pid)| {
        format!(": {:.1} % of a processor", (cpu_seconds_of(pid) - before) / took * 100.0)
    });
    println!("{MEMBERS} members that heartbeat every {} s{cpu}", HEARTBEAT_INTERVAL.as_secs());
}

/// Groups whose members have joined and synced.
fn stable_members(address: &str) -> Vec<Member> {
    let mut members: Vec<Member> = (0..MEMBERS)
        .map(|n| Member {
            wire: Wire::connect(address),
            group: format!("beating-{}", n / MEMBERS_OF_A_GROUP),
            id: String::new(),
            generation: -1,
        })
        .collect();
    for member in &mut members {
        let answer = member.wire.call(&joining(&member.group, ""), 9).unwrap();
        assert_eq!(answer.error_code, ErrorCode::MemberIdRequired.code());
        member.id = answer.member_id;
    }
    // All joins wait for the rebalance, so none is read before all are sent.
    for member in &mut members {
        member.wire.send(&joining(&member.group, &member.id), 9).unwrap();
    }
    for member in &mut members {
        let frame = member.wire.receive_frame().unwrap();
        let answer = kafka_rs::protocol::frame::read_response::<JoinGroupRequest>(&frame, 9).unwrap();
        assert_eq!(answer.error_code, 0);
        member.generation = answer.generation_id;
        let request = SyncGroupRequest {
            group_id: member.group.clone(),
            generation_id: answer.generation_id,
            member_id: member.id.clone(),
            ..Default::default()
        };
        member.wire.send(&request, 5).unwrap();
    }
    for member in &mut members {
        let frame = member.wire.receive_frame().unwrap();
        let answer = kafka_rs::protocol::frame::read_response::<SyncGroupRequest>(&frame, 5).unwrap();
        assert_eq!(answer.error_code, 0);
    }
    members
}

fn joining(group: &str, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol { name: "range".into(), ..Default::default() };
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 60_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    }
}
