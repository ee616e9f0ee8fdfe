//! Records of `__remote_log_metadata` in the words of Kafka's classes, and as JSON; the frame is that of cluster metadata.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::protocol::messages::{
    RemoteLogSegmentMetadataRecord, RemoteLogSegmentMetadataSnapshotRecord, RemoteLogSegmentMetadataUpdateRecord,
    RemotePartitionDeleteMetadataRecord,
};
use crate::protocol::{DecodeError, Json, Message, Reader};
use crate::types::Uuid;

/// A record.
#[derive(Debug)]
pub(crate) struct RemoteLogRecord {
    version: i16,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Segment(RemoteLogSegmentMetadataRecord),
    Update(RemoteLogSegmentMetadataUpdateRecord),
    Deletion(RemotePartitionDeleteMetadataRecord),
    Snapshot(RemoteLogSegmentMetadataSnapshotRecord),
}

/// Why a value is no such record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RemoteLogError {
    /// There is no value.
    #[error("the record has no value")]
    NoValue,
    /// The frame is of a version to come.
    #[error("frame version {0}, known is 1")]
    Frame(u32),
    /// A kind to come.
    #[error("unknown record type {0}")]
    Kind(u32),
    /// It is damaged.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// There is more than the record.
    #[error("{0} bytes behind the record")]
    Behind(usize),
}

impl RemoteLogRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(value: Option<&Bytes>) -> Result<Self, RemoteLogError> {
        let value = value.ok_or(RemoteLogError::NoValue)?;
        let mut r = Reader::new(value);
        match r.uvarint()? {
            1 => {}
            frame => return Err(RemoteLogError::Frame(frame)),
        }
        let number = r.uvarint()?;
        let version = i16::try_from(r.uvarint()?).unwrap_or(i16::MAX);
        let kind = match i16::try_from(number) {
            Ok(RemoteLogSegmentMetadataRecord::KEY) => Kind::Segment(Message::decode(&mut r, version)?),
            Ok(RemoteLogSegmentMetadataUpdateRecord::KEY) => Kind::Update(Message::decode(&mut r, version)?),
            Ok(RemotePartitionDeleteMetadataRecord::KEY) => Kind::Deletion(Message::decode(&mut r, version)?),
            Ok(RemoteLogSegmentMetadataSnapshotRecord::KEY) => Kind::Snapshot(Message::decode(&mut r, version)?),
            _ => return Err(RemoteLogError::Kind(number)),
        };
        match r.left() {
            0 => Ok(Self { version, kind }),
            left => Err(RemoteLogError::Behind(left)),
        }
    }

    /// The record as Kafka's tools print records of cluster metadata; these they print in words alone.
    pub(crate) fn to_json(&self) -> String {
        let (name, data) = match &self.kind {
            Kind::Segment(record) => ("REMOTE_LOG_SEGMENT_METADATA_RECORD", record.to_json(self.version)),
            Kind::Update(record) => ("REMOTE_LOG_SEGMENT_METADATA_UPDATE_RECORD", record.to_json(self.version)),
            Kind::Deletion(record) => ("REMOTE_PARTITION_DELETE_METADATA_RECORD", record.to_json(self.version)),
            Kind::Snapshot(record) => ("REMOTE_LOG_SEGMENT_METADATA_SNAPSHOT_RECORD", record.to_json(self.version)),
        };
        format!("{{\"type\":\"{name}\",\"version\":{},\"data\":{data}}}", self.version)
    }
}

impl fmt::Display for RemoteLogRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Segment(record) => {
                let id = &record.remote_log_segment_id;
                let of = &id.topic_id_partition;
                write!(
                    f,
                    "RemoteLogSegmentMetadata{{remoteLogSegmentId={}, startOffset={}, endOffset={}, brokerId={}, \
                     maxTimestampMs={}, eventTimestampMs={}, segmentLeaderEpochs={}, segmentSizeInBytes={}, \
                     customMetadata={}, state={}, txnIdxEmpty={}}}",
                    segment_id(of.id, &of.name, of.partition, id.id),
                    record.start_offset,
                    record.end_offset,
                    record.broker_id,
                    record.max_timestamp_ms,
                    record.event_timestamp_ms,
                    epochs(record.segment_leader_epochs.iter().map(|entry| (entry.leader_epoch, entry.offset))),
                    record.segment_size_in_bytes,
                    custom(record.custom_metadata.as_ref()),
                    segment_state(record.remote_log_segment_state),
                    record.txn_index_empty,
                )
            }
            Kind::Update(record) => {
                let id = &record.remote_log_segment_id;
                let of = &id.topic_id_partition;
                write!(
                    f,
                    "RemoteLogSegmentMetadataUpdate{{remoteLogSegmentId={}, customMetadata={}, state={}, \
                     eventTimestampMs={}, brokerId={}}}",
                    segment_id(of.id, &of.name, of.partition, id.id),
                    custom(record.custom_metadata.as_ref()),
                    segment_state(record.remote_log_segment_state),
                    record.event_timestamp_ms,
                    record.broker_id,
                )
            }
            Kind::Deletion(record) => {
                let of = &record.topic_id_partition;
                write!(
                    f,
                    "RemotePartitionDeleteMetadata{{topicPartition={}, state={}, eventTimestampMs={}, brokerId={}}}",
                    topic_partition(of.id, &of.name, of.partition),
                    partition_state(record.remote_partition_delete_state),
                    record.event_timestamp_ms,
                    record.broker_id,
                )
            }
            Kind::Snapshot(record) => write!(
                f,
                "RemoteLogSegmentMetadataSnapshot{{segmentId={}, startOffset={}, endOffset={}, maxTimestampMs={}, \
                 segmentLeaderEpochs={}, segmentSizeInBytes={}, customMetadata={}, state={}, txnIdxEmpty={}}}",
                record.segment_id,
                record.start_offset,
                record.end_offset,
                record.max_timestamp_ms,
                epochs(record.segment_leader_epochs.iter().map(|entry| (entry.leader_epoch, entry.offset))),
                record.segment_size_in_bytes,
                custom(record.custom_metadata.as_ref()),
                segment_state(record.remote_log_segment_state),
                record.txn_index_empty,
            ),
        }
    }
}

fn topic_partition(id: Uuid, name: &str, partition: i32) -> String {
    format!("{id}:{name}-{partition}")
}

fn segment_id(topic_id: Uuid, name: &str, partition: i32, id: Uuid) -> String {
    format!("RemoteLogSegmentId{{topicIdPartition={}, id={id}}}", topic_partition(topic_id, name, partition))
}

fn epochs(entries: impl Iterator<Item = (i32, i64)>) -> String {
    let sorted: BTreeMap<i32, i64> = entries.collect();
    let shown: Vec<String> = sorted.iter().map(|(epoch, offset)| format!("{epoch}={offset}")).collect();
    format!("{{{}}}", shown.join(", "))
}

fn custom(metadata: Option<&Bytes>) -> String {
    match metadata {
        Some(bytes) => format!("Optional[CustomMetadata{{{} bytes}}]", bytes.len()),
        None => "Optional.empty".to_owned(),
    }
}

fn segment_state(state: i8) -> &'static str {
    match state {
        0 => "COPY_SEGMENT_STARTED",
        1 => "COPY_SEGMENT_FINISHED",
        2 => "DELETE_SEGMENT_STARTED",
        3 => "DELETE_SEGMENT_FINISHED",
        _ => "null",
    }
}

fn partition_state(state: i8) -> &'static str {
    match state {
        0 => "DELETE_PARTITION_MARKED",
        1 => "DELETE_PARTITION_STARTED",
        2 => "DELETE_PARTITION_FINISHED",
        _ => "null",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::remote_log_segment_metadata_record as segment;

    fn framed(kind: u8, message: &impl Message) -> Bytes {
        [&[1, kind, 0][..], &message.to_bytes(0).unwrap()].concat().into()
    }

    fn read(bytes: &Bytes) -> Result<RemoteLogRecord, RemoteLogError> {
        RemoteLogRecord::read(Some(bytes))
    }

    #[test]
    fn segments_are_told_in_kafkas_words() {
        let record = RemoteLogSegmentMetadataRecord {
            remote_log_segment_id: segment::RemoteLogSegmentIdEntry {
                topic_id_partition: segment::TopicIdPartitionEntry {
                    name: "t".into(),
                    partition: 3,
                    ..Default::default()
                },
                ..Default::default()
            },
            end_offset: 9,
            segment_leader_epochs: vec![
                segment::SegmentLeaderEpochEntry { leader_epoch: 2, offset: 5, ..Default::default() },
                segment::SegmentLeaderEpochEntry { leader_epoch: 0, offset: 0, ..Default::default() },
            ],
            custom_metadata: Some(Bytes::from_static(b"abc")),
            remote_log_segment_state: 1,
            ..Default::default()
        };
        assert_eq!(
            read(&framed(0, &record)).unwrap().to_string(),
            "RemoteLogSegmentMetadata{remoteLogSegmentId=RemoteLogSegmentId{topicIdPartition=AAAAAAAAAAAAAAAAAAAAAA:t-3, \
             id=AAAAAAAAAAAAAAAAAAAAAA}, startOffset=0, endOffset=9, brokerId=0, maxTimestampMs=0, eventTimestampMs=0, \
             segmentLeaderEpochs={0=0, 2=5}, segmentSizeInBytes=0, customMetadata=Optional[CustomMetadata{3 bytes}], \
             state=COPY_SEGMENT_FINISHED, txnIdxEmpty=false}"
        );
        let update = RemoteLogSegmentMetadataUpdateRecord { remote_log_segment_state: 2, ..Default::default() };
        let update = read(&framed(1, &update)).unwrap();
        let shown = update.to_string();
        assert!(shown.contains("customMetadata=Optional.empty, state=DELETE_SEGMENT_STARTED, "), "{shown}");
        let json: serde_json::Value = serde_json::from_str(&update.to_json()).unwrap();
        assert_eq!(json["type"], "REMOTE_LOG_SEGMENT_METADATA_UPDATE_RECORD");
        assert_eq!(json["data"]["remoteLogSegmentState"], 2);
    }

    #[test]
    fn what_is_no_such_record_is_said_to_be_none() {
        let error = |bytes: &'static [u8]| read(&Bytes::from_static(bytes)).unwrap_err();
        assert_eq!(RemoteLogRecord::read(None).unwrap_err(), RemoteLogError::NoValue);
        assert_eq!(error(b"\x02\0\0"), RemoteLogError::Frame(2));
        assert_eq!(error(b"\x01\x09\0"), RemoteLogError::Kind(9));
        assert!(matches!(error(b"\x01\0\0\0"), RemoteLogError::Malformed(_)));
        let record = framed(1, &RemoteLogSegmentMetadataUpdateRecord::default());
        let longer = Bytes::from([&record[..], b"xy"].concat());
        assert_eq!(read(&longer).unwrap_err(), RemoteLogError::Behind(2));
    }
}
