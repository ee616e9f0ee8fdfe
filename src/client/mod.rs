//! The client of Kafka's protocol: connections, metadata, producer, consumer, admin calls.
//!
//! Works against any Kafka cluster of 2.1 or newer. Runs on the caller's tokio runtime, a current-thread one included.
//! Never prints, and never reads a configuration file: it takes options that `config` has checked. Key stores it reads.
//!
//! Start reading at [`Connection`] (one broker), then [`Cluster`] (all of them).

pub mod address;
pub mod admin;
pub mod cluster;
pub mod connection;
pub mod consumer;
pub mod error;
mod leaders;
mod membership;
pub mod metadata;
pub mod options;
pub mod producer;
pub mod retry;
pub mod security;
pub mod share;
#[cfg(test)]
pub(crate) mod testing;

pub use address::Address;
pub use admin::Admin;
pub use cluster::{AutoCreate, Cluster, Lane, TopicScope};
pub use connection::{ApiVersions, CallOptions, Connection, Pending};
pub use consumer::{Consumer, ConsumerOptions, ConsumerRecord};
pub use error::{ApiError, AuthenticationFailure, ClientError};
pub use metadata::{Metadata, Node, PartitionMetadata, TopicMetadata};
pub use options::ClientOptions;
pub use producer::{Producer, ProducerOptions, ProducerRecord};
pub use security::{Security, SecurityError};
pub use share::{ShareConsumer, ShareConsumerOptions, ShareRecord};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic of another holder: what is behind the client's locks is valid between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
