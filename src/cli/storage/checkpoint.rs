//! The files that formatting leaves for the controller: `bootstrap.checkpoint`, and the first snapshot of a metadata log
//! whose voters are in the log.
//!
//! Both are snapshots: batches of leader epoch 0, a header record first, a footer record last.

use anyhow::Context as _;

use super::features::Levels;
use crate::metadata::{MetadataRecord, MetadataVersion};
use crate::protocol::Message;
use crate::protocol::messages::{
    FeatureLevelRecord, KRaftVersionRecord, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
};
use crate::record::{BatchBuilder, BatchOptions, NewRecord};
use crate::types::{LeaderEpoch, Offset};

/// Numbers of control records.
const SNAPSHOT_HEADER: i16 = 3;
const SNAPSHOT_FOOTER: i16 = 4;
const KRAFT_VERSION: i16 = 5;
const KRAFT_VOTERS: i16 = 6;

/// The content of `bootstrap.checkpoint`: the feature levels that the cluster starts with.
pub(super) fn bootstrap(levels: &Levels, now_ms: i64) -> anyhow::Result<Vec<u8>> {
    let metadata_version = MetadataVersion::from_level(levels.metadata).context("no such metadata.version")?;
    let mut records = Vec::new();
    for (name, feature_level) in levels.records() {
        let record = FeatureLevelRecord { name: name.to_owned(), feature_level, ..FeatureLevelRecord::default() };
        records.push(MetadataRecord::FeatureLevel(record).write(metadata_version)?);
    }
    let mut snapshot = Snapshot::new(now_ms);
    snapshot.control(&[(SNAPSHOT_HEADER, header(0)?)])?;
    snapshot.batch(false, records.iter().map(|value| NewRecord { value: Some(value), ..NewRecord::default() }))?;
    snapshot.footer()?;
    Ok(snapshot.bytes)
}

/// The content of the first snapshot of a metadata log that knows its own voters (`kraft.version` 1).
pub(super) fn first_snapshot(kraft_version: i16, voters: &VotersRecord, now_ms: i64) -> anyhow::Result<Vec<u8>> {
    let version = KRaftVersionRecord { kraft_version, ..KRaftVersionRecord::default() };
    let mut snapshot = Snapshot::new(now_ms);
    snapshot.control(&[
        (SNAPSHOT_HEADER, header(now_ms)?),
        (KRAFT_VERSION, version.to_bytes(0)?.to_vec()),
        (KRAFT_VOTERS, voters.to_bytes(0)?.to_vec()),
    ])?;
    snapshot.footer()?;
    Ok(snapshot.bytes)
}

fn header(last_contained_log_timestamp: i64) -> anyhow::Result<Vec<u8>> {
    let header = SnapshotHeaderRecord { last_contained_log_timestamp, ..SnapshotHeaderRecord::default() };
    Ok(header.to_bytes(0)?.to_vec())
}

struct Snapshot {
    bytes: Vec<u8>,
    next_offset: Offset,
    now_ms: i64,
}

impl Snapshot {
    fn new(now_ms: i64) -> Self {
        Self { bytes: Vec::new(), next_offset: Offset::ZERO, now_ms }
    }

    fn footer(&mut self) -> anyhow::Result<()> {
        self.control(&[(SNAPSHOT_FOOTER, SnapshotFooterRecord::default().to_bytes(0)?.to_vec())])
    }

    /// A batch of control records, given as number and value. A key is a version, 0, and the number.
    fn control(&mut self, records: &[(i16, Vec<u8>)]) -> anyhow::Result<()> {
        let keys: Vec<_> = records.iter().map(|(number, _)| [[0, 0], number.to_be_bytes()].concat()).collect();
        let records = keys.iter().zip(records).map(|(key, (_, value))| NewRecord {
            key: Some(key),
            value: Some(value),
            ..NewRecord::default()
        });
        self.batch(true, records)
    }

    fn batch<'a>(&mut self, control: bool, records: impl Iterator<Item = NewRecord<'a>>) -> anyhow::Result<()> {
        let mut batch = BatchBuilder::new(BatchOptions {
            base_offset: self.next_offset,
            partition_leader_epoch: LeaderEpoch(0),
            control,
            ..BatchOptions::default()
        });
        for record in records {
            batch.append(&NewRecord { timestamp: self.now_ms, ..record })?;
            self.next_offset = self.next_offset.plus(1);
        }
        self.bytes.extend_from_slice(&batch.build()?);
        Ok(())
    }
}
