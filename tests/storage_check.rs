//! `storage check` on directories of our broker: none of its faults is imagined, and those of the metadata are found.
//!
//! What can be wrong in a partition or a directory by itself is tested in `src/log/check/tests.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;
#[path = "support/tar.rs"]
mod tar;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::Broker;

const METADATA: &str = "__cluster_metadata-0";

/// Runs a tool of ours; gives exit code and stdout.
fn run(words: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kafka-rs")).args(words).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// Exit code, and kinds of all faults.
fn check(data: &Path) -> (i32, Vec<String>) {
    let (code, stdout) = run(&["storage", "check", data.to_str().unwrap(), "--output", "json"]);
    let document: Value = serde_json::from_str(&stdout).unwrap();
    let kind = |fault: &Value| fault["kind"].as_str().unwrap().to_owned();
    (code, document["faults"].as_array().unwrap().iter().map(kind).collect())
}

fn fill(broker: &Broker) {
    for topic in ["one", "two"] {
        let create = ["topics", "--bootstrap-server", broker.address(), "--create", "--topic", topic];
        assert_eq!(run(&create).0, 0);
    }
    let mut produce = Command::new(env!("CARGO_BIN_EXE_kafka-rs"));
    produce.args(["console-producer", "--bootstrap-server", broker.address(), "--topic", "one"]);
    let mut child = produce.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let lines: String = (0..500).map(|n| format!("{n} {}\n", "x".repeat(100))).collect();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let consume = ["console-consumer", "--bootstrap-server", broker.address(), "--topic", "one", "--group", "g"];
    let enough = ["--from-beginning", "--max-messages", "500"];
    assert_eq!(run(&[&consume[..], &enough].concat()).1.lines().count(), 500);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn a_directory_in_use_or_closed_has_no_fault_and_killed_ones_at_most_a_torn_end() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let broker = Broker::start_in(&data, &["log.index.interval.bytes=500"]);
    fill(&broker);
    assert_eq!(check(&data), (0, vec!["in-use".to_owned()]));
    broker.stop();
    assert_eq!(check(&data), (0, vec![]));
    let (code, text) = run(&["storage", "check", data.to_str().unwrap()]);
    assert_eq!((code, text.as_str()), (0, ""), "nothing to say");
    Broker::start_in(&data, &[]).kill();
    let (code, kinds) = check(&data);
    assert_eq!((code, kinds), (0, vec!["not-closed".to_owned()]));
}

/// Compacted topics, open and aborted transactions, deleted records and topics, groups: all of it is as it should be.
#[test]
fn what_kafka_left_has_no_fault() {
    for (name, was_stopped) in
        [("3.9.1-stopped", true), ("3.9.1-killed", false), ("4.3.1-stopped", true), ("4.3.1-killed", false)]
    {
        let temp = tempfile::tempdir().unwrap();
        let archive = Path::new("tests/data/directories").join(format!("kafka-{name}.tar.zst"));
        tar::unpack(&archive, temp.path());
        let (code, text) = run(&["storage", "check", temp.path().join("data").to_str().unwrap()]);
        assert_eq!(code, 0, "{name}: {text}");
        assert_eq!(text.contains("not-closed"), !was_stopped, "{name}: {text}");
    }
}

#[test]
fn the_metadata_are_read_and_partitions_compared_with_them() {
    let temp = tempfile::tempdir().unwrap();
    let good = temp.path().join("good");
    let broker = Broker::start_in(&good, &[]);
    fill(&broker);
    broker.stop();
    let log = format!("{METADATA}/00000000000000000000.log");
    type Change = fn(&Path, &str);
    let cases: &[(&str, &[&str], Change)] = &[
        ("a flipped bit", &["damaged"], |data, log| {
            let mut bytes = fs::read(data.join(log)).unwrap();
            bytes[70] ^= 1;
            fs::write(data.join(log), bytes).unwrap();
        }),
        ("the beginning is gone", &["metadata-gap"], |data, log| {
            let name = data.join(log);
            fs::rename(&name, name.with_file_name("00000000000000000001.log")).unwrap();
        }),
        ("a snapshot of garbage", &["metadata-snapshot"], |data, _| {
            let name = "00000000000000000003-0000000001.checkpoint";
            fs::write(data.join(METADATA).join(name), "garbage, and more than a header of it").unwrap();
        }),
        ("no quorum-state", &["quorum-state"], |data, _| {
            fs::remove_file(data.join(METADATA).join("quorum-state")).unwrap();
        }),
        ("an old quorum-state", &["quorum-state"], |data, _| {
            let old = r#"{"leaderId":-1,"leaderEpoch":0,"votedId":-1,"data_version":1}"#;
            fs::write(data.join(METADATA).join("quorum-state"), old).unwrap();
        }),
        ("another topic id", &["topic-id"], |data, _| {
            fs::copy(data.join("two-0/partition.metadata"), data.join("one-0/partition.metadata")).unwrap();
        }),
        ("a topic that nobody knows", &["stray-partition"], |data, _| {
            copy(&data.join("one-0"), &data.join("three-0"));
        }),
        ("a partition is gone", &["missing-partition"], |data, _| {
            fs::remove_dir_all(data.join("two-0")).unwrap();
        }),
    ];
    for (number, (what, expected, change)) in cases.iter().enumerate() {
        let data = temp.path().join(number.to_string());
        copy(&good, &data);
        change(&data, &log);
        let (code, kinds) = check(&data);
        assert_eq!(code, 1, "{what}: {kinds:?}");
        for kind in *expected {
            assert!(kinds.iter().any(|found| found == kind), "{what}: {kinds:?}");
        }
    }
}

#[test]
fn machines_get_lines_and_nothing_is_changed() {
    let temp = tempfile::tempdir().unwrap();
    let golden = PathBuf::from("tests/data/log");
    let data = temp.path().join("data");
    copy(&golden, &data);
    let log = data.join("kafka-4.3.1-golden-0/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    bytes[600] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let shown = data.to_str().unwrap();
    let (code, text) = run(&["storage", "check", shown, "--threads", "1"]);
    let expected = format!(
        "info not-closed {shown}: its broker did not stop cleanly, and will recover its logs\n\
         data-loss damaged {}: byte 457: wrong checksum, 457 bytes can't be read (offsets 4 up to 8)\n",
        log.display()
    );
    assert_eq!((code, text), (1, expected));
    let (code, lines) = run(&["storage", "check", shown, "--output", "ndjson"]);
    let objects: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<_> = objects.iter().map(|object| object["type"].as_str().unwrap()).collect();
    assert_eq!((code, types), (1, vec!["directory", "fault", "fault", "summary"]));
    assert_eq!(objects[2]["lostTo"], 8);
    assert_eq!(objects[3]["dataLoss"], 1);
    assert_eq!(fs::read(&log).unwrap(), bytes);
    assert_eq!(run(&["storage", "check", temp.path().join("none").to_str().unwrap()]).0, 2);
    let config = temp.path().join("server.properties");
    let settings = "process.roles=broker,controller\nnode.id=7\ncontroller.quorum.voters=7@localhost:9093\n";
    fs::write(&config, format!("{settings}log.dirs={shown}\n")).unwrap();
    assert_eq!(run(&["storage", "check", "-c", config.to_str().unwrap()]).0, 1);
    assert_eq!(run(&["storage", "check"]).0, 1, "a mistake in the command line");
}
