//! `.log` and `.checkpoint` files: batches, and the records in them.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;

use super::report::{Disagreement, Report};
use super::{Kind, LogOptions, base_offset};
use crate::log::check::FileReader;
use crate::metadata::ControlRecord;
use crate::metadata::checkpoint::{BOOTSTRAP_FILE, CheckpointId};
use crate::protocol::Json;
use crate::protocol::json::JsonObject;
use crate::record::{
    Attributes, BatchHeader, Codec, HEADER_LEN, LOG_OVERHEAD, LogEntry, MAGIC_V2, NO_TIMESTAMP, OldEntry, OwnedRecord,
    PREFIX_LEN, TimestampType,
};

/// Smallest size field that Kafka's reader takes for one.
const MIN_SIZE_FIELD: i32 = 14;
/// A batch of more bytes, or with more once decompressed, can't be read here; brokers take far less.
const MAX_BATCH_BYTES: usize = 512 << 20;

/// Prints a file.
///
/// # Errors
/// What ends Kafka's tool too: a file that can't be read, or damage that hides where the next batch is.
pub(super) fn dump(file: &Path, kind: Kind, options: &LogOptions, report: &mut Report<'_>) -> anyhow::Result<()> {
    heading(file, kind, report)?;
    let mut reader = FileReader::open(file)?;
    let end = options.max_bytes.map_or(reader.size(), |max| reader.size().min(max));
    let mut position = 0;
    let mut last_offset = -1;
    let rest = loop {
        match Batch::read(&mut reader, position, end)? {
            Next::Batch(batch) => {
                batch.print(&mut reader, report)?;
                let mut records = 0;
                if options.deep {
                    records = batch
                        .print_records(&mut reader, options, &mut last_offset, report)
                        .with_context(|| format!("{}: the batch at byte {position} can't be read", file.display()))?;
                }
                report.advance(records, batch.size)?;
                position += batch.size;
            }
            Next::End(reason) => break reason,
            Next::NotABatch(size) => {
                report.damage(position, format_args!("record size {size} is smaller than any record"))?;
                bail!("{} can't be read from byte {position} on", file.display());
            }
        }
    };
    if position < end && options.max_bytes.is_none() {
        let left = end - position;
        let name = file.file_name().unwrap_or_default().display();
        report.line(format_args!("Found {left} invalid bytes at the end of {name}"))?;
        report.damage(position, format_args!("{rest}, {left} bytes at the end are no whole batch"))?;
    }
    Ok(())
}

fn heading(file: &Path, kind: Kind, report: &mut Report<'_>) -> anyhow::Result<()> {
    if kind == Kind::Log {
        let start = base_offset(file)?;
        report.line(format_args!("Log starting offset: {start}"))?;
        report.entry("start", |object| object.field("startOffset", &start, 0))?;
    } else if file.file_name() == Some(OsStr::new(BOOTSTRAP_FILE)) {
        report.line("KRaft bootstrap snapshot")?;
        report.entry("bootstrap", |_| {})?;
    } else {
        let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let Some(CheckpointId { end_offset, epoch }) = CheckpointId::from_file_name(name) else {
            bail!("the name of {} is not that of a snapshot, <offset>-<epoch>.checkpoint", file.display());
        };
        report.line(format_args!("Snapshot end offset: {end_offset}, epoch: {epoch}"))?;
        report.entry("snapshot", |object| {
            object.field("endOffset", &end_offset.get(), 0);
            object.field("epoch", &epoch.get(), 0);
        })?;
    }
    Ok(())
}

/// What is at a position of a log file.
pub(super) enum Next {
    Batch(Batch),
    /// Nothing more, or the beginning of a batch that is not whole.
    End(&'static str),
    /// A size that no batch has.
    NotABatch(i32),
}

/// A batch, or a message of a format before Kafka 0.11, as its header describes it.
pub(super) struct Batch {
    position: u64,
    size: u64,
    magic: i8,
    offset: i64,
    crc: u32,
    /// Of magic 2 (and of what claims to be later).
    header: Option<BatchHeader>,
    attributes: Attributes,
    max_timestamp: i64,
}

impl Batch {
    /// Looks at the batch at `position`.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn read(reader: &mut FileReader, position: u64, end: u64) -> anyhow::Result<Next> {
        // Kafka's reader wants one byte more than there has to be, which no batch lacks.
        if position + PREFIX_LEN as u64 >= end {
            return Ok(Next::End("not even a header"));
        }
        let mut head = [0; HEADER_LEN];
        let found = reader.bytes(position, HEADER_LEN)?;
        let found_len = found.len();
        for (to, from) in head.iter_mut().zip(found) {
            *to = *from;
        }
        if found_len < PREFIX_LEN {
            return Ok(Next::End("the file has become shorter"));
        }
        let size_field = i32::from_be_bytes(part(&head, 8));
        let Some(size) = u64::try_from(size_field).ok().filter(|_| size_field >= MIN_SIZE_FIELD) else {
            return Ok(Next::NotABatch(size_field));
        };
        let size = size + LOG_OVERHEAD as u64;
        if position + size > end {
            return Ok(Next::End("the last batch is cut"));
        }
        let [magic] = part::<1>(&head, 16);
        let magic = magic as i8;
        let header = if magic < MAGIC_V2 { None } else { Some(header_of(head)?) };
        let attributes = match &header {
            Some(header) => header.attributes,
            None => Attributes(i16::from(part::<1>(&head, 17)[0])),
        };
        let max_timestamp = match &header {
            Some(header) => header.max_timestamp,
            None if magic == 1 => i64::from_be_bytes(part(&head, 18)),
            None => NO_TIMESTAMP,
        };
        Ok(Next::Batch(Self {
            position,
            size,
            magic,
            offset: i64::from_be_bytes(part(&head, 0)),
            crc: u32::from_be_bytes(part(&head, if header.is_some() { 17 } else { 12 })),
            header,
            attributes,
            max_timestamp,
        }))
    }

    /// Offset of its last record.
    pub(super) fn last_offset(&self) -> i64 {
        self.header.map_or(self.offset, |header| header.last_offset().get())
    }

    /// The position after it.
    pub(super) fn end(&self) -> u64 {
        self.position + self.size
    }

    fn timestamp_type(&self) -> &'static str {
        match self.attributes.timestamp_type() {
            _ if self.magic == 0 => "NoTimestampType",
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        }
    }

    fn is_sound(&self, reader: &mut FileReader) -> anyhow::Result<bool> {
        let end = self.end();
        if self.header.is_none() {
            // CRC-32 of everything after it.
            let mut crc = flate2::Crc::new();
            reader.pieces(self.position + 16, end, |piece| crc.update(piece))?;
            return Ok(crc.sum() == self.crc);
        }
        let mut crc = 0;
        reader.pieces(self.position + 21, end, |piece| crc = crc32c::crc32c_append(crc, piece))?;
        Ok(self.size >= HEADER_LEN as u64 && crc == self.crc)
    }

    fn print(&self, reader: &mut FileReader, report: &mut Report<'_>) -> anyhow::Result<()> {
        let codec = match self.attributes.codec() {
            Ok(codec) => codec,
            Err(error) => {
                report.damage(self.position, &error)?;
                return Err(error.into());
            }
        };
        let is_sound = self.is_sound(reader)?;
        if report.is_text() {
            self.print_line(codec, is_sound, report)?;
        } else {
            report.entry("batch", |object| self.fill(codec, is_sound, object))?;
        }
        if !is_sound {
            let (from, to) = (self.header.map_or(self.offset, |header| header.base_offset.get()), self.last_offset());
            report.damage(self.position, format_args!("wrong checksum in the batch of offsets {from} to {to}"))?;
        }
        Ok(())
    }

    fn print_line(&self, codec: Codec, is_sound: bool, report: &mut Report<'_>) -> std::io::Result<()> {
        let start = match &self.header {
            Some(header) => format!(
                "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} \
                 producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {}",
                header.base_offset,
                header.last_offset(),
                header.record_count,
                header.base_sequence,
                header.last_sequence(),
                header.producer_id,
                header.producer_epoch,
                header.partition_leader_epoch,
                self.attributes.is_transactional(),
                self.attributes.is_control(),
                optional_long(header.delete_horizon_ms()),
            ),
            None => format!("offset: {}", self.offset),
        };
        report.line(format_args!(
            "{start} position: {} {}: {} size: {} magic: {} compresscodec: {codec} crc: {} isvalid: {is_sound}",
            self.position,
            self.timestamp_type(),
            self.max_timestamp,
            self.size,
            self.magic,
            self.crc,
        ))
    }

    fn fill(&self, codec: Codec, is_sound: bool, object: &mut JsonObject<'_>) {
        match &self.header {
            Some(header) => {
                object.field("baseOffset", &header.base_offset.get(), 0);
                object.field("lastOffset", &header.last_offset().get(), 0);
                object.field("count", &header.record_count, 0);
                object.field("baseSequence", &header.base_sequence, 0);
                object.field("lastSequence", &header.last_sequence(), 0);
                object.field("producerId", &header.producer_id.get(), 0);
                object.field("producerEpoch", &header.producer_epoch, 0);
                object.field("partitionLeaderEpoch", &header.partition_leader_epoch.get(), 0);
                object.field("isTransactional", &self.attributes.is_transactional(), 0);
                object.field("isControl", &self.attributes.is_control(), 0);
                object.field("deleteHorizonMs", &header.delete_horizon_ms(), 0);
            }
            None => object.field("lastOffset", &self.offset, 0),
        }
        object.field("position", &self.position, 0);
        object.field("timestampType", self.timestamp_type(), 0);
        object.field("maxTimestamp", &self.max_timestamp, 0);
        object.field("size", &self.size, 0);
        object.field("magic", &self.magic, 0);
        object.field("codec", codec.name(), 0);
        object.field("crc", &self.crc, 0);
        object.field("isValid", &is_sound, 0);
    }

    /// Hands every record to `each`, with checksum and whether that is right where it has one of its own (old formats).
    ///
    /// # Errors
    /// The records can't be read; those before the damage were handed on.
    pub(super) fn records(
        &self,
        reader: &mut FileReader,
        mut each: impl FnMut(&OwnedRecord, Option<(u32, bool)>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        if size > MAX_BATCH_BYTES {
            bail!("a batch of {size} bytes is more than can be read");
        }
        let bytes = Bytes::copy_from_slice(reader.bytes(self.position, size)?);
        let (entry, _) = LogEntry::new(&bytes)?;
        let mut sums = match &entry {
            LogEntry::Batch(_) => Vec::new(),
            LogEntry::Old(message) => checksums(message)?,
        }
        .into_iter();
        for record in entry.owned_records(&bytes, MAX_BATCH_BYTES)? {
            each(&record?, sums.next())?;
        }
        Ok(())
    }

    fn print_records(
        &self,
        reader: &mut FileReader,
        options: &LogOptions,
        last_offset: &mut i64,
        report: &mut Report<'_>,
    ) -> anyhow::Result<u64> {
        let mut count = 0;
        let mut line = Vec::new();
        self.records(reader, |record, checksum| {
            count += 1;
            let offset = record.offset.get();
            if offset != last_offset.wrapping_add(1) {
                report.disagree(Disagreement::NotConsecutive, *last_offset, offset)?;
            }
            *last_offset = offset;
            let control = self.attributes.is_control().then(|| Control::read(record)).transpose()?;
            let contents = match options.contents && control.is_none() {
                true => options.decoder.decode(record)?,
                false => (None, None),
            };
            if report.is_text() {
                line.clear();
                let mut prefix = "| ";
                if options.metadata {
                    self.write_metadata(record, checksum, control.as_ref(), &mut line)?;
                    prefix = " ";
                }
                for (name, content) in [("key", &contents.0), ("payload", &contents.1)] {
                    if let Some(content) = content {
                        write!(line, "{prefix}{name}: ")?;
                        content.print(&mut line)?;
                        prefix = " ";
                    }
                }
                report.raw_line(&line)?;
            } else {
                report.entry("record", |object| {
                    if options.metadata {
                        self.fill_metadata(record, checksum, control.as_ref(), object);
                    }
                    if options.contents && control.is_none() {
                        object.field("key", &contents.0, 0);
                        object.field("value", &contents.1, 0);
                    }
                })?;
            }
            Ok(())
        })?;
        Ok(count)
    }

    fn write_metadata(
        &self,
        record: &OwnedRecord,
        checksum: Option<(u32, bool)>,
        control: Option<&Control>,
        line: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        write!(
            line,
            "| offset: {} {}: {} keySize: {} valueSize: {}",
            record.offset,
            self.timestamp_type(),
            record.timestamp,
            size_of(record.key.as_ref()),
            size_of(record.value.as_ref()),
        )?;
        if self.header.is_some() {
            let keys: Vec<_> = record.headers.iter().map(|header| String::from_utf8_lossy(&header.key)).collect();
            write!(line, " sequence: {} headerKeys: [{}]", record.sequence, keys.join(","))?;
        }
        if let Some((crc, is_sound)) = checksum {
            write!(line, " isValid: {is_sound} crc: {crc}")?;
        }
        match control {
            None => Ok(()),
            Some(Control::EndTxn { kind, coordinator_epoch }) => {
                write!(line, " endTxnMarker: {kind} coordinatorEpoch: {coordinator_epoch}")
            }
            // Kafka has a colon after this one alone.
            Some(Control::Message { kind: kind @ "LeaderChange", json }) => write!(line, " {kind}: {json}"),
            Some(Control::Message { kind, json }) => write!(line, " {kind} {json}"),
            Some(Control::Unknown(kind)) => write!(line, " controlType: UNKNOWN({kind})"),
        }
    }

    fn fill_metadata(
        &self,
        record: &OwnedRecord,
        checksum: Option<(u32, bool)>,
        control: Option<&Control>,
        object: &mut JsonObject<'_>,
    ) {
        object.field("offset", &record.offset.get(), 0);
        object.field("timestamp", &record.timestamp, 0);
        object.field("keySize", &size_of(record.key.as_ref()), 0);
        object.field("valueSize", &size_of(record.value.as_ref()), 0);
        if self.header.is_some() {
            let keys: Vec<_> =
                record.headers.iter().map(|header| String::from_utf8_lossy(&header.key).into_owned()).collect();
            object.field("sequence", &record.sequence, 0);
            object.field("headerKeys", &keys, 0);
        }
        if let Some((crc, is_sound)) = checksum {
            object.field("crc", &crc, 0);
            object.field("isValid", &is_sound, 0);
        }
        match control {
            None => {}
            Some(Control::EndTxn { kind, coordinator_epoch }) => {
                object.field("control", *kind, 0);
                object.field("coordinatorEpoch", coordinator_epoch, 0);
            }
            Some(Control::Message { kind, json }) => {
                object.field("control", *kind, 0);
                object.raw("data", json);
            }
            Some(Control::Unknown(kind)) => object.field("control", kind, 0),
        }
    }
}

/// What a control record says.
enum Control {
    EndTxn { kind: &'static str, coordinator_epoch: i32 },
    Message { kind: &'static str, json: String },
    Unknown(i16),
}

impl Control {
    fn read(record: &OwnedRecord) -> anyhow::Result<Self> {
        fn shown<M: crate::protocol::Message + Json>(kind: &'static str, version: i16, message: &M) -> Control {
            Control::Message { kind, json: message.to_json(version.clamp(M::VERSIONS.min, M::VERSIONS.max)) }
        }
        let read = ControlRecord::read(record.key.as_deref(), record.value.clone());
        Ok(match read.with_context(|| format!("control record at offset {}", record.offset))? {
            ControlRecord::LeaderChange(message) => shown("LeaderChange", message.version, &message),
            ControlRecord::SnapshotHeader(message) => shown("SnapshotHeader", message.version, &message),
            ControlRecord::SnapshotFooter(message) => shown("SnapshotFooter", message.version, &message),
            ControlRecord::KRaftVersion(message) => shown("KRaftVersion", message.version, &message),
            ControlRecord::Voters(message) => shown("KRaftVoters", message.version, &message),
            ControlRecord::Unknown(kind @ (0 | 1)) => {
                let epoch = record.value.as_deref().and_then(|value| value.get(2..)?.first_chunk().copied());
                let Some(epoch) = epoch else { bail!("marker at offset {} without coordinator epoch", record.offset) };
                let kind = if kind == 0 { "ABORT" } else { "COMMIT" };
                Self::EndTxn { kind, coordinator_epoch: i32::from_be_bytes(epoch) }
            }
            ControlRecord::Unknown(kind) => Self::Unknown(kind),
        })
    }
}

/// Checksum of each message in a message of an old format, and whether it is right.
fn checksums(message: &OldEntry<'_>) -> anyhow::Result<Vec<(u32, bool)>> {
    if message.codec()? == Codec::None {
        return Ok(vec![(message.crc(), message.verify_crc().is_ok())]);
    }
    let set = message.decompressed_set(MAX_BATCH_BYTES)?;
    let mut sums = Vec::new();
    let mut rest = set.as_slice();
    while !rest.is_empty() {
        let (inner, left) = OldEntry::new(rest)?;
        sums.push((inner.crc(), inner.verify_crc().is_ok()));
        rest = left;
    }
    Ok(sums)
}

/// The header of a batch, whatever its magic says, as Kafka reads it.
fn header_of(mut head: [u8; HEADER_LEN]) -> anyhow::Result<BatchHeader> {
    head[16] = MAGIC_V2 as u8;
    let smallest = (HEADER_LEN - LOG_OVERHEAD) as i32;
    let size = i32::from_be_bytes(part(&head, 8)).max(smallest);
    for (to, from) in head.iter_mut().skip(8).zip(size.to_be_bytes()) {
        *to = from;
    }
    Ok(BatchHeader::parse(&head)?)
}

fn part<const N: usize>(head: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    head.get(at..).and_then(|rest| rest.first_chunk().copied()).unwrap_or([0; N])
}

fn size_of(bytes: Option<&Bytes>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

/// An optional number as Java prints it.
pub(super) fn optional_long(value: Option<i64>) -> String {
    value.map_or_else(|| "OptionalLong.empty".to_owned(), |value| format!("OptionalLong[{value}]"))
}
