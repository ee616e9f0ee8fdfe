//! What each client library does alone: partitioning, big batches and big records, offsets by time, admin calls.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod interop_support;
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use interop_support::{Cluster, Driver, Library, Sent, an_hour_ago, assert_delivered, for_each_library, present};
use serde_json::{Value, json};
use support::wait_for;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Kafka's error codes.
const MESSAGE_TOO_LARGE: i64 = 10;
const UNKNOWN_TOPIC_OR_PARTITION: i64 = 3;
const INVALID_TOPIC: i64 = 17;
const TOPIC_ALREADY_EXISTS: i64 = 36;
const INVALID_PARTITIONS: i64 = 37;
const INVALID_REPLICATION_FACTOR: i64 = 38;
const INVALID_REPLICA_ASSIGNMENT: i64 = 39;
const INVALID_CONFIG: i64 = 40;

/// Goal: a key goes to one partition, whichever client writes it.
#[test]
fn all_clients_agree_where_a_key_belongs() {
    let libraries = present(Library::ALL);
    let Some(first) = libraries.first() else { return };
    let cluster = Cluster::start();
    let topic = cluster.name("keyed");
    Driver::start(*first, cluster.address()).create_topic(&topic, 13, json!({}));
    let keys: Vec<String> =
        (0..120).map(|i| format!("{}{i}", "käy-".repeat(i % 5))).chain(["hex:fffefd00".to_owned()]).collect();
    let mut agreed: Option<(Library, Vec<i64>)> = None;
    for library in libraries {
        let mut driver = Driver::start(library, cluster.address());
        // kafkajs tells the places of small requests only.
        let results: Vec<Value> = keys
            .chunks(40)
            .flat_map(|keys| {
                let records: Vec<Value> = keys.iter().map(|key| json!({"t": topic, "k": key, "v": "x"})).collect();
                driver.produce(json!({"op": "produce", "codec": "none", "acks": "all", "records": records}))
            })
            .collect();
        let places: Vec<i64> = results.iter().map(|result| result["p"].as_i64().unwrap()).collect();
        match &agreed {
            None => agreed = Some((library, places)),
            Some((other, agreed)) => assert_eq!(&places, agreed, "{} and {}", library.name(), other.name()),
        }
    }
    let distinct: std::collections::BTreeSet<i64> = agreed.unwrap().1.into_iter().collect();
    assert_eq!(distinct.len(), 13, "the keys reach every partition");
}

/// Goal: batches of many blocks survive every codec, with sequence numbers, and another client reads them in order.
#[test]
fn big_batches_of_every_codec_arrive_whole() {
    let libraries = present(Library::ALL);
    let Some(reader) = libraries.last().copied() else { return };
    let cluster = Cluster::start();
    for_each_library(&libraries, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let topic = cluster.name(&format!("bulk-{}", library.name()));
        driver.create_topic(&topic, 1, json!({}));
        let mut all = Vec::new();
        let mut random = fastrand::Rng::with_seed(7);
        for (run, codec) in CODECS.into_iter().enumerate() {
            let sent: Vec<Sent> = (0..1200)
                .map(|i| {
                    let id = format!("{codec}/{i}");
                    let filler: String = (0..20).map(|_| format!("{:08x}", random.u32(..))).collect();
                    Sent { topic: topic.clone(), value: Some(format!("{id}|{filler}")), id, run, ..Sent::default() }
                })
                .collect();
            let records: Vec<Value> = sent.iter().map(Sent::request).collect();
            let request = json!({
                "op": "produce", "codec": codec, "acks": "all", "idempotent": true, "linger_ms": 50, "records": records,
            });
            let failed = driver.produce(request).into_iter().find(|result| result.get("error").is_some());
            assert_eq!(failed, None, "{} with {codec}", library.name());
            all.extend(sent);
        }
        for reader in [library, reader] {
            let read = Driver::start(reader, cluster.address()).consume(std::slice::from_ref(&topic), all.len());
            assert_delivered(&format!("{} reads {}", reader.name(), library.name()), &all, &read);
        }
    });
}

/// Goal: a record may be as large as the topic allows; a larger one is refused with Kafka's error, and the next one passes.
#[test]
fn a_record_over_the_topics_limit_is_refused() {
    // The hash of 190,000 times the letter x.
    const LARGE: &str = "sha256:638c67d6c396ed46923189bf14ad265141c1a142c09667f851a04e6847e693b1:190000";
    let cluster = Cluster::start();
    for_each_library(Library::ALL, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let topic = cluster.name(&format!("large-{}", library.name()));
        driver.create_topic(&topic, 1, json!({"max.message.bytes": "200000"}));
        let mut produce = |size: usize| {
            let records = json!([{"t": topic, "k": "k", "v": "x".repeat(size)}]);
            let request = json!({"op": "produce", "acks": "all", "max_request": 5_000_000, "records": records});
            driver.produce(request).remove(0)
        };
        assert_eq!(produce(190_000)["o"], 0, "{}", library.name());
        assert_eq!(produce(210_000)["error"], MESSAGE_TOO_LARGE, "{}", library.name());
        assert_eq!(produce(190_000)["o"], 1, "{}", library.name());
        let read = driver.consume(std::slice::from_ref(&topic), 2);
        let values: Vec<Option<&str>> = read.iter().map(|record| record.value.as_deref()).collect();
        assert_eq!(values, [Some(LARGE); 2], "{}", library.name());
    });
}

/// Goal: a reader that takes a byte at a time still gets on, since a fetch gives at least one whole batch.
#[test]
fn tiny_fetches_get_on() {
    let cluster = Cluster::start();
    for_each_library(Library::ALL, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let topic = cluster.name(&format!("tiny-{}", library.name()));
        driver.create_topic(&topic, 2, json!({}));
        let records: Vec<Value> = (0..200).map(|i| json!({"t": topic, "p": i % 2, "v": "x".repeat(500)})).collect();
        driver.produce(json!({"op": "produce", "linger_ms": 50, "records": records}));
        let request = json!({"op": "consume", "topics": [topic], "count": 200, "timeout_ms": 20_000, "fetch_bytes": 1});
        assert_eq!(driver.call(request).as_array().map(Vec::len), Some(200), "{}", library.name());
    });
}

/// Goal: a fetch that waits for records is answered when one arrives, not when its time is up.
#[test]
fn a_waiting_fetch_is_woken_by_a_record() {
    const WAIT_MS: u64 = 20_000;
    let cluster = Cluster::start();
    for_each_library(Library::ALL, |library| {
        let mut reader = Driver::start(library, cluster.address());
        let mut writer = Driver::start(library, cluster.address());
        let topic = cluster.name(&format!("wait-{}", library.name()));
        writer.create_topic(&topic, 2, json!({}));
        let record = json!([{"t": topic, "p": 1, "v": "x"}]);
        let write = json!({"op": "produce", "acks": "all", "linger_ms": 0, "records": record});
        writer.call(write.clone());
        let consume =
            json!({"op": "consume", "topics": [topic], "count": 2, "timeout_ms": 30_000, "fetch_wait_ms": WAIT_MS});
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| reader.call(consume));
            // Long enough for the reader to have taken the first record and to wait for the second.
            std::thread::sleep(Duration::from_secs(3));
            writer.call(write);
            let written = Instant::now();
            let read = reading.join().unwrap();
            assert_eq!(read.as_array().map(Vec::len), Some(2), "{}", library.name());
            // The rest is the time that the client takes to close.
            assert!(written.elapsed() < Duration::from_secs(5), "{}: {:?}", library.name(), written.elapsed());
        });
    });
}

/// Goal: a topic that nobody created appears when someone writes to it.
#[test]
fn writing_creates_a_missing_topic() {
    let cluster = Cluster::start();
    for_each_library(Library::ALL, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let topic = cluster.name(&format!("auto-{}", library.name()));
        let result = driver.produce(json!({"op": "produce", "records": [{"t": topic, "k": "k", "v": "v"}]})).remove(0);
        assert_eq!(result, json!({"p": 0, "o": 0}), "{}", library.name());
        assert_eq!(driver.consume(std::slice::from_ref(&topic), 1).len(), 1);
        let described = driver.call(json!({"op": "describe_topic", "name": topic}));
        assert_eq!(described.as_array().map(Vec::len), Some(1), "{}: {described}", library.name());
    });
}

/// Goal: every client finds the first record at or after a time, also in the middle of a compressed batch.
#[test]
fn offsets_are_found_by_time() {
    let cluster = Cluster::start();
    for_each_library(Library::ALL, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let topic = cluster.name(&format!("times-{}", library.name()));
        driver.create_topic(&topic, 3, json!({}));
        let base = an_hour_ago();
        // Partition 0 in order, partition 1 with a record out of order, partition 2 empty.
        for (codec, first) in [("none", 0), ("zstd", 10), ("gzip", 20)] {
            let in_order = (first..first + 10).map(|i| json!({"t": topic, "p": 0, "v": "x", "ts": base + i * 1000}));
            let jumps = (first..first + 10).map(|i| if i == 4 { 25_500 } else { i * 1000 });
            let out_of_order = jumps.map(|time| json!({"t": topic, "p": 1, "v": "x", "ts": base + time}));
            let records: Vec<Value> = in_order.chain(out_of_order).collect();
            driver.produce(json!({"op": "produce", "codec": codec, "linger_ms": 100, "records": records}));
        }
        let mut offsets = |at: Value| {
            let found = driver.try_call(&json!({"op": "offsets", "topic": topic, "partitions": [0, 1, 2], "at": at}));
            found
                .map(|found| [0, 1, 2].map(|p| found[p.to_string()].as_i64().unwrap()))
                .map_err(|failure| failure.unsupported)
        };
        let mut expect = |at: Value, expected: [i64; 3]| {
            assert_eq!(offsets(at.clone()), Ok(expected), "{}: at {at}", library.name());
        };
        expect(json!("earliest"), [0, 0, 0]);
        expect(json!("latest"), [30, 30, 0]);
        expect(json!(1), [0, 0, -1]);
        expect(json!(base + 3_000), [3, 3, -1]);
        expect(json!(base + 3_001), [4, 4, -1]);
        expect(json!(base + 4_001), [5, 4, -1]);
        expect(json!(base + 14_500), [15, 4, -1]);
        expect(json!(base + 26_000), [26, 26, -1]);
        expect(json!(base + 29_001), [-1, -1, -1]);
        if library.can("max_timestamp") {
            expect(json!("max_timestamp"), [29, 29, -1]);
        } else {
            assert_eq!(offsets(json!("max_timestamp")), Err(true), "{}", library.name());
        }
    });
}

/// Goal: what a client can't do here is what the table says, so that a broken driver does not pass for an old library.
#[test]
fn the_table_of_unsupported_calls_is_true() {
    let cluster = Cluster::start();
    for_each_library(Library::ALL, |library| {
        let mut driver = Driver::start(library, cluster.address());
        let topic = cluster.name("any");
        let requests = [
            json!({"op": "alter_configs", "kind": "topic", "name": topic, "configs": {}}),
            json!({"op": "incremental_alter_configs", "kind": "topic", "name": topic, "set": {}}),
            json!({"op": "commit", "group": "g", "topic": topic, "offsets": {}}),
            json!({"op": "delete_group", "group": "g"}),
            json!({"op": "delete_group_offsets", "group": "g", "topic": topic, "partitions": [0]}),
            json!({"op": "log_dirs"}),
        ];
        for request in requests {
            let operation = request["op"].as_str().unwrap();
            if !library.can(operation) {
                let unsupported = driver.try_call(&request).is_err_and(|failure| failure.unsupported);
                assert!(unsupported, "{} can do {operation} after all", library.name());
            }
        }
    });
}

#[test]
fn topics_are_created_described_grown_and_deleted() {
    let cluster = Cluster::start();
    for_each_library(Library::ALL, |library| {
        let who = library.name();
        let mut driver = Driver::start(library, cluster.address());
        let name = |base: &str| cluster.name(&format!("{base}-{who}"));

        let described = driver.call(json!({"op": "cluster"}));
        let brokers = described["brokers"].as_array().unwrap();
        let broker =
            brokers.iter().find(|b| b["port"] == cluster.port()).unwrap_or_else(|| panic!("{who}: {described}"));
        let id = broker["id"].as_i64().unwrap();
        assert_eq!(described["controller"], id, "{who}");
        assert_eq!(described["id"].as_str().map(str::len), Some(22), "{who}: {described}");

        let [first, assigned, trial] = ["first", "assigned", "trial"].map(name);
        let create = |driver: &mut Driver, topic: Value| {
            let codes = driver.call(json!({"op": "create_topics", "topics": [topic]}));
            codes.as_object().unwrap().values().next().and_then(Value::as_i64).unwrap()
        };
        let plain = |name: &str, partitions: i64, replicas: i64, configs: Value| json!({"name": name, "partitions": partitions, "replicas": replicas, "configs": configs});
        let configs = json!({"retention.ms": "123456789", "cleanup.policy": "compact"});
        assert_eq!(create(&mut driver, plain(&first, 3, 1, configs)), 0, "{who}");
        assert_eq!(create(&mut driver, plain(&first, 3, 1, json!({}))), TOPIC_ALREADY_EXISTS, "{who}");
        assert_eq!(create(&mut driver, plain("not a name", 1, 1, json!({}))), INVALID_TOPIC, "{who}");
        assert_eq!(create(&mut driver, plain(&trial, 1, 7, json!({}))), INVALID_REPLICATION_FACTOR, "{who}");
        assert_eq!(create(&mut driver, plain(&trial, 1, 1, json!({"retention.ms": "soon"}))), INVALID_CONFIG, "{who}");
        assert_eq!(create(&mut driver, plain(&trial, 1, 1, json!({"no.such.key": "1"}))), INVALID_CONFIG, "{who}");
        assert_eq!(create(&mut driver, json!({"name": assigned, "assignment": [[id], [id]]})), 0, "{who}");
        let nowhere = create(&mut driver, json!({"name": trial, "assignment": [[id + 100]]}));
        assert_eq!(nowhere, INVALID_REPLICA_ASSIGNMENT, "{who}");
        if library.can("validate_only") {
            let request =
                json!({"op": "create_topics", "validate_only": true, "topics": [plain(&trial, 1, 1, json!({}))]});
            assert_eq!(driver.call(request)[&trial], 0, "{who}");
        }

        let partition = |number: i64| json!({"p": number, "leader": id, "replicas": [id], "isr": [id]});
        for (topic, count) in [(&first, 3), (&assigned, 2)] {
            let expected: Value = (0..count).map(partition).collect();
            wait_for("the topic to be known", Duration::from_secs(10), || {
                let described = driver.try_call(&json!({"op": "describe_topic", "name": topic}));
                (described.as_ref() == Ok(&expected)).then_some(())
            });
        }
        let names = driver.call(json!({"op": "list_topics"}));
        let listed = |name: &str| names.as_array().unwrap().iter().any(|listed| listed == name);
        assert!(listed(&first) && listed(&assigned) && !listed(&trial), "{who}: {names}");

        driver.call(json!({"op": "create_partitions", "name": first, "count": 5}));
        wait_for("the partitions to be known", Duration::from_secs(10), || {
            let described = driver.try_call(&json!({"op": "describe_topic", "name": first})).ok()?;
            (described.as_array().map(Vec::len) == Some(5)).then_some(())
        });
        let fewer = driver.call_for_error(json!({"op": "create_partitions", "name": first, "count": 4}));
        assert_eq!(fewer, INVALID_PARTITIONS, "{who}");

        let deleted = driver.call(json!({"op": "delete_topics", "names": [first, assigned]}));
        assert_eq!(deleted, json!({first.clone(): 0, assigned.clone(): 0}), "{who}");
        wait_for("the topic to be gone", Duration::from_secs(10), || {
            let names = driver.call(json!({"op": "list_topics"}));
            names.as_array().unwrap().iter().all(|name| name != &first && name != &assigned).then_some(())
        });
        let missing = driver.call(json!({"op": "delete_topics", "names": [trial]}));
        assert_eq!(missing[&trial], UNKNOWN_TOPIC_OR_PARTITION, "{who}");
    });
}

#[test]
fn topic_settings_are_described_and_altered() {
    let cluster = Cluster::start();
    for_each_library(Library::ALL, |library| {
        let who = library.name();
        let mut driver = Driver::start(library, cluster.address());
        let topic = cluster.name(&format!("configs-{who}"));
        driver.create_topic(&topic, 1, json!({"retention.ms": "123456789", "cleanup.policy": "compact"}));
        let expect = |driver: &mut Driver, expected: &[(&str, &str)]| {
            // A change reaches the broker's view a moment after the answer.
            let mut last = BTreeMap::new();
            wait_for(&format!("{who} to see {expected:?}"), Duration::from_secs(5), || {
                let configs = driver.call(json!({"op": "describe_configs", "kind": "topic", "name": topic}));
                last = expected
                    .iter()
                    .map(|(key, _)| (*key, configs[*key].as_str().unwrap_or("null").to_owned()))
                    .collect();
                expected.iter().all(|(key, value)| last[key] == *value).then_some(())
            });
        };
        let defaults =
            [("max.message.bytes", "1048588"), ("segment.bytes", "1073741824"), ("compression.type", "producer")];
        expect(&mut driver, &defaults);
        expect(&mut driver, &[("retention.ms", "123456789"), ("cleanup.policy", "compact")]);

        if library.can("incremental_alter_configs") {
            let alter = |changes: Value| {
                let mut request = json!({"op": "incremental_alter_configs", "kind": "topic", "name": topic});
                request.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
                request
            };
            driver.call(alter(json!({"set": {"segment.bytes": "2000000"}, "append": {"cleanup.policy": "delete"}, "delete": ["retention.ms"]})));
            expect(
                &mut driver,
                &[("segment.bytes", "2000000"), ("cleanup.policy", "compact,delete"), ("retention.ms", "604800000")],
            );
            driver.call(alter(json!({"subtract": {"cleanup.policy": "compact"}})));
            expect(&mut driver, &[("segment.bytes", "2000000"), ("cleanup.policy", "delete")]);
            assert_eq!(
                driver.call_for_error(alter(json!({"set": {"segment.bytes": "many"}}))),
                INVALID_CONFIG,
                "{who}"
            );
            assert_eq!(
                driver.call_for_error(alter(json!({"append": {"segment.bytes": "1"}}))),
                INVALID_CONFIG,
                "{who}"
            );
        }
        if library.can("alter_configs") {
            let legacy =
                |configs: Value| json!({"op": "alter_configs", "kind": "topic", "name": topic, "configs": configs});
            driver.call(legacy(json!({"retention.ms": "1000000"})));
            expect(&mut driver, &[("retention.ms", "1000000")]);
            // kafka-python sends along what was set before.
            if library != Library::KafkaPython {
                expect(&mut driver, &[("segment.bytes", "1073741824"), ("cleanup.policy", "delete")]);
            }
            assert_eq!(driver.call_for_error(legacy(json!({"retention.ms": "soon"}))), INVALID_CONFIG, "{who}");
        }
        // kafka-python gives no settings instead of the error.
        if library != Library::KafkaPython {
            let missing = json!({"op": "describe_configs", "kind": "topic", "name": cluster.name("nowhere")});
            assert_eq!(driver.call_for_error(missing), UNKNOWN_TOPIC_OR_PARTITION, "{who}");
        }
    });
}

/// One library after the other, since they change the same broker.
#[test]
fn broker_settings_are_described_and_altered() {
    let cluster = Cluster::start();
    for library in
        present(&[Library::Confluent, Library::KafkaPython, Library::FranzGo, Library::Java, Library::Java39])
    {
        let who = library.name();
        let mut driver = Driver::start(library, cluster.address());
        let topic = cluster.name(&format!("defaults-{who}"));
        driver.create_topic(&topic, 1, json!({}));
        let id = driver.call(json!({"op": "cluster"}))["brokers"][0]["id"].to_string();
        let expect = |driver: &mut Driver, kind: &str, name: &str, key: &str, value: &str| {
            wait_for(&format!("{who} to see {key}={value} of {kind} {name}"), Duration::from_secs(5), || {
                let configs = driver.call(json!({"op": "describe_configs", "kind": kind, "name": name}));
                (configs[key] == value).then_some(())
            });
        };
        expect(&mut driver, "broker", &id, "message.max.bytes", "1048588");
        let alter = json!({"op": "incremental_alter_configs", "kind": "broker", "name": id});
        let mut set = alter.clone();
        set["set"] = json!({"message.max.bytes": "1500000"});
        driver.call(set);
        expect(&mut driver, "broker", &id, "message.max.bytes", "1500000");
        // A topic without a setting of its own takes the broker's.
        expect(&mut driver, "topic", &topic, "max.message.bytes", "1500000");
        let mut unset = alter.clone();
        unset["delete"] = json!(["message.max.bytes"]);
        driver.call(unset);
        expect(&mut driver, "topic", &topic, "max.message.bytes", "1048588");
    }
}

#[test]
fn records_are_deleted_up_to_an_offset() {
    let cluster = Cluster::start();
    for_each_library(Library::ALL, |library| {
        let who = library.name();
        let mut driver = Driver::start(library, cluster.address());
        let topic = cluster.name(&format!("trim-{who}"));
        driver.create_topic(&topic, 1, json!({}));
        let records: Vec<Value> = (0..20).map(|i| json!({"t": topic, "k": "k", "v": format!("{i}|")})).collect();
        driver.produce(json!({"op": "produce", "codec": "gzip", "linger_ms": 100, "records": records}));
        let delete = |before: i64| json!({"op": "delete_records", "topic": topic, "partition": 0, "before": before});
        assert_eq!(driver.call(delete(7)), 7, "{who}");
        let ids: Vec<String> =
            driver.consume(std::slice::from_ref(&topic), 13).iter().map(interop_support::Record::id).collect();
        assert_eq!(ids, (7..20).map(|i| i.to_string()).collect::<Vec<_>>(), "{who}");
        let mut offset = |at: &str| driver.call(json!({"op": "offsets", "topic": topic, "partitions": [0], "at": at}));
        assert_eq!((offset("earliest"), offset("latest")), (json!({"0": 7}), json!({"0": 20})), "{who}");
        let beyond = driver.try_call(&delete(21)).unwrap_err();
        // OFFSET_OUT_OF_RANGE; kafkajs wraps it without the code.
        assert!(beyond.code == 1 || library == Library::Kafkajs, "{who}: {beyond:?}");
        if library.can("log_dirs") {
            let sizes = driver.call(json!({"op": "log_dirs"}));
            let size = sizes[format!("{topic}-0")].as_i64().unwrap();
            assert!((1..10_000).contains(&size), "{who}: {size}");
        }
    });
}
