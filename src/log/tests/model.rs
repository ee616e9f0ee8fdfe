//! The log against a list of batches: whatever is done to both, they say the same.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::log::test_support::*;
use crate::log::{Log, LogConfig};
use crate::types::{LeaderEpoch, Offset};

#[derive(Debug, Clone)]
enum Step {
    /// Batches of as many records of a size, with a timestamp and in an epoch that may have risen.
    Append {
        counts: Vec<usize>,
        size: usize,
        timestamp: i64,
        new_epoch: bool,
    },
    Read {
        from: usize,
        max_bytes: usize,
    },
    FindTime {
        timestamp: i64,
    },
    RaiseStart {
        to: usize,
    },
    Truncate {
        to: usize,
    },
    Retain {
        bytes: i64,
    },
    Commit,
    Flush,
    CloseIdle,
    ReopenClean,
    ReopenKilled {
        cut: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let counts = proptest::collection::vec(1..5_usize, 1..4);
    prop_oneof![
        8 => (counts, 0..60_usize, 0..50_i64, prop::bool::weighted(0.1)).prop_map(
            |(counts, size, timestamp, new_epoch)| Step::Append { counts, size, timestamp, new_epoch }
        ),
        4 => (0..100_usize, 1..2000_usize).prop_map(|(from, max_bytes)| Step::Read { from, max_bytes }),
        2 => (0..60_i64).prop_map(|timestamp| Step::FindTime { timestamp }),
        1 => (0..100_usize).prop_map(|to| Step::RaiseStart { to }),
        1 => (0..100_usize).prop_map(|to| Step::Truncate { to }),
        1 => (0..2000_i64).prop_map(|bytes| Step::Retain { bytes }),
        2 => Just(Step::Commit),
        1 => Just(Step::Flush),
        1 => Just(Step::CloseIdle),
        1 => Just(Step::ReopenClean),
        1 => (0..300_u64).prop_map(|cut| Step::ReopenKilled { cut }),
    ]
}

#[derive(Debug, Clone)]
struct Batch {
    first: i64,
    bytes: u64,
    epoch: i32,
    /// Timestamp and value of each record.
    records: Vec<(i64, Vec<u8>)>,
}

impl Batch {
    fn end(&self) -> i64 {
        self.first + self.records.len() as i64
    }
}

struct Model {
    batches: Vec<Batch>,
    start: i64,
    end: i64,
    high_watermark: i64,
    epoch: i32,
    written: u64,
}

impl Model {
    fn records(&self) -> impl Iterator<Item = (i64, i64, &Vec<u8>)> {
        self.batches
            .iter()
            .flat_map(|batch| (batch.first..).zip(&batch.records).map(|(offset, (time, value))| (offset, *time, value)))
            .filter(|(offset, ..)| *offset >= self.start)
    }

    fn from(&self, from: i64) -> Vec<(i64, Vec<u8>)> {
        self.records()
            .filter(|(offset, ..)| *offset >= from)
            .map(|(offset, _, value)| (offset, value.clone()))
            .collect()
    }

    /// An offset of the log, by a number of no meaning.
    fn pick(&self, number: usize) -> i64 {
        self.start + number as i64 % (self.end - self.start + 1)
    }

    fn append(&mut self, log: &Log, counts: &[usize], size: usize, timestamp: i64) {
        let (mut encoded, first) = (Vec::new(), self.end);
        for count in counts {
            let values: Vec<Vec<u8>> = (0..*count)
                .map(|_| {
                    self.written += 1;
                    let mut value = vec![0xaa; size];
                    value.extend_from_slice(&self.written.to_be_bytes());
                    value
                })
                .collect();
            let slices: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            let bytes = batch(timestamp, &slices);
            self.batches.push(Batch {
                first: self.end,
                bytes: bytes.len() as u64,
                epoch: self.epoch,
                records: (timestamp..).zip(values).collect(),
            });
            self.end = self.batches.last().unwrap().end();
            encoded.push(bytes);
        }
        let batches: Vec<_> =
            encoded.iter().map(|bytes| crate::record::RecordBatch::new(bytes).unwrap().0.into()).collect();
        let info = log.append_as_leader(&batches, &context(self.epoch, NOW)).unwrap();
        assert_eq!((info.first_offset.0, info.last_offset.0), (first, self.end - 1));
    }

    fn truncate(&mut self, to: i64) {
        self.batches.retain(|batch| batch.end() <= to);
        self.end = to;
        self.high_watermark = self.high_watermark.min(to);
    }

    /// The last `cut` bytes of the last segment, which begins at `base`, are gone.
    fn tear(&mut self, base: i64, cut: u64) {
        let mut left = cut;
        while left > 0
            && let Some(last) = self.batches.last().filter(|last| last.first >= base)
        {
            left = left.saturating_sub(last.bytes);
            self.batches.pop();
        }
        self.reopened(base);
    }

    /// The log ends where its batches end: an offset that was only promised is forgotten.
    fn reopened(&mut self, base: i64) {
        self.end = self.batches.last().map_or(base, |last| last.end().max(base));
        if self.end < self.start {
            // What is left was deleted by its readers; it is put aside.
            self.batches.clear();
            self.end = self.start;
        }
        self.high_watermark = self.high_watermark.clamp(self.start, self.end);
    }

    fn check(&self, log: &Log) {
        let offsets = log.offsets();
        assert_eq!(offsets.log_start_offset.0, self.start);
        assert_eq!(offsets.log_end_offset.0, self.end);
        assert_eq!(offsets.high_watermark.0, self.high_watermark);
        assert!(offsets.log_start_offset <= offsets.last_stable_offset);
        assert!(offsets.last_stable_offset <= offsets.high_watermark);
        assert!(offsets.recovery_point <= offsets.log_end_offset);
        for batch in self.batches.iter().filter(|batch| batch.first >= self.start) {
            assert_eq!(log.epoch_at(Offset(batch.first)), Some(LeaderEpoch(batch.epoch)), "at {}", batch.first);
        }
    }
}

fn last_segment(log: &Log) -> (PathBuf, i64) {
    let mut logs: Vec<_> = std::fs::read_dir(log.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    logs.sort();
    let last = logs.pop().unwrap();
    let base = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    (last, base)
}

fn run(dir: &Path, config: &LogConfig, steps: Vec<Step>) {
    let (mut log, _) = open(dir, config);
    let mut model = Model { batches: vec![], start: 0, end: 0, high_watermark: 0, epoch: 0, written: 0 };
    for step in steps {
        match step {
            Step::Append { counts, size, timestamp, new_epoch } => {
                if new_epoch {
                    model.epoch += 1;
                    log.begin_leader_epoch(LeaderEpoch(model.epoch));
                }
                model.append(&log, &counts, size, timestamp);
            }
            Step::Read { from, max_bytes } => {
                let from = model.pick(from);
                assert_eq!(read_all(&log, from, max_bytes), model.from(from), "from {from}");
                let piece = read(&log, from, max_bytes).unwrap();
                assert!(piece.bytes.len() <= max_bytes || crate::record::batches(&piece.bytes).count() == 1);
                let readable = log.readable_bytes(Offset(from), log.log_end_offset());
                assert!(readable >= piece.bytes.len() as u64);
            }
            Step::FindTime { timestamp } => {
                let found = log.offset_for_timestamp(timestamp).unwrap().map(|f| (f.offset.0, f.timestamp));
                let wanted = model.records().find(|(_, time, _)| *time >= timestamp);
                assert_eq!(found, wanted.map(|(offset, time, _)| (offset, time)), "time {timestamp}");
            }
            Step::RaiseStart { to } => {
                let to = model.pick(to);
                let raised = log.raise_log_start_offset(Offset(to));
                if to > model.high_watermark {
                    assert!(raised.is_err());
                } else {
                    model.start = model.start.max(to);
                    assert_eq!(raised.unwrap().0, model.start);
                }
            }
            Step::Truncate { to } => {
                let to = model.pick(to);
                let (cut, files) = log.truncate_to(Offset(to), NOW).unwrap();
                assert_eq!(cut, to < model.end);
                if cut {
                    model.truncate(to);
                }
                files.iter().for_each(|files| files.remove(&Default::default()).unwrap());
            }
            Step::Retain { bytes } => {
                let (size, segments) = (log.size_bytes(), log.segment_count());
                log.set_config(LogConfig { retention_bytes: bytes, ..config.clone() }.into());
                let outcome = log.apply_retention(NOW).unwrap();
                assert_eq!(log.size_bytes() + outcome.bytes, size);
                assert!(outcome.log_start_offset.0 <= model.high_watermark);
                assert!(outcome.segments <= segments);
                model.start = outcome.log_start_offset.0;
                outcome.deleted.iter().for_each(|files| files.remove(&Default::default()).unwrap());
            }
            Step::Commit => {
                log.set_high_watermark(Offset(model.end));
                model.high_watermark = model.end;
            }
            Step::Flush => assert_eq!(log.flush().unwrap().0, model.end),
            Step::CloseIdle => {
                log.close_idle_files().unwrap();
                log.close_idle_files().unwrap();
            }
            Step::ReopenClean => {
                let (reopened, report) = reopen_clean(&log, dir);
                // A cut in the middle of a batch leaves an offset that no batch tells of.
                let known = |told: &str| {
                    ["was on disk up to", "fewer records", "behind the log end"].iter().any(|text| told.contains(text))
                };
                assert!(report.findings.iter().all(|finding| known(&finding.to_string())), "{report:?}");
                log = reopened;
                model.reopened(last_segment(&log).1);
            }
            Step::ReopenKilled { cut } => {
                let (path, base) = last_segment(&log);
                let used: u64 = model.batches.iter().filter(|b| b.first >= base).map(|b| b.bytes).sum();
                if cut > 0 {
                    let file = OpenOptions::new().write(true).open(path).unwrap();
                    file.set_len(used.saturating_sub(cut)).unwrap();
                }
                log = reopen_killed(&log, dir).0;
                model.tear(base, cut);
            }
        }
        model.check(&log);
    }
    assert_eq!(read_all(&log, model.start, 500), model.from(model.start));
    let largest = model.batches.iter().flat_map(|batch| &batch.records).map(|(time, _)| *time).max();
    if model.start == 0 {
        assert_eq!(log.max_timestamp().unwrap().map(|found| found.timestamp), largest);
    }
}

/// Few cases in every run; as many as one likes with `PROPTEST_CASES`.
fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(60), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_log_is_a_list_of_batches(steps in proptest::collection::vec(step(), 1..60), preallocate: bool) {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig {
            segment_bytes: 1500,
            index_interval_bytes: 200,
            segment_index_bytes: 160,
            retention_ms: -1,
            segment_ms: i64::MAX,
            preallocate,
            ..LogConfig::default()
        };
        run(dir.path(), &config, steps);
    }
}
