//! The codecs of record batches: none, gzip, snappy, lz4, zstd, in the framings that Kafka's clients read and write.
//!
//! Reading goes chunk by chunk and is bounded: memory follows the bytes that really come out, never a size that the
//! input claims, and ends at the caller's limit. A compressed block does not tell its size, so there is always a limit.

mod lz4;
mod snappy;
mod zstd;

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::str::FromStr;

use super::RecordError;

/// What a decoder appends in one step, as a rule: blocks of lz4 and snappy come whole, whatever their size.
const CHUNK_LEN: usize = 64 * 1024;

/// How the records of a batch are compressed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in the stream format of snappy-java ("xerial").
    Snappy,
    /// An LZ4 frame of independent blocks.
    Lz4,
    /// Zstandard frames (KIP-110).
    Zstd,
}

impl Codec {
    /// All codecs, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this number in a batch's attributes.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        Some(match id {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return None,
        })
    }

    /// Its number in a batch's attributes.
    #[must_use]
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// Its name in `compression.type` and in Kafka's tools.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a compression codec (none, gzip, snappy, lz4, zstd)")]
pub struct UnknownCodecName;

impl FromStr for Codec {
    type Err = UnknownCodecName;

    fn from_str(name: &str) -> Result<Self, UnknownCodecName> {
        Self::ALL.into_iter().find(|codec| codec.name() == name).ok_or(UnknownCodecName)
    }
}

/// A codec and how hard it works.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// gzip 1 to 9 (Kafka's default -1 means 6), zstd -131072 to 22 (3). Snappy has none; lz4 has one speed here and
    /// takes Kafka's 1 to 17 without a difference. `None`: Kafka's default.
    pub level: Option<i32>,
}

impl Compression {
    /// No compression.
    pub const NONE: Self = Self { codec: Codec::None, level: None };

    /// This codec at Kafka's default level.
    #[must_use]
    pub const fn new(codec: Codec) -> Self {
        Self { codec, level: None }
    }
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        Self::new(codec)
    }
}

/// Compresses `input`.
///
/// # Errors
/// [`RecordError::Compress`] when the codec is out of memory.
pub fn compress(compression: Compression, input: &[u8]) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::new();
    compress_into(compression, input, &mut out)?;
    Ok(out)
}

/// Compresses `input` and appends it to `out`.
///
/// # Errors
/// As [`compress`].
pub fn compress_into(compression: Compression, input: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
    let Compression { codec, level } = compression;
    match codec {
        Codec::None => {
            out.extend_from_slice(input);
            Ok(())
        }
        Codec::Gzip => gzip(level, input, out),
        Codec::Snappy => snappy::compress(input, out),
        Codec::Lz4 => lz4::compress(input, out),
        Codec::Zstd => zstd::compress(level, input, out),
    }
    .map_err(|source| RecordError::Compress { codec, source })
}

fn gzip(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let level = match level {
        Some(level @ 1..=9) => flate2::Compression::new(level.unsigned_abs()),
        _ => flate2::Compression::default(),
    };
    let mut encoder = flate2::write::GzEncoder::new(out, level);
    encoder.write_all(input)?;
    encoder.finish().map(drop)
}

/// Decompresses all of `input`, which may become at most `limit` bytes.
///
/// # Errors
/// [`RecordError::Decompress`] if it is damaged, [`RecordError::DecompressedTooLarge`].
pub fn decompress(codec: Codec, input: &[u8], limit: usize) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::new();
    decompress_into(codec, input, limit, &mut out)?;
    Ok(out)
}

/// Decompresses all of `input` into `out`, whose content is replaced; its memory is used again.
///
/// # Errors
/// As [`decompress`].
pub fn decompress_into(codec: Codec, input: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), RecordError> {
    out.clear();
    let mut decoder = Decoder::new(codec, input, limit, Lz4Header::Checked)?;
    while decoder.append_chunk(out)? {}
    Ok(())
}

/// Whether the header checksum of an lz4 frame counts: in messages of magic 0 it is wrong, because old Kafka computed
/// it over one field too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lz4Header {
    Checked,
    Unchecked,
}

/// Decompresses step by step, for readers that need not hold everything at once.
pub(super) struct Decoder<'a> {
    codec: Codec,
    stream: Stream<'a>,
    limit: usize,
    produced: usize,
}

enum Stream<'a> {
    Plain(&'a [u8]),
    // Large beside the others; there is one for a batch.
    Gzip(Box<flate2::bufread::MultiGzDecoder<&'a [u8]>>),
    Snappy(snappy::Blocks<'a>),
    Lz4(lz4::Frame<'a>),
    Zstd(zstd::Frames<'a>),
}

/// Why a codec's step failed.
enum StepError {
    /// More bytes than there is room for.
    TooLarge,
    /// Damaged.
    Damaged(io::Error),
}

impl From<io::Error> for StepError {
    fn from(error: io::Error) -> Self {
        Self::Damaged(error)
    }
}

impl StepError {
    fn damaged(what: &'static str) -> Self {
        Self::Damaged(io::Error::new(io::ErrorKind::InvalidData, what))
    }
}

impl<'a> Decoder<'a> {
    pub(super) fn new(codec: Codec, input: &'a [u8], limit: usize, lz4: Lz4Header) -> Result<Self, RecordError> {
        let stream = match codec {
            Codec::None => Ok(Stream::Plain(input)),
            Codec::Gzip => Ok(Stream::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(input)))),
            Codec::Snappy => snappy::Blocks::new(input).map(Stream::Snappy),
            Codec::Lz4 => lz4::Frame::new(input, lz4).map(Stream::Lz4),
            Codec::Zstd => zstd::Frames::new(input).map(Stream::Zstd),
        };
        match stream {
            Ok(stream) => Ok(Self { codec, stream, limit, produced: 0 }),
            Err(error) => Err(Self::explain(codec, limit, error)),
        }
    }

    /// Appends the next piece to `out`; false once all came.
    pub(super) fn append_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, RecordError> {
        let before = out.len();
        let room = self.limit.saturating_sub(self.produced);
        let more = match &mut self.stream {
            Stream::Plain(rest) => plain_step(rest, out, room),
            Stream::Gzip(stream) => gzip_step(stream, out, room),
            Stream::Snappy(stream) => stream.step(out, room),
            Stream::Lz4(stream) => stream.step(out, room),
            Stream::Zstd(stream) => stream.step(out, room),
        }
        .map_err(|error| Self::explain(self.codec, self.limit, error))?;
        self.produced += out.len() - before;
        if self.produced > self.limit {
            return Err(RecordError::DecompressedTooLarge { limit: self.limit });
        }
        Ok(more)
    }

    fn explain(codec: Codec, limit: usize, error: StepError) -> RecordError {
        match error {
            StepError::TooLarge => RecordError::DecompressedTooLarge { limit },
            StepError::Damaged(source) => RecordError::Decompress { codec, source },
        }
    }
}

fn plain_step(rest: &mut &[u8], out: &mut Vec<u8>, room: usize) -> Result<bool, StepError> {
    if rest.len() > room {
        return Err(StepError::TooLarge);
    }
    out.extend_from_slice(std::mem::take(rest));
    Ok(false)
}

fn gzip_step(
    stream: &mut flate2::bufread::MultiGzDecoder<&[u8]>,
    out: &mut Vec<u8>,
    room: usize,
) -> Result<bool, StepError> {
    let want = chunk_len(room);
    reserve(out, want, room);
    // One byte more than there is room for shows that there is too much.
    let got = stream.take(want as u64).read_to_end(out)?;
    Ok(got == want)
}

/// Bytes to ask for: a chunk, or what is still allowed and one byte, which tells "all came" from "too much".
fn chunk_len(room: usize) -> usize {
    CHUNK_LEN.min(room.saturating_add(1))
}

/// Makes place for `want` bytes more. Doubles as `Vec` does, but never reserves far past what may still come.
fn reserve(out: &mut Vec<u8>, want: usize, room: usize) {
    if out.capacity() - out.len() < want {
        out.reserve_exact(out.len().clamp(want, want.max(room.saturating_add(1))));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes with enough repetition that all codecs find some.
    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|i| if i % 7 < 4 { b'a' } else { (i * i / 11) as u8 }).collect()
    }

    #[test]
    fn names_and_numbers_are_kafkas() {
        for (id, codec) in Codec::ALL.into_iter().enumerate() {
            assert_eq!(Codec::from_id(id as u8), Some(codec));
            assert_eq!(codec.id() as usize, id);
            assert_eq!(codec.name().parse(), Ok(codec));
        }
        assert_eq!(Codec::from_id(5), None);
        assert_eq!("uncompressed".parse::<Codec>(), Err(UnknownCodecName));
    }

    #[test]
    fn every_codec_gives_back_what_it_got() {
        for codec in Codec::ALL {
            for len in [0, 1, 15, 1000, 32 * 1024, 64 * 1024, 64 * 1024 + 1, 300_000] {
                let input = sample(len);
                let packed = compress(codec.into(), &input).unwrap();
                assert_eq!(decompress(codec, &packed, len).unwrap(), input, "{codec} of {len} bytes");
            }
        }
    }

    #[test]
    fn levels_are_taken() {
        let input = sample(100_000);
        for (codec, levels) in [
            (Codec::Gzip, &[-1, 1, 9][..]),
            (Codec::Snappy, &[3]),
            (Codec::Lz4, &[1, 9, 17]),
            (Codec::Zstd, &[-131_072, 0, 1, 22]),
        ] {
            for &level in levels {
                let packed = compress(Compression { codec, level: Some(level) }, &input).unwrap();
                assert_eq!(decompress(codec, &packed, input.len()).unwrap(), input, "{codec} at {level}");
            }
        }
    }

    #[test]
    fn one_byte_over_the_limit_is_refused() {
        for codec in Codec::ALL {
            for len in [1, 32 * 1024, 64 * 1024, 200_000] {
                let packed = compress(codec.into(), &sample(len)).unwrap();
                assert!(
                    matches!(
                        decompress(codec, &packed, len - 1),
                        Err(RecordError::DecompressedTooLarge { limit }) if limit == len - 1
                    ),
                    "{codec} of {len} bytes"
                );
            }
        }
    }

    /// Goal: a bomb costs its limit in memory and no more.
    #[test]
    fn a_bomb_takes_no_more_memory_than_the_limit_allows() {
        let zeros = vec![0; 64 << 20];
        let limit = 1 << 20;
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let packed = compress(codec.into(), &zeros).unwrap();
            let mut out = Vec::new();
            assert!(matches!(
                decompress_into(codec, &packed, limit, &mut out),
                Err(RecordError::DecompressedTooLarge { .. })
            ));
            assert!(out.capacity() <= limit + 2 * CHUNK_LEN, "{codec} reserved {}", out.capacity());
        }
    }

    #[test]
    fn a_cut_block_is_refused() {
        for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
            let packed = compress(codec.into(), &sample(5000)).unwrap();
            for cut in 1..packed.len() {
                let result = decompress(codec, &packed[..cut], 5000);
                assert!(matches!(result, Err(RecordError::Decompress { .. })), "{codec} cut at {cut}");
            }
        }
    }

    #[test]
    fn several_members_or_frames_are_read_as_one() {
        for codec in [Codec::Gzip, Codec::Zstd, Codec::Snappy] {
            let mut packed = compress(codec.into(), b"one ").unwrap();
            packed.extend(compress(codec.into(), b"two").unwrap());
            assert_eq!(decompress(codec, &packed, 100).unwrap(), b"one two", "{codec}");
        }
    }

    proptest! {
        #[test]
        fn damage_never_panics(
            codec in prop::sample::select(&Codec::ALL[1..]),
            len in 0usize..3000,
            place: prop::sample::Index,
            flip in 1u8..,
            cut: prop::sample::Index,
        ) {
            let mut packed = compress(codec.into(), &sample(len)).unwrap();
            let place = place.index(packed.len());
            packed[place] ^= flip;
            packed.truncate(cut.index(packed.len() + 1));
            if let Ok(out) = decompress(codec, &packed, 10_000) {
                prop_assert!(out.len() <= 10_000);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(codec in prop::sample::select(&Codec::ALL[..]), input: Vec<u8>) {
            if let Ok(out) = decompress(codec, &input, 10_000) {
                prop_assert!(out.len() <= 10_000);
            }
        }
    }
}
