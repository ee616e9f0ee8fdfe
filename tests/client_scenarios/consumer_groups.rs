//! Groups whose coordinator assigns (KIP-848), against whichever cluster the options reach.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kafka_rs::client::admin::GroupOffset;
use kafka_rs::client::consumer::{ConsumeError, GroupOptions, RebalanceListener};
use kafka_rs::client::{Admin, ClientOptions, Consumer, ConsumerOptions, Producer, ProducerOptions, ProducerRecord};
use kafka_rs::config::{GroupProtocol, OffsetReset};
use kafka_rs::types::{Offset, PartitionId, TopicPartition};

use crate::client_support::{fresh, make_topic};

const LONG: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(20);

fn group_options(group: &str) -> GroupOptions {
    GroupOptions { protocol: GroupProtocol::Consumer, ..GroupOptions::new(group) }
}

fn member_with(client: &ClientOptions, group: GroupOptions) -> Consumer {
    Consumer::new(ConsumerOptions {
        client: client.clone(),
        group: Some(group),
        offset_reset: OffsetReset::Earliest,
        ..Default::default()
    })
}

fn member(client: &ClientOptions, group: &str) -> Consumer {
    member_with(client, group_options(group))
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

type Seen = BTreeMap<String, usize>;

/// Polls all members in turn until `done`; counts the values that came.
async fn poll_until(
    members: &mut [&mut Consumer],
    seen: &mut Seen,
    mut done: impl FnMut(&[Vec<TopicPartition>], &Seen) -> bool,
) {
    let started = std::time::Instant::now();
    loop {
        for member in &mut *members {
            for record in member.poll(TICK).await.unwrap() {
                *seen.entry(String::from_utf8(record.value.unwrap().to_vec()).unwrap()).or_default() += 1;
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

/// Members share partitions, take over from each other, and read every record once.
pub(crate) async fn members_share_and_take_over(client: &ClientOptions) {
    for assignor in [None, Some("range"), Some("uniform")] {
        let (topic, group) = (fresh("groups"), fresh("group"));
        make_topic(client, &topic, 5, &[]).await;
        produce(client, &topic, 5, 0..100).await;
        let start = || {
            let remote_assignor = assignor.map(str::to_owned);
            let mut consumer = member_with(client, GroupOptions { remote_assignor, ..group_options(&group) });
            consumer.subscribe([topic.as_str()], None).unwrap();
            consumer
        };
        let mut seen = Seen::new();
        let mut first = start();
        poll_until(&mut [&mut first], &mut seen, |all, seen| is_balanced(all, 5) && seen.len() == 100).await;
        let admin = Admin::new(client.clone());
        let described = admin.describe_group(&group).await.unwrap();
        assert_eq!((described.group_type.as_str(), described.members.len()), ("consumer", 1));
        if let Some(assignor) = assignor {
            assert_eq!(described.assignor, assignor);
        }

        let mut second = start();
        poll_until(&mut [&mut first, &mut second], &mut seen, |all, _| is_balanced(all, 5)).await;
        produce(client, &topic, 5, 100..200).await;
        poll_until(&mut [&mut first, &mut second], &mut seen, |_, seen| seen.len() == 200).await;

        // Who leaves commits, so nothing is read twice.
        first.close().await.unwrap();
        poll_until(&mut [&mut second], &mut seen, |all, _| is_balanced(all, 5)).await;
        produce(client, &topic, 5, 200..300).await;
        poll_until(&mut [&mut second], &mut seen, |_, seen| seen.len() == 300).await;
        second.close().await.unwrap();
        assert!(seen.values().all(|count| *count == 1), "{seen:?}");
        assert!(admin.describe_group(&group).await.unwrap().members.is_empty(), "who closes leaves");
    }
}

#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<(&'static str, usize)>>>);

impl Notes {
    fn take(&self) -> Vec<(&'static str, usize)> {
        self.0.lock().unwrap().drain(..).filter(|(_, count)| *count > 0).collect()
    }
}

impl RebalanceListener for Notes {
    fn assigned(&mut self, partitions: &[TopicPartition]) {
        self.0.lock().unwrap().push(("assigned", partitions.len()));
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, GroupOffset)> {
        self.0.lock().unwrap().push(("revoked", partitions.len()));
        Vec::new()
    }

    fn lost(&mut self, partitions: &[TopicPartition]) {
        self.0.lock().unwrap().push(("lost", partitions.len()));
    }
}

/// Only what moves is given up; who does not poll loses everything, and comes back when it polls again.
pub(crate) async fn callbacks(client: &ClientOptions) {
    let (topic, group) = (fresh("callbacks"), fresh("group"));
    make_topic(client, &topic, 4, &[]).await;
    let notes = Notes::default();
    let mut seen = Seen::new();
    let patience = GroupOptions { max_poll_interval: Duration::from_secs(2), ..group_options(&group) };
    let mut first = member_with(client, patience);
    first.subscribe([topic.as_str()], Some(Box::new(notes.clone()))).unwrap();
    poll_until(&mut [&mut first], &mut seen, |all, _| is_balanced(all, 4)).await;
    let mut second = member(client, &group);
    second.subscribe([topic.as_str()], None).unwrap();
    poll_until(&mut [&mut first, &mut second], &mut seen, |all, _| is_balanced(all, 4)).await;
    assert_eq!(notes.take(), [("assigned", 4), ("revoked", 2)]);
    // The first one is busy elsewhere.
    poll_until(&mut [&mut second], &mut seen, |all, _| is_balanced(all, 4)).await;
    poll_until(&mut [&mut first, &mut second], &mut seen, |all, _| is_balanced(all, 4)).await;
    assert_eq!(notes.take(), [("lost", 2), ("assigned", 2)]);
    first.unsubscribe().await.unwrap();
    assert_eq!(notes.take(), [("revoked", 2)]);
    assert!(first.assignment().is_empty());
    poll_until(&mut [&mut second], &mut seen, |all, _| is_balanced(all, 4)).await;
    second.close().await.unwrap();
}

/// Offsets are committed by hand under the member's epoch, also while the group changes.
pub(crate) async fn commits(client: &ClientOptions) {
    let (topic, group) = (fresh("commits"), fresh("group"));
    make_topic(client, &topic, 2, &[]).await;
    produce(client, &topic, 1, 0..10).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let by_hand = || {
        let group = GroupOptions { auto_commit_interval: None, ..group_options(&group) };
        let options = ConsumerOptions {
            client: client.clone(),
            group: Some(group),
            offset_reset: OffsetReset::Earliest,
            max_poll_records: 3,
            ..Default::default()
        };
        let mut consumer = Consumer::new(options);
        consumer.subscribe([topic.as_str()], None).unwrap();
        consumer
    };
    let mut consumer = by_hand();
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 3);
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed(std::slice::from_ref(&partition)).await.unwrap()[&partition].offset, Offset(3));
    let member = consumer.group_metadata().unwrap();
    assert!(member.generation_id > 0);
    // Another member raises the epoch; commits go on.
    let mut other = by_hand();
    let mut seen = Seen::new();
    let changed = |consumer: &Consumer| consumer.group_metadata().unwrap().generation_id > member.generation_id;
    let started = std::time::Instant::now();
    while !changed(&consumer) || other.assignment().is_empty() || consumer.assignment().len() != 1 {
        assert!(started.elapsed() < LONG);
        poll_until(&mut [&mut consumer, &mut other], &mut seen, |_, _| true).await;
        match consumer.commit().await {
            Ok(()) | Err(ConsumeError::CommitFailed) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    consumer.commit().await.unwrap();
    consumer.close().await.unwrap();
    other.close().await.unwrap();
}

/// The coordinator finds the topics of a pattern, also those that come later; the client finds those of its own.
pub(crate) async fn patterns(client: &ClientOptions) {
    let client = &ClientOptions { metadata_max_age: Duration::from_millis(300), ..client.clone() };
    let prefix = fresh("pattern");
    make_topic(client, &format!("{prefix}.a"), 1, &[]).await;
    make_topic(client, &format!("other-{prefix}.a"), 1, &[]).await;
    let pattern = format!("{prefix}\\..*");
    let mut seen = Seen::new();
    let mut own = member(client, &fresh("group"));
    own.subscribe_pattern(&pattern, None).unwrap();
    let mut remote = member(client, &fresh("group"));
    remote.subscribe_coordinator_pattern(&pattern, None).unwrap();
    let mut both = [&mut own, &mut remote];
    poll_until(&mut both, &mut seen, |all, _| all.iter().all(|one| one.len() == 1)).await;
    let later = format!("{prefix}.b");
    make_topic(client, &later, 2, &[]).await;
    produce(client, &later, 2, 0..4).await;
    poll_until(&mut both, &mut seen, |all, seen| {
        all.iter().all(|one| one.len() == 3) && seen.values().sum::<usize>() == 8
    })
    .await;
    // From the coordinator's pattern to names.
    remote.subscribe([later.as_str()], None).unwrap();
    poll_until(&mut [&mut remote], &mut seen, |all, _| all[0].len() == 2).await;
    own.close().await.unwrap();
    remote.close().await.unwrap();
    let mut wrong = member(client, &fresh("group"));
    wrong.subscribe_coordinator_pattern("(", None).unwrap();
    let error = wrong.poll(LONG).await.unwrap_err();
    assert!(matches!(&error, ConsumeError::Api(api) if api.code.name() == "INVALID_REGULAR_EXPRESSION"), "{error:?}");
    let mut classic = member_with(client, GroupOptions::new("classic"));
    assert!(matches!(classic.subscribe_coordinator_pattern("a", None), Err(ConsumeError::NeedsCoordinator)));
}

/// A member with a name of its own comes back to its partitions; another of the same name is refused while it is there.
pub(crate) async fn static_members(client: &ClientOptions) {
    let (topic, group) = (fresh("static"), fresh("group"));
    make_topic(client, &topic, 2, &[]).await;
    let named = |name: &str| {
        let options = GroupOptions { group_instance_id: Some(name.to_owned()), ..group_options(&group) };
        let mut consumer = member_with(client, options);
        consumer.subscribe([topic.as_str()], None).unwrap();
        consumer
    };
    let mut seen = Seen::new();
    let (mut a, mut b) = (named("a"), named("b"));
    poll_until(&mut [&mut a, &mut b], &mut seen, |all, _| is_balanced(all, 2)).await;
    let (of_a, of_b) = (a.assignment(), b.assignment());
    a.close().await.unwrap();
    let mut again = named("a");
    poll_until(&mut [&mut again, &mut b], &mut seen, |all, _| is_balanced(all, 2)).await;
    assert_eq!((again.assignment(), b.assignment()), (of_a, of_b));
    let mut usurper = named("a");
    let error = usurper.poll(LONG).await.unwrap_err();
    assert!(matches!(&error, ConsumeError::Api(api) if api.code.name() == "UNRELEASED_INSTANCE_ID"), "{error:?}");
    again.close().await.unwrap();
    b.close().await.unwrap();
}
