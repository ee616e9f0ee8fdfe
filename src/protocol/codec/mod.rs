//! The primitives of Kafka's encoding, and what all generated messages share.
//!
//! Reading never trusts a length or a count: it is checked against the bytes that are left before anything is reserved,
//! and all that one message makes the reader reserve is bounded ([`MAX_DECODED_BYTES`]). `bytes` and `records` are
//! slices of the frame, not copies. Writing collects a frame in pieces, so that records are not copied either.
//!
//! Start reading at [`Wire`] and [`Message`], then `reader.rs` and `writer.rs`; `value.rs` is what single fields hold.

mod error;
mod reader;
mod value;
mod writer;

use bytes::Bytes;

pub use error::{DecodeError, EncodeError};
pub use reader::{Reader, TagStart};
pub use writer::{Tags, Writer};

/// What the generated code needs in scope.
pub(super) mod prelude {
    pub(crate) use bytes::Bytes;

    pub(crate) use super::{
        DecodeError, EncodeError, Message, RawTaggedField, Reader, Request, Tags, VersionRange, Wire, Writer,
    };
    pub(crate) use crate::protocol::json::{Json, JsonObject};
    pub(crate) use crate::types::Uuid;
}

/// Longest string that Kafka writes or reads, in bytes of UTF-8.
pub const MAX_STRING_BYTES: usize = i16::MAX as usize;

/// Most memory that the elements of one message's arrays and strings may take beyond the frame itself. A frame of small elements grows when
/// decoded (an empty string is one byte on the wire and 24 in memory); a real request of this size does not exist.
pub const MAX_DECODED_BYTES: usize = 256 << 20;

/// Versions from `min` to `max`, both included; empty if `max < min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    /// Lowest version.
    pub min: i16,
    /// Highest version.
    pub max: i16,
}

impl VersionRange {
    /// The range `min..=max`.
    #[must_use]
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// Whether `version` lies in it.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The versions that both ranges have, if any.
    #[must_use]
    pub fn and(self, other: Self) -> Option<Self> {
        let both = Self { min: self.min.max(other.min), max: self.max.min(other.max) };
        (both.min <= both.max).then_some(both)
    }
}

/// A value with an encoding that may depend on the version of the message it stands in.
pub trait Wire: Sized {
    /// The fewest bytes that a value takes; at least 1.
    const MIN_SIZE: usize;

    /// Reads one value.
    ///
    /// # Errors
    /// The bytes are not such a value.
    fn read(r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError>;

    /// Writes the value.
    ///
    /// # Errors
    /// The value can't be said in this version.
    fn write(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// A message of the tables: a request, a response, or a record of an internal log.
pub trait Message: Wire + Default {
    /// Its name in the tables.
    const NAME: &'static str;
    /// API key or record kind; -1 without one.
    const KEY: i16;
    /// The versions that it has.
    const VERSIONS: VersionRange;
    /// The first flexible version (KIP-482), `i16::MAX` if there is none.
    const FLEXIBLE_FROM: i16;

    /// Whether `version` is a flexible one.
    #[must_use]
    fn is_flexible(version: i16) -> bool {
        version >= Self::FLEXIBLE_FROM
    }

    /// Reads the message from the start of `r`, leaving what follows it.
    ///
    /// # Errors
    /// The version does not exist or the bytes are not such a message.
    fn decode(r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(version) {
            return Err(DecodeError::UnknownVersion { name: Self::NAME, version });
        }
        r.flexible = Self::is_flexible(version);
        Self::read(r, version)
    }

    /// Reads a message that takes all of `bytes`; what is left at the end is an error.
    ///
    /// # Errors
    /// As [`Message::decode`], and [`DecodeError::TrailingBytes`].
    fn from_bytes(bytes: &Bytes, version: i16) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let message = Self::decode(&mut r, version)?;
        match r.left() {
            0 => Ok(message),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    /// Appends the message to `w`.
    ///
    /// # Errors
    /// The version does not exist or the message can't be said in it.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(version) {
            return Err(EncodeError::UnknownVersion { name: Self::NAME, version });
        }
        w.flexible = Self::is_flexible(version);
        self.write(w, version)
    }

    /// The message as one piece of bytes.
    ///
    /// # Errors
    /// As [`Message::encode`].
    fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        self.encode(&mut w, version)?;
        Ok(w.into_bytes())
    }
}

/// A request, with the response that answers it.
pub trait Request: Message {
    /// What answers it, in the same version.
    type Response: Message;
    /// The API that it calls.
    const API: super::messages::ApiKey;
}

/// A tagged field that the tables do not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTaggedField {
    /// Its number.
    pub tag: u32,
    /// Its bytes, without number and size.
    pub data: Bytes,
}
