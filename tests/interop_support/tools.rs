//! Command-line tools: the scripts of a Kafka home, kcat, and our own under the same options.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::records::Record;
use super::{installed, switched_off};

/// A tool that is not done by then hangs.
const DONE_WITHIN: Duration = Duration::from_secs(120);

/// A Kafka distribution that the environment names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// `KAFKA_HOME`, 4.3.1.
    Kafka,
    /// `KAFKA_39_HOME`, 3.9.1.
    Kafka39,
}

impl Home {
    pub const BOTH: [Self; 2] = [Self::Kafka, Self::Kafka39];

    fn variable(self) -> &'static str {
        match self {
            Self::Kafka => "KAFKA_HOME",
            Self::Kafka39 => "KAFKA_39_HOME",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "tools-43",
            Self::Kafka39 => "tools-39",
        }
    }

    /// Why it can't be used here, if it can't.
    pub fn missing(self) -> Option<String> {
        if let Some(why) = switched_off() {
            return Some(why);
        }
        let variable = self.variable();
        match std::env::var_os(variable) {
            None => Some(format!("{variable} is not set")),
            Some(home) if !Path::new(&home).join("libs").is_dir() => Some(format!("{variable} has no libs/")),
            Some(_) => None,
        }
    }

    /// Where `tests/interop/install` puts what it compiles for it.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Kafka => "java",
            Self::Kafka39 => "java-39",
        }
    }

    pub fn path(self) -> PathBuf {
        PathBuf::from(std::env::var_os(self.variable()).unwrap())
    }

    /// Has a script's JVM start as fast as it can, with the classes that `tests/interop/install` has set aside: those of its `scripts`, or of
    /// a `broker`. Its throughput does not count here.
    pub fn start_quickly(self, command: &mut Command, classes: &str) {
        command.env("KAFKA_JVM_PERFORMANCE_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC");
        let classes = installed(self.folder()).join(classes).with_extension("jsa");
        if classes.exists() {
            command.env("KAFKA_OPTS", format!("-XX:SharedArchiveFile={} -Xlog:disable", classes.display()));
        }
    }
}

/// What a finished command printed.
#[derive(Debug)]
pub struct Ran {
    pub what: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Fails the test unless the command ended with 0.
    pub fn succeed(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Fails the test unless stdout has a line with all the words, in any order of columns.
    pub fn says(self, words: &[&str]) -> Self {
        let found = self.stdout.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "no line with {words:?} in {self:#?}");
        self
    }

    pub fn says_not(self, word: &str) -> Self {
        assert!(!self.stdout.contains(word), "{word:?} in {self:#?}");
        self
    }
}

/// Runs a command to its end with the given input.
pub fn run(mut command: Command, input: &str) -> Ran {
    let what = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // The tool may end without reading it all.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let pid = rustix::process::Pid::from_child(&child);
    let (done, finished) = std::sync::mpsc::sync_channel::<()>(0);
    let shown = what.clone();
    let watchdog = std::thread::spawn(move || {
        let start = Instant::now();
        if finished.recv_timeout(DONE_WITHIN) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("killed after {:?}: {shown}", start.elapsed());
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watchdog.join().unwrap();
    writer.join().unwrap();
    Ran {
        what,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A set of tools with Kafka's names and options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tools {
    /// The scripts of a Kafka home.
    Scripts(Home),
    /// The subcommands of our binary.
    Own,
}

impl Tools {
    pub fn name(self) -> &'static str {
        match self {
            Self::Scripts(home) => home.name(),
            Self::Own => "kafka-rs",
        }
    }

    /// Why they can't be used here, if they can't.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Scripts(home) => home.missing(),
            Self::Own => switched_off(),
        }
    }

    /// `tool` without `kafka-` and `.sh`.
    pub fn command(self, tool: &str) -> Command {
        match self {
            Self::Scripts(home) => {
                let mut command = Command::new(home.path().join(format!("bin/kafka-{tool}.sh")));
                home.start_quickly(&mut command, if tool == "storage" { "broker" } else { "scripts" });
                command
            }
            Self::Own => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-rs"));
                command.arg(tool);
                command
            }
        }
    }

    pub fn run(self, tool: &str, address: &str, arguments: &[&str]) -> Ran {
        self.run_with_input(tool, address, arguments, "")
    }

    pub fn run_with_input(self, tool: &str, address: &str, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(tool);
        command.args(["--bootstrap-server", address]).args(arguments);
        run(command, input)
    }

    /// The spelling of an option that Kafka 4.2 renamed.
    pub fn option(self, new: &'static str, old: &'static str) -> &'static str {
        if self == Self::Scripts(Home::Kafka39) { old } else { new }
    }
}

/// Whether `tests/interop/install` has found kcat.
pub fn kcat_missing() -> Option<String> {
    let absent =
        || (!installed("bin/kcat").exists()).then(|| "kcat: not installed (tests/interop/install does it)".to_owned());
    switched_off().or_else(absent)
}

/// Runs kcat.
pub fn kcat(address: &str, arguments: &[&str], input: &str) -> Ran {
    let mut command = Command::new(installed("bin/kcat"));
    command.args(["-b", address]).args(arguments);
    run(command, input)
}

/// All records of a topic as kcat reads them.
pub fn kcat_records(address: &str, topic: &str) -> Vec<Record> {
    kcat_records_of(address, topic, &["-e", "-o", "beginning"])
}

/// The records of a topic that kcat's own options choose.
pub fn kcat_records_of(address: &str, topic: &str, chosen: &[&str]) -> Vec<Record> {
    let arguments = [&["-C", "-J", "-q", "-X", "check.crcs=true", "-t", topic], chosen].concat();
    let ran = kcat(address, &arguments, "").succeed();
    let record = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("kcat said {line:?}: {e}"));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let headers = value["headers"].as_array().cloned().unwrap_or_default();
        Record {
            topic: text(&value["topic"]).unwrap(),
            partition: value["partition"].as_i64().unwrap(),
            offset: value["offset"].as_i64().unwrap(),
            timestamp: value["ts"].as_i64().unwrap(),
            key: text(&value["key"]),
            value: text(&value["payload"]),
            headers: headers.chunks(2).map(|pair| (text(&pair[0]).unwrap(), text(&pair[1]))).collect(),
        }
    };
    ran.stdout.lines().map(record).collect()
}

/// What console-consumer prints for a null.
const NULL: &str = "NULL";

/// `count` records as console-consumer reads them. It does not print topics: `topic_of` finds them by a record's id.
pub fn console_consumer_records(
    tools: Tools,
    address: &str,
    arguments: &[&str],
    count: usize,
    topic_of: impl Fn(&str) -> String,
) -> Vec<Record> {
    let count_text = count.to_string();
    let mut all: Vec<&str> = vec!["--from-beginning", "--max-messages", &count_text, "--timeout-ms", "30000"];
    all.extend(arguments);
    for property in [
        "print.timestamp=true",
        "print.partition=true",
        "print.offset=true",
        "print.headers=true",
        "print.key=true",
        "key.separator=\t",
        "headers.separator=,",
        "null.literal=NULL",
    ] {
        all.extend([tools.option("--formatter-property", "--property"), property]);
    }
    let ran = tools.run("console-consumer", address, &all).succeed();
    let records: Vec<Record> = ran.stdout.lines().map(|line| console_record(line, &topic_of)).collect();
    assert_eq!(records.len(), count, "{}", ran.stderr);
    records
}

fn console_record(line: &str, topic_of: &impl Fn(&str) -> String) -> Record {
    let fields: Vec<&str> = line.split('\t').collect();
    let [timestamp, partition, offset, headers, key, value] = fields[..] else {
        panic!("console-consumer said {line:?}")
    };
    let number = |field: &str| field.split_once(':').and_then(|(_, number)| number.parse().ok()).unwrap();
    let text = |field: &str| (field != NULL).then(|| field.to_owned());
    let headers = if headers == "NO_HEADERS" { "" } else { headers };
    let pairs = headers.split(',').filter_map(|pair| pair.split_once(':'));
    let mut record = Record {
        topic: String::new(),
        partition: number(partition),
        offset: number(offset),
        timestamp: number(timestamp),
        key: text(key),
        value: text(value),
        headers: pairs.map(|(name, value)| (name.to_owned(), text(value))).collect(),
    };
    record.topic = topic_of(&record.id());
    record
}
