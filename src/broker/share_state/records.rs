//! The records of `__share_group_state`: a snapshot of a share-partition, or what changed since the last one.

use bytes::Bytes;

use super::SharePartitionKey;
use super::batch::{DeliveryState, StateBatch};
use super::shard::Held;
use crate::broker::coordinator::records::{key_bytes, read_kind, read_value, value_bytes};
use crate::broker::coordinator::{MalformedRecord, Record};
use crate::protocol::messages::{
    ShareSnapshotKey, ShareSnapshotValue, ShareUpdateKey, ShareUpdateValue, share_snapshot_value, share_update_value,
};
use crate::protocol::{DecodeError, Message, Reader};

/// The version of both kinds of values.
const VERSION: i16 = 0;

/// What a record of the log says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// The whole state of a share-partition, or that it is gone.
    Snapshot(SharePartitionKey, Option<Held>),
    Update(SharePartitionKey, Update),
    /// A kind that is not known: kept in the log, without meaning here.
    Other,
}

/// What changed of a share-partition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Update {
    pub(super) snapshot_epoch: i32,
    pub(super) leader_epoch: i32,
    /// -1: as before.
    pub(super) start_offset: i64,
    pub(super) delivery_complete_count: i32,
    pub(super) batches: Vec<StateBatch>,
}

/// A snapshot, or with no state the end of a share-partition.
pub(super) fn snapshot(key: &SharePartitionKey, held: Option<&Held>) -> Record {
    let SharePartitionKey { group, topic_id, partition } = key.clone();
    let value = held.map(|held| {
        let batches = held.batches.iter().map(|batch| share_snapshot_value::StateBatch {
            first_offset: batch.first,
            last_offset: batch.last,
            delivery_state: batch.state.0,
            delivery_count: batch.count,
            ..Default::default()
        });
        let value = ShareSnapshotValue {
            snapshot_epoch: held.snapshot_epoch,
            state_epoch: held.state_epoch,
            leader_epoch: held.leader_epoch,
            start_offset: held.start_offset,
            delivery_complete_count: held.delivery_complete_count,
            create_timestamp: held.created_ms,
            write_timestamp: held.written_ms,
            state_batches: batches.collect(),
            ..Default::default()
        };
        value_bytes(&value, VERSION)
    });
    Record { key: key_bytes(&ShareSnapshotKey { group_id: group, topic_id, partition }), value }
}

/// An update since the last snapshot.
pub(super) fn update(key: &SharePartitionKey, update: &Update) -> Record {
    let SharePartitionKey { group, topic_id, partition } = key.clone();
    let batches = update.batches.iter().map(|batch| share_update_value::StateBatch {
        first_offset: batch.first,
        last_offset: batch.last,
        delivery_state: batch.state.0,
        delivery_count: batch.count,
        ..Default::default()
    });
    let value = ShareUpdateValue {
        snapshot_epoch: update.snapshot_epoch,
        leader_epoch: update.leader_epoch,
        start_offset: update.start_offset,
        delivery_complete_count: update.delivery_complete_count,
        state_batches: batches.collect(),
        ..Default::default()
    };
    let key = key_bytes(&ShareUpdateKey { group_id: group, topic_id, partition });
    Record { key, value: Some(value_bytes(&value, VERSION)) }
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
        ShareSnapshotKey::KEY => {
            let key = ShareSnapshotKey::decode(key, VERSION)?;
            let key = SharePartitionKey { group: key.group_id, topic_id: key.topic_id, partition: key.partition };
            let held = value.map(read_value::<ShareSnapshotValue>).transpose()?.map(|value| Held {
                snapshot_epoch: value.snapshot_epoch,
                state_epoch: value.state_epoch,
                leader_epoch: value.leader_epoch,
                start_offset: value.start_offset,
                delivery_complete_count: value.delivery_complete_count,
                created_ms: value.create_timestamp,
                written_ms: value.write_timestamp,
                batches: value
                    .state_batches
                    .iter()
                    .map(|batch| StateBatch {
                        first: batch.first_offset,
                        last: batch.last_offset,
                        state: DeliveryState(batch.delivery_state),
                        count: batch.delivery_count,
                    })
                    .collect(),
                updates: 0,
            });
            Ok(Event::Snapshot(key, held))
        }
        ShareUpdateKey::KEY => {
            let key = ShareUpdateKey::decode(key, VERSION)?;
            let key = SharePartitionKey { group: key.group_id, topic_id: key.topic_id, partition: key.partition };
            // Nobody writes an update without a value; it would say nothing.
            let Some(value) = value.map(read_value::<ShareUpdateValue>).transpose()? else { return Ok(Event::Other) };
            let batches = value.state_batches.iter().map(|batch| StateBatch {
                first: batch.first_offset,
                last: batch.last_offset,
                state: DeliveryState(batch.delivery_state),
                count: batch.delivery_count,
            });
            let update = Update {
                snapshot_epoch: value.snapshot_epoch,
                leader_epoch: value.leader_epoch,
                start_offset: value.start_offset,
                delivery_complete_count: value.delivery_complete_count,
                batches: batches.collect(),
            };
            Ok(Event::Update(key, update))
        }
        _ => Ok(Event::Other),
    }
}
