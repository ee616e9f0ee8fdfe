//! Values: their types, how they are read and checked, and how they are written back, all as Kafka's `ConfigDef`.

use std::fmt;

use super::error::ConfigError;
use super::listeners;

/// Type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Boolean,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// Double precision.
    Double,
    /// Text without white space around it.
    String,
    /// Texts separated by commas.
    List,
    /// Name of a Java class; kept as text.
    Class,
    /// A secret.
    Password,
}

impl Kind {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "boolean" => Self::Boolean,
            "int" => Self::Int,
            "short" => Self::Short,
            "long" => Self::Long,
            "double" => Self::Double,
            "string" => Self::String,
            "list" => Self::List,
            "class" => Self::Class,
            "password" => Self::Password,
            _ => return None,
        })
    }

    /// The code in DescribeConfigs responses (`config_type`, KIP-569).
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// Reads `text` as this type.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`] when it is not one.
    pub fn parse(self, name: &str, text: &str) -> Result<Value, ConfigError> {
        let trimmed = trim(text);
        let not_a_number = |kind: &str| ConfigError::invalid(name, text, format!("Not a number of type {kind}"));
        Ok(match self {
            Self::Boolean if trimmed.eq_ignore_ascii_case("true") => Value::Boolean(true),
            Self::Boolean if trimmed.eq_ignore_ascii_case("false") => Value::Boolean(false),
            Self::Boolean => {
                return Err(ConfigError::invalid(name, text, "Expected value to be either true or false"));
            }
            Self::Int => Value::Number(trimmed.parse::<i32>().map_err(|_| not_a_number("INT"))?.into()),
            Self::Short => Value::Number(trimmed.parse::<i16>().map_err(|_| not_a_number("SHORT"))?.into()),
            Self::Long => Value::Number(trimmed.parse().map_err(|_| not_a_number("LONG"))?),
            Self::Double => Value::Double(parse_double(trimmed).ok_or_else(|| not_a_number("DOUBLE"))?),
            Self::String | Self::Class => Value::Text(trimmed.to_owned()),
            // Not trimmed: a space may be part of a secret.
            Self::Password => Value::Text(text.to_owned()),
            Self::List if trimmed.is_empty() => Value::List(Vec::new()),
            Self::List => Value::List(split_list(trimmed)),
        })
    }
}

/// A checked value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not set, and without a default.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An int, short or long.
    Number(i64),
    /// A double.
    Double(f64),
    /// A string, class or password.
    Text(String),
    /// A list.
    List(Vec<String>),
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Value {
    /// The number, if it is a whole one.
    #[must_use]
    pub const fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    /// As Kafka writes it into responses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Double(value) => f.write_str(&java_double(*value)),
            Self::Text(value) => f.write_str(value),
            Self::List(values) => f.write_str(&values.join(",")),
        }
    }
}

/// What is allowed beyond the type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Valid {
    /// Everything.
    Any,
    /// Numbers between two bounds, which are kept as text since Kafka's messages quote them.
    Range {
        /// The smallest.
        min: &'static str,
        /// The largest, if there is one.
        max: Option<&'static str>,
    },
    /// 1 to 9 or -1.
    GzipLevel,
    /// One of these texts.
    OneOf {
        /// The texts.
        values: Vec<&'static str>,
        /// Whether upper and lower case may be mixed.
        any_case: bool,
    },
    /// Any text but the empty one.
    NonEmpty,
    /// A list; elements that are repeated count once.
    List {
        /// The elements that may occur; empty: all.
        values: Vec<&'static str>,
        /// Whether there must be one.
        non_empty: bool,
    },
    /// `partition:broker` pairs, or `*`.
    ThrottledReplicas,
    /// `id@host:port` entries.
    QuorumVoters,
    /// `host:port` entries.
    BootstrapServers,
    /// What a consumer does without an offset.
    OffsetReset {
        /// Whether `none` is allowed; not for share groups.
        none: bool,
    },
    /// `implicit` or `explicit`.
    ShareAcknowledgementMode,
    /// `batch_optimized` or `record_limit`.
    ShareAcquireMode,
}

impl Valid {
    /// Reads the column of the tables.
    pub(super) fn read(text: &'static str) -> Self {
        let elements = |list: &'static str| -> Vec<&'static str> {
            list.trim_matches(['[', ']']).split(", ").filter(|one| !one.is_empty()).collect()
        };
        match text {
            "" | "non-null" => Self::Any,
            "[1,...,9] or -1" => Self::GzipLevel,
            "non-empty" => Self::NonEmpty,
            "throttled-replicas" => Self::ThrottledReplicas,
            "quorum-voters" => Self::QuorumVoters,
            "bootstrap-servers" => Self::BootstrapServers,
            "offset-reset" => Self::OffsetReset { none: true },
            "share-offset-reset" => Self::OffsetReset { none: false },
            "share-acknowledgement-mode" => Self::ShareAcknowledgementMode,
            "share-acquire-mode" => Self::ShareAcquireMode,
            _ => {
                let text = text.strip_prefix("nullable ").unwrap_or(text);
                if let Some((before, list)) = text.split_once("list") {
                    return Self::List { values: elements(list.trim()), non_empty: before == "non-empty " };
                }
                if let Some(list) = text.strip_prefix("(case insensitive) ") {
                    return Self::OneOf { values: elements(list), any_case: true };
                }
                match text.trim_matches(['[', ']']).split_once(",...") {
                    Some((min, max)) => Self::Range { min, max: max.strip_prefix(',') },
                    None => Self::OneOf { values: elements(text), any_case: false },
                }
            }
        }
    }

    /// Checks a value of the right type; `Null` passes.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`] or [`ConfigError::InvalidList`], in Kafka's words.
    pub fn check(&self, name: &str, value: &Value) -> Result<(), ConfigError> {
        let invalid = |reason: String| Err(ConfigError::invalid(name, value, reason));
        match (self, value) {
            (_, Value::Null) | (Self::Any, _) => Ok(()),
            (Self::Range { min, max }, Value::Number(_) | Value::Double(_)) => {
                if less(value, min) {
                    return invalid(format!("Value must be at least {min}"));
                }
                match max {
                    Some(max) if more(value, max) => invalid(format!("Value must be no more than {max}")),
                    _ => Ok(()),
                }
            }
            (Self::GzipLevel, Value::Number(level)) if !matches!(level, -1 | 1..=9) => {
                invalid("Value must be between 1 and 9 or equal to -1".to_owned())
            }
            (Self::OneOf { values, any_case }, Value::Text(text)) => {
                let found = values.iter().any(|one| one == text || (*any_case && one.eq_ignore_ascii_case(text)));
                let case = if *any_case { " (case insensitive)" } else { "" };
                if found { Ok(()) } else { invalid(format!("String must be one of{case}: {}", values.join(", "))) }
            }
            (Self::NonEmpty, Value::Text(text)) if text.is_empty() => invalid("String must be non-empty".to_owned()),
            (Self::List { values, non_empty }, Value::List(list)) => check_list(name, list, values, *non_empty),
            (Self::ThrottledReplicas, Value::List(list)) => check_throttled_replicas(name, list),
            (Self::QuorumVoters, Value::List(list)) => listeners::parse_voters(name, list).map(drop),
            (Self::BootstrapServers, Value::List(list)) => listeners::parse_servers(name, list).map(drop),
            (Self::OffsetReset { none }, Value::Text(text)) => check_offset_reset(name, text, *none),
            (Self::ShareAcknowledgementMode, Value::Text(text))
                if !matches!(text.as_str(), "implicit" | "explicit") =>
            {
                invalid(wrong_mode(name, text, "'implicit' or 'explicit'"))
            }
            (Self::ShareAcquireMode, Value::Text(text))
                if !["batch_optimized", "record_limit"].iter().any(|one| one.eq_ignore_ascii_case(text)) =>
            {
                invalid(wrong_mode(name, text, "'batch_optimized' or 'record_limit'"))
            }
            _ => Ok(()),
        }
    }
}

fn wrong_mode(name: &str, text: &str, modes: &str) -> String {
    format!("Invalid value `{text}` for configuration {name}. The value must either be {modes}.")
}

fn less(value: &Value, bound: &str) -> bool {
    match value {
        Value::Number(number) => bound.parse::<i64>().is_ok_and(|bound| *number < bound),
        Value::Double(number) => bound.parse::<f64>().is_ok_and(|bound| *number < bound),
        _ => false,
    }
}

fn more(value: &Value, bound: &str) -> bool {
    match value {
        Value::Number(number) => bound.parse::<i64>().is_ok_and(|bound| *number > bound),
        Value::Double(number) => bound.parse::<f64>().is_ok_and(|bound| *number > bound),
        _ => false,
    }
}

fn check_list(name: &str, list: &[String], values: &[&str], non_empty: bool) -> Result<(), ConfigError> {
    let refuse = |reason: &str| Err(ConfigError::InvalidList { name: name.to_owned(), reason: reason.to_owned() });
    if list.is_empty() && non_empty {
        let allowed =
            if values.is_empty() { "any non-empty value".to_owned() } else { format!("[{}]", values.join(", ")) };
        return refuse(&format!("must not be empty. Valid values include: {allowed}"));
    }
    for one in list {
        if one.is_empty() {
            return refuse("values must not be empty.");
        }
        if !values.is_empty() && !values.contains(&one.as_str()) {
            return Err(ConfigError::invalid(name, one, format!("String must be one of: {}", values.join(", "))));
        }
    }
    Ok(())
}

fn check_throttled_replicas(name: &str, list: &[String]) -> Result<(), ConfigError> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    // Kafka lets empty elements pass.
    let is_pair = |one: &String| {
        one.is_empty() || one.split_once(':').is_some_and(|(partition, broker)| digits(partition) && digits(broker))
    };
    if matches!(list, [one] if one == "*") || list.iter().all(is_pair) {
        return Ok(());
    }
    let reason = format!(
        "{name} must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    );
    Err(ConfigError::invalid(name, format!("[{}]", list.join(", ")), reason))
}

fn check_offset_reset(name: &str, text: &str, none: bool) -> Result<(), ConfigError> {
    let known = matches!(text, "earliest" | "latest") || (none && text == "none");
    if known || text.strip_prefix("by_duration:").is_some_and(|duration| iso_duration(duration).is_some()) {
        return Ok(());
    }
    let (values, format) = if none {
        ("'earliest', 'latest', 'none'", "'by_duration:<PnDTnHnMn.nS.>'")
    } else {
        ("'earliest', 'latest'", "'by_duration:<PnDTnHnMn.nS>'")
    };
    let reason = format!(
        "Invalid value `{text}` for configuration {name}. The value must be either {values} or of the format {format}."
    );
    Err(ConfigError::invalid(name, text, reason))
}

/// Reads `PnDTnHnMn.nS` (ISO 8601 as `java.time.Duration` has it) into milliseconds; negative ones are refused.
pub fn iso_duration(text: &str) -> Option<i64> {
    let (sign, rest) = signed(text);
    let rest = rest.strip_prefix(['P', 'p'])?;
    let (date, time) = match rest.split_once(['T', 't']) {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    if rest.is_empty() {
        return None;
    }
    let mut nanos: i128 = 0;
    if !date.is_empty() {
        nanos += i128::from(whole(date.strip_suffix(['D', 'd'])?)?) * 86_400_000_000_000;
    }
    let mut rest = time;
    for (unit, letters) in [(3_600_000_000_000, ['H', 'h']), (60_000_000_000, ['M', 'm'])] {
        if let Some((number, tail)) = rest.split_once(letters) {
            nanos += i128::from(whole(number)?) * unit;
            rest = tail;
        }
    }
    if !rest.is_empty() {
        let seconds = rest.strip_suffix(['S', 's'])?;
        let (seconds, fraction) = seconds.split_once(['.', ',']).unwrap_or((seconds, ""));
        if fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        nanos += i128::from(whole(seconds)?) * 1_000_000_000;
        nanos += signed(seconds).0 * format!("{fraction:0<9}").parse::<i128>().ok()?;
    }
    let nanos = sign * nanos;
    (nanos >= 0).then(|| i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX))
}

/// Cuts a sign off: 1 or -1, and what follows.
fn signed(text: &str) -> (i128, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A number of one to nineteen digits, with a sign or without.
fn whole(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Java's `String.trim`: cuts everything up to the space character.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|character| character <= ' ')
}

/// Cuts at commas; white space around them goes, empty elements stay.
fn split_list(text: &str) -> Vec<String> {
    let space = [' ', '\t', '\n', '\x0b', '\x0c', '\r'];
    text.split(',').map(|one| one.trim_matches(space).to_owned()).collect()
}

/// Java's `Double.parseDouble` for what people write: a trailing `d` or `f` is allowed, words are not, save its two.
fn parse_double(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if matches!(unsigned, "NaN" | "Infinity") {
        return text.parse().ok();
    }
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    digits.parse().ok()
}

/// Java's `Double.toString`.
fn java_double(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else if size == 0.0 || (1e-3..1e7).contains(&size) {
        // `Debug` keeps the `.0` of whole numbers.
        format!("{value:?}")
    } else {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if digits.contains('.') => format!("{digits}E{exponent}"),
            Some((digits, exponent)) => format!("{digits}.0E{exponent}"),
            None => text,
        }
    }
}
