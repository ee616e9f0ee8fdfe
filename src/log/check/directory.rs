//! A log directory: whose it is, how it was left, what is in it; and whether several go together.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::checkpoint::{self, Offsets};
use super::super::directory::{self, CleanShutdown, DirectoryError};
use super::super::directory_name::DirectoryKind;
use super::super::error::LogError;
use super::super::fs::Fs;
use super::super::meta_properties::{self, IdentityError, MetaProperties};
use super::fault::{Fault, FaultKind, Severity};
use super::partition::PartitionExpectation;
use crate::types::TopicPartition;

/// A log directory as it was found.
#[derive(Debug)]
pub struct DirectoryState {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is, if that can be read.
    pub properties: Option<MetaProperties>,
    /// The process that runs a broker on it.
    pub user: Option<i32>,
    /// Its broker closed all logs.
    pub was_closed: bool,
    /// The partitions in it.
    pub partitions: Vec<(TopicPartition, PathBuf)>,
    /// The metadata log, if it is here.
    pub metadata: Option<PathBuf>,
    recovery_points: Offsets,
    high_watermarks: Offsets,
    log_starts: Offsets,
    cleaner_offsets: Offsets,
}

impl DirectoryState {
    /// What is known of a partition in it.
    #[must_use]
    pub fn expectation(&self, partition: &TopicPartition, is_compacted: bool) -> PartitionExpectation {
        PartitionExpectation {
            is_compacted,
            is_metadata: false,
            was_closed: self.was_closed && self.user.is_none(),
            is_open: self.user.is_some(),
            recovery_point: self.recovery_points.get(partition).copied(),
            high_watermark: self.high_watermarks.get(partition).copied(),
            log_start_offset: self.log_starts.get(partition).copied(),
            cleaner_offset: self.cleaner_offsets.get(partition).copied(),
        }
    }

    /// What is known of the metadata log in it.
    #[must_use]
    pub fn metadata_expectation(&self) -> PartitionExpectation {
        PartitionExpectation {
            is_metadata: true,
            was_closed: self.was_closed && self.user.is_none(),
            is_open: self.user.is_some(),
            ..PartitionExpectation::default()
        }
    }
}

/// Looks at the directory at `path`, and at no file of a partition in it.
///
/// # Errors
/// It is no directory, or can't be listed.
pub fn check_directory(path: &Path, found: &mut dyn FnMut(Fault)) -> Result<DirectoryState, LogError> {
    let entries = fs::read_dir(path).map_err(|e| LogError::io("list", path, e))?;
    let user = directory::user(path);
    let was_closed = matches!(CleanShutdown::read(&Fs::default(), path), Ok(Some(_)));
    let mut state = DirectoryState {
        path: path.to_owned(),
        properties: identity(path, found),
        user,
        was_closed,
        partitions: Vec::new(),
        metadata: None,
        recovery_points: read_checkpoint(path, checkpoint::RECOVERY_POINTS, found),
        high_watermarks: read_checkpoint(path, checkpoint::HIGH_WATERMARKS, found),
        log_starts: read_checkpoint(path, checkpoint::LOG_START_OFFSETS, found),
        cleaner_offsets: read_checkpoint(path, checkpoint::CLEANER_OFFSETS, found),
    };
    for entry in entries {
        let entry = entry.map_err(|e| LogError::io("list", path, e))?;
        take_entry(&mut state, &entry.path(), found);
    }
    state.partitions.sort();
    match user {
        Some(pid) => found(Fault::new(
            FaultKind::InUse,
            path,
            format_args!("process {pid} runs a broker on it: the ends of its logs move, and are not held against it"),
        )),
        None if !was_closed && (!state.partitions.is_empty() || state.metadata.is_some()) => {
            found(Fault::new(FaultKind::NotClosed, path, "its broker did not stop cleanly, and will recover its logs"));
        }
        None => {}
    }
    Ok(state)
}

fn identity(path: &Path, found: &mut dyn FnMut(Fault)) -> Option<MetaProperties> {
    let file = path.join(meta_properties::FILE_NAME);
    match meta_properties::read(&Fs::default(), path) {
        Ok(Some(properties)) => return Some(properties),
        Ok(None) => found(Fault::new(FaultKind::Identity, &file, "missing: the directory is not formatted")),
        Err(error) => found(Fault::new(FaultKind::Identity, &file, error)),
    }
    None
}

fn read_checkpoint(path: &Path, name: &str, found: &mut dyn FnMut(Fault)) -> Offsets {
    let file = path.join(name);
    checkpoint::read(&Fs::default(), &file).unwrap_or_else(|error| {
        // Where a log begins can't be found again from the log; the others can.
        let severity = if name == checkpoint::LOG_START_OFFSETS { Severity::DataLoss } else { Severity::Warning };
        found(Fault::new(FaultKind::BadCheckpoint, &file, error).as_severe_as(severity));
        Offsets::new()
    })
}

fn take_entry(state: &mut DirectoryState, path: &Path, found: &mut dyn FnMut(Fault)) {
    if !path.is_dir() {
        return;
    }
    let kind = path.file_name().and_then(|name| name.to_str()).and_then(DirectoryKind::of);
    match kind {
        Some(DirectoryKind::Partition(partition)) => state.partitions.push((partition, path.to_owned())),
        Some(DirectoryKind::ClusterMetadata) => state.metadata = Some(path.to_owned()),
        Some(DirectoryKind::Ignored) => {}
        Some(DirectoryKind::Deleted(partition)) => {
            found(Fault::new(
                FaultKind::Deleted,
                path,
                format_args!("{partition} is deleted, a broker removes what is left"),
            ));
        }
        Some(DirectoryKind::Future(partition)) => {
            found(Fault::new(
                FaultKind::Future,
                path,
                format_args!("an unfinished copy of {partition} for this directory"),
            ));
        }
        Some(DirectoryKind::Stray(partition)) => found(Fault::new(
            FaultKind::Stray,
            path,
            format_args!("{partition} was put aside since no topic owns it; its records are in no topic"),
        )),
        None => found(Fault::new(
            FaultKind::Foreign,
            path,
            "not the directory of a partition (`topic-number`): Apache Kafka does not start with it",
        )),
    }
}

/// Whether the directories of one node go together.
pub fn check_together(states: &[DirectoryState], found: &mut dyn FnMut(Fault)) {
    let identified: Vec<_> = states
        .iter()
        .filter(|state| state.properties.is_some())
        .map(|state| (state.path.as_path(), state.properties.as_ref()))
        .collect();
    let node = identified.iter().find_map(|(_, properties)| properties.and_then(|properties| properties.node_id));
    if let Some(node) = node
        && let Err(error) = meta_properties::check(identified.iter().copied(), node, None)
    {
        let at = match &error {
            IdentityError::NotFormatted { directory }
            | IdentityError::Zookeeper { directory }
            | IdentityError::OtherCluster { directory, .. }
            | IdentityError::OtherNode { directory, .. } => directory,
            IdentityError::SameDirectoryId { second, .. } => second,
        };
        let file = at.join(meta_properties::FILE_NAME);
        found(Fault::new(FaultKind::Identity, &file, &error));
    }
    let mut first: BTreeMap<&TopicPartition, &Path> = BTreeMap::new();
    for (partition, path) in states.iter().flat_map(|state| &state.partitions) {
        if let Some(other) = first.insert(partition, path) {
            let error = DirectoryError::Duplicate {
                partition: partition.clone(),
                first: other.to_owned(),
                second: path.clone(),
            };
            found(Fault::new(FaultKind::Duplicate, path, error));
        }
    }
}
