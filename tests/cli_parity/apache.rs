//! A fresh Apache Kafka of one node, as `bin/` of `KAFKA_HOME` starts it: what the cases were recorded from.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::wait_for;

/// A JVM on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(90);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// A running Apache Kafka on a free port; stopped when dropped.
pub struct Apache {
    child: Child,
    address: String,
}

impl Apache {
    /// Starts it with its files below `directory` and the `key=value` settings over Kafka's defaults.
    pub fn start(directory: &Path, settings: &[String]) -> Self {
        let [port, controller] = [0; 2].map(|any| TcpListener::bind(("127.0.0.1", any)).unwrap());
        let [port, controller] = [port, controller].map(|listener| listener.local_addr().unwrap().port());
        let mut text = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\nlog.dirs={}\noffsets.topic.replication.factor=1\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n",
            directory.join("kafka-data").display()
        );
        for setting in settings {
            text.push_str(setting);
            text.push('\n');
        }
        let file = directory.join("server.properties");
        fs::write(&file, text).unwrap();
        let id = "5L6g3nShT-eMCtK--X86sw";
        let formatted =
            script("kafka-storage.sh", directory).args(["format", "-t", id, "-c"]).arg(&file).output().unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        let output = directory.join("server-output");
        let log = File::create(&output).unwrap();
        let mut child = script("kafka-server-start.sh", directory)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        wait_for("Apache Kafka to be ready", READY_WITHIN, || {
            let output = fs::read_to_string(&output).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "Apache Kafka ended:\n{output}");
            output.contains("Kafka Server started").then_some(())
        });
        Self { child, address: format!("127.0.0.1:{port}") }
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        wait_for("Apache Kafka to stop", STOPPED_WITHIN, || self.child.try_wait().unwrap());
    }
}

/// One of Kafka's scripts. Many short lives of a JVM: it had better not compile much.
pub fn script(name: &str, directory: &Path) -> Command {
    let home = std::env::var_os("KAFKA_HOME").expect("KAFKA_HOME names an Apache Kafka 4.3.1");
    let mut command = Command::new(PathBuf::from(home).join("bin").join(name));
    command.env("LOG_DIR", directory.join("logs")).env("KAFKA_HEAP_OPTS", "-Xmx384m");
    command.env("KAFKA_JVM_PERFORMANCE_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC");
    command
}

/// Standard output without stack traces and what stands at their heads, which some tools print there.
pub fn without_traces(lines: Vec<String>) -> Vec<String> {
    let is_trace = |line: &String| ["\\tat ", "Caused by: ", "\\t... "].iter().any(|start| line.starts_with(start));
    let mut kept: Vec<String> = Vec::new();
    let mut in_trace = false;
    for line in lines {
        if is_trace(&line) {
            if !in_trace {
                kept.pop();
            }
            in_trace = true;
        } else if !(in_trace && line.is_empty()) {
            in_trace = false;
            kept.push(line);
        }
    }
    kept
}

#[test]
fn a_stack_trace_is_no_output() {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let printed = lines(&["a", "x.Y: bad", "\\tat x.y(Z.java:1)", "Caused by: x.Z: worse", "\\t... 6 more", "", "b"]);
    assert_eq!(without_traces(printed), lines(&["a", "b"]));
}

/// What counts of standard error: no log lines below ERROR, no stack traces with their causes, no table of options.
pub fn messages(lines: Vec<String>) -> Vec<String> {
    let is_noise = |line: &String| {
        let logged = [" WARN ", " INFO ", " DEBUG "].iter().any(|level| line.starts_with('[') && line.contains(level));
        let trace = ["\\tat ", "Caused by: ", "\\t... ", " (org.apache"].iter().any(|start| line.starts_with(start));
        logged || trace || line.is_empty()
    };
    lines.into_iter().take_while(|line| !line.starts_with("Option  ")).filter(|line| !is_noise(line)).collect()
}
