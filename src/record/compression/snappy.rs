//! Snappy in the stream format of snappy-java, which all Kafka clients write: the 8 bytes `82 "SNAPPY" 00`, i32
//! version 1, i32 lowest compatible version 1, then blocks, each an i32 length and a raw snappy block. All big-endian.
//!
//! A bare raw block without any framing is read too, since some clients write that; so is one stream after another.

use std::io;

use super::StepError;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const VERSION: u32 = 1;
const HEADER_LEN: usize = 16;
/// Uncompressed bytes of a block, as Kafka's own writer cuts them.
const BLOCK_LEN: usize = 32 * 1024;

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = snap::raw::Encoder::new();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    for block in input.chunks(BLOCK_LEN) {
        let at = out.len();
        out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
        let Some((length, place)) = out.get_mut(at..).and_then(|place| place.split_first_chunk_mut::<4>()) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let written = encoder.compress(block, place)?;
        *length = (written as u32).to_be_bytes();
        out.truncate(at + 4 + written);
    }
    Ok(())
}

/// The blocks that are still to be read.
pub(super) enum Blocks<'a> {
    /// Of a stream, after its header.
    Framed(&'a [u8]),
    /// One raw block.
    Bare(&'a [u8]),
}

impl<'a> Blocks<'a> {
    pub(super) fn new(input: &'a [u8]) -> Result<Self, StepError> {
        if input.starts_with(&MAGIC) { Ok(Self::Framed(after_header(input)?)) } else { Ok(Self::Bare(input)) }
    }

    pub(super) fn step(&mut self, out: &mut Vec<u8>, room: usize) -> Result<bool, StepError> {
        match self {
            Self::Bare(block) => {
                decompress_block(std::mem::take(block), out, room)?;
                Ok(false)
            }
            Self::Framed(rest) => {
                if rest.is_empty() {
                    return Ok(false);
                }
                if rest.starts_with(&MAGIC) {
                    *rest = after_header(rest)?;
                    return Ok(true);
                }
                let (length, blocks) = rest.split_first_chunk::<4>().ok_or(CUT)?;
                let length = u32::from_be_bytes(*length) as usize;
                let (block, left) = blocks.split_at_checked(length).ok_or(CUT)?;
                *rest = left;
                decompress_block(block, out, room)?;
                Ok(true)
            }
        }
    }
}

/// The stream ends within a block or its header.
const CUT: Cut = Cut;
struct Cut;

impl From<Cut> for StepError {
    fn from(_: Cut) -> Self {
        Self::damaged("snappy stream is cut short")
    }
}

fn after_header(input: &[u8]) -> Result<&[u8], StepError> {
    let (header, rest) = input.split_first_chunk::<HEADER_LEN>().ok_or(CUT)?;
    // A later version says here that readers of version 1 need not try.
    let compatible = header.last_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    if compatible > VERSION {
        return Err(StepError::damaged("snappy stream is of a later version"));
    }
    Ok(rest)
}

fn decompress_block(block: &[u8], out: &mut Vec<u8>, room: usize) -> Result<(), StepError> {
    let length = snap::raw::decompress_len(block).map_err(io::Error::from)?;
    // The block's claim is believed only as far as its bytes could make it true: three make at most 64.
    if length > (block.len() / 3 + 1) * 64 {
        return Err(StepError::damaged("snappy block can't have the size it claims"));
    }
    if length > room {
        return Err(StepError::TooLarge);
    }
    let at = out.len();
    super::reserve(out, length, room);
    out.resize(at + length, 0);
    let written =
        snap::raw::Decoder::new().decompress(block, out.get_mut(at..).unwrap_or_default()).map_err(io::Error::from)?;
    out.truncate(at + written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Codec, compress, decompress};

    #[test]
    fn a_bare_block_is_read() {
        let block = snap::raw::Encoder::new().compress_vec(b"bare bare bare bare").unwrap();
        assert_eq!(decompress(Codec::Snappy, &block, 100).unwrap(), b"bare bare bare bare");
    }

    #[test]
    fn blocks_hold_32_kib_each() {
        let packed = compress(Codec::Snappy.into(), &[7; 70_000]).unwrap();
        assert_eq!(packed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
        let mut rest = &packed[16..];
        let mut sizes = Vec::new();
        while let Some((length, blocks)) = rest.split_first_chunk::<4>() {
            let (block, left) = blocks.split_at(u32::from_be_bytes(*length) as usize);
            sizes.push(snap::raw::decompress_len(block).unwrap());
            rest = left;
        }
        assert_eq!(sizes, [32_768, 32_768, 4464]);
    }

    #[test]
    fn a_claimed_size_takes_no_memory() {
        // A raw block of 6 bytes that claims 4 GiB less one.
        assert!(decompress(Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0], usize::MAX).is_err());
        // A stream with a block length past its end, and one of a later version.
        assert!(decompress(Codec::Snappy, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\x7f\xff\xff\xff\0", 100).is_err());
        assert!(decompress(Codec::Snappy, b"\x82SNAPPY\0\0\0\0\x02\0\0\0\x02", 100).is_err());
    }
}
