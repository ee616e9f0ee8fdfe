//! `server-start`: runs a broker until a signal ends it. The one tool that uses `broker`.
//!
//! Reads the configuration, says where the broker listens and stores, and stops it cleanly; the broker itself is
//! `broker::Server`. Nothing here knows requests or logs.

mod background;
mod opening;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

use super::Run;
use super::help::Example;
use super::support::{Exit, Hinted, Output, Signals, UsageError};
use crate::broker::{BrokerError, Endpoint, Server};
use crate::config::{ConfigError, Place, ServerConfig, Warning, warning_lines};
use crate::telemetry;

/// Start a broker
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Without a file the broker is its own controller, listens on localhost:9092 and keeps its data in \
~/.local/share/kafka-rs. New directories are formatted at the first start. KAFKA_RS_LOG sets what is logged: error, \
warn, info, debug, or module=level,... Without it, warnings at a terminal, else info.")]
pub(super) struct ServerStart {
    /// Settings, in the format of Kafka's server.properties
    #[arg(value_name = "SERVER.PROPERTIES", value_hint = clap::ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Set something, over what the file says
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Run in the background; output goes to kafkaServer.out in $LOG_DIR
    #[arg(long)]
    daemon: bool,
    /// Keep the data in a temporary directory that is removed at the end
    #[arg(long)]
    ephemeral: bool,
    /// Write the addresses to this file, a line each, when the broker is ready
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    ready_file: Option<PathBuf>,
    /// What Kafka's scripts pass to Java
    #[arg(long, value_name = "NAME", hide = true)]
    name: Option<String>,
    /// What Kafka's scripts pass to Java
    #[arg(long, hide = true)]
    loggc: bool,
}

impl Run for ServerStart {
    const EXAMPLES: &'static [Example] = &[
        ("A broker on localhost:9092, for this moment alone", "kafka-rs server-start --ephemeral"),
        (
            "A broker as a file describes it, but for one setting",
            "kafka-rs server-start server.properties --override node.id=2",
        ),
    ];

    const NEEDS_NO_WORDS: bool = true;

    fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        let started = Instant::now();
        let file = match self.files.as_slice() {
            [] => None,
            [file] => Some(file.as_path()),
            [_, others @ ..] => {
                let others: Vec<_> = others.iter().map(|word| word.display().to_string()).collect();
                return Err(UsageError::because(format!("Found non argument parameters: {}", others.join(","))));
            }
        };
        // Checked here also for a background start, so that a mistake is told where it was made.
        let ephemeral = if self.ephemeral { Some(temporary_directory()?) } else { None };
        let (config, warnings) = load(file, &self.overrides, ephemeral.as_ref().map(tempfile::TempDir::path))?;
        if self.daemon {
            return background::start(out);
        }
        background::detach_if_asked()?;
        telemetry::start_for_server();
        // What the program itself filled in is no news to the user.
        let warnings: Vec<Warning> = warnings.into_iter().filter(|one| one.place != Place::Program).collect();
        for line in warning_lines(&warnings) {
            tracing::warn!(target: "kafka_rs::config", "{line}");
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().context("could not start the runtime")?;
        let exit = runtime.block_on(serve(config, &self, started, out))?;
        // Whoever could not wait for the start, or for the end, is not to wait for what still works on it.
        runtime.shutdown_background();
        if let Some(directory) = ephemeral {
            let path = directory.path().to_owned();
            directory.close().with_context(|| format!("could not remove {}", path.display()))?;
        }
        Ok(exit)
    }
}

async fn serve(config: ServerConfig, args: &ServerStart, started: Instant, out: &mut Output) -> anyhow::Result<Exit> {
    // Before the broker starts, so that a signal in the meantime is not lost.
    let mut signals = Signals::listen()?;
    let summary = Summary::of(&config, args.ephemeral);
    let drawn = opening::Drawn::start(out)?;
    let progress = drawn.progress();
    // On a thread of its own: checking the logs may take long, and a signal is heard meanwhile.
    let runtime = tokio::runtime::Handle::current();
    let starting =
        tokio::task::spawn_blocking(move || runtime.block_on(Server::start_watched(config, progress.as_ref())));
    let server = tokio::select! {
        started_server = starting => {
            drop(drawn);
            started_server.context("could not start the broker")?.map_err(explained)?
        }
        signal = signals.next() => {
            drop(drawn);
            tracing::info!(target: "kafka_rs", "Terminating process due to signal {}, before it was ready", signal.name());
            if out.stdout_is_terminal() {
                out.note("\nstopped before it was ready; the next start goes on with the logs as they are")?;
            }
            return Ok(signal.exit());
        }
    };
    let addresses = summary.addresses(server.endpoints());
    if let Some(path) = &args.ready_file {
        write_ready_file(path, &addresses)?;
    }
    summary.print(&addresses, started, out)?;
    out.flush()?;

    let signal = tokio::select! {
        signal = signals.next() => signal,
        reason = server.failed() => {
            tracing::error!(target: "kafka_rs", "{reason}");
            server.stop().await;
            if let Some(path) = &args.ready_file {
                let _ = fs::remove_file(path);
            }
            return Err(anyhow::Error::msg(reason));
        }
    };
    tracing::info!(target: "kafka_rs", "Terminating process due to signal {}", signal.name());
    if out.stdout_is_terminal() {
        out.note("\nstopping; once more ends at once")?;
    }
    let exit = tokio::select! {
        () = server.stop() => signal.exit(),
        // What is lost by not waiting is the clean-shutdown mark: the next start checks the logs' ends.
        second = signals.next() => second.exit(),
    };
    if let Some(path) = &args.ready_file {
        // Gone already is as good.
        let _ = fs::remove_file(path);
    }
    Ok(exit)
}

fn temporary_directory() -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("kafka-rs-")
        .tempdir()
        .with_context(|| format!("could not make a directory in {}", std::env::temp_dir().display()))
}

fn load(
    file: Option<&Path>,
    overrides: &[String],
    data: Option<&Path>,
) -> anyhow::Result<(ServerConfig, Vec<Warning>)> {
    let mut settings: Vec<(String, String)> = overrides
        .iter()
        .map(|setting| setting.split_once('=').unwrap_or((setting, "")))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect();
    if let Some(data) = data {
        const DIRECTORIES: [&str; 3] = ["log.dirs", "log.dir", "metadata.log.dir"];
        if let Some((key, _)) = settings.iter().find(|(key, _)| DIRECTORIES.contains(&key.as_str())) {
            return Err(UsageError::conflict("ephemeral", &format!("override {key}")));
        }
        let data = data.to_string_lossy().into_owned();
        settings.extend(["log.dirs", "metadata.log.dir"].map(|key| (key.to_owned(), data.clone())));
    }
    ServerConfig::load(file, &settings).map_err(|error| match &error {
        ConfigError::Read { cause, .. } if cause.kind() == io::ErrorKind::NotFound => {
            Hinted::error(error.to_string(), "without a file `kafka-rs server-start` runs on its defaults")
        }
        _ => anyhow::Error::new(error),
    })
}

/// Adds what to do next to the errors that people meet first.
fn explained(error: BrokerError) -> anyhow::Error {
    let hint = match &error {
        BrokerError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Some(
            "is a broker running there? `kafka-rs server-stop` ends it; port 0 takes a free one: \
                  `--override listeners=PLAINTEXT://localhost:0`",
        ),
        BrokerError::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Some("ports below 1024 are reserved; choose another one in `listeners`")
        }
        _ => None,
    };
    match hint {
        Some(hint) => Hinted::error(super::support::chain_text(&anyhow::Error::new(error)), hint),
        None => anyhow::Error::new(error),
    }
    .context("could not start the broker")
}

/// What the first lines say.
struct Summary {
    node_id: i32,
    directories: Vec<PathBuf>,
    ephemeral: bool,
    /// Name and host of the listeners that clients use.
    listeners: Vec<(String, String)>,
}

impl Summary {
    fn of(config: &ServerConfig, ephemeral: bool) -> Self {
        let listeners = config.broker_listeners().map(|listener| {
            let host = listener.host.clone().unwrap_or_else(|| "localhost".to_owned());
            (listener.name.clone(), host)
        });
        Self {
            node_id: config.node_id.get(),
            directories: config.log_dirs.clone(),
            ephemeral,
            listeners: listeners.collect(),
        }
    }

    /// `host:port` of each listener that clients use, with the port that it got.
    fn addresses(&self, endpoints: &[Endpoint]) -> Vec<String> {
        let host = |endpoint: &Endpoint| {
            self.listeners.iter().find(|(name, _)| *name == endpoint.listener).map(|(_, host)| host.as_str())
        };
        endpoints
            .iter()
            .filter_map(|endpoint| {
                let port = endpoint.address.port();
                host(endpoint)
                    .map(|host| if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
            })
            .collect()
    }

    fn print(&self, addresses: &[String], started: Instant, out: &mut Output) -> io::Result<()> {
        let directories: Vec<_> = self.directories.iter().map(|dir| dir.display().to_string()).collect();
        let stored = if self.ephemeral { " (removed at the end)" } else { "" };
        let version = env!("CARGO_PKG_VERSION");
        let node = self.node_id;
        let took = started.elapsed().as_millis();
        if !out.stdout_is_terminal() {
            // In the form of Kafka's log; the last line is what scripts wait for.
            let addresses = addresses.join(", ");
            let directories = directories.join(", ");
            out.kafka_log_info(format_args!("kafka-rs {version} listens on {addresses}"), "kafka_rs")?;
            out.kafka_log_info(format_args!("data is kept in {directories}{stored}"), "kafka_rs")?;
            return out.kafka_log_info(
                format_args!("[KafkaRaftServer nodeId={node}] Kafka Server started, in {took} ms"),
                "kafka.server.KafkaRaftServer",
            );
        }
        let ready = out.bold(&format!("kafka-rs {version} is ready"));
        out.line(format_args!("{ready} ({took} ms)"))?;
        out.line(format_args!("  listens on  {}", addresses.join(", ")))?;
        out.line(format_args!("  stores in   {}{stored}", directories.join(", ")))?;
        let server = match addresses.first() {
            Some(address) if address != super::support::DEFAULT_SERVER => format!(" --bootstrap-server {address}"),
            _ => String::new(),
        };
        out.line(format_args!("  write       kafka-rs console-producer{server} --topic greetings"))?;
        out.line(format_args!("  read        kafka-rs console-consumer{server} --topic greetings --from-beginning"))?;
        out.line("  stop        Ctrl-C")
    }
}

/// Writes the file in one step: whoever waits for it finds it whole.
fn write_ready_file(path: &Path, addresses: &[String]) -> anyhow::Result<()> {
    let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    fs::write(&fresh, text)
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("could not write {}", path.display()))
}
