use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::admin::GroupOffset;
use crate::client::consumer::{ConsumeError, Consumer, ConsumerOptions, GroupOptions};
use crate::client::testing::{FakeBroker, Reply};
use crate::client::{Address, lock};
use crate::config::GroupProtocol;
use crate::protocol::messages::consumer_group_heartbeat_response::Assignment;
use crate::protocol::messages::find_coordinator_response::Coordinator;
use crate::protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use crate::protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use crate::protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    MetadataRequest, MetadataResponse, OffsetCommitRequest, OffsetCommitResponse,
};
use crate::protocol::{ApiKey, ErrorCode};
use crate::types::{Offset, TopicPartition};

/// A coordinator with one member, which it gives nothing.
#[derive(Debug, Default)]
struct Group {
    epoch: i32,
    /// Epochs in heartbeats, and in commits.
    heartbeats: Vec<i32>,
    commits: Vec<i32>,
    refuse_commits: Option<ErrorCode>,
}

async fn broker(group: Group) -> (FakeBroker, Arc<Mutex<Group>>) {
    let group = Arc::new(Mutex::new(group));
    let shared = Arc::clone(&group);
    let address: Arc<Mutex<Option<Address>>> = Arc::default();
    let own = Arc::clone(&address);
    let broker = FakeBroker::start(move |request| {
        let mut group = lock(&shared);
        let address = lock(&own).clone();
        let place = address.map(|address| (address.host().to_owned(), i32::from(address.port())));
        let (host, port) = place.unwrap_or_default();
        match request.start.api {
            ApiKey::Metadata => {
                let node = MetadataResponseBroker { node_id: 1, host, port, ..Default::default() };
                let topic = MetadataResponseTopic { name: Some("t".to_owned()), ..Default::default() };
                let (brokers, topics) = (vec![node], vec![topic]);
                request.answer::<MetadataRequest>(&MetadataResponse { brokers, topics, ..Default::default() })
            }
            ApiKey::FindCoordinator => {
                let found = Coordinator { key: "g".to_owned(), node_id: 1, host, port, ..Default::default() };
                let coordinators = vec![found];
                let response = FindCoordinatorResponse { coordinators, ..Default::default() };
                request.answer::<FindCoordinatorRequest>(&response)
            }
            ApiKey::ConsumerGroupHeartbeat => {
                let body: ConsumerGroupHeartbeatRequest = request.body();
                group.heartbeats.push(body.member_epoch);
                let response = ConsumerGroupHeartbeatResponse {
                    member_id: Some(body.member_id),
                    member_epoch: if body.member_epoch < 0 { body.member_epoch } else { group.epoch },
                    heartbeat_interval_ms: 10,
                    assignment: (body.member_epoch == 0).then(Assignment::default),
                    ..Default::default()
                };
                request.answer::<ConsumerGroupHeartbeatRequest>(&response)
            }
            ApiKey::OffsetCommit => {
                let body: OffsetCommitRequest = request.body();
                group.commits.push(body.generation_id_or_member_epoch);
                let stale = body.generation_id_or_member_epoch < group.epoch;
                let code = match group.refuse_commits {
                    Some(code) => code,
                    None if stale => ErrorCode::StaleMemberEpoch,
                    None => ErrorCode::None,
                };
                let partition = OffsetCommitResponsePartition { error_code: code.code(), ..Default::default() };
                let name = "t".to_owned();
                let topics =
                    vec![OffsetCommitResponseTopic { name, partitions: vec![partition], ..Default::default() }];
                request.answer::<OffsetCommitRequest>(&OffsetCommitResponse { topics, ..Default::default() })
            }
            _ => Reply::Default,
        }
    })
    .await;
    *lock(&address) = Some(broker.address.clone());
    (broker, group)
}

async fn member(broker: &FakeBroker) -> Consumer {
    let group = GroupOptions { protocol: GroupProtocol::Consumer, ..GroupOptions::new("g") };
    let mut consumer =
        Consumer::new(ConsumerOptions { client: broker.options(), group: Some(group), ..Default::default() });
    consumer.subscribe(["t"], None).unwrap();
    while consumer.group_metadata().unwrap().generation_id < 0 {
        consumer.poll(Duration::from_millis(5)).await.unwrap();
    }
    consumer
}

fn offsets() -> Vec<(TopicPartition, GroupOffset)> {
    vec![(TopicPartition::new("t", 0), GroupOffset::new(Offset(5)))]
}

#[tokio::test]
async fn a_commit_under_an_old_epoch_is_said_again_under_the_new_one() {
    let (broker, group) = broker(Group { epoch: 1, ..Default::default() }).await;
    let mut consumer = member(&broker).await;
    // The coordinator has moved on; the member learns of it with its next heartbeat.
    lock(&group).epoch = 2;
    consumer.commit_offsets(offsets()).await.unwrap();
    assert_eq!(lock(&group).commits.last(), Some(&2));
    assert!(lock(&group).commits.iter().all(|epoch| [1, 2].contains(epoch)));
    consumer.close().await.unwrap();
    let heartbeats = lock(&group).heartbeats.clone();
    assert_eq!((heartbeats.first(), heartbeats.last()), (Some(&0), Some(&-1)), "joins first, leaves last");
}

#[tokio::test]
async fn who_is_no_member_any_more_can_not_commit() {
    let refuse_commits = Some(ErrorCode::UnknownMemberId);
    let (broker, _group) = broker(Group { epoch: 1, refuse_commits, ..Default::default() }).await;
    let mut consumer = member(&broker).await;
    assert!(matches!(consumer.commit_offsets(offsets()).await, Err(ConsumeError::CommitFailed)));
    // Who names its partitions commits as nobody's member.
    consumer.assign([TopicPartition::new("t", 0)]);
    assert_eq!(consumer.group_metadata().unwrap().generation_id, -1);
    assert!(lock(&consumer.shared.coordinated).is_none());
}
