//! Key stores and trust stores: PEM, PKCS#12 and Java's JKS, from bytes to certificates and keys.
//!
//! Every length is checked against the bytes that are there, and the work that a file may ask for (rounds of its
//! password's hash) is bounded. Never opens a file. Start reading at [`trusted`] and [`identity`].

pub(crate) mod der;
mod jks;
mod pbe;
mod pem;
mod pkcs12;
mod pkcs8;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// How the bytes of a store are laid out, as its setting says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFormat {
    /// Certificates and PKCS#8 keys as text.
    Pem,
    /// PKCS#12 or JKS. As in Java, whichever of the two is named, the bytes say which it is.
    Binary,
}

/// A private key and the certificates that vouch for it, the key's own first.
#[derive(Debug)]
pub struct Identity {
    /// The key.
    pub key: PrivateKeyDer<'static>,
    /// Its certificate, then that of who signed it, and so on.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Why a store can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The bytes are not what they should be.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// The bytes are something else than the setting says.
    #[error("it is {found}, not {wanted}")]
    Format {
        /// What the bytes look like.
        found: &'static str,
        /// What was to be read.
        wanted: &'static str,
    },
    /// A password is needed and none is set.
    #[error("it is locked with a password, and none is set")]
    NoPassword,
    /// The password does not open it.
    #[error("the password does not open it")]
    WrongPassword,
    /// It does not have what it is for.
    #[error("there is no {0} in it")]
    Lacks(&'static str),
    /// A kind of key, lock or store that this program can't read.
    #[error("it holds {0}, which can't be used here")]
    Unsupported(String),
}

/// What was found in a binary store.
#[derive(Debug, Default)]
struct Contents {
    keys: Vec<KeyEntry>,
    /// Certificates that are there to be trusted.
    trusted: Vec<CertificateDer<'static>>,
}

/// A private key, still locked if nobody asked for it, and its certificates.
#[derive(Debug)]
struct KeyEntry {
    key: Option<PrivateKeyDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
}

/// The certificates that a trust store says to trust.
///
/// A private key's own certificate is one of them, as for Kafka.
///
/// # Errors
/// The bytes can't be read, the password is wrong, or there is no certificate.
pub fn trusted(
    format: StoreFormat,
    bytes: &[u8],
    password: Option<&str>,
) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let found = match format {
        StoreFormat::Pem => pem::certificates(text_of(bytes)?)?,
        StoreFormat::Binary => {
            let contents = read(bytes, password, None)?;
            let own = contents.keys.into_iter().filter_map(|entry| entry.chain.into_iter().next());
            contents.trusted.into_iter().chain(own).collect()
        }
    };
    if found.is_empty() { Err(StoreError::Lacks("certificate")) } else { Ok(found) }
}

/// The private key of a key store, with its certificates.
///
/// # Errors
/// The bytes can't be read, a password is wrong, or there is no private key.
pub fn identity(
    format: StoreFormat,
    bytes: &[u8],
    password: Option<&str>,
    key_password: Option<&str>,
) -> Result<Identity, StoreError> {
    if format == StoreFormat::Pem {
        let text = text_of(bytes)?;
        return pem::identity(text, text, key_password);
    }
    let key_password = key_password.or(password).ok_or(StoreError::NoPassword)?;
    let contents = read(bytes, password, Some(key_password))?;
    let entry = contents.keys.into_iter().next().ok_or(StoreError::Lacks("private key"))?;
    let key = entry.key.ok_or(StoreError::Lacks("private key"))?;
    if entry.chain.is_empty() {
        return Err(StoreError::Lacks("certificate of the private key"));
    }
    Ok(Identity { key, chain: entry.chain })
}

/// A private key and its certificates, each as text of PEM.
///
/// # Errors
/// As [`identity`].
pub fn identity_of_pem(key: &str, chain: &str, key_password: Option<&str>) -> Result<Identity, StoreError> {
    pem::identity(key, chain, key_password)
}

/// Fuzz entry: any bytes are read as a store of any kind, or refused.
pub fn fuzz(bytes: &[u8]) {
    let _ = read(bytes, Some("changeit"), Some("changeit"));
    let _ = jks::read(bytes, None, Some("changeit"));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = pem::identity(text, text, Some("changeit"));
    }
}

/// Reads either binary form. Without a `key_password`, private keys stay locked.
fn read(bytes: &[u8], password: Option<&str>, key_password: Option<&str>) -> Result<Contents, StoreError> {
    const JCEKS: [u8; 4] = [0xce; 4];
    if bytes.starts_with(&jks::MAGIC) {
        return jks::read(bytes, password, key_password);
    }
    if bytes.starts_with(&JCEKS) {
        return Err(StoreError::Format { found: "a JCEKS store", wanted: "PKCS12 or JKS" });
    }
    if bytes.trim_ascii_start().starts_with(b"-----BEGIN") || bytes.windows(11).any(|part| part == b"-----BEGIN ") {
        return Err(StoreError::Format { found: "PEM", wanted: "PKCS12 or JKS" });
    }
    pkcs12::read(bytes, password, key_password)
}

fn text_of(bytes: &[u8]) -> Result<&str, StoreError> {
    if bytes.starts_with(&jks::MAGIC) {
        return Err(StoreError::Format { found: "a JKS store", wanted: "PEM" });
    }
    std::str::from_utf8(bytes).map_err(|_| StoreError::Format { found: "no text", wanted: "PEM" })
}

#[cfg(test)]
mod tests;
