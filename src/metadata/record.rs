//! One record of `__cluster_metadata`: its frame and its kind.
//!
//! | field | form |
//! |---|---|
//! | frame version | uvarint, 1 |
//! | kind | uvarint |
//! | version | uvarint |
//! | message | flexible encoding, to the end of the record's value |

use bytes::Bytes;
use thiserror::Error;

use super::features::MetadataVersion;
use crate::protocol::messages::{
    AbortTransactionRecord, AccessControlEntryRecord, BeginTransactionRecord, BrokerRegistrationChangeRecord,
    ClearElrRecord, ClientQuotaRecord, ConfigRecord, DelegationTokenRecord, EndTransactionRecord, FeatureLevelRecord,
    FenceBrokerRecord, NoOpRecord, PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord,
    RegisterControllerRecord, RemoveAccessControlEntryRecord, RemoveDelegationTokenRecord, RemoveTopicRecord,
    RemoveUserScramCredentialRecord, TopicRecord, UnfenceBrokerRecord, UnregisterBrokerRecord,
    UserScramCredentialRecord, ZkMigrationStateRecord,
};
use crate::protocol::{DecodeError, EncodeError, Json as _, Message, Reader, Writer};

/// The only version of the frame.
const FRAME_VERSION: u32 = 1;

/// Why a record's value is not a metadata record that this release knows.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The frame is of a version to come.
    #[error("metadata record with frame version {0}, known is {FRAME_VERSION}")]
    UnknownFrame(u32),
    /// A kind that no table has: written by a later release.
    #[error("metadata record of unknown kind {0}")]
    UnknownKind(u32),
    /// The frame is cut.
    #[error("metadata record without a whole frame")]
    Frame(#[source] DecodeError),
    /// A control record without version and type in its key.
    #[error("control record without a key")]
    ControlKey,
    /// The message is not one of its kind and version.
    #[error("{kind} that can't be read")]
    Malformed {
        /// Name of the kind.
        kind: &'static str,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
}

macro_rules! kinds {
    ($($kind:ident($message:ident),)*) => {
        /// A record of cluster metadata.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs, reason = "named and documented as Kafka's tables are")]
        pub enum MetadataRecord {
            $($kind($message),)*
        }

        impl MetadataRecord {
            /// The number of each kind.
            #[cfg(test)]
            pub(super) const KINDS: &[i16] = &[$($message::KEY,)*];

            /// Name of its kind, as Kafka's tables have it.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $message::NAME,)*
                }
            }

            fn key(&self) -> i16 {
                match self {
                    $(Self::$kind(_) => $message::KEY,)*
                }
            }

            fn decode(key: u32, r: &mut Reader<'_>, version: i16) -> Result<Self, RecordError> {
                match i16::try_from(key) {
                    $(Ok($message::KEY) => $message::decode(r, version)
                        .map(Self::$kind)
                        .map_err(|source| RecordError::Malformed { kind: $message::NAME, source }),)*
                    _ => Err(RecordError::UnknownKind(key)),
                }
            }

            /// Itself as JSON, with the fields of this version, as Kafka's tools print it.
            #[must_use]
            pub fn to_json(&self, version: i16) -> String {
                match self {
                    $(Self::$kind(message) => message.to_json(version),)*
                }
            }

            fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
                match self {
                    $(Self::$kind(message) => message.encode(w, version),)*
                }
            }
        }

        $(impl From<$message> for MetadataRecord {
            fn from(message: $message) -> Self {
                Self::$kind(message)
            }
        })*
    };
}

kinds! {
    RegisterBroker(RegisterBrokerRecord),
    UnregisterBroker(UnregisterBrokerRecord),
    Topic(TopicRecord),
    Partition(PartitionRecord),
    Config(ConfigRecord),
    PartitionChange(PartitionChangeRecord),
    FenceBroker(FenceBrokerRecord),
    UnfenceBroker(UnfenceBrokerRecord),
    RemoveTopic(RemoveTopicRecord),
    DelegationToken(DelegationTokenRecord),
    UserScramCredential(UserScramCredentialRecord),
    FeatureLevel(FeatureLevelRecord),
    ClientQuota(ClientQuotaRecord),
    ProducerIds(ProducerIdsRecord),
    BrokerRegistrationChange(BrokerRegistrationChangeRecord),
    AccessControlEntry(AccessControlEntryRecord),
    RemoveAccessControlEntry(RemoveAccessControlEntryRecord),
    NoOp(NoOpRecord),
    ZkMigrationState(ZkMigrationStateRecord),
    RemoveUserScramCredential(RemoveUserScramCredentialRecord),
    BeginTransaction(BeginTransactionRecord),
    EndTransaction(EndTransactionRecord),
    AbortTransaction(AbortTransactionRecord),
    RemoveDelegationToken(RemoveDelegationTokenRecord),
    RegisterController(RegisterControllerRecord),
    ClearElr(ClearElrRecord),
}

impl MetadataRecord {
    /// Reads the value of a record of the metadata log.
    ///
    /// # Errors
    /// It is of a kind or version that this release does not know, or damaged. Skipping it would lose metadata, so the
    /// caller stops.
    pub fn read(value: &Bytes) -> Result<Self, RecordError> {
        Self::read_with_version(value).map(|(record, _)| record)
    }

    /// As [`Self::read`], with the version that the record was written in.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_with_version(value: &Bytes) -> Result<(Self, i16), RecordError> {
        let mut r = Reader::new(value);
        let frame = r.uvarint().map_err(RecordError::Frame)?;
        if frame != FRAME_VERSION {
            return Err(RecordError::UnknownFrame(frame));
        }
        let key = r.uvarint().map_err(RecordError::Frame)?;
        let version = r.uvarint().map_err(RecordError::Frame)?;
        // A version beyond 16 bits exists in no table either.
        let version = i16::try_from(version).unwrap_or(i16::MAX);
        let record = Self::decode(key, &mut r, version)?;
        match r.left() {
            0 => Ok((record, version)),
            left => Err(RecordError::Malformed { kind: record.kind(), source: DecodeError::TrailingBytes(left) }),
        }
    }

    /// The value of the record that Kafka writes at this level of `metadata.version`.
    ///
    /// # Errors
    /// A field is set that the level does not have.
    pub fn write(&self, level: MetadataVersion) -> Result<Bytes, EncodeError> {
        self.write_version(self.version_at(level))
    }

    pub(super) fn write_version(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        w.uvarint(FRAME_VERSION);
        for number in [self.key(), version] {
            w.uvarint(u32::try_from(number).unwrap_or_default());
        }
        self.encode(&mut w, version)?;
        Ok(w.into_bytes())
    }

    fn version_at(&self, level: MetadataVersion) -> i16 {
        match self {
            Self::RegisterBroker(_) => level.register_broker_record(),
            Self::Partition(_) | Self::PartitionChange(_) => level.partition_record(),
            // Kafka writes the lowest version that can say the change.
            Self::BrokerRegistrationChange(change) if change.cordoned_log_dirs.is_some() => 3,
            Self::BrokerRegistrationChange(change) if !change.log_dirs.is_empty() => 2,
            Self::BrokerRegistrationChange(change) if change.in_controlled_shutdown != 0 => 1,
            _ => 0,
        }
    }
}
