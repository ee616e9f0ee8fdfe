//! The tool on files made for it: what Kafka's tool prints of them was looked up with Kafka 4.3.1.

use std::path::{Path, PathBuf};

use clap::Parser as _;

use super::DumpLog;
use crate::cli::Run as _;
use crate::cli::support::{Exit, Output};

const GOLDEN: &str = "tests/data/log/kafka-4.3.1-golden-0";

/// How it ended, and what it printed.
struct Ran {
    exit: Result<Exit, String>,
    stdout: String,
    stderr: String,
}

fn run(files: &str, options: &[&str]) -> Ran {
    let words = ["dump-log", "--files", files].into_iter().chain(options.iter().copied());
    let (mut out, captured) = Output::captured();
    let exit = DumpLog::try_parse_from(words).unwrap().run(&mut out).map_err(|error| format!("{error:#}"));
    out.flush().unwrap();
    Ran { exit, stdout: captured.stdout(), stderr: captured.stderr() }
}

/// A log file with the bytes of a vector that Kafka's classes wrote.
fn vector(dir: &Path, name: &str) -> String {
    let text = std::fs::read_to_string("tests/data/vectors/record-batches.tsv").unwrap();
    let hex = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t')?.split('\t').next()).unwrap();
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let path = dir.join("00000000000000000000.log");
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn last_lines(text: &str, count: usize) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len() - count..].to_vec()
}

#[test]
fn old_formats_are_shown_as_kafka_shows_them() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run(&vector(dir.path(), "v0-none-1"), &["--deep-iteration"]);
    assert!(ran.stdout.contains("NoTimestampType: -1 "), "{}", ran.stdout);
    assert!(ran.stdout.contains(" isValid: true crc: "), "{}", ran.stdout);
    let ran = run(&vector(dir.path(), "v1-gzip-3"), &["--print-data-log"]);
    let lines = last_lines(&ran.stdout, 4);
    assert!(lines[0].starts_with("offset: ") && lines[0].contains("magic: 1 compresscodec: gzip"), "{}", ran.stdout);
    assert!(lines[1..].iter().all(|line| line.starts_with("| offset: ") && line.contains(" isValid: true crc: ")));
    assert!(!ran.stdout.contains("sequence:"), "{}", ran.stdout);
}

#[test]
fn control_records_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for (name, shown) in [
        ("v2-commit-marker", " endTxnMarker: COMMIT coordinatorEpoch: "),
        ("v2-abort-marker", " endTxnMarker: ABORT coordinatorEpoch: "),
        ("v2-leader-change", " LeaderChange: {\"version\":"),
        ("v2-snapshot-header", " SnapshotHeader {\"version\":0,\"lastContainedLogTimestamp\":"),
        ("v2-snapshot-footer", " SnapshotFooter {\"version\":0}"),
        ("v2-kraft-version", " KRaftVersion {\"version\":0,\"kRaftVersion\":"),
        ("v2-kraft-voters", " KRaftVoters {\"version\":0,\"voters\":[{\"voterId\":"),
    ] {
        let ran = run(&vector(dir.path(), name), &["--deep-iteration"]);
        assert!(ran.stdout.contains(shown), "{name}: {}", ran.stdout);
    }
}

#[test]
fn a_cut_end_is_told_of_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run(&vector(dir.path(), "v2-five-batches-last-cut-short"), &[]);
    assert_eq!(last_lines(&ran.stdout, 1), ["Found 86 invalid bytes at the end of 00000000000000000000.log"]);
    assert!(ran.stderr.ends_with("byte 393: the last batch is cut, 86 bytes at the end are no whole batch\n"));
    assert_eq!(ran.exit, Ok(Exit::Success), "as Kafka's tool");
    assert_eq!(run(&vector(dir.path(), "v2-none-5"), &["--strict"]).exit, Ok(Exit::Success));
    let cut = vector(dir.path(), "v2-five-batches-last-cut-short");
    assert_eq!(run(&cut, &["--strict"]).exit, Ok(Exit::Failure));
    // What lies behind `--max-bytes` is nobody's business.
    assert_eq!(run(&cut, &["--strict", "--max-bytes", "400"]).exit, Ok(Exit::Success));
}

#[test]
fn a_wrong_checksum_is_told_of_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = PathBuf::from(vector(dir.path(), "v2-none-5"));
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let ran = run(&path.display().to_string(), &[]);
    assert!(ran.stdout.contains("isvalid: false"), "{}", ran.stdout);
    assert_eq!(ran.stderr, format!("{}: byte 0: wrong checksum in the batch of offsets 100 to 104\n", path.display()));
}

#[test]
fn a_directory_stands_for_its_files() {
    let ran = run(GOLDEN, &["--verify-index-only"]);
    let dumped: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("Dumping ")).collect();
    assert_eq!(dumped.len(), 12, "{dumped:?}");
    assert!(!ran.stdout.contains("leader-epoch-checkpoint"));
    assert_eq!(ran.stderr, "");
    assert_eq!(ran.exit, Ok(Exit::Success));
}

#[test]
fn json_says_the_same() {
    let ran = run(GOLDEN, &["--print-data-log", "--output", "json"]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["version"], 1);
    let files = document["files"].as_array().unwrap();
    assert_eq!(files.len(), 12);
    let entries: Vec<&serde_json::Value> = files.iter().flat_map(|file| file["entries"].as_array().unwrap()).collect();
    let count = |kind: &str| entries.iter().filter(|entry| entry["type"] == kind).count();
    let text = run(GOLDEN, &["--print-data-log"]).stdout;
    let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(count("batch"), lines("baseOffset: "));
    assert_eq!((count("record"), lines("| offset: ")), (254, 254));
    assert_eq!(count("offsetIndexEntry"), lines("offset: "));
    assert_eq!(count("timeIndexEntry"), lines("timestamp: "));
    assert_eq!(count("producer"), lines("producerId: "));

    let lines = run(GOLDEN, &["--print-data-log", "--output", "ndjson"]).stdout;
    let each: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(each.len(), entries.len());
    assert!(each.iter().all(|entry| entry["version"] == 1 && entry["file"].is_string()));
    let nothing: serde_json::Value = serde_json::from_str(&run("", &["--output", "json"]).stdout).unwrap();
    assert_eq!(nothing["files"], serde_json::json!([]));
}

#[test]
fn metadata_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    for log in ["kafka-3.9.1.log", "kafka-4.3.1.log"] {
        let path = dir.path().join("00000000000000000000.log");
        std::fs::copy(Path::new("tests/data/metadata").join(log), &path).unwrap();
        let ran = run(&path.display().to_string(), &["--cluster-metadata-decoder"]);
        assert!(ran.stdout.contains("payload: {\"type\":\"FEATURE_LEVEL_RECORD\",\"version\":0,\"data\":{"));
        assert!(ran.stdout.contains("payload: {\"type\":\"REGISTER_BROKER_RECORD\",\"version\":"));
        assert!(!ran.stdout.contains("Error at"), "{}", ran.stdout);
    }
}

#[test]
fn decoders_are_found_by_name_and_read_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let file = vector(dir.path(), "v2-none-5");
    let unknown = run(&file, &["--value-decoder-class", "my.Own"]).exit.unwrap_err();
    assert_eq!(unknown, "there is no decoder class my.Own");
    let wrong = run(&file, &["--value-decoder-class", "LongDecoder"]).exit.unwrap_err();
    assert!(wrong.contains("the batch at byte 0 can't be read") && wrong.contains("the decoder needs 8"), "{wrong}");
    assert!(run(&file, &["--key-decoder-class"]).stdout.contains(" key: "), "the default without a name");
}

/// Whatever is in a file, the tool ends, and says where it could not go on.
#[test]
fn no_file_does_harm() {
    let dir = tempfile::tempdir().unwrap();
    let log = "00000000000000000160.log";
    let small = |name: &str| std::fs::read(Path::new(GOLDEN).join(name)).unwrap();
    for name in [
        log,
        "00000000000000000160.index",
        "00000000000000000160.timeindex",
        "00000000000000000160.snapshot",
        "00000000000000000160.txnindex",
    ] {
        let bytes = match name {
            "00000000000000000160.txnindex" => [&[0; 26][..], &[0, 0, 0, 0, 0, 0, 0, 9], &[0, 1]].concat(),
            name => small(name),
        };
        // Its log has to stand beside an index.
        std::fs::write(dir.path().join(log), small(log)).unwrap();
        std::fs::write(dir.path().join("00000000000000000160.index"), small("00000000000000000160.index")).unwrap();
        let path = dir.path().join(name);
        let step = bytes.len() / 150 + 1;
        for at in (0..bytes.len()).step_by(step) {
            for (what, changed) in [("cut", bytes[..at].to_vec()), ("flipped", flipped(&bytes, at))] {
                std::fs::write(&path, changed).unwrap();
                let ran = run(&path.display().to_string(), &["--deep-iteration", "--output", "ndjson"]);
                assert!(ran.stdout.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
                if let Err(error) = ran.exit {
                    assert!(error.contains("00000000000000000160"), "{name} {what} at {at}: {error}");
                }
            }
        }
    }
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0xff;
    bytes
}
