//! The requests of share groups (KIP-932).

use std::sync::Arc;

use super::effects::Effects;
use super::group::{Group, Kind};
use super::member::Client;
use super::modern::{Assignment, JOIN_EPOCH, Refusal};
use super::offsets::Offsets;
use super::shard::Shard;
use super::share::{self, ShareGroup, Starting, StateTopics, Step};
use crate::broker::coordinator::Now;
use crate::protocol::ErrorCode;
use crate::protocol::messages::share_group_describe_response::DescribedGroup;
use crate::protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use crate::types::Uuid;

impl Shard {
    pub(super) fn share_group_mut(&mut self, id: &str) -> Option<&mut ShareGroup> {
        match &mut self.groups.get_mut(id)?.kind {
            Kind::Share(group) => Some(group),
            Kind::Classic(_) | Kind::Consumer(_) | Kind::Streams(_) => None,
        }
    }

    fn share_group(&self, id: &str) -> Result<&ShareGroup, Refusal> {
        match self.groups.get(id).map(|group| &group.kind) {
            Some(Kind::Share(group)) => Ok(group),
            found => {
                let what = if found.is_some() { "is not a share group" } else { "not found" };
                Err(Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {id} {what}.")))
            }
        }
    }

    /// ShareGroupHeartbeat; also tells which states are to begin: the share coordinator is to be asked, and this shard told how that went
    /// ([`Shard::share_states_started`]).
    pub(in crate::broker) fn share_heartbeat(
        &mut self,
        request: &ShareGroupHeartbeatRequest,
        client: &Client,
        now: Now,
    ) -> ((ShareGroupHeartbeatResponse, Option<Starting>), Effects) {
        let mut effects = Effects::default();
        let answer = self.try_share_heartbeat(request, client, now, &mut effects);
        self.set_timer(&request.group_id);
        let answer = answer.unwrap_or_else(|Refusal { code, message }| {
            let error_message = Some(message);
            (ShareGroupHeartbeatResponse { error_code: code.code(), error_message, ..Default::default() }, None)
        });
        (answer, effects)
    }

    fn try_share_heartbeat(
        &mut self,
        request: &ShareGroupHeartbeatRequest,
        client: &Client,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(ShareGroupHeartbeatResponse, Option<Starting>), Refusal> {
        share::check_request(request)?;
        let view = Arc::clone(&self.view);
        let id = request.group_id.as_str();
        if share::is_leave(request) {
            self.share_group(id)?;
            let Some(group) = self.share_group_mut(id) else { return Ok(Default::default()) };
            let mut step = Step::new(group, &view, now);
            let answer = step.leave(request)?;
            effects.records.append(&mut step.records);
            return Ok((answer, None));
        }
        if let Some(group) = self.share_group_mut(id) {
            let mut step = Step::new(group, &view, now);
            let answer = step.heartbeat(request, client);
            effects.records.append(&mut step.records);
            return answer;
        }
        let mut group = self.new_share_group(id, request.member_epoch == JOIN_EPOCH)?;
        let mut step = Step::new(&mut group, &view, now);
        // Where the member is refused nothing has happened.
        let answer = step.heartbeat(request, client)?;
        effects.records.append(&mut step.records);
        self.put_share_group(group);
        Ok(answer)
    }

    /// A share group that nobody is in yet, if there may be one.
    fn new_share_group(&self, id: &str, may_create: bool) -> Result<ShareGroup, Refusal> {
        if may_create && !self.groups.contains_key(id) {
            return Ok(ShareGroup::new(id));
        }
        match self.groups.contains_key(id) {
            false => Err(Refusal::new(ErrorCode::GroupIdNotFound, format!("Share group {id} not found."))),
            true => self.share_group(id).map(|_| ShareGroup::new(id)),
        }
    }

    fn put_share_group(&mut self, group: ShareGroup) {
        let id = group.id.clone();
        let group = Group { kind: Kind::share(group), offsets: Offsets::default(), deadline: None };
        self.groups.insert(id, group);
    }

    /// The share coordinator was asked to begin states: these have begun, and those have not.
    pub(in crate::broker) fn share_states_started(
        &mut self,
        id: &str,
        started: &Assignment,
        failed: &Assignment,
        now: Now,
    ) -> ((), Effects) {
        ((), self.share_step(id, now, |step| step.states_started(started, failed)))
    }

    /// Runs a step on a share group, if it is there still.
    fn share_step(&mut self, id: &str, now: Now, run: impl FnOnce(&mut Step<'_>)) -> Effects {
        let mut effects = Effects::default();
        let view = Arc::clone(&self.view);
        if let Some(group) = self.share_group_mut(id) {
            let mut step = Step::new(group, &view, now);
            run(&mut step);
            effects.records.append(&mut step.records);
        }
        self.set_timer(id);
        effects
    }

    fn try_share_step<R>(
        &mut self,
        id: &str,
        now: Now,
        run: impl FnOnce(&mut Step<'_>) -> Result<R, Refusal>,
    ) -> (Result<R, Refusal>, Effects) {
        if let Err(refusal) = self.share_group(id) {
            return (Err(refusal), Effects::default());
        }
        let mut result = None;
        let effects = self.share_step(id, now, |step| result = Some(run(step)));
        let lost = || Err(Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {id} not found.")));
        (result.unwrap_or_else(lost), effects)
    }

    /// AlterShareGroupOffsets: the states of these partitions are to begin anew. A group that is not there yet comes with it.
    pub(in crate::broker) fn restart_share_states(
        &mut self,
        id: &str,
        topics: Assignment,
        now: Now,
    ) -> (Result<Starting, Refusal>, Effects) {
        match self.new_share_group(id, true) {
            Err(refusal) => return (Err(refusal), Effects::default()),
            Ok(group) if !self.groups.contains_key(id) => self.put_share_group(group),
            Ok(_) => {}
        }
        self.try_share_step(id, now, |step| step.restart_states(topics))
    }

    /// The states of these topics are to end (of all, if none are named); gives their partitions.
    pub(in crate::broker) fn end_share_states(
        &mut self,
        id: &str,
        topics: Option<&[Uuid]>,
        now: Now,
    ) -> (Result<Assignment, Refusal>, Effects) {
        self.try_share_step(id, now, |step| step.end_states(topics))
    }

    /// The states of topics have ended.
    pub(in crate::broker) fn share_states_ended(&mut self, id: &str, topics: &[Uuid], now: Now) -> ((), Effects) {
        ((), self.share_step(id, now, |step| step.states_ended(topics)))
    }

    /// Topics were deleted: there are no states of them any more.
    pub(in crate::broker) fn forget_share_topics(&mut self, topics: &[Uuid], now: Now) -> Effects {
        let mut effects = Effects::default();
        let is_share = |group: &Group| matches!(group.kind, Kind::Share(_));
        let ids: Vec<String> =
            self.groups.iter().filter(|(_, group)| is_share(group)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            effects.records.append(&mut self.share_step(&id, now, |step| step.states_ended(topics)).records);
        }
        effects
    }

    /// The partitions that a share group has states of.
    pub(in crate::broker) fn share_states(&self, id: &str) -> Result<StateTopics, Refusal> {
        self.share_group(id).map(|group| group.states().clone())
    }

    /// Whether a group is a share group.
    pub(in crate::broker) fn is_share_group(&self, id: &str) -> bool {
        self.share_group(id).is_ok()
    }

    /// One group, for ShareGroupDescribe.
    pub(in crate::broker) fn describe_share_group(&self, id: &str) -> DescribedGroup {
        match self.share_group(id) {
            Ok(group) => group.describe(&self.view),
            Err(Refusal { code, message }) => DescribedGroup {
                group_id: id.to_owned(),
                error_code: code.code(),
                error_message: Some(message),
                ..Default::default()
            },
        }
    }
}
