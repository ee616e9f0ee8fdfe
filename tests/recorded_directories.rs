//! Directories that Apache Kafka left, stopped and killed, opened by our broker: all that was in them is there.
//!
//! `data/directories/record` makes them, with the facts that a client saw last.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "support/facts.rs"]
mod facts;
#[path = "support/mod.rs"]
mod support;
#[path = "support/tar.rs"]
mod tar;
#[path = "support/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kafka_rs::metadata::batch::{BatchContent, read};
use kafka_rs::metadata::{Checkpoint, CheckpointId, MetadataImage, Replay};
use kafka_rs::record::batches;
use support::Broker;

/// The recorded time is long ago, or still to come: nothing may grow old, and no timeout may end a transaction.
const TIMELESS: &[&str] = &[
    "log.retention.ms=-1",
    "offsets.retention.minutes=2147483647",
    "producer.id.expiration.ms=2147483647",
    "transactional.id.expiration.ms=2147483647",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms=2147483647",
    "log.cleaner.enable=false",
];

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/directories").join(name)
}

/// What the broker keeps for Kafka and tells nobody, from the metadata log.
fn kept(data: &Path) -> BTreeSet<String> {
    let image = image(data);
    let mut out = BTreeSet::new();
    for acl in image.acls().values() {
        let kinds = (acl.resource_type, acl.pattern_type, acl.operation, acl.permission_type);
        assert_eq!(kinds, (2, 4, 3, 3), "a topic, prefixed, read, allow");
        out.insert(format!(
            "acl (pattern=ResourcePattern(resourceType=TOPIC, name={}, patternType=PREFIXED), entry=(principal={}, \
             host={}, operation=READ, permissionType=ALLOW))",
            acl.resource_name, acl.principal, acl.host
        ));
    }
    for ((mechanism, user), credential) in image.scram_credentials() {
        let bits = if *mechanism == 1 { 256 } else { 512 };
        let iterations = credential.iterations;
        out.insert(format!(
            "scram {user} [ScramCredentialInfo{{mechanism=SCRAM_SHA_{bits}, iterations={iterations}}}]"
        ));
    }
    for (entity, quotas) in image.client_quotas() {
        let entity: Vec<_> = entity.iter().map(|(k, v)| format!("{k}={}", v.as_deref().unwrap_or("null"))).collect();
        let quotas: Vec<_> = quotas.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
        out.insert(format!("quota ClientQuotaEntity(entries={{{}}}) {{{}}}", entity.join(", "), quotas.join(", ")));
    }
    for (resource, configs) in image.all_configs().iter().filter(|(resource, _)| resource.kind.0 == 16) {
        for (key, value) in configs {
            out.insert(format!("config CLIENT_METRICS {} {key}={value} DYNAMIC_CLIENT_METRICS_CONFIG", resource.name));
        }
    }
    out
}

/// The metadata as its newest snapshot and the log behind it have it.
fn image(data: &Path) -> MetadataImage {
    let directory = data.join("__cluster_metadata-0");
    let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let id = |path: &PathBuf| CheckpointId::from_file_name(path.file_name()?.to_str()?);
    let mut image = MetadataImage::default();
    let mut next = 0;
    if let Some((id, path)) = paths.iter().filter_map(|path| Some((id(path)?, path))).max_by_key(|(id, _)| *id) {
        let checkpoint = Checkpoint::read(&fs::read(path).unwrap().into()).unwrap();
        checkpoint.records.iter().for_each(|record| image.apply(record).unwrap());
        next = id.end_offset.get();
    }
    let mut replay = Replay::from_image(image);
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
        let bytes = bytes::Bytes::from(fs::read(path).unwrap());
        for batch in batches(&bytes) {
            let batch = batch.unwrap();
            if batch.header().base_offset.get() < next {
                continue;
            }
            if let BatchContent::Metadata(records) = read(&batch, &bytes).unwrap() {
                records.into_iter().for_each(|record| replay.take(record).unwrap());
            }
        }
    }
    replay.into_image()
}

fn assert_same(expected: &BTreeSet<String>, found: &BTreeSet<String>, when: &str) {
    let few = |facts: Vec<&String>| facts.into_iter().take(30).map(|fact| format!("  {fact}\n")).collect::<String>();
    let lost = few(expected.difference(found).collect());
    let new = few(found.difference(expected).collect());
    assert!(lost.is_empty() && new.is_empty(), "{when}: lost\n{lost}new\n{new}");
}

/// Goal: every record, offset, group, transaction, topic id and config of the recorded directory is there, what our broker
/// does not use included; and again at the next start, as it was stopped or killed.
fn is_taken_over(name: &str) {
    let home = tempfile::tempdir().unwrap();
    tar::unpack(&recorded(&format!("{name}.tar.zst")), home.path());
    let data = home.path().join("data");
    let text = fs::read_to_string(recorded(&format!("{name}.facts"))).unwrap();
    let expected: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    assert!(expected.len() > 500, "{name}");
    for start in ["first", "second"] {
        let broker = Broker::start_in(&data, TIMELESS);
        let mut found = facts::facts(broker.address());
        if name.ends_with("killed") {
            broker.kill();
        } else {
            assert_eq!(broker.stop().code(), Some(143));
        }
        found.extend(kept(&data));
        assert_same(&expected, &found, &format!("{name}, {start} start"));
    }
}

#[test]
fn of_a_stopped_kafka_43() {
    is_taken_over("kafka-4.3.1-stopped");
}

#[test]
fn of_a_killed_kafka_43() {
    is_taken_over("kafka-4.3.1-killed");
}

#[test]
fn of_a_stopped_kafka_39() {
    is_taken_over("kafka-3.9.1-stopped");
}

#[test]
fn of_a_killed_kafka_39() {
    is_taken_over("kafka-3.9.1-killed");
}
