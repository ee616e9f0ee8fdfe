//! SyncGroup, Heartbeat, LeaveGroup: what members do within a generation, and how they go.

use super::{ClassicGroup, State, join_error, sync_error};
use crate::broker::coordinator::{Now, Token};
use crate::broker::groups::effects::{Effects, Reply};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{SyncGroupRequest, SyncGroupResponse};

impl ClassicGroup {
    /// A member asks for its assignment; the leader brings everybody's.
    pub(in crate::broker::groups) fn sync(
        &mut self,
        request: &SyncGroupRequest,
        max_record_bytes: usize,
        token: Token,
        now: Now,
        effects: &mut Effects,
    ) {
        let member_id = request.member_id.as_str();
        let error = self
            .identity_error(member_id, request.group_instance_id.as_deref())
            .or_else(|| (request.generation_id != self.generation).then_some(ErrorCode::IllegalGeneration))
            .or_else(|| {
                let other = |said: &Option<String>, ours: Option<&str>| said.is_some() && said.as_deref() != ours;
                (other(&request.protocol_type, Some(&self.protocol_type))
                    || other(&request.protocol_name, self.protocol.as_deref()))
                .then_some(ErrorCode::InconsistentGroupProtocol)
            })
            .or(match self.state {
                State::Empty => Some(ErrorCode::UnknownMemberId),
                State::PreparingRebalance => Some(ErrorCode::RebalanceInProgress),
                State::CompletingRebalance | State::Stable => None,
            });
        if let Some(error) = error {
            effects.reply(token, Reply::Sync(sync_error(error)));
            return;
        }
        self.touch(member_id, now);
        self.unsynced.remove(member_id);
        if self.state == State::Stable {
            let answer = self.sync_answer(member_id);
            effects.reply(token, Reply::Sync(answer));
            return;
        }
        if let Some(member) = self.members.get_mut(member_id) {
            member.syncing = Some(token);
        }
        if self.leader.as_deref() == Some(member_id) {
            for member in self.members.values_mut() {
                let given = request.assignments.iter().find(|a| a.member_id == member.id);
                member.assignment = given.map(|a| a.assignment.clone()).unwrap_or_default();
            }
            if self.record().size() > max_record_bytes {
                // As in Kafka: the generation comes to nothing.
                self.drop_assignments(ErrorCode::UnknownServerError, effects);
                self.prepare_rebalance(now, effects);
                return;
            }
            self.set_state(State::Stable, now);
            effects.records.push(self.record());
            let ids: Vec<String> = self.members.keys().cloned().collect();
            for id in ids {
                let answer = self.sync_answer(&id);
                let Some(member) = self.members.get_mut(&id) else { continue };
                if let Some(token) = member.syncing.take() {
                    member.expires = now.after(member.session_timeout);
                    effects.reply(token, Reply::Sync(answer));
                }
            }
        }
    }

    fn sync_answer(&self, member_id: &str) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: Some(self.protocol_type.clone()),
            protocol_name: self.protocol.clone(),
            assignment: self.members.get(member_id).map(|m| m.assignment.clone()).unwrap_or_default(),
            ..Default::default()
        }
    }

    /// A member says that it is there; it learns from the answer whether it must join again.
    pub(in crate::broker::groups) fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Now,
    ) -> ErrorCode {
        if let Some(error) = self.identity_error(member_id, instance_id) {
            return error;
        }
        if generation != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        match self.state {
            State::Empty => ErrorCode::UnknownMemberId,
            State::PreparingRebalance => {
                self.touch(member_id, now);
                ErrorCode::RebalanceInProgress
            }
            State::CompletingRebalance | State::Stable => {
                self.touch(member_id, now);
                ErrorCode::None
            }
        }
    }

    /// A member leaves: by its id, or for a static one by its instance id alone.
    pub(in crate::broker::groups) fn leave(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) -> ErrorCode {
        if self.pending.remove(member_id).is_some() {
            self.complete_join_if_all_are_there(now, effects);
            return ErrorCode::None;
        }
        let id = match instance_id {
            Some(instance) => match self.static_members.get(instance) {
                None => return ErrorCode::UnknownMemberId,
                Some(id) if !member_id.is_empty() && id != member_id => return ErrorCode::FencedInstanceId,
                Some(id) => id.clone(),
            },
            None => member_id.to_owned(),
        };
        if !self.members.contains_key(&id) {
            return ErrorCode::UnknownMemberId;
        }
        self.remove_member(&id, now, effects);
        ErrorCode::None
    }

    pub(super) fn remove_member(&mut self, id: &str, now: Now, effects: &mut Effects) {
        if let Some(member) = self.members.get(id) {
            // Its requests will not be answered any other way.
            if let Some(token) = member.joining {
                effects.reply(token, Reply::Join(join_error(ErrorCode::UnknownMemberId, id)));
            }
            if let Some(token) = member.syncing {
                effects.reply(token, Reply::Sync(sync_error(ErrorCode::UnknownMemberId)));
            }
        }
        self.forget_member(id);
        match self.state {
            State::Stable | State::CompletingRebalance => {
                self.prepare_rebalance(now, effects);
                self.complete_join_if_all_are_there(now, effects);
            }
            State::PreparingRebalance => self.complete_join_if_all_are_there(now, effects),
            State::Empty => {}
        }
    }

    pub(super) fn forget_member(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = &member.instance_id {
            self.static_members.remove(instance);
        }
        self.unsynced.remove(id);
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }
}
