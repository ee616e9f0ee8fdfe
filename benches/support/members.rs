//! Members of groups that join and heartbeat as Kafka's clients do, each on its own connection.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_rs::protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_rs::protocol::messages::{
    ConsumerGroupHeartbeatRequest, HeartbeatRequest, JoinGroupRequest, SyncGroupRequest,
};
use kafka_rs::types::Uuid;

use super::wire::Wire;

/// How often a member asks whether its group is settled.
const SETTLING_INTERVAL: Duration = Duration::from_millis(50);
/// Groups that have not settled by then never will.
const LONGEST_SETTLING: Duration = Duration::from_secs(120);
/// There are a thousand of them, which do next to nothing.
const STACK_BYTES: usize = 256 << 10;

/// A member that sends heartbeats.
pub trait Member {
    /// One heartbeat of a member at rest.
    fn beat(&mut self);
}

/// A member by JoinGroup and SyncGroup.
pub struct ClassicMember {
    wire: Wire,
    group: String,
    id: String,
    generation: i32,
}

/// The members of groups of one size, at rest: all of a group are in one generation.
///
/// Each joins in a thread of its own. JoinGroup is answered when a rebalance is over, and whoever comes later begins another, which waits
/// for those before; so nobody can be sent through this one after the other.
pub fn classic_members(address: &str, groups: usize, size: usize) -> Vec<ClassicMember> {
    let generations: Vec<Mutex<Vec<i32>>> = (0..groups).map(|_| Mutex::new(vec![-1; size])).collect();
    thread::scope(|scope| {
        let joining: Vec<_> = generations
            .iter()
            .enumerate()
            .flat_map(|(group, generations)| (0..size).map(move |index| (group, index, generations)))
            .map(|(group, index, generations)| {
                let join = move || ClassicMember::join(address, format!("beating-{group}"), index, generations);
                thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, join).unwrap()
            })
            .collect();
        joining.into_iter().map(|member| member.join().unwrap()).collect()
    })
}

impl ClassicMember {
    fn join(address: &str, group: String, index: usize, generations: &Mutex<Vec<i32>>) -> Self {
        let mut member = Self { wire: Wire::connect(address), group, id: String::new(), generation: -1 };
        let deadline = Instant::now() + LONGEST_SETTLING;
        loop {
            assert!(Instant::now() < deadline, "{} does not settle", member.group);
            if !member.try_to_join() {
                continue;
            }
            generations.lock().unwrap_or_else(PoisonError::into_inner)[index] = member.generation;
            while member.heartbeat() == ErrorCode::None {
                let all = generations.lock().unwrap_or_else(PoisonError::into_inner);
                if all.iter().all(|generation| *generation == member.generation) {
                    return member;
                }
                drop(all);
                thread::sleep(SETTLING_INTERVAL);
            }
        }
    }

    /// Whether the member is in a generation now, and has its assignment.
    fn try_to_join(&mut self) -> bool {
        let protocol = JoinGroupRequestProtocol { name: "range".into(), ..Default::default() };
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: 60_000,
            member_id: self.id.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
            ..Default::default()
        };
        let joined = self.wire.call(&request, 9).unwrap();
        match ErrorCode::from_code(joined.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.id = joined.member_id;
                return false;
            }
            ErrorCode::RebalanceInProgress => return false,
            error => panic!("{error}"),
        }
        self.generation = joined.generation_id;
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            ..Default::default()
        };
        match ErrorCode::from_code(self.wire.call(&request, 5).unwrap().error_code) {
            ErrorCode::None => true,
            ErrorCode::RebalanceInProgress => false,
            error => panic!("{error}"),
        }
    }

    fn heartbeat(&mut self) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..Default::default()
        };
        ErrorCode::from_code(self.wire.call(&request, 4).unwrap().error_code)
    }
}

impl Member for ClassicMember {
    fn beat(&mut self) {
        assert_eq!(self.heartbeat(), ErrorCode::None);
    }
}

/// A member by ConsumerGroupHeartbeat (KIP-848).
pub struct ConsumerMember {
    wire: Wire,
    group: String,
    id: String,
    epoch: i32,
    interval: Duration,
    owned: Vec<TopicPartitions>,
}

/// The members of groups of one size, at rest: all of a group have the same epoch, and each a partition or more. How often they are to
/// heartbeat.
pub fn consumer_members(address: &str, topic: &str, groups: usize, size: usize) -> (Vec<ConsumerMember>, Duration) {
    let mut members: Vec<ConsumerMember> = (0..groups * size)
        .map(|n| ConsumerMember {
            wire: Wire::connect(address),
            group: format!("modern-{}", n / size),
            id: Uuid::random().to_string(),
            epoch: 0,
            interval: Duration::ZERO,
            owned: Vec::new(),
        })
        .collect();
    for member in &mut members {
        member.heartbeat(Some(topic), Some(Vec::new()));
    }
    let deadline = Instant::now() + LONGEST_SETTLING;
    loop {
        assert!(Instant::now() < deadline, "groups do not settle");
        for member in &mut members {
            let owned = member.owned.clone();
            member.heartbeat(None, Some(owned));
        }
        let is_settled = |group: &[ConsumerMember]| {
            group.iter().all(|member| member.epoch == group[0].epoch && !member.owned.is_empty())
        };
        if members.chunks(size).all(is_settled) {
            let interval = members[0].interval;
            return (members, interval);
        }
        thread::sleep(SETTLING_INTERVAL);
    }
}

impl ConsumerMember {
    /// `topic` and `owned` are told where they are new.
    fn heartbeat(&mut self, topic: Option<&str>, owned: Option<Vec<TopicPartitions>>) {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: if topic.is_some() { 60_000 } else { -1 },
            subscribed_topic_names: topic.map(|topic| vec![topic.to_owned()]),
            topic_partitions: owned,
            ..Default::default()
        };
        let answer = self.wire.call(&request, 1).unwrap();
        assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
        self.epoch = answer.member_epoch;
        self.interval = Duration::from_millis(answer.heartbeat_interval_ms.unsigned_abs().into());
        if let Some(assignment) = answer.assignment {
            let owned = assignment.topic_partitions.into_iter().map(|topic| TopicPartitions {
                topic_id: topic.topic_id,
                partitions: topic.partitions,
                ..Default::default()
            });
            self.owned = owned.collect();
        }
    }
}

impl Member for ConsumerMember {
    fn beat(&mut self) {
        self.heartbeat(None, None);
    }
}
