//! A member's next step from what it has to what it is to have.
//!
//! ```text
//! Stable ── there is something to give up ──> UnrevokedPartitions ── given up ──┐
//!   ^  └── something is still another's ──> UnreleasedPartitions                │
//!   └────────────── all of it is there <──────────┴──────────────────────────────┘
//! ```
//! A member stays in its epoch until it has given up what is not in its target: only then the partitions are free for others. It may
//! go on to the target's epoch before others have released what it is still to get.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::group::{ConsumerGroup, Due};
use super::member::{ConsumerMember, MemberState, Owned};
use super::records::Change;
use super::{ClusterView, Refusal, Step};
use crate::broker::groups::modern::Assignment;
use crate::protocol::ErrorCode;
use crate::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use crate::types::Uuid;

/// What a member is to become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal<'a> {
    pub(super) epoch: i32,
    pub(super) target: &'a Assignment,
    pub(super) has_subscription_changed: bool,
    /// What the member says that it has; `None` if it does not say.
    pub(super) owned: Option<&'a [TopicPartitions]>,
}

/// What a member of an unknown state must do first: start anew.
pub(super) fn check_known_state(member: &ConsumerMember, owned: Option<&[TopicPartitions]>) -> Result<(), Refusal> {
    if member.state == MemberState::Unknown && owned.is_none_or(|owned| !owned.is_empty()) {
        let message = "The consumer group member is in a unknown state. \
                       The member must abandon all its partitions and rejoin.";
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
        if !goal.has_subscription_changed && member.is_reconciled_to(goal.epoch) {
            return Ok(());
        }
        let Some(next) = next(self.group, member, goal, self.view).filter(|next| next != member) else {
            return Ok(());
        };
        self.try_put([Change::current(&next)])?;
        let timer = (id.to_owned(), Due::Rebalance);
        if next.classic.is_none() {
            if next.state == MemberState::UnrevokedPartitions {
                self.group.timers.set(timer, self.now.after(next.rebalance_timeout()));
            } else {
                self.group.timers.cancel(&timer);
            }
        }
        Ok(())
    }
}

/// The member after its next step; `None` where there is none.
fn next(group: &ConsumerGroup, member: &ConsumerMember, goal: &Goal<'_>, view: &ClusterView) -> Option<ConsumerMember> {
    let subscribed = |topic: Uuid| is_subscribed(group, member, topic, view);
    match member.state {
        MemberState::Stable if member.epoch == goal.epoch => {
            goal.has_subscription_changed.then(|| without_unsubscribed(member, goal, subscribed))
        }
        MemberState::UnrevokedPartitions if owns_any(goal.owned, &member.revoking) => {
            goal.has_subscription_changed.then(|| without_unsubscribed(member, goal, subscribed))
        }
        MemberState::Stable | MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
            Some(towards(group, member, member.epoch, goal, subscribed))
        }
        MemberState::Unknown => Some(towards(group, member, goal.epoch, goal, subscribed)),
    }
}

fn is_subscribed(group: &ConsumerGroup, member: &ConsumerMember, topic: Uuid, view: &ClusterView) -> bool {
    let Some(topic) = view.topic_by_id(topic) else { return false };
    let resolved = member.regex().and_then(|regex| group.modern.subscriptions.resolved(regex));
    member.topics.contains(&*topic.name) || resolved.is_some_and(|resolved| resolved.topics.contains(&*topic.name))
}

/// Whether the member may still have one of these; if it does not say, it does.
fn owns_any(owned: Option<&[TopicPartitions]>, of: &Owned) -> bool {
    let Some(owned) = owned else { return true };
    owned.iter().any(|topic| {
        of.get(&topic.topic_id).is_some_and(|of| topic.partitions.iter().any(|partition| of.contains_key(partition)))
    })
}

/// The member in its epoch, without the topics that it has just stopped subscribing to: it need not wait for an assignment to give those up.
fn without_unsubscribed(member: &ConsumerMember, goal: &Goal<'_>, subscribed: impl Fn(Uuid) -> bool) -> ConsumerMember {
    let mut next = member.clone();
    let mut revoking = (*member.revoking).clone();
    let gone: Vec<Uuid> = member.assigned.keys().copied().filter(|topic| !subscribed(*topic)).collect();
    if gone.is_empty() {
        return next;
    }
    let assigned = Arc::make_mut(&mut next.assigned);
    for topic in gone {
        revoking.entry(topic).or_default().extend(assigned.remove(&topic).unwrap_or_default());
    }
    if owns_any(goal.owned, &revoking) {
        next.state = MemberState::UnrevokedPartitions;
        next.revoking = Arc::new(revoking);
    }
    next.move_to(member.epoch);
    next
}

/// The member on its way to its target.
fn towards(
    group: &ConsumerGroup,
    member: &ConsumerMember,
    epoch: i32,
    goal: &Goal<'_>,
    subscribed: impl Fn(Uuid) -> bool,
) -> ConsumerMember {
    let mut waits_for_others = false;
    let (mut assigned, mut revoking, mut given) = (Owned::new(), Owned::new(), Owned::new());
    let topics: BTreeSet<Uuid> = goal.target.keys().chain(member.assigned.keys()).copied().collect();
    let (nothing, none) = (BTreeSet::new(), BTreeMap::new());
    for topic in topics {
        let target = goal.target.get(&topic).filter(|_| subscribed(topic)).unwrap_or(&nothing);
        let current = member.assigned.get(&topic).unwrap_or(&none);
        let (kept, lost): (BTreeMap<_, _>, BTreeMap<_, _>) =
            current.iter().map(|(partition, epoch)| (*partition, *epoch)).partition(|(p, _)| target.contains(p));
        let mut new = BTreeMap::new();
        for partition in target.iter().filter(|partition| !kept.contains_key(partition)) {
            // What it is itself giving up it may take back.
            let is_own = member.revoking.get(&topic).is_some_and(|revoking| revoking.contains_key(partition));
            if is_own || group.is_free(topic, *partition) {
                new.insert(*partition, goal.epoch);
            } else {
                waits_for_others = true;
            }
        }
        for (owned, partitions) in [(&mut assigned, kept), (&mut revoking, lost), (&mut given, new)] {
            if !partitions.is_empty() {
                owned.insert(topic, partitions);
            }
        }
    }
    let mut next = member.clone();
    if owns_any(goal.owned, &revoking) && !revoking.is_empty() {
        next.state = MemberState::UnrevokedPartitions;
        next.move_to(epoch);
        next.revoking = Arc::new(revoking);
    } else {
        for (topic, partitions) in given {
            assigned.entry(topic).or_default().extend(partitions);
        }
        next.state = if waits_for_others { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        next.move_to(goal.epoch);
        next.revoking = Arc::default();
    }
    next.assigned = Arc::new(assigned);
    next
}
