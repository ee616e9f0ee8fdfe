//! The file of a recording, version 1. `docs/recording.md` describes it.
//!
//! ```text
//! "KAFKAREC" | version u16 | frame...          frame: kind u8 | length u32 | crc32c u32 | body
//! ```
//! Integers are big-endian; the CRC is over kind, length and body. Written and read from front to back, so a pipe will do.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use bytes::Bytes;
use serde_json::{Value, json};
use thiserror::Error;

use crate::client::ConsumerRecord;
use crate::record::{
    BatchBuilder, BatchOptions, Compression, Header, LOG_OVERHEAD, NewRecord, OwnedRecord, RecordBatch, RecordError,
    TimestampType,
};
use crate::types::Offset;

const MAGIC: &[u8; 8] = b"KAFKAREC";
const VERSION: u16 = 1;
const DESCRIPTION: u8 = 1;
const CHUNK: u8 = 2;
const END: u8 = 3;
/// More than a chunk with the largest record that Kafka can hold.
const LARGEST_FRAME: u32 = i32::MAX.unsigned_abs();
/// Most bytes that one batch may unpack to.
const UNPACK_LIMIT: usize = 512 << 20;
/// A chunk is closed when its records are so large together.
const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_RECORDS: usize = 8192;

/// Why a recording can't be read or written.
#[derive(Debug, Error)]
pub(crate) enum FormatError {
    #[error("this is no recording: it does not begin with KAFKAREC")]
    NotARecording,
    #[error("this recording is of version {0}, and {VERSION} is the newest that is known here")]
    Version(u16),
    #[error("the recording is cut off after {0} whole chunks")]
    CutOff(u64),
    #[error("the recording is damaged after {0} whole chunks: {1}")]
    Damaged(u64, String),
    #[error("a record does not fit into a recording")]
    Record(#[from] RecordError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What the first frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    pub(crate) cluster_id: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) recorded_at: i64,
}

impl Description {
    fn to_json(&self) -> Value {
        json!({
            "topic": self.topic,
            "partitions": self.partitions,
            "clusterId": self.cluster_id,
            "recordedAt": self.recorded_at,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            topic: value.get("topic")?.as_str()?.to_owned(),
            partitions: i32::try_from(value.get("partitions")?.as_i64()?).ok()?,
            cluster_id: value.get("clusterId").and_then(Value::as_str).map(str::to_owned),
            recorded_at: value.get("recordedAt")?.as_i64()?,
        })
    }
}

/// A record in a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) partition: i32,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) record: OwnedRecord,
}

/// Writes a recording.
pub(crate) struct Writer<W> {
    sink: W,
    compression: Compression,
    chunk: BTreeMap<i32, Vec<ConsumerRecord>>,
    chunk_bytes: usize,
    chunk_records: usize,
    records: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    pub(crate) fn new(mut sink: W, description: &Description, compression: Compression) -> Result<Self, FormatError> {
        sink.write_all(MAGIC)?;
        sink.write_all(&VERSION.to_be_bytes())?;
        let mut writer =
            Self { sink, compression, chunk: BTreeMap::new(), chunk_bytes: 0, chunk_records: 0, records: 0 };
        writer.frame(DESCRIPTION, description.to_json().to_string().as_bytes())?;
        Ok(writer)
    }

    /// Adds a record; it is in the file when its chunk is full, or at [`Writer::end_chunk`].
    pub(crate) fn add(&mut self, record: ConsumerRecord) -> Result<(), FormatError> {
        self.chunk_bytes += crate::cli::support::size_of_record(&record);
        self.chunk_records += 1;
        self.records += 1;
        self.chunk.entry(record.partition.partition.get()).or_default().push(record);
        if self.chunk_bytes >= CHUNK_BYTES || self.chunk_records >= CHUNK_RECORDS {
            self.end_chunk()?;
        }
        Ok(())
    }

    /// Writes what waits.
    pub(crate) fn end_chunk(&mut self) -> Result<(), FormatError> {
        let chunk = std::mem::take(&mut self.chunk);
        (self.chunk_bytes, self.chunk_records) = (0, 0);
        if chunk.is_empty() {
            return Ok(());
        }
        let mut body = Vec::new();
        for (partition, records) in &chunk {
            for batch in batches(records, self.compression)? {
                body.extend_from_slice(&partition.to_be_bytes());
                body.extend_from_slice(&batch);
            }
        }
        self.frame(CHUNK, &body)?;
        self.sink.flush()?;
        Ok(())
    }

    /// Ends the recording; `complete`: it holds all that was asked for.
    pub(crate) fn end(mut self, complete: bool) -> Result<(), FormatError> {
        self.end_chunk()?;
        let end = json!({"records": self.records, "complete": complete});
        self.frame(END, end.to_string().as_bytes())?;
        self.sink.flush()?;
        Ok(())
    }

    fn frame(&mut self, kind: u8, body: &[u8]) -> Result<(), FormatError> {
        let length = u32::try_from(body.len()).ok().filter(|length| *length <= LARGEST_FRAME);
        let length = length.ok_or_else(|| io::Error::other("a chunk is larger than 2 GiB"))?;
        self.sink.write_all(&[kind])?;
        self.sink.write_all(&length.to_be_bytes())?;
        self.sink.write_all(&checksum(kind, length, body).to_be_bytes())?;
        self.sink.write_all(body)?;
        Ok(())
    }
}

fn checksum(kind: u8, length: u32, body: &[u8]) -> u32 {
    let start = crc32c::crc32c_append(crc32c::crc32c(&[kind]), &length.to_be_bytes());
    crc32c::crc32c_append(start, body)
}

/// The records of a partition as batches with their own offsets; a batch has one kind of timestamps, and offsets that
/// differ by no more than its format can say.
fn batches(records: &[ConsumerRecord], compression: Compression) -> Result<Vec<Bytes>, FormatError> {
    let mut done = Vec::new();
    let mut open: Option<(BatchBuilder, Offset, Option<i64>)> = None;
    for record in records {
        // A batch of append times has one for all its records.
        let append_time = (record.timestamp_type == Some(TimestampType::LogAppendTime)).then_some(record.timestamp);
        let delta = |base: Offset| i32::try_from(record.offset.get().checked_sub(base.get())?).ok();
        let fits = open.as_ref().and_then(|(_, base, kind)| delta(*base).filter(|_| *kind == append_time));
        let delta = match fits {
            Some(delta) => delta,
            None => {
                if let Some((builder, ..)) = open.take() {
                    done.push(builder.build()?);
                }
                let options = BatchOptions {
                    compression,
                    base_offset: record.offset,
                    log_append_time: append_time,
                    ..BatchOptions::default()
                };
                open = Some((BatchBuilder::new(options), record.offset, append_time));
                0
            }
        };
        let headers: Vec<Header<'_>> = record.headers.iter().map(|header| header.as_header()).collect();
        let new = NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        if let Some((builder, ..)) = &mut open {
            builder.append_at(delta, &new)?;
        }
    }
    if let Some((builder, ..)) = open {
        done.push(builder.build()?);
    }
    Ok(done)
}

/// What comes next in a recording.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Records in the order of time.
    Records(Vec<Recorded>),
    /// The end, and whether the recording holds all that was asked for.
    End { complete: bool },
}

/// Reads a recording.
pub(crate) struct Reader<R> {
    source: R,
    chunks: u64,
    records: u64,
}

impl<R: Read> Reader<R> {
    /// Reads how the recording begins.
    pub(crate) fn new(mut source: R) -> Result<(Self, Description), FormatError> {
        let mut start = [0; 10];
        source.read_exact(&mut start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => FormatError::NotARecording,
            _ => error.into(),
        })?;
        let (magic, version) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(FormatError::NotARecording);
        }
        let version = u16::from_be_bytes(version.try_into().unwrap_or_default());
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        let mut reader = Self { source, chunks: 0, records: 0 };
        let (kind, body) = reader.frame()?;
        let description = serde_json::from_slice(&body).ok().and_then(|value| Description::from_json(&value));
        match description {
            Some(description) if kind == DESCRIPTION => Ok((reader, description)),
            _ => Err(reader.damaged("its description can't be read")),
        }
    }

    /// The next piece; nothing may be asked for after [`Piece::End`].
    pub(crate) fn next(&mut self) -> Result<Piece, FormatError> {
        let (kind, body) = self.frame()?;
        match kind {
            CHUNK => {
                let records = self.records_of(&Bytes::from(body))?;
                self.chunks += 1;
                self.records += records.len() as u64;
                Ok(Piece::Records(records))
            }
            END => {
                let end: Value = serde_json::from_slice(&body).unwrap_or_default();
                if end.get("records").and_then(Value::as_u64) != Some(self.records) {
                    return Err(self.damaged("it does not hold as many records as it says"));
                }
                Ok(Piece::End { complete: end.get("complete").and_then(Value::as_bool).unwrap_or_default() })
            }
            kind => Err(self.damaged(&format!("a frame is of the unknown kind {kind}"))),
        }
    }

    fn damaged(&self, why: &str) -> FormatError {
        FormatError::Damaged(self.chunks, why.to_owned())
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>), FormatError> {
        let chunks = self.chunks;
        let cut_off = move |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => FormatError::CutOff(chunks),
            _ => error.into(),
        };
        let mut head = [0; 9];
        self.source.read_exact(&mut head).map_err(cut_off)?;
        let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let (length, stored) = (u32::from_be_bytes([l0, l1, l2, l3]), u32::from_be_bytes([c0, c1, c2, c3]));
        if length > LARGEST_FRAME {
            return Err(self.damaged("a frame is longer than any can be"));
        }
        // Memory grows with what is there, not with what is announced.
        let mut body = Vec::new();
        self.source.by_ref().take(u64::from(length)).read_to_end(&mut body)?;
        if body.len() as u64 != u64::from(length) {
            return Err(FormatError::CutOff(chunks));
        }
        if checksum(kind, length, &body) != stored {
            return Err(self.damaged("a checksum does not fit"));
        }
        Ok((kind, body))
    }

    fn records_of(&self, body: &Bytes) -> Result<Vec<Recorded>, FormatError> {
        let malformed = |error: RecordError| self.damaged(&error.to_string());
        let mut timed: Vec<(i64, Recorded)> = Vec::new();
        let mut latest: BTreeMap<i32, i64> = BTreeMap::new();
        let mut rest = body.clone();
        while !rest.is_empty() {
            let Some((partition, batch)) = rest.split_at_checked(4).filter(|(_, batch)| batch.len() > LOG_OVERHEAD)
            else {
                return Err(self.damaged("a batch is cut off"));
            };
            let partition = i32::from_be_bytes(partition.try_into().unwrap_or_default());
            let (batch, after) = RecordBatch::new(batch).map_err(malformed)?;
            batch.verify_crc().map_err(malformed)?;
            let timestamp_type = batch.header().attributes.timestamp_type();
            let latest = latest.entry(partition).or_insert(i64::MIN);
            for record in batch.owned_records(body, UNPACK_LIMIT).map_err(malformed)? {
                let record = record.map_err(malformed)?;
                *latest = (*latest).max(record.timestamp);
                timed.push((*latest, Recorded { partition, timestamp_type, record }));
            }
            rest = rest.slice(rest.len() - after.len()..);
        }
        // Stable: within a partition the order stays.
        timed.sort_by_key(|(time, _)| *time);
        Ok(timed.into_iter().map(|(_, record)| record).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::{Codec, OwnedHeader};
    use crate::types::{LeaderEpoch, TopicPartition};

    fn record(partition: i32, offset: i64, timestamp: i64) -> ConsumerRecord {
        ConsumerRecord {
            partition: Arc::new(TopicPartition::new("t", partition)),
            offset: Offset(offset),
            timestamp,
            timestamp_type: Some(TimestampType::CreateTime),
            leader_epoch: LeaderEpoch::NONE,
            key: (offset % 2 == 0).then(|| Bytes::from(format!("k{offset}"))),
            value: (offset % 3 != 0).then(|| Bytes::from(format!("v{offset}"))),
            headers: vec![
                OwnedHeader { key: Bytes::from("h"), value: None },
                OwnedHeader { key: Bytes::from("h"), value: Some(Bytes::from_static(&[0xff])) },
            ],
        }
    }

    fn description() -> Description {
        Description { topic: "t".into(), partitions: 3, cluster_id: None, recorded_at: 7 }
    }

    fn recording(records: &[ConsumerRecord], codec: Codec) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, &description(), Compression { codec, level: None }).unwrap();
        for record in records {
            writer.add(record.clone()).unwrap();
        }
        writer.end(true).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(Vec<Recorded>, bool), FormatError> {
        let (mut reader, found) = Reader::new(bytes)?;
        assert_eq!(found, description());
        let mut all = Vec::new();
        loop {
            match reader.next()? {
                Piece::Records(records) => all.extend(records),
                Piece::End { complete } => return Ok((all, complete)),
            }
        }
    }

    #[test]
    fn what_is_written_is_read_in_the_order_of_time() {
        let mut written: Vec<_> = (0..50).map(|n| record(n % 3, i64::from(n) * 10, 1000 + i64::from(n))).collect();
        written[7].timestamp_type = Some(TimestampType::LogAppendTime);
        // Further apart than a batch can say.
        written.push(record(0, 1 << 40, 2000));
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let (found, complete) = read(&recording(&written, codec)).unwrap();
            assert!(complete);
            assert_eq!(found.len(), written.len());
            for (found, written) in found.iter().zip(&written) {
                assert_eq!(found.partition, written.partition.partition.get());
                assert_eq!(Some(found.timestamp_type), written.timestamp_type);
                let record = &found.record;
                assert_eq!((record.offset, record.timestamp), (written.offset, written.timestamp));
                assert_eq!((&record.key, &record.value), (&written.key, &written.value));
                assert_eq!(record.headers, written.headers);
            }
        }
    }

    #[test]
    fn a_clock_that_went_back_does_not_change_the_order_of_a_partition() {
        let written = [record(0, 0, 500), record(0, 1, 100), record(1, 0, 300)];
        let (found, _) = read(&recording(&written, Codec::None)).unwrap();
        let order: Vec<_> = found.iter().map(|found| (found.partition, found.record.offset.get())).collect();
        assert_eq!(order, [(1, 0), (0, 0), (0, 1)]);
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_told() {
        let bytes = recording(&[record(0, 1, 10), record(1, 1, 11)], Codec::None);
        for cut in 0..bytes.len() {
            let error = read(&bytes[..cut]).unwrap_err();
            assert!(matches!(error, FormatError::NotARecording | FormatError::CutOff(_)), "{cut}: {error}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            assert!(read(&changed).is_err(), "a change of byte {at} goes unseen");
        }
        assert!(read(&bytes).is_ok());
    }

    #[test]
    fn a_length_is_not_believed() {
        let mut bytes = recording(&[], Codec::None)[..10].to_vec();
        bytes.extend_from_slice(&[DESCRIPTION, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, b'{']);
        assert!(matches!(Reader::new(&*bytes), Err(FormatError::CutOff(0))));
    }
}
