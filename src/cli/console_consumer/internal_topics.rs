//! The records of `__consumer_offsets`, `__transaction_state` and `__share_group_state` as JSON, one line each, with Kafka's fields in Kafka's
//! order: `{"key":{"type":1,"data":{…}},"value":{"version":4,"data":{…}}}`. A tombstone has `"value":null`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::protocol::messages::group_metadata_key::GroupMetadataKey;
use crate::protocol::messages::group_metadata_value::GroupMetadataValue;
use crate::protocol::messages::legacy_offset_commit_key::LegacyOffsetCommitKey;
use crate::protocol::messages::offset_commit_key::OffsetCommitKey;
use crate::protocol::messages::offset_commit_value::OffsetCommitValue;
use crate::protocol::messages::share_snapshot_key::ShareSnapshotKey;
use crate::protocol::messages::share_snapshot_value::{self, ShareSnapshotValue};
use crate::protocol::messages::share_update_key::ShareUpdateKey;
use crate::protocol::messages::share_update_value::{self, ShareUpdateValue};
use crate::protocol::messages::transaction_log_key::TransactionLogKey;
use crate::protocol::messages::transaction_log_value::TransactionLogValue;
use crate::protocol::{DecodeError, Message};
use crate::types::Uuid;

/// Which records are shown; those of another kind are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Committed offsets.
    Offsets,
    /// Groups of the classic protocol.
    Groups,
    /// Transactions.
    Transactions,
    /// How far share groups are.
    ShareGroups,
}

/// A record that is none of the topic's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotOfTopic {
    /// The key is too short for the number that says its kind.
    #[error("Could not read version from key's buffer.")]
    ShortKey,
    /// The value is too short for its version.
    #[error("Could not read version from value's buffer.")]
    ShortValue,
    /// The rest is not what the version says.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
}

/// The record as JSON, or `None` if it is of another kind.
pub(super) fn json(kind: Kind, key: Option<&Bytes>, value: Option<&Bytes>) -> Result<Option<String>, NotOfTopic> {
    let Some(key) = key else { return Ok(None) };
    let (number, key) = numbered(key).ok_or(NotOfTopic::ShortKey)?;
    let key_data = match (kind, number) {
        (Kind::Offsets, LegacyOffsetCommitKey::KEY) => {
            let key = LegacyOffsetCommitKey::from_bytes(&key, 0)?;
            offset_key(&key.group, &key.topic, key.partition)
        }
        (Kind::Offsets, OffsetCommitKey::KEY) => {
            let key = OffsetCommitKey::from_bytes(&key, 0)?;
            offset_key(&key.group, &key.topic, key.partition)
        }
        (Kind::Groups, GroupMetadataKey::KEY) => {
            format!("{{\"group\":{}}}", text(&GroupMetadataKey::from_bytes(&key, 0)?.group))
        }
        (Kind::Transactions, TransactionLogKey::KEY) => {
            let key = TransactionLogKey::from_bytes(&key, 0)?;
            format!("{{\"transactionalId\":{}}}", text(&key.transactional_id))
        }
        (Kind::ShareGroups, ShareSnapshotKey::KEY) => {
            let key = ShareSnapshotKey::from_bytes(&key, 0)?;
            share_key(&key.group_id, key.topic_id, key.partition)
        }
        (Kind::ShareGroups, ShareUpdateKey::KEY) => {
            let key = ShareUpdateKey::from_bytes(&key, 0)?;
            share_key(&key.group_id, key.topic_id, key.partition)
        }
        _ => return Ok(None),
    };
    let value = match value {
        None => "null".to_owned(),
        Some(value) => {
            let (version, value) = numbered(value).ok_or(NotOfTopic::ShortValue)?;
            let data = match kind {
                Kind::Offsets => offset_value(&OffsetCommitValue::from_bytes(&value, version)?, version),
                Kind::Groups => group_value(&GroupMetadataValue::from_bytes(&value, version)?, version),
                Kind::Transactions => transaction_value(&TransactionLogValue::from_bytes(&value, version)?),
                // The kind of the value is its key's.
                Kind::ShareGroups if number == ShareSnapshotKey::KEY => {
                    share_snapshot(&ShareSnapshotValue::from_bytes(&value, version)?)
                }
                Kind::ShareGroups => share_update(&ShareUpdateValue::from_bytes(&value, version)?),
            };
            format!("{{\"version\":{version},\"data\":{data}}}")
        }
    };
    Ok(Some(format!("{{\"key\":{{\"type\":{number},\"data\":{key_data}}},\"value\":{value}}}")))
}

/// The 16-bit number that keys and values begin with, and the rest.
fn numbered(bytes: &Bytes) -> Option<(i16, Bytes)> {
    let number = bytes.first_chunk().copied().map(i16::from_be_bytes)?;
    Some((number, bytes.slice(2..)))
}

fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn nullable(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), text)
}

fn offset_key(group: &str, topic: &str, partition: i32) -> String {
    format!("{{\"group\":{},\"topic\":{},\"partition\":{partition}}}", text(group), text(topic))
}

fn offset_value(value: &OffsetCommitValue, version: i16) -> String {
    let mut json = format!("{{\"offset\":{}", value.offset);
    if version >= 3 {
        let _ = write!(json, ",\"leaderEpoch\":{}", value.leader_epoch);
    }
    let _ = write!(json, ",\"metadata\":{},\"commitTimestamp\":{}", text(&value.metadata), value.commit_timestamp);
    if version == 1 {
        let _ = write!(json, ",\"expireTimestamp\":{}", value.expire_timestamp);
    }
    if value.topic_id != Uuid::ZERO {
        let _ = write!(json, ",\"topicId\":\"{}\"", value.topic_id);
    }
    json + "}"
}

fn group_value(value: &GroupMetadataValue, version: i16) -> String {
    let mut json = format!(
        "{{\"protocolType\":{},\"generation\":{},\"protocol\":{},\"leader\":{}",
        text(&value.protocol_type),
        value.generation,
        nullable(value.protocol.as_deref()),
        nullable(value.leader.as_deref()),
    );
    if version >= 2 {
        let _ = write!(json, ",\"currentStateTimestamp\":{}", value.current_state_timestamp);
    }
    json.push_str(",\"members\":[");
    for (index, member) in value.members.iter().enumerate() {
        let _ = write!(json, "{}{{\"memberId\":{}", if index == 0 { "" } else { "," }, text(&member.member_id));
        if version >= 3 {
            let _ = write!(json, ",\"groupInstanceId\":{}", nullable(member.group_instance_id.as_deref()));
        }
        let _ = write!(json, ",\"clientId\":{},\"clientHost\":{}", text(&member.client_id), text(&member.client_host));
        if version >= 1 {
            let _ = write!(json, ",\"rebalanceTimeout\":{}", member.rebalance_timeout);
        }
        let _ = write!(
            json,
            ",\"sessionTimeout\":{},\"subscription\":\"{}\",\"assignment\":\"{}\"}}",
            member.session_timeout,
            STANDARD.encode(&member.subscription),
            STANDARD.encode(&member.assignment),
        );
    }
    json + "]}"
}

fn transaction_value(value: &TransactionLogValue) -> String {
    let mut json = format!("{{\"producerId\":{}", value.producer_id);
    if value.previous_producer_id != -1 {
        let _ = write!(json, ",\"previousProducerId\":{}", value.previous_producer_id);
    }
    if value.next_producer_id != -1 {
        let _ = write!(json, ",\"nextProducerId\":{}", value.next_producer_id);
    }
    let _ = write!(json, ",\"producerEpoch\":{}", value.producer_epoch);
    if value.next_producer_epoch != -1 {
        let _ = write!(json, ",\"nextProducerEpoch\":{}", value.next_producer_epoch);
    }
    let _ = write!(
        json,
        ",\"transactionTimeoutMs\":{},\"transactionStatus\":{},\"transactionPartitions\":",
        value.transaction_timeout_ms, value.transaction_status
    );
    match &value.transaction_partitions {
        None => json.push_str("null"),
        Some(topics) => {
            let topics: Vec<String> = topics
                .iter()
                .map(|topic| {
                    let ids: Vec<String> = topic.partition_ids.iter().map(ToString::to_string).collect();
                    format!("{{\"topic\":{},\"partitionIds\":[{}]}}", text(&topic.topic), ids.join(","))
                })
                .collect();
            let _ = write!(json, "[{}]", topics.join(","));
        }
    }
    let _ = write!(
        json,
        ",\"transactionLastUpdateTimestampMs\":{},\"transactionStartTimestampMs\":{}",
        value.transaction_last_update_timestamp_ms, value.transaction_start_timestamp_ms
    );
    if value.client_transaction_version != 0 {
        let _ = write!(json, ",\"clientTransactionVersion\":{}", value.client_transaction_version);
    }
    json + "}"
}

fn share_key(group: &str, topic: Uuid, partition: i32) -> String {
    format!("{{\"groupId\":{},\"topicId\":\"{topic}\",\"partition\":{partition}}}", text(group))
}

fn share_snapshot(value: &ShareSnapshotValue) -> String {
    let batches: Vec<String> = value
        .state_batches
        .iter()
        .map(|b: &share_snapshot_value::StateBatch| {
            share_batch(b.first_offset, b.last_offset, b.delivery_state, b.delivery_count)
        })
        .collect();
    format!(
        "{{\"snapshotEpoch\":{},\"stateEpoch\":{},\"leaderEpoch\":{},\"startOffset\":{}{},\"createTimestamp\":{},\
         \"writeTimestamp\":{},\"stateBatches\":[{}]}}",
        value.snapshot_epoch,
        value.state_epoch,
        value.leader_epoch,
        value.start_offset,
        complete_count(value.delivery_complete_count),
        value.create_timestamp,
        value.write_timestamp,
        batches.join(","),
    )
}

fn share_update(value: &ShareUpdateValue) -> String {
    let batches: Vec<String> = value
        .state_batches
        .iter()
        .map(|b: &share_update_value::StateBatch| {
            share_batch(b.first_offset, b.last_offset, b.delivery_state, b.delivery_count)
        })
        .collect();
    format!(
        "{{\"snapshotEpoch\":{},\"leaderEpoch\":{},\"startOffset\":{}{},\"stateBatches\":[{}]}}",
        value.snapshot_epoch,
        value.leader_epoch,
        value.start_offset,
        complete_count(value.delivery_complete_count),
        batches.join(","),
    )
}

/// Kafka shows it only where it is known.
fn complete_count(count: i32) -> String {
    if count == -1 { String::new() } else { format!(",\"deliveryCompleteCount\":{count}") }
}

fn share_batch(first_offset: i64, last_offset: i64, delivery_state: i8, delivery_count: i16) -> String {
    format!(
        "{{\"firstOffset\":{first_offset},\"lastOffset\":{last_offset},\"deliveryState\":{delivery_state},\
         \"deliveryCount\":{delivery_count}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::group_metadata_value::MemberMetadata;
    use crate::protocol::messages::transaction_log_value::PartitionsSchema;

    fn record(number: i16, message: &impl Message, version: i16) -> Bytes {
        [&number.to_be_bytes()[..], &message.to_bytes(version).unwrap()].concat().into()
    }

    #[test]
    fn offsets_are_shown_as_kafka_shows_them() {
        let key = OffsetCommitKey { group: "g-commit".into(), topic: "c1".into(), partition: 0 };
        let id = Uuid::METADATA_TOPIC;
        let value = OffsetCommitValue {
            offset: 4,
            leader_epoch: 0,
            commit_timestamp: 1_700_000_000_000,
            topic_id: id,
            ..OffsetCommitValue::default()
        };
        let (key, value) = (record(1, &key, 0), record(4, &value, 4));
        assert_eq!(
            json(Kind::Offsets, Some(&key), Some(&value)).unwrap().unwrap(),
            r#"{"key":{"type":1,"data":{"group":"g-commit","topic":"c1","partition":0}},"value":{"version":4,"data":{"offset":4,"leaderEpoch":0,"metadata":"","commitTimestamp":1700000000000,"topicId":"AAAAAAAAAAAAAAAAAAAAAQ"}}}"#
        );
        assert_eq!(
            json(Kind::Offsets, Some(&key), None).unwrap().unwrap(),
            r#"{"key":{"type":1,"data":{"group":"g-commit","topic":"c1","partition":0}},"value":null}"#
        );
        assert_eq!(json(Kind::Groups, Some(&key), Some(&value)).unwrap(), None);
    }

    #[test]
    fn groups_are_shown_as_kafka_shows_them() {
        let key = record(2, &GroupMetadataKey { group: "g".into() }, 0);
        let empty = GroupMetadataValue {
            protocol: None,
            leader: None,
            current_state_timestamp: 17,
            ..GroupMetadataValue::default()
        };
        assert_eq!(
            json(Kind::Groups, Some(&key), Some(&record(3, &empty, 3))).unwrap().unwrap(),
            r#"{"key":{"type":2,"data":{"group":"g"}},"value":{"version":3,"data":{"protocolType":"","generation":0,"protocol":null,"leader":null,"currentStateTimestamp":17,"members":[]}}}"#
        );
        let member =
            MemberMetadata { member_id: "m".into(), subscription: vec![0, 1].into(), ..MemberMetadata::default() };
        let one = GroupMetadataValue { members: vec![member], ..empty };
        let shown = json(Kind::Groups, Some(&key), Some(&record(3, &one, 3))).unwrap().unwrap();
        assert!(shown.contains(r#""members":[{"memberId":"m","groupInstanceId":null,"clientId":"","clientHost":"","rebalanceTimeout":-1,"sessionTimeout":0,"subscription":"AAE=","assignment":""}]"#), "{shown}");
        serde_json::from_str::<serde_json::Value>(&shown).unwrap();
    }

    #[test]
    fn transactions_are_shown_as_kafka_shows_them() {
        let key = record(0, &TransactionLogKey { transactional_id: "tx-1".into() }, 0);
        let partitions = PartitionsSchema { topic: "c3".into(), partition_ids: vec![1], ..PartitionsSchema::default() };
        let value = TransactionLogValue {
            producer_id: 3,
            previous_producer_id: 3,
            transaction_timeout_ms: 60000,
            transaction_status: 1,
            transaction_partitions: Some(vec![partitions]),
            transaction_last_update_timestamp_ms: 8,
            transaction_start_timestamp_ms: 7,
            client_transaction_version: 2,
            ..TransactionLogValue::default()
        };
        assert_eq!(
            json(Kind::Transactions, Some(&key), Some(&record(1, &value, 1))).unwrap().unwrap(),
            r#"{"key":{"type":0,"data":{"transactionalId":"tx-1"}},"value":{"version":1,"data":{"producerId":3,"previousProducerId":3,"producerEpoch":0,"transactionTimeoutMs":60000,"transactionStatus":1,"transactionPartitions":[{"topic":"c3","partitionIds":[1]}],"transactionLastUpdateTimestampMs":8,"transactionStartTimestampMs":7,"clientTransactionVersion":2}}}"#
        );
    }

    #[test]
    fn share_groups_are_shown_as_kafka_shows_them() {
        let topic_id = Uuid::parse("SXJ5bJpgTAqx2brywj6NUA").unwrap();
        let key = record(0, &ShareSnapshotKey { group_id: "sg".into(), topic_id, partition: 0 }, 0);
        let value = ShareSnapshotValue {
            state_epoch: 2,
            start_offset: -1,
            create_timestamp: 17,
            write_timestamp: 18,
            ..ShareSnapshotValue::default()
        };
        assert_eq!(
            json(Kind::ShareGroups, Some(&key), Some(&record(0, &value, 0))).unwrap().unwrap(),
            r#"{"key":{"type":0,"data":{"groupId":"sg","topicId":"SXJ5bJpgTAqx2brywj6NUA","partition":0}},"value":{"version":0,"data":{"snapshotEpoch":0,"stateEpoch":2,"leaderEpoch":0,"startOffset":-1,"createTimestamp":17,"writeTimestamp":18,"stateBatches":[]}}}"#
        );
        assert!(json(Kind::ShareGroups, Some(&key), None).unwrap().unwrap().ends_with(r#""value":null}"#));

        let key = record(1, &ShareUpdateKey { group_id: "sg".into(), topic_id, partition: 0 }, 0);
        let batch = share_update_value::StateBatch {
            last_offset: 2,
            delivery_state: 4,
            delivery_count: 1,
            ..Default::default()
        };
        let value =
            ShareUpdateValue { delivery_complete_count: 3, state_batches: vec![batch], ..ShareUpdateValue::default() };
        assert_eq!(
            json(Kind::ShareGroups, Some(&key), Some(&record(0, &value, 0))).unwrap().unwrap(),
            r#"{"key":{"type":1,"data":{"groupId":"sg","topicId":"SXJ5bJpgTAqx2brywj6NUA","partition":0}},"value":{"version":0,"data":{"snapshotEpoch":0,"leaderEpoch":0,"startOffset":0,"deliveryCompleteCount":3,"stateBatches":[{"firstOffset":0,"lastOffset":2,"deliveryState":4,"deliveryCount":1}]}}}"#
        );
    }

    #[test]
    fn other_records_are_skipped_and_garbage_is_an_error() {
        assert_eq!(json(Kind::Offsets, None, None).unwrap(), None);
        assert_eq!(json(Kind::Offsets, Some(&Bytes::from_static(b"k1")), None).unwrap(), None);
        assert_eq!(json(Kind::Offsets, Some(&Bytes::new()), None).unwrap_err(), NotOfTopic::ShortKey);
        assert!(json(Kind::Offsets, Some(&Bytes::from_static(b"\0\x01x")), None).is_err());
    }
}
