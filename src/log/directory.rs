//! One log directory of a broker: who may use it, whose it is, how it was left, and what is in it.
//!
//! A directory is taken in steps, which the types keep in order: [`LockedDirectory::acquire`] excludes other brokers,
//! then the identity is checked, then the logs are loaded by the manager.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FlockOperation;

use super::checkpoint::{self, TextFileError};
use super::directory_name::DirectoryKind;
use super::meta_properties::{self, IdentityError, MetaProperties};
use super::{Disk, DiskFailure, Faults, Fs, LogError, disk};
use crate::types::{NodeId, TopicPartition, Uuid};

const LOCK_FILE: &str = ".lock";
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// A log directory that can't be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The disk refused.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried: `read`, `create`, ...
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another broker runs on it.
    #[error("{} is in use by another broker{}", path.display(), by_process(*pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that holds the lock, if the system tells.
        pid: Option<i32>,
    },
    /// There is a file of this name.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// It has data in it, but nothing that says whose.
    #[error(
        "{} is not empty and has no {}; name another directory, or move what is in it away",
        path.display(), meta_properties::FILE_NAME
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// `format` met a directory that is formatted.
    #[error("{} is already formatted", path.display())]
    AlreadyFormatted {
        /// The directory.
        path: PathBuf,
    },
    /// A directory in it is not a partition's.
    #[error(
        "{} is not the directory of a partition (`topic-number`); move it out of the log directory",
        path.display()
    )]
    Foreign {
        /// The directory that does not belong there.
        path: PathBuf,
    },
    /// Two log directories hold a log of one partition.
    #[error("{partition} has a log in {} and in {}; move one of them away", first.display(), second.display())]
    Duplicate {
        /// The partition.
        partition: TopicPartition,
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The directories do not belong together, or not to this node.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A file that can't be found again from the logs is damaged.
    #[error(transparent)]
    TextFile(#[from] TextFileError),
}

fn by_process(pid: Option<i32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl From<LogError> for DirectoryError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io { action, path, source } => Self::Io { action, path, source: disk::same(&source) },
            other => Self::Io { action: "use", path: PathBuf::new(), source: io::Error::other(other) },
        }
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    move |source| DirectoryError::Io { action, path: path.to_owned(), source }
}

/// What is at the path of a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryContent {
    /// Nothing.
    Missing,
    /// A directory without data.
    Empty,
    /// A directory that belongs to a node.
    Formatted(MetaProperties),
    /// A directory with something in it, but without `meta.properties`.
    Unformatted,
}

/// Looks at what is at `path`, and changes nothing.
///
/// # Errors
/// It is not a directory, can't be read, or its `meta.properties` is damaged.
pub fn inspect(path: &Path) -> Result<DirectoryContent, DirectoryError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(DirectoryContent::Missing),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            return Err(DirectoryError::NotADirectory { path: path.to_owned() });
        }
        Err(e) => return Err(io_error("read", path)(e)),
    };
    if let Some(properties) = meta_properties::read(&Fs::default(), path)? {
        return Ok(DirectoryContent::Formatted(properties));
    }
    for entry in entries {
        let name = entry.map_err(io_error("read", path))?.file_name();
        // A fresh file system has `lost+found`; a broker that did not get further leaves its lock file.
        if name != "lost+found" && name != LOCK_FILE {
            return Ok(DirectoryContent::Unformatted);
        }
    }
    Ok(DirectoryContent::Empty)
}

/// Makes `path` a log directory that belongs to `properties`: creates it if needed and writes `meta.properties`.
///
/// # Errors
/// It is formatted already, holds something else, or the disk refuses.
pub fn format(path: &Path, properties: &MetaProperties, now_ms: i64) -> Result<(), DirectoryError> {
    match inspect(path)? {
        DirectoryContent::Missing => fs::create_dir_all(path).map_err(io_error("create", path))?,
        DirectoryContent::Empty => {}
        DirectoryContent::Formatted(_) => return Err(DirectoryError::AlreadyFormatted { path: path.to_owned() }),
        DirectoryContent::Unformatted => return Err(DirectoryError::NotOurs { path: path.to_owned() }),
    }
    Ok(meta_properties::write(&Fs::default(), path, properties, now_ms)?)
}

/// A log directory that no other broker uses as long as this value lives.
#[derive(Debug)]
pub struct LockedDirectory {
    path: PathBuf,
    disk: Arc<Disk>,
    fs: Fs,
    inode: (u64, u64),
    /// Closing the file gives both locks back.
    lock: File,
}

/// Device and inode of the directories that this process has locked.
static LOCKED_HERE: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

impl LockedDirectory {
    /// Excludes other brokers, Apache Kafka's too, from the directory at `path`, which must exist.
    ///
    /// # Errors
    /// [`DirectoryError::InUse`] if there is one already.
    pub fn acquire(path: &Path) -> Result<Self, DirectoryError> {
        let metadata = fs::metadata(path).map_err(io_error("read", path))?;
        if !metadata.is_dir() {
            return Err(DirectoryError::NotADirectory { path: path.to_owned() });
        }
        let inode = (metadata.dev(), metadata.ino());
        // Order: a look at our own list before the file is opened, since closing any descriptor of it gives back this
        // process's record lock.
        if !LOCKED_HERE.lock().unwrap_or_else(PoisonError::into_inner).insert(inode) {
            return Err(DirectoryError::InUse { path: path.to_owned(), pid: i32::try_from(std::process::id()).ok() });
        }
        match lock_file(path) {
            Ok(lock) => {
                let disk = Arc::new(Disk::new(path.to_owned()));
                let fs = Fs::default().on(Arc::clone(&disk));
                Ok(Self { path: path.to_owned(), disk, fs, inode, lock })
            }
            Err(e) => {
                forget_lock(inode);
                Err(e)
            }
        }
    }

    /// Where the directory is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it that has been open all the time: what became of the file system since then is told by it.
    pub(super) fn file(&self) -> &File {
        &self.lock
    }

    /// The disk that it is on.
    #[must_use]
    pub fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// The way to the files in it.
    #[must_use]
    pub fn fs(&self) -> &Fs {
        &self.fs
    }

    /// The same on a disk whose operations `faults` may break.
    #[must_use]
    pub fn with_faults(mut self, faults: Arc<dyn Faults>) -> Self {
        self.fs = Fs::with_faults(faults).on(Arc::clone(&self.disk));
        self
    }

    /// Whose the directory is; `None` if it is not formatted.
    ///
    /// # Errors
    /// The file is damaged or can't be read.
    pub fn meta_properties(&self) -> Result<Option<MetaProperties>, DirectoryError> {
        Ok(meta_properties::read(&self.fs, &self.path)?)
    }
}

impl Drop for LockedDirectory {
    fn drop(&mut self) {
        forget_lock(self.inode);
    }
}

fn forget_lock(inode: (u64, u64)) {
    LOCKED_HERE.lock().unwrap_or_else(PoisonError::into_inner).remove(&inode);
}

fn lock_file(directory: &Path) -> Result<File, DirectoryError> {
    let path = directory.join(LOCK_FILE);
    let in_use = |file: &File| DirectoryError::InUse { path: directory.to_owned(), pid: lock_holder(file) };
    // Each further attempt means that a Kafka ended in the very moment.
    const ATTEMPTS: usize = 10;
    for _ in 0..ATTEMPTS {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(io_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(in_use(&file)),
            Err(fs::TryLockError::Error(e)) => return Err(io_error("lock", &path)(e)),
        }
        // Java locks records of the file, which is another lock than ours; with both, Kafka and we exclude each other.
        // Network file systems make one lock of the two and then report our own: that one is no other broker.
        if rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_err()
            && lock_holder(&file).is_some()
        {
            return Err(in_use(&file));
        }
        // Kafka removes its lock file when it ends: a lock on a file without a name would exclude nobody.
        let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        match (file.metadata(), fs::metadata(&path)) {
            (Ok(locked), Ok(named)) if same(&locked, &named) => return Ok(file),
            (Err(e), _) => return Err(io_error("read", &path)(e)),
            _ => {}
        }
    }
    Err(DirectoryError::InUse { path: directory.to_owned(), pid: None })
}

/// The process that runs a broker on the directory at `path`, as far as the system tells; takes no lock itself.
#[must_use]
pub fn user(path: &Path) -> Option<i32> {
    File::open(path.join(LOCK_FILE)).ok().and_then(|file| lock_holder(&file))
}

/// The other process that holds a record lock on `file`.
fn lock_holder(file: &File) -> Option<i32> {
    let wanted = rustix::process::Flock::from(rustix::process::FlockType::WriteLock);
    let holder = rustix::process::fcntl_getlk(file, &wanted).ok()??.pid?.as_raw_nonzero().get();
    (u32::try_from(holder).ok()? != std::process::id()).then_some(holder)
}

/// A log directory of this broker.
#[derive(Debug)]
pub enum TakenDirectory {
    /// Nobody else uses it, and it belongs to this node.
    Usable(LockedDirectory, MetaProperties),
    /// Its disk does not let anybody use it.
    Failed(DiskFailure),
}

impl TakenDirectory {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Usable(locked, _) => locked.path(),
            Self::Failed(failure) => &failure.dir,
        }
    }

    /// Its id, if it can be read.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Usable(_, properties) => properties.directory_id,
            Self::Failed(_) => None,
        }
    }
}

impl DirectoryError {
    /// What it says of the disk that `dir` is on; the error itself if it is about something else: whoever has set up the directory
    /// must look at that.
    ///
    /// # Errors
    /// The error.
    pub fn into_disk_failure(self, dir: &Path) -> Result<DiskFailure, Self> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Err(Self::Io { action: "find", path: dir.to_owned(), source })
            }
            Self::Io { action, path, source } => Ok(DiskFailure::new(dir, action, &path, &source)),
            Self::TextFile(TextFileError::Io { path, source }) => Ok(DiskFailure::new(dir, "read", &path, &source)),
            Self::NotADirectory { path } => {
                Ok(DiskFailure::new(dir, "read", &path, &io::ErrorKind::NotADirectory.into()))
            }
            other => Err(other),
        }
    }
}

/// Takes the directories of one broker: locks each, then checks that they belong to node `node_id` and together.
///
/// A directory without an id of its own (Kafka before 3.7) gets one. Returns the directories in the given order with
/// what their `meta.properties` says; one that can't be read or written is no reason to refuse the others.
///
/// # Errors
/// The first directory that is in use, not formatted, or another node's or cluster's.
pub fn take(
    paths: &[PathBuf],
    node_id: NodeId,
    cluster_id: Option<&str>,
    now_ms: i64,
) -> Result<Vec<TakenDirectory>, DirectoryError> {
    take_on(paths, node_id, cluster_id, now_ms, |locked| locked)
}

/// As [`take`]; `on` may give each directory that was locked another way to its files.
///
/// # Errors
/// As [`take`].
pub(super) fn take_on(
    paths: &[PathBuf],
    node_id: NodeId,
    cluster_id: Option<&str>,
    now_ms: i64,
    on: impl Fn(LockedDirectory) -> LockedDirectory,
) -> Result<Vec<TakenDirectory>, DirectoryError> {
    let lock = |path: &Path| {
        let locked = on(LockedDirectory::acquire(path)?);
        let properties = locked.meta_properties()?;
        Ok((locked, properties))
    };
    let mut locked = Vec::with_capacity(paths.len());
    for path in paths {
        locked.push(match lock(path) {
            Ok(found) => Ok(found),
            Err(error) => Err(DirectoryError::into_disk_failure(error, path)?),
        });
    }
    let readable = locked.iter().flatten();
    meta_properties::check(readable.map(|(d, p)| (d.path(), p.as_ref())), node_id, cluster_id)?;
    let mut taken = Vec::with_capacity(locked.len());
    for found in locked {
        taken.push(match found {
            Ok((locked, Some(properties))) => identify(locked, properties, now_ms),
            Ok((locked, None)) => return Err(DirectoryError::NotOurs { path: locked.path().to_owned() }),
            Err(failure) => TakenDirectory::Failed(failure),
        });
    }
    Ok(taken)
}

/// Gives a directory its id if it has none.
fn identify(locked: LockedDirectory, mut properties: MetaProperties, now_ms: i64) -> TakenDirectory {
    if properties.directory_id.is_none() {
        properties.directory_id = Some(Uuid::random());
        if let Err(error) = meta_properties::write(locked.fs(), locked.path(), &properties, now_ms) {
            let DirectoryError::Io { action, path, source } = error.into() else {
                return TakenDirectory::Usable(locked, properties);
            };
            return TakenDirectory::Failed(DiskFailure::new(locked.path(), action, &path, &source));
        }
    }
    TakenDirectory::Usable(locked, properties)
}

/// The note of a broker that closed all logs of a directory: nothing needs to be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanShutdown {
    /// Epoch of the broker's registration; -1 if it was not noted (older releases leave an empty file).
    pub broker_epoch: i64,
}

impl CleanShutdown {
    /// Reads the note of the directory at `path` and leaves it there; `None` if the broker was killed.
    ///
    /// # Errors
    /// The file is there, but can't be read.
    pub fn read(fs: &Fs, path: &Path) -> Result<Option<Self>, DirectoryError> {
        // Only its being there decides; what it says besides is never worth refusing a start.
        const MAX_FILE_BYTES: u64 = 64 * 1024;
        let bytes = match checkpoint::read_small_file(fs, &path.join(CLEAN_SHUTDOWN_FILE), MAX_FILE_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(TextFileError::Malformed { .. }) => Vec::new(),
            Err(e) => return Err(e.into()),
        };
        let json: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        let broker_epoch = json.and_then(|json| json.get("brokerEpoch")?.as_i64()).unwrap_or(-1);
        Ok(Some(Self { broker_epoch }))
    }

    /// Removes the note of the directory at `path`, durably: from here on a crash means recovery.
    ///
    /// # Errors
    /// What the system says; logs must not be changed then.
    pub fn remove(fs: &Fs, path: &Path) -> Result<(), DirectoryError> {
        fs.remove(&path.join(CLEAN_SHUTDOWN_FILE))?;
        Ok(fs.sync_dir(path)?)
    }

    /// Leaves the note in the directory at `path`. Everything else must be on disk before.
    ///
    /// # Errors
    /// What the system says; the next start then recovers.
    pub fn write(self, fs: &Fs, path: &Path) -> Result<(), DirectoryError> {
        let text = format!(r#"{{"version":0,"brokerEpoch":{}}}"#, self.broker_epoch);
        Ok(fs.replace(&path.join(CLEAN_SHUTDOWN_FILE), text.as_bytes())?)
    }
}

/// A directory in a log directory, and what its name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: DirectoryKind,
    /// Where it is.
    pub path: PathBuf,
}

/// Lists the partition directories in the log directory at `path`, by name. Plain files are passed over.
///
/// # Errors
/// [`DirectoryError::Foreign`] names a directory that no broker makes: better to stop than to guess whose data it is.
pub fn list(fs: &Fs, path: &Path) -> Result<Vec<Entry>, DirectoryError> {
    let mut entries = Vec::new();
    for (name, is_dir) in fs.list_all(path).map_err(io_error("read", path))? {
        if is_dir {
            let path = path.join(&name);
            let kind = name.to_str().and_then(DirectoryKind::of);
            let Some(kind) = kind else { return Err(DirectoryError::Foreign { path }) };
            entries.push(Entry { kind, path });
        }
    }
    // All in one directory: the bytes of the paths compare as the names do, and faster than paths.
    entries.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::new(1);

    fn formatted(parent: &Path, name: &str) -> PathBuf {
        let path = parent.join(name);
        format(&path, &MetaProperties::new("a-cluster", NODE), 0).unwrap();
        path
    }

    #[test]
    fn formatting_takes_new_and_empty_directories_only() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("not/yet/there");
        let mine = MetaProperties::new("a-cluster", NODE);
        assert_eq!(inspect(&path).unwrap(), DirectoryContent::Missing);
        format(&path, &mine, 0).unwrap();
        assert_eq!(inspect(&path).unwrap(), DirectoryContent::Formatted(mine.clone()));
        assert!(matches!(format(&path, &mine, 0), Err(DirectoryError::AlreadyFormatted { .. })));

        let fresh_disk = temp.path().join("fresh");
        fs::create_dir_all(fresh_disk.join("lost+found")).unwrap();
        assert_eq!(inspect(&fresh_disk).unwrap(), DirectoryContent::Empty);
        format(&fresh_disk, &mine, 0).unwrap();

        let homework = temp.path().join("homework");
        fs::create_dir(&homework).unwrap();
        fs::write(homework.join("essay.txt"), "...").unwrap();
        assert_eq!(inspect(&homework).unwrap(), DirectoryContent::Unformatted);
        let message = format(&homework, &mine, 0).unwrap_err().to_string();
        assert!(message.contains("is not empty and has no meta.properties"), "{message}");
        let file = homework.join("essay.txt");
        assert!(matches!(format(&file, &mine, 0), Err(DirectoryError::NotADirectory { .. })));
    }

    #[test]
    fn a_directory_has_one_broker() {
        let temp = tempfile::tempdir().unwrap();
        let held = LockedDirectory::acquire(temp.path()).unwrap();
        let error = LockedDirectory::acquire(temp.path()).unwrap_err();
        assert!(matches!(error, DirectoryError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("is in use by another broker (process "), "{error}");
        let elsewhere = temp.path().join("link");
        std::os::unix::fs::symlink(temp.path(), &elsewhere).unwrap();
        assert!(LockedDirectory::acquire(&elsewhere).is_err(), "by another name");
        drop(held);
        LockedDirectory::acquire(temp.path()).unwrap();
    }

    #[test]
    fn another_kafka_rs_is_seen_by_its_lock() {
        let temp = tempfile::tempdir().unwrap();
        let other = File::create(temp.path().join(LOCK_FILE)).unwrap();
        other.try_lock().unwrap();
        assert!(matches!(LockedDirectory::acquire(temp.path()), Err(DirectoryError::InUse { .. })));
        drop(other);
        LockedDirectory::acquire(temp.path()).unwrap();
    }

    #[test]
    fn directories_are_taken_together_or_not_at_all() {
        let temp = tempfile::tempdir().unwrap();
        let (a, b) = (formatted(temp.path(), "a"), formatted(temp.path(), "b"));
        let paths = [a.clone(), b.clone()];
        let taken = take(&paths, NODE, None, 0).unwrap();
        assert_eq!(taken.len(), 2);
        assert_ne!(taken[0].id().unwrap(), taken[1].id().unwrap());
        drop(taken);
        assert!(take(&paths, NodeId::new(2), None, 0).is_err());
        assert!(take(&paths, NODE, Some("another"), 0).is_err());
        assert!(take(&[a.clone(), a.clone()], NODE, None, 0).is_err(), "one directory twice");
        take(&paths, NODE, Some("a-cluster"), 0).expect("a refused attempt gives its locks back");

        fs::copy(a.join(meta_properties::FILE_NAME), b.join(meta_properties::FILE_NAME)).unwrap();
        let message = take(&paths, NODE, None, 0).unwrap_err().to_string();
        assert!(message.contains("have the same directory.id"), "{message}");
    }

    #[test]
    fn a_directory_of_an_older_kafka_gets_its_id_once() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("meta.properties"), "version=1\nnode.id=1\ncluster.id=c\n").unwrap();
        let paths = [temp.path().to_owned()];
        let first = take(&paths, NODE, None, 0).unwrap()[0].id();
        assert!(first.is_some());
        assert_eq!(take(&paths, NODE, None, 0).unwrap()[0].id(), first);
    }

    #[test]
    fn the_clean_shutdown_note_is_kafkas() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join(CLEAN_SHUTDOWN_FILE);
        assert_eq!(CleanShutdown::read(&Fs::default(), temp.path()).unwrap(), None);
        CleanShutdown { broker_epoch: 11 }.write(&Fs::default(), temp.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), r#"{"version":0,"brokerEpoch":11}"#);
        assert_eq!(CleanShutdown::read(&Fs::default(), temp.path()).unwrap(), Some(CleanShutdown { broker_epoch: 11 }));
        for old in ["", "garbage", "{}", "[1]"] {
            fs::write(&file, old).unwrap();
            assert_eq!(
                CleanShutdown::read(&Fs::default(), temp.path()).unwrap(),
                Some(CleanShutdown { broker_epoch: -1 }),
                "{old}"
            );
        }
        CleanShutdown::remove(&Fs::default(), temp.path()).unwrap();
        CleanShutdown::remove(&Fs::default(), temp.path()).unwrap();
        assert_eq!(CleanShutdown::read(&Fs::default(), temp.path()).unwrap(), None);
    }

    #[test]
    fn listing_passes_over_files_and_refuses_foreign_directories() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["b-0", "a-1", "lost+found", "__cluster_metadata-0"] {
            fs::create_dir(temp.path().join(name)).unwrap();
        }
        fs::write(temp.path().join("notes.txt"), "").unwrap();
        let names: Vec<_> = list(&Fs::default(), temp.path()).unwrap().into_iter().map(|e| e.kind).collect();
        assert_eq!(
            names,
            [
                DirectoryKind::ClusterMetadata,
                DirectoryKind::Partition(TopicPartition::new("a", 1)),
                DirectoryKind::Partition(TopicPartition::new("b", 0)),
                DirectoryKind::Ignored,
            ]
        );
        fs::create_dir(temp.path().join("backup")).unwrap();
        let message = list(&Fs::default(), temp.path()).unwrap_err().to_string();
        assert!(message.contains("backup is not the directory of a partition"), "{message}");
    }
}
