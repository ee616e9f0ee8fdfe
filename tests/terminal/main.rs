//! What people see: tools at a pseudo-terminal, compared with what they showed when it was last looked at.
//!
//! `tests/data/terminal/NAME.WIDTH.txt` hold it with escape sequences as `␛`; `KAFKA_RS_REGENERATE=1 cargo test --test
//! terminal` records them anew. Addresses and ids are masked at their own length, so that tables keep their shape.
//! To add a screen: a line in `SCREENS`, or a test where something is typed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stderr, reason = "a test that skips says why")]
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]

mod hints;
mod pty;
mod questions;
mod rules;
#[path = "../support/scripted.rs"]
mod scripted;
mod shells;
mod storage;
#[path = "../support/mod.rs"]
mod support;
mod watch;

use std::process::{Command, Stdio};

use pty::{CTRL_C, Terminal};
use regex_lite::Regex;
use support::Broker;

const WIDTHS: [u16; 2] = [80, 120];

/// Screens without a cluster: the file, and the words.
const SCREENS: &[(&str, &[&str], i32)] = &[
    ("help", &["--help"], 0),
    ("topics-help", &["topics", "--help"], 0),
    ("topics-help-all", &["topics", "--help-all"], 0),
    ("console-consumer-help", &["console-consumer", "--help"], 0),
    ("storage-help", &["storage", "--help"], 0),
    ("record-help", &["record", "--help"], 0),
    ("doctor-no-broker", &["doctor", "--bootstrap-server", "127.0.0.1:1"], 2),
    ("unknown-tool", &["topic"], 1),
    ("unknown-option", &["topics", "--lst"], 1),
    ("bad-number", &["topics", "--create", "--topic", "t", "--partitions", "many"], 1),
    ("no-broker", &["topics", "--list", "--bootstrap-server", "127.0.0.1:1"], 1),
    ("bad-address", &["topics", "--list", "--bootstrap-server", "nowhere"], 1),
];

/// Screens of a cluster with the topics of [`cluster`]; `SERVER` is its address.
const CLUSTER_SCREENS: &[(&str, &[&str], i32)] = &[
    ("topics-list", &["topics", "--list", "--bootstrap-server", "SERVER"], 0),
    ("topics-describe", &["topics", "--describe", "--bootstrap-server", "SERVER"], 0),
];

fn run(words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-rs"));
    assert!(command.args(words).stdout(Stdio::null()).status().unwrap().success(), "{words:?}");
}

fn cluster() -> Broker {
    let broker = Broker::start();
    let server = broker.address().to_owned();
    let create = |topic, partitions, more: &[&str]| {
        let words = ["topics", "--bootstrap-server", &server, "--create", "--topic", topic, "--partitions", partitions];
        run(&[&words, more].concat());
    };
    create("orders", "3", &["--config", "retention.ms=3600000", "--config", "cleanup.policy=compact,delete"]);
    create("payments", "1", &[]);
    broker
}

/// Takes away what differs from run to run, but not its length.
fn masked(text: &str) -> String {
    let keep_length = |pattern: &str, text: &str, with: &str| {
        let pattern = Regex::new(pattern).unwrap();
        pattern.replace_all(text, |found: &regex_lite::Captures<'_>| with.repeat(found[0].len())).into_owned()
    };
    let text = keep_length(r"\b[A-Za-z0-9_-]{22}\b", text, "I");
    Regex::new(r"127\.0\.0\.1:\d{4,5}").unwrap().replace_all(&text, "127.0.0.1:PPPPP").into_owned()
}

#[test]
fn screens_without_a_cluster() {
    for width in WIDTHS {
        for (name, words, code) in SCREENS {
            let ended = Terminal::kafka_rs(width, words).end();
            ended.assert_code(*code).assert_clean().assert_shows(&format!("{name}.{width}"), str::to_owned);
        }
    }
}

#[test]
fn screens_of_a_cluster() {
    let broker = cluster();
    for width in WIDTHS {
        for (name, words, code) in CLUSTER_SCREENS {
            let words: Vec<&str> =
                words.iter().map(|word| if *word == "SERVER" { broker.address() } else { word }).collect();
            let ended = Terminal::kafka_rs(width, &words).end();
            ended.assert_code(*code).assert_clean().assert_shows(&format!("{name}.{width}"), masked);
        }
    }
}

#[test]
fn no_colours_where_they_are_not_wanted() {
    let ended = Terminal::shell(80, "NO_COLOR=1 $KAFKA_RS topics --help; NO_COLOR=1 $KAFKA_RS topics --lst").end();
    assert!(!ended.shown.contains('␛'), "{}", ended.shown);
}

#[test]
fn what_is_deleted_is_asked_first() {
    let broker = cluster();
    let words = ["topics", "--bootstrap-server", broker.address(), "--delete", "--topic", "orders"];
    let answered = |width, answer: &str| {
        let mut terminal = Terminal::kafka_rs(width, &words);
        // The cursor is hidden when the question stands.
        terminal.wait_for("\x1b[?25l").press(answer);
        terminal.end()
    };
    answered(80, "n").assert_clean().assert_shows("topics-delete-no.80", masked);
    let interrupted = answered(80, CTRL_C);
    interrupted.assert_code(130).assert_clean();
    let mut terminal = Terminal::kafka_rs(80, &words);
    terminal.wait_for("\x1b[?25l").interrupt();
    terminal.end().assert_code(130).assert_clean();
    answered(120, "y").assert_code(0).assert_clean().assert_shows("topics-delete-yes.120", masked);
}

#[test]
fn a_topic_is_picked_and_read_until_ctrl_c() {
    let broker = cluster();
    let server = broker.address();
    let send = format!("echo hello | $KAFKA_RS console-producer --bootstrap-server {server} --topic payments");
    Terminal::shell(80, &send).end().assert_code(0);
    let mut terminal = Terminal::kafka_rs(80, &["console-consumer", "--bootstrap-server", server, "--from-beginning"]);
    // The whole list is drawn before a key is pressed, and what a key leaves of it before the next.
    terminal.wait_for("payments").press("pay").wait_for("y\x1b").press("\r").wait_for("hello").press(CTRL_C);
    let ended = terminal.end();
    ended.assert_code(130).assert_clean();
    assert!(ended.shown.ends_with("Processed a total of 1 messages\n"), "{}", ended.shown);
}

#[test]
fn ctrl_c_at_a_picker_leaves_a_clean_terminal() {
    let broker = cluster();
    let mut terminal = Terminal::kafka_rs(80, &["console-consumer", "--bootstrap-server", broker.address()]);
    terminal.wait_for("payments").press(CTRL_C);
    terminal.end().assert_code(130).assert_clean();
}

#[test]
fn ctrl_c_after_a_question_still_ends_the_tool() {
    let broker = cluster();
    let words = ["console-producer", "--bootstrap-server", broker.address()];
    let mut terminal = Terminal::kafka_rs(80, &words);
    terminal.wait_for("payments").press("\r").wait_for(">").press(CTRL_C);
    terminal.end().assert_clean();
}

#[test]
fn long_work_shows_how_far_it_is_and_takes_the_line_away() {
    let broker = cluster();
    let server = broker.address();
    let mut terminal = Terminal::shell(
        80,
        &format!("seq -f %020.0f 100000000 | $KAFKA_RS console-producer --bootstrap-server {server} --topic payments"),
    );
    terminal.wait_for(" records, ").wait_for("records/s)").press(CTRL_C);
    let ended = terminal.end();
    ended.assert_clean();
    let last = ended.shown.rfind("records/s)").unwrap();
    assert!(ended.shown[last..].contains("␛[2K"), "the line is left on the screen:\n{}", &ended.shown[last..]);
}

#[test]
fn top_takes_keys_and_gives_the_terminal_back() {
    let broker = cluster();
    let words = ["top", "--bootstrap-server", broker.address(), "--interval", "0.2"];
    let mut terminal = Terminal::kafka_rs(80, &words);
    terminal.wait_for("orders").press("s").wait_for("by size").press("/pay").wait_for("filter: pay_");
    terminal.press("\r").wait_for("filter: pay ").press("q");
    let ended = terminal.end();
    ended.assert_code(0).assert_clean();
    let last = ended.shown.rfind("␛[?1049l").unwrap();
    assert!(ended.shown[last..].contains("payments") && !ended.shown[last..].contains("orders"), "{}", ended.shown);
    let mut terminal = Terminal::kafka_rs(80, &words);
    terminal.wait_for("orders").press(CTRL_C);
    terminal.end().assert_code(0).assert_clean();
}
