//! ConsumerGroupHeartbeat: joining, staying, and saying what one wants and has.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::group::{ConsumerGroup, Due};
use super::member::ConsumerMember;
use super::reconcile::{Goal, check_known_state};
use super::records::{Change, consumer_record};
use super::{ClusterView, Refusal, Step};
use crate::broker::groups::assignors::Assignor;
use crate::broker::groups::member::Client;
use crate::broker::groups::modern::{JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH, TopicPattern, check_epoch};
use crate::protocol::ErrorCode;
use crate::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use crate::protocol::messages::consumer_group_heartbeat_response::{self as response, Assignment};
use crate::protocol::messages::consumer_group_member_metadata_value::ClassicMemberMetadata;
use crate::protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use crate::types::Uuid;

/// First version in which members draw their own ids.
const FIRST_VERSION_WITH_OWN_IDS: i16 = 1;

/// What is wrong with a request, whatever the state of its group.
///
/// # Errors
/// The refusal, in Kafka's order and words.
pub(in crate::broker::groups) fn check_request(
    request: &ConsumerGroupHeartbeatRequest,
    version: i16,
    view: &ClusterView,
) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    let is_blank = |text: &Option<String>| text.as_deref().is_some_and(|text| text.trim().is_empty());
    let epoch = request.member_epoch;
    let needs_id = version >= FIRST_VERSION_WITH_OWN_IDS || epoch > 0 || epoch == LEAVE_EPOCH;
    if needs_id && request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if is_blank(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if is_blank(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    if epoch == JOIN_EPOCH {
        if request.rebalance_timeout_ms == -1 {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if request.topic_partitions.as_ref().is_none_or(|partitions| !partitions.is_empty()) {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
            return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
        }
    } else if epoch == STATIC_LEAVE_EPOCH && request.instance_id.is_none() {
        return invalid("InstanceId can't be null.");
    } else if epoch < STATIC_LEAVE_EPOCH {
        return invalid("MemberEpoch is invalid.");
    }
    if let Some(name) = &request.server_assignor
        && !view.consumer.assignors.iter().any(|assignor| assignor.name() == name)
    {
        let supported: Vec<&str> = view.consumer.assignors.iter().map(|assignor: &Assignor| assignor.name()).collect();
        let message = format!("ServerAssignor {name} is not supported. Supported assignors: {}.", supported.join(", "));
        return Err(Refusal::new(ErrorCode::UnsupportedAssignor, message));
    }
    Ok(())
}

/// Whether a heartbeat takes leave.
pub(in crate::broker::groups) fn is_leave(request: &ConsumerGroupHeartbeatRequest) -> bool {
    matches!(request.member_epoch, LEAVE_EPOCH | STATIC_LEAVE_EPOCH)
}

/// What a member says of itself that may have changed.
pub(super) struct Said<'a> {
    pub(super) instance_id: Option<&'a str>,
    pub(super) rack_id: Option<&'a str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) topics: Option<&'a [String]>,
    pub(super) regex: Option<&'a str>,
    pub(super) assignor: Option<&'a str>,
    pub(super) client: &'a Client,
}

impl Said<'_> {
    /// The member as it is when this is taken over.
    fn of(
        &self,
        old: Option<&ConsumerMember>,
        id: &str,
        classic: Option<Arc<ClassicMemberMetadata>>,
    ) -> ConsumerMember {
        let mut member = old.cloned().unwrap_or_else(|| ConsumerMember::new(id));
        if member.id != id {
            id.clone_into(&mut member.id);
        }
        let text = |slot: &mut Option<String>, said: Option<&str>| {
            if let Some(said) = said.filter(|said| slot.as_deref() != Some(said)) {
                *slot = Some(said.to_owned());
            }
        };
        text(&mut member.instance_id, self.instance_id);
        text(&mut member.rack_id, self.rack_id);
        text(&mut member.assignor, self.assignor);
        text(&mut member.topic_regex, self.regex);
        if self.rebalance_timeout_ms != -1 {
            member.rebalance_timeout_ms = self.rebalance_timeout_ms;
        }
        if member.client != *self.client {
            member.client = self.client.clone();
        }
        if let Some(topics) = self.topics {
            let topics: BTreeSet<String> = topics.iter().cloned().collect();
            if topics != *member.topics {
                member.topics = Arc::new(topics);
            }
        }
        member.classic = classic;
        member
    }
}

/// Whether a member's subscription changed, by name or by regular expression.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Changed {
    pub(super) names: bool,
    pub(super) regex: bool,
    /// What the new regular expression stands for is known.
    pub(super) regex_is_resolved: bool,
}

impl ConsumerGroup {
    /// Whether another member may join.
    pub(super) fn check_size(&self, member: &str, instance: Option<&str>, view: &ClusterView) -> Result<(), Refusal> {
        let has_place = instance.is_some_and(|instance| self.static_member(instance).is_some());
        let most = view.consumer.max_size;
        if has_place || self.members.len() < most || self.members.contains_key(member) {
            return Ok(());
        }
        Err(Refusal::group_is_full("consumer", most))
    }

    /// The member that a heartbeat is from. Nothing is changed yet.
    fn find(&self, request: &ConsumerGroupHeartbeatRequest) -> Result<Option<&ConsumerMember>, Refusal> {
        let epoch = request.member_epoch;
        let id = request.member_id.as_str();
        let owned = request.topic_partitions.as_deref();
        let member = match &request.instance_id {
            None if epoch == JOIN_EPOCH => return Ok(self.members.get(id)),
            None => self.member(id)?,
            Some(instance) => match self.static_member(instance) {
                None if epoch == JOIN_EPOCH => return Ok(self.members.get(id)),
                Some(member) if epoch == JOIN_EPOCH => {
                    if member.classic.is_none() && member.epoch != STATIC_LEAVE_EPOCH {
                        let message = format!(
                            "Static member {id} with instance id {instance} cannot join the group because the instance id \
                             is owned by {} member.",
                            member.id
                        );
                        return Err(Refusal::new(ErrorCode::UnreleasedInstanceId, message));
                    }
                    return Ok(Some(member));
                }
                found => self.check_static(found, id, instance)?,
            },
        };
        // Of the epoch before it may have no more than it was given then.
        check_epoch("consumer", epoch, (member.epoch, member.previous_epoch), || is_subset(owned, member))?;
        Ok(Some(member))
    }

    /// Whether a static member is who it says.
    pub(super) fn check_static<'m>(
        &self,
        member: Option<&'m ConsumerMember>,
        id: &str,
        instance: &str,
    ) -> Result<&'m ConsumerMember, Refusal> {
        let Some(member) = member else {
            return Err(Refusal::new(ErrorCode::UnknownMemberId, format!("Instance id {instance} is unknown.")));
        };
        if member.id != id {
            let message = format!("Static member {id} with instance id {instance} was fenced by member {}.", member.id);
            return Err(Refusal::new(ErrorCode::FencedInstanceId, message));
        }
        Ok(member)
    }
}

fn is_subset(owned: Option<&[TopicPartitions]>, member: &ConsumerMember) -> bool {
    owned.is_some_and(|owned| {
        owned.iter().all(|topic| {
            member
                .assigned
                .get(&topic.topic_id)
                .is_some_and(|assigned| topic.partitions.iter().all(|partition| assigned.contains_key(partition)))
        })
    })
}

impl Step<'_> {
    /// A member joins or goes on.
    ///
    /// # Errors
    /// The refusal. Nothing has changed then, unless it is the assignment that is too large for the log: the member is in the group without.
    pub(in crate::broker::groups) fn heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        client: &Client,
        new_topics_at: i64,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let (id, instance) = (request.member_id.as_str(), request.instance_id.as_deref());
        self.group.check_size(id, instance, self.view)?;
        let found = self.group.find(request)?;
        if let Some(member) = found {
            check_known_state(member, request.topic_partitions.as_deref())?;
        }
        if let Some(regex) = request.subscribed_topic_regex.as_deref().filter(|regex| !regex.is_empty())
            && found.is_none_or(|member| member.regex() != Some(regex))
            && self.group.modern.subscriptions.users_of(regex) == 0
        {
            check_regex(regex)?;
        }
        let before = found.map(|member| Arc::clone(&member.assigned));
        let looked_up_ms = self.group.modern.subscriptions.looked_up_ms();
        let said = Said {
            instance_id: instance,
            rack_id: request.rack_id.as_deref(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            topics: request.subscribed_topic_names.as_deref(),
            regex: request.subscribed_topic_regex.as_deref(),
            assignor: request.server_assignor.as_deref(),
            client,
        };
        self.check_said(found, id, &said, None)?;
        if request.member_epoch == JOIN_EPOCH
            && let Some(old) = instance.and_then(|instance| self.group.static_member(instance))
        {
            let old = old.id.clone();
            self.replace(&old, id)?;
        }
        let changed = self.take_said(id, &said, None);
        self.refresh_regexes(looked_up_ms, new_topics_at);
        // One that is not looked up yet changes the assignment when it is.
        self.refresh_epoch(changed.names || changed.regex_is_resolved);
        let settings = self.view.settings_of(&self.group.id);
        let timing = &self.view.consumer.timing;
        self.group.timers.set((id.to_owned(), Due::Session), self.now.after(timing.session_timeout(settings)));
        self.refresh_target()?;
        let target = self.group.modern.target(id);
        let goal = Goal {
            epoch: self.group.modern.assignment_epoch,
            target: &target,
            has_subscription_changed: changed.names || changed.regex,
            owned: request.topic_partitions.as_deref(),
        };
        self.reconcile(id, &goal)?;

        let member = self.group.member(id)?;
        let is_full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
            && request.topic_partitions.is_some();
        let has_changed = before.is_none_or(|before| before != member.assigned);
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(member.id.clone()),
            member_epoch: member.epoch,
            heartbeat_interval_ms: timing.heartbeat_interval_ms(settings),
            assignment: (request.member_epoch == JOIN_EPOCH || is_full || has_changed).then(|| assignment(member)),
            ..Default::default()
        })
    }

    /// Whether what a member says of itself can be written.
    ///
    /// # Errors
    /// It is too large.
    pub(super) fn check_said(
        &self,
        old: Option<&ConsumerMember>,
        id: &str,
        said: &Said<'_>,
        classic: Option<Arc<ClassicMemberMetadata>>,
    ) -> Result<(), Refusal> {
        let member = said.of(old, id, classic);
        let is_same = old.is_some_and(|old| *old == member);
        let size = || consumer_record(&self.group.id, &Change::member(&member)).size();
        if is_same || size() <= self.view.max_record_bytes.0 { Ok(()) } else { Err(Refusal::too_large()) }
    }

    /// Takes over what a member says of itself.
    pub(super) fn take_said(
        &mut self,
        id: &str,
        said: &Said<'_>,
        classic: Option<Arc<ClassicMemberMetadata>>,
    ) -> Changed {
        let old = self.group.members.get(id);
        let member = said.of(old, id, classic);
        let new = ConsumerMember::new(id);
        let before = old.unwrap_or(&new);
        let old_regex = before.regex().map(str::to_owned);
        let mut changed = Changed {
            names: member.topics != before.topics,
            regex: member.topic_regex != before.topic_regex,
            regex_is_resolved: false,
        };
        if old.is_some_and(|old| *old == member) {
            return changed;
        }
        let new_regex = member.regex().map(str::to_owned);
        self.put(Change::member(&member));
        if changed.regex {
            let subscriptions = &self.group.modern.subscriptions;
            changed.regex_is_resolved = match &new_regex {
                Some(regex) => subscriptions.resolved(regex).is_some(),
                None => old_regex.is_some(),
            };
            if let Some(regex) = old_regex
                && subscriptions.users_of(&regex) == 0
            {
                self.put(Change::Regex { regex, value: None });
            }
        }
        changed
    }

    /// A static member comes back under a new id: it takes the place of the old one.
    ///
    /// # Errors
    /// Its id is too large; nothing has changed then.
    pub(super) fn replace(&mut self, old: &str, id: &str) -> Result<(), Refusal> {
        let Some(mut member) = self.group.members.get(old).cloned() else { return Ok(()) };
        let target = self.group.modern.target(old);
        id.clone_into(&mut member.id);
        member.epoch = 0;
        member.previous_epoch = 0;
        let new = [Change::member(&member), Change::target(id, &target), Change::current(&member)];
        self.try_put(Change::member_gone(old).into_iter().chain(new))?;
        self.group.cancel_timers(old);
        Ok(())
    }
}

/// Whether a regular expression can be read.
fn check_regex(regex: &str) -> Result<(), Refusal> {
    TopicPattern::new(regex).map(drop).map_err(|error| {
        let message = format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {error}.");
        Refusal::new(ErrorCode::InvalidRegularExpression, message)
    })
}

fn assignment(member: &ConsumerMember) -> Assignment {
    let topics = member.assigned.iter().map(|(topic, partitions): (&Uuid, _)| response::TopicPartitions {
        topic_id: *topic,
        partitions: partitions.keys().copied().collect(),
        ..Default::default()
    });
    Assignment { topic_partitions: topics.collect(), ..Default::default() }
}
