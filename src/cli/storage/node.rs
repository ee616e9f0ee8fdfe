//! What a node's `server.properties` says about its directories and its controllers.
//!
//! Only that is read: a directory may be formatted for a node whose other settings this program does not serve yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::cli::support::Hinted;
use crate::config::{HostPort, properties};
use crate::types::NodeId;

/// Where Kafka keeps its data when nothing is said.
const DEFAULT_LOG_DIR: &str = "/tmp/kafka-logs";

/// A node, as far as its storage is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) is_controller: bool,
    /// All directories, each once, in order.
    pub(super) directories: Vec<PathBuf>,
    /// The one that holds the metadata log.
    pub(super) metadata_directory: PathBuf,
    /// `controller.quorum.voters` is set.
    pub(super) has_static_voters: bool,
    /// Name, host and port of the listener that other controllers use.
    pub(super) controller_listener: Option<(String, String, u16)>,
}

impl Node {
    /// Reads the node's file.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        let entries = properties::parse(&bytes).with_context(|| path.display().to_string())?;
        let settings: BTreeMap<_, _> =
            entries.into_iter().map(|entry| (entry.key, entry.value.trim().to_owned())).collect();
        Self::from_settings(&settings)
    }

    fn from_settings(settings: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let get = |key: &str| settings.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let list = |key: &str| -> Vec<&str> {
            get(key).map(|text| text.split(',').map(str::trim).filter(|t| !t.is_empty()).collect()).unwrap_or_default()
        };
        let roles = list("process.roles");
        if roles.is_empty() {
            return Err(Hinted::error(
                "Missing required configuration \"process.roles\" which has no default value.",
                "add process.roles=broker,controller for a single node; `kafka-rs server-start` formats new \
                 directories by itself",
            ));
        }
        if let Some(other) = roles.iter().find(|role| !["broker", "controller"].contains(role)) {
            bail!("Unknown process role '{other}' in process.roles (only 'broker' and 'controller' are allowed)");
        }
        let id = match get("node.id").or_else(|| get("broker.id")) {
            Some(text) => match text.parse() {
                Ok(id) if id >= 0 => NodeId(id),
                _ => bail!("Invalid value {text} for configuration node.id: not a number from 0 on"),
            },
            None => bail!("Missing required configuration \"node.id\" which has no default value."),
        };
        let voters = list("controller.quorum.voters");
        if let Some(wrong) = voters.iter().find(|voter| !is_voter(voter)) {
            bail!("Invalid value {wrong} for configuration controller.quorum.voters: not of the form id@host:port");
        }
        if voters.is_empty() && get("controller.quorum.bootstrap.servers").is_none() {
            bail!(
                "If using process.roles, either controller.quorum.bootstrap.servers must contain the set of bootstrap \
                 controllers or controller.quorum.voters must contain a parseable set of controllers."
            );
        }
        let mut directories: Vec<PathBuf> = list("log.dirs").into_iter().map(PathBuf::from).collect();
        if directories.is_empty() {
            directories.push(get("log.dir").unwrap_or(DEFAULT_LOG_DIR).into());
        }
        let metadata_directory = match (get("metadata.log.dir"), directories.first()) {
            (Some(directory), _) => PathBuf::from(directory),
            (None, Some(first)) => first.clone(),
            (None, None) => PathBuf::from(DEFAULT_LOG_DIR),
        };
        directories.push(metadata_directory.clone());
        directories.sort();
        directories.dedup();
        Ok(Self {
            id,
            is_controller: roles.contains(&"controller"),
            directories,
            metadata_directory,
            has_static_voters: !voters.is_empty(),
            controller_listener: controller_listener(
                list("controller.listener.names").first().copied(),
                &[list("advertised.listeners"), list("listeners")].concat(),
            ),
        })
    }
}

/// Whether the text is `id@host:port`.
fn is_voter(text: &str) -> bool {
    text.split_once('@').is_some_and(|(id, address)| id.parse::<i32>().is_ok() && HostPort::parse(address).is_some())
}

/// The address of the first controller listener: the advertised one if there is one.
fn controller_listener(name: Option<&str>, listeners: &[&str]) -> Option<(String, String, u16)> {
    let name = name?;
    let address = listeners.iter().find_map(|listener| {
        let (scheme, address) = listener.split_once("://")?;
        scheme.eq_ignore_ascii_case(name).then_some(address)
    })?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() || host == "0.0.0.0" { "localhost" } else { host };
    Some((name.to_owned(), host.to_owned(), port.parse().ok()?))
}

/// A controller of `--initial-controllers`: `id@host:port:directory-id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InitialController {
    pub(super) id: NodeId,
    pub(super) address: HostPort,
    pub(super) directory: crate::types::Uuid,
}

impl InitialController {
    /// Reads the list; the texts of the errors are Kafka's.
    pub(super) fn parse_list(text: &str) -> anyhow::Result<Vec<Self>> {
        text.split(',').map(str::trim).filter(|voter| !voter.is_empty()).map(Self::parse).collect()
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let Some((id, rest)) = text.split_once('@') else { bail!("No @ found in dynamic voter string.") };
        let Ok(id) = id.trim().parse() else { bail!("Failed to parse node id in dynamic voter string.") };
        let (host, rest) = match rest.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, rest)) => (host, rest),
                None => bail!("Hostname began with left bracket, but no right bracket was found."),
            },
            None => match rest.find(':') {
                Some(colon) => rest.split_at(colon),
                None => bail!("No colon following hostname could be found."),
            },
        };
        let Some(rest) = rest.strip_prefix(':') else { bail!("Port section must start with a colon.") };
        let Some((port, directory)) = rest.split_once(':') else { bail!("No colon following port could be found.") };
        let Ok(port) = port.parse() else { bail!("Failed to parse port in dynamic voter string.") };
        let Some(directory) = crate::types::Uuid::parse(directory) else {
            bail!("Failed to parse directory ID in dynamic voter string.")
        };
        Ok(Self { id: NodeId(id), address: HostPort { host: host.to_owned(), port }, directory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(lines: &str) -> Result<Node, String> {
        let settings = lines
            .split_whitespace()
            .map(|line| line.split_once('=').unwrap())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Node::from_settings(&settings).map_err(|e| e.to_string())
    }

    const ROLES: &str = "process.roles=broker,controller node.id=1 ";

    #[test]
    fn directories_are_listed_once() {
        let voters = "controller.quorum.voters=1@localhost:9093 ";
        let found = node(&format!("{ROLES}{voters}log.dirs=/b,/a metadata.log.dir=/b")).unwrap();
        assert_eq!(found.directories, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(found.metadata_directory, PathBuf::from("/b"));
        let found = node(&format!("{ROLES}{voters}log.dirs=/b,/a")).unwrap();
        assert_eq!(found.metadata_directory, PathBuf::from("/b"));
        let found = node(&format!("{ROLES}{voters}")).unwrap();
        assert_eq!(found.directories, [PathBuf::from("/tmp/kafka-logs")]);
    }

    #[test]
    fn what_is_missing_is_told_in_kafkas_words() {
        assert_eq!(
            node("node.id=1").unwrap_err(),
            "Missing required configuration \"process.roles\" which has no default value."
        );
        assert!(node(ROLES).unwrap_err().starts_with("If using process.roles, either controller.quorum.bootstrap"));
    }

    #[test]
    fn the_controllers_address_is_the_listeners() {
        let with = |listeners: &str| {
            let text = format!(
                "{ROLES}controller.quorum.bootstrap.servers=localhost:9093 controller.listener.names=CONTROLLER {listeners}"
            );
            node(&text).unwrap().controller_listener
        };
        let expected = Some(("CONTROLLER".to_owned(), "localhost".to_owned(), 9093));
        assert_eq!(with("listeners=PLAINTEXT://:9092,CONTROLLER://:9093"), expected);
        assert_eq!(with("listeners=CONTROLLER://:1 advertised.listeners=CONTROLLER://localhost:9093"), expected);
        assert_eq!(with("listeners=PLAINTEXT://:9092"), None);
    }

    #[test]
    fn initial_controllers() {
        let parse = |text: &str| InitialController::parse_list(text).map_err(|e| e.to_string());
        let found = parse("1@localhost:9093:AAAAAAAAAAAAAAAAAAAAAQ,2@[::1]:9094:AAAAAAAAAAAAAAAAAAAAAQ").unwrap();
        assert_eq!(found[0].address, HostPort { host: "localhost".to_owned(), port: 9093 });
        assert_eq!(found[1].address, HostPort { host: "::1".to_owned(), port: 9094 });
        assert_eq!(parse("x").unwrap_err(), "No @ found in dynamic voter string.");
        assert_eq!(parse("1@localhost").unwrap_err(), "No colon following hostname could be found.");
    }
}
