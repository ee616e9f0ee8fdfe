//! The task that brings records in: it looks positions up and fetches, one request per broker at a time.
//!
//! It never waits for a broker itself: everything comes back as an [`Event`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::chunk::{Chunk, extent};
use super::error::ConsumeError;
use super::lookup::{self, Findings, Found};
use super::session::{Session, Wanted};
use super::state::{Need, PartitionState, Position};
use super::{Interest, Shared};
use crate::client::admin::millis;
use crate::client::cluster::{AutoCreate, Cluster, Lane, TopicScope};
use crate::client::connection::CallOptions;
use crate::client::retry::{Backoff, Deadline};
use crate::client::{ApiError, ClientError, Metadata, Node, lock};
use crate::config::{IsolationLevel, OffsetReset};
use crate::protocol::ErrorCode;
use crate::protocol::messages::fetch_response::{NodeEndpoint, PartitionData};
use crate::protocol::messages::{FetchRequest, FetchResponse};
use crate::types::{LeaderEpoch, NodeId, Offset, TopicPartition, Uuid};

/// Events that wait for the task. Each stands for a request of which there are few; who has one more waits.
const EVENTS: usize = 256;

/// The last version that names topics; the next ones speak of ids (KIP-516).
const LAST_VERSION_WITH_NAMES: i16 = 12;

/// How long a broker may wait for data while partitions of it can't be asked for, because enough of them is here: they
/// must not have to wait for others when there is room again.
const SHORT_WAIT: Duration = Duration::from_millis(20);

/// What a fetch was sent for: the partition in which state, from where.
type Asked = HashMap<Arc<TopicPartition>, (u64, Offset)>;

#[derive(Debug)]
enum Event {
    Fetched { node: NodeId, session: Session, asked: Asked, result: Result<FetchResponse, ClientError> },
    LookedUp { asked: BTreeMap<TopicPartition, u64>, findings: Findings },
    Refreshed(Result<(), ClientError>),
}

#[derive(Debug, Default)]
struct NodeState {
    /// `None` while a fetch is under way, which has it.
    session: Option<Session>,
    retry_at: Option<Instant>,
}

#[derive(Debug)]
struct Engine {
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    nodes: HashMap<NodeId, NodeState>,
    metadata: Arc<Metadata>,
    refreshing: bool,
    refresh_wanted: bool,
    refresh_backoff: Backoff,
    refresh_not_before: Instant,
}

/// Runs until the consumer is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let (events, mut incoming) = mpsc::channel(EVENTS);
    let mut metadata_changes = shared.cluster.watch_metadata();
    let mut engine = Engine {
        events,
        nodes: HashMap::new(),
        metadata: shared.cluster.metadata(),
        refreshing: false,
        refresh_wanted: false,
        refresh_backoff: shared.cluster.retry_backoff(),
        refresh_not_before: Instant::now(),
        shared,
    };
    loop {
        let look_again = engine.work();
        if lock(&engine.shared.partitions).closed {
            return;
        }
        let shared = Arc::clone(&engine.shared);
        // Cancelling any of these loses nothing: a wake-up is kept, an event stays in its channel.
        tokio::select! {
            () = shared.work.notified() => {}
            () = tokio::time::sleep_until(look_again) => {}
            _ = metadata_changes.changed() => {}
            event = incoming.recv() => {
                if let Some(event) = event {
                    engine.handle(event);
                }
                while let Ok(event) = incoming.try_recv() {
                    engine.handle(event);
                }
            }
        }
    }
}

impl Engine {
    /// Starts what can be started; says when to look again if nothing happens until then.
    fn work(&mut self) -> Instant {
        let now = Instant::now();
        self.take_over_metadata();
        let mut look_again = now + self.shared.options.client.metadata_max_age;
        {
            let partitions = lock(&self.shared.partitions);
            for at in partitions.iter().filter_map(|state| state.retry_at).filter(|at| *at > now) {
                look_again = look_again.min(at);
            }
        }
        self.look_up(now);
        look_again = look_again.min(self.fetch(now));
        look_again.min(self.refresh(now))
    }

    fn take_over_metadata(&mut self) {
        let current = self.shared.cluster.metadata();
        if Arc::ptr_eq(&current, &self.metadata) {
            return;
        }
        self.metadata = current;
        self.nodes.retain(|id, state| state.session.is_none() || self.metadata.nodes.contains_key(id));
        for state in lock(&self.shared.partitions).iter_mut() {
            let Some((_, epoch)) = self.metadata.leader(&state.key.topic, state.key.partition) else { continue };
            let known = state.fetch.leader_epoch;
            // A leader of a later epoch than the last record's may have a log without that record.
            let doubtful = known >= LeaderEpoch(0) && epoch > known && epoch > state.validated_epoch;
            if state.need == Need::Nothing && state.position.is_some() && doubtful {
                state.need = Need::Validation;
            }
        }
        self.shared.news.notify_one();
    }

    fn look_up(&mut self, now: Instant) {
        let mut committed = Vec::new();
        let mut resets = Vec::new();
        let mut doubts = Vec::new();
        let mut asked: [BTreeMap<TopicPartition, u64>; 3] = Default::default();
        for state in lock(&self.shared.partitions).iter_mut().filter(|state| state.wants_look_up(now)) {
            let key = TopicPartition::clone(&state.key);
            let [of_committed, of_resets, of_doubts] = &mut asked;
            let asked = match state.need {
                Need::Nothing => continue,
                Need::Committed => {
                    committed.push(key.clone());
                    of_committed
                }
                Need::Reset(how) => {
                    resets.push((key.clone(), how));
                    of_resets
                }
                Need::Validation => {
                    doubts.push((key.clone(), state.fetch));
                    of_doubts
                }
            };
            // Leaders are asked, so they must be known; the coordinator needs no leader.
            if state.need != Need::Committed && !self.knows_leader(&key) {
                self.refresh_wanted = true;
                state.failed(now);
                resets.retain(|(other, _)| *other != key);
                doubts.retain(|(other, _)| *other != key);
                continue;
            }
            state.busy = true;
            asked.insert(key, state.generation);
        }
        let [of_committed, of_resets, of_doubts] = asked;
        match self.shared.options.group.as_ref().map(|group| group.group_id.clone()) {
            _ if committed.is_empty() => {}
            Some(group) => {
                self.start(of_committed, async move |shared| lookup::committed(&shared, &group, committed).await);
            }
            None => {
                let nothing = committed.into_iter().map(|key| (key, Found::NothingCommitted)).collect();
                self.looked_up(&of_committed, nothing);
                self.shared.work.notify_one();
            }
        }
        if !resets.is_empty() {
            self.start(of_resets, async move |shared| lookup::reset(&shared, resets).await);
        }
        if !doubts.is_empty() {
            self.start(of_doubts, async move |shared| lookup::validate(&shared.cluster, doubts).await);
        }
    }

    fn knows_leader(&self, key: &TopicPartition) -> bool {
        self.metadata.leader(&key.topic, key.partition).is_some()
    }

    fn start<F>(&self, asked: BTreeMap<TopicPartition, u64>, look_up: impl FnOnce(Arc<Shared>) -> F)
    where
        F: Future<Output = Findings> + Send + 'static,
    {
        let events = self.events.clone();
        let findings = look_up(Arc::clone(&self.shared));
        tokio::spawn(async move {
            let findings = findings.await;
            // The consumer is gone if nobody takes it.
            let _ = events.send(Event::LookedUp { asked, findings }).await;
        });
    }

    /// Sends a fetch to every broker that has none under way and something to be asked for.
    fn fetch(&mut self, now: Instant) -> Instant {
        let options = Arc::clone(&self.shared.options);
        let mut look_again = now + options.client.metadata_max_age;
        let limit = usize::try_from(options.fetch_max_bytes).unwrap_or(0);
        let mut wanted: BTreeMap<NodeId, (Vec<Wanted>, Asked)> = BTreeMap::new();
        let mut held_back: Vec<NodeId> = Vec::new();
        let mut partitions = lock(&self.shared.partitions);
        if partitions.buffered() > limit {
            return look_again; // Until something is taken, which makes us look again.
        }
        for state in partitions.iter_mut() {
            let Some((leader, leader_epoch)) = self.metadata.leader(&state.key.topic, state.key.partition) else {
                self.refresh_wanted |= state.need == Need::Nothing;
                continue;
            };
            let near = state.preferred.filter(|(node, until)| *until > now && self.metadata.nodes.contains_key(node));
            let node = near.map_or(leader, |(node, _)| node);
            if state.is_full() && !state.paused {
                held_back.push(node);
            }
            if !state.wants_fetch(now) {
                continue;
            }
            let resting = match self.nodes.get(&node) {
                Some(NodeState { session: None, .. }) => continue,
                Some(NodeState { retry_at, .. }) => retry_at.filter(|at| *at > now),
                None => None,
            };
            if let Some(at) = resting {
                look_again = look_again.min(at);
                continue;
            }
            let topic_id = self.metadata.topic(&state.key.topic).map_or(Uuid::ZERO, |topic| topic.id);
            let (wanted, asked) = wanted.entry(node).or_default();
            wanted.push(Wanted {
                partition: Arc::clone(&state.key),
                topic_id,
                offset: state.fetch.offset,
                leader_epoch,
                max_bytes: options.max_partition_fetch_bytes,
            });
            asked.insert(Arc::clone(&state.key), (state.generation, state.fetch.offset));
            state.busy = true;
        }
        drop(partitions);
        for (node, (mut wanted, asked)) in wanted {
            // Brokers fill an answer in this order; those at its end must not always be the same.
            fastrand::shuffle(&mut wanted);
            let session = self.nodes.entry(node).or_default().session.take().unwrap_or_default();
            let max_wait =
                if held_back.contains(&node) { options.fetch_max_wait.min(SHORT_WAIT) } else { options.fetch_max_wait };
            let (shared, events) = (Arc::clone(&self.shared), self.events.clone());
            tokio::spawn(async move {
                let mut session = session;
                let result = send_fetch(&shared, node, &mut session, &wanted, max_wait).await;
                // The consumer is gone if nobody takes it.
                let _ = events.send(Event::Fetched { node, session, asked, result }).await;
            });
        }
        look_again
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Fetched { node, session, asked, result } => self.fetched(node, session, asked, result),
            Event::LookedUp { asked, findings } => self.looked_up(&asked, findings),
            Event::Refreshed(result) => {
                self.refreshing = false;
                match result {
                    Ok(()) => {}
                    Err(error) if error.is_retriable() || matches!(error, ClientError::DeadlineExceeded { .. }) => {
                        tracing::warn!(%error, "no metadata");
                        // A cluster that was never reached is told of; one that was may come back.
                        if self.metadata.fetched_at.is_none() {
                            lock(&self.shared.partitions).tell(error.into());
                        }
                    }
                    Err(error) => lock(&self.shared.partitions).tell(error.into()),
                }
                self.refresh_not_before = Instant::now() + self.refresh_backoff.next_wait();
                self.shared.news.notify_one();
            }
        }
    }

    fn fetched(
        &mut self,
        node: NodeId,
        mut session: Session,
        asked: Asked,
        result: Result<FetchResponse, ClientError>,
    ) {
        let now = Instant::now();
        let accepted = match result {
            Ok(response) => {
                let code = ErrorCode::from_code(response.error_code);
                if session.accept(code, response.session_id) {
                    Some(response)
                } else {
                    tracing::debug!(%code, node = node.get(), "the fetch session starts anew");
                    None
                }
            }
            Err(error) => {
                tracing::debug!(%error, node = node.get(), "a fetch failed");
                // Whether the broker has it still is not known: close it with the next request.
                session.accept(ErrorCode::InvalidFetchSessionEpoch, 0);
                self.refresh_wanted |= error.needs_metadata_refresh();
                if !error.is_retriable() {
                    lock(&self.shared.partitions).tell(error.into());
                }
                None
            }
        };
        let state = self.nodes.entry(node).or_default();
        state.retry_at = match accepted {
            Some(_) => None,
            None => Some(now + self.shared.options.client.retry_backoff),
        };
        {
            let mut partitions = lock(&self.shared.partitions);
            for (key, (generation, _)) in &asked {
                if let Some(state) = partitions.get_mut(key).filter(|s| s.generation == *generation) {
                    state.busy = false;
                }
            }
        }
        if let Some(response) = accepted {
            self.take_partitions(&session, &asked, response);
        }
        self.nodes.entry(node).or_default().session = Some(session);
    }

    fn take_partitions(&mut self, session: &Session, asked: &Asked, response: FetchResponse) {
        let endpoints: Vec<_> = response.node_endpoints.into_iter().map(node_of).collect();
        for topic in response.responses {
            for data in topic.partitions {
                let found = session.find(&topic.topic, topic.topic_id, data.partition_index);
                let Some(key) = found.map(|wanted| Arc::clone(&wanted.partition)) else { continue };
                let Some((generation, offset)) = asked.get(&key).copied() else { continue };
                self.take_partition(&key, generation, offset, data, &endpoints);
            }
        }
        self.shared.news.notify_one();
    }

    fn take_partition(
        &mut self,
        key: &Arc<TopicPartition>,
        generation: u64,
        offset: Offset,
        data: PartitionData,
        endpoints: &[Node],
    ) {
        let options = Arc::clone(&self.shared.options);
        let leader = &data.current_leader;
        let moved = leader.leader_id >= 0
            && self.shared.cluster.hint_leader(
                &key.topic,
                key.partition,
                NodeId(leader.leader_id),
                LeaderEpoch(leader.leader_epoch),
                endpoints,
            );
        let now = Instant::now();
        let mut partitions = lock(&self.shared.partitions);
        // Set elsewhere meanwhile: what was asked for is not wanted any more.
        let Some(state) = partitions.get_mut(key).filter(|s| s.generation == generation && s.fetch.offset == offset)
        else {
            return;
        };
        match ErrorCode::from_code(data.error_code) {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange if state.preferred.is_some() => {
                // A follower may have less than the leader.
                state.preferred = None;
                return;
            }
            ErrorCode::OffsetOutOfRange => {
                match options.offset_reset {
                    OffsetReset::None => {
                        state.failed(now);
                        let partition = TopicPartition::clone(key);
                        partitions.tell(ConsumeError::OutOfRange { partition, offset });
                    }
                    how => state.need = Need::Reset(how),
                }
                return;
            }
            code => {
                let error = ApiError::from(code);
                state.preferred = None;
                if !moved {
                    state.failed(now);
                }
                if code.is_retriable() || code == ErrorCode::UnknownServerError {
                    tracing::debug!(%code, partition = %key, "can't be fetched now");
                    self.refresh_wanted |= code.needs_metadata_refresh() && !moved;
                } else {
                    partitions.tell(ConsumeError::Partition { partition: TopicPartition::clone(key), source: error });
                }
                return;
            }
        }
        state.succeeded();
        state.high_watermark = Some(Offset(data.high_watermark));
        if data.last_stable_offset >= 0 {
            state.last_stable_offset = Some(Offset(data.last_stable_offset));
        }
        if data.log_start_offset >= 0 {
            state.log_start_offset = Some(Offset(data.log_start_offset));
        }
        if data.preferred_read_replica >= 0 {
            let until = now + options.client.metadata_max_age;
            state.preferred = Some((NodeId(data.preferred_read_replica), until));
        }
        let Some(records) = data.records.filter(|records| !records.is_empty()) else { return };
        let aborted =
            (options.isolation == IsolationLevel::ReadCommitted).then(|| data.aborted_transactions.unwrap_or_default());
        let corrupt = match extent(&records) {
            Ok(Some(extent)) => {
                let size = records.len();
                state.fetch = Position { offset: extent.next.max(offset), leader_epoch: extent.leader_epoch };
                let chunk = Chunk::new(Arc::clone(key), records, offset, options.check_crcs, aborted);
                partitions.put_chunk(key, chunk, size);
                return;
            }
            // Brokers hand out at least one whole batch.
            Ok(None) => crate::record::RecordError::Truncated { needed: records.len() + 1, available: records.len() },
            Err(error) => error,
        };
        state.failed(now);
        let partition = TopicPartition::clone(key);
        partitions.tell(ConsumeError::Corrupt { partition, offset, source: Arc::new(corrupt) });
    }

    fn looked_up(&mut self, asked: &BTreeMap<TopicPartition, u64>, findings: Findings) {
        let now = Instant::now();
        let options = Arc::clone(&self.shared.options);
        let mut partitions = lock(&self.shared.partitions);
        for (key, found) in findings {
            let current = |state: &&mut PartitionState| asked.get(&key) == Some(&state.generation);
            let Some(state) = partitions.get_mut(&key).filter(current) else { continue };
            state.busy = false;
            match found {
                Found::Position(position) => {
                    state.succeeded();
                    state.set_position(position);
                }
                Found::NothingCommitted => match options.offset_reset {
                    OffsetReset::None => {
                        state.failed(now);
                        partitions.tell(ConsumeError::NoOffset(key));
                    }
                    how => state.need = Need::Reset(how),
                },
                Found::Valid => {
                    state.succeeded();
                    state.need = Need::Nothing;
                    let leader = self.metadata.leader(&key.topic, key.partition);
                    state.validated_epoch = leader.map_or(state.validated_epoch, |(_, epoch)| epoch);
                }
                Found::Diverged(end) => {
                    let position = state.position;
                    if let (OffsetReset::None, Some(position)) = (options.offset_reset, position) {
                        state.failed(now);
                        let end = end.map_or(Offset(-1), |end| end.offset);
                        partitions.tell(ConsumeError::Truncated { partition: key, offset: position.offset, end });
                        continue;
                    }
                    // What was fetched of the old leader's log is not in the new one's.
                    let Some(state) = partitions.restart(&key) else { continue };
                    match (end, position) {
                        (Some(end), Some(position)) if position.offset <= end.offset => state.set_position(position),
                        (Some(end), _) => state.set_position(end),
                        (None, _) => state.need = Need::Reset(options.offset_reset),
                    }
                }
                Found::Failed(error) => {
                    tracing::debug!(%error, partition = %key, "no position yet");
                    self.refresh_wanted |= error.needs_metadata_refresh();
                    state.failed(now);
                }
                Found::Refused(error) => {
                    state.failed(now);
                    partitions.tell(error);
                }
            }
        }
        drop(partitions);
        self.shared.news.notify_one();
    }

    /// Looks metadata up if it is old, or something said that it is wrong. Says when to look again.
    fn refresh(&mut self, now: Instant) -> Instant {
        let max_age = self.shared.options.client.metadata_max_age;
        let interest = lock(&self.shared.interest).clone();
        let (scope, unknown) = match interest {
            Interest::All => (TopicScope::All, self.metadata.fetched_at.is_none()),
            Interest::Topics(names) if names.is_empty() => return now + max_age,
            Interest::Topics(names) => {
                let unknown = names.iter().any(|name| self.metadata.topic(name).is_none());
                (TopicScope::Names(names.into_iter().collect()), unknown)
            }
        };
        if self.refreshing {
            return now + max_age;
        }
        let due = match self.metadata.fetched_at {
            Some(at) if !self.refresh_wanted && !unknown && !self.shared.take_refresh_request() => at + max_age,
            _ => now,
        };
        let at = due.max(self.refresh_not_before);
        if at > now {
            return at;
        }
        if !self.refresh_wanted && !unknown {
            self.refresh_backoff.reset();
        }
        self.refreshing = true;
        self.refresh_wanted = false;
        let create = if self.shared.options.allow_auto_create_topics { AutoCreate::Allowed } else { AutoCreate::Never };
        let (cluster, events) = (self.shared.cluster.clone(), self.events.clone());
        let deadline = Deadline::after(self.shared.options.client.request_timeout);
        tokio::spawn(async move {
            let result = refresh(&cluster, &scope, create, deadline).await;
            // The consumer is gone if nobody takes it.
            let _ = events.send(Event::Refreshed(result)).await;
        });
        now + max_age
    }
}

async fn refresh(
    cluster: &Cluster,
    scope: &TopicScope,
    create: AutoCreate,
    deadline: Deadline,
) -> Result<(), ClientError> {
    let metadata = cluster.refresh(scope, create, deadline).await?;
    if let TopicScope::Names(names) = scope {
        for name in names {
            let error = metadata.topics.get(name).map_or(ErrorCode::UnknownTopicOrPartition, |topic| topic.error);
            if error != ErrorCode::None {
                tracing::warn!(topic = %name, %error, "the cluster has no such topic now");
            }
            if error.is_error() && !error.is_retriable() {
                return Err(ApiError { code: error, message: Some(format!("{}: {name}", error.name())) }.into());
            }
        }
    }
    Ok(())
}

async fn send_fetch(
    shared: &Shared,
    node: NodeId,
    session: &mut Session,
    wanted: &[Wanted],
    max_wait: Duration,
) -> Result<FetchResponse, ClientError> {
    let options = &shared.options;
    let timeout = options.client.request_timeout.max(max_wait + Duration::from_secs(5));
    let connection = shared.cluster.node(node, Lane::Data, Deadline::after(timeout)).await?;
    let all_have_ids = wanted.iter().all(|wanted| !wanted.topic_id.is_zero());
    let by_id = all_have_ids && connection.version_of::<FetchRequest>(i16::MAX)? > LAST_VERSION_WITH_NAMES;
    let mut request = FetchRequest {
        max_wait_ms: millis(max_wait),
        min_bytes: options.fetch_min_bytes,
        max_bytes: options.fetch_max_bytes,
        isolation_level: options.isolation.code(),
        rack_id: options.client.client_rack.clone(),
        ..Default::default()
    };
    session.build(wanted, by_id, &mut request);
    let max_version = if by_id { i16::MAX } else { LAST_VERSION_WITH_NAMES };
    connection.call_with(&request, CallOptions { max_version, timeout: Some(timeout) }).await
}

fn node_of(node: NodeEndpoint) -> Node {
    Node::new(node.node_id, &node.host, node.port, node.rack)
}
