//! Share groups (KIP-932), against whichever cluster the options reach.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kafka_rs::client::admin::{AlterConfig, ConfigChange, ConfigResource, ResourceType};
use kafka_rs::client::share::{
    AcknowledgeType, Acknowledged, AcknowledgementListener, AcknowledgementMode, ShareError,
};
use kafka_rs::client::{
    Admin, ClientOptions, Producer, ProducerOptions, ProducerRecord, ShareConsumer, ShareConsumerOptions, ShareRecord,
};
use kafka_rs::types::{Offset, PartitionId, TopicPartition};

use crate::client_support::{fresh, make_topic};

const LONG: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(50);

async fn make_group(client: &ClientOptions) -> String {
    let group = fresh("share");
    let admin = Admin::new(client.clone());
    let configs = [("share.auto.offset.reset", "earliest"), ("share.isolation.level", "read_committed")];
    let change = |(name, value): (&str, &str)| AlterConfig {
        name: name.to_owned(),
        change: ConfigChange::Set(value.to_owned()),
    };
    let changes: Vec<_> = configs.into_iter().map(change).collect();
    let resource = ConfigResource { resource_type: ResourceType::Group, name: group.clone() };
    for (_, altered) in admin.alter_configs(&[(resource, changes)], false).await.unwrap() {
        altered.unwrap();
    }
    group
}

fn consumer(client: &ClientOptions, group: &str, topic: &str, acknowledgement: AcknowledgementMode) -> ShareConsumer {
    let options = ShareConsumerOptions { acknowledgement, ..ShareConsumerOptions::new(client.clone(), group) };
    let mut consumer = ShareConsumer::new(options);
    consumer.subscribe([topic]);
    consumer
}

async fn produce(client: &ClientOptions, topic: &str, values: std::ops::Range<usize>) {
    let producer = Producer::new(ProducerOptions { client: client.clone(), ..Default::default() });
    for n in values {
        let value = n.to_string();
        let partition = Some(PartitionId(0));
        let record = ProducerRecord { topic, partition, value: Some(value.as_bytes()), ..Default::default() };
        producer.send(record).await.unwrap();
        if n % 10 == 9 {
            producer.flush().await.unwrap();
        }
    }
    producer.close(LONG).await.unwrap();
}

fn value(record: &ShareRecord) -> String {
    String::from_utf8(record.record.value.clone().unwrap().to_vec()).unwrap()
}

/// Polls until something comes.
async fn next(consumer: &mut ShareConsumer) -> Vec<ShareRecord> {
    let records = consumer.poll(LONG).await.unwrap();
    assert!(!records.is_empty(), "nothing came");
    records
}

/// Two members read one partition side by side; what the next poll accepts comes to nobody again.
pub(crate) async fn members_share_a_partition(client: &ClientOptions) {
    let topic = fresh("share");
    make_topic(client, &topic, 1, &[]).await;
    let group = make_group(client).await;
    let mut first = consumer(client, &group, &topic, AcknowledgementMode::Implicit);
    let mut second = consumer(client, &group, &topic, AcknowledgementMode::Implicit);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let started = std::time::Instant::now();
    produce(client, &topic, 0..100).await;
    let mut more = true;
    let mut counts = [0; 2];
    while seen.len() < 300 {
        assert!(started.elapsed() < LONG, "{} of 300 came", seen.len());
        for (at, member) in [&mut first, &mut second].into_iter().enumerate() {
            for record in member.poll(TICK).await.unwrap() {
                counts[at] += 1;
                assert_eq!(record.delivery_count, 1);
                *seen.entry(value(&record)).or_default() += 1;
            }
        }
        if more && seen.len() >= 100 {
            more = false;
            produce(client, &topic, 100..300).await;
        }
    }
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
    assert!(first.acquisition_lock_timeout().or(second.acquisition_lock_timeout()).is_some());
    first.close().await.unwrap();
    second.close().await.unwrap();
    // All of it was accepted, the last by closing.
    let mut third = consumer(client, &group, &topic, AcknowledgementMode::Implicit);
    assert!(third.poll(Duration::from_secs(2)).await.unwrap().is_empty());
    third.close().await.unwrap();
}

#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<Acknowledged>>>);

impl AcknowledgementListener for Notes {
    fn acknowledged(&mut self, results: &[Acknowledged]) {
        self.0.lock().unwrap().extend_from_slice(results);
    }
}

/// Explicitly: accepted and rejected records are done with, released ones come again.
pub(crate) async fn every_record_is_judged(client: &ClientOptions) {
    let topic = fresh("share");
    make_topic(client, &topic, 1, &[]).await;
    let group = make_group(client).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let notes = Notes::default();
    let mut member = consumer(client, &group, &topic, AcknowledgementMode::Explicit);
    member.set_acknowledgement_listener(Some(Box::new(notes.clone())));
    produce(client, &topic, 0..9).await;
    let mut all = Vec::new();
    while all.len() < 9 {
        let records = next(&mut member).await;
        assert!(matches!(member.poll(TICK).await, Err(ShareError::Unacknowledged(count)) if count == records.len()));
        for record in &records {
            let verdict = match record.record.offset.get() % 3 {
                0 => AcknowledgeType::Accept,
                1 => AcknowledgeType::Release,
                _ => AcknowledgeType::Reject,
            };
            // Only the last word counts.
            member.acknowledge(record, AcknowledgeType::Reject).unwrap();
            member.acknowledge(record, verdict).unwrap();
        }
        all.extend(records);
        let told = member.commit().await.unwrap();
        assert!(told[&partition].is_ok(), "{told:?}");
    }
    assert!(matches!(member.acknowledge(&all[0], AcknowledgeType::Accept), Err(ShareError::NotDelivered { .. })));
    let told: Vec<_> = notes.0.lock().unwrap().drain(..).collect();
    assert!(told.iter().all(|told| told.partition == partition && told.result.is_ok()), "{told:?}");
    let ranges = told.iter().flat_map(|told| &told.offsets);
    assert_eq!(ranges.map(|range| range.end().get() - range.start().get() + 1).sum::<i64>(), 9);

    let mut again = Vec::new();
    while again.len() < 3 {
        for record in next(&mut member).await {
            assert_eq!(record.delivery_count, 2);
            member.acknowledge(&record, AcknowledgeType::Accept).unwrap();
            again.push(record.record.offset.get());
        }
    }
    again.sort_unstable();
    assert_eq!(again, [1, 4, 7]);
    member.commit_in_background();
    assert!(member.poll(Duration::from_secs(1)).await.unwrap().is_empty());
    let nowhere = member.acknowledge_offset(&partition, Offset(99), AcknowledgeType::Accept);
    assert!(matches!(nowhere, Err(ShareError::NotDelivered { .. })));
    member.close().await.unwrap();
    let mut implicit = consumer(client, &group, &topic, AcknowledgementMode::Implicit);
    let refused = implicit.acknowledge_offset(&partition, Offset(0), AcknowledgeType::Accept);
    assert!(matches!(refused, Err(ShareError::Implicit)));
    implicit.close().await.unwrap();
}

/// What is renewed is handed out again by the next poll, and still this member's.
pub(crate) async fn renewals(client: &ClientOptions) {
    let topic = fresh("share");
    make_topic(client, &topic, 1, &[]).await;
    let group = make_group(client).await;
    let mut member = consumer(client, &group, &topic, AcknowledgementMode::Explicit);
    produce(client, &topic, 0..3).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        for record in next(&mut member).await {
            member.acknowledge(&record, AcknowledgeType::Renew).unwrap();
            seen.push(record);
        }
        let told = member.commit().await.unwrap();
        assert!(told.values().all(Result::is_ok), "{told:?}");
    }
    let mut again = Vec::new();
    while again.len() < 3 {
        for record in next(&mut member).await {
            assert_eq!(record.delivery_count, 1, "it never went back");
            member.acknowledge(&record, AcknowledgeType::Accept).unwrap();
            again.push(record.record.offset);
        }
    }
    let told = member.commit().await.unwrap();
    assert!(told.values().all(Result::is_ok), "{told:?}");
    assert!(member.poll(Duration::from_secs(1)).await.unwrap().is_empty());
    member.close().await.unwrap();
}

/// What a member leaves unjudged is others' at once when it closes.
pub(crate) async fn what_is_left_goes_to_others(client: &ClientOptions) {
    let topic = fresh("share");
    make_topic(client, &topic, 1, &[]).await;
    let group = make_group(client).await;
    let mut first = consumer(client, &group, &topic, AcknowledgementMode::Explicit);
    produce(client, &topic, 0..10).await;
    let records = next(&mut first).await;
    for record in records.iter().take(2) {
        first.acknowledge(record, AcknowledgeType::Accept).unwrap();
    }
    first.close().await.unwrap();
    let mut second = consumer(client, &group, &topic, AcknowledgementMode::Implicit);
    let mut seen = Vec::new();
    while seen.len() < 8 {
        seen.extend(next(&mut second).await.iter().map(value));
    }
    seen.sort_unstable();
    assert_eq!(seen, (2..10).map(|n: usize| n.to_string()).collect::<Vec<_>>());
    second.close().await.unwrap();
}

/// Records of aborted transactions, and markers, are nobody's to process.
pub(crate) async fn transactions(client: &ClientOptions) {
    let topic = fresh("share");
    make_topic(client, &topic, 1, &[]).await;
    let group = make_group(client).await;
    let mut options = ProducerOptions { client: client.clone(), ..Default::default() };
    options.transactional_id = Some(fresh("id"));
    let producer = Producer::new(options);
    producer.init_transactions().await.unwrap();
    for (value, commit) in [("dropped", false), ("kept", true), ("dropped too", false), ("also kept", true)] {
        producer.begin_transaction().unwrap();
        let record = ProducerRecord { topic: &topic, value: Some(value.as_bytes()), ..Default::default() };
        producer.send(record).await.unwrap();
        producer.flush().await.unwrap();
        if commit {
            producer.commit_transaction().await.unwrap();
        } else {
            producer.abort_transaction().await.unwrap();
        }
    }
    producer.close(LONG).await.unwrap();
    let mut member = consumer(client, &group, &topic, AcknowledgementMode::Implicit);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(next(&mut member).await.iter().map(value));
    }
    assert_eq!(seen, ["kept", "also kept"]);
    assert!(member.poll(Duration::from_secs(1)).await.unwrap().is_empty());
    member.close().await.unwrap();
}
