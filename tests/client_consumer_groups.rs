//! Consumers of ours in groups whose coordinator assigns (KIP-848).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops at the first surprise"
)]

mod client_support;
#[path = "client_scenarios/consumer_groups.rs"]
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
                if serves(&cluster.options, ApiKey::ConsumerGroupHeartbeat).await {
                    scenarios::$name(&cluster.options).await;
                }
            }
        )*
    };
}

scenario!(members_share_and_take_over, callbacks, commits, patterns, static_members);
