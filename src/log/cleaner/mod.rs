//! Compaction: of each key, the newest record stays (`cleanup.policy=compact`).
//!
//! | file | what |
//! |---|---|
//! | `choice.rs` | what of a log is dirty, and whether that is worth a cleaning |
//! | `work.rs` | which log is the filthiest, what is being cleaned, what can't be; the checkpoints |
//! | `clean.rs` | one cleaning: the map of keys, groups of segments, each rewritten and swapped in |
//! | `offset_map.rs` | the newest offset of each key, in bounded memory |
//! | `filter.rs`, `transactions.rs` | which records of a batch stay, and the batch that holds them |
//! | `replace.rs` | the swap, such that a crash at any moment leaves the old segments or the new one |
//! | `throttle.rs` | how long to wait for `log.cleaner.io.max.bytes.per.second` |
//!
//! Never starts a thread, sleeps or looks at a clock: whoever runs it brings the time, and is asked at every step whether
//! to go on. Offsets never change, and neither do the log's ends.

mod choice;
mod clean;
mod filter;
mod offset_map;
mod replace;
mod throttle;
mod transactions;
mod work;

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::PathBuf;

pub use choice::Cleanable;
pub use clean::{CleanStats, Cleaned};
pub use throttle::Throttle;
pub use work::{Chosen, Cleaning, Outcome};

use super::error::LogError;
use crate::record::RecordError;

/// What a cleaning may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanOptions {
    /// Bytes of the map of keys at most; less is taken where less is dirty.
    pub dedupe_buffer_bytes: usize,
    /// How full the map may get.
    pub load_factor: f64,
    /// Bytes read at once, and as many written.
    pub io_buffer_bytes: usize,
    /// Number by which keys are hashed: any that nobody can guess.
    pub seed: u64,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
}

/// Why a cleaning came to no end. The log is as it was, or cleaned in part, which is as good.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// It was told to stop.
    #[error("interrupted")]
    Interrupted,
    /// The log was cut or its segments were deleted meanwhile.
    #[error("the log was changed")]
    Changed,
    /// The disk or the log's files.
    #[error(transparent)]
    Storage(#[from] LogError),
    /// A batch can't be read: cleaning it would give what is left of it a good checksum.
    #[error("{}: the batch at byte {position} can't be cleaned", path.display())]
    Record {
        /// The segment file.
        path: PathBuf,
        /// Where in the file.
        position: u64,
        /// What is wrong.
        #[source]
        source: RecordError,
    },
}

/// Asked with the bytes that were read or written since the last time: whether to go on. It may sleep.
pub type Pace<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

fn go_on(pace: &mut Pace<'_>, bytes: u64) -> Result<(), CleanError> {
    if pace(bytes).is_break() { Err(CleanError::Interrupted) } else { Ok(()) }
}
