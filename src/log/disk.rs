//! Whether the disk of a log directory can be trusted: what Kafka's `LogDirFailureChannel` is.
//!
//! The first error that says so is final until the next start. What was not flushed may never be, however often that is tried
//! again, so from then on the directory's files are neither written nor read.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// What made a log directory unusable. Shown in one line: what happened, where, and what to do.
#[derive(Debug, Clone)]
pub struct DiskFailure {
    /// The log directory.
    pub dir: PathBuf,
    /// What was tried, as a verb.
    pub action: &'static str,
    /// The file or directory that it was tried on.
    pub path: PathBuf,
    /// Bytes that were to be written, where that is known.
    pub needed: Option<u64>,
    /// Bytes that were left on the file system, and all of its bytes.
    pub room: Option<(u64, u64)>,
    /// What the system said.
    pub cause: Arc<io::Error>,
}

impl DiskFailure {
    /// What the system said of an operation in the log directory `dir`.
    #[must_use]
    pub fn new(dir: &Path, action: &'static str, path: &Path, source: &io::Error) -> Self {
        Self::of(dir, action, path, None, source)
    }

    fn of(dir: &Path, action: &'static str, path: &Path, needed: Option<u64>, error: &io::Error) -> Self {
        let cause = Arc::new(same(error));
        Self { dir: dir.to_owned(), action, path: path.to_owned(), needed, room: room(dir), cause }
    }

    fn advice(&self) -> String {
        match self.cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let missing = self.needed.map(|bytes| format!("{bytes} more bytes were needed, ")).unwrap_or_default();
                let left = self.room.map(|(left, all)| format!("{left} of {all} bytes are left; ")).unwrap_or_default();
                format!("{missing}{left}make room and start the broker again")
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "the file system is read-only: see why, mount it for writing and start the broker again".to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                "give the broker's user the right to it and start the broker again".to_owned()
            }
            _ => "check the disk and its mount, and start the broker again".to_owned(),
        }
    }
}

impl fmt::Display for DiskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dir, action, path, cause, .. } = self;
        write!(f, "log directory {} has failed: could not {action} {}: {cause}; ", dir.display(), path.display())?;
        f.write_str(&self.advice())
    }
}

/// What the system said, once more.
pub(super) fn same(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Bytes left for us and all bytes of the file system that `dir` is on.
pub(super) fn room(dir: &Path) -> Option<(u64, u64)> {
    let system = rustix::fs::statvfs(dir).ok()?;
    Some((system.f_bavail.saturating_mul(system.f_frsize), system.f_blocks.saturating_mul(system.f_frsize)))
}

/// Whether an error says that the disk can't be trusted any more, and not only that something is not there or that this
/// process has reached a limit of its own.
fn is_failure(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let limits = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
    if error.raw_os_error().is_some_and(|number| limits.contains(&number)) {
        return false;
    }
    !matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::OutOfMemory
    )
}

type Watcher = Box<dyn Fn() + Send + Sync>;

/// The disk of one log directory.
#[derive(Default)]
pub struct Disk {
    dir: PathBuf,
    failure: OnceLock<DiskFailure>,
    watcher: OnceLock<Watcher>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("dir", &self.dir).field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl Disk {
    /// The disk of the log directory `dir`, which works so far.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, ..Self::default() }
    }

    /// A disk that can't be used from the start.
    #[must_use]
    pub fn broken(failure: DiskFailure) -> Self {
        Self { dir: failure.dir.clone(), failure: failure.into(), ..Self::default() }
    }

    /// What has made it unusable.
    #[must_use]
    pub fn failure(&self) -> Option<&DiskFailure> {
        self.failure.get()
    }

    /// Names who is told of a failure, at once and in the midst of the operation that failed: it must not block. Only the first
    /// one counts.
    pub fn watch(&self, watcher: impl Fn() + Send + Sync + 'static) {
        let _ = self.watcher.set(Box::new(watcher));
        if self.failure.get().is_some() {
            self.ring();
        }
    }

    fn ring(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher();
        }
    }

    /// Considers what the system said of a file in the directory; what can't be undone makes the directory unusable. `needed` are the
    /// bytes that were to be written, where that is known.
    pub fn consider(&self, action: &'static str, path: &Path, needed: Option<u64>, error: &io::Error) {
        // After a failed flush the system may have dropped what was written: it does not matter why.
        if (is_failure(error) || action == FLUSH && error.kind() != io::ErrorKind::NotFound)
            && self.failure.get().is_none()
            && self.failure.set(DiskFailure::of(&self.dir, action, path, needed, error)).is_ok()
        {
            self.ring();
        }
    }

    /// Refuses what is to be done to a file of a directory that has failed.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.failure.get().is_some() { Err(io::Error::other("its log directory has failed")) } else { Ok(()) }
    }
}

/// The action that makes bytes durable.
pub(super) const FLUSH: &str = "flush";

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(errno: i32, action: &'static str) -> Option<String> {
        let disk = Disk::new("/data".into());
        disk.consider(action, Path::new("/data/t-0/0.log"), Some(70), &io::Error::from_raw_os_error(errno));
        assert_eq!(disk.check().is_err(), disk.failure().is_some());
        disk.failure().map(ToString::to_string)
    }

    #[test]
    fn what_ends_a_directory_and_what_to_do_then() {
        let (enoent, eio, emfile, enospc, erofs) = (2, 5, 24, 28, 30);
        assert_eq!(failed(enoent, "open"), None, "a file that was deleted");
        assert_eq!(failed(emfile, "open"), None, "a limit of the process");
        assert!(failed(emfile, FLUSH).is_some(), "a flush that failed for whatever reason");
        let full = failed(enospc, "write to").unwrap();
        let what = "log directory /data has failed: could not write to /data/t-0/0.log: No space left on device";
        assert!(full.starts_with(what) && full.contains("70 more bytes were needed"), "{full}");
        assert!(full.ends_with("make room and start the broker again"), "{full}");
        assert!(failed(erofs, "open").unwrap().contains("mount it for writing"));
        assert!(failed(eio, "read").unwrap().contains("check the disk"));
    }

    #[test]
    fn the_first_failure_counts_and_is_told_once() {
        let disk = Disk::new("/data".into());
        let told = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&told);
        disk.watch(move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        for errno in [5, 28] {
            disk.consider("write to", Path::new("/data/x"), None, &io::Error::from_raw_os_error(errno));
        }
        assert_eq!(told.load(std::sync::atomic::Ordering::Relaxed), 1);
        assert_eq!(disk.failure().unwrap().cause.raw_os_error(), Some(5));
    }
}
