//! Several log directories with Kafka's own tools, and with Apache Kafka before and after on the same ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use interop_support::{Home, Node, Quorum, Tools, for_each_home};

const TOPIC: &str = "spread";
const PARTITIONS: usize = 6;

/// Where each partition of the topic is and how large, as `kafka-log-dirs.sh` tells it.
fn described(tools: Tools, address: &str) -> BTreeMap<u64, (String, u64)> {
    let ran = tools.run("log-dirs", address, &["--describe", "--topic-list", TOPIC]).succeed();
    let json = ran.stdout.lines().find(|line| line.starts_with('{')).unwrap();
    let found: serde_json::Value = serde_json::from_str(json).unwrap();
    let mut places = BTreeMap::new();
    for dir in found["brokers"][0]["logDirs"].as_array().unwrap() {
        assert!(dir["error"].is_null(), "{dir}");
        for partition in dir["partitions"].as_array().unwrap() {
            let name = partition["partition"].as_str().unwrap();
            let number = name.strip_prefix(&format!("{TOPIC}-")).unwrap().parse().unwrap();
            assert_eq!((partition["offsetLag"].as_i64(), partition["isFuture"].as_bool()), (Some(0), Some(false)));
            let place = (dir["logDir"].as_str().unwrap().to_owned(), partition["size"].as_u64().unwrap());
            assert_eq!(places.insert(number, place), None, "{name} is in two directories");
        }
    }
    places
}

fn records(tools: Tools, address: &str) -> Vec<String> {
    let read = ["--topic", TOPIC, "--from-beginning", "--timeout-ms", "8000", "--max-messages", "300"];
    let mut lines: Vec<String> =
        tools.run("console-consumer", address, &read).stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Has Kafka's script move all partitions to a directory, and waits for its word that they are there.
fn reassign(tools: Tools, address: &str, to: &Path) {
    let entries: Vec<String> = (0..PARTITIONS)
        .map(|n| format!(r#"{{"topic":"{TOPIC}","partition":{n},"replicas":[1],"log_dirs":["{}"]}}"#, to.display()))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!(r#"{{"version":1,"partitions":[{}]}}"#, entries.join(","))).unwrap();
    let with = |action: &str| {
        let json = file.path().to_str().unwrap();
        tools.run("reassign-partitions", address, &["--reassignment-json-file", json, action]).succeed()
    };
    with("--execute").says(&["Successfully started moving log directory to"]);
    let done = support::wait_for("the partitions to move", std::time::Duration::from_secs(120), || {
        let said = with("--verify").stdout;
        (said.matches("completed successfully").count() == PARTITIONS).then_some(said)
    });
    assert!(!done.contains("in progress"), "{done}");
}

/// Goal: Kafka's directories of a broker with two of them serve ours, where Kafka's tools move partitions between them; Kafka finds each where
/// ours has left it.
fn two_directories_go_to_kafka_and_back(home: Home) {
    let temp = tempfile::tempdir().unwrap();
    let (a, b) = (temp.path().join("a"), temp.path().join("b"));
    let node = Node::format(home, Quorum::Static, &[&format!("log.dirs={},{}", a.display(), b.display())]);
    let (tools, address) = (Tools::Scripts(home), node.address());
    let kafka = node.kafka(&[]);
    let partitions = PARTITIONS.to_string();
    tools.run("topics", &address, &["--create", "--topic", TOPIC, "--partitions", &partitions]).succeed();
    let lines: String = (0..300).map(|n| format!("{n}\tvalue {n}\n")).collect();
    let property = tools.option("--reader-property", "--property");
    let produce = ["--topic", TOPIC, property, "parse.key=true"];
    tools.run_with_input("console-producer", &address, &produce, &lines).succeed();
    let written = records(tools, &address);
    assert_eq!(written.len(), 300);
    let places = described(tools, &address);
    assert_eq!(places.len(), PARTITIONS);
    kafka.stop();

    let broker = node.ours();
    assert_eq!(described(tools, &address), places, "{home:?}: what Kafka has left");
    assert_eq!(records(tools, &address), written);
    reassign(tools, &address, &b);
    let moved = described(tools, &address);
    assert!(moved.values().all(|(dir, _)| Path::new(dir) == b), "{moved:?}");
    assert_eq!(records(tools, &address), written);
    broker.stop();

    let kafka = node.kafka(&[]);
    assert_eq!(described(tools, &address), moved, "{home:?}: what ours has left");
    assert_eq!(records(tools, &address), written);
    reassign(tools, &address, &a);
    kafka.kill();

    let broker = node.ours();
    let back = described(tools, &address);
    assert!(back.values().all(|(dir, _)| Path::new(dir) == a), "{back:?}");
    assert_eq!(records(tools, &address), written);
    broker.stop();
}

#[test]
fn kafka_moves_partitions_of_ours_and_finds_them() {
    need!(Tools::Scripts(Home::Kafka).missing());
    for_each_home(two_directories_go_to_kafka_and_back);
}
