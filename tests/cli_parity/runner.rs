//! Runs recorded cases with our binary and tells where it does other than the case says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::case::{Case, Outcome, Step, Suite};
use crate::compare::{input, matches, messages, notation, words};
use crate::members::Member;
use crate::support::{Broker, wait_for};

/// How long a tool may take; the longest case waits a few seconds for records.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long something that takes its time may do so.
const EVENTUALLY: Duration = Duration::from_secs(20);

/// A suite on its way.
pub struct Runner {
    broker: Broker,
    files: TempDir,
    /// An address where nobody listens.
    nobody: String,
    /// Ids of topics, by name, as `topics --describe` printed them last.
    topic_ids: BTreeMap<String, String>,
    failures: String,
    /// Who is a member of a group, by the name that the suite gives it.
    members: BTreeMap<String, Member>,
}

impl Runner {
    /// Runs all cases; panics at the end if some did not do what they should.
    pub fn run(suite: &Suite) {
        let settings: Vec<&str> = suite.broker.iter().map(String::as_str).collect();
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let files = TempDir::with_prefix("kafka-rs-parity-").unwrap();
        let mut runner = Self {
            broker: Broker::start_in(&files.path().join("kafka-data"), &settings),
            files,
            nobody,
            topic_ids: BTreeMap::new(),
            failures: String::new(),
            members: BTreeMap::new(),
        };
        for step in &suite.steps {
            match step {
                Step::File { name, lines } => {
                    let text: String = lines.iter().map(|line| runner.filled_in(line) + "\n").collect();
                    std::fs::write(runner.files.path().join(name), text).unwrap();
                }
                Step::Run(case) => runner.check(case),
                Step::Join { name, kind, group, topic } => {
                    let member = Member::join(runner.broker.address(), kind, group, topic);
                    assert!(runner.members.insert(name.clone(), member).is_none(), "{name} is there already");
                }
                Step::Leave { name } => drop(runner.members.remove(name).unwrap()),
            }
        }
        // Before the broker goes.
        runner.members.clear();
        assert!(runner.failures.is_empty(), "these are not as recorded:\n\n{}", runner.failures);
    }

    /// A line of a case with this run's address and directory in it.
    fn filled_in(&self, line: &str) -> String {
        let mut line = line
            .replace("{server}", self.broker.address())
            .replace("{nobody}", &self.nobody)
            .replace("{controller}", &self.nobody)
            .replace("{version}", env!("CARGO_PKG_VERSION"))
            .replace("{dir}", &self.files.path().display().to_string())
            .replace("{golden}", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/log/kafka-4.3.1-golden-0"));
        for (topic, id) in &self.topic_ids {
            line = line.replace(&format!("{{id of {topic}}}"), id);
        }
        line
    }

    fn check(&mut self, case: &Case) {
        assert_eq!(
            case.ours.is_none(),
            case.reasons.is_empty(),
            "line {}: what differs has a reason, and only that",
            case.line
        );
        if let Some(tool) = &case.until {
            if tool_exists(tool) {
                self.fail(case, &format!("there is a {tool} now: take the `until` away"));
            }
            return;
        }
        if case.not_run.is_some() {
            return;
        }
        let start = std::time::Instant::now();
        let (found, wrong) = loop {
            let found = self.outcome(case);
            let wrong = if case.prepare { String::new() } else { self.differences(case, &found) };
            if wrong.is_empty() || !case.eventually || start.elapsed() > EVENTUALLY {
                break (found, wrong);
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        self.remember_topic_ids(&found.stdout);
        if case.prepare {
            if found.exit != 0 {
                self.fail(case, &format!("this had to succeed:\n{found}"));
            }
            return;
        }
        if !wrong.is_empty() {
            self.fail(case, &format!("{wrong}found:\n{found}"));
        }
    }

    /// What is not as recorded; nothing if all is.
    fn differences(&self, case: &Case, found: &Outcome) -> String {
        let fill = |lines: &[String]| lines.iter().map(|line| self.filled_in(line)).collect::<Vec<_>>();
        let mut wrong = String::new();
        match case.ours.exit {
            _ if found.exit == case.ours.exit.unwrap_or(case.kafka.exit) => {}
            Some(_) if found.exit == case.kafka.exit => {
                wrong.push_str("the exit code differs from Kafka's no longer: take what says so away\n");
            }
            _ => {
                let _ = writeln!(wrong, "exit {} was expected", case.ours.exit.unwrap_or(case.kafka.exit));
            }
        }
        for (name, kafka, ours, found) in [
            ("stdout", &case.kafka.stdout, &case.ours.stdout, &found.stdout),
            ("stderr", &case.kafka.stderr, &case.ours.stderr, &found.stderr),
        ] {
            let is_kafkas = matches(&fill(kafka), found);
            match ours {
                None if is_kafkas => {}
                None => {
                    let _ = writeln!(wrong, "{name} is not Kafka's:\n{}", lines_of(kafka));
                }
                Some(_) if is_kafkas => {
                    let _ = writeln!(wrong, "{name} differs from Kafka's no longer: take what says so away");
                }
                Some(ours) if matches(&fill(ours), found) => {}
                Some(ours) => {
                    let _ = writeln!(wrong, "{name} is not what was recorded of ours:\n{}", lines_of(ours));
                }
            }
        }
        wrong
    }

    fn fail(&mut self, case: &Case, what: &str) {
        let _ = writeln!(self.failures, "line {}: $ {}\n{what}", case.line, case.command);
    }

    fn outcome(&self, case: &Case) -> Outcome {
        let words = words(&self.filled_in(&case.command));
        let mut child = Command::new(env!("CARGO_BIN_EXE_kafka-rs"))
            .args(&words)
            .current_dir(self.files.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // What a tool reads here fits into a pipe; one that ends without reading is not to be complained of.
        let _ = stdin.write_all(&input(&case.stdin));
        drop(stdin);
        let stdout = Collected::from(child.stdout.take().unwrap());
        let stderr = Collected::from(child.stderr.take().unwrap());
        if let Some(signal) = &case.signal {
            // What tells of the shutdown, and what follows it, comes after the signal.
            let before = case.kafka.stdout.iter().take_while(|line| !line.contains("shutdown_")).count();
            wait_for("the lines before the signal", PATIENCE, || (stdout.lines() >= before).then_some(()));
            let signal = if signal == "INT" { Signal::INT } else { Signal::TERM };
            kill_process(Pid::from_child(&child), signal).unwrap();
        }
        let status = end_of(&mut child, &case.command);
        let mut stdout = notation(&stdout.all());
        if case.unordered {
            stdout.sort_unstable();
        }
        Outcome { exit: status, stdout, stderr: messages(&stderr.all()) }
    }

    fn remember_topic_ids(&mut self, stdout: &[String]) {
        for line in stdout {
            let mut columns = line.split("\\t");
            let (Some(name), Some(id)) = (columns.next(), columns.next()) else { continue };
            if let (Some(name), Some(id)) = (name.strip_prefix("Topic: "), id.strip_prefix("TopicId: ")) {
                self.topic_ids.insert(name.to_owned(), id.to_owned());
            }
        }
    }
}

fn end_of(child: &mut Child, command: &str) -> i32 {
    let start = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("does not end: {command}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn tool_exists(tool: &str) -> bool {
    let help = Command::new(env!("CARGO_BIN_EXE_kafka-rs")).args(["help", tool]).output().unwrap();
    help.status.success()
}

fn lines_of(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// What comes out of a pipe, read as it comes.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collected {
    fn from(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut part) {
                to.lock().unwrap().extend_from_slice(&part[..length]);
            }
        });
        Self { bytes, reader }
    }

    /// How many whole lines have come so far.
    fn lines(&self) -> usize {
        self.bytes.lock().unwrap().iter().filter(|byte| **byte == b'\n').count()
    }

    fn all(self) -> Vec<u8> {
        self.reader.join().unwrap();
        std::mem::take(&mut self.bytes.lock().unwrap())
    }
}
