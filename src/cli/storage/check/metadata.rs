//! The cluster's metadata: whether every record can be read, and whether the partitions are those that it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;

use crate::cli::support::chain_text;
use crate::log::check::{DirectoryState, Fault, FaultKind, FileReader, PartitionSummary, Severity};
use crate::metadata::batch::{self, BatchContent};
use crate::metadata::{Checkpoint, CheckpointId, ConfigResource, MetadataImage, Replay};
use crate::record::{EntryPrefix, LOG_OVERHEAD, PREFIX_LEN, RecordBatch};
use crate::types::{LeaderEpoch, TopicPartition, Uuid};

/// Larger snapshots and batches of metadata don't exist.
const MAX_BYTES: u64 = 1 << 30;
const QUORUM_STATE: &str = "quorum-state";

/// What the metadata log says, as far as it can be read.
#[derive(Debug, Default)]
pub(super) struct ClusterMetadata {
    /// None without a metadata log, or if it can't be read from its beginning.
    image: Option<MetadataImage>,
}

/// Reads the metadata log in `dir`.
///
/// # Errors
/// A file can't be read.
pub(super) fn read(
    dir: &Path,
    state: &DirectoryState,
    found: &mut dyn FnMut(Fault),
) -> anyhow::Result<ClusterMetadata> {
    let mut files = Files::list(dir)?;
    let (snapshot, image) = newest_snapshot(dir, &mut files.snapshots, found)?;
    let start = files.logs.first().map_or(0, |(base, _)| *base);
    let snapshot_end = snapshot.map_or(0, |id| id.end_offset.get());
    if start > snapshot_end {
        let text = "no snapshot holds what was before the log's beginning";
        found(Fault::new(FaultKind::MetadataGap, dir, text).losing(snapshot_end, start));
        return Ok(ClusterMetadata::default());
    }
    let mut log = LogReplay {
        replay: Replay::from_image(image),
        from: snapshot_end,
        end: snapshot_end,
        epoch: snapshot.map_or(LeaderEpoch(-1), |id| id.epoch),
        is_whole: true,
    };
    for (_, path) in &files.logs {
        log.read(path, found)?;
    }
    quorum_state(dir, state, log.epoch, found)?;
    Ok(ClusterMetadata { image: log.is_whole.then(|| log.replay.into_image()) })
}

/// Segments and snapshots of the metadata log.
#[derive(Default)]
struct Files {
    logs: Vec<(i64, PathBuf)>,
    snapshots: Vec<CheckpointId>,
}

impl Files {
    fn list(dir: &Path) -> anyhow::Result<Self> {
        let mut files = Self::default();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            files.snapshots.extend(CheckpointId::from_file_name(name));
            if let Some(base) = name.strip_suffix(".log").and_then(|base| base.parse().ok()) {
                files.logs.push((base, path));
            }
        }
        files.logs.sort();
        files.snapshots.sort();
        Ok(files)
    }
}

/// The newest snapshot that can be read, and its image; the others are told of.
fn newest_snapshot(
    dir: &Path,
    snapshots: &mut Vec<CheckpointId>,
    found: &mut dyn FnMut(Fault),
) -> anyhow::Result<(Option<CheckpointId>, MetadataImage)> {
    while let Some(id) = snapshots.pop() {
        let path = dir.join(id.file_name());
        match read_snapshot(&path)? {
            Ok(image) => return Ok((Some(id), image)),
            Err(reason) => found(Fault::new(FaultKind::MetadataSnapshot, &path, reason)),
        }
    }
    Ok((None, MetadataImage::default()))
}

fn read_snapshot(path: &Path) -> anyhow::Result<Result<MetadataImage, String>> {
    let mut reader = FileReader::open(path)?;
    let size = reader.size();
    if size > MAX_BYTES {
        return Ok(Err(format!("{size} bytes are too many for a snapshot")));
    }
    let bytes = Bytes::copy_from_slice(reader.bytes(0, usize::try_from(size).unwrap_or(0))?);
    let checkpoint = match Checkpoint::read(&bytes) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return Ok(Err(chain_text(&anyhow::Error::new(error)))),
    };
    let mut image = MetadataImage::default();
    for record in &checkpoint.records {
        if let Err(error) = image.apply(record) {
            return Ok(Err(chain_text(&anyhow::Error::new(error))));
        }
    }
    Ok(Ok(image))
}

struct LogReplay {
    replay: Replay,
    /// What is before this offset is in the snapshot.
    from: i64,
    end: i64,
    epoch: LeaderEpoch,
    /// Nothing had to be left out.
    is_whole: bool,
}

impl LogReplay {
    /// Reads one segment up to its first damage, which the look at the log itself has told of.
    fn read(&mut self, path: &Path, found: &mut dyn FnMut(Fault)) -> anyhow::Result<()> {
        let mut reader = FileReader::open(path)?;
        let mut position = 0;
        while let Ok(Some(prefix)) = EntryPrefix::peek(reader.bytes(position, PREFIX_LEN)?) {
            if prefix.size_in_bytes as u64 > MAX_BYTES || prefix.size_in_bytes < LOG_OVERHEAD {
                break;
            }
            let bytes = Bytes::copy_from_slice(reader.bytes(position, prefix.size_in_bytes)?);
            let Ok((batch, _)) = RecordBatch::new(&bytes) else { break };
            if batch.verify_crc().is_err() {
                self.is_whole = false;
                break;
            }
            let header = *batch.header();
            if header.partition_leader_epoch < self.epoch && header.base_offset.get() >= self.from {
                let text = format_args!("epoch {} after epoch {}", header.partition_leader_epoch, self.epoch);
                found(Fault::new(FaultKind::MetadataRecord, path, text).at(position).as_severe_as(Severity::Warning));
            }
            self.epoch = self.epoch.max(header.partition_leader_epoch);
            self.end = header.next_offset().get();
            let result = batch::read(&batch, &bytes).map_err(anyhow::Error::new).and_then(|content| {
                let BatchContent::Metadata(records) = content else { return Ok(()) };
                if header.base_offset.get() < self.from {
                    return Ok(());
                }
                records.into_iter().try_for_each(|record| self.replay.take(record).map_err(anyhow::Error::new))
            });
            if let Err(error) = result {
                self.is_whole = false;
                let (from, to) = (header.base_offset.get(), header.next_offset().get());
                let fault = Fault::new(FaultKind::MetadataRecord, path, chain_text(&error));
                found(fault.at(position).losing(from, to));
            }
            position += prefix.size_in_bytes as u64;
        }
        Ok(())
    }
}

/// Checks the file that says in which epoch the quorum is.
fn quorum_state(
    dir: &Path,
    state: &DirectoryState,
    epoch: LeaderEpoch,
    found: &mut dyn FnMut(Fault),
) -> anyhow::Result<()> {
    let path = dir.join(QUORUM_STATE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if epoch.get() >= 0 && state.user.is_none() {
                let text = "missing, so a node could vote twice in one epoch";
                found(Fault::new(FaultKind::QuorumState, &path, text));
            }
            return Ok(());
        }
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let json: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    let number = |name: &str| json.as_ref().and_then(|json| json.get(name)).and_then(serde_json::Value::as_i64);
    let (Some(0 | 1), Some(known), Some(_)) = (number("data_version"), number("leaderEpoch"), number("leaderId"))
    else {
        found(Fault::new(FaultKind::QuorumState, &path, "not the state of a quorum"));
        return Ok(());
    };
    if known < i64::from(epoch.get()) {
        let text = format_args!("says that the epoch is {known}, but the log has records of epoch {epoch}");
        found(Fault::new(FaultKind::QuorumState, &path, text));
    }
    Ok(())
}

impl ClusterMetadata {
    /// Whether the topic's log may have gaps.
    pub(super) fn is_compacted(&self, topic: &str) -> bool {
        if ["__consumer_offsets", "__transaction_state"].contains(&topic) {
            return true;
        }
        let Some(image) = &self.image else { return false };
        let policy = |resource| image.configs(&resource).and_then(|configs| configs.get("cleanup.policy"));
        let brokers = policy(ConfigResource::all_brokers());
        policy(ConfigResource::topic(topic)).or(brokers).is_some_and(|policy| policy.contains("compact"))
    }

    /// Compares the partitions that are there with those that should be.
    pub(super) fn check_partitions(
        &self,
        states: &[DirectoryState],
        here: &BTreeMap<PathBuf, (TopicPartition, PartitionSummary)>,
        is_whole_node: bool,
        found: &mut dyn FnMut(Fault),
    ) {
        let Some(image) = &self.image else { return };
        for (path, (partition, summary)) in here {
            match image.topic(&partition.topic) {
                None => found(Fault::new(
                    FaultKind::Stray,
                    path,
                    "the cluster's metadata have no such topic: a broker puts it aside as stray",
                )),
                Some(topic) if summary.topic_id.is_some_and(|id| id != topic.id) => {
                    let id = summary.topic_id.unwrap_or(Uuid::ZERO);
                    let text = format_args!(
                        "belongs to topic id {id}, but in the cluster's metadata {} is {}: a broker puts it aside as stray",
                        partition.topic, topic.id
                    );
                    found(Fault::new(FaultKind::TopicId, path, text));
                }
                Some(_) => {}
            }
        }
        self.check_missing(image, states, here, is_whole_node, found);
    }

    /// Partitions that the metadata place on this node, or in one of these directories, must be there.
    fn check_missing(
        &self,
        image: &MetadataImage,
        states: &[DirectoryState],
        here: &BTreeMap<PathBuf, (TopicPartition, PartitionSummary)>,
        is_whole_node: bool,
        found: &mut dyn FnMut(Fault),
    ) {
        // While a broker runs, a topic may be younger than the listing of the directory.
        if states.iter().any(|state| state.user.is_some()) {
            return;
        }
        let present: std::collections::BTreeSet<&TopicPartition> =
            here.values().map(|(partition, _)| partition).collect();
        let known = |id: Uuid| {
            states.iter().find(|state| state.properties.as_ref().is_some_and(|p| p.directory_id == Some(id)))
        };
        let node = states.iter().find_map(|state| state.properties.as_ref()?.node_id);
        for topic in image.topics().values() {
            for (number, partition) in &topic.partitions {
                let name = TopicPartition::new(topic.name.as_str(), *number);
                let Some(at) = partition.replicas.iter().position(|replica| Some(*replica) == node) else { continue };
                let assigned = partition.directories.get(at).copied().and_then(known);
                let state = assigned
                    .or_else(|| states.first().filter(|_| is_whole_node || states.len() == 1 && self.is_alone(image)));
                let Some(state) = state.filter(|_| !present.contains(&name)) else { continue };
                let path = state.path.join(name.to_string());
                found(Fault::new(
                    FaultKind::Missing,
                    &path,
                    "the cluster's metadata place this partition here, but it is not here",
                ));
            }
        }
    }

    /// Whether the node of the only directory registered no other one.
    fn is_alone(&self, image: &MetadataImage) -> bool {
        image.brokers().values().all(|broker| broker.log_dirs.len() <= 1)
    }
}
