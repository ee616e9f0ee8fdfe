//! The values of one field: numbers, strings, ids and bytes.

use bytes::Bytes;

use super::{DecodeError, EncodeError, Reader, Wire, Writer};
use crate::types::Uuid;

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
