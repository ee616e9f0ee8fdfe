//! Why bytes can't be read, and why a message can't be written.

use thiserror::Error;

use super::MAX_DECODED_BYTES;

/// Why bytes are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("{needed} bytes needed where {left} are left")]
    Truncated {
        /// Bytes that the value would take.
        needed: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// An array announces more elements than the rest of the bytes could hold.
    #[error("an array of {count} elements in {left} bytes")]
    ImpossibleCount {
        /// The announced count.
        count: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// Null, or a negative length, where a value must stand.
    #[error("null where it is not allowed")]
    UnexpectedNull,
    /// A variable-length integer of more than five bytes.
    #[error("a varint of more than 32 bits")]
    VarintTooLong,
    /// A string longer than [`MAX_STRING_BYTES`](super::MAX_STRING_BYTES).
    #[error("a string of {0} bytes")]
    StringTooLong(usize),
    /// A tagged field in a version that does not have it.
    #[error("tag {0} in a version without it")]
    MisplacedTag(u32),
    /// A tagged field whose size is not that of its value.
    #[error("tag {tag} announces {announced} bytes and has {actual}")]
    TagSize {
        /// Number of the tag.
        tag: u32,
        /// Its announced size.
        announced: usize,
        /// What reading its value took.
        actual: usize,
    },
    /// Decoding would take more than [`MAX_DECODED_BYTES`].
    #[error("the message would take more than {MAX_DECODED_BYTES} bytes in memory")]
    TooLarge,
    /// A version that the message does not have.
    #[error("{name} has no version {version}")]
    UnknownVersion {
        /// The message.
        name: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// An API key that no table has.
    #[error("no API has key {0}")]
    UnknownApi(i16),
    /// Bytes after the end of the message.
    #[error("{0} bytes after the end of the message")]
    TrailingBytes(usize),
}

/// Why a message can't be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A field is set that the version lacks, and leaving it out would change the meaning.
    #[error("{field} can't be said in version {version}")]
    FieldNotInVersion {
        /// Struct and field.
        field: &'static str,
        /// The version to write.
        version: i16,
    },
    /// Null in a field that must have a value in this version.
    #[error("{0} must not be null")]
    UnexpectedNull(&'static str),
    /// A string, array or blob longer than its length field can say.
    #[error("a value of length {0} is too long")]
    TooLong(usize),
    /// A version that the message does not have.
    #[error("{name} has no version {version}")]
    UnknownVersion {
        /// The message.
        name: &'static str,
        /// The version asked for.
        version: i16,
    },
}

impl EncodeError {
    pub(crate) fn field_not_in_version(field: &'static str, version: i16) -> Self {
        Self::FieldNotInVersion { field, version }
    }
}
