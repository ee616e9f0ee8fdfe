//! `--add-scram`: users whose credentials a new cluster begins with.
//!
//! An argument is `SCRAM-SHA-256=[name=alice,password=...]`; the texts of the errors are Kafka's.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cli::support::random_salt;
use crate::net::ScramMechanism;
use crate::protocol::messages::UserScramCredentialRecord;

/// Rounds when none are asked for.
const DEFAULT_ITERATIONS: i32 = 4096;

/// The records of all arguments.
pub(super) fn credentials(arguments: &[String]) -> anyhow::Result<Vec<UserScramCredentialRecord>> {
    arguments.iter().map(|argument| credential(argument.trim())).collect()
}

fn credential(argument: &str) -> anyhow::Result<UserScramCredentialRecord> {
    let Some((name, settings)) = argument.split_once('=') else {
        bail!("Failed to find equals sign in SCRAM argument '{argument}'")
    };
    let Some(mechanism) = ScramMechanism::named(name) else {
        bail!("The add-scram mechanism {name} is not supported.")
    };
    let Some(settings) = settings.strip_prefix('[') else { bail!("Expected configuration string to start with [") };
    let Some(settings) = settings.strip_suffix(']') else { bail!("Expected configuration string to end with ]") };
    let mut given = components(settings)?;
    let Some(name) = given.remove("name") else { bail!("You must supply 'name' to add-scram") };
    let salt = match given.remove("salt") {
        Some(text) => Some(STANDARD.decode(text).ok().with_context(|| format!("Failed to decode given salt: {text}"))?),
        None => None,
    };
    let iterations = match given.remove("iterations") {
        Some(text) => text.parse().ok().with_context(|| format!("Failed to parse iterations count: {text}"))?,
        None => DEFAULT_ITERATIONS,
    };
    let secret = match (given.remove("password"), given.remove("saltedpassword")) {
        (Some(password), _) => Secret::Password(password),
        (None, None) => bail!("You must supply one of 'password' or 'saltedpassword' to add-scram"),
        (None, Some(_)) if salt.is_none() => bail!("You must supply 'salt' with 'saltedpassword' to add-scram"),
        (None, Some(text)) => Secret::Salted(
            STANDARD.decode(text).ok().with_context(|| format!("Failed to decode given saltedPassword: {text}"))?,
        ),
    };
    if !given.is_empty() {
        let unknown: Vec<&str> = given.into_keys().collect();
        bail!("Unknown SCRAM configurations: {}", unknown.join(", "));
    }
    let rounds = rounds(mechanism, iterations)?;
    let salt = salt.map_or_else(random_salt, Ok)?;
    let salted = match secret {
        Secret::Password(password) => mechanism.salted_password(password.as_bytes(), &salt, rounds),
        Secret::Salted(salted) => salted,
    };
    let keys = mechanism.keys(&salted);
    Ok(UserScramCredentialRecord {
        name: name.to_owned(),
        mechanism: mechanism.number(),
        salt: salt.into(),
        stored_key: keys.stored_key.into(),
        server_key: keys.server_key.into(),
        iterations,
        ..Default::default()
    })
}

enum Secret<'a> {
    Password(&'a str),
    Salted(Vec<u8>),
}

/// `key=value,key="value"`
fn components(text: &str) -> anyhow::Result<BTreeMap<&str, &str>> {
    let component = |part| {
        let Some((key, value)) = str::split_once(part, '=') else {
            bail!("No equals sign found in SCRAM component: {part}")
        };
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Ok((key, bare.unwrap_or(value)))
    };
    text.split(',').map(component).collect()
}

fn rounds(mechanism: ScramMechanism, iterations: i32) -> anyhow::Result<u32> {
    let name = match mechanism {
        ScramMechanism::Sha256 => "SCRAM_SHA_256",
        ScramMechanism::Sha512 => "SCRAM_SHA_512",
    };
    let (least, most) = (ScramMechanism::MIN_ITERATIONS, ScramMechanism::MAX_ITERATIONS);
    match u32::try_from(iterations) {
        Ok(rounds) if (least..=most).contains(&iterations) => Ok(rounds),
        _ if iterations < least => {
            bail!("The 'iterations' value must be >= {least} for add-scram using {name}")
        }
        _ => bail!("The 'iterations' value must be <= {most} for add-scram using {name}"),
    }
}

/// The record as Kafka's tool prints it; bytes are signed in Java.
pub(super) fn record_text(record: &UserScramCredentialRecord) -> String {
    let bytes = |bytes: &[u8]| {
        let numbers: Vec<String> = bytes.iter().map(|byte| byte.cast_signed().to_string()).collect();
        format!("[{}]", numbers.join(", "))
    };
    format!(
        "UserScramCredentialRecord(name='{}', mechanism={}, salt={}, storedKey={}, serverKey={}, iterations={})",
        record.name,
        record.mechanism,
        bytes(&record.salt),
        bytes(&record.stored_key),
        bytes(&record.server_key),
        record.iterations
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(argument: &str) -> String {
        credential(argument).unwrap_err().to_string()
    }

    #[test]
    fn a_salt_is_drawn_where_none_is_given() {
        let drawn = || credential("SCRAM-SHA-512=[name=a,password=b]").unwrap();
        let (one, other) = (drawn(), drawn());
        assert_ne!(one.salt, other.salt);
        assert_eq!((one.mechanism, one.iterations, one.stored_key.len()), (2, 4096, 64));
    }

    #[test]
    fn mistakes_are_told_in_kafkas_words() {
        for (argument, message) in [
            ("nope", "Failed to find equals sign in SCRAM argument 'nope'"),
            ("SCRAM-SHA-1=[name=a,password=x]", "The add-scram mechanism SCRAM-SHA-1 is not supported."),
            ("SCRAM-SHA-256=name", "Expected configuration string to start with ["),
            ("SCRAM-SHA-256=[name=a", "Expected configuration string to end with ]"),
            ("SCRAM-SHA-256=[]", "No equals sign found in SCRAM component: "),
            ("SCRAM-SHA-256=[a]", "No equals sign found in SCRAM component: a"),
            ("SCRAM-SHA-256=[password=x]", "You must supply 'name' to add-scram"),
            ("SCRAM-SHA-256=[name=alice]", "You must supply one of 'password' or 'saltedpassword' to add-scram"),
            ("SCRAM-SHA-256=[name=a,saltedpassword=AAAA]", "You must supply 'salt' with 'saltedpassword' to add-scram"),
            ("SCRAM-SHA-256=[name=a,salt=!!,password=b]", "Failed to decode given salt: !!"),
            ("SCRAM-SHA-256=[name=a,salt=AAAA,saltedpassword=!]", "Failed to decode given saltedPassword: !"),
            ("SCRAM-SHA-256=[name=a,password=b,iterations=x]", "Failed to parse iterations count: x"),
            (
                "SCRAM-SHA-256=[name=a,password=b,iterations=5]",
                "The 'iterations' value must be >= 4096 for add-scram using SCRAM_SHA_256",
            ),
            (
                "SCRAM-SHA-512=[name=a,password=b,iterations=50000]",
                "The 'iterations' value must be <= 16384 for add-scram using SCRAM_SHA_512",
            ),
            ("SCRAM-SHA-256=[name=a,password=b,x=1,b=2]", "Unknown SCRAM configurations: b, x"),
        ] {
            assert_eq!(error(argument), message);
        }
    }
}
