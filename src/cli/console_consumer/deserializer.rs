//! Kafka's standard deserializers, and how Java writes what they read.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// How the bytes of a key, value or header become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deserializer {
    /// As they are; for String also, so that no byte is lost.
    Raw,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Boolean,
    Uuid,
    Bytes,
    Void,
}

/// Package of Kafka's own classes.
const PACKAGE: &str = "org.apache.kafka.common.serialization.";

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
}

impl Deserializer {
    /// The deserializer of this class, with or without its package.
    pub(super) fn named(class: &str) -> Option<Self> {
        Some(match class.strip_prefix(PACKAGE).unwrap_or(class) {
            "StringDeserializer" | "ByteArrayDeserializer" => Self::Raw,
            "ShortDeserializer" => Self::Short,
            "IntegerDeserializer" => Self::Integer,
            "LongDeserializer" => Self::Long,
            "FloatDeserializer" => Self::Float,
            "DoubleDeserializer" => Self::Double,
            "BooleanDeserializer" => Self::Boolean,
            "UUIDDeserializer" => Self::Uuid,
            "BytesDeserializer" => Self::Bytes,
            "VoidDeserializer" => Self::Void,
            _ => return None,
        })
    }

    /// Appends the text of `bytes` to `to`.
    pub(super) fn print(self, bytes: &[u8], to: &mut Vec<u8>) -> Result<(), DeserializeError> {
        let text = match self {
            Self::Raw => {
                to.extend_from_slice(bytes);
                return Ok(());
            }
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
        };
        to.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Deserializer {
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
            Self::Raw | Self::Uuid | Self::Bytes | Self::Void => Ok(match String::from_utf8(text) {
                Ok(text) => text.into(),
                Err(error) => json!({"base64": STANDARD.encode(error.as_bytes())}),
            }),
        }
    }
}

fn sized<const N: usize>(bytes: &[u8], class: &'static str) -> Result<[u8; N], DeserializeError> {
    bytes.try_into().map_err(|_| DeserializeError::Size { class, wanted: N })
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
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

    fn print(class: &str, bytes: &[u8]) -> Result<String, String> {
        let mut text = Vec::new();
        Deserializer::named(class).unwrap().print(bytes, &mut text).map_err(|e| e.to_string())?;
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
        assert_eq!(print("BytesDeserializer", b"v1\x00\xff").unwrap(), "v1\\x00\\xFF");
        let id = "123E4567-e89b-12d3-a456-426614174000";
        assert_eq!(print("UUIDDeserializer", id.as_bytes()).unwrap(), id.to_ascii_lowercase());
        assert_eq!(print("UUIDDeserializer", b"x").unwrap_err(), "Invalid UUID string: x");
        assert!(Deserializer::named("no.Such").is_none());
    }
}
