//! Apache Kafka and our broker take turns on the same `server.properties` and directories; a client that outlives them all
//! finds everything each time, and goes on where it was.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod interop_support;
#[path = "support/old_formats.rs"]
mod old_formats;
mod support;

use std::env;
use std::process::Command;

use interop_support::{
    BothWays, Facts, Home, KafkaProcess, Node, Quorum, Tools, check_data_directories, check_data_directory,
    check_indexes_of,
};
use support::Broker;

/// Kept for Kafka by our broker, which does not use them: told by Kafka alone.
const KAFKAS_ALONE: &[&str] = &["scram", "quota", "acl"];
/// What of that nobody can change while our broker runs.
const UNCHANGED_BY_OURS: &[&str] = &["scram", "quota"];

/// A topic that is cleaned while we look; of it the newest values count.
const CLEANED: &[&str] = &["offsets cleaned-", "record read_committed cleaned-", "record read_uncommitted cleaned-"];
/// Both servers note once a minute that records were deleted: who is killed may have them again, as ever with Kafka.
const CLEANED_OR_TRIMMED: &[&str] = &[
    "offsets cleaned-",
    "record read_committed cleaned-",
    "record read_uncommitted cleaned-",
    "offsets trimmed-",
    "record read_committed trimmed-",
    "record read_uncommitted trimmed-",
];

/// With these Kafka lets everybody do everything, and takes access control entries.
const WITH_AUTHORIZER: &[&str] =
    &["authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:ANONYMOUS"];

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Clean,
    Killed,
}

impl End {
    fn kafka(self, kafka: KafkaProcess) {
        match self {
            Self::Clean => kafka.stop(),
            Self::Killed => kafka.kill(),
        }
    }

    fn ours(self, broker: Broker) {
        match self {
            Self::Clean => {
                let output = broker.output();
                assert_eq!(broker.stop().code(), Some(143), "{output}");
            }
            Self::Killed => broker.kill(),
        }
    }
}

/// How often there and back, unless `KAFKA_RS_TURNS` asks for more: a turn takes a minute.
const TURNS: usize = 1;

/// From Kafka to our broker and back, `TURNS` times. In each turn there is work that goes on with what the turns before began:
/// an idempotent producer's sequence, a transaction that begins with one server and is committed with the next, one that is left open
/// and aborted by its successor, groups of all kinds, topics that grow and go, configs that change. And all the time there is a
/// producer that never rests, and groups that read what it writes.
fn take_turns(home: Home, quorum: Quorum, end: End) {
    // Small enough that both servers write snapshots of the metadata, and drop segments and snapshots.
    let node = Node::format(
        home,
        quorum,
        &[
            "metadata.log.max.record.bytes.between.snapshots=6000",
            "metadata.max.retention.bytes=20000",
            "metadata.log.segment.ms=2000",
        ],
    );
    let kafka = node.kafka(WITH_AUTHORIZER);
    let mut client = BothWays::start(&node.address(), home);
    client.work(0);
    client.add_acls();
    let acls = client.facts().about(&["acl"]);
    assert_eq!(acls.0.len(), 3);
    end.kafka(kafka);
    let mut kafka = node.kafka(&[]);
    client.load();
    let inexact = if end == End::Clean { CLEANED } else { CLEANED_OR_TRIMMED };
    let look = |client: &mut BothWays| client.facts().besides(inexact);
    let mut facts = look(&mut client);
    let turns = env::var("KAFKA_RS_TURNS").map_or(TURNS, |turns| turns.parse().unwrap());
    for turn in 1..=turns {
        end.kafka(kafka);
        let when = |what: &str| format!("{home:?} {quorum:?} {end:?}, turn {turn}: {what}");

        let broker = node.ours();
        let mut found = look(&mut client);
        facts.besides(KAFKAS_ALONE).assert_same(&found, &when("Kafka to ours"));
        client.work(2 * turn - 1);
        found = look(&mut client);
        end.ours(broker);
        if end == End::Clean {
            check_data_directories(&node.log_dirs());
            check_indexes_of(&node.log_dirs());
        }

        kafka = node.kafka(if turn == turns { WITH_AUTHORIZER } else { &[] });
        let back = look(&mut client);
        found.assert_same(&back.besides(KAFKAS_ALONE), &when("ours to Kafka"));
        facts.about(UNCHANGED_BY_OURS).assert_same(&back.about(UNCHANGED_BY_OURS), &when("what ours does not use"));
        assert_eq!(back.count(&["config CLIENT_METRICS", "interval.ms"]), 2 * turn, "{}", when("client metrics"));
        if turn == turns {
            acls.assert_same(&back.about(&["acl"]), &when("access control entries"));
        }
        client.work(2 * turn);
        facts = look(&mut client);
    }
    check_work(&facts, home, 2 * turns + 1);
    assert!(client.unload() > 1000);
    end.kafka(kafka);
    if end == End::Killed {
        // What both have left behind when they were killed, as our recovery makes it.
        let broker = node.ours();
        End::Killed.ours(broker);
        End::Clean.ours(node.ours());
        check_indexes_of(&node.log_dirs());
    }
    check_data_directories(&node.log_dirs());
    let mut check = Command::new(env!("CARGO_BIN_EXE_kafka-rs"));
    let check = check.args(["storage", "check"]).args(node.log_dirs()).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

/// What the client did over all turns, whoever ran.
fn check_work(facts: &Facts, home: Home, rounds: usize) {
    let records = |isolation: &str, topic: &str, key: &str| {
        facts.count(&[&format!("record {isolation} {topic}-"), &format!(" {key} ")])
    };
    // Ten a round in each transaction; of the one that crosses, those of both rounds; the last is still open.
    assert_eq!(records("read_committed", "transactions", "committed"), rounds * 10);
    assert_eq!(records("read_committed", "transactions", "across"), (rounds - 1) * 20);
    assert_eq!(records("read_committed", "transactions", "aborted"), 0);
    assert_eq!(records("read_committed", "transactions", "open"), 0);
    assert_eq!(records("read_uncommitted", "transactions", "open"), rounds * 10);
    // One producer, never replaced: its epoch is its first, its sequence has no gap.
    assert_eq!(
        facts.count(&["producer idempotent-0 ", &format!(" epoch 0 sequence {} ", rounds * 50 - 1)]),
        1,
        "{:?}",
        facts.about(&["producer"])
    );
    assert_eq!(facts.count(&[&format!("offsets idempotent-0 read_committed 0 {}", rounds * 50)]), 1);
    for group in if home == Home::Kafka { &["classic", "consumer"][..] } else { &["classic"] } {
        let group = format!("group offset {group}-group codecs-0 OffsetAndMetadata{{offset={},", rounds * 30);
        assert_eq!(facts.count(&[&group]), 1, "{:?}", facts.about(&["group"]));
    }
    if home == Home::Kafka {
        let streams = format!("group offset streams-group idempotent-0 OffsetAndMetadata{{offset={},", rounds * 50);
        assert_eq!(facts.count(&[&streams]), 1);
        assert_eq!(facts.count(&["group share-group Share"]), 1);
    }
    assert_eq!(facts.count(&["group offset simple-group", &format!("set in round {}", rounds - 1)]), 1);
    assert_eq!(facts.count(&["latest cleaned-0 "]), 8);
    assert_eq!(facts.count(&["topic gone-"]), 1);
    assert_eq!(facts.count(&["topic round-"]), rounds);
    assert_eq!(facts.count(&["topic growing ", &format!("partitions {rounds}")]), 1);
}

#[test]
fn stopped_kafka_43_goes_both_ways() {
    need!(Home::Kafka.missing());
    take_turns(Home::Kafka, Quorum::Static, End::Clean);
}

#[test]
fn killed_kafka_43_with_voters_in_the_log_goes_both_ways() {
    need!(Home::Kafka.missing());
    take_turns(Home::Kafka, Quorum::Dynamic, End::Killed);
}

#[test]
fn stopped_kafka_39_with_voters_in_the_log_goes_both_ways() {
    need!(Home::Kafka39.missing());
    take_turns(Home::Kafka39, Quorum::Dynamic, End::Clean);
}

#[test]
fn killed_kafka_39_goes_both_ways() {
    need!(Home::Kafka39.missing());
    take_turns(Home::Kafka39, Quorum::Static, End::Killed);
}

/// Goal: a segment with the formats of before Kafka 0.11 is sound in the eyes of Kafka's own tool, and both servers hand out the
/// same records of it, before and after the other has had it.
#[test]
fn old_formats_are_read_alike() {
    need!(Home::Kafka.missing());
    let node = Node::format(Home::Kafka, Quorum::Static, &["log.retention.ms=-1"]);
    let (tools, address) = (Tools::Scripts(Home::Kafka), node.address());
    let kafka = node.kafka(&[]);
    tools.run("topics", &address, &["--create", "--topic", "old"]).succeed();
    kafka.stop();
    old_formats::put_into(&node.data().join("old-0"));
    let count = old_formats::RECORDS.len().to_string();
    let read = || {
        let properties = ["print.timestamp=true", "print.offset=true", "print.key=true"];
        let mut arguments = vec!["--topic", "old", "--from-beginning", "--max-messages", &count];
        arguments.extend(properties.iter().flat_map(|property| ["--formatter-property", *property]));
        tools.run("console-consumer", &address, &arguments).succeed().stdout
    };
    let broker = node.ours();
    let of_ours = read();
    End::Clean.ours(broker);
    let dumped = check_data_directory(&node.data());
    for words in [["magic: 0", "compresscodec: gzip"], ["magic: 1", "compresscodec: gzip"], ["magic: 2", "count: 2"]] {
        assert!(dumped.lines().any(|line| words.iter().all(|word| line.contains(word))), "{words:?} in {dumped}");
    }
    let kafka = node.kafka(&[]);
    let of_kafka = read();
    kafka.stop();
    assert_eq!(of_ours, of_kafka);
    assert_eq!(of_ours.lines().count(), old_formats::RECORDS.len());
    for (line, (key, value, timestamp)) in of_ours.lines().zip(old_formats::RECORDS) {
        let (key, value) = (key.unwrap_or("null"), value.unwrap_or("null"));
        assert!(line.ends_with(&format!("\t{key}\t{value}")), "{line}");
        assert!(*timestamp < 0 || line.contains(&timestamp.to_string()), "{line}");
    }
}

/// Goal: Kafka's tools that ask the controller itself get their answers on the CONTROLLER listener of the file.
#[test]
fn the_controller_listener_answers_kafkas_tools() {
    need!(Home::Kafka.missing());
    for quorum in [Quorum::Static, Quorum::Dynamic] {
        let node = Node::format(Home::Kafka, quorum, &[]);
        let broker = node.ours();
        let endpoint = format!("CONTROLLER://{}", node.controller_address());
        let status = node.ask_controller("metadata-quorum", &["describe", "--status"]).succeed();
        status.says(&["LeaderId:", "1"]).says(&["CurrentVoters:", &endpoint]).says(&["CurrentObservers:", "[]"]);
        node.ask_controller("metadata-quorum", &["describe", "--replication"]).succeed().says(&["1", "Leader"]);
        let level = if quorum == Quorum::Dynamic { "FinalizedVersionLevel: 1" } else { "FinalizedVersionLevel: 0" };
        let features = node.ask_controller("features", &["describe"]).succeed();
        features.says(&["kraft.version", level]).says(&["metadata.version", "FinalizedVersionLevel: 4.3-IV0"]);
        let endpoints = node.ask_controller("cluster", &["list-endpoints"]).succeed();
        endpoints.says(&["127.0.0.1", "controller"]);
        node.ask_controller("cluster", &["cluster-id"]).succeed().says(&["5L6g3nShT-eMCtK--X86sw"]);
        let brokers = ["--entity-type", "brokers", "--entity-name", "1"];
        let alter = [&brokers[..], &["--alter", "--add-config", "log.cleaner.threads=2"]].concat();
        node.ask_controller("configs", &alter).succeed();
        let describe = [&brokers[..], &["--describe"]].concat();
        node.ask_controller("configs", &describe).succeed().says(&["log.cleaner.threads=2", "DYNAMIC_BROKER_CONFIG"]);
        End::Clean.ours(broker);
    }
}
