//! Which names a topic may have.

use thiserror::Error;

/// Longest name of a topic: its partitions' directories must not become longer than a file name may be.
pub const MAX_LENGTH: usize = 249;

/// What is wrong with a topic's name, in Kafka's words (clients and tests match on them).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTopicName {
    /// It is empty.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// It is `.` or `..`, which no directory may be called.
    #[error("Topic name is invalid: '{0}' is not allowed")]
    Reserved(String),
    /// It has more than [`MAX_LENGTH`] characters.
    #[error("Topic name is invalid: the length of '{0}' is longer than the max allowed length {MAX_LENGTH}")]
    TooLong(String),
    /// It has a character that names don't have.
    #[error(
        "Topic name is invalid: '{0}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    )]
    Character(String),
}

/// Checks a topic's name.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: &str) -> Result<(), InvalidTopicName> {
    if name.is_empty() {
        return Err(InvalidTopicName::Empty);
    }
    if name == "." || name == ".." {
        return Err(InvalidTopicName::Reserved(name.to_owned()));
    }
    if name.encode_utf16().count() > MAX_LENGTH {
        return Err(InvalidTopicName::TooLong(name.to_owned()));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return Err(InvalidTopicName::Character(name.to_owned()));
    }
    Ok(())
}

/// Whether two different names would have the same metrics, where dots become underscores.
#[must_use]
pub fn collide(one: &str, other: &str) -> bool {
    let same = |byte: u8| if byte == b'.' { b'_' } else { byte };
    one != other && one.len() == other.len() && one.bytes().map(same).eq(other.bytes().map(same))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_kafka_does() {
        for name in ["a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        assert_eq!(check(""), Err(InvalidTopicName::Empty));
        assert_eq!(check("..").unwrap_err().to_string(), "Topic name is invalid: '..' is not allowed");
        assert!(matches!(check(&"x".repeat(250)), Err(InvalidTopicName::TooLong(_))));
        for name in ["a b", "é", "a/b", "a\0"] {
            assert!(matches!(check(name), Err(InvalidTopicName::Character(_))), "{name}");
        }
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert!(collide("a.b_c", "a_b.c"));
        assert!(!collide("a.b", "a.b") && !collide("a.b", "a-b") && !collide("a.b", "a_bc"));
    }
}
