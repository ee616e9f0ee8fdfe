//! What each API of a coordinator answers to requests that it can't serve, with the codes that Kafka 4.3.1 gives to the same requests
//! (`KAFKA_RS_TEST_BOOTSTRAP=host:port` asks one that was just started for the first time).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "the support modules serve several tests")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use kafka_rs::protocol::messages::*;
use kafka_rs::protocol::{ErrorCode, Request};
use kafka_rs::types::Uuid;
use support::{Broker, wait_for};
use wire::Wire;

/// While the coordinators' topics are not there.
const BEFORE: [(&str, ErrorCode); 32] = [
    ("JoinGroup", ErrorCode::NotCoordinator),
    ("SyncGroup", ErrorCode::NotCoordinator),
    ("Heartbeat", ErrorCode::NotCoordinator),
    ("LeaveGroup", ErrorCode::NotCoordinator),
    ("DescribeGroups", ErrorCode::NotCoordinator),
    ("DeleteGroups", ErrorCode::NotCoordinator),
    ("ListGroups", ErrorCode::None),
    ("OffsetCommit", ErrorCode::NotCoordinator),
    ("OffsetFetch", ErrorCode::NotCoordinator),
    ("OffsetDelete", ErrorCode::NotCoordinator),
    ("TxnOffsetCommit", ErrorCode::CoordinatorNotAvailable),
    ("ConsumerGroupHeartbeat", ErrorCode::NotCoordinator),
    ("ConsumerGroupDescribe", ErrorCode::NotCoordinator),
    ("ShareGroupHeartbeat", ErrorCode::NotCoordinator),
    ("ShareGroupDescribe", ErrorCode::NotCoordinator),
    ("StreamsGroupHeartbeat", ErrorCode::NotCoordinator),
    ("StreamsGroupDescribe", ErrorCode::NotCoordinator),
    ("InitializeShareGroupState", ErrorCode::NotCoordinator),
    ("ReadShareGroupState", ErrorCode::NotCoordinator),
    ("WriteShareGroupState", ErrorCode::NotCoordinator),
    ("ReadShareGroupStateSummary", ErrorCode::NotCoordinator),
    ("DeleteShareGroupState", ErrorCode::NotCoordinator),
    ("DescribeShareGroupOffsets", ErrorCode::None),
    ("AlterShareGroupOffsets", ErrorCode::NotCoordinator),
    ("DeleteShareGroupOffsets", ErrorCode::NotCoordinator),
    ("AddPartitionsToTxn", ErrorCode::NotCoordinator),
    ("AddPartitionsToTxn, verify", ErrorCode::NotCoordinator),
    ("AddOffsetsToTxn", ErrorCode::NotCoordinator),
    ("EndTxn v4", ErrorCode::NotCoordinator),
    ("EndTxn v5", ErrorCode::NotCoordinator),
    ("DescribeTransactions", ErrorCode::NotCoordinator),
    ("ListTransactions", ErrorCode::None),
];

/// Of a group, a member, a transactional id that nobody has heard of. JoinGroup has the group made, DeleteGroups takes it away.
const UNKNOWN: [(&str, ErrorCode); 32] = [
    ("JoinGroup", ErrorCode::MemberIdRequired),
    ("SyncGroup", ErrorCode::UnknownMemberId),
    ("Heartbeat", ErrorCode::UnknownMemberId),
    ("LeaveGroup", ErrorCode::UnknownMemberId),
    ("DescribeGroups", ErrorCode::None),
    ("DeleteGroups", ErrorCode::None),
    ("ListGroups", ErrorCode::None),
    ("OffsetCommit", ErrorCode::GroupIdNotFound),
    ("OffsetFetch", ErrorCode::None),
    ("OffsetDelete", ErrorCode::GroupIdNotFound),
    ("TxnOffsetCommit", ErrorCode::InvalidProducerIdMapping),
    ("ConsumerGroupHeartbeat", ErrorCode::GroupIdNotFound),
    ("ConsumerGroupDescribe", ErrorCode::GroupIdNotFound),
    ("ShareGroupHeartbeat", ErrorCode::GroupIdNotFound),
    ("ShareGroupDescribe", ErrorCode::GroupIdNotFound),
    ("StreamsGroupHeartbeat", ErrorCode::GroupIdNotFound),
    ("StreamsGroupDescribe", ErrorCode::GroupIdNotFound),
    ("InitializeShareGroupState", ErrorCode::None),
    ("ReadShareGroupState", ErrorCode::None),
    ("WriteShareGroupState", ErrorCode::FencedStateEpoch),
    ("ReadShareGroupStateSummary", ErrorCode::None),
    ("DeleteShareGroupState", ErrorCode::None),
    ("DescribeShareGroupOffsets", ErrorCode::None),
    ("AlterShareGroupOffsets", ErrorCode::None),
    ("DeleteShareGroupOffsets", ErrorCode::None),
    ("AddPartitionsToTxn", ErrorCode::InvalidProducerIdMapping),
    ("AddPartitionsToTxn, verify", ErrorCode::InvalidProducerIdMapping),
    ("AddOffsetsToTxn", ErrorCode::InvalidProducerIdMapping),
    ("EndTxn v4", ErrorCode::InvalidProducerIdMapping),
    ("EndTxn v5", ErrorCode::InvalidProducerIdMapping),
    ("DescribeTransactions", ErrorCode::TransactionalIdNotFound),
    ("ListTransactions", ErrorCode::None),
];

/// Of ids that are empty.
const EMPTY: [(&str, ErrorCode); 27] = [
    ("JoinGroup", ErrorCode::InvalidGroupId),
    ("SyncGroup", ErrorCode::InvalidGroupId),
    ("Heartbeat", ErrorCode::InvalidGroupId),
    ("LeaveGroup", ErrorCode::InvalidGroupId),
    ("DescribeGroups", ErrorCode::GroupIdNotFound),
    ("DeleteGroups", ErrorCode::GroupIdNotFound),
    ("ListGroups", ErrorCode::None),
    ("OffsetCommit", ErrorCode::GroupIdNotFound),
    ("OffsetFetch", ErrorCode::None),
    ("OffsetDelete", ErrorCode::InvalidGroupId),
    ("TxnOffsetCommit", ErrorCode::InvalidGroupId),
    ("ConsumerGroupHeartbeat", ErrorCode::InvalidRequest),
    ("ConsumerGroupDescribe", ErrorCode::InvalidGroupId),
    ("ShareGroupHeartbeat", ErrorCode::InvalidRequest),
    ("ShareGroupDescribe", ErrorCode::InvalidGroupId),
    ("StreamsGroupHeartbeat", ErrorCode::InvalidRequest),
    ("StreamsGroupDescribe", ErrorCode::InvalidGroupId),
    ("DescribeShareGroupOffsets", ErrorCode::InvalidGroupId),
    ("AlterShareGroupOffsets", ErrorCode::InvalidGroupId),
    ("DeleteShareGroupOffsets", ErrorCode::InvalidGroupId),
    ("AddPartitionsToTxn", ErrorCode::InvalidRequest),
    ("AddPartitionsToTxn, verify", ErrorCode::InvalidRequest),
    ("AddOffsetsToTxn", ErrorCode::InvalidRequest),
    ("EndTxn v4", ErrorCode::InvalidRequest),
    ("EndTxn v5", ErrorCode::InvalidRequest),
    ("DescribeTransactions", ErrorCode::InvalidRequest),
    ("ListTransactions", ErrorCode::None),
];

/// Whose requests these are.
struct Asking<'a> {
    wire: &'a mut Wire,
    group: &'a str,
    transactional_id: &'a str,
    topic: (&'a str, Uuid),
}

impl Asking<'_> {
    fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.wire.call(request, version).unwrap()
    }

    /// The code of each API's answer to a request that has nothing wrong in itself.
    fn codes(&mut self) -> Vec<(&'static str, ErrorCode)> {
        let mut codes = self.classic();
        codes.extend(self.offsets());
        codes.extend(self.newer());
        if !self.group.is_empty() {
            // Without a group they have no answer.
            codes.extend(self.share_states());
        }
        // Order: Kafka has the topic of the states made when these are asked for.
        codes.extend(self.share_offsets());
        codes.extend(self.transactions());
        codes.into_iter().map(|(api, code)| (api, ErrorCode::from_code(code))).collect()
    }

    fn classic(&mut self) -> Vec<(&'static str, i16)> {
        let group_id = self.group.to_owned();
        let protocol = join_group_request::JoinGroupRequestProtocol { name: "range".into(), ..Default::default() };
        let join = JoinGroupRequest {
            group_id: group_id.clone(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
            ..Default::default()
        };
        let sync = SyncGroupRequest {
            group_id: group_id.clone(),
            generation_id: 1,
            member_id: "m".into(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            ..Default::default()
        };
        let beat = HeartbeatRequest {
            group_id: group_id.clone(),
            generation_id: 1,
            member_id: "m".into(),
            ..Default::default()
        };
        let member = leave_group_request::MemberIdentity { member_id: "m".into(), ..Default::default() };
        let leave = LeaveGroupRequest { group_id: group_id.clone(), members: vec![member], ..Default::default() };
        let incomplete = SyncGroupRequest { protocol_name: None, ..sync.clone() };
        assert_eq!(self.call(&incomplete, 5).error_code, ErrorCode::InconsistentGroupProtocol.code());
        let left = self.call(&leave, 5);
        let left = left.members.first().map_or(left.error_code, |member| member.error_code);
        let describe = DescribeGroupsRequest { groups: vec![group_id.clone()], ..Default::default() };
        let delete = DeleteGroupsRequest { groups_names: vec![group_id], ..Default::default() };
        vec![
            ("JoinGroup", self.call(&join, 9).error_code),
            ("SyncGroup", self.call(&sync, 5).error_code),
            ("Heartbeat", self.call(&beat, 4).error_code),
            ("LeaveGroup", left),
            ("DescribeGroups", self.call(&describe, 6).groups[0].error_code),
            ("DeleteGroups", self.call(&delete, 2).results[0].error_code),
            ("ListGroups", self.call(&ListGroupsRequest::default(), 5).error_code),
        ]
    }

    fn offsets(&mut self) -> Vec<(&'static str, i16)> {
        let (group_id, name) = (self.group.to_owned(), self.topic.0.to_owned());
        let partition = offset_commit_request::OffsetCommitRequestPartition::default();
        let topic = offset_commit_request::OffsetCommitRequestTopic {
            name: name.clone(),
            partitions: vec![partition],
            ..Default::default()
        };
        let commit = OffsetCommitRequest {
            group_id: group_id.clone(),
            generation_id_or_member_epoch: 1,
            member_id: "m".into(),
            topics: vec![topic],
            ..Default::default()
        };
        let topic = offset_fetch_request::OffsetFetchRequestTopics {
            name: name.clone(),
            partition_indexes: vec![0],
            ..Default::default()
        };
        let group = offset_fetch_request::OffsetFetchRequestGroup {
            group_id: group_id.clone(),
            member_id: Some("m".into()),
            member_epoch: 1,
            topics: Some(vec![topic]),
            ..Default::default()
        };
        let fetch = OffsetFetchRequest { groups: vec![group], ..Default::default() };
        let partition = offset_delete_request::OffsetDeleteRequestPartition::default();
        let topic = offset_delete_request::OffsetDeleteRequestTopic { name: name.clone(), partitions: vec![partition] };
        let delete = OffsetDeleteRequest { group_id: group_id.clone(), topics: vec![topic] };
        let partition = txn_offset_commit_request::TxnOffsetCommitRequestPartition::default();
        let topic = txn_offset_commit_request::TxnOffsetCommitRequestTopic {
            name,
            partitions: vec![partition],
            ..Default::default()
        };
        let transactional = TxnOffsetCommitRequest {
            transactional_id: self.transactional_id.to_owned(),
            group_id,
            producer_id: 7,
            topics: vec![topic],
            ..Default::default()
        };
        vec![
            ("OffsetCommit", self.call(&commit, 9).topics[0].partitions[0].error_code),
            ("OffsetFetch", self.call(&fetch, 9).groups[0].error_code),
            ("OffsetDelete", self.call(&delete, 0).error_code),
            ("TxnOffsetCommit", self.call(&transactional, 3).topics[0].partitions[0].error_code),
        ]
    }

    fn newer(&mut self) -> Vec<(&'static str, i16)> {
        let group_id = self.group.to_owned();
        let consumer = ConsumerGroupHeartbeatRequest {
            group_id: group_id.clone(),
            member_id: "m".into(),
            member_epoch: 1,
            ..Default::default()
        };
        let share = ShareGroupHeartbeatRequest {
            group_id: group_id.clone(),
            member_id: "m".into(),
            member_epoch: 1,
            ..Default::default()
        };
        let streams = StreamsGroupHeartbeatRequest {
            group_id: group_id.clone(),
            member_id: "m".into(),
            member_epoch: 1,
            ..Default::default()
        };
        let group_ids = vec![group_id];
        let consumers = ConsumerGroupDescribeRequest { group_ids: group_ids.clone(), ..Default::default() };
        let shares = ShareGroupDescribeRequest { group_ids: group_ids.clone(), ..Default::default() };
        let applications = StreamsGroupDescribeRequest { group_ids, ..Default::default() };
        vec![
            ("ConsumerGroupHeartbeat", self.call(&consumer, 1).error_code),
            ("ConsumerGroupDescribe", self.call(&consumers, 1).groups[0].error_code),
            ("ShareGroupHeartbeat", self.call(&share, 1).error_code),
            ("ShareGroupDescribe", self.call(&shares, 1).groups[0].error_code),
            ("StreamsGroupHeartbeat", self.call(&streams, 0).error_code),
            ("StreamsGroupDescribe", self.call(&applications, 0).groups[0].error_code),
        ]
    }

    fn share_offsets(&mut self) -> Vec<(&'static str, i16)> {
        let (group_id, name) = (self.group.to_owned(), self.topic.0.to_owned());
        let topic = describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestTopic {
            topic_name: name.clone(),
            partitions: vec![0],
            ..Default::default()
        };
        let group = describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup {
            group_id: group_id.clone(),
            topics: Some(vec![topic]),
            ..Default::default()
        };
        let describe = DescribeShareGroupOffsetsRequest { groups: vec![group], ..Default::default() };
        let partition = alter_share_group_offsets_request::AlterShareGroupOffsetsRequestPartition::default();
        let topic = alter_share_group_offsets_request::AlterShareGroupOffsetsRequestTopic {
            topic_name: name.clone(),
            partitions: vec![partition],
            ..Default::default()
        };
        let alter =
            AlterShareGroupOffsetsRequest { group_id: group_id.clone(), topics: vec![topic], ..Default::default() };
        let topic = delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic {
            topic_name: name,
            ..Default::default()
        };
        let delete = DeleteShareGroupOffsetsRequest { group_id, topics: vec![topic], ..Default::default() };
        vec![
            ("DescribeShareGroupOffsets", self.call(&describe, 1).groups[0].error_code),
            ("AlterShareGroupOffsets", self.call(&alter, 0).error_code),
            ("DeleteShareGroupOffsets", self.call(&delete, 0).error_code),
        ]
    }

    fn share_states(&mut self) -> Vec<(&'static str, i16)> {
        use {
            delete_share_group_state_request as delete, initialize_share_group_state_request as initialize,
            read_share_group_state_request as read, read_share_group_state_summary_request as summary,
            write_share_group_state_request as write,
        };
        let (group_id, topic_id) = (self.group.to_owned(), self.topic.1);
        let partitions = vec![initialize::PartitionData { state_epoch: 1, ..Default::default() }];
        let topics = vec![initialize::InitializeStateData { topic_id, partitions, ..Default::default() }];
        let request = InitializeShareGroupStateRequest { group_id: group_id.clone(), topics, ..Default::default() };
        let initialized = self.call(&request, 0).results[0].partitions[0].error_code;
        let partitions = vec![read::PartitionData::default()];
        let topics = vec![read::ReadStateData { topic_id, partitions, ..Default::default() }];
        let request = ReadShareGroupStateRequest { group_id: group_id.clone(), topics, ..Default::default() };
        let read = self.call(&request, 0).results[0].partitions[0].error_code;
        let partitions = vec![write::PartitionData { state_epoch: 0, ..Default::default() }];
        let topics = vec![write::WriteStateData { topic_id, partitions, ..Default::default() }];
        let request = WriteShareGroupStateRequest { group_id: group_id.clone(), topics, ..Default::default() };
        let written = self.call(&request, 1).results[0].partitions[0].error_code;
        let partitions = vec![summary::PartitionData::default()];
        let topics = vec![summary::ReadStateSummaryData { topic_id, partitions, ..Default::default() }];
        let request = ReadShareGroupStateSummaryRequest { group_id: group_id.clone(), topics, ..Default::default() };
        let summary = self.call(&request, 1).results[0].partitions[0].error_code;
        let partitions = vec![delete::PartitionData::default()];
        let topics = vec![delete::DeleteStateData { topic_id, partitions, ..Default::default() }];
        let request = DeleteShareGroupStateRequest { group_id, topics, ..Default::default() };
        let deleted = self.call(&request, 0).results[0].partitions[0].error_code;
        vec![
            ("InitializeShareGroupState", initialized),
            ("ReadShareGroupState", read),
            ("WriteShareGroupState", written),
            ("ReadShareGroupStateSummary", summary),
            ("DeleteShareGroupState", deleted),
        ]
    }

    fn transactions(&mut self) -> Vec<(&'static str, i16)> {
        let id = self.transactional_id.to_owned();
        let topic = add_partitions_to_txn_request::AddPartitionsToTxnTopic {
            name: self.topic.0.to_owned(),
            partitions: vec![0],
            ..Default::default()
        };
        let add = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: id.clone(),
            v3_and_below_producer_id: 7,
            v3_and_below_topics: vec![topic.clone()],
            ..Default::default()
        };
        let added = self.call(&add, 3).results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code;
        let transaction = |verify_only| add_partitions_to_txn_request::AddPartitionsToTxnTransaction {
            transactional_id: id.clone(),
            producer_id: 7,
            verify_only,
            topics: vec![topic.clone()],
            ..Default::default()
        };
        let verify = AddPartitionsToTxnRequest { transactions: vec![transaction(true)], ..Default::default() };
        let verified = self.call(&verify, 5);
        let verified = verified.results_by_transaction[0].topic_results[0].results_by_partition[0].partition_error_code;
        // The group's id is not looked at here.
        let offsets = AddOffsetsToTxnRequest { transactional_id: id.clone(), producer_id: 7, ..Default::default() };
        let end = EndTxnRequest { transactional_id: id.clone(), producer_id: 7, ..Default::default() };
        let describe = DescribeTransactionsRequest { transactional_ids: vec![id.clone()], ..Default::default() };
        let all = ListTransactionsRequest { duration_filter: -1, ..Default::default() };
        vec![
            ("AddPartitionsToTxn", added),
            ("AddPartitionsToTxn, verify", verified),
            ("AddOffsetsToTxn", self.call(&offsets, 4).error_code),
            ("EndTxn v4", self.call(&end, 4).error_code),
            ("EndTxn v5", self.call(&end, 5).error_code),
            ("DescribeTransactions", self.call(&describe, 0).transaction_states[0].error_code),
            ("ListTransactions", self.call(&all, 2).error_code),
        ]
    }

    fn init_producer_id(&mut self) -> ErrorCode {
        let request = InitProducerIdRequest {
            transactional_id: Some(self.transactional_id.to_owned()),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        ErrorCode::from_code(self.call(&request, 5).error_code)
    }

    /// Waits until the coordinators of all three kinds answer.
    fn find_coordinators(&mut self) {
        let share_partition = format!("{}:{}:0", self.group, self.topic.1);
        for (key_type, key) in [(0, self.group), (1, self.transactional_id), (2, &share_partition)] {
            let request = FindCoordinatorRequest { key_type, coordinator_keys: vec![key.into()], ..Default::default() };
            wait_for("the coordinator", Duration::from_secs(30), || {
                (self.call(&request, 6).coordinators[0].error_code == 0).then_some(())
            });
        }
        wait_for("the groups", Duration::from_secs(30), || {
            let (group, transactions) = (self.newer()[0].1, self.transactions()[0].1);
            let state = self.share_states()[3].1;
            let loading = [14, 15, 16];
            (![group, transactions, state].iter().any(|code| loading.contains(code))).then_some(())
        });
    }
}

fn assert_codes(what: &str, found: &[(&str, ErrorCode)], expected: &[(&str, ErrorCode)]) {
    assert_eq!(found.len(), expected.len());
    let differences: Vec<_> = found.iter().zip(expected).filter(|(found, expected)| found != expected).collect();
    assert!(differences.is_empty(), "{what}: (found, expected) {differences:#?}");
}

#[test]
fn every_api_says_what_it_does_not_have() {
    let named = std::env::var("KAFKA_RS_TEST_BOOTSTRAP").ok();
    let broker = named.is_none().then(Broker::start);
    let address = named.unwrap_or_else(|| broker.as_ref().unwrap().address().to_owned());
    let mut wire = Wire::connect(&address);
    wire.create_topic("t", 1, &[]);
    let id = wire.topic_id("t");
    let mut asking = Asking { wire: &mut wire, group: "g", transactional_id: "id", topic: ("t", id) };

    // There is no topic yet in which anything could be kept.
    assert_codes("before", &asking.codes(), &BEFORE);
    assert_eq!(asking.init_producer_id(), ErrorCode::NotCoordinator);
    asking.find_coordinators();
    assert_codes("unknown", &asking.codes(), &UNKNOWN);
    let mut asking = Asking { group: "", transactional_id: "", ..asking };
    assert_eq!(asking.init_producer_id(), ErrorCode::InvalidRequest);
    let mut codes = asking.codes();
    let mut expected = EMPTY.to_vec();
    if broker.is_none() {
        // Kafka fails at it: UNKNOWN_SERVER_ERROR.
        codes.retain(|(api, _)| *api != "DescribeShareGroupOffsets");
        expected.retain(|(api, _)| *api != "DescribeShareGroupOffsets");
    }
    assert_codes("empty", &codes, &expected);
}
