//! The threads that compact logs: `log.cleaner.threads` of them, each of which takes the filthiest log, cleans it, and sleeps
//! `log.cleaner.backoff.ms` when no log is worth it.
//!
//! Memory is taken for a cleaning and given back after it. All settings count from the next cleaning on, the rate at once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::context::now;
use super::errors::chain;
use super::replicas::Replicas;
use crate::config::ServerConfig;
use crate::log::LogError;
use crate::log::cleaner::{Chosen, CleanError, CleanOptions, Cleaned, Cleaning, Outcome, Throttle};

/// Kafka's map of a thread is an array, which can't be larger.
const MAX_MAP_BYTES: usize = i32::MAX as usize;

/// A back-off of 0 must not keep a processor busy.
const MIN_BACKOFF: Duration = Duration::from_millis(10);

/// Shorter waits for the rate are put off until there is more to wait for.
const MIN_WAIT: Duration = Duration::from_millis(20);

/// The cleaner threads of a broker. Dropping it tells them to end, [`LogCleaner::stop`] waits until they have.
#[derive(Debug)]
pub(super) struct LogCleaner(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    replicas: Arc<Replicas>,
    cleaning: Cleaning,
    throttle: Mutex<Throttle>,
    started: Instant,
    stopping: AtomicBool,
    threads: Mutex<Threads>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct Threads {
    /// By number; one that has ended may be there still.
    running: BTreeMap<usize, JoinHandle<()>>,
    /// How often all were woken, so that none sleeps over a change.
    wakes: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What they guard is set in single steps.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogCleaner {
    /// Starts the threads, unless `log.cleaner.enable` says not to.
    pub(super) fn start(replicas: Arc<Replicas>) -> Self {
        let is_enabled = replicas.config().log_cleaner_enable;
        let shared = Arc::new(Shared {
            replicas,
            cleaning: Cleaning::default(),
            throttle: Mutex::default(),
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            threads: Mutex::default(),
            woken: Condvar::new(),
        });
        if is_enabled {
            shared.spawn_missing(1);
        } else {
            warn!("log.cleaner.enable=false: compacted topics grow without end (Kafka 5.0 will ignore this setting)");
        }
        Self(shared)
    }

    /// Has the threads look at the logs and at the settings again.
    pub(super) fn wake(&self) {
        lock(&self.0.threads).wakes += 1;
        self.0.woken.notify_all();
    }

    /// Ends all threads; cleanings under way are broken off at their next batch, which does no harm.
    pub(super) fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
        self.wake();
        // Thread 0 starts the others; once it has ended no other comes.
        while let Some((_, thread)) = { lock(&self.0.threads).running.pop_first() } {
            // A panic was logged by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for LogCleaner {
    fn drop(&mut self) {
        self.0.stopping.store(true, Ordering::Release);
        self.wake();
    }
}

impl Shared {
    fn spawn_missing(self: &Arc<Self>, count: usize) {
        for number in 0..count {
            let mut threads = lock(&self.threads);
            if threads.running.get(&number).is_some_and(|thread| !thread.is_finished())
                || self.stopping.load(Ordering::Acquire)
            {
                continue;
            }
            let shared = Arc::clone(self);
            let spawned =
                thread::Builder::new().name(format!("log-cleaner-{number}")).spawn(move || shared.run(number));
            match spawned {
                Ok(thread) => {
                    threads.running.insert(number, thread);
                }
                Err(error) => error!(%error, number, "a log cleaner can't be started"),
            }
        }
    }

    fn run(self: Arc<Self>, number: usize) {
        loop {
            let wakes = lock(&self.threads).wakes;
            let config = self.replicas.config();
            let count = config.log_cleaner_threads;
            // The first stays, so that there is one to notice when the number grows.
            if self.stopping.load(Ordering::Acquire) || (number > 0 && number >= count) {
                return;
            }
            if number == 0 {
                self.spawn_missing(count);
            }
            if number >= count || !self.clean_one(&config) {
                self.sleep(config.log_cleaner_backoff_ms.max(MIN_BACKOFF), wakes);
            }
        }
    }

    /// Sleeps until the time is over or somebody wakes the threads.
    fn sleep(&self, time: Duration, wakes: u64) {
        let is_asleep = |threads: &mut Threads| threads.wakes == wakes && !self.stopping.load(Ordering::Acquire);
        drop(self.woken.wait_timeout_while(lock(&self.threads), time, is_asleep));
    }

    /// Cleans the filthiest log; says whether there was one and it is clean now.
    fn clean_one(&self, config: &ServerConfig) -> bool {
        let logs = self.replicas.logs();
        let now_ms = now().wall_ms;
        let Some(chosen) = self.cleaning.choose(logs.compacted(), now_ms) else { return false };
        let threads = config.log_cleaner_threads.max(1);
        let Ok(seed) = getrandom::u64() else {
            self.cleaning.done(&chosen, Outcome::Again);
            return false;
        };
        let options = CleanOptions {
            dedupe_buffer_bytes: (config.log_cleaner_dedupe_buffer_size / threads).min(MAX_MAP_BYTES),
            load_factor: config.log_cleaner_io_buffer_load_factor,
            io_buffer_bytes: config.log_cleaner_io_buffer_size / threads / 2,
            seed,
            now_ms,
        };
        let started = Instant::now();
        let clean = || chosen.log.flush_and_clean(&chosen.cleanable, &options, &mut |bytes| self.pace(bytes));
        let Ok(cleaned) = catch_unwind(AssertUnwindSafe(clean)) else {
            error!(partition = %chosen.partition, "a cleaning was broken off by a bug; the log is not compacted any more");
            self.cleaning.done(&chosen, Outcome::Uncleanable);
            return false;
        };
        let outcome = self.tell(&chosen, &cleaned, started.elapsed());
        logs.remove_later(cleaned.deleted);
        self.cleaning.done(&chosen, outcome);
        matches!(outcome, Outcome::Clean(_))
    }

    /// Waits as `log.cleaner.io.max.bytes.per.second` has it, and says whether to go on.
    fn pace(&self, bytes: u64) -> ControlFlow<()> {
        let rate = self.replicas.config().log_cleaner_io_max_bytes_per_second;
        let wait = lock(&self.throttle).wait(bytes, rate, self.started.elapsed());
        if wait >= MIN_WAIT {
            let is_waiting = |_: &mut Threads| !self.stopping.load(Ordering::Acquire);
            drop(self.woken.wait_timeout_while(lock(&self.threads), wait, is_waiting));
        }
        if self.stopping.load(Ordering::Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn tell(&self, chosen: &Chosen, cleaned: &Cleaned, took: Duration) -> Outcome {
        let (partition, stats) = (&chosen.partition, &cleaned.stats);
        if stats.keyless > 0 {
            warn!(%partition, records = stats.keyless, "records without a key were dropped from a compacted log");
        }
        match &cleaned.result {
            Ok(end) => {
                info!(
                    %partition, from = %chosen.cleanable.first_dirty, to = %end, keys = stats.keys, bytes = stats.bytes.0,
                    bytes_left = stats.bytes.1, records = stats.records.0, records_left = stats.records.1,
                    map_bytes = stats.map_memory, ms = took.as_millis(), "compacted"
                );
                Outcome::Clean(*end)
            }
            Err(error @ (CleanError::Interrupted | CleanError::Changed)) => {
                debug!(%partition, %error, "compaction was broken off");
                Outcome::Again
            }
            Err(error) if !self.is_hosted(chosen) => {
                debug!(%partition, %error, "the log was deleted while it was compacted");
                Outcome::Again
            }
            Err(CleanError::Storage(error @ LogError::Full { .. })) => {
                warn!(%partition, error = chain(error), "compaction needs space and is tried again later");
                Outcome::Again
            }
            // It said so when it failed.
            Err(CleanError::Storage(LogError::Failed { .. } | LogError::Closed { .. })) => Outcome::Again,
            Err(error) => {
                error!(
                    %partition, error = chain(error),
                    "compaction has failed: the log is not compacted any more until the broker is started again"
                );
                Outcome::Uncleanable
            }
        }
    }

    fn is_hosted(&self, chosen: &Chosen) -> bool {
        self.replicas.logs().get(&chosen.partition).is_some_and(|log| Arc::ptr_eq(&log, &chosen.log))
    }
}
