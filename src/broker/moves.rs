//! Moves logs between directories in the background (AlterReplicaLogDirs), as many at once as
//! `num.replica.alter.log.dirs.threads` says and together no faster than `replica.alter.log.dirs.io.max.bytes.per.second`.
//!
//! The order is Kafka's: the copy catches up, the metadata names its directory, the copy takes the log's place. What a crash in
//! between leaves goes on at the next start.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::context::Broker;
use super::controller::{Assignment, ControllerError};
use super::errors::chain;
use crate::log::{LogError, Move, MoveError};
use crate::metadata::ConfigResource;
use crate::types::{TopicPartition, Uuid};

/// A copy that lacks no more is ended while appends wait for the rest: some milliseconds.
const NEARLY_ALL_BYTES: usize = 128 << 10;

/// How long the throttle sleeps at once: a broker that stops is not kept waiting.
const NAP: Duration = Duration::from_millis(100);

const RATE_KEY: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// Where new moves are told.
#[derive(Debug, Default)]
pub(super) struct Moves {
    woken: Notify,
    debt: Mutex<Debt>,
    /// Replicas that were made elsewhere than the metadata says; to be told to the controller.
    misplaced: Mutex<Vec<Assignment>>,
}

/// Why a move has not come to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Move(#[from] MoveError),
    #[error("the metadata can't name the new directory")]
    Controller(#[source] ControllerError),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Moves {
    /// There is a new move.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Has the controller told that a replica is elsewhere than the metadata says.
    pub(super) fn tell(&self, assignment: Assignment) {
        lock(&self.misplaced).push(assignment);
        self.wake();
    }

    /// Carries out what is to be moved until the broker stops.
    pub(super) async fn run(broker: Arc<Broker>, mut stopping: watch::Receiver<bool>) {
        let mut working: JoinSet<TopicPartition> = JoinSet::new();
        let mut active: HashSet<TopicPartition> = HashSet::new();
        let config = &broker.config;
        let limit = config.num_replica_alter_log_dirs_threads.unwrap_or(config.log_dirs.len()).max(1);
        loop {
            let assignments = std::mem::take(&mut *lock(&broker.replicas.moves().misplaced));
            if !assignments.is_empty() {
                let own = Arc::clone(&broker);
                let told = move || own.controller.assign_directories(&assignments, own.now().wall_ms);
                if let Ok(Err(error)) = tokio::task::spawn_blocking(told).await {
                    warn!(error = chain(&error), "the metadata can't say where new replicas are");
                }
            }
            for moving in broker.replicas.logs().moves() {
                if active.len() >= limit || *stopping.borrow() {
                    break;
                }
                if active.insert(moving.partition.clone()) {
                    let (broker, stopping) = (Arc::clone(&broker), stopping.clone());
                    working.spawn_blocking(move || {
                        carry_out(&broker, &moving, &stopping);
                        moving.partition
                    });
                }
            }
            tokio::select! {
                () = broker.replicas.moves().woken.notified() => {}
                Some(ended) = working.join_next() => match ended {
                    Ok(partition) => {
                        active.remove(&partition);
                    }
                    // Its partition stays where it is until the next start.
                    Err(error) => error!(%error, "the move of a log has failed"),
                },
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
        }
        // They see that the broker stops; what is copied so far is kept for the next start.
        while working.join_next().await.is_some() {}
    }

    /// Waits until `bytes` more may have been copied at the rate that is set at each moment, as long as `goes_on` says so.
    fn pace(&self, bytes: usize, rate: impl Fn() -> Option<u64>, goes_on: impl Fn() -> bool) {
        lock(&self.debt).add(bytes, rate(), Instant::now());
        while goes_on() {
            let left = lock(&self.debt).pay(rate(), Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}

/// What was copied sooner than the rate allows.
#[derive(Debug, Default)]
struct Debt {
    bytes: f64,
    /// Until when it was paid.
    at: Option<Instant>,
}

impl Debt {
    fn add(&mut self, bytes: usize, rate: Option<u64>, now: Instant) {
        // Time without a move saves nothing up.
        self.pay(rate, now);
        self.bytes += bytes as f64;
    }

    /// Takes off what the rate allows since the last time; tells how long the rest takes. Without a rate nothing is owed.
    fn pay(&mut self, rate: Option<u64>, now: Instant) -> Duration {
        let since = self.at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let Some(rate) = rate else {
            self.bytes = 0.0;
            return Duration::ZERO;
        };
        let rate = rate.max(1) as f64;
        self.bytes = (self.bytes - rate * since.as_secs_f64()).max(0.0);
        Duration::try_from_secs_f64(self.bytes / rate).unwrap_or(Duration::MAX)
    }
}

/// Bytes per second that moves may copy; `None`: as many as they can.
fn rate(broker: &Broker) -> Option<u64> {
    let image = broker.metadata.read();
    let own = [ConfigResource::broker(broker.config.node_id), ConfigResource::all_brokers()];
    let set = own.iter().find_map(|resource| image.configs(resource)?.get(RATE_KEY).cloned())?;
    set.parse().ok().filter(|rate| *rate < i64::MAX as u64)
}

fn carry_out(broker: &Broker, moving: &Move, stopping: &watch::Receiver<bool>) {
    let mut named = false;
    let Err(failure) = copy_and_switch(broker, moving, stopping, &mut named) else { return };
    let logs = broker.replicas.logs();
    let is_wanted = logs.moves().iter().any(|other| other.is_same(moving));
    if is_wanted {
        error!(partition = %moving.partition, error = chain(&failure), "the log can't be moved; it stays where it is");
    }
    logs.cancel_move(moving, broker.now().wall_ms);
    if named && let Err(error) = name(broker, moving, moving.from) {
        warn!(partition = %moving.partition, error = chain(&error), "the metadata still names the directory of a move");
    }
}

fn copy_and_switch(
    broker: &Broker,
    moving: &Move,
    stopping: &watch::Receiver<bool>,
    named: &mut bool,
) -> Result<(), Failure> {
    let logs = broker.replicas.logs();
    let now_ms = || broker.now().wall_ms;
    loop {
        let copied = moving.copy_some(now_ms())?;
        if copied > NEARLY_ALL_BYTES {
            broker.replicas.moves().pace(copied, || rate(broker), || !*stopping.borrow() && !moving.is_given_up());
        }
        if *stopping.borrow() {
            return Ok(());
        }
        if copied > NEARLY_ALL_BYTES {
            continue;
        }
        moving.flush()?;
        if !*named {
            name(broker, moving, moving.to).map_err(Failure::Controller)?;
            *named = true;
            continue;
        }
        return match logs.finish_move(moving, now_ms())? {
            Some(()) => {
                info!(partition = %moving.partition, "the log has moved to another directory");
                Ok(())
            }
            None => Err(MoveError::Log(LogError::Closed { dir: moving.partition.to_string().into() }).into()),
        };
    }
}

/// Has the metadata name the directory of a moving log.
fn name(broker: &Broker, moving: &Move, directory: Option<Uuid>) -> Result<(), ControllerError> {
    let (Some(topic_id), Some(directory)) = (moving.topic_id, directory) else { return Ok(()) };
    let assignment = Assignment { topic_id, partition: moving.partition.partition, directory };
    broker.controller.assign_directories(&[assignment], broker.now().wall_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_copied_is_paid_at_the_rate_of_the_moment() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut debt = Debt::default();
        debt.add(1000, Some(10), start);
        assert_eq!(debt.pay(Some(10), start), Duration::from_secs(100));
        assert_eq!(debt.pay(Some(10), after(50)), Duration::from_secs(50));
        assert_eq!(debt.pay(Some(250), after(51)), Duration::from_secs(1), "a higher rate counts at once");
        assert_eq!(debt.pay(Some(250), after(60)), Duration::ZERO);
        debt.add(500, Some(250), after(90));
        assert_eq!(debt.pay(Some(250), after(90)), Duration::from_secs(2), "nothing was saved up");
        assert_eq!(debt.pay(None, after(90)), Duration::ZERO);
        assert_eq!(debt.pay(Some(250), after(90)), Duration::ZERO);
        debt.bytes = 1e300;
        assert_eq!(debt.pay(Some(0), after(90)), Duration::MAX);
    }
}
