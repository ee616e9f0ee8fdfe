//! Java's `.properties` format, as `java.util.Properties` reads and writes it.
//!
//! The bytes are ISO-8859-1; other characters stand as `\uXXXX` (UTF-16 units). A file may set a key twice, then the last
//! one counts; lines are remembered, so that an error can name the one that is wrong.

use std::fmt::Write as _;

/// One setting of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, unescaped.
    pub key: String,
    /// The value, unescaped; white space at its end is part of it, as in Java.
    pub value: String,
    /// The line on which the setting begins, from 1.
    pub line: usize,
}

/// The text is not in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SyntaxError {
    /// The line on which the setting begins, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: &'static str,
}

/// Reads all settings in the order of the file, repeated keys included.
///
/// # Errors
/// A `\u` that four hexadecimal digits do not follow; nothing else is wrong in this format.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, SyntaxError> {
    let mut entries = Vec::new();
    let mut lines = LogicalLines { bytes, at: 0, line: 1 };
    while let Some((line, text)) = lines.next_line() {
        let (key, value) = split(&text);
        let malformed = SyntaxError { line, message: "malformed \\uXXXX escape" };
        let key = unescape(key).ok_or(malformed)?;
        let value = unescape(value).ok_or(malformed)?;
        entries.push(Entry { key, value, line });
    }
    Ok(entries)
}

/// Fuzz entry: any bytes are read or refused, and what was read survives being written and read again.
pub fn fuzz(bytes: &[u8]) {
    let Ok(entries) = parse(bytes) else { return };
    let mut text = String::new();
    for entry in &entries {
        write_entry(&mut text, &entry.key, &entry.value);
    }
    let again = parse(text.as_bytes()).unwrap_or_default();
    let same =
        entries.len() == again.len() && entries.iter().zip(&again).all(|(a, b)| a.key == b.key && a.value == b.value);
    assert!(same, "written properties read back differently");
}

/// Appends `key=value` and a line feed, escaped as `Properties.store` does.
pub fn write_entry(out: &mut String, key: &str, value: &str) {
    escape(out, key, true);
    out.push('=');
    escape(out, value, false);
    out.push('\n');
}

/// Lines joined where a backslash ends them, without comments, blank lines and indentation.
struct LogicalLines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl LogicalLines<'_> {
    /// The next logical line, and the line of the file on which it begins.
    fn next_line(&mut self) -> Option<(usize, Vec<u8>)> {
        let mut text = Vec::new();
        let mut begins_at = self.line;
        let mut skip_space = true;
        let mut continued = false;
        let mut backslash = false;
        while let Some((byte, line)) = self.take() {
            let end_of_line = byte == b'\n';
            if skip_space {
                if is_space(byte) || (end_of_line && !continued) {
                    continue;
                }
                skip_space = false;
                continued = false;
            }
            if text.is_empty() {
                // Java looks for a comment here even behind a line that is only a backslash.
                if matches!(byte, b'#' | b'!') {
                    self.skip_comment();
                    skip_space = true;
                    continue;
                }
                begins_at = line;
            }
            if !end_of_line {
                backslash = byte == b'\\' && !backslash;
                text.push(byte);
            } else if text.is_empty() {
                skip_space = true;
            } else if backslash && self.at < self.bytes.len() {
                text.pop();
                skip_space = true;
                continued = true;
                backslash = false;
            } else {
                return Some((begins_at, without_backslash(text, backslash)));
            }
        }
        (!text.is_empty()).then(|| (begins_at, without_backslash(text, backslash)))
    }

    /// The next byte and the line it is on; every end of line is `\n`.
    fn take(&mut self) -> Option<(u8, usize)> {
        let byte = *self.bytes.get(self.at)?;
        let line = self.line;
        self.at += 1;
        if byte == b'\r' && self.bytes.get(self.at) == Some(&b'\n') {
            self.at += 1;
        }
        if matches!(byte, b'\r' | b'\n') {
            self.line += 1;
            return Some((b'\n', line));
        }
        Some((byte, line))
    }

    fn skip_comment(&mut self) {
        while self.take().is_some_and(|(byte, _)| byte != b'\n') {}
    }
}

/// A backslash before the end of the file continues with nothing.
fn without_backslash(mut text: Vec<u8>, backslash: bool) -> Vec<u8> {
    if backslash {
        text.pop();
    }
    text
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0c')
}

/// Cuts a logical line at the first unescaped `=`, `:` or white space.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let end = line.iter().position(|&byte| {
        let ends = !escaped && (matches!(byte, b'=' | b':') || is_space(byte));
        escaped = byte == b'\\' && !escaped;
        ends
    });
    let Some((key, mut rest)) = end.and_then(|end| line.split_at_checked(end)) else { return (line, &[]) };
    let mut separated = false;
    while let Some((&byte, tail)) = rest.split_first() {
        let separator = matches!(byte, b'=' | b':') && !separated;
        if !separator && !is_space(byte) {
            break;
        }
        separated |= separator;
        rest = tail;
    }
    (key, rest)
}

fn unescape(text: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        let unit = match (byte, byte == b'\\') {
            (byte, false) => u16::from(byte),
            (_, true) => match rest.next() {
                None => break,
                Some(b'u') => {
                    let mut unit = 0;
                    for _ in 0..4 {
                        unit = unit << 4 | char::from(*rest.next()?).to_digit(16)?;
                    }
                    u16::try_from(unit).ok()?
                }
                Some(b't') => u16::from(b'\t'),
                Some(b'r') => u16::from(b'\r'),
                Some(b'n') => u16::from(b'\n'),
                Some(b'f') => 0x0c,
                Some(&other) => u16::from(other),
            },
        };
        units.push(unit);
    }
    Some(String::from_utf16_lossy(&units))
}

fn escape(out: &mut String, text: &str, is_key: bool) {
    for (position, character) in text.chars().enumerate() {
        match character {
            ' ' if is_key || position == 0 => out.push_str("\\ "),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\x0c' => out.push_str("\\f"),
            '=' | ':' | '#' | '!' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&bytes);
        }

        #[test]
        fn text_of_the_format_is_read_or_refused(text in "[a=: \\\\\n\r\t\x0c#!u0]{0,60}") {
            fuzz(text.as_bytes());
        }

        #[test]
        fn what_is_written_reads_back(pairs in proptest::collection::vec((any::<String>(), any::<String>()), 0..10)) {
            let mut text = String::new();
            for (key, value) in &pairs {
                write_entry(&mut text, key, value);
            }
            let read: Vec<_> = parse(text.as_bytes()).unwrap().into_iter().map(|one| (one.key, one.value)).collect();
            prop_assert_eq!(read, pairs);
        }
    }

    #[test]
    fn lines_are_remembered() {
        let entries = parse(b"# head\n\na=1\r\nb = 2 \\\n  3\n! note\nc\n").unwrap();
        let seen: Vec<_> = entries.iter().map(|one| (one.key.as_str(), one.value.as_str(), one.line)).collect();
        assert_eq!(seen, [("a", "1", 3), ("b", "2 3", 4), ("c", "", 7)]);
    }
}
