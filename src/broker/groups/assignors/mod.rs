//! Who gets what: the assignors that run in the coordinator, as functions from who is there and what they have to what they are to have.
//!
//! They are sticky: what a member has it keeps as far as balance allows. Members come in the order of their ids and topics in that
//! of theirs, so that the same group always gives the same assignment.

mod heterogeneous;
mod homogeneous;
mod range;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::modern::{Assignment, ClusterView};
use crate::types::Uuid;

/// A server-side assignor, by the name that clients and settings know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) enum Assignor {
    /// Balanced over all topics.
    Uniform,
    /// Topic by topic in ranges: members get the same partitions of each topic, as joins need.
    Range,
}

impl Assignor {
    /// The assignor of this name.
    pub(in crate::broker) fn named(name: &str) -> Option<Self> {
        match name.trim() {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    pub(in crate::broker) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignment of each member, in their order.
    pub(in crate::broker) fn assign(self, spec: &GroupSpec<'_>) -> Vec<Arc<Assignment>> {
        match (self, spec.subscription) {
            (Self::Range, _) => range::assign(spec),
            (Self::Uniform, SubscriptionType::Homogeneous) => homogeneous::assign(spec),
            (Self::Uniform, SubscriptionType::Heterogeneous) => heterogeneous::assign(spec),
        }
    }
}

/// Whether all members subscribe to the same topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum SubscriptionType {
    Homogeneous,
    Heterogeneous,
}

/// A member as an assignor sees it.
#[derive(Debug, Clone)]
pub(in crate::broker) struct MemberSpec<'a> {
    pub(in crate::broker) id: &'a str,
    pub(in crate::broker) instance_id: Option<&'a str>,
    /// The topics that it subscribes to, of those that exist.
    pub(in crate::broker) topics: Arc<BTreeSet<Uuid>>,
    /// What it was to have until now.
    pub(in crate::broker) assigned: Arc<Assignment>,
}

/// A group as an assignor sees it.
#[derive(Debug)]
pub(in crate::broker) struct GroupSpec<'a> {
    /// In the order of their ids.
    pub(in crate::broker) members: Vec<MemberSpec<'a>>,
    pub(in crate::broker) subscription: SubscriptionType,
    /// How many partitions each topic has that a member subscribes to.
    pub(in crate::broker) partitions: HashMap<Uuid, i32>,
}

impl<'a> GroupSpec<'a> {
    /// A group of these members.
    pub(in crate::broker) fn new(
        members: Vec<MemberSpec<'a>>,
        subscription: SubscriptionType,
        view: &ClusterView,
    ) -> Self {
        let mut partitions = HashMap::new();
        let mut last: Option<&Arc<BTreeSet<Uuid>>> = None;
        for member in &members {
            // Members mostly share one subscription.
            if last.is_some_and(|last| Arc::ptr_eq(last, &member.topics)) {
                continue;
            }
            last = Some(&member.topics);
            for id in member.topics.iter() {
                if let Some(topic) = view.topic_by_id(*id) {
                    partitions.insert(*id, topic.partitions());
                }
            }
        }
        Self { members, subscription, partitions }
    }

    fn partitions_of(&self, topic: Uuid) -> i32 {
        self.partitions.get(&topic).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
