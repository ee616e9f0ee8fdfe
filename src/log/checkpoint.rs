//! The text files of a log directory that keep one offset per partition, and the safe way to replace a small file.
//!
//! Kafka's layout (version 0), lines ended by `\n`:
//!
//! | line | content |
//! |---|---|
//! | 1 | `0`, the version |
//! | 2 | number of entries |
//! | 3.. | `topic partition offset`, separated by one space |
//!
//! A file that is missing or empty holds no entries: Kafka creates its checkpoints empty.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::error::LogError;
use super::fs::Fs;
use crate::types::{Offset, TopicPartition};

/// First offset of each partition that may not be on disk yet; what is below needs no check after a crash.
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// Log start offsets that lie inside their first segment (after DeleteRecords).
pub const LOG_START_OFFSETS: &str = "log-start-offset-checkpoint";
/// High watermarks.
pub const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// First offset of each compacted partition that the cleaner has not seen.
pub const CLEANER_OFFSETS: &str = "cleaner-offset-checkpoint";

/// Ten times what a hundred thousand partitions with the longest names need; more is not a checkpoint.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// An offset for each partition, in the order of their names.
pub type Offsets = BTreeMap<TopicPartition, Offset>;

/// A small file of a log directory that can't be read or does not say what it should.
#[derive(Debug, thiserror::Error)]
pub enum TextFileError {
    /// The disk refused.
    #[error("could not read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The content is not in the file's format.
    #[error("{}:{line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// What was expected there.
        reason: String,
    },
}

/// Reads a checkpoint; missing and empty files hold nothing.
///
/// # Errors
/// [`TextFileError`] names the file, and the line if one is wrong. Recovery points and high watermarks can be found
/// again from the log; log start offsets can't.
pub fn read(fs: &Fs, path: &Path) -> Result<Offsets, TextFileError> {
    let Some(bytes) = read_small_file(fs, path, MAX_FILE_BYTES)? else { return Ok(Offsets::new()) };
    parse(&bytes).map_err(|(line, reason)| TextFileError::Malformed { path: path.to_owned(), line, reason })
}

/// Replaces a checkpoint in one step.
///
/// # Errors
/// What the system says; the old file is then still there.
pub fn write(fs: &Fs, path: &Path, offsets: &Offsets) -> Result<(), LogError> {
    fs.replace(path, render(offsets).as_bytes())
}

/// The content of a checkpoint file, or the line that is wrong and why.
///
/// # Errors
/// The number of the first wrong line, from 1, and what is wrong with it.
pub fn parse(bytes: &[u8]) -> Result<Offsets, (usize, String)> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
        (1 + before.iter().filter(|b| **b == b'\n').count(), "not text".to_owned())
    })?;
    let mut lines = text.lines().zip(1..);
    let Some((version, _)) = lines.next() else { return Ok(Offsets::new()) };
    if version.trim() != "0" {
        return Err((1, format!("version `{}`, where 0 is known", shorten(version))));
    }
    let Some((count, _)) = lines.next() else { return Err((2, "the number of entries is missing".to_owned())) };
    let Ok(expected) = count.trim().parse::<usize>() else {
        return Err((2, format!("`{}` is not a number of entries", shorten(count))));
    };
    let mut offsets = Offsets::new();
    let (mut found, mut last_line) = (0, 2);
    for (line, number) in lines {
        let (partition, offset) = parse_entry(line)
            .ok_or_else(|| (number, format!("`{}` is not `topic partition offset`", shorten(line))))?;
        offsets.insert(partition, offset);
        (found, last_line) = (found + 1, number);
    }
    if found != expected {
        return Err((last_line, format!("{expected} entries are announced, {found} are there")));
    }
    Ok(offsets)
}

fn parse_entry(line: &str) -> Option<(TopicPartition, Offset)> {
    let mut words = line.split_ascii_whitespace();
    let (topic, partition, offset) = (words.next()?, words.next()?, words.next()?);
    let partition: i32 = partition.parse().ok().filter(|p| *p >= 0)?;
    let offset: i64 = offset.parse().ok().filter(|o| *o >= 0)?;
    words.next().is_none().then(|| (TopicPartition::new(topic, partition), Offset::new(offset)))
}

/// The content of a checkpoint file that holds `offsets`.
#[must_use]
pub fn render(offsets: &Offsets) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for (TopicPartition { topic, partition }, offset) in offsets {
        text.push_str(&format!("{topic} {partition} {offset}\n"));
    }
    text
}

/// The start of a line that is shown in a message: enough to recognise it, whatever the file holds.
pub(super) fn shorten(line: &str) -> String {
    const SHOWN_CHARS: usize = 60;
    let mut shown: String = line.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if line.chars().nth(SHOWN_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Reads a whole file that must not be larger than `limit` bytes; `None` if there is none.
pub(super) fn read_small_file(fs: &Fs, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, TextFileError> {
    let read = fs.read_start(path, limit + 1);
    let Some(bytes) = read.map_err(|source| TextFileError::Io { path: path.to_owned(), source })? else {
        return Ok(None);
    };
    if bytes.len() as u64 > limit {
        let reason = format!("larger than {limit} bytes");
        return Err(TextFileError::Malformed { path: path.to_owned(), line: 1, reason });
    }
    Ok(Some(bytes))
}

/// Puts `bytes` in the place of the file at `path`: after a crash at any moment there is the old content or the new.
///
/// # Errors
/// What the system says; the old file is then still there.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    // Order: the content is on disk before the name points to it, and the name before the caller goes on.
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

/// Makes the names in a directory durable: after creating, renaming or removing one.
///
/// # Errors
/// What the system says; then the names may be lost when the machine fails.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    // An empty path is the parent of a bare file name: the current directory.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

/// Fuzz entry: whatever the text files of a data directory hold, reading them ends in a value or an error, and what
/// was read is written such that it reads the same again.
pub fn fuzz_text_files(data: &[u8]) {
    if let Ok(offsets) = parse(data) {
        assert_eq!(parse(render(&offsets).as_bytes()).as_ref(), Ok(&offsets), "checkpoint does not read back");
    }
    super::meta_properties::fuzz(data);
    super::partition_metadata::fuzz(data);
    super::directory_name::fuzz(data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offsets(entries: &[(&str, i32, i64)]) -> Offsets {
        entries.iter().map(|(t, p, o)| (TopicPartition::new(*t, *p), Offset::new(*o))).collect()
    }

    #[test]
    fn reads_what_kafka_wrote() {
        let text = b"0\n3\na.b-3 0 107046\norders 2 0\norders 0 0\n";
        assert_eq!(parse(text).unwrap(), offsets(&[("a.b-3", 0, 107_046), ("orders", 2, 0), ("orders", 0, 0)]));
        assert_eq!(parse(b"0\n0\n").unwrap(), Offsets::new());
        assert_eq!(parse(b"").unwrap(), Offsets::new(), "Kafka creates checkpoints empty");
    }

    #[test]
    fn writes_as_kafka() {
        assert_eq!(render(&offsets(&[("b", 1, 7), ("a", 0, 1 << 40)])), "0\n2\na 0 1099511627776\nb 1 7\n");
        assert_eq!(render(&Offsets::new()), "0\n0\n");
    }

    #[test]
    fn garbage_is_named_by_its_line() {
        for (text, line) in [
            (&b"1\n0\n"[..], 1),
            (b"\n", 1),
            (b"0\n", 2),
            (b"0\nx\n", 2),
            (b"0\n-1\n", 2),
            (b"0\n2\na 0 1\n", 3),
            (b"0\n1\na 0 1\nb 0 1\n", 4),
            (b"0\n1\na 0\n", 3),
            (b"0\n1\na 0 1 2\n", 3),
            (b"0\n1\na 0 -1\n", 3),
            (b"0\n1\na -1 0\n", 3),
            (b"0\n1\na 0 99999999999999999999\n", 3),
            (b"0\n1\n\xff\xfe 0 1\n", 3),
            (b"\0\0\0\0", 1),
        ] {
            let (found, reason) = parse(text).unwrap_err();
            assert_eq!(found, line, "{:?}: {reason}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn errors_name_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RECOVERY_POINTS);
        assert_eq!(read(&Fs::default(), &path).unwrap(), Offsets::new(), "missing");
        fs::write(&path, "0\n1\nnonsense\n").unwrap();
        let message = read(&Fs::default(), &path).unwrap_err().to_string();
        assert_eq!(message, format!("{}:3: `nonsense` is not `topic partition offset`", path.display()));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(read(&Fs::default(), &path), Err(TextFileError::Io { .. })));
    }

    #[test]
    fn replacing_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(HIGH_WATERMARKS);
        for content in [offsets(&[("a", 0, 1)]), offsets(&[("a", 0, 2), ("b", 3, 4)])] {
            write(&Fs::default(), &path, &content).unwrap();
            assert_eq!(read(&Fs::default(), &path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_left_over_temporary_file_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(HIGH_WATERMARKS);
        fs::write(dir.path().join("replication-offset-checkpoint.tmp"), "a crash left this, which is longer\n")
            .unwrap();
        write(&Fs::default(), &path, &offsets(&[("a", 0, 1)])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\na 0 1\n");
    }

    proptest! {
        #[test]
        fn round_trip(entries in proptest::collection::btree_map(
            ("[a-zA-Z0-9._-]{1,249}", 0..i32::MAX).prop_map(|(t, p)| TopicPartition::new(t, p)),
            (0..i64::MAX).prop_map(Offset::new),
            0..20,
        )) {
            prop_assert_eq!(parse(render(&entries).as_bytes()), Ok(entries));
        }

        #[test]
        fn any_cut_is_an_error_or_a_shorter_number(cut in 0usize..26) {
            let whole = "0\n2\na 0 15\nb-longer 1 27\n";
            match parse(&whole.as_bytes()[..cut]) {
                Ok(found) => prop_assert!(cut == 0 || found.len() == 2, "cut at {}", cut),
                Err((line, _)) => prop_assert!(line <= 4),
            }
        }

        #[test]
        fn no_bytes_surprise_the_readers(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz_text_files(&data);
        }

        #[test]
        fn no_text_surprises_the_readers(data in "[0-2a-c =:#!\\\\u\n\r.-]{0,60}") {
            fuzz_text_files(data.as_bytes());
        }
    }
}
