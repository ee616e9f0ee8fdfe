//! Private keys that are locked with a password: EncryptedPrivateKeyInfo (RFC 5958).

use super::StoreError;
use super::der::{Der, OCTET_STRING, SEQUENCE};
use super::pbe;

/// The PKCS#8 key inside.
pub(super) fn decrypt(locked: &[u8], password: &str) -> Result<Vec<u8>, StoreError> {
    let mut outer = Der::new(locked).enter(SEQUENCE)?;
    let algorithm = outer.enter(SEQUENCE)?;
    let key = pbe::decrypt(algorithm, outer.take(OCTET_STRING)?, password)?;
    // A wrong password may leave something that is padded well by chance.
    match Der::new(&key).enter(SEQUENCE) {
        Ok(_) => Ok(key),
        Err(_) => Err(StoreError::WrongPassword),
    }
}
