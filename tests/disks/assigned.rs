//! AssignReplicasToDirs on the CONTROLLER listener: where a broker says that its replicas are (KIP-858).

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use kafka_rs::protocol::ErrorCode;
use kafka_rs::protocol::messages::AssignReplicasToDirsRequest;
use kafka_rs::protocol::messages::assign_replicas_to_dirs_request::{DirectoryData, PartitionData, TopicData};
use kafka_rs::types::Uuid;

use crate::directories::{Two, partitions_of, stop, write};
use crate::support::Broker;
use crate::wire::Wire;

/// The id in the `meta.properties` of a directory.
fn directory_id(dir: &Path) -> Uuid {
    let text = fs::read_to_string(dir.join("meta.properties")).unwrap();
    Uuid::parse(text.lines().find_map(|line| line.strip_prefix("directory.id=")).unwrap()).unwrap()
}

struct Controller {
    wire: Wire,
    broker_epoch: i64,
}

impl Controller {
    /// The error of the answer, or that of the partition.
    fn assign(&mut self, broker_id: i32, directory: Uuid, topic_id: Uuid, partition: i32) -> (ErrorCode, ErrorCode) {
        let partition = PartitionData { partition_index: partition, ..Default::default() };
        let topic = TopicData { topic_id, partitions: vec![partition], ..Default::default() };
        let directory = DirectoryData { id: directory, topics: vec![topic], ..Default::default() };
        let request = AssignReplicasToDirsRequest {
            broker_id,
            broker_epoch: self.broker_epoch,
            directories: vec![directory],
            ..Default::default()
        };
        let answer = self.wire.call(&request, 0).unwrap();
        let code = |code| ErrorCode::from_code(code);
        let of_partition = answer.directories.first().map_or(0, |dir| dir.topics[0].partitions[0].error_code);
        (code(answer.error_code), code(of_partition))
    }

    /// The broker's epoch is the offset of its registration: tried out.
    fn find_epoch(&mut self) {
        let is_it = |epoch: &i64| {
            let request = AssignReplicasToDirsRequest { broker_id: 1, broker_epoch: *epoch, ..Default::default() };
            let answer = self.wire.call(&request, 0).unwrap();
            assert!([ErrorCode::None, ErrorCode::StaleBrokerEpoch].contains(&ErrorCode::from_code(answer.error_code)));
            answer.error_code == 0
        };
        self.broker_epoch = (0..2000).find(is_it).unwrap();
    }
}

/// Goal: the answers are Kafka's: a replica in a directory that the broker does not have loses its leader, until it
/// is in one that the broker has.
#[test]
fn replicas_are_assigned_to_directories() {
    let two = Two::new();
    let controller = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://{controller}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n{}\n",
        two.setting()
    );
    fs::write(two.path("server.properties"), text).unwrap();
    let broker = Broker::start_from(&two.path("server.properties"));
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 2, &[]);
    check(&mut wire, Wire::connect(&controller.to_string()), &two.path("a"));
    // Where the replica is says the log: a start has the metadata say so again.
    stop(broker);
    let broker = Broker::start_from(&two.path("server.properties"));
    let mut wire = Wire::connect(broker.address());
    assert!(partitions_of(&mut wire, "t").iter().all(|partition| partition.leader_id == 1));
    (0..2).for_each(|partition| assert_eq!(write(&mut wire, "t", partition, "x"), 0));
    stop(broker);
}

fn check(wire: &mut Wire, controller: Wire, dir: &Path) {
    let here = directory_id(dir);
    let mut controller = Controller { wire: controller, broker_epoch: 9_999 };
    let topic_id = wire.topic_id("t");
    let whole = |error| (error, ErrorCode::None);
    let one = |error| (ErrorCode::None, error);
    assert_eq!(controller.assign(1, here, topic_id, 0), whole(ErrorCode::StaleBrokerEpoch));
    assert_eq!(controller.assign(7, here, topic_id, 0), whole(ErrorCode::StaleBrokerEpoch));
    controller.find_epoch();
    assert_eq!(controller.assign(1, here, Uuid([7; 16]), 0), one(ErrorCode::UnknownTopicId));
    assert_eq!(controller.assign(1, here, topic_id, 2), one(ErrorCode::UnknownTopicOrPartition));
    let leaders = |wire: &mut Wire| -> Vec<i32> { partitions_of(wire, "t").iter().map(|p| p.leader_id).collect() };
    for _ in 0..2 {
        assert_eq!(controller.assign(1, Uuid([7; 16]), topic_id, 0), one(ErrorCode::None));
        assert_eq!(leaders(wire), [-1, 1]);
    }
    assert_eq!(controller.assign(1, here, topic_id, 0), one(ErrorCode::None));
    // Kafka has it led again with the next change of it, we at once.
    assert_eq!(leaders(wire), [1, 1]);
    assert_eq!(write(wire, "t", 0, "x"), 0);
    assert_eq!(controller.assign(1, here, topic_id, 0), one(ErrorCode::None));
    assert_eq!(leaders(wire), [1, 1]);
}
