//! Share consumers of ours (KIP-932).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops at the first surprise"
)]

mod client_support;
#[path = "client_scenarios/share_groups.rs"]
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
                if serves(&cluster.options, ApiKey::ShareGroupHeartbeat).await {
                    scenarios::$name(&cluster.options).await;
                }
            }
        )*
    };
}

scenario!(members_share_a_partition, every_record_is_judged, renewals, what_is_left_goes_to_others, transactions);
