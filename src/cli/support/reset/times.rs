//! Points in time as Kafka's tools read them: a date with its time of day, or how long ago.

use jiff::Timestamp;
use jiff::civil::DateTime;

use crate::cli::support::JavaError;

/// Milliseconds since 1970 of a text such as `2026-01-31T12:30:00.000`, with a zone (`Z`, `+02`, `+0200`, `+02:00`) or in UTC.
pub(crate) fn date_time(text: &str) -> Result<i64, JavaError> {
    let parse = |message: &str| {
        JavaError::new("java.text.ParseException", message).with_hint(Some(
            "write it as 2026-01-31T12:30:00.000, with Z or a zone such as +02:00 after it if need be".to_owned(),
        ))
    };
    let Some((_, time)) = text.split_once('T') else {
        return Err(parse("Error parsing timestamp. It does not contain a 'T' according to ISO8601 format"));
    };
    let with_zone = if time.contains(['+', '-', 'Z']) { text.to_owned() } else { format!("{text}Z") };
    milliseconds(&with_zone).ok_or_else(|| parse(&format!("Unparseable date: \"{with_zone}\"")))
}

fn milliseconds(text: &str) -> Option<i64> {
    let zone_at = text.find('T').map(|at| at + 1)?;
    let zone_at = zone_at + text.get(zone_at..)?.find(['+', '-', 'Z'])?;
    let (local, zone) = text.split_at_checked(zone_at)?;
    // Milliseconds are demanded, and no finer part is understood.
    let (_, fraction) = local.split_once('.')?;
    if fraction.len() != 3 {
        return None;
    }
    let local: DateTime = local.parse().ok()?;
    let utc = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    Some(utc - zone_offset_ms(zone)?)
}

fn zone_offset_ms(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "0"),
        4 => digits.split_at_checked(2)?,
        5 => digits.split_once(':').filter(|(hours, _)| hours.len() == 2)?,
        _ => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// The time so long before now: `P3DT6H30M10.5S`, days as 24 hours.
pub(crate) fn before_now(text: &str, now: Timestamp) -> Result<i64, JavaError> {
    let cannot = || {
        JavaError::new("java.time.format.DateTimeParseException", "Text cannot be parsed to a Duration")
            .with_plain(format!("{text} is no duration"))
            .with_hint(Some("write it as P1DT2H30M: days before the T, hours, minutes and seconds after it".to_owned()))
    };
    let ms = duration_ms(text).ok_or_else(cannot)?;
    now.as_millisecond().checked_sub(ms).ok_or_else(cannot)
}

/// A duration as `java.time.Duration` reads it: `PnDTnHnMn.nS`, each part and the whole with a sign if need be.
fn duration_ms(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let (sign, rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { -1 } else { 1 }, rest),
        None => (1, text.as_str()),
    };
    let rest = rest.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (rest, ""),
    };
    let mut total: i64 = 0;
    let mut parts = 0;
    for (text, units) in [(days, &[('D', 86_400_000)][..]), (time, &[('H', 3_600_000), ('M', 60_000), ('S', 1000)])] {
        let mut text = text;
        for (unit, unit_ms) in units {
            if let Some((number, rest)) = text.split_once(*unit) {
                total = total.checked_add(part_ms(number, *unit, *unit_ms)?)?;
                text = rest;
                parts += 1;
            }
        }
        if !text.is_empty() {
            return None;
        }
    }
    (parts > 0).then_some(sign * total)
}

fn part_ms(number: &str, unit: char, unit_ms: i64) -> Option<i64> {
    let (whole, fraction) = match number.split_once(['.', ',']) {
        Some((whole, fraction)) if unit == 'S' && fraction.len() <= 9 => (whole, fraction),
        Some(_) => return None,
        None => (number, ""),
    };
    let is_negative = whole.starts_with('-');
    let whole: i64 = whole.parse().ok()?;
    let mut millis: i64 = 0;
    for (index, digit) in fraction.chars().enumerate() {
        let digit = i64::from(digit.to_digit(10)?);
        millis += match index {
            0 => digit * 100,
            1 => digit * 10,
            2 => digit,
            _ => 0,
        };
    }
    whole.checked_mul(unit_ms)?.checked_add(if is_negative { -millis } else { millis })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.000", 0),
            ("1970-01-01T00:00:00.001Z", 1),
            ("1970-01-01T02:00:00.000+02", 0),
            ("1970-01-01T02:30:00.000+02:30", 0),
            ("1970-01-01T02:30:00.000+0230", 0),
            ("1969-12-31T23:00:00.000-01:00", 0),
            ("2020-01-01T00:00:00.000", 1_577_836_800_000),
        ] {
            assert_eq!(date_time(text).unwrap(), expected, "{text}");
        }
        let error = |text| date_time(text).unwrap_err().to_java();
        let unparseable = "java.text.ParseException: Unparseable date: ";
        assert_eq!(
            error("2020-01-01"),
            "java.text.ParseException: Error parsing timestamp. It does not contain a 'T' according to ISO8601 format"
        );
        for text in ["2020-01-01T00:00:00", "2020-13-01T00:00:00.000", "2020-01-01T25:00:00.000", "T", "xTy.000"] {
            assert_eq!(error(text), format!("{unparseable}\"{text}Z\""));
        }
        for text in ["2020-01-01T00:00:00.000+2", "2020-01-01T00:00:00.000+24:00", "2020-01-01T00:00:00.000+a2"] {
            assert_eq!(error(text), format!("{unparseable}\"{text}\""));
        }
    }

    #[test]
    fn durations() {
        let now = Timestamp::from_millisecond(1_000_000_000_000).unwrap();
        let ago = |text| before_now(text, now).map(|then| 1_000_000_000_000 - then).map_err(|error| error.to_string());
        for (text, ms) in [
            ("PT1H", 3_600_000),
            ("P1D", 86_400_000),
            ("P1DT1M0.5S", 86_460_500),
            ("pt1.234s", 1234),
            ("PT-1S", -1000),
            ("-PT1S", -1000),
            ("PT0S", 0),
        ] {
            assert_eq!(ago(text), Ok(ms), "{text}");
        }
        for text in ["1h", "P", "PT", "P1DT", "PT1", "P1H", "PT1M1H", "PT1.5H", "PT99999999999999999999S", ""] {
            assert_eq!(ago(text), Err("Text cannot be parsed to a Duration".to_owned()), "{text}");
        }
    }
}
