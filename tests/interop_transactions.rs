//! Transactions between us and others: our producer by the coordinators of Apache Kafka (4.3.1 with `transaction.version` 2, 3.9.1 with the
//! protocol before that); other people's producers, and Apache Kafka's tools, by our coordinator.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod client_support;
mod interop_support;
#[path = "client_scenarios/transactions.rs"]
mod scenarios;
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use interop_support::{
    ApacheKafka, Cluster, Driver, Home, Library, Record, Tools, check_data_directory, for_each_home, for_each_library,
    run,
};
use kafka_rs::client::ClientOptions;
use serde_json::{Value, json};
use support::wait_for;
use wire::{Wire, transactional_batch};

/// librdkafka and Java's clients of before and after KIP-890; aiokafka and kafkajs, which are older than both and than KIP-447: they name
/// the group alone when they send offsets.
const TRANSACTIONAL: &[Library] =
    &[Library::Confluent, Library::Java, Library::Java39, Library::Aiokafka, Library::Kafkajs];
const INVALID_PRODUCER_EPOCH: i64 = 47;
const INVALID_TXN_STATE: i64 = 48;
const PRODUCER_FENCED: i64 = 90;
/// librdkafka's own word for it.
const LOCAL_FENCED: i64 = -144;

#[test]
fn apache_kafka_coordinates_our_transactions() {
    for_each_home(|home| {
        let kafka = ApacheKafka::start(home);
        let client = ClientOptions::for_servers(vec![kafka.address().parse().unwrap()]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            scenarios::commit_and_abort(&client).await;
            scenarios::order_of_calls(&client).await;
            scenarios::fencing(&client).await;
            scenarios::a_refused_record(&client).await;
            scenarios::offsets_in_transactions(&client).await;
            scenarios::closing_aborts(&client).await;
        });
    });
}

fn records(topic: &str, partitions: usize, values: &[String]) -> Vec<Value> {
    let record = |(n, value): (usize, &String)| json!({"t": topic, "p": n % partitions, "v": value});
    values.iter().enumerate().map(record).collect()
}

fn named(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}

/// The values that a reader finds, once `count` are there.
fn read(driver: &mut Driver, topic: &str, isolation: &str, count: usize) -> BTreeSet<String> {
    let read = json!({
        "op": "consume", "topics": [topic], "count": count, "timeout_ms": 20_000, "isolation": isolation,
    });
    let found = Record::list(&driver.call(read));
    let values: BTreeSet<String> = found.iter().filter_map(|record| record.value.clone()).collect();
    assert_eq!(values.len(), found.len(), "{isolation}: twice");
    values
}

fn set(lists: &[&[String]]) -> BTreeSet<String> {
    lists.iter().flat_map(|list| list.iter().cloned()).collect()
}

#[test]
fn other_producers_commit_abort_and_are_fenced() {
    for_each_library(TRANSACTIONAL, |library| {
        let cluster = Cluster::start();
        let mut driver = Driver::start(library, cluster.address());
        let topic = cluster.name("txn");
        driver.create_topic(&topic, 3, json!({}));
        let id = cluster.name("id");
        driver.call(json!({"op": "transact", "id": "a", "transactional_id": id}));
        let run = |driver: &mut Driver, name: &str, values: &[String], end: &str| {
            let records = records(&topic, 3, values);
            let results = driver.call(json!({"op": "transaction", "id": name, "records": records, "end": end}));
            for result in results.as_array().unwrap() {
                assert!(result.get("error").is_none(), "{result}");
            }
        };
        let (kept, dropped) = (named("kept", 30), named("dropped", 30));
        run(&mut driver, "a", &kept, "commit");
        run(&mut driver, "a", &dropped, "abort");
        let more = named("more", 5);
        run(&mut driver, "a", &more, "commit");
        assert_eq!(read(&mut driver, &topic, "read_committed", 35), set(&[&kept, &more]));
        assert_eq!(read(&mut driver, &topic, "read_uncommitted", 65), set(&[&kept, &dropped, &more]));

        // What is open is not seen, nor what comes after it; whoever takes the id over ends it.
        let open = named("open", 3);
        run(&mut driver, "a", &open, "open");
        driver.call(json!({"op": "transact", "id": "b", "transactional_id": id}));
        let last = named("last", 3);
        run(&mut driver, "b", &last, "commit");
        assert_fenced(&mut driver, "a");
        assert_eq!(read(&mut driver, &topic, "read_committed", 38), set(&[&kept, &more, &last]));
    });
}

fn assert_fenced(driver: &mut Driver, name: &str) {
    let code = driver.call_for_error(json!({"op": "end_transaction", "id": name, "end": "commit"}));
    assert!([INVALID_PRODUCER_EPOCH, PRODUCER_FENCED, LOCAL_FENCED].contains(&code), "{code}");
}

/// Goal: each record is copied once, although some transactions are aborted, and although the first copier stops in the middle of one and
/// another takes its id over.
#[test]
fn other_clients_copy_exactly_once_and_their_traces_are_kafkas() {
    for_each_library(TRANSACTIONAL, |library| {
        let cluster = Cluster::start();
        let mut driver = Driver::start(library, cluster.address());
        copy_exactly_once(&cluster, &mut driver, "classic");
        if [Library::Confluent, Library::Java].contains(&library) {
            copy_exactly_once(&cluster, &mut driver, "consumer");
        }
        drop(driver);
        let Some(stopped) = cluster.stop() else { return };
        if Home::Kafka.missing().is_none() {
            let printed = check_data_directory(&stopped.data());
            for trace in
                ["endTxnMarker: COMMIT", "endTxnMarker: ABORT", "\"transactionalId\":", "isTransactional: true"]
            {
                assert!(printed.contains(trace), "{trace}");
            }
        }
    });
}

/// The reader's group is of the given protocol.
fn copy_exactly_once(cluster: &Cluster, driver: &mut Driver, protocol: &str) {
    let name = |base: &str| cluster.name(&format!("{base}-{protocol}"));
    let (input, output, group, id) = (name("in"), name("out"), name("copy"), name("id"));
    driver.create_topic(&input, 2, json!({}));
    driver.create_topic(&output, 2, json!({}));
    let values = named("n", 200);
    driver.produce(json!({"op": "produce", "acks": "all", "records": records(&input, 2, &values)}));
    let copy = |driver: &mut Driver, by: &str, leave_open: bool| {
        driver.call(json!({"op": "transact", "id": by, "transactional_id": id}));
        let copied = driver.call(json!({
            "op": "copy", "id": by, "group": group, "from": input, "to": output, "count": 200, "batch": 17,
            "abort_every": 3, "protocol": protocol, "leave_open": leave_open,
        }));
        copied.as_u64().unwrap()
    };
    let left_open = copy(driver, "a", true);
    assert!((1..200).contains(&left_open), "{left_open}");
    assert_eq!(copy(driver, "b", false), 200);
    assert_fenced(driver, "a");
    assert_eq!(read(driver, &output, "read_committed", 200), set(&[&values]));
    let committed = driver.call(json!({"op": "committed", "group": group, "topic": input}));
    assert_eq!(committed, json!({"0": 100, "1": 100}));
}

/// What groups and transactions leave behind, as the formatters of Kafka's console consumer show it.
#[test]
fn kafkas_formatters_show_the_coordinators_topics() {
    need!(Library::Java.missing());
    let cluster = Cluster::start();
    let mut driver = Driver::start(Library::Java, cluster.address());
    let (input, output, group, id) =
        (cluster.name("in"), cluster.name("out"), cluster.name("copy"), cluster.name("id"));
    driver.create_topic(&input, 1, json!({}));
    driver.create_topic(&output, 1, json!({}));
    let records = records(&input, 1, &named("n", 20));
    driver.produce(json!({"op": "produce", "acks": "all", "records": records}));
    driver.call(json!({"op": "transact", "id": "a", "transactional_id": id}));
    let copy = json!({
        "op": "copy", "id": "a", "group": group, "from": input, "to": output, "count": 20, "batch": 10, "abort_every": 5,
    });
    assert_eq!(driver.call(copy), 20);
    for (topic, formatter, traces) in [
        ("__consumer_offsets", "OffsetsMessageFormatter", [group.as_str(), "\"offset\":20"]),
        ("__consumer_offsets", "GroupMetadataMessageFormatter", [group.as_str(), "\"protocolType\":\"consumer\""]),
        ("__transaction_state", "TransactionLogMessageFormatter", [id.as_str(), "\"producerId\":"]),
    ] {
        let formatter = format!("org.apache.kafka.tools.consumer.{formatter}");
        let arguments = ["--topic", topic, "--from-beginning", "--timeout-ms", "5000", "--formatter", &formatter];
        let printed = Tools::Scripts(Home::Kafka).run("console-consumer", cluster.address(), &arguments).succeed();
        printed.says(&traces);
    }
}

/// An open transaction is found, described and ended by `kafka-transactions.sh`; and one that takes too long by the broker.
#[test]
fn kafkas_tool_manages_our_transactions() {
    for_each_home(|home| {
        let cluster = Cluster::start_with(&[
            "transaction.abort.timed.out.transaction.cleanup.interval.ms=200",
            "transaction.state.log.num.partitions=5",
        ]);
        let library = if home == Home::Kafka { Library::Java } else { Library::Java39 };
        if let Some(why) = library.missing() {
            return interop_support::skip(&why);
        }
        let mut driver = Driver::start(library, cluster.address());
        let (topic, id) = (cluster.name("txn"), cluster.name("id"));
        driver.create_topic(&topic, 1, json!({}));
        let tool = |arguments: &[&str]| {
            let mut command = Tools::Scripts(home).command("transactions");
            command.args(["--bootstrap-server", cluster.address()]).args(arguments);
            run(command, "").succeed()
        };
        let begin = |driver: &mut Driver, timeout_ms: i32| {
            driver.call(json!({"op": "transact", "id": "a", "transactional_id": id, "timeout_ms": timeout_ms}));
            let records = records(&topic, 1, &named("open", 2));
            driver.call(json!({"op": "transaction", "id": "a", "records": records, "end": "open"}));
        };
        begin(&mut driver, 60_000);
        tool(&["list"]).says(&[&id, "Ongoing"]);
        tool(&["describe", "--transactional-id", &id]).says(&[&id, "Ongoing", "60000", &format!("{topic}-0")]);
        tool(&["describe-producers", "--topic", &topic, "--partition", "0"]).says(&["0", "1"]);
        tool(&["abort", "--topic", &topic, "--partition", "0", "--start-offset", "0"]);
        driver.produce(json!({"op": "produce", "acks": "all", "records": records(&topic, 1, &named("plain", 1))}));
        assert_eq!(read(&mut driver, &topic, "read_committed", 1), set(&[&named("plain", 1)]));

        begin(&mut driver, 1_000);
        wait_for("the transaction to be aborted", Duration::from_secs(30), || {
            let listed = driver.call(json!({"op": "offsets", "topic": topic, "partitions": [0], "at": "latest"}));
            // Two records, the tool's marker, the plain one, the marker for the coordinator, which knew nothing of the tool's; two
            // records and their marker.
            (listed == json!({"0": 8})).then_some(())
        });
        tool(&["list"]).says(&[&id, "CompleteAbort"]);
        // With an epoch for each transaction (KIP-890) it looks like a commit that is sent again, of what was aborted.
        let code = driver.call_for_error(json!({"op": "end_transaction", "id": "a", "end": "commit"}));
        assert!([INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, PRODUCER_FENCED].contains(&code), "{code}");
        tool(&["find-hanging", "--topic", &topic]).says_not(&format!("{topic}\t"));
    });
}

/// Goal: `kafka-transactions.sh` describes a transactional id of ours, and finds and ends what hangs.
/// Method: a partition has transactions of producers that no coordinator has heard of, as clients before KIP-890 could leave them.
#[test]
fn kafkas_tool_finds_what_hangs_in_our_partitions() {
    for_each_home(|home| {
        let cluster = Cluster::start_with(&[
            "transaction.state.log.num.partitions=5",
            // Brokers that verify have nothing that hangs.
            "transaction.partition.verification.enable=false",
        ]);
        let (topic, id) = (cluster.name("held"), cluster.name("id"));
        let own = |name: &str, arguments: &[&str]| Tools::Own.run(name, cluster.address(), arguments).succeed();
        own("topics", &["--create", "--topic", &topic, "--partitions", "1"]);
        let few = ["--num-records", "3", "--record-size", "5", "--throughput", "-1", "--transactional-id", &id];
        own("producer-perf-test", &[&["--topic", &topic], &few[..]].concat());
        let mut wire = Wire::connect(cluster.address());
        for (producer, epoch) in [(4711, 3), (4712, 0)] {
            let batch = transactional_batch(producer, epoch, 0);
            assert_eq!(wire.produce_in_transaction(Some("gone"), &topic, 0, batch, 11), 0);
        }
        let tool = |arguments: &[&str]| {
            let mut command = Tools::Scripts(home).command("transactions");
            command.args(["--bootstrap-server", cluster.address()]).args(arguments);
            run(command, "").succeed()
        };
        let described = ["describe", "--transactional-id", &id];
        tool(&described).says(&[&id, "CompleteCommit", "60000"]);
        let mut ours = Tools::Own.command("transactions");
        ours.args(["--bootstrap-server", cluster.address()]).args(described);
        // How long it has been so goes on meanwhile.
        let head = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        assert_eq!(head(&run(ours, "").succeed().stdout), head(&tool(&described).stdout));

        let find = ["find-hanging", "--topic", &topic, "--max-transaction-timeout", "0"];
        let found = tool(&find).says(&[&topic, "4711"]).says(&[&topic, "4712"]);
        assert_eq!(found.stdout.lines().count(), 3, "{found:#?}");
        tool(&["find-hanging", "--topic", &topic]).says_not("471");
        let start = start_of_hanging(&cluster, &topic);
        tool(&["abort", "--topic", &topic, "--partition", "0", "--start-offset", &start]);
        tool(&find).says_not("4711").says(&[&topic, "4712"]);
        let producer = ["--producer-id", "4712", "--producer-epoch", "0", "--coordinator-epoch", "-1"];
        tool(&[&["abort", "--topic", &topic, "--partition", "0"], &producer[..]].concat());
        tool(&find).says_not("471");
    });
}

/// Where the first open transaction of the topic's one partition begins.
fn start_of_hanging(cluster: &Cluster, topic: &str) -> String {
    let arguments = ["describe-producers", "--topic", topic, "--partition", "0"];
    let mut command = Tools::Own.command("transactions");
    command.args(["--bootstrap-server", cluster.address()]).args(arguments);
    let producers = run(command, "").succeed().stdout;
    let row = producers.lines().find(|line| line.starts_with("4711")).unwrap();
    row.split('\t').nth(5).unwrap().trim().to_owned()
}
