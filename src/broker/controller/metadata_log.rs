//! `__cluster_metadata-0` on disk: the log, the snapshots beside it, and what both add up to.
//!
//! Nothing counts before it is durable: an append returns when its bytes are on disk. Damage is never passed over in
//! silence: a torn end is cut, anything else is refused with file and offset, unless a snapshot stands for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tracing::{error, info, warn};

use super::error::chain;
use super::snapshots::{self, SnapshotError, SnapshotFile};
use crate::config::ServerConfig;
use crate::log::{
    AppendContext, AppendError, AppendOrigin, CloseMode, FindingKind, Fs, Log, LogConfig, LogError, LogOptions,
    ReadError, ReadLimits, Shutdown, partition_metadata,
};
use crate::metadata::batch::{self, BatchContent};
use crate::metadata::{ApplyError, Checkpoint, CheckpointId, ControlRecord, LogPosition, MetadataImage, Replay};
use crate::protocol::messages::VotersRecord;
use crate::record::{self, RecordBatch};
use crate::types::{LeaderEpoch, Offset, Uuid};

/// Name of the directory of the log.
pub(in crate::broker) const DIRECTORY: &str = "__cluster_metadata-0";

/// Read at once when the log is replayed.
const READ_BYTES: usize = 1 << 20;
/// A batch of metadata with its header is not larger.
const MAX_BATCH_BYTES: u32 = 9 << 20;

/// Why the metadata log can't be opened or written.
#[derive(Debug, Error)]
pub(in crate::broker) enum MetadataLogError {
    /// The disk, or damage that the log names.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Nothing was appended.
    #[error("could not append to the metadata log")]
    Append(#[from] AppendError),
    /// Records can't be read.
    #[error("could not read the metadata log")]
    Read(#[from] ReadError),
    /// A batch that is damaged or not known; no snapshot stands for it.
    #[error("metadata log {}", dir.display())]
    Batch {
        /// The log's directory.
        dir: PathBuf,
        /// What is wrong, with its offset.
        #[source]
        source: batch::ReadError,
    },
    /// What is no batch at all.
    #[error("metadata log {}: no batch at offset {offset}", dir.display())]
    NotABatch {
        /// The log's directory.
        dir: PathBuf,
        /// The offset looked for.
        offset: Offset,
        /// What is wrong there.
        #[source]
        source: record::RecordError,
    },
    /// Records are missing.
    #[error("metadata log {}: records from offset {expected} to {found} are missing", dir.display())]
    Missing {
        /// The log's directory.
        dir: PathBuf,
        /// The first offset that is missing.
        expected: Offset,
        /// The first one that is there.
        found: Offset,
    },
    /// A record contradicts what stands before it.
    #[error("metadata log {}: record at offset {offset}", dir.display())]
    Apply {
        /// The log's directory.
        dir: PathBuf,
        /// Offset of its batch.
        offset: Offset,
        /// The contradiction.
        #[source]
        source: ApplyError,
    },
    /// A snapshot can't be read or written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A snapshot contradicts itself.
    #[error("snapshot {}", path.display())]
    ApplySnapshot {
        /// The file.
        path: PathBuf,
        /// The contradiction.
        #[source]
        source: ApplyError,
    },
}

/// What a start reads of the log in a few milliseconds: not worth a snapshot.
const LEAST_WORTHWHILE_BYTES: u64 = 1 << 20;

/// When snapshots are made and old files dropped.
#[derive(Debug, Clone, Copy)]
struct SnapshotPolicy {
    bytes_between: u64,
    interval_ms: Option<i64>,
    retention_bytes: Option<u64>,
    retention_ms: Option<i64>,
}

impl SnapshotPolicy {
    fn new(config: &ServerConfig) -> Self {
        let interval = i64::try_from(config.metadata_log_max_snapshot_interval_ms.as_millis()).unwrap_or(i64::MAX);
        Self {
            bytes_between: u64::try_from(config.metadata_log_max_record_bytes_between_snapshots).unwrap_or(u64::MAX),
            // 0 turns it off.
            interval_ms: (interval > 0).then_some(interval),
            retention_bytes: config.metadata_max_retention_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            retention_ms: config.metadata_max_retention_ms,
        }
    }
}

/// What the control records say of the quorum.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct QuorumRecords {
    /// The level of `kraft.version`.
    pub(super) kraft_version: i16,
    /// The voters, from level 1 on.
    pub(super) voters: Option<VotersRecord>,
    /// The voters stand in the snapshot that formatting wrote and not in the log yet.
    pub(super) only_from_format: bool,
}

/// What was found on disk.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The state that it adds up to.
    pub(super) image: MetadataImage,
    /// The quorum.
    pub(super) quorum: QuorumRecords,
    /// A transaction was left open; its records are not in the image.
    pub(super) open_transaction: bool,
    /// The largest leader epoch seen.
    pub(super) last_epoch: LeaderEpoch,
}

/// The open log.
#[derive(Debug)]
pub(super) struct MetadataLog {
    dir: PathBuf,
    log: Log,
    fs: Fs,
    policy: SnapshotPolicy,
    /// Oldest first.
    snapshots: Vec<SnapshotFile>,
    bytes_since_snapshot: u64,
    /// Timestamp of the newest snapshot, or of the first batch after none.
    last_snapshot_ms: i64,
}

impl MetadataLog {
    /// Opens the log in the metadata directory `parent`, or makes a new one, and reads it.
    pub(super) fn open(
        parent: &Path,
        config: &ServerConfig,
        fs: Fs,
        now_ms: i64,
    ) -> Result<(Self, Loaded), MetadataLogError> {
        let dir = parent.join(DIRECTORY);
        let read = |shutdown| {
            let mut log = Self::open_files(&dir, config, fs.clone(), now_ms, shutdown)?;
            let loaded = log.load(now_ms)?;
            Ok((log, loaded))
        };
        // Every batch is checked when it is replayed, so the cheap way of opening is enough; only if that meets damage the
        // log has to find out whether it is a torn end.
        match read(Shutdown::Clean) {
            Err(MetadataLogError::Batch { .. } | MetadataLogError::NotABatch { .. } | MetadataLogError::Read(_)) => {
                read(Shutdown::Unclean)
            }
            other => other,
        }
    }

    fn open_files(
        dir: &Path,
        config: &ServerConfig,
        fs: Fs,
        now_ms: i64,
        shutdown: Shutdown,
    ) -> Result<Self, MetadataLogError> {
        let log_config = LogConfig {
            segment_bytes: u32::try_from(config.metadata_log_segment_bytes).unwrap_or(1 << 30).max(MAX_BATCH_BYTES),
            segment_ms: config.metadata_log_segment_ms,
            max_message_bytes: MAX_BATCH_BYTES,
            cleanup_delete: false,
            retention_ms: -1,
            file_delete_delay_ms: 0,
            ..LogConfig::default()
        };
        let (log, report) = Log::open(LogOptions {
            dir: dir.to_owned(),
            config: Arc::new(log_config),
            fs: fs.clone(),
            now_ms,
            shutdown,
            ..LogOptions::default()
        })?;
        for finding in &report.findings {
            match finding.kind {
                FindingKind::NotClean { .. } | FindingKind::EpochsRebuilt { .. } | FindingKind::ProducersRebuilt => {}
                _ => warn!("metadata log: {finding}"),
            }
        }
        if !dir.join(partition_metadata::FILE_NAME).exists() {
            partition_metadata::write(&fs, dir, Uuid::METADATA_TOPIC)?;
        }
        let snapshots = snapshots::list(dir)?;
        let policy = SnapshotPolicy::new(config);
        Ok(Self { dir: dir.to_owned(), log, fs, policy, snapshots, bytes_since_snapshot: 0, last_snapshot_ms: now_ms })
    }

    /// Reads the newest snapshot and the log behind it.
    fn load(&mut self, now_ms: i64) -> Result<Loaded, MetadataLogError> {
        let mut loaded = Loaded {
            image: MetadataImage::default(),
            quorum: QuorumRecords::default(),
            open_transaction: false,
            last_epoch: LeaderEpoch(0),
        };
        let damaged = self.load_snapshot(&mut loaded)?;
        let from = loaded.image.position().offset.plus(1);
        let damaged = match damaged {
            // Nothing else tells what it stood for.
            Some((error, end)) if self.log.log_end_offset() < end => return Err(error.into()),
            other => other.map(|(error, _)| error),
        };
        if self.log.log_end_offset() < from {
            // The log was lost, or ends below the snapshot: what it said is in the snapshot.
            let end = self.log.log_end_offset();
            warn!(dir = %self.dir.display(), %end, snapshot = %from, "the metadata log ends below its snapshot; it goes on there");
            self.drop_files(self.log.truncate_fully_and_start_at(from, now_ms)?);
        } else if self.log.log_start_offset() > from {
            // A damaged snapshot is why the records are missing.
            let (dir, expected, found) = (self.dir.clone(), from, self.log.log_start_offset());
            return Err(damaged.map_or(MetadataLogError::Missing { dir, expected, found }, Into::into));
        }
        self.replay(from, loaded).map_err(|error| match (error, damaged) {
            (MetadataLogError::Missing { .. }, Some(damaged)) => damaged.into(),
            (error, _) => error,
        })
    }

    /// Reads the newest snapshot that is whole; gives the error of the newest of those that are not, and the offset up to which
    /// that one stood for the log.
    fn load_snapshot(&mut self, loaded: &mut Loaded) -> Result<Option<(SnapshotError, Offset)>, MetadataLogError> {
        let mut damaged = None;
        for file in self.snapshots.iter().rev() {
            let checkpoint = match snapshots::read(&file.path) {
                Ok(checkpoint) => checkpoint,
                Err(error @ SnapshotError::Damaged { .. }) => {
                    error!(error = chain(&error), "a metadata snapshot is damaged; an older one and the log are used");
                    damaged.get_or_insert((error, file.id.end_offset));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            for record in &checkpoint.records {
                let applied = loaded.image.apply(record);
                applied.map_err(|source| MetadataLogError::ApplySnapshot { path: file.path.clone(), source })?;
            }
            self.last_snapshot_ms = checkpoint.last_contained_log_timestamp;
            loaded.quorum = QuorumRecords {
                kraft_version: checkpoint.kraft_version,
                voters: checkpoint.voters,
                only_from_format: file.id.end_offset == Offset::ZERO,
            };
            loaded.last_epoch = file.id.epoch;
            loaded.image.set_position(LogPosition {
                offset: file.id.end_offset.plus(-1),
                epoch: file.id.epoch,
                timestamp_ms: checkpoint.last_contained_log_timestamp,
            });
            break;
        }
        Ok(damaged)
    }

    fn replay(&mut self, from: Offset, mut loaded: Loaded) -> Result<Loaded, MetadataLogError> {
        let limits = ReadLimits { end: self.log.log_end_offset(), max_bytes: READ_BYTES, at_least_one_batch: true };
        let mut replay = Replay::from_image(std::mem::take(&mut loaded.image));
        let mut position = replay.image().position();
        let mut next = from;
        while next < limits.end {
            let read = self.log.read(next, limits)?;
            if read.bytes.is_empty() {
                let (dir, expected, found) = (self.dir.clone(), next, limits.end);
                return Err(MetadataLogError::Missing { dir, expected, found });
            }
            let mut rest: &[u8] = &read.bytes;
            while !rest.is_empty() {
                let not_a_batch = |source| MetadataLogError::NotABatch { dir: self.dir.clone(), offset: next, source };
                let (batch, behind) = RecordBatch::new(rest).map_err(not_a_batch)?;
                rest = behind;
                let header = *batch.header();
                if header.last_offset() < next {
                    continue;
                }
                if header.base_offset != next {
                    let (dir, expected, found) = (self.dir.clone(), next, header.base_offset);
                    return Err(MetadataLogError::Missing { dir, expected, found });
                }
                let content = batch::read(&batch, &read.bytes)
                    .map_err(|source| MetadataLogError::Batch { dir: self.dir.clone(), source })?;
                let applied = take_in(content, &mut replay, &mut loaded.quorum);
                applied.map_err(|source| MetadataLogError::Apply {
                    dir: self.dir.clone(),
                    offset: header.base_offset,
                    source,
                })?;
                if self.snapshots.is_empty() && self.bytes_since_snapshot == 0 {
                    self.last_snapshot_ms = header.max_timestamp;
                }
                self.bytes_since_snapshot += batch.bytes().len() as u64;
                loaded.last_epoch = loaded.last_epoch.max(header.partition_leader_epoch);
                position = LogPosition {
                    offset: header.last_offset(),
                    epoch: header.partition_leader_epoch,
                    timestamp_ms: header.max_timestamp,
                };
                next = header.last_offset().plus(1);
            }
        }
        loaded.open_transaction = replay.is_in_transaction();
        loaded.image = replay.into_image();
        loaded.image.set_position(position);
        Ok(loaded)
    }

    /// The offset that the next record gets.
    pub(super) fn end_offset(&self) -> Offset {
        self.log.log_end_offset()
    }

    /// Appends a batch, which is in the log but not durable when this returns. Gives the offset behind it.
    pub(super) fn append(
        &mut self,
        batch: &Bytes,
        epoch: LeaderEpoch,
        now_ms: i64,
    ) -> Result<Offset, MetadataLogError> {
        let (batch, _) = RecordBatch::new(batch).map_err(|source| MetadataLogError::NotABatch {
            dir: self.dir.clone(),
            offset: self.end_offset(),
            source,
        })?;
        let context = AppendContext::new(epoch, AppendOrigin::Coordinator, now_ms);
        let appended = self.log.append_as_leader(&[batch.into()], &context)?;
        self.bytes_since_snapshot += batch.bytes().len() as u64;
        Ok(appended.last_offset.plus(1))
    }

    /// Makes all that was appended durable.
    pub(super) fn flush(&mut self) -> Result<(), MetadataLogError> {
        let end = self.log.flush()?;
        self.log.advance_high_watermark(end);
        Ok(())
    }

    /// Whether enough was appended since the last snapshot.
    pub(super) fn is_snapshot_due(&self, now_ms: i64) -> bool {
        self.bytes_since_snapshot >= self.policy.bytes_between
            || self.bytes_since_snapshot > 0
                && self
                    .policy
                    .interval_ms
                    .is_some_and(|interval| now_ms.saturating_sub(self.last_snapshot_ms) >= interval)
    }

    /// Whether a start would read much more of the log than the state is worth. A broker that comes and goes writes a few records for
    /// each partition every time, and nothing else may ever make a snapshot due.
    pub(super) fn is_snapshot_worthwhile(&self) -> bool {
        let newest = self.snapshots.last().map_or(0, |file| file.bytes);
        let bound = newest.saturating_mul(2).max(LEAST_WORTHWHILE_BYTES);
        self.bytes_since_snapshot >= bound.min(self.policy.bytes_between)
    }

    /// Writes a snapshot of `image`, which stands at the log's end, and drops what the retention lets go.
    pub(super) fn write_snapshot(
        &mut self,
        image: &MetadataImage,
        quorum: &QuorumRecords,
        now_ms: i64,
    ) -> Result<(), MetadataLogError> {
        let position = image.position();
        // A log that can't be written as a snapshot says so at each attempt; not more often than due.
        self.bytes_since_snapshot = 0;
        self.last_snapshot_ms = now_ms;
        let checkpoint = Checkpoint {
            last_contained_log_timestamp: position.timestamp_ms,
            kraft_version: quorum.kraft_version,
            voters: quorum.voters.clone(),
            records: image.records(),
        };
        let id = CheckpointId { end_offset: position.offset.plus(1), epoch: position.epoch };
        let level = image.metadata_version().unwrap_or_default();
        let bytes = checkpoint.write(level, position.epoch, now_ms).map_err(|source| {
            let source = std::io::Error::other(source);
            SnapshotError::Io { action: "write", path: self.dir.join(id.file_name()), source }
        })?;
        let file = snapshots::write(&self.dir, id, &bytes).inspect_err(|error| {
            if let Some((action, path, source)) = error.io() {
                self.fs.consider(action, path, source);
            }
        })?;
        info!(offset = %id.end_offset, bytes = bytes.len(), "metadata snapshot written");
        if self.snapshots.last().map(|last| last.id) != Some(id) {
            self.snapshots.push(file);
        }
        self.clean(now_ms)
    }

    /// Drops snapshots, and the log below the next one, that are too old or too many bytes. The newest one always stays.
    fn clean(&mut self, now_ms: i64) -> Result<(), MetadataLogError> {
        while let [oldest, next, ..] = self.snapshots.as_slice() {
            let total = self.log.size_bytes() + self.snapshots.iter().map(|file| file.bytes).sum::<u64>();
            let too_large = self.policy.retention_bytes.is_some_and(|limit| total > limit);
            let too_old = self.policy.retention_ms.is_some_and(|limit| {
                snapshots::read(&oldest.path)
                    .is_ok_and(|read| now_ms.saturating_sub(read.last_contained_log_timestamp) > limit)
            });
            if !too_large && !too_old {
                break;
            }
            let start = next.id.end_offset;
            snapshots::remove(oldest);
            self.snapshots.remove(0);
            self.log.raise_log_start_offset(start)?;
        }
        let outcome = self.log.apply_retention(now_ms)?;
        self.drop_files(outcome.deleted);
        Ok(())
    }

    fn drop_files(&self, files: Option<crate::log::DeletedFiles>) {
        let Some(files) = files else { return };
        if let Err(error) = files.remove(&self.fs) {
            warn!(dir = %self.dir.display(), %error, "old files of the metadata log can't be removed");
        }
    }

    /// Closes the files.
    pub(super) fn close(&self) -> Result<(), MetadataLogError> {
        Ok(self.log.close(CloseMode::Sync)?)
    }
}

fn take_in(content: BatchContent, replay: &mut Replay, quorum: &mut QuorumRecords) -> Result<(), ApplyError> {
    match content {
        BatchContent::Metadata(records) => records.into_iter().try_for_each(|record| replay.take(record)),
        BatchContent::Control(records) => {
            for record in records {
                match record {
                    ControlRecord::KRaftVersion(record) => quorum.kraft_version = record.kraft_version,
                    ControlRecord::Voters(voters) => {
                        quorum.voters = Some(voters);
                        quorum.only_from_format = false;
                    }
                    _ => {}
                }
            }
            Ok(())
        }
    }
}
