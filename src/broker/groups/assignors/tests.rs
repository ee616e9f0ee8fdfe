//! What every assignment must be: complete, disjoint, balanced, sticky.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::*;
use crate::broker::groups::modern::TopicView;

fn topic(n: u8) -> Uuid {
    Uuid([n; 16])
}

fn view(partitions: &[(u8, usize)]) -> ClusterView {
    let topics = partitions
        .iter()
        .map(|(n, count)| Arc::new(TopicView::new(&format!("t{n}"), topic(*n), vec![Vec::new(); *count])));
    ClusterView::new(1, topics)
}

/// Members with their topics and what they have.
type Group = BTreeMap<String, (Option<String>, BTreeSet<Uuid>, Arc<Assignment>)>;

fn group(members: &[(&str, &[u8])]) -> Group {
    let member = |(id, topics): &(&str, &[u8])| {
        ((*id).to_owned(), (None, topics.iter().map(|n| topic(*n)).collect(), Arc::default()))
    };
    members.iter().map(member).collect()
}

/// Runs an assignor and takes over what it says.
fn assign(assignor: Assignor, group: &mut Group, view: &ClusterView) {
    let first = group.values().next().map(|member| member.1.clone());
    let same = group.values().all(|member| Some(&member.1) == first.as_ref());
    let members = group.iter().map(|(id, (instance, topics, assigned))| MemberSpec {
        id,
        instance_id: instance.as_deref(),
        topics: Arc::new(topics.iter().copied().filter(|id| view.topic_by_id(*id).is_some()).collect()),
        assigned: Arc::clone(assigned),
    });
    let kind = if same { SubscriptionType::Homogeneous } else { SubscriptionType::Heterogeneous };
    let spec = GroupSpec::new(members.collect(), kind, view);
    let result = assignor.assign(&spec);
    assert_eq!(result.len(), group.len());
    for (member, assignment) in group.values_mut().zip(result) {
        assert!(assignment.values().all(|partitions| !partitions.is_empty()), "a topic without partitions");
        member.2 = assignment;
    }
    check(group, view);
}

/// Every partition that somebody subscribes to has one owner, who subscribes to it.
fn check(group: &Group, view: &ClusterView) {
    let mut owners: HashMap<(Uuid, i32), &str> = HashMap::new();
    for (id, (_, topics, assigned)) in group {
        for (topic, partitions) in assigned.iter() {
            assert!(topics.contains(topic), "{id} does not subscribe to {topic}");
            for partition in partitions {
                assert_eq!(owners.insert((*topic, *partition), id), None, "{topic}-{partition} has two owners");
            }
        }
    }
    let subscribed: BTreeSet<Uuid> = group.values().flat_map(|member| member.1.iter().copied()).collect();
    let wanted: usize =
        subscribed.iter().filter_map(|id| view.topic_by_id(*id)).map(|topic| topic.partitions() as usize).sum();
    assert_eq!(owners.len(), wanted, "every partition has an owner");
}

fn sizes(group: &Group) -> Vec<usize> {
    group.values().map(|member| member.2.values().map(BTreeSet::len).sum()).collect()
}

fn held(group: &Group) -> BTreeSet<(String, Uuid, i32)> {
    let mut held = BTreeSet::new();
    for (id, (_, _, assignment)) in group {
        for (topic, partitions) in assignment.iter() {
            held.extend(partitions.iter().map(|partition| (id.clone(), *topic, *partition)));
        }
    }
    held
}

fn partitions(group: &Group, member: &str, n: u8) -> Vec<i32> {
    group[member].2.get(&topic(n)).map(|partitions| partitions.iter().copied().collect()).unwrap_or_default()
}

#[test]
fn a_new_member_takes_no_more_than_its_share() {
    let view = view(&[(1, 3), (2, 4)]);
    let mut group = group(&[("a", &[1, 2]), ("b", &[1, 2])]);
    assign(Assignor::Uniform, &mut group, &view);
    assert_eq!(sizes(&group), [3, 4]);
    let before = held(&group);
    group.insert("c".into(), (None, [topic(1), topic(2)].into(), Arc::default()));
    assign(Assignor::Uniform, &mut group, &view);
    assert_eq!(sizes(&group), [3, 2, 2]);
    assert_eq!(before.difference(&held(&group)).count(), 2, "no more than what the new member gets moves");
    let before = held(&group);
    group.remove("a");
    assign(Assignor::Uniform, &mut group, &view);
    let after = held(&group);
    assert!(before.iter().filter(|one| one.0 != "a").all(|one| after.contains(one)), "who stays keeps what it has");
}

#[test]
fn nothing_moves_where_nothing_changed() {
    let view = view(&[(1, 10), (2, 3)]);
    for assignor in [Assignor::Uniform, Assignor::Range] {
        for members in [&[("a", &[1, 2][..]), ("b", &[1, 2])], &[("a", &[1][..]), ("b", &[1, 2])]] {
            let mut group = group(members);
            assign(assignor, &mut group, &view);
            let before = group.clone();
            assign(assignor, &mut group, &view);
            for (before, after) in before.values().zip(group.values()) {
                assert!(Arc::ptr_eq(&before.2, &after.2), "not even copied");
            }
        }
    }
}

#[test]
fn more_members_than_partitions() {
    let view = view(&[(1, 2)]);
    let mut group = group(&[("a", &[1]), ("b", &[1]), ("c", &[1])]);
    assign(Assignor::Uniform, &mut group, &view);
    assert_eq!(sizes(&group), [0, 1, 1]);
    group.remove("b");
    assign(Assignor::Uniform, &mut group, &view);
    assert_eq!(sizes(&group), [1, 1]);
}

#[test]
fn ranges_go_together() {
    let view = view(&[(1, 3), (2, 3)]);
    let mut group = group(&[("a", &[1, 2]), ("b", &[1, 2])]);
    assign(Assignor::Range, &mut group, &view);
    assert_eq!((partitions(&group, "a", 1), partitions(&group, "a", 2)), (vec![0, 1], vec![0, 1]));
    assert_eq!((partitions(&group, "b", 1), partitions(&group, "b", 2)), (vec![2], vec![2]));
    // Static members come first, by their instance ids.
    group.get_mut("b").unwrap().0 = Some("i".into());
    assign(Assignor::Range, &mut group, &view);
    assert_eq!((partitions(&group, "b", 1), partitions(&group, "a", 1)), (vec![0, 1], vec![2]));
}

#[test]
fn ranges_of_different_subscriptions() {
    let view = view(&[(1, 3), (2, 3), (3, 2)]);
    let mut group = group(&[("a", &[1, 2]), ("b", &[3]), ("c", &[2, 3])]);
    assign(Assignor::Range, &mut group, &view);
    assert_eq!(partitions(&group, "a", 1), [0, 1, 2]);
    assert_eq!((partitions(&group, "a", 2), partitions(&group, "c", 2)), (vec![0, 1], vec![2]));
    assert_eq!((partitions(&group, "b", 3), partitions(&group, "c", 3)), (vec![0], vec![1]));
}

#[test]
fn different_subscriptions_are_balanced_as_far_as_they_go() {
    let view = view(&[(1, 6), (2, 2), (3, 2)]);
    let mut group = group(&[("a", &[1, 2, 3]), ("b", &[2, 3]), ("c", &[3])]);
    assign(Assignor::Uniform, &mut group, &view);
    assert_eq!(sizes(&group), [6, 2, 2]);
    group.insert("d".into(), (None, [topic(1)].into(), Arc::default()));
    let before = held(&group);
    assign(Assignor::Uniform, &mut group, &view);
    assert_eq!(sizes(&group), [3, 2, 2, 3]);
    assert_eq!(before.difference(&held(&group)).count(), 3);
}

/// Goal: however members, subscriptions and topics change, assignments stay complete and disjoint; alike subscriptions give loads that differ by one at
/// most; different ones leave no single move that would improve the balance, unless the rounds ran out.
#[test]
fn any_history_of_a_group_is_assigned_well() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut counts: BTreeMap<u8, usize> = (1..=4).map(|n| (n, random.usize(1..9))).collect();
        let mut group = Group::new();
        let alike = random.bool();
        for step in 0..30 {
            match random.u8(0..6) {
                0 | 1 => {
                    let topics = (1..=5).filter(|_| alike || random.bool()).map(topic).collect();
                    group.insert(format!("m{}", random.u8(0..9)), (None, topics, Arc::default()));
                }
                2 => {
                    group.remove(&format!("m{}", random.u8(0..9)));
                }
                3 => {
                    counts.insert(random.u8(1..6), 0);
                }
                _ => *counts.entry(random.u8(1..6)).or_default() += 2,
            }
            counts.retain(|_, count| *count > 0);
            let view = view(&counts.iter().map(|(n, count)| (*n, *count)).collect::<Vec<_>>());
            assign(Assignor::Uniform, &mut group, &view);
            let sizes = sizes(&group);
            if alike {
                let (least, most) = (sizes.iter().min().unwrap_or(&0), sizes.iter().max().unwrap_or(&0));
                assert!(most - least <= 1, "seed {seed}, step {step}: {sizes:?}");
            } else {
                for ((_, member), size) in group.iter().zip(&sizes) {
                    for (other, other_size) in group.values().zip(&sizes) {
                        let could_take = member.2.keys().any(|topic| other.1.contains(topic));
                        assert!(!could_take || *size <= other_size + 1, "seed {seed}, step {step}: {sizes:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_assignment_that_can_not_be_is_put_right() {
    let view = view(&[(1, 3)]);
    for assignor in [Assignor::Uniform, Assignor::Range] {
        for topics in [&[1][..], &[1, 2]] {
            let mut group = group(&[("a", &[1]), ("b", topics)]);
            for member in group.values_mut() {
                // Twice the same, one that is not there, a topic that is not there.
                member.2 = Arc::new([(topic(1), [0, 1, 7].into()), (topic(3), [0].into())].into());
            }
            assign(assignor, &mut group, &view);
        }
    }
}
