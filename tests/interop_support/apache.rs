//! A real Apache Kafka broker for the length of a test, to try our tools on, or to take turns with our broker.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::tools::{Home, Ran, Tools, run};
use crate::support::{Broker, wait_for};

/// A JVM on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// The same, with all partitions to give up and to flush.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// `server.properties` and the directories of one combined node on 127.0.0.1, for whichever server is to run on them.
pub struct Node {
    home: Home,
    port: u16,
    controller_port: u16,
    directory: TempDir,
}

impl Node {
    /// Makes and formats them as Kafka's own tool does: with a voter in the configuration, or with one in the log and two log
    /// directories.
    pub fn format(home: Home, quorum: Quorum, more: &[&str]) -> Self {
        Self::format_with(home, quorum, more, &[])
    }

    /// As [`Node::format`], with more arguments for Kafka's tool.
    pub fn format_with(home: Home, quorum: Quorum, more: &[&str], arguments: &[&str]) -> Self {
        let directory = TempDir::with_prefix("kafka-rs-node-").unwrap();
        let [port, controller_port] = free_ports();
        let node = Self { home, port, controller_port, directory };
        let mut log_dirs = node.data().display().to_string();
        let (voters, standalone) = match quorum {
            Quorum::Static => (format!("controller.quorum.voters=1@127.0.0.1:{controller_port}"), None),
            Quorum::Dynamic => {
                log_dirs.push_str(&format!(",{}", node.second_data().display()));
                (format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}"), Some("--standalone"))
            }
        };
        let mut text = format!(
            "process.roles=broker,controller\nnode.id=1\n{voters}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={log_dirs}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=5\ngroup.initial.rebalance.delay.ms=0\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=5\nshare.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\nshare.coordinator.state.topic.num.partitions=5\n\
             group.consumer.min.heartbeat.interval.ms=100\ngroup.consumer.heartbeat.interval.ms=200\n\
             group.share.min.heartbeat.interval.ms=100\ngroup.share.heartbeat.interval.ms=200\n",
        );
        for line in more {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(node.settings(), text).unwrap();
        node.format_directories(standalone, arguments);
        node
    }

    /// Makes and formats a broker of the same cluster, which has its controller here.
    pub fn format_broker(&self, node_id: i32) -> Self {
        let directory = TempDir::with_prefix("kafka-rs-node-").unwrap();
        let [port, controller_port] = [free_port(), self.controller_port];
        let node = Self { home: self.home, port, controller_port, directory };
        let own = format!(
            "process.roles=broker\nnode.id={node_id}\nlisteners=PLAINTEXT://127.0.0.1:{port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={}\n",
            node.data().display()
        );
        // The last line with a key counts.
        fs::write(node.settings(), fs::read_to_string(self.settings()).unwrap() + &own).unwrap();
        node.format_directories(None, &[]);
        node
    }

    fn format_directories(&self, standalone: Option<&str>, arguments: &[&str]) {
        let mut format = Tools::Scripts(self.home).command("storage");
        format.args(["format", "--cluster-id", "5L6g3nShT-eMCtK--X86sw", "--config"]).arg(self.settings());
        format.args(standalone).args(arguments);
        run(format, "").succeed();
    }

    /// The first directory of `log.dirs`, which has the metadata.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn second_data(&self) -> PathBuf {
        self.directory.path().join("data-2")
    }

    /// All of `log.dirs`.
    pub fn log_dirs(&self) -> Vec<PathBuf> {
        [self.data(), self.second_data()].into_iter().filter(|dir| dir.is_dir()).collect()
    }

    pub fn settings(&self) -> PathBuf {
        self.directory.path().join("server.properties")
    }

    /// `host:port` for clients.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` of the CONTROLLER listener.
    pub fn controller_address(&self) -> String {
        format!("127.0.0.1:{}", self.controller_port)
    }

    /// Starts Apache Kafka on it.
    pub fn kafka(&self, overrides: &[&str]) -> KafkaProcess {
        let output = self.directory.path().join("kafka-output");
        let file = File::create(&output).unwrap();
        let mut command = Command::new(self.home.path().join("bin/kafka-server-start.sh"));
        command.arg(self.settings());
        for setting in overrides {
            command.args(["--override", setting]);
        }
        command.env("KAFKA_HEAP_OPTS", "-Xmx512m").env("LOG_DIR", self.directory.path().join("logs"));
        self.home.start_quickly(&mut command, "broker");
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let mut kafka = KafkaProcess { child: command.spawn().unwrap(), output };
        wait_for("Apache Kafka to be ready", READY_WITHIN, || {
            assert!(kafka.child.try_wait().unwrap().is_none(), "Apache Kafka ended:\n{}", kafka.output());
            kafka.output().contains("Kafka Server started").then_some(())
        });
        kafka
    }

    /// Starts our broker on the very same file.
    pub fn ours(&self) -> Broker {
        Broker::start_from(&self.settings())
    }

    /// Runs one of Kafka's tools over the CONTROLLER listener.
    pub fn ask_controller(&self, tool: &str, arguments: &[&str]) -> Ran {
        let mut command = Tools::Scripts(Home::Kafka).command(tool);
        let address = self.controller_address();
        let connect = ["--bootstrap-controller", &address];
        // An option of the command with some, of the tool with others.
        let (before, after) = if tool == "cluster" { (&[][..], &connect[..]) } else { (&connect[..], &[][..]) };
        command.args(before).args(arguments).args(after);
        run(command, "")
    }
}

/// Where the voters of the metadata quorum are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// In `controller.quorum.voters`: `kraft.version` 0.
    Static,
    /// In the log itself: `kraft.version` 1 (KIP-853).
    Dynamic,
}

/// A running Apache Kafka, killed when dropped.
pub struct KafkaProcess {
    child: Child,
    output: PathBuf,
}

impl KafkaProcess {
    /// What it has logged since it was started.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Asks for a clean shutdown and waits for it.
    pub fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        wait_for("Apache Kafka to shut down", STOPPED_WITHIN, || self.child.try_wait().unwrap());
    }

    /// Ends the process as a crash does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for KafkaProcess {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<&str> = output.lines().filter(|l| l.contains(" WARN ") || l.contains(" ERROR ")).collect();
            eprintln!("Apache Kafka's last complaints:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

/// One combined node of a Kafka home on a free port of 127.0.0.1.
pub struct ApacheKafka {
    address: String,
    // Order: the process ends before its directory goes.
    _process: KafkaProcess,
    node: Node,
}

impl ApacheKafka {
    pub fn start(home: Home) -> Self {
        Self::start_with(home, &[])
    }

    /// With settings over those of [`Node::format`].
    pub fn start_with(home: Home, settings: &[&str]) -> Self {
        let node = Node::format(home, Quorum::Static, settings);
        Self { address: node.address(), _process: node.kafka(&[]), node }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.node.data()
    }
}

/// Two free ports.
fn free_ports() -> [u16; 2] {
    [free_port(), free_port()]
}

/// A free port below those that systems give to clients: one that is free for a moment only, because the servers on it
/// take turns, must not become a client's. None is given twice.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = fastrand::u16(15_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}
