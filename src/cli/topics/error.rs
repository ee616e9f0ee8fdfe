//! What goes wrong while `topics` is at work, told as Kafka's tool tells it.

use std::fmt;
use std::io;

use crate::cli::support::{Exit, Output, hint_for, java};
use crate::client::{ApiError, ClientError};
use crate::config::ConfigError;

/// A failure with the class of exception that Kafka's tool would show.
#[derive(Debug)]
pub(super) struct TopicsError {
    class: String,
    message: String,
    /// For people: what is behind Kafka's message.
    reason: Option<String>,
    hint: Option<String>,
}

/// What Kafka's tool logs as.
const LOGGER: &str = "org.apache.kafka.tools.TopicCommand";

impl TopicsError {
    pub(super) fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class: class.into(), message: message.into(), reason: None, hint: None }
    }

    pub(super) fn illegal_argument(message: impl Into<String>) -> Self {
        Self::new("java.lang.IllegalArgumentException", message)
    }

    /// A call that no broker answered; `call` is Kafka's name of it.
    pub(super) fn call(call: &str, error: &ClientError) -> Self {
        let class = java::client_exception_class(error);
        match error {
            ClientError::Api(error) => Self::api(error),
            ClientError::UnsupportedVersion { .. } => Self::new(class, error.to_string()),
            _ => {
                let reason = anyhow::Error::msg(error.to_string());
                let source = std::error::Error::source(error).map(ToString::to_string);
                let reason = match source {
                    Some(source) if !reason.to_string().contains(&source) => format!("{reason}: {source}"),
                    _ => reason.to_string(),
                };
                Self {
                    class,
                    message: format!("Timed out waiting for a node assignment. Call: {call}"),
                    reason: Some(reason),
                    hint: hint_for(error),
                }
            }
        }
    }

    /// An error that the broker answered with.
    pub(super) fn api(error: &ApiError) -> Self {
        Self::new(java::exception_class(error.code), error.to_string())
    }

    /// A setting that is not one, or not of its type.
    pub(super) fn config(error: &ConfigError) -> Self {
        Self::new(java::config_exception_class(error), error.to_string())
    }

    /// On a terminal one line and a hint; else as Kafka's tool: the message on stdout, the class on stderr.
    pub(super) fn report(&self, out: &mut Output) -> io::Result<Exit> {
        if out.is_for_people() {
            out.error(self.reason.as_deref().unwrap_or(&self.message))?;
        } else {
            out.line(format_args!("Error while executing topic command : {}", self.message))?;
            out.kafka_log_error(format_args!("{}: {}\n", self.class, self.message), LOGGER)?;
            if let Some(reason) = &self.reason {
                out.error(reason)?;
            }
        }
        if let Some(hint) = &self.hint {
            out.hint(hint)?;
        }
        Ok(Exit::Failure)
    }
}

impl fmt::Display for TopicsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TopicsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ErrorCode;

    #[test]
    fn kafkas_form_is_kept_where_nobody_reads() {
        let (mut out, captured) = Output::captured();
        let error = ApiError {
            code: ErrorCode::TopicAlreadyExists,
            message: Some("Topic 'orders' already exists.".to_owned()),
        };
        assert_eq!(TopicsError::api(&error).report(&mut out).unwrap(), Exit::Failure);
        out.flush().unwrap();
        assert_eq!(captured.stdout(), "Error while executing topic command : Topic 'orders' already exists.\n");
        let stderr = captured.stderr();
        assert!(
            stderr.ends_with(
                "] ERROR org.apache.kafka.common.errors.TopicExistsException: Topic 'orders' already exists.\n \
                 (org.apache.kafka.tools.TopicCommand)\n"
            ),
            "{stderr}"
        );
    }
}
