//! franz-go's own tests, against our broker: its authors' idea of what a broker must do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use std::process::Command;

use interop_support::{Cluster, installed, switched_off};

/// What each of the long tests sends through its chain of groups.
const RECORDS: &str = "50000";

/// Runs the tests whose names match `run` and not `skip`.
fn pass(run: &str, skip: &str) {
    let tests = installed("bin/franz-go-tests");
    let absent = || (!tests.exists()).then(|| format!("{} is missing: tests/interop/install", tests.display()));
    need!(switched_off().or_else(absent));
    let cluster = Cluster::start();
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(tests)
        .current_dir(directory.path())
        .env("KGO_SEEDS", cluster.address())
        .env("KGO_TEST_RF", "1")
        .env("KGO_TEST_RECORDS", RECORDS)
        .env("KGO_LOG_LEVEL", "none")
        .args(["-test.v", "-test.timeout", "180s", "-test.run", run, "-test.skip", skip])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("--- PASS"), "nothing ran: {printed}");
    if !output.status.success() {
        eprintln!("{printed}\n{}", String::from_utf8_lossy(&output.stderr));
        panic!("franz-go's tests failed");
    }
}

/// The last one skipped reads franz-go's own sources.
#[test]
fn client_producer_and_consumer() {
    pass(".", "TestGroupETL|TestTxnEtl|Share|SCRAM|TestOptValuesCoversEveryOption");
}

/// Chains of groups with members that come and go, no record lost, doubled or out of order.
#[test]
fn groups() {
    pass("TestGroupETL", "none");
}

/// The same chains in transactions: exactly once, with groups of both protocols.
#[test]
fn transactions() {
    pass("TestTxnEtl", "none");
}

#[test]
fn share_groups() {
    pass("Share", "none");
}
