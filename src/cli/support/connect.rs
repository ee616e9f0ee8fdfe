//! How a tool reaches its broker: addresses, old spellings, and what to say when nobody answers.

use std::path::{Path, PathBuf};

use super::{DEFAULT_SERVER, Hinted, Output};
use crate::client::{ClientError, ClientOptions};
use crate::config::{AdminConfig, Client, ClientProperties, ConfigError, Place, Warning, warning_lines};

/// The options that say where the broker is.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectArgs {
    /// Brokers to connect to [default: localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...")]
    pub(crate) bootstrap_server: Option<String>,
    /// File with settings of the client, such as timeouts
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, alias = "config-file")]
    pub(crate) command_config: Option<PathBuf>,
    #[command(flatten)]
    old: OldServerOptions,
    /// Whether settings that do nothing are not worth a word.
    #[arg(skip)]
    pub(crate) quiet: bool,
}

/// Where tutorials for older versions of Kafka say the broker is.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OldServerOptions {
    /// Old spelling of --bootstrap-server
    #[arg(long, value_name = "HOST:PORT,...", hide = true)]
    broker_list: Option<String>,
    /// Address of ZooKeeper, before there was --bootstrap-server
    #[arg(long, value_name = "HOST:PORT,...", hide = true)]
    zookeeper: Option<String>,
}

impl ConnectArgs {
    /// For a tool that connects to more than one cluster, and has options of its own for each.
    pub(crate) fn of(servers: &str, command_config: Option<PathBuf>) -> Self {
        Self { bootstrap_server: Some(servers.to_owned()), command_config, ..Self::default() }
    }

    /// The addresses to connect to; says on stderr what to write today instead of an old spelling.
    pub(crate) fn servers(&self, out: &mut Output) -> anyhow::Result<String> {
        self.old.servers(self.bootstrap_server.as_deref(), out)
    }

    /// The value of `--broker-list`, for the tools where it does not say where to connect to.
    pub(crate) fn take_broker_list(&mut self) -> Option<String> {
        self.old.broker_list.take()
    }

    /// The settings for calls of an administrator.
    pub(crate) fn admin_options(&self, out: &mut Output) -> anyhow::Result<ClientOptions> {
        let servers = self.servers(out)?;
        self.admin_options_at("bootstrap.servers", &servers, out)
    }

    /// The settings for calls of an administrator to controllers.
    pub(crate) fn controller_options(&self, controllers: &str, out: &mut Output) -> anyhow::Result<ClientOptions> {
        self.admin_options_at("bootstrap.controllers", controllers, out)
    }

    fn admin_options_at(&self, key: &str, addresses: &str, out: &mut Output) -> anyhow::Result<ClientOptions> {
        let mut properties = ClientProperties::new(Client::Admin);
        if let Some(file) = &self.command_config {
            properties.read(file)?;
        }
        if !self.quiet {
            warn(&properties.warnings(), out)?;
        }
        properties.set(key, addresses);
        let config = AdminConfig::new(&properties).map_err(explained_config)?;
        Ok(ClientOptions::from(&config))
    }
}

impl OldServerOptions {
    /// The addresses: those given today's way, else an old way, else the default.
    pub(crate) fn servers(&self, given: Option<&str>, out: &mut Output) -> anyhow::Result<String> {
        let (servers, note) = match (given, &self.broker_list, &self.zookeeper) {
            (Some(servers), _, _) => (servers, None),
            (None, Some(servers), _) => {
                (servers.as_str(), Some(format!("--broker-list is old: write --bootstrap-server {servers}")))
            }
            (None, None, Some(_)) => (
                DEFAULT_SERVER,
                Some(format!(
                    "--zookeeper is old, the broker itself is asked: write --bootstrap-server {DEFAULT_SERVER}"
                )),
            ),
            (None, None, None) => (DEFAULT_SERVER, None),
        };
        if let Some(note) = note {
            out.note(note)?;
        }
        Ok(servers.to_owned())
    }
}

/// The settings for calls of an administrator, for who may not say what is wrong with them.
pub(crate) fn quiet_admin_options(servers: Option<&str>, file: Option<&Path>) -> Option<ClientOptions> {
    let mut properties = ClientProperties::new(Client::Admin);
    if let Some(file) = file {
        properties.read(file).ok()?;
    }
    properties.set("bootstrap.servers", servers.unwrap_or(DEFAULT_SERVER));
    Some(ClientOptions::from(&AdminConfig::new(&properties).ok()?))
}

/// Says on stderr which settings do nothing.
pub(crate) fn warn(warnings: &[Warning], out: &mut Output) -> std::io::Result<()> {
    warning_lines(warnings).iter().try_for_each(|line| out.note(format_args!("warning: {line}")))
}

/// A wrong setting, with a hint where the address is what is wrong.
pub(crate) fn explained_config(error: ConfigError) -> anyhow::Error {
    let error = match error {
        // Only a file's name and line help to find the setting; the command line is what was just typed.
        ConfigError::At { place, error } if !matches!(place, Place::Line { .. }) => *error,
        error => error,
    };
    if error.key() == Some("bootstrap.servers") {
        return Hinted::error(
            error.to_string(),
            format!("write host and port, as in --bootstrap-server {DEFAULT_SERVER}"),
        );
    }
    anyhow::Error::new(error)
}

/// What to do about an error of the client, if there is something.
pub(crate) fn hint_for(error: &ClientError) -> Option<String> {
    match error {
        ClientError::Connect { .. } | ClientError::NoBroker { .. } => Some(
            "is a broker running there? `kafka-rs server-start` starts one; --bootstrap-server names another"
                .to_owned(),
        ),
        ClientError::NotKafka { .. } => {
            Some("is this a broker's port, and one without TLS? --bootstrap-server names another".to_owned())
        }
        ClientError::DeadlineExceeded { source: Some(source), .. } => hint_for(source),
        _ => None,
    }
}

/// The error with its hint.
pub(crate) fn explained(error: ClientError) -> anyhow::Error {
    match hint_for(&error) {
        Some(hint) => Hinted::error(super::chain_text(&anyhow::Error::new(error)), hint),
        None => anyhow::Error::new(error),
    }
}
