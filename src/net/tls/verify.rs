//! Whether a server is who it should be, by the rules of Java's clients where they differ from those of rustls.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certificate::{Names, name_matches};
use super::{NameCheck, TlsError};

/// Checks chain, time and name. Differs from rustls in three things that clusters' own certificates need:
///
/// - a certificate that is itself in the trust store is trusted, an authority's too (`openssl req -x509` makes such);
/// - a certificate without alternative names may have the host's name as its common name, as RFC 2818 has it;
/// - the name is not looked at if [`NameCheck::Off`].
#[derive(Debug)]
pub(super) struct Verifier {
    chain: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
    name_check: NameCheck,
}

impl Verifier {
    pub(super) fn new(
        roots: RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
        name_check: NameCheck,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| TlsError::Other(error.to_string()))?;
        Ok(Self { chain, trusted, name_check })
    }

    fn check_name(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
        if self.name_check == NameCheck::Off {
            return Ok(());
        }
        let Err(error) = rustls::client::verify_server_name(&ParsedCertificate::try_from(certificate)?, name) else {
            return Ok(());
        };
        match (Names::of(certificate), name) {
            (Ok(Names { common_name: Some(common), dns_names, .. }), ServerName::DnsName(host))
                if dns_names.is_empty() && name_matches(common, host.as_ref()) =>
            {
                Ok(())
            }
            (Ok(Names { common_name: Some(common), dns_names, .. }), _) if dns_names.is_empty() => {
                let presented = vec![format!("CN={common}")];
                let expected = name.to_owned();
                Err(CertificateError::NotValidForNameContext { expected, presented }.into())
            }
            _ => Err(error),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.trusted.contains(certificate) {
            match self.chain.verify_server_cert(certificate, intermediates, name, ocsp_response, now) {
                Ok(verified) => return Ok(verified),
                // Order: the name is what rustls checks last, so all else is well; ours may find it to be, too.
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(error) => return Err(error),
            }
        }
        self.check_name(certificate, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
