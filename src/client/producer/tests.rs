use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::client::testing::{FakeBroker, Incoming, Reply};
use crate::client::{Address, ApiError};
use crate::config::Acks;
use crate::protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use crate::protocol::messages::{
    InitProducerIdRequest, InitProducerIdResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
};
use crate::protocol::{ApiKey, ErrorCode};
use crate::record::{Codec, RecordBatch};
use crate::types::{Offset, Uuid};

/// What happens to a Produce request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Nothing is stored, all partitions get this error.
    Refuse(ErrorCode),
    /// Nothing is stored and the connection ends.
    LoseRequest,
    /// The batches are stored and the connection ends.
    LoseResponse,
}

/// What a log knows of a producer: epoch and the batches it remembers, as (first sequence, last sequence, offset).
type ProducerEntry = (i16, Vec<(i32, i32, i64)>);

/// A broker's logs, with the checks of Kafka's leader (`reference`: five remembered batches per producer).
#[derive(Debug, Default)]
struct Logs {
    values: HashMap<i32, Vec<String>>,
    producers: HashMap<(i32, i64), ProducerEntry>,
    batches: Vec<(i32, i16, i32, i32)>,
    faults: Vec<Fault>,
    max_message_bytes: usize,
    /// The error that the next attempts at a first sequence get, for data that some broker lost.
    forget_before: Option<usize>,
}

impl Logs {
    fn append(&mut self, partition: i32, bytes: &[u8]) -> Result<i64, ErrorCode> {
        let (batch, rest) = RecordBatch::new(bytes).unwrap();
        assert!(rest.is_empty(), "one batch per partition");
        batch.verify_crc().unwrap();
        let header = batch.header();
        if bytes.len() > self.max_message_bytes {
            return Err(ErrorCode::MessageTooLarge);
        }
        let log = self.values.entry(partition).or_default();
        let offset = log.len() as i64;
        let (first, last) = (header.base_sequence, header.last_sequence());
        if header.has_producer_id() {
            let key = (partition, header.producer_id.get());
            match self.producers.get_mut(&key) {
                Some((epoch, _)) if header.producer_epoch < *epoch => return Err(ErrorCode::InvalidProducerEpoch),
                Some((epoch, known)) if header.producer_epoch == *epoch => {
                    if let Some((.., offset)) = known.iter().find(|(f, l, _)| (*f, *l) == (first, last)) {
                        return Ok(*offset);
                    }
                    let expected = known.last().map_or(0, |(_, l, _)| l.wrapping_add(1).max(0));
                    if first != expected {
                        return Err(ErrorCode::OutOfOrderSequenceNumber);
                    }
                    known.push((first, last, offset));
                    let excess = known.len().saturating_sub(5);
                    known.drain(..excess);
                }
                entry => {
                    if first != 0 {
                        return Err(ErrorCode::OutOfOrderSequenceNumber);
                    }
                    let fresh = (header.producer_epoch, vec![(first, last, offset)]);
                    match entry {
                        Some(entry) => *entry = fresh,
                        None => drop(self.producers.insert(key, fresh)),
                    }
                }
            }
        }
        self.batches.push((partition, header.producer_epoch, first, header.record_count));
        let mut scratch = Vec::new();
        for record in batch.records(&mut scratch, 1 << 20).unwrap() {
            log.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
        }
        Ok(offset)
    }

    fn produce(&mut self, request: &Incoming, topic_id: Uuid) -> Reply {
        let body: ProduceRequest = request.body();
        let fault = if self.faults.is_empty() { Fault::None } else { self.faults.remove(0) };
        if fault == Fault::LoseRequest {
            return Reply::Close;
        }
        if self.forget_before.is_some_and(|at| self.batches.len() >= at) {
            self.forget_before = None;
            self.producers.clear();
        }
        let mut partition_responses = Vec::new();
        for partition in &body.topic_data[0].partition_data {
            let mut told = PartitionProduceResponse { index: partition.index, ..Default::default() };
            let result = match fault {
                Fault::Refuse(code) => Err(code),
                _ => self.append(partition.index, partition.records.as_ref().unwrap()),
            };
            match result {
                Ok(offset) => told.base_offset = offset,
                Err(code) => told.error_code = code.code(),
            }
            partition_responses.push(told);
        }
        if fault == Fault::LoseResponse {
            return Reply::Close;
        }
        if body.acks == 0 {
            return Reply::Silence;
        }
        let topic = TopicProduceResponse {
            name: if request.start.version < 13 { "t".to_owned() } else { String::new() },
            topic_id,
            partition_responses,
            ..Default::default()
        };
        request.answer::<ProduceRequest>(&ProduceResponse { responses: vec![topic], ..Default::default() })
    }
}

/// A broker with a topic `t` of `partitions`.
async fn broker(partitions: i32, logs: Logs, versions: &'static [(ApiKey, i16)]) -> (FakeBroker, Arc<Mutex<Logs>>) {
    broker_beside(None, partitions, logs, versions).await
}

/// The same where `second`, if there is one, leads every other partition.
async fn broker_beside(
    second: Option<Address>,
    partitions: i32,
    logs: Logs,
    versions: &'static [(ApiKey, i16)],
) -> (FakeBroker, Arc<Mutex<Logs>>) {
    let logs = Arc::new(Mutex::new(logs));
    let shared = Arc::clone(&logs);
    let address: Arc<Mutex<Option<Address>>> = Arc::default();
    let own = Arc::clone(&address);
    let topic_id = Uuid::random();
    let ids = AtomicUsize::new(1000);
    let broker = FakeBroker::start(move |request| match request.start.api {
        ApiKey::ApiVersions => request.versions(versions),
        ApiKey::Metadata => {
            let own = lock(&own).clone().unwrap();
            let partition = |partition_index| MetadataResponsePartition {
                partition_index,
                leader_id: if second.is_some() { 1 + partition_index % 2 } else { 1 },
                leader_epoch: 1,
                ..Default::default()
            };
            let topic = MetadataResponseTopic {
                name: Some("t".to_owned()),
                topic_id: if request.start.version < 10 { Uuid::ZERO } else { topic_id },
                partitions: (0..partitions).map(partition).collect(),
                ..Default::default()
            };
            let node = |(node_id, address): (i32, &Address)| MetadataResponseBroker {
                node_id,
                host: address.host().to_owned(),
                port: address.port().into(),
                ..Default::default()
            };
            let asked_for_nothing = request.body::<MetadataRequest>().topics == Some(Vec::new());
            request.answer::<MetadataRequest>(&MetadataResponse {
                brokers: (1..).zip(std::iter::once(&own).chain(&second)).map(node).collect(),
                topics: if asked_for_nothing { Vec::new() } else { vec![topic] },
                ..Default::default()
            })
        }
        ApiKey::InitProducerId => {
            let producer_id = ids.fetch_add(1, Ordering::Relaxed) as i64;
            request.answer::<InitProducerIdRequest>(&InitProducerIdResponse { producer_id, ..Default::default() })
        }
        ApiKey::Produce => lock(&shared).produce(request, topic_id),
        _ => Reply::Default,
    })
    .await;
    *lock(&address) = Some(broker.address.clone());
    (broker, logs)
}

fn logs(faults: &[Fault]) -> Logs {
    Logs { faults: faults.to_vec(), max_message_bytes: 1 << 20, ..Default::default() }
}

fn options(broker: &FakeBroker) -> ProducerOptions {
    ProducerOptions { client: broker.options(), linger: Duration::from_millis(1), ..Default::default() }
}

fn record(value: &str) -> ProducerRecord<'_> {
    ProducerRecord { topic: "t", value: Some(value.as_bytes()), ..Default::default() }
}

const LONG: Duration = Duration::from_secs(10);

/// Sends numbered records, each in a batch of its own, to partition 0 and waits for all; gives what the log holds.
async fn send_numbered(count: usize, faults: &[Fault]) -> (Vec<String>, Result<(), FlushError>, Arc<Mutex<Logs>>) {
    let (broker, logs) = broker(1, logs(faults), &[]).await;
    let producer = Producer::new(ProducerOptions { batch_size: 1, ..options(&broker) });
    for n in 0..count {
        producer.send(record(&n.to_string())).await.unwrap();
    }
    let flushed = producer.flush().await;
    producer.close(LONG).await.unwrap();
    let values = lock(&logs).values.remove(&0).unwrap_or_default();
    (values, flushed, logs)
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn records_arrive_and_tell_their_offsets() {
    for versions in [&[][..], &[(ApiKey::Produce, 3), (ApiKey::Metadata, 4)]] {
        let (broker, logs) = broker(2, logs(&[]), versions).await;
        let producer = Producer::new(options(&broker));
        let mut deliveries = Vec::new();
        for n in 0..5 {
            let named = ProducerRecord { partition: Some(PartitionId(n % 2)), ..record("x") };
            deliveries.push(producer.send(named).await.unwrap());
        }
        let mut offsets = Vec::new();
        for delivery in deliveries {
            let done = delivery.outcome().await.unwrap();
            offsets.push((done.partition.get(), done.offset.unwrap().get()));
        }
        assert_eq!(offsets, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]);
        assert_eq!(lock(&logs).batches.len(), 2, "five records in two batches");
        producer.close(LONG).await.unwrap();
        assert!(broker.seen().iter().filter(|request| request.start.api == ApiKey::Produce).count() <= 2);
    }
}

#[tokio::test]
async fn batches_are_numbered_and_several_are_in_flight() {
    let (values, flushed, logs) = send_numbered(20, &[]).await;
    flushed.unwrap();
    assert_eq!(values, numbers(0..20));
    let expected: Vec<_> = (0..20).map(|n| (0, 0, n, 1)).collect();
    assert_eq!(lock(&logs).batches, expected);
}

#[tokio::test]
async fn errors_that_pass_change_neither_order_nor_number() {
    use ErrorCode::{NotEnoughReplicas, NotLeaderOrFollower};
    let refuse = Fault::Refuse;
    for faults in [
        vec![refuse(NotEnoughReplicas)],
        vec![refuse(NotLeaderOrFollower), Fault::None, refuse(NotEnoughReplicas), refuse(NotLeaderOrFollower)],
        vec![Fault::LoseRequest],
        vec![Fault::None, Fault::LoseResponse, Fault::LoseRequest, Fault::LoseResponse],
    ] {
        let (values, flushed, logs) = send_numbered(12, &faults).await;
        flushed.unwrap();
        assert_eq!(values, numbers(0..12), "{faults:?}");
        assert!(lock(&logs).batches.iter().all(|(_, epoch, ..)| *epoch == 0), "no new epoch was needed");
    }
}

#[tokio::test]
async fn an_error_that_stays_fails_its_record_and_no_other() {
    let (values, flushed, logs) = send_numbered(6, &[Fault::None, Fault::Refuse(ErrorCode::InvalidRecord)]).await;
    let error = flushed.unwrap_err();
    assert_eq!(error.records, 1);
    assert!(matches!(error.first, ProduceError::Refused(ApiError { code: ErrorCode::InvalidRecord, .. })));
    assert_eq!(values, ["0", "2", "3", "4", "5"]);
    let epochs: Vec<_> = lock(&logs).batches.iter().map(|(_, epoch, first, _)| (*epoch, *first)).collect();
    assert_eq!(epochs, [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3)], "the numbers start anew after a gap");
}

#[tokio::test]
async fn a_log_that_forgot_its_producers_is_written_to_in_a_new_epoch() {
    let forgetful = Logs { forget_before: Some(3), ..logs(&[]) };
    let (broker, logs) = broker(1, forgetful, &[]).await;
    let producer = Producer::new(ProducerOptions { batch_size: 1, ..options(&broker) });
    for n in 0..10 {
        producer.send(record(&n.to_string())).await.unwrap();
    }
    producer.close(LONG).await.unwrap();
    assert_eq!(lock(&logs).values[&0], numbers(0..10));
    assert_eq!(lock(&logs).batches.last(), Some(&(0, 1, 6, 1)));
}

#[tokio::test]
async fn a_batch_that_is_too_large_goes_in_pieces() {
    let small = Logs { max_message_bytes: 150, ..logs(&[]) };
    let (broker, logs) = broker(1, small, &[]).await;
    let producer = Producer::new(options(&broker));
    let mut deliveries = Vec::new();
    for n in 0..30 {
        deliveries.push(producer.send(record(&format!("{n:010}"))).await.unwrap());
    }
    producer.flush().await.unwrap();
    for (n, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(delivery.outcome().await.unwrap().offset, Some(Offset(n as i64)));
    }
    assert_eq!(lock(&logs).values[&0], (0..30).map(|n| format!("{n:010}")).collect::<Vec<_>>());
    assert!(lock(&logs).batches.iter().all(|(_, epoch, ..)| *epoch == 0));
    let error = producer.send(record(&"x".repeat(200))).await.unwrap().outcome().await.unwrap_err();
    assert!(matches!(error, ProduceError::Refused(ApiError { code: ErrorCode::MessageTooLarge, .. })));
    producer.close(LONG).await.unwrap_err();
}

#[tokio::test]
async fn a_topic_that_is_not_used_is_looked_up_no_more_until_it_is() {
    let (broker, logs) = broker(1, logs(&[]), &[]).await;
    let mut options = options(&broker);
    options.client.metadata_max_age = Duration::from_millis(5);
    options.metadata_max_idle = Duration::from_millis(20);
    let producer = Producer::new(options);
    producer.send(record("a")).await.unwrap().outcome().await.unwrap();
    let asked_for_nothing = || {
        let metadata = broker.seen().into_iter().filter(|request| request.start.api == ApiKey::Metadata);
        metadata.map(|request| request.body::<MetadataRequest>()).any(|body| body.topics == Some(Vec::new()))
    };
    let forgotten = async {
        while !asked_for_nothing() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), forgotten).await.unwrap();
    producer.send(record("b")).await.unwrap().outcome().await.unwrap();
    assert_eq!(logs.lock().unwrap().values[&0], ["a", "b"]);
}

/// Goal: records without a key go around a broker that does not answer, for as long as it does not.
/// Method: two partitions, one of them led by a broker that is deaf; it must come to get none of very many records.
#[tokio::test]
async fn a_broker_that_does_not_answer_is_left_out() {
    let deaf = FakeBroker::start(|request| match request.start.api {
        ApiKey::ApiVersions => Reply::Default,
        _ => Reply::Silence,
    })
    .await;
    let (broker, _) = broker_beside(Some(deaf.address.clone()), 2, logs(&[]), &[]).await;
    let producer = Producer::new(ProducerOptions {
        partitioning: Partitioning::Default {
            ignore_keys: false,
            adaptive: true,
            availability_timeout: Duration::from_millis(50),
        },
        batch_size: 1,
        idempotence: false,
        max_in_flight: 1,
        ..options(&broker)
    });
    let mut in_a_row = 0;
    let sending = async {
        while in_a_row < 2000 {
            let delivery = producer.send(record("v")).await.unwrap();
            in_a_row = if delivery.partition() == PartitionId(1) { 0 } else { in_a_row + 1 };
        }
    };
    tokio::time::timeout(LONG, sending).await.expect("the deaf broker gets records again and again");
    // What waits for it is given up.
    drop(producer.close(Duration::ZERO).await);
}

#[tokio::test]
async fn acks_0_needs_no_answer() {
    let (broker, logs) = broker(1, logs(&[]), &[]).await;
    let without = ProducerOptions { acks: Acks::None, idempotence: false, ..options(&broker) };
    let producer = Producer::new(without);
    let delivery = producer.send(record("a")).await.unwrap();
    assert_eq!(delivery.outcome().await.unwrap().offset, None);
    producer.close(LONG).await.unwrap();
    while lock(&logs).values.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(lock(&logs).batches, [(0, -1, -1, 1)]);
    assert!(broker.seen().iter().all(|request| request.start.api != ApiKey::InitProducerId));
}

#[tokio::test]
async fn a_full_buffer_holds_the_sender_back() {
    let (broker, logs) = broker(1, logs(&[]), &[]).await;
    let tight = ProducerOptions { buffer_memory: 600, linger: LONG, ..options(&broker) };
    let producer = Producer::new(tight);
    for n in 0..200 {
        producer.send(record(&n.to_string())).await.unwrap();
        assert!(lock(&producer.shared.queues).has_space(0, &producer.shared.options));
    }
    producer.close(LONG).await.unwrap();
    assert_eq!(lock(&logs).values[&0], numbers(0..200));
}

#[tokio::test]
async fn what_can_not_be_sent_is_refused() {
    let (broker, _logs) = broker(2, logs(&[]), &[]).await;
    // Long enough for the topic to be found on a busy machine; a partition that is not there is waited for as long.
    let hasty = ProducerOptions { max_block: Duration::from_secs(1), max_request_size: 1000, ..options(&broker) };
    let producer = Producer::new(hasty);
    let large = producer.send(record(&"x".repeat(1000))).await.unwrap_err();
    assert!(matches!(large, ProduceError::TooLarge { limit: 1000, limit_key: "max.request.size", .. }));
    let nowhere = ProducerRecord { partition: Some(PartitionId(2)), ..record("x") };
    let nowhere = producer.send(nowhere).await.unwrap_err();
    assert!(matches!(nowhere, ProduceError::UnknownPartition { count: 2, .. }), "{nowhere}");
    producer.close(LONG).await.unwrap();
}

#[tokio::test]
async fn what_is_not_delivered_in_time_is_given_up() {
    let (broker, logs) = broker(1, logs(&[Fault::Refuse(ErrorCode::NotEnoughReplicas); 100]), &[]).await;
    let hasty = ProducerOptions { delivery_timeout: Duration::from_millis(60), ..options(&broker) };
    let producer = Producer::new(hasty);
    let delivery = producer.send(record("lost")).await.unwrap();
    let error = delivery.outcome().await.unwrap_err();
    assert!(
        matches!(error, ProduceError::Expired { records: 1, .. } | ProduceError::Refused(_)),
        "given up by the clock or by the last answer: {error}"
    );
    lock(&logs).faults.clear();
    let delivered = producer.send(record("found")).await.unwrap().outcome().await;
    assert_eq!(delivered.unwrap().offset, Some(Offset(0)));
    let error = producer.close(LONG).await.unwrap_err();
    assert_eq!(error.records, 1);
    assert_eq!(lock(&logs).values[&0], ["found"]);
}

#[tokio::test]
async fn closing_does_not_wait_for_ever() {
    let (broker, _logs) = broker(1, logs(&[Fault::Refuse(ErrorCode::NotEnoughReplicas); 1000]), &[]).await;
    let producer = Producer::new(options(&broker));
    let delivery = producer.send(record("x")).await.unwrap();
    let error = producer.close(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error.first, ProduceError::Closed));
    assert!(matches!(delivery.outcome().await, Err(ProduceError::Closed)));
}

#[derive(Debug, Default)]
struct Tally(Mutex<Vec<(i32, Option<Offset>)>>);

impl DeliveryObserver for Tally {
    fn batch_done(&self, report: &BatchReport<'_>) {
        lock(&self.0).push((report.records, report.result.unwrap()));
    }
}

#[tokio::test]
async fn an_observer_is_told_of_every_batch() {
    let (broker, _logs) = broker(1, logs(&[]), &[]).await;
    let tally = Arc::new(Tally::default());
    let observed = ProducerOptions {
        observer: Some(Arc::clone(&tally) as Arc<dyn DeliveryObserver>),
        compression: Codec::Gzip.into(),
        ..options(&broker)
    };
    let producer = Producer::new(observed);
    for _ in 0..3 {
        producer.send(record("x")).await.unwrap();
    }
    producer.close(LONG).await.unwrap();
    assert_eq!(*lock(&tally.0), [(3, Some(Offset(0)))]);
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::Refuse(ErrorCode::NotEnoughReplicas)),
        1 => Just(Fault::LoseRequest),
        1 => Just(Fault::LoseResponse),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Goal: whatever passing trouble there is, each partition's log holds its records once and in order.
    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(
        faults in prop::collection::vec(any_fault(), 0..20),
        partitions in 1..4i32,
        batch_size in prop_oneof![Just(1usize), Just(90), Just(1000)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (broker, logs) = broker(partitions, logs(&faults), &[]).await;
            let producer = Producer::new(ProducerOptions { batch_size, ..options(&broker) });
            for n in 0..60 {
                let partition = Some(PartitionId(n % partitions));
                producer.send(ProducerRecord { partition, ..record(&n.to_string()) }).await.unwrap();
            }
            producer.close(LONG).await.unwrap();
            for partition in 0..partitions {
                let expected: Vec<_> = (0..60).filter(|n| n % partitions == partition).map(|n| n.to_string()).collect();
                assert_eq!(lock(&logs).values[&partition], expected);
            }
        });
    }
}
