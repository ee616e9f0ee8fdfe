//! Runs recorded cases with our binary and tells where it does other than the case says; or with Kafka's scripts, to record.

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

use crate::abandoned::abandon;
use crate::apache::{self, Apache};
use crate::case::{Case, Outcome, Step, Suite};
use crate::compare::{generalised, input, matches, messages, notation, ordered, tells, words};
use crate::members::Member;
use crate::record::Changes;
use crate::support::{Broker, wait_for};

/// How long a tool may take; the longest case waits a few seconds for records.
const PATIENCE: Duration = Duration::from_secs(60);
/// Kafka's own tools give up after a minute, and start slowly.
const PATIENCE_WITH_KAFKA: Duration = Duration::from_secs(180);
/// How long something that takes its time may do so.
const EVENTUALLY: Duration = Duration::from_secs(20);

/// Whose tools are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tools {
    Ours,
    Kafkas,
}

/// On whose broker.
enum Server {
    Ours(Broker),
    Apache(Apache),
}

impl Server {
    fn address(&self) -> String {
        match self {
            Self::Ours(broker) => broker.address().to_owned(),
            Self::Apache(cluster) => cluster.address(),
        }
    }

    /// The cluster whose second broker a suite stops and starts.
    fn with_second(&mut self) -> &mut Apache {
        match self {
            Self::Ours(_) => panic!("ours is alone: such suites are for Apache Kafka's"),
            Self::Apache(cluster) => cluster,
        }
    }
}

/// A suite on its way.
pub struct Runner {
    tools: Tools,
    server: Server,
    files: TempDir,
    /// An address where nobody listens.
    nobody: String,
    /// Ids of topics, by name, as `topics --describe` printed them last.
    topic_ids: BTreeMap<String, String>,
    /// Id and HMAC of the delegation token that was made last.
    token: Option<(String, String)>,
    failures: String,
    /// What Kafka did otherwise than the cases say.
    changes: Changes,
    /// Who is a member of a group, by the name that the suite gives it.
    members: BTreeMap<String, Member>,
}

impl Runner {
    /// Runs all cases with our tools on our broker; panics at the end if some did not do what they should.
    pub fn run(suite: &Suite) {
        let settings: Vec<&str> = suite.broker.iter().map(String::as_str).collect();
        let server = |files: &TempDir| Server::Ours(Broker::start_in(&files.path().join("kafka-data"), &settings));
        Self::play(suite, Tools::Ours, server).judge();
    }

    /// The same with our tools on Apache Kafka's brokers.
    pub fn run_on_apache(suite: &Suite) {
        Self::play(suite, Tools::Ours, |files| Self::apache(suite, files)).judge();
    }

    /// Runs all cases with Kafka's, and returns what they do now.
    pub fn record(suite: &Suite) -> Changes {
        Self::play(suite, Tools::Kafkas, |files| Self::apache(suite, files)).changes
    }

    fn apache(suite: &Suite, files: &TempDir) -> Server {
        let directory = files.path().display().to_string();
        let settings: Vec<String> = suite.broker.iter().map(|line| line.replace("{dir}", &directory)).collect();
        Server::Apache(Apache::start(files.path(), &settings, suite.has_second))
    }

    fn judge(&self) {
        assert!(self.failures.is_empty(), "these are not as recorded:\n\n{}", self.failures);
    }

    fn play(suite: &Suite, tools: Tools, server: impl FnOnce(&TempDir) -> Server) -> Self {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let files = TempDir::with_prefix("kafka-rs-parity-").unwrap();
        let mut runner = Self {
            tools,
            server: server(&files),
            files,
            nobody,
            topic_ids: BTreeMap::new(),
            token: None,
            failures: String::new(),
            changes: Changes::new(),
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
                    let member = Member::join(&runner.server.address(), kind, group, topic);
                    assert!(runner.members.insert(name.clone(), member).is_none(), "{name} is there already");
                }
                Step::Abandon { known, id, topic, partition } => {
                    abandon(&runner.server.address(), *known, id, topic, *partition);
                }
                Step::Leave { name } => drop(runner.members.remove(name).unwrap()),
                Step::StopSecond => runner.server.with_second().stop_second(),
                Step::StartSecond => runner.server.with_second().start_second(),
            }
        }
        // Before the broker goes.
        runner.members.clear();
        runner
    }

    /// What is the same in a line for all of this run, and what it stands for.
    fn places(&self) -> Vec<(String, String)> {
        let mut places = vec![
            ("{server}".to_owned(), self.server.address()),
            ("{nobody}".to_owned(), self.nobody.clone()),
            ("{version}".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("{dir}".to_owned(), self.files.path().display().to_string()),
            (
                "{golden}".to_owned(),
                concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/log/kafka-4.3.1-golden-0").to_owned(),
            ),
        ];
        if let Server::Apache(cluster) = &self.server {
            places.push(("{controller}".to_owned(), cluster.controller().to_owned()));
            places.extend(cluster.second().map(|second| ("{second}".to_owned(), second)));
            // Where a port has a column of its own.
            for (name, address) in places.clone() {
                if let ("{server}" | "{controller}" | "{second}", Some((_, port))) =
                    (name.as_str(), address.rsplit_once(':'))
                {
                    places.push((format!("{{port of {}}}", name.trim_matches(['{', '}'])), port.to_owned()));
                }
            }
        }
        for (topic, id) in &self.topic_ids {
            places.push((format!("{{id of {topic}}}"), id.clone()));
        }
        if let Some((token, hmac)) = &self.token {
            places.push(("{token}".to_owned(), token.clone()));
            places.push(("{hmac}".to_owned(), hmac.clone()));
        }
        places
    }

    /// A line of a case with this run's address and directory in it.
    fn filled_in(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (name, place) in self.places() {
            line = line.replace(&name, &place);
        }
        line
    }

    /// The reverse, for what is to be recorded.
    fn taken_out(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (name, place) in self.places().into_iter().filter(|(name, _)| name != "{version}") {
            line = line.replace(&place, &name);
        }
        generalised(&line)
    }

    fn check(&mut self, case: &Case) {
        assert_eq!(
            case.ours.is_none(),
            case.reasons.is_empty(),
            "line {}: what differs has a reason, and only that",
            case.line
        );
        if let Some(tool) = &case.until {
            if self.tools == Tools::Ours && tool_exists(tool) {
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
            let wrong = match self.tools {
                _ if case.prepare => String::new(),
                Tools::Ours => self.differences(case, &found),
                Tools::Kafkas => self.unlike_recorded(case, &found),
            };
            if wrong.is_empty() || !case.eventually || start.elapsed() > EVENTUALLY {
                break (found, wrong);
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        self.remember_ids(&found.stdout);
        if case.prepare {
            if found.exit != 0 {
                self.fail(case, &format!("this had to succeed:\n{found}"));
            }
            return;
        }
        match self.tools {
            _ if wrong.is_empty() => {}
            Tools::Ours => self.fail(case, &format!("{wrong}found:\n{found}")),
            Tools::Kafkas => {
                let new = self.to_record(case, found);
                self.changes.insert(case.line, new);
            }
        }
    }

    /// The same of Kafka's own tool, of whose standard error the cases leave things out.
    fn unlike_recorded(&self, case: &Case, found: &Outcome) -> String {
        let fill = |lines: &[String]| lines.iter().map(|line| self.filled_in(line)).collect::<Vec<_>>();
        let parts = [
            ("exit ", found.exit == case.kafka.exit),
            ("stdout ", matches(&fill(&case.kafka.stdout), &found.stdout)),
            ("stderr ", tells(&fill(&case.kafka.stderr), &found.stderr)),
        ];
        parts.into_iter().filter(|(_, is_same)| !is_same).map(|(part, _)| part).collect()
    }

    /// What was found, with those lines that are as recorded left as they are.
    fn to_record(&self, case: &Case, found: Outcome) -> Outcome {
        let wrong = self.unlike_recorded(case, &found);
        let lines = |part: &str, recorded: &[String], found: &[String]| {
            if wrong.contains(part) {
                found.iter().map(|line| self.taken_out(line)).collect()
            } else {
                recorded.to_vec()
            }
        };
        Outcome {
            exit: found.exit,
            stdout: lines("stdout", &case.kafka.stdout, &found.stdout),
            stderr: lines("stderr", &case.kafka.stderr, &found.stderr),
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
        let mut command = match self.tools {
            Tools::Ours => Command::new(env!("CARGO_BIN_EXE_kafka-rs")),
            Tools::Kafkas => apache::script(&words[0], self.files.path()),
        };
        let is_ours = self.tools == Tools::Ours;
        let mut child = command
            .args(&words[usize::from(!is_ours)..])
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
        let patience = if is_ours { PATIENCE } else { PATIENCE_WITH_KAFKA };
        let status = end_of(&mut child, &case.command, patience);
        let mut stdout = notation(&stdout.all());
        if case.unordered {
            stdout = ordered(stdout);
        }
        if !is_ours {
            stdout = apache::without_traces(stdout);
        }
        let stderr = if is_ours { messages(&stderr.all()) } else { apache::messages(notation(&stderr.all())) };
        Outcome { exit: status, stdout, stderr }
    }

    fn remember_ids(&mut self, stdout: &[String]) {
        if stdout.iter().any(|line| line.starts_with("Created delegation token"))
            && let Some([token, hmac, ..]) = stdout.last().map(|line| line.split(' ').collect::<Vec<_>>()).as_deref()
        {
            self.token = Some(((*token).to_owned(), (*hmac).to_owned()));
        }
        for line in stdout {
            let mut columns = line.split("\\t");
            let (Some(name), Some(id)) = (columns.next(), columns.next()) else { continue };
            if let (Some(name), Some(id)) = (name.strip_prefix("Topic: "), id.strip_prefix("TopicId: ")) {
                self.topic_ids.insert(name.to_owned(), id.to_owned());
            }
        }
    }
}

fn end_of(child: &mut Child, command: &str, patience: Duration) -> i32 {
    let start = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if start.elapsed() > patience {
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
