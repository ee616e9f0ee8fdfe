//! Our tools beside Kafka's: command lines with what Kafka's own tools printed and how they ended, replayed with ours.
//!
//! Goal: whoever calls Kafka's scripts can call ours, and what differs is known, meant and written down.
//! Method: `tests/data/cli_parity/*.txt` hold what Apache Kafka 4.3.1 did, recorded by `tests/cli_parity/record`; no JVM is needed. Each file runs
//! in order against a broker of its own. A case that differs has our outcome and the reason beside it, and fails when it
//! differs no longer; the reasons are those of `docs/differences.md`.
#![allow(unreachable_pub, reason = "modules of a test binary have no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod abandoned;
mod apache;
mod case;
mod compare;
mod members;
mod record;
mod runner;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use case::{Step, Suite};
use runner::Runner;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cli_parity")
}

fn suite(tool: &str) -> Suite {
    Suite::parse(&std::fs::read_to_string(data().join(format!("{tool}.txt"))).unwrap())
}

/// Runs the file's cases with ours; with `KAFKA_RS_RECORD` set, with Kafka's own, and writes down what they do.
fn run(tool: &str) {
    if std::env::var_os("KAFKA_RS_RECORD").is_none() {
        return Runner::run(&suite(tool));
    }
    record::rewrite(&data().join(format!("{tool}.txt")), &Runner::record(&suite(tool)));
}

/// A test per file, so that they run side by side.
macro_rules! suites {
    ($($test:ident: $file:literal,)*) => {
        const FILES: &[&str] = &[$($file),*];

        $(#[test]
        fn $test() {
            run($file);
        })*
    };
}

suites! {
    topics: "topics",
    console_producer: "console-producer",
    console_consumer: "console-consumer",
    producer_perf_test: "producer-perf-test",
    consumer_perf_test: "consumer-perf-test",
    e2e_latency: "e2e-latency",
    verifiable_producer: "verifiable-producer",
    verifiable_consumer: "verifiable-consumer",
    verifiable_share_consumer: "verifiable-share-consumer",
    console_share_consumer: "console-share-consumer",
    share_consumer_perf_test: "share-consumer-perf-test",
    jmx: "jmx",
    metadata_shell: "metadata-shell",
    dump_log: "dump-log",
    storage: "storage",
    broker_api_versions: "broker-api-versions",
    get_offsets: "get-offsets",
    delete_records: "delete-records",
    log_dirs: "log-dirs",
    groups: "groups",
    consumer_groups: "consumer-groups",
    share_groups: "share-groups",
    streams_groups: "streams-groups",
    streams_application_reset: "streams-application-reset",
    configs: "configs",
    client_metrics: "client-metrics",
    acls: "acls",
    leader_election: "leader-election",
    reassign_partitions: "reassign-partitions",
    replica_verification: "replica-verification",
    transactions: "transactions",
    delegation_tokens: "delegation-tokens",
    cluster: "cluster",
    features: "features",
    metadata_quorum: "metadata-quorum",
}

#[test]
fn every_file_is_run() {
    let found: BTreeSet<String> = std::fs::read_dir(data())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".txt").map(str::to_owned))
        .collect();
    assert_eq!(found, FILES.iter().map(|name| (*name).to_owned()).collect());
}

/// A reason that is not explained helps nobody, and an explanation of something that is so no longer misleads.
#[test]
fn the_reasons_are_those_of_the_documentation() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/differences.md")).unwrap();
    let explained: BTreeSet<String> =
        page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
    let mut used = BTreeSet::new();
    for file in FILES {
        for step in suite(file).steps {
            if let Step::Run(case) = step {
                used.extend(case.reasons);
                used.extend(case.not_run);
            }
        }
    }
    assert_eq!(used, explained);
}
