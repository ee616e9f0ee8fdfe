//! Transactions of our producer, by the coordinators of Apache Kafka: 4.3.1 with `transaction.version` 2, 3.9.1 with the
//! protocol before that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test stops at the first surprise")]

mod client_support;
mod interop_support;
#[path = "client_scenarios/transactions.rs"]
mod scenarios;
mod support;

use interop_support::{ApacheKafka, for_each_home};
use kafka_rs::client::ClientOptions;

#[test]
fn apache_kafka_coordinates_our_transactions() {
    for_each_home(|home| {
        let kafka = ApacheKafka::start(home);
        let client = ClientOptions::for_servers(vec![kafka.address().parse().unwrap()]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            scenarios::commit_and_abort(&client).await;
            scenarios::order_of_calls(&client).await;
            scenarios::fencing(&client).await;
            scenarios::a_refused_record(&client).await;
            scenarios::offsets_in_transactions(&client).await;
            scenarios::closing_aborts(&client).await;
        });
    });
}
