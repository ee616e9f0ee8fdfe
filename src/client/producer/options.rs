//! How a producer works.

use std::sync::Arc;
use std::time::Duration;

use super::delivery::DeliveryObserver;
use super::partitioner::Partitioner;
use crate::client::ClientOptions;
use crate::record::Compression;

/// Whose confirmation a record needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Nobody's: a record counts as sent when it has left.
    None,
    /// The leader's.
    Leader,
    /// All in-sync replicas'.
    All,
}

impl Acks {
    /// The number that stands for it in requests.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// Who chooses the partition of a record that names none.
#[derive(Debug, Clone)]
pub enum Partitioning {
    /// Kafka's way: by the hash of the key; without a key one partition for a batch, then another (KIP-794).
    Default {
        /// `partitioner.ignore.keys`: as if no record had a key.
        ignore_keys: bool,
        /// `partitioner.adaptive.partitioning.enable`: partitions with shorter queues are chosen more often.
        adaptive: bool,
    },
    /// One after the other, whatever the key.
    RoundRobin,
    /// The caller's own way.
    Custom(Arc<dyn Partitioner>),
}

/// The settings of a producer. The defaults are Kafka's; each field says its key.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// How the cluster is reached.
    pub client: ClientOptions,
    /// `acks`
    pub acks: Acks,
    /// `enable.idempotence`: no record twice and none out of order, whatever is retried.
    pub idempotence: bool,
    /// `batch.size`: bytes that are collected for a partition before they leave.
    pub batch_size: usize,
    /// `linger.ms`: how long a batch that is not full waits for more.
    pub linger: Duration,
    /// `buffer.memory`: bytes of records that are not delivered yet; who sends more waits.
    pub buffer_memory: usize,
    /// `max.block.ms`: how long a sender waits for memory or for metadata.
    pub max_block: Duration,
    /// `max.request.size`: largest record, and largest request.
    pub max_request_size: usize,
    /// `max.in.flight.requests.per.connection`
    pub max_in_flight: usize,
    /// `delivery.timeout.ms`: from `send` to the last attempt.
    pub delivery_timeout: Duration,
    /// `retries`
    pub retries: u32,
    /// `compression.type` with its level
    pub compression: Compression,
    /// `partitioner.class`
    pub partitioning: Partitioning,
    /// Is told of every batch that was delivered or given up.
    pub observer: Option<Arc<dyn DeliveryObserver>>,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            client: ClientOptions { connections_max_idle: Duration::from_secs(540), ..ClientOptions::default() },
            acks: Acks::All,
            idempotence: true,
            batch_size: 16 << 10,
            linger: Duration::from_millis(5),
            buffer_memory: 32 << 20,
            max_block: Duration::from_secs(60),
            max_request_size: 1 << 20,
            max_in_flight: 5,
            delivery_timeout: Duration::from_secs(120),
            retries: i32::MAX.unsigned_abs(),
            compression: Compression::NONE,
            partitioning: Partitioning::Default { ignore_keys: false, adaptive: true },
            observer: None,
        }
    }
}
