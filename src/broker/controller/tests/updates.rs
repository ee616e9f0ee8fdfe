//! Feature levels and registrations: what a change writes, and what a restart finds of it.

use super::*;
use crate::metadata::features::{ELR_VERSION, KRAFT_VERSION, METADATA_VERSION};
use crate::protocol::ErrorCode;
use crate::protocol::messages::update_features_request::FeatureUpdateKey;
use crate::protocol::messages::{
    RegisterBrokerRecord, UnregisterBrokerRequest, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

fn set(controller: &Controller, updates: &[(&str, i16, i8)], validate_only: bool) -> UpdateFeaturesResponse {
    let update = |(feature, max_version_level, upgrade_type): &(&str, i16, i8)| FeatureUpdateKey {
        feature: (*feature).to_owned(),
        max_version_level: *max_version_level,
        upgrade_type: *upgrade_type,
        ..Default::default()
    };
    let feature_updates = updates.iter().map(update).collect();
    let request = UpdateFeaturesRequest { feature_updates, validate_only, ..Default::default() };
    controller.update_features(&request, 2, NOW)
}

fn level(controller: &Controller, name: &str) -> i16 {
    controller.cache().read().features().get(name).copied().unwrap_or_default()
}

#[test]
fn levels_outlive_a_restart_and_validation_changes_nothing() {
    let node = Node::new(&[]);
    let controller = node.start();
    let end = controller.quorum().end_offset;
    assert_eq!(set(&controller, &[("transaction.version", 1, 2)], true).error_code, 0);
    assert_eq!((level(&controller, "transaction.version"), controller.quorum().end_offset), (2, end));
    let refused = set(&controller, &[("transaction.version", 1, 2), ("share.version", 7, 1)], false);
    assert_eq!(refused.error_code, ErrorCode::InvalidUpdateVersion.code());
    assert_eq!(
        refused.error_message.as_deref(),
        Some(
            "The update failed for all features since the following feature had an error: Invalid update version 7 for \
             feature share.version. Local controller 1 only supports versions 0-1"
        )
    );
    assert_eq!((level(&controller, "transaction.version"), controller.quorum().end_offset), (2, end));
    assert_eq!(set(&controller, &[("transaction.version", 1, 2), ("share.version", 0, 2)], false).error_code, 0);
    drop(controller);
    let controller = node.start();
    assert_eq!((level(&controller, "transaction.version"), level(&controller, "share.version")), (1, 0));
}

/// Goal: a cluster of 3.6 becomes one of 4.3 while it runs, as an upgrade of Kafka's does it.
#[test]
fn metadata_rises_with_all_that_the_new_level_has_room_for() {
    let node = Node::new(&[]);
    let levels = [(METADATA_VERSION.to_owned(), 13)].into();
    let bytes = bootstrap::bootstrap_checkpoint(&levels, Vec::new(), NOW).unwrap();
    fs::write(node.dir.path().join("bootstrap.checkpoint"), bytes).unwrap();
    let controller = node.start();
    assert!(controller.cache().read().controllers().is_empty());
    assert!(controller.cache().read().brokers()[&NodeId(1)].log_dirs.is_empty());
    let before = controller.broker_epoch();
    assert_eq!(set(&controller, &[(METADATA_VERSION, 30, 1), (ELR_VERSION, 1, 1)], false).error_message, None);
    assert!(controller.broker_epoch() > before);
    create(&controller, "a");
    let check = |controller: &Controller| {
        let image = controller.cache().read();
        assert_eq!(image.metadata_version(), Some(MetadataVersion::LATEST));
        assert!(image.controllers().contains_key(&NodeId(1)));
        let broker = &image.brokers()[&NodeId(1)];
        assert_eq!((broker.log_dirs.len(), broker.fenced), (1, false));
        assert_eq!(Some(broker.broker_epoch), controller.broker_epoch());
        assert!(image.has_eligible_leader_replicas());
        drop(image);
        assert_eq!(leader(controller, "a").0, NodeId(1));
    };
    check(&controller);
    controller.shut_down_broker(NOW).unwrap();
    controller.close().unwrap();
    drop(controller);
    check(&node.start());
}

/// Goal: the voters move into the log while the quorum is at work, and a restart believes them.
#[test]
fn kraft_version_rises_and_does_not_fall() {
    let node = Node::new(&[
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", "1@127.0.0.1:9093"),
        ("controller.listener.names", "CONTROLLER"),
        ("listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"),
    ]);
    let controller = node.start();
    assert_eq!((controller.kraft_version(), controller.quorum().directory_id), (0, Uuid::ZERO));
    assert_eq!(set(&controller, &[(KRAFT_VERSION, 1, 1)], true).error_code, 0);
    assert_eq!(controller.kraft_version(), 0);
    assert_eq!(set(&controller, &[(KRAFT_VERSION, 1, 1)], false).error_code, 0);
    let directory = node.identity.metadata_directory_id;
    assert_eq!((controller.kraft_version(), controller.quorum().directory_id), (1, directory));
    assert_eq!(level(&controller, KRAFT_VERSION), 0, "its level has no feature record");
    let refused = set(&controller, &[(KRAFT_VERSION, 0, 3)], false);
    assert!(refused.error_message.unwrap().ends_with("Can't downgrade the version of this feature."));
    create(&controller, "a");
    drop(controller);
    let controller = node.start();
    assert_eq!((controller.kraft_version(), controller.quorum().directory_id), (1, directory));
    assert_eq!(leader(&controller, "a").0, NodeId(1));
}

fn unregister(controller: &Controller, broker_id: i32) -> (ErrorCode, Option<String>) {
    let request = UnregisterBrokerRequest { broker_id, ..Default::default() };
    let answer = controller.unregister_broker(&request, NOW);
    (ErrorCode::from_code(answer.error_code), answer.error_message)
}

/// Goal: a broker that is gone for good leaves no trace where it was in sync or led; one that runs stays.
#[test]
fn brokers_are_unregistered() {
    let node = Node::new(&[]);
    let controller = node.start();
    create(&controller, "a");
    let unknown = Some("Broker ID 2 is not currently registered".to_owned());
    assert_eq!(unregister(&controller, 2), (ErrorCode::BrokerIdNotRegistered, unknown));
    let other = RegisterBrokerRecord { broker_id: 2, broker_epoch: 5, fenced: false, ..Default::default() };
    let topic_id = Uuid::random();
    let topic = TopicRecord { name: "shared".to_owned(), topic_id, ..Default::default() };
    let partition = |partition_id, replicas: &[i32]| PartitionRecord {
        partition_id,
        topic_id,
        replicas: replicas.to_vec(),
        isr: replicas.to_vec(),
        leader: 2,
        leader_epoch: 3,
        directories: vec![Uuid::ZERO; replicas.len()],
        ..Default::default()
    };
    let records = vec![other.into(), topic.into(), partition(0, &[2, 1]).into(), partition(1, &[2]).into()];
    controller.change(NOW, |_| Plan { records, response: () }).unwrap();
    assert_eq!(unregister(&controller, 2), (ErrorCode::None, None));
    {
        let image = controller.cache().read();
        assert!(!image.brokers().contains_key(&NodeId(2)));
        let shared = image.partition("shared", PartitionId(0)).unwrap();
        assert_eq!(
            (shared.leader, &shared.isr[..], shared.leader_epoch),
            (NodeId(1), &[NodeId(1)][..], LeaderEpoch(4))
        );
        let lost = image.partition("shared", PartitionId(1)).unwrap();
        assert_eq!((lost.leader, &lost.eligible_leader_replicas[..]), (NodeId(-1), &[NodeId(2)][..]));
    }
    let before = controller.broker_epoch();
    assert_eq!(unregister(&controller, 1), (ErrorCode::None, None));
    assert!(controller.broker_epoch() > before);
    assert_eq!(leader(&controller, "a"), (NodeId(1), LeaderEpoch(0)));
    assert_eq!(controller.cache().read().live_brokers().count(), 1);
    controller.shut_down_broker(NOW).unwrap();
    controller.close().unwrap();
    drop(controller);
    assert_eq!(leader(&node.start(), "a").0, NodeId(1));
}
