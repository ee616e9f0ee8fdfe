//! `kafka-rs topics` against a broker of our own: the life of topics, and the words of Kafka's tool.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::{contains, diff, is_empty, starts_with};
use support::Broker;

fn topics(broker: &Broker, words: &[&str]) -> Assert {
    let mut command = Command::cargo_bin("kafka-rs").unwrap();
    command.arg("topics").args(["--bootstrap-server", broker.address()]).args(words).assert()
}

/// Fails with Kafka's line on stdout, and the exception's class on stderr.
fn fails(assert: Assert, class: &str, message: &str) {
    let last = format!("Error while executing topic command : {message}\n");
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    assert!(text.ends_with(&last), "{text}");
    assert.code(1).stderr(contains(format!("] ERROR {class}: {message}\n (org.apache.kafka.tools.TopicCommand)\n")));
}

#[test]
fn the_life_of_a_topic() {
    let broker = Broker::start();
    topics(&broker, &["--list"]).success().stdout(diff("\n"));
    topics(&broker, &["--create", "--topic", "orders", "--partitions", "3", "--replication-factor", "1"])
        .success()
        .stdout(diff("Created topic orders.\n"))
        .stderr(is_empty());
    topics(&broker, &["--list"]).success().stdout(diff("orders\n"));
    let described = topics(&broker, &["--describe", "--topic", "orders"]).success();
    let text = String::from_utf8(described.get_output().stdout.clone()).unwrap();
    assert!(text.starts_with("Topic: orders\tTopicId: "), "{text}");
    assert!(text.contains("\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: "), "{text}");
    assert!(
        text.ends_with("\tTopic: orders\tPartition: 2\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: \n"),
        "{text}"
    );
    topics(&broker, &["--alter", "--topic", "orders", "--partitions", "4"]).success().stdout(is_empty());
    topics(&broker, &["--describe", "--topic", "orders"]).success().stdout(contains("\tPartitionCount: 4\t"));
    topics(&broker, &["--delete", "--topic", "orders"]).success().stdout(is_empty());
    topics(&broker, &["--list"]).success().stdout(diff("\n"));
}

#[test]
fn errors_are_told_in_the_words_of_kafkas_tool() {
    let broker = Broker::start();
    let errors = "org.apache.kafka.common.errors";
    topics(&broker, &["--create", "--topic", "orders"]).success();
    fails(
        topics(&broker, &["--create", "--topic", "orders"]),
        &format!("{errors}.TopicExistsException"),
        "Topic 'orders' already exists.",
    );
    topics(&broker, &["--create", "--topic", "orders", "--if-not-exists"]).success().stdout(is_empty());
    fails(
        topics(&broker, &["--create", "--topic", "a b"]),
        &format!("{errors}.InvalidTopicException"),
        "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
    );
    fails(
        topics(&broker, &["--create", "--topic", "a", "--config", "nonsense=1"]),
        &format!("{errors}.InvalidConfigurationException"),
        "Unknown topic config name: nonsense",
    );
    for action in [&["--describe"][..], &["--delete"], &["--alter", "--partitions", "3"]] {
        let words = [action, &["--topic", "nope"]].concat();
        fails(topics(&broker, &words), "java.lang.IllegalArgumentException", "Topic 'nope' does not exist as expected");
        topics(&broker, &[&words[..], &["--if-exists"]].concat()).success().stdout(is_empty()).stderr(is_empty());
    }
    fails(
        topics(&broker, &["--alter", "--topic", "orders", "--partitions", "1"]),
        &format!("{errors}.InvalidPartitionsException"),
        "Topic already has 1 partition(s).",
    );
}

#[test]
fn patterns_mean_several_topics_but_an_exact_name_is_meant_alone() {
    let broker = Broker::start();
    for topic in ["foo.bar", "fooxbar", "other"] {
        topics(&broker, &["--create", "--topic", topic]).success();
    }
    topics(&broker, &["--list", "--topic", "foo.*"]).success().stdout(diff("foo.bar\nfooxbar\n"));
    topics(&broker, &["--list", "--topic", "other,foo.bar"]).success().stdout(diff("foo.bar\nfooxbar\nother\n"));
    topics(&broker, &["--list", "--topic", "nope"]).success().stdout(diff("\n"));
    topics(&broker, &["--delete", "--topic", "foo.bar"]).success().stderr(contains("also matches fooxbar"));
    topics(&broker, &["--list"]).success().stdout(diff("fooxbar\nother\n"));
    topics(&broker, &["--delete", "--topic", "fo.*|oth.*"]).success();
    topics(&broker, &["--list"]).success().stdout(diff("\n"));
}

#[test]
fn json_is_json() {
    let broker = Broker::start();
    topics(&broker, &["--create", "--topic", "t", "--partitions", "2", "--config", "retention.ms=1000"]).success();
    let json = |words: &[&str]| -> serde_json::Value {
        let output = topics(&broker, &[words, &["--output", "json"]].concat()).success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    };
    let listed = json(&["--list"]);
    assert_eq!((&listed["version"], &listed["topics"][0]["name"]), (&1.into(), &"t".into()));
    assert_eq!(listed["topics"][0]["partitions"], 2);
    let described = json(&["--describe"]);
    assert_eq!(
        (&described["version"], &described["topics"][0]["configs"]["retention.ms"]),
        (&1.into(), &"1000".into())
    );
    assert_eq!(described["topics"][0]["partitions"][1]["leader"], 1);
    topics(&broker, &["--list", "--output", "table"]).success().stdout(starts_with("┌").and(contains("│ t ")));
}

#[test]
fn a_dry_run_says_what_would_be_done() {
    let broker = Broker::start();
    let create = ["--create", "--topic", "new", "--partitions", "3"];
    let dry = |words: &[&str]| topics(&broker, &[words, &["--dry-run"]].concat());
    dry(&create).success().stdout(diff("Would create new: partitions 3, replication factor 1.\n"));
    topics(&broker, &["--list"]).success().stdout(diff("\n"));
    topics(&broker, &create).success();
    dry(&create).code(1).stdout(contains("Topic 'new' already exists."));
    dry(&[&create[..], &["--if-not-exists"]].concat()).success().stdout(diff("Nothing would be done.\n"));
    let alter = |count| ["--alter", "--topic", "new", "--partitions", count];
    dry(&alter("5")).success().stdout(diff("Would give new 5 partitions instead of 3.\n"));
    dry(&alter("2")).code(1);
    dry(&["--delete", "--topic", "new"]).success().stdout(diff("Would delete new with all its records.\n"));
    topics(&broker, &["--describe", "--topic", "new"]).success().stdout(contains("PartitionCount: 3"));
}

#[test]
fn old_spellings_work_and_say_what_to_write_today() {
    let broker = Broker::start();
    Command::cargo_bin("kafka-rs")
        .unwrap()
        .args(["topics", "--broker-list", broker.address(), "-create", "-topic=old"])
        .assert()
        .success()
        .stdout(diff("Created topic old.\n"))
        .stderr(diff(format!("--broker-list is old: write --bootstrap-server {}\n", broker.address())));
}

#[test]
fn a_broker_that_is_not_there_is_an_error_within_seconds() {
    let started = std::time::Instant::now();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let assert = Command::cargo_bin("kafka-rs")
        .unwrap()
        .args(["topics", "--list", "--bootstrap-server", &free.to_string()])
        .assert();
    assert.code(1).stderr(contains(format!("could not connect to {free}")).and(contains("hint: is a broker running")));
    assert!(started.elapsed().as_secs() < 10);
}
