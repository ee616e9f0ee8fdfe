//! One run: steps drawn from a number, done to the log and to the model.

use std::fmt::Display;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::compaction::Cleaning;
use super::disk::{Break, Disk, EIO, ENOSPC};
use super::model::{Left, Model, end_of, stored, view};
use crate::log::cleaner::CleanOptions;
use crate::log::test_support::*;
use crate::log::{
    AppendContext, AppendOrigin, CloseMode, DeletedFiles, Fs, LeaderBatch, Log, LogConfig, LogOptions, OpenReport,
    ProducerEntry, Shutdown,
};
use crate::record::{BatchBuilder, BatchOptions, NewRecord};
use crate::types::{LeaderEpoch, Offset, ProducerId};

/// What breaks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plan {
    /// Nothing, but what the steps do.
    None,
    /// Whatever the number says.
    Any,
    /// Something at the operation with this number.
    Once { at: u64, what: Break, left: Left },
}

/// What the directory's checkpoints say of the log.
#[derive(Debug, Default, Clone, Copy)]
struct Checkpoint {
    recovery_point: Option<Offset>,
    log_start_offset: Option<Offset>,
    high_watermark: Option<Offset>,
}

struct Run {
    random: fastrand::Rng,
    plan: Plan,
    dir: PathBuf,
    disk: Arc<Disk>,
    config: LogConfig,
    checkpoint: Checkpoint,
    now_ms: i64,
    pending: Vec<DeletedFiles>,
    model: Model,
    /// Where the last cleaning ended.
    cleaned_to: Option<Offset>,
    /// What was done, for whoever looks for a fault.
    told: bool,
}

/// A directory in memory where there is such a thing: what is flushed there costs nothing.
pub(in crate::log) fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Does the run with this number; returns how many operations of the disk it took.
pub(super) fn run(seed: u64, plan: Plan) -> u64 {
    let root = directory();
    let dir = root.path().join("topic-0");
    std::fs::create_dir(&dir).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let config = LogConfig {
        segment_bytes: random.choice([700, 2500, 12_000]).unwrap(),
        segment_ms: 1000,
        index_interval_bytes: random.choice([1, 200, 4096]).unwrap(),
        segment_index_bytes: random.choice([160, 1 << 20]).unwrap(),
        flush_messages: random.choice([1, 1, 3, i64::MAX]).unwrap(),
        preallocate: random.u8(0..4) == 0,
        retention_ms: -1,
        ..LogConfig::default()
    };
    let is_compacted = random.u8(0..3) == 0;
    let delete_retention_ms = random.choice([0, 500, 2000]).unwrap();
    let config =
        LogConfig { cleanup_compact: is_compacted, cleanup_delete: !is_compacted, delete_retention_ms, ..config };
    let disk = Arc::new(Disk::new(&dir, random.u64(..)));
    // Where every operation breaks in turn there are few of them.
    let steps = if matches!(plan, Plan::Any) { random.usize(5..40) } else { random.usize(4..16) };
    let told = super::number("KAFKA_RS_LOG_RUNS") == Some(1);
    let mut run = Run {
        random,
        plan,
        dir,
        disk,
        config,
        checkpoint: Checkpoint::default(),
        now_ms: NOW,
        pending: Vec::new(),
        model: Model { is_compacted, ..Model::default() },
        cleaned_to: None,
        told,
    };
    run.tell(&run.config);
    if let Plan::Once { at, what, .. } = plan {
        run.disk.plan(at, what);
    }
    let mut log = run.open(Left::Killed, Shutdown::Unclean);
    for _ in 0..steps {
        run.step(&mut log);
    }
    run.disk.calm();
    run.model.check_open(&log);
    let operations = run.disk.course().operations;
    let left = if run.random.bool() { Left::Killed } else { Left::PowerCut };
    run.crash(&mut log, left);
    operations
}

impl Run {
    fn tell(&self, what: &impl std::fmt::Debug) {
        if self.told {
            eprintln!("{what:?}");
        }
    }

    /// Opens the log as it was left, however often that takes.
    fn open(&mut self, left: Left, shutdown: Shutdown) -> Log {
        let (mut left, mut shutdown) = (left, shutdown);
        loop {
            if matches!(self.plan, Plan::Any) && self.random.u8(0..4) == 0 {
                self.plan_any();
            }
            match self.try_open(shutdown) {
                Ok((log, report)) => {
                    self.tell(&report);
                    if self.disk.course().stopped {
                        drop(log);
                    } else {
                        self.disk_calm_if_any();
                        self.model.check_opened(&log, left, &report);
                        self.cleaned_to = self.cleaned_to.filter(|cleaned| *cleaned <= log.log_end_offset());
                        // As the manager does before anybody uses the log.
                        let known = &mut self.checkpoint.recovery_point;
                        *known = known.map(|known| known.min(log.recovery_point()));
                        return log;
                    }
                }
                Err(error) => assert!(self.disk.course().broke, "could not be opened: {error}"),
            }
            // The marker of a clean stop goes before the first log is opened.
            shutdown = Shutdown::Unclean;
            self.disk.calm();
            if self.left() == Left::PowerCut {
                self.tell(&"power cut while it was opened");
                self.disk.cut_power();
                left = Left::PowerCut;
            }
        }
    }

    /// The plan for an opening is over; one for the whole run is not.
    fn disk_calm_if_any(&self) {
        if matches!(self.plan, Plan::Any) || self.disk.course().broke {
            self.disk.calm();
        }
    }

    fn try_open(&self, shutdown: Shutdown) -> Result<(Log, OpenReport), crate::log::LogError> {
        Log::open(LogOptions {
            dir: self.dir.clone(),
            config: Arc::new(self.config.clone()),
            fs: Fs::with_faults(self.disk.clone()),
            now_ms: self.now_ms,
            shutdown,
            is_flushed: false,
            recovery_point: self.checkpoint.recovery_point,
            log_start_offset: self.checkpoint.log_start_offset,
            high_watermark: self.checkpoint.high_watermark,
        })
    }

    /// How the process ends when something breaks.
    fn left(&mut self) -> Left {
        match self.plan {
            Plan::Once { left, .. } => left,
            _ => self.random.choice([Left::Killed, Left::PowerCut]).unwrap(),
        }
    }

    fn plan_any(&mut self) {
        let what = [Break::Fail(EIO), Break::Fail(ENOSPC), Break::Short, Break::Stop, Break::Stop];
        let what = self.random.choice(what).unwrap();
        self.disk.plan(self.random.u64(0..40), what);
    }

    fn crash(&mut self, log: &mut Log, left: Left) {
        self.tell(&left);
        self.disk_calm_if_any();
        if left == Left::PowerCut {
            self.disk.cut_power();
        }
        self.pending.clear();
        *log = self.open(left, Shutdown::Unclean);
    }

    /// What came of something; after an error the log is as it was, or has to be opened again.
    fn done<T, E: Display>(&mut self, log: &mut Log, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) if !self.disk.course().stopped => {
                self.model.flushed(log.flushed_end().0);
                Some(value)
            }
            Ok(_) => {
                let left = self.left();
                self.crash(log, left);
                None
            }
            Err(error) => {
                let course = self.disk.calm();
                self.tell(&error.to_string());
                assert!(course.broke, "failed: {error}");
                if course.stopped || log.has_failed() {
                    let left = self.left();
                    self.crash(log, left);
                } else {
                    self.model.doubtful.clear();
                    self.model.check_open(log);
                }
                None
            }
        }
    }

    fn step(&mut self, log: &mut Log) {
        if matches!(self.plan, Plan::Any) && self.random.u8(0..8) == 0 {
            self.plan_any();
        }
        self.now_ms += self.random.choice([0, 1, 10, 600]).unwrap();
        match self.random.u8(0..100) {
            0..25 => self.append_plain(log),
            25..40 => self.append_of_producer(log, false),
            40..52 => self.append_of_producer(log, true),
            52..62 => self.end_transaction(log),
            62..66 => self.append_again(log),
            66..69 => {
                self.model.epoch += 1;
                log.begin_leader_epoch(LeaderEpoch(self.model.epoch));
            }
            69..75 => self.commit(log),
            75..79 => {
                self.tell(&"flush");
                let flushed = log.flush();
                if let Some(end) = self.done(log, flushed) {
                    assert_eq!(end.0, self.model.end);
                    self.model.told = self.model.safe;
                }
            }
            79..82 => {
                self.tell(&"flush completed segments");
                let flushed = log.flush_completed_segments();
                self.done(log, flushed);
            }
            82..86 => self.note_checkpoint(log),
            86..88 => {
                let closed = log.close_idle_files();
                self.done(log, closed);
            }
            88..90 => self.raise_start(log),
            90..91 => self.retain(log),
            91..93 => self.clean(log),
            93 => {
                for files in std::mem::take(&mut self.pending) {
                    let removed = files.remove(&Fs::with_faults(self.disk.clone()));
                    self.done(log, removed);
                }
            }
            94 => self.truncate(log),
            95 => self.start_anew(log),
            96..98 => self.reopen_clean(log),
            _ => {
                let left = self.left();
                self.crash(log, left);
            }
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let most = if self.config.segment_bytes > 5000 { 1500 } else { 120 };
        let length = self.random.usize(0..most);
        std::iter::repeat_with(|| self.random.u8(..)).take(length).collect()
    }

    fn batch(&mut self, options: BatchOptions) -> Bytes {
        let mut builder = BatchBuilder::new(options);
        for _ in 0..self.random.usize(1..4) {
            let (key, value) = (self.random.u8(0..12), self.value());
            // In compacted logs a tombstone.
            let value = Some(value.as_slice()).filter(|_| self.random.u8(0..4) > 0);
            builder
                .append(&NewRecord { timestamp: self.now_ms, key: Some(&[key]), value, ..Default::default() })
                .unwrap();
        }
        builder.build().unwrap()
    }

    fn append_plain(&mut self, log: &mut Log) {
        let mut batches = vec![self.batch(BatchOptions::default())];
        for _ in 0..self.random.usize(0..3) {
            let next = self.batch(BatchOptions::default());
            if batches.iter().map(Bytes::len).sum::<usize>() + next.len() <= self.config.segment_bytes as usize {
                batches.push(next);
            }
        }
        let as_follower = self.random.u8(0..4) == 0;
        self.append(log, &batches, AppendOrigin::Client, as_follower);
    }

    fn append(&mut self, log: &mut Log, batches: &[Bytes], origin: AppendOrigin, as_follower: bool) {
        let (first, mut next) = (self.model.end, self.model.end);
        let mut expected = Vec::new();
        for bytes in batches {
            let bytes = stored(bytes, next, self.model.epoch);
            next = end_of(&bytes);
            self.model.written.insert((view(&bytes).header().base_offset.0, bytes.clone()));
            expected.push(bytes);
        }
        self.tell(&format!("append {first}..{next} {origin:?}"));
        let context = AppendContext::new(LeaderEpoch(self.model.epoch), origin, self.now_ms);
        let leaders: Vec<LeaderBatch<'_>> = expected.iter().map(|bytes| view(bytes).into()).collect();
        let appended = if as_follower {
            log.append_as_follower(&expected.concat(), self.now_ms)
        } else {
            log.append_as_leader(&leaders, &context)
        };
        match &appended {
            Ok(info) => {
                assert_eq!((info.first_offset.0, info.last_offset.0, info.was_duplicate), (first, next - 1, false));
                expected.into_iter().for_each(|bytes| self.model.append(bytes));
            }
            Err(_) => self.model.doubtful = expected,
        }
        if let Some(info) = self.done(log, appended)
            && info.flush_is_due
        {
            self.acknowledge(log, next);
        }
    }

    /// Nobody is told of records before they are flushed.
    fn acknowledge(&mut self, log: &mut Log, end: i64) {
        let flushed = log.flush_up_to(Offset(end));
        if self.done(log, flushed).is_some() {
            assert!(self.model.safe >= end, "acknowledged up to {end}, safe up to {}", self.model.safe);
            self.model.told = self.model.safe;
        }
    }

    fn producer(&mut self, log: &Log, id: i64) -> Option<ProducerEntry> {
        log.active_producers().unwrap().into_iter().find(|entry| entry.producer_id.0 == id)
    }

    fn append_of_producer(&mut self, log: &mut Log, transactional: bool) {
        // Compaction takes aborted records and old markers away: its own tests are about those.
        let transactional = transactional && !self.config.cleanup_compact;
        let id = self.random.i64(1..4) + if transactional { 10 } else { 0 };
        let known = self.producer(log, id);
        let is_open = known.as_ref().is_some_and(|entry| entry.txn_first_offset.is_some());
        let (mut epoch, mut sequence) = known.map_or((0, 0), |entry| (entry.epoch, entry.last_sequence() + 1));
        if !is_open && self.random.u8(0..6) == 0 {
            (epoch, sequence) = (epoch + 1, 0);
        }
        let batch = self.batch(BatchOptions {
            producer_id: ProducerId(id),
            producer_epoch: epoch,
            base_sequence: sequence,
            transactional,
            ..BatchOptions::default()
        });
        self.append(log, &[batch], AppendOrigin::Client, false);
    }

    fn end_transaction(&mut self, log: &mut Log) {
        let open = |entry: &ProducerEntry| entry.txn_first_offset.is_some();
        let mut open: Vec<_> = log.active_producers().unwrap().into_iter().filter(open).collect();
        open.sort_by_key(|entry| entry.producer_id.0);
        if let Some(entry) = self.random.choice(open) {
            let marker = marker(entry.producer_id.0, entry.epoch, self.random.bool(), 0);
            self.append(log, &[marker], AppendOrigin::Coordinator, false);
        }
    }

    /// A batch that its producer sends again is found, not appended.
    fn append_again(&mut self, log: &mut Log) {
        let id = self.random.i64(1..4);
        let Some(last) = self.producer(log, id).and_then(|entry| entry.batches().next_back().copied()) else { return };
        let Some(bytes) = self.model.batches.get(&last.first_offset().0).cloned() else { return };
        if view(&bytes).header().producer_id.0 != id {
            return; // Below the log start something else may have been.
        }
        let context = AppendContext::new(LeaderEpoch(self.model.epoch), AppendOrigin::Client, self.now_ms);
        let appended = log.append_as_leader(&[view(&bytes).into()], &context);
        if let Some(info) = self.done(log, appended) {
            assert!(info.was_duplicate, "appended twice");
            assert_eq!((info.first_offset, info.last_offset), (last.first_offset(), last.last_offset));
            if info.flush_is_due {
                self.acknowledge(log, last.last_offset.0 + 1);
            }
        }
    }

    fn commit(&mut self, log: &Log) {
        log.advance_high_watermark(Offset(self.model.end));
        let before = self.model.high_watermark;
        self.model.high_watermark = log.high_watermark().0;
        if self.config.flush_messages == 1 && self.model.high_watermark > before {
            let committed = self.model.high_watermark.min(self.model.last_end());
            assert!(committed <= self.model.safe, "committed, but not flushed");
        }
    }

    fn note_checkpoint(&mut self, log: &Log) {
        self.checkpoint = Checkpoint {
            recovery_point: Some(log.recovery_point()),
            log_start_offset: Some(log.log_start_offset()).filter(|start| *start > Offset::ZERO),
            high_watermark: Some(log.high_watermark()),
        };
        self.tell(&self.checkpoint);
        self.model.checkpointed_start = self.model.start;
    }

    fn raise_start(&mut self, log: &mut Log) {
        let to = self.random.i64(self.model.start..=self.model.high_watermark);
        self.tell(&format!("raise start to {to}"));
        let raised = log.raise_log_start_offset(Offset(to));
        if self.done(log, raised).is_some() {
            self.model.start = to;
        }
    }

    fn retain(&mut self, log: &mut Log) {
        let retention_bytes = self.random.i64(0..20_000);
        self.tell(&format!("retain {retention_bytes} bytes"));
        log.set_config(LogConfig { retention_bytes, ..self.config.clone() }.into());
        let outcome = log.apply_retention(self.now_ms);
        // Also after an error: it may have been raised.
        let start = log.log_start_offset().0;
        assert!((self.model.start..=self.model.high_watermark).contains(&start));
        self.model.start = start;
        if let Some(outcome) = self.done(log, outcome) {
            self.pending.extend(outcome.deleted);
        }
    }

    fn clean(&mut self, log: &mut Log) {
        if !self.config.cleanup_compact {
            return;
        }
        self.tell(&"clean");
        // As from a checkpoint that was lost, or not.
        let checkpoint = self.cleaned_to.filter(|_| self.random.u8(0..3) > 0);
        let cleanable = log.cleanable(checkpoint, self.now_ms);
        let Some(cleanable) = self.done(log, cleanable).filter(|cleanable| cleanable.cleanable_bytes > 0) else {
            return;
        };
        let options = CleanOptions {
            dedupe_buffer_bytes: 1 << 16,
            load_factor: 0.9,
            io_buffer_bytes: 1 << 12,
            seed: 7,
            now_ms: self.now_ms,
        };
        let cleaned = log.flush_and_clean(&cleanable, &options, &mut |_| ControlFlow::Continue(()));
        self.pending.extend(cleaned.deleted);
        let end = cleaned.result.as_ref().unwrap_or(&cleanable.first_uncleanable).0;
        let cleaning = Cleaning { end, now_ms: self.now_ms };
        if log.has_failed() || self.disk.course().stopped {
            self.model.cleaning = Some(cleaning);
        } else {
            self.model.check_cleaned(log, cleaning, cleaned.result.is_ok());
        }
        if self.model.is_damaged && !self.disk.course().broke {
            return; // Damage need not be cleaned.
        }
        self.cleaned_to = self.done(log, cleaned.result);
    }

    fn truncate(&mut self, log: &mut Log) {
        let to = self.random.i64(self.model.start..=self.model.end);
        self.tell(&format!("truncate to {to}"));
        let truncated = log.truncate_to(Offset(to), self.now_ms);
        // What comes in the place of what was cleaned is dirty.
        self.cleaned_to = None;
        match &truncated {
            Ok((cut, _)) => {
                assert_eq!(*cut, to < self.model.end);
                if *cut {
                    self.model.truncate(to);
                    // As Kafka does: no recovery point stays behind the end.
                    self.note_checkpoint(log);
                }
            }
            Err(_) if log.has_failed() => {
                self.model.doubtful = self.model.batches.values().filter(|bytes| end_of(bytes) > to).cloned().collect();
                self.model.truncate(to);
            }
            Err(_) => {}
        }
        if let Some((_, files)) = self.done(log, truncated) {
            self.pending.extend(files);
        }
    }

    fn start_anew(&mut self, log: &mut Log) {
        let at = self.model.end + self.random.i64(0..10);
        self.tell(&format!("start anew at {at}"));
        let before = log.view().segments[0].base_offset()..=self.model.start;
        let started = log.truncate_fully_and_start_at(Offset(at), self.now_ms);
        self.cleaned_to = None;
        let model = &mut self.model;
        if started.is_err() {
            (model.safe, model.told) = (*before.start(), *before.start());
            model.begun_before = Some(before);
            model.gap_at_end = true;
        } else {
            model.batches.clear();
            model.gap_at_end = false;
            (model.safe, model.told) = (at, at);
        }
        (model.start, model.end, model.high_watermark) = (at, at, at);
        if let Some(files) = self.done(log, started) {
            self.pending.extend(files);
        }
    }

    fn reopen_clean(&mut self, log: &mut Log) {
        let mode = self.random.choice([CloseMode::Sync, CloseMode::CallerSyncs]).unwrap();
        self.tell(&format!("close {mode:?}"));
        let closed = log.close(mode);
        if self.done(log, closed).is_none() {
            return;
        }
        if mode == CloseMode::CallerSyncs {
            self.disk.flush_all();
        }
        self.model.flushed(self.model.end);
        self.note_checkpoint(log);
        self.disk_calm_if_any();
        if self.random.bool() {
            self.disk.cut_power();
        }
        self.pending.clear();
        *log = self.open(Left::Clean, Shutdown::Clean);
    }
}
