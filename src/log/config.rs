//! The settings of one partition's log: Kafka's topic configuration as far as files are concerned.
//!
//! Names are Kafka's keys with dots turned to underscores, defaults are Kafka's. Reading strings is the business of
//! `config`; this is what comes out of it.

/// Settings of a log; replaced as a whole while it runs ([`super::Log::set_config`]).
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// Largest size of a segment file; also the largest size of a batch.
    pub segment_bytes: u32,
    /// Age, by record timestamps, at which the active segment is rolled.
    pub segment_ms: i64,
    /// Spread of `segment_ms` over partitions, so that they don't all roll at once.
    pub segment_jitter_ms: i64,
    /// Bytes appended between two index entries.
    pub index_interval_bytes: u32,
    /// Largest size of an index file; a full index rolls the segment.
    pub segment_index_bytes: u32,
    /// Whether whole old segments are deleted by time and size (`delete` in `cleanup.policy`).
    pub cleanup_delete: bool,
    /// Whether old values of keys are compacted away (`compact` in `cleanup.policy`).
    pub cleanup_compact: bool,
    /// Age, by largest record timestamp, at which a segment is deleted; -1 never.
    pub retention_ms: i64,
    /// Size of the log above which its oldest segments are deleted; -1 none.
    pub retention_bytes: i64,
    /// How long a record of a compacted topic may stay uncompacted; bounds `segment_ms` there.
    pub max_compaction_lag_ms: i64,
    /// How long a record of a compacted topic stays uncompacted at least.
    pub min_compaction_lag_ms: i64,
    /// The part of a compacted log that is dirty, from 0 to 1, above which it is cleaned.
    pub min_cleanable_dirty_ratio: f64,
    /// How long tombstones and markers stay after they were first compacted.
    pub delete_retention_ms: i64,
    /// How long a deleted segment's files stay under their `.deleted` names, for readers that still need them.
    pub file_delete_delay_ms: i64,
    /// Whether a new segment file gets its full size at once.
    pub preallocate: bool,
    /// Largest batch that producers may append, as sent.
    pub max_message_bytes: u32,
    /// Records after which a flush is due.
    pub flush_messages: i64,
    /// Time after which a flush is due.
    pub flush_ms: i64,
    /// Idle time after which a producer's sequence state is forgotten (`producer.id.expiration.ms` of the broker).
    pub producer_id_expiration_ms: i64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 * 1024 * 1024,
            cleanup_delete: true,
            cleanup_compact: false,
            retention_ms: 7 * 24 * 60 * 60 * 1000,
            retention_bytes: -1,
            max_compaction_lag_ms: i64::MAX,
            min_compaction_lag_ms: 0,
            min_cleanable_dirty_ratio: 0.5,
            delete_retention_ms: 24 * 60 * 60 * 1000,
            file_delete_delay_ms: 60_000,
            preallocate: false,
            max_message_bytes: 1024 * 1024 + 12,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            producer_id_expiration_ms: 24 * 60 * 60 * 1000,
        }
    }
}

impl LogConfig {
    /// The age at which the active segment is rolled, before jitter.
    pub(super) fn roll_ms(&self) -> i64 {
        // The cleaner does not touch the active segment, so the lag can only be kept by rolling in time (KIP-354).
        if self.cleanup_compact { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }

    /// The part of [`Self::roll_ms`] that the segment at `base_offset` of the partition named `name` is rolled earlier.
    ///
    /// Kafka draws a random number; a hash of the names spreads as well and is the same after a restart.
    pub(super) fn roll_jitter_ms(&self, name: &str, base_offset: i64) -> i64 {
        let bound = self.segment_jitter_ms.min(self.segment_ms);
        if bound <= 0 {
            return 0;
        }
        // FNV-1a, 64 bits.
        let bytes = name.bytes().chain(base_offset.to_be_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        // The upper half: the lower bits of FNV depend on few input bits. Both fit: 33 bits, and a remainder of an i64.
        (hash >> 31) as i64 % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_bound_and_spreads() {
        let config = LogConfig { segment_jitter_ms: 1000, ..LogConfig::default() };
        let drawn: Vec<i64> = (0..200).map(|p| config.roll_jitter_ms(&format!("t-{p}"), 0)).collect();
        assert!(drawn.iter().all(|j| (0..1000).contains(j)), "{drawn:?}");
        assert!(drawn.iter().any(|j| *j < 250) && drawn.iter().any(|j| *j > 750), "{drawn:?}");
        assert_eq!(LogConfig::default().roll_jitter_ms("t-0", 0), 0);
        let short = LogConfig { segment_jitter_ms: i64::MAX, segment_ms: 10, ..LogConfig::default() };
        assert!((0..10).contains(&short.roll_jitter_ms("t-0", 5)), "never more than segment.ms");
    }

    #[test]
    fn a_compacted_log_rolls_within_its_lag() {
        let lag = LogConfig { cleanup_compact: true, max_compaction_lag_ms: 5, ..LogConfig::default() };
        assert_eq!(lag.roll_ms(), 5);
        assert_eq!(LogConfig { cleanup_compact: false, ..lag }.roll_ms(), 604_800_000);
    }
}
