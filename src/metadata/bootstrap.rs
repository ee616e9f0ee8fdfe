//! What formatting a directory writes beside `meta.properties`, and what a controller's first epoch begins with.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::batch::WriteError;
use super::checkpoint::{Checkpoint, CheckpointId};
use super::features::{FEATURES, KRAFT_VERSION, METADATA_VERSION, MetadataVersion};
use super::record::MetadataRecord;
use crate::config::HostPort;
use crate::protocol::messages::voters_record::{Endpoint, KRaftVersionFeature, Voter};
use crate::protocol::messages::{FeatureLevelRecord, UserScramCredentialRecord, VotersRecord};
use crate::types::{LeaderEpoch, NodeId, Offset, Uuid};

/// A controller that a directory is formatted to vote with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialVoter {
    /// Its node id.
    pub id: NodeId,
    /// The id of its metadata directory.
    pub directory_id: Uuid,
    /// Name of the listener on which controllers reach it.
    pub listener_name: String,
    /// Where it listens.
    pub address: HostPort,
}

/// The feature levels that a directory gets when nobody asks for others.
#[must_use]
pub fn default_features() -> BTreeMap<String, i16> {
    FEATURES
        .iter()
        .filter(|feature| feature.default > 0 && feature.name != KRAFT_VERSION)
        .map(|feature| (feature.name.to_owned(), feature.default))
        .collect()
}

/// The records of these levels; `metadata.version` stands first, since it says how to read what follows.
#[must_use]
pub fn feature_records(features: &BTreeMap<String, i16>) -> Vec<MetadataRecord> {
    let (first, others): (Vec<_>, Vec<_>) = features.iter().partition(|(name, _)| *name == METADATA_VERSION);
    let record = |(name, level): (&String, &i16)| {
        FeatureLevelRecord { name: name.clone(), feature_level: *level, ..Default::default() }.into()
    };
    first.into_iter().chain(others).map(record).collect()
}

/// The content of [`super::checkpoint::BOOTSTRAP_FILE`], which every log directory gets: the feature levels, and users
/// that the cluster begins with.
///
/// # Errors
/// None for the default features: a level that this release does not know.
pub fn bootstrap_checkpoint(
    features: &BTreeMap<String, i16>,
    users: Vec<UserScramCredentialRecord>,
    now_ms: i64,
) -> Result<Bytes, WriteError> {
    let mut records = feature_records(features);
    records.extend(users.into_iter().map(MetadataRecord::from));
    let checkpoint = Checkpoint { records, ..Checkpoint::default() };
    checkpoint.write(level_of(features), LeaderEpoch(0), now_ms)
}

/// The name and content of the snapshot that starts a voter set in the log (KIP-853): what `kafka-storage.sh format
/// --standalone` and `--initial-controllers` put into the metadata directory.
///
/// # Errors
/// None in practice: control records that can't be written.
pub fn voters_checkpoint(voters: &[InitialVoter], now_ms: i64) -> Result<(String, Bytes), WriteError> {
    let checkpoint = Checkpoint {
        last_contained_log_timestamp: now_ms,
        kraft_version: 1,
        voters: Some(voters_record(voters)),
        records: Vec::new(),
    };
    let id = CheckpointId { end_offset: Offset::ZERO, epoch: LeaderEpoch(0) };
    Ok((id.file_name(), checkpoint.write(MetadataVersion::LATEST, LeaderEpoch(0), now_ms)?))
}

/// The control record of a voter set.
#[must_use]
pub fn voters_record(voters: &[InitialVoter]) -> VotersRecord {
    let voter = |voter: &InitialVoter| Voter {
        voter_id: voter.id.get(),
        voter_directory_id: voter.directory_id,
        endpoints: vec![Endpoint {
            name: voter.listener_name.clone(),
            host: voter.address.host.clone(),
            port: voter.address.port,
            ..Default::default()
        }],
        kraft_version_feature: KRaftVersionFeature {
            min_supported_version: 0,
            max_supported_version: 1,
            ..Default::default()
        },
        ..Default::default()
    };
    VotersRecord { voters: voters.iter().map(voter).collect(), ..Default::default() }
}

/// The level of `metadata.version` among these features.
#[must_use]
pub fn level_of(features: &BTreeMap<String, i16>) -> MetadataVersion {
    features.get(METADATA_VERSION).and_then(|level| MetadataVersion::from_level(*level)).unwrap_or_default()
}
