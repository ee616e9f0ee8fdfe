//! Settings of a member of a share group, which are those of a consumer but for what its group decides.

use std::time::Duration;

use super::{ClientProperties, CommonClientConfig, client_config};
use crate::config::error::ConfigError;

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

/// Keys that mean nothing to a share group, in the order in which Kafka names them.
const UNSUPPORTED: [&str; 10] = [
    "auto.offset.reset",
    "enable.auto.commit",
    "group.instance.id",
    "isolation.level",
    "partition.assignment.strategy",
    "interceptor.classes",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "group.protocol",
    "group.remote.assignor",
];

client_config! {
    /// Settings of a share consumer.
    ShareConsumerConfig {
        /// What all clients have.
        common: CommonClientConfig,
        /// `share.acknowledgement.mode`
        share_acknowledgement_mode: AcknowledgementMode,
        /// `share.acquire.mode`
        share_acquire_mode: AcquireMode,
    }
    check_crcs: bool,
    client_rack: String,
    default_api_timeout_ms: Duration,
    fetch_max_bytes: i32,
    fetch_max_wait_ms: Duration,
    fetch_min_bytes: i32,
    group_id: String,
    max_poll_interval_ms: Duration,
    max_poll_records: i32,
}

impl ShareConsumerConfig {
    /// Checks and reads the settings; `properties` are those of a consumer.
    ///
    /// # Errors
    /// What is not valid, or can't be set for a share group.
    pub fn new(properties: &ClientProperties) -> Result<Self, ConfigError> {
        let values = properties.values()?;
        let build = || {
            let set: Vec<&str> = UNSUPPORTED.into_iter().filter(|key| properties.is_set(key)).collect();
            if let Some(first) = set.first() {
                let message = format!("{} cannot be set when using a share group.", set.join(", "));
                return Err(ConfigError::rule(first, message));
            }
            let acknowledgement = values.read::<String>("share.acknowledgement.mode")?;
            let acquire = values.read::<String>("share.acquire.mode")?;
            Self::read(
                CommonClientConfig::resolve(properties, &values)?,
                if acknowledgement.eq_ignore_ascii_case("explicit") {
                    AcknowledgementMode::Explicit
                } else {
                    AcknowledgementMode::Implicit
                },
                if acquire.eq_ignore_ascii_case("record_limit") {
                    AcquireMode::RecordLimit
                } else {
                    AcquireMode::BatchOptimized
                },
                &values,
            )
        };
        build().map_err(|error| properties.placed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Client;

    fn config(options: &[&str]) -> Result<ShareConsumerConfig, String> {
        let mut properties = ClientProperties::new(Client::Consumer);
        for option in ["bootstrap.servers=localhost:9092", "group.id=g"].iter().chain(options) {
            properties.add_option(option);
        }
        ShareConsumerConfig::new(&properties).map_err(|error| error.to_string())
    }

    #[test]
    fn modes() {
        let of = |options: &[&str]| {
            let config = config(options).unwrap();
            (config.share_acknowledgement_mode, config.share_acquire_mode)
        };
        assert_eq!(of(&[]), (AcknowledgementMode::Implicit, AcquireMode::BatchOptimized));
        assert_eq!(
            of(&["share.acknowledgement.mode=explicit", "share.acquire.mode=record_limit"]),
            (AcknowledgementMode::Explicit, AcquireMode::RecordLimit)
        );
        assert!(config(&["share.acknowledgement.mode=maybe"]).is_err());
    }

    #[test]
    fn what_the_group_decides_can_not_be_set() {
        let error = config(&["group.protocol=consumer", "isolation.level=read_committed"]).unwrap_err();
        assert!(error.ends_with("isolation.level, group.protocol cannot be set when using a share group."), "{error}");
    }
}
