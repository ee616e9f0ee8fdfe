//! Mistakes in the command line, in the words of Kafka's tools.

use std::any::TypeId;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Exit, Output};

/// A command line that can't be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsageError {
    /// What kind of mistake: some tools report some kinds in another way.
    pub(crate) kind: Mistake,
    /// The option or word that is wrong.
    pub(crate) given: String,
    /// The value that is wrong.
    pub(crate) value: String,
    message: String,
    suggestion: Option<String>,
    /// What to say instead of where help is.
    hint: Option<String>,
}

/// The kinds of mistakes that Kafka's parser tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// An option that the tool does not have.
    Unknown,
    /// An option without its value.
    NoValue,
    /// A value that is not a number, or none of those allowed.
    BadValue,
    /// An option given twice that counts once.
    Repeated,
    /// Anything else: options that don't go together, or that are missing.
    Other,
}

impl UsageError {
    /// Options that don't go together or are missing; the text is Kafka's.
    pub(crate) fn because(message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self::other(message.into(), None))
    }

    /// The same with a hint of its own.
    pub(crate) fn hinted(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self::other(message.into(), Some(hint.into())))
    }

    fn other(message: String, hint: Option<String>) -> Self {
        Self { kind: Mistake::Other, given: String::new(), value: String::new(), message, suggestion: None, hint }
    }

    /// `Missing required argument "[name]"`.
    pub(crate) fn missing(option: &str) -> anyhow::Error {
        Self::because(format!("Missing required argument \"[{option}]\""))
    }

    /// `Option "[used]" can't be used with option "[option]"`.
    pub(crate) fn conflict(option: &str, used: &str) -> anyhow::Error {
        Self::because(format!("Option \"[{option}]\" can't be used with option \"[{used}]\""))
    }

    /// A word that is no text where text is wanted: names the option that it was given to.
    pub(crate) fn not_utf8(command: &Command, words: &[OsString]) -> anyhow::Error {
        let takes_any = |option: &str| {
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(option));
            arg.is_some_and(|arg| arg.get_value_parser().type_id() == TypeId::of::<PathBuf>())
        };
        let mut before = "";
        for word in words {
            match word.to_str() {
                Some(text) => before = text,
                None => {
                    let word = word.to_string_lossy();
                    let option = if word.starts_with('-') { &word } else { before };
                    let option = option_name(option);
                    if option.is_empty() || takes_any(option) {
                        continue;
                    }
                    return Self::because(format!("The value of option {option} is not valid UTF-8"));
                }
            }
        }
        Self::because("an argument is not valid UTF-8")
    }

    /// Translates what clap found.
    pub(crate) fn from_clap(error: &clap::Error) -> Self {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.as_str()),
            Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
            _ => None,
        };
        let option = text(ContextKind::InvalidArg).map(option_name).unwrap_or_default();
        let value = text(ContextKind::InvalidValue).unwrap_or_default();
        let suggestion = text(ContextKind::SuggestedArg).or(text(ContextKind::SuggestedValue));
        let (kind, message) = match error.kind() {
            ErrorKind::UnknownArgument => (Mistake::Unknown, format!("{option} is not a recognized option")),
            ErrorKind::InvalidValue if value.is_empty() => {
                (Mistake::NoValue, format!("Option {option} requires an argument"))
            }
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
                (Mistake::BadValue, format!("Cannot parse argument '{value}' of option {option}"))
            }
            ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
                (Mistake::NoValue, format!("Option {option} requires an argument"))
            }
            ErrorKind::ArgumentConflict => {
                (Mistake::Repeated, format!("Found multiple arguments for option {option}, but you asked for only one"))
            }
            ErrorKind::MissingRequiredArgument => {
                (Mistake::Other, format!("Missing required argument \"[{}]\"", option.trim_matches(['<', '>'])))
            }
            ErrorKind::InvalidSubcommand => {
                let word = text(ContextKind::InvalidSubcommand).unwrap_or_default();
                (Mistake::Other, format!("invalid choice: '{word}'"))
            }
            ErrorKind::InvalidUtf8 => (Mistake::Other, "an argument is not valid UTF-8".to_owned()),
            _ => (Mistake::Other, error.to_string().trim().trim_start_matches("error: ").to_owned()),
        };
        let given = text(ContextKind::InvalidArg).unwrap_or(value).to_owned();
        Self { kind, given, value: value.to_owned(), message, suggestion: suggestion.map(str::to_owned), hint: None }
    }

    /// Prints the mistake and, on the next line, where help is.
    pub(crate) fn report(&self, called_as: &str, out: &mut Output) -> io::Result<Exit> {
        if out.is_for_people() {
            out.error(&self.message)?;
        } else {
            out.note(&self.message)?;
        }
        match (&self.hint, &self.suggestion) {
            (Some(hint), _) => out.hint(hint)?,
            (None, Some(suggestion)) => {
                out.hint(&format!("did you mean {suggestion}? `{called_as} --help` lists the options"))?
            }
            (None, None) => out.hint(&format!("`{called_as} --help` lists the options"))?,
        }
        Ok(Exit::Failure)
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for UsageError {}

/// `topic` of `--topic <NAME>`.
fn option_name(shown: &str) -> &str {
    let name = shown.trim_start_matches('-');
    name.split([' ', '=', '[']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::support::with_kafkas_option_rules;

    #[derive(Debug, clap::Parser)]
    struct Tool {
        #[arg(long, value_name = "NAME")]
        topic: Option<String>,
        #[arg(long)]
        partitions: Option<i32>,
        #[arg(long)]
        list: bool,
    }

    fn mistake(words: &[&str]) -> UsageError {
        let command = with_kafkas_option_rules(<Tool as clap::CommandFactory>::command());
        let words = std::iter::once("tool").chain(words.iter().copied());
        UsageError::from_clap(&command.try_get_matches_from(words).unwrap_err())
    }

    #[test]
    fn mistakes_are_told_in_kafkas_words() {
        for (words, message) in [
            (&["--foo"][..], "foo is not a recognized option"),
            (&["--top", "x"], "top is not a recognized option"),
            (&["--topic"], "Option topic requires an argument"),
            (&["--partitions", "abc"], "Cannot parse argument 'abc' of option partitions"),
            (
                &["--topic", "a", "--topic", "b"],
                "Found multiple arguments for option topic, but you asked for only one",
            ),
        ] {
            assert_eq!(mistake(words).to_string(), message);
        }
    }

    #[test]
    fn a_near_miss_gets_a_suggestion() {
        assert_eq!(mistake(&["--topics", "x"]).suggestion.as_deref(), Some("--topic"));
    }

    #[test]
    fn flags_may_be_repeated_and_values_may_look_like_options() {
        let command = with_kafkas_option_rules(<Tool as clap::CommandFactory>::command());
        let matches = command.try_get_matches_from(["tool", "--list", "--list", "--topic", "--list"]).unwrap();
        assert_eq!(matches.get_one::<String>("topic").map(String::as_str), Some("--list"));
        assert!(Tool::try_parse_from(["tool"]).is_ok());
    }
}
