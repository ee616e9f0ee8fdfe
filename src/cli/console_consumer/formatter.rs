//! A record as console-consumer prints it: Kafka's formatters and their properties.

use std::collections::BTreeMap;
use std::io::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use super::deserializer::{DeserializeError, Deserializer};
use super::internal_topics::{self, Kind, NotOfTopic};

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
    Json(Json),
    /// Nothing at all.
    NoOp,
    /// JSON of an internal topic's records.
    Internal(Kind),
}

/// What reads the parts of a record whose text goes into JSON.
#[derive(Debug)]
pub(in crate::cli) struct Json {
    key: Deserializer,
    value: Deserializer,
    headers: Deserializer,
    /// Classes that were asked for and don't exist here.
    unknown_deserializers: Vec<String>,
}

/// What the default formatter prints.
#[derive(Debug)]
pub(in crate::cli) struct Columns {
    timestamp: bool,
    partition: bool,
    offset: bool,
    delivery: bool,
    epoch: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
    key_deserializer: Deserializer,
    value_deserializer: Deserializer,
    headers_deserializer: Deserializer,
    /// Classes that were asked for and don't exist here; raw bytes are printed instead.
    unknown_deserializers: Vec<String>,
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
}

impl FormatError {
    /// The class of the exception that Kafka's tool shows for it.
    pub(in crate::cli) fn java_class(&self) -> &'static str {
        match self {
            Self::Deserialize(DeserializeError::NotVoid) => "java.lang.IllegalArgumentException",
            Self::Deserialize(_) => "org.apache.kafka.common.errors.SerializationException",
            Self::Internal { .. } => "java.lang.RuntimeException",
        }
    }
}

/// Packages of Kafka's formatters: today's, and that of version 3 (deprecated there, gone in 4.0).
const PACKAGES: [&str; 3] =
    // Order: a package comes before the one that it is in.
    ["org.apache.kafka.tools.consumer.group.share.", "org.apache.kafka.tools.consumer.", "kafka.tools."];

impl Formatter {
    /// The formatter of this class with these properties; `None` if there is no such class.
    ///
    /// Besides the full names, the class alone is understood.
    pub(super) fn new(class: &str, properties: &BTreeMap<String, String>) -> Option<Self> {
        let name = PACKAGES.iter().find_map(|package| class.strip_prefix(package)).unwrap_or(class);
        Some(match name {
            "DefaultMessageFormatter" | "LoggingMessageFormatter" => Self::Default(Columns::new(properties)),
            "NoOpMessageFormatter" => Self::NoOp,
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
            _ => return None,
        })
    }

    /// The one of `--output json`; of the properties the deserializers count.
    pub(super) fn json(properties: &BTreeMap<String, String>) -> Self {
        let Columns { key_deserializer: key, value_deserializer: value, headers_deserializer: headers, .. } =
            Columns::new(properties);
        let unknown_deserializers = Columns::new(properties).unknown_deserializers;
        Self::Json(Json { key, value, headers, unknown_deserializers })
    }

    /// The class that has taken the place of one of version 3.
    pub(super) fn class_of_today(class: &str) -> Option<String> {
        let name = class.strip_prefix("kafka.")?.rsplit(['.', '$']).next()?;
        Some(format!("org.apache.kafka.tools.consumer.{name}"))
    }

    /// Deserializer classes that don't exist here.
    pub(super) fn unknown_deserializers(&self) -> &[String] {
        match self {
            Self::Default(columns) => &columns.unknown_deserializers,
            Self::Json(json) => &json.unknown_deserializers,
            Self::NoOp | Self::Internal(_) => &[],
        }
    }

    /// Whether the headers of a record matter.
    pub(in crate::cli) fn prints_headers(&self) -> bool {
        match self {
            Self::Default(columns) => columns.headers,
            Self::Json(_) => true,
            Self::NoOp | Self::Internal(_) => false,
        }
    }

    /// Appends the record to `to`; nothing of it in case of an error.
    pub(super) fn print(&self, record: &Shown<'_>, to: &mut Vec<u8>) -> Result<(), FormatError> {
        let start = to.len();
        let result = match self {
            Self::NoOp => Ok(()),
            Self::Default(columns) => columns.print(record, to).map_err(FormatError::from),
            Self::Json(json) => json.print(record, to).map_err(FormatError::from),
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
        };
        if result.is_err() {
            to.truncate(start);
        }
        result
    }
}

impl Json {
    fn print(&self, record: &Shown<'_>, to: &mut Vec<u8>) -> Result<(), DeserializeError> {
        let headers: Result<Vec<Value>, DeserializeError> = record
            .headers
            .iter()
            .map(|(key, value)| Ok(json!({"key": String::from_utf8_lossy(key), "value": self.headers.json(*value)?})))
            .collect();
        let mut object = json!({
            "version": 1,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp.map(|(_, time)| time),
            "timestampType": record.timestamp.map(|(kind, _)| kind),
            "headers": headers?,
            "key": self.key.json(record.key.map(|key| &key[..]))?,
            "value": self.value.json(record.value.map(|value| &value[..]))?,
        });
        if let (Some(count), Some(fields)) = (record.delivery, object.as_object_mut()) {
            fields.insert("deliveryCount".to_owned(), count.into());
        }
        // Writing to a Vec does not fail.
        let _ = writeln!(to, "{object}");
        Ok(())
    }
}

impl Columns {
    fn new(properties: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| properties.get(name).map(String::as_str);
        let flag = |name: &str, default: bool| get(name).map_or(default, |v| v.trim().eq_ignore_ascii_case("true"));
        let separator = |name: &str, default: &str| unescaped(get(name).unwrap_or(default)).as_bytes().to_vec();
        let mut unknown_deserializers = Vec::new();
        let mut deserializer = |name: &str| match get(name).map(|class| (class, Deserializer::named(class))) {
            None => Deserializer::Raw,
            Some((_, Some(known))) => known,
            Some((class, None)) => {
                unknown_deserializers.push(class.to_owned());
                Deserializer::Raw
            }
        };
        Self {
            key_deserializer: deserializer("key.deserializer"),
            value_deserializer: deserializer("value.deserializer"),
            headers_deserializer: deserializer("headers.deserializer"),
            unknown_deserializers,
            timestamp: flag("print.timestamp", false),
            partition: flag("print.partition", false),
            offset: flag("print.offset", false),
            delivery: flag("print.delivery", false),
            epoch: flag("print.epoch", false),
            headers: flag("print.headers", false),
            key: flag("print.key", false),
            value: flag("print.value", true),
            key_separator: separator("key.separator", "\t"),
            line_separator: separator("line.separator", "\n"),
            headers_separator: separator("headers.separator", ","),
            null_literal: get("null.literal").unwrap_or("null").as_bytes().to_vec(),
        }
    }

    fn print(&self, record: &Shown<'_>, to: &mut Vec<u8>) -> Result<(), DeserializeError> {
        let mut columns = 0;
        let mut column = |to: &mut Vec<u8>, wanted: bool| {
            if wanted && columns > 0 {
                to.extend_from_slice(&self.key_separator);
            }
            columns += usize::from(wanted);
            wanted
        };
        // Writing to a Vec does not fail.
        if column(to, self.timestamp) {
            let _ = match record.timestamp {
                Some((kind, time)) => write!(to, "{kind}:{time}"),
                None => write!(to, "NO_TIMESTAMP"),
            };
        }
        if column(to, self.partition) {
            let _ = write!(to, "Partition:{}", record.partition);
        }
        if column(to, self.offset) {
            let _ = write!(to, "Offset:{}", record.offset);
        }
        // Only share consumers count deliveries, and Kafka's console tools don't keep the epoch.
        if column(to, self.delivery) {
            let _ = match record.delivery {
                Some(count) => write!(to, "Delivery:{count}"),
                None => write!(to, "Delivery:NOT_PRESENT"),
            };
        }
        if column(to, self.epoch) {
            to.extend_from_slice(b"Epoch:NOT_PRESENT");
        }
        if column(to, self.headers) {
            self.print_headers(record.headers, to)?;
        }
        if column(to, self.key) {
            self.print_bytes(record.key.map(|key| &key[..]), self.key_deserializer, to)?;
        }
        if column(to, self.value) {
            self.print_bytes(record.value.map(|value| &value[..]), self.value_deserializer, to)?;
        }
        if columns > 0 {
            to.extend_from_slice(&self.line_separator);
        }
        Ok(())
    }

    fn print_headers(&self, headers: &[(&[u8], Option<&[u8]>)], to: &mut Vec<u8>) -> Result<(), DeserializeError> {
        if headers.is_empty() {
            to.extend_from_slice(b"NO_HEADERS");
        }
        for (index, (key, value)) in headers.iter().enumerate() {
            if index > 0 {
                to.extend_from_slice(&self.headers_separator);
            }
            to.extend_from_slice(key);
            to.push(b':');
            self.print_bytes(*value, self.headers_deserializer, to)?;
        }
        Ok(())
    }

    /// A null is never given to a deserializer: Kafka hands it the null literal, which numbers can't be read from.
    fn print_bytes(
        &self,
        bytes: Option<&[u8]>,
        deserializer: Deserializer,
        to: &mut Vec<u8>,
    ) -> Result<(), DeserializeError> {
        match bytes {
            Some(bytes) => deserializer.print(bytes, to),
            None => {
                to.extend_from_slice(&self.null_literal);
                Ok(())
            }
        }
    }
}

/// A separator typed as `\t`, `\n` or `\0` in a shell that leaves it so can only mean the character.
fn unescaped(separator: &str) -> &str {
    match separator {
        "\\t" => "\t",
        "\\n" => "\n",
        "\\0" => "\0",
        _ => separator,
    }
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
        let formatter = Formatter::json(&properties);
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
        assert_eq!(Formatter::new(CLASS, &properties).unwrap().unknown_deserializers(), ["no.Such"]);
    }
}
