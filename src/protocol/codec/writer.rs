//! Writing values into the pieces of a frame.

use bytes::{BufMut, Bytes, BytesMut};

use super::{EncodeError, MAX_STRING_BYTES, RawTaggedField, Wire};

/// Records at least this long are passed on as they are instead of being copied into the frame's buffer.
const SHARE_FROM_BYTES: usize = 1024;

/// Room for what most frames have beside their records.
const FRAME_CAPACITY: usize = 256;

/// Collects the bytes of a frame; long records stay the pieces they are.
#[derive(Debug, Default)]
pub struct Writer {
    done: Vec<Piece>,
    done_bytes: usize,
    current: BytesMut,
    pub(super) flexible: bool,
}

#[derive(Debug)]
enum Piece {
    Own(BytesMut),
    Shared(Bytes),
}

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
