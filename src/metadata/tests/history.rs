//! The image against random histories: what a snapshot says adds up to the same image, whatever came before.

use bytes::Bytes;
use proptest::prelude::*;

use crate::metadata::*;
use crate::protocol::messages::client_quota_record::EntityData;
use crate::protocol::messages::*;
use crate::types::{LeaderEpoch, NodeId, PartitionId, Uuid};

fn id(n: u8) -> Uuid {
    let mut bytes = [7; 16];
    bytes[15] = n;
    Uuid(bytes)
}

fn topic(n: u8) -> MetadataRecord {
    TopicRecord { name: format!("topic-{n}"), topic_id: id(n), ..Default::default() }.into()
}

fn partition(n: u8, partition_id: i32) -> MetadataRecord {
    PartitionRecord {
        partition_id,
        topic_id: id(n),
        replicas: vec![1, 2],
        isr: vec![1],
        leader: 1,
        leader_epoch: 3,
        partition_epoch: 4,
        directories: vec![id(100), id(101)],
        ..Default::default()
    }
    .into()
}

fn config(resource_type: i8, resource_name: &str, name: &str, value: Option<&str>) -> MetadataRecord {
    ConfigRecord {
        resource_type,
        resource_name: resource_name.to_owned(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
        ..Default::default()
    }
    .into()
}

fn feature(name: &str, feature_level: i16) -> MetadataRecord {
    FeatureLevelRecord { name: name.to_owned(), feature_level, ..Default::default() }.into()
}

fn broker(broker_id: i32) -> MetadataRecord {
    RegisterBrokerRecord { broker_id, broker_epoch: 9, log_dirs: vec![id(100)], ..Default::default() }.into()
}

fn image_of(records: &[MetadataRecord]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for record in records {
        image.apply(record).unwrap();
    }
    image
}

/// Any record, over few names, so that records often meet the same thing.
fn any_record() -> impl Strategy<Value = MetadataRecord> {
    let n = 0u8..4;
    let ids = prop::collection::vec(1i32..4, 0..3);
    let name = prop::sample::select(vec!["retention.ms", "segment.bytes"]);
    let value = prop::option::of(prop::sample::select(vec!["1", "2"]));
    prop_oneof![
        n.clone().prop_map(topic),
        (n.clone(), 0i32..3).prop_map(|(n, p)| partition(n, p)),
        (n.clone(), 0i32..3, prop::option::of(ids.clone()), prop::option::of(ids.clone()), -2i32..3, -1i8..2).prop_map(
            |(n, partition_id, isr, elr, leader, leader_recovery_state)| {
                let change = PartitionChangeRecord {
                    partition_id,
                    topic_id: id(n),
                    isr,
                    leader,
                    leader_recovery_state,
                    last_known_elr: elr.clone(),
                    eligible_leader_replicas: elr,
                    ..Default::default()
                };
                change.into()
            }
        ),
        n.clone().prop_map(|n| RemoveTopicRecord { topic_id: id(n), ..Default::default() }.into()),
        n.clone().prop_map(|n| ClearElrRecord { topic_name: format!("topic-{n}"), ..Default::default() }.into()),
        (n.clone(), name, value).prop_map(|(n, name, value)| config(2, &format!("topic-{n}"), name, value)),
        (1i32..3).prop_map(broker),
        (1i32..3).prop_map(|id| FenceBrokerRecord { id, epoch: 9, ..Default::default() }.into()),
        (1i32..3).prop_map(|id| UnfenceBrokerRecord { id, epoch: 9, ..Default::default() }.into()),
        (1i32..3, -1i8..2, 0i8..2).prop_map(|(broker_id, fenced, in_controlled_shutdown)| {
            let change = BrokerRegistrationChangeRecord {
                broker_id,
                broker_epoch: 9,
                fenced,
                in_controlled_shutdown,
                ..Default::default()
            };
            change.into()
        }),
        (1i32..3)
            .prop_map(|broker_id| UnregisterBrokerRecord { broker_id, broker_epoch: 9, ..Default::default() }.into()),
        (1i32..3).prop_map(|controller_id| RegisterControllerRecord { controller_id, ..Default::default() }.into()),
        (0i16..2).prop_map(|level| feature("group.version", level)),
        (7i16..31).prop_map(|level| feature("metadata.version", level)),
        any::<i64>().prop_map(|next_producer_id| ProducerIdsRecord { next_producer_id, ..Default::default() }.into()),
        (n.clone(), any::<bool>(), 0u8..3).prop_map(|(n, remove, value)| {
            let entity = EntityData {
                entity_type: "user".to_owned(),
                entity_name: (n > 0).then(|| n.to_string()),
                ..Default::default()
            };
            let quota = ClientQuotaRecord {
                entity: vec![entity],
                key: "producer_byte_rate".to_owned(),
                value: f64::from(value),
                remove,
                ..Default::default()
            };
            quota.into()
        }),
        n.clone().prop_map(|n| AccessControlEntryRecord { id: id(n), ..Default::default() }.into()),
        n.clone().prop_map(|n| RemoveAccessControlEntryRecord { id: id(n), ..Default::default() }.into()),
        n.clone().prop_map(|n| UserScramCredentialRecord { name: n.to_string(), ..Default::default() }.into()),
        n.clone().prop_map(|n| RemoveUserScramCredentialRecord { name: n.to_string(), ..Default::default() }.into()),
        n.clone().prop_map(|n| DelegationTokenRecord { token_id: n.to_string(), ..Default::default() }.into()),
        n.prop_map(|n| RemoveDelegationTokenRecord { token_id: n.to_string(), ..Default::default() }.into()),
        Just(NoOpRecord::default().into()),
    ]
}

proptest! {
    /// Goal: a snapshot loses nothing, at any level that has all fields.
    /// Method: apply a random history (records that contradict it are refused), then the image's own records to an
    /// empty image, each through its bytes.
    #[test]
    fn a_snapshot_adds_up_to_its_image(history in prop::collection::vec(any_record(), 0..60)) {
        let mut image = MetadataImage::default();
        for record in &history {
            let before = image.clone();
            if image.apply(record).is_err() {
                prop_assert_eq!(&before, &image, "a refused record changed the image");
            }
        }
        image.apply(&feature("metadata.version", 30)).unwrap();
        let mut again = MetadataImage::default();
        for record in image.records() {
            let written = record.write(MetadataVersion::LATEST).unwrap();
            again.apply(&MetadataRecord::read(&written).unwrap()).unwrap();
        }
        prop_assert_eq!(image, again);
    }

    /// Goal: a snapshot can be written at every level, also when the image holds what the level does not have.
    #[test]
    fn a_snapshot_can_be_written_at_its_level(
        history in prop::collection::vec(any_record(), 0..30),
        level in 7i16..31,
    ) {
        let mut image = MetadataImage::default();
        for record in &history {
            let _ = image.apply(record);
        }
        image.apply(&feature("metadata.version", level)).unwrap();
        for record in image.records() {
            record.write(image.metadata_version().unwrap()).unwrap();
        }
    }

    /// Goal: the delta of one commit names exactly what differs between the images before and after.
    #[test]
    fn a_delta_names_what_changed(
        history in prop::collection::vec(any_record(), 0..30),
        commit in prop::collection::vec(any_record(), 0..10),
    ) {
        let mut image = MetadataImage::default();
        for record in &history {
            let _ = image.apply(record);
        }
        let before = image.clone();
        let mut delta = MetadataDelta::default();
        for record in &commit {
            let _ = image.apply_noting(record, &mut delta);
        }
        for topic in before.topics().values() {
            // A topic that was deleted and created again under its id is named in both lists.
            let gone = image.topic_by_id(topic.id).is_none() || delta.created_topics.contains(&topic.id);
            prop_assert_eq!(gone, delta.deleted_topics.iter().any(|t| t.id == topic.id));
        }
        for topic in image.topics().values() {
            let known = before.topic_by_id(topic.id);
            if known.is_none() {
                prop_assert!(delta.created_topics.contains(&topic.id));
            }
            for (id, partition) in &topic.partitions {
                if known.and_then(|t| t.partitions.get(id)) != Some(partition) {
                    prop_assert!(delta.changed_partitions.contains(&(topic.id, *id)));
                }
            }
        }
        for (resource, configs) in image.all_configs() {
            if before.configs(resource) != Some(configs) {
                prop_assert!(delta.changed_configs.contains(resource));
            }
        }
        for (id, broker) in image.brokers() {
            prop_assert!(before.brokers().get(id) == Some(broker) || delta.changed_brokers.contains(id));
        }
        if delta.is_empty() {
            prop_assert_eq!(before.topics(), image.topics());
            prop_assert_eq!(before.features(), image.features());
        }
    }

    #[test]
    fn no_bytes_end_the_fuzz_entry(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::records(&data);
    }
}

#[test]
fn all_kinds_have_a_record() {
    let mut kinds: Vec<i16> = (0..29).collect();
    kinds.retain(|kind| ![6, 13, 16].contains(kind));
    assert_eq!(MetadataRecord::KINDS.len(), kinds.len());
    for kind in kinds {
        assert!(MetadataRecord::KINDS.contains(&kind), "kind {kind}");
    }
}

/// Goal: every record that Kafka's own classes wrote comes back byte for byte, through the frame.
#[test]
fn kafkas_records_pass_through_the_frame() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors/metadata-log.tsv");
    let mut read = 0;
    for line in std::fs::read_to_string(path).unwrap().lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (name, version, hex) = (columns[0], columns[1].parse::<u8>().unwrap(), columns[3]);
        let key = ALL_KEYS.iter().find(|(known, _)| *known == name).unwrap().1;
        let mut value = vec![1, key, version];
        value.extend((0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()));
        let record = MetadataRecord::read(&Bytes::from(value.clone())).unwrap();
        assert_eq!(record.kind(), name);
        assert_eq!(record.write_version(i16::from(version)).unwrap(), value, "{line}");
        read += 1;
    }
    assert!(read > 60, "{read} lines");
}

const ALL_KEYS: &[(&str, u8)] = &[
    ("RegisterBrokerRecord", 0),
    ("UnregisterBrokerRecord", 1),
    ("TopicRecord", 2),
    ("PartitionRecord", 3),
    ("ConfigRecord", 4),
    ("PartitionChangeRecord", 5),
    ("FenceBrokerRecord", 7),
    ("UnfenceBrokerRecord", 8),
    ("RemoveTopicRecord", 9),
    ("DelegationTokenRecord", 10),
    ("UserScramCredentialRecord", 11),
    ("FeatureLevelRecord", 12),
    ("ClientQuotaRecord", 14),
    ("ProducerIdsRecord", 15),
    ("BrokerRegistrationChangeRecord", 17),
    ("AccessControlEntryRecord", 18),
    ("RemoveAccessControlEntryRecord", 19),
    ("NoOpRecord", 20),
    ("ZkMigrationStateRecord", 21),
    ("RemoveUserScramCredentialRecord", 22),
    ("BeginTransactionRecord", 23),
    ("EndTransactionRecord", 24),
    ("AbortTransactionRecord", 25),
    ("RemoveDelegationTokenRecord", 26),
    ("RegisterControllerRecord", 27),
    ("ClearElrRecord", 28),
];

#[test]
fn what_is_not_a_known_record_is_named() {
    let error = |bytes: &'static [u8]| MetadataRecord::read(&Bytes::from_static(bytes)).unwrap_err().to_string();
    assert_eq!(error(&[2, 20, 0, 0]), "metadata record with frame version 2, known is 1");
    assert_eq!(error(&[1, 99, 0]), "metadata record of unknown kind 99");
    assert_eq!(error(&[1, 20, 1, 0]), "NoOpRecord that can't be read");
    assert_eq!(error(&[1, 20, 0, 0, 0]), "NoOpRecord that can't be read");
    assert_eq!(error(&[1]), "metadata record without a whole frame");
}

#[test]
fn records_have_the_versions_that_kafka_writes() {
    let version = |record: MetadataRecord, level| record.write(MetadataVersion::from_level(level).unwrap()).unwrap()[2];
    assert_eq!((version(broker(1), 21), version(broker(1), 30)), (3, 4));
    assert_eq!((version(partition(1, 0), 21), version(partition(1, 0), 30)), (1, 2));
    let change = |fenced, in_controlled_shutdown, cordoned_log_dirs| {
        let change =
            BrokerRegistrationChangeRecord { fenced, in_controlled_shutdown, cordoned_log_dirs, ..Default::default() };
        change.into()
    };
    assert_eq!(version(change(-1, 0, None), 30), 0);
    assert_eq!(version(change(0, 1, None), 30), 1);
    assert_eq!(version(change(0, 0, Some(Vec::new())), 30), 3);
}

#[test]
fn a_named_leader_raises_the_leader_epoch() {
    let mut image = image_of(&[topic(1), partition(1, 0)]);
    let change = |leader| PartitionChangeRecord { topic_id: id(1), partition_id: 0, leader, ..Default::default() };
    let epochs = |image: &MetadataImage| {
        let partition = image.partition("topic-1", PartitionId(0)).unwrap();
        (partition.leader, partition.leader_epoch, partition.partition_epoch)
    };
    assert_eq!(epochs(&image), (NodeId(1), LeaderEpoch(3), 4));
    image.apply(&change(-2).into()).unwrap();
    assert_eq!(epochs(&image), (NodeId(1), LeaderEpoch(3), 5));
    image.apply(&change(-1).into()).unwrap();
    assert_eq!(epochs(&image), (NodeId(-1), LeaderEpoch(4), 6));
    image.apply(&change(1).into()).unwrap();
    assert_eq!(epochs(&image), (NodeId(1), LeaderEpoch(5), 7));
}

#[test]
fn a_topic_takes_its_configs_with_it() {
    let mut image = image_of(&[topic(1), partition(1, 0), config(2, "topic-1", "retention.ms", Some("5"))]);
    let mut delta = MetadataDelta::default();
    image.apply_noting(&RemoveTopicRecord { topic_id: id(1), ..Default::default() }.into(), &mut delta).unwrap();
    assert!(image.configs(&ConfigResource::topic("topic-1")).is_none());
    assert_eq!(delta.deleted_topics.len(), 1);
    assert_eq!(delta.deleted_topics[0].partitions.len(), 1);
    assert_eq!(image, MetadataImage::default());
}

#[test]
fn a_record_for_what_is_not_there_is_refused() {
    let mut image = image_of(&[topic(1), broker(1)]);
    let mut refused = |record: MetadataRecord| image.apply(&record).unwrap_err().to_string();
    assert_eq!(
        refused(PartitionChangeRecord { topic_id: id(1), partition_id: 0, ..Default::default() }.into()),
        "change of partition topic-1-0, which does not exist"
    );
    assert_eq!(refused(topic(1)), "topic topic-1 is created twice");
    assert_eq!(
        refused(FenceBrokerRecord { id: 1, epoch: 8, ..Default::default() }.into()),
        "FenceBrokerRecord for broker 1 with epoch 8, its epoch is 9"
    );
    assert_eq!(refused(feature("metadata.version", 31)), "metadata.version 31 is not one of 7 to 30");
}

#[test]
fn a_transaction_counts_when_it_ends() {
    let mut replay = Replay::default();
    replay.take(BeginTransactionRecord::default().into()).unwrap();
    replay.take(topic(1)).unwrap();
    assert!(replay.is_in_transaction());
    assert!(replay.image().topics().is_empty());
    replay.take(EndTransactionRecord::default().into()).unwrap();
    assert!(!replay.is_in_transaction());
    assert_eq!(replay.image().topics().len(), 1);

    replay.take(BeginTransactionRecord::default().into()).unwrap();
    replay.take(topic(2)).unwrap();
    replay.take(AbortTransactionRecord::default().into()).unwrap();
    assert_eq!(replay.into_image(), image_of(&[topic(1)]));
}
