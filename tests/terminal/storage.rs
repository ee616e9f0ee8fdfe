//! The tools that read a data directory, at a terminal: `storage check` and `dump-log`.

use std::fs;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::pty::{CTRL_C, Terminal};

const SEGMENT: &str = "00000000000000000000.log";
/// Recorded from Apache Kafka; its first batch has four records.
const GOLDEN: &str = "tests/data/log/kafka-4.3.1-golden-0";
const FIRST_BATCH: usize = 457;

/// A log directory with a partition in it, as a broker left it that was killed.
fn data_with_golden(data: &Path) {
    let identity = "version=1\ncluster.id=5L6g3nShT-eMCtK--X86sw\nnode.id=1\ndirectory.id=2Gvj2q5vQeiVmZqJHV5Iqg\n";
    fs::write(data.join("meta.properties"), identity).unwrap();
    let to = data.join("golden-0");
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(GOLDEN).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_verdict_is_coloured_by_what_it_means() {
    let temp = tempfile::tempdir().unwrap();
    data_with_golden(temp.path());
    let data = temp.path().to_str().unwrap();
    let sound = Terminal::kafka_rs(120, &["storage", "check", data]).end();
    sound.assert_code(0).assert_clean();
    assert!(sound.shown.contains("␛[32mnothing wrong␛[0m"), "{}", sound.shown);
    let log = temp.path().join("golden-0").join(SEGMENT);
    let mut bytes = fs::read(&log).unwrap();
    bytes[600] ^= 1;
    fs::write(&log, bytes).unwrap();
    let damaged = Terminal::kafka_rs(120, &["storage", "check", data]).end();
    damaged.assert_code(1).assert_clean();
    assert!(damaged.shown.contains("␛[31mRecords are gone or can't be read␛[0m"), "{}", damaged.shown);
    assert!(damaged.shown.contains("␛[31mrecords lost in 1 place"), "{}", damaged.shown);
    let dumped = Terminal::kafka_rs(120, &["dump-log", "--strict", "--files", log.to_str().unwrap()]).end();
    dumped.assert_clean();
    assert!(dumped.shown.contains("␛[1mDumping "), "{}", dumped.shown);
}

/// Goal: a bar while it works; Ctrl-C ends it also where a disk does not answer, and says what was done.
/// Method: of two partitions the second has a pipe for a log, of which nothing ever comes.
#[test]
fn a_check_shows_a_bar_until_ctrl_c_and_tells_what_was_done() {
    let temp = tempfile::tempdir().unwrap();
    data_with_golden(temp.path());
    let stuck = temp.path().join("stuck-0");
    fs::create_dir(&stuck).unwrap();
    mknodat(CWD, stuck.join(SEGMENT), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut terminal = Terminal::kafka_rs(120, &["storage", "check", temp.path().to_str().unwrap()]);
    terminal.wait_for("[====").wait_for("100 %").press(CTRL_C);
    let ended = terminal.end();
    ended.assert_code(130).assert_clean();
    let bar = ended.shown.rfind("[====").unwrap();
    assert!(ended.shown[bar..].contains("␛[2K"), "the bar is left on the screen:\n{}", ended.shown);
    assert!(ended.shown.contains("ended by SIGINT after 1 of 2 partitions and "), "{}", ended.shown);
    assert!(ended.shown.contains("1 fault, no records lost"), "{}", ended.shown);
}

#[test]
fn a_dump_ends_with_ctrl_c_as_a_whole_document_and_tells_what_was_done() {
    let temp = tempfile::tempdir().unwrap();
    let golden = fs::read(Path::new(GOLDEN).join(SEGMENT)).unwrap();
    let mut segment = Vec::new();
    for number in 0..200_000_i64 {
        segment.extend_from_slice(&(number * 4).to_be_bytes());
        segment.extend_from_slice(&golden[8..FIRST_BATCH]);
    }
    let (log, json) = (temp.path().join(SEGMENT), temp.path().join("json"));
    fs::write(&log, segment).unwrap();
    let line = format!(
        "exec $KAFKA_RS dump-log --output json --deep-iteration --files {} > {}",
        log.display(),
        json.display()
    );
    let mut terminal = Terminal::shell(120, &line);
    terminal.wait_for(" records, ").press(CTRL_C);
    let ended = terminal.end();
    ended.assert_code(130).assert_clean();
    let shown = ended.shown.rfind("records/s)").unwrap();
    assert!(ended.shown[shown..].contains("␛[2K"), "the line is left on the screen:\n{}", ended.shown);
    assert!(ended.shown.contains("ended by SIGINT in "), "{}", ended.shown);
    let document: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert!(!document["files"][0]["entries"].as_array().unwrap().is_empty());
}
