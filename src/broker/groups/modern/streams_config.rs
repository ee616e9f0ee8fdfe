//! The broker's settings for streams groups.

use std::time::Duration;

use super::config::{Bounded, Timing};
use crate::config::{ServerConfig, Settings};

/// The broker's settings for streams groups.
#[derive(Debug, Clone)]
pub(in crate::broker) struct StreamsConfig {
    pub(in crate::broker) timing: Timing,
    /// `group.streams.max.size`
    pub(in crate::broker) max_size: usize,
    /// `group.streams.num.standby.replicas`
    num_standby_replicas: usize,
    /// `group.streams.max.standby.replicas`
    max_standby_replicas: usize,
    /// `group.streams.initial.rebalance.delay.ms`
    initial_rebalance_delay: Duration,
}

impl StreamsConfig {
    pub(in crate::broker) fn of(config: &ServerConfig) -> Self {
        let timing = Timing {
            kind: "streams",
            session_timeout: Bounded {
                default: config.group_streams_session_timeout_ms,
                least: config.group_streams_min_session_timeout_ms,
                most: config.group_streams_max_session_timeout_ms,
            },
            heartbeat_interval: Bounded {
                default: config.group_streams_heartbeat_interval_ms,
                least: config.group_streams_min_heartbeat_interval_ms,
                most: config.group_streams_max_heartbeat_interval_ms,
            },
            assignment_interval: Bounded {
                default: config.group_streams_assignment_interval_ms,
                least: config.group_streams_min_assignment_interval_ms,
                most: config.group_streams_max_assignment_interval_ms,
            },
        };
        Self {
            timing,
            max_size: config.group_streams_max_size,
            num_standby_replicas: config.group_streams_num_standby_replicas,
            max_standby_replicas: config.group_streams_max_standby_replicas,
            initial_rebalance_delay: config.group_streams_initial_rebalance_delay_ms,
        }
    }

    /// How many copies there are to be of the state of each task.
    pub(in crate::broker) fn num_standby_replicas(&self, settings: Option<&Settings>) -> usize {
        match number(settings, "streams.num.standby.replicas").and_then(|set| usize::try_from(set).ok()) {
            // The bound may have become narrower since it was set.
            Some(set) => set.min(self.max_standby_replicas),
            None => self.num_standby_replicas,
        }
    }

    /// How long the first members of a group have to come together before there is an assignment.
    pub(in crate::broker) fn initial_rebalance_delay(&self, settings: Option<&Settings>) -> Duration {
        let set = number(settings, "streams.initial.rebalance.delay.ms");
        set.map_or(self.initial_rebalance_delay, Duration::from_millis)
    }
}

fn number(settings: Option<&Settings>, key: &str) -> Option<u64> {
    settings?.get(key)?.trim().parse().ok()
}

impl Default for StreamsConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        let seconds = |default, least, most| Bounded {
            default: Duration::from_secs(default),
            least: Duration::from_secs(least),
            most: Duration::from_secs(most),
        };
        let timing = Timing {
            kind: "streams",
            session_timeout: seconds(45, 45, 60),
            heartbeat_interval: seconds(5, 5, 15),
            assignment_interval: seconds(1, 0, 15),
        };
        Self {
            timing,
            max_size: i32::MAX as usize,
            num_standby_replicas: 0,
            max_standby_replicas: 2,
            initial_rebalance_delay: Duration::from_secs(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_brokers() {
        let server = StreamsConfig::of(&ServerConfig::from_pairs(&[]).unwrap());
        assert_eq!(format!("{server:?}"), format!("{:?}", StreamsConfig::default()));
    }

    #[test]
    fn a_groups_setting_counts_within_the_brokers_bounds() {
        let config = StreamsConfig::default();
        let set = |key: &str, value: &str| Settings::from([(key.to_owned(), value.to_owned())]);
        let standbys = |value| config.num_standby_replicas(Some(&set("streams.num.standby.replicas", value)));
        assert_eq!((config.num_standby_replicas(None), standbys("1"), standbys("9")), (0, 1, 2));
        let delay = set("streams.initial.rebalance.delay.ms", "10");
        assert_eq!(config.initial_rebalance_delay(Some(&delay)), Duration::from_millis(10));
    }
}
