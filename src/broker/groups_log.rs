//! `__consumer_offsets` as the group coordinator sees it: records in, records out.

use std::sync::Arc;

use super::errors::{append_error, chain};
use super::groups::{GroupLog, Record};
use super::partition::Partition;
use super::topics::Topics;
use crate::log::ReadLimits;
use crate::protocol::ErrorCode;
use crate::record::{BatchBuilder, BatchOptions, LogEntry, NewRecord, RecordBatch, entries};

/// The topic's name.
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// How much of the log is read at once while groups are loaded (`offsets.load.buffer.size`).
const LOAD_BYTES: usize = 5 << 20;

/// Most bytes of records in one batch of ours, unless a single record is larger.
const BATCH_BYTES: usize = 512 << 10;

/// How much one batch of the log may take decompressed. Kafka may have written it with another codec.
const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;

/// The log of the groups, over the partitions of this broker.
#[derive(Debug)]
pub(super) struct OffsetsLog {
    topics: Arc<Topics>,
    partitions: i32,
}

impl OffsetsLog {
    /// `partitions`: `offsets.topic.num.partitions`.
    pub(super) fn new(topics: Arc<Topics>, partitions: i32) -> Self {
        Self { topics, partitions }
    }

    fn partition(&self, partition: i32) -> Result<Arc<Partition>, ErrorCode> {
        self.topics.partition(OFFSETS_TOPIC, partition).ok_or(ErrorCode::CoordinatorNotAvailable)
    }
}

impl GroupLog for OffsetsLog {
    fn append(&self, partition: i32, records: &[Record], now_ms: i64) -> Result<(), ErrorCode> {
        let partition = self.partition(partition)?;
        let mut rest = records;
        while !rest.is_empty() {
            let mut batch = BatchBuilder::new(BatchOptions::default());
            let mut taken = 0;
            for record in rest {
                let record = NewRecord {
                    timestamp: now_ms,
                    key: Some(&record.key),
                    value: record.value.as_deref(),
                    headers: &[],
                };
                if taken > 0 && batch.size_of_next(&record) > BATCH_BYTES {
                    break;
                }
                batch.append(&record).map_err(|_| ErrorCode::UnknownServerError)?;
                taken += 1;
            }
            let bytes = batch.build().map_err(|_| ErrorCode::UnknownServerError)?;
            let (batch, _) = RecordBatch::new(&bytes).map_err(|_| ErrorCode::UnknownServerError)?;
            partition.append_own(batch, now_ms).map_err(|error| match append_error(&error) {
                // Words that clients of a coordinator know (Kafka's own mapping).
                ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower => ErrorCode::NotCoordinator,
                ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::UnknownServerError,
                ErrorCode::NotEnoughReplicas | ErrorCode::UnknownTopicOrPartition => ErrorCode::CoordinatorNotAvailable,
                other => other,
            })?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn replay(&self, partition: i32, each: &mut dyn FnMut(Record)) -> Result<(), ErrorCode> {
        let partition = self.partition(partition)?;
        let log = partition.log();
        let mut at = log.log_start_offset();
        let end = log.log_end_offset();
        while at < end {
            let limits = ReadLimits { end, max_bytes: LOAD_BYTES, at_least_one_batch: true };
            let read = log.read(at, limits).map_err(|error| {
                tracing::error!(partition = %partition.name(), error = chain(&error), "groups can't be read");
                ErrorCode::CoordinatorNotAvailable
            })?;
            if read.next_offset <= at {
                break;
            }
            for entry in entries(&read.bytes) {
                let entry = entry.map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
                if matches!(&entry, LogEntry::Batch(batch) if batch.header().attributes.is_control()) {
                    continue;
                }
                let records = entry
                    .owned_records(&read.bytes, MAX_DECOMPRESSED_BYTES)
                    .map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
                for record in records {
                    let record = record.map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
                    if let Some(key) = record.key.filter(|_| record.offset >= at) {
                        each(Record { key, value: record.value });
                    }
                }
            }
            at = read.next_offset;
        }
        Ok(())
    }

    fn is_leader(&self, partition: i32) -> bool {
        self.topics.has_partition(OFFSETS_TOPIC, partition)
    }

    fn partitions(&self) -> i32 {
        if self.topics.by_name(OFFSETS_TOPIC).is_some() { self.partitions } else { 0 }
    }
}
