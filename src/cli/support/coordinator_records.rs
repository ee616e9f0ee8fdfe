//! The records of `__consumer_offsets`, `__transaction_state` and `__share_group_state` as JSON, with Kafka's fields in Kafka's order.
//!
//! The key begins with the number of its kind, the value with its version; no value is a tombstone.

use bytes::Bytes;

use crate::protocol::json::JsonObject;
use crate::protocol::messages::group_metadata_value::MemberMetadata;
use crate::protocol::messages::*;
use crate::protocol::{DecodeError, Json, Message, Reader};

/// The internal topics that coordinators keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CoordinatorTopic {
    /// `__consumer_offsets`.
    Offsets,
    /// `__transaction_state`.
    Transactions,
    /// `__share_group_state`.
    ShareGroups,
}

/// What the members of a classic group said is bytes of their own protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberBytes {
    /// Shown as they are, in base64.
    Raw,
    /// Those of consumers are taken apart.
    Decoded,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CoordinatorRecord {
    /// The number of its kind.
    pub(crate) kind: i16,
    /// The key as JSON.
    pub(crate) key: String,
    /// The value's version, and the value as JSON; `None`: a tombstone.
    pub(crate) value: Option<(i16, String)>,
}

/// A record that is none of the topic's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotOfTopic {
    /// The key is too short for the number that says its kind.
    #[error("Could not read version from key's buffer.")]
    ShortKey,
    /// The value is too short for its version.
    #[error("Could not read version from value's buffer.")]
    ShortValue,
    /// A kind that no table has.
    #[error("unknown record type {0}")]
    UnknownKind(i16),
    /// A version of the value that no table has.
    #[error("Found an unknown record version {version} for {kind} type.")]
    UnknownVersion {
        /// The kind.
        kind: i16,
        /// The version.
        version: i16,
    },
    /// The rest is not what the version says.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
}

/// Reads a record of `topic`.
///
/// # Errors
/// It is of a kind to come, or damaged.
pub(crate) fn read(
    topic: CoordinatorTopic,
    key: &Bytes,
    value: Option<&Bytes>,
    members: MemberBytes,
) -> Result<CoordinatorRecord, NotOfTopic> {
    let (kind, key) = numbered(key).ok_or(NotOfTopic::ShortKey)?;
    let raw = Raw { kind, key, value };
    macro_rules! one_of {
        ($($key:ident => $value:ident,)*) => {
            match kind {
                $($key::KEY => raw.read::<$key, $value>(),)*
                _ => Err(NotOfTopic::UnknownKind(kind)),
            }
        };
    }
    match topic {
        CoordinatorTopic::Offsets if kind == GroupMetadataKey::KEY => {
            raw.read_with::<GroupMetadataKey, _>(|value: &GroupMetadataValue, version| {
                group_value(value, version, members)
            })
        }
        CoordinatorTopic::Offsets => one_of! {
            // Both are alike, and old brokers wrote version 1 under either key.
            LegacyOffsetCommitKey => OffsetCommitValue,
            OffsetCommitKey => OffsetCommitValue,
            ConsumerGroupMetadataKey => ConsumerGroupMetadataValue,
            ConsumerGroupPartitionMetadataKey => ConsumerGroupPartitionMetadataValue,
            ConsumerGroupMemberMetadataKey => ConsumerGroupMemberMetadataValue,
            ConsumerGroupTargetAssignmentMetadataKey => ConsumerGroupTargetAssignmentMetadataValue,
            ConsumerGroupTargetAssignmentMemberKey => ConsumerGroupTargetAssignmentMemberValue,
            ConsumerGroupCurrentMemberAssignmentKey => ConsumerGroupCurrentMemberAssignmentValue,
            ConsumerGroupRegularExpressionKey => ConsumerGroupRegularExpressionValue,
            ShareGroupMemberMetadataKey => ShareGroupMemberMetadataValue,
            ShareGroupMetadataKey => ShareGroupMetadataValue,
            ShareGroupTargetAssignmentMetadataKey => ShareGroupTargetAssignmentMetadataValue,
            ShareGroupTargetAssignmentMemberKey => ShareGroupTargetAssignmentMemberValue,
            ShareGroupCurrentMemberAssignmentKey => ShareGroupCurrentMemberAssignmentValue,
            ShareGroupStatePartitionMetadataKey => ShareGroupStatePartitionMetadataValue,
            StreamsGroupMetadataKey => StreamsGroupMetadataValue,
            StreamsGroupMemberMetadataKey => StreamsGroupMemberMetadataValue,
            StreamsGroupTargetAssignmentMetadataKey => StreamsGroupTargetAssignmentMetadataValue,
            StreamsGroupTargetAssignmentMemberKey => StreamsGroupTargetAssignmentMemberValue,
            StreamsGroupCurrentMemberAssignmentKey => StreamsGroupCurrentMemberAssignmentValue,
            StreamsGroupTopologyKey => StreamsGroupTopologyValue,
        },
        CoordinatorTopic::Transactions => one_of! {
            TransactionLogKey => TransactionLogValue,
        },
        CoordinatorTopic::ShareGroups => one_of! {
            ShareSnapshotKey => ShareSnapshotValue,
            ShareUpdateKey => ShareUpdateValue,
        },
    }
}

/// A record whose kind is known, and nothing else.
struct Raw<'a> {
    kind: i16,
    key: Bytes,
    value: Option<&'a Bytes>,
}

impl Raw<'_> {
    fn read<K: Message + Json, V: Message + Json>(self) -> Result<CoordinatorRecord, NotOfTopic> {
        self.read_with::<K, V>(Json::to_json)
    }

    fn read_with<K: Message + Json, V: Message>(
        self,
        show: impl FnOnce(&V, i16) -> String,
    ) -> Result<CoordinatorRecord, NotOfTopic> {
        let kind = self.kind;
        let key = K::from_bytes(&self.key, 0)?.to_json(0);
        let value = match self.value {
            None => None,
            Some(value) => {
                let (version, value) = numbered(value).ok_or(NotOfTopic::ShortValue)?;
                if !V::VERSIONS.contains(version) {
                    return Err(NotOfTopic::UnknownVersion { kind, version });
                }
                Some((version, show(&V::from_bytes(&value, version)?, version)))
            }
        };
        Ok(CoordinatorRecord { kind, key, value })
    }
}

/// The 16-bit number that keys and values begin with, and the rest.
fn numbered(bytes: &Bytes) -> Option<(i16, Bytes)> {
    let number = bytes.first_chunk().copied().map(i16::from_be_bytes)?;
    Some((number, bytes.slice(2..)))
}

/// The state of a classic group.
fn group_value(value: &GroupMetadataValue, version: i16, members: MemberBytes) -> String {
    if members == MemberBytes::Raw || value.protocol_type != "consumer" {
        return value.to_json(version);
    }
    let mut out = String::new();
    let shown: Vec<Member<'_>> = value.members.iter().map(Member).collect();
    let mut object = JsonObject::begin(&mut out);
    object.field("protocolType", &value.protocol_type, version);
    object.field("generation", &value.generation, version);
    object.field("protocol", &value.protocol, version);
    object.field("leader", &value.leader, version);
    if version >= 2 {
        object.field("currentStateTimestamp", &value.current_state_timestamp, version);
    }
    object.field("members", &shown, version);
    object.end();
    out
}

/// A member with what it said in the consumers' protocol taken apart; what is none of that stays as it is.
struct Member<'a>(&'a MemberMetadata);

impl Json for Member<'_> {
    fn write_json(&self, out: &mut String, version: i16) {
        let Self(member) = self;
        let mut object = JsonObject::begin(out);
        object.field("memberId", &member.member_id, version);
        if version >= 3 {
            object.field("groupInstanceId", &member.group_instance_id, version);
        }
        object.field("clientId", &member.client_id, version);
        object.field("clientHost", &member.client_host, version);
        if version >= 1 {
            object.field("rebalanceTimeout", &member.rebalance_timeout, version);
        }
        object.field("sessionTimeout", &member.session_timeout, version);
        object.raw("subscription", &decoded::<ConsumerProtocolSubscription>(&member.subscription));
        object.raw("assignment", &decoded::<ConsumerProtocolAssignment>(&member.assignment));
        object.end();
    }
}

fn decoded<M: Message + Json>(bytes: &Bytes) -> String {
    let message = numbered(bytes).and_then(|(version, rest)| {
        // A later version begins as the last one known.
        let version = version.min(M::VERSIONS.max);
        let message = M::decode(&mut Reader::new(&rest), version).ok().filter(|_| version >= M::VERSIONS.min)?;
        Some(message.to_json(version))
    });
    message.unwrap_or_else(|| bytes.to_json(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;

    fn numbered_bytes(number: i16, message: &impl Message, version: i16) -> Bytes {
        [&number.to_be_bytes()[..], &message.to_bytes(version).unwrap()].concat().into()
    }

    #[test]
    fn members_are_taken_apart_only_when_they_are_consumers() {
        let key = numbered_bytes(2, &GroupMetadataKey { group: "g".into() }, 0);
        let subscription = ConsumerProtocolSubscription { topics: vec!["t".into()], ..Default::default() };
        let member = MemberMetadata {
            member_id: "m".into(),
            subscription: numbered_bytes(1, &subscription, 1),
            assignment: Bytes::from_static(b"\0"),
            ..Default::default()
        };
        let mut value =
            GroupMetadataValue { protocol_type: "consumer".into(), members: vec![member], ..Default::default() };
        let show = |value: &GroupMetadataValue, members| {
            let value = numbered_bytes(3, value, 3);
            read(CoordinatorTopic::Offsets, &key, Some(&value), members).unwrap().value.unwrap().1
        };
        let decoded = show(&value, MemberBytes::Decoded);
        assert!(
            decoded.contains(
                r#""subscription":{"topics":["t"],"userData":null,"ownedPartitions":[]},"assignment":"AA==""#
            ),
            "{decoded}"
        );
        assert!(show(&value, MemberBytes::Raw).contains(r#""subscription":"AAEA"#));
        value.protocol_type = "connect".into();
        assert_eq!(show(&value, MemberBytes::Decoded), show(&value, MemberBytes::Raw));
    }

    #[test]
    fn what_is_to_come_is_told_apart_from_damage() {
        let read = |key: &[u8], value: &'static [u8]| {
            let value = Bytes::from_static(value);
            read(CoordinatorTopic::Offsets, &Bytes::copy_from_slice(key), Some(&value), MemberBytes::Raw)
        };
        assert_eq!(read(b"\0\x63", b"").unwrap_err(), NotOfTopic::UnknownKind(99));
        let key = b"\0\x03\0\x01g";
        assert_eq!(read(key, b"").unwrap_err(), NotOfTopic::ShortValue);
        assert_eq!(read(key, b"\0\x09").unwrap_err(), NotOfTopic::UnknownVersion { kind: 3, version: 9 });
        assert!(matches!(read(key, b"\0\0\0").unwrap_err(), NotOfTopic::Malformed(_)));
        assert_eq!(read(key, b"\0\0\0\0\0\x05\0").unwrap().value, Some((0, r#"{"epoch":5}"#.to_owned())));
    }
}
