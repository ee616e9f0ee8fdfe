//! `storage check`: whether data directories hold what they should, without changing anything.
//!
//! Works beside a running broker, and on any file system that can be read. `log::check` looks at directories and
//! partitions; here is what needs the cluster's metadata (`metadata.rs`), the work on several partitions at a time, and
//! the report (`report.rs`).

mod metadata;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::node::Node;
use crate::cli::support::{Exit, Output, Progress, UsageError, at_first_signal, chain_text};
use crate::log::check::{
    DirectoryState, Fault, FaultKind, PartitionExpectation, PartitionSummary, Severity, check_directory,
    check_partition, check_together,
};
use crate::types::TopicPartition;
use metadata::ClusterMetadata;
use report::{Format, Found};

/// Partitions that are looked at side by side, unless something else is said; each has a block of half a MiB in memory.
const THREADS: usize = 8;
/// More faults than this are counted and not shown.
const MAX_SHOWN: usize = 100_000;
/// Messages of the threads that may wait.
const QUEUE: usize = 1024;
/// How soon a signal is noticed while the threads have nothing to tell.
const LISTEN: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads only. A broker may run on the directories: what it is writing is then not held against it.
Exit code: 0 if there is no fault, 1 if there are some, 2 if it could not look, 130 after Ctrl-C, which prints what was found \
so far. Remarks (info) are no faults.
--output json prints {version, directories, faults, summary}, --output ndjson a fault per line and then the summary; \
docs/output.md has the fields.")]
pub(super) struct Check {
    /// Data directories to look at
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    directories: Vec<PathBuf>,
    /// The node's server.properties: all directories that it names
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Partitions that are looked at side by side [default: one per processor, 8 at most]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<usize>,
    /// What the output looks like [default: text]
    #[arg(long, value_name = "FORMAT", hide_default_value = true)]
    output: Option<Format>,
}

/// A partition to look at.
struct Job {
    partition: TopicPartition,
    path: PathBuf,
    expected: PartitionExpectation,
}

/// What a thread tells.
enum Message {
    Read(u64),
    Fault(Fault),
    Done(TopicPartition, PathBuf, PartitionSummary),
}

/// The partitions that no thread has taken yet.
type Jobs = Mutex<std::vec::IntoIter<Job>>;

pub(super) fn run(args: &Check, out: &mut Output) -> anyhow::Result<Exit> {
    match look(args, out) {
        Ok(found) => {
            let faults = found.count(Severity::Warning) + found.count(Severity::DataLoss);
            report::print(&found, args.output.unwrap_or(Format::Text), out)?;
            if let Some(signal) = found.stopped {
                return Ok(signal.exit());
            }
            Ok(if faults == 0 { Exit::Success } else { Exit::Failure })
        }
        Err(error) if error.is::<UsageError>() => Err(error),
        Err(error) => {
            out.error(&chain_text(&error))?;
            Ok(Exit::CouldNotLook)
        }
    }
}

fn look(args: &Check, out: &mut Output) -> anyhow::Result<Found> {
    let mut directories = args.directories.clone();
    let mut is_whole_node = false;
    if let Some(config) = &args.config {
        directories.extend(Node::read(config)?.directories);
        is_whole_node = true;
    }
    if directories.is_empty() {
        return Err(UsageError::because("too few arguments: name directories, or a configuration with --config"));
    }
    directories.sort();
    directories.dedup();
    let mut found = Found::default();
    let mut states = Vec::new();
    for directory in &directories {
        states.push(check_directory(directory, &mut |fault| found.add(fault))?);
    }
    check_together(&states, &mut |fault| found.add(fault));
    let metadata = look_at_metadata(&states, &mut found)?;
    let topic_ids = look_at_partitions(&states, &metadata, args.threads, &mut found, out)?;
    if found.stopped.is_none() {
        metadata.check_partitions(&states, &topic_ids, is_whole_node, &mut |fault| found.add(fault));
    }
    found.directories = states;
    found.sort();
    Ok(found)
}

/// The metadata log: as a log like others, and by what its records say.
fn look_at_metadata(states: &[DirectoryState], found: &mut Found) -> anyhow::Result<ClusterMetadata> {
    for state in states {
        let Some(path) = &state.metadata else { continue };
        let expected = state.metadata_expectation();
        let mut bytes = 0;
        let summary = check_partition(path, &expected, &mut |fault| found.add(fault), &mut |read| bytes += read)?;
        found.took(&summary);
        return metadata::read(path, state, &mut |fault| found.add(fault))
            .with_context(|| format!("could not read {}", path.display()));
    }
    Ok(ClusterMetadata::default())
}

fn look_at_partitions(
    states: &[DirectoryState],
    metadata: &ClusterMetadata,
    threads: Option<usize>,
    found: &mut Found,
    out: &Output,
) -> anyhow::Result<BTreeMap<PathBuf, (TopicPartition, PartitionSummary)>> {
    let jobs: Vec<Job> = states
        .iter()
        .flat_map(|state| {
            state.partitions.iter().map(|(partition, path)| Job {
                partition: partition.clone(),
                path: path.clone(),
                expected: state.expectation(partition, metadata.is_compacted(&partition.topic)),
            })
        })
        .collect();
    let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS);
    let threads = threads.unwrap_or(available).clamp(1, jobs.len().max(1));
    let mut progress = Progress::new(true, out);
    if progress.is_drawn() {
        progress = progress.of_bytes(jobs.iter().map(|job| log_bytes(&job.path)).sum());
    }
    found.wanted = found.partitions + jobs.len() as u64;
    let stopped = Arc::new(OnceLock::new());
    let stop = Arc::clone(&stopped);
    at_first_signal(move |signal| {
        // It is the first one.
        let _ = stop.set(signal);
    })?;
    let (sender, messages) = sync_channel(QUEUE);
    let waiting = Arc::new(Mutex::new(jobs.into_iter()));
    let mut workers = Vec::new();
    for _ in 0..threads {
        let (sender, waiting) = (sender.clone(), Arc::clone(&waiting));
        workers.push(std::thread::Builder::new().name("check".to_owned()).spawn(move || work(&waiting, &sender))?);
    }
    drop(sender);
    let mut summaries = BTreeMap::new();
    loop {
        match messages.recv_timeout(LISTEN) {
            Ok(Message::Read(bytes)) => progress.add(0, bytes),
            Ok(Message::Fault(fault)) => found.add(fault),
            Ok(Message::Done(partition, path, summary)) => {
                found.took(&summary);
                summaries.insert(path, (partition, summary));
            }
            // Drawn also where a disk gives nothing.
            Err(RecvTimeoutError::Timeout) => progress.add(0, 0),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        found.stopped = stopped.get().copied();
        if found.stopped.is_some() {
            // Nobody waits for the threads, which only read: one may stick in a disk that does not answer.
            workers.clear();
            break;
        }
    }
    progress.clear();
    for worker in workers {
        worker.join().map_err(|_| anyhow!("a thread ended before its work was done"))?;
    }
    Ok(summaries)
}

/// Bytes of the logs in a partition's directory, as far as they can be told: for the bar only.
fn log_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let logs = entries.flatten().filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"));
    logs.filter_map(|log| log.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Looks at partitions until none is left, or nobody wants to know.
fn work(waiting: &Jobs, sender: &SyncSender<Message>) {
    loop {
        let Some(job) = waiting.lock().unwrap_or_else(PoisonError::into_inner).next() else { return };
        let mut find = |fault| drop(sender.send(Message::Fault(fault)));
        let mut read = |bytes| drop(sender.send(Message::Read(bytes)));
        let summary = check_partition(&job.path, &job.expected, &mut find, &mut read);
        let message = match summary {
            Ok(summary) => Message::Done(job.partition, job.path, summary),
            Err(error) => Message::Fault(unreadable(&job.path, error)),
        };
        if sender.send(message).is_err() {
            return;
        }
    }
}

/// One partition that can't be read is no reason not to look at the others.
fn unreadable(path: &Path, error: crate::log::LogError) -> Fault {
    Fault::new(FaultKind::Unreadable, path, chain_text(&anyhow::Error::new(error)))
}
