//! The files of a partition: what Apache Kafka 4.3.1 wrote is read and rebuilt, and no file at all does harm.
//!
//! `data/log/kafka-4.3.1-golden-0` is a partition that Kafka wrote and closed: 200 records of an idempotent producer
//! with each codec, 30 in transactions, 20 of the console producer; index.interval.bytes=400, segment.ms=3000.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kafka_rs::log::fuzz::{fuzz_epoch_checkpoint, fuzz_partition_files, fuzz_producer_snapshot, fuzz_txn_index};
use kafka_rs::log::{CloseMode, Log, LogConfig, LogOptions, OpenReport, ReadLimits, Shutdown};
use kafka_rs::record::batches;
use kafka_rs::types::{LeaderEpoch, Offset};

const GOLDEN: &str = "tests/data/log/kafka-4.3.1-golden-0";

/// The golden partition in a directory of its own.
fn golden() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("golden-0");
    fs::create_dir(&to).unwrap();
    for (path, bytes) in files(Path::new(GOLDEN)) {
        fs::write(to.join(path.file_name().unwrap()), bytes).unwrap();
    }
    dir
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Opens it a minute after it was written.
fn open(dir: &Path, shutdown: Shutdown) -> (Log, OpenReport) {
    let config = LogConfig { index_interval_bytes: 400, segment_ms: 3000, ..LogConfig::default() };
    let recovery_point = (shutdown == Shutdown::Clean).then_some(Offset(254));
    Log::open(LogOptions {
        dir: dir.join("golden-0"),
        config: Arc::new(config),
        now_ms: 1_795_234_100_000,
        shutdown,
        recovery_point,
        ..LogOptions::default()
    })
    .unwrap()
}

fn check(log: &Log) {
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(0), Offset(254)));
    assert_eq!(
        log.epochs_known().iter().map(|e| (e.epoch, e.start_offset)).collect::<Vec<_>>(),
        [(LeaderEpoch(0), Offset(0))]
    );
    let (mut records, mut markers, mut next) = (0, 0, Offset(0));
    while next < log.log_end_offset() {
        let limits = ReadLimits { end: log.log_end_offset(), max_bytes: 1000, at_least_one_batch: true };
        let read = log.read(next, limits).unwrap();
        for batch in batches(&read.bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            let count = batch.records(&mut Vec::new(), 1 << 20).unwrap().map(Result::unwrap).count();
            if batch.header().attributes.is_control() { markers += count } else { records += count }
        }
        next = read.next_offset;
    }
    assert_eq!((records, markers), (250, 4));
}

#[test]
fn a_partition_of_kafka_is_opened_and_read() {
    let dir = golden();
    let (log, report) = open(dir.path(), Shutdown::Clean);
    assert_eq!(report, OpenReport::default());
    check(&log);
    assert_eq!(files(&dir.path().join("golden-0")), {
        let from = files(Path::new(GOLDEN)).into_iter();
        from.map(|(path, bytes)| (dir.path().join("golden-0").join(path.file_name().unwrap()), bytes))
            .collect::<Vec<_>>()
    });
    log.set_high_watermark(Offset(254));
    assert_eq!(log.last_stable_offset(), Offset(254));
    assert_eq!(log.active_producers().unwrap().len(), 7, "one for each run of a producer");
}

/// Goal: what recovery builds is what Kafka built. Method: delete it, recover, compare bytes.
#[test]
fn kafkas_indexes_are_built_anew_to_the_byte() {
    let dir = golden();
    let before = files(&dir.path().join("golden-0"));
    for (path, _) in &before {
        if path.extension().is_some_and(|e| e == "index" || e == "timeindex") {
            fs::remove_file(path).unwrap();
        }
    }
    fs::remove_file(dir.path().join("golden-0/leader-epoch-checkpoint")).unwrap();
    let (log, report) = open(dir.path(), Shutdown::Unclean);
    assert_eq!((report.recovered_segments, report.findings.as_slice()), (3, &[][..]));
    check(&log);
    log.close(CloseMode::Sync).unwrap();
    assert_eq!(files(&dir.path().join("golden-0")), before);
}

/// Goal: replaying the log gives the state in Kafka's snapshot. Method: compare with and without it.
#[test]
fn kafkas_producers_are_found_again() {
    let state = |log: &Log| {
        let mut producers: Vec<_> = log
            .active_producers()
            .unwrap()
            .iter()
            .map(|p| (p.producer_id, p.epoch, p.last_sequence(), p.coordinator_epoch, p.txn_first_offset))
            .collect();
        producers.sort();
        producers
    };
    let dir = golden();
    let (log, _) = open(dir.path(), Shutdown::Clean);
    let from_snapshot = state(&log);
    for (path, _) in files(&dir.path().join("golden-0")) {
        if path.extension().is_some_and(|e| e == "snapshot") {
            fs::remove_file(path).unwrap();
        }
    }
    let (log, report) = open(dir.path(), Shutdown::Clean);
    assert_eq!(report.findings.len(), 1, "{report:?}");
    assert_eq!(state(&log), from_snapshot);
}

/// Every kind of file, in the place of every kind of file, whole and damaged.
#[test]
fn no_file_does_harm() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut inputs: Vec<Vec<u8>> = files(Path::new(GOLDEN)).into_iter().map(|(_, bytes)| bytes).collect();
    inputs.extend([vec![], vec![0; 700], vec![0xff; 700]]);
    for input in &inputs {
        fuzz_epoch_checkpoint(input);
        fuzz_producer_snapshot(input);
        fuzz_txn_index(input);
        for choice in 0..8 {
            let mut data = vec![choice + 8 * random.u8(..3)];
            data.extend_from_slice(input);
            fuzz_partition_files(&data);
            for _ in 0..2 {
                let at = random.usize(..data.len());
                if at > 0 {
                    data[at] = random.u8(..);
                }
            }
            data.truncate(1 + random.usize(..data.len()));
            fuzz_partition_files(&data);
        }
    }
    for (_, input) in files(Path::new("tests/data/fuzz/log")) {
        fuzz_partition_files(&input);
    }
}
