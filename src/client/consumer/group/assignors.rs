//! Who reads what: the strategies by which the leader of a group shares partitions out among its members.
//!
//! Plain functions of the members and the partitions, so any member computes the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::config::Assignor;
use crate::types::{PartitionId, TopicPartition};

/// A member as the assignors see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) topics: BTreeSet<String>,
    /// What it has now, as it says.
    pub(super) owned: Vec<TopicPartition>,
    /// The generation that gave it these; -1: none.
    pub(super) generation: i32,
}

/// Partitions by member id. Every member is in it.
pub(super) type Assignment = BTreeMap<String, Vec<TopicPartition>>;

/// Shares the partitions of topics (name and count) out.
pub(super) fn assign(assignor: Assignor, members: &[Member], topics: &BTreeMap<String, i32>) -> Assignment {
    let mut sorted: Vec<&Member> = members.iter().collect();
    // Kafka's order: members that name themselves come first, by that name.
    sorted.sort_by_key(|member| (member.instance_id.is_none(), member.instance_id.clone(), member.id.clone()));
    match assignor {
        Assignor::Range => range(&sorted, topics),
        Assignor::RoundRobin => round_robin(&sorted, topics),
        Assignor::Sticky => sticky(&sorted, topics),
        Assignor::CooperativeSticky => cooperative(&sorted, topics),
    }
}

fn nothing_yet(members: &[&Member]) -> Assignment {
    members.iter().map(|member| (member.id.clone(), Vec::new())).collect()
}

fn give(assignment: &mut Assignment, member: &str, partition: TopicPartition) {
    if let Some(partitions) = assignment.get_mut(member) {
        partitions.push(partition);
    }
}

fn partitions_of(topic: &str, count: i32) -> impl Iterator<Item = TopicPartition> + '_ {
    (0..count).map(move |partition| TopicPartition::new(topic, partition))
}

/// Of each topic consecutive partitions, the first members one more if it does not come out even.
fn range(members: &[&Member], topics: &BTreeMap<String, i32>) -> Assignment {
    let mut assignment = nothing_yet(members);
    for (topic, count) in topics {
        let readers: Vec<_> = members.iter().filter(|member| member.topics.contains(topic)).collect();
        let Ok(many) = i32::try_from(readers.len()) else { continue };
        let Some((each, rest)) = count.checked_div(many).zip(count.checked_rem(many)) else { continue };
        let mut next = 0;
        for (index, reader) in (0..).zip(readers) {
            let end = next + each + i32::from(index < rest);
            for partition in next..end {
                give(&mut assignment, &reader.id, TopicPartition::new(topic.as_str(), partition));
            }
            next = end;
        }
    }
    assignment
}

/// All partitions of all topics in turn to those who read the topic.
fn round_robin(members: &[&Member], topics: &BTreeMap<String, i32>) -> Assignment {
    let mut assignment = nothing_yet(members);
    let mut turn = 0;
    for (topic, count) in topics {
        for partition in partitions_of(topic, *count) {
            for _ in 0..members.len() {
                let member = members.get(turn % members.len());
                turn = (turn + 1) % members.len();
                if let Some(reader) = member.filter(|member| member.topics.contains(topic)) {
                    give(&mut assignment, &reader.id, partition.clone());
                    break;
                }
            }
        }
    }
    assignment
}

/// What each member has and may keep: partitions that exist and that it reads. Of several that claim one, the member of the latest
/// generation has it; two of the same generation can't both be right, so none has.
fn claims(members: &[&Member], topics: &BTreeMap<String, i32>) -> HashMap<TopicPartition, String> {
    let mut claims: HashMap<TopicPartition, (i32, Option<&str>)> = HashMap::new();
    for member in members {
        for partition in &member.owned {
            let exists = topics.get(&partition.topic).is_some_and(|count| partition.partition < PartitionId(*count));
            if !exists || !member.topics.contains(&partition.topic) {
                continue;
            }
            match claims.get_mut(partition) {
                Some((generation, _)) if *generation > member.generation => {}
                Some((generation, owner)) if *generation == member.generation => *owner = None,
                _ => {
                    claims.insert(partition.clone(), (member.generation, Some(&member.id)));
                }
            }
        }
    }
    claims.into_iter().filter_map(|(partition, (_, owner))| Some((partition, owner?.to_owned()))).collect()
}

/// Balanced as well as subscriptions allow, and everything else stays where it is.
fn sticky(members: &[&Member], topics: &BTreeMap<String, i32>) -> Assignment {
    let owners = claims(members, topics);
    let mut load: BTreeMap<&str, usize> = members.iter().map(|member| (member.id.as_str(), 0)).collect();
    let mut placed: BTreeMap<TopicPartition, &str> = BTreeMap::new();
    let mut homeless = Vec::new();
    for (topic, count) in topics {
        for partition in partitions_of(topic, *count) {
            let owner = owners.get(&partition).and_then(|owner| load.get_key_value(owner.as_str()).map(|(id, _)| *id));
            match owner {
                Some(owner) => {
                    *load.entry(owner).or_default() += 1;
                    placed.insert(partition, owner);
                }
                None => homeless.push(partition),
            }
        }
    }
    let readers: BTreeMap<&str, Vec<&str>> = topics
        .keys()
        .map(|topic| {
            let readers = members.iter().filter(|member| member.topics.contains(topic));
            (topic.as_str(), readers.map(|member| member.id.as_str()).collect())
        })
        .collect();
    let least = |load: &BTreeMap<&str, usize>, topic: &str| {
        let readers = readers.get(topic)?;
        readers.iter().copied().min_by_key(|reader| load.get(reader).copied().unwrap_or(0))
    };
    // Partitions that few may read first: they have less choice.
    homeless.sort_by_key(|partition| readers.get(partition.topic.as_str()).map_or(0, Vec::len));
    for partition in homeless {
        if let Some(reader) = least(&load, &partition.topic) {
            *load.entry(reader).or_default() += 1;
            placed.insert(partition, reader);
        }
    }
    // Each move makes the sum of the squares of the loads smaller, so this ends.
    let mut moved = true;
    while moved {
        moved = false;
        for (partition, owner) in &mut placed {
            let Some(lightest) = least(&load, &partition.topic) else { continue };
            let (of_owner, of_lightest) = (load.get(owner).copied(), load.get(lightest).copied());
            if of_owner > of_lightest.map(|load| load + 1) {
                load.entry(*owner).and_modify(|load| *load -= 1);
                *load.entry(lightest).or_default() += 1;
                *owner = lightest;
                moved = true;
            }
        }
    }
    let mut assignment = nothing_yet(members);
    for (partition, owner) in placed {
        give(&mut assignment, owner, partition);
    }
    assignment
}

/// As sticky, but what moves is given to nobody yet: its owner gives it up first, and the group meets again (KIP-429).
fn cooperative(members: &[&Member], topics: &BTreeMap<String, i32>) -> Assignment {
    let mut assignment = sticky(members, topics);
    let owners = claims(members, topics);
    for (member, partitions) in &mut assignment {
        partitions.retain(|partition| owners.get(partition).is_none_or(|owner| owner == member));
    }
    assignment
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(id: &str, topics: &[&str]) -> Member {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        Member { id: id.to_owned(), topics, generation: -1, ..Default::default() }
    }

    fn topics(counts: &[(&str, i32)]) -> BTreeMap<String, i32> {
        counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    fn text(assignment: &Assignment) -> String {
        let of =
            |partitions: &Vec<TopicPartition>| partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assignment.iter().map(|(id, partitions)| format!("{id}: {}", of(partitions))).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn range_and_round_robin_share_out_as_kafka_does() {
        let members = [member("b", &["t", "u"]), member("a", &["t", "u"])];
        let topics = topics(&[("t", 3), ("u", 3)]);
        let by = |assignor| text(&assign(assignor, &members, &topics));
        assert_eq!(by(Assignor::Range), "a: t-0 t-1 u-0 u-1; b: t-2 u-2");
        assert_eq!(by(Assignor::RoundRobin), "a: t-0 t-2 u-1; b: t-1 u-0 u-2");
    }

    #[test]
    fn what_moves_is_first_given_up() {
        let mut old = member("a", &["t"]);
        old.owned = (0..4).map(|partition| TopicPartition::new("t", partition)).collect();
        old.generation = 1;
        let members = [old, member("b", &["t"])];
        let topics = topics(&[("t", 4)]);
        assert_eq!(assign(Assignor::Sticky, &members, &topics).values().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        let first = assign(Assignor::CooperativeSticky, &members, &topics);
        assert_eq!(first.values().map(Vec::len).collect::<Vec<_>>(), [2, 0]);
        let mut members = members;
        members[0].owned = first["a"].clone();
        let second = assign(Assignor::CooperativeSticky, &members, &topics);
        assert_eq!(second["a"], first["a"]);
        assert_eq!(second["b"].len(), 2);
    }

    #[derive(Debug, Clone)]
    struct Case {
        members: Vec<Member>,
        topics: BTreeMap<String, i32>,
    }

    fn any_case(same_topics: bool) -> impl Strategy<Value = Case> {
        let counts = prop::collection::vec(0..7i32, 1..5);
        let reads = prop::collection::vec((any::<u8>(), any::<u64>(), -1..3i32), 1..6);
        (counts, reads).prop_map(move |(counts, reads)| {
            let topics: BTreeMap<_, _> = (0..).zip(&counts).map(|(n, count)| (format!("t{n}"), *count)).collect();
            let all: Vec<_> = topics.iter().flat_map(|(topic, count)| partitions_of(topic, *count)).collect();
            let member = |(n, (mask, owned, generation)): (usize, (u8, u64, i32))| Member {
                id: format!("m{n}"),
                instance_id: None,
                topics: topics
                    .keys()
                    .enumerate()
                    .filter(|(at, _)| same_topics || mask & (1 << at) != 0)
                    .map(|(_, topic)| topic.clone())
                    .collect(),
                owned: all
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| owned & (1 << at) != 0)
                    .map(|(_, p)| p.clone())
                    .collect(),
                generation,
            };
            Case { members: reads.into_iter().enumerate().map(member).collect(), topics }
        })
    }

    fn check_each_once(case: &Case, assignment: &Assignment) {
        let mut seen = BTreeSet::new();
        for member in &case.members {
            for partition in &assignment[&member.id] {
                assert!(member.topics.contains(&partition.topic), "{partition} to one who does not read it");
                assert!(seen.insert(partition.clone()), "{partition} twice");
            }
        }
        for (topic, count) in &case.topics {
            if case.members.iter().any(|member| member.topics.contains(topic)) {
                assert!(partitions_of(topic, *count).all(|partition| seen.contains(&partition)), "all of {topic}");
            }
        }
    }

    proptest! {
        /// Every partition that somebody reads goes to exactly one reader.
        #[test]
        fn every_partition_goes_to_one_reader(case in any_case(false)) {
            for assignor in [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky] {
                check_each_once(&case, &assign(assignor, &case.members, &case.topics));
            }
        }

        /// With the same subscriptions nobody has two more than another, and a second round changes nothing.
        #[test]
        fn sticky_is_balanced_and_stays(case in any_case(true)) {
            let assignment = assign(Assignor::Sticky, &case.members, &case.topics);
            let loads: Vec<_> = assignment.values().map(Vec::len).collect();
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
            let mut next = case.clone();
            for member in &mut next.members {
                member.owned = assignment[&member.id].clone();
                member.generation = 5;
            }
            prop_assert_eq!(assign(Assignor::Sticky, &next.members, &next.topics), assignment);
        }

        /// Giving up first and taking then ends, within two rounds, where sticky would be.
        #[test]
        fn cooperation_ends_with_everything_given_out(case in any_case(false)) {
            let mut case = case;
            for generation in 10..12 {
                let assignment = assign(Assignor::CooperativeSticky, &case.members, &case.topics);
                for member in &mut case.members {
                    member.owned = assignment[&member.id].clone();
                    member.generation = generation;
                }
            }
            let last = assign(Assignor::CooperativeSticky, &case.members, &case.topics);
            check_each_once(&case, &last);
        }
    }
}
