//! Which partitions' states have begun at the share coordinator: only those are assigned.
//!
//! What is to begin or to end is noted before the share coordinator is asked, and noted again when it has answered: a coordinator that is lost
//! in between leaves nothing behind that nobody knows of.

use std::collections::{BTreeMap, BTreeSet};

use super::records::Change;
use super::{Refusal, ShareGroup, Step};
use crate::broker::groups::modern::Assignment;
use crate::protocol::ErrorCode;
use crate::protocol::messages::ShareGroupStatePartitionMetadataValue;
use crate::protocol::messages::share_group_state_partition_metadata_value::{TopicInfo, TopicPartitionsInfo};
use crate::types::Uuid;

/// Some of a topic's partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::broker) struct StateTopic {
    pub(in crate::broker) name: String,
    pub(in crate::broker) partitions: BTreeSet<i32>,
}

/// The partitions that a group has states of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::broker) struct StateTopics {
    /// Their states are about to begin.
    pub(in crate::broker) initializing: BTreeMap<Uuid, StateTopic>,
    /// Their states have begun.
    pub(in crate::broker) initialized: BTreeMap<Uuid, StateTopic>,
    /// Their states are about to end.
    pub(in crate::broker) deleting: BTreeMap<Uuid, String>,
}

/// States that are to begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::broker) struct Starting {
    pub(in crate::broker) state_epoch: i32,
    pub(in crate::broker) topics: Assignment,
}

impl From<ShareGroupStatePartitionMetadataValue> for StateTopics {
    fn from(value: ShareGroupStatePartitionMetadataValue) -> Self {
        let topics = |topics: Vec<TopicPartitionsInfo>| {
            let topic = |topic: TopicPartitionsInfo| {
                let partitions = topic.partitions.into_iter().collect();
                (topic.topic_id, StateTopic { name: topic.topic_name, partitions })
            };
            topics.into_iter().map(topic).collect()
        };
        Self {
            initializing: topics(value.initializing_topics),
            initialized: topics(value.initialized_topics),
            deleting: value.deleting_topics.into_iter().map(|topic| (topic.topic_id, topic.topic_name)).collect(),
        }
    }
}

impl StateTopics {
    pub(super) fn to_value(&self) -> ShareGroupStatePartitionMetadataValue {
        let topics = |topics: &BTreeMap<Uuid, StateTopic>| {
            let topic = |(id, topic): (&Uuid, &StateTopic)| TopicPartitionsInfo {
                topic_id: *id,
                topic_name: topic.name.clone(),
                partitions: topic.partitions.iter().copied().collect(),
                ..Default::default()
            };
            topics.iter().map(topic).collect()
        };
        let deleting = self.deleting.iter().map(|(id, name)| TopicInfo {
            topic_id: *id,
            topic_name: name.clone(),
            ..Default::default()
        });
        ShareGroupStatePartitionMetadataValue {
            initializing_topics: topics(&self.initializing),
            initialized_topics: topics(&self.initialized),
            deleting_topics: deleting.collect(),
            ..Default::default()
        }
    }

    /// Whether a partition's state has begun.
    pub(in crate::broker) fn has(&self, topic: Uuid, partition: i32) -> bool {
        self.initialized.get(&topic).is_some_and(|topic| topic.partitions.contains(&partition))
    }

    fn forget(&mut self, topic: &Uuid) -> bool {
        let initializing = self.initializing.remove(topic).is_some();
        let initialized = self.initialized.remove(topic).is_some();
        self.deleting.remove(topic).is_some() || initializing || initialized
    }
}

/// Adds partitions of a topic.
fn add(to: &mut BTreeMap<Uuid, StateTopic>, id: Uuid, name: &str, partitions: impl IntoIterator<Item = i32>) {
    let topic = to.entry(id).or_insert_with(|| StateTopic { name: name.to_owned(), partitions: BTreeSet::new() });
    topic.partitions.extend(partitions);
}

/// Takes partitions of a topic out, and the topic if none are left; gives its name.
fn take_out(from: &mut BTreeMap<Uuid, StateTopic>, id: Uuid, partitions: &BTreeSet<i32>) -> Option<String> {
    let topic = from.get_mut(&id)?;
    topic.partitions.retain(|partition| !partitions.contains(partition));
    let name = topic.name.clone();
    if topic.partitions.is_empty() {
        from.remove(&id);
    }
    Some(name)
}

impl ShareGroup {
    /// The partitions of subscribed topics whose states are to begin: they have not, and nobody was asked a short while ago.
    pub(super) fn to_start(&self, step: &StepTime<'_>) -> Assignment {
        let mut topics = Assignment::new();
        for name in self.modern.subscriptions.topics() {
            let Some(topic) = step.view.topic(name) else { continue };
            let is_asked = self.asked.get(&topic.id).is_some_and(|at| step.now < *at);
            let is_waiting = |partition: &i32| {
                let initializing = self.states.initializing.get(&topic.id);
                is_asked && initializing.is_some_and(|topic| topic.partitions.contains(partition))
            };
            let missing: BTreeSet<i32> = (0..topic.partitions())
                .filter(|partition| !self.states.has(topic.id, *partition) && !is_waiting(partition))
                .collect();
            if !missing.is_empty() {
                topics.insert(topic.id, missing);
            }
        }
        topics
    }
}

/// What the look at the states depends on.
pub(super) struct StepTime<'a> {
    pub(super) view: &'a super::ClusterView,
    pub(super) now: std::time::Instant,
}

impl Step<'_> {
    /// Notes that states are to begin; `None` if there are none that are.
    ///
    /// # Errors
    /// One record can't name all that the group has states of.
    pub(super) fn start_states(&mut self, topics: Assignment) -> Result<Option<Starting>, Refusal> {
        if topics.is_empty() {
            return Ok(None);
        }
        let mut states = self.group.states.clone();
        for (id, partitions) in &topics {
            let Some(topic) = self.view.topic_by_id(*id) else { continue };
            add(&mut states.initializing, *id, &topic.name, partitions.iter().copied());
            take_out(&mut states.initialized, *id, partitions);
            // Whoever was ending them asks for the end of what there was; what begins now is begun again if that is lost.
            states.deleting.remove(id);
        }
        if states != self.group.states {
            self.try_put([Change::states(&states)])?;
        }
        let retry_at = self.now.after(self.view.share.initialize_retry_interval);
        let known = topics.keys().filter(|id| self.view.topic_by_id(**id).is_some());
        self.group.asked.extend(known.map(|id| (*id, retry_at)));
        Ok(Some(Starting { state_epoch: self.group.modern.epoch, topics }))
    }

    /// Notes that states have begun, or could not: then somebody asks again.
    pub(in crate::broker::groups) fn states_started(&mut self, started: &Assignment, failed: &Assignment) {
        let mut states = self.group.states.clone();
        for (id, partitions) in started {
            if let Some(name) = take_out(&mut states.initializing, *id, partitions) {
                add(&mut states.initialized, *id, &name, partitions.iter().copied());
            }
            self.group.asked.remove(id);
        }
        for (id, partitions) in failed {
            take_out(&mut states.initializing, *id, partitions);
            self.group.asked.remove(id);
        }
        // A topic with both kinds of partitions is named twice; if that is too much they are asked to begin again.
        if states != self.group.states && self.try_put([Change::states(&states)]).is_err() {
            tracing::error!(group = self.group.id, "no record can name all states of the share group");
        }
    }

    /// AlterShareGroupOffsets: the states of these partitions begin anew, in a later epoch.
    ///
    /// # Errors
    /// Members are in the group, or a record can't name all of the states.
    pub(in crate::broker::groups) fn restart_states(&mut self, topics: Assignment) -> Result<Starting, Refusal> {
        self.check_empty()?;
        let hash = self.group.modern.subscriptions.hash(self.view);
        self.put(Change::epoch(self.group.modern.epoch.saturating_add(1), hash));
        let state_epoch = self.group.modern.epoch;
        Ok(self.start_states(topics)?.unwrap_or(Starting { state_epoch, topics: Assignment::new() }))
    }

    /// DeleteShareGroupOffsets and DeleteGroups: notes that the states of these topics are to end (of all, if none are named); gives their
    /// partitions.
    ///
    /// # Errors
    /// Members are in the group.
    pub(in crate::broker::groups) fn end_states(&mut self, topics: Option<&[Uuid]>) -> Result<Assignment, Refusal> {
        self.check_empty()?;
        let mut states = self.group.states.clone();
        let mut ending = Assignment::new();
        let wanted = |id: &Uuid| topics.is_none_or(|topics| topics.contains(id));
        for from in [&mut states.initialized, &mut states.initializing] {
            for (id, topic) in from.extract_if(.., |id, _| wanted(id)) {
                states.deleting.insert(id, topic.name);
                ending.entry(id).or_default().extend(topic.partitions);
            }
        }
        // Those that were to end when the coordinator was lost: nobody knows which of their partitions have.
        for id in states.deleting.keys().filter(|id| wanted(id)) {
            let count = self.view.topic_by_id(*id).map_or(0, |topic| topic.partitions());
            ending.entry(*id).or_default().extend(0..count);
        }
        if states != self.group.states {
            self.put(Change::states(&states));
        }
        Ok(ending)
    }

    /// Notes that the states of topics have ended, or that the topics are gone.
    pub(in crate::broker::groups) fn states_ended(&mut self, topics: &[Uuid]) {
        let mut states = self.group.states.clone();
        let mut changed = false;
        for id in topics {
            changed |= states.forget(id);
        }
        if changed {
            self.put(Change::states(&states));
        }
    }

    fn check_empty(&self) -> Result<(), Refusal> {
        if self.group.is_empty() {
            return Ok(());
        }
        let message = format!("Group {} is not empty.", self.group.id);
        Err(Refusal::new(ErrorCode::NonEmptyGroup, message))
    }
}
