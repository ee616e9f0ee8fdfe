//! How the binary is called: by subcommand, by the names of Kafka's scripts, and wrongly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, diff, is_empty, starts_with};

fn kafka_rs() -> Command {
    Command::cargo_bin("kafka-rs").unwrap()
}

#[test]
fn alone_it_shows_its_tools_and_fails() {
    kafka_rs().assert().code(1).stdout(is_empty()).stderr(contains("Usage: kafka-rs").and(contains("links")));
}

#[test]
fn help_is_data_and_succeeds() {
    for words in [&["--help"][..], &["help"], &["-h"]] {
        kafka_rs().args(words).assert().success().stdout(contains("Usage: kafka-rs")).stderr(is_empty());
    }
    for words in [&["help", "links"][..], &["links", "--help"], &["help", "zookeeper-server-start.sh"]] {
        kafka_rs().args(words).assert().success().stdout(contains("Usage: kafka-rs")).stderr(is_empty());
    }
}

#[test]
fn versions() {
    let version = env!("CARGO_PKG_VERSION");
    kafka_rs().arg("--version").assert().success().stdout(diff(format!("kafka-rs {version}\n")));
    kafka_rs().args(["links", "--version"]).assert().success().stdout(diff(format!("{version}\n")));
}

#[test]
fn an_unknown_tool_gets_a_hint() {
    kafka_rs().arg("linsk").assert().code(1).stdout(is_empty()).stderr(diff(
        "error: kafka-rs has no tool named linsk\nhint: did you mean links? `kafka-rs --help` lists the tools\n",
    ));
}

#[test]
fn a_link_is_its_tool() {
    let dir = tempfile::tempdir().unwrap();
    kafka_rs().arg("links").arg(dir.path()).assert().success();
    for name in ["zookeeper-server-start.sh", "zookeeper-server-start"] {
        Command::new(dir.path().join(name))
            .arg("config/zookeeper.properties")
            .assert()
            .success()
            .stdout(starts_with("ZooKeeper is not needed"))
            .stderr(is_empty());
    }
    Command::new(dir.path().join("zookeeper-shell.sh"))
        .args(["localhost:2181", "ls", "/brokers/ids"])
        .assert()
        .code(1)
        .stdout(is_empty())
        .stderr(contains("no ZooKeeper to look into").and(contains("hint: `kafka-rs metadata-shell`")));
    Command::new(dir.path().join("zookeeper-security-migration.sh"))
        .args(["--zookeeper.acl=secure", "--zookeeper.connect", "localhost:2181"])
        .assert()
        .success()
        .stdout(starts_with("ZooKeeper is not needed"));
    // The same names work behind the program's own.
    kafka_rs().args(["zookeeper-server-start.bat", "x"]).assert().success();
    // A second time replaces the links.
    kafka_rs().arg("links").arg(dir.path()).assert().success();
}

#[test]
fn links_spare_what_is_not_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("zookeeper-server-stop.sh");
    fs::write(&taken, "mine").unwrap();
    kafka_rs()
        .arg("links")
        .arg(dir.path())
        .assert()
        .code(1)
        .stderr(contains("exists and is not a link to kafka-rs").and(contains("hint: ")));
    assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was made");
    kafka_rs().args(["links", "--force"]).arg(dir.path()).assert().success();
}

#[test]
fn a_closed_pipe_is_a_quiet_success() {
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("kafka-rs"))
        .args(["man", "links"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
