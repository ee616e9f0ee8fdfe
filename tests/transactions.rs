//! Transactions over the wire, with the answers that Kafka 4.3.1 gives to the same requests (`KAFKA_RS_TEST_BOOTSTRAP=host:port` asks it).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "the support module serves several tests")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::time::{Duration, Instant};

use kafka_rs::protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_rs::protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_rs::protocol::messages::describe_producers_request::TopicRequest;
use kafka_rs::protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_rs::protocol::messages::fetch_response::PartitionData;
use kafka_rs::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_rs::protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_rs::protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_rs::protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_rs::protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DeleteRecordsRequest, DescribeProducersRequest,
    DescribeTransactionsRequest, EndTxnRequest, FetchRequest, FindCoordinatorRequest, InitProducerIdRequest,
    ListOffsetsRequest, ListTransactionsRequest, OffsetFetchRequest, TxnOffsetCommitRequest, WriteTxnMarkersRequest,
};
use kafka_rs::types::Uuid;
use support::{Broker, wait_for};
use wire::{Wire, transactional_batch};

/// COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR
const LOADING: [i16; 3] = [14, 15, 16];

/// A broker, a connection to it, and a name that no test before has used.
struct Test {
    _broker: Option<Broker>,
    address: String,
    wire: Wire,
    topic: String,
    id: String,
}

/// A producer as the coordinator knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Producer {
    id: i64,
    epoch: i16,
}

impl Test {
    fn start() -> Self {
        let named = std::env::var("KAFKA_RS_TEST_BOOTSTRAP").ok();
        let broker = named.is_none().then(Broker::start);
        let address = named.unwrap_or_else(|| broker.as_ref().unwrap().address().to_owned());
        let mut wire = Wire::connect(&address);
        let name = Uuid::random().to_string();
        let (topic, id) = (format!("t-{name}"), format!("id-{name}"));
        wire.create_topic(&topic, 2, &[]);
        let mut test = Self { _broker: broker, address, wire, topic, id: id.clone() };
        test.find(1, &id);
        wait_for("the topic", Duration::from_secs(30), || (test.end_offset(0) == 0).then_some(()));
        test
    }

    /// Waits until a coordinator answers for a key.
    fn find(&mut self, key_type: i8, key: &str) {
        let request = FindCoordinatorRequest { key_type, coordinator_keys: vec![key.into()], ..Default::default() };
        wait_for("the coordinator", Duration::from_secs(30), || {
            (self.wire.call(&request, 6).unwrap().coordinators[0].error_code == 0).then_some(())
        });
    }

    fn init_as(&mut self, expected: Option<Producer>, timeout_ms: i32, version: i16) -> (i16, Producer) {
        let expected = expected.unwrap_or(Producer { id: -1, epoch: -1 });
        let request = InitProducerIdRequest {
            transactional_id: Some(self.id.clone()),
            transaction_timeout_ms: timeout_ms,
            producer_id: expected.id,
            producer_epoch: expected.epoch,
            ..Default::default()
        };
        wait_for("the coordinator to be loaded", Duration::from_secs(30), || {
            let answer = self.wire.call(&request, version).unwrap();
            let answered = (answer.error_code, Producer { id: answer.producer_id, epoch: answer.producer_epoch });
            (!LOADING.contains(&answer.error_code)).then_some(answered)
        })
    }

    fn init(&mut self) -> Producer {
        let (error, producer) = self.init_as(None, 60_000, 5);
        assert_eq!(error, 0);
        producer
    }

    fn produce_as(&mut self, id: Option<&str>, producer: Producer, sequence: i32, version: i16) -> i16 {
        let records = transactional_batch(producer.id, producer.epoch, sequence);
        self.wire.produce_in_transaction(id, &self.topic, 0, records, version)
    }

    fn produce(&mut self, producer: Producer, sequence: i32, version: i16) -> i16 {
        let id = self.id.clone();
        self.produce_as(Some(&id), producer, sequence, version)
    }

    fn add(&mut self, producer: Producer, partitions: &[i32], version: i16) -> Vec<i16> {
        let topic =
            AddPartitionsToTxnTopic { name: self.topic.clone(), partitions: partitions.to_vec(), ..Default::default() };
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.clone(),
            v3_and_below_producer_id: producer.id,
            v3_and_below_producer_epoch: producer.epoch,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        let answer = self.wire.call(&request, version).unwrap();
        let mut results = answer.results_by_topic_v3_and_below[0].results_by_partition.clone();
        // Kafka gives them in no order.
        results.sort_by_key(|result| result.partition_index);
        results.iter().map(|result| result.partition_error_code).collect()
    }

    fn end(&mut self, producer: Producer, committed: bool, version: i16) -> (i16, Producer) {
        let request = EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            committed,
            ..Default::default()
        };
        let answer = self.wire.call(&request, version).unwrap();
        (answer.error_code, Producer { id: answer.producer_id, epoch: answer.producer_epoch })
    }

    /// Waits until the coordinator says that the transaction is in this state.
    fn wait_for_state(&mut self, state: &str) {
        let request = DescribeTransactionsRequest { transactional_ids: vec![self.id.clone()], ..Default::default() };
        wait_for(state, Duration::from_secs(30), || {
            (self.wire.call(&request, 0).unwrap().transaction_states[0].transaction_state == state).then_some(())
        });
    }

    /// Where the log ends for a reader: 0 of all, 1 of committed data.
    fn end_offset(&mut self, isolation_level: i8) -> i64 {
        let wanted = ListOffsetsPartition { timestamp: -1, current_leader_epoch: -1, ..Default::default() };
        let topic = ListOffsetsTopic { name: self.topic.clone(), partitions: vec![wanted], ..Default::default() };
        let request = ListOffsetsRequest { replica_id: -1, isolation_level, topics: vec![topic], ..Default::default() };
        self.wire.call(&request, 7).unwrap().topics[0].partitions[0].offset
    }

    fn fetch(&self, from: i64, max_wait_ms: i32) -> PartitionData {
        let wanted = FetchPartition {
            fetch_offset: from,
            partition_max_bytes: 1 << 20,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            ..Default::default()
        };
        let topic = FetchTopic { topic: self.topic.clone(), partitions: vec![wanted], ..Default::default() };
        let request = FetchRequest {
            max_wait_ms,
            min_bytes: 1,
            max_bytes: 1 << 20,
            isolation_level: 1,
            topics: vec![topic],
            ..Default::default()
        };
        let mut wire = Wire::connect(&self.address);
        wire.call(&request, 12).unwrap().responses[0].partitions[0].clone()
    }
}

#[test]
fn producers_are_initialized_as_asked() {
    let mut test = Test::start();
    for timeout in [0, -1, 900_001] {
        assert_eq!(test.init_as(None, timeout, 5).0, 50, "INVALID_TRANSACTION_TIMEOUT");
    }
    let first = test.init();
    let half = Producer { id: first.id, epoch: -1 };
    assert_eq!(test.init_as(Some(half), 60_000, 5).0, 42, "INVALID_REQUEST");
    let second = test.init_as(Some(first), 60_000, 5);
    assert_eq!(second, (0, Producer { id: first.id, epoch: 1 }));
    assert_eq!(test.init_as(Some(first), 60_000, 5), second, "sent again");
    assert_eq!(test.init(), Producer { id: first.id, epoch: 2 });
    assert_eq!(test.init_as(Some(first), 60_000, 5).0, 90, "PRODUCER_FENCED");
    assert_eq!(test.init_as(Some(first), 60_000, 3).0, 47, "in the words of its time");
    test.id = String::new();
    assert_eq!(test.init_as(None, 60_000, 5).0, 42, "INVALID_REQUEST");
}

#[test]
fn records_are_taken_only_within_a_transaction() {
    let mut test = Test::start();
    let producer = test.init();
    assert_eq!(test.produce_as(None, producer, 0, 11), 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED");
    assert_eq!(test.produce(producer, 0, 10), 48, "INVALID_TXN_STATE");
    assert_eq!(test.produce(producer, 0, 11), 120, "TRANSACTION_ABORTABLE");
    let stranger = Producer { id: producer.id + 1000, epoch: 0 };
    assert_eq!(test.produce(stranger, 0, 11), 49, "INVALID_PRODUCER_ID_MAPPING");
    assert_eq!(test.add(producer, &[0, 1], 3), [0, 0]);
    assert_eq!(test.produce(producer, 0, 11), 0);
    let newer = test.init_as(None, 60_000, 5);
    assert!(newer.0 == 51 || newer.0 == 0, "the open transaction is being aborted");
    test.wait_for_state(if newer.0 == 0 { "Empty" } else { "CompleteAbort" });
    assert_eq!(test.produce(producer, 1, 11), 47, "INVALID_PRODUCER_EPOCH");
    // Newer clients join by writing.
    let joining = test.init();
    assert_eq!(test.produce(joining, 0, 12), 0);
    let (error, next) = test.end(joining, true, 5);
    assert_eq!((error, next), (0, Producer { epoch: joining.epoch + 1, ..joining }));
    test.wait_for_state("CompleteCommit");
    assert_eq!(test.produce(joining, 1, 12), 47, "late");
    assert_eq!(test.end(joining, true, 5), (0, next), "sent again");
}

#[test]
fn partitions_join_all_or_none() {
    let mut test = Test::start();
    let producer = test.init();
    assert_eq!(test.add(producer, &[0, 7], 3), [55, 3], "OPERATION_NOT_ATTEMPTED, UNKNOWN_TOPIC_OR_PARTITION");
    assert_eq!(test.add(Producer { epoch: 5, ..producer }, &[0], 3), [90], "PRODUCER_FENCED");
    assert_eq!(test.add(Producer { epoch: 5, ..producer }, &[0], 1), [47], "INVALID_PRODUCER_EPOCH");
    assert_eq!(test.add(Producer { id: producer.id + 1000, ..producer }, &[0], 3), [49], "another's id");
    assert_eq!(test.add(producer, &[0], 3), [0]);
    // As brokers ask.
    let transaction = |verify_only| AddPartitionsToTxnTransaction {
        transactional_id: test.id.clone(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        verify_only,
        topics: vec![AddPartitionsToTxnTopic {
            name: test.topic.clone(),
            partitions: vec![0, 1],
            ..Default::default()
        }],
        ..Default::default()
    };
    for (verify_only, expected) in [(true, [0, 120]), (false, [0, 0]), (true, [0, 0])] {
        let request = AddPartitionsToTxnRequest { transactions: vec![transaction(verify_only)], ..Default::default() };
        let answer = test.wire.call(&request, 4).unwrap();
        let mut results = answer.results_by_transaction[0].topic_results[0].results_by_partition.clone();
        results.sort_by_key(|result| result.partition_index);
        let codes: Vec<i16> = results.iter().map(|result| result.partition_error_code).collect();
        assert_eq!(codes, expected, "{verify_only}");
    }
}

#[test]
fn a_reader_of_committed_data_waits_for_the_end_of_a_transaction() {
    let mut test = Test::start();
    let producer = test.init();
    assert_eq!(test.produce(producer, 0, 12), 0);
    assert_eq!((test.end_offset(0), test.end_offset(1)), (1, 0));
    let nothing = test.fetch(0, 0);
    assert_eq!((nothing.last_stable_offset, nothing.high_watermark), (0, 1));
    assert!(nothing.records.unwrap_or_default().is_empty());
    let started = Instant::now();
    let found = std::thread::scope(|scope| {
        let reader = &test;
        let waiting = scope.spawn(|| reader.fetch(0, 60_000));
        // Whether it waits already does not matter: it must not wait for longer than until the marker.
        let mut other = Wire::connect(&test.address);
        let request = EndTxnRequest {
            transactional_id: test.id.clone(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            committed: false,
            ..Default::default()
        };
        assert_eq!(other.call(&request, 5).unwrap().error_code, 0);
        waiting.join().unwrap()
    });
    assert!(started.elapsed() < Duration::from_secs(30), "woken by the marker, not by the clock");
    assert!(!found.records.unwrap_or_default().is_empty());
    let aborted = found.aborted_transactions.unwrap();
    assert_eq!(aborted.iter().map(|one| (one.producer_id, one.first_offset)).collect::<Vec<_>>(), [(producer.id, 0)]);
    assert_eq!((test.end_offset(0), test.end_offset(1)), (2, 2));
}

#[test]
fn records_can_be_deleted_beside_an_open_transaction() {
    let mut test = Test::start();
    let producer = test.init();
    assert_eq!(test.produce(producer, 0, 12), 0);
    assert_eq!(test.produce(producer, 1, 12), 0);
    let before = DeleteRecordsPartition { partition_index: 0, offset: 1, ..Default::default() };
    let topic = DeleteRecordsTopic { name: test.topic.clone(), partitions: vec![before], ..Default::default() };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let answer = test.wire.call(&request, 2).unwrap();
    assert_eq!((answer.topics[0].partitions[0].error_code, answer.topics[0].partitions[0].low_watermark), (0, 1));
    assert_eq!((test.end_offset(0), test.end_offset(1)), (2, 1), "nobody reads before the log's start");
    assert_eq!(test.end(producer, true, 5).0, 0);
    test.wait_for_state("CompleteCommit");
    assert_eq!((test.end_offset(0), test.end_offset(1)), (3, 3));
}

#[test]
fn offsets_wait_for_the_end_of_their_transaction() {
    let mut test = Test::start();
    let group = format!("g-{}", test.topic);
    test.find(0, &group);
    let producer = test.init();
    let partition = TxnOffsetCommitRequestPartition { committed_offset: 5, ..Default::default() };
    let topic =
        TxnOffsetCommitRequestTopic { name: test.topic.clone(), partitions: vec![partition], ..Default::default() };
    let commit = TxnOffsetCommitRequest {
        transactional_id: test.id.clone(),
        group_id: group.clone(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        topics: vec![topic],
        ..Default::default()
    };
    let send = |test: &mut Test, request: &TxnOffsetCommitRequest, version| {
        wait_for("the coordinator to be loaded", Duration::from_secs(30), || {
            let code = test.wire.call(request, version).unwrap().topics[0].partitions[0].error_code;
            (!LOADING.contains(&code)).then_some(code)
        })
    };
    assert_eq!(send(&mut test, &commit, 3), 48, "INVALID_TXN_STATE: the group is not in it");
    assert_eq!(send(&mut test, &commit, 4), 120, "TRANSACTION_ABORTABLE");
    let member = TxnOffsetCommitRequest { generation_id: 3, member_id: "m".into(), ..commit.clone() };
    let add = AddOffsetsToTxnRequest {
        transactional_id: test.id.clone(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        group_id: group.clone(),
        ..Default::default()
    };
    assert_eq!(test.wire.call(&add, 3).unwrap().error_code, 0);
    assert_eq!(send(&mut test, &member, 3), 22, "ILLEGAL_GENERATION: there is no such group");
    assert_eq!(send(&mut test, &commit, 3), 0);
    let wanted =
        OffsetFetchRequestTopics { name: test.topic.clone(), partition_indexes: vec![0], ..Default::default() };
    let fetch = |require_stable| OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.clone(),
            topics: Some(vec![wanted.clone()]),
            ..Default::default()
        }],
        require_stable,
        ..Default::default()
    };
    let ask = |test: &mut Test, require_stable| {
        let answer = test.wire.call(&fetch(require_stable), 8).unwrap();
        let partition = &answer.groups[0].topics[0].partitions[0];
        (partition.error_code, partition.committed_offset)
    };
    assert_eq!(ask(&mut test, true), (88, -1), "UNSTABLE_OFFSET_COMMIT");
    assert_eq!(ask(&mut test, false), (0, -1));
    assert_eq!(test.end(producer, true, 4).0, 0);
    test.wait_for_state("CompleteCommit");
    assert_eq!(ask(&mut test, true), (0, 5));
}

#[test]
fn administrators_see_what_is_open() {
    let mut test = Test::start();
    let producer = test.init();
    assert_eq!(test.produce(producer, 0, 12), 0);
    let ids = vec![test.id.clone(), "nobody".into(), String::new()];
    let request = DescribeTransactionsRequest { transactional_ids: ids, ..Default::default() };
    let states = test.wire.call(&request, 0).unwrap().transaction_states;
    let codes: Vec<i16> = states.iter().map(|state| state.error_code).collect();
    assert_eq!(codes, [0, 105, 42], "TRANSACTIONAL_ID_NOT_FOUND, INVALID_REQUEST");
    let state = &states[0];
    assert_eq!((state.transaction_state.as_str(), state.transaction_timeout_ms), ("Ongoing", 60_000));
    assert_eq!((state.producer_id, state.producer_epoch), (producer.id, producer.epoch));
    assert_eq!(
        (state.topics[0].topic.as_str(), state.topics[0].partitions.as_slice()),
        (test.topic.as_str(), &[0][..])
    );

    let mut list = |request: ListTransactionsRequest| {
        let answer = test.wire.call(&request, 2).unwrap();
        let ids: Vec<String> = answer.transaction_states.into_iter().map(|state| state.transactional_id).collect();
        (answer.error_code, ids.contains(&test.id), answer.unknown_state_filters)
    };
    let all = ListTransactionsRequest { duration_filter: -1, ..Default::default() };
    let states = |states: &[&str]| states.iter().map(|state| (*state).to_owned()).collect::<Vec<_>>();
    assert_eq!(list(all.clone()), (0, true, vec![]));
    let request = ListTransactionsRequest { state_filters: states(&["Ongoing", "Odd"]), ..all.clone() };
    assert_eq!(list(request), (0, true, states(&["Odd"])));
    let request = ListTransactionsRequest { state_filters: states(&["Odd"]), ..all.clone() };
    assert_eq!(list(request), (0, false, states(&["Odd"])));
    let request = ListTransactionsRequest { state_filters: states(&["Empty", "Dead"]), ..all.clone() };
    assert_eq!(list(request), (0, false, vec![]));
    let request = ListTransactionsRequest { producer_id_filters: vec![producer.id], ..all.clone() };
    assert_eq!(list(request), (0, true, vec![]));
    let request = ListTransactionsRequest { duration_filter: 3_600_000, ..all.clone() };
    assert_eq!(list(request), (0, false, vec![]));
    for (pattern, expected) in [("id-.*", (0, true)), ("d-.*", (0, false)), ("", (0, true)), ("[", (128, false))] {
        let request = ListTransactionsRequest { transactional_id_pattern: Some(pattern.into()), ..all.clone() };
        let (error, found, _) = list(request);
        assert_eq!((error, found), expected, "{pattern}");
    }

    let topic = TopicRequest { name: test.topic.clone(), partition_indexes: vec![0, 7], ..Default::default() };
    let request = DescribeProducersRequest { topics: vec![topic], ..Default::default() };
    let answer = test.wire.call(&request, 0).unwrap();
    let partitions = &answer.topics[0].partitions;
    assert_eq!(partitions.iter().map(|partition| partition.error_code).collect::<Vec<_>>(), [0, 3]);
    let topic = TopicRequest { name: "no name!".into(), partition_indexes: vec![0], ..Default::default() };
    let request = DescribeProducersRequest { topics: vec![topic], ..Default::default() };
    let refused = &test.wire.call(&request, 0).unwrap().topics[0].partitions[0];
    assert_eq!(refused.error_code, 17, "INVALID_TOPIC_EXCEPTION");
    let words = "Topic name is invalid: 'no name!' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'";
    assert_eq!(refused.error_message.as_deref(), Some(words));
    let found = &partitions[0].active_producers[0];
    assert_eq!((found.producer_id, found.producer_epoch), (producer.id, i32::from(producer.epoch)));
    assert_eq!((found.last_sequence, found.coordinator_epoch, found.current_txn_start_offset), (0, -1, 0));
}

#[test]
fn markers_of_older_coordinators_and_epochs_are_refused() {
    let mut test = Test::start();
    let producer = Producer { id: 1_000_000, epoch: 3 };
    let mut write = |producer: Producer, coordinator_epoch: i32, transaction_version: i8| {
        let topic =
            WritableTxnMarkerTopic { name: test.topic.clone(), partition_indexes: vec![0, 7], ..Default::default() };
        let marker = WritableTxnMarker {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            transaction_result: true,
            topics: vec![topic],
            coordinator_epoch,
            transaction_version,
            ..Default::default()
        };
        let request = WriteTxnMarkersRequest { markers: vec![marker], ..Default::default() };
        let answer = test.wire.call(&request, 2).unwrap();
        let mut partitions = answer.markers[0].topics[0].partitions.clone();
        partitions.sort_by_key(|partition| partition.partition_index);
        partitions.iter().map(|partition| partition.error_code).collect::<Vec<_>>()
    };
    assert_eq!(write(producer, 5, 0), [0, 3], "UNKNOWN_TOPIC_OR_PARTITION");
    assert_eq!(write(producer, 4, 0), [52, 3], "TRANSACTION_COORDINATOR_FENCED");
    assert_eq!(write(Producer { epoch: 2, ..producer }, 5, 0), [47, 3], "INVALID_PRODUCER_EPOCH");
    assert_eq!(write(producer, 5, 2), [0, 3], "sent again");
    assert_eq!(write(Producer { epoch: 4, ..producer }, 6, 2), [0, 3]);
}
