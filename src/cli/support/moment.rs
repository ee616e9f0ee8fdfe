//! Moments on the command line: a date, a date and time, milliseconds, or how long ago.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};

/// What is accepted, for messages and help.
pub(crate) const MOMENTS: &str = "a time such as 2026-01-31T12:00, 2026-01-31, -90m (ago) or milliseconds since 1970";

/// Milliseconds since 1970 of a moment as people write it; without a zone it is in the system's.
pub(crate) fn parse_moment(text: &str) -> Result<i64, String> {
    moment(text, Timestamp::now(), &TimeZone::system()).ok_or_else(|| format!("not {MOMENTS}"))
}

fn moment(text: &str, now: Timestamp, zone: &TimeZone) -> Option<i64> {
    if text == "now" {
        return Some(now.as_millisecond());
    }
    if let Some(ago) = text.strip_prefix('-') {
        let span: Span = ago.parse().ok()?;
        let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        return Some(now.checked_sub(duration).ok()?.as_millisecond());
    }
    if text.len() > 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    let local = match text.parse::<DateTime>() {
        Ok(local) => local,
        Err(_) => text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight()),
    };
    Some(local.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
}

/// A timestamp of a record as people read it.
pub(crate) fn moment_text(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(timestamp) => timestamp.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => millis.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_as_people_write_them() {
        let now = Timestamp::from_millisecond(1_700_000_000_000).unwrap();
        let at = |text: &str| moment(text, now, &TimeZone::UTC);
        assert_eq!(at("now"), Some(1_700_000_000_000));
        assert_eq!(at("-90m"), Some(1_700_000_000_000 - 90 * 60_000));
        assert_eq!(at("-1d 1h"), Some(1_700_000_000_000 - 25 * 3_600_000));
        assert_eq!(at("1700000000000"), Some(1_700_000_000_000));
        assert_eq!(at("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(at("2023-11-14T22:13:20"), Some(1_700_000_000_000));
        assert_eq!(at("2023-11-14 23:13:20+01:00"), Some(1_700_000_000_000));
        assert_eq!(at("2023-11-14"), Some(1_699_920_000_000));
        for text in ["", "-", "yesterday", "2023-13-01", "-x", "99999999999999999999999", "2023-11-14T25:00"] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
