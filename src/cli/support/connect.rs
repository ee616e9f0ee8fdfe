//! How a tool reaches its broker: addresses, old spellings, and what to say when nobody answers.

use std::path::PathBuf;

use super::client_settings::ClientSettings;
use super::{DEFAULT_SERVER, Hinted, Output};
use crate::client::{Address, ClientError, ClientOptions};
use crate::config::Scope;

/// The options that say where the broker is.
#[derive(Debug, Clone, clap::Args)]
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
}

/// Where tutorials for older versions of Kafka say the broker is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OldServerOptions {
    /// Old spelling of --bootstrap-server
    #[arg(long, value_name = "HOST:PORT,...", hide = true)]
    broker_list: Option<String>,
    /// Address of ZooKeeper, before there was --bootstrap-server
    #[arg(long, value_name = "HOST:PORT,...", hide = true)]
    zookeeper: Option<String>,
}

impl ConnectArgs {
    /// The addresses to connect to; says on stderr what to write today instead of an old spelling.
    pub(crate) fn servers(&self, out: &mut Output) -> anyhow::Result<String> {
        self.old.servers(self.bootstrap_server.as_deref(), out)
    }

    /// The settings for calls of an administrator.
    pub(crate) fn admin_options(&self, out: &mut Output) -> anyhow::Result<ClientOptions> {
        let servers = self.servers(out)?;
        let mut settings = ClientSettings::new(Scope::Admin);
        if let Some(file) = &self.command_config {
            settings.read_file(file)?;
        }
        settings.warn(out)?;
        settings.client_options(parse_servers(&servers)?)
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

/// Reads `host:port,host:port`; the text of the error is Kafka's.
pub(crate) fn parse_servers(text: &str) -> anyhow::Result<Vec<Address>> {
    let mut servers = Vec::new();
    for server in text.split(',').map(str::trim).filter(|server| !server.is_empty()) {
        servers.push(server.parse().map_err(|_| invalid_server(server))?);
    }
    if servers.is_empty() { Err(invalid_server(text)) } else { Ok(servers) }
}

fn invalid_server(server: &str) -> anyhow::Error {
    Hinted::error(
        format!("Invalid url in bootstrap.servers: {server}"),
        format!("write host and port, as in --bootstrap-server {DEFAULT_SERVER}"),
    )
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
