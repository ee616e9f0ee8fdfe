//! The range assignor: each topic's partitions in ranges, in the order of instance ids and member ids. Members that subscribe to several topics
//! get the same range of each where the topics have as many partitions. It looks at no assignment before: the order makes it
//! sticky for static members.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::super::modern::Assignment;
use super::{GroupSpec, MemberSpec};
use crate::types::Uuid;

/// How far a topic has been handed out.
struct Ranges {
    partitions: i32,
    quota: i32,
    /// How many members get one more.
    extra: i32,
    next: i32,
}

impl Ranges {
    fn take(&mut self) -> std::ops::Range<i32> {
        let mut quota = self.quota;
        if self.extra > 0 {
            self.extra -= 1;
            quota += 1;
        }
        let start = self.next;
        self.next = (start + quota).min(self.partitions);
        start..self.next
    }
}

pub(super) fn assign(spec: &GroupSpec<'_>) -> Vec<Arc<Assignment>> {
    let mut subscribers: HashMap<Uuid, i32> = HashMap::new();
    for topic in spec.members.iter().flat_map(|member| member.topics.iter()) {
        *subscribers.entry(*topic).or_default() += 1;
    }
    let mut topics: HashMap<Uuid, Ranges> = subscribers
        .into_iter()
        .map(|(topic, subscribers)| {
            let partitions = spec.partitions_of(topic);
            let (quota, extra) = (partitions / subscribers, partitions % subscribers);
            (topic, Ranges { partitions, quota, extra, next: 0 })
        })
        .collect();
    let mut order: Vec<usize> = (0..spec.members.len()).collect();
    order.sort_by(|a, b| match (spec.members.get(*a), spec.members.get(*b)) {
        (Some(a), Some(b)) => by_instance(a, b),
        _ => Ordering::Equal,
    });
    let mut result = vec![Arc::default(); spec.members.len()];
    for index in order {
        let Some(member) = spec.members.get(index) else { continue };
        let mut assignment = Assignment::new();
        for topic in member.topics.iter() {
            let range = topics.get_mut(topic).map(Ranges::take).unwrap_or_default();
            if !range.is_empty() {
                assignment.insert(*topic, range.collect());
            }
        }
        if let Some(slot) = result.get_mut(index) {
            *slot = if *member.assigned == assignment { Arc::clone(&member.assigned) } else { Arc::new(assignment) };
        }
    }
    result
}

/// Static members first, by instance id, then the others by member id.
fn by_instance(a: &MemberSpec<'_>, b: &MemberSpec<'_>) -> Ordering {
    match (a.instance_id, b.instance_id) {
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.id.cmp(b.id),
    }
}
