//! The file `quorum-state`: in which epoch the quorum is and who leads it. JSON on one line, as Kafka writes it.
//!
//! Version 0 belongs to voters that stand in the configuration, version 1 to voters that stand in the log (`kraft.version`
//! 1, KIP-853).

use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use crate::log::checkpoint::replace_file;
use crate::types::{LeaderEpoch, NodeId, Uuid};

/// Name of the file, in the directory of the metadata log.
pub(super) const FILE_NAME: &str = "quorum-state";

/// Where the election stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QuorumState {
    /// Who leads; -1 if nobody does.
    pub(super) leader_id: NodeId,
    /// The epoch; each election has a higher one.
    pub(super) leader_epoch: LeaderEpoch,
    /// Who got this node's vote in the epoch; -1 if nobody did.
    pub(super) voted_id: NodeId,
    /// The directory of that node; zero where it is not known.
    pub(super) voted_directory_id: Uuid,
    /// The voters of version 0; `None` in version 1.
    pub(super) voters: Option<Vec<NodeId>>,
}

/// Why the file can't be used.
#[derive(Debug, Error)]
pub(in crate::broker) enum QuorumStateError {
    /// The system refused it.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is not what Kafka writes.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl QuorumState {
    /// Reads the file in this directory; `None` if there is none.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, QuorumStateError> {
        let path = directory.join(FILE_NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(QuorumStateError::Io { action: "read", path, source }),
        };
        Self::parse(&bytes).map(Some).map_err(|reason| QuorumStateError::Malformed { path, reason })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let number = |value: &Value, name: &str| {
            let number = value.get(name).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
            number.ok_or_else(|| format!("{name} is not a 32-bit number"))
        };
        let version = number(&value, "data_version")?;
        let (voted_directory_id, voters) = match version {
            0 => {
                let voters = value.get("currentVoters").and_then(Value::as_array).map(Vec::as_slice);
                let ids = voters.unwrap_or_default().iter().map(|voter| number(voter, "voterId").map(NodeId));
                (Uuid::ZERO, Some(ids.collect::<Result<_, _>>()?))
            }
            1 => {
                let id = value.get("votedDirectoryId").and_then(Value::as_str).and_then(Uuid::parse);
                (id.ok_or("votedDirectoryId is not an id")?, None)
            }
            other => return Err(format!("data_version {other} is not known")),
        };
        Ok(Self {
            leader_id: NodeId(number(&value, "leaderId")?),
            leader_epoch: LeaderEpoch(number(&value, "leaderEpoch")?),
            voted_id: NodeId(number(&value, "votedId")?),
            voted_directory_id,
            voters,
        })
    }

    /// Puts this in the place of the file in `directory`; durable when it returns.
    pub(super) fn write(&self, directory: &Path) -> Result<(), QuorumStateError> {
        let path = directory.join(FILE_NAME);
        replace_file(&path, self.render().as_bytes()).map_err(|source| {
            let action = "write";
            QuorumStateError::Io { action, path, source }
        })
    }

    fn render(&self) -> String {
        let Self { leader_id, leader_epoch, voted_id, voted_directory_id, voters } = self;
        match voters {
            Some(voters) => {
                let voters: Vec<_> = voters.iter().map(|id| format!(r#"{{"voterId":{id}}}"#)).collect();
                format!(
                    r#"{{"clusterId":"","leaderId":{leader_id},"leaderEpoch":{leader_epoch},"votedId":{voted_id},"appliedOffset":0,"currentVoters":[{}],"data_version":0}}"#,
                    voters.join(",")
                )
            }
            None => format!(
                r#"{{"leaderId":{leader_id},"leaderEpoch":{leader_epoch},"votedId":{voted_id},"votedDirectoryId":"{voted_directory_id}","data_version":1}}"#
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both as Kafka 4.3.1 wrote them.
    const VERSION_0: &str = r#"{"clusterId":"","leaderId":1,"leaderEpoch":4,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1}],"data_version":0}"#;
    const VERSION_1: &str =
        r#"{"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#;

    #[test]
    fn kafkas_files_are_read_and_written_alike() {
        for text in [VERSION_0, VERSION_1] {
            assert_eq!(QuorumState::parse(text.as_bytes()).unwrap().render(), text);
        }
        let read = QuorumState::parse(VERSION_0.as_bytes()).unwrap();
        assert_eq!((read.leader_epoch, read.voters), (LeaderEpoch(4), Some(vec![NodeId(1)])));
    }

    #[test]
    fn the_files_of_the_vectors_are_read_and_written_alike() {
        let vectors = include_str!("../../../tests/data/vectors/frames.tsv");
        let files: Vec<&str> = vectors.lines().filter(|line| line.contains("\tquorum-state-file\t")).collect();
        assert_eq!(files.len(), 2);
        for line in files {
            let hex = line.split('\t').nth(3).unwrap();
            let bytes: Vec<u8> =
                (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
            assert_eq!(QuorumState::parse(&bytes).unwrap().render().as_bytes(), bytes);
        }
    }

    #[test]
    fn what_is_something_else_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{}", "data_version is not a 32-bit number"),
            (r#"{"data_version":2}"#, "data_version 2 is not known"),
            (r#"{"data_version":0,"leaderId":"1"}"#, "leaderId is not a 32-bit number"),
        ] {
            assert_eq!(QuorumState::parse(text.as_bytes()).unwrap_err(), reason);
        }
    }

    #[test]
    fn the_file_is_replaced_in_one_step() {
        let directory = tempfile::tempdir().unwrap();
        assert!(QuorumState::read(directory.path()).unwrap().is_none());
        let mut state = QuorumState::parse(VERSION_1.as_bytes()).unwrap();
        state.write(directory.path()).unwrap();
        state.leader_epoch = LeaderEpoch(2);
        state.write(directory.path()).unwrap();
        assert_eq!(QuorumState::read(directory.path()).unwrap(), Some(state));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
