//! Failures that end Kafka's Java tools with an exception.

use std::fmt;
use std::io;

use super::{Exit, Output, chain_text, report_failure};

/// What a tool of Kafka's throws, in the words of the exception.
#[derive(Debug)]
pub(crate) struct Uncaught {
    class: String,
    message: String,
}

impl Uncaught {
    /// An exception of this class.
    pub(crate) fn error(class: impl Into<String>, message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { class: class.into(), message: message.into() })
    }

    /// `java.lang.IllegalArgumentException`
    pub(crate) fn illegal_argument(message: impl Into<String>) -> anyhow::Error {
        Self::error("java.lang.IllegalArgumentException", message)
    }

    /// The exception as a log of Java's shows it; of another error its text.
    pub(crate) fn thrown(error: &anyhow::Error) -> String {
        match error.downcast_ref::<Self>() {
            Some(thrown) => format!("{}: {}", thrown.class, thrown.message),
            None => chain_text(error),
        }
    }

    /// Prints it as the JVM does for an exception that nothing catches; anything else as our own error.
    pub(crate) fn report(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        match error.downcast_ref::<Self>() {
            Some(thrown) if !out.is_for_people() => {
                out.note(format_args!("Exception in thread \"main\" {}: {}", thrown.class, thrown.message))?;
                Ok(Exit::Failure)
            }
            _ => report_failure(error, out),
        }
    }
}

impl fmt::Display for Uncaught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Uncaught {}
