//! The form of all coordinators' records: an i16 that names the kind in front of the key, an i16 version in front of the
//! value, a null value for what is gone.

use bytes::Bytes;
use thiserror::Error;

use super::effects::Record;
use crate::protocol::codec::MAX_STRING_BYTES;
use crate::protocol::{DecodeError, Message, Reader, Wire, Writer};

/// Why a record makes no sense.
#[derive(Debug, Error)]
#[error("malformed record of kind {kind}")]
pub(in crate::broker) struct MalformedRecord {
    /// What its key says it is; -1 if not even that can be read.
    kind: i16,
    #[source]
    source: DecodeError,
}

/// Has `read` take in a record: its kind, what follows in the key, and the value.
///
/// # Errors
/// `read` could not.
pub(in crate::broker) fn read_kind<E>(
    record: &Record,
    read: impl FnOnce(i16, &mut Reader<'_>, Option<&Bytes>) -> Result<E, DecodeError>,
) -> Result<E, MalformedRecord> {
    let mut key = Reader::new(&record.key);
    let kind = i16::read(&mut key, 0).map_err(|source| MalformedRecord { kind: -1, source })?;
    read(kind, &mut key, record.value.as_ref()).map_err(|source| MalformedRecord { kind, source })
}

/// Reads a value.
///
/// # Errors
/// The bytes are not of it.
pub(in crate::broker) fn read_value<M: Message>(bytes: &Bytes) -> Result<M, DecodeError> {
    let mut r = Reader::new(bytes);
    let version = i16::read(&mut r, 0)?;
    M::decode(&mut r, version)
}

/// Reads a value that may be gone.
///
/// # Errors
/// The bytes are not of it.
pub(in crate::broker) fn read_if_there<M: Message>(value: Option<&Bytes>) -> Result<Option<M>, DecodeError> {
    value.map(read_value).transpose()
}

/// A record; without a value it says that something is gone.
pub(in crate::broker) fn record<K: Message, V: Message>(key: &K, value: Option<&V>, version: i16) -> Record {
    Record { key: key_bytes(key), value: value.map(|value| value_bytes(value, version)) }
}

/// The bytes of a key.
pub(in crate::broker) fn key_bytes<M: Message>(key: &M) -> Bytes {
    prefixed(M::KEY, key, 0)
}

/// The bytes of a value.
pub(in crate::broker) fn value_bytes<M: Message>(value: &M, version: i16) -> Bytes {
    prefixed(version, value, version)
}

/// Encoding can only fail for values that no request can bring: strings beyond what a request may hold, lengths beyond
/// 2 GiB. Such a value is not written at all rather than written wrong.
fn prefixed<M: Message>(prefix: i16, message: &M, version: i16) -> Bytes {
    const { assert!(MAX_STRING_BYTES <= i16::MAX as usize) };
    let mut w = Writer::new();
    w.raw(&prefix.to_be_bytes());
    match message.encode(&mut w, version) {
        Ok(()) => w.into_bytes(),
        Err(error) => {
            tracing::error!(%error, "a coordinator's record can't be written");
            Bytes::new()
        }
    }
}
