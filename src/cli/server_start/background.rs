//! `-daemon`: the same command again, detached, with its output in a file.
//!
//! Kafka's script returns at once, and a server that fails to start is found out later. Here the command returns when
//! the broker is ready, or with its last words.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::cli::called_by_link;
use crate::cli::support::{Exit, Hinted, Output};

/// Tells the server that it is the one in the background.
const DETACHED: &str = "KAFKA_RS_DETACHED";
/// A broker with much to recover goes on in the background; the command does not wait for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lines of output shown when the start failed.
const LAST_LINES: usize = 12;

/// In the background process: leaves the terminal's session, so that closing the terminal does not end it.
pub(super) fn detach_if_asked() -> anyhow::Result<()> {
    if std::env::var_os(DETACHED).is_some() {
        rustix::process::setsid().context("could not leave the terminal's session")?;
    }
    Ok(())
}

/// Starts the server in the background and waits until it is ready or has failed.
pub(super) fn start(out: &mut Output) -> anyhow::Result<Exit> {
    let log = log_directory()?.join("kafkaServer.out");
    if let Some(parent) = log.parent() {
        fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))?;
    }
    let file = File::create(&log).with_context(|| format!("could not write {}", log.display()))?;
    let mut words = std::env::args_os();
    let called_as = words.next().unwrap_or_default();
    if called_by_link(&called_as).is_none() {
        // The tool's name, in whichever form.
        words.next();
    }
    let program = std::env::current_exe().context("could not find this program's own file")?;
    let mut command = Command::new(program);
    command.arg("server-start").args(words.filter(|word| word != "-daemon" && word != "--daemon"));
    let errors = file.try_clone().context("could not use the log file twice")?;
    command.stdin(Stdio::null()).stdout(file).stderr(errors).env(DETACHED, "1");
    let mut child = command.spawn().context("could not start the background process")?;
    let pid = child.id();
    match wait(&mut child, &log)? {
        Some(code) => {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(LAST_LINES)) {
                out.note(line)?;
            }
            Err(Hinted::error(
                format!("the broker ended while starting (exit code {code})"),
                format!("its output is in {}", log.display()),
            ))
        }
        None => {
            if out.stdout_is_terminal() {
                out.line(format_args!("the broker runs as process {pid}; its output goes to {}", log.display()))?;
            }
            Ok(Exit::Success)
        }
    }
}

/// Waits for the line that a broker prints when it is ready; its exit code if it ends before.
fn wait(child: &mut Child, log: &Path) -> anyhow::Result<Option<i32>> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().context("could not watch the background process")? {
            return Ok(Some(status.code().unwrap_or(1)));
        }
        if fs::read_to_string(log).is_ok_and(|text| text.contains("Kafka Server started")) {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(None)
}

/// `$LOG_DIR` as for Kafka's scripts, else the user's directory for such things.
fn log_directory() -> anyhow::Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(directory) = from("LOG_DIR") {
        return Ok(directory);
    }
    let state = from("XDG_STATE_HOME").filter(|path| path.is_absolute());
    match state.or_else(|| Some(from("HOME")?.join(".local/state"))) {
        Some(base) => Ok(base.join("kafka-rs")),
        None => bail!("no directory for the log: neither LOG_DIR nor HOME is set"),
    }
}
