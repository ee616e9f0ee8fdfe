//! Apache Kafka's tools for share groups against our broker: its share consumers read and acknowledge, its scripts look and change, and its
//! reader of log files finds nothing wrong with what is left behind.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use interop_support::{Cluster, Home, Ran, Tools, check_data_directory};
use serde_json::Value;
use support::wait_for;

const SCRIPTS: Tools = Tools::Scripts(Home::Kafka);
const OWN: Tools = Tools::Own;

/// Short locks, so that what a killed consumer had comes back while a test waits.
const SETTINGS: &[&str] = &["group.share.min.record.lock.duration.ms=1000", "group.share.record.lock.duration.ms=3000"];

fn script(cluster: &Cluster, tool: &str, arguments: &[&str]) -> Ran {
    SCRIPTS.run(tool, cluster.address(), arguments)
}

/// Makes a topic, and a group that reads it from its start.
fn prepare(cluster: &Cluster, topic: &str, partitions: &str, group: &str) {
    OWN.run("topics", cluster.address(), &["--create", "--topic", topic, "--partitions", partitions]).succeed();
    let set = ["--alter", "--entity-type", "groups", "--entity-name", group];
    script(cluster, "configs", &[&set[..], &["--add-config", "share.auto.offset.reset=earliest"]].concat()).succeed();
}

fn produce(cluster: &Cluster, topic: &str, keys: std::ops::Range<usize>) {
    let lines: String = keys.map(|n| format!("k{n}\tv{n}\n")).collect();
    let arguments = ["--topic", topic, "--reader-property", "parse.key=true"];
    OWN.run_with_input("console-producer", cluster.address(), &arguments, &lines).succeed();
}

/// The values that a share consumer of Kafka's prints, sorted.
fn consume(cluster: &Cluster, topic: &str, group: &str, count: usize, more: &[&str]) -> Vec<String> {
    let count_text = count.to_string();
    let arguments = ["--topic", topic, "--group", group, "--max-messages", &count_text, "--timeout-ms", "30000"];
    let ran = script(cluster, "console-share-consumer", &[&arguments[..], more].concat()).succeed();
    let mut values: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
    values.sort();
    assert_eq!(values.len(), count, "{}", ran.stderr);
    values
}

fn values(range: std::ops::Range<usize>) -> Vec<String> {
    let mut values: Vec<String> = range.map(|n| format!("v{n}")).collect();
    values.sort();
    values
}

#[test]
fn kafkas_tools_read_and_administer_a_share_group() {
    need!(SCRIPTS.missing());
    let cluster = Cluster::start_with(SETTINGS);
    let (topic, group) = (cluster.name("shared"), cluster.name("sharers"));
    let groups = |arguments: &[&str]| script(&cluster, "share-groups", arguments);
    prepare(&cluster, &topic, "2", &group);
    produce(&cluster, &topic, 0..100);
    assert_eq!(consume(&cluster, &topic, &group, 100, &[]), values(0..100));
    groups(&["--list", "--state"]).succeed().says(&[&group, "Empty"]);
    let lags = groups(&["--describe", "--group", &group, "--offsets"]).succeed();
    let partitions = lags.stdout.lines().filter(|line| line.contains(&topic)).count();
    assert_eq!(partitions, 2, "{lags:#?}");
    assert!(
        lags.stdout.lines().filter(|line| line.contains(&topic)).all(|line| line.trim_end().ends_with('0')),
        "{lags:#?}"
    );

    // What is rejected is gone, what is released comes again, five times in all.
    produce(&cluster, &topic, 100..101);
    assert_eq!(consume(&cluster, &topic, &group, 1, &["--reject"]), values(100..101));
    produce(&cluster, &topic, 101..102);
    let five = consume(&cluster, &topic, &group, 5, &["--release"]);
    assert!(five.iter().all(|value| value == "v101"), "{five:?}");
    produce(&cluster, &topic, 102..103);
    assert_eq!(consume(&cluster, &topic, &group, 1, &[]), values(102..103), "the others do not come again");

    groups(&["--reset-offsets", "--group", &group, "--topic", &topic, "--to-earliest", "--execute"]).succeed();
    assert_eq!(consume(&cluster, &topic, &group, 103, &[]), values(0..103));
    groups(&["--delete-offsets", "--group", &group, "--topic", &topic]).succeed().says(&[&topic, "Successful"]);
    groups(&["--delete", "--group", &group]).succeed().says(&["successful"]);
    groups(&["--list"]).succeed().says_not(&group);
    let Some(stopped) = cluster.stop() else { return };
    let dumped = check_data_directory(&stopped.data());
    assert!(dumped.contains("deliveryCompleteCount"), "states of share groups were read");
}

/// Offsets by partition, each with how often it is named.
type Offsets = BTreeMap<(i64, i64), usize>;

/// What a verifiable share consumer has said so far that it has acknowledged.
fn acknowledged(printed: &str) -> Offsets {
    let mut offsets = Offsets::new();
    // The last line of one that was killed may be cut.
    for event in printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if event["name"] != "offsets_acknowledged" {
            continue;
        }
        for partition in event["partitions"].as_array().unwrap() {
            for offset in partition["offsets"].as_array().unwrap() {
                let key = (partition["partition"].as_i64().unwrap(), offset.as_i64().unwrap());
                *offsets.entry(key).or_default() += 1;
            }
        }
    }
    offsets
}

/// A verifiable share consumer at work; killed when dropped.
struct Worker {
    child: Child,
    output: PathBuf,
}

impl Worker {
    fn start(cluster: &Cluster, topic: &str, group: &str, output: PathBuf) -> Self {
        let mut command = SCRIPTS.command("verifiable-share-consumer");
        command.args(["--bootstrap-server", cluster.address(), "--topic", topic, "--group-id", group]);
        command.args(["--acknowledgement-mode", "sync"]);
        let file = File::create(&output).unwrap();
        command.stdin(Stdio::null()).stdout(file).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), output }
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Goal: every record is accepted once, by one of several members, also when one of them is killed with records in its hands.
#[test]
fn several_consumers_share_the_records_of_a_topic() {
    need!(SCRIPTS.missing());
    const RECORDS: usize = 5000;
    const MOST_IN_HAND: usize = 500; // `max.poll.records`
    let files = tempfile::tempdir().unwrap();
    let cluster = Cluster::start_with(SETTINGS);
    let (topic, group) = (cluster.name("work"), cluster.name("workers"));
    prepare(&cluster, &topic, "3", &group);
    produce(&cluster, &topic, 0..RECORDS);
    let worker = |name: &str| Worker::start(&cluster, &topic, &group, files.path().join(name));
    let killed = worker("killed");
    wait_for("the first records", Duration::from_secs(60), || {
        killed.printed().contains("records_consumed").then_some(())
    });
    let output = killed.output.clone();
    drop(killed);
    let before = acknowledged(&std::fs::read_to_string(output).unwrap());
    let workers = [worker("one"), worker("two")];
    let lags = || script(&cluster, "share-groups", &["--describe", "--group", &group, "--offsets"]).stdout;
    wait_for("all records to be done with", Duration::from_secs(90), || {
        let lags = lags();
        let rows: Vec<&str> = lags.lines().filter(|line| line.contains(&topic)).collect();
        let is_done = |row: &&str| row.split_whitespace().last() == Some("0");
        (rows.len() == 3 && rows.iter().all(is_done)).then_some(())
    });
    let mut all = before.clone();
    for worker in &workers {
        for (offset, times) in acknowledged(&worker.printed()) {
            *all.entry(offset).or_default() += times;
        }
    }
    let twice: Vec<_> = all.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "accepted twice: {twice:?}");
    // What it had accepted and did not live to say is nobody else's.
    assert!(all.len() <= RECORDS && all.len() >= RECORDS - MOST_IN_HAND, "{} of {RECORDS}", all.len());
}
