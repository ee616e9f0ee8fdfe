//! From checked values to the types that the program calculates with.

use std::time::Duration;

use super::error::ConfigError;
use super::value::{Password, Value};

/// A type that a key's value can be read as.
pub(super) trait FromValue: Sized {
    /// `None` if the value does not fit, which is a mistake in this program or a missing setting.
    fn from_value(key: &str, value: &Value) -> Option<Self>;
}

/// Reads `value` of `key`.
pub(super) fn read<T: FromValue>(key: &str, value: &Value) -> Result<T, ConfigError> {
    T::from_value(key, value).ok_or_else(|| match value {
        Value::Null => ConfigError::Missing { name: key.to_owned() },
        _ => ConfigError::invalid(key, value, "Value is out of the range that can be used here"),
    })
}

/// The unit that Kafka's keys carry in their names, in milliseconds.
pub(super) fn unit_millis(key: &str) -> i64 {
    match key.rsplit('.').next() {
        Some("hours") => 3_600_000,
        Some("minutes") => 60_000,
        Some("seconds" | "secs") => 1000,
        _ => 1,
    }
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl FromValue for $type {
            fn from_value(_: &str, value: &Value) -> Option<Self> {
                match value {
                    Value::Number(number) => (*number).try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}
integers! { i8 i16 i32 i64 u32 usize }

impl FromValue for bool {
    fn from_value(_: &str, value: &Value) -> Option<Self> {
        match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        }
    }
}

impl FromValue for f64 {
    fn from_value(_: &str, value: &Value) -> Option<Self> {
        match value {
            Value::Double(value) => Some(*value),
            _ => None,
        }
    }
}

impl FromValue for String {
    fn from_value(_: &str, value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromValue for Password {
    fn from_value(key: &str, value: &Value) -> Option<Self> {
        String::from_value(key, value).map(Self::new)
    }
}

impl FromValue for Vec<String> {
    fn from_value(_: &str, value: &Value) -> Option<Self> {
        match value {
            Value::List(list) => Some(list.clone()),
            _ => None,
        }
    }
}

impl FromValue for Duration {
    /// In the unit of the key's name; a negative time is none at all.
    fn from_value(key: &str, value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(Self::from_millis(
                u64::try_from(*number).unwrap_or(0).saturating_mul(unit_millis(key).unsigned_abs()),
            )),
            _ => None,
        }
    }
}

/// Values that Kafka lets be absent: null, or negative where that means "no limit".
impl<T: FromValue> FromValue for Option<T> {
    fn from_value(key: &str, value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            Value::Number(number) if *number < 0 => Some(None),
            // Kafka counts the bytes of waiting requests only for a positive limit.
            Value::Number(0) if key == "queued.max.request.bytes" => Some(None),
            value => T::from_value(key, value).map(Some),
        }
    }
}
