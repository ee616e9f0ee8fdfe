//! The order of a clean stop: records, what is noted of them, the marker that says that all of it is there.

use super::*;

const MARKER: &str = ".kafka_cleanshutdown";

/// What was flushed or got its name, by its path below the first directory.
type Steps = Arc<Mutex<Vec<String>>>;

/// Notes flushes and renamings in the first directory, where `wanted` fails.
fn watch(disks: &TwoDisks, wanted: impl Fn(Operation, &str) -> bool + Send + 'static) -> Steps {
    let steps = Steps::default();
    let (seen, first) = (Arc::clone(&steps), disks.paths[0].clone());
    disks.disk.set(move |operation, path| {
        let Ok(below) = path.strip_prefix(&first) else { return Fault::None };
        let below = below.to_string_lossy().into_owned();
        if wanted(operation, &below) {
            return Fault::Fail(EIO);
        }
        if matches!(operation, Operation::Sync | Operation::Rename) {
            lock(&seen).push(format!("{operation:?} {below}"));
        }
        Fault::None
    });
    steps
}

/// A broker's logs, `count` of them in the first directory, with a record each that is not flushed.
fn written(disks: &TwoDisks, count: i32) -> LogManager {
    let (manager, _) = disks.open();
    for n in 0..count {
        let name = TopicPartition::new("t", n);
        let config = Arc::new(LogConfig::default());
        let log = manager.get_or_create(&name, ID, Some(disks.ids[0]), config, 1).unwrap();
        append(&log, b"x");
        log.advance_high_watermark(log.log_end_offset());
    }
    manager
}

/// Goal: at a clean stop all that the marker stands for is on the disk before it: the records of each log, file by file or with one
/// call for many, then the checkpoints, each under its name, then the marker.
#[test]
fn the_marker_of_a_clean_stop_comes_last() {
    for count in [2, 40] {
        let disks = TwoDisks::new();
        let manager = written(&disks, count);
        let steps = watch(&disks, |_, _| false);
        assert!(manager.close(1).unwrap().is_empty());
        let steps = lock(&steps).clone();
        let first =
            |step: &str| steps.iter().position(|other| other == step).unwrap_or_else(|| panic!("{step}: {steps:?}"));
        let last =
            |step: &str| steps.iter().rposition(|other| other == step).unwrap_or_else(|| panic!("{step}: {steps:?}"));
        let records = if count == 2 {
            (0..count).map(|n| first(&format!("Sync t-{n}/00000000000000000000.log"))).max().unwrap()
        } else {
            // The directory stands for its file system.
            first("Sync ")
        };
        let mut before = records;
        for name in [checkpoint::RECOVERY_POINTS, checkpoint::HIGH_WATERMARKS] {
            let (content, renamed) = (first(&format!("Sync {name}.tmp")), first(&format!("Rename {name}.tmp")));
            assert!(records < content && content < renamed, "{steps:?}");
            before = before.max(renamed);
        }
        let (content, renamed) = (first(&format!("Sync {MARKER}.tmp")), first(&format!("Rename {MARKER}.tmp")));
        assert!(before < content && content < renamed, "{steps:?}");
        assert!(steps[before..content].iter().any(|step| step == "Sync "), "the names of the checkpoints: {steps:?}");
        assert_eq!(last("Sync "), steps.len() - 1, "the marker's name: {steps:?}");
    }
}

/// Goal: where one of these fails, the directory gets no marker, and the next start checks it.
#[test]
fn what_is_not_on_the_disk_is_not_said_to_be() {
    for failing in ["t-1/00000000000000000000.log", "t-1", "recovery-point-offset-checkpoint.tmp"] {
        let disks = TwoDisks::new();
        let manager = written(&disks, 2);
        watch(&disks, move |operation, path| operation == Operation::Sync && path == failing);
        let _ = manager.close(1);
        drop(manager);
        disks.disk.clear();
        assert!(!disks.paths[0].join(MARKER).exists(), "{failing}");
        assert!(disks.paths[1].join(MARKER).exists(), "the other directory is none the worse: {failing}");
        let (_, report) = disks.open();
        assert_eq!(report.unclean, [disks.paths[0].clone()], "{failing}");
    }
}

/// Goal: a copy is on the disk before the marker of its directory also where the disk of its log has failed: a start with the marker
/// takes the copy for durable, and lets it take the log's place.
#[test]
fn the_copy_of_a_log_whose_disk_has_failed_is_flushed() {
    let disks = TwoDisks::new();
    let (manager, _) = disks.open();
    let name = TopicPartition::new("t", 0);
    let log = manager.get_or_create(&name, ID, Some(disks.ids[1]), Arc::new(LogConfig::default()), 1).unwrap();
    append(&log, b"x");
    manager.begin_move(&name, &disks.paths[0], 1).unwrap();
    manager.moves()[0].copy_some(1).unwrap();
    let second = disks.paths[1].clone();
    disks.disk.set(move |_, path| if path.starts_with(&second) { Fault::Fail(EIO) } else { Fault::None });
    // It notices here that the directory is gone.
    manager.checkpoint_recovery_points().unwrap();
    let steps = watch(&disks, |_, _| false);
    manager.close(1).unwrap();
    let steps = lock(&steps).clone();
    let copied = steps.iter().position(|step| step.ends_with("-future/00000000000000000000.log"));
    let marked = steps.iter().position(|step| step.contains(MARKER));
    assert!(copied.is_some() && copied < marked, "{steps:?}");
}
