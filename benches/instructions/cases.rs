//! What is counted: a row for each case, and how it is done.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_rs::protocol::messages::FetchRequest;
use kafka_rs::protocol::messages::fetch_request::{FetchPartition, FetchTopic};

use super::counter::{Count, Counted, Counter};
use super::support::wire::{Wire, batch_of};
use super::support::{self, Running};

/// One case.
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    /// What a figure is for.
    pub unit: &'static str,
    /// How many of these are done.
    pub times: usize,
    pub work: Work,
}

/// What is done in a case.
pub enum Work {
    /// The broker starts on a new directory and stops.
    Start,
    /// The broker takes Produce requests with one batch each.
    Produce(Batch),
    /// The broker answers Fetch requests with one batch each.
    Fetch(Batch),
    /// `producer-perf-test` sends records in full batches.
    Producer(Batch),
    /// `consumer-perf-test` reads such records.
    Consumer(Batch),
}

/// The records of a batch.
#[derive(Clone, Copy)]
pub struct Batch {
    records: usize,
    record_size: usize,
}

impl Batch {
    fn bytes(self) -> Bytes {
        batch_of(&vec![vec![b'v'; self.record_size]; self.records])
    }

    /// `batch.size` of a producer that makes batches like these.
    fn batch_size(self) -> usize {
        self.bytes().len()
    }
}

/// 64 KiB.
const LARGE: Batch = Batch { records: 63, record_size: 1024 };
/// 16 KiB, which is what clients send by default.
const DEFAULT: Batch = Batch { records: 150, record_size: 100 };
const SINGLE: Batch = Batch { records: 1, record_size: 100 };

const fn case(name: &'static str, what: &'static str, unit: &'static str, times: usize, work: Work) -> Case {
    Case { name, what, unit, times, work }
}

pub const CASES: &[Case] = &[
    case("start", "the broker starts on a new directory and stops", "start", 1, Work::Start),
    case("produce-1k", "Produce requests of 64 KiB, 1 KB records", "request", 1_000, Work::Produce(LARGE)),
    case("produce-100b", "Produce requests of 16 KiB, 100 B records", "request", 1_000, Work::Produce(DEFAULT)),
    case("produce-one", "Produce requests with one record of 100 B", "request", 2_000, Work::Produce(SINGLE)),
    case("fetch-1k", "Fetch requests answered with 64 KiB", "request", 1_000, Work::Fetch(LARGE)),
    case("fetch-100b", "Fetch requests answered with 16 KiB, 100 B records", "request", 1_000, Work::Fetch(DEFAULT)),
    case("fetch-one", "Fetch requests answered with one record of 100 B", "request", 2_000, Work::Fetch(SINGLE)),
    case("producer-1k", "our producer, 1 KB records, batches of 64 KiB", "record", 63_000, Work::Producer(LARGE)),
    case("producer-100b", "our producer, 100 B records, batches of 16 KiB", "record", 150_000, Work::Producer(DEFAULT)),
    case("consumer-1k", "our consumer, 1 KB records in batches of 64 KiB", "record", 63_000, Work::Consumer(LARGE)),
    case(
        "consumer-100b",
        "our consumer, 100 B records in batches of 16 KiB",
        "record",
        150_000,
        Work::Consumer(DEFAULT),
    ),
];

const TOPIC: &str = "work";
/// Batches that are there to be fetched, one after the other and then again.
const THERE: usize = 16;
/// Of each amount of work.
const RUNS: usize = 3;
/// A broker on valgrind's processor takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Counts a case. What comes before and after the work counts the same in a short run and in a long one, so the difference is
/// the work alone.
pub fn count(counter: Counter, case: &Case) -> Count {
    let once = |times: usize| {
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let directory = scratch.path();
        match case.work {
            Work::Start => Broker::start(counter, directory).counted.stop(),
            Work::Produce(batch) => Broker::start(counter, directory).produce(batch, times),
            Work::Fetch(batch) => Broker::start(counter, directory).fetch(batch, times),
            Work::Producer(batch) => producer(counter, directory, batch, times),
            Work::Consumer(batch) => consumer(counter, directory, batch, times),
        }
    };
    // How often a socket is looked at in vain is chance; the smallest count has the least of that.
    let run = |times: usize| {
        let runs = std::iter::repeat_with(|| once(times)).take(RUNS);
        runs.min_by(|a, b| a.total.total_cmp(&b.total)).unwrap()
    };
    if matches!(case.work, Work::Start) {
        return run(1);
    }
    let few = case.times / 5;
    let (short, long) = (run(few), run(case.times));
    let each = |long: f64, short: f64| (long - short) / (case.times - few) as f64;
    let functions = long.functions.iter().map(|(name, cost)| {
        let before = short.functions.get(name).copied().unwrap_or_default();
        (name.clone(), each(*cost, before))
    });
    Count { total: each(long.total, short.total), functions: functions.collect() }
}

/// A broker whose instructions are counted.
struct Broker {
    counted: Counted,
    address: String,
}

impl Broker {
    fn start(counter: Counter, scratch: &Path) -> Self {
        let ready = scratch.join("ready");
        let logs = format!("log.dirs={}", scratch.join("data").display());
        let arguments = [
            "server-start",
            "--override",
            "listeners=PLAINTEXT://127.0.0.1:0",
            "--override",
            &logs,
            "--ready-file",
            ready.to_str().unwrap(),
        ];
        let counted = counter.spawn(&arguments, &scratch.join("counted"));
        let begin = Instant::now();
        let address = loop {
            match fs::read_to_string(&ready) {
                Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
            assert!(begin.elapsed() < PATIENCE, "the broker does not start");
        };
        Self { counted, address }
    }

    /// One request after the other, each answered before the next.
    fn produce(self, batch: Batch, times: usize) -> Count {
        let mut wire = Wire::connect(&self.address);
        wire.create_topic(TOPIC, 1, &[]);
        produce(&mut wire, batch, times);
        self.counted.stop()
    }

    fn fetch(self, batch: Batch, times: usize) -> Count {
        let mut wire = Wire::connect(&self.address);
        wire.create_topic(TOPIC, 1, &[]);
        produce(&mut wire, batch, THERE);
        let (topic_id, size) = (wire.topic_id(TOPIC), batch.bytes().len());
        for number in 0..times {
            let wanted = FetchPartition {
                fetch_offset: (number % THERE * batch.records) as i64,
                partition_max_bytes: i32::try_from(size).unwrap(),
                ..Default::default()
            };
            let topic = FetchTopic { topic_id, partitions: vec![wanted], ..Default::default() };
            let request = FetchRequest { max_wait_ms: 0, topics: vec![topic], ..Default::default() };
            let answer = wire.call(&request, 17).unwrap();
            let records = answer.responses[0].partitions[0].records.as_ref().unwrap();
            assert_eq!(records.len(), size);
        }
        self.counted.stop()
    }
}

fn produce(wire: &mut Wire, batch: Batch, times: usize) {
    let bytes = batch.bytes();
    for _ in 0..times {
        assert_eq!(wire.produce(TOPIC, 0, Some(bytes.clone())).unwrap().error_code, 0);
    }
}

fn producer(counter: Counter, scratch: &Path, batch: Batch, records: usize) -> Count {
    let broker = uncounted(scratch);
    Wire::connect(&broker.address).create_topic(TOPIC, 1, &[]);
    let arguments = [
        "producer-perf-test",
        "--bootstrap-server",
        &broker.address,
        "--topic",
        TOPIC,
        "--throughput",
        "-1",
        "--num-records",
        &records.to_string(),
        "--record-size",
        &batch.record_size.to_string(),
        "--command-property",
        &format!("batch.size={}", batch.batch_size()),
        // Batches leave when they are full, however slow the tool is made.
        "linger.ms=60000",
        "delivery.timeout.ms=600000",
    ];
    let count = counter.spawn(&arguments, &scratch.join("counted")).end();
    support::stop(broker);
    count
}

fn consumer(counter: Counter, scratch: &Path, batch: Batch, records: usize) -> Count {
    let broker = uncounted(scratch);
    let mut wire = Wire::connect(&broker.address);
    wire.create_topic(TOPIC, 1, &[]);
    produce(&mut wire, batch, records.div_ceil(batch.records));
    let arguments = [
        "consumer-perf-test",
        "--bootstrap-server",
        &broker.address,
        "--topic",
        TOPIC,
        "--num-records",
        &records.to_string(),
        // Or it would end early, and count less, on a machine that makes it wait.
        "--timeout",
        "600000",
    ];
    let count = counter.spawn(&arguments, &scratch.join("counted")).end();
    support::stop(broker);
    count
}

fn uncounted(scratch: &Path) -> Running {
    support::start(&scratch.join("data")).0
}
