//! What is sent: made so that a record costs no allocation.

use std::io::Write as _;
use std::ops::Range;

use regex_lite::Regex;

use crate::cli::support::{Hinted, Uncaught};

/// Random letters made beforehand; records are stretches of them, one after the other, so that none compresses away.
const POOL: usize = 1 << 20;

/// A source of payloads.
#[derive(Debug)]
pub(super) enum Payload {
    /// Letters from A to Z.
    Random { letters: Vec<u8>, size: usize, at: usize },
    /// Any of a list.
    Listed { text: String, pieces: Vec<Range<usize>>, random: fastrand::Rng },
    /// 0, 1, 2, ...
    Counting { digits: Vec<u8> },
}

impl Payload {
    /// Records of `size` letters each, at most `records` of them.
    pub(super) fn random(size: usize, records: u64) -> Self {
        let needed = size.saturating_mul(usize::try_from(records).unwrap_or(usize::MAX));
        let length = needed.min(POOL.max(size));
        // The same each time, so that runs compare.
        let mut random = fastrand::Rng::with_seed(0);
        let letters = (0..length).map(|_| random.u8(b'A'..=b'Z')).collect();
        Self::Random { letters, size, at: 0 }
    }

    pub(super) fn counting() -> Self {
        Self::Counting { digits: Vec::new() }
    }

    /// How many records there are in the list.
    pub(super) fn listed_records(&self) -> usize {
        match self {
            Self::Listed { pieces, .. } => pieces.len(),
            _ => 0,
        }
    }

    /// The payload of a record.
    pub(super) fn of(&mut self, record: u64) -> &[u8] {
        match self {
            Self::Random { letters, size, at } => {
                if *at + *size > letters.len() {
                    *at = 0;
                }
                let start = *at;
                *at += *size;
                letters.get(start..*at).unwrap_or_default()
            }
            Self::Listed { text, pieces, random } => {
                let chosen = pieces.get(random.usize(..pieces.len()));
                chosen.and_then(|piece| text.get(piece.clone())).unwrap_or_default().as_bytes()
            }
            Self::Counting { digits } => {
                digits.clear();
                // Writing to memory does not fail.
                let _ = write!(digits, "{record}");
                digits
            }
        }
    }
}

/// The records of a text, as Java's `Scanner` finds them: a delimiter at its beginning or end makes no empty record.
pub(super) fn listed(text: String, delimiter: &str) -> anyhow::Result<Payload> {
    let delimiter = Regex::new(delimiter).map_err(|error| {
        Hinted::error(
            format!("--payload-delimiter {delimiter} is no regular expression: {error}"),
            "put a backslash before what is meant as it stands",
        )
    })?;
    let mut pieces = Vec::new();
    let mut start = 0;
    for found in delimiter.find_iter(&text).filter(|found| !found.is_empty()) {
        if found.start() > 0 {
            pieces.push(start..found.start());
        }
        start = found.end();
    }
    if start < text.len() {
        pieces.push(start..text.len());
    }
    if pieces.is_empty() {
        return Err(Uncaught::illegal_argument("No payload file, record size or payload-monotonic option provided."));
    }
    Ok(Payload::Listed { text, pieces, random: fastrand::Rng::with_seed(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str, delimiter: &str) -> Vec<String> {
        match listed(text.to_owned(), delimiter) {
            Ok(Payload::Listed { text, pieces, .. }) => pieces.into_iter().map(|p| text[p].to_owned()).collect(),
            Ok(_) => unreachable!(),
            Err(error) => vec![error.to_string()],
        }
    }

    #[test]
    fn files_are_cut_as_a_scanner_cuts_them() {
        assert_eq!(records("a\nb\nc", "\\n"), ["a", "b", "c"]);
        assert_eq!(records("a\n\nb\n", "\\n"), ["a", "", "b"]);
        assert_eq!(records("\na", "\\n"), ["a"]);
        assert_eq!(records("a1b22c", "[0-9]+"), ["a", "b", "c"]);
        assert_eq!(records("\n", "\\n"), ["No payload file, record size or payload-monotonic option provided."]);
        assert!(records("a", "(")[0].starts_with("--payload-delimiter ( is no regular expression"));
    }

    #[test]
    fn random_payloads_are_letters_and_differ() {
        let mut payload = Payload::random(100, 1_000_000);
        let first = payload.of(0).to_vec();
        assert!(first.len() == 100 && first.iter().all(u8::is_ascii_uppercase));
        assert_ne!(payload.of(1), first);
        for record in 2..20_000 {
            assert_eq!(payload.of(record).len(), 100);
        }
        let mut large = Payload::random(3 << 20, 2);
        assert_eq!((large.of(0).len(), large.of(1).len()), (3 << 20, 3 << 20));
    }

    #[test]
    fn numbers_count_up() {
        let mut payload = Payload::counting();
        assert_eq!(payload.of(0), b"0");
        assert_eq!(payload.of(1234), b"1234");
    }
}
