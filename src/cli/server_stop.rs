//! `server-stop`: asks running brokers of this user to end. Kafka's `kafka-server-stop.sh`.
//!
//! A process is a broker of ours if its executable is a file named `kafka-rs` and its first words are those of
//! `server-start`; names and texts elsewhere in a command line don't count.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::help::Example;
use super::support::{Exit, Hinted, IgnoredWords, Output, OutputArgs, Style, print_plan};
use super::{PROGRAM, Run, find, without_extension};
use crate::config::properties;

/// Stop the brokers that run on this machine
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Brokers of other users, and Apache Kafka's, are left alone. The SIGNAL variable names another signal than TERM.")]
pub(super) struct ServerStop {
    /// Only nodes with exactly these roles: broker, controller or broker,controller
    #[arg(long, value_name = "ROLES")]
    process_role: Option<String>,
    /// Only the node with this id
    #[arg(long, value_name = "ID")]
    node_id: Option<i32>,
    /// Wait until they have ended, for at most this many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    wait: Option<u64>,
    /// Only show which would be stopped
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    _ignored: IgnoredWords,
}

/// A broker that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Running {
    pid: Pid,
    node_id: i32,
    roles: Vec<String>,
}

impl Run for ServerStop {
    const EXAMPLES: &'static [Example] = &[
        ("Stop your brokers, and wait until they have ended", "kafka-rs server-stop --wait"),
        ("Stop one of several", "kafka-rs server-stop --node-id 2"),
    ];

    const NEEDS_NO_WORDS: bool = true;

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        self.output.apply(out);
        let signal = signal_named(&std::env::var("SIGNAL").unwrap_or_else(|_| "TERM".to_owned()))?;
        if self.node_id.is_some() && self.process_role.is_some() {
            // On stdout, as Kafka's script does it; among JSON it would be no data.
            let text = "When both node-id and process-role are provided, the value for node-id will take precedence";
            if out.style() == Style::Json { out.note(text)? } else { out.line(text)? }
        }
        let running = running()?;
        if running.is_empty() {
            match out.style() {
                Style::Json => out.json(&json!({"version": 1, "asked": []}))?,
                _ => out.line("No kafka server to stop")?,
            }
            return Ok(Exit::Failure);
        }
        let meant: Vec<_> = running.into_iter().filter(|broker| self.means(broker)).collect();
        if self.dry_run {
            let steps: Vec<_> = meant.iter().map(step).collect();
            print_plan(&steps, out)?;
            return Ok(Exit::Success);
        }
        let mut stopped = Vec::new();
        for broker in &meant {
            kill_process(broker.pid, signal)
                .with_context(|| format!("could not stop process {}", broker.pid.as_raw_nonzero()))?;
            if out.is_for_people() {
                let (node, pid) = (broker.node_id, broker.pid.as_raw_nonzero());
                out.line(format_args!("node {node} (process {pid}) is asked to stop"))?;
            }
            stopped.push(broker.pid);
        }
        let exit = match self.wait {
            Some(seconds) => wait_for_end(&stopped, Duration::from_secs(seconds))?,
            None => Exit::Success,
        };
        if out.style() == Style::Json {
            let asked: Vec<_> = meant.iter().map(object).collect();
            out.json(&json!({"version": 1, "asked": asked}))?;
        }
        Ok(exit)
    }
}

fn step(broker: &Running) -> (String, serde_json::Value) {
    (format!("stop node {} (process {})", broker.node_id, broker.pid.as_raw_nonzero()), object(broker))
}

fn object(broker: &Running) -> serde_json::Value {
    json!({"nodeId": broker.node_id, "pid": broker.pid.as_raw_nonzero().get(), "roles": broker.roles})
}

impl ServerStop {
    fn means(&self, broker: &Running) -> bool {
        match (self.node_id, &self.process_role) {
            (Some(id), _) => broker.node_id == id,
            (None, Some(roles)) => {
                let mut roles: Vec<&str> = roles.split(',').map(str::trim).collect();
                roles.sort_unstable();
                broker.roles == roles
            }
            (None, None) => true,
        }
    }
}

fn signal_named(name: &str) -> anyhow::Result<Signal> {
    Ok(match name.strip_prefix("SIG").unwrap_or(name) {
        "TERM" | "15" => Signal::TERM,
        "INT" | "2" => Signal::INT,
        "HUP" | "1" => Signal::HUP,
        "QUIT" | "3" => Signal::QUIT,
        "KILL" | "9" => Signal::KILL,
        _ => {
            return Err(Hinted::error(
                format!("SIGNAL is {name}, which ends no broker"),
                "unset it, or use TERM, INT, HUP, QUIT or KILL",
            ));
        }
    })
}

fn wait_for_end(pids: &[Pid], patience: Duration) -> anyhow::Result<Exit> {
    let begin = Instant::now();
    // A process that has ended and that its parent has not asked about yet has no executable any more.
    let runs = |pid: &Pid| broker(*pid, &PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()))).is_some();
    while pids.iter().any(runs) {
        if begin.elapsed() > patience {
            bail!("the broker is still running after {} s", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(Exit::Success)
}

/// The brokers of this user, by process id.
fn running() -> anyhow::Result<Vec<Running>> {
    let own_user = rustix::process::geteuid().as_raw();
    let own_pid = rustix::process::getpid();
    let entries = fs::read_dir("/proc").context("could not look at the running processes in /proc")?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw).filter(|pid| *pid != own_pid) else { continue };
        if entry.metadata().is_ok_and(|of| of.uid() == own_user) {
            found.extend(broker(pid, &entry.path()));
        }
    }
    found.sort_by_key(|broker| broker.pid.as_raw_nonzero());
    Ok(found)
}

/// The broker that the process is, if it is one. A process may end while it is looked at: then it is none.
fn broker(pid: Pid, process: &Path) -> Option<Running> {
    let executable = fs::read_link(process.join("exe")).ok()?;
    let command_line = fs::read(process.join("cmdline")).ok()?;
    let words: Vec<&str> = command_line.split(|byte| *byte == 0).filter_map(|word| str::from_utf8(word).ok()).collect();
    let options = server_words(executable.file_name()?, &words)?;
    let directory = fs::read_link(process.join("cwd")).unwrap_or_default();
    let (node_id, roles) = node_of(options, &directory);
    Some(Running { pid, node_id, roles })
}

/// What was typed after `server-start`, if the process is a server.
fn server_words<'a>(executable: &OsStr, words: &'a [&'a str]) -> Option<&'a [&'a str]> {
    // After an update the file is gone, and Linux says so.
    if executable.to_str()?.trim_end_matches(" (deleted)") != PROGRAM {
        return None;
    }
    let (program, rest) = words.split_first()?;
    let script = |name: &str| find("server-start").is_some_and(|tool| tool.script == Some(without_extension(name)));
    let options = match rest.split_first() {
        _ if script(program.rsplit('/').next()?) => rest,
        Some((tool, rest)) if *tool == "server-start" || script(tool) => rest,
        _ => return None,
    };
    // The command that waits for a background start is no server.
    (!options.iter().any(|word| word.trim_start_matches('-') == "daemon")).then_some(options)
}

/// The node id and the roles that a server was started with.
fn node_of(words: &[&str], directory: &Path) -> (i32, Vec<String>) {
    let mut file: Option<PathBuf> = None;
    let mut overrides = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((*word, None), |(name, value)| (name, Some(value)));
        match name.trim_start_matches('-') {
            _ if !name.starts_with('-') && !word.is_empty() => file = Some(directory.join(word)),
            "override" => overrides.extend(value.or_else(|| words.next().copied()).and_then(|s| s.split_once('='))),
            "ready-file" | "name" if value.is_none() => drop(words.next()),
            _ => {}
        }
    }
    let bytes = file.and_then(|file| fs::read(file).ok()).unwrap_or_default();
    let entries = properties::parse(&bytes).unwrap_or_default();
    let get = |key: &str| {
        let set = overrides.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| *value);
        set.or_else(|| entries.iter().rev().find(|entry| entry.key == key).map(|entry| entry.value.as_str()))
    };
    let id = get("node.id").or_else(|| get("broker.id")).and_then(|id| id.trim().parse().ok());
    let mut roles: Vec<String> =
        get("process.roles").unwrap_or("broker,controller").split(',').map(|role| role.trim().to_owned()).collect();
    roles.sort_unstable();
    (id.unwrap_or(1), roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(executable: &str, line: &str) -> Option<Vec<String>> {
        let words: Vec<&str> = line.split(' ').collect();
        server_words(OsStr::new(executable), &words).map(|words| words.iter().map(|w| (*w).to_owned()).collect())
    }

    #[test]
    fn only_servers_of_ours_are_found() {
        assert_eq!(words("kafka-rs", "/usr/bin/kafka-rs server-start a").unwrap(), ["a"]);
        assert_eq!(words("kafka-rs (deleted)", "kafka-rs server-start").unwrap(), [""; 0]);
        assert_eq!(words("kafka-rs", "bin/kafka-server-start.sh a.properties").unwrap(), ["a.properties"]);
        assert_eq!(words("kafka-rs", "kafka-rs kafka-server-start a").unwrap(), ["a"]);
        for (executable, line) in [
            ("kafka-rs", "kafka-rs topics --list"),
            ("kafka-rs", "kafka-rs console-consumer --topic server-start"),
            ("kafka-rs", "kafka-rs server-start -daemon"),
            ("vim", "vim server-start kafka-rs"),
            ("bash", "kafka-rs server-start"),
            ("java", "java kafka.Kafka server.properties"),
        ] {
            assert_eq!(words(executable, line), None, "{executable}: {line}");
        }
    }

    #[test]
    fn the_node_is_that_of_file_and_overrides() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.properties"), "node.id=7\nprocess.roles=controller,broker\n").unwrap();
        let node = |line: &str| node_of(&line.split(' ').collect::<Vec<_>>(), dir.path());
        let both = || vec!["broker".to_owned(), "controller".to_owned()];
        assert_eq!(node("a.properties"), (7, both()));
        assert_eq!(node("--ready-file r a.properties --override node.id=8"), (8, both()));
        assert_eq!(node("--override=node.id=9 --ephemeral"), (9, both()));
        assert_eq!(node("--override process.roles=broker"), (1, vec!["broker".to_owned()]));
    }

    #[test]
    fn filters() {
        let broker = Running {
            pid: Pid::from_raw(1).unwrap(),
            node_id: 3,
            roles: vec!["broker".to_owned(), "controller".to_owned()],
        };
        let stop = |node_id, process_role: Option<&str>| ServerStop {
            process_role: process_role.map(str::to_owned),
            node_id,
            wait: None,
            dry_run: false,
            output: OutputArgs::default(),
            _ignored: IgnoredWords::default(),
        };
        assert!(stop(None, None).means(&broker));
        assert!(stop(Some(3), Some("broker")).means(&broker));
        assert!(!stop(Some(4), None).means(&broker));
        assert!(stop(None, Some("controller,broker")).means(&broker));
        assert!(!stop(None, Some("broker")).means(&broker));
    }
}
