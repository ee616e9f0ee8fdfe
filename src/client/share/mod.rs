//! Reads records as a member of a share group (KIP-932): members share the records of a partition, and say of each what
//! became of it.
//!
//! Start reading at [`ShareConsumer::poll`]; `requests.rs` has what goes to brokers and what comes back, `records.rs` what
//! a fetch acquired.

mod acknowledgements;
mod error;
mod member;
mod options;
mod records;
mod requests;
mod session;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::cluster::{AutoCreate, Cluster, TopicScope};
use super::consumer::ConsumerRecord;
use super::lock;
use super::membership::{self, Interests, MemberState, Membership, Surroundings};
use super::retry::{Backoff, Deadline};
use crate::types::{NodeId, Offset, TopicPartition, Uuid};
use acknowledgements::Key;
use member::ShareGroup;
use records::Delivered;
use requests::{Event, NodeState};

pub use acknowledgements::AcknowledgeType;
pub use error::ShareError;
pub use options::{AcknowledgementMode, AcquireMode, ShareConsumerOptions};

/// Answers that wait for a poll: there is at most one request per broker, and who has one more waits.
const EVENTS: usize = 64;

/// Errors that wait for the next polls; more would say nothing new.
const MOST_ERRORS: usize = 64;

/// A record that this consumer may process now, and nobody else until its lock is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRecord {
    /// The record.
    pub record: ConsumerRecord,
    /// How often it was delivered, this time included.
    pub delivery_count: i16,
}

/// What brokers said of acknowledgements.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The partition.
    pub partition: TopicPartition,
    /// The offsets of the records.
    pub offsets: Vec<RangeInclusive<Offset>>,
    /// Whether they count.
    pub result: Result<(), ShareError>,
}

/// Is told what became of acknowledgements. Called from within `poll`, `commit` and `close`.
pub trait AcknowledgementListener: Send + fmt::Debug {
    /// A broker has answered, or can't be asked any more.
    fn acknowledged(&mut self, results: &[Acknowledged]);
}

#[derive(Debug)]
struct Member {
    membership: Arc<Membership>,
    protocol: Arc<ShareGroup>,
    heartbeats: tokio::task::JoinHandle<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.heartbeats.abort();
    }
}

/// Reads records of a cluster as a member of a share group.
///
/// [`ShareConsumer::close`] tells what is not told yet and leaves; a consumer that is just dropped is missed after its
/// session, and what it had is delivered to others when the locks are over.
#[derive(Debug)]
pub struct ShareConsumer {
    options: Arc<ShareConsumerOptions>,
    cluster: Cluster,
    news: Arc<Notify>,
    member: Option<Member>,
    events: mpsc::Sender<Event>,
    incoming: mpsc::Receiver<Event>,
    nodes: BTreeMap<NodeId, NodeState>,
    assigned: BTreeSet<Key>,
    /// The partitions by what requests call them.
    names: BTreeMap<Key, Arc<TopicPartition>>,
    /// Acquired, not handed out yet. Bounded by what one fetch of each broker brings: there is none while this is not empty.
    acquired: VecDeque<Delivered>,
    /// Handed out, without an answer to what became of them.
    delivered: BTreeMap<(TopicPartition, Offset), Delivered>,
    errors: VecDeque<ShareError>,
    listener: Option<Box<dyn AcknowledgementListener>>,
    /// Results since a commit began, by partition: the first error, if there is one.
    results: BTreeMap<TopicPartition, Result<(), ShareError>>,
    lock_timeout: Option<Duration>,
    refresh_wanted: bool,
    refresh_backoff: Backoff,
    refresh_not_before: Instant,
}

impl ShareConsumer {
    /// A consumer of the cluster that the options reach. Nothing is connected yet. Must be called within a runtime.
    #[must_use]
    pub fn new(options: ShareConsumerOptions) -> Self {
        let cluster = Cluster::new(options.client.clone());
        let (events, incoming) = mpsc::channel(EVENTS);
        Self {
            options: Arc::new(options),
            news: Arc::new(Notify::new()),
            member: None,
            events,
            incoming,
            nodes: BTreeMap::new(),
            assigned: BTreeSet::new(),
            names: BTreeMap::new(),
            acquired: VecDeque::new(),
            delivered: BTreeMap::new(),
            errors: VecDeque::new(),
            listener: None,
            results: BTreeMap::new(),
            lock_timeout: None,
            refresh_wanted: false,
            refresh_backoff: cluster.retry_backoff(),
            refresh_not_before: Instant::now(),
            cluster,
        }
    }

    /// The cluster, for other calls over the same connections.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Is told from now on what becomes of acknowledgements.
    pub fn set_acknowledgement_listener(&mut self, listener: Option<Box<dyn AcknowledgementListener>>) {
        self.listener = listener;
    }

    /// How long records are locked for this consumer, once a broker has told.
    #[must_use]
    pub fn acquisition_lock_timeout(&self) -> Option<Duration> {
        self.lock_timeout
    }

    /// The member id in the group, once there is a subscription.
    #[must_use]
    pub fn member_id(&self) -> Option<String> {
        let member = self.member.as_ref()?;
        Some(lock(&member.membership.state).member_id().to_owned())
    }

    /// Reads these topics from now on. Must be called within a runtime.
    pub fn subscribe<T: Into<String>>(&mut self, topics: impl IntoIterator<Item = T>) {
        let member = self.member.get_or_insert_with(|| {
            let backoff = self.cluster.retry_backoff();
            let state = MemberState::new(Uuid::random().to_string(), backoff, Instant::now());
            let membership = Arc::new(Membership::new(state));
            let protocol = Arc::new(ShareGroup {
                group_id: self.options.group_id.clone(),
                rack: self.options.client.client_rack.clone(),
                max_poll_interval: self.options.max_poll_interval,
            });
            let around = Surroundings { cluster: self.cluster.clone(), news: Arc::clone(&self.news) };
            let heartbeats = tokio::spawn(membership::run(around, Arc::clone(&membership), Arc::clone(&protocol)));
            Member { membership, protocol, heartbeats }
        });
        let interests = Interests { topics: topics.into_iter().map(Into::into).collect(), regex: None };
        lock(&member.membership.state).set_interests(interests, Instant::now());
        member.membership.wake.notify_one();
    }

    /// Tells what is not told yet, gives the rest back, and leaves the group.
    ///
    /// # Errors
    /// As [`ShareConsumer::commit`].
    pub async fn unsubscribe(&mut self) -> Result<(), ShareError> {
        let told = self.commit().await.map(drop);
        self.close_sessions().await;
        self.acquired.clear();
        self.delivered.clear();
        self.assigned.clear();
        if let Some(member) = self.member.take() {
            member.heartbeats.abort();
            membership::leave(&self.cluster, &member.membership, &*member.protocol).await;
        }
        told
    }

    /// Hands out the next records; none if there are none for `timeout`. With implicit acknowledgement it accepts those of
    /// the poll before; with explicit acknowledgement all of them must have been acknowledged.
    ///
    /// A call that is cancelled has taken nothing.
    ///
    /// # Errors
    /// Records wait for their acknowledgement; the group or the cluster refuses this consumer.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ShareRecord>, ShareError> {
        let deadline = Deadline::after(timeout);
        let waiting = self.delivered.values().filter(|delivered| delivered.verdict.is_none()).count();
        if waiting > 0 && self.options.acknowledgement == AcknowledgementMode::Explicit {
            return Err(ShareError::Unacknowledged(waiting));
        }
        self.note_verdicts();
        loop {
            self.follow_coordinator()?;
            while let Ok(event) = self.incoming.try_recv() {
                self.handle(event);
            }
            if let Some(error) = self.errors.pop_front() {
                return Err(error);
            }
            let records = self.hand_out();
            let look_again = self.send(records.is_empty());
            if !records.is_empty() || deadline.is_over() {
                return Ok(records);
            }
            self.refresh(deadline).await;
            // Cancelling any of these loses nothing: an answer stays in its channel, a wake-up is kept.
            tokio::select! {
                event = self.incoming.recv() => {
                    if let Some(event) = event {
                        self.handle(event);
                    }
                }
                () = self.news.notified() => {}
                () = tokio::time::sleep_until(look_again.min(deadline.at())) => {}
            }
        }
    }

    /// Says what became of a record that a poll handed out. It is told with the next poll or commit.
    ///
    /// # Errors
    /// The record does not wait for that, or acknowledgement is implicit.
    pub fn acknowledge(&mut self, record: &ShareRecord, verdict: AcknowledgeType) -> Result<(), ShareError> {
        self.acknowledge_offset(&record.record.partition.clone(), record.record.offset, verdict)
    }

    /// As [`ShareConsumer::acknowledge`], of the record with this offset.
    ///
    /// # Errors
    /// As [`ShareConsumer::acknowledge`].
    pub fn acknowledge_offset(
        &mut self,
        partition: &TopicPartition,
        offset: Offset,
        verdict: AcknowledgeType,
    ) -> Result<(), ShareError> {
        if self.options.acknowledgement == AcknowledgementMode::Implicit {
            return Err(ShareError::Implicit);
        }
        let not_delivered = || ShareError::NotDelivered { partition: partition.clone(), offset };
        let delivered = self.delivered.get_mut(&(partition.clone(), offset)).ok_or_else(not_delivered)?;
        // Until it is told, the last word counts.
        if delivered.told {
            return Err(not_delivered());
        }
        delivered.verdict = Some(verdict);
        Ok(())
    }

    /// Tells what became of records, and waits for the answers: by partition whether all of them count. With implicit
    /// acknowledgement all that was handed out is accepted.
    ///
    /// # Errors
    /// The answers did not come within `default.api.timeout.ms`.
    pub async fn commit(&mut self) -> Result<BTreeMap<TopicPartition, Result<(), ShareError>>, ShareError> {
        let deadline = self.cluster.api_deadline();
        self.results.clear();
        self.note_verdicts();
        loop {
            while let Ok(event) = self.incoming.try_recv() {
                self.handle(event);
            }
            let look_again = self.send(false);
            if self.nodes.values().all(NodeState::has_told_all) {
                return Ok(std::mem::take(&mut self.results));
            }
            if deadline.is_over() {
                let error = super::ClientError::DeadlineExceeded { after: deadline.elapsed(), source: None };
                return Err(error.into());
            }
            tokio::select! {
                event = self.incoming.recv() => {
                    if let Some(event) = event {
                        self.handle(event);
                    }
                }
                () = tokio::time::sleep_until(look_again.min(deadline.at())) => {}
            }
        }
    }

    /// Tells what became of records without waiting; the listener hears of the answers during later calls.
    pub fn commit_in_background(&mut self) {
        self.note_verdicts();
        self.send(false);
    }

    /// Tells what is not told yet, gives the rest back, leaves the group, and disconnects.
    ///
    /// # Errors
    /// As [`ShareConsumer::commit`].
    pub async fn close(mut self) -> Result<(), ShareError> {
        let told = self.unsubscribe().await;
        self.cluster.close();
        told
    }

    /// Does what the coordinator asks for.
    fn follow_coordinator(&mut self) -> Result<(), ShareError> {
        let Some(member) = &self.member else { return Ok(()) };
        let now = Instant::now();
        let membership = Arc::clone(&member.membership);
        let wanted = {
            let mut state = lock(&membership.state);
            state.polled(now);
            if state.has_lost() {
                // What is delivered keeps its locks; nothing more is fetched until the group has us back.
                self.assigned.clear();
                state.let_go(now);
                membership.wake.notify_one();
            }
            state.wanted()
        };
        if let Some((assigned, partitions)) = wanted {
            let keys = assigned.iter().flat_map(|(id, indexes)| indexes.iter().map(|index| (*id, *index)));
            let named: Vec<(Key, TopicPartition)> = keys.zip(partitions).collect();
            self.assigned = named.iter().map(|(key, _)| *key).collect();
            self.forget_names();
            self.names.extend(named.into_iter().map(|(key, partition)| (key, Arc::new(partition))));
            lock(&membership.state).reconciled(assigned, now);
            membership.wake.notify_one();
        }
        membership.take_error().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Topics come and go: names are kept while something speaks of them.
    fn forget_names(&mut self) {
        if self.nodes.values().all(NodeState::is_idle) {
            let Self { assigned, names, acquired, delivered, .. } = self;
            let spoken: BTreeSet<Key> =
                acquired.iter().chain(delivered.values()).map(|delivered| delivered.key).collect();
            names.retain(|key, _| assigned.contains(key) || spoken.contains(key));
        }
    }

    /// Looks leaders up where they are not known or wrong.
    async fn refresh(&mut self, deadline: Deadline) {
        let now = Instant::now();
        let metadata = self.cluster.metadata();
        let names = self.assigned.iter().filter_map(|key| self.names.get(key));
        let topics: BTreeSet<String> = names.clone().map(|partition| partition.topic.clone()).collect();
        let leaderless = names.clone().any(|name| metadata.leader(&name.topic, name.partition).is_none());
        let old = metadata.fetched_at.is_some_and(|at| now > at + self.options.client.metadata_max_age);
        if topics.is_empty() || !(self.refresh_wanted || leaderless || old) || now < self.refresh_not_before {
            return;
        }
        let scope = TopicScope::Names(topics.into_iter().collect());
        match deadline.limit(self.cluster.refresh(&scope, AutoCreate::Never, deadline)).await {
            Some(Ok(_)) => self.refresh_wanted = false,
            Some(Err(error)) => tracing::debug!(%error, "no metadata"),
            None => return,
        }
        self.refresh_not_before = Instant::now() + self.refresh_backoff.next_wait();
        if !leaderless {
            self.refresh_backoff.reset();
        }
    }

    fn tell(&mut self, error: ShareError) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push_back(error);
        }
    }
}
