//! One share-partition: what became of each record from the first that is not done with to the last that was acquired. Pure: the
//! time comes from outside, nothing is read or written here.
//!
//! A decision (an acknowledgement, a release, a lock that ran out) is made in two steps: it gives a [`Change`] that is to be
//! persisted, and counts when [`SharePartitionState::settle`] is told how that went. One change at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::runs::{Lock, Run, Runs, Standing};
use crate::broker::share_state::{DeliveryState, StateBatch, combine};
use crate::protocol::ErrorCode;

/// What members say of records that they got.
pub(in crate::broker) mod acknowledge_type {
    /// There was no record at this offset.
    pub(in crate::broker) const GAP: i8 = 0;
    pub(in crate::broker) const ACCEPT: i8 = 1;
    pub(in crate::broker) const RELEASE: i8 = 2;
    pub(in crate::broker) const REJECT: i8 = 3;
    /// The member needs more time (KIP-1222).
    pub(in crate::broker) const RENEW: i8 = 4;
}

/// The group's settings.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Rules {
    /// `share.delivery.count.limit`
    pub(in crate::broker) delivery_count_limit: i16,
    /// `share.partition.max.record.locks`
    pub(in crate::broker) max_record_locks: i64,
    /// `share.record.lock.duration.ms`
    pub(in crate::broker) record_lock_duration: Duration,
    /// `share.renew.acknowledge.enable`
    pub(in crate::broker) renew_is_allowed: bool,
}

/// What a member says of records from `first` to `last`: one type for all of them, or one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Acknowledgement {
    pub(in crate::broker) first: i64,
    pub(in crate::broker) last: i64,
    pub(in crate::broker) types: Vec<i8>,
}

/// Why an acknowledgement is refused: the error, and Kafka's words.
pub(in crate::broker) type AcknowledgeError = (ErrorCode, &'static str);

/// What is to be persisted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Change {
    /// The first offset that is not done with when this counts.
    pub(in crate::broker) start_offset: i64,
    pub(in crate::broker) delivery_complete_count: i32,
    pub(in crate::broker) batches: Vec<StateBatch>,
}

/// A share-partition.
///
/// Invariant: `runs` has exactly the offsets from `start` to before `end`, and does not begin with terminal ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct SharePartitionState {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) runs: Runs,
    /// No lock runs out before.
    pub(super) earliest_deadline: Option<Instant>,
}

impl SharePartitionState {
    /// A share-partition as it was persisted. What lies between persisted ranges was acquired when the last leader went: it is
    /// available.
    pub(in crate::broker) fn restore(start: i64, batches: &[StateBatch]) -> Self {
        let mut state = Self { start, end: start, runs: Runs::default(), earliest_deadline: None };
        for batch in combine(&[], batches, start) {
            state.fill_up_to(batch.first, Standing::Available);
            let standing = Standing::settled(batch.state);
            let length = batch.last - batch.first + 1;
            state.runs.push(batch.first, Run { last: batch.last, count: batch.count, batch: length, standing });
            state.end = batch.last + 1;
        }
        state.advance_start();
        state
    }

    /// The first offset that is not done with (Kafka's SPSO).
    pub(in crate::broker) fn start_offset(&self) -> i64 {
        self.start
    }

    /// The offset after the last one that was ever acquired (one more than Kafka's SPEO).
    #[cfg(test)]
    pub(in crate::broker) fn end_offset(&self) -> i64 {
        self.end
    }

    /// Where the next acquisition reads: at the first available record, else at the end.
    pub(in crate::broker) fn next_fetch_offset(&self) -> i64 {
        let available = self.runs.iter().find(|(_, run)| run.standing == Standing::Available);
        available.map_or(self.end, |(first, _)| first)
    }

    /// Whether anything may be acquired: there is an available record, or room for new ones.
    pub(in crate::broker) fn can_acquire(&self, rules: &Rules) -> bool {
        self.next_fetch_offset() < self.end || self.in_flight() < rules.max_record_locks
    }

    pub(super) fn in_flight(&self) -> i64 {
        self.end - self.start
    }

    /// When the next lock may run out.
    pub(in crate::broker) fn next_deadline(&self) -> Option<Instant> {
        self.earliest_deadline
    }

    /// The log begins later now: what was before is no longer anybody's business.
    pub(in crate::broker) fn log_start_moved(&mut self, log_start: i64) {
        if log_start > self.start {
            self.runs.forget_before(log_start);
            self.start = log_start;
            self.end = self.end.max(log_start);
            self.advance_start();
        }
    }

    // ---- Decisions

    /// Takes over what a member says. Renewals hold at once; for the rest there is a change to be persisted, if there is any.
    ///
    /// # Errors
    /// `INVALID_RECORD_STATE` if the member does not have one of the records, `INVALID_REQUEST` if they were never given to
    /// anybody. Then none of it is taken over.
    pub(in crate::broker) fn acknowledge(
        &mut self,
        member: &str,
        said: &[Acknowledgement],
        rules: &Rules,
        now: Instant,
    ) -> Result<Option<Change>, AcknowledgeError> {
        let mut pieces = Vec::new();
        let mut after = i64::MIN;
        for batch in said {
            check_shape(batch, after)?;
            after = batch.last.saturating_add(1);
            // What is done with, or no longer in the log, was settled without this member.
            if batch.last >= self.start {
                self.pieces_of(member, batch, rules, &mut pieces)?;
            }
        }
        let mut decided = Vec::new();
        for (first, last, kind) in pieces {
            if kind == acknowledge_type::RENEW {
                let until = now + rules.record_lock_duration;
                self.runs.change(first, last, |run| {
                    if let Standing::Acquired(lock) = &mut run.standing {
                        lock.until = until;
                    }
                });
            } else {
                decided.push((first, last, kind));
            }
        }
        Ok(self.decide(decided, rules))
    }

    /// What an acknowledgement says, piece by piece: each within one run, of one type.
    fn pieces_of(
        &self,
        member: &str,
        batch: &Acknowledgement,
        rules: &Rules,
        pieces: &mut Vec<(i64, i64, i8)>,
    ) -> Result<(), AcknowledgeError> {
        if self.runs.is_empty() {
            const NOT_FOUND: &str = "Batch record not found. The request batch offsets are not found in the cache.";
            return Err((ErrorCode::InvalidRecordState, NOT_FOUND));
        }
        if batch.first >= self.end {
            const PAST: &str = "Batch record not found. The first offset in request is past acquired records.";
            return Err((ErrorCode::InvalidRequest, PAST));
        }
        if batch.last >= self.end {
            const PAST: &str = "Batch record not found. The last offset in request is past acquired records.";
            return Err((ErrorCode::InvalidRequest, PAST));
        }
        for (first, last, run) in self.runs.within(batch.first.max(self.start), batch.last) {
            match &run.standing {
                Standing::Acquired(lock) if *lock.member == *member => {}
                Standing::Acquired(_) => {
                    return Err((ErrorCode::InvalidRecordState, "Member is not the owner of batch record"));
                }
                _ => {
                    const NOT_ACQUIRED: &str =
                        "The batch cannot be acknowledged. The batch is not in the acquired state.";
                    return Err((ErrorCode::InvalidRecordState, NOT_ACQUIRED));
                }
            }
            let mut from = first;
            while from <= last {
                let (kind, to) = batch.same_from(from, last);
                if kind == acknowledge_type::RENEW && !rules.renew_is_allowed {
                    const NO_RENEWAL: &str = "Renewing acquisition locks is not enabled for the group.";
                    return Err((ErrorCode::InvalidRecordState, NO_RENEWAL));
                }
                pieces.push((from, to, kind));
                from = to + 1;
            }
        }
        Ok(())
    }

    /// Gives back all that a member has: it is gone.
    pub(in crate::broker) fn release_member(&mut self, member: &str, rules: &Rules) -> Option<Change> {
        self.release(rules, |lock| *lock.member == *member)
    }

    /// Gives back what members had for too long.
    pub(in crate::broker) fn expire_locks(&mut self, rules: &Rules, now: Instant) -> Option<Change> {
        let change = self.release(rules, |lock| lock.until <= now);
        self.update_deadline();
        change
    }

    fn release(&mut self, rules: &Rules, which: impl Fn(&Lock) -> bool) -> Option<Change> {
        let held = self.runs.iter().filter_map(|(first, run)| match &run.standing {
            Standing::Acquired(lock) if which(lock) => Some((first, run.last, acknowledge_type::RELEASE)),
            _ => None,
        });
        let held: Vec<_> = held.collect();
        self.decide(held, rules)
    }

    /// Decides about acquired records, each piece within one run.
    fn decide(&mut self, pieces: Vec<(i64, i64, i8)>, rules: &Rules) -> Option<Change> {
        let mut batches = Vec::with_capacity(pieces.len());
        for (first, last, kind) in pieces {
            self.runs.change(first, last, |run| {
                let Standing::Acquired(lock) = &run.standing else { return };
                let to = match kind {
                    acknowledge_type::ACCEPT => DeliveryState::ACKNOWLEDGED,
                    acknowledge_type::RELEASE if run.count < rules.delivery_count_limit => DeliveryState::AVAILABLE,
                    acknowledge_type::RELEASE | acknowledge_type::REJECT | acknowledge_type::GAP => {
                        DeliveryState::ARCHIVED
                    }
                    _ => return,
                };
                run.standing = Standing::Deciding { to, was: lock.clone() };
                batches.push(StateBatch { first, last, state: to, count: run.count });
            });
        }
        if batches.is_empty() {
            return None;
        }
        let mut start_offset = self.start;
        let mut complete = 0;
        for (first, run) in self.runs.iter().filter(|(_, run)| run.standing.will_be_terminal()) {
            if first == start_offset {
                start_offset = run.last + 1;
            } else {
                complete += run.last - first + 1;
            }
        }
        let delivery_complete_count = i32::try_from(complete).unwrap_or(i32::MAX);
        Some(Change { start_offset, delivery_complete_count, batches: combine(&[], &batches, start_offset) })
    }

    /// A change was persisted, or could not be: then its records are as before, but for locks that have run out meanwhile.
    pub(in crate::broker) fn settle(&mut self, is_persisted: bool, rules: &Rules, now: Instant) {
        let deciding = |(first, run): (i64, &Run)| match &run.standing {
            Standing::Deciding { to, was } => Some((first, run.last, *to, was.clone())),
            _ => None,
        };
        let decided: Vec<_> = self.runs.iter().filter_map(deciding).collect();
        for (first, last, to, was) in decided {
            self.runs.change(first, last, |run| {
                run.standing = if is_persisted {
                    Standing::settled(to)
                } else if was.until > now {
                    Standing::Acquired(was)
                } else if run.count < rules.delivery_count_limit {
                    Standing::Available
                } else {
                    Standing::Archived
                };
            });
        }
        self.advance_start();
        self.update_deadline();
    }

    // ---- Upkeep

    /// Adds records up to before an offset that nobody has acquired.
    pub(super) fn fill_up_to(&mut self, offset: i64, standing: Standing) {
        if offset > self.end {
            if self.runs.is_empty() && standing.is_terminal() {
                self.start = offset;
            } else {
                let batch = offset - self.end;
                self.runs.push(self.end, Run { last: offset - 1, count: 0, batch, standing });
            }
            self.end = offset;
        }
    }

    /// Moves the start over what is done with.
    pub(super) fn advance_start(&mut self) {
        let start = self.runs.iter().find(|(_, run)| !run.standing.is_terminal()).map_or(self.end, |(first, _)| first);
        self.runs.forget_before(start);
        self.start = start;
    }

    fn update_deadline(&mut self) {
        let until = |run: &Run| match &run.standing {
            Standing::Acquired(lock) => Some(lock.until),
            _ => None,
        };
        self.earliest_deadline = self.runs.iter().filter_map(|(_, run)| until(run)).min();
    }
}

impl Acknowledgement {
    /// The type of the record at an offset, and how far it holds without a change, up to `last`.
    fn same_from(&self, offset: i64, last: i64) -> (i8, i64) {
        let Some(index) = usize::try_from(offset - self.first).ok().filter(|_| self.types.len() > 1) else {
            return (self.types.first().copied().unwrap_or(acknowledge_type::GAP), last);
        };
        let rest = self.types.get(index..).unwrap_or_default();
        let kind = rest.first().copied().unwrap_or(acknowledge_type::GAP);
        let same = rest.iter().take_while(|other| **other == kind).count().max(1);
        (kind, last.min(offset + i64::try_from(same).unwrap_or(i64::MAX) - 1))
    }
}

/// What can be seen of an acknowledgement without knowing the records. `after`: the offset after the last batch.
fn check_shape(batch: &Acknowledgement, after: i64) -> Result<(), AcknowledgeError> {
    let length = batch.last.checked_sub(batch.first).and_then(|length| length.checked_add(1));
    let fits = |count: usize| count == 1 || i64::try_from(count).ok() == length;
    let known = acknowledge_type::GAP..=acknowledge_type::RENEW;
    if batch.first < after || length.is_none_or(|length| length < 1) {
        Err((ErrorCode::InvalidRequest, "The acknowledgement batches are not in the order of their offsets."))
    } else if batch.types.is_empty() || !fits(batch.types.len()) {
        Err((ErrorCode::InvalidRequest, "There is not one acknowledge type for each offset, or for all of them."))
    } else if !batch.types.iter().all(|kind| known.contains(kind)) {
        Err((ErrorCode::InvalidRequest, "Unknown acknowledge type."))
    } else {
        Ok(())
    }
}

/// A member's name as locks hold it.
pub(in crate::broker) type MemberId = Arc<str>;
