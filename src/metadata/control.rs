//! The control records of the metadata log: who leads, who votes, where a snapshot begins and ends.
//!
//! Key: version (int16, 0) and type (int16). Value: the message in its own version, whose first field repeats it.

use bytes::{BufMut, Bytes, BytesMut};

use super::record::RecordError;
use crate::protocol::messages::{
    KRaftVersionRecord, LeaderChangeMessage, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
};
use crate::protocol::{EncodeError, Message};

/// A control record.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlRecord {
    /// A leader begins its epoch.
    LeaderChange(LeaderChangeMessage),
    /// A snapshot begins.
    SnapshotHeader(SnapshotHeaderRecord),
    /// A snapshot is whole.
    SnapshotFooter(SnapshotFooterRecord),
    /// The level of `kraft.version` (KIP-853).
    KRaftVersion(KRaftVersionRecord),
    /// The voters, from `kraft.version` 1 on.
    Voters(VotersRecord),
    /// A type to come, which readers skip.
    Unknown(i16),
}

impl ControlRecord {
    /// Reads a record of a control batch.
    ///
    /// # Errors
    /// The key is none, or the value is not of the type that it says.
    pub fn read(key: Option<&[u8]>, value: Option<Bytes>) -> Result<Self, RecordError> {
        let Some([0, _, high, low, ..]) = key else { return Err(RecordError::ControlKey) };
        let value = value.unwrap_or_default();
        Ok(match i16::from_be_bytes([*high, *low]) {
            2 => Self::LeaderChange(decode(&value)?),
            3 => Self::SnapshotHeader(decode(&value)?),
            4 => Self::SnapshotFooter(decode(&value)?),
            5 => Self::KRaftVersion(decode(&value)?),
            6 => Self::Voters(decode(&value)?),
            kind => Self::Unknown(kind),
        })
    }

    pub(super) fn key(&self) -> [u8; 4] {
        let kind = match self {
            Self::LeaderChange(_) => 2,
            Self::SnapshotHeader(_) => 3,
            Self::SnapshotFooter(_) => 4,
            Self::KRaftVersion(_) => 5,
            Self::Voters(_) => 6,
            Self::Unknown(kind) => *kind,
        };
        let [high, low] = kind.to_be_bytes();
        [0, 0, high, low]
    }

    pub(super) fn value(&self) -> Result<Bytes, EncodeError> {
        match self {
            Self::LeaderChange(message) => message.to_bytes(message.version),
            Self::SnapshotHeader(message) => message.to_bytes(message.version),
            Self::SnapshotFooter(message) => message.to_bytes(message.version),
            Self::KRaftVersion(message) => message.to_bytes(message.version),
            Self::Voters(message) => message.to_bytes(message.version),
            Self::Unknown(_) => {
                let mut empty = BytesMut::new();
                empty.put_i16(0);
                Ok(empty.freeze())
            }
        }
    }
}

/// Reads a message that begins with its own version; of a later version what this one knows of it.
fn decode<M: Message>(value: &Bytes) -> Result<M, RecordError> {
    let malformed = |source| RecordError::Malformed { kind: M::NAME, source };
    let version = match value.first_chunk::<2>() {
        Some(bytes) => i16::from_be_bytes(*bytes).min(M::VERSIONS.max),
        None => 0,
    };
    M::from_bytes(value, version).map_err(malformed)
}
