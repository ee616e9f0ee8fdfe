//! The client libraries, how to start their drivers, and what each can't do.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools::Home;
use super::{installed, switched_off};

/// A client library with a driver in `tests/interop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Library {
    Confluent,
    KafkaPython,
    Aiokafka,
    Kafkajs,
    FranzGo,
    Java,
    Java39,
}

impl Library {
    pub const ALL: &[Self] =
        &[Self::Java, Self::Java39, Self::Confluent, Self::KafkaPython, Self::Aiokafka, Self::Kafkajs, Self::FranzGo];

    pub fn name(self) -> &'static str {
        match self {
            Self::Confluent => "confluent-kafka",
            Self::KafkaPython => "kafka-python",
            Self::Aiokafka => "aiokafka",
            Self::Kafkajs => "kafkajs",
            Self::FranzGo => "franz-go",
            Self::Java => "java",
            Self::Java39 => "java-39",
        }
    }

    /// Why it can't be used here, if it can't.
    pub fn missing(self) -> Option<String> {
        if let Some(why) = switched_off() {
            return Some(why);
        }
        if let Some(home) = self.home()
            && let Some(why) = home.missing()
        {
            return Some(why);
        }
        let needed = self.needed_file();
        let exists = needed.exists();
        (!exists).then(|| format!("{}: no {} (tests/interop/install makes it)", self.name(), needed.display()))
    }

    fn home(self) -> Option<Home> {
        match self {
            Self::Java => Some(Home::Kafka),
            Self::Java39 => Some(Home::Kafka39),
            _ => None,
        }
    }

    fn needed_file(self) -> PathBuf {
        installed(match self {
            Self::Confluent | Self::KafkaPython | Self::Aiokafka => "stamps/python",
            Self::Kafkajs => "stamps/js",
            Self::FranzGo => "bin/franz-go",
            Self::Java => "java/Driver.class",
            Self::Java39 => "java-39/Driver.class",
        })
    }

    /// The driver, still without the bootstrap address.
    pub(super) fn command(self) -> Command {
        let source = |path: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(path);
        let python = |program: &str| {
            let mut command = Command::new(installed("python/bin/python"));
            command.arg(source(program)).env("PYTHONDONTWRITEBYTECODE", "1");
            command
        };
        match self {
            Self::Confluent => python("python/driver_confluent.py"),
            Self::KafkaPython => python("python/driver_kafka_python.py"),
            Self::Aiokafka => python("python/driver_aiokafka.py"),
            Self::Kafkajs => {
                let mut command = Command::new("node");
                command.arg(source("js/driver.js")).env("NODE_PATH", installed("js/node_modules"));
                command.env("KAFKAJS_NO_PARTITIONER_WARNING", "1");
                command
            }
            Self::FranzGo => Command::new(installed("bin/franz-go")),
            Self::Java => java(Home::Kafka),
            Self::Java39 => java(Home::Kafka39),
        }
    }

    /// Whether it can send a header without a value.
    pub fn writes_null_headers(self) -> bool {
        !matches!(self, Self::KafkaPython | Self::Kafkajs)
    }

    /// Whether a produce call tells each record's offset; kafkajs tells it for small requests only.
    pub fn reports_offsets(self) -> bool {
        self != Self::Kafkajs
    }

    /// The assignors of its classic group protocol.
    pub fn assignors(self) -> &'static [&'static str] {
        match self {
            Self::Confluent => &["range", "roundrobin", "cooperative-sticky"],
            Self::Aiokafka => &["range", "roundrobin", "sticky"],
            Self::Kafkajs => &["range", "roundrobin"],
            Self::KafkaPython | Self::FranzGo | Self::Java => &["range", "roundrobin", "sticky", "cooperative-sticky"],
            Self::Java39 => &["range", "cooperative-sticky"],
        }
    }

    /// Whether its members can be static (`group.instance.id`).
    pub fn has_static_members(self) -> bool {
        self != Self::Kafkajs
    }

    /// The operations of `tests/interop/README.md` that it has no call for.
    pub fn unsupported(self) -> &'static [&'static str] {
        match self {
            Self::Confluent => &["delete_group_offsets", "log_dirs"],
            Self::Aiokafka => &[
                "commit",
                "incremental_alter_configs",
                "delete_group",
                "delete_group_offsets",
                "log_dirs",
                "max_timestamp",
            ],
            Self::Kafkajs => {
                &["incremental_alter_configs", "delete_group_offsets", "log_dirs", "max_timestamp", "validate_only"]
            }
            Self::Java => &["alter_configs"],
            Self::KafkaPython | Self::FranzGo | Self::Java39 => &[],
        }
    }

    pub fn can(self, operation: &str) -> bool {
        !self.unsupported().contains(&operation)
    }
}

fn java(home: Home) -> Command {
    java_program(home, "Driver")
}

/// What has a Java program leave its temporary files in a directory: it removes none of them when it is killed.
pub fn temporary_files_in(directory: &Path) -> String {
    format!("-Djava.io.tmpdir={}", directory.display())
}

/// A program of `tests/interop/java`, still without arguments.
pub(super) fn java_program(home: Home, class: &str) -> Command {
    let libs = home.path().join("libs/*");
    let mut command = Command::new("java");
    // Start-up counts here, not throughput.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-Dlog4j2.level=WARN", "-cp"]);
    command.arg(format!("{}:{}", installed(home.folder()).display(), libs.display())).arg(class);
    command
}
