//! Messages of internal topics and files as JSON: Kafka's fields in Kafka's order, on one line, as its tools print them.
//!
//! The generated structs write themselves; here is what their fields are made of. Numbers are numbers, ids and bytes are
//! text (base64), a tagged field is there only if it is set.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::types::Uuid;

/// What can be written as JSON.
pub trait Json {
    /// Appends itself, with the fields that `version` of the message has.
    fn write_json(&self, out: &mut String, version: i16);

    /// Itself as text.
    fn to_json(&self, version: i16) -> String {
        let mut out = String::new();
        self.write_json(&mut out, version);
        out
    }
}

/// A JSON object on its way.
pub struct JsonObject<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> JsonObject<'a> {
    /// Begins an object.
    pub fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, is_empty: true }
    }

    /// Adds a field.
    pub fn field(&mut self, name: &str, value: &(impl Json + ?Sized), version: i16) {
        value.write_json(self.name(name), version);
    }

    /// Adds a field whose value is JSON already.
    pub fn raw(&mut self, name: &str, json: &str) {
        self.name(name).push_str(json);
    }

    /// Adds a field's name; the value has to follow.
    fn name(&mut self, name: &str) -> &mut String {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        name.write_json(self.out, 0);
        self.out.push(':');
        self.out
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push('}');
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Json for $number {
            fn write_json(&self, out: &mut String, _version: i16) {
                // Writing to a string can't fail; here and below.
                let _ = write!(out, "{self}");
            }
        })*
    };
}

numbers!(i8, i16, u16, i32, u32, i64, u64, usize, bool);

impl Json for f64 {
    /// As Java writes it: with a point, and with an exponent from 10^7 on and below 10^-3.
    fn write_json(&self, out: &mut String, _version: i16) {
        let size = self.abs();
        let _ = if size == 0.0 || (1e-3..1e7).contains(&size) {
            write!(out, "{self:?}")
        } else if self.is_nan() {
            write!(out, "\"NaN\"")
        } else if self.is_infinite() {
            write!(out, "\"{}Infinity\"", if *self < 0.0 { "-" } else { "" })
        } else {
            let text = format!("{self:E}");
            match text.split_once('E') {
                Some((digits, exponent)) if !digits.contains('.') => write!(out, "{digits}.0E{exponent}"),
                _ => write!(out, "{text}"),
            }
        };
    }
}

impl Json for str {
    fn write_json(&self, out: &mut String, _version: i16) {
        out.push('"');
        for character in self.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                control if control < ' ' => {
                    let _ = write!(out, "\\u{:04X}", u32::from(control));
                }
                other => out.push(other),
            }
        }
        out.push('"');
    }
}

impl Json for String {
    fn write_json(&self, out: &mut String, version: i16) {
        self.as_str().write_json(out, version);
    }
}

impl Json for Uuid {
    fn write_json(&self, out: &mut String, _version: i16) {
        let _ = write!(out, "\"{self}\"");
    }
}

impl Json for Bytes {
    fn write_json(&self, out: &mut String, _version: i16) {
        out.push('"');
        STANDARD.encode_string(self, out);
        out.push('"');
    }
}

impl<T: Json> Json for Option<T> {
    fn write_json(&self, out: &mut String, version: i16) {
        match self {
            Some(value) => value.write_json(out, version),
            None => out.push_str("null"),
        }
    }
}

impl<T: Json> Json for Vec<T> {
    fn write_json(&self, out: &mut String, version: i16) {
        out.push('[');
        for (index, element) in self.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            element.write_json(out, version);
        }
        out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::{
        LeaderChangeMessage, OffsetCommitValue, TransactionLogValue, leader_change_message::Voter,
    };

    #[test]
    fn numbers_are_as_java_writes_them() {
        for (number, text) in [
            (1024.0, "1024.0"),
            (0.0, "0.0"),
            (-0.5, "-0.5"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.5e300, "1.5E300"),
            (0.001, "0.001"),
            (0.000_25, "2.5E-4"),
            (f64::NAN, "\"NaN\""),
        ] {
            assert_eq!(number.to_json(0), text);
        }
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!("a\"\\\n\u{1b}é".to_json(0), r#""a\"\\\n\u001Bé""#);
    }

    #[test]
    fn fields_are_those_of_the_version() {
        let value = OffsetCommitValue { offset: 4, leader_epoch: 2, ..OffsetCommitValue::default() };
        assert_eq!(value.to_json(0), r#"{"offset":4,"metadata":"","commitTimestamp":0}"#);
        assert_eq!(value.to_json(1), r#"{"offset":4,"metadata":"","commitTimestamp":0,"expireTimestamp":-1}"#);
        assert_eq!(value.to_json(4), r#"{"offset":4,"leaderEpoch":2,"metadata":"","commitTimestamp":0}"#);
    }

    #[test]
    fn tagged_fields_are_there_when_set() {
        let value = TransactionLogValue { previous_producer_id: 3, ..TransactionLogValue::default() };
        assert!(value.to_json(1).starts_with(r#"{"producerId":0,"previousProducerId":3,"producerEpoch":0,"#));
        assert!(!TransactionLogValue::default().to_json(1).contains("previousProducerId"));
    }

    #[test]
    fn structs_within_are_of_the_same_version() {
        let voter = Voter { voter_id: 1, ..Voter::default() };
        let message = LeaderChangeMessage { leader_id: 1, voters: vec![voter], ..LeaderChangeMessage::default() };
        assert_eq!(message.to_json(0), r#"{"version":0,"leaderId":1,"voters":[{"voterId":1}],"grantingVoters":[]}"#);
        assert!(message.to_json(1).contains(r#"{"voterId":1,"voterDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA"}"#));
    }
}
