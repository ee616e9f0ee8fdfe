//! The end of transactions: EndTxn in both of its forms, timeouts, the completion when all markers are written, and the expiry of
//! transactional ids that nobody uses.

use super::init::ProducerIdentity;
use super::records;
use super::shard::{Effects, Ending, Outcome, Refusal, Shard};
use super::transaction::{State, Transaction, is_exhausted};
use crate::broker::coordinator::Now;
use crate::protocol::ErrorCode;
use crate::types::{ProducerId, TransactionVersion};

impl Shard {
    /// EndTxn. Gives the id and epoch for the producer's next transaction.
    pub(in crate::broker) fn end(
        &mut self,
        id: &str,
        producer: ProducerIdentity,
        commit: bool,
        version: TransactionVersion,
        new_id: Option<ProducerId>,
        now: Now,
    ) -> Outcome<ProducerIdentity> {
        let mut effects = Effects::default();
        let answer = self.end_into(id, producer, commit, version, new_id, now, &mut effects);
        (answer, effects)
    }

    #[expect(clippy::too_many_arguments, reason = "the request's fields, and what every command takes")]
    fn end_into(
        &mut self,
        id: &str,
        producer: ProducerIdentity,
        commit: bool,
        version: TransactionVersion,
        new_id: Option<ProducerId>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<ProducerIdentity, Refusal> {
        let known = self.known(id)?;
        let verdict = if version.bumps_epochs() {
            verdict_with_epochs(known, producer, commit)?
        } else {
            verdict_without_epochs(known, producer, commit)?
        };
        let current = ProducerIdentity { id: known.producer_id, epoch: known.producer_epoch };
        if verdict == Verdict::IsOver {
            return Ok(current);
        }
        let next_id = next_id(known, version, new_id)?;
        let next = known.ending(commit, version, next_id, now.wall_ms);
        // What the producer will have when the markers are written.
        let after = next.completed(now.wall_ms);
        self.change(id, next, effects, now)?;
        Ok(ProducerIdentity { id: after.producer_id, epoch: after.producer_epoch })
    }

    /// Aborts a transaction that has timed out.
    pub(in crate::broker) fn abort_timed_out(&mut self, id: &str, new_id: Option<ProducerId>, now: Now) -> Outcome<()> {
        let mut effects = Effects::default();
        let is_due = self.known(id).is_ok_and(|known| known.times_out_ms().is_some_and(|at| at < now.wall_ms));
        let answer = if is_due { self.abort_into(id, new_id, now, &mut effects) } else { Ok(()) };
        (answer, effects)
    }

    /// Aborts the transaction that is under way, and fences its producer.
    pub(super) fn abort_into(
        &mut self,
        id: &str,
        new_id: Option<ProducerId>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let known = self.known(id)?;
        if known.state != State::Ongoing {
            return Ok(());
        }
        // Not the client's doing, so it goes as this cluster has its transactions.
        let version = self.config.level;
        let next_id = next_id(known, version, new_id)?;
        let mut next = known.ending(false, version, next_id, now.wall_ms);
        if !version.bumps_epochs() {
            next.producer_epoch = known.producer_epoch.saturating_add(1);
            next.last_producer_epoch = -1;
        }
        Ok(self.change(id, next, effects, now)?)
    }

    /// Whether this end is the one that markers are missing for.
    pub(in crate::broker) fn is_to_be_completed(&self, ended: &Ending) -> bool {
        let known = self.transactions.get(&ended.transactional_id);
        known.is_some_and(|known| known.state.is_ending() && Ending::of(&ended.transactional_id, known) == *ended)
    }

    /// All markers of a transaction are written.
    pub(in crate::broker) fn complete(&mut self, ended: &Ending, now: Now) -> Effects {
        let mut effects = Effects::default();
        let Some(known) = self.transactions.get(&ended.transactional_id) else { return effects };
        if self.is_to_be_completed(ended) {
            let next = known.completed(now.wall_ms);
            // The record is smaller than the one before it, which did fit.
            let _ = self.change(&ended.transactional_id, next, &mut effects, now);
        }
        effects
    }

    /// Forgets transactional ids that nobody has used for `transactional.id.expiration.ms`.
    pub(in crate::broker) fn expire(&mut self, now: Now) -> Effects {
        let expiration_ms = i64::try_from(self.config.id_expiration.as_millis()).unwrap_or(i64::MAX);
        let expired = self.transactions.iter().filter(|(_, transaction)| {
            let is_idle = matches!(transaction.state, State::Empty | State::CompleteCommit | State::CompleteAbort);
            is_idle && now.wall_ms.saturating_sub(transaction.last_update_ms) >= expiration_ms
        });
        let mut expired: Vec<String> = expired.map(|(id, _)| id.clone()).collect();
        expired.sort();
        let mut effects = Effects::default();
        for id in expired {
            effects.records.push(records::tombstone(&id));
            self.forget(&id);
        }
        effects
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is to be ended.
    End,
    /// It was ended so already: the request is sent again.
    IsOver,
}

/// Clients from before KIP-890: one epoch for many transactions, so a repeated request can't be told from a new one.
fn verdict_without_epochs(known: &Transaction, producer: ProducerIdentity, commit: bool) -> Result<Verdict, ErrorCode> {
    if known.producer_id != producer.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if known.producer_epoch != producer.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    match known.state {
        State::PrepareCommit | State::PrepareAbort => Err(ErrorCode::ConcurrentTransactions),
        State::Ongoing => Ok(Verdict::End),
        State::CompleteCommit if commit => Ok(Verdict::IsOver),
        State::CompleteAbort if !commit => Ok(Verdict::IsOver),
        State::CompleteCommit | State::CompleteAbort | State::Empty => Err(ErrorCode::InvalidTxnState),
    }
}

/// An epoch for each transaction (KIP-890): a request with the epoch before the current one is sent again. A transaction that nothing was
/// written in may be aborted, since the coordinator can't know whether the producer has begun one.
fn verdict_with_epochs(known: &Transaction, producer: ProducerIdentity, commit: bool) -> Result<Verdict, ErrorCode> {
    if known.state.is_ending() {
        // Before all else: the producer may already know the id that it gets when the markers are written.
        return Err(ErrorCode::ConcurrentTransactions);
    }
    let has_new_id = known.previous_producer_id == producer.id
        && producer.epoch == i16::MAX - 1
        && known.producer_epoch == 0
        && known.producer_id != producer.id;
    let is_next_epoch = known.producer_id == producer.id && known.producer_epoch.checked_sub(1) == Some(producer.epoch);
    let is_again = has_new_id || is_next_epoch;
    let is_complete = matches!(known.state, State::CompleteCommit | State::CompleteAbort);
    if known.producer_id != producer.id && !has_new_id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if known.producer_epoch != producer.epoch && !(is_complete && is_again) {
        return Err(ErrorCode::ProducerFenced);
    }
    match (known.state, commit) {
        (State::Ongoing, _) => Ok(Verdict::End),
        (State::CompleteCommit, true) | (State::CompleteAbort, false) if is_again => Ok(Verdict::IsOver),
        (State::CompleteCommit | State::CompleteAbort, false) if !is_again => Ok(Verdict::End),
        (State::Empty, false) => Ok(Verdict::End),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

/// The id that the producer gets after this transaction, if its epochs are used up by it.
fn next_id(
    known: &Transaction,
    version: TransactionVersion,
    new_id: Option<ProducerId>,
) -> Result<ProducerId, Refusal> {
    if version.bumps_epochs() && is_exhausted(known.producer_epoch) {
        return new_id.ok_or(Refusal::NeedsProducerId);
    }
    Ok(ProducerId::NONE)
}
