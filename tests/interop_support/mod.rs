//! Other people's clients and tools against a cluster: finding them, starting them, comparing what they say.
//!
//! What is missing is skipped, or is a failure with `KAFKA_RS_INTEROP=required`; with `off` all is skipped. With
//! `KAFKA_RS_TEST_BOOTSTRAP=HOST:PORT` the tests talk to that cluster instead of a broker of their own. See
//! `tests/interop/README.md`.
#![allow(dead_code, unused_imports, reason = "each test file compiles this module and uses its own part of it")]
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops at the first surprise"
)]

mod apache;
mod both_ways;
mod driver;
mod dump_log;
mod groups;
mod library;
mod records;
mod restarting;
mod tools;

pub use apache::{ApacheKafka, KafkaProcess, Node, Quorum, free_port};
pub use both_ways::{BothWays, Facts};
pub use driver::{Driver, Failure};
pub use dump_log::{assert_complains, check_data_directories, check_data_directory, check_indexes, check_indexes_of};
pub use groups::{Group, PARTITIONS, SETTLED_WITHIN};
pub use library::{Library, temporary_files_in};
pub use records::{Record, Sent, an_hour_ago, assert_delivered};
pub use restarting::Restarting;
pub use tools::{Home, Ran, Tools, console_consumer_records, kcat, kcat_missing, kcat_records, kcat_records_of, run};

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::support::Broker;

/// Where `tests/interop/install` puts the clients.
pub fn installed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".interop").join(path)
}

/// Says that a test did not run; fails it where skipping is forbidden.
pub fn skip(why: &str) {
    assert!(!environment_says("required"), "must not be skipped: {why}");
    eprintln!("skipped: {why}");
}

fn environment_says(wanted: &str) -> bool {
    std::env::var("KAFKA_RS_INTEROP").is_ok_and(|value| value == wanted)
}

/// Why nothing of this suite runs, if the environment says so.
pub fn switched_off() -> Option<String> {
    environment_says("off").then(|| "KAFKA_RS_INTEROP=off".to_owned())
}

/// Leaves the test with a word about it when something that it needs is missing.
#[macro_export]
macro_rules! need {
    ($missing:expr) => {
        if let Some(why) = $missing {
            $crate::interop_support::skip(&why);
            return;
        }
    };
}

/// The libraries of `wanted` that are installed; says a word about each that is not.
pub fn present(wanted: &[Library]) -> Vec<Library> {
    let (missing, found): (Vec<Library>, Vec<Library>) = wanted.iter().partition(|library| library.missing().is_some());
    for library in missing {
        skip(&library.missing().unwrap_or_default());
    }
    found
}

/// Runs the test once per library that is installed, two at a time, and tells which ones failed.
pub fn for_each_library(wanted: &[Library], test: impl Fn(Library) + Sync) {
    two_at_a_time(present(wanted), Library::name, test);
}

/// Runs the test once per Kafka home that is there, both at a time, and tells which ones failed.
pub fn for_each_home(test: impl Fn(Home) + Sync) {
    let (missing, found): (Vec<Home>, Vec<Home>) = Home::BOTH.iter().partition(|home| home.missing().is_some());
    missing.iter().filter_map(|home| home.missing()).for_each(|why| skip(&why));
    two_at_a_time(found, Home::name, test);
}

fn two_at_a_time<T: Copy + Send>(items: Vec<T>, name: impl Fn(T) -> &'static str + Sync, test: impl Fn(T) + Sync) {
    let waiting = std::sync::Mutex::new(items.into_iter());
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(item) = waiting.lock().unwrap().next() else { return };
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(item)));
                    if outcome.is_err() {
                        failed.lock().unwrap().push(name(item));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "failed with {}; see above", failed.join(", "));
}

/// The cluster under test: a broker of our own, or the one that the environment names.
///
/// Our own starts when it is first needed, so that a test whose clients are all missing starts none.
pub struct Cluster {
    run: String,
    outside: Option<String>,
    settings: Vec<String>,
    own: OnceLock<(Broker, TempDir)>,
}

/// What a stopped broker of ours leaves behind.
pub struct Stopped {
    directory: TempDir,
}

impl Stopped {
    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

impl Cluster {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A cluster that runs already.
    pub fn outside(address: &str) -> Self {
        Self { outside: Some(address.to_owned()), ..Self::start() }
    }

    /// Settings are for a broker of our own only; a cluster from outside has what it has.
    pub fn start_with(settings: &[&str]) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self {
            run: format!("{:x}{:x}", since_epoch.as_millis() & 0xff_ffff, fastrand::u16(..)),
            outside: std::env::var("KAFKA_RS_TEST_BOOTSTRAP").ok(),
            settings: settings
                .iter()
                .copied()
                .chain(["group.initial.rebalance.delay.ms=0"])
                .map(str::to_owned)
                .collect(),
            own: OnceLock::new(),
        }
    }

    fn own(&self) -> &(Broker, TempDir) {
        self.own.get_or_init(|| {
            let directory = TempDir::with_prefix("kafka-rs-interop-").unwrap();
            let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
            (Broker::start_in(&directory.path().join("data"), &settings), directory)
        })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        self.outside.as_deref().unwrap_or_else(|| self.own().0.address())
    }

    pub fn port(&self) -> i64 {
        self.address().rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Whether it is a broker of ours, with the settings that the test asked for.
    pub fn is_own(&self) -> bool {
        self.outside.is_none()
    }

    /// A topic or group name that no earlier run against the same cluster has used.
    pub fn name(&self, base: &str) -> String {
        format!("{base}-{}", self.run)
    }

    /// Shuts a broker of ours down cleanly and keeps its files; nothing for a cluster from outside.
    pub fn stop(self) -> Option<Stopped> {
        let (broker, directory) = self.own.into_inner()?;
        let output = broker.output();
        let status = broker.stop();
        // 143 is what Kafka's own process ends with on SIGTERM.
        assert_eq!(status.code(), Some(143), "{output}");
        Some(Stopped { directory })
    }
}
