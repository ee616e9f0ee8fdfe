//! What each API answers while its coordinator is being loaded, which over the wire is a matter of luck.

use std::sync::Arc;

use super::*;
use crate::broker::context::{Broker, Peer, RequestContext};
use crate::broker::groups::OFFSETS_TOPIC;
use crate::broker::server::Server;
use crate::broker::share_state::SHARE_STATE_TOPIC;
use crate::broker::transactions::TRANSACTION_STATE_TOPIC;
use crate::config::ServerConfig;
use crate::protocol::frame::RequestStart;
use crate::protocol::messages::*;
use crate::protocol::{ApiKey, ErrorCode};

const LOADING: ErrorCode = ErrorCode::CoordinatorLoadInProgress;

fn context(broker: &Arc<Broker>, version: i16) -> RequestContext {
    let peer = Peer { id: 1, address: ([127, 0, 0, 1], 1).into(), listener: "PLAINTEXT".into() };
    // The handlers are called, so that nobody reads which API it is.
    let start = RequestStart { api: ApiKey::Heartbeat, version, correlation_id: 1, client_id: None, body_at: 0 };
    RequestContext::new(broker, &Arc::new(peer), &start)
}

async fn loading_broker(data: &tempfile::TempDir) -> Server {
    let dir = data.path().to_str().unwrap();
    let config = ServerConfig::from_pairs(&[("listeners", "PLAINTEXT://localhost:0"), ("log.dirs", dir)]).unwrap();
    let server = Server::start(config).await.unwrap();
    let broker = server.broker();
    let topics = ["t", OFFSETS_TOPIC, TRANSACTION_STATE_TOPIC, SHARE_STATE_TOPIC];
    assert!(broker.create_missing_topics(topics.map(str::to_owned).into()).await.is_empty());
    broker.groups.stay_loading();
    broker.transactions.stay_loading();
    broker.share_coordinator.stay_loading();
    server
}

#[track_caller]
fn check(found: &[(&str, i16)], expected: ErrorCode) {
    for (api, code) in found {
        assert_eq!(ErrorCode::from_code(*code), expected, "{api}");
    }
}

#[tokio::test]
async fn groups_that_are_being_loaded_say_so() {
    let data = tempfile::tempdir().unwrap();
    let server = loading_broker(&data).await;
    let ctx = |version| context(server.broker(), version);
    let group_id = || "g".to_owned();
    let group_ids = || vec![group_id()];
    let sync = SyncGroupRequest {
        group_id: group_id(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        ..Default::default()
    };
    let sync = groups::sync(&ctx(5), sync).await.error_code;
    check(&[("SyncGroup: the member joins again", sync)], ErrorCode::RebalanceInProgress);
    let beat = groups::heartbeat(&ctx(4), HeartbeatRequest { group_id: group_id(), ..Default::default() }).await;
    check(&[("Heartbeat: who can't be known counts as alive", beat.error_code)], ErrorCode::None);
    let member = leave_group_request::MemberIdentity::default();
    let leave = LeaveGroupRequest { group_id: group_id(), members: vec![member], ..Default::default() };
    let joining = JoinGroupRequest { group_id: group_id(), ..Default::default() };
    let describe = DescribeGroupsRequest { groups: group_ids(), ..Default::default() };
    let delete = DeleteGroupsRequest { groups_names: group_ids(), ..Default::default() };
    let consumer = ConsumerGroupHeartbeatRequest { group_id: group_id(), ..Default::default() };
    let consumers = ConsumerGroupDescribeRequest { group_ids: group_ids(), ..Default::default() };
    let share = ShareGroupHeartbeatRequest {
        group_id: group_id(),
        member_id: "m".into(),
        member_epoch: 1,
        ..Default::default()
    };
    let shares = ShareGroupDescribeRequest { group_ids: group_ids(), ..Default::default() };
    let streams = StreamsGroupHeartbeatRequest {
        group_id: group_id(),
        member_id: "m".into(),
        member_epoch: 1,
        ..Default::default()
    };
    let applications = StreamsGroupDescribeRequest { group_ids: group_ids(), ..Default::default() };
    check(
        &[
            ("JoinGroup", groups::join(&ctx(9), joining).await.error_code),
            ("LeaveGroup", groups::leave(&ctx(5), leave).await.error_code),
            ("DescribeGroups", groups::describe(&ctx(6), describe).await.groups[0].error_code),
            ("DeleteGroups", groups::delete(&ctx(2), delete).await.results[0].error_code),
            ("ListGroups", groups::list(&ctx(5), ListGroupsRequest::default()).await.error_code),
            ("ConsumerGroupHeartbeat", consumer_groups::heartbeat(&ctx(1), consumer).await.error_code),
            ("ConsumerGroupDescribe", consumer_groups::describe(&ctx(1), consumers).await.groups[0].error_code),
            ("ShareGroupHeartbeat", share_groups::heartbeat(&ctx(1), share).await.error_code),
            ("ShareGroupDescribe", share_groups::describe(&ctx(1), shares).await.groups[0].error_code),
            ("StreamsGroupHeartbeat", streams_groups::heartbeat(&ctx(0), streams).await.error_code),
            ("StreamsGroupDescribe", streams_groups::describe(&ctx(0), applications).await.groups[0].error_code),
        ],
        LOADING,
    );
    server.stop().await;
}

#[tokio::test]
async fn offsets_that_are_being_loaded_are_not_told() {
    let data = tempfile::tempdir().unwrap();
    let server = loading_broker(&data).await;
    let ctx = |version| context(server.broker(), version);
    let (group_id, name) = (|| "g".to_owned(), || "t".to_owned());
    let topic = offset_commit_request::OffsetCommitRequestTopic {
        name: name(),
        partitions: vec![Default::default()],
        ..Default::default()
    };
    let commit = OffsetCommitRequest { group_id: group_id(), topics: vec![topic], ..Default::default() };
    let group = offset_fetch_request::OffsetFetchRequestGroup { group_id: group_id(), ..Default::default() };
    let fetch = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    let delete = OffsetDeleteRequest { group_id: group_id(), ..Default::default() };
    let topic = alter_share_group_offsets_request::AlterShareGroupOffsetsRequestTopic {
        topic_name: name(),
        partitions: vec![Default::default()],
        ..Default::default()
    };
    let alter = AlterShareGroupOffsetsRequest { group_id: group_id(), topics: vec![topic], ..Default::default() };
    let topic = delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic {
        topic_name: name(),
        ..Default::default()
    };
    let end = DeleteShareGroupOffsetsRequest { group_id: group_id(), topics: vec![topic], ..Default::default() };
    let group = describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup {
        group_id: group_id(),
        topics: None,
        ..Default::default()
    };
    let describe = DescribeShareGroupOffsetsRequest { groups: vec![group], ..Default::default() };
    check(
        &[
            ("OffsetCommit", offsets::commit(&ctx(9), commit).await.topics[0].partitions[0].error_code),
            ("OffsetFetch", offsets::fetch(&ctx(9), fetch).await.groups[0].error_code),
            ("OffsetFetch v7", offsets::fetch(&ctx(7), OffsetFetchRequest::default()).await.error_code),
            ("OffsetDelete", offsets::delete(&ctx(0), delete).await.error_code),
            ("DescribeShareGroupOffsets", share_offsets::describe(&ctx(1), describe).await.groups[0].error_code),
            ("AlterShareGroupOffsets", share_offsets::alter(&ctx(0), alter).await.error_code),
            ("DeleteShareGroupOffsets", share_offsets::delete(&ctx(0), end).await.error_code),
        ],
        LOADING,
    );
    let topic = read_share_group_state_request::ReadStateData {
        topic_id: server.broker().topics.id_of("t").unwrap(),
        partitions: vec![Default::default()],
        ..Default::default()
    };
    let read = ReadShareGroupStateRequest { group_id: group_id(), topics: vec![topic], ..Default::default() };
    let read = share_state::read(&ctx(0), read).await.results[0].partitions[0].error_code;
    check(&[("ReadShareGroupState", read)], LOADING);
    server.stop().await;
}

#[tokio::test]
async fn transactions_that_are_being_loaded_say_so() {
    let data = tempfile::tempdir().unwrap();
    let server = loading_broker(&data).await;
    let ctx = |version| context(server.broker(), version);
    let id = || "id".to_owned();
    let init = InitProducerIdRequest {
        transactional_id: Some(id()),
        transaction_timeout_ms: 1,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let topic = add_partitions_to_txn_request::AddPartitionsToTxnTopic {
        name: "t".into(),
        partitions: vec![0],
        ..Default::default()
    };
    let add = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: id(),
        v3_and_below_topics: vec![topic],
        ..Default::default()
    };
    let add = transactions::add_partitions(&ctx(3), add).await;
    let offsets = AddOffsetsToTxnRequest { transactional_id: id(), group_id: "g".into(), ..Default::default() };
    let end = EndTxnRequest { transactional_id: id(), ..Default::default() };
    let describe = DescribeTransactionsRequest { transactional_ids: vec![id()], ..Default::default() };
    // Before the pattern is looked at.
    let list = ListTransactionsRequest { transactional_id_pattern: Some("[".into()), ..Default::default() };
    let topic = txn_offset_commit_request::TxnOffsetCommitRequestTopic {
        name: "t".into(),
        partitions: vec![Default::default()],
        ..Default::default()
    };
    let commit = TxnOffsetCommitRequest {
        transactional_id: id(),
        group_id: "g".into(),
        topics: vec![topic],
        ..Default::default()
    };
    let old = txn_offsets::commit(&ctx(1), commit.clone()).await.topics[0].partitions[0].error_code;
    check(
        &[
            ("InitProducerId", producer_ids::init(&ctx(5), init).await.error_code),
            ("AddPartitionsToTxn", add.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code),
            ("AddOffsetsToTxn", transactions::add_offsets(&ctx(4), offsets).await.error_code),
            ("EndTxn", transactions::end(&ctx(5), end).await.error_code),
            ("DescribeTransactions", transactions::describe(&ctx(0), describe).await.transaction_states[0].error_code),
            ("ListTransactions", transactions::list(&ctx(2), list).await.error_code),
            ("TxnOffsetCommit", txn_offsets::commit(&ctx(3), commit).await.topics[0].partitions[0].error_code),
        ],
        LOADING,
    );
    check(&[("TxnOffsetCommit v1: it knows no better", old)], ErrorCode::CoordinatorNotAvailable);
    let topic = write_txn_markers_request::WritableTxnMarkerTopic {
        name: OFFSETS_TOPIC.into(),
        partition_indexes: vec![0],
        ..Default::default()
    };
    let marker = write_txn_markers_request::WritableTxnMarker { topics: vec![topic], ..Default::default() };
    let request = WriteTxnMarkersRequest { markers: vec![marker], ..Default::default() };
    let written = markers::write(&ctx(2), request).await;
    let code = written.markers[0].topics[0].partitions[0].error_code;
    // The word of partitions: who writes markers asks again, as for any of them.
    check(&[("WriteTxnMarkers", code)], ErrorCode::NotLeaderOrFollower);
    server.stop().await;
}
