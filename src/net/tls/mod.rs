//! TLS of a client: what it trusts, who it says it is, and what went wrong in words that lead somewhere.
//!
//! Never opens a file but those of the system's own authorities. Start reading at [`TlsSettings`].

mod certificate;
mod error;
pub(crate) mod store;
mod verify;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedCipherSuite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use error::TlsError;
pub use store::{
    Identity, StoreError, StoreFormat, fuzz as fuzz_store, identity as read_identity,
    identity_of_pem as read_identity_of_pem, trusted as read_trusted,
};
use verify::Verifier;

/// Whom a client believes.
#[derive(Debug)]
pub enum Trust {
    /// Who the system trusts.
    System,
    /// These, and who they vouch for.
    Only(Vec<CertificateDer<'static>>),
}

/// Which names a server may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameCheck {
    /// The one by which it was reached (`https`).
    Host,
    /// Any (an empty `ssl.endpoint.identification.algorithm`).
    Off,
}

/// Which versions of TLS are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsVersions {
    /// TLS 1.2
    pub v1_2: bool,
    /// TLS 1.3
    pub v1_3: bool,
}

/// How a client uses TLS.
#[derive(Debug)]
pub struct TlsSettings {
    /// Whom it believes.
    pub trust: Trust,
    /// Who it is itself, if servers may ask.
    pub identity: Option<Identity>,
    /// Which names a server may have.
    pub name_check: NameCheck,
    /// Which versions are spoken.
    pub versions: TlsVersions,
    /// Cipher suites by their registered names; empty: all that are known.
    pub cipher_suites: Vec<String>,
}

/// Makes TLS streams.
#[derive(Clone)]
pub struct TlsClient {
    connector: TlsConnector,
    name_check: NameCheck,
}

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsClient").field("name_check", &self.name_check).finish_non_exhaustive()
    }
}

impl TlsClient {
    /// A client with these settings.
    ///
    /// # Errors
    /// They make no client: nobody is trusted, no cipher suite is left, key and certificate do not belong together.
    pub fn new(settings: TlsSettings) -> Result<Self, TlsError> {
        let TlsSettings { trust, identity, name_check, versions, cipher_suites } = settings;
        let provider = Arc::new(provider(&cipher_suites)?);
        let verifier = verifier(trust, name_check, &provider)?;
        let mut spoken = Vec::new();
        spoken.extend(versions.v1_3.then_some(&TLS13));
        spoken.extend(versions.v1_2.then_some(&TLS12));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&spoken)
            .map_err(TlsError::from)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match identity {
            Some(Identity { key, chain }) => builder.with_client_auth_cert(chain, key).map_err(TlsError::identity)?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name_check })
    }

    /// Speaks TLS over a connection to `host`.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, TlsError> {
        let name = match (ServerName::try_from(host.to_owned()), self.name_check) {
            (Ok(name), _) => name,
            // A name that can be in no certificate matters only to who looks for it there.
            (Err(_), NameCheck::Off) => ServerName::from(std::net::Ipv4Addr::UNSPECIFIED),
            (Err(_), NameCheck::Host) => return Err(TlsError::UnusableName),
        };
        self.connector.connect(name, stream).await.map_err(TlsError::of_io)
    }
}

fn verifier(trust: Trust, name_check: NameCheck, provider: &Arc<CryptoProvider>) -> Result<Verifier, TlsError> {
    let mut roots = RootCertStore::empty();
    let trusted = match trust {
        Trust::Only(certificates) => {
            let mut failure = None;
            for certificate in &certificates {
                failure = roots.add(certificate.clone()).err().or(failure);
            }
            if let (true, Some(error)) = (roots.is_empty(), failure) {
                return Err(error.into());
            }
            certificates
        }
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            for certificate in found.certs {
                // One odd authority of many is no reason to stop.
                let _ = roots.add(certificate);
            }
            Vec::new()
        }
    };
    if roots.is_empty() {
        return Err(TlsError::NobodyTrusted);
    }
    Verifier::new(roots, trusted, name_check, provider)
}

fn provider(wanted: &[String]) -> Result<CryptoProvider, TlsError> {
    let mut provider = rustls::crypto::ring::default_provider();
    if !wanted.is_empty() {
        let known: Vec<_> = provider.cipher_suites.iter().map(suite_name).collect();
        provider.cipher_suites.retain(|suite| wanted.contains(&suite_name(suite)));
        if provider.cipher_suites.is_empty() {
            return Err(TlsError::NoCipherSuite { known: known.join(", ") });
        }
    }
    Ok(provider)
}

/// The registered name of a suite, which is Java's as well.
fn suite_name(suite: &SupportedCipherSuite) -> String {
    suite.suite().as_str().unwrap_or_default().replace("TLS13_", "TLS_")
}

#[cfg(test)]
mod tests;
