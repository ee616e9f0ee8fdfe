//! The records of `__consumer_offsets`, `__transaction_state` and `__share_group_state` as JSON, one line each, with Kafka's fields in Kafka's
//! order: `{"key":{"type":1,"data":{…}},"value":{"version":4,"data":{…}}}`. A tombstone has `"value":null`.

use bytes::Bytes;

use crate::cli::support::coordinator_records::{self, CoordinatorTopic, MemberBytes};

pub(super) use crate::cli::support::coordinator_records::NotOfTopic;

/// Which records are shown; those of another kind are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Kind {
    /// Committed offsets.
    Offsets,
    /// Groups of the classic protocol.
    Groups,
    /// Transactions.
    Transactions,
    /// How far share groups are.
    ShareGroups,
}

impl Kind {
    /// The topic, and the numbers of the keys in it that are of this kind.
    fn place(self) -> (CoordinatorTopic, std::ops::RangeInclusive<i16>) {
        match self {
            Self::Offsets => (CoordinatorTopic::Offsets, 0..=1),
            Self::Groups => (CoordinatorTopic::Offsets, 2..=2),
            Self::Transactions => (CoordinatorTopic::Transactions, 0..=0),
            Self::ShareGroups => (CoordinatorTopic::ShareGroups, 0..=1),
        }
    }
}

/// The record as JSON, or `None` if it is of another kind.
pub(super) fn json(kind: Kind, key: Option<&Bytes>, value: Option<&Bytes>) -> Result<Option<String>, NotOfTopic> {
    let Some(key) = key else { return Ok(None) };
    let number = key.first_chunk().copied().map(i16::from_be_bytes).ok_or(NotOfTopic::ShortKey)?;
    let (topic, numbers) = kind.place();
    if !numbers.contains(&number) {
        return Ok(None);
    }
    let record = coordinator_records::read(topic, key, value, MemberBytes::Raw)?;
    let value = match record.value {
        None => "null".to_owned(),
        Some((version, data)) => format!("{{\"version\":{version},\"data\":{data}}}"),
    };
    Ok(Some(format!("{{\"key\":{{\"type\":{},\"data\":{}}},\"value\":{value}}}", record.kind, record.key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Message;
    use crate::protocol::messages::group_metadata_value::MemberMetadata;
    use crate::protocol::messages::transaction_log_value::PartitionsSchema;
    use crate::protocol::messages::*;
    use crate::types::Uuid;

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
