//! Transactions of our producer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops at the first surprise"
)]

mod client_support;
#[path = "client_scenarios/transactions.rs"]
mod scenarios;
mod support;

use client_support::{cluster, serves};
use kafka_rs::protocol::ApiKey;

macro_rules! scenario {
    ($($name:ident),*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let cluster = cluster();
                if serves(&cluster.options, ApiKey::EndTxn).await {
                    scenarios::$name(&cluster.options).await;
                }
            }
        )*
    };
}

scenario!(commit_and_abort, order_of_calls, fencing, a_refused_record, offsets_in_transactions, closing_aborts);
