//! What goes wrong while a tool is at work, with the names that Kafka's Java tools have for it.

use std::fmt;
use std::io;

use super::{Output, authentication_exception, chain_text, hint_for, hint_for_code, java};
use crate::client::{ApiError, ClientError};
use crate::config::ConfigError;
use crate::protocol::ErrorCode;

/// A failure with the class of the exception that Kafka's tool would show, and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JavaError {
    class: String,
    message: String,
    /// What people are told instead of the message.
    plain: Option<String>,
    /// Whether that tells more than Kafka's message does, so that a script's log should have it too.
    tells_more: bool,
    hint: Option<String>,
}

impl JavaError {
    /// A failure that has no other name.
    pub(crate) fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class: class.into(), message: message.into(), plain: None, tells_more: false, hint: None }
    }

    pub(crate) fn illegal_argument(message: impl Into<String>) -> Self {
        Self::new("java.lang.IllegalArgumentException", message)
    }

    pub(crate) fn runtime(message: impl Into<String>) -> Self {
        Self::new("java.lang.RuntimeException", message)
    }

    /// An error of the broker's, by its code alone.
    pub(crate) fn code(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(java::exception_class(code), message)
    }

    /// A call that no broker answered; `call` is Kafka's name of it.
    pub(crate) fn call(call: &str, error: &ClientError) -> Self {
        match error {
            ClientError::Api(error) => Self::api(error),
            ClientError::UnsupportedVersion { api, wanted, offered, .. } => Self {
                plain: Some(error.to_string()),
                hint: hint_for(error),
                ..Self::new(java::client_exception_class(error), java::unsupported(*api, *wanted, *offered))
            },
            _ if authentication_exception(error).is_some() => {
                let (class, message) = authentication_exception(error).unwrap_or_default();
                let plain = Some(with_source(error));
                Self { plain, tells_more: true, hint: hint_for(error), ..Self::new(class, message) }
            }
            _ => Self {
                plain: Some(with_source(error)),
                tells_more: true,
                hint: hint_for(error),
                ..Self::new(
                    java::client_exception_class(error),
                    format!("Timed out waiting for a node assignment. Call: {call}"),
                )
            },
        }
    }

    /// A request that had to go to all brokers, where none could be found.
    pub(crate) fn no_brokers(api: &str, error: &ClientError) -> Self {
        match error {
            ClientError::Api(_) => Self::call("findAllBrokers", error),
            _ if authentication_exception(error).is_some() => Self::call("findAllBrokers", error),
            _ => Self {
                class: "org.apache.kafka.common.KafkaException".to_owned(),
                message: format!("Failed to find brokers to send {api}"),
                ..Self::call("findAllBrokers", error)
            },
        }
    }

    /// An error that the broker answered with.
    pub(crate) fn api(error: &ApiError) -> Self {
        Self::new(java::exception_class(error.code), java::message(error)).with_hint(hint_for_code(error.code))
    }

    /// A setting that is not one, or not of its type.
    pub(crate) fn config(error: &ConfigError) -> Self {
        Self::new(java::config_exception_class(error), error.to_string())
    }

    /// This as the cause of another exception, whose message is then its class and message. People are told the cause.
    #[must_use]
    pub(crate) fn wrapped_in(self, class: impl Into<String>) -> Self {
        let message = self.to_java();
        Self { class: class.into(), plain: self.plain.or(Some(self.message)), message, ..self }
    }

    /// The same failure under another class and message; people are told what they were told before.
    #[must_use]
    pub(crate) fn retold(self, class: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class: class.into(), plain: self.plain.or(Some(self.message)), message: message.into(), ..self }
    }

    /// The same with what to do about it.
    #[must_use]
    pub(crate) fn with_hint(self, hint: Option<String>) -> Self {
        Self { hint: hint.or(self.hint), ..self }
    }

    /// The same with other words for people.
    #[must_use]
    pub(crate) fn with_plain(self, plain: impl Into<String>) -> Self {
        Self { plain: Some(plain.into()), ..self }
    }

    /// Whether it is of this class.
    pub(crate) fn is(&self, class: &str) -> bool {
        self.class == class
    }

    /// The exception's class.
    pub(crate) fn class(&self) -> &str {
        &self.class
    }

    /// The exception's message.
    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What people are told.
    pub(crate) fn plain(&self) -> &str {
        self.plain.as_deref().unwrap_or(&self.message)
    }

    /// `class: message`, as Java prints an exception.
    pub(crate) fn to_java(&self) -> String {
        format!("{}: {}", self.class, self.message)
    }

    /// What `kafkas` prints where that is asked for; else one line on stderr. A hint, if there is one, on the next
    /// line.
    pub(crate) fn report(
        &self,
        out: &mut Output,
        kafkas: impl FnOnce(&Self, &mut Output) -> io::Result<()>,
    ) -> io::Result<()> {
        if out.tells_errors_as_kafka() {
            kafkas(self, out)?;
        }
        if !out.tells_errors_as_kafka() || self.tells_more {
            out.error(self.plain())?;
        }
        match &self.hint {
            Some(hint) => out.hint(hint),
            None => Ok(()),
        }
    }
}

fn with_source(error: &ClientError) -> String {
    chain_text(&anyhow::Error::new(error.clone()))
}

impl fmt::Display for JavaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for JavaError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::support::Style;
    use crate::client::Address;
    use crate::protocol::{ApiKey, VersionRange};

    fn printed(error: &JavaError, style: Style) -> (String, String) {
        let (mut out, captured) = Output::captured();
        out.set_style(style);
        error.report(&mut out, |error, out| out.line(format_args!("Oh: {error}"))).unwrap();
        out.flush().unwrap();
        (captured.stdout(), captured.stderr())
    }

    #[test]
    fn kafkas_form_is_kept_where_nobody_reads() {
        let error = JavaError::illegal_argument("no such thing").with_hint(Some("look elsewhere".to_owned()));
        let hint = "hint: look elsewhere\n";
        assert_eq!(printed(&error, Style::Kafka), ("Oh: no such thing\n".to_owned(), hint.to_owned()));
        assert_eq!(printed(&error, Style::Table), (String::new(), format!("error: no such thing\n{hint}")));
        assert_eq!(printed(&error, Style::Json), printed(&error, Style::Table));
    }

    #[test]
    fn the_reason_why_nobody_answered_is_told_everywhere() {
        let error = JavaError::call("listTopics", &ClientError::UnknownNode(3));
        let (stdout, stderr) = printed(&error, Style::Kafka);
        assert_eq!(stdout, "Oh: Timed out waiting for a node assignment. Call: listTopics\n");
        assert_eq!(stderr, "error: broker 3 is not known\n");
        assert_eq!(printed(&error, Style::Table).1, "error: broker 3 is not known\n");
    }

    /// Goal: who mistakes a controller's port for a broker's learns what to write, and a script reads Kafka's text.
    #[test]
    fn a_controllers_port_is_told_from_a_brokers() {
        let error = ClientError::UnsupportedVersion {
            address: Address::new("localhost", 9093),
            api: ApiKey::Metadata,
            wanted: VersionRange::new(0, 13),
            offered: None,
        };
        let error = JavaError::call("listTopics", &error);
        let (stdout, stderr) = printed(&error, Style::Kafka);
        assert_eq!(stdout, "Oh: The node does not support METADATA\n");
        assert!(
            stderr.starts_with("hint: this is a controller's port: name a broker with --bootstrap-server"),
            "{stderr}"
        );
        let stderr = printed(&error, Style::Table).1;
        assert!(
            stderr.starts_with("error: localhost:9093 does not speak Metadata in a version of 0 to 13\nhint: this is")
        );
    }

    #[test]
    fn people_are_told_the_cause_alone() {
        let error = JavaError::runtime("broken").wrapped_in("x.OuterException").wrapped_in("x.Outermost");
        assert_eq!(error.to_java(), "x.Outermost: x.OuterException: java.lang.RuntimeException: broken");
        assert_eq!(printed(&error, Style::Table).1, "error: broken\n");
        assert_eq!(printed(&error, Style::Kafka).1, "");
    }
}
