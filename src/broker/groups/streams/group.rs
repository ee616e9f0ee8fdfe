//! The state of a streams group.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::configure::ConfiguredTopology;
use super::member::{MemberState, StreamsMember};
use super::records::{Change, target_tasks};
use super::tasks::{HeldTasks, TaskSet, Tasks};
use super::topology::Topology;
use super::{ClusterView, Now, Refusal};
use crate::broker::groups::modern::Timers;

/// The epoch of a group that nothing happened in yet.
const FIRST_EPOCH: i32 = 1;

/// What falls due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Due {
    /// The first members of the group have had time to come together.
    FirstAssignment,
    /// A member was not heard of for its session timeout.
    Session(String),
    /// A member did not give up its tasks within its rebalance timeout.
    Rebalance(String),
}

/// The state of a streams group: what its records add up to, its timers, and what it works out from them and the topics that there are.
#[derive(Debug)]
pub(in crate::broker::groups) struct StreamsGroup {
    pub(in crate::broker::groups) id: String,
    /// Grows whenever something changes that the assignment depends on.
    pub(super) epoch: i32,
    /// The group epoch that the target assignment was computed for.
    pub(super) assignment_epoch: i32,
    /// When it was computed, in milliseconds since 1970; 0 if never.
    pub(super) assigned_ms: i64,
    /// What the topics were when the group epoch last grew, as one number.
    pub(super) metadata_hash: i64,
    /// The topology that could run when the group epoch last grew; -1 if none.
    pub(super) validated_topology_epoch: i32,
    /// What was configured when it last grew, as far as the assignment depends on it.
    pub(super) last_configs: BTreeMap<String, String>,
    pub(super) topology: Option<Arc<Topology>>,
    pub(super) members: BTreeMap<String, StreamsMember>,
    /// What each member is to have in the end.
    pub(super) targets: BTreeMap<String, Arc<TaskSet>>,
    pub(super) owners: Owners,
    pub(super) timers: Timers<Due>,

    // What is not in the log.
    /// The topology over the topics that there are; worked out by the first heartbeat.
    pub(super) configured: Option<Arc<ConfiguredTopology>>,
    /// The topics may have changed: the next heartbeat looks.
    pub(super) needs_refresh: bool,
    /// The member that wants the whole application to end.
    pub(super) shutdown_by: Option<String>,
    /// Grows whenever something changes of who can be asked for which state.
    pub(super) endpoint_epoch: i32,
}

impl StreamsGroup {
    pub(in crate::broker::groups) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            epoch: FIRST_EPOCH,
            assignment_epoch: FIRST_EPOCH,
            assigned_ms: 0,
            metadata_hash: 0,
            validated_topology_epoch: 0,
            last_configs: BTreeMap::new(),
            topology: None,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            owners: Owners::default(),
            timers: Timers::default(),
            configured: None,
            needs_refresh: true,
            shutdown_by: None,
            endpoint_epoch: 0,
        }
    }

    pub(in crate::broker::groups) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether members read a topic.
    pub(in crate::broker::groups) fn is_subscribed_to(&self, topic: &str) -> bool {
        !self.members.is_empty() && self.topology.as_ref().is_some_and(|topology| topology.reader_of(topic).is_some())
    }

    /// Whether one of these topics is of interest.
    pub(in crate::broker::groups) fn needs_any(&self, topics: &HashSet<Arc<str>>) -> bool {
        self.topology.as_ref().is_some_and(|topology| {
            let mut required = topology.required_topics().into_iter();
            required.any(|topic| topics.contains(topic))
        })
    }

    /// The topics may have changed: the next heartbeat looks.
    pub(in crate::broker::groups) fn request_refresh(&mut self) {
        self.needs_refresh = true;
    }

    pub(in crate::broker::groups) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Kafka's name of what it is doing.
    pub(in crate::broker::groups) fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.topology.as_ref().is_none_or(|topology| topology.epoch != self.validated_topology_epoch) {
            "NotReady"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().all(|member| member.is_reconciled_to(self.assignment_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub(super) fn member(&self, id: &str) -> Result<&StreamsMember, Refusal> {
        self.members.get(id).ok_or_else(|| Refusal::unknown_member(&self.id, id))
    }

    /// What a member is to have in the end.
    pub(super) fn target(&self, member: &str) -> Arc<TaskSet> {
        self.targets.get(member).cloned().unwrap_or_default()
    }

    /// All of the log was replayed: members count as just heard of.
    pub(in crate::broker::groups) fn loaded(&mut self, view: &ClusterView, now: Now) {
        let session = view.streams.timing.session_timeout(view.settings_of(&self.id));
        for member in self.members.values() {
            self.timers.set(Due::Session(member.id.clone()), now.after(session));
            if member.state == MemberState::UnrevokedTasks {
                self.timers.set(Due::Rebalance(member.id.clone()), now.after(member.rebalance_timeout()));
            }
        }
    }

    /// Takes a change over.
    pub(in crate::broker::groups) fn apply(&mut self, change: Change) {
        match change {
            Change::Group(Some(value)) => {
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
                self.validated_topology_epoch = value.validated_topology_epoch;
                let configs = value.last_assignment_configs.unwrap_or_default().into_iter();
                self.last_configs = configs.map(|config| (config.key, config.value)).collect();
            }
            // The group is gone; whoever holds it drops it.
            Change::Group(None) => {}
            Change::Topology(value) => self.topology = value.map(|value| Arc::new(Topology::of(*value))),
            Change::Member { id, value: Some(value) } => self.change_member(id, |member| member.take_metadata(*value)),
            Change::Member { id, value: None } => {
                if let Some(member) = self.members.remove(&id) {
                    self.owners.forget(&member);
                }
                if self.members.is_empty() {
                    self.shutdown_by = None;
                }
            }
            Change::TargetEpoch(Some(value)) => {
                self.assignment_epoch = value.assignment_epoch;
                self.assigned_ms = value.assignment_timestamp;
            }
            Change::TargetEpoch(None) => {
                self.assignment_epoch = -1;
                self.assigned_ms = 0;
            }
            Change::Target { id, value: Some(value) } => {
                self.targets.insert(id, Arc::new(target_tasks(value)));
            }
            Change::Target { id, value: None } => {
                self.targets.remove(&id);
            }
            Change::Current { id, value: Some(value) } => self.change_member(id, |member| member.take_current(*value)),
            Change::Current { id, value: None } => {
                if self.members.contains_key(&id) {
                    self.change_member(id, |member| {
                        member.epoch = -1;
                        member.previous_epoch = -1;
                        member.assigned = Arc::default();
                        member.revoking = Arc::default();
                    });
                }
            }
        }
    }

    /// Changes a member, perhaps one that only comes with it, and who owns what follows.
    fn change_member(&mut self, id: String, change: impl FnOnce(&mut StreamsMember)) {
        let member = self.members.entry(id).or_insert_with_key(|id| StreamsMember::new(id));
        self.owners.forget(member);
        change(member);
        self.owners.note(member);
    }
}

/// Processes by task.
type ProcessesByTask = HashMap<String, HashMap<i32, Vec<String>>>;

/// Which processes have which tasks, also those that they have yet to give up. A process has a task only once, in whatever role, since its state
/// directory has one place for it.
#[derive(Debug, Default)]
pub(super) struct Owners {
    active: HashMap<String, HashMap<i32, String>>,
    standby: ProcessesByTask,
    warmup: ProcessesByTask,
}

impl Owners {
    /// Whether a process may have an active task: no other member has it, and none of the process has it in another role.
    pub(super) fn is_free_to_process(&self, subtopology: &str, task: i32, process: &str) -> bool {
        self.active_at(subtopology, task).is_none() && !self.has_copy(subtopology, task, process)
    }

    /// Whether a process may have a copy of a task.
    pub(super) fn is_free_to_copy(&self, subtopology: &str, task: i32, process: &str) -> bool {
        self.active_at(subtopology, task) != Some(process) && !self.has_copy(subtopology, task, process)
    }

    fn active_at(&self, subtopology: &str, task: i32) -> Option<&str> {
        self.active.get(subtopology)?.get(&task).map(String::as_str)
    }

    fn has_copy(&self, subtopology: &str, task: i32, process: &str) -> bool {
        [&self.standby, &self.warmup].into_iter().any(|copies| {
            let processes = copies.get(subtopology).and_then(|tasks| tasks.get(&task));
            processes.is_some_and(|processes| processes.iter().any(|other| other == process))
        })
    }

    fn note(&mut self, member: &StreamsMember) {
        for held in [&member.assigned, &member.revoking] {
            let HeldTasks { active, standby, warmup } = &**held;
            for (id, tasks) in active {
                let at = self.active.entry(id.clone()).or_default();
                at.extend(tasks.keys().map(|task| (*task, member.process_id.clone())));
            }
            add(&mut self.standby, standby, &member.process_id);
            add(&mut self.warmup, warmup, &member.process_id);
        }
    }

    /// Takes that back, but for what another process has meanwhile.
    fn forget(&mut self, member: &StreamsMember) {
        for held in [&member.assigned, &member.revoking] {
            let HeldTasks { active, standby, warmup } = &**held;
            for (id, tasks) in active {
                let Some(at) = self.active.get_mut(id) else { continue };
                for task in tasks.keys() {
                    if at.get(task) == Some(&member.process_id) {
                        at.remove(task);
                    }
                }
                if at.is_empty() {
                    self.active.remove(id);
                }
            }
            remove(&mut self.standby, standby, &member.process_id);
            remove(&mut self.warmup, warmup, &member.process_id);
        }
    }
}

fn add(all: &mut ProcessesByTask, tasks: &Tasks, process: &str) {
    for (id, tasks) in tasks {
        let at = all.entry(id.clone()).or_default();
        for task in tasks {
            at.entry(*task).or_default().push(process.to_owned());
        }
    }
}

fn remove(all: &mut ProcessesByTask, tasks: &Tasks, process: &str) {
    for (id, tasks) in tasks {
        let Some(at) = all.get_mut(id) else { continue };
        for task in tasks {
            if let Some(processes) = at.get_mut(task)
                && let Some(place) = processes.iter().position(|other| other == process)
            {
                processes.swap_remove(place);
            }
        }
        at.retain(|_, processes| !processes.is_empty());
        if at.is_empty() {
            all.remove(id);
        }
    }
}
