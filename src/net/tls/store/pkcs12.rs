//! PKCS#12 (RFC 7292), as `keytool` and OpenSSL write it.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::der::{CONTEXT_0, CONTEXT_0_BYTES, Der, INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE, SET};
use super::pbe::{self, Hash, Purpose};
use super::{Contents, KeyEntry, StoreError, pkcs8};
use crate::net::tls::certificate::Names;

/// 1.2.840.113549.1.7, then 1: data, 6: encrypted data.
const PKCS7: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
/// 1.2.840.113549.1.12.10.1, then the kind of bag.
const BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01];
/// 1.2.840.113549.1.9.22.1
const X509_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
/// 1.2.840.113549.1.9.21: what a key and its certificate have in common.
const LOCAL_KEY_ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x15];
/// 2.16.840.1.113894.746875.1.1: Java's mark on certificates that are there to be trusted.
const TRUSTED: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01];
/// 1.3.14.3.2.26
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
/// 2.16.840.1.101.3.4.2, then 1: SHA-256, 2: SHA-384, 3: SHA-512.
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// Bags may hold bags; ours not deeper than this.
const DEEPEST: usize = 4;

/// A certificate with what is said about it.
struct Certificate {
    der: CertificateDer<'static>,
    key_id: Option<Vec<u8>>,
    is_trusted: bool,
}

struct Key {
    der: Option<PrivateKeyDer<'static>>,
    key_id: Option<Vec<u8>>,
}

#[derive(Default)]
struct Bags {
    certificates: Vec<Certificate>,
    keys: Vec<Key>,
}

/// Reads a store. Its own password opens the certificates, `key_password` the keys.
pub(super) fn read(bytes: &[u8], password: Option<&str>, key_password: Option<&str>) -> Result<Contents, StoreError> {
    let not_pkcs12 = |_| StoreError::Format { found: "something else", wanted: "PKCS12 or JKS" };
    let mut file = Der::new(bytes).enter(SEQUENCE).map_err(not_pkcs12)?;
    let _version = file.take(INTEGER).map_err(not_pkcs12)?;
    let safe = data(&mut file.enter(SEQUENCE).map_err(not_pkcs12)?)?;
    if let (Some(signature), Some(password)) = (file.optional(SEQUENCE)?, password) {
        check_signature(Der::new(signature), safe, password)?;
    }
    let mut bags = Bags::default();
    let mut infos = Der::new(safe).enter(SEQUENCE)?;
    while !infos.is_empty() {
        let mut info = infos.enter(SEQUENCE)?;
        let opened;
        let bytes = match Der::new(peek_id(&info)?).take(OBJECT_ID)?.strip_prefix(PKCS7) {
            Some([6]) => {
                opened = decrypt(&mut info, password.ok_or(StoreError::NoPassword)?)?;
                &opened
            }
            _ => data(&mut info)?,
        };
        bags.read(Der::new(bytes), key_password, DEEPEST)?;
    }
    Ok(bags.contents())
}

/// The id at the front, with its tag.
fn peek_id<'a>(info: &Der<'a>) -> Result<&'a [u8], StoreError> {
    Ok(info.clone().next()?.whole)
}

/// The bytes of a ContentInfo that is not encrypted.
fn data<'a>(info: &mut Der<'a>) -> Result<&'a [u8], StoreError> {
    match info.take(OBJECT_ID)?.strip_prefix(PKCS7) {
        Some([1]) => info.enter(CONTEXT_0)?.take(OCTET_STRING),
        _ => Err(StoreError::Unsupported("something that is locked otherwise than with a password".to_owned())),
    }
}

/// The bytes of a ContentInfo that is encrypted with a password.
fn decrypt(info: &mut Der<'_>, password: &str) -> Result<Vec<u8>, StoreError> {
    let _kind = info.take(OBJECT_ID)?;
    let mut encrypted = info.enter(CONTEXT_0)?.enter(SEQUENCE)?;
    let _version = encrypted.take(INTEGER)?;
    let mut content = encrypted.enter(SEQUENCE)?;
    let _kind = content.take(OBJECT_ID)?;
    let algorithm = content.enter(SEQUENCE)?;
    pbe::decrypt(algorithm, content.take(CONTEXT_0_BYTES)?, password)
}

/// Whether who wrote the store knew the password.
fn check_signature(mut signature: Der<'_>, signed: &[u8], password: &str) -> Result<(), StoreError> {
    let mut digest_info = signature.enter(SEQUENCE)?;
    let mut algorithm = digest_info.enter(SEQUENCE)?;
    let expected = digest_info.take(OCTET_STRING)?;
    let salt = signature.take(OCTET_STRING)?;
    let name = algorithm.take(OBJECT_ID)?;
    let hash = match name.strip_prefix(SHA2) {
        Some([1]) => Hash::Sha256,
        Some([2]) => Hash::Sha384,
        Some([3]) => Hash::Sha512,
        _ if name == SHA1 => Hash::Sha1,
        // PBMAC1 among them (RFC 9579), which nothing writes unasked.
        _ => return Err(StoreError::Unsupported(format!("a signature by the scheme {}", pbe::dotted(name)))),
    };
    let rounds = if signature.is_empty() { 1 } else { pbe::rounds(&mut signature)? };
    let key = pbe::pkcs12_key(hash, Purpose::Mac, password, salt, rounds, hash_size(hash));
    if pbe::hmac(hash, &key, signed) == expected { Ok(()) } else { Err(StoreError::WrongPassword) }
}

fn hash_size(hash: Hash) -> usize {
    match hash {
        Hash::Sha1 => 20,
        Hash::Sha256 => 32,
        Hash::Sha384 => 48,
        Hash::Sha512 => 64,
    }
}

impl Bags {
    fn read(&mut self, mut contents: Der<'_>, key_password: Option<&str>, deeper: usize) -> Result<(), StoreError> {
        let mut bags = contents.enter(SEQUENCE)?;
        while !bags.is_empty() {
            let mut bag = bags.enter(SEQUENCE)?;
            let kind = bag.take(OBJECT_ID)?;
            let value = bag.take(CONTEXT_0)?;
            let (key_id, is_trusted) = match bag.optional(SET)? {
                Some(attributes) => read_attributes(Der::new(attributes))?,
                None => (None, false),
            };
            match kind.strip_prefix(BAG) {
                Some([1]) => {
                    let der = key_password.map(|_| PrivateKeyDer::Pkcs8(value.to_vec().into()));
                    self.keys.push(Key { der, key_id });
                }
                Some([2]) => {
                    let der = key_password.map(|password| pkcs8::decrypt(value, password)).transpose()?;
                    self.keys.push(Key { der: der.map(|der| PrivateKeyDer::Pkcs8(der.into())), key_id });
                }
                Some([3]) => {
                    let mut certificate = Der::new(value).enter(SEQUENCE)?;
                    if certificate.take(OBJECT_ID)? == X509_CERTIFICATE {
                        let der = certificate.enter(CONTEXT_0)?.take(OCTET_STRING)?.to_vec().into();
                        self.certificates.push(Certificate { der, key_id, is_trusted });
                    }
                }
                Some([6]) if deeper > 0 => self.read(Der::new(value), key_password, deeper - 1)?,
                // Lists of what was revoked, secrets: nothing that TLS needs.
                _ => {}
            }
        }
        Ok(())
    }

    fn contents(self) -> Contents {
        let Self { certificates, keys } = self;
        let has_keys = !keys.is_empty();
        let chain_of = |key: &Key| {
            let own = |certificate: &&Certificate| key.key_id.is_some() && certificate.key_id == key.key_id;
            let own = certificates.iter().find(own).or_else(|| {
                // Without ids the first is its own, as OpenSSL writes them.
                certificates.first().filter(|_| keys.len() == 1 && key.key_id.is_none())
            });
            own.map_or_else(Vec::new, |own| chain_from(&own.der, &certificates))
        };
        let chains: Vec<_> = keys.iter().map(chain_of).collect();
        // Java trusts what bears its mark; a store that has no keys and no marks, as OpenSSL's, is there to be trusted.
        let trusted =
            certificates.iter().filter(|one| one.is_trusted || !has_keys).map(|one| one.der.clone()).collect();
        let keys = keys.into_iter().zip(chains).map(|(key, chain)| KeyEntry { key: key.der, chain }).collect();
        Contents { keys, trusted }
    }
}

/// The certificate, then that of who signed it, and so on, as far as they are here.
fn chain_from(own: &CertificateDer<'static>, all: &[Certificate]) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![own.clone()];
    while let Some(last) = chain.last()
        && let Ok(names) = Names::of(last)
        && names.issuer != names.subject
        && let Some(next) = all.iter().find(|one| Names::of(&one.der).is_ok_and(|one| one.subject == names.issuer))
        && !chain.contains(&next.der)
    {
        chain.push(next.der.clone());
    }
    chain
}

/// The id that links a key and its certificate, and whether Java marked it as trusted.
fn read_attributes(mut attributes: Der<'_>) -> Result<(Option<Vec<u8>>, bool), StoreError> {
    let (mut key_id, mut is_trusted) = (None, false);
    while !attributes.is_empty() {
        let mut attribute = attributes.enter(SEQUENCE)?;
        let name = attribute.take(OBJECT_ID)?;
        is_trusted |= name == TRUSTED;
        if name == LOCAL_KEY_ID {
            key_id = Some(attribute.enter(SET)?.take(OCTET_STRING)?.to_vec());
        }
    }
    Ok((key_id, is_trusted))
}
