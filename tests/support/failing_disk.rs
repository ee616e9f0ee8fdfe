//! Disks that break while a broker runs: its reads, writes or flushes of files fail from a moment on that the test chooses.
//!
//! The broker is the one that users run; `failing_disk.c` stands between it and the kernel.
#![allow(dead_code, reason = "each test file compiles this module for itself and uses its own part of it")]
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::Broker;

pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;
pub const EROFS: i32 = 30;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    Reads,
    Writes,
    Flushes,
}

impl Fails {
    fn word(self) -> &'static str {
        match self {
            Self::Reads => "read",
            Self::Writes => "write",
            Self::Flushes => "flush",
        }
    }
}

/// The disks of the brokers that are started through it.
pub struct FailingDisk {
    files: TempDir,
    program: PathBuf,
}

impl FailingDisk {
    /// `None`, with a word, where there is no C compiler or no such system call; a failure with `KAFKA_RS_FAULTS=required`.
    pub fn new() -> Option<Self> {
        match program() {
            Ok(program) => Some(Self { files: TempDir::with_prefix("kafka-rs-faults-").unwrap(), program }),
            Err(why) => {
                let is_required = std::env::var("KAFKA_RS_FAULTS").is_ok_and(|value| value == "required");
                assert!(!is_required, "must not be skipped: {why}");
                eprintln!("skipped: disks can't be made to fail here: {why}");
                None
            }
        }
    }

    fn path(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    /// Starts a broker on it.
    pub fn start(&self, overrides: &[&str]) -> Broker {
        let words = [self.program.to_str().unwrap().to_owned(), self.path("faults"), self.path("hits")];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Broker::start_through(&words, overrides)
    }

    /// The command that a broker can be started with.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args([self.path("faults"), self.path("hits"), env!("CARGO_BIN_EXE_kafka-rs").to_owned()]);
        command
    }

    /// From now on this fails for all files whose path begins so; `*` in it stands for any characters.
    pub fn fail(&self, what: Fails, errno: i32, path: &Path) {
        let line = format!("{} {errno} {}*\n", what.word(), path.display());
        // Order: it is complete when it gets its name.
        fs::write(self.path("faults.new"), line).unwrap();
        fs::rename(self.path("faults.new"), self.path("faults")).unwrap();
    }

    /// Nothing fails any more.
    pub fn repair(&self) {
        fs::remove_file(self.path("faults")).unwrap();
        let _none_was_hit = fs::remove_file(self.path("hits"));
    }

    /// What was made to fail since the last repair: `OPERATION ERRNO PATH` each.
    pub fn hits(&self) -> Vec<String> {
        fs::read_to_string(self.path("hits")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

/// The compiled `failing_disk.c`, or why there is none.
fn program() -> Result<PathBuf, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/failing_disk.c");
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let program = directory.path().join("failing_disk");
        let mut compiler = Command::new("cc");
        let made = compiler.args(["-O1", "-o"]).arg(&program).arg(source).output().map_err(|e| format!("cc: {e}"))?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into_owned());
        }
        let tried = Command::new(&program).args(["/dev/null", "/dev/null", "true"]).output().unwrap();
        if !tried.status.success() {
            return Err(String::from_utf8_lossy(&tried.stderr).into_owned());
        }
        // Other test programs put theirs there too, and run it meanwhile: a whole one takes the place of a whole one.
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failing_disk");
        fs::rename(program, &kept).map_err(|e| e.to_string())?;
        Ok(kept)
    });
    made.clone()
}
