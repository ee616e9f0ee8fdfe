//! How the console consumers end, and how they tell errors: to people in a line, to scripts as Kafka's tools log them.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::Duration;

use tokio::time::Instant;

use super::formatter::FormatError;
use crate::cli::support::{Exit, Hinted, Output, StdoutClosed, chain_text, java, report_failure};
use crate::config::ConfigError;

/// Why it ended.
pub(in crate::cli) enum End {
    /// As many records as were asked for.
    Count,
    /// No record for as long as was asked for.
    Idle,
    /// A signal.
    Signal(Exit),
    /// Nobody reads the output any more.
    Closed,
    /// A record that can't be printed.
    Unprintable(FormatError),
    /// Reading failed.
    Failed(anyhow::Error),
}

/// Prints the text of records at once.
///
/// # Errors
/// The end, if it can't be printed.
pub(in crate::cli) fn write_records(text: &[u8], out: &mut Output) -> Result<(), End> {
    out.stdout().write_all(text).and_then(|()| out.flush()).map_err(|error| {
        if error.get_ref().is_some_and(|inner| inner.is::<StdoutClosed>()) {
            End::Closed
        } else {
            End::Failed(anyhow::Error::new(error).context("could not write"))
        }
    })
}

/// Waits until then; for ever, if there is no such time.
pub(in crate::cli) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What Kafka's tool logs as.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Logger(pub(in crate::cli) &'static str);

impl Logger {
    /// Why the tool could not begin.
    pub(in crate::cli) fn failed(self, error: &anyhow::Error, out: &mut Output) -> io::Result<Exit> {
        match error.downcast_ref::<ConfigError>() {
            Some(error) if error.key().is_some() && !out.is_for_people() => {
                self.unknown_error(format_args!("{}: {error}", java::config_exception_class(error)), out)?;
                Ok(Exit::Failure)
            }
            _ => report_failure(error, out),
        }
    }

    /// That no record has come for as long as was asked for.
    pub(in crate::cli) fn idle(self, after: Option<Duration>, out: &mut Output) -> io::Result<()> {
        if out.is_for_people() {
            return out.note(format_args!("no more records for {} ms", after.unwrap_or_default().as_millis()));
        }
        self.terminating("org.apache.kafka.common.errors.TimeoutException", out)
    }

    /// The exception that ends the tool.
    pub(in crate::cli) fn terminating(self, thrown: impl Display, out: &mut Output) -> io::Result<()> {
        out.kafka_log_error("Error processing message, terminating consumer process: ", self.0)?;
        out.note(thrown)
    }

    /// Reading failed. Scripts are told at once, as Kafka's tool does; what people are told when all is over is returned.
    pub(in crate::cli) fn stopped(
        self,
        error: anyhow::Error,
        hint: Option<String>,
        java_error: fn(&anyhow::Error) -> String,
        out: &mut Output,
    ) -> io::Result<Option<anyhow::Error>> {
        if out.is_for_people() {
            return Ok(Some(match hint {
                Some(hint) => Hinted::error(chain_text(&error), hint),
                None => error,
            }));
        }
        self.terminating(java_error(&error), out)?;
        if let Some(hint) = hint {
            out.hint(&hint)?;
        }
        Ok(None)
    }

    fn unknown_error(self, thrown: impl Display, out: &mut Output) -> io::Result<()> {
        out.kafka_log_error("Unknown error when running consumer: ", self.0)?;
        out.note(thrown)
    }

    /// A record that can't be printed, after which the tool goes on: what it does with it, and what is done then.
    pub(in crate::cli) fn unprintable(
        self,
        error: &FormatError,
        (doing, done): (&str, &str),
        out: &mut Output,
    ) -> io::Result<()> {
        if out.is_for_people() {
            return out.note(format_args!("a record can't be printed and is {done}: {error}"));
        }
        out.kafka_log_error(format_args!("Error processing message, {doing} this message: "), self.0)?;
        out.note(format_args!("{}: {error}", error.java_class()))
    }
}

/// What is said when all is over.
pub(in crate::cli) struct LastWords {
    pub(in crate::cli) logger: Logger,
    pub(in crate::cli) systest_events: bool,
    pub(in crate::cli) processed: u64,
    pub(in crate::cli) exit: Exit,
    /// An error that is not told yet.
    pub(in crate::cli) failure: Option<anyhow::Error>,
    /// The exception that Kafka's tool shows for it.
    pub(in crate::cli) java_error: fn(&anyhow::Error) -> String,
}

impl LastWords {
    /// Says it. `closed`: whether the group was left.
    pub(in crate::cli) fn say(self, closed: anyhow::Result<()>, out: &mut Output) -> anyhow::Result<Exit> {
        if self.systest_events {
            out.line("shutdown_complete")?;
        }
        out.note(format_args!("Processed a total of {} messages", self.processed))?;
        if let (Exit::Success, Err(error)) = (self.exit, closed) {
            out.error(&format!("could not leave the group: {}", chain_text(&error)))?;
        }
        match self.failure {
            Some(error) if out.is_for_people() => return Err(error),
            Some(error) => self.logger.unknown_error((self.java_error)(&error), out)?,
            None => {}
        }
        Ok(self.exit)
    }
}
