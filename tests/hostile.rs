//! What peers may send that no client sends: one connection may suffer from it, the broker and the others may not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "support/mod.rs"]
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::fs;
use std::io::Read as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_rs::protocol::frame::request_frame;
use kafka_rs::protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest};
use kafka_rs::protocol::{APIS, ErrorCode};
use kafka_rs::record::{BatchBuilder, BatchOptions, Codec, Compression, NewRecord};
use support::{Broker, wait_for};
use wire::{Wire, batch_of};

/// Resident memory of the process, in bytes.
fn resident(broker: &Broker) -> usize {
    let statm = fs::read_to_string(format!("/proc/{}/statm", broker.pid())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn open_files(broker: &Broker) -> usize {
    fs::read_dir(format!("/proc/{}/fd", broker.pid())).unwrap().count()
}

#[test]
fn garbage_closes_its_connection_alone() {
    let broker = Broker::start();
    let mut proper = Wire::connect(broker.address());
    assert!(proper.is_served());
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0xff; 64],
        &[0, 0, 0, 0],
        &[0, 0, 0, 8, 0x7f, 0xff, 0, 0, 0, 0, 0, 1],
        &[0, 0, 0, 10, 0, 1, 0, 17, 0, 0, 0, 1, 0xff, 0xff],
    ];
    for bytes in garbage {
        let mut wire = Wire::connect(broker.address());
        wire.send_raw(bytes).unwrap();
        assert!(wire.is_closed(), "{bytes:?}");
        assert!(proper.is_served(), "after {bytes:?}");
    }
}

/// A frame over `socket.request.max.bytes` is refused at its size, before any of it is taken.
#[test]
fn oversized_frames_are_refused() {
    let broker = Broker::start_with(&["socket.request.max.bytes=100000"]);
    let mut wire = Wire::connect(broker.address());
    wire.send_raw(&100_001_u32.to_be_bytes()).unwrap();
    assert!(wire.is_closed());
    assert!(Wire::connect(broker.address()).is_served());
}

/// Fifty peers that announce 100 MB each and send little: memory follows what arrives, and others are served at once.
#[test]
fn announcements_take_no_memory() {
    let broker = Broker::start();
    let before = resident(&broker);
    let mut peers: Vec<Wire> = (0..50).map(|_| Wire::connect(broker.address())).collect();
    for peer in &mut peers {
        peer.send_raw(&100_000_000_u32.to_be_bytes()).unwrap();
        peer.send_raw(&[0; 50_000]).unwrap();
    }
    assert!(Wire::connect(broker.address()).is_served());
    let grown = resident(&broker).saturating_sub(before);
    assert!(grown < 50 << 20, "{grown} bytes for 2.5 MB that arrived");
}

/// Every request gets an answer, also one that Kafka never answers.
#[test]
fn null_records_are_answered() {
    let broker = Broker::start();
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 1, &[]);
    let answer = wire.produce("t", 0, None).unwrap();
    assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::InvalidRecord);
    assert!(wire.is_served());
}

/// A batch that grows beyond all measure when decompressed is refused, without taking the memory.
#[test]
fn a_compression_bomb_is_refused() {
    let broker = Broker::start();
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 1, &[]);
    let zeros = vec![0u8; 300 << 20];
    for codec in [Codec::Gzip, Codec::Zstd] {
        let options = BatchOptions { compression: Compression::new(codec), ..Default::default() };
        let mut batch = BatchBuilder::new(options);
        batch.append(&NewRecord { timestamp: -1, value: Some(&zeros), ..Default::default() }).unwrap();
        let bomb = batch.build().unwrap();
        assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
        let answer = wire.produce("t", 0, Some(bomb)).unwrap();
        assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::InvalidRecord, "{codec:?}");
    }
    assert!(resident(&broker) < 250 << 20, "{}", resident(&broker));
}

/// Mutated requests of every API: whatever becomes of their connections, the broker goes on and leaves no descriptor open.
#[test]
fn mutated_requests_harm_nobody() {
    let broker = Broker::start();
    let mut proper = Wire::connect(broker.address());
    proper.create_topic("t", 2, &[]);
    proper.produce("t", 0, Some(batch_of(&["a", "b"]))).unwrap();
    let files = open_files(&broker);
    let mut random = fastrand::Rng::with_seed(7);
    let vectors =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors/rpc-requests.tsv")).unwrap();
    let mut sent = 0;
    for line in vectors.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let Some(info) = APIS.iter().find(|info| format!("{}Request", info.name) == columns[0]) else { continue };
        let version: i16 = columns[1].parse().unwrap();
        let mut frame = vec![];
        frame.extend(info.key.get().to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend([0, 0, 0, 9, 0xff, 0xff]);
        if info.key.request_header_version(version) == 2 {
            frame.push(0);
        }
        let body = columns[3];
        frame.extend((0..body.len() / 2).map(|i| u8::from_str_radix(&body[2 * i..2 * i + 2], 16).unwrap()));
        for mutate in [false, true, true] {
            let mut frame = frame.clone();
            if mutate {
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(4..frame.len());
                    frame[at] = random.u8(..);
                }
            }
            let mut wire = Wire::connect(broker.address());
            wire.send_raw(&(frame.len() as u32).to_be_bytes()).unwrap();
            wire.send_raw(&frame).unwrap();
            sent += 1;
            // Not all of them are answered at once (a fetch may wait), and none needs to be.
        }
        if sent % 300 == 0 {
            assert!(proper.is_served(), "after {}", columns[0]);
        }
    }
    assert!(sent > 2000);
    assert!(proper.is_served());
    wait_for("the connections to be gone", Duration::from_secs(20), || {
        (open_files(&broker) <= files + 4).then_some(())
    });
    assert!(!broker.output().contains("panicked"), "{}", broker.output());
}

/// Answers leave in the order of the requests, however many are sent at once.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let broker = Broker::start();
    let mut wire = Wire::connect(broker.address());
    let mut all = Vec::new();
    for id in 0..500 {
        all.extend(request_frame(&MetadataRequest::default(), 12, id, None).unwrap().concat());
    }
    wire.send_raw(&all).unwrap();
    for id in 0..500_i32 {
        assert_eq!(wire.receive_frame().unwrap()[..4], id.to_be_bytes());
    }
}

/// A client that never reads its answers and one whose fetch waits long do not hold up a third.
#[test]
fn a_slow_client_stalls_nobody() {
    let broker = Broker::start();
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 1, &[]);
    let value = vec![b'v'; 500_000];
    for _ in 0..20 {
        wire.produce("t", 0, Some(batch_of(&[&value]))).unwrap();
    }
    let mut deaf: Vec<Wire> = (0..10).map(|_| Wire::connect(broker.address())).collect();
    for peer in &mut deaf {
        for _ in 0..5 {
            peer.send(&MetadataRequest::default(), 12).unwrap();
        }
    }
    let mut waiting = Wire::connect(broker.address());
    waiting.send(&FetchRequest { max_wait_ms: 30_000, min_bytes: 1, ..Default::default() }, 12).unwrap();
    let started = Instant::now();
    for _ in 0..50 {
        assert!(wire.is_served());
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// With `acks=0` nothing is answered; an error closes the connection, so that the producer notices.
#[test]
fn acks_zero_is_silent() {
    let broker = Broker::start();
    let mut wire = Wire::connect(broker.address());
    wire.create_topic("t", 1, &[]);
    let request = |topic: &str, records: Bytes| {
        use kafka_rs::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
        let data = PartitionProduceData { index: 0, records: Some(records), ..Default::default() };
        let topic = TopicProduceData { name: topic.into(), partition_data: vec![data], ..Default::default() };
        ProduceRequest { acks: 0, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() }
    };
    wire.send(&request("t", batch_of(&["a"])), 9).unwrap();
    assert!(wire.is_served(), "the next answer is that of the next request");
    assert_eq!(wire.read_all("t", 0), ["a"]);
    wire.send(&request("nowhere", batch_of(&["a"])), 9).unwrap();
    assert!(wire.is_closed());
}

/// Connections beyond `max.connections.per.ip` are closed at once.
#[test]
fn connections_are_limited() {
    let broker = Broker::start_with(&["max.connections.per.ip=3"]);
    let mut kept: Vec<Wire> = (0..3).map(|_| Wire::connect(broker.address())).collect();
    assert!(kept.iter_mut().all(Wire::is_served));
    let mut refused = std::net::TcpStream::connect(broker.address()).unwrap();
    assert!(matches!(refused.read(&mut [0; 1]), Ok(0) | Err(_)));
    kept.pop();
    wait_for("a place to be free again", Duration::from_secs(5), || {
        Wire::connect(broker.address()).is_served().then_some(())
    });
}
