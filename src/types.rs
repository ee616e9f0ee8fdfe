//! The identifiers that all modules share. Each is its own type, so that an offset can't stand where an epoch belongs.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The bare number, as it stands on the wire and on disk.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }

            /// Wraps a number read from the wire or from disk.
            #[must_use]
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

number! {
    /// Position of a record in its partition's log; also used for ends (exclusive) such as the high watermark.
    Offset(i64)
}
number! {
    /// Number of a partition within its topic, from 0.
    PartitionId(i32)
}
number! {
    /// Id of a broker or controller; -1 means none.
    NodeId(i32)
}
number! {
    /// Counts the leaderships of a partition (KIP-101); -1 means unknown or unchecked.
    LeaderEpoch(i32)
}
number! {
    /// Id of an idempotent or transactional producer (KIP-98); -1 means none.
    ProducerId(i64)
}

number! {
    /// How a producer's transactions work: a level of the feature `transaction.version`.
    TransactionVersion(i16)
}

impl TransactionVersion {
    /// As in KIP-98: epochs grow when a producer is replaced.
    pub const V0: Self = Self(0);
    /// The same, with room for more in the records of `__transaction_state`.
    pub const V1: Self = Self(1);
    /// As in KIP-890: the epoch grows with every transaction, and partitions join one by being written to.
    pub const V2: Self = Self(2);

    /// Whether the epoch grows with every transaction.
    #[must_use]
    pub const fn bumps_epochs(self) -> bool {
        self.0 >= Self::V2.0
    }
}

impl Offset {
    /// The first offset of every log.
    pub const ZERO: Self = Self(0);

    /// The offset `count` records further on.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

impl LeaderEpoch {
    /// No epoch: not known, or not to be checked.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// No producer id: a batch without idempotence.
    pub const NONE: Self = Self(-1);
}

/// A 128-bit id of a topic, cluster, directory or member, written as 22 characters of URL-safe base64 (Kafka's `Uuid`).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// All zero: "none". As a directory id: "migrating".
    pub const ZERO: Self = Self([0; 16]);
    /// The topic id of `__cluster_metadata`. As a directory id: "unassigned".
    pub const METADATA_TOPIC: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// Draws a random id (RFC 9562 version 4) that is none of Kafka's reserved ones and whose text does not start with
    /// a dash, which command lines would take for an option.
    #[must_use]
    pub fn random() -> Self {
        loop {
            let mut bytes = [0u8; 16];
            if getrandom::fill(&mut bytes).is_err() {
                // The kernel's source is closed to us (a sandbox): ids must differ, not be secret.
                fastrand::fill(&mut bytes);
            }
            bytes[6] = (bytes[6] & 0x0f) | 0x40;
            bytes[8] = (bytes[8] & 0x3f) | 0x80;
            let id = Self(bytes);
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    /// Reads the 22-character form (padding is tolerated); `None` if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The last character has 4 bits more than the id. Java's decoder does not look at them, so ids that somebody made
        // up work with Kafka.
        const LENIENT: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));
        let bytes = LENIENT.decode(text.trim_end_matches('=')).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Whether this is the "none" id.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// A partition by its topic's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition within it.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: impl Into<PartitionId>) -> Self {
        Self { topic: topic.into(), partition: partition.into() }
    }
}

impl fmt::Display for TopicPartition {
    /// As Kafka writes it and names the partition's directory: `topic-3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_is_kafkas() {
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = Uuid::random();
        assert_eq!(Uuid::parse(&id.to_string()), Some(id));
        assert_eq!(Uuid::parse("AAAAAAAAAAAAAAAAAAAAAf"), Some(Uuid::METADATA_TOPIC));
        assert_eq!(Uuid::parse("short"), None);
        assert_eq!(Uuid::parse("not/base64/for/urls!!!"), None);
    }

    #[test]
    fn partitions_print_as_directories_are_named() {
        assert_eq!(TopicPartition::new("a-b", 7).to_string(), "a-b-7");
    }
}
