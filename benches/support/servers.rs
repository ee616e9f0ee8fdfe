//! Either server on the same `server.properties` and directory, and what it took.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use kafka_rs::protocol::messages::ListOffsetsRequest;
use kafka_rs::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::wire::Wire;
use super::{cpu_seconds_of, resident_kb_of};

pub const HOST: &str = "127.0.0.1";

/// Where servers listen, for clients and as controllers: ports that nobody had when this process first asked.
static PORTS: LazyLock<[u16; 2]> = LazyLock::new(|| {
    // Held together, so that they differ.
    let taken = [(); 2].map(|()| TcpListener::bind((HOST, 0)).unwrap());
    taken.map(|listener| listener.local_addr().unwrap().port())
});

/// The port for clients.
pub fn port() -> u16 {
    PORTS[0]
}

/// The address for clients.
pub fn address() -> String {
    format!("{HOST}:{}", port())
}

/// Whose server.
#[derive(Clone)]
pub enum Who {
    Ours,
    /// Apache Kafka in this directory.
    Kafka(PathBuf),
}

impl Who {
    /// Ours, and Apache Kafka where `KAFKA_HOME` is set.
    pub fn all() -> Vec<Self> {
        let kafka = std::env::var_os("KAFKA_HOME").map(|home| Self::Kafka(home.into()));
        [Self::Ours].into_iter().chain(kafka).collect()
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Ours => "kafka-rs",
            Self::Kafka(_) => "Apache Kafka",
        }
    }
}

/// A server that runs.
pub struct Server {
    child: Child,
    started: Instant,
}

/// What a server has taken so far.
#[derive(Clone, Copy)]
pub struct Taken {
    pub wall: Duration,
    pub cpu: f64,
    /// Bytes that it has read from files and sockets.
    pub read: u64,
    /// Bytes that the system has written, or will write, to the disk for it.
    pub written: u64,
    pub resident_kb: u64,
    pub peak_kb: u64,
}

/// Writes settings that both read.
pub fn properties(data: &Path, more: &[&str]) -> PathBuf {
    let file = data.with_extension("properties");
    let (address, controller) = (address(), format!("{HOST}:{}", PORTS[1]));
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@{controller}\n\
         listeners=PLAINTEXT://{address},CONTROLLER://{controller}\ncontroller.listener.names=CONTROLLER\n\
         log.dirs={}\noffsets.topic.replication.factor=1\n{}\n",
        data.display(),
        more.join("\n")
    );
    fs::write(&file, text).unwrap();
    file
}

impl Server {
    /// An Apache Kafka gets twice the memory that its script gives it.
    pub fn spawn(who: &Who, properties: &Path) -> Self {
        Self::spawn_with(who, properties, &["-Xmx2G"])
    }

    /// `heap`: options of the Java machine.
    pub fn spawn_with(who: &Who, properties: &Path, heap: &[&str]) -> Self {
        let mut command = match who {
            Who::Ours => {
                let mut command = ours();
                command.arg("server-start");
                command
            }
            // Without the script, so that the child is the broker itself; with its settings.
            Who::Kafka(home) => {
                let mut command = Command::new("java");
                command.args(heap).args(["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-cp"]);
                command.arg(format!("{}/libs/*", home.display())).arg("kafka.Kafka");
                command
            }
        };
        let log = fs::File::create(properties.with_extension("out")).unwrap();
        command.arg(properties).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let started = Instant::now();
        Self { child: command.spawn().unwrap(), started }
    }

    /// Formats the directory, if it is not.
    pub fn format(properties: &Path) {
        let mut server = Self::spawn(&Who::Ours, properties);
        drop(server.answers());
        server.stop();
    }

    /// Waits until it tells the end of a partition, which it leads then; what that took. None if it does not come to it.
    pub fn ready(&mut self, topic: &str, partition: i32, within: Duration) -> Option<Taken> {
        while self.started.elapsed() < within {
            if self.child.try_wait().unwrap().is_some() {
                return None;
            }
            if end_offset(topic, partition).is_ok_and(|end| end.is_some()) {
                return Some(self.taken());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    /// Waits until it answers at all.
    pub fn answers(&mut self) -> Wire {
        while TcpStream::connect(address()).is_err() || !Wire::connect(&address()).is_served() {
            assert!(self.started.elapsed() < Duration::from_secs(120), "the server does not start");
            std::thread::sleep(Duration::from_millis(1));
        }
        Wire::connect(&address())
    }

    /// What it has taken, if it still runs.
    pub fn try_taken(&mut self) -> Option<Taken> {
        self.child.try_wait().unwrap().is_none().then(|| self.taken())
    }

    pub fn taken(&self) -> Taken {
        let pid = self.child.id();
        let number = |file: &str, key: &str| {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned();
            line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or_default()
        };
        Taken {
            wall: self.started.elapsed(),
            cpu: cpu_seconds_of(pid),
            read: number("io", "rchar: "),
            written: number("io", "write_bytes: "),
            resident_kb: resident_kb_of(pid),
            peak_kb: number("status", "VmHWM:"),
        }
    }

    /// The most memory counts from now on.
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    pub fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }

    pub fn kill(mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    /// A benchmark that stops at a surprise leaves no server behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Our binary, or the one that `KAFKA_RS_BENCH_BINARY` names.
pub fn binary() -> OsString {
    let other = std::env::var_os("KAFKA_RS_BENCH_BINARY");
    other.unwrap_or_else(|| env!("CARGO_BIN_EXE_kafka-rs").into())
}

/// A command of our binary.
pub fn ours() -> Command {
    Command::new(binary())
}

/// A connection to the server that runs.
pub fn connect() -> Wire {
    Wire::connect(&address())
}

/// Waits until the first partition of a topic is led.
pub fn wait_for_leader(topic: &str) {
    let begin = Instant::now();
    while !end_offset(topic, 0).is_ok_and(|end| end.is_some()) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{topic} has no leader");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The end of a partition; none if it can't be told yet.
pub fn end_offset(topic: &str, partition: i32) -> io::Result<Option<i64>> {
    TcpStream::connect(address())?;
    let wanted = ListOffsetsPartition {
        partition_index: partition,
        current_leader_epoch: -1,
        timestamp: -1,
        ..Default::default()
    };
    let topics = vec![ListOffsetsTopic { name: topic.into(), partitions: vec![wanted], ..Default::default() }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
    let answer = Wire::connect(&address()).call(&request, 7)?;
    let found = answer.topics.first().and_then(|topic| topic.partitions.first());
    Ok(found.filter(|found| found.error_code == 0).map(|found| found.offset))
}

/// Bytes in the files of these extensions under a directory.
pub fn bytes_of(dir: &Path, extension: &str) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.path() {
        path if path.is_dir() => bytes_of(&path, extension),
        path if path.extension().is_some_and(|found| found == extension) => entry.metadata().map_or(0, |m| m.len()),
        _ => 0,
    };
    entries.flatten().map(size).sum()
}

pub fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}
