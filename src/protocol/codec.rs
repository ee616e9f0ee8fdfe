//! The primitives of Kafka's encoding, and what all generated messages share.
//!
//! Reading never trusts a length or a count: it is checked against the bytes that are left before anything is reserved,
//! and all that one message makes the reader reserve is bounded ([`MAX_DECODED_BYTES`]). `bytes` and `records` are
//! slices of the frame, not copies. Writing collects a frame in pieces, so that records are not copied either.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::types::Uuid;

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

/// Records at least this long are passed on as they are instead of being copied into the frame's buffer.
const SHARE_FROM_BYTES: usize = 1024;

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
    /// A string longer than [`MAX_STRING_BYTES`].
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

/// Reads values from a frame.
#[derive(Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    position: usize,
    flexible: bool,
    /// Memory that decoding may still take.
    budget: usize,
}

/// A tagged field that is being read.
#[derive(Debug)]
pub struct TagStart {
    tag: u32,
    starts: usize,
    size: usize,
}

impl TagStart {
    /// The field's number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.tag
    }
}

impl<'a> Reader<'a> {
    /// A reader at the start of `frame`.
    #[must_use]
    pub fn new(frame: &'a Bytes) -> Self {
        Self { frame, position: 0, flexible: false, budget: MAX_DECODED_BYTES }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.frame.len() - self.position
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn is_flexible(&self) -> bool {
        self.flexible
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let left = self.left();
        let rest = self.frame.get(self.position..).unwrap_or_default();
        let taken = rest.get(..count).ok_or(DecodeError::Truncated { needed: count, left })?;
        self.position += count;
        Ok(taken)
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| DecodeError::Truncated { needed: N, left: taken.len() })
    }

    fn slice(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        let start = self.position;
        self.take(count)?;
        Ok(self.frame.slice(start..start + count))
    }

    /// Counts memory that decoding is about to take.
    fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.budget = self.budget.checked_sub(bytes).ok_or(DecodeError::TooLarge)?;
        Ok(())
    }

    /// An unsigned variable-length integer of at most 32 bits.
    ///
    /// # Errors
    /// It is cut or longer than five bytes.
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array_of()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// A length in the form of this version: `None` is null.
    fn length(&mut self, short: bool) -> Result<Option<usize>, DecodeError> {
        if self.flexible {
            return Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize));
        }
        let length = if short { i32::from(i16::read(self, 0)?) } else { i32::read(self, 0)? };
        Ok(usize::try_from(length).ok())
    }

    fn string_of(&mut self, length: usize) -> Result<String, DecodeError> {
        if length > MAX_STRING_BYTES {
            return Err(DecodeError::StringTooLong(length));
        }
        let bytes = self.take(length)?;
        self.charge(length)?;
        // Kafka's reader replaces what is no UTF-8 and goes on.
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    pub(crate) fn nullable_string(&mut self, null_allowed: bool) -> Result<Option<String>, DecodeError> {
        match self.length(true)? {
            Some(length) => self.string_of(length).map(Some),
            None if null_allowed => Ok(None),
            None => Err(DecodeError::UnexpectedNull),
        }
    }

    /// The client id of a request header: it keeps its 16-bit length in flexible versions too.
    pub(crate) fn classic_nullable_string(&mut self, null_allowed: bool) -> Result<Option<String>, DecodeError> {
        let flexible = std::mem::replace(&mut self.flexible, false);
        let read = self.nullable_string(null_allowed);
        self.flexible = flexible;
        read
    }

    pub(crate) fn nullable_bytes(&mut self, null_allowed: bool) -> Result<Option<Bytes>, DecodeError> {
        match self.length(false)? {
            Some(length) => self.slice(length).map(Some),
            None if null_allowed => Ok(None),
            None => Err(DecodeError::UnexpectedNull),
        }
    }

    pub(crate) fn nullable_array<T: Wire>(
        &mut self,
        null_allowed: bool,
        version: i16,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.length(false)? else {
            return if null_allowed { Ok(None) } else { Err(DecodeError::UnexpectedNull) };
        };
        let left = self.left();
        if count > left / T::MIN_SIZE {
            return Err(DecodeError::ImpossibleCount { count, left });
        }
        self.charge(count.saturating_mul(size_of::<T>()))?;
        // Invariant: `count` elements of the smallest size fit into the bytes that are left.
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(self, version)?);
        }
        Ok(Some(elements))
    }

    pub(crate) fn array<T: Wire>(&mut self, version: i16) -> Result<Vec<T>, DecodeError> {
        Ok(self.nullable_array(false, version)?.unwrap_or_default())
    }

    pub(crate) fn nullable_struct<T: Wire>(
        &mut self,
        null_allowed: bool,
        version: i16,
    ) -> Result<Option<T>, DecodeError> {
        match i8::read(self, version)? {
            0.. => T::read(self, version).map(Some),
            _ if null_allowed => Ok(None),
            _ => Err(DecodeError::UnexpectedNull),
        }
    }

    pub(crate) fn nullable_tagged_struct<T: Wire>(&mut self, version: i16) -> Result<Option<T>, DecodeError> {
        match self.uvarint()? {
            0 => Ok(None),
            _ => T::read(self, version).map(Some),
        }
    }

    pub(crate) fn tag_count(&mut self) -> Result<usize, DecodeError> {
        let count = self.uvarint()? as usize;
        let left = self.left();
        if count > left / 2 {
            return Err(DecodeError::ImpossibleCount { count, left });
        }
        Ok(count)
    }

    pub(crate) fn begin_tag(&mut self) -> Result<TagStart, DecodeError> {
        let tag = self.uvarint()?;
        let size = self.uvarint()? as usize;
        if size > self.left() {
            return Err(DecodeError::Truncated { needed: size, left: self.left() });
        }
        Ok(TagStart { tag, starts: self.position, size })
    }

    pub(crate) fn unknown_tag(&mut self, tag: &TagStart) -> Result<RawTaggedField, DecodeError> {
        self.charge(size_of::<RawTaggedField>())?;
        Ok(RawTaggedField { tag: tag.tag, data: self.slice(tag.size)? })
    }

    pub(crate) fn end_tag(&mut self, tag: TagStart) -> Result<(), DecodeError> {
        let actual = self.position - tag.starts;
        if actual == tag.size {
            return Ok(());
        }
        Err(DecodeError::TagSize { tag: tag.tag, announced: tag.size, actual })
    }

    pub(crate) fn misplaced_tag(&self, tag: u32) -> DecodeError {
        DecodeError::MisplacedTag(tag)
    }
}

#[derive(Debug)]
enum Piece {
    Own(BytesMut),
    Shared(Bytes),
}

/// Collects the bytes of a frame; long records stay the pieces they are.
#[derive(Debug, Default)]
pub struct Writer {
    done: Vec<Piece>,
    done_bytes: usize,
    current: BytesMut,
    flexible: bool,
}

/// Room for what most frames have beside their records.
const FRAME_CAPACITY: usize = 256;

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer for a frame, which is sent and gone: it takes the room for most of them at once.
    #[must_use]
    pub fn for_frame() -> Self {
        Self { current: BytesMut::with_capacity(FRAME_CAPACITY), ..Self::default() }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.done_bytes + self.current.len()
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn is_flexible(&self) -> bool {
        self.flexible
    }

    /// All that was written, as one piece.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        if self.done.is_empty() {
            return self.current.freeze();
        }
        let mut whole = BytesMut::with_capacity(self.len());
        for piece in self.done.drain(..) {
            match piece {
                Piece::Own(bytes) => whole.extend_from_slice(&bytes),
                Piece::Shared(bytes) => whole.extend_from_slice(&bytes),
            }
        }
        whole.extend_from_slice(&self.current);
        whole.freeze()
    }

    /// All that was written, in pieces, led by its length as a big-endian 32-bit integer: a frame.
    ///
    /// # Errors
    /// The frame is longer than a frame can be.
    pub fn into_frame(mut self) -> Result<Vec<Bytes>, EncodeError> {
        let length = i32::try_from(self.len()).map_err(|_| EncodeError::TooLong(self.len()))?;
        let mut pieces = Vec::with_capacity(self.done.len() + 2);
        pieces.push(Bytes::copy_from_slice(&length.to_be_bytes()));
        for piece in self.done.drain(..) {
            pieces.push(match piece {
                Piece::Own(bytes) => bytes.freeze(),
                Piece::Shared(bytes) => bytes,
            });
        }
        if !self.current.is_empty() {
            pieces.push(self.current.freeze());
        }
        Ok(pieces)
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.current.put_slice(bytes);
    }

    /// Appends an unsigned variable-length integer.
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.current.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.current.put_u8(value as u8);
    }

    fn length(&mut self, length: Option<usize>, short: bool) -> Result<(), EncodeError> {
        let too_long = || EncodeError::TooLong(length.unwrap_or_default());
        if self.flexible {
            let coded = length.map_or(Some(0), |l| u32::try_from(l).ok()?.checked_add(1)).ok_or_else(too_long)?;
            self.uvarint(coded);
        } else if short {
            self.current.put_i16(length.map_or(Ok(-1), i16::try_from).map_err(|_| too_long())?);
        } else {
            self.current.put_i32(length.map_or(Ok(-1), i32::try_from).map_err(|_| too_long())?);
        }
        Ok(())
    }

    pub(crate) fn nullable_string(
        &mut self,
        value: Option<&str>,
        null_allowed: bool,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        if value.is_none() && !null_allowed {
            return Err(EncodeError::UnexpectedNull(field));
        }
        let length = value.map(str::len);
        if length.is_some_and(|l| l > MAX_STRING_BYTES) {
            return Err(EncodeError::TooLong(length.unwrap_or_default()));
        }
        self.length(length, true)?;
        self.raw(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    pub(crate) fn classic_nullable_string(&mut self, value: Option<&str>) -> Result<(), EncodeError> {
        let flexible = std::mem::replace(&mut self.flexible, false);
        let written = self.nullable_string(value, true, "ClientId");
        self.flexible = flexible;
        written
    }

    pub(crate) fn nullable_bytes(
        &mut self,
        value: Option<&[u8]>,
        null_allowed: bool,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        if value.is_none() && !null_allowed {
            return Err(EncodeError::UnexpectedNull(field));
        }
        self.length(value.map(<[u8]>::len), false)?;
        self.raw(value.unwrap_or_default());
        Ok(())
    }

    pub(crate) fn records(
        &mut self,
        value: Option<&Bytes>,
        null_allowed: bool,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        let Some(records) = value.filter(|records| records.len() >= SHARE_FROM_BYTES) else {
            return self.nullable_bytes(value.map(AsRef::as_ref), null_allowed, field);
        };
        self.length(Some(records.len()), false)?;
        let own = self.current.split();
        self.done_bytes += own.len() + records.len();
        self.done.push(Piece::Own(own));
        self.done.push(Piece::Shared(records.clone()));
        Ok(())
    }

    pub(crate) fn nullable_array<T: Wire>(
        &mut self,
        value: Option<&[T]>,
        null_allowed: bool,
        field: &'static str,
        version: i16,
    ) -> Result<(), EncodeError> {
        match value {
            Some(elements) => self.array(elements, version),
            None if null_allowed => self.length(None, false),
            None => Err(EncodeError::UnexpectedNull(field)),
        }
    }

    pub(crate) fn array<T: Wire>(&mut self, elements: &[T], version: i16) -> Result<(), EncodeError> {
        self.length(Some(elements.len()), false)?;
        elements.iter().try_for_each(|element| element.write(self, version))
    }

    pub(crate) fn nullable_struct<T: Wire>(
        &mut self,
        value: Option<&T>,
        null_allowed: bool,
        field: &'static str,
        version: i16,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => {
                self.current.put_i8(1);
                value.write(self, version)
            }
            None if null_allowed => {
                self.current.put_i8(-1);
                Ok(())
            }
            None => Err(EncodeError::UnexpectedNull(field)),
        }
    }

    pub(crate) fn nullable_tagged_struct<T: Wire>(
        &mut self,
        value: Option<&T>,
        version: i16,
    ) -> Result<(), EncodeError> {
        self.uvarint(u32::from(value.is_some()));
        value.map_or(Ok(()), |value| value.write(self, version))
    }

    pub(crate) fn unknown_tags(&mut self, unknown: &[RawTaggedField]) -> Result<(), EncodeError> {
        if unknown.is_empty() {
            self.current.put_u8(0);
            return Ok(());
        }
        Tags::new(unknown).write(self)
    }
}

/// The tagged section of one struct while it is put together: known and unknown fields, by number.
#[derive(Debug)]
pub struct Tags {
    fields: Vec<RawTaggedField>,
}

impl Tags {
    pub(crate) fn new(unknown: &[RawTaggedField]) -> Self {
        Self { fields: unknown.to_vec() }
    }

    pub(crate) fn add(
        &mut self,
        w: &Writer,
        tag: u32,
        write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut inner = Writer { flexible: w.flexible, ..Writer::default() };
        write(&mut inner)?;
        self.fields.push(RawTaggedField { tag, data: inner.into_bytes() });
        Ok(())
    }

    pub(crate) fn write(mut self, w: &mut Writer) -> Result<(), EncodeError> {
        self.fields.sort_by_key(|field| field.tag);
        w.uvarint(u32::try_from(self.fields.len()).map_err(|_| EncodeError::TooLong(self.fields.len()))?);
        for field in &self.fields {
            w.uvarint(field.tag);
            w.uvarint(u32::try_from(field.data.len()).map_err(|_| EncodeError::TooLong(field.data.len()))?);
            w.raw(&field.data);
        }
        Ok(())
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            const MIN_SIZE: usize = size_of::<$type>();

            fn read(r: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(r.array_of()?))
            }

            fn write(&self, w: &mut Writer, _: i16) -> Result<(), EncodeError> {
                w.raw(&self.to_be_bytes());
                Ok(())
            }
        }
    )*};
}

number!(i8, i16, u16, i32, u32, i64, f64);

impl Wire for bool {
    const MIN_SIZE: usize = 1;

    fn read(r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(i8::read(r, version)? != 0)
    }

    fn write(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        i8::from(*self).write(w, version)
    }
}

impl Wire for Uuid {
    const MIN_SIZE: usize = 16;

    fn read(r: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
        Ok(Self(r.array_of()?))
    }

    fn write(&self, w: &mut Writer, _: i16) -> Result<(), EncodeError> {
        w.raw(&self.0);
        Ok(())
    }
}

impl Wire for String {
    const MIN_SIZE: usize = 1;

    fn read(r: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
        Ok(r.nullable_string(false)?.unwrap_or_default())
    }

    fn write(&self, w: &mut Writer, _: i16) -> Result<(), EncodeError> {
        w.nullable_string(Some(self), true, "")
    }
}

impl Wire for Bytes {
    const MIN_SIZE: usize = 1;

    fn read(r: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
        Ok(r.nullable_bytes(false)?.unwrap_or_default())
    }

    fn write(&self, w: &mut Writer, _: i16) -> Result<(), EncodeError> {
        w.nullable_bytes(Some(self), true, "")
    }
}
