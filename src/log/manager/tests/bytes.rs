//! Every byte of the files that stand around logs, flipped and cut: the logs are what they were, or the start is refused by name.

use std::path::PathBuf;

use super::*;
use crate::log::cleaner::Cleaning;
use crate::log::test_support::read_all;
use crate::log::tests::crash::run::directory;

const NAMES: [&str; 2] = ["one", "two"];

/// A log directory that was closed.
struct Closed {
    root: tempfile::TempDir,
    files: Vec<(PathBuf, Vec<u8>)>,
}

fn files_in(dir: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_type().unwrap().is_dir() {
            true => files_in(&entry.path(), found),
            false => found.push((entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
}

impl Closed {
    /// Two logs of ten records, one of which begins at 3.
    fn new() -> Self {
        let root = directory();
        let (manager, _) = open(root.path());
        for name in NAMES {
            let log = create(&manager, name, ID);
            for value in 0..10_u8 {
                append(&log, &[value]);
            }
            log.advance_high_watermark(Offset::new(10));
        }
        manager.get(&TopicPartition::new("two", 0)).unwrap().raise_log_start_offset(Offset::new(3)).unwrap();
        assert!(manager.close(5).unwrap().is_empty());
        drop(manager);
        fs::write(root.path().join(checkpoint::CLEANER_OFFSETS), "0\n2\none 0 4\ntwo 0 5\n").unwrap();
        let mut files = Vec::new();
        files_in(root.path(), &mut files);
        files.retain(|(path, _)| path.file_name().is_some_and(|name| name != ".lock"));
        Self { root, files }
    }

    /// All as it was.
    fn restore(&self) {
        for entry in fs::read_dir(self.root.path()).unwrap().map(|entry| entry.unwrap()) {
            match entry.file_type().unwrap().is_dir() {
                true => fs::remove_dir_all(entry.path()).unwrap(),
                false => fs::remove_file(entry.path()).unwrap(),
            }
        }
        for (path, bytes) in &self.files {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// Does each damage to each byte of a file and shows what a start makes of it.
    fn damage_all(&self, name: &str, each: impl Fn(Result<&LogManager, &str>, &str)) {
        let (path, bytes) = self.files.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        assert!(bytes.len() > 5, "{name} says something");
        for position in 0..bytes.len() {
            for damage in [Some(1_u8 << (position % 8)), None] {
                self.restore();
                let mut bad = bytes.clone();
                match damage {
                    Some(bits) => bad[position] ^= bits,
                    None => bad.truncate(position),
                }
                fs::write(path, &bad).unwrap();
                let what = format!("{name}, byte {position}, {damage:x?}");
                match self.try_open() {
                    Ok(manager) => each(Ok(&manager), &what),
                    Err(error) => each(Err(&error.to_string()), &what),
                }
            }
        }
    }

    fn try_open(&self) -> Result<LogManager, ManagerError> {
        let paths = [self.root.path().to_owned()];
        let taken = directory::take(&paths, NodeId::new(1), Some("c"), 0)?;
        let config = |_: &TopicPartition| Arc::new(LogConfig::default());
        let options = ManagerOptions {
            config: &config,
            owner: &owner,
            threads: 0,
            now_ms: 1,
            progress: &OpenProgress::default(),
        };
        Ok(LogManager::open(taken, &options)?.0)
    }
}

/// Whether all records of both logs are there, as far as their starts say.
fn is_right(manager: &LogManager, start_of_second: Option<i64>) -> bool {
    NAMES.iter().all(|name| {
        let log = manager.get(&TopicPartition::new(*name, 0)).unwrap();
        let start = log.log_start_offset().get();
        let may_begin = if *name == "one" { start == 0 } else { start_of_second.is_none_or(|right| right == start) };
        let expected = (start..10).map(|offset| (offset, vec![offset as u8])).collect::<Vec<_>>();
        may_begin && read_all(&log, start, 1 << 20) == expected
    })
}

#[test]
fn every_byte_of_the_checkpoints() {
    let closed = Closed::new();
    for name in [checkpoint::RECOVERY_POINTS, checkpoint::HIGH_WATERMARKS, ".kafka_cleanshutdown"] {
        closed.damage_all(name, |opened, what| {
            let manager = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(is_right(manager, Some(3)), "{what}");
        });
    }
}

/// It has no checksum, so that another digit is another start; but no record is another one, and none is thrown away.
#[test]
fn every_byte_of_the_log_start_offsets() {
    let closed = Closed::new();
    closed.damage_all(checkpoint::LOG_START_OFFSETS, |opened, what| match opened {
        Ok(manager) => {
            let kept = || {
                let mut files = Vec::new();
                files_in(closed.root.path(), &mut files);
                files.iter().any(|(path, _)| path.extension().is_some_and(|kept| kept == "kept"))
            };
            assert!(is_right(manager, None) || kept(), "{what}");
        }
        Err(error) => assert!(error.contains(&format!("{}:", checkpoint::LOG_START_OFFSETS)), "{what}: {error}"),
    });
}

#[test]
fn every_byte_of_the_cleaners_checkpoint() {
    let closed = Closed::new();
    closed.damage_all(checkpoint::CLEANER_OFFSETS, |opened, what| {
        let manager = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
        let logs =
            NAMES.map(|name| TopicPartition::new(name, 0)).map(|name| (name.clone(), manager.get(&name).unwrap()));
        for (_, log) in &logs {
            log.set_config(Arc::new(LogConfig { cleanup_compact: true, ..LogConfig::default() }));
        }
        if let Some(chosen) = Cleaning::default().choose(logs.to_vec(), 1) {
            assert!(chosen.cleanable.first_dirty <= Offset::new(10), "{what}");
        }
        assert!(is_right(manager, Some(3)), "{what}");
    });
}

#[test]
fn every_byte_of_the_identity() {
    let closed = Closed::new();
    let path = closed.root.path().display().to_string();
    closed.damage_all("meta.properties", |opened, what| match opened {
        // A comment, or an id that nobody else knows.
        Ok(manager) => assert!(is_right(manager, Some(3)), "{what}"),
        Err(error) => assert!(error.contains(&path), "{what}: {error}"),
    });
}

#[test]
fn every_byte_of_the_topic_id() {
    let closed = Closed::new();
    closed.damage_all("two-0/partition.metadata", |opened, what| {
        let manager = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(is_right(manager, Some(3)), "{what}");
        let wanted = TopicPartition::new("two", 0);
        match manager.get_or_create(&wanted, ID, None, Arc::new(LogConfig::default()), 1) {
            Ok(_) if is_right(manager, Some(3)) => {}
            Ok(log) => {
                assert_eq!(log.log_end_offset(), Offset::ZERO, "{what}");
                let mut names = fs::read_dir(closed.root.path()).unwrap().map(|entry| entry.unwrap().file_name());
                let is_aside = names.any(|name| name.to_str().unwrap().ends_with("-stray"));
                assert!(is_aside, "{what}: another topic's log is kept");
            }
            Err(error) => assert!(error.to_string().contains("partition.metadata:"), "{what}: {error}"),
        }
    });
}
