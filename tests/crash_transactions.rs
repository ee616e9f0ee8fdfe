//! A broker that is killed tears no transaction: what was copied is there once, with the offsets that say so.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_rs::client::admin::GroupOffset;
use kafka_rs::client::consumer::{ConsumerGroupMetadata, Start};
use kafka_rs::client::{Admin, ClientOptions, Consumer, ConsumerOptions, Producer, ProducerOptions, ProducerRecord};
use kafka_rs::config::IsolationLevel;
use kafka_rs::types::{Offset, PartitionId, TopicPartition};
use support::Broker;
use wire::{Wire, batch_of};

const PARTITIONS: i32 = 2;
const RECORDS: usize = 5000;
const ROUNDS: usize = 20;
const GROUP: &str = "copy";
const LONG: Duration = Duration::from_secs(30);
const SETTINGS: &[&str] = &["offsets.topic.num.partitions=2", "transaction.state.log.num.partitions=2"];

/// Goal: kill -9 in the middle of read-process-write loses no record and makes no double, for readers of committed records.
/// Method: a job per input partition copies it in transactions, some of which it aborts, into an output of two partitions; the offsets are
/// part of the transactions. The broker is killed at a random moment and started again on the same directory, until all is copied.
#[test]
fn a_copy_in_transactions_is_exact_through_killed_brokers() {
    let data = tempfile::tempdir().unwrap();
    let seed = std::env::var("CRASH_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut interrupted = 0;
    for round in 0..=ROUNDS {
        let broker = Broker::start_in(data.path(), SETTINGS);
        if round == 0 {
            prepare(broker.address());
        }
        let client = ClientOptions::for_servers(vec![broker.address().parse().unwrap()]);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let jobs: Vec<_> =
            (0..PARTITIONS).map(|partition| runtime.spawn(copy(client.clone(), partition, random.fork()))).collect();
        if round < ROUNDS {
            std::thread::sleep(Duration::from_millis(random.u64(100..500)));
            interrupted += jobs.iter().filter(|job| !job.is_finished()).count();
            broker.kill();
            runtime.shutdown_background();
            continue;
        }
        for job in jobs {
            runtime.block_on(async { tokio::time::timeout(LONG * 2, job).await }).unwrap().unwrap();
        }
        let found = runtime.block_on(committed(&client));
        for partition in 0..PARTITIONS {
            let expected: BTreeMap<usize, usize> = (0..RECORDS).map(|n| (n, 1)).collect();
            let wrong: Vec<_> = (0..RECORDS).filter(|n| found[&partition].get(n) != expected.get(n)).take(10).collect();
            assert!(wrong.is_empty(), "CRASH_SEED={seed}: lost or doubled of input {partition}: {wrong:?}");
            assert_eq!(found[&partition].len(), RECORDS, "CRASH_SEED={seed}");
        }
        runtime.shutdown_background();
        broker.stop();
    }
    assert!(interrupted > 3, "CRASH_SEED={seed}: the jobs were done before anybody was killed");
}

fn prepare(address: &str) {
    let mut wire = Wire::connect(address);
    wire.create_topic("in", PARTITIONS, &[]);
    wire.create_topic("out", PARTITIONS, &[("segment.bytes", "1048576")]);
    for partition in 0..PARTITIONS {
        for start in (0..RECORDS).step_by(100) {
            let values: Vec<String> = (start..start + 100).map(|n| format!("{partition} {n}")).collect();
            let answer = wire.produce("in", partition, Some(batch_of(&values))).unwrap();
            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        }
    }
}

/// Copies an input partition from where the group stands to its end. Whatever fails, a new producer begins anew at what was committed.
async fn copy(client: ClientOptions, partition: i32, mut random: fastrand::Rng) {
    while !try_to_copy(&client, partition, &mut random).await.unwrap_or(false) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Says whether all is copied.
async fn try_to_copy(
    client: &ClientOptions,
    partition: i32,
    random: &mut fastrand::Rng,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let mut options = ProducerOptions { client: client.clone(), ..Default::default() };
    options.transactional_id = Some(format!("copy-{partition}"));
    options.max_block = LONG;
    let producer = Producer::new(options);
    producer.init_transactions().await?;
    // After that no transaction of this id is open: the group's offset is what was committed.
    let input = TopicPartition::new("in", partition);
    let admin = Admin::new(client.clone());
    let known = admin.group_offsets(GROUP, Some(std::slice::from_ref(&input))).await?;
    let mut next = match known.get(&input) {
        Some(Ok(offset)) => offset.offset,
        Some(Err(error)) => return Err(error.clone().into()),
        None => Offset::ZERO,
    };
    let mut consumer = Consumer::new(ConsumerOptions {
        client: client.clone(),
        isolation: IsolationLevel::ReadCommitted,
        max_poll_records: 1 + random.usize(..150),
        ..Default::default()
    });
    let member = ConsumerGroupMetadata {
        group_id: GROUP.to_owned(),
        generation_id: -1,
        member_id: String::new(),
        group_instance_id: None,
    };
    consumer.assign_from([(input.clone(), Start::Offset(next))]);
    while next.get() < RECORDS as i64 {
        let records = consumer.poll(LONG).await?;
        producer.begin_transaction()?;
        for record in &records {
            let to = Some(PartitionId(random.i32(0..PARTITIONS)));
            let record =
                ProducerRecord { topic: "out", partition: to, value: record.value.as_deref(), ..Default::default() };
            drop(producer.send(record).await?);
        }
        let end = records.last().map_or(next, |record| record.offset.plus(1));
        producer.send_offsets_to_transaction(&[(input.clone(), GroupOffset::new(end))], &member).await?;
        if random.u8(..5) == 0 {
            producer.flush().await?;
            producer.abort_transaction().await?;
            consumer.seek(&input, next)?;
        } else {
            producer.commit_transaction().await?;
            next = end;
        }
    }
    producer.close(LONG).await?;
    Ok(true)
}

/// How often each record of each input is in the output.
async fn committed(client: &ClientOptions) -> BTreeMap<i32, BTreeMap<usize, usize>> {
    let mut consumer = Consumer::new(ConsumerOptions {
        client: client.clone(),
        isolation: IsolationLevel::ReadCommitted,
        ..Default::default()
    });
    consumer.assign_from(
        (0..PARTITIONS).map(|partition| (TopicPartition::new("out", partition), Start::Offset(Offset::ZERO))),
    );
    let mut found: BTreeMap<i32, BTreeMap<usize, usize>> = BTreeMap::new();
    let mut count = 0;
    loop {
        let enough = count >= RECORDS * PARTITIONS as usize;
        // A moment longer, for any too many.
        let records = consumer.poll(if enough { Duration::from_secs(1) } else { LONG }).await.unwrap();
        if records.is_empty() {
            return found;
        }
        for record in records {
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            let (partition, number) = value.split_once(' ').unwrap();
            let of_input = found.entry(partition.parse().unwrap()).or_default();
            *of_input.entry(number.parse().unwrap()).or_default() += 1;
            count += 1;
        }
    }
}
