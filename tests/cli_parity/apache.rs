//! A fresh Apache Kafka of one node or two, as `bin/` of `KAFKA_HOME` starts it: what the cases were recorded from.

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

/// A running Apache Kafka on free ports; stopped when dropped.
pub struct Apache {
    /// The first is the controller, too; the other one, if there is one, a broker only.
    nodes: Vec<Node>,
    /// Where the controller listens.
    controller: String,
    directory: PathBuf,
}

struct Node {
    settings: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Apache {
    /// Starts it with its files below `directory` and the `key=value` settings over Kafka's defaults. In these,
    /// `{port}` and `{controller port}` are those of the first broker.
    pub fn start(directory: &Path, settings: &[String], has_second: bool) -> Self {
        let ports = [0; 3].map(|any| TcpListener::bind(("127.0.0.1", any)).unwrap());
        let [port, controller, second] = ports.map(|listener| listener.local_addr().unwrap().port());
        let common = format!(
            "controller.quorum.voters=1@127.0.0.1:{controller}\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n"
        );
        let data = directory.join("kafka-data");
        let mut first = format!(
            "{common}process.roles=broker,controller\nnode.id=1\nlog.dirs={}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n",
            data.display()
        );
        for setting in settings {
            let setting = setting.replace("{port}", &port.to_string());
            first.push_str(&setting.replace("{controller port}", &controller.to_string()));
            first.push('\n');
        }
        let mut nodes = vec![Node::format(directory, "1", port, first)];
        if has_second {
            let settings = format!(
                "{common}process.roles=broker\nnode.id=2\nlog.dirs={}-2\nlisteners=PLAINTEXT://127.0.0.1:{second}\n",
                data.display()
            );
            nodes.push(Node::format(directory, "2", second, settings));
        }
        let mut cluster =
            Self { nodes, controller: format!("127.0.0.1:{controller}"), directory: directory.to_owned() };
        for node in &mut cluster.nodes {
            node.start(directory);
        }
        cluster
    }

    /// Of the first broker.
    pub fn address(&self) -> String {
        self.nodes[0].address()
    }

    pub fn controller(&self) -> &str {
        &self.controller
    }

    /// Of the second broker.
    pub fn second(&self) -> Option<String> {
        self.nodes.get(1).map(Node::address)
    }

    pub fn stop_second(&mut self) {
        self.nodes[1].stop();
    }

    pub fn start_second(&mut self) {
        self.nodes[1].start(&self.directory);
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Brokers take leave of the controller.
        for node in self.nodes.iter_mut().rev() {
            node.stop();
        }
    }
}

impl Node {
    fn format(directory: &Path, id: &str, port: u16, text: String) -> Self {
        let settings = directory.join(format!("server-{id}.properties"));
        fs::write(&settings, text).unwrap();
        let cluster = "5L6g3nShT-eMCtK--X86sw";
        let format = ["format", "-t", cluster, "-c"];
        let formatted = script("kafka-storage.sh", directory).args(format).arg(&settings).output().unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        Self { settings, port, child: None }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn start(&mut self, directory: &Path) {
        let output = self.settings.with_extension("output");
        let log = File::create(&output).unwrap();
        let child = script("kafka-server-start.sh", directory)
            .arg(&self.settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let child = self.child.insert(child);
        wait_for("Apache Kafka to be ready", READY_WITHIN, || {
            let output = fs::read_to_string(&output).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "Apache Kafka ended:\n{output}");
            output.contains("Kafka Server started").then_some(())
        });
    }

    fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        wait_for("Apache Kafka to stop", STOPPED_WITHIN, || child.try_wait().unwrap());
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
