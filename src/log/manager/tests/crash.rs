//! All logs of a broker over two directories whose disks break, stop or lose their power, against what was promised of them.
//!
//! A run is made from a number, as those of single logs are: `KAFKA_RS_LOG_RUNS` says how many there are, `KAFKA_RS_LOG_SEED` where they
//! begin; a run that fails tells its number.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::log::ReadError;
use crate::log::test_support::records;
use crate::log::tests::crash::disk::{Break, Disk, EIO, ENOSPC};
use crate::log::tests::crash::number;
use crate::log::tests::crash::run::directory;

#[test]
fn any_run_of_a_broker_keeps_what_was_promised() {
    let first = number("KAFKA_RS_LOG_SEED").unwrap_or(1);
    let runs = number("KAFKA_RS_LOG_RUNS").unwrap_or(100);
    eprintln!("seeds from {first} on");
    for seed in (0..runs).map(|at| first.wrapping_add(at)) {
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| run(seed, runs == 1))) {
            eprintln!("run it again with KAFKA_RS_LOG_SEED={seed} KAFKA_RS_LOG_RUNS=1");
            panic::resume_unwind(panic);
        }
    }
}

/// How a broker was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Clean,
    Killed,
    PowerCut,
}

/// What was promised of a partition, and what may be there besides.
#[derive(Debug)]
struct Part {
    topic_id: Uuid,
    directory: usize,
    /// The directory that the metadata names.
    named: usize,
    /// The value at each offset.
    values: Vec<Vec<u8>>,
    /// An append that came to no good end.
    doubtful: Option<Vec<u8>>,
    /// What is below survives a power cut.
    safe: usize,
    /// The log start offset, and what the checkpoint is sure to say of it.
    start: usize,
    noted_start: usize,
    /// Where it has ever begun: a copy may remember what the log has forgotten in a power cut.
    raised_start: usize,
}

struct Run {
    random: fastrand::Rng,
    _root: TempDir,
    paths: Vec<PathBuf>,
    disks: Vec<Arc<Disk>>,
    ids: Vec<Uuid>,
    /// Directories in which something broke since the logs were opened.
    failed: Vec<bool>,
    parts: BTreeMap<TopicPartition, Part>,
    config: Arc<LogConfig>,
    topics: u8,
    now_ms: i64,
    told: bool,
}

fn run(seed: u64, told: bool) {
    let root = directory();
    let mut random = fastrand::Rng::with_seed(seed);
    let paths: Vec<PathBuf> = ["a", "b"].iter().map(|name| root.path().join(name)).collect();
    let mut ids = Vec::new();
    for path in &paths {
        let properties = MetaProperties::new("c", NodeId::new(1));
        directory::format(path, &properties, 0).unwrap();
        ids.push(properties.directory_id.unwrap());
    }
    let disks: Vec<_> = paths.iter().map(|path| Arc::new(Disk::new(path, random.u64(..)))).collect();
    disks.iter().for_each(|disk| disk.flush_all());
    let config = Arc::new(LogConfig {
        segment_bytes: random.choice([300, 2000]).unwrap(),
        flush_messages: random.choice([1, 2, i64::MAX]).unwrap(),
        retention_ms: -1,
        file_delete_delay_ms: random.choice([0, 50]).unwrap(),
        ..LogConfig::default()
    });
    let steps = random.usize(5..50);
    let failed = vec![false; 2];
    let (parts, topics, now_ms) = (BTreeMap::new(), 0, 1);
    let mut run = Run { random, _root: root, paths, disks, ids, failed, parts, config, topics, now_ms, told };
    let mut manager = run.open(Left::Clean);
    for _ in 0..steps {
        run.step(&mut manager);
    }
    let left = run.random.choice([Left::Killed, Left::PowerCut]).unwrap();
    run.reopen(&mut manager, left);
}

impl Run {
    fn tell(&self, what: impl Debug) {
        if self.told {
            eprintln!("{what:?}");
        }
    }

    /// Something may break at one of the next operations.
    fn plan(&mut self, one_in: u8) {
        if self.random.u8(0..one_in) == 0 {
            let what = [Break::Fail(EIO), Break::Fail(ENOSPC), Break::Short, Break::Stop, Break::Stop];
            let (what, disk) = (self.random.choice(what).unwrap(), self.random.usize(0..2));
            if !self.failed[disk] {
                self.disks[disk].plan(self.random.u64(0..15), what);
            }
        }
    }

    /// Whether something has broken, of which the manager must know then.
    fn has_broken(&mut self, manager: Option<&LogManager>) -> bool {
        let mut any = false;
        for (at, disk) in self.disks.iter().enumerate() {
            if disk.calm().broke {
                any = true;
                self.failed[at] = true;
                let is_told =
                    |manager: &LogManager| manager.failures().iter().any(|(_, failure)| failure.dir == self.paths[at]);
                let told = manager.is_none_or(is_told);
                assert!(told, "directory {at} has failed, and nobody was told");
            }
        }
        any
    }

    /// What came of something in these directories, which work if nothing has broken in them.
    fn done<T, E: std::fmt::Display>(
        &mut self,
        manager: &LogManager,
        directories: &[usize],
        result: Result<T, E>,
    ) -> Option<T> {
        let broke = self.has_broken(Some(manager));
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.tell(error.to_string());
                assert!(broke || directories.iter().any(|at| self.failed[*at]), "failed: {error}");
                None
            }
        }
    }

    fn try_open(&self) -> Result<(LogManager, ManagerReport), ManagerError> {
        let faulty = |locked: directory::LockedDirectory| {
            let at = self.paths.iter().position(|path| path == locked.path()).unwrap();
            locked.with_faults(self.disks[at].clone())
        };
        let taken = directory::take_on(&self.paths, NodeId::new(1), None, self.now_ms, faulty)?;
        let config = |_: &TopicPartition| Arc::clone(&self.config);
        let owner = |partition: &TopicPartition| {
            let part = self.parts.get(partition)?;
            Some(Owner { topic_id: part.topic_id, directory: Some(self.ids[part.named]) })
        };
        LogManager::open(
            taken,
            &ManagerOptions {
                config: &config,
                owner: &owner,
                threads: 0,
                now_ms: self.now_ms,
                progress: &OpenProgress::default(),
            },
        )
    }

    /// Opens what was left, however often that takes.
    fn open(&mut self, left: Left) -> LogManager {
        let mut left = left;
        loop {
            self.failed = vec![false; 2];
            self.plan(4);
            let opened = self.try_open();
            let manager = opened.as_ref().ok().map(|(manager, _)| manager);
            // A directory that fails while it is taken is no part of the manager's story, but it is left out.
            let broke = self.has_broken(manager);
            match opened {
                Ok((manager, report)) if !broke => {
                    self.tell((left, &report));
                    assert!(left != Left::Clean || report.unclean.is_empty(), "{:?}", report.unclean);
                    assert!(report.bad_checkpoints.is_empty(), "{:?}", report.bad_checkpoints);
                    let strays = manager.put_strays_aside(|partition| self.parts.contains_key(partition)).unwrap();
                    self.tell(strays);
                    self.check_opened(&manager, left);
                    return manager;
                }
                Ok((manager, _)) => self.check_others(&manager, left),
                Err(error) => assert!(broke, "could not be opened: {error}"),
            }
            if left == Left::Clean {
                left = Left::Killed;
            }
            if self.random.bool() {
                self.tell("power cut while it was opened");
                self.disks.iter().for_each(|disk| disk.cut_power());
                left = Left::PowerCut;
            }
        }
    }

    /// What is there without one of the directories is whole.
    fn check_others(&self, manager: &LogManager, left: Left) {
        for (partition, hosted) in manager.all() {
            let Some(part) = self.parts.get(&partition).filter(|part| hosted.topic_id == Some(part.topic_id)) else {
                continue;
            };
            let promised = if left == Left::PowerCut { part.safe } else { part.values.len() };
            let end = hosted.log.log_end_offset().get() as usize;
            assert!(end >= promised, "without a directory {partition} ends at {end} of {promised}; {left:?}");
        }
    }

    fn check_opened(&mut self, manager: &LogManager, left: Left) {
        let mut holed = Vec::new();
        for (partition, part) in &mut self.parts {
            let log = manager.get(partition).unwrap_or_else(|| panic!("{partition} is gone; {left:?}"));
            part.directory = self.ids.iter().position(|id| Some(*id) == manager.directory_of(partition)).unwrap();
            part.named = part.directory;
            let again = manager.get_or_create(partition, part.topic_id, None, Arc::clone(&self.config), 1).unwrap();
            assert!(Arc::ptr_eq(&log, &again), "{partition} is another topic's");
            let (start, end) = (log.log_start_offset().get() as usize, log.log_end_offset().get() as usize);
            let promised = if left == Left::PowerCut { part.safe } else { part.values.len() };
            // Of a log of which nothing was promised the first segments may be gone, names and all.
            let latest_start =
                if promised <= part.start { part.values.len() } else { 0 }.max(part.start).max(part.raised_start);
            assert!((part.noted_start..=latest_start).contains(&start), "{partition} begins at {start}: {part:?}");
            assert!(end >= promised, "{partition} ends at {end} of {promised}; {left:?}");
            part.values.extend(part.doubtful.take());
            let served = served(&log);
            for (offset, value) in &served {
                assert_eq!(Some(value), part.values.get(*offset as usize), "{partition} at {offset}; {left:?}");
            }
            // Segments below a start that nobody has noted yet may be gone, some of them or all.
            let gone = (start.max(part.start)..promised).find(|offset| !served.contains_key(&(*offset as i64)));
            assert_eq!(gone, None, "{partition}, {promised} promised; {left:?}");
            part.values.truncate(end);
            (part.start, part.safe) = (start, end);
            if served.len() < end - start {
                holed.push(partition.clone());
            }
        }
        assert_eq!(manager.partitions().len(), self.parts.len(), "deleted ones are back: {:?}", manager.partitions());
        // A power cut may leave holes in what was not flushed: these logs have told all they can.
        for partition in holed {
            assert_eq!(left, Left::PowerCut, "{partition} has holes");
            self.delete(manager, &partition);
        }
    }

    fn reopen(&mut self, manager: &mut LogManager, left: Left) {
        self.tell(left);
        self.has_broken(None);
        // Order: the directories are given back before they are taken.
        let nothing = LogManager {
            directories: Vec::new(),
            logs: RwLock::default(),
            removals: Mutex::default(),
            files: Mutex::default(),
            preferred: Mutex::default(),
            names_changed: AtomicBool::default(),
            flush_threads: 1,
        };
        drop(std::mem::replace(manager, nothing));
        if left == Left::PowerCut {
            self.disks.iter().for_each(|disk| disk.cut_power());
        }
        *manager = self.open(left);
    }

    fn step(&mut self, manager: &mut LogManager) {
        self.plan(10);
        self.now_ms += self.random.i64(0..30);
        if self.failed.iter().all(|failed| *failed) {
            let left = self.random.choice([Left::Killed, Left::PowerCut]).unwrap();
            return self.reopen(manager, left);
        }
        let some = self.random.choice(self.parts.keys().cloned().collect::<Vec<_>>());
        match (self.random.u8(0..100), some) {
            (0..10, _) | (_, None) => self.create(manager),
            (10..50, Some(partition)) => self.append(manager, &partition),
            (50..57, Some(partition)) => self.flush(manager, &partition),
            (57..61, Some(partition)) => self.delete(manager, &partition),
            (61..75, Some(partition)) => self.advance_move(manager, &partition),
            (75..82, _) => self.checkpoint(manager),
            (82..86, Some(partition)) => self.raise_start(manager, &partition),
            (86..90, _) => self.pass(manager),
            (90..93, _) => self.close(manager),
            (93..97, _) => self.reopen(manager, Left::Killed),
            _ => self.reopen(manager, Left::PowerCut),
        }
    }

    fn create(&mut self, manager: &LogManager) {
        let partition = TopicPartition::new("t", self.random.i32(0..4));
        if self.parts.contains_key(&partition) {
            return;
        }
        self.topics += 1;
        let (topic_id, directory) = (Uuid([self.topics; 16]), self.random.usize(0..2));
        self.tell((&partition, "created in", directory));
        let wanted = Some(self.ids[directory]);
        let made = manager.get_or_create(&partition, topic_id, wanted, Arc::clone(&self.config), self.now_ms);
        let made = made.and_then(|_| manager.sync_directories());
        if self.done(manager, &[0, 1], made).is_some() && !self.failed[directory] {
            let (values, doubtful) = (Vec::new(), None);
            let part = Part {
                topic_id,
                directory,
                named: directory,
                values,
                doubtful,
                safe: 0,
                start: 0,
                noted_start: 0,
                raised_start: 0,
            };
            self.parts.insert(partition, part);
        } else {
            // The topic was not made, so nobody knows of the partition.
            manager.forget(&partition);
        }
    }

    fn append(&mut self, manager: &LogManager, partition: &TopicPartition) {
        let Some(log) = manager.get(partition) else { return };
        let part = &self.parts[partition];
        let (directory, offset) = (part.directory, part.values.len());
        let mut value = format!("{partition} {} {offset} ", part.topic_id).into_bytes();
        value.resize(value.len() + self.random.usize(0..200), b'x');
        self.tell((partition, "appended", offset));
        let appended = try_append(&log, &value);
        if appended.is_ok() {
            log.advance_high_watermark(log.log_end_offset());
        }
        let flush_is_due = self.done(manager, &[directory], appended);
        let part = self.parts.get_mut(partition).unwrap();
        match flush_is_due {
            Some(_) => part.values.push(value),
            None => part.doubtful = part.doubtful.take().or(Some(value)),
        }
        if flush_is_due == Some(true) {
            self.flush(manager, partition);
        }
    }

    fn flush(&mut self, manager: &LogManager, partition: &TopicPartition) {
        let Some(log) = manager.get(partition) else { return };
        self.tell((partition, "flushed"));
        let directory = self.parts[partition].directory;
        if let Some(end) = self.done(manager, &[directory], log.flush()) {
            let part = self.parts.get_mut(partition).unwrap();
            assert_eq!(end.get() as usize, part.values.len());
            part.safe = part.values.len();
            log.advance_high_watermark(end);
        }
    }

    fn delete(&mut self, manager: &LogManager, partition: &TopicPartition) {
        self.tell((partition, "deleted"));
        let deleted = manager.delete_async(partition, self.now_ms);
        if self.done(manager, &[0, 1], deleted).is_none() {
            manager.forget(partition);
        }
        self.parts.remove(partition);
    }

    /// Begins a move, goes on with it, gives it up or ends it.
    fn advance_move(&mut self, manager: &LogManager, partition: &TopicPartition) {
        let part = &self.parts[partition];
        let target = 1 - part.directory;
        let under_way = manager.moves().into_iter().find(|moved| moved.partition == *partition);
        let Some(moved) = under_way else {
            self.tell((partition, "moves to", target));
            let begun = manager.begin_move(partition, &self.paths[target], self.now_ms);
            self.done(manager, &[0, 1], begun);
            return;
        };
        match self.random.u8(0..6) {
            0..3 => {
                let copied = moved.copy_some(self.now_ms);
                self.done(manager, &[0, 1], copied);
            }
            3 => {
                self.tell((partition, "does not move"));
                manager.cancel_move(&moved, self.now_ms);
                self.has_broken(Some(manager));
            }
            _ => {
                self.tell((partition, "has moved to", target));
                // Order: the metadata names the new directory first.
                self.parts.get_mut(partition).unwrap().named = target;
                let finished = manager.finish_move(&moved, self.now_ms);
                let finished = self.done(manager, &[0, 1], finished);
                let part = self.parts.get_mut(partition).unwrap();
                if finished == Some(Some(())) {
                    part.safe = part.values.len();
                }
                part.directory = self.ids.iter().position(|id| Some(*id) == manager.directory_of(partition)).unwrap();
            }
        }
    }

    fn checkpoint(&mut self, manager: &LogManager) {
        self.tell("checkpoints");
        let points = manager.checkpoint_recovery_points();
        self.done(manager, &[0, 1], points);
        let marks = manager.checkpoint_high_watermarks();
        self.done(manager, &[0, 1], marks);
        let starts = manager.checkpoint_log_start_offsets();
        if self.done(manager, &[0, 1], starts).is_some() {
            for part in self.parts.values_mut().filter(|part| !self.failed[part.directory]) {
                part.noted_start = part.start;
            }
        }
    }

    fn raise_start(&mut self, manager: &LogManager, partition: &TopicPartition) {
        let Some(log) = manager.get(partition) else { return };
        let to = self.random.i64(log.log_start_offset().get()..=log.high_watermark().get());
        self.tell((partition, "begins at", to));
        let directory = self.parts[partition].directory;
        let part = self.parts.get_mut(partition).unwrap();
        part.raised_start = part.raised_start.max(to as usize);
        let raised = log.raise_log_start_offset(Offset::new(to));
        if self.done(manager, &[directory], raised).is_some() {
            self.parts.get_mut(partition).unwrap().start = to as usize;
        }
    }

    fn pass(&mut self, manager: &LogManager) {
        self.tell("passes");
        let mut errors: Vec<String> = Vec::new();
        let logs =
            [manager.close_idle_files(), manager.retention_pass(self.now_ms), manager.flush_pass(0, self.now_ms)];
        errors.extend(logs.into_iter().flatten().map(|(_, error)| error.to_string()));
        errors.extend(manager.delete_due(self.now_ms).iter().map(ToString::to_string));
        let result = errors.into_iter().next().map_or(Ok(()), Err);
        self.done(manager, &[0, 1], result);
    }

    fn close(&mut self, manager: &mut LogManager) {
        self.tell("closed");
        let closed = manager.close(7);
        let closed = self.done(manager, &[0, 1], closed);
        if !self.failed.contains(&true) {
            assert!(closed.is_some_and(|failed| failed.is_empty()));
            for part in self.parts.values_mut() {
                (part.safe, part.noted_start) = (part.values.len(), part.start);
            }
            if self.random.bool() {
                self.tell("power cut");
                self.disks.iter().for_each(|disk| disk.cut_power());
            }
            return self.reopen(manager, Left::Clean);
        }
        let left = self.random.choice([Left::Killed, Left::PowerCut]).unwrap();
        self.reopen(manager, left);
    }
}

/// Whether it is to be flushed before anybody is told.
fn try_append(log: &Log, value: &[u8]) -> Result<bool, crate::log::AppendError> {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    batch.append(&NewRecord { timestamp: 5, value: Some(value), ..Default::default() }).unwrap();
    let bytes = batch.build().unwrap();
    let (batch, _) = RecordBatch::new(&bytes).unwrap();
    let context = AppendContext::new(LeaderEpoch::new(0), AppendOrigin::Client, 5);
    Ok(log.append_as_leader(&[batch.into()], &context)?.flush_is_due)
}

/// The values of a log that can be read, of which there is one at each offset.
pub(super) fn served(log: &Log) -> BTreeMap<i64, Vec<u8>> {
    let (mut next, end) = (log.log_start_offset(), log.log_end_offset());
    let mut values = BTreeMap::new();
    while next < end {
        match log.read(next, ReadLimits { end, max_bytes: 1 << 20, at_least_one_batch: true }) {
            Ok(read) if read.bytes.is_empty() => break,
            Ok(read) => {
                values.extend(records(&read.bytes).into_iter().filter(|(offset, _)| *offset >= next.get()));
                next = read.next_offset;
            }
            Err(ReadError::Corrupt { .. }) => next = next.plus(1),
            Err(error) => panic!("reading at {next}: {error}"),
        }
    }
    values
}
