//! Records at a rate that does not wait for answers: a stalled server is seen by every record that was due meanwhile, not by one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kafka_rs::client::consumer::{Consumer, ConsumerOptions, Start};
use kafka_rs::client::producer::{Delivery, Producer, ProducerOptions, ProducerRecord};
use kafka_rs::client::{Address, ClientOptions};
use kafka_rs::types::{Offset, TopicPartition};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::cases::{Load, Reference};
use super::support::servers::{HOST, port};

/// Records leave in this rhythm, each time as many as are due.
const TICK: Duration = Duration::from_millis(1);
/// Records of a partition that wait for their answer; more would mean that the server has stopped.
const UNANSWERED: usize = 1 << 20;
/// Answers that are waited for in a second, evenly spread: to wait for each of half a million would take more time than to send
/// them, and would be what is measured.
const LOOKED_AT: u64 = 50_000;
/// The first part of the records is not counted: connections are made, and Java compiles.
const WARM_UP: f64 = 0.25;
/// Where a record says when it was due: nanoseconds after the load's beginning.
const STAMP: usize = 8;

/// Milliseconds from when a record was due, the shortest first.
pub type Latencies = Vec<f64>;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn client() -> ClientOptions {
    ClientOptions::for_servers(vec![Address::new(HOST, port())])
}

/// Sends a load of so many records a second; latencies to the acknowledgement.
pub fn run(topic: &str, load: Load, per_second: u64) -> Latencies {
    runtime().block_on(send(topic.to_owned(), load, per_second, Instant::now()))
}

/// What the streams of a reference load met with: to the acknowledgement, and to the consumer.
pub struct Met {
    pub small: [Latencies; 2],
    pub large: [Latencies; 2],
}

/// Sends and reads both streams of the reference load at once.
pub fn run_reference(topics: [&str; 2], reference: Reference, per_second: [u64; 2]) -> Met {
    runtime().block_on(async {
        let begin = Instant::now();
        let mut streams = Vec::new();
        for ((topic, load), per_second) in topics.into_iter().zip([reference.small, reference.large]).zip(per_second) {
            let readers: Vec<_> =
                (0..load.partitions).map(|partition| tokio::spawn(read(topic.to_owned(), partition, begin))).collect();
            streams.push((tokio::spawn(send(topic.to_owned(), load, per_second, begin)), readers));
        }
        let mut met = Vec::new();
        for (sending, readers) in streams {
            let acknowledged = sending.await.unwrap();
            met.push([acknowledged, end(readers).await]);
        }
        let [small, large] = <[_; 2]>::try_from(met).unwrap();
        Met { small, large }
    })
}

async fn send(topic: String, load: Load, per_second: u64, begin: Instant) -> Latencies {
    let settings = |key: &str| load.settings.iter().find_map(|pair| pair.strip_prefix(key));
    let default = ProducerOptions::default();
    let batch_size = settings("batch.size=").map_or(default.batch_size, |value| value.parse().unwrap());
    // What waits for a stalled server must not make us wait, which would be the closed loop again.
    let producer = Producer::new(ProducerOptions { client: client(), buffer_memory: 1 << 30, batch_size, ..default });
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let mut waiting: Vec<mpsc::Sender<(Instant, Delivery)>> = Vec::new();
    let mut tasks = Vec::new();
    for _ in 0..load.partitions {
        let (sender, receiver) = mpsc::channel(UNANSWERED);
        waiting.push(sender);
        tasks.push(tokio::spawn(take_answers(receiver, Arc::clone(&latencies))));
    }
    let mut value = vec![b'v'; usize::try_from(load.record_size).unwrap()];
    let not_counted = (load.records as f64 * WARM_UP) as u64;
    let one_of = per_second.div_ceil(LOOKED_AT);
    let started = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0;
    while sent < load.records {
        let due_at = ticks.tick().await;
        let due = (due_at.duration_since(started).as_secs_f64() * per_second as f64) as u64;
        while sent < due.min(load.records) {
            // Zero: not to be counted.
            let stamp = if sent < not_counted { 0 } else { due_at.duration_since(begin).as_nanos() as u64 };
            value[..STAMP].copy_from_slice(&stamp.to_be_bytes());
            let record = ProducerRecord { topic: &topic, value: Some(&value), ..ProducerRecord::default() };
            let delivery = producer.send(record).await.unwrap();
            if stamp > 0 && sent % one_of == 0 {
                let partition = usize::try_from(delivery.partition().get()).unwrap();
                waiting[partition].send((due_at, delivery)).await.unwrap();
            }
            sent += 1;
        }
    }
    producer.flush().await.unwrap();
    drop(waiting);
    for task in tasks {
        task.await.unwrap();
    }
    let mut all = std::mem::take(&mut *latencies.lock().unwrap());
    all.sort_by(f64::total_cmp);
    all
}

/// Waits for the answers of one partition, which come in order.
async fn take_answers(mut receiver: mpsc::Receiver<(Instant, Delivery)>, latencies: Arc<Mutex<Latencies>>) {
    let mut own = Vec::new();
    while let Some((due_at, delivery)) = receiver.recv().await {
        delivery.outcome().await.unwrap();
        own.push(due_at.elapsed().as_secs_f64() * 1e3);
    }
    latencies.lock().unwrap().append(&mut own);
}

/// Reads a partition from its beginning until nothing comes any more.
async fn read(topic: String, partition: i32, begin: Instant) -> Latencies {
    /// Longer than any stall that is worth to be counted.
    const SILENCE: Duration = Duration::from_secs(5);
    let mut consumer = Consumer::new(ConsumerOptions { client: client(), ..ConsumerOptions::default() });
    consumer.assign_from([(TopicPartition::new(topic, partition), Start::Offset(Offset(0)))]);
    let mut latencies = Vec::new();
    loop {
        let records = consumer.poll(SILENCE).await.unwrap();
        let now = begin.elapsed().as_nanos() as u64;
        if records.is_empty() {
            return latencies;
        }
        for record in records {
            let value = record.value.unwrap();
            let stamp = u64::from_be_bytes(value[..STAMP].try_into().unwrap());
            if stamp > 0 {
                latencies.push(now.saturating_sub(stamp) as f64 / 1e6);
            }
        }
    }
}

async fn end(readers: Vec<JoinHandle<Latencies>>) -> Latencies {
    let mut all = Vec::new();
    for reader in readers {
        all.append(&mut reader.await.unwrap());
    }
    all.sort_by(f64::total_cmp);
    all
}

/// Of sorted values.
pub fn percentiles(values: &[f64]) -> Vec<(&'static str, f64)> {
    let last = values.len().saturating_sub(1);
    [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)]
        .into_iter()
        .filter_map(|(name, part)| Some((name, *values.get((last as f64 * part).round() as usize)?)))
        .collect()
}
