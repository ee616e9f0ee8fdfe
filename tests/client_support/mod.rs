//! What the tests of the client share: a cluster. Our own broker, unless `KAFKA_RS_TEST_BOOTSTRAP=host:port` names another.
#![allow(dead_code, reason = "each test file compiles this module for itself and uses its own part of it")]
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]

use std::time::Duration;

use kafka_rs::client::admin::{NewTopic, NewTopicLayout};
use kafka_rs::client::{Admin, ClientOptions};
use kafka_rs::types::Uuid;

use crate::support;

/// So that what is measured in seconds takes milliseconds.
const HASTE: &[&str] = &[
    "group.initial.rebalance.delay.ms=50",
    "group.consumer.min.heartbeat.interval.ms=50",
    "group.consumer.heartbeat.interval.ms=100",
    "group.share.min.heartbeat.interval.ms=50",
    "group.share.heartbeat.interval.ms=100",
];

/// A cluster for the length of a test.
pub struct TestCluster {
    /// How to reach it.
    pub options: ClientOptions,
    /// Ends when dropped.
    _broker: Option<support::Broker>,
}

/// The cluster to test with.
pub fn cluster() -> TestCluster {
    let named = std::env::var("KAFKA_RS_TEST_BOOTSTRAP").ok();
    let broker = named.is_none().then(|| support::Broker::start_with(HASTE));
    let servers = named.or_else(|| Some(broker.as_ref()?.address().to_owned())).unwrap();
    let servers = servers.split(',').map(|server| server.parse().unwrap()).collect();
    let options = ClientOptions { api_timeout: Duration::from_secs(20), ..ClientOptions::for_servers(servers) };
    TestCluster { options, _broker: broker }
}

/// A name that no other test uses.
pub fn fresh(name: &str) -> String {
    format!("{name}-{}", Uuid::random())
}

/// Makes a topic and waits until brokers know it.
pub async fn make_topic(options: &ClientOptions, name: &str, partitions: i32, configs: &[(&str, &str)]) {
    let admin = Admin::new(options.clone());
    let topic = NewTopic {
        name: name.to_owned(),
        layout: NewTopicLayout::Counts { partitions: Some(partitions), replication_factor: Some(1) },
        configs: configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    for (_, created) in admin.create_topics(&[topic], false).await.unwrap() {
        created.unwrap();
    }
    let name = [name.to_owned()];
    while !admin.describe_topics(&name, 2000).await.unwrap()[0]
        .1
        .as_ref()
        .is_ok_and(|topic| topic.partitions.len() == partitions as usize)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether the cluster serves an API; says a word if not.
pub async fn serves(options: &ClientOptions, api: kafka_rs::protocol::ApiKey) -> bool {
    let cluster = kafka_rs::client::Cluster::new(options.clone());
    let served = cluster.any(cluster.api_deadline()).await.unwrap().api_versions().get(api).is_some();
    if !served {
        eprintln!("skipped: the broker does not serve {api} yet");
    }
    served
}
