//! What compaction costs: bytes per second of a processor, memory of the map of keys. Prints figures, asserts nothing.
//!
//! `cargo bench --bench compaction` (builds with optimisations). Works on logs directly, without a broker.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and stops at the first surprise")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use kafka_rs::log::cleaner::CleanOptions;
use kafka_rs::log::{AppendContext, AppendOrigin, LeaderBatch, Log, LogConfig, LogOptions};
use kafka_rs::record::{BatchBuilder, BatchOptions, Codec, Compression, NewRecord, RecordBatch};
use kafka_rs::types::{LeaderEpoch, Offset};

const NOW: i64 = 1_700_000_000_000;
const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    println!("records, values, keys, codec: MiB/s of log (read, and what stays written), records/s, map");
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        run(500_000, 1000, 100_000, codec);
    }
    run(5_000_000, 50, 1_000_000, Codec::None);
    run(5_000_000, 50, 5_000_000, Codec::None);
}

fn run(records: usize, value_bytes: usize, keys: usize, codec: Codec) {
    let data = tempfile::tempdir().unwrap();
    let config =
        LogConfig { cleanup_compact: true, cleanup_delete: false, segment_bytes: 256 << 20, ..LogConfig::default() };
    let options = LogOptions { dir: data.path().join("bench-0"), config: Arc::new(config), ..LogOptions::default() };
    let (log, _) = Log::open(options).unwrap();
    fill(&log, records, value_bytes, keys, codec);
    log.flush().unwrap();

    let options = CleanOptions {
        dedupe_buffer_bytes: 128 << 20,
        load_factor: 0.9,
        io_buffer_bytes: 256 << 10,
        seed: fastrand::u64(..),
        now_ms: NOW,
    };
    let cleanable = log.cleanable(Some(Offset::ZERO), NOW).unwrap();
    let started = Instant::now();
    let cleaned = log.clean(&cleanable, &options, &mut |_| ControlFlow::Continue(()));
    let seconds = started.elapsed().as_secs_f64();
    let end = cleaned.result.unwrap();
    let stats = cleaned.stats;
    println!(
        "{records} of {value_bytes} bytes, {keys} keys, {codec}: {:.0} MiB in {seconds:.2} s, {:.0} MiB/s, {:.0} records/s; \
         {:.0} MiB and {} records left up to {end}; map of {:.1} MiB for {} keys; resident at most {:.0} MiB",
        stats.bytes.0 as f64 / MIB,
        stats.bytes.0 as f64 / MIB / seconds,
        stats.records.0 as f64 / seconds,
        stats.bytes.1 as f64 / MIB,
        stats.records.1,
        stats.map_memory as f64 / MIB,
        stats.keys,
        peak_kib() as f64 / 1024.0,
    );
}

/// Batches of about 16 kB, keys in no order, and one more segment.
fn fill(log: &Log, records: usize, value_bytes: usize, keys: usize, codec: Codec) {
    let mut random = fastrand::Rng::with_seed(7);
    let options = BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() };
    let words: Vec<u8> = (0..value_bytes * 64).map(|_| random.alphabetic() as u8).collect();
    let mut written = 0;
    while written < records {
        let mut builder = BatchBuilder::new(options);
        while builder.uncompressed_size() < 16_000 && written < records {
            let key = format!("key-{:08}", random.usize(..keys));
            let at = random.usize(..words.len() - value_bytes);
            let value = &words[at..at + value_bytes];
            let new = NewRecord { timestamp: NOW, key: Some(key.as_bytes()), value: Some(value), headers: &[] };
            builder.append(&new).unwrap();
            written += 1;
        }
        append(log, builder);
    }
    let rolled = LogConfig { segment_ms: i64::MIN, ..(*log.config()).clone() };
    log.set_config(Arc::new(rolled));
    let mut last = BatchBuilder::new(options);
    last.append(&NewRecord { timestamp: NOW, key: Some(b"last"), value: Some(b"x"), headers: &[] }).unwrap();
    append(log, last);
}

fn append(log: &Log, builder: BatchBuilder) {
    let bytes = builder.build().unwrap();
    let (batch, _) = RecordBatch::new(&bytes).unwrap();
    let context = AppendContext::new(LeaderEpoch::new(0), AppendOrigin::Client, NOW);
    log.append_as_leader(&[LeaderBatch::from(batch)], &context).unwrap();
    log.set_high_watermark(log.log_end_offset());
}

/// The most memory that this process has had.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
