//! Coordinators whose internal partition is on a disk that fails.

use bytes::Bytes;
use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_rs::protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_rs::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_rs::protocol::messages::{
    DescribeGroupsRequest, EndTxnRequest, FindCoordinatorRequest, HeartbeatRequest, InitProducerIdRequest,
    JoinGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest,
};
use kafka_rs::record::{BatchBuilder, BatchOptions, NewRecord};
use kafka_rs::types::ProducerId;

use crate::directories::{Two, WITHIN, move_to, stop};
use crate::failing_disk::{EIO, FailingDisk, Fails};
use crate::support::wait_for;
use crate::wire::Wire;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SETTINGS: [&str; 2] = ["offsets.topic.num.partitions=1", "transaction.state.log.num.partitions=1"];

/// What FindCoordinator says.
fn find(wire: &mut Wire, key_type: i8) -> ErrorCode {
    let request = FindCoordinatorRequest { key_type, coordinator_keys: vec!["x".into()], ..Default::default() };
    ErrorCode::from_code(wire.call(&request, 4).unwrap().coordinators[0].error_code)
}

fn commit(wire: &mut Wire, offset: i64) -> ErrorCode {
    let partition = OffsetCommitRequestPartition { committed_offset: offset, ..Default::default() };
    let topic = OffsetCommitRequestTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: "x".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    ErrorCode::from_code(wire.call(&request, 8).unwrap().topics[0].partitions[0].error_code)
}

/// The error, or the committed offset; -1 where there is none.
fn committed(wire: &mut Wire) -> Result<i64, ErrorCode> {
    let group = OffsetFetchRequestGroup { group_id: "x".into(), topics: None, ..Default::default() };
    let answer = wire.call(&OffsetFetchRequest { groups: vec![group], ..Default::default() }, 8).unwrap();
    match ErrorCode::from_code(answer.groups[0].error_code) {
        ErrorCode::None => Ok(answer.groups[0].topics.first().map_or(-1, |topic| topic.partitions[0].committed_offset)),
        error => Err(error),
    }
}

#[derive(Debug, Clone, Copy)]
struct Producer {
    id: i64,
    epoch: i16,
}

fn init_producer(wire: &mut Wire) -> Result<Producer, ErrorCode> {
    let request = InitProducerIdRequest {
        transactional_id: Some("x".into()),
        transaction_timeout_ms: 600_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let answer = wire.call(&request, 5).unwrap();
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => Ok(Producer { id: answer.producer_id, epoch: answer.producer_epoch }),
        error => Err(error),
    }
}

/// Writes a record in the producer's transaction, which begins with it.
fn write_in_transaction(wire: &mut Wire, producer: Producer, value: &'static str) -> ErrorCode {
    let options = BatchOptions {
        producer_id: ProducerId(producer.id),
        producer_epoch: producer.epoch,
        base_sequence: 0,
        transactional: true,
        ..Default::default()
    };
    let mut batch = BatchBuilder::new(options);
    batch.append(&NewRecord { value: Some(value.as_bytes()), ..Default::default() }).unwrap();
    let records: Option<Bytes> = Some(batch.build().unwrap());
    let data = PartitionProduceData { index: 0, records, ..Default::default() };
    let topic = TopicProduceData { name: "t".into(), partition_data: vec![data], ..Default::default() };
    let request = ProduceRequest {
        transactional_id: Some("x".into()),
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![topic],
        ..Default::default()
    };
    ErrorCode::from_code(wire.call(&request, 12).unwrap().responses[0].partition_responses[0].error_code)
}

fn end_transaction(wire: &mut Wire, producer: Producer) -> ErrorCode {
    let request = EndTxnRequest {
        transactional_id: "x".into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed: true,
        ..Default::default()
    };
    ErrorCode::from_code(wire.call(&request, 5).unwrap().error_code)
}

/// Waits while coordinators are being made or loaded.
fn loaded<T>(mut ask: impl FnMut() -> Result<T, ErrorCode>) -> T {
    let waiting = [ErrorCode::CoordinatorLoadInProgress, ErrorCode::CoordinatorNotAvailable, ErrorCode::NotCoordinator];
    wait_for("the coordinator", WITHIN, || match ask() {
        Ok(value) => Some(value),
        Err(error) if waiting.contains(&error) => None,
        Err(error) => panic!("{error:?}"),
    })
}

fn checked(error: ErrorCode) -> Result<(), ErrorCode> {
    if error == ErrorCode::None { Ok(()) } else { Err(error) }
}

/// Goal: when the disk with the records of coordinators fails, these answer as those that have moved away, whatever they are asked; nobody
/// is told of what was not written. With the disk they are back, with all that they have acknowledged.
#[test]
fn coordinators_resign_with_their_disk_and_come_back_with_it() {
    let Some(disk) = FailingDisk::new() else { return };
    for fails in [Fails::Writes, Fails::Flushes] {
        let two = Two::new();
        let (setting, a, b) = (two.setting(), two.path("a"), two.path("b"));
        let settings = [&[setting.as_str()][..], &SETTINGS].concat();
        let broker = disk.start(&settings);
        let mut wire = Wire::connect(broker.address());
        for (topic, dir) in [("t", &a), ("__consumer_offsets", &b), ("__transaction_state", &b)] {
            assert_eq!(move_to(&mut wire, topic, 0, dir), 3, "to be made there");
        }
        wire.create_topic("t", 1, &[]);
        for kind in [GROUP, TRANSACTION] {
            loaded(|| checked(find(&mut wire, kind)));
        }
        assert!(b.join("__consumer_offsets-0").is_dir() && b.join("__transaction_state-0").is_dir());
        loaded(|| checked(commit(&mut wire, 5)));
        let producer = loaded(|| init_producer(&mut wire));
        assert_eq!(write_in_transaction(&mut wire, producer, "open"), ErrorCode::None);

        disk.fail(fails, EIO, &b);
        if fails == Fails::Flushes {
            // Only what is flushed fails, and nothing of this is: a record that has to be does it.
            wire.create_topic("flushed", 4, &[("flush.messages", "1")]);
            let on_b = two.placed("flushed", 4).iter().position(|place| *place == "b").unwrap();
            assert_eq!(crate::directories::write(&mut wire, "flushed", on_b as i32, "x"), 56);
            wait_for("the coordinators to resign", WITHIN, || committed(&mut wire).is_err().then_some(()));
        }
        let gone = ErrorCode::NotCoordinator;
        assert_eq!(commit(&mut wire, 6), gone);
        assert_eq!(end_transaction(&mut wire, producer), gone);
        wait_for("the coordinators to resign", WITHIN, || {
            let kinds = [GROUP, TRANSACTION];
            kinds.iter().all(|kind| find(&mut wire, *kind) == ErrorCode::CoordinatorNotAvailable).then_some(())
        });
        assert_eq!(committed(&mut wire), Err(gone));
        assert_eq!(init_producer(&mut wire).unwrap_err(), gone);
        let heartbeat = HeartbeatRequest { group_id: "x".into(), member_id: "m".into(), ..Default::default() };
        assert_eq!(ErrorCode::from_code(wire.call(&heartbeat, 4).unwrap().error_code), gone);
        let join = JoinGroupRequest {
            group_id: "x".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer".into(),
            ..Default::default()
        };
        assert_eq!(ErrorCode::from_code(wire.call(&join, 9).unwrap().error_code), gone);
        let describe = DescribeGroupsRequest { groups: vec!["x".into()], ..Default::default() };
        assert_eq!(ErrorCode::from_code(wire.call(&describe, 5).unwrap().groups[0].error_code), gone);
        let listed = wire.call(&ListGroupsRequest::default(), 4).unwrap();
        assert_eq!((listed.error_code, listed.groups.len()), (0, 0));
        // What needs no coordinator goes on.
        assert_eq!(crate::directories::write(&mut wire, "t", 0, "plain"), 0);
        stop(broker);

        disk.repair();
        let broker = disk.start(&settings);
        let mut wire = Wire::connect(broker.address());
        assert_eq!(loaded(|| committed(&mut wire)), 5);
        assert_eq!(commit(&mut wire, 7), ErrorCode::None);
        // The transaction is still open, and its producer may end it.
        loaded(|| checked(end_transaction(&mut wire, producer)));
        let next = init_producer(&mut wire).unwrap();
        assert_eq!((next.id, next.epoch > producer.epoch), (producer.id, true));
        stop(broker);
    }
}
