//! ShareGroupHeartbeat: joining, staying, leaving; and the group's end.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::assignor::{MemberSpec, assign};
use super::group::{ShareGroup, ShareMember};
use super::records::Change;
use super::states::{Starting, StepTime};
use super::{ClusterView, Refusal, Step};
use crate::broker::groups::member::Client;
use crate::broker::groups::modern::{Assignment, JOIN_EPOCH, LEAVE_EPOCH, check_epoch};
use crate::protocol::ErrorCode;
use crate::protocol::messages::share_group_heartbeat_response::{self as response};
use crate::protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};

pub(in crate::broker::groups) fn is_leave(request: &ShareGroupHeartbeatRequest) -> bool {
    request.member_epoch == LEAVE_EPOCH
}

/// What can be seen of a request without knowing the group.
///
/// # Errors
/// The refusal.
pub(in crate::broker::groups) fn check_request(request: &ShareGroupHeartbeatRequest) -> Result<(), Refusal> {
    let names = request.subscribed_topic_names.as_ref();
    let message = if request.member_id.trim().is_empty() {
        "MemberId can't be empty."
    } else if request.group_id.trim().is_empty() {
        "GroupId can't be empty."
    } else if request.rack_id.as_ref().is_some_and(|rack| rack.trim().is_empty()) {
        "RackId can't be empty."
    } else if request.member_epoch == JOIN_EPOCH && names.is_none_or(Vec::is_empty) {
        "SubscribedTopicNames must be set in first request."
    } else if request.member_epoch < LEAVE_EPOCH {
        "MemberEpoch is invalid."
    } else {
        return Ok(());
    };
    Err(Refusal::new(ErrorCode::InvalidRequest, message))
}

impl ShareGroup {
    fn check_member(&self, request: &ShareGroupHeartbeatRequest, view: &ClusterView) -> Result<(), Refusal> {
        let (id, epoch) = (&request.member_id, request.member_epoch);
        let most = view.share.max_size;
        if !self.members.contains_key(id) && self.members.len() >= most {
            return Err(Refusal::group_is_full("share", most));
        }
        if epoch == JOIN_EPOCH {
            return Ok(());
        }
        let member = self.member(id)?;
        check_epoch("share", epoch, (member.epoch, member.previous_epoch), || true)
    }
}

impl Step<'_> {
    /// A member joins or goes on; also tells which states are to begin.
    ///
    /// # Errors
    /// The refusal. Nothing has changed then, unless it is the assignment that is too large for the log: the member is in the group without.
    pub(in crate::broker::groups) fn heartbeat(
        &mut self,
        request: &ShareGroupHeartbeatRequest,
        client: &Client,
    ) -> Result<(ShareGroupHeartbeatResponse, Option<Starting>), Refusal> {
        self.group.check_member(request, self.view)?;
        let id = request.member_id.as_str();
        let before = self.group.members.get(id).map(|member| Arc::clone(&member.assigned));
        let names_changed = self.take_said(request, client)?;
        let settings = self.view.settings_of(&self.group.id);
        let timing = &self.view.share.timing;
        self.group.timers.set(id.to_owned(), self.now.after(timing.session_timeout(settings)));
        let to_start = if names_changed || self.group.modern.needs_refresh || !self.group.asked.is_empty() {
            self.group.to_start(&StepTime { view: self.view, now: self.now.steady })
        } else {
            Assignment::new()
        };
        self.refresh_epoch(names_changed);
        // The first assignment can wait until there is something to assign: it is asked for now.
        let waits = !to_start.is_empty() && self.group.assignable(self.view).is_empty();
        if !waits {
            self.refresh_target()?;
        }
        self.reconcile(id, names_changed)?;
        let starting = self.start_states(to_start)?;

        let member = self.group.member(id)?;
        let has_changed = before.is_none_or(|before| before != member.assigned);
        let tells = request.member_epoch == JOIN_EPOCH || request.subscribed_topic_names.is_some() || has_changed;
        let answer = ShareGroupHeartbeatResponse {
            member_id: Some(member.id.clone()),
            member_epoch: member.epoch,
            heartbeat_interval_ms: timing.heartbeat_interval_ms(settings),
            assignment: tells.then(|| assignment(member)),
            ..Default::default()
        };
        Ok((answer, starting))
    }

    /// Takes over what a member says of itself; says whether it subscribes to something else than before.
    fn take_said(&mut self, request: &ShareGroupHeartbeatRequest, client: &Client) -> Result<bool, Refusal> {
        let old = self.group.members.get(&request.member_id);
        let mut member = old.cloned().unwrap_or_else(|| ShareMember::new(&request.member_id));
        if request.rack_id.is_some() {
            member.rack_id.clone_from(&request.rack_id);
        }
        if member.client != *client {
            member.client = client.clone();
        }
        let mut names_changed = false;
        if let Some(names) = &request.subscribed_topic_names {
            let names: BTreeSet<String> = names.iter().cloned().collect();
            if names != *member.topics {
                names_changed = true;
                member.topics = Arc::new(names);
            }
        }
        if old != Some(&member) {
            self.try_put([Change::member(&member)])?;
        }
        Ok(names_changed)
    }

    /// The group epoch grows when the subscriptions or their topics have changed, or partitions have become assignable.
    fn refresh_epoch(&mut self, names_changed: bool) {
        if !names_changed && !self.group.modern.needs_refresh {
            return;
        }
        let hash = self.group.modern.subscriptions.hash(self.view);
        let mut assigned = Assignment::new();
        for (topic, partitions) in self.group.modern.targets.values().flat_map(|target| target.iter()) {
            assigned.entry(*topic).or_default().extend(partitions);
        }
        let is_pending = self.group.modern.epoch == self.group.modern.assignment_epoch
            && assigned != self.group.assignable(self.view);
        self.group.modern.needs_refresh = false;
        if names_changed || is_pending || hash != self.group.modern.metadata_hash {
            self.put(Change::epoch(self.group.modern.epoch.saturating_add(1), hash));
        }
    }

    /// Computes a new target assignment, if one is due.
    fn refresh_target(&mut self) -> Result<(), Refusal> {
        let group = &*self.group;
        let interval = self.view.share.timing.assignment_interval(self.view.settings_of(&group.id));
        if !group.modern.is_assignment_due(interval, self.now.wall_ms) {
            return Ok(());
        }
        let nothing = Assignment::new();
        let ids = |names: &BTreeSet<String>| {
            names.iter().filter_map(|name| self.view.topic(name).map(|topic| topic.id)).collect()
        };
        let members = group.members.values().map(|member| MemberSpec {
            id: &member.id,
            topics: ids(&member.topics),
            assigned: group.modern.targets.get(&member.id).map_or(&nothing, |target| target),
        });
        let members: Vec<_> = members.collect();
        let targets = assign(&members, &group.assignable(self.view));
        let mut changes = Vec::new();
        for (member, target) in &targets {
            if group.modern.targets.get(member).is_none_or(|before| **before != *target) {
                changes.push(Change::target(member, target));
            }
        }
        changes.push(Change::target_epoch(group.modern.epoch, self.now.wall_ms));
        self.try_put(changes)
    }

    /// A member gets what it is to have, as far as it subscribes to it.
    fn reconcile(&mut self, id: &str, names_changed: bool) -> Result<(), Refusal> {
        let epoch = self.group.modern.assignment_epoch;
        let Some(old) = self.group.members.get(id) else { return Ok(()) };
        if old.epoch == epoch && !names_changed {
            return Ok(());
        }
        let mut member = old.clone();
        let subscribes = |topic| self.view.topic_by_id(topic).is_some_and(|topic| member.topics.contains(&*topic.name));
        let target = self.group.modern.target(id);
        let assigned = target.iter().filter(|(topic, _)| subscribes(**topic));
        let assigned = assigned.map(|(topic, partitions)| (*topic, partitions.clone())).collect();
        if member.epoch != epoch {
            (member.previous_epoch, member.epoch) = (member.epoch, epoch);
        }
        member.assigned = Arc::new(assigned);
        if member == *old { Ok(()) } else { self.try_put([Change::current(&member)]) }
    }

    /// A heartbeat that takes leave.
    ///
    /// # Errors
    /// There is no such member.
    pub(in crate::broker::groups) fn leave(
        &mut self,
        request: &ShareGroupHeartbeatRequest,
    ) -> Result<ShareGroupHeartbeatResponse, Refusal> {
        let id = self.group.member(&request.member_id)?.id.clone();
        self.fence(&id);
        Ok(ShareGroupHeartbeatResponse {
            member_id: Some(id),
            member_epoch: request.member_epoch,
            ..Default::default()
        })
    }

    fn fence(&mut self, id: &str) {
        for change in Change::member_gone(id) {
            self.put(change);
        }
        self.group.timers.cancel(&id.to_owned());
        let hash = self.group.modern.subscriptions.hash(self.view);
        self.put(Change::epoch(self.group.modern.epoch.saturating_add(1), hash));
    }

    /// Shuts out who was not heard of in time.
    pub(in crate::broker::groups) fn advance(&mut self) {
        while let Some(member) = self.group.timers.take_due(self.now.steady) {
            if self.group.members.contains_key(&member) {
                tracing::info!(group = self.group.id, member, "a member of the share group was not heard of in time");
                self.fence(&member);
            }
        }
    }

    /// Ends the group: all that it wrote is taken back.
    pub(in crate::broker::groups) fn end(&mut self) {
        let members: Vec<String> = self.group.members.keys().cloned().collect();
        for id in &members {
            for change in Change::member_gone(id) {
                self.put(change);
            }
        }
        self.put(Change::TargetEpoch(None));
        self.put(Change::States(None));
        self.put(Change::Epoch(None));
    }
}

fn assignment(member: &ShareMember) -> response::Assignment {
    let topics = member.assigned.iter().map(|(topic, partitions)| response::TopicPartitions {
        topic_id: *topic,
        partitions: partitions.iter().copied().collect(),
        ..Default::default()
    });
    response::Assignment { topic_partitions: topics.collect(), ..Default::default() }
}
