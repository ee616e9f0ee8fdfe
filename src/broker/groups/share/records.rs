//! The records of share groups in `__consumer_offsets`.

use bytes::Bytes;

use super::group::ShareMember;
use super::states::StateTopics;
use crate::broker::coordinator::Record;
use crate::broker::coordinator::records::{read_if_there, record};
use crate::broker::groups::modern::Assignment;
use crate::protocol::messages::share_group_current_member_assignment_value::TopicPartitions;
use crate::protocol::messages::share_group_target_assignment_member_value::TopicPartition;
use crate::protocol::messages::{
    ShareGroupCurrentMemberAssignmentKey, ShareGroupCurrentMemberAssignmentValue, ShareGroupMemberMetadataKey,
    ShareGroupMemberMetadataValue, ShareGroupMetadataKey, ShareGroupMetadataValue, ShareGroupStatePartitionMetadataKey,
    ShareGroupStatePartitionMetadataValue, ShareGroupTargetAssignmentMemberKey, ShareGroupTargetAssignmentMemberValue,
    ShareGroupTargetAssignmentMetadataKey, ShareGroupTargetAssignmentMetadataValue,
};
use crate::protocol::{DecodeError, Message, Reader};

/// The version in which Kafka 4.3 writes all of these values.
const VERSION: i16 = 0;

/// A change of a share group; without a value something is gone.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::broker::groups) enum Change {
    /// The group's epoch; the group itself.
    Epoch(Option<ShareGroupMetadataValue>),
    /// What a member says of itself.
    Member { id: String, value: Option<ShareGroupMemberMetadataValue> },
    /// The epoch of the target assignment.
    TargetEpoch(Option<ShareGroupTargetAssignmentMetadataValue>),
    /// What a member is to have in the end.
    Target { id: String, value: Option<ShareGroupTargetAssignmentMemberValue> },
    /// What a member has.
    Current { id: String, value: Option<ShareGroupCurrentMemberAssignmentValue> },
    /// Which partitions' states have begun.
    States(Option<ShareGroupStatePartitionMetadataValue>),
}

impl Change {
    /// Whether something is gone.
    pub(in crate::broker::groups) fn is_tombstone(&self) -> bool {
        match self {
            Self::Epoch(value) => value.is_none(),
            Self::Member { value, .. } => value.is_none(),
            Self::TargetEpoch(value) => value.is_none(),
            Self::Target { value, .. } => value.is_none(),
            Self::Current { value, .. } => value.is_none(),
            Self::States(value) => value.is_none(),
        }
    }

    pub(super) fn epoch(epoch: i32, metadata_hash: i64) -> Self {
        Self::Epoch(Some(ShareGroupMetadataValue { epoch, metadata_hash, ..Default::default() }))
    }

    pub(super) fn target_epoch(assignment_epoch: i32, assignment_timestamp: i64) -> Self {
        Self::TargetEpoch(Some(ShareGroupTargetAssignmentMetadataValue {
            assignment_epoch,
            assignment_timestamp,
            ..Default::default()
        }))
    }

    pub(super) fn member(member: &ShareMember) -> Self {
        let value = ShareGroupMemberMetadataValue {
            rack_id: member.rack_id.clone(),
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            subscribed_topic_names: member.topics.iter().cloned().collect(),
            ..Default::default()
        };
        Self::Member { id: member.id.clone(), value: Some(value) }
    }

    pub(super) fn target(member: &str, assignment: &Assignment) -> Self {
        let topics = assignment.iter().map(|(topic, partitions)| TopicPartition {
            topic_id: *topic,
            partitions: partitions.iter().copied().collect(),
            ..Default::default()
        });
        let value = ShareGroupTargetAssignmentMemberValue { topic_partitions: topics.collect(), ..Default::default() };
        Self::Target { id: member.to_owned(), value: Some(value) }
    }

    pub(super) fn current(member: &ShareMember) -> Self {
        let topics = member.assigned.iter().map(|(topic, partitions)| TopicPartitions {
            topic_id: *topic,
            partitions: partitions.iter().copied().collect(),
            ..Default::default()
        });
        let value = ShareGroupCurrentMemberAssignmentValue {
            member_epoch: member.epoch,
            previous_member_epoch: member.previous_epoch,
            assigned_partitions: topics.collect(),
            ..Default::default()
        };
        Self::Current { id: member.id.clone(), value: Some(value) }
    }

    pub(super) fn states(states: &StateTopics) -> Self {
        Self::States(Some(states.to_value()))
    }

    /// The changes by which a member is gone, in their order.
    pub(super) fn member_gone(id: &str) -> [Self; 3] {
        [
            Self::Current { id: id.to_owned(), value: None },
            Self::Target { id: id.to_owned(), value: None },
            Self::Member { id: id.to_owned(), value: None },
        ]
    }
}

/// The record of a change.
pub(super) fn share_record(group: &str, change: &Change) -> Record {
    let group_id = group.to_owned();
    match change {
        Change::Epoch(value) => record(&ShareGroupMetadataKey { group_id }, value.as_ref(), VERSION),
        Change::Member { id, value } => {
            record(&ShareGroupMemberMetadataKey { group_id, member_id: id.clone() }, value.as_ref(), VERSION)
        }
        Change::TargetEpoch(value) => {
            record(&ShareGroupTargetAssignmentMetadataKey { group_id }, value.as_ref(), VERSION)
        }
        Change::Target { id, value } => {
            record(&ShareGroupTargetAssignmentMemberKey { group_id, member_id: id.clone() }, value.as_ref(), VERSION)
        }
        Change::Current { id, value } => {
            record(&ShareGroupCurrentMemberAssignmentKey { group_id, member_id: id.clone() }, value.as_ref(), VERSION)
        }
        Change::States(value) => record(&ShareGroupStatePartitionMetadataKey { group_id }, value.as_ref(), VERSION),
    }
}

/// Reads a record of these kinds: the group and the change; `None` for another kind.
///
/// # Errors
/// The bytes are not of that kind.
pub(in crate::broker::groups) fn read_change(
    kind: i16,
    key: &mut Reader<'_>,
    value: Option<&Bytes>,
) -> Result<Option<(String, Change)>, DecodeError> {
    Ok(Some(match kind {
        ShareGroupMetadataKey::KEY => {
            (ShareGroupMetadataKey::decode(key, 0)?.group_id, Change::Epoch(read_if_there(value)?))
        }
        ShareGroupMemberMetadataKey::KEY => {
            let key = ShareGroupMemberMetadataKey::decode(key, 0)?;
            (key.group_id, Change::Member { id: key.member_id, value: read_if_there(value)? })
        }
        ShareGroupTargetAssignmentMetadataKey::KEY => (
            ShareGroupTargetAssignmentMetadataKey::decode(key, 0)?.group_id,
            Change::TargetEpoch(read_if_there(value)?),
        ),
        ShareGroupTargetAssignmentMemberKey::KEY => {
            let key = ShareGroupTargetAssignmentMemberKey::decode(key, 0)?;
            (key.group_id, Change::Target { id: key.member_id, value: read_if_there(value)? })
        }
        ShareGroupCurrentMemberAssignmentKey::KEY => {
            let key = ShareGroupCurrentMemberAssignmentKey::decode(key, 0)?;
            (key.group_id, Change::Current { id: key.member_id, value: read_if_there(value)? })
        }
        ShareGroupStatePartitionMetadataKey::KEY => {
            (ShareGroupStatePartitionMetadataKey::decode(key, 0)?.group_id, Change::States(read_if_there(value)?))
        }
        _ => return Ok(None),
    }))
}
