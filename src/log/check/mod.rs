//! Looking at data directories without touching them: for people, and for tools that people use.
//!
//! Never writes, repairs or locks anything, and takes no more memory for a large file than for a small one. Start reading at
//! [`check_partition`] in `partition.rs`, which goes over segments (`segment.rs`) and holds indexes (`index.rs`) and producers
//! (`producers.rs`) against them; `directory.rs` is what stands around partitions, `fault.rs` what can be found.
//! `reader.rs` and `files.rs` read files for dump-log too.

mod directory;
mod fault;
mod files;
mod index;
mod partition;
mod producers;
mod reader;
mod segment;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use super::error::LogError;

pub use directory::{DirectoryState, check_directory, check_together};
pub use fault::{Fault, FaultKind, Severity};
pub use files::{
    ProducerInSnapshot, SnapshotDefect, producers, read_aborted_transaction, read_index_entry, read_time_index_entry,
};
pub use partition::{PartitionExpectation, PartitionSummary, check_partition};
pub use reader::FileReader;

/// Reads a whole file of at most `limit` bytes; `None` if there is none.
fn small_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, LogError> {
    let mut reader = match FileReader::open(path) {
        Ok(reader) => reader,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = reader.size();
    if size > limit {
        let too_large = io::Error::new(io::ErrorKind::FileTooLarge, "unexpectedly large");
        return Err(LogError::io("read", path, too_large));
    }
    Ok(Some(reader.bytes(0, size as usize)?.to_vec()))
}
