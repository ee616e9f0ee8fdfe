//! Where a partition's files are: a directory that may be renamed while files in it are being opened.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::error::LogError;
use super::fs::{Create, Fs, LogFile};

/// Extensions of the files of a segment.
pub(super) mod extension {
    pub(in crate::log) const LOG: &str = "log";
    pub(in crate::log) const OFFSET_INDEX: &str = "index";
    pub(in crate::log) const TIME_INDEX: &str = "timeindex";
    pub(in crate::log) const TXN_INDEX: &str = "txnindex";
    pub(in crate::log) const SNAPSHOT: &str = "snapshot";
    pub(in crate::log) const DELETED: &str = "deleted";
    pub(in crate::log) const CLEANED: &str = "cleaned";
    pub(in crate::log) const SWAP: &str = "swap";
}

/// The name of a segment's file: its base offset in 20 digits, so that names sort as offsets do.
pub(super) fn file_name(base_offset: i64, extension: &str) -> String {
    format!("{base_offset:020}.{extension}")
}

/// The base offset and the rest after the dot in a segment's file name; `None` for other files.
pub(super) fn parse_file_name(name: &str) -> Option<(i64, &str)> {
    let (digits, extension) = name.split_once('.')?;
    // Invariant: exactly the names that `file_name` makes are ours, so no two names mean one file.
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, extension))
}

/// A partition's directory and the way to it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) fs: Fs,
    /// Shared by the places of one directory, so that a renaming holds for all of them.
    dir: Arc<RwLock<PathBuf>>,
    /// What every name in it ends with.
    suffix: &'static str,
}

impl Place {
    pub(super) fn new(fs: Fs, dir: PathBuf) -> Self {
        Self { fs, dir: Arc::new(RwLock::new(dir)), suffix: "" }
    }

    /// The same directory, in which every name gets this suffix: where compaction writes what is not part of the log yet.
    pub(super) fn with_suffix(&self, suffix: &'static str) -> Self {
        Self { fs: self.fs.clone(), dir: Arc::clone(&self.dir), suffix }
    }

    /// The directory as it is named now.
    pub(super) fn dir(&self) -> PathBuf {
        self.dir.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Path of a file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path_in(&self.dir.read().unwrap_or_else(PoisonError::into_inner), name)
    }

    fn path_in(&self, dir: &Path, name: &str) -> PathBuf {
        if self.suffix.is_empty() { dir.join(name) } else { dir.join(format!("{name}{}", self.suffix)) }
    }

    /// Opens a file in it.
    pub(super) fn open(&self, name: &str, create: Create) -> Result<LogFile, LogError> {
        // The lock is held while opening: a renaming waits, so the name is right.
        let dir = self.dir.read().unwrap_or_else(PoisonError::into_inner);
        self.fs.open(self.path_in(&dir, name), create)
    }

    /// Renames the directory; open files stay open.
    pub(super) fn rename_dir(&self, to: &Path) -> Result<(), LogError> {
        let mut dir = self.dir.write().unwrap_or_else(PoisonError::into_inner);
        self.fs.rename(&dir, to)?;
        to.clone_into(&mut dir);
        Ok(())
    }

    /// Renames a file in it, by its whole names; one that is not there is fine. Returns the new path if it was.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<Option<PathBuf>, LogError> {
        let dir = self.dir.read().unwrap_or_else(PoisonError::into_inner);
        let to = dir.join(to);
        match self.fs.rename(&dir.join(from), &to) {
            Ok(()) => Ok(Some(to)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Deletes a file in it; one that is not there is fine.
    pub(super) fn remove(&self, name: &str) -> Result<(), LogError> {
        self.fs.remove(&self.path(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        assert_eq!(file_name(42, extension::LOG), "00000000000000000042.log");
        assert_eq!(parse_file_name("00000000000000000042.log"), Some((42, "log")));
        assert_eq!(parse_file_name("00000000000000000042.log.swap"), Some((42, "log.swap")));
        assert_eq!(parse_file_name("09223372036854775807.index"), Some((i64::MAX, "index")));
        for other in ["leader-epoch-checkpoint", "42.log", "+0000000000000000042.log", "99999999999999999999.log", ""] {
            assert_eq!(parse_file_name(other), None, "{other}");
        }
    }
}
