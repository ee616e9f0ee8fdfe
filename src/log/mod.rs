//! One partition on disk, and the directories that hold partitions: Kafka's files.
//!
//! Takes a configuration, bytes and the time; knows no request, no network, no clock of its own and no async. Start
//! reading in `log.rs`: [`Log`] is a partition, made of `segment.rs`, which is a file of batches with `offset_index.rs`
//! and `time_index.rs`; `recovery.rs` opens it. `directory.rs` is what stands around partitions.

pub mod check;
pub mod checkpoint;
pub mod cleaner;
pub mod directory;
pub mod directory_name;
pub mod fuzz;
pub mod meta_properties;
pub mod partition_metadata;

mod aborted;
mod append;
mod config;
mod disk;
mod epoch_cache;
mod error;
mod finding;
mod flush;
mod fs;
mod index_file;
#[expect(clippy::module_inception, reason = "the log is what this module is about")]
mod log;
mod manager;
mod moving;
mod offset_index;
mod open_segments;
mod place;
mod position_cache;
mod producer_snapshot;
mod producer_state;
mod progress;
mod read;
mod recovery;
mod replay;
mod retention;
mod scan;
mod segment;
mod swap;
mod time_index;
mod transactions;
mod truncate;
mod txn_index;
mod verification;

#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

pub use append::{AppendContext, AppendInfo, LeaderBatch};
pub use config::LogConfig;
pub use disk::{Disk, DiskFailure};
pub use epoch_cache::{EpochEnd, EpochEntry};
pub use error::{AppendError, LogError, ReadError};
pub use finding::{Finding, FindingKind, OpenReport};
pub use fs::{Fault, Faults, Fs, Operation};
pub use log::{CloseMode, Log, LogOffsets, LogOptions, Shutdown};
pub use manager::{
    DirectorySize, LogManager, LogSize, ManagerError, ManagerOptions, ManagerReport, Move, MoveRefusal, Owner,
};
pub use moving::MoveError;
pub use producer_state::{AppendOrigin, ProducerBatch, ProducerEntry};
pub use progress::{OpenProgress, OpenedSoFar};
pub use read::{LogRead, ReadLimits, TimestampedOffset};
pub use retention::{DeletedFiles, RetentionOutcome};
pub use txn_index::AbortedTransaction;
pub use verification::{Verification, VerificationGuard, VerificationWanted};
