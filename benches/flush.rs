//! What durable acknowledgements cost: `flush.messages=1` over 1, 10 and 1,000 partitions and 1 to 100 connections. Prints figures, asserts
//! nothing.
//!
//! `cargo bench --bench flush` (builds with optimisations). With `KAFKA_HOME` set, an Apache Kafka takes the same load after it, on the same
//! disk. `KAFKA_RS_BENCH_BOOTSTRAP=host:port` measures the broker there alone. `KAFKA_RS_BENCH_DIR`: where the data goes, since the
//! system's temporary directory may be no disk.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark prints, and stops at the first surprise"
)]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_rs::protocol::messages::ProduceRequest;
use kafka_rs::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use support::wire::{Wire, batch_of};

/// How long each load runs.
const TAKES: Duration = Duration::from_secs(5);

/// Partitions, connections, partitions in a request, bytes of a batch.
const LOADS: [(i32, usize, usize, usize); 9] = [
    (1, 1, 1, 1_000),
    (1, 10, 1, 1_000),
    (1, 100, 1, 1_000),
    (10, 10, 1, 1_000),
    (10, 10, 1, 500_000),
    (1_000, 1, 100, 1_000),
    (1_000, 10, 100, 1_000),
    (1_000, 100, 1, 1_000),
    (1_000, 100, 1, 100_000),
];

fn main() {
    if let Ok(address) = std::env::var("KAFKA_RS_BENCH_BOOTSTRAP") {
        run("there", &address);
        return;
    }
    let base = std::env::var("KAFKA_RS_BENCH_DIR").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").into());
    let data = tempfile::tempdir_in(&base).unwrap();
    let (broker, _) = support::start(&data.path().join("ours"));
    run("kafka-rs", &broker.address);
    support::stop(broker);
    if let Ok(home) = std::env::var("KAFKA_HOME") {
        let mut kafka = start_kafka(Path::new(&home), data.path());
        run("Apache Kafka", KAFKA_ADDRESS);
        // Killed: what it has is thrown away.
        let _ = kafka.kill();
        let _ = kafka.wait();
    }
}

const KAFKA_ADDRESS: &str = "127.0.0.1:29392";

fn start_kafka(home: &Path, data: &Path) -> Child {
    let properties = data.join("server.properties");
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:29393\n\
         listeners=PLAINTEXT://{KAFKA_ADDRESS},CONTROLLER://127.0.0.1:29393\ncontroller.listener.names=CONTROLLER\n\
         log.dirs={}\noffsets.topic.replication.factor=1\n",
        data.join("kafka").display()
    );
    std::fs::write(&properties, text).unwrap();
    let format = Command::new(home.join("bin/kafka-storage.sh"))
        .args(["format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"])
        .arg(&properties)
        .stdout(Stdio::null())
        .status();
    assert!(format.unwrap().success());
    // Without the script, so that the child is the broker itself.
    let kafka = Command::new("java")
        .args(["-Xmx1G", "-Xms1G", "-XX:+UseG1GC", "-cp"])
        .arg(format!("{}/libs/*", home.display()))
        .arg("kafka.Kafka")
        .arg(&properties)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while std::net::TcpStream::connect(KAFKA_ADDRESS).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(120), "Kafka does not start");
        std::thread::sleep(Duration::from_millis(200));
    }
    kafka
}

fn run(who: &str, address: &str) {
    let mut control = Wire::connect(address);
    for partitions in [1, 10, 1_000] {
        control.create_topic(&topic(partitions), partitions, &[("flush.messages", "1")]);
    }
    std::thread::sleep(Duration::from_secs(2));
    // Files are made by the first append to each partition.
    for partition in 0..1_000 {
        control.produce(&topic(1_000), partition, Some(batch_of(&["x"]))).unwrap();
    }
    for (partitions, connections, in_request, bytes) in LOADS {
        let batch = batch_of(&[vec![b'v'; bytes]]);
        let begin = Instant::now();
        let mut times: Vec<Duration> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..connections)
                .map(|connection| {
                    let batch = batch.clone();
                    scope.spawn(move || write(address, partitions, connection, in_request, &batch, begin + TAKES))
                })
                .collect();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        let took = begin.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |part: f64| times[((times.len() as f64 * part) as usize).min(times.len() - 1)];
        let requests = times.len() as f64 / took;
        println!(
            "{who}: {partitions} partitions, {connections} connections, {in_request} partitions a request, {bytes} bytes a batch: \
             {requests:.0} requests/s, {:.0} batches/s, {:.1} MB/s, median {:.1?}, 99 % {:.1?}, longest {:.1?}",
            requests * in_request as f64,
            requests * (in_request * batch.len()) as f64 / 1e6,
            at(0.5),
            at(0.99),
            at(1.0),
        );
    }
}

fn topic(partitions: i32) -> String {
    format!("flush-{partitions}-{}", std::process::id())
}

/// One connection, a request at a time, each to the next partitions; how long each took.
fn write(
    address: &str,
    partitions: i32,
    connection: usize,
    in_request: usize,
    batch: &Bytes,
    until: Instant,
) -> Vec<Duration> {
    let mut wire = Wire::connect(address);
    let mut next = (connection * 37) as i32;
    let mut times = Vec::new();
    while Instant::now() < until {
        let data = |n| PartitionProduceData {
            index: (next + n) % partitions,
            records: Some(batch.clone()),
            ..Default::default()
        };
        let partition_data = (0..in_request as i32).map(data).collect();
        next = (next + in_request as i32) % partitions;
        let topic = TopicProduceData { name: topic(partitions), partition_data, ..Default::default() };
        let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
        let begin = Instant::now();
        let answer = wire.call(&request, 12).unwrap();
        times.push(begin.elapsed());
        assert!(answer.responses[0].partition_responses.iter().all(|partition| partition.error_code == 0));
    }
    times
}
