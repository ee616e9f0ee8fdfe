//! Compacted topics over the wire: what is taken, what is cleaned, and that nothing of it is lost by restarts and kills.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "the support module serves several tests")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_rs::protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_rs::protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_rs::protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_rs::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_rs::protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_rs::protocol::messages::{
    DeleteRecordsRequest, FetchRequest, FindCoordinatorRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest,
    OffsetCommitRequest, OffsetFetchRequest,
};
use kafka_rs::record::{BatchBuilder, BatchOptions, NewRecord, batches};
use support::{Broker, wait_for};
use wire::Wire;

const PATIENCE: Duration = Duration::from_secs(60);
const INVALID_RECORD: i16 = 87;
const POLICY_VIOLATION: i16 = 44;

/// A topic whose segments are done within milliseconds, and which is cleaned whenever something of it is dirty.
const EAGER: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.ms", "1"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("file.delete.delay.ms", "0"),
];

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn keyed(timestamp: i64, records: &[(Option<String>, Option<String>)]) -> Bytes {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    for (key, value) in records {
        let (key, value) = (key.as_deref().map(str::as_bytes), value.as_deref().map(str::as_bytes));
        batch.append(&NewRecord { timestamp, key, value, headers: &[] }).unwrap();
    }
    batch.build().unwrap()
}

fn one(key: &str, value: &str) -> Bytes {
    keyed(now_ms(), &[(Some(key.to_owned()), Some(value.to_owned()))])
}

/// The `number`th of records that each begin a segment where `segment.ms` is 1: that is counted in the records' own time.
fn apart(number: i64) -> Bytes {
    keyed(now_ms() + 10 * number, &[(Some("key".to_owned()), Some(number.to_string()))])
}

fn put(wire: &mut Wire, topic: &str, records: Bytes) -> i16 {
    wire.produce(topic, 0, Some(records)).unwrap().error_code
}

/// Offset, key and value of all records that can be read.
fn read(wire: &mut Wire, topic: &str) -> Vec<(i64, String, Option<String>)> {
    let (mut found, mut offset) = (Vec::new(), 0);
    loop {
        let wanted = FetchPartition {
            fetch_offset: offset,
            partition_max_bytes: 1 << 20,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            ..Default::default()
        };
        let wanted = FetchTopic { topic: topic.into(), partitions: vec![wanted], ..Default::default() };
        let request = FetchRequest { max_bytes: 1 << 20, topics: vec![wanted], ..Default::default() };
        let answer = wire.call(&request, 12).unwrap().responses[0].partitions[0].clone();
        assert_eq!(answer.error_code, 0);
        let bytes = answer.records.unwrap_or_default();
        if bytes.is_empty() {
            assert_eq!(offset, answer.high_watermark, "a fetch without records ends at the high watermark");
            return found;
        }
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        for batch in batches(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            for record in batch.owned_records(&bytes, 1 << 20).unwrap().map(Result::unwrap) {
                if record.offset.get() >= offset {
                    found.push((record.offset.get(), text(&record.key.unwrap()), record.value.as_ref().map(text)));
                }
            }
            offset = batch.header().next_offset().get();
        }
    }
}

/// The newest value of each key, as a reader from the beginning sees it.
fn newest(records: Vec<(i64, String, Option<String>)>) -> BTreeMap<String, String> {
    let mut newest = BTreeMap::new();
    for (_, key, value) in records {
        match value {
            Some(value) => newest.insert(key, value),
            None => newest.remove(&key),
        };
    }
    newest
}

fn set(wire: &mut Wire, resource_type: i8, resource: &str, settings: &[(&str, &str)]) {
    let configs = settings.iter().map(|(name, value)| AlterableConfig {
        name: (*name).into(),
        config_operation: 0,
        value: Some((*value).into()),
        ..Default::default()
    });
    let resource = AlterConfigsResource {
        resource_type,
        resource_name: resource.into(),
        configs: configs.collect(),
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let answer = wire.call(&request, 1).unwrap();
    assert_eq!(answer.responses[0].error_code, 0, "{:?}", answer.responses[0].error_message);
}

/// How far a partition is clean.
fn clean_to(data: &Path, partition: &str) -> i64 {
    let text = fs::read_to_string(data.join("cleaner-offset-checkpoint")).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(partition)).map(str::trim);
    found.map_or(0, |offset| offset.parse().unwrap())
}

#[test]
fn compacted_topics_take_what_can_be_compacted() {
    let broker = Broker::start();
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("compacted", 1, &[("cleanup.policy", "compact")]);
    wire.create_topic("both", 1, &[("cleanup.policy", "compact,delete")]);
    assert_eq!(put(&mut wire, "compacted", one("a", "1")), 0);
    let refused = wire
        .produce("compacted", 0, Some(keyed(now_ms(), &[(Some("b".into()), None), (None, Some("x".into()))])))
        .unwrap();
    assert_eq!(refused.error_code, INVALID_RECORD);
    assert_eq!(refused.record_errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [1]);
    assert_eq!(put(&mut wire, "compacted", keyed(now_ms(), &[(Some("a".into()), None)])), 0);

    assert_eq!(put(&mut wire, "both", one("a", "1")), 0);
    let mut delete = |topic: &str| {
        let before = DeleteRecordsPartition { partition_index: 0, offset: 1, ..Default::default() };
        let topic = DeleteRecordsTopic { name: topic.into(), partitions: vec![before], ..Default::default() };
        let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let answer = wire.call(&request, 2).unwrap().topics[0].partitions[0].clone();
        (answer.error_code, answer.low_watermark)
    };
    assert_eq!(delete("compacted"), (POLICY_VIOLATION, -1));
    assert_eq!(delete("both"), (0, 1));
}

/// Goal: settings reach the cleaner while it runs. Method: a topic that is not due becomes so; its cleaner's back-off is an hour.
#[test]
fn logs_are_cleaned_when_they_are_due() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start_in(data.path(), &["log.cleaner.backoff.ms=3600000"]);
    let mut wire = Wire::connect(broker.address());
    let lazy = [("cleanup.policy", "compact"), ("segment.ms", "1"), ("min.cleanable.dirty.ratio", "1")];
    wire.create_topic("topic", 1, &lazy);
    for number in 0..20 {
        assert_eq!(put(&mut wire, "topic", apart(number)), 0);
    }
    assert_eq!(read(&mut wire, "topic").len(), 20);
    set(&mut wire, 2, "topic", &[("min.cleanable.dirty.ratio", "0.1")]);
    wait_for("the cleaning", PATIENCE, || (read(&mut wire, "topic").len() <= 2).then_some(()));
    let left = read(&mut wire, "topic");
    assert_eq!(left.last(), Some(&(19, "key".to_owned(), Some("19".to_owned()))));
    // Another number of threads counts at once too.
    set(&mut wire, 4, "", &[("log.cleaner.threads", "2")]);
    for number in 20..25 {
        assert_eq!(put(&mut wire, "topic", apart(number)), 0);
    }
    set(&mut wire, 4, "", &[("log.cleaner.backoff.ms", "20")]);
    wait_for("the next cleaning", PATIENCE, || (read(&mut wire, "topic").len() <= 2).then_some(()));
    broker.says("compacted");
}

#[test]
fn a_cleaner_that_is_switched_off_cleans_nothing() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start_in(data.path(), &["log.cleaner.enable=false", "log.cleaner.backoff.ms=1"]);
    assert!(broker.output().contains("log.cleaner.enable=false"), "{}", broker.output());
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("topic", 1, EAGER);
    for number in 0..10 {
        assert_eq!(put(&mut wire, "topic", one("key", &number.to_string())), 0);
    }
    assert_eq!(read(&mut wire, "topic").len(), 10);
    broker.stop();
    assert!(!data.path().join("cleaner-offset-checkpoint").exists());
    // And on again.
    let broker = Broker::start_in(data.path(), &["log.cleaner.backoff.ms=1"]);
    let mut wire = Wire::connect(broker.address());
    assert_eq!(put(&mut wire, "topic", apart(10)), 0);
    wait_for("the cleaning", PATIENCE, || (read(&mut wire, "topic").len() < 10).then_some(()));
}

/// Goal: a log that can't be cleaned is named and left alone, and others are cleaned. Method: a byte of one is flipped.
#[test]
fn a_damaged_log_does_not_stop_the_cleaning_of_others() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start_in(data.path(), &["log.cleaner.backoff.ms=10"]);
    let mut wire = Wire::connect(broker.address());
    let lazy = [("cleanup.policy", "compact"), ("segment.ms", "1"), ("min.cleanable.dirty.ratio", "1")];
    for topic in ["damaged", "whole"] {
        wire.create_topic(topic, 1, &lazy);
        for number in 0..10 {
            assert_eq!(put(&mut wire, topic, apart(number)), 0);
        }
    }
    let segment = data.path().join("damaged-0/00000000000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    fs::write(&segment, bytes).unwrap();
    for topic in ["damaged", "whole"] {
        set(&mut wire, 2, topic, &[("min.cleanable.dirty.ratio", "0.1")]);
    }
    wait_for("the other to be clean", PATIENCE, || (clean_to(data.path(), "whole 0") > 5).then_some(()));
    let output = broker.says("compaction has failed");
    let line = output.lines().find(|line| line.contains("compaction has failed")).unwrap();
    assert!(line.contains("ERROR") && line.contains("damaged-0"), "{line}");
    assert_eq!(clean_to(data.path(), "damaged 0"), 0);
}

/// Goal: compacted offsets are all that a group coordinator needs. Method: commit over and over, until `__consumer_offsets` was
/// cleaned several times, with a stop and a kill in between.
#[test]
fn committed_offsets_and_transactional_ids_survive_compaction() {
    let data = tempfile::tempdir().unwrap();
    let settings = [
        "log.cleaner.backoff.ms=20",
        "offsets.topic.num.partitions=1",
        "transaction.state.log.num.partitions=1",
        "log.roll.ms=1",
        "log.cleaner.min.cleanable.ratio=0.01",
        "log.segment.delete.delay.ms=0",
    ];
    let mut last = 0;
    let mut producer = (-1, -1);
    for round in 0..4 {
        let broker = Broker::start_in(data.path(), &settings);
        let mut wire = Wire::connect(broker.address());
        if round == 0 {
            wire.create_topic("topic", 1, &[]);
        }
        for (key_type, key) in [(0, "group"), (1, "id")] {
            let find = FindCoordinatorRequest { key_type, coordinator_keys: vec![key.into()], ..Default::default() };
            wait_for("the coordinator", PATIENCE, || {
                (wire.call(&find, 6).unwrap().coordinators[0].error_code == 0).then_some(())
            });
        }
        if round > 0 {
            assert_eq!(committed(&mut wire), last, "round {round}");
        }
        let goal = clean_to(data.path(), "__consumer_offsets 0") + 30;
        let goal_of_ids = clean_to(data.path(), "__transaction_state 0") + 10;
        wait_for("the cleaning", PATIENCE, || {
            last += 1;
            commit(&mut wire, last);
            let (id, epoch) = init(&mut wire);
            if producer.0 >= 0 {
                assert_eq!((id, epoch), (producer.0, producer.1 + 1), "the id goes on with its epochs");
            }
            producer = (id, epoch);
            let done = clean_to(data.path(), "__consumer_offsets 0") >= goal
                && clean_to(data.path(), "__transaction_state 0") >= goal_of_ids;
            done.then_some(())
        });
        if round % 2 == 0 {
            assert_eq!(broker.stop().code(), Some(143));
        } else {
            broker.kill();
        }
    }
}

fn commit(wire: &mut Wire, offset: i64) {
    let partition = OffsetCommitRequestPartition { committed_offset: offset, ..Default::default() };
    let topic = OffsetCommitRequestTopic { name: "topic".into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: "group".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    wait_for("the group to be loaded", PATIENCE, || {
        let code = wire.call(&request, 8).unwrap().topics[0].partitions[0].error_code;
        assert!([0, 14, 15, 16].contains(&code), "{code}");
        (code == 0).then_some(())
    });
}

fn committed(wire: &mut Wire) -> i64 {
    let topic = OffsetFetchRequestTopics { name: "topic".into(), partition_indexes: vec![0], ..Default::default() };
    let group = OffsetFetchRequestGroup {
        group_id: "group".into(),
        member_epoch: -1,
        topics: Some(vec![topic]),
        ..Default::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    wait_for("the group to be loaded", PATIENCE, || {
        let group = wire.call(&request, 8).unwrap().groups[0].clone();
        (group.error_code == 0).then(|| group.topics[0].partitions[0].committed_offset)
    })
}

fn init(wire: &mut Wire) -> (i64, i16) {
    let request = InitProducerIdRequest {
        transactional_id: Some("id".into()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    wait_for("a producer id", PATIENCE, || {
        let answer = wire.call(&request, 4).unwrap();
        (answer.error_code == 0).then_some((answer.producer_id, answer.producer_epoch))
    })
}

/// Goal: kill -9 in the middle of compaction loses no newest value that was acknowledged, and brings no older one back.
/// Method: a writer counts up values of a few keys in a topic that is cleaned all the time; the broker is killed at random moments.
#[test]
fn newest_values_survive_a_broker_that_is_killed_while_it_compacts() {
    let data = tempfile::tempdir().unwrap();
    let seed = std::env::var("CRASH_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = 0;
    for round in 0..8 {
        let broker = Broker::start_in(data.path(), &["log.cleaner.backoff.ms=1"]);
        let address = broker.address().to_owned();
        let mut wire = Wire::connect(&address);
        if round == 0 {
            wire.create_topic("crash", 1, EAGER);
        }
        let found = newest(read(&mut wire, "crash"));
        for (key, value) in &acknowledged {
            let context = format!(
                "CRASH_SEED={seed}, round {round}, {key}: {value} was acknowledged, {:?} is there",
                found.get(key)
            );
            let there: u64 = found.get(key).unwrap_or_else(|| panic!("{context}")).parse().unwrap();
            assert!(there >= *value && there <= count, "{context}");
        }
        let killed = AtomicBool::new(false);
        let delay = Duration::from_millis(random.u64(150..400));
        std::thread::scope(|scope| {
            let (mut random, killed) = (random.fork(), &killed);
            // Before the broker can be gone.
            let mut wire = Wire::connect(&address);
            let writer = scope.spawn(move || {
                let (mut count, mut done) = (count, Vec::new());
                while !killed.load(Ordering::Relaxed) {
                    count += 1;
                    let key = format!("key-{}", random.u8(0..5));
                    match wire.produce("crash", 0, Some(one(&key, &count.to_string()))) {
                        Ok(answer) => {
                            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
                            done.push((key, count));
                        }
                        Err(_) => break,
                    }
                }
                (count, done)
            });
            std::thread::sleep(delay);
            broker.kill();
            killed.store(true, Ordering::Relaxed);
            let (sent, done) = writer.join().unwrap();
            count = sent;
            acknowledged.extend(done);
        });
    }
    assert!(clean_to(data.path(), "crash 0") > 20, "the test compacted next to nothing");
    assert!(count > 50, "the test wrote next to nothing");
}
