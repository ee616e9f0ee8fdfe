//! Which log is taken, and what is remembered of it.

use std::path::Path;
use std::sync::Arc;

use super::super::{Cleaning, Outcome};
use super::*;
use crate::log::LogOptions;
use crate::types::TopicPartition;

const CHECKPOINT: &str = "cleaner-offset-checkpoint";

fn named(dir: &Path, name: &str) -> (TopicPartition, Arc<Log>) {
    let config = LogConfig { segment_bytes: 80, ..compacted() };
    let options = LogOptions { dir: dir.join(format!("{name}-0")), ..crate::log::test_support::options(dir, &config) };
    (TopicPartition::new(name, 0), Arc::new(Log::open(options).unwrap().0))
}

fn filled(dir: &Path, name: &str, records: usize) -> (TopicPartition, Arc<Log>) {
    let (partition, log) = named(dir, name);
    (0..records).for_each(|_| put(&log, &[("key", Some("value"))]));
    (partition, log)
}

#[test]
fn the_filthiest_log_is_taken_and_none_twice() {
    let dir = tempfile::tempdir().unwrap();
    let logs = vec![filled(dir.path(), "a", 4), filled(dir.path(), "b", 9), filled(dir.path(), "c", 1)];
    std::fs::write(dir.path().join(CHECKPOINT), "0\n3\na 0 1\nb 0 2\ngone 0 5\n").unwrap();
    let cleaning = Cleaning::default();
    let first = cleaning.choose(logs.clone(), NOW).unwrap();
    assert_eq!((first.partition.topic.as_str(), first.cleanable.first_dirty), ("b", Offset(2)), "6 of 8, not 2 of 3");
    let second = cleaning.choose(logs.clone(), NOW).unwrap();
    assert_eq!(second.partition.topic, "a");
    assert!(cleaning.choose(logs.clone(), NOW).is_none(), "both are under way, the third has nothing to clean");

    cleaning.done(&first, Outcome::Clean(Offset(8)));
    let checkpoint = || std::fs::read_to_string(dir.path().join(CHECKPOINT)).unwrap();
    assert_eq!(checkpoint(), "0\n2\na 0 1\nb 0 8\n", "what is not there any more is forgotten");
    cleaning.done(&second, Outcome::Again);
    assert_eq!(cleaning.choose(logs.clone(), NOW).unwrap().partition.topic, "a");
    cleaning.done(&second, Outcome::Uncleanable);
    assert!(cleaning.choose(logs.clone(), NOW).is_none());
    assert_eq!(cleaning.uncleanable(), [TopicPartition::new("a", 0)]);

    let after_restart = Cleaning::default();
    assert_eq!(after_restart.choose(logs, NOW).unwrap().partition.topic, "a", "b is clean");
}

#[test]
fn a_topic_that_was_made_again_is_another_log() {
    let dir = tempfile::tempdir().unwrap();
    let cleaning = Cleaning::default();
    let old = filled(dir.path(), "a", 5);
    let chosen = cleaning.choose(vec![old.clone()], NOW).unwrap();
    old.1.rename_dir(&dir.path().join("a-0.0-delete")).unwrap();
    let new = filled(dir.path(), "a", 3);
    cleaning.done(&chosen, Outcome::Clean(Offset(4)));
    let again = cleaning.choose(vec![new], NOW).unwrap();
    assert_eq!(again.cleanable.first_dirty, Offset(0));
}

#[test]
fn a_checkpoint_that_can_not_be_read_means_to_clean_all() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path(), "a", 3);
    std::fs::write(dir.path().join(CHECKPOINT), "nonsense").unwrap();
    let cleaning = Cleaning::default();
    let chosen = cleaning.choose(vec![log], NOW).unwrap();
    assert_eq!(chosen.cleanable.first_dirty, Offset(0));
    cleaning.done(&chosen, Outcome::Clean(Offset(2)));
    assert_eq!(std::fs::read_to_string(dir.path().join(CHECKPOINT)).unwrap(), "0\n1\na 0 2\n");
}

#[test]
fn a_checkpoint_outside_of_the_log_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path(), "a", 1);
    std::fs::write(dir.path().join(CHECKPOINT), "0\n1\na 0 77\n").unwrap();
    assert!(Cleaning::default().choose(vec![log], NOW).is_none());
    assert_eq!(std::fs::read_to_string(dir.path().join(CHECKPOINT)).unwrap(), "0\n1\na 0 0\n");
}
