//! What `--add-config`, `--add-config-file` and `--delete-config` ask for.

use anyhow::Context as _;

use super::Options;
use crate::cli::support::{JavaError, UsageError};
use crate::config::properties;

/// Settings to make and to take back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Each key once.
    pub(super) added: Vec<(String, String)>,
    pub(super) deleted: Vec<String>,
}

impl Changes {
    /// Reads the options, and the file if there is one.
    pub(super) fn read(options: &Options) -> anyhow::Result<Self> {
        let mut changes = Self { added: Vec::new(), deleted: Vec::new() };
        if let Some(file) = &options.add_config_file {
            let shown = file.display().to_string();
            let bytes = std::fs::read(file).map_err(|error| {
                let class = match error.kind() {
                    std::io::ErrorKind::NotFound => "java.nio.file.NoSuchFileException",
                    _ => "java.io.IOException",
                };
                JavaError::new(class, shown.clone()).with_plain(format!("could not read {shown}: {error}"))
            })?;
            let entries = properties::parse(&bytes).with_context(|| format!("could not read {shown}"))?;
            for entry in entries {
                changes.add(entry.key, entry.value);
            }
        }
        if let Some(text) = &options.add_config {
            for (key, value) in pairs(text)? {
                changes.add(key, value);
            }
        }
        for (key, _) in &changes.added {
            if !key.chars().all(|letter| letter.is_ascii_alphanumeric() || "$._-".contains(letter)) {
                return Err(UsageError::because(format!("Invalid character found for config key: {key}")));
            }
        }
        changes.deleted = options.delete_config.iter().flat_map(|list| list.split(',')).map(trimmed).collect();
        Ok(changes)
    }

    /// The last of several values counts.
    fn add(&mut self, key: String, value: String) {
        self.added.retain(|(known, _)| *known != key);
        self.added.push((key, value));
    }

    /// The keys that are set or taken back.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.added.iter().map(|(key, _)| key.as_str()).chain(self.deleted.iter().map(String::as_str))
    }
}

fn trimmed(text: &str) -> String {
    text.trim().to_owned()
}

/// `a=1,b=[2,3]`: commas and equals signs in brackets separate nothing, and the brackets go.
fn pairs(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut parts = split_outside_brackets(text, ',');
    // As Java splits: empty parts at the end are not there, unless there is nothing else.
    while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    let mut pairs = Vec::new();
    for part in parts {
        let sides = split_outside_brackets(part, '=');
        let [key, value] = sides.as_slice() else {
            return Err(UsageError::because(
                "requirement failed: Invalid entity config: all configs to be added must be in the format \"key=val\" \
                 or  \"key=[val1,val2]\" to group values which contain commas.",
            ));
        };
        pairs.push((trimmed(key), trimmed(&value.replace(['[', ']'], ""))));
    }
    Ok(pairs)
}

fn split_outside_brackets(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, found) in text.match_indices(separator) {
        let rest = text.get(at + found.len()..).unwrap_or_default();
        // Outside: the next bracket opens, or there is none.
        let outside =
            rest.find(']').is_none_or(|closing| rest.get(..closing).is_some_and(|before| before.contains('[')));
        if outside {
            parts.push(text.get(start..at).unwrap_or_default());
            start = at + found.len();
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(add: &str, delete: &str) -> Result<Changes, String> {
        let options = Options {
            add_config: Some(add.to_owned()),
            delete_config: if delete.is_empty() { Vec::new() } else { vec![delete.to_owned()] },
            ..Options::default()
        };
        Changes::read(&options).map_err(|e| e.to_string())
    }

    fn added(text: &str) -> Vec<(String, String)> {
        read(text, "").unwrap().added
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn brackets_keep_commas_together() {
        assert_eq!(
            added("retention.ms=1000,cleanup.policy=[delete,compact]"),
            [pair("retention.ms", "1000"), pair("cleanup.policy", "delete,compact")]
        );
        assert_eq!(added("a = 1 , b=,"), [pair("a", "1"), pair("b", "")]);
        assert_eq!(added("S=[iterations=8192,password=p]"), [pair("S", "iterations=8192,password=p")]);
        assert_eq!(added("a=1,a=2"), [pair("a", "2")]);
        assert_eq!(added("a=[1],b=[2]"), [pair("a", "1"), pair("b", "2")]);
    }

    #[test]
    fn what_is_no_setting_is_named() {
        for text in ["a", "a=1,b", "a=1=2", ""] {
            assert!(read(text, "").unwrap_err().starts_with("requirement failed: Invalid entity config"), "{text}");
        }
        assert_eq!(read("a b=1", "").unwrap_err(), "Invalid character found for config key: a b");
    }

    #[test]
    fn keys_to_delete() {
        assert_eq!(read("a=1", "b, c").unwrap().deleted, ["b", "c"]);
    }

    #[test]
    fn settings_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p");
        std::fs::write(&file, "a=1\nb: 2,3\n").unwrap();
        let options = Options { add_config_file: Some(file), ..Options::default() };
        assert_eq!(Changes::read(&options).unwrap().added, [pair("a", "1"), pair("b", "2,3")]);
        let absent = Options { add_config_file: Some(dir.path().join("none")), ..Options::default() };
        let error = Changes::read(&absent).unwrap_err();
        let error = error.downcast_ref::<JavaError>().unwrap();
        assert!(error.to_java().starts_with("java.nio.file.NoSuchFileException: /"), "{error}");
    }
}
