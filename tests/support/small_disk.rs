//! File systems of a few megabytes, which can be filled and emptied under a running broker.
#![allow(dead_code, reason = "each test file compiles this module for itself and uses its own part of it")]
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::Broker;

/// A small file system of its own, which lives as long as this value does: in a mount namespace that only the commands run through it
/// see.
pub struct SmallDisk {
    keeper: Child,
    dir: PathBuf,
    pid: String,
}

impl SmallDisk {
    /// `None`, with a word, where mounting is not allowed; a failure with `KAFKA_RS_FAULTS=required`.
    pub fn mount(dir: &Path, bytes: usize) -> Option<Self> {
        std::fs::create_dir_all(dir).unwrap();
        let script = format!("mount -t tmpfs -o size={bytes} tmpfs '{}' && echo ready && exec cat", dir.display());
        let mut keeper = Command::new("unshare");
        keeper.args(["-m", "--propagation", "private", "sh", "-c", &script]);
        let spawned = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut said = String::new();
        if let Ok(mut keeper) = spawned {
            let out = keeper.stdout.as_mut().unwrap();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut said).unwrap();
            if said == "ready\n" {
                let pid = keeper.id().to_string();
                return Some(Self { keeper, dir: dir.to_owned(), pid });
            }
            let _ended = keeper.wait();
        }
        let is_required = std::env::var("KAFKA_RS_FAULTS").is_ok_and(|value| value == "required");
        assert!(!is_required, "must not be skipped: a file system can't be mounted here");
        eprintln!("skipped: a file system can't be mounted here");
        None
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs the command behind them where the file system is seen.
    pub fn words(&self) -> [&str; 5] {
        ["nsenter", "-t", &self.pid, "-m", "--"]
    }

    /// Whether a shell's command there went well.
    pub fn run(&self, script: &str) -> bool {
        let [program, rest @ ..] = self.words();
        Command::new(program).args(rest).args(["sh", "-c", script]).status().unwrap().success()
    }

    /// Fills the file system to the last byte.
    pub fn fill(&self) {
        self.run(&format!("cat /dev/zero > '{}/filler' 2>/dev/null", self.dir.display()));
    }

    pub fn make_room(&self) {
        assert!(self.run(&format!("rm '{}/filler'", self.dir.display())));
    }

    /// Starts a broker on it.
    pub fn start(&self, overrides: &[&str]) -> Broker {
        Broker::start_through(&self.words(), overrides)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = self.keeper.kill();
        let _reaped = self.keeper.wait();
    }
}
