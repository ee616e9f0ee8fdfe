//! Many partitions that nobody writes to.

use std::thread;
use std::time::{Duration, Instant};

use super::cases::Case;
use super::support::servers::{address, connect, end_offset, ours};
use super::work::Bench;

/// Of a topic.
const PARTITIONS: usize = 1_000;
/// Until the last one is led.
const PATIENCE: Duration = Duration::from_secs(120);

/// What so many take: made, at rest, and at the next start.
pub fn many(bench: &mut Bench<'_>, case: &Case, count: usize) {
    let topics: Vec<String> = (0..count / PARTITIONS).map(|n| format!("{}-{n}", case.name)).collect();
    let partitions = i32::try_from(PARTITIONS).unwrap();
    let last = topics.last().unwrap();
    let before = bench.server.taken();
    let mut wire = connect();
    topics.iter().for_each(|topic| wire.create_topic(topic, partitions, &[]));
    let begin = Instant::now();
    while !end_offset(last, partitions - 1).is_ok_and(|end| end.is_some()) {
        assert!(begin.elapsed() < PATIENCE, "{last} has no leader");
        thread::sleep(Duration::from_millis(50));
    }
    let made = bench.server.taken();
    thread::sleep(Duration::from_secs(5));
    let rested = bench.server.taken();
    let each = |value: f64| value / count as f64;
    bench.add(case, "", "broker CPU to make one", "ms", each(made.cpu - before.cpu) * 1e3);
    bench.add(case, "", "memory for each", "KiB", each(rested.resident_kb as f64 - before.resident_kb as f64));
    let seconds = (rested.wall - made.wall).as_secs_f64();
    bench.add(case, "", "CPU of all at rest", "cores", (rested.cpu - made.cpu) / seconds);

    let ready = bench.start_again(last, partitions - 1, PATIENCE);
    bench.add(case, "", "start until the last one's end is told", "ms", ready.wall.as_secs_f64() * 1e3);
    bench.add(case, "", "CPU of that start", "s", ready.cpu);
    bench.add(case, "", "memory after that start", "MiB", ready.resident_kb as f64 / 1024.0);

    let all = format!("{}-.*", case.name);
    let deleted = ours().args(["topics", "--bootstrap-server", &address(), "--delete", "--topic", &all]).status();
    assert!(deleted.unwrap().success(), "the topics could not be deleted");
}
