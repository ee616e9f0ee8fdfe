//! The records of streams groups in `__consumer_offsets`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::member::StreamsMember;
use super::tasks::{TaskSet, Tasks};
use super::topology::topology_value;
use crate::broker::coordinator::Record;
use crate::broker::coordinator::records::{read_if_there, record};
use crate::protocol::messages::streams_group_heartbeat_request as request;
use crate::protocol::messages::streams_group_metadata_value::LastAssignmentConfig;
use crate::protocol::messages::streams_group_target_assignment_member_value::TaskIds;
use crate::protocol::messages::{
    StreamsGroupCurrentMemberAssignmentKey, StreamsGroupCurrentMemberAssignmentValue, StreamsGroupMemberMetadataKey,
    StreamsGroupMemberMetadataValue, StreamsGroupMetadataKey, StreamsGroupMetadataValue,
    StreamsGroupTargetAssignmentMemberKey, StreamsGroupTargetAssignmentMemberValue,
    StreamsGroupTargetAssignmentMetadataKey, StreamsGroupTargetAssignmentMetadataValue, StreamsGroupTopologyKey,
    StreamsGroupTopologyValue,
};
use crate::protocol::{DecodeError, Message, Reader};

/// The version in which Kafka 4.3 writes all of these values.
const VERSION: i16 = 0;

/// A change of a streams group; without a value something is gone.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::broker::groups) enum Change {
    /// The group's epoch and what it was raised for; the group itself.
    Group(Option<StreamsGroupMetadataValue>),
    /// What the application is made of.
    Topology(Option<Box<StreamsGroupTopologyValue>>),
    /// What a member says of itself.
    Member { id: String, value: Option<Box<StreamsGroupMemberMetadataValue>> },
    /// The epoch of the target assignment.
    TargetEpoch(Option<StreamsGroupTargetAssignmentMetadataValue>),
    /// What a member is to have in the end.
    Target { id: String, value: Option<StreamsGroupTargetAssignmentMemberValue> },
    /// What a member has.
    Current { id: String, value: Option<Box<StreamsGroupCurrentMemberAssignmentValue>> },
}

impl Change {
    /// Whether something is gone.
    pub(in crate::broker::groups) fn is_tombstone(&self) -> bool {
        match self {
            Self::Group(value) => value.is_none(),
            Self::Topology(value) => value.is_none(),
            Self::Member { value, .. } => value.is_none(),
            Self::TargetEpoch(value) => value.is_none(),
            Self::Target { value, .. } => value.is_none(),
            Self::Current { value, .. } => value.is_none(),
        }
    }

    pub(super) fn group(
        epoch: i32,
        metadata_hash: i64,
        validated_topology_epoch: i32,
        configs: &BTreeMap<String, String>,
    ) -> Self {
        let config = |(key, value): (&String, &String)| LastAssignmentConfig {
            key: key.clone(),
            value: value.clone(),
            ..Default::default()
        };
        Self::Group(Some(StreamsGroupMetadataValue {
            epoch,
            metadata_hash,
            validated_topology_epoch,
            last_assignment_configs: Some(configs.iter().map(config).collect()),
            ..Default::default()
        }))
    }

    pub(super) fn member(member: &StreamsMember) -> Self {
        Self::Member { id: member.id.clone(), value: Some(Box::new(member.metadata())) }
    }

    pub(super) fn current(member: &StreamsMember) -> Self {
        Self::Current { id: member.id.clone(), value: Some(Box::new(member.current())) }
    }

    pub(super) fn target(member: &str, tasks: &TaskSet) -> Self {
        let value = StreamsGroupTargetAssignmentMemberValue {
            active_tasks: ids(&tasks.active),
            standby_tasks: ids(&tasks.standby),
            warmup_tasks: ids(&tasks.warmup),
            ..Default::default()
        };
        Self::Target { id: member.to_owned(), value: Some(value) }
    }

    pub(super) fn target_epoch(assignment_epoch: i32, assignment_timestamp: i64) -> Self {
        Self::TargetEpoch(Some(StreamsGroupTargetAssignmentMetadataValue {
            assignment_epoch,
            assignment_timestamp,
            ..Default::default()
        }))
    }

    /// A member is gone, in the order in which Kafka takes it back.
    pub(super) fn member_gone(id: &str) -> [Self; 3] {
        let id = || id.to_owned();
        [
            Self::Current { id: id(), value: None },
            Self::Target { id: id(), value: None },
            Self::Member { id: id(), value: None },
        ]
    }
}

/// What a member is to have, as the log says.
pub(super) fn target_tasks(value: StreamsGroupTargetAssignmentMemberValue) -> TaskSet {
    let tasks = |ids: Vec<TaskIds>| {
        ids.into_iter().map(|ids| (ids.subtopology_id, ids.partitions.into_iter().collect())).collect()
    };
    TaskSet {
        active: tasks(value.active_tasks),
        standby: tasks(value.standby_tasks),
        warmup: tasks(value.warmup_tasks),
    }
}

fn ids(tasks: &Tasks) -> Vec<TaskIds> {
    let ids = |(id, tasks): (&String, &BTreeSet<i32>)| TaskIds {
        subtopology_id: id.clone(),
        partitions: tasks.iter().copied().collect(),
        ..Default::default()
    };
    tasks.iter().map(ids).collect()
}

/// The record of a topology that a member brings.
pub(in crate::broker::groups) fn topology_record(group: &str, topology: &request::Topology) -> Record {
    streams_record(group, &Change::Topology(Some(Box::new(topology_value(topology)))))
}

/// The record of a change.
pub(in crate::broker::groups) fn streams_record(group: &str, change: &Change) -> Record {
    let group_id = group.to_owned();
    match change {
        Change::Group(value) => record(&StreamsGroupMetadataKey { group_id }, value.as_ref(), VERSION),
        Change::Topology(value) => record(&StreamsGroupTopologyKey { group_id }, value.as_deref(), VERSION),
        Change::TargetEpoch(value) => {
            record(&StreamsGroupTargetAssignmentMetadataKey { group_id }, value.as_ref(), VERSION)
        }
        Change::Member { id, value } => {
            record(&StreamsGroupMemberMetadataKey { group_id, member_id: id.clone() }, value.as_deref(), VERSION)
        }
        Change::Target { id, value } => {
            record(&StreamsGroupTargetAssignmentMemberKey { group_id, member_id: id.clone() }, value.as_ref(), VERSION)
        }
        Change::Current { id, value } => record(
            &StreamsGroupCurrentMemberAssignmentKey { group_id, member_id: id.clone() },
            value.as_deref(),
            VERSION,
        ),
    }
}

/// Reads a record: the group and what changed in it; `None` if it is of another kind.
///
/// # Errors
/// The kind is known, the bytes are not of it.
pub(in crate::broker::groups) fn read_change(
    kind: i16,
    key: &mut Reader<'_>,
    value: Option<&Bytes>,
) -> Result<Option<(String, Change)>, DecodeError> {
    Ok(Some(match kind {
        StreamsGroupMetadataKey::KEY => {
            let key = StreamsGroupMetadataKey::decode(key, 0)?;
            (key.group_id, Change::Group(read_if_there(value)?))
        }
        StreamsGroupTopologyKey::KEY => {
            let key = StreamsGroupTopologyKey::decode(key, 0)?;
            (key.group_id, Change::Topology(read_if_there(value)?.map(Box::new)))
        }
        StreamsGroupTargetAssignmentMetadataKey::KEY => {
            let key = StreamsGroupTargetAssignmentMetadataKey::decode(key, 0)?;
            (key.group_id, Change::TargetEpoch(read_if_there(value)?))
        }
        StreamsGroupMemberMetadataKey::KEY => {
            let key = StreamsGroupMemberMetadataKey::decode(key, 0)?;
            let value = read_if_there(value)?.map(Box::new);
            (key.group_id, Change::Member { id: key.member_id, value })
        }
        StreamsGroupTargetAssignmentMemberKey::KEY => {
            let key = StreamsGroupTargetAssignmentMemberKey::decode(key, 0)?;
            (key.group_id, Change::Target { id: key.member_id, value: read_if_there(value)? })
        }
        StreamsGroupCurrentMemberAssignmentKey::KEY => {
            let key = StreamsGroupCurrentMemberAssignmentKey::decode(key, 0)?;
            let value = read_if_there(value)?.map(Box::new);
            (key.group_id, Change::Current { id: key.member_id, value })
        }
        _ => return Ok(None),
    }))
}
