mod bytes;
mod closing;
mod crash;
mod leftovers;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::log::checkpoint;
use crate::log::directory;
use crate::log::fs::test_faults::Switch;
use crate::log::meta_properties::MetaProperties;
use crate::log::{AppendContext, AppendOrigin, ReadLimits};
use crate::log::{Fault, Faults, LogConfig, OpenProgress, Operation};
use crate::record::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use crate::types::{LeaderEpoch, NodeId, Offset};

/// Every partition is of the one topic, wherever it is.
fn owner(_: &TopicPartition) -> Option<Owner> {
    Some(Owner { topic_id: ID, directory: None })
}

fn open(path: &Path) -> (LogManager, ManagerReport) {
    if matches!(
        directory::inspect(path).unwrap(),
        directory::DirectoryContent::Missing | directory::DirectoryContent::Empty
    ) {
        directory::format(path, &MetaProperties::new("c", NodeId::new(1)), 0).unwrap();
    }
    let taken = directory::take(&[path.to_owned()], NodeId::new(1), None, 0).unwrap();
    let config = |_: &TopicPartition| Arc::new(LogConfig::default());
    LogManager::open(
        taken,
        &ManagerOptions { config: &config, owner: &owner, threads: 2, now_ms: 1, progress: &OpenProgress::default() },
    )
    .unwrap()
}

fn append(log: &Log, value: &[u8]) {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    batch.append(&NewRecord { timestamp: 5, value: Some(value), ..Default::default() }).unwrap();
    let bytes = batch.build().unwrap();
    let (batch, _) = RecordBatch::new(&bytes).unwrap();
    let context = AppendContext::new(LeaderEpoch::new(0), AppendOrigin::Client, 5);
    log.append_as_leader(&[batch.into()], &context).unwrap();
}

const ID: Uuid = Uuid([7; 16]);

fn create(manager: &LogManager, topic: &str, id: Uuid) -> Arc<Log> {
    let config = Arc::new(LogConfig { file_delete_delay_ms: 100, ..Default::default() });
    manager.get_or_create(&TopicPartition::new(topic, 0), id, None, config, 1).unwrap()
}

#[test]
fn logs_are_found_again_after_a_clean_stop_and_after_a_kill() {
    let temp = tempfile::tempdir().unwrap();
    for (round, clean) in [true, false, true].into_iter().enumerate() {
        let (manager, report) = open(temp.path());
        assert_eq!(report.logs, usize::from(round > 0));
        assert_eq!(report.unclean.len(), usize::from(round == 2), "the second broker was killed");
        let log = create(&manager, "t", ID);
        assert_eq!(log.log_end_offset().get(), round as i64);
        append(&log, b"value");
        log.advance_high_watermark(log.log_end_offset());
        if clean {
            assert!(manager.close(5).unwrap().is_empty());
        }
    }
    let (manager, report) = open(temp.path());
    assert_eq!((report.logs, report.unclean.len()), (1, 0));
    let log = manager.get(&TopicPartition::new("t", 0)).unwrap();
    assert_eq!(log.high_watermark(), Offset::new(3));
    let limits = ReadLimits { end: Offset::new(3), max_bytes: 1 << 20, at_least_one_batch: true };
    assert!(!log.read(Offset::ZERO, limits).unwrap().bytes.is_empty());
}

#[test]
fn a_log_is_made_in_the_directory_that_is_wanted() {
    let temp = tempfile::tempdir().unwrap();
    let paths = [temp.path().join("a"), temp.path().join("b")];
    let ids = paths.each_ref().map(|path| {
        let properties = MetaProperties::new("c", NodeId::new(1));
        directory::format(path, &properties, 0).unwrap();
        properties.directory_id.unwrap()
    });
    let taken = directory::take(&paths, NodeId::new(1), None, 0).unwrap();
    let config = |_: &TopicPartition| Arc::new(LogConfig::default());
    let (manager, _) = LogManager::open(
        taken,
        &ManagerOptions { config: &config, owner: &owner, threads: 2, now_ms: 1, progress: &OpenProgress::default() },
    )
    .unwrap();
    let made = |partition: i32, wanted: Option<Uuid>| {
        let name = TopicPartition::new("t", partition);
        let log = manager.get_or_create(&name, ID, wanted, Arc::new(LogConfig::default()), 1).unwrap();
        log.dir().parent().unwrap().to_owned()
    };
    assert_eq!(made(0, Some(ids[1])), paths[1]);
    assert_eq!(made(1, Some(ids[1])), paths[1]);
    assert_eq!(made(2, None), paths[0], "where there is the least");
    assert_eq!(made(1, Some(ids[0])), paths[1], "a log stays where it is");
}

#[test]
fn a_log_of_another_topic_is_put_aside() {
    let temp = tempfile::tempdir().unwrap();
    let (manager, _) = open(temp.path());
    append(&create(&manager, "t", ID), b"old");
    let other = create(&manager, "t", Uuid([8; 16]));
    assert_eq!(other.log_end_offset(), Offset::ZERO);
    let stray =
        fs::read_dir(temp.path()).unwrap().any(|e| e.unwrap().file_name().to_string_lossy().ends_with("-stray"));
    assert!(stray, "the old records are kept");
    let aside = manager.put_strays_aside(|_| false).unwrap();
    assert_eq!((aside.len(), manager.partitions().len()), (1, 0));
}

/// What was noted of a deleted log was taken for the next one's of the same name, which then began behind its own end.
#[test]
fn a_log_that_is_made_again_does_not_begin_where_the_last_one_did() {
    let temp = tempfile::tempdir().unwrap();
    let (manager, _) = open(temp.path());
    let log = create(&manager, "t", ID);
    append(&log, b"one");
    append(&log, b"two");
    log.advance_high_watermark(Offset::new(2));
    log.raise_log_start_offset(Offset::new(2)).unwrap();
    manager.checkpoint_log_start_offsets().unwrap();
    manager.delete_async(&TopicPartition::new("t", 0), 1).unwrap();
    append(&create(&manager, "t", ID), b"three");
    drop(manager);
    let (manager, report) = open(temp.path());
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let log = manager.get(&TopicPartition::new("t", 0)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset::ZERO, Offset::new(1)));
}

#[test]
fn deleted_logs_vanish_later() {
    let temp = tempfile::tempdir().unwrap();
    let (manager, _) = open(temp.path());
    let log = create(&manager, "t", ID);
    append(&log, b"x");
    let partition = TopicPartition::new("t", 0);
    manager.delete_async(&partition, 1000).unwrap();
    assert!(manager.get(&partition).is_none());
    let waiting = || fs::read_dir(temp.path()).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count();
    assert!(manager.delete_due(1099).is_empty());
    assert_eq!(waiting(), 1);
    assert!(manager.delete_due(1100).is_empty());
    assert_eq!(waiting(), 0);
}

#[test]
fn a_bad_checkpoint_is_made_anew_unless_it_can_not_be() {
    let temp = tempfile::tempdir().unwrap();
    let (manager, _) = open(temp.path());
    append(&create(&manager, "t", ID), b"x");
    manager.close(1).unwrap();
    drop(manager);
    fs::write(temp.path().join(checkpoint::RECOVERY_POINTS), "garbage").unwrap();
    let (manager, report) = open(temp.path());
    assert_eq!(report.bad_checkpoints.len(), 1);
    assert_eq!(manager.get(&TopicPartition::new("t", 0)).unwrap().log_end_offset(), Offset::new(1));
    manager.close(1).unwrap();
    drop(manager);
    fs::write(temp.path().join(checkpoint::LOG_START_OFFSETS), "garbage").unwrap();
    let taken = directory::take(&[temp.path().to_owned()], NodeId::new(1), None, 0).unwrap();
    let config = |_: &TopicPartition| Arc::new(LogConfig::default());
    let error = LogManager::open(
        taken,
        &ManagerOptions { config: &config, owner: &owner, threads: 1, now_ms: 1, progress: &OpenProgress::default() },
    )
    .unwrap_err();
    assert!(error.to_string().contains("log-start-offset-checkpoint:1"), "{error}");
}

#[test]
fn sizes_are_told() {
    let temp = tempfile::tempdir().unwrap();
    let (manager, _) = open(temp.path());
    append(&create(&manager, "t", ID), b"x");
    let sizes = manager.sizes();
    assert!(sizes[0].total_bytes.unwrap() > 0 && sizes[0].logs[0].bytes > 60);
}

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EROFS: i32 = 30;

/// Two directories on disks that break when told to, and their manager.
struct TwoDisks {
    _temp: tempfile::TempDir,
    paths: [PathBuf; 2],
    ids: [Uuid; 2],
    disk: Arc<Switch>,
}

impl TwoDisks {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| temp.path().join(name));
        let ids = paths.each_ref().map(|path| {
            let properties = MetaProperties::new("c", NodeId::new(1));
            directory::format(path, &properties, 0).unwrap();
            properties.directory_id.unwrap()
        });
        Self { _temp: temp, paths, ids, disk: Arc::new(Switch::default()) }
    }

    fn open(&self) -> (LogManager, ManagerReport) {
        self.open_with(&owner)
    }

    fn open_with(&self, owner: &(dyn Fn(&TopicPartition) -> Option<Owner> + Sync)) -> (LogManager, ManagerReport) {
        let taken = directory::take(&self.paths, NodeId::new(1), None, 0).unwrap().into_iter();
        let faulty = taken.map(|taken| match taken {
            TakenDirectory::Usable(locked, properties) => {
                TakenDirectory::Usable(locked.with_faults(Arc::clone(&self.disk) as Arc<dyn Faults>), properties)
            }
            failed => failed,
        });
        let config = |_: &TopicPartition| Arc::new(LogConfig::default());
        let options =
            ManagerOptions { config: &config, owner, threads: 2, now_ms: 1, progress: &OpenProgress::default() };
        LogManager::open(faulty.collect(), &options).unwrap()
    }

    /// A log in each directory, with a record each.
    fn logs(&self, manager: &LogManager) -> [Arc<Log>; 2] {
        [0, 1].map(|n: usize| {
            let name = TopicPartition::new("t", n as i32);
            let log = manager.get_or_create(&name, ID, Some(self.ids[n]), Arc::new(LogConfig::default()), 1).unwrap();
            append(&log, b"x");
            log
        })
    }

    fn break_second(&self, wanted: impl Fn(Operation) -> bool + Send + 'static, errno: i32) {
        let second = self.paths[1].clone();
        self.disk.set(
            move |operation, path| {
                if path.starts_with(&second) && wanted(operation) { Fault::Fail(errno) } else { Fault::None }
            },
        );
    }
}

fn try_append(log: &Log) -> Result<(), crate::log::AppendError> {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    batch.append(&NewRecord { timestamp: 5, value: Some(b"late"), ..Default::default() }).unwrap();
    let bytes = batch.build().unwrap();
    let (batch, _) = RecordBatch::new(&bytes).unwrap();
    log.append_as_leader(&[batch.into()], &AppendContext::new(LeaderEpoch::new(0), AppendOrigin::Client, 5)).map(drop)
}

/// Goal: one error of the disk ends its directory at once and for good, whatever it is, and the other directory serves on.
#[test]
fn a_failed_disk_takes_its_directory_with_it_and_no_other() {
    type Try = fn(&LogManager, &Log) -> bool;
    type Wanted = Box<dyn Fn(Operation) -> bool + Send>;
    let write: Try = |_, log| try_append(log).is_err();
    let flush: Try = |_, log| log.flush().is_err();
    let is_write = |operation| matches!(operation, Operation::Write(_));
    let is_sync = |operation| operation == Operation::Sync;
    let cases: [(Wanted, i32, Try); 5] = [
        (Box::new(is_write), ENOSPC, write),
        (Box::new(is_write), EIO, write),
        (Box::new(is_write), EROFS, write),
        (Box::new(is_sync), EIO, flush),
        (Box::new(is_sync), ENOSPC, flush),
    ];
    for (number, (wanted, errno, broken)) in cases.into_iter().enumerate() {
        let disks = TwoDisks::new();
        let (manager, _) = disks.open();
        let rung = Arc::new(AtomicBool::new(false));
        let ring = Arc::clone(&rung);
        manager.watch_disks(move || ring.store(true, Ordering::Relaxed));
        let [first, second] = disks.logs(&manager);
        disks.break_second(wanted, errno);
        assert!(broken(&manager, &second), "case {number}");
        assert!(rung.load(Ordering::Relaxed), "case {number}");
        // What was not flushed may never be: that the disk works again changes nothing.
        disks.disk.clear();
        assert!(try_append(&second).is_err(), "case {number}");
        assert!(second.flush().is_err(), "case {number}");
        try_append(&first).unwrap();
        assert_eq!(manager.directory_ids(), [disks.ids[0]]);
        let failures = manager.failures();
        assert_eq!((failures.len(), failures[0].0), (1, Some(disks.ids[1])));
        assert_eq!(failures[0].1.cause.raw_os_error(), Some(errno));
        let name = TopicPartition::new("t", 1);
        assert!(manager.is_offline(&name) && !manager.is_offline(&TopicPartition::new("t", 0)));
        // New partitions go elsewhere; nothing is made in its place where it is named.
        let config = Arc::new(LogConfig::default());
        let new = TopicPartition::new("t", 2);
        let refused = manager.get_or_create(&new, ID, Some(disks.ids[1]), Arc::clone(&config), 1).unwrap_err();
        assert!(matches!(refused, ManagerError::Offline { .. }), "{refused}");
        let made = manager.get_or_create(&new, ID, None, config, 1).unwrap();
        assert!(made.dir().starts_with(&disks.paths[0]));
        // The next start finds all that was acknowledged, and checks what was in the failed directory.
        manager.close(1).unwrap();
        drop(manager);
        let (manager, report) = disks.open();
        assert_eq!(report.unclean, [disks.paths[1].clone()], "case {number}");
        assert_eq!(manager.directory_ids(), disks.ids);
        assert_eq!(manager.get(&name).unwrap().log_end_offset(), Offset::new(1));
        assert_eq!(manager.get(&TopicPartition::new("t", 0)).unwrap().log_end_offset(), Offset::new(2));
    }
}

#[test]
fn a_directory_that_can_not_be_read_is_left_out() {
    let disks = TwoDisks::new();
    let (manager, _) = disks.open();
    disks.logs(&manager);
    manager.close(1).unwrap();
    drop(manager);
    let aside = disks.paths[1].with_extension("aside");
    fs::rename(&disks.paths[1], &aside).unwrap();
    fs::write(&disks.paths[1], "no directory").unwrap();
    let (manager, report) = disks.open();
    assert_eq!((report.logs, manager.directory_ids()), (1, vec![disks.ids[0]]));
    let sizes = manager.sizes();
    assert_eq!([sizes[0].failed, sizes[1].failed], [false, true]);
    assert_eq!((sizes[1].total_bytes, sizes[1].logs.len()), (None, 0));
    manager.close(1).unwrap();
    drop(manager);
    fs::remove_file(&disks.paths[1]).unwrap();
    fs::rename(&aside, &disks.paths[1]).unwrap();
    assert_eq!(disks.open().1.logs, 2);
}

#[test]
fn many_changed_logs_are_closed_as_cleanly_as_a_few() {
    for count in [3, 100] {
        let temp = tempfile::tempdir().unwrap();
        let (manager, _) = open(temp.path());
        for number in 0..count {
            append(&create(&manager, &format!("t{number}"), ID), b"value");
        }
        assert!(manager.close(5).unwrap().is_empty());
        drop(manager);
        let (manager, report) = open(temp.path());
        assert_eq!((report.logs, report.unclean.len(), report.findings.len()), (count, 0, 0));
        for partition in manager.partitions() {
            let log = manager.get(&partition).unwrap();
            assert_eq!((log.log_end_offset(), log.recovery_point()), (Offset::new(1), Offset::new(1)));
        }
    }
}

#[test]
fn only_logs_whose_records_have_waited_long_enough_are_flushed() {
    let temp = tempfile::tempdir().unwrap();
    let (manager, _) = open(temp.path());
    let slow = create(&manager, "slow", ID);
    let config = Arc::new(LogConfig { flush_ms: 1000, ..Default::default() });
    let quick = manager.get_or_create(&TopicPartition::new("quick", 0), ID, None, config, 1).unwrap();
    [&slow, &quick].into_iter().for_each(|log| append(log, b"value"));
    assert!(manager.flush_pass(0, 5 + 999).is_empty());
    assert_eq!((slow.flushed_end(), quick.flushed_end()), (Offset::ZERO, Offset::ZERO));
    assert!(manager.flush_pass(1, 5 + 1000).is_empty(), "another directory's turn");
    assert_eq!(quick.flushed_end(), Offset::ZERO);
    assert!(manager.flush_pass(0, 5 + 1000).is_empty());
    assert_eq!((slow.flushed_end(), quick.flushed_end()), (Offset::ZERO, Offset::new(1)));
}

/// Goal: after a kill, many logs are flushed with one call before they are checked, few of them one by one; a failure of that call
/// is the end of the directory.
#[test]
fn many_logs_are_flushed_at_once_after_a_kill() {
    let disks = TwoDisks::new();
    let (manager, _) = disks.open();
    for n in 0..41 {
        let name = TopicPartition::new("t", n);
        let directory = disks.ids[usize::from(n == 40)];
        let log = manager.get_or_create(&name, ID, Some(directory), Arc::new(LogConfig::default()), 1).unwrap();
        append(&log, b"x");
    }
    drop(manager);
    let flushed: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
    let seen = Arc::clone(&flushed);
    disks.disk.set(move |operation, path| {
        if operation == Operation::Sync {
            lock(&seen).push(path.to_owned());
        }
        Fault::None
    });
    let (manager, _) = disks.open();
    let mut flushed = lock(&flushed).clone();
    flushed.sort();
    let alone = disks.paths[1].join("t-40");
    let log = alone.join("00000000000000000000.log");
    assert_eq!(flushed, [disks.paths[0].clone(), alone, log]);
    assert_eq!(manager.get(&TopicPartition::new("t", 7)).unwrap().flushed_end(), Offset::new(1));
    drop(manager);

    let failing = disks.paths[0].clone();
    disks.disk.set(
        move |operation, path| {
            if operation == Operation::Sync && path == failing { Fault::Fail(EIO) } else { Fault::None }
        },
    );
    let (manager, _) = disks.open();
    assert_eq!(manager.failures().len(), 1);
    assert!(manager.get(&TopicPartition::new("t", 7)).is_none(), "nothing there is believed to be on the disk");
    assert!(manager.get(&TopicPartition::new("t", 40)).is_some());
}
