//! What a client says to prove who it is: PLAIN, SCRAM and OAUTHBEARER as exchanges of bytes.
//!
//! Nothing here is sent or received: a [`SaslExchange`] takes what the server said and gives what to say next. It never
//! reads a file, and the token of OAUTHBEARER is handed to it.

mod scram_client;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::ScramMechanism;
use scram_client::ScramClient;

/// Who a client says it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// `PLAIN`: the password itself.
    Plain {
        /// Who.
        username: String,
        /// The password.
        password: String,
    },
    /// `SCRAM-SHA-256` or `-512`: proof of the password, in both directions.
    Scram {
        /// Which of the two.
        mechanism: ScramMechanism,
        /// Who, or the id of a delegation token.
        username: String,
        /// The password, or the token's HMAC.
        password: String,
        /// Whether they are a delegation token's (KIP-48).
        is_token: bool,
    },
    /// `OAUTHBEARER`: a token that somebody else made.
    OAuthBearer {
        /// The token.
        token: String,
        /// What is sent along (KIP-342).
        extensions: Vec<(String, String)>,
    },
}

impl std::fmt::Debug for Credentials {
    /// Without what must stay secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.mechanism())
    }
}

/// Why an exchange can't go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SaslError {
    /// The server said something that makes no sense.
    #[error("the server's answer makes no sense: {0}")]
    Malformed(&'static str),
    /// The server does not know the password either: it is somebody else.
    #[error("the server could not prove that it knows the password")]
    ServerNotProven,
    /// The server told why it refuses, inside of the exchange.
    #[error("{0}")]
    Refused(String),
}

impl Credentials {
    /// The mechanism's name on the wire.
    #[must_use]
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { mechanism: ScramMechanism::Sha256, .. } => "SCRAM-SHA-256",
            Self::Scram { mechanism: ScramMechanism::Sha512, .. } => "SCRAM-SHA-512",
            Self::OAuthBearer { .. } => "OAUTHBEARER",
        }
    }

    /// Begins an exchange. `nonce` is used by SCRAM: random, and new each time.
    #[must_use]
    pub fn begin(&self, nonce: [u8; 24]) -> SaslExchange {
        match self {
            Self::Plain { username, password } => SaslExchange::Once(Some(format!("\0{username}\0{password}").into())),
            Self::Scram { mechanism, username, password, is_token } => {
                // Base64 has no comma, which must not be in it.
                let nonce = STANDARD.encode(nonce);
                SaslExchange::Scram(ScramClient::new(*mechanism, username, password, *is_token, nonce))
            }
            Self::OAuthBearer { token, extensions } => {
                let extensions: String = extensions.iter().map(|(name, value)| format!("{name}={value}\x01")).collect();
                SaslExchange::Bearer(Some(format!("n,,\x01auth=Bearer {token}\x01{extensions}\x01").into()))
            }
        }
    }
}

/// An exchange under way.
#[derive(Debug)]
pub enum SaslExchange {
    /// One message, which is not sent yet.
    Once(Option<Vec<u8>>),
    /// SCRAM.
    Scram(ScramClient),
    /// One message, and then the server may say why it refuses.
    Bearer(Option<Vec<u8>>),
}

impl SaslExchange {
    /// What to say next, after what the server said (nothing at first); `None`: all is said.
    ///
    /// # Errors
    /// The server's words make no sense, or prove that it is somebody else.
    pub fn step(&mut self, said: &[u8]) -> Result<Option<Vec<u8>>, SaslError> {
        match self {
            Self::Once(message) => Ok(message.take()),
            Self::Scram(client) => client.step(said),
            Self::Bearer(message) => match message.take() {
                Some(message) => Ok(Some(message)),
                None if said.is_empty() => Ok(None),
                // An error in JSON. One more byte is due before the server ends the exchange (RFC 7628).
                None => Ok(Some(vec![1])),
            },
        }
    }

    /// Whether the exchange may end here: a server that leaves out its own proof has not given it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Once(message) | Self::Bearer(message) => message.is_none(),
            Self::Scram(client) => client.is_complete(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_of(credentials: &Credentials, said: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut exchange = credentials.begin([0; 24]);
        said.iter().filter_map(|said| exchange.step(said).unwrap()).collect()
    }

    #[test]
    fn plain_is_one_message() {
        let credentials = Credentials::Plain { username: "alice".to_owned(), password: "p\u{e4}ss".to_owned() };
        assert_eq!(all_of(&credentials, &[b"", b""]), ["\0alice\0p\u{e4}ss".as_bytes()]);
    }

    #[test]
    fn a_bearer_takes_its_token_and_extensions_along() {
        let extensions = vec![("traceId".to_owned(), "123".to_owned())];
        let credentials = Credentials::OAuthBearer { token: "a.b.".to_owned(), extensions };
        let message = &b"n,,\x01auth=Bearer a.b.\x01traceId=123\x01\x01"[..];
        assert_eq!(all_of(&credentials, &[b"", b""]), [message]);
        assert_eq!(all_of(&credentials, &[b"", br#"{"status":"invalid_token"}"#]), [message, b"\x01"]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let credentials = Credentials::Plain { username: "alice".to_owned(), password: "secret".to_owned() };
        assert_eq!(format!("{credentials:?}"), "PLAIN");
    }
}
