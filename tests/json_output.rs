//! What `--output json` prints and what `docs/output.md` says of it: each tool has its section, each field is told there,
//! and each field that is told is printed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use regex_lite::Regex;
use serde_json::Value;
use support::Broker;

const NONE: &str = "Without JSON";
const DRY_RUN: &str = "What `--dry-run` prints";

/// Objects whose fields are names of the user's things, not ours.
const FREE: &[&str] = &["configs", "settings", "metadata", "content", "plan"];

/// Fields that are told and that these cases can't bring about: a broker of one node with all rights for everybody.
const NOT_SEEN: &[(&str, &[&str])] = &[
    ("acls", &["resourceType", "name", "patternType", "principal", "host", "operation", "permissionType", "acls"]),
    (
        "delegation-tokens",
        &[
            "tokens",
            "tokenId",
            "hmac",
            "owner",
            "requester",
            "renewers",
            "issueTimestamp",
            "expiryTimestamp",
            "maxTimestamp",
            "created",
        ],
    ),
    (
        "configs",
        &["quotas", "entity", "user", "client-id", "ip", "values", "scram", "credentials", "mechanism", "iterations"],
    ),
    ("cluster", &["unregistered"]),
    ("broker-api-versions", &["error"]),
    ("metadata-quorum", &["added", "removed"]),
    ("transactions", &["hanging", "startOffset", "durationMinutes", "aborted", "terminated"]),
    ("storage check", &["fault"]),
    // `type` and `data`: of the records of tiered storage.
    ("console-consumer", &["base64", "type", "data"]),
    ("console-share-consumer", &["type", "data"]),
    // Only a Kafka Streams application makes one.
    (
        "streams-groups",
        &[
            "subtopology",
            "partitions",
            "active",
            "standby",
            "warmup",
            "topic",
            "partition",
            "currentOffset",
            "leaderEpoch",
            "logEndOffset",
            "lag",
            "memberId",
            "processId",
            "clientId",
            "host",
            "memberEpoch",
            "protocol",
            "tasks",
            "targetTasks",
        ],
    ),
    ("reassign-partitions", &["adding", "removing", "broker", "logDir", "topic-partition", "topic-partition-broker"]),
    ("replica-verification", &["maxLag", "topic", "partition", "offset", "partitions", "time", "message"]),
    // Brokers of others may be running on this machine.
    ("server-stop", &["nodeId", "pid", "roles"]),
    ("get-offsets", &["error"]),
];

/// The sections of the page by each of their names.
fn sections() -> BTreeMap<String, String> {
    let page = fs::read_to_string("docs/output.md").unwrap();
    let mut found = BTreeMap::new();
    for section in page.split("\n## ").skip(1) {
        let (heading, text) = section.split_once('\n').unwrap();
        if heading == DRY_RUN {
            found.insert(heading.to_owned(), text.to_owned());
            continue;
        }
        for name in heading.split(", ") {
            found.insert(name.trim_matches('`').to_owned(), text.to_owned());
        }
    }
    found
}

/// The tools that `--help` lists.
fn tools() -> BTreeSet<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_kafka-rs")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let line = Regex::new(r"(?m)^  ([a-z0-9-]+)").unwrap();
    line.captures_iter(list).map(|found| found[1].to_owned()).collect()
}

#[test]
fn every_tool_has_its_section() {
    let sections = sections();
    for tool in tools() {
        let told = sections.contains_key(&tool) || sections[NONE].contains(&format!("`{tool}`"));
        assert!(told, "docs/output.md does not say what `{tool} --output json` prints");
    }
}

/// The fields of a document, but not those below what is free.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                found.insert(name.clone());
                let is_free = FREE.contains(&name.as_str()) && (value.is_object() || name == "plan");
                if !is_free {
                    fields(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

/// What was printed, by the section that tells of it.
struct Seen {
    server: String,
    home: PathBuf,
    fields: BTreeMap<String, BTreeSet<String>>,
}

impl Seen {
    /// Runs a tool with `SERVER` put in, and reads its documents: one, or one per line.
    fn run(&mut self, section: &str, line: &str) {
        self.run_with(section, line, "");
    }

    fn run_with(&mut self, section: &str, line: &str, input: &str) {
        let line = format!("{line} --output json").replace("SERVER", &format!("--bootstrap-server {}", self.server));
        self.run_words(section, &line.split(' ').collect::<Vec<_>>(), input);
    }

    fn run_words(&mut self, section: &str, words: &[&str], input: &str) {
        let output = self.output(words, input);
        self.take(section, &words.join(" "), output);
    }

    fn output(&self, words: &[&str], input: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-rs"));
        command.args(words).env("XDG_CONFIG_HOME", &self.home);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A tool that does not read is done before it could.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Takes up the fields of what a line printed.
    fn take(&mut self, section: &str, line: &str, output: Output) {
        let text = String::from_utf8(output.stdout).unwrap();
        let documents: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
        let documents = documents.unwrap_or_else(|error| panic!("{line}: {error}\n{text}"));
        assert!(!documents.is_empty(), "{line} prints nothing\n{}", String::from_utf8_lossy(&output.stderr));
        let seen = self.fields.entry(section.to_owned()).or_default();
        for document in &documents {
            let is_kafkas = section.starts_with("verifiable-");
            assert!(is_kafkas || document["version"] == 1, "{line}: no version in {document}");
            fields(document, seen);
        }
    }
}

impl Seen {
    /// All differences at once.
    fn compare(&self) {
        let sections = sections();
        let mut wrong = Vec::new();
        for (section, seen) in &self.fields {
            let text = &sections[section];
            let text = match Regex::new("As for `([a-z-]+)`|as for `([a-z-]+)`").unwrap().captures(text) {
                Some(other) => format!("{text}\n{}", sections[other.get(1).or(other.get(2)).unwrap().as_str()]),
                None => text.clone(),
            };
            let is_told =
                |field: &str| Regex::new(&format!("[\"`{{ ,.\\[]{field}[\"`}}, ()\\]:]")).unwrap().is_match(&text);
            let untold = seen.iter().filter(|field| !is_told(field));
            wrong.extend(untold.map(|field| format!("{section}: `{field}` is printed and not told")));
        }
        let shape = Regex::new(r#""([A-Za-z][A-Za-z-]*)""#).unwrap();
        for (section, text) in &sections {
            if [NONE, DRY_RUN].contains(&section.as_str()) {
                continue;
            }
            let nothing = BTreeSet::from(["version".to_owned()]);
            let seen = self.fields.get(section).unwrap_or(&nothing);
            let spared = NOT_SEEN.iter().find(|(name, _)| name == section).map_or(&[][..], |(_, fields)| fields);
            let told: BTreeSet<&str> = shape.captures_iter(text).map(|found| found.get(1).unwrap().as_str()).collect();
            let unseen = told.iter().filter(|field| !seen.contains(**field) && !spared.contains(*field));
            wrong.extend(unseen.map(|field| format!("{section}: `{field}` is told and not printed")));
        }
        assert!(wrong.is_empty(), "docs/output.md and the tools differ:\n{}", wrong.join("\n"));
    }
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Goal: the page and the tools say the same.
/// Method: each tool is run in each way that our broker lets it; fields seen and fields told are compared.
#[test]
fn what_is_printed_is_what_the_page_tells() {
    let broker = Broker::start_with(&["group.initial.rebalance.delay.ms=0"]);
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path();
    let mut seen = Seen { server: broker.address().to_owned(), home: home.to_owned(), fields: BTreeMap::new() };
    let plan = write(home, "plan", r#"{"partitions":[{"topic":"t","partition":0,"offset":1}],"version":1}"#);
    let moves = write(home, "moves", r#"{"partitions":[{"topic":"t","partition":0,"replicas":[1]}],"version":1}"#);
    let topics = write(home, "topics", r#"{"topics":[{"topic":"t"}],"version":1}"#);
    let at = |name: &str| home.join(name).display().to_string();
    let node = write(
        home,
        "server.properties",
        &format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:1\n\
             controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://:2,CONTROLLER://:1\nlog.dirs={}\n",
            at("data")
        ),
    );

    for (section, line) in [
        ("topics", "topics SERVER --create --topic t --partitions 2"),
        ("topics", "topics SERVER --create --topic other"),
        ("topics", "topics SERVER --alter --topic t --partitions 3"),
        ("topics", "topics SERVER --list"),
        ("topics", "topics SERVER --describe"),
        (DRY_RUN, "topics SERVER --delete --topic other --dry-run"),
        (DRY_RUN, "configs SERVER --alter --topic t --add-config retention.ms=9999999 --dry-run"),
        (DRY_RUN, "client-metrics SERVER --alter --name m --metrics a --dry-run"),
        (DRY_RUN, "cluster unregister SERVER --id 7 --dry-run"),
        (DRY_RUN, "leader-election SERVER --election-type preferred --all-topic-partitions --dry-run"),
        (DRY_RUN, "transactions SERVER forceTerminateTransaction --transactionalId x --dry-run"),
        (DRY_RUN, "server-stop --node-id 99 --dry-run"),
        ("configs", "configs SERVER --alter --topic t --add-config retention.ms=9999999"),
        ("configs", "configs SERVER --describe --entity-type topics --all"),
        ("client-metrics", "client-metrics SERVER --alter --name m --metrics a"),
        ("client-metrics", "client-metrics SERVER --describe"),
        ("client-metrics", "client-metrics SERVER --list"),
        ("client-metrics", "client-metrics SERVER --delete --name m"),
        ("cluster", "cluster cluster-id SERVER"),
        ("cluster", "cluster list-endpoints SERVER"),
        ("features", "features SERVER describe"),
        ("features", "features SERVER downgrade --feature share.version=0 --dry-run"),
        ("features", "features SERVER version-mapping"),
        ("features", "features SERVER feature-dependencies --feature share.version=1"),
        ("metadata-quorum", "metadata-quorum SERVER describe --replication"),
        ("metadata-quorum", "metadata-quorum SERVER remove-controller -i 1 -d AAAAAAAAAAAAAAAAAAAAAA --dry-run"),
        ("broker-api-versions", "broker-api-versions SERVER"),
        ("leader-election", "leader-election SERVER --election-type preferred --topic t --partition 0"),
        ("producer-perf-test", "producer-perf-test SERVER --topic t --num-records 20 --record-size 9 --throughput -1"),
        (
            "producer-perf-test",
            "producer-perf-test SERVER --topic other --num-records 3 --record-size 9 --throughput -1 --transactional-id tx",
        ),
        ("e2e-latency", "e2e-latency SERVER --topic other --num-records 2 --producer-acks 1 --record-size 9"),
        ("consumer-perf-test", "consumer-perf-test SERVER --topic t --num-records 5 --show-detailed-stats"),
        ("verifiable-producer", "verifiable-producer SERVER --topic t --max-messages 3"),
        ("verifiable-consumer", "verifiable-consumer SERVER --topic t --group-id g --max-messages 3"),
        ("console-consumer", "console-consumer SERVER --topic t --from-beginning --max-messages 2"),
        ("transactions", "transactions SERVER list"),
        ("transactions", "transactions SERVER describe --transactional-id tx"),
        ("transactions", "transactions SERVER describe-producers --topic other --partition 0"),
        ("transactions", "transactions SERVER find-hanging --broker-id 1"),
        ("get-offsets", "get-offsets SERVER --topic t"),
        ("log-dirs", "log-dirs SERVER --describe"),
        ("groups", "groups SERVER --list"),
        ("consumer-groups", "consumer-groups SERVER --list"),
        ("consumer-groups", "consumer-groups SERVER --describe --group g"),
        ("consumer-groups", "consumer-groups SERVER --describe --group g --members"),
        ("consumer-groups", "consumer-groups SERVER --reset-offsets --group g --topic t --to-earliest --execute"),
        ("consumer-groups", "consumer-groups SERVER --delete-offsets --group g --topic t"),
        ("consumer-groups", "consumer-groups SERVER --delete --group g"),
        ("consumer-groups", "consumer-groups SERVER --delete --group absent"),
        ("consumer-groups", "consumer-groups SERVER --validate-regex ("),
        (
            "configs",
            "configs SERVER --alter --entity-type groups --entity-name s --add-config share.auto.offset.reset=earliest",
        ),
        (
            "console-share-consumer",
            "console-share-consumer SERVER --topic t --group s --max-messages 1 --timeout-ms 20000",
        ),
        (
            "share-consumer-perf-test",
            "share-consumer-perf-test SERVER --topic t --group s --num-records 2 --show-detailed-stats",
        ),
        ("verifiable-producer", "verifiable-producer SERVER --topic t --max-messages 30"),
        ("verifiable-share-consumer", "verifiable-share-consumer SERVER --topic t --group-id s --max-messages 2"),
        ("share-groups", "share-groups SERVER --list"),
        ("share-groups", "share-groups SERVER --describe --group s"),
        ("share-groups", "share-groups SERVER --describe --group s --members"),
        ("share-groups", "share-groups SERVER --reset-offsets --group s --all-topics --to-latest --execute"),
        ("share-groups", "share-groups SERVER --delete-offsets --group s --topic t"),
        ("streams-groups", "streams-groups SERVER --list"),
        ("streams-application-reset", "streams-application-reset SERVER --application-id a --input-topics t --dry-run"),
        ("doctor", "doctor SERVER"),
        ("top", "top SERVER --interval 0.1 --once"),
        ("storage", "storage random-uuid"),
        ("storage", "storage version-mapping"),
        ("storage", "storage feature-dependencies --feature group.version=1"),
        ("server-stop", "server-stop --node-id 99"),
        ("profile", "profile add p --bootstrap-server h:1"),
        (DRY_RUN, "profile use --none --dry-run"),
        ("profile", "profile use p"),
        ("profile", "profile list"),
        ("profile", "profile show"),
        ("profile", "profile remove p"),
    ] {
        seen.run(section, line);
    }
    let recording = at("recording");
    for (section, line) in [
        ("record", format!("record SERVER --topic t --dry-run --file {recording}")),
        ("record", format!("record SERVER --topic t --file {recording}")),
        ("replay", format!("replay SERVER --dry-run --topic t --file {recording}")),
        ("replay", format!("replay SERVER --speed max --partitions remap --topic other --file {recording}")),
        (
            "copy",
            format!(
                "copy --source {0} --target {0} --topic t --target-topic copied --create-topics --dry-run",
                broker.address()
            ),
        ),
        (
            "copy",
            format!("copy --source {0} --target {0} --topic t --target-topic copied --create-topics", broker.address()),
        ),
        ("delete-records", format!("delete-records SERVER --dry-run --offset-json-file {plan}")),
        ("delete-records", format!("delete-records SERVER --offset-json-file {plan}")),
        (
            "reassign-partitions",
            format!("reassign-partitions SERVER --generate --broker-list 1 --topics-to-move-json-file {topics}"),
        ),
        ("reassign-partitions", format!("reassign-partitions SERVER --execute --reassignment-json-file {moves}")),
        ("reassign-partitions", format!("reassign-partitions SERVER --verify --reassignment-json-file {moves}")),
        ("reassign-partitions", "reassign-partitions SERVER --list".to_owned()),
        ("reassign-partitions", format!("reassign-partitions SERVER --cancel --reassignment-json-file {moves}")),
        ("storage", format!("storage info --config {node}")),
        (DRY_RUN, format!("storage format --config {node} --cluster-id AAAAAAAAAAAAAAAAAAAAAA --dry-run")),
        ("storage", format!("storage format --config {node} --cluster-id AAAAAAAAAAAAAAAAAAAAAA")),
        ("storage check", format!("storage check {}", at("data"))),
        (DRY_RUN, format!("links {} --dry-run", at("links"))),
        ("links", format!("links {}", at("links"))),
        ("dump-log", "dump-log --files tests/data/log/kafka-4.3.1-golden-0/00000000000000000000.log".to_owned()),
    ] {
        seen.run(section, &line);
    }
    let snapshot = "tests/data/metadata/kafka-4.3.1-snapshot.checkpoint";
    for command in ["ls /", "find /image/acls", "tree /image/acls"] {
        let line = format!("metadata-shell --snapshot {snapshot} --output json {command}");
        seen.run_words("metadata-shell", &line.split(' ').collect::<Vec<_>>(), "");
    }
    for (section, tool, group) in
        [("consumer-groups", "console-consumer", "members"), ("share-groups", "console-share-consumer", "sharers")]
    {
        let words = [tool, "--bootstrap-server", broker.address(), "--topic", "t", "--group", group];
        let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-rs"));
        let mut member = command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let line = format!(
            "{section} --bootstrap-server {} --describe --group {group} --members --output json",
            broker.address()
        );
        support::wait_for("a member of the group", Duration::from_secs(60), || {
            let output = seen.output(&line.split(' ').collect::<Vec<_>>(), "");
            // Until the member has joined, there is no such group.
            if output.status.success() {
                seen.take(section, &line, output);
            }
            seen.fields[section].contains("assignment").then_some(())
        });
        member.kill().unwrap();
        member.wait().unwrap();
    }
    seen.run_with("console-producer", "console-producer SERVER --topic t", "a\nb\n");
    seen.compare();
}

/// Kafka's tools tell some failures on stdout, where a program that reads JSON would stumble over them.
#[test]
fn failures_are_not_told_on_stdout() {
    let broker = Broker::start();
    for line in [
        "topics SERVER --describe --topic none",
        "topics SERVER --create --topic t --partitions x",
        "topics SERVER --create --topic t --partitions 1 --replication-factor 7",
        "groups SERVER --list --group-type none",
        "consumer-groups SERVER --describe --group none",
        "consumer-groups SERVER --describe --group none --members",
        "consumer-groups SERVER --describe --group none --state",
        "consumer-groups SERVER --reset-offsets --group g --topic none --to-latest --execute",
        "consumer-groups SERVER --describe --group g --timeout x",
        "share-groups SERVER --describe --group none",
        "share-groups SERVER --describe --group none --members",
        "share-groups SERVER --describe --group none --timeout x",
        "streams-groups SERVER --describe --group none",
        "streams-groups SERVER --describe --group none --members",
        "acls SERVER --list --topic t --resource-pattern-type none",
        "client-metrics SERVER --describe --name none --delete",
        "reassign-partitions SERVER --list --verify",
        "reassign-partitions SERVER --verify --reassignment-json-file none",
        "get-offsets SERVER --topic none",
        "delete-records SERVER --offset-json-file none",
        "features SERVER upgrade --feature none=1",
        "transactions SERVER describe --transactional-id none",
        "metadata-quorum SERVER describe",
        "log-dirs SERVER --describe --broker-list 7",
        "leader-election SERVER --election-type preferred --topic none --partition 0",
    ] {
        let line =
            format!("{line} --output json").replace("SERVER", &format!("--bootstrap-server {}", broker.address()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-rs"));
        let output = command.args(line.split(' ')).stdin(Stdio::null()).output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "{line}\n{stdout}{stderr}");
        assert!(!stderr.is_empty() || !stdout.is_empty(), "{line} says nothing");
        let documents: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&stdout).into_iter().collect();
        assert!(documents.is_ok(), "{line} prints what is no JSON:\n{stdout}");
    }
}
