//! Records that were not delivered: noted when the producer tells of a batch, told when the tool gets to it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::reader::Message;
use crate::cli::support::{Output, chain_text, hint_for_produce, produce_exception};
use crate::client::producer::{BatchReport, DeliveryObserver, ProduceError};
use crate::types::PartitionId;

/// What Kafka's tool logs failed records as.
const LOGGER: &str = "org.apache.kafka.clients.producer.internals.ErrorLoggingCallback";
/// Failures kept until they are told; more than these are only counted.
const KEPT: usize = 1000;

/// Collects failures.
#[derive(Debug)]
pub(super) struct Failures {
    for_people: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Sizes of the records on their way, in the order in which they were appended. Bounded by the producer's memory.
    on_their_way: BTreeMap<PartitionId, VecDeque<Sizes>>,
    failed: Vec<Failed>,
    lost: u64,
}

/// Lengths of key and value; -1 is null.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    key: i32,
    value: i32,
}

#[derive(Debug)]
struct Failed {
    records: Vec<Sizes>,
    error: ProduceError,
}

impl Sizes {
    fn of(message: &Message) -> Self {
        let length = |bytes: Option<usize>| bytes.map_or(-1, |length| i32::try_from(length).unwrap_or(i32::MAX));
        Self {
            key: length(message.key.as_ref().map(bytes::Bytes::len)),
            value: length(message.value.as_ref().map(bytes::Bytes::len)),
        }
    }
}

impl Failures {
    /// Collects failures, to be told to people or in the form of Kafka's log.
    pub(super) fn new(for_people: bool) -> Self {
        Self { for_people, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record is in a batch of this partition.
    pub(super) fn on_its_way(&self, partition: PartitionId, message: &Message) {
        self.state().on_their_way.entry(partition).or_default().push_back(Sizes::of(message));
    }

    /// The producer did not take the record.
    pub(super) fn refused(&self, message: &Message, error: ProduceError) {
        self.state().add(vec![Sizes::of(message)], error);
    }

    /// How many records were not delivered.
    pub(super) fn lost(&self) -> u64 {
        self.state().lost
    }

    /// Tells of the failures since the last report.
    pub(super) fn report(&self, topic: &str, out: &mut Output) -> io::Result<()> {
        let failed = std::mem::take(&mut self.state().failed);
        let mut hints: Vec<String> = failed.iter().filter_map(|failure| hint_for_produce(&failure.error)).collect();
        hints.dedup();
        for failure in failed {
            if self.for_people {
                let count = failure.records.len();
                let records = if count == 1 { "a record".to_owned() } else { format!("{count} records") };
                let reason = chain_text(&anyhow::Error::new(failure.error));
                out.error(&format!("{records} for {topic} could not be delivered: {reason}"))?;
                continue;
            }
            let (class, message) = produce_exception(topic, &failure.error);
            for sizes in failure.records {
                out.kafka_log_error(
                    format_args!(
                        "Error when sending message to topic {topic} with key: {}, value: {} with error:",
                        size_text(sizes.key),
                        size_text(sizes.value),
                    ),
                    LOGGER,
                )?;
                out.note(format_args!("{class}: {message}"))?;
            }
        }
        hints.iter().try_for_each(|hint| out.hint(hint))
    }
}

impl State {
    fn add(&mut self, records: Vec<Sizes>, error: ProduceError) {
        self.lost += records.len() as u64;
        let kept: usize = self.failed.iter().map(|failure| failure.records.len()).sum();
        if kept < KEPT {
            self.failed.push(Failed { records, error });
        }
    }
}

impl DeliveryObserver for Failures {
    fn batch_done(&self, report: &BatchReport<'_>) {
        let mut state = self.state();
        let queue = state.on_their_way.entry(report.partition.partition).or_default();
        let count = usize::try_from(report.records).unwrap_or(0).min(queue.len());
        match report.result {
            Ok(_) => drop(queue.drain(..count)),
            Err(error) => {
                let records = queue.drain(..count).collect();
                state.add(records, error.clone());
            }
        }
    }
}

fn size_text(size: i32) -> String {
    if size < 0 { "null".to_owned() } else { format!("{size} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ApiError;
    use crate::protocol::ErrorCode;
    use crate::types::TopicPartition;

    fn message(value: &'static [u8]) -> Message {
        Message { value: Some(value.into()), ..Message::default() }
    }

    #[test]
    fn failed_records_are_told_one_by_one_as_in_kafkas_log() {
        let failures = Failures::new(false);
        let partition = TopicPartition::new("t", 0);
        failures.on_its_way(PartitionId(0), &message(b"ok"));
        failures.on_its_way(PartitionId(0), &message(b"three"));
        failures.on_its_way(PartitionId(0), &message(b"ok2"));
        failures.batch_done(&BatchReport { partition: &partition, records: 1, result: Ok(None) });
        let error = ProduceError::Refused(ApiError { code: ErrorCode::MessageTooLarge, message: None });
        failures.batch_done(&BatchReport { partition: &partition, records: 2, result: Err(&error) });
        let (mut out, captured) = Output::captured();
        failures.report("t", &mut out).unwrap();
        let stderr = captured.stderr();
        let lines: Vec<&str> = stderr.lines().map(|line| line.split("] ").last().unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with(
            "ERROR Error when sending message to topic t with key: null, value: 5 bytes with error: (org.apache.kafka"
        ));
        assert_eq!(
            lines[1],
            "org.apache.kafka.common.errors.RecordTooLargeException: The request included a message larger than the \
             max message size the server will accept."
        );
        assert!(lines[2].contains("value: 3 bytes"));
        assert_eq!(failures.lost(), 2);
    }

    #[test]
    fn people_get_a_line_per_batch() {
        let failures = Failures::new(true);
        failures.refused(&message(b"x"), ProduceError::Closed);
        let (mut out, captured) = Output::captured();
        failures.report("t", &mut out).unwrap();
        assert_eq!(captured.stderr(), "error: a record for t could not be delivered: the producer is closed\n");
    }
}
