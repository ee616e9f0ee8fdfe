//! The LZ4 frame format as Kafka uses it: one frame of independent blocks.
//!
//! Written: blocks of 64 KiB, no checksums, no content size. Read: any block size, block checksums verified, content
//! size and content checksum skipped as Kafka's reader does. Blocks that depend on each other are refused, also as
//! Kafka's reader does. What follows the frame's end is not looked at.

use std::io;

use lz4_flex::block::{self, DecompressError};

use super::{Lz4Header, StepError};

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
/// Version 1, independent blocks, nothing optional.
const FLG: u8 = 0x60;
/// Blocks of at most 64 KiB.
const BD: u8 = 0x40;
const BLOCK_LEN: usize = 64 * 1024;
/// Set in a block's size when the block is stored as it is.
const STORED: u32 = 0x8000_0000;

const FLG_VERSION: u8 = 0xc0;
const FLG_INDEPENDENT: u8 = 0x20;
const FLG_BLOCK_CHECKSUM: u8 = 0x10;
const FLG_CONTENT_SIZE: u8 = 0x08;
/// One bit without a meaning, and the dictionary id, which Kafka does not know.
const FLG_RESERVED: u8 = 0x03;

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[FLG, BD, header_checksum(&[FLG, BD])]);
    for block in input.chunks(BLOCK_LEN) {
        let at = out.len();
        out.resize(at + 4 + block::get_maximum_output_size(block.len()), 0);
        let Some((size, place)) = out.get_mut(at..).and_then(|place| place.split_first_chunk_mut::<4>()) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let written = block::compress_into(block, place).map_err(io::Error::other)?;
        if written < block.len() {
            *size = (written as u32).to_le_bytes();
            out.truncate(at + 4 + written);
        } else {
            *size = (block.len() as u32 | STORED).to_le_bytes();
            out.truncate(at + 4);
            out.extend_from_slice(block);
        }
    }
    out.extend_from_slice(&[0; 4]);
    Ok(())
}

/// The blocks of a frame that are still to be read.
pub(super) struct Frame<'a> {
    rest: &'a [u8],
    max_block_len: usize,
    block_checksums: bool,
}

impl<'a> Frame<'a> {
    pub(super) fn new(input: &'a [u8], header: Lz4Header) -> Result<Self, StepError> {
        let mut rest = input;
        if take::<4>(&mut rest)? != MAGIC {
            return Err(StepError::damaged("not an lz4 frame"));
        }
        let descriptor = rest;
        let [flg, bd] = take::<2>(&mut rest)?;
        if flg & FLG_VERSION != 0x40 || flg & FLG_RESERVED != 0 || bd & 0x8f != 0 {
            return Err(StepError::damaged("lz4 frame is of an unknown version"));
        }
        if flg & FLG_INDEPENDENT == 0 {
            return Err(StepError::damaged("lz4 frame has blocks that depend on each other"));
        }
        let max_block_len = match bd >> 4 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return Err(StepError::damaged("lz4 frame has an unknown block size")),
        };
        if flg & FLG_CONTENT_SIZE != 0 {
            take::<8>(&mut rest)?;
        }
        let descriptor = descriptor.get(..descriptor.len() - rest.len()).unwrap_or_default();
        let [checksum] = take::<1>(&mut rest)?;
        if header == Lz4Header::Checked && checksum != header_checksum(descriptor) {
            return Err(StepError::damaged("lz4 frame has a wrong header checksum"));
        }
        Ok(Self { rest, max_block_len, block_checksums: flg & FLG_BLOCK_CHECKSUM != 0 })
    }

    pub(super) fn step(&mut self, out: &mut Vec<u8>, room: usize) -> Result<bool, StepError> {
        let size = u32::from_le_bytes(take::<4>(&mut self.rest)?);
        if size == 0 {
            return Ok(false);
        }
        let length = (size & !STORED) as usize;
        if length > self.max_block_len {
            return Err(StepError::damaged("lz4 block is larger than the frame allows"));
        }
        let (block, rest) = self.rest.split_at_checked(length).ok_or_else(cut)?;
        self.rest = rest;
        if self.block_checksums && u32::from_le_bytes(take::<4>(&mut self.rest)?) != xxh32(block) {
            return Err(StepError::damaged("lz4 block has a wrong checksum"));
        }
        if size & STORED != 0 {
            if block.len() > room {
                return Err(StepError::TooLarge);
            }
            super::reserve(out, block.len(), room);
            out.extend_from_slice(block);
            return Ok(true);
        }
        // A block makes at most 255 bytes of one, so a small one gets a small place, whatever the frame announced.
        let largest = self.max_block_len.min(block.len().saturating_mul(255));
        let place = largest.min(room);
        let at = out.len();
        super::reserve(out, place, room);
        out.resize(at + place, 0);
        match block::decompress_into(block, out.get_mut(at..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(at + written);
                Ok(true)
            }
            Err(DecompressError::OutputTooSmall { .. }) if place < largest => Err(StepError::TooLarge),
            Err(error) => Err(StepError::Damaged(io::Error::new(io::ErrorKind::InvalidData, error))),
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], StepError> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or_else(cut)?;
    *rest = left;
    Ok(*taken)
}

fn cut() -> StepError {
    StepError::damaged("lz4 frame is cut short")
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    (xxh32(descriptor) >> 8) as u8
}

/// xxHash of 32 bits with seed 0, the checksum of the frame format.
fn xxh32(input: &[u8]) -> u32 {
    const P1: u32 = 0x9e37_79b1;
    const P2: u32 = 0x85eb_ca77;
    const P3: u32 = 0xc2b2_ae3d;
    const P4: u32 = 0x27d4_eb2f;
    const P5: u32 = 0x1656_67b1;
    let mut rest = input;
    let mut hash = if input.len() < 16 {
        P5
    } else {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, 0u32.wrapping_sub(P1)];
        while let Some((stripe, left)) = rest.split_first_chunk::<16>() {
            rest = left;
            for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<4>().0) {
                *lane = lane.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(P2)).rotate_left(13).wrapping_mul(P1);
            }
        }
        lanes.into_iter().zip([1, 7, 12, 18]).fold(0u32, |sum, (lane, turn)| sum.wrapping_add(lane.rotate_left(turn)))
    };
    hash = hash.wrapping_add(input.len() as u32);
    while let Some((word, left)) = rest.split_first_chunk::<4>() {
        rest = left;
        hash = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(P3)).rotate_left(17).wrapping_mul(P4);
    }
    for &byte in rest {
        hash = hash.wrapping_add(u32::from(byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(P3);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
    use std::io::{Read as _, Write as _};

    use super::super::{Codec, compress, decompress};
    use super::*;

    fn sample() -> Vec<u8> {
        (0..200_000u32).map(|i| (i / 3 % 251) as u8).collect()
    }

    fn frame(info: FrameInfo) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&sample()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn known_hashes() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"a"), 0x550d_7456);
        assert_eq!(xxh32(b"abc"), 0x32d1_53ff);
        assert_eq!(xxh32(b"Nobody inspects the spammish repetition"), 0xe229_3b2f);
        assert_eq!(header_checksum(&[FLG, BD]), 0x82);
    }

    #[test]
    fn another_reader_understands_our_frames() {
        for input in [sample(), vec![], (0..70_000).map(|_| fastrand::u8(..)).collect()] {
            let packed = compress(Codec::Lz4.into(), &input).unwrap();
            let mut out = Vec::new();
            FrameDecoder::new(&packed[..]).read_to_end(&mut out).unwrap();
            assert_eq!(out, input);
        }
    }

    #[test]
    fn frames_of_other_writers_are_read() {
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            let info = FrameInfo::new()
                .block_size(size)
                .block_mode(BlockMode::Independent)
                .block_checksums(true)
                .content_checksum(true)
                .content_size(Some(200_000));
            assert_eq!(decompress(Codec::Lz4, &frame(info), 200_000).unwrap(), sample());
        }
    }

    #[test]
    fn dependent_blocks_are_refused() {
        let packed = frame(FrameInfo::new().block_mode(BlockMode::Linked));
        assert!(decompress(Codec::Lz4, &packed, 200_000).is_err());
    }

    #[test]
    fn checksums_are_verified() {
        let mut packed = frame(FrameInfo::new().block_checksums(true));
        packed[500] ^= 1;
        assert!(decompress(Codec::Lz4, &packed, 200_000).is_err());
        let mut packed = frame(FrameInfo::new());
        packed[6] ^= 1;
        assert!(decompress(Codec::Lz4, &packed, 200_000).is_err());
    }
}
