//! What a record costs where much is stored already.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use kafka_rs::protocol::messages::FetchRequest;
use kafka_rs::protocol::messages::fetch_request::{FetchPartition, FetchTopic};

use super::cases::Case;
use super::support::servers::{connect, end_offset};
use super::support::wire::batch_of;
use super::work::Bench;

/// Of a segment by default.
const SEGMENT_BYTES: u64 = 1 << 30;
/// A batch of 64 KiB.
const RECORDS: usize = 63;
const RECORD_BYTES: usize = 1024;
/// Batches in the beginning of each segment, which with them is as large as the smallest may be.
const IN_SEGMENT: usize = 17;
/// Batches that are appended, and then read.
const BATCHES: f64 = 10_000.0;
const GIB: f64 = (1 << 30) as f64;

/// Stores so much, then measures appending to the end and reading anywhere.
///
/// What is behind the first megabyte of a closed segment is a hole, so that it takes no room on the disk. Servers see a segment of a gigabyte.
pub fn measure(bench: &mut Bench<'_>, case: &Case, megabytes: u64) {
    let closed = (megabytes / 1_000) as usize;
    let batch = batch_of(&vec![vec![b'v'; RECORD_BYTES]; RECORDS]);
    let segment_bytes = (batch.len() * IN_SEGMENT).to_string();
    // A new segment where the first is full, as long as there are to be more.
    let configs: &[_] = if closed > 0 { &[("segment.bytes", &segment_bytes[..])] } else { &[] };
    let mut wire = connect();
    wire.create_topic(case.name, 1, configs);
    for _ in 0..(closed + 1) * IN_SEGMENT {
        assert_eq!(wire.produce(case.name, 0, Some(batch.clone())).unwrap().error_code, 0);
    }
    if closed > 0 {
        wire.set_config(case.name, "segment.bytes", &SEGMENT_BYTES.to_string());
        let log = bench.data.join(format!("{}-0", case.name));
        bench.restart(|| enlarge(&log));
        wire = connect();
    }
    let times = (BATCHES * bench.scale) as usize;
    let gib = (times * batch.len()) as f64 / GIB;

    let begin = Instant::now();
    while !end_offset(case.name, 0).is_ok_and(|end| end.is_some()) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} has no leader", case.name);
    }
    let before = bench.server.taken();
    for _ in 0..times {
        assert_eq!(wire.produce(case.name, 0, Some(batch.clone())).unwrap().error_code, 0);
    }
    let between = bench.server.taken();
    let topic_id = wire.topic_id(case.name);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..times {
        let wanted = FetchPartition {
            fetch_offset: (random.usize(..(closed + 1) * IN_SEGMENT) * RECORDS) as i64,
            partition_max_bytes: i32::try_from(batch.len()).unwrap(),
            ..Default::default()
        };
        let topic = FetchTopic { topic_id, partitions: vec![wanted], ..Default::default() };
        let answer = wire.call(&FetchRequest { topics: vec![topic], ..Default::default() }, 17).unwrap();
        let records = answer.responses[0].partitions[0].records.as_ref().unwrap();
        assert_eq!(records.len(), batch.len());
    }
    let after = bench.server.taken();
    bench.add(case, "ours", "broker CPU, appending", "s/GiB", (between.cpu - before.cpu) / gib);
    bench.add(case, "ours", "broker CPU, reading anywhere", "s/GiB", (after.cpu - between.cpu) / gib);
}

/// Gives all segments but the last the size that they have by default.
fn enlarge(log: &Path) {
    let mut segments: Vec<_> = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    segments.sort();
    segments.pop();
    for segment in segments {
        File::options().write(true).open(segment).unwrap().set_len(SEGMENT_BYTES).unwrap();
    }
}
