//! What a start finds where something failed in one of two directories.

use super::crash::served;
use super::*;

/// Goal: what is left of a log that could not be made does not keep the broker from starting once the partition was made elsewhere,
/// whether it is known whose it was or not; of two that are empty the one stays that the metadata names; nothing with records goes.
#[test]
fn logs_that_could_not_be_made_are_in_nobodys_way() {
    let name = TopicPartition::new("t", 0);
    let config = Arc::new(LogConfig::default());
    for (has_records, has_id) in [(true, true), (true, false), (false, true), (false, false)] {
        let disks = TwoDisks::new();
        let (manager, _) = disks.open();
        // It fails at the first file, or at the log itself.
        let second = disks.paths[1].clone();
        disks.disk.set(move |operation, path| {
            let is_file = path.starts_with(&second) && path.file_name().is_some_and(|name| name != "t-0");
            let is_it = is_file && operation == Operation::Open;
            let is_log = path.extension().is_some_and(|extension| extension == "log");
            if is_it && (is_log || !has_id) { Fault::Fail(EIO) } else { Fault::None }
        });
        manager.get_or_create(&name, ID, Some(disks.ids[1]), Arc::clone(&config), 1).unwrap_err();
        let left = disks.paths[1].join("t-0");
        assert!(left.is_dir());
        assert_eq!(left.join(partition_metadata::FILE_NAME).exists(), has_id);
        let log = manager.get_or_create(&name, ID, Some(disks.ids[0]), Arc::clone(&config), 1).unwrap();
        if has_records {
            append(&log, b"kept");
        }
        drop(log);
        drop(manager);
        disks.disk.clear();
        let named = disks.ids[usize::from(has_records)];
        let (manager, report) = disks.open_with(&|_| Some(Owner { topic_id: ID, directory: Some(named) }));
        assert_eq!(report.strays, Vec::<PathBuf>::new());
        let log = manager.get(&name).unwrap();
        assert_eq!(log.log_end_offset(), Offset::new(i64::from(has_records)));
        assert_eq!(manager.directory_of(&name), Some(disks.ids[0]), "records {has_records}, id {has_id}");
        assert!(manager.delete_due(1).is_empty());
        let names = disks.paths.iter().flat_map(|path| fs::read_dir(path).unwrap());
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.starts_with("t-0")).count(), 1);
    }
}

/// Goal: a topic that was deleted while one of its directories was away, then made and deleted again, keeps no broker from starting: both
/// logs are put aside, with what is in them.
#[test]
fn two_logs_that_are_nobodys_are_put_aside() {
    let disks = TwoDisks::new();
    let name = TopicPartition::new("t", 0);
    let (manager, _) = disks.open();
    let first = manager.get_or_create(&name, ID, Some(disks.ids[0]), Arc::new(LogConfig::default()), 1).unwrap();
    append(&first, b"first");
    drop((first, manager));
    let aside = disks.paths[0].with_extension("aside");
    fs::rename(disks.paths[0].join("t-0"), &aside).unwrap();
    let (manager, _) = disks.open();
    let other = Uuid([9; 16]);
    let second = manager.get_or_create(&name, other, Some(disks.ids[1]), Arc::new(LogConfig::default()), 1).unwrap();
    append(&second, b"second");
    drop((second, manager));
    fs::rename(&aside, disks.paths[0].join("t-0")).unwrap();

    let (manager, report) = disks.open_with(&|_| None);
    assert_eq!(manager.partitions().len(), 0);
    assert_eq!(report.strays.len(), 2, "{:?}", report.strays);
    for stray in &report.strays {
        assert!(fs::metadata(stray.join("00000000000000000000.log")).unwrap().len() > 0);
    }
}

/// Goal: the copy of a log is not taken for it while the log may be in a directory that is away, even where the metadata names the
/// copy's directory already: the move may not have come to its end.
#[test]
fn a_copy_that_lacks_records_is_not_the_log_while_a_directory_is_away() {
    let disks = TwoDisks::new();
    let name = TopicPartition::new("t", 0);
    let moved = |_: &TopicPartition| Some(Owner { topic_id: ID, directory: Some(disks.ids[1]) });
    let (manager, _) = disks.open();
    let log = manager.get_or_create(&name, ID, Some(disks.ids[0]), Arc::new(LogConfig::default()), 1).unwrap();
    append(&log, b"copied");
    manager.begin_move(&name, &disks.paths[1], 1).unwrap();
    manager.moves()[0].copy_some(1).unwrap();
    append(&log, b"not copied");
    drop((log, manager));

    let aside = disks.paths[0].with_extension("aside");
    fs::rename(&disks.paths[0], &aside).unwrap();
    fs::write(&disks.paths[0], "no directory").unwrap();
    let (manager, _) = disks.open_with(&moved);
    assert!(manager.get(&name).is_none());
    drop(manager);
    fs::remove_file(&disks.paths[0]).unwrap();
    fs::rename(&aside, &disks.paths[0]).unwrap();
    let (manager, _) = disks.open_with(&moved);
    assert_eq!(manager.get(&name).unwrap().log_end_offset(), Offset::new(2));
    assert_eq!(manager.moves().len(), 1, "it goes on");
}

/// Goal: a kill between the directory of a copy and its `partition.metadata` does not make the log nobody's once it has moved.
#[test]
fn a_copy_that_was_not_named_yet_is_named_before_it_is_the_log() {
    let disks = TwoDisks::new();
    let name = TopicPartition::new("t", 0);
    let (manager, _) = disks.open();
    let config = Arc::new(LogConfig::default());
    let log = manager.get_or_create(&name, ID, Some(disks.ids[0]), Arc::clone(&config), 1).unwrap();
    append(&log, b"kept");
    manager.begin_move(&name, &disks.paths[1], 1).unwrap();
    drop((log, manager));
    let copy = fs::read_dir(&disks.paths[1]).unwrap().map(|entry| entry.unwrap().path());
    let copy = copy.into_iter().find(|path| path.to_string_lossy().ends_with("-future")).unwrap();
    fs::remove_file(copy.join(partition_metadata::FILE_NAME)).unwrap();

    let (manager, _) = disks.open();
    let moving = manager.moves().remove(0);
    while moving.copy_some(1).unwrap() > 0 {}
    manager.finish_move(&moving, 1).unwrap().unwrap();
    drop((moving, manager));
    let (manager, report) = disks.open();
    assert_eq!(report.strays, Vec::<PathBuf>::new());
    let log = manager.get_or_create(&name, ID, None, config, 1).unwrap();
    assert_eq!((log.log_end_offset(), manager.directory_of(&name)), (Offset::new(1), Some(disks.ids[1])));
}

/// Goal: a copy that a power cut has damaged does not take the place of the log that is whole: what it has lost is copied again.
#[test]
fn a_copy_that_has_lost_records_gets_them_again() {
    let disks = TwoDisks::new();
    let name = TopicPartition::new("t", 0);
    let (manager, _) = disks.open();
    let config = Arc::new(LogConfig::default());
    let log = manager.get_or_create(&name, ID, Some(disks.ids[0]), Arc::clone(&config), 1).unwrap();
    (0..4).for_each(|_| append(&log, b"kept"));
    manager.begin_move(&name, &disks.paths[1], 1).unwrap();
    while manager.moves()[0].copy_some(1).unwrap() > 0 {}
    drop((log, manager));
    let copy = fs::read_dir(&disks.paths[1]).unwrap().map(|entry| entry.unwrap().path());
    let copy = copy.into_iter().find(|path| path.to_string_lossy().ends_with("-future")).unwrap();
    let segment = copy.join("00000000000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let quarter = bytes.len() / 4;
    bytes[quarter..quarter * 2].fill(0);
    fs::write(&segment, bytes).unwrap();

    let (manager, report) = disks.open();
    assert_eq!(report.findings, [], "nothing is lost");
    let moving = manager.moves().remove(0);
    while moving.copy_some(1).unwrap() > 0 {}
    manager.finish_move(&moving, 1).unwrap().unwrap();
    drop((moving, manager));
    let (manager, report) = disks.open();
    assert_eq!(report.findings, []);
    let log = manager.get(&name).unwrap();
    assert_eq!((manager.directory_of(&name), served(&log).len()), (Some(disks.ids[1]), 4));
}

/// Goal: what a power cut took from the end of a log does not come back with its copy, over what was appended since.
#[test]
fn a_copy_has_nothing_that_its_log_has_lost() {
    let disks = TwoDisks::new();
    let name = TopicPartition::new("t", 0);
    let (manager, _) = disks.open();
    let config = Arc::new(LogConfig::default());
    let log = manager.get_or_create(&name, ID, Some(disks.ids[0]), Arc::clone(&config), 1).unwrap();
    append(&log, b"kept");
    append(&log, b"lost");
    manager.begin_move(&name, &disks.paths[1], 1).unwrap();
    while manager.moves()[0].copy_some(1).unwrap() > 0 {}
    drop((log, manager));
    let segment = disks.paths[0].join("t-0/00000000000000000000.log");
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() / 2]).unwrap();

    let (manager, _) = disks.open();
    let log = manager.get(&name).unwrap();
    assert_eq!(log.log_end_offset(), Offset::new(1));
    append(&log, b"other");
    let moving = manager.moves().remove(0);
    while moving.copy_some(1).unwrap() > 0 {}
    manager.finish_move(&moving, 1).unwrap().unwrap();
    drop((log, moving, manager));
    let (manager, _) = disks.open();
    let values: Vec<_> = served(&manager.get(&name).unwrap()).into_values().collect();
    assert_eq!((manager.directory_of(&name), values), (Some(disks.ids[1]), vec![b"kept".to_vec(), b"other".to_vec()]));
}

/// Goal: a copy that was begun at a log start which the log has forgotten in a kill makes it remember when it takes its place; else nobody
/// would find what it has, not even the next move.
#[test]
fn a_copy_remembers_where_the_log_begins() {
    let disks = TwoDisks::new();
    let name = TopicPartition::new("t", 0);
    let (manager, _) = disks.open();
    let log = manager.get_or_create(&name, ID, Some(disks.ids[0]), Arc::new(LogConfig::default()), 1).unwrap();
    append(&log, b"deleted");
    append(&log, b"kept");
    log.advance_high_watermark(Offset::new(2));
    log.raise_log_start_offset(Offset::new(1)).unwrap();
    manager.begin_move(&name, &disks.paths[1], 1).unwrap();
    while manager.moves()[0].copy_some(1).unwrap() > 0 {}
    drop((log, manager));

    let (manager, _) = disks.open();
    let log = manager.get(&name).unwrap();
    assert_eq!(log.log_start_offset(), Offset::new(0), "nobody had noted it");
    for to in [1, 0] {
        manager.begin_move(&name, &disks.paths[to], 1).unwrap();
        let moved = manager.moves().remove(0);
        assert_eq!(manager.finish_move(&moved, 1).unwrap(), Some(()));
        assert_eq!(log.log_start_offset(), Offset::new(1));
        assert_eq!(served(&log).into_keys().collect::<Vec<_>>(), [1]);
    }
}
