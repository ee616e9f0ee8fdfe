//! Kafka Streams' word count against our broker, in groups of the classic and of the streams protocol (KIP-1071): its applications and
//! the broker are killed, and the counts are right all the same.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use interop_support::{Driver, Home, Library, Restarting, Tools, check_data_directory, installed, temporary_files_in};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::wait_for;
use tempfile::TempDir;

const PARTITIONS: usize = 3;
const WORDS: usize = 50;
/// Kafka Streams gives partitions of a killed application to others when its session has timed out.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// How the application's members come to their tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Classic,
    Streams,
}

impl Protocol {
    /// Sessions are short, so that the tasks of who is killed pass on soon. In groups of the streams protocol the broker says how long they
    /// are.
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Classic => &["session.timeout.ms=6000", "heartbeat.interval.ms=500"],
            Self::Streams => &["group.protocol=streams"],
        }
    }
}

/// A running application.
struct App {
    child: Child,
    log: PathBuf,
}

impl App {
    fn start(address: &str, guarantee: &str, state: &Path, protocol: Protocol) -> Self {
        let path = state.join("log");
        let log = File::options().create(true).append(true).open(&path).unwrap();
        let libs = Home::Kafka.path().join("libs/*");
        let child = Command::new("java")
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-Dlog4j2.level=WARN", "-cp"])
            .arg(format!("{}:{}", installed(Home::Kafka.folder()).display(), libs.display()))
            .args(["WordCount", address, "word-count", "lines", "counts", guarantee])
            .arg(state.join("state"))
            .args(protocol.settings())
            .env("JAVA_TOOL_OPTIONS", temporary_files_in(state))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, log: path }
    }

    /// kill -9.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it end by itself.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        wait_for("the application to end", Duration::from_secs(30), || self.child.try_wait().unwrap());
    }
}

/// Ends the application too when the test fails, and tells what it said.
impl Drop for App {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            eprintln!("the application's last lines:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SETTINGS: &[&str] = &[
    "offsets.topic.num.partitions=3",
    "group.streams.initial.rebalance.delay.ms=1000",
    "group.streams.assignment.interval.ms=100",
    "group.streams.min.heartbeat.interval.ms=300",
    "group.streams.heartbeat.interval.ms=300",
    "group.streams.min.session.timeout.ms=5000",
    "group.streams.session.timeout.ms=6000",
];

/// Writes `count` lines, each of which has every word once, and counts them.
fn write_lines(driver: &mut Driver, count: usize, written: &mut i64) {
    let line: Vec<String> = (0..WORDS).map(|n| format!("word{n}")).collect();
    let line = line.join(" ");
    let records: Vec<_> =
        (0..count).map(|n| json!({"t": "lines", "p": n % PARTITIONS, "k": null, "v": line, "h": []})).collect();
    driver.call(json!({"op": "produce", "codec": "none", "acks": "all", "records": records}));
    *written += count as i64;
}

/// All counts that went out for each word so far, in order. An application that was killed may have counted again under at_least_once, so
/// there may be more than were asked for.
fn counts(driver: &mut Driver) -> BTreeMap<String, Vec<i64>> {
    let read = driver
        .call(json!({"op": "consume", "topics": ["counts"], "timeout_ms": 30_000, "isolation": "read_committed"}));
    let mut counts: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for record in read.as_array().unwrap() {
        let (word, count) = (record["k"].as_str().unwrap(), record["v"].as_str().unwrap());
        counts.entry(word.to_owned()).or_default().push(count.parse().unwrap());
    }
    counts
}

fn last_of_all(counts: &BTreeMap<String, Vec<i64>>) -> i64 {
    if counts.len() < WORDS {
        return 0;
    }
    counts.values().filter_map(|counts| counts.iter().max()).min().copied().unwrap_or_default()
}

fn wait_for_counts(driver: &mut Driver, what: &str, at_least: i64) -> BTreeMap<String, Vec<i64>> {
    wait_for(what, SETTLED_WITHIN, || {
        let counts = counts(driver);
        (last_of_all(&counts) >= at_least).then_some(counts)
    })
}

/// A broker with the topics of the application, and a client.
fn cluster() -> (Restarting, Driver) {
    let cluster = Restarting::start(SETTINGS);
    let mut driver = Driver::start(Library::Java, cluster.address());
    for topic in ["lines", "counts"] {
        driver.create_topic(topic, PARTITIONS, json!({}));
    }
    (cluster, driver)
}

/// Lines go in while the application, then the broker is killed and started again; what came out of it.
fn word_count(guarantee: &str, protocol: Protocol) -> (i64, BTreeMap<String, Vec<i64>>) {
    let (mut cluster, mut driver) = cluster();
    let state = TempDir::new().unwrap();
    let start = |cluster: &Restarting| App::start(cluster.address(), guarantee, state.path(), protocol);
    let mut written = 0;
    write_lines(&mut driver, 30, &mut written);
    let app = start(&cluster);
    wait_for_counts(&mut driver, "the first counts", written);
    write_lines(&mut driver, 60, &mut written);
    app.kill();
    let app = start(&cluster);
    wait_for_counts(&mut driver, "the counts after the application was killed", written);
    write_lines(&mut driver, 60, &mut written);
    cluster.kill();
    cluster.start_again();
    wait_for_counts(&mut driver, "the counts after the broker was killed", written);
    write_lines(&mut driver, 30, &mut written);
    let counts = wait_for_counts(&mut driver, "the last counts", written);
    app.stop();
    (written, counts)
}

fn assert_lost_no_word(protocol: Protocol) {
    let (written, counts) = word_count("at_least_once", protocol);
    assert_eq!(counts.len(), WORDS);
    for (word, counts) in &counts {
        assert!(counts.iter().max() >= Some(&written), "{word}: {counts:?}");
    }
}

/// Every count of every word goes out once, in order: nothing was counted twice, nothing was lost, no aborted count is seen.
fn assert_counted_once(protocol: Protocol) {
    let (written, counts) = word_count("exactly_once_v2", protocol);
    assert_eq!(counts.len(), WORDS);
    for (word, counts) in counts {
        assert_eq!(counts, (1..=written).collect::<Vec<_>>(), "{word}");
    }
}

#[test]
fn at_least_once_loses_no_word() {
    need!(Library::Java.missing());
    assert_lost_no_word(Protocol::Classic);
}

#[test]
fn at_least_once_loses_no_word_in_a_streams_group() {
    need!(Library::Java.missing());
    assert_lost_no_word(Protocol::Streams);
}

#[test]
fn exactly_once_counts_every_word_once() {
    need!(Library::Java.missing());
    assert_counted_once(Protocol::Classic);
}

#[test]
fn exactly_once_counts_every_word_once_in_a_streams_group() {
    need!(Library::Java.missing());
    assert_counted_once(Protocol::Streams);
}

/// Goal: two applications share the tasks and keep copies for each other; when one is killed the other goes on. Kafka's tools show the group,
/// change what is set for it and delete it, and its reader of logs knows every record.
#[test]
fn applications_share_their_tasks_and_kafkas_tools_show_them() {
    need!(Home::Kafka.missing());
    need!(Library::Java.missing());
    let (mut cluster, mut driver) = cluster();
    let address = cluster.address().to_owned();
    let run = |tool: &str, arguments: &[&str]| Tools::Scripts(Home::Kafka).run(tool, &address, arguments);
    let groups = |arguments: &[&str]| run("streams-groups", arguments).succeed();
    let set = |setting: &str| {
        let of = ["--entity-type", "groups", "--entity-name", "word-count", "--alter", "--add-config", setting];
        run("configs", &of)
    };
    set("streams.num.standby.replicas=1").succeed();
    assert!(set("streams.num.standby.replicas=9").stderr.contains("must be less than or equal to"));

    let mut written = 0;
    write_lines(&mut driver, 30, &mut written);
    let states = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let mut apps =
        states.each_ref().map(|state| App::start(&address, "at_least_once", state.path(), Protocol::Streams));
    wait_for_counts(&mut driver, "the first counts", written);
    let describe = |more: &[&str]| groups(&[&["--describe", "--group", "word-count"], more].concat());
    // Two threads in each; the changelog has three partitions, and a copy of each.
    let settled = wait_for("the group to be stable", SETTLED_WITHIN, || {
        let members = describe(&["--members"]);
        let standby = members.stdout.contains("STANDBY:");
        let is_stable = describe(&["--state"]).stdout.contains("Stable");
        (is_stable && standby).then_some(members)
    });
    assert!(settled.stdout.contains("ACTIVE:"), "{settled:#?}");
    describe(&["--state", "--verbose"]).says(&["word-count", "Stable", "4"]);
    describe(&["--offsets"]).says(&["word-count", "lines", "0"]);
    describe(&["--offsets", "--verbose"]).says(&["word-count", "lines", "10"]);
    groups(&["--list"]).says(&["word-count"]);
    let refused = run("streams-groups", &["--delete", "--group", "word-count"]);
    assert!(refused.stdout.contains("GroupNotEmptyException"), "{refused:#?}");

    let [first, second] = &mut apps;
    first.child.kill().unwrap();
    write_lines(&mut driver, 30, &mut written);
    wait_for_counts(&mut driver, "the counts after one of two was killed", written);
    second.child.kill().unwrap();
    wait_for("the group to be empty", SETTLED_WITHIN, || describe(&["--state"]).stdout.contains("Empty").then_some(()));
    groups(&["--delete", "--group", "word-count"]).says(&["word-count"]);
    groups(&["--list"]).says_not("word-count");

    let printed = check_data_directory(cluster.stop());
    for kind in 17..=23 {
        // 18 was never used.
        let line = format!("\"type\":\"{kind}\"");
        assert_eq!(printed.contains(&line), kind != 18, "records of kind {kind}");
    }
}
