//! Share consumers of ours in groups of Apache Kafka (KIP-932).
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod client_support;
mod interop_support;
#[path = "client_scenarios/share_groups.rs"]
mod scenarios;
mod support;

use interop_support::{ApacheKafka, Home};
use kafka_rs::client::ClientOptions;

#[test]
fn apache_kafka_hands_records_out_to_our_members() {
    need!(Home::Kafka.missing());
    let kafka = ApacheKafka::start(Home::Kafka);
    let client = ClientOptions::for_servers(vec![kafka.address().parse().unwrap()]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        scenarios::members_share_a_partition(&client).await;
        scenarios::every_record_is_judged(&client).await;
        scenarios::renewals(&client).await;
        scenarios::what_is_left_goes_to_others(&client).await;
        scenarios::transactions(&client).await;
    });
}
