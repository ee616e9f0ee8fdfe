//! JoinGroup: members come, come again, or change what they offer.

use std::time::Duration;

use bytes::Bytes;

use super::{ClassicGroup, Joining, State, join_error, millis, sync_error};
use crate::broker::coordinator::{Now, Token};
use crate::broker::groups::effects::{Effects, Reply};
use crate::broker::groups::member::{Client, Member, OfferedProtocol};
use crate::protocol::ErrorCode;
use crate::protocol::messages::join_group_response::JoinGroupResponseMember;
use crate::protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use crate::types::Uuid;

/// How long a new member's JoinGroup keeps it alive: its client may have gone away before it learned its id.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// A JoinGroup request in the light of its version.
#[derive(Debug)]
pub(in crate::broker) struct Join<'a> {
    pub(in crate::broker) request: &'a JoinGroupRequest,
    pub(in crate::broker) client: &'a Client,
    /// From version 4 on a dynamic member must come back with the id that it is given (KIP-394).
    pub(in crate::broker) needs_member_id: bool,
    /// From version 9 on a static member that leads again may be told to keep the assignment.
    pub(in crate::broker) can_skip_assignment: bool,
    /// Largest record that the log takes.
    pub(in crate::broker) max_record_bytes: usize,
    pub(in crate::broker) token: Token,
}

impl ClassicGroup {
    /// A member joins, joins again, or changes what it offers. The answer may come at once, as an error, or when the rebalance ends.
    pub(in crate::broker::groups) fn join(&mut self, join: &Join<'_>, now: Now, effects: &mut Effects) {
        if let Err((error, member_id)) = self.try_join(join, now, effects) {
            effects.reply(join.token, Reply::Join(join_error(error, &member_id)));
        }
    }

    fn try_join(&mut self, join: &Join<'_>, now: Now, effects: &mut Effects) -> Result<(), (ErrorCode, String)> {
        let request = join.request;
        let member_id = request.member_id.as_str();
        let refuse = |error: ErrorCode| Err((error, member_id.to_owned()));
        if !self.accepts(member_id) {
            // Who is over the limit is out, also if it was in before the limit was lowered.
            self.pending.remove(member_id);
            self.forget_member(member_id);
            self.complete_join_if_all_are_there(now, effects);
            return refuse(ErrorCode::GroupMaxSizeReached);
        }
        if !self.supports(request) {
            return refuse(ErrorCode::InconsistentGroupProtocol);
        }
        if member_id.is_empty() {
            return self.join_unknown(join, now, effects);
        }
        if self.pending.contains_key(member_id) {
            if request.group_instance_id.is_some() {
                // A static member never gets an id that it must come back with.
                return refuse(ErrorCode::UnknownMemberId);
            }
            self.pending.remove(member_id);
            self.add_member(member_id.to_owned(), join, now, effects);
            return Ok(());
        }
        if let Some(error) = self.identity_error(member_id, request.group_instance_id.as_deref()) {
            return refuse(error);
        }
        let Some(member) = self.members.get(member_id) else { return refuse(ErrorCode::UnknownMemberId) };
        let unchanged = offers(request).eq(member.protocols.iter().cloned());
        let is_leader = self.leader.as_deref() == Some(member_id);
        match self.state {
            State::Empty => return refuse(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => self.update_member(member_id, join, now),
            // The answer to its join was lost: it is told again.
            State::CompletingRebalance if unchanged => {
                let answer = self.join_answer(member_id);
                self.touch(member_id, now);
                effects.reply(join.token, Reply::Join(answer));
                return Ok(());
            }
            // A follower that joins again with nothing new keeps what it has. A leader does so to say that the
            // subscribed topics changed.
            State::Stable if unchanged && !is_leader => {
                let answer = self.join_answer(member_id);
                self.touch(member_id, now);
                effects.reply(join.token, Reply::Join(answer));
                return Ok(());
            }
            State::CompletingRebalance | State::Stable => {
                self.update_member(member_id, join, now);
                self.prepare_rebalance(now, effects);
            }
        }
        self.complete_join_if_all_are_there(now, effects);
        Ok(())
    }

    /// A member without an id: a new one, or a static one that was restarted.
    fn join_unknown(&mut self, join: &Join<'_>, now: Now, effects: &mut Effects) -> Result<(), (ErrorCode, String)> {
        let request = join.request;
        let uuid = uuid_text();
        if let Some(instance) = &request.group_instance_id {
            let new_id = format!("{instance}-{uuid}");
            if let Some(old_id) = self.static_members.get(instance).cloned() {
                self.replace_static_member(&old_id, new_id, join, now, effects);
            } else {
                self.add_member(new_id, join, now, effects);
            }
            return Ok(());
        }
        let new_id = format!("{}-{uuid}", join.client.id);
        if join.needs_member_id {
            self.pending.insert(new_id.clone(), now.after(millis(request.session_timeout_ms)));
            return Err((ErrorCode::MemberIdRequired, new_id));
        }
        self.add_member(new_id, join, now, effects);
        Ok(())
    }

    fn add_member(&mut self, id: String, join: &Join<'_>, now: Now, effects: &mut Effects) {
        let request = join.request;
        if self.members.is_empty() {
            self.protocol_type.clone_from(&request.protocol_type);
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        if let Some(instance) = &request.group_instance_id {
            self.static_members.insert(instance.clone(), id.clone());
        }
        self.members.insert(
            id.clone(),
            Member {
                id: id.clone(),
                instance_id: request.group_instance_id.clone(),
                client: join.client.clone(),
                rebalance_timeout: rebalance_timeout(request),
                session_timeout: millis(request.session_timeout_ms),
                protocols: offers(request).collect(),
                assignment: Bytes::new(),
                joining: Some(join.token),
                syncing: None,
                expires: now.after(NEW_MEMBER_JOIN_TIMEOUT),
                is_new: true,
            },
        );
        if let Some(Joining::Initial { someone_came, .. }) = &mut self.joining {
            *someone_came = true;
        }
        if self.state != State::PreparingRebalance {
            self.prepare_rebalance(now, effects);
        }
        self.complete_join_if_all_are_there(now, effects);
    }

    fn update_member(&mut self, id: &str, join: &Join<'_>, now: Now) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.rebalance_timeout = rebalance_timeout(join.request);
        member.session_timeout = millis(join.request.session_timeout_ms);
        member.protocols = offers(join.request).collect();
        // An earlier join of the same member is answered by nobody: its client has given it up.
        member.joining = Some(join.token);
        member.expires = now.after(member.session_timeout);
    }

    /// A static member came back without its id: it takes its old place under a new id, and the old id is fenced.
    fn replace_static_member(
        &mut self,
        old_id: &str,
        new_id: String,
        join: &Join<'_>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        if let Some(token) = member.joining.take() {
            effects.reply(token, Reply::Join(join_error(ErrorCode::FencedInstanceId, old_id)));
        }
        if let Some(token) = member.syncing.take() {
            effects.reply(token, Reply::Sync(sync_error(ErrorCode::FencedInstanceId)));
        }
        let old_leader = self.leader.clone();
        let is_leader = old_leader.as_deref() == Some(old_id);
        if is_leader {
            self.leader = Some(new_id.clone());
        }
        if self.unsynced.remove(old_id) {
            self.unsynced.insert(new_id.clone());
        }
        let request = join.request;
        if let Some(instance) = &request.group_instance_id {
            self.static_members.insert(instance.clone(), new_id.clone());
        }
        member.id.clone_from(&new_id);
        member.client = join.client.clone();
        member.rebalance_timeout = rebalance_timeout(request);
        member.session_timeout = millis(request.session_timeout_ms);
        member.protocols = offers(request).collect();
        member.joining = Some(join.token);
        member.expires = now.after(member.session_timeout);
        self.members.insert(new_id.clone(), member);
        match self.state {
            State::Stable
                if self.select_protocol() == self.protocol && self.record().size() <= join.max_record_bytes =>
            {
                // What the group does stays the same, so nobody needs to stop for it. The new id must be remembered.
                effects.records.push(self.record());
                let mut answer = self.join_answer(&new_id);
                if is_leader && join.can_skip_assignment {
                    answer.skip_assignment = true;
                } else if is_leader {
                    // An older client would compute an assignment if it were told that it leads.
                    answer.leader = old_id.to_owned();
                    answer.members.clear();
                }
                if let Some(member) = self.members.get_mut(&new_id) {
                    member.joining = None;
                }
                effects.reply(join.token, Reply::Join(answer));
            }
            State::PreparingRebalance => self.complete_join_if_all_are_there(now, effects),
            State::Stable | State::CompletingRebalance | State::Empty => {
                self.prepare_rebalance(now, effects);
                self.complete_join_if_all_are_there(now, effects);
            }
        }
    }

    /// Whether a member may join as far as the group's size goes. Who is in already may stay.
    fn accepts(&self, member_id: &str) -> bool {
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                let waiting = self.members.values().filter(|m| m.joining.is_some()).count();
                self.members.get(member_id).is_some_and(|m| m.joining.is_some()) || waiting < self.max_size
            }
            State::CompletingRebalance | State::Stable => {
                self.members.contains_key(member_id) || self.members.len() < self.max_size
            }
        }
    }

    /// Whether a member with these protocols could live with those that are there.
    fn supports(&self, request: &JoinGroupRequest) -> bool {
        if self.members.is_empty() {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        let mut others = self.members.values().filter(|m| m.id != request.member_id).peekable();
        let common = self.common_protocols(&mut others);
        self.protocol_type == request.protocol_type
            && (common.is_none_or(|common| request.protocols.iter().any(|p| common.contains(&p.name.as_str()))))
            && !request.protocols.is_empty()
    }

    /// What a member is told of the present generation.
    pub(super) fn join_answer(&self, member_id: &str) -> JoinGroupResponse {
        let protocol = self.protocol.clone().unwrap_or_default();
        let is_leader = self.leader.as_deref() == Some(member_id);
        let members = if is_leader { self.members.values().collect() } else { Vec::new() };
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: Some(self.protocol_type.clone()),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.to_owned(),
            members: members
                .into_iter()
                .map(|member| JoinGroupResponseMember {
                    member_id: member.id.clone(),
                    group_instance_id: member.instance_id.clone(),
                    metadata: member.metadata(&protocol),
                    ..Default::default()
                })
                .collect(),
            protocol_name: Some(protocol),
            ..Default::default()
        }
    }
}

fn offers(request: &JoinGroupRequest) -> impl Iterator<Item = OfferedProtocol> {
    request.protocols.iter().map(|p| OfferedProtocol { name: p.name.clone(), metadata: p.metadata.clone() })
}

/// Version 0 has no rebalance timeout: the session timeout stands for it.
fn rebalance_timeout(request: &JoinGroupRequest) -> Duration {
    let given =
        if request.rebalance_timeout_ms < 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms };
    millis(given)
}

/// A random id in the usual text form, as Kafka puts behind a client's id.
fn uuid_text() -> String {
    let hex: String = Uuid::random().0.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
