//! Members of share groups over the wire: records go to one of them at a time until they are accepted, whatever happens to
//! members and broker.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "the support modules serve several tests")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::time::{Duration, Instant};

use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::{
    DeleteTopicsRequest, FindCoordinatorRequest, InitializeShareGroupStateRequest, MetadataRequest,
    ShareAcknowledgeRequest, ShareFetchRequest, ShareFetchResponse, delete_topics_request,
    initialize_share_group_state_request, metadata_request, share_acknowledge_request, share_fetch_request,
};
use kafka_rs::record::batches;
use kafka_rs::types::Uuid;
use support::{Broker, wait_for};
use wire::{Wire, batch_of};

const SETTINGS: &[&str] = &[
    "share.coordinator.state.topic.num.partitions=3",
    "group.share.min.record.lock.duration.ms=1000",
    "group.share.record.lock.duration.ms=1000",
];

const GROUP: &str = "g";
const ACCEPT: i8 = 1;
const RELEASE: i8 = 2;
const REJECT: i8 = 3;
const RENEW: i8 = 4;

/// Makes a topic and has the group begin at its start.
fn topic(wire: &mut Wire, name: &str) -> Uuid {
    wire.create_topic(name, 1, &[]);
    let topic = metadata_request::MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
    let topic_id = wire.call(&request, 12).unwrap().topics[0].topic_id;
    let key = format!("{GROUP}:{topic_id}:0");
    let request = FindCoordinatorRequest { key_type: 2, coordinator_keys: vec![key], ..Default::default() };
    assert_eq!(wire.call(&request, 6).unwrap().coordinators[0].error_code, 0);
    use initialize_share_group_state_request::{InitializeStateData, PartitionData};
    let topics =
        vec![InitializeStateData { topic_id, partitions: vec![PartitionData::default()], ..Default::default() }];
    let request = InitializeShareGroupStateRequest { group_id: GROUP.into(), topics, ..Default::default() };
    assert_eq!(wire.call(&request, 0).unwrap().results[0].partitions[0].error_code, 0);
    topic_id
}

/// A member with a connection of its own.
struct Member {
    wire: Wire,
    name: &'static str,
    topic_id: Uuid,
    epoch: i32,
}

impl Member {
    fn new(broker: &Broker, name: &'static str, topic_id: Uuid) -> Self {
        Self { wire: Wire::connect(broker.address()), name, topic_id, epoch: 0 }
    }

    fn request(&self, said: &[(i64, i64, i8)]) -> ShareFetchRequest {
        use share_fetch_request::{AcknowledgementBatch, FetchPartition, FetchTopic};
        let batches = said.iter().map(|&(first_offset, last_offset, kind)| AcknowledgementBatch {
            first_offset,
            last_offset,
            acknowledge_types: vec![kind],
            ..Default::default()
        });
        let partition = FetchPartition { acknowledgement_batches: batches.collect(), ..Default::default() };
        let topics = vec![FetchTopic { topic_id: self.topic_id, partitions: vec![partition], ..Default::default() }];
        ShareFetchRequest {
            group_id: Some(GROUP.into()),
            member_id: Some(self.name.into()),
            share_session_epoch: self.epoch,
            max_wait_ms: 0,
            min_bytes: 1,
            max_bytes: 1 << 20,
            max_records: 100,
            batch_size: 100,
            topics: if self.epoch == 0 || !said.is_empty() { topics } else { Vec::new() },
            ..Default::default()
        }
    }

    fn call(&mut self, request: &ShareFetchRequest) -> ShareFetchResponse {
        let answer = self.wire.call(request, 2).unwrap();
        if answer.error_code == 0 {
            self.epoch += 1;
        }
        answer
    }

    /// Fetches; gives what was acquired, with how often it was delivered.
    fn fetch(&mut self, said: &[(i64, i64, i8)]) -> Vec<(i64, i64, i16)> {
        let answer = self.call(&self.request(said));
        acquired(&answer)
    }

    /// Fetches, and waits for something to come.
    fn wait(&mut self, max_wait_ms: i32) -> Vec<(i64, i64, i16)> {
        let request = ShareFetchRequest { max_wait_ms, ..self.request(&[]) };
        let answer = self.call(&request);
        acquired(&answer)
    }

    fn acknowledge(&mut self, epoch: i32, said: &[(i64, i64, i8)], is_renew_ack: bool) -> (ErrorCode, Vec<ErrorCode>) {
        use share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch};
        let batches = said.iter().map(|&(first_offset, last_offset, kind)| AcknowledgementBatch {
            first_offset,
            last_offset,
            acknowledge_types: vec![kind],
            ..Default::default()
        });
        let partition = AcknowledgePartition { acknowledgement_batches: batches.collect(), ..Default::default() };
        let topic = AcknowledgeTopic { topic_id: self.topic_id, partitions: vec![partition], ..Default::default() };
        let request = ShareAcknowledgeRequest {
            group_id: Some(GROUP.into()),
            member_id: Some(self.name.into()),
            share_session_epoch: epoch,
            is_renew_ack,
            topics: if said.is_empty() { Vec::new() } else { vec![topic] },
            ..Default::default()
        };
        let answer = self.wire.call(&request, 2).unwrap();
        if answer.error_code == 0 && epoch > 0 {
            self.epoch += 1;
        }
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        (ErrorCode::from_code(answer.error_code), partitions.map(|p| ErrorCode::from_code(p.error_code)).collect())
    }
}

/// What an answer gives, checked: each acquired offset is in the records.
fn acquired(answer: &ShareFetchResponse) -> Vec<(i64, i64, i16)> {
    assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
    let Some(topic) = answer.responses.first() else { return Vec::new() };
    let partition = &topic.partitions[0];
    assert_eq!(ErrorCode::from_code(partition.error_code), ErrorCode::None);
    assert_eq!(ErrorCode::from_code(partition.acknowledge_error_code), ErrorCode::None);
    let records = partition.records.clone().unwrap_or_default();
    let found: Vec<_> = batches(&records).map(|batch| *batch.unwrap().header()).collect();
    let ranges =
        partition.acquired_records.iter().map(|range| (range.first_offset, range.last_offset, range.delivery_count));
    let ranges: Vec<_> = ranges.collect();
    let in_records = |offset| found.iter().any(|b| (b.base_offset.get()..=b.last_offset().get()).contains(&offset));
    assert!(ranges.iter().all(|&(first, last, _)| (first..=last).all(in_records)), "{ranges:?} in {found:?}");
    ranges
}

fn produce(wire: &mut Wire, topic: &str, count: usize) {
    assert_eq!(wire.produce(topic, 0, Some(batch_of(&vec!["x"; count]))).unwrap().error_code, 0);
}

#[test]
fn records_go_to_one_member_at_a_time() {
    let broker = Broker::start_with(SETTINGS);
    let mut wire = Wire::connect(broker.address());
    let id = topic(&mut wire, "t");
    for _ in 0..3 {
        produce(&mut wire, "t", 10);
    }
    let (mut a, mut b) = (Member::new(&broker, "a", id), Member::new(&broker, "b", id));
    let first = ShareFetchRequest { max_records: 5, ..a.request(&[]) };
    let answer = a.call(&first);
    assert_eq!(answer.acquisition_lock_timeout_ms, 1000);
    assert_eq!(acquired(&answer), [(0, 9, 1)]);
    assert_eq!(b.fetch(&[]), [(10, 29, 1)]);
    assert_eq!(a.fetch(&[(0, 3, ACCEPT), (4, 4, REJECT), (5, 9, RELEASE)]), [(5, 9, 2)], "what it has released");
    assert_eq!(a.acknowledge(2, &[(5, 9, ACCEPT)], false), (ErrorCode::None, vec![ErrorCode::None]));
    assert_eq!(b.acknowledge(1, &[(5, 9, ACCEPT)], false).1, [ErrorCode::None], "long done with");
    assert_eq!(a.acknowledge(3, &[(10, 12, ACCEPT)], false).1, [ErrorCode::InvalidRecordState], "these are b's");
    // A renewal is a request of its own kind.
    assert_eq!(b.acknowledge(2, &[(10, 10, RENEW)], false).1, [ErrorCode::InvalidRequest]);
    assert_eq!(b.acknowledge(3, &[(10, 19, ACCEPT), (20, 29, RENEW)], true).1, [ErrorCode::None]);
    let record_limit = ShareFetchRequest { share_acquire_mode: 1, max_records: 3, ..a.request(&[]) };
    produce(&mut wire, "t", 10);
    assert_eq!(acquired(&a.call(&record_limit)), [(30, 32, 1)]);
    // Sessions go on epoch by epoch.
    assert_eq!(a.acknowledge(0, &[], false).0, ErrorCode::InvalidShareSessionEpoch);
    assert_eq!(a.acknowledge(9, &[], false).0, ErrorCode::InvalidShareSessionEpoch);
    let mut nobody = Member::new(&broker, "nobody", id);
    assert_eq!(nobody.acknowledge(1, &[], false).0, ErrorCode::ShareSessionNotFound);
    let says_too_early = nobody.request(&[(0, 0, ACCEPT)]);
    assert_eq!(nobody.call(&says_too_early).error_code, ErrorCode::InvalidRequest.code());
    let long = ShareFetchRequest { member_id: Some("x".repeat(37)), ..nobody.request(&[]) };
    assert_eq!(nobody.call(&long).error_code, ErrorCode::InvalidRequest.code());
    let renews = ShareFetchRequest { is_renew_ack: true, ..a.request(&[]) };
    assert_eq!(a.call(&renews).error_code, ErrorCode::InvalidRequest.code());
    // b closes its session and accepts a part of what it has: the rest is a's.
    assert_eq!(b.acknowledge(-1, &[(20, 24, ACCEPT)], false), (ErrorCode::None, vec![ErrorCode::None]));
    assert_eq!(a.fetch(&[]), [(25, 29, 2), (33, 39, 1)]);
}

#[test]
fn a_fetch_waits_for_appends_releases_and_locks_that_run_out() {
    let broker = Broker::start_with(SETTINGS);
    let mut wire = Wire::connect(broker.address());
    let id = topic(&mut wire, "t");
    let (mut a, mut b) = (Member::new(&broker, "a", id), Member::new(&broker, "b", id));
    let started = Instant::now();
    assert_eq!(a.wait(300), []);
    assert!(started.elapsed() >= Duration::from_millis(300));
    let at_once = ShareFetchRequest { max_wait_ms: 20_000, min_bytes: 0, ..a.request(&[]) };
    assert_eq!(acquired(&a.call(&at_once)), [], "who asks for nothing does not wait");
    assert!(started.elapsed() < Duration::from_secs(15));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| a.wait(20_000));
        produce(&mut wire, "t", 4);
        assert_eq!(waiting.join().unwrap(), [(0, 3, 1)]);
    });
    assert_eq!(b.fetch(&[]), []);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| b.wait(20_000));
        assert_eq!(a.acknowledge(3, &[(1, 1, RELEASE)], false).1, [ErrorCode::None]);
        assert_eq!(waiting.join().unwrap(), [(1, 1, 2)], "what a has released");
    });
    assert_eq!(b.acknowledge(2, &[(1, 1, ACCEPT)], false).1, [ErrorCode::None]);
    assert_eq!(b.wait(20_000), [(0, 0, 2), (2, 3, 2)], "a had them for too long");
    let late = a.acknowledge(4, &[(0, 0, ACCEPT)], false).1;
    assert_eq!(late, [ErrorCode::InvalidRecordState]);
    // b's connection breaks.
    let mut c = Member::new(&broker, "c", id);
    let held = b.wait(20_000);
    assert!(!held.is_empty());
    drop(b);
    assert_eq!(c.wait(20_000)[0].0, 0);
}

#[test]
fn what_was_accepted_stays_so_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start_in(data.path(), SETTINGS);
    let mut wire = Wire::connect(broker.address());
    let id = topic(&mut wire, "t");
    produce(&mut wire, "t", 10);
    let mut a = Member::new(&broker, "a", id);
    assert_eq!(a.fetch(&[]), [(0, 9, 1)]);
    assert_eq!(a.acknowledge(1, &[(0, 1, ACCEPT), (4, 5, ACCEPT), (6, 6, RELEASE)], false).1, [ErrorCode::None]);
    broker.kill();
    let broker = Broker::start_in(data.path(), SETTINGS);
    let mut a = Member::new(&broker, "a", id);
    assert_eq!(a.fetch(&[]), [(2, 3, 1), (6, 6, 2), (7, 9, 1)], "locks are not kept, nor what they counted");
    // The topic goes while somebody waits.
    let mut wire = Wire::connect(broker.address());
    let names = vec![delete_topics_request::DeleteTopicState { name: Some("t".into()), ..Default::default() }];
    let request = DeleteTopicsRequest { topics: names, timeout_ms: 10_000, ..Default::default() };
    std::thread::scope(|scope| {
        let request_of_a = ShareFetchRequest { max_wait_ms: 20_000, ..a.request(&[]) };
        let waiting = scope.spawn(move || a.wire.call(&request_of_a, 2).unwrap());
        assert_eq!(wire.call(&request, 6).unwrap().responses[0].error_code, 0);
        let answer = waiting.join().unwrap();
        assert_eq!(answer.responses[0].partitions[0].error_code, ErrorCode::UnknownTopicId.code());
    });
}

#[test]
fn sessions_are_bounded() {
    let broker =
        Broker::start_with(&[SETTINGS, &["group.share.max.share.sessions=1", "group.share.max.size=1"]].concat());
    let mut wire = Wire::connect(broker.address());
    let id = topic(&mut wire, "t");
    let (mut a, mut b) = (Member::new(&broker, "a", id), Member::new(&broker, "b", id));
    a.fetch(&[]);
    let request = b.request(&[]);
    assert_eq!(b.call(&request).error_code, ErrorCode::ShareSessionLimitReached.code());
    drop(a);
    wait_for("the place of a connection that is gone", Duration::from_secs(20), || {
        (b.call(&request).error_code == 0).then_some(())
    });
}
