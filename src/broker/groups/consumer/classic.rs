//! Members of the classic protocol in a consumer group (online migration): JoinGroup, SyncGroup, Heartbeat and LeaveGroup, served from the
//! group's own assignment. Such a member is a follower, told to join again whenever its next step is due.

use std::sync::Arc;

use bytes::Bytes;

use super::group::{ConsumerGroup, Due};
use super::heartbeat::Said;
use super::leave::Fenced;
use super::member::{ConsumerMember, MemberState};
use super::migration::{can_be_replaced_by_classic, encode_assignment, read_subscription};
use super::reconcile::{Goal, check_known_state};
use super::{ClusterView, Refusal, Step};
use crate::broker::groups::member::Client;
use crate::broker::groups::modern::MigrationPolicy;
use crate::protocol::ErrorCode;
use crate::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use crate::protocol::messages::consumer_group_member_metadata_value::{ClassicMemberMetadata, ClassicProtocol};
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};

/// The protocol type of consumers.
pub(super) const CONSUMER: &str = "consumer";

/// What a JoinGroup led to.
#[derive(Debug)]
pub(in crate::broker::groups) struct Joined {
    pub(in crate::broker::groups) answer: JoinGroupResponse,
    /// The group is to become a classic one, and to start a rebalance if its assignment is not of its last epoch.
    pub(in crate::broker::groups) becomes_classic: Option<Rebalance>,
}

/// Whether a group that becomes a classic one needs a new assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker::groups) enum Rebalance {
    Needed,
    NotNeeded,
}

impl Step<'_> {
    /// JoinGroup. `id` is the member's id, drawn for it if it brought none.
    ///
    /// # Errors
    /// The refusal, as with [`Step::heartbeat`].
    pub(in crate::broker::groups) fn classic_join(
        &mut self,
        request: &JoinGroupRequest,
        id: &str,
        client: &Client,
        new_topics_at: i64,
        classic_max_size: usize,
    ) -> Result<Joined, Refusal> {
        let read = request.protocols.first().and_then(|first| Some((first, read_subscription(&first.metadata)?)));
        let Some((first, subscription)) = read else {
            let message = "Malformed embedded consumer protocol in subscription deserialization.";
            return Err(Refusal::new(ErrorCode::InconsistentGroupProtocol, message));
        };
        let owned: Vec<TopicPartitions> = subscription
            .owned_partitions
            .iter()
            .filter_map(|topic| {
                let topic_id = self.view.topic(&topic.topic)?.id;
                Some(TopicPartitions { topic_id, partitions: topic.partitions.clone(), ..Default::default() })
            })
            .collect();
        let instance = request.group_instance_id.as_deref();
        let existing = instance.and_then(|instance| self.group.static_member(instance));
        if let Some(instance) = instance.filter(|_| !request.member_id.is_empty()) {
            self.group.check_static(existing, id, instance)?;
        }
        if let Some(member) = existing.or_else(|| self.group.members.get(id)) {
            check_known_state(member, Some(&owned))?;
        }
        let downgrade =
            existing.is_some_and(|member| can_be_replaced_by_classic(self.group, member, self.view, classic_max_size));
        let protocols = request.protocols.iter().map(|protocol| ClassicProtocol {
            name: protocol.name.clone(),
            metadata: protocol.metadata.clone(),
            ..Default::default()
        });
        let classic = ClassicMemberMetadata {
            session_timeout_ms: request.session_timeout_ms,
            supported_protocols: protocols.collect(),
            ..Default::default()
        };
        let said = Said {
            instance_id: instance,
            rack_id: subscription.rack_id.as_deref().filter(|rack| !rack.is_empty()),
            // Version 0 has none: the session timeout stands for it.
            rebalance_timeout_ms: if request.rebalance_timeout_ms < 0 {
                request.session_timeout_ms
            } else {
                request.rebalance_timeout_ms
            },
            topics: Some(&subscription.topics),
            regex: Some(""),
            assignor: None,
            client,
        };
        let classic = Some(Arc::new(classic));
        self.check_said(existing.or_else(|| self.group.members.get(id)), id, &said, classic.clone())?;
        if let Some(old) = existing.filter(|_| request.member_id.is_empty()).map(|member| member.id.clone()) {
            self.replace(&old, id)?;
        }
        let looked_up_ms = self.group.modern.subscriptions.looked_up_ms();
        let changed = self.take_said(id, &said, classic);
        self.refresh_regexes(looked_up_ms, new_topics_at);
        let has_subscription_changed = changed.names || changed.regex;
        self.refresh_epoch(has_subscription_changed);
        let stale = self.group.modern.assignment_epoch < self.group.modern.epoch;
        let member = self.group.member(id)?;
        let (session, rebalance) = (member.classic_session_timeout().unwrap_or_default(), member.rebalance_timeout());
        self.group.timers.cancel(&(id.to_owned(), Due::ClassicJoin));
        self.group.timers.set((id.to_owned(), Due::Session), self.now.after(session));
        self.group.timers.set((id.to_owned(), Due::ClassicSync), self.now.after(rebalance));
        if !downgrade {
            self.refresh_target()?;
        }
        if !(downgrade && stale) {
            let target = self.group.modern.target(id);
            let epoch = self.group.modern.assignment_epoch;
            self.reconcile(id, &Goal { epoch, target: &target, has_subscription_changed, owned: Some(&owned) })?;
        }
        let member = self.group.member(id)?;
        let answer = JoinGroupResponse {
            member_id: member.id.clone(),
            generation_id: member.epoch,
            protocol_type: Some(CONSUMER.to_owned()),
            protocol_name: Some(first.name.clone()),
            ..Default::default()
        };
        let becomes_classic = downgrade.then_some(if stale { Rebalance::Needed } else { Rebalance::NotNeeded });
        Ok(Joined { answer, becomes_classic })
    }

    /// Whether a member of the classic protocol may join at all. `needs_id`: it must come back with the id that it is given.
    ///
    /// # Errors
    /// The refusal, in Kafka's order.
    pub(in crate::broker::groups) fn check_classic_join(
        &self,
        request: &JoinGroupRequest,
        id: &str,
        needs_id: bool,
    ) -> Result<(), Refusal> {
        let inconsistent = |message: String| Err(Refusal::new(ErrorCode::InconsistentGroupProtocol, message));
        if self.view.consumer.migration == MigrationPolicy::Disabled {
            let group = &self.group.id;
            return inconsistent(format!(
                "Cannot join the consumer group {group} with the classic protocol because the group migration is disabled."
            ));
        }
        self.group.check_size(id, request.group_instance_id.as_deref(), self.view)?;
        let mut names = request.protocols.iter().map(|protocol| protocol.name.as_str());
        if request.protocol_type != CONSUMER || !self.group.shares_classic_protocol(&mut names) {
            return inconsistent(format!("Member {id}'s protocols are not supported."));
        }
        if needs_id {
            return Err(Refusal::new(ErrorCode::MemberIdRequired, "The member must join again with its id."));
        }
        Ok(())
    }

    /// LeaveGroup: an answer for each of the members.
    pub(in crate::broker::groups) fn classic_leave(
        &mut self,
        members: &[MemberIdentity],
        classic_max_size: usize,
    ) -> (Vec<ErrorCode>, Fenced) {
        let mut leaving = Vec::new();
        let mut answers = Vec::with_capacity(members.len());
        for identity in members {
            let found = match identity.group_instance_id.as_deref() {
                None => self.group.members.get(&identity.member_id).ok_or(ErrorCode::UnknownMemberId),
                Some(instance) => match self.group.static_member(instance) {
                    None => Err(ErrorCode::UnknownMemberId),
                    Some(member) if !identity.member_id.is_empty() && identity.member_id != member.id => {
                        Err(ErrorCode::FencedInstanceId)
                    }
                    Some(member) => Ok(member),
                },
            };
            answers.push(match found {
                Ok(member) => {
                    if !leaving.contains(&member.id) {
                        leaving.push(member.id.clone());
                    }
                    ErrorCode::None
                }
                Err(error) => error,
            });
        }
        let fenced = self.fence(&leaving, classic_max_size);
        (answers, fenced)
    }
}

impl ConsumerGroup {
    /// The classic member that a request is from.
    fn classic_member(&self, id: &str, instance: Option<&str>, generation: i32) -> Result<&ConsumerMember, ErrorCode> {
        let member = match instance {
            None => self.members.get(id).ok_or(ErrorCode::UnknownMemberId)?,
            Some(instance) => match self.static_member(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(member) if member.id != id => return Err(ErrorCode::FencedInstanceId),
                Some(member) => member,
            },
        };
        if member.classic.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        if member.epoch != generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok(member)
    }

    /// SyncGroup.
    ///
    /// # Errors
    /// The code for the answer.
    pub(in crate::broker::groups) fn classic_sync(
        &mut self,
        request: &SyncGroupRequest,
        view: &ClusterView,
        now: super::Now,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let id = request.member_id.as_str();
        let member = self.classic_member(id, request.group_instance_id.as_deref(), request.generation_id)?;
        let Some((protocol, metadata)) = member.classic_protocol() else { return Err(ErrorCode::UnknownMemberId) };
        let is_other = |said: &Option<String>, ours: &str| said.as_deref().is_some_and(|said| said != ours);
        if is_other(&request.protocol_type, CONSUMER) || is_other(&request.protocol_name, protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let (session, rebalance) = (member.classic_session_timeout().unwrap_or_default(), member.rebalance_timeout());
        if self.modern.assignment_epoch > member.epoch && member.state != MemberState::UnrevokedPartitions {
            self.timers.set_if_absent((id.to_owned(), Due::ClassicJoin), now.after(rebalance));
            return Err(ErrorCode::RebalanceInProgress);
        }
        let assigned = member.assigned.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect()));
        let assignment = encode_assignment(assigned, metadata, view).unwrap_or_else(Bytes::new);
        self.timers.cancel(&(id.to_owned(), Due::ClassicSync));
        self.timers.set((id.to_owned(), Due::Session), now.after(session));
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment,
            ..Default::default()
        })
    }

    /// Heartbeat.
    pub(in crate::broker::groups) fn classic_heartbeat(
        &mut self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
        now: super::Now,
    ) -> ErrorCode {
        let member = match self.classic_member(id, instance, generation) {
            Ok(member) => member,
            Err(error) => return error,
        };
        let (session, rebalance) = (member.classic_session_timeout().unwrap_or_default(), member.rebalance_timeout());
        let has_next_step = member.epoch < self.modern.assignment_epoch
            || member.state == MemberState::UnrevokedPartitions
            || (member.state == MemberState::UnreleasedPartitions && !self.waits_for_others(member));
        self.timers.set((id.to_owned(), Due::Session), now.after(session));
        if !has_next_step {
            return ErrorCode::None;
        }
        self.timers.set_if_absent((id.to_owned(), Due::ClassicJoin), now.after(rebalance));
        ErrorCode::RebalanceInProgress
    }

    /// Whether something that the member is to get is still another's.
    fn waits_for_others(&self, member: &ConsumerMember) -> bool {
        self.modern.target(&member.id).iter().any(|(topic, partitions)| {
            let assigned = member.assigned.get(topic);
            partitions.iter().any(|partition| {
                assigned.is_none_or(|assigned| !assigned.contains_key(partition)) && !self.is_free(*topic, *partition)
            })
        })
    }
}
