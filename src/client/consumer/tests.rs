use std::collections::HashMap;

use bytes::Bytes;

use super::*;
use crate::client::testing::{FakeBroker, Incoming, Reply};
use crate::client::{Address, ApiError, ClientOptions};
use crate::config::IsolationLevel;
use crate::protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use crate::protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use crate::protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use crate::protocol::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};
use crate::protocol::{ApiKey, ErrorCode};
use crate::record::{BatchBuilder, BatchOptions, Codec, NewRecord};
use crate::types::{ProducerId, Uuid};

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(30);

/// A batch of records whose values are their offsets.
fn batch(base: i64, count: i64, options: BatchOptions) -> Bytes {
    let options = BatchOptions { base_offset: Offset(base), ..options };
    let mut builder = BatchBuilder::new(options);
    for offset in base..base + count {
        let value = offset.to_string();
        let record = NewRecord { timestamp: offset, value: Some(value.as_bytes()), ..Default::default() };
        builder.append(&record).unwrap();
    }
    builder.build().unwrap()
}

fn plain() -> BatchOptions {
    BatchOptions { partition_leader_epoch: LeaderEpoch(3), ..Default::default() }
}

fn transactional(id: i64) -> BatchOptions {
    BatchOptions { producer_id: ProducerId(id), producer_epoch: 0, base_sequence: 0, transactional: true, ..plain() }
}

/// The marker that ends a transaction: type 0 aborts, type 1 commits.
fn marker(offset: i64, id: i64, kind: u8) -> Bytes {
    let options = BatchOptions { base_offset: Offset(offset), control: true, ..transactional(id) };
    let mut builder = BatchBuilder::new(options);
    let record = NewRecord { key: Some(&[0, 0, 0, kind]), value: Some(&[0, 0, 0, 0, 0, 0]), ..Default::default() };
    builder.append(&record).unwrap();
    builder.build().unwrap()
}

fn offsets(records: &[ConsumerRecord]) -> Vec<i64> {
    records
        .iter()
        .map(|record| {
            assert_eq!(record.value.as_deref().unwrap(), record.offset.to_string().as_bytes());
            record.offset.get()
        })
        .collect()
}

fn drain(chunk: &mut Chunk, most: usize) -> Vec<i64> {
    let mut records = Vec::new();
    while chunk.take(most, &mut records).unwrap() {}
    offsets(&records)
}

fn chunk(log: &[Bytes], position: i64, aborted: Option<Vec<(i64, i64)>>) -> Chunk {
    let transaction =
        |(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset, ..Default::default() };
    let aborted = aborted.map(|list| list.into_iter().map(transaction).collect());
    Chunk::new(Arc::new(TopicPartition::new("t", 0)), Bytes::from(log.concat()), Offset(position), true, aborted)
}

#[test]
fn records_before_the_position_and_gaps_are_passed_over() {
    let gap = BatchOptions { last_offset_delta: Some(9), ..plain() };
    let compressed = BatchOptions { compression: Codec::Lz4.into(), ..plain() };
    let log = [batch(0, 5, plain()), batch(5, 3, gap), batch(20, 4, compressed)];
    let mut chunk = chunk(&log, 3, None);
    assert_eq!(drain(&mut chunk, 2), [3, 4, 5, 6, 7, 20, 21, 22, 23]);
    assert_eq!((chunk.position(), chunk.leader_epoch()), (Offset(24), LeaderEpoch(3)));
    let extent = chunk::extent(&Bytes::from(log.concat())).unwrap().unwrap();
    assert_eq!(extent.next, Offset(24));
    let mut end = Chunk::new(Arc::new(TopicPartition::new("t", 0)), log[1].clone(), Offset(8), true, None);
    assert!(drain(&mut end, 10).is_empty());
    assert_eq!(end.position(), Offset(15), "compaction took the last records of the batch");
}

#[test]
fn only_what_was_not_aborted_is_handed_out() {
    let log = [
        batch(0, 2, transactional(1)),
        batch(2, 2, transactional(2)),
        marker(4, 1, 0),
        batch(5, 2, transactional(1)),
        marker(7, 2, 1),
        batch(8, 1, plain()),
        marker(9, 1, 1),
    ];
    let aborted = Some(vec![(1, 0)]);
    assert_eq!(drain(&mut chunk(&log, 0, aborted.clone()), 100), [2, 3, 5, 6, 8]);
    assert_eq!(drain(&mut chunk(&log, 1, aborted), 100), [2, 3, 5, 6, 8]);
    // What comes before the position still says which transactions are over.
    assert_eq!(drain(&mut chunk(&log, 5, Some(vec![(1, 0)])), 100), [5, 6, 8]);
    let mut all = chunk(&log, 0, None);
    assert_eq!(drain(&mut all, 100), [0, 1, 2, 3, 5, 6, 8]);
    assert_eq!(all.position(), Offset(10), "past the marker at the end");
}

#[test]
fn damage_is_told_after_what_stands_before_it() {
    let mut damaged = batch(2, 2, plain()).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let mut chunk = chunk(&[batch(0, 2, plain()), Bytes::from(damaged)], 0, None);
    let mut records = Vec::new();
    let error = chunk.take(10, &mut records).unwrap_err();
    assert_eq!(offsets(&records), [0, 1]);
    assert!(matches!(error, ConsumeError::Corrupt { offset: Offset(2), .. }), "{error}");
}

/// A partition's log on the fake broker.
#[derive(Debug, Default, Clone)]
struct Log {
    /// Base offset, end offset, bytes.
    batches: Vec<(i64, i64, Bytes)>,
    start: i64,
    epoch: i32,
    /// Of earlier epochs: where they ended.
    epoch_ends: HashMap<i32, i64>,
}

impl Log {
    fn with(batches: &[(i64, i64)]) -> Self {
        let batches = batches.iter().map(|(base, count)| (*base, base + count, batch(*base, *count, plain())));
        Self { batches: batches.collect(), start: 0, epoch: 3, epoch_ends: HashMap::new() }
    }

    fn end(&self) -> i64 {
        self.batches.last().map_or(self.start, |(_, end, _)| *end)
    }
}

#[derive(Debug, Default)]
struct Logs {
    logs: HashMap<i32, Log>,
    /// Errors that the next fetches of a partition get.
    errors: Vec<(i32, ErrorCode)>,
    /// Top-level errors of the next fetches.
    session_errors: Vec<ErrorCode>,
    session: HashMap<i32, (i64, i32)>,
    session_epoch: i32,
}

impl Logs {
    fn fetch(&mut self, request: &Incoming, topic_id: Uuid) -> Reply {
        let body: FetchRequest = request.body();
        if !self.session_errors.is_empty() {
            let error_code = self.session_errors.remove(0).code();
            return request.answer::<FetchRequest>(&FetchResponse { error_code, ..Default::default() });
        }
        if body.session_epoch == 0 {
            self.session.clear();
            self.session_epoch = 0;
        } else {
            assert_eq!((body.session_id, body.session_epoch), (9, self.session_epoch), "in step");
        }
        self.session_epoch += 1;
        for topic in &body.topics {
            assert_eq!(topic.topic_id, topic_id);
            for partition in &topic.partitions {
                self.session.insert(partition.partition, (partition.fetch_offset, partition.current_leader_epoch));
            }
        }
        for partition in body.forgotten_topics_data.iter().flat_map(|topic| &topic.partitions) {
            self.session.remove(partition);
        }
        let mut partitions = Vec::new();
        for (partition, (offset, epoch)) in &self.session {
            let log = &self.logs[partition];
            let mut data = PartitionData {
                partition_index: *partition,
                high_watermark: log.end(),
                last_stable_offset: log.end(),
                ..Default::default()
            };
            let error = self.errors.iter().position(|(of, _)| of == partition).map(|at| self.errors.remove(at).1);
            let code = match error {
                Some(code) => code,
                None if *epoch < log.epoch => ErrorCode::FencedLeaderEpoch,
                None if *offset < log.start || *offset > log.end() => ErrorCode::OffsetOutOfRange,
                None => ErrorCode::None,
            };
            data.error_code = code.code();
            if code == ErrorCode::None {
                let found = log.batches.iter().find(|(_, end, _)| end > offset);
                data.records = Some(found.map(|(.., bytes)| bytes.clone()).unwrap_or_default());
            }
            if code != ErrorCode::None || data.records.as_ref().is_some_and(|records| !records.is_empty()) {
                partitions.push(data);
            }
        }
        if partitions.is_empty() {
            // In place of a long poll.
            std::thread::sleep(Duration::from_millis(2));
        }
        let topic = FetchableTopicResponse { topic_id, partitions, ..Default::default() };
        let responses = vec![topic];
        request.answer::<FetchRequest>(&FetchResponse { session_id: 9, responses, ..Default::default() })
    }

    fn list_offsets(&self, request: &Incoming) -> Reply {
        let body: ListOffsetsRequest = request.body();
        let partition = &body.topics[0].partitions[0];
        let log = &self.logs[&partition.partition_index];
        let offset = match partition.timestamp {
            -2 => log.start,
            -1 => log.end(),
            time => log.batches.iter().map(|(base, ..)| *base).find(|base| *base >= time).unwrap_or(-1),
        };
        let partitions = body.topics[0].partitions.iter().map(|partition| ListOffsetsPartitionResponse {
            partition_index: partition.partition_index,
            offset: if partition.timestamp == -2 { self.logs[&partition.partition_index].start } else { offset },
            leader_epoch: 3,
            ..Default::default()
        });
        let topic =
            ListOffsetsTopicResponse { name: "t".to_owned(), partitions: partitions.collect(), ..Default::default() };
        request.answer::<ListOffsetsRequest>(&ListOffsetsResponse { topics: vec![topic], ..Default::default() })
    }

    fn epoch_end(&self, request: &Incoming) -> Reply {
        let body: OffsetForLeaderEpochRequest = request.body();
        let asked = &body.topics[0].partitions[0];
        let log = &self.logs[&asked.partition];
        let end_offset = log.epoch_ends.get(&asked.leader_epoch).copied().unwrap_or(log.end());
        let end = EpochEndOffset {
            partition: asked.partition,
            leader_epoch: asked.leader_epoch,
            end_offset,
            ..Default::default()
        };
        let topic = OffsetForLeaderTopicResult { topic: "t".to_owned(), partitions: vec![end], ..Default::default() };
        request.answer::<OffsetForLeaderEpochRequest>(&OffsetForLeaderEpochResponse {
            topics: vec![topic],
            ..Default::default()
        })
    }
}

async fn broker(logs: &[(i32, Log)]) -> (FakeBroker, Arc<Mutex<Logs>>) {
    let logs = Arc::new(Mutex::new(Logs { logs: logs.iter().cloned().collect(), ..Default::default() }));
    let shared = Arc::clone(&logs);
    let address: Arc<Mutex<Option<Address>>> = Arc::default();
    let own = Arc::clone(&address);
    let topic_id = Uuid::random();
    let broker = FakeBroker::start(move |request| match request.start.api {
        ApiKey::Metadata => {
            let own = lock(&own).clone().unwrap();
            let partition = |(id, log): (&i32, &Log)| MetadataResponsePartition {
                partition_index: *id,
                leader_id: 1,
                leader_epoch: log.epoch,
                ..Default::default()
            };
            let topic = MetadataResponseTopic {
                name: Some("t".to_owned()),
                topic_id,
                partitions: lock(&shared).logs.iter().map(partition).collect(),
                ..Default::default()
            };
            let port = own.port().into();
            let node = MetadataResponseBroker { node_id: 1, host: own.host().to_owned(), port, ..Default::default() };
            let (brokers, topics) = (vec![node], vec![topic]);
            request.answer::<MetadataRequest>(&MetadataResponse { brokers, topics, ..Default::default() })
        }
        ApiKey::Fetch => lock(&shared).fetch(request, topic_id),
        ApiKey::ListOffsets => lock(&shared).list_offsets(request),
        ApiKey::OffsetForLeaderEpoch => lock(&shared).epoch_end(request),
        _ => Reply::Default,
    })
    .await;
    *lock(&address) = Some(broker.address.clone());
    (broker, logs)
}

fn options(broker: &FakeBroker) -> ConsumerOptions {
    let client = ClientOptions { metadata_max_age: LONG, ..broker.options() };
    ConsumerOptions { client, offset_reset: OffsetReset::Earliest, ..Default::default() }
}

fn partition(id: i32) -> TopicPartition {
    TopicPartition::new("t", id)
}

/// Polls until `count` records are there; gives partition and offset of each.
async fn read(consumer: &mut Consumer, count: usize) -> Vec<(i32, i64)> {
    let mut all = Vec::new();
    while all.len() < count {
        let records = consumer.poll(LONG).await.unwrap();
        assert!(!records.is_empty(), "{} of {count} came", all.len());
        all.extend(records.iter().map(|record| (record.partition.partition.get(), record.offset.get())));
    }
    all
}

#[tokio::test]
async fn partitions_are_read_from_their_beginning_in_order() {
    let (broker, _logs) =
        broker(&[(0, Log::with(&[(0, 3), (3, 2), (7, 4)])), (1, Log::with(&[(0, 1)])), (2, Log::with(&[]))]).await;
    let mut consumer = Consumer::new(ConsumerOptions { max_poll_records: 2, ..options(&broker) });
    assert!(matches!(consumer.poll(SHORT).await, Ok(records) if records.is_empty()));
    consumer.assign([partition(0), partition(1), partition(2)]);
    let mut read = read(&mut consumer, 10).await;
    read.sort_unstable();
    let of_0 = [0, 1, 2, 3, 4, 7, 8, 9, 10].map(|offset| (0, offset));
    assert_eq!(read, of_0.into_iter().chain([(1, 0)]).collect::<Vec<_>>());
    assert!(consumer.poll(SHORT).await.unwrap().is_empty());
    assert_eq!(consumer.position(&partition(0)).await.unwrap().offset, Offset(11));
    // Nothing was read there: no record's epoch is known.
    let unread = consumer.position(&partition(2)).await.unwrap();
    assert_eq!((unread.offset, unread.leader_epoch), (Offset(0), LeaderEpoch::NONE));
    assert_eq!(consumer.lag(&partition(0)), Some(0));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_seek_forgets_what_was_fetched() {
    let (broker, _logs) = broker(&[(0, Log::with(&[(0, 3), (3, 3), (6, 3)]))]).await;
    let mut consumer = Consumer::new(ConsumerOptions { max_poll_records: 1, ..options(&broker) });
    consumer.assign_from([(partition(0), Start::Offset(Offset(4)))]);
    assert_eq!(read(&mut consumer, 1).await, [(0, 4)]);
    consumer.seek(&partition(0), Offset(1)).unwrap();
    assert_eq!(read(&mut consumer, 3).await, [(0, 1), (0, 2), (0, 3)]);
    consumer.seek_by(&[partition(0)], OffsetReset::Latest).unwrap();
    assert_eq!(consumer.position(&partition(0)).await.unwrap().offset, Offset(9));
    consumer.seek_by(&[partition(0)], OffsetReset::Earliest).unwrap();
    assert_eq!(read(&mut consumer, 2).await, [(0, 0), (0, 1)]);
    consumer.pause(&[partition(0)]).unwrap();
    assert!(consumer.poll(SHORT).await.unwrap().is_empty());
    assert_eq!(consumer.paused(), [partition(0)]);
    consumer.resume(&[partition(0)]).unwrap();
    assert_eq!(read(&mut consumer, 7).await.last(), Some(&(0, 8)));
    assert!(matches!(consumer.seek(&partition(5), Offset(0)), Err(ConsumeError::NotAssigned(_))));
}

#[tokio::test]
async fn passing_errors_and_lost_sessions_do_not_show() {
    let (broker, logs) = broker(&[(0, Log::with(&[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]))]).await;
    {
        let mut logs = lock(&logs);
        logs.errors = vec![(0, ErrorCode::NotLeaderOrFollower), (0, ErrorCode::UnknownTopicOrPartition)];
        logs.session_errors = vec![ErrorCode::FetchSessionIdNotFound, ErrorCode::InvalidFetchSessionEpoch];
    }
    let mut consumer = Consumer::new(options(&broker));
    consumer.assign([partition(0)]);
    assert_eq!(read(&mut consumer, 5).await, [0, 1, 2, 3, 4].map(|offset| (0, offset)));
}

#[tokio::test]
async fn an_offset_that_is_gone_is_reset_or_told() {
    let mut log = Log::with(&[(5, 3)]);
    log.start = 5;
    let (broker, _logs) = broker(&[(0, log)]).await;
    let mut consumer = Consumer::new(options(&broker));
    consumer.assign_from([(partition(0), Start::Offset(Offset(2)))]);
    assert_eq!(read(&mut consumer, 3).await[0], (0, 5));

    let mut strict = Consumer::new(ConsumerOptions { offset_reset: OffsetReset::None, ..options(&broker) });
    strict.assign_from([(partition(0), Start::Offset(Offset(2)))]);
    let error = strict.poll(LONG).await.unwrap_err();
    assert!(matches!(error, ConsumeError::OutOfRange { offset: Offset(2), .. }), "{error}");
    strict.seek(&partition(0), Offset(6)).unwrap();
    assert_eq!(read(&mut strict, 2).await, [(0, 6), (0, 7)]);

    let mut strict = Consumer::new(ConsumerOptions { offset_reset: OffsetReset::None, ..options(&broker) });
    strict.assign([partition(0)]);
    assert!(matches!(strict.poll(LONG).await.unwrap_err(), ConsumeError::NoOffset(_)));
}

/// KIP-320: a leader of a later epoch may not have what an earlier one handed out.
#[tokio::test]
async fn a_position_that_a_new_leader_does_not_have_goes_back() {
    let (broker, logs) = broker(&[(0, Log::with(&[(0, 3), (3, 3)]))]).await;
    let mut consumer = Consumer::new(options(&broker));
    consumer.assign([partition(0)]);
    assert_eq!(read(&mut consumer, 6).await.len(), 6);
    {
        let mut logs = lock(&logs);
        let log = logs.logs.get_mut(&0).unwrap();
        log.batches.truncate(1);
        log.epoch = 4;
        log.epoch_ends.insert(3, 3);
        let options = BatchOptions { partition_leader_epoch: LeaderEpoch(4), ..plain() };
        log.batches.push((3, 8, batch(3, 5, options)));
    }
    assert_eq!(read(&mut consumer, 5).await, [3, 4, 5, 6, 7].map(|offset| (0, offset)));
}

#[tokio::test]
async fn denied_partitions_are_told_and_others_read() {
    let (broker, logs) = broker(&[(0, Log::with(&[(0, 1)])), (1, Log::with(&[(0, 1)]))]).await;
    lock(&logs).errors = vec![(1, ErrorCode::TopicAuthorizationFailed)];
    let mut consumer = Consumer::new(ConsumerOptions { isolation: IsolationLevel::ReadCommitted, ..options(&broker) });
    consumer.assign([partition(0), partition(1)]);
    let (mut denied, mut records) = (0, 0);
    while denied + records < 3 {
        match consumer.poll(LONG).await {
            Ok(some) => records += some.len(),
            Err(ConsumeError::Partition { source: ApiError { code, .. }, .. }) => {
                assert_eq!(code, ErrorCode::TopicAuthorizationFailed);
                denied += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((denied, records), (1, 2));
}
