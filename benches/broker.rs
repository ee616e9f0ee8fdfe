//! What a person feels: how fast a broker starts, how little it takes, how much goes through it. Prints figures, asserts nothing.
//!
//! `cargo bench --bench broker` (builds with optimisations). `KAFKA_RS_BENCH_BOOTSTRAP=host:port` measures the throughput of another
//! broker, an Apache Kafka for example, in the same way.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark prints, and stops at the first surprise"
)]

mod support;

use std::time::{Duration, Instant};

use support::wire::{Wire, batch_of};
use support::{Running, cpu_seconds, report, resident_kb, start, stop};

fn main() {
    if let Ok(address) = std::env::var("KAFKA_RS_BENCH_BOOTSTRAP") {
        throughput(&address, None);
        return;
    }
    let data = tempfile::tempdir().unwrap();
    println!("start, from exec to the first answer to ApiVersions:");
    let fresh: Vec<Duration> = (0..10)
        .map(|n| {
            let (broker, took) = start(&data.path().join(format!("fresh{n}")));
            stop(broker);
            took
        })
        .collect();
    report("  new directory", fresh);
    let dir = data.path().join("existing");
    stop(start(&dir).0);
    let existing: Vec<Duration> = (0..10)
        .map(|_| {
            let (broker, took) = start(&dir);
            stop(broker);
            took
        })
        .collect();
    report("  existing directory", existing);
    let (broker, _) = start(&dir);
    std::thread::sleep(Duration::from_millis(500));
    println!("idle: {} kB resident", resident_kb(&broker));
    let mut wire = Wire::connect(&broker.address);
    for n in 0..20 {
        wire.create_topic(&format!("many{n}"), 100, &[]);
    }
    for n in 0..20 {
        for partition in 0..100 {
            wire.produce(&format!("many{n}"), partition, Some(batch_of(&["x"]))).unwrap();
        }
    }
    stop(broker);
    let many: Vec<Duration> = (0..5)
        .map(|_| {
            let (broker, took) = start(&dir);
            stop(broker);
            took
        })
        .collect();
    report("  2,000 partitions with a record each", many);
    let (broker, _) = start(&dir);
    std::thread::sleep(Duration::from_millis(500));
    println!("idle with 2,000 partitions: {} kB resident", resident_kb(&broker));
    throughput(&broker.address, Some(&broker));
    stop(broker);
}

/// One producer, then one consumer, a request at a time: batches of about 16 kB and of about 1 MB.
fn throughput(address: &str, broker: Option<&Running>) {
    let mut wire = Wire::connect(address);
    for (name, values, rounds) in [("16kB", 16, 20_000), ("1MB", 1000, 500)] {
        let topic = format!("bench-{name}-{}", std::process::id());
        wire.create_topic(&topic, 1, &[]);
        std::thread::sleep(Duration::from_millis(500));
        let value = vec![b'v'; 1000];
        let batch = batch_of(&vec![&value; values]);
        let megabytes = (batch.len() * rounds) as f64 / 1e6;
        let cpu = broker.map(cpu_seconds);
        let begin = Instant::now();
        for _ in 0..rounds {
            let answer = wire.produce(&topic, 0, Some(batch.clone())).unwrap();
            assert_eq!(answer.error_code, 0);
        }
        told(&format!("produce, batches of {name}"), megabytes, rounds, begin, cpu, broker);
        let cpu = broker.map(cpu_seconds);
        let begin = Instant::now();
        let read = wire.read_bytes(&topic, 0);
        assert!(read as f64 >= megabytes * 0.99e6, "{read}");
        told(&format!("fetch, of batches of {name}"), megabytes, rounds, begin, cpu, broker);
    }
}

fn told(what: &str, megabytes: f64, requests: usize, begin: Instant, cpu: Option<f64>, broker: Option<&Running>) {
    let took = begin.elapsed().as_secs_f64();
    let cpu = match (cpu, broker) {
        (Some(before), Some(broker)) => {
            format!(", {:.2} s of processor time per GB", (cpu_seconds(broker) - before) / megabytes * 1000.0)
        }
        _ => String::new(),
    };
    println!("{what}: {:.0} MB/s, {:.0} batches/s{cpu}", megabytes / took, requests as f64 / took);
}
