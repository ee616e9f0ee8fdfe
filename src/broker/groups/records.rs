//! The records of `__consumer_offsets`: an i16 that names the kind in front of the key, an i16 version in front of the
//! value, a null value for what is gone.

use bytes::Bytes;

use super::consumer::{self, Change};
use super::offsets::Committed;
use super::share;
use super::streams;
use crate::broker::coordinator::records::{key_bytes, read_kind, read_value, value_bytes};
use crate::broker::coordinator::{MalformedRecord, Record};
use crate::protocol::messages::{
    GroupMetadataKey, GroupMetadataValue, LegacyOffsetCommitKey, OffsetCommitKey, OffsetCommitValue,
};
use crate::protocol::{DecodeError, Message, Reader, Wire};

/// The version in which Kafka 4.3 writes group metadata.
const GROUP_METADATA_VERSION: i16 = 3;
/// The version in which Kafka 4.3 writes an offset commit: with the topic's id.
const OFFSET_COMMIT_VERSION: i16 = 4;
/// The only version that holds an explicit expiry time, which requests up to version 4 may ask for.
const OFFSET_COMMIT_VERSION_WITH_EXPIRY: i16 = 1;

/// What a record of the log says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    Offset {
        group: String,
        topic: String,
        partition: i32,
        committed: Option<Committed>,
    },
    Group {
        group: String,
        metadata: Option<Box<GroupMetadataValue>>,
    },
    Consumer {
        group: String,
        change: Change,
    },
    Share {
        group: String,
        change: share::Change,
    },
    Streams {
        group: String,
        change: streams::Change,
    },
    /// A kind that is not known: kept in the log, without meaning here.
    Other {
        kind: i16,
    },
}

/// A group's metadata, or its tombstone.
pub(super) fn group_metadata(group: &str, value: Option<&GroupMetadataValue>) -> Record {
    let key = GroupMetadataKey { group: group.to_owned() };
    Record { key: key_bytes(&key), value: value.map(|value| value_bytes(value, GROUP_METADATA_VERSION)) }
}

/// A committed offset, or its tombstone.
pub(super) fn offset(group: &str, topic: &str, partition: i32, committed: Option<&Committed>) -> Record {
    let key = OffsetCommitKey { group: group.to_owned(), topic: topic.to_owned(), partition };
    let value = committed.map(|committed| {
        let expires = committed.expires_ms;
        let value = OffsetCommitValue {
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: committed.metadata.clone(),
            commit_timestamp: committed.committed_ms,
            expire_timestamp: expires.unwrap_or(-1),
            topic_id: committed.topic_id,
            ..Default::default()
        };
        let version = if expires.is_some() { OFFSET_COMMIT_VERSION_WITH_EXPIRY } else { OFFSET_COMMIT_VERSION };
        value_bytes(&value, version)
    });
    Record { key: key_bytes(&key), value }
}

/// Reads a record of the log.
///
/// # Errors
/// A kind that is known has bytes that are not of it.
pub(super) fn read(record: &Record) -> Result<Event, MalformedRecord> {
    read_kind(record, event)
}

fn event(kind: i16, key: &mut Reader<'_>, value: Option<&Bytes>) -> Result<Event, DecodeError> {
    match kind {
        LegacyOffsetCommitKey::KEY | OffsetCommitKey::KEY => {
            let key = OffsetCommitKey::decode(key, 0)?;
            let committed = value.map(read_value::<OffsetCommitValue>).transpose()?.map(|value| Committed {
                offset: value.offset,
                leader_epoch: value.leader_epoch,
                metadata: value.metadata,
                committed_ms: value.commit_timestamp,
                expires_ms: Some(value.expire_timestamp).filter(|at| *at >= 0),
                topic_id: value.topic_id,
            });
            Ok(Event::Offset { group: key.group, topic: key.topic, partition: key.partition, committed })
        }
        GroupMetadataKey::KEY => {
            let key = GroupMetadataKey::decode(key, 0)?;
            let metadata = value.map(read_value::<GroupMetadataValue>).transpose()?.map(Box::new);
            Ok(Event::Group { group: key.group, metadata })
        }
        _ => {
            if let Some((group, change)) = consumer::read_change(kind, key, value)? {
                return Ok(Event::Consumer { group, change });
            }
            if let Some((group, change)) = share::read_change(kind, key, value)? {
                return Ok(Event::Share { group, change });
            }
            Ok(match streams::read_change(kind, key, value)? {
                Some((group, change)) => Event::Streams { group, change },
                None => Event::Other { kind },
            })
        }
    }
}

/// The topics that a member of a `consumer` group subscribes to; `None` if its metadata is not of Kafka's form.
pub(super) fn subscribed_topics(metadata: &Bytes) -> Option<Vec<String>> {
    use crate::protocol::messages::ConsumerProtocolSubscription as Subscription;
    let mut r = Reader::new(metadata);
    let version = i16::read(&mut r, 0).ok()?;
    // A newer version only adds fields at the end.
    let version = version.min(Subscription::VERSIONS.max);
    Subscription::decode(&mut r, version).ok().map(|subscription| subscription.topics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    #[test]
    fn records_are_read_as_they_were_written() {
        for expires_ms in [None, Some(77)] {
            let committed = Committed {
                offset: 5,
                leader_epoch: if expires_ms.is_some() { -1 } else { 3 },
                metadata: "m".into(),
                committed_ms: 9,
                expires_ms,
                topic_id: if expires_ms.is_some() { Uuid::ZERO } else { Uuid([7; 16]) },
            };
            let event = read(&offset("g", "t", 2, Some(&committed))).unwrap();
            let (group, topic) = ("g".to_owned(), "t".to_owned());
            assert_eq!(event, Event::Offset { group, topic, partition: 2, committed: Some(committed) });
        }
        assert!(matches!(read(&group_metadata("g", None)).unwrap(), Event::Group { metadata: None, .. }));
        let other = Record { key: Bytes::from_static(&[0, 99, 0]), value: None };
        assert_eq!(read(&other).unwrap(), Event::Other { kind: 99 });
        assert!(read(&Record { key: Bytes::from_static(&[0, 2, 0]), value: None }).is_err());
    }

    #[test]
    fn subscriptions_of_any_version_are_read() {
        let subscription = crate::protocol::messages::ConsumerProtocolSubscription {
            topics: vec!["a".into(), "b".into()],
            ..Default::default()
        };
        for version in 0..=3 {
            let bytes = value_bytes(&subscription, version);
            assert_eq!(subscribed_topics(&bytes).unwrap(), ["a", "b"]);
        }
        assert_eq!(subscribed_topics(&Bytes::from_static(b"x")), None);
    }
}
