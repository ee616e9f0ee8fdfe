//! Completion as the shells do it: each shell that is installed reads its committed script and completes lines.
//!
//! zsh completes at a terminal alone; `tests/terminal` tries it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::Broker;

const BINARY: &str = env!("CARGO_BIN_EXE_kafka-rs");

/// What `command` prints; `None`, and a remark, where the shell is not installed.
fn lines_of(shell: &str, script: &str) -> Option<Vec<String>> {
    let directory = Path::new(BINARY).parent().unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    let output = match Command::new(shell).args(["-c", script]).env("PATH", path).stdin(Stdio::null()).output() {
        Err(error) => {
            eprintln!("skipped: {shell}: {error}");
            return None;
        }
        Ok(output) => output,
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.is_empty(), "{shell}: {stderr}");
    Some(text.lines().map(|line| line.split('\t').next().unwrap_or(line).to_owned()).collect())
}

fn bash(line: &str) -> Option<Vec<String>> {
    let script = format!(
        "source completions/kafka-rs.bash; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE); \
         _kafka_rs; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    lines_of("bash", &script)
}

fn fish(line: &str) -> Option<Vec<String>> {
    lines_of("fish", &format!("source completions/kafka-rs.fish; complete -C '{line}'"))
}

fn kafka_rs(words: &[&str]) {
    assert!(Command::new(BINARY).args(words).stdout(Stdio::null()).status().unwrap().success());
}

#[test]
fn shells_complete_options_keys_and_live_names() {
    let broker = Broker::start();
    let server = broker.address();
    for topic in ["completed-orders", "completed-payments"] {
        kafka_rs(&["topics", "--bootstrap-server", server, "--create", "--topic", topic, "--partitions", "1"]);
    }
    for complete in [bash, fish] {
        let cases = [
            ("kafka-rs topics --desc".to_owned(), vec!["--describe"]),
            ("kafka-topics.sh --desc".to_owned(), vec!["--describe"]),
            (
                format!("kafka-topics.sh --bootstrap-server {server} --describe --topic completed-"),
                vec!["completed-orders", "completed-payments"],
            ),
            (format!("kafka-rs topics --bootstrap-server {server} --topic completed-p"), vec!["completed-payments"]),
            ("kafka-rs topics --create --config retention.m".to_owned(), vec!["retention.ms="]),
            ("kafka-topics.sh --bootstrap-server 127.0.0.1:1 --topic completed-".to_owned(), vec![]),
        ];
        for (line, expected) in cases {
            let Some(mut found) = complete(&line) else { break };
            found.retain(|value| !value.is_empty());
            assert_eq!(found, expected, "{line}");
        }
    }
}

/// Nothing answers behind this port, and no refusal comes either.
#[test]
fn a_silent_cluster_is_not_waited_for_and_not_told_of() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let started = Instant::now();
    let words = ["__complete", "fish", "--", "kafka-rs", "topics", "--bootstrap-server", &server, "--topic", ""];
    let output = Command::new(BINARY).args(words).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), ":done\n");
    assert!(output.stderr.is_empty() && output.status.success());
    // A request waits for 30 seconds where nobody says otherwise.
    assert!(started.elapsed() < Duration::from_secs(10));
}
