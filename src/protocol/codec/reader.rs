//! Reading values from a frame.

use bytes::Bytes;

use super::{DecodeError, MAX_DECODED_BYTES, MAX_STRING_BYTES, RawTaggedField, Wire};

/// Reads values from a frame.
#[derive(Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    position: usize,
    pub(super) flexible: bool,
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

    pub(super) fn array_of<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
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
