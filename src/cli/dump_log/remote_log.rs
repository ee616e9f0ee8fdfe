//! Records of `__remote_log_metadata` in the words of Kafka's classes; the frame is that of cluster metadata.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::protocol::messages::{
    RemoteLogSegmentMetadataRecord, RemoteLogSegmentMetadataSnapshotRecord, RemoteLogSegmentMetadataUpdateRecord,
    RemotePartitionDeleteMetadataRecord,
};
use crate::protocol::{DecodeError, Message, Reader};
use crate::types::Uuid;

/// Why a value is no such record.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteLogError {
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
}

/// The record as text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn text(value: Option<&Bytes>) -> Result<String, RemoteLogError> {
    let value = value.ok_or(RemoteLogError::NoValue)?;
    let mut r = Reader::new(value);
    match r.uvarint()? {
        1 => {}
        frame => return Err(RemoteLogError::Frame(frame)),
    }
    let kind = r.uvarint()?;
    let version = i16::try_from(r.uvarint()?).unwrap_or(i16::MAX);
    match i16::try_from(kind) {
        Ok(RemoteLogSegmentMetadataRecord::KEY) => {
            let record = RemoteLogSegmentMetadataRecord::decode(&mut r, version)?;
            let id = &record.remote_log_segment_id;
            let of = &id.topic_id_partition;
            Ok(format!(
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
            ))
        }
        Ok(RemoteLogSegmentMetadataUpdateRecord::KEY) => {
            let record = RemoteLogSegmentMetadataUpdateRecord::decode(&mut r, version)?;
            let id = &record.remote_log_segment_id;
            let of = &id.topic_id_partition;
            Ok(format!(
                "RemoteLogSegmentMetadataUpdate{{remoteLogSegmentId={}, customMetadata={}, state={}, \
                 eventTimestampMs={}, brokerId={}}}",
                segment_id(of.id, &of.name, of.partition, id.id),
                custom(record.custom_metadata.as_ref()),
                segment_state(record.remote_log_segment_state),
                record.event_timestamp_ms,
                record.broker_id,
            ))
        }
        Ok(RemotePartitionDeleteMetadataRecord::KEY) => {
            let record = RemotePartitionDeleteMetadataRecord::decode(&mut r, version)?;
            let of = &record.topic_id_partition;
            Ok(format!(
                "RemotePartitionDeleteMetadata{{topicPartition={}, state={}, eventTimestampMs={}, brokerId={}}}",
                topic_partition(of.id, &of.name, of.partition),
                partition_state(record.remote_partition_delete_state),
                record.event_timestamp_ms,
                record.broker_id,
            ))
        }
        Ok(RemoteLogSegmentMetadataSnapshotRecord::KEY) => {
            let record = RemoteLogSegmentMetadataSnapshotRecord::decode(&mut r, version)?;
            Ok(format!(
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
            ))
        }
        _ => Err(RemoteLogError::Kind(kind)),
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
            text(Some(&framed(0, &record))).unwrap(),
            "RemoteLogSegmentMetadata{remoteLogSegmentId=RemoteLogSegmentId{topicIdPartition=AAAAAAAAAAAAAAAAAAAAAA:t-3, \
             id=AAAAAAAAAAAAAAAAAAAAAA}, startOffset=0, endOffset=9, brokerId=0, maxTimestampMs=0, eventTimestampMs=0, \
             segmentLeaderEpochs={0=0, 2=5}, segmentSizeInBytes=0, customMetadata=Optional[CustomMetadata{3 bytes}], \
             state=COPY_SEGMENT_FINISHED, txnIdxEmpty=false}"
        );
        let update = RemoteLogSegmentMetadataUpdateRecord { remote_log_segment_state: 2, ..Default::default() };
        let shown = text(Some(&framed(1, &update))).unwrap();
        assert!(shown.contains("customMetadata=Optional.empty, state=DELETE_SEGMENT_STARTED, "), "{shown}");
    }

    #[test]
    fn what_is_no_such_record_is_said_to_be_none() {
        assert!(matches!(text(None), Err(RemoteLogError::NoValue)));
        assert!(matches!(text(Some(&Bytes::from_static(b"\x02\0\0"))), Err(RemoteLogError::Frame(2))));
        assert!(matches!(text(Some(&Bytes::from_static(b"\x01\x09\0"))), Err(RemoteLogError::Kind(9))));
        assert!(matches!(text(Some(&Bytes::from_static(b"\x01\0\0\0"))), Err(RemoteLogError::Malformed(_))));
    }
}
