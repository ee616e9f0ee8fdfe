//! Opening all logs, several at once.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Instant;

use super::passes::{FLUSH_THREADS, MOST_FLUSHED_ONE_BY_ONE};
use super::removal::Removal;
use super::settle;
use super::{Copy, Directory, Hosted, LogManager, ManagerError, lock, no_directory};
use crate::log::checkpoint::{self, TextFileError};
use crate::log::directory::{self, CleanShutdown, DirectoryError, TakenDirectory};
use crate::log::directory_name::DirectoryKind;
use crate::log::place::{extension, parse_file_name};
use crate::log::progress::OpenProgress;
use crate::log::{
    DeletedFiles, Finding, FindingKind, Fs, Log, LogConfig, LogError, LogOptions, OpenReport, Shutdown,
    partition_metadata,
};
use crate::types::{Offset, TopicPartition, Uuid};

/// What was found when the logs were opened.
#[derive(Debug, Default)]
pub struct ManagerReport {
    /// Logs opened.
    pub logs: usize,
    /// Directories that had not been left cleanly.
    pub unclean: Vec<PathBuf>,
    /// Checkpoints that were no good and are made anew.
    pub bad_checkpoints: Vec<TextFileError>,
    /// Logs of topics that are gone, put aside since there is another one of the same name.
    pub strays: Vec<PathBuf>,
    /// What was not as it should be in the logs.
    pub findings: Vec<Finding>,
}

/// What the cluster knows of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The topic.
    pub topic_id: Uuid,
    /// The id of the directory that the partition is in, if one is named.
    pub directory: Option<Uuid>,
}

/// What a start needs to know besides the directories.
pub struct ManagerOptions<'a> {
    /// The settings of a partition's log.
    pub config: &'a (dyn Fn(&TopicPartition) -> Arc<LogConfig> + Sync),
    /// Whose a partition is; nobody's, if there is none.
    pub owner: &'a (dyn Fn(&TopicPartition) -> Option<Owner> + Sync),
    /// Threads per directory; with none all is done one after another.
    pub threads: usize,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
    /// Told how far it is.
    pub progress: &'a OpenProgress,
}

impl std::fmt::Debug for ManagerOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagerOptions").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// A log to be opened.
pub(super) struct Job {
    pub(super) partition: TopicPartition,
    pub(super) path: PathBuf,
    pub(super) directory: usize,
    shutdown: Shutdown,
    recovery_point: Option<Offset>,
    log_start_offset: Option<Offset>,
    /// The file is gone that may have told it.
    start_is_lost: bool,
    high_watermark: Option<Offset>,
    /// It is a copy that is to take the place of the partition's log.
    pub(super) is_copy: bool,
}

/// What there is in one directory.
#[derive(Default)]
struct Listed {
    jobs: Vec<Job>,
    removals: Vec<Removal>,
    unclean: bool,
    bad_checkpoints: Vec<TextFileError>,
}

impl LogManager {
    /// Opens all logs of the directories, which [`directory::take`] has taken. Those of a directory whose disk fails meanwhile
    /// are left out.
    ///
    /// # Errors
    /// A foreign directory, a partition that is there twice, a damaged checkpoint of log start offsets (they can't be found again); or
    /// no directory is left.
    pub fn open(
        taken: Vec<TakenDirectory>,
        options: &ManagerOptions<'_>,
    ) -> Result<(Self, ManagerReport), ManagerError> {
        let mut report = ManagerReport::default();
        let mut jobs = Vec::new();
        let mut removals = Vec::new();
        let directories: Vec<Directory> = taken.into_iter().map(Directory::new).collect();
        for (index, directory) in directories.iter().enumerate().filter(|(_, directory)| directory.works()) {
            let listed = match list(directory, index, options.now_ms) {
                Err(error) if directory.is_to_blame(&error) => continue,
                listed => listed?,
            };
            jobs.extend(listed.jobs);
            removals.extend(listed.removals);
            report.unclean.extend(listed.unclean.then(|| directory.path.clone()));
            report.bad_checkpoints.extend(listed.bad_checkpoints);
        }
        let all_work = directories.iter().all(Directory::works);
        settle::copies(&directories, &mut jobs, &mut removals, options, all_work)?;
        settle::duplicates(&directories, &mut jobs, &mut removals, options, &mut report.strays)?;
        let mut logs: HashMap<TopicPartition, Hosted> = HashMap::with_capacity(jobs.len());
        let (mut copies, mut cut_off) = (Vec::new(), Vec::new());
        let mut is_beyond = false;
        let threads = options.threads.saturating_mul(directories.len());
        for (job, topic_id, opened) in open_in_parallel(&jobs, &directories, options, threads) {
            match opened {
                Ok((log, opened)) if job.is_copy => match cut_to_whole(log, &opened.findings, options.now_ms) {
                    Ok((log, files)) => {
                        let copy = Copy { log: Arc::new(log), directory: job.directory };
                        copies.push((job.partition.clone(), copy));
                        cut_off.extend(files);
                    }
                    Err(_) => removals.push(Removal { path: job.path.clone(), due_ms: options.now_ms }),
                },
                Ok((log, opened)) => {
                    report.findings.extend(opened.findings);
                    is_beyond |= job.recovery_point.is_some_and(|known| known > log.recovery_point());
                    if job.start_is_lost {
                        report.findings.extend(log.begin_with_epochs()?);
                    }
                    let (log, directory) = (Arc::new(log), job.directory);
                    logs.insert(job.partition.clone(), Hosted { log, directory, topic_id, copy: None });
                }
                // What can't be used of a copy is no loss: the log itself is there.
                Err(_) if job.is_copy => removals.push(Removal { path: job.path.clone(), due_ms: options.now_ms }),
                Err(_) if directories.get(job.directory).is_some_and(|directory| !directory.works()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for (partition, copy) in copies {
            let Some(hosted) = logs.get_mut(&partition) else { continue };
            // What the log has lost of its end is not to come back with the copy, in place of what is appended next.
            match copy.log.truncate_to(hosted.log.log_end_offset(), options.now_ms) {
                Ok((_, files)) => {
                    cut_off.extend(files);
                    hosted.copy = Some(copy);
                }
                Err(_) => removals.push(Removal { path: copy.log.dir(), due_ms: options.now_ms }),
            }
        }
        if !directories.iter().any(Directory::works) {
            return Err(no_directory(&directories));
        }
        report.logs = logs.len();
        let manager = Self {
            directories,
            logs: RwLock::new(logs),
            removals: Mutex::new(removals),
            files: Mutex::new(cut_off),
            preferred: Mutex::default(),
            names_changed: AtomicBool::new(false),
            flush_threads: if options.threads == 0 { 1 } else { FLUSH_THREADS },
        };
        if is_beyond {
            // Order: before the first append. What is appended below a point that was noted once would be taken for checked.
            manager.checkpoint_recovery_points()?;
        }
        Ok((manager, report))
    }
}

impl Directory {
    /// Whether an error means that the directory has failed; it has then.
    fn is_to_blame(&self, error: &ManagerError) -> bool {
        // That of a file was considered where it was met.
        if let ManagerError::Directory(DirectoryError::Io { action, path, source }) = error {
            self.fs.consider(action, path, source);
        }
        !self.works()
    }
}

/// Looks at what is in a directory and how it was left.
fn list(directory: &Directory, index: usize, now_ms: i64) -> Result<Listed, ManagerError> {
    let (fs, path) = (&directory.fs, &directory.path);
    let mut listed = Listed::default();
    let clean = CleanShutdown::read(fs, path)?.is_some();
    if clean {
        // Order: the marker goes before any log is touched. A crash from here on means recovery.
        CleanShutdown::remove(fs, path)?;
    }
    let read = |name| {
        let offsets = checkpoint::read(fs, &path.join(name))?;
        if !offsets.is_empty() {
            lock(&directory.written).insert(name, offsets.clone());
        }
        Ok(offsets)
    };
    let mut rebuilt = |name| {
        read(name).map(Some).or_else(|error| match error {
            // These can be found again from the logs.
            TextFileError::Malformed { .. } => {
                listed.bad_checkpoints.push(error);
                Ok(None)
            }
            error => Err(error),
        })
    };
    let recovery_points = rebuilt(checkpoint::RECOVERY_POINTS)?;
    let high_watermarks = rebuilt(checkpoint::HIGH_WATERMARKS)?.unwrap_or_default();
    let start_is_lost = !path.join(checkpoint::LOG_START_OFFSETS).exists();
    let starts = read(checkpoint::LOG_START_OFFSETS)?;
    // Without recovery points nothing is known to be on disk, whatever the marker says.
    let shutdown = if clean && recovery_points.is_some() { Shutdown::Clean } else { Shutdown::Unclean };
    let recovery_points = recovery_points.unwrap_or_default();
    for entry in directory::list(fs, path)? {
        let is_copy = matches!(entry.kind, DirectoryKind::Future(_));
        match entry.kind {
            DirectoryKind::Partition(partition) | DirectoryKind::Future(partition) => {
                listed.unclean |= !clean;
                listed.jobs.push(Job {
                    recovery_point: recovery_points.get(&partition).copied(),
                    log_start_offset: starts.get(&partition).copied(),
                    high_watermark: high_watermarks.get(&partition).copied(),
                    start_is_lost,
                    path: entry.path,
                    directory: index,
                    shutdown,
                    partition,
                    is_copy,
                });
            }
            // Its topic is gone: removed when there is time.
            DirectoryKind::Deleted(_) => {
                listed.removals.push(Removal { path: entry.path, due_ms: now_ms });
            }
            DirectoryKind::Stray(_) | DirectoryKind::ClusterMetadata | DirectoryKind::Ignored => {}
        }
    }
    Ok(listed)
}

/// A copy without what follows the first records that it has lost: these are in the log, and are copied again.
fn cut_to_whole(log: Log, findings: &[Finding], now_ms: i64) -> Result<(Log, Option<DeletedFiles>), LogError> {
    let lost = findings.iter().filter_map(|finding| match finding.kind {
        FindingKind::Damaged { from, .. } | FindingKind::Hole { from, .. } => Some(from),
        _ => None,
    });
    let files = match lost.min() {
        Some(from) => log.truncate_to(from.max(log.log_start_offset()), now_ms)?.1,
        None => None,
    };
    Ok((log, files))
}

/// Makes durable with one call what a killed process has left in a directory with many logs: what is checked of a log counts as
/// flushed, and two flushes for each take much longer. Says whether that was done; a failure is the end of the directory.
fn flush_before(directory: &Directory, index: usize, jobs: &[Job]) -> bool {
    let unclean = jobs.iter().filter(|job| job.directory == index && job.shutdown == Shutdown::Unclean).count();
    let Some(locked) = &directory.locked else { return false };
    if unclean <= MOST_FLUSHED_ONE_BY_ONE || !Fs::can_sync_file_systems() {
        return false;
    }
    tracing::info!(path = %directory.path.display(), logs = unclean, "flushing what was left");
    directory.fs.sync_file_system(locked.file(), &directory.path).is_ok()
}

/// How much of a log has to be checked, as far as its directory tells: a figure for people.
fn bytes_to_check(job: &Job) -> u64 {
    if job.shutdown == Shutdown::Clean {
        return 0;
    }
    let Ok(entries) = fs::read_dir(&job.path) else { return 0 };
    let base_of = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let (base, kind) = parse_file_name(name.to_str()?)?;
        (kind == extension::LOG).then_some(base)
    };
    let mut segments: Vec<_> = entries.flatten().filter_map(|entry| Some((base_of(&entry)?, entry))).collect();
    segments.sort_unstable_by_key(|(base, _)| *base);
    let from = job.recovery_point.unwrap_or(Offset::ZERO).get();
    let first = segments.partition_point(|(base, _)| *base <= from).saturating_sub(1);
    segments.iter().skip(first).filter_map(|(_, entry)| Some(entry.metadata().ok()?.len())).sum()
}

type Opened = Result<(Log, OpenReport), LogError>;

fn open_in_parallel<'j>(
    jobs: &'j [Job],
    directories: &[Directory],
    options: &ManagerOptions<'_>,
    threads: usize,
) -> Vec<(&'j Job, Option<Uuid>, Opened)> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let progress = options.progress;
    progress.begin(jobs.len(), Instant::now());
    if progress.is_watched() {
        jobs.iter().for_each(|job| progress.expect(bytes_to_check(job)));
    }
    // Order: before a log is read. What is found in it then is on the disk.
    let flushed: Vec<bool> =
        directories.iter().enumerate().map(|(index, directory)| flush_before(directory, index, jobs)).collect();
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let fs = directories.get(job.directory).map(|directory| directory.fs.clone()).unwrap_or_default();
            let options = LogOptions {
                dir: job.path.clone(),
                config: (options.config)(&job.partition),
                fs: fs.clone(),
                now_ms: options.now_ms,
                shutdown: job.shutdown,
                is_flushed: flushed.get(job.directory) == Some(&true),
                recovery_point: job.recovery_point,
                // A copy may not have come that far; it is the log that knows where it begins.
                log_start_offset: job.log_start_offset.filter(|_| !job.is_copy),
                high_watermark: job.high_watermark,
            };
            let opened = Log::open_counted(options, Some(progress));
            // One that can't be read is looked at again, and told, when the partition is made.
            let topic_id = partition_metadata::read(&fs, &job.path).ok().flatten();
            progress.log_opened();
            lock(&done).push((job, topic_id, opened));
        }
    };
    let is_quick = jobs.iter().all(|job| job.shutdown == Shutdown::Clean);
    // A few logs that were closed are opened faster than a thread is started. This thread works too.
    let workers = if is_quick { threads.min(jobs.len() / 16) } else { threads.min(jobs.len()).saturating_sub(1) };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
        work();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}
