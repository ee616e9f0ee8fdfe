//! The records that wait to be sent: per partition a queue of batches, the last one open.
//!
//! Invariant: a queue is in the order of its batches' `order`, and a batch that was sent before goes out again only when
//! nothing else of its partition is in flight. So records stay in order, whatever is retried.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::batch::Batch;
use super::delivery::{BatchDelivery, Delivery, ProduceError};
use super::options::ProducerOptions;
use super::partitioner::{Memory, PartitionChoice};
use super::queue::{IdentityState, PartitionQueue, QueueId};
use super::stalls::Stalls;
use super::transaction::Transactions;
use crate::client::Metadata;
use crate::record::{BatchOptions, Codec, NewRecord, RecordError};
use crate::types::{NodeId, PartitionId, Uuid};

/// Compression is guessed a little worse than seen, so that batches come out below `batch.size`.
const RATIO_MARGIN: f32 = 1.05;

#[derive(Debug)]
pub(super) struct TopicQueues {
    pub(super) name: Arc<str>,
    pub(super) id: Uuid,
    leaders: Vec<Option<NodeId>>,
    available: Vec<PartitionId>,
    partitions: Vec<PartitionQueue>,
    memory: Memory,
    /// Compressed size over size, as lately seen.
    ratio: f32,
    /// When a batch for it was last begun.
    last_used: Instant,
}

impl TopicQueues {
    fn update(&mut self, metadata: &Metadata) {
        let Some(topic) = metadata.topic(&self.name) else {
            // Gone, or its leader is being elected: what is queued waits for the next look, or for its deadline.
            self.leaders.fill(None);
            self.available.clear();
            return;
        };
        self.id = topic.id;
        for id in (0..).map(PartitionId).take(topic.partitions.len()).skip(self.partitions.len()) {
            self.partitions.push(PartitionQueue::new(id));
        }
        let leader = |queue: &PartitionQueue| topic.partition(queue.id).and_then(|partition| partition.leader);
        self.leaders = self.partitions.iter().map(leader).collect();
        let led = self.partitions.iter().zip(&self.leaders).filter(|(_, leader)| leader.is_some());
        self.available = led.map(|(queue, _)| queue.id).collect();
    }

    /// Before a record without a key: lets it go to another partition than the one before if it is time. Says whether that
    /// completed a batch.
    fn end_turn(&mut self, record: &NewRecord<'_>, size: usize, options: &ProducerOptions) -> bool {
        let limit = batch_limit(options, self.ratio);
        let at = self.memory.sticky().and_then(|partition| usize::try_from(partition.get()).ok());
        let Some(queue) = at.and_then(|at| self.partitions.get_mut(at)) else { return false };
        let begins_batch = || queue.room_for(record, limit).is_none();
        let ended = self.memory.end_turn(size, limit, begins_batch);
        ended && queue.room_for(record, limit).is_none() && queue.complete_open()
    }
}

/// Where a record goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen {
    pub(super) queue: QueueId,
    /// It has no key and names no partition.
    is_sticky: bool,
    /// Another partition's batch is complete, because this record does not go there any more.
    completed_batch: bool,
}

/// What became of an attempt to append.
#[derive(Debug)]
pub(super) enum Appended {
    Done {
        delivery: Delivery,
        /// The sender has something new to look at: a batch that is full, or the first one in its queue.
        tell_sender: bool,
        /// A batch is complete.
        batch_full: bool,
    },
    /// `buffer.memory` is full.
    NoSpace,
}

/// A batch that is to be sent.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) queue: QueueId,
    pub(super) batch: Batch,
}

/// What a look over the queues found.
#[derive(Debug, Default)]
pub(super) struct Harvest {
    /// A request's worth of batches per node.
    pub(super) requests: BTreeMap<NodeId, Vec<Ready>>,
    /// Bytes of each.
    sizes: HashMap<NodeId, usize>,
    /// Batches whose time is over.
    pub(super) expired: Vec<Ready>,
    /// When to look again at the latest.
    pub(super) look_again: Option<Instant>,
    /// A partition with batches has no leader.
    pub(super) leaderless: bool,
}

impl Harvest {
    fn look_again_at(&mut self, at: Instant) {
        self.look_again = Some(self.look_again.map_or(at, |other| other.min(at)));
    }
}

/// What failed since somebody last asked.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pub(super) records: u64,
    pub(super) first: Option<ProduceError>,
}

#[derive(Debug)]
pub(super) struct Accumulator {
    topics: Vec<TopicQueues>,
    by_name: HashMap<Arc<str>, usize>,
    /// The queues that are not empty, the one looked at last at the end.
    active: VecDeque<QueueId>,
    /// Bytes of all batches that are not done with.
    buffered: usize,
    /// Senders that wait for memory: everything leaves at once to make room.
    pub(super) waiting_for_space: usize,
    next_batch: u64,
    /// Batches that are not done with, by id; several under one id are pieces of one.
    unfinished: BTreeMap<u64, u32>,
    /// Batches below this id leave at once: somebody flushes.
    flush_below: u64,
    pub(super) failures: Failures,
    /// Kept only where the partitioner looks at it.
    pub(super) stalls: Stalls,
    /// What a producer with a `transactional.id` may do.
    pub(super) transactions: Option<Transactions>,
    /// No more records; what is there leaves at once.
    pub(super) closing: bool,
    /// Nothing leaves any more.
    pub(super) aborted: bool,
}

impl Accumulator {
    pub(super) fn new() -> Self {
        Self {
            topics: Vec::new(),
            by_name: HashMap::new(),
            active: VecDeque::new(),
            buffered: 0,
            waiting_for_space: 0,
            next_batch: 0,
            unfinished: BTreeMap::new(),
            flush_below: 0,
            failures: Failures::default(),
            stalls: Stalls::default(),
            transactions: None,
            closing: false,
            aborted: false,
        }
    }

    pub(super) fn topic_index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn topic(&self, index: usize) -> Option<&TopicQueues> {
        self.topics.get(index)
    }

    /// The topics in use, and those that nothing was sent to for so long that their leaders need not be known any more.
    pub(super) fn topics_by_use(&self, now: Instant, max_idle: Duration) -> (Vec<String>, Vec<Arc<str>>) {
        let is_idle = |topic: &TopicQueues| {
            now.saturating_duration_since(topic.last_used) >= max_idle
                && topic.partitions.iter().all(|queue| queue.batches.is_empty())
        };
        let (idle, used): (Vec<_>, Vec<_>) = self.topics.iter().partition(|topic| is_idle(topic));
        let used = used.into_iter().map(|topic| topic.name.to_string()).collect();
        (used, idle.into_iter().map(|topic| Arc::clone(&topic.name)).collect())
    }

    /// The topic's queues, made if this is the first record for it.
    pub(super) fn add_topic(&mut self, name: &str, metadata: &Metadata) -> usize {
        if let Some(index) = self.topic_index(name) {
            if let Some(topic) = self.topics.get_mut(index) {
                topic.update(metadata);
            }
            return index;
        }
        let name: Arc<str> = Arc::from(name);
        let mut topic = TopicQueues {
            name: Arc::clone(&name),
            id: Uuid::ZERO,
            leaders: Vec::new(),
            available: Vec::new(),
            partitions: Vec::new(),
            memory: Memory::default(),
            ratio: 1.0,
            last_used: Instant::now(),
        };
        topic.update(metadata);
        self.topics.push(topic);
        self.by_name.insert(name, self.topics.len() - 1);
        self.topics.len() - 1
    }

    pub(super) fn update_metadata(&mut self, metadata: &Metadata) {
        self.stalls.retain(|node| metadata.nodes.contains_key(&node));
        for topic in &mut self.topics {
            topic.update(metadata);
        }
    }

    pub(super) fn queue_mut(&mut self, id: QueueId) -> Option<&mut PartitionQueue> {
        self.topics.get_mut(id.topic)?.partitions.get_mut(id.partition)
    }

    /// The partition of a record. `size`: the most bytes that it can take in a batch.
    pub(super) fn choose(
        &mut self,
        topic: usize,
        named: Option<PartitionId>,
        record: &NewRecord<'_>,
        size: usize,
        options: &ProducerOptions,
    ) -> Result<Chosen, ProduceError> {
        let Self { topics, stalls, .. } = self;
        let Some(queues) = topics.get_mut(topic) else { return Err(ProduceError::Closed) };
        let is_sticky = named.is_none() && options.partitioning.is_sticky(record.key);
        let completed_batch = is_sticky && queues.end_turn(record, size, options);
        let TopicQueues { name, available, leaders, partitions, memory, .. } = queues;
        let partition = named.unwrap_or_else(|| {
            let timeout = options.partitioning.availability_timeout();
            let choice = PartitionChoice { topic: name, count: partitions.len(), available };
            let queued = |partition: PartitionId| {
                let at = usize::try_from(partition.get()).ok()?;
                let queue = partitions.get(at)?;
                let leader = leaders.get(at).copied().flatten();
                let is_stuck = leader.zip(timeout).is_some_and(|(leader, timeout)| stalls.is_longer(leader, timeout));
                // Where nothing waits one record may find out how it is today.
                (queue.is_empty() || !is_stuck).then_some(queue.batches.len())
            };
            memory.choose(&options.partitioning, record.key, record.value, &choice, queued)
        });
        let known = usize::try_from(partition.get()).ok().filter(|at| *at < partitions.len());
        let Some(partition) = known else {
            return Err(ProduceError::UnknownPartition { topic: name.to_string(), partition, count: partitions.len() });
        };
        Ok(Chosen { queue: QueueId { topic, partition }, is_sticky, completed_batch })
    }

    /// Appends a record to the open batch of its partition, or to a new one; only that needs to know the time.
    pub(super) fn append(
        &mut self,
        chosen: Chosen,
        record: &NewRecord<'_>,
        options: &ProducerOptions,
        now: impl FnOnce() -> Instant,
    ) -> Result<Appended, RecordError> {
        let Self { topics, buffered, next_batch, unfinished, active, .. } = self;
        let Chosen { queue: queue_id, is_sticky, completed_batch } = chosen;
        let Some(topic) = topics.get_mut(queue_id.topic) else { return Ok(Appended::NoSpace) };
        let limit = batch_limit(options, topic.ratio);
        let Some(queue) = topic.partitions.get_mut(queue_id.partition) else { return Ok(Appended::NoSpace) };

        let mut tell_sender = completed_batch;
        let room = queue.room_for(record, limit);
        let added;
        if let Some(size) = room {
            if *buffered + size > options.buffer_memory {
                return Ok(Appended::NoSpace);
            }
            let Some(batch) = queue.batches.back_mut() else { return Ok(Appended::NoSpace) };
            let before = batch.size;
            batch.append(record)?;
            added = batch.size - before;
        } else {
            let upper = record.upper_bound_in_batch();
            if *buffered > 0 && *buffered + upper > options.buffer_memory {
                return Ok(Appended::NoSpace);
            }
            // What was open is full, or this is the first batch of a queue and its linger begins.
            queue.complete_open();
            tell_sender = true;
            let now = now();
            topic.last_used = now;
            let delivery = BatchDelivery::new(queue.id);
            let capacity = limit.min(queue.newest_size).max(upper);
            let mut batch = Batch::new(*next_batch, queue.appended, now, batch_options(options), capacity, delivery);
            // A record that its batch does not take leaves no trace.
            batch.append(record)?;
            added = batch.size;
            *unfinished.entry(*next_batch).or_default() += 1;
            *next_batch += 1;
            queue.batches.push_back(batch);
        }
        *buffered += added;
        queue.appended += 1;
        if !queue.listed {
            queue.listed = true;
            active.push_back(queue_id);
        }
        let Some(batch) = queue.batches.back_mut() else { return Ok(Appended::NoSpace) };
        queue.newest_size = batch.size;
        if batch.size >= limit {
            batch.full = true;
            tell_sender = true;
        }
        let delivery = Delivery {
            batch: Arc::clone(&batch.delivery),
            index: batch.records.unsigned_abs() - 1,
            timestamp: record.timestamp,
        };
        let batch_full = completed_batch || batch.full || room.is_none() && queue.batches.len() > 1;
        if is_sticky {
            topic.memory.count(added);
        }
        Ok(Appended::Done { delivery, tell_sender, batch_full })
    }

    /// Takes what is ready to be sent: at most one request per node that `free` lets have another one.
    ///
    /// What has lingered half of its time goes along with what its node gets anyway: records with keys come to all partitions,
    /// each of which would have a request of its own otherwise. Kafka's client lets all go along, also a batch just begun,
    /// which would cut each turn of a partition (KIP-794) in two.
    pub(super) fn harvest(
        &mut self,
        now: Instant,
        options: &ProducerOptions,
        identity: &mut IdentityState,
        free: impl Fn(NodeId) -> bool,
    ) -> Harvest {
        let mut harvest = Harvest::default();
        let mut companions = Vec::new();
        let hurry = self.closing || self.waiting_for_space > 0;
        for _ in 0..self.active.len() {
            let Some(queue_id) = self.active.pop_front() else { break };
            let Some(topic) = self.topics.get_mut(queue_id.topic) else { continue };
            let leader = topic.leaders.get(queue_id.partition).copied().flatten();
            let Some(queue) = topic.partitions.get_mut(queue_id.partition) else { continue };
            take_expired(queue, queue_id, now, options.delivery_timeout, &mut harvest);
            let Some(front) = queue.batches.front() else {
                queue.listed = false;
                continue;
            };
            self.active.push_back(queue_id);
            harvest.look_again_at(front.created + options.delivery_timeout);
            let ready_at = match front.retry_at {
                Some(at) => at,
                None if front.attempts > 0 || hurry || front.full || front.id < self.flush_below => now,
                None => front.created + options.linger,
            };
            if ready_at > now {
                let goes_along = front.retry_at.is_none() && front.created + options.linger / 2 <= now;
                match leader.filter(|_| goes_along) {
                    Some(leader) => companions.push((leader, queue_id, ready_at)),
                    None => harvest.look_again_at(ready_at),
                }
                continue;
            }
            let Some(leader) = leader else {
                harvest.leaderless = true;
                continue;
            };
            if self.may_send(queue_id) {
                let takes_more = free(leader);
                if options.partitioning.availability_timeout().is_some() {
                    if takes_more {
                        self.stalls.retry(leader, now);
                    } else {
                        self.stalls.begin(leader, now);
                    }
                }
                if takes_more {
                    self.take_front(queue_id, leader, now, options, identity, &mut harvest);
                }
            }
        }
        for (leader, queue_id, ready_at) in companions {
            if harvest.requests.contains_key(&leader) && self.may_send(queue_id) {
                self.take_front(queue_id, leader, now, options, identity, &mut harvest);
            } else {
                harvest.look_again_at(ready_at);
            }
        }
        harvest
    }

    /// Whether nobody has to be told of the partition before it is sent to. What was told makes us look again.
    fn may_send(&self, queue_id: QueueId) -> bool {
        self.transactions.as_ref().is_none_or(|transactions| transactions.may_send(queue_id))
    }

    /// Puts the first batch of a partition into the request of its leader, unless something has to land first, which makes us look
    /// again, or the request is full.
    fn take_front(
        &mut self,
        queue_id: QueueId,
        leader: NodeId,
        now: Instant,
        options: &ProducerOptions,
        identity: &mut IdentityState,
        harvest: &mut Harvest,
    ) {
        let is_transactional = self.transactions.is_some();
        let Some(queue) = self.queue_mut(queue_id) else { return };
        let Some(front) = queue.batches.front() else { return };
        if front.attempts > 0 && !queue.in_flight.is_empty() || !queue.may_fly(options) {
            return;
        }
        let size = harvest.sizes.entry(leader).or_default();
        if *size > 0 && *size + front.size > options.max_request_size {
            harvest.look_again_at(now);
            return;
        }
        *size += front.size;
        if !queue.number_front(identity, is_transactional) {
            return;
        }
        let Some(mut batch) = queue.batches.pop_front() else { return };
        batch.full = true;
        batch.retry_at = None;
        batch.attempts += 1;
        queue.in_flight.push(batch.order);
        harvest.requests.entry(leader).or_default().push(Ready { queue: queue_id, batch });
    }

    /// Puts a batch back to be sent again.
    pub(super) fn put_back(&mut self, queue_id: QueueId, batch: Batch) {
        let Some(queue) = self.queue_mut(queue_id) else { return };
        queue.insert_in_order(batch);
        if !queue.listed {
            queue.listed = true;
            self.active.push_back(queue_id);
        }
    }

    /// Puts the pieces of a batch in its place.
    pub(super) fn replace(&mut self, queue_id: QueueId, id: u64, size: usize, pieces: Vec<Batch>) {
        self.buffered = (self.buffered + pieces.iter().map(|piece| piece.size).sum::<usize>()).saturating_sub(size);
        if let Some(count) = self.unfinished.get_mut(&id) {
            *count = (*count + u32::try_from(pieces.len()).unwrap_or(u32::MAX)).saturating_sub(1);
        }
        for piece in pieces {
            self.put_back(queue_id, piece);
        }
    }

    /// Forgets a batch that is done with.
    pub(super) fn finished(&mut self, id: u64, size: usize) {
        self.buffered = self.buffered.saturating_sub(size);
        if let Some(count) = self.unfinished.get_mut(&id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.unfinished.remove(&id);
            }
        }
    }

    /// Notes records that were given up.
    pub(super) fn count_failure(&mut self, records: i32, error: &ProduceError) {
        self.failures.records += u64::from(records.unsigned_abs());
        self.failures.first.get_or_insert_with(|| error.clone());
    }

    /// Learns from a batch how well records of the topic compress.
    pub(super) fn learn_ratio(&mut self, topic: usize, before: usize, after: usize) {
        if let Some(topic) = self.topics.get_mut(topic) {
            let seen = after as f32 / before.max(1) as f32;
            // Worse is believed at once, better little by little: a batch that comes out too large has to be split.
            topic.ratio =
                if seen > topic.ratio { seen.max(topic.ratio + 0.05) } else { (topic.ratio - 0.005).max(seen) };
        }
    }

    /// Lets everything that is queued now leave at once; gives the id below which batches have to be done with.
    pub(super) fn begin_flush(&mut self) -> u64 {
        self.flush_below = self.next_batch;
        self.next_batch
    }

    /// Whether all batches below this id are done with.
    pub(super) fn is_flushed(&self, below: u64) -> bool {
        self.unfinished.first_key_value().is_none_or(|(id, _)| *id >= below)
    }

    /// Whether nothing is queued or in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// Whether a new record would find room.
    pub(super) fn has_space(&self, size: usize, options: &ProducerOptions) -> bool {
        self.buffered == 0 || self.buffered + size <= options.buffer_memory
    }

    /// Takes all batches that are queued.
    pub(super) fn take_all(&mut self) -> Vec<Ready> {
        let mut all = Vec::new();
        for queue_id in std::mem::take(&mut self.active) {
            if let Some(queue) = self.queue_mut(queue_id) {
                queue.listed = false;
                all.extend(queue.batches.drain(..).map(|batch| Ready { queue: queue_id, batch }));
            }
        }
        all
    }
}

/// How batches are built.
pub(super) fn batch_options(options: &ProducerOptions) -> BatchOptions {
    let transactional = options.transactional_id.is_some();
    BatchOptions { compression: options.compression, transactional, ..BatchOptions::default() }
}

/// Bytes, before compression, at which a batch is full.
fn batch_limit(options: &ProducerOptions, ratio: f32) -> usize {
    if options.compression.codec == Codec::None {
        return options.batch_size;
    }
    (options.batch_size as f32 / (ratio * RATIO_MARGIN)) as usize
}

fn take_expired(
    queue: &mut PartitionQueue,
    queue_id: QueueId,
    now: Instant,
    delivery_timeout: Duration,
    harvest: &mut Harvest,
) {
    while let Some(batch) = queue.batches.pop_front_if(|front| front.created + delivery_timeout <= now) {
        // It was sent and may be in the log or not: the numbers after it fit in one of the cases only.
        if batch.sequence.is_some() {
            queue.needs_new_epoch = true;
        }
        harvest.expired.push(Ready { queue: queue_id, batch });
    }
}

#[cfg(test)]
mod tests;
