//! Counts what is acknowledged. The producer tells of whole batches, so what is known of single records is kept in runs:
//! consecutive records of a partition with the same start and size. Nothing is allocated for a record.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cli::support::figures::{Latencies, now_ms};
use crate::client::producer::{BatchReport, DeliveryObserver, ProduceError};
use crate::types::PartitionId;

/// Failures kept until they are told; more than these are only counted.
const KEPT: usize = 1000;

/// What is counted, shared with the producer.
#[derive(Debug)]
pub(super) struct Stats {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By partition. Bounded by the producer's memory.
    on_their_way: Vec<OnTheirWay>,
    interval_ms: i64,
    whole: Tally,
    steady: Option<Tally>,
    windows: Vec<Window>,
    failures: Failures,
}

#[derive(Debug, Default)]
struct OnTheirWay {
    runs: VecDeque<Run>,
    /// Batches that were done with before their records were noted here.
    early: VecDeque<Early>,
}

/// Records that were handed over in the same millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start_ms: i64,
    bytes: u64,
    steady: bool,
    count: u64,
}

#[derive(Debug)]
struct Early {
    count: u64,
    done_ms: i64,
    delivered: bool,
}

/// Records that were not delivered.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// How many with which error, at most [`KEPT`].
    pub(super) untold: Vec<(u64, ProduceError)>,
    /// All of them.
    pub(super) records: u64,
}

impl Failures {
    fn add(&mut self, records: u64, error: ProduceError) {
        self.records += records;
        if self.untold.len() < KEPT {
            self.untold.push((records, error));
        }
    }
}

/// Counts since the beginning, or since the steady state.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    started_ms: i64,
    pub(super) latencies: Latencies,
    pub(super) sum: Sum,
    window_started_ms: i64,
    window: Sum,
    /// Whether its windows are told.
    tells: bool,
    is_steady: bool,
}

/// Records with their latencies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) latency_ms: u64,
    pub(super) max_ms: u64,
}

/// An interval that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) sum: Sum,
    pub(super) elapsed_ms: i64,
    /// The first of the steady state.
    pub(super) steady_begins: bool,
}

impl Sum {
    fn add(&mut self, count: u64, bytes: u64, latency_ms: u64) {
        self.records += count;
        self.bytes += count * bytes;
        self.latency_ms += count * latency_ms;
        self.max_ms = self.max_ms.max(latency_ms);
    }
}

impl Tally {
    fn new(now_ms: i64, is_steady: bool) -> Self {
        Self {
            started_ms: now_ms,
            latencies: Latencies::default(),
            sum: Sum::default(),
            window_started_ms: now_ms,
            window: Sum::default(),
            tells: true,
            is_steady,
        }
    }

    /// Milliseconds since the beginning.
    pub(super) fn elapsed_ms(&self) -> i64 {
        now_ms() - self.started_ms
    }

    fn add(&mut self, run: Run, done_ms: i64, interval_ms: i64, windows: &mut Vec<Window>) {
        let latency_ms = u64::try_from(done_ms - run.start_ms).unwrap_or(0);
        self.latencies.add(latency_ms, run.count);
        self.sum.add(run.count, run.bytes, latency_ms);
        let mut left = run.count;
        if done_ms - self.window_started_ms >= interval_ms {
            // As in Kafka's tool, the record that comes after the end still belongs to the window.
            self.window.add(1, run.bytes, latency_ms);
            left -= 1;
            if self.tells {
                windows.push(Window {
                    sum: self.window,
                    elapsed_ms: done_ms - self.window_started_ms,
                    steady_begins: self.is_steady && self.sum.records - left == self.window.records,
                });
            }
            self.window = Sum::default();
            self.window_started_ms = done_ms;
        }
        if left > 0 {
            self.window.add(left, run.bytes, latency_ms);
        }
    }
}

impl State {
    fn delivered(&mut self, run: Run, done_ms: i64) {
        self.whole.add(run, done_ms, self.interval_ms, &mut self.windows);
        if run.steady
            && let Some(steady) = &mut self.steady
        {
            steady.add(run, done_ms, self.interval_ms, &mut self.windows);
        }
    }

    fn partition(&mut self, partition: PartitionId) -> Option<&mut OnTheirWay> {
        let index = usize::try_from(partition.get()).ok()?;
        if index >= self.on_their_way.len() {
            self.on_their_way.resize_with(index + 1, OnTheirWay::default);
        }
        self.on_their_way.get_mut(index)
    }
}

impl Stats {
    /// Counts from now on, with windows of `interval_ms`.
    pub(super) fn new(interval_ms: i64) -> Self {
        let state = State {
            on_their_way: Vec::new(),
            interval_ms,
            whole: Tally::new(now_ms(), false),
            steady: None,
            windows: Vec::new(),
            failures: Failures::default(),
        };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first record is about to be sent.
    pub(super) fn start(&self, now_ms: i64) {
        self.state().whole = Tally::new(now_ms, false);
    }

    /// What is sent from now on is counted once more, and only that is told of in windows.
    pub(super) fn begin_steady_state(&self, now_ms: i64) {
        let mut state = self.state();
        state.whole.tells = false;
        state.steady = Some(Tally::new(now_ms, true));
    }

    /// The producer has taken over a record.
    pub(super) fn sent(&self, partition: PartitionId, start_ms: i64, bytes: usize) {
        let mut state = self.state();
        let steady = state.steady.is_some();
        let run = Run { start_ms, bytes: bytes as u64, steady, count: 1 };
        let Some(on_their_way) = state.partition(partition) else { return };
        if let Some(early) = on_their_way.early.front_mut() {
            early.count -= 1;
            let (done_ms, delivered) = (early.done_ms, early.delivered);
            if early.count == 0 {
                on_their_way.early.pop_front();
            }
            if delivered {
                state.delivered(run, done_ms);
            }
            return;
        }
        match on_their_way.runs.back_mut() {
            Some(last) if Run { count: 1, ..*last } == run => last.count += 1,
            _ => on_their_way.runs.push_back(run),
        }
    }

    /// The producer has not taken over a record.
    pub(super) fn refused(&self, error: ProduceError) {
        self.state().failures.add(1, error);
    }

    /// The windows that are over and the failures, since the last call.
    pub(super) fn take_news(&self) -> (Vec<Window>, Vec<(u64, ProduceError)>) {
        let mut state = self.state();
        (std::mem::take(&mut state.windows), std::mem::take(&mut state.failures.untold))
    }

    /// How many records and bytes were acknowledged so far.
    pub(super) fn acknowledged(&self) -> (u64, u64) {
        let sum = self.state().whole.sum;
        (sum.records, sum.bytes)
    }

    /// How many records were lost.
    pub(super) fn lost(&self) -> u64 {
        self.state().failures.records
    }

    /// The counts of all records, and of those of the steady state.
    pub(super) fn totals(&self) -> (Tally, Option<Tally>) {
        let state = self.state();
        (state.whole.clone(), state.steady.clone())
    }
}

impl DeliveryObserver for Stats {
    fn batch_done(&self, report: &BatchReport<'_>) {
        let done_ms = now_ms();
        let mut state = self.state();
        let delivered = report.result.is_ok();
        let mut left = u64::try_from(report.records).unwrap_or(0);
        if let Err(error) = report.result {
            state.failures.add(left, error.clone());
        }
        while left > 0 {
            let Some(on_their_way) = state.partition(report.partition.partition) else { return };
            let Some(run) = on_their_way.runs.front_mut() else {
                on_their_way.early.push_back(Early { count: left, done_ms, delivered });
                return;
            };
            let taken = Run { count: run.count.min(left), ..*run };
            run.count -= taken.count;
            left -= taken.count;
            if run.count == 0 {
                on_their_way.runs.pop_front();
            }
            if delivered {
                state.delivered(taken, done_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicPartition;

    const P: PartitionId = PartitionId(1);

    fn done(stats: &Stats, records: i32, error: Option<&ProduceError>) {
        let partition = TopicPartition::new("t", 1);
        let result = error.map_or(Ok(None), Err);
        stats.batch_done(&BatchReport { partition: &partition, records, result });
    }

    #[test]
    fn latencies_are_those_of_single_records() {
        let stats = Stats::new(1_000_000);
        let now = now_ms();
        for (start, bytes) in [(100, 10), (100, 10), (50, 20), (0, 10)] {
            stats.sent(P, now - start, bytes);
        }
        done(&stats, 3, None);
        let (whole, steady) = stats.totals();
        assert!(steady.is_none());
        assert_eq!((whole.sum.records, whole.sum.bytes), (3, 40));
        assert!((250..350).contains(&whole.sum.latency_ms), "{whole:?}");
        assert!(whole.latencies.percentile(0.5) >= 100);
        assert_eq!(stats.acknowledged(), (3, 40));
    }

    #[test]
    fn a_batch_may_be_done_before_its_records_are_noted() {
        let stats = Stats::new(1_000_000);
        stats.sent(P, 0, 1);
        done(&stats, 3, None);
        assert_eq!(stats.acknowledged(), (1, 1));
        stats.sent(P, 0, 1);
        stats.sent(P, 0, 1);
        stats.sent(P, 0, 1);
        assert_eq!(stats.acknowledged(), (3, 3));
        done(&stats, 1, None);
        assert_eq!(stats.acknowledged(), (4, 4));
    }

    #[test]
    fn lost_records_are_not_counted_as_sent() {
        let stats = Stats::new(1_000_000);
        stats.sent(P, 0, 1);
        stats.sent(P, 0, 1);
        stats.sent(P, 0, 1);
        done(&stats, 2, Some(&ProduceError::Closed));
        done(&stats, 1, None);
        stats.refused(ProduceError::Closed);
        assert_eq!((stats.acknowledged().0, stats.lost()), (1, 3));
        let (_, failures) = stats.take_news();
        assert_eq!(failures.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [2, 1]);
        assert!(stats.take_news().1.is_empty());
    }

    #[test]
    fn windows_end_with_the_record_that_is_late() {
        let mut windows = Vec::new();
        let mut tally = Tally::new(0, true);
        let run = |count| Run { start_ms: 0, bytes: 10, steady: true, count };
        tally.add(run(4), 900, 1000, &mut windows);
        assert!(windows.is_empty());
        tally.add(run(5), 1100, 1000, &mut windows);
        tally.add(run(1), 2100, 1000, &mut windows);
        let found: Vec<_> =
            windows.iter().map(|window| (window.sum.records, window.elapsed_ms, window.steady_begins)).collect();
        assert_eq!(found, [(5, 1100, true), (5, 1000, false)]);
        assert_eq!((tally.sum.records, windows[0].sum.max_ms), (10, 1100));
    }

    #[test]
    fn the_steady_state_is_counted_beside_the_whole() {
        let stats = Stats::new(0);
        stats.sent(P, 0, 1);
        stats.begin_steady_state(now_ms());
        stats.sent(P, 0, 1);
        stats.sent(P, 0, 1);
        done(&stats, 3, None);
        let (whole, steady) = stats.totals();
        assert_eq!((whole.sum.records, steady.unwrap().sum.records), (3, 2));
        // Windows of no length: only those of the steady state are told of.
        let (windows, _) = stats.take_news();
        assert!(windows.iter().map(|window| window.sum.records).sum::<u64>() <= 2);
        assert!(windows[0].steady_begins);
    }
}
