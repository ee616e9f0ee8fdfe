//! The program that works with a cluster while servers take turns on its directory, and tells what it sees.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tempfile::TempDir;

use super::library::{java_program, temporary_files_in};
use super::tools::Home;

/// Its clients give up by themselves long before this.
const ANSWER_WITHIN: Duration = Duration::from_secs(180);

/// Lines that are answered at once are far fewer.
const MAX_LINES: usize = 1 << 16;

/// A running `BothWays.java`.
pub struct BothWays {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    files: TempDir,
}

/// What a client can see of a cluster, a line for each fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts(pub BTreeSet<String>);

impl Facts {
    /// Those that begin with one of these words.
    pub fn about(&self, kinds: &[&str]) -> Self {
        let is = |fact: &&String| kinds.iter().any(|kind| fact.starts_with(kind));
        Self(self.0.iter().filter(is).cloned().collect())
    }

    /// Those that begin with none of these words.
    pub fn besides(&self, kinds: &[&str]) -> Self {
        let is = |fact: &&String| kinds.iter().any(|kind| fact.starts_with(kind));
        Self(self.0.iter().filter(|fact| !is(fact)).cloned().collect())
    }

    /// How many of them contain all of these words.
    pub fn count(&self, words: &[&str]) -> usize {
        self.0.iter().filter(|fact| words.iter().all(|word| fact.contains(word))).count()
    }

    /// Fails the test unless both tell the same.
    pub fn assert_same(&self, later: &Self, when: &str) {
        let few = |facts: Vec<&String>| facts.into_iter().take(30).map(|f| format!("  {f}\n")).collect::<String>();
        let lost = few(self.0.difference(&later.0).collect());
        let new = few(later.0.difference(&self.0).collect());
        assert!(lost.is_empty() && new.is_empty(), "{when}: lost\n{lost}new\n{new}");
    }
}

impl BothWays {
    /// Starts it. Brokers of 3.9 have no share groups.
    pub fn start(address: &str, broker: Home) -> Self {
        let files = TempDir::with_prefix("kafka-rs-both-ways-").unwrap();
        let log = File::create(files.path().join("stderr")).unwrap();
        let mut command = java_program(Home::Kafka, "BothWays");
        command.env("JAVA_TOOL_OPTIONS", temporary_files_in(files.path()));
        command.arg(address).args((broker == Home::Kafka39).then_some("no-shares"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let stdin = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, lines) = sync_channel(MAX_LINES);
        std::thread::spawn(move || {
            for line in output.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, stdin, lines, files }
    }

    /// Does the work of a round, and goes on with that of the rounds before.
    pub fn work(&mut self, round: usize) {
        self.call(&format!("work {round}"));
    }

    /// Adds access control entries, which takes a broker with an authorizer.
    pub fn add_acls(&mut self) {
        self.call("acls");
    }

    /// Begins to write to a topic of its own, without a pause when servers go and come.
    pub fn load(&mut self) {
        self.call("load");
    }

    /// Ends that, after checking that each record is there once and in order; gives how many.
    pub fn unload(&mut self) -> usize {
        let lines = self.call("unload");
        lines[0].strip_prefix("load ").unwrap().parse().unwrap()
    }

    /// All that it sees now.
    pub fn facts(&mut self) -> Facts {
        Facts(self.call("state").into_iter().collect())
    }

    fn call(&mut self, request: &str) -> Vec<String> {
        writeln!(self.stdin.as_mut().unwrap(), "{request}").unwrap();
        let mut lines = Vec::new();
        loop {
            let line = self.lines.recv_timeout(ANSWER_WITHIN).unwrap_or_else(|e| panic!("no answer to {request}: {e}"));
            if line.is_empty() {
                return lines;
            }
            assert!(!line.starts_with("failed") && !line.starts_with("unreadable"), "{request}: {line}");
            lines.push(line);
        }
    }
}

impl Drop for BothWays {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.files.path().join("stderr")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("could not be established")).collect();
            eprintln!("last lines of BothWays:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}
