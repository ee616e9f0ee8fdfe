//! What members of a classic group tell each other, in the formats of Kafka's consumers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};

use super::assignors::Member;
use crate::config::Assignor;
use crate::protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, consumer_protocol_assignment,
    consumer_protocol_subscription,
};
use crate::protocol::{EncodeError, Message, Reader};
use crate::types::TopicPartition;

fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition.get());
    }
    topics
}

fn versioned(version: i16, body: &Bytes) -> Bytes {
    let mut bytes = BytesMut::with_capacity(body.len() + 2);
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes.freeze()
}

/// What a member tells of itself when it joins.
pub(super) fn write_subscription(assignor: Assignor, member: &Member, rack: &str) -> Result<Bytes, EncodeError> {
    let user_data = match assignor {
        Assignor::CooperativeSticky => Some(Bytes::copy_from_slice(&member.generation.to_be_bytes())),
        Assignor::Sticky if !member.owned.is_empty() => Some(write_previous(member)),
        _ => None,
    };
    let owned = by_topic(&member.owned).into_iter().map(|(topic, partitions)| {
        consumer_protocol_subscription::TopicPartition { topic: topic.to_owned(), partitions }
    });
    let subscription = ConsumerProtocolSubscription {
        topics: member.topics.iter().cloned().collect(),
        user_data,
        owned_partitions: owned.collect(),
        generation_id: member.generation,
        rack_id: (!rack.is_empty()).then(|| rack.to_owned()),
    };
    let version = ConsumerProtocolSubscription::VERSIONS.max;
    Ok(versioned(version, &subscription.to_bytes(version)?))
}

/// The eager sticky assignor's note of what its member had: topics with partitions, generation.
fn write_previous(member: &Member) -> Bytes {
    let topics = by_topic(&member.owned);
    let mut bytes = BytesMut::new();
    let length = |length: usize| i32::try_from(length).unwrap_or(0).to_be_bytes();
    bytes.extend_from_slice(&length(topics.len()));
    for (topic, partitions) in topics {
        bytes.extend_from_slice(&u16::try_from(topic.len()).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
        bytes.extend_from_slice(&length(partitions.len()));
        for partition in partitions {
            bytes.extend_from_slice(&partition.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&member.generation.to_be_bytes());
    bytes.freeze()
}

/// Reads that note; `None` if it is none.
fn read_previous(bytes: &[u8]) -> Option<(Vec<TopicPartition>, i32)> {
    let mut rest = bytes;
    let int = |rest: &mut &[u8]| {
        let (value, left) = rest.split_first_chunk::<4>()?;
        *rest = left;
        Some(i32::from_be_bytes(*value))
    };
    let mut owned = Vec::new();
    for _ in 0..int(&mut rest)? {
        let (length, left) = rest.split_first_chunk::<2>()?;
        let (topic, left) = left.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let topic = std::str::from_utf8(topic).ok()?;
        rest = left;
        for _ in 0..int(&mut rest)? {
            owned.push(TopicPartition::new(topic, int(&mut rest)?));
        }
    }
    // The first form of the note has no generation.
    Some((owned, int(&mut rest).unwrap_or(-1)))
}

/// What a member told of itself; one that can't be understood reads nothing.
pub(super) fn read_subscription(assignor: Assignor, id: String, instance_id: Option<String>, bytes: &Bytes) -> Member {
    let nothing = Member { id, instance_id, generation: -1, ..Default::default() };
    let Some((version, body)) = bytes.split_first_chunk::<2>() else { return nothing };
    // Newer versions only add fields at the end.
    let version = i16::from_be_bytes(*version).min(ConsumerProtocolSubscription::VERSIONS.max);
    let body = bytes.slice_ref(body);
    let Ok(subscription) = ConsumerProtocolSubscription::decode(&mut Reader::new(&body), version) else {
        return nothing;
    };
    let owned = subscription.owned_partitions.iter();
    let owned = owned.flat_map(|topic| topic.partitions.iter().map(|p| TopicPartition::new(topic.topic.as_str(), *p)));
    let mut member = Member {
        topics: subscription.topics.into_iter().collect::<BTreeSet<_>>(),
        owned: owned.collect(),
        generation: subscription.generation_id,
        ..nothing
    };
    let note = subscription.user_data.unwrap_or_default();
    match assignor {
        Assignor::Sticky => {
            if let Some((owned, generation)) = read_previous(&note) {
                member.owned = owned;
                member.generation = generation;
            }
        }
        Assignor::CooperativeSticky if member.generation < 0 => {
            if let Some((generation, _)) = note.split_first_chunk::<4>() {
                member.generation = i32::from_be_bytes(*generation);
            }
        }
        _ => {}
    }
    member
}

/// What the leader gives a member.
pub(super) fn write_assignment(partitions: &[TopicPartition]) -> Result<Bytes, EncodeError> {
    let topics = by_topic(partitions).into_iter().map(|(topic, partitions)| {
        consumer_protocol_assignment::TopicPartition { topic: topic.to_owned(), partitions }
    });
    let assignment = ConsumerProtocolAssignment { assigned_partitions: topics.collect(), user_data: None };
    let version = ConsumerProtocolAssignment::VERSIONS.max;
    Ok(versioned(version, &assignment.to_bytes(version)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::admin::groups::read_assignment;

    #[test]
    fn members_are_understood_by_members() {
        for assignor in [Assignor::Range, Assignor::Sticky, Assignor::CooperativeSticky] {
            let member = Member {
                id: "m".to_owned(),
                instance_id: None,
                topics: ["t", "u"].map(str::to_owned).into(),
                owned: vec![TopicPartition::new("t", 1), TopicPartition::new("t", 3), TopicPartition::new("u", 0)],
                generation: 7,
            };
            let bytes = write_subscription(assignor, &member, "r").unwrap();
            assert_eq!(read_subscription(assignor, "m".to_owned(), None, &bytes), member);
            assert_eq!(read_assignment(&write_assignment(&member.owned).unwrap()), member.owned);
            for cut in 0..bytes.len() {
                read_subscription(assignor, "m".to_owned(), None, &bytes.slice(..cut));
            }
        }
    }
}
