//! How a tool ends: its exit code, and what it says when it failed.

use std::fmt;
use std::io;
use std::process::ExitCode;

use super::Output;

/// How a tool ended. The numbers are those of Kafka's scripts, which run on a JVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Success,
    /// It could not, or was called wrongly; it has said why.
    Failure,
    /// It could not look at what it was to judge.
    CouldNotLook,
    /// SIGHUP ended it, after a clean shutdown.
    HungUp,
    /// SIGINT ended it, after a clean shutdown.
    Interrupted,
    /// SIGTERM ended it, after a clean shutdown.
    Terminated,
}

impl Exit {
    /// 0, 1, 2, or 128 and the number of the signal: 129, 130, 143.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::CouldNotLook => 2,
            Exit::HungUp => 129,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        })
    }
}

/// An error with the line that says what to do about it.
#[derive(Debug)]
pub(crate) struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    /// An error `message` (lower case, no full stop) and a `hint` in the imperative.
    pub(crate) fn error(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { message: message.into(), hint: hint.into() })
    }

    /// The line that says what to do.
    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// Prints `error: <what was being done>: <why it failed>` and, if there is one, the hint on the next line.
pub(crate) fn report_failure(error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
    out.error(&chain_text(error))?;
    if let Some(hinted) = error.chain().find_map(|cause| cause.downcast_ref::<Hinted>()) {
        out.hint(&hinted.hint)?;
    }
    Ok(Exit::Failure)
}

/// The messages of an error and of its causes on one line; a cause that its parent already repeats is left out.
pub(crate) fn chain_text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let message = cause.to_string();
        if text.is_empty() {
            text = message;
        } else if !message.is_empty() && !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn failures_are_told_in_one_line_and_a_hint() {
        let (mut out, captured) = Output::captured();
        let error = Err::<(), _>(Hinted::error("connection refused", "start a broker"))
            .context("could not list topics")
            .unwrap_err();
        assert_eq!(report_failure(&error, &mut out).unwrap(), Exit::Failure);
        assert_eq!(captured.stderr(), "error: could not list topics: connection refused\nhint: start a broker\n");
        assert_eq!(captured.stdout(), "");
    }

    #[test]
    fn a_cause_is_not_told_twice() {
        let inner = io::Error::other("disk full");
        let error = anyhow::Error::new(inner).context("could not write: disk full");
        assert_eq!(chain_text(&error), "could not write: disk full");
    }
}
