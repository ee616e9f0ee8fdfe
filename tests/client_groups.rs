//! Consumers of ours as members of a group, against a broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops at the first surprise"
)]

mod client_support;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client_support::{cluster, fresh, make_topic};
use kafka_rs::client::consumer::{ConsumeError, GroupOptions, RebalanceListener};
use kafka_rs::client::{ClientOptions, Consumer, ConsumerOptions, Producer, ProducerOptions, ProducerRecord};
use kafka_rs::config::{Assignor, OffsetReset};
use kafka_rs::types::{PartitionId, TopicPartition};

const LONG: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(20);

fn member(client: &ClientOptions, group: &str, assignors: &[Assignor]) -> Consumer {
    let group = GroupOptions {
        assignors: assignors.to_vec(),
        session_timeout: Duration::from_secs(6),
        heartbeat_interval: Duration::from_millis(100),
        ..GroupOptions::new(group)
    };
    Consumer::new(ConsumerOptions {
        client: client.clone(),
        group: Some(group),
        offset_reset: OffsetReset::Earliest,
        ..Default::default()
    })
}

async fn produce(client: &ClientOptions, topic: &str, partitions: i32, values: std::ops::Range<usize>) {
    let producer = Producer::new(ProducerOptions { client: client.clone(), ..Default::default() });
    for n in values {
        let (value, partition) = (n.to_string(), PartitionId(i32::try_from(n).unwrap() % partitions));
        let record =
            ProducerRecord { topic, partition: Some(partition), value: Some(value.as_bytes()), ..Default::default() };
        producer.send(record).await.unwrap();
    }
    producer.close(LONG).await.unwrap();
}

/// Polls all members in turn until `done`; gives the values that came, with how often.
async fn poll_until(
    members: &mut [&mut Consumer],
    seen: &mut BTreeMap<String, usize>,
    mut done: impl FnMut(&[Vec<TopicPartition>], &BTreeMap<String, usize>) -> bool,
) {
    let started = std::time::Instant::now();
    loop {
        for member in &mut *members {
            match member.poll(TICK).await {
                Ok(records) => {
                    for record in records {
                        *seen.entry(String::from_utf8(record.value.unwrap().to_vec()).unwrap()).or_default() += 1;
                    }
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        let assignments: Vec<_> = members.iter().map(|member| member.assignment()).collect();
        if done(&assignments, seen) {
            return;
        }
        assert!(started.elapsed() < LONG, "not reached: {assignments:?}, {} values", seen.len());
    }
}

/// All `count` partitions, each at one member, and no member with two more than another.
fn is_balanced(assignments: &[Vec<TopicPartition>], count: usize) -> bool {
    let all: BTreeSet<_> = assignments.iter().flatten().collect();
    let loads: Vec<_> = assignments.iter().map(Vec::len).collect();
    all.len() == count
        && loads.iter().sum::<usize>() == count
        && loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1
}

#[tokio::test]
async fn members_share_partitions_and_take_over_from_each_other() {
    let cluster = cluster();
    let client = cluster.options.clone();
    for assignors in [
        &[Assignor::Range][..],
        &[Assignor::RoundRobin],
        &[Assignor::Sticky],
        &[Assignor::CooperativeSticky],
        &[Assignor::Range, Assignor::CooperativeSticky],
    ] {
        let (topic, group) = (fresh("groups"), fresh("group"));
        make_topic(&client, &topic, 5, &[]).await;
        produce(&client, &topic, 5, 0..100).await;
        let mut seen = BTreeMap::new();
        let mut first = member(&client, &group, assignors);
        first.subscribe([topic.as_str()], None).unwrap();
        poll_until(&mut [&mut first], &mut seen, |all, seen| is_balanced(all, 5) && seen.len() == 100).await;
        assert!(first.member_id().is_some());

        let mut second = member(&client, &group, assignors);
        second.subscribe([topic.as_str()], None).unwrap();
        poll_until(&mut [&mut first, &mut second], &mut seen, |all, _| is_balanced(all, 5)).await;
        produce(&client, &topic, 5, 100..200).await;
        poll_until(&mut [&mut first, &mut second], &mut seen, |_, seen| seen.len() == 200).await;

        // Who leaves commits, so nothing is read twice.
        first.close().await.unwrap();
        poll_until(&mut [&mut second], &mut seen, |all, _| is_balanced(all, 5)).await;
        produce(&client, &topic, 5, 200..300).await;
        poll_until(&mut [&mut second], &mut seen, |_, seen| seen.len() == 300).await;
        second.close().await.unwrap();
        assert!(seen.values().all(|count| *count == 1), "{assignors:?}: {seen:?}");
    }
}

#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<(&'static str, usize)>>>);

impl RebalanceListener for Notes {
    fn assigned(&mut self, partitions: &[TopicPartition]) {
        self.0.lock().unwrap().push(("assigned", partitions.len()));
    }

    fn revoked(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Vec<(TopicPartition, kafka_rs::client::admin::GroupOffset)> {
        self.0.lock().unwrap().push(("revoked", partitions.len()));
        Vec::new()
    }
}

#[tokio::test]
async fn a_cooperative_member_keeps_what_does_not_move() {
    let cluster = cluster();
    let client = cluster.options.clone();
    let (topic, group) = (fresh("cooperative"), fresh("group"));
    make_topic(&client, &topic, 4, &[]).await;
    let notes = Notes::default();
    let mut seen = BTreeMap::new();
    let mut first = member(&client, &group, &[Assignor::CooperativeSticky]);
    first.subscribe([topic.as_str()], Some(Box::new(notes.clone()))).unwrap();
    poll_until(&mut [&mut first], &mut seen, |all, _| is_balanced(all, 4)).await;
    let mut second = member(&client, &group, &[Assignor::CooperativeSticky]);
    second.subscribe([topic.as_str()], None).unwrap();
    poll_until(&mut [&mut first, &mut second], &mut seen, |all, _| is_balanced(all, 4)).await;
    let told: Vec<_> = notes.0.lock().unwrap().iter().filter(|(_, count)| *count > 0).copied().collect();
    assert_eq!(told, [("assigned", 4), ("revoked", 2)]);
}

#[tokio::test]
async fn offsets_are_committed_by_hand_and_found_again() {
    let cluster = cluster();
    let client = cluster.options.clone();
    let (topic, group) = (fresh("commits"), fresh("group"));
    make_topic(&client, &topic, 1, &[]).await;
    produce(&client, &topic, 1, 0..10).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let by_hand = |max_poll_records| {
        let group = GroupOptions { auto_commit_interval: None, ..GroupOptions::new(group.as_str()) };
        Consumer::new(ConsumerOptions {
            client: client.clone(),
            group: Some(group),
            offset_reset: OffsetReset::Earliest,
            max_poll_records,
            ..Default::default()
        })
    };
    let mut consumer = by_hand(3);
    consumer.subscribe([topic.as_str()], None).unwrap();
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 3);
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed(std::slice::from_ref(&partition)).await.unwrap()[&partition].offset.get(), 3);
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 3);
    consumer.close().await.unwrap();

    // A consumer that names its partitions uses the group's offsets without being a member.
    let mut consumer = by_hand(100);
    consumer.assign([partition.clone()]);
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 7);
    consumer.commit().await.unwrap();
    consumer.close().await.unwrap();
    let mut without = Consumer::new(ConsumerOptions { client, ..Default::default() });
    assert!(matches!(without.subscribe(["t"], None), Err(ConsumeError::NoGroup)));
}

#[tokio::test]
async fn a_pattern_finds_topics_that_come_later() {
    let cluster = cluster();
    let client = ClientOptions { metadata_max_age: Duration::from_millis(300), ..cluster.options.clone() };
    let (prefix, group) = (fresh("pattern"), fresh("group"));
    make_topic(&client, &format!("{prefix}.a"), 1, &[]).await;
    make_topic(&client, &format!("other-{prefix}.a"), 1, &[]).await;
    let mut seen = BTreeMap::new();
    let mut consumer = member(&client, &group, &[Assignor::Range]);
    consumer.subscribe_pattern(&format!("{prefix}\\..*"), None).unwrap();
    poll_until(&mut [&mut consumer], &mut seen, |all, _| all[0].len() == 1).await;
    make_topic(&client, &format!("{prefix}.b"), 2, &[]).await;
    poll_until(&mut [&mut consumer], &mut seen, |all, _| all[0].len() == 3).await;
    assert!(matches!(consumer.subscribe_pattern("(", None), Err(ConsumeError::InvalidPattern { .. })));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_static_member_comes_back_to_its_partitions() {
    let cluster = cluster();
    let client = cluster.options.clone();
    let (topic, group) = (fresh("static"), fresh("group"));
    make_topic(&client, &topic, 2, &[]).await;
    let named = |name: &str| {
        let group = GroupOptions {
            group_instance_id: Some(name.to_owned()),
            heartbeat_interval: Duration::from_millis(100),
            ..GroupOptions::new(group.as_str())
        };
        let mut consumer =
            Consumer::new(ConsumerOptions { client: client.clone(), group: Some(group), ..Default::default() });
        consumer.subscribe([topic.as_str()], None).unwrap();
        consumer
    };
    let mut seen = BTreeMap::new();
    let (mut a, mut b) = (named("a"), named("b"));
    poll_until(&mut [&mut a, &mut b], &mut seen, |all, _| is_balanced(all, 2)).await;
    let of_a = a.assignment();
    a.close().await.unwrap();
    let mut again = named("a");
    poll_until(&mut [&mut again, &mut b], &mut seen, |all, _| is_balanced(all, 2)).await;
    assert_eq!(again.assignment(), of_a);
    // A second one of the same name puts the first one out.
    let mut usurper = named("a");
    let fenced = async {
        loop {
            if let Err(error) = again.poll(TICK).await {
                return error;
            }
            usurper.poll(TICK).await.unwrap();
        }
    };
    let error = tokio::time::timeout(LONG, fenced).await.unwrap();
    assert!(matches!(error, ConsumeError::Fenced), "{error}");
}

/// A Java console consumer as a member of a group. Its lines go nowhere; it ends when dropped.
struct JavaMember(std::process::Child);

impl JavaMember {
    fn start(home: &str, server: &str, topic: &str, group: &str, assignor: &str) -> Self {
        let strategy = format!("partition.assignment.strategy=org.apache.kafka.clients.consumer.{assignor}");
        let mut command = std::process::Command::new(format!("{home}/bin/kafka-console-consumer.sh"));
        command.args(["--bootstrap-server", server, "--topic", topic, "--group", group]);
        command.args(["--consumer-property", strategy.as_str()]);
        command.args(["--consumer-property", "heartbeat.interval.ms=200"]);
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        Self(command.stderr(std::process::Stdio::null()).spawn().unwrap())
    }
}

impl Drop for JavaMember {
    fn drop(&mut self) {
        // The script becomes Java, so this is the consumer itself; it has ended already if this fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn our_members_and_javas_share_a_group() {
    let Ok(home) = std::env::var("KAFKA_HOME") else {
        eprintln!("our_members_and_javas_share_a_group skipped: KAFKA_HOME names no Apache Kafka");
        return;
    };
    let cluster = cluster();
    let client = cluster.options.clone();
    let server = client.bootstrap_servers[0].to_string();
    for (class, assignor) in
        [("RangeAssignor", Assignor::Range), ("CooperativeStickyAssignor", Assignor::CooperativeSticky)]
    {
        let (topic, group) = (fresh("mixed"), fresh("group"));
        make_topic(&client, &topic, 4, &[]).await;
        let mut seen = BTreeMap::new();
        // Ours leads the group first.
        let mut ours = member(&client, &group, &[assignor]);
        ours.subscribe([topic.as_str()], None).unwrap();
        poll_until(&mut [&mut ours], &mut seen, |all, _| is_balanced(all, 4)).await;
        let java = JavaMember::start(&home, &server, &topic, &group, class);
        poll_until(&mut [&mut ours], &mut seen, |all, _| all[0].len() == 2).await;
        // Then Java's does, which sees ours come back.
        // Its last commit is refused if Java's has joined anew just then.
        let closed = ours.close().await;
        assert!(matches!(closed, Ok(()) | Err(ConsumeError::CommitFailed)), "{closed:?}");
        let mut ours = member(&client, &group, &[assignor]);
        ours.subscribe([topic.as_str()], None).unwrap();
        poll_until(&mut [&mut ours], &mut seen, |all, _| all[0].len() == 2).await;
        let admin = kafka_rs::client::Admin::new(client.clone());
        let described = admin.describe_group(&group).await.unwrap();
        assert_eq!((described.members.len(), described.assignor.as_str()), (2, assignor.name()));
        drop(java);
    }
}
