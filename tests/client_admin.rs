//! Administrative calls of the client against a broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops at the first surprise"
)]

mod client_support;
mod support;

use std::time::Duration;

use client_support::fresh;

use kafka_rs::client::admin::{
    AlterConfig, ConfigChange, ConfigResource, GroupOffset, MorePartitions, NewTopic, NewTopicLayout, OffsetSpec,
    TopicName,
};
use kafka_rs::client::{Admin, ApiError, ClientError, TopicMetadata};
use kafka_rs::config::IsolationLevel;
use kafka_rs::protocol::ErrorCode;
use kafka_rs::types::{NodeId, Offset, TopicPartition, Uuid};

fn new_topic(name: &str, partitions: i32) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        layout: NewTopicLayout::Counts { partitions: Some(partitions), replication_factor: Some(1) },
        configs: vec![("retention.ms".to_owned(), "1234567".to_owned())],
    }
}

/// What the cluster says once it is as expected: brokers learn of changes a moment after the controller made them.
async fn eventually<T>(mut ask: impl AsyncFnMut() -> T, mut fine: impl FnMut(&T) -> bool) -> T {
    for _ in 0..500 {
        let answer = ask().await;
        if fine(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ask().await
}

fn code<T: std::fmt::Debug>(result: &Result<T, ApiError>) -> ErrorCode {
    result.as_ref().err().map_or(ErrorCode::None, |error| error.code)
}

#[tokio::test]
async fn topics_come_grow_and_go() {
    let cluster = client_support::cluster();
    let admin = Admin::new(cluster.options.clone());
    let name = fresh("admin.topics");
    let created = admin.create_topics(&[new_topic(&name, 2), new_topic("a b", 1)], true).await.unwrap();
    assert_eq!([code(&created[0].1), code(&created[1].1)], [ErrorCode::None, ErrorCode::InvalidTopicException]);
    let created = admin.create_topics(&[new_topic(&name, 2)], false).await.unwrap();
    assert_eq!(created[0].1.as_ref().unwrap().partitions, 2);
    let again = admin.create_topics(&[new_topic(&name, 2)], false).await.unwrap();
    assert_eq!(again[0].1.as_ref().unwrap_err().to_string(), format!("Topic '{name}' already exists."));

    let is_listed = |listed: &Vec<_>| listed.iter().any(|topic: &TopicMetadata| topic.name == name);
    assert!(is_listed(&eventually(async || admin.list_topics().await.unwrap(), is_listed).await));
    let grown = [
        MorePartitions { topic: name.clone(), count: 5, replicas: Some(vec![vec![NodeId(1)]; 3]) },
        MorePartitions { topic: name.clone() + "x", count: 5, replicas: None },
    ];
    let node = admin.describe_cluster(false).await.unwrap().nodes[0].id;
    let grown = grown.map(|more| MorePartitions { replicas: more.replicas.map(|r| vec![vec![node]; r.len()]), ..more });
    let results = admin.create_partitions(&grown, false).await.unwrap();
    assert_eq!([code(&results[0].1), code(&results[1].1)], [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);

    let names = [name.clone(), fresh("not-there")];
    // A page of two partitions makes the broker hand the topic out in three pieces.
    let describe = async || admin.describe_topics(&names, 2).await.unwrap();
    let described = eventually(describe, |d| d[0].1.as_ref().is_ok_and(|topic| topic.partitions.len() == 5)).await;
    let topic = described[0].1.as_ref().unwrap();
    assert_eq!(topic.partitions.iter().map(|p| p.id.get()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(topic.partitions.iter().all(|p| p.leader == Some(node) && p.replicas == [node] && p.isr == [node]));
    assert_eq!(code(&described[1].1), ErrorCode::UnknownTopicOrPartition);
    let by_id = admin.describe_topics_by_id(&[topic.id, Uuid::random()]).await.unwrap();
    assert_eq!(by_id[0].1.as_ref().unwrap().name, name);
    assert_eq!(code(&by_id[1].1), ErrorCode::UnknownTopicId);
    assert!(admin.list_reassignments(None).await.unwrap().is_empty());

    let gone = [TopicName::Id(topic.id), TopicName::Name(fresh("not-there"))];
    let deleted = admin.delete_topics(&gone).await.unwrap();
    assert_eq!([code(&deleted[0].1), code(&deleted[1].1)], [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
}

#[tokio::test]
async fn settings_are_told_and_changed() {
    let cluster = client_support::cluster();
    let admin = Admin::new(cluster.options.clone());
    let name = fresh("admin-configs");
    admin.create_topics(&[new_topic(&name, 1)], false).await.unwrap();
    let node = admin.describe_cluster(true).await.unwrap().nodes[0].id;
    let topic = ConfigResource::topic(&name);
    let resources = [topic.clone(), ConfigResource::broker(node)];
    let describe = async || admin.describe_configs(&resources, None, false).await.unwrap();
    let described = eventually(describe, |described| described[0].1.is_ok()).await;
    let entry = |entries: &[kafka_rs::client::admin::ConfigEntry], key: &str| {
        entries.iter().find(|entry| entry.name == key).cloned().unwrap()
    };
    let retention = entry(described[0].1.as_ref().unwrap(), "retention.ms");
    assert_eq!(retention.value.as_deref(), Some("1234567"));
    assert!(!retention.is_default());
    assert!(entry(described[0].1.as_ref().unwrap(), "retention.bytes").is_default());
    assert_eq!(entry(described[1].1.as_ref().unwrap(), "node.id").value, Some(node.to_string()));

    let set =
        |name: &str, value: &str| AlterConfig { name: name.to_owned(), change: ConfigChange::Set(value.to_owned()) };
    let unset = AlterConfig { name: "retention.ms".to_owned(), change: ConfigChange::Delete };
    let changes = [(topic.clone(), vec![set("segment.bytes", "2000000"), unset])];
    assert_eq!(code(&admin.alter_configs(&changes, false).await.unwrap()[0].1), ErrorCode::None);
    let wrong = [(topic.clone(), vec![set("segment.bytes", "many")])];
    assert_eq!(code(&admin.alter_configs(&wrong, true).await.unwrap()[0].1), ErrorCode::InvalidConfig);
    let keys = ["segment.bytes".to_owned(), "retention.ms".to_owned()];
    let describe = async || admin.describe_configs(std::slice::from_ref(&topic), Some(&keys), false).await.unwrap();
    let described =
        eventually(describe, |described| entry(described[0].1.as_ref().unwrap(), "retention.ms").is_default());
    let described = described.await;
    let entries = described[0].1.as_ref().unwrap();
    assert_eq!(entry(entries, "segment.bytes").value.as_deref(), Some("2000000"));
    assert!(entry(entries, "retention.ms").is_default());
    admin.delete_topics(&[TopicName::Name(name)]).await.unwrap();
}

#[tokio::test]
async fn offsets_and_groups_without_members() {
    let cluster = client_support::cluster();
    let admin = Admin::new(cluster.options.clone());
    let name = fresh("admin-offsets");
    admin.create_topics(&[new_topic(&name, 2)], false).await.unwrap();
    let partitions = [TopicPartition::new(name.as_str(), 0), TopicPartition::new(name.as_str(), 1)];
    let wanted = vec![(partitions[0].clone(), OffsetSpec::Latest), (partitions[1].clone(), OffsetSpec::Timestamp(5))];
    let offsets = admin.list_offsets(wanted, IsolationLevel::ReadCommitted).await;
    assert_eq!(offsets[&partitions[0]].as_ref().unwrap().offset, Some(Offset(0)));
    assert_eq!(offsets[&partitions[1]].as_ref().unwrap().offset, None);
    let deleted = admin.delete_records(vec![(partitions[0].clone(), None)]).await;
    assert_eq!(*deleted[&partitions[0]].as_ref().unwrap(), Offset(0));
    let beyond = admin.delete_records(vec![(partitions[1].clone(), Some(Offset(7)))]).await;
    assert!(matches!(
        beyond[&partitions[1]],
        Err(ClientError::Api(ApiError { code: ErrorCode::OffsetOutOfRange, .. }))
    ));

    let group = fresh("admin-group");
    let committed = [(partitions[0].clone(), GroupOffset { metadata: "m".to_owned(), ..GroupOffset::new(Offset(7)) })];
    let results = admin.commit_group_offsets(&group, &committed).await.unwrap();
    assert_eq!(code(&results[&partitions[0]]), ErrorCode::None);
    for asked in [None, Some(&partitions[..])] {
        let offsets = admin.group_offsets(&group, asked).await.unwrap();
        assert_eq!(offsets.len(), 1);
        assert_eq!(*offsets[&partitions[0]].as_ref().unwrap(), committed[0].1);
    }
    let groups = admin.list_groups(&[], &[]).await.unwrap();
    assert!(groups.iter().any(|listing| listing.group_id == group && listing.state == "Empty"));
    let described = admin.describe_group(&group).await.unwrap();
    assert_eq!((described.state.as_str(), described.members.len()), ("Empty", 0));
    let deleted = admin.delete_group_offsets(&group, &partitions[..1]).await.unwrap();
    assert_eq!(code(&deleted[&partitions[0]]), ErrorCode::None);
    let deleted = admin.delete_groups(std::slice::from_ref(&group)).await.unwrap();
    assert!(matches!(code(&deleted[0].1), ErrorCode::None | ErrorCode::GroupIdNotFound));
    assert!(admin.group_offsets(&group, None).await.unwrap().is_empty());
    admin.delete_topics(&[TopicName::Name(name)]).await.unwrap();
}

#[tokio::test]
async fn brokers_are_described() {
    let cluster = client_support::cluster();
    let admin = Admin::new(cluster.options.clone());
    let cluster = admin.describe_cluster(true).await.unwrap();
    assert!(cluster.cluster_id.is_some_and(|id| !id.is_empty()));
    let versions = admin.api_versions().await.unwrap();
    assert_eq!(versions.len(), cluster.nodes.len());
    assert!(versions.iter().all(|(_, versions)| versions.as_ref().unwrap().iter().count() > 10));
    let dirs = admin.describe_log_dirs(None, None).await.unwrap();
    assert!(dirs.iter().all(|(_, dirs)| dirs.as_ref().unwrap().iter().all(|dir| dir.error.is_none())));
}
