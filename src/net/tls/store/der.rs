//! Walks through DER, the encoding of keys, certificates and PKCS#12 files (X.690).
//!
//! Lengths are checked against the bytes that are there; nothing is copied. Indefinite lengths, which DER has not, are
//! refused.

use super::StoreError;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_ID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// `[0]`, with something inside.
pub(crate) const CONTEXT_0: u8 = 0xa0;
/// `[3]`, with something inside.
pub(crate) const CONTEXT_3: u8 = 0xa3;
/// `[0]`, bytes.
pub(crate) const CONTEXT_0_BYTES: u8 = 0x80;

/// What is left of a run of elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Der<'a> {
    rest: &'a [u8],
}

/// One element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    /// What is inside.
    pub(crate) content: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
}

impl<'a> Der<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever it is.
    pub(crate) fn next(&mut self) -> Result<Element<'a>, StoreError> {
        let broken = StoreError::Malformed("an element of it does not end where it says");
        let whole = self.rest;
        let (&tag, rest) = whole.split_first().ok_or_else(|| broken.clone())?;
        let (&first, mut rest) = rest.split_first().ok_or_else(|| broken.clone())?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or_else(|| broken.clone())?;
            if bytes.is_empty() || bytes.len() > 4 {
                return Err(broken);
            }
            rest = after;
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        };
        let (content, after) = rest.split_at_checked(length).ok_or_else(|| broken.clone())?;
        self.rest = after;
        let whole = whole.get(..whole.len() - after.len()).ok_or(broken)?;
        Ok(Element { tag, content, whole })
    }

    /// What is inside of the next element, which is of this kind.
    pub(crate) fn take(&mut self, tag: u8) -> Result<&'a [u8], StoreError> {
        let element = self.next()?;
        if element.tag == tag { Ok(element.content) } else { Err(StoreError::Malformed("an element of it is odd")) }
    }

    /// The next element, whose inside are elements.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Der<'a>, StoreError> {
        self.take(tag).map(Der::new)
    }

    /// The next element, if it is of this kind.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, StoreError> {
        if self.peek() == Some(tag) { self.take(tag).map(Some) } else { Ok(None) }
    }

    /// A number that is not negative and not large.
    pub(crate) fn number(&mut self) -> Result<u32, StoreError> {
        let bytes = self.take(INTEGER)?;
        let bytes = if let [0, rest @ ..] = bytes { rest } else { bytes };
        if bytes.len() > 4 {
            return Err(StoreError::Malformed("a number of it is out of range"));
        }
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_and_their_ends_are_checked() {
        let mut der = Der::new(&[0x30, 0x05, 0x02, 0x01, 0x07, 0x04, 0x00, 0x05, 0x00]);
        let mut inner = der.enter(SEQUENCE).unwrap();
        assert_eq!(inner.number().unwrap(), 7);
        assert_eq!(inner.optional(CONTEXT_0).unwrap(), None);
        assert_eq!(inner.take(OCTET_STRING).unwrap(), b"");
        assert!(inner.is_empty());
        assert_eq!(der.next().unwrap().whole, [5, 0]);
        for bytes in [&[0x30][..], &[0x30, 1], &[0x30, 0x80, 0, 0], &[0x30, 0x85, 0, 0, 0, 0, 1, 0], &[0x30, 0x81]] {
            assert!(Der::new(bytes).next().is_err(), "{bytes:?}");
        }
    }
}
