//! JKS, the key store format of Java's first twenty years.
//!
//! ```text
//! magic u32 = feedfeed, version u32 = 1 or 2, entries u32, all big-endian; then for each entry
//!   kind u32 (1 private key, 2 trusted certificate), alias (u16 length, bytes), created u64
//!   1: key (u32 length, bytes), certificates u32, then each of them; 2: a certificate
//!   a certificate: its type (u16 length, bytes; only in version 2), then u32 length, bytes
//! SHA-1 over the password in UTF-16, `Mighty Aphrodite` and everything before
//! ```
//!
//! A key is locked by exclusive or with a chain of SHA-1 hashes of password and salt; the hash of password and key behind
//! it shows whether that was right.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha1::{Digest, Sha1};

use super::der::{Der, OBJECT_ID, OCTET_STRING, SEQUENCE};
use super::{Contents, KeyEntry, StoreError};

pub(super) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];

/// Bytes of a SHA-1 hash.
const HASH: usize = 20;

/// 1.3.6.1.4.1.42.2.17.1.1: how Java locks keys in this format.
const KEY_PROTECTOR: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];

/// Reads a store. Without a password it is not checked whether somebody changed it, as in Java.
pub(super) fn read(bytes: &[u8], password: Option<&str>, key_password: Option<&str>) -> Result<Contents, StoreError> {
    let body_size = bytes.len().checked_sub(HASH).ok_or(TOO_SHORT)?;
    let (body, digest) = bytes.split_at_checked(body_size).ok_or(TOO_SHORT)?;
    let mut body = Fields { rest: body };
    if body.take(4)? != MAGIC {
        return Err(StoreError::Malformed("it does not begin as a JKS store"));
    }
    let version = body.number()?;
    if !matches!(version, 1 | 2) {
        return Err(StoreError::Malformed("its version is neither 1 nor 2"));
    }
    if let Some(password) = password {
        let signed = bytes.get(..body_size).unwrap_or_default();
        let hash = Sha1::new().chain_update(utf16(password)).chain_update("Mighty Aphrodite").chain_update(signed);
        if hash.finalize().as_slice() != digest {
            return Err(StoreError::WrongPassword);
        }
    }
    let mut contents = Contents::default();
    // Each entry takes bytes, so a count that is not true ends at the end of the file.
    for _ in 0..body.number()? {
        let kind = body.number()?;
        let _alias = body.text()?;
        let _created = body.take(8)?;
        match kind {
            1 => {
                let locked = body.bytes()?;
                let key = key_password.map(|password| unlock(locked, password)).transpose()?;
                let mut chain = Vec::new();
                for _ in 0..body.number()? {
                    chain.push(certificate(&mut body, version)?);
                }
                let key = key.map(|key| PrivateKeyDer::Pkcs8(key.into()));
                contents.keys.push(KeyEntry { key, chain });
            }
            2 => contents.trusted.push(certificate(&mut body, version)?),
            _ => return Err(StoreError::Malformed("an entry of it is neither a key nor a certificate")),
        }
    }
    Ok(contents)
}

fn certificate(fields: &mut Fields<'_>, version: u32) -> Result<CertificateDer<'static>, StoreError> {
    if version == 2 && fields.text()? != b"X.509" {
        return Err(StoreError::Unsupported("a certificate that is not X.509".to_owned()));
    }
    Ok(CertificateDer::from(fields.bytes()?.to_vec()))
}

/// The PKCS#8 key in an EncryptedPrivateKeyInfo of Java's own.
fn unlock(locked: &[u8], password: &str) -> Result<Vec<u8>, StoreError> {
    let mut outer = Der::new(locked).enter(SEQUENCE)?;
    if outer.enter(SEQUENCE)?.take(OBJECT_ID)? != KEY_PROTECTOR {
        return Err(StoreError::Unsupported("a key that is not locked in Java's own way".to_owned()));
    }
    let protected = outer.take(OCTET_STRING)?;
    let (salt, rest) = protected.split_at_checked(HASH).ok_or(TOO_SHORT)?;
    let (masked, check) = rest.split_at_checked(rest.len().saturating_sub(HASH)).ok_or(TOO_SHORT)?;
    let password = utf16(password);
    let hash = |text: &[u8]| Sha1::new().chain_update(&password).chain_update(text).finalize();
    let mut key = Vec::with_capacity(masked.len());
    let mut mask = hash(salt);
    for part in masked.chunks(HASH) {
        key.extend(part.iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
        mask = hash(&mask);
    }
    if hash(&key).as_slice() == check { Ok(key) } else { Err(StoreError::WrongPassword) }
}

fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

const TOO_SHORT: StoreError = StoreError::Malformed("it ends too early");

/// Reads the fields one after the other.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, size: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or(TOO_SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, StoreError> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn bytes(&mut self) -> Result<&'a [u8], StoreError> {
        let size = usize::try_from(self.number()?).map_err(|_| TOO_SHORT)?;
        self.take(size)
    }

    fn text(&mut self) -> Result<&'a [u8], StoreError> {
        let size = self.take(2)?.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        self.take(size)
    }
}
