//! Files that Apache Kafka 4.3.1 and 3.9.1 wrote.

use bytes::Bytes;

use crate::config::HostPort;
use crate::metadata::batch::{self, BatchContent, BatchPlace};
use crate::metadata::bootstrap::{self, InitialVoter};
use crate::metadata::*;
use crate::protocol::messages::TopicRecord;
use crate::record;
use crate::types::{LeaderEpoch, NodeId, Offset, PartitionId, Uuid};

fn file(name: &str) -> Bytes {
    let path = format!("{}/tests/data/metadata/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}")).into()
}

/// What follows from a log file, and the number of its records.
fn replayed(name: &str) -> (MetadataImage, usize) {
    let log = file(name);
    let (mut replay, mut count) = (Replay::default(), 0);
    for batch in record::batches(&log) {
        if let BatchContent::Metadata(records) = batch::read(&batch.unwrap(), &log).unwrap() {
            for record in records {
                replay.take(record).unwrap();
                count += 1;
            }
        }
    }
    assert!(!replay.is_in_transaction());
    (replay.into_image(), count)
}

#[test]
fn bootstrap_is_what_kafka_formats() {
    let kafkas = file("kafka-4.3.1-bootstrap.checkpoint");
    let read = Checkpoint::read(&kafkas).unwrap();
    let ours = bootstrap::bootstrap_checkpoint(&bootstrap::default_features(), Vec::new(), 1_795_228_509_909).unwrap();
    assert_eq!(Checkpoint::read(&ours).unwrap(), read);
    // Kafka reads the clock anew for each batch; the first one has the time given here.
    assert_eq!(ours.len(), kafkas.len());
    assert_eq!(ours[..83], kafkas[..83]);
}

#[test]
fn a_standalone_voter_set_is_what_kafka_formats() {
    let kafkas = file("kafka-4.3.1-standalone.checkpoint");
    let read = Checkpoint::read(&kafkas).unwrap();
    let voter = InitialVoter {
        id: NodeId(1),
        directory_id: Uuid::parse("ed8weBlWQfaHvJoR9G1rJA").unwrap(),
        listener_name: "CONTROLLER".to_owned(),
        address: HostPort { host: "127.0.0.1".to_owned(), port: 19493 },
    };
    let (name, ours) = bootstrap::voters_checkpoint(&[voter], read.last_contained_log_timestamp).unwrap();
    assert_eq!(name, "00000000000000000000-0000000000.checkpoint");
    assert_eq!(Checkpoint::read(&ours).unwrap(), read);
    assert_eq!(ours.len(), kafkas.len());
}

#[test]
fn kafkas_logs_are_replayed() {
    let (image, count) = replayed("kafka-4.3.1.log");
    assert!(count > 400, "{count} records");
    assert_eq!(image.metadata_version(), Some(MetadataVersion::LATEST));
    assert_eq!(image.features(), &bootstrap::default_features());
    assert_eq!(image.topics().keys().collect::<Vec<_>>(), ["__consumer_offsets", "t1", "t3"]);
    let partition = image.partition("t1", PartitionId(4)).unwrap();
    assert_eq!((partition.leader, &*partition.isr), (NodeId(1), &[NodeId(1)][..]));
    // Led at its creation, not in either shutdown nor after the kill, led again after each: seven leaderships.
    assert_eq!((partition.leader_epoch, partition.leader_recovery_state), (LeaderEpoch(6), 1));
    let configs = image.configs(&ConfigResource::topic("t1")).unwrap();
    assert_eq!(
        configs.iter().collect::<Vec<_>>(),
        [(&"cleanup.policy".to_owned(), &"compact".to_owned()), (&"segment.bytes".to_owned(), &"1048576".to_owned()),]
    );
    assert_eq!(image.live_brokers().count(), 1);
    assert_eq!(image.next_producer_id().get(), 1000);

    let (image, _) = replayed("kafka-3.9.1.log");
    assert_eq!(image.metadata_version().map(MetadataVersion::level), Some(21));
    assert_eq!(image.topics().len(), 3);
}

/// Goal: our snapshot of what Kafka wrote loses nothing, in the file's form and at its level.
#[test]
fn a_snapshot_of_kafkas_log_is_read_back() {
    for name in ["kafka-4.3.1.log", "kafka-3.9.1.log"] {
        let (image, _) = replayed(name);
        let checkpoint = Checkpoint {
            last_contained_log_timestamp: 7,
            kraft_version: 1,
            voters: Some(bootstrap::voters_record(&[])),
            records: image.records(),
        };
        let bytes = checkpoint.write(image.metadata_version().unwrap(), LeaderEpoch(4), 8).unwrap();
        assert_eq!(Checkpoint::read(&bytes).unwrap(), checkpoint);
        let mut again = MetadataImage::default();
        for record in &checkpoint.records {
            again.apply(record).unwrap();
        }
        assert_eq!(again, image);
    }
}

/// Goal: a snapshot that Kafka wrote, with quotas, entries of access control and registrations, loses nothing in ours.
/// Method: the same records, whatever their order (Kafka's is that of its hash maps).
#[test]
fn kafkas_snapshots_are_rewritten_record_by_record() {
    for name in ["kafka-4.3.1-snapshot.checkpoint", "kafka-3.9.1-snapshot.checkpoint"] {
        let checkpoint = Checkpoint::read(&file(name)).unwrap();
        let mut image = MetadataImage::default();
        for record in &checkpoint.records {
            image.apply(record).unwrap();
        }
        let level = image.metadata_version().unwrap();
        let sorted = |records: &[MetadataRecord]| {
            let mut values: Vec<_> = records.iter().map(|record| record.write(level).unwrap()).collect();
            values.sort();
            values
        };
        assert_eq!(sorted(&image.records()), sorted(&checkpoint.records), "{name}");
        assert!(checkpoint.records.len() >= 20, "{name}: {} records", checkpoint.records.len());
    }
}

#[test]
fn a_cut_or_damaged_snapshot_is_refused() {
    let whole = file("kafka-4.3.1-bootstrap.checkpoint");
    for length in 0..whole.len() {
        assert!(Checkpoint::read(&whole.slice(..length)).is_err(), "cut at byte {length}");
    }
    let mut damaged = whole.to_vec();
    damaged[120] ^= 1;
    let error = Checkpoint::read(&damaged.into()).unwrap_err();
    assert_eq!(error.to_string(), "damaged batch at offset 1");
}

#[test]
fn snapshot_names_are_kafkas() {
    let id = CheckpointId { end_offset: Offset(5), epoch: LeaderEpoch(7) };
    assert_eq!(id.file_name(), "00000000000000000005-0000000007.checkpoint");
    assert_eq!(CheckpointId::from_file_name(&id.file_name()), Some(id));
    for other in [
        "bootstrap.checkpoint",
        "00000000000000000005-0000000007.checkpoint.part",
        "5-7.checkpoint",
        "+0000000000000000005-0000000007.checkpoint",
    ] {
        assert_eq!(CheckpointId::from_file_name(other), None, "{other}");
    }
}

#[test]
fn a_batch_that_would_be_too_large_is_refused() {
    let long = TopicRecord { name: "n".repeat(30_000), ..Default::default() };
    let records = vec![MetadataRecord::from(long); 300];
    let place = BatchPlace { base_offset: Offset::ZERO, epoch: LeaderEpoch(1), timestamp_ms: 0 };
    assert!(batch::write_metadata(&records, MetadataVersion::LATEST, place).is_err());
}
