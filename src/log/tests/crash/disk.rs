//! A disk that breaks, stops or loses its power when told to, and knows what it may have lost then.
//!
//! The files are real ones. Of each it is remembered what it held at its last flush and after every write since; of each directory,
//! which names were flushed and what has happened to names since. After a power cut each page of a file is as it was at the flush or
//! after any write since, so is the file's size, and each change of names has come through or not.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use crate::log::{Fault, Faults, Operation};

pub(in crate::log) const EIO: i32 = 5;
pub(in crate::log) const ENOSPC: i32 = 28;

/// What happens at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum Break {
    /// It fails with this `errno`, once.
    Fail(i32),
    /// A write stores a part, then the disk is full.
    Short,
    /// It and all after it fail: the process is gone, a write may have come through in part.
    Stop,
}

/// What the disk has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) struct Course {
    /// Operations until now.
    pub(in crate::log) operations: u64,
    /// Whether what was planned has happened.
    pub(in crate::log) broke: bool,
    /// Whether it has stopped.
    pub(in crate::log) stopped: bool,
}

pub(in crate::log) struct Disk {
    dir: PathBuf,
    state: Mutex<State>,
}

struct State {
    random: fastrand::Rng,
    /// What is written as a whole or not at all.
    page: usize,
    files: HashMap<u64, Content>,
    directories: HashMap<u64, Names>,
    /// Where files were found: an open one is told by the path that it was opened at, whatever its directory is named by now.
    paths: HashMap<PathBuf, u64>,
    course: Course,
    plan: Option<(u64, Break)>,
    /// A write was cut short, what is left of it fails.
    full: bool,
}

struct Content {
    /// Keeps the content of a file without a name, and its inode from being used again.
    open: File,
    /// What was flushed, and what was there before each change since.
    versions: Vec<Vec<u8>>,
}

/// The names in a directory, by their inodes.
struct Names {
    /// Keeps its inode from being used again.
    _open: File,
    names: BTreeMap<String, u64>,
    flushed: BTreeMap<String, u64>,
    changes: Vec<Change>,
}

enum Change {
    Added(String, u64),
    Renamed(String, String, u64),
    Removed(String),
}

fn bytes_of(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

impl Disk {
    /// The disk below a directory.
    pub(in crate::log) fn new(dir: &Path, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let page = if random.bool() { 4096 } else { 512 };
        let state = State {
            random,
            page,
            files: HashMap::new(),
            directories: HashMap::new(),
            paths: HashMap::new(),
            course: Course { operations: 0, broke: false, stopped: false },
            plan: None,
            full: false,
        };
        Self { dir: dir.to_owned(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Plans a break at the operation that comes after `operations` others.
    pub(in crate::log) fn plan(&self, operations: u64, what: Break) {
        let mut state = self.state();
        state.course = Course { operations: state.course.operations, broke: false, stopped: false };
        state.plan = Some((state.course.operations + operations, what));
    }

    /// Works as it should from here on; says what has happened.
    pub(in crate::log) fn calm(&self) -> Course {
        let mut state = self.state();
        let course = state.course;
        (state.plan, state.full) = (None, false);
        state.course = Course { broke: false, stopped: false, ..course };
        course
    }

    pub(in crate::log) fn course(&self) -> Course {
        self.state().course
    }

    /// Flushes all that there is, as one call for a whole file system does.
    pub(in crate::log) fn flush_all(&self) {
        let mut state = self.state();
        state.look_at_all(&self.dir);
        state.files.values_mut().for_each(Content::flushed);
        state.directories.values_mut().for_each(Names::flushed);
    }

    /// Takes the power away: what is left in the directory is what a start may find.
    pub(in crate::log) fn cut_power(&self) {
        let mut state = self.state();
        state.look_at_all(&self.dir);
        let root = fs::metadata(&self.dir).unwrap().ino();
        let mut left = Vec::new();
        state.survive(root, &self.dir, &mut left);
        state.files.clear();
        state.directories.clear();
        state.paths.clear();
        for entry in fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap()) {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        for (path, content) in left {
            match content {
                Some(content) => fs::write(path, content).unwrap(),
                None => fs::create_dir(path).unwrap(),
            }
        }
        drop(state);
        self.flush_all();
    }
}

impl Names {
    fn flushed(&mut self) {
        self.flushed = self.names.clone();
        self.changes.clear();
    }

    fn surviving(&self, random: &mut fastrand::Rng) -> BTreeMap<String, u64> {
        let mode = random.u8(0..4);
        let prefix = random.usize(0..=self.changes.len());
        let mut names = self.flushed.clone();
        for (at, change) in self.changes.iter().enumerate() {
            let survives = match mode {
                0 => false,
                1 => true,
                2 => at < prefix,
                _ => random.bool(),
            };
            if !survives {
                continue;
            }
            match change {
                Change::Added(name, inode) => drop(names.insert(name.clone(), *inode)),
                // One entry of a journal: the file does not lose both names.
                Change::Renamed(from, to, inode) => {
                    names.remove(from);
                    names.insert(to.clone(), *inode);
                }
                Change::Removed(name) => drop(names.remove(name)),
            }
        }
        names
    }
}

impl Content {
    fn flushed(&mut self) {
        self.versions = vec![bytes_of(&self.open)];
    }

    /// Notes what is there, before it is changed.
    fn note(&mut self) {
        let now = bytes_of(&self.open);
        if self.versions.last() != Some(&now) {
            self.versions.push(now);
        }
    }
}

impl State {
    /// Finds out what has become of the names in a directory since the last look: at most one thing.
    fn look(&mut self, dir: &Path) {
        let Ok(metadata) = fs::metadata(dir).and_then(|metadata| Ok((metadata, File::open(dir)?))) else { return };
        let (inode, open) = (metadata.0.ino(), metadata.1);
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
            let inode = entry.metadata().unwrap().ino();
            names.insert(entry.file_name().into_string().unwrap(), inode);
            if !entry.path().is_dir() {
                self.paths.insert(entry.path(), inode);
                self.files.entry(inode).or_insert_with(|| {
                    // A new file is empty on the disk until it is flushed.
                    Content { open: File::open(entry.path()).unwrap(), versions: vec![Vec::new()] }
                });
            }
        }
        let known = self.directories.entry(inode).or_insert_with(|| Names {
            _open: open,
            names: BTreeMap::new(),
            flushed: BTreeMap::new(),
            changes: Vec::new(),
        });
        let mut gone: Vec<(String, u64)> = Vec::new();
        for (name, inode) in &known.names {
            if !names.contains_key(name) {
                gone.push((name.clone(), *inode));
            }
        }
        for (name, inode) in &names {
            if known.names.get(name) == Some(inode) {
                continue;
            }
            match gone.iter().position(|(_, other)| other == inode) {
                Some(at) => known.changes.push(Change::Renamed(gone.swap_remove(at).0, name.clone(), *inode)),
                None => known.changes.push(Change::Added(name.clone(), *inode)),
            }
        }
        known.changes.extend(gone.into_iter().map(|(name, _)| Change::Removed(name)));
        known.names = names;
    }

    fn look_within(&mut self, root: &Path, dir: &Path) {
        if dir.starts_with(root) {
            self.look(dir);
        }
    }

    fn look_at_all(&mut self, dir: &Path) {
        self.look(dir);
        for entry in fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap()) {
            if entry.path().is_dir() {
                self.look_at_all(&entry.path());
            }
        }
    }

    fn content_at(&mut self, path: &Path) -> Option<&mut Content> {
        let inode = match fs::metadata(path) {
            Ok(metadata) => metadata.ino(),
            Err(_) => *self.paths.get(path)?,
        };
        if !self.files.contains_key(&inode) {
            self.look(path.parent()?);
        }
        self.files.get_mut(&inode)
    }

    /// What is left of a directory and below: paths, and the content of those that are files.
    fn survive(&mut self, directory: u64, path: &Path, left: &mut Vec<(PathBuf, Option<Vec<u8>>)>) {
        let Some(known) = self.directories.get(&directory) else { return };
        for (name, inode) in known.surviving(&mut self.random) {
            let path = path.join(name);
            if self.files.contains_key(&inode) {
                left.push((path, Some(self.surviving_content(inode))));
            } else {
                left.push((path.clone(), None));
                self.survive(inode, &path, left);
            }
        }
    }

    fn surviving_content(&mut self, inode: u64) -> Vec<u8> {
        let (random, page) = (&mut self.random, self.page);
        let content = self.files.get_mut(&inode).unwrap();
        content.note();
        let versions = &content.versions;
        let mode = random.u8(0..6);
        match mode {
            0 => return versions.first().unwrap().clone(),
            1 => return versions.last().unwrap().clone(),
            _ => {}
        }
        let pick = |random: &mut fastrand::Rng| match mode {
            2 => random.choice([0, versions.len() - 1]).unwrap(),
            _ => random.usize(0..versions.len()),
        };
        let size = versions[pick(random)].len();
        let mut survived = vec![0; size];
        for (at, bytes) in survived.chunks_mut(page).enumerate() {
            let from = versions[pick(random)].get(at * page..).unwrap_or_default();
            let length = bytes.len().min(from.len());
            bytes[..length].copy_from_slice(&from[..length]);
        }
        survived
    }

    /// What breaks at this operation.
    fn break_now(&mut self, operation: Operation) -> Fault {
        self.course.operations += 1;
        let is_write = matches!(operation, Operation::Write(_));
        if self.course.stopped {
            return Fault::Fail(EIO);
        }
        if std::mem::take(&mut self.full) && is_write {
            return Fault::Fail(ENOSPC);
        }
        let Some((_, what)) = self.plan.filter(|(at, _)| self.course.operations > *at) else { return Fault::None };
        let part = match operation {
            // Never all of it: a write that has come through is not broken.
            Operation::Write(length) => self.random.usize(0..length.max(1)),
            _ => 0,
        };
        match what {
            Break::Short if !is_write => return Fault::None,
            _ => {}
        }
        self.plan = None;
        self.course.broke = true;
        match what {
            Break::Fail(errno) => Fault::Fail(errno),
            Break::Short => {
                self.full = true;
                if part > 0 { Fault::Short(part) } else { Fault::Fail(ENOSPC) }
            }
            Break::Stop => {
                self.course.stopped = true;
                if part > 0 { Fault::Short(part) } else { Fault::Fail(EIO) }
            }
        }
    }
}

impl Faults for Disk {
    fn before(&self, operation: Operation, path: &Path) -> Fault {
        let mut state = self.state();
        let is_dir = path.is_dir();
        match operation {
            Operation::Read(_) => {}
            Operation::Write(_) | Operation::SetLen(_) => {
                if let Some(content) = state.content_at(path) {
                    content.note();
                }
            }
            _ => {
                path.parent().into_iter().for_each(|parent| state.look_within(&self.dir, parent));
                if is_dir {
                    state.look(path);
                } else if operation == Operation::Open
                    && let Some(content) = state.content_at(path)
                {
                    // It may be emptied.
                    content.note();
                }
            }
        }
        let fault = state.break_now(operation);
        if operation == Operation::Sync && fault == Fault::None {
            if is_dir {
                let inode = fs::metadata(path).map_or(0, |metadata| metadata.ino());
                state.directories.get_mut(&inode).into_iter().for_each(Names::flushed);
            } else if let Some(content) = state.content_at(path) {
                content.flushed();
            }
        }
        fault
    }
}
