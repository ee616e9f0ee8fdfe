//! What can be wrong with record batches, by what the reader of the bytes would do about it.

use super::Codec;

/// Why a piece of log, a batch or a record could not be read or built.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bytes end before the batch does: the tail of a cut answer, or a torn write.
    #[error("record batch is cut short: {needed} bytes needed, {available} there")]
    Truncated {
        /// Bytes that the batch takes, as far as its start tells.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// The size field can't be true.
    #[error("record batch size field {size} is below the smallest batch")]
    InvalidSize {
        /// The field as it stands: bytes after it.
        size: i32,
    },
    /// The batch has another format than the one asked for: magic 0 or 1 (before Kafka 0.11), or none there is.
    #[error("record batch of magic {magic} where magic 2 is needed")]
    UnsupportedMagic {
        /// Byte 16 of the batch.
        magic: i8,
    },
    /// The checksum does not fit the bytes.
    #[error("record batch is corrupt: crc {stored:#010x} stored, {computed:#010x} computed")]
    CrcMismatch {
        /// Checksum in the batch.
        stored: u32,
        /// Checksum of the bytes.
        computed: u32,
    },
    /// The attributes name a codec that does not exist.
    #[error("unknown compression codec {id}")]
    UnknownCodec {
        /// The codec bits of the attributes.
        id: u8,
    },
    /// The codec refused to compress; only a wrong level does that.
    #[error("could not compress records with {codec}")]
    Compress {
        /// The codec in use.
        codec: Codec,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// The compressed block is damaged or uses what Kafka does not allow.
    #[error("could not decompress records with {codec}")]
    Decompress {
        /// The codec in use.
        codec: Codec,
        /// What is wrong.
        #[source]
        source: std::io::Error,
    },
    /// The decompressed records are larger than the reader allows: a decompression bomb, or too small a limit.
    #[error("decompressed records take more than {limit} bytes")]
    DecompressedTooLarge {
        /// The reader's limit.
        limit: usize,
    },
    /// The records do not follow the format.
    #[error("record {index} of the batch: {defect}")]
    InvalidRecord {
        /// Position of the record in its batch, from 0.
        index: usize,
        /// What is wrong with it.
        defect: RecordDefect,
    },
    /// The batch says how many records it holds, and holds another number.
    #[error("record batch of {expected} records ends after {found}")]
    TooFewRecords {
        /// The count in the header.
        expected: i32,
        /// Records that are there.
        found: usize,
    },
    /// Bytes follow the last record of the batch.
    #[error("{left} bytes follow the last record of the batch")]
    TrailingBytes {
        /// How many.
        left: usize,
    },
    /// An entry of magic 0 or 1 does not follow its format.
    #[error("message of magic {magic}: {defect}")]
    InvalidOldMessage {
        /// Byte 16 of the message.
        magic: i8,
        /// What is wrong with it.
        defect: OldMessageDefect,
    },
    /// The batch being built can't hold one record more: its sizes or offsets would leave 31 bits.
    #[error("the record does not fit the batch any more")]
    BatchFull,
}

/// How a record of format v2 breaks the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordDefect {
    /// The bytes end inside it.
    #[error("it is cut short")]
    Truncated,
    /// A variable-length number is longer than its type allows.
    #[error("a number in it is too long")]
    Varint,
    /// Its length is negative.
    #[error("its length is negative")]
    Length,
    /// Its fields take more or fewer bytes than its length says.
    #[error("its fields do not fill its length")]
    LengthMismatch,
    /// The key's length is below -1.
    #[error("the length of its key is below -1")]
    KeyLength,
    /// The value's length is below -1.
    #[error("the length of its value is below -1")]
    ValueLength,
    /// The number of headers is negative, or the bytes can't hold that many.
    #[error("the number of its headers is impossible")]
    HeaderCount,
    /// The length of a header's key is negative (it can't be null), or that of its value is below -1.
    #[error("the length of a header is impossible")]
    HeaderLength,
}

/// How a message of format v0 or v1 breaks the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OldMessageDefect {
    /// Its fields take more or fewer bytes than its size says.
    #[error("its fields do not fill its size")]
    SizeMismatch,
    /// The length of key or value is below -1.
    #[error("a length in it is below -1")]
    Length,
    /// A compressed message without a value, or without messages in it.
    #[error("the compressed set is empty")]
    EmptyWrapper,
    /// The compressed set ends inside a message.
    #[error("the compressed set is cut short")]
    TruncatedWrapper,
    /// A message within a compressed set is compressed too.
    #[error("a compressed set within a compressed set")]
    NestedWrapper,
    /// A message within a compressed set is of another format than the set.
    #[error("a message within it is of another format")]
    MixedMagic,
    /// A codec that its format did not know.
    #[error("its codec is of a later format")]
    Codec,
}
