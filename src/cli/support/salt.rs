//! Random bytes that keep equal passwords from looking alike.

use anyhow::Context as _;

/// Length of a salt in bytes; Kafka's own are about as long.
const SALT_LEN: usize = 24;

/// A salt for a new credential.
pub(crate) fn random_salt() -> anyhow::Result<Vec<u8>> {
    let mut salt = vec![0; SALT_LEN];
    getrandom::fill(&mut salt).context("could not get random numbers from the system")?;
    Ok(salt)
}
