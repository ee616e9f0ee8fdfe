//! Records from our producer to our consumer through a broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops at the first surprise"
)]

mod client_support;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use client_support::{cluster, fresh, make_topic};
use kafka_rs::client::admin::OffsetSpec;
use kafka_rs::client::consumer::Start;
use kafka_rs::client::producer::Partitioning;
use kafka_rs::client::{Consumer, ConsumerOptions, ConsumerRecord, Producer, ProducerOptions, ProducerRecord};
use kafka_rs::config::{Acks, IsolationLevel, OffsetReset};
use kafka_rs::record::{Codec, Header};
use kafka_rs::types::{Offset, PartitionId, TopicPartition};

const LONG: Duration = Duration::from_secs(20);

async fn read(consumer: &mut Consumer, count: usize) -> Vec<ConsumerRecord> {
    let mut all = Vec::new();
    while all.len() < count {
        let records = consumer.poll(LONG).await.unwrap();
        assert!(!records.is_empty(), "{} of {count} came", all.len());
        all.extend(records);
    }
    all
}

#[tokio::test]
async fn every_codec_and_acks_comes_back() {
    let cluster = cluster();
    let client = cluster.options.clone();
    let topic = fresh("client-codecs");
    make_topic(&client, &topic, 1, &[]).await;
    let mut expected = Vec::new();
    for codec in Codec::ALL {
        for acks in [Acks::None, Acks::Leader, Acks::All] {
            let options = ProducerOptions {
                client: client.clone(),
                compression: codec.into(),
                acks,
                idempotence: acks == Acks::All,
                ..Default::default()
            };
            let producer = Producer::new(options);
            for n in 0..100 {
                let (key, value) = (format!("key {n}"), format!("{codec} {acks:?} {n} {}", "x".repeat(n)));
                let headers =
                    [Header { key: b"codec", value: Some(codec.name().as_bytes()) }, Header { key: b"", value: None }];
                let record = ProducerRecord {
                    topic: &topic,
                    key: (n % 2 == 0).then_some(key.as_bytes()),
                    value: Some(value.as_bytes()),
                    headers: &headers,
                    timestamp: Some(1_700_000_000_000 + n as i64),
                    ..Default::default()
                };
                producer.send(record).await.unwrap();
                expected.push(((n % 2 == 0).then_some(key), value));
            }
            producer.close(LONG).await.unwrap();
        }
    }
    for isolation in [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted] {
        let options = ConsumerOptions { client: client.clone(), isolation, ..Default::default() };
        let mut consumer = Consumer::new(options);
        consumer.assign_from([(TopicPartition::new(topic.as_str(), 0), Start::Reset(OffsetReset::Earliest))]);
        let records = read(&mut consumer, expected.len()).await;
        for ((offset, record), (key, value)) in (0..).zip(&records).zip(&expected) {
            assert_eq!(record.offset, Offset(offset));
            assert_eq!(record.key.as_deref(), key.as_ref().map(String::as_bytes));
            assert_eq!(record.value.as_deref(), Some(value.as_bytes()));
            assert_eq!((record.headers.len(), record.headers[1].value.as_deref()), (2, None));
            assert!(record.timestamp >= 1_700_000_000_000);
        }
        consumer.close().await.unwrap();
    }
}

#[tokio::test]
async fn many_small_records_keep_their_order_per_partition() {
    let cluster = cluster();
    let client = cluster.options.clone();
    let topic = fresh("client-many");
    make_topic(&client, &topic, 3, &[]).await;
    let count = 200_000;
    let producer = Producer::new(ProducerOptions { client: client.clone(), ..Default::default() });
    for n in 0..count {
        let value = n.to_string();
        let record = ProducerRecord { topic: &topic, value: Some(value.as_bytes()), ..Default::default() };
        producer.send(record).await.unwrap();
    }
    producer.close(LONG).await.unwrap();
    let mut consumer = Consumer::new(ConsumerOptions {
        client: client.clone(),
        offset_reset: OffsetReset::Earliest,
        ..Default::default()
    });
    consumer.assign((0..3).map(|partition| TopicPartition::new(topic.as_str(), partition)));
    let mut last: BTreeMap<PartitionId, u64> = BTreeMap::new();
    let mut sum = 0;
    for record in read(&mut consumer, count).await {
        let n: u64 = std::str::from_utf8(&record.value.unwrap()).unwrap().parse().unwrap();
        let before = last.insert(record.partition.partition, n);
        assert!(before.is_none_or(|before| before < n));
        sum += n;
    }
    assert_eq!(sum, (count as u64) * (count as u64 - 1) / 2);
    assert_eq!(last.len(), 3, "records without a key go everywhere");
    assert!(consumer.poll(Duration::from_millis(50)).await.unwrap().is_empty());
}

#[tokio::test]
async fn offsets_by_time_and_round_robin() {
    let cluster = cluster();
    let client = cluster.options.clone();
    let topic = fresh("client-time");
    make_topic(&client, &topic, 2, &[]).await;
    let options =
        ProducerOptions { client: client.clone(), partitioning: Partitioning::RoundRobin, ..Default::default() };
    let producer = Producer::new(options);
    for n in 0..10 {
        let timestamp = Some(1_700_000_000_000 + n * 1000);
        let record = ProducerRecord { topic: &topic, value: Some(b"v"), timestamp, ..Default::default() };
        producer.send(record).await.unwrap().outcome().await.unwrap();
    }
    let mut consumer = Consumer::new(ConsumerOptions { client, ..Default::default() });
    let partitions = [0, 1].map(|partition| TopicPartition::new(topic.as_str(), partition));
    let spec = OffsetSpec::Timestamp(1_700_000_004_500);
    let wanted = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let found = consumer.offsets(wanted).await.unwrap();
    let mut offsets: Vec<_> = found.values().map(|found| (found.offset.unwrap().get(), found.timestamp)).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, [(2, 1_700_000_005_000), (3, 1_700_000_006_000)]);
    let starts = found.into_iter().map(|(partition, found)| (partition, Start::Offset(found.offset.unwrap())));
    consumer.assign_from(starts);
    assert_eq!(read(&mut consumer, 5).await.len(), 5);
    for partition in &partitions {
        assert_eq!(consumer.position(partition).await.unwrap().offset, Offset(5));
    }
}
