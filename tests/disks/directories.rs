//! A broker with two log directories, and what tests ask it about them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kafka_rs::protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_rs::protocol::messages::create_topics_request::CreatableTopic;
use kafka_rs::protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_rs::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_rs::protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_rs::protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_rs::protocol::messages::{
    AlterReplicaLogDirsRequest, CreateTopicsRequest, DescribeLogDirsRequest, DescribeLogDirsResponse,
    IncrementalAlterConfigsRequest, ListOffsetsRequest, MetadataRequest,
};

use crate::support::{Broker, wait_for};
use crate::wire::{Wire, batch_of};

pub const STORAGE_ERROR: i16 = 56;
pub const WITHIN: Duration = Duration::from_secs(20);

/// Two log directories in a temporary one.
pub struct Two {
    temp: tempfile::TempDir,
}

impl Two {
    pub fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub fn setting(&self) -> String {
        format!("log.dirs={},{}", self.path("a").display(), self.path("b").display())
    }

    pub fn start(&self) -> Broker {
        Broker::start_through(&[], &[&self.setting()])
    }

    /// The name of the directory that each partition of a topic is in.
    pub fn placed(&self, topic: &str, partitions: i32) -> Vec<&'static str> {
        let is_in = |name: &str, partition: i32| self.path(name).join(format!("{topic}-{partition}")).is_dir();
        (0..partitions)
            .map(|partition| match (is_in("a", partition), is_in("b", partition)) {
                (true, false) => "a",
                (false, true) => "b",
                other => panic!("{topic}-{partition} is in both or none: {other:?}"),
            })
            .collect()
    }
}

pub fn partitions_of(wire: &mut Wire, topic: &str) -> Vec<MetadataResponsePartition> {
    let topics = vec![MetadataRequestTopic { name: Some(topic.into()), ..Default::default() }];
    let request = MetadataRequest { topics: Some(topics), ..Default::default() };
    let mut partitions = wire.call(&request, 12).unwrap().topics.remove(0).partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    partitions
}

pub fn log_dirs(wire: &mut Wire) -> DescribeLogDirsResponse {
    wire.call(&DescribeLogDirsRequest { topics: None, ..Default::default() }, 4).unwrap()
}

pub fn end_offset(wire: &mut Wire, topic: &str, partition: i32) -> (i16, i64) {
    let wanted = ListOffsetsPartition {
        partition_index: partition,
        timestamp: -1,
        current_leader_epoch: -1,
        ..Default::default()
    };
    let topic = ListOffsetsTopic { name: topic.into(), partitions: vec![wanted], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let answer = wire.call(&request, 7).unwrap().topics.remove(0).partitions.remove(0);
    (answer.error_code, answer.offset)
}

/// Stops a broker cleanly.
pub fn stop(broker: Broker) {
    const BY_SIGNAL: i32 = 143;
    assert_eq!(broker.stop().code(), Some(BY_SIGNAL));
}

pub fn write(wire: &mut Wire, topic: &str, partition: i32, value: &str) -> i16 {
    wire.produce(topic, partition, Some(batch_of(&[value]))).unwrap().error_code
}

/// Has a partition moved; gives the error code.
pub fn move_to(wire: &mut Wire, topic: &str, partition: i32, dir: &Path) -> i16 {
    let topic = AlterReplicaLogDirTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    let path = dir.to_str().unwrap().to_owned();
    let request = AlterReplicaLogDirsRequest {
        dirs: vec![AlterReplicaLogDir { path, topics: vec![topic], ..Default::default() }],
        ..Default::default()
    };
    wire.call(&request, 2).unwrap().results.remove(0).partitions.remove(0).error_code
}

/// The directories that hold a partition, and whether each is a copy.
pub fn holders(wire: &mut Wire, topic: &str, partition: i32) -> Vec<(PathBuf, bool)> {
    let mut found = Vec::new();
    for dir in log_dirs(wire).results {
        for held in dir.topics.iter().filter(|held| held.name == topic).flat_map(|held| &held.partitions) {
            if held.partition_index == partition {
                found.push((PathBuf::from(&dir.log_dir), held.is_future_key));
            }
        }
    }
    found
}

pub fn wait_until_in(wire: &mut Wire, topic: &str, partition: i32, dir: &Path) {
    wait_for("the log to have moved", WITHIN, || {
        (holders(wire, topic, partition) == [(dir.to_owned(), false)]).then_some(())
    });
}

/// Sets or removes a setting of the broker at run time; gives the error code.
pub fn set_on_broker(wire: &mut Wire, name: &str, value: Option<&str>) -> i16 {
    const BROKER: i8 = 4;
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    let config = AlterableConfig {
        name: name.into(),
        config_operation: if value.is_some() { SET } else { DELETE },
        value: value.map(str::to_owned),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type: BROKER,
        resource_name: "1".into(),
        configs: vec![config],
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    wire.call(&request, 1).unwrap().responses[0].error_code
}

/// Asks for a topic of one replica; gives the error code.
pub fn try_to_create(wire: &mut Wire, name: &str, partitions: i32) -> std::io::Result<i16> {
    let topic =
        CreatableTopic { name: name.into(), num_partitions: partitions, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    Ok(wire.call(&request, 7)?.topics[0].error_code)
}
