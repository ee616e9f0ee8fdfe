//! Cluster metadata: KRaft's records, the image that they add up to, and what one commit changed in it.
//!
//! Pure data: reads and writes no file and no socket, knows no clock. The controller appends records and applies them;
//! a broker is what replaying them gives. Start reading at `record.rs`, then `image.rs` and `apply.rs`; `batch.rs` and
//! `checkpoint.rs` have their form in files.

pub mod batch;
pub mod bootstrap;
pub mod checkpoint;
pub mod features;
pub mod fuzz;
pub mod topic_name;

mod apply;
mod control;
mod delta;
mod image;
mod record;
mod replay;
mod snapshot;
mod topic;

#[cfg(test)]
mod tests;

pub use apply::ApplyError;
pub use checkpoint::{Checkpoint, CheckpointError, CheckpointId};
pub use control::ControlRecord;
pub use delta::MetadataDelta;
pub use features::MetadataVersion;
pub use image::{ConfigResource, ConfigResourceType, LogPosition, MetadataImage, QuotaEntity};
pub use record::{MetadataRecord, RecordError};
pub use replay::Replay;
pub use topic::{PartitionImage, TopicImage};
