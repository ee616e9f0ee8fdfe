//! The in-flight records of a share-partition as runs: neighbours in the same state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::broker::share_state::DeliveryState;

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// For whoever comes next.
    Available,
    /// A member has it until then.
    Acquired(Lock),
    /// It is decided what becomes of it, but that is not persisted yet: nobody may have it or say anything more about it. If it
    /// can't be persisted, it is as it was.
    Deciding { to: DeliveryState, was: Lock },
    /// Accepted.
    Acknowledged,
    /// Given up.
    Archived,
}

/// Who has a record, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) member: Arc<str>,
    pub(super) until: Instant,
}

impl Standing {
    /// What is persisted of a settled state.
    pub(super) fn settled(state: DeliveryState) -> Self {
        match state {
            DeliveryState::ACKNOWLEDGED => Self::Acknowledged,
            DeliveryState::ARCHIVED => Self::Archived,
            // A lock is not persisted; whatever else a newer version may write is safe to deliver again.
            _ => Self::Available,
        }
    }

    /// Whether nothing will change any more.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Acknowledged | Self::Archived)
    }

    /// The same, once what is decided is persisted.
    pub(super) fn will_be_terminal(&self) -> bool {
        self.is_terminal() || matches!(self, Self::Deciding { to, .. } if to.is_terminal())
    }
}

/// Records in a row that are in the same state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) last: i64,
    /// How often they were delivered.
    pub(super) count: i16,
    /// How many they were when they were first acquired together: what is delivered over and over is split by it.
    pub(super) batch: i64,
    pub(super) standing: Standing,
}

impl Run {
    fn joins(&self, next: &Self) -> bool {
        self.count == next.count && self.batch == next.batch && self.standing == next.standing
    }
}

/// Runs by their first offsets.
///
/// Invariant: they neither overlap nor leave holes between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Runs {
    runs: BTreeMap<i64, Run>,
}

impl Runs {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Run)> {
        self.runs.iter().map(|(first, run)| (*first, run))
    }

    /// The runs that have any of these offsets, cut to them.
    pub(super) fn within(&self, first: i64, last: i64) -> impl Iterator<Item = (i64, i64, &Run)> {
        let from = self.runs.range(..=first).next_back().map_or(first, |(from, _)| *from);
        self.runs
            .range(from..=last.max(from))
            .filter(move |(from, run)| run.last >= first && **from <= last)
            .map(move |(from, run)| ((*from).max(first), run.last.min(last), run))
    }

    /// Adds a run behind the last one.
    pub(super) fn push(&mut self, first: i64, run: Run) {
        debug_assert!(self.runs.last_key_value().is_none_or(|(_, last)| last.last + 1 == first), "runs leave no holes");
        self.runs.insert(first, run);
        self.join(first);
    }

    /// Changes the records from `first` to `last`, which all are in one run.
    pub(super) fn change(&mut self, first: i64, last: i64, change: impl FnOnce(&mut Run)) {
        self.split(first);
        self.split(last + 1);
        if let Some(run) = self.runs.get_mut(&first) {
            change(run);
        }
        self.join(last + 1);
        self.join(first);
    }

    /// Forgets all before an offset.
    pub(super) fn forget_before(&mut self, offset: i64) {
        self.split(offset);
        self.runs = self.runs.split_off(&offset);
    }

    /// Makes a run begin at an offset, if one goes over it.
    fn split(&mut self, at: i64) {
        if let Some((first, run)) = self.runs.range_mut(..at).next_back()
            && run.last >= at
        {
            debug_assert!(*first < at, "it begins before");
            let rest = run.clone();
            run.last = at - 1;
            self.runs.insert(at, rest);
        }
    }

    /// Joins the run that begins at an offset with the one before it, if they are alike.
    fn join(&mut self, at: i64) {
        let Some(next) = self.runs.get(&at).cloned() else { return };
        if let Some((_, run)) = self.runs.range_mut(..at).next_back()
            && run.last + 1 == at
            && run.joins(&next)
        {
            run.last = next.last;
            self.runs.remove(&at);
        }
    }
}
