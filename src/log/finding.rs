//! What was not as it should be in a log, and where: what opening it tells.

use std::fmt;
use std::path::PathBuf;

use super::recovery::KEPT;
use crate::types::Offset;

/// What was found when a log was opened.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Segments that were checked batch by batch.
    pub recovered_segments: usize,
    /// Bytes of a torn end that were cut.
    pub truncated_bytes: u64,
    /// What somebody should know of.
    pub findings: Vec<Finding>,
}

/// Something that was not as it should be, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, or the partition's directory.
    pub path: PathBuf,
    /// What was found.
    pub kind: FindingKind,
}

/// What can be wrong in a log without making it unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKind {
    /// The last write was torn; what there was of it is cut off.
    TornEnd {
        /// Where the log ends now.
        position: u64,
        /// Bytes cut off.
        bytes: u64,
        /// The offset that the log ends at now.
        offset: Offset,
    },
    /// Records can't be read any more.
    Damaged {
        /// Where the damage begins.
        position: u64,
        /// Bytes up to the next sound batch.
        bytes: u64,
        /// First offset that is lost.
        from: Offset,
        /// First offset that can be read again.
        to: Offset,
        /// What is wrong.
        reason: &'static str,
    },
    /// Offsets are missing between segments.
    Hole {
        /// First offset that is missing.
        from: Offset,
        /// First offset after the hole.
        to: Offset,
    },
    /// The log was said to be closed, but its end is not whole.
    NotClean {
        /// What contradicts it.
        reason: &'static str,
    },
    /// The log ends before the offset up to which it was known to be on disk.
    ShorterThanKnown {
        /// The recovery point.
        known: Offset,
        /// Where it ends.
        end: Offset,
    },
    /// The log was said to begin behind its end; its segments are kept under other names, and it goes on there.
    StartBehindEnd {
        /// The log start offset from the checkpoint.
        start: Offset,
        /// Where the log ended.
        end: Offset,
        /// Segments put aside.
        segments: usize,
    },
    /// The epochs' file was no good, and was made anew from the batches.
    EpochsRebuilt {
        /// The line that is wrong; none if it is not one alone.
        line: Option<usize>,
    },
    /// Nothing says any more where the log begins, but the epochs' file does not reach back to its first records: these
    /// were deleted, and stay so.
    StartFromEpochs {
        /// Where the log begins now.
        start: Offset,
    },
    /// A snapshot of the producers was no good, and is not used.
    BadSnapshot,
    /// There was no snapshot of the producers where one should be; the log was replayed.
    ProducersRebuilt,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.kind {
            FindingKind::TornEnd { position, bytes, offset } => {
                write!(f, "{bytes} bytes of a torn write cut off at byte {position}, the log ends at offset {offset}")
            }
            FindingKind::Damaged { position, bytes, from, to, reason } => write!(
                f,
                "{reason}: {bytes} bytes from byte {position} on, offsets {from} up to {to} can't be read and are kept"
            ),
            FindingKind::Hole { from, to } => write!(f, "offsets {from} up to {to} are missing"),
            FindingKind::NotClean { reason } => {
                write!(f, "{reason} at the end of a log that was closed, checking it")
            }
            FindingKind::ShorterThanKnown { known, end } => {
                write!(f, "the log ends at offset {end}, but was on disk up to {known}")
            }
            FindingKind::StartBehindEnd { start, end, segments } => write!(
                f,
                "the log start offset {start} is behind the log end {end}; {segments} segments are kept as *.{KEPT}, \
                 the log goes on at {start}"
            ),
            FindingKind::EpochsRebuilt { line: Some(line) } => {
                write!(f, "line {line} is wrong; made anew from the batches in the log")
            }
            FindingKind::EpochsRebuilt { line: None } => {
                f.write_str("does not fit the log; made anew from the batches in it")
            }
            FindingKind::StartFromEpochs { start } => write!(
                f,
                "its start offset is not noted any more; by its leader epochs it begins at {start}, what is before was deleted"
            ),
            FindingKind::BadSnapshot => f.write_str("not a whole snapshot of producers, not used"),
            FindingKind::ProducersRebuilt => {
                f.write_str("no snapshot of producers at the log end, the log was replayed")
            }
        }
    }
}
