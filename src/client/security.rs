//! How connections are protected: from settings to a TLS client and to what proves who we are.
//!
//! Stores are read when the first connection is made, and once; a token in a file is read for each connection.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::config::{
    Claim, Password, SaslCredentials, SaslMechanism, SecurityConfig, SecurityProtocol, TokenSource, UnsecuredToken,
};
use crate::net::ScramMechanism;
use crate::net::sasl::Credentials;
use crate::net::tls::{
    Identity, NameCheck, StoreError, StoreFormat, TlsClient, TlsError, TlsSettings, TlsVersions, Trust, read_identity,
    read_identity_of_pem, read_trusted,
};

/// Larger than any store: most likely it is some other file.
const LARGEST_STORE: u64 = 16 << 20;

/// Largest token that is sent.
const LARGEST_TOKEN: u64 = 1 << 20;

/// Why the settings make no protected connection.
#[derive(Debug, Error)]
pub enum SecurityError {
    /// A file can't be read.
    #[error("could not read {} ({key})", path.display())]
    Read {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file is larger than what it should be ever is.
    #[error("{} ({key}) is too large to be what it should be", path.display())]
    TooLarge {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A store can't be used.
    #[error("could not use {place}")]
    Store {
        /// The setting, and the file if there is one.
        place: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// What was read makes no TLS client.
    #[error(transparent)]
    Tls(TlsError),
    /// The token is not one.
    #[error("{} (sasl.oauthbearer.token.endpoint.url) holds no token", path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

/// How a client's connections are protected. Clones share what was read.
#[derive(Debug, Clone)]
pub struct Security {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: SecurityConfig,
    tls: OnceLock<Result<TlsClient, Arc<SecurityError>>>,
}

impl Security {
    /// What the settings say; `None`: nothing is protected.
    #[must_use]
    pub fn of(config: &SecurityConfig) -> Option<Self> {
        let inner = || Arc::new(Inner { config: config.clone(), tls: OnceLock::new() });
        (config.security_protocol != SecurityProtocol::Plaintext).then(|| Self { inner: inner() })
    }

    /// The protocol that connections speak.
    #[must_use]
    pub fn protocol(&self) -> SecurityProtocol {
        self.inner.config.security_protocol
    }

    /// What makes TLS streams, if the protocol has TLS.
    ///
    /// # Errors
    /// Its stores can't be used.
    pub(super) fn tls(&self) -> Option<Result<&TlsClient, Arc<SecurityError>>> {
        let Inner { config, tls } = &*self.inner;
        let client = || tls.get_or_init(|| tls_client(config).map_err(Arc::new)).as_ref().map_err(Arc::clone);
        config.security_protocol.has_tls().then(client)
    }

    /// What proves who we are, if the protocol has SASL.
    ///
    /// # Errors
    /// The file of a token can't be read.
    pub(super) fn credentials(&self) -> Option<Result<Credentials, Arc<SecurityError>>> {
        let credentials = self.inner.config.sasl.as_ref()?;
        Some(credentials_of(credentials).map_err(Arc::new))
    }
}

fn tls_client(config: &SecurityConfig) -> Result<TlsClient, SecurityError> {
    let versions = config.spoken_versions();
    let name_check = match config.ssl_endpoint_identification_algorithm.is_empty() {
        true => NameCheck::Off,
        false => NameCheck::Host,
    };
    let settings = TlsSettings {
        trust: trust(config)?,
        identity: identity(config)?,
        name_check,
        versions: TlsVersions { v1_2: versions.contains(&"TLSv1.2"), v1_3: versions.contains(&"TLSv1.3") },
        cipher_suites: config.ssl_cipher_suites.clone(),
    };
    TlsClient::new(settings).map_err(SecurityError::Tls)
}

fn trust(config: &SecurityConfig) -> Result<Trust, SecurityError> {
    let key = "ssl.truststore.location";
    let format = format_of(&config.ssl_truststore_type);
    let password = config.ssl_truststore_password.as_ref().map(Password::get);
    if let Some(text) = &config.ssl_truststore_certificates {
        let found = read_trusted(format, text.get().as_bytes(), password);
        return found.map(Trust::Only).map_err(|source| store_error("ssl.truststore.certificates", None, source));
    }
    let Some(path) = &config.ssl_truststore_location else { return Ok(Trust::System) };
    let path = Path::new(path);
    let bytes = read_file(key, path, LARGEST_STORE)?;
    read_trusted(format, &bytes, password).map(Trust::Only).map_err(|source| store_error(key, Some(path), source))
}

fn identity(config: &SecurityConfig) -> Result<Option<Identity>, SecurityError> {
    let key = "ssl.keystore.location";
    let key_password = config.ssl_key_password.as_ref().map(Password::get);
    if let (Some(text), Some(chain)) = (&config.ssl_keystore_key, &config.ssl_keystore_certificate_chain) {
        let found = read_identity_of_pem(text.get(), chain.get(), key_password);
        return found.map(Some).map_err(|source| store_error("ssl.keystore.key", None, source));
    }
    let Some(path) = &config.ssl_keystore_location else { return Ok(None) };
    let path = Path::new(path);
    let bytes = read_file(key, path, LARGEST_STORE)?;
    let password = config.ssl_keystore_password.as_ref().map(Password::get);
    let found = read_identity(format_of(&config.ssl_keystore_type), &bytes, password, key_password);
    found.map(Some).map_err(|source| store_error(key, Some(path), source))
}

fn format_of(kind: &str) -> StoreFormat {
    if kind == "PEM" { StoreFormat::Pem } else { StoreFormat::Binary }
}

fn store_error(key: &str, path: Option<&Path>, source: StoreError) -> SecurityError {
    let place = path.map_or_else(|| key.to_owned(), |path| format!("{} ({key})", path.display()));
    SecurityError::Store { place, source }
}

fn read_file(key: &'static str, path: &Path, largest: u64) -> Result<Vec<u8>, SecurityError> {
    use std::io::Read as _;
    let failed = |source| SecurityError::Read { key, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(largest + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > largest {
        return Err(SecurityError::TooLarge { key, path: path.to_owned() });
    }
    Ok(bytes)
}

fn credentials_of(credentials: &SaslCredentials) -> Result<Credentials, SecurityError> {
    let (source, extensions) = match credentials {
        SaslCredentials::Password { mechanism, username, password, is_token } => {
            let (username, password) = (username.clone(), password.get().to_owned());
            let scram = match mechanism {
                SaslMechanism::ScramSha256 => ScramMechanism::Sha256,
                SaslMechanism::ScramSha512 => ScramMechanism::Sha512,
                SaslMechanism::Plain | SaslMechanism::OAuthBearer => {
                    return Ok(Credentials::Plain { username, password });
                }
            };
            return Ok(Credentials::Scram { mechanism: scram, username, password, is_token: *is_token });
        }
        SaslCredentials::Token { source, extensions } => (source, extensions.clone()),
    };
    let token = match source {
        TokenSource::File(path) => token_of(path)?,
        TokenSource::Unsecured(token) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            unsecured(token, now.as_secs_f64())
        }
    };
    Ok(Credentials::OAuthBearer { token, extensions })
}

fn token_of(path: &Path) -> Result<String, SecurityError> {
    let bytes = read_file("sasl.oauthbearer.token.endpoint.url", path, LARGEST_TOKEN)?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let token = text.trim();
    // Three parts of base64; what else is in the file must not get into the exchange.
    let is_token = token.split('.').count() == 3
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte));
    if is_token { Ok(token.to_owned()) } else { Err(SecurityError::NoToken { path: path.to_owned() }) }
}

/// A token that nobody signed (RFC 7519, section 6).
fn unsecured(token: &UnsecuredToken, now_seconds: f64) -> String {
    let mut claims = Map::new();
    #[expect(clippy::cast_precision_loss, reason = "no lifetime is so long that it would count")]
    claims.insert("exp".to_owned(), json!(now_seconds + token.lifetime_seconds as f64));
    claims.insert("iat".to_owned(), json!(now_seconds));
    for (name, claim) in &token.claims {
        let value = match claim {
            Claim::Text(text) => json!(text),
            Claim::Number(number) => json!(number),
            Claim::List(list) => json!(list),
        };
        claims.insert(name.clone(), value);
    }
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(json!({"alg": "none"})), part(Value::Object(claims)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsecured_token_says_what_it_is_told_to() {
        let claims = vec![
            ("sub".to_owned(), Claim::Text("alice".to_owned())),
            ("scope".to_owned(), Claim::List(vec!["a".to_owned(), "b".to_owned()])),
        ];
        let token = unsecured(&UnsecuredToken { claims, lifetime_seconds: 60 }, 1000.5);
        let parts: Vec<_> = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[0], br#"{"alg":"none"}"#);
        let claims: Value = serde_json::from_slice(&parts[1]).unwrap();
        assert_eq!(claims, json!({"exp": 1060.5, "iat": 1000.5, "sub": "alice", "scope": ["a", "b"]}));
    }

    #[test]
    fn a_token_in_a_file_is_a_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "aa.bb.cc\n").unwrap();
        assert_eq!(token_of(&path).unwrap(), "aa.bb.cc");
        for odd in ["", "aa.bb", "a a.bb.cc", "aa.bb\x01auth=x.cc"] {
            fs::write(&path, odd).unwrap();
            assert!(matches!(token_of(&path), Err(SecurityError::NoToken { .. })), "{odd:?}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(token_of(&path), Err(SecurityError::Read { .. })));
    }
}
