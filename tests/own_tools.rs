//! The tools that Kafka has not got, against a broker: `record`, `replay`, `copy`, `doctor`, `top`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{Broker, wait_for};
use tempfile::TempDir;

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-rs"));
    command.args(words).stdin(Stdio::null());
    command
}

fn run(words: &[&str]) -> Output {
    command(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a tool printed that must succeed.
fn ok(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn ok_json(words: &[&str]) -> Value {
    serde_json::from_str(&ok(words)).unwrap()
}

/// The exit code and stderr of a tool that must fail.
fn fails(words: &[&str]) -> (i32, String) {
    let output = run(words);
    assert!(!output.status.success(), "{words:?}: {}", text(&output.stdout));
    (output.status.code().unwrap(), text(&output.stderr))
}

struct Cluster {
    broker: Broker,
}

impl Cluster {
    fn start() -> Self {
        Self { broker: Broker::start() }
    }

    fn server(&self) -> &str {
        self.broker.address()
    }

    fn create(&self, topic: &str, partitions: &str) {
        ok(&["topics", "--bootstrap-server", self.server(), "--create", "--topic", topic, "--partitions", partitions]);
    }

    /// Sends lines `headers<tab>key<tab>value`.
    fn send(&self, topic: &str, lines: &str) {
        let properties = ["parse.key=true", "parse.headers=true", "null.marker=NULL"];
        let properties = properties.iter().flat_map(|property| ["--reader-property", property]);
        let words = ["console-producer", "--bootstrap-server", self.server(), "--topic", topic];
        let mut child = command(&words).args(properties).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// All records of a topic with everything that they are, sorted.
    fn records(&self, topic: &str, count: usize) -> Vec<String> {
        let mut words = vec!["console-consumer", "--bootstrap-server", self.server(), "--topic", topic];
        let count = count.to_string();
        words.extend(["--from-beginning", "--max-messages", &count, "--timeout-ms", "20000"]);
        for what in ["timestamp", "partition", "offset", "headers", "key"] {
            words.extend(["--formatter-property", Box::leak(format!("print.{what}=true").into_boxed_str())]);
        }
        let mut records: Vec<String> = ok(&words).lines().map(str::to_owned).collect();
        records.sort();
        records
    }
}

/// Lines with keys, headers, nulls and bytes that a shell would not like.
const LINES: &str = "a:1,b:2\tk1\tv1\nNULL\tk2\tv2\na:x\tNULL\tv3\nNULL\tk4\tNULL\nNULL\tk1\tzwölf\n";

fn with_records() -> (Cluster, TempDir) {
    let cluster = Cluster::start();
    cluster.create("orders", "3");
    cluster.send("orders", LINES);
    (cluster, TempDir::new().unwrap())
}

fn file_in(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}

#[test]
fn what_is_recorded_is_replayed_as_it_was() {
    let (cluster, dir) = with_records();
    let (server, file) = (cluster.server(), file_in(&dir, "orders.rec"));
    let words = ["record", "--bootstrap-server", server, "--topic", "orders", "--file", &file, "--output", "json"];
    let plan = ok_json(&[&words[..], &["--dry-run"]].concat());
    assert_eq!((&plan["dryRun"], &plan["recordsAtMost"]), (&json!(true), &json!(5)));
    assert!(!Path::new(&file).exists(), "a plan writes nothing");
    let recorded = ok_json(&words);
    assert_eq!(
        (&recorded["version"], &recorded["records"], &recorded["complete"]),
        (&json!(1), &json!(5), &json!(true))
    );
    let (code, stderr) = fails(&words);
    assert!(code == 1 && stderr.contains("exists already") && stderr.contains("--force"), "{stderr}");

    let replay = ["replay", "--bootstrap-server", server, "--file", &file, "--speed", "max"];
    let (_, stderr) = fails(&[&replay[..], &["--topic", "again"]].concat());
    assert!(stderr.contains("there is no topic again") && stderr.contains("--partitions 3"), "{stderr}");
    cluster.create("again", "3");
    let dry = ok_json(&[&replay[..], &["--topic", "again", "--dry-run", "--output", "json"]].concat());
    assert_eq!(dry["records"], 5);
    assert!(!dry["partitions"].as_array().unwrap().is_empty());
    let sent = ok(&[&replay[..], &["--topic", "again"]].concat());
    assert_eq!(sent, format!("sent 5 records of {file} to again\n"));
    // Partitions, offsets, timestamps, headers, keys, values, nulls.
    assert_eq!(cluster.records("again", 5), cluster.records("orders", 5));

    cluster.create("one", "1");
    let (_, stderr) = fails(&[&replay[..], &["--topic", "one"]].concat());
    assert!(stderr.contains("one has 1 partitions, and 3 are needed"), "{stderr}");
    ok(&[&replay[..], &["--topic", "one", "--partitions", "remap"]].concat());
    assert_eq!(cluster.records("one", 5).len(), 5);
}

#[test]
fn a_recording_goes_through_a_pipe_and_tells_where_it_is_damaged() {
    let (cluster, dir) = with_records();
    let server = cluster.server();
    let recording = run(&["record", "--bootstrap-server", server, "--topic", "orders", "--file", "-"]);
    assert!(recording.status.success());
    assert!(recording.stdout.starts_with(b"KAFKAREC\0\x01"));
    cluster.create("piped", "3");
    let words = ["replay", "--bootstrap-server", server, "--file", "-", "--topic", "piped", "--speed", "max"];
    let mut child = command(&words).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&recording.stdout).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(cluster.records("piped", 5), cluster.records("orders", 5));

    let file = file_in(&dir, "damaged.rec");
    std::fs::write(&file, &recording.stdout[..recording.stdout.len() - 1]).unwrap();
    cluster.create("most", "3");
    let words = ["replay", "--bootstrap-server", server, "--file", &file, "--topic", "most", "--speed", "max"];
    let (code, stderr) = fails(&words);
    assert!(code == 1 && stderr.contains("is cut off after 1 whole chunks"), "{stderr}");
    assert_eq!(cluster.records("most", 5).len(), 5, "what is whole is replayed");
    std::fs::write(&file, "something else entirely").unwrap();
    assert!(fails(&words).1.contains("this is no recording"));
}

#[test]
fn a_recording_that_is_interrupted_says_so_and_can_be_replayed() {
    let (cluster, dir) = with_records();
    let (server, file) = (cluster.server(), file_in(&dir, "live.rec"));
    let words = ["record", "--bootstrap-server", server, "--topic", "orders", "--file", &file, "--follow"];
    let child = command(&words).stdout(Stdio::piped()).spawn().unwrap();
    // The first chunk is there when the file is longer than its description.
    wait_for("a chunk in the file", Duration::from_secs(20), || {
        std::fs::metadata(&file).ok().filter(|metadata| metadata.len() > 250)
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "following has no other end");
    assert!(text(&output.stdout).starts_with("recorded 5 records of orders"), "{}", text(&output.stdout));
    let shown = ok(&["replay", "--file", &file, "--dry-run"]);
    assert!(shown.ends_with("would send 5 records to orders\n"), "{shown}");
}

/// Goal: the pace is that of the recording, divided by `--speed`.
/// Method: records half an hour apart are waited for; Ctrl-C ends that, and what was due has been sent.
#[test]
fn replay_keeps_the_time_and_ctrl_c_says_what_was_done() {
    let (cluster, dir) = with_records();
    let (server, file) = (cluster.server(), file_in(&dir, "orders.rec"));
    ok(&["record", "--bootstrap-server", server, "--topic", "orders", "--file", &file]);
    // Another recording of the same topic, so that it holds records of two moments.
    cluster.create("slow", "3");
    let replay = ["replay", "--bootstrap-server", server, "--file", &file, "--topic", "slow"];
    ok(&[&replay[..], &["--speed", "max"]].concat());
    ok(&[&replay[..], &["--speed", "max", "--timestamps", "now"]].concat());
    let both = file_in(&dir, "both.rec");
    ok(&["record", "--bootstrap-server", server, "--topic", "slow", "--file", &both]);
    cluster.create("slower", "3");
    let words = ["replay", "--bootstrap-server", server, "--file", &both, "--topic", "slower", "--speed", "0.000001"];
    let child = command(&words).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("a record to arrive", Duration::from_secs(20), || {
        let ends = ok(&["get-offsets", "--bootstrap-server", server, "--topic", "slower"]);
        ends.lines().any(|line| !line.ends_with(":0")).then_some(())
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = text(&output.stdout);
    assert!(said.ends_with("ended by SIGINT, the rest was not sent\n"), "{said}");
}

#[test]
fn copies_are_filtered_and_keep_what_records_are() {
    let (cluster, _dir) = with_records();
    let other = Cluster::start();
    let (source, target) = (cluster.server(), other.server());
    let copy = ["copy", "--source", source, "--target", target, "--topic", "ord.*", "--output", "json"];
    let plan = ok_json(&[&copy[..], &["--dry-run"]].concat());
    assert_eq!(plan["topics"], json!([{"topic": "orders", "target": "orders", "partitions": 3, "recordsAtMost": 5}]));
    let (_, stderr) = fails(&copy);
    assert!(stderr.contains("there is no topic orders"), "{stderr}");
    let copied = ok_json(&[&copy[..], &["--create-topics"]].concat());
    assert_eq!((&copied["records"], &copied["skipped"], &copied["complete"]), (&json!(5), &json!(0), &json!(true)));
    assert_eq!(other.records("orders", 5), cluster.records("orders", 5));

    let some = ok_json(
        &[&copy[..], &["--create-topics", "--target-topic", "some-{}", "--key", "^k[12]$", "--value", "v"]].concat(),
    );
    assert_eq!((&some["records"], &some["skipped"]), (&json!(2), &json!(3)));
    let headed = ok_json(&[&copy[..], &["--create-topics", "--target-topic", "headed", "--header", "a=x"]].concat());
    assert_eq!(headed["records"], 1);
    let early = ok_json(&[&copy[..], &["--create-topics", "--target-topic", "early", "--to", "2001-01-01"]].concat());
    assert_eq!(early["records"], 0);

    let (_, stderr) = fails(&["copy", "--source", source, "--target", source, "--topic", "orders"]);
    assert!(stderr.contains("would be copied onto itself"), "{stderr}");
    let (_, stderr) = fails(&["copy", "--source", source, "--target", target, "--topic", "nothing"]);
    assert!(stderr.contains("no topic of the source matches"), "{stderr}");
}

fn kinds(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    let (cluster, _dir) = with_records();
    let server = cluster.server();
    let doctor = ["doctor", "--bootstrap-server", server, "--output", "json"];
    let sound = run(&doctor);
    let report: Value = serde_json::from_slice(&sound.stdout).unwrap();
    // The disk that the test runs on may be full.
    let found: Vec<_> = kinds(&report).into_iter().filter(|kind| *kind != "disk-full").collect();
    assert_eq!((found, &report["cluster"]["brokers"]), (vec![], &json!(1)));

    let group = ["--group", "idle", "--from-beginning", "--max-messages", "2"];
    ok(&[&["console-consumer", "--bootstrap-server", server, "--topic", "orders"][..], &group].concat());
    let create = ["topics", "--bootstrap-server", server, "--create", "--topic", "strict", "--partitions", "1"];
    ok(&[&create[..], &["--config", "min.insync.replicas=2"]].concat());
    let output = run(&doctor);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<_> = kinds(&report).into_iter().filter(|kind| *kind != "disk-full").collect();
    assert_eq!(found[1..], ["idle-group-lag"]);
    assert!(["under-min-isr", "min-isr-above-replicas"].contains(&found[0]), "{found:?}");
    for finding in report["findings"].as_array().unwrap() {
        assert!(!finding["fix"].as_str().unwrap().is_empty(), "{finding}");
    }
}

#[test]
fn the_doctor_tells_addresses_that_lead_nowhere() {
    let nowhere = run(&["doctor", "--bootstrap-server", "127.0.0.1:1", "--output", "json"]);
    assert_eq!(nowhere.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&nowhere.stdout).unwrap();
    assert_eq!(kinds(&report), ["bootstrap-unreachable"]);

    let broker = Broker::start_with(&["advertised.listeners=PLAINTEXT://127.0.0.1:1"]);
    // The ready file names the advertised address; the log the one that is listened on.
    let listens = wait_for("the address", Duration::from_secs(10), || {
        let output = broker.output();
        let at = output.find("listens on ")? + "listens on ".len();
        output[at..].split_whitespace().next().map(str::to_owned)
    });
    if listens == "127.0.0.1:1" {
        return;
    }
    let report: Value =
        serde_json::from_slice(&run(&["doctor", "--bootstrap-server", &listens, "--output", "json"]).stdout).unwrap();
    assert!(kinds(&report).contains(&"advertised-unreachable"), "{report}");
}

#[test]
fn top_tells_rates_and_lag() {
    let (cluster, _dir) = with_records();
    let server = cluster.server().to_owned();
    let group = ["--group", "behind", "--from-beginning", "--max-messages", "2"];
    ok(&[&["console-consumer", "--bootstrap-server", &server, "--topic", "orders"][..], &group].concat());
    let words = ["top", "--bootstrap-server", &server, "--output", "json", "--interval", "0.2"];
    let mut child = command(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["groups"][0]["group"], "behind");
    assert_eq!(first["groups"][0]["lag"], 3);
    assert_eq!(first["topics"].as_array().unwrap().len(), 1, "Kafka's own are left out");
    cluster.send("orders", LINES);
    let grown = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut grown = grown.filter(|frame| frame["topics"][0]["recordsPerSecond"].as_f64().unwrap() > 0.0);
    assert!(grown.next().is_some());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(child.wait().unwrap().success(), "Ctrl-C is how watching ends");
    let once = ok(&["top", "--bootstrap-server", &server, "--once", "--interval", "0.1"]);
    assert!(once.contains("TOPIC") && once.contains("orders") && once.contains("behind"), "{once}");
}
