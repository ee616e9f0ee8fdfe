//! The log directories of a broker that starts: taken, formatted where they are new, left out where their disk has failed.

use std::path::Path;
use std::sync::Arc;

use tracing::{error, info};

use super::context::now;
use super::controller::{Identity, write_initial_files};
use super::server::BrokerError;
use crate::config::ServerConfig;
use crate::log::directory::{self, DirectoryContent, DirectoryError, LockedDirectory, TakenDirectory};
use crate::log::meta_properties::MetaProperties;
use crate::log::{Disk, DiskFailure, Fs};
use crate::types::Uuid;

/// The directories of a broker.
#[derive(Debug)]
pub(super) struct Directories {
    /// The log directories, in the order of the configuration.
    pub(super) logs: Vec<TakenDirectory>,
    /// That of the metadata, if it is not one of them.
    pub(super) metadata: Option<LockedDirectory>,
    /// The way to the metadata's files.
    pub(super) metadata_fs: Fs,
    /// The disk that they are on.
    pub(super) metadata_disk: Arc<Disk>,
    pub(super) identity: Identity,
}

/// Takes the log directories and that of the metadata; those that are new are formatted for this node.
pub(super) fn take(config: &ServerConfig) -> Result<Directories, BrokerError> {
    let mut paths = config.log_dirs.clone();
    if !paths.contains(&config.metadata_log_dir) {
        paths.push(config.metadata_log_dir.clone());
    }
    let now_ms = now().wall_ms;
    let mut cluster_id = None;
    let mut unformatted: Vec<&Path> = Vec::new();
    for path in &paths {
        match directory::inspect(path) {
            Ok(DirectoryContent::Formatted(properties)) => cluster_id = cluster_id.or(properties.cluster_id),
            Ok(DirectoryContent::Missing | DirectoryContent::Empty) => unformatted.push(path),
            Ok(DirectoryContent::Unformatted) => return Err(DirectoryError::NotOurs { path: path.clone() }.into()),
            // Taking it will say the same.
            Err(error) => {
                error.into_disk_failure(path)?;
            }
        }
    }
    let is_new_cluster = cluster_id.is_none();
    let cluster_id = cluster_id.unwrap_or_else(|| Uuid::random().to_string());
    let mut failed = Vec::new();
    for path in unformatted {
        match directory::format(path, &MetaProperties::new(cluster_id.clone(), config.node_id), now_ms) {
            Ok(()) => info!(path = %path.display(), cluster_id, "formatted"),
            Err(error) => failed.push(error.into_disk_failure(path)?),
        }
    }
    paths.retain(|path| failed.iter().all(|failure| failure.dir != *path));
    let mut taken = directory::take(&paths, config.node_id, Some(&cluster_id), now_ms)?;
    taken.extend(failed.into_iter().map(TakenDirectory::Failed));
    let place = |path: &Path| paths_of(config).position(|own| own == path);
    taken.sort_by_key(|directory| place(directory.path()));
    let (metadata_fs, metadata_disk) = metadata_files(config, &taken)?;
    let id_of = |path: &Path| taken.iter().find(|directory| directory.path() == path).and_then(TakenDirectory::id);
    let identity = Identity {
        node_id: config.node_id,
        cluster_id,
        metadata_directory_id: id_of(&config.metadata_log_dir).unwrap_or_default(),
    };
    if is_new_cluster {
        write_initial_files(config, &identity, now_ms)?;
    }
    let (logs, others): (Vec<_>, Vec<_>) =
        taken.into_iter().partition(|directory| config.log_dirs.iter().any(|path| path == directory.path()));
    let metadata = others.into_iter().find_map(|directory| match directory {
        TakenDirectory::Usable(locked, _) => Some(locked),
        TakenDirectory::Failed(_) => None,
    });
    check_any(&logs)?;
    Ok(Directories { logs, metadata, metadata_fs, metadata_disk, identity })
}

fn paths_of(config: &ServerConfig) -> impl Iterator<Item = &Path> {
    config.log_dirs.iter().chain([&config.metadata_log_dir]).map(AsRef::as_ref)
}

/// The way to the metadata's files, without which there is no broker.
fn metadata_files(config: &ServerConfig, taken: &[TakenDirectory]) -> Result<(Fs, Arc<Disk>), BrokerError> {
    let directory = taken.iter().find(|directory| directory.path() == config.metadata_log_dir);
    match directory {
        Some(TakenDirectory::Usable(locked, _)) => Ok((locked.fs().clone(), Arc::clone(locked.disk()))),
        Some(TakenDirectory::Failed(failure)) => Err(BrokerError::MetadataDisk { failure: failure.clone() }),
        None => Err(DirectoryError::NotOurs { path: config.metadata_log_dir.clone() }.into()),
    }
}

/// Refuses to run without any directory to keep logs in.
fn check_any(logs: &[TakenDirectory]) -> Result<(), BrokerError> {
    let mut failures = Vec::new();
    for directory in logs {
        match directory {
            TakenDirectory::Usable(..) => return Ok(()),
            TakenDirectory::Failed(failure) => failures.push(failure.clone()),
        }
    }
    Err(BrokerError::all_disks(&failures))
}

/// Says which directories the broker starts without.
pub(super) fn tell_failures(failures: &[(Option<Uuid>, DiskFailure)]) {
    for (_, failure) in failures {
        error!("{failure}");
    }
}
