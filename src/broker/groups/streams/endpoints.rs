//! Which partitions the state at each member's endpoint is of: so that applications can ask each other for it (interactive queries).

use std::collections::{BTreeMap, BTreeSet};

use super::Step;
use super::configure::Subtopologies;
use super::member::StreamsMember;
use super::{ClusterView, group::StreamsGroup};
use crate::protocol::messages::streams_group_heartbeat_response::{Endpoint, EndpointToPartitions, TopicPartition};
use crate::protocol::messages::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};

impl Step<'_> {
    /// Tells a member of the endpoints, if it does not know the latest.
    pub(super) fn tell_endpoints(
        &mut self,
        request: &StreamsGroupHeartbeatRequest,
        has_changed: bool,
        is_new: bool,
        answer: &mut StreamsGroupHeartbeatResponse,
    ) {
        let epoch = self.group.endpoint_epoch.saturating_add(i32::from(has_changed));
        if epoch != request.endpoint_information_epoch {
            answer.partitions_by_user_endpoint = Some(endpoints(self.group, self.view));
        }
        // As Kafka: a new group counts from its second heartbeat on.
        if !is_new {
            self.group.endpoint_epoch = epoch;
        }
        answer.endpoint_information_epoch = self.group.endpoint_epoch;
    }
}

fn endpoints(group: &StreamsGroup, view: &ClusterView) -> Vec<EndpointToPartitions> {
    let configured = group.configured.as_ref().and_then(|configured| configured.subtopologies.as_ref());
    let Some(subtopologies) = configured else { return Vec::new() };
    group.members.values().filter_map(|member| endpoint(member, subtopologies, view)).collect()
}

fn endpoint(member: &StreamsMember, subtopologies: &Subtopologies, view: &ClusterView) -> Option<EndpointToPartitions> {
    let (host, port) = member.user_endpoint.clone()?;
    let active = member.assigned.active.iter().map(|(id, tasks)| (id, tasks.keys().copied().collect()));
    let standby = member.assigned.standby.iter().map(|(id, tasks)| (id, tasks.iter().copied().collect()));
    Some(EndpointToPartitions {
        user_endpoint: Endpoint { host, port, ..Default::default() },
        active_partitions: partitions(active, subtopologies, view),
        standby_partitions: partitions(standby, subtopologies, view),
        ..Default::default()
    })
}

/// The partitions of all topics that tasks read. A topic with fewer partitions than there are tasks has none for the last ones.
fn partitions<'a>(
    tasks: impl Iterator<Item = (&'a String, BTreeSet<i32>)>,
    subtopologies: &Subtopologies,
    view: &ClusterView,
) -> Vec<TopicPartition> {
    let mut found: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for (id, tasks) in tasks {
        let Some(subtopology) = subtopologies.get(id) else { continue };
        for topic in subtopology.source_topics.iter().chain(subtopology.repartition_source_topics.keys()) {
            let there = view.topic(topic).map_or(0, |topic| topic.partitions());
            let partitions: BTreeSet<i32> = tasks.range(..there).copied().collect();
            if !partitions.is_empty() {
                found.entry(topic).or_default().extend(partitions);
            }
        }
    }
    let topic = |(topic, partitions): (&str, BTreeSet<i32>)| TopicPartition {
        topic: topic.to_owned(),
        partitions: partitions.into_iter().collect(),
        ..Default::default()
    };
    found.into_iter().map(topic).collect()
}
