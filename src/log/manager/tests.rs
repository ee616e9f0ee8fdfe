use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::log::LogConfig;
use crate::log::directory;
use crate::log::{AppendContext, AppendOrigin, ReadLimits};
use crate::record::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use crate::types::{LeaderEpoch, NodeId, Offset};

fn open(path: &Path) -> (LogManager, ManagerReport) {
    if matches!(
        directory::inspect(path).unwrap(),
        directory::DirectoryContent::Missing | directory::DirectoryContent::Empty
    ) {
        directory::format(path, &MetaProperties::new("c", NodeId::new(1)), 0).unwrap();
    }
    let taken = directory::take(&[path.to_owned()], NodeId::new(1), None, 0).unwrap();
    let config = |_: &TopicPartition| Arc::new(LogConfig::default());
    LogManager::open(taken, &ManagerOptions { config: &config, threads: 2, now_ms: 1 }).unwrap()
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
    let (manager, _) = LogManager::open(taken, &ManagerOptions { config: &config, threads: 2, now_ms: 1 }).unwrap();
    let made = |partition: i32, wanted: Option<Uuid>| {
        let name = TopicPartition::new("t", partition);
        let log = manager.get_or_create(&name, ID, wanted, Arc::new(LogConfig::default()), 1).unwrap();
        log.dir().parent().unwrap().to_owned()
    };
    assert_eq!(made(0, Some(ids[1])), paths[1]);
    assert_eq!(made(1, Some(ids[1])), paths[1]);
    assert_eq!(made(2, Some(Uuid::METADATA_TOPIC)), paths[0], "unassigned: where there is the least");
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
    let error = LogManager::open(taken, &ManagerOptions { config: &config, threads: 1, now_ms: 1 }).unwrap_err();
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
