//! Zigzag numbers of variable length, as records have them: seven bits a byte, lowest first, the top bit says "more".
//!
//! Reading advances the slice past the number. More bytes than the value needs are accepted, as Kafka does; bits that
//! do not fit the type are not.

use super::RecordDefect;

/// Most bytes of a 32-bit number.
pub const MAX_VARINT_LEN: usize = 5;
/// Most bytes of a 64-bit number.
pub const MAX_VARLONG_LEN: usize = 10;

/// Reads a 32-bit number.
///
/// # Errors
/// [`RecordDefect::Truncated`] if the bytes end first, [`RecordDefect::Varint`] if it does not fit.
#[inline(always)] // Five times a record; as a call it costs a produce of small records a quarter more.
pub fn read_varint(bytes: &mut &[u8]) -> Result<i32, RecordDefect> {
    // Nearly all numbers of a record take one byte.
    if let Some((&first, rest)) = bytes.split_first()
        && first < 0x80
    {
        *bytes = rest;
        return Ok(unzigzag32(u32::from(first)));
    }
    // Lengths from 64 bytes on take two.
    if let Some((&[first, second], rest)) = bytes.split_first_chunk()
        && second < 0x80
    {
        *bytes = rest;
        return Ok(unzigzag32(u32::from(first & 0x7f) | u32::from(second) << 7));
    }
    let raw = read_unsigned(bytes, MAX_VARINT_LEN)?;
    u32::try_from(raw).map(unzigzag32).map_err(|_| RecordDefect::Varint)
}

/// Reads a 64-bit number.
///
/// # Errors
/// As [`read_varint`].
#[inline(always)]
pub fn read_varlong(bytes: &mut &[u8]) -> Result<i64, RecordDefect> {
    if let Some((&first, rest)) = bytes.split_first()
        && first < 0x80
    {
        *bytes = rest;
        return Ok(unzigzag64(u64::from(first)));
    }
    read_unsigned(bytes, MAX_VARLONG_LEN).map(unzigzag64)
}

/// What is longer than most.
#[inline(never)]
fn read_unsigned(bytes: &mut &[u8], max_len: usize) -> Result<u64, RecordDefect> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(max_len).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * index as u32;
        if bits << shift >> shift != bits {
            return Err(RecordDefect::Varint);
        }
        value |= bits << shift;
        if byte < 0x80 {
            *bytes = bytes.get(index + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(if bytes.len() < max_len { RecordDefect::Truncated } else { RecordDefect::Varint })
}

/// Appends a 32-bit number.
#[inline]
pub fn write_varint(out: &mut Vec<u8>, value: i32) {
    write_unsigned(out, u64::from(zigzag32(value)));
}

/// Appends a 64-bit number.
#[inline]
pub fn write_varlong(out: &mut Vec<u8>, value: i64) {
    write_unsigned(out, zigzag64(value));
}

#[inline]
fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`write_varint`] takes for `value`.
#[inline]
#[must_use]
pub const fn varint_len(value: i32) -> usize {
    unsigned_len(zigzag32(value) as u64)
}

/// Bytes that [`write_varlong`] takes for `value`.
#[inline]
#[must_use]
pub const fn varlong_len(value: i64) -> usize {
    unsigned_len(zigzag64(value))
}

const fn unsigned_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

const fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

const fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

const fn unzigzag64(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_numbers() {
        for (value, bytes) in [
            (0, &[0u8][..]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            write_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(read_varint(&mut &out[..]), Ok(value));
        }
    }

    #[test]
    fn longer_than_needed_is_accepted_but_not_what_does_not_fit() {
        assert_eq!(read_varint(&mut &[0x82, 0x80, 0x80, 0x80, 0x00][..]), Ok(1));
        assert_eq!(read_varint(&mut &[0x82, 0x80, 0x80, 0x80, 0x10][..]), Err(RecordDefect::Varint));
        assert_eq!(read_varint(&mut &[0x82, 0x80, 0x80, 0x80, 0x80, 0x00][..]), Err(RecordDefect::Varint));
        assert_eq!(read_varint(&mut &[0x82, 0x80][..]), Err(RecordDefect::Truncated));
        assert_eq!(read_varint(&mut &[][..]), Err(RecordDefect::Truncated));
        assert_eq!(read_varlong(&mut &[0xff; 10][..]), Err(RecordDefect::Varint));
        let mut smallest = [0xff; 10];
        smallest[9] = 1;
        assert_eq!(read_varlong(&mut &smallest[..]), Ok(i64::MIN));
        smallest[9] = 2;
        assert_eq!(read_varlong(&mut &smallest[..]), Err(RecordDefect::Varint));
    }

    proptest! {
        #[test]
        fn varints_round_trip(value: i32, tail: Vec<u8>) {
            let mut out = Vec::new();
            write_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            out.extend_from_slice(&tail);
            let mut rest = &out[..];
            prop_assert_eq!(read_varint(&mut rest), Ok(value));
            prop_assert_eq!(rest, &tail[..]);
        }

        #[test]
        fn varlongs_round_trip(value: i64, shift in 0u32..64, tail: Vec<u8>) {
            let value = value >> shift;
            let mut out = Vec::new();
            write_varlong(&mut out, value);
            prop_assert_eq!(out.len(), varlong_len(value));
            out.extend_from_slice(&tail);
            let mut rest = &out[..];
            prop_assert_eq!(read_varlong(&mut rest), Ok(value));
            prop_assert_eq!(rest, &tail[..]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read_varint(&mut &bytes[..]);
            let _ = read_varlong(&mut &bytes[..]);
        }
    }
}
