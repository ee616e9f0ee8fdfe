//! What the transactions' machines have asked for and what is still to be done: an entry for each transactional id.
//!
//! Invariant: one job at a time for a transactional id. A marker that is written twice could end the id's next transaction, if its client
//! keeps the same epoch for all of them (before KIP-890).

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::shard::Action;
use crate::broker::coordinator::Position;

/// Something to be done for a transactional id.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    /// Of `__transaction_state`.
    pub(super) partition: i32,
    pub(super) action: Action,
    /// What must be committed before.
    pub(super) position: Position,
}

impl Job {
    pub(super) fn transactional_id(&self) -> &str {
        match &self.action {
            Action::WriteMarkers(ending) => &ending.transactional_id,
            Action::Abort(id) => id,
        }
    }
}

/// Bounded by the number of transactional ids: a new job of one takes the place of the one that waits.
#[derive(Debug, Default)]
pub(super) struct Work {
    queue: Mutex<Queue>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: HashMap<String, Job>,
    /// Those that wait and may begin.
    order: VecDeque<String>,
    running: HashSet<String>,
}

impl Work {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing under this lock panics halfway.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job.
    pub(super) fn push(&self, job: Job) {
        let mut queue = self.queue();
        let id = job.transactional_id().to_owned();
        let is_new = queue.waiting.insert(id.clone(), job).is_none();
        if is_new && !queue.running.contains(&id) {
            queue.order.push_back(id);
            self.rung.notify_one();
        }
    }

    /// The next job that may begin; [`Work::done`] when it has ended.
    pub(super) fn begin(&self) -> Option<Job> {
        let mut queue = self.queue();
        let id = queue.order.pop_front()?;
        let job = queue.waiting.remove(&id)?;
        queue.running.insert(id);
        Some(job)
    }

    /// A job has ended.
    pub(super) fn done(&self, transactional_id: &str) {
        let mut queue = self.queue();
        queue.running.remove(transactional_id);
        if queue.waiting.contains_key(transactional_id) {
            queue.order.push_back(transactional_id.to_owned());
            self.rung.notify_one();
        }
    }

    /// Returns when there may be something to begin.
    pub(super) async fn rung(&self) {
        self.rung.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LeaderEpoch, Offset};

    fn job(id: &str, partition: i32) -> Job {
        let position = Position { end: Offset::ZERO, epoch: LeaderEpoch::new(0) };
        Job { partition, action: Action::Abort(id.into()), position }
    }

    #[test]
    fn one_job_at_a_time_for_each_id() {
        let work = Work::default();
        work.push(job("a", 0));
        work.push(job("a", 1));
        work.push(job("b", 2));
        assert_eq!(work.begin(), Some(job("a", 1)), "the newer one has taken its place");
        work.push(job("a", 3));
        assert_eq!(work.begin(), Some(job("b", 2)));
        assert_eq!(work.begin(), None, "a is under way");
        work.done("a");
        assert_eq!(work.begin(), Some(job("a", 3)));
        work.done("a");
        work.done("b");
        assert_eq!(work.begin(), None);
    }
}
