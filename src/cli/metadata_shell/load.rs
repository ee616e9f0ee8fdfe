//! Reads metadata from a snapshot, a segment of the metadata log, or the directory that has both.

use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;

use crate::metadata::batch::{self, BatchContent};
use crate::metadata::{CheckpointId, LogPosition, MetadataImage, Replay};
use crate::record::{RecordBatch, RecordError};

/// Larger files of metadata don't exist.
const MAX_BYTES: u64 = 1 << 30;
/// The metadata log's directory within a log directory.
const METADATA_LOG: &str = "__cluster_metadata-0";

/// What was read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) image: MetadataImage,
    /// Where the last record was.
    pub(super) position: LogPosition,
}

/// Reads a file, or what a directory has.
pub(super) fn load(path: &Path) -> anyhow::Result<Loaded> {
    let mut reading = Reading::default();
    if path.is_dir() {
        let inner = path.join(METADATA_LOG);
        reading.directory(if inner.is_dir() { &inner } else { path })?;
    } else {
        reading.file(path, 0)?;
    }
    Ok(Loaded { image: reading.replay.into_image(), position: reading.position })
}

#[derive(Debug, Default)]
struct Reading {
    replay: Replay,
    position: LogPosition,
}

impl Reading {
    /// Reads the newest snapshot, and what the log has after it.
    fn directory(&mut self, directory: &Path) -> anyhow::Result<()> {
        let mut snapshots = Vec::new();
        let mut segments = Vec::new();
        let entries =
            std::fs::read_dir(directory).with_context(|| format!("could not read {}", directory.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            snapshots.extend(CheckpointId::from_file_name(name));
            if let Some(base) = name.strip_suffix(".log").and_then(|base| base.parse::<i64>().ok()) {
                segments.push((base, path));
            }
        }
        segments.sort();
        let mut from = 0;
        if let Some(newest) = snapshots.iter().max() {
            self.file(&directory.join(newest.file_name()), 0)?;
            from = newest.end_offset.get();
        }
        match segments.first() {
            None if from == 0 => bail!("{} has neither a snapshot nor a log of metadata", directory.display()),
            Some((base, _)) if *base > from => {
                bail!("no snapshot in {} holds what was before offset {base}", directory.display())
            }
            _ => {}
        }
        for (_, segment) in segments {
            self.file(&segment, from)?;
        }
        Ok(())
    }

    /// Reads the batches of a file that begin at `from` or later.
    fn file(&mut self, path: &Path, from: i64) -> anyhow::Result<()> {
        let shown = || format!("could not read {}", path.display());
        let size = std::fs::metadata(path).with_context(shown)?.len();
        if size > MAX_BYTES {
            bail!("{}: {size} bytes are too many for metadata", shown());
        }
        let mut rest = Bytes::from(std::fs::read(path).with_context(shown)?);
        let whole = rest.len();
        // A segment that is preallocated ends in zeros.
        while rest.iter().take(8 + 4 + 4 + 1).any(|byte| *byte != 0) {
            let at = whole - rest.len();
            let (batch, after) = match RecordBatch::new(&rest) {
                Ok(found) => found,
                // What is written now, or was when a broker was killed.
                Err(RecordError::Truncated { .. }) => break,
                Err(error) => return Err(anyhow::Error::new(error).context(format!("{} at byte {at}", shown()))),
            };
            let header = *batch.header();
            let next = after.len();
            if header.base_offset.get() >= from {
                batch.verify_crc().with_context(|| format!("{} at byte {at}", shown()))?;
                let content = batch::read(&batch, &rest).with_context(|| format!("{} at byte {at}", shown()))?;
                if let BatchContent::Metadata(records) = content {
                    for record in records {
                        self.replay.take(record).with_context(|| format!("{} at byte {at}", shown()))?;
                    }
                    self.position = LogPosition {
                        offset: header.last_offset(),
                        epoch: header.partition_leader_epoch,
                        timestamp_ms: header.max_timestamp,
                    };
                }
            }
            rest = rest.slice(rest.len() - next..);
        }
        Ok(())
    }
}
