//! A member of a streams group: a thread of the application.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::tasks::{ActiveTasks, HeldTasks, Tasks};
use crate::broker::groups::member::Client;
use crate::protocol::messages::streams_group_current_member_assignment_value::TaskIds;
use crate::protocol::messages::streams_group_member_metadata_value::{Endpoint, KeyValue};
use crate::protocol::messages::{StreamsGroupCurrentMemberAssignmentValue, StreamsGroupMemberMetadataValue};

/// How far a member is on its way to what it is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberState {
    /// It has what it is to have.
    Stable,
    /// It has yet to give up tasks.
    UnrevokedTasks,
    /// It waits for tasks that others have yet to give up.
    UnreleasedTasks,
    /// A state that a newer coordinator wrote.
    Unknown,
}

impl MemberState {
    pub(super) fn code(self) -> i8 {
        match self {
            Self::Stable => 1,
            Self::UnrevokedTasks => 2,
            Self::UnreleasedTasks => 3,
            Self::Unknown => 127,
        }
    }

    fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Stable,
            2 => Self::UnrevokedTasks,
            3 => Self::UnreleasedTasks,
            _ => Self::Unknown,
        }
    }
}

/// A member: what it says of itself, and what it has.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::broker::groups) struct StreamsMember {
    pub(super) id: String,
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) state: MemberState,
    pub(super) instance_id: Option<String>,
    pub(super) rack_id: Option<String>,
    pub(super) client: Client,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) topology_epoch: i32,
    /// Members of one process share its state directory: it has a task only once.
    pub(super) process_id: String,
    /// Where others can ask for its state (interactive queries).
    pub(super) user_endpoint: Option<(String, u16)>,
    pub(super) client_tags: BTreeMap<String, String>,
    pub(super) assigned: Arc<HeldTasks>,
    /// What it has yet to give up.
    pub(super) revoking: Arc<HeldTasks>,
}

impl StreamsMember {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            epoch: 0,
            previous_epoch: 0,
            state: MemberState::Stable,
            instance_id: None,
            rack_id: None,
            client: Client::default(),
            rebalance_timeout_ms: -1,
            topology_epoch: -1,
            process_id: String::new(),
            user_endpoint: None,
            client_tags: BTreeMap::new(),
            assigned: Arc::default(),
            revoking: Arc::default(),
        }
    }

    pub(super) fn rebalance_timeout(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.rebalance_timeout_ms).unwrap_or_default())
    }

    /// Whether there is nothing left to do until the target changes.
    pub(super) fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == assignment_epoch
    }

    /// In which assignment epoch it was given an active task that it still has.
    pub(super) fn epoch_of(&self, subtopology: &str, task: i32) -> Option<i32> {
        let epoch_in = |held: &HeldTasks| held.active.get(subtopology)?.get(&task).copied();
        epoch_in(&self.assigned).or_else(|| epoch_in(&self.revoking))
    }

    /// What it says of itself, as the log has it.
    pub(super) fn metadata(&self) -> StreamsGroupMemberMetadataValue {
        let endpoint =
            |(host, port): &(String, u16)| Endpoint { host: host.clone(), port: *port, ..Default::default() };
        let tag = |(key, value): (&String, &String)| KeyValue {
            key: key.clone(),
            value: value.clone(),
            ..Default::default()
        };
        StreamsGroupMemberMetadataValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client.id.clone(),
            client_host: self.client.host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            topology_epoch: self.topology_epoch,
            process_id: self.process_id.clone(),
            user_endpoint: self.user_endpoint.as_ref().map(endpoint),
            client_tags: self.client_tags.iter().map(tag).collect(),
            ..Default::default()
        }
    }

    pub(super) fn take_metadata(&mut self, value: StreamsGroupMemberMetadataValue) {
        self.instance_id = value.instance_id;
        self.rack_id = value.rack_id;
        self.client = Client { id: value.client_id, host: value.client_host };
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.topology_epoch = value.topology_epoch;
        self.process_id = value.process_id;
        self.user_endpoint = value.user_endpoint.map(|endpoint| (endpoint.host, endpoint.port));
        self.client_tags = value.client_tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    }

    /// What it has, as the log has it.
    pub(super) fn current(&self) -> StreamsGroupCurrentMemberAssignmentValue {
        StreamsGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.code(),
            active_tasks: active_ids(&self.assigned.active),
            standby_tasks: ids(&self.assigned.standby),
            warmup_tasks: ids(&self.assigned.warmup),
            active_tasks_pending_revocation: active_ids(&self.revoking.active),
            standby_tasks_pending_revocation: ids(&self.revoking.standby),
            warmup_tasks_pending_revocation: ids(&self.revoking.warmup),
            ..Default::default()
        }
    }

    pub(super) fn take_current(&mut self, value: StreamsGroupCurrentMemberAssignmentValue) {
        self.epoch = value.member_epoch;
        self.previous_epoch = value.previous_member_epoch;
        self.state = MemberState::from_code(value.state);
        let held = |active, standby, warmup| {
            Arc::new(HeldTasks {
                active: active_tasks(active, value.member_epoch),
                standby: tasks(standby),
                warmup: tasks(warmup),
            })
        };
        self.assigned = held(value.active_tasks, value.standby_tasks, value.warmup_tasks);
        self.revoking = held(
            value.active_tasks_pending_revocation,
            value.standby_tasks_pending_revocation,
            value.warmup_tasks_pending_revocation,
        );
    }
}

fn ids(tasks: &Tasks) -> Vec<TaskIds> {
    let ids = |(id, tasks): (&String, &std::collections::BTreeSet<i32>)| TaskIds {
        subtopology_id: id.clone(),
        partitions: tasks.iter().copied().collect(),
        ..Default::default()
    };
    tasks.iter().map(ids).collect()
}

fn active_ids(tasks: &ActiveTasks) -> Vec<TaskIds> {
    let ids = |(id, tasks): (&String, &BTreeMap<i32, i32>)| TaskIds {
        subtopology_id: id.clone(),
        partitions: tasks.keys().copied().collect(),
        assignment_epochs: Some(tasks.values().copied().collect()),
        ..Default::default()
    };
    tasks.iter().map(ids).collect()
}

fn tasks(ids: Vec<TaskIds>) -> Tasks {
    ids.into_iter().map(|ids| (ids.subtopology_id, ids.partitions.into_iter().collect())).collect()
}

/// Kafka 4.1 wrote no epochs: then the member's own counts.
fn active_tasks(ids: Vec<TaskIds>, member_epoch: i32) -> ActiveTasks {
    let tasks = |ids: TaskIds| {
        let epochs = ids.assignment_epochs.filter(|epochs| epochs.len() == ids.partitions.len());
        let epochs = epochs.unwrap_or_else(|| vec![member_epoch; ids.partitions.len()]);
        (ids.subtopology_id, ids.partitions.into_iter().zip(epochs).collect())
    };
    ids.into_iter().map(tasks).collect()
}
