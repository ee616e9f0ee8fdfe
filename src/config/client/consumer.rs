//! Settings of a consumer.

use std::time::Duration;

use super::{ClientProperties, CommonClientConfig, client_config};
use crate::config::error::ConfigError;
use crate::config::layers::Values;
use crate::config::value::iso_duration;

/// Where to begin in a partition without a committed offset (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OffsetReset {
    /// At the first record that is there.
    Earliest,
    /// Behind the last one.
    Latest,
    /// Nowhere: it is an error.
    None,
    /// At the first record that is not older than this (KIP-1106).
    ByDuration(Duration),
}

/// Which records of transactions are delivered (`isolation.level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IsolationLevel {
    /// All.
    ReadUncommitted,
    /// Those of committed transactions.
    ReadCommitted,
}

impl IsolationLevel {
    /// The number in Fetch and ListOffsets requests.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// How a group agrees on who reads what (`group.protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupProtocol {
    /// The members do, led by one of them.
    Classic,
    /// The coordinator does (KIP-848).
    Consumer,
}

/// A strategy of `partition.assignment.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Assignor {
    /// Consecutive partitions of each topic.
    Range,
    /// All partitions of all topics in turn.
    RoundRobin,
    /// Balanced, moving as little as possible.
    Sticky,
    /// As sticky, giving up only what moves.
    CooperativeSticky,
}

impl Assignor {
    /// Its name in the group protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Reads Kafka's class name of it, with or without the package, or its name in the protocol.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        // Java prints classes so, and Kafka's documentation has the default in that form.
        let name = name.strip_prefix("class ").unwrap_or(name);
        Some(match name.rsplit('.').next()? {
            "RangeAssignor" | "range" => Self::Range,
            "RoundRobinAssignor" | "roundrobin" => Self::RoundRobin,
            "StickyAssignor" | "sticky" => Self::Sticky,
            "CooperativeStickyAssignor" | "cooperative-sticky" => Self::CooperativeSticky,
            _ => return None,
        })
    }
}

client_config! {
    /// Settings of a consumer.
    ConsumerConfig {
        /// What all clients have.
        common: CommonClientConfig,
        /// `auto.offset.reset`
        auto_offset_reset: OffsetReset,
        /// `enable.auto.commit`; off where there is no group to commit for
        enable_auto_commit: bool,
        /// `group.protocol`
        group_protocol: GroupProtocol,
        /// `isolation.level`
        isolation_level: IsolationLevel,
        /// `partition.assignment.strategy`, the preferred first
        partition_assignment_strategy: Vec<Assignor>,
    }
    allow_auto_create_topics: bool,
    auto_commit_interval_ms: Duration,
    check_crcs: bool,
    client_rack: String,
    default_api_timeout_ms: Duration,
    exclude_internal_topics: bool,
    fetch_max_bytes: i32,
    fetch_max_wait_ms: Duration,
    fetch_min_bytes: i32,
    group_id: Option<String>,
    group_instance_id: Option<String>,
    group_remote_assignor: Option<String>,
    heartbeat_interval_ms: Duration,
    max_partition_fetch_bytes: i32,
    max_poll_interval_ms: Duration,
    max_poll_records: usize,
    session_timeout_ms: Duration,
}

impl ConsumerConfig {
    /// Checks and reads the settings of a consumer.
    ///
    /// # Errors
    /// What is not valid, breaks one of Kafka's rules or is not supported yet.
    pub fn new(properties: &ClientProperties) -> Result<Self, ConfigError> {
        let values = properties.values()?;
        let build = || {
            let common = CommonClientConfig::resolve(properties, &values)?;
            let reset = offset_reset(&values.read::<String>("auto.offset.reset")?);
            let protocol = group_protocol(properties, &values)?;
            let isolation = match values.read::<String>("isolation.level")?.as_str() {
                "read_committed" => IsolationLevel::ReadCommitted,
                _ => IsolationLevel::ReadUncommitted,
            };
            let auto_commit = auto_commit(properties, &values)?;
            let assignors = assignors(&values.read::<Vec<String>>("partition.assignment.strategy")?)?;
            Self::read(common, reset, auto_commit, protocol, isolation, assignors, &values)?.checked()
        };
        build().map_err(|error| properties.placed(error))
    }

    fn checked(self) -> Result<Self, ConfigError> {
        if self.group_id.as_ref().is_some_and(|id| id.trim().is_empty()) {
            let message = "The configured group.id should not be an empty string or whitespace.";
            return Err(ConfigError::rule("group.id", message));
        }
        if let Some(id) = &self.group_instance_id {
            check_instance_id(id)?;
        }
        let classic_member = self.group_id.is_some() && self.group_protocol == GroupProtocol::Classic;
        if classic_member && self.heartbeat_interval_ms >= self.session_timeout_ms {
            let message = "Heartbeat must be set lower than the session timeout";
            return Err(ConfigError::rule("heartbeat.interval.ms", message));
        }
        Ok(self)
    }
}

fn offset_reset(text: &str) -> OffsetReset {
    match text {
        "earliest" => OffsetReset::Earliest,
        "none" => OffsetReset::None,
        _ => match text.strip_prefix("by_duration:").and_then(iso_duration) {
            Some(millis) => OffsetReset::ByDuration(Duration::from_millis(millis.unsigned_abs())),
            None => OffsetReset::Latest,
        },
    }
}

fn group_protocol(properties: &ClientProperties, values: &Values) -> Result<GroupProtocol, ConfigError> {
    let name: String = values.read("group.protocol")?;
    let (protocol, excluded): (_, &[&str]) = if name.eq_ignore_ascii_case("consumer") {
        (
            GroupProtocol::Consumer,
            &[
                "partition.assignment.strategy",
                "heartbeat.interval.ms",
                "session.timeout.ms",
                "share.acknowledgement.mode",
            ],
        )
    } else {
        (GroupProtocol::Classic, &["group.remote.assignor", "share.acknowledgement.mode"])
    };
    match excluded.iter().find(|key| properties.is_set(key)) {
        Some(key) => {
            Err(ConfigError::rule(key, format!("{key} cannot be set when group.protocol={}", name.to_uppercase())))
        }
        None => Ok(protocol),
    }
}

/// Offsets are committed for a group; without one the default is off, and asking for it is a mistake.
fn auto_commit(properties: &ClientProperties, values: &Values) -> Result<bool, ConfigError> {
    let enabled: bool = values.read("enable.auto.commit")?;
    if properties.is_set("group.id") || !enabled {
        return Ok(enabled);
    }
    if properties.is_set("enable.auto.commit") {
        let message = "enable.auto.commit cannot be set to true when default group id (null) is used.";
        return Err(ConfigError::rule("enable.auto.commit", message));
    }
    Ok(false)
}

fn assignors(names: &[String]) -> Result<Vec<Assignor>, ConfigError> {
    let unknown = |name: &String| {
        let message = format!("{name} is not known; use range, roundrobin, sticky or cooperative-sticky");
        ConfigError::rule("partition.assignment.strategy", message)
    };
    names.iter().map(|name| Assignor::named(name).ok_or_else(|| unknown(name))).collect()
}

fn check_instance_id(id: &str) -> Result<(), ConfigError> {
    let wrong = match id {
        "." | ".." => format!("'{id}' is not allowed"),
        _ if id.len() > 249 => format!("the length of '{id}' is longer than the max allowed length 249"),
        _ if !id.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '.' | '_' | '-')) => {
            format!("'{id}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err(ConfigError::rule("group.instance.id", format!("Group instance id is invalid: {wrong}")))
}
