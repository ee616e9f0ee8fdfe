//! Who gets which task: Kafka's sticky assignor. Tasks stay where they are, or go where a standby task has their state, as long as no member
//! gets more than its share; the rest goes to the processes with the fewest tasks for each of their members. Standby tasks go
//! to other processes than the task that they are a copy of. Neither racks nor client tags count in Kafka 4.3.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};

use super::configure::Subtopologies;
use super::tasks::TaskSet;

/// A member, with what it was to have so far.
#[derive(Debug)]
pub(super) struct MemberSpec<'a> {
    pub(super) id: &'a str,
    /// Members of one process share its state directory.
    pub(super) process: &'a str,
    pub(super) target: &'a TaskSet,
}

/// A subtopology, by its place, and a partition number.
type Task = (usize, i32);

/// What each member is to have, in the order of the members.
pub(super) fn assign(members: &[MemberSpec<'_>], subtopologies: &Subtopologies, standbys: usize) -> Vec<TaskSet> {
    if members.is_empty() {
        return Vec::new();
    }
    let mut assignor = Assignor::new(members, subtopologies, standbys);
    assignor.assign_active();
    if standbys > 0 {
        assignor.assign_standby();
    }
    assignor.into_assignment()
}

/// How many tasks a member may get so that all get about the same.
#[derive(Debug)]
struct Quota {
    tasks: usize,
    members: usize,
    per_member: usize,
}

impl Quota {
    fn new(tasks: usize, members: usize) -> Self {
        Self { tasks, members, per_member: share(tasks, members) }
    }

    /// A member has this many now: one that is full leaves the rest to the others.
    fn count(&mut self, has: usize) {
        if has == self.per_member {
            self.members = self.members.saturating_sub(1);
            self.tasks = self.tasks.saturating_sub(has);
            self.per_member = share(self.tasks, self.members);
        }
    }
}

fn share(tasks: usize, members: usize) -> usize {
    if members == 0 { 0 } else { tasks.div_ceil(members) }
}

/// A process with its members.
#[derive(Debug, Default)]
struct Process {
    members: Vec<usize>,
    /// All tasks of all of its members.
    tasks: HashSet<Task>,
    count: usize,
}

/// Where a process stands among all: the one with the fewest tasks for each of its members is the greatest, as a heap has it.
#[derive(Debug, PartialEq, Eq)]
struct Load {
    tasks: usize,
    members: usize,
    process: usize,
}

impl Ord for Load {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, others) = (self.tasks.saturating_mul(other.members), other.tasks.saturating_mul(self.members));
        others.cmp(&own).then_with(|| other.process.cmp(&self.process))
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

struct Assignor<'a> {
    members: &'a [MemberSpec<'a>],
    names: Vec<&'a String>,
    /// How many tasks each subtopology has, and whether they have state.
    sizes: Vec<(i32, bool)>,
    standbys: usize,
    processes: Vec<Process>,
    process_of: Vec<usize>,
    had_active: HashMap<Task, usize>,
    had_standby: HashMap<Task, Vec<usize>>,
    active_quota: Quota,
    total_quota: Quota,
    counts: Vec<usize>,
    active: Vec<Vec<Task>>,
    standby: Vec<Vec<Task>>,
}

impl<'a> Assignor<'a> {
    fn new(members: &'a [MemberSpec<'a>], subtopologies: &'a Subtopologies, standbys: usize) -> Self {
        let names: Vec<&String> = subtopologies.keys().collect();
        let sizes: Vec<_> = subtopologies.values().map(|it| (it.tasks, it.is_stateful())).collect();
        let number = |(tasks, _): &(i32, bool)| usize::try_from(*tasks).unwrap_or_default();
        let active: usize = sizes.iter().map(number).sum();
        let stateful: usize = sizes.iter().filter(|(_, is_stateful)| *is_stateful).map(number).sum();
        let total = active.saturating_add(stateful.saturating_mul(standbys));

        let mut by_process: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, member) in members.iter().enumerate() {
            by_process.entry(member.process).or_default().push(at);
        }
        let mut process_of = vec![0; members.len()];
        let mut processes = Vec::with_capacity(by_process.len());
        for (at, members) in by_process.into_values().enumerate() {
            for member in &members {
                if let Some(slot) = process_of.get_mut(*member) {
                    *slot = at;
                }
            }
            processes.push(Process { members, ..Process::default() });
        }

        let place: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let mut had_active = HashMap::new();
        let mut had_standby: HashMap<Task, Vec<usize>> = HashMap::new();
        for (at, member) in members.iter().enumerate() {
            // Of subtopologies that are gone nothing can stay.
            let known = |tasks: &'a BTreeMap<String, BTreeSet<i32>>| {
                let known = tasks.iter().filter_map(|(id, tasks)| Some((*place.get(id.as_str())?, tasks)));
                known.flat_map(|(id, tasks)| tasks.iter().map(move |task| (id, *task))).collect::<Vec<_>>()
            };
            had_active.extend(known(&member.target.active).into_iter().map(|task| (task, at)));
            for task in known(&member.target.standby) {
                had_standby.entry(task).or_default().push(at);
            }
        }
        Self {
            names,
            sizes,
            standbys,
            processes,
            process_of,
            had_active,
            had_standby,
            active_quota: Quota::new(active, members.len()),
            total_quota: Quota::new(total, members.len()),
            counts: vec![0; members.len()],
            active: vec![Vec::new(); members.len()],
            standby: vec![Vec::new(); members.len()],
            members,
        }
    }

    /// All tasks, or those with state, subtopology by subtopology.
    fn tasks(&self, stateful_only: bool) -> Vec<Task> {
        let sizes = self.sizes.iter().enumerate().filter(|(_, (_, is_stateful))| *is_stateful || !stateful_only);
        sizes.flat_map(|(at, (tasks, _))| (0..*tasks).map(move |task| (at, task))).collect()
    }

    fn count_of(&self, member: usize) -> usize {
        self.counts.get(member).copied().unwrap_or_default()
    }

    fn process(&self, member: usize) -> Option<&Process> {
        self.processes.get(*self.process_of.get(member)?)
    }

    fn has_task(&self, member: usize, task: Task) -> bool {
        self.process(member).is_some_and(|process| process.tasks.contains(&task))
    }

    fn give(&mut self, member: usize, task: Task, is_active: bool) {
        let list = if is_active { &mut self.active } else { &mut self.standby };
        if let Some(list) = list.get_mut(member) {
            list.push(task);
        }
        if let Some(process) = self.process_of.get(member).and_then(|at| self.processes.get_mut(*at)) {
            process.tasks.insert(task);
            process.count += 1;
        }
        let Some(count) = self.counts.get_mut(member) else { return };
        *count += 1;
        if is_active {
            self.active_quota.count(*count);
        }
        self.total_quota.count(*count);
    }

    fn load(&self, at: usize) -> Load {
        let (tasks, members) = self.processes.get(at).map_or((0, 1), |process| (process.count, process.members.len()));
        Load { tasks, members, process: at }
    }

    fn loads(&self) -> BinaryHeap<Load> {
        (0..self.processes.len()).map(|at| self.load(at)).collect()
    }

    /// The member with the fewest tasks of a process.
    fn least_loaded(&self, process: usize) -> Option<usize> {
        let members = &self.processes.get(process)?.members;
        members.iter().copied().min_by_key(|member| self.count_of(*member))
    }

    /// Of members that had a standby task, the one that has the least to do. `copy_of`: it may not have this task in any role.
    fn least_loaded_of(&self, members: &[usize], copy_of: Option<Task>) -> Option<usize> {
        let mut best: Option<(usize, Load, usize)> = None;
        for member in members.iter().copied() {
            if copy_of.is_some_and(|task| self.has_task(member, task)) {
                continue;
            }
            let load = self.load(self.process_of.get(member).copied().unwrap_or_default());
            let count = self.count_of(member);
            let is_better = |(_, than, than_count): &(usize, Load, usize)| {
                load.tasks.saturating_mul(than.members) < than.tasks.saturating_mul(load.members) && count < *than_count
            };
            if best.as_ref().is_none_or(is_better) {
                best = Some((member, load, count));
            }
        }
        best.map(|(member, ..)| member)
    }

    fn assign_active(&mut self) {
        let mut tasks = self.tasks(false);
        // By partition first: so that tasks of one partition, which a member has together, are cut off together.
        tasks.sort_by_key(|(subtopology, partition)| (*partition, *subtopology));
        tasks.retain(|task| match self.had_active.get(task).copied() {
            Some(member) if self.count_of(member) < self.active_quota.per_member => {
                self.give(member, *task, true);
                false
            }
            _ => true,
        });
        tasks.retain(|task| {
            let had = self.had_standby.get(task).and_then(|members| self.least_loaded_of(members, None));
            match had {
                Some(member) if self.count_of(member) < self.active_quota.per_member => {
                    self.give(member, *task, true);
                    false
                }
                _ => true,
            }
        });
        tasks.sort_unstable();
        let mut loads = self.loads();
        for task in tasks {
            let Some(Load { process, .. }) = loads.pop() else { return };
            if let Some(member) = self.least_loaded(process) {
                self.give(member, task, true);
            }
            loads.push(self.load(process));
        }
    }

    fn assign_standby(&mut self) {
        let mut tasks = self.tasks(true);
        tasks.sort_by_key(|(subtopology, partition)| std::cmp::Reverse((*partition, *subtopology)));
        let mut rest = Vec::new();
        for task in tasks {
            for placed in 0..self.standbys {
                match self.sticky_standby(task) {
                    Some(member) => self.give(member, task, false),
                    None => {
                        rest.push((task, self.standbys - placed));
                        break;
                    }
                }
            }
        }
        rest.sort_by(|a, b| b.cmp(a));
        let mut loads = self.loads();
        for (task, copies) in rest {
            for _ in 0..copies {
                if !self.place_standby(task, &mut loads) {
                    // Fewer processes than copies: Kafka does with fewer too.
                    break;
                }
            }
        }
    }

    /// Who has the state of a task already and may have a standby task of it.
    fn sticky_standby(&self, task: Task) -> Option<usize> {
        let may_have = |member: &usize| self.count_of(*member) < self.total_quota.per_member;
        let was_active = self.had_active.get(&task).copied();
        let was_active = was_active.filter(|member| !self.has_task(*member, task)).filter(may_have);
        was_active.or_else(|| self.least_loaded_of(self.had_standby.get(&task)?, Some(task)).filter(may_have))
    }

    /// Gives a copy to the process with the least to do that has none yet.
    fn place_standby(&mut self, task: Task, loads: &mut BinaryHeap<Load>) -> bool {
        let mut passed = Vec::new();
        let mut found = false;
        while let Some(load) = loads.pop() {
            let process = load.process;
            let has_it = self.processes.get(process).is_some_and(|process| process.tasks.contains(&task));
            if !has_it && let Some(member) = self.least_loaded(process) {
                self.give(member, task, false);
                loads.push(self.load(process));
                found = true;
                break;
            }
            passed.push(load);
        }
        loads.extend(passed);
        found
    }

    fn into_assignment(self) -> Vec<TaskSet> {
        let by_name = |tasks: Vec<Task>| {
            let mut named: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
            for (subtopology, partition) in tasks {
                if let Some(name) = self.names.get(subtopology) {
                    named.entry((*name).clone()).or_default().insert(partition);
                }
            }
            named
        };
        let both = self.active.into_iter().zip(self.standby).take(self.members.len());
        both.map(|(active, standby)| TaskSet {
            active: by_name(active),
            standby: by_name(standby),
            warmup: BTreeMap::new(),
        })
        .collect()
    }
}
