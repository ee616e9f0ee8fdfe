//! The tools that look after a cluster, against Apache Kafka 4.3 and 3.9: what they say is what Kafka's own scripts say there.
//!
//! `tests/cli_parity` holds far more cases, replayed on our broker; here is each tool once on Kafka's.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use interop_support::{ApacheKafka, Home, Ran, Tools, for_each_home};

const OWN: Tools = Tools::Own;
const THEIRS: Tools = Tools::Scripts(Home::Kafka);

/// How often two answers may differ: what was changed just before may be known to the second one only.
const TRIES: usize = 3;

/// Runs a command that changes nothing with our tool and with Kafka's script.
fn same(kafka: &ApacheKafka, tool: &str, arguments: &[&str]) -> Ran {
    // Whole lines in any order: Kafka's tools print many things as a hash table has them.
    let lines = |ran: &Ran| {
        // The epoch of features is the offset of the metadata, which moves on.
        let line = |line: &str| line.split("Epoch:").next().unwrap_or_default().to_owned();
        let mut lines: Vec<String> = ran.stdout.lines().map(line).collect();
        lines.sort_unstable();
        (ran.code, lines)
    };
    for attempt in 1.. {
        let ours = OWN.run(tool, kafka.address(), arguments);
        let theirs = THEIRS.run(tool, kafka.address(), arguments);
        if lines(&ours) == lines(&theirs) {
            return ours;
        }
        assert!(attempt < TRIES, "{theirs:#?}\n{ours:#?}");
    }
    unreachable!()
}

#[test]
fn our_tools_look_after_a_cluster_of_kafkas() {
    need!(THEIRS.missing());
    for_each_home(|home| {
        let kafka = ApacheKafka::start(home);
        scene(&kafka);
        groups_and_offsets(&kafka);
        settings_and_leaders(&kafka);
        the_cluster_itself(&kafka);
        loads(&kafka);
    });
}

/// Three partitions of records, a group that has read some of them, one that has read all.
fn scene(kafka: &ApacheKafka) {
    let own = |tool: &str, arguments: &[&str]| OWN.run(tool, kafka.address(), arguments).succeed();
    own("topics", &["--create", "--topic", "orders", "--partitions", "3"]);
    let lines: String = (0..30).map(|n| format!("k{n}:v{n}\n")).collect();
    let keyed = ["--topic", "orders", "--reader-property", "parse.key=true", "--reader-property", "key.separator=:"];
    OWN.run_with_input("console-producer", kafka.address(), &keyed, &lines).succeed();
    for (group, count) in [("some", "10"), ("all", "30")] {
        own("console-consumer", &["--topic", "orders", "--group", group, "--from-beginning", "--max-messages", count]);
    }
}

fn groups_and_offsets(kafka: &ApacheKafka) {
    same(kafka, "consumer-groups", &["--list"]).says(&["some"]);
    same(kafka, "consumer-groups", &["--describe", "--all-groups"]).says(&["all", "orders"]);
    same(kafka, "consumer-groups", &["--describe", "--group", "some", "--state"]).says(&["Empty"]);
    same(kafka, "consumer-groups", &["--describe", "--group", "nobody"]);
    let reset = ["--group", "some", "--topic", "orders", "--reset-offsets", "--to-earliest", "--dry-run"];
    same(kafka, "consumer-groups", &reset).says(&["orders"]);
    OWN.run("consumer-groups", kafka.address(), &[&reset[..6], &["--execute"]].concat()).succeed();
    same(kafka, "consumer-groups", &["--describe", "--group", "some", "--offsets"]);
    OWN.run("consumer-groups", kafka.address(), &["--delete", "--group", "all"]).succeed();
    same(kafka, "groups", &["--list"]).says(&["some"]).says_not("all ");
    same(kafka, "get-offsets", &["--topic", "orders"]).says(&["orders:0:"]);
    same(kafka, "get-offsets", &["--topic-partitions", "orders:0-2", "--time", "earliest"]);
    same(kafka, "get-offsets", &["--topic", "orders", "--time", "max-timestamp"]);
    same(kafka, "log-dirs", &["--describe", "--topic-list", "orders"]);
}

fn settings_and_leaders(kafka: &ApacheKafka) {
    let alter =
        ["--alter", "--topic", "orders", "--add-config", "retention.ms=86400000,cleanup.policy=[compact,delete]"];
    OWN.run("configs", kafka.address(), &alter).succeed();
    same(kafka, "configs", &["--describe", "--topic", "orders"]).says(&["retention.ms=86400000"]);
    same(kafka, "configs", &["--describe", "--topic", "orders", "--all"]).says(&["segment.bytes"]);
    same(kafka, "configs", &["--describe", "--broker", "1", "--all"]).says(&["log.dirs"]);
    let quota = ["--alter", "--user", "ann", "--add-config", "producer_byte_rate=1000000"];
    OWN.run("configs", kafka.address(), &quota).succeed();
    same(kafka, "configs", &["--describe", "--entity-type", "users"]).says(&["ann"]);
    same(kafka, "client-metrics", &["--list"]);
    let elect = ["--election-type", "preferred", "--all-topic-partitions"];
    let elected = OWN.run("leader-election", kafka.address(), &elect);
    assert_eq!(elected.code, Some(0), "{elected:#?}");
    same(kafka, "reassign-partitions", &["--list"]).says(&["No partition reassignments found."]);
    // Kafka's goes on with a stack trace.
    let denied = [OWN, THEIRS].map(|tools| tools.run("acls", kafka.address(), &["--list"]));
    let told = denied.map(|ran| (ran.code, ran.stdout.lines().next().map(str::to_owned)));
    assert_eq!(told[0], told[1]);
}

fn the_cluster_itself(kafka: &ApacheKafka) {
    let of_cluster = |command: &str| {
        let ran = [OWN, THEIRS].map(|tools| {
            let mut call = tools.command("cluster");
            call.args([command, "--bootstrap-server", kafka.address()]);
            interop_support::run(call, "").succeed().stdout
        });
        assert_eq!(ran[0], ran[1]);
    };
    of_cluster("cluster-id");
    of_cluster("list-endpoints");
    same(kafka, "features", &["describe"]).says(&["metadata.version"]);
    let words = |text: &str| -> Vec<String> {
        // Offsets and times move on between two calls.
        text.lines().map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
    };
    let quorum = [OWN, THEIRS]
        .map(|tools| words(&tools.run("metadata-quorum", kafka.address(), &["describe", "--status"]).succeed().stdout));
    assert_eq!(quorum[0], quorum[1]);
    same(kafka, "transactions", &["list"]);
    same(kafka, "transactions", &["describe-producers", "--topic", "orders", "--partition", "0"]);
}

fn loads(kafka: &ApacheKafka) {
    OWN.run("topics", kafka.address(), &["--create", "--topic", "load"]).succeed();
    let produce = ["--topic", "load", "--num-records", "5000", "--record-size", "100", "--throughput", "-1"];
    let ran = OWN.run("producer-perf-test", kafka.address(), &produce).succeed();
    ran.says(&["5000 records sent", "MB/sec", "99.9th."]);
    let consume = ["--topic", "load", "--num-records", "5000"];
    for tools in [OWN, THEIRS] {
        let ran = tools.run("consumer-perf-test", kafka.address(), &consume).succeed();
        let counted = ran.stdout.lines().nth(1).and_then(|line| line.split(", ").nth(4).map(str::to_owned));
        assert_eq!(counted.as_deref(), Some("5000"), "{ran:#?}");
    }
    let verify = ["--topic", "load", "--max-messages", "10"];
    OWN.run("verifiable-producer", kafka.address(), &verify).succeed().says(&["\"name\":\"tool_data\"", "\"sent\":10"]);
    let read = ["--topic", "load", "--group-id", "v", "--max-messages", "5010", "--reset-policy", "earliest"];
    let ran = OWN.run("verifiable-consumer", kafka.address(), &read).succeed();
    ran.says(&["\"name\":\"shutdown_complete\""]);
    let latency = interop_support::run(
        {
            let mut call = OWN.command("e2e-latency");
            call.args(["--bootstrap-server", kafka.address(), "--topic", "load"]);
            call.args(["--num-records", "20", "--producer-acks", "all", "--record-size", "64"]);
            call
        },
        "",
    );
    latency.succeed().says(&["Percentiles", "99th"]);
}
