//! The requests of the consumer protocol (KIP-848).

use std::borrow::Cow;
use std::sync::Arc;

use super::consumer::{self, ConsumerGroup, Fenced, Rebalance, RegexLookup, ResolvedRegexes, Step};
use super::effects::Effects;
use super::group::{Group, Kind};
use super::member::Client;
use super::modern::{ClusterView, JOIN_EPOCH, Refusal};
use super::offsets::Offsets;
use super::records;
use super::shard::Shard;
use crate::broker::coordinator::{Now, Record};
use crate::protocol::ErrorCode;
use crate::protocol::messages::consumer_group_describe_response::DescribedGroup;
use crate::protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use crate::types::Uuid;

impl Shard {
    /// Takes a newer view of the cluster. Groups whose topics changed look at them at the next heartbeat.
    pub(in crate::broker) fn observe(&mut self, view: &Arc<ClusterView>) {
        // Requests may overtake each other on their way here.
        if Arc::ptr_eq(&self.view, view) || view.version < self.view.version {
            return;
        }
        let (changed, has_new) = view.changes_since(&self.view);
        if has_new || self.new_topics_at < 0 {
            self.new_topics_at = view.version;
        }
        self.view = Arc::clone(view);
        if changed.is_empty() {
            return;
        }
        for group in self.groups.values_mut() {
            let concerns =
                |is_subscribed_to: &dyn Fn(&str) -> bool| changed.iter().any(|topic| is_subscribed_to(topic));
            match &mut group.kind {
                Kind::Consumer(group) if concerns(&|topic| group.is_subscribed_to(topic)) => group.request_refresh(),
                Kind::Share(group) if concerns(&|topic| group.is_subscribed_to(topic)) => group.request_refresh(),
                Kind::Streams(group) if group.needs_any(&changed) => group.request_refresh(),
                _ => {}
            }
        }
    }

    pub(super) fn consumer_group_mut(&mut self, id: &str) -> Option<&mut ConsumerGroup> {
        match &mut self.groups.get_mut(id)?.kind {
            Kind::Consumer(group) => Some(group),
            Kind::Classic(_) | Kind::Share(_) | Kind::Streams(_) => None,
        }
    }

    /// ConsumerGroupHeartbeat.
    pub(in crate::broker) fn consumer_heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        version: i16,
        client: &Client,
        now: Now,
    ) -> (ConsumerGroupHeartbeatResponse, Effects) {
        let mut effects = Effects::default();
        let answer = self.try_consumer_heartbeat(request, version, client, now, &mut effects);
        self.set_timer(&request.group_id);
        let answer = answer.unwrap_or_else(|Refusal { code, message }| ConsumerGroupHeartbeatResponse {
            error_code: code.code(),
            error_message: Some(message),
            ..Default::default()
        });
        (answer, effects)
    }

    fn try_consumer_heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        version: i16,
        client: &Client,
        now: Now,
        effects: &mut Effects,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let view = Arc::clone(&self.view);
        consumer::check_request(request, version, &view)?;
        let id = request.group_id.as_str();
        let (new_topics_at, classic_max_size) = (self.new_topics_at, self.config.max_size);
        if consumer::is_leave(request) {
            let not_found = self.not_a_consumer_group(id);
            let group = self.consumer_group_mut(id).ok_or(not_found)?;
            let mut step = Step::new(group, &view, now);
            let (answer, fenced) = step.leave(request, classic_max_size)?;
            step.finish(effects);
            if fenced == Fenced::BecomesClassic {
                self.become_classic(id, Rebalance::Needed, now, effects);
            }
            return Ok(answer);
        }
        let request = match request.member_id.as_str() {
            "" => {
                Cow::Owned(ConsumerGroupHeartbeatRequest { member_id: Uuid::random().to_string(), ..request.clone() })
            }
            _ => Cow::Borrowed(request),
        };
        if let Some(group) = self.consumer_group_mut(id) {
            let mut step = Step::new(group, &view, now);
            let answer = step.heartbeat(&request, client, new_topics_at);
            step.finish(effects);
            return answer;
        }
        // A new group, or a classic one that becomes a consumer group. Where the member is refused nothing has happened.
        let (mut group, records) = self.new_consumer_group(&request, now).inspect_err(|refusal| {
            if self.groups.contains_key(id) {
                tracing::info!(member = request.member_id, "{}", refusal.message);
            }
        })?;
        let mut step = Step::new(&mut group, &view, now);
        let answer = step.heartbeat(&request, client, new_topics_at)?;
        effects.records.extend(records);
        step.finish(effects);
        match self.groups.get_mut(id) {
            Some(old) => {
                if let Kind::Classic(classic) = &mut old.kind {
                    classic.abandon(ErrorCode::RebalanceInProgress, effects);
                    tracing::info!(group = id, "the classic group becomes a consumer group");
                }
                old.kind = Kind::consumer(group);
            }
            None => {
                let group = Group { kind: Kind::consumer(group), offsets: Offsets::default(), deadline: None };
                self.groups.insert(id.to_owned(), group);
            }
        }
        Ok(answer)
    }

    /// A look-up of a group's regular expressions is done.
    pub(in crate::broker) fn take_resolved(
        &mut self,
        lookup: &Arc<RegexLookup>,
        resolved: ResolvedRegexes,
        now: Now,
    ) -> ((), Effects) {
        let mut effects = Effects::default();
        let view = Arc::clone(&self.view);
        if let Some(group) = self.consumer_group_mut(&lookup.group) {
            let mut step = Step::new(group, &view, now);
            step.take_resolved(lookup, resolved);
            step.finish(&mut effects);
        }
        ((), effects)
    }

    /// The consumer group that a member would be the first of.
    fn new_consumer_group(
        &self,
        request: &ConsumerGroupHeartbeatRequest,
        now: Now,
    ) -> Result<(ConsumerGroup, Vec<Record>), Refusal> {
        let id = request.group_id.as_str();
        let joins = request.member_epoch == JOIN_EPOCH;
        match self.groups.get(id).map(|group| &group.kind) {
            None if joins => Ok((ConsumerGroup::new(id), Vec::new())),
            None => Err(Refusal::new(ErrorCode::GroupIdNotFound, format!("Consumer group {id} not found."))),
            Some(Kind::Classic(classic)) if joins => {
                let mut records = vec![records::group_metadata(id, None)];
                if classic.is_empty() {
                    return Ok((ConsumerGroup::new(id), records));
                }
                consumer::check_upgrade(classic, &self.view)?;
                let (group, upgraded) = consumer::upgrade(classic, &self.view, now)?;
                records.extend(upgraded);
                if records.iter().any(|record| record.size() > self.config.max_record_bytes) {
                    return Err(Refusal::too_large());
                }
                Ok((group, records))
            }
            Some(_) => Err(self.not_a_consumer_group(id)),
        }
    }

    fn not_a_consumer_group(&self, id: &str) -> Refusal {
        let what = if self.groups.contains_key(id) { "is not a consumer group" } else { "not found" };
        Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {id} {what}."))
    }

    /// One group, for ConsumerGroupDescribe.
    pub(in crate::broker) fn describe_consumer_group(&self, id: &str) -> DescribedGroup {
        if let Some(Kind::Consumer(group)) = self.groups.get(id).map(|group| &group.kind) {
            return group.describe(&self.view);
        }
        let Refusal { code, message } = self.not_a_consumer_group(id);
        DescribedGroup {
            group_id: id.to_owned(),
            error_code: code.code(),
            error_message: Some(message),
            ..Default::default()
        }
    }
}
