//! Every option of every tool is given rubbish, beside a broker: no tool panics, dies of a signal or goes wild.
//!
//! What a parser alone can refuse is refused by name: `src/cli/tests.rs` holds every tool to that.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use support::Broker;

/// These start or stop brokers, whatever else is on their line.
const LEFT_OUT: &[&str] = &["server-start", "server-stop"];
/// A tool that takes rubbish for a name may wait for it: that is no fault.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

fn kafka_rs() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-rs"));
    command.stdin(Stdio::null());
    command
}

/// What completion knows: the one list of tools and options that can't be out of date.
fn completed(words: &[&str]) -> Vec<String> {
    let output = kafka_rs().args(["__complete", "fish", "--", "kafka-rs"]).args(words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter(|line| !line.starts_with(':'));
    names.map(|line| line.split('\t').next().unwrap_or(line).to_owned()).collect()
}

fn rubbish() -> Vec<OsString> {
    vec![
        "".into(),
        "-99999999999999999999".into(),
        "99999999999999999999".into(),
        "\u{1}\u{1b}[2J,=:\u{7f}\u{202e}".into(),
        OsString::from_vec(vec![b'a', 0xff, 0xfe]),
    ]
}

/// How it ended, and what it said; `None` if it is still at work.
fn ended(command: &mut Command, stderr: &Path) -> Option<(ExitStatus, String)> {
    let mut child = command.stdout(Stdio::null()).stderr(std::fs::File::create(stderr).unwrap()).spawn().unwrap();
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some((status, String::from_utf8_lossy(&std::fs::read(stderr).unwrap()).into_owned()));
        }
        if started.elapsed() > LONG_ENOUGH {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn try_tool(tool: &str, server: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    // What tools write, if a name is good enough for them, they write here.
    let work = dir.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let stderr = dir.path().join("stderr");
    let options = completed(&[tool, "--"]);
    let mut faults = Vec::new();
    for option in options.iter().filter(|option| !["--help", "--help-all", "--version"].contains(&option.as_str())) {
        for word in rubbish() {
            let mut command = kafka_rs();
            command.arg(tool).current_dir(&work);
            if options.iter().any(|known| known == "--bootstrap-server") && option != "--bootstrap-server" {
                command.args(["--bootstrap-server", server]);
            }
            command.arg(option).arg(&word);
            let Some((status, stderr)) = ended(&mut command, &stderr) else { continue };
            if status.code() == Some(101) || status.signal().is_some() || stderr.contains("panicked") {
                faults.push(format!("{tool} {option} {word:?}: {status}: {stderr}"));
            }
        }
    }
    faults
}

#[test]
fn no_tool_panics_on_rubbish() {
    let broker = Broker::start();
    let tools = completed(&[""]);
    assert!(tools.len() > 10, "{tools:?}");
    let faults: Vec<String> = std::thread::scope(|scope| {
        let tools = tools.iter().filter(|tool| !LEFT_OUT.contains(&tool.as_str()));
        let running: Vec<_> = tools.map(|tool| scope.spawn(|| try_tool(tool, broker.address()))).collect();
        running.into_iter().flat_map(|tool| tool.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(!broker.output().contains("panicked"), "{}", broker.output());
}

/// Goal: a plan that can't be read is told in Kafka's words where they are its own, with file, line and column, and its exit code.
#[test]
fn a_plan_that_is_no_json_is_named_with_line_and_column() {
    let directory = tempfile::tempdir().unwrap();
    let tools: &[(&str, &str, &str)] = &[
        ("delete-records --offset-json-file FILE", "The input string is not a valid JSON", ""),
        ("leader-election --election-type preferred --path-to-json-file FILE", "Replica election data is empty", ""),
        (
            "reassign-partitions --execute --reassignment-json-file FILE",
            "Error: The input string is not a valid JSON",
            "Error: The input string shouldn't be empty",
        ),
        (
            "reassign-partitions --verify --reassignment-json-file FILE",
            "Error: The input string is not a valid JSON",
            "Error: The input string shouldn't be empty",
        ),
        (
            "reassign-partitions --generate --broker-list 1 --topics-to-move-json-file FILE",
            "Error: The input string is not a valid JSON",
            "Error: The input string shouldn't be empty",
        ),
    ];
    for (name, text, place) in [
        ("comma.json", "{\"version\":1,\n\"partitions\":[{\"topic\" \"t\"}]}", " at line 2 column 24"),
        ("cut.json", "{\"version\":1,\"partitions\":[", " at line 1 column 27"),
        ("word.json", "hello", " at line 1 column 1"),
        ("empty.json", "", " at line 1 column "),
    ] {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        for (line, first, of_empty) in tools {
            let words = line.split(' ').map(|word| if word == "FILE" { file.to_str().unwrap() } else { word });
            let ran = kafka_rs().args(words).args(["--bootstrap-server", "127.0.0.1:1"]).output().unwrap();
            let told = String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap();
            assert_eq!(ran.status.code(), Some(1), "{line} of {name}: {told}");
            let first = if text.is_empty() && !of_empty.is_empty() { of_empty } else { first };
            assert_eq!(told.lines().next(), Some(*first), "{line} of {name}: {told}");
            let hint = told.lines().find(|line| line.starts_with("hint: ")).unwrap_or_default();
            assert!(
                hint.contains(&format!("look at {}: ", file.display())) && hint.contains(place),
                "{line} of {name}: {told}"
            );
        }
    }
}

/// Goal: what is JSON and no plan is told as Kafka tells it, with the file.
#[test]
fn a_plan_of_other_things_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plan.json");
    std::fs::write(&file, r#"{"version":1,"partitions":"x"}"#).unwrap();
    for line in [
        "delete-records --offset-json-file FILE",
        "leader-election --election-type preferred --path-to-json-file FILE",
        "reassign-partitions --execute --reassignment-json-file FILE",
    ] {
        let words = line.split(' ').map(|word| if word == "FILE" { file.to_str().unwrap() } else { word });
        let ran = kafka_rs().args(words).args(["--bootstrap-server", "127.0.0.1:1"]).output().unwrap();
        let told = String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{line}: {told}");
        assert!(told.lines().next().unwrap().ends_with(r#"Expected JSON array, received "x""#), "{line}: {told}");
        assert!(told.contains(&format!("hint: look at {}\n", file.display())), "{line}: {told}");
    }
}
