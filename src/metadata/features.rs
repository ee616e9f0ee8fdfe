//! The feature levels of Apache Kafka 4.3 (KIP-584, KIP-1022): what exists, what a new directory gets, and what a level of
//! `metadata.version` asks of the records.

use std::fmt;

/// Name of the feature that decides the versions of metadata records.
pub const METADATA_VERSION: &str = "metadata.version";
/// Name of the feature of the voter set in the log (KIP-853); its level stands in control records, not in feature records.
pub const KRAFT_VERSION: &str = "kraft.version";
/// Name of the feature of eligible leader replicas (KIP-966).
pub const ELR_VERSION: &str = "eligible.leader.replicas.version";

/// A feature that this release knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// Lowest level that is served.
    pub min: i16,
    /// Highest level that is served.
    pub max: i16,
    /// The level that formatting a directory gives it.
    pub default: i16,
}

/// All features, by name: those of Kafka 4.3.1.
pub const FEATURES: &[Feature] = &[
    Feature { name: ELR_VERSION, min: 0, max: 1, default: 1 },
    Feature { name: "group.version", min: 0, max: 1, default: 1 },
    Feature { name: KRAFT_VERSION, min: 0, max: 1, default: 1 },
    Feature {
        name: METADATA_VERSION,
        min: MetadataVersion::MINIMUM.0,
        max: MetadataVersion::LATEST.0,
        default: MetadataVersion::LATEST.0,
    },
    Feature { name: "share.version", min: 0, max: 1, default: 1 },
    Feature { name: "streams.version", min: 0, max: 1, default: 1 },
    Feature { name: "transaction.version", min: 0, max: 2, default: 2 },
];

/// What a feature level can't be without: feature, level, needed feature, its level.
const NEEDS: [(&str, i16, &str, i16); 1] = [(ELR_VERSION, 1, METADATA_VERSION, 23)];

/// What a feature at this level needs: a feature and its level.
pub fn needs(feature: &str, level: i16) -> impl Iterator<Item = (&'static str, i16)> {
    let of_it = NEEDS.iter().filter(move |(name, at, _, _)| *name == feature && *at <= level);
    of_it.map(|(_, _, needed, needed_level)| (*needed, *needed_level))
}

/// The first of these that is lower than needed where the features have these levels.
#[must_use]
pub fn missing_for(feature: &str, level: i16, levels: &dyn Fn(&str) -> i16) -> Option<(&'static str, i16)> {
    needs(feature, level).find(|(needed, needed_level)| levels(needed) < *needed_level)
}

/// A level of `metadata.version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetadataVersion(i16);

impl MetadataVersion {
    /// 3.3-IV3, the oldest that Kafka 4 opens.
    pub const MINIMUM: Self = Self(7);
    /// 4.3-IV0.
    pub const LATEST: Self = Self(30);

    /// Brokers register their directories, partitions name theirs (3.7-IV2, KIP-858).
    const DIRECTORY_ASSIGNMENT: Self = Self(17);
    /// Brokers tell whether they migrate from ZooKeeper (3.4-IV0).
    const MIGRATION: Self = Self(8);
    /// Partitions have eligible leader replicas (4.0-IV1, KIP-966).
    const ELIGIBLE_LEADER_REPLICAS: Self = Self(23);
    /// Directories can be closed for new partitions (4.3-IV0).
    const CORDONED_DIRECTORIES: Self = Self(30);
    /// Bootstrap records are a metadata transaction (3.6-IV1, KIP-868).
    const TRANSACTIONS: Self = Self(13);
    /// Controllers register (3.7-IV0, KIP-919).
    const CONTROLLER_REGISTRATION: Self = Self(15);
    /// The levels at which records say something that they could not say before.
    const WITH_NEW_RECORDS: [i16; 9] = [7, 8, 11, 13, 14, 15, 17, 23, 30];

    /// The version of this level, if this release knows it.
    #[must_use]
    pub fn from_level(level: i16) -> Option<Self> {
        let version = Self(level);
        (Self::MINIMUM <= version && version <= Self::LATEST).then_some(version)
    }

    /// The level, as feature records carry it.
    #[must_use]
    pub const fn level(self) -> i16 {
        self.0
    }

    /// Whether records of this level may say what those of a `lower` one can't.
    #[must_use]
    pub fn says_more_than(self, lower: Self) -> bool {
        Self::WITH_NEW_RECORDS.iter().any(|level| lower.0 < *level && *level <= self.0)
    }

    /// Whether partitions may say which directory of a broker holds them.
    #[must_use]
    pub fn has_directories(self) -> bool {
        self >= Self::DIRECTORY_ASSIGNMENT
    }

    /// Whether partitions may have eligible leader replicas (whether they do is a feature of its own).
    #[must_use]
    pub fn has_eligible_leader_replicas(self) -> bool {
        self >= Self::ELIGIBLE_LEADER_REPLICAS
    }

    /// Whether registrations may name directories that take no new partitions.
    #[must_use]
    pub fn has_cordoned_directories(self) -> bool {
        self >= Self::CORDONED_DIRECTORIES
    }

    /// Whether records of one operation may be framed by transaction records.
    #[must_use]
    pub fn has_transactions(self) -> bool {
        self >= Self::TRANSACTIONS
    }

    /// Whether controllers register in the log.
    #[must_use]
    pub fn has_controller_registration(self) -> bool {
        self >= Self::CONTROLLER_REGISTRATION
    }

    pub(crate) fn register_broker_record(self) -> i16 {
        match self {
            v if v.has_cordoned_directories() => 4,
            v if v.has_directories() => 3,
            v if v >= Self::MIGRATION => 2,
            _ => 1,
        }
    }

    /// The version of PartitionRecord and of PartitionChangeRecord.
    pub(super) fn partition_record(self) -> i16 {
        match self {
            v if v.has_eligible_leader_replicas() => 2,
            v if v.has_directories() => 1,
            _ => 0,
        }
    }
}

impl Default for MetadataVersion {
    /// What a new directory gets.
    fn default() -> Self {
        Self::LATEST
    }
}

impl fmt::Display for MetadataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The feature of this name, if this release knows it.
#[must_use]
pub fn find(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_records_rise_with_the_level() {
        let versions = |level| {
            let level = MetadataVersion::from_level(level).unwrap();
            (level.register_broker_record(), level.partition_record())
        };
        assert_eq!(versions(7), (1, 0));
        assert_eq!(versions(8), (2, 0));
        assert_eq!(versions(17), (3, 1));
        assert_eq!(versions(21), (3, 1));
        assert_eq!(versions(23), (3, 2));
        assert_eq!(versions(30), (4, 2));
    }

    #[test]
    fn levels_of_other_releases_are_refused() {
        assert_eq!(MetadataVersion::from_level(6), None);
        assert_eq!(MetadataVersion::from_level(31), None);
        assert_eq!(find(METADATA_VERSION).map(|f| (f.min, f.max)), Some((7, 30)));
    }
}
