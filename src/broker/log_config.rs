//! From a topic's settings to those of its logs.

use crate::config::{ServerConfig, TopicConfig};
use crate::log::LogConfig;

/// The settings of the logs of a topic with these settings, on a broker with those.
pub(super) fn log_config(topic: &TopicConfig, broker: &ServerConfig) -> LogConfig {
    let size = |value: i32| u32::try_from(value).unwrap_or_default();
    LogConfig {
        segment_bytes: size(topic.segment_bytes),
        segment_ms: topic.segment_ms,
        segment_jitter_ms: topic.segment_jitter_ms,
        index_interval_bytes: size(topic.index_interval_bytes),
        segment_index_bytes: size(topic.segment_index_bytes),
        cleanup_delete: topic.cleanup_policy.delete,
        cleanup_compact: topic.cleanup_policy.compact,
        retention_ms: topic.retention_ms.unwrap_or(-1),
        retention_bytes: topic.retention_bytes.unwrap_or(-1),
        max_compaction_lag_ms: topic.max_compaction_lag_ms,
        min_compaction_lag_ms: topic.min_compaction_lag_ms,
        min_cleanable_dirty_ratio: topic.min_cleanable_dirty_ratio,
        delete_retention_ms: topic.delete_retention_ms,
        file_delete_delay_ms: topic.file_delete_delay_ms,
        preallocate: topic.preallocate,
        max_message_bytes: size(topic.max_message_bytes),
        flush_messages: topic.flush_messages,
        flush_ms: topic.flush_ms,
        producer_id_expiration_ms: i64::try_from(broker.producer_id_expiration_ms.as_millis()).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kafka's defaults stand in two places, since the log knows no settings file: they must agree.
    #[test]
    fn defaults_agree() {
        let broker = ServerConfig::from_pairs(&[]).unwrap();
        assert_eq!(log_config(&broker.topic_defaults, &broker), LogConfig::default());
    }
}
