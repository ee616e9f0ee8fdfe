//! Flushes against a disk that does them when it is told to.

use std::path::Path;
use std::sync::Condvar;
use std::time::{Duration, Instant};

use super::*;
use crate::broker::partition::{Appended, Isolation};
use crate::config::TopicConfig;
use crate::log::{Fault, Faults, Fs, Log, LogConfig, LogOptions, Operation};
use crate::protocol::ErrorCode;
use crate::record::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

const EIO: i32 = 5;

/// A disk whose flushes of records wait until they are let through.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Directories whose flushes go through.
    open: Vec<PathBuf>,
    fails: bool,
    waiting: usize,
    most_waiting: usize,
    done: usize,
}

impl Faults for Gate {
    fn before(&self, operation: Operation, path: &Path) -> Fault {
        if operation != Operation::Sync || path.extension().is_none_or(|extension| extension != "log") {
            return Fault::None;
        }
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        state.most_waiting = state.most_waiting.max(state.waiting);
        self.changed.notify_all();
        let is_shut = |state: &mut State| !state.open.iter().any(|open| path.starts_with(open));
        state = self.changed.wait_while(state, is_shut).unwrap();
        state.waiting -= 1;
        state.done += 1;
        if state.fails { Fault::Fail(EIO) } else { Fault::None }
    }
}

impl Gate {
    fn open(&self, directory: &Path) {
        self.state.lock().unwrap().open.push(directory.to_owned());
        self.changed.notify_all();
    }

    /// Returns once so many flushes wait.
    fn wait_for(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let few = |state: &mut State| state.waiting < count;
        let (state, _) = self.changed.wait_timeout_while(state, Duration::from_secs(20), few).unwrap();
        assert_eq!(state.waiting, count);
    }
}

fn open(directory: &Path, number: i32, gate: &Arc<Gate>, flusher: &Arc<Flusher>) -> Arc<Partition> {
    let name = TopicPartition::new("t", number);
    let config = LogConfig { flush_messages: 1, ..LogConfig::default() };
    let (log, _) = Log::open(LogOptions {
        dir: directory.join(name.to_string()),
        config: Arc::new(config),
        fs: Fs::with_faults(gate.clone()),
        ..LogOptions::default()
    })
    .unwrap();
    let partition = Arc::new(Partition::new(name, Arc::new(log), Arc::new(TopicConfig::default()), flusher.clone()));
    partition.lead(LeaderEpoch::new(0), 1, 1);
    partition
}

fn append(partition: &Arc<Partition>) -> Appended {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    batch.append(&NewRecord { timestamp: 5, value: Some(b"value"), ..Default::default() }).unwrap();
    let bytes = batch.build().unwrap();
    partition.append_own(RecordBatch::new(&bytes).unwrap().0, 5).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test]
async fn nobody_reads_or_hears_of_a_record_before_its_flush() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, flusher) = (Arc::new(Gate::default()), Arc::new(Flusher::new()));
    let partition = open(dir.path(), 0, &gate, &flusher);
    let first = append(&partition);
    gate.wait_for(1);
    let others: Vec<Appended> = (0..10).map(|_| append(&partition)).collect();
    assert_eq!(partition.log().log_end_offset(), Offset::new(11));
    assert_eq!(partition.log().high_watermark(), Offset::ZERO);
    assert_eq!(partition.readable_bytes(Offset::ZERO, Isolation::ReadUncommitted).unwrap(), 0);
    assert_eq!(first.committed(Instant::now()).await, Err(ErrorCode::RequestTimedOut));
    assert!(tokio::time::timeout(Duration::ZERO, first.flushed()).await.is_err());
    gate.open(dir.path());
    for appended in others.iter().chain([&first]) {
        appended.flushed().await.unwrap();
        appended.committed(soon()).await.unwrap();
    }
    assert_eq!(partition.log().high_watermark(), Offset::new(11));
    assert_eq!(gate.state.lock().unwrap().done, 2, "those that came meanwhile share one flush");
}

#[tokio::test]
async fn a_failed_flush_is_told_to_all_who_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, flusher) = (Arc::new(Gate::default()), Arc::new(Flusher::new()));
    let partition = open(dir.path(), 0, &gate, &flusher);
    let (first, second) = (append(&partition), append(&partition));
    gate.wait_for(1);
    gate.state.lock().unwrap().fails = true;
    gate.open(dir.path());
    assert_eq!(first.flushed().await, Err(ErrorCode::KafkaStorageError));
    assert_eq!(second.committed(soon()).await, Err(ErrorCode::KafkaStorageError));
    assert_eq!(partition.log().high_watermark(), Offset::ZERO, "what may be lost is never read");
}

#[tokio::test]
async fn directories_are_flushed_side_by_side_each_within_its_bound() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (gate, flusher) = (Arc::new(Gate::default()), Arc::new(Flusher::new()));
    let slow: Vec<_> = (0..40).map(|number| append(&open(dirs[0].path(), number, &gate, &flusher))).collect();
    gate.wait_for(THREADS);
    gate.open(dirs[1].path());
    let quick: Vec<_> = (0..40).map(|number| append(&open(dirs[1].path(), number, &gate, &flusher))).collect();
    for appended in &quick {
        appended.flushed().await.unwrap();
    }
    gate.wait_for(THREADS);
    gate.open(dirs[0].path());
    for appended in &slow {
        appended.flushed().await.unwrap();
    }
    let state = gate.state.lock().unwrap();
    assert_eq!(state.done, 80, "each once");
    assert!(state.most_waiting <= 2 * THREADS, "{}", state.most_waiting);
}

#[tokio::test]
async fn what_a_crash_left_in_memory_is_flushed_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, flusher) = (Arc::new(Gate::default()), Arc::new(Flusher::new()));
    let before = open(dir.path(), 0, &gate, &flusher);
    append(&before);
    gate.wait_for(1);
    // As after kill -9: the record is in the file, and nobody knows whether it is on the disk.
    let reopening = tokio::task::spawn_blocking({
        let (path, gate, flusher) = (dir.path().to_owned(), gate.clone(), flusher.clone());
        move || open(&path, 0, &gate, &flusher)
    });
    gate.wait_for(2);
    assert!(!reopening.is_finished(), "what was checked is flushed before anything is done with it");
    gate.open(dir.path());
    let again = reopening.await.unwrap();
    assert_eq!(again.log().log_end_offset(), Offset::new(1));
    again.committed(Offset::new(1), LeaderEpoch::new(0), soon()).await.unwrap();
}
