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

fn suite(file: &str) -> Suite {
    Suite::parse(&std::fs::read_to_string(data().join(format!("{file}.txt"))).unwrap())
}

/// Runs the file's cases with ours; with `KAFKA_RS_RECORD` set, with Kafka's own, and writes down what they do.
fn run(file: &str) {
    if std::env::var_os("KAFKA_RS_RECORD").is_none() {
        return Runner::run(&suite(file));
    }
    record::rewrite(&data().join(format!("{file}.txt")), &Runner::record(&suite(file)));
}

/// The same for cases that need what our broker has not: our tools run on Apache Kafka's brokers, where there is one.
fn run_on_apache(file: &str) {
    let file = format!("on_apache/{file}");
    if std::env::var_os("KAFKA_RS_RECORD").is_some() {
        return record::rewrite(&data().join(format!("{file}.txt")), &Runner::record(&suite(&file)));
    }
    let suite = suite(&file);
    let wanted = std::env::var("KAFKA_RS_INTEROP").unwrap_or_default();
    let is_there = std::env::var_os("KAFKA_HOME").is_some();
    assert!(is_there || wanted != "required", "must not be skipped: KAFKA_HOME is not set");
    if is_there && wanted != "off" {
        Runner::run_on_apache(&suite);
    }
}

/// A test per file, so that they run side by side.
macro_rules! suites {
    ($files:ident, $run:path: $($test:ident: $file:literal,)*) => {
        const $files: &[&str] = &[$($file),*];

        $(#[test]
        fn $test() {
            $run($file);
        })*
    };
}

suites! { ON_APACHE, run_on_apache:
    on_apache_acls: "acls",
    on_apache_configs: "configs",
    on_apache_controllers_port: "controllers-port",
    on_apache_delegation_tokens: "delegation-tokens",
    on_apache_two_brokers: "two-brokers",
}

suites! { FILES, run:
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
    server_start: "server-start",
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
    for (directory, files) in [(data(), FILES), (data().join("on_apache"), ON_APACHE)] {
        let found: BTreeSet<String> = std::fs::read_dir(directory)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".txt").map(str::to_owned))
            .collect();
        assert_eq!(found, files.iter().map(|name| (*name).to_owned()).collect());
    }
}

/// A reason that is not explained helps nobody, and an explanation of something that is so no longer misleads.
#[test]
fn the_reasons_are_those_of_the_documentation() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/differences.md")).unwrap();
    let explained: BTreeSet<String> =
        page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
    let mut used = BTreeSet::new();
    let on_apache = ON_APACHE.iter().map(|file| format!("on_apache/{file}"));
    for file in FILES.iter().map(|file| (*file).to_owned()).chain(on_apache) {
        for step in suite(&file).steps {
            if let Step::Run(case) = step {
                used.extend(case.reasons);
                used.extend(case.not_run);
            }
        }
    }
    assert_eq!(used, explained);
}
