//! The consumer as a member of a group whose coordinator assigns (KIP-848).
//!
//! A poll brings what is read into line with what the coordinator wants, in this order: what is to go is not read any more,
//! how far it was read is committed, what is new is read, the coordinator is told. A poll that is cancelled in the middle
//! is carried on with by the next.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::error::ConsumeError;
use super::options::GroupOptions;
use super::subscribe::{Member, Wanted};
use super::{Consumer, Interest, Shared, Start};
use crate::client::admin::{GroupOffset, millis};
use crate::client::connection::Connection;
use crate::client::membership::{
    self, Answer, Assigned, Beat, Interests, MemberState, Membership, Protocol, Surroundings,
};
use crate::client::{ApiError, ClientError, lock};
use crate::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use crate::protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use crate::protocol::{ApiKey, ErrorCode, VersionRange};
use crate::types::{TopicPartition, Uuid};

/// The first version of ConsumerGroupHeartbeat that knows patterns.
const FIRST_VERSION_WITH_PATTERNS: i16 = 1;

/// The member's side of the protocol.
#[derive(Debug)]
pub(super) struct ConsumerGroup {
    options: GroupOptions,
    rack: String,
}

impl Protocol for ConsumerGroup {
    type Request = ConsumerGroupHeartbeatRequest;

    fn group_id(&self) -> &str {
        &self.options.group_id
    }

    fn is_static(&self) -> bool {
        self.options.group_instance_id.is_some()
    }

    fn max_poll_interval(&self) -> Duration {
        self.options.max_poll_interval
    }

    fn request(&self, beat: &Beat, connection: &Connection) -> Result<Self::Request, ClientError> {
        let version = connection.version_of::<Self::Request>(i16::MAX)?;
        let mut request = ConsumerGroupHeartbeatRequest {
            group_id: self.options.group_id.clone(),
            member_id: beat.member_id.clone(),
            member_epoch: beat.epoch,
            instance_id: self.options.group_instance_id.clone(),
            topic_partitions: beat.owned.as_ref().map(to_wire),
            ..Default::default()
        };
        if beat.full {
            request.rack_id = (!self.rack.is_empty()).then(|| self.rack.clone());
            request.rebalance_timeout_ms = millis(self.options.max_poll_interval);
            request.server_assignor.clone_from(&self.options.remote_assignor);
        }
        if let Some(interests) = &beat.interests {
            request.subscribed_topic_names = Some(interests.topics.iter().cloned().collect());
            request.subscribed_topic_regex = match &interests.regex {
                Some(_) if version < FIRST_VERSION_WITH_PATTERNS => {
                    return Err(ClientError::UnsupportedVersion {
                        address: connection.address().clone(),
                        api: ApiKey::ConsumerGroupHeartbeat,
                        wanted: VersionRange::new(FIRST_VERSION_WITH_PATTERNS, i16::MAX),
                        offered: connection.api_versions().get(ApiKey::ConsumerGroupHeartbeat),
                    });
                }
                Some(pattern) => Some(pattern.clone()),
                // Empty: no pattern any more.
                None if version >= FIRST_VERSION_WITH_PATTERNS && !beat.full => Some(String::new()),
                None => None,
            };
        }
        Ok(request)
    }

    fn farewell(&self, member_id: String, epoch: i32) -> Self::Request {
        ConsumerGroupHeartbeatRequest {
            group_id: self.options.group_id.clone(),
            member_id,
            member_epoch: epoch,
            instance_id: self.options.group_instance_id.clone(),
            ..Default::default()
        }
    }

    fn answer(&self, response: ConsumerGroupHeartbeatResponse) -> Result<Answer, ApiError> {
        ApiError::check(response.error_code, response.error_message)?;
        let partitions = |assignment: crate::protocol::messages::consumer_group_heartbeat_response::Assignment| {
            let topics = assignment.topic_partitions.into_iter();
            topics.map(|topic| (topic.topic_id, topic.partitions.into_iter().collect::<BTreeSet<_>>()))
        };
        Ok(Answer {
            member_id: response.member_id,
            epoch: response.member_epoch,
            interval: Duration::from_millis(response.heartbeat_interval_ms.max(1).unsigned_abs().into()),
            assignment: response.assignment.map(|assignment| partitions(assignment).collect()),
        })
    }
}

fn to_wire(assigned: &Assigned) -> Vec<TopicPartitions> {
    let topic = |(topic_id, partitions): (&Uuid, &BTreeSet<i32>)| TopicPartitions {
        topic_id: *topic_id,
        partitions: partitions.iter().copied().collect(),
        ..Default::default()
    };
    assigned.iter().map(topic).collect()
}

/// Partitions that are being let go of before others are read.
#[derive(Debug)]
struct Reconciling {
    wanted: Assigned,
    partitions: Vec<TopicPartition>,
    offsets: Vec<(TopicPartition, GroupOffset)>,
}

/// The consumer's membership.
#[derive(Debug)]
pub(super) struct CoordinatedMember {
    pub(super) membership: Arc<Membership>,
    protocol: Arc<ConsumerGroup>,
    reconciling: Option<Reconciling>,
    heartbeats: tokio::task::JoinHandle<()>,
}

impl Drop for CoordinatedMember {
    fn drop(&mut self) {
        self.heartbeats.abort();
    }
}

impl CoordinatedMember {
    /// A member that joins when its interests are known.
    pub(super) fn start(shared: &Shared, options: GroupOptions) -> Self {
        let backoff = shared.cluster.retry_backoff();
        let state = MemberState::new(Uuid::random().to_string(), backoff, Instant::now());
        let membership = Arc::new(Membership::new(state));
        let protocol = Arc::new(ConsumerGroup { options, rack: shared.options.client.client_rack.clone() });
        let around = Surroundings { cluster: shared.cluster.clone(), news: Arc::clone(&shared.news) };
        *lock(&shared.coordinated) = Some(Arc::clone(&membership));
        let heartbeats = tokio::spawn(membership::run(around, Arc::clone(&membership), Arc::clone(&protocol)));
        Self { membership, protocol, reconciling: None, heartbeats }
    }

    pub(super) async fn leave(self, shared: &Shared) {
        self.heartbeats.abort();
        *lock(&shared.coordinated) = None;
        membership::leave(&shared.cluster, &self.membership, &*self.protocol).await;
    }
}

impl Consumer {
    fn coordinated(&mut self) -> Option<&mut CoordinatedMember> {
        match &mut self.subscription.as_mut()?.member {
            Member::Coordinated(member) => Some(member),
            Member::Classic(_) => None,
        }
    }

    /// Does what the coordinator asks for.
    pub(super) async fn follow_coordinator(&mut self) -> Result<(), ConsumeError> {
        let interests = self.interests();
        let Some(member) = self.coordinated() else { return Ok(()) };
        let membership = Arc::clone(&member.membership);
        let now = Instant::now();
        lock(&membership.state).polled(now);
        if let Some(error) = membership.take_error() {
            return Err(match error.code() {
                Some(ErrorCode::FencedInstanceId) => ConsumeError::Fenced,
                _ => error.into(),
            });
        }
        if lock(&membership.state).has_lost() {
            self.lose_all();
            lock(&membership.state).let_go(now);
            membership.wake.notify_one();
        }
        if let Some(interests) = interests
            && lock(&membership.state).set_interests(interests, now)
        {
            membership.wake.notify_one();
        }
        self.reconcile(&membership).await;
        Ok(())
    }

    fn interests(&self) -> Option<Interests> {
        match &self.subscription.as_ref()?.wanted {
            Wanted::CoordinatorPattern(pattern) => {
                Some(Interests { topics: BTreeSet::new(), regex: Some(pattern.clone()) })
            }
            Wanted::Topics(_) | Wanted::Pattern(_) => {
                self.matching_topics().map(|topics| Interests { topics, regex: None })
            }
        }
    }

    /// What was read belongs to others.
    fn lose_all(&mut self) {
        if let Some(member) = self.coordinated() {
            member.reconciling = None;
        }
        let owned = lock(&self.shared.partitions).keys();
        lock(&self.shared.partitions).assign(Vec::new());
        self.current = None;
        if let Some(listener) = self.listener().filter(|_| !owned.is_empty()) {
            listener.lost(&owned);
        }
    }

    async fn reconcile(&mut self, membership: &Arc<Membership>) {
        if self.coordinated().is_some_and(|member| member.reconciling.is_none()) {
            let wanted = lock(&membership.state).wanted();
            let Some((wanted, partitions)) = wanted else { return };
            let offsets = self.let_go_of_others(&partitions);
            if let Some(member) = self.coordinated() {
                member.reconciling = Some(Reconciling { wanted, partitions, offsets });
            }
        }
        let offsets = self.coordinated().and_then(|member| Some(member.reconciling.as_ref()?.offsets.clone()));
        let Some(offsets) = offsets else { return };
        // A poll may be cancelled here.
        self.commit_given_up(offsets).await;
        let Some(done) = self.coordinated().and_then(|member| member.reconciling.take()) else { return };
        if lock(&membership.state).has_lost() {
            return; // The next poll sees to that.
        }
        self.read_on(done.partitions);
        lock(&membership.state).reconciled(done.wanted, Instant::now());
        membership.wake.notify_one();
    }

    /// Stops reading all but these; gives what is to be committed for the others.
    fn let_go_of_others(&mut self, keep: &[TopicPartition]) -> Vec<(TopicPartition, GroupOffset)> {
        let keep: BTreeSet<_> = keep.iter().collect();
        let before = lock(&self.shared.partitions).keys();
        let (stay, gone): (Vec<_>, Vec<_>) = before.into_iter().partition(|partition| keep.contains(partition));
        if gone.is_empty() {
            return Vec::new();
        }
        let offsets = self.offsets_to_give_up(&gone);
        let stay = stay.into_iter().map(|partition| (partition, Start::Committed)).collect();
        lock(&self.shared.partitions).assign(stay);
        offsets
    }

    fn read_on(&mut self, partitions: Vec<TopicPartition>) {
        let before: BTreeSet<_> = lock(&self.shared.partitions).keys().into_iter().collect();
        let new: Vec<_> = partitions.iter().filter(|partition| !before.contains(partition)).cloned().collect();
        let topics = partitions.iter().map(|partition| partition.topic.clone()).collect();
        let starts = partitions.into_iter().map(|partition| (partition, Start::Committed)).collect();
        lock(&self.shared.partitions).assign(starts);
        let wanted = self.subscription.as_ref().map(|subscription| &subscription.wanted);
        if matches!(wanted, Some(Wanted::CoordinatorPattern(_))) {
            *lock(&self.shared.interest) = Interest::Topics(topics);
        }
        self.shared.work.notify_one();
        if let Some(listener) = self.listener() {
            listener.assigned(&new);
        }
    }
}
