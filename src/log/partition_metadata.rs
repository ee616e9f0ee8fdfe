//! `partition.metadata`: which topic id a partition's directory belongs to.
//!
//! A topic that is deleted and created again has the same name and another id; this file tells their logs apart.
//! Two lines, the last without an end: `version: 0` and `topic_id: <22 characters>`.

use std::path::{Path, PathBuf};

use super::checkpoint::{self, TextFileError, shorten};
use super::error::LogError;
use super::fs::Fs;
use crate::types::Uuid;

/// Name of the file in a partition's directory.
pub const FILE_NAME: &str = "partition.metadata";

/// Many times what the two lines need.
const MAX_FILE_BYTES: u64 = 4096;

/// Reads the topic id of the partition in `directory`; `None` if the file is missing.
///
/// # Errors
/// [`TextFileError`] names the file, and the line if one is wrong.
pub fn read(fs: &Fs, directory: &Path) -> Result<Option<Uuid>, TextFileError> {
    let path = path(directory);
    let Some(bytes) = checkpoint::read_small_file(fs, &path, MAX_FILE_BYTES)? else { return Ok(None) };
    parse(&bytes).map(Some).map_err(|(line, reason)| TextFileError::Malformed { path, line, reason })
}

/// Writes the topic id of the partition in `directory`, durably.
///
/// # Errors
/// What the system says.
pub fn write(fs: &Fs, directory: &Path, topic_id: Uuid) -> Result<(), LogError> {
    fs.replace(&path(directory), render(topic_id).as_bytes())
}

fn path(directory: &Path) -> PathBuf {
    directory.join(FILE_NAME)
}

fn render(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

fn parse(bytes: &[u8]) -> Result<Uuid, (usize, String)> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default();
    if value_of("version", version) != Some("0") {
        return Err((1, format!("`{}` is not `version: 0`", shorten(version))));
    }
    let id = lines.next().unwrap_or_default();
    value_of("topic_id", id)
        .and_then(Uuid::parse)
        .filter(|id| !id.is_zero())
        .ok_or_else(|| (2, format!("`{}` is not `topic_id: ` and a topic id", shorten(id))))
}

fn value_of<'a>(key: &str, line: &'a str) -> Option<&'a str> {
    Some(line.strip_prefix(key)?.trim_start().strip_prefix(':')?.trim())
}

pub(super) fn fuzz(data: &[u8]) {
    if let Ok(id) = parse(data) {
        assert_eq!(parse(render(id).as_bytes()), Ok(id), "partition.metadata does not read back");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const KAFKAS: &str = "version: 0\ntopic_id: bjGwNgWETO-_bR8751RN5A";

    #[test]
    fn reads_and_writes_kafkas_bytes() {
        let id = parse(KAFKAS.as_bytes()).unwrap();
        assert_eq!(id.to_string(), "bjGwNgWETO-_bR8751RN5A");
        assert_eq!(render(id), KAFKAS);
    }

    #[test]
    fn file_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(&Fs::default(), dir.path()).unwrap(), None);
        let id = Uuid::random();
        write(&Fs::default(), dir.path(), id).unwrap();
        assert_eq!(read(&Fs::default(), dir.path()).unwrap(), Some(id));
    }

    #[test]
    fn damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE_NAME);
        for (content, line) in [
            ("", 1),
            ("version: 1\ntopic_id: bjGwNgWETO-_bR8751RN5A", 1),
            ("version: 0", 2),
            ("version: 0\ntopic_id: short", 2),
            ("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA", 2),
            ("\0\0\0\0", 1),
        ] {
            fs::write(&file, content).unwrap();
            let message = read(&Fs::default(), dir.path()).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{}:{line}: ", file.display())), "{content:?}: {message}");
        }
    }
}
