//! The partitions that a consumer reads: positions, what is fetched, what has to be looked up first.
//!
//! Shared by the consumer, which takes records out, and its task, which brings them in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::Start;
use super::chunk::Chunk;
use super::error::ConsumeError;
use crate::client::retry::Backoff;
use crate::config::OffsetReset;
use crate::types::{LeaderEpoch, NodeId, Offset, TopicPartition};

/// Fetches of one partition that wait to be taken. Two: while one is taken the next is on its way.
const CHUNKS_PER_PARTITION: usize = 2;

/// Where a partition is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The next record.
    pub offset: Offset,
    /// Epoch of the leader of the record before it, -1 if not known.
    pub leader_epoch: LeaderEpoch,
}

/// What has to be found out before a partition can be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// The offset that the group has committed; without one, the reset policy's.
    Committed,
    /// The offset that this says. `None` for [`OffsetReset::None`] never gets here.
    Reset(OffsetReset),
    /// Whether the log still holds what was read (KIP-320).
    Validation,
}

/// One partition.
#[derive(Debug)]
pub(super) struct PartitionState {
    pub(super) key: Arc<TopicPartition>,
    /// Changes whenever the position is set from outside: what was on its way for another one is not taken.
    pub(super) generation: u64,
    /// Where the application is.
    pub(super) position: Option<Position>,
    /// Where to fetch next: `position` and all that is fetched after it.
    pub(super) fetch: Position,
    pub(super) need: Need,
    /// `need` is being looked up, or a fetch is under way.
    pub(super) busy: bool,
    pub(super) retry_at: Option<Instant>,
    pub(super) backoff: Backoff,
    pub(super) paused: bool,
    pub(super) high_watermark: Option<Offset>,
    pub(super) last_stable_offset: Option<Offset>,
    pub(super) log_start_offset: Option<Offset>,
    /// A replica nearer than the leader, and until when to read there (KIP-392).
    pub(super) preferred: Option<(NodeId, Instant)>,
    /// The leader epoch up to which the position is known to be in the log.
    pub(super) validated_epoch: LeaderEpoch,
    pub(super) chunks: VecDeque<(Chunk, usize)>,
}

impl PartitionState {
    /// Whether a fetch may bring more now.
    pub(super) fn wants_fetch(&self, now: Instant) -> bool {
        self.need == Need::Nothing
            && !self.busy
            && !self.paused
            && self.position.is_some()
            && self.retry_at.is_none_or(|at| at <= now)
            && !self.is_full()
    }

    pub(super) fn is_full(&self) -> bool {
        self.chunks.len() >= CHUNKS_PER_PARTITION
    }

    /// Whether something can be looked up now. What was fetched before the doubt arose is handed out first.
    pub(super) fn wants_look_up(&self, now: Instant) -> bool {
        self.need != Need::Nothing
            && !self.busy
            && self.retry_at.is_none_or(|at| at <= now)
            && (self.chunks.is_empty() || self.need == Need::Validation)
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.retry_at = Some(now + self.backoff.next_wait());
    }

    pub(super) fn succeeded(&mut self) {
        self.retry_at = None;
        self.backoff.reset();
    }

    /// Reads on from here, whatever was before.
    pub(super) fn set_position(&mut self, position: Position) {
        self.position = Some(position);
        self.fetch = position;
        self.need = Need::Nothing;
        self.retry_at = None;
        self.validated_epoch = LeaderEpoch::NONE;
    }
}

/// All partitions, and what the consumer has to be told.
#[derive(Debug)]
pub(super) struct Partitions {
    by_key: BTreeMap<Arc<TopicPartition>, PartitionState>,
    next_generation: u64,
    /// Bytes of all chunks.
    buffered: usize,
    /// Partitions with chunks, each once for each chunk, in the order in which they are handed out.
    ready: VecDeque<Arc<TopicPartition>>,
    errors: VecDeque<ConsumeError>,
    backoff: Backoff,
    pub(super) closed: bool,
}

/// Errors that wait for the next polls; more would say nothing new.
const MOST_ERRORS: usize = 64;

impl Partitions {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            by_key: BTreeMap::new(),
            next_generation: 0,
            buffered: 0,
            ready: VecDeque::new(),
            errors: VecDeque::new(),
            backoff,
            closed: false,
        }
    }

    /// Makes exactly these the partitions to read. What goes on being read keeps its position.
    pub(super) fn assign(&mut self, partitions: Vec<(TopicPartition, Start)>) {
        let mut old = std::mem::take(&mut self.by_key);
        for (key, start) in partitions {
            let (key, state) = match old.remove_entry(&key) {
                Some((key, state)) => (key, state),
                None => {
                    let key = Arc::new(key);
                    (Arc::clone(&key), self.fresh(key, start))
                }
            };
            self.by_key.insert(key, state);
        }
        for (_, state) in old {
            self.forget_chunks(&state);
        }
    }

    fn fresh(&mut self, key: Arc<TopicPartition>, start: Start) -> PartitionState {
        let nowhere = Position { offset: Offset(-1), leader_epoch: LeaderEpoch::NONE };
        let need = match start {
            Start::Committed => Need::Committed,
            Start::Reset(how) => Need::Reset(how),
            Start::Offset(_) => Need::Nothing,
        };
        let mut state = PartitionState {
            key,
            generation: self.new_generation(),
            position: None,
            fetch: nowhere,
            need,
            busy: false,
            retry_at: None,
            backoff: self.backoff.clone(),
            paused: false,
            high_watermark: None,
            last_stable_offset: None,
            log_start_offset: None,
            preferred: None,
            validated_epoch: LeaderEpoch::NONE,
            chunks: VecDeque::new(),
        };
        if let Start::Offset(offset) = start {
            state.set_position(Position { offset, leader_epoch: LeaderEpoch::NONE });
        }
        state
    }

    fn new_generation(&mut self) -> u64 {
        self.next_generation += 1;
        self.next_generation
    }

    fn forget_chunks(&mut self, state: &PartitionState) {
        self.buffered -= state.chunks.iter().map(|(_, size)| size).sum::<usize>();
        self.ready.retain(|key| *key != state.key);
    }

    /// Starts a partition over: nothing that was fetched or is on its way counts any more.
    pub(super) fn restart(&mut self, key: &TopicPartition) -> Option<&mut PartitionState> {
        let generation = self.new_generation();
        let Self { by_key, buffered, ready, .. } = self;
        let state = by_key.get_mut(key)?;
        *buffered -= state.chunks.drain(..).map(|(_, size)| size).sum::<usize>();
        ready.retain(|key| *key != state.key);
        state.generation = generation;
        state.busy = false;
        state.preferred = None;
        state.succeeded();
        Some(state)
    }

    pub(super) fn get(&self, key: &TopicPartition) -> Option<&PartitionState> {
        self.by_key.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &TopicPartition) -> Option<&mut PartitionState> {
        self.by_key.get_mut(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PartitionState> {
        self.by_key.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut PartitionState> {
        self.by_key.values_mut()
    }

    pub(super) fn keys(&self) -> Vec<TopicPartition> {
        self.by_key.keys().map(|key| TopicPartition::clone(key)).collect()
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Keeps what a fetch brought.
    pub(super) fn put_chunk(&mut self, key: &TopicPartition, chunk: Chunk, size: usize) {
        let Some(state) = self.by_key.get_mut(key) else { return };
        state.chunks.push_back((chunk, size));
        self.ready.push_back(Arc::clone(&state.key));
        self.buffered += size;
    }

    /// Takes what was fetched of the partition whose turn it is, with its generation.
    pub(super) fn take_chunk(&mut self) -> Option<(Chunk, Arc<TopicPartition>, u64)> {
        let turns = self.ready.len();
        for _ in 0..turns {
            let key = self.ready.pop_front()?;
            let Some(state) = self.by_key.get_mut(&key) else { continue };
            if state.paused {
                self.ready.push_back(key);
                continue;
            }
            if let Some((chunk, size)) = state.chunks.pop_front() {
                self.buffered -= size;
                return Some((chunk, key, state.generation));
            }
        }
        None
    }

    pub(super) fn tell(&mut self, error: ConsumeError) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push_back(error);
        }
    }

    pub(super) fn take_error(&mut self) -> Option<ConsumeError> {
        self.errors.pop_front()
    }

    pub(super) fn has_news(&self) -> bool {
        let readable = |key| self.by_key.get(key).is_some_and(|state: &PartitionState| !state.paused);
        !self.errors.is_empty() || self.closed || self.ready.iter().any(readable)
    }
}
