//! Kafka's standard serializers, and some of ours: how a piece of a line becomes the bytes of a key, value or header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::cli::support::{Charset, DataType, is_uuid};

impl DataType {
    /// What messages say that a piece of a line is not.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Raw | Self::Text(_) | Self::Bytes => "text",
            Self::Short => "a number of 16 bits",
            Self::Integer => "a number of 32 bits",
            Self::Long => "a number of 64 bits",
            Self::Float | Self::Double => "a number",
            Self::Boolean => "true or false",
            Self::Uuid => "a UUID",
            Self::Void => "empty",
            Self::Hex => "hexadecimal",
            Self::Base64 => "base64",
            Self::Json => "JSON",
        }
    }

    /// The bytes that `text` stands for, none for null; an error where it stands for nothing.
    pub(super) fn bytes(self, text: Bytes) -> Result<Option<Bytes>, NotReadable> {
        if matches!(self, Self::Raw | Self::Bytes | Self::Text(Charset::Utf8)) {
            return Ok(Some(text));
        }
        let words = std::str::from_utf8(&text).map_err(|_| NotReadable)?;
        if let Self::Text(charset) = self {
            return Ok(Some(charset.encode(words).into()));
        }
        let words = words.trim();
        let bytes = match self {
            Self::Short => number::<i16>(words)?.to_be_bytes().to_vec(),
            Self::Integer => number::<i32>(words)?.to_be_bytes().to_vec(),
            Self::Long => number::<i64>(words)?.to_be_bytes().to_vec(),
            Self::Float => number::<f32>(words)?.to_be_bytes().to_vec(),
            Self::Double => number::<f64>(words)?.to_be_bytes().to_vec(),
            Self::Boolean => vec![u8::from(number::<bool>(words)?)],
            Self::Uuid if is_uuid(words) => words.to_ascii_lowercase().into_bytes(),
            Self::Void if words.is_empty() => return Ok(None),
            Self::Uuid | Self::Void => return Err(NotReadable),
            Self::Hex => hex(words).ok_or(NotReadable)?,
            Self::Base64 => STANDARD.decode(words).map_err(|_| NotReadable)?,
            Self::Json => {
                serde_json::from_str::<serde_json::Value>(words).map_err(|_| NotReadable)?;
                return Ok(Some(text));
            }
            Self::Raw | Self::Text(_) | Self::Bytes => return Ok(Some(text)),
        };
        Ok(Some(bytes.into()))
    }
}

/// A text that is not what the serializer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotReadable;

fn number<T: std::str::FromStr>(text: &str) -> Result<T, NotReadable> {
    text.parse().map_err(|_| NotReadable)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?));
    rest.is_empty().then(|| bytes.collect())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::support::Role;

    fn bytes(class: &str, text: &str) -> Result<Vec<u8>, NotReadable> {
        let serializer = DataType::named(class, Role::Serializer).unwrap();
        Ok(serializer.bytes(Bytes::copy_from_slice(text.as_bytes()))?.unwrap_or_default().to_vec())
    }

    #[test]
    fn text_becomes_bytes() {
        for (class, text, wanted) in [
            ("org.apache.kafka.common.serialization.StringSerializer", " a", &b" a"[..]),
            ("ShortSerializer", "-1", &[0xff, 0xff]),
            ("org.apache.kafka.common.serialization.IntegerSerializer", "258", &[0, 0, 1, 2]),
            ("long", "-5", &(-5_i64).to_be_bytes()),
            ("FloatSerializer", "0.1", &0.1_f32.to_be_bytes()),
            ("double", "1e7", &1e7_f64.to_be_bytes()),
            ("boolean", "true", &[1]),
            ("hex", "00fFa0", &[0, 0xff, 0xa0]),
            ("base64", "/wA=", &[0xff, 0]),
            ("org.apache.kafka.connect.json.JsonSerializer", "{\"a\": 1}", b"{\"a\": 1}"),
            ("UUIDSerializer", "123E4567-e89b-12d3-a456-426614174000", b"123e4567-e89b-12d3-a456-426614174000"),
        ] {
            assert_eq!(bytes(class, text).unwrap(), wanted, "{class}");
        }
        assert_eq!(DataType::Void.bytes(Bytes::new()), Ok(None));
        let utf16 = DataType::Text(Charset::Utf16Be).bytes(Bytes::from_static(" é".as_bytes()));
        assert_eq!(utf16, Ok(Some(Bytes::from_static(b"\0 \0\xe9"))));
        assert_eq!(DataType::Text(Charset::Latin1).bytes(Bytes::from_static(b"\xff")), Err(NotReadable));
    }

    #[test]
    fn text_that_stands_for_nothing_is_refused() {
        for (class, text) in [
            ("short", "32768"),
            ("integer", "1.5"),
            ("long", ""),
            ("double", "x"),
            ("boolean", "yes"),
            ("hex", "abc"),
            ("hex", "zz"),
            ("hex", "é"),
            ("base64", "a"),
            ("json", "{"),
            ("uuid", "x"),
            ("void", "x"),
        ] {
            assert_eq!(bytes(class, text), Err(NotReadable), "{class} {text}");
        }
        assert!(DataType::named("no.Such", Role::Serializer).is_none());
    }
}
