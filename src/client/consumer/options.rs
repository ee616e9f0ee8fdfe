//! How a consumer works.

use std::time::Duration;

use crate::client::ClientOptions;
use crate::config::{Assignor, ConsumerConfig, GroupProtocol, IsolationLevel, OffsetReset};

/// How a consumer takes part in its group.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// `group.id`
    pub group_id: String,
    /// `group.instance.id`: of a member that keeps its partitions while it restarts (KIP-345).
    pub group_instance_id: Option<String>,
    /// `session.timeout.ms`, of the classic protocol: a member that is not heard of for so long is out.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`, of the classic protocol
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: a member that does not poll for so long leaves, and what a rebalance waits for it.
    pub max_poll_interval: Duration,
    /// `partition.assignment.strategy`, of the classic protocol, the preferred first.
    pub assignors: Vec<Assignor>,
    /// `group.protocol`: who decides who reads what, the members or the coordinator (KIP-848).
    pub protocol: GroupProtocol,
    /// `group.remote.assignor`: how the coordinator is to decide; `None`: as it likes.
    pub remote_assignor: Option<String>,
    /// `auto.commit.interval.ms`; `None`: `enable.auto.commit` is off.
    pub auto_commit_interval: Option<Duration>,
}

impl GroupOptions {
    /// Kafka's defaults for a member of this group.
    #[must_use]
    pub fn new(group_id: impl Into<String>) -> Self {
        Self {
            group_id: group_id.into(),
            group_instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            protocol: GroupProtocol::Classic,
            remote_assignor: None,
            auto_commit_interval: Some(Duration::from_secs(5)),
        }
    }
}

/// The settings of a consumer. The defaults are Kafka's; each field says its key.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// How the cluster is reached.
    pub client: ClientOptions,
    /// The group, if offsets are to be kept for one.
    pub group: Option<GroupOptions>,
    /// `auto.offset.reset`: where to begin without a committed offset, or with one that is not there any more.
    pub offset_reset: OffsetReset,
    /// `isolation.level`
    pub isolation: IsolationLevel,
    /// `fetch.min.bytes`
    pub fetch_min_bytes: i32,
    /// `fetch.max.bytes`: of one answer, and of what is kept for later polls.
    pub fetch_max_bytes: i32,
    /// `fetch.max.wait.ms`
    pub fetch_max_wait: Duration,
    /// `max.partition.fetch.bytes`
    pub max_partition_fetch_bytes: i32,
    /// `max.poll.records`
    pub max_poll_records: usize,
    /// `check.crcs`
    pub check_crcs: bool,
    /// `allow.auto.create.topics`
    pub allow_auto_create_topics: bool,
    /// `exclude.internal.topics`: patterns do not match Kafka's own topics.
    pub exclude_internal_topics: bool,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            client: ClientOptions { connections_max_idle: Some(Duration::from_secs(540)), ..ClientOptions::default() },
            group: None,
            offset_reset: OffsetReset::Latest,
            isolation: IsolationLevel::ReadUncommitted,
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 << 20,
            fetch_max_wait: Duration::from_millis(500),
            max_partition_fetch_bytes: 1 << 20,
            max_poll_records: 500,
            check_crcs: true,
            allow_auto_create_topics: true,
            exclude_internal_topics: true,
        }
    }
}

impl From<&ConsumerConfig> for ConsumerOptions {
    fn from(config: &ConsumerConfig) -> Self {
        let group = config.group_id.as_ref().map(|group_id| GroupOptions {
            group_id: group_id.clone(),
            group_instance_id: config.group_instance_id.clone(),
            session_timeout: config.session_timeout_ms,
            heartbeat_interval: config.heartbeat_interval_ms,
            max_poll_interval: config.max_poll_interval_ms,
            assignors: config.partition_assignment_strategy.clone(),
            protocol: config.group_protocol,
            remote_assignor: config.group_remote_assignor.clone(),
            auto_commit_interval: config.enable_auto_commit.then_some(config.auto_commit_interval_ms),
        });
        let client = ClientOptions::from(&config.common);
        // An answer may be larger than asked for by the one batch that makes progress possible.
        let largest = usize::try_from(config.fetch_max_bytes.max(config.max_partition_fetch_bytes)).unwrap_or(0);
        Self {
            client: ClientOptions {
                api_timeout: config.default_api_timeout_ms,
                client_rack: config.client_rack.clone(),
                max_response_bytes: client.max_response_bytes.max(largest.saturating_mul(2)),
                ..client
            },
            group,
            offset_reset: config.auto_offset_reset,
            isolation: config.isolation_level,
            fetch_min_bytes: config.fetch_min_bytes,
            fetch_max_bytes: config.fetch_max_bytes,
            fetch_max_wait: config.fetch_max_wait_ms,
            max_partition_fetch_bytes: config.max_partition_fetch_bytes,
            max_poll_records: config.max_poll_records,
            check_crcs: config.check_crcs,
            allow_auto_create_topics: config.allow_auto_create_topics,
            exclude_internal_topics: config.exclude_internal_topics,
        }
    }
}
