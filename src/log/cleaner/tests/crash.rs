//! Random logs, cleaned and broken off at random moments, against what was written.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::log::fs::test_faults::Switch;
use crate::log::{CloseMode, Fault, LogOptions, Operation, ReadLimits, Shutdown};
use crate::record::{Attributes, Codec, Compression, EndMarker, RecordBatch, batches};
use crate::types::ProducerId;

const EIO: i32 = 5;
const PRODUCERS: usize = 3;
/// Transactional producers have ids from here on.
const TRANSACTIONAL: i64 = 100;

type Records = Vec<(u8, Option<u8>)>;

#[derive(Debug, Clone)]
enum Step {
    Put {
        records: Records,
        codec: usize,
    },
    PutNumbered {
        producer: usize,
        records: Records,
        codec: usize,
    },
    PutInTransaction {
        producer: usize,
        records: Records,
        codec: usize,
    },
    End {
        producer: usize,
        commits: bool,
    },
    Roll,
    Later {
        ms: i64,
    },
    Clean {
        keys: usize,
    },
    /// A cleaning whose disk is gone at this operation; then the log is opened again.
    Crash {
        keys: usize,
        operation: usize,
        written: usize,
    },
    Reopen,
    ReopenWithoutSnapshots,
}

fn records() -> impl Strategy<Value = Records> {
    proptest::collection::vec((0..7_u8, proptest::option::weighted(0.8, 0..100_u8)), 1..5)
}

fn step() -> impl Strategy<Value = Step> {
    let codec = 0..Codec::ALL.len();
    let producer = 0..PRODUCERS;
    prop_oneof![
        4 => (records(), codec.clone()).prop_map(|(records, codec)| Step::Put { records, codec }),
        3 => (producer.clone(), records(), codec.clone())
            .prop_map(|(producer, records, codec)| Step::PutNumbered { producer, records, codec }),
        5 => (producer.clone(), records(), codec)
            .prop_map(|(producer, records, codec)| Step::PutInTransaction { producer, records, codec }),
        4 => (producer, any::<bool>()).prop_map(|(producer, commits)| Step::End { producer, commits }),
        3 => Just(Step::Roll),
        2 => (0..2000_i64).prop_map(|ms| Step::Later { ms }),
        4 => prop_oneof![Just(1), Just(3), Just(1000)].prop_map(|keys| Step::Clean { keys }),
        2 => (prop_oneof![Just(3), Just(1000)], 0..120_usize, 0..80_usize)
            .prop_map(|(keys, operation, written)| Step::Crash { keys, operation, written }),
        1 => Just(Step::Reopen),
        1 => Just(Step::ReopenWithoutSnapshots),
    ]
}

/// A record as it was written, by its offset.
struct Written {
    key: String,
    value: Option<String>,
    transaction: Option<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

struct World {
    dir: PathBuf,
    disk: Arc<Switch>,
    log: Log,
    now_ms: i64,
    /// Where the next cleaning begins.
    clean_to: i64,
    written: BTreeMap<i64, Written>,
    transactions: Vec<Fate>,
    /// The open transaction of each producer.
    open: [Option<usize>; PRODUCERS],
    sequences: [i32; 2 * PRODUCERS],
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 600, index_interval_bytes: 100, delete_retention_ms: 1000, ..compacted() }
}

fn faulty(dir: &Path, disk: &Arc<Switch>) -> LogOptions {
    LogOptions { fs: Fs::with_faults(disk.clone()), ..crate::log::test_support::options(dir, &config()) }
}

impl World {
    fn new(dir: &Path) -> Self {
        let disk = Arc::new(Switch::default());
        let log = Log::open(faulty(dir, &disk)).unwrap().0;
        Self {
            dir: dir.to_owned(),
            disk,
            log,
            now_ms: NOW,
            clean_to: 0,
            written: BTreeMap::new(),
            transactions: Vec::new(),
            open: [None; PRODUCERS],
            sequences: [0; 2 * PRODUCERS],
        }
    }

    fn put(&mut self, options: BatchOptions, records: &Records, codec: usize, transaction: Option<usize>) {
        let first = self.log.log_end_offset().0;
        let mut builder =
            BatchBuilder::new(BatchOptions { compression: Compression::new(Codec::ALL[codec]), ..options });
        for ((key, value), offset) in records.iter().zip(first..) {
            let (key, value) = (format!("k{key}"), value.map(|value| format!("v{value}")));
            let value_bytes = value.as_deref().map(str::as_bytes);
            let new = NewRecord { timestamp: self.now_ms, key: Some(key.as_bytes()), value: value_bytes, headers: &[] };
            builder.append(&new).unwrap();
            self.written.insert(offset, Written { key, value, transaction });
        }
        let context = AppendContext::new(LeaderEpoch(0), AppendOrigin::Client, self.now_ms);
        append_in(&self.log, &builder.build().unwrap(), &context).unwrap();
        commit(&self.log);
    }

    fn numbered(&mut self, number: usize, count: usize) -> BatchOptions {
        let base_sequence = self.sequences[number];
        self.sequences[number] += count as i32;
        let producer_id = match number.checked_sub(PRODUCERS) {
            Some(transactional) => ProducerId(TRANSACTIONAL + transactional as i64),
            None => ProducerId(number as i64),
        };
        BatchOptions { producer_id, producer_epoch: 0, base_sequence, ..BatchOptions::default() }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Put { records, codec } => self.put(BatchOptions::default(), records, *codec, None),
            Step::PutNumbered { producer, records, codec } => {
                let options = self.numbered(*producer, records.len());
                self.put(options, records, *codec, None);
            }
            Step::PutInTransaction { producer, records, codec } => {
                let options = self.numbered(PRODUCERS + producer, records.len());
                let transaction = *self.open[*producer].get_or_insert_with(|| {
                    self.transactions.push(Fate::Open);
                    self.transactions.len() - 1
                });
                self.put(BatchOptions { transactional: true, ..options }, records, *codec, Some(transaction));
            }
            Step::End { producer, commits } => {
                if let Some(transaction) = self.open[*producer].take() {
                    self.transactions[transaction] = if *commits { Fate::Committed } else { Fate::Aborted };
                    end_transaction(&self.log, TRANSACTIONAL + *producer as i64, 0, *commits);
                }
            }
            Step::Roll => {
                let config = self.log.config();
                self.log.set_config(LogConfig { segment_ms: i64::MIN, ..(*config).clone() }.into());
                self.put(BatchOptions::default(), &vec![(0, Some(0))], 0, None);
                self.log.set_config(config);
            }
            Step::Later { ms } => self.now_ms += ms,
            Step::Clean { keys } => self.clean(*keys).unwrap(),
            Step::Crash { keys, operation, written } => drop(self.crash(*keys, *operation, *written)),
            Step::Reopen => {
                self.log.close(CloseMode::Sync).unwrap();
                self.reopen(Shutdown::Clean);
            }
            Step::ReopenWithoutSnapshots => {
                let before = self.producers();
                self.log.close(CloseMode::Sync).unwrap();
                for name in names(&self.log.dir(), ".snapshot") {
                    std::fs::remove_file(self.log.dir().join(name)).unwrap();
                }
                self.reopen(Shutdown::Unclean);
                assert_eq!(self.producers(), before, "found again in what is left of the log");
            }
        }
    }

    /// Producers with their epoch, last sequence number, and whether a transaction is open.
    fn producers(&self) -> Vec<(i64, i16, i32, bool)> {
        let known = self.log.active_producers().unwrap();
        let mut found: Vec<_> = known
            .iter()
            .map(|one| (one.producer_id.0, one.epoch, one.last_sequence(), one.txn_first_offset.is_some()))
            .collect();
        found.sort();
        found
    }

    fn clean(&mut self, keys: usize) -> Result<(), CleanError> {
        let (offsets, producers) = (self.log.offsets(), self.producers());
        let options = CleanOptions { dedupe_buffer_bytes: keys * 24, io_buffer_bytes: 0, ..options(self.now_ms) };
        let cleaned = try_clean(&self.log, self.clean_to, &options);
        let end = cleaned.result?.0;
        assert!(end >= self.clean_to && end <= offsets.last_stable_offset.0.max(self.clean_to));
        self.clean_to = end;
        assert_eq!((self.log.offsets(), self.producers()), (offsets, producers));
        Ok(())
    }

    /// Returns whether the disk was gone before the cleaning was done.
    fn crash(&mut self, keys: usize, operation: usize, written: usize) -> bool {
        let mut left = operation;
        self.disk.set(move |kind, _| match (left, kind) {
            (0, _) => Fault::Fail(EIO),
            (1, Operation::Write(_)) => {
                left = 0;
                Fault::Short(written)
            }
            _ => {
                left -= 1;
                Fault::None
            }
        });
        let options = CleanOptions { dedupe_buffer_bytes: keys * 24, io_buffer_bytes: 0, ..options(self.now_ms) };
        let producers = self.producers();
        let was_gone = match self.log.cleanable(Some(Offset(self.clean_to)), self.now_ms) {
            Ok(cleanable) => self.log.clean(&cleanable, &options, &mut |_| ControlFlow::Continue(())).result.is_err(),
            Err(_) => true,
        };
        self.disk.clear();
        // The checkpoint is not moved: what was cleaned is cleaned again.
        self.reopen(Shutdown::Unclean);
        assert_eq!(self.producers(), producers);
        let (dir, endings) = (self.log.dir(), [".cleaned", ".swap", ".deleted"]);
        assert_eq!(endings.map(|ending| names(&dir, ending).len()), [0; 3]);
        was_gone
    }

    fn reopen(&mut self, shutdown: Shutdown) {
        let end = self.log.log_end_offset();
        let options = LogOptions {
            shutdown,
            now_ms: self.now_ms,
            recovery_point: Some(self.log.recovery_point()),
            high_watermark: Some(end),
            ..faulty(&self.dir, &self.disk)
        };
        self.log = Log::open(options).unwrap().0;
        assert_eq!(self.log.log_end_offset(), end);
    }

    fn is(&self, record: &Written, fate: Fate) -> bool {
        record.transaction.map_or(fate == Fate::Committed, |transaction| self.transactions[transaction] == fate)
    }

    fn check(&self) {
        let stable = self.log.last_stable_offset().0;
        let mut expected = BTreeMap::new();
        for (offset, record) in self.written.range(..stable).filter(|(_, record)| self.is(record, Fate::Committed)) {
            expected.insert(record.key.clone(), (*offset, record.value.clone()));
        }
        let mut found = BTreeMap::new();
        for (offset, key, value) in committed(&self.log) {
            let written = &self.written[&offset];
            assert_eq!((&written.key, &written.value), (&key, &value), "at {offset}");
            assert!(self.is(written, Fate::Committed), "rolled back, at {offset}");
            found.insert(key, (offset, value));
        }
        // A tombstone may be gone, and then nothing older comes out again.
        for map in [&mut expected, &mut found] {
            map.retain(|_, (_, value)| value.is_some());
        }
        assert_eq!(found, expected);
        // Nothing of what can't be cleaned yet is lost.
        let all: HashSet<i64> = kept(&self.log).into_iter().map(|(offset, ..)| offset).collect();
        let missing: Vec<i64> =
            self.written.range(stable..).map(|(offset, _)| *offset).filter(|o| !all.contains(o)).collect();
        assert_eq!(missing, [0; 0]);
    }
}

/// What a reader of committed data makes of the log.
fn committed(log: &Log) -> Vec<(i64, String, Option<String>)> {
    let limits = ReadLimits { end: log.last_stable_offset(), max_bytes: 300, at_least_one_batch: true };
    let (mut found, mut next) = (Vec::new(), log.log_start_offset());
    while next < limits.end {
        let (read, mut aborted) = log.read_committed(next, limits).unwrap();
        if read.bytes.is_empty() {
            break;
        }
        aborted.sort_by_key(|one| one.first_offset);
        let mut aborted = aborted.into_iter().peekable();
        let mut hidden = HashSet::new();
        for batch in batches(&read.bytes) {
            let batch = batch.unwrap();
            let header = batch.header();
            while let Some(one) = aborted.next_if(|one| one.first_offset <= header.last_offset()) {
                hidden.insert(one.producer_id);
            }
            if header.attributes.is_control() {
                if EndMarker::of(&batch).is_some_and(|marker| !marker.commit) {
                    hidden.remove(&header.producer_id);
                }
                continue;
            }
            if is_hidden(header.attributes, header.producer_id, &hidden) {
                continue;
            }
            found.extend(texts(&batch).into_iter().filter(|(offset, ..)| *offset >= next.0));
        }
        next = read.next_offset;
    }
    found
}

fn is_hidden(attributes: Attributes, producer_id: ProducerId, hidden: &HashSet<ProducerId>) -> bool {
    attributes.is_transactional() && hidden.contains(&producer_id)
}

fn texts(batch: &RecordBatch<'_>) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut scratch = Vec::new();
    let records = batch.records(&mut scratch, 1 << 20).unwrap().map(Result::unwrap);
    records.map(|record| (record.offset.0, text(record.key.unwrap()), record.value.map(text))).collect()
}

/// Goal: a crash at any step of a cleaning leaves a log that is right. Method: the disk is gone at the first operation, at
/// the second, and so on until the cleaning comes to its end.
#[test]
fn a_crash_at_every_step_leaves_the_log_right() {
    let dir = tempfile::tempdir().unwrap();
    for operation in 0.. {
        let dir = dir.path().join(format!("{operation}"));
        let mut world = World::new(&dir);
        let some = |key: u8, value: u8| vec![(key, Some(value)), (key + 1, None)];
        for round in 0..2_u8 {
            for step in [
                Step::Put { records: some(1, round), codec: 0 },
                Step::PutInTransaction { producer: 0, records: some(2, round), codec: 1 },
                Step::PutNumbered { producer: 1, records: some(3, round), codec: 2 },
                Step::PutInTransaction { producer: 1, records: some(4, round), codec: 3 },
                Step::End { producer: 0, commits: round % 2 == 0 },
                Step::End { producer: 1, commits: false },
                Step::Roll,
            ] {
                world.run(&step);
            }
        }
        let was_gone = world.crash(1000, operation, 40);
        world.check();
        world.run(&Step::Later { ms: 5000 });
        world.clean(1000).unwrap();
        world.check();
        if !was_gone {
            assert!(operation > 50, "a cleaning is more than {operation} operations");
            return;
        }
    }
}

/// Few cases in every run; as many as one likes with `PROPTEST_CASES`.
fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(60), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_newest_committed_value_of_each_key_survives(steps in proptest::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(dir.path());
        for step in &steps {
            world.run(step);
            world.check();
        }
    }
}
