//! `storage format`: makes a node's directories ready for a cluster.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::features::{Levels, version_name};
use super::node::{InitialController, Node};
use super::{Format, required, scram};
use crate::cli::support::{Exit, Hinted, Output, Style, UsageError, print_plan};
use crate::log::Fs;
use crate::log::checkpoint::replace_file;
use crate::log::directory::{self, DirectoryContent};
use crate::log::meta_properties::{self, MetaProperties};
use crate::metadata::bootstrap::{InitialVoter, bootstrap_checkpoint, voters_checkpoint};
use crate::metadata::checkpoint::BOOTSTRAP_FILE;
use crate::protocol::messages::UserScramCredentialRecord;
use crate::types::{NodeId, Uuid};

/// Where the metadata log is in its directory.
const METADATA_LOG: &str = "__cluster_metadata-0";

pub(super) fn run(args: Format, out: &mut Output) -> anyhow::Result<Exit> {
    let Some(cluster_id) = args.cluster_id.as_deref().filter(|id| !id.is_empty()) else {
        return Err(required("cluster-id", 't'));
    };
    let Some(config) = &args.config else { return Err(required("config", 'c')) };
    check_quorum_flags(&args)?;
    let node = Node::read(config)?;
    let directory_id = Uuid::random();
    let quorum = Quorum::of(&args, &node, directory_id)?;
    let levels = Levels::chosen(args.release_version.as_deref(), &args.feature, quorum.is_dynamic())?;
    let users = if args.add_scram.is_empty() { Vec::new() } else { users(&args.add_scram, &levels)? };
    let unformatted = unformatted(&node, cluster_id, args.ignore_formatted, out)?;
    // The metadata directory comes last, as in Kafka's output.
    let (metadata, mut directories): (Vec<_>, Vec<_>) =
        unformatted.into_iter().partition(|dir| *dir == node.metadata_directory);
    directories.extend(metadata);
    let version = version_name(levels.metadata).unwrap_or_default();
    let kind_of = |dir: &PathBuf| {
        if *dir == node.metadata_directory { quorum.directory_kind(node.id) } else { "data directory" }
    };
    if args.dry_run {
        let step = |dir: &PathBuf| {
            let text = format!("format {} {} with metadata.version {version}", kind_of(dir), dir.display());
            (
                text,
                json!({"format": dir.display().to_string(), "metadataVersion": version, "clusterId": cluster_id, "nodeId": node.id.get()}),
            )
        };
        print_plan(&directories.iter().map(step).collect::<Vec<_>>(), out)?;
        return Ok(Exit::Success);
    }
    if out.style() == Style::Json {
        // What is printed on the way is for people.
    } else if directories.is_empty() {
        out.line("All of the log directories are already formatted.")?;
        return Ok(Exit::Success);
    } else if !out.is_for_people() {
        out.line(format_args!("Bootstrap metadata: {}", bootstrap_text(&levels, &users)))?;
    }
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let bootstrap = bootstrap_checkpoint(&levels.features(), users, now_ms)?;
    for dir in &directories {
        let is_metadata = *dir == node.metadata_directory;
        if out.style() != Style::Json {
            let kind = kind_of(dir);
            out.line(format_args!("Formatting {kind} {} with metadata.version {version}.", dir.display()))?;
        }
        let write = |file: &str, bytes: &[u8]| -> anyhow::Result<()> {
            let path = dir.join(file);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))?;
            }
            replace_file(&path, bytes).with_context(|| format!("could not write {}", path.display()))
        };
        write(BOOTSTRAP_FILE, &bootstrap)?;
        let mut properties = MetaProperties::new(cluster_id, node.id);
        if is_metadata && let Quorum::Voters(voters) = &quorum {
            let (name, bytes) = voters_checkpoint(&initial_voters(voters, &node), now_ms)?;
            write(&format!("{METADATA_LOG}/{name}"), &bytes)?;
            if let Some(own) = voters.iter().find(|voter| voter.id == node.id) {
                properties.directory_id = Some(own.directory);
            }
        }
        // Order: meta.properties last; with it the directory counts as formatted.
        meta_properties::write(&Fs::default(), dir, &properties, now_ms)
            .with_context(|| format!("could not write {} in {}", meta_properties::FILE_NAME, dir.display()))?;
    }
    if out.style() == Style::Json {
        let ids = json!({"clusterId": cluster_id, "nodeId": node.id.get(), "metadataVersion": version});
        let formatted: Vec<_> = directories.iter().map(|dir| dir.display().to_string()).collect();
        out.json(&json!({"version": 1, "formatted": formatted, "as": ids}))?;
    }
    Ok(Exit::Success)
}

fn check_quorum_flags(args: &Format) -> anyhow::Result<()> {
    let flags = [
        ("--standalone/-s", args.standalone),
        ("--no-initial-controllers/-N", args.no_initial_controllers),
        ("--initial-controllers/-I", args.initial_controllers.is_some()),
    ];
    let mut given = flags.iter().filter(|(_, given)| *given).map(|(name, _)| name);
    match (given.next(), given.next()) {
        (Some(first), Some(second)) => {
            Err(UsageError::because(format!("argument {second}: not allowed with argument {first}")))
        }
        _ => Ok(()),
    }
}

/// How the cluster finds its controllers.
enum Quorum {
    /// `controller.quorum.voters`, on every node.
    Static,
    /// The metadata log says it, and there is one already.
    Unknown,
    /// The metadata log says it, and begins with these.
    Voters(Vec<InitialController>),
}

impl Quorum {
    fn of(args: &Format, node: &Node, directory_id: Uuid) -> anyhow::Result<Self> {
        let initial = match &args.initial_controllers {
            Some(text) => Some(InitialController::parse_list(text)?),
            None => None,
        };
        if node.has_static_voters && (args.standalone || initial.is_some()) {
            bail!(
                "You cannot specify controller.quorum.voters and format the node with --initial-controllers or \
                 --standalone. If you want to use dynamic quorum, please remove controller.quorum.voters and specify \
                 controller.quorum.bootstrap.servers instead."
            );
        }
        if args.standalone && !node.is_controller {
            bail!("You can only use --standalone on a controller.");
        }
        if args.standalone {
            let Some((_, host, port)) = node.controller_listener.clone() else {
                bail!("controller.listener.names does not name one of the listeners, so the voter has no address");
            };
            let address = crate::config::HostPort { host, port };
            return Ok(Self::Voters(vec![InitialController { id: node.id, address, directory: directory_id }]));
        }
        if let Some(initial) = initial {
            return Ok(Self::Voters(initial));
        }
        if args.no_initial_controllers {
            return Ok(Self::Unknown);
        }
        if node.is_controller && !node.has_static_voters {
            bail!(
                "Because controller.quorum.voters is not set on this controller, you must specify one of the \
                 following: --standalone, --initial-controllers, or --no-initial-controllers."
            );
        }
        Ok(Self::Static)
    }

    fn is_dynamic(&self) -> bool {
        !matches!(self, Self::Static)
    }

    /// What Kafka calls the directory of the metadata log.
    fn directory_kind(&self, node: NodeId) -> &'static str {
        match self {
            Self::Static | Self::Unknown => "metadata directory",
            Self::Voters(voters) if voters.iter().any(|voter| voter.id == node) => "dynamic metadata voter directory",
            Self::Voters(_) => "dynamic metadata directory",
        }
    }
}

fn initial_voters(voters: &[InitialController], node: &Node) -> Vec<InitialVoter> {
    let listener = node.controller_listener.as_ref().map_or("CONTROLLER", |(name, _, _)| name.as_str());
    let voter = |voter: &InitialController| InitialVoter {
        id: voter.id,
        directory_id: voter.directory,
        listener_name: listener.to_owned(),
        address: voter.address.clone(),
    };
    voters.iter().map(voter).collect()
}

/// The directories to be formatted; those that are formatted must be this node's and this cluster's.
fn unformatted(
    node: &Node,
    cluster_id: &str,
    ignore_formatted: bool,
    out: &mut Output,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut unformatted = Vec::new();
    let mut formatted: Vec<(&Path, MetaProperties)> = Vec::new();
    let mut unreadable = 0;
    for dir in &node.directories {
        match directory::inspect(dir) {
            Ok(DirectoryContent::Missing | DirectoryContent::Empty) => unformatted.push(dir.clone()),
            Ok(DirectoryContent::Formatted(properties)) => formatted.push((dir, properties)),
            Ok(DirectoryContent::Unformatted) => {
                return Err(Hinted::error(
                    format!("{} is not empty, and nothing in it says that it is a log directory", dir.display()),
                    "name another directory, or move what is in it away",
                ));
            }
            Err(directory::DirectoryError::Io { .. }) => {
                // On stdout, as Kafka's tool does it; among JSON it would be no data.
                let text = format!("I/O error trying to read log directory {}. Ignoring...", dir.display());
                if out.style() == Style::Json {
                    out.note(text)?
                } else {
                    out.line(text)?
                }
                unreadable += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if unreadable == node.directories.len() {
        bail!("No available log directories to format.");
    }
    if let (Some((dir, _)), false) = (formatted.first(), ignore_formatted) {
        bail!(
            "Log directory {} is already formatted. Use --ignore-formatted to ignore this directory and format the \
             others.",
            dir.display()
        );
    }
    for (dir, properties) in &formatted {
        let file = dir.join(meta_properties::FILE_NAME);
        if let Some(found) = properties.cluster_id.as_deref().filter(|found| *found != cluster_id) {
            bail!("Invalid cluster.id in: {}. Expected {cluster_id}, but read {found}", file.display());
        }
        if let Some(found) = properties.node_id.filter(|found| *found != node.id) {
            bail!(
                "Stored node id {found} doesn't match previous node id {} in {}. If you moved your data, make sure \
                 your configured node id matches. If you intend to create a new node, you should remove all data in \
                 your data directories.",
                node.id,
                file.display()
            );
        }
    }
    Ok(unformatted)
}

/// The credentials of `--add-scram`, which old metadata versions have no records for.
fn users(arguments: &[String], levels: &Levels) -> anyhow::Result<Vec<UserScramCredentialRecord>> {
    const FIRST: i16 = 11;
    if levels.metadata < FIRST {
        bail!("SCRAM is only supported in metadata.version {} or later.", version_name(FIRST).unwrap_or_default());
    }
    scram::credentials(arguments)
}

/// The bootstrap records as Kafka's tool prints them.
fn bootstrap_text(levels: &Levels, users: &[UserScramCredentialRecord]) -> String {
    let records: Vec<String> = levels
        .records()
        .map(|(name, level)| format!("FeatureLevelRecord(name='{name}', featureLevel={level})"))
        .chain(users.iter().map(scram::record_text))
        .map(|record| format!("ApiMessageAndVersion({record} at version 0)"))
        .collect();
    format!(
        "BootstrapMetadata(records=[{}], metadataVersionLevel={}, source=format command)",
        records.join(", "),
        levels.metadata
    )
}
