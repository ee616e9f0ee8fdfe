//! How a share consumer works.

use std::time::Duration;

use crate::client::ClientOptions;
use crate::config::ShareConsumerConfig;

pub use crate::config::{AcknowledgementMode, AcquireMode};

impl AcquireMode {
    pub(super) const fn code(self) -> i8 {
        match self {
            Self::BatchOptimized => 0,
            Self::RecordLimit => 1,
        }
    }
}

/// The settings of a share consumer. The defaults are Kafka's; each field says its key.
#[derive(Debug, Clone)]
pub struct ShareConsumerOptions {
    /// How the cluster is reached.
    pub client: ClientOptions,
    /// `group.id`
    pub group_id: String,
    /// `share.acknowledgement.mode`
    pub acknowledgement: AcknowledgementMode,
    /// `share.acquire.mode`
    pub acquire: AcquireMode,
    /// `max.poll.records`: how many records a fetch asks for, and at most of one poll.
    pub max_poll_records: i32,
    /// `max.poll.interval.ms`: a member that does not poll for so long leaves.
    pub max_poll_interval: Duration,
    /// `fetch.min.bytes`
    pub fetch_min_bytes: i32,
    /// `fetch.max.bytes`
    pub fetch_max_bytes: i32,
    /// `fetch.max.wait.ms`
    pub fetch_max_wait: Duration,
    /// `check.crcs`
    pub check_crcs: bool,
}

impl ShareConsumerOptions {
    /// Kafka's defaults for a member of this group.
    #[must_use]
    pub fn new(client: ClientOptions, group_id: impl Into<String>) -> Self {
        Self {
            client,
            group_id: group_id.into(),
            acknowledgement: AcknowledgementMode::Implicit,
            acquire: AcquireMode::BatchOptimized,
            max_poll_records: 500,
            max_poll_interval: Duration::from_secs(300),
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 << 20,
            fetch_max_wait: Duration::from_millis(500),
            check_crcs: true,
        }
    }
}

impl From<&ShareConsumerConfig> for ShareConsumerOptions {
    fn from(config: &ShareConsumerConfig) -> Self {
        let client = ClientOptions::from(&config.common);
        // An answer may be larger than asked for by the one batch that makes progress possible.
        let largest = usize::try_from(config.fetch_max_bytes).unwrap_or(0);
        Self {
            client: ClientOptions {
                api_timeout: config.default_api_timeout_ms,
                client_rack: config.client_rack.clone(),
                max_response_bytes: client.max_response_bytes.max(largest.saturating_mul(2)),
                ..client
            },
            group_id: config.group_id.clone(),
            acknowledgement: config.share_acknowledgement_mode,
            acquire: config.share_acquire_mode,
            max_poll_records: config.max_poll_records,
            max_poll_interval: config.max_poll_interval_ms,
            fetch_min_bytes: config.fetch_min_bytes,
            fetch_max_bytes: config.fetch_max_bytes,
            fetch_max_wait: config.fetch_max_wait_ms,
            check_crcs: config.check_crcs,
        }
    }
}
