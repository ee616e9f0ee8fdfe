//! `server-start` and `server-stop` as commands: what they say, how they end. What a broker does is tested elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use rustix::process::{Pid, Signal, kill_process};
use support::{Broker, wait_for};

fn kafka_rs() -> Command {
    Command::cargo_bin("kafka-rs").unwrap()
}

/// A node id that no other broker on this machine has, so that only the test's own is stopped.
fn own_node_id(offset: u32) -> String {
    (1_000_000 + std::process::id() * 8 + offset).to_string()
}

fn directory_of(output: &str) -> &str {
    let line = output.lines().find(|line| line.contains("data is kept in")).unwrap();
    line.split("data is kept in ").nth(1).unwrap().split(' ').next().unwrap()
}

#[test]
fn a_broker_says_where_it_is_and_ends_cleanly() {
    let broker = Broker::start();
    let address = broker.address().to_owned();
    let output = broker.output();
    assert!(output.contains(&format!("listens on {address}")), "{output}");
    assert!(output.trim_end().ends_with("(kafka.server.KafkaRaftServer)") && output.contains("Kafka Server started"));
    let data = directory_of(&output).to_owned();
    assert!(Path::new(&data).exists());
    assert_eq!(broker.stop().code(), Some(143), "128 + SIGTERM, as a JVM ends");
    assert!(!Path::new(&data).exists(), "--ephemeral leaves nothing behind");
}

#[test]
fn a_port_that_is_taken_is_told_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = format!("listeners=PLAINTEXT://{}", taken.local_addr().unwrap());
    kafka_rs()
        .args(["server-start", "--ephemeral", "--override", &listeners])
        .assert()
        .code(1)
        .stderr(contains("could not listen on").and(contains("hint: is a broker running there?")));
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let start = |words: &[&str]| kafka_rs().arg("server-start").args(words).assert().code(1).stdout(is_empty());
    start(&["/no/such.properties"]).stderr(contains("could not read /no/such.properties"));
    start(&["a", "b", "c"]).stderr(contains("Found non argument parameters: b,c"));
    start(&["--ephemeral", "--override", "log.dirs=/x"]).stderr(contains("can't be used with option"));
    start(&["--override", "num.partitions=none"]).stderr(contains("num.partitions"));
    start(&["--foo"]).stderr(contains("foo is not a recognized option"));
}

#[test]
fn a_background_start_returns_when_the_broker_is_ready() {
    let logs = tempfile::tempdir().unwrap();
    let node = own_node_id(0);
    let start = |tool: &str, listeners: &str| {
        kafka_rs()
            .args([tool, "-daemon", "--ephemeral", "--override", listeners])
            .args(["--override", &format!("node.id={node}")])
            .env("LOG_DIR", logs.path())
            .timeout(Duration::from_secs(60))
            .assert()
    };
    for tool in ["server-start", "kafka-server-start.sh"] {
        start(tool, "listeners=PLAINTEXT://127.0.0.1:0").success();
        let output = fs::read_to_string(logs.path().join("kafkaServer.out")).unwrap();
        assert!(output.contains("Kafka Server started"), "{output}");
        let data = directory_of(&output).to_owned();
        assert!(Path::new(&data).exists());

        kafka_rs().args(["server-stop", "--wait", "--node-id", &node]).assert().success();
        wait_for("the data to vanish", Duration::from_secs(10), || (!Path::new(&data).exists()).then_some(()));
    }

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    start("server-start", &format!("listeners=PLAINTEXT://{}", taken.local_addr().unwrap()))
        .code(1)
        .stderr(contains("could not listen on").and(contains("the broker ended while starting")));
}

#[test]
fn server_stop_takes_the_node_that_is_meant() {
    let node = own_node_id(1);
    let broker = Broker::start_with(&[&format!("node.id={node}")]);
    let stop = |words: &[&str]| kafka_rs().arg("server-stop").args(words).assert().success().stdout(is_empty());
    // Other filters match nothing, and say nothing.
    stop(&["--node-id", &own_node_id(2)]);
    stop(&[&format!("--node-id={node}"), "--wait"]);
    assert!(!Path::new(&format!("/proc/{}/exe", broker.pid())).exists());
}

/// A terminal that collects what is written to it; gives the side that programs write to.
fn terminal() -> (File, Arc<Mutex<String>>) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let mut ours = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let theirs = File::options().read(true).write(true).open(name).unwrap();
    let shown = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&shown);
    std::thread::spawn(move || {
        let mut block = [0; 4096];
        // It ends with an error when nobody has the other side open any more.
        while let Ok(read) = ours.read(&mut block) {
            seen.lock().unwrap().push_str(&String::from_utf8_lossy(&block[..read]));
        }
    });
    (theirs, shown)
}

/// A start at a terminal that waits: in the place of a small file of a log there is a pipe, until somebody writes to it.
struct HeldUp {
    data: tempfile::TempDir,
    child: std::process::Child,
    shown: Arc<Mutex<String>>,
    content: Vec<u8>,
}

impl HeldUp {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let broker = Broker::start_in(data.path(), &[]);
        let to = ["--bootstrap-server", broker.address()];
        kafka_rs().args(["topics", "--create", "--topic", "t", "--partitions", "2"]).args(to).assert().success();
        kafka_rs().args(["console-producer", "--topic", "t"]).args(to).write_stdin("one\ntwo\n").assert().success();
        broker.kill();
        let held = data.path().join("t-1/partition.metadata");
        let content = fs::read(&held).unwrap();
        fs::remove_file(&held).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &held, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        let (terminal, shown) = terminal();
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_kafka-rs"))
            .args(["server-start", "--override", "listeners=PLAINTEXT://127.0.0.1:0"])
            .args(["--override", &format!("log.dirs={}", data.path().display())])
            .stdin(Stdio::null())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal)
            .spawn()
            .unwrap();
        Self { data, child, shown, content }
    }

    fn text(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    fn shows(&self, what: &str) {
        wait_for(what, Duration::from_secs(30), || self.text().contains(what).then_some(()));
    }

    fn let_go(&self) {
        fs::write(self.data.path().join("t-1/partition.metadata"), &self.content).unwrap();
    }
}

impl Drop for HeldUp {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Goal: who waits at a terminal for logs to be opened sees how far it is, and nothing of it stays.
#[test]
fn a_long_start_is_shown_on_a_terminal() {
    let start = HeldUp::start();
    start.shows("opening logs: 1 of 2 partitions");
    start.shows(" checked (");
    assert!(!start.text().contains("is ready"), "{}", start.text());
    start.let_go();
    start.shows("is ready");
    let text = start.text();
    let (_, after) = text.rsplit_once("opening logs").unwrap();
    let (left, _) = after.split_once("kafka-rs").unwrap();
    assert!(left.contains("\x1b[2K") || left.contains("\r\x1b[K"), "the line is cleared: {left:?}");
}

/// Goal: a signal ends a broker also while it opens its logs, which may take long.
#[test]
fn a_signal_ends_a_start() {
    let mut start = HeldUp::start();
    start.shows("opening logs: 1 of 2 partitions");
    kill_process(Pid::from_child(&start.child), Signal::INT).unwrap();
    let status = wait_for("the end", Duration::from_secs(30), || start.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    start.shows("stopped before it was ready");
}
