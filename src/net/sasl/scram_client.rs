//! The client of SCRAM (RFC 5802), with Kafka's limits and its word for delegation tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::SaslError;
use crate::net::ScramMechanism;

/// An exchange that proves a password to a server and lets the server prove that it knows it.
#[derive(Debug)]
pub struct ScramClient {
    mechanism: ScramMechanism,
    password: Secret,
    /// What was said first, without the part about channel binding.
    first: String,
    nonce: String,
    state: State,
}

struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Start,
    SaidFirst,
    /// With the signature that the server must send.
    SaidProof(Vec<u8>),
    Complete,
}

/// No channel binding, no other identity.
const GS2_HEADER: &str = "n,,";

impl ScramClient {
    pub(super) fn new(
        mechanism: ScramMechanism,
        username: &str,
        password: &str,
        is_token: bool,
        nonce: String,
    ) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let extension = if is_token { ",tokenauth=true" } else { "" };
        let first = format!("n={name},r={nonce}{extension}");
        Self { mechanism, password: Secret(password.to_owned()), first, nonce, state: State::Start }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    pub(super) fn step(&mut self, said: &[u8]) -> Result<Option<Vec<u8>>, SaslError> {
        match &self.state {
            State::Start => {
                self.state = State::SaidFirst;
                Ok(Some(format!("{GS2_HEADER}{}", self.first).into()))
            }
            State::SaidFirst => self.prove(text(said)?).map(Some),
            State::SaidProof(expected) => {
                let said = text(said)?;
                if let Some(reason) = said.strip_prefix("e=") {
                    return Err(SaslError::Refused(reason.to_owned()));
                }
                let signature = attribute(said.split(',').next().unwrap_or_default(), "v=")?;
                if decode(signature)? != *expected {
                    return Err(SaslError::ServerNotProven);
                }
                self.state = State::Complete;
                Ok(None)
            }
            State::Complete => Ok(None),
        }
    }

    fn prove(&mut self, server_first: &str) -> Result<Vec<u8>, SaslError> {
        if let Some(reason) = server_first.strip_prefix("e=") {
            return Err(SaslError::Refused(reason.to_owned()));
        }
        let mut attributes = server_first.split(',');
        let mut next = |name| attribute(attributes.next().unwrap_or_default(), name);
        let (nonce, salt, iterations) = (next("r=")?, decode(next("s=")?)?, next("i=")?);
        // A nonce that does not go on from ours is an answer to somebody else.
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(SaslError::Malformed("its nonce does not begin with ours"));
        }
        let iterations = iterations.parse().ok().filter(|iterations| {
            // Fewer rounds would let a false server find the password out; more are time that it makes us spend.
            (ScramMechanism::MIN_ITERATIONS..=MOST_ITERATIONS).contains(iterations)
        });
        let iterations = iterations.ok_or(SaslError::Malformed("its number of iterations is out of range"))?;
        let salted = self.mechanism.salted_password(self.password.0.as_bytes(), &salt, iterations.unsigned_abs());
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(GS2_HEADER));
        let message = format!("{},{server_first},{without_proof}", self.first);
        let (proof, signature) = self.mechanism.proof(&salted, message.as_bytes());
        self.state = State::SaidProof(signature);
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)).into())
    }
}

/// A hundred times what Kafka takes.
const MOST_ITERATIONS: i32 = 100 * ScramMechanism::MAX_ITERATIONS;

fn text(said: &[u8]) -> Result<&str, SaslError> {
    std::str::from_utf8(said).map_err(|_| SaslError::Malformed("it is no text"))
}

fn attribute<'a>(text: &'a str, name: &str) -> Result<&'a str, SaslError> {
    text.strip_prefix(name).ok_or(SaslError::Malformed("an attribute is missing"))
}

fn decode(base64: &str) -> Result<Vec<u8>, SaslError> {
    STANDARD.decode(base64).map_err(|_| SaslError::Malformed("an attribute is no base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn client() -> ScramClient {
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        ScramClient::new(ScramMechanism::Sha256, "user", "pencil", false, nonce)
    }

    fn said(client: &mut ScramClient, server: &str) -> String {
        String::from_utf8(client.step(server.as_bytes()).unwrap().unwrap()).unwrap()
    }

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn the_exchange_is_that_of_the_rfc() {
        let mut client = client();
        assert_eq!(said(&mut client, ""), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(
            said(&mut client, SERVER_FIRST),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(!client.is_complete());
        assert_eq!(client.step(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(None));
        assert!(client.is_complete());
    }

    #[test]
    fn a_false_server_is_found_out() {
        let mut client = client();
        said(&mut client, "");
        said(&mut client, SERVER_FIRST);
        let false_signature = format!("v={}", STANDARD.encode([7; 32]));
        assert_eq!(client.step(false_signature.as_bytes()), Err(SaslError::ServerNotProven));
        assert!(!client.is_complete());
    }

    #[test]
    fn what_the_server_says_first_is_checked() {
        for odd in [
            "r=somebodyElse,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=2000000000",
            "r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx",
            "",
        ] {
            let mut client = client();
            said(&mut client, "");
            assert!(matches!(client.step(odd.as_bytes()), Err(SaslError::Malformed(_))), "{odd}");
        }
        let mut client = client();
        said(&mut client, "");
        assert_eq!(client.step(b"e=unknown-user"), Err(SaslError::Refused("unknown-user".to_owned())));
    }

    #[test]
    fn names_are_escaped_and_tokens_say_what_they_are() {
        let mut client = ScramClient::new(ScramMechanism::Sha512, "a=b,c", "x", true, "N".to_owned());
        assert_eq!(said(&mut client, ""), "n,,n=a=3Db=2Cc,r=N,tokenauth=true");
    }
}
