//! The controller: the one writer of cluster metadata, a quorum of one.
//!
//! A change is planned from the image (`topics.rs`, `configs.rs`, ...: pure functions from image and request to records
//! and answer), written to the metadata log as one batch, made durable, applied to the image, and followed by the broker
//! before its answer goes out. Blocking: called from threads that may wait for the disk, never from the runtime's own.
//!
//! What follows never calls back into the controller: it runs while the controller is busy.
//!
//! Start reading at `runtime.rs`; `metadata_log.rs` is what is on disk.

mod configs;
mod directories;
mod error;
mod feature_updates;
mod metadata_log;
mod placement;
mod quorum_state;
mod registration;
mod requests;
mod runtime;
mod snapshots;
mod topics;
mod updates;

#[cfg(test)]
mod tests;

pub(super) use directories::{Assignment, OwnDirectories, directory_of, is_online, is_real};
pub(super) use error::{ApiError, ControllerError};
pub(super) use runtime::{Controller, ControllerOptions, Identity, write_initial_files};
