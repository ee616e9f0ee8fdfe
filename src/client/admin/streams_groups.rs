//! Streams groups: what they run, and who runs it (KIP-1071). Their offsets are those of any group.

use super::Admin;
use crate::client::{ApiError, ClientError, Node};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{
    StreamsGroupDescribeRequest, StreamsGroupDescribeResponse, streams_group_describe_response,
};

/// Tasks of a member, by subtopology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamsTasks {
    /// Those that it processes.
    pub active: Vec<(String, Vec<i32>)>,
    /// Those whose state it keeps a copy of.
    pub standby: Vec<(String, Vec<i32>)>,
    /// Those whose state it is building up.
    pub warmup: Vec<(String, Vec<i32>)>,
}

/// A member of a streams group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsMember {
    /// Its id.
    pub member_id: String,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it is, as the coordinator writes it: `/127.0.0.1`.
    pub client_host: String,
    /// The process that it belongs to.
    pub process_id: String,
    /// The epoch that it has reached.
    pub member_epoch: i32,
    /// Whether it speaks the classic protocol.
    pub is_classic: bool,
    /// What it does.
    pub tasks: StreamsTasks,
    /// What it is to do.
    pub target: StreamsTasks,
}

/// A part of what a streams group runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtopology {
    /// Its id.
    pub id: String,
    /// Topics that it reads, which others write.
    pub source_topics: Vec<String>,
    /// Topics that it reads, which the group itself writes.
    pub repartition_source_topics: Vec<String>,
    /// Topics that keep its state.
    pub changelog_topics: Vec<String>,
}

/// A streams group, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsGroupDescription {
    /// Its id.
    pub group_id: String,
    /// Its state in Kafka's words.
    pub state: String,
    /// The broker that coordinates it.
    pub coordinator: Option<Node>,
    /// Counts its changes.
    pub group_epoch: i32,
    /// The epoch of the assignment.
    pub assignment_epoch: i32,
    /// Counts the changes of what it runs; -1 while it runs nothing.
    pub topology_epoch: i32,
    /// What it runs.
    pub subtopologies: Vec<Subtopology>,
    /// Its members.
    pub members: Vec<StreamsMember>,
}

impl Admin {
    /// Describes a streams group.
    ///
    /// # Errors
    /// There is none of this id, or its coordinator does not answer.
    pub async fn describe_streams_group(&self, group: &str) -> Result<StreamsGroupDescription, ClientError> {
        let coordinator = self.coordinator_node(group).await?;
        let request = StreamsGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
        let code = |response: &StreamsGroupDescribeResponse| {
            response.groups.first().map(|group| ErrorCode::from_code(group.error_code))
        };
        let response = self.call_coordinator(group, |_| request.clone(), code).await?;
        let Some(described) = response.groups.into_iter().next() else {
            return Err(ApiError::from(ErrorCode::GroupIdNotFound).into());
        };
        ApiError::check(described.error_code, described.error_message)?;
        let (topology_epoch, subtopologies) = match described.topology {
            Some(topology) => (topology.epoch, topology.subtopologies.unwrap_or_default()),
            None => (-1, Vec::new()),
        };
        Ok(StreamsGroupDescription {
            group_id: described.group_id,
            state: described.group_state,
            coordinator,
            group_epoch: described.group_epoch,
            assignment_epoch: described.assignment_epoch,
            topology_epoch,
            subtopologies: subtopologies.into_iter().map(subtopology).collect(),
            members: described.members.into_iter().map(member).collect(),
        })
    }
}

fn subtopology(subtopology: streams_group_describe_response::Subtopology) -> Subtopology {
    let names =
        |topics: Vec<streams_group_describe_response::TopicInfo>| topics.into_iter().map(|topic| topic.name).collect();
    Subtopology {
        id: subtopology.subtopology_id,
        source_topics: subtopology.source_topics,
        repartition_source_topics: names(subtopology.repartition_source_topics),
        changelog_topics: names(subtopology.state_changelog_topics),
    }
}

fn member(member: streams_group_describe_response::Member) -> StreamsMember {
    StreamsMember {
        member_id: member.member_id,
        client_id: member.client_id,
        client_host: member.client_host,
        process_id: member.process_id,
        member_epoch: member.member_epoch,
        is_classic: member.is_classic,
        tasks: tasks(member.assignment),
        target: tasks(member.target_assignment),
    }
}

fn tasks(assignment: streams_group_describe_response::Assignment) -> StreamsTasks {
    let list = |tasks: Vec<streams_group_describe_response::TaskIds>| {
        tasks.into_iter().map(|task| (task.subtopology_id, task.partitions)).collect()
    };
    StreamsTasks {
        active: list(assignment.active_tasks),
        standby: list(assignment.standby_tasks),
        warmup: list(assignment.warmup_tasks),
    }
}
