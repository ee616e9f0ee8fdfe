//! The settings of share groups: the broker's, and those of single groups within the bounds that the broker sets.

use std::time::Duration;

use super::state::Rules;
use crate::broker::partition::Isolation;
use crate::config::{ServerConfig, Settings, iso_duration};
use crate::metadata::{ConfigResource, ConfigResourceType, MetadataImage};

/// Where a group begins to read a partition (`share.auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum OffsetReset {
    /// What is there already is not for the group.
    Latest,
    Earliest,
    /// At the first record that is not older than this.
    ByDuration(Duration),
}

/// What holds for a share group.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct ShareGroupSettings {
    pub(in crate::broker) rules: Rules,
    pub(in crate::broker) isolation: Isolation,
    pub(in crate::broker) offset_reset: OffsetReset,
}

impl ShareGroupSettings {
    /// What holds for a group: what is set for it, within the bounds of the broker.
    pub(in crate::broker) fn of(image: &MetadataImage, config: &ServerConfig, group: &str) -> Self {
        let resource = ConfigResource { kind: ConfigResourceType::GROUP, name: group.to_owned() };
        Self::new(image.configs(&resource), config)
    }

    fn new(set: Option<&Settings>, config: &ServerConfig) -> Self {
        let text = |key: &str| set.and_then(|set| set.get(key)).map(|text| text.trim());
        let number = |key: &str, default: i64, least: i64, most: i64| {
            // Bounds may have become narrower since it was set: then the nearest that they allow.
            text(key).and_then(|text| text.parse().ok()).map_or(default, |set: i64| set.min(most).max(least))
        };
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let size = |locks: usize| i64::try_from(locks).unwrap_or(i64::MAX);
        let lock_duration = number(
            "share.record.lock.duration.ms",
            millis(config.group_share_record_lock_duration_ms),
            millis(config.group_share_min_record_lock_duration_ms),
            millis(config.group_share_max_record_lock_duration_ms),
        );
        let delivery_count_limit = number(
            "share.delivery.count.limit",
            config.group_share_delivery_count_limit.into(),
            config.group_share_min_delivery_count_limit.into(),
            config.group_share_max_delivery_count_limit.into(),
        );
        let rules = Rules {
            delivery_count_limit: i16::try_from(delivery_count_limit).unwrap_or(i16::MAX),
            max_record_locks: number(
                "share.partition.max.record.locks",
                size(config.group_share_partition_max_record_locks),
                size(config.group_share_min_partition_max_record_locks),
                size(config.group_share_max_partition_max_record_locks),
            ),
            record_lock_duration: Duration::from_millis(u64::try_from(lock_duration).unwrap_or_default()),
            renew_is_allowed: text("share.renew.acknowledge.enable")
                .is_none_or(|text| !text.eq_ignore_ascii_case("false")),
        };
        let isolation = match text("share.isolation.level") {
            Some(level) if level.eq_ignore_ascii_case("read_committed") => Isolation::ReadCommitted,
            _ => Isolation::ReadUncommitted,
        };
        let reset = text("share.auto.offset.reset").unwrap_or_default().to_ascii_lowercase();
        let offset_reset = match reset.strip_prefix("by_duration:") {
            Some(duration) => {
                let millis = iso_duration(&duration.to_ascii_uppercase()).and_then(|millis| u64::try_from(millis).ok());
                millis.map_or(OffsetReset::Latest, |millis| OffsetReset::ByDuration(Duration::from_millis(millis)))
            }
            None if reset == "earliest" => OffsetReset::Earliest,
            None => OffsetReset::Latest,
        };
        Self { rules, isolation, offset_reset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_settings_keep_within_the_brokers_bounds() {
        let config = ServerConfig::from_pairs(&[]).unwrap();
        let of = |pairs: &[(&str, &str)]| {
            let set: Settings = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            ShareGroupSettings::new(Some(&set), &config)
        };
        let plain = ShareGroupSettings::new(None, &config);
        assert_eq!(plain.rules.delivery_count_limit, 5);
        assert_eq!(plain.rules.max_record_locks, 2000);
        assert_eq!(plain.rules.record_lock_duration, Duration::from_secs(30));
        assert_eq!((plain.isolation, plain.offset_reset), (Isolation::ReadUncommitted, OffsetReset::Latest));
        assert!(plain.rules.renew_is_allowed);
        let set = of(&[
            ("share.delivery.count.limit", "7"),
            ("share.partition.max.record.locks", "1"),
            ("share.record.lock.duration.ms", "999999999"),
            ("share.isolation.level", "read_committed"),
            ("share.renew.acknowledge.enable", "false"),
            ("share.auto.offset.reset", "earliest"),
        ]);
        assert_eq!((set.rules.delivery_count_limit, set.rules.max_record_locks), (7, 100));
        assert_eq!(set.rules.record_lock_duration, Duration::from_secs(60));
        assert_eq!((set.isolation, set.offset_reset), (Isolation::ReadCommitted, OffsetReset::Earliest));
        assert!(!set.rules.renew_is_allowed);
        let reset = of(&[("share.auto.offset.reset", "by_duration:PT1H")]).offset_reset;
        assert_eq!(reset, OffsetReset::ByDuration(Duration::from_secs(3600)));
    }
}
