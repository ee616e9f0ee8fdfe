//! The uniform assignor where members subscribe to different topics.
//!
//! Members keep what they have of topics that they still subscribe to. What is free goes to the least loaded subscribers, the topics that are the hardest to
//! place first (most partitions per subscriber). Then partitions move topic by topic from the most to the least loaded of the topic's subscribers,
//! until no topic can improve the balance, or for a bounded number of rounds: a topic's subscribers are linked by other topics, so that one
//! round may undo what another did.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::super::modern::Assignment;
use super::GroupSpec;
use crate::types::Uuid;

/// Rounds of balancing (Kafka's number).
const MOST_ROUNDS: usize = 16;

/// A topic while it is assigned.
struct Topic {
    id: Uuid,
    /// Indices of the members that subscribe to it.
    subscribers: Vec<usize>,
    /// Index of the member that has each partition.
    owners: Vec<Option<usize>>,
}

pub(super) fn assign(spec: &GroupSpec<'_>) -> Vec<Arc<Assignment>> {
    let mut loads = vec![0usize; spec.members.len()];
    let mut topics = topics(spec, &mut loads);
    // Hardest to place first. As Kafka: by the ratio, then few subscribers first, then by id as two signed numbers.
    topics.sort_by(|a, b| {
        let ratio = |topic: &Topic| topic.owners.len() as f64 / topic.subscribers.len() as f64;
        ratio(b)
            .total_cmp(&ratio(a))
            .then(a.subscribers.len().cmp(&b.subscribers.len()))
            .then(signed(a.id).cmp(&signed(b.id)))
    });
    for topic in &mut topics {
        assign_free(topic, &mut loads);
    }
    balance(&mut topics, &mut loads);
    let mut result: Vec<Assignment> = vec![Assignment::new(); spec.members.len()];
    for topic in &topics {
        for (partition, owner) in (0..).zip(&topic.owners) {
            if let Some(assignment) = owner.and_then(|owner| result.get_mut(owner)) {
                assignment.entry(topic.id).or_default().insert(partition);
            }
        }
    }
    let shared = result.into_iter().zip(&spec.members).map(|(assignment, member)| {
        if *member.assigned == assignment { Arc::clone(&member.assigned) } else { Arc::new(assignment) }
    });
    shared.collect()
}

/// The topics with what members keep of them.
fn topics(spec: &GroupSpec<'_>, loads: &mut [usize]) -> Vec<Topic> {
    let mut topics: BTreeMap<Uuid, Topic> = BTreeMap::new();
    for (index, member) in spec.members.iter().enumerate() {
        for id in member.topics.iter() {
            let partitions = usize::try_from(spec.partitions_of(*id)).unwrap_or_default();
            let topic = topics.entry(*id).or_insert_with(|| Topic {
                id: *id,
                subscribers: Vec::new(),
                owners: vec![None; partitions],
            });
            topic.subscribers.push(index);
        }
    }
    for ((index, member), load) in spec.members.iter().enumerate().zip(loads) {
        for (id, partitions) in member.assigned.iter().filter(|(id, _)| member.topics.contains(id)) {
            let Some(topic) = topics.get_mut(id) else { continue };
            for partition in partitions {
                let slot = usize::try_from(*partition).ok().and_then(|partition| topic.owners.get_mut(partition));
                if let Some(slot @ None) = slot {
                    *slot = Some(index);
                    *load += 1;
                }
            }
        }
    }
    topics.into_values().collect()
}

fn signed(id: Uuid) -> i128 {
    // The sign of the lower half matters only where the upper halves are equal.
    let half = |bytes: &[u8]| bytes.iter().fold(0i64, |number, byte| (number << 8) | i64::from(*byte));
    let (most, least) = id.0.split_at(8);
    (i128::from(half(most)) << 64) + i128::from(half(least))
}

fn load(loads: &[usize], member: usize) -> usize {
    loads.get(member).copied().unwrap_or_default()
}

fn change(loads: &mut [usize], member: usize, by: isize) {
    if let Some(load) = loads.get_mut(member) {
        *load = load.saturating_add_signed(by);
    }
}

/// Gives what nobody has to the least loaded of the topic's subscribers.
fn assign_free(topic: &mut Topic, loads: &mut [usize]) {
    let mut least: BinaryHeap<_> =
        topic.subscribers.iter().map(|member| Reverse((load(loads, *member), *member))).collect();
    for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
        let Some(Reverse((_, member))) = least.pop() else { return };
        *owner = Some(member);
        change(loads, member, 1);
        least.push(Reverse((load(loads, member), member)));
    }
}

fn balance(topics: &mut [Topic], loads: &mut [usize]) {
    let mut settled = 0;
    let movable = topics.iter().filter(|topic| topic.subscribers.len() > 1).count();
    for _ in 0..MOST_ROUNDS {
        for topic in topics.iter_mut().filter(|topic| topic.subscribers.len() > 1) {
            if balance_topic(topic, loads) > 0 {
                settled = 1;
            } else {
                settled += 1;
            }
            if settled >= movable {
                return;
            }
        }
    }
}

/// Moves partitions from the most to the least loaded; returns how many.
fn balance_topic(topic: &mut Topic, loads: &mut [usize]) -> usize {
    // What each member can give away; what it is given here it keeps.
    let mut owned: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (partition, owner) in topic.owners.iter().enumerate() {
        if let Some(owner) = owner {
            owned.entry(*owner).or_default().push(partition);
        }
    }
    let mut most: BinaryHeap<_> = owned.keys().map(|member| (load(loads, *member), *member)).collect();
    let mut least: BinaryHeap<_> =
        topic.subscribers.iter().map(|member| Reverse((load(loads, *member), *member))).collect();
    let mut moved = 0;
    while let Some((high, from)) = most.pop() {
        // An entry that is no longer true was followed by one that is.
        if high != load(loads, from) {
            continue;
        }
        let Some(Reverse((low, to))) = least.pop() else { break };
        if low != load(loads, to) {
            most.push((high, from));
            continue;
        }
        if high <= low + 1 {
            break;
        }
        let Some(partition) = owned.get_mut(&from).and_then(Vec::pop) else {
            least.push(Reverse((low, to)));
            continue;
        };
        if let Some(owner) = topic.owners.get_mut(partition) {
            *owner = Some(to);
        }
        change(loads, from, -1);
        change(loads, to, 1);
        moved += 1;
        for member in [from, to] {
            let load = load(loads, member);
            least.push(Reverse((load, member)));
            if owned.contains_key(&member) {
                most.push((load, member));
            }
        }
    }
    moved
}
