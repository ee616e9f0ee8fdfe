//! The transactional ids of one partition of `__transaction_state`: pure, like the transactions themselves.
//!
//! The commands are in `init.rs` (InitProducerId), `join.rs` (partitions that join a transaction, and whether they have), `end.rs` (EndTxn,
//! timeouts, expiry) and `listing.rs`.
//!
//! A decision is in the log before anybody hears of it, and commands come one after another: so none ever finds a change half made,
//! where Kafka answers `CONCURRENT_TRANSACTIONS`. What remains of that is the time from the decision to end a transaction until its
//! markers are written.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::records::{self, Event};
use super::transaction::{State, Transaction};
use crate::broker::coordinator::{self, Machine, MalformedRecord, Now, Producer, Record, Token};
use crate::protocol::ErrorCode;
use crate::types::{ProducerId, TopicPartition, TransactionVersion};

/// The broker's settings for transactions.
#[derive(Debug, Clone)]
pub(in crate::broker) struct TransactionConfig {
    /// `transaction.max.timeout.ms`
    pub(in crate::broker) max_timeout: Duration,
    /// `transactional.id.expiration.ms`
    pub(in crate::broker) id_expiration: Duration,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub(in crate::broker) timeout_check_interval: Duration,
    /// Largest record that the log takes: what would not fit is refused before anything changes.
    pub(in crate::broker) max_record_bytes: usize,
    /// The level of `transaction.version`.
    pub(in crate::broker) level: TransactionVersion,
}

/// What is to be done once it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) enum Action {
    /// Markers are to be written; then [`Shard::complete`].
    WriteMarkers(Ending),
    /// A transaction has timed out whose producer needs a new id: [`Shard::abort_timed_out`] with one.
    Abort(String),
}

/// A transaction whose end is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Ending {
    pub(in crate::broker) transactional_id: String,
    pub(in crate::broker) producer_id: ProducerId,
    pub(in crate::broker) producer_epoch: i16,
    pub(in crate::broker) commit: bool,
    pub(in crate::broker) partitions: Vec<TopicPartition>,
    pub(in crate::broker) version: TransactionVersion,
}

impl Ending {
    /// That of a transaction which is in one of the Prepare states.
    pub(super) fn of(id: &str, transaction: &Transaction) -> Self {
        Self {
            transactional_id: id.to_owned(),
            producer_id: transaction.producer_id,
            producer_epoch: transaction.producer_epoch,
            commit: transaction.state == State::PrepareCommit,
            partitions: transaction.partitions.iter().cloned().collect(),
            version: transaction.client_version,
        }
    }
}

/// Why a command was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Refusal {
    /// It takes a new producer id: the same again with one.
    NeedsProducerId,
    /// The client is told so.
    Code(ErrorCode),
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

/// What a step leads to.
pub(in crate::broker) type Effects = coordinator::Effects<Infallible, Action>;

/// What a command gives: an answer, and what it leads to.
pub(in crate::broker) type Outcome<T> = (Result<T, Refusal>, Effects);

/// The transactional ids of one partition.
#[derive(Debug)]
pub(in crate::broker) struct Shard {
    pub(super) config: TransactionConfig,
    pub(super) transactions: HashMap<String, Transaction>,
    /// When those that are under way time out, in milliseconds since 1970.
    timeouts: BTreeSet<(i64, String)>,
    /// When timeouts are looked at next; none while there are none.
    next_check: Option<Instant>,
}

impl Shard {
    pub(in crate::broker) fn new(config: TransactionConfig) -> Self {
        Self { config, transactions: HashMap::new(), timeouts: BTreeSet::new(), next_check: None }
    }

    /// A level of `transaction.version` holds from now on.
    pub(in crate::broker) fn set_level(&mut self, level: TransactionVersion) {
        self.config.level = level;
    }

    /// What is known of a transactional id.
    ///
    /// # Errors
    /// No producer has it.
    pub(super) fn known(&self, id: &str) -> Result<&Transaction, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        self.transactions.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)
    }

    /// Takes over a change, with its record.
    ///
    /// # Errors
    /// The record would be too large; nothing has changed.
    pub(super) fn change(
        &mut self,
        id: &str,
        next: Transaction,
        effects: &mut Effects,
        now: Now,
    ) -> Result<(), ErrorCode> {
        let record = records::transaction(id, &next, self.config.level);
        if record.size() > self.config.max_record_bytes {
            return Err(ErrorCode::UnknownServerError);
        }
        effects.records.push(record);
        if next.state.is_ending() {
            effects.actions.push(Action::WriteMarkers(Ending::of(id, &next)));
        }
        self.put(id, next, now);
        Ok(())
    }

    fn put(&mut self, id: &str, next: Transaction, now: Now) {
        let times_out = next.times_out_ms();
        let before = self.transactions.insert(id.to_owned(), next).and_then(|before| before.times_out_ms());
        if before == times_out {
            return;
        }
        if let Some(at) = before {
            self.timeouts.remove(&(at, id.to_owned()));
        }
        if let Some(at) = times_out {
            self.timeouts.insert((at, id.to_owned()));
            self.next_check.get_or_insert_with(|| now.after(self.config.timeout_check_interval));
        }
    }

    /// Forgets a transactional id.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(at) = self.transactions.remove(id).and_then(|gone| gone.times_out_ms()) {
            self.timeouts.remove(&(at, id.to_owned()));
        }
    }

    /// Transactional ids whose transactions have timed out.
    fn timed_out(&self, now: Now) -> Vec<String> {
        self.timeouts.iter().take_while(|(at, _)| *at < now.wall_ms).map(|(_, id)| id.clone()).collect()
    }
}

impl Machine for Shard {
    type Reply = Infallible;
    type Action = Action;

    fn replay(&mut self, record: &Record, _producer: Option<Producer>, now: Now) -> Result<(), MalformedRecord> {
        match records::read(record)? {
            Event::Transaction { id, transaction: Some(transaction) } => self.put(&id, *transaction, now),
            Event::Transaction { id, transaction: None } => self.forget(&id),
            Event::Other => {}
        }
        Ok(())
    }

    /// Nobody writes to this log within a transaction.
    fn end_transaction(&mut self, _producer: Producer, _committed: bool, _now: Now) {}

    /// What was decided is carried out: markers may be missing.
    fn loaded(&mut self, _now: Now) -> Effects {
        let endings = self.transactions.iter().filter(|(_, transaction)| transaction.state.is_ending());
        let mut endings: Vec<Ending> = endings.map(|(id, transaction)| Ending::of(id, transaction)).collect();
        endings.sort_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
        Effects { actions: endings.into_iter().map(Action::WriteMarkers).collect(), ..Effects::default() }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next_check
    }

    /// Aborts what has timed out.
    fn advance(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        if self.next_check.is_none_or(|at| at > now.steady) {
            return effects;
        }
        for id in self.timed_out(now) {
            if let Err(Refusal::NeedsProducerId) = self.abort_into(&id, None, now, &mut effects) {
                effects.actions.push(Action::Abort(id));
            }
        }
        self.next_check = (!self.timeouts.is_empty()).then(|| now.after(self.config.timeout_check_interval));
        effects
    }

    fn resign(&mut self, _error: ErrorCode) -> Vec<(Token, Infallible)> {
        Vec::new()
    }
}
