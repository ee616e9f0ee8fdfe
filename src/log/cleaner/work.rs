//! Which log is cleaned next, which are being cleaned and which can't be, and how far cleaning came in each: the
//! `cleaner-offset-checkpoint` of every directory.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::choice::Cleanable;
use crate::log::checkpoint::{self, CLEANER_OFFSETS, Offsets};
use crate::log::fs::Fs;
use crate::log::log::Log;
use crate::types::{Offset, TopicPartition};

/// A log to be cleaned now; whoever got it tells [`Cleaning::done`].
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The partition.
    pub partition: TopicPartition,
    /// Its log.
    pub log: Arc<Log>,
    /// What of it.
    pub cleanable: Cleanable,
}

/// How that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The log is clean up to here.
    Clean(Offset),
    /// It was broken off, and may be tried again.
    Again,
    /// It will not be cleaned until it is opened again.
    Uncleanable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Idle,
    InProgress,
    Uncleanable,
}

#[derive(Debug)]
struct Known {
    /// A topic of the same name may be made again: what is known is known of this log.
    log: Weak<Log>,
    standing: Standing,
}

/// What all cleaners of a broker share.
#[derive(Debug, Default)]
pub struct Cleaning(Mutex<Inner>);

/// What the checkpoint of a directory should say.
#[derive(Debug)]
struct Checkpoint {
    offsets: Offsets,
    /// Whether it does.
    is_saved: bool,
    /// The way to it.
    fs: Fs,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<TopicPartition, Known>,
    /// By directory.
    checkpoints: BTreeMap<PathBuf, Checkpoint>,
}

impl Cleaning {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The filthiest of the compacted logs that are worth a cleaning. `logs` are all of them: what is not among them is
    /// forgotten.
    pub fn choose(&self, logs: Vec<(TopicPartition, Arc<Log>)>, now_ms: i64) -> Option<Chosen> {
        let mut inner = self.inner();
        inner.forget_others(&logs);
        let mut filthiest: Option<Chosen> = None;
        for (partition, log) in logs {
            let Some(cleanable) = inner.look_at(&partition, &log, now_ms) else { continue };
            let ratio = |chosen: &Chosen| chosen.cleanable.dirty_ratio();
            if cleanable.is_due(&log.config())
                && filthiest.as_ref().is_none_or(|other| cleanable.dirty_ratio() > ratio(other))
            {
                filthiest = Some(Chosen { partition, log, cleanable });
            }
        }
        if let Some(known) = filthiest.as_ref().and_then(|chosen| inner.known.get_mut(&chosen.partition)) {
            known.standing = Standing::InProgress;
        }
        inner.save();
        filthiest
    }

    /// Notes how a cleaning ended.
    pub fn done(&self, chosen: &Chosen, outcome: Outcome) {
        let mut inner = self.inner();
        let Some(known) = inner.known.get_mut(&chosen.partition).filter(|known| known.is(&chosen.log)) else {
            return; // Deleted meanwhile.
        };
        known.standing = if outcome == Outcome::Uncleanable { Standing::Uncleanable } else { Standing::Idle };
        if let Outcome::Clean(offset) = outcome {
            inner.set(&chosen.partition, &chosen.log, offset);
            inner.save();
        }
    }

    /// The partitions that can't be cleaned.
    #[must_use]
    pub fn uncleanable(&self) -> Vec<TopicPartition> {
        let inner = self.inner();
        let known = inner.known.iter().filter(|(_, known)| known.standing == Standing::Uncleanable);
        known.map(|(partition, _)| partition.clone()).collect()
    }
}

impl Known {
    fn is(&self, log: &Arc<Log>) -> bool {
        std::ptr::eq(self.log.as_ptr(), Arc::as_ptr(log))
    }
}

impl Inner {
    /// What of a log could be cleaned; nothing if it is being cleaned or can't be.
    fn look_at(&mut self, partition: &TopicPartition, log: &Arc<Log>, now_ms: i64) -> Option<Cleanable> {
        if log.has_failed() {
            return None;
        }
        let standing = self.known.get(partition).map(|known| known.standing);
        let checkpoint = match standing {
            Some(Standing::InProgress | Standing::Uncleanable) => return None,
            Some(Standing::Idle) | None => self.checkpoint(log).offsets.get(partition).copied(),
        };
        self.known
            .entry(partition.clone())
            .or_insert_with(|| Known { log: Arc::downgrade(log), standing: Standing::Idle });
        match log.cleanable(checkpoint, now_ms) {
            Ok(cleanable) => {
                if cleanable.was_reset {
                    self.set(partition, log, cleanable.first_dirty);
                }
                Some(cleanable)
            }
            Err(error) => {
                tracing::error!(%partition, %error, "it can't be told what of the log is dirty; it is not compacted any more");
                if let Some(known) = self.known.get_mut(partition) {
                    known.standing = Standing::Uncleanable;
                }
                None
            }
        }
    }

    fn checkpoint(&mut self, log: &Log) -> &mut Checkpoint {
        let place = log.place();
        let dir = place.dir().parent().map(Path::to_path_buf).unwrap_or_default();
        self.checkpoints.entry(dir).or_insert_with_key(|dir| {
            let offsets = checkpoint::read(&place.fs, &dir.join(CLEANER_OFFSETS)).unwrap_or_else(|error| {
                tracing::warn!(%error, "the cleaner's checkpoint can't be read: compacted logs are cleaned from their starts");
                Offsets::new()
            });
            Checkpoint { offsets, is_saved: true, fs: place.fs.clone() }
        })
    }

    fn set(&mut self, partition: &TopicPartition, log: &Log, offset: Offset) {
        let checkpoint = self.checkpoint(log);
        checkpoint.is_saved &= checkpoint.offsets.insert(partition.clone(), offset) == Some(offset);
    }

    /// Forgets what is not among `logs`: deleted partitions, those that are not compacted any more, and those that were
    /// deleted and made again.
    fn forget_others(&mut self, logs: &[(TopicPartition, Arc<Log>)]) {
        let mut dirs: HashMap<&TopicPartition, PathBuf> = HashMap::with_capacity(logs.len());
        for (partition, log) in logs {
            self.checkpoint(log);
            let is_another = self.known.get(partition).is_some_and(|known| !known.is(log));
            if is_another {
                self.known.remove(partition);
            } else {
                dirs.insert(partition, log.dir().parent().map(Path::to_path_buf).unwrap_or_default());
            }
        }
        self.known.retain(|partition, _| dirs.contains_key(partition));
        for (dir, checkpoint) in &mut self.checkpoints {
            let before = checkpoint.offsets.len();
            // Where a partition was moved away from, nothing is left of it.
            checkpoint.offsets.retain(|partition, _| dirs.get(partition) == Some(dir));
            checkpoint.is_saved &= checkpoint.offsets.len() == before;
        }
    }

    fn save(&mut self) {
        for (dir, checkpoint) in self.checkpoints.iter_mut().filter(|(_, checkpoint)| !checkpoint.is_saved) {
            let path = dir.join(CLEANER_OFFSETS);
            // One attempt: the next change writes all of it again, and without it more is cleaned than needs to be.
            checkpoint.is_saved = true;
            if let Err(error) = checkpoint::write(&checkpoint.fs, &path, &checkpoint.offsets) {
                tracing::error!(path = %path.display(), %error, "the cleaner's checkpoint can't be written");
            }
        }
    }
}
