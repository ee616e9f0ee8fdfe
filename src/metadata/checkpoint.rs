//! A snapshot of the metadata log (`<end offset>-<epoch>.checkpoint`), and `bootstrap.checkpoint`, which has the same form.
//!
//! | batch | records |
//! |---|---|
//! | first, control | SnapshotHeader; from `kraft.version` 1 on KRaftVersion and Voters too |
//! | any number | metadata records |
//! | last, control | SnapshotFooter: without it the file is not whole |
//!
//! Offsets in the file count from 0; the leader epoch of the batches is the one in the name.

use bytes::Bytes;
use thiserror::Error;

use super::batch::{self, BatchContent, BatchPlace, ReadError, WriteError};
use super::control::ControlRecord;
use super::features::MetadataVersion;
use super::record::MetadataRecord;
use crate::protocol::messages::{KRaftVersionRecord, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord};
use crate::record::{self, RecordError};
use crate::types::{LeaderEpoch, Offset};

/// Name of the file with the records that a formatted directory starts from.
pub const BOOTSTRAP_FILE: &str = "bootstrap.checkpoint";

/// What a snapshot says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// Timestamp of the last batch of the log that it stands for.
    pub last_contained_log_timestamp: i64,
    /// The level of `kraft.version`.
    pub kraft_version: i16,
    /// The voters; there are some from `kraft.version` 1 on.
    pub voters: Option<VotersRecord>,
    /// All metadata.
    pub records: Vec<MetadataRecord>,
}

/// Why bytes are no snapshot.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// A batch can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What stands at this byte is no batch.
    #[error("no batch at byte {position}")]
    NotABatch {
        /// Where in the file.
        position: usize,
        /// What is wrong.
        #[source]
        source: RecordError,
    },
    /// It does not begin with a header.
    #[error("it does not begin with a snapshot header")]
    NoHeader,
    /// It does not end with a footer: it was not written to its end.
    #[error("it does not end with a snapshot footer")]
    NoFooter,
}

impl Checkpoint {
    /// The bytes of the file.
    ///
    /// # Errors
    /// A record can't be said at `level`.
    pub fn write(&self, level: MetadataVersion, epoch: LeaderEpoch, now_ms: i64) -> Result<Bytes, WriteError> {
        let mut place = BatchPlace { base_offset: Offset::ZERO, epoch, timestamp_ms: now_ms };
        let mut first = vec![ControlRecord::SnapshotHeader(SnapshotHeaderRecord {
            last_contained_log_timestamp: self.last_contained_log_timestamp,
            ..Default::default()
        })];
        if self.kraft_version > 0 {
            first.push(kraft_version(self.kraft_version));
            first.extend(self.voters.clone().map(ControlRecord::Voters));
        }
        let mut out = batch::write_control(&first, place)?.to_vec();
        place.base_offset = Offset(i64::try_from(first.len()).unwrap_or_default());
        place.base_offset = batch::write_in_batches(&self.records, level, place, &mut out)?;
        let footer = ControlRecord::SnapshotFooter(SnapshotFooterRecord::default());
        out.extend_from_slice(&batch::write_control(&[footer], place)?);
        Ok(out.into())
    }

    /// Reads the bytes of a whole file.
    ///
    /// # Errors
    /// They are damaged, not whole, or hold what this release does not know.
    pub fn read(bytes: &Bytes) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self::default();
        let mut position = 0;
        let (mut header, mut footer) = (false, false);
        while position < bytes.len() {
            let rest = bytes.get(position..).unwrap_or_default();
            let (batch, _) =
                record::RecordBatch::new(rest).map_err(|source| CheckpointError::NotABatch { position, source })?;
            match batch::read(&batch, bytes)? {
                BatchContent::Metadata(records) => checkpoint.records.extend(records),
                BatchContent::Control(records) => {
                    for record in records {
                        match record {
                            ControlRecord::SnapshotHeader(record) if position == 0 => {
                                header = true;
                                checkpoint.last_contained_log_timestamp = record.last_contained_log_timestamp;
                            }
                            ControlRecord::KRaftVersion(record) => checkpoint.kraft_version = record.kraft_version,
                            ControlRecord::Voters(record) => checkpoint.voters = Some(record),
                            ControlRecord::SnapshotFooter(_) => footer = true,
                            _ => {}
                        }
                    }
                }
            }
            if !header {
                return Err(CheckpointError::NoHeader);
            }
            position += batch.bytes().len();
        }
        match (header, footer) {
            (false, _) => Err(CheckpointError::NoHeader),
            (_, false) => Err(CheckpointError::NoFooter),
            _ => Ok(checkpoint),
        }
    }
}

/// The control record of this level of `kraft.version`.
#[must_use]
pub fn kraft_version(level: i16) -> ControlRecord {
    ControlRecord::KRaftVersion(KRaftVersionRecord { kraft_version: level, ..Default::default() })
}

/// Names of snapshot files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckpointId {
    /// The first offset that the snapshot does not stand for.
    pub end_offset: Offset,
    /// Leader epoch of the last one that it does.
    pub epoch: LeaderEpoch,
}

impl CheckpointId {
    /// The file's name: 20 and 10 digits.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{:020}-{:010}.checkpoint", self.end_offset.get(), self.epoch.get())
    }

    /// Reads the name of a whole snapshot file; `None` for everything else, such as `.part` files.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let (offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(offset, 20) || !digits(epoch, 10) {
            return None;
        }
        Some(Self { end_offset: Offset(offset.parse().ok()?), epoch: LeaderEpoch(epoch.parse().ok()?) })
    }
}
