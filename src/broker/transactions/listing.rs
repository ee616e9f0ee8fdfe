//! What administrators see: DescribeTransactions and ListTransactions (KIP-664, KIP-994, KIP-1152).

use std::collections::HashSet;

use regex::Regex;

use super::shard::Shard;
use super::transaction::Transaction;
use crate::broker::coordinator::Now;

/// Which transactional ids are wanted; what is empty does not matter.
#[derive(Debug, Default)]
pub(in crate::broker) struct Filter {
    /// In one of these states, by name.
    pub(in crate::broker) states: HashSet<String>,
    /// Of one of these producers.
    pub(in crate::broker) producer_ids: HashSet<i64>,
    /// Begun longer ago than this; negative: whenever.
    pub(in crate::broker) longer_than_ms: i64,
    /// The whole id matches.
    pub(in crate::broker) pattern: Option<Regex>,
}

impl Filter {
    fn matches(&self, id: &str, transaction: &Transaction, now: Now) -> bool {
        let age_ms = now.wall_ms.saturating_sub(transaction.start_ms);
        (self.states.is_empty() || self.states.contains(transaction.state.name()))
            && (self.producer_ids.is_empty() || self.producer_ids.contains(&transaction.producer_id.get()))
            && (self.longer_than_ms < 0 || age_ms > self.longer_than_ms)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    }
}

impl Shard {
    /// What is known of a transactional id.
    pub(in crate::broker) fn describe(&self, id: &str) -> Option<Transaction> {
        self.transactions.get(id).cloned()
    }

    /// The transactional ids that are wanted, in no order.
    pub(in crate::broker) fn list(&self, filter: &Filter, now: Now) -> impl Iterator<Item = (&str, &Transaction)> {
        self.transactions
            .iter()
            .filter(move |(id, transaction)| filter.matches(id, transaction, now))
            .map(|(id, transaction)| (id.as_str(), transaction))
    }
}
