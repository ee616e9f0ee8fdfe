//! What a server keeps of a password: the keys of SCRAM (RFC 5802, RFC 7677) with Kafka's numbers and limits.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256, Sha512};

/// Which hash function is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramMechanism {
    /// `SCRAM-SHA-256`
    Sha256,
    /// `SCRAM-SHA-512`
    Sha512,
}

/// The keys of a user, from which the password can't be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// The hash of the client's key: who has the key itself is the user.
    pub stored_key: Vec<u8>,
    /// What the server proves itself with.
    pub server_key: Vec<u8>,
}

impl ScramMechanism {
    /// Rounds below which Kafka takes no credential.
    pub const MIN_ITERATIONS: i32 = 4096;
    /// Rounds above which Kafka takes no credential: each authentication costs the client as much.
    pub const MAX_ITERATIONS: i32 = 16_384;

    /// The mechanism of this SASL name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "SCRAM-SHA-256" => Some(Self::Sha256),
            "SCRAM-SHA-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Its number in Kafka's records and requests.
    #[must_use]
    pub fn number(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    /// The password with the salt, hashed so many times: `Hi` of RFC 5802. Kafka does not normalise the password.
    #[must_use]
    pub fn salted_password(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Self::Sha256 => hi::<Hmac<Sha256>>(password, salt, iterations),
            Self::Sha512 => hi::<Hmac<Sha512>>(password, salt, iterations),
        }
    }

    /// What is kept of a salted password.
    #[must_use]
    pub fn keys(self, salted_password: &[u8]) -> ScramKeys {
        let hmac = |text: &[u8]| self.hmac(salted_password, text);
        let client_key = hmac(b"Client Key");
        let stored_key = match self {
            Self::Sha256 => Sha256::digest(&client_key).to_vec(),
            Self::Sha512 => Sha512::digest(&client_key).to_vec(),
        };
        ScramKeys { stored_key, server_key: hmac(b"Server Key") }
    }

    /// The proof of a client that knows the salted password, and the signature that it must get for it from a server
    /// that knows it too; both are about all that was said, `message`.
    #[must_use]
    pub fn proof(self, salted_password: &[u8], message: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let ScramKeys { stored_key, server_key } = self.keys(salted_password);
        let client_key = self.hmac(salted_password, b"Client Key");
        let signature = self.hmac(&stored_key, message);
        let proof = client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
        (proof, self.hmac(&server_key, message))
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => keyed::<Hmac<Sha256>>(key).chain_update(text).finalize().into_bytes().to_vec(),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key).chain_update(text).finalize().into_bytes().to_vec(),
        }
    }
}

pub(super) fn keyed<M: KeyInit>(key: &[u8]) -> M {
    #[expect(clippy::expect_used, reason = "an HMAC's key has no wrong length")]
    M::new_from_slice(key).expect("keys of any length are taken")
}

fn hi<M: Mac + KeyInit + Clone>(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    hi_block::<M>(password, salt, iterations, 1)
}

/// A block of PBKDF2, of which `Hi` is the first.
pub(super) fn hi_block<M: Mac + KeyInit + Clone>(password: &[u8], salt: &[u8], iterations: u32, block: u32) -> Vec<u8> {
    let keyed: M = keyed(password);
    let mut last = keyed.clone().chain_update(salt).chain_update(block.to_be_bytes()).finalize().into_bytes();
    let mut sum = last.clone();
    for _ in 1..iterations {
        last = keyed.clone().chain_update(&last).finalize().into_bytes();
        sum.iter_mut().zip(&last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum.to_vec()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn base64(text: &str) -> Vec<u8> {
        STANDARD.decode(text).unwrap()
    }

    /// The exchange of RFC 7677, section 3: its proof and its signature follow from our keys.
    #[test]
    fn keys_are_those_of_the_rfc() {
        let mechanism = ScramMechanism::Sha256;
        let salted = mechanism.salted_password(b"pencil", &base64("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
        let keys = mechanism.keys(&salted);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let sign = |key: &[u8]| keyed::<Hmac<Sha256>>(key).chain_update(message).finalize().into_bytes().to_vec();
        assert_eq!(sign(&keys.server_key), base64("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        let proof = base64("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let client_key: Vec<u8> = proof.iter().zip(sign(&keys.stored_key)).map(|(p, s)| p ^ s).collect();
        assert_eq!(Sha256::digest(client_key).to_vec(), keys.stored_key);
    }
}
