use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::state::{Coordinator, Verdict, judge};
use super::*;
use crate::client::producer::{ProducerOptions, ProducerRecord};
use crate::client::testing::{FakeBroker, Incoming, Reply};
use crate::client::{Address, ClientError};
use crate::protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use crate::protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey};
use crate::protocol::messages::find_coordinator_response;
use crate::protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use crate::protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiVersionsRequest, ApiVersionsResponse, EndTxnResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest, InitProducerIdResponse, MetadataRequest,
    MetadataResponse, ProduceRequest, ProduceResponse,
};
use crate::protocol::{APIS, ApiKey};
use crate::record::RecordBatch;
use crate::types::Uuid;

const OLD: Coordinator = Coordinator { version: Version::V1, bumps_epochs: true };
const NEW: Coordinator = Coordinator { version: Version::V2, bumps_epochs: true };
const A: QueueId = QueueId { topic: 0, partition: 0 };
const B: QueueId = QueueId { topic: 0, partition: 1 };

fn identity(epoch: i16) -> Identity {
    Identity { id: ProducerId(7), epoch }
}

fn ready(coordinator: Coordinator) -> Transactions {
    let mut state = Transactions::new("id");
    state.begin_init("init").unwrap();
    state.initialized(identity(0), coordinator);
    state
}

fn open(coordinator: Coordinator) -> Transactions {
    let mut state = ready(coordinator);
    state.begin("begin").unwrap();
    state
}

fn error(code: ErrorCode) -> ProduceError {
    ProduceError::Refused(code.into())
}

#[test]
fn old_transactions_name_partitions_first_and_new_ones_do_not() {
    let mut state = open(OLD);
    state.add_partition(A).unwrap();
    assert!(!state.may_send(A));
    assert_eq!(state.next_additions(), Some(vec![A]));
    state.add_partition(A).unwrap();
    state.add_partition(B).unwrap();
    assert_eq!(state.next_additions(), None, "one request at a time");
    state.partitions_added();
    assert!(state.may_send(A) && !state.may_send(B));
    assert_eq!(state.next_additions(), Some(vec![B]));
    let mut state = open(NEW);
    state.add_partition(A).unwrap();
    assert!(state.may_send(A) && state.next_additions().is_none());
}

#[test]
fn a_transaction_that_the_coordinator_knows_nothing_of_is_not_ended_there() {
    for coordinator in [OLD, NEW] {
        let mut state = open(coordinator);
        state.begin_commit("commit").unwrap();
        assert_eq!(state.ending("commit").unwrap(), Ending::Nothing);
    }
    let mut state = open(OLD);
    state.add_partition(A).unwrap();
    state.begin_abort("abort").unwrap();
    assert_eq!(state.next_additions(), None, "what was not named yet need not be");
    assert_eq!(state.ending("abort").unwrap(), Ending::Nothing);
    // Named, and the answer lost: whether there is something to end must be found out.
    let mut state = open(OLD);
    state.add_partition(A).unwrap();
    state.next_additions().unwrap();
    state.begin_abort("abort").unwrap();
    assert!(state.is_adding());
    state.partitions_not_added(false);
    assert_eq!(state.next_additions(), Some(vec![A]));
    state.partitions_added();
    assert!(!state.is_adding());
    assert!(matches!(state.ending("abort").unwrap(), Ending::Tell { version: Version::V1, .. }));
}

#[test]
fn the_end_brings_the_epoch_of_the_next_transaction() {
    let mut state = open(NEW);
    state.add_partition(A).unwrap();
    state.begin_commit("commit").unwrap();
    state.ended(Some(identity(1)), Some(NEW));
    assert_eq!((state.state(), state.identity()), (TransactionState::Ready, Some(identity(1))));
    assert!(!state.may_send(A));
    // A cluster that has moved on to the new protocol: one more epoch, so that the two do not meet.
    let mut state = open(OLD);
    state.begin_commit("commit").unwrap();
    state.ended(None, Some(NEW));
    assert_eq!(state.epoch_to_raise(), Some(identity(0)));
    state.initialized(identity(1), NEW);
    assert_eq!((state.state(), state.version()), (TransactionState::Ready, Version::V2));
}

#[test]
fn a_failed_batch_needs_an_abort_and_a_new_epoch() {
    for (coordinator, raise) in [(OLD, true), (NEW, false)] {
        let mut state = open(coordinator);
        state.add_partition(A).unwrap();
        state.batch_failed(&error(ErrorCode::MessageTooLarge), true);
        assert_eq!(state.state(), TransactionState::AbortableError);
        assert!(matches!(state.begin_commit("commit"), Err(TransactionError::Abortable { .. })));
        assert!(matches!(state.add_partition(B), Err(TransactionError::Abortable { .. })));
        state.begin_abort("abort").unwrap();
        state.ended((!raise).then_some(identity(1)), Some(coordinator));
        assert_eq!(state.epoch_to_raise().is_some(), raise);
        // The abort can be called again if it was given up here.
        assert_eq!(state.begin_abort("abort").is_ok(), raise);
    }
    // Without a way to raise the epoch, a missing number can't be made good.
    let mut state = open(Coordinator { version: Version::V1, bumps_epochs: false });
    state.batch_failed(&error(ErrorCode::MessageTooLarge), true);
    assert!(matches!(state.begin_abort("abort"), Err(TransactionError::Fatal { .. })));
}

#[test]
fn records_that_an_abort_drops_are_no_failure_of_their_own() {
    let mut state = open(OLD);
    state.add_partition(A).unwrap();
    state.begin_abort("abort").unwrap();
    assert!(matches!(state.dooms_queued(), Some(ProduceError::TransactionAborted)));
    state.batch_failed(&ProduceError::TransactionAborted, false);
    state.ended(None, None);
    assert_eq!(state.state(), TransactionState::Ready, "nothing was numbered, nothing is missing");
}

#[test]
fn errors_have_the_weight_that_kafkas_producer_gives_them() {
    use ErrorCode as E;
    use Step::{AddOffsets, AddPartitions, CommitOffsets, End, Init};
    for step in [Init, AddPartitions, AddOffsets, CommitOffsets, End] {
        assert_eq!(judge(step, E::ProducerFenced), Verdict::Fenced);
        assert_eq!(judge(step, E::InvalidProducerEpoch), Verdict::Fenced);
        assert_eq!(judge(step, E::TransactionAbortable), Verdict::Abortable);
        assert_eq!(judge(step, E::InvalidProducerIdMapping), Verdict::Fatal);
    }
    for (step, code, verdict) in [
        (Init, E::TransactionalIdAuthorizationFailed, Verdict::Again),
        (Init, E::InvalidTransactionTimeout, Verdict::Fatal),
        (AddPartitions, E::TransactionalIdAuthorizationFailed, Verdict::Fatal),
        (AddPartitions, E::TopicAuthorizationFailed, Verdict::Abortable),
        (AddPartitions, E::UnknownProducerId, Verdict::NeedsNewEpoch),
        (AddOffsets, E::GroupAuthorizationFailed, Verdict::Abortable),
        (CommitOffsets, E::IllegalGeneration, Verdict::Abortable),
        (CommitOffsets, E::UnknownMemberId, Verdict::Abortable),
        (CommitOffsets, E::FencedInstanceId, Verdict::Abortable),
        (CommitOffsets, E::UnsupportedForMessageFormat, Verdict::Fatal),
        (End, E::InvalidTxnState, Verdict::Fatal),
    ] {
        assert_eq!(judge(step, code), verdict, "{step:?} {code}");
    }
}

#[test]
fn the_error_that_decides_is_the_one_that_stays() {
    use ErrorCode::{ConcurrentTransactions, None, OperationNotAttempted, TopicAuthorizationFailed};
    let worst = |codes: &[ErrorCode]| calls::worst(codes.iter().copied());
    assert_eq!(worst(&[None, None]), None);
    assert_eq!(worst(&[OperationNotAttempted, TopicAuthorizationFailed]), TopicAuthorizationFailed);
    assert_eq!(worst(&[ConcurrentTransactions, OperationNotAttempted]), ConcurrentTransactions);
    assert_eq!(worst(&[ConcurrentTransactions, TopicAuthorizationFailed]), TopicAuthorizationFailed);
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Begin,
    Add(usize),
    Ask,
    Answer(bool),
    Lose,
    Fail(bool),
    Commit,
    Abort,
    End,
    Raise,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        Just(Move::Begin),
        (0..3usize).prop_map(Move::Add),
        Just(Move::Ask),
        any::<bool>().prop_map(Move::Answer),
        Just(Move::Lose),
        any::<bool>().prop_map(Move::Fail),
        Just(Move::Commit),
        Just(Move::Abort),
        Just(Move::End),
        Just(Move::Raise),
    ]
}

proptest! {
    /// Goal: in whatever order things happen, records leave only within a transaction that the coordinator knows of,
    /// every started transaction is ended there, and there is always a way on.
    #[test]
    fn no_order_of_events_leads_astray(moves in prop::collection::vec(any_move(), 0..60), new in any::<bool>()) {
        let coordinator = if new { NEW } else { OLD };
        let mut state = ready(coordinator);
        let (mut asked, mut known_there, mut epoch) = (false, false, 0);
        for step in moves {
            match step {
                Move::Begin => drop(state.begin("begin")),
                Move::Add(partition) => drop(state.add_partition(QueueId { topic: 0, partition })),
                Move::Ask => asked |= state.next_additions().is_some(),
                Move::Answer(taken) if asked => {
                    asked = false;
                    if taken {
                        state.partitions_added();
                        known_there = true;
                    } else {
                        // Said of this attempt only.
                        state.partitions_not_added(true);
                    }
                }
                Move::Lose if asked => {
                    asked = false;
                    known_there = true;
                    state.partitions_not_added(false);
                }
                Move::Fail(numbered) => state.batch_failed(&error(ErrorCode::InvalidRecord), numbered),
                Move::Commit => drop(state.begin_commit("commit")),
                Move::Abort => drop(state.begin_abort("abort")),
                Move::End if !asked && !state.is_adding() && !state.is_ended() => match state.ending("end") {
                    Ok(Ending::Nothing) => {
                        prop_assert!(!known_there, "the coordinator has a transaction that nobody ends");
                        state.ended(None, None);
                    }
                    Ok(Ending::Tell { .. }) => {
                        known_there = false;
                        epoch += 1;
                        state.ended(new.then_some(identity(epoch)), Some(coordinator));
                    }
                    Err(_) => {}
                },
                Move::Raise if state.epoch_to_raise().is_some() => {
                    epoch += 1;
                    state.initialized(identity(epoch), coordinator);
                }
                _ => {}
            }
            known_there |= new && (0..3).any(|partition| state.may_send(QueueId { topic: 0, partition }));
            if matches!(state.state(), TransactionState::Ready | TransactionState::Initializing) {
                let left = (0..3).any(|partition| state.may_send(QueueId { topic: 0, partition }));
                prop_assert!(!known_there && !left, "something is left of the transaction before");
            }
            prop_assert!(state.state() != TransactionState::FatalError);
        }
    }
}

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Refuse(ErrorCode),
    LoseRequest,
    LoseResponse,
}

/// A broker that is the coordinator of everything.
#[derive(Debug, Default)]
struct Script {
    faults: HashMap<ApiKey, Vec<Fault>>,
    epoch: i16,
    /// API, version, producer epoch, and what else tells requests apart.
    seen: Vec<(ApiKey, i16, i16, String)>,
}

impl Script {
    fn answer(&mut self, request: &Incoming, new: bool, topic_id: Uuid) -> Reply {
        let (api, version) = (request.start.api, request.start.version);
        let fault = self.faults.get_mut(&api).filter(|faults| !faults.is_empty()).map(|faults| faults.remove(0));
        if matches!(fault, Some(Fault::LoseRequest)) {
            return Reply::Close;
        }
        let code = match fault {
            Some(Fault::Refuse(code)) => code,
            _ => ErrorCode::None,
        };
        let error_code = code.code();
        let (epoch, note, reply) = match api {
            ApiKey::InitProducerId => {
                let body: InitProducerIdRequest = request.body();
                self.epoch += i16::from(body.producer_id >= 0 && code == ErrorCode::None);
                let response = InitProducerIdResponse {
                    error_code,
                    producer_id: 7,
                    producer_epoch: self.epoch,
                    ..Default::default()
                };
                let note = body.transactional_id.unwrap_or_default();
                (body.producer_epoch, note, request.answer::<InitProducerIdRequest>(&response))
            }
            ApiKey::AddPartitionsToTxn => {
                let body: AddPartitionsToTxnRequest = request.body();
                let partitions = body.v3_and_below_topics[0].partitions.clone();
                let results = partitions.iter().map(|index| AddPartitionsToTxnPartitionResult {
                    partition_index: *index,
                    partition_error_code: error_code,
                    ..Default::default()
                });
                let topic = AddPartitionsToTxnTopicResult {
                    name: "t".to_owned(),
                    results_by_partition: results.collect(),
                    ..Default::default()
                };
                let response =
                    AddPartitionsToTxnResponse { results_by_topic_v3_and_below: vec![topic], ..Default::default() };
                let reply = request.answer::<AddPartitionsToTxnRequest>(&response);
                (body.v3_and_below_producer_epoch, format!("{partitions:?}"), reply)
            }
            ApiKey::EndTxn => {
                let body: EndTxnRequest = request.body();
                let mut response = EndTxnResponse { error_code, ..Default::default() };
                if new && code == ErrorCode::None {
                    // The end of one transaction raises the epoch once, however often it is asked for.
                    self.epoch = body.producer_epoch + 1;
                    (response.producer_id, response.producer_epoch) = (7, self.epoch);
                }
                let note = if body.committed { "commit" } else { "abort" };
                (body.producer_epoch, note.to_owned(), request.answer::<EndTxnRequest>(&response))
            }
            ApiKey::Produce => {
                let body: ProduceRequest = request.body();
                let data = &body.topic_data[0].partition_data[0];
                let records = data.records.clone().unwrap();
                let (batch, _) = RecordBatch::new(&records).unwrap();
                assert!(batch.header().attributes.is_transactional());
                let partition = PartitionProduceResponse { index: data.index, error_code, ..Default::default() };
                let topic = TopicProduceResponse {
                    name: if version < 13 { "t".to_owned() } else { String::new() },
                    topic_id,
                    partition_responses: vec![partition],
                    ..Default::default()
                };
                let note = format!("{} seq {}", body.transactional_id.unwrap(), batch.header().base_sequence);
                let reply =
                    request.answer::<ProduceRequest>(&ProduceResponse { responses: vec![topic], ..Default::default() });
                (batch.header().producer_epoch, note, reply)
            }
            _ => return Reply::Default,
        };
        self.seen.push((api, version, epoch, note));
        if matches!(fault, Some(Fault::LoseResponse)) { Reply::Close } else { reply }
    }
}

fn versions(request: &Incoming, new: bool) -> Reply {
    let caps = [(ApiKey::EndTxn, 4), (ApiKey::Produce, 11), (ApiKey::TxnOffsetCommit, 4)];
    let api_keys = APIS.iter().filter(|api| api.on_broker).map(|api| {
        let stable = api.stable_versions();
        let cap = caps.iter().find(|(key, _)| !new && *key == api.key).map_or(stable.max, |(_, cap)| *cap);
        ApiVersion { api_key: api.key.get(), min_version: stable.min, max_version: cap, ..Default::default() }
    });
    let level = if new { 2 } else { 0 };
    let feature = FinalizedFeatureKey {
        name: "transaction.version".to_owned(),
        max_version_level: level,
        min_version_level: level,
        ..Default::default()
    };
    request.answer::<ApiVersionsRequest>(&ApiVersionsResponse {
        api_keys: api_keys.collect(),
        finalized_features_epoch: 1,
        finalized_features: vec![feature],
        ..Default::default()
    })
}

async fn broker(new: bool, faults: &[(ApiKey, Vec<Fault>)]) -> (FakeBroker, Arc<Mutex<Script>>) {
    let script = Script { faults: faults.iter().cloned().collect(), ..Default::default() };
    let script = Arc::new(Mutex::new(script));
    let shared = Arc::clone(&script);
    let address: Arc<Mutex<Option<Address>>> = Arc::default();
    let own = Arc::clone(&address);
    let topic_id = Uuid::random();
    let broker = FakeBroker::start(move |request| match request.start.api {
        ApiKey::ApiVersions => versions(request, new),
        ApiKey::Metadata => {
            let own = lock(&own).clone().unwrap();
            let partition = |partition_index| MetadataResponsePartition {
                partition_index,
                leader_id: 1,
                leader_epoch: 1,
                ..Default::default()
            };
            let topic = MetadataResponseTopic {
                name: Some("t".to_owned()),
                topic_id,
                partitions: (0..2).map(partition).collect(),
                ..Default::default()
            };
            let (host, port) = (own.host().to_owned(), own.port().into());
            let brokers = vec![MetadataResponseBroker { node_id: 1, host, port, ..Default::default() }];
            request.answer::<MetadataRequest>(&MetadataResponse { brokers, topics: vec![topic], ..Default::default() })
        }
        ApiKey::FindCoordinator => {
            let own = lock(&own).clone().unwrap();
            let body: FindCoordinatorRequest = request.body();
            assert_eq!(body.key_type, 1);
            let (host, port) = (own.host().to_owned(), own.port().into());
            let key = body.coordinator_keys[0].clone();
            let found = find_coordinator_response::Coordinator { key, node_id: 1, host, port, ..Default::default() };
            let coordinators = vec![found];
            request.answer::<FindCoordinatorRequest>(&FindCoordinatorResponse { coordinators, ..Default::default() })
        }
        _ => lock(&shared).answer(request, new, topic_id),
    })
    .await;
    *lock(&address) = Some(broker.address.clone());
    (broker, script)
}

fn producer(broker: &FakeBroker, max_block: Duration) -> Producer {
    Producer::new(ProducerOptions {
        client: broker.options(),
        linger: Duration::ZERO,
        transactional_id: Some("id".to_owned()),
        max_block,
        ..Default::default()
    })
}

async fn send(producer: &Producer, partition: i32) -> Result<super::super::Delivery, ProduceError> {
    let partition = Some(crate::types::PartitionId(partition));
    producer.send(ProducerRecord { topic: "t", partition, value: Some(b"v"), ..Default::default() }).await
}

const LONG: Duration = Duration::from_secs(10);

fn seen(script: &Mutex<Script>) -> Vec<(ApiKey, i16, String)> {
    lock(script).seen.iter().map(|(api, _, epoch, note)| (*api, *epoch, note.clone())).collect()
}

#[tokio::test]
async fn both_protocols_say_what_theirs_wants() {
    for new in [false, true] {
        let (broker, script) = broker(new, &[]).await;
        let producer = producer(&broker, LONG);
        producer.init_transactions().await.unwrap();
        for _ in 0..2 {
            producer.begin_transaction().unwrap();
            send(&producer, 0).await.unwrap();
            producer.commit_transaction().await.unwrap();
        }
        producer.close(LONG).await.unwrap();
        let (init, add) = (ApiKey::InitProducerId, ApiKey::AddPartitionsToTxn);
        let (produce, end) = (ApiKey::Produce, ApiKey::EndTxn);
        let own = |text: &str| text.to_owned();
        let expected = if new {
            vec![
                (init, -1, own("id")),
                (produce, 0, own("id seq 0")),
                (end, 0, own("commit")),
                (produce, 1, own("id seq 0")),
                (end, 1, own("commit")),
            ]
        } else {
            vec![
                (init, -1, own("id")),
                (add, 0, own("[0]")),
                (produce, 0, own("id seq 0")),
                (end, 0, own("commit")),
                (add, 0, own("[0]")),
                (produce, 0, own("id seq 1")),
                (end, 0, own("commit")),
            ]
        };
        assert_eq!(seen(&script), expected);
        let versions = lock(&script).seen.clone();
        for (api, version, ..) in versions {
            match api {
                ApiKey::EndTxn => assert_eq!(version, if new { 5 } else { 4 }),
                ApiKey::Produce => assert_eq!(version > 11, new),
                ApiKey::AddPartitionsToTxn => assert_eq!(version, 3),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn what_passes_is_waited_for_and_what_is_lost_is_asked_again() {
    use ErrorCode::{ConcurrentTransactions, CoordinatorLoadInProgress, NotCoordinator};
    let refuse = Fault::Refuse;
    for new in [false, true] {
        let faults = [
            (ApiKey::InitProducerId, vec![refuse(CoordinatorLoadInProgress), refuse(ConcurrentTransactions)]),
            (ApiKey::AddPartitionsToTxn, vec![refuse(ConcurrentTransactions), Fault::LoseResponse, Fault::LoseRequest]),
            (ApiKey::Produce, vec![refuse(ConcurrentTransactions), Fault::LoseRequest]),
            (ApiKey::EndTxn, vec![refuse(NotCoordinator), Fault::LoseResponse, refuse(ConcurrentTransactions)]),
        ];
        let (broker, script) = broker(new, &faults).await;
        let producer = producer(&broker, LONG);
        producer.init_transactions().await.unwrap();
        producer.begin_transaction().unwrap();
        let delivery = send(&producer, 1).await.unwrap();
        producer.commit_transaction().await.unwrap();
        delivery.outcome().await.unwrap();
        assert_eq!(producer.transaction_state(), Some(TransactionState::Ready));
        producer.close(LONG).await.unwrap();
        assert_eq!(seen(&script).iter().filter(|(api, ..)| *api == ApiKey::EndTxn).count(), 4);
    }
}

#[tokio::test]
async fn a_refused_batch_takes_its_transaction_with_it() {
    for new in [false, true] {
        let (broker, script) = broker(new, &[(ApiKey::Produce, vec![Fault::Refuse(ErrorCode::InvalidRecord)])]).await;
        let producer = producer(&broker, LONG);
        producer.init_transactions().await.unwrap();
        producer.begin_transaction().unwrap();
        let delivery = send(&producer, 0).await.unwrap();
        assert!(matches!(producer.commit_transaction().await, Err(TransactionError::Abortable { .. })));
        assert!(delivery.outcome().await.is_err());
        producer.abort_transaction().await.unwrap();
        producer.begin_transaction().unwrap();
        send(&producer, 0).await.unwrap();
        producer.commit_transaction().await.unwrap();
        producer.close(LONG).await.unwrap();
        let seen = seen(&script);
        let last = seen.iter().rev().find(|(api, ..)| *api == ApiKey::Produce).unwrap();
        assert_eq!((last.1, last.2.as_str()), (1, "id seq 0"), "in a new epoch, counted from its beginning");
        let raised = seen.iter().any(|(api, epoch, _)| *api == ApiKey::InitProducerId && *epoch == 0);
        assert_eq!(raised, !new, "only the old protocol asks for the epoch to be raised");
    }
}

#[tokio::test]
async fn a_fenced_producer_stays_so() {
    let (broker, _script) = broker(true, &[(ApiKey::EndTxn, vec![Fault::Refuse(ErrorCode::ProducerFenced)])]).await;
    let producer = producer(&broker, LONG);
    producer.init_transactions().await.unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, 0).await.unwrap();
    assert!(matches!(producer.commit_transaction().await, Err(TransactionError::Fenced { .. })));
    assert!(matches!(producer.begin_transaction(), Err(TransactionError::Fenced { .. })));
    assert!(matches!(send(&producer, 0).await, Err(ProduceError::Transaction(TransactionError::Fenced { .. }))));
    producer.close(LONG).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_ran_out_of_time_can_be_called_again() {
    let endless = vec![Fault::Refuse(ErrorCode::CoordinatorLoadInProgress); 1000];
    let (broker, script) = broker(true, &[(ApiKey::EndTxn, endless)]).await;
    let producer = producer(&broker, Duration::from_millis(300));
    producer.init_transactions().await.unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, 0).await.unwrap();
    let error = producer.commit_transaction().await.unwrap_err();
    let TransactionError::TimedOut { source: Some(source), .. } = &error else { panic!("{error:?}") };
    assert!(matches!(&**source, ClientError::Api(_)));
    assert!(matches!(producer.abort_transaction().await, Err(TransactionError::WrongState { .. })));
    lock(&script).faults.clear();
    // Where the pause after the last refusal is not over in time, once more.
    let begin = Instant::now();
    while let Err(error) = producer.commit_transaction().await {
        assert!(matches!(error, TransactionError::TimedOut { .. }) && begin.elapsed() < LONG, "{error:?}");
    }
    producer.close(LONG).await.unwrap();
}

#[tokio::test]
async fn a_refusal_at_the_start_may_pass() {
    let refuse = Fault::Refuse(ErrorCode::TransactionalIdAuthorizationFailed);
    let (broker, _script) = broker(true, &[(ApiKey::InitProducerId, vec![refuse])]).await;
    let producer = producer(&broker, LONG);
    assert!(matches!(producer.init_transactions().await, Err(TransactionError::Refused { .. })));
    producer.init_transactions().await.unwrap();
    producer.close(LONG).await.unwrap();
}
