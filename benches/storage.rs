//! What storage costs: a start with 10,000 partitions, recovery after a kill, also of 100 GB, appending and reading, compaction. Prints
//! figures, asserts nothing.
//!
//! `cargo bench --bench storage` (builds with optimisations). With `KAFKA_HOME` set, an Apache Kafka does the same on the same directories,
//! in turns with ours. `-- start recovery large append compaction` chooses parts. `KAFKA_RS_BENCH_DIR`: where the data goes, since the system's
//! temporary directory may be no disk. `KAFKA_RS_BENCH_BINARY`: another build of ours.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark prints, and stops at the first surprise"
)]

mod support;

use std::path::Path;
use std::time::Duration;

use kafka_rs::record::{BatchBuilder, BatchOptions, NewRecord};
use support::servers::{Server, Taken, Who, bytes_of, load_average, properties, wait_for_leader};
use support::wire::{Wire, batch_of};

/// How long a server may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(900);
/// Topics of a thousand partitions each.
const TOPICS: usize = 10;
const STARTS: usize = 5;
const MB: f64 = 1e6;

/// What is measured, in a directory of its own.
type Part = fn(&Path);

fn main() {
    let base = std::env::var("KAFKA_RS_BENCH_DIR").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").into());
    let data = tempfile::tempdir_in(&base).unwrap();
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [(&str, Part); 5] =
        [("start", start), ("recovery", recovery), ("large", large), ("append", append), ("compaction", compaction)];
    for (name, part) in parts {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            part(&data.path().join(name));
            println!("  load average afterwards: {}", load_average());
            std::fs::remove_dir_all(data.path().join(name)).unwrap();
        }
    }
}

/// 10,000 partitions with a batch each: ready after a clean stop, and after a kill.
fn start(data: &Path) {
    println!("start with {},000 partitions, from exec until the last one's end is told:", TOPICS);
    let settings = properties(data, &[]);
    let mut server = Server::spawn(&Who::Ours, &settings);
    let mut wire = server.answers();
    let topic = |n: usize| format!("many{n}");
    (0..TOPICS).for_each(|n| wire.create_topic(&topic(n), 1000, &[]));
    for n in 0..TOPICS {
        for partition in 0..1000 {
            assert_eq!(wire.produce(&topic(n), partition, Some(batch_of(&["x"; 5]))).unwrap().error_code, 0);
        }
    }
    server.stop();
    for who in Who::all() {
        for (how, is_clean) in [("clean stop", true), ("kill", false)] {
            // The first one starts on what another one left.
            let mut all = Vec::new();
            let starts = if matches!(who, Who::Ours) { STARTS } else { 2 };
            for _ in 0..=starts {
                let mut server = Server::spawn(&who, &settings);
                let Some(taken) = server.ready(&topic(TOPICS - 1), 999, PATIENCE) else {
                    println!("  {} after a {how}: not ready within {PATIENCE:?}", who.name());
                    server.kill();
                    return;
                };
                all.push(taken);
                if is_clean { server.stop() } else { server.kill() }
            }
            tell(&format!("  {} after a {how}", who.name()), &mut all[1..]);
        }
    }
}

fn tell(what: &str, all: &mut [Taken]) {
    all.sort_by_key(|taken| taken.wall);
    let (best, median) = (all[0], all[all.len() / 2]);
    println!(
        "{what}: {:.2} s median ({:.2} s at best), {:.2} s of processor time, {} MB resident ({} MB at most), {:.1} MB read, \
         load average {}",
        median.wall.as_secs_f64(),
        best.wall.as_secs_f64(),
        median.cpu,
        median.resident_kb / 1024,
        median.peak_kb / 1024,
        median.read as f64 / MB,
        load_average(),
    );
}

/// One and four gigabytes in active segments of a gigabyte each, and a gigabyte in a thousand closed ones of a megabyte.
fn recovery(data: &Path) {
    println!("recovery after a kill:");
    for (name, partitions, megabytes, segment_bytes) in
        [("one-active", 1, 1000, "1073741824"), ("four-active", 4, 1000, "1073741824"), ("closed", 4, 250, "1048576")]
    {
        let dir = data.join(name);
        std::fs::create_dir_all(data).unwrap();
        let settings = properties(&dir, &["log.flush.offset.checkpoint.interval.ms=1000"]);
        let mut server = Server::spawn(&Who::Ours, &settings);
        let mut wire = server.answers();
        wire.create_topic(name, partitions, &[("segment.bytes", segment_bytes)]);
        fill(&mut wire, name, partitions, megabytes);
        // Closed segments are flushed in the background, and noted as such once a second.
        std::thread::sleep(Duration::from_secs(if name == "closed" { 10 } else { 0 }));
        server.kill();
        // What is checked is flushed too. How fast the disk takes what the first server has left is not the question here.
        let lock = std::fs::File::open(dir.join(".lock")).unwrap();
        rustix::fs::syncfs(lock).unwrap();
        let size = bytes_of(&dir, "log") as f64;
        for who in Who::all() {
            let mut all = Vec::new();
            for _ in 0..if matches!(who, Who::Ours) { 4 } else { 2 } {
                let mut server = Server::spawn(&who, &settings);
                let Some(taken) = server.ready(name, partitions - 1, PATIENCE) else {
                    println!("  {} on {name}: not ready within {PATIENCE:?}", who.name());
                    server.kill();
                    return;
                };
                all.push(taken);
                server.kill();
            }
            let all = &mut all[1..];
            tell(&format!("  {} with {:.1} GB, {name} segments", who.name(), size / 1e9), all);
            let median = all[all.len() / 2];
            println!(
                "    {:.0} MB/s, {:.2} s of processor time per GB of data",
                size / MB / median.wall.as_secs_f64(),
                median.cpu / size * 1e9
            );
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// A hundred gigabytes after a kill: four partitions, each with 25 closed segments of a gigabyte and an active one. What is behind the
/// records of a closed segment is a hole, so that it takes no room on the disk; whoever reads it takes the time for it.
fn large(data: &Path) {
    const PARTITIONS: i32 = 4;
    const CLOSED: usize = 25;
    const SEGMENT: u64 = 1 << 30;
    println!("recovery of 100 GB after a kill, {PARTITIONS} partitions with {CLOSED} closed segments of 1 GiB each:");
    std::fs::create_dir_all(data).unwrap();
    let dir = data.join("data");
    let settings = properties(&dir, &["log.flush.offset.checkpoint.interval.ms=1000"]);
    let mut server = Server::spawn(&Who::Ours, &settings);
    let mut wire = server.answers();
    wire.create_topic("large", PARTITIONS, &[("segment.bytes", "1048576"), ("retention.ms", "-1")]);
    fill(&mut wire, "large", PARTITIONS, CLOSED + 1);
    // Closed segments are flushed in the background, and noted as such once a second.
    std::thread::sleep(Duration::from_secs(10));
    server.kill();
    let mut active = 0;
    for partition in 0..PARTITIONS {
        let log_dir = dir.join(format!("large-{partition}"));
        let mut logs: Vec<_> = std::fs::read_dir(&log_dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.sort();
        active += logs.pop().unwrap().metadata().unwrap().len();
        for closed in logs {
            std::fs::File::options().write(true).open(closed).unwrap().set_len(SEGMENT).unwrap();
        }
    }
    let size = bytes_of(&dir, "log") as f64;
    println!("  {:.1} GB in all, {:.1} MB of them in active segments", size / 1e9, active as f64 / MB);
    for who in Who::all() {
        let mut all = Vec::new();
        for _ in 0..if matches!(who, Who::Ours) { STARTS } else { 2 } {
            let mut server = Server::spawn(&who, &settings);
            let Some(taken) = server.ready("large", PARTITIONS - 1, PATIENCE) else {
                println!("  {}: not ready within {PATIENCE:?}", who.name());
                server.kill();
                break;
            };
            all.push(taken);
            server.kill();
        }
        if !all.is_empty() {
            tell(&format!("  {}", who.name()), &mut all);
        }
    }
}

/// Two gigabytes into one partition and out of it, in batches of 100 records of 1,000 bytes.
fn append(data: &Path) {
    println!("append and read, one connection, a request at a time, batches of 100 records of 1,000 bytes:");
    let settings = properties(data, &[]);
    for who in Who::all() {
        Server::format(&settings);
        let mut server = Server::spawn(&who, &settings);
        let mut wire = server.answers();
        let megabytes = 2000.0;
        // The second round counts: a Java machine has compiled by then what matters.
        for round in ["first", "second"] {
            let topic = format!("append-{round}-{}", who.name().replace(' ', "-"));
            wire.create_topic(&topic, 1, &[]);
            wait_for_leader(&topic);
            let before = server.taken();
            fill(&mut wire, &topic, 1, megabytes as usize);
            let between = server.taken();
            wire.read_bytes(&topic, 0);
            let after = server.taken();
            for (what, from, to) in [("append", before, between), ("read", between, after)] {
                println!(
                    "  {}, {round} round, {what}: {:.0} MB/s, {:.2} s of processor time per GB, {} MB resident",
                    who.name(),
                    megabytes / (to.wall - from.wall).as_secs_f64(),
                    (to.cpu - from.cpu) / megabytes * 1000.0,
                    to.resident_kb / 1024,
                );
            }
        }
        server.stop();
    }
}

/// The same records, held back from the cleaner until the clock runs; then one pass over all of them.
fn compaction(data: &Path) {
    println!("compaction, one thread, 1 GB of records of 1,000 bytes with 100,000 keys:");
    for who in Who::all() {
        let dir = data.join(who.name().replace(' ', "-"));
        std::fs::create_dir_all(data).unwrap();
        let settings = properties(&dir, &["log.cleaner.backoff.ms=100", "log.cleaner.threads=1"]);
        Server::format(&settings);
        let mut server = Server::spawn(&who, &settings);
        let mut wire = server.answers();
        let configs = [
            ("cleanup.policy", "compact"),
            ("min.compaction.lag.ms", "86400000"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("segment.bytes", "67108864"),
            ("file.delete.delay.ms", "100"),
        ];
        wire.create_topic("compacted", 1, &configs);
        wait_for_leader("compacted");
        fill_keyed(&mut wire, "compacted");
        // A Java machine goes on compiling for a while.
        std::thread::sleep(Duration::from_secs(5));
        let log = dir.join("compacted-0");
        let size = bytes_of(&log, "log");
        let before = server.taken();
        wire.set_config("compacted", "min.compaction.lag.ms", "0");
        let end = loop {
            let now = server.taken();
            if cleaned(&dir) > 0 {
                break now;
            }
            assert!(now.wall - before.wall < PATIENCE, "nothing is compacted");
            std::thread::sleep(Duration::from_millis(10));
        };
        std::thread::sleep(Duration::from_secs(2));
        println!(
            "  {}: {:.2} s, {:.0} MB/s, {:.2} s of processor time per GB; {:.0} MB became {:.0} MB, cleaned up to offset {}; \
             {} MB resident ({} MB at most)",
            who.name(),
            (end.wall - before.wall).as_secs_f64(),
            size as f64 / MB / (end.wall - before.wall).as_secs_f64(),
            (end.cpu - before.cpu) / size as f64 * 1e9,
            size as f64 / MB,
            bytes_of(&log, "log") as f64 / MB,
            cleaned(&dir),
            end.resident_kb / 1024,
            end.peak_kb / 1024,
        );
        server.stop();
    }
}

/// So many megabytes in each partition.
fn fill(wire: &mut Wire, topic: &str, partitions: i32, megabytes: usize) {
    let batch = batch_of(&vec![vec![b'v'; 990]; 100]);
    for _ in 0..megabytes * 1_000_000 / batch.len() {
        for partition in 0..partitions {
            assert_eq!(wire.produce(topic, partition, Some(batch.clone())).unwrap().error_code, 0);
        }
    }
}

/// The same million of keyed records for whoever asks.
fn fill_keyed(wire: &mut Wire, topic: &str) {
    let mut random = fastrand::Rng::with_seed(7);
    let mut value = vec![b'v'; 980];
    // Of today: records of long ago would be compacted at once.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let timestamp = now.as_millis() as i64;
    for _ in 0..10_000 {
        let mut batch = BatchBuilder::new(BatchOptions::default());
        for _ in 0..100 {
            let key = format!("key-{:06}", random.u32(..100_000));
            value.iter_mut().take(16).for_each(|byte| *byte = random.alphanumeric() as u8);
            let (key, value) = (Some(key.as_bytes()), Some(&value[..]));
            batch.append(&NewRecord { timestamp, key, value, ..Default::default() }).unwrap();
        }
        assert_eq!(wire.produce(topic, 0, Some(batch.build().unwrap())).unwrap().error_code, 0);
    }
}

/// Up to where the cleaner says that it has been.
fn cleaned(dir: &Path) -> i64 {
    let text = std::fs::read_to_string(dir.join("cleaner-offset-checkpoint")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("compacted 0 "));
    line.and_then(|offset| offset.parse().ok()).unwrap_or_default()
}
