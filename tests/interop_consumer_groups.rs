//! Members of ours in groups that Apache Kafka's coordinator assigns (KIP-848).
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod client_support;
mod interop_support;
#[path = "client_scenarios/consumer_groups.rs"]
mod scenarios;
mod support;

use interop_support::{ApacheKafka, Home};
use kafka_rs::client::ClientOptions;

#[test]
fn apache_kafka_assigns_to_our_members() {
    need!(Home::Kafka.missing());
    let kafka = ApacheKafka::start(Home::Kafka);
    let client = ClientOptions::for_servers(vec![kafka.address().parse().unwrap()]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        scenarios::members_share_and_take_over(&client).await;
        scenarios::callbacks(&client).await;
        scenarios::commits(&client).await;
        scenarios::patterns(&client).await;
        scenarios::static_members(&client).await;
    });
}
