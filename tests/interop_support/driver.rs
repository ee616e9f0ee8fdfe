//! One running driver program: a JSON request in, a JSON answer out.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::library::{Library, temporary_files_in};
use super::records::Record;

/// A client library gives up by itself long before this.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// A driver program of a client library, connected to one cluster.
pub struct Driver {
    pub library: Library,
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
    files: TempDir,
}

/// What a client answered instead of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Kafka's error code, -1 when the client itself refused.
    pub code: i64,
    pub message: String,
    /// The library has no such call.
    pub unsupported: bool,
}

impl Driver {
    pub fn start(library: Library, address: &str) -> Self {
        let files = TempDir::with_prefix("kafka-rs-driver-").unwrap();
        let log = File::create(files.path().join("stderr")).unwrap();
        let mut command = library.command();
        command.env("JAVA_TOOL_OPTIONS", temporary_files_in(files.path()));
        command.arg(address).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", library.name()));
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, answers) = sync_channel(1);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { library, child, stdin, answers, files }
    }

    /// Sends a request and waits for its answer.
    pub fn try_call(&mut self, request: &Value) -> Result<Value, Failure> {
        let name = self.library.name();
        let mut line = request.to_string();
        line.push('\n');
        self.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap_or_else(|e| panic!("{name} has ended: {e}"));
        let answer = self
            .answers
            .recv_timeout(ANSWER_WITHIN)
            .unwrap_or_else(|e| panic!("{name}: no answer to {} ({e})", shortened(request)));
        let mut answer: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{name} said {answer:?}: {e}"));
        match answer.get("error") {
            None => Ok(answer["ok"].take()),
            Some(error) => Err(Failure {
                code: error.as_i64().unwrap_or(-1),
                message: answer["message"].as_str().unwrap_or_default().to_owned(),
                unsupported: error == "unsupported",
            }),
        }
    }

    /// The result of a request that must succeed.
    pub fn call(&mut self, request: Value) -> Value {
        let name = self.library.name();
        self.try_call(&request).unwrap_or_else(|failure| panic!("{name}: {} gave {failure:?}", shortened(&request)))
    }

    /// Kafka's error code of a request that must fail.
    pub fn call_for_error(&mut self, request: Value) -> i64 {
        match self.try_call(&request) {
            Ok(answer) => panic!("{}: {} must fail, gave {answer}", self.library.name(), shortened(&request)),
            Err(failure) => failure.code,
        }
    }

    /// Creates topics of one replica, and waits until this client and others can use them.
    pub fn create_topic(&mut self, name: &str, partitions: usize, configs: Value) {
        let topic = json!({"name": name, "partitions": partitions, "replicas": 1, "configs": configs});
        let codes = self.call(json!({"op": "create_topics", "topics": [topic]}));
        assert_eq!(codes[name], 0, "{}: create_topics {name}", self.library.name());
        let start = Instant::now();
        while self.try_call(&json!({"op": "describe_topic", "name": name})).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "{}: {name} does not appear", self.library.name());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the process as a crash does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// All records of the topics from the beginning; waits for `count` of them, and a moment longer for any too many.
    pub fn consume(&mut self, topics: &[String], count: usize) -> Vec<Record> {
        let request = json!({"op": "consume", "topics": topics, "count": count, "timeout_ms": 30_000});
        Record::list(&self.call(request))
    }

    /// Produces and returns what was said for each record.
    pub fn produce(&mut self, request: Value) -> Vec<Value> {
        self.call(request).as_array().cloned().unwrap()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let start = Instant::now();
        let grace = if std::thread::panicking() { Duration::ZERO } else { Duration::from_secs(20) };
        while start.elapsed() < grace {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.files.path().join("stderr")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("last lines of {}:", self.library.name());
            for line in &lines[lines.len().saturating_sub(25)..] {
                eprintln!("  {line}");
            }
        }
    }
}

fn shortened(request: &Value) -> String {
    let text = request.to_string();
    text.chars().take(300).collect()
}
