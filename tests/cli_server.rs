//! `server-start` and `server-stop` as commands: what they say, how they end. What a broker does is tested elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
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
