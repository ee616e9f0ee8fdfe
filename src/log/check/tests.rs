//! A partition that Kafka wrote, damaged in every way that is known, and looked at.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::types::{LeaderEpoch, NodeId, Offset, ProducerId, TopicPartition, Uuid};

const GOLDEN: &str = "tests/data/log/kafka-4.3.1-golden-0";

/// A copy of the golden partition.
struct Copy {
    dir: tempfile::TempDir,
    expected: PartitionExpectation,
}

impl Copy {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(GOLDEN).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
        Self { dir, expected: PartitionExpectation { was_closed: true, ..PartitionExpectation::default() } }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        change(&mut bytes);
        fs::write(self.path(name), bytes).unwrap();
    }

    fn check(&self) -> (PartitionSummary, Vec<Fault>) {
        let mut faults = Vec::new();
        let summary = check_partition(self.dir.path(), &self.expected, &mut |f| faults.push(f), &mut |_| {}).unwrap();
        (summary, faults)
    }

    fn kinds(&self) -> Vec<FaultKind> {
        self.check().1.iter().map(|fault| fault.kind).collect()
    }

    /// The one fault that there is.
    fn fault(&self) -> Fault {
        let (_, mut faults) = self.check();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        faults.remove(0)
    }
}

#[test]
fn what_kafka_wrote_has_no_fault() {
    let copy = Copy::new();
    let (summary, faults) = copy.check();
    assert_eq!(faults, []);
    assert_eq!((summary.segments, summary.start, summary.end), (3, 0, 254));
    let before: Vec<_> = fs::read_dir(copy.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(before.len(), fs::read_dir(GOLDEN).unwrap().count(), "nothing was written");
}

#[test]
fn a_torn_end_depends_on_how_the_log_was_left() {
    let mut copy = Copy::new();
    copy.expected.was_closed = false;
    fs::remove_file(copy.path("00000000000000000254.snapshot")).unwrap();
    let log = "00000000000000000234.log";
    copy.change(log, |bytes| bytes.extend_from_slice(&[7; 30]));
    let size = fs::metadata(copy.path(log)).unwrap().len();
    let fault = copy.fault();
    assert_eq!((fault.kind, fault.severity, fault.position), (FaultKind::TornEnd, Severity::Warning, Some(size - 30)));
    copy.expected.is_open = true;
    assert_eq!(copy.fault().severity, Severity::Info);
    copy.expected.is_open = false;
    copy.expected.recovery_point = Some(Offset(260));
    assert_eq!(copy.kinds(), [FaultKind::TornAfterClose, FaultKind::ShorterThanKnown]);
}

#[test]
fn the_epochs_of_the_metadata_log_may_begin_within_a_segment() {
    let mut copy = Copy::new();
    let epochs = fs::read_to_string(copy.path("leader-epoch-checkpoint")).unwrap();
    let latest = epochs.lines().last().unwrap().split(' ').next().unwrap();
    fs::write(copy.path("leader-epoch-checkpoint"), format!("0\n1\n{latest} 250\n")).unwrap();
    assert!(copy.kinds().contains(&FaultKind::EpochMismatch));
    copy.expected.is_metadata = true;
    assert!(!copy.kinds().contains(&FaultKind::EpochMismatch));
}

#[test]
fn damage_is_named_with_byte_and_offsets() {
    let copy = Copy::new();
    // In the second batch: offsets 4 to 7 from byte 457 on.
    copy.change("00000000000000000000.log", |bytes| bytes[600] ^= 1);
    let fault = copy.fault();
    assert_eq!((fault.kind, fault.position, fault.lost), (FaultKind::Damaged, Some(457), Some((4, 8))));
    assert!(fault.to_string().contains("00000000000000000000.log: byte 457: wrong checksum, 457 bytes"), "{fault}");
}

#[test]
fn holes_are_named_unless_the_topic_is_compacted() {
    let mut copy = Copy::new();
    for kind in ["log", "index", "timeindex", "snapshot"] {
        fs::remove_file(copy.path(&format!("00000000000000000160.{kind}"))).unwrap();
    }
    let fault = copy.fault();
    assert_eq!((fault.kind, fault.lost), (FaultKind::Hole, Some((160, 234))));
    copy.expected.is_compacted = true;
    assert_eq!(copy.kinds(), []);
}

#[test]
fn offsets_that_others_know_of_must_be_there() {
    for (kind, set) in [
        (FaultKind::ShorterThanKnown, (|e| e.high_watermark = Some(Offset(255))) as fn(&mut PartitionExpectation)),
        (FaultKind::ShorterThanKnown, |e| e.recovery_point = Some(Offset(255))),
        (FaultKind::StartBehindEnd, |e| e.log_start_offset = Some(Offset(255))),
        (FaultKind::CleanerBehindEnd, |e| e.cleaner_offset = Some(Offset(255))),
    ] {
        let mut copy = Copy::new();
        set(&mut copy.expected);
        assert!(copy.kinds().contains(&kind), "{kind:?}: {:?}", copy.kinds());
        // A broker that runs moves its end before its checkpoints.
        copy.expected.is_open = true;
        assert!(!copy.kinds().contains(&kind), "{kind:?}");
    }
}

#[test]
fn indexes_must_agree_with_their_log() {
    let faulty = |name: &str, change: fn(&mut Vec<u8>), kind: FaultKind, position: u64| {
        let copy = Copy::new();
        copy.change(name, change);
        let fault = copy.fault();
        assert_eq!((fault.kind, fault.position), (kind, Some(position)), "{name}: {fault}");
    };
    let (offsets, times) = ("00000000000000000000.index", "00000000000000000000.timeindex");
    faulty(offsets, |bytes| bytes[15] ^= 1, FaultKind::OffsetIndex, 8);
    faulty(offsets, |bytes| bytes[11] = 200, FaultKind::OffsetIndex, 8);
    faulty(offsets, |bytes| bytes[11] = 1, FaultKind::OffsetIndex, 8);
    faulty(times, |bytes| bytes[7] ^= 1, FaultKind::TimeIndex, 0);
    faulty(times, |bytes| bytes.truncate(12), FaultKind::TimeIndex, 12);
    let zeros = |bytes: &mut Vec<u8>| bytes.extend_from_slice(&[0; 24]);
    let end = |name: &str| fs::metadata(Path::new(GOLDEN).join(name)).unwrap().len();
    faulty(offsets, zeros, FaultKind::OffsetIndex, end(offsets));
    faulty(times, zeros, FaultKind::TimeIndex, end(times));
    // Every entry that is flipped anywhere is noticed.
    for at in 0..end(offsets) as usize {
        let copy = Copy::new();
        copy.change(offsets, |bytes| bytes[at] ^= 0x10);
        assert_eq!(copy.kinds(), [FaultKind::OffsetIndex], "byte {at}");
    }
}

#[test]
fn files_that_are_missing_or_too_many_are_named() {
    let copy = Copy::new();
    for name in ["00000000000000000000.index", "00000000000000000000.timeindex"] {
        fs::remove_file(copy.path(name)).unwrap();
    }
    assert_eq!(copy.kinds(), [FaultKind::IndexMissing, FaultKind::IndexMissing]);

    let copy = Copy::new();
    for name in ["00000000000000000077.index", "00000000000000000000.log.deleted", "00000000000000000000.log.kept"] {
        fs::write(copy.path(name), "").unwrap();
    }
    let (_, mut faults) = copy.check();
    faults.sort_by_key(|fault| fault.kind);
    let kinds: Vec<_> = faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::OrphanIndex, FaultKind::Leftover, FaultKind::KeptAside]);

    let copy = Copy::new();
    fs::remove_file(copy.path("00000000000000000254.snapshot")).unwrap();
    fs::remove_file(copy.path("partition.metadata")).unwrap();
    assert_eq!(copy.kinds(), [FaultKind::PartitionMetadata, FaultKind::SnapshotMissing]);
    fs::write(copy.path("partition.metadata"), "version: 0").unwrap();
    assert_eq!(copy.check().1[0].kind, FaultKind::PartitionMetadata);
}

#[test]
fn snapshots_must_be_what_a_replay_gives() {
    let copy = Copy::new();
    copy.change("00000000000000000160.snapshot", |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert_eq!(copy.fault().kind, FaultKind::BadSnapshot);
    // Of one producer: id 8 bytes, epoch 2, last sequence 4.
    for (at, what) in [(19, "has epoch"), (23, "ends at offset"), (31, "ends at offset")] {
        let copy = Copy::new();
        copy.change("00000000000000000254.snapshot", |bytes| {
            bytes[at] ^= 1;
            let crc = crc32c::crc32c(&bytes[6..]).to_be_bytes();
            bytes[2..6].copy_from_slice(&crc);
        });
        let fault = copy.fault();
        assert_eq!(fault.kind, FaultKind::SnapshotMismatch);
        assert!(fault.text.contains(what), "{at}: {fault}");
    }
}

#[test]
fn epochs_must_be_those_of_the_batches() {
    let copy = Copy::new();
    fs::write(copy.path("leader-epoch-checkpoint"), "0\n1\n3 0\n").unwrap();
    assert_eq!(copy.fault().kind, FaultKind::EpochMismatch);
    fs::write(copy.path("leader-epoch-checkpoint"), "0\n2\n0 0\n").unwrap();
    assert_eq!(copy.fault().kind, FaultKind::BadEpochs);
    fs::remove_file(copy.path("leader-epoch-checkpoint")).unwrap();
    assert_eq!(copy.fault().kind, FaultKind::EpochMismatch);
    // After DeleteRecords the epochs of what is left out are gone.
    fs::write(copy.path("leader-epoch-checkpoint"), "0\n1\n0 100\n").unwrap();
    assert_eq!(copy.fault().kind, FaultKind::EpochMismatch);
    let mut copy = copy;
    copy.expected.log_start_offset = Some(Offset(100));
    assert_eq!(copy.kinds(), []);
}

/// A log of a committed and an aborted transaction.
#[test]
fn aborted_transactions_must_be_in_the_index() {
    use crate::record::{BatchBuilder, BatchOptions, EndMarker, NewRecord};

    let dir = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    let mut offset = 0;
    for (epoch, is_committed) in [(0_i16, true), (1, false)] {
        let options = BatchOptions {
            producer_id: ProducerId(9),
            producer_epoch: epoch,
            base_sequence: 0,
            transactional: true,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        builder.append(&NewRecord { timestamp: 5, value: Some(b"v"), ..NewRecord::default() }).unwrap();
        let marker = EndMarker { commit: is_committed, coordinator_epoch: 0 };
        for batch in [builder.build().unwrap(), marker.to_batch(ProducerId(9), epoch, 5).unwrap()] {
            let mut batch = batch.to_vec();
            batch[..8].copy_from_slice(&i64::to_be_bytes(offset));
            batch[12..16].copy_from_slice(&LeaderEpoch(0).get().to_be_bytes());
            bytes.extend_from_slice(&batch);
            offset += 1;
        }
    }
    fs::write(dir.path().join("00000000000000000000.log"), &bytes).unwrap();
    fs::write(dir.path().join("leader-epoch-checkpoint"), "0\n1\n0 0\n").unwrap();
    super::super::partition_metadata::write(&crate::log::Fs::default(), dir.path(), Uuid::random()).unwrap();
    let check = || {
        let mut faults = Vec::new();
        let expected = PartitionExpectation::default();
        check_partition(dir.path(), &expected, &mut |fault| faults.push(fault), &mut |_| {}).unwrap();
        faults
    };
    let missing = check();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].text.contains("producer 9 from offset 2 to 3"), "{}", missing[0]);
    let entry = |first: i64| {
        let fields = [9, first, 3, 4_i64];
        [&[0, 0][..], &fields.map(i64::to_be_bytes).concat()].concat()
    };
    let index = dir.path().join("00000000000000000000.txnindex");
    fs::write(&index, entry(2)).unwrap();
    assert_eq!(check(), []);
    fs::write(&index, entry(1)).unwrap();
    assert_eq!(check().iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::TxnIndex; 2]);
    fs::write(&index, [0; 5]).unwrap();
    assert_eq!(check().iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::TxnIndex]);
}

fn formatted(parent: &Path, name: &str, properties: &super::super::meta_properties::MetaProperties) -> PathBuf {
    let path = parent.join(name);
    super::super::directory::format(&path, properties, 0).unwrap();
    path
}

#[test]
fn directories_must_go_together() {
    use super::super::checkpoint;
    use super::super::meta_properties::{FILE_NAME, MetaProperties};

    let temp = tempfile::tempdir().unwrap();
    let of = |cluster: &str, node: i32| MetaProperties::new(cluster, NodeId(node));
    let (a, b) = (formatted(temp.path(), "a", &of("c", 1)), formatted(temp.path(), "b", &of("c", 1)));
    let check = |paths: &[&PathBuf]| {
        let mut kinds = Vec::new();
        let states: Vec<_> =
            paths.iter().map(|path| check_directory(path, &mut |fault| kinds.push(fault.kind)).unwrap()).collect();
        check_together(&states, &mut |fault| kinds.push(fault.kind));
        kinds.sort();
        kinds
    };
    assert_eq!(check(&[&a, &b]), []);
    for other in [of("another", 1), of("c", 2)] {
        let other = formatted(temp.path(), &Uuid::random().to_string(), &other);
        assert_eq!(check(&[&a, &other]), [FaultKind::Identity]);
    }
    for name in ["t-0", "t-1", "lost+found"] {
        fs::create_dir(a.join(name)).unwrap();
    }
    assert_eq!(check(&[&a]), [FaultKind::NotClosed]);
    super::super::directory::CleanShutdown { broker_epoch: 1 }.write(&crate::log::Fs::default(), &a).unwrap();
    assert_eq!(check(&[&a]), []);
    super::super::directory::CleanShutdown { broker_epoch: 1 }.write(&crate::log::Fs::default(), &b).unwrap();
    fs::create_dir(b.join("t-1")).unwrap();
    assert_eq!(check(&[&a, &b]), [FaultKind::Duplicate]);
    let id = "0123456789abcdef0123456789abcdef";
    for suffix in ["delete", "future", "stray"] {
        fs::create_dir(a.join(format!("t-7.{id}-{suffix}"))).unwrap();
    }
    fs::create_dir(a.join("backup")).unwrap();
    assert_eq!(check(&[&a]), [FaultKind::Deleted, FaultKind::Future, FaultKind::Stray, FaultKind::Foreign]);
    fs::write(b.join(checkpoint::HIGH_WATERMARKS), "nonsense").unwrap();
    fs::write(b.join(checkpoint::LOG_START_OFFSETS), "0\n1\nt 1 5\n").unwrap();
    assert_eq!(check(&[&b]), [FaultKind::BadCheckpoint]);
    let state = check_directory(&b, &mut |_| {}).unwrap();
    let known = state.expectation(&TopicPartition::new("t", 1), true);
    assert_eq!((known.log_start_offset, known.was_closed, known.is_compacted), (Some(Offset(5)), true, true));
    fs::write(b.join(FILE_NAME), "version=7\n").unwrap();
    assert_eq!(check(&[&b]), [FaultKind::BadCheckpoint, FaultKind::Identity]);
}

#[test]
fn every_kind_has_a_name_of_its_own_in_the_documentation() {
    let page = fs::read_to_string("docs/output.md").unwrap();
    let names: std::collections::BTreeSet<_> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), FaultKind::ALL.len());
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

/// Whatever the files hold, looking at them ends, and finds something or nothing.
#[test]
fn no_directory_does_harm() {
    for name in [
        "00000000000000000234.log",
        "00000000000000000160.timeindex",
        "00000000000000000254.snapshot",
        "leader-epoch-checkpoint",
        "partition.metadata",
    ] {
        let bytes = fs::read(Path::new(GOLDEN).join(name)).unwrap();
        let copy = Copy::new();
        for at in (0..bytes.len()).step_by(bytes.len() / 100 + 1) {
            fs::write(copy.path(name), &bytes[..at]).unwrap();
            copy.check();
            let mut flipped = bytes.clone();
            flipped[at] ^= 0xff;
            fs::write(copy.path(name), &flipped).unwrap();
            copy.check();
        }
    }
}
