//! Groups: list, describe, delete, their offsets and their members.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use super::reassignments::grouped;
use super::{Admin, call, checked};
use crate::client::cluster::{AutoCreate, Lane, TopicScope};
use crate::client::{ApiError, ClientError, ClientOptions, Node};
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use crate::protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use crate::protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use crate::protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, DeleteGroupsRequest, DescribeGroupsRequest,
    LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetFetchRequest, OffsetFetchResponse, consumer_group_describe_response, describe_groups_response,
};
use crate::protocol::{ApiKey, ErrorCode, Message};
use crate::types::{LeaderEpoch, NodeId, Offset, TopicPartition};

/// OffsetCommit and OffsetFetch name topics up to here, and speak of ids from the next version on (KIP-848). Names are
/// what callers have.
pub(in crate::client) const LAST_OFFSETS_VERSION_WITH_NAMES: i16 = 9;

/// How the members of a group share their work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupType {
    /// By the protocol in which members assign (JoinGroup, SyncGroup).
    Classic,
    /// By the protocol of KIP-848, in which the coordinator assigns partitions.
    Consumer,
    /// By that of KIP-932, in which members share partitions.
    Share,
    /// By that of KIP-1071, in which the coordinator assigns tasks.
    Streams,
}

impl GroupType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Classic, Self::Consumer, Self::Share, Self::Streams];

    /// Its name as Kafka's tools print it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic => "Classic",
            Self::Consumer => "Consumer",
            Self::Share => "Share",
            Self::Streams => "Streams",
        }
    }

    /// The type of this name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group_type| group_type.name().eq_ignore_ascii_case(name))
    }
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub group_id: String,
    /// `consumer` for groups of consumers; empty for offsets without members.
    pub protocol_type: String,
    /// Its state in Kafka's words, if the broker tells (2.6 and newer).
    pub state: String,
    /// `classic`, `consumer`, `share` or `streams`, if the broker tells (3.8 and newer).
    pub group_type: String,
    /// The broker that coordinates it.
    pub coordinator: NodeId,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// The id that the coordinator gave it.
    pub member_id: String,
    /// The id that it gave itself, if any.
    pub group_instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it is, as the coordinator writes it: `/127.0.0.1`.
    pub client_host: String,
    /// The partitions that it has.
    pub assignment: Vec<TopicPartition>,
    /// The partitions that it is to have, in groups whose coordinator assigns.
    pub target_assignment: Option<Vec<TopicPartition>>,
    /// The epoch that it has reached, in groups whose coordinator assigns.
    pub member_epoch: Option<i32>,
    /// Whether it speaks the protocol in which the coordinator assigns; `None` if not told (before 4.0).
    pub upgraded: Option<bool>,
}

/// A group, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group_id: String,
    /// `classic` or `consumer`.
    pub group_type: String,
    /// Its state in Kafka's words.
    pub state: String,
    /// `consumer` for groups of consumers.
    pub protocol_type: String,
    /// The assignor in use.
    pub assignor: String,
    /// The broker that coordinates it.
    pub coordinator: Option<Node>,
    /// Its members.
    pub members: Vec<DescribedMember>,
    /// Counts its changes, in groups whose coordinator assigns.
    pub group_epoch: Option<i32>,
    /// The epoch of the assignment, in groups whose coordinator assigns.
    pub assignment_epoch: Option<i32>,
    /// Bits of what the caller may do with it, if told.
    pub authorized_operations: i32,
}

/// An offset that a group has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    /// The next record to read.
    pub offset: Offset,
    /// Epoch of the leader of the last record read, -1 if not known.
    pub leader_epoch: LeaderEpoch,
    /// What the consumer noted with it.
    pub metadata: String,
}

impl GroupOffset {
    /// An offset without more.
    #[must_use]
    pub const fn new(offset: Offset) -> Self {
        Self { offset, leader_epoch: LeaderEpoch::NONE, metadata: String::new() }
    }
}

/// A member to remove from a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovedMember {
    /// By the id that it gave itself.
    Instance(String),
    /// By the id that the coordinator gave it.
    Member(String),
}

/// On whose behalf offsets are committed or fetched. The default: nobody's, as tools and consumers without a group do.
#[derive(Debug, Clone)]
pub(in crate::client) struct Membership<'a> {
    pub(in crate::client) group: &'a str,
    pub(in crate::client) generation: i32,
    pub(in crate::client) member_id: &'a str,
    pub(in crate::client) instance_id: Option<&'a str>,
}

impl<'a> Membership<'a> {
    pub(in crate::client) const fn none(group: &'a str) -> Self {
        Self { group, generation: -1, member_id: "", instance_id: None }
    }
}

/// The request that commits offsets.
pub(in crate::client) fn commit_request(
    membership: &Membership<'_>,
    offsets: &[(TopicPartition, GroupOffset)],
) -> OffsetCommitRequest {
    let topics = grouped(offsets.iter().map(|(partition, offset)| (partition, offset)));
    OffsetCommitRequest {
        group_id: membership.group.to_owned(),
        generation_id_or_member_epoch: membership.generation,
        member_id: membership.member_id.to_owned(),
        group_instance_id: membership.instance_id.map(str::to_owned),
        topics: topics
            .into_iter()
            .map(|(name, partitions)| OffsetCommitRequestTopic {
                name,
                partitions: partitions
                    .into_iter()
                    .map(|(partition_index, offset)| OffsetCommitRequestPartition {
                        partition_index,
                        committed_offset: offset.offset.get(),
                        committed_leader_epoch: offset.leader_epoch.get(),
                        committed_metadata: Some(offset.metadata.clone()),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

/// What came of a commit, partition by partition.
pub(in crate::client) fn commit_results(
    response: OffsetCommitResponse,
) -> BTreeMap<TopicPartition, Result<(), ApiError>> {
    let mut results = BTreeMap::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            results.insert(key, ApiError::check(partition.error_code, None));
        }
    }
    results
}

/// The request for a group's offsets: of some partitions, or (`None`) all that there are. `member`: who asks, with its
/// epoch, in groups whose coordinator assigns.
pub(in crate::client) fn fetch_request(
    group: &str,
    partitions: Option<&[TopicPartition]>,
    require_stable: bool,
    member: Option<(String, i32)>,
    version: i16,
) -> OffsetFetchRequest {
    let topics = partitions.map(|partitions| grouped(partitions.iter().map(|partition| (partition, ()))));
    let indexes = |partitions: Vec<(i32, ())>| partitions.into_iter().map(|(index, ())| index).collect();
    let mut request = OffsetFetchRequest { require_stable: require_stable && version >= 7, ..Default::default() };
    if version >= 8 {
        let topics = topics.map(|topics| {
            let topic = |(name, partitions)| OffsetFetchRequestTopics {
                name,
                partition_indexes: indexes(partitions),
                ..Default::default()
            };
            topics.into_iter().map(topic).collect()
        });
        // Member id and epoch (v9) are for groups whose coordinator assigns (KIP-848).
        let (member_id, member_epoch) = member.map_or((None, -1), |(id, epoch)| (Some(id), epoch));
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            member_id,
            member_epoch,
            topics,
            ..Default::default()
        }];
    } else {
        request.group_id = group.to_owned();
        request.topics = topics.map(|topics| {
            let topic = |(name, partitions)| OffsetFetchRequestTopic {
                name,
                partition_indexes: indexes(partitions),
                ..Default::default()
            };
            topics.into_iter().map(topic).collect()
        });
    }
    request
}

/// The error of an OffsetFetch response as a whole.
pub(in crate::client) fn fetch_error(response: &OffsetFetchResponse) -> ErrorCode {
    let of_group = response.groups.first().map_or(0, |group| group.error_code);
    ErrorCode::from_code(if of_group != 0 { of_group } else { response.error_code })
}

/// What a group has committed; partitions without an offset are left out.
pub(in crate::client) fn fetch_results(
    response: OffsetFetchResponse,
) -> BTreeMap<TopicPartition, Result<GroupOffset, ApiError>> {
    let mut results = BTreeMap::new();
    let mut take = |topic: &str, partition: i32, code: i16, offset: i64, epoch: i32, metadata: Option<String>| {
        if code == 0 && offset < 0 {
            return;
        }
        let committed = checked(code, None, || GroupOffset {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(epoch),
            metadata: metadata.unwrap_or_default(),
        });
        results.insert(TopicPartition::new(topic, partition), committed);
    };
    for topic in response.topics {
        for p in topic.partitions {
            let epoch = p.committed_leader_epoch;
            take(&topic.name, p.partition_index, p.error_code, p.committed_offset, epoch, p.metadata);
        }
    }
    for topic in response.groups.into_iter().flat_map(|group| group.topics) {
        for p in topic.partitions {
            let epoch = p.committed_leader_epoch;
            take(&topic.name, p.partition_index, p.error_code, p.committed_offset, epoch, p.metadata);
        }
    }
    results
}

impl Admin {
    /// All groups, each broker asked for its own. `states` and `types` limit the list, where brokers know how.
    ///
    /// # Errors
    /// A broker does not answer.
    pub async fn list_groups(&self, states: &[String], types: &[String]) -> Result<Vec<GroupListing>, ClientError> {
        let deadline = self.cluster.api_deadline();
        let metadata = self.cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await?;
        let mut groups = Vec::new();
        let mut seen = HashSet::new();
        for node in metadata.nodes.keys() {
            let connection = self.cluster.node(*node, Lane::General, deadline).await?;
            let build = |version: i16| ListGroupsRequest {
                states_filter: if version >= 4 { states.to_vec() } else { Vec::new() },
                types_filter: if version >= 5 { types.to_vec() } else { Vec::new() },
                ..Default::default()
            };
            let mut backoff = self.cluster.retry_backoff();
            let response = loop {
                let response = call(&connection, build).await?;
                match ApiError::check(response.error_code, None).map_err(ClientError::from) {
                    Ok(()) => break response,
                    // A coordinator that is still loading.
                    Err(error) => self.cluster.pause(error, &mut backoff, deadline).await?,
                }
            };
            for group in response.groups {
                // A group that moves while brokers are asked one after the other is told twice.
                if seen.insert(group.group_id.clone()) {
                    groups.push(GroupListing {
                        group_id: group.group_id,
                        protocol_type: group.protocol_type,
                        state: group.group_state,
                        group_type: group.group_type,
                        coordinator: *node,
                    });
                }
            }
        }
        groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        Ok(groups)
    }

    /// Describes a group. One that does not exist is an error, or a group in state `Dead` with older brokers.
    ///
    /// # Errors
    /// Its coordinator does not answer, or refuses.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        let coordinator = self.coordinator_node(group).await?;
        if self
            .cluster
            .any(self.cluster.api_deadline())
            .await?
            .api_versions()
            .get(ApiKey::ConsumerGroupDescribe)
            .is_some()
        {
            match self.describe_consumer_group(group, coordinator.clone()).await {
                // Of another type, or of none.
                Err(ClientError::Api(ApiError {
                    code: ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion | ErrorCode::InvalidRequest,
                    ..
                }))
                | Err(ClientError::UnsupportedVersion { .. }) => {}
                described => return described,
            }
        }
        let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
        let refused = |code: Option<i16>| code.map(ErrorCode::from_code);
        let response = self
            .call_coordinator(group, |_| request.clone(), |r| refused(r.groups.first().map(|group| group.error_code)))
            .await?;
        let Some(described) = response.groups.into_iter().next() else {
            return Err(ApiError::from(ErrorCode::GroupIdNotFound).into());
        };
        ApiError::check(described.error_code, described.error_message.clone())?;
        Ok(GroupDescription {
            group_id: described.group_id,
            group_type: "classic".to_owned(),
            state: described.group_state,
            protocol_type: described.protocol_type,
            assignor: described.protocol_data,
            coordinator,
            members: described.members.into_iter().map(classic_member).collect(),
            group_epoch: None,
            assignment_epoch: None,
            authorized_operations: described.authorized_operations,
        })
    }

    async fn describe_consumer_group(
        &self,
        group: &str,
        coordinator: Option<Node>,
    ) -> Result<GroupDescription, ClientError> {
        let request = ConsumerGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
        let refused = |code: Option<i16>| code.map(ErrorCode::from_code);
        let response = self
            .call_coordinator(group, |_| request.clone(), |r| refused(r.groups.first().map(|group| group.error_code)))
            .await?;
        let Some(described) = response.groups.into_iter().next() else {
            return Err(ApiError::from(ErrorCode::GroupIdNotFound).into());
        };
        ApiError::check(described.error_code, described.error_message.clone())?;
        Ok(GroupDescription {
            group_id: described.group_id,
            group_type: "consumer".to_owned(),
            state: described.group_state,
            protocol_type: "consumer".to_owned(),
            assignor: described.assignor_name,
            coordinator,
            members: described.members.into_iter().map(consumer_member).collect(),
            group_epoch: Some(described.group_epoch),
            assignment_epoch: Some(described.assignment_epoch),
            authorized_operations: described.authorized_operations,
        })
    }

    pub(super) async fn coordinator_node(&self, group: &str) -> Result<Option<Node>, ClientError> {
        let deadline = self.cluster.api_deadline();
        let mut backoff = self.cluster.retry_backoff();
        let address = loop {
            match super::find_coordinator(&self.cluster, group, Lane::General, deadline).await {
                Ok(connection) => break connection.address().clone(),
                Err(error) if self.gives_up_at_once(&error) => return Err(error),
                Err(error) => self.cluster.pause(error, &mut backoff, deadline).await?,
            }
        };
        let metadata = self.cluster.refresh(&TopicScope::Brokers, AutoCreate::Never, deadline).await?;
        Ok(metadata.nodes.values().find(|node| node.address == address).cloned())
    }

    /// Deletes groups without members, with their offsets.
    ///
    /// # Errors
    /// A coordinator does not answer.
    pub async fn delete_groups(&self, groups: &[String]) -> Result<Vec<(String, Result<(), ApiError>)>, ClientError> {
        let mut results = Vec::new();
        for group in groups {
            let request = DeleteGroupsRequest { groups_names: vec![group.clone()], ..Default::default() };
            let code = |response: &crate::protocol::messages::DeleteGroupsResponse| {
                response.results.first().map(|result| ErrorCode::from_code(result.error_code))
            };
            let response = self.call_coordinator(group, |_| request.clone(), code).await?;
            let code = code(&response).unwrap_or(ErrorCode::GroupIdNotFound);
            results.push((group.clone(), ApiError::check(code.code(), None)));
        }
        Ok(results)
    }

    /// The offsets that a group has committed: of some partitions, or (`None`) all of them. Partitions without one are
    /// left out.
    ///
    /// # Errors
    /// The coordinator does not answer, or refuses.
    pub async fn group_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, Result<GroupOffset, ApiError>>, ClientError> {
        let build = |version| fetch_request(group, partitions, false, None, version);
        let response = self
            .call_coordinator_up_to(LAST_OFFSETS_VERSION_WITH_NAMES, group, build, |response| {
                Some(fetch_error(response))
            })
            .await?;
        ApiError::check(fetch_error(&response).code(), None)?;
        Ok(fetch_results(response))
    }

    /// Sets offsets of a group that has no members.
    ///
    /// # Errors
    /// The coordinator does not answer.
    pub async fn commit_group_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, GroupOffset)],
    ) -> Result<BTreeMap<TopicPartition, Result<(), ApiError>>, ClientError> {
        let request = commit_request(&Membership::none(group), offsets);
        let refused = |response: &OffsetCommitResponse| {
            let codes =
                response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
            codes.map(ErrorCode::from_code).find(|code| is_about_the_coordinator(*code))
        };
        let response =
            self.call_coordinator_up_to(LAST_OFFSETS_VERSION_WITH_NAMES, group, |_| request.clone(), refused).await?;
        Ok(commit_results(response))
    }

    /// Deletes offsets of a group for topics that no member subscribes to.
    ///
    /// # Errors
    /// The coordinator does not answer, or refuses.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Result<(), ApiError>>, ClientError> {
        let topics = grouped(partitions.iter().map(|partition| (partition, ())));
        let index = |(partition_index, ())| OffsetDeleteRequestPartition { partition_index };
        let request = OffsetDeleteRequest {
            group_id: group.to_owned(),
            topics: topics
                .into_iter()
                .map(|(name, partitions)| OffsetDeleteRequestTopic {
                    name,
                    partitions: partitions.into_iter().map(index).collect(),
                })
                .collect(),
        };
        let refused = |response: &crate::protocol::messages::OffsetDeleteResponse| {
            Some(ErrorCode::from_code(response.error_code))
        };
        let response = self.call_coordinator(group, |_| request.clone(), refused).await?;
        ApiError::check(response.error_code, None)?;
        let mut results = BTreeMap::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                results.insert(key, ApiError::check(partition.error_code, None));
            }
        }
        Ok(results)
    }

    /// Removes members from a group (KIP-345).
    ///
    /// # Errors
    /// The coordinator does not answer, refuses, or is older than 2.4.
    pub async fn remove_group_members(
        &self,
        group: &str,
        members: &[RemovedMember],
        reason: &str,
    ) -> Result<Vec<Result<(), ApiError>>, ClientError> {
        let identity = |member: &RemovedMember| {
            let (member_id, group_instance_id) = match member {
                RemovedMember::Instance(instance) => (String::new(), Some(instance.clone())),
                RemovedMember::Member(member) => (member.clone(), None),
            };
            MemberIdentity { member_id, group_instance_id, reason: Some(reason.to_owned()), ..Default::default() }
        };
        let request = LeaveGroupRequest {
            group_id: group.to_owned(),
            members: members.iter().map(identity).collect(),
            ..Default::default()
        };
        let refused =
            |response: &crate::protocol::messages::LeaveGroupResponse| Some(ErrorCode::from_code(response.error_code));
        let response = self.call_coordinator(group, |_| request.clone(), refused).await?;
        ApiError::check(response.error_code, None)?;
        Ok(response.members.into_iter().map(|member| ApiError::check(member.error_code, None)).collect())
    }

    /// Options of the connections in use.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        self.cluster.options()
    }
}

/// Errors that concern the whole request although they stand beside each partition.
pub(in crate::client) fn is_about_the_coordinator(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator
    )
}

/// The partitions in an assignment of the classic consumer protocol; none if it can't be read.
pub(in crate::client) fn read_assignment(bytes: &Bytes) -> Vec<TopicPartition> {
    let Some((version, body)) = bytes.split_first_chunk::<2>() else {
        return Vec::new();
    };
    // Newer versions only add fields at the end, so the newest known one reads their beginning.
    let version = i16::from_be_bytes(*version).min(ConsumerProtocolAssignment::VERSIONS.max);
    let body = bytes.slice_ref(body);
    let mut reader = crate::protocol::Reader::new(&body);
    let Ok(assignment) = ConsumerProtocolAssignment::decode(&mut reader, version) else {
        return Vec::new();
    };
    assignment
        .assigned_partitions
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| TopicPartition::new(topic.topic.as_str(), *partition))
        })
        .collect()
}

fn classic_member(member: describe_groups_response::DescribedGroupMember) -> DescribedMember {
    DescribedMember {
        assignment: read_assignment(&member.member_assignment),
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        target_assignment: None,
        member_epoch: None,
        upgraded: None,
    }
}

fn consumer_member(member: consumer_group_describe_response::Member) -> DescribedMember {
    let partitions = |assignment: consumer_group_describe_response::Assignment| {
        let topics = assignment.topic_partitions.into_iter();
        topics
            .flat_map(|topic| {
                let partitions = topic.partitions.into_iter();
                partitions.map(move |partition| TopicPartition::new(topic.topic_name.as_str(), partition))
            })
            .collect()
    };
    DescribedMember {
        assignment: partitions(member.assignment),
        target_assignment: Some(partitions(member.target_assignment)),
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        member_epoch: Some(member.member_epoch),
        upgraded: match member.member_type {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}
