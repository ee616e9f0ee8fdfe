//! Times in a form that is given as a pattern of Java's `SimpleDateFormat`.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::Uncaught;

/// A pattern that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DateFormat {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(char, usize),
}

/// The letters that mean something.
const LETTERS: &str = "GyYMLwWDdFEuaHkKhmsSzZX";

impl DateFormat {
    /// Reads a pattern.
    pub(crate) fn new(pattern: &str) -> anyhow::Result<Self> {
        let mut pieces: Vec<Piece> = Vec::new();
        let text = |pieces: &mut Vec<Piece>, letter: char| match pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(letter),
            _ => pieces.push(Piece::Text(letter.to_string())),
        };
        let mut letters = pattern.chars().peekable();
        let mut quoted = false;
        while let Some(letter) = letters.next() {
            if letter == '\'' {
                if letters.next_if_eq(&'\'').is_some() {
                    text(&mut pieces, '\'');
                } else {
                    quoted = !quoted;
                }
            } else if quoted || !letter.is_ascii_alphabetic() {
                text(&mut pieces, letter);
            } else if LETTERS.contains(letter) {
                let mut count = 1;
                while letters.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                pieces.push(Piece::Field(letter, count));
            } else {
                return Err(Uncaught::illegal_argument(format!("Illegal pattern character '{letter}'")));
            }
        }
        if quoted {
            return Err(Uncaught::illegal_argument("Unterminated quote"));
        }
        Ok(Self { pieces })
    }

    /// The time in the system's zone.
    pub(crate) fn format(&self, milliseconds: i64) -> String {
        let time = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
        self.format_zoned(&time.to_zoned(TimeZone::system()))
    }

    fn format_zoned(&self, time: &Zoned) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(fixed) => text.push_str(fixed),
                Piece::Field(letter, count) => field(time, *letter, *count, &mut text),
            }
        }
        text
    }
}

fn field(time: &Zoned, letter: char, count: usize, text: &mut String) {
    let mut named = |form: &str| text.push_str(&time.strftime(form).to_string());
    let hour = i64::from(time.hour());
    let number = match letter {
        'G' => return named(if time.year() > 0 { "AD" } else { "BC" }),
        'M' | 'L' if count >= 4 => return named("%B"),
        'M' | 'L' if count == 3 => return named("%b"),
        'E' if count >= 4 => return named("%A"),
        'E' => return named("%a"),
        'a' => return named("%p"),
        'z' => return named("%Z"),
        'Z' => return named("%z"),
        'X' if time.offset().is_zero() => return text.push('Z'),
        'X' if count == 1 => return text.push_str(time.strftime("%z").to_string().get(..3).unwrap_or_default()),
        'X' if count == 2 => return named("%z"),
        'X' => return named("%:z"),
        'y' | 'Y' if count == 2 => i64::from(time.year().rem_euclid(100)),
        'y' | 'Y' => i64::from(time.year()),
        'M' | 'L' => i64::from(time.month()),
        'w' => i64::from((time.day_of_year() - 1 + sunday_based(time.start_weekday())) / 7 + 1),
        'W' => i64::from((i16::from(time.day()) - 1 + sunday_based(time.first_weekday_of_month())) / 7 + 1),
        'D' => i64::from(time.day_of_year()),
        'd' => i64::from(time.day()),
        'F' => i64::from((time.day() - 1) / 7 + 1),
        'u' => i64::from(time.weekday().to_monday_one_offset()),
        'H' => hour,
        'k' => (hour + 23) % 24 + 1,
        'K' => hour % 12,
        'h' => (hour + 11) % 12 + 1,
        'm' => i64::from(time.minute()),
        's' => i64::from(time.second()),
        _ => i64::from(time.millisecond()),
    };
    // Two digits of a year are always two.
    let width = count;
    // Writing to a string does not fail.
    let _ = write!(text, "{number:0width$}");
}

/// What weeks of the year and month are counted from.
trait Weeks {
    fn start_weekday(&self) -> jiff::civil::Weekday;
    fn first_weekday_of_month(&self) -> jiff::civil::Weekday;
}

impl Weeks for Zoned {
    fn start_weekday(&self) -> jiff::civil::Weekday {
        self.date().first_of_year().weekday()
    }

    fn first_weekday_of_month(&self) -> jiff::civil::Weekday {
        self.date().first_of_month().weekday()
    }
}

fn sunday_based(day: jiff::civil::Weekday) -> i16 {
    i16::from(day.to_sunday_zero_offset())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_java() {
        let time = jiff::civil::date(2024, 11, 6).at(15, 4, 5, 67_000_000).to_zoned(TimeZone::UTC).unwrap();
        for (pattern, text) in [
            ("yyyy-MM-dd HH:mm:ss:SSS", "2024-11-06 15:04:05:067"),
            ("HH:mm", "15:04"),
            ("yy/M/d h:m a", "24/11/6 3:4 PM"),
            ("EEE, MMM d yyyy", "Wed, Nov 6 2024"),
            ("EEEE d MMMM", "Wednesday 6 November"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2024-11-06T15:04:05.067Z"),
            ("kk KK Z z", "15 03 +0000 UTC"),
            ("D w W F u G", "311 45 2 1 3 AD"),
            ("'it''s' ''", "it's '"),
        ] {
            assert_eq!(DateFormat::new(pattern).unwrap().format_zoned(&time), text, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told_in_javas_words() {
        for (pattern, message) in [("b", "Illegal pattern character 'b'"), ("'x", "Unterminated quote")] {
            assert_eq!(DateFormat::new(pattern).unwrap_err().to_string(), message);
        }
    }
}
