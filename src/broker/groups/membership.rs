//! The requests of the classic protocol, for groups of all kinds.

use std::sync::Arc;
use std::time::Duration;

use super::classic::{ClassicGroup, Join, join_error, sync_error};
use super::consumer::{Fenced, Rebalance, Step};
use super::effects::{Effects, Reply};
use super::group::Kind;
use super::member::Client;
use super::records;
use super::shard::Shard;
use crate::broker::coordinator::{Now, Token};
use crate::protocol::ErrorCode;
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::{JoinGroupRequest, SyncGroupRequest};
use crate::types::Uuid;

/// First version of JoinGroup in which a dynamic member must come back with the id that it is given (KIP-394).
const FIRST_VERSION_WITH_GIVEN_IDS: i16 = 4;

impl Shard {
    /// JoinGroup. The answer may come much later, when the rebalance ends.
    pub(in crate::broker) fn join(
        &mut self,
        request: &JoinGroupRequest,
        version: i16,
        client: &Client,
        token: Token,
        now: Now,
    ) -> Effects {
        let mut effects = Effects::default();
        let session = Duration::from_millis(u64::try_from(request.session_timeout_ms).unwrap_or_default());
        let id = request.group_id.as_str();
        let size: usize = request.protocols.iter().map(|p| p.metadata.len() + p.name.len()).sum();
        let kind = self.groups.get(id).map(|group| &group.kind);
        let is_modern = matches!(kind, Some(Kind::Consumer(_) | Kind::Streams(_)));
        let is_empty_modern_group = is_modern && kind.is_some_and(Kind::is_unused);
        let error = if id.is_empty() {
            Some(ErrorCode::InvalidGroupId)
        } else if session < self.config.min_session_timeout || session > self.config.max_session_timeout {
            Some(ErrorCode::InvalidSessionTimeout)
        } else if (kind.is_none() || is_empty_modern_group) && !request.member_id.is_empty() {
            Some(ErrorCode::UnknownMemberId)
        } else if matches!(kind, Some(Kind::Share(_) | Kind::Streams(_))) && !is_empty_modern_group {
            Some(ErrorCode::InconsistentGroupProtocol)
        } else if size > self.config.max_record_bytes {
            // The group's record could never be written.
            Some(ErrorCode::InvalidRequest)
        } else {
            None
        };
        if let Some(error) = error {
            effects.reply(token, Reply::Join(join_error(error, &request.member_id)));
            return effects;
        }
        if matches!(kind, Some(Kind::Consumer(_))) && !is_empty_modern_group {
            self.join_consumer_group(request, version, client, token, now, &mut effects);
            self.set_timer(id);
            return effects;
        }
        let is_new = kind.is_none();
        if is_empty_modern_group {
            self.end_group(id, now, &mut effects);
        }
        let join = Join {
            request,
            client,
            needs_member_id: version >= FIRST_VERSION_WITH_GIVEN_IDS,
            can_skip_assignment: version >= 9,
            max_record_bytes: self.config.max_record_bytes,
            token,
        };
        let Kind::Classic(group) = &mut self.group_or_new(id, now).kind else { return effects };
        if is_new || is_empty_modern_group {
            // As Kafka: a group is remembered from its first join on.
            effects.records.push(records::group_metadata(id, Some(&group.to_record())));
        }
        group.join(&join, now, &mut effects);
        if is_new && group.is_unused() {
            // Refused: a group that nobody is in should not stay.
            self.forget(id);
            effects.records.clear();
        }
        self.set_timer(id);
        effects
    }

    fn join_consumer_group(
        &mut self,
        request: &JoinGroupRequest,
        version: i16,
        client: &Client,
        token: Token,
        now: Now,
        effects: &mut Effects,
    ) {
        let view = Arc::clone(&self.view);
        let drawn = Uuid::random().to_string();
        let id = if request.member_id.is_empty() { &drawn } else { &request.member_id };
        let instance = request.group_instance_id.as_deref();
        let needs_id = request.member_id.is_empty() && instance.is_none() && version >= FIRST_VERSION_WITH_GIVEN_IDS;
        let (new_topics_at, classic_max_size) = (self.new_topics_at, self.config.max_size);
        let Some(group) = self.consumer_group_mut(&request.group_id) else { return };
        let mut step = Step::new(group, &view, now);
        let joined = step
            .check_classic_join(request, id, needs_id)
            .and_then(|()| step.classic_join(request, id, client, new_topics_at, classic_max_size));
        step.finish(effects);
        match joined {
            Ok(joined) => {
                effects.reply(token, Reply::Join(joined.answer));
                if let Some(rebalance) = joined.becomes_classic {
                    self.become_classic(&request.group_id, rebalance, now, effects);
                }
            }
            Err(refusal) => effects.reply(token, Reply::Join(join_error(refusal.code, id))),
        }
    }

    /// SyncGroup. The answer may come later, when the leader brings the assignments.
    pub(in crate::broker) fn sync(&mut self, request: &SyncGroupRequest, token: Token, now: Now) -> Effects {
        let mut effects = Effects::default();
        let id = request.group_id.as_str();
        let refuse = |error| (token, Reply::Sync(sync_error(error)));
        let limit = self.config.max_record_bytes;
        match self.groups.get_mut(id).map(|group| &mut group.kind) {
            _ if id.is_empty() => effects.replies.push(refuse(ErrorCode::InvalidGroupId)),
            None | Some(Kind::Share(_) | Kind::Streams(_)) => effects.replies.push(refuse(ErrorCode::UnknownMemberId)),
            Some(Kind::Classic(group)) => group.sync(request, limit, token, now, &mut effects),
            Some(Kind::Consumer(group)) => {
                let answer = group.classic_sync(request, &self.view, now);
                effects.reply(token, Reply::Sync(answer.unwrap_or_else(sync_error)));
            }
        }
        self.set_timer(id);
        effects
    }

    /// Heartbeat.
    pub(in crate::broker) fn heartbeat(
        &mut self,
        id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Now,
    ) -> ErrorCode {
        if id.is_empty() {
            return ErrorCode::InvalidGroupId;
        }
        // The timer stands: a heartbeat only puts off what it is for. When it wakes the group it is set anew.
        match self.groups.get_mut(id).map(|group| &mut group.kind) {
            None | Some(Kind::Share(_) | Kind::Streams(_)) => ErrorCode::UnknownMemberId,
            Some(Kind::Classic(group)) => group.heartbeat(member_id, instance_id, generation, now),
            Some(Kind::Consumer(group)) => {
                let answer = group.classic_heartbeat(member_id, instance_id, generation, now);
                self.set_timer(id);
                answer
            }
        }
    }

    /// LeaveGroup: an answer for each of the members.
    pub(in crate::broker) fn leave(
        &mut self,
        id: &str,
        members: &[MemberIdentity],
        now: Now,
    ) -> (Vec<ErrorCode>, Effects) {
        let mut effects = Effects::default();
        let (view, classic_max_size) = (Arc::clone(&self.view), self.config.max_size);
        let answers = match self.groups.get_mut(id).map(|group| &mut group.kind) {
            None | Some(Kind::Share(_) | Kind::Streams(_)) => vec![ErrorCode::UnknownMemberId; members.len()],
            Some(Kind::Classic(group)) => members
                .iter()
                .map(|m| group.leave(&m.member_id, m.group_instance_id.as_deref(), now, &mut effects))
                .collect(),
            Some(Kind::Consumer(group)) => {
                let mut step = Step::new(group, &view, now);
                let (answers, fenced) = step.classic_leave(members, classic_max_size);
                step.finish(&mut effects);
                if fenced == Fenced::BecomesClassic {
                    self.become_classic(id, Rebalance::Needed, now, &mut effects);
                }
                answers
            }
        };
        self.set_timer(id);
        (answers, effects)
    }

    /// Only classic members are left in a consumer group: it goes on as a classic one (online downgrade).
    pub(super) fn become_classic(&mut self, id: &str, rebalance: Rebalance, now: Now, effects: &mut Effects) {
        let (delay, size, view) = (self.config.initial_rebalance_delay, self.config.max_size, Arc::clone(&self.view));
        let limit = self.config.max_record_bytes;
        let Some(group) = self.consumer_group_mut(id) else { return };
        let mut classic = ClassicGroup::stable(id, group.epoch(), group.downgraded(now), now, delay, size);
        classic.assign(|member, metadata| group.classic_assignment(member, metadata, &view));
        let record = records::group_metadata(id, Some(&classic.to_record()));
        let mut step = Step::new(group, &view, now);
        if record.size() > limit {
            // A classic group is one record, a consumer group one for each member: it can go on as it is.
            tracing::warn!(group = id, bytes = record.size(), "no record can hold the group as a classic one");
            step.raise_epoch();
            step.finish(effects);
            return;
        }
        step.end();
        step.finish(effects);
        effects.records.push(record);
        if rebalance == Rebalance::Needed {
            classic.start_rebalance(now, effects);
        }
        tracing::info!(group = id, "the consumer group becomes a classic one");
        if let Some(group) = self.groups.get_mut(id) {
            group.kind = Kind::classic(classic);
        }
        self.set_timer(id);
    }
}
