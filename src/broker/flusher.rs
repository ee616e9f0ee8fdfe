//! Flushes partitions: as many at once as the disk likes, each one only once for all who wait, no directory behind another.
//!
//! Never holds up who asks, and never retries: a log whose flush fails has failed. Each directory has a queue for flushes that
//! acknowledgements wait for, and one for completed segments, which may be large. A partition stands in a queue once; appends that come
//! while it is flushed make it stand there again. So the slower the disk, the more records share a flush.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::partition::Partition;

/// Flushes under way at once in one directory. A journalling file system writes the sizes of all of them with one commit: on ext4 1,000
/// files took 3.9 s one after another, 43 ms by 16 threads, and no less by more (docs/performance.md).
const THREADS: usize = 16;

/// What a flush is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum FlushKind {
    /// Records that must not be committed before.
    DueRecords,
    /// Completed segments, which nobody waits for.
    CompletedSegments,
}

impl FlushKind {
    /// How many run at once in a directory. Of those that nobody waits for one is enough, and leaves the disk to the others.
    fn threads(self) -> usize {
        match self {
            Self::DueRecords => THREADS,
            Self::CompletedSegments => 1,
        }
    }
}

/// Where a partition stands with the flushes of one kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Turn {
    #[default]
    None,
    /// In the queue: what is appended now is flushed by it too.
    Waiting,
    Running,
    /// Being flushed, and there may be more by now.
    RunningAndWanted,
}

/// Where a partition stands with the flusher.
#[derive(Debug, Default)]
pub(super) struct FlushTurns {
    due_records: Mutex<Turn>,
    completed_segments: Mutex<Turn>,
}

impl FlushTurns {
    fn of(&self, kind: FlushKind) -> MutexGuard<'_, Turn> {
        let turn = match kind {
            FlushKind::DueRecords => &self.due_records,
            FlushKind::CompletedSegments => &self.completed_segments,
        };
        turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether the partition has to be put into the queue.
    fn want(&self, kind: FlushKind) -> bool {
        let mut turn = self.of(kind);
        let (next, is_new) = match *turn {
            Turn::None => (Turn::Waiting, true),
            Turn::Waiting => (Turn::Waiting, false),
            Turn::Running | Turn::RunningAndWanted => (Turn::RunningAndWanted, false),
        };
        *turn = next;
        is_new
    }

    fn begin(&self, kind: FlushKind) {
        *self.of(kind) = Turn::Running;
    }

    /// Says whether the partition has to be put into the queue again.
    fn end(&self, kind: FlushKind) -> bool {
        let mut turn = self.of(kind);
        let again = *turn == Turn::RunningAndWanted;
        *turn = if again { Turn::Waiting } else { Turn::None };
        again
    }
}

/// The partitions of one directory that wait for a flush.
#[derive(Debug, Default)]
struct Queue {
    /// Bounded by the number of partitions: each stands here once.
    waiting: VecDeque<Arc<Partition>>,
    workers: usize,
}

type QueueName = (PathBuf, FlushKind);

/// The flushes of a broker.
#[derive(Debug)]
pub(super) struct Flusher {
    queues: Mutex<HashMap<QueueName, Queue>>,
    /// Whose threads flush. Partitions are also made on threads that know no runtime.
    runtime: Handle,
}

impl Flusher {
    /// Flushes on threads of the runtime that this is called in.
    pub(super) fn new() -> Self {
        Self { queues: Mutex::default(), runtime: Handle::current() }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<QueueName, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a partition flushed; it is told when that is done.
    pub(super) fn submit(self: &Arc<Self>, partition: &Arc<Partition>, kind: FlushKind) {
        if partition.flush_turns().want(kind) {
            self.put(Arc::clone(partition), kind);
        }
    }

    fn put(self: &Arc<Self>, partition: Arc<Partition>, kind: FlushKind) {
        let directory = partition.log().dir().parent().map(PathBuf::from).unwrap_or_default();
        let name = (directory, kind);
        let needs_worker = {
            let mut queues = self.queues();
            let queue = queues.entry(name.clone()).or_default();
            queue.waiting.push_back(partition);
            let needs_worker = queue.workers < kind.threads();
            queue.workers += usize::from(needs_worker);
            needs_worker
        };
        if needs_worker {
            let flusher = Arc::clone(self);
            // Nobody waits for the thread: it ends when its queue is empty, at a stop the logs are flushed anyway.
            self.runtime.spawn_blocking(move || flusher.work(&name));
        }
    }

    fn work(self: &Arc<Self>, name: &QueueName) {
        while let Some(partition) = self.next(name) {
            let kind = name.1;
            partition.flush_turns().begin(kind);
            if catch_unwind(AssertUnwindSafe(|| partition.flush(kind))).is_err() {
                // The log knows that its flush has panicked, and fails now: who waits is told.
                partition.flush(kind);
            }
            if partition.flush_turns().end(kind) {
                self.put(partition, kind);
            }
        }
    }

    /// The next partition of a queue; without one the worker has left.
    fn next(&self, name: &QueueName) -> Option<Arc<Partition>> {
        let mut queues = self.queues();
        let queue = queues.get_mut(name)?;
        let next = queue.waiting.pop_front();
        queue.workers -= usize::from(next.is_none());
        next
    }
}

#[cfg(test)]
mod tests;
