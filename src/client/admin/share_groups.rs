//! Share groups: describe them, and read, set and delete where they are in topics (KIP-932).

use std::collections::BTreeMap;

use super::reassignments::grouped;
use super::{Admin, checked};
use crate::client::{ApiError, ClientError, Node};
use crate::protocol::ErrorCode;
use crate::protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use crate::protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use crate::protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use crate::protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse, DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse,
    ShareGroupDescribeRequest, ShareGroupDescribeResponse, share_group_describe_response,
};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// A member of a share group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareMember {
    /// Its id.
    pub member_id: String,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it is, as the coordinator writes it: `/127.0.0.1`.
    pub client_host: String,
    /// The epoch that it has reached.
    pub member_epoch: i32,
    /// The partitions that it reads.
    pub assignment: Vec<TopicPartition>,
}

/// A share group, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareGroupDescription {
    /// Its id.
    pub group_id: String,
    /// Its state in Kafka's words.
    pub state: String,
    /// The assignor in use.
    pub assignor: String,
    /// The broker that coordinates it.
    pub coordinator: Option<Node>,
    /// Its members.
    pub members: Vec<ShareMember>,
    /// Counts its changes.
    pub group_epoch: i32,
    /// The epoch of the assignment.
    pub assignment_epoch: i32,
}

/// Where a share group is in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareOffset {
    /// The first record that is not done with; `None` if the group has read nothing there.
    pub start: Option<Offset>,
    /// Epoch of the leader that wrote it; -1 if not known.
    pub leader_epoch: LeaderEpoch,
    /// How many records are not done with, if told (4.2 and newer).
    pub lag: Option<i64>,
}

impl Admin {
    /// Describes a share group.
    ///
    /// # Errors
    /// There is none of this id, or its coordinator does not answer.
    pub async fn describe_share_group(&self, group: &str) -> Result<ShareGroupDescription, ClientError> {
        let coordinator = self.coordinator_node(group).await?;
        let request = ShareGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
        let code = |response: &ShareGroupDescribeResponse| {
            response.groups.first().map(|group| ErrorCode::from_code(group.error_code))
        };
        let response = self.call_coordinator(group, |_| request.clone(), code).await?;
        let Some(described) = response.groups.into_iter().next() else {
            return Err(ApiError::from(ErrorCode::GroupIdNotFound).into());
        };
        ApiError::check(described.error_code, described.error_message)?;
        Ok(ShareGroupDescription {
            group_id: described.group_id,
            state: described.group_state,
            assignor: described.assignor_name,
            coordinator,
            members: described.members.into_iter().map(member).collect(),
            group_epoch: described.group_epoch,
            assignment_epoch: described.assignment_epoch,
        })
    }

    /// Where a share group is, in all partitions that it has read or begun to.
    ///
    /// # Errors
    /// The coordinator does not answer, or refuses.
    pub async fn share_group_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, Result<ShareOffset, ApiError>>, ClientError> {
        let wanted = DescribeShareGroupOffsetsRequestGroup { group_id: group.to_owned(), ..Default::default() };
        // No topics: all of them.
        let wanted = DescribeShareGroupOffsetsRequestGroup { topics: None, ..wanted };
        let request = DescribeShareGroupOffsetsRequest { groups: vec![wanted], ..Default::default() };
        let code = |response: &DescribeShareGroupOffsetsResponse| {
            response.groups.first().map(|group| ErrorCode::from_code(group.error_code))
        };
        let response = self.call_coordinator(group, |_| request.clone(), code).await?;
        let mut offsets = BTreeMap::new();
        for group in response.groups {
            ApiError::check(group.error_code, group.error_message)?;
            for topic in group.topics {
                for partition in topic.partitions {
                    let key = TopicPartition::new(topic.topic_name.as_str(), partition.partition_index);
                    let offset = checked(partition.error_code, partition.error_message, || ShareOffset {
                        start: (partition.start_offset >= 0).then_some(Offset(partition.start_offset)),
                        leader_epoch: LeaderEpoch(partition.leader_epoch),
                        lag: (partition.lag >= 0).then_some(partition.lag),
                    });
                    offsets.insert(key, offset);
                }
            }
        }
        Ok(offsets)
    }

    /// Sets where a share group without members goes on.
    ///
    /// # Errors
    /// The coordinator does not answer, or refuses.
    pub async fn alter_share_group_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<BTreeMap<TopicPartition, Result<(), ApiError>>, ClientError> {
        let partition = |(partition_index, offset): (i32, Offset)| AlterShareGroupOffsetsRequestPartition {
            partition_index,
            start_offset: offset.get(),
            ..Default::default()
        };
        let topics = grouped(offsets.iter().map(|(partition, offset)| (partition, *offset)));
        let request = AlterShareGroupOffsetsRequest {
            group_id: group.to_owned(),
            topics: topics
                .into_iter()
                .map(|(topic_name, partitions)| AlterShareGroupOffsetsRequestTopic {
                    topic_name,
                    partitions: partitions.into_iter().map(partition).collect(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let code = |response: &AlterShareGroupOffsetsResponse| Some(ErrorCode::from_code(response.error_code));
        let response = self.call_coordinator(group, |_| request.clone(), code).await?;
        ApiError::check(response.error_code, response.error_message)?;
        let mut results = BTreeMap::new();
        for topic in response.responses {
            for partition in topic.partitions {
                let key = TopicPartition::new(topic.topic_name.as_str(), partition.partition_index);
                results.insert(key, ApiError::check(partition.error_code, partition.error_message));
            }
        }
        Ok(results)
    }

    /// Has a share group without members forget where it is in topics.
    ///
    /// # Errors
    /// The coordinator does not answer, or refuses.
    pub async fn delete_share_group_offsets(
        &self,
        group: &str,
        topics: &[String],
    ) -> Result<BTreeMap<String, Result<(), ApiError>>, ClientError> {
        let topic =
            |name: &String| DeleteShareGroupOffsetsRequestTopic { topic_name: name.clone(), ..Default::default() };
        let request = DeleteShareGroupOffsetsRequest {
            group_id: group.to_owned(),
            topics: topics.iter().map(topic).collect(),
            ..Default::default()
        };
        let code = |response: &DeleteShareGroupOffsetsResponse| Some(ErrorCode::from_code(response.error_code));
        let response = self.call_coordinator(group, |_| request.clone(), code).await?;
        ApiError::check(response.error_code, response.error_message)?;
        let result = |topic: crate::protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic| {
            (topic.topic_name, ApiError::check(topic.error_code, topic.error_message))
        };
        Ok(response.responses.into_iter().map(result).collect())
    }
}

fn member(member: share_group_describe_response::Member) -> ShareMember {
    let topics = member.assignment.topic_partitions.into_iter();
    let assignment = topics.flat_map(|topic| {
        let partitions = topic.partitions.into_iter();
        partitions.map(move |partition| TopicPartition::new(topic.topic_name.as_str(), partition))
    });
    ShareMember {
        assignment: assignment.collect(),
        member_id: member.member_id,
        client_id: member.client_id,
        client_host: member.client_host,
        member_epoch: member.member_epoch,
    }
}
