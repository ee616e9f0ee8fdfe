//! What can be found wrong in a data directory.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; no fault.
    Info,
    /// A broker mends it, refuses to start because of it, or answers wrongly.
    Warning,
    /// Records are gone or can't be read.
    DataLoss,
}

impl Severity {
    /// Its name, for people and programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::DataLoss => "data-loss",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal $severity:ident,)*) => {
        /// The kinds of faults.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl FaultKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its name: stable, for programs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// How bad it is where nothing makes it better.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$kind => Severity::$severity,)*
                }
            }
        }
    };
}

kinds! {
    /// The last write is not whole.
    TornEnd "torn-end" Warning,
    /// The log was closed, or its end was known to be on disk, and yet it is not whole.
    TornAfterClose "torn-after-close" DataLoss,
    /// A stretch of a segment is no sound batch.
    Damaged "damaged" DataLoss,
    /// Offsets are missing.
    Hole "hole" DataLoss,
    /// The log ends before the recovery point or high watermark.
    ShorterThanKnown "shorter-than-known" DataLoss,
    /// The log start offset is behind the end.
    StartBehindEnd "start-behind-end" Warning,
    /// The cleaner's checkpoint is behind the end.
    CleanerBehindEnd "cleaner-behind-end" Warning,
    /// An offset index does not agree with its log.
    OffsetIndex "offset-index" Warning,
    /// A time index does not agree with its log.
    TimeIndex "time-index" Warning,
    /// A transaction index does not agree with its log, or is missing.
    TxnIndex "txn-index" Warning,
    /// An index is missing.
    IndexMissing "index-missing" Warning,
    /// An index without a log.
    OrphanIndex "orphan-index" Warning,
    /// A snapshot of producers is damaged.
    BadSnapshot "bad-snapshot" Warning,
    /// A snapshot of producers does not agree with the log.
    SnapshotMismatch "snapshot-mismatch" Warning,
    /// No snapshot of producers where one should be.
    SnapshotMissing "snapshot-missing" Warning,
    /// The epochs' file is malformed.
    BadEpochs "bad-epochs" Warning,
    /// The epochs' file contradicts the batches.
    EpochMismatch "epoch-mismatch" Warning,
    /// `partition.metadata` is missing or malformed.
    PartitionMetadata "partition-metadata" Warning,
    /// The topic id is another one than the cluster's metadata say.
    TopicId "topic-id" Warning,
    /// What an unfinished compaction or deletion left.
    Leftover "leftover" Info,
    /// Segments that were put aside by a broker.
    KeptAside "kept-aside" Info,
    /// A partition on its way out.
    Deleted "deleted-partition" Info,
    /// A copy of a partition on its way to another directory.
    Future "future-partition" Info,
    /// A partition that no topic owns.
    Stray "stray-partition" Warning,
    /// A directory that is no partition's.
    Foreign "foreign-directory" Warning,
    /// A partition that is in two directories.
    Duplicate "duplicate-partition" Warning,
    /// A partition that the cluster's metadata place here, and that is not here.
    Missing "missing-partition" DataLoss,
    /// A checkpoint is malformed.
    BadCheckpoint "bad-checkpoint" Warning,
    /// `meta.properties` is missing, malformed or contradicts that of another directory.
    Identity "identity" Warning,
    /// A snapshot of the cluster's metadata can't be read.
    MetadataSnapshot "metadata-snapshot" Warning,
    /// A record of the cluster's metadata can't be read.
    MetadataRecord "metadata-record" DataLoss,
    /// The metadata log begins behind what its snapshots hold.
    MetadataGap "metadata-gap" DataLoss,
    /// `quorum-state` is missing, malformed or contradicts the log.
    QuorumState "quorum-state" Warning,
    /// A file or directory can't be read.
    Unreadable "unreadable" DataLoss,
    /// The broker was killed, or is still running.
    NotClosed "not-closed" Info,
    /// A broker is running on the directory.
    InUse "in-use" Info,
}

/// Something found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub kind: FaultKind,
    /// How bad it is.
    pub severity: Severity,
    /// The file or directory.
    pub path: PathBuf,
    /// The byte in the file.
    pub position: Option<u64>,
    /// Offsets that are lost: the first, and the one after the last.
    pub lost: Option<(i64, i64)>,
    /// What is wrong, in words.
    pub text: String,
}

impl Fault {
    /// A fault of this kind in a file or directory.
    #[must_use]
    pub fn new(kind: FaultKind, path: &Path, text: impl fmt::Display) -> Self {
        Self {
            kind,
            severity: kind.severity(),
            path: path.to_owned(),
            position: None,
            lost: None,
            text: text.to_string(),
        }
    }

    /// At this byte.
    #[must_use]
    pub fn at(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }

    /// With these offsets lost.
    #[must_use]
    pub fn losing(mut self, from: i64, to: i64) -> Self {
        self.lost = Some((from, to));
        self
    }

    /// Of this severity.
    #[must_use]
    pub fn as_severe_as(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(position) = self.position {
            write!(f, ": byte {position}")?;
        }
        write!(f, ": {}", self.text)?;
        match self.lost {
            Some((from, to)) if to == i64::MAX => write!(f, " (offsets from {from} on)"),
            Some((from, to)) => write!(f, " (offsets {from} up to {to})"),
            None => Ok(()),
        }
    }
}
