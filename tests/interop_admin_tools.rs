//! The tools that look after a cluster, against Apache Kafka 4.3 and 3.9: what they say is what Kafka's own scripts say there.
//!
//! `tests/cli_parity` holds far more cases, replayed on our broker; here is each tool once on Kafka's.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use interop_support::{ApacheKafka, Home, Node, Quorum, Ran, Tools, for_each_home};
use support::wait_for;
use wire::{Wire, transactional_batch};

const OWN: Tools = Tools::Own;
const THEIRS: Tools = Tools::Scripts(Home::Kafka);

/// How often two answers may differ: what was changed just before may be known to the second one only.
const TRIES: usize = 3;

/// What a change may take until all brokers know of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a command that changes nothing with our tool and with Kafka's script.
fn same(kafka: &ApacheKafka, tool: &str, arguments: &[&str]) -> Ran {
    same_at(kafka.address(), tool, arguments)
}

fn same_at(address: &str, tool: &str, arguments: &[&str]) -> Ran {
    same_as(THEIRS, address, tool, arguments)
}

fn same_as(theirs: Tools, address: &str, tool: &str, arguments: &[&str]) -> Ran {
    // Whole lines in any order: Kafka's tools print many things as a hash table has them.
    let lines = |ran: &Ran| {
        // The epoch of features is the offset of the metadata, which moves on.
        let line = |line: &str| line.split("Epoch:").next().unwrap_or_default().to_owned();
        let mut lines: Vec<String> = ran.stdout.lines().map(line).collect();
        lines.sort_unstable();
        (ran.code, lines)
    };
    for attempt in 1.. {
        let ours = OWN.run(tool, address, arguments);
        let theirs = theirs.run(tool, address, arguments);
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
        let kafka = ApacheKafka::start_with(home, &["transaction.partition.verification.enable=false"]);
        scene(&kafka);
        groups_and_offsets(&kafka);
        settings_and_leaders(&kafka);
        the_cluster_itself(&kafka);
        transactions_that_hang(&kafka);
        if home == Home::Kafka39 {
            as_older_scripts(&kafka);
        }
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

/// A partition has a transaction of a producer that no coordinator has heard of, as clients before KIP-890 could leave it.
fn transactions_that_hang(kafka: &ApacheKafka) {
    OWN.run("topics", kafka.address(), &["--create", "--topic", "held"]).succeed();
    let mut wire = Wire::connect(kafka.address());
    for (producer, epoch) in [(4711, 3), (4712, 0)] {
        wait_for("the partition's leader", PATIENCE, || {
            let batch = transactional_batch(producer, epoch, 0);
            (wire.produce_in_transaction(Some("gone"), "held", 0, batch, 11) == 0).then_some(())
        });
    }
    OWN.run_with_input("console-producer", kafka.address(), &["--topic", "held"], "behind\n").succeed();
    let transactions = |arguments: &[&str]| OWN.run("transactions", kafka.address(), arguments).succeed();
    let find = ["find-hanging", "--topic", "held", "--max-transaction-timeout", "0"];
    let found = same(kafka, "transactions", &find).says(&["held", "4711"]).says(&["held", "4712"]);
    assert_eq!(found.stdout.lines().count(), 3, "{found:#?}");
    let committed = ["--topic", "held", "--from-beginning", "--isolation-level", "read_committed"];
    let read = |more: &[&str]| OWN.run("console-consumer", kafka.address(), &[&committed[..], more].concat()).stdout;
    assert_eq!(read(&["--timeout-ms", "1000"]), "");

    transactions(&["abort", "--topic", "held", "--partition", "0", "--start-offset", "0"]);
    transactions(&find).says_not("4711").says(&["held", "4712"]);
    let producer = ["--producer-id", "4712", "--producer-epoch", "0", "--coordinator-epoch", "-1"];
    transactions(&[&["abort", "--topic", "held", "--partition", "0"], &producer[..]].concat());
    transactions(&find).says_not("471");
    assert_eq!(read(&["--max-messages", "1", "--timeout-ms", "30000"]), "behind\n");
}

/// Goal: a partition gets a leader that is not in sync, and the tools say so as Kafka's do.
/// Method: a second broker has two partitions alone, the first is to have them too but gets them at one byte a second; then the
/// second is stopped.
#[test]
fn an_unclean_election_takes_a_replica_that_is_behind() {
    need!(THEIRS.missing());
    let first = Node::format(Home::Kafka, Quorum::Static, &[]);
    let second = first.format_broker(2);
    let (_first_runs, second_runs) = std::thread::scope(|scope| {
        let starts = scope.spawn(|| second.kafka(&[]));
        (first.kafka(&[]), starts.join().unwrap())
    });
    let address = first.address();
    let own = |tool: &str, arguments: &[&str]| OWN.run(tool, &address, arguments).succeed();
    own("topics", &["--create", "--topic", "far", "--replica-assignment", "2,2"]);
    let size = ["--record-size", "1000", "--throughput", "-1", "--num-records", "12000"];
    own("producer-perf-test", &[&["--topic", "far"], &size[..]].concat());
    let files = tempfile::TempDir::new().unwrap();
    let [both, one_each] = ["both.json", "one.json"].map(|name| files.path().join(name).display().to_string());
    let assigned = |partition: i32| format!(r#"{{"topic":"far","partition":{partition},"replicas":[1,2]}}"#);
    std::fs::write(&both, format!(r#"{{"version":1,"partitions":[{},{}]}}"#, assigned(0), assigned(1))).unwrap();
    std::fs::write(&one_each, r#"{"partitions":[{"topic":"far","partition":0},{"topic":"far","partition":1}]}"#)
        .unwrap();
    own("reassign-partitions", &["--execute", "--reassignment-json-file", &both, "--throttle", "1"]);
    same_at(&address, "reassign-partitions", &["--list"]).says(&["far-0", "adding: 1"]);
    let verify = ["--verify", "--reassignment-json-file", &both, "--preserve-throttles"];
    same_at(&address, "reassign-partitions", &verify).says(&["far-1 is still in progress"]);

    let elect = |tools: Tools, partition: &str| {
        let arguments = ["--election-type", "unclean", "--topic", "far", "--partition", partition];
        let ran = tools.run("leader-election", &address, &arguments);
        (ran.code, ran.stdout.replace(&format!("far-{partition}"), "far-N"), ran.stderr)
    };
    assert_eq!(elect(OWN, "0").1, "Valid replica already elected for partitions far-N\n", "there is a leader");
    second_runs.stop();
    wait_for("the partitions to be without a leader", PATIENCE, || {
        let described = own("topics", &["--describe", "--topic", "far", "--unavailable-partitions"]);
        (described.stdout.lines().count() == 2).then_some(())
    });
    let preferred = ["--election-type", "preferred", "--path-to-json-file", &one_each];
    same_at(&address, "leader-election", &preferred).says(&["far-0", "PreferredLeaderNotAvailableException"]);
    let (ours, theirs) = (elect(OWN, "0"), elect(THEIRS, "1"));
    assert_eq!(ours, theirs);
    assert_eq!(ours.1, "Successfully completed leader election (UNCLEAN) for partitions far-N\n");
    own("topics", &["--describe", "--topic", "far"]).says(&["Partition: 0", "Leader: 1", "Isr: 1"]);
}

/// What the scripts of 3.9 themselves say.
fn as_older_scripts(kafka: &ApacheKafka) {
    let same =
        |tool: &str, arguments: &[&str]| same_as(Tools::Scripts(Home::Kafka39), kafka.address(), tool, arguments);
    same("transactions", &["describe-producers", "--topic", "held", "--partition", "0"]).says(&["4712"]);
    let plan = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&plan, r#"{"partitions":[{"topic":"held","partition":0,"replicas":[1]}]}"#).unwrap();
    let plan = plan.path().display().to_string();
    same("reassign-partitions", &["--verify", "--reassignment-json-file", &plan]).says(&["held-0 is completed"]);
    // Offsets and times move on between two calls.
    let replication = ["metadata-quorum", "describe", "--replication", "--human-readable"];
    let [ours, theirs] = [OWN, Tools::Scripts(Home::Kafka39)].map(|tools| {
        let ran = tools.run(replication[0], kafka.address(), &replication[1..]).succeed();
        let columns = |line: &str| -> Vec<String> {
            let cells: Vec<_> = line.split('\t').map(|cell| cell.trim().to_owned()).collect();
            [0, 1, 3, 6].into_iter().filter_map(|column| cells.get(column).cloned()).collect()
        };
        ran.stdout.lines().map(columns).collect::<Vec<_>>()
    });
    assert_eq!(ours, theirs);
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
