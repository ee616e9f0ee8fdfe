//! A real Apache Kafka broker for the length of a test, to try our tools on.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::tools::{Home, Tools, run};
use crate::support::wait_for;

/// A JVM on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// One combined node of a Kafka home on a free port of 127.0.0.1.
pub struct ApacheKafka {
    child: Child,
    address: String,
    directory: TempDir,
}

impl ApacheKafka {
    pub fn start(home: Home) -> Self {
        let directory = TempDir::with_prefix("kafka-rs-apache-").unwrap();
        let [port, controller] = free_ports();
        let settings = directory.path().join("server.properties");
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=5\ngroup.initial.rebalance.delay.ms=0\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=5\nshare.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\nshare.coordinator.state.topic.num.partitions=5\n\
             group.consumer.min.heartbeat.interval.ms=100\ngroup.consumer.heartbeat.interval.ms=200\n\
             group.share.min.heartbeat.interval.ms=100\ngroup.share.heartbeat.interval.ms=200\n",
            directory.path().join("data").display()
        );
        fs::write(&settings, text).unwrap();
        let mut format = Tools::Scripts(home).command("storage");
        format.args(["format", "--cluster-id", "5L6g3nShT-eMCtK--X86sw", "--config"]).arg(&settings);
        run(format, "").succeed();
        let output = File::create(directory.path().join("output")).unwrap();
        let mut command = Command::new(home.path().join("bin/kafka-server-start.sh"));
        command.arg(&settings).env("KAFKA_HEAP_OPTS", "-Xmx512m").env("LOG_DIR", directory.path().join("logs"));
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap();
        let mut kafka = Self { child, address: format!("127.0.0.1:{port}"), directory };
        wait_for("Apache Kafka to be ready", READY_WITHIN, || {
            assert!(kafka.child.try_wait().unwrap().is_none(), "Apache Kafka ended:\n{}", kafka.output());
            kafka.output().contains("Kafka Server started").then_some(())
        });
        kafka
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    fn output(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
    }
}

impl Drop for ApacheKafka {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Two ports that were free a moment ago; both held at once, so that they differ.
fn free_ports() -> [u16; 2] {
    let listeners = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
