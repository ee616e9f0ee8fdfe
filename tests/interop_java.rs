//! The scripts of Apache Kafka's `bin/`, of 4.3.1 and 3.9.1, against the broker; and `kafka-dump-log.sh` over its files.
//!
//! A JVM takes a second to start, so each script is called where it tells something, not in every combination.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use std::fs;
use std::time::Duration;

use interop_support::{
    Cluster, Driver, Home, Library, Ran, Tools, assert_complains, check_data_directory, for_each_home,
};
use serde_json::{Value, json};
use support::wait_for;

/// The scripts of one home, against one cluster.
struct Scripts<'a> {
    home: Home,
    cluster: &'a Cluster,
}

impl Scripts<'_> {
    fn run(&self, tool: &str, arguments: &[&str]) -> Ran {
        Tools::Scripts(self.home).run(tool, self.cluster.address(), arguments)
    }

    /// A name of this home's own.
    fn name(&self, base: &str) -> String {
        self.cluster.name(&format!("{base}-{}", self.home.name()))
    }

    fn create_topic(&self, name: &str, partitions: &str) {
        self.run("topics", &["--create", "--topic", name, "--partitions", partitions]).succeed();
    }
}

#[test]
fn topics_script() {
    let cluster = Cluster::start();
    for_each_home(|home| {
        let scripts = Scripts { home, cluster: &cluster };
        let topic = scripts.name("topics");
        let create = ["--create", "--topic", &topic, "--partitions", "3", "--replication-factor", "1"];
        let config = ["--config", "max.message.bytes=64000", "--config", "cleanup.policy=compact"];
        let created = scripts.run("topics", &[&create[..], &config[..]].concat()).succeed();
        assert_eq!(created.stdout, format!("Created topic {topic}.\n"));
        let again = scripts.run("topics", &create);
        assert_eq!(again.code, Some(1), "{again:#?}");
        again.says(&["already exists"]);
        scripts.run("topics", &[&create[..], &["--if-not-exists"]].concat()).succeed();
        scripts.run("topics", &["--list"]).succeed().says(&[&topic]);
        let described = scripts.run("topics", &["--describe", "--topic", &topic]).succeed();
        let described = described.says(&["PartitionCount: 3", "ReplicationFactor: 1"]);
        let described = described.says(&["cleanup.policy=compact"]).says(&["max.message.bytes=64000"]);
        described.says(&["Partition: 2", "Leader: "]).says_not("none");
        scripts.run("topics", &["--alter", "--topic", &topic, "--partitions", "5"]).succeed();
        scripts.run("topics", &["--describe", "--topic", &topic]).succeed().says(&["PartitionCount: 5"]);
        scripts.run("topics", &["--delete", "--topic", &topic]).succeed();
        let listed = scripts.run("topics", &["--list"]).succeed();
        assert!(!listed.stdout.lines().any(|line| line == topic), "{listed:#?}");
        let missing = scripts.run("topics", &["--describe", "--topic", &topic]);
        assert_eq!(missing.code, Some(1), "{missing:#?}");
    });
}

#[test]
fn verifiable_producer_and_consumer() {
    const COUNT: usize = 3000;
    let count = COUNT.to_string();
    let cluster = Cluster::start();
    for_each_home(|home| {
        let scripts = Scripts { home, cluster: &cluster };
        let (topic, group) = (scripts.name("verifiable"), scripts.name("verifiable-group"));
        scripts.create_topic(&topic, "4");
        let arguments = ["--topic", &topic, "--max-messages", &count, "--acks", "-1"];
        let produced = scripts.run("verifiable-producer", &arguments).succeed();
        let sent = events(&produced, "producer_send_success");
        assert_eq!(sent.len(), COUNT, "{}", produced.stderr);
        let summary = events(&produced, "tool_data");
        assert_eq!((&summary[0]["sent"], &summary[0]["acked"]), (&json!(COUNT), &json!(COUNT)));

        // Half of them, then the other half by the group's committed offsets.
        let half = (COUNT / 2).to_string();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let arguments =
                ["--topic", &topic, "--group-id", &group, "--max-messages", &half, "--reset-policy", "earliest"];
            let consumed = scripts.run("verifiable-consumer", &[&arguments[..], &["--verbose"]].concat()).succeed();
            let failed = events(&consumed, "offsets_committed").into_iter().find(|event| event["success"] != true);
            assert_eq!(failed, None);
            let records = events(&consumed, "record_data");
            seen.extend(
                records.into_iter().map(|event| (event["partition"].clone().to_string(), event["offset"].as_i64())),
            );
        }
        seen.sort();
        let total = seen.len();
        seen.dedup();
        assert_eq!((total, seen.len()), (COUNT, COUNT), "each record once");
    });
}

/// The events of one kind that a verifiable tool printed, a JSON object per line.
fn events(ran: &Ran, name: &str) -> Vec<Value> {
    let all = ran.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(|event| event["name"] == name).collect()
}

#[test]
fn consumer_groups_script() {
    let cluster = Cluster::start();
    for_each_home(|home| {
        let scripts = Scripts { home, cluster: &cluster };
        let (topic, group) = (scripts.name("lagging"), scripts.name("lagging-group"));
        let mut driver =
            Driver::start(if home == Home::Kafka { Library::Java } else { Library::Java39 }, cluster.address());
        driver.create_topic(&topic, 2, json!({}));
        let write = |driver: &mut Driver| {
            let records: Vec<Value> = (0..20).map(|i| json!({"t": topic, "p": i % 2, "v": "x"})).collect();
            driver.produce(json!({"op": "produce", "records": records}));
        };
        write(&mut driver);
        driver.call(json!({"op": "join", "id": "m", "group": group, "topics": [topic], "assignor": "range"}));
        wait_for("the group to have read all", Duration::from_secs(30), || {
            let committed = driver.call(json!({"op": "committed", "group": group, "topic": topic}));
            (committed == json!({"0": 10, "1": 10})).then_some(())
        });
        let groups = |arguments: &[&str]| scripts.run("consumer-groups", arguments).succeed();
        let named = |action: &'static str| [action, "--group", &group];
        groups(&["--list"]).says(&[&group]);
        groups(&["--list", "--state", "stable"]).says(&[&group, "Stable"]);
        // Current offset, end offset, lag, and the member that holds the partition.
        groups(&named("--describe")).says(&[&topic, "10", "0", "consumer-"]);
        groups(&[&named("--describe")[..], &["--members", "--verbose"]].concat()).says(&["consumer-", "0,1"]);
        groups(&[&named("--describe")[..], &["--state"]].concat()).says(&[&group, "range", "Stable"]);
        groups(&named("--delete")).says(&["not empty"]);
        driver.call(json!({"op": "leave", "id": "m"}));
        write(&mut driver);

        let idle = groups(&named("--describe"));
        let rows: Vec<Vec<&str>> = idle.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
        for partition in ["0", "1"] {
            let row = [&group, &topic, partition, "10", "20", "10", "-", "-", "-"];
            assert!(rows.iter().any(|found| found == &row), "{row:?} in {idle:#?}");
        }
        let reset = [&named("--reset-offsets")[..], &["--topic", &topic, "--execute"]].concat();
        groups(&[&reset[..], &["--to-earliest"]].concat()).says(&[&group, &topic, "0"]);
        assert_eq!(driver.call(json!({"op": "committed", "group": group, "topic": topic})), json!({"0": 0, "1": 0}));
        groups(&[&reset[..], &["--shift-by", "3"]].concat()).says(&[&group, &topic, "3"]);
        groups(&[&named("--delete-offsets")[..], &["--topic", &format!("{topic}:0")]].concat())
            .says(&[&topic, "Successful"]);
        assert_eq!(driver.call(json!({"op": "committed", "group": group, "topic": topic})), json!({"1": 3}));
        groups(&named("--delete")).says(&["was successful"]);
        groups(&["--list"]).says_not(&group);
    });
}

#[test]
fn configs_script() {
    let cluster = Cluster::start();
    for_each_home(|home| {
        let scripts = Scripts { home, cluster: &cluster };
        let topic = scripts.name("configs");
        scripts.create_topic(&topic, "1");
        let configs = |arguments: &[&str]| scripts.run("configs", arguments).succeed();
        let entity = ["--entity-type", "topics", "--entity-name", &topic];
        let with = |more: &[&str]| configs(&[&entity[..], more].concat());
        with(&["--alter", "--add-config", "retention.ms=123456,cleanup.policy=[compact,delete]"])
            .says(&["Completed updating"]);
        let described =
            with(&["--describe"]).says(&["retention.ms=123456", "DYNAMIC_TOPIC_CONFIG:retention.ms=123456"]);
        described.says(&["cleanup.policy=compact,delete", "DEFAULT_CONFIG:log.cleanup.policy=delete"]);
        with(&["--alter", "--delete-config", "retention.ms"]);
        with(&["--describe"]).says_not("retention.ms=123456").says(&["cleanup.policy=compact,delete"]);
        with(&["--describe", "--all"]).says(&["max.message.bytes=1048588", "sensitive=false"]);
        let wrong = scripts.run("configs", &[&entity[..], &["--alter", "--add-config", "retention.ms=soon"]].concat());
        assert_eq!(wrong.code, Some(1), "{wrong:#?}");
    });
}

/// Of one home only, since it changes the whole broker.
#[test]
fn configs_script_on_brokers() {
    need!(Home::Kafka.missing());
    let cluster = Cluster::start();
    let scripts = Scripts { home: Home::Kafka, cluster: &cluster };
    let configs =
        |arguments: &[&str]| scripts.run("configs", &[&["--entity-type", "brokers"], arguments].concat()).succeed();
    configs(&["--entity-default", "--alter", "--add-config", "log.retention.ms=86400000"])
        .says(&["Completed updating"]);
    configs(&["--entity-default", "--describe"]).says(&["log.retention.ms=86400000", "DYNAMIC_DEFAULT_BROKER_CONFIG"]);
    configs(&["--entity-name", "1", "--describe", "--all"])
        .says(&["log.retention.ms=86400000"])
        .says(&["node.id=1", "STATIC_BROKER_CONFIG"]);
    configs(&["--entity-default", "--alter", "--delete-config", "log.retention.ms"]);
    configs(&["--entity-default", "--describe"]).says_not("log.retention.ms");
}

#[test]
fn offsets_records_and_log_directories() {
    let cluster = Cluster::start();
    for_each_home(|home| {
        let scripts = Scripts { home, cluster: &cluster };
        let topic = scripts.name("trim");
        let input = "a\nb\nc\nd\ne\n";
        let producer = ["--topic", &topic, "--sync"];
        // The topic is created by writing to it.
        Tools::Scripts(home).run_with_input("console-producer", cluster.address(), &producer, input).succeed();
        scripts.run("get-offsets", &["--topic", &topic]).succeed().says(&[&format!("{topic}:0:5")]);
        let plan = tempfile::NamedTempFile::new().unwrap();
        fs::write(
            &plan,
            json!({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 2}]}).to_string(),
        )
        .unwrap();
        let path = plan.path().to_string_lossy().into_owned();
        scripts.run("delete-records", &["--offset-json-file", &path]).succeed().says(&["low_watermark: 2"]);
        scripts.run("get-offsets", &["--topic", &topic, "--time", "-2"]).succeed().says(&[&format!("{topic}:0:2")]);
        let read =
            scripts.run("console-consumer", &["--topic", &topic, "--from-beginning", "--max-messages", "3"]).succeed();
        assert_eq!(read.stdout, "c\nd\ne\n");
        let sizes = scripts.run("log-dirs", &["--describe", "--topic-list", &topic]).succeed();
        sizes.says(&[&format!("\"{topic}-0\""), "\"size\":"]);
    });
}

#[test]
fn broker_api_versions_and_cluster_id() {
    let cluster = Cluster::start();
    for_each_home(|home| {
        let scripts = Scripts { home, cluster: &cluster };
        let versions = scripts.run("broker-api-versions", &[]).succeed();
        let versions = versions.says(&[cluster.address(), "id: 1"]).says(&["Produce(0):"]).says(&["Fetch(1):"]);
        versions.says(&["ApiVersions(18):"]);
        let arguments = ["cluster-id", "--bootstrap-server", cluster.address()];
        let mut command = Tools::Scripts(home).command("cluster");
        command.args(arguments);
        interop_support::run(command, "").succeed().says(&["Cluster ID: "]);
    });
}

/// Goal: Kafka's own reader finds nothing wrong with what the broker writes, also over several segments and after a kill.
#[test]
fn dump_log_reads_every_file_without_a_complaint() {
    need!(Home::Kafka.missing());
    need!(Library::Java.missing());
    let cluster = Cluster::start();
    if !cluster.is_own() {
        return;
    }
    let mut driver = Driver::start(Library::Java, cluster.address());
    let small = json!({"segment.bytes": "1048576", "index.interval.bytes": "500"});
    driver.create_topic("segments", 1, small);
    driver.create_topic("by-broker", 1, json!({"message.timestamp.type": "LogAppendTime", "compression.type": "zstd"}));
    for (codec, idempotent) in [("none", true), ("gzip", false), ("snappy", true), ("lz4", true), ("zstd", true)] {
        let value = |i: usize| format!("{i}|{}", fastrand::u128(..).to_string().repeat(8));
        let record = |i: usize| json!({"t": if i.is_multiple_of(9) { "by-broker" } else { "segments" }, "k": "k", "v": value(i)});
        let records: Vec<Value> = (0..3000).map(record).collect();
        driver.produce(json!({"op": "produce", "codec": codec, "idempotent": idempotent, "records": records}));
    }
    for id in ["a", "b"] {
        driver.call(json!({"op": "join", "id": id, "group": "dumped", "topics": ["segments", "by-broker"]}));
    }
    wait_for("the group to have read all", Duration::from_secs(30), || {
        let received = |driver: &mut Driver, id: &str| {
            driver.call(json!({"op": "status", "id": id}))["received"].as_u64().unwrap()
        };
        (received(&mut driver, "a") + received(&mut driver, "b") >= 15_000).then_some(())
    });
    driver.call(json!({"op": "delete_records", "topic": "segments", "partition": 0, "before": 5000}));
    let retention = json!({"retention.ms": "-1"});
    driver.call(json!({"op": "incremental_alter_configs", "kind": "topic", "name": "segments", "set": retention}));
    driver.call(json!({"op": "create_partitions", "name": "by-broker", "count": 3}));
    driver.call(json!({"op": "delete_topics", "names": ["by-broker"]}));
    drop(driver);

    let stopped = cluster.stop().unwrap();
    let printed = check_data_directory(&stopped.data());
    for expected in [
        // Segments and their indexes, producer snapshots, offsets and group metadata, metadata records.
        "segments-0/00000000000000000000.log",
        "segments-0/00000000000000000000.timeindex",
        "producerId: ",
        "\"group\":\"dumped\",\"topic\":\"segments\",\"partition\":0",
        "\"protocolType\":\"consumer\"",
        "\"type\":\"TOPIC_RECORD\"",
        "\"name\":\"segments\"",
        "\"type\":\"PARTITION_RECORD\"",
        "\"type\":\"CONFIG_RECORD\"",
        "\"type\":\"REMOVE_TOPIC_RECORD\"",
        "\"type\":\"FEATURE_LEVEL_RECORD\"",
        "\"type\":\"REGISTER_BROKER_RECORD\"",
    ] {
        assert!(printed.contains(expected), "{expected} is not in what the tool printed");
    }
    assert_complains(&stopped.data().join("segments-0"));
}
