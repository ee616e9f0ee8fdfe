//! The tools that drive the servers: Kafka's own and ours, which take the same options and print the same lines.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::cases::{Load, Reading};
use super::support::cpu_seconds_of;
use super::support::servers::{address, ours};

/// A tool that takes longer has been forgotten by its server.
const PATIENCE: Duration = Duration::from_secs(600);

/// Whose tools.
#[derive(Clone)]
pub enum Client {
    Ours,
    /// Those of the Apache Kafka in this directory.
    Java(PathBuf),
}

/// What a tool did.
pub struct Done {
    pub output: String,
    succeeded: bool,
    /// Seconds of processor time of the tool itself.
    pub cpu: f64,
    pub wall: Duration,
    /// Resident memory, as last seen before it ended.
    pub peak_kb: u64,
}

/// What perf tools say of themselves, all of a case together.
#[derive(Debug, Default)]
pub struct Said {
    pub records_per_second: f64,
    pub megabytes_per_second: f64,
    /// Milliseconds by percentile, of the worst one; none of consumers.
    pub latencies: Vec<(&'static str, f64)>,
}

impl Client {
    /// Ours, and Kafka's where `KAFKA_HOME` is set.
    pub fn all() -> Vec<Self> {
        let java = std::env::var_os("KAFKA_HOME").map(|home| Self::Java(home.into()));
        [Self::Ours].into_iter().chain(java).collect()
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Java(_) => "Java",
        }
    }

    /// A tool by its name without `kafka-` and `.sh`.
    pub fn tool(&self, name: &str) -> Command {
        match self {
            Self::Ours => {
                let mut command = ours();
                command.arg(name);
                command
            }
            Self::Java(home) => Command::new(home.join("bin").join(format!("kafka-{name}.sh"))),
        }
    }

    /// Produces with all producers of the load at once.
    pub fn produce(&self, topic: &str, load: &Load, per_second: Option<u64>, scratch: &Path) -> (Said, Vec<Done>) {
        let throughput = per_second.map_or("-1".to_owned(), |rate| (rate / load.producers).to_string());
        let producer = |number: u64| {
            let mut command = self.tool("producer-perf-test");
            command.args(["--topic", topic, "--bootstrap-server", &address(), "--throughput", &throughput]);
            command.args(["--num-records", &(load.records / load.producers).to_string()]);
            command.args(["--record-size", &load.record_size.to_string()]);
            // A report in the middle would be taken for the one at the end.
            command.args(["--reporting-interval", "3600000"]);
            if per_second.is_some() {
                // What Java's client can't send while it starts it sends later, and late.
                command.args(["--warmup-records", &(load.records / load.producers / 4).to_string()]);
            }
            if let Some(duration) = load.transaction_ms {
                command.args(["--transactional-id", &format!("{topic}-{number}")]);
                command.args(["--transaction-duration-ms", &duration.to_string()]);
            }
            if !load.settings.is_empty() {
                command.arg("--command-property").args(load.settings);
            }
            command
        };
        let done = run_all((0..load.producers).map(producer).collect(), scratch);
        let mut said = Said::default();
        done.iter().for_each(|one| said.join(said_by_producer(&one.output)));
        (said, done)
    }

    /// Reads a topic from its beginning.
    pub fn consume(&self, topic: &str, records: u64, reading: Reading, scratch: &Path) -> (Said, Vec<Done>) {
        let consumer = |number: u64| {
            let mut command = self.tool("consumer-perf-test");
            let group = if reading.each_all {
                format!("{topic}-{}-{number}", self.name())
            } else {
                format!("{topic}-{}", self.name())
            };
            let records = if reading.each_all { records } else { records / reading.consumers };
            command.args(["--topic", topic, "--bootstrap-server", &address(), "--group", &group]);
            command.args(["--num-records", &records.to_string()]);
            command
        };
        let done = run_all((0..reading.consumers).map(consumer).collect(), scratch);
        let mut said = Said::default();
        done.iter().for_each(|one| said.join(said_by_consumer(&one.output)));
        (said, done)
    }
}

impl Said {
    fn join(&mut self, other: Self) {
        self.records_per_second += other.records_per_second;
        self.megabytes_per_second += other.megabytes_per_second;
        if self.latencies.is_empty() {
            self.latencies = other.latencies;
            return;
        }
        for ((_, worst), (_, ms)) in self.latencies.iter_mut().zip(other.latencies) {
            *worst = worst.max(ms);
        }
    }
}

/// Runs a tool to its end.
pub fn run(command: Command, scratch: &Path) -> Done {
    run_all(vec![command], scratch).remove(0)
}

/// Runs tools at the same time, each to its end.
pub fn run_all(commands: Vec<Command>, scratch: &Path) -> Vec<Done> {
    let begin = Instant::now();
    let running: Vec<_> = (0..)
        .zip(commands)
        .map(|(number, mut command): (usize, _)| {
            let path = scratch.join(format!("output-{number}"));
            let output = File::create(&path).unwrap();
            let child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
            (thread::spawn(move || end(child, begin)), path, format!("{command:?}"))
        })
        .collect();
    let done = running.into_iter().map(|(waiting, path, command)| {
        let done = waiting.join().unwrap();
        let output = fs::read_to_string(path).unwrap();
        assert!(done.succeeded, "{command} failed:\n{output}");
        Done { output, ..done }
    });
    done.collect()
}

/// Waits for the end of a tool and tells what it took, without its output.
fn end(mut child: Child, begin: Instant) -> Done {
    let pid = Pid::from_child(&child);
    // Not reaped yet, so that the system still tells what it took.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let mut peak_kb = 0;
    while waitid(WaitId::Pid(pid), options).unwrap().is_none() {
        if begin.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        peak_kb = peak_kb_of(child.id()).unwrap_or(peak_kb);
        // Short tools are looked at often, so that their memory is seen.
        thread::sleep((begin.elapsed() / 50).clamp(Duration::from_micros(100), Duration::from_millis(5)));
    }
    let wall = begin.elapsed();
    let cpu = cpu_seconds_of(child.id());
    let succeeded = child.wait().unwrap().success();
    Done { output: String::new(), succeeded, cpu, wall, peak_kb }
}

/// None of a process that is ending.
fn peak_kb_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

/// No input: a tool must not wait for ours.
pub fn without_input(mut command: Command) -> Command {
    command.stdin(Stdio::null());
    command
}

/// From `N records sent, R records/sec (M MB/sec), A ms avg latency, X ms max latency, B ms 50th, C ms 95th, ...`.
fn said_by_producer(output: &str) -> Said {
    let line = output.lines().rfind(|line| line.contains("records sent") && line.contains(" 99.9th")).expect(output);
    let number = |text: &str| text.trim().split(' ').next().and_then(|word| word.parse::<f64>().ok()).expect(line);
    let part = |what: &str| number(line.split(", ").find(|part| part.contains(what)).expect(line));
    let latencies = [("p50", "50th"), ("p95", "95th"), ("p99", "99th"), ("p99.9", "99.9th"), ("max", "max latency")];
    Said {
        records_per_second: part("records/sec"),
        megabytes_per_second: line.split_once('(').map_or(0.0, |(_, rest)| number(rest)),
        latencies: latencies.into_iter().map(|(name, what)| (name, part(&format!(" ms {what}")))).collect(),
    }
}

/// From the line below the header: start, end, MB, MB/s, records, records/s, rebalance, fetch time, MB/s and records/s of that.
fn said_by_consumer(output: &str) -> Said {
    let line = output.lines().rfind(|line| line.split(", ").count() == 10).expect(output);
    let numbers: Vec<f64> = line.split(", ").skip(2).filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [.., megabytes_per_second, records_per_second] => {
            Said { records_per_second, megabytes_per_second, latencies: Vec::new() }
        }
        _ => panic!("{output}"),
    }
}
