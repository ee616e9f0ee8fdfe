//! Brokers to measure, and what they took.
#![allow(dead_code, reason = "each benchmark compiles this module for itself and uses its own part of it")]
#![allow(unreachable_pub, reason = "a module of a binary has no outside")]

pub mod members;
pub mod servers;
#[path = "../../tests/support/wire.rs"]
pub mod wire;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wire::Wire;

/// A broker of ours.
pub struct Running {
    child: Child,
    pub address: String,
}

/// Starts a broker; the time until it answers.
pub fn start(dir: &Path) -> (Running, Duration) {
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

/// Stops it cleanly.
pub fn stop(mut running: Running) {
    let pid = rustix::process::Pid::from_child(&running.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    running.child.wait().unwrap();
}

/// Its resident memory.
pub fn resident_kb(running: &Running) -> u64 {
    resident_kb_of(running.pid())
}

/// The resident memory of a process.
pub fn resident_kb_of(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Seconds of processor time that the broker has used.
pub fn cpu_seconds(running: &Running) -> f64 {
    cpu_seconds_of(running.pid())
}

/// Seconds of processor time that a process has used.
pub fn cpu_seconds_of(pid: u32) -> f64 {
    let mut stat = String::new();
    fs::File::open(format!("/proc/{pid}/stat")).unwrap().read_to_string(&mut stat).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Prints the spread of measured times.
pub fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |at: usize| times[at].as_secs_f64() * 1000.0;
    println!(
        "{what}: {:.2} ms at best, {:.2} ms median, {:.2} ms at worst",
        ms(0),
        ms(times.len() / 2),
        ms(times.len() - 1)
    );
}
