//! The task that empties the queues: batches that are ready go to their leaders, and what comes back is judged.
//!
//! It never waits for a broker itself: one task per broker keeps the order of its requests, and everything comes back as
//! an [`Event`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Shared;
use super::accumulator::{Harvest, Ready, batch_options};
use super::batch::{Batch, Identity};
use super::delivery::{BatchReport, Outcome, ProduceError};
use super::queue::{IdentityState, QueueId};
use super::request::{self, Part, Terms};
use super::transaction::{self, Transactions, Version};
use super::verdict::{Answer, ApiOrClient, Circumstances, Verdict, judge};
use crate::client::admin::millis;
use crate::client::cluster::{AutoCreate, Lane, TopicScope};
use crate::client::connection::CallOptions;
use crate::client::retry::{Backoff, Deadline};
use crate::client::{ApiError, ClientError, Metadata, lock};
use crate::config::Acks;
use crate::protocol::ErrorCode;
use crate::protocol::messages::{InitProducerIdRequest, ProduceRequest, ProduceResponse};
use crate::types::{NodeId, ProducerId, TopicPartition};

/// Events that wait for the sender. Each stands for a request of which there are few; who has one more waits.
const EVENTS: usize = 256;

/// How long to wait until the coordinator has completed the transaction before (Kafka's own number).
const COMPLETION_WAIT: Duration = Duration::from_millis(20);

/// Something that the sender waited for.
#[derive(Debug)]
enum Event {
    /// A request came back; without a response for `acks=0`.
    Produced { id: u64, result: Result<Option<ProduceResponse>, ClientError> },
    /// A broker gave a producer id, or not.
    Identity(Result<Identity, ClientError>),
    /// The transaction's coordinator was told of partitions, or not.
    PartitionsAdded(transaction::Outcome),
    /// Metadata was looked up, or not.
    Refreshed(Result<(), ClientError>),
}

/// A request to send.
#[derive(Debug)]
struct Job {
    id: u64,
    request: ProduceRequest,
    max_version: i16,
    timeout: Duration,
}

#[derive(Debug)]
struct InFlight {
    node: NodeId,
    parts: Vec<Part>,
    batches: Vec<Ready>,
}

#[derive(Debug)]
struct NodeState {
    jobs: mpsc::Sender<Job>,
    in_flight: usize,
}

/// The sender's own state.
#[derive(Debug)]
struct Sender {
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    identity: IdentityState,
    asking_identity: bool,
    identity_backoff: Backoff,
    nodes: HashMap<NodeId, NodeState>,
    in_flight: HashMap<u64, InFlight>,
    next_request: u64,
    metadata: Arc<Metadata>,
    refreshing: bool,
    refresh_wanted: bool,
    refresh_backoff: Backoff,
    /// No look-up of metadata, and no request for a producer id, before these.
    refresh_not_before: Instant,
    identity_not_before: Instant,
    additions_not_before: Instant,
}

/// Runs until the producer is closed and everything is done with, or it was aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let (events, mut incoming) = mpsc::channel(EVENTS);
    let now = Instant::now();
    let identity = if shared.options.idempotence { IdentityState::Wanted } else { IdentityState::Off };
    let mut sender = Sender {
        identity,
        asking_identity: false,
        identity_backoff: shared.cluster.retry_backoff(),
        nodes: HashMap::new(),
        in_flight: HashMap::new(),
        next_request: 0,
        metadata: shared.cluster.metadata(),
        refreshing: false,
        refresh_wanted: false,
        refresh_backoff: shared.cluster.retry_backoff(),
        refresh_not_before: now,
        identity_not_before: now,
        additions_not_before: now,
        events,
        shared,
    };
    loop {
        let look_again = sender.work();
        let done = {
            let queues = lock(&sender.shared.queues);
            queues.aborted || queues.closing && queues.is_idle()
        };
        if done {
            break;
        }
        let shared = Arc::clone(&sender.shared);
        // Cancelling any of these loses nothing: a wake-up is kept, an event stays in its channel.
        tokio::select! {
            () = shared.work.notified() => {}
            () = tokio::time::sleep_until(look_again) => {}
            event = incoming.recv() => {
                if let Some(event) = event {
                    sender.handle(event);
                }
                // Several that came together are one reason to look.
                while let Ok(event) = incoming.try_recv() {
                    sender.handle(event);
                }
            }
        }
    }
    sender.give_up();
}

impl Sender {
    /// Sends what is ready; says when to look again if nothing happens until then.
    fn work(&mut self) -> Instant {
        let now = Instant::now();
        self.take_over_metadata();
        let mut look_again = now + self.shared.options.client.metadata_max_age;
        look_again = look_again.min(self.follow_transaction(now));
        loop {
            let limit = self.shared.options.max_in_flight;
            let nodes = &self.nodes;
            let free = |node| nodes.get(&node).is_none_or(|state| state.in_flight < limit);
            let harvest = lock(&self.shared.queues).harvest(now, &self.shared.options, &mut self.identity, free);
            let Harvest { requests, expired, look_again: at, leaderless, .. } = harvest;
            self.refresh_wanted |= leaderless;
            if !expired.is_empty() {
                // What else belongs to their transaction has to go as well.
                look_again = now;
            }
            for Ready { queue, batch } in expired {
                self.expire(queue, batch);
            }
            let nothing = requests.is_empty();
            for (node, batches) in requests {
                self.send(node, batches);
            }
            if nothing {
                look_again = look_again.min(at.unwrap_or(look_again));
                break;
            }
        }
        look_again.min(self.look_up_metadata(now)).min(self.ask_identity(now))
    }

    fn take_over_metadata(&mut self) {
        let current = self.shared.cluster.metadata();
        if !Arc::ptr_eq(&current, &self.metadata) {
            lock(&self.shared.queues).update_metadata(&current);
            self.nodes.retain(|id, state| state.in_flight > 0 || current.nodes.contains_key(id));
            self.metadata = current;
        }
    }

    fn send(&mut self, node: NodeId, ready: Vec<Ready>) {
        let mut parts = Vec::with_capacity(ready.len());
        let mut batches = Vec::with_capacity(ready.len());
        for mut ready in ready {
            match self.seal(&mut ready) {
                Ok(part) => {
                    parts.push(part);
                    batches.push(ready);
                }
                Err(error) => {
                    let Ready { queue, batch } = ready;
                    if let Some(queue) = lock(&self.shared.queues).queue_mut(queue) {
                        queue.landed(batch.order);
                        queue.start_new_epoch();
                    }
                    self.finish(queue, &batch, Outcome::Failed { error, records: Vec::new() });
                }
            }
        }
        if batches.is_empty() {
            return;
        }
        let options = &self.shared.options;
        let transaction = options.transactional_id.as_deref().map(|id| (id, self.transaction_version()));
        let timeout_ms = millis(options.client.request_timeout);
        let (request, max_version) =
            request::build(&parts, Terms { acks: options.acks.code(), timeout_ms, transaction });
        // A batch must not be answered for after its time.
        let oldest = batches.iter().map(|ready| ready.batch.created).min().unwrap_or_else(Instant::now);
        let left = options.delivery_timeout.saturating_sub(oldest.elapsed()).max(Duration::from_millis(1));
        let id = self.next_request;
        self.next_request += 1;
        let job = Job { id, request, max_version, timeout: options.client.request_timeout.min(left) };
        let state = self.nodes.entry(node).or_insert_with(|| start_node(&self.shared, node, &self.events));
        state.in_flight += 1;
        self.in_flight.insert(id, InFlight { node, parts, batches });
        // Never full: its room is what may be in flight.
        if let Err(error) = state.jobs.try_send(job) {
            tracing::error!(%error, node = node.get(), "could not pass a request on");
            self.handle(Event::Produced { id, result: Err(ClientError::UnknownNode(node.get())) });
        }
    }

    fn seal(&self, ready: &mut Ready) -> Result<Part, ProduceError> {
        let bytes = ready.batch.seal()?;
        let mut queues = lock(&self.shared.queues);
        queues.learn_ratio(ready.queue.topic, ready.batch.size, bytes.len());
        let topic = queues.topic(ready.queue.topic).ok_or(ProduceError::Closed)?;
        Ok(Part {
            topic: Arc::clone(&topic.name),
            topic_id: topic.id,
            partition: ready.batch.delivery.partition,
            bytes,
        })
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Produced { id, result } => self.produced(id, result),
            Event::Identity(result) => {
                self.asking_identity = false;
                match result {
                    Ok(identity) => {
                        self.identity_backoff.reset();
                        self.identity = IdentityState::Known(identity);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "no producer id");
                        self.identity_not_before = Instant::now() + self.identity_backoff.next_wait();
                        if !error.is_retriable() {
                            self.fail_all(&ProduceError::Client(error));
                        }
                    }
                }
            }
            Event::PartitionsAdded(outcome) => {
                let again = lock(&self.shared.queues).transactions.as_mut().and_then(|state| outcome.note(state));
                if let Some(code) = again {
                    let wait = match code {
                        // The transaction before this one is being completed, which takes little.
                        Some(ErrorCode::ConcurrentTransactions) => COMPLETION_WAIT,
                        _ => self.identity_backoff.next_wait(),
                    };
                    self.additions_not_before = Instant::now() + wait;
                } else {
                    self.identity_backoff.reset();
                }
                self.shared.done.notify_waiters();
            }
            Event::Refreshed(result) => {
                self.refreshing = false;
                if let Err(error) = result {
                    tracing::debug!(%error, "no metadata");
                }
                self.refresh_not_before = Instant::now() + self.refresh_backoff.next_wait();
            }
        }
    }

    fn produced(&mut self, id: u64, result: Result<Option<ProduceResponse>, ClientError>) {
        let Some(InFlight { node, parts, batches }) = self.in_flight.remove(&id) else { return };
        if let Some(state) = self.nodes.get_mut(&node) {
            state.in_flight = state.in_flight.saturating_sub(1);
        }
        if self.shared.options.partitioning.availability_timeout().is_some() {
            let mut queues = lock(&self.shared.queues);
            match &result {
                Ok(_) => queues.stalls.end(node),
                Err(_) => queues.stalls.begin(node, Instant::now()),
            }
        }
        let answers: Vec<(Answer, bool)> = match result {
            Ok(Some(response)) => request::answers(response, &parts, &self.shared.cluster),
            Ok(None) => {
                parts.iter().map(|_| (Answer::Stored { base_offset: None, append_time: None }, false)).collect()
            }
            Err(error) => parts.iter().map(|_| (Answer::Lost(error.clone()), false)).collect(),
        };
        for (Ready { queue, batch }, (answer, moved)) in batches.into_iter().zip(answers) {
            self.settle(queue, batch, answer, moved);
        }
    }

    fn settle(&mut self, queue_id: QueueId, mut batch: Batch, answer: Answer, moved: bool) {
        let options = Arc::clone(&self.shared.options);
        let has_earlier = {
            let mut queues = lock(&self.shared.queues);
            let queue = queues.queue_mut(queue_id);
            queue.is_some_and(|queue| {
                queue.landed(batch.order);
                queue.has_earlier_than(batch.order)
            })
        };
        let circumstances = Circumstances {
            idempotent: options.idempotence,
            transactional: options.transactional_id.is_some(),
            has_earlier,
            retries: options.retries,
            delivery_timeout: options.delivery_timeout,
        };
        match judge(answer, &batch, circumstances) {
            Verdict::Delivered { base_offset, append_time } => {
                self.refresh_backoff.reset();
                self.finish(queue_id, &batch, Outcome::Delivered { base_offset, append_time });
            }
            Verdict::Retry { error, new_epoch } => {
                self.refresh_wanted |= !moved && error.needs_metadata_refresh();
                let mut backoff = Backoff::new(options.client.retry_backoff, options.client.retry_backoff_max);
                let mut wait = Duration::ZERO;
                // Where the new leader is known there is nothing to wait for (KIP-951).
                for _ in 0..batch.attempts.min(32) {
                    wait = if moved { Duration::ZERO } else { backoff.next_wait() };
                }
                tracing::debug!(%error, attempts = batch.attempts, "a batch is sent again");
                batch.retry_at = Some(Instant::now() + wait);
                let mut queues = lock(&self.shared.queues);
                if new_epoch && let Some(queue) = queues.queue_mut(queue_id) {
                    queue.start_new_epoch();
                }
                queues.put_back(queue_id, batch);
            }
            Verdict::Split => self.split(queue_id, batch),
            Verdict::Failed { error, records } => {
                let error = match error {
                    ApiOrClient::Api(error) => ProduceError::Refused(error),
                    ApiOrClient::Client(error) if batch.created.elapsed() >= options.delivery_timeout => {
                        self.expired(queue_id, &batch, Some(error))
                    }
                    ApiOrClient::Client(error) => ProduceError::Client(error),
                };
                // The numbers of what follows do not fit any more.
                if options.idempotence
                    && let Some(queue) = lock(&self.shared.queues).queue_mut(queue_id)
                {
                    queue.start_new_epoch();
                }
                self.finish(queue_id, &batch, Outcome::Failed { error, records });
            }
        }
    }

    fn split(&mut self, queue_id: QueueId, batch: Batch) {
        let options = Arc::clone(&self.shared.options);
        let (id, size, delivery) = (batch.id, batch.size, Arc::clone(&batch.delivery));
        let (order, records) = (batch.order, batch.records);
        let limit = options.batch_size.min(size / 2);
        match batch.split(limit, batch_options(&options)) {
            Ok(pieces) => {
                let places = pieces.iter().map(|piece| (piece.order - order, Arc::clone(&piece.delivery)));
                let places = places.map(|(first, piece)| (u32::try_from(first).unwrap_or(u32::MAX), piece)).collect();
                delivery.finish(Outcome::Split(places));
                lock(&self.shared.queues).replace(queue_id, id, size, pieces);
            }
            Err(error) => {
                let error = ProduceError::from(error);
                {
                    let mut queues = lock(&self.shared.queues);
                    queues.finished(id, size);
                    queues.count_failure(records, &error);
                    if let Some(transactions) = &mut queues.transactions {
                        transactions.batch_failed(&error, true);
                    }
                }
                delivery.finish(Outcome::Failed { error, records: Vec::new() });
                self.shared.done.notify_waiters();
            }
        }
    }

    fn partition(&self, queue_id: QueueId, batch: &Batch) -> TopicPartition {
        let queues = lock(&self.shared.queues);
        let topic = queues.topic(queue_id.topic).map_or("", |topic| &topic.name);
        TopicPartition::new(topic, batch.delivery.partition)
    }

    fn expired(&self, queue_id: QueueId, batch: &Batch, source: Option<ClientError>) -> ProduceError {
        ProduceError::Expired {
            partition: self.partition(queue_id, batch),
            records: batch.records,
            after: batch.created.elapsed(),
            source: source.map(Arc::new),
        }
    }

    fn expire(&self, queue_id: QueueId, batch: Batch) {
        let error = self.expired(queue_id, &batch, None);
        self.finish(queue_id, &batch, Outcome::Failed { error, records: Vec::new() });
    }

    /// Tells everybody who wants to know how a batch ended.
    fn finish(&self, queue_id: QueueId, batch: &Batch, outcome: Outcome) {
        {
            let mut queues = lock(&self.shared.queues);
            queues.finished(batch.id, batch.size);
            if let Outcome::Failed { error, .. } = &outcome {
                queues.count_failure(batch.records, error);
                if let Some(transactions) = &mut queues.transactions {
                    transactions.batch_failed(error, batch.sequence.is_some());
                }
            }
        }
        if let Some(observer) = &self.shared.options.observer {
            let partition = self.partition(queue_id, batch);
            let result = match &outcome {
                Outcome::Delivered { base_offset, .. } => Ok(*base_offset),
                Outcome::Failed { error, .. } => Err(error),
                Outcome::Split(_) => Ok(None),
            };
            observer.batch_done(&BatchReport { partition: &partition, records: batch.records, result });
        }
        batch.delivery.finish(outcome);
        self.shared.space.notify_waiters();
        self.shared.done.notify_waiters();
    }

    fn fail_all(&mut self, error: &ProduceError) {
        let queued = lock(&self.shared.queues).take_all();
        for Ready { queue, batch } in queued {
            self.finish(queue, &batch, Outcome::Failed { error: error.clone(), records: Vec::new() });
        }
    }

    /// The end: what is still there will not be delivered.
    fn give_up(&mut self) {
        {
            let mut queues = lock(&self.shared.queues);
            queues.closing = true;
            queues.aborted = true;
        }
        self.fail_all(&ProduceError::Closed);
        for (_, InFlight { batches, .. }) in std::mem::take(&mut self.in_flight) {
            for Ready { queue, batch } in batches {
                self.finish(queue, &batch, Outcome::Failed { error: ProduceError::Closed, records: Vec::new() });
            }
        }
        self.shared.space.notify_waiters();
        self.shared.done.notify_waiters();
        self.shared.cluster.close();
    }

    /// Looks metadata up if it is old, or errors said that it is wrong. Says when to look again.
    fn look_up_metadata(&mut self, now: Instant) -> Instant {
        let max_age = self.shared.options.client.metadata_max_age;
        let due = self.metadata.fetched_at.map_or(now + max_age, |at| at + max_age);
        if self.refreshing {
            return now + max_age;
        }
        let at = if self.refresh_wanted { self.refresh_not_before } else { due.max(self.refresh_not_before) };
        if at > now {
            return at;
        }
        let (topics, idle) = lock(&self.shared.queues).topics_by_use(now, self.shared.options.metadata_max_idle);
        if !idle.is_empty() {
            // The next record for one of them has its leader looked up again.
            self.shared.cluster.retain_topics(|name| !idle.iter().any(|idle| **idle == *name));
        }
        self.refreshing = true;
        self.refresh_wanted = false;
        let (cluster, events) = (self.shared.cluster.clone(), self.events.clone());
        let deadline = Deadline::after(self.shared.options.client.request_timeout);
        tokio::spawn(async move {
            let scope = TopicScope::Names(topics);
            let result = cluster.refresh(&scope, AutoCreate::Allowed, deadline).await.map(drop);
            // The sender is gone if nobody takes it.
            let _ = events.send(Event::Refreshed(result)).await;
        });
        now + max_age
    }

    fn transaction_version(&self) -> Version {
        lock(&self.shared.queues).transactions.as_ref().map_or(Version::V1, Transactions::version)
    }

    /// Does what the transaction's state asks for. Says when to look again.
    fn follow_transaction(&mut self, now: Instant) -> Instant {
        let later = now + self.shared.options.client.metadata_max_age;
        let (doomed, additions) = {
            let mut queues = lock(&self.shared.queues);
            let Some(transactions) = &mut queues.transactions else { return later };
            self.identity = transactions.identity().map_or(IdentityState::Wanted, IdentityState::Known);
            let rests = self.additions_not_before > now;
            let additions = if rests { None } else { transactions.next_additions() };
            let doom = transactions.dooms_queued();
            let doomed = doom.map(|error| (queues.take_all(), error));
            let named = additions.map(|additions| {
                let name = |id: QueueId| {
                    let partition = TopicPartition::new(&*queues.topic(id.topic)?.name, id.partition_id());
                    Some((id, partition))
                };
                additions.into_iter().filter_map(name).collect::<Vec<_>>()
            });
            (doomed, named)
        };
        if let Some((batches, error)) = doomed {
            for Ready { queue, batch } in batches {
                self.finish(queue, &batch, Outcome::Failed { error: error.clone(), records: Vec::new() });
            }
        }
        if let Some(partitions) = additions {
            let (shared, events) = (Arc::clone(&self.shared), self.events.clone());
            tokio::spawn(async move {
                let outcome = transaction::add_partitions(&shared, partitions).await;
                // The sender is gone if nobody takes it.
                let _ = events.send(Event::PartitionsAdded(outcome)).await;
            });
        }
        if self.additions_not_before > now { self.additions_not_before } else { later }
    }

    /// Asks for a producer id if there is something to send and none is there. Says when to look again.
    fn ask_identity(&mut self, now: Instant) -> Instant {
        let later = now + self.shared.options.client.metadata_max_age;
        let transactional = self.shared.transactional.is_some();
        if transactional
            || self.identity != IdentityState::Wanted
            || self.asking_identity
            || lock(&self.shared.queues).is_idle()
        {
            return later;
        }
        if self.identity_not_before > now {
            return self.identity_not_before;
        }
        self.asking_identity = true;
        let (cluster, events) = (self.shared.cluster.clone(), self.events.clone());
        let deadline = Deadline::after(self.shared.options.client.request_timeout);
        tokio::spawn(async move {
            let ask = async {
                let request = InitProducerIdRequest {
                    transactional_id: None,
                    transaction_timeout_ms: i32::MAX,
                    ..Default::default()
                };
                let response = cluster.any(deadline).await?.call(&request).await?;
                ApiError::check(response.error_code, None)?;
                Ok(Identity { id: ProducerId(response.producer_id), epoch: response.producer_epoch })
            };
            // The sender is gone if nobody takes it.
            let _ = events.send(Event::Identity(ask.await)).await;
        });
        later
    }
}

fn start_node(shared: &Arc<Shared>, node: NodeId, events: &mpsc::Sender<Event>) -> NodeState {
    let (jobs, incoming) = mpsc::channel(shared.options.max_in_flight.max(1));
    // Owned by the sender: it ends when its `NodeState` is dropped.
    tokio::spawn(serve_node(Arc::clone(shared), node, incoming, events.clone()));
    NodeState { jobs, in_flight: 0 }
}

/// Sends the requests for one broker in their order.
async fn serve_node(shared: Arc<Shared>, node: NodeId, mut jobs: mpsc::Receiver<Job>, events: mpsc::Sender<Event>) {
    while let Some(Job { id, request, max_version, timeout }) = jobs.recv().await {
        let deadline = Deadline::after(timeout);
        let options = CallOptions { max_version, timeout: Some(timeout) };
        let connection = match shared.cluster.node(node, Lane::Data, deadline).await {
            Ok(connection) => connection,
            Err(error) => {
                let _ = events.send(Event::Produced { id, result: Err(error) }).await;
                continue;
            }
        };
        if shared.options.acks == Acks::None {
            let result = connection.send_one_way(&request, options).await.map(|()| None);
            let _ = events.send(Event::Produced { id, result }).await;
            continue;
        }
        match connection.start(&request, options).await {
            Ok(pending) => {
                let events = events.clone();
                tokio::spawn(async move {
                    let result = pending.response().await.map(Some);
                    // The sender is gone if nobody takes it.
                    let _ = events.send(Event::Produced { id, result }).await;
                });
            }
            Err(error) => {
                let _ = events.send(Event::Produced { id, result: Err(error) }).await;
            }
        }
    }
}
