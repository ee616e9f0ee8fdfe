//! What a group follows besides its members: topics that come, go and grow, and what regular expressions stand for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::member::ConsumerMember;
use super::records::Change;
use super::{Refusal, Step};
use crate::broker::groups::assignors::{GroupSpec, MemberSpec};
use crate::broker::groups::modern::{ClusterView, ResolvedRegex};
use crate::types::Uuid;

/// Regular expressions of a group are not looked up more often than this, however fast its members change them (Kafka's number).
const REGEX_BATCH_INTERVAL: Duration = Duration::from_secs(10);

impl Step<'_> {
    /// Asks for a look-up of the group's regular expressions, if what they stand for may have changed and none is under way. `last_ms`: when
    /// they were last looked up, before this command. `new_topics_at`: where the metadata stood when a topic last came.
    ///
    /// The outcome comes after the answer: members get the topics at a later heartbeat.
    pub(super) fn refresh_regexes(&mut self, last_ms: Option<i64>, new_topics_at: i64) {
        let subscriptions = &self.group.modern.subscriptions;
        if subscriptions.regexes().len() == 0 || self.group.lookup.strong_count() > 0 {
            return;
        }
        let is_over = |since_ms: i64, interval: Duration| {
            self.now.wall_ms.saturating_sub(since_ms) > i64::try_from(interval.as_millis()).unwrap_or(i64::MAX)
        };
        if last_ms.is_some_and(|last_ms| !is_over(last_ms, REGEX_BATCH_INTERVAL)) {
            return;
        }
        let resolved = subscriptions.all_resolved();
        let is_complete = resolved.len() == subscriptions.regexes().len();
        let interval = self.view.consumer.regex_refresh_interval;
        let is_stale = |last: &ResolvedRegex| last.version < new_topics_at || is_over(last.timestamp_ms, interval);
        if !is_complete || resolved.values().next().is_some_and(is_stale) {
            self.ask_for(subscriptions.regexes().cloned().collect());
        }
    }

    /// Raises the group's epoch if it is to be raised, or if its topics are others than when it was raised last.
    pub(super) fn refresh_epoch(&mut self, bump: bool) {
        if !bump && !self.group.modern.needs_refresh {
            return;
        }
        self.group.modern.needs_refresh = false;
        let hash = self.group.modern.subscriptions.hash(self.view);
        if bump || hash != self.group.modern.metadata_hash {
            self.put(Change::epoch(self.group.modern.epoch.saturating_add(1), hash));
        }
        if self.group.has_partition_metadata {
            self.put(Change::PartitionMetadata { is_there: false });
        }
    }

    /// Computes a new target assignment, if one is due.
    ///
    /// # Errors
    /// A member would get more than a record can say. The group stays at its last one.
    pub(super) fn refresh_target(&mut self) -> Result<(), Refusal> {
        let group = &*self.group;
        let interval = self.view.consumer.timing.assignment_interval(self.view.settings_of(&group.id));
        if !group.modern.is_assignment_due(interval, self.now.wall_ms) {
            return Ok(());
        }
        let mut topics = TopicIds { view: self.view, last: None };
        let members = group.members.values().map(|member| {
            let resolved = member.regex().and_then(|regex| group.modern.subscriptions.resolved(regex));
            MemberSpec {
                id: &member.id,
                instance_id: member.instance_id.as_deref(),
                topics: topics.of(member, resolved),
                assigned: group.modern.target(&member.id),
            }
        });
        let kind = group.modern.subscriptions.kind(group.members.len());
        let spec = GroupSpec::new(members.collect(), kind, self.view);
        let assignment = group.assignor(self.view).assign(&spec);
        let mut changes = Vec::new();
        for (member, target) in spec.members.iter().zip(assignment) {
            let before = group.modern.targets.get(member.id);
            if before.is_none_or(|before| !Arc::ptr_eq(before, &target) && *before != target) {
                changes.push(Change::target(member.id, &target));
            }
        }
        changes.push(Change::target_epoch(group.modern.epoch, self.now.wall_ms));
        self.try_put(changes)
    }
}

/// Ids of the topics that members subscribe to. Members mostly subscribe to the same ones, and then share them.
struct TopicIds<'a> {
    view: &'a ClusterView,
    last: Option<Resolved>,
}

/// A subscription, and the topics that it stands for.
struct Resolved {
    names: Arc<BTreeSet<String>>,
    regex: Option<String>,
    ids: Arc<BTreeSet<Uuid>>,
}

impl TopicIds<'_> {
    fn of(&mut self, member: &ConsumerMember, resolved: Option<&ResolvedRegex>) -> Arc<BTreeSet<Uuid>> {
        if let Some(Resolved { names, regex, ids }) = &self.last
            && (Arc::ptr_eq(names, &member.topics) || *names == member.topics)
            && regex.as_deref() == member.regex()
        {
            return Arc::clone(ids);
        }
        let names = member.topics.iter().chain(resolved.into_iter().flat_map(|resolved| &resolved.topics));
        let ids: Arc<BTreeSet<Uuid>> = Arc::new(names.filter_map(|name| Some(self.view.topic(name)?.id)).collect());
        let (names, regex) = (Arc::clone(&member.topics), member.regex().map(str::to_owned));
        self.last = Some(Resolved { names, regex, ids: Arc::clone(&ids) });
        ids
    }
}
