//! The settings of groups: the broker's, and those of single groups within the bounds that the broker sets.

use std::time::Duration;

use crate::broker::groups::assignors::Assignor;
use crate::config::{ServerConfig, Settings};

/// A setting with the bounds that it keeps for single groups.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Bounded {
    pub(in crate::broker) default: Duration,
    pub(in crate::broker) least: Duration,
    pub(in crate::broker) most: Duration,
}

impl Bounded {
    /// What counts for a group. Bounds may have become narrower since it was set: then the nearest that they allow.
    fn for_group(&self, settings: Option<&Settings>, key: &str) -> Duration {
        let set = settings.and_then(|settings| settings.get(key)).and_then(|text| text.trim().parse().ok());
        match set.map(Duration::from_millis) {
            Some(set) => set.min(self.most).max(self.least),
            None => self.default,
        }
    }
}

/// When members must be heard of, and how often there is a new assignment.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Timing {
    /// What the keys of these groups start with: `consumer`, `share`, `streams`.
    pub(in crate::broker) kind: &'static str,
    pub(in crate::broker) session_timeout: Bounded,
    pub(in crate::broker) heartbeat_interval: Bounded,
    /// The shortest time between two assignments: members that come together are assigned together (KIP-1263).
    pub(in crate::broker) assignment_interval: Bounded,
}

impl Timing {
    pub(in crate::broker) fn session_timeout(&self, settings: Option<&Settings>) -> Duration {
        self.session_timeout.for_group(settings, &format!("{}.session.timeout.ms", self.kind))
    }

    pub(in crate::broker) fn heartbeat_interval_ms(&self, settings: Option<&Settings>) -> i32 {
        let interval = self.heartbeat_interval.for_group(settings, &format!("{}.heartbeat.interval.ms", self.kind));
        i32::try_from(interval.as_millis()).unwrap_or(i32::MAX)
    }

    pub(in crate::broker) fn assignment_interval(&self, settings: Option<&Settings>) -> Duration {
        self.assignment_interval.for_group(settings, &format!("{}.assignment.interval.ms", self.kind))
    }
}

/// Which way groups may go between the classic and the consumer protocol while members are in them
/// (`group.consumer.migration.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum MigrationPolicy {
    Disabled,
    Upgrade,
    Downgrade,
    Bidirectional,
}

impl MigrationPolicy {
    fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "disabled" => Self::Disabled,
            "upgrade" => Self::Upgrade,
            "downgrade" => Self::Downgrade,
            _ => Self::Bidirectional,
        }
    }

    pub(in crate::broker) fn allows_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    pub(in crate::broker) fn allows_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

/// The broker's settings for consumer groups.
#[derive(Debug, Clone)]
pub(in crate::broker) struct ConsumerConfig {
    pub(in crate::broker) timing: Timing,
    /// `group.consumer.max.size`
    pub(in crate::broker) max_size: usize,
    /// `group.consumer.assignors`; the first one counts where no member asks for another.
    pub(in crate::broker) assignors: Vec<Assignor>,
    pub(in crate::broker) migration: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`
    pub(in crate::broker) regex_refresh_interval: Duration,
}

impl ConsumerConfig {
    pub(in crate::broker) fn of(config: &ServerConfig) -> Self {
        let timing = Timing {
            kind: "consumer",
            session_timeout: Bounded {
                default: config.group_consumer_session_timeout_ms,
                least: config.group_consumer_min_session_timeout_ms,
                most: config.group_consumer_max_session_timeout_ms,
            },
            heartbeat_interval: Bounded {
                default: config.group_consumer_heartbeat_interval_ms,
                least: config.group_consumer_min_heartbeat_interval_ms,
                most: config.group_consumer_max_heartbeat_interval_ms,
            },
            assignment_interval: Bounded {
                default: config.group_consumer_assignment_interval_ms,
                least: config.group_consumer_min_assignment_interval_ms,
                most: config.group_consumer_max_assignment_interval_ms,
            },
        };
        Self {
            timing,
            max_size: config.group_consumer_max_size,
            assignors: config.group_consumer_assignors.iter().filter_map(|name| Assignor::named(name)).collect(),
            migration: MigrationPolicy::named(&config.group_consumer_migration_policy),
            regex_refresh_interval: config.group_consumer_regex_refresh_interval_ms,
        }
    }

    /// The assignor that counts where no member asks for one.
    pub(in crate::broker) fn default_assignor(&self) -> Assignor {
        self.assignors.first().copied().unwrap_or(Assignor::Uniform)
    }
}

impl Default for ConsumerConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        let seconds = |default, least, most| Bounded {
            default: Duration::from_secs(default),
            least: Duration::from_secs(least),
            most: Duration::from_secs(most),
        };
        let timing = Timing {
            kind: "consumer",
            session_timeout: seconds(45, 45, 60),
            heartbeat_interval: seconds(5, 5, 15),
            assignment_interval: seconds(1, 0, 15),
        };
        Self {
            timing,
            max_size: i32::MAX as usize,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            migration: MigrationPolicy::Bidirectional,
            regex_refresh_interval: Duration::from_secs(600),
        }
    }
}

/// The broker's settings for share groups.
#[derive(Debug, Clone)]
pub(in crate::broker) struct ShareConfig {
    pub(in crate::broker) timing: Timing,
    /// `group.share.max.size`
    pub(in crate::broker) max_size: usize,
    /// `group.share.initialize.retry.interval.ms`
    pub(in crate::broker) initialize_retry_interval: Duration,
}

impl ShareConfig {
    pub(in crate::broker) fn of(config: &ServerConfig) -> Self {
        let timing = Timing {
            kind: "share",
            session_timeout: Bounded {
                default: config.group_share_session_timeout_ms,
                least: config.group_share_min_session_timeout_ms,
                most: config.group_share_max_session_timeout_ms,
            },
            heartbeat_interval: Bounded {
                default: config.group_share_heartbeat_interval_ms,
                least: config.group_share_min_heartbeat_interval_ms,
                most: config.group_share_max_heartbeat_interval_ms,
            },
            assignment_interval: Bounded {
                default: config.group_share_assignment_interval_ms,
                least: config.group_share_min_assignment_interval_ms,
                most: config.group_share_max_assignment_interval_ms,
            },
        };
        Self {
            timing,
            max_size: config.group_share_max_size,
            initialize_retry_interval: config.group_share_initialize_retry_interval_ms,
        }
    }
}

impl Default for ShareConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        let timing = Timing { kind: "share", ..ConsumerConfig::default().timing };
        Self { timing, max_size: 200, initialize_retry_interval: Duration::from_secs(30) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_setting_keeps_within_the_brokers_bounds() {
        let timing = ConsumerConfig::default().timing;
        let set = |ms: &str| Settings::from([("consumer.session.timeout.ms".to_owned(), ms.to_owned())]);
        let seconds = |settings: Option<&Settings>| timing.session_timeout(settings).as_secs();
        assert_eq!(seconds(None), 45);
        assert_eq!(seconds(Some(&set("50000"))), 50);
        assert_eq!(seconds(Some(&set("1000"))), 45, "the bounds were wider once");
        assert_eq!(seconds(Some(&set("600000"))), 60);
        assert_eq!(timing.heartbeat_interval_ms(Some(&set("50000"))), 5000);
    }

    #[test]
    fn the_defaults_are_the_brokers() {
        let server = ConsumerConfig::of(&ServerConfig::from_pairs(&[]).unwrap());
        assert_eq!(format!("{server:?}"), format!("{:?}", ConsumerConfig::default()));
        let server = ShareConfig::of(&ServerConfig::from_pairs(&[]).unwrap());
        assert_eq!(format!("{server:?}"), format!("{:?}", ShareConfig::default()));
    }
}
