//! Which directories are a partition's log, where a start finds more than one of them: unfinished moves, and logs of topics that are gone.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::open::{Job, ManagerOptions};
use super::removal::Removal;
use super::{Directory, ManagerError};
use crate::log::directory::DirectoryError;
use crate::log::directory_name::{deleted_name, stray_name};
use crate::log::place::{extension, file_name, parse_file_name};
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
        // The log was put aside, which only happens when its copy has everything; or it is in a directory that is away, and may have
        // more than its copy, even where the metadata names that one already.
        let named = owner.and_then(|owner| owner.directory);
        if all_work && named.is_none_or(|named| directory.id == Some(named)) {
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

/// Where there are several logs of the same name, puts those of topics that are gone aside, and removes what is left of logs that
/// could not be made; refuses what are two logs then.
pub(super) fn duplicates(
    directories: &[Directory],
    jobs: &mut Vec<Job>,
    removals: &mut Vec<Removal>,
    options: &ManagerOptions<'_>,
    strays: &mut Vec<PathBuf>,
) -> Result<(), ManagerError> {
    let several = several(jobs);
    if several.is_empty() {
        return Ok(());
    }
    let mut kept = Vec::with_capacity(jobs.len());
    for job in jobs.drain(..) {
        let is_one_of_several = !job.is_copy && several.contains(&job.partition);
        // Nobody's log is foreign too: of a topic that was made and deleted again while the directory of the one before was away.
        let is_foreign = || {
            (options.owner)(&job.partition).is_none_or(|owner| {
                topic_of(directories.get(job.directory), &job.path).is_some_and(|topic| topic != owner.topic_id)
            })
        };
        let Some(directory) = directories.get(job.directory).filter(|_| is_one_of_several && is_foreign()) else {
            kept.push(job);
            continue;
        };
        let to = job.path.with_file_name(stray_name(&job.partition));
        directory.fs.rename(&job.path, &to)?;
        strays.push(to);
    }
    *jobs = kept;
    unused(directories, jobs, removals, options)?;
    refuse(jobs)
}

/// The partitions that there is more than one log of.
fn several(jobs: &[Job]) -> HashSet<TopicPartition> {
    let mut seen = HashSet::new();
    let again = jobs.iter().filter(|job| !job.is_copy && !seen.insert(&job.partition));
    again.map(|job| job.partition.clone()).collect()
}

/// Removes logs that nothing was ever written to, where there is another one: their directory failed when they were made, and the
/// partition was made elsewhere. Of several such the one stays whose directory the metadata names.
fn unused(
    directories: &[Directory],
    jobs: &mut Vec<Job>,
    removals: &mut Vec<Removal>,
    options: &ManagerOptions<'_>,
) -> Result<(), ManagerError> {
    let several = several(jobs);
    if several.is_empty() {
        return Ok(());
    }
    let mut best: HashMap<TopicPartition, (bool, bool, usize)> = HashMap::new();
    let mut ranks = Vec::with_capacity(jobs.len());
    for (at, job) in jobs.iter().enumerate() {
        let directory = directories.get(job.directory).filter(|_| !job.is_copy && several.contains(&job.partition));
        let Some(directory) = directory else {
            ranks.push(None);
            continue;
        };
        let named = (options.owner)(&job.partition).and_then(|owner| owner.directory);
        let rank = (is_used(&directory.fs, &job.path)?, named.is_some() && named == directory.id, at);
        let known = best.entry(job.partition.clone()).or_insert(rank);
        *known = rank.max(*known);
        ranks.push(Some((rank, directory)));
    }
    let mut kept = Vec::with_capacity(jobs.len());
    for (job, rank) in jobs.drain(..).zip(ranks) {
        let Some((_, directory)) = rank.filter(|(rank, _)| !rank.0 && best.get(&job.partition) != Some(rank)) else {
            kept.push(job);
            continue;
        };
        // Order: another name before it waits for its removal, since the log may be moved here meanwhile.
        let to = job.path.with_file_name(deleted_name(&job.partition));
        directory.fs.rename(&job.path, &to)?;
        tracing::info!(partition = %job.partition, path = %to.display(), "this log could not be made; it is elsewhere");
        removals.push(Removal { path: to, due_ms: options.now_ms });
    }
    *jobs = kept;
    Ok(())
}

/// Whether there ever was a record in a log: its only segment is the first one, and empty, if there was none.
fn is_used(fs: &Fs, path: &Path) -> Result<bool, ManagerError> {
    for name in fs.list(path)? {
        let is_log = parse_file_name(&name).is_some_and(|(_, kind)| kind.starts_with(extension::LOG));
        if is_log && (name != file_name(0, extension::LOG) || fs.metadata(&path.join(&name))?.size > 0) {
            return Ok(true);
        }
    }
    Ok(false)
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
