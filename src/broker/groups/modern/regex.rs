//! Regular expressions over topic names, as consumers send them: in the syntax of RE2, which Kafka reads with RE2/J.

use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// A pattern may not compile to more than this; an expression from outside must not take the broker's memory.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// Why a pattern is refused.
#[derive(Debug, Error)]
#[error("{0}")]
pub(in crate::broker) struct InvalidPattern(String);

/// A pattern that matches whole topic names, in time that grows no faster than the name.
#[derive(Debug)]
pub(in crate::broker) struct TopicPattern(Regex);

impl TopicPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is not of RE2's syntax, or needs too much memory.
    pub(in crate::broker) fn new(pattern: &str) -> Result<Self, InvalidPattern> {
        let compile = |text: &str| RegexBuilder::new(text).size_limit(MAX_COMPILED_BYTES).build();
        let translated = translate(pattern);
        // Alone first: what only balances with the parentheses around it is not a pattern.
        let whole = compile(&translated).and_then(|_| compile(&format!("^(?:{translated})$")));
        whole.map(Self).map_err(|error| InvalidPattern(reason(&error)))
    }

    /// Whether it matches all of a topic's name.
    pub(in crate::broker) fn matches(&self, topic: &str) -> bool {
        self.0.is_match(topic)
    }
}

/// What is wrong, in one line.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// Where the `regex` crate reads RE2's syntax otherwise: `\Q...\E` quotes, inside of a class `[`, `&&`, `--` and `~~` mean
/// themselves, and a `{` that begins no repetition does too.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut in_class = false;
    let mut class_start = false;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        let at_start = std::mem::take(&mut class_start);
        if c == '\\' {
            if let Some(quoted) = after.strip_prefix('Q') {
                let (literal, next) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                out.push_str(&regex::escape(literal));
                rest = next;
                continue;
            }
            out.push(c);
            let Some(escaped) = after.chars().next() else { break };
            out.push(escaped);
            rest = after.get(escaped.len_utf8()..).unwrap_or_default();
            continue;
        }
        match c {
            '[' if !in_class => {
                in_class = true;
                class_start = true;
                out.push(c);
                if let Some(negated) = after.strip_prefix('^') {
                    out.push('^');
                    rest = negated;
                    continue;
                }
            }
            // `[]a]`: a class may begin with its own end.
            ']' if in_class && !at_start => {
                in_class = false;
                out.push(c);
            }
            '[' if after.starts_with(':') => match after.split_once(":]") {
                Some((name, next)) => {
                    out.push('[');
                    out.push_str(name);
                    out.push_str(":]");
                    rest = next;
                    continue;
                }
                None => out.push_str("\\["),
            },
            '[' => out.push_str("\\["),
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_class && after.starts_with('-') => {
                out.push_str("\\-");
            }
            '{' if !in_class && !begins_repetition(after) => out.push_str("\\{"),
            _ => out.push(c),
        }
        rest = after;
    }
    out
}

/// Whether what follows a `{` is `n}`, `n,}` or `n,m}`.
fn begins_repetition(after: &str) -> bool {
    let Some((inside, _)) = after.split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, "0"));
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !least.is_empty() && is_number(least) && is_number(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_are_matched() {
        for (pattern, name, matches) in [
            ("foo", "foo", true),
            ("foo", "foobar", false),
            ("foo|bar", "bar", true),
            ("foo|bar", "foobar", false),
            ("foo.*", "foobar", true),
            ("[a-c]+[[:digit:]]{2}", "abc12", true),
            ("\\d+\\.x", "12.x", true),
            ("\\Qa.b\\E.*", "a.bc", true),
            ("\\Qa.b\\E.*", "axbc", false),
            ("(?i)FOO", "foo", true),
            ("a{,2}", "aa", false),
            ("[]a]+", "a", true),
            ("[[a]+", "a", true),
            ("[a&&b]+", "ab", true),
            ("\\pL+", "abc", true),
            ("", "", true),
            ("^foo$", "foo", true),
        ] {
            assert_eq!(TopicPattern::new(pattern).unwrap().matches(name), matches, "{pattern} on {name}");
        }
    }

    #[test]
    fn what_re2_can_not_read_is_refused() {
        for pattern in ["[", "(", "a)(b", "*", "(?=a)", "\\1", "\\", "[b-a]", "(a{1000}){1000}"] {
            assert!(TopicPattern::new(pattern).is_err(), "{pattern}");
        }
        assert_eq!(TopicPattern::new("[").unwrap_err().to_string(), "unclosed character class");
    }
}
