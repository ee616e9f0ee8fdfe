//! Groups that go from one protocol to the other while members are in them: up when the first member of the consumer protocol comes, down
//! when the last one goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::classic::CONSUMER;
use super::group::{ConsumerGroup, Due};
use super::member::{ConsumerMember, MemberState};
use super::records::{Change, consumer_record};
use super::{ClusterView, Now, Refusal};
use crate::broker::coordinator::Record;
use crate::broker::groups::classic::ClassicGroup;
use crate::broker::groups::member::{Member, OfferedProtocol};
use crate::broker::groups::modern::Assignment;
use crate::protocol::messages::consumer_group_member_metadata_value::{ClassicMemberMetadata, ClassicProtocol};
use crate::protocol::messages::consumer_protocol_assignment::TopicPartition;
use crate::protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::protocol::{ErrorCode, Message, Reader, Wire, Writer};
use crate::types::Uuid;

// ---- Down

/// Whether the group is to become a classic one when these members leave: all others speak the classic protocol.
pub(super) fn can_become_classic(
    group: &ConsumerGroup,
    leaving: &[String],
    view: &ClusterView,
    classic_max_size: usize,
) -> bool {
    let left = group.members.len().saturating_sub(leaving.len());
    let classic_leaving =
        leaving.iter().filter(|id| group.members.get(*id).is_some_and(|member| member.classic.is_some())).count();
    group.classic_members().saturating_sub(classic_leaving) == left
        && left > 0
        && left <= classic_max_size
        && view.consumer.migration.allows_downgrade()
        && group.members.values().filter(|member| !leaving.contains(&member.id)).all(has_readable_metadata)
}

/// The same where a classic member takes the place of a static member, the last one of the consumer protocol.
pub(super) fn can_be_replaced_by_classic(
    group: &ConsumerGroup,
    replaced: &ConsumerMember,
    view: &ClusterView,
    classic_max_size: usize,
) -> bool {
    replaced.classic.is_none()
        && group.classic_members() + 1 == group.members.len()
        && group.members.len() <= classic_max_size
        && view.consumer.migration.allows_downgrade()
        && group.members.values().filter(|member| member.id != replaced.id).all(has_readable_metadata)
}

fn has_readable_metadata(member: &ConsumerMember) -> bool {
    member.classic_protocol().is_some_and(|(_, metadata)| version_of(metadata).is_some())
}

impl ConsumerGroup {
    /// The members as a classic group takes them over, but for their assignments.
    pub(in crate::broker::groups) fn downgraded(&self, now: Now) -> Vec<Member> {
        let member = |member: &ConsumerMember| {
            let session_timeout = member.classic_session_timeout()?;
            let offered = member.classic.iter().flat_map(|classic| &classic.supported_protocols);
            Some(Member {
                id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                client: member.client.clone(),
                rebalance_timeout: member.rebalance_timeout(),
                session_timeout,
                protocols: offered
                    .map(|protocol| OfferedProtocol {
                        name: protocol.name.clone(),
                        metadata: protocol.metadata.clone(),
                    })
                    .collect(),
                assignment: Bytes::new(),
                joining: None,
                syncing: None,
                expires: now.after(session_timeout),
                is_new: false,
            })
        };
        self.members.values().filter_map(member).collect()
    }

    /// What a member is to have, in the form of the classic protocol.
    pub(in crate::broker::groups) fn classic_assignment(
        &self,
        id: &str,
        metadata: &Bytes,
        view: &ClusterView,
    ) -> Bytes {
        let target = self.modern.target(id);
        let target = target.iter().map(|(topic, partitions)| (*topic, partitions.iter().copied().collect()));
        encode_assignment(target, metadata, view).unwrap_or_default()
    }

    /// The group's epoch, which becomes the generation of a classic group.
    pub(in crate::broker::groups) fn epoch(&self) -> i32 {
        self.modern.epoch
    }
}

// ---- Up

/// Whether a classic group with members in it may become a consumer group.
///
/// # Errors
/// The refusal.
pub(in crate::broker::groups) fn check_upgrade(group: &ClassicGroup, view: &ClusterView) -> Result<(), Refusal> {
    let refuse = |why: &str| {
        let message = format!("Cannot upgrade classic group {} to consumer group because {why}.", group.id);
        Err(Refusal::new(ErrorCode::GroupIdNotFound, message))
    };
    if !view.consumer.migration.allows_upgrade() {
        refuse("online upgrade is disabled")
    } else if group.protocol_type != CONSUMER {
        refuse("the group does not use the consumer embedded protocol")
    } else if group.members().count() > view.consumer.max_size {
        refuse("the group size exceeds the consumer group maximum size")
    } else {
        Ok(())
    }
}

/// The consumer group that a classic group becomes, and the records that say so.
///
/// # Errors
/// A member's metadata is not of the consumer's form.
pub(in crate::broker::groups) fn upgrade(
    classic: &ClassicGroup,
    view: &ClusterView,
    now: Now,
) -> Result<(ConsumerGroup, Vec<Record>), Refusal> {
    let refuse = |why: &str| {
        let message = format!("Cannot upgrade classic group {} to consumer group because {why}.", classic.id);
        Refusal::new(ErrorCode::GroupIdNotFound, message)
    };
    let malformed = || refuse("the embedded consumer protocol is malformed");
    let mut members = Vec::new();
    for old in classic.members() {
        let assigned = read_assignment(&old.assignment).ok_or_else(malformed)?;
        if assigned.user_data.is_some_and(|data| !data.is_empty()) {
            let why = "an unsupported custom assignor is in use. Please refer to the documentation or switch to a \
                       default assignor before re-attempting the upgrade";
            return Err(refuse(why));
        }
        // A group that has never been stable has no protocol yet.
        let offered = old.protocols.iter().find(|offered| Some(offered.name.as_str()) == classic.protocol());
        let metadata = offered.or(old.protocols.first()).map(|offered| &offered.metadata).ok_or_else(malformed)?;
        let subscription = read_subscription(metadata).ok_or_else(malformed)?;
        let mut member = ConsumerMember::new(&old.id);
        let partitions = assigned.assigned_partitions.into_iter().filter_map(|topic| {
            let id = view.topic(&topic.topic)?.id;
            let partitions: BTreeMap<i32, i32> =
                topic.partitions.into_iter().map(|p| (p, classic.generation)).collect();
            Some((id, partitions)).filter(|(_, partitions)| !partitions.is_empty())
        });
        member.assigned = Arc::new(partitions.collect());
        member.epoch = classic.generation;
        member.previous_epoch = classic.generation;
        member.state = MemberState::Stable;
        member.instance_id.clone_from(&old.instance_id);
        member.rack_id = subscription.rack_id.filter(|rack| !rack.is_empty());
        member.rebalance_timeout_ms = i32::try_from(old.rebalance_timeout.as_millis()).unwrap_or(i32::MAX);
        member.client = old.client.clone();
        member.topics = Arc::new(subscription.topics.into_iter().collect());
        let protocols = old.protocols.iter().map(|offered| ClassicProtocol {
            name: offered.name.clone(),
            metadata: offered.metadata.clone(),
            ..Default::default()
        });
        member.classic = Some(Arc::new(ClassicMemberMetadata {
            session_timeout_ms: i32::try_from(old.session_timeout.as_millis()).unwrap_or(i32::MAX),
            supported_protocols: protocols.collect(),
            ..Default::default()
        }));
        members.push(member);
    }
    let mut group = ConsumerGroup::new(&classic.id);
    let mut records = Vec::new();
    let mut put = |group: &mut ConsumerGroup, change: Change| {
        records.push(consumer_record(&group.id, &change));
        group.apply(change);
    };
    for member in &members {
        put(&mut group, Change::member(member));
    }
    let hash = group.modern.subscriptions.hash(view);
    put(&mut group, Change::epoch(classic.generation, hash));
    for member in &members {
        let target: Assignment = member
            .assigned
            .iter()
            .map(|(topic, partitions)| (*topic, partitions.keys().copied().collect::<BTreeSet<i32>>()))
            .collect();
        put(&mut group, Change::target(&member.id, &target));
    }
    put(&mut group, Change::target_epoch(classic.generation, 0));
    for member in &members {
        put(&mut group, Change::current(member));
        let session = member.classic_session_timeout().unwrap_or_default();
        group.timers.set((member.id.clone(), Due::Session), now.after(session));
    }
    Ok((group, records))
}

// ---- The consumer's own formats within the classic protocol

/// The version in front of a member's metadata.
fn version_of(metadata: &Bytes) -> Option<i16> {
    i16::read(&mut Reader::new(metadata), 0).ok().filter(|version| *version >= 0)
}

fn read<M: Message>(bytes: &Bytes) -> Option<M> {
    let mut r = Reader::new(bytes);
    let version = i16::read(&mut r, 0).ok().filter(|version| *version >= 0)?;
    // A newer version only adds fields at the end.
    M::decode(&mut r, version.min(M::VERSIONS.max)).ok()
}

/// What a consumer says of itself under the classic protocol.
pub(super) fn read_subscription(metadata: &Bytes) -> Option<ConsumerProtocolSubscription> {
    read(metadata)
}

fn read_assignment(assignment: &Bytes) -> Option<ConsumerProtocolAssignment> {
    if assignment.is_empty() { Some(ConsumerProtocolAssignment::default()) } else { read(assignment) }
}

/// An assignment for a member of the classic protocol, in the version of its metadata.
pub(super) fn encode_assignment(
    partitions: impl Iterator<Item = (Uuid, Vec<i32>)>,
    metadata: &Bytes,
    view: &ClusterView,
) -> Option<Bytes> {
    let version = version_of(metadata)?.min(ConsumerProtocolAssignment::VERSIONS.max);
    let topics = partitions.filter_map(|(topic, partitions)| {
        let topic = view.topic_by_id(topic)?.name.to_string();
        Some(TopicPartition { topic, partitions })
    });
    let assignment = ConsumerProtocolAssignment { assigned_partitions: topics.collect(), ..Default::default() };
    let mut w = Writer::new();
    w.raw(&version.to_be_bytes());
    assignment.encode(&mut w, version).ok()?;
    Some(w.into_bytes())
}
