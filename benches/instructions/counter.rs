//! The tools that count instructions of a process, in user space.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::support::servers::binary;

/// What counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Valgrind's, which runs the process on a processor of its own making and knows every function.
    Callgrind,
    /// The processor's counter, which knows only the sum.
    Perf,
}

/// Instructions, all and by function; without those of functions where the tool does not know them.
#[derive(Debug, Clone, Default)]
pub struct Count {
    pub total: f64,
    pub functions: BTreeMap<String, f64>,
}

/// A process whose instructions are counted.
pub struct Counted {
    counter: Counter,
    child: Child,
    result: PathBuf,
}

impl Counter {
    /// What there is on this machine.
    pub fn find() -> Option<Self> {
        [Self::Callgrind, Self::Perf].into_iter().find(|counter| counter.works())
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Callgrind => "callgrind",
            Self::Perf => "perf stat",
        }
    }

    fn works(self) -> bool {
        let output = match self {
            Self::Callgrind => Command::new("valgrind").args(["--tool=callgrind", "--version"]).output(),
            Self::Perf => self.command(Path::new("/dev/stderr")).arg("true").output(),
        };
        let Ok(output) = output else { return false };
        match self {
            Self::Callgrind => output.status.success(),
            Self::Perf => read_perf(&String::from_utf8_lossy(&output.stderr)).is_some(),
        }
    }

    /// The tool without the command that it is to run.
    fn command(self, result: &Path) -> Command {
        match self {
            Self::Callgrind => {
                let mut command = Command::new("valgrind");
                command.args(["--tool=callgrind", "--dump-line=no", "--compress-strings=no", "--compress-pos=no"]);
                command.arg(format!("--callgrind-out-file={}", result.display()));
                command
            }
            Self::Perf => {
                let mut command = Command::new("perf");
                command.args(["stat", "-x,", "-e", "instructions:u", "-o"]).arg(result);
                command
            }
        }
    }

    /// Runs our binary with these arguments.
    pub fn spawn(self, arguments: &[&str], result: &Path) -> Counted {
        let mut command = self.command(result);
        command.arg(binary()).args(arguments);
        // Who of several threads finds the work first is chance.
        command.env("TOKIO_WORKER_THREADS", "1");
        let log = fs::File::create(result.with_extension("out")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Counted { counter: self, child: command.spawn().unwrap(), result: result.to_owned() }
    }
}

impl Counted {
    /// Has a broker stop, which says by its exit code that it was asked to.
    pub fn stop(mut self) -> Count {
        kill_process(self.pid(), Signal::TERM).unwrap();
        self.child.wait().unwrap();
        self.read()
    }

    /// Waits until a tool is done.
    pub fn end(mut self) -> Count {
        let status = self.child.wait().unwrap();
        let said = fs::read_to_string(self.result.with_extension("out")).unwrap_or_default();
        assert!(status.success(), "{status}:\n{said}");
        self.read()
    }

    fn read(&self) -> Count {
        let result = fs::read_to_string(&self.result).unwrap();
        match self.counter {
            Counter::Callgrind => read_callgrind(&result),
            Counter::Perf => Count { total: read_perf(&result).expect(&result), functions: BTreeMap::new() },
        }
    }

    /// The process itself: valgrind becomes it, perf is its parent.
    fn pid(&self) -> Pid {
        let own = Pid::from_child(&self.child);
        match self.counter {
            Counter::Callgrind => own,
            Counter::Perf => {
                let id = self.child.id();
                let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
                Pid::from_raw(children.split_whitespace().next().expect("a child of perf").parse().unwrap()).unwrap()
            }
        }
    }
}

/// From `NUMBER,UNIT,instructions:u,...`; None if it could not count.
fn read_perf(text: &str) -> Option<f64> {
    text.lines().find(|line| line.contains(",instructions:u,"))?.split(',').next()?.parse().ok()
}

/// From callgrind's profile: the cost of each function itself, which is a line `POSITION COST` after `fn=NAME`. Where there is a `calls=`, the
/// line after it is the cost of what was called.
fn read_callgrind(text: &str) -> Count {
    let mut count = Count::default();
    let mut function = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = without_hash(name);
        } else if line.starts_with("calls=") {
            lines.next();
        } else if line.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-' || c == '*') {
            let cost: f64 = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
            count.total += cost;
            *count.functions.entry(function.clone()).or_default() += cost;
        }
    }
    count
}

/// The name without what the compiler and callgrind add: the hash, which differs from build to build, and the depth of a recursion.
fn without_hash(name: &str) -> String {
    let name = name.split('\'').next().unwrap_or(name);
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => path.to_owned(),
        _ => name.to_owned(),
    }
}
