//! The uniform assignor where all members subscribe to the same topics: everyone gets the same number of partitions, give or take one.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::super::modern::Assignment;
use super::GroupSpec;
use crate::types::Uuid;

pub(super) fn assign(spec: &GroupSpec<'_>) -> Vec<Arc<Assignment>> {
    let Some(topics) = spec.members.first().map(|member| Arc::clone(&member.topics)) else { return Vec::new() };
    if topics.is_empty() {
        return vec![Arc::default(); spec.members.len()];
    }
    // What members have of it. A log that another wrote may give a partition twice, or one that is not there.
    let mut taken: HashSet<(Uuid, i32)> = HashSet::new();
    let mut held: Vec<Vec<(Uuid, i32)>> = Vec::with_capacity(spec.members.len());
    for member in &spec.members {
        let each = member.assigned.iter().flat_map(|(topic, partitions)| partitions.iter().map(|p| (*topic, *p)));
        let exists = |one: &(Uuid, i32)| topics.contains(&one.0) && (0..spec.partitions_of(one.0)).contains(&one.1);
        held.push(each.filter(exists).filter(|one| taken.insert(*one)).collect());
    }
    let mut unassigned: Vec<(Uuid, i32)> = Vec::new();
    let mut total = 0;
    for topic in topics.iter() {
        let partitions = spec.partitions_of(*topic);
        total += usize::try_from(partitions).unwrap_or_default();
        unassigned.extend((0..partitions).map(|partition| (*topic, partition)).filter(|one| !taken.contains(one)));
    }
    let quota = total / spec.members.len();
    let mut extra = total % spec.members.len();
    let mut result = Vec::with_capacity(spec.members.len());
    let mut unfilled = Vec::new();
    for (index, (member, held)) in spec.members.iter().zip(held).enumerate() {
        let mut left = quota + usize::from(extra > 0);
        let mut has_extra = extra > 0;
        let keeps_all = held.len() <= left && held.len() == member.assigned.values().map(BTreeSet::len).sum::<usize>();
        let kept = if keeps_all {
            left -= held.len();
            Arc::clone(&member.assigned)
        } else {
            let mut kept = Assignment::new();
            for (topic, partition) in held {
                if left > 0 {
                    left -= 1;
                    kept.entry(topic).or_default().insert(partition);
                } else {
                    unassigned.push((topic, partition));
                }
            }
            Arc::new(kept)
        };
        // Who does not fill its extra place leaves it to those that come after, as long as there are enough of them.
        if left > 0 && has_extra && spec.members.len() - index > extra {
            left -= 1;
            has_extra = false;
        }
        if left > 0 {
            unfilled.push((index, left));
        }
        if has_extra {
            extra -= 1;
        }
        result.push(kept);
    }
    let mut unassigned = unassigned.into_iter();
    for (index, left) in unfilled {
        let Some(assignment) = result.get_mut(index) else { continue };
        let given: Vec<_> = unassigned.by_ref().take(left).collect();
        if !given.is_empty() {
            let assignment = Arc::make_mut(assignment);
            for (topic, partition) in given {
                assignment.entry(topic).or_default().insert(partition);
            }
        }
    }
    assert!(unassigned.next().is_none(), "the members' places are as many as the partitions");
    result
}
