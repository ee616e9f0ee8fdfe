//! A streams group as requests about it see it: StreamsGroupDescribe, and the checks of OffsetCommit and OffsetFetch.

use super::configure::{ConfiguredSubtopology, InternalTopic};
use super::group::StreamsGroup;
use super::member::StreamsMember;
use super::tasks::Tasks;
use super::topology::Topology as Brought;
use crate::protocol::ErrorCode;
use crate::protocol::messages::streams_group_describe_response::{
    Assignment, DescribedGroup, Endpoint, KeyValue, Member, Subtopology, TaskIds, TopicInfo, Topology,
};
use crate::protocol::messages::streams_group_topology_value as value;

/// First version of OffsetCommit that members may use.
const FIRST_COMMIT_VERSION: i16 = 9;

/// What a commit must keep to, partition by partition.
#[derive(Debug)]
pub(in crate::broker::groups) enum CommitRule<'a> {
    /// Nothing more.
    Any,
    /// The member is in a later epoch than it says, as its heartbeat and its commit met. It may commit for the tasks that it was given by the
    /// epoch that it says, and has not given up since.
    AssignedBy { member: &'a StreamsMember, topology: &'a Brought, epoch: i32 },
}

impl CommitRule<'_> {
    /// Whether a partition may be committed.
    ///
    /// # Errors
    /// The code for the whole request.
    pub(in crate::broker::groups) fn check(&self, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        let Self::AssignedBy { member, topology, epoch } = self else { return Ok(()) };
        let by = topology.reader_of(topic).and_then(|subtopology| member.epoch_of(subtopology, partition));
        if by.is_some_and(|by| by <= *epoch) { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
    }
}

impl StreamsGroup {
    /// Checks what an OffsetCommit says of its sender.
    ///
    /// # Errors
    /// The code for the whole request.
    pub(in crate::broker::groups) fn check_commit(
        &self,
        member_id: &str,
        epoch: i32,
        version: i16,
    ) -> Result<CommitRule<'_>, ErrorCode> {
        // A tool, while nobody is there.
        if epoch < 0 && self.members.is_empty() {
            return Ok(CommitRule::Any);
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if version < FIRST_COMMIT_VERSION {
            return Err(ErrorCode::UnsupportedVersion);
        }
        match (epoch.cmp(&member.epoch), &self.topology) {
            (std::cmp::Ordering::Equal, _) => Ok(CommitRule::Any),
            (std::cmp::Ordering::Less, Some(topology)) => Ok(CommitRule::AssignedBy { member, topology, epoch }),
            _ => Err(ErrorCode::StaleMemberEpoch),
        }
    }

    /// Checks what an OffsetFetch says of its sender.
    ///
    /// # Errors
    /// The code for the group.
    pub(in crate::broker::groups) fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        let Some(id) = member_id else {
            return if epoch < 0 { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        };
        let member = self.members.get(id).ok_or(ErrorCode::UnknownMemberId)?;
        if epoch == member.epoch { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
    }

    /// The group as StreamsGroupDescribe shows it.
    pub(in crate::broker::groups) fn describe(&self) -> DescribedGroup {
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: self.state().to_owned(),
            group_epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            topology: self.describe_topology(),
            members: self.members.values().map(|member| self.describe_member(member)).collect(),
            ..Default::default()
        }
    }

    /// With the numbers of partitions that were worked out, once the application can run.
    fn describe_topology(&self) -> Option<Topology> {
        let configured = self.configured.as_ref().and_then(|configured| Some((configured.epoch, configured.ready()?)));
        let (epoch, subtopologies) = match configured {
            Some((epoch, ready)) => (epoch, ready.iter().map(|(id, it)| configured_subtopology(id, it)).collect()),
            None => {
                let topology = self.topology.as_ref()?;
                (topology.epoch, topology.subtopologies.values().map(brought_subtopology).collect())
            }
        };
        Some(Topology { epoch, subtopologies: Some(subtopologies), ..Default::default() })
    }

    fn describe_member(&self, member: &StreamsMember) -> Member {
        let target = self.target(&member.id);
        let active = member.assigned.active.iter().map(|(id, tasks)| task_ids(id, tasks.keys()));
        let tag = |(key, value): (&String, &String)| key_value(key, value);
        let endpoint =
            |(host, port): &(String, u16)| Endpoint { host: host.clone(), port: *port, ..Default::default() };
        Member {
            member_id: member.id.clone(),
            member_epoch: member.epoch,
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            topology_epoch: member.topology_epoch,
            process_id: member.process_id.clone(),
            user_endpoint: member.user_endpoint.as_ref().map(endpoint),
            client_tags: member.client_tags.iter().map(tag).collect(),
            assignment: Assignment {
                active_tasks: active.collect(),
                standby_tasks: ids(&member.assigned.standby),
                warmup_tasks: ids(&member.assigned.warmup),
                ..Default::default()
            },
            target_assignment: Assignment {
                active_tasks: ids(&target.active),
                standby_tasks: ids(&target.standby),
                warmup_tasks: ids(&target.warmup),
                ..Default::default()
            },
            ..Default::default()
        }
    }
}

fn ids(tasks: &Tasks) -> Vec<TaskIds> {
    tasks.iter().map(|(id, tasks)| task_ids(id, tasks.iter())).collect()
}

fn task_ids<'a>(id: &str, tasks: impl Iterator<Item = &'a i32>) -> TaskIds {
    TaskIds { subtopology_id: id.to_owned(), partitions: tasks.copied().collect(), ..Default::default() }
}

fn key_value(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: value.to_owned(), ..Default::default() }
}

fn configured_subtopology(id: &str, subtopology: &ConfiguredSubtopology) -> Subtopology {
    let info = |topic: &InternalTopic| TopicInfo {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        topic_configs: topic.configs.iter().map(|(key, value)| key_value(key, value)).collect(),
        ..Default::default()
    };
    Subtopology {
        subtopology_id: id.to_owned(),
        source_topics: subtopology.source_topics.iter().cloned().collect(),
        repartition_sink_topics: subtopology.repartition_sink_topics.iter().cloned().collect(),
        repartition_source_topics: subtopology.repartition_source_topics.values().map(info).collect(),
        state_changelog_topics: subtopology.state_changelog_topics.values().map(info).collect(),
        ..Default::default()
    }
}

fn brought_subtopology(subtopology: &value::Subtopology) -> Subtopology {
    let info = |topic: &value::TopicInfo| TopicInfo {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        topic_configs: topic.topic_configs.iter().map(|config| key_value(&config.key, &config.value)).collect(),
        ..Default::default()
    };
    let infos = |topics: &[value::TopicInfo]| {
        let mut infos: Vec<TopicInfo> = topics.iter().map(info).collect();
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        infos
    };
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    Subtopology {
        subtopology_id: subtopology.subtopology_id.clone(),
        source_topics: sorted(&subtopology.source_topics),
        repartition_sink_topics: sorted(&subtopology.repartition_sink_topics),
        repartition_source_topics: infos(&subtopology.repartition_source_topics),
        state_changelog_topics: infos(&subtopology.state_changelog_topics),
        ..Default::default()
    }
}
