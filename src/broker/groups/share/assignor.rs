//! The assignor of share groups, Kafka's `simple`: all partitions are read, by as many members each as there are to spare, and
//! members keep what they have as far as that is fair.

use std::collections::{BTreeMap, BTreeSet};

use crate::broker::groups::modern::Assignment;
use crate::types::Uuid;

/// A member, for the assignor.
#[derive(Debug, Clone)]
pub(super) struct MemberSpec<'a> {
    pub(super) id: &'a str,
    pub(super) topics: BTreeSet<Uuid>,
    /// What it was to have.
    pub(super) assigned: &'a Assignment,
}

/// Who is to have which of `partitions`, by topic. Members that subscribe alike share all of their topics' partitions evenly.
pub(super) fn assign(members: &[MemberSpec<'_>], partitions: &Assignment) -> BTreeMap<String, Assignment> {
    let mut all: BTreeMap<String, Assignment> =
        members.iter().map(|member| (member.id.to_owned(), Assignment::new())).collect();
    let is_alike = members.windows(2).all(|pair| matches!(pair, [a, b] if a.topics == b.topics));
    if is_alike {
        let topics = members.first().map(|member| &member.topics);
        let wanted = partitions.iter().filter(|(topic, _)| topics.is_some_and(|topics| topics.contains(topic)));
        let slots = wanted.flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)));
        spread(&members.iter().collect::<Vec<_>>(), &slots.collect::<Vec<_>>(), &mut all);
    } else {
        for (topic, partitions) in partitions {
            let readers: Vec<_> = members.iter().filter(|member| member.topics.contains(topic)).collect();
            let slots: Vec<_> = partitions.iter().map(|partition| (*topic, *partition)).collect();
            spread(&readers, &slots, &mut all);
        }
    }
    all
}

/// Spreads partitions over members: each goes to `sharing` of them, the least number with which nobody is idle, and each member gets
/// its part of all these.
fn spread(members: &[&MemberSpec<'_>], partitions: &[(Uuid, i32)], all: &mut BTreeMap<String, Assignment>) {
    if members.is_empty() || partitions.is_empty() {
        return;
    }
    let sharing = members.len().div_ceil(partitions.len());
    let slots = sharing * partitions.len();
    let quota = |index: usize| ((index + 1) * slots).div_ceil(members.len()) - (index * slots).div_ceil(members.len());
    let mut open: BTreeMap<(Uuid, i32), usize> = partitions.iter().map(|partition| (*partition, sharing)).collect();
    let mut left: Vec<usize> = (0..members.len()).map(quota).collect();
    let mut given: Vec<BTreeSet<(Uuid, i32)>> = vec![BTreeSet::new(); members.len()];
    // First what members have already.
    for ((member, left), given) in members.iter().zip(&mut left).zip(&mut given) {
        for (topic, partitions) in member.assigned {
            for partition in partitions {
                if *left > 0
                    && let Some(places) = open.get_mut(&(*topic, *partition)).filter(|places| **places > 0)
                {
                    *places -= 1;
                    *left -= 1;
                    given.insert((*topic, *partition));
                }
            }
        }
    }
    // Then the rest, those with the most places first, so that none is left that a member has already.
    for (left, given) in left.iter_mut().zip(&mut given) {
        let mut wanted: Vec<((Uuid, i32), usize)> = open
            .iter()
            .filter(|(partition, places)| **places > 0 && !given.contains(*partition))
            .map(|(partition, places)| (*partition, *places))
            .collect();
        wanted.sort_by_key(|(_, places)| std::cmp::Reverse(*places));
        for (partition, _) in wanted.into_iter().take(*left) {
            if let Some(places) = open.get_mut(&partition) {
                *places -= 1;
            }
            *left -= 1;
            given.insert(partition);
        }
    }
    // A place may be left that only members without room could take, who do not have it: nobody reads the partition then.
    for partition in open.iter().filter(|(_, places)| **places == sharing).map(|(partition, _)| *partition) {
        if let Some(given) = given.iter_mut().min_by_key(|given| given.len()) {
            given.insert(partition);
        }
    }
    for (member, given) in members.iter().zip(given) {
        let assignment = all.entry(member.id.to_owned()).or_default();
        for (topic, partition) in given {
            assignment.entry(topic).or_default().insert(partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Uuid = Uuid([1; 16]);
    const U: Uuid = Uuid([2; 16]);

    fn partitions(count: i32) -> Assignment {
        Assignment::from([(T, (0..count).collect())])
    }

    fn run(
        before: &BTreeMap<String, Assignment>,
        names: &[&str],
        partitions: &Assignment,
    ) -> BTreeMap<String, Assignment> {
        let nothing = Assignment::new();
        let members: Vec<_> = names
            .iter()
            .map(|id| MemberSpec {
                id,
                topics: partitions.keys().copied().collect(),
                assigned: before.get(*id).unwrap_or(&nothing),
            })
            .collect();
        assign(&members, partitions)
    }

    fn size(assignment: &Assignment) -> usize {
        assignment.values().map(BTreeSet::len).sum()
    }

    #[test]
    fn everything_is_read_and_nobody_is_idle() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let names: Vec<String> = (0..12).map(|n| format!("m{n}")).collect();
        let mut before = BTreeMap::new();
        for _ in 0..300 {
            let count = random.i32(1..20);
            let members: Vec<&str> = names.iter().filter(|_| random.bool()).map(String::as_str).collect();
            let after = run(&before, &members, &partitions(count));
            for partition in 0..count {
                let readers = after.values().filter(|a| a.get(&T).is_some_and(|p| p.contains(&partition))).count();
                assert!(members.is_empty() || readers > 0, "{partition} of {count}: {after:?}");
                assert!(readers <= members.len().div_ceil(count as usize), "{after:?}");
            }
            let sizes = after.values().map(size);
            let (least, most) = (sizes.clone().min().unwrap_or(0), sizes.max().unwrap_or(0));
            assert!(members.is_empty() || least > 0 && most - least <= 2, "{after:?}");
            before = after;
        }
    }

    #[test]
    fn members_keep_what_they_have() {
        let two = run(&BTreeMap::new(), &["a", "b"], &partitions(4));
        assert_eq!(run(&two, &["a", "b"], &partitions(4)), two);
        let three = run(&two, &["a", "b", "c"], &partitions(4));
        assert!(three["a"].values().flatten().all(|p| two["a"][&T].contains(p)), "{two:?} {three:?}");
        assert_eq!(three.values().map(size).sum::<usize>(), 4);
        let one = run(&three, &["c"], &partitions(4));
        assert_eq!(size(&one["c"]), 4);
    }

    #[test]
    fn members_read_what_they_subscribe_to() {
        let nothing = Assignment::new();
        let member =
            |id, topics: &[Uuid]| MemberSpec { id, topics: topics.iter().copied().collect(), assigned: &nothing };
        let all = Assignment::from([(T, (0..2).collect()), (U, (0..3).collect())]);
        let assigned = assign(&[member("a", &[T]), member("b", &[T, U])], &all);
        assert_eq!(size(&assigned["a"]), 1);
        assert_eq!(assigned["b"][&U], (0..3).collect());
        assert_eq!(assign(&[], &all), BTreeMap::new());
        assert_eq!(size(&assign(&[member("a", &[])], &all)["a"]), 0);
    }
}
