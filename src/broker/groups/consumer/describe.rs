//! A consumer group as requests about it see it: ConsumerGroupDescribe, and the checks of OffsetCommit and OffsetFetch.

use std::collections::BTreeMap;

use super::ClusterView;
use super::group::ConsumerGroup;
use super::member::{ConsumerMember, Owned};
use crate::broker::groups::modern::Assignment;
use crate::protocol::ErrorCode;
use crate::protocol::messages::consumer_group_describe_response::{
    self as response, DescribedGroup, Member, TopicPartitions,
};
use crate::types::Uuid;

/// First version of OffsetCommit that members of the consumer protocol may use.
const FIRST_COMMIT_VERSION: i16 = 9;

/// Members by the protocol that they speak (ConsumerGroupDescribe v1).
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

/// What a commit must keep to, partition by partition.
#[derive(Debug)]
pub(in crate::broker::groups) enum CommitRule<'a> {
    /// Nothing more.
    Any,
    /// The member is in a later epoch than it says, as its heartbeat and its commit met. It may commit what it was given by the epoch that it says, and
    /// has not given up since (KIP-1251).
    AssignedBy { member: &'a ConsumerMember, epoch: i32 },
}

impl CommitRule<'_> {
    /// Whether a partition may be committed.
    ///
    /// # Errors
    /// The code for the whole request.
    pub(in crate::broker::groups) fn check(&self, topic: Uuid, partition: i32) -> Result<(), ErrorCode> {
        match self {
            Self::AssignedBy { member, epoch } if member.epoch_of(topic, partition).is_none_or(|by| by > *epoch) => {
                Err(stale(member))
            }
            _ => Ok(()),
        }
    }
}

/// The word for an epoch that is not the member's, in its protocol.
fn stale(member: &ConsumerMember) -> ErrorCode {
    if member.classic.is_some() { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
}

impl ConsumerGroup {
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
        if member.classic.is_none() && version < FIRST_COMMIT_VERSION {
            return Err(ErrorCode::UnsupportedVersion);
        }
        match epoch.cmp(&member.epoch) {
            std::cmp::Ordering::Equal => Ok(CommitRule::Any),
            std::cmp::Ordering::Greater => Err(stale(member)),
            std::cmp::Ordering::Less => Ok(CommitRule::AssignedBy { member, epoch }),
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
        if epoch == member.epoch { Ok(()) } else { Err(stale(member)) }
    }

    /// The group as ConsumerGroupDescribe shows it.
    pub(in crate::broker::groups) fn describe(&self, view: &ClusterView) -> DescribedGroup {
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: self.state().to_owned(),
            group_epoch: self.modern.epoch,
            assignment_epoch: self.modern.assignment_epoch,
            assignor_name: self.assignor(view).name().to_owned(),
            members: self.members.values().map(|member| self.describe_member(member, view)).collect(),
            ..Default::default()
        }
    }

    fn describe_member(&self, member: &ConsumerMember, view: &ClusterView) -> Member {
        let mut owned: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        let mut add = |partitions: &Owned| {
            for (topic, partitions) in partitions {
                owned.entry(*topic).or_default().extend(partitions.keys());
            }
        };
        add(&member.assigned);
        add(&member.revoking);
        let target: &Assignment = &self.modern.target(&member.id);
        let target = target.iter().map(|(topic, partitions)| (*topic, partitions.iter().copied().collect()));
        Member {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            member_epoch: member.epoch,
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            subscribed_topic_names: member.topics.iter().cloned().collect(),
            subscribed_topic_regex: member.topic_regex.clone(),
            assignment: named(owned.into_iter(), view),
            target_assignment: named(target, view),
            member_type: if member.classic.is_some() { CLASSIC_MEMBER } else { CONSUMER_MEMBER },
            ..Default::default()
        }
    }
}

/// Partitions with the names of their topics; topics that are gone have none.
fn named(topics: impl Iterator<Item = (Uuid, Vec<i32>)>, view: &ClusterView) -> response::Assignment {
    let topics = topics.filter_map(|(topic_id, partitions)| {
        let topic_name = view.topic_by_id(topic_id)?.name.to_string();
        Some(TopicPartitions { topic_id, topic_name, partitions, ..Default::default() })
    });
    response::Assignment { topic_partitions: topics.collect(), ..Default::default() }
}
