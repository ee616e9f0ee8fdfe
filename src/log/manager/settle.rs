//! Which directories are a partition's log, where a start finds more than one of them: unfinished moves, and logs of topics that are gone.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::open::{Job, ManagerOptions};
use super::removal::Removal;
use super::{Directory, ManagerError};
use crate::log::directory::DirectoryError;
use crate::log::directory_name::stray_name;
use crate::log::{Fs, partition_metadata};
use crate::types::TopicPartition;

/// Makes of the copies what they are: a move that goes on; the log itself, if that was put aside already; or nothing.
pub(super) fn copies(
    directories: &[Directory],
    jobs: &mut Vec<Job>,
    removals: &mut Vec<Removal>,
    options: &ManagerOptions<'_>,
    all_work: bool,
) -> Result<(), ManagerError> {
    let logs: HashMap<TopicPartition, usize> =
        jobs.iter().filter(|job| !job.is_copy).map(|job| (job.partition.clone(), job.directory)).collect();
    let mut seen = HashSet::new();
    let mut kept = Vec::with_capacity(jobs.len());
    for mut job in jobs.drain(..) {
        if !job.is_copy {
            kept.push(job);
            continue;
        }
        let owner = (options.owner)(&job.partition);
        let is_owned = owner.is_some_and(|owner| {
            topic_of(directories.get(job.directory), &job.path).is_none_or(|topic| topic == owner.topic_id)
        });
        let log = logs.get(&job.partition).copied();
        if !is_owned || log == Some(job.directory) || !seen.insert(job.partition.clone()) {
            removals.push(Removal { path: job.path, due_ms: options.now_ms });
            continue;
        }
        if log.is_some() {
            kept.push(job);
            continue;
        }
        let Some(directory) = directories.get(job.directory) else { continue };
        // The log was put aside, which only happens when its copy has everything. Where the metadata does not say so, the log
        // may be in a directory that is away.
        let named = owner.and_then(|owner| owner.directory);
        if named.map_or(all_work, |named| directory.id == Some(named)) {
            let to = directory.path.join(job.partition.to_string());
            directory.fs.rename(&job.path, &to)?;
            directory.fs.sync_dir(&directory.path)?;
            tracing::info!(partition = %job.partition, path = %to.display(), "the move of this log is finished");
            (job.path, job.is_copy) = (to, false);
            kept.push(job);
        }
    }
    *jobs = kept;
    Ok(())
}

/// Puts logs of topics that are gone aside where there is another of the same name; refuses two logs of the same.
pub(super) fn duplicates(
    directories: &[Directory],
    jobs: &mut Vec<Job>,
    options: &ManagerOptions<'_>,
    strays: &mut Vec<PathBuf>,
) -> Result<(), ManagerError> {
    let mut counts: HashMap<TopicPartition, usize> = HashMap::new();
    for job in jobs.iter().filter(|job| !job.is_copy) {
        *counts.entry(job.partition.clone()).or_default() += 1;
    }
    counts.retain(|_, count| *count > 1);
    if counts.is_empty() {
        return Ok(());
    }
    let mut kept = Vec::with_capacity(jobs.len());
    for job in jobs.drain(..) {
        let owner = (options.owner)(&job.partition).filter(|_| !job.is_copy && counts.contains_key(&job.partition));
        let is_foreign = owner.is_some_and(|owner| {
            topic_of(directories.get(job.directory), &job.path).is_some_and(|topic| topic != owner.topic_id)
        });
        let Some(directory) = directories.get(job.directory).filter(|_| is_foreign) else {
            kept.push(job);
            continue;
        };
        let to = job.path.with_file_name(stray_name(&job.partition));
        directory.fs.rename(&job.path, &to)?;
        strays.push(to);
    }
    *jobs = kept;
    refuse(jobs)
}

fn topic_of(directory: Option<&Directory>, path: &Path) -> Option<crate::types::Uuid> {
    let fs = directory.map_or_else(Fs::default, |directory| directory.fs.clone());
    partition_metadata::read(&fs, path).ok().flatten()
}

fn refuse(jobs: &[Job]) -> Result<(), ManagerError> {
    let mut seen: HashMap<&TopicPartition, &Path> = HashMap::new();
    for job in jobs.iter().filter(|job| !job.is_copy) {
        if let Some(first) = seen.insert(&job.partition, &job.path) {
            return Err(DirectoryError::Duplicate {
                partition: job.partition.clone(),
                first: first.to_owned(),
                second: job.path.clone(),
            }
            .into());
        }
    }
    Ok(())
}
