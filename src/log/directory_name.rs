//! Names of the directories inside a log directory.
//!
//! | name | content |
//! |---|---|
//! | `<topic>-<partition>` | a partition's log |
//! | `<topic>-<partition>.<32 hex>-delete` | a deleted one, removed after `file.delete.delay.ms` |
//! | `<topic>-<partition>.<32 hex>-stray` | one of a topic that is not in the cluster's metadata |
//! | `<topic>-<partition>.<32 hex>-future` | a copy on its way to another log directory (AlterReplicaLogDirs) |
//! | `__cluster_metadata-0` | the metadata log, which is not loaded like the others |
//!
//! Topic names may have any length up to 249 and may contain dashes and dots, so the last dash counts, and a suffix
//! only with its dot and id.

use std::fmt::Write as _;

use crate::types::{TopicPartition, Uuid};

/// The longest file name of common file systems, in bytes; longer names are cut in the topic.
const MAX_NAME_BYTES: usize = 255;

/// The topic of the metadata log.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// What a directory in a log directory is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryKind {
    /// A partition's log.
    Partition(TopicPartition),
    /// A log that waits for its removal.
    Deleted(TopicPartition),
    /// A log that no topic of the cluster owns.
    Stray(TopicPartition),
    /// A copy for another log directory that was not finished.
    Future(TopicPartition),
    /// The metadata log.
    ClusterMetadata,
    /// Known to be none of our business: `lost+found`, the cache of tiered storage.
    Ignored,
}

impl DirectoryKind {
    /// What the directory `name` is; `None` if no broker makes such a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        if matches!(name, "lost+found" | "remote-log-index-cache") {
            return Some(Self::Ignored);
        }
        for (suffix, kind) in [
            (DELETED, Self::Deleted as fn(TopicPartition) -> Self),
            (STRAY, Self::Stray as fn(TopicPartition) -> Self),
            (FUTURE, Self::Future as fn(TopicPartition) -> Self),
        ] {
            if let Some(rest) = name.strip_suffix(suffix) {
                // No partition number ends like this, so the name means the suffix or nothing.
                let (partition, id) = rest.rsplit_once('.')?;
                return if id.is_empty() { None } else { parse_partition(partition).map(kind) };
            }
        }
        let partition = parse_partition(name)?;
        if partition.topic == CLUSTER_METADATA_TOPIC && partition.partition.get() == 0 {
            return Some(Self::ClusterMetadata);
        }
        Some(Self::Partition(partition))
    }
}

const DELETED: &str = "-delete";
const STRAY: &str = "-stray";
const FUTURE: &str = "-future";

/// A new name for the log of `partition` that says it is deleted.
#[must_use]
pub fn deleted_name(partition: &TopicPartition) -> String {
    name_with_id(partition, DELETED)
}

/// A new name for the log of `partition` that says no topic owns it.
#[must_use]
pub fn stray_name(partition: &TopicPartition) -> String {
    name_with_id(partition, STRAY)
}

/// A name for a copy of the log of `partition` that is to take its place.
#[must_use]
pub fn future_name(partition: &TopicPartition) -> String {
    name_with_id(partition, FUTURE)
}

fn name_with_id(partition: &TopicPartition, suffix: &str) -> String {
    let mut end = format!("-{}.", partition.partition);
    for byte in Uuid::random().0 {
        let _ = write!(end, "{byte:02x}");
    }
    end.push_str(suffix);
    let mut cut = partition.topic.len().min(MAX_NAME_BYTES.saturating_sub(end.len()));
    while !partition.topic.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{end}", partition.topic.get(..cut).unwrap_or_default())
}

/// Reads `topic-3`; the number must be written as we write it, so that no two names mean the same partition.
fn parse_partition(name: &str) -> Option<TopicPartition> {
    let (topic, number) = name.rsplit_once('-')?;
    let partition: i32 = number.parse().ok()?;
    let canonical = !topic.is_empty() && partition >= 0 && number == partition.to_string();
    canonical.then(|| TopicPartition::new(topic, partition))
}

pub(super) fn fuzz(data: &[u8]) {
    let name = String::from_utf8_lossy(data);
    if let Some(DirectoryKind::Partition(partition)) = DirectoryKind::of(&name) {
        assert_eq!(partition.to_string(), name);
        assert!(matches!(DirectoryKind::of(&deleted_name(&partition)), Some(DirectoryKind::Deleted(_))));
        assert!(matches!(DirectoryKind::of(&stray_name(&partition)), Some(DirectoryKind::Stray(_))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tp(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(topic, partition)
    }

    #[test]
    fn names_are_read_as_kafka_reads_them() {
        use DirectoryKind::*;
        let hex = "7e26eabf4a6d42868407ad7a72a95811";
        for (name, kind) in [
            ("orders-0".to_owned(), Some(Partition(tp("orders", 0)))),
            ("a.b-3-1".to_owned(), Some(Partition(tp("a.b-3", 1)))),
            ("__consumer_offsets-49".to_owned(), Some(Partition(tp("__consumer_offsets", 49)))),
            ("x-delete-0".to_owned(), Some(Partition(tp("x-delete", 0)))),
            (format!("orders-2.{hex}-delete"), Some(Deleted(tp("orders", 2)))),
            (format!("a.b-3-1.{hex}-stray"), Some(Stray(tp("a.b-3", 1)))),
            (format!("orders-2.{hex}-future"), Some(Future(tp("orders", 2)))),
            ("__cluster_metadata-0".to_owned(), Some(ClusterMetadata)),
            ("lost+found".to_owned(), Some(Ignored)),
            ("remote-log-index-cache".to_owned(), Some(Ignored)),
            ("backup".to_owned(), None),
            ("my-backup".to_owned(), None),
            ("orders-".to_owned(), None),
            ("-1".to_owned(), None),
            ("orders-007".to_owned(), None),
            ("orders-+7".to_owned(), None),
            ("orders-99999999999".to_owned(), None),
            ("orders-2-delete".to_owned(), None),
            ("orders-2.-delete".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(DirectoryKind::of(&name), kind, "{name}");
        }
    }

    #[test]
    fn new_names_fit_a_file_system_and_read_back() {
        let name = deleted_name(&tp("orders", 3));
        assert_eq!(DirectoryKind::of(&name), Some(DirectoryKind::Deleted(tp("orders", 3))));
        assert_eq!(name.len(), "orders-3.".len() + 32 + "-delete".len());
        assert_ne!(name, deleted_name(&tp("orders", 3)), "each time another one");

        let long = "x".repeat(249);
        for name in [deleted_name(&tp(&long, 0)), stray_name(&tp(&long, 1_000_000))] {
            assert_eq!(name.len(), 255);
            assert!(matches!(
                DirectoryKind::of(&name),
                Some(DirectoryKind::Deleted(cut) | DirectoryKind::Stray(cut)) if long.starts_with(&cut.topic)
            ));
        }
    }
}
