//! The thin seam to the disk: all that a log does to files goes through here, so that tests can break it.
//!
//! Never interprets what it reads or writes, and never retries what failed.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustix::buffer::spare_capacity;

use super::disk::{Disk, DiskFailure};
use super::error::LogError;

/// What is about to be done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Opening or creating.
    Open,
    /// Reading this many bytes.
    Read(usize),
    /// Writing this many bytes.
    Write(usize),
    /// Flushing to the device.
    Sync,
    /// Setting the size.
    SetLen(u64),
    /// Setting the time of the last change.
    SetModified,
    /// Giving another name.
    Rename,
    /// Deleting.
    Remove,
}

/// What happens to it instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is done.
    None,
    /// It fails with this `errno`.
    Fail(i32),
    /// A write that stores only this many bytes, without an error.
    Short(usize),
}

/// Decides which operations fail; production has none.
pub trait Faults: Send + Sync {
    /// Asked before each operation.
    fn before(&self, operation: Operation, path: &Path) -> Fault;
}

/// The way to the files of a log.
#[derive(Clone, Default)]
pub struct Fs {
    faults: Option<Arc<dyn Faults>>,
    /// The disk that the files are on: told of errors, and asked before everything.
    disk: Option<Arc<Disk>>,
}

impl fmt::Debug for Fs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fs").field("faulty", &self.faults.is_some()).finish()
    }
}

impl Fs {
    /// A disk whose operations `faults` may break.
    #[must_use]
    pub fn with_faults(faults: Arc<dyn Faults>) -> Self {
        Self { faults: Some(faults), disk: None }
    }

    /// The files of the log directory that `disk` is the disk of.
    #[must_use]
    pub fn on(self, disk: Arc<Disk>) -> Self {
        Self { disk: Some(disk), ..self }
    }

    /// What has made the disk unusable.
    #[must_use]
    pub fn failure(&self) -> Option<&DiskFailure> {
        self.disk.as_ref()?.failure()
    }

    /// Considers what the system said of a file that is not reached through here.
    pub fn consider(&self, action: &'static str, path: &Path, error: &io::Error) {
        if let Some(disk) = &self.disk {
            disk.consider(action, path, None, error);
        }
    }

    /// What the system said, which may mean that the whole disk can't be trusted.
    fn error(&self, action: &'static str, path: &Path, error: io::Error) -> LogError {
        self.write_error(action, path, None, error)
    }

    fn write_error(&self, action: &'static str, path: &Path, bytes: Option<u64>, error: io::Error) -> LogError {
        if let Some(disk) = &self.disk {
            disk.consider(action, path, bytes, &error);
        }
        LogError::io(action, path, error)
    }

    fn check(&self, operation: Operation, path: &Path) -> io::Result<Option<usize>> {
        // What only takes bytes away is done all the same: a torn write is not left behind where that can be helped.
        if !matches!(operation, Operation::SetLen(_) | Operation::Remove)
            && let Some(disk) = &self.disk
        {
            disk.check()?;
        }
        match self.faults.as_ref().map_or(Fault::None, |f| f.before(operation, path)) {
            Fault::None => Ok(None),
            Fault::Fail(errno) => Err(io::Error::from_raw_os_error(errno)),
            Fault::Short(bytes) => Ok(Some(bytes)),
        }
    }

    /// Opens a file for reading and writing; creates it if it is not there and `create` says so.
    pub(super) fn open(&self, path: PathBuf, create: Create) -> Result<LogFile, LogError> {
        let opened = self.check(Operation::Open, &path).and_then(|_| {
            let mut options = OpenOptions::new();
            options.read(true).write(true);
            match create {
                Create::No => {}
                Create::IfMissing => {
                    options.create(true);
                }
                Create::Empty => {
                    options.create(true).truncate(true);
                }
            }
            options.open(&path)
        });
        match opened {
            Ok(file) => Ok(LogFile { file, path, fs: self.clone() }),
            Err(e) => Err(self.error("open", &path, e)),
        }
    }

    /// Opens a file that is only looked at, and may be on a file system that can't be written to.
    pub(super) fn open_to_read(&self, path: &Path) -> Result<LogFile, LogError> {
        match self.check(Operation::Open, path).and_then(|_| File::open(path)) {
            Ok(file) => Ok(LogFile { file, path: path.to_owned(), fs: self.clone() }),
            Err(e) => Err(LogError::io("open", path, e)),
        }
    }

    /// The names in a directory; directories among them are left out.
    pub(super) fn list(&self, dir: &Path) -> Result<Vec<String>, LogError> {
        let list = || -> io::Result<Vec<String>> {
            self.check(Operation::Open, dir)?;
            let mut names = Vec::new();
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                // All names of ours are ASCII; others are none of our business.
                if let Ok(name) = entry.file_name().into_string()
                    && !entry.file_type()?.is_dir()
                {
                    names.push(name);
                }
            }
            Ok(names)
        };
        list().map_err(|e| self.error("list", dir, e))
    }

    /// Creates a directory and those above it.
    pub(super) fn create_dir(&self, dir: &Path) -> Result<(), LogError> {
        self.check(Operation::Open, dir).and_then(|_| fs::create_dir_all(dir)).map_err(|e| self.error("create", dir, e))
    }

    /// Size of a file and, in milliseconds since 1970, when it was last written.
    pub(super) fn metadata(&self, path: &Path) -> Result<FileMetadata, LogError> {
        let metadata = self
            .check(Operation::Open, path)
            .and_then(|_| fs::metadata(path))
            .map_err(|e| self.error("read", path, e))?;
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified_ms = modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Ok(FileMetadata { size: metadata.len(), modified_ms })
    }

    /// Reads a whole file of at most `limit` bytes; `None` if there is none.
    pub(super) fn read_small(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, LogError> {
        let file = match self.open(path.to_owned(), Create::No) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e),
        };
        // Most are a few lines, which one call tells: a start reads several of them for each log.
        let mut block = [0; SMALL_BLOCK];
        let read = file.read_at_once(&mut block)?;
        if let Some(whole) = block.get(..read).filter(|_| read < SMALL_BLOCK && read as u64 <= limit) {
            return Ok(Some(whole.to_vec()));
        }
        let size = file.size()?;
        if size > limit {
            return Err(LogError::io("read", path, io::Error::new(io::ErrorKind::FileTooLarge, "unexpectedly large")));
        }
        let mut bytes = Vec::new();
        file.read_append(&mut bytes, size as usize, 0)?;
        Ok(Some(bytes))
    }

    /// Up to `limit` bytes from the beginning of a file, which may be on a file system that can't be written to; `None` if there is no
    /// such file.
    pub(super) fn read_start(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let read = || -> io::Result<Vec<u8>> {
            self.check(Operation::Open, path)?;
            let file = File::open(path)?;
            self.check(Operation::Read(usize::try_from(limit).unwrap_or(usize::MAX)), path)?;
            // Half a page comes in one piece; a call that asks for more and gets none is saved for most files.
            let mut block = [0; 2048];
            let read = read_once(&file, &mut block)?;
            let mut bytes = block.get(..read).unwrap_or_default().to_vec();
            if read == block.len() {
                file.take(limit.saturating_sub(read as u64)).read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => {
                self.consider("read", path, &e);
                Err(e)
            }
        }
    }

    /// The names in a directory, with whether each is that of a directory, by itself or by a link.
    pub(super) fn list_all(&self, dir: &Path) -> io::Result<Vec<(OsString, bool)>> {
        self.check(Operation::Open, dir)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let mut file_type = entry.file_type()?;
            if file_type.is_symlink() {
                file_type = fs::metadata(entry.path())?.file_type();
            }
            names.push((entry.file_name(), file_type.is_dir()));
        }
        Ok(names)
    }

    /// Deletes a directory with all that is in it; one that is not there is fine.
    pub(super) fn remove_dir_all(&self, dir: &Path) -> Result<(), LogError> {
        match self.check(Operation::Remove, dir).and_then(|_| fs::remove_dir_all(dir)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.error("remove", dir, e)),
            _ => Ok(()),
        }
    }

    /// Writes a small file anew; it becomes durable with a later [`LogFile::sync`].
    pub(super) fn write_small(&self, path: &Path, bytes: &[u8]) -> Result<LogFile, LogError> {
        let file = self.open(path.to_owned(), Create::Empty)?;
        file.write_all_at(bytes, 0)?;
        Ok(file)
    }

    /// As [`Self::replace`], but durable only once the caller has flushed the file system.
    pub(super) fn replace_unsynced(&self, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
        let temporary = path.with_added_extension("tmp");
        self.write_small(&temporary, bytes)?;
        self.rename(&temporary, path)
    }

    /// Puts `bytes` in the place of a file: after a crash at any moment there is the old content or the new.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
        let temporary = path.with_added_extension("tmp");
        // Order: the content is on disk before the name points to it.
        self.write_small(&temporary, bytes)?.sync()?;
        self.rename(&temporary, path)?;
        match path.parent() {
            Some(dir) => self.sync_dir(dir),
            None => Ok(()),
        }
    }

    /// Makes the names in a directory durable.
    pub(super) fn sync_dir(&self, dir: &Path) -> Result<(), LogError> {
        self.check(Operation::Sync, dir)
            .and_then(|_| File::open(dir)?.sync_all())
            .map_err(|e| self.error("flush", dir, e))
    }

    /// Whether [`Self::sync_file_system`] says what has failed: Linux does since 5.8, other systems do not.
    pub(super) fn can_sync_file_systems() -> bool {
        cfg!(target_os = "linux") && tells_failed_write_backs(rustix::system::uname().release().to_str().unwrap_or(""))
    }

    /// Makes durable all that was written to the file system of `file`, which lies in `dir`. Write-backs count that have failed since
    /// `file` was opened, and earlier ones that nobody was told of.
    pub(super) fn sync_file_system(&self, file: &File, dir: &Path) -> Result<(), LogError> {
        self.check(Operation::Sync, dir).and_then(|_| sync_file_system(file)).map_err(|e| self.error("flush", dir, e))
    }

    /// Gives a file or directory another name.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), LogError> {
        self.check(Operation::Rename, from)
            .and_then(|_| fs::rename(from, to))
            .map_err(|e| self.error("rename", from, e))
    }

    /// Deletes a file; one that is not there is fine.
    pub(super) fn remove(&self, path: &Path) -> Result<(), LogError> {
        match self.check(Operation::Remove, path).and_then(|_| fs::remove_file(path)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.error("delete", path, e)),
            _ => Ok(()),
        }
    }
}

/// What is read of a small file at first: less than a page, so that it is not read in parts.
const SMALL_BLOCK: usize = 1024;

/// Whether opening may create the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Create {
    /// It must be there.
    No,
    /// It is created when missing.
    IfMissing,
    /// It is created, or emptied.
    Empty,
}

/// What a directory entry says of its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileMetadata {
    pub(super) size: u64,
    pub(super) modified_ms: i64,
}

/// An open file of a log, read and written at positions.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    path: PathBuf,
    fs: Fs,
}

impl LogFile {
    /// The same open file once more.
    pub(super) fn try_clone(&self) -> Result<Self, LogError> {
        let file = self.file.try_clone().map_err(|e| LogError::io("open", &self.path, e))?;
        Ok(Self { file, path: self.path.clone(), fs: self.fs.clone() })
    }

    /// Its size on disk.
    pub(super) fn size(&self) -> Result<u64, LogError> {
        self.file.metadata().map(|m| m.len()).map_err(|e| self.fs.error("read", &self.path, e))
    }

    /// Reads the beginning of the file with one call; returns how much. Less than a page of a file comes in one piece.
    fn read_at_once(&self, buffer: &mut [u8; SMALL_BLOCK]) -> Result<usize, LogError> {
        let mut read = || -> io::Result<usize> {
            self.fs.check(Operation::Read(buffer.len()), &self.path)?;
            loop {
                match self.file.read_at(buffer, 0) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    other => return other,
                }
            }
        };
        read().map_err(|e| self.fs.error("read", &self.path, e))
    }

    /// Fills `buffer` from `position` as far as the file goes; returns how far.
    pub(super) fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, LogError> {
        let mut read = || -> io::Result<usize> {
            self.fs.check(Operation::Read(buffer.len()), &self.path)?;
            let mut filled = 0;
            while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match self.file.read_at(rest, position + filled as u64) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(filled)
        };
        read().map_err(|e| self.fs.error("read", &self.path, e))
    }

    /// Appends up to `length` bytes from `position` to `buffer`, fewer only where the file ends.
    ///
    /// The caller has bounded `length` by the file's size, so memory is taken at once.
    pub(super) fn read_append(&self, buffer: &mut Vec<u8>, length: usize, position: u64) -> Result<(), LogError> {
        let mut read = || -> io::Result<()> {
            self.fs.check(Operation::Read(length), &self.path)?;
            buffer.reserve_exact(length);
            let end = buffer.len() + length;
            let mut position = position;
            while buffer.len() < end {
                // The vector may have more room than was asked for; what is read beyond `end` is cut off below.
                match rustix::io::pread(&self.file, spare_capacity(buffer), position) {
                    Ok(0) => break,
                    Ok(n) => position += n as u64,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            buffer.truncate(end);
            Ok(())
        };
        read().map_err(|e| self.fs.error("read", &self.path, e))
    }

    /// Writes all of `bytes` at `position`.
    pub(super) fn write_all_at(&self, bytes: &[u8], position: u64) -> Result<(), LogError> {
        self.write_vectored_at(&mut [IoSlice::new(bytes)], position)
    }

    /// Writes all of the slices, one after the other, from `position` on: one system call unless the disk stores less
    /// than it was given.
    pub(super) fn write_vectored_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> Result<(), LogError> {
        let total = slices.iter().map(|s| s.len() as u64).sum();
        write_slices(slices, position, |slices, position| {
            let length = slices.iter().map(|s| s.len()).sum();
            match self.fs.check(Operation::Write(length), &self.path)? {
                None => Ok(rustix::io::pwritev(&self.file, slices, position)?),
                Some(limit) => {
                    let some = slices.first().map_or(&[][..], |s| &s[..limit.min(s.len())]);
                    Ok(rustix::io::pwrite(&self.file, some, position)?)
                }
            }
        })
        .map_err(|e| self.fs.write_error("write to", &self.path, Some(total), e))
    }

    /// Cuts or extends the file; what is added reads as zeros and takes no space.
    pub(super) fn set_len(&self, size: u64) -> Result<(), LogError> {
        self.fs
            .check(Operation::SetLen(size), &self.path)
            .and_then(|_| self.file.set_len(size))
            .map_err(|e| self.fs.error("set the size of", &self.path, e))
    }

    /// Sets when it was last written, in milliseconds since 1970.
    pub(super) fn set_modified(&self, modified_ms: i64) -> Result<(), LogError> {
        let modified = UNIX_EPOCH + Duration::from_millis(u64::try_from(modified_ms).unwrap_or_default());
        self.fs
            .check(Operation::SetModified, &self.path)
            .and_then(|_| self.file.set_modified(modified))
            .map_err(|e| self.fs.error("set the time of", &self.path, e))
    }

    /// Makes the content durable.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.fs
            .check(Operation::Sync, &self.path)
            .and_then(|_| self.file.sync_data())
            .map_err(|e| self.fs.error("flush", &self.path, e))
    }
}

/// Whether the Linux of a release has `syncfs` tell of write-backs that have failed.
fn tells_failed_write_backs(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(8))
}

#[cfg(target_os = "linux")]
fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(file: &File) -> io::Result<()> {
    file.sync_all()
}

fn read_once(mut file: &File, block: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(block) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Most slices that one `pwritev` takes on Linux (`IOV_MAX`).
const MAX_SLICES: usize = 1024;

fn write_slices(
    mut slices: &mut [IoSlice<'_>],
    mut position: u64,
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<()> {
    // Empty slices at the front are dropped, so that a written length of 0 means that the disk takes nothing.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let some = slices.get(..MAX_SLICES).unwrap_or(slices);
        match write(some, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                position += n as u64;
                IoSlice::advance_slices(&mut slices, n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod test_faults {
    //! A disk that breaks when told to.

    use std::sync::Mutex;

    use super::*;

    type Rule = Box<dyn FnMut(Operation, &Path) -> Fault + Send>;

    /// Faults decided by a closure that can be replaced while the log runs.
    #[derive(Default)]
    pub(crate) struct Switch(Mutex<Option<Rule>>);

    impl Switch {
        pub(crate) fn set(&self, rule: impl FnMut(Operation, &Path) -> Fault + Send + 'static) {
            *self.0.lock().unwrap() = Some(Box::new(rule));
        }

        pub(crate) fn clear(&self) {
            *self.0.lock().unwrap() = None;
        }
    }

    impl Faults for Switch {
        fn before(&self, operation: Operation, path: &Path) -> Fault {
            self.0.lock().unwrap().as_mut().map_or(Fault::None, |rule| rule(operation, path))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_writes_are_continued() {
        let dir = tempfile::tempdir().unwrap();
        let switch = Arc::new(test_faults::Switch::default());
        let fs = Fs::with_faults(switch.clone());
        let file = fs.open(dir.path().join("f"), Create::IfMissing).unwrap();
        switch.set(|op, _| if matches!(op, Operation::Write(n) if n > 1) { Fault::Short(2) } else { Fault::None });
        let mut slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdefg"), IoSlice::new(b"")];
        file.write_vectored_at(&mut slices, 3).unwrap();
        let mut found = Vec::new();
        file.read_append(&mut found, 100, 0).unwrap();
        assert_eq!(found, b"\0\0\0abcdefg");
    }

    #[test]
    fn a_disk_that_takes_nothing_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let switch = Arc::new(test_faults::Switch::default());
        let fs = Fs::with_faults(switch.clone());
        let file = fs.open(dir.path().join("f"), Create::IfMissing).unwrap();
        switch.set(|op, _| if matches!(op, Operation::Write(_)) { Fault::Short(0) } else { Fault::None });
        assert!(matches!(file.write_all_at(b"x", 0), Err(LogError::Io { .. })));
    }

    #[test]
    fn reads_append_no_more_than_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let fs = Fs::default();
        let file = fs.write_small(&dir.path().join("f"), b"0123456789").unwrap();
        let mut buffer = Vec::with_capacity(64);
        buffer.push(b'>');
        file.read_append(&mut buffer, 3, 2).unwrap();
        assert_eq!(buffer, b">234");
        file.read_append(&mut buffer, 30, 8).unwrap();
        assert_eq!(buffer, b">23489");
    }

    #[test]
    fn file_systems_are_flushed_at_once_where_that_tells_of_failures() {
        for release in ["5.8.0", "5.10", "6.18.44-fc-v595", "10.0.0"] {
            assert!(tells_failed_write_backs(release), "{release}");
        }
        for release in ["4.18.0-553.el8_10.x86_64", "5.7.19", "5", "", "unknown"] {
            assert!(!tells_failed_write_backs(release), "{release}");
        }
    }

    #[test]
    fn replacing_leaves_no_other_file() {
        let dir = tempfile::tempdir().unwrap();
        let fs = Fs::default();
        let path = dir.path().join("leader-epoch-checkpoint");
        fs.replace(&path, b"one").unwrap();
        fs.replace(&path, b"two").unwrap();
        assert_eq!(fs.read_small(&path, 10).unwrap().unwrap(), b"two");
        assert!(fs.read_small(&path, 2).is_err());
        assert_eq!(fs.list(dir.path()).unwrap(), ["leader-epoch-checkpoint"]);
    }
}
