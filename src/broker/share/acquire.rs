//! Acquisition: which of the records that were read a member gets, and for how long.

use std::time::Instant;

use super::runs::{Lock, Run, Standing};
use super::state::{MemberId, Rules, SharePartitionState};

/// How exactly the number of records counts (KIP-1206).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum AcquireMode {
    /// Whole record batches: a few more than asked for are better than a batch that goes to two members.
    BatchOptimized,
    /// Not one more.
    RecordLimit,
}

/// The offsets of a record batch in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct BatchRange {
    pub(in crate::broker) first: i64,
    pub(in crate::broker) last: i64,
    /// Whether it is part of a transaction that was aborted, which this group does not want to see.
    pub(in crate::broker) is_aborted: bool,
}

/// What a member asks for.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Acquire {
    pub(in crate::broker) member: MemberId,
    pub(in crate::broker) mode: AcquireMode,
    pub(in crate::broker) max_records: i64,
    /// New records are handed out in pieces of about this many.
    pub(in crate::broker) batch_size: i64,
    pub(in crate::broker) now: Instant,
}

/// Records that a member got, with the number of times that they have been delivered by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct Acquired {
    pub(in crate::broker) first: i64,
    pub(in crate::broker) last: i64,
    pub(in crate::broker) count: i16,
}

/// From this number of deliveries on records are handed out in smaller pieces, so that one that kills its readers does
/// not take others with it.
fn throttled_from(rules: &Rules) -> i16 {
    (rules.delivery_count_limit / 2 + rules.delivery_count_limit % 2).max(2)
}

impl SharePartitionState {
    /// Gives a member of what was read from `fetch_offset` on: first what is available again, then what is new.
    pub(in crate::broker) fn acquire(
        &mut self,
        wanted: &Acquire,
        fetch_offset: i64,
        read: &[BatchRange],
        rules: &Rules,
    ) -> Vec<Acquired> {
        let (Some(first), Some(mut last)) = (read.first().map(|b| b.first), read.last().map(|b| b.last)) else {
            return Vec::new();
        };
        if last < self.start || wanted.max_records <= 0 {
            return Vec::new();
        }
        let room = rules.max_record_locks - self.in_flight();
        let mut left = wanted.max_records.min(room);
        if left <= 0 {
            // No room for new records, but those that are in flight already take none.
            left = wanted.max_records.min(self.end - fetch_offset);
            last = last.min(self.end - 1);
            if left <= 0 {
                return Vec::new();
            }
        }
        self.archive_missing(fetch_offset, first);
        let from = first.max(self.start);
        let mut giving = Giving { wanted, read, rules, left, acquired: Vec::new() };
        let goes_on = self.acquire_again(&mut giving, from, last);
        if goes_on && giving.left > 0 && last >= self.end {
            self.acquire_new(&mut giving, last);
        }
        let acquired = giving.acquired;
        for batch in read.iter().filter(|batch| batch.is_aborted) {
            self.archive(batch.first, batch.last, |standing| {
                matches!(standing, Standing::Acquired(lock) if lock.member == wanted.member && lock.until == wanted.until(rules))
            });
        }
        self.advance_start();
        let acquired = without_aborted(acquired, read);
        if !acquired.is_empty() {
            let until = wanted.until(rules);
            self.earliest_deadline = Some(self.earliest_deadline.map_or(until, |earliest| earliest.min(until)));
        }
        acquired
    }

    /// The log has nothing between these offsets any more: it was compacted away.
    fn archive_missing(&mut self, from: i64, to: i64) {
        if from < to {
            self.archive(from, to - 1, |standing| *standing == Standing::Available);
            self.fill_up_to(to, Standing::Archived);
            self.advance_start();
        }
    }

    fn archive(&mut self, first: i64, last: i64, which: impl Fn(&Standing) -> bool) {
        let pieces = self.runs.within(first, last).filter(|(_, _, run)| which(&run.standing));
        let pieces: Vec<_> = pieces.map(|(first, last, _)| (first, last)).collect();
        for (first, last) in pieces {
            self.runs.change(first, last, |run| run.standing = Standing::Archived);
        }
    }

    /// Gives what is available again; says whether new records may follow.
    fn acquire_again(&mut self, giving: &mut Giving<'_>, from: i64, last: i64) -> bool {
        let throttled = throttled_from(giving.rules);
        let mut at = from;
        while at <= last && giving.left > 0 {
            let found = self.runs.within(at, last).find(|(_, _, run)| run.standing == Standing::Available);
            let Some((first, run_last, run)) = found else { return true };
            let (count, batch) = (run.count, run.batch);
            let is_risky = count >= throttled;
            if is_risky && !giving.acquired.is_empty() {
                return false;
            }
            let to = if count >= giving.rules.delivery_count_limit - 1 && is_risky {
                // Its last chance, and nobody else's risk.
                first
            } else if is_risky {
                let halved = (batch >> (count - throttled + 1).clamp(1, 62)).max(1);
                run_last.min(first + halved.min(giving.left) - 1)
            } else {
                run_last.min(giving.cut(first))
            };
            self.runs.change(first, to, |run| {
                run.count = run.count.saturating_add(1);
                run.standing = giving.lock();
            });
            giving.took(first, to, count.saturating_add(1));
            if is_risky {
                return false;
            }
            at = to + 1;
        }
        true
    }

    /// Gives records that nobody has had yet.
    fn acquire_new(&mut self, giving: &mut Giving<'_>, last: i64) {
        let to = last.min(giving.cut(self.end));
        let mut first = self.end;
        while first <= to {
            let piece = giving.piece_end(first, to);
            let batch = piece - first + 1;
            self.runs.push(first, Run { last: piece, count: 1, batch, standing: giving.lock() });
            self.end = piece + 1;
            giving.took(first, piece, 1);
            first = piece + 1;
        }
    }
}

impl Acquire {
    fn until(&self, rules: &Rules) -> Instant {
        self.now + rules.record_lock_duration
    }
}

/// An acquisition under way.
struct Giving<'a> {
    wanted: &'a Acquire,
    read: &'a [BatchRange],
    rules: &'a Rules,
    left: i64,
    acquired: Vec<Acquired>,
}

impl Giving<'_> {
    fn lock(&self) -> Standing {
        Standing::Acquired(Lock { member: self.wanted.member.clone(), until: self.wanted.until(self.rules) })
    }

    fn took(&mut self, first: i64, last: i64, count: i16) {
        self.left -= last - first + 1;
        self.acquired.push(Acquired { first, last, count });
    }

    /// The last offset that may be given from `first` on.
    fn cut(&self, first: i64) -> i64 {
        let limit = first.saturating_add(self.left - 1);
        match self.wanted.mode {
            AcquireMode::RecordLimit => limit,
            AcquireMode::BatchOptimized => {
                let batch = self.read.iter().find(|batch| (batch.first..=batch.last).contains(&limit));
                batch.map_or(limit, |batch| batch.last)
            }
        }
    }

    /// Where a piece of new records ends: before the first record batch that begins `batch_size` records on.
    fn piece_end(&self, first: i64, last: i64) -> i64 {
        if self.wanted.mode == AcquireMode::RecordLimit {
            return last;
        }
        let next =
            self.read.iter().map(|batch| batch.first).find(|begin| *begin - first >= self.wanted.batch_size.max(1));
        next.map_or(last, |begin| last.min(begin - 1))
    }
}

/// What is left of acquired ranges when the aborted batches are taken out.
fn without_aborted(acquired: Vec<Acquired>, read: &[BatchRange]) -> Vec<Acquired> {
    let mut left = acquired;
    for aborted in read.iter().filter(|batch| batch.is_aborted) {
        left = left
            .into_iter()
            .flat_map(|range| {
                let before = Acquired { last: range.last.min(aborted.first - 1), ..range };
                let after = Acquired { first: range.first.max(aborted.last + 1), ..range };
                let is_apart = aborted.last < range.first || aborted.first > range.last;
                let parts = if is_apart { [Some(range), None] } else { [Some(before), Some(after)] };
                parts.into_iter().flatten().filter(|part| part.first <= part.last)
            })
            .collect();
    }
    left
}
