//! Decryption with a password: PBES2 of PKCS#5 (RFC 8018), and the older schemes of PKCS#12 (RFC 7292, appendix B and C).

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyInit, KeyIvInit};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha256, Sha384, Sha512};

use super::StoreError;
use super::der::{Der, INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE};

/// More rounds than any tool uses: they are time that somebody else's file may make us spend.
const MOST_ROUNDS: u32 = 10_000_000;

/// 1.2.840.113549.1.12.1, and the number of the scheme.
const PKCS12_PBE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];
/// 1.2.840.113549.1.5.13
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
/// 1.2.840.113549.1.5.12
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// 1.2.840.113549.2, and the number of the hash: HMAC.
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
/// 1.2.840.113549.3.7: three times DES.
const DES_EDE3: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, 0x07];
/// 2.16.840.1.101.3.4.1, and the number of the key's size: AES in CBC mode.
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];

/// Which hash function a password goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// Decrypts what the scheme in `algorithm` (its name and parameters) encrypted.
pub(super) fn decrypt(mut algorithm: Der<'_>, encrypted: &[u8], password: &str) -> Result<Vec<u8>, StoreError> {
    let scheme = algorithm.take(OBJECT_ID)?;
    if scheme == PBES2 {
        return decrypt_pbes2(algorithm.enter(SEQUENCE)?, encrypted, password);
    }
    let number = scheme.strip_prefix(PKCS12_PBE);
    let mut parameters = algorithm.enter(SEQUENCE)?;
    let (salt, rounds) = (parameters.take(OCTET_STRING)?, rounds(&mut parameters)?);
    let derive = |purpose, size| pkcs12_key(Hash::Sha1, purpose, password, salt, rounds, size);
    let (key, iv) = (|size| derive(Purpose::Key, size), derive(Purpose::Iv, 8));
    match number {
        Some([3]) => open::<cbc::Decryptor<des::TdesEde3>>(&key(24), &iv, encrypted),
        Some([4]) => open::<cbc::Decryptor<des::TdesEde2>>(&key(16), &iv, encrypted),
        Some([5]) => open_rc2(&key(16), &iv, encrypted),
        Some([6]) => open_rc2(&key(5), &iv, encrypted),
        _ => Err(StoreError::Unsupported(format!("something locked by the scheme {}", dotted(scheme)))),
    }
}

fn decrypt_pbes2(mut parameters: Der<'_>, encrypted: &[u8], password: &str) -> Result<Vec<u8>, StoreError> {
    let mut derivation = parameters.enter(SEQUENCE)?;
    let mut cipher = parameters.enter(SEQUENCE)?;
    let (name, iv) = (cipher.take(OBJECT_ID)?, cipher.take(OCTET_STRING)?);
    let key_size = match name.strip_prefix(AES) {
        Some([2]) => 16,
        Some([22]) => 24,
        Some([42]) => 32,
        _ if name == DES_EDE3 => 24,
        _ => return Err(StoreError::Unsupported(format!("something locked by the cipher {}", dotted(name)))),
    };
    let key = pbkdf2(&mut derivation, password, key_size)?;
    match name.strip_prefix(AES) {
        Some([2]) => open::<cbc::Decryptor<aes::Aes128>>(&key, iv, encrypted),
        Some([22]) => open::<cbc::Decryptor<aes::Aes192>>(&key, iv, encrypted),
        Some([42]) => open::<cbc::Decryptor<aes::Aes256>>(&key, iv, encrypted),
        _ => open::<cbc::Decryptor<des::TdesEde3>>(&key, iv, encrypted),
    }
}

/// The key that PBKDF2 makes of a password, with the parameters that `derivation` (its name and they) says.
fn pbkdf2(derivation: &mut Der<'_>, password: &str, size: usize) -> Result<Vec<u8>, StoreError> {
    let name = derivation.take(OBJECT_ID)?;
    if name != PBKDF2 {
        return Err(StoreError::Unsupported(format!("something whose key is made by {}", dotted(name))));
    }
    let mut parameters = derivation.enter(SEQUENCE)?;
    let (salt, rounds) = (parameters.take(OCTET_STRING)?, rounds(&mut parameters)?);
    let _size = parameters.optional(INTEGER)?;
    let hash = match parameters.optional(SEQUENCE)? {
        None => Hash::Sha1,
        Some(algorithm) => hmac_hash(Der::new(algorithm).take(OBJECT_ID)?)?,
    };
    let password = password.as_bytes();
    Ok(match hash {
        Hash::Sha1 => stretch::<Hmac<Sha1>>(password, salt, rounds, size),
        Hash::Sha256 => stretch::<Hmac<Sha256>>(password, salt, rounds, size),
        Hash::Sha384 => stretch::<Hmac<Sha384>>(password, salt, rounds, size),
        Hash::Sha512 => stretch::<Hmac<Sha512>>(password, salt, rounds, size),
    })
}

/// The hash of an HMAC's name.
fn hmac_hash(name: &[u8]) -> Result<Hash, StoreError> {
    match name.strip_prefix(HMAC) {
        Some([7]) => Ok(Hash::Sha1),
        Some([9]) => Ok(Hash::Sha256),
        Some([10]) => Ok(Hash::Sha384),
        Some([11]) => Ok(Hash::Sha512),
        _ => Err(StoreError::Unsupported(format!("something that is signed by {}", dotted(name)))),
    }
}

/// A count of rounds within bounds.
pub(super) fn rounds(parameters: &mut Der<'_>) -> Result<u32, StoreError> {
    match parameters.number()? {
        rounds @ 1..=MOST_ROUNDS => Ok(rounds),
        _ => Err(StoreError::Malformed("the rounds of its password's hash are out of range")),
    }
}

/// HMAC of `text`.
pub(super) fn hmac(hash: Hash, key: &[u8], text: &[u8]) -> Vec<u8> {
    fn of<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
        crate::net::scram::keyed::<M>(key).chain_update(text).finalize().into_bytes().to_vec()
    }
    match hash {
        Hash::Sha1 => of::<Hmac<Sha1>>(key, text),
        Hash::Sha256 => of::<Hmac<Sha256>>(key, text),
        Hash::Sha384 => of::<Hmac<Sha384>>(key, text),
        Hash::Sha512 => of::<Hmac<Sha512>>(key, text),
    }
}

/// PBKDF2.
fn stretch<M: Mac + KeyInit + Clone>(password: &[u8], salt: &[u8], rounds: u32, size: usize) -> Vec<u8> {
    let mut key = Vec::new();
    for block in 1u32.. {
        key.extend(crate::net::scram::hi_block::<M>(password, salt, rounds, block));
        if key.len() >= size {
            break;
        }
    }
    key.truncate(size);
    key
}

/// What bytes derived from a password are for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// Bytes derived from a password in PKCS#12's own way (RFC 7292, B.2).
pub(super) fn pkcs12_key(
    hash: Hash,
    purpose: Purpose,
    password: &str,
    salt: &[u8],
    rounds: u32,
    size: usize,
) -> Vec<u8> {
    // The password is in UTF-16 and has a zero at its end.
    let password: Vec<u8> = password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect();
    match hash {
        Hash::Sha1 => derive::<Sha1, 64>(purpose, &password, salt, rounds, size),
        Hash::Sha256 => derive::<Sha256, 64>(purpose, &password, salt, rounds, size),
        Hash::Sha384 => derive::<Sha384, 128>(purpose, &password, salt, rounds, size),
        Hash::Sha512 => derive::<Sha512, 128>(purpose, &password, salt, rounds, size),
    }
}

/// `BLOCK`: bytes that the hash function takes at once.
fn derive<D: Digest, const BLOCK: usize>(
    purpose: Purpose,
    password: &[u8],
    salt: &[u8],
    rounds: u32,
    size: usize,
) -> Vec<u8> {
    let whole_blocks =
        |text: &[u8]| -> Vec<u8> { text.iter().copied().cycle().take(text.len().div_ceil(BLOCK) * BLOCK).collect() };
    let mut input = whole_blocks(salt);
    input.extend(whole_blocks(password));
    let mut derived = Vec::new();
    while derived.len() < size {
        let mut hash = D::new().chain_update([purpose as u8; BLOCK]).chain_update(&input).finalize();
        for _ in 1..rounds {
            hash = D::digest(&hash);
        }
        derived.extend_from_slice(&hash);
        let addend: Vec<u8> = hash.iter().copied().cycle().take(BLOCK).collect();
        for block in input.chunks_mut(BLOCK) {
            // block + addend + 1, as big-endian numbers.
            let mut carry = 1u16;
            for (byte, add) in block.iter_mut().zip(&addend).rev() {
                carry += u16::from(*byte) + u16::from(*add);
                *byte = carry as u8;
                carry >>= 8;
            }
        }
    }
    derived.truncate(size);
    derived
}

fn open<C: BlockModeDecrypt + KeyIvInit>(key: &[u8], iv: &[u8], encrypted: &[u8]) -> Result<Vec<u8>, StoreError> {
    let cipher =
        C::new_from_slices(key, iv).map_err(|_| StoreError::Malformed("its cipher's start has an odd size"))?;
    cipher.decrypt_padded_vec::<Pkcs7>(encrypted).map_err(|_| StoreError::WrongPassword)
}

/// RC2's strength is that of its key's size, from 40 bits on.
fn open_rc2(key: &[u8], iv: &[u8], encrypted: &[u8]) -> Result<Vec<u8>, StoreError> {
    use cbc::cipher::InnerIvInit;
    let odd = |_| StoreError::Malformed("its cipher's start has an odd size");
    let cipher = rc2::Rc2::new_with_eff_key_len(key, key.len() * 8);
    let cipher = cbc::Decryptor::<rc2::Rc2>::inner_iv_slice_init(cipher, iv).map_err(odd)?;
    cipher.decrypt_padded_vec::<Pkcs7>(encrypted).map_err(|_| StoreError::WrongPassword)
}

/// An object's id as people write it.
pub(super) fn dotted(id: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut part = 0u64;
    for byte in id {
        part = part << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            match parts.is_empty() {
                true => parts.extend([part.min(80) / 40, part - part.min(80) / 40 * 40]),
                false => parts.push(part),
            }
            part = 0;
        }
    }
    parts.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}
