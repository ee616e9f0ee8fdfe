//! What groups cost: how fast many are loaded and what they take, what heartbeats take, how long a commit takes. Prints figures, asserts nothing.
//!
//! `cargo bench --bench groups` (builds with optimisations). `KAFKA_RS_BENCH_BOOTSTRAP=host:port` measures another broker;
//! `KAFKA_RS_BENCH_PID_FILE` says which process it is, `KAFKA_RS_BENCH_STOP` and `KAFKA_RS_BENCH_START` are commands that restart it at the
//! same address on the same directory. What is not said is not measured.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark prints, and stops at the first surprise"
)]

mod support;

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_rs::protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_rs::protocol::messages::{FindCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest};
use support::members::{Member, classic_members, consumer_members};
use support::wire::Wire;
use support::{cpu_seconds_of, report, resident_kb_of, start, stop};

const GROUPS: usize = 10_000;
const PARTITIONS: i32 = 10;
const GROUPS_WITH_MEMBERS: usize = 100;
const MEMBERS_OF_A_GROUP: usize = 10;
/// The default of Kafka's clients. Members of the newer protocol are told theirs by the broker.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
const HEARTBEAT_ROUNDS: u32 = 3;
const COMMITS: usize = 2_000;
const TOPIC: &str = "bench";

fn main() {
    match std::env::var("KAFKA_RS_BENCH_BOOTSTRAP") {
        Ok(address) => measure_another(&address),
        Err(_) => measure_ours(),
    }
}

fn measure_ours() {
    let data = tempfile::tempdir().unwrap();
    let (broker, _) = start(&data.path().join("groups"));
    measure_at_rest(&broker.address, Some(broker.pid()));
    stop(broker);

    let dir = data.path().join("many");
    let (broker, _) = start(&dir);
    prepare(&broker.address);
    commit_many(&broker.address, Some(broker.pid()));
    stop(broker);
    let begin = Instant::now();
    let (broker, _) = start(&dir);
    fetch_many(&broker.address, begin);
    tell_memory("after it", Some(broker.pid()));
    stop(broker);
}

fn measure_another(address: &str) {
    let pid = || {
        let file = std::env::var("KAFKA_RS_BENCH_PID_FILE").ok()?;
        Some(std::fs::read_to_string(file).unwrap().trim().parse().unwrap())
    };
    measure_at_rest(address, pid());
    commit_many(address, pid());
    let (Ok(stop), Ok(start)) = (std::env::var("KAFKA_RS_BENCH_STOP"), std::env::var("KAFKA_RS_BENCH_START")) else {
        return;
    };
    assert!(shell(&stop).status().unwrap().success());
    let begin = Instant::now();
    let mut starting = shell(&start).spawn().unwrap();
    fetch_many(address, begin);
    assert!(starting.wait().unwrap().success());
    tell_memory("after it", pid());
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

fn measure_at_rest(address: &str, pid: Option<u32>) {
    prepare(address);
    commits(address);
    let members = classic_members(address, GROUPS_WITH_MEMBERS, MEMBERS_OF_A_GROUP);
    heartbeats("classic", members, HEARTBEAT_INTERVAL, pid);
    let (members, interval) = consumer_members(address, TOPIC, GROUPS_WITH_MEMBERS, MEMBERS_OF_A_GROUP);
    heartbeats("consumer", members, interval, pid);
}

/// Gives many groups offsets.
fn commit_many(address: &str, pid: Option<u32>) {
    tell_memory("before many groups", pid);
    let mut wire = Wire::connect(address);
    let begin = Instant::now();
    for group in 0..GROUPS {
        commit(&mut wire, &format!("many-{group}"), PARTITIONS);
    }
    println!("{GROUPS} groups, {PARTITIONS} offsets each: committed in {:.1} s", begin.elapsed().as_secs_f64());
    tell_memory("with them", pid);
}

/// Fetches the offsets of all of them from a broker that was started at `begin`.
fn fetch_many(address: &str, begin: Instant) {
    while TcpStream::connect(address).is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut wire = Wire::connect(address);
    for group in 0..GROUPS {
        while !is_loaded(&mut wire, &format!("many-{group}")) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if group == 0 {
            println!("loaded: the first group's offsets {:.2} s after the start", begin.elapsed().as_secs_f64());
        }
    }
    println!("loaded: those of all {GROUPS} groups {:.2} s after the start", begin.elapsed().as_secs_f64());
}

fn tell_memory(when: &str, pid: Option<u32>) {
    if let Some(pid) = pid {
        println!("resident memory {when}: {:.1} MiB", resident_kb_of(pid) as f64 / 1024.0);
    }
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
    match ErrorCode::from_code(group.error_code) {
        ErrorCode::None => {}
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {
            return false;
        }
        error => panic!("{error}"),
    }
    assert_eq!(group.topics[0].partitions.len(), PARTITIONS as usize);
    true
}

/// One client, a commit of one partition at a time; the second time around, when a broker that compiles as it runs has done so.
fn commits(address: &str) {
    let mut wire = Wire::connect(address);
    let mut round = || -> Vec<Duration> {
        let times = (0..COMMITS).map(|_| {
            let begin = Instant::now();
            assert_eq!(commit(&mut wire, "committer", 1), 0);
            begin.elapsed()
        });
        times.collect()
    };
    round();
    report("commit of one partition", round());
}

/// What members cost that do nothing but heartbeat.
fn heartbeats(kind: &str, mut members: Vec<impl Member>, interval: Duration, pid: Option<u32>) {
    let count = members.len();
    let cpu = pid.map(cpu_seconds_of);
    let begin = Instant::now();
    for round in 0..HEARTBEAT_ROUNDS {
        for (n, member) in members.iter_mut().enumerate() {
            let due = interval * round + interval * n as u32 / count as u32;
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
            member.beat();
        }
    }
    let took = begin.elapsed().as_secs_f64();
    let cpu = cpu.zip(pid).map_or_else(String::new, |(before, pid)| {
        format!(": {:.1} % of a processor", (cpu_seconds_of(pid) - before) / took * 100.0)
    });
    println!(
        "{count} members of {GROUPS_WITH_MEMBERS} {kind} groups that heartbeat every {} s{cpu}",
        interval.as_secs_f64()
    );
}
