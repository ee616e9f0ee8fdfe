//! Settings of a producer.

use std::time::Duration;

use super::{ClientProperties, CommonClientConfig, client_config};
use crate::config::error::ConfigError;
use crate::config::layers::Values;
use crate::config::topic::CompressionType;

/// Whose copies an acknowledgement waits for (`acks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Acks {
    /// Nobody's: there is no answer.
    None,
    /// The leader's.
    Leader,
    /// Those of all in-sync replicas.
    All,
}

impl Acks {
    /// The number in Produce requests.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How a partition is chosen for a record that names none (`partitioner.class`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Partitioner {
    /// By the key's hash, else a batch here and a batch there (KIP-794).
    Default,
    /// One record to each partition in turn.
    RoundRobin,
}

client_config! {
    /// Settings of a producer.
    ProducerConfig {
        /// What all clients have.
        common: CommonClientConfig,
        /// `acks`
        acks: Acks,
        /// `compression.type`; `Uncompressed` for `none`
        compression_type: CompressionType,
        /// `delivery.timeout.ms`; at least `linger.ms` and `request.timeout.ms` together
        delivery_timeout_ms: Duration,
        /// `enable.idempotence`; off where it was not asked for and other settings rule it out
        enable_idempotence: bool,
        /// `partitioner.class`
        partitioner_class: Partitioner,
    }
    batch_size: usize,
    buffer_memory: usize,
    compression_gzip_level: i32,
    compression_lz4_level: i32,
    compression_zstd_level: i32,
    linger_ms: Duration,
    max_block_ms: Duration,
    max_in_flight_requests_per_connection: usize,
    max_request_size: usize,
    metadata_max_idle_ms: Duration,
    partitioner_adaptive_partitioning_enable: bool,
    partitioner_availability_timeout_ms: Duration,
    partitioner_ignore_keys: bool,
    retries: usize,
    transaction_timeout_ms: Duration,
    transactional_id: Option<String>,
}

impl ProducerConfig {
    /// Checks and reads the settings of a producer.
    ///
    /// # Errors
    /// What is not valid, breaks one of Kafka's rules or is not supported yet.
    pub fn new(properties: &ClientProperties) -> Result<Self, ConfigError> {
        let values = properties.values()?;
        let build = || {
            let common = CommonClientConfig::resolve(properties, &values)?;
            let acks = match values.read::<String>("acks")?.as_str() {
                "0" => Acks::None,
                "1" => Acks::Leader,
                _ => Acks::All,
            };
            let compression = CompressionType::named(&values.read::<String>("compression.type")?);
            let compression = compression.unwrap_or(CompressionType::Uncompressed);
            let idempotence = idempotence(properties, &values, acks)?;
            let timeout = delivery_timeout(properties, &values)?;
            let partitioner = partitioner(values.read("partitioner.class")?)?;
            Self::read(common, acks, compression, timeout, idempotence, partitioner, &values)
        };
        build().map_err(|error| properties.placed(error))
    }
}

/// Kafka turns idempotence off where the user's other settings rule it out, but not where the user asked for it.
fn idempotence(properties: &ClientProperties, values: &Values, acks: Acks) -> Result<bool, ConfigError> {
    const KEY: &str = "enable.idempotence";
    let asked_for = properties.is_set(KEY);
    let mut enabled: bool = values.read(KEY)?;
    if enabled {
        let in_flight: usize = values.read("max.in.flight.requests.per.connection")?;
        if in_flight > 5 {
            let key = "max.in.flight.requests.per.connection";
            let message = format!(
                "To use the idempotent producer, {key} must be set to at most 5. Current value is {in_flight}."
            );
            return Err(ConfigError::rule(key, message));
        }
        let no_retries = values.read::<usize>("retries")? == 0;
        if asked_for && no_retries {
            return Err(ConfigError::rule(
                "retries",
                "Must set retries to non-zero when using the idempotent producer.",
            ));
        }
        if asked_for && acks != Acks::All {
            let message = "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee \
                           idempotence.";
            return Err(ConfigError::rule("acks", message));
        }
        enabled = !no_retries && acks == Acks::All;
    }
    if !enabled && properties.is_set("transactional.id") {
        let message = "Cannot set a transactional.id without also enabling idempotence.";
        return Err(ConfigError::rule("transactional.id", message));
    }
    Ok(enabled)
}

fn delivery_timeout(properties: &ClientProperties, values: &Values) -> Result<Duration, ConfigError> {
    const KEY: &str = "delivery.timeout.ms";
    let timeout: Duration = values.read(KEY)?;
    let least = values.read::<Duration>("linger.ms")?.saturating_add(values.read("request.timeout.ms")?);
    if timeout >= least || !properties.is_set(KEY) {
        return Ok(timeout.max(least));
    }
    Err(ConfigError::rule(KEY, "delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms"))
}

fn partitioner(class: Option<String>) -> Result<Partitioner, ConfigError> {
    let Some(class) = class else { return Ok(Partitioner::Default) };
    match class.rsplit('.').next() {
        Some("RoundRobinPartitioner") => Ok(Partitioner::RoundRobin),
        _ => Err(ConfigError::invalid("partitioner.class", &class, format!("Class {class} could not be found."))),
    }
}
