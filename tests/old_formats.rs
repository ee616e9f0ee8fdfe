//! Records in the formats of before Kafka 0.11 stay readable where they are: a fetch gives them as they stand in the segment, as
//! Apache Kafka 4.3 does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "support/old_formats.rs"]
mod old_formats;
#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use bytes::Bytes;
use kafka_rs::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_rs::protocol::messages::{FetchRequest, ListOffsetsRequest};
use kafka_rs::record::LogEntry;
use old_formats::{RECORDS, put_into, segment};
use support::Broker;
use wire::{Wire, batch_of};

const NEVER_OLD: &[&str] = &["log.retention.ms=-1"];

fn fetched(wire: &mut Wire, offset: i64) -> Bytes {
    use kafka_rs::protocol::messages::fetch_request::{FetchPartition, FetchTopic};
    let partition = FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: "old".to_owned(), partitions: vec![partition], ..Default::default() };
    let answer = wire.call(&FetchRequest { topics: vec![topic], ..Default::default() }, 12).unwrap();
    let answer = &answer.responses[0].partitions[0];
    assert_eq!(answer.error_code, 0);
    answer.records.clone().unwrap_or_default()
}

fn offset_at(wire: &mut Wire, timestamp: i64) -> (i64, i64) {
    let partition = ListOffsetsPartition { timestamp, ..Default::default() };
    let topic = ListOffsetsTopic { name: "old".to_owned(), partitions: vec![partition], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let answer = wire.call(&request, 7).unwrap();
    let answer = &answer.topics[0].partitions[0];
    assert_eq!(answer.error_code, 0);
    (answer.offset, answer.timestamp)
}

fn check(wire: &mut Wire, more: usize) {
    let bytes = fetched(wire, 0);
    assert!(bytes.starts_with(&segment()), "given as it stands in the segment");
    let mut rest: &[u8] = &bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (entry, behind) = LogEntry::new(rest).unwrap();
        entry.verify_crc().unwrap();
        for record in entry.owned_records(&bytes, 1 << 20).unwrap() {
            let record = record.unwrap();
            assert_eq!(record.offset.get(), found.len() as i64);
            let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            found.push((record.key.map(text), record.value.map(text), record.timestamp));
        }
        rest = behind;
    }
    assert_eq!(found.len(), RECORDS.len() + more);
    for (found, (key, value, timestamp)) in found.iter().zip(RECORDS) {
        assert_eq!((found.0.as_deref(), found.1.as_deref(), found.2), (*key, *value, *timestamp));
    }
    // From the middle of a set the whole set comes.
    assert!(bytes.ends_with(&fetched(wire, 6)));
    let whole = LogEntry::new(&fetched(wire, 6)).unwrap().0.last_offset().get();
    assert_eq!(whole, 7);
    assert_eq!(offset_at(wire, -2).0, 0);
    assert_eq!(offset_at(wire, -1).0, (RECORDS.len() + more) as i64);
    assert_eq!(offset_at(wire, 1_400_000_002_001), (6, 1_400_000_003_000));
    assert_eq!(offset_at(wire, 1_400_000_004_000), (8, 1_400_000_004_000));
    assert_eq!(offset_at(wire, 1_400_000_005_500), (10, 1_400_000_006_000));
}

#[test]
fn old_formats_are_read_where_they_are() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let broker = Broker::start_in(&data, NEVER_OLD);
    Wire::connect(broker.address()).create_topic("old", 1, &[]);
    assert_eq!(broker.stop().code(), Some(143));
    put_into(&data.join("old-0"));

    let broker = Broker::start_in(&data, NEVER_OLD);
    let mut wire = Wire::connect(broker.address());
    check(&mut wire, 0);
    let answer = wire.produce("old", 0, Some(batch_of(&["new"]))).unwrap();
    assert_eq!((answer.error_code, answer.base_offset), (0, RECORDS.len() as i64));
    check(&mut wire, 1);
    broker.kill();

    let broker = Broker::start_in(&data, NEVER_OLD);
    check(&mut Wire::connect(broker.address()), 1);
    assert_eq!(broker.stop().code(), Some(143));
}
