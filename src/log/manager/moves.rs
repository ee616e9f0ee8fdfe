//! Taking logs to other directories (AlterReplicaLogDirs): a copy is made, grows, and takes the log's place.
//!
//! What a crash leaves, and what the next start makes of it:
//!
//! | moment | directories | then |
//! |---|---|---|
//! | copying | the log, and a `-future` | goes on |
//! | the metadata names the new directory | the same | goes on: the log may have more than its copy |
//! | the log is put aside | a `-delete` and a `-future` | the copy, which has everything, becomes the log |
//! | the copy has the log's name | a `-delete` and the log | done |
//!
//! Nothing of it is done while a directory is away: the log may be there, and have more than its copy.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::removal::Removal;
use super::{Copy, LogManager, ManagerError, lock};
use crate::log::directory_name::{deleted_name, future_name};
use crate::log::{Log, LogOptions, MoveError, Shutdown, partition_metadata};
use crate::types::{TopicPartition, Uuid};

/// Partitions that are not there yet and have a directory chosen for them, at most: more are forgotten from anywhere.
const MAX_PREFERRED: usize = 10_000;

/// Why a log is not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveRefusal {
    /// No log directory has this path.
    #[error("log directory {} is none of this broker's", path.display())]
    NoSuchDirectory {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The directory takes no more logs.
    #[error("log directory {} is cordoned", path.display())]
    Cordoned {
        /// The directory.
        path: PathBuf,
    },
    /// The directory, that of the log or another one has failed.
    #[error("log directory {} is offline", path.display())]
    Offline {
        /// The directory.
        path: PathBuf,
    },
    /// There is no log of the partition here; one that is made later will be made in the directory.
    #[error("there is no replica of {partition} here")]
    NoLog {
        /// The partition.
        partition: TopicPartition,
    },
    /// The disk refused.
    #[error(transparent)]
    Manager(#[from] ManagerError),
}

/// A log that is being moved.
#[derive(Debug, Clone)]
pub struct Move {
    /// The partition.
    pub partition: TopicPartition,
    /// Its topic.
    pub topic_id: Option<Uuid>,
    /// The id of the directory that it is in.
    pub from: Option<Uuid>,
    /// The id of the directory that it goes to.
    pub to: Option<Uuid>,
    log: Arc<Log>,
    copy: Arc<Log>,
}

impl Move {
    /// Whether it is the same move, and not a later one of the same log.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.copy, &other.copy)
    }

    /// Whether it was given up, for another one or for nothing.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.copy.is_closed()
    }

    /// Copies some of what is missing; returns its bytes, 0 if nothing was.
    ///
    /// # Errors
    /// Either log can't be read or written.
    pub fn copy_some(&self, now_ms: i64) -> Result<usize, MoveError> {
        self.log.copy_to(&self.copy, now_ms)
    }

    /// Makes durable what is copied, so that little is left to be flushed when the copy takes the log's place.
    ///
    /// # Errors
    /// What the disk says.
    pub fn flush(&self) -> Result<(), MoveError> {
        self.copy.flush()?;
        Ok(())
    }
}

impl LogManager {
    /// Begins to move a partition's log to the directory at `to`; says whether there is anything to do. A move to another directory is
    /// given up for it; a move back to where the log is only ends that.
    ///
    /// # Errors
    /// [`MoveRefusal`]; nothing has begun then.
    pub fn begin_move(&self, partition: &TopicPartition, to: &Path, now_ms: i64) -> Result<bool, MoveRefusal> {
        let offline = |path: &Path| MoveRefusal::Offline { path: path.to_owned() };
        let found = self.directories.iter().position(|directory| directory.path == to);
        let target = found.ok_or_else(|| MoveRefusal::NoSuchDirectory { path: to.to_owned() })?;
        let Some(directory) = self.directories.get(target).filter(|directory| directory.works()) else {
            return Err(offline(to));
        };
        if directory.cordoned.load(Ordering::Acquire) {
            return Err(MoveRefusal::Cordoned { path: to.to_owned() });
        }
        self.forget_noted(directory, partition)?;
        // One at a time: the makers of logs use this lock for moments only.
        let mut logs = self.logs_mut();
        let Some(hosted) = logs.get_mut(partition) else {
            drop(logs);
            let mut preferred = lock(&self.preferred);
            if preferred.len() >= MAX_PREFERRED {
                preferred.clear();
            }
            preferred.insert(partition.clone(), to.to_owned());
            return Err(MoveRefusal::NoLog { partition: partition.clone() });
        };
        if self.directories.get(hosted.directory).is_none_or(|own| !own.works()) {
            return Err(offline(to));
        }
        if hosted.copy.as_ref().is_some_and(|copy| copy.directory == target) {
            return Ok(true);
        }
        if let Some(copy) = hosted.copy.take() {
            self.remove_copy(partition, &copy, now_ms);
        }
        if hosted.directory == target {
            return Ok(false);
        }
        // With a directory away there may be an unfinished copy in it: two could not be told apart later (as in Kafka).
        if let Some(away) = self.directories.iter().find(|directory| !directory.works()) {
            return Err(offline(&away.path));
        }
        if hosted.topic_id.is_none() {
            let fs = &hosted.log.place().fs;
            hosted.topic_id = partition_metadata::read(fs, &hosted.log.dir()).map_err(ManagerError::from)?;
        }
        let path = directory.path.join(future_name(partition));
        directory.fs.create_dir(&path).map_err(ManagerError::from)?;
        if let Some(topic_id) = hosted.topic_id {
            partition_metadata::write(&directory.fs, &path, topic_id).map_err(ManagerError::from)?;
        }
        let (log, _) = Log::open(LogOptions {
            dir: path,
            config: hosted.log.config(),
            fs: directory.fs.clone(),
            now_ms,
            shutdown: Shutdown::Unclean,
            is_flushed: false,
            recovery_point: None,
            log_start_offset: None,
            high_watermark: None,
        })
        .map_err(ManagerError::from)?;
        hosted.copy = Some(Copy { log: Arc::new(log), directory: target });
        self.names_changed.store(true, Ordering::Release);
        Ok(true)
    }

    /// The logs that are being moved and whose directories work.
    #[must_use]
    pub fn moves(&self) -> Vec<Move> {
        let logs = self.all().into_iter();
        logs.filter_map(|(partition, hosted)| {
            let copy = hosted.copy?;
            let target = self.directories.get(copy.directory).filter(|directory| directory.works())?;
            let from = self.directories.get(hosted.directory)?.id;
            let to = target.id;
            Some(Move { partition, topic_id: hosted.topic_id, from, to, log: hosted.log, copy: copy.log })
        })
        .collect()
    }

    /// Ends a move: the copy takes the log's place, what the log was is removed later. `None` if the move was given up meanwhile.
    ///
    /// # Errors
    /// What the disk says: the log is where it was then, or its directory has failed.
    pub fn finish_move(&self, ended: &Move, now_ms: i64) -> Result<Option<()>, MoveError> {
        // Order: what is noted of the log is in the new directory before the log is.
        self.checkpoint_log_start_offsets().map_err(|_| MoveError::Log(unreachable_log(&ended.log)))?;
        self.checkpoint_high_watermarks().map_err(|_| MoveError::Log(unreachable_log(&ended.log)))?;
        self.name_topic_of(&ended.copy, ended.topic_id)?;
        let mut logs = self.logs_mut();
        let is_current =
            |copy: &Copy| Arc::ptr_eq(&copy.log, &ended.copy) && self.directories.get(copy.directory).is_some();
        let Some(hosted) = logs.get_mut(&ended.partition) else { return Ok(None) };
        let Some(copy) = hosted.copy.clone().filter(is_current) else { return Ok(None) };
        let Some(directory) = self.directories.get(copy.directory) else { return Ok(None) };
        let aside = hosted.log.dir().with_file_name(deleted_name(&ended.partition));
        let to = directory.path.join(ended.partition.to_string());
        if let Err(error) = hosted.log.take_over(&copy.log, &aside, &to, now_ms) {
            if hosted.log.has_failed() && !directory.works() {
                // It was put aside already: what there is of it is in the directory that has failed.
                (hosted.directory, hosted.copy) = (copy.directory, None);
            }
            return Err(error);
        }
        hosted.directory = copy.directory;
        hosted.copy = None;
        let due_ms = now_ms.saturating_add(hosted.log.config().file_delete_delay_ms);
        drop(logs);
        lock(&self.removals).push(Removal { path: aside, due_ms });
        Ok(Some(()))
    }

    /// A kill may have come between the directory of a copy and its `partition.metadata`; a log without is nobody's.
    fn name_topic_of(&self, copy: &Log, topic_id: Option<Uuid>) -> Result<(), MoveError> {
        let (fs, dir) = (copy.place().fs.clone(), copy.dir());
        match topic_id {
            Some(topic_id) if partition_metadata::read(&fs, &dir).ok().flatten() != Some(topic_id) => {
                Ok(partition_metadata::write(&fs, &dir, topic_id)?)
            }
            _ => Ok(()),
        }
    }

    /// Gives a move up; its copy is removed later.
    pub fn cancel_move(&self, given_up: &Move, now_ms: i64) {
        let mut logs = self.logs_mut();
        let Some(hosted) = logs.get_mut(&given_up.partition) else { return };
        if let Some(copy) = hosted.copy.take_if(|copy| Arc::ptr_eq(&copy.log, &given_up.copy)) {
            self.remove_copy(&given_up.partition, &copy, now_ms);
        }
    }

    pub(super) fn remove_copy(&self, partition: &TopicPartition, copy: &Copy, now_ms: i64) {
        copy.log.give_up();
        let from = copy.log.dir();
        let to = from.with_file_name(deleted_name(partition));
        // One that can't be renamed is found and removed by a start that sees the log without a move.
        if copy.log.rename_dir(&to).is_ok() {
            lock(&self.removals).push(Removal { path: to, due_ms: now_ms });
        }
    }
}

fn unreachable_log(log: &Log) -> crate::log::LogError {
    crate::log::LogError::Unreachable { dir: log.dir() }
}
