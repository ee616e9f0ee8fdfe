//! `consumer-groups --validate-regex`: whether brokers would take a regular expression (RE2's syntax, KIP-848).

use serde_json::json;

use crate::cli::support::groups::kafkas_failure;
use crate::cli::support::{Exit, Output, Style};

pub(super) fn run(pattern: &str, out: &mut Output) -> anyhow::Result<Exit> {
    let mistake = mistake(pattern);
    match (out.style(), mistake) {
        (Style::Json, mistake) => out.json(&json!({"version": 1, "valid": mistake.is_none(), "error": mistake}))?,
        (_, None) => out.line(format_args!("The regular expression `{pattern}` is valid."))?,
        (_, Some(mistake)) => out.line(format_args!("The regular expression `{pattern}` is invalid: {mistake}."))?,
    }
    Ok(if mistake.is_none() { Exit::Success } else { kafkas_failure(out) })
}

/// What is wrong with a pattern, in RE2's words.
fn mistake(pattern: &str) -> Option<&'static str> {
    if let Some(mistake) = repetitions(pattern) {
        return Some(mistake);
    }
    let error = regex::Regex::new(pattern).err()?.to_string();
    let known = [
        ("unclosed character class", "missing closing ]"),
        ("unclosed group", "missing closing )"),
        ("unopened group", "regexp/syntax: internal error"),
        ("repetition operator missing expression", "missing argument to repetition operator"),
        ("invalid repetition count range", "invalid repeat count"),
        ("repetition quantifier", "invalid repeat count"),
        ("incomplete escape sequence", "trailing backslash at end of expression"),
        ("invalid character class range", "invalid character class range"),
        ("invalid Unicode character class", "invalid character class range"),
        ("Unicode property", "invalid character class range"),
        ("look-around", "invalid or unsupported Perl syntax"),
        ("unrecognized flag", "invalid or unsupported Perl syntax"),
        ("duplicate capture group name", "duplicate capture group name"),
        ("capture group name", "invalid named capture"),
        ("unrecognized escape sequence", "invalid escape sequence"),
        ("backreferences are not supported", "invalid escape sequence"),
    ];
    let known = known.iter().find(|(ours, _)| error.contains(ours));
    Some(known.map_or("invalid or unsupported Perl syntax", |(_, re2)| *re2))
}

/// Repetitions that RE2 refuses: of a repetition (`a**`), and more than a thousand.
fn repetitions(pattern: &str) -> Option<&'static str> {
    const MOST: u32 = 1000;
    let mut letters = pattern.chars().peekable();
    let mut in_class = false;
    let mut after_repetition = false;
    while let Some(letter) = letters.next() {
        let repeats = match letter {
            '\\' => {
                letters.next();
                false
            }
            '[' if !in_class => {
                in_class = true;
                // A bracket that stands first is a letter.
                letters.next_if_eq(&'^');
                letters.next_if_eq(&']');
                false
            }
            ']' if in_class => {
                in_class = false;
                false
            }
            '*' | '+' | '?' if !in_class => {
                let is_first = !after_repetition;
                if !is_first {
                    return Some("invalid nested repetition operator");
                }
                // Not greedy.
                letters.next_if_eq(&'?');
                true
            }
            '{' if !in_class => {
                let count: String =
                    std::iter::from_fn(|| letters.next_if(|c| c.is_ascii_digit() || *c == ',')).collect();
                let is_count = letters.next_if_eq(&'}').is_some() && count.starts_with(|c: char| c.is_ascii_digit());
                let too_many = |number: &str| !number.is_empty() && number.parse().map_or(true, |n: u32| n > MOST);
                if is_count && count.split(',').any(too_many) {
                    return Some("invalid repeat count");
                }
                is_count
            }
            _ => false,
        };
        after_repetition = repeats;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Kafka's tool said of them.
    #[test]
    fn mistakes_are_told_in_re2s_words() {
        for (pattern, expected) in [
            ("a.*", None),
            ("(?i)a", None),
            ("(?<n>a)", None),
            ("a*?b+?", None),
            ("[*]*", None),
            ("[]*]+", None),
            ("a{2,3}", None),
            ("[", Some("missing closing ]")),
            ("a)", Some("regexp/syntax: internal error")),
            ("(a", Some("missing closing )")),
            ("(?P<n>a", Some("missing closing )")),
            ("a**", Some("invalid nested repetition operator")),
            ("*a", Some("missing argument to repetition operator")),
            ("a{1001}", Some("invalid repeat count")),
            ("a{2,1}", Some("invalid repeat count")),
            ("\\", Some("trailing backslash at end of expression")),
            ("[z-a]", Some("invalid character class range")),
            ("(?=a)", Some("invalid or unsupported Perl syntax")),
            ("\\8", Some("invalid escape sequence")),
            ("(?P<n>a)(?P<n>b)", Some("duplicate capture group name")),
            ("\\pX", Some("invalid character class range")),
        ] {
            assert_eq!(mistake(pattern), expected, "{pattern}");
        }
    }
}
