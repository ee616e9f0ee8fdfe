//! Reading keys and values: by what topic they are of, or by a decoder class of Kafka's.

use std::io::Write;

use bytes::Bytes;

use crate::cli::support::coordinator_records::{self, CoordinatorTopic, MemberBytes, NotOfTopic};
use crate::cli::support::remote_log_records::RemoteLogRecord;
use crate::cli::support::{Hinted, java};
use crate::metadata::MetadataRecord;
use crate::protocol::Json;
use crate::record::OwnedRecord;

/// The class that is meant when none is named.
pub(super) const DEFAULT_CLASS: &str = "org.apache.kafka.tools.api.StringDecoder";

/// Where decoder classes are today,
pub(super) const PACKAGE: &str = "org.apache.kafka.tools.api.";
/// and where they were in Kafka 3.
pub(super) const OLD_PACKAGE: &str = "kafka.serializer.";

/// How records are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decoder {
    /// By classes.
    Classes {
        /// Of keys.
        key: ClassDecoder,
        /// Of values.
        value: ClassDecoder,
    },
    /// As records of a coordinator's topic.
    Coordinator(CoordinatorTopic),
    /// As records of `__cluster_metadata`.
    ClusterMetadata,
    /// As records of `__remote_log_metadata`.
    RemoteLogMetadata,
}

/// The decoder classes that come with Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClassDecoder {
    String,
    Bytes,
    Long,
    Integer,
}

/// A key or value that was read.
#[derive(Debug, PartialEq)]
pub(super) enum Decoded {
    /// Text; bytes that are none become replacement characters, as in Java.
    Text(String),
    /// Bytes as they are.
    Bytes(Bytes),
    /// A number.
    Number(i64),
    /// JSON.
    Json(String),
}

/// Why a record can't be shown, which ends the dump as it ends Kafka's.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    /// A coordinator's record always has a key.
    #[error("the record at offset {0} has no key: it is not of the topic that the decoder is for")]
    NoKey(i64),
    /// The number is of another size.
    #[error("the record at offset {offset} has {found} bytes where the decoder needs {wanted}")]
    Size {
        /// The record.
        offset: i64,
        /// What it has.
        found: usize,
        /// What a number has.
        wanted: usize,
    },
}

impl ClassDecoder {
    /// The decoder of this name, with its package or without.
    ///
    /// # Errors
    /// There is none; all there are are named.
    pub(super) fn named(class: &str) -> anyhow::Result<Self> {
        let name = [PACKAGE, OLD_PACKAGE].iter().find_map(|package| class.strip_prefix(package)).unwrap_or(class);
        match name {
            "StringDecoder" => Ok(Self::String),
            "DefaultDecoder" => Ok(Self::Bytes),
            "LongDecoder" => Ok(Self::Long),
            "IntegerDecoder" => Ok(Self::Integer),
            _ => Err(Hinted::error(
                format!("there is no decoder class {class}"),
                "name StringDecoder, DefaultDecoder (bytes), LongDecoder or IntegerDecoder; for internal topics there are \
                 options such as --offsets-decoder",
            )),
        }
    }

    fn decode(self, bytes: &Bytes, offset: i64) -> Result<Decoded, DecodeError> {
        let wrong_size = |wanted| DecodeError::Size { offset, found: bytes.len(), wanted };
        Ok(match self {
            Self::String => Decoded::Text(String::from_utf8_lossy(bytes).into_owned()),
            Self::Bytes => Decoded::Bytes(bytes.clone()),
            Self::Long => {
                Decoded::Number(i64::from_be_bytes(<[u8; 8]>::try_from(&bytes[..]).map_err(|_| wrong_size(8))?))
            }
            Self::Integer => {
                let number = i32::from_be_bytes(<[u8; 4]>::try_from(&bytes[..]).map_err(|_| wrong_size(4))?);
                Decoded::Number(number.into())
            }
        })
    }
}

impl Decoder {
    /// Reads key and value.
    ///
    /// # Errors
    /// Where Kafka's tool ends too; what it only remarks on is in what is given.
    pub(super) fn decode(self, record: &OwnedRecord) -> Result<(Option<Decoded>, Option<Decoded>), DecodeError> {
        let offset = record.offset.get();
        match self {
            Self::Classes { key, value } => Ok((
                record.key.as_ref().map(|bytes| key.decode(bytes, offset)).transpose()?,
                record.value.as_ref().map(|bytes| value.decode(bytes, offset)).transpose()?,
            )),
            Self::Coordinator(topic) => {
                let key = record.key.as_ref().ok_or(DecodeError::NoKey(offset))?;
                Ok(coordinator(topic, key, record.value.as_ref(), offset))
            }
            Self::ClusterMetadata => Ok((None, Some(cluster_metadata(record.value.as_ref(), offset)))),
            Self::RemoteLogMetadata => Ok((
                None,
                Some(Decoded::Text(match RemoteLogRecord::read(record.value.as_ref()) {
                    Ok(record) => record.to_string(),
                    Err(error) => format!("Error at offset {offset}, skipping. {error}"),
                })),
            )),
        }
    }
}

fn coordinator(
    topic: CoordinatorTopic,
    key: &Bytes,
    value: Option<&Bytes>,
    offset: i64,
) -> (Option<Decoded>, Option<Decoded>) {
    match coordinator_records::read(topic, key, value, MemberBytes::Decoded) {
        Ok(record) => {
            let key = format!("{{\"type\":\"{}\",\"data\":{}}}", record.kind, record.key);
            let value = match record.value {
                Some((version, data)) => Decoded::Json(format!("{{\"version\":\"{version}\",\"data\":{data}}}")),
                None => Decoded::Text("<DELETE>".to_owned()),
            };
            (Some(Decoded::Json(key)), Some(value))
        }
        Err(NotOfTopic::UnknownKind(kind)) => {
            (Some(Decoded::Text(format!("Unknown record type {kind} at offset {offset}, skipping."))), None)
        }
        Err(error) => (Some(Decoded::Text(format!("Error at offset {offset}, skipping. {error}"))), None),
    }
}

fn cluster_metadata(value: Option<&Bytes>, offset: i64) -> Decoded {
    let failed = |why: String| Decoded::Text(format!("Error at {offset}, skipping. {why}"));
    let Some(value) = value else { return failed("the record has no value".to_owned()) };
    match MetadataRecord::read_with_version(value) {
        Ok((record, version)) => Decoded::Json(format!(
            "{{\"type\":\"{}\",\"version\":{version},\"data\":{}}}",
            java::constant(record.kind()),
            record.to_json(version)
        )),
        Err(error) => failed(format!("{:#}", anyhow::Error::new(error))),
    }
}

impl Decoded {
    /// Prints it as Kafka's tool does.
    pub(super) fn print(&self, to: &mut impl Write) -> std::io::Result<()> {
        match self {
            Self::Text(text) | Self::Json(text) => to.write_all(text.as_bytes()),
            Self::Bytes(bytes) => to.write_all(bytes),
            Self::Number(number) => write!(to, "{number}"),
        }
    }
}

impl Json for Decoded {
    fn write_json(&self, out: &mut String, version: i16) {
        match self {
            Self::Text(text) => text.write_json(out, version),
            Self::Bytes(bytes) => bytes.write_json(out, version),
            Self::Number(number) => number.write_json(out, version),
            Self::Json(json) => out.push_str(json),
        }
    }
}
