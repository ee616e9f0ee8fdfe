//! Lines to messages: keys, headers and null markers, as `--reader-property` says.
//!
//! A line is `[headers<delimiter>][key<separator>]value`; the first occurrence of each separator counts, the rest
//! belongs to the value. Bytes pass unchanged: input need not be UTF-8.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::serializer::NotReadable;
use crate::cli::support::{Charset, DataType, Part, Role, UnknownEncoding, unescaped};

/// How lines are read. The field names are Kafka's property names with dots turned to underscores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LineReader {
    parse_key: bool,
    key_separator: Vec<u8>,
    parse_headers: bool,
    headers_delimiter: Vec<u8>,
    headers_separator: Vec<u8>,
    headers_key_separator: Vec<u8>,
    null_marker: Option<Vec<u8>>,
    ignore_error: bool,
    key_serializer: DataType,
    value_serializer: DataType,
    headers_serializer: DataType,
    /// Number of the line read last, from 1; errors name it.
    line_number: u64,
}

/// What a line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<(String, Option<Bytes>)>,
}

/// A line or a property that makes no sense; the texts are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReaderError {
    /// Two separators that could not be told apart.
    #[error("{0} and {1} may not be equal")]
    SameSeparators(&'static str, &'static str),
    /// A line without the separator that should be in it.
    #[error("No {what} found on line number {line}: '{text}'")]
    NoSeparator {
        /// `key separator` or `headers delimiter`.
        what: &'static str,
        line: u64,
        text: String,
    },
    /// A header without a separator between its key and its value.
    #[error("No header key separator found in pair '{pair}' on line number {line}")]
    NoHeaderSeparator { pair: String, line: u64 },
    /// A header whose key is the null marker.
    #[error("Header keys should not be equal to the null marker '{0}' as they can't be null")]
    NullHeaderKey(String),
    /// A class that does not exist here.
    #[error("there is no serializer {0}")]
    NoSerializer(String),
    /// An encoding of text that does not exist here.
    #[error(transparent)]
    Encoding(#[from] UnknownEncoding),
    /// A piece that its serializer can't read.
    #[error("the {what} on line number {line} is not {noun}: '{text}'")]
    NotReadable { what: &'static str, line: u64, noun: &'static str, text: String },
}

impl ReaderError {
    /// What to do about it, where the text alone does not say.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::NoSerializer(_) => Some(format!("serializers are {}", Role::Serializer.known())),
            Self::Encoding(_) => Some(format!("encodings are {}", Charset::known())),
            _ => None,
        }
    }
}

impl LineReader {
    /// Takes the properties of `--reader-property` and `--reader-config`; others than the reader's are not looked at.
    pub(super) fn new(properties: &BTreeMap<String, String>) -> Result<Self, ReaderError> {
        let flag = |name: &str| properties.get(name).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        let text = |name: &str, default: &str| {
            unescaped(properties.get(name).map_or(default, String::as_str)).as_bytes().to_vec()
        };
        let serializer = |part: Part| -> Result<DataType, ReaderError> {
            let Some(class) = properties.get(&format!("{}.serializer", part.name())) else { return Ok(DataType::Raw) };
            let data_type =
                DataType::named(class, Role::Serializer).ok_or_else(|| ReaderError::NoSerializer(class.clone()))?;
            let own = part.properties_of_class(Role::Serializer, properties);
            Ok(data_type.encoded(Role::Serializer, part, &own)?)
        };
        let reader = Self {
            parse_key: flag("parse.key"),
            key_separator: text("key.separator", "\t"),
            parse_headers: flag("parse.headers"),
            headers_delimiter: text("headers.delimiter", "\t"),
            headers_separator: without_backslashes(&text("headers.separator", ",")),
            headers_key_separator: text("headers.key.separator", ":"),
            null_marker: properties.get("null.marker").map(|marker| marker.clone().into_bytes()),
            ignore_error: flag("ignore.error"),
            key_serializer: serializer(Part::Key)?,
            value_serializer: serializer(Part::Value)?,
            headers_serializer: serializer(Part::Headers)?,
            line_number: 0,
        };
        reader.check()?;
        Ok(reader)
    }

    fn check(&self) -> Result<(), ReaderError> {
        let delimiter = ("headers.delimiter", Some(&self.headers_delimiter));
        let separator = ("headers.separator", Some(&self.headers_separator));
        let key_of_header = ("headers.key.separator", Some(&self.headers_key_separator));
        let key = ("key.separator", Some(&self.key_separator));
        let null = ("null.marker", self.null_marker.as_ref());
        for ((one, a), (other, b)) in [
            (delimiter, separator),
            (delimiter, key_of_header),
            (separator, key_of_header),
            (null, key),
            (null, separator),
            (null, delimiter),
            (null, key_of_header),
        ] {
            if a == b {
                return Err(ReaderError::SameSeparators(one, other));
            }
        }
        Ok(())
    }

    /// Reads one line, given without its end.
    pub(super) fn read(&mut self, line: &Bytes) -> Result<Message, ReaderError> {
        self.line_number += 1;
        if !self.parse_key && !self.parse_headers {
            return Ok(Message { value: self.value(line.clone())?, ..Message::default() });
        }
        let (headers, rest) =
            self.split_at(self.parse_headers, line, &self.headers_delimiter, "headers delimiter", line)?;
        let (key, value) = self.split_at(self.parse_key, &rest, &self.key_separator, "key separator", line)?;
        let headers = match headers {
            Some(headers) => self.headers(&headers)?,
            None => Vec::new(),
        };
        let key = key.map_or(Ok(None), |key| self.bytes("key", self.key_serializer, key))?;
        Ok(Message { key, value: self.value(value)?, headers })
    }

    fn value(&self, text: Bytes) -> Result<Option<Bytes>, ReaderError> {
        self.bytes("value", self.value_serializer, text)
    }

    /// What `text` stands for; none if it is the null marker.
    fn bytes(&self, what: &'static str, serializer: DataType, text: Bytes) -> Result<Option<Bytes>, ReaderError> {
        if self.null_marker.as_deref() == Some(&text) {
            return Ok(None);
        }
        serializer.bytes(text.clone()).map_err(|NotReadable| ReaderError::NotReadable {
            what,
            line: self.line_number,
            noun: serializer.noun(),
            text: lossy(&text),
        })
    }

    /// Cuts `text` at the first `separator`: what is before it (none if it is not looked for, or missing), the rest.
    fn split_at(
        &self,
        wanted: bool,
        text: &Bytes,
        separator: &[u8],
        what: &'static str,
        line: &Bytes,
    ) -> Result<(Option<Bytes>, Bytes), ReaderError> {
        if !wanted {
            return Ok((None, text.clone()));
        }
        match find(text, separator) {
            Some(at) => Ok((Some(text.slice(..at)), text.slice(at + separator.len()..))),
            None if self.ignore_error => Ok((None, text.clone())),
            None => Err(ReaderError::NoSeparator { what, line: self.line_number, text: lossy(line) }),
        }
    }

    fn headers(&self, text: &Bytes) -> Result<Vec<(String, Option<Bytes>)>, ReaderError> {
        if self.null_marker.as_deref() == Some(text) {
            return Ok(Vec::new());
        }
        let mut headers = Vec::new();
        for pair in split_as_java_does(text, &self.headers_separator) {
            let Some(at) = find(&pair, &self.headers_key_separator) else {
                if self.ignore_error {
                    headers.push((lossy(&pair), None));
                    continue;
                }
                return Err(ReaderError::NoHeaderSeparator { pair: lossy(&pair), line: self.line_number });
            };
            let key = pair.slice(..at);
            if self.null_marker.as_deref() == Some(&key) {
                return Err(ReaderError::NullHeaderKey(lossy(&key)));
            }
            let value = pair.slice(at + self.headers_key_separator.len()..);
            headers.push((lossy(&key), self.bytes("value of a header", self.headers_serializer, value)?));
        }
        Ok(headers)
    }
}

/// Kafka takes the separator of headers for a pattern, so people write `\|` for a bar. Here it is plain text, and the
/// backslash of such an escape is dropped.
fn without_backslashes(separator: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(separator.len());
    let mut bytes = separator.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match bytes.peek() {
            Some(next) if byte == b'\\' && next.is_ascii_punctuation() => plain.extend(bytes.next()),
            _ => plain.push(byte),
        }
    }
    plain
}

/// The position of `needle`, which is at 0 if it is empty.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    match needle {
        [] => Some(0),
        [byte] => text.iter().position(|candidate| candidate == byte),
        _ => text.windows(needle.len()).position(|window| window == needle),
    }
}

/// The parts of `text`. As in Java, empty parts at the end don't count, but a text without a separator is one part.
fn split_as_java_does(text: &Bytes, separator: &[u8]) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let mut rest = text.clone();
    while !separator.is_empty()
        && let Some(at) = find(&rest, separator)
    {
        parts.push(rest.slice(..at));
        rest = rest.slice(at + separator.len()..);
    }
    let none_found = parts.is_empty();
    parts.push(rest);
    while !none_found && parts.last().is_some_and(Bytes::is_empty) {
        parts.pop();
    }
    parts
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(properties: &[(&str, &str)]) -> Result<LineReader, ReaderError> {
        LineReader::new(&properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    /// `headers|key|value`, as console-consumer would print them.
    fn read(properties: &[(&str, &str)], line: &str) -> Result<String, String> {
        let mut reader = reader(properties).map_err(|e| e.to_string())?;
        let message = reader.read(&Bytes::copy_from_slice(line.as_bytes())).map_err(|e| e.to_string())?;
        let text = |bytes: Option<Bytes>| bytes.map_or_else(|| "null".to_owned(), |bytes| lossy(&bytes));
        let headers: Vec<_> =
            message.headers.into_iter().map(|(key, value)| format!("{key}:{}", text(value))).collect();
        Ok(format!("{}|{}|{}", headers.join(","), text(message.key), text(message.value)))
    }

    const KEY: (&str, &str) = ("parse.key", "true");
    const HEADERS: (&str, &str) = ("parse.headers", "true");

    #[test]
    fn plain_lines_are_values() {
        assert_eq!(read(&[], "a\tb").unwrap(), "|null|a\tb");
        assert_eq!(read(&[], "").unwrap(), "|null|");
        assert_eq!(read(&[("parse.key", "yes")], "a\tb").unwrap(), "|null|a\tb");
        assert_eq!(read(&[("null.marker", "NULL")], "NULL").unwrap(), "|null|null");
    }

    #[test]
    fn keys() {
        assert_eq!(read(&[KEY], "a\t1").unwrap(), "|a|1");
        assert_eq!(read(&[KEY], "b\t2\t3").unwrap(), "|b|2\t3");
        assert_eq!(read(&[KEY], "\tempty key").unwrap(), "||empty key");
        assert_eq!(read(&[KEY], "empty value\t").unwrap(), "|empty value|");
        assert_eq!(read(&[KEY, ("key.separator", ":")], "b:2:3").unwrap(), "|b|2:3");
        assert_eq!(read(&[KEY, ("key.separator", "")], "ab").unwrap(), "||ab");
        assert_eq!(read(&[KEY, ("key.separator", "\\t")], "a\tb").unwrap(), "|a|b");
        assert_eq!(read(&[KEY], "nokey").unwrap_err(), "No key separator found on line number 1: 'nokey'");
        assert_eq!(read(&[KEY, ("ignore.error", "true")], "nokey").unwrap(), "|null|nokey");
        let marked = [KEY, ("key.separator", "::"), ("null.marker", "NULL")];
        assert_eq!(read(&marked, "NULL::1").unwrap(), "|null|1");
        assert_eq!(read(&marked, "b::NULL").unwrap(), "|b|null");
    }

    #[test]
    fn headers() {
        assert_eq!(read(&[HEADERS], "h1:v1,h2:v2\tvalue").unwrap(), "h1:v1,h2:v2|null|value");
        assert_eq!(read(&[HEADERS], "h:\tempty").unwrap(), "h:|null|empty");
        assert_eq!(read(&[HEADERS, KEY], "h1:v1,h1:v2\tk\tv").unwrap(), "h1:v1,h1:v2|k|v");
        let own = [("headers.delimiter", "!"), ("headers.separator", ";"), ("headers.key.separator", "=")];
        assert_eq!(read(&[&own[..], &[HEADERS]].concat(), "a=1;b=2!v").unwrap(), "a:1,b:2|null|v");
        assert_eq!(read(&[HEADERS, ("headers.separator", ".")], "a:1.b:2\tv").unwrap(), "a:1,b:2|null|v");
        assert_eq!(read(&[HEADERS, ("headers.separator", "\\|")], "a:1|b:2\tv").unwrap(), "a:1,b:2|null|v");
        assert_eq!(read(&[HEADERS, ("null.marker", "N")], "a:N\tv").unwrap(), "a:null|null|v");
        assert_eq!(read(&[HEADERS, ("null.marker", "N")], "N\tv2").unwrap(), "|null|v2");
        assert_eq!(read(&[HEADERS, ("ignore.error", "true")], "noheaders").unwrap(), "|null|noheaders");
        assert_eq!(read(&[HEADERS, ("ignore.error", "true")], "nosep\tv").unwrap(), "nosep:null|null|v");
    }

    #[test]
    fn bad_headers_are_told_in_kafkas_words() {
        for (properties, line, message) in [
            (&[HEADERS][..], "\tno header", "No header key separator found in pair '' on line number 1"),
            (&[HEADERS], "noheaders", "No headers delimiter found on line number 1: 'noheaders'"),
            (&[HEADERS], "nosep\tv", "No header key separator found in pair 'nosep' on line number 1"),
            (
                &[HEADERS, ("null.marker", "N")],
                "N:1\tv",
                "Header keys should not be equal to the null marker 'N' as they can't be null",
            ),
        ] {
            assert_eq!(read(properties, line).unwrap_err(), message);
        }
    }

    #[test]
    fn separators_must_differ() {
        for (properties, message) in [
            (
                &[("headers.delimiter", "|"), ("headers.separator", "|")][..],
                "headers.delimiter and headers.separator may not be equal",
            ),
            (&[("null.marker", ":")], "null.marker and headers.key.separator may not be equal"),
            (&[("null.marker", "\t")], "null.marker and key.separator may not be equal"),
        ] {
            assert_eq!(reader(properties).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn bytes_pass_unchanged() {
        let mut reader = reader(&[KEY]).unwrap();
        let message = reader.read(&Bytes::from_static(b"\xff\t\x00\xfe")).unwrap();
        assert_eq!(message.key.as_deref(), Some(&b"\xff"[..]));
        assert_eq!(message.value.as_deref(), Some(&b"\x00\xfe"[..]));
    }

    #[test]
    fn text_is_read_by_serializers() {
        let typed = [
            KEY,
            HEADERS,
            ("null.marker", "NULL"),
            ("key.serializer", "ShortSerializer"),
            ("value.serializer", "hex"),
            ("headers.serializer", "base64"),
        ];
        assert_eq!(read(&typed, "h:YQ==\t16706\t616263").unwrap(), "h:a|AB|abc");
        assert_eq!(read(&typed, "h:NULL\tNULL\tNULL").unwrap(), "h:null|null|null");
        for (line, error) in [
            ("h:!\t1\t00", "the value of a header on line number 1 is not base64: '!'"),
            ("NULL\tx\t00", "the key on line number 1 is not a number of 16 bits: 'x'"),
            ("NULL\t1\t0", "the value on line number 1 is not hexadecimal: '0'"),
        ] {
            assert_eq!(read(&typed, line).unwrap_err(), error);
        }
        let unknown = reader(&[("value.serializer", "no.Such")]).unwrap_err();
        assert_eq!(unknown.to_string(), "there is no serializer no.Such");
        assert!(unknown.hint().unwrap().contains("LongSerializer"));
    }

    #[test]
    fn text_is_written_in_the_encoding_that_is_asked_for() {
        let class = ("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        let mut utf16 = reader(&[class, ("value.serializer.serializer.encoding", "UTF-16LE")]).unwrap();
        let message = utf16.read(&Bytes::from_static("é".as_bytes())).unwrap();
        assert_eq!(message.value.as_deref(), Some(&b"\xe9\0"[..]));
        let unknown = reader(&[class, ("value.serializer.encoding", "EBCDIC")]).unwrap_err();
        assert_eq!(unknown.to_string(), "Unsupported encoding EBCDIC");
        assert!(unknown.hint().unwrap().contains("UTF-16BE"));
    }
}
