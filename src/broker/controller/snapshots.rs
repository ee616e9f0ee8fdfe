//! The snapshot files beside the metadata log: finding, reading, writing, and dropping old ones.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;
use tracing::warn;

use crate::log::checkpoint::sync_directory;
use crate::metadata::{Checkpoint, CheckpointError, CheckpointId};

/// Largest snapshot that is read: far above what the limits of a cluster allow.
const MAX_SNAPSHOT_BYTES: u64 = 1 << 30;

/// Why a snapshot can't be read or written.
#[derive(Debug, Error)]
pub(in crate::broker) enum SnapshotError {
    /// The system refused it.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is damaged or not whole.
    #[error("snapshot {}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: CheckpointError,
    },
}

impl SnapshotError {
    /// What was tried, on which file, and what the system said.
    pub(in crate::broker) fn io(&self) -> Option<(&'static str, &Path, &io::Error)> {
        match self {
            Self::Io { action, path, source } => Some((action, path, source)),
            Self::Damaged { .. } => None,
        }
    }
}

/// A snapshot file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SnapshotFile {
    /// What it stands for.
    pub(super) id: CheckpointId,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its size.
    pub(super) bytes: u64,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    move |source| SnapshotError::Io { action, path: path.to_owned(), source }
}

/// The whole snapshots in `directory`, oldest first. Files of an interrupted write or removal are removed.
pub(super) fn list(directory: &Path) -> Result<Vec<SnapshotFile>, SnapshotError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed("read", directory))? {
        let entry = entry.map_err(failed("read", directory))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".checkpoint.part") || name.ends_with(".checkpoint.deleted") {
            fs::remove_file(entry.path()).map_err(failed("remove", &entry.path()))?;
        }
        let Some(id) = CheckpointId::from_file_name(name) else { continue };
        let bytes = entry.metadata().map_err(failed("read", &entry.path()))?.len();
        found.push(SnapshotFile { id, path: entry.path(), bytes });
    }
    found.sort_by_key(|file| file.id);
    Ok(found)
}

/// Reads a snapshot.
pub(super) fn read(path: &Path) -> Result<Checkpoint, SnapshotError> {
    let size = fs::metadata(path).map_err(failed("read", path))?.len();
    if size > MAX_SNAPSHOT_BYTES {
        let error = io::Error::new(io::ErrorKind::FileTooLarge, format!("{size} bytes are too many for a snapshot"));
        return Err(failed("read", path)(error));
    }
    let bytes = Bytes::from(fs::read(path).map_err(failed("read", path))?);
    Checkpoint::read(&bytes).map_err(|source| SnapshotError::Damaged { path: path.to_owned(), source })
}

/// Writes a snapshot under its name; it is whole and durable or not there.
pub(super) fn write(directory: &Path, id: CheckpointId, bytes: &[u8]) -> Result<SnapshotFile, SnapshotError> {
    let path = directory.join(id.file_name());
    let mut part = OsString::from(&path);
    part.push(".part");
    let part = PathBuf::from(part);
    let written = (|| {
        let mut file = fs::File::create(&part)?;
        file.write_all(bytes)?;
        // Order: the content before the name, the name before the log below it may go.
        file.sync_all()?;
        fs::rename(&part, &path)?;
        sync_directory(directory)
    })();
    if let Err(error) = written {
        // The next start removes what is left of it, should this fail too.
        let _ = fs::remove_file(&part);
        return Err(failed("write", &path)(error));
    }
    Ok(SnapshotFile { id, path, bytes: bytes.len() as u64 })
}

/// Removes a snapshot that a newer one replaces.
pub(super) fn remove(file: &SnapshotFile) {
    if let Err(error) = fs::remove_file(&file.path) {
        warn!(path = %file.path.display(), %error, "an old snapshot can't be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::bootstrap;
    use crate::types::{LeaderEpoch, Offset};

    #[test]
    fn only_whole_snapshots_are_listed_oldest_first() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = bootstrap::bootstrap_checkpoint(&bootstrap::default_features(), Vec::new(), 1).unwrap();
        for offset in [7, 3] {
            let id = CheckpointId { end_offset: Offset(offset), epoch: LeaderEpoch(1) };
            let file = write(directory.path(), id, &bytes).unwrap();
            assert_eq!(read(&file.path).unwrap().records.len(), 6);
        }
        let part = directory.path().join("00000000000000000009-0000000001.checkpoint.part");
        fs::write(&part, "half").unwrap();
        fs::write(directory.path().join("quorum-state"), "").unwrap();
        let offsets: Vec<_> = list(directory.path()).unwrap().iter().map(|file| file.id.end_offset.get()).collect();
        assert_eq!(offsets, [3, 7]);
        assert!(!part.exists());
    }

    #[test]
    fn a_damaged_snapshot_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let id = CheckpointId { end_offset: Offset(7), epoch: LeaderEpoch(1) };
        let file = write(directory.path(), id, b"nothing").unwrap();
        let error = read(&file.path).unwrap_err();
        assert!(error.to_string().contains("00000000000000000007-0000000001.checkpoint"), "{error}");
    }
}
