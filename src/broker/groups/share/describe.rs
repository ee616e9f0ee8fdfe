//! A share group as ShareGroupDescribe shows it.

use super::ClusterView;
use super::group::{ShareGroup, ShareMember};
use crate::protocol::messages::share_group_describe_response::{Assignment, DescribedGroup, Member, TopicPartitions};

/// The only assignor that there is.
const ASSIGNOR: &str = "simple";

impl ShareGroup {
    pub(in crate::broker::groups) fn describe(&self, view: &ClusterView) -> DescribedGroup {
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: self.state().to_owned(),
            group_epoch: self.modern.epoch,
            assignment_epoch: self.modern.assignment_epoch,
            assignor_name: ASSIGNOR.to_owned(),
            members: self.members.values().map(|member| described(member, view)).collect(),
            ..Default::default()
        }
    }
}

fn described(member: &ShareMember, view: &ClusterView) -> Member {
    // A topic that is gone has no name any more.
    let topics = member.assigned.iter().filter_map(|(id, partitions)| {
        Some(TopicPartitions {
            topic_id: *id,
            topic_name: view.topic_by_id(*id)?.name.to_string(),
            partitions: partitions.iter().copied().collect(),
            ..Default::default()
        })
    });
    Member {
        member_id: member.id.clone(),
        rack_id: member.rack_id.clone(),
        member_epoch: member.epoch,
        client_id: member.client.id.clone(),
        client_host: member.client.host.clone(),
        subscribed_topic_names: member.topics.iter().cloned().collect(),
        assignment: Assignment { topic_partitions: topics.collect(), ..Default::default() },
        ..Default::default()
    }
}
