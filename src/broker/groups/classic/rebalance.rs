//! Rebalances: what they wait for, how a generation comes about, and what falls due.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{ClassicGroup, Joining, State, sync_error};
use crate::broker::coordinator::Now;
use crate::broker::groups::effects::{Effects, Reply};
use crate::broker::groups::member::Member;
use crate::protocol::ErrorCode;

impl ClassicGroup {
    /// Has all members join again.
    pub(in crate::broker::groups) fn start_rebalance(&mut self, now: Now, effects: &mut Effects) {
        self.prepare_rebalance(now, effects);
        self.complete_join_if_all_are_there(now, effects);
    }

    pub(super) fn prepare_rebalance(&mut self, now: Now, effects: &mut Effects) {
        if self.state == State::CompletingRebalance {
            self.drop_assignments(ErrorCode::RebalanceInProgress, effects);
        }
        self.unsynced.clear();
        self.sync_deadline = None;
        let timeout = self.rebalance_timeout();
        self.joining = Some(if self.state == State::Empty {
            let delay = self.initial_delay.min(timeout.max(self.initial_delay));
            let more = timeout.saturating_sub(delay);
            Joining::Initial { until: now.after(delay), more_until: now.after(delay + more), someone_came: false }
        } else {
            Joining::Members { until: now.after(timeout) }
        });
        self.set_state(State::PreparingRebalance, now);
    }

    /// The longest time that a member asks others to wait for it.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|m| m.rebalance_timeout).max().unwrap_or_default()
    }

    pub(super) fn complete_join_if_all_are_there(&mut self, now: Now, effects: &mut Effects) {
        let all = self.pending.is_empty() && self.members.values().all(|m| m.joining.is_some());
        if all && matches!(self.joining, Some(Joining::Members { .. })) && self.state == State::PreparingRebalance {
            self.complete_join(now, effects);
        }
    }

    /// Ends the phase of joining: who did not come back is out, the others learn of the new generation.
    fn complete_join(&mut self, now: Now, effects: &mut Effects) {
        let gone: Vec<String> = self
            .members
            .values()
            .filter(|m| m.joining.is_none() && m.instance_id.is_none())
            .map(|m| m.id.clone())
            .collect();
        for id in gone {
            self.forget_member(&id);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Static members only, none of which came back yet: their session timeouts decide.
            self.joining = Some(Joining::Members { until: now.after(self.rebalance_timeout()) });
            return;
        }
        self.joining = None;
        self.generation = self.generation.wrapping_add(1).max(0);
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.set_state(State::Empty, now);
            effects.records.push(self.record());
            return;
        }
        self.protocol = self.select_protocol();
        self.set_state(State::CompletingRebalance, now);
        self.unsynced = self.members.keys().cloned().collect();
        self.sync_deadline = Some(now.after(self.rebalance_timeout()));
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.join_answer(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.is_new = false;
            member.expires = now.after(member.session_timeout);
            if let Some(token) = member.joining.take() {
                effects.reply(token, Reply::Join(answer));
            }
        }
    }

    /// Makes sure that the leader is one that joined; whether there is one.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |member: &Member| member.joining.is_some();
        if self.leader.as_ref().and_then(|id| self.members.get(id)).is_some_and(joined) {
            return true;
        }
        match self.members.values().find(|m| joined(m)).map(|m| m.id.clone()) {
            Some(id) => {
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    /// The protocols that all of the members offer; `None` if there is no member to ask.
    pub(super) fn common_protocols<'a>(&self, members: &mut dyn Iterator<Item = &'a Member>) -> Option<Vec<&'a str>> {
        let first = members.next()?;
        let mut common: Vec<&str> = first.protocols.iter().map(|p| p.name.as_str()).collect();
        for member in members {
            common.retain(|name| member.protocols.iter().any(|p| p.name == *name));
        }
        Some(common)
    }

    /// The protocol that most members prefer of those that all offer.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let candidates = self.common_protocols(&mut self.members.values())?;
        let mut votes: HashMap<&str, usize> = HashMap::new();
        for member in self.members.values() {
            if let Some(vote) = member.vote(&candidates) {
                *votes.entry(vote).or_default() += 1;
            }
        }
        // Among equals the first candidate, so that a replay decides alike.
        let most = votes.values().max()?;
        candidates.iter().find(|name| votes.get(*name) == Some(most)).map(|name| (*name).to_owned())
    }

    pub(super) fn drop_assignments(&mut self, error: ErrorCode, effects: &mut Effects) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(token) = member.syncing.take() {
                effects.reply(token, Reply::Sync(sync_error(error)));
            }
        }
    }

    /// Does what has fallen due.
    pub(in crate::broker::groups) fn advance(&mut self, now: Now, effects: &mut Effects) {
        let due = |at: Instant| at <= now.steady;
        let given_up = self.pending.len();
        self.pending.retain(|_, until| !due(*until));
        if self.pending.len() != given_up {
            self.complete_join_if_all_are_there(now, effects);
        }
        // A new member is dropped even while its join waits: its client may not know that it is a member.
        let silent: Vec<String> = self
            .members
            .values()
            .filter(|m| due(m.expires) && (!m.is_waiting() || m.is_new))
            .map(|m| m.id.clone())
            .collect();
        for id in silent {
            self.remove_member(&id, now, effects);
        }
        if self.sync_deadline.is_some_and(due) {
            self.sync_deadline = None;
            let late: Vec<String> = self.unsynced.drain().collect();
            if matches!(self.state, State::CompletingRebalance | State::Stable) && !late.is_empty() {
                for id in &late {
                    self.forget_member(id);
                }
                self.prepare_rebalance(now, effects);
                self.complete_join_if_all_are_there(now, effects);
            }
        }
        match self.joining {
            Some(Joining::Initial { until, more_until, someone_came }) if due(until) => {
                if someone_came && until < more_until {
                    let next = now.after(self.initial_delay).min(more_until);
                    self.joining = Some(Joining::Initial { until: next, more_until, someone_came: false });
                } else {
                    self.complete_join(now, effects);
                }
            }
            Some(Joining::Members { until }) if due(until) => self.complete_join(now, effects),
            _ => {}
        }
    }

    /// When something falls due if nothing is heard before.
    pub(in crate::broker::groups) fn next_deadline(&self) -> Option<Instant> {
        let sessions = self.members.values().filter(|m| !m.is_waiting() || m.is_new).map(|m| m.expires);
        let joining = self.joining.map(|joining| match joining {
            Joining::Initial { until, .. } | Joining::Members { until } => until,
        });
        sessions.chain(self.pending.values().copied()).chain(joining).chain(self.sync_deadline).min()
    }
}
