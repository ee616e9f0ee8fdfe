//! PEM: DER in base64 between lines that say what it is (RFC 7468).
//!
//! As Kafka reads it: white space may stand anywhere in the base64, since such values are also written in one line of a
//! properties file; what stands around the blocks is skipped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Identity, StoreError, pkcs8};

/// A block: `CERTIFICATE` and its bytes.
struct Block<'a> {
    label: &'a str,
    bytes: Vec<u8>,
}

/// The certificates in `text`, in their order.
pub(super) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let blocks = blocks(text)?.into_iter().filter(|block| block.label.ends_with("CERTIFICATE"));
    let found: Vec<_> = blocks.map(|block| CertificateDer::from(block.bytes)).collect();
    if found.is_empty() { Err(StoreError::Lacks("certificate")) } else { Ok(found) }
}

/// A private key in `key_text` with the certificates in `chain_text`.
pub(super) fn identity(key_text: &str, chain_text: &str, password: Option<&str>) -> Result<Identity, StoreError> {
    let block = blocks(key_text)?.into_iter().find(|block| block.label.ends_with("PRIVATE KEY"));
    let block = block.ok_or(StoreError::Lacks("private key"))?;
    let key = match block.label {
        "PRIVATE KEY" => PrivateKeyDer::Pkcs8(block.bytes.into()),
        "ENCRYPTED PRIVATE KEY" => {
            let password = password.ok_or(StoreError::NoPassword)?;
            PrivateKeyDer::Pkcs8(pkcs8::decrypt(&block.bytes, password)?.into())
        }
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(block.bytes.into()),
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(block.bytes.into()),
        _ => return Err(StoreError::Unsupported(format!("a {}", block.label))),
    };
    Ok(Identity { key, chain: certificates(chain_text)? })
}

fn blocks(text: &str) -> Result<Vec<Block<'_>>, StoreError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let cut = StoreError::Malformed("a block of PEM in it has no end");
        let (label, after) = after.split_once("-----").ok_or_else(|| cut.clone())?;
        let (body, after) = after.split_once("-----END ").ok_or(cut)?;
        rest = after;
        if body.contains("Proc-Type") {
            return Err(StoreError::Unsupported(
                "an encrypted key in OpenSSL's old form (`openssl pkcs8 -topk8` makes a PKCS#8 one)".to_owned(),
            ));
        }
        let base64: String = body.chars().filter(|one| !one.is_whitespace()).collect();
        let bytes = STANDARD.decode(base64).map_err(|_| StoreError::Malformed("a block of PEM in it is no base64"))?;
        found.push(Block { label, bytes });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_may_stand_in_one_line_and_have_words_around_them() {
        let text = "Bag Attributes: x\n-----BEGIN CERTIFICATE----- AQ\n ID -----END CERTIFICATE-----\nmore\n\
                    -----BEGIN PRIVATE KEY-----\r\nBAU=\r\n-----END PRIVATE KEY-----\r\n";
        assert_eq!(certificates(text).unwrap()[0].as_ref(), [1, 2, 3]);
        let identity = identity(text, text, None).unwrap();
        assert_eq!((identity.key.secret_der(), identity.chain.len()), (&[4, 5][..], 1));
    }

    #[test]
    fn what_is_missing_or_broken_is_said() {
        assert_eq!(certificates("").unwrap_err(), StoreError::Lacks("certificate"));
        let cut = "-----BEGIN CERTIFICATE-----\nAQID";
        assert!(matches!(certificates(cut).unwrap_err(), StoreError::Malformed(_)));
        let odd = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----";
        assert!(matches!(certificates(odd).unwrap_err(), StoreError::Malformed(_)));
        let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----";
        assert_eq!(identity(locked, locked, None).unwrap_err(), StoreError::NoPassword);
    }
}
