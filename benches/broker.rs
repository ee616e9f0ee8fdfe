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

#[path = "../tests/support/wire.rs"]
mod wire;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wire::{Wire, batch_of};

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

struct Running {
    child: Child,
    address: String,
}

/// Starts a broker; the time until it answers.
fn start(dir: &Path) -> (Running, Duration) {
    let ready = dir.with_extension("ready");
    // Gone already is as good.
    let _ = fs::remove_file(&ready);
    let begin = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_kafka-rs"))
        .arg("server-start")
        .args(["--override", "listeners=PLAINTEXT://127.0.0.1:0"])
        .args(["--override", &format!("log.dirs={}", dir.display())])
        .arg("--ready-file")
        .arg(&ready)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = loop {
        match fs::read_to_string(&ready) {
            Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
            _ => std::thread::sleep(Duration::from_micros(200)),
        }
    };
    assert!(Wire::connect(&address).is_served());
    (Running { child, address }, begin.elapsed())
}

fn stop(mut running: Running) {
    let pid = rustix::process::Pid::from_child(&running.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    running.child.wait().unwrap();
}

fn resident_kb(running: &Running) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{}/statm", running.child.id())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

/// Seconds of processor time that the broker has used.
fn cpu_seconds(running: &Running) -> f64 {
    let mut stat = String::new();
    fs::File::open(format!("/proc/{}/stat", running.child.id())).unwrap().read_to_string(&mut stat).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |at: usize| times[at].as_secs_f64() * 1000.0;
    println!(
        "{what}: {:.1} ms at best, {:.1} ms median, {:.1} ms at worst",
        ms(0),
        ms(times.len() / 2),
        ms(times.len() - 1)
    );
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
