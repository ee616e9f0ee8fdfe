//! Flushes as they are configured: `flush.messages`, `flush.ms`, and the checkpoints of what is on the disk.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::path::Path;
use std::time::Duration;

use kafka_rs::log::{Fs, checkpoint};
use kafka_rs::protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_rs::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_rs::protocol::messages::{DeleteRecordsRequest, ProduceRequest};
use kafka_rs::types::{Offset, TopicPartition};
use support::{Broker, wait_for};
use wire::{Wire, batch_of};

fn noted(data: &Path, file: &str, topic: &str) -> Option<Offset> {
    checkpoint::read(&Fs::default(), &data.join(file)).ok()?.get(&TopicPartition::new(topic, 0)).copied()
}

/// Goal: a request to many partitions with `flush.messages=1` is answered when all of them are flushed, and its records can be read then.
/// Method: as the checkpoint tells what is on the disk and is written ten times a second, it must reach each partition's last record.
#[test]
fn every_record_is_flushed_before_it_is_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start_in(data.path(), &["log.flush.offset.checkpoint.interval.ms=100"]);
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("durable", 50, &[("flush.messages", "1"), ("segment.bytes", "1048576")]);
    for acks in [1, -1] {
        let records = Some(batch_of(&vec!["x".repeat(1000); 600]));
        let partition_data = (0..50)
            .map(|index| PartitionProduceData { index, records: records.clone(), ..Default::default() })
            .collect();
        let topic = TopicProduceData { name: "durable".into(), partition_data, ..Default::default() };
        let request = ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
        let answer = wire.call(&request, 12).unwrap();
        assert!(answer.responses[0].partition_responses.iter().all(|partition| partition.error_code == 0));
        assert_eq!(answer.responses[0].partition_responses.len(), 50);
    }
    for partition in [0, 49] {
        assert_eq!(wire.read_all("durable", partition).len(), 1200, "no record is held back");
    }
    wait_for("the recovery points", Duration::from_secs(20), || {
        let points = checkpoint::read(&Fs::default(), &data.path().join(checkpoint::RECOVERY_POINTS)).ok()?;
        let all = (0..50).map(|partition| points.get(&TopicPartition::new("durable", partition)).copied());
        all.collect::<Option<Vec<_>>>()?.into_iter().all(|point| point == Offset::new(1199)).then_some(())
    });
    broker.kill();
    let broker = Broker::start_in(data.path(), &[]);
    assert_eq!(Wire::connect(broker.address()).read_all("durable", 7).len(), 1200);
}

/// Goal: `flush.ms` holds, whether the scheduler's interval is set or not; a topic without it is left to the system.
#[test]
fn what_has_waited_for_flush_ms_is_flushed() {
    for more in [&[][..], &["log.flush.scheduler.interval.ms=100", "log.flush.interval.ms=9223372036854775807"]] {
        let data = tempfile::tempdir().unwrap();
        let broker = Broker::start_in(data.path(), &[more, &["log.flush.offset.checkpoint.interval.ms=100"]].concat());
        let mut wire = Wire::connect(broker.address());
        wire.create_topic("timed", 1, &[("flush.ms", "200")]);
        wire.create_topic("untimed", 1, &[]);
        for topic in ["untimed", "timed"] {
            wire.produce(topic, 0, Some(batch_of(&["a", "b", "c"]))).unwrap();
        }
        wait_for("the flush", Duration::from_secs(20), || {
            noted(data.path(), checkpoint::RECOVERY_POINTS, "timed").filter(|point| *point == Offset::new(2))
        });
        assert_eq!(noted(data.path(), checkpoint::RECOVERY_POINTS, "untimed"), Some(Offset::ZERO));
    }
}

#[test]
fn where_a_log_begins_is_noted_as_often_as_configured() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start_in(data.path(), &["log.flush.start.offset.checkpoint.interval.ms=100"]);
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("cut", 1, &[]);
    wire.produce("cut", 0, Some(batch_of(&["a", "b", "c"]))).unwrap();
    let partition = DeleteRecordsPartition { partition_index: 0, offset: 2, ..Default::default() };
    let topic = DeleteRecordsTopic { name: "cut".into(), partitions: vec![partition], ..Default::default() };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(wire.call(&request, 2).unwrap().topics[0].partitions[0].error_code, 0);
    wait_for("the log start offset", Duration::from_secs(20), || {
        noted(data.path(), checkpoint::LOG_START_OFFSETS, "cut").filter(|start| *start == Offset::new(2))
    });
}
