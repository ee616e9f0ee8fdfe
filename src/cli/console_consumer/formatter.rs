//! A record as console-consumer prints it: Kafka's formatters and their properties.

use std::collections::BTreeMap;
use std::io::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use super::chosen::{Deserializers, Unusable};
use super::columns::Columns;
use super::deserializer::DeserializeError;
use super::internal_topics::{self, Kind, NotOfTopic};
use super::list::ListError;
use crate::cli::support::remote_log_records::{RemoteLogError, RemoteLogRecord};

/// A record, as far as it can be printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// `CreateTime` or `LogAppendTime` and the milliseconds; `None` for records without a time.
    pub(super) timestamp: Option<(&'static str, i64)>,
    pub(super) headers: &'a [(&'a [u8], Option<&'a [u8]>)],
    pub(super) key: Option<&'a Bytes>,
    pub(super) value: Option<&'a Bytes>,
    /// How often a share group got it.
    pub(super) delivery: Option<i16>,
}

/// What turns records into output.
#[derive(Debug)]
pub(in crate::cli) enum Formatter {
    /// Columns and separators.
    Default(Columns),
    /// A JSON object per line.
    Json(Deserializers),
    /// Nothing at all.
    NoOp,
    /// What Kafka's consumers of old told as a record's checksum, after the topic that was named.
    Checksum(String),
    /// JSON of an internal topic's records.
    Internal(Kind),
    /// The records of `__remote_log_metadata`.
    RemoteLog(RemoteLogStyle),
}

/// How the records of `__remote_log_metadata` are told.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum RemoteLogStyle {
    /// In the words of Kafka's classes.
    Words,
    /// A JSON object per line.
    Json,
}

/// A record that can't be printed as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum FormatError {
    /// Its bytes are not what the deserializer reads.
    #[error(transparent)]
    Deserialize(#[from] DeserializeError),
    /// It is none of the internal topic's records.
    #[error("Could not read record at offset {offset} due to: {reason}")]
    Internal {
        /// Where the record is.
        offset: i64,
        /// What is wrong with it.
        reason: NotOfTopic,
    },
    /// It is none of `__remote_log_metadata`.
    #[error("Could not read record at offset {offset} due to: {reason}")]
    RemoteLog {
        /// Where the record is.
        offset: i64,
        /// What is wrong with it.
        reason: RemoteLogError,
    },
}

impl FormatError {
    /// The class of the exception that Kafka's tool shows for it.
    pub(in crate::cli) fn java_class(&self) -> &'static str {
        match self {
            Self::Deserialize(DeserializeError::NotVoid) => "java.lang.IllegalArgumentException",
            Self::Deserialize(DeserializeError::List(ListError::Cut)) => "org.apache.kafka.common.KafkaException",
            Self::Deserialize(_) => "org.apache.kafka.common.errors.SerializationException",
            Self::Internal { .. } => "java.lang.RuntimeException",
            Self::RemoteLog { reason: RemoteLogError::NoValue, .. } => "java.lang.NullPointerException",
            Self::RemoteLog { .. } => "org.apache.kafka.server.common.serialization.MetadataParseException",
        }
    }
}

/// Packages of Kafka's formatters: today's, and that of version 3 (deprecated there, gone in 4.0).
const PACKAGES: [&str; 3] =
    // Order: a package comes before the one that it is in.
    ["org.apache.kafka.tools.consumer.group.share.", "org.apache.kafka.tools.consumer.", "kafka.tools."];

/// The one formatter of Kafka's that is not among its tools.
const REMOTE_LOG_CLASS: &str = "org.apache.kafka.server.log.remote.metadata.storage.serialization.\
    RemoteLogMetadataSerde$RemoteLogMetadataFormatter";

/// The classes that there are, for messages and help.
pub(super) const KNOWN: &str = "DefaultMessageFormatter, LoggingMessageFormatter, NoOpMessageFormatter, \
    ChecksumMessageFormatter and, for Kafka's own topics, OffsetsMessageFormatter, GroupMetadataMessageFormatter, \
    TransactionLogMessageFormatter, ShareGroupStateMessageFormatter, RemoteLogMetadataFormatter";

impl Formatter {
    /// The formatter of this class with these properties; `None` if there is no such class.
    ///
    /// Besides the full names, the class alone is understood.
    pub(super) fn new(class: &str, properties: &BTreeMap<String, String>) -> Option<Self> {
        let name = PACKAGES.iter().find_map(|package| class.strip_prefix(package)).unwrap_or(class);
        Some(match name {
            "DefaultMessageFormatter" | "LoggingMessageFormatter" => Self::Default(Columns::new(properties)),
            "NoOpMessageFormatter" => Self::NoOp,
            "ChecksumMessageFormatter" => {
                Self::Checksum(properties.get("topic").map(|topic| format!("{topic}:")).unwrap_or_default())
            }
            "OffsetsMessageFormatter" | "kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter" => {
                Self::Internal(Kind::Offsets)
            }
            "GroupMetadataMessageFormatter"
            | "kafka.coordinator.group.GroupMetadataManager$GroupMetadataMessageFormatter" => {
                Self::Internal(Kind::Groups)
            }
            "TransactionLogMessageFormatter"
            | "kafka.coordinator.transaction.TransactionLog$TransactionLogMessageFormatter" => {
                Self::Internal(Kind::Transactions)
            }
            "ShareGroupStateMessageFormatter" => Self::Internal(Kind::ShareGroups),
            "RemoteLogMetadataFormatter" | REMOTE_LOG_CLASS => Self::RemoteLog(RemoteLogStyle::Words),
            _ => return None,
        })
    }

    /// The same for `--output json`; of the properties the deserializers count. The other formatters of internal topics
    /// print JSON of their own.
    pub(super) fn into_json(self) -> Self {
        match self {
            Self::Default(columns) => Self::Json(columns.into_deserializers()),
            Self::RemoteLog(_) => Self::RemoteLog(RemoteLogStyle::Json),
            other => other,
        }
    }

    /// The class that has taken the place of one of version 3.
    pub(super) fn class_of_today(class: &str) -> Option<String> {
        let name = class.strip_prefix("kafka.")?.rsplit(['.', '$']).next()?;
        Some(format!("org.apache.kafka.tools.consumer.{name}"))
    }

    /// The deserializers that were asked for and can't be had.
    pub(super) fn unusable_deserializers(&self) -> &[Unusable] {
        match self {
            Self::Default(columns) => &columns.deserializers().unusable,
            Self::Json(deserializers) => &deserializers.unusable,
            Self::NoOp | Self::Checksum(_) | Self::Internal(_) | Self::RemoteLog(_) => &[],
        }
    }

    /// Whether the headers of a record matter.
    pub(in crate::cli) fn prints_headers(&self) -> bool {
        match self {
            Self::Default(columns) => columns.prints_headers(),
            Self::Json(_) => true,
            Self::NoOp | Self::Checksum(_) | Self::Internal(_) | Self::RemoteLog(_) => false,
        }
    }

    /// Appends the record to `to`; nothing of it in case of an error.
    pub(super) fn print(&self, record: &Shown<'_>, to: &mut Vec<u8>) -> Result<(), FormatError> {
        let start = to.len();
        let result = match self {
            Self::NoOp => Ok(()),
            Self::Checksum(topic) => {
                to.extend_from_slice(format!("{topic}checksum:{}\n", checksum(record)).as_bytes());
                Ok(())
            }
            Self::Default(columns) => columns.print(record, to).map_err(FormatError::from),
            Self::Json(deserializers) => print_json(deserializers, record, to).map_err(FormatError::from),
            Self::Internal(kind) => match internal_topics::json(*kind, record.key, record.value) {
                Ok(Some(json)) => {
                    // Kafka writes no line end here, which glues all records together.
                    to.extend_from_slice(json.as_bytes());
                    to.push(b'\n');
                    Ok(())
                }
                Ok(None) => Ok(()),
                Err(reason) => Err(FormatError::Internal { offset: record.offset, reason }),
            },
            Self::RemoteLog(style) => print_remote_log(*style, record, to),
        };
        if result.is_err() {
            to.truncate(start);
        }
        result
    }
}

fn print_remote_log(style: RemoteLogStyle, record: &Shown<'_>, to: &mut Vec<u8>) -> Result<(), FormatError> {
    let Shown { partition, offset, .. } = *record;
    let read = RemoteLogRecord::read(record.value);
    let value = read.map_err(|reason| FormatError::RemoteLog { offset, reason })?;
    // Writing to a Vec does not fail.
    let _ = match style {
        RemoteLogStyle::Words => writeln!(to, "partition: {partition}, offset: {offset}, value: {value}"),
        RemoteLogStyle::Json => {
            writeln!(to, "{{\"partition\":{partition},\"offset\":{offset},\"value\":{}}}", value.to_json())
        }
    };
    Ok(())
}

fn print_json(deserializers: &Deserializers, record: &Shown<'_>, to: &mut Vec<u8>) -> Result<(), DeserializeError> {
    let headers: Result<Vec<Value>, DeserializeError> = record
        .headers
        .iter()
        .map(|(key, value)| {
            Ok(json!({"key": String::from_utf8_lossy(key), "value": deserializers.headers.json(*value)?}))
        })
        .collect();
    let mut object = json!({
        "version": 1,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp.map(|(_, time)| time),
        "timestampType": record.timestamp.map(|(kind, _)| kind),
        "headers": headers?,
        "key": deserializers.key.json(record.key.map(|key| &key[..]))?,
        "value": deserializers.value.json(record.value.map(|value| &value[..]))?,
    });
    if let (Some(count), Some(fields)) = (record.delivery, object.as_object_mut()) {
        fields.insert("deliveryCount".to_owned(), count.into());
    }
    // Writing to a Vec does not fail.
    let _ = writeln!(to, "{object}");
    Ok(())
}

/// Since batches have the checksums (KIP-98) a record's own is that of its time and of the sizes of key and value.
fn checksum(record: &Shown<'_>) -> u32 {
    let time = record.timestamp.map_or(-1, |(_, time)| time);
    let size = |bytes: Option<&Bytes>| bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    let sum = crc32c::crc32c(&time.to_be_bytes());
    let sum = crc32c::crc32c_append(sum, &size(record.key).to_be_bytes());
    crc32c::crc32c_append(sum, &size(record.value).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: &str = "org.apache.kafka.tools.consumer.DefaultMessageFormatter";

    /// The four records of the topic that Kafka's own tool was run on, printed with these properties.
    fn printed(properties: &[(&str, &str)]) -> String {
        let properties = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let formatter = Formatter::new(CLASS, &properties).unwrap();
        type Record<'a> = (&'a [(&'a [u8], Option<&'a [u8]>)], Option<&'a str>, Option<&'a str>);
        let records: [Record<'_>; 4] = [
            (&[(b"h1", Some(b"v1")), (b"h2", Some(b"v2"))], Some("k1"), Some("v1")),
            (&[], Some("k2"), Some("v2")),
            (&[(b"h", None)], None, None),
            (&[(b"h", Some(b"x"))], Some(""), Some("")),
        ];
        let mut text = Vec::new();
        for (offset, (headers, key, value)) in (0..).zip(records) {
            let [key, value] = [key, value].map(|t| t.map(|t| Bytes::copy_from_slice(t.as_bytes())));
            let (key, value) = (key.as_ref(), value.as_ref());
            let timestamp = Some(("CreateTime", 17));
            formatter
                .print(
                    &Shown { topic: "t", partition: 0, offset, timestamp, headers, key, value, delivery: None },
                    &mut text,
                )
                .unwrap();
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn columns_are_those_of_kafkas_tool() {
        assert_eq!(printed(&[]), "v1\nv2\nnull\n\n");
        assert_eq!(printed(&[("print.key", "true")]), "k1\tv1\nk2\tv2\nnull\tnull\n\t\n");
        assert_eq!(
            printed(&[
                ("print.timestamp", "true"),
                ("print.partition", "true"),
                ("print.offset", "true"),
                ("print.headers", "true"),
                ("print.key", "true"),
            ]),
            "CreateTime:17\tPartition:0\tOffset:0\th1:v1,h2:v2\tk1\tv1\n\
             CreateTime:17\tPartition:0\tOffset:1\tNO_HEADERS\tk2\tv2\n\
             CreateTime:17\tPartition:0\tOffset:2\th:null\tnull\tnull\n\
             CreateTime:17\tPartition:0\tOffset:3\th:x\t\t\n"
        );
        assert_eq!(
            printed(&[("print.epoch", "true"), ("print.delivery", "true")]).lines().next(),
            Some("Delivery:NOT_PRESENT\tEpoch:NOT_PRESENT\tv1")
        );
    }

    #[test]
    fn separators_and_literals() {
        assert_eq!(
            printed(&[("print.key", "true"), ("key.separator", ":"), ("null.literal", "NIL"), ("line.separator", ";")]),
            "k1:v1;k2:v2;NIL:NIL;:;"
        );
        assert_eq!(
            printed(&[("print.headers", "true"), ("headers.separator", ";"), ("key.separator", " ")]),
            "h1:v1;h2:v2 v1\nNO_HEADERS v2\nh:null null\nh:x \n"
        );
        assert_eq!(printed(&[("print.key", "true"), ("key.separator", "")]), "k1v1\nk2v2\nnullnull\n\n");
        assert_eq!(printed(&[("print.key", "true"), ("key.separator", "\\t")]), printed(&[("print.key", "true")]));
    }

    #[test]
    fn the_value_can_be_left_out() {
        assert_eq!(printed(&[("print.value", "false")]), "");
        assert_eq!(
            printed(&[("print.value", "false"), ("print.offset", "true")]),
            "Offset:0\nOffset:1\nOffset:2\nOffset:3\n"
        );
        assert_eq!(printed(&[("print.key", "yes")]), printed(&[]));
    }

    #[test]
    fn a_record_that_fails_leaves_nothing_behind() {
        let properties: BTreeMap<_, _> = [
            ("print.offset".to_owned(), "true".to_owned()),
            ("value.deserializer".to_owned(), "IntegerDeserializer".to_owned()),
        ]
        .into();
        let formatter = Formatter::new(CLASS, &properties).unwrap();
        let mut text = b"before".to_vec();
        let value = Bytes::from_static(b"xyz");
        let record = Shown {
            topic: "t",
            partition: 0,
            offset: 0,
            timestamp: None,
            headers: &[],
            key: None,
            value: Some(&value),
            delivery: Some(2),
        };
        let error = formatter.print(&record, &mut text).unwrap_err();
        assert_eq!(error.to_string(), "Size of data received by IntegerDeserializer is not 4");
        assert_eq!(text, b"before");
        // A null is printed, not deserialized.
        formatter.print(&Shown { value: None, ..record }, &mut text).unwrap();
        assert_eq!(text, b"beforeOffset:0\tnull\n");
    }

    #[test]
    fn json_tells_text_numbers_nulls_and_bytes_apart() {
        let properties = [("key.deserializer".to_owned(), "IntegerDeserializer".to_owned())].into();
        let formatter = Formatter::new(CLASS, &properties).unwrap().into_json();
        let bytes = |bytes: &'static [u8]| Bytes::from_static(bytes);
        let printed = |key: Option<&Bytes>, value: Option<&Bytes>| {
            let headers: [(&[u8], Option<&[u8]>); 2] = [(b"h", Some(b"v")), (b"n", None)];
            let timestamp = Some(("CreateTime", 17));
            let shown =
                Shown { topic: "t", partition: 2, offset: 7, timestamp, headers: &headers, key, value, delivery: None };
            let mut text = Vec::new();
            formatter.print(&shown, &mut text).map(|()| serde_json::from_slice::<Value>(&text).unwrap())
        };
        let expected = json!({
            "version": 1, "topic": "t", "partition": 2, "offset": 7, "timestamp": 17, "timestampType": "CreateTime",
            "headers": [{"key": "h", "value": "v"}, {"key": "n", "value": null}], "key": 258, "value": "a\nb",
        });
        assert_eq!(printed(Some(&bytes(&[0, 0, 1, 2])), Some(&bytes(b"a\nb"))).unwrap(), expected);
        let binary = printed(None, Some(&bytes(&[0xff, 0]))).unwrap();
        assert_eq!((&binary["key"], &binary["value"]), (&Value::Null, &json!({"base64": "/wA="})));
        printed(Some(&bytes(b"no number")), None).unwrap_err();
    }

    #[test]
    fn classes_are_found_by_full_and_by_short_name() {
        let none = BTreeMap::new();
        for class in [CLASS, "DefaultMessageFormatter", "kafka.tools.DefaultMessageFormatter"] {
            assert!(matches!(Formatter::new(class, &none), Some(Formatter::Default(_))), "{class}");
        }
        assert!(Formatter::new("no.such.Formatter", &none).is_none());
        let share = "org.apache.kafka.tools.consumer.group.share.ShareGroupStateMessageFormatter";
        assert!(matches!(Formatter::new(share, &none), Some(Formatter::Internal(Kind::ShareGroups))));
        let properties = [("value.deserializer".to_owned(), "no.Such".to_owned())].into();
        for formatter in
            [Formatter::new(CLASS, &properties).unwrap(), Formatter::new(CLASS, &properties).unwrap().into_json()]
        {
            let unusable: Vec<_> = formatter.unusable_deserializers().iter().map(|one| one.class.as_str()).collect();
            assert_eq!(unusable, ["no.Such"]);
        }
    }

    /// The bytes are those that Kafka's serde has for a partition whose deletion is marked.
    #[test]
    fn remote_log_metadata_is_told_in_kafkas_words() {
        let value = Bytes::from_static(
            b"\x01\x02\0\x03tp\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04\0\0\0\0\x07\0\0\0\0\0\0\0\x11\0\0",
        );
        let none = BTreeMap::new();
        let shown = |value| {
            let formatter = Formatter::new(REMOTE_LOG_CLASS, &none).unwrap();
            let record = Shown {
                topic: "__remote_log_metadata",
                partition: 3,
                offset: 12,
                timestamp: None,
                headers: &[],
                key: None,
                value,
                delivery: None,
            };
            let mut text = Vec::new();
            formatter.print(&record, &mut text).map(|()| String::from_utf8(text).unwrap())
        };
        assert_eq!(
            shown(Some(&value)).unwrap(),
            "partition: 3, offset: 12, value: RemotePartitionDeleteMetadata{topicPartition=AAAAAAAAAAAAAAAAAAAAAQ:tp-4, \
             state=DELETE_PARTITION_MARKED, eventTimestampMs=17, brokerId=7}\n"
        );
        let other = Bytes::from_static(b"xyz");
        let error = shown(Some(&other)).unwrap_err();
        assert_eq!(error.java_class(), "org.apache.kafka.server.common.serialization.MetadataParseException");
        assert_eq!(
            shown(None).unwrap_err().to_string(),
            "Could not read record at offset 12 due to: the record has no value"
        );
        let json = Formatter::new("RemoteLogMetadataFormatter", &none).unwrap().into_json();
        assert!(matches!(json, Formatter::RemoteLog(RemoteLogStyle::Json)), "{json:?}");
    }

    #[test]
    fn checksums_are_those_of_kafkas_old_consumers() {
        let record = |key, value, timestamp| {
            let record =
                Shown { topic: "t", partition: 0, offset: 0, timestamp, headers: &[], key, value, delivery: None };
            let properties = [("topic".to_owned(), "orders".to_owned())].into();
            let mut text = Vec::new();
            let formatter = Formatter::new("kafka.tools.ChecksumMessageFormatter", &properties).unwrap();
            formatter.print(&record, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let value = Bytes::from_static(b"v1");
        // By Java's CRC32C, as `DefaultRecord.computePartialChecksum` did in Kafka 2.
        assert_eq!(record(None, Some(&value), Some(("CreateTime", 1_700_000_000_000))), "orders:checksum:1880621098\n");
        assert_eq!(record(Some(&value), None, None), "orders:checksum:3973766717\n");
    }
}
