//! How a share consumer works.

use std::time::Duration;

use crate::client::ClientOptions;

/// Who says what became of records (`share.acknowledgement.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcknowledgementMode {
    /// The next poll accepts what the one before delivered.
    Implicit,
    /// The application does, record by record.
    Explicit,
}

/// What a fetch may acquire (`share.acquire.mode`, KIP-1206).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcquireMode {
    /// Whole batches: it may be more than `max.poll.records`.
    BatchOptimized,
    /// At most `max.poll.records`.
    RecordLimit,
}

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
