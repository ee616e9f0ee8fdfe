//! `meta.properties`: whose directory this is. Cluster, node and an id of its own, in Java's properties format.
//!
//! | version | keys | written by |
//! |---|---|---|
//! | 0 | `broker.id`, `cluster.id` | brokers that kept their metadata in ZooKeeper |
//! | 1 | `node.id`, `cluster.id`, `directory.id` | `kafka-storage format`, and this program |
//!
//! Only as much of the properties format is here as this one file needs; configuration files are read elsewhere.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::checkpoint::{self, TextFileError, shorten};
use super::error::LogError;
use super::fs::Fs;
use crate::types::{NodeId, Uuid};

/// Name of the file in a log directory.
pub const FILE_NAME: &str = "meta.properties";

/// Many times what the file needs.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Ids below this one have a meaning of their own and are no directory's (Kafka's `DirectoryId`).
const RESERVED_DIRECTORY_IDS: u128 = 100;

/// The generation of a `meta.properties` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaVersion {
    /// Of a broker that used ZooKeeper.
    Zookeeper,
    /// Of a broker or controller of KRaft.
    Kraft,
}

/// What a `meta.properties` file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// Which of the two generations it is.
    pub version: MetaVersion,
    /// Id of the cluster: any text, by convention 22 characters like other ids.
    pub cluster_id: Option<String>,
    /// The node that the directory belongs to (`broker.id` in version 0).
    pub node_id: Option<NodeId>,
    /// Id of the directory itself; Kafka before 3.7 wrote none.
    pub directory_id: Option<Uuid>,
}

impl MetaProperties {
    /// The content for a new directory of `node_id`, with a directory id of its own.
    #[must_use]
    pub fn new(cluster_id: impl Into<String>, node_id: NodeId) -> Self {
        Self {
            version: MetaVersion::Kraft,
            cluster_id: Some(cluster_id.into()),
            node_id: Some(node_id),
            directory_id: Some(Uuid::random()),
        }
    }
}

/// Reads the file of the log directory `directory`; `None` if there is none.
///
/// # Errors
/// [`TextFileError`] names the file, and the line if one is wrong.
pub fn read(fs: &Fs, directory: &Path) -> Result<Option<MetaProperties>, TextFileError> {
    let path = directory.join(FILE_NAME);
    let Some(bytes) = checkpoint::read_small_file(fs, &path, MAX_FILE_BYTES)? else { return Ok(None) };
    parse(&bytes).map(Some).map_err(|(line, reason)| TextFileError::Malformed { path, line, reason })
}

/// Writes the file of the log directory `directory`, durably, with `now_ms` in its date line.
///
/// # Errors
/// What the system says; an old file is then still there.
pub fn write(fs: &Fs, directory: &Path, properties: &MetaProperties, now_ms: i64) -> Result<(), LogError> {
    fs.replace(&directory.join(FILE_NAME), render(properties, &date_line(now_ms)).as_bytes())
}

/// The date as Java prints it, for example `Sat Nov 21 02:20:10 UTC 2026`.
fn date_line(now_ms: i64) -> String {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    now.to_zoned(TimeZone::system()).strftime("%a %b %d %H:%M:%S %Z %Y").to_string()
}

/// The keys come in the order in which Kafka's tools write them; readers don't depend on it.
fn render(properties: &MetaProperties, date: &str) -> String {
    let mut text = format!("#\n#{date}\n");
    let (version, node_key) = match properties.version {
        MetaVersion::Zookeeper => ("0", "broker.id"),
        MetaVersion::Kraft => ("1", "node.id"),
    };
    let values = [
        (node_key, properties.node_id.map(|id| id.to_string())),
        ("directory.id", properties.directory_id.map(|id| id.to_string())),
        ("version", Some(version.to_owned())),
        ("cluster.id", properties.cluster_id.clone()),
    ];
    for (key, value) in values {
        if let Some(value) = value {
            text.push_str(&format!("{key}={}\n", escape(&value)));
        }
    }
    text
}

fn parse(bytes: &[u8]) -> Result<MetaProperties, (usize, String)> {
    let mut found = MetaProperties { version: MetaVersion::Kraft, cluster_id: None, node_id: None, directory_id: None };
    let (mut version, mut node, mut broker) = (None, None, None);
    // The format is ISO 8859-1: each byte is a character.
    let text: String = bytes.iter().map(|b| char::from(*b)).collect();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim_ascii_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, value) = split_entry(line);
        let wrong = |what: &str| (number, format!("{key} is `{}`, where {what} is expected", shorten(&value)));
        match key.as_str() {
            "version" => {
                version = Some(match value.trim_ascii() {
                    "0" => MetaVersion::Zookeeper,
                    "1" => MetaVersion::Kraft,
                    _ => return Err(wrong("0 or 1")),
                });
            }
            "cluster.id" => found.cluster_id = Some(value).filter(|id| !id.is_empty()),
            "node.id" => node = Some(parse_node_id(&value).ok_or_else(|| wrong("a node id"))?),
            "broker.id" => broker = Some(parse_node_id(&value).ok_or_else(|| wrong("a broker id"))?),
            "directory.id" => {
                let id = Uuid::parse(value.trim_ascii()).ok_or_else(|| wrong("a directory id of 22 characters"))?;
                if u128::from_be_bytes(id.0) < RESERVED_DIRECTORY_IDS {
                    return Err(wrong("an id that is not reserved"));
                }
                found.directory_id = Some(id);
            }
            _ => {} // Later versions may add keys; Kafka passes over them too.
        }
    }
    let lines = text.lines().count().max(1);
    found.version = version.ok_or((lines, "no `version=` line".to_owned()))?;
    found.node_id = match found.version {
        MetaVersion::Zookeeper => broker,
        MetaVersion::Kraft => node,
    };
    if found.version == MetaVersion::Kraft {
        for (key, missing) in [("cluster.id", found.cluster_id.is_none()), ("node.id", found.node_id.is_none())] {
            if missing {
                return Err((lines, format!("no `{key}=` line")));
            }
        }
    }
    Ok(found)
}

fn parse_node_id(value: &str) -> Option<NodeId> {
    value.trim_ascii().parse().ok().filter(|id| *id >= 0).map(NodeId::new)
}

/// Splits at the first `=`, `:` or blank that is not escaped, and resolves the escapes of both sides.
fn split_entry(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (c == '=' || c == ':' || c.is_ascii_whitespace());
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = line.split_at_checked(end.unwrap_or(line.len())).unwrap_or((line, ""));
    let rest = rest.trim_ascii_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_ascii_start();
    (unescape(key), unescape(value))
}

fn unescape(text: &str) -> String {
    let mut units = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).unwrap_or(u16::from(b'?')));
                    continue;
                }
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    // Escapes are UTF-16 units: a pair of them makes one character.
    String::from_utf16_lossy(&units)
}

fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (index, unit) in value.encode_utf16().enumerate() {
        match char::from_u32(u32::from(unit)) {
            Some(' ') if index == 0 => text.push_str("\\ "),
            Some('\t') => text.push_str("\\t"),
            Some('\n') => text.push_str("\\n"),
            Some('\r') => text.push_str("\\r"),
            Some('\u{c}') => text.push_str("\\f"),
            Some(c @ ('\\' | '=' | ':' | '#' | '!')) => text.extend(['\\', c]),
            Some(c @ ' '..='~') => text.push(c),
            _ => text.push_str(&format!("\\u{unit:04X}")),
        }
    }
    text
}

pub(super) fn fuzz(data: &[u8]) {
    if let Ok(properties) = parse(data) {
        assert_eq!(parse(render(&properties, "").as_bytes()), Ok(properties), "meta.properties does not read back");
    }
}

/// The directories of one node do not belong together, or not to this node.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No directory has a `meta.properties`.
    #[error("{} is not formatted: it has no {FILE_NAME} (`storage format` writes it)", directory.display())]
    NotFormatted {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory belongs to a broker that used ZooKeeper.
    #[error(
        "{} was written by a broker that used ZooKeeper; migrate that cluster to KRaft first (Kafka 3.9 can)",
        directory.display()
    )]
    Zookeeper {
        /// The directory.
        directory: PathBuf,
    },
    /// Two directories, or a directory and the cluster's metadata, name different clusters.
    #[error("{} belongs to cluster {found}, but {expected_by} to cluster {expected}", directory.display())]
    OtherCluster {
        /// The directory.
        directory: PathBuf,
        /// The cluster that it names.
        found: String,
        /// Who expects another one.
        expected_by: String,
        /// The cluster expected.
        expected: String,
    },
    /// The directory is another node's.
    #[error(
        "{} belongs to node {found}, but node.id is {expected}; use that node's directory, or an empty one for a new node",
        directory.display()
    )]
    OtherNode {
        /// The directory.
        directory: PathBuf,
        /// The node that it names.
        found: NodeId,
        /// `node.id` of the configuration.
        expected: NodeId,
    },
    /// Two directories have the same id: one was copied from the other.
    #[error(
        "{} and {} have the same directory.id {id}; a copied directory needs an id of its own",
        first.display(), second.display()
    )]
    SameDirectoryId {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// The id of both.
        id: Uuid,
    },
}

/// Checks that the directories of one node belong to it and together; returns the id of their cluster.
///
/// `cluster_id` is the cluster's if it is known otherwise (by the metadata quorum, by `--cluster-id`).
///
/// # Errors
/// [`IdentityError`] says which directory disagrees with what.
pub fn check<'a>(
    directories: impl IntoIterator<Item = (&'a Path, Option<&'a MetaProperties>)>,
    node_id: NodeId,
    cluster_id: Option<&str>,
) -> Result<Option<String>, IdentityError> {
    let mut expected = cluster_id.map(|id| (id.to_owned(), "this node".to_owned()));
    let mut ids: Vec<(Uuid, &Path)> = Vec::new();
    for (directory, properties) in directories {
        let here = || directory.to_owned();
        let Some(properties) = properties else { return Err(IdentityError::NotFormatted { directory: here() }) };
        if properties.version == MetaVersion::Zookeeper {
            return Err(IdentityError::Zookeeper { directory: here() });
        }
        if let Some(found) = &properties.cluster_id {
            let (expected, expected_by) =
                expected.get_or_insert_with(|| (found.clone(), directory.display().to_string()));
            if found != expected {
                let (expected, expected_by) = (expected.clone(), expected_by.clone());
                return Err(IdentityError::OtherCluster {
                    directory: here(),
                    found: found.clone(),
                    expected_by,
                    expected,
                });
            }
        }
        if let Some(found) = properties.node_id
            && found != node_id
        {
            return Err(IdentityError::OtherNode { directory: here(), found, expected: node_id });
        }
        if let Some(id) = properties.directory_id {
            if let Some((_, first)) = ids.iter().find(|(other, _)| *other == id) {
                return Err(IdentityError::SameDirectoryId { first: (*first).to_owned(), second: here(), id });
            }
            ids.push((id, directory));
        }
    }
    Ok(expected.map(|(id, _)| id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Written by `kafka-storage.sh format` of Kafka 4.3.1, with other ids.
    const KAFKAS: &[u8] = include_bytes!("../../tests/data/log/meta.properties");

    #[test]
    fn a_directory_formatted_by_kafka_round_trips() {
        let found = parse(KAFKAS).unwrap();
        assert_eq!(found.version, MetaVersion::Kraft);
        assert_eq!(found.node_id, Some(NodeId::new(7)));
        assert_eq!(found.cluster_id.as_deref(), Some("x9Hc3mTQSuG7nq1VbLk2_A"));
        assert_eq!(found.directory_id, Uuid::parse("Jt5Yb0oWQv-8zRfCkE4dXg"));
        assert_eq!(render(&found, "Sat Nov 21 02:20:10 UTC 2026").as_bytes(), KAFKAS, "the same bytes");
    }

    #[test]
    fn the_date_line_has_javas_form() {
        let line = date_line(1_795_227_610_000);
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(words.len(), 6, "{line}");
        assert_eq!((words[1], words[5]), ("Nov", "2026"), "{line}");
    }

    #[test]
    fn file_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(&Fs::default(), dir.path()).unwrap(), None);
        let properties = MetaProperties::new("my: own cluster #1", NodeId::new(3));
        write(&Fs::default(), dir.path(), &properties, 0).unwrap();
        assert_eq!(read(&Fs::default(), dir.path()).unwrap(), Some(properties));
    }

    #[test]
    fn the_old_version_is_recognised() {
        let found = parse(b"#\n#Tue Jan 02 10:00:00 CET 2018\nversion=0\nbroker.id=2\ncluster.id=abc\n").unwrap();
        assert_eq!((found.version, found.node_id), (MetaVersion::Zookeeper, Some(NodeId::new(2))));
        let error = check([(Path::new("/d"), Some(&found))], NodeId::new(2), None).unwrap_err();
        assert!(matches!(error, IdentityError::Zookeeper { .. }), "{error}");
    }

    #[test]
    fn other_writers_of_properties_are_understood() {
        let found =
            parse(b"! note\r\nversion : 1\r\n  node.id 5\r\ncluster.id=a\\u0062\\:c\r\nfuture.key=x\r\n").unwrap();
        assert_eq!(found.node_id, Some(NodeId::new(5)));
        assert_eq!(found.cluster_id.as_deref(), Some("ab:c"));
        assert_eq!(found.directory_id, None, "Kafka before 3.7");
    }

    #[test]
    fn damage_is_named_by_its_line() {
        for (text, line) in [
            ("", 1),
            ("#\n#date\n", 2),
            ("version=2\n", 1),
            ("version=1\nnode.id=one\ncluster.id=a\n", 2),
            ("version=1\nnode.id=-1\ncluster.id=a\n", 2),
            ("version=1\ncluster.id=a\n", 2),
            ("version=1\nnode.id=1\n", 2),
            ("version=1\nnode.id=1\ncluster.id=a\ndirectory.id=short\n", 4),
            ("version=1\nnode.id=1\ncluster.id=a\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\n", 4),
            ("\0\u{1}\u{2}", 1),
        ] {
            let (found, reason) = parse(text.as_bytes()).unwrap_err();
            assert_eq!(found, line, "{text:?}: {reason}");
        }
    }

    #[test]
    fn directories_that_disagree_are_refused() {
        let node = NodeId::new(1);
        let (a, b) = (Path::new("/a"), Path::new("/b"));
        let mine = MetaProperties::new("C1", node);
        let also_mine = MetaProperties::new("C1", node);
        assert_eq!(check([(a, Some(&mine)), (b, Some(&also_mine))], node, None).unwrap().as_deref(), Some("C1"));

        let message = |other: Option<&MetaProperties>, cluster: Option<&str>| {
            check([(a, Some(&mine)), (b, other)], node, cluster).unwrap_err().to_string()
        };
        let other_cluster = MetaProperties::new("C2", node);
        assert_eq!(message(Some(&other_cluster), None), "/b belongs to cluster C2, but /a to cluster C1");
        assert_eq!(message(Some(&also_mine), Some("C9")), "/a belongs to cluster C1, but this node to cluster C9");
        let other_node = MetaProperties::new("C1", NodeId::new(2));
        assert!(message(Some(&other_node), None).starts_with("/b belongs to node 2, but node.id is 1"));
        assert!(message(Some(&mine), None).starts_with("/a and /b have the same directory.id"));
        assert!(message(None, None).starts_with("/b is not formatted"));
    }

    proptest! {
        #[test]
        fn any_cluster_id_round_trips(cluster_id in "\\PC{1,40}", node in 0..i32::MAX) {
            let properties = MetaProperties::new(cluster_id, NodeId::new(node));
            prop_assert_eq!(parse(render(&properties, "date").as_bytes()), Ok(properties));
        }
    }
}
