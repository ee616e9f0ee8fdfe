//! One partition on disk, and the directories that hold partitions: Kafka's files.
//!
//! Takes a configuration, bytes and the time; knows no request, no network, no clock of its own and no async.

pub mod checkpoint;
pub mod directory;
pub mod directory_name;
pub mod meta_properties;
pub mod partition_metadata;
