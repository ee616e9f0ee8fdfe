//! What can go wrong between a client and its cluster, split by what the caller can do about it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::{Address, SecurityError};
use crate::net::sasl::SaslError;
use crate::net::tls::TlsError;
use crate::protocol::{ApiKey, DecodeError, EncodeError, ErrorCode, VersionRange};

/// Why a call failed. Cheap to clone: one broken connection fails all who wait on it.
#[derive(Debug, Clone, Error)]
pub enum ClientError {
    /// No address of the broker took the connection.
    #[error("could not connect to {address}")]
    Connect {
        /// Where to.
        address: Address,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// None of several brokers took the connection.
    #[error("could not connect to any of {tried}")]
    NoBroker {
        /// The addresses, separated by commas.
        tried: String,
        /// What the last one said.
        #[source]
        source: Arc<ClientError>,
    },
    /// The settings of TLS or SASL make no connection.
    #[error(transparent)]
    Security {
        /// Why.
        source: Arc<SecurityError>,
    },
    /// There is no TLS with the broker, or it ended.
    #[error("no TLS with {address}")]
    Tls {
        /// The broker.
        address: Address,
        /// Why.
        #[source]
        source: Box<TlsError>,
    },
    /// The broker does not believe that we are who we say, or is not who it should be.
    #[error("could not authenticate at {address} by {mechanism}")]
    Authentication {
        /// The broker.
        address: Address,
        /// The SASL mechanism.
        mechanism: &'static str,
        /// Why.
        #[source]
        source: AuthenticationFailure,
    },
    /// No answer in time. Whether the request was carried out is not known.
    #[error("{address} did not answer {api} within {} ms", .after.as_millis())]
    TimedOut {
        /// Who was asked.
        address: Address,
        /// What was asked.
        api: ApiKey,
        /// How long was waited.
        after: Duration,
    },
    /// The time for the whole operation, with all its attempts, is over.
    #[error("gave up after {} ms", .after.as_millis())]
    DeadlineExceeded {
        /// How long was tried.
        after: Duration,
        /// What the last attempt said.
        #[source]
        source: Option<Arc<ClientError>>,
    },
    /// The connection ended while an answer was awaited. Whether the request was carried out is not known.
    #[error("{address} closed the connection")]
    Disconnected {
        /// The broker.
        address: Address,
        /// What the system said, if the end was not an orderly one.
        #[source]
        source: Option<Arc<io::Error>>,
    },
    /// What came is not an answer in Kafka's protocol.
    #[error("{address} does not answer as a Kafka broker would: {what}")]
    NotKafka {
        /// The peer.
        address: Address,
        /// What was odd.
        what: String,
    },
    /// The peer answers in TLS, and we do not speak it.
    #[error("{address} speaks TLS, and this client was not told to")]
    SpeaksTls {
        /// The peer.
        address: Address,
    },
    /// The broker said what it speaks, and closed the connection at the first request: as listeners with SASL do.
    #[error("{address} closed the connection at the first request")]
    CutOff {
        /// The broker.
        address: Address,
    },
    /// A broker can't be reached where the cluster says that it is.
    #[error("could not connect to {address}, which broker {node} advertises")]
    Astray {
        /// The broker.
        node: i32,
        /// The address that it advertises.
        address: Address,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The answer can't be read.
    #[error("{address} sent a malformed {api} response")]
    Malformed {
        /// The broker.
        address: Address,
        /// What was asked.
        api: ApiKey,
        /// Why it can't be read.
        #[source]
        source: DecodeError,
    },
    /// The request can't be said in the version that the broker speaks.
    #[error("can't say this {api} request in version {version}")]
    Unsayable {
        /// What was to be asked.
        api: ApiKey,
        /// The version.
        version: i16,
        /// Why.
        #[source]
        source: EncodeError,
    },
    /// Client and broker have no version of an API in common.
    #[error("{address} does not speak {api} in a version of {}", Span(*.wanted))]
    UnsupportedVersion {
        /// The broker.
        address: Address,
        /// The API.
        api: ApiKey,
        /// What the client could use.
        wanted: VersionRange,
        /// What the broker speaks, if it knows the API at all.
        offered: Option<VersionRange>,
    },
    /// The broker answered with an error.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A broker that metadata does not know (any more).
    #[error("broker {0} is not known")]
    UnknownNode(i32),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a broker and this client do not believe each other.
#[derive(Debug, Clone, Error)]
pub enum AuthenticationFailure {
    /// The mechanism is not enabled on the listener.
    #[error("the mechanism is not enabled there; these are: {}", enabled.join(", "))]
    Mechanism {
        /// Those that are.
        enabled: Vec<String>,
    },
    /// The listener does not ask who its clients are.
    #[error("the listener has no SASL")]
    NotAsked,
    /// The broker refused, in its own words.
    #[error("{0}")]
    Refused(String),
    /// What the broker said makes no sense.
    #[error(transparent)]
    Exchange(SaslError),
    /// The system gives no random numbers.
    #[error("the system has no random numbers")]
    NoRandomness,
}

struct Span(VersionRange);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.0.min, self.0.max)
    }
}

impl ClientError {
    /// Whether the same call may succeed later or at another broker.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::NoBroker { .. }
            | Self::Astray { .. }
            | Self::TimedOut { .. }
            | Self::CutOff { .. }
            | Self::Disconnected { .. }
            | Self::UnknownNode(_) => true,
            Self::Api(error) => error.code.is_retriable(),
            // A listener that is starting closes connections in the middle of a handshake.
            Self::Tls { source, .. } => matches!(**source, TlsError::Io(_)),
            Self::DeadlineExceeded { .. }
            | Self::Security { .. }
            | Self::Authentication { .. }
            | Self::NotKafka { .. }
            | Self::SpeaksTls { .. }
            | Self::Malformed { .. }
            | Self::Unsayable { .. }
            | Self::UnsupportedVersion { .. }
            | Self::Closed => false,
        }
    }

    /// Whether leaders and brokers must be looked up anew before a retry.
    #[must_use]
    pub fn needs_metadata_refresh(&self) -> bool {
        match self {
            Self::Api(error) => error.code.needs_metadata_refresh(),
            other => other.is_retriable(),
        }
    }

    /// Whether the request surely never reached the broker's log: retrying it can't do anything twice.
    #[must_use]
    pub fn was_not_sent(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::NoBroker { .. }
                | Self::Astray { .. }
                | Self::UnknownNode(_)
                | Self::Unsayable { .. }
        )
    }

    /// The broker's error code, if it answered with one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Api(error) => Some(error.code),
            _ => None,
        }
    }
}

/// An error that a broker answered with, for a request or for one of the things in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ApiError {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What the broker had to say about it.
    pub message: Option<String>,
}

impl ApiError {
    /// The error that a response's code and message say; `Ok` for code 0.
    ///
    /// # Errors
    /// The code is not 0.
    pub fn check(code: i16, message: Option<String>) -> Result<(), Self> {
        match ErrorCode::from_code(code) {
            ErrorCode::None => Ok(()),
            code => Err(Self { code, message: message.filter(|text| !text.is_empty()) }),
        }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => f.write_str(message),
            None => f.write_str(self.code.name()),
        }
    }
}
