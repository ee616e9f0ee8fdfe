//! A broker of our own for the length of a test: started on a free port, killed when dropped.
//!
//! Never talks Kafka's protocol itself; what a test wants to say to the broker it says with a client or a tool.
#![allow(dead_code, reason = "each test file compiles this module for itself and uses its own part of it")]
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a broker may take until it has written its ready file; generous for a debug build on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long a clean shutdown may take.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
/// A line of the log.
const SAID_WITHIN: Duration = Duration::from_secs(10);

/// A running `kafka-rs server-start`.
pub struct Broker {
    child: Child,
    address: String,
    files: TempDir,
}

impl Broker {
    /// Starts a broker whose data vanishes with it.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a broker whose data vanishes with it, with `key=value` settings over the defaults.
    pub fn start_with(overrides: &[&str]) -> Self {
        Self::launch(&["--ephemeral"], overrides)
    }

    /// Starts a broker on a data directory that outlives it.
    pub fn start_in(data: &Path, overrides: &[&str]) -> Self {
        let log_dirs = format!("log.dirs={}", data.display());
        let overrides: Vec<&str> = overrides.iter().copied().chain([log_dirs.as_str()]).collect();
        Self::launch(&[], &overrides)
    }

    /// Starts a broker on a `server.properties` just as it is.
    pub fn start_from(settings: &Path) -> Self {
        Self::spawn(&[], |command| {
            command.arg(settings);
        })
    }

    /// Starts a broker through another command, which must become the broker; its data is where `overrides` say.
    pub fn start_through(prefix: &[&str], overrides: &[&str]) -> Self {
        Self::launch_through(prefix, &[], overrides)
    }

    fn launch(arguments: &[&str], overrides: &[&str]) -> Self {
        Self::launch_through(&[], arguments, overrides)
    }

    fn launch_through(prefix: &[&str], arguments: &[&str], overrides: &[&str]) -> Self {
        Self::spawn(prefix, |command| {
            command.args(arguments).args(["--override", "listeners=PLAINTEXT://127.0.0.1:0"]);
            for setting in overrides {
                command.args(["--override", setting]);
            }
        })
    }

    fn spawn(prefix: &[&str], arguments: impl FnOnce(&mut Command)) -> Self {
        let files = TempDir::with_prefix("kafka-rs-test-").unwrap();
        let ready = files.path().join("ready");
        let output = File::create(files.path().join("output")).unwrap();
        let words: Vec<&str> = prefix.iter().copied().chain([env!("CARGO_BIN_EXE_kafka-rs")]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("server-start");
        arguments(&mut command);
        command.arg("--ready-file").arg(&ready);
        // Here too, so that a broker that is killed leaves nothing behind.
        command.env("TMPDIR", files.path());
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut broker = Self { child: command.spawn().unwrap(), address: String::new(), files };
        broker.address = broker.wait_for_address(&ready);
        broker
    }

    /// The first `host:port` of the ready file, which is complete once it ends with a newline or holds an address.
    fn wait_for_address(&mut self, ready: &Path) -> String {
        wait_for("the broker to be ready", READY_WITHIN, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the broker ended while starting ({status}):\n{}", self.output());
            }
            let text = fs::read_to_string(ready).ok()?;
            let address = text.split_whitespace().next()?;
            let (_, port) = address.rsplit_once(':')?;
            port.parse::<u16>().is_ok().then(|| address.trim_start_matches("PLAINTEXT://").to_owned())
        })
    }

    /// `host:port`, for a client's bootstrap setting.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process id, to look at or to signal.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the broker has printed and logged so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.output_file()).unwrap_or_default()
    }

    /// What it has printed and logged once that has the words: it may tell of a thing later than an answer does.
    pub fn says(&self, words: &str) -> String {
        wait_for(words, SAID_WITHIN, || Some(self.output()).filter(|said| said.contains(words)))
    }

    fn output_file(&self) -> PathBuf {
        self.files.path().join("output")
    }

    /// Waits until the broker ends by itself; gives how, and what it has printed and logged.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = wait_for("the broker to end", STOPPED_WITHIN, || self.child.try_wait().unwrap());
        (status, self.output())
    }

    /// Asks for a clean shutdown and waits for it.
    pub fn stop(mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        wait_for("the broker to shut down", STOPPED_WITHIN, || self.child.try_wait().unwrap())
    }

    /// Ends the process as a crash does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            let output = self.output();
            let tail: Vec<&str> = output.lines().rev().take(40).collect();
            eprintln!("the broker's last lines:");
            for line in tail.iter().rev() {
                eprintln!("  {line}");
            }
        }
    }
}

/// Polls until `check` gives a value; fails the test when it does not within the deadline.
pub fn wait_for<T>(what: &str, within: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(start.elapsed() < within, "waited {within:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
