//! Opening all logs, several at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;

use super::removal::Removal;
use super::{Directory, Hosted, LogManager, ManagerError, lock};
use crate::log::checkpoint::{self, TextFileError};
use crate::log::directory::{self, CleanShutdown, DirectoryError, LockedDirectory};
use crate::log::directory_name::DirectoryKind;
use crate::log::meta_properties::MetaProperties;
use crate::log::{Finding, Fs, Log, LogConfig, LogError, LogOptions, OpenReport, Shutdown};
use crate::types::{Offset, TopicPartition};

/// What was found when the logs were opened.
#[derive(Debug, Default)]
pub struct ManagerReport {
    /// Logs opened.
    pub logs: usize,
    /// Directories that had not been left cleanly.
    pub unclean: Vec<PathBuf>,
    /// Checkpoints that were no good and are made anew.
    pub bad_checkpoints: Vec<TextFileError>,
    /// What was not as it should be in the logs.
    pub findings: Vec<Finding>,
}

/// What a start needs to know besides the directories.
pub struct ManagerOptions<'a> {
    /// The settings of a partition's log.
    pub config: &'a (dyn Fn(&TopicPartition) -> Arc<LogConfig> + Sync),
    /// Threads per directory.
    pub threads: usize,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
}

impl std::fmt::Debug for ManagerOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagerOptions").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// A log to be opened.
struct Job {
    partition: TopicPartition,
    path: PathBuf,
    directory: usize,
    shutdown: Shutdown,
    recovery_point: Option<Offset>,
    log_start_offset: Option<Offset>,
    high_watermark: Option<Offset>,
}

impl LogManager {
    /// Opens all logs of the directories, which [`directory::take`] has taken.
    ///
    /// # Errors
    /// A foreign directory, a partition that is there twice, a damaged checkpoint of log start offsets (they can't be found again), or
    /// what the disk says.
    pub fn open(
        taken: Vec<(LockedDirectory, MetaProperties)>,
        options: &ManagerOptions<'_>,
    ) -> Result<(Self, ManagerReport), ManagerError> {
        let mut report = ManagerReport::default();
        let mut jobs = Vec::new();
        let mut removals = Vec::new();
        let mut directories = Vec::new();
        for (locked, properties) in taken {
            let path = locked.path().to_owned();
            let clean = CleanShutdown::read(&path)?.is_some();
            if clean {
                // Order: the marker goes before any log is touched. A crash from here on means recovery.
                CleanShutdown::remove(&path)?;
            } else if directory::list(&path)?.iter().any(|entry| matches!(entry.kind, DirectoryKind::Partition(_))) {
                report.unclean.push(path.clone());
            }
            let mut rebuilt = |name: &str| {
                checkpoint::read(&path.join(name)).map(Some).or_else(|error| match error {
                    // These can be found again from the logs.
                    TextFileError::Malformed { .. } => {
                        report.bad_checkpoints.push(error);
                        Ok(None)
                    }
                    error => Err(error),
                })
            };
            let recovery_points = rebuilt(checkpoint::RECOVERY_POINTS)?;
            let high_watermarks = rebuilt(checkpoint::HIGH_WATERMARKS)?.unwrap_or_default();
            let starts = checkpoint::read(&path.join(checkpoint::LOG_START_OFFSETS))?;
            // Without recovery points nothing is known to be on disk, whatever the marker says.
            let shutdown = if clean && recovery_points.is_some() { Shutdown::Clean } else { Shutdown::Unclean };
            let recovery_points = recovery_points.unwrap_or_default();
            for entry in directory::list(&path)? {
                match entry.kind {
                    DirectoryKind::Partition(partition) => jobs.push(Job {
                        recovery_point: recovery_points.get(&partition).copied(),
                        log_start_offset: starts.get(&partition).copied(),
                        high_watermark: high_watermarks.get(&partition).copied(),
                        path: entry.path,
                        directory: directories.len(),
                        shutdown,
                        partition,
                    }),
                    // Their topics are gone, or the copy was never finished: removed when there is time.
                    DirectoryKind::Deleted(_) | DirectoryKind::Future(_) => {
                        removals.push(Removal { path: entry.path, due_ms: options.now_ms });
                    }
                    DirectoryKind::Stray(_) | DirectoryKind::ClusterMetadata | DirectoryKind::Ignored => {}
                }
            }
            directories.push(Directory {
                locked,
                properties,
                failed: AtomicBool::new(false),
                written: Mutex::default(),
            });
        }
        refuse_duplicates(&jobs)?;
        let fs = Fs::default();
        let mut logs = HashMap::with_capacity(jobs.len());
        let threads = options.threads.max(1).saturating_mul(directories.len());
        for (job, opened) in open_in_parallel(&jobs, &fs, options, threads) {
            let (log, opened) = opened?;
            report.findings.extend(opened.findings);
            let hosted = Hosted { log: Arc::new(log), directory: job.directory, topic_id: None };
            logs.insert(job.partition.clone(), hosted);
        }
        report.logs = logs.len();
        let manager = Self {
            directories,
            logs: RwLock::new(logs),
            removals: Mutex::new(removals),
            files: Mutex::default(),
            names_changed: AtomicBool::new(false),
            fs,
        };
        Ok((manager, report))
    }
}

fn refuse_duplicates(jobs: &[Job]) -> Result<(), ManagerError> {
    let mut seen: HashMap<&TopicPartition, &Path> = HashMap::new();
    for job in jobs {
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

type Opened = Result<(Log, OpenReport), LogError>;

fn open_in_parallel<'j>(
    jobs: &'j [Job],
    fs: &Fs,
    options: &ManagerOptions<'_>,
    threads: usize,
) -> Vec<(&'j Job, Opened)> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let opened = Log::open(LogOptions {
                dir: job.path.clone(),
                config: (options.config)(&job.partition),
                fs: fs.clone(),
                now_ms: options.now_ms,
                shutdown: job.shutdown,
                recovery_point: job.recovery_point,
                log_start_offset: job.log_start_offset,
                high_watermark: job.high_watermark,
            });
            lock(&done).push((job, opened));
        }
    };
    // A few logs are opened faster than a thread is started.
    let workers = threads.min(jobs.len() / 16);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
        work();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}
