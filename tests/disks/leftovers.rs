//! What a crash in the midst of a move, or somebody's hand, leaves in several directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::directories::{STORAGE_ERROR, Two, WITHIN, holders, log_dirs, move_to, stop, wait_until_in, write};
use crate::support::wait_for;
use crate::wire::Wire;

const ID: &str = "0123456789abcdef0123456789abcdef";

/// Two directories with a topic of one partition and three records in `a`, left by a broker that has stopped.
fn with_a_log_in_a() -> Two {
    let two = Two::new();
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    assert_eq!(move_to(&mut wire, "t", 0, &two.path("a")), 3, "to be made there");
    wire.create_topic("t", 1, &[]);
    ["1", "2", "3"].iter().for_each(|value| assert_eq!(write(&mut wire, "t", 0, value), 0));
    stop(broker);
    two
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The names of the partition's directories, in `a` and in `b`.
fn names(two: &Two) -> Vec<String> {
    let mut found = Vec::new();
    for dir in ["a", "b"] {
        for entry in fs::read_dir(two.path(dir)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.starts_with("t-0") {
                found.push(format!("{dir}/{name}"));
            }
        }
    }
    found.sort();
    found
}

fn future(two: &Two, dir: &str) -> PathBuf {
    two.path(dir).join(format!("t-0.{ID}-future"))
}

/// Starts a broker on them, which must have the three records, in `dir` alone once moves have ended.
fn assert_whole(two: &Two, dir: &str) {
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    wait_until_in(&mut wire, "t", 0, &two.path(dir));
    assert_eq!(wire.read_all("t", 0), ["1", "2", "3"]);
    stop(broker);
    // It may have stopped before what was put aside was due to be removed; a start removes that at once.
    let broker = two.start();
    wait_for("the rest to be removed", WITHIN, || (names(two) == [format!("{dir}/t-0")]).then_some(()));
    let mut wire = Wire::connect(broker.address());
    assert_eq!(wire.read_all("t", 0), ["1", "2", "3"]);
    stop(broker);
}

/// Goal: a copy that had only begun goes on to become the log.
#[test]
fn a_copy_beside_its_log_goes_on() {
    let two = with_a_log_in_a();
    let copy_dir = future(&two, "b");
    copy(&two.path("a/t-0"), &copy_dir);
    // It has the first bytes only.
    fs::write(copy_dir.join("00000000000000000000.log"), "").unwrap();
    assert_whole(&two, "b");
}

/// Goal: when the log was put aside already, its copy, which the metadata names, is the log.
#[test]
fn a_copy_whose_log_was_put_aside_is_the_log() {
    let two = with_a_log_in_a();
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    assert_eq!(move_to(&mut wire, "t", 0, &two.path("b")), 0);
    wait_until_in(&mut wire, "t", 0, &two.path("b"));
    broker.kill();
    fs::rename(two.path("b/t-0"), future(&two, "b")).unwrap();
    assert_whole(&two, "b");
}

/// Goal: a copy in the directory of its own log is none, and neither are more than one.
#[test]
fn copies_that_are_of_no_use_are_removed() {
    let two = with_a_log_in_a();
    copy(&two.path("a/t-0"), &future(&two, "a"));
    assert_whole(&two, "a");
    let two = with_a_log_in_a();
    copy(&two.path("a/t-0"), &future(&two, "b"));
    copy(&two.path("a/t-0"), &two.path("b").join(format!("t-0.{}-future", ID.replace('0', "f"))));
    assert_whole(&two, "b");
}

/// Goal: a copy alone, of a log that the metadata says is elsewhere, is not taken for the log while that is away.
#[test]
fn a_copy_does_not_stand_in_for_a_log_that_is_away() {
    let two = with_a_log_in_a();
    copy(&two.path("a/t-0"), &future(&two, "b"));
    fs::write(future(&two, "b").join("00000000000000000000.log"), "").unwrap();
    fs::rename(two.path("a/t-0"), two.path("t-0")).unwrap();
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    let empty = holders(&mut wire, "t", 0);
    assert!(!empty.contains(&(two.path("b"), false)), "{empty:?}");
    broker.kill();
}

/// Goal: while a directory is away, no empty log is made in the one that the metadata names: the log is in the other one, as where a move
/// was named and did not come to its end.
#[test]
fn a_log_that_is_away_is_not_made_anew_where_it_is_named() {
    let two = with_a_log_in_a();
    fs::rename(two.path("a/t-0"), two.path("b/t-0")).unwrap();
    fs::rename(two.path("b"), two.path("away")).unwrap();
    fs::write(two.path("b"), "").unwrap();
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    assert_eq!(write(&mut wire, "t", 0, "4"), STORAGE_ERROR);
    assert!(!two.path("a/t-0").exists());
    stop(broker);
    fs::remove_file(two.path("b")).unwrap();
    fs::rename(two.path("away"), two.path("b")).unwrap();
    assert_whole(&two, "b");
}

/// Goal: of two logs of the same name the one of another topic is put aside, and with it nothing is lost; two of the same topic are
/// refused with both paths, and nothing is touched.
#[test]
fn two_logs_of_one_name() {
    let two = with_a_log_in_a();
    copy(&two.path("a/t-0"), &two.path("b/t-0"));
    let dirs = two.setting();
    let start = ["server-start", "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", &dirs];
    let refused = Command::new(env!("CARGO_BIN_EXE_kafka-rs")).args(start).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for path in ["a/t-0", "b/t-0"] {
        assert!(said.contains(two.path(path).to_str().unwrap()), "{said}");
        assert!(two.path(path).is_dir());
    }
    // As a topic that had the name before has left it.
    fs::write(two.path("b/t-0/partition.metadata"), "version: 0\ntopic_id: vPF0NSFFTwyYqVvHYGMyXw").unwrap();
    let broker = two.start();
    let mut wire = Wire::connect(broker.address());
    assert_eq!(holders(&mut wire, "t", 0), [(two.path("a"), false)]);
    assert_eq!(wire.read_all("t", 0), ["1", "2", "3"]);
    assert!(log_dirs(&mut wire).results.iter().all(|dir| dir.error_code == 0));
    stop(broker);
    let names = names(&two);
    assert_eq!(names.len(), 2);
    assert!(names[0] == "a/t-0" && names[1].starts_with("b/t-0.") && names[1].ends_with("-stray"), "{names:?}");
    assert!(two.path(&names[1]).join("00000000000000000000.log").metadata().unwrap().len() > 0);
}
