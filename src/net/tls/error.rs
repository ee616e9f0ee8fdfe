//! Why there is no TLS, split by what its user would do.

use std::io;
use std::sync::Arc;

use rustls::{CertificateError, Error};
use thiserror::Error as ThisError;

/// Why a handshake failed, or could not be tried.
#[derive(Debug, Clone, ThisError)]
pub enum TlsError {
    /// The peer sent something that is no TLS.
    #[error("the answer is not TLS")]
    NotTls,
    /// The peer went away in the middle of the handshake, as listeners without TLS do.
    #[error("the connection was closed during the TLS handshake")]
    Ended,
    /// Nobody who is trusted vouches for the peer.
    #[error("its certificate is not signed by anybody who is trusted")]
    NotTrusted,
    /// The peer's certificate is for somebody else.
    #[error("its certificate is for {}", names_text(.names))]
    WrongName {
        /// For whom.
        names: Vec<String>,
    },
    /// The peer's certificate is over.
    #[error("its certificate has expired")]
    Expired,
    /// The peer's certificate has not begun.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// The peer does not take what we said about ourselves; what it says.
    #[error("it ended the TLS handshake: {0}")]
    Refused(String),
    /// The peer wants a certificate of ours.
    #[error("it asks for a certificate of the client")]
    CertificateRequired,
    /// Client and server have no version or cipher in common.
    #[error("it has no version of TLS or cipher suite in common with this client: {0}")]
    NothingInCommon(String),
    /// The host's name can be in no certificate.
    #[error("its host name can't be the name of a TLS server")]
    UnusableName,
    /// The system has no authorities, or what was named has none.
    #[error("no authority is trusted")]
    NobodyTrusted,
    /// None of the cipher suites that were named is known.
    #[error("none of the cipher suites is known here; these are: {known}")]
    NoCipherSuite {
        /// Those that are.
        known: String,
    },
    /// Our own key can't be used.
    #[error("the client's own key and certificate can't be used: {0}")]
    Identity(String),
    /// The system failed.
    #[error("the connection failed during the TLS handshake")]
    Io(#[source] Arc<io::Error>),
    /// Anything else that a certificate may have.
    #[error("its certificate can't be used: {0}")]
    Certificate(String),
    /// Anything else.
    #[error("TLS failed: {0}")]
    Other(String),
}

/// `localhost` of `DnsName("localhost")`, as rustls tells what a certificate names.
fn plain_name(name: &str) -> String {
    let plain = name.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")"));
    plain.unwrap_or(name).to_owned()
}

fn names_text(names: &[String]) -> String {
    if names.is_empty() { "nobody that it names".to_owned() } else { names.join(", ") }
}

impl TlsError {
    /// What an error of a TLS stream was, also after the handshake: in TLS 1.3 a server refuses a client's certificate
    /// when the client believes that all is done.
    #[must_use]
    pub fn of_io(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::from(error.clone()),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Ended,
            None if error.kind() == io::ErrorKind::ConnectionReset => Self::Ended,
            None => Self::Io(Arc::new(error)),
        }
    }

    /// Whether an error of a stream came from TLS itself.
    #[must_use]
    pub fn is_cause_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Error>())
    }

    pub(super) fn identity(error: Error) -> Self {
        Self::Identity(error.to_string())
    }
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        use rustls::AlertDescription as Alert;
        match error {
            Error::InvalidMessage(_) => Self::NotTls,
            Error::InvalidCertificate(error) => Self::from(error),
            Error::AlertReceived(Alert::CertificateRequired) => Self::CertificateRequired,
            Error::AlertReceived(Alert::ProtocolVersion | Alert::HandshakeFailure) => {
                Self::NothingInCommon(error.to_string())
            }
            Error::AlertReceived(alert) => Self::Refused(alert.as_str().unwrap_or("an unknown alert").to_owned()),
            Error::PeerIncompatible(what) => Self::NothingInCommon(format!("{what:?}")),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<CertificateError> for TlsError {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::NotTrusted,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName => Self::WrongName { names: Vec::new() },
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::WrongName { names: presented.iter().map(|name| plain_name(name)).collect() }
            }
            other => Self::Certificate(other.to_string()),
        }
    }
}
