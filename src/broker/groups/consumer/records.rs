//! The records of consumer groups in `__consumer_offsets`.

use bytes::Bytes;

use super::member::{ConsumerMember, Owned};
use crate::broker::coordinator::Record;
use crate::broker::coordinator::records::{key_bytes, read_if_there, record};
use crate::broker::groups::modern::{Assignment, ResolvedRegex};
use crate::protocol::messages::consumer_group_current_member_assignment_value::TopicPartitions;
use crate::protocol::messages::consumer_group_target_assignment_member_value::TopicPartition;
use crate::protocol::messages::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupPartitionMetadataKey, ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
};
use crate::protocol::{DecodeError, Message, Reader};

/// The version in which Kafka 4.3 writes all of these values.
const VERSION: i16 = 0;

/// A change of a consumer group; without a value something is gone.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::broker::groups) enum Change {
    /// The group's epoch; the group itself.
    Epoch(Option<ConsumerGroupMetadataValue>),
    /// What Kafka 4.0 noted of the topics. It is no longer written, only taken back where it is found.
    PartitionMetadata { is_there: bool },
    /// What a member says of itself.
    Member { id: String, value: Option<Box<ConsumerGroupMemberMetadataValue>> },
    /// The epoch of the target assignment.
    TargetEpoch(Option<ConsumerGroupTargetAssignmentMetadataValue>),
    /// What a member is to have in the end.
    Target { id: String, value: Option<ConsumerGroupTargetAssignmentMemberValue> },
    /// What a member has.
    Current { id: String, value: Option<ConsumerGroupCurrentMemberAssignmentValue> },
    /// What a regular expression stands for.
    Regex { regex: String, value: Option<ConsumerGroupRegularExpressionValue> },
}

impl Change {
    /// Whether something is gone.
    pub(in crate::broker::groups) fn is_tombstone(&self) -> bool {
        match self {
            Self::Epoch(value) => value.is_none(),
            Self::PartitionMetadata { is_there } => !is_there,
            Self::Member { value, .. } => value.is_none(),
            Self::TargetEpoch(value) => value.is_none(),
            Self::Target { value, .. } => value.is_none(),
            Self::Current { value, .. } => value.is_none(),
            Self::Regex { value, .. } => value.is_none(),
        }
    }

    pub(super) fn epoch(epoch: i32, metadata_hash: i64) -> Self {
        Self::Epoch(Some(ConsumerGroupMetadataValue { epoch, metadata_hash, ..Default::default() }))
    }

    pub(super) fn target_epoch(assignment_epoch: i32, assignment_timestamp: i64) -> Self {
        Self::TargetEpoch(Some(ConsumerGroupTargetAssignmentMetadataValue {
            assignment_epoch,
            assignment_timestamp,
            ..Default::default()
        }))
    }

    pub(super) fn member(member: &ConsumerMember) -> Self {
        Self::Member { id: member.id.clone(), value: Some(Box::new(member.metadata())) }
    }

    pub(super) fn current(member: &ConsumerMember) -> Self {
        let value = ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: member.epoch,
            previous_member_epoch: member.previous_epoch,
            state: member.state.code(),
            assigned_partitions: topic_partitions(&member.assigned),
            partitions_pending_revocation: topic_partitions(&member.revoking),
            ..Default::default()
        };
        Self::Current { id: member.id.clone(), value: Some(value) }
    }

    pub(super) fn target(member: &str, assignment: &Assignment) -> Self {
        let topics = assignment.iter().map(|(topic, partitions)| TopicPartition {
            topic_id: *topic,
            partitions: partitions.iter().copied().collect(),
            ..Default::default()
        });
        let value =
            ConsumerGroupTargetAssignmentMemberValue { topic_partitions: topics.collect(), ..Default::default() };
        Self::Target { id: member.to_owned(), value: Some(value) }
    }

    pub(super) fn regex(regex: &str, resolved: &ResolvedRegex) -> Self {
        let value = ConsumerGroupRegularExpressionValue {
            topics: resolved.topics.iter().cloned().collect(),
            version: resolved.version,
            timestamp: resolved.timestamp_ms,
            ..Default::default()
        };
        Self::Regex { regex: regex.to_owned(), value: Some(value) }
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

fn topic_partitions(owned: &Owned) -> Vec<TopicPartitions> {
    let topics = owned.iter().map(|(topic, partitions)| TopicPartitions {
        topic_id: *topic,
        partitions: partitions.keys().copied().collect(),
        assignment_epochs: Some(partitions.values().copied().collect()),
        ..Default::default()
    });
    topics.collect()
}

/// The record of a change.
pub(in crate::broker::groups) fn consumer_record(group: &str, change: &Change) -> Record {
    let group_id = group.to_owned();
    match change {
        Change::Epoch(value) => record(&ConsumerGroupMetadataKey { group_id }, value.as_ref(), VERSION),
        Change::PartitionMetadata { .. } => {
            Record { key: key_bytes(&ConsumerGroupPartitionMetadataKey { group_id }), value: None }
        }
        Change::Member { id, value } => {
            record(&ConsumerGroupMemberMetadataKey { group_id, member_id: id.clone() }, value.as_deref(), VERSION)
        }
        Change::TargetEpoch(value) => {
            record(&ConsumerGroupTargetAssignmentMetadataKey { group_id }, value.as_ref(), VERSION)
        }
        Change::Target { id, value } => {
            record(&ConsumerGroupTargetAssignmentMemberKey { group_id, member_id: id.clone() }, value.as_ref(), VERSION)
        }
        Change::Current { id, value } => record(
            &ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id: id.clone() },
            value.as_ref(),
            VERSION,
        ),
        Change::Regex { regex, value } => record(
            &ConsumerGroupRegularExpressionKey { group_id, regular_expression: regex.clone() },
            value.as_ref(),
            VERSION,
        ),
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
        ConsumerGroupMetadataKey::KEY => {
            (ConsumerGroupMetadataKey::decode(key, 0)?.group_id, Change::Epoch(read_if_there(value)?))
        }
        ConsumerGroupPartitionMetadataKey::KEY => {
            let change = Change::PartitionMetadata { is_there: value.is_some() };
            (ConsumerGroupPartitionMetadataKey::decode(key, 0)?.group_id, change)
        }
        ConsumerGroupMemberMetadataKey::KEY => {
            let key = ConsumerGroupMemberMetadataKey::decode(key, 0)?;
            (key.group_id, Change::Member { id: key.member_id, value: read_if_there(value)?.map(Box::new) })
        }
        ConsumerGroupTargetAssignmentMetadataKey::KEY => (
            ConsumerGroupTargetAssignmentMetadataKey::decode(key, 0)?.group_id,
            Change::TargetEpoch(read_if_there(value)?),
        ),
        ConsumerGroupTargetAssignmentMemberKey::KEY => {
            let key = ConsumerGroupTargetAssignmentMemberKey::decode(key, 0)?;
            (key.group_id, Change::Target { id: key.member_id, value: read_if_there(value)? })
        }
        ConsumerGroupCurrentMemberAssignmentKey::KEY => {
            let key = ConsumerGroupCurrentMemberAssignmentKey::decode(key, 0)?;
            (key.group_id, Change::Current { id: key.member_id, value: read_if_there(value)? })
        }
        ConsumerGroupRegularExpressionKey::KEY => {
            let key = ConsumerGroupRegularExpressionKey::decode(key, 0)?;
            (key.group_id, Change::Regex { regex: key.regular_expression, value: read_if_there(value)? })
        }
        _ => return Ok(None),
    }))
}
