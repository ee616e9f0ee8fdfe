//! The controller on real files: first start, restarts, kills, snapshots, damage, and directories that Kafka wrote.

mod bytes;
mod updates;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::super::metadata_cache::MetadataCache;
use super::error::chain;
use super::metadata_log::DIRECTORY;
use super::runtime::Plan;
use super::*;
use crate::config::ServerConfig;
use crate::log::{Fault, Faults, Fs, Operation};
use crate::metadata::{MetadataImage, MetadataRecord, MetadataVersion, bootstrap};
use crate::protocol::messages::{
    ConfigRecord, FeatureLevelRecord, PartitionRecord, TopicRecord, ZkMigrationStateRecord,
};
use crate::record::{BatchBuilder, BatchOptions, NewRecord};
use crate::types::{LeaderEpoch, NodeId, Offset, PartitionId, Uuid};
use std::sync::Arc;

pub(super) const NOW: i64 = 1_800_000_000_000;

/// A directory with a controller's files.
pub(super) struct Node {
    pub(super) dir: TempDir,
    pub(super) config: ServerConfig,
    pub(super) identity: Identity,
}

impl Node {
    /// A directory as `server-start` formats it.
    pub(super) fn new(settings: &[(&str, &str)]) -> Self {
        let node = Self::unformatted(settings);
        write_initial_files(&node.config, &node.identity, NOW).unwrap();
        node
    }

    fn unformatted(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap().to_owned();
        let mut pairs = vec![("log.dirs", path.as_str())];
        pairs.extend(settings);
        let config = ServerConfig::from_pairs(&pairs).unwrap();
        let directory = Uuid::random();
        let identity =
            Identity { node_id: config.node_id, cluster_id: "test".to_owned(), metadata_directory_id: directory };
        Self { dir, config, identity }
    }

    fn directories(&self) -> OwnDirectories {
        OwnDirectories { ids: vec![self.identity.metadata_directory_id], cordoned: Vec::new(), assignments: Vec::new() }
    }

    pub(super) fn open(&self) -> Controller {
        self.try_open(Fs::default()).unwrap()
    }

    fn try_open(&self, fs: Fs) -> Result<Controller, ControllerError> {
        Controller::open(ControllerOptions { config: &self.config, identity: self.identity.clone(), fs, now_ms: NOW })
    }

    /// Opens and registers, as a broker does.
    pub(super) fn start(&self) -> Controller {
        let controller = self.open();
        controller.register_broker(&self.config, &self.config.advertised_listeners, &self.directories(), NOW).unwrap();
        controller
    }

    fn metadata_dir(&self) -> PathBuf {
        self.dir.path().join(DIRECTORY)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.metadata_dir().join(name)
    }

    fn snapshots(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.metadata_dir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".checkpoint"))
            .collect();
        names.sort();
        names
    }
}

const LOG: &str = "00000000000000000000.log";

fn commit(controller: &Controller, records: Vec<MetadataRecord>) {
    controller.change(NOW, |_| Plan { records, response: () }).unwrap();
}

impl Controller {
    /// Commits records that no request would lead to, as another version may have.
    pub(in crate::broker) fn commit_unchecked(&self, records: Vec<MetadataRecord>) {
        commit(self, records);
    }
}

fn create(controller: &Controller, name: &str) {
    let id = Uuid::random();
    let topic = TopicRecord { name: name.to_owned(), topic_id: id, ..Default::default() };
    let partition = PartitionRecord {
        partition_id: 0,
        topic_id: id,
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        leader_epoch: 0,
        partition_epoch: 0,
        directories: vec![Uuid::METADATA_TOPIC],
        ..Default::default()
    };
    commit(controller, vec![topic.into(), partition.into()]);
}

fn topic_names(cache: &MetadataCache) -> Vec<String> {
    cache.read().topics().keys().cloned().collect()
}

fn leader(controller: &Controller, topic: &str) -> (NodeId, LeaderEpoch) {
    let image = controller.cache().read();
    let partition = image.partition(topic, PartitionId(0)).unwrap();
    (partition.leader, partition.leader_epoch)
}

/// The image without what each start changes.
fn lasting(controller: &Controller) -> (Vec<String>, String) {
    let image = controller.cache().read();
    (image.topics().keys().cloned().collect(), format!("{:?}{:?}", image.all_configs(), image.features()))
}

#[test]
fn a_new_directory_begins_as_kafkas() {
    let node = Node::new(&[]);
    let controller = node.start();
    let cache = controller.cache();
    assert_eq!(cache.read().features(), &bootstrap::default_features());
    let defaults = cache.read().configs(&crate::metadata::ConfigResource::all_brokers()).cloned().unwrap();
    assert_eq!(defaults.into_iter().collect::<Vec<_>>(), [("min.insync.replicas".to_owned(), "1".to_owned())]);
    assert_eq!(cache.read().live_brokers().map(|(id, _)| id).collect::<Vec<_>>(), [NodeId(1)]);
    // Leader change, kraft.version, voters; eight of the bootstrap; the controller; the broker, whose epoch that is.
    assert_eq!(controller.broker_epoch(), Some(13));
    assert_eq!(controller.quorum().epoch, LeaderEpoch(1));
    let state = fs::read_to_string(node.file("quorum-state")).unwrap();
    assert_eq!(
        state,
        r#"{"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#
    );
}

#[test]
fn configured_voters_keep_the_quorum_of_kraft_version_0() {
    let node = Node::new(&[
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", "1@127.0.0.1:9093"),
        ("controller.listener.names", "CONTROLLER"),
        ("listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"),
    ]);
    let controller = node.start();
    assert_eq!(controller.broker_epoch(), Some(11));
    assert!(node.snapshots().is_empty());
    let state = fs::read_to_string(node.file("quorum-state")).unwrap();
    assert!(state.contains(r#""currentVoters":[{"voterId":1}],"data_version":0"#), "{state}");
    let image = controller.cache().read();
    let registered = &image.controllers()[&NodeId(1)];
    assert_eq!((registered.end_points[0].host.as_str(), registered.end_points[0].port), ("127.0.0.1", 9093));
}

#[test]
fn a_clean_stop_gives_up_leadership_and_a_start_takes_it_again() {
    let node = Node::new(&[]);
    let controller = node.start();
    create(&controller, "a");
    assert_eq!(leader(&controller, "a"), (NodeId(1), LeaderEpoch(0)));
    controller.shut_down_broker(NOW).unwrap();
    assert_eq!(leader(&controller, "a"), (NodeId(-1), LeaderEpoch(1)));
    {
        let image = controller.cache().read();
        let partition = image.partition("a", PartitionId(0)).unwrap();
        assert!(partition.isr.is_empty());
        assert_eq!(partition.eligible_leader_replicas, [NodeId(1)]);
        assert_eq!(image.live_brokers().count(), 0);
    }
    controller.close().unwrap();
    drop(controller);

    let controller = node.start();
    assert_eq!(leader(&controller, "a"), (NodeId(1), LeaderEpoch(2)));
    let image = controller.cache().read();
    let partition = image.partition("a", PartitionId(0)).unwrap();
    assert_eq!(partition.isr, [NodeId(1)]);
    assert!(partition.eligible_leader_replicas.is_empty() && partition.last_known_elr.is_empty());
    assert_eq!(image.position().epoch, LeaderEpoch(2));
}

#[test]
fn a_killed_broker_leads_in_a_new_epoch() {
    let node = Node::new(&[]);
    let controller = node.start();
    create(&controller, "a");
    drop(controller);
    let controller = node.start();
    assert_eq!(leader(&controller, "a"), (NodeId(1), LeaderEpoch(1)));
    assert_eq!(controller.quorum().epoch, LeaderEpoch(2));
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let node = Node::new(&[]);
    let controller = node.start();
    for name in ["a", "b", "c"] {
        create(&controller, name);
    }
    assert_eq!(controller.allocate_producer_ids(NOW).unwrap().0.get(), 0);
    assert_eq!(controller.allocate_producer_ids(NOW).unwrap().0.get(), 1000);
    let before = lasting(&controller);
    drop(controller);
    let controller = node.start();
    assert_eq!(lasting(&controller), before);
    assert_eq!(controller.allocate_producer_ids(NOW).unwrap().0.get(), 2000);
}

#[test]
fn the_follower_knows_before_the_answer() {
    let node = Node::new(&[]);
    let controller = node.start();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    controller.set_follower(Box::new(move |delta, image| {
        assert!(delta.created_topics.iter().all(|id| image.topic_by_id(*id).is_some()));
        counter.fetch_add(delta.created_topics.len(), Ordering::SeqCst);
    }));
    create(&controller, "a");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

/// Goal: a snapshot and the log behind it give the same as the log alone, and old files go.
#[test]
fn snapshots_are_written_read_and_dropped() {
    let node = Node::new(&[
        ("metadata.log.max.record.bytes.between.snapshots", "2000"),
        ("metadata.max.retention.bytes", "3000"),
    ]);
    let controller = node.start();
    for n in 0..100 {
        create(&controller, &format!("topic-{n}"));
    }
    let snapshots = node.snapshots();
    assert!(snapshots.len() == 1, "{snapshots:?}");
    let before = lasting(&controller);
    drop(controller);
    let controller = node.start();
    assert_eq!(lasting(&controller), before);
    assert_eq!(controller.cache().read().topics().len(), 100);
    drop(controller);
    // The log alone is not needed up to the snapshot.
    fs::remove_file(node.file(LOG)).unwrap();
    let controller = node.start();
    assert!(controller.cache().read().topics().len() > 80);
    create(&controller, "after");
    drop(controller);
    assert!(topic_names(node.start().cache()).contains(&"after".to_owned()));
}

#[test]
fn a_snapshot_is_due_by_time_too() {
    let node = Node::new(&[("metadata.log.max.snapshot.interval.ms", "1000")]);
    let controller = node.start();
    let config = |value: &str| {
        let record = ConfigRecord {
            resource_type: 4,
            name: "log.retention.ms".to_owned(),
            value: Some(value.to_owned()),
            ..Default::default()
        };
        vec![record.into()]
    };
    controller.change(NOW + 500, |_| Plan { records: config("1"), response: () }).unwrap();
    assert_eq!(node.snapshots().len(), 1, "formatting's alone");
    controller.change(NOW + 1500, |_| Plan { records: config("2"), response: () }).unwrap();
    assert_eq!(node.snapshots().len(), 2);
}

/// Goal: a broker that only comes and goes does not leave a log that makes each start slower than the one before.
#[test]
fn starts_and_stops_make_snapshots_due_too() {
    let node = Node::new(&[("metadata.log.max.record.bytes.between.snapshots", "20000")]);
    let controller = node.start();
    (0..20).for_each(|n| create(&controller, &format!("topic-{n}")));
    drop(controller);
    assert_eq!(node.snapshots().len(), 1, "formatting's alone");
    for _ in 0..30 {
        let controller = node.start();
        controller.shut_down_broker(NOW).unwrap();
        controller.keep_log_short(NOW);
        controller.close().unwrap();
    }
    assert!(node.snapshots().len() > 1, "{:?}", node.snapshots());
    assert_eq!(node.start().cache().read().topics().len(), 20);
}

/// Goal: a torn end costs nothing that was acknowledged before it.
/// Method: cut the log at each byte of its last batch, and fill the end with zeros.
#[test]
fn a_torn_end_is_cut() {
    let node = Node::new(&[]);
    let controller = node.start();
    create(&controller, "a");
    let whole_size = fs::metadata(node.file(LOG)).unwrap().len() as usize;
    create(&controller, "b");
    drop(controller);
    let bytes = fs::read(node.file(LOG)).unwrap();
    for cut in [whole_size, whole_size + 1, whole_size + 30, whole_size + 61, bytes.len() - 1] {
        for zeros in [false, true] {
            let mut torn = bytes[..cut].to_vec();
            if zeros {
                torn.resize(bytes.len(), 0);
            }
            if torn == bytes {
                continue; // What was cut off was a zero.
            }
            fs::write(node.file(LOG), torn).unwrap();
            let controller = node.open();
            assert_eq!(topic_names(controller.cache()), ["a"], "cut at {cut}, zeros {zeros}");
            drop(controller);
        }
    }
}

/// Goal: damage in the middle is refused by name, and passed over if a snapshot stands for it.
#[test]
fn damage_in_the_middle_is_refused_unless_a_snapshot_covers_it() {
    let node = Node::new(&[]);
    let controller = node.start();
    for n in 0..20 {
        create(&controller, &format!("topic-{n}"));
    }
    drop(controller);
    let mut bytes = fs::read(node.file(LOG)).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x40;
    fs::write(node.file(LOG), &bytes).unwrap();
    let error = node.try_open(Fs::default()).unwrap_err();
    let text = chain(&error);
    assert!(text.contains(LOG) && text.contains("offset"), "{text}");
    // Nothing was thrown away by the attempt.
    assert_eq!(fs::read(node.file(LOG)).unwrap().len(), bytes.len());

    bytes[at] ^= 0x40;
    fs::write(node.file(LOG), &bytes).unwrap();
    let snapshotting = Node {
        config: ServerConfig::from_pairs(&[
            ("log.dirs", node.dir.path().to_str().unwrap()),
            ("metadata.log.max.record.bytes.between.snapshots", "1"),
        ])
        .unwrap(),
        ..node
    };
    create(&snapshotting.start(), "last");
    let mut bytes = fs::read(snapshotting.file(LOG)).unwrap();
    bytes[at] ^= 0x40;
    fs::write(snapshotting.file(LOG), &bytes).unwrap();
    assert_eq!(snapshotting.start().cache().read().topics().len(), 21);
}

#[test]
fn a_damaged_snapshot_is_replaced_by_the_log() {
    let node = Node::new(&[("metadata.log.max.record.bytes.between.snapshots", "2000")]);
    let controller = node.start();
    for n in 0..50 {
        create(&controller, &format!("topic-{n}"));
    }
    drop(controller);
    let newest = node.snapshots().pop().unwrap();
    let mut bytes = fs::read(node.file(&newest)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(node.file(&newest), bytes).unwrap();
    assert_eq!(node.start().cache().read().topics().len(), 50);
}

#[test]
fn a_garbled_quorum_state_is_made_anew_in_a_higher_epoch() {
    let node = Node::new(&[]);
    drop(node.start());
    fs::write(node.file("quorum-state"), "{").unwrap();
    assert_eq!(node.start().quorum().epoch, LeaderEpoch(2));
    fs::remove_file(node.file("quorum-state")).unwrap();
    assert_eq!(node.start().quorum().epoch, LeaderEpoch(3));
}

#[test]
fn the_directory_of_another_quorum_is_refused() {
    let node = Node::new(&[]);
    drop(node.start());
    let mut other = node.identity.clone();
    other.metadata_directory_id = Uuid::random();
    let node = Node { identity: other, ..node };
    let error = node.try_open(Fs::default()).unwrap_err();
    assert!(error.to_string().contains("meta.properties"), "{error}");

    let node = Node::unformatted(&[]);
    fs::create_dir(node.metadata_dir()).unwrap();
    let state = r#"{"clusterId":"","leaderId":1,"leaderEpoch":4,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1},{"voterId":2}],"data_version":0}"#;
    fs::write(node.file("quorum-state"), state).unwrap();
    let error = node.try_open(Fs::default()).unwrap_err();
    assert!(error.to_string().contains("voters [1, 2]"), "{error}");
}

/// Every file of a directory with its content, without the empty snapshots of producers that opening a log leaves.
fn content(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else if path.extension().is_none_or(|extension| extension != "snapshot") {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

/// A batch of one record that is `value`.
fn batch_of(value: &[u8], base_offset: Offset) -> Vec<u8> {
    let options = BatchOptions { base_offset, partition_leader_epoch: LeaderEpoch(1), ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    builder.append(&NewRecord { timestamp: NOW, key: None, value: Some(value), headers: &[] }).unwrap();
    builder.build().unwrap().to_vec()
}

/// Goal: what this release does not know or can't keep is refused by its name, and nothing is changed.
#[test]
fn what_can_not_be_kept_is_refused_and_left_as_it_is() {
    let level = MetadataVersion::LATEST;
    let written = |record: MetadataRecord| record.write(level).unwrap().to_vec();
    let tiered = ConfigRecord {
        resource_type: 2,
        resource_name: "tiered".to_owned(),
        name: "remote.storage.enable".to_owned(),
        value: Some("true".to_owned()),
        ..Default::default()
    };
    let newer = FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 31, ..Default::default() };
    let migrating = ZkMigrationStateRecord { zk_migration_state: 2, ..Default::default() };
    for (value, expected) in [
        (written(tiered.into()), "remote.storage.enable=true is not supported yet, and is set for [\"tiered\"]"),
        (written(newer.into()), "metadata.version 31 is not one of 7 to 30"),
        (written(migrating.into()), "in migration from ZooKeeper"),
        // The frame's version, a kind, its version.
        (vec![1, 99, 0], "metadata record of unknown kind 99"),
        (vec![1, 2, 77], "TopicRecord"),
    ] {
        let node = Node::new(&[]);
        let controller = node.start();
        let end = controller.quorum().end_offset;
        controller.close().unwrap();
        drop(controller);
        let mut log = fs::OpenOptions::new().append(true).open(node.file(LOG)).unwrap();
        log.write_all(&batch_of(&value, end)).unwrap();
        drop(log);
        let before = content(node.dir.path());
        let error = node.try_open(Fs::default()).unwrap_err();
        assert!(chain(&error).contains(expected), "{}", chain(&error));
        let after = content(node.dir.path());
        assert_eq!(before, after, "{expected}");
    }
}

const EIO: i32 = 5;

/// Fails the writes or flushes of the log from a moment on.
struct FailFrom {
    writes: bool,
    armed: AtomicUsize,
}

impl Faults for FailFrom {
    fn before(&self, operation: Operation, path: &Path) -> Fault {
        let log = path.extension().is_some_and(|extension| extension == "log");
        let hit = match operation {
            Operation::Write(_) => self.writes,
            Operation::Sync => !self.writes,
            _ => false,
        };
        if log && hit && self.armed.load(Ordering::SeqCst) > 0 { Fault::Fail(EIO) } else { Fault::None }
    }
}

/// Goal: what could not be made durable is not acknowledged, and nothing is built on it.
#[test]
fn a_failed_flush_stops_the_controller() {
    for writes in [true, false] {
        let node = Node::new(&[]);
        let faults = Arc::new(FailFrom { writes, armed: AtomicUsize::new(0) });
        let controller = node.try_open(Fs::with_faults(faults.clone())).unwrap();
        controller.register_broker(&node.config, &node.config.advertised_listeners, &node.directories(), NOW).unwrap();
        create(&controller, "a");
        faults.armed.store(1, Ordering::SeqCst);
        let plan = |_: &MetadataImage| {
            let topic = TopicRecord { name: "lost".to_owned(), topic_id: Uuid::random(), ..Default::default() };
            Plan { records: vec![topic.into()], response: () }
        };
        controller.change(NOW, plan).unwrap_err();
        faults.armed.store(0, Ordering::SeqCst);
        controller.change(NOW, plan).unwrap_err();
        assert_eq!(topic_names(controller.cache()), ["a"], "writes {writes}");
    }
}

/// Goal: a directory that Kafka wrote is taken over with all that is in it, and the epochs go on rising.
#[test]
fn kafkas_directories_are_taken_over() {
    for (name, kafka_epoch, partition_epoch) in [("kafka-4.3.1", 4, 7), ("kafka-3.9.1", 4, 5)] {
        let node = Node::unformatted(&[]);
        fs::create_dir(node.metadata_dir()).unwrap();
        let source = format!("{}/tests/data/metadata/{name}.log", env!("CARGO_MANIFEST_DIR"));
        fs::copy(source, node.file(LOG)).unwrap();
        let state = format!(
            r#"{{"clusterId":"","leaderId":1,"leaderEpoch":{kafka_epoch},"votedId":-1,"appliedOffset":0,"currentVoters":[{{"voterId":1}}],"data_version":0}}"#
        );
        fs::write(node.file("quorum-state"), state).unwrap();
        let controller = node.open();
        let ids = {
            let image = controller.cache().read();
            let partitions = image.topics().values().flat_map(|topic| topic.partitions.values());
            partitions.flat_map(|partition| partition.directories.clone()).collect()
        };
        let own = OwnDirectories { ids, ..node.directories() };
        controller.register_broker(&node.config, &node.config.advertised_listeners, &own, NOW).unwrap();
        assert_eq!(controller.quorum().epoch, LeaderEpoch(kafka_epoch + 1));
        assert_eq!(topic_names(controller.cache()), ["__consumer_offsets", "t1", "t3"]);
        assert_eq!(leader(&controller, "t1"), (NodeId(1), LeaderEpoch(partition_epoch)), "{name}");
        create(&controller, "ours");
        drop(controller);
        assert!(topic_names(node.start().cache()).contains(&"ours".to_owned()));
    }
}
