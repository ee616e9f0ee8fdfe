//! A member's next step from the tasks that it has to those that it is to have.
//!
//! ```text
//! Stable ── there is something to give up ──> UnrevokedTasks ── given up ──┐
//!   ^  └── something is still another's ──> UnreleasedTasks                │
//!   └───────────── all of it is there <──────────┴─────────────────────────┘
//! ```
//! A member stays in its epoch until it has given up what is not in its target: only then the tasks are free for others. It may go on to
//! the target's epoch before others have released what it is still to get.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::group::{Due, Owners};
use super::member::{MemberState, StreamsMember};
use super::records::Change;
use super::tasks::{ActiveTasks, HeldTasks, TaskSet, Tasks};
use super::{Refusal, Step};
use crate::protocol::ErrorCode;

/// What a member is to become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal<'a> {
    pub(super) epoch: i32,
    pub(super) target: &'a TaskSet,
    /// What the member says that it has; `None` if it does not say.
    pub(super) owned: Option<&'a TaskSet>,
}

/// What a member of an unknown state must do first: start anew.
///
/// # Errors
/// It is to do that.
pub(super) fn check_known_state(member: &StreamsMember, owned: Option<&TaskSet>) -> Result<(), Refusal> {
    if member.state == MemberState::Unknown && owned.is_none_or(|owned| !owned.is_empty()) {
        let message =
            "The streams group member is in a unknown state. The member must abandon all its tasks and rejoin.";
        return Err(Refusal::new(ErrorCode::FencedMemberEpoch, message));
    }
    Ok(())
}

impl Step<'_> {
    /// Takes a member a step further, if there is one to take.
    ///
    /// # Errors
    /// It would have more than a record can say.
    pub(super) fn reconcile(&mut self, id: &str, goal: &Goal<'_>) -> Result<(), Refusal> {
        let Some(member) = self.group.members.get(id) else { return Ok(()) };
        let Some(next) = next(member, goal, &self.group.owners).filter(|next| next != member) else { return Ok(()) };
        self.try_put([Change::current(&next)])?;
        let timer = Due::Rebalance(id.to_owned());
        if next.state == MemberState::UnrevokedTasks {
            self.group.timers.set(timer, self.now.after(next.rebalance_timeout()));
        } else {
            self.group.timers.cancel(&timer);
        }
        Ok(())
    }
}

/// The member after its next step; `None` where there is none.
pub(super) fn next(member: &StreamsMember, goal: &Goal<'_>, owners: &Owners) -> Option<StreamsMember> {
    match member.state {
        MemberState::Stable if member.epoch == goal.epoch => None,
        MemberState::UnrevokedTasks if goal.owned.is_none_or(|owned| owned.contains_any(&member.revoking)) => None,
        // All that it was to give up it has given up: that much of the way is done.
        MemberState::UnrevokedTasks => Some(towards(member, member.epoch.saturating_add(1), goal, owners)),
        MemberState::Stable | MemberState::UnreleasedTasks => Some(towards(member, member.epoch, goal, owners)),
        MemberState::Unknown => Some(towards(member, goal.epoch, goal, owners)),
    }
}

/// What becomes of a member's tasks.
#[derive(Debug, Default)]
struct Difference {
    kept: HeldTasks,
    revoking: HeldTasks,
    coming: HeldTasks,
    /// Something in the target is not free yet.
    has_unreleased: bool,
}

fn towards(member: &StreamsMember, epoch: i32, goal: &Goal<'_>, owners: &Owners) -> StreamsMember {
    let Difference { mut kept, revoking, coming, has_unreleased } = difference(member, goal, owners);
    let mut next = member.clone();
    next.previous_epoch = member.epoch;
    if !revoking.is_empty() && goal.owned.is_none_or(|owned| owned.contains_any(&revoking)) {
        next.epoch = epoch;
        next.state = MemberState::UnrevokedTasks;
        next.revoking = Arc::new(revoking);
    } else {
        next.epoch = goal.epoch;
        next.state = if has_unreleased { MemberState::UnreleasedTasks } else { MemberState::Stable };
        next.revoking = Arc::default();
        kept.extend(coming);
    }
    next.assigned = Arc::new(kept);
    next
}

fn difference(member: &StreamsMember, goal: &Goal<'_>, owners: &Owners) -> Difference {
    let mut all = Difference::default();
    let process = member.process_id.as_str();
    let (held, target) = (&*member.assigned, goal.target);
    for (id, tasks) in &held.active {
        let wanted = target.active.get(id);
        let is_wanted = |task: &i32| wanted.is_some_and(|wanted| wanted.contains(task));
        let (kept, gone): (BTreeMap<i32, i32>, BTreeMap<i32, i32>) =
            tasks.iter().map(|(task, epoch)| (*task, *epoch)).partition(|(task, _)| is_wanted(task));
        put_active(&mut all.kept.active, id, kept);
        put_active(&mut all.revoking.active, id, gone);
    }
    for (id, tasks) in &target.active {
        let had = held.active.get(id);
        let new = tasks.iter().filter(|task| had.is_none_or(|had| !had.contains_key(task)));
        let (free, taken): (BTreeSet<i32>, BTreeSet<i32>) =
            new.partition(|task| owners.is_free_to_process(id, **task, process));
        all.has_unreleased |= !taken.is_empty();
        put_active(&mut all.coming.active, id, free.into_iter().map(|task| (task, goal.epoch)).collect());
    }
    for (held, target, role) in
        [(&held.standby, &target.standby, Role::Standby), (&held.warmup, &target.warmup, Role::Warmup)]
    {
        for (id, tasks) in held {
            let (kept, gone): (BTreeSet<i32>, BTreeSet<i32>) =
                tasks.iter().partition(|task| target.get(id).is_some_and(|wanted| wanted.contains(task)));
            put(role.of(&mut all.kept), id, kept);
            put(role.of(&mut all.revoking), id, gone);
        }
        for (id, tasks) in target {
            let new = tasks.iter().filter(|task| held.get(id).is_none_or(|had| !had.contains(task)));
            let (free, taken): (BTreeSet<i32>, BTreeSet<i32>) =
                new.partition(|task| owners.is_free_to_copy(id, **task, process));
            all.has_unreleased |= !taken.is_empty();
            put(role.of(&mut all.coming), id, free);
        }
    }
    all
}

/// The roles in which a process keeps a copy of a task's state.
#[derive(Debug, Clone, Copy)]
enum Role {
    Standby,
    Warmup,
}

impl Role {
    fn of(self, tasks: &mut HeldTasks) -> &mut Tasks {
        match self {
            Self::Standby => &mut tasks.standby,
            Self::Warmup => &mut tasks.warmup,
        }
    }
}

fn put_active(all: &mut ActiveTasks, id: &str, tasks: BTreeMap<i32, i32>) {
    if !tasks.is_empty() {
        all.insert(id.to_owned(), tasks);
    }
}

fn put(all: &mut Tasks, id: &str, tasks: BTreeSet<i32>) {
    if !tasks.is_empty() {
        all.insert(id.to_owned(), tasks);
    }
}
