//! Compaction agrees with Apache Kafka's: the same batches into both, the same records, batches and offsets left by both.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "the support modules serve several tests")]

mod interop_support;
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use interop_support::{ApacheKafka, Home, Tools, run, skip};
use kafka_rs::protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_rs::protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_rs::protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_rs::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_rs::protocol::messages::{
    AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest, FetchRequest, FindCoordinatorRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, ProduceRequest,
};
use kafka_rs::record::{BatchBuilder, BatchOptions, Codec, Compression, NewRecord, batches};
use kafka_rs::types::ProducerId;
use support::{Broker, wait_for};
use wire::Wire;

const PATIENCE: Duration = Duration::from_secs(60);
/// All records are of the far future, so that segments roll by their times alone: markers have the time of the day.
const TIME: i64 = 4_000_000_000_000;
const SEGMENT_MS: i64 = 100_000;
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// A batch as it lies in the log: offsets, codec, flags, producer, what it holds.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    base_offset: i64,
    last_offset: i64,
    codec: &'static str,
    flags: [bool; 3],
    max_timestamp: i64,
    sequence: i32,
    records: Vec<(i64, i64, Option<Bytes>, Option<Bytes>)>,
}

/// One side: a broker, and what is written to it.
struct Side {
    name: &'static str,
    wire: Wire,
    data: PathBuf,
    topic: &'static str,
    next_time: i64,
    transactional: (i64, i16, i32),
}

const TRANSACTIONAL_ID: &str = "compaction";

impl Side {
    fn new(name: &'static str, address: &str, data: PathBuf, topic: &'static str) -> Self {
        let wire = Wire::connect(address);
        Self { name, wire, data, topic, next_time: TIME, transactional: (-1, -1, 0) }
    }

    fn prepare(&mut self, delete_retention_ms: &str) {
        self.set(BROKER, "", "log.cleaner.backoff.ms", "50");
        let segment_ms = SEGMENT_MS.to_string();
        let configs = [
            ("cleanup.policy", "compact"),
            // Never reached: cleaned only when the test asks for it.
            ("min.cleanable.dirty.ratio", "1"),
            ("segment.ms", segment_ms.as_str()),
            ("segment.jitter.ms", "0"),
            ("message.timestamp.after.max.ms", "9223372036854775807"),
            ("delete.retention.ms", delete_retention_ms),
            ("file.delete.delay.ms", "0"),
        ];
        self.wire.create_topic(self.topic, 1, &configs);
        let find = FindCoordinatorRequest {
            key_type: 1,
            coordinator_keys: vec![TRANSACTIONAL_ID.into()],
            ..Default::default()
        };
        wait_for("the coordinator", PATIENCE, || {
            (self.wire.call(&find, 6).unwrap().coordinators[0].error_code == 0).then_some(())
        });
        self.renew_producer();
    }

    fn renew_producer(&mut self) {
        let init = InitProducerIdRequest {
            transactional_id: Some(TRANSACTIONAL_ID.into()),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        self.transactional = wait_for("a producer id", PATIENCE, || {
            let answer = self.wire.call(&init, 4).unwrap();
            (answer.error_code == 0).then_some((answer.producer_id, answer.producer_epoch, 0))
        });
    }

    fn set(&mut self, resource_type: i8, resource: &str, name: &str, value: &str) {
        let config =
            AlterableConfig { name: name.into(), config_operation: 0, value: Some(value.into()), ..Default::default() };
        let resource = AlterConfigsResource {
            resource_type,
            resource_name: resource.into(),
            configs: vec![config],
            ..Default::default()
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        let answer = self.wire.call(&request, 1).unwrap();
        assert_eq!(answer.responses[0].error_code, 0, "{}: {:?}", self.name, answer.responses[0].error_message);
    }

    fn send(&mut self, id: Option<&str>, records: Bytes) -> i64 {
        let data = PartitionProduceData { index: 0, records: Some(records), ..Default::default() };
        let topic = TopicProduceData { name: self.topic.into(), partition_data: vec![data], ..Default::default() };
        let request = ProduceRequest {
            transactional_id: id.map(str::to_owned),
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![topic],
            ..Default::default()
        };
        // The leader may not be there yet just after the topic was made.
        wait_for("the partition", PATIENCE, || {
            let answer = self.wire.call(&request, 9).unwrap().responses[0].partition_responses[0].clone();
            if [3, 5, 6].contains(&answer.error_code) {
                return None;
            }
            assert_eq!(answer.error_code, 0, "{}: {:?}", self.name, answer.error_message);
            Some(answer.base_offset)
        })
    }

    fn batch(&mut self, options: BatchOptions, records: &[(&str, Option<&str>)]) -> Bytes {
        let mut builder = BatchBuilder::new(options);
        for (key, value) in records {
            self.next_time += 1;
            let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
            builder.append(&NewRecord { timestamp: self.next_time, key, value, headers: &[] }).unwrap();
        }
        builder.build().unwrap()
    }

    fn put(&mut self, codec: Codec, records: &[(&str, Option<&str>)]) -> i64 {
        let batch =
            self.batch(BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() }, records);
        self.send(None, batch)
    }

    fn put_in_transaction(&mut self, records: &[(&str, Option<&str>)], commits: bool) {
        let (producer_id, producer_epoch, base_sequence) = self.transactional;
        let topic = AddPartitionsToTxnTopic { name: self.topic.into(), partitions: vec![0], ..Default::default() };
        let add = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: TRANSACTIONAL_ID.into(),
            v3_and_below_producer_id: producer_id,
            v3_and_below_producer_epoch: producer_epoch,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        wait_for("the partition to be added", PATIENCE, || {
            let answer = self.wire.call(&add, 3).unwrap();
            let code = answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code;
            // CONCURRENT_TRANSACTIONS while the last one's markers are written.
            assert!([0, 51].contains(&code), "{}: {code}", self.name);
            (code == 0).then_some(())
        });
        let options = BatchOptions {
            producer_id: ProducerId::new(producer_id),
            producer_epoch,
            base_sequence,
            transactional: true,
            ..BatchOptions::default()
        };
        let batch = self.batch(options, records);
        self.send(Some(TRANSACTIONAL_ID), batch);
        self.transactional.2 += records.len() as i32;
        let end = EndTxnRequest {
            transactional_id: TRANSACTIONAL_ID.into(),
            producer_id,
            producer_epoch,
            committed: commits,
            ..Default::default()
        };
        assert_eq!(self.wire.call(&end, 3).unwrap().error_code, 0);
        let describe =
            DescribeTransactionsRequest { transactional_ids: vec![TRANSACTIONAL_ID.into()], ..Default::default() };
        wait_for("the markers", PATIENCE, || {
            let answer = self.wire.call(&describe, 0).unwrap();
            answer.transaction_states[0].transaction_state.starts_with("Complete").then_some(())
        });
    }

    /// Begins a new segment; gives its base offset.
    fn roll(&mut self) -> i64 {
        self.next_time += 2 * SEGMENT_MS;
        self.put(Codec::None, &[("roll", Some("x"))])
    }

    /// Has all be cleaned up to `end`, in one cleaning.
    fn clean(&mut self, end: i64) {
        self.set(TOPIC, self.topic, "min.cleanable.dirty.ratio", "0.01");
        let expected = format!("{} 0 {end}", self.topic);
        let file = self.data.join("cleaner-offset-checkpoint");
        wait_for(&format!("{}: the checkpoint of {expected}", self.name), PATIENCE, || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            text.lines().any(|line| line == expected).then_some(())
        });
        self.set(TOPIC, self.topic, "min.cleanable.dirty.ratio", "1");
    }

    /// All batches, control batches too.
    fn left(&mut self) -> Vec<Left> {
        let (mut found, mut offset) = (Vec::new(), 0);
        loop {
            let wanted = FetchPartition {
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
                ..Default::default()
            };
            let topic = FetchTopic { topic: self.topic.into(), partitions: vec![wanted], ..Default::default() };
            let request = FetchRequest { max_bytes: 1 << 20, topics: vec![topic], ..Default::default() };
            let answer = self.wire.call(&request, 12).unwrap().responses[0].partitions[0].clone();
            assert_eq!(answer.error_code, 0);
            let bytes = answer.records.unwrap_or_default();
            if bytes.is_empty() {
                assert_eq!(offset, answer.high_watermark, "{}", self.name);
                return found;
            }
            for batch in batches(&bytes) {
                let batch = batch.unwrap();
                batch.verify_crc().unwrap();
                let header = batch.header();
                let attributes = header.attributes;
                // A broker gives the batch that holds the offset, from its beginning on.
                offset = header.next_offset().get();
                let is_marker = attributes.is_control();
                found.push(Left {
                    base_offset: header.base_offset.get(),
                    last_offset: header.last_offset().get(),
                    codec: attributes.codec().unwrap().name(),
                    flags: [attributes.is_transactional(), is_marker, attributes.has_delete_horizon()],
                    // Markers have the time at which they were written.
                    max_timestamp: if is_marker { 0 } else { header.max_timestamp },
                    sequence: header.base_sequence,
                    records: batch
                        .owned_records(&bytes, 1 << 20)
                        .unwrap()
                        .map(Result::unwrap)
                        .map(|record| {
                            let (time, value) = if is_marker { (0, None) } else { (record.timestamp, record.value) };
                            (record.offset.get(), time, record.key, value)
                        })
                        .collect(),
                });
            }
        }
    }

    /// The same for each side: values over values, tombstones, transactions, every codec.
    fn fill(&mut self, round: usize) {
        for (at, codec) in Codec::ALL.into_iter().enumerate() {
            let value = format!("{round}-{at}");
            let own = format!("only-{round}-{at}");
            self.put(codec, &[("a", Some(&value)), ("b", Some(&value)), (&own, Some("stays")), ("c", None)]);
            self.put(codec, &[("a", Some("again")), ("dead", Some(&value))]);
        }
        self.put_in_transaction(&[("t", Some("committed")), ("u", Some("committed"))], true);
        self.put_in_transaction(&[("t", Some("rolled back")), ("never", Some("rolled back"))], false);
        self.roll();
        self.put(Codec::None, &[("dead", None)]);
        self.put_in_transaction(&[("u", Some("newer"))], true);
        self.put(Codec::Gzip, &[("b", Some("last")), ("u", Some("newest")), ("dead", None)]);
    }
}

/// Goal: both leave the same batches after each of three cleanings of the same log; tombstones and markers go in the third where
/// they need not be kept, and stay where they must.
#[test]
fn both_leave_the_same() {
    if let Some(missing) = Tools::Scripts(Home::Kafka).missing() {
        return skip(&missing);
    }
    let data = tempfile::tempdir().unwrap();
    let ours = Broker::start_in(data.path(), &["transaction.state.log.num.partitions=5"]);
    let kafka = ApacheKafka::start(Home::Kafka);
    for (topic, delete_retention_ms) in [("kept-long", "86400000"), ("kept-short", "0")] {
        let mut sides = [
            Side::new("kafka-rs", ours.address(), data.path().to_owned(), topic),
            Side::new("Apache Kafka", kafka.address(), kafka.data(), topic),
        ];
        let mut bytes = 0;
        for side in &mut sides {
            side.prepare(delete_retention_ms);
        }
        for round in 0..3 {
            let mut results = Vec::new();
            for side in &mut sides {
                side.fill(round);
                let end = side.roll();
                let before = side.left().len();
                side.clean(end);
                let left = side.left();
                assert!(left.len() < before, "{}: nothing was cleaned", side.name);
                results.push(left);
            }
            let [mine, theirs] = <[Vec<Left>; 2]>::try_from(results).unwrap();
            for (one, other) in mine.iter().zip(&theirs) {
                assert_eq!(one, other, "{topic}, round {round}: kafka-rs left, Apache Kafka right");
            }
            assert_eq!(mine.len(), theirs.len(), "{topic}, round {round}");
            let tombstones = mine.iter().flat_map(|one| &one.records).filter(|(.., value)| value.is_none()).count();
            assert!(tombstones > 0);
            bytes += mine.len();
        }
        assert!(bytes > 30, "a test of next to nothing");
    }
    drop(kafka);
    let output = ours.output();
    assert_eq!(ours.stop().code(), Some(143), "{output}");
    for topic in ["kept-long-0", "kept-short-0"] {
        dump_log_has_no_complaint(&data.path().join(topic));
    }
}

/// Apache Kafka's tool reads the compacted files, and finds that the indexes fit.
fn dump_log_has_no_complaint(partition: &Path) {
    let mut files: Vec<PathBuf> = fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let of = |kinds: &[&str]| -> String {
        let is_of = |file: &&PathBuf| file.extension().is_some_and(|e| kinds.iter().any(|kind| e == *kind));
        files.iter().filter(is_of).map(|file| file.display().to_string()).collect::<Vec<_>>().join(",")
    };
    assert!(of(&["cleaned", "swap"]).is_empty(), "{files:?}");
    for (kinds, argument) in [
        (&["log", "index", "timeindex", "txnindex", "snapshot"][..], "--deep-iteration"),
        (&["index", "timeindex"], "--index-sanity-check"),
        (&["index", "timeindex"], "--verify-index-only"),
    ] {
        let mut command = Tools::Scripts(Home::Kafka).command("dump-log");
        command.args(["--files", &of(kinds), argument]);
        let ran = run(command, "").succeed();
        for line in ran.stdout.lines() {
            let wrong =
                ["isvalid: false", "invalid bytes", "ismatch", "out of order", "not found", "Error", "Exception"];
            assert!(!wrong.iter().any(|word| line.contains(word)), "{argument}: {line}");
        }
        // Gaps are what compaction leaves; nothing else is a complaint.
        for line in ran.stderr.lines() {
            assert!(
                line.contains("Non-consecutive offsets in") || line.contains(" is followed by "),
                "{argument}: {line}"
            );
        }
    }
}
