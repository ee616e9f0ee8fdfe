//! The codec against bytes that Apache Kafka's own classes wrote: every line is read and written back byte for byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops at the first surprise"
)]

use std::fs;

use bytes::Bytes;
use kafka_rs::protocol::messages::{self, ALL};
use kafka_rs::protocol::{APIS, ApiKey, EncodeError, Message, MessageInfo, Reader, Wire, fuzz};
use proptest::prelude::*;

struct Line {
    name: String,
    version: String,
    variant: String,
    hex: String,
    json: serde_json::Value,
}

fn lines(file: &str) -> Vec<Line> {
    let path = format!("{}/tests/data/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let found: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            Line {
                name: columns[0].to_owned(),
                version: columns[1].to_owned(),
                variant: columns[2].to_owned(),
                hex: columns[3].to_owned(),
                json: serde_json::from_str(columns[columns.len() - 1]).unwrap(),
            }
        })
        .collect();
    assert!(!found.is_empty(), "{file} has no lines");
    found
}

fn bytes(hex: &str) -> Bytes {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn info(name: &str) -> &'static MessageInfo {
    ALL.iter().find(|info| info.name == name).unwrap_or_else(|| panic!("no message {name}"))
}

fn rewrite(name: &str, version: i16, wire: &Bytes) -> Bytes {
    (info(name).rewrite)(wire, version)
        .unwrap_or_else(|e| panic!("{name} v{version} can't be read: {e}"))
        .unwrap_or_else(|e| panic!("{name} v{version} can't be written: {e}"))
}

/// How many lines each file has, so that a lost line shows.
const MESSAGE_FILES: &[(&str, usize)] = &[
    ("rpc-requests.tsv", 1195),
    ("rpc-responses.tsv", 1247),
    ("header.tsv", 14),
    ("client-data.tsv", 68),
    ("raft-files.tsv", 9),
    ("metadata-log.tsv", 146),
    ("group-log.tsv", 187),
    ("transaction-log.tsv", 11),
    ("share-log.tsv", 16),
    ("storage.tsv", 23),
    ("long-lengths.tsv", 33),
];

#[test]
fn every_vector_is_read_and_written_back() {
    for (file, count) in MESSAGE_FILES {
        let lines = lines(file);
        assert_eq!(lines.len(), *count, "{file}");
        for line in lines {
            let wire = bytes(&line.hex);
            let version = line.version.parse().unwrap();
            let again = rewrite(&line.name, version, &wire);
            assert_eq!(again, wire, "{} v{version} variant {}", line.name, line.variant);
        }
    }
}

#[test]
fn every_version_of_every_message_has_a_vector() {
    let mut seen = std::collections::HashSet::new();
    for (file, _) in MESSAGE_FILES {
        seen.extend(lines(file).into_iter().map(|line| (line.name, line.version.parse::<i16>().unwrap())));
    }
    for info in ALL {
        for version in info.versions.min..=info.versions.max {
            assert!(seen.contains(&(info.name.to_owned(), version)), "{} v{version}", info.name);
        }
    }
    assert_eq!(ALL.len(), 272, "of the 280 tables 8 have no version");
}

#[test]
fn every_proper_prefix_is_an_error() {
    for (file, _) in MESSAGE_FILES {
        for line in lines(file) {
            let wire = bytes(&line.hex);
            let version = line.version.parse().unwrap();
            let info = info(&line.name);
            // Every cut of the short ones, some of the long ones: the time is quadratic in the length.
            let step = 1 + wire.len() / 1000;
            for cut in (0..wire.len()).step_by(step) {
                let read = (info.rewrite)(&wire.slice(..cut), version);
                assert!(read.is_err(), "{} v{version} variant {} cut at {cut}", line.name, line.variant);
            }
        }
    }
}

/// The value of a field is what Kafka says it is: a sample, by hand, of what the byte comparison can't see (two fields
/// of a type that are swapped both ways).
#[test]
fn values_are_the_ones_kafka_wrote() {
    let line = lines("rpc-requests.tsv")
        .into_iter()
        .find(|l| l.name == "FetchRequest" && l.version == "18" && l.variant == "b")
        .unwrap();
    let fetch = messages::FetchRequest::from_bytes(&bytes(&line.hex), 18).unwrap();
    let number = |pointer: &str| line.json.pointer(pointer).unwrap().as_i64().unwrap();
    assert_eq!(i64::from(fetch.max_wait_ms), number("/maxWaitMs"));
    assert_eq!(i64::from(fetch.min_bytes), number("/minBytes"));
    assert_eq!(i64::from(fetch.session_id), number("/sessionId"));
    assert_eq!(i64::from(fetch.session_epoch), number("/sessionEpoch"));
    assert_eq!(fetch.rack_id, line.json["rackId"].as_str().unwrap());
    let partition = &fetch.topics[1].partitions[0];
    assert_eq!(i64::from(partition.partition), number("/topics/1/partitions/0/partition"));
    assert_eq!(partition.fetch_offset, number("/topics/1/partitions/0/fetchOffset"));
    assert_eq!(partition.log_start_offset, number("/topics/1/partitions/0/logStartOffset"));
    assert_eq!(partition.high_watermark, number("/topics/1/partitions/0/highWatermark"));
    assert_eq!(fetch.topics[1].topic_id.to_string(), line.json.pointer("/topics/1/topicId").unwrap().as_str().unwrap());
}

#[test]
fn frames_are_read_and_written_back() {
    let mut checked = 0;
    for line in lines("frames.tsv") {
        checked += 1;
        match line.variant.as_str() {
            "request" | "response" | "unsupported-version" => {
                let wire = bytes(&line.hex);
                let is_request = line.variant == "request";
                let size = i32::from_be_bytes(wire[..4].try_into().unwrap());
                assert_eq!(size as usize, wire.len() - 4);
                let header_version = line.json["headerVersion"].as_i64().unwrap() as i16;
                let frame = wire.slice(4..);
                let mut r = Reader::new(&frame);
                let header = if is_request {
                    let header = messages::RequestHeader::decode(&mut r, header_version).unwrap();
                    let start = kafka_rs::protocol::frame::read_request_start(&frame).unwrap();
                    assert_eq!(start.body_at, r.position(), "{}", line.name);
                    assert_eq!(start.api.request_header_version(start.version), header_version);
                    assert_eq!(start.client_id, header.client_id);
                    header.to_bytes(header_version).unwrap()
                } else {
                    messages::ResponseHeader::decode(&mut r, header_version).unwrap().to_bytes(header_version).unwrap()
                };
                let body = frame.slice(r.position()..);
                let version = line.version.parse().unwrap();
                let again = [header, rewrite(&line.name, version, &body)].concat();
                assert_eq!(again, frame, "{}", line.name);
            }
            "unknown-version" => {
                let start = kafka_rs::protocol::frame::read_request_start(&bytes(&line.hex).slice(4..)).unwrap();
                assert_eq!((start.api, start.version, start.correlation_id), (ApiKey::ApiVersions, 99, 7));
            }
            "metadata-record" | "remote-log-metadata" => {
                let wire = bytes(&line.hex);
                let mut r = Reader::new(&wire);
                assert_eq!(r.uvarint(), Ok(1), "frame version");
                let _key = r.uvarint().unwrap();
                let version = r.uvarint().unwrap() as i16;
                let body = wire.slice(r.position()..);
                assert_eq!(rewrite(&line.name, version, &body), body, "{}", line.name);
            }
            "group-log" | "transaction-log" | "share-log" => {
                let (key, value) = line.hex.split_once(':').unwrap();
                let key = bytes(key);
                let (stem, version) = (line.name.trim_end_matches("Key").trim_end_matches("Value"), &line.version);
                assert_eq!(rewrite(&format!("{stem}Key"), 0, &key.slice(2..)), key.slice(2..), "{stem}");
                if version != "-" {
                    let value = bytes(value);
                    let version = i16::read(&mut Reader::new(&value), 0).unwrap();
                    assert_eq!(
                        rewrite(&format!("{stem}Value"), version, &value.slice(2..)),
                        value.slice(2..),
                        "{stem}"
                    );
                }
            }
            "version-prefixed" | "snapshot-file" => {
                let wire = bytes(&line.hex);
                let version = i16::read(&mut Reader::new(&wire), 0).unwrap();
                assert_eq!(rewrite(&line.name, version, &wire.slice(2..)), wire.slice(2..), "{}", line.name);
            }
            // JSON files, not messages: `broker/controller/quorum_state.rs` reads and writes them, and tests these lines.
            "quorum-state-file" => {}
            other => panic!("unknown kind of frame {other}"),
        }
    }
    assert_eq!(checked, 156);
}

/// Where Kafka's reader refuses, so does ours; where it is lenient, ours may be stricter, but only on bytes that no
/// client sends (a tagged field with a wrong size).
#[test]
fn malformed_bytes_are_refused_where_kafka_refuses() {
    let lines = lines("malformed.tsv");
    assert_eq!(lines.len(), 31);
    for line in lines {
        let version = line.version.parse().unwrap();
        let wire = bytes(&line.hex);
        let read = (info(&line.name).rewrite)(&wire, version);
        let case = &line.variant;
        if line.json.get("error").is_some() {
            assert!(read.is_err(), "{case}: read as {read:?}");
        } else if case.contains("tag whose size") || case == "byte left over" || case == "varint above 2^31" {
            assert!(read.is_err(), "{case}: stricter than Kafka");
        } else {
            assert!(matches!(read, Ok(Ok(_))), "{case}: {read:?}");
        }
    }
}

#[test]
fn header_versions_are_kafkas() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors/header-versions.tsv");
    let mut checked = 0;
    for line in fs::read_to_string(path).unwrap().lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [key, version, request, response] = [0, 2, 3, 4].map(|i| columns[i].parse::<i16>().unwrap());
        let api = ApiKey::from_i16(key).unwrap();
        assert_eq!(api.name(), columns[1]);
        assert!(api.info().versions.contains(version));
        assert_eq!(api.request_header_version(version), request, "{line}");
        assert_eq!(api.response_header_version(version), response, "{line}");
        checked += 1;
    }
    assert_eq!(checked, 302);
    assert!(APIS.iter().enumerate().all(|(i, info)| info.key.get() == i as i16), "the table has no holes");
    assert_eq!(ApiKey::from_i16(-1), None);
    assert_eq!(ApiKey::from_i16(APIS.len() as i16), None);
}

#[test]
fn a_value_that_a_version_cannot_say_is_refused() {
    let commit = messages::OffsetCommitRequest { group_instance_id: Some("a".into()), ..Default::default() };
    assert!(matches!(commit.to_bytes(2), Err(EncodeError::FieldNotInVersion { .. })));
    assert!(commit.to_bytes(9).is_ok());
    let ignorable = messages::FetchRequest { rack_id: "r1".into(), ..Default::default() };
    assert!(ignorable.to_bytes(4).is_ok());
    let long = messages::HeartbeatRequest { group_id: "x".repeat(32_768), ..Default::default() };
    assert_eq!(long.to_bytes(0), Err(EncodeError::TooLong(32_768)));
    assert_eq!(long.to_bytes(4), Err(EncodeError::TooLong(32_768)));
}

/// A count that the frame could not hold must not make the reader reserve memory for it: this request would take
/// gigabytes if it did.
#[test]
fn lying_counts_reserve_nothing() {
    for count in [0x7fff_ffff_u32, 0x0fff_ffff, 1000] {
        let mut wire = count.to_be_bytes().to_vec();
        wire.extend_from_slice(&[0; 16]);
        let read = messages::MetadataRequest::from_bytes(&wire.into(), 1);
        assert!(matches!(read, Err(kafka_rs::protocol::DecodeError::ImpossibleCount { .. })), "{read:?}");
    }
}

/// Empty strings are one byte on the wire and dozens in memory: what a frame may grow to is bounded.
#[test]
fn decoding_is_bounded() {
    let count = 16 << 20;
    let mut wire = vec![0x81, 0x80, 0x80, 0x08];
    wire.resize(wire.len() + count, 1);
    wire.extend_from_slice(&[1, 0, 0]);
    let read = messages::DescribeGroupsRequest::from_bytes(&wire.into(), 5);
    assert_eq!(read.unwrap_err(), kafka_rs::protocol::DecodeError::TooLarge);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..Default::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz::message(&data);
        fuzz::request_frame(&data);
    }
}

/// Mutations of real messages get further than random bytes do.
#[test]
fn mutated_vectors_are_read_or_refused() {
    let mut random = fastrand::Rng::with_seed(0x6b61_666b_6121);
    for (file, _) in MESSAGE_FILES {
        for line in lines(file) {
            let wire = bytes(&line.hex);
            if wire.is_empty() || wire.len() > 4096 {
                continue;
            }
            let index = ALL.iter().position(|info| info.name == line.name).unwrap();
            let version = line.version.parse::<i16>().unwrap() - ALL[index].versions.min;
            for _ in 0..20 {
                let mut data = vec![(index >> 8) as u8, index as u8, version as u8];
                data.extend_from_slice(&wire);
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(3..data.len());
                    let any = random.u8(..);
                    data[at] = random.choice([0, 1, 2, 0x7f, 0x80, 0xff, any]).unwrap();
                }
                if random.bool() {
                    data.truncate(random.usize(3..=data.len()));
                }
                fuzz::message(&data);
            }
        }
    }
}

/// What a fuzzer once found, or should have.
#[test]
fn corpus_is_read_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fuzz/protocol");
    let mut replayed = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let data = fs::read(entry.unwrap().path()).unwrap();
        fuzz::message(&data);
        fuzz::request_frame(&data);
        replayed += 1;
    }
    assert!(replayed > 0);
}
