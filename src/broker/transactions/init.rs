//! InitProducerId: a producer takes a transactional id, and whoever had it before is fenced (KIP-98, KIP-360, KIP-890).

use super::shard::{Effects, Outcome, Refusal, Shard};
use super::transaction::{State, Transaction, is_exhausted};
use crate::broker::coordinator::Now;
use crate::protocol::ErrorCode;
use crate::record::NO_PRODUCER_EPOCH;
use crate::types::ProducerId;

/// Who a producer is, or believes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct ProducerIdentity {
    pub(in crate::broker) id: ProducerId,
    pub(in crate::broker) epoch: i16,
}

impl Shard {
    /// InitProducerId. `expected`: who the producer was so far, if it goes on after an error (KIP-360); it is fenced if somebody has
    /// taken the transactional id since.
    pub(in crate::broker) fn init_producer_id(
        &mut self,
        id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdentity>,
        new_id: Option<ProducerId>,
        now: Now,
    ) -> Outcome<ProducerIdentity> {
        let mut effects = Effects::default();
        let answer = self.init_into(id, timeout_ms, expected, new_id, now, &mut effects);
        (answer, effects)
    }

    fn init_into(
        &mut self,
        id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdentity>,
        new_id: Option<ProducerId>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<ProducerIdentity, Refusal> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest.into());
        }
        let max_timeout_ms = i64::try_from(self.config.max_timeout.as_millis()).unwrap_or(i64::MAX);
        if timeout_ms <= 0 || i64::from(timeout_ms) > max_timeout_ms {
            return Err(ErrorCode::InvalidTransactionTimeout.into());
        }
        let created;
        let known = match self.transactions.get(id) {
            Some(known) => known,
            None => {
                created = Transaction::new(new_id.ok_or(Refusal::NeedsProducerId)?, timeout_ms, now.wall_ms);
                &created
            }
        };
        if known.state.is_ending() {
            return Err(ErrorCode::ConcurrentTransactions.into());
        }
        if expected.is_some_and(|expected| !may_be(known, expected)) {
            return Err(ErrorCode::ProducerFenced.into());
        }
        if known.state == State::Ongoing {
            // The transaction of whoever had the id before is aborted, and with it the producer is fenced. The new one comes back when
            // that is done.
            self.abort_into(id, new_id, now, effects)?;
            return Err(ErrorCode::ConcurrentTransactions.into());
        }
        let expected_epoch = expected.map(|expected| expected.epoch);
        let next = next_epoch(known, expected_epoch, new_id)?;
        let next = known.initialized(next.0, next.1, timeout_ms, now.wall_ms);
        let identity = ProducerIdentity { id: next.producer_id, epoch: next.producer_epoch };
        self.change(id, next, effects, now)?;
        Ok(identity)
    }
}

/// Whether a producer that was `expected` may be the one that has the transactional id.
fn may_be(known: &Transaction, expected: ProducerIdentity) -> bool {
    // Never initialized: it recovers from having been forgotten.
    known.producer_epoch == NO_PRODUCER_EPOCH
        || expected.id == known.producer_id
        // It was given a new id, and has not heard of it.
        || expected.id == known.previous_producer_id && is_exhausted(expected.epoch)
}

/// The id that the producer gets, its epoch, and the epoch that a request sent again comes with.
fn next_epoch(
    known: &Transaction,
    expected: Option<i16>,
    new_id: Option<ProducerId>,
) -> Result<(ProducerId, (i16, i16)), Refusal> {
    let current = known.producer_epoch;
    let is_current = expected.is_none_or(|expected| expected == current || current == NO_PRODUCER_EPOCH);
    if is_current && is_exhausted(current) {
        let last = if expected.is_some() { current } else { NO_PRODUCER_EPOCH };
        return Ok((new_id.ok_or(Refusal::NeedsProducerId)?, (0, last)));
    }
    if is_current {
        // Without an expected epoch this is a new producer, which has sent no request before.
        let last = if expected.is_some() { current } else { NO_PRODUCER_EPOCH };
        return Ok((known.producer_id, (current.saturating_add(1), last)));
    }
    if expected == Some(known.last_producer_epoch) {
        // The same request again: a new producer would have taken away the memory of it.
        return Ok((known.producer_id, (current, known.last_producer_epoch)));
    }
    Err(ErrorCode::ProducerFenced.into())
}
