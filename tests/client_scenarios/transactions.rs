//! What transactions promise, against whichever cluster the options reach.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_rs::client::admin::GroupOffset;
use kafka_rs::client::consumer::GroupOptions;
use kafka_rs::client::producer::{ProduceError, TransactionError, TransactionState};
use kafka_rs::client::{Admin, ClientOptions, Consumer, ConsumerOptions, Producer, ProducerOptions, ProducerRecord};
use kafka_rs::config::{IsolationLevel, OffsetReset};
use kafka_rs::types::{Offset, PartitionId, TopicPartition};

use crate::client_support::{fresh, make_topic};

const LONG: Duration = Duration::from_secs(30);

fn producer(client: &ClientOptions, id: &str) -> Producer {
    let mut options = ProducerOptions { client: client.clone(), ..Default::default() };
    options.transactional_id = Some(id.to_owned());
    options.max_block = LONG;
    Producer::new(options)
}

async fn send(producer: &Producer, topic: &str, partition: i32, value: &str) -> Result<(), ProduceError> {
    let partition = Some(PartitionId(partition));
    let record = ProducerRecord { topic, partition, value: Some(value.as_bytes()), ..Default::default() };
    producer.send(record).await.map(drop)
}

/// The values that a reader of committed records finds, once `marker` records are there.
async fn committed(client: &ClientOptions, topic: &str, partitions: i32, count: usize) -> BTreeSet<String> {
    let mut consumer = Consumer::new(ConsumerOptions {
        client: client.clone(),
        isolation: IsolationLevel::ReadCommitted,
        offset_reset: OffsetReset::Earliest,
        ..Default::default()
    });
    consumer.assign((0..partitions).map(|partition| TopicPartition::new(topic, partition)));
    let mut values = BTreeSet::new();
    while values.len() < count {
        let records = consumer.poll(LONG).await.unwrap();
        assert!(!records.is_empty(), "only {values:?} of {count} came");
        for record in records {
            assert!(values.insert(String::from_utf8(record.value.unwrap().to_vec()).unwrap()), "twice");
        }
    }
    consumer.close().await.unwrap();
    values
}

/// Commits show all records of all partitions, aborts none, and what is ended can be followed by more.
pub(crate) async fn commit_and_abort(client: &ClientOptions) {
    let topic = fresh("txn");
    make_topic(client, &topic, 3, &[]).await;
    let producer = producer(client, &fresh("id"));
    assert_eq!(producer.transaction_state(), Some(TransactionState::Uninitialized));
    producer.init_transactions().await.unwrap();
    let mut expected = BTreeSet::new();
    for round in 0..6 {
        producer.begin_transaction().unwrap();
        for n in 0..20 {
            let value = format!("{round}-{n}");
            send(&producer, &topic, n % 3, &value).await.unwrap();
            if round % 2 == 0 {
                expected.insert(value);
            }
        }
        match round {
            0 | 2 | 4 => producer.commit_transaction().await.unwrap(),
            1 => {
                // Also what has reached the log already.
                producer.flush().await.unwrap();
                producer.abort_transaction().await.unwrap();
            }
            _ => producer.abort_transaction().await.unwrap(),
        }
        assert_eq!(producer.transaction_state(), Some(TransactionState::Ready));
    }
    // A transaction without records ends without a word to anybody, or with one.
    producer.begin_transaction().unwrap();
    producer.commit_transaction().await.unwrap();
    producer.begin_transaction().unwrap();
    producer.abort_transaction().await.unwrap();
    producer.close(LONG).await.unwrap();
    assert_eq!(committed(client, &topic, 3, expected.len()).await, expected);
}

/// Calls in the wrong order are told so and change nothing.
pub(crate) async fn order_of_calls(client: &ClientOptions) {
    let topic = fresh("txn");
    make_topic(client, &topic, 1, &[]).await;
    let producer = producer(client, &fresh("id"));
    let wrong =
        |result: Result<(), TransactionError>| assert!(matches!(result, Err(TransactionError::WrongState { .. })));
    wrong(producer.begin_transaction());
    let early = send(&producer, &topic, 0, "early").await;
    assert!(matches!(early, Err(ProduceError::Transaction(TransactionError::WrongState { .. }))));
    producer.init_transactions().await.unwrap();
    wrong(producer.init_transactions().await);
    wrong(producer.commit_transaction().await);
    wrong(producer.abort_transaction().await);
    producer.begin_transaction().unwrap();
    wrong(producer.begin_transaction());
    send(&producer, &topic, 0, "in time").await.unwrap();
    producer.commit_transaction().await.unwrap();
    producer.close(LONG).await.unwrap();
    assert_eq!(committed(client, &topic, 1, 1).await, BTreeSet::from(["in time".to_owned()]));
    let plain = Producer::new(ProducerOptions { client: client.clone(), ..Default::default() });
    assert!(matches!(plain.begin_transaction(), Err(TransactionError::NotTransactional)));
}

/// The second producer of an id ends the first one's transaction and puts it out.
pub(crate) async fn fencing(client: &ClientOptions) {
    let (topic, id) = (fresh("txn"), fresh("id"));
    make_topic(client, &topic, 1, &[]).await;
    let first = producer(client, &id);
    first.init_transactions().await.unwrap();
    first.begin_transaction().unwrap();
    send(&first, &topic, 0, "of the first").await.unwrap();
    first.flush().await.unwrap();
    let second = producer(client, &id);
    second.init_transactions().await.unwrap();
    second.begin_transaction().unwrap();
    send(&second, &topic, 0, "of the second").await.unwrap();
    second.commit_transaction().await.unwrap();
    let error = first.commit_transaction().await.unwrap_err();
    assert!(matches!(error, TransactionError::Fenced { .. }), "{error:?}");
    assert!(matches!(first.abort_transaction().await, Err(TransactionError::Fenced { .. })));
    assert_eq!(first.transaction_state(), Some(TransactionState::FatalError));
    assert_eq!(committed(client, &topic, 1, 1).await, BTreeSet::from(["of the second".to_owned()]));
    second.close(LONG).await.unwrap();
}

/// A record that the broker refuses fails its transaction and no other.
pub(crate) async fn a_refused_record(client: &ClientOptions) {
    let topic = fresh("txn");
    make_topic(client, &topic, 2, &[("max.message.bytes", "2000")]).await;
    let producer = producer(client, &fresh("id"));
    producer.init_transactions().await.unwrap();
    for round in 0..2 {
        producer.begin_transaction().unwrap();
        send(&producer, &topic, 0, &format!("lost {round}")).await.unwrap();
        send(&producer, &topic, 1, &"x".repeat(5000)).await.unwrap();
        let error = producer.commit_transaction().await.unwrap_err();
        assert!(matches!(error, TransactionError::Abortable { .. }), "{error:?}");
        let after = send(&producer, &topic, 0, "too late").await;
        assert!(matches!(after, Err(ProduceError::Transaction(TransactionError::Abortable { .. }))));
        producer.abort_transaction().await.unwrap();
        producer.begin_transaction().unwrap();
        send(&producer, &topic, 0, &format!("a {round}")).await.unwrap();
        send(&producer, &topic, 1, &format!("b {round}")).await.unwrap();
        producer.commit_transaction().await.unwrap();
    }
    producer.close(LONG).await.unwrap();
    let expected = ["a 0", "a 1", "b 0", "b 1"].map(str::to_owned).into();
    assert_eq!(committed(client, &topic, 2, 4).await, expected);
}

/// Read, process, write: offsets are committed with the records or not at all, and only by a member of the group.
pub(crate) async fn offsets_in_transactions(client: &ClientOptions) {
    let (input, output, group) = (fresh("in"), fresh("out"), fresh("group"));
    make_topic(client, &input, 1, &[]).await;
    make_topic(client, &output, 1, &[]).await;
    let plain = Producer::new(ProducerOptions { client: client.clone(), ..Default::default() });
    for n in 0..10 {
        send(&plain, &input, 0, &n.to_string()).await.unwrap();
    }
    plain.close(LONG).await.unwrap();

    let options = GroupOptions { auto_commit_interval: None, ..GroupOptions::new(group.as_str()) };
    let mut consumer = Consumer::new(ConsumerOptions {
        client: client.clone(),
        group: Some(options),
        offset_reset: OffsetReset::Earliest,
        ..Default::default()
    });
    consumer.subscribe([input.as_str()], None).unwrap();
    let records = consumer.poll(LONG).await.unwrap();
    assert!(!records.is_empty());
    let next = records.last().unwrap().offset.get() + 1;
    let partition = TopicPartition::new(input.as_str(), 0);
    let offsets = vec![(partition.clone(), GroupOffset::new(Offset(next)))];

    let producer = producer(client, &fresh("id"));
    producer.init_transactions().await.unwrap();
    let admin = Admin::new(client.clone());
    for commit in [false, true] {
        producer.begin_transaction().unwrap();
        send(&producer, &output, 0, if commit { "kept" } else { "dropped" }).await.unwrap();
        let member = consumer.group_metadata().unwrap();
        assert!(member.generation_id >= 0 && !member.member_id.is_empty());
        producer.send_offsets_to_transaction(&offsets, &member).await.unwrap();
        if commit {
            producer.commit_transaction().await.unwrap();
        } else {
            producer.abort_transaction().await.unwrap();
            assert!(admin.group_offsets(&group, None).await.unwrap().is_empty());
        }
    }
    // The marker reaches the group's log after the answer.
    let deadline = std::time::Instant::now() + LONG;
    loop {
        let found = admin.group_offsets(&group, None).await.unwrap();
        if let Some(Ok(offset)) = found.get(&partition) {
            assert_eq!(offset.offset, Offset(next));
            break;
        }
        assert!(std::time::Instant::now() < deadline, "not committed: {found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    // Who is no member any more can't commit: the group has given its partitions to others.
    producer.begin_transaction().unwrap();
    send(&producer, &output, 0, "stale").await.unwrap();
    let mut stale = consumer.group_metadata().unwrap();
    stale.generation_id += 7;
    let error = producer.send_offsets_to_transaction(&offsets, &stale).await.unwrap_err();
    assert!(matches!(error, TransactionError::Abortable { .. }), "{error:?}");
    producer.abort_transaction().await.unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, &output, 0, "last").await.unwrap();
    producer.commit_transaction().await.unwrap();
    producer.close(LONG).await.unwrap();
    consumer.close().await.unwrap();
    assert_eq!(committed(client, &output, 1, 2).await, ["kept", "last"].map(str::to_owned).into());
}

/// A producer that is closed within a transaction aborts it, so that nobody has to wait for its timeout.
pub(crate) async fn closing_aborts(client: &ClientOptions) {
    let (topic, id) = (fresh("txn"), fresh("id"));
    make_topic(client, &topic, 1, &[]).await;
    let first = producer(client, &id);
    first.init_transactions().await.unwrap();
    first.begin_transaction().unwrap();
    send(&first, &topic, 0, "given up").await.unwrap();
    first.flush().await.unwrap();
    first.close(LONG).await.unwrap();
    // Behind an open transaction this would not be visible.
    let plain = Producer::new(ProducerOptions { client: client.clone(), ..Default::default() });
    send(&plain, &topic, 0, "plain").await.unwrap();
    plain.close(LONG).await.unwrap();
    assert_eq!(committed(client, &topic, 1, 1).await, BTreeSet::from(["plain".to_owned()]));
}
