//! Kafka's standard deserializers, and how Java writes what they read; and some of ours.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::list::ListError;
use crate::cli::support::{Charset, DataType, is_uuid};

/// Bytes that a deserializer can't read; the texts are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum DeserializeError {
    #[error("Size of data received by {class} is not {wanted}")]
    Size { class: &'static str, wanted: usize },
    #[error("Unexpected byte received by BooleanDeserializer: {0}")]
    Boolean(i8),
    #[error("Data should be null for a VoidDeserializer.")]
    NotVoid,
    #[error("Invalid UUID string: {0}")]
    Uuid(String),
    #[error("no JSON: {0}")]
    Json(String),
    #[error(transparent)]
    List(#[from] ListError),
}

impl DataType {
    /// Appends the text of `bytes` to `to`.
    pub(super) fn print(self, bytes: &[u8], to: &mut Vec<u8>) -> Result<(), DeserializeError> {
        let text = match self {
            Self::Raw | Self::Text(Charset::Utf8) => {
                to.extend_from_slice(bytes);
                return Ok(());
            }
            Self::Text(charset) => charset.decode(bytes),
            Self::Short => i16::from_be_bytes(sized(bytes, "ShortDeserializer")?).to_string(),
            Self::Integer => i32::from_be_bytes(sized(bytes, "IntegerDeserializer")?).to_string(),
            Self::Long => i64::from_be_bytes(sized(bytes, "LongDeserializer")?).to_string(),
            Self::Float => {
                let value = f32::from_be_bytes(sized(bytes, "Deserializer")?);
                java_float(f64::from(value), &format!("{value:e}"))
            }
            Self::Double => {
                let value = f64::from_be_bytes(sized(bytes, "Deserializer")?);
                java_float(value, &format!("{value:e}"))
            }
            Self::Boolean => match sized::<1>(bytes, "BooleanDeserializer")? {
                [0] => "false".to_owned(),
                [1] => "true".to_owned(),
                [other] => return Err(DeserializeError::Boolean(other.cast_signed())),
            },
            Self::Uuid => match std::str::from_utf8(bytes).ok().filter(|text| is_uuid(text)) {
                Some(text) => text.to_ascii_lowercase(),
                None => return Err(DeserializeError::Uuid(String::from_utf8_lossy(bytes).into_owned())),
            },
            Self::Bytes => escaped(bytes),
            Self::Void => return Err(DeserializeError::NotVoid),
            Self::Hex => hex(bytes),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Json => compact(bytes)?,
        };
        to.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl DataType {
    /// The bytes that each value has, where Kafka's lists count on that.
    pub(super) fn fixed_size(self) -> Option<usize> {
        match self {
            Self::Short => Some(2),
            Self::Integer | Self::Float => Some(4),
            Self::Long | Self::Double => Some(8),
            Self::Uuid => Some(36),
            _ => None,
        }
    }

    /// The same for JSON: numbers and truth values as such, text as text, other bytes as `{"base64": ...}`.
    pub(super) fn json(self, bytes: Option<&[u8]>) -> Result<Value, DeserializeError> {
        let Some(bytes) = bytes else { return Ok(Value::Null) };
        let mut text = Vec::new();
        self.print(bytes, &mut text)?;
        match self {
            Self::Short | Self::Integer | Self::Long | Self::Float | Self::Double | Self::Boolean => {
                // JSON has no word for NaN and the infinities.
                Ok(serde_json::from_slice(&text).unwrap_or_else(|_| String::from_utf8_lossy(&text).into()))
            }
            Self::Json => Ok(serde_json::from_slice(&text).unwrap_or(Value::Null)),
            Self::Raw | Self::Text(_) | Self::Uuid | Self::Bytes | Self::Void | Self::Hex | Self::Base64 => {
                Ok(match String::from_utf8(text) {
                    Ok(text) => text.into(),
                    Err(error) => json!({"base64": STANDARD.encode(error.as_bytes())}),
                })
            }
        }
    }
}

fn sized<const N: usize>(bytes: &[u8], class: &'static str) -> Result<[u8; N], DeserializeError> {
    bytes.try_into().map_err(|_| DeserializeError::Size { class, wanted: N })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// JSON without the white space between its parts; numbers keep their digits, objects their order.
fn compact(bytes: &[u8]) -> Result<String, DeserializeError> {
    serde_json::from_slice::<Value>(bytes).map_err(|error| DeserializeError::Json(error.to_string()))?;
    let mut text = String::with_capacity(bytes.len());
    let (mut in_string, mut escaped) = (false, false);
    for letter in String::from_utf8_lossy(bytes).chars() {
        if in_string || !letter.is_ascii_whitespace() {
            text.push(letter);
        }
        in_string = if letter == '"' && !escaped { !in_string } else { in_string };
        escaped = in_string && letter == '\\' && !escaped;
    }
    Ok(text)
}

/// As Java's `Bytes` prints: ASCII as it is, the rest as `\xAB`.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() || byte == b' ' {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}

/// A number as Java prints it: `1.0`, `1.0E10`, `NaN`. `scientific` is Rust's `{:e}` form, whose digits are the
/// fewest that tell the number apart, as are Java's since version 19.
fn java_float(value: f64, scientific: &str) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific.to_owned() };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let is_plain = value == 0.0 || (-3..7).contains(&exponent);
    let (whole, fraction, suffix) = if !is_plain {
        let (whole, fraction) = digits.split_at(1);
        (whole.to_owned(), fraction.to_owned(), format!("E{exponent}"))
    } else if exponent < 0 {
        let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
        ("0".to_owned(), format!("{}{digits}", "0".repeat(zeros)), String::new())
    } else {
        let length = usize::try_from(exponent + 1).unwrap_or(1);
        let padded = format!("{digits:0<length$}");
        let (whole, fraction) = padded.split_at(length);
        (whole.to_owned(), fraction.to_owned(), String::new())
    };
    let fraction = if fraction.is_empty() { "0" } else { &fraction };
    format!("{sign}{whole}.{fraction}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::support::Role;

    fn print(class: &str, bytes: &[u8]) -> Result<String, String> {
        let mut text = Vec::new();
        DataType::named(class, Role::Deserializer).unwrap().print(bytes, &mut text).map_err(|e| e.to_string())?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn numbers() {
        assert_eq!(print("org.apache.kafka.common.serialization.IntegerDeserializer", &[0, 0, 0, 7]).unwrap(), "7");
        assert_eq!(print("LongDeserializer", &(-5i64).to_be_bytes()).unwrap(), "-5");
        assert_eq!(print("ShortDeserializer", &[0xff, 0xff]).unwrap(), "-1");
        assert_eq!(print("BooleanDeserializer", &[1]).unwrap(), "true");
        assert_eq!(
            print("IntegerDeserializer", b"xyz").unwrap_err(),
            "Size of data received by IntegerDeserializer is not 4"
        );
    }

    #[test]
    fn fractions_are_written_as_java_does() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (123.456, "123.456"),
            (0.001, "0.001"),
            (0.000_99, "9.9E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.25e-10, "1.25E-10"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(print("DoubleDeserializer", &value.to_be_bytes()).unwrap(), text);
        }
        assert_eq!(print("FloatDeserializer", &0.1f32.to_be_bytes()).unwrap(), "0.1");
    }

    #[test]
    fn other_classes() {
        assert_eq!(print("StringDeserializer", "üñí".as_bytes()).unwrap(), "üñí");
        let latin1 = DataType::Text(Charset::Latin1);
        assert_eq!(latin1.json(Some(b"\xe9")).unwrap(), "é");
        assert_eq!(print("BytesDeserializer", b"v1\x00\xff").unwrap(), "v1\\x00\\xFF");
        let id = "123E4567-e89b-12d3-a456-426614174000";
        assert_eq!(print("UUIDDeserializer", id.as_bytes()).unwrap(), id.to_ascii_lowercase());
        assert_eq!(print("UUIDDeserializer", b"x").unwrap_err(), "Invalid UUID string: x");
        assert!(DataType::named("no.Such", Role::Deserializer).is_none());
    }

    #[test]
    fn bytes_as_digits_and_json_on_a_line() {
        assert_eq!(print("hex", b"\x00\xffa").unwrap(), "00ff61");
        assert_eq!(print("Base64Deserializer", b"\xff\x00").unwrap(), "/wA=");
        let json = b"{ \"b\": [1.10, 12345678901234567890123],\n \"a \\\" c\": \"x y\\\\\" }";
        assert_eq!(
            print("org.apache.kafka.connect.json.JsonDeserializer", json).unwrap(),
            "{\"b\":[1.10,12345678901234567890123],\"a \\\" c\":\"x y\\\\\"}"
        );
        assert!(print("json", b"{").unwrap_err().starts_with("no JSON: "));
        assert_eq!(DataType::Json.json(Some(b"[1, null]")).unwrap(), json!([1, null]));
        assert_eq!(DataType::Hex.json(Some(b"\x01")).unwrap(), "01");
    }
}
