//! StreamsGroupHeartbeat: joining, staying, and saying what one has.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::configure::{InternalTopic, Status, Subtopologies};
use super::group::{Due, StreamsGroup};
use super::member::StreamsMember;
use super::reconcile::{Goal, check_known_state};
use super::records::Change;
use super::request::owned;
use super::tasks::{ActiveTasks, TaskSet, Tasks};
use super::topology::{Topology, topology_value};
use super::{ClusterView, Refusal, Step};
use crate::broker::groups::member::Client;
use crate::broker::groups::modern::{JOIN_EPOCH, check_epoch};
use crate::protocol::ErrorCode;
use crate::protocol::messages::streams_group_heartbeat_response::{Status as StatusOf, TaskIds};
use crate::protocol::messages::{
    StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse, StreamsGroupTopologyValue,
};

/// A heartbeat's answer, with the topics that the application still needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::broker) struct Beat {
    pub(in crate::broker) answer: StreamsGroupHeartbeatResponse,
    pub(in crate::broker) missing_topics: Vec<InternalTopic>,
}

impl StreamsGroup {
    /// The topology that counts, and what is to be written of the one that a member brings. The first one stays: Kafka 4.3 has no way to
    /// another one but a new group.
    fn agree(
        &self,
        request: &StreamsGroupHeartbeatRequest,
    ) -> Result<(Arc<Topology>, Option<StreamsGroupTopologyValue>), Refusal> {
        match (&request.topology, &self.topology) {
            (Some(brought), Some(known)) if known.epoch > brought.epoch => Ok((Arc::clone(known), None)),
            (Some(brought), Some(known)) => {
                if **known == Topology::of(topology_value(brought)) {
                    return Ok((Arc::clone(known), None));
                }
                Err(Refusal::new(ErrorCode::InvalidRequest, "Topology updates are not supported yet."))
            }
            (Some(brought), None) => {
                let value = topology_value(brought);
                Ok((Arc::new(Topology::of(value.clone())), Some(value)))
            }
            (None, Some(known)) => Ok((Arc::clone(known), None)),
            (None, None) => {
                let message = "The topology is null and the group topology is also null.";
                Err(Refusal::new(ErrorCode::UnknownServerError, message))
            }
        }
    }
}

fn is_subset(owned: Option<&TaskSet>, member: &StreamsMember) -> bool {
    let Some(owned) = owned else { return false };
    let has = |tasks: &Tasks, held: &Tasks| {
        tasks.iter().all(|(id, tasks)| held.get(id).is_some_and(|held| tasks.is_subset(held)))
    };
    let held = &member.assigned;
    let has_active = owned
        .active
        .iter()
        .all(|(id, tasks)| held.active.get(id).is_some_and(|held| tasks.iter().all(|task| held.contains_key(task))));
    has_active && has(&owned.standby, &held.standby) && has(&owned.warmup, &held.warmup)
}

/// Whether a member does not have all of what it was given.
fn lacks_any(owned: &TaskSet, member: &StreamsMember) -> bool {
    let lacks = |tasks: &Tasks, id: &str, task: &i32| !tasks.get(id).is_some_and(|tasks| tasks.contains(task));
    let held = &member.assigned;
    let is_lacking =
        |(id, tasks): (&String, &BTreeMap<i32, i32>)| tasks.keys().any(|task| lacks(&owned.active, id, task));
    held.active.iter().any(is_lacking)
        || held.standby.iter().any(|(id, tasks)| tasks.iter().any(|task| lacks(&owned.standby, id, task)))
        || held.warmup.iter().any(|(id, tasks)| tasks.iter().any(|task| lacks(&owned.warmup, id, task)))
}

/// Whether the tasks that a member says it has are tasks of the topology.
fn check_tasks(owned: &TaskSet, subtopologies: &Subtopologies) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    for (id, tasks) in owned.active.iter().chain(&owned.standby).chain(&owned.warmup) {
        let Some(subtopology) = subtopologies.get(id) else {
            return invalid(format!("Subtopology {id} does not exist in the topology."));
        };
        if let Some(task) = tasks.iter().find(|task| !(0..subtopology.tasks).contains(*task)) {
            return invalid(format!(
                "Task {task} for subtopology {id} is invalid. Number of tasks for this subtopology: {}",
                subtopology.tasks
            ));
        }
    }
    Ok(())
}

impl Step<'_> {
    /// A member joins or goes on. `is_new`: the group comes with it.
    ///
    /// # Errors
    /// The refusal. Nothing has changed then, unless it is the assignment that is too large for the log: the member is in the group without.
    pub(in crate::broker::groups) fn heartbeat(
        &mut self,
        request: &StreamsGroupHeartbeatRequest,
        client: &Client,
        is_new: bool,
    ) -> Result<Beat, Refusal> {
        let id = request.member_id.as_str();
        let is_joining = request.member_epoch == JOIN_EPOCH;
        let owned = owned(request);
        if is_joining {
            check_size(self.group, self.view)?;
        } else {
            let member = self.group.member(id)?;
            // Of the epoch before it may have no more than it was given then.
            let known = (member.epoch, member.previous_epoch);
            check_epoch("streams", request.member_epoch, known, || is_subset(owned.as_ref(), member))?;
        }
        if let Some(member) = self.group.members.get(id) {
            check_known_state(member, owned.as_ref())?;
        }
        let (topology, new_topology) = self.group.agree(request)?;
        let looked = self.group.look(&topology, self.view)?;
        if let (Some(subtopologies), Some(owned)) = (looked.configured.ready(), &owned) {
            check_tasks(owned, subtopologies)?;
        }

        let configured = Arc::clone(&looked.configured);
        let before = self.group.members.get(id).map(|member| (member.epoch, Arc::clone(&member.assigned)));
        let was_empty = self.group.members.is_empty();
        let mut statuses = Vec::new();
        let has_changed = self.take_said(request, client)?;
        // From here on nothing fails but an assignment that can't be written.
        let settings = self.view.settings_of(&self.group.id);
        let timing = &self.view.streams.timing;
        self.group.timers.set(Due::Session(id.to_owned()), self.now.after(timing.session_timeout(settings)));
        if let Some(value) = new_topology {
            self.put(Change::Topology(Some(Box::new(value))));
        } else {
            self.tell_if_stale(id, &topology, &mut statuses);
        }
        self.refresh_epoch(has_changed, looked);
        if was_empty {
            let delay = self.view.streams.initial_rebalance_delay(settings);
            if !delay.is_zero() {
                self.group.timers.set_if_absent(Due::FirstAssignment, self.now.after(delay));
            }
        }
        let (epoch, target) = self.refresh_target(id, &mut statuses)?;
        self.reconcile(id, &Goal { epoch, target: &target, owned: owned.as_ref() })?;
        if request.shutdown_application && self.group.shutdown_by.is_none() {
            self.group.shutdown_by = Some(id.to_owned());
        }

        let member = self.group.member(id)?;
        let mut answer = StreamsGroupHeartbeatResponse {
            member_id: member.id.clone(),
            member_epoch: member.epoch,
            heartbeat_interval_ms: timing.heartbeat_interval_ms(settings),
            ..Default::default()
        };
        let has_changed = is_joining || before.as_ref().is_none_or(|(_, assigned)| *assigned != member.assigned);
        // Kafka 4.3 tells a change once, and a member that misses the answer goes without its tasks. So whoever shows that it does not know
        // of them is told again; a member that does know them takes that for nothing new.
        let has_missed = before.is_some_and(|(epoch, _)| request.member_epoch < epoch)
            || owned.is_some_and(|owned| lacks_any(&owned, member));
        if has_changed || has_missed {
            answer.active_tasks = Some(active_ids(&member.assigned.active));
            answer.standby_tasks = Some(ids(&member.assigned.standby));
            answer.warmup_tasks = Some(ids(&member.assigned.warmup));
        }
        let changes_endpoints = has_changed && member.user_endpoint.is_some();
        self.tell_endpoints(request, changes_endpoints, is_new, &mut answer);
        if let Some(problem) = &configured.problem {
            statuses.push((problem.status, problem.detail.clone()));
        }
        if let Some(by) = &self.group.shutdown_by {
            let detail = format!(
                "Streams group member {by} encountered a fatal error and requested a shutdown for the entire application."
            );
            statuses.push((Status::ShutdownApplication, detail));
        }
        answer.status = Some(statuses.into_iter().map(status).collect());
        Ok(Beat { answer, missing_topics: configured.missing.values().cloned().collect() })
    }

    /// Takes over what a member says of itself. Returns whether that is something new.
    fn take_said(&mut self, request: &StreamsGroupHeartbeatRequest, client: &Client) -> Result<bool, Refusal> {
        let old = self.group.members.get(&request.member_id);
        let mut member = old.cloned().unwrap_or_else(|| StreamsMember::new(&request.member_id));
        if let Some(rack) = &request.rack_id {
            member.rack_id = Some(rack.clone());
        }
        if request.rebalance_timeout_ms != -1 {
            member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        if let Some(topology) = &request.topology {
            member.topology_epoch = topology.epoch;
        }
        if let Some(process) = &request.process_id {
            member.process_id.clone_from(process);
        }
        if let Some(tags) = &request.client_tags {
            member.client_tags = tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
        }
        if let Some(endpoint) = &request.user_endpoint {
            member.user_endpoint = Some((endpoint.host.clone(), endpoint.port));
        }
        member.client.clone_from(client);
        if old.is_some_and(|old| *old == member) {
            return Ok(false);
        }
        self.try_put([Change::member(&member)])?;
        Ok(true)
    }

    fn tell_if_stale(&self, id: &str, topology: &Topology, statuses: &mut Vec<(Status, String)>) {
        if let Some(member) = self.group.members.get(id)
            && member.topology_epoch < topology.epoch
        {
            let detail = format!(
                "The member's topology epoch {} is behind the group's topology epoch {}.",
                member.topology_epoch, topology.epoch
            );
            statuses.push((Status::StaleTopology, detail));
        }
    }
}

/// Whether another member may join.
fn check_size(group: &StreamsGroup, view: &ClusterView) -> Result<(), Refusal> {
    let most = view.streams.max_size;
    if group.members.len() < most {
        return Ok(());
    }
    Err(Refusal::group_is_full("streams", most))
}

fn status((status, detail): (Status, String)) -> StatusOf {
    StatusOf { status_code: status.code(), status_detail: detail, ..Default::default() }
}

fn task_ids(id: &str, partitions: Vec<i32>) -> TaskIds {
    TaskIds { subtopology_id: id.to_owned(), partitions, ..Default::default() }
}

fn active_ids(tasks: &ActiveTasks) -> Vec<TaskIds> {
    tasks.iter().map(|(id, tasks): (_, &BTreeMap<i32, i32>)| task_ids(id, tasks.keys().copied().collect())).collect()
}

fn ids(tasks: &Tasks) -> Vec<TaskIds> {
    tasks.iter().map(|(id, tasks)| task_ids(id, tasks.iter().copied().collect())).collect()
}
