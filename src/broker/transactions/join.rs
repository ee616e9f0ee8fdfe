//! Partitions that join a transaction: AddPartitionsToTxn, AddOffsetsToTxn, and the question whether one has (KIP-890).

use super::init::ProducerIdentity;
use super::shard::{Effects, Outcome, Refusal, Shard};
use super::transaction::State;
use crate::broker::coordinator::Now;
use crate::protocol::ErrorCode;
use crate::types::{TopicPartition, TransactionVersion};

impl Shard {
    /// Has partitions join a producer's transaction, which begins with the first of them.
    pub(in crate::broker) fn add_partitions(
        &mut self,
        id: &str,
        producer: ProducerIdentity,
        partitions: &[TopicPartition],
        version: TransactionVersion,
        now: Now,
    ) -> Outcome<()> {
        let mut effects = Effects::default();
        let answer = self.add_into(id, producer, partitions, version, now, &mut effects);
        (answer.map_err(Refusal::Code), effects)
    }

    fn add_into(
        &mut self,
        id: &str,
        producer: ProducerIdentity,
        partitions: &[TopicPartition],
        version: TransactionVersion,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let known = self.known(id)?;
        if known.state.is_ending() {
            // Before all else: the producer may already know the id that it gets when the markers are written.
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if known.producer_id != producer.id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if known.producer_epoch != producer.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        let are_in = partitions.iter().all(|partition| known.partitions.contains(partition));
        if known.state == State::Ongoing && are_in {
            return Ok(());
        }
        let next = known.joined(partitions, version, now.wall_ms);
        self.change(id, next, effects, now)
    }

    /// Whether partitions are in a producer's transaction: an answer for each.
    ///
    /// # Errors
    /// The code for all of them.
    pub(in crate::broker) fn verify_partitions(
        &self,
        id: &str,
        producer: ProducerIdentity,
        partitions: &[TopicPartition],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let known = self.known(id)?;
        if known.producer_id != producer.id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if known.producer_epoch != producer.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        if known.state.is_ending() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let answers = partitions.iter().map(|partition| {
            if known.partitions.contains(partition) { ErrorCode::None } else { ErrorCode::TransactionAbortable }
        });
        Ok(answers.collect())
    }
}
