//! The default formatter: the parts of a record between separators.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::chosen::{Deserializer, Deserializers};
use super::deserializer::DeserializeError;
use super::formatter::Shown;
use crate::cli::support::unescaped;

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
    deserializers: Deserializers,
}

impl Columns {
    pub(super) fn new(properties: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| properties.get(name).map(String::as_str);
        let flag = |name: &str, default: bool| get(name).map_or(default, |v| v.trim().eq_ignore_ascii_case("true"));
        let separator = |name: &str, default: &str| unescaped(get(name).unwrap_or(default)).as_bytes().to_vec();
        Self {
            deserializers: Deserializers::of(properties),
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

    pub(super) fn deserializers(&self) -> &Deserializers {
        &self.deserializers
    }

    pub(super) fn into_deserializers(self) -> Deserializers {
        self.deserializers
    }

    /// Whether the headers of a record matter.
    pub(super) fn prints_headers(&self) -> bool {
        self.headers
    }

    pub(super) fn print(&self, record: &Shown<'_>, to: &mut Vec<u8>) -> Result<(), DeserializeError> {
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
            self.print_bytes(record.key.map(|key| &key[..]), self.deserializers.key, to)?;
        }
        if column(to, self.value) {
            self.print_bytes(record.value.map(|value| &value[..]), self.deserializers.value, to)?;
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
            self.print_bytes(*value, self.deserializers.headers, to)?;
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
