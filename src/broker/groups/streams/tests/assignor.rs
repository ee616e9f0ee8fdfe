//! Who gets which task.

use super::super::assignor::{MemberSpec, assign};
use super::super::configure::{ConfiguredSubtopology, InternalTopic, Subtopologies};
use super::super::tasks::{TaskSet, Tasks};
use super::*;

/// Subtopologies by id, each with its tasks; `true`: with state.
fn subtopologies(all: &[(&str, i32, bool)]) -> Subtopologies {
    let changelog = |id: &str| InternalTopic {
        name: format!("{id}-changelog"),
        partitions: 1,
        replication_factor: 0,
        configs: BTreeMap::new(),
    };
    let one = |(id, tasks, has_state): &(&str, i32, bool)| {
        let changelogs = has_state.then(|| (id.to_string(), changelog(id))).into_iter().collect();
        let subtopology = ConfiguredSubtopology {
            tasks: *tasks,
            source_topics: BTreeSet::new(),
            repartition_source_topics: BTreeMap::new(),
            repartition_sink_topics: BTreeSet::new(),
            state_changelog_topics: changelogs,
        };
        (id.to_string(), subtopology)
    };
    all.iter().map(one).collect()
}

fn tasks(text: &str) -> TaskSet {
    let mut set = TaskSet::default();
    for task in text.split_whitespace() {
        let (role, task): (&mut Tasks, _) = match task.strip_prefix('s') {
            Some(task) => (&mut set.standby, task),
            None => (&mut set.active, task),
        };
        let (id, task) = task.split_once('_').unwrap();
        role.entry(id.to_owned()).or_default().insert(task.parse().unwrap());
    }
    set
}

fn text(set: &TaskSet) -> String {
    let of = |tasks: &Tasks, prefix: &str| -> Vec<String> {
        tasks.iter().flat_map(|(id, tasks)| tasks.iter().map(move |task| format!("{prefix}{id}_{task}"))).collect()
    };
    [of(&set.active, ""), of(&set.standby, "s")].concat().join(" ")
}

/// Members as (process, what it had).
fn assigned(members: &[(&str, &str)], subtopologies: &Subtopologies, standbys: usize) -> Vec<String> {
    let ids: Vec<String> = (0..members.len()).map(|at| format!("m{at}")).collect();
    let had: Vec<TaskSet> = members.iter().map(|(_, had)| tasks(had)).collect();
    let specs: Vec<_> = members
        .iter()
        .zip(&had)
        .zip(&ids)
        .map(|(((process, _), target), id)| MemberSpec { id, process, target })
        .collect();
    assign(&specs, subtopologies, standbys).iter().map(text).collect()
}

#[test]
fn tasks_are_spread_evenly() {
    let all = subtopologies(&[("0", 3, false), ("1", 3, true)]);
    assert_eq!(assigned(&[("p", ""), ("q", "")], &all, 0), ["0_0 0_2 1_1", "0_1 1_0 1_2"]);
    assert_eq!(assigned(&[("p", ""), ("p", ""), ("q", "")], &all, 0), ["0_0 1_0", "0_2 1_2", "0_1 1_1"]);
    let none: [String; 0] = [];
    assert_eq!(assigned(&[], &all, 0), none);
    assert_eq!(assigned(&[("p", ""), ("q", "")], &subtopologies(&[("0", 1, false)]), 1), ["0_0", ""]);
}

#[test]
fn tasks_stay_where_they_are() {
    let all = subtopologies(&[("0", 4, true)]);
    assert_eq!(assigned(&[("p", "0_3 0_1"), ("q", "0_0 0_2")], &all, 0), ["0_1 0_3", "0_0 0_2"]);
    // A member more: nobody keeps more than its share.
    let three = assigned(&[("p", "0_3 0_1"), ("q", "0_0 0_2"), ("r", "")], &all, 0);
    assert_eq!(three, ["0_1", "0_0 0_2", "0_3"]);
    // A member less.
    assert_eq!(assigned(&[("p", "0_3 0_1")], &all, 0), ["0_0 0_1 0_2 0_3"]);
    // Of a subtopology that is gone nothing stays.
    assert_eq!(assigned(&[("p", "9_0 0_3")], &subtopologies(&[("0", 2, true)]), 0), ["0_0 0_1"]);
}

#[test]
fn a_task_goes_where_its_copy_is() {
    let all = subtopologies(&[("0", 2, true)]);
    // The member with task 1 is gone; the one with the copy gets it.
    assert_eq!(assigned(&[("p", ""), ("q", "s0_1"), ("r", "")], &all, 0), ["0_0", "0_1", ""]);
}

#[test]
fn copies_are_in_other_processes_than_the_task() {
    let all = subtopologies(&[("0", 2, true), ("1", 2, false)]);
    for (members, standbys) in [
        (vec![("p", ""), ("q", "")], 1),
        (vec![("p", ""), ("p", ""), ("q", "")], 1),
        (vec![("p", "0_0"), ("q", "s0_0 0_1"), ("r", "s0_1")], 2),
    ] {
        let assigned = assigned(&members, &all, standbys);
        for task in ["0_0", "0_1"] {
            let at = |task: &str| -> Vec<&str> {
                let has = |(_, tasks): &(&(&str, &str), &String)| tasks.split(' ').any(|other| other == task);
                members.iter().zip(&assigned).filter(has).map(|((process, _), _)| *process).collect()
            };
            let (active, mut copies) = (at(task), at(&format!("s{task}")));
            assert_eq!((active.len(), copies.len()), (1, standbys), "{assigned:?}");
            copies.extend(active);
            copies.sort_unstable();
            copies.dedup();
            assert_eq!(copies.len(), standbys + 1, "{assigned:?}");
        }
        assert!(!assigned.concat().contains("s1_"), "no state, no copies: {assigned:?}");
    }
    // Fewer processes than copies: as many as there can be.
    assert_eq!(assigned(&[("p", "")], &subtopologies(&[("0", 1, true)]), 2), ["0_0"]);
}

#[test]
fn copies_stay_where_they_are() {
    let all = subtopologies(&[("0", 3, true)]);
    let before = [("p", "0_0 s0_1"), ("q", "0_1 s0_2"), ("r", "0_2 s0_0")];
    assert_eq!(assigned(&before, &all, 1), before.map(|(_, had)| had));
}

/// Goal: whatever members there are and whatever they had,
/// - each task is at one member, and has as many copies as processes allow,
/// - a process has a task once,
/// - no member has two active tasks more than another, as long as no process has more members than others.
#[test]
fn any_assignment_keeps_the_promises() {
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (tasks, standbys) = (random.i32(1..8), random.usize(0..3));
        let all = subtopologies(&[("0", tasks, random.bool()), ("1", tasks, true)]);
        let processes = random.usize(1..5);
        let threads = random.usize(1..3);
        let mut had = vec![String::new(); processes * threads];
        for round in 0..3 {
            let names: Vec<String> = (0..had.len()).map(|at| format!("p{}", at / threads)).collect();
            let members: Vec<_> = names.iter().zip(&had).map(|(name, had)| (name.as_str(), had.as_str())).collect();
            let assigned = assigned(&members, &all, standbys);
            let context = format!("seed {seed}, round {round}: {members:?} -> {assigned:?}");
            for (id, subtopology) in &all {
                for task in 0..tasks {
                    let at = |name: &str| -> Vec<&str> {
                        let has = |(_, tasks): &(&String, &String)| tasks.split(' ').any(|other| other == name);
                        names.iter().zip(&assigned).filter(has).map(|(name, _)| name.as_str()).collect()
                    };
                    let mut places = at(&format!("{id}_{task}"));
                    assert_eq!(places.len(), 1, "{context}");
                    places.extend(at(&format!("s{id}_{task}")));
                    let copies = if subtopology.is_stateful() { standbys.min(processes - 1) } else { 0 };
                    assert_eq!(places.len(), 1 + copies, "{context}");
                    places.sort_unstable();
                    places.dedup();
                    assert_eq!(places.len(), 1 + copies, "{context}");
                }
            }
            let active = |tasks: &String| tasks.split_whitespace().filter(|task| !task.starts_with('s')).count();
            let counts: Vec<usize> = assigned.iter().map(active).collect();
            let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
            assert!(spread <= 1, "{context}");
            // The next round: some have lost what they had, as they would when they are new.
            had = assigned;
            let lost = random.usize(0..had.len());
            had[lost].clear();
        }
    }
}
