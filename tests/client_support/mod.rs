//! What the tests of the client against a running cluster share: `KAFKA_RS_TEST_BOOTSTRAP=host:port` names it.
#![allow(dead_code, reason = "each test file compiles this module for itself and uses its own part of it")]
#![allow(unreachable_pub, reason = "a module of test binaries has no outside")]

use std::time::Duration;

use kafka_rs::client::admin::{NewTopic, NewTopicLayout};
use kafka_rs::client::{Admin, ClientOptions};
use kafka_rs::types::Uuid;

/// How to reach the cluster to test with, if there is one.
pub fn cluster(test: &str) -> Option<ClientOptions> {
    let Ok(servers) = std::env::var("KAFKA_RS_TEST_BOOTSTRAP") else {
        eprintln!("{test} skipped: KAFKA_RS_TEST_BOOTSTRAP names no cluster");
        return None;
    };
    let servers = servers.split(',').map(|server| server.parse().unwrap()).collect();
    Some(ClientOptions { api_timeout: Duration::from_secs(20), ..ClientOptions::for_servers(servers) })
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
