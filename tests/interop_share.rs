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

use interop_support::{Cluster, Home, Ran, Restarting, Tools, check_data_directory};
use serde_json::Value;
use support::wait_for;

const SCRIPTS: Tools = Tools::Scripts(Home::Kafka);
const OWN: Tools = Tools::Own;

/// Short locks, so that what a killed consumer had comes back while a test waits.
const SETTINGS: &[&str] = &["group.share.min.record.lock.duration.ms=1000", "group.share.record.lock.duration.ms=3000"];

fn script(address: &str, tool: &str, arguments: &[&str]) -> Ran {
    SCRIPTS.run(tool, address, arguments)
}

/// Makes a topic, and a group that reads it from its start.
fn prepare(address: &str, topic: &str, partitions: &str, group: &str) {
    OWN.run("topics", address, &["--create", "--topic", topic, "--partitions", partitions]).succeed();
    let set = ["--alter", "--entity-type", "groups", "--entity-name", group];
    script(address, "configs", &[&set[..], &["--add-config", "share.auto.offset.reset=earliest"]].concat()).succeed();
}

fn produce(address: &str, topic: &str, keys: std::ops::Range<usize>) {
    let lines: String = keys.map(|n| format!("k{n}\tv{n}\n")).collect();
    let arguments = ["--topic", topic, "--reader-property", "parse.key=true"];
    OWN.run_with_input("console-producer", address, &arguments, &lines).succeed();
}

/// The values that a share consumer of Kafka's prints, sorted.
fn consume(address: &str, topic: &str, group: &str, count: usize, more: &[&str]) -> Vec<String> {
    let count_text = count.to_string();
    let arguments = ["--topic", topic, "--group", group, "--max-messages", &count_text, "--timeout-ms", "30000"];
    let ran = script(address, "console-share-consumer", &[&arguments[..], more].concat()).succeed();
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
    let groups = |arguments: &[&str]| script(cluster.address(), "share-groups", arguments);
    prepare(cluster.address(), &topic, "2", &group);
    produce(cluster.address(), &topic, 0..100);
    assert_eq!(consume(cluster.address(), &topic, &group, 100, &[]), values(0..100));
    groups(&["--list", "--state"]).succeed().says(&[&group, "Empty"]);
    let lags = groups(&["--describe", "--group", &group, "--offsets"]).succeed();
    let partitions = lags.stdout.lines().filter(|line| line.contains(&topic)).count();
    assert_eq!(partitions, 2, "{lags:#?}");
    assert!(
        lags.stdout.lines().filter(|line| line.contains(&topic)).all(|line| line.trim_end().ends_with('0')),
        "{lags:#?}"
    );

    // What is rejected is gone, what is released comes again, five times in all.
    produce(cluster.address(), &topic, 100..101);
    assert_eq!(consume(cluster.address(), &topic, &group, 1, &["--reject"]), values(100..101));
    produce(cluster.address(), &topic, 101..102);
    let five = consume(cluster.address(), &topic, &group, 5, &["--release"]);
    assert!(five.iter().all(|value| value == "v101"), "{five:?}");
    produce(cluster.address(), &topic, 102..103);
    assert_eq!(consume(cluster.address(), &topic, &group, 1, &[]), values(102..103), "the others do not come again");

    groups(&["--reset-offsets", "--group", &group, "--topic", &topic, "--to-earliest", "--execute"]).succeed();
    assert_eq!(consume(cluster.address(), &topic, &group, 103, &[]), values(0..103));
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
        if event["name"] != "offsets_acknowledged" || event["success"] != true {
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
    fn start(address: &str, topic: &str, group: &str, output: PathBuf) -> Self {
        let mut command = SCRIPTS.command("verifiable-share-consumer");
        command.args(["--bootstrap-server", address, "--topic", topic, "--group-id", group]);
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

/// Waits until nothing of the three partitions is left to be acknowledged.
fn wait_until_all_is_done(address: &str, topic: &str, group: &str) {
    wait_for("all records to be done with", Duration::from_secs(90), || {
        let lags = script(address, "share-groups", &["--describe", "--group", group, "--offsets"]).stdout;
        let rows: Vec<&str> = lags.lines().filter(|line| line.contains(topic)).collect();
        let is_done = |row: &&str| row.split_whitespace().last() == Some("0");
        (rows.len() == 3 && rows.iter().all(is_done)).then_some(())
    });
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
    prepare(cluster.address(), &topic, "3", &group);
    produce(cluster.address(), &topic, 0..RECORDS);
    let worker = |name: &str| Worker::start(cluster.address(), &topic, &group, files.path().join(name));
    let killed = worker("killed");
    wait_for("the first records", Duration::from_secs(60), || {
        killed.printed().contains("records_consumed").then_some(())
    });
    let output = killed.output.clone();
    drop(killed);
    let before = acknowledged(&std::fs::read_to_string(output).unwrap());
    let workers = [worker("one"), worker("two")];
    wait_until_all_is_done(cluster.address(), &topic, &group);
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

/// Goal: a broker that is killed while it is at work forgets no acknowledgement that it has answered, and no record; the members go on when
/// it is back.
#[test]
fn a_killed_broker_hands_out_again_what_was_not_acknowledged_alone() {
    need!(SCRIPTS.missing());
    const RECORDS: usize = 30_000;
    const KILLS: usize = 3;
    /// Of each of two members with each kill: `max.poll.records`, acknowledged and never answered.
    const MOST_UNANSWERED: usize = KILLS * 2 * 500;
    let files = tempfile::tempdir().unwrap();
    let mut broker = Restarting::start(SETTINGS);
    let (topic, group) = ("work", "workers");
    prepare(broker.address(), topic, "3", group);
    produce(broker.address(), topic, 0..RECORDS);
    let workers = ["one", "two"].map(|name| Worker::start(broker.address(), topic, group, files.path().join(name)));
    let all = || {
        let mut all = Offsets::new();
        for (offset, times) in workers.iter().flat_map(|worker| acknowledged(&worker.printed())) {
            *all.entry(offset).or_default() += times;
        }
        all
    };
    for _ in 0..KILLS {
        let before = all().len();
        wait_for("more acknowledgements", Duration::from_secs(60), || (all().len() > before).then_some(()));
        broker.kill();
        broker.start_again();
    }
    assert!(all().len() < RECORDS, "it was killed at work");
    wait_until_all_is_done(broker.address(), topic, group);
    let all = all();
    let twice: Vec<_> = all.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "accepted twice: {twice:?}");
    assert!(all.len() <= RECORDS && all.len() >= RECORDS - MOST_UNANSWERED, "{} of {RECORDS}", all.len());
}
