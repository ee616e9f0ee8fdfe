//! Tasks: a subtopology at one partition number, which reads that partition of all of the subtopology's source topics.

use std::collections::{BTreeMap, BTreeSet};

/// Tasks, by subtopology. No subtopology stands in it without tasks.
pub(super) type Tasks = BTreeMap<String, BTreeSet<i32>>;

/// Active tasks, each with the assignment epoch in which the member was given it.
pub(super) type ActiveTasks = BTreeMap<String, BTreeMap<i32, i32>>;

/// The tasks of a member by what it does with them: processing, keeping a copy of the state, or catching up with the state to process later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::broker::groups) struct TaskSet {
    pub(super) active: Tasks,
    pub(super) standby: Tasks,
    pub(super) warmup: Tasks,
}

impl TaskSet {
    pub(super) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty() && self.warmup.is_empty()
    }

    /// Whether one of these is among the member's, in the same role.
    pub(super) fn contains_any(&self, held: &HeldTasks) -> bool {
        let shares = |own: &Tasks, held: &Tasks| {
            held.iter().any(|(id, tasks)| own.get(id).is_some_and(|own| !own.is_disjoint(tasks)))
        };
        let is_active = |(id, tasks): (&String, &BTreeMap<i32, i32>)| {
            self.active.get(id).is_some_and(|own| tasks.keys().any(|task| own.contains(task)))
        };
        held.active.iter().any(is_active) || shares(&self.standby, &held.standby) || shares(&self.warmup, &held.warmup)
    }
}

/// The tasks that a member has, or has yet to give up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HeldTasks {
    pub(super) active: ActiveTasks,
    pub(super) standby: Tasks,
    pub(super) warmup: Tasks,
}

impl HeldTasks {
    pub(super) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty() && self.warmup.is_empty()
    }

    /// Adds what another one has.
    pub(super) fn extend(&mut self, other: Self) {
        for (id, tasks) in other.active {
            self.active.entry(id).or_default().extend(tasks);
        }
        for (own, other) in [(&mut self.standby, other.standby), (&mut self.warmup, other.warmup)] {
            for (id, tasks) in other {
                own.entry(id).or_default().extend(tasks);
            }
        }
    }
}
