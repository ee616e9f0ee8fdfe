//! What can be wrong with a configuration, in Kafka's words where Kafka has words for it.
//!
//! Unlike elsewhere in this crate, texts that clients and tools see over the wire keep Kafka's capital letters and full
//! stops: scripts and tests match on them.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a setting stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Line `line` (from 1) of a file.
    Line {
        /// The file as the user named it.
        file: PathBuf,
        /// The line on which the setting begins.
        line: usize,
    },
    /// `--override key=value` on the command line.
    Override,
    /// Another option of the command line, such as `--producer-property key=value`.
    Option,
    /// Stored in the cluster's metadata: AlterConfigs, CreateTopics.
    RunTime,
    /// Set by this program itself.
    Program,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Override => f.write_str("--override"),
            Self::Option => f.write_str("option"),
            Self::RunTime => f.write_str("set at run time"),
            Self::Program => f.write_str("settings"),
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value of the wrong type or outside of what the key allows.
    #[error("Invalid value {value} for configuration {name}: {reason}")]
    InvalidValue {
        /// The key.
        name: String,
        /// The value, or the element of a list, that is wrong.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that Kafka complains about without quoting it: empty or repeated elements of a list.
    #[error("Configuration '{name}' {reason}")]
    InvalidList {
        /// The key.
        name: String,
        /// What is wrong with the list.
        reason: String,
    },
    /// A value, or several together, that break a rule; `message` is Kafka's text and names the keys.
    #[error("{message}")]
    Rule {
        /// The key that the rule is about first.
        name: String,
        /// Kafka's text.
        message: String,
    },
    /// A key without default was not set.
    #[error("Missing required configuration \"{name}\" which has no default value.")]
    Missing {
        /// The key.
        name: String,
    },
    /// A key that does not exist in this scope.
    #[error("Unknown {scope} config name: {name}")]
    Unknown {
        /// `topic`, `broker`, ...
        scope: &'static str,
        /// The key.
        name: String,
    },
    /// A setting that Kafka would follow and this version cannot; going on would do something else than was asked for.
    #[error("{name}={value} is not supported yet: {advice}")]
    Unsupported {
        /// The key.
        name: String,
        /// Its value.
        value: String,
        /// What to do instead.
        advice: String,
    },
    /// A stored setting that breaks a rule together with others.
    #[error("{name}={text} can't be used: {cause}")]
    Unusable {
        /// The key.
        name: String,
        /// Its value as it is stored.
        text: String,
        /// The rule.
        cause: Box<ConfigError>,
    },
    /// An error of a setting with the place where it stands, told as one.
    #[error("{place}: {error}")]
    At {
        /// File and line, or the command line.
        place: Place,
        /// What is wrong there.
        error: Box<ConfigError>,
    },
    /// The file could not be read.
    #[error("could not read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// The file is larger than any settings are: most likely it is some other file.
    #[error("{} is {size} bytes long, too large for a properties file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// The text is not in the format of properties files.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: &'static str,
    },
    /// No place to keep data could be derived from the environment.
    #[error("no data directory: neither XDG_DATA_HOME nor HOME is set; set log.dirs")]
    NoDataDirectory,
}

impl ConfigError {
    pub(super) fn invalid(name: &str, value: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self::InvalidValue { name: name.to_owned(), value: value.to_string(), reason: reason.into() }
    }

    pub(super) fn rule(name: &str, message: impl Into<String>) -> Self {
        Self::Rule { name: name.to_owned(), message: message.into() }
    }

    pub(super) fn unsupported(name: &str, value: impl fmt::Display, advice: impl Into<String>) -> Self {
        Self::Unsupported { name: name.to_owned(), value: value.to_string(), advice: advice.into() }
    }

    /// The key that is wrong, if the error is about one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::InvalidValue { name, .. }
            | Self::InvalidList { name, .. }
            | Self::Rule { name, .. }
            | Self::Missing { name }
            | Self::Unknown { name, .. }
            | Self::Unusable { name, .. }
            | Self::Unsupported { name, .. } => Some(name),
            Self::At { error, .. } => error.key(),
            Self::Read { .. } | Self::TooLarge { .. } | Self::Syntax { .. } | Self::NoDataDirectory => None,
        }
    }

    /// The same error, saying where the setting stands.
    pub(super) fn at(self, place: Option<&Place>) -> Self {
        match place {
            Some(place) if self.key().is_some() && !matches!(self, Self::At { .. }) => {
                Self::At { place: place.clone(), error: Box::new(self) }
            }
            _ => self,
        }
    }

    pub(super) fn syntax(path: &Path, error: super::properties::SyntaxError) -> Self {
        Self::Syntax { path: path.to_owned(), line: error.line, message: error.message }
    }
}

/// Something that was set and will not do what its author may expect; the program goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it stands.
    pub place: Place,
    /// The key.
    pub name: String,
    /// Why it is worth a line.
    pub kind: WarningKind,
}

/// Why a setting is warned about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WarningKind {
    /// No such key; perhaps the named one was meant.
    Unknown {
        /// The nearest key that exists.
        meant: Option<&'static str>,
    },
    /// Kafka knows it; here it does nothing yet.
    NotYetInEffect,
    /// Kafka knows it; it tunes something that this program does not have.
    NoCounterpart,
    /// Known to Kafka 3.9 or to one of its plug-ins.
    Gone {
        /// Since when, and what to use today.
        advice: &'static str,
    },
    /// Anything else, in words.
    Note(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            // Who tells it says of which topic, group or broker.
            Place::RunTime => f.write_str(&self.name)?,
            _ => write!(f, "{}: {}", self.place, self.name)?,
        }
        match &self.kind {
            WarningKind::Unknown { meant: None } => f.write_str(" is not a known setting; it is ignored"),
            WarningKind::Unknown { meant: Some(meant) } => {
                write!(f, " is not a known setting; it is ignored (did you mean {meant}?)")
            }
            WarningKind::NotYetInEffect => f.write_str(" is not yet in effect"),
            WarningKind::NoCounterpart => f.write_str(" has no effect: there is nothing here that it could tune"),
            WarningKind::Gone { advice } => write!(f, " is ignored: {advice}"),
            WarningKind::Note(text) => write!(f, ": {text}"),
        }
    }
}
