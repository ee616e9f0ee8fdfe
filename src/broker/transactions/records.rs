//! The records of `__transaction_state`: one per transactional id, with all that is known of it.

use std::collections::BTreeSet;

use super::transaction::{State, Transaction};
use crate::broker::coordinator::records::{key_bytes, read_kind, read_value, value_bytes};
use crate::broker::coordinator::{MalformedRecord, Record};
use crate::protocol::Message as _;
use crate::protocol::messages::TransactionLogKey;
use crate::protocol::messages::transaction_log_value::{PartitionsSchema, TransactionLogValue};
use crate::types::{ProducerId, TopicPartition, TransactionVersion};

/// What a record of the log says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    Transaction {
        id: String,
        /// None: it was forgotten.
        transaction: Option<Box<Transaction>>,
    },
    /// Of another kind, or in a state that is never written: without meaning here.
    Other,
}

/// All that is known of a transactional id, in the form of a level of `transaction.version`.
pub(super) fn transaction(id: &str, transaction: &Transaction, level: TransactionVersion) -> Record {
    // Before level 1 the fields that are only in version 1 are not kept.
    let version = i16::from(level >= TransactionVersion::V1);
    let value = TransactionLogValue {
        producer_id: transaction.producer_id.get(),
        previous_producer_id: transaction.previous_producer_id.get(),
        next_producer_id: transaction.next_producer_id.get(),
        producer_epoch: transaction.producer_epoch,
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_status: transaction.state.id(),
        // Null before the first transaction, as Kafka writes it.
        transaction_partitions: (transaction.state != State::Empty).then(|| by_topic(&transaction.partitions)),
        transaction_last_update_timestamp_ms: transaction.last_update_ms,
        transaction_start_timestamp_ms: transaction.start_ms,
        client_transaction_version: transaction.client_version.get(),
        ..Default::default()
    };
    let value = if version == 0 { without_tags(value) } else { value };
    Record { key: key(id), value: Some(value_bytes(&value, version)) }
}

fn without_tags(value: TransactionLogValue) -> TransactionLogValue {
    let TransactionLogValue { previous_producer_id, next_producer_id, client_transaction_version, .. } =
        Default::default();
    TransactionLogValue { previous_producer_id, next_producer_id, client_transaction_version, ..value }
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<PartitionsSchema> {
    let mut topics: Vec<PartitionsSchema> = Vec::new();
    for partition in partitions {
        let index = partition.partition.get();
        match topics.last_mut() {
            Some(topic) if topic.topic == partition.topic => topic.partition_ids.push(index),
            _ => topics.push(PartitionsSchema {
                topic: partition.topic.clone(),
                partition_ids: vec![index],
                ..Default::default()
            }),
        }
    }
    topics
}

/// A transactional id is forgotten.
pub(super) fn tombstone(id: &str) -> Record {
    Record { key: key(id), value: None }
}

fn key(id: &str) -> bytes::Bytes {
    key_bytes(&TransactionLogKey { transactional_id: id.to_owned() })
}

/// Reads a record of the log.
///
/// # Errors
/// Its bytes are not of its kind.
pub(super) fn read(record: &Record) -> Result<Event, MalformedRecord> {
    read_kind(record, |kind, key, value| {
        if kind != TransactionLogKey::KEY {
            return Ok(Event::Other);
        }
        let id = TransactionLogKey::decode(key, 0)?.transactional_id;
        let Some(value) = value.map(read_value::<TransactionLogValue>).transpose()? else {
            return Ok(Event::Transaction { id, transaction: None });
        };
        let Some(state) = State::from_id(value.transaction_status) else { return Ok(Event::Other) };
        let topics = value.transaction_partitions.unwrap_or_default();
        let partitions = topics.iter().flat_map(|topic| {
            topic.partition_ids.iter().map(|index| TopicPartition::new(topic.topic.as_str(), *index))
        });
        let transaction = Transaction {
            producer_id: ProducerId::new(value.producer_id),
            previous_producer_id: ProducerId::new(value.previous_producer_id),
            next_producer_id: ProducerId::new(value.next_producer_id),
            producer_epoch: value.producer_epoch,
            // Not in the log: a repeated request is not known as such after a change of the coordinator, as in Kafka.
            last_producer_epoch: -1,
            timeout_ms: value.transaction_timeout_ms,
            state,
            partitions: partitions.collect(),
            start_ms: value.transaction_start_timestamp_ms,
            last_update_ms: value.transaction_last_update_timestamp_ms,
            client_version: TransactionVersion::new(value.client_transaction_version),
        };
        Ok(Event::Transaction { id, transaction: Some(Box::new(transaction)) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written() {
        let full = Transaction {
            previous_producer_id: ProducerId::new(6),
            next_producer_id: ProducerId::new(8),
            producer_epoch: 32766,
            state: State::PrepareCommit,
            partitions: [("a", 0), ("a", 3), ("b", 1)].map(|(t, p)| TopicPartition::new(t, p)).into(),
            start_ms: 5,
            client_version: TransactionVersion::V2,
            ..Transaction::new(ProducerId::new(7), 60_000, 9)
        };
        let record = transaction("id", &full, TransactionVersion::V2);
        assert_eq!(record.value.as_ref().unwrap()[..2], [0, 1]);
        let expected = Event::Transaction { id: "id".into(), transaction: Some(Box::new(full.clone())) };
        assert_eq!(read(&record).unwrap(), expected);
        let record = transaction("id", &full, TransactionVersion::V0);
        assert_eq!(record.value.as_ref().unwrap()[..2], [0, 0]);
        let Event::Transaction { transaction: Some(old), .. } = read(&record).unwrap() else { panic!("gone") };
        assert_eq!(old.partitions, full.partitions);
        assert_eq!((old.next_producer_id, old.client_version), (ProducerId::NONE, TransactionVersion::V0));
        let gone = Event::Transaction { id: "id".into(), transaction: None };
        assert_eq!(read(&tombstone("id")).unwrap(), gone);
    }

    /// Bytes that Kafka 4.3.1 wrote for a first InitProducerId: see `tests/data/vectors` for all fields.
    #[test]
    fn an_empty_transaction_has_null_for_its_partitions() {
        let fresh = Transaction { producer_epoch: 0, ..Transaction::new(ProducerId::new(7), 60_000, 9) };
        let value = transaction("id", &fresh, TransactionVersion::V0).value.unwrap();
        // Version, id, epoch, timeout, status, then an array's length of -1.
        assert_eq!(
            value[..2 + 8 + 2 + 4 + 1 + 4],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 234, 96, 0, 255, 255, 255, 255]
        );
    }
}
