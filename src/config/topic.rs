//! Settings of a topic: those set on it, over the broker's, over Kafka's defaults.

use super::definitions::{ConfigDef, DefaultValue, Scope, table};
use super::error::ConfigError;
use super::fields::{self, FromValue, unit_millis};
use super::layers::{ConfigSource, Layers, Settings};
use super::value::{Value, trim};

/// What happens to old records (`cleanup.policy`); neither: they stay for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CleanupPolicy {
    /// The newest record of each key stays.
    pub compact: bool,
    /// Segments beyond the retention go.
    pub delete: bool,
}

/// How batches are stored (`compression.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd.
    Zstd,
}

impl CompressionType {
    /// Reads Kafka's name of it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "producer" => Self::Producer,
            "uncompressed" | "none" => Self::Uncompressed,
            "gzip" => Self::Gzip,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }
}

/// Whose clock a record's timestamp is from (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's when it appended.
    LogAppendTime,
}

/// The settings that count for a topic.
///
/// Times are milliseconds as they are compared with record timestamps; `None` means without limit.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`
    pub compression_type: CompressionType,
    /// `compression.gzip.level`; -1 leaves it to the codec
    pub compression_gzip_level: i32,
    /// `compression.lz4.level`
    pub compression_lz4_level: i32,
    /// `compression.zstd.level`
    pub compression_zstd_level: i32,
    /// `delete.retention.ms`: how long tombstones stay
    pub delete_retention_ms: i64,
    /// `file.delete.delay.ms`
    pub file_delete_delay_ms: i64,
    /// `flush.messages`: records between two flushes to disk; `i64::MAX`: never
    pub flush_messages: i64,
    /// `flush.ms`: `i64::MAX`: never
    pub flush_ms: i64,
    /// `follower.replication.throttled.replicas`: `partition:broker` pairs or `*`
    pub follower_replication_throttled_replicas: Vec<String>,
    /// `index.interval.bytes`
    pub index_interval_bytes: i32,
    /// `leader.replication.throttled.replicas`: `partition:broker` pairs or `*`
    pub leader_replication_throttled_replicas: Vec<String>,
    /// `local.retention.bytes`; -2: as `retention.bytes`
    pub local_retention_bytes: i64,
    /// `local.retention.ms`; -2: as `retention.ms`
    pub local_retention_ms: i64,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: i64,
    /// `max.message.bytes`: largest batch
    pub max_message_bytes: i32,
    /// `message.timestamp.after.max.ms`: how far in the future a record's timestamp may be
    pub message_timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`: how far in the past a record's timestamp may be
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.type`
    pub message_timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: i64,
    /// `min.insync.replicas`
    pub min_insync_replicas: i32,
    /// `preallocate`
    pub preallocate: bool,
    /// `remote.log.copy.disable`
    pub remote_log_copy_disable: bool,
    /// `remote.log.delete.on.disable`
    pub remote_log_delete_on_disable: bool,
    /// `remote.storage.enable`
    pub remote_storage_enable: bool,
    /// `retention.bytes`; `None` (-1): without limit
    pub retention_bytes: Option<i64>,
    /// `retention.ms`; `None` (-1): without limit
    pub retention_ms: Option<i64>,
    /// `segment.bytes`
    pub segment_bytes: i32,
    /// `segment.index.bytes`: largest offset index
    pub segment_index_bytes: i32,
    /// `segment.jitter.ms`: a random time up to this is taken off `segment.ms`
    pub segment_jitter_ms: i64,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `unclean.leader.election.enable`
    pub unclean_leader_election_enable: bool,
}

impl Default for TopicConfig {
    /// Kafka's defaults, which a broker without settings gives to a topic without settings.
    fn default() -> Self {
        Self {
            cleanup_policy: CleanupPolicy { compact: false, delete: true },
            compression_type: CompressionType::Producer,
            compression_gzip_level: -1,
            compression_lz4_level: 9,
            compression_zstd_level: 3,
            delete_retention_ms: 86_400_000,
            file_delete_delay_ms: 60_000,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            follower_replication_throttled_replicas: Vec::new(),
            index_interval_bytes: 4096,
            leader_replication_throttled_replicas: Vec::new(),
            local_retention_bytes: -2,
            local_retention_ms: -2,
            max_compaction_lag_ms: i64::MAX,
            max_message_bytes: 1_048_588,
            message_timestamp_after_max_ms: 3_600_000,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_type: TimestampType::CreateTime,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            min_insync_replicas: 1,
            preallocate: false,
            remote_log_copy_disable: false,
            remote_log_delete_on_disable: false,
            remote_storage_enable: false,
            retention_bytes: None,
            retention_ms: Some(604_800_000),
            segment_bytes: 1_073_741_824,
            segment_index_bytes: 10_485_760,
            segment_jitter_ms: 0,
            segment_ms: 604_800_000,
            unclean_leader_election_enable: false,
        }
    }
}

impl TopicConfig {
    /// As [`TopicConfig::resolve`], but for overrides that can't be read, which do not count: what another version has
    /// stored must not keep a topic from being served with the rest.
    #[must_use]
    pub fn resolve_usable(layers: &Layers, overrides: &Settings, otherwise: &Self) -> Self {
        let is_usable =
            |(name, text): &(&String, &String)| table(Scope::Topic).get(name).is_none_or(|def| def.parse(text).is_ok());
        let usable = overrides.iter().filter(is_usable).map(|(name, text)| (name.clone(), text.clone())).collect();
        Self::resolve(layers, &usable).unwrap_or_else(|_| otherwise.clone())
    }

    /// Works out what counts for a topic on which `overrides` are set.
    ///
    /// # Errors
    /// A value that is not valid. Settings are checked before they are stored, so this tells of a store written by
    /// another version.
    pub fn resolve(layers: &Layers, overrides: &Settings) -> Result<Self, ConfigError> {
        let value = |key: &'static str| resolve_value(layers, overrides, key);
        fn read<T: FromValue>(key: &str, value: Value) -> Result<T, ConfigError> {
            fields::read(key, &value)
        }
        macro_rules! field {
            ($key:literal) => {
                read($key, value($key)?.0)?
            };
        }
        let policy: Vec<String> = field!("cleanup.policy");
        let compression: String = field!("compression.type");
        let timestamp_type: String = field!("message.timestamp.type");
        Ok(Self {
            cleanup_policy: CleanupPolicy {
                compact: policy.iter().any(|one| one == "compact"),
                delete: policy.iter().any(|one| one == "delete"),
            },
            compression_type: CompressionType::named(&compression).unwrap_or(CompressionType::Producer),
            compression_gzip_level: field!("compression.gzip.level"),
            compression_lz4_level: field!("compression.lz4.level"),
            compression_zstd_level: field!("compression.zstd.level"),
            delete_retention_ms: field!("delete.retention.ms"),
            file_delete_delay_ms: field!("file.delete.delay.ms"),
            flush_messages: field!("flush.messages"),
            flush_ms: field!("flush.ms"),
            follower_replication_throttled_replicas: field!("follower.replication.throttled.replicas"),
            index_interval_bytes: field!("index.interval.bytes"),
            leader_replication_throttled_replicas: field!("leader.replication.throttled.replicas"),
            local_retention_bytes: field!("local.retention.bytes"),
            local_retention_ms: field!("local.retention.ms"),
            max_compaction_lag_ms: field!("max.compaction.lag.ms"),
            max_message_bytes: field!("max.message.bytes"),
            message_timestamp_after_max_ms: field!("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: field!("message.timestamp.before.max.ms"),
            message_timestamp_type: match timestamp_type.as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: field!("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: field!("min.compaction.lag.ms"),
            min_insync_replicas: field!("min.insync.replicas"),
            preallocate: field!("preallocate"),
            remote_log_copy_disable: field!("remote.log.copy.disable"),
            remote_log_delete_on_disable: field!("remote.log.delete.on.disable"),
            remote_storage_enable: field!("remote.storage.enable"),
            retention_bytes: field!("retention.bytes"),
            retention_ms: field!("retention.ms"),
            segment_bytes: match value("internal.segment.bytes")?.0 {
                // Kafka's own tests use it to get below the minimum of segment.bytes.
                Value::Null => field!("segment.bytes"),
                small => read("internal.segment.bytes", small)?,
            },
            segment_index_bytes: field!("segment.index.bytes"),
            segment_jitter_ms: field!("segment.jitter.ms"),
            segment_ms: field!("segment.ms"),
            unclean_leader_election_enable: field!("unclean.leader.election.enable"),
        })
    }
}

/// The value of one topic key and the source that it comes from.
pub(super) fn resolve_value(
    layers: &Layers,
    overrides: &Settings,
    key: &str,
) -> Result<(Value, ConfigSource), ConfigError> {
    let unknown = || ConfigError::Unknown { scope: Scope::Topic.name(), name: key.to_owned() };
    let def = table(Scope::Topic).get(key).ok_or_else(unknown)?;
    let (text, source) = topic_text(layers, overrides, def);
    let value = match (text, source) {
        (None, _) => Value::Null,
        (Some(text), ConfigSource::DynamicTopic) => def.parse(&text)?,
        // A broker's value is checked by the rules of its own key: it may be below the least that a topic may have.
        (Some(text), _) => match def.kind.parse(key, &text)? {
            Value::Number(number) if key == "retention.ms" && number < 0 => Value::Number(-1),
            value => value,
        },
    };
    Ok((value, source))
}

/// The text behind [`resolve_value`], in the unit of the topic key.
pub(super) fn topic_text(layers: &Layers, overrides: &Settings, def: &ConfigDef) -> (Option<String>, ConfigSource) {
    if let Some(text) = overrides.get(def.name) {
        return (Some(text.clone()), ConfigSource::DynamicTopic);
    }
    for name in &def.synonyms {
        let Some((text, source)) = layers.get(name) else { continue };
        let in_topic_unit = match (unit_millis(name), trim(text).parse::<i64>()) {
            (1, _) | (_, Err(_)) => text.to_owned(),
            (unit, Ok(number)) => number.saturating_mul(unit).to_string(),
        };
        return (Some(in_topic_unit), source);
    }
    let text = match def.default {
        DefaultValue::Text(text) => Some(text.to_owned()),
        DefaultValue::Null | DefaultValue::Required => None,
    };
    (text, ConfigSource::Default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_read_does_not_take_the_rest_with_it() {
        let overrides = [("retention.ms", "5"), ("segment.bytes", "x"), ("from.the.future", "1")];
        let overrides = overrides.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let (layers, default) = (Layers::default(), TopicConfig::default());
        let config = TopicConfig::resolve_usable(&layers, &overrides, &default);
        assert_eq!(config, TopicConfig { retention_ms: Some(5), ..default });
    }

    #[test]
    fn the_default_is_what_the_tables_say() {
        let resolved = TopicConfig::resolve(&Layers::default(), &Settings::new()).unwrap();
        assert_eq!(resolved, TopicConfig::default());
    }
}
