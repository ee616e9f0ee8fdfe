//! How a producer works.

use std::sync::Arc;
use std::time::Duration;

use super::delivery::DeliveryObserver;
use super::partitioner::Partitioner;
use crate::client::ClientOptions;
use crate::config::{Acks, CompressionType, Partitioner as PartitionerClass, ProducerConfig};
use crate::record::{Codec, Compression};

/// Who chooses the partition of a record that names none.
#[derive(Debug, Clone)]
pub enum Partitioning {
    /// Kafka's way: by the hash of the key; without a key one partition for a batch, then another (KIP-794).
    Default {
        /// `partitioner.ignore.keys`: as if no record had a key.
        ignore_keys: bool,
        /// `partitioner.adaptive.partitioning.enable`: partitions with shorter queues are chosen more often.
        adaptive: bool,
        /// `partitioner.availability.timeout.ms`: partitions are left out while their broker has kept batches waiting for
        /// longer than this, unless it is zero. Counts only where `adaptive` is set.
        availability_timeout: Duration,
    },
    /// One after the other, whatever the key.
    RoundRobin,
    /// The caller's own way.
    Custom(Arc<dyn Partitioner>),
}

impl Partitioning {
    /// Whether a record that names no partition goes where the one before it went.
    pub(super) fn is_sticky(&self, key: Option<&[u8]>) -> bool {
        matches!(self, Self::Default { ignore_keys, .. } if *ignore_keys || key.is_none())
    }

    /// How long a broker may keep batches waiting before its partitions are left out, if that is ever too long.
    pub(super) fn availability_timeout(&self) -> Option<Duration> {
        match self {
            Self::Default { adaptive: true, availability_timeout, .. } => Some(*availability_timeout),
            _ => None,
        }
        .filter(|timeout| !timeout.is_zero())
    }
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
    /// `metadata.max.idle.ms`: the leaders of a topic that nothing is sent to are forgotten after this.
    pub metadata_max_idle: Duration,
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
    /// `transactional.id`: records are sent in transactions, and of several producers with one id only the last one goes on.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`: a transaction that is open for so long is aborted by its coordinator.
    pub transaction_timeout: Duration,
    /// Is told of every batch that was delivered or given up.
    pub observer: Option<Arc<dyn DeliveryObserver>>,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            client: ClientOptions { connections_max_idle: Some(Duration::from_secs(540)), ..ClientOptions::default() },
            acks: Acks::All,
            idempotence: true,
            batch_size: 16 << 10,
            linger: Duration::from_millis(5),
            buffer_memory: 32 << 20,
            max_block: Duration::from_secs(60),
            metadata_max_idle: Duration::from_secs(300),
            max_request_size: 1 << 20,
            max_in_flight: 5,
            delivery_timeout: Duration::from_secs(120),
            retries: i32::MAX.unsigned_abs(),
            compression: Compression::NONE,
            partitioning: Partitioning::Default {
                ignore_keys: false,
                adaptive: true,
                availability_timeout: Duration::ZERO,
            },
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
            observer: None,
        }
    }
}

impl From<&ProducerConfig> for ProducerOptions {
    fn from(config: &ProducerConfig) -> Self {
        let (codec, level) = match config.compression_type {
            CompressionType::Gzip => (Codec::Gzip, Some(config.compression_gzip_level)),
            CompressionType::Snappy => (Codec::Snappy, None),
            CompressionType::Lz4 => (Codec::Lz4, Some(config.compression_lz4_level)),
            CompressionType::Zstd => (Codec::Zstd, Some(config.compression_zstd_level)),
            CompressionType::Producer | CompressionType::Uncompressed => (Codec::None, None),
        };
        Self {
            client: ClientOptions { api_timeout: config.max_block_ms, ..ClientOptions::from(&config.common) },
            acks: config.acks,
            idempotence: config.enable_idempotence,
            batch_size: config.batch_size,
            linger: config.linger_ms,
            buffer_memory: config.buffer_memory,
            max_block: config.max_block_ms,
            metadata_max_idle: config.metadata_max_idle_ms,
            max_request_size: config.max_request_size,
            max_in_flight: config.max_in_flight_requests_per_connection,
            delivery_timeout: config.delivery_timeout_ms,
            retries: u32::try_from(config.retries).unwrap_or(u32::MAX),
            compression: Compression { codec, level },
            partitioning: match config.partitioner_class {
                PartitionerClass::Default => Partitioning::Default {
                    ignore_keys: config.partitioner_ignore_keys,
                    adaptive: config.partitioner_adaptive_partitioning_enable,
                    availability_timeout: config.partitioner_availability_timeout_ms,
                },
                PartitionerClass::RoundRobin => Partitioning::RoundRobin,
            },
            transactional_id: config.transactional_id.clone(),
            transaction_timeout: config.transaction_timeout_ms,
            observer: None,
        }
    }
}
