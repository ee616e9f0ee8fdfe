//! A coordinator's internal topic as its machines see it: records in, records out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::effects::{Producer, Record};
use super::runtime::{Committed, CoordinatorLog, Entry, Position, Replayed};
use crate::broker::errors::{append_error, chain};
use crate::broker::partition::{Appended, Partition};
use crate::broker::topics::Topics;
use crate::config::ServerConfig;
use crate::log::{AppendError, ReadLimits, Verification};
use crate::protocol::ErrorCode;
use crate::record::{BatchBuilder, BatchHeader, BatchOptions, EndMarker, LogEntry, NewRecord, RecordBatch, entries};
use crate::types::{Offset, ProducerId};

/// How much of the log is read at once while a machine is loaded (`offsets.load.buffer.size`, `transaction.state.log.load.buffer.size`).
const LOAD_BYTES: usize = 5 << 20;

/// Most bytes of records in one batch of ours, unless a single record is larger.
const BATCH_BYTES: usize = 512 << 10;

/// How much one batch of the log may take decompressed. Kafka may have written it with another codec.
const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;

/// The log of a coordinator, over the partitions of this broker.
#[derive(Debug)]
pub(in crate::broker) struct TopicLog {
    topic: &'static str,
    topics: Arc<Topics>,
    /// How long an answer waits for the replicas (`offsets.commit.timeout.ms`).
    commit_timeout: Duration,
}

impl TopicLog {
    /// The log that is the topic of this name.
    pub(in crate::broker) fn new(topic: &'static str, topics: Arc<Topics>, commit_timeout: Duration) -> Self {
        Self { topic, topics, commit_timeout }
    }

    fn partition(&self, partition: i32) -> Result<Arc<Partition>, ErrorCode> {
        let found = self.topics.partition(self.topic, partition).ok_or(ErrorCode::CoordinatorNotAvailable)?;
        // As an append to it would say, which may come before the coordinator has resigned.
        found.check_online().map_err(|_| ErrorCode::NotCoordinator)?;
        Ok(found)
    }
}

/// An append's error in words that clients of a coordinator know (Kafka's own mapping).
fn write_error(error: &AppendError) -> ErrorCode {
    match append_error(error) {
        ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::UnknownServerError,
        ErrorCode::NotEnoughReplicas | ErrorCode::UnknownTopicOrPartition => ErrorCode::CoordinatorNotAvailable,
        other => other,
    }
}

/// Takes as many of `records` as make a batch.
fn batch_of(records: &[Record], options: &BatchOptions, now_ms: i64) -> Result<(bytes::Bytes, usize), ErrorCode> {
    let mut batch = BatchBuilder::new(*options);
    let mut taken = 0;
    for record in records {
        let record =
            NewRecord { timestamp: now_ms, key: Some(&record.key), value: record.value.as_deref(), headers: &[] };
        if taken > 0 && batch.size_of_next(&record) > BATCH_BYTES {
            break;
        }
        batch.append(&record).map_err(|_| ErrorCode::UnknownServerError)?;
        taken += 1;
    }
    Ok((batch.build().map_err(|_| ErrorCode::UnknownServerError)?, taken))
}

/// The largest record that fits in a batch which the log takes (`message.max.bytes`).
pub(in crate::broker) fn largest_record(config: &ServerConfig) -> usize {
    /// The batch's header, and the lengths within the record.
    const AROUND_BYTES: usize = 128;
    let largest_batch = usize::try_from(config.topic_defaults.max_message_bytes).unwrap_or_default();
    largest_batch.saturating_sub(AROUND_BYTES)
}

impl CoordinatorLog for TopicLog {
    fn topic(&self) -> &str {
        self.topic
    }

    fn append(&self, partition: i32, entry: Entry<'_>, now_ms: i64) -> Result<Position, ErrorCode> {
        let partition = self.partition(partition)?;
        let appended = match entry {
            Entry::Records { records, producer } => append_records(&partition, records, producer, now_ms)?,
            Entry::Marker(marker) => partition.append_marker(marker, now_ms).map_err(|error| write_error(&error))?,
        };
        Ok(Position { end: appended.end_offset(), epoch: appended.leader_epoch() })
    }

    fn check_producer(&self, partition: i32, producer: Producer, verification: Verification) -> Result<(), ErrorCode> {
        let log = Arc::clone(self.partition(partition)?.log());
        log.check_producer(ProducerId::new(producer.id), producer.epoch, verification)
            .map_err(|error| write_error(&error))
    }

    fn is_committed(&self, partition: i32, position: Position) -> bool {
        self.partition(partition).is_ok_and(|partition| partition.is_committed(position.end, position.epoch))
    }

    fn committed(&self, partition: i32, position: Position) -> Committed<'_> {
        Box::pin(async move {
            let partition = self.partition(partition)?;
            let deadline = Instant::now() + self.commit_timeout;
            match partition.committed(position.end, position.epoch, deadline).await {
                Ok(()) => Ok(()),
                Err(ErrorCode::RequestTimedOut) => Err(ErrorCode::CoordinatorNotAvailable),
                Err(_) => Err(ErrorCode::NotCoordinator),
            }
        })
    }

    fn replay(&self, partition: i32, each: &mut dyn FnMut(Replayed)) -> Result<Position, ErrorCode> {
        let partition = self.partition(partition)?;
        let epoch = partition.leader_epoch();
        let log = partition.log();
        let mut at = log.log_start_offset();
        let end = log.log_end_offset();
        while at < end {
            let limits = ReadLimits { end, max_bytes: LOAD_BYTES, at_least_one_batch: true };
            let read = log.read(at, limits).map_err(|error| {
                tracing::error!(partition = %partition.name(), error = chain(&error), "a coordinator's log can't be read");
                ErrorCode::CoordinatorNotAvailable
            })?;
            if read.next_offset <= at {
                break;
            }
            for entry in entries(&read.bytes) {
                let entry = entry.map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
                replay_entry(&entry, &read.bytes, at, each).ok_or(ErrorCode::CoordinatorNotAvailable)?;
            }
            at = read.next_offset;
        }
        Ok(Position { end, epoch })
    }

    fn bytes(&self, partition: i32) -> u64 {
        self.partition(partition).map_or(0, |partition| partition.log().size_bytes())
    }

    fn is_leader(&self, partition: i32) -> bool {
        self.partition(partition).is_ok()
    }
}

fn append_records(
    partition: &Arc<Partition>,
    records: &[Record],
    producer: Option<Producer>,
    now_ms: i64,
) -> Result<Appended, ErrorCode> {
    let options = producer.map_or_else(BatchOptions::default, |producer| BatchOptions {
        producer_id: ProducerId::new(producer.id),
        producer_epoch: producer.epoch,
        transactional: true,
        ..BatchOptions::default()
    });
    let (mut rest, mut last) = (records, None);
    while !rest.is_empty() {
        let (bytes, taken) = batch_of(rest, &options, now_ms)?;
        let (batch, _) = RecordBatch::new(&bytes).map_err(|_| ErrorCode::UnknownServerError)?;
        last = Some(partition.append_own(batch, now_ms).map_err(|error| write_error(&error))?);
        rest = rest.get(taken..).unwrap_or_default();
    }
    last.ok_or(ErrorCode::UnknownServerError)
}

/// Gives what one batch of the log says, from offset `from` on; `None` if it can't be read.
fn replay_entry(
    entry: &LogEntry<'_>,
    bytes: &bytes::Bytes,
    from: Offset,
    each: &mut dyn FnMut(Replayed),
) -> Option<()> {
    let mut producer = None;
    if let LogEntry::Batch(batch) = entry {
        let header = batch.header();
        if header.attributes.is_control() {
            if let Some(marker) = EndMarker::of(batch) {
                each(Replayed::Marker { producer: producer_of(header), committed: marker.commit });
            }
            return Some(());
        }
        producer = header.attributes.is_transactional().then(|| producer_of(header));
    }
    for record in entry.owned_records(bytes, MAX_DECOMPRESSED_BYTES).ok()? {
        let record = record.ok()?;
        if let Some(key) = record.key.filter(|_| record.offset >= from) {
            let offset = record.offset;
            each(Replayed::Record { record: Record { key, value: record.value }, producer, offset });
        }
    }
    Some(())
}

fn producer_of(header: &BatchHeader) -> Producer {
    Producer { id: header.producer_id.get(), epoch: header.producer_epoch }
}
