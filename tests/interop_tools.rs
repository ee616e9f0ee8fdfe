//! Our tools against Apache Kafka, beside Kafka's own scripts on the same cluster: the same commands, the same answers.
//!
//! What the console tools write and read there is part of `interop_matrix.rs`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use interop_support::{ApacheKafka, Home, Ran, Tools, for_each_home};

const OWN: Tools = Tools::Own;
/// The tools that ours mirror, whichever broker they talk to.
const THEIRS: Tools = Tools::Scripts(Home::Kafka);

/// Runs a command with our tool and with Kafka's script, which change nothing, and checks that they say the same.
fn same(kafka: &ApacheKafka, tool: &str, arguments: &[&str]) -> Ran {
    let ours = OWN.run(tool, kafka.address(), arguments);
    let theirs = THEIRS.run(tool, kafka.address(), arguments);
    assert_eq!((ours.code, &ours.stdout), (theirs.code, &theirs.stdout), "{theirs:#?}\n{ours:#?}");
    ours
}

#[test]
fn our_tools_say_what_kafkas_say() {
    need!(THEIRS.missing());
    for_each_home(|home| {
        let kafka = ApacheKafka::start(home);
        topics_are_created_described_altered_and_deleted(&kafka);
        console_consumer_prints_as_kafkas(&kafka);
        broker_api_versions_prints_as_kafkas(&kafka);
    });
}

fn topics_are_created_described_altered_and_deleted(kafka: &ApacheKafka) {
    let topics = |arguments: &[&str]| OWN.run("topics", kafka.address(), arguments);
    let create = ["--create", "--topic", "made", "--partitions", "3", "--replication-factor", "1"];
    let config = ["--config", "retention.ms=86400000", "--config", "cleanup.policy=compact"];
    topics(&[&create[..], &config[..]].concat()).succeed().says(&["Created topic made."]);
    topics(&["--create", "--topic", "assigned", "--replica-assignment", "1,1"]).succeed();
    topics(&["--create", "--topic", "plain"]).succeed();
    let again = topics(&create);
    assert_eq!(again.code, Some(1), "{again:#?}");
    topics(&[&create[..], &["--if-not-exists"]].concat()).succeed();
    same(kafka, "topics", &["--list"]).says(&["made"]);
    same(kafka, "topics", &["--describe", "--topic", "made"]).says(&["PartitionCount: 3"]);
    topics(&["--alter", "--topic", "made", "--partitions", "5"]).succeed();
    same(kafka, "topics", &["--describe"]).says(&["PartitionCount: 5"]);
    for filter in ["--under-replicated-partitions", "--unavailable-partitions", "--topics-with-overrides"] {
        same(kafka, "topics", &["--describe", filter]);
    }
    let missing = same(kafka, "topics", &["--describe", "--topic", "nowhere", "--if-exists"]);
    assert_eq!(missing.code, Some(0), "{missing:#?}");
    topics(&["--delete", "--topic", "made|assigned"]).succeed();
    let listed = same(kafka, "topics", &["--list"]);
    assert_eq!(listed.stdout, "plain\n");
}

fn console_consumer_prints_as_kafkas(kafka: &ApacheKafka) {
    THEIRS.run("topics", kafka.address(), &["--create", "--topic", "t", "--partitions", "1"]).succeed();
    let lines = "a:1,b:2\tkey\tvalue\nN\tN\tünï\nN\tkey\tN\nN\t\t\n";
    for tools in [OWN, THEIRS] {
        let mut arguments = vec!["--topic", "t"];
        for property in ["parse.key=true", "parse.headers=true", "null.marker=N"] {
            arguments.extend(["--reader-property", property]);
        }
        tools.run_with_input("console-producer", kafka.address(), &arguments, lines).succeed();
    }
    let read = ["--topic", "t", "--from-beginning", "--max-messages", "8"];
    same(kafka, "console-consumer", &read).says(&["ünï"]);
    let printing = |more: &[&str]| {
        let mut arguments = read.to_vec();
        for property in more {
            arguments.extend(["--formatter-property", *property]);
        }
        same(kafka, "console-consumer", &arguments)
    };
    printing(&[
        "print.key=true",
        "print.headers=true",
        "print.partition=true",
        "print.offset=true",
        "print.timestamp=true",
    ])
    .says(&["a:1,b:2", "key"]);
    printing(&["print.key=true", "print.value=false", "key.separator=;", "line.separator=|", "null.literal=nothing"]);
    let part = ["--topic", "t", "--partition", "0", "--offset", "2", "--max-messages", "3"];
    assert_eq!(same(kafka, "console-consumer", &part).code, Some(0));
}

fn broker_api_versions_prints_as_kafkas(kafka: &ApacheKafka) {
    let ours = OWN.run("broker-api-versions", kafka.address(), &[]).succeed();
    let theirs = THEIRS.run("broker-api-versions", kafka.address(), &[]).succeed();
    // What a client of the other version knows beyond differs; the keys that both know are the same.
    let keys = |ran: &Ran| -> Vec<String> {
        let line = |line: &str| line.trim().split_once("): ").map(|(name, rest)| (name.to_owned(), rest.to_owned()));
        let all = ran.stdout.lines().filter_map(line).filter(|(name, _)| !name.contains("UNKNOWN"));
        all.map(|(name, rest)| format!("{name} {}", rest.split(" [").next().unwrap_or_default())).collect()
    };
    let theirs = keys(&theirs);
    let ours: Vec<String> = keys(&ours);
    let absent: Vec<&String> = theirs.iter().filter(|line| !ours.contains(line)).collect();
    assert!(absent.is_empty() && theirs.len() > 40, "not in ours: {absent:#?}\nours: {ours:#?}");
}
