//! Power cuts: of what was not flushed some is lost, and what was promised is there all the same.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use crate::log::test_support::*;
use crate::log::{AbortedTransaction, Fault, Faults, FindingKind, Fs, Log, LogConfig, LogOptions, Operation};
use crate::types::Offset;

/// What a disk is sure to hold after a power cut: content by inode, names by the directory's last flush.
#[derive(Default)]
struct Durable {
    content: HashMap<u64, Vec<u8>>,
    names: BTreeMap<String, u64>,
    /// Operations until the power is cut.
    left: u64,
    /// What the log had promised when it was cut, and the files there were.
    cut: Option<(Promise, BTreeMap<String, Vec<u8>>)>,
    promise: Promise,
    random: fastrand::Rng,
}

#[derive(Debug, Default, Clone, Copy)]
struct Promise {
    high_watermark: i64,
    recovery_point: i64,
}

struct Disk {
    dir: PathBuf,
    durable: Mutex<Durable>,
}

fn names_in(dir: &Path) -> BTreeMap<String, u64> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeMap::new() };
    let entries = entries.map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().ino())).collect()
}

impl Durable {
    /// What may be left of a file: what was flushed, and of the rest anything.
    fn remains(&mut self, path: &Path, inode: u64) -> Vec<u8> {
        let flushed = self.content.get(&inode).cloned().unwrap_or_default();
        let current = fs::read(path).unwrap_or_default();
        match self.random.u8(0..4) {
            0 => flushed,
            1 => current,
            2 => {
                // The size came through, the pages did not.
                let mut zeros = flushed;
                zeros.resize(zeros.len().max(current.len()), 0);
                zeros
            }
            _ => {
                let end = self.random.usize(flushed.len().min(current.len())..=current.len());
                current[..end].to_vec()
            }
        }
    }

    fn cut(&mut self, dir: &Path) {
        let now = names_in(dir);
        let mut left = BTreeMap::new();
        for (name, inode) in now {
            if self.names.contains_key(&name) || self.random.bool() {
                let remains = self.remains(&dir.join(&name), inode);
                left.insert(name, remains);
            }
        }
        self.cut = Some((self.promise, left));
    }
}

impl Faults for Disk {
    fn before(&self, operation: Operation, path: &Path) -> Fault {
        let mut durable = self.durable.lock().unwrap();
        if matches!(operation, Operation::Read(_)) || durable.cut.is_some() {
            return Fault::None;
        }
        durable.left -= 1;
        if durable.left == 0 {
            durable.cut(&self.dir);
        } else if operation == Operation::Sync && path == self.dir {
            durable.names = names_in(path);
        } else if operation == Operation::Sync {
            let inode = fs::metadata(path).unwrap().ino();
            durable.content.insert(inode, fs::read(path).unwrap());
        }
        Fault::None
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append { records: usize, bytes: usize },
    Abort,
    FlushIfDue,
    FlushCompleted,
    Checkpoint,
    CloseIdle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..4_usize, 0..150_usize).prop_map(|(records, bytes)| Step::Append { records, bytes }),
        2 => Just(Step::Abort),
        4 => Just(Step::FlushIfDue),
        2 => Just(Step::FlushCompleted),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::CloseIdle),
    ]
}

/// Runs the steps until the power is cut; returns all records ever appended, and the aborted transactions.
fn run(log: &Log, disk: &Disk, steps: &[Step]) -> (BTreeMap<i64, Vec<u8>>, Vec<AbortedTransaction>) {
    let mut records = BTreeMap::new();
    for (step, number) in steps.iter().cycle().zip(0..) {
        match step {
            Step::Append { records, bytes } => {
                append(log, &batch(NOW + number, &vec![&vec![7; *bytes][..]; *records])).map(drop).unwrap();
            }
            Step::Abort => {
                append(log, &transactional(number, 0, 0)).unwrap();
                let context =
                    crate::log::AppendContext { origin: crate::log::AppendOrigin::Coordinator, ..context(0, NOW) };
                append_in(log, &marker(number, 0, false, 0), &context).unwrap();
            }
            Step::FlushIfDue if log.commit_waits_for_flush() => drop(log.flush_up_to(log.log_end_offset()).unwrap()),
            Step::FlushIfDue => {}
            Step::FlushCompleted => drop(log.flush_completed_segments().unwrap()),
            Step::Checkpoint => {
                disk.durable.lock().unwrap().promise.recovery_point = log.recovery_point().0;
            }
            Step::CloseIdle => drop(log.close_idle_files().unwrap()),
        }
        log.advance_high_watermark(log.log_end_offset());
        let from = records.last_key_value().map_or(0, |(offset, _)| offset + 1);
        records.extend(read_all(log, from, 4000));
        let mut durable = disk.durable.lock().unwrap();
        if durable.cut.is_some() {
            break;
        }
        durable.promise.high_watermark = log.high_watermark().0;
    }
    let aborted = log.aborted_transactions(Offset(0)..log.log_end_offset()).unwrap();
    (records, aborted)
}

fn cut_and_recover(steps: &[Step], flush_messages: i64, operations: u64, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { flush_messages, segment_bytes: 600, index_interval_bytes: 1, ..LogConfig::default() };
    let durable = Durable { left: operations, random: fastrand::Rng::with_seed(seed), ..Durable::default() };
    let disk = Arc::new(Disk { dir: dir.path().join("topic-0"), durable: Mutex::new(durable) });
    let fs = Fs::with_faults(disk.clone());
    let (log, _) = Log::open(LogOptions { fs, ..options(dir.path(), &config) }).unwrap();
    let (records, aborted) = run(&log, &disk, steps);
    drop(log);

    let (promise, files) = disk.durable.lock().unwrap().cut.take().unwrap();
    let after = tempfile::tempdir().unwrap();
    fs::create_dir(after.path().join("topic-0")).unwrap();
    for (name, content) in files {
        fs::write(after.path().join("topic-0").join(name), content).unwrap();
    }
    let recovery_point = Some(Offset(promise.recovery_point));
    let (log, report) = Log::open(LogOptions { recovery_point, ..options(after.path(), &config) }).unwrap();
    let shorter = |kind: &FindingKind| matches!(kind, FindingKind::ShorterThanKnown { .. });
    assert!(!report.findings.iter().any(|finding| shorter(&finding.kind)), "{promise:?} {report:?}");

    // One by one, each found by the indexes: of what was not committed anything may be gone.
    let read_one = |offset: &i64| records_of(&read(&log, *offset, 1).ok()?.bytes, *offset);
    let found: BTreeMap<i64, Vec<u8>> = records.keys().filter_map(read_one).collect();
    assert!(found.iter().all(|(offset, value)| records.get(offset) == Some(value)), "something that was never written");
    let safe = promise.high_watermark - (flush_messages - 1);
    let missing: Vec<i64> = (0..safe).filter(|offset| !found.contains_key(offset)).collect();
    assert!(missing.is_empty(), "{missing:?} were committed, {promise:?} {report:?}");
    let told = log.aborted_transactions(Offset(0)..log.log_end_offset()).unwrap();
    let expected: Vec<_> = aborted.into_iter().filter(|aborted| aborted.last_offset.0 < safe).collect();
    assert!(expected.iter().all(|aborted| told.iter().any(|t| t.last_offset == aborted.last_offset)), "{told:?}");
}

fn records_of(bytes: &bytes::Bytes, offset: i64) -> Option<(i64, Vec<u8>)> {
    records(bytes).into_iter().find(|(found, _)| *found == offset)
}

/// Few cases in every run; as many as one likes with `PROPTEST_CASES`.
fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(100), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    /// What was committed is there, but for what `flush.messages` lets the system keep in memory.
    #[test]
    fn what_was_committed_survives_a_power_cut(
        steps in proptest::collection::vec(step(), 3..30),
        flush_messages in 1..4_i64,
        operations in 1..400_u64,
        seed: u64,
    ) {
        // Without an append no operation comes.
        let steps = [&[Step::Append { records: 1, bytes: 10 }], &steps[..]].concat();
        cut_and_recover(&steps, flush_messages, operations, seed);
    }
}
