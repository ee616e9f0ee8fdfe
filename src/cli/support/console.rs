//! What the console tools share: options that KIP-1147 renamed, and properties from a file and from options.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

use super::{Output, UsageError};
use crate::config::properties;

/// A separator typed as `\t`, `\n` or `\0` in a shell that leaves it so can only mean the character.
pub(crate) fn unescaped(separator: &str) -> &str {
    match separator {
        "\\t" => "\t",
        "\\n" => "\n",
        "\\0" => "\0",
        _ => separator,
    }
}

/// How a tool takes the old names of options, and how it words that: Kafka's tools don't do so alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RenamedOptions {
    /// What a remark about an old name begins with.
    label: &'static str,
    new_name_first: bool,
}

impl RenamedOptions {
    /// In the words of console-consumer.
    pub(crate) const CONSUMER: Self = Self { label: "Option", new_name_first: false };
    /// In the words of console-producer.
    pub(crate) const PRODUCER: Self = Self { label: "Warning:", new_name_first: true };

    /// Moves what was given by an old name to the new one, and says so on stderr.
    ///
    /// # Errors
    /// A [`UsageError`] if both names were used.
    pub(crate) fn take_old<T: Given>(
        self,
        (old, old_values): (&str, &mut T),
        (new, values): (&str, &mut T),
        out: &mut Output,
    ) -> anyhow::Result<()> {
        if !old_values.is_given() {
            return Ok(());
        }
        if values.is_given() {
            let (first, second) = if self.new_name_first { (new, old) } else { (old, new) };
            return Err(UsageError::because(format!("Options --{first} and --{second} cannot be specified together.")));
        }
        out.note(format_args!(
            "{} --{old} is deprecated and will be removed in a future version. Use --{new} instead.",
            self.label
        ))?;
        *values = std::mem::take(old_values);
        Ok(())
    }
}

/// The values of an option, none or some.
pub(crate) trait Given: Default {
    /// Whether there is a value.
    fn is_given(&self) -> bool;
}

impl<T> Given for Vec<T> {
    fn is_given(&self) -> bool {
        !self.is_empty()
    }
}

impl<T> Given for Option<T> {
    fn is_given(&self) -> bool {
        self.is_some()
    }
}

/// The properties of a file, and over them those given as `key=value`.
pub(crate) fn properties_of(file: Option<&Path>, pairs: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    if let Some(file) = file {
        let bytes = std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
        let entries = properties::parse(&bytes).with_context(|| format!("could not read {}", file.display()))?;
        found.extend(entries.into_iter().map(|entry| (entry.key, entry.value)));
    }
    for pair in pairs {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        found.insert(key.to_owned(), value.to_owned());
    }
    Ok(found)
}

/// Whether it is a UUID as Java writes it: eight, four, four, four and twelve hexadecimal digits.
pub(crate) fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_are_taken_and_told_of() {
        let (mut out, captured) = Output::captured();
        let (mut old, mut new) = (vec!["a"], Vec::new());
        RenamedOptions::CONSUMER.take_old(("old", &mut old), ("new", &mut new), &mut out).unwrap();
        assert_eq!((old, new), (vec![], vec!["a"]));
        RenamedOptions::PRODUCER.take_old(("old", &mut Some(1)), ("new", &mut None), &mut out).unwrap();
        RenamedOptions::PRODUCER.take_old(("old", &mut None::<i32>), ("new", &mut Some(1)), &mut out).unwrap();
        assert_eq!(
            captured.stderr(),
            "Option --old is deprecated and will be removed in a future version. Use --new instead.\n\
             Warning: --old is deprecated and will be removed in a future version. Use --new instead.\n"
        );
    }

    #[test]
    fn old_and_new_names_do_not_go_together() {
        let (mut out, _) = Output::captured();
        let mut both = |words: RenamedOptions| {
            words.take_old(("old", &mut Some(1)), ("new", &mut Some(2)), &mut out).unwrap_err().to_string()
        };
        assert_eq!(both(RenamedOptions::CONSUMER), "Options --old and --new cannot be specified together.");
        assert_eq!(both(RenamedOptions::PRODUCER), "Options --new and --old cannot be specified together.");
    }

    #[test]
    fn options_win_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p");
        std::fs::write(&file, "a=1\nb=2\n").unwrap();
        let found = properties_of(Some(&file), &["b=3=4".to_owned(), "c".to_owned()]).unwrap();
        let expected = [("a", "1"), ("b", "3=4"), ("c", "")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        let absent = properties_of(Some(&dir.path().join("none")), &[]).unwrap_err();
        assert!(absent.to_string().starts_with("could not read "), "{absent}");
    }
}
